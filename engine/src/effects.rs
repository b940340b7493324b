//! What an event is about, told by its record alone: its kind, the accounts it touches, and what
//! it adds to whose balance. For all that looks back at a journal: feeds, statements, audits.
//!
//! A new kind of record is added in these matches and nowhere else in the readers.

use crate::account_event::{AccountEvent, Change};
use crate::driven::DrivenEvent;
use crate::fees::Target;
use crate::ids::Slot;
use crate::record::{FeeDid, FeeEvent, Party, PostedSide, Record};
use crate::repeat::Named;
use crate::transfer::{AccountSpec, AccountStatus};

/// What sort of event a record is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// Money moved: a transfer was posted, a hold captured, a transfer refunded.
    Posted,
    /// A transfer, an operation on a hold or a refund was refused.
    Refused,
    /// An account was opened.
    AccountOpened,
    /// An account's status was changed.
    StatusChanged,
    /// An asset was defined.
    AssetDefined,
    /// A hold was placed, voided, extended, or its time was over.
    Hold,
    /// What is known of an account, or how far it may go, was changed.
    AccountChanged,
    /// A schedule was defined, paused, resumed, cancelled, or a run of it began.
    Schedule,
    /// A saga was started, answered or resolved, or a step of it began.
    Saga,
    /// A schedule of fees was defined, attached or detached.
    Fees,
    /// Somebody's access is told of. Of no feed.
    Audit,
}

/// What an event does to the balance of one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effect<'r> {
    /// The account.
    pub slot: Slot,
    /// The other account.
    pub counterparty: Slot,
    /// Minor units, negative for a debit.
    pub change: i128,
    /// The figures after it, and the way to the account's entry before.
    pub side: &'r PostedSide,
}

impl Effect<'_> {
    /// The account's posted balance before it, minor units.
    #[must_use]
    pub fn posted_before(&self) -> i128 {
        self.side.posted - self.change
    }
}

