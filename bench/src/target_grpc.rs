//! Ports over gRPC: a call for each batch, or one stream for all batches of a connection.
//! Connections belong to the client thread (and its runtime) that opened them.

use crate::address::Address;
use crate::codec::{BatchCodec, CodecKind, Outgoing, ReadCodec, code_name, failure};
use crate::generator::Batch;
use crate::h2_calls::H2Calls;
use crate::target::{Failure, Reply};
use crate::wire::{self, Envelope};
use ducat_api::client::{ConcurrencyLimit, Connection, HELD_BACK, Verdict};
use prost::bytes::BytesMut;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};

/// The call that takes a batch.
const CREATE: &str = "/ducat.v1.Ledger/CreateTransfers";

/// The call that reads accounts.
const READ: &str = "/ducat.v1.Ledger/GetAccounts";

/// Largest response taken, bytes.
pub const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// How calls are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// How long an answer may take: the server is told, and nothing is waited for beyond it.
    pub deadline: Option<Duration>,
    /// Whether no more calls are on their way than the server answers, once it refuses some.
    pub holds_back: bool,
}

/// A connection used by calls.
#[derive(Clone)]
pub struct UnaryPort {
    transport: Transport,
    codec: BatchCodec,
    path: &'static str,
    deadline: Option<Duration>,
    /// Where calls are held back while the server is overloaded, as the Rust client does.
    limit: Option<Arc<ConcurrencyLimit>>,
}

/// What carries calls.
#[derive(Clone)]
enum Transport {
    /// tonic's client, with the codec `full`: what a gateway would have.
    Tonic(Box<Grpc<Connection>>),
    /// HTTP/2 itself, with the codec `lean`.
    H2(H2Calls),
}

impl Transport {
    async fn connect(to: &Address, kind: CodecKind) -> anyhow::Result<Self> {
        Ok(match kind {
            CodecKind::Lean => Self::H2(H2Calls::connect(to).await?),
            CodecKind::Full => {
                let grpc = Grpc::new(to.connect().await?);
                Self::Tonic(Box::new(grpc.max_decoding_message_size(RESPONSE_BYTES_MAX)))
            }
        })
    }
}

impl UnaryPort {
    /// Sends batches of `batch` transfers; with `single`, by the RPC that takes one.
    pub async fn connect(
        to: &Address,
        kind: CodecKind,
        single: bool,
        batch: usize,
        manner: Manner,
    ) -> anyhow::Result<Self> {
        let (envelope, path) = if single {
            (Envelope::Single, "/ducat.v1.Ledger/Transfer")
        } else {
            (Envelope::Batch, CREATE)
        };
        let transport = Transport::connect(to, kind).await?;
        let Manner { deadline, holds_back } = manner;
        let limit = holds_back.then(Arc::default);
        Ok(Self { transport, codec: BatchCodec { kind, envelope, batch }, path, deadline, limit })
    }

    /// Sends batches over a connection that is there already, for setting up.
    pub fn over(channel: Connection, batch: usize) -> Self {
        let grpc = Grpc::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
        let codec = BatchCodec { kind: CodecKind::Lean, envelope: Envelope::Batch, batch };
        let transport = Transport::Tonic(Box::new(grpc));
        Self { transport, codec, path: CREATE, deadline: None, limit: None }
    }

    /// Reads accounts over the same connection.
    pub async fn read(&self, ids: &[u64]) -> Result<u64, Failure> {
        match &self.transport {
            Transport::Tonic(grpc) => read(grpc, self.codec.kind, ids).await,
            Transport::H2(calls) => {
                let answer = calls.call(READ, None, |out| wire::encode_read(ids, out)).await?;
                wire::decode_read(&answer).map_err(|e| unreadable(&e))
            }
        }
    }

    /// How much it has on its way at most, where it holds back.
    pub fn limit(&self) -> Option<&Arc<ConcurrencyLimit>> {
        self.limit.as_ref()
    }

