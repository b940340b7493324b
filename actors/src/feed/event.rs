//! An event as a feed gives it: accounts by the ids of those who opened them.

use crate::entries::stored_transfer;
use crate::handle::StoredTransfer;
use crate::names::Known;
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::record::Record;
use ducat_engine::transfer::{AccountSpec, AccountStatus, Outcome};

/// A decided event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// Its place.
    pub lsn: Lsn,
    /// When it was decided: nanoseconds since 1970.
    pub time_ns: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A transfer was posted or refused; the outcome tells which.
    Transfer(Box<StoredTransfer>),
    /// An account was opened.
    AccountOpened(AccountSpec),
    /// An account's status was changed.
    StatusChanged {
        /// The account.
        account: AccountId,
        /// Its new status.
        status: AccountStatus,
    },
    /// An asset was defined.
    AssetDefined {
        /// Its code.
        code: String,
        /// Decimal digits of its minor unit.
        digits: u8,
    },
}

/// The event, with what is known of its accounts; `None` when that is not enough.
pub(super) fn named(
    lsn: Lsn,
    time_ns: u64,
    record: &Record,
    known: &Known<'_>,
) -> Option<FeedEvent> {
    let what = match record {
        Record::Posted(_)
        | Record::PostedLinked(_)
        | Record::Refused(_)
        | Record::RefusedLinked(_) => {
            let stored = stored_transfer(lsn, time_ns, record, known)?;
            // The event itself, not an answer that comes again.
            let outcome = Outcome { repeat: false, ..stored.outcome };
            What::Transfer(Box::new(StoredTransfer { outcome, ..stored }))
        }
        Record::AccountOpened(spec) => What::AccountOpened(*spec),
        Record::StatusChanged { slot, status } => {
            What::StatusChanged { account: known.get(*slot)?.id, status: *status }
        }
        Record::AssetDefined { code, digits } => {
            What::AssetDefined { code: code.clone(), digits: *digits }
        }
    };
    Some(FeedEvent { lsn, time_ns, what })
}
