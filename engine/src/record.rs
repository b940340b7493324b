//! Journal records: decided events, and nothing else. Replaying them never evaluates a rule
//! and never reads a clock.
//!
//! A record's LSN and time are its place in the journal's frames, not part of it. Accounts
//! that exist are named by slot; the figures after an event are kept with it, so that a
//! repeat gets the answer of its first time, statements need no recomputing, and replay
//! notices at once when it comes to other figures than the live run did.

mod fees;
mod holds;
mod noted;
mod refunds;
mod terms;

pub use fees::{FeeDid, FeeEvent, FeeLeg};
pub use holds::{Captured, Expired, Extended, Figures, Held, HoldRefused, Operation, Voided};
pub use noted::NotedRecord;
pub use refunds::{Found, RefundRefused, Refunded};
pub use terms::TermedRecord;

use crate::account_event::AccountEvent;
use crate::audit::AuditEvent;
use crate::driven::DrivenEvent;
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
    /// A hold was placed.
    Held(Held),
    /// A hold was captured, or a part of it: a posting.
    Captured(Captured),
    /// A hold was voided.
    Voided(Voided),
    /// A hold expires later than it would have.
    Extended(Extended),
    /// A hold expired. Nobody asked for it, and no id is consumed.
    Expired(Expired),
    /// An operation on a hold was refused; its id is consumed.
    HoldRefused(HoldRefused),
    /// An account was opened with more than a plain opening says, or changed.
    Account(Box<AccountEvent>),
    /// Money was given back: a posting.
    Refunded(Box<Refunded>),
    /// A refund was refused; its id is consumed.
    RefundRefused(Box<RefundRefused>),
    /// An event of a request that has terms.
    Termed(Box<TermedRecord>),
    /// An event of a request with a note, or of a kind that its accounts do not tell.
    Noted(Box<NotedRecord>),
    /// A schedule of fees was defined, attached or detached.
    FeeEvent(Box<FeeEvent>),
    /// A transfer's fee was taken, or was not since its group did not happen.
    FeeLeg(Box<FeeLeg>),
    /// An event of a schedule or a saga.
    Driven(Box<DrivenEvent>),
    /// Who did what. It changes nothing.
    Audit(Box<AuditEvent>),
}

/// A posted transfer. Its kind follows from which account is external, unless a [`NotedRecord`]
/// around it names one; its currency is that of the accounts.
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
    /// available − posted after it, minor units: the overdraft limit less what is on hold.
    pub room: i128,
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
#[serde(from = "StoredParty", into = "StoredParty")]
pub enum Party {
    /// An account, with its figures at that moment.
    Known {
        /// The account.
        slot: Slot,
        /// Posted balance, minor units.
        posted: i128,
        /// available − posted, minor units.
        room: i128,
    },
    /// An id that no account had.
    Unknown(AccountId),
}

/// As it is written: before there were holds, available was never below posted.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum StoredParty {
    Known { slot: Slot, posted: i128, room: u128 },
    Unknown(AccountId),
    Below { slot: Slot, posted: i128, below: u128 },
}

impl From<StoredParty> for Party {
    fn from(stored: StoredParty) -> Self {
        // Out of range is replay's to say; nothing wraps round to something plausible.
        let signed = |figure: u128| i128::try_from(figure).unwrap_or(i128::MAX);
        match stored {
            StoredParty::Known { slot, posted, room } => {
                Self::Known { slot, posted, room: signed(room) }
            }
            StoredParty::Below { slot, posted, below } => {
                let room = 0_i128.checked_sub_unsigned(below).unwrap_or(i128::MIN);
                Self::Known { slot, posted, room }
            }
            StoredParty::Unknown(id) => Self::Unknown(id),
        }
    }
}

impl From<Party> for StoredParty {
    fn from(party: Party) -> Self {
        match party {
            Party::Known { slot, posted, room } if room < 0 => {
                Self::Below { slot, posted, below: room.unsigned_abs() }
            }
            Party::Known { slot, posted, room } => {
                Self::Known { slot, posted, room: room.unsigned_abs() }
            }
            Party::Unknown(id) => Self::Unknown(id),
        }
    }
}

