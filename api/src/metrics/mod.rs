//! Figures for Prometheus, and whether the process lives and is ready, on a listener of their own.
//!
//! ```text
//! gate: one call ─▶ calls, latency           actors: one append ─▶ latency
//! services: one batch ─▶ refusals by reason     scrape ─▶ Handle::status, budgets, health ─▶ text
//! ```
//!
//! What is counted is counted once for a call or a batch, never for a transfer; everything else is
//! asked for when somebody scrapes. No label holds an account, a transfer or a name: labels are
//! methods, codes and reasons, all of which the program knows beforehand
//! ([decision 32](../../../docs/adr/0032-metrics.md)).

mod counted;
mod figures;
mod hot;
pub mod listener;
mod outside;

use crate::alerts::Alerts;
use crate::budget::Budget;
use crate::connections::Closed;
use crate::identity::Guard;
use crate::identity::roles::CALLS;
use crate::outside::Breaker;
use crate::rates::Limits;
use crate::rates::places::Places;
use crate::traces::Traces;
use crate::verification::Verifications;
use ducat_actors::handle::Handle;
use ducat_actors::latency::Latency;
use ducat_actors::upkeep::backing_up::BackupHealth;
use ducat_engine::ids::Lsn;
use ducat_engine::transfer::Outcome;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tonic::Code;

/// Upper bounds of the sizes of batches, transfers.
const BATCH_BOUNDS: [usize; 9] = [1, 2, 10, 50, 100, 500, 1_000, 5_000, 10_000];

/// gRPC codes: 0 to 16.
const CODES: usize = 17;

/// How far the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It replays, and takes no calls.
    Starting,
    /// It takes calls.
    Ready,
    /// It answers what was begun, and takes no more.
    Draining,
}

/// What was counted of one method.
#[derive(Debug, Default)]
struct Method {
    codes: [AtomicU64; CODES],
    latency: Latency,
}

/// Whom a scrape asks.
pub(crate) struct Sources {
    pub handle: Handle,
    pub guard: Option<Arc<Guard>>,
    pub limits: Option<Arc<Limits>>,
    pub places: Arc<Places>,
    /// Open calls of each address, of those who have no name.
    pub nameless: Arc<Places>,
    pub requests: Budget,
    pub answers: Budget,
    pub verifications: Arc<Verifications>,
    pub breakers: Vec<Arc<Breaker>>,
    pub alerts: Option<Arc<Alerts>>,
    pub traces: Option<Arc<Traces>>,
    pub started: Instant,
}

impl Sources {
    /// For how long something durable has not been in the backup: since the last run that came to
    /// its end began, or since the start.
    pub fn backup_lag(&self, backup: &BackupHealth, durable: Lsn) -> Duration {
        if durable <= backup.last_lsn {
            return Duration::ZERO;
        }
        if backup.runs == 0 {
            return self.started.elapsed();
        }
        let run = SystemTime::UNIX_EPOCH + Duration::from_nanos(backup.last_run_ns);
        // A clock that was set back says nothing.
        run.elapsed().unwrap_or_default()
    }
}

/// All calls together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CallTotals {
    /// Calls answered.
    pub answered: u64,
    /// Those that failed for a reason of the server's.
    pub failed: u64,
    /// Time to the answer of the ledger's own calls: upper bounds in seconds, and how many.
    pub latency: Vec<(f64, u64)>,
    /// All of that time together, seconds.
    pub took_s: f64,
}

/// The codes that say that the server failed, not its caller.
pub(crate) const FAILURES: [Code; 4] =
    [Code::Unknown, Code::Internal, Code::Unavailable, Code::DataLoss];

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// Everything that is counted in one server.
#[derive(Debug)]
pub struct Metrics {
    stage: AtomicU8,
    /// One for each of [`CALLS`], and one for calls that are none.
    methods: Vec<Method>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    batches: [AtomicU64; BATCH_BOUNDS.len() + 1],
    batched: AtomicU64,
    connections: AtomicU64,
    handshakes_failed: AtomicU64,
    connections_closed: Closed,
    hot: hot::Hot,
    sources: OnceLock<Sources>,
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            stage: AtomicU8::new(Stage::Starting as u8),
            methods: (0..=CALLS.len()).map(|_| Method::default()).collect(),
            refusals: Mutex::default(),
            batches: Default::default(),
            batched: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
            connections_closed: Closed::default(),
            hot: hot::Hot::default(),
            sources: OnceLock::new(),
        })
    }

    /// The server takes calls from now on; scrapes ask these.
    pub(crate) fn ready(&self, sources: Sources) {
        // A server begins once.
        let _already = self.sources.set(sources);
        self.stage.store(Stage::Ready as u8, Ordering::Release);
    }

    /// The server takes no more calls.
    pub fn draining(&self) {
        self.stage.store(Stage::Draining as u8, Ordering::Release);
    }

    /// Whom to ask; `None` before the server takes calls.
    pub(crate) fn sources(&self) -> Option<&Sources> {
        self.sources.get()
    }

    /// All calls together.
    pub(crate) fn call_totals(&self) -> CallTotals {
        let mut totals = CallTotals::default();
        let names = CALLS.iter().map(|call| call.path).chain([""]);
        for (path, method) in names.zip(&self.methods) {
            let count = |code: Code| method.codes[code as usize].load(Ordering::Relaxed);
            totals.answered +=
                method.codes.iter().map(|code| code.load(Ordering::Relaxed)).sum::<u64>();
            totals.failed += FAILURES.into_iter().map(count).sum::<u64>();
            if !path.starts_with("/ducat.v1.Ledger/") {
                continue;
            }
            let figures = method.latency.figures();
            totals.took_s += figures.sum_s;
            let buckets = figures.buckets;
            totals.latency.resize(buckets.len(), (0.0, 0));
            for (total, (bound, count)) in totals.latency.iter_mut().zip(buckets) {
                *total = (bound, total.1 + count);
            }
        }
        totals
    }

    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Draining,
        }
    }

    /// Counts a call by its path, once its answer has begun.
    pub(crate) fn call(&self, path: &str, code: Code, took: Duration) {
        let index = CALLS.iter().position(|call| call.path == path).unwrap_or(CALLS.len());
        let method = &self.methods[index];
        if let Some(counter) = usize::try_from(code as i32).ok().and_then(|c| method.codes.get(c)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        method.latency.observe(took);
    }

    /// Counts a batch, and why requests in it were refused.
    pub(crate) fn batch(&self, outcomes: &[Outcome]) {
        let bucket = BATCH_BOUNDS.partition_point(|&bound| bound < outcomes.len());
        self.batches[bucket].fetch_add(1, Ordering::Relaxed);
        self.batched.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        let refused = outcomes.iter().filter(|outcome| !outcome.repeat);
        let mut refused = refused.filter_map(|outcome| outcome.rejection).peekable();
        if refused.peek().is_none() {
            return;
        }
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        for rejection in refused {
            *refusals.entry(rejection.code()).or_default() += 1;
        }
    }

    /// A connection that is open until what is returned is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    /// Where connections are counted that were closed though they would have gone on.
    pub(crate) fn connections_closed(&self) -> Closed {
        self.connections_closed.clone()
    }

    /// Counts a TLS handshake that failed.
    pub(crate) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counted as open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Metrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