    /// Sends one batch.
    pub async fn call(&self, batch: &Arc<Batch>) -> Result<Reply, Failure> {
        let Some(limit) = &self.limit else { return self.in_time(batch).await };
        let place = limit.begin().ok_or_else(|| Failure {
            class: HELD_BACK.into(),
            in_doubt: false,
            message: "as many calls are on their way as the server answers".into(),
        })?;
        let answer = self.in_time(batch).await;
        place.end(verdict(&answer));
        answer
    }

    async fn in_time(&self, batch: &Arc<Batch>) -> Result<Reply, Failure> {
        let Some(deadline) = self.deadline else { return self.send(batch, None).await };
        let too_late = || Failure {
            class: code_name(tonic::Code::DeadlineExceeded).into(),
            in_doubt: true,
            message: format!("no answer within {} ms", deadline.as_millis()),
        };
        match tokio::time::timeout(deadline, self.send(batch, Some(deadline))).await {
            Err(_elapsed) => Err(too_late()),
            // The channel enforces the deadline too and calls it a cancellation.
            Ok(Err(failure)) if failure.class == code_name(tonic::Code::Cancelled) => {
                Err(too_late())
            }
            Ok(answer) => answer,
        }
    }

    async fn send(&self, batch: &Arc<Batch>, deadline: Option<Duration>) -> Result<Reply, Failure> {
        let grpc = match &self.transport {
            Transport::Tonic(grpc) => grpc,
            Transport::H2(calls) => {
                let encode = |out: &mut BytesMut| {
                    out.reserve(wire::encoded_bytes_max(batch.items.len()));
                    wire::encode(self.codec.envelope, 0, batch, out);
                };
                let answer = calls.call(self.path, deadline, encode).await?;
                return wire::decode(self.codec.envelope, &answer).map_err(|e| unreadable(&e));
            }
        };
        let mut grpc = grpc.clone();
        grpc.ready().await.map_err(|e| Failure {
            class: "UNAVAILABLE".into(),
            in_doubt: false,
            message: e.to_string(),
        })?;
        let outgoing = Outgoing { tag: 0, batch: Arc::clone(batch) };
        let mut request = Request::new(outgoing);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let path = PathAndQuery::from_static(self.path);
        let response = grpc.unary(request, path, self.codec).await;
        Ok(response.map_err(|status| failure(&status))?.into_inner())
    }
}

