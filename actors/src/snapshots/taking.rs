//! Taking one snapshot while the engine works, on a thread of its own.
//!
//! ```text
//! this thread                coordinator            partitions        journal
//! begin ───────────────────▶ between two batches ─▶ begin_export
//!   ◀──── the head, once the marker's LSN is durable ◀──────────────── (as answers do)
//! anchor ◀─────────────────────────────────────────────────────────── the frame that ends there
//! give, a piece at a time ────────────────────────▶ accounts as they were
//! give, a piece at a time ─▶ open holds, what is known of accounts, then ids, as they were
//! compress, hash, write, sync every 4 MiB ▸ sync, rename, sync the directory ▸ prune ▸ hook
//! ```
//!
//! Nothing is kept waiting by it: a piece is some hundred microseconds of a partition's time,
//! the thread has a low priority, and rests after each piece for as long as the piece took.
//! Whatever fails, the export is ended, which frees the images that partitions keep.

use super::health::{SnapshotFailed, Taken, now_ns};
use super::offline::header;
use super::{Anchor, SnapshotOptions, anchor};
use crate::admission::Shared;
use crate::handle::RequestError;
use crate::partition::PartitionMsg;
use crate::tasks::{Read, Reply, Task, WaitingRead};
use crate::threads::lower_priority;
use ducat_engine::account::Account;
use ducat_engine::ids::Lsn;
use ducat_engine::snapshot::{Head, IdsPiece, Unsound, interleave};
use ducat_persistence::snapshot::{SnapshotError, SnapshotFile, Summary};
use ducat_persistence::with_causes;
use ractor::ActorRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The longest rest after a piece.
const REST_MAX: Duration = Duration::from_millis(50);

/// Why it ended without a snapshot.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The engine goes on.
    Failed(SnapshotFailed),
    /// The state itself is wrong: the engine must not go on.
    Unsound(String),
}

impl From<SnapshotFailed> for Ended {
    fn from(failed: SnapshotFailed) -> Self {
        Self::Failed(failed)
    }
}

impl From<SnapshotError> for Ended {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Unsound(unsound) => Self::from(*unsound),
            error => Self::Failed(SnapshotFailed::Io(with_causes(&error))),
        }
    }
}

impl From<Unsound> for Ended {
    fn from(unsound: Unsound) -> Self {
        Self::Unsound(with_causes(&unsound))
    }
}

/// One snapshot to be taken.
pub(crate) struct Taking {
    pub shared: Arc<Shared>,
    pub partitions: Vec<ActorRef<PartitionMsg>>,
    pub options: SnapshotOptions,
    /// Set when the engine ends.
    pub abandon: Arc<AtomicBool>,
    /// When it was asked for.
    pub begun: Instant,
}

impl Taking {
    /// Takes it; blocks until it is durable, old ones are removed and the hook has returned.
    pub fn run(self) -> Result<Taken, Ended> {
        lower_priority();
        let head = self.ask(|reply| self.shared.queue(Task::BeginSnapshot { reply }))?;
        let export = Exporting { taking: &self, done: false };
        let (summary, new) = self.write(head, export)?;
        let path = self.options.store.path_of(summary.header.lsn());
        let taken = Taken { summary, path, took: self.begun.elapsed(), new };
        if taken.new {
            self.prune();
            self.shared.archiver.wake();
            if let Some(after) = &self.options.after {
                after.call(&taken.summary);
            }
        }
        Ok(taken)
    }

    fn write(&self, head: Head, mut export: Exporting<'_>) -> Result<(Summary, bool), Ended> {
        let lsn = head.lsn;
        if lsn == Lsn::ZERO {
            return Err(SnapshotFailed::Empty.into());
        }
        let place = self.place(lsn)?;
        let store = &self.options.store;
        if store.path_of(lsn).exists() {
            // Nothing has happened since: written again only if it cannot be used.
            match store.verify(lsn) {
                Ok(summary) if summary.header.anchor == place.point => return Ok((summary, false)),
                _ => tracing::error!(lsn = lsn.0, "a snapshot cannot be used; it is written again"),
            }
        }
        let mut file = store.create(header(store, head, place, now_ns()))?;
        self.give_accounts(&mut file)?;
        self.give_holds(&mut file)?;
        self.give_profiles(&mut file)?;
        self.give_refunds(&mut file)?;
        self.give_driven(&mut file)?;
        self.give_ids(&mut file)?;
        export.done = true;
        self.check_going_on()?;
        Ok((file.finish()?, true))
    }

    /// Where the journal goes on behind the snapshot.
    fn place(&self, lsn: Lsn) -> Result<Anchor, Ended> {
        assert!(*self.shared.durable.borrow() >= lsn, "told before it was durable");
        match anchor(&*self.shared.journal, self.shared.shard, lsn) {
            Ok(Some(place)) => Ok(place),
            // Batches end frames, and the marker travels between batches.
            Ok(None) => {
                Err(SnapshotFailed::Io(format!("no frame of the journal ends at LSN {lsn}")).into())
            }
            Err(error) => Err(SnapshotFailed::Io(with_causes(&error)).into()),
        }
    }

