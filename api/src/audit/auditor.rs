//! The auditor at the gate: knows of every call who makes it, and what became of it.
//!
//! A write's event goes into the journal with what it did, by the engine. What writes nothing is told
//! when it is over, by [`Auditor::run`]: many in one append, and nobody waits for it, but for operators'
//! commands, whose answers leave when their events are durable.

use super::calls::{self, Class};
use super::flood::Flood;
use super::masking::Masks;
use crate::identity::{Caller, Role};
use crate::traces::context;
use crate::violation::code_name;
use ducat_actors::audit::{self, Seed, Who};
use ducat_actors::handle::{Handle, RequestError};
use ducat_engine::audit::{
    AuditEvent, AuditKind, AuditOutcome, PRINCIPAL_BYTES_MAX, Severity, WORD_BYTES_MAX,
};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::header::USER_AGENT;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Callers remembered, so that those who are equal are told as one.
const CALLERS_MAX: usize = 4_096;

/// What is looked at of a user agent, in bytes; these are ASCII.
const AGENT_BYTES_MAX: usize = 512;

/// Events that wait to be journalled at most; those beyond are counted as in a flood.
const WAITING_MAX: usize = 4_096;

/// Events in one append.
const APPEND_MAX: usize = 256;

/// How often it is looked whether a window is over.
const TICK: Duration = Duration::from_secs(1);

/// How the trail is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// For how long events are shown.
    pub keep: Duration,
    /// What is masked.
    pub masks: Masks,
}

impl Default for Options {
    /// Seven years, the last one with its leap days.
    fn default() -> Self {
        Self { keep: Duration::from_secs(2_557 * 24 * 3_600), masks: Masks::default() }
    }
}

/// Tells who did what.
pub struct Auditor {
    keep: Duration,
    masks: RwLock<Arc<Masks>>,
    /// By what they say of themselves: masking costs once.
    callers: Mutex<HashMap<Said, Arc<Who>>>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// One append at a time, so that what is told stays in order.
    turn: tokio::sync::Mutex<()>,
    lost: AtomicU64,
}

impl fmt::Debug for Auditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auditor").field("keep", &self.keep).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Waiting {
    events: Vec<AuditEvent>,
    flood: Flood,
}

/// Who calls, before anything is masked.
#[derive(PartialEq, Eq, Hash)]
struct Said {
    names: String,
    agent: String,
    address: Option<IpAddr>,
}

/// One call, as the auditor knows it.
#[derive(Clone)]
pub struct Call {
    auditor: Arc<Auditor>,
    seed: Arc<Seed>,
    class: Class,
    /// A read of somebody with power over the ledger.
    reads_with_power: bool,
}

impl Auditor {
    /// With these options.
    #[must_use]
    pub fn new(options: Options) -> Arc<Self> {
        let Options { keep, masks } = options;
        Arc::new(Self {
            keep,
            masks: RwLock::new(Arc::new(masks)),
            callers: Mutex::default(),
            waiting: Mutex::default(),
            wake: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            lost: AtomicU64::new(0),
        })
    }

    /// For how long events are shown.
    #[must_use]
    pub fn keep(&self) -> Duration {
        self.keep
    }

    /// Masks by these from now on. What is in the trail stays as it was written.
    pub fn remask(&self, masks: Masks) {
        // Whoever is remembered was masked by the ones before: forgotten before anyone is looked up.
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        *self.masks.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(masks);
        callers.clear();
    }