/// What an answer says of how much the server can take. Nothing but want of room exhausts anything in
/// what the harness offers.
fn verdict(answer: &Result<Reply, Failure>) -> Verdict {
    let class = |code| code_name(code).to_string();
    match answer {
        Ok(_) => Verdict::Served,
        Err(failure) if failure.class == class(Code::ResourceExhausted) => Verdict::Overloaded,
        Err(failure) if failure.class == class(Code::DeadlineExceeded) => Verdict::Overloaded,
        Err(_) => Verdict::Unknown,
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    failure(&tonic::Status::internal(format!("unreadable response: {error}")))
}

/// Asks for accounts; gives the hash of the ids found.
async fn read(grpc: &Grpc<Connection>, kind: CodecKind, ids: &[u64]) -> Result<u64, Failure> {
    let mut grpc = grpc.clone();
    grpc.ready().await.map_err(|e| Failure {
        class: "UNAVAILABLE".into(),
        in_doubt: false,
        message: e.to_string(),
    })?;
    let path = PathAndQuery::from_static(READ);
    let response = grpc.unary(Request::new(ids.to_vec()), path, ReadCodec { kind }).await;
    Ok(response.map_err(|status| failure(&status))?.into_inner())
}

/// Batches sent on the stream and not answered, oldest first; answers come in this order.
type Waiting = Rc<RefCell<VecDeque<(u64, oneshot::Sender<Result<Reply, Failure>>)>>>;

/// A connection used by one stream, which is opened anew when it has broken.
#[derive(Clone)]
pub struct StreamPort {
    inner: Rc<StreamInner>,
}

struct StreamInner {
    grpc: Grpc<Connection>,
    codec: BatchCodec,
    live: RefCell<Option<Live>>,
    next_tag: Cell<u64>,
}

struct Live {
    sender: mpsc::UnboundedSender<Outgoing>,
    waiting: Waiting,
}

impl StreamPort {
    /// Sends batches of `batch` transfers on a stream that opens with the first.
    pub fn new(channel: Connection, kind: CodecKind, batch: usize) -> Self {
        let inner = StreamInner {
            grpc: Grpc::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX),
            codec: BatchCodec { kind, envelope: Envelope::Stream, batch },
            live: RefCell::new(None),
            next_tag: Cell::new(1),
        };
        Self { inner: Rc::new(inner) }
    }

    /// Reads accounts by a call beside the stream, over the same connection.
    pub async fn read(&self, ids: &[u64]) -> Result<u64, Failure> {
        read(&self.inner.grpc, self.inner.codec.kind, ids).await
    }

    /// Sends one batch and waits for its own answer. Must run within a `LocalSet`.
    pub async fn call(&self, batch: &Arc<Batch>) -> Result<Reply, Failure> {
        let answer = self.send(batch)?;
        answer.await.unwrap_or_else(|_| Err(broken("the stream ended without an answer")))
    }

    fn send(
        &self,
        batch: &Arc<Batch>,
    ) -> Result<oneshot::Receiver<Result<Reply, Failure>>, Failure> {
        let tag = self.inner.next_tag.get();
        self.inner.next_tag.set(tag + 1);
        let (answer_to, answer) = oneshot::channel();
        let mut slot = self.inner.live.borrow_mut();
        if slot.as_ref().is_some_and(|live| live.sender.is_closed()) {
            *slot = None;
        }
        let live = slot.get_or_insert_with(|| self.open());
        live.waiting.borrow_mut().push_back((tag, answer_to));
        let outgoing = Outgoing { tag, batch: Arc::clone(batch) };
        if live.sender.send(outgoing).is_err() {
            *slot = None;
            return Err(Failure { in_doubt: false, ..broken("the stream is closed") });
        }
        Ok(answer)
    }

    /// The bound on what queues here is the number of workers: each waits for its answer.
    fn open(&self) -> Live {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Waiting::default();
        let (grpc, codec, to_answer) = (self.inner.grpc.clone(), self.inner.codec, waiting.clone());
        tokio::task::spawn_local(async move {
            let ended = read_answers(grpc, codec, receiver, &to_answer).await;
            for (_, answer_to) in to_answer.borrow_mut().drain(..) {
                let _ = answer_to.send(Err(ended.clone()));
            }
        });
        Live { sender, waiting }
    }
}

/// Hands each answer to the worker that waits for it, until the stream ends; says why it did.
async fn read_answers(
    mut grpc: Grpc<Connection>,
    codec: BatchCodec,
    receiver: mpsc::UnboundedReceiver<Outgoing>,
    waiting: &Waiting,
) -> Failure {
    if let Err(e) = grpc.ready().await {
        return Failure { in_doubt: false, ..broken(&e.to_string()) };
    }
    let request = Request::new(UnboundedReceiverStream::new(receiver));
    let path = PathAndQuery::from_static("/ducat.v1.Ledger/StreamTransfers");
    let mut answers = match grpc.streaming(request, path, codec).await {
        Ok(response) => response.into_inner(),
        Err(status) => return failure(&status),
    };
    loop {
        let reply = match answers.message().await {
            Ok(Some(reply)) => reply,
            Ok(None) => return broken("the server closed the stream"),
            Err(status) => return Failure { in_doubt: true, ..failure(&status) },
        };
        let Some((tag, answer_to)) = waiting.borrow_mut().pop_front() else {
            return broken("an answer to nothing");
        };
        let answer = if tag == reply.tag {
            Ok(reply)
        } else {
            Err(broken(&format!("an answer to batch {} where {tag} was due", reply.tag)))
        };
        // A worker that gave up waiting needs no answer.
        let _ = answer_to.send(answer);
    }
}

fn broken(message: &str) -> Failure {
    Failure { class: "STREAM_BROKEN".into(), in_doubt: true, message: message.to_owned() }
}
