//! What is shown of snapshots: the last one, whether one is running, the last failure.

use super::Standing;
use ducat_engine::ids::Lsn;
use ducat_persistence::snapshot::Summary;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// A snapshot that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What was written.
    pub summary: Summary,
    /// The file.
    pub path: PathBuf,
    /// How long it took, from the request to the synced directory.
    pub took: Duration,
    /// Whether it was written now. A sound one of the same moment that was there already
    /// need not be written again.
    pub new: bool,
}

/// A snapshot that was read whole, and nothing speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What is in it.
    pub summary: Summary,
    /// The file.
    pub path: PathBuf,
    /// How it stands to the journal: [`Standing::Continued`] or [`Standing::BeforeJournal`].
    pub standing: Standing,
}

/// Why there is no new snapshot, or an old one cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotFailed {
    /// The journal is in memory.
    #[error("this engine keeps no snapshots: its journal is in memory")]
    NotKept,
    /// Nothing has happened yet.
    #[error("there is nothing to take a snapshot of: the ledger has no events")]
    Empty,
    /// No file has this LSN; 0 where there is none at all.
    #[error("there is no snapshot{}", at(*.0))]
    Missing(Lsn),
    /// A snapshot that was read is damaged or of another history.
    #[error("{why}")]
    Damaged {
        /// By its name.
        lsn: Lsn,
        /// What is wrong, and where.
        why: String,
    },
    /// The disk or the journal refused. The engine goes on; the schedule tries again.
    #[error("{0}")]
    Io(String),
    /// The engine ends, and the snapshot with it; nothing remains of it.
    #[error("the engine stops, and the snapshot was abandoned")]
    Stopped,
}

/// How snapshots are doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotHealth {
    /// Whether there are any at all.
    pub kept: bool,
    /// The last one known to be durable: taken, started from, or found at the start.
    pub last: Option<LastSnapshot>,
    /// When the running one began, nanoseconds since the Unix epoch.
    pub running_since_ns: Option<u64>,
    /// Taken since the start.
    pub taken: u64,
    /// Failed since the start.
    pub failures: u64,
    /// The last failure, until one succeeds.
    pub failed: Option<LastFailure>,
}

/// The last snapshot in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSnapshot {
    /// Its moment.
    pub lsn: Lsn,
    /// When it was taken, nanoseconds since the Unix epoch.
    pub taken_ns: u64,
    /// How long that took; unknown for one of an earlier process.
    pub took: Option<Duration>,
    /// The file's size.
    pub bytes: u64,
}

/// Why the last attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// Why.
    pub why: String,
}

impl SnapshotHealth {
    pub(crate) fn begun(&mut self) {
        self.running_since_ns = Some(now_ns());
    }

    pub(crate) fn ended(&mut self, result: &Result<Taken, SnapshotFailed>) {
        self.running_since_ns = None;
        match result {
            Ok(Taken { summary, took, new, .. }) => {
                self.taken += u64::from(*new);
                self.failed = None;
                let known = self.last.filter(|last| !new && last.lsn == summary.header.lsn());
                self.last = known.or(Some(LastSnapshot {
                    lsn: summary.header.lsn(),
                    taken_ns: summary.header.taken_ns,
                    took: new.then_some(*took),
                    bytes: summary.bytes,
                }));
            }
            // Nothing went wrong.
            Err(SnapshotFailed::Empty | SnapshotFailed::Stopped) => {}
            Err(error) => {
                self.failures += 1;
                self.failed = Some(LastFailure { at_ns: now_ns(), why: error.to_string() });
            }
        }
    }
}

fn at(lsn: Lsn) -> String {
    if lsn == Lsn::ZERO { String::new() } else { format!(" at LSN {lsn}") }
}

pub(crate) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}
