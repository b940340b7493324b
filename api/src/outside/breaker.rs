//! A circuit breaker: after some failures in a row a dependency is left alone for a while, then
//! tried by one call, and taken into use again when that succeeds.
//!
//! The states are those of the crate `failsafe`, the growing pauses those of `backon`; here they get
//! a name, are counted and can be looked at.

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use failsafe::failure_policy::{self, ConsecutiveFailures};
use failsafe::{Instrument, StateMachine};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRules {
    /// So many failures in a row open it; at least 1.
    pub failures_max: u32,
    /// How long it stays open at first: so long to twice as long, by chance.
    pub open_min: Duration,
    /// How long it stays open when nothing helps: so long to twice as long. Not less than `open_min`.
    pub open_max: Duration,
}

/// Whether a dependency is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is left alone.
    Open,
    /// It is tried.
    HalfOpen,
}

impl BreakerState {
    /// All of them, by their names in status and metrics.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Its name: `closed`, `open`, `half-open`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What was counted of a dependency since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerFigures {
    /// Whether it is used now.
    pub state: BreakerState,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Calls that were not made because it was open.
    pub rejected: u64,
    /// How often it was opened.
    pub opened: u64,
}

/// Why a call brought nothing.
#[derive(Debug)]
pub enum Broken<E> {
    /// It was not made: the breaker is open.
    Open,
    /// It failed.
    Failed(E),
}

/// How long it stays open, time by time. A clone begins anew: that is what the state machine clones
/// it for.
#[derive(Debug)]
struct Pauses {
    builder: ExponentialBuilder,
    running: ExponentialBackoff,
}

impl Clone for Pauses {
    fn clone(&self) -> Self {
        Self { builder: self.builder, running: self.builder.build() }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.running.next()
    }
}

/// What the state machine tells of itself.
#[derive(Debug, Default)]
struct Seen {
    state: AtomicU8,
    rejected: AtomicU64,
    opened: AtomicU64,
}

/// Its counters, shared with those who look.
#[derive(Clone, Debug)]
struct Watcher(Arc<Seen>);

impl Instrument for Watcher {
    fn on_call_rejected(&self) {
        self.0.rejected.fetch_add(1, Ordering::Relaxed);
    }

    fn on_open(&self) {
        self.0.state.store(BreakerState::Open as u8, Ordering::Release);
        self.0.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn on_half_open(&self) {
        self.0.state.store(BreakerState::HalfOpen as u8, Ordering::Release);
    }

    fn on_closed(&self) {
        self.0.state.store(BreakerState::Closed as u8, Ordering::Release);
    }
}

/// The breaker before one dependency. Its calls are made one at a time, so that a half-open one is
/// tried by one call alone.
pub struct Breaker {
    name: &'static str,
    machine: StateMachine<ConsecutiveFailures<Pauses>, Watcher>,
    turn: Mutex<()>,
    seen: Arc<Seen>,
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.name).field("seen", &self.seen).finish()
    }
}

impl Breaker {
    /// A closed one. The name is a label of metrics.
    ///
    /// # Panics
    /// When the rules are out of their ranges.
    #[must_use]
    pub fn new(name: &'static str, rules: BreakerRules) -> Arc<Self> {
        assert!(rules.failures_max > 0 && !rules.open_min.is_zero(), "{rules:?}");
        assert!(rules.open_max >= rules.open_min, "{rules:?}");
        let seen = Arc::<Seen>::default();
        let pauses = ExponentialBuilder::new()
            .with_min_delay(rules.open_min)
            .with_max_delay(rules.open_max)
            .without_max_times()
            .with_jitter();
        let pauses = Pauses { builder: pauses, running: pauses.build() };
        let policy = failure_policy::consecutive_failures(rules.failures_max, pauses);
        let machine = StateMachine::new(policy, Watcher(Arc::clone(&seen)));
        let (succeeded, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { name, machine, turn: Mutex::new(()), seen, succeeded, failed })
    }

    /// What it stands before.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Makes a call unless it is open. A call that is dropped before its end counts as nothing.
    ///
    /// # Errors
    /// [`Broken`].
    pub async fn call<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Broken<E>> {
        let _turn = self.turn.lock().await;
        if !self.machine.is_call_permitted() {
            return Err(Broken::Open);
        }
        match work.await {
            Ok(done) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                self.machine.on_success();
                Ok(done)
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.machine.on_error();
                Err(Broken::Failed(error))
            }
        }
    }

    /// How it does.
    #[must_use]
    pub fn figures(&self) -> BreakerFigures {
        let state = match self.seen.state.load(Ordering::Acquire) {
            0 => BreakerState::Closed,
            1 => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BreakerFigures {
            state,
            succeeded: count(&self.succeeded),
            failed: count(&self.failed),
            rejected: count(&self.seen.rejected),
            opened: count(&self.seen.opened),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough that no test sees the end of an open breaker, or so short that it is over at once.
    fn breaker(open_min: Duration) -> Arc<Breaker> {
        let rules = BreakerRules { failures_max: 3, open_min, open_max: open_min };
        Breaker::new("a dependency", rules)
    }

    async fn fail(breaker: &Breaker) -> bool {
        match breaker.call(async { Err::<(), _>("no") }).await {
            Err(Broken::Failed("no")) => true,
            Err(Broken::Open) => false,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn failures_in_a_row_open_it_and_nothing_is_called_while_it_is_open() {
        let breaker = breaker(Duration::from_secs(3600));
        for _ in 0..2 {
            assert!(fail(&breaker).await);
        }
        breaker.call(async { Ok::<_, ()>(()) }).await.expect("closed");
        // Not in a row: the count begins anew.
        for _ in 0..3 {
            assert_eq!(breaker.figures().state, BreakerState::Closed);
            assert!(fail(&breaker).await);
        }
        assert_eq!(breaker.figures().state, BreakerState::Open);
        assert!(!fail(&breaker).await);
        let figures = breaker.figures();
        assert_eq!((figures.succeeded, figures.failed), (1, 5));
        assert_eq!((figures.rejected, figures.opened), (1, 1));
    }

    #[tokio::test]
    async fn an_open_one_is_tried_once_its_pause_is_over() {
        let breaker = breaker(Duration::from_nanos(2));
        for _ in 0..3 {
            assert!(fail(&breaker).await);
        }
        // Tried, and found as bad as before.
        while !fail(&breaker).await {}
        assert_eq!(breaker.figures().state, BreakerState::Open);
        assert_eq!(breaker.figures().opened, 2);
        // Tried, and used again.
        while breaker.call(async { Ok::<_, ()>(()) }).await.is_err() {}
        assert_eq!(breaker.figures().state, BreakerState::Closed);
        assert!(fail(&breaker).await, "one failure does not open it");
        assert_eq!(breaker.figures().state, BreakerState::Closed);
    }
}
