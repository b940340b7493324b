//! `Subscribe`: a feed's batches to a client, as fast as the client reads and no faster.
//!
//! ```text
//! Feed::next ─▶ room ▸ convert ▸ encode ─▶ outbox (one answer) ─▶ connection ─▶ client
//!      └ the journal, from the place behind the last answer
//! ```
//!
//! One answer is made ahead. The next part of the journal is read when the connection has taken
//! that one, so a client that reads slowly holds one answer's memory, taken from the server's
//! budget, and what HTTP/2 keeps for it. One that takes nothing for long is ended, as streams of
//! transfers are; it goes on elsewhere or later from the place it kept.

use crate::budget::{Budget, Room};
use crate::convert::events;
use crate::identity::Caller;
use crate::secret_fields::SecretFields;
use crate::status::{self, Refusal};
use crate::stream::{AnswerStream, Draining, StreamOptions};
use crate::wire::Encoded;
use ducat_actors::feed::{Feed, FeedBatch};
use ducat_actors::handle::Handle;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tonic::{Code, Status};

/// Answers made and not taken by the connection.
const OUTBOX: usize = 1;

/// Memory of an event while it is made, roughly: the message with its texts, and its bytes.
const EVENT_BYTES: usize = 1024;

/// Memory of an answer without events.
const ANSWER_BYTES: usize = 256;

/// Serves a feed on a task of its own, which ends with the stream.
pub(crate) fn start(
    feed: Feed,
    handle: Handle,
    options: StreamOptions,
    draining: Draining,
    budget: Budget,
    (deadline, caller): (Option<Instant>, Caller),
    secrets: Option<Arc<SecretFields>>,
) -> AnswerStream {
    let (outbox, answers) = mpsc::channel(OUTBOX);
    let (end, ended_with) = oneshot::channel();
    let publisher = Publisher { feed, handle, options, budget, outbox, caller, secrets };
    tokio::spawn(async move {
        let status = publisher.run(draining, deadline).await;
        // Fails when the client is gone, which needs to know nothing any more.
        let _unheard = end.send(status);
    });
    AnswerStream::new(answers, ended_with)
}

struct Publisher {
    feed: Feed,
    handle: Handle,
    options: StreamOptions,
    budget: Budget,
    outbox: mpsc::Sender<(Encoded, Vec<Room>)>,
    caller: Caller,
    secrets: Option<Arc<SecretFields>>,
}

impl Publisher {
    /// Publishes until the client is gone (`None`) or the stream must end with a status.
    async fn run(mut self, mut draining: Draining, deadline: Option<Instant>) -> Option<Status> {
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = draining.begun() => Some(Refusal::draining().into()),
            () = over => Some(Refusal::new(
                Code::DeadlineExceeded, "DEADLINE", "the time given for the call is over",
            ).into()),
            status = self.publish() => status,
        }
    }

    async fn publish(&mut self) -> Option<Status> {
        loop {
            let batch = tokio::select! {
                biased;
                () = self.outbox.closed() => return None,
                batch = self.feed.next() => batch,
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return Some(status::request(error)),
            };
            if let Err(over) = self.caller.still() {
                return Some(over);
            }
            let (answer, room) = match self.answer(&batch).await {
                Ok(made) => made,
                Err(status) => return Some(status),
            };
            let unread = self.options.unread_timeout;
            match tokio::time::timeout(unread, self.outbox.reserve()).await {
                Ok(Ok(place)) => place.send((answer, vec![room])),
                // The client is gone.
                Ok(Err(_closed)) => return None,
                Err(_elapsed) => return Some(left_unread(unread)),
            }
        }
    }

    /// The batch in its final bytes, and the room they take.
    async fn answer(&mut self, batch: &FeedBatch) -> Result<(Encoded, Room), Status> {
        let bytes = ANSWER_BYTES + batch.events.len() * EVENT_BYTES;
        let wait = self.options.room_timeout;
        let room = self.budget.room_within(bytes, wait).await;
        let mut room = room.ok_or_else(|| Status::from(Refusal::no_answer_room(wait)))?;
        let message = events::answer(batch, &self.handle.currencies(), self.secrets.as_deref());
        let answer = Encoded::of(&message);
        room.keep(2 * answer.as_bytes().len());
        Ok((answer, room))
    }
}

fn left_unread(waited: Duration) -> Status {
    let sentence = format!(
        "events lay unread for {} s; go on from the last `next_lsn` that was dealt with",
        waited.as_secs()
    );
    Refusal::new(Code::ResourceExhausted, "EVENTS_UNREAD", sentence).into()
}
