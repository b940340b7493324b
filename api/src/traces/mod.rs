//! Traces: where the time of a sampled call went, told to a collector of OpenTelemetry in OTLP.
//!
//! ```text
//! traceparent, tracestate ─▶ context ▸ sampling ─▶ Call ─ scope ─▶ engine: Passages (actors/src/trace.rs)
//!                                        │ over
//!                                        ▼ never waits: what finds no room is counted
//!                                     queue ─▶ Traces::run ▸ spans ▸ Breaker ▸ OTLP ─▶ collector
//! ```
//!
//! The caller's word decides whether its call is sampled; of those that say nothing a share is. Both are
//! bounded by the second. A call is told of when it is over, by a task of its own: a collector that is
//! away or slow keeps nobody ([decision 43](../../../docs/adr/0043-traces.md)).

mod call;
pub mod context;
mod sampling;
mod spans;

pub use call::{Call, Span};
pub use sampling::Sampling;

use crate::identity::roles::CALLS;
use crate::outside::collector::{Connected, ExportError};
use crate::outside::{Breaker, Collector};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan};
use sampling::Sampler;
use spans::{Finished, text};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, oneshot};
use tonic::codegen::http::HeaderMap;

/// Spans in one export: well under the 4 MiB that collectors take.
const SPANS_MAX: usize = 2_048;

/// Between two attempts at an export that failed; the breaker has longer pauses.
const PAUSE: Duration = Duration::from_millis(500);

/// The version of the conventions that names and attributes are of.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.39.0";

/// How traces are told.
#[derive(Debug)]
pub struct TracesOptions {
    /// To whom.
    pub collector: Collector,
    /// Of which calls.
    pub sampling: Sampling,
    /// How long what is over waits for more, at most.
    pub every: Duration,
    /// Most calls and batches of streams that wait to be told; those beyond are counted and not told.
    pub waiting_max: usize,
    /// The ledger's id.
    pub ledger: String,
    /// This server among others: the address it listens on.
    pub instance: String,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceFigures {
    /// Calls and batches of streams sampled.
    pub sampled: u64,
    /// Those that were not because the second had enough.
    pub limited: u64,
    /// Spans that the collector has taken.
    pub exported: u64,
    /// Spans lost because too many waited.
    pub lost_waiting: u64,
    /// Spans that the collector refused, or that did not come to it before the end.
    pub lost_exporting: u64,
}

/// What the task that exports is told.
enum Told {
    Over(Box<Finished>),
    /// Everything told before shall be exported now.
    Flush(oneshot::Sender<()>),
}

/// Samples calls and tells of them.
pub struct Traces {
    sampler: Sampler,
    queue: mpsc::Sender<Told>,
    inbox: Mutex<mpsc::Receiver<Told>>,
    collector: Connected,
    resource: Resource,
    every: Duration,
    /// The server ends: nothing is tried twice any more.
    ending: AtomicBool,
    exported: AtomicU64,
    lost_waiting: AtomicU64,
    lost_exporting: AtomicU64,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").field("collector", &self.collector).finish_non_exhaustive()
    }
}

/// What goes into one export.
#[derive(Default)]
struct Batch {
    spans: Vec<OtlpSpan>,
    flushed: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn take(&mut self, told: Told) {
        match told {
            Told::Over(finished) => finished.append_to(&mut self.spans),
            Told::Flush(flushed) => self.flushed.push(flushed),
        }
    }

    fn is_due(&self) -> bool {
        self.spans.len() >= SPANS_MAX || !self.flushed.is_empty()
    }
}

impl Traces {
    /// Ready to sample; [`Self::run`] tells. Within a runtime.
    #[must_use]
    pub fn new(options: TracesOptions) -> Arc<Self> {
        let (queue, inbox) = mpsc::channel(options.waiting_max.max(1));
        let attributes = vec![
            text("service.name", "ducat"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &options.instance),
            text("ducat.ledger.id", &options.ledger),
        ];
        Arc::new(Self {
            sampler: Sampler::new(options.sampling),
            queue,
            inbox: Mutex::new(inbox),
            collector: options.collector.connect(),
            resource: Resource { attributes, ..Resource::default() },
            every: options.every,
            ending: AtomicBool::new(false),
            exported: AtomicU64::new(0),
            lost_waiting: AtomicU64::new(0),
            lost_exporting: AtomicU64::new(0),
        })
    }

