//! Snapshots: taken while the engine serves, or from a directory that nobody holds, and
//! started from.
//!
//! ```text
//! Handle, schedule ─▶ snapshotter ─ begins a thread ─▶ taking: marker ▸ pieces ▸ file ▸ prune ▸ hook
//!                         ▲  └ joins who asks meanwhile            │
//!                         └───────────── ended ────────────────────┘
//! ```
//!
//! * `snapshotter`: the actor: one snapshot at a time, on demand and on schedule;
//! * `taking`: the thread that takes one, at its own pace;
//! * [`schedule`]: when one is due;
//! * [`health`]: what is shown of it;
//! * [`rebuild`]: the newest snapshot that can be used and the journal behind it, or the whole
//!   journal; what could not be used is said;
//! * [`offline`]: a snapshot from replay.

pub mod health;
pub mod offline;
pub mod rebuild;
pub mod schedule;
pub(crate) mod snapshotter;
pub(crate) mod taking;

pub use health::{SnapshotFailed, SnapshotHealth, Taken, Verified};
pub use schedule::SnapshotSchedule;

use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::snapshot::{SnapshotHeader, SnapshotStore, Summary};
use ducat_persistence::{Journal, JournalError};
use std::fmt;
use std::sync::Arc;

/// How an engine deals with snapshots.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// Where they are.
    pub store: SnapshotStore,
    /// Whether to start from the newest that can be used; else from the whole journal.
    pub start_from: bool,
    /// When they are taken by themselves, and how many stay.
    pub schedule: SnapshotSchedule,
    /// Told of each new snapshot.
    pub after: Option<AfterSnapshot>,
}

impl SnapshotOptions {
    /// Snapshots are kept in `store`, started from, and taken on the default schedule.
    #[must_use]
    pub fn new(store: SnapshotStore) -> Self {
        Self { store, start_from: true, schedule: SnapshotSchedule::default(), after: None }
    }
}

/// Something to be done each time that a snapshot has become durable and old ones were
/// removed, such as trimming the journal. Runs on the snapshot's own thread, at low priority,
/// one at a time; until it returns, the snapshot counts as running.
#[derive(Clone)]
pub struct AfterSnapshot(Arc<dyn Fn(&Summary) + Send + Sync>);

impl AfterSnapshot {
    /// Calls `done` with each new snapshot.
    pub fn new(done: impl Fn(&Summary) + Send + Sync + 'static) -> Self {
        Self(Arc::new(done))
    }

    pub(crate) fn call(&self, summary: &Summary) {
        (self.0)(summary);
    }
}

impl fmt::Debug for AfterSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AfterSnapshot")
    }
}

/// A place in the journal at which a frame ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The place.
    pub point: ChainPoint,
    /// When its last event was decided, nanoseconds since 1970.
    pub time_ns: u64,
    /// Under which reign the frame was written.
    pub epoch: Epoch,
}

/// The end of the durable frame that ends at `lsn`; `None` where none does.
///
/// # Errors
/// Those of the journal.
pub fn anchor(
    journal: &dyn Journal,
    shard: ShardId,
    lsn: Lsn,
) -> Result<Option<Anchor>, JournalError> {
    let frame = journal.frame_at(shard, lsn)?.filter(|frame| frame.last_lsn() == lsn);
    Ok(frame.map(|frame| Anchor {
        point: ChainPoint { lsn, hash: frame.hash() },
        time_ns: frame.header().time_ns,
        epoch: frame.header().epoch,
    }))
}

/// How a snapshot stands to the journal beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The journal has the very frame at which it stands.
    Continued,
    /// The journal begins later: only a copy of what was trimmed can tell.
    BeforeJournal,
    /// The journal has another frame there: it is of another history.
    OtherHistory,
    /// The journal ends before: it is an older copy, or has lost its end.
    BeyondJournal,
}

/// Looks for a snapshot's place in the journal.
///
/// # Errors
/// Those of the journal.
pub fn standing(
    journal: &dyn Journal,
    shard: ShardId,
    header: &SnapshotHeader,
) -> Result<Standing, JournalError> {
    standing_at(journal, shard, header.anchor)
}

/// Looks for a place in the journal at which a frame ended once.
///
/// # Errors
/// Those of the journal.
pub fn standing_at(
    journal: &dyn Journal,
    shard: ShardId,
    point: ChainPoint,
) -> Result<Standing, JournalError> {
    if point.lsn == Lsn::ZERO {
        return Ok(Standing::Continued);
    }
    if let Some(found) = anchor(journal, shard, point.lsn)? {
        let same = found.point == point;
        return Ok(if same { Standing::Continued } else { Standing::OtherHistory });
    }
    // No frame ends there: one goes across it, or the journal does not reach there.
    match journal.read(shard, point.lsn) {
        Err(JournalError::Trimmed { .. }) => Ok(Standing::BeforeJournal),
        Err(error) => Err(error),
        Ok(mut frames) => match frames.next() {
            Some(frame) => frame.map(|_| Standing::OtherHistory),
            None => Ok(Standing::BeyondJournal),
        },
    }
}
