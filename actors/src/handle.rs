//! The one door into the engine: a [`Handle`] takes requests, bounds them, and gives back
//! answers that are durable. What stands behind it (coordinator, partitions, journal
//! writer) is nobody else's business.

mod accounts;
mod driven;
mod dry_run;
mod explain;
mod fees;
mod past;
mod reversal;
mod snapshots;
mod upkeep;
mod views;

use crate::answers::Part;

pub(crate) use views::value_date;

pub use crate::answers::Answers;
pub use crate::dry_run::{DryAnswers, Judged};
pub use driven::{DRIVEN_PAGE_MAX, SagasPage, SchedulesPage};
pub use explain::{AccountThen, Explained};
pub use fees::{FeeAttached, FeesPage};
pub use reversal::{GroupFault, GroupReversal, Reversal, ReversalError, ReversalLeg};
pub use views::{
    AccountShown, AccountsAt, AccountsPage, CurrencyTotal, EntriesPage, Entry, HistoryEntry,
    HistoryEvent, HistoryPage, HoldNow, HoldState, HoldView, HoldsAt, HoldsPage, Now, RefundView,
    RefundsPage, StateSummary, Status, StoredRequest, StoredTransfer, ValuePage,
};

use crate::admission::Shared;
use crate::audit;
use crate::entries;
use crate::latency::LatencyFigures;
use crate::owners::OwnersSeen;
use crate::proof::{CheckpointOptions, CheckpointStatus, Receipt};
use crate::refunds;
use crate::snapshots::SnapshotOptions;
use crate::tasks::{AssetResult, Read, Reply, Submission, Task, WaitingRead};
use crate::trace;
use crate::upkeep::archiving::ArchiveOptions;
use crate::upkeep::backing_up::BackupOptions;
use crate::upkeep::disk::DiskOptions;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::money::{Currencies, Currency, CurrencyError};
use ducat_engine::request::Request;
use ducat_engine::transfer::Outcome;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, oneshot};

/// Most transfers in one batch.
pub const BATCH_MAX: usize = 10_000;

/// Who can wait is let in while what is queued would wait for no more than this part of what it may: so much work
/// lies ready for the coordinator, and calls stand behind no more, however much streams have to send.
const PATIENT_PART: u32 = 8;

/// Most accounts on one page of a list: all of one page are read between two batches of transfers, which wait.
pub const ACCOUNTS_PAGE_MAX: usize = 1_000;

