//! `StreamTransfers`: batches in, answers out, in the order of arrival, with a bounded number
//! of batches in flight.
//!
//! ```text
//!            reader task                          writer task
//! client ─▶ decode ▸ convert ▸ submit ─▶ window ─▶ await outcomes ▸ convert ─▶ outbox ─▶ client
//!                     └ waits for room    (bounded)                           (bounded)
//! ```
//!
//! A full engine or a full window stops the reader, which stops reading the client, whom
//! HTTP/2 flow control then slows down; so does an engine that is behind, and a server whose
//! memory for requests is full: a stream is held back where a call is refused. Every wait is bounded: a batch that finds no room in
//! time is refused on its own, and a client that lets answers lie has its stream ended. The
//! memory of a batch, from its admission until its answer is sent, is taken from the
//! stream's share and from the server's budget. A batch whose own time or the stream's is
//! over before it was begun is refused as expired. A drain ends the reading; what is in
//! flight is still answered.

use crate::audit;
use crate::budget::{Budget, Room, Rooms};
use crate::convert::{outcomes, transfers};
use crate::identity::checks::{self, Permit};
use crate::identity::factor::Standing;
use crate::identity::{Caller, danger};
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::proto::{BatchError, StreamTransfersResponse};
use crate::rates::{self, Limits};
use crate::status::{self, Refusal};
use crate::traces;
use crate::violation::Violations;
use crate::wire::Encoded;
use crate::wire_requests::{StreamRequest, WireRequest};
use ducat_actors::handle::{Handle, Pending, RequestError};
use ducat_engine::money::Currencies;
use ducat_engine::request::Request;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::Stream;
use tonic::{Code, Status, Streaming};

/// Answers that lie ready for the connection to send. Two, so that one is encoded while the
/// next is made; more would only hide a slow client.
const OUTBOX: usize = 2;

/// Memory of one stream's batches in flight and unread answers: enough to keep the engine
/// busy (80,000 transfers), a fraction of what the server has for all.
const STREAM_BYTES: usize = 32 * 1024 * 1024;

/// After so many transfers a stream's reader lets others go on, however many batches lie ready: those of many streams, sent
/// at once, would keep single calls waiting until all are read.
const TURN_TRANSFERS: usize = 256;

/// Memory of an answer that refuses a batch, with all the violations it may list.
const REFUSAL_BYTES: usize = 16 * 1024;

/// How a stream is bounded.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Most batches of one stream that are admitted and not yet answered, next to the one
    /// being read and the one being answered: at least 1. Default 64.
    pub window: usize,
    /// How long a batch waits for room in the engine, and how long it or a call waits for
    /// room for its answer, before it is refused. Default 10 s.
    pub room_timeout: Duration,
    /// How long the connection may take no answer off a stream that has some. Default 30 s.
    pub unread_timeout: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            window: 64,
            room_timeout: Duration::from_secs(10),
            unread_timeout: Duration::from_secs(30),
        }
    }
}

/// Tells whether the server is draining; all clones tell the same.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<bool>);

impl Draining {
    /// The switch and what reads it.
    #[must_use]
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (switch, reader) = watch::channel(false);
        (switch, Self(reader))
    }

    /// Resolves once the server drains.
    pub async fn begun(&mut self) {
        // A switch that is gone will never be thrown any more: the server has ended.
        let _gone = self.0.wait_for(|draining| *draining).await;
    }
}

/// A batch that was read and the memory it takes. Without any, it is a short refusal.
struct InFlight {
    batch: Batch,
    rooms: Vec<Room>,
}

/// What waits for its answer.
enum Batch {
    /// Admitted: what was asked and where the outcomes will be.
    Admitted {
        tag: u64,
        asked: Vec<WireRequest>,
        currencies: Arc<Currencies>,
        pending: Pending,
        permit: Permit,
        /// Over when it is answered.
        span: Option<Arc<traces::Span>>,
    },
    /// Only to be tried: judged once those before it are answered.
    Dry {
        tag: u64,
        asked: Vec<WireRequest>,
        currencies: Arc<Currencies>,
        requests: Vec<Request>,
        handle: Handle,
        permit: Permit,
    },
    /// Refused as a whole.
    Refused { tag: u64, error: BatchError },
}

/// The answers of one stream, then the status it ended with, if that was not success.
pub struct AnswerStream {
    answers: mpsc::Receiver<(Encoded, Vec<Room>)>,
    rooms: Rooms,
    /// How it ended, told some time after the last answer was let go.
    end: oneshot::Receiver<Option<Status>>,
    ended: bool,
}

