//! Events of fees as people and scripts read them.

use super::{EventLine, account, currency};
use crate::output;
use ducat_api::proto;
use ducat_engine::fees::Target;
use ducat_engine::ids::Slot;
use ducat_engine::ledger::Ledger;
use ducat_engine::money::{CurrencyId, format_minor};
use ducat_engine::record::{FeeDid, FeeEvent, FeeLeg};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::TransferKind;

impl EventLine {
    /// A transfer's fee, with names from the ledger.
    pub(super) fn fee_leg(self, ledger: &Ledger, leg: &FeeLeg) -> Self {
        let id = |slot: Slot| account(ledger, slot).map(|spec| spec.id.to_string());
        let held_in = account(ledger, leg.debit).map(|spec| currency(ledger, spec.currency));
        let (code, digits) = held_in.unwrap_or_default();
        let amount = i128::try_from(leg.amount).unwrap_or(i128::MAX);
        let after = |minor: i128| Some(format_minor(minor, digits));
        let (event, refused, debit_posted, credit_posted) = match leg.did {
            FeeDid::Taken { debit_side, credit_side } => {
                ("fee", None, after(debit_side.posted), after(credit_side.posted))
            }
            FeeDid::Refused { rejection, .. } => ("fee-refused", Some(rejection), None, None),
        };
        Self {
            event,
            fee_of: Some(leg.of.to_string()),
            code: refused.map(Rejection::code),
            schedule: Some(leg.schedule.to_string()),
            debit: id(leg.debit),
            credit: id(leg.credit),
            amount: Some(format_minor(amount, digits)),
            currency: Some(code),
            debit_posted,
            credit_posted,
            ..self
        }
    }

    /// What an operator did with schedules, with names from the ledger.
    pub(super) fn fee_event(self, ledger: &Ledger, event: &FeeEvent) -> Self {
        let code = |id: CurrencyId| Some(currency(ledger, id).0);
        match event {
            FeeEvent::Defined { schedule, .. } => Self {
                event: "fee-defined",
                schedule: Some(schedule.name.clone()),
                account: Some(schedule.account.to_string()),
                currency: code(schedule.currency),
                ..self
            },
            FeeEvent::Attached { target, schedule } => {
                let line = Self {
                    event: if schedule.is_some() { "fee-attached" } else { "fee-detached" },
                    schedule: schedule.map(|number| number.to_string()),
                    ..self
                };
                match *target {
                    Target::Account(slot) => {
                        let account = account(ledger, slot).map(|spec| spec.id.to_string());
                        Self { account, ..line }
                    }
                    Target::Kind { kind, currency } => {
                        let kind = TransferKind::from_number(kind).map(TransferKind::name);
                        Self { kind, currency: code(currency), ..line }
                    }
                }
            }
        }
    }

    /// A transfer's fee as a server's feed gives it.
    pub(super) fn fee_of_message(self, fee: &proto::FeeLeg, currency: &str) -> Self {
        let refused = u8::try_from(fee.code).ok().and_then(Rejection::from_number);
        Self {
            event: if fee.code == 0 { "fee" } else { "fee-refused" },
            fee_of: Some(output::transfer_id(fee.transfer_id_high, fee.transfer_id)),
            code: (fee.code != 0).then(|| refused.map_or("unknown", Rejection::code)),
            schedule: Some(fee.schedule.to_string()),
            amount: Some(fee.amount.clone()),
            currency: Some(currency.to_owned()),
            ..self
        }
    }

    /// What an operator did with schedules, likewise.
    pub(super) fn fee_defined(self, schedule: &proto::FeeSchedule) -> Self {
        Self {
            event: "fee-defined",
            schedule: Some(schedule.name.clone()),
            account: Some(output::account_id(schedule.account_high, schedule.account)),
            currency: Some(schedule.currency.clone()),
            ..self
        }
    }

    /// The same of one that was attached or detached, `account` being the event's.
    pub(super) fn fee_attached(self, change: &proto::FeeChange, account: Option<String>) -> Self {
        let kind = u8::try_from(change.kind).ok().and_then(TransferKind::from_number);
        let of_kind = !change.currency.is_empty();
        Self {
            event: if change.schedule.is_some() { "fee-attached" } else { "fee-detached" },
            schedule: change.schedule.map(|number| number.to_string()),
            account: account.filter(|_| !of_kind),
            kind: kind.filter(|_| of_kind).map(TransferKind::name),
            currency: Some(change.currency.clone()).filter(|_| of_kind),
            ..self
        }
    }

    /// For people.
    pub(super) fn fee_text(&self) -> String {
        let none = String::new();
        let get = |text: &Option<String>| text.as_ref().unwrap_or(&none).clone();
        let schedule = get(&self.schedule);
        let to = match (&self.account, self.kind) {
            (Some(account), _) => format!("account {account}"),
            (None, kind) => format!("{} in {}", kind.unwrap_or_default(), get(&self.currency)),
        };
        match self.event {
            "fee-defined" => format!(
                "fee {schedule} defined, in {}, for account {}",
                get(&self.currency),
                get(&self.account)
            ),
            "fee-attached" => format!("fee schedule {schedule} attached to {to}"),
            "fee-detached" => format!("fees detached from {to}"),
            event => {
                let code = self.code.map(|code| format!(" {code}")).unwrap_or_default();
                let after = match (&self.debit_posted, &self.credit_posted) {
                    (Some(debit), Some(credit)) => format!("  now {debit} and {credit}"),
                    _ => String::new(),
                };
                format!(
                    "{event}{code} of {}  {} -> {}  {} {} by schedule {schedule}{after}",
                    get(&self.fee_of),
                    get(&self.debit),
                    get(&self.credit),
                    get(&self.amount),
                    get(&self.currency),
                )
            }
        }
    }
}
