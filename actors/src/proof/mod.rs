//! Tamper evidence: checkpoints signed while the engine serves, and receipts.
//!
//! ```text
//! journal, durable up to here ─▶ follower (a thread) ─ statements ─▶ tree ─ root ─▶ sign ─▶ witness
//!                                      ▲ wake                          │ path
//!                             Handle::receipt ◀────────────────────────┘
//! ```
//!
//! Nothing of this is on the way of a transfer: the follower reads back what is durable.
//!
//! * [`standing`]: whether a journal is the one that was signed;
//! * `follower`: the thread;
//! * [`receipt`]: the proof of one event;
//! * [`offline`]: the same from a directory without a server.

mod follower;
pub mod offline;
pub mod receipt;
pub mod standing;

pub(crate) use follower::{Follower, Following};
pub use receipt::Receipt;
pub use standing::{Contradiction, check_standing};

use crate::replay::FrameRefused;
use crate::stored::StoredError;
use ducat_engine::ids::Lsn;
use ducat_engine::proof::Unnamed;
use ducat_persistence::witness::{CheckpointStore, SignKey, WitnessError};
use ducat_persistence::{JournalError, LedgerId};
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// How an engine signs checkpoints.
#[derive(Debug, Clone)]
pub struct CheckpointOptions {
    /// Where they go.
    pub store: CheckpointStore,
    /// Who signs.
    pub key: SignKey,
    /// How often, when anything has happened since.
    pub every: Duration,
    /// Whose journal it is.
    pub ledger: LedgerId,
    /// Where the tree's hashes are kept between starts; `None` keeps them nowhere.
    pub tree_file: Option<PathBuf>,
}

/// How the signing goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckpointStatus {
    /// The newest checkpoint's number; 0 for none.
    pub number: u64,
    /// The last event it covers.
    pub lsn: Lsn,
    /// When it was signed, nanoseconds since 1970.
    pub signed_ns: u64,
    /// Events taken into the tree so far.
    pub followed: Lsn,
    /// Why the last try failed; `None` when it did not.
    pub failure: Option<String>,
}

/// Why no checkpoint was signed or no receipt made.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The journal could not be read back.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event could not be read back.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// A frame does not hold what it says.
    #[error("a frame cannot be decoded")]
    Frame(#[from] FrameRefused),
    /// A record names what nothing made known.
    #[error(transparent)]
    Unnamed(#[from] Unnamed),
    /// The checkpoints cannot be read, written, or relied on.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The journal is not the one that was signed.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// The statements do not come to the root that was signed.
    #[error(
        "the journal's events up to LSN {0} are not those that were signed: their statements come \
         to another root"
    )]
    OtherRoot(Lsn),
    /// The journal ends within a place that was to be reached.
    #[error("the journal ends before event {0}")]
    Short(Lsn),
    /// A path that was just made does not lead to the signed root.
    #[error("the path of event {0} does not lead to the signed root")]
    Path(Lsn),
    /// It was told to stop.
    #[error("it was stopped")]
    Stopped,
}
