//! A ledger from the newest snapshot that can be used and the journal behind it.
//!
//! ```text
//! snapshots, newest first ─▶ load ▸ checked whole ─▶ journal behind it ▸ checked ▸ applied ─▶ ledger
//!        │ damaged, of another history, older than the journal's beginning
//!        ▼ said loudly; the one before ▸ … ▸ the whole journal ▸ refused, with what to do
//! ```
//!
//! A snapshot is never of record, so a bad one costs time and no more. What is wrong with the
//! *journal* ends the start at once: no older snapshot makes acknowledged events come back. So
//! does a journal that ends before a snapshot: it was rolled back.

use crate::replay::{FrameRefused, Progress, ReplayFailed, open_and_replay, replay_acknowledged};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::snapshot::{SnapshotError, SnapshotStore, Summary};
use ducat_persistence::with_causes;
use ducat_persistence::{Journal, JournalError, Tail, Writer};
use std::path::PathBuf;
use thiserror::Error;

/// A snapshot that was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// By its name.
    pub lsn: Lsn,
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub why: String,
}

/// Why no ledger could be built.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The snapshots could not be listed.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// The journal cannot be opened, is damaged, or does not make a ledger.
    #[error(transparent)]
    Replay(#[from] ReplayFailed),
    /// Nothing reaches back to where the journal begins.
    #[error(
        "the journal begins at LSN {first}, and {}",
        if rejected.is_empty() { "there is no snapshot" } else { "no snapshot can be used" }
    )]
    NotReached {
        /// The journal's first LSN.
        first: Lsn,
        /// The snapshots that were tried.
        rejected: Vec<Rejected>,
    },
    /// There is no ledger of so many partitions.
    #[error("partitions must be a power of two up to 64, not {0}")]
    Partitions(usize),
}

/// A ledger, and how it came about.
pub struct Rebuilt<T> {
    /// The state.
    pub ledger: Ledger,
    /// What opening or scanning the journal gave.
    pub journal: T,
    /// The snapshot it began with; `None` for the whole journal.
    pub from: Option<Summary>,
    /// Newer snapshots that could not be used.
    pub rejected: Vec<Rejected>,
}

/// How to make an empty ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Making {
    pub partitions: usize,
    /// Scatters ids.
    pub seed: u64,
}

/// A journal opened for writing.
pub(crate) type Opened = (Box<dyn Writer>, Tail);

/// Opens the journal for writing and builds the ledger.
pub(crate) fn open(
    journal: &dyn Journal,
    shard: ShardId,
    owner: &str,
    store: Option<&SnapshotStore>,
    making: Making,
    mut progress: Progress,
) -> Result<Rebuilt<Opened>, RebuildError> {
    rebuild(store, making, &mut |ledger, after| {
        let opened = open_and_replay(journal, shard, owner, ledger, after, &mut progress);
        opened.map(|(ledger, writer, tail)| (ledger, (writer, tail)))
    })
}

/// Builds the ledger as of the last acknowledged event, without writing.
///
/// # Errors
/// [`RebuildError`].
pub fn scan(
    journal: &dyn Journal,
    shard: ShardId,
    store: Option<&SnapshotStore>,
    mut progress: Progress,
) -> Result<Rebuilt<Tail>, RebuildError> {
    let making = Making { partitions: 1, seed: 0 };
    rebuild(store, making, &mut |mut ledger, after| {
        let tail = replay_acknowledged(journal, shard, &mut ledger, after, &mut progress)?;
        Ok((ledger, tail))
    })
}

type Replay<'r, T> =
    dyn FnMut(Ledger, Option<ChainPoint>) -> Result<(Ledger, T), ReplayFailed> + 'r;

fn rebuild<T>(
    store: Option<&SnapshotStore>,
    making: Making,
    replay: &mut Replay<'_, T>,
) -> Result<Rebuilt<T>, RebuildError> {
    let Making { partitions, seed } = making;
    let empty = Ledger::new(partitions, seed, REMEMBER_NS);
    let empty = empty.ok_or(RebuildError::Partitions(partitions))?;
    let mut rejected = Vec::new();
    for listed in store.map_or(Ok(Vec::new()), SnapshotStore::list)? {
        let Some(store) = store else { break };
        let why = match store.load(listed.lsn, partitions, seed, REMEMBER_NS) {
            Err(error) => with_causes(&error),
            Ok((ledger, summary)) => match replay(ledger, Some(summary.header.anchor)) {
                Ok((ledger, journal)) => {
                    return Ok(Rebuilt { ledger, journal, from: Some(summary), rejected });
                }
                Err(error) if is_of_the_snapshot(&error) => with_causes(&error),
                Err(error) => return Err(error.into()),
            },
        };
        tracing::error!(
            lsn = listed.lsn.0,
            path = %listed.path.display(),
            why,
            "a snapshot cannot be used; the one before it is tried, or the whole journal"
        );
        rejected.push(Rejected { lsn: listed.lsn, path: listed.path, why });
    }
    match replay(empty, None) {
        Ok((ledger, journal)) => Ok(Rebuilt { ledger, journal, from: None, rejected }),
        Err(error) => match not_reached(&error) {
            Some(first) => Err(RebuildError::NotReached { first, rejected }),
            None => Err(error.into()),
        },
    }
}

/// Whether a replay behind a snapshot failed in a way that another beginning may not.
fn is_of_the_snapshot(error: &ReplayFailed) -> bool {
    match error {
        ReplayFailed::Journal(error) => matches!(
            error,
            JournalError::OtherHistory { .. }
                | JournalError::Trimmed { .. }
                | JournalError::Replay { .. }
        ),
        ReplayFailed::NotConserved { .. } | ReplayFailed::Holds(_) | ReplayFailed::End { .. } => {
            true
        }
        ReplayFailed::Target { .. } => false,
    }
}

/// Where the journal begins, when that is too late.
fn not_reached(error: &ReplayFailed) -> Option<Lsn> {
    let ReplayFailed::Journal(JournalError::Replay { source, .. }) = error else { return None };
    match source.0.downcast_ref() {
        Some(FrameRefused::NotReached { first, .. }) => Some(*first),
        _ => None,
    }
}