    fn give_accounts(&self, file: &mut SnapshotFile) -> Result<(), Ended> {
        while let Some(accounts) = self.accounts()? {
            self.paced(|| file.accounts(&accounts))?;
        }
        Ok(())
    }

    /// The next accounts of all partitions.
    fn accounts(&self) -> Result<Option<Vec<Account>>, Ended> {
        let mut asked = Vec::with_capacity(self.partitions.len());
        for partition in &self.partitions {
            let (reply, answer) = oneshot::channel();
            let sent = partition.cast(PartitionMsg::Give { reply });
            sent.map_err(|_| SnapshotFailed::Stopped)?;
            asked.push(answer);
        }
        let mut pieces = Vec::with_capacity(asked.len());
        for answer in asked {
            // Partitions with fewer accounts are through a piece earlier.
            let piece: Option<Vec<Account>> =
                answer.blocking_recv().map_err(|_| SnapshotFailed::Stopped)?;
            pieces.push(piece.unwrap_or_default());
        }
        let accounts = interleave(pieces);
        Ok((!accounts.is_empty()).then_some(accounts))
    }

    fn give_holds(&self, file: &mut SnapshotFile) -> Result<(), Ended> {
        let queue = |reply| {
            self.shared.queue_read(WaitingRead { read: Read::Holds { reply }, place: None })
        };
        while let Some(holds) = self.ask(queue)? {
            self.paced(|| file.holds(&holds))?;
        }
        Ok(())
    }

    fn give_profiles(&self, file: &mut SnapshotFile) -> Result<(), Ended> {
        // Waits for no place among the callers' reads: there is never more than this one.
        let queue = |reply| {
            self.shared.queue_read(WaitingRead { read: Read::Profiles { reply }, place: None })
        };
        while let Some(piece) = self.ask(queue)? {
            self.paced(|| file.profiles(&piece))?;
        }
        Ok(())
    }

    fn give_refunds(&self, file: &mut SnapshotFile) -> Result<(), Ended> {
        let queue = |reply| {
            self.shared.queue_read(WaitingRead { read: Read::Refunds { reply }, place: None })
        };
        while let Some(piece) = self.ask(queue)? {
            self.paced(|| file.refunds(&piece))?;
        }
        Ok(())
    }

    fn give_driven(&self, file: &mut SnapshotFile) -> Result<(), Ended> {
        let queue = |reply| {
            self.shared.queue_read(WaitingRead { read: Read::DrivenPiece { reply }, place: None })
        };
        while let Some(piece) = self.ask(queue)? {
            self.paced(|| file.driven(&piece))?;
        }
        Ok(())
    }

    fn give_ids(&self, file: &mut SnapshotFile) -> Result<(), Ended> {
        while let Some(piece) = self.ids()? {
            self.paced(|| file.ids(&piece))?;
        }
        Ok(())
    }

    fn ids(&self) -> Result<Option<IdsPiece>, Ended> {
        // Waits for no place among the callers' reads: there is never more than this one.
        let queue =
            |reply| self.shared.queue_read(WaitingRead { read: Read::Ids { reply }, place: None });
        Ok(self.ask(queue)?)
    }

    /// Does a piece of work, then rests for as long as it took: processors and disk are
    /// transfers' first.
    fn paced(&self, work: impl FnOnce() -> Result<(), SnapshotError>) -> Result<(), Ended> {
        self.check_going_on()?;
        let begun = Instant::now();
        work()?;
        std::thread::sleep(begun.elapsed().min(REST_MAX));
        Ok(())
    }

    fn check_going_on(&self) -> Result<(), Ended> {
        match self.abandon.load(Ordering::Relaxed) {
            true => Err(SnapshotFailed::Stopped.into()),
            false => Ok(()),
        }
    }

    /// Asks the coordinator and waits.
    fn ask<T>(
        &self,
        queue: impl FnOnce(Reply<T>) -> Result<(), RequestError>,
    ) -> Result<T, SnapshotFailed> {
        let (reply, answer) = oneshot::channel();
        queue(reply).map_err(|_| SnapshotFailed::Stopped)?;
        match answer.blocking_recv() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) | Err(_) => Err(SnapshotFailed::Stopped),
        }
    }

    /// Removes what is no longer kept. The new one is durable whatever becomes of this.
    fn prune(&self) {
        match self.shared.prune_snapshots(&self.options, self.options.schedule.keep.max(1)) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => tracing::info!(count = removed.len(), "old snapshots were removed"),
            Err(error) => {
                let why = with_causes(&error);
                tracing::error!(why, "old snapshots could not be removed");
            }
        }
    }
}

/// Accounts and ids are being given; ended when this is dropped.
struct Exporting<'t> {
    taking: &'t Taking,
    /// All was given, and nothing is kept any more.
    done: bool,
}

impl Drop for Exporting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // In vain only when the engine has stopped, and all that it kept is gone.
        let _stopped = self.taking.shared.queue(Task::EndSnapshot);
        for partition in &self.taking.partitions {
            let _stopped = partition.cast(PartitionMsg::EndExport);
        }
    }
}
