//! Events as a server's feed gives them, in the words in which `ducat replay --print` gives those of
//! a data directory.

use super::watches::TriggerLine;
use super::{EventLine, kind_name, status_name};
use crate::output;
use ducat_api::proto::account_event::Event as AccountEvent;
use ducat_api::proto::{self, Operation};
use ducat_engine::money::format_minor;
use ducat_engine::profile::AccountKind;
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::AccountStatus;

impl EventLine {
    /// The event as a server's feed gives it.
    pub fn of_message(event: &proto::Event) -> Self {
        let digits = u8::try_from(event.digits).unwrap_or_default();
        let account =
            |at: usize| event.accounts.get(at).map(|id| output::account_id(id.id_high, id.id));
        let triggered = event.triggered.iter().map(TriggerLine::new).collect();
        let time = output::time(event.time_ns);
        let line = Self { lsn: event.lsn, time, triggered, ..Self::default() };
        if let Some(transfer) = &event.transfer {
            let line = Self { debit: account(0), credit: account(1), ..line };
            return line.decided(transfer, digits, &event.currency);
        }
        if let Some(fee) = &event.fee {
            let line = Self { debit: account(0), credit: account(1), ..line };
            return line.fee_of_message(fee, &event.currency);
        }
        if let Some(schedule) = &event.fee_defined {
            return line.fee_defined(schedule);
        }
        if let Some(change) = &event.fee_attached {
            return line.fee_attached(change, account(0));
        }
        if let Some(expired) = &event.hold_expired {
            return Self {
                event: "expired",
                hold: Some(output::transfer_id(expired.hold_id_high, expired.hold_id)),
                debit: account(0),
                amount: Some(expired.released.clone()),
                currency: Some(expired.currency.clone()),
                ..line
            };
        }
        if let Some(event) = event.account_event.as_ref().and_then(|event| event.event.as_ref()) {
            return Self { account: account(0), ..line.of_account(event) };
        }
        if let Some(driven) = &event.driven {
            return line.driven_message(event.kind(), driven);
        }
        if let Some(asset) = &event.asset_defined {
            let currency = Some(asset.code.clone());
            return Self { event: "asset-defined", currency, digits: Some(digits), ..line };
        }
        Self { event: "unknown", ..line }
    }

    fn of_account(self, event: &AccountEvent) -> Self {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        match event {
            AccountEvent::Opened(opened) => Self {
                event: "account-opened",
                currency: Some(opened.currency.clone()),
                external: Some(opened.external),
                overdraft_limit: some(&opened.overdraft_limit),
                kind: kind_of(opened.kind()).map(kind_name),
                owner: some(&opened.owner),
                label: some(&opened.label),
                metadata: opened.metadata.clone(),
                floor: some(&opened.floor),
                ceiling: some(&opened.ceiling),
                ..self
            },
            AccountEvent::Limits(changed) => Self {
                event: "limits-changed",
                overdraft_limit: Some(changed.overdraft_limit.clone()),
                floor: some(&changed.floor),
                ceiling: some(&changed.ceiling),
                ..self
            },
            AccountEvent::Watch(changed) => self.of_watch(changed),
            AccountEvent::Status(changed) => Self {
                event: "status-changed",
                status: Some(status_name(status_of(changed.status()))),
                reason: some(&changed.reason),
                ..self
            },
            AccountEvent::Profile(changed) => Self {
                event: "profile-changed",
                kind: changed.kind.map(|_| kind_of(changed.kind()).map_or("none", kind_name)),
                owner: changed.owner.clone(),
                label: changed.label.clone(),
                metadata: changed.set_metadata.clone(),
                removed_metadata: changed.removed_metadata.iter().cloned().collect(),
                ..self
            },
        }
    }

