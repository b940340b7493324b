//! Snapshots on disk: a shard's whole state at one LSN, so that a start need not read the
//! journal from its beginning.
//!
//! ```text
//! pieces of the state ─▶ Encoder: blocks ▸ zstd ▸ CRC32C ─▶ <LSN>.snap.new ─ sync, rename, sync ─▶ <LSN>.snap
//! <LSN>.snap ─▶ Blocks: every checksum, order, digest ─┬▶ Reader ▸ Tally: verified, little memory
//!                                                      └▶ load ▸ Restore: a ledger
//! ```
//!
//! A snapshot is never of record: the journal is. It names the place in the journal's chain
//! where it stands ([`SnapshotHeader::anchor`]), so that one of another history is noticed, and
//! so is a journal that ends before it.
//!
//! * [`format`]: the bytes;
//! * `block`: one block, compressed and with its checksum;
//! * [`encoder`], [`reader`]: whole snapshots, to and from anything that writes and reads;
//! * `loading`: a ledger from a snapshot, on three threads;
//! * [`store`]: the directory: names, renaming into place, listing, retention.

mod block;
pub mod encoder;
pub mod format;
mod loading;
pub mod reader;
pub mod store;

pub use encoder::Encoder;
pub use format::SnapshotHeader;
pub use reader::{Part, Reader};
pub use store::{Listed, SnapshotFile, SnapshotStore};

pub use block::BlockFault;

use ducat_engine::snapshot::codec::Malformed;
use ducat_engine::snapshot::{End, Unsound};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a snapshot that was written or read to its end is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What it began with.
    pub header: SnapshotHeader,
    /// What all of it adds up to.
    pub end: End,
    /// BLAKE3 over the file's bytes up to its last block: the whole snapshot in 32 bytes.
    pub digest: [u8; 32],
    /// The file's size.
    pub bytes: u64,
    /// Number of blocks.
    pub blocks: u32,
}

/// Why a snapshot cannot be written or used.
#[derive(Debug, Error)]
pub enum SnapshotError {
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
    /// Its content is not what was written.
    #[error("the snapshot {} is damaged in block {block}, at byte {at}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The block's number, from 0.
        block: u32,
        /// Where the block begins in the file.
        at: u64,
        /// What is wrong.
        source: Box<Fault>,
    },
    /// It is whole, and not what belongs here.
    #[error("the snapshot {} does not belong here: {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// The state that was to be written cannot be: the ledger must not be trusted any more.
    #[error("the state that was to become a snapshot cannot be")]
    Unsound(#[source] Box<Unsound>),
    /// There is no such snapshot.
    #[error("there is no snapshot {}", .0.display())]
    Missing(PathBuf),
}

impl SnapshotError {
    /// Whether the file's content is wrong, rather than the system around it.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Foreign { .. })
    }

    pub(crate) fn io<'p>(
        verb: &'static str,
        path: &'p Path,
    ) -> impl FnOnce(io::Error) -> Self + 'p {
        move |source| Self::Io { verb, path: path.to_owned(), source }
    }
}

/// What is wrong with a snapshot's bytes.
#[derive(Debug, Error)]
pub enum Fault {
    /// It does not begin like a snapshot.
    #[error("it does not begin with a snapshot's magic number")]
    Magic,
    /// Written by a version this code does not know.
    #[error("format version {0} is unknown (this build reads {min} to {version})", min = format::VERSION_MIN, version = format::VERSION)]
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
    /// What it says of its key is not what was written.
    #[error("what it says of its key is damaged")]
    Stamp,
    /// A block is not intact.
    #[error(transparent)]
    Block(#[from] BlockFault),
    /// A block stands where it does not belong.
    #[error("a block of {found} stands where {expected} belongs")]
    Order {
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A block's content cannot be read.
    #[error("the block's content cannot be read")]
    Content(#[from] Malformed),
    /// All can be read and does not fit together.
    #[error("the state does not fit together")]
    Unsound(#[from] Unsound),
    /// The digest of the whole file is another.
    #[error("the digest recorded at the end is not that of the file")]
    Digest,
    /// The last bytes do not say where the end is.
    #[error("the file does not end like a snapshot")]
    Trailer,
    /// More follows than belongs there.
    #[error("bytes follow behind the end")]
    Trailing,
}