/// Why a request was not taken or not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The bound on work in flight is reached; nothing changed, try again shortly.
    #[error("the engine is full: {in_flight} of {limit} transfers are in flight")]
    Busy {
        /// Transfers admitted and not answered.
        in_flight: usize,
        /// The bound.
        limit: usize,
    },
    /// What waits would make it wait too long; nothing changed, try again shortly.
    #[error(
        "overloaded: it would wait about {} ms, and {} ms are allowed",
        delay.as_millis(), bound.as_millis()
    )]
    Overloaded {
        /// How long it would wait, roughly.
        delay: Duration,
        /// The bound: that of the engine, or half of what its deadline leaves.
        bound: Duration,
    },
    /// The deadline passed before anything was decided; nothing changed.
    #[error("the deadline passed before anything was decided")]
    Expired,
    /// The remembered ids fill the memory configured for them.
    #[error("the memory for remembered ids is full ({limit} ids)")]
    IdsFull {
        /// The bound.
        limit: usize,
    },
    /// The disk is nearly full: what would be journalled is refused until there is room.
    /// Repeats and reads go on.
    #[error(
        "the disk is nearly full ({} MiB are free): new transfers are refused until there is room; \
         nothing was done",
        free_bytes >> 20
    )]
    DiskFull {
        /// Bytes free when that was last looked at.
        free_bytes: u64,
    },
    /// The account has got another owner since the caller's right to it was checked; nothing
    /// changed, ask again.
    #[error("the owner of account {0} has changed meanwhile; nothing was done")]
    OwnerChanged(AccountId),
    /// More than [`BATCH_MAX`] items, or none.
    #[error("a batch holds 1 to {BATCH_MAX} items, not {0}")]
    BatchSize(usize),
    /// The last transfer of the batch is linked with a next one that is not there.
    #[error("the last transfer of the batch is linked with a next one that is missing")]
    OpenGroup,
    /// The place given as the beginning of a page is none of the account's entries.
    #[error("event {0} is no entry of the account")]
    BadCursor(Lsn),
    /// What comes there was trimmed, and no archive has it.
    #[error("event {wanted} was trimmed and is not archived; the journal begins at event {first}")]
    Trimmed {
        /// What was asked for.
        wanted: Lsn,
        /// The first event there is.
        first: Lsn,
    },
    /// The ledger has not come so far.
    #[error("there is no event {asked} yet: the last durable one is {last}")]
    NotReached {
        /// What was asked for.
        asked: Lsn,
        /// The last durable event.
        last: Lsn,
    },
    /// The account was opened after that moment.
    #[error("account {account} was opened by event {opened}, after event {lsn}")]
    NotOpened {
        /// The account.
        account: AccountId,
        /// The event that opened it.
        opened: Lsn,
        /// The moment asked for.
        lsn: Lsn,
    },
    /// Another look at the whole ledger is being taken.
    #[error("a trial balance or an audit is being made; one is made at a time")]
    AuditRunning,
    /// As many feeds are open as may be.
    #[error("{limit} subscribers read the feed of events, the most there may be at a time")]
    SubscribersFull {
        /// The bound.
        limit: usize,
    },
    /// The journal could not be read back; what was asked for may be damaged.
    #[error("the journal could not be read back: {0}")]
    ReadFailed(String),
    /// A dry run came to a decision that its own rules forbid: the program is wrong. Nothing was
    /// touched.
    #[error("a dry run contradicted itself: {0}")]
    Contradiction(String),
    /// The engine signs no checkpoints.
    #[error("this ledger's server signs no checkpoints (`serve --checkpoints`)")]
    NoCheckpoints,
    /// No checkpoint covers the event yet.
    #[error("no checkpoint covers the event yet: {0}")]
    NotSigned(String),
    /// The engine is stopping or has stopped. Whether the request took effect is told by
    /// asking again under the same id.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
}

/// How to run the engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Partitions that host the account actors: a power of two, 1 to 64. Default 1.
    pub partitions: usize,
    /// Most transfers in flight. Default 262,144; at least [`BATCH_MAX`].
    pub in_flight_max: usize,
    /// Longest time a transfer may be expected to wait before it is looked at; what would wait
    /// longer is refused. Default 250 ms.
    pub queue_delay_max: Duration,
    /// Most remembered ids; 57 bytes of memory each at worst. Default 100,000,000.
    pub remembered_ids_max: usize,
    /// Most feeds of events at a time. Default 64, at most 65,536.
    pub subscribers_max: usize,
    /// Where snapshots are kept and when they are taken. Default: none are.
    pub snapshots: Option<SnapshotOptions>,
    /// How the journal's oldest part is archived. Default: it is not.
    pub archive: Option<ArchiveOptions>,
    /// How it is backed up. Default: it is not.
    pub backup: Option<BackupOptions>,
    /// How the disk is watched. Default: it is not.
    pub disk: Option<DiskOptions>,
    /// How checkpoints are signed. Default: none are.
    pub checkpoints: Option<CheckpointOptions>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            partitions: 1,
            in_flight_max: 262_144,
            queue_delay_max: Duration::from_millis(250),
            remembered_ids_max: 100_000_000,
            subscribers_max: 64,
            snapshots: None,
            archive: None,
            backup: None,
            disk: None,
            checkpoints: None,
        }
    }
}

/// The door. Cheap to clone; all clones lead to the same engine.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// The answers to a batch that was admitted; await it. Dropped before the batch is taken up,
/// it takes the batch back.
pub struct Pending {
    shared: Arc<Shared>,
    answer: oneshot::Receiver<Result<Part, RequestError>>,
    terms: refunds::Terms,
}

