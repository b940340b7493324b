//! The coordinator's part in refunds: says which originals must be read before it can judge,
//! judges what is asked, and follows what was decided.
//!
//! ```text
//! add ─ unread? ─▶ left out, until its original was read        (Plan::unread)
//!     └ judge, on what was refunded as the batch began and as the members before in the same
//!       group leave it
//! conclude ─▶ record ─▶ follow, as in replay
//! ```
//!
//! To partitions a refund is a posting like any other; one that may overdraw says so.

use super::operations::NOTHING;
use super::{Answer, Coordinator, Done, fresh, refuse_amount, room};
use crate::account::Impossible;
use crate::batch::{Item, Op};
use crate::ids::{Lsn, Slot};
use crate::money::CurrencyId;
use crate::partition::Leg;
use crate::plan::Plan;
use crate::record::{Found, Party, PostedSide, Record, RefundRefused, Refunded};
use crate::refunds::{Did, Original, RefundState, Refunds};
use crate::rejection::Rejection;
use crate::request::{RefundRequest, Request};

/// An original that moved money.
#[derive(Clone, Copy)]
struct Moved {
    lsn: Lsn,
    /// The account that paid.
    debit: Slot,
    /// The account that received.
    credit: Slot,
    amount: u128,
}

impl Coordinator {
    /// What was refunded.
    #[must_use]
    pub fn refunds(&self) -> &Refunds {
        &self.refunds
    }

    /// The event that must be read, and put into the request as its original, before the request
    /// can be judged. `None` for what is no refund, and for a refund that can be judged as it is.
    #[must_use]
    pub fn unread(&self, request: &Request) -> Option<Lsn> {
        let refund = request.refund()?;
        // Of a repeat, too: whether its own id is still known when it is judged, its time decides.
        if refund.amount.and_then(refuse_amount).is_some() {
            return None;
        }
        let lsn = self.original_lsn(refund, self.next_lsn)?;
        (refund.original.map(|original| original.lsn) != Some(lsn)).then_some(lsn)
    }

    /// The original's event, if it was decided before the event `before`.
    fn original_lsn(&self, refund: &RefundRequest, before: Lsn) -> Option<Lsn> {
        let lsn = refund.of_lsn.or_else(|| self.known.get(refund.of))?;
        (Lsn::ZERO < lsn && lsn < before).then_some(lsn)
    }

    pub(super) fn is_unread(&self, group: &[Request]) -> bool {
        group.iter().any(|request| self.unread(request).is_some())
    }

    /// Judges a new refund. No earlier group of the batch refunds its original.
    pub(super) fn judge_refund(
        &self,
        plan: &mut Plan,
        request: &RefundRequest,
    ) -> (Item, Option<CurrencyId>) {
        let op = if request.allow_overdraft { Op::RefundOver } else { Op::Refund };
        let refused = |rule| Item { op, refused: Some(rule), ..NOTHING };
        if let Some(rule) = request.amount.and_then(refuse_amount) {
            return (refused(rule), None);
        }
        let moved = match self.moved(request, plan.group_lsn) {
            Ok(moved) => moved,
            Err(rule) => return (refused(rule), None),
        };
        let before = plan.refunded.get(&moved.lsn).copied();
        let before = before.unwrap_or_else(|| self.refund_state(&moved));
        let currency = self.directory.at(moved.debit).map(|listing| listing.currency);
        let judged = judge(request, &before, currency);
        if let Ok(amount) = judged {
            let refunded = before.refunded + amount;
            let after = RefundState { refunded, reversed: request.amount.is_none(), ..before };
            plan.refunded.insert(moved.lsn, after);
        }
        let item = Item {
            amount: judged.unwrap_or(0),
            debit: moved.credit,
            credit: moved.debit,
            op,
            refused: judged.err(),
            ..NOTHING
        };
        (item, currency)
    }

    /// What the original moved, if it moved anything that can be given back.
    fn moved(&self, request: &RefundRequest, before: Lsn) -> Result<Moved, Rejection> {
        let lsn = self.original_lsn(request, before).ok_or(Rejection::OriginalUnknown)?;
        let fits = |original: &Original| original.lsn == lsn && original.id == Some(request.of);
        let original = request.original.filter(fits).ok_or(Rejection::OriginalUnknown)?;
        moved_by(original).ok_or(match original.did {
            Did::Refused => Rejection::OriginalRefused,
            Did::Refund => Rejection::OriginalIsRefund,
            Did::Nothing | Did::Moved { .. } => Rejection::OriginalMovedNothing,
        })
    }

    /// How an original stands as of the last concluded batch.
    fn refund_state(&self, moved: &Moved) -> RefundState {
        let there = self.refunds.get(moved.lsn).copied();
        there.unwrap_or_else(|| RefundState::untouched(moved.amount))
    }

