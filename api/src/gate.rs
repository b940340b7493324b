//! Every call goes through here: the number of calls at a time is bounded over all
//! connections, what is read takes from a budget, and what is answered is accounted for until
//! the connection has sent it.
//!
//! A transfer that would wait too long is refused here, when its headers have come and nothing
//! of it is read: `OVERLOADED`, with an answer that was made beforehand, at its turn (see
//! [`crate::refusal_pace`]). What its client has still to send is read and thrown away. A reset would stop the client, but HTTP/2 counts
//! what arrives behind one as errors of its connection, which ends after a thousand of them.

use crate::audit::{self, Auditor};
use crate::budget::{self, Budget, Room, Rooms, Share, guarded};
use crate::connections::network;
use crate::deadline::Deadline;
use crate::identity::factor::{self, Standing};
use crate::identity::{Caller, Guard, guard};
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::rates::places::{Own, Place, Places};
use crate::rates::{self, Limits};
use crate::refusal_pace::{RefusalPace, Turn};
use crate::services::Services;
use crate::shares::{self, LastCaller, Shares};
use crate::status::Refusal;
use crate::tls::Peer;
use crate::traces::{self, Traces};
use crate::unread::Unread;
use ducat_actors::handle::{Handle, RequestError};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use prost::bytes::Bytes;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::{Code, Status};

/// Largest piece of an answer handed to the connection at a time: a client is not behind as
/// long as it takes one of these within the time.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// How long the rest of a refused request is waited for.
const REST_TIMEOUT: Duration = Duration::from_secs(10);

/// The calls that cost a decision, and can wait too long for it.
pub(crate) const TRANSFERS: [&str; 3] =
    ["/ducat.v1.Ledger/Transfer", "/ducat.v1.Ledger/CreateTransfers", rates::REVERSAL];

/// What the paths of Ducat's own calls begin with.
const OURS: &str = "/ducat.v1.";

/// Of all places, one in so many is kept for calls that end by themselves: streams on which nothing is
/// sent take the others at most.
const KEPT_FOR_CALLS: usize = 64;

/// Whether a call stays open for as long as its client likes.
fn stays_open(path: &str) -> bool {
    path == STREAM
        || path == "/grpc.health.v1.Health/Watch"
        || path.starts_with("/grpc.reflection.")
}

/// The call whose batches take memory one after the other.
const STREAM: &str = "/ducat.v1.Ledger/StreamTransfers";

/// What all calls go through.
#[derive(Clone)]
pub struct Gate {
    calls: Arc<Semaphore>,
    /// Set once the server drains.
    closed: Arc<AtomicBool>,
    handle: Handle,
    requests: Budget,
    answers: Budget,
    /// So many places are never taken by calls that may stay open without end.
    kept_for_calls: usize,
    refusals: Arc<Refusals>,
    guard: Option<Arc<Guard>>,
    limits: Option<Arc<Limits>>,
    /// Of principals, and of addresses where nobody has a name.
    places: Option<(Arc<Places>, Arc<Places>)>,
    metrics: Option<Arc<Metrics>>,
    auditor: Option<Arc<Auditor>>,
    traces: Option<Arc<Traces>>,
}

/// So many refusals wait for their turn for each call that there may be.
const WAITING: usize = 4;

/// The headers of answers that refuse, made once, and when those leave that the load refuses.
struct Refusals {
    pace: RefusalPace,
    calls_full: http::HeaderMap,
    overloaded: http::HeaderMap,
    expired: http::HeaderMap,
    draining: http::HeaderMap,
}

