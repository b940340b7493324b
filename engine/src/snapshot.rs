//! A snapshot: a shard's whole state at one LSN, taken in pieces while the shard works on, and
//! a ledger built again from it.
//!
//! ```text
//! coordinator: begin_export ─▶ Head      partitions: begin_export, between the same batches
//!        │ give*                                │ give*
//!        ▼                                      ▼
//! holds, profiles, ids ──┐            accounts of a piece, interleaved
//!                        ├─▶ Tally ─▶ End ◀─────┤        codec ─▶ bytes ─▶ persistence
//!                        └─▶ Restore ─▶ Ledger ◀┘        codec ◀─ bytes ◀─ persistence
//! ```
//!
//! What is in it does not depend on the number of partitions: accounts come in the order of
//! their slots, then open holds as they lie, then what is known of accounts beside their money
//! ([`details`]), in the order of their slots too, then refunded transfers and ids, both in the
//! order of their events.
//!
//! [`Tally`] checks all that can be checked with little memory, on writing and on reading;
//! [`Restore`] builds the ledger, and so finds ids that come twice as well.

pub mod codec;
pub mod details;
pub mod driven;
mod restore;
mod tally;

pub use crate::driven::{DrivenPiece, PIECE_DRIVEN};
pub use crate::holds::PIECE_HOLDS;
pub use crate::known::{Age, IdsHead, IdsPiece, PIECE_IDS, Run};
pub use crate::partition::{PIECE_ACCOUNTS, interleave};
pub use crate::profile::{PIECE_PROFILES, ProfilesPiece};
pub use crate::refunds::{PIECE_REFUNDS, RefundsPiece};
pub use restore::{Restore, RestoreAccounts, RestoreIds};
pub use tally::Tally;

use crate::coordinator::Coordinator;
use crate::fees::Fees;
use crate::holds::Hold;
use crate::ids::{Lsn, TransferId};
use crate::ledger::{HoldsDiffer, Ledger, Totals};
use crate::money::{CurrencyError, CurrencyId};
use std::collections::BTreeMap;
use thiserror::Error;

/// An asset as it was defined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asset {
    /// Its code.
    pub code: String,
    /// Its digits.
    pub digits: u8,
}

/// What comes first: the moment, and how much follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The last event that is part of it.
    pub lsn: Lsn,
    /// The decision time of that event, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Accounts opened.
    pub accounts: u64,
    /// Open holds.
    pub holds: u64,
    /// What the memory of ids holds.
    pub ids: IdsHead,
    /// The assets defined on top of ISO 4217, in the order of their definition.
    pub assets: Vec<Asset>,
    /// Schedules of fees, and what they are attached to.
    pub fees: Fees,
}

/// What comes last: what all of it must add up to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Sums of each currency that any account holds.
    pub totals: BTreeMap<CurrencyId, Totals>,
    /// As [`crate::ledger::state_hash`] gives it.
    pub state_hash: [u8; 32],
}

