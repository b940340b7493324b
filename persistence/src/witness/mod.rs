//! The witness: signed checkpoints of a ledger, kept outside its data directory.
//!
//! ```text
//! tree's root, journal's hash at an LSN ─▶ Checkpoint ─ sign ─▶ DIR/000000000007.checkpoint
//!                                                                  │ names the file before it
//! verify, a start ◀─ read ▸ signature ▸ number ▸ ledger ▸ chain ◀──┘
//! ```
//!
//! Whoever can write to the data directory can make every hash in it right again. What was
//! signed and put elsewhere he cannot: a checkpoint says how many events there were, and what
//! all of them were. The formats stand in `docs/RECEIPTS.md`.
//!
//! * [`key`]: the key that signs, and the one that checks;
//! * [`checkpoint`]: one checkpoint, as text;
//! * [`store`]: the directory of them;
//! * [`tree_file`]: the tree's hashes, kept in the data directory to go on after a start.

pub mod checkpoint;
pub mod key;
pub mod store;
pub mod tree_file;

use crate::ledger_id::LedgerId;
use checkpoint::CheckpointError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use key::{CheckKey, KeyError, SignKey, is_open};
pub use store::CheckpointStore;
pub use tree_file::TreeFile;

/// What is wrong with a directory of checkpoints.
#[derive(Debug, Error)]
pub enum WitnessError {
    /// The operating system refused.
    #[error("could not {verb} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A file holds no checkpoint, or was not signed by this key.
    #[error("the checkpoint {} cannot be relied on", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: CheckpointError,
    },
    /// A file holds another checkpoint than its name says.
    #[error("{} holds checkpoint {number}: files were exchanged or renamed", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        number: u64,
    },
    /// Checkpoints are gone.
    #[error("checkpoints {first} to {last} are missing in {}", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// It does not name the file before it.
    #[error("the checkpoint {} does not follow the one before it: one of them was replaced", path.display())]
    Chain {
        /// The file.
        path: PathBuf,
    },
    /// It was signed for another ledger.
    #[error(
        "the checkpoint {} is of ledger {found}, and this is ledger {expected}; a restored or \
         forked ledger has an id of its own and needs a directory of its own for checkpoints",
        path.display()
    )]
    OtherLedger {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: LedgerId,
        /// Whose it should be.
        expected: LedgerId,
    },
    /// More were written than there are.
    #[error(
        "{written} checkpoints were written for this ledger, and {} ends at {found}: it is not \
         mounted, it is another directory, or its last checkpoints were removed",
        dir.display()
    )]
    Fewer {
        /// The directory.
        dir: PathBuf,
        /// As the data directory knows.
        written: u64,
        /// The newest there is.
        found: u64,
    },
    /// It covers fewer events than the one before.
    #[error("the checkpoint {} covers no more events than the one before it", path.display())]
    Shrinks {
        /// The file.
        path: PathBuf,
    },
}

impl WitnessError {
    pub(crate) fn io<'p>(
        verb: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(io::Error) -> Self + 'p {
        move |source| Self::Io { verb, path: path.to_owned(), source }
    }

    /// Whether something is missing or changed, as opposed to not to be read now.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}
