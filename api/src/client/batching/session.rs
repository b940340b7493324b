//! One stream, from its opening until it breaks or the client is closed: sends what waits
//! while a message may travel, and brings answers to their calls.

use super::codec::{Head, Outcomes, Outgoing, RawCodec, Unreadable, head};
use super::message::{Entry, Message};
use super::pauses::Pauses;
use super::shared::Shared;
use crate::client::{ClientError, Connection, FieldError, Refused};
use crate::proto::{BatchError, Outcome};
use crate::server::RESPONSE_BYTES_MAX;
use prost::bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status, Streaming};

/// Outcomes brought to their calls under one lock.
const CHUNK: usize = 256;

/// Messages are not made smaller than this to fill every place: what a message costs by
/// itself would outweigh it.
const EVEN_MIN: usize = 128;

/// Waiting for more calls goes on while they grow by a share of at least one in this many.
const GROWTH: usize = 64;

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    outbox: mpsc::Sender<Outgoing>,
    answers: Streaming<Bytes>,
}

impl Stream {
    /// Opens one for `places` messages in flight.
    pub(super) async fn open(channel: &Connection, places: usize) -> Result<Self, ClientError> {
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(RESPONSE_BYTES_MAX);
        let unready = |e: tonic::transport::Error| Status::from_error(e.into());
        grpc.ready().await.map_err(unready)?;
        let (outbox, outgoing) = mpsc::channel(places);
        let path = PathAndQuery::from_static("/ducat.v1.Ledger/StreamTransfers");
        let request = Request::new(ReceiverStream::new(outgoing));
        let answers = grpc.streaming(request, path, RawCodec).await?.into_inner();
        Ok(Self { outbox, answers })
    }
}

/// How a session came to its end.
#[derive(Debug)]
pub(super) enum End {
    /// The client has ended, or was closed and everything is answered.
    Over,
    /// The stream broke; what was in flight waits to be sent again, or has failed.
    Broken(ClientError),
}

/// A stream at work.
pub(super) struct Session<'a> {
    shared: &'a Shared,
    pauses: &'a mut Pauses,
    stream: Stream,
    in_flight: VecDeque<(u64, Message)>,
    next_tag: u64,
    /// Nothing is sent before this moment: the server was full.
    paused: Option<Instant>,
}

impl<'a> Session<'a> {
    pub(super) const fn new(shared: &'a Shared, pauses: &'a mut Pauses, stream: Stream) -> Self {
        Self { shared, pauses, stream, in_flight: VecDeque::new(), next_tag: 0, paused: None }
    }

