//! The events of fees: schedules defined and attached by operators, and the legs that transfers
//! paid, or did not.

use super::{Party, Posted, PostedSide, Record};
use crate::fees::{Schedule, Target};
use crate::ids::{Lsn, Slot, TransferId};
use crate::rejection::Rejection;
use serde::{Deserialize, Serialize};

/// What an operator did with schedules of fees. It applies from the event on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FeeEvent {
    /// A schedule was defined, with the next number, or the one of this name changed.
    Defined {
        /// All of it.
        schedule: Schedule,
        /// The account that gets it.
        slot: Slot,
    },
    /// A schedule was attached, in the place of the one that was; `None`: detached.
    Attached {
        /// To what.
        target: Target,
        /// The schedule's number.
        schedule: Option<u32>,
    },
}

/// A fee's leg, behind the group of the transfer it is for. Nobody asked for it by an id, and none
/// is consumed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeeLeg {
    /// The transfer.
    pub of: TransferId,
    /// How many LSNs before this event that was decided.
    pub back: u32,
    /// The schedule's number.
    pub schedule: u32,
    /// The account that pays: the transfer's debit account.
    pub debit: Slot,
    /// The account that gets it.
    pub credit: Slot,
    /// Minor units.
    pub amount: u128,
    /// What became of it.
    pub did: FeeDid,
}

/// What became of a fee.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FeeDid {
    /// It was taken: a posting.
    Taken {
        /// The debit account's side of it.
        debit_side: PostedSide,
        /// The credit account's side of it.
        credit_side: PostedSide,
    },
    /// It was not, and nothing of its group happened.
    Refused {
        /// The rule that it broke itself, or [`Rejection::LinkedFailed`].
        rejection: Rejection,
        /// The account that should have paid.
        debit: Party,
        /// The account that should have received.
        credit: Party,
    },
}

impl FeeLeg {
    /// The posting that it is, under the transfer's id.
    #[must_use]
    pub fn posted(&self) -> Option<Posted> {
        let Self { of: id, debit, credit, amount, did, .. } = *self;
        match did {
            FeeDid::Taken { debit_side, credit_side } => {
                Some(Posted { id, debit, credit, amount, debit_side, credit_side })
            }
            FeeDid::Refused { .. } => None,
        }
    }

    /// The transfer's event, this leg's being at `lsn`.
    #[must_use]
    pub fn transfer_lsn(&self, lsn: Lsn) -> Option<Lsn> {
        lsn.0.checked_sub(self.back.into()).map(Lsn)
    }
}

impl Record {
    /// The request that it decided, or of which it is a fee's leg.
    #[must_use]
    pub fn request_id(&self) -> Option<TransferId> {
        match self {
            Self::FeeLeg(leg) => Some(leg.of),
            other => other.transfer_id(),
        }
    }
}
