//! Many single calls over one stream, gathered into messages by themselves.
//!
//! ```text
//! transfer() ─ validate ▸ room ─▶ queue: encoded at once ─ session ─▶ messages in flight ─▶ server
//!     ▲                                  ▲    ▲ put back when full or broken ┘ │
//!     └─ slot: outcome or error ─────────┼────┴──────── answers ◀──────────────┘
//!                      janitor: deadlines┘
//! ```
//!
//! **Batching without timers.** While a message may travel, what waits is sent at once: a lone
//! transfer is not held back. While none may, calls gather, so that a flood becomes large
//! messages.
//!
//! **Retry by id.** A message that was refused because the server is full or away, or whose
//! answer was lost with the connection, is sent again with the same transfer ids, with growing
//! pauses, until its calls' deadlines. The server answers a known id with the first outcome,
//! so no transfer happens twice. On a new connection the ledger is asked who it is before
//! anything is sent again: another ledger, or one that has forgotten what it answered, ends
//! the client. A malformed transfer fails its own call; the others of its message are sent
//! again without it.
//!
//! **Deadlines** are the client's: a stream's messages carry none. A call whose deadline
//! passes, or whose future is dropped, before its transfers were sent is never sent.

mod call;
mod codec;
mod driver;
mod message;
mod options;
pub(super) mod pauses;
mod queue;
mod session;
mod shared;
mod slots;

pub use options::{BatchingOptions, BatchingStatistics, DEADLINE_MAX, WhenFull};

use super::{Client, ClientError, Refused};
use crate::convert::check_count;
use crate::proto::{Outcome, TransferRequest};
use call::{Call, validate};
use driver::Driver;
use ducat_actors::handle::BATCH_MAX;
use ducat_engine::ids::TransferId;
use options::check_deadline;
use shared::Shared;
use slots::Answer;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{SemaphorePermit, TryAcquireError, watch};

/// Sends single transfers of any number of tasks in few messages; made by
/// [`Client::batching`]. Cloning is cheap; all clones share one stream.
///
/// Calls that are made one after the other are judged in that order. Calls that are in flight
/// together are judged in any order, as with several connections.
///
/// ```no_run
/// use ducat_api::client::{BatchingOptions, Client, ClientError};
/// use ducat_api::proto::TransferRequest;
/// use ducat_engine::ids::{AccountId, TransferId};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("127.0.0.1:4600").await?;
/// let ledger = client.batching(BatchingOptions::default()).await?;
/// let (anna, ben) = (AccountId::new(2)?, AccountId::new(3)?);
/// let mut calls = tokio::task::JoinSet::new();
/// for id in 1..=1000 {
///     let ledger = ledger.clone();
///     let transfer = TransferRequest::plain(TransferId::new(id)?, anna, ben, 25);
///     calls.spawn(async move { ledger.transfer(transfer).await });
/// }
/// while let Some(outcome) = calls.join_next().await {
///     match outcome? {
///         Ok(outcome) if outcome.is_posted() => {}
///         Ok(outcome) => println!("refused for good: {}", outcome.explanation),
///         // Ask again later with the same id: the answer is the one that stands.
///         Err(error) if error.is_in_doubt() => println!("not known yet: {error}"),
///         Err(error) => println!("nothing happened: {error}"),
///     }
/// }
/// ledger.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BatchingClient {
    handle: Arc<Handle>,
}

/// Ends the tasks behind the client when the last clone is dropped.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    over: watch::Receiver<bool>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.with(|queue| queue.end(ClientError::Closed));
    }
}

impl Client {
    /// A client that gathers single calls into messages on a stream of its own, over this
    /// client's connection and on the runtime of this call.
    ///
    /// # Errors
    /// [`ClientError::Options`] for options that cannot be meant, otherwise why no stream
    /// could be opened.
    pub async fn batching(&self, options: BatchingOptions) -> Result<BatchingClient, ClientError> {
        options.validate()?;
        let shared = Arc::new(Shared::new(options));
        let (tell, over) = watch::channel(false);
        let mut driver = Driver::new(Arc::clone(&shared), self.clone(), tell);
        let first = driver.open().await?;
        tokio::spawn(driver.run(first));
        let janitor = Arc::clone(&shared);
        tokio::spawn(async move { shared::expire(&janitor).await });
        Ok(BatchingClient { handle: Arc::new(Handle { shared, over }) })
    }
}

impl BatchingClient {
    /// One transfer, or an operation on a hold, within the options' deadline; final and durable
    /// when it returns.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::is_in_doubt`] tells whether it may have taken place. A
    /// refused transfer is an outcome, not an error.
    pub async fn transfer(&self, transfer: TransferRequest) -> Result<Outcome, ClientError> {
        self.transfer_within(transfer, self.handle.shared.options.deadline).await
    }