    /// Works until the end.
    pub(super) async fn run(mut self) -> End {
        loop {
            if self.paused.is_none() && self.send().await.is_err() {
                // The answers' side knows why.
                let why = self.stream.answers.message().await.err();
                return self.broken(why.unwrap_or_else(closed));
            }
            if self.shared.with(|queue| queue.is_over()) {
                return End::Over;
            }
            let resume = self.paused.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                answer = self.stream.answers.message() => {
                    let taken = match answer {
                        Ok(Some(answer)) => self.take_in(&answer),
                        Ok(None) => return self.broken(closed()),
                        Err(status) => return self.broken(status),
                    };
                    if let Err(error) = taken {
                        return self.lied(error);
                    }
                }
                () = self.shared.driver.notified() => {}
                () = tokio::time::sleep_until(resume.into()), if self.paused.is_some() => {
                    self.paused = None;
                }
            }
        }
    }

    /// Sends what waits while there is a place. Fails when the stream takes no more.
    async fn send(&mut self) -> Result<(), ()> {
        let options = &self.shared.options;
        let places = options.messages_in_flight_max;
        while self.in_flight.len() < places {
            self.gather().await;
            let message = self.shared.with(|queue| {
                // Evenly over the places, so that the server never waits for one large one.
                let (waiting, in_flight) = queue.load();
                let even = (waiting + in_flight).div_ceil(places).max(EVEN_MIN);
                queue.take(even.min(options.message_transfers_max))
            });
            let Some(message) = message else { return Ok(()) };
            let outgoing = Outgoing { tag: self.next_tag, items: message.items.clone() };
            self.in_flight.push_back((self.next_tag, message));
            self.next_tag += 1;
            // There is a place for each message in flight.
            self.stream.outbox.try_send(outgoing).map_err(|_| ())?;
        }
        Ok(())
    }

    /// Lets the tasks that are ready to call do so, as long as many are. Takes no timer: when
    /// nobody comes, it is over at once.
    async fn gather(&self) {
        let max = self.shared.options.message_transfers_max;
        let waiting = || self.shared.with(|queue| queue.load().0);
        let mut before = waiting();
        while (1..max).contains(&before) {
            tokio::task::yield_now().await;
            let now = waiting();
            if now <= before + before / GROWTH {
                return;
            }
            before = now;
        }
    }

    /// Brings an answer to the calls of its message.
    fn take_in(&mut self, answer: &Bytes) -> Result<(), ClientError> {
        let Head { tag, error, outcomes } = head(answer)?;
        match self.in_flight.front() {
            Some((due, message)) if *due == tag => {
                if error.is_none() && message.transfers != outcomes {
                    return Err(ClientError::Protocol("a message got another number of outcomes"));
                }
            }
            _ => return Err(ClientError::Protocol("an answer came out of order")),
        }
        let Some((_, message)) = self.in_flight.pop_front() else { return Ok(()) };
        match error {
            Some(error) => {
                self.refused(message, error);
                Ok(())
            }
            None => self.answered(&message, answer),
        }
    }

    fn answered(&mut self, message: &Message, answer: &Bytes) -> Result<(), ClientError> {
        self.pauses.reset();
        let mut outcomes = Outcomes::of(answer);
        let mut chunk: Vec<Outcome> = Vec::with_capacity(CHUNK);
        let mut first = 0;
        for (number, entry) in message.entries.iter().enumerate() {
            for _ in 0..entry.count {
                let outcome = outcomes.next().unwrap_or(Err(Unreadable));
                match outcome {
                    Ok(outcome) => chunk.push(outcome),
                    Err(unreadable) => {
                        let error = unreadable.into();
                        let rest = &message.entries[first..];
                        self.shared.with(|queue| queue.fail(rest, &error, true));
                        return Err(error);
                    }
                }
            }
            let next = number + 1;
            if chunk.len() >= CHUNK || next == message.entries.len() {
                let entries: &[Entry] = &message.entries[first..next];
                self.shared.with(|queue| queue.answer(entries, &mut chunk));
                first = next;
            }
        }
        Ok(())
    }

    /// A message was refused as a whole and changed nothing.
    fn refused(&mut self, message: Message, error: BatchError) {
        let refused = Refused::from(error);
        if matches!(refused.code, Code::InvalidArgument | Code::PermissionDenied) {
            return self.malformed(message, &refused);
        }
        let error = ClientError::Refused(Box::new(refused.clone()));
        if error.is_retryable() {
            self.paused = Some(Instant::now() + self.pauses.next());
            self.shared.with(|queue| queue.put_back(message, false, Some(refused)));
        } else {
            self.shared.with(|queue| queue.fail(&message.entries, &error, false));
        }
    }

    /// Tells the calls whose fields are wrong, or who may not ask for them, so, and sends the others
    /// again.
    fn malformed(&mut self, message: Message, refused: &Refused) {
        let mut wrong: BTreeMap<usize, Vec<FieldError>> = BTreeMap::new();
        for violation in &refused.violations {
            let Some((index, field)) = split_field(&violation.field) else { continue };
            let Some((number, within)) = message.locate(index) else { continue };
            let grouped = message.entries[number].count > 1;
            let field = if grouped { format!("transfers[{within}].{field}") } else { field.into() };
            wrong.entry(number).or_default().push(FieldError { field, ..violation.clone() });
        }
        if wrong.is_empty() {
            // Nobody in particular: sent again it would be refused again.
            let error = ClientError::Refused(Box::new(refused.clone()));
            return self.shared.with(|queue| queue.fail(&message.entries, &error, false));
        }
        self.shared.with(|queue| {
            let mut number = 0..;
            let mut named = Vec::new();
            for (&number, violations) in &wrong {
                let error = ClientError::Refused(Box::new(named_only(refused, violations)));
                queue.fail(&message.entries[number..=number], &error, false);
                named.push(number);
            }
            let keep = |_: &Entry| !number.next().is_some_and(|n| wrong.contains_key(&n));
            queue.put_back(message.retain(keep, |_| {}), false, None);
        });
    }

    /// The stream ended: what was in flight is sent again, or fails where that cannot help.
    fn broken(mut self, status: Status) -> End {
        let refused = Refused::from(status);
        let error = ClientError::Refused(Box::new(refused.clone()));
        self.shared.with(|queue| {
            while let Some((_, message)) = self.in_flight.pop_back() {
                if may_pass(refused.code) {
                    queue.put_back(message, true, Some(refused.clone()));
                } else {
                    queue.fail(&message.entries, &error, true);
                }
            }
        });
        End::Broken(error)
    }

    /// The server's answers cannot be relied on: what was in flight is in doubt.
    fn lied(mut self, error: ClientError) -> End {
        self.shared.with(|queue| {
            for (_, message) in self.in_flight.drain(..) {
                queue.fail(&message.entries, &error, true);
            }
        });
        End::Broken(error)
    }
}

/// Whether what ended a stream, or kept it from opening, may be gone the next time. A broken
/// connection shows as nearly any code that is not a verdict of the server's.
pub(super) const fn may_pass(code: Code) -> bool {
    !matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated
    )
}

fn closed() -> Status {
    Status::unavailable("the server closed the stream")
}

impl From<Unreadable> for ClientError {
    fn from(_: Unreadable) -> Self {
        Self::Protocol("an answer cannot be read")
    }
}

/// `transfers[17].amount` as 17 and `amount`.
fn split_field(field: &str) -> Option<(usize, &str)> {
    let (index, field) = field.strip_prefix("transfers[")?.split_once(']')?;
    Some((index.parse().ok()?, field.strip_prefix('.').unwrap_or(field)))
}

/// The refusal as the call that these violations name would have got it alone.
fn named_only(refused: &Refused, violations: &[FieldError]) -> Refused {
    let first = violations.first();
    Refused {
        reason: first.map_or_else(|| refused.reason.clone(), |v| v.reason.clone()),
        message: first
            .map_or_else(|| refused.message.clone(), |v| format!("{}: {}", v.field, v.description)),
        violations: violations.to_vec(),
        ..refused.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_message_is_found_in_its_transfer() {
        assert_eq!(split_field("transfers[17].amount"), Some((17, "amount")));
        assert_eq!(split_field("transfers[3]"), Some((3, "")));
        for other in ["transfers", "amount", "transfers[x].id", "transfers[1"] {
            assert_eq!(split_field(other), None, "{other}");
        }
    }

    #[test]
    fn verdicts_are_not_asked_for_again_and_broken_connections_are() {
        for code in [Code::Unavailable, Code::Unknown, Code::Internal, Code::ResourceExhausted] {
            assert!(may_pass(code), "{code:?}");
        }
        for code in [Code::InvalidArgument, Code::Unauthenticated, Code::FailedPrecondition] {
            assert!(!may_pass(code), "{code:?}");
        }
    }
}
