//! A backup: a ledger's whole journal and its newest snapshots in a directory on another disk, kept
//! up to date by copying what is new.
//!
//! ```text
//! archive + journal ─ frames after the last one copied ─▶ FileWriter ─▶ frames/A-B.frames ─┐
//! snapshots ─ the newest one, bytes and digest ─▶ snapshots/N.snap ────────────────────────┤
//!                                        all synced, read back, named; then ─▶ BACKUP ◀────┘
//!
//! DIR/BACKUP     the manifest: replaced last, by a rename. Only what it names is the backup
//! DIR/LOCK       one process at a time writes
//! ```
//!
//! Frames stay as they were sealed: the chain of hashes that begins with the ledger's id and ends
//! in the manifest is the proof, as it is in the journal. Small files are merged into larger ones
//! as they pile up, so that a backup made every minute for years has few; a file that was merged
//! is removed only after the manifest has ceased to name it. So a backup that is broken off at any
//! moment leaves the one before.
//!
//! * [`manifest`]: its bytes;
//! * [`store`]: the directory: written, checked; `snapshots`: those in it;
//! * [`journal`]: the backup as a journal to read from.

pub mod journal;
pub mod manifest;
mod snapshots;
pub mod store;

pub use journal::BackupJournal;
pub use manifest::{Manifest, ManifestFault, SnapshotEntry};
pub use store::{BackedUp, BackupStore, Source, refuse_inside};

use crate::archive::ArchiveError;
use crate::contract::JournalError;
use crate::ledger_id::LedgerId;
use crate::snapshot::SnapshotError;
use crate::vault::VaultError;
use ducat_engine::ids::Lsn;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a backup cannot be written or read. What was there before is as it was.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The operating system refused.
    #[error("could not {verb} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        verb: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// There is no backup.
    #[error("there is no backup in {}", .0.display())]
    NotFound(PathBuf),
    /// There was one when this process looked last: its disk may not be mounted.
    #[error("the backup in {} is gone; is its disk mounted?", .0.display())]
    Gone(PathBuf),
    /// Something else is in the directory.
    #[error("{} is not empty and is no backup ({found} is there)", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One thing found in it.
        found: String,
    },
    /// It would be lost with the ledger.
    #[error("{} lies in the data directory {}: both would be lost together", path.display(), data_dir.display())]
    Inside {
        /// The backup's directory.
        path: PathBuf,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Another process writes to it.
    #[error("another backup is being written to {}", .0.display())]
    InUse(PathBuf),
    /// The manifest cannot be used.
    #[error("the backup's manifest {} cannot be used", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestFault,
    },
    /// It is of another ledger.
    #[error("{} is a backup of ledger {found}, not of {expected}", path.display())]
    OtherLedger {
        /// The directory.
        path: PathBuf,
        /// Whose backup it is.
        found: LedgerId,
        /// Whose it should be.
        expected: LedgerId,
    },
    /// It holds more than the ledger: that was rolled back, or lost its end.
    #[error(
        "the backup {} goes up to LSN {backup}, and the ledger only to LSN {ledger}: the ledger \
         has lost its end or is an older copy",
        path.display()
    )]
    Later {
        /// The directory.
        path: PathBuf,
        /// The backup's last event.
        backup: Lsn,
        /// The ledger's last durable event.
        ledger: Lsn,
    },
    /// It holds other events than the ledger.
    #[error(
        "the backup {} and the ledger have other events up to LSN {lsn}: they went apart",
        path.display()
    )]
    OtherHistory {
        /// The directory.
        path: PathBuf,
        /// The backup's last event.
        lsn: Lsn,
    },
    /// A file of frames is missing, changed or cannot be written.
    #[error(transparent)]
    Frames(#[from] ArchiveError),
    /// A snapshot is missing, changed or cannot be written.
    #[error("a snapshot in the backup cannot be used")]
    Snapshot(#[from] SnapshotError),
    /// A snapshot is whole, and not the one that the manifest names, or not of this history.
    #[error("the snapshot {} does not belong to the backup: {what}", path.display())]
    ForeignSnapshot {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: &'static str,
    },
    /// The keys of an encrypted backup, or the master key that was given, are of no use.
    #[error(transparent)]
    Keys(#[from] VaultError),
    /// The ledger's journal cannot be read.
    #[error("the ledger's journal cannot be read")]
    Journal(#[from] JournalError),
}

impl BackupError {
    pub(crate) fn io<'p>(
        verb: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(io::Error) -> Self + 'p {
        move |source| Self::Io { verb, path: path.to_owned(), source }
    }

    /// Whether something in the backup is missing or changed.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Manifest { .. } | Self::ForeignSnapshot { .. } => true,
            Self::Frames(error) => error.is_damage(),
            Self::Snapshot(SnapshotError::Missing(_)) => true,
            Self::Snapshot(error) => error.is_damage(),
            _ => false,
        }
    }

    /// Whether backup and ledger do not belong together.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. }
                | Self::Inside { .. }
                | Self::OtherLedger { .. }
                | Self::Later { .. }
                | Self::OtherHistory { .. }
                | Self::Gone(_)
                | Self::NotFound(_)
        )
    }

    /// Whether whoever watched ended it.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self, Self::Frames(ArchiveError::Stopped))
    }
}

/// One thing that is wrong with a backup.
#[derive(Debug)]
pub struct BackupFault {
    /// The first record concerned.
    pub first: Lsn,
    /// The last record concerned.
    pub last: Lsn,
    /// What is wrong.
    pub error: BackupError,
}
