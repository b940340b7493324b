//! Every call goes through here: the number of calls at a time is bounded over all
//! connections, and what is answered is accounted for until the connection has sent it.

use crate::budget::{Room, Rooms, guarded};
use crate::connections::ConnectionInfo;
use crate::status::Refusal;
use crate::unread::Unread;
use http_body::Frame;
use prost::bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tower_layer::Layer;

/// Largest piece of an answer handed to the connection at a time: a client is not behind as
/// long as it takes one of these within the time.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// The layer around all services.
#[derive(Clone, Debug)]
pub struct Gate {
    calls: Arc<Semaphore>,
    max: usize,
}

impl Gate {
    /// Lets so many calls in at a time.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { calls: Arc::new(Semaphore::new(max)), max }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { inner, gate: self.clone() }
    }
}

/// The services behind the gate.
#[derive(Clone, Debug)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Answer>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Ok(place) = self.gate.calls.clone().try_acquire_owned() else {
            let refused = Status::from(Refusal::calls_full(self.gate.max)).into_http::<Body>();
            return Box::pin(async move { Ok(refused.map(Answer::of_no_call)) });
        };
        let connection = request.extensions().get::<ConnectionInfo>().map(ConnectionInfo::unread);
        let call = Arc::new(Call { connection, _place: place });
        let answering = self.inner.call(request);
        Box::pin(async move {
            let mut response = answering.await?;
            let rooms = response.extensions_mut().remove::<Rooms>();
            Ok(response.map(|inner| Answer::new(inner, call, rooms)))
        })
    }
}

/// A call, until the last piece of its answer is sent.
#[derive(Debug)]
struct Call {
    connection: Option<Arc<Unread>>,
    _place: OwnedSemaphorePermit,
}

/// An answer's body in pieces, each of which keeps its room, its call and its age.
#[derive(Debug)]
pub struct Answer {
    inner: Body,
    call: Option<Arc<Call>>,
    rooms: Option<Rooms>,
    rest: Bytes,
    rest_rooms: Arc<Vec<Room>>,
}

impl Answer {
    fn new(inner: Body, call: Arc<Call>, rooms: Option<Rooms>) -> Self {
        let rest_rooms = Arc::default();
        Self { inner, call: Some(call), rooms, rest: Bytes::new(), rest_rooms }
    }

    fn of_no_call(inner: Body) -> Self {
        let (rest, rest_rooms) = (Bytes::new(), Arc::default());
        Self { inner, call: None, rooms: None, rest, rest_rooms }
    }

    fn next_piece(&mut self) -> Bytes {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE_BYTES_MAX));
        let rooms = if self.rest.is_empty() {
            std::mem::take(&mut self.rest_rooms)
        } else {
            self.rest_rooms.clone()
        };
        let Some(call) = self.call.clone() else { return bytes };
        let piece = call.connection.as_ref().map(Unread::piece);
        guarded(bytes, (piece, rooms, call))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => {
                        self.rest = bytes;
                        let rooms = self.rooms.as_ref().map(Rooms::take).unwrap_or_default();
                        self.rest_rooms = Arc::new(rooms);
                    }
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.next_piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }
}
