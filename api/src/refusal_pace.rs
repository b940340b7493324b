//! When a refusal leaves. Refusing costs both ends some ten microseconds, and whoever is
//! refused at once asks again at once: beyond a certain load a server would do nothing but
//! refuse. So the first thousands of a second leave at once and those beyond wait for their
//! turn, while what they asked for is not read further, and their clients ask less.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Time from one refusal to the next, when there are more of them: 5,000 a second.
const EACH: Duration = Duration::from_micros(200);

/// So many may leave at once after a quiet time.
const BURST: u64 = 1000;

/// No refusal waits longer, nor longer than half of what its deadline leaves.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The turns given out so far.
#[derive(Debug)]
pub(crate) struct RefusalPace {
    origin: Instant,
    /// The next turn, nanoseconds from the origin.
    next_ns: AtomicU64,
    /// Places to wait in. They are none of those that calls take: whoever is refused must not keep out who
    /// would be served.
    waiting: Arc<Semaphore>,
}

/// When a refusal leaves, and its place until then.
#[derive(Debug)]
pub(crate) struct Turn {
    pub at: Instant,
    pub _place: OwnedSemaphorePermit,
}

impl RefusalPace {
    /// So many refusals may wait at a time.
    pub fn new(waiting_max: usize) -> Self {
        let waiting = Arc::new(Semaphore::new(waiting_max.min(Semaphore::MAX_PERMITS)));
        Self { origin: Instant::now(), next_ns: AtomicU64::new(0), waiting }
    }

    /// When a refusal decided `now` leaves; at once where nothing is said, as too many wait.
    pub fn turn(&self, now: Instant, deadline: Option<Instant>) -> Option<Turn> {
        let place = self.waiting.clone().try_acquire_owned().ok()?;
        Some(Turn { at: self.moment(now, deadline), _place: place })
    }

    fn moment(&self, now: Instant, deadline: Option<Instant>) -> Instant {
        let at = |moment: Instant| {
            let since = moment.saturating_duration_since(self.origin);
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        };
        let each = EACH.as_nanos() as u64;
        let (now_ns, latest_ns) = (at(now), at(now + WAIT_MAX));
        let earliest_ns = now_ns.saturating_sub(BURST * each);
        let step = |next: u64| Some((next.max(earliest_ns) + each).min(latest_ns));
        let before = self.next_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        let turn_ns = before.unwrap_or_else(|unchanged| unchanged).max(now_ns);
        let wait = Duration::from_nanos(turn_ns - now_ns).min(WAIT_MAX);
        match deadline {
            None => now + wait,
            Some(end) => now + wait.min(end.saturating_duration_since(now) / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_leave_at_once_and_the_others_one_after_the_other() {
        let pace = RefusalPace::new(0);
        let now = pace.origin + Duration::from_secs(100);
        for _ in 0..=BURST {
            assert_eq!(pace.moment(now, None), now);
        }
        assert_eq!(pace.moment(now, None), now + EACH);
        assert_eq!(pace.moment(now, None), now + 2 * EACH);
        assert_eq!(pace.moment(now + 2 * EACH, None), now + 3 * EACH, "time goes on");
        for _ in 0..100_000 {
            assert!(pace.moment(now, None) <= now + WAIT_MAX);
        }
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.moment(later, None), later, "a flood is forgotten");
    }

    #[test]
    fn no_more_wait_than_there_are_places() {
        let pace = RefusalPace::new(2);
        let now = pace.origin + Duration::from_secs(100);
        let first = pace.turn(now, None).expect("a place");
        let second = pace.turn(now, None).expect("another");
        assert!(pace.turn(now, None).is_none(), "leaves at once");
        drop(first);
        let third = pace.turn(now, None).expect("the first has left");
        assert!(third.at >= second.at);
    }

    #[test]
    fn none_waits_longer_than_half_of_what_its_deadline_leaves() {
        let pace = RefusalPace::new(0);
        let now = pace.origin + Duration::from_secs(100);
        for _ in 0..100_000 {
            pace.moment(now, None);
        }
        let deadline = Some(now + Duration::from_millis(100));
        assert_eq!(pace.moment(now, deadline), now + Duration::from_millis(50));
        assert_eq!(pace.moment(now, Some(now)), now);
    }
}
