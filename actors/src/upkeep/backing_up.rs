//! Backing up while serving: a thread of its own, at a low priority and a bounded pace, copies to
//! another disk what became durable since the last time, at an interval and when asked. A run that
//! fails stops nothing: it is logged once, shown in the health, and made again after the interval.
//! An orderly stop makes a last one, so that nothing is missing from the backup then.

use super::pace::{Pace, is_over, now_ns};
use crate::admission::Shared;
use crate::threads::lower_priority;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError};
use ducat_engine::ids::Lsn;
use ducat_persistence::archive::Step;
use ducat_persistence::backup::{BackedUp, BackupError, BackupStore, Source};
use ducat_persistence::with_causes;
use ducat_persistence::{LedgerId, Origin, Vault};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::oneshot;

/// The last run of an orderly stop is broken off after this long. What it had copied by then is in
/// the backup.
const LAST_RUN_MAX: Duration = Duration::from_secs(20);

/// What is backed up, where to and how often.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Where the ledger lies.
    pub data_dir: PathBuf,
    /// Its id.
    pub ledger: LedgerId,
    /// Where the ledger itself comes from.
    pub origins: Vec<Origin>,
    /// Its keys, if it is encrypted.
    pub vault: Option<Vault>,
    /// The backup's directory.
    pub to: PathBuf,
    /// Time between two runs: so much is lost with the whole machine at most.
    pub period: Duration,
    /// At most so many bytes are copied in a second.
    pub bytes_per_second_max: u64,
}

/// How backing up does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackupHealth {
    /// Where to.
    pub to: PathBuf,
    /// The last event in the backup; 0 when nothing was backed up since the start.
    pub last_lsn: Lsn,
    /// When the last run that came to its end began, nanoseconds since 1970: all that was durable
    /// then is in the backup. 0 when none has.
    pub last_run_ns: u64,
    /// How long it took.
    pub last_took: Duration,
    /// Bytes that it wrote.
    pub last_written_bytes: u64,
    /// Runs that came to their end, since the start.
    pub runs: u64,
    /// Files of frames in the backup.
    pub files: u64,
    /// Bytes of the backup.
    pub bytes: u64,
    /// The newest snapshot in the backup; 0 for none.
    pub snapshot_lsn: Lsn,
    /// Whether ledger and backup lie on one filesystem, and would be lost together.
    pub same_filesystem: bool,
    /// Runs that failed since the start.
    pub failures: u64,
    /// Why the last run failed, if it did.
    pub last_error: Option<String>,
}

/// Why no backup was made when one was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BackupFailed {
    /// The engine makes none.
    #[error("this server makes no backups: it was started without --backup-to")]
    NotKept,
    /// So many wait for the next one that nobody else can.
    #[error("too many are waiting for a backup already")]
    Busy,
    /// It could not be written, or the journal could not be read.
    #[error("could not back up: {0}")]
    Failed(String),
    /// The engine ends.
    #[error("the engine has stopped")]
    Stopped,
}

/// Who asked for a run, and is told how backing up does behind it.
pub(crate) type Ask = oneshot::Sender<Result<BackupHealth, BackupFailed>>;

/// What the thread and those who ask share.
#[derive(Debug, Default)]
pub(crate) struct BackingUp {
    health: Mutex<BackupHealth>,
    /// The way to the thread; it ends when this is gone.
    asks: Mutex<Option<Sender<Ask>>>,
}

impl BackingUp {
    pub fn connect(&self, asks: Sender<Ask>) {
        *self.asks.lock().unwrap_or_else(PoisonError::into_inner) = Some(asks);
    }