    /// The event of one refund, and its answer.
    pub(super) fn conclude_refund(
        &mut self,
        done: &Done<'_>,
        request: &Request,
        answer: &mut Answer,
        emit: &mut impl FnMut(Lsn, &Record),
    ) {
        let refund = request.refund().expect("called for refunds");
        let (lsn, rejection) = (done.batch.lsn(done.at), done.plan.verdicts[done.at]);
        let told = fresh(done.plan, request, lsn, rejection, done.currency, &done.legs);
        let (record, after) = match rejection {
            None => {
                let refunded = self.refunded(done, refund);
                self.follow_refund(lsn, &refunded).expect("judged when it was added");
                let after = Some(refunded.after());
                (Record::Refunded(Box::new(refunded)), after)
            }
            Some(rejection) => {
                let refused = self.refund_refused(done, refund, rejection);
                let after = refused.after();
                (Record::RefundRefused(Box::new(refused)), after)
            }
        };
        emit(lsn, &record);
        answer.refunds.extend(after.map(|after| (answer.outcomes.len(), after)));
        answer.outcomes.push(told);
    }

    fn refunded(&self, done: &Done<'_>, request: &RefundRequest) -> Refunded {
        let (item, lsn) = (&done.batch.items[done.at], done.batch.lsn(done.at));
        let moved = request.original.and_then(moved_by).expect("judged when it was added");
        let before = self.refund_state(&moved);
        let side = |leg: Option<Leg>| {
            let leg = leg.expect("a refund has both legs");
            PostedSide { back: leg.back(lsn), posted: leg.after.posted, room: room(leg) }
        };
        Refunded {
            id: request.id,
            linked: request.linked,
            of: request.of,
            of_lsn: moved.lsn,
            by_lsn: request.of_lsn.is_some(),
            reversal: request.amount.is_none(),
            overdraft: request.allow_overdraft,
            currency: done.currency.expect("what is done has accounts"),
            moved: moved.amount,
            refunded: before.refunded + item.amount,
            previous: before.last_lsn,
            debit: item.debit,
            credit: item.credit,
            amount: item.amount,
            debit_side: side(done.legs.debit),
            credit_side: side(done.legs.credit),
        }
    }

    fn refund_refused(
        &self,
        done: &Done<'_>,
        request: &RefundRequest,
        rejection: Rejection,
    ) -> RefundRefused {
        let item = &done.batch.items[done.at];
        let party =
            |leg: Leg, slot| Party::Known { slot, posted: leg.after.posted, room: room(leg) };
        let found = match (done.legs.debit, done.legs.credit, request.original.and_then(moved_by)) {
            (Some(debit), Some(credit), Some(moved)) => Some(Found {
                lsn: moved.lsn,
                state: self.refund_state(&moved),
                currency: done.currency.expect("its accounts are known"),
                debit: party(debit, item.debit),
                credit: party(credit, item.credit),
            }),
            // Nothing was found that could be refunded.
            _ => None,
        };
        RefundRefused {
            id: request.id,
            linked: request.linked,
            rejection,
            of: request.of,
            of_lsn: request.of_lsn,
            amount: request.amount,
            currency: request.currency,
            overdraft: request.allow_overdraft,
            found,
        }
    }

    /// Takes in that money was given back.
    ///
    /// # Errors
    /// [`Impossible`] when no sequence of decided events leads here; nothing changed then.
    pub(crate) fn follow_refund(
        &mut self,
        lsn: Lsn,
        refunded: &Refunded,
    ) -> Result<(), Impossible> {
        let Refunded { of, of_lsn, moved, amount, previous, .. } = *refunded;
        let differs = |what: &str| {
            let what = format!("refund of transfer {of}, event {of_lsn}: {what}");
            Err(Impossible::Differs { lsn, what })
        };
        let there = self.refunds.get(of_lsn).copied();
        let before = there.unwrap_or_else(|| RefundState::untouched(moved));
        if before.moved != moved || before.last_lsn != previous {
            return differs("it follows another refund, or another amount was moved");
        }
        if of_lsn >= lsn || before.reversed {
            return differs("it comes before the transfer, or after its reversal");
        }
        if amount == 0 || before.refunded.checked_add(amount) != Some(refunded.refunded) {
            return differs("what was refunded adds up to something else");
        }
        let after = refunded.state(lsn);
        if let Err(what) = after.check(of_lsn) {
            return differs(what);
        }
        self.refunds.set(of_lsn, after);
        Ok(())
    }
}

fn moved_by(original: Original) -> Option<Moved> {
    match original.did {
        Did::Moved { debit, credit, amount } => {
            Some(Moved { lsn: original.lsn, debit, credit, amount })
        }
        Did::Refused | Did::Refund | Did::Nothing => None,
    }
}

/// How much is given back, or the first rule that is broken.
fn judge(
    request: &RefundRequest,
    before: &RefundState,
    currency: Option<CurrencyId>,
) -> Result<u128, Rejection> {
    let remaining = before.remaining();
    let amount = request.amount.unwrap_or(remaining);
    if before.reversed {
        return Err(Rejection::OriginalReversed);
    }
    if remaining == 0 {
        return Err(Rejection::OriginalRefunded);
    }
    if amount > remaining {
        return Err(Rejection::RefundExceeded);
    }
    if request.currency.is_some_and(|named| Some(named) != currency) {
        return Err(Rejection::CurrencyMismatch);
    }
    Ok(amount)
}