impl Gate {
    /// Lets so many calls in at a time, and transfers as long as the engine keeps up. Requests
    /// take their memory from `requests`, answers from `answers`.
    #[must_use]
    pub fn new(calls_max: usize, handle: Handle, requests: Budget, answers: Budget) -> Self {
        let max = calls_max.clamp(1, Semaphore::MAX_PERMITS);
        let headers = |refusal| Status::from(refusal).into_http::<Body>().headers().clone();
        let refusals = Refusals {
            pace: RefusalPace::new(max.saturating_mul(WAITING)),
            calls_full: headers(Refusal::calls_full(max)),
            overloaded: headers(Refusal::overloaded(handle.queue_delay_max())),
            expired: headers(Refusal::from(RequestError::Expired)),
            draining: headers(Refusal::draining()),
        };
        let calls = Arc::new(Semaphore::new(max));
        let refusals = Arc::new(refusals);
        let closed = Arc::default();
        let (guard, limits, places, metrics) = (None, None, None, None);
        let (auditor, traces) = (None, None);
        Self {
            calls,
            closed,
            handle,
            requests,
            answers,
            kept_for_calls: max / KEPT_FOR_CALLS,
            refusals,
            guard,
            limits,
            places,
            metrics,
            auditor,
            traces,
        }
    }

    /// The same, which refuses new calls as `DRAINING` once `closed` is set. Health is told all the same.
    #[must_use]
    pub fn closed_by(self, closed: Arc<AtomicBool>) -> Self {
        Self { closed, ..self }
    }

    /// The same, with a guard that asks who is calling.
    #[must_use]
    pub fn guarded_by(self, guard: Option<Arc<Guard>>) -> Self {
        Self { guard, ..self }
    }

    /// The same, with rates for everybody.
    #[must_use]
    pub fn limited_by(self, limits: Option<Arc<Limits>>) -> Self {
        Self { limits, ..self }
    }

    /// The same, with so many places for each principal, and for each address where nobody has a name.
    #[must_use]
    pub fn with_places(self, principals: Arc<Places>, addresses: Arc<Places>) -> Self {
        Self { places: Some((principals, addresses)), ..self }
    }

    /// The same, with somebody who counts the calls.
    #[must_use]
    pub fn measured_by(self, metrics: Option<Arc<Metrics>>) -> Self {
        Self { metrics, ..self }
    }

    /// The same, with somebody who tells who did what.
    #[must_use]
    pub fn audited_by(self, auditor: Option<Arc<Auditor>>) -> Self {
        Self { auditor, ..self }
    }

    /// The same, with somebody who tells where the time of calls went.
    #[must_use]
    pub fn traced_by(self, traces: Option<Arc<Traces>>) -> Self {
        Self { traces, ..self }
    }

    /// The call, if it belongs to a trace.
    fn traced<B>(&self, request: &http::Request<B>, now: Instant) -> Option<traces::Call> {
        self.traces.as_ref()?.call(request.uri().path(), request.headers(), now)
    }

    /// A place for the call, or the headers of its refusal; with them, whether that waits its turn.
    fn let_in<B>(
        &self,
        request: &http::Request<B>,
        deadline: Option<Deadline>,
    ) -> Result<OwnedSemaphorePermit, (&http::HeaderMap, bool)> {
        if self.closed.load(Ordering::Relaxed) && request.uri().path().starts_with(OURS) {
            return Err((&self.refusals.draining, false));
        }
        let full = stays_open(request.uri().path())
            && self.calls.available_permits() <= self.kept_for_calls;
        let place = self.calls.clone().try_acquire_owned().ok().filter(|_| !full);
        let Some(place) = place else {
            self.handle.count_overloaded();
            return Err((&self.refusals.calls_full, true));
        };
        if !TRANSFERS.contains(&request.uri().path()) {
            return Ok(place);
        }
        match self.handle.check_admission(deadline.map(|deadline| deadline.0)) {
            Ok(()) => Ok(place),
            Err(RequestError::Expired) => Err((&self.refusals.expired, false)),
            Err(_overloaded) => Err((&self.refusals.overloaded, true)),
        }
    }
}

