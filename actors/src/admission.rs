//! Admission: the bounded way from the door to the coordinator, and what all actors of an
//! engine share.
//!
//! ractor's mailboxes know no bound, so requests do not travel in them: they wait in a queue
//! whose length is bounded by permits, and the coordinator is only told that there is work.
//! The room a transfer takes is given back when its outcome leaves, so the permits bound
//! everything behind the door: what waits, what is in prepare, and what waits for the disk.
//!
//! Time is bounded too: what would wait longer than [`EngineOptions::queue_delay_max`], or
//! longer than its deadline allows, is refused at the door, and the coordinator decides only
//! so much ahead of the disk, so that a slow disk makes what waits old where it can still be
//! dropped, not where it is decided. The queue is first come, first served: its delay is
//! bounded, so that serving the newest first would win nothing, and a caller's transfers
//! keep their order.

use crate::background::Background;
use crate::backlog::Backlog;
use crate::coordinator::CoordinatorMsg;
use crate::feed::Watched;
use crate::handle::{EngineOptions, RequestError};
use crate::names::Names;
use crate::proof::Following;
use crate::snapshots::snapshotter::SnapshotterMsg;
use crate::snapshots::{SnapshotHealth, SnapshotOptions};
use crate::standings::{AccountsRead, AccountsReads, OnTheWay};
use crate::tasks::{Submission, Task, WaitingRead};
use crate::upkeep::archiving::Archiver;
use crate::upkeep::backing_up::BackingUp;
use crate::upkeep::disk::DiskGuard;
use crossbeam::queue::SegQueue;
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_engine::money::Currencies;
use ducat_persistence::Journal;
use ducat_persistence::snapshot::SnapshotError;
use ractor::ActorRef;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::{Semaphore, watch};

/// Most reads in flight; further ones wait at the door.
const READS_MAX: usize = 1_024;

/// Most walks through the journal at a time: statements, transfers by id.
const WALKS_MAX: usize = 16;

/// Most events decided ahead of the disk. At full speed some tens of milliseconds' worth, so
/// that the disk always has enough to do.
const AHEAD_MAX: u64 = 65_536;

/// With less room left than this part of all, requests are refused before they are read.
const ROOM_SPARE: usize = 64;

/// Numbers that grow; relaxed, since nothing is decided by them.
#[derive(Default)]
pub(crate) struct Counters {
    pub posted: AtomicU64,
    pub refused: AtomicU64,
    pub repeats: AtomicU64,
    /// Requests refused because the engine was behind or full.
    pub overloaded: AtomicU64,
    /// Requests dropped undecided because their deadline had passed.
    pub expired: AtomicU64,
    /// Requests dropped undecided because their caller had gone.
    pub abandoned: AtomicU64,
    pub journal_bytes: AtomicU64,
    /// How long appends took, each with the sync that makes it durable.
    pub appends: crate::latency::Latency,
    pub accounts: AtomicU64,
    pub last_lsn: AtomicU64,
    pub known_ids: AtomicUsize,
    pub open_holds: AtomicUsize,
    pub known_bytes: AtomicUsize,
    pub holds_bytes: AtomicUsize,
    pub directory_bytes: AtomicUsize,
}

