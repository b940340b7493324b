//! The one door into the engine: a [`Handle`] takes requests, bounds them, and gives back
//! answers that are durable. What stands behind it (coordinator, partitions, journal
//! writer) is nobody else's business.

use crate::admission::Shared;
use crate::entries;
use crate::tasks::{AssetResult, Read, Reply, StatusResult, Submission, Task};
use ducat_engine::ids::{AccountId, Epoch, Lsn, Slot, TransferId};
use ducat_engine::money::{Currencies, Currency, CurrencyError, CurrencyId};
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountSpec, AccountStatus, AccountView, Outcome,
    TransferRequest,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError, oneshot};

/// Most transfers in one batch.
pub const BATCH_MAX: usize = 10_000;

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
    /// The remembered ids fill the memory configured for them.
    #[error("the memory for remembered ids is full ({limit} ids)")]
    IdsFull {
        /// The bound.
        limit: usize,
    },
    /// More than [`BATCH_MAX`] items, or none.
    #[error("a batch holds 1 to {BATCH_MAX} items, not {0}")]
    BatchSize(usize),
    /// The last transfer of the batch is linked with a next one that is not there.
    #[error("the last transfer of the batch is linked with a next one that is missing")]
    OpenGroup,
    /// The place given as the beginning of a page is none of the account's entries.
    #[error("event {0} is no entry of the account")]
    BadCursor(Lsn),
    /// The engine is stopping or has stopped. Whether the request took effect is told by
    /// asking again under the same id.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
}

/// An account's entry as read from the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The event.
    pub lsn: Lsn,
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// The transfer.
    pub transfer: TransferId,
    /// The other account.
    pub counterparty: AccountId,
    /// Minor units, negative for a debit.
    pub amount: i128,
    /// The account's posted balance after it, minor units.
    pub balance_after: i128,
}

/// A page of one account's entries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Lsn>,
    /// The account's currency.
    pub currency: CurrencyId,
}

/// A transfer with its content and its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTransfer {
    /// What was asked for. The currency is that of the accounts when none was named.
    pub request: TransferRequest,
    /// What became of it, marked as a repeat.
    pub outcome: Outcome,
}

/// Accounts as of one durable LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsAt {
    /// One for each account asked for; `None` for unknown ids.
    pub accounts: Vec<Option<AccountView>>,
    /// The moment.
    pub lsn: Lsn,
}

/// A page of all accounts in the order of their opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsPage {
    /// The accounts.
    pub accounts: Vec<AccountView>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Slot>,
    /// The moment.
    pub lsn: Lsn,
}

/// The sums of one currency, minor units; they always add up to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrencyTotal {
    /// The currency.
    pub currency: CurrencyId,
    /// Over accounts that are not external.
    pub internal: i128,
    /// Over external accounts.
    pub external: i128,
}

/// The whole state in figures, as of one LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSummary {
    /// The moment.
    pub lsn: Lsn,
    /// Hash of every account, the assets and the LSN.
    pub hash: [u8; 32],
    /// Sums by currency, in the order of their numbers.
    pub totals: Vec<CurrencyTotal>,
}

/// What the engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Accounts opened.
    pub accounts: u64,
    /// Bytes of memory the accounts take, directory included.
    pub accounts_bytes: u64,
    /// Transfer ids remembered.
    pub remembered_ids: u64,
    /// Bytes of memory they take.
    pub remembered_ids_bytes: u64,
    /// The last LSN given out.
    pub last_lsn: Lsn,
    /// The last durable LSN.
    pub durable_lsn: Lsn,
    /// This reign's epoch.
    pub epoch: Epoch,
    /// Partitions.
    pub partitions: u32,
    /// Transfers admitted and not yet answered.
    pub in_flight: u64,
    /// The bound on them.
    pub in_flight_max: u64,
    /// Posted since the start.
    pub posted: u64,
    /// Refused since the start.
    pub refused: u64,
    /// Repeats answered since the start.
    pub repeats: u64,
    /// Journal bytes appended since the start, frames included.
    pub journal_bytes: u64,
}

/// How to run the engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Partitions that host the account actors: a power of two, 1 to 64. Default 1.
    pub partitions: usize,
    /// Most transfers in flight. Default 262,144; at least [`BATCH_MAX`].
    pub in_flight_max: usize,
    /// Most remembered ids; 57 bytes of memory each at worst. Default 100,000,000.
    pub remembered_ids_max: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { partitions: 1, in_flight_max: 262_144, remembered_ids_max: 100_000_000 }
    }
}

/// The door. Cheap to clone; all clones lead to the same engine.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// The answers to a batch that was admitted; await it.
pub struct Pending {
    shared: Arc<Shared>,
    answer: oneshot::Receiver<Result<Vec<Outcome>, RequestError>>,
}

impl Pending {
    /// Waits until every decision of the batch is durable.
    ///
    /// # Errors
    /// [`RequestError::IdsFull`], having changed nothing, or [`RequestError::Stopped`] when
    /// the engine ended before.
    pub async fn outcomes(self) -> Result<Vec<Outcome>, RequestError> {
        self.answer.await.map_err(|e| self.shared.stopped(&e))?
    }
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Admits a batch of transfers, in order, or refuses it at once. Never waits.
    ///
    /// # Errors
    /// Every variant of [`RequestError`]; nothing changed then.
    pub fn submit(&self, transfers: Vec<TransferRequest>) -> Result<Pending, RequestError> {
        let count = check_batch(&transfers)?;
        let permit = self.take_room(count)?;
        self.enqueue(transfers, permit)
    }

