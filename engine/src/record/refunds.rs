//! The events of refunds: which transfer was given back, by how much, and how it stands then.

use super::{Party, Posted, PostedSide};
use crate::ids::{Lsn, Slot, TransferId};
use crate::money::CurrencyId;
use crate::refunds::{RefundAfter, RefundState};
use crate::rejection::Rejection;
use serde::{Deserialize, Serialize};

/// A refund or a reversal: a posting from the original's credit account to its debit account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refunded {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The original's id.
    pub of: TransferId,
    /// Its event.
    pub of_lsn: Lsn,
    /// The request named that event.
    pub by_lsn: bool,
    /// No amount was named: all that remained, and nothing follows.
    pub reversal: bool,
    /// The account that paid was allowed to go below its overdraft limit for it.
    pub overdraft: bool,
    /// What its accounts hold.
    pub currency: CurrencyId,
    /// Minor units that the original moved.
    pub moved: u128,
    /// Minor units of them given back so far, these too.
    pub refunded: u128,
    /// The refund before it, of the same original; [`Lsn::ZERO`] for none.
    pub previous: Lsn,
    /// The account that paid: the original's credit account.
    pub debit: Slot,
    /// The account that received: the original's debit account.
    pub credit: Slot,
    /// Minor units moved.
    pub amount: u128,
    /// The debit account's side of it.
    pub debit_side: PostedSide,
    /// The credit account's side of it.
    pub credit_side: PostedSide,
}

impl Refunded {
    /// The posting that it is.
    #[must_use]
    pub fn posted(&self) -> Posted {
        let Self { id, debit, credit, amount, debit_side, credit_side, .. } = *self;
        Posted { id, debit, credit, amount, debit_side, credit_side }
    }

    /// How the original stands after it, this event being at `lsn`.
    #[must_use]
    pub fn state(&self, lsn: Lsn) -> RefundState {
        let Self { moved, refunded, reversal, .. } = *self;
        RefundState { moved, refunded, last_lsn: lsn, reversed: reversal }
    }

    /// The same, as it is told with the outcome.
    #[must_use]
    pub fn after(&self) -> RefundAfter {
        let Self { of, of_lsn, amount, moved, refunded, reversal, .. } = *self;
        RefundAfter { of, of_lsn, amount, moved, refunded, reversed: reversal }
    }
}

/// A refund or a reversal that was refused, with all that was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefundRefused {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The rule it broke.
    pub rejection: Rejection,
    /// The original's id, as it was named.
    pub of: TransferId,
    /// Its event, where the request named it.
    pub of_lsn: Option<Lsn>,
    /// Minor units; `None` for a reversal.
    pub amount: Option<u128>,
    /// The currency that was named.
    pub currency: Option<CurrencyId>,
    /// The account that pays should be allowed to go below its overdraft limit.
    pub overdraft: bool,
    /// How the original stands, and its accounts, where it is one that moved money.
    pub found: Option<Found>,
}

/// What a refused refund found of its original.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Found {
    /// Its event.
    pub lsn: Lsn,
    /// How it stands.
    pub state: RefundState,
    /// What its accounts hold.
    pub currency: CurrencyId,
    /// The account that should have paid.
    pub debit: Party,
    /// The account that should have received.
    pub credit: Party,
}

impl RefundRefused {
    /// How the original stands, as it is told with the outcome.
    #[must_use]
    pub fn after(&self) -> Option<RefundAfter> {
        self.found.map(|found| found.state.told(self.of, found.lsn))
    }
}