    fn masks(&self) -> Arc<Masks> {
        Arc::clone(&self.masks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls whose events could not be journalled: the disk was full, or the engine had stopped.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One object for everybody who is equal, masked.
    fn who(&self, said: Said) -> Arc<Who> {
        let mut all = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&said) {
            return Arc::clone(known);
        }
        if all.len() >= CALLERS_MAX {
            all.clear();
        }
        let masks = self.masks();
        let who = Arc::new(Who {
            principal: shortened(masks.name(&said.names), PRINCIPAL_BYTES_MAX),
            address: said.address.map(|ip| ip.to_canonical().to_string()).unwrap_or_default(),
            agent: shortened(masks.text(&said.agent), WORD_BYTES_MAX),
        });
        all.insert(said, Arc::clone(&who));
        who
    }

    /// A call that has come through the gate, or was refused there.
    #[must_use]
    pub fn call(
        self: &Arc<Self>,
        path: &str,
        headers: &HeaderMap,
        caller: Option<&Caller>,
        address: Option<IpAddr>,
        begun: Instant,
    ) -> Call {
        let (method, class) = calls::class(path);
        let agent =
            headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let names = caller.map(names_of).unwrap_or_default();
        // Headers are bounded, and what is remembered is bounded closer.
        let agent = agent.get(..AGENT_BYTES_MAX).unwrap_or(agent).to_owned();
        let who = self.who(Said { names, agent, address });
        let changes = matches!(class, Class::Write | Class::Command) && calls::is_operators(path);
        let severity = if changes { Severity::Notice } else { Severity::Info };
        let trace = context::parent(headers).map(|parent| parent.trace);
        let seed = Seed::new(who, method, severity, trace, begun);
        let reads_with_power = class == Class::Read && caller.is_some_and(has_power);
        Call { auditor: Arc::clone(self), seed, class, reads_with_power }
    }

    /// A handshake that failed.
    pub fn handshake_failed(&self, address: Option<IpAddr>, why: &str) {
        self.tell(AuditEvent {
            severity: Severity::Warning,
            outcome: AuditOutcome::Refused,
            address: address.map(|ip| ip.to_canonical().to_string()).unwrap_or_default(),
            reason: "HANDSHAKE_FAILED".to_owned(),
            detail: self.masks().text(why),
            ..AuditEvent::new(AuditKind::Login, "handshake")
        });
    }

    /// Has the event journalled soon, alone or counted with others.
    fn tell(&self, event: AuditEvent) {
        let mut waiting = self.waiting();
        if let Some(event) = waiting.flood.take(event, Instant::now()) {
            waiting.events.push(event);
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// Journals what is told, until the engine has stopped.
    pub async fn run(self: Arc<Self>, handle: Handle) {
        loop {
            let woken = tokio::time::timeout(TICK, self.wake.notified()).await;
            if woken.is_err() {
                let mut waiting = self.waiting();
                let over = waiting.flood.over(Instant::now(), false);
                waiting.events.extend(over);
            }
            if !self.journal(&handle).await {
                return;
            }
        }
    }

    /// Journals everything that was told of so far; for the end.
    pub async fn finish(&self, handle: &Handle) {
        {
            let mut waiting = self.waiting();
            let over = waiting.flood.over(Instant::now(), true);
            waiting.events.extend(over);
        }
        self.journal(handle).await;
    }

    /// Journals what waits. `false` when the engine has stopped.
    async fn journal(&self, handle: &Handle) -> bool {
        let _turn = self.turn.lock().await;
        loop {
            let mut events = std::mem::take(&mut self.waiting().events);
            let rest = events.split_off(events.len().min(APPEND_MAX));
            if events.is_empty() {
                return true;
            }
            let told = handle.audit(events.clone()).await;
            let mut waiting = self.waiting();
            let newer = std::mem::replace(&mut waiting.events, rest);
            match told {
                Ok(_) => waiting.events.extend(newer),
                Err(error) => {
                    events.append(&mut waiting.events);
                    events.extend(newer);
                    let over = events.split_off(events.len().min(WAITING_MAX));
                    let calls: u64 = over.iter().map(|event| event.calls).sum();
                    self.lost.fetch_add(calls, Ordering::Relaxed);
                    waiting.events = events;
                    let stopped = matches!(error, RequestError::Stopped(_));
                    if !stopped {
                        tracing::warn!(%error, "the audit trail must wait");
                    }
                    return !stopped;
                }
            }
        }
    }
}

impl Call {
    /// Whether it does something else than to read or to write to the journal.
    #[must_use]
    pub fn is_command(&self) -> bool {
        self.class == Class::Command
    }

    /// Notes what the call is about; the first word counts.
    pub fn is_about(&self, what: impl FnOnce() -> String) {
        self.seed.is_about(what);
    }

    /// The same of a name that the caller has chosen: masked.
    pub fn is_about_name(&self, what: &str, name: &str) {
        let masks = self.auditor.masks();
        self.seed.is_about(|| shortened(format!("{what} {}", masks.name(name)), WORD_BYTES_MAX));
    }

    /// Journals that the call was made, and about what, durably, before what it answers with may leave. It is
    /// told of once.
    ///
    /// # Errors
    /// [`RequestError`]; then it is not told of yet.
    pub async fn tell_first(&self, handle: &Handle, entity: String) -> Result<(), RequestError> {
        let event = AuditEvent { entity, ..self.seed.event(AuditKind::Command) };
        handle.audit(vec![event]).await?;
        self.seed.was_told();
        Ok(())
    }

    /// A call that this one makes on behalf of several persons: from where this one came, in its trace.
    #[must_use]
    pub fn on_behalf_of(&self, path: &str, caller: &Caller) -> Self {
        let (method, class) = calls::class(path);
        let principal = self.auditor.masks().name(&names_of(caller));
        let principal = shortened(principal, PRINCIPAL_BYTES_MAX);
        let who = Arc::new(Who { principal, ..Who::clone(self.seed.who()) });
        let trace = self.seed.trace();
        let seed = Seed::new(who, method, Severity::Notice, trace, Instant::now());
        Self { auditor: Arc::clone(&self.auditor), seed, class, reads_with_power: false }
    }

    /// The call's work, on whose behalf the engine is asked.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        audit::scope(Arc::clone(&self.seed), work)
    }

    /// A batch of a stream, each a call of its own.
    pub fn batch<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        audit::scope(self.seed.again(), work)
    }

    /// The same, refused: it did nothing.
    pub fn batch_refused(&self, code: Code, reason: &str, sentence: &str) {
        let kind = match code {
            Code::PermissionDenied => AuditKind::Denied,
            _ => AuditKind::Write,
        };
        self.auditor.tell(self.refused(kind, code, reason, sentence));
    }

    /// The call was refused at the gate, with these headers.
    pub fn refused_at_gate(&self, headers: &HeaderMap) {
        let Some(status) = Status::from_header_map(headers) else { return };
        let kind = match status.code() {
            Code::Unauthenticated => AuditKind::Login,
            _ => AuditKind::Denied,
        };
        self.auditor.tell(self.of_status(kind, &status));
    }

    /// The call is over, and its answer has these headers. What is to be told is; an operator's command
    /// waits until that is durable.
    pub async fn over(&self, headers: &HeaderMap, handle: &Handle) {
        let status = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok);
        let event = match (&status, self.class) {
            (Some(status), _) if status.code() == Code::Unauthenticated => {
                self.of_status(AuditKind::Login, status)
            }
            (Some(status), _) if status.code() == Code::PermissionDenied => {
                self.of_status(AuditKind::Denied, status)
            }
            (_, Class::Write | Class::Command) if self.seed.is_told() => return,
            (Some(status), Class::Write) => self.of_status(AuditKind::Write, status),
            (Some(status), Class::Command) => self.of_status(AuditKind::Command, status),
            (Some(status), Class::Read) if self.reads_with_power => {
                self.of_status(AuditKind::Read, status)
            }
            (None, Class::Write) => self.seed.event(AuditKind::Write),
            (None, Class::Command) => self.seed.event(AuditKind::Command),
            (None, Class::Read) if self.reads_with_power => self.seed.event(AuditKind::Read),
            (_, Class::Read | Class::Free) => return,
        };
        if event.kind != AuditKind::Command {
            return self.auditor.tell(event);
        }
        if let Err(error) = handle.audit(vec![event.clone()]).await {
            // A full disk refuses it: it waits like all others, until there is room.
            tracing::warn!(%error, "an operator's command must wait for the audit trail");
            self.auditor.tell(event);
        }
    }

