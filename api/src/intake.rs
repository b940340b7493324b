//! The memory that requests take from their first byte until they are answered, or, on a
//! stream, until the batch has taken memory of its own.
//!
//! ```text
//! connection ─▶ Metered: room for each piece, or REQUESTS_FULL ─▶ decode ▸ service ▸ answer
//!                  └ given back when the call is answered, or the stream's next batch is read
//! ```
//!
//! A call that finds no room is refused and not held back: many half-read ones that hold
//! what the others wait for would stand still together. A stream holds nothing between two
//! batches, so it can wait.

use crate::budget::{Budget, Room};
use crate::status::Refusal;
use crate::unread::Piece;
use http_body::Body as _;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use prost::bytes::Bytes;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tonic::body::Body;
use tonic::{Request, Status};

/// Memory that a byte of a request becomes: itself, the message it is decoded to, and the
/// engine's form of that. A transfer takes 30 to 60 bytes on the wire and some 230 in the
/// other two.
const BYTES_FOR_EACH: usize = 8;

/// What must be free before a stream reads on: room for a batch of 2,000 transfers. A larger
/// one takes the rest as it comes.
const READ_AHEAD_BYTES: usize = 80 * 1024 * BYTES_FOR_EACH;

/// What one call has taken.
#[derive(Clone, Debug)]
pub struct Intake {
    budget: Budget,
    rooms: Arc<Mutex<VecDeque<Room>>>,
    wait: Duration,
}

impl Intake {
    /// A call that has taken nothing yet.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, rooms: Arc::default(), wait: Duration::ZERO }
    }

    /// Of a call that came through the gate; waits so long for room.
    #[must_use]
    pub fn of<T>(request: &Request<T>, wait: Duration) -> Option<Self> {
        request.extensions().get::<Self>().map(|intake| Self { wait, ..intake.clone() })
    }

    /// The body, metered. Until it is whole, `coming` is kept: a call whose rest does not come holds its
    /// place and its memory no longer than an answer may lie unread. A stream has none.
    #[must_use]
    pub fn meter(&self, inner: Incoming, coming: Option<Piece>) -> Body {
        let coming = coming.filter(|_| !inner.is_end_stream());
        Body::new(Metered { inner, intake: self.clone(), coming })
    }

    /// Before a stream's next message is read: gives back the room of those read before, and
    /// waits until there is some.
    ///
    /// # Errors
    /// [`Refusal::requests_full`] when there is none in time.
    pub async fn next_message(&self) -> Result<(), Status> {
        {
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            // The last piece may hold the beginning of the next message.
            let before = rooms.len().saturating_sub(1);
            rooms.drain(..before);
        }
        if self.budget.has_room(READ_AHEAD_BYTES) {
            return Ok(());
        }
        let room = self.budget.room_within(READ_AHEAD_BYTES, self.wait).await;
        room.map(drop).ok_or_else(|| Refusal::requests_full(self.budget.limit()).into())
    }

    fn take(&self, bytes: usize) -> Result<(), Status> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = bytes * BYTES_FOR_EACH;
        let first = rooms.is_empty();
        let room =
            if first { self.budget.try_first_room(bytes) } else { self.budget.try_room(bytes) };
        rooms.push_back(room.ok_or_else(|| Refusal::requests_full(self.budget.limit()))?);
        Ok(())
    }
}

/// A request's body that takes room as it is read.
struct Metered {
    inner: Incoming,
    intake: Intake,
    coming: Option<Piece>,
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let frame = frame.map(|frame| frame.map_err(|error| Status::from_error(error.into())));
        if frame.is_none() || self.inner.is_end_stream() {
            self.coming = None;
        }
        if let Some(Ok(frame)) = &frame
            && let Some(bytes) = frame.data_ref()
            && let Err(refused) = self.intake.take(bytes.len())
        {
            return Poll::Ready(Some(Err(refused)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
