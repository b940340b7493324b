//! A snapshot of a directory that nobody holds, from replay.

use super::rebuild::{RebuildError, Rebuilt, scan};
use super::{Anchor, anchor};
use crate::replay::Progress;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::ledger::Ledger;
use ducat_engine::snapshot::{
    Head, PIECE_DRIVEN, PIECE_HOLDS, PIECE_IDS, PIECE_PROFILES, PIECE_REFUNDS,
};
use ducat_persistence::snapshot::{SnapshotError, SnapshotHeader, SnapshotStore, Summary};
use ducat_persistence::{Journal, JournalError};
use thiserror::Error;

/// Why no snapshot was made.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// No ledger could be built.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The journal could not be read back.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshot could not be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Nothing has happened yet.
    #[error("there is nothing to take a snapshot of: the ledger has no events")]
    Empty,
    /// The last acknowledged event does not end a frame: the journal is not what was written.
    #[error("no frame ends at the last acknowledged event, LSN {0}")]
    NoFrame(Lsn),
}

/// A snapshot that was made.
pub struct Made {
    /// What was written.
    pub summary: Summary,
    /// How the state came about: from which snapshot, past which others.
    pub rebuilt: Rebuilt<()>,
}

/// Makes a snapshot as of the last acknowledged event, from the snapshot before and what the
/// journal holds behind it. `from_beginning`: from the whole journal, whatever snapshots there
/// are.
///
/// # Errors
/// [`OfflineError`].
pub fn create(
    journal: &dyn Journal,
    shard: ShardId,
    store: &SnapshotStore,
    from_beginning: bool,
    taken_ns: u64,
    progress: Progress,
) -> Result<Made, OfflineError> {
    let basis = (!from_beginning).then_some(store);
    let Rebuilt { mut ledger, from, rejected, journal: _ } = scan(journal, shard, basis, progress)?;
    let lsn = Lsn(ledger.coordinator.next_lsn().0 - 1);
    if lsn == Lsn::ZERO {
        return Err(OfflineError::Empty);
    }
    let place = anchor(journal, shard, lsn)?.ok_or(OfflineError::NoFrame(lsn))?;
    let state = ledger.begin_export();
    let summary = write(store, &mut ledger, header(store, state, place, taken_ns))?;
    Ok(Made { summary, rebuilt: Rebuilt { ledger, journal: (), from, rejected } })
}

/// The header of a snapshot of `state`, which stands at `place`.
pub(crate) fn header(
    store: &SnapshotStore,
    state: Head,
    place: Anchor,
    taken_ns: u64,
) -> SnapshotHeader {
    // The coordinator's time may have gone on without an event; the journal's is replay's.
    let state = Head { time_ns: place.time_ns, ..state };
    let (ledger, shard, epoch) = (store.ledger(), store.shard(), place.epoch);
    SnapshotHeader { ledger, shard, epoch, anchor: place.point, taken_ns, state }
}

fn write(
    store: &SnapshotStore,
    ledger: &mut Ledger,
    header: SnapshotHeader,
) -> Result<Summary, SnapshotError> {
    let mut file = store.create(header)?;
    while let Some(accounts) = ledger.give_accounts() {
        file.accounts(&accounts)?;
    }
    while let Some(holds) = ledger.coordinator.give_holds(PIECE_HOLDS) {
        file.holds(&holds)?;
    }
    while let Some(piece) = ledger.coordinator.give_profiles(PIECE_PROFILES) {
        file.profiles(&piece)?;
    }
    while let Some(piece) = ledger.coordinator.give_refunds(PIECE_REFUNDS) {
        file.refunds(&piece)?;
    }
    while let Some(piece) = ledger.coordinator.give_driven(PIECE_DRIVEN) {
        file.driven(&piece)?;
    }
    while let Some(piece) = ledger.coordinator.give(PIECE_IDS) {
        file.ids(&piece)?;
    }
    file.finish()
}