impl Gate {
    /// Has the body take memory as it is read, for as long as what is returned is kept or the
    /// body lives.
    fn meter(
        &self,
        request: http::Request<Incoming>,
        share: Option<Share>,
        connection: &Arc<Unread>,
    ) -> (http::Request<Body>, Option<Intake>) {
        let path = request.uri().path();
        if !path.starts_with(OURS) {
            return (request.map(Body::new), None);
        }
        let requests = share.map(|share| self.requests.within(share));
        let intake = Intake::new(requests.unwrap_or_else(|| self.requests.clone()));
        let is_stream = path == STREAM;
        let coming = (!is_stream).then(|| connection.piece());
        let mut request = request.map(|body| intake.meter(body, coming));
        if is_stream {
            request.extensions_mut().insert(intake);
            return (request, None);
        }
        (request, Some(intake))
    }
}

/// Answers without reading, and reads what is still to come without keeping it.
async fn refuse(
    headers: http::HeaderMap,
    mut rest: Incoming,
    turn: Option<Turn>,
) -> http::Response<Answer> {
    if let Some(Turn { at, _place }) = turn
        && at > Instant::now()
    {
        let rest = tokio::time::timeout_at(at.into(), throw_away(&mut rest));
        let _read = rest.await;
        tokio::time::sleep_until(at.into()).await;
    }
    if !rest.is_end_stream() {
        tokio::spawn(async move {
            let _read = tokio::time::timeout(REST_TIMEOUT, throw_away(&mut rest)).await;
        });
    }
    let mut response = http::Response::new(Answer::of_no_call(Body::empty()));
    *response.headers_mut() = headers;
    response
}

async fn throw_away(rest: &mut Incoming) {
    let mut next = async || std::future::poll_fn(|c| Pin::new(&mut *rest).poll_frame(c)).await;
    while let Some(Ok(_thrown_away)) = next().await {}
}

/// The services behind the gate, for the calls of one connection.
#[derive(Clone)]
pub struct Gated {
    gate: Gate,
    services: Services,
    connection: Arc<Unread>,
    peer: Option<Arc<Peer>>,
    address: Option<IpAddr>,
    /// What calls from this address may take, where nobody is known by name.
    of_address: Option<Shares>,
    /// What the caller of the last call may take.
    of_caller: Arc<LastCaller>,
}

impl Gated {
    /// For a connection with these unread answers.
    #[must_use]
    pub fn new(gate: Gate, services: Services, connection: Arc<Unread>) -> Self {
        let (peer, address, of_address, of_caller) = (None, None, None, Arc::default());
        Self { gate, services, connection, peer, address, of_address, of_caller }
    }

    /// The same, for a connection from this address.
    #[must_use]
    pub fn from_address(self, address: Option<IpAddr>) -> Self {
        let of_address = address.map(|at| {
            let name = format!("address {}", network(at));
            let places = self.gate.places.as_ref().map(|(_, addresses)| addresses.own(&name));
            self.shares(&name, places.into_iter().collect())
        });
        Self { address, of_address, ..self }
    }

    fn shares(&self, name: &str, places: Arc<[Own]>) -> Shares {
        let Gate { requests, answers, .. } = &self.gate;
        Shares { requests: requests.share(name), answers: answers.share(name), places }
    }

    /// What whoever makes this call may take: by name, or else by address.
    fn shares_of<B>(&self, request: &http::Request<B>) -> Option<Shares> {
        let grants = request.extensions().get::<Caller>().map_or(&[][..], Caller::grants);
        let Some(first) = grants.first() else { return self.of_address.clone() };
        let names = || grants.iter().map(|grant| grant.name.as_str());
        Some(self.of_caller.shares(names(), || {
            let places = self.gate.places.as_ref().map(|(principals, _)| principals);
            let places = places.map(|all| names().map(|name| all.own(name)).collect());
            self.shares(&first.name, places.unwrap_or_default())
        }))
    }

    /// The call as the audit trail knows it.
    fn audited<B>(&self, request: &http::Request<B>, now: Instant) -> Option<audit::Call> {
        let auditor = self.gate.auditor.as_ref()?;
        let caller = request.extensions().get::<Caller>().cloned().or_else(|| {
            let guard = self.gate.guard.as_ref()?;
            guard.denied_caller(request.headers(), self.peer.as_deref())
        });
        let path = request.uri().path();
        Some(auditor.call(path, request.headers(), caller.as_ref(), self.address, now))
    }

