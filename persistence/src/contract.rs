//! The journal's contract: what every implementation promises, and how it says no.
//!
//! A journal keeps, for each shard, records in one total order. The promises:
//!
//! * *acknowledged means durable*: [`Writer::append`] returns `Ok` only when its
//!   records survive what the implementation survives (power loss, for the disk);
//! * *all or nothing*: after a restart an append is there whole or not at all;
//! * *only durable frames are seen*: [`Journal::read`] and [`Journal::frame_at`]
//!   never return what was not acknowledged, and check what they return;
//! * *the first failure is the last*: after a failed write or sync every append
//!   is refused ([`AppendError::Poisoned`]) until the process has restarted;
//! * *one writer*: opening for writing takes a new epoch, durable before it is
//!   used; a writer of an older epoch is [`AppendError::Fenced`];
//! * *loss is loud*: opening checks everything and refuses with
//!   [`JournalError::Damaged`] when anything acknowledged is missing or changed.
//!
//! Payloads are opaque here. One conformance suite (`conformance`, behind the
//! feature `testing`) runs over every implementation.

use crate::append::AppendBuffer;
use crate::behind::Behind;
use crate::chain::ChainPoint;
use crate::frame::{Frame, FrameHash};
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// Any error, as the cause of another.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Called for each frame, in order, while a journal is scanned.
pub type Visitor<'v> = dyn FnMut(&Frame, ScanProgress) -> Result<(), ReplayError> + 'v;

/// Verified frames in LSN order; ends at the last durable one.
pub type FrameReader = Box<dyn Iterator<Item = Result<Frame, JournalError>> + Send>;

/// Durable, ordered records of one or more shards.
pub trait Journal: Send + Sync {
    /// Opens a shard for writing: checks every frame that is kept, shows each to
    /// `visit` in order, drops an unacknowledged torn tail, takes a new epoch and
    /// makes it durable. Older writers are fenced from then on. `owner` names the
    /// caller in logs.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when anything acknowledged is missing or changed,
    /// [`JournalError::Replay`] when the visitor refuses, others as they say.
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError>;

    /// Opens a shard for writing without looking at its frames.
    ///
    /// # Errors
    /// As [`Journal::open_writer_with`].
    fn open_writer(
        &self,
        shard: ShardId,
        owner: &str,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.open_writer_with(shard, owner, &mut |_, _| Ok(()))
    }

    /// The same check and visit without writing: for verification and exports.
    ///
    /// # Errors
    /// As [`Journal::open_writer_with`].
    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError>;

    /// As [`Journal::open_writer_with`], for a caller who has the state at `after` already,
    /// a place that was acknowledged: frames up to there are not shown and, but for the one
    /// that ends there, need not be checked. Everything behind it is, and the journal's end
    /// against what was acknowledged. The tail's counts are of what was checked.
    ///
    /// The default checks everything.
    ///
    /// # Errors
    /// [`JournalError::OtherHistory`] when another frame ends there, or none;
    /// [`JournalError::Trimmed`] when the journal begins later; others as
    /// [`Journal::open_writer_with`], among them [`JournalError::Damaged`] when it ends before.
    fn open_writer_after(
        &self,
        shard: ShardId,
        owner: &str,
        after: ChainPoint,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        let mut behind = Behind::new(shard, after);
        let opened =
            self.open_writer_with(shard, owner, &mut |frame, at| behind.visit(frame, at, visit));
        let (writer, tail) = behind.explain(opened)?;
        let tail = behind.finish(tail)?;
        Ok((writer, tail))
    }

    /// As [`Journal::open_writer_after`], without writing.
    ///
    /// # Errors
    /// As [`Journal::open_writer_after`].
    fn scan_after(
        &self,
        shard: ShardId,
        after: ChainPoint,
        visit: &mut Visitor<'_>,
    ) -> Result<Tail, JournalError> {
        let mut behind = Behind::new(shard, after);
        let scanned = self.scan(shard, &mut |frame, at| behind.visit(frame, at, visit));
        let tail = behind.explain(scanned)?;
        behind.finish(tail)
    }

    /// The durable frames from the one that contains `from`. With nothing at or
    /// after `from` the reader is empty. Frames appended while reading appear.
    ///
    /// # Errors
    /// [`JournalError::Trimmed`] when `from` was trimmed.
    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError>;

    /// The durable frame that contains `lsn`, if there is one: not beyond the end,
    /// not trimmed. Cheap, and callable from many threads while a writer appends.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] when the frame should be there and is not intact.
    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError>;

    /// Drops the oldest frames as far as they can be dropped cheaply; none that
    /// reaches beyond `upto`, and never everything.
    ///
    /// # Errors
    /// When the place where the journal now starts cannot be made durable.
    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError>;

