//! Refunds: what their originals did, how much of that was given back, and the rules about it once
//! more.
//!
//! Only of requests that some refund of the history names it is kept what they did: which these are,
//! the first walk over the history tells.

use crate::books::whole;
use crate::check::Checker;
use crate::event::{Event, Stored};
use crate::fault::Kind;
use crate::holds::Effect;
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::money::AMOUNT_MAX;
use ducat_engine::record::{Record, Refunded};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::RefundRequest;

/// What the event did that a refund names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Did {
    /// From the one to the other, minor units.
    Moved(Slot, Slot, u128),
    MovedNothing,
    WasRefused,
    GaveBack,
}

/// What was given back of a transfer, minor units, and whether all of it, for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Given {
    pub sum: u128,
    pub reversed: bool,
}

impl Checker<'_> {
    /// Notes what the event did, if a refund names its id.
    #[inline]
    pub(crate) fn note_original(&mut self, event: &Event, stored: &Stored) {
        if self.index.originals.contains(&stored.id) {
            let did = match event.record.plain() {
                _ if stored.rejection.is_some() => Did::WasRefused,
                Record::Refunded(_) => Did::GaveBack,
                record => match record.posting() {
                    Some(posted) if posted.amount > 0 => {
                        Did::Moved(posted.debit, posted.credit, posted.amount)
                    }
                    _ => Did::MovedNothing,
                },
            };
            self.originals.entry(stored.id).or_default().push((event.lsn, did));
        }
    }

    /// What a refund names, judged as the event `stored`: an event before it, and what that did. An
    /// id that may be forgotten by then is, if that is what was answered.
    pub(crate) fn original(&self, refund: &RefundRequest, stored: &Stored) -> Option<(Lsn, Did)> {
        let all = self.originals.get(&refund.of)?;
        let found = match refund.of_lsn {
            Some(named) => *all.iter().find(|(lsn, _)| *lsn == named)?,
            None => *all.last()?,
        };
        let sure = refund.of_lsn.is_some() || self.ids.remembers(found.0, stored.lsn);
        (sure || stored.rejection != Some(Rejection::OriginalUnknown)).then_some(found)
    }

    /// The first rule that a refund breaks among those about amounts and originals.
    pub(crate) fn refund_rule(
        &self,
        refund: &RefundRequest,
        found: Option<(Lsn, Did)>,
        given: Given,
    ) -> Option<Rejection> {
        match refund.amount {
            Some(0) => return Some(Rejection::AmountZero),
            Some(amount) if amount > AMOUNT_MAX => return Some(Rejection::AmountTooLarge),
            _ => {}
        }
        let (debit, moved) = match found {
            None => return Some(Rejection::OriginalUnknown),
            Some((_, Did::WasRefused)) => return Some(Rejection::OriginalRefused),
            Some((_, Did::MovedNothing)) => return Some(Rejection::OriginalMovedNothing),
            Some((_, Did::GaveBack)) => return Some(Rejection::OriginalIsRefund),
            Some((_, Did::Moved(debit, _, moved))) => (debit, moved),
        };
        if given.reversed {
            return Some(Rejection::OriginalReversed);
        }
        let left = moved.saturating_sub(given.sum);
        if left == 0 {
            return Some(Rejection::OriginalRefunded);
        }
        if refund.amount.is_some_and(|amount| amount > left) {
            return Some(Rejection::RefundExceeded);
        }
        let held_in = self.books.get(debit).map(|book| book.spec.currency);
        let other = refund.currency.is_some_and(|named| Some(named) != held_in);
        other.then_some(Rejection::CurrencyMismatch)
    }

    /// What a refund does that breaks no rule.
    pub(crate) fn refund_effect(
        refund: &RefundRequest,
        found: Option<(Lsn, Did)>,
        given: Given,
    ) -> Option<Effect> {
        let Some((lsn, Did::Moved(debit, credit, moved))) = found else { return None };
        let amount = refund.amount.unwrap_or(moved.saturating_sub(given.sum));
        let sum = given.sum.saturating_add(amount);
        let now = Given { sum, reversed: refund.amount.is_none() };
        Some(Effect {
            debit: credit,
            credit: debit,
            moved: whole(amount),
            on_hold: 0,
            overdraft: refund.allow_overdraft,
            hold: None,
            refund: Some((lsn, now)),
        })
    }

    /// Replays an event of a refund, and holds what it says against what it comes to.
    pub(crate) fn refund_event(&mut self, lsn: Lsn, record: &Record, stored: Option<&Stored>) {
        match record {
            Record::Refunded(refunded) => {
                self.gives_money_back(lsn, refunded);
                self.post(lsn, &refunded.posted());
            }
            Record::RefundRefused(refused) => {
                if let Some(stored) = stored {
                    self.refuse(stored);
                }
                let Some(found) = refused.found else { return };
                let given = self.refunded.get(&found.lsn).copied().unwrap_or_default();
                let state = (found.state.refunded, found.state.reversed);
                if state != (given.sum, given.reversed) {
                    self.report.add(Kind::WrongRefund, lsn, || {
                        format!("{given:?} was given back, the refusal has {found:?}")
                    });
                }
            }
            _ => {}
        }
    }

    /// Of no transfer more is given back than it moved, and to nobody else than who paid it.
    fn gives_money_back(&mut self, lsn: Lsn, refunded: &Refunded) {
        let Refunded { of, of_lsn, amount, moved, reversal, debit, credit, .. } = *refunded;
        let before = self.refunded.get(&of_lsn).copied().unwrap_or_default();
        let sum = before.sum.saturating_add(amount);
        self.refunded.insert(of_lsn, Given { sum, reversed: reversal });
        let is_it = match self.originals.get(&of) {
            // Of originals that nobody in the history names nothing is known.
            None => !self.index.originals.contains(&of),
            Some(all) => all.contains(&(of_lsn, Did::Moved(credit, debit, moved))),
        };
        let fits = sum == refunded.refunded && sum <= moved && !before.reversed && of_lsn < lsn;
        if !fits || !is_it || (reversal && sum != moved) {
            self.report.add(Kind::WrongRefund, lsn, || {
                format!("{before:?} was given back before, the journal has {refunded:?}")
            });
        }
    }
}