/// What is wrong with a snapshot whose bytes could be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unsound {
    /// An account that cannot be.
    #[error("the account in slot {slot} cannot be: {what}")]
    Account {
        /// Its slot.
        slot: u64,
        /// Why not.
        what: &'static str,
    },
    /// An open hold that cannot be.
    #[error("hold {id} cannot be: {what}")]
    Hold {
        /// Its id.
        id: TransferId,
        /// Why not.
        what: &'static str,
    },
    /// Accounts and open holds contradict each other.
    #[error("accounts and open holds contradict each other")]
    Holds(#[from] HoldsDiffer),
    /// A refunded transfer that cannot be.
    #[error("the transfer that event {lsn} decided cannot be refunded so: {what}")]
    Refund {
        /// The event.
        lsn: Lsn,
        /// Why not.
        what: &'static str,
    },
    /// A schedule or a saga that cannot be.
    #[error("a schedule or a saga cannot be: {what}")]
    Driven {
        /// Why not.
        what: &'static str,
    },
    /// A remembered id that cannot be.
    #[error("transfer id {id}, remembered for event {lsn}, cannot be: {what}")]
    Id {
        /// The id.
        id: TransferId,
        /// Its event.
        lsn: Lsn,
        /// Why not.
        what: &'static str,
    },
    /// An asset that cannot be defined.
    #[error("an asset cannot be defined")]
    Asset(#[from] CurrencyError),
    /// More or fewer than the head says.
    #[error("{said} {what} are announced, {found} are there")]
    Count {
        /// Of what.
        what: &'static str,
        /// In the head.
        said: u64,
        /// Found, or found so far.
        found: u64,
    },
    /// The sums of a currency are not zero.
    #[error("money was made or lost: currency {currency} sums up to {sum} minor units")]
    NotConserved {
        /// The currency's number.
        currency: u16,
        /// What should be zero.
        sum: i128,
    },
    /// The sums at the end are not those of the accounts.
    #[error("the sums recorded at the end are not those of the accounts")]
    Totals,
    /// The state's hash is another.
    #[error("the state hash recorded at the end is not that of the accounts")]
    StateHash,
    /// Ids would be forgotten at other times than they were.
    #[error("ids are remembered for {found} ns in it, for {expected} ns here")]
    Remember {
        /// In the head.
        found: u64,
        /// By this ledger.
        expected: u64,
    },
    /// Its schedules of fees cannot be.
    #[error("{0}")]
    Fees(&'static str),
    /// A ledger cannot have so many partitions.
    #[error("a ledger cannot have {0} partitions")]
    Partitions(usize),
}

impl Coordinator {
    /// From now on gives up the remembered ids as they are at this moment. Nothing may be
    /// decided and not committed, so that every partition can begin at the same LSN.
    pub fn begin_export(&mut self) -> Head {
        self.profiles.begin_export();
        self.refunds.begin_export();
        self.driven.begin_export();
        let own = self.currencies.own().iter();
        let asset = |asset: &crate::money::Currency| Asset {
            code: asset.code.clone(),
            digits: asset.digits,
        };
        Head {
            lsn: Lsn(self.next_lsn.0 - 1),
            time_ns: self.last_time_ns,
            accounts: self.directory.len() as u64,
            holds: self.holds.begin_export(),
            assets: own.map(asset).collect(),
            fees: self.fees.clone(),
            ids: self.known.begin_export(),
        }
    }

    /// As [`crate::known::KnownIds::give`].
    #[must_use]
    pub fn give(&mut self, most: usize) -> Option<IdsPiece> {
        self.known.give(most)
    }

    /// The next open holds, at most `most` ([`PIECE_HOLDS`], outside of tests); `None` once all
    /// are given. A piece may be empty.
    #[must_use]
    pub fn give_holds(&mut self, most: usize) -> Option<Vec<Hold>> {
        self.holds.give(most)
    }

    /// As [`crate::profile::Profiles::give`].
    #[must_use]
    pub fn give_profiles(&mut self, most: usize) -> Option<ProfilesPiece> {
        self.profiles.give(most)
    }

    /// The next refunded transfers, at most `most` ([`PIECE_REFUNDS`], outside of tests); `None` once
    /// all are given.
    #[must_use]
    pub fn give_refunds(&mut self, most: usize) -> Option<RefundsPiece> {
        self.refunds.give(most)
    }

    /// The next schedules or sagas, at most `most` ([`PIECE_DRIVEN`], outside of tests); `None` once
    /// all are given.
    #[must_use]
    pub fn give_driven(&mut self, most: usize) -> Option<DrivenPiece> {
        self.driven.give(most)
    }

    /// Forgets a snapshot that was begun.
    pub fn end_export(&mut self) {
        self.holds.end_export();
        self.profiles.end_export();
        self.refunds.end_export();
        self.driven.end_export();
        self.known.end_export();
    }
}

impl Ledger {
    /// Begins a snapshot of the whole ledger, where nobody else works on it.
    pub fn begin_export(&mut self) -> Head {
        let piece = self.coordinator.layout.piece_accounts();
        self.partitions.iter_mut().for_each(|partition| partition.begin_export(piece));
        self.coordinator.begin_export()
    }

    /// The next accounts, in the order of their slots; `None` once all are given.
    #[must_use]
    pub fn give_accounts(&mut self) -> Option<Vec<crate::account::Account>> {
        let pieces = self.partitions.iter_mut().map(crate::partition::Partition::give);
        // Partitions with fewer accounts are through a piece earlier.
        let pieces: Vec<_> = pieces.map(Option::unwrap_or_default).collect();
        let ordered = interleave(pieces);
        (!ordered.is_empty()).then_some(ordered)
    }
}
