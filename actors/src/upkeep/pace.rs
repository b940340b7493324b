//! What the threads of the upkeep share: holding work back, and knowing when to end.

use crate::admission::Shared;
use std::time::{Duration, Instant, SystemTime};

/// Holds work back to so many bytes in a second.
pub(super) struct Pace {
    since: Instant,
    bytes: u64,
    most: u64,
}

impl Pace {
    pub fn new(most: u64) -> Self {
        Self { since: Instant::now(), bytes: 0, most }
    }

    pub fn hold(&mut self, bytes: u64, stop: impl Fn() -> bool) {
        self.bytes += bytes;
        #[allow(clippy::cast_precision_loss)]
        let due = Duration::from_secs_f64(self.bytes as f64 / self.most.max(1) as f64);
        while !stop() && self.since.elapsed() < due {
            let left = due.saturating_sub(self.since.elapsed());
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// Whether the engine ends or has failed.
pub(super) fn is_over(shared: &Shared) -> bool {
    shared.is_stopping() || shared.stopped.borrow().is_some()
}

/// Now, in nanoseconds since 1970.
pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
