//! Journal records: decided events, and nothing else. Replaying them never evaluates a rule
//! and never reads a clock.
//!
//! A record's LSN and time are its place in the journal's frames, not part of it. Accounts
//! that exist are named by slot; the figures after an event are kept with it, so that a
//! repeat gets the answer of its first time, statements need no recomputing, and replay
//! notices at once when it comes to other figures than the live run did.

use crate::account_event::AccountEvent;
use crate::ids::{AccountId, Lsn, Slot, TransferId};
use crate::money::CurrencyId;
use crate::rejection::Rejection;
use crate::transfer::{AccountSpec, AccountStatus, TransferKind};
use serde::{Deserialize, Serialize};

/// One decided event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// A transfer was posted.
    Posted(Posted),
    /// A transfer was posted and is linked with the next event.
    PostedLinked(Posted),
    /// A transfer was refused; its id is consumed.
    Refused(Refused),
    /// A transfer was refused and is linked with the next event.
    RefusedLinked(Refused),
    /// An account was opened, in the next slot.
    AccountOpened(AccountSpec),
    /// An account's status was changed, by a version that kept no reasons. Read, never written.
    StatusChanged {
        /// The account.
        slot: Slot,
        /// Its new status.
        status: AccountStatus,
    },
    /// An asset was defined, with the next number.
    AssetDefined {
        /// Its code.
        code: String,
        /// Its digits.
        digits: u8,
    },
    /// An account was opened with more than a plain opening says, or changed.
    Account(Box<AccountEvent>),
}

/// A posted transfer. Its kind follows from which account is external, its currency is that
/// of the accounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Posted {
    /// The transfer's id.
    pub id: TransferId,
    /// The account that paid.
    pub debit: Slot,
    /// The account that received.
    pub credit: Slot,
    /// Minor units.
    pub amount: u128,
    /// The debit account's side of it.
    pub debit_side: PostedSide,
    /// The credit account's side of it.
    pub credit_side: PostedSide,
}

/// One account's side of a posted transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PostedSide {
    /// How many LSNs before this one the account's previous entry lies; 0 for none. Chains
    /// an account's entries backwards.
    pub back: u64,
    /// Posted balance after it, minor units.
    pub posted: i128,
    /// available − posted after it, minor units.
    pub room: u128,
}

impl PostedSide {
    /// The account's previous entry, seen from the event at `lsn`.
    #[must_use]
    pub fn previous(&self, lsn: Lsn) -> Option<Lsn> {
        (self.back > 0).then(|| lsn.0.checked_sub(self.back).map(Lsn)).flatten()
    }
}

/// A refused transfer, with all that was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The transfer's id.
    pub id: TransferId,
    /// The rule it broke.
    pub rejection: Rejection,
    /// The account that should have paid.
    pub debit: Party,
    /// The account that should have received.
    pub credit: Party,
    /// Minor units.
    pub amount: u128,
    /// The currency that was named.
    pub currency: Option<CurrencyId>,
    /// What it was for.
    pub kind: TransferKind,
}

/// A side of a refused transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Party {
    /// An account, with its figures at that moment.
    Known {
        /// The account.
        slot: Slot,
        /// Posted balance, minor units.
        posted: i128,
        /// available − posted, minor units.
        room: u128,
    },
    /// An id that no account had.
    Unknown(AccountId),
}

impl Record {
    /// The id the event consumed, if it decided a transfer.
    #[must_use]
    pub fn transfer_id(&self) -> Option<TransferId> {
        match self {
            Self::Posted(p) | Self::PostedLinked(p) => Some(p.id),
            Self::Refused(r) | Self::RefusedLinked(r) => Some(r.id),
            Self::AccountOpened(_)
            | Self::StatusChanged { .. }
            | Self::AssetDefined { .. }
            | Self::Account(_) => None,
        }
    }

    /// Whether it is linked with the next event.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        matches!(self, Self::PostedLinked(_) | Self::RefusedLinked(_))
    }
}
