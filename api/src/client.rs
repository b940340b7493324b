//! The Rust client, used by the command line, the load harness and gateways.
//!
//! [`Client`] has a method for each call and speaks the messages of [`crate::proto`], which
//! the engine's ids and transfers convert into. Errors are [`ClientError`]s with the stable
//! reason and the wrong fields already read out of the status. [`Client::batching`] makes a
//! client that gathers the single calls of many tasks into batches by itself and survives
//! restarts of the server: what gateways use. [`Client::stream`] opens a stream with a window
//! of batches in flight for those who have batches, [`Client::subscribe`] follows the events.
//!
//! While the server is overloaded, calls with transfers are held back: as many are on their way as it answers, and those beyond
//! are refused here, at once, with the reason [`HELD_BACK`] ([`ConcurrencyLimit`]).
//!
//! Cloning is cheap; all clones share one connection.

mod batching;
mod concurrency;
mod connection;
mod driven;
mod dry_run;
mod error;
mod events;
mod explain;
mod fees;
mod past;
mod refunds;
mod stream;
mod upkeep;
mod watches;

pub use batching::{BatchingClient, BatchingOptions, BatchingStatistics, DEADLINE_MAX, WhenFull};
pub use concurrency::{ConcurrencyLimit, HELD_BACK, Place, Verdict};
pub use connection::{Bearer, Connection, Credentials};
pub use error::{ClientError, FieldError, Refused};
pub use events::{EventFilter, EventStream};
pub use stream::{Answer, Answers, BatchSender};

use crate::proto::ledger_client::LedgerClient;
use crate::proto::operator_client::OperatorClient;
use crate::proto::sagas_client::SagasClient;
use crate::proto::schedules_client::SchedulesClient;
use crate::proto::{self, Operation, Outcome, TransferRequest};
use crate::server::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use ducat_engine::ids::{AccountId, TransferId};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Endpoint;

/// Bytes the server may send on one call before the client has read them.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// The same for all calls of the connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Largest HTTP/2 frame taken; the default of 16 KiB cuts a large answer into fifty.
const FRAME_BYTES_MAX: u32 = 256 * 1024;

/// A server that is silent while a call waits is asked for a sign of life after this time, ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// ... and given up when none comes within this one.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to a Ducat server.
#[derive(Clone, Debug)]
pub struct Client {
    ledger: LedgerClient<Connection>,
    operator: OperatorClient<Connection>,
    schedules: SchedulesClient<Connection>,
    sagas: SagasClient<Connection>,
    channel: Connection,
}

impl Client {
    /// Connects to `endpoint`: `127.0.0.1:4600` or `http://127.0.0.1:4600`.
    ///
    /// # Errors
    /// [`ClientError::Endpoint`] for a malformed one, [`ClientError::Connect`] when nobody
    /// answers there within 5 s.
    pub async fn connect(endpoint: &str) -> Result<Self, ClientError> {
        Self::connect_with(endpoint, &Credentials::default()).await
    }

    /// Connects to `endpoint`, `https://ledger.example:4600`, with what the credentials say.
    ///
    /// # Errors
    /// As [`Self::connect`]; [`ClientError::Credentials`] for those that cannot be used.
    pub async fn connect_with(
        endpoint: &str,
        credentials: &Credentials,
    ) -> Result<Self, ClientError> {
        let uri =
            if endpoint.contains("://") { endpoint.into() } else { format!("http://{endpoint}") };
        let malformed = |source| ClientError::Endpoint {
            endpoint: endpoint.to_owned(),
            source: Arc::new(source),
        };
        let configured = Endpoint::from_shared(uri).map_err(malformed)?;
        let (configured, bearer) = credentials.secure(configured)?;
        let channel = configured
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .connect()
            .await
            .map_err(|source| ClientError::Connect {
                endpoint: endpoint.to_owned(),
                source: Arc::new(source),
            })?;
        Ok(Self::over(Connection::new(channel, bearer)))
    }

    /// A client over a channel of your own making, or a [`Connection`].
    #[must_use]
    pub fn over(channel: impl Into<Connection>) -> Self {
        let channel = channel.into();
        Self {
            ledger: LedgerClient::new(channel.clone())
                .max_decoding_message_size(RESPONSE_BYTES_MAX)
                .max_encoding_message_size(REQUEST_BYTES_MAX),
            operator: OperatorClient::new(channel.clone()),
            schedules: SchedulesClient::new(channel.clone())
                .max_decoding_message_size(RESPONSE_BYTES_MAX),
            sagas: SagasClient::new(channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX),
            channel,
        }
    }

