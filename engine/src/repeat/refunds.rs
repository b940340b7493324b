//! Repeats of refunds: the same content, and the outcome they had.

use super::{Asked, party_figures, side};
use crate::record::{Record, RefundRefused, Refunded};
use crate::request::RefundRequest;
use crate::transfer::Outcome;

impl Asked {
    /// Whether `record` is of the refund asked for; id and link are known to be the same.
    pub(super) fn is_refund(asked: &RefundRequest, record: &Record) -> bool {
        let RefundRequest { of, of_lsn, amount, currency, allow_overdraft, .. } = *asked;
        match record {
            Record::Refunded(done) => {
                let Refunded { by_lsn, reversal, overdraft, .. } = **done;
                of == done.of
                    && of_lsn == by_lsn.then_some(done.of_lsn)
                    && amount == (!reversal).then_some(done.amount)
                    && allow_overdraft == overdraft
                    && currency.is_none_or(|named| named == done.currency)
            }
            Record::RefundRefused(refused) => {
                let held_in = refused.found.map(|found| found.currency);
                let RefundRefused { overdraft, .. } = **refused;
                (of, of_lsn, amount) == (refused.of, refused.of_lsn, refused.amount)
                    && allow_overdraft == overdraft
                    && currency.or(held_in) == refused.currency.or(held_in)
            }
            _ => false,
        }
    }
}

/// Fills in what the record of a refund says.
pub(super) fn stored_outcome(record: &Record, outcome: &mut Outcome) {
    match record {
        Record::Refunded(refunded) => {
            outcome.currency = Some(refunded.currency);
            outcome.debit = Some(side(&refunded.debit_side));
            outcome.credit = Some(side(&refunded.credit_side));
        }
        Record::RefundRefused(refused) => {
            if let Some(found) = refused.found {
                outcome.currency = Some(found.currency);
                outcome.debit = party_figures(found.debit);
                outcome.credit = party_figures(found.credit);
            }
        }
        _ => {}
    }
}

/// How the original stands after the event, as the record tells: the same for every repeat.
/// `None` for events of no refund, and for refusals that found no money moved.
#[must_use]
pub fn refund_after(record: &Record) -> Option<crate::refunds::RefundAfter> {
    match record.unnoted() {
        Record::Refunded(refunded) => Some(refunded.after()),
        Record::RefundRefused(refused) => refused.after(),
        _ => None,
    }
}