    pub fn disconnect(&self) {
        *self.asks.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Asks for a run that begins from now on. Never waits.
    pub fn ask(&self, ask: Ask) -> Result<(), BackupFailed> {
        let asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        let asks = asks.as_ref().ok_or(BackupFailed::Stopped)?;
        asks.try_send(ask).map_err(|error| match error {
            TrySendError::Full(_) => BackupFailed::Busy,
            TrySendError::Disconnected(_) => BackupFailed::Stopped,
        })
    }

    pub fn health(&self) -> BackupHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut BackupHealth)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Backs up at once, and then again and again, until the other end is dropped; and once more then,
/// if the engine ends in order.
pub(super) fn run(shared: &Shared, options: &BackupOptions, asked: &Receiver<Ask>) {
    lower_priority();
    shared.backing_up.update(|health| health.to.clone_from(&options.to));
    // Once it is there, a directory without it is a disk that is not mounted.
    let mut begin = true;
    let mut asks: Vec<Ask> = Vec::new();
    loop {
        let since = Instant::now();
        asks.extend(asked.try_iter());
        if !is_over(shared) {
            let pace = Pace::new(options.bytes_per_second_max);
            let done = once(shared, options, begin, pace, &|| is_over(shared));
            begin &= done.is_err();
            for ask in asks.drain(..) {
                // Whoever has gone needs no answer.
                drop(ask.send(done.clone()));
            }
        }
        let rest = options.period.saturating_sub(since.elapsed());
        match asked.recv_timeout(rest.max(Duration::from_millis(10))) {
            Ok(ask) => asks.push(ask),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    drop(asks);
    let behind = shared.backing_up.health().last_lsn < *shared.durable.borrow();
    if behind && shared.is_stopping() && shared.stopped.borrow().is_none() {
        let until = Instant::now() + LAST_RUN_MAX;
        let over = || shared.stopped.borrow().is_some() || Instant::now() > until;
        // Nobody is held up by it any more, and somebody waits for its end.
        drop(once(shared, options, begin, Pace::new(u64::MAX), &over));
    }
}

/// One run, until it is over.
fn once(
    shared: &Shared,
    options: &BackupOptions,
    begin: bool,
    mut pace: Pace,
    over: &dyn Fn() -> bool,
) -> Result<BackupHealth, BackupFailed> {
    let (since, began_ns) = (Instant::now(), now_ns());
    let mut watch = |step: Step| {
        if let Step::Frames(bytes) = step {
            pace.hold(bytes, over);
        }
        if over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let source = Source {
        data_dir: &options.data_dir,
        ledger: options.ledger,
        shard: shared.shard,
        origins: &options.origins,
        journal: &*shared.journal,
        snapshots: shared.options.snapshots.as_ref().map(|snapshots| &snapshots.store),
        vault: options.vault.as_ref(),
    };
    match BackupStore::update(&options.to, &source, begin, &mut watch) {
        Ok(done) => {
            let before = shared.backing_up.health();
            tell(options, &done, &before);
            shared.backing_up.update(|health| {
                health.last_lsn = done.end.lsn;
                health.last_run_ns = began_ns;
                health.last_took = since.elapsed();
                health.last_written_bytes = done.written_bytes;
                health.runs += 1;
                (health.files, health.bytes) = (done.files, done.bytes);
                health.snapshot_lsn = done.snapshot.unwrap_or(Lsn::ZERO);
                health.same_filesystem = done.same_filesystem;
                health.last_error = done.snapshot_refused;
            });
            Ok(shared.backing_up.health())
        }
        Err(error) if error.is_stopped() => Err(BackupFailed::Stopped),
        Err(error) => Err(BackupFailed::Failed(failed(shared, options, &error))),
    }
}

fn tell(options: &BackupOptions, done: &BackedUp, before: &BackupHealth) {
    let to = options.to.display();
    if before.runs == 0 {
        tracing::info!(%to, lsn = done.end.lsn.0, begun = done.begun, "backed up");
        if done.same_filesystem {
            tracing::warn!(%to, "the backup lies on the ledger's own filesystem: they would be lost together");
        }
    } else if before.last_error.is_some() && done.snapshot_refused.is_none() {
        tracing::info!(%to, lsn = done.end.lsn.0, "backed up again");
    }
    if let Some(why) = &done.snapshot_refused
        && before.last_error.as_ref() != Some(why)
    {
        tracing::error!(why, "the newest snapshot was not backed up; the journal was");
    }
}

/// Notes and tells why a run failed.
fn failed(shared: &Shared, options: &BackupOptions, error: &BackupError) -> String {
    let why = with_causes(error);
    let mut news = false;
    shared.backing_up.update(|health| {
        news = health.last_error.as_ref() != Some(&why);
        health.failures += 1;
        health.last_error = Some(why.clone());
    });
    if news {
        let to = options.to.display();
        tracing::error!(%to, why, "could not back up; it is tried again after every interval");
    }
    why
}
