//! The archive: the journal's oldest part, moved out of the store into compressed files, so
//! that its space returns to the filesystem and nothing of the history is lost.
//!
//! ```text
//! segment of the journal ─ its frames, as they were sealed ─▶ FileWriter: blocks ▸ zstd ▸ CRC32C
//!   ─▶ <first LSN>.frames.new ─ sync, read back, rename, sync ─▶ <first LSN>.frames ─▶ MANIFEST
//!                                                                                        │
//! Journal::trim drops the segment only when the archive holds it ◀───────────────────────┘
//! ```
//!
//! The frames' own chain of hashes stays the proof: each file begins with the hash at which the
//! one before ends, and the journal goes on from the last one's end. The manifest names every
//! file with its end and its digest, so that one that is missing, exchanged or older is noticed.
//! Files are never changed once they have their name.
//!
//! * [`format`]: the bytes of a file;
//! * `block`: one block, compressed and with its checksum;
//! * [`writer`], [`reader`]: whole files, to anything that writes and from anything that reads;
//! * `named`: one file, written, read back and opened as the list names it;
//! * [`manifest`]: the list of files;
//! * [`store`]: the directory; `frames`: what is in it, in order;
//! * [`view`]: a journal and its archive as one sequence;
//! * [`trimming`]: when what is moved here.

mod block;
pub mod format;
mod frames;
pub mod manifest;
pub(crate) mod named;
pub mod reader;
pub mod store;
pub mod trimming;
pub mod view;
pub mod writer;

pub use block::BlockFault;
pub use frames::Frames;
pub use manifest::{Entry, Manifest, ManifestFault};
pub use reader::{ArchiveFile, ReadAt};
pub use store::ArchiveStore;
pub use trimming::{TrimError, TrimOptions, Trimmed, Trimmer, archive_after_snapshot};
pub use view::ArchivedJournal;
pub use writer::FileWriter;

use crate::causes::with_causes;
use crate::chain::{ChainFault, ChainPoint};
use crate::contract::{Damage, JournalError, Place};
use crate::frame::FrameError;
use ducat_engine::ids::{Lsn, ShardId};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the archive cannot be written or read.
#[derive(Debug, Error)]
pub enum ArchiveError {
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
    /// A file's content is not what was written.
    #[error("the archive file {} is damaged at byte {at}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// What is wrong.
        source: Box<Fault>,
    },
    /// A file is whole, and not the one that the manifest names.
    #[error("the archive file {} does not belong here: {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A file that the manifest names is not there.
    #[error("the archive file {}, LSN {first} to {last}, is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Its first record.
        first: Lsn,
        /// Its last record.
        last: Lsn,
    },
    /// The list of files cannot be read.
    #[error("the archive's manifest {} cannot be used", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestFault,
    },
    /// It ends before the journal begins: it was rolled back, or has lost its newest files.
    #[error(
        "the archive {} ends at LSN {end}, and the journal begins only after LSN {base}",
        dir.display()
    )]
    Short {
        /// The archive's directory.
        dir: PathBuf,
        /// Where it ends.
        end: Lsn,
        /// Up to where the journal was trimmed.
        base: Lsn,
    },
    /// What was to be archived does not continue the archive.
    #[error("the archive ends at LSN {end}, and what was to follow does not continue it")]
    NotContinued {
        /// The archive's end.
        end: Lsn,
        /// What is wrong with it.
        source: ChainFault,
    },
    /// Nothing was to be archived.
    #[error("there is nothing to archive after LSN {0}")]
    Nothing(Lsn),
    /// Whoever watched ended it.
    #[error("archiving was stopped")]
    Stopped,
    /// The frames that were to be archived could not be read.
    #[error("the frames to archive could not be read")]
    Source(#[source] Box<JournalError>),
}