    /// Like [`Self::submit`], but waits for room instead of answering [`RequestError::Busy`];
    /// for streams, whose sender is slowed down by not being read.
    ///
    /// # Errors
    /// As [`Self::submit`], without `Busy`.
    pub async fn submit_when_room(
        &self,
        transfers: Vec<TransferRequest>,
    ) -> Result<Pending, RequestError> {
        let count = check_batch(&transfers)?;
        let room = Arc::clone(&self.shared.room);
        let permit = room.acquire_many_owned(count).await.map_err(|e| self.shared.stopped(&e))?;
        self.enqueue(transfers, permit)
    }

    fn enqueue(
        &self,
        transfers: Vec<TransferRequest>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Pending, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue(Task::Transfers(Submission { transfers, reply, permit }))?;
        Ok(Pending { shared: Arc::clone(&self.shared), answer })
    }

    fn take_room(&self, count: u32) -> Result<OwnedSemaphorePermit, RequestError> {
        Arc::clone(&self.shared.room).try_acquire_many_owned(count).map_err(|e| match e {
            TryAcquireError::NoPermits => RequestError::Busy {
                in_flight: self.shared.in_flight(),
                limit: self.shared.options.in_flight_max,
            },
            TryAcquireError::Closed => self.shared.stopped(&"it takes no more requests"),
        })
    }

    /// Queues a task made with a fresh reply channel and waits for the reply.
    async fn ask<T>(&self, task: impl FnOnce(Reply<T>) -> Task) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue(task(reply))?;
        answer.await.map_err(|e| self.shared.stopped(&e))?
    }

    /// As [`Self::ask`], holding a place among the reads.
    pub(crate) async fn read<T>(
        &self,
        read: impl FnOnce(Reply<T>) -> Read,
    ) -> Result<T, RequestError> {
        let _place = self.shared.reads.acquire().await.map_err(|e| self.shared.stopped(&e))?;
        self.ask(|reply| Task::Read(read(reply))).await
    }

    /// Opens accounts, in order; durable when it returns.
    ///
    /// # Errors
    /// [`RequestError`]; what concerns one account is in its outcome.
    pub async fn create_accounts(
        &self,
        accounts: Vec<AccountSpec>,
    ) -> Result<Vec<AccountOutcome>, RequestError> {
        let permit = self.take_room(check_size(accounts.len())?)?;
        self.ask(|reply| Task::OpenAccounts { accounts, reply, permit }).await
    }

    /// Changes one account's status; durable when it returns. The inner error says why not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn set_status(
        &self,
        account: AccountId,
        status: AccountStatus,
    ) -> Result<Result<AccountView, AccountRejection>, RequestError> {
        let permit = self.take_room(1)?;
        let task = |reply: Reply<StatusResult>| Task::SetStatus { account, status, reply, permit };
        self.ask(task).await
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

    /// Accounts by id, all as of one durable LSN.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn accounts(&self, ids: Vec<AccountId>) -> Result<AccountsAt, RequestError> {
        check_size(ids.len())?;
        let found = self.read(|reply| Read::Accounts { ids, reply }).await?;
        let accounts = found.what.into_iter().map(|account| account.map(|(_, view)| view));
        Ok(AccountsAt { accounts: accounts.collect(), lsn: found.lsn })
    }

    /// A page of at most `limit` accounts (capped at [`BATCH_MAX`]) from slot `from` on.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_accounts(
        &self,
        from: Slot,
        limit: usize,
    ) -> Result<AccountsPage, RequestError> {
        let limit = limit.clamp(1, BATCH_MAX);
        let found = self.read(|reply| Read::Page { from, limit, reply }).await?;
        let full = found.what.len() == limit;
        let next = found.what.last().filter(|_| full).map(|(slot, _)| Slot(slot.0 + 1));
        let accounts = found.what.into_iter().map(|(_, view)| view).collect();
        Ok(AccountsPage { accounts, next, lsn: found.lsn })
    }

    /// Remembered transfers by id; `None` for unknown ones.
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

    /// A page of at most `limit` entries (capped at 10,000) of an account, newest first, from
    /// the entry at `from` on; `Ok(None)` when no account has this id.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::BadCursor`].
    pub async fn entries(
        &self,
        account: AccountId,
        from: Option<Lsn>,
        limit: usize,
    ) -> Result<Option<EntriesPage>, RequestError> {
        entries::page(self, &self.shared, account, from, limit.clamp(1, BATCH_MAX)).await
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
            last_lsn: Lsn(of(&counters.last_lsn)),
            durable_lsn: *self.shared.durable.borrow(),
            epoch: self.shared.epoch,
            partitions: u32::try_from(self.shared.options.partitions).unwrap_or(u32::MAX),
            in_flight: self.shared.in_flight() as u64,
            in_flight_max: self.shared.options.in_flight_max as u64,
            posted: of(&counters.posted),
            refused: of(&counters.refused),
            repeats: of(&counters.repeats),
            journal_bytes: of(&counters.journal_bytes),
        }
    }

    /// As [`Self::status`], with the bytes of memory that accounts and remembered ids take.
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
            ..self.status()
        })
    }

    /// Hash and totals over every account.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn summary(&self) -> Result<StateSummary, RequestError> {
        self.read(|reply| Read::Summary { reply }).await
    }
}

fn check_size(items: usize) -> Result<u32, RequestError> {
    match u32::try_from(items) {
        Ok(count) if (1..=BATCH_MAX).contains(&items) => Ok(count),
        _ => Err(RequestError::BatchSize(items)),
    }
}

fn check_batch(transfers: &[TransferRequest]) -> Result<u32, RequestError> {
    let count = check_size(transfers.len())?;
    if transfers.last().is_some_and(|last| last.linked) {
        return Err(RequestError::OpenGroup);
    }
    Ok(count)
}