impl AnswerStream {
    /// The answers that come here, and how it ended.
    pub(crate) fn new(
        answers: mpsc::Receiver<(Encoded, Vec<Room>)>,
        end: oneshot::Receiver<Option<Status>>,
    ) -> Self {
        Self { answers, rooms: Rooms::default(), end, ended: false }
    }

    /// Where the room of each answer is found once the stream has given it out.
    #[must_use]
    pub fn rooms(&self) -> Rooms {
        self.rooms.clone()
    }
}

impl Stream for AnswerStream {
    type Item = Result<Encoded, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.answers.poll_recv(context) {
            Poll::Ready(Some((answer, rooms))) => {
                rooms.into_iter().for_each(|room| self.rooms.put(room));
                Poll::Ready(Some(Ok(answer)))
            }
            Poll::Ready(None) => {
                // No answer will follow; how it ended is told when the reader has ended too.
                let told = ready!(Pin::new(&mut self.end).poll(context));
                self.ended = true;
                let status = told.unwrap_or_else(|_| {
                    Some(status::internal("the writer of a stream ended in a panic"))
                });
                Poll::Ready(status.map(Err))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What a client sends on a stream.
pub struct Requests {
    /// The batches.
    pub batches: Streaming<StreamRequest>,
    /// The call's deadline.
    pub deadline: Option<Instant>,
    /// The memory that reading takes.
    pub intake: Option<Intake>,
    /// Who sends them.
    pub caller: Caller,
    /// How they stand with a second factor, where one is asked for.
    pub standing: Option<Standing>,
    /// How many of them they may send.
    pub limits: Option<Arc<Limits>>,
    /// The call as the audit trail knows it, where one is kept.
    pub audit: Option<audit::Call>,
    /// The trace that the call belongs to, if it does.
    pub trace: Option<traces::Call>,
}

/// Serves one stream on tasks of its own; they end with the stream.
#[must_use]
pub fn start(
    handle: Handle,
    requests: Requests,
    options: StreamOptions,
    draining: Draining,
    budget: Budget,
    metrics: Option<Arc<Metrics>>,
) -> AnswerStream {
    let (window, in_flight) = mpsc::channel(options.window.max(1));
    let (outbox, answers) = mpsc::channel(OUTBOX);
    let (end, ended_with) = oneshot::channel();
    let share = Budget::new(STREAM_BYTES);
    let room_timeout = options.room_timeout;
    let reader = Reader { handle, requests, window, room_timeout, share, budget };
    let reader = tokio::spawn(reader.run(draining));
    let unread_timeout = options.unread_timeout;
    let writer = Writer { in_flight, outbox, unread_timeout, metrics };
    tokio::spawn(async move {
        let outcome = writer.run().await;
        // The window is closed now, so the reader ends as soon as it looks.
        let status = match outcome {
            Err(status) => Some(status),
            Ok(()) => reader.await.unwrap_or_else(|_| {
                Some(status::internal("the reader of a stream ended in a panic"))
            }),
        };
        // Fails when the client is gone, which needs to know nothing any more.
        let _unheard = end.send(status);
    });
    AnswerStream::new(answers, ended_with)
}

/// Reads batches and hands them to the engine.
struct Reader {
    handle: Handle,
    requests: Requests,
    window: mpsc::Sender<InFlight>,
    room_timeout: Duration,
    share: Budget,
    budget: Budget,
}

impl Requests {
    /// The next batch and when its time is over, as soon as there is memory to read it.
    async fn next(&mut self) -> Result<Option<(StreamRequest, Option<Instant>)>, Status> {
        if let Some(intake) = &self.intake {
            intake.next_message().await?;
        }
        let Some(batch) = self.batches.message().await? else { return Ok(None) };
        let own = (batch.timeout_ms > 0)
            .then(|| Instant::now() + Duration::from_millis(batch.timeout_ms.into()));
        let deadline = [own, self.deadline].into_iter().flatten().min();
        Ok(Some((batch, deadline)))
    }
}

impl Reader {
    /// Reads until the client has finished (`None`) or the stream must end with a status.
    async fn run(mut self, mut draining: Draining) -> Option<Status> {
        let mut of_turn = 0;
        loop {
            if of_turn >= TURN_TRANSFERS {
                of_turn = 0;
                tokio::task::yield_now().await;
            }
            let message = tokio::select! {
                biased;
                () = draining.begun() => return Some(Refusal::draining().into()),
                message = self.requests.next() => message,
            };
            let (batch, deadline) = match message {
                Ok(Some(next)) => next,
                Ok(None) => return None,
                Err(status) => return Some(status),
            };
            if let Err(over) = self.requests.caller.still() {
                return Some(over);
            }
            // A place before the engine: what is admitted can always be waited for.
            let place = tokio::select! {
                biased;
                () = draining.begun() => return Some(Refusal::draining().into()),
                place = self.window.reserve() => place.ok()?,
            };
            of_turn += batch.transfers.len();
            let currencies = self.handle.currencies();
            let converted = transfers::batch(&batch.transfers, &currencies);
            let bytes =
                converted.as_ref().map_or(REFUSAL_BYTES, |batch| outcomes::batch_bytes(batch));
            // Comes free as the client reads; one that does not is the writer's to end.
            let own = tokio::select! {
                biased;
                () = draining.begun() => return Some(Refusal::draining().into()),
                () = self.window.closed() => return None,
                own = self.share.room(bytes) => own,
            };
            let Some(common) = self.budget.room_within(bytes, self.room_timeout).await else {
                let error = Refusal::no_answer_room(self.room_timeout).into_batch_error();
                let batch = Batch::Refused { tag: batch.tag, error };
                place.send(InFlight { batch, rooms: Vec::new() });
                continue;
            };
            match self.admit(batch, converted, currencies, deadline).await {
                Ok(batch) => place.send(InFlight { batch, rooms: vec![own, common] }),
                Err(status) => return Some(status),
            }
        }
    }

    /// Hands one batch to the engine. Only an engine that has stopped ends the stream.
    async fn admit(
        &self,
        batch: StreamRequest,
        converted: Result<Vec<Request>, Violations>,
        currencies: Arc<Currencies>,
        deadline: Option<Instant>,
    ) -> Result<Batch, Status> {
        let StreamRequest { tag, transfers: asked, timeout_ms: _, dry_run } = batch;
        let (caller, count) = (&self.requests.caller, asked.len());
        if let Some(limits) = &self.requests.limits
            && let Err(refusal) = limits.take(Some(caller), rates::STREAM, count)
        {
            return Ok(self.refused(tag, refusal.into_batch_error()));
        }
        let converted = match converted {
            Ok(converted) => converted,
            Err(violations) => {
                return Ok(self.refused(tag, violations.into_batch_error()));
            }
        };
        let permit = match checks::requests(&self.handle, caller, &converted).await {
            Ok(permit) => permit,
            Err(denied) => {
                return Ok(self.refused(tag, denied.into_batch_error()));
            }
        };
        if dry_run {
            let (requests, handle) = (converted, self.handle.clone());
            return Ok(Batch::Dry { tag, asked, currencies, requests, handle, permit });
        }
        let standing = self.requests.standing.as_ref();
        if let Err(refusal) = danger::streamed(&self.handle, standing, &converted).await {
            return Ok(self.refused(tag, refusal.into_batch_error()));
        }
        let owners = permit.owners();
        let submitted = self.handle.submit_when_room_owned(converted, deadline, owners);
        let submitted = tokio::time::timeout(self.room_timeout, submitted);
        let submitted = async {
            match &self.requests.audit {
                Some(call) => call.batch(submitted).await,
                None => submitted.await,
            }
        };
        let traced = self.requests.trace.as_ref().map(traces::Call::batch);
        let submitted = match &traced {
            Some(traced) => traced.scope(submitted).await,
            None => submitted.await,
        };
        let span = traced.and_then(|traced| traced.span());
        let refusal = match submitted {
            Ok(Ok(pending)) => {
                return Ok(Batch::Admitted { tag, asked, currencies, pending, permit, span });
            }
            Ok(Err(error @ RequestError::Stopped(_))) => return Err(status::request(error)),
            Ok(Err(error)) => Refusal::from(error),
            Err(_elapsed) => Refusal::no_room(self.room_timeout),
        };
        Ok(self.refused(tag, refusal.into_batch_error()))
    }

    /// A batch that is not let through, which the audit trail tells.
    fn refused(&self, tag: u64, error: BatchError) -> Batch {
        if let Some(call) = &self.requests.audit {
            call.batch_refused(Code::from(error.grpc_code), &error.reason, &error.message);
        }
        Batch::Refused { tag, error }
    }
}

/// Awaits outcomes in order and hands the answers to the connection.
struct Writer {
    in_flight: mpsc::Receiver<InFlight>,
    outbox: mpsc::Sender<(Encoded, Vec<Room>)>,
    unread_timeout: Duration,
    metrics: Option<Arc<Metrics>>,
}

impl Writer {
    /// Answers until the reader has ended and everything read is answered.
    async fn run(mut self) -> Result<(), Status> {
        while let Some(InFlight { batch, mut rooms }) = self.in_flight.recv().await {
            let answer = answer(batch, self.metrics.as_deref()).await?;
            // The outcomes and what was asked are gone now.
            rooms.iter_mut().for_each(|room| room.keep(answer.as_bytes().len()));
            let reserved = tokio::time::timeout(self.unread_timeout, self.outbox.reserve()).await;
            match reserved {
                Ok(Ok(place)) => place.send((answer, rooms)),
                // The client is gone.
                Ok(Err(_closed)) => return Ok(()),
                Err(_elapsed) => return Err(self.unread()),
            }
        }
        Ok(())
    }

    fn unread(&self) -> Status {
        let seconds = self.unread_timeout.as_secs();
        let sentence = format!("the stream's answers lay unread for {seconds} s");
        Refusal::new(Code::ResourceExhausted, "ANSWERS_UNREAD", sentence).into()
    }
}

async fn answer(batch: Batch, metrics: Option<&Metrics>) -> Result<Encoded, Status> {
    match batch {
        Batch::Refused { tag, error } => {
            let answer = StreamTransfersResponse { tag, outcomes: Vec::new(), error: Some(error) };
            Ok(Encoded::of(&answer))
        }
        Batch::Dry { tag, asked, currencies, requests, handle, permit } => {
            let (outcomes, error) = match handle.dry_run(requests).await {
                Ok(mut judged) => {
                    permit.hide(&mut judged.answers.outcomes);
                    (outcomes::dry(&judged.answers, &asked, &currencies), None)
                }
                Err(error @ RequestError::Stopped(_)) => return Err(status::request(error)),
                Err(error) => (Vec::new(), Some(Refusal::from(error).into_batch_error())),
            };
            Ok(Encoded::of(&StreamTransfersResponse { tag, outcomes, error }))
        }
        Batch::Admitted { tag, asked, currencies, pending, permit, span: _over_then } => {
            let mut answers = match pending.answers().await {
                Ok(answers) => answers,
                // Changed nothing and concerns no other batch.
                Err(
                    error @ (RequestError::Expired
                    | RequestError::IdsFull { .. }
                    | RequestError::DiskFull { .. }
                    | RequestError::OwnerChanged(_)),
                ) => {
                    let error = Some(Refusal::from(error).into_batch_error());
                    let answer = StreamTransfersResponse { tag, outcomes: Vec::new(), error };
                    return Ok(Encoded::of(&answer));
                }
                Err(error) => return Err(status::request(error)),
            };
            if let Some(metrics) = metrics {
                metrics.batch(&answers.outcomes);
                metrics.sample(&asked);
            }
            permit.hide(&mut answers.outcomes);
            if answers.outcomes.len() != asked.len() {
                return Err(status::internal("a batch got another number of outcomes"));
            }
            Ok(outcomes::stream_answer(tag, &answers, &asked, &currencies))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt as _;

    /// A stream whose last answer was let go, and where its end will be told.
    fn ending() -> (oneshot::Sender<Option<Status>>, AnswerStream) {
        let (outbox, answers) = mpsc::channel(OUTBOX);
        let (tell, end) = oneshot::channel();
        drop(outbox);
        (tell, AnswerStream::new(answers, end))
    }

    #[tokio::test]
    async fn a_stream_waits_for_how_it_ended() {
        let (tell, mut stream) = ending();
        let first = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut stream).poll_next(context).is_ready())
        });
        assert!(!first.await, "it must not end as if all was well");
        tell.send(Some(Refusal::draining().into())).expect("listened to");
        let end = stream.next().await.expect("a status").expect_err("an error");
        assert_eq!(end.code(), Code::Unavailable);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_stream_ends_well_only_when_told_so() {
        let (tell, mut stream) = ending();
        tell.send(None).expect("listened to");
        assert!(stream.next().await.is_none());
        let (tell, mut stream) = ending();
        drop(tell);
        let end = stream.next().await.expect("a status").expect_err("an error");
        assert_eq!(end.code(), Code::Internal);
    }
}
