//! Who did what, on its way into the journal.
//!
//! ```text
//! gate ─ scope(Seed) ─▶ service ─▶ Handle ─ Submission, Task ─▶ coordinator
//!                                                                  │ one event for the calls of a
//!                                                                  ▼ batch that are alike
//!                              records of the batch ▸ Record::Audit ─▶ the same append
//! ```
//!
//! A write's audit event lies in the append of what it did, behind it: its answer waits for both at once,
//! and no call is synced twice. What writes nothing (reads, refused calls, operators' commands) is handed
//! in by [`Handle::audit`] when it is over ([decision 38](../../../docs/adr/0038-audit.md)).

mod groups;
mod reading;

pub(crate) use groups::{Group, group, told};
pub use reading::{AuditFilter, AuditPage, AuditQuery, Audited, Entity, Matcher};

use crate::handle::{Handle, RequestError};
use crate::tasks::{Reply, Task};
use ducat_engine::audit::{AuditEvent, AuditKind, Run, Severity};
use ducat_engine::ids::Lsn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Who calls. Compared by place where calls are told as one: whoever makes them shares those that are
/// equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Who {
    /// The names of everything that was granted; empty where nobody is known.
    pub principal: String,
    /// The address, without its port.
    pub address: String,
    /// What the client says it is.
    pub agent: String,
}

/// A call of which an audit event will tell.
#[derive(Debug)]
pub struct Seed {
    who: Arc<Who>,
    method: &'static str,
    severity: Severity,
    trace: Option<[u8; 16]>,
    begun: Instant,
    told: AtomicBool,
    about: OnceLock<String>,
}

impl Seed {
    /// A call to `method` that has begun.
    #[must_use]
    pub fn new(
        who: Arc<Who>,
        method: &'static str,
        severity: Severity,
        trace: Option<[u8; 16]>,
        begun: Instant,
    ) -> Arc<Self> {
        let (told, about) = (AtomicBool::new(false), OnceLock::new());
        Arc::new(Self { who, method, severity, trace, begun, told, about })
    }

    /// The same caller and call, beginning now: for each batch of a stream.
    #[must_use]
    pub fn again(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.who), self.method, self.severity, self.trace, Instant::now())
    }

    /// Who calls.
    #[must_use]
    pub const fn who(&self) -> &Arc<Who> {
        &self.who
    }

    /// Of which trace the call is.
    #[must_use]
    pub const fn trace(&self) -> Option<[u8; 16]> {
        self.trace
    }

    /// Notes what the call is about, `account 7`; the first word counts.
    pub fn is_about(&self, what: impl FnOnce() -> String) {
        self.about.get_or_init(what);
    }

    /// Whether an event that tells of it is in the journal, or on its way there with what it did.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// An event that tells of it is in the journal.
    pub fn was_told(&self) {
        self.told.store(true, Ordering::Release);
    }

    /// An event of this kind that tells of it, as of now.
    #[must_use]
    pub fn event(&self, kind: AuditKind) -> AuditEvent {
        AuditEvent {
            severity: self.severity,
            principal: self.who.principal.clone(),
            address: self.who.address.clone(),
            agent: self.who.agent.clone(),
            entity: self.about.get().cloned().unwrap_or_default(),
            duration_ns: nanoseconds(self.begun.elapsed()),
            trace: self.trace,
            ..AuditEvent::new(kind, self.method)
        }
    }

    /// An event that tells that it made these events.
    pub(crate) fn made(&self, first: Lsn, last: Lsn, count: usize) -> AuditEvent {
        self.told.store(true, Ordering::Release);
        AuditEvent {
            requests: count as u64,
            done: count as u64,
            runs: vec![Run { first, last }],
            ..self.event(AuditKind::Write)
        }
    }
}

/// Whole nanoseconds.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

tokio::task_local! {
    static CURRENT: Arc<Seed>;
}

/// The work of a call, which asks the engine on behalf of this caller. What it spawns is not told of,
/// unless it is a scope of its own.
pub fn scope<F: Future>(seed: Arc<Seed>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(seed, work)
}

/// The call that is being worked on.
#[must_use]
pub fn current() -> Option<Arc<Seed>> {
    CURRENT.try_with(Arc::clone).ok()
}

impl Handle {
    /// Journals these events, in order; durable when it returns. The LSN of the last.
    ///
    /// # Errors
    /// [`RequestError::DiskFull`] and [`RequestError::Stopped`]; nothing of it is journalled then.
    pub async fn audit(&self, events: Vec<AuditEvent>) -> Result<Lsn, RequestError> {
        self.check_disk()?;
        let events = events.into_iter().map(AuditEvent::bounded).collect();
        self.ask(|reply: Reply<Lsn>| Task::Audit { events, reply }).await
    }
}
