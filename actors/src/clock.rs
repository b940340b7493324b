//! The time of decisions: the system's clock, kept from standing still and from going back.
//!
//! Journalled time never goes back ([`ducat_engine::coordinator::Coordinator::time`] sees to
//! that). After a clock that jumped ahead was set right, it would stand still until the true
//! time has come so far, and ids remembered for a day would stay for as long as that. So it
//! goes on at half speed, and the true time catches up. A jump ahead is believed: a clock that
//! is right at last looks the same. Either is said in the log.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Jumps of less are left to the machine's own time keeping, without a word.
const JUMP: Duration = Duration::from_secs(60);

/// The coordinator's clock.
pub(crate) struct Clock {
    last_ns: u64,
    asked: Instant,
    /// The system's clock is known to be behind.
    behind: bool,
}

impl Clock {
    /// A clock that shows no time before `last_ns`, the last journalled one; 0 for none.
    pub fn after(last_ns: u64) -> Self {
        Self { last_ns, asked: Instant::now(), behind: false }
    }

    /// Nanoseconds since the Unix epoch.
    pub fn now_ns(&mut self) -> u64 {
        let asked = Instant::now();
        let passed = nanos(asked - self.asked);
        self.asked = asked;
        self.step(passed, system_ns())
    }

    fn step(&mut self, passed_ns: u64, system_ns: u64) -> u64 {
        let expected_ns = self.last_ns.saturating_add(passed_ns);
        let slow_ns = self.last_ns.saturating_add(passed_ns / 2);
        let jump_ns = nanos(JUMP);
        if system_ns > expected_ns.saturating_add(jump_ns) && self.last_ns > 0 {
            let ahead_s = (system_ns - expected_ns) / 1_000_000_000;
            tracing::warn!(ahead_s, "the clock is ahead of the last event: a pause, or a jump");
        }
        let behind = slow_ns.saturating_sub(system_ns) > jump_ns;
        if behind && !self.behind {
            let behind_s = (slow_ns - system_ns) / 1_000_000_000;
            tracing::warn!(behind_s, "the clock is behind; decisions are dated at half speed");
        }
        self.behind = behind;
        self.last_ns = system_ns.max(slow_ns);
        self.last_ns
    }
}

fn system_ns() -> u64 {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const YEAR: u64 = 365 * 24 * 3_600 * SECOND;

    #[test]
    fn it_follows_the_system() {
        let mut clock = Clock::after(5 * YEAR);
        assert_eq!(clock.step(SECOND, 5 * YEAR + 3 * SECOND), 5 * YEAR + 3 * SECOND);
        assert_eq!(clock.step(SECOND, 6 * YEAR), 6 * YEAR, "a jump ahead is believed");
    }

    #[test]
    fn it_goes_on_at_half_speed_until_the_system_has_caught_up() {
        let mut clock = Clock::after(6 * YEAR);
        let mut last = 0;
        for second in 0..20 {
            let now = clock.step(SECOND, 6 * YEAR - 10 * SECOND + second * SECOND);
            assert!(now > last, "it never stands still");
            last = now;
        }
        assert_eq!(last, 6 * YEAR + 10 * SECOND);
        assert_eq!(clock.step(SECOND, 6 * YEAR + 11 * SECOND), 6 * YEAR + 11 * SECOND);
    }

    #[test]
    fn the_real_one_shows_the_time() {
        let mut clock = Clock::after(0);
        let (one, next) = (clock.now_ns(), clock.now_ns());
        assert!(one > 50 * YEAR && next >= one);
    }
}