/// What the door and the actors of one engine share.
pub(crate) struct Shared {
    pub options: EngineOptions,
    pub shard: ShardId,
    pub epoch: Epoch,
    pub journal: Arc<dyn Journal>,
    pub counters: Counters,
    pub currencies: RwLock<Arc<Currencies>>,
    /// Room for transfers.
    pub room: Arc<Semaphore>,
    /// Room for reads.
    pub reads: Arc<Semaphore>,
    /// Room for the one read at a time that looks at every account.
    pub long_reads: Arc<Semaphore>,
    /// For reading and removing snapshots, one at a time.
    pub snapshot_turns: Semaphore,
    /// How snapshots are doing.
    snapshots: Mutex<SnapshotHealth>,
    /// Snapshots known to be sound; held while some are removed.
    sound_snapshots: Mutex<BTreeSet<Lsn>>,
    pub snapshotter: OnceLock<ActorRef<SnapshotterMsg>>,
    /// Room for walks through the journal.
    pub walks: Arc<Semaphore>,
    /// Room for one trial balance or audit at a time.
    pub audits: Arc<Semaphore>,
    /// Room for feeds.
    pub feeds: Arc<Semaphore>,
    /// Threads that read for those who look back.
    pub background: Background,
    /// What slots stand for, as far as anybody looked back.
    pub names: Names,
    /// Which accounts are watched for what.
    pub watched: Watched,
    /// The last durable LSN.
    pub durable: watch::Sender<Lsn>,
    /// Why the engine stopped, once it did.
    pub stopped: watch::Sender<Option<String>>,
    /// How long what comes now would wait in the queue.
    pub backlog: Backlog,
    /// Moves the journal's oldest part away.
    pub archiver: Archiver,
    /// Copies to another disk.
    pub backing_up: BackingUp,
    /// Whether the disk has room for new transfers.
    pub disk: DiskGuard,
    /// Transfers and other changes, in order of arrival.
    pub queue: SegQueue<Task>,
    /// Reads; transfers overtake them.
    pub read_queue: SegQueue<WaitingRead>,
    /// Reads of accounts by id, done in the middle of a batch as well.
    pub accounts_reads: AccountsReads,
    /// What memory is ahead of the disk by, as far as it can be taken off again.
    pub on_the_way: OnTheWay,
    /// The way to the thread that signs checkpoints, where there is one.
    pub proof: OnceLock<Following>,
    told: AtomicBool,
    stopping: AtomicBool,
    coordinator: OnceLock<ActorRef<CoordinatorMsg>>,
}

impl Shared {
    pub fn new(
        options: EngineOptions,
        shard: ShardId,
        epoch: Epoch,
        journal: Arc<dyn Journal>,
        durable: Lsn,
    ) -> Self {
        Self {
            room: Arc::new(Semaphore::new(options.in_flight_max)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            long_reads: Arc::new(Semaphore::new(1)),
            snapshot_turns: Semaphore::new(1),
            snapshots: Mutex::default(),
            sound_snapshots: Mutex::default(),
            snapshotter: OnceLock::new(),
            walks: Arc::new(Semaphore::new(WALKS_MAX)),
            feeds: Arc::new(Semaphore::new(options.subscribers_max)),
            audits: Arc::new(Semaphore::new(1)),
            background: Background::default(),
            names: Names::default(),
            watched: Watched::default(),
            options,
            shard,
            epoch,
            journal,
            counters: Counters::default(),
            currencies: RwLock::new(Arc::default()),
            durable: watch::Sender::new(durable),
            stopped: watch::Sender::new(None),
            backlog: Backlog::new(),
            archiver: Archiver::default(),
            backing_up: BackingUp::default(),
            disk: DiskGuard::default(),
            queue: SegQueue::new(),
            read_queue: SegQueue::new(),
            accounts_reads: AccountsReads::default(),
            on_the_way: OnTheWay::default(),
            proof: OnceLock::new(),
            told: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            coordinator: OnceLock::new(),
        }
    }

    /// Lets the queue know whom to tell.
    pub fn connect(&self, coordinator: ActorRef<CoordinatorMsg>) {
        assert!(self.coordinator.set(coordinator).is_ok(), "connected once");
    }

    /// How snapshots are doing.
    pub fn snapshot_health(&self) -> MutexGuard<'_, SnapshotHealth> {
        // Only plain values are written into it.
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all snapshots but the newest `keep` that can be used. Blocks.
    pub fn prune_snapshots(
        &self,
        options: &SnapshotOptions,
        keep: usize,
    ) -> Result<Vec<Lsn>, SnapshotError> {
        let mut sound = self.sound_snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        options.store.prune_known(keep, &mut sound)
    }

    /// Whether a request whose answer is wanted until `deadline` may come in now: when what
    /// waits leaves it half its time, for the way to the disk and back.
    pub fn admit(&self, deadline: Option<Instant>) -> Result<(), RequestError> {
        let now = Instant::now();
        let mut bound = self.options.queue_delay_max;
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(now);
            if left.is_zero() {
                self.counters.expired.fetch_add(1, Ordering::Relaxed);
                return Err(RequestError::Expired);
            }
            bound = bound.min(left / 2);
        }
        let delay = self.backlog.delay(now);
        if delay > bound {
            self.count_overloaded();
            return Err(RequestError::Overloaded { delay, bound });
        }
        Ok(())
    }