    /// The connection, for calls that have no method here.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.channel.clone()
    }

    /// Defines an asset; `created` tells whether it is new.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn define_asset(
        &self,
        code: &str,
        digits: u32,
    ) -> Result<proto::DefineAssetResponse, ClientError> {
        let request = proto::DefineAssetRequest { code: code.to_owned(), digits, dry_run: false };
        Ok(self.ledger.clone().define_asset(request).await?.into_inner())
    }

    /// Opens up to 10,000 accounts, in order; a result for each.
    ///
    /// # Errors
    /// [`ClientError`]; nothing was opened when it is a refusal.
    pub async fn create_accounts(
        &self,
        accounts: Vec<proto::NewAccount>,
    ) -> Result<Vec<proto::AccountResult>, ClientError> {
        let request = proto::CreateAccountsRequest { accounts, dry_run: false };
        Ok(self.ledger.clone().create_accounts(request).await?.into_inner().results)
    }

    /// Up to 10,000 accounts by id, the unknown ids apart.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_accounts(
        &self,
        ids: &[AccountId],
    ) -> Result<proto::GetAccountsResponse, ClientError> {
        let ids = ids.iter().map(|&id| id.into()).collect();
        let request = proto::GetAccountsRequest { ids };
        Ok(self.ledger.clone().get_accounts(request).await?.into_inner())
    }

    /// A page of accounts; an empty cursor begins, `page_size` 0 takes the server's default.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_accounts(
        &self,
        page_size: u32,
        cursor: &str,
    ) -> Result<proto::ListAccountsResponse, ClientError> {
        self.find_accounts(None, page_size, cursor).await
    }

    /// A page of the accounts that `filter` asks for. A page that is not the last may hold fewer
    /// than asked for, one at least.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn find_accounts(
        &self,
        filter: Option<proto::AccountFilter>,
        page_size: u32,
        cursor: &str,
    ) -> Result<proto::ListAccountsResponse, ClientError> {
        let request = proto::ListAccountsRequest { page_size, cursor: cursor.to_owned(), filter };
        Ok(self.ledger.clone().list_accounts(request).await?.into_inner())
    }

    /// Changes what is known of an account beside its money, and returns it as it stands then.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` and `FailedPrecondition` as the interface says.
    pub async fn update_account(
        &self,
        request: proto::UpdateAccountRequest,
    ) -> Result<proto::Account, ClientError> {
        let answer = self.ledger.clone().update_account(request).await?.into_inner();
        answer.account.ok_or(ClientError::Protocol("an answer came without its account"))
    }

    /// Changes an account's limits, and returns it as it stands then.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` and `FailedPrecondition` as the interface says.
    pub async fn set_account_limits(
        &self,
        request: proto::SetAccountLimitsRequest,
    ) -> Result<proto::Account, ClientError> {
        let answer = self.ledger.clone().set_account_limits(request).await?.into_inner();
        answer.account.ok_or(ClientError::Protocol("an answer came without its account"))
    }

    /// A page of an account's history, newest first; an empty cursor begins.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an unknown account.
    pub async fn list_account_history(
        &self,
        account: AccountId,
        page_size: u32,
        cursor: &str,
    ) -> Result<proto::ListAccountHistoryResponse, ClientError> {
        let request = proto::ListAccountHistoryRequest {
            id: account.low(),
            id_high: account.high(),
            page_size,
            cursor: cursor.to_owned(),
        };
        Ok(self.ledger.clone().list_account_history(request).await?.into_inner())
    }

    /// Changes an account's status without giving a reason, and returns it as it stands then.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` and `FailedPrecondition` as the interface says.
    pub async fn set_account_status(
        &self,
        id: AccountId,
        status: proto::AccountStatus,
    ) -> Result<proto::Account, ClientError> {
        self.set_account_status_for(id, status, "").await
    }

    /// Changes an account's status for a reason, and returns it as it stands then.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` and `FailedPrecondition` as the interface says.
    pub async fn set_account_status_for(
        &self,
        id: AccountId,
        status: proto::AccountStatus,
        reason: &str,
    ) -> Result<proto::Account, ClientError> {
        let request = proto::SetAccountStatusRequest {
            id: id.low(),
            id_high: id.high(),
            status: status as i32,
            reason: reason.to_owned(),
            dry_run: false,
        };
        let answer = self.ledger.clone().set_account_status(request).await?.into_inner();
        answer.account.ok_or(ClientError::Protocol("an answer came without its account"))
    }

    /// One transfer, or an operation on a hold; final and durable when it returns.
    ///
    /// # Errors
    /// [`ClientError`]. A refused transfer is an outcome, not an error.
    pub async fn transfer(&self, transfer: TransferRequest) -> Result<Outcome, ClientError> {
        let answer = self.ledger.clone().transfer(transfer).await?.into_inner();
        answer.outcome.ok_or(ClientError::Protocol("an answer came without its outcome"))
    }

    /// A batch of up to 10,000 transfers; an outcome for each, in order.
    ///
    /// # Errors
    /// [`ClientError`]; nothing of the batch took effect when it is a refusal.
    pub async fn create_transfers(
        &self,
        transfers: Vec<TransferRequest>,
    ) -> Result<Vec<Outcome>, ClientError> {
        let count = transfers.len();
        let request = proto::CreateTransfersRequest { transfers, dry_run: false };
        let outcomes = self.ledger.clone().create_transfers(request).await?.into_inner().outcomes;
        if outcomes.len() == count {
            Ok(outcomes)
        } else {
            Err(ClientError::Protocol("a batch got another number of outcomes"))
        }
    }

    /// Opens a stream that keeps at most `window` batches in flight (the server answers up to
    /// 64 at a time by default). One half sends, the other receives; use them on two tasks,
    /// or send at most `window` batches before receiving.
    ///
    /// # Errors
    /// [`ClientError`] when the stream cannot be opened.
    pub async fn stream(&self, window: usize) -> Result<(BatchSender, Answers), ClientError> {
        stream::open(self.ledger.clone(), window).await
    }

    /// Follows the ledger's events from `from_lsn` on: 1 for the first there is, 0 for those decided
    /// from now on, else the place that was kept. Goes on by itself over broken connections and
    /// restarted servers.
    ///
    /// # Errors
    /// [`ClientError`] when it cannot be begun: too many subscribers, events that were trimmed or
    /// are not there yet.
    pub async fn subscribe(
        &self,
        from_lsn: u64,
        filter: &EventFilter,
    ) -> Result<EventStream, ClientError> {
        EventStream::open(self.clone(), from_lsn, filter).await
    }

    /// Up to 100 remembered transfers and operations on holds by id, the unknown ids apart.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_transfers(
        &self,
        ids: &[TransferId],
    ) -> Result<proto::GetTransfersResponse, ClientError> {
        let ids = ids.iter().map(|&id| id.into()).collect();
        let request = proto::GetTransfersRequest { ids };
        Ok(self.ledger.clone().get_transfers(request).await?.into_inner())
    }

    /// Places a hold: [`TransferRequest::hold`], with other fields set as needed. Final and
    /// durable when it returns.
    ///
    /// # Errors
    /// [`ClientError`]. A refused request is an outcome, not an error.
    pub async fn hold(&self, hold: TransferRequest) -> Result<Outcome, ClientError> {
        self.transfer(hold).await
    }

    /// Captures a hold or a part of it: `None` takes all that remains. More is said by
    /// [`TransferRequest::capture`] and [`Self::transfer`].
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub async fn capture(
        &self,
        id: TransferId,
        hold: TransferId,
        amount_minor: Option<NonZeroU64>,
    ) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::capture(id, hold, amount_minor)).await
    }

    /// Voids a hold: gives back all that remains.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub async fn void(&self, id: TransferId, hold: TransferId) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::void(id, hold)).await
    }

    /// Lets a hold expire so long after the decision; `None` for never.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub async fn extend(
        &self,
        id: TransferId,
        hold: TransferId,
        timeout: Option<Duration>,
    ) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::extend(id, hold, timeout)).await
    }

    /// Up to 100 holds by id, the unknown ids apart.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_holds(
        &self,
        ids: &[TransferId],
    ) -> Result<proto::GetHoldsResponse, ClientError> {
        let ids = ids.iter().map(|&id| id.into()).collect();
        let request = proto::GetHoldsRequest { ids };
        Ok(self.ledger.clone().get_holds(request).await?.into_inner())
    }

    /// A page of the open holds of a debit account. It may be empty and yet not the last: go on
    /// while there is a `next_cursor`.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an unknown account.
    pub async fn list_holds(
        &self,
        account: AccountId,
        page_size: u32,
        cursor: &str,
    ) -> Result<proto::ListHoldsResponse, ClientError> {
        let request = proto::ListHoldsRequest {
            id: account.low(),
            id_high: account.high(),
            page_size,
            cursor: cursor.to_owned(),
        };
        Ok(self.ledger.clone().list_holds(request).await?.into_inner())
    }

    /// A page of an account's entries, newest first.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an unknown account.
    pub async fn list_entries(
        &self,
        account: AccountId,
        page_size: u32,
        cursor: &str,
    ) -> Result<proto::ListEntriesResponse, ClientError> {
        let request = proto::ListEntriesRequest {
            id: account.low(),
            id_high: account.high(),
            page_size,
            cursor: cursor.to_owned(),
            ..proto::ListEntriesRequest::default()
        };
        self.list_entries_between(request).await
    }

    /// A page of an account's entries between two moments, newest first or oldest first.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an unknown account, `FailedPrecondition` for what was
    /// trimmed.
    pub async fn list_entries_between(
        &self,
        request: proto::ListEntriesRequest,
    ) -> Result<proto::ListEntriesResponse, ClientError> {
        Ok(self.ledger.clone().list_entries(request).await?.into_inner())
    }

    /// Checks that every balance is what the journal's entries come to; may take long.
    ///
    /// # Errors
    /// [`ClientError`]. What is found wrong is no error but a part of the answer.
    pub async fn verify_balances(&self) -> Result<proto::VerifyBalancesResponse, ClientError> {
        let request = proto::VerifyBalancesRequest {};
        Ok(self.operator.clone().verify_balances(request).await?.into_inner())
    }

    /// The receipt of a remembered transfer, which proves it to somebody who has the ledger's
    /// public key alone ([`crate::receipt::verify`]).
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an unknown transfer, `FailedPrecondition` when the server
    /// signs no checkpoints.
    pub async fn get_receipt(&self, id: TransferId) -> Result<String, ClientError> {
        let request = proto::GetReceiptRequest { id: id.low(), id_high: id.high(), lsn: 0 };
        Ok(self.ledger.clone().get_receipt(request).await?.into_inner().receipt)
    }

    /// What the engine is doing; with the state's hash and totals when asked for, which looks
    /// at every account.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_status(
        &self,
        with_state_hash: bool,
    ) -> Result<proto::GetStatusResponse, ClientError> {
        let request = proto::GetStatusRequest { with_state_hash };
        Ok(self.operator.clone().get_status(request).await?.into_inner())
    }
}