    /// Where the journal begins: everything up to here was trimmed.
    ///
    /// The default looks at the first frame that is kept.
    ///
    /// # Errors
    /// Those of reading.
    fn base(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        let first = match self.read(shard, Lsn(1)) {
            Err(JournalError::Trimmed { first, .. }) => first,
            other => other.map(|_| Lsn(1))?,
        };
        let frame = self.frame_at(shard, first)?;
        let hash = frame.map_or_else(FrameHash::default, |frame| frame.header().prev_hash);
        Ok(ChainPoint { lsn: Lsn(first.0 - 1), hash })
    }

    /// Where the store itself begins. For a journal with an archive that is later than
    /// [`Self::base`]: what lies between is archived.
    ///
    /// # Errors
    /// As [`Self::base`].
    fn trimmed_to(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        self.base(shard)
    }

    /// The last durable LSN.
    ///
    /// The default says 0, which a progress display takes for unknown.
    ///
    /// # Errors
    /// Those of reading.
    fn end(&self, _shard: ShardId) -> Result<Lsn, JournalError> {
        Ok(Lsn::ZERO)
    }

    /// The pieces that [`Self::trim`] drops one by one, the oldest first, and behind them what
    /// cannot be dropped, as one piece.
    ///
    /// The default knows of none: such a journal is never trimmed.
    ///
    /// # Errors
    /// [`JournalError::UnknownShard`].
    fn pieces(&self, _shard: ShardId) -> Result<Vec<Piece>, JournalError> {
        Ok(Vec::new())
    }
}

/// The right to append to one shard.
pub trait Writer: Send {
    /// The reign under which it appends.
    fn epoch(&self) -> Epoch;

    /// Seals the buffer's frames and makes them durable; returns the last durable
    /// LSN. `expected` is the LSN of the first record and must be the last durable
    /// LSN plus one. The buffer keeps its content: clear it before reuse.
    ///
    /// # Errors
    /// See [`AppendError`]; after `InDoubt` nobody knows whether the records will be
    /// there after a restart.
    fn append(&mut self, expected: Lsn, batch: &mut AppendBuffer) -> Result<Lsn, AppendError>;
}

/// Where something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: ShardId,
    /// The LSN concerned: the first one of a frame, an append or a gap.
    pub lsn: Lsn,
    /// The file or directory concerned, if there is one.
    pub path: Option<PathBuf>,
}

impl Place {
    /// A place that has no file.
    #[must_use]
    pub const fn new(shard: ShardId, lsn: Lsn) -> Self {
        Self { shard, lsn, path: None }
    }