impl Pending {
    /// Waits until every decision of the batch is durable.
    ///
    /// # Errors
    /// [`RequestError::IdsFull`], [`RequestError::DiskFull`] and [`RequestError::Expired`], having
    /// changed nothing, or [`RequestError::Stopped`] when the engine ended before.
    pub async fn outcomes(self) -> Result<Vec<Outcome>, RequestError> {
        Ok(self.answers().await?.outcomes)
    }

    /// As [`Self::outcomes`], and how the holds of operations and the originals of refunds stand
    /// after them. Refunds, and what follows them in the batch, are decided only while this is
    /// awaited: what they refund is read from the journal first.
    ///
    /// # Errors
    /// As [`Self::outcomes`]; with refunds also [`RequestError::Trimmed`] and
    /// [`RequestError::ReadFailed`], where only what stands before them may have been decided.
    pub async fn answers(self) -> Result<Answers, RequestError> {
        let part = self.answer.await.map_err(|e| self.shared.stopped(&e))??;
        match part.rest {
            None => Ok(part.answers),
            Some(rest) => refunds::go_on(&self.shared, part.answers, *rest, self.terms).await,
        }
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Admits a batch of requests, transfers and operations on holds in any mixture, in order, or
    /// refuses it at once. Never waits. A vector of transfers becomes one of requests in place.
    ///
    /// # Errors
    /// Every variant of [`RequestError`]; nothing changed then.
    pub fn submit<R: Into<Request>>(&self, requests: Vec<R>) -> Result<Pending, RequestError> {
        self.submit_by(requests, None)
    }

    /// As [`Self::submit`], for an answer that is wanted until `deadline`: once that has
    /// passed, a batch not yet taken up ends with [`RequestError::Expired`]. One that was
    /// taken up is decided and answered whatever the clock says.
    ///
    /// # Errors
    /// Every variant of [`RequestError`]; nothing changed then.
    pub fn submit_by<R: Into<Request>>(
        &self,
        requests: Vec<R>,
        deadline: Option<Instant>,
    ) -> Result<Pending, RequestError> {
        self.submit_owned(requests, deadline, None)
    }

    /// As [`Self::submit_by`], on condition that these accounts still have these owners where the
    /// requests are decided, else [`RequestError::OwnerChanged`]. Refunds that wait for their originals
    /// are held against it where they are decided themselves; what stands before them may have been
    /// decided then, as a repeat tells.
    ///
    /// # Errors
    /// Every variant of [`RequestError`]; nothing changed then.
    pub fn submit_owned<R: Into<Request>>(
        &self,
        requests: Vec<R>,
        deadline: Option<Instant>,
        owners: Option<OwnersSeen>,
    ) -> Result<Pending, RequestError> {
        let requests = into_requests(requests);
        let count = check_batch(&requests)?;
        self.shared.admit(deadline)?;
        let permit = self.take_room(count)?;
        self.enqueue(requests, permit, deadline, owners)
    }

    /// Like [`Self::submit`], but waits for room instead of answering [`RequestError::Busy`]
    /// or [`RequestError::Overloaded`]; for streams, whose sender is slowed down by not being
    /// read.
    ///
    /// # Errors
    /// As [`Self::submit`], without these two.
    pub async fn submit_when_room<R: Into<Request>>(
        &self,
        requests: Vec<R>,
    ) -> Result<Pending, RequestError> {
        self.submit_when_room_by(requests, None).await
    }

    /// As [`Self::submit_when_room`], for an answer that is wanted until `deadline`.
    ///
    /// # Errors
    /// As [`Self::submit_when_room`].
    pub async fn submit_when_room_by<R: Into<Request>>(
        &self,
        requests: Vec<R>,
        deadline: Option<Instant>,
    ) -> Result<Pending, RequestError> {
        self.submit_when_room_owned(requests, deadline, None).await
    }

    /// As [`Self::submit_when_room_by`], on the condition of [`Self::submit_owned`].
    ///
    /// # Errors
    /// As [`Self::submit_when_room`].
    pub async fn submit_when_room_owned<R: Into<Request>>(
        &self,
        requests: Vec<R>,
        deadline: Option<Instant>,
        owners: Option<OwnersSeen>,
    ) -> Result<Pending, RequestError> {
        let requests = into_requests(requests);
        let count = check_batch(&requests)?;
        let permit = async {
            // So that what is refused beyond the bound is not crowded out by what waits here.
            self.shared.backlog.falls_to(self.shared.options.queue_delay_max / PATIENT_PART).await;
            Arc::clone(&self.shared.room).acquire_many_owned(count).await
        };
        let permit = match deadline {
            None => permit.await,
            Some(end) => {
                let in_time = tokio::time::timeout_at(end.into(), permit).await;
                in_time.map_err(|_elapsed| {
                    self.shared.counters.expired.fetch_add(1, Ordering::Relaxed);
                    RequestError::Expired
                })?
            }
        };
        let permit = permit.map_err(|e| self.shared.stopped(&e))?;
        self.enqueue(requests, permit, deadline, owners)
    }

    /// Whether [`Self::submit_by`] would take a batch now, most likely: for saying no before a
    /// request is read.
    ///
    /// # Errors
    /// [`RequestError::Overloaded`], [`RequestError::Busy`] and [`RequestError::Expired`], which
    /// count as refused.
    pub fn check_admission(&self, deadline: Option<Instant>) -> Result<(), RequestError> {
        self.shared.admit(deadline)?;
        self.shared.check_room()
    }

    /// The bound on the time a transfer waits before it is looked at.
    #[must_use]
    pub fn queue_delay_max(&self) -> Duration {
        self.shared.options.queue_delay_max
    }

    /// Counts a request that was refused because of the load before it came here.
    pub fn count_overloaded(&self) {
        self.shared.count_overloaded();
    }

    pub(crate) fn enqueue(
        &self,
        requests: Vec<Request>,
        permit: OwnedSemaphorePermit,
        deadline: Option<Instant>,
        owners: Option<OwnersSeen>,
    ) -> Result<Pending, RequestError> {
        let (reply, answer) = oneshot::channel();
        let arrived = Instant::now();
        self.shared.backlog.arrive(requests.len(), arrived);
        let (goes_on, audit, trace) = (false, audit::current(), trace::passages());
        let terms = refunds::Terms {
            deadline,
            owners: owners.clone(),
            audit: audit.clone(),
            trace: trace.clone(),
        };
        let submission = Submission {
            requests,
            reply,
            permit,
            arrived,
            deadline,
            goes_on,
            owners,
            audit,
            trace,
        };
        self.shared.queue(Task::Transfers(submission))?;
        Ok(Pending { shared: Arc::clone(&self.shared), answer, terms })
    }

    pub(crate) fn check_disk(&self) -> Result<(), RequestError> {
        self.shared.disk.refusal().map_or(Ok(()), Err)
    }

    fn take_room(&self, count: u32) -> Result<OwnedSemaphorePermit, RequestError> {
        Arc::clone(&self.shared.room).try_acquire_many_owned(count).map_err(|e| match e {
            TryAcquireError::NoPermits => {
                self.shared.count_overloaded();
                RequestError::Busy {
                    in_flight: self.shared.in_flight(),
                    limit: self.shared.options.in_flight_max,
                }
            }
            TryAcquireError::Closed => self.shared.stopped(&"it takes no more requests"),
        })
    }

    /// Queues a task made with a fresh reply channel and waits for the reply.
    pub(crate) async fn ask<T>(
        &self,
        task: impl FnOnce(Reply<T>) -> Task,
    ) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        let task = match (task(reply), audit::current()) {
            (task @ Task::Audit { .. }, _) | (task, None) => task,
            (task, Some(seed)) => Task::Audited(seed, Box::new(task)),
        };
        self.shared.queue(task)?;
        answer.await.map_err(|e| self.shared.stopped(&e))?
    }

