//! Repeats of operations on holds: the same content, and the outcome they had.

use super::{Asked, figures, party_figures, side};
use crate::record::{Captured, Extended, Figures, Held, HoldRefused, Operation, Record, Refused};
use crate::request::{CaptureRequest, Request};
use crate::transfer::{Outcome, TransferKind};

impl Asked {
    /// Whether `record` is of the operation asked for; id and link are known to be the same.
    /// `kind` is what stands around the record.
    pub(super) fn is_operation(
        &self,
        request: &Request,
        record: &Record,
        kind: Option<TransferKind>,
    ) -> bool {
        match (request, record) {
            (Request::Hold(asked), Record::Held(held)) => {
                let Held { debit, credit, amount, timeout_ns, over_capture_max, .. } = *held;
                self.is_posted(&asked.transfer(), debit, credit, amount, kind)
                    && asked.timeout_ns == timeout_ns
                    && asked.over_capture_max == over_capture_max
            }
            (Request::Capture(asked), Record::Captured(captured)) => {
                let Captured { hold, currency, all, last, amount, .. } = *captured;
                let named = if all { None } else { Some(amount) };
                let CaptureRequest {
                    id: _,
                    hold: of,
                    amount,
                    currency: meant,
                    last: end,
                    linked: _,
                } = **asked;
                (of, amount, end) == (hold, named, last)
                    && meant.is_none_or(|meant| meant == currency)
            }
            (Request::Void(asked), Record::Voided(voided)) => asked.hold == voided.hold,
            (Request::Extend(asked), Record::Extended(extended)) => {
                let Extended { hold, timeout_ns, .. } = *extended;
                (asked.hold, asked.timeout_ns) == (hold, timeout_ns)
            }
            (request, Record::HoldRefused(refused)) => self.is_hold_refused(request, refused),
            _ => false,
        }
    }

    fn is_hold_refused(&self, request: &Request, refused: &HoldRefused) -> bool {
        match (request, refused.asked) {
            (
                Request::Hold(asked),
                Operation::Hold { amount, currency, kind, timeout_ns, over_capture_max },
            ) => {
                let (Some(debit), Some(credit)) = (refused.debit, refused.credit) else {
                    return false;
                };
                let HoldRefused { id, rejection, .. } = *refused;
                let before = Refused { id, rejection, debit, credit, amount, currency, kind };
                self.is_refused(&asked.transfer(), &before)
                    && asked.timeout_ns == timeout_ns
                    && asked.over_capture_max == over_capture_max
            }
            (Request::Capture(asked), Operation::Capture { hold, amount, currency, last }) => {
                (asked.hold, asked.amount, asked.last) == (hold, amount, last)
                    && asked.currency.or(refused.held_in) == currency.or(refused.held_in)
            }
            (Request::Void(asked), Operation::Void { hold }) => asked.hold == hold,
            (Request::Extend(asked), Operation::Extend { hold, timeout_ns }) => {
                (asked.hold, asked.timeout_ns) == (hold, timeout_ns)
            }
            _ => false,
        }
    }
}

/// Fills in what the record of an operation says.
pub(super) fn stored_outcome(record: &Record, outcome: &mut Outcome) {
    let after = |after: &Figures| Some(figures(after.posted, after.room));
    match record {
        Record::Held(held) => outcome.debit = after(&held.debit_after),
        Record::Captured(captured) => {
            outcome.currency = Some(captured.currency);
            outcome.debit = Some(side(&captured.debit_side));
            outcome.credit = Some(side(&captured.credit_side));
        }
        Record::Voided(voided) => {
            outcome.currency = Some(voided.currency);
            outcome.debit = after(&voided.debit_after);
        }
        Record::Extended(extended) => {
            outcome.currency = Some(extended.currency);
            outcome.debit = after(&extended.debit_after);
        }
        Record::HoldRefused(refused) => {
            outcome.currency = refused.held_in;
            outcome.debit = refused.debit.and_then(party_figures);
            outcome.credit = refused.credit.and_then(party_figures);
        }
        _ => {}
    }
}
