//! The one door into the engine: a [`Handle`] takes requests, bounds them, and gives back
//! answers that are durable. What stands behind it (coordinator, partitions, journal
//! writer) is nobody else's business.

use ducat_engine::ids::{AccountId, Epoch, Lsn, Slot, TransferId};
use ducat_engine::money::{Currencies, Currency, CurrencyError, CurrencyId};
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountSpec, AccountStatus, AccountView, Outcome,
    TransferRequest,
};
use std::sync::Arc;
use thiserror::Error;

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

/// The door. Cheap to clone; all clones lead to the same engine.
#[derive(Clone)]
pub struct Handle {
    _todo: Arc<()>,
}

/// The answers to a batch that was admitted; await it.
pub struct Pending {
    _todo: (),
}

impl Pending {
    /// Waits until every decision of the batch is durable.
    ///
    /// # Errors
    /// [`RequestError::Stopped`] when the engine ended before.
    pub async fn outcomes(self) -> Result<Vec<Outcome>, RequestError> {
        unimplemented!()
    }
}

impl Handle {
    /// Admits a batch of transfers, in order, or refuses it at once. Never waits.
    ///
    /// # Errors
    /// Every variant of [`RequestError`]; nothing changed then.
    pub fn submit(&self, _transfers: Vec<TransferRequest>) -> Result<Pending, RequestError> {
        unimplemented!()
    }
    /// Like [`Self::submit`], but waits for room instead of answering [`RequestError::Busy`];
    /// for streams, whose reader is slowed down by not being read.
    ///
    /// # Errors
    /// As [`Self::submit`], without `Busy`.
    pub async fn submit_when_room(
        &self,
        _transfers: Vec<TransferRequest>,
    ) -> Result<Pending, RequestError> {
        unimplemented!()
    }
    /// Opens accounts, in order; durable when it returns.
    ///
    /// # Errors
    /// [`RequestError`]; what concerns one account is in its outcome.
    pub async fn create_accounts(
        &self,
        _accounts: Vec<AccountSpec>,
    ) -> Result<Vec<AccountOutcome>, RequestError> {
        unimplemented!()
    }
    /// Changes one account's status; durable when it returns. The inner error says why not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn set_status(
        &self,
        _account: AccountId,
        _status: AccountStatus,
    ) -> Result<Result<AccountView, AccountRejection>, RequestError> {
        unimplemented!()
    }
    /// Defines an asset; durable when it returns. `true` when it was not defined before.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn define_asset(
        &self,
        _code: String,
        _digits: u32,
    ) -> Result<Result<(Currency, bool), CurrencyError>, RequestError> {
        unimplemented!()
    }
    /// The currencies known now; a cheap snapshot.
    #[must_use]
    pub fn currencies(&self) -> Arc<Currencies> {
        unimplemented!()
    }
    /// Accounts by id, all as of one durable LSN.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn accounts(&self, _ids: Vec<AccountId>) -> Result<AccountsAt, RequestError> {
        unimplemented!()
    }
    /// A page of at most `limit` accounts from slot `from` on.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_accounts(
        &self,
        _from: Slot,
        _limit: usize,
    ) -> Result<AccountsPage, RequestError> {
        unimplemented!()
    }
    /// Remembered transfers by id; `None` for unknown ones.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn transfers(
        &self,
        _ids: Vec<TransferId>,
    ) -> Result<Vec<Option<StoredTransfer>>, RequestError> {
        unimplemented!()
    }
    /// A page of at most `limit` entries of an account, newest first, from `before`'s `next`
    /// on; `Ok(None)` when no account has this id.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn entries(
        &self,
        _account: AccountId,
        _from: Option<Lsn>,
        _limit: usize,
    ) -> Result<Option<EntriesPage>, RequestError> {
        unimplemented!()
    }
    /// Counters; cheap.
    #[must_use]
    pub fn status(&self) -> Status {
        unimplemented!()
    }
    /// Hash and totals over every account.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn summary(&self) -> Result<StateSummary, RequestError> {
        unimplemented!()
    }
}

/// A running engine.
pub struct Engine {
    _todo: (),
}

/// How to run the engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Partitions that host the account actors: 1 to 64. Default 1.
    pub partitions: usize,
    /// Most transfers in flight. Default 262,144; at least [`BATCH_MAX`].
    pub in_flight_max: usize,
    /// Most remembered ids. Default 100,000,000.
    pub remembered_ids_max: usize,
    /// How long an id is remembered at least, nanoseconds. Default 24 hours.
    pub remember_ns: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            partitions: 1,
            in_flight_max: 262_144,
            remembered_ids_max: 100_000_000,
            remember_ns: 24 * 3600 * 1_000_000_000,
        }
    }
}

/// Why the engine did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An option is out of range.
    #[error("{0}")]
    Options(String),
}

/// Replay progress: done and expected events.
pub type Progress = Box<dyn FnMut(u64, u64) + Send>;

impl Engine {
    /// The door.
    #[must_use]
    pub fn handle(&self) -> Handle {
        unimplemented!()
    }
    /// Resolves when the engine has stopped on its own because something failed (never on
    /// [`Self::shutdown`]); the text says what. The process must end then.
    pub async fn failed(&self) -> String {
        unimplemented!()
    }
    /// Takes no more requests, answers those admitted, makes everything durable, stops.
    pub async fn shutdown(self) {
        unimplemented!()
    }
}