    fn decided(self, transfer: &proto::TransferRecord, digits: u8, currency: &str) -> Self {
        let asked = transfer.transfer.clone().unwrap_or_default();
        let outcome = transfer.outcome.clone().unwrap_or_default();
        let done = outcome.is_posted();
        let rejection = u8::try_from(outcome.code).ok().and_then(Rejection::from_number);
        let after = |balance: &Option<proto::Balance>| {
            let balance = balance.as_ref().filter(|_| done)?;
            let minor = match &balance.wide {
                Some(wide) => wide.posted_minor.parse().ok()?,
                None => i128::from(balance.posted_minor),
            };
            Some(format_minor(minor, digits))
        };
        let named = match (asked.amount.is_empty(), asked.amount_minor) {
            (true, 0) => None,
            (true, minor) => Some(format_minor(i128::from(minor), digits)),
            (false, _) => Some(asked.amount.clone()),
        };
        let balanced = asked.terms.as_ref().is_some_and(|terms| terms.balancing.is_some());
        let moved = outcome.terms.as_ref().filter(|_| done && balanced).and_then(|told| {
            let minor = match told.moved_wide.as_str() {
                "" => i128::from(told.moved_minor),
                wide => wide.parse().ok()?,
            };
            Some(format_minor(minor, digits))
        });
        let line = self.noted_so(&asked, done);
        let line = Self {
            up_to: named.clone().filter(|_| balanced),
            terms: asked.terms.is_some(),
            id: Some(output::transfer_id(asked.id_high, asked.id)),
            code: (!done).then(|| rejection.map_or("unknown", Rejection::code)),
            currency: (!asked.currency.is_empty()).then(|| asked.currency.clone()),
            debit_posted: after(&outcome.debit),
            linked: asked.linked,
            ..line
        };
        if asked.operation() == Operation::Transfer {
            return Self {
                event: if done { "posted" } else { "refused" },
                debit: Some(output::account_id(asked.debit_account_high, asked.debit_account)),
                credit: Some(output::account_id(asked.credit_account_high, asked.credit_account)),
                amount: moved.or(named).or_else(|| Some(format_minor(0, digits))),
                credit_posted: after(&outcome.credit),
                ..line
            };
        }
        // What was done is in the hold's currency, whether the request named it or not.
        let currency = Some(currency.to_owned()).filter(|code| done && !code.is_empty());
        let line = Self { currency: currency.or(line.currency.clone()), ..line };
        if matches!(asked.operation(), Operation::Refund | Operation::Reverse) {
            return line.of_refund(&asked, &outcome, named, after(&outcome.credit), digits);
        }
        line.of_operation(&asked, &outcome, named, after(&outcome.credit), digits)
    }

    fn of_operation(
        self,
        asked: &proto::TransferRequest,
        outcome: &proto::Outcome,
        named: Option<String>,
        credit_posted: Option<String>,
        digits: u8,
    ) -> Self {
        let operation = asked.operation();
        let (done, asked_for) = match operation {
            Operation::Hold => ("held", "hold"),
            Operation::Capture => ("captured", "capture"),
            Operation::Void => ("voided", "void"),
            Operation::Extend => ("extended", "extend"),
            // Lines of their own.
            Operation::Transfer | Operation::Refund | Operation::Reverse => ("posted", "transfer"),
        };
        let own = (asked.id_high, asked.id);
        let (high, low) = match operation {
            Operation::Hold => own,
            _ => (asked.hold_id_high, asked.hold_id),
        };
        let line = Self { hold: Some(output::transfer_id(high, low)), ..self };
        if !outcome.is_posted() {
            return Self { event: "hold-refused", asked: Some(asked_for), amount: named, ..line };
        }
        let hold = outcome.hold.as_deref().cloned().unwrap_or_default();
        let wide = hold.wide.as_deref();
        let figure = |minor: u64, text: Option<&String>| {
            let minor = text.and_then(|text| text.parse().ok()).unwrap_or(i128::from(minor));
            Some(format_minor(minor, digits))
        };
        let remaining = figure(hold.remaining_minor, wide.map(|wide| &wide.remaining_minor));
        let timeout_ns = Some(asked.timeout_ms.saturating_mul(1_000_000)).filter(|ns| *ns > 0);
        match operation {
            Operation::Capture => Self {
                event: done,
                amount: figure(hold.captured_minor, wide.map(|wide| &wide.captured_minor)),
                remaining,
                credit_posted,
                ..line
            },
            Operation::Void => Self {
                event: done,
                amount: figure(hold.released_minor, wide.map(|wide| &wide.released_minor)),
                ..line
            },
            Operation::Extend => Self { event: done, amount: remaining, timeout_ns, ..line },
            _ => Self { event: done, amount: named, timeout_ns, ..line },
        }
    }
}

const fn status_of(status: proto::AccountStatus) -> AccountStatus {
    match status {
        proto::AccountStatus::Active => AccountStatus::Active,
        proto::AccountStatus::Frozen => AccountStatus::Frozen,
        proto::AccountStatus::Closed => AccountStatus::Closed,
        proto::AccountStatus::DebitsBlocked => AccountStatus::DebitsBlocked,
        proto::AccountStatus::CreditsBlocked => AccountStatus::CreditsBlocked,
    }
}

const fn kind_of(kind: proto::AccountKind) -> Option<AccountKind> {
    match kind {
        proto::AccountKind::Unspecified => None,
        proto::AccountKind::Asset => Some(AccountKind::Asset),
        proto::AccountKind::Liability => Some(AccountKind::Liability),
        proto::AccountKind::Equity => Some(AccountKind::Equity),
        proto::AccountKind::Income => Some(AccountKind::Income),
        proto::AccountKind::Expense => Some(AccountKind::Expense),
    }
}