impl Record {
    /// The id the event consumed, if it decided a request: a transfer's or that of an operation
    /// on a hold.
    #[must_use]
    pub fn transfer_id(&self) -> Option<TransferId> {
        match self {
            Self::Posted(p) | Self::PostedLinked(p) => Some(p.id),
            Self::Refused(r) | Self::RefusedLinked(r) => Some(r.id),
            Self::Held(held) => Some(held.id),
            Self::Captured(captured) => Some(captured.id),
            Self::Voided(voided) => Some(voided.id),
            Self::Extended(extended) => Some(extended.id),
            Self::HoldRefused(refused) => Some(refused.id),
            Self::Refunded(refunded) => Some(refunded.id),
            Self::RefundRefused(refused) => Some(refused.id),
            Self::AccountOpened(_)
            | Self::StatusChanged { .. }
            | Self::AssetDefined { .. }
            | Self::Expired(_)
            | Self::Driven(_)
            | Self::Audit(_)
            | Self::Account(_)
            | Self::FeeEvent(_)
            | Self::FeeLeg(_) => None,
            Self::Termed(termed) => termed.record.transfer_id(),
            Self::Noted(noted) => noted.record.transfer_id(),
        }
    }

    /// Whether it is linked with the next event.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        match self {
            Self::PostedLinked(_) | Self::RefusedLinked(_) => true,
            Self::Held(held) => held.linked,
            Self::Captured(captured) => captured.linked,
            Self::Voided(voided) => voided.linked,
            Self::Extended(extended) => extended.linked,
            Self::HoldRefused(refused) => refused.linked,
            Self::Refunded(refunded) => refunded.linked,
            Self::RefundRefused(refused) => refused.linked,
            Self::Posted(_)
            | Self::Refused(_)
            | Self::AccountOpened(_)
            | Self::StatusChanged { .. }
            | Self::AssetDefined { .. }
            | Self::Expired(_)
            | Self::Driven(_)
            | Self::Audit(_)
            | Self::Account(_)
            | Self::FeeEvent(_)
            | Self::FeeLeg(_) => false,
            Self::Termed(termed) => termed.record.is_linked(),
            Self::Noted(noted) => noted.record.is_linked(),
        }
    }

    /// Whether a request was done, not refused.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::Posted(_)
            | Self::PostedLinked(_)
            | Self::Held(_)
            | Self::Captured(_)
            | Self::Voided(_)
            | Self::Extended(_)
            | Self::Refunded(_) => true,
            Self::Refused(_)
            | Self::RefusedLinked(_)
            | Self::HoldRefused(_)
            | Self::RefundRefused(_)
            | Self::AccountOpened(_)
            | Self::StatusChanged { .. }
            | Self::AssetDefined { .. }
            | Self::Expired(_)
            | Self::Driven(_)
            | Self::Audit(_)
            | Self::Account(_)
            | Self::FeeEvent(_)
            | Self::FeeLeg(_) => false,
            Self::Termed(termed) => termed.record.is_done(),
            Self::Noted(noted) => noted.record.is_done(),
        }
    }

    /// The money it moved: the posting of a transfer, of a capture, of a refund or of a fee.
    #[must_use]
    pub fn posting(&self) -> Option<Posted> {
        match self.plain() {
            Self::Posted(posted) | Self::PostedLinked(posted) => Some(*posted),
            Self::Captured(captured) => Some(captured.posted()),
            Self::Refunded(refunded) => Some(refunded.posted()),
            Self::FeeLeg(leg) => leg.posted(),
            _ => None,
        }
    }

    /// Whether a request was refused, and for which rule.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        match self.plain() {
            Self::Refused(refused) | Self::RefusedLinked(refused) => Some(refused.rejection),
            Self::HoldRefused(refused) => Some(refused.rejection),
            Self::RefundRefused(refused) => Some(refused.rejection),
            _ => None,
        }
    }
}