    /// Whether the engine is so full that most requests would find no room: for saying no
    /// before one is read.
    pub fn check_room(&self) -> Result<(), RequestError> {
        let limit = self.options.in_flight_max;
        if self.room.available_permits() >= limit / ROOM_SPARE {
            return Ok(());
        }
        self.count_overloaded();
        Err(RequestError::Busy { in_flight: self.in_flight(), limit })
    }

    /// Counts a request that was refused because of the load.
    pub fn count_overloaded(&self) {
        self.counters.overloaded.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops a submission that was not begun, and says so where somebody still listens.
    pub fn drop_unwanted(&self, submission: Submission) {
        let counters = &self.counters;
        let counter =
            if submission.is_abandoned() { &counters.abandoned } else { &counters.expired };
        counter.fetch_add(1, Ordering::Relaxed);
        drop(submission.reply.send(Err(RequestError::Expired)));
    }

    /// Whether the journal is not too far behind the last LSN given out.
    pub fn is_journal_in_reach(&self, last: Lsn) -> bool {
        *self.durable.borrow() >= Lsn(last.0.saturating_sub(AHEAD_MAX))
    }

    /// Waits while it is.
    pub async fn journal_in_reach(&self, last: Lsn) {
        if !self.is_journal_in_reach(last) {
            // An engine that has stopped is seen by what comes next.
            drop(self.wait_durable(Lsn(last.0.saturating_sub(AHEAD_MAX))).await);
        }
    }

    /// Queues a change and tells the coordinator, unless it has been told and not looked yet.
    pub fn queue(&self, task: Task) -> Result<(), RequestError> {
        self.check_running()?;
        self.queue.push(task);
        self.tell()
    }

    /// Queues a read.
    pub fn queue_read(&self, read: WaitingRead) -> Result<(), RequestError> {
        self.check_running()?;
        self.read_queue.push(read);
        self.tell()
    }

    /// Queues a read of accounts.
    pub fn queue_accounts_read(&self, read: AccountsRead) -> Result<(), RequestError> {
        self.check_running()?;
        self.accounts_reads.push(read);
        self.tell()
    }

    fn check_running(&self) -> Result<(), RequestError> {
        match self.stopped.borrow().as_ref() {
            Some(why) => Err(RequestError::Stopped(why.clone())),
            None => Ok(()),
        }
    }

    fn tell(&self) -> Result<(), RequestError> {
        if !self.told.swap(true, Ordering::SeqCst)
            && let Some(coordinator) = self.coordinator.get()
        {
            coordinator.cast(CoordinatorMsg::Work).map_err(|e| self.stopped(&e))?;
        }
        // It may have stopped between the first look and the push.
        if self.stopped.borrow().is_some() {
            self.clear();
        }
        Ok(())
    }

    /// The coordinator is about to look: tasks queued from now on tell it again.
    pub fn look(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    /// The engine is being shut down: actors that end from now on do so in order.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether it is being shut down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The engine has stopped for the reason on record, or for the one given.
    pub fn stopped(&self, cause: &dyn std::fmt::Display) -> RequestError {
        let why = self.stopped.borrow().clone();
        RequestError::Stopped(why.unwrap_or_else(|| cause.to_string()))
    }

    /// Notes that the engine has stopped; the first reason stays.
    pub fn stop(&self, why: String) {
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            if first {
                *stopped = Some(why);
            }
            first
        });
        self.clear();
    }

    /// What is still queued will not be looked at: dropping it tells those who wait.
    fn clear(&self) {
        self.backlog.close();
        while self.queue.pop().is_some() {}
        self.clear_reads();
    }

    /// Drops the reads that wait.
    pub fn clear_reads(&self) {
        while self.read_queue.pop().is_some() {}
        self.accounts_reads.clear();
    }

    /// Transfers admitted and not answered.
    pub fn in_flight(&self) -> usize {
        self.options.in_flight_max.saturating_sub(self.room.available_permits())
    }

    /// Waits until everything up to `lsn` is durable.
    pub async fn wait_durable(&self, lsn: Lsn) -> Result<(), RequestError> {
        let mut durable = self.durable.subscribe();
        let mut stopped = self.stopped.subscribe();
        tokio::select! {
            biased;
            done = durable.wait_for(|now| *now >= lsn) => {
                done.map(drop).map_err(|e| self.stopped(&e))
            }
            _ = stopped.wait_for(Option::is_some) => Err(self.stopped(&"it has failed")),
        }
    }
}