impl ArchiveError {
    pub(crate) fn io<'p>(
        verb: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(io::Error) -> Self + 'p {
        move |source| Self::Io { verb, path: path.to_owned(), source }
    }

    /// The same again, for one more who asks: the causes as text.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Manifest { path, source } => {
                Self::Manifest { path: path.clone(), source: source.clone() }
            }
            other => {
                let path = other.path().map(Path::to_owned).unwrap_or_default();
                let source = io::Error::other(with_causes(other));
                Self::Io { verb: "use", path, source }
            }
        }
    }

    /// Whether something that was archived is missing or changed, rather than the system
    /// around it refusing.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Foreign { .. }
                | Self::Missing { .. }
                | Self::Short { .. }
                | Self::Manifest { .. }
        )
    }

    /// The file concerned.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Damaged { path, .. }
            | Self::Foreign { path, .. }
            | Self::Missing { path, .. }
            | Self::Short { dir: path, .. }
            | Self::Manifest { path, .. } => Some(path),
            Self::NotContinued { .. } | Self::Nothing(_) | Self::Stopped | Self::Source(_) => None,
        }
    }

    /// As an error of the journal whose part the archive is: `lsn` was to be read.
    #[must_use]
    pub fn into_journal(self, shard: ShardId, lsn: Lsn) -> JournalError {
        match self {
            Self::Io { verb, path, source } => JournalError::Io { verb, path, source },
            Self::Source(error) => *error,
            other => {
                let path = other.path().map(Path::to_owned);
                let place = Place { shard, lsn, path };
                let what = "its archived part cannot be read".to_owned();
                Damage { place, what, data_dir: None, source: Some(other.into()) }.into()
            }
        }
    }
}

/// What is wrong with an archive file's bytes.
#[derive(Debug, Error)]
pub enum Fault {
    /// It does not begin like an archive file.
    #[error("it does not begin with an archive file's magic number")]
    Magic,
    /// Written by a version this code does not know.
    #[error("format version {0} is unknown (this build reads {version})", version = format::VERSION)]
    Version(u32),
    /// The file ends within something.
    #[error("the file ends in the middle of {0}")]
    CutOff(&'static str),
    /// It is encrypted, and the ledger was opened without its keys.
    #[error("it is encrypted, and the ledger was opened without a master key")]
    Locked,
    /// It is encrypted under a key that the ledger does not have.
    #[error("it is encrypted under ledger key {0}, which is not in KEYS")]
    UnknownKey(u32),
    /// A part's checksum says that bits changed.
    #[error("the checksum of {0} does not hold")]
    Checksum(&'static str),
    /// A part has a value that was never written.
    #[error("{0} has an impossible value")]
    Field(&'static str),
    /// A block is not intact.
    #[error(transparent)]
    Block(#[from] BlockFault),
    /// A block holds something else than a frame.
    #[error("a frame in the block is not intact")]
    Frame(#[from] FrameError),
    /// The frames do not continue one another.
    #[error("the frames do not continue one another")]
    Chain(#[from] ChainFault),
    /// The frames do not come to what the file's end says.
    #[error("{0} is not what the file's end says")]
    End(&'static str),
    /// The digest of the whole file is another.
    #[error("the digest recorded at the end is not that of the file")]
    Digest,
}

/// What appending or trimming has just done; a crash may come behind any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many more bytes of frames went out.
    Frames(u64),
    /// The file is durable under its temporary name.
    Written,
    /// It was read back and is right.
    ReadBack,
    /// It has its name, durably.
    Renamed,
    /// The manifest names it, durably: it is part of the archive.
    Named,
    /// The journal has dropped what lies up to here.
    Dropped(Lsn),
}

/// Told of every step, in order; may take its time, and ends the work before the next step.
pub type Watch<'w> = dyn FnMut(Step) -> ControlFlow<()> + 'w;

/// What all frames of a file come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where the file begins: the end of the one before.
    pub before: ChainPoint,
    /// Where it ends.
    pub after: ChainPoint,
    /// Number of frames, at least one.
    pub frames: u64,
    /// Bytes of the frames as they were sealed.
    pub frame_bytes: u64,
    /// When the first one was decided, nanoseconds since 1970.
    pub first_time_ns: u64,
    /// When the last one was decided, nanoseconds since 1970.
    pub last_time_ns: u64,
}

impl Extent {
    /// The first record.
    #[must_use]
    pub const fn first_lsn(&self) -> Lsn {
        self.before.lsn.next()
    }

    /// The last record.
    #[must_use]
    pub const fn last_lsn(&self) -> Lsn {
        self.after.lsn
    }

    /// Number of records.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.after.lsn.0 - self.before.lsn.0
    }
}