    /// The same, for a connection whose client has shown this certificate.
    #[must_use]
    pub fn of_peer(self, peer: Option<Peer>) -> Self {
        Self { peer: peer.map(Arc::new), ..self }
    }

    /// Who is calling, for the services, or the headers of the refusal.
    fn ask_who<B>(&self, request: &mut http::Request<B>) -> Result<(), http::HeaderMap> {
        let Some(guard) = &self.gate.guard else { return Ok(()) };
        let path = request.uri().path();
        if guard.is_open(path) {
            return Ok(());
        }
        match guard.let_in(path, request.headers(), self.peer.as_deref()) {
            Ok(caller) => {
                if let Some(standing) = guard.standing(path, request.headers(), &caller) {
                    request.extensions_mut().insert(standing);
                }
                // What was checked goes no further: not into logs, not into errors.
                request.headers_mut().remove(http::header::AUTHORIZATION);
                request.headers_mut().remove(factor::HEADER);
                request.extensions_mut().insert(caller);
                Ok(())
            }
            Err(status) => Err(status.into_http::<Body>().headers().clone()),
        }
    }

    /// Takes the second factor of a call that always needs one, or the headers of its refusal. Last, so that
    /// a call that is refused for the load uses up no code.
    fn prove<B>(request: &http::Request<B>) -> Result<(), http::HeaderMap> {
        let Some(standing) = request.extensions().get::<Standing>() else { return Ok(()) };
        if !guard::is_always_dangerous(request.uri().path()) {
            return Ok(());
        }
        let proven = standing.prove();
        proven.map_err(|refusal| Status::from(refusal).into_http::<Body>().headers().clone())
    }

    /// Counts the call, or the headers of its refusal. Batches are counted by their transfers, where
    /// these are known.
    fn count<B>(&self, request: &http::Request<B>) -> Result<(), http::HeaderMap> {
        let Some(limits) = &self.gate.limits else { return Ok(()) };
        let path = request.uri().path();
        if path == rates::BATCH || path == rates::STREAM {
            return Ok(());
        }
        let taken = limits.take(request.extensions().get::<Caller>(), path, 1);
        taken.map_err(|refusal| Status::from(refusal).into_http::<Body>().headers().clone())
    }
}

impl Gated {
    /// Who is asked who calls; `None` where everybody may do everything.
    pub(crate) const fn guard(&self) -> Option<&Arc<Guard>> {
        self.gate.guard.as_ref()
    }

    /// The same, for a client that has shown this certificate to another listener.
    pub(crate) fn of_shared_peer(self, peer: Option<Arc<Peer>>) -> Self {
        Self { peer, ..self }
    }

