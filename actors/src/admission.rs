//! Admission: the bounded way from the door to the coordinator, and what all actors of an
//! engine share.
//!
//! ractor's mailboxes know no bound, so requests do not travel in them: they wait in a queue
//! whose length is bounded by permits, and the coordinator is only told that there is work.
//! The room a transfer takes is given back when its outcome leaves, so the permits bound
//! everything behind the door: what waits, what is in prepare, and what waits for the disk.

use crate::coordinator::CoordinatorMsg;
use crate::handle::{EngineOptions, RequestError};
use crate::tasks::{Task, WaitingRead};
use crossbeam::queue::SegQueue;
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_engine::money::Currencies;
use ducat_persistence::Journal;
use ractor::ActorRef;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use tokio::sync::{Semaphore, watch};

/// Most reads in flight; further ones wait at the door.
const READS_MAX: usize = 1_024;

/// Most walks through the journal at a time: statements, transfers by id.
const WALKS_MAX: usize = 16;

/// Numbers that grow; relaxed, since nothing is decided by them.
#[derive(Default)]
pub(crate) struct Counters {
    pub posted: AtomicU64,
    pub refused: AtomicU64,
    pub repeats: AtomicU64,
    pub journal_bytes: AtomicU64,
    pub accounts: AtomicU64,
    pub last_lsn: AtomicU64,
    pub known_ids: AtomicUsize,
    pub known_bytes: AtomicUsize,
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
    /// Room for walks through the journal.
    pub walks: Arc<Semaphore>,
    /// The last durable LSN.
    pub durable: watch::Sender<Lsn>,
    /// Why the engine stopped, once it did.
    pub stopped: watch::Sender<Option<String>>,
    /// Transfers and other changes, in order of arrival.
    pub queue: SegQueue<Task>,
    /// Reads; transfers overtake them.
    pub read_queue: SegQueue<WaitingRead>,
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
            walks: Arc::new(Semaphore::new(WALKS_MAX)),
            options,
            shard,
            epoch,
            journal,
            counters: Counters::default(),
            currencies: RwLock::new(Arc::default()),
            durable: watch::Sender::new(durable),
            stopped: watch::Sender::new(None),
            queue: SegQueue::new(),
            read_queue: SegQueue::new(),
            told: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            coordinator: OnceLock::new(),
        }
    }

    /// Lets the queue know whom to tell.
    pub fn connect(&self, coordinator: ActorRef<CoordinatorMsg>) {
        assert!(self.coordinator.set(coordinator).is_ok(), "connected once");
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
        while self.queue.pop().is_some() {}
        self.clear_reads();
    }

    /// Drops the reads that wait.
    pub fn clear_reads(&self) {
        while self.read_queue.pop().is_some() {}
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