impl proto::Outcome {
    /// The transfer's id; `None` for 0, which no server sends.
    #[must_use]
    pub fn transfer_id(&self) -> Option<TransferId> {
        TransferId::from_halves(self.id_high, self.id).ok()
    }

    /// Whether the transfer took place, or the operation on a hold was done, now or (for a repeat) before.
    #[must_use]
    pub fn is_posted(&self) -> bool {
        self.code == proto::Code::Posted as i32
    }
}

impl proto::Account {
    /// The account's id; `None` for 0, which no server sends.
    #[must_use]
    pub fn account_id(&self) -> Option<AccountId> {
        AccountId::from_halves(self.id_high, self.id).ok()
    }
}

impl proto::TransferRequest {
    /// A plain transfer of `amount_minor` minor units; set other fields as needed.
    #[must_use]
    pub fn plain(id: TransferId, debit: AccountId, credit: AccountId, amount_minor: u64) -> Self {
        Self {
            id: id.low(),
            id_high: id.high(),
            debit_account: debit.low(),
            debit_account_high: debit.high(),
            credit_account: credit.low(),
            credit_account_high: credit.high(),
            amount_minor,
            ..Self::default()
        }
    }

    /// A hold of `amount_minor` minor units; its id is the request's. It expires after `timeout`,
    /// in whole milliseconds and at least one; `None` for never. Set other fields as needed.
    #[must_use]
    pub fn hold(
        id: TransferId,
        debit: AccountId,
        credit: AccountId,
        amount_minor: u64,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            operation: Operation::Hold.into(),
            timeout_ms: timeout_ms(timeout),
            ..Self::plain(id, debit, credit, amount_minor)
        }
    }

    /// A capture of so many minor units of a hold, or of all that remains. Set `last` for the
    /// rest to be given back, or `amount` and `currency` instead of minor units.
    #[must_use]
    pub fn capture(id: TransferId, hold: TransferId, amount_minor: Option<NonZeroU64>) -> Self {
        let amount_minor = amount_minor.map_or(0, NonZeroU64::get);
        Self { amount_minor, ..Self::of_hold(Operation::Capture, id, hold) }
    }

    /// A void of a hold.
    #[must_use]
    pub fn void(id: TransferId, hold: TransferId) -> Self {
        Self::of_hold(Operation::Void, id, hold)
    }

    /// An extension of a hold until `timeout` after its decision, in whole milliseconds and at
    /// least one; `None` for never.
    #[must_use]
    pub fn extend(id: TransferId, hold: TransferId, timeout: Option<Duration>) -> Self {
        let timeout_ms = timeout_ms(timeout);
        Self { timeout_ms, ..Self::of_hold(Operation::Extend, id, hold) }
    }

    fn of_hold(operation: Operation, id: TransferId, hold: TransferId) -> Self {
        Self {
            id: id.low(),
            id_high: id.high(),
            operation: operation.into(),
            hold_id: hold.low(),
            hold_id_high: hold.high(),
            ..Self::default()
        }
    }
}

/// A time that has an end never becomes 0, which has none.
fn timeout_ms(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
}

impl proto::NewAccount {
    /// An account without an overdraft.
    #[must_use]
    pub fn new(id: AccountId, currency: &str, external: bool) -> Self {
        Self {
            id: id.low(),
            id_high: id.high(),
            currency: currency.to_owned(),
            external,
            ..Self::default()
        }
    }
}