    /// A call that begins within the server, such as the console's, with its request whole: past the
    /// same guard, rates and bounds as one from outside.
    pub(crate) async fn call_inside(
        &self,
        mut request: http::Request<Body>,
    ) -> http::Response<Body> {
        let (now, path) = (Instant::now(), request.uri().path().to_owned());
        let traced = self.gate.traced(&request, now);
        let response = match self.admit_inside(&mut request, now) {
            Ok(mut admitted) => {
                let answering = self.answer_inside(request, admitted.audited.take());
                match &traced {
                    None => answering.await,
                    Some(traced) => traced.scope(answering).await,
                }
            }
            Err(headers) => {
                let mut response = http::Response::new(Body::empty());
                *response.headers_mut() = headers;
                response
            }
        };
        let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |s| s.code());
        if let Some(span) = traced.and_then(|traced| traced.span()) {
            span.ended(code);
        }
        if let Some(metrics) = &self.gate.metrics {
            metrics.call(&path, code, now.elapsed());
        }
        response
    }

    /// The services' answer, and what is told of it.
    async fn answer_inside(
        &self,
        mut request: http::Request<Body>,
        audited: Option<audit::Call>,
    ) -> http::Response<Body> {
        let Some(audited) = audited else {
            let Ok(response) = self.services.call(request).await;
            return response;
        };
        request.extensions_mut().insert(audited.clone());
        let Ok(response) = audited.scope(self.services.call(request)).await;
        audited.over(response.headers(), &self.gate.handle).await;
        response
    }

    fn admit_inside(
        &self,
        request: &mut http::Request<Body>,
        now: Instant,
    ) -> Result<Admitted, http::HeaderMap> {
        let deadline = request.extensions().get::<Deadline>().copied();
        let place =
            self.gate.let_in(request, deadline).map_err(|(headers, _turn)| headers.clone())?;
        let own = self.ask_who(request);
        let own = own.and_then(|()| shares::place(self.shares_of(request).as_ref()));
        let own = own.and_then(|own| self.count(request).map(|()| own));
        let own = own.and_then(|own| Self::prove(request).map(|()| own));
        let audited = self.audited(request, now);
        match own {
            Ok(own) => Ok(Admitted { _place: place, _own: own, audited }),
            Err(headers) => {
                if let Some(audited) = audited {
                    audited.refused_at_gate(&headers);
                }
                Err(headers)
            }
        }
    }

    /// What the console answers by itself was refused like this: it is in the trail as well.
    pub(crate) fn refused_inside(&self, headers: &http::HeaderMap, refused: &Status) {
        let Some(auditor) = &self.gate.auditor else { return };
        let guard = self.gate.guard.as_ref();
        let caller = guard.and_then(|guard| guard.denied_caller(headers, self.peer.as_deref()));
        let call = auditor.call("", headers, caller.as_ref(), self.address, Instant::now());
        call.refused_at_gate(refused.clone().into_http::<Body>().headers());
    }
}

/// A call that begins within the server and may go on, with the places that it takes.
struct Admitted {
    _place: OwnedSemaphorePermit,
    _own: Option<Place>,
    audited: Option<audit::Call>,
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Answer>, Infallible>> + Send>>;

impl hyper::service::Service<http::Request<Incoming>> for Gated {
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: http::Request<Incoming>) -> Answering {
        let now = Instant::now();
        let (metrics, traced) = (self.gate.metrics.clone(), self.gate.traced(&request, now));
        if metrics.is_none() && traced.is_none() {
            return self.begin(request, now, None);
        }
        let path = request.uri().path().to_owned();
        let span = traced.as_ref().and_then(traces::Call::span);
        let answering = self.begin(request, now, traced);
        Box::pin(async move {
            let Ok(response) = answering.await;
            if let Some(span) = span {
                span.ended_by(response.headers());
            }
            if let Some(metrics) = metrics {
                // An error that comes behind the first part of an answer is in none of the headers.
                let status = Status::from_header_map(response.headers());
                metrics.call(&path, status.map_or(Code::Ok, |s| s.code()), now.elapsed());
            }
            Ok(response)
        })
    }
}