    /// Queues a read, which holds a place among the reads until it is done, and waits for it.
    pub(crate) async fn read<T>(
        &self,
        read: impl FnOnce(Reply<T>) -> Read,
    ) -> Result<T, RequestError> {
        let reads = Arc::clone(&self.shared.reads);
        let place = reads.acquire_owned().await.map_err(|e| self.shared.stopped(&e))?;
        let (reply, answer) = oneshot::channel();
        self.shared.queue_read(WaitingRead { read: read(reply), place: Some(place) })?;
        answer.await.map_err(|e| self.shared.stopped(&e))?
    }

    /// Defines an asset; durable when it returns. `true` when it was not defined before.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn define_asset(
        &self,
        code: String,
        digits: u32,
    ) -> Result<Result<(Currency, bool), CurrencyError>, RequestError> {
        self.check_disk()?;
        let permit = self.take_room(1)?;
        let task = |reply: Reply<AssetResult>| Task::DefineAsset { code, digits, reply, permit };
        self.ask(task).await
    }

    /// The currencies known now; a cheap snapshot.
    #[must_use]
    pub fn currencies(&self) -> Arc<Currencies> {
        match self.shared.currencies.read() {
            Ok(known) => Arc::clone(&known),
            // Its writer only swaps a pointer; a poisoned lock still holds a good one.
            Err(poisoned) => Arc::clone(&poisoned.into_inner()),
        }
    }

    /// Holds by id, all as of one durable LSN.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn holds(&self, ids: Vec<TransferId>) -> Result<HoldsAt, RequestError> {
        check_size(ids.len())?;
        let found = self.read(|reply| Read::HoldsById { ids, reply }).await?;
        Ok(HoldsAt { holds: found.what, lsn: found.lsn })
    }

    /// A page of at most `limit` open holds (capped at [`BATCH_MAX`]) of a debit account, in the
    /// order of their places, from place `from` on; one call looks at a bounded number of the
    /// ledger's open holds. `Ok(None)` when no account has this id.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_holds(
        &self,
        account: AccountId,
        from: u32,
        limit: usize,
    ) -> Result<Option<HoldsPage>, RequestError> {
        let limit = limit.clamp(1, BATCH_MAX);
        let found = self.read(|reply| Read::HoldsOf { account, from, limit, reply }).await?;
        let lsn = found.lsn;
        Ok(found.what.map(|(holds, next)| HoldsPage { holds, next, lsn }))
    }

    /// Requests by id, transfers and operations on holds, with their answers, from the journal.
    /// `None` for ids that are not remembered.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn requests(
        &self,
        ids: Vec<TransferId>,
    ) -> Result<Vec<Option<StoredRequest>>, RequestError> {
        check_size(ids.len())?;
        crate::requests::requests(self, &self.shared, ids).await
    }

    /// A page of at most `limit` refunds (capped at [`BATCH_MAX`]) of one transfer, the newest first,
    /// from the refund at `from` on, and how much of it was refunded in all. The transfer is found
    /// by its event `at`, or else by its id. `Ok(None)` when it is not known, or is none that moved
    /// money.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::BadCursor`].
    pub async fn refunds_of(
        &self,
        of: TransferId,
        at: Option<Lsn>,
        from: Option<Lsn>,
        limit: usize,
    ) -> Result<Option<RefundsPage>, RequestError> {
        let limit = limit.clamp(1, BATCH_MAX);
        refunds::list(self, &self.shared, (of, at), from, limit).await
    }

    /// Remembered transfers by id; `None` for unknown ones, and for operations on holds
    /// ([`Self::requests`]).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn transfers(
        &self,
        ids: Vec<TransferId>,
    ) -> Result<Vec<Option<StoredTransfer>>, RequestError> {
        check_size(ids.len())?;
        entries::transfers(self, &self.shared, ids).await
    }

    /// The event that decided a remembered transfer; `None` for an unknown one.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn event_of(&self, id: TransferId) -> Result<Option<Lsn>, RequestError> {
        let ids = vec![id];
        let found = self.read(|reply| Read::Events { ids, reply }).await?;
        Ok(found.what.into_iter().next().flatten().map(|decided| decided.lsn))
    }

    /// The receipt of a durable event, with the checkpoint that covers it; where none does yet,
    /// one is signed, at most once a second. `None` when there is no such event.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::NoCheckpoints`] and
    /// [`RequestError::NotSigned`].
    pub async fn receipt(&self, lsn: Lsn) -> Result<Option<Receipt>, RequestError> {
        let following = self.shared.proof.get().ok_or(RequestError::NoCheckpoints)?;
        if lsn == Lsn::ZERO || lsn > *self.shared.durable.borrow() {
            return Ok(None);
        }
        following.receipt(&self.shared, lsn).await.map(Some)
    }

    /// How the signing of checkpoints goes; `None` where none are signed.
    #[must_use]
    pub fn checkpoint_status(&self) -> Option<CheckpointStatus> {
        self.shared.proof.get().map(crate::proof::Following::status)
    }

    /// Counters; cheap.
    #[must_use]
    pub fn status(&self) -> Status {
        let counters = &self.shared.counters;
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            accounts: of(&counters.accounts),
            accounts_bytes: 0,
            remembered_ids: counters.known_ids.load(Ordering::Relaxed) as u64,
            remembered_ids_bytes: 0,
            open_holds: counters.open_holds.load(Ordering::Relaxed) as u64,
            open_holds_bytes: 0,
            last_lsn: Lsn(of(&counters.last_lsn)),
            durable_lsn: *self.shared.durable.borrow(),
            epoch: self.shared.epoch,
            partitions: u32::try_from(self.shared.options.partitions).unwrap_or(u32::MAX),
            in_flight: self.shared.in_flight() as u64,
            in_flight_max: self.shared.options.in_flight_max as u64,
            posted: of(&counters.posted),
            refused: of(&counters.refused),
            repeats: of(&counters.repeats),
            overloaded: of(&counters.overloaded),
            expired: of(&counters.expired),
            abandoned: of(&counters.abandoned),
            queue_delay: self.shared.backlog.delay(Instant::now()),
            journal_bytes: of(&counters.journal_bytes),
        }
    }

    /// How long the appends to the journal took since the start, each with its sync.
    #[must_use]
    pub fn append_latency(&self) -> LatencyFigures {
        self.shared.counters.appends.figures()
    }

    /// As [`Self::status`], with the bytes of memory that accounts, remembered ids and open holds take.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn status_with_memory(&self) -> Result<Status, RequestError> {
        let slabs = self.read(|reply| Read::Memory { reply }).await?;
        let counters = &self.shared.counters;
        let directory = counters.directory_bytes.load(Ordering::Relaxed);
        Ok(Status {
            accounts_bytes: (slabs + directory) as u64,
            remembered_ids_bytes: counters.known_bytes.load(Ordering::Relaxed) as u64,
            open_holds_bytes: counters.holds_bytes.load(Ordering::Relaxed) as u64,
            ..self.status()
        })
    }

    /// Hash and totals over every account. Looks at each of them, between two batches of
    /// transfers; one such read is in work at a time.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn summary(&self) -> Result<StateSummary, RequestError> {
        let _turn = self.shared.long_reads.acquire().await.map_err(|e| self.shared.stopped(&e))?;
        self.read(|reply| Read::Summary { reply }).await
    }
}

fn check_size(items: usize) -> Result<u32, RequestError> {
    match u32::try_from(items) {
        Ok(count) if (1..=BATCH_MAX).contains(&items) => Ok(count),
        _ => Err(RequestError::BatchSize(items)),
    }
}

/// In place, and without a copy, both being of one size ([`Request`]).
fn into_requests<R: Into<Request>>(requests: Vec<R>) -> Vec<Request> {
    requests.into_iter().map(Into::into).collect()
}

fn check_batch(requests: &[Request]) -> Result<u32, RequestError> {
    let count = check_size(requests.len())?;
    if requests.last().is_some_and(Request::linked) {
        return Err(RequestError::OpenGroup);
    }
    Ok(count)
}