    fn of_status(&self, kind: AuditKind, status: &Status) -> AuditEvent {
        let info = status.get_details_error_info();
        let reason = info.map(|info| info.reason).unwrap_or_default();
        self.refused(kind, status.code(), &reason, status.message())
    }

    fn refused(&self, kind: AuditKind, code: Code, reason: &str, sentence: &str) -> AuditEvent {
        let event = self.seed.event(kind);
        let failed = matches!(
            code,
            Code::Internal
                | Code::Unknown
                | Code::DataLoss
                | Code::Unavailable
                | Code::DeadlineExceeded
        );
        let is_fault = matches!(code, Code::Internal | Code::Unknown | Code::DataLoss);
        let severity = match kind {
            AuditKind::Login | AuditKind::Denied => Severity::Warning,
            _ if is_fault => Severity::Error,
            _ => Severity::Notice,
        };
        let reason = if reason.is_empty() { code_name(code).to_owned() } else { reason.to_owned() };
        AuditEvent {
            severity: severity.max(event.severity),
            outcome: if failed { AuditOutcome::Failed } else { AuditOutcome::Refused },
            reason,
            detail: self.auditor.masks().text(sentence),
            ..event
        }
    }
}

fn names_of(caller: &Caller) -> String {
    match caller.grants() {
        [one] => one.name.clone(),
        several => {
            let names: Vec<&str> = several.iter().map(|grant| grant.name.as_str()).collect();
            names.join(" with ")
        }
    }
}

/// Whether somebody looks after the ledger, or checks it.
fn has_power(caller: &Caller) -> bool {
    let powerful = |role: &Role| matches!(role, Role::Operator | Role::Auditor | Role::Admin);
    caller.grants().iter().any(|grant| grant.roles.iter().any(powerful))
}

fn shortened(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate((0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
    }
    text
}