impl Gated {
    fn begin(
        &self,
        mut request: http::Request<Incoming>,
        now: Instant,
        traced: Option<traces::Call>,
    ) -> Answering {
        let deadline = Deadline::from_headers(request.headers(), now);
        let place = match self.gate.let_in(&request, deadline) {
            Ok(place) => place,
            Err((headers, waits)) => {
                let headers = headers.clone();
                let end = deadline.map(|deadline| deadline.0);
                let turn = waits.then(|| self.gate.refusals.pace.turn(now, end)).flatten();
                let refusing = refuse(headers, request.into_body(), turn);
                return Box::pin(async move { Ok(refusing.await) });
            }
        };
        // A call that finds no place takes nothing from its caller's rate.
        let known = self.ask_who(&mut request);
        let shares = known.is_ok().then(|| self.shares_of(&request)).flatten();
        let own = known.and_then(|()| shares::place(shares.as_ref()));
        let own = own.and_then(|own| self.count(&request).map(|()| own));
        let own = own.and_then(|own| Self::prove(&request).map(|()| own));
        let audited = self.audited(&request, now);
        let own = match own {
            Ok(own) => own,
            Err(headers) => {
                if let Some(audited) = audited {
                    audited.refused_at_gate(&headers);
                }
                let refusing = refuse(headers, request.into_body(), None);
                return Box::pin(async move { Ok(refusing.await) });
            }
        };
        let (reading, answering) = shares.map(|s| (s.requests, s.answers)).unzip();
        let (mut request, intake) = self.gate.meter(request, reading, &self.connection);
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        if let Some(audited) = &audited {
            request.extensions_mut().insert(audited.clone());
        }
        if let Some(traced) = &traced {
            request.extensions_mut().insert(traced.clone());
        }
        let connection = Arc::clone(&self.connection);
        let span = traced.as_ref().and_then(traces::Call::span);
        let call = Arc::new(Call { connection, _place: place, _own: own, span });
        let answering = budget::scope(answering, self.services.call(request));
        let Some(audited) = audited else {
            return in_trace(traced, finish(answering, deadline, intake, call));
        };
        let handle = self.gate.handle.clone();
        let answering = audited.scope(finish(answering, deadline, intake, call));
        let is_command = audited.is_command();
        let whole = async move {
            let Ok(response) = answering.await;
            audited.over(response.headers(), &handle).await;
            Ok(response)
        };
        let whole = in_trace(traced, whole);
        if is_command { Box::pin(to_its_end(whole)) } else { whole }
    }
}

/// The work of a call, in its trace if it belongs to one.
fn in_trace(
    traced: Option<traces::Call>,
    work: impl Future<Output = Result<http::Response<Answer>, Infallible>> + Send + 'static,
) -> Answering {
    match traced {
        None => Box::pin(work),
        Some(traced) => Box::pin(traced.scope(async {
            let answered = work.await;
            // With its trace's id, as any line that is written in between.
            tracing::debug!("a call of a trace was answered");
            answered
        })),
    }
}

/// Works on when whoever asked goes away: a command that was begun is done, and told of.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The process ends.
        Err(_cancelled) => std::future::pending().await,
    }
}

/// The answer to a call that was let in, in time or not.
async fn finish(
    answering: impl Future<Output = Result<http::Response<Body>, Infallible>>,
    deadline: Option<Deadline>,
    intake: Option<Intake>,
    call: Arc<Call>,
) -> Result<http::Response<Answer>, Infallible> {
    let Ok(mut response) = match deadline {
        None => answering.await,
        Some(Deadline(end)) => {
            let in_time = tokio::time::timeout_at(end.into(), answering).await;
            in_time.unwrap_or_else(|_elapsed| Ok(too_late()))
        }
    };
    // A call has been worked on; a stream, which has only begun, keeps its own.
    drop(intake);
    let rooms = response.extensions_mut().remove::<Rooms>();
    Ok(response.map(|inner| Answer::new(inner, call, rooms)))
}

/// To a call whose deadline passed while it was worked on: its client has given it up, and
/// whether it took effect is told by asking again under the same id.
fn too_late() -> http::Response<Body> {
    Status::deadline_exceeded("the deadline passed before the answer was there").into_http()
}

/// A call, until the last piece of its answer is sent.
#[derive(Debug)]
struct Call {
    connection: Arc<Unread>,
    _place: OwnedSemaphorePermit,
    _own: Option<Place>,
    /// Over when the answer is sent.
    span: Option<Arc<traces::Span>>,
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
        let piece = call.connection.piece();
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
                    Err(other) => {
                        let span = self.call.as_ref().and_then(|call| call.span.as_ref());
                        if let Some((span, trailers)) = span.zip(other.trailers_ref()) {
                            span.ended_by(trailers);
                        }
                        return Poll::Ready(Some(Ok(other)));
                    }
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