impl Record {
    /// What sort of event it is of.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Termed(termed) => termed.record.kind(),
            Self::Noted(noted) => noted.record.kind(),
            Self::Posted(_) | Self::PostedLinked(_) => EventKind::Posted,
            Self::Refused(_) | Self::RefusedLinked(_) => EventKind::Refused,
            Self::AccountOpened(_) => EventKind::AccountOpened,
            Self::StatusChanged { .. } => EventKind::StatusChanged,
            Self::AssetDefined { .. } => EventKind::AssetDefined,
            Self::Captured(_) | Self::Refunded(_) => EventKind::Posted,
            Self::HoldRefused(_) | Self::RefundRefused(_) => EventKind::Refused,
            Self::Held(_) | Self::Voided(_) | Self::Extended(_) | Self::Expired(_) => {
                EventKind::Hold
            }
            Self::Driven(event) => match **event {
                DrivenEvent::Schedule(_) => EventKind::Schedule,
                DrivenEvent::Saga(_) => EventKind::Saga,
            },
            Self::FeeEvent(_) => EventKind::Fees,
            Self::Audit(_) => EventKind::Audit,
            Self::FeeLeg(leg) => match leg.did {
                FeeDid::Taken { .. } => EventKind::Posted,
                FeeDid::Refused { .. } => EventKind::Refused,
            },
            Self::Account(event) => match **event {
                AccountEvent::Opened(_) => EventKind::AccountOpened,
                AccountEvent::Changed { change: Change::Status { .. }, .. } => {
                    EventKind::StatusChanged
                }
                AccountEvent::Changed { .. } => EventKind::AccountChanged,
            },
        }
    }

    /// The accounts it touches; an account that it opens is named by its id.
    #[must_use]
    pub fn parties(&self) -> [Option<Named>; 2] {
        let of = |party: &Party| match party {
            Party::Known { slot, .. } => Some(Named::Slot(*slot)),
            Party::Unknown(id) => Some(Named::Id(*id)),
        };
        match self {
            Self::Termed(termed) => termed.record.parties(),
            Self::Noted(noted) => noted.record.parties(),
            Self::Posted(p) | Self::PostedLinked(p) => {
                [Some(Named::Slot(p.debit)), Some(Named::Slot(p.credit))]
            }
            Self::Refused(r) | Self::RefusedLinked(r) => [of(&r.debit), of(&r.credit)],
            Self::AccountOpened(spec) => [Some(Named::Id(spec.id)), None],
            Self::StatusChanged { slot, .. } => [Some(Named::Slot(*slot)), None],
            Self::AssetDefined { .. } | Self::Driven(_) | Self::Audit(_) => [None, None],
            Self::Held(h) => [Some(Named::Slot(h.debit)), Some(Named::Slot(h.credit))],
            Self::Captured(c) => [Some(Named::Slot(c.debit)), Some(Named::Slot(c.credit))],
            Self::Voided(v) => [Some(Named::Slot(v.debit)), None],
            Self::Extended(e) => [Some(Named::Slot(e.debit)), None],
            Self::Expired(e) => [Some(Named::Slot(e.debit)), None],
            Self::HoldRefused(r) => [r.debit.as_ref().and_then(of), r.credit.as_ref().and_then(of)],
            Self::Refunded(r) => [Some(Named::Slot(r.debit)), Some(Named::Slot(r.credit))],
            Self::RefundRefused(r) => match &r.found {
                Some(found) => [of(&found.debit), of(&found.credit)],
                None => [None, None],
            },
            Self::FeeEvent(event) => match **event {
                FeeEvent::Defined { slot, .. } => [Some(Named::Slot(slot)), None],
                FeeEvent::Attached { target: Target::Account(slot), .. } => {
                    [Some(Named::Slot(slot)), None]
                }
                FeeEvent::Attached { .. } => [None, None],
            },
            Self::FeeLeg(leg) => [Some(Named::Slot(leg.debit)), Some(Named::Slot(leg.credit))],
            Self::Account(event) => match &**event {
                AccountEvent::Opened(opening) => [Some(Named::Id(opening.spec.id)), None],
                AccountEvent::Changed { slot, .. } => [Some(Named::Slot(*slot)), None],
            },
        }
    }

    /// What it does to balances: nothing, or it takes from one account what it gives to another.
    #[must_use]
    pub fn effects(&self) -> [Option<Effect<'_>>; 2] {
        let (debit, credit, amount, sides) = match self {
            Self::Termed(termed) => return termed.record.effects(),
            Self::Noted(noted) => return noted.record.effects(),
            Self::Posted(p) | Self::PostedLinked(p) => {
                (p.debit, p.credit, p.amount, [&p.debit_side, &p.credit_side])
            }
            Self::Captured(c) => (c.debit, c.credit, c.amount, [&c.debit_side, &c.credit_side]),
            Self::Refunded(r) => (r.debit, r.credit, r.amount, [&r.debit_side, &r.credit_side]),
            Self::FeeLeg(leg) => match &leg.did {
                FeeDid::Taken { debit_side, credit_side } => {
                    (leg.debit, leg.credit, leg.amount, [debit_side, credit_side])
                }
                FeeDid::Refused { .. } => return [None, None],
            },
            Self::Refused(_)
            | Self::RefusedLinked(_)
            | Self::AccountOpened(_)
            | Self::StatusChanged { .. }
            | Self::AssetDefined { .. }
            | Self::FeeEvent(_)
            | Self::Held(_)
            | Self::Voided(_)
            | Self::Extended(_)
            | Self::Expired(_)
            | Self::HoldRefused(_)
            | Self::RefundRefused(_)
            | Self::Driven(_)
            | Self::Audit(_)
            | Self::Account(_) => return [None, None],
        };
        // No amount is above AMOUNT_MAX: far below the end of the range.
        let amount = i128::try_from(amount).unwrap_or(i128::MAX);
        let effect =
            |slot, counterparty, change, side| Some(Effect { slot, counterparty, change, side });
        [effect(debit, credit, -amount, sides[0]), effect(credit, debit, amount, sides[1])]
    }

    /// The account that it opens.
    #[must_use]
    pub fn opens(&self) -> Option<AccountSpec> {
        match self {
            Self::AccountOpened(spec) => Some(*spec),
            Self::Account(event) => match &**event {
                AccountEvent::Opened(opening) => Some(opening.spec),
                AccountEvent::Changed { .. } => None,
            },
            _ => None,
        }
    }

    /// The account whose status it changes, and the new one.
    #[must_use]
    pub fn changes_status(&self) -> Option<(Slot, AccountStatus)> {
        match self {
            Self::StatusChanged { slot, status } => Some((*slot, *status)),
            Self::Account(event) => match &**event {
                AccountEvent::Changed { slot, change: Change::Status { status, .. }, .. } => {
                    Some((*slot, *status))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// What it does to the balance of this account.
    #[must_use]
    pub fn effect_on(&self, slot: Slot) -> Option<Effect<'_>> {
        self.effects().into_iter().flatten().find(|effect| effect.slot == slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, TransferId};
    use crate::record::{Posted, Refused};
    use crate::rejection::Rejection;
    use crate::transfer::{AccountStatus, TransferKind};

    #[test]
    fn a_posting_takes_from_one_what_it_gives_to_the_other() {
        let side = |posted| PostedSide { back: 3, posted, room: 0 };
        let record = Record::PostedLinked(Posted {
            id: TransferId::new(1).expect("not zero"),
            debit: Slot(4),
            credit: Slot(7),
            amount: 5,
            debit_side: side(-2),
            credit_side: side(11),
        });
        assert_eq!(record.kind(), EventKind::Posted);
        assert_eq!(record.parties(), [Some(Named::Slot(Slot(4))), Some(Named::Slot(Slot(7)))]);
        let debit = record.effect_on(Slot(4)).expect("it pays");
        assert_eq!((debit.change, debit.posted_before(), debit.counterparty), (-5, 3, Slot(7)));
        let credit = record.effect_on(Slot(7)).expect("it receives");
        assert_eq!((credit.change, credit.posted_before(), credit.counterparty), (5, 6, Slot(4)));
        assert_eq!(record.effect_on(Slot(5)), None);
    }

    #[test]
    fn what_posts_nothing_has_parties_and_no_effects() {
        let id = AccountId::new(9).expect("not zero");
        let refused = Record::Refused(Refused {
            id: TransferId::new(1).expect("not zero"),
            rejection: Rejection::InsufficientFunds,
            debit: Party::Known { slot: Slot(2), posted: 0, room: 0 },
            credit: Party::Unknown(id),
            amount: 5,
            currency: None,
            kind: TransferKind::Transfer,
        });
        assert_eq!(refused.parties(), [Some(Named::Slot(Slot(2))), Some(Named::Id(id))]);
        let status = Record::StatusChanged { slot: Slot(3), status: AccountStatus::Frozen };
        assert_eq!(status.parties(), [Some(Named::Slot(Slot(3))), None]);
        for record in [refused, status, Record::AssetDefined { code: "AB".into(), digits: 0 }] {
            assert_eq!(record.effects(), [None, None]);
        }
    }
}
