//! How long a transfer that comes now would wait for the coordinator: the measure by which
//! the door refuses what would only expire.
//!
//! ```text
//! door ─ arrive ─▶ queue ─▶ gather: leave ─▶ Pace::gathered ─▶ time for each transfer
//!   ▲ delay = the larger of: age of the head, transfers waiting × time for each
//!   └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! The age of the head tells of a stall at once, but of a flood too late: by the time the
//! head is old, ten times as much may stand behind it. What waits times the time for each
//! tells of a flood at once, but has to be learned. Neither is exact; both cost a request a
//! few atomics and a transfer nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long the coordinator is watched, while it does not keep up, before its pace counts.
const WINDOW: Duration = Duration::from_millis(50);

/// What waits for the coordinator.
pub(crate) struct Backlog {
    origin: Instant,
    /// Transfers in the queue.
    waiting: AtomicUsize,
    /// When the head of the queue came or earlier, in nanoseconds from the origin.
    head_ns: AtomicU64,
    /// Time the coordinator took for each transfer when it last did not keep up.
    each_ns: AtomicU64,
    /// Told whenever some have left.
    left: Notify,
    closed: AtomicBool,
}

impl Backlog {
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            waiting: AtomicUsize::new(0),
            head_ns: AtomicU64::new(0),
            each_ns: AtomicU64::new(0),
            left: Notify::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// So many transfers are about to be queued.
    pub fn arrive(&self, transfers: usize, now: Instant) {
        // Before the count, so that nobody sees a queue with the head of an earlier one.
        if self.waiting.load(Ordering::SeqCst) == 0 {
            self.head_ns.fetch_max(self.at(now), Ordering::SeqCst);
        }
        self.waiting.fetch_add(transfers, Ordering::SeqCst);
    }

    /// So many transfers, which came at `arrived`, were taken from the queue.
    pub fn leave(&self, transfers: usize, arrived: Instant) {
        self.head_ns.fetch_max(self.at(arrived), Ordering::SeqCst);
        self.waiting.fetch_sub(transfers, Ordering::SeqCst);
    }

    /// How long what comes now would wait, roughly. Nothing when nothing waits.
    pub fn delay(&self, now: Instant) -> Duration {
        let waiting = self.waiting.load(Ordering::SeqCst) as u64;
        if waiting == 0 || self.closed.load(Ordering::SeqCst) {
            return Duration::ZERO;
        }
        let age = self.at(now).saturating_sub(self.head_ns.load(Ordering::SeqCst));
        let work = waiting.saturating_mul(self.each_ns.load(Ordering::Relaxed));
        Duration::from_nanos(age.max(work))
    }

    /// Waits until what comes then would wait for `bound` at most.
    pub async fn falls_to(&self, bound: Duration) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            // Listens before it looks, so that no word in between is missed.
            left.as_mut().enable();
            if self.delay(Instant::now()) <= bound {
                return;
            }
            left.await;
        }
    }

    /// Nothing waits here any more: the engine has stopped. Who waited goes on to be told.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.left.notify_waiters();
    }

    fn at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The coordinator's own notes on how fast it works off what waits.
#[derive(Default)]
pub(crate) struct Pace {
    /// Since when it has not kept up, and what it has done since.
    behind: Option<(Instant, usize)>,
    in_work: usize,
}

impl Pace {
    /// The coordinator has just taken so many transfers, and has done those it took before.
    pub fn gathered(&mut self, transfers: usize, now: Instant, backlog: &Backlog) {
        let before = backlog.each_ns.load(Ordering::Relaxed);
        if let Some((since, done)) = &mut self.behind {
            *done += self.in_work;
            let took = now.saturating_duration_since(*since);
            if took >= WINDOW && *done > 0 {
                let each = took.as_nanos() as u64 / *done as u64;
                let mixed = if before == 0 { each } else { before.midpoint(each) };
                backlog.each_ns.store(mixed, Ordering::Relaxed);
                (*since, *done) = (now, 0);
            }
        }
        if backlog.waiting.load(Ordering::SeqCst) == 0 {
            // It keeps up. What was learned in worse times must not outlive them.
            self.behind = None;
            backlog.each_ns.store(before / 2, Ordering::Relaxed);
        } else if self.behind.is_none() {
            self.behind = Some((now, 0));
        }
        self.in_work = transfers;
        backlog.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_waits_nothing_is_late() {
        let backlog = Backlog::new();
        let now = backlog.origin + 10_000 * MS;
        assert_eq!(backlog.delay(now), Duration::ZERO);
        backlog.arrive(5, now);
        assert_eq!(backlog.delay(now), Duration::ZERO, "an idle time is no delay");
        assert_eq!(backlog.delay(now + 3 * MS), 3 * MS);
        backlog.leave(5, now);
        assert_eq!(backlog.delay(now + 9 * MS), Duration::ZERO);
    }

    #[test]
    fn the_head_tells_of_a_stall() {
        let backlog = Backlog::new();
        let start = backlog.origin;
        for at in [0, 10, 20] {
            backlog.arrive(1, start + at * MS);
        }
        assert_eq!(backlog.delay(start + 100 * MS), 100 * MS);
        backlog.leave(1, start);
        backlog.leave(1, start + 10 * MS);
        assert_eq!(backlog.delay(start + 100 * MS), 90 * MS, "not before its predecessor");
    }

    #[test]
    fn the_pace_tells_of_a_flood_and_is_forgotten_when_it_is_over() {
        let backlog = Backlog::new();
        let (start, mut pace) = (backlog.origin, Pace::default());
        backlog.arrive(1_000, start);
        // Takes 100 at a time and 10 ms for them.
        for turn in 0..8 {
            backlog.leave(100, start + turn * 10 * MS);
            pace.gathered(100, start + turn * 10 * MS, &backlog);
        }
        let now = start + 70 * MS;
        assert_eq!(backlog.delay(now), 20 * MS, "200 wait, 0.1 ms each");
        backlog.arrive(10_000, now);
        assert_eq!(backlog.delay(now), 1_020 * MS, "none of them is old yet");
        backlog.leave(10_200, now);
        for _ in 0..20 {
            pace.gathered(1, now, &backlog);
        }
        backlog.arrive(10_000, now);
        assert_eq!(backlog.delay(now), Duration::ZERO);
    }

    #[tokio::test]
    async fn who_waits_for_it_to_fall_is_told() {
        let backlog = Backlog::new();
        let came = Instant::now();
        backlog.arrive(1, came);
        tokio::time::sleep(2 * MS).await;
        let mut fallen = std::pin::pin!(backlog.falls_to(MS));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(fallen.as_mut().poll(&mut context).is_pending());
        backlog.leave(1, came);
        Pace::default().gathered(1, Instant::now(), &backlog);
        fallen.await;
    }
}