    /// A place in a file or directory.
    #[must_use]
    pub fn in_path(shard: ShardId, lsn: Lsn, path: impl Into<PathBuf>) -> Self {
        Self { shard, lsn, path: Some(path.into()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {}, LSN {}", self.shard.0, self.lsn)?;
        match &self.path {
            Some(path) => write!(f, ", {}", path.display()),
            None => Ok(()),
        }
    }
}

/// Why an append was not acknowledged.
#[derive(Debug, Error)]
pub enum AppendError {
    /// Nothing was written. If the reason is a broken rule of the contract (a wrong
    /// `expected`, an empty buffer), the writer is still usable.
    #[error("nothing was appended ({place}): {reason}")]
    NotAppended {
        /// Where the append would have begun.
        place: Place,
        /// What is wrong with it.
        reason: String,
    },
    /// It may or may not be there after a restart. The writer is poisoned.
    #[error("the append is in doubt ({place}): could not {verb}")]
    InDoubt {
        /// Where the append begins.
        place: Place,
        /// What failed, as a verb phrase.
        verb: &'static str,
        /// The failure itself.
        source: BoxError,
    },
    /// Somebody opened the shard for writing since.
    #[error("epoch {} is over ({place}): epoch {} writes now", epoch.0, newer.0)]
    Fenced {
        /// Where the append would have begun.
        place: Place,
        /// The writer's epoch.
        epoch: Epoch,
        /// The epoch that fenced it.
        newer: Epoch,
    },
    /// An earlier append failed; only a restart helps.
    #[error("the journal takes no more appends ({place}) since an earlier one failed: {since}")]
    Poisoned {
        /// Where the append would have begun.
        place: Place,
        /// What failed then.
        since: String,
    },
}

/// Why a journal cannot be opened, read or trimmed.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Something acknowledged is missing or changed.
    #[error(transparent)]
    Damaged(Box<Damage>),
    /// The operating system refused.
    #[error("could not {verb} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        verb: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// The store under the journal refused, without a sign of damage.
    #[error("could not {verb} ({place})")]
    Store {
        /// What was tried, as a verb phrase.
        verb: &'static str,
        /// Where.
        place: Place,
        /// The refusal.
        source: BoxError,
    },
    /// The ledger has no such shard.
    #[error("the ledger has no shard {}", .0.0)]
    UnknownShard(ShardId),
    /// An append failed earlier in this process; only a restart helps.
    #[error("the journal of shard {} is closed since an append failed: {since}", shard.0)]
    Poisoned {
        /// The shard.
        shard: ShardId,
        /// What failed then.
        since: String,
    },
    /// The place asked for was trimmed.
    #[error("LSN {wanted} of shard {} was trimmed; the journal starts at {first}", shard.0)]
    Trimmed {
        /// The shard.
        shard: ShardId,
        /// What was asked for.
        wanted: Lsn,
        /// Where the journal starts now.
        first: Lsn,
    },
    /// The journal holds another history than the caller's.
    #[error("the journal does not continue the state at {place}: {what}")]
    OtherHistory {
        /// The end of what the caller has.
        place: Place,
        /// What the journal has there.
        what: String,
    },
    /// The visitor could not take a frame.
    #[error("could not replay the frame at LSN {lsn} of shard {}", shard.0)]
    Replay {
        /// The shard.
        shard: ShardId,
        /// The frame's first LSN.
        lsn: Lsn,
        /// What the visitor said.
        source: ReplayError,
    },
}

impl JournalError {
    /// Whether acknowledged data is missing or changed.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}

impl From<Damage> for JournalError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

/// What is wrong with a journal, and where. The causes stand behind it; what to do about it is
/// for whoever prints them all to say, at the end.
#[derive(Debug, Error)]
#[error("the journal is damaged ({place}): {what}")]
pub struct Damage {
    /// Where it shows.
    pub place: Place,
    /// What is missing or changed.
    pub what: String,
    /// The data directory, if the journal has one.
    pub data_dir: Option<PathBuf>,
    /// What the layer below said.
    pub source: Option<BoxError>,
}

/// Why a visitor refused a frame.
#[derive(Debug, Error)]
#[error("the frame's records were refused")]
pub struct ReplayError(#[source] pub BoxError);

impl ReplayError {
    /// Wraps the visitor's own error.
    pub fn new(source: impl Into<BoxError>) -> Self {
        Self(source.into())
    }
}

/// How far a scan has come; passed along with every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanProgress {
    /// Frames visited, this one included.
    pub frames: u64,
    /// Bytes visited, this frame included.
    pub bytes: u64,
    /// Last LSN of this frame.
    pub lsn: Lsn,
    /// First LSN of the journal.
    pub first_lsn: Lsn,
    /// The last LSN known to be durable before the scan: the goal. The scan may end
    /// a little beyond it.
    pub goal_lsn: Lsn,
}

impl ScanProgress {
    /// Part of the work done, from 0 to 1. For progress displays only.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn fraction(&self) -> f64 {
        let all = (self.goal_lsn.0 + 1).saturating_sub(self.first_lsn.0);
        let done = (self.lsn.0 + 1).saturating_sub(self.first_lsn.0);
        if all == 0 { 1.0 } else { (done as f64 / all as f64).min(1.0) }
    }
}

/// What a scan found at the journal's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// First LSN that is kept; equals `next_lsn` in an empty journal.
    pub first_lsn: Lsn,
    /// The LSN of the next record to append.
    pub next_lsn: Lsn,
    /// The writer's epoch, or for a mere scan the last one ever taken.
    pub epoch: Epoch,
    /// Hash of the last frame: the whole journal in 32 bytes.
    pub last_hash: FrameHash,
    /// Decision time of the last frame, nanoseconds since 1970; 0 without frames.
    pub last_time_ns: u64,
    /// Number of frames kept.
    pub frames: u64,
    /// Number of records kept.
    pub records: u64,
    /// Bytes of all frames kept, headers included.
    pub bytes: u64,
    /// Records kept although nobody was told that they are durable: the process
    /// ended between the sync and the acknowledgement.
    pub unacknowledged_records: u64,
    /// The torn, unacknowledged end that was dropped (by a mere scan: ignored).
    pub dropped: Option<DroppedTail>,
}

/// A tail that no one was told of and that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTail {
    /// First LSN dropped.
    pub first_lsn: Lsn,
    /// Last LSN dropped.
    pub last_lsn: Lsn,
    /// Number of frames dropped.
    pub frames: u64,
}

/// A part of a journal that is dropped whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Its last record.
    pub last: Lsn,
    /// Bytes it takes, as far as they can be counted.
    pub bytes: u64,
    /// Whether it can be dropped; the last one cannot.
    pub is_droppable: bool,
}

/// What trimming did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrimReport {
    /// First LSN that is kept.
    pub first_lsn: Lsn,
    /// Segments dropped.
    pub segments: u64,
    /// Bytes given back to the filesystem.
    pub bytes: u64,
}
