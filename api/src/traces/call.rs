//! One call, as far as its trace is concerned: from the gate until the last piece of its answer has left.

use super::Traces;
use super::context::Parent;
use super::spans::{Finished, Kind};
use ducat_actors::trace::{self, Passages, Trace};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Instant, SystemTime};
use tonic::codegen::http::HeaderMap;
use tonic::{Code, Status};

/// No end is known: whoever asked went away before.
const UNKNOWN: i32 = -1;

/// A call that belongs to a trace, sampled or not. Clones are the same call.
#[derive(Clone, Debug)]
pub struct Call {
    trace: [u8; 16],
    span: Option<Arc<Span>>,
}

/// The span of a sampled call, or of one batch of a stream; over when nobody has it any more.
pub struct Span {
    traces: Arc<Traces>,
    kind: Kind,
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    /// The caller's `tracestate`, for whoever puts the trace together.
    state: Arc<str>,
    begun: Instant,
    code: AtomicI32,
    passages: Arc<Passages>,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Random bytes that are not all zeros, which would be no id.
pub(super) fn id<const N: usize>() -> [u8; N] {
    loop {
        let mut id = [0; N];
        rand::fill(&mut id);
        if id != [0; N] {
            return id;
        }
    }
}

impl Call {
    /// One that is not sampled: the log tells of its trace all the same.
    pub(super) const fn unsampled(parent: &Parent) -> Self {
        Self { trace: parent.trace, span: None }
    }

    /// One that is.
    pub(super) fn sampled(
        traces: &Arc<Traces>,
        method: &'static str,
        parent: Option<&Parent>,
        state: Arc<str>,
        begun: Instant,
    ) -> Self {
        let trace = parent.map_or_else(id, |parent| parent.trace);
        let span = Span {
            traces: Arc::clone(traces),
            kind: Kind::Call(method),
            trace,
            id: id(),
            parent: parent.map(|parent| parent.span),
            state,
            begun,
            code: AtomicI32::new(UNKNOWN),
            passages: Arc::default(),
        };
        Self { trace, span: Some(Arc::new(span)) }
    }

    /// The call's work, which belongs to its trace.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let passages = self.span.as_ref().map(|span| Arc::clone(&span.passages));
        trace::scope(Trace { id: self.trace, passages }, work)
    }

    /// Its span, to be kept until it is over.
    #[must_use]
    pub fn span(&self) -> Option<Arc<Span>> {
        self.span.clone()
    }

    /// One batch of this stream that has come now, a span of its own if the second has not had too many.
    /// Without a span the batch belongs to the stream's trace.
    #[must_use]
    pub fn batch(&self) -> Self {
        let span = self.span.as_ref().filter(|span| span.traces.sampler.takes());
        let span = span.map(|stream| {
            Arc::new(Span {
                traces: Arc::clone(&stream.traces),
                kind: Kind::Batch,
                trace: self.trace,
                id: id(),
                parent: Some(stream.id),
                state: Arc::clone(&stream.state),
                begun: Instant::now(),
                code: AtomicI32::new(UNKNOWN),
                passages: Arc::default(),
            })
        });
        Self { trace: self.trace, span }
    }
}

impl Span {
    /// It ended with this code.
    pub fn ended(&self, code: Code) {
        self.code.store(code as i32, Ordering::Relaxed);
    }

    /// It ended as these headers or trailers say, if they say so.
    pub fn ended_by(&self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.ended(status.code());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let code = match self.code.load(Ordering::Relaxed) {
            UNKNOWN => Code::Cancelled,
            code => Code::from_i32(code),
        };
        self.traces.over(Finished {
            kind: self.kind,
            trace: self.trace,
            id: self.id,
            parent: self.parent,
            state: Arc::clone(&self.state),
            begun: self.begun,
            ended: Instant::now(),
            ended_at: SystemTime::now(),
            code,
            passages: self.passages.take(),
        });
    }
}
