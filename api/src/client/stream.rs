//! A stream of batches with a window: the sender waits while `window` batches are without an
//! answer, the receiver gives the answers back in the order of sending.

use super::{ClientError, Connection, Refused};
use crate::proto::ledger_client::LedgerClient;
use crate::proto::{Outcome, StreamTransfersRequest, StreamTransfersResponse, TransferRequest};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Batches that lie ready for the connection to send.
const OUTBOX: usize = 2;

/// Sends batches. Dropping it finishes the stream: what is in flight is still answered.
#[derive(Debug)]
pub struct BatchSender {
    outbox: mpsc::Sender<StreamTransfersRequest>,
    room: Arc<Semaphore>,
    next_tag: u64,
}

/// Receives the answers, in the order the batches were sent. Dropping it gives the stream up.
#[derive(Debug)]
pub struct Answers {
    answers: Streaming<StreamTransfersResponse>,
    room: Arc<Semaphore>,
    next_tag: u64,
}

/// The answer to one batch.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What [`BatchSender::send`] returned for the batch: 0, 1, 2, …
    pub tag: u64,
    /// An outcome for each transfer, in order; or why the batch as a whole was refused, having
    /// changed nothing.
    pub result: Result<Vec<Outcome>, Refused>,
}

pub(super) async fn open(
    mut ledger: LedgerClient<Connection>,
    window: usize,
) -> Result<(BatchSender, Answers), ClientError> {
    let room = Arc::new(Semaphore::new(window.clamp(1, Semaphore::MAX_PERMITS)));
    let (outbox, batches) = mpsc::channel(OUTBOX);
    let answers = ledger.stream_transfers(ReceiverStream::new(batches)).await?.into_inner();
    let sender = BatchSender { outbox, room: room.clone(), next_tag: 0 };
    Ok((sender, Answers { answers, room, next_tag: 0 }))
}

impl BatchSender {
    /// Sends a batch of up to 10,000 transfers as soon as the window has room; returns the
    /// tag of its answer. Safe to cancel: a batch is sent whole or not at all.
    ///
    /// # Errors
    /// [`ClientError::StreamEnded`]; [`Answers::next`] tells why.
    pub async fn send(&mut self, transfers: Vec<TransferRequest>) -> Result<u64, ClientError> {
        let room = self.room.acquire().await.map_err(|_| ClientError::StreamEnded)?;
        let place = self.outbox.reserve().await.map_err(|_| ClientError::StreamEnded)?;
        let tag = self.next_tag;
        self.next_tag += 1;
        place.send(StreamTransfersRequest { tag, transfers, timeout_ms: 0 });
        // Given back when its answer has arrived.
        room.forget();
        Ok(tag)
    }
}

impl Answers {
    /// The next answer; `None` once the sender is dropped and everything is answered.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what ended the stream. Batches without an answer may or
    /// may not have taken effect; sending them again with the same ids is safe.
    pub async fn next(&mut self) -> Result<Option<Answer>, ClientError> {
        let message = match self.answers.message().await {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.room.close();
                return Ok(None);
            }
            Err(status) => {
                self.room.close();
                return Err(status.into());
            }
        };
        if message.tag != self.next_tag {
            self.room.close();
            return Err(ClientError::Protocol("an answer came out of order"));
        }
        self.next_tag += 1;
        self.room.add_permits(1);
        let StreamTransfersResponse { tag, outcomes, error } = message;
        let result = match error {
            Some(error) => Err(error.into()),
            None => Ok(outcomes),
        };
        Ok(Some(Answer { tag, result }))
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // A sender that waits for room would wait for ever.
        self.room.close();
    }
}
