//! Runs of a schedule: how one stands that is not over, and how one ended. What moves them stands in
//! [`super::Schedule`]; as they are here they lie in snapshots.

use crate::ids::{Lsn, TransferId};
use crate::rejection::Rejection;
use serde::{Deserialize, Serialize};

/// How a run stands that is not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// The transfer of this id is asked for.
    Asked(TransferId),
    /// It was refused for lack of funds, and is asked for again at this moment.
    RetryAt(u64),
    /// The same, where it was refused because it would have gone below the account's floor. Snapshots
    /// before version 6 have [`Stage::RetryAt`] for it.
    RetryAtFloor(u64),
}

impl Stage {
    /// The stage behind a refusal that is tried again at this moment; `None` for one that is final.
    #[must_use]
    pub const fn after(refused: Rejection, at_ns: u64) -> Option<Self> {
        match refused {
            Rejection::InsufficientFunds => Some(Self::RetryAt(at_ns)),
            Rejection::DebitAccountFloor => Some(Self::RetryAtFloor(at_ns)),
            _ => None,
        }
    }

    /// When it is asked for again, and after which refusal; `None` while it is asked for.
    #[must_use]
    pub const fn retry(self) -> Option<(u64, Rejection)> {
        match self {
            Self::Asked(_) => None,
            Self::RetryAt(at_ns) => Some((at_ns, Rejection::InsufficientFunds)),
            Self::RetryAtFloor(at_ns) => Some((at_ns, Rejection::DebitAccountFloor)),
        }
    }
}

/// A run that is not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Its number, from 1.
    pub run: u64,
    /// When it was due: nanoseconds since the Unix epoch; by hand, when it was asked for.
    pub due_ns: u64,
    /// Somebody asked for it; the calendar did not.
    pub by_hand: bool,
    /// The attempt that is under way, or the last one, from 1.
    pub attempt: u16,
    /// How it stands.
    pub stage: Stage,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RunEnd {
    /// Its transfer was posted.
    Posted,
    /// Its transfer was refused, and is not tried again.
    Refused(Rejection),
    /// Somebody else had used its transfer's id for something else: nothing was moved by the run.
    IdTaken,
}

/// A run that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its number, from 1.
    pub run: u64,
    /// When it was due: nanoseconds since the Unix epoch.
    pub due_ns: u64,
    /// Somebody asked for it; the calendar did not.
    pub by_hand: bool,
    /// So many attempts were made.
    pub attempts: u16,
    /// The last attempt's transfer.
    pub transfer: TransferId,
    /// The event that ended it.
    pub lsn: Lsn,
    /// When that was decided: nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// How.
    pub end: RunEnd,
}
