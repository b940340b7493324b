//! The events of refunds as people and scripts read them.

use super::{EventLine, account, currency};
use crate::output;
use ducat_api::proto::{self, Operation};
use ducat_engine::ids::AccountId;
use ducat_engine::ledger::Ledger;
use ducat_engine::money::format_minor;
use ducat_engine::record::{RefundRefused, Refunded};

const fn done(reversal: bool) -> &'static str {
    if reversal { "reversed" } else { "refunded" }
}

const fn asked(reversal: bool) -> &'static str {
    if reversal { "reversal" } else { "refund" }
}

impl EventLine {
    pub(super) fn refunded(self, ledger: &Ledger, refunded: &Refunded) -> Self {
        let (code, digits) = currency(ledger, refunded.currency);
        let id = |slot| account(ledger, slot).map(|spec| spec.id.to_string());
        Self {
            event: done(refunded.reversal),
            id: Some(refunded.id.to_string()),
            original: Some(refunded.of.to_string()),
            original_lsn: Some(refunded.of_lsn.0),
            debit: id(refunded.debit),
            credit: id(refunded.credit),
            amount: Some(minor(refunded.amount, digits)),
            refunded: Some(minor(refunded.refunded, digits)),
            currency: Some(code),
            debit_posted: Some(format_minor(refunded.debit_side.posted, digits)),
            credit_posted: Some(format_minor(refunded.credit_side.posted, digits)),
            ..self
        }
    }

    pub(super) fn refund_refused(
        self,
        ledger: &Ledger,
        refused: &RefundRefused,
        [debit, credit]: [Option<AccountId>; 2],
    ) -> Self {
        let found = refused.found;
        let id = refused.currency.or(found.map(|found| found.currency));
        let known = id.map(|id| currency(ledger, id));
        let digits = known.as_ref().map_or(0, |(_, digits)| *digits);
        Self {
            event: "refund-refused",
            id: Some(refused.id.to_string()),
            asked: Some(asked(refused.amount.is_none())),
            code: Some(refused.rejection.code()),
            original: Some(refused.of.to_string()),
            original_lsn: found.map(|found| found.lsn.0),
            debit: debit.map(|id| id.to_string()),
            credit: credit.map(|id| id.to_string()),
            amount: refused.amount.map(|amount| minor(amount, digits)),
            refunded: found.map(|found| minor(found.state.refunded, digits)),
            currency: known.map(|(code, _)| code),
            ..self
        }
    }

    /// The same as a server's feed gives it; the line has what all requests have.
    pub(super) fn of_refund(
        self,
        request: &proto::TransferRequest,
        outcome: &proto::Outcome,
        named: Option<String>,
        credit_posted: Option<String>,
        digits: u8,
    ) -> Self {
        let reversal = request.operation() == Operation::Reverse;
        let original = output::transfer_id(request.original_id_high, request.original_id);
        let refund = outcome.refund.as_deref();
        let wide = refund.and_then(|refund| refund.wide.as_ref());
        let figure = |narrow: Option<u64>, text: Option<&String>| {
            let wide = text.and_then(|text| text.parse().ok());
            wide.or(narrow.map(i128::from)).map(|minor| format_minor(minor, digits))
        };
        let line = Self {
            original: Some(original),
            original_lsn: refund.map(|refund| refund.original_lsn),
            refunded: figure(
                refund.map(|refund| refund.refunded_minor),
                wide.map(|wide| &wide.refunded_minor),
            ),
            ..self
        };
        if !outcome.is_posted() {
            let (event, asked) = ("refund-refused", Some(asked(reversal)));
            return Self { event, asked, amount: named, ..line };
        }
        Self {
            event: done(reversal),
            amount: figure(
                refund.map(|refund| refund.amount_minor),
                wide.map(|wide| &wide.amount_minor),
            ),
            credit_posted,
            ..line
        }
    }

    /// The event of a refund in one line, without its place and time.
    pub(super) fn refund_text(&self) -> String {
        let get = |text: &Option<String>| text.clone().unwrap_or_default();
        let (id, of) = (get(&self.id), get(&self.original));
        let money = match &self.amount {
            Some(amount) => format!("  {amount} {}", get(&self.currency)),
            None => String::new(),
        };
        let parties = match (&self.debit, &self.credit) {
            (Some(debit), Some(credit)) => format!("  {debit} -> {credit}"),
            _ => String::new(),
        };
        let so_far = match &self.refunded {
            Some(refunded) => format!(", {refunded} in all"),
            None => String::new(),
        };
        match self.event {
            "refund-refused" => format!(
                "refused {} {} {id} of {of}{parties}{money}",
                self.code.unwrap_or_default(),
                self.asked.unwrap_or_default()
            ),
            event => {
                let after = match (&self.debit_posted, &self.credit_posted) {
                    (Some(debit), Some(credit)) => format!("  now {debit} and {credit}"),
                    _ => String::new(),
                };
                format!("{event} {of} by {id}{parties}{money}{so_far}{after}")
            }
        }
    }
}

fn minor(amount: u128, digits: u8) -> String {
    format_minor(i128::try_from(amount).unwrap_or(i128::MAX), digits)
}