    /// As [`Self::transfer`], within `deadline` from now: above 0, at most 12 hours.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub async fn transfer_within(
        &self,
        transfer: TransferRequest,
        deadline: Duration,
    ) -> Result<Outcome, ClientError> {
        validate(std::slice::from_ref(&transfer), false)?;
        let answer = self.call(std::slice::from_ref(&transfer), deadline).await?;
        match answer {
            Answer::One(outcome) if answers(&outcome, &transfer) => Ok(outcome),
            _ => Err(ClientError::Protocol("an answer came to another transfer")),
        }
    }

    /// A linked group of 1 to 10,000 transfers and operations on holds, all or none, within the
    /// options' deadline; an outcome for each, in order. `linked` is set here: all but the last.
    ///
    /// # Errors
    /// As [`Self::transfer`], for the group as a whole.
    pub async fn transfer_group(
        &self,
        transfers: Vec<TransferRequest>,
    ) -> Result<Vec<Outcome>, ClientError> {
        self.transfer_group_within(transfers, self.handle.shared.options.deadline).await
    }

    /// As [`Self::transfer_group`], within `deadline` from now: above 0, at most 12 hours.
    ///
    /// # Errors
    /// As [`Self::transfer_group`].
    pub async fn transfer_group_within(
        &self,
        mut transfers: Vec<TransferRequest>,
        deadline: Duration,
    ) -> Result<Vec<Outcome>, ClientError> {
        check_count("transfers", transfers.len(), BATCH_MAX)
            .map_err(|violations| Box::new(Refused::from(violations.into_batch_error())))?;
        let last = transfers.len() - 1;
        for (index, transfer) in transfers.iter_mut().enumerate() {
            transfer.linked = index < last;
        }
        validate(&transfers, true)?;
        let outcomes = match self.call(&transfers, deadline).await? {
            Answer::One(outcome) => vec![outcome],
            Answer::Group(outcomes) => outcomes,
        };
        let alike = outcomes.len() == transfers.len()
            && outcomes.iter().zip(&transfers).all(|(outcome, asked)| answers(outcome, asked));
        if alike {
            Ok(outcomes)
        } else {
            Err(ClientError::Protocol("an answer came to another transfer"))
        }
    }

    /// Places a hold: [`TransferRequest::hold`], with other fields set as needed.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub async fn hold(&self, hold: TransferRequest) -> Result<Outcome, ClientError> {
        self.transfer(hold).await
    }

    /// Captures a hold or a part of it: `None` takes all that remains.
    ///
    /// # Errors
    /// As [`Self::transfer`].
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
    /// As [`Self::transfer`].
    pub async fn void(&self, id: TransferId, hold: TransferId) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::void(id, hold)).await
    }

    /// Lets a hold expire so long after the decision; `None` for never.
    ///
    /// # Errors
    /// As [`Self::transfer`].
    pub async fn extend(
        &self,
        id: TransferId,
        hold: TransferId,
        timeout: Option<Duration>,
    ) -> Result<Outcome, ClientError> {
        self.transfer(TransferRequest::extend(id, hold, timeout)).await
    }

    async fn call(
        &self,
        transfers: &[TransferRequest],
        deadline: Duration,
    ) -> Result<Answer, ClientError> {
        check_deadline(deadline)?;
        let shared = &*self.handle.shared;
        let deadline = Instant::now() + deadline;
        let room = match self.room_at_once(transfers.len())? {
            Some(room) => room,
            None => self.room_until(transfers.len(), deadline).await?,
        };
        Call::new(shared, transfers, deadline, room).await
    }

    /// Room for these transfers, if there is some and nobody waits for it.
    fn room_at_once(&self, count: usize) -> Result<Option<SemaphorePermit<'_>>, ClientError> {
        let shared = &*self.handle.shared;
        let limit = shared.options.waiting_max;
        let asked = u32::try_from(count).unwrap_or(u32::MAX);
        match shared.room.try_acquire_many(asked) {
            Ok(room) => Ok(Some(room)),
            Err(TryAcquireError::Closed) => Err(self.ended()),
            Err(TryAcquireError::NoPermits) => {
                let waits = shared.options.when_full == WhenFull::Wait && count <= limit;
                if waits { Ok(None) } else { Err(ClientError::Full { limit }) }
            }
        }
    }

    async fn room_until(
        &self,
        count: usize,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, ClientError> {
        let asked = u32::try_from(count).unwrap_or(u32::MAX);
        let room = self.handle.shared.room.acquire_many(asked);
        match tokio::time::timeout_at(deadline.into(), room).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_closed)) => Err(self.ended()),
            Err(_elapsed) => Err(ClientError::DeadlineExceeded { sent: false, cause: None }),
        }
    }

    fn ended(&self) -> ClientError {
        self.handle.shared.with(|queue| queue.accepts()).err().unwrap_or(ClientError::Closed)
    }

    /// Takes no more calls, on any clone, and returns once those in flight have their answers
    /// or errors; deadlines bound that.
    pub async fn close(&self) {
        self.handle.shared.with(|queue| queue.close());
        let mut over = self.handle.over.clone();
        // Gone without a word means over too.
        let _gone = over.wait_for(|over| *over).await;
    }

    /// What was sent and answered so far.
    #[must_use]
    pub fn statistics(&self) -> BatchingStatistics {
        self.handle.shared.with(|queue| queue.statistics)
    }
}

const fn answers(outcome: &Outcome, asked: &TransferRequest) -> bool {
    outcome.id == asked.id && outcome.id_high == asked.id_high
}
