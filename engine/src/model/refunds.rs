//! Refunds in the plainest possible way: what every event did, kept for ever, and how much of it
//! was given back.

use super::holds::Move;
use crate::ids::{AccountId, Lsn, TransferId};
use crate::money::{AMOUNT_MAX, CurrencyId};
use crate::refunds::RefundAfter;
use crate::rejection::Rejection;
use crate::request::{RefundRequest, Request};
use std::collections::HashMap;

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Refused,
    /// Debit, credit, minor units.
    Moved(AccountId, AccountId, u128),
    GaveBack,
    MovedNothing,
}

/// What a refund names: an event, and what it did.
pub(super) type Found = Option<(Lsn, Fate)>;

/// All originals.
#[derive(Clone, Debug, Default)]
pub(super) struct RefundBook {
    events: HashMap<Lsn, (TransferId, Fate)>,
    /// What was given back, and whether it was reversed.
    given: HashMap<Lsn, (u128, bool)>,
}

impl RefundBook {
    /// Notes what a request came to.
    pub fn note(&mut self, lsn: Lsn, request: &Request, refused: bool, moved: Option<Move>) {
        let fate = match (request, moved) {
            _ if refused => Fate::Refused,
            (Request::Refund(_), _) => Fate::GaveBack,
            (Request::Transfer(_) | Request::Capture(_), Some(moved)) if moved.amount > 0 => {
                Fate::Moved(moved.debit, moved.credit, moved.amount)
            }
            _ => Fate::MovedNothing,
        };
        self.events.insert(lsn, (request.id(), fate));
    }

    /// What the refund names. `known` is the event that its original's id is remembered for.
    pub fn find(&self, refund: &RefundRequest, known: Option<Lsn>) -> Found {
        let lsn = refund.of_lsn.or(known)?;
        let (id, fate) = *self.events.get(&lsn)?;
        (id == refund.of).then_some((lsn, fate))
    }

    fn given(&self, lsn: Lsn) -> (u128, bool) {
        self.given.get(&lsn).copied().unwrap_or_default()
    }

    /// The first rule about amounts and originals that the refund breaks.
    pub fn rule(
        &self,
        refund: &RefundRequest,
        found: Found,
        held_in: impl Fn(AccountId) -> CurrencyId,
    ) -> Option<Rejection> {
        match refund.amount {
            Some(0) => return Some(Rejection::AmountZero),
            Some(amount) if amount > AMOUNT_MAX => return Some(Rejection::AmountTooLarge),
            _ => {}
        }
        let (lsn, debit, moved) = match found {
            None => return Some(Rejection::OriginalUnknown),
            Some((_, Fate::Refused)) => return Some(Rejection::OriginalRefused),
            Some((_, Fate::MovedNothing)) => return Some(Rejection::OriginalMovedNothing),
            Some((_, Fate::GaveBack)) => return Some(Rejection::OriginalIsRefund),
            Some((lsn, Fate::Moved(debit, _, moved))) => (lsn, debit, moved),
        };
        let (given, reversed) = self.given(lsn);
        if reversed {
            return Some(Rejection::OriginalReversed);
        }
        if given == moved {
            return Some(Rejection::OriginalRefunded);
        }
        if refund.amount.is_some_and(|amount| given + amount > moved) {
            return Some(Rejection::RefundExceeded);
        }
        let other = refund.currency.is_some_and(|named| named != held_in(debit));
        other.then_some(Rejection::CurrencyMismatch)
    }

    /// The accounts of the refund, the one that pays first, where there are any to speak of.
    pub fn parties(refund: &RefundRequest, found: Found) -> Option<(AccountId, AccountId)> {
        let sound = refund.amount.is_none_or(|amount| (1..=AMOUNT_MAX).contains(&amount));
        match found {
            Some((_, Fate::Moved(debit, credit, _))) if sound => Some((credit, debit)),
            _ => None,
        }
    }

    /// What the refund, which breaks no rule about originals, will do to accounts.
    pub fn movement(&self, refund: &RefundRequest, found: Found) -> Option<Move> {
        let Some((lsn, Fate::Moved(debit, credit, moved))) = found else { return None };
        let amount = refund.amount.unwrap_or(moved - self.given(lsn).0);
        Some(Move {
            debit: credit,
            credit: debit,
            amount,
            set_aside: 0,
            given_back: 0,
            overdraft: refund.allow_overdraft,
        })
    }

    /// The refund happens.
    pub fn happen(&mut self, refund: &RefundRequest, found: Found) {
        let amount = self.movement(refund, found).map_or(0, |moved| moved.amount);
        if let Some((lsn, _)) = found {
            let given = self.given.entry(lsn).or_default();
            *given = (given.0 + amount, refund.amount.is_none());
        }
    }

    /// How the original stands, so much having been given back just now.
    pub fn told(&self, request: &Request, found: Found, amount: u128) -> Option<RefundAfter> {
        let refund = request.refund()?;
        Self::parties(refund, found)?;
        let Some((of_lsn, Fate::Moved(_, _, moved))) = found else { return None };
        let (refunded, reversed) = self.given(of_lsn);
        Some(RefundAfter { of: refund.of, of_lsn, amount, moved, refunded, reversed })
    }
}
