//! Archiving while serving: a thread of its own looks, now and then and after each snapshot, what
//! the snapshots make unneeded for a start, moves it into the archive at a bounded pace, and lets
//! the journal drop it.

use super::pace::{Pace, is_over, now_ns};
use crate::admission::Shared;
use crate::snapshots::SnapshotOptions;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use ducat_engine::ids::Lsn;
use ducat_persistence::Journal;
use ducat_persistence::archive::trimming::{TrimError, TrimOptions, Trimmed, Trimmer};
use ducat_persistence::archive::{ArchiveError, ArchiveStore, Step};
use ducat_persistence::with_causes;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How the journal is archived while the engine runs.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// The archive, or why it cannot be used: then nothing is trimmed, and the health says so.
    pub store: Result<Arc<ArchiveStore>, String>,
    /// What stays in the journal.
    pub trim: TrimOptions,
    /// Time between two looks, beside those after a snapshot.
    pub period: Duration,
    /// At most so many bytes of frames are archived in a second.
    pub bytes_per_second_max: u64,
}

/// How archiving does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveHealth {
    /// The last record archived; 0 when none is.
    pub last_lsn: Lsn,
    /// Files of the archive.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The first record that the journal still has.
    pub journal_first_lsn: Lsn,
    /// Bytes that the journal takes on the disk, as of the last look.
    pub journal_bytes: u64,
    /// Bytes given back to the filesystem since the start.
    pub dropped_bytes: u64,
    /// When the last run that found nothing wrong ended, nanoseconds since 1970; 0 when none has.
    pub last_run_ns: u64,
    /// Why the last run failed, if it did.
    pub last_error: Option<String>,
}

/// What the thread and those who ask share.
#[derive(Debug, Default)]
pub(crate) struct Archiver {
    health: Mutex<ArchiveHealth>,
    wake: Mutex<Option<Sender<()>>>,
}

impl Archiver {
    pub fn connect(&self, wake: Sender<()>) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    pub fn disconnect(&self) {
        *self.wake.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Asks for a look soon: a snapshot was made. Never waits.
    pub fn wake(&self) {
        if let Some(wake) = &*self.wake.lock().unwrap_or_else(PoisonError::into_inner) {
            // A full channel has a look to come already.
            let _full = wake.try_send(());
        }
    }

    pub fn health(&self) -> ArchiveHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut ArchiveHealth)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Looks again and again, until the other end is dropped.
pub(super) fn run(shared: &Shared, options: &ArchiveOptions, woken: &Receiver<()>) {
    let archive = match &options.store {
        Ok(archive) => Arc::clone(archive),
        Err(why) => {
            shared.archiver.update(|health| health.last_error = Some(why.clone()));
            tracing::error!(why, "the archive cannot be used: the journal is not trimmed");
            // Until the end: the health is still asked for.
            while woken.recv().is_ok() {}
            return;
        }
    };
    let mut trimmer = Trimmer::default();
    observe(shared, &archive);
    loop {
        match woken.recv_timeout(options.period) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if is_over(shared) {
            continue;
        }
        if let Some(snapshots) = &shared.options.snapshots {
            look(shared, options, snapshots, &archive, &mut trimmer);
        }
        observe(shared, &archive);
    }
}

fn look(
    shared: &Shared,
    options: &ArchiveOptions,
    snapshots: &SnapshotOptions,
    archive: &Arc<ArchiveStore>,
    trimmer: &mut Trimmer,
) {
    let mut pace = Pace::new(options.bytes_per_second_max);
    let mut watch = |step: Step| {
        if let Step::Frames(bytes) = step {
            pace.hold(bytes, || is_over(shared));
        }
        if is_over(shared) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let journal: &dyn Journal = &*shared.journal;
    let store = &snapshots.store;
    match trimmer.run(journal, shared.shard, store, archive, options.trim, &mut watch) {
        Ok(done) => {
            tell(&done);
            shared.archiver.update(|health| {
                health.dropped_bytes += done.bytes;
                health.last_run_ns = now_ns();
                health.last_error = None;
            });
        }
        Err(TrimError::Archive(ArchiveError::Stopped)) => {}
        Err(error) => {
            let why = with_causes(&error);
            tracing::error!(why, "archiving failed; the journal keeps what was to be trimmed");
            shared.archiver.update(|health| health.last_error = Some(why));
        }
    }
}

fn tell(done: &Trimmed) {
    if done.pieces > 0 {
        tracing::info!(
            files = done.archived.len(),
            segments = done.pieces,
            bytes = done.bytes,
            upto_lsn = done.upto.0,
            "archived the journal's oldest part and dropped it"
        );
    }
}

/// Notes how archive and journal stand.
fn observe(shared: &Shared, archive: &ArchiveStore) {
    let manifest = archive.manifest();
    let pieces = shared.journal.pieces(shared.shard).unwrap_or_default();
    let kept = shared.journal.trimmed_to(shared.shard);
    shared.archiver.update(|health| {
        health.last_lsn = archive.end().lsn;
        health.files = manifest.entries.len() as u64;
        health.bytes = manifest.entries.iter().map(|entry| entry.bytes).sum();
        health.journal_bytes = pieces.iter().map(|piece| piece.bytes).sum();
        if let Ok(kept) = kept {
            health.journal_first_lsn = kept.lsn.next();
        }
    });
}