    /// Samples by these from now on.
    pub fn resample(&self, sampling: Sampling) {
        self.sampler.replace(sampling);
    }

    /// The breaker before the collector.
    #[must_use]
    pub const fn breaker(&self) -> &Arc<Breaker> {
        self.collector.collector().breaker()
    }

    /// What was counted.
    #[must_use]
    pub fn figures(&self) -> TraceFigures {
        let (sampled, limited) = self.sampler.counted();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TraceFigures {
            sampled,
            limited,
            exported: count(&self.exported),
            lost_waiting: count(&self.lost_waiting),
            lost_exporting: count(&self.lost_exporting),
        }
    }

    /// A call that has come to the gate; `None` where nobody wants to know of it.
    pub(crate) fn call(
        self: &Arc<Self>,
        path: &str,
        headers: &HeaderMap,
        begun: Instant,
    ) -> Option<Call> {
        let parent = context::parent(headers);
        if self.sampler.wants(parent.as_ref())
            // Names of spans are of the program's own making: no client makes up others.
            && let Some(call) = CALLS.iter().find(|call| call.path == path)
            && self.sampler.takes()
        {
            let method = call.path.trim_start_matches('/');
            // Without a parent it would be the state of nothing.
            let state = parent.map(|_| context::state(headers)).unwrap_or_default();
            return Some(Call::sampled(self, method, parent.as_ref(), state.into(), begun));
        }
        parent.as_ref().map(Call::unsampled)
    }

    /// A sampled call is over.
    fn over(&self, finished: Finished) {
        let count = finished.count() as u64;
        if self.queue.try_send(Told::Over(Box::new(finished))).is_err() {
            self.lost_waiting.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Tells of calls that are over, without end.
    pub async fn run(self: Arc<Self>) {
        let mut inbox = self.inbox.lock().await;
        while let Some(first) = inbox.recv().await {
            let mut batch = Batch::default();
            batch.take(first);
            let end = tokio::time::sleep(self.every);
            tokio::pin!(end);
            while !batch.is_due() {
                tokio::select! {
                    biased;
                    told = inbox.recv() => match told {
                        Some(told) => batch.take(told),
                        None => break,
                    },
                    () = &mut end => break,
                }
            }
            self.export(batch.spans).await;
            for flushed in batch.flushed {
                // Whoever waited may have given up.
                let _gone = flushed.send(());
            }
        }
    }

    /// Has everything that is over told, as far as one attempt at each export brings it; for the end.
    pub async fn finish(&self) {
        self.ending.store(true, Ordering::Relaxed);
        let (flushed, done) = oneshot::channel();
        if self.queue.send(Told::Flush(flushed)).await.is_ok() {
            let _ended = done.await;
        }
    }

    /// Tries until the collector has these, or will never take them.
    async fn export(&self, spans: Vec<OtlpSpan>) {
        let count = spans.len() as u64;
        if count == 0 {
            return;
        }
        let request = self.request(spans);
        let mut failures = 0_u32;
        loop {
            match self.collector.export(request.clone()).await {
                Ok(refused) => {
                    let refused = refused.min(count);
                    self.exported.fetch_add(count - refused, Ordering::Relaxed);
                    self.lost_exporting.fetch_add(refused, Ordering::Relaxed);
                    if failures > 0 {
                        tracing::info!(failures, "the collector of traces is there again");
                    }
                    return;
                }
                Err(error) => {
                    self.failed(&error, &mut failures);
                    if !error.may_change() || self.ending.load(Ordering::Relaxed) {
                        self.lost_exporting.fetch_add(count, Ordering::Relaxed);
                        return;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn failed(&self, error: &ExportError, failures: &mut u32) {
        if matches!(error, ExportError::BreakerOpen) {
            return;
        }
        *failures += 1;
        if failures.is_power_of_two() {
            let host = self.collector.collector().host();
            tracing::warn!(%error, host, failures, "traces could not be told");
        }
    }

    fn request(&self, spans: Vec<OtlpSpan>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: "ducat".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA_URL.to_owned() };
        let resource = Some(self.resource.clone());
        let resource_spans =
            ResourceSpans { resource, scope_spans: vec![spans], schema_url: SCHEMA_URL.to_owned() };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
    }
}
