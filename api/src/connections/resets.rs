//! Calls that a client opens and gives up at once ("rapid reset"): the server begins each and nobody waits for it.
//! Giving up is honest (a deadline was over, another server was faster), so who does it may, as long as at least as
//! many of its calls are left to end.
//!
//! ```text
//! HEADERS ─▶ a call: earns        RST_STREAM ─▶ opened since the moment looked back to? ─ no ─▶ free
//!                                                     └ yes: given up at once ─▶ costs what two calls earn
//! ```
//!
//! A moment is noted with the first reset in [`SINCE`] that asks for one. So whoever gives up all open calls together, and
//! whoever does after a time that is worth speaking of, does so for nothing, and no time has to be kept for each call.

use super::frames::Flood;
use std::time::{Duration, Instant};

/// Calls given up at once that are let pass, beyond those that others pay for.
const AT_FIRST: i64 = 100;

/// What is given for each second, up to [`AT_FIRST`].
const PER_S: u32 = 10;

/// More than this is not kept, however many calls there were.
const MOST: i64 = 10_000;

/// What giving up costs: what its own call has earned, and another one.
const RESET: i64 = 2;

/// For how long a moment is looked back to.
const SINCE: Duration = Duration::from_millis(100);

/// How long it takes until all of [`AT_FIRST`] was given.
const FULL_AFTER: Duration = Duration::from_secs(AT_FIRST as u64 / PER_S as u64);

/// The calls of one connection, and how many of them were given up at once.
#[derive(Debug)]
pub(super) struct Resets {
    balance: i64,
    given: Instant,
    /// The highest stream that was opened.
    opened: u32,
    /// The same at the moment looked back to, and when that was.
    before: (u32, Instant),
}

impl Resets {
    /// Of a connection that begins.
    pub fn new(now: Instant) -> Self {
        Self { balance: AT_FIRST, given: now, opened: 0, before: (0, now) }
    }

    /// Headers came on this stream: of a call, unless it is open.
    pub fn headers(&mut self, stream: u32) {
        if stream > self.opened {
            self.opened = stream;
            self.balance = (self.balance + 1).min(MOST);
        }
    }

    /// This stream was reset.
    ///
    /// # Errors
    /// [`Flood`]: most calls of this connection are given up at once.
    pub fn reset(&mut self, stream: u32, now: impl Fn() -> Instant) -> Result<(), Flood> {
        let (before, then) = self.before;
        if stream <= before || stream > self.opened {
            return Ok(());
        }
        let now = now();
        if now.saturating_duration_since(then) >= SINCE {
            self.before = (self.opened, now);
            return Ok(());
        }
        self.balance -= RESET;
        if self.balance < 0 {
            let passed = now.saturating_duration_since(self.given).min(FULL_AFTER);
            self.given = now;
            self.balance += (passed * PER_S).as_secs().cast_signed();
        }
        if self.balance < 0 { Err(Flood) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens so many more calls, and gives the streams of them.
    fn open(resets: &mut Resets, count: u32) -> Vec<u32> {
        let first = resets.opened + 1 + resets.opened % 2;
        let streams: Vec<u32> = (0..count).map(|nth| first + 2 * nth).collect();
        streams.iter().for_each(|stream| resets.headers(*stream));
        streams
    }

    /// How many calls one after another may be given up at once, of so many, `each` apart.
    fn given_up(resets: &mut Resets, begun: Instant, each: Duration, most: u32) -> u32 {
        let mut now = begun;
        for nth in 0..most {
            let stream = open(resets, 1)[0];
            if resets.reset(stream, || now).is_err() {
                return nth;
            }
            now += each;
        }
        most
    }

    #[test]
    fn who_gives_up_call_after_call_comes_to_an_end() {
        let now = Instant::now();
        let at_once = given_up(&mut Resets::new(now), now, Duration::ZERO, 10_000);
        assert_eq!(at_once, 100);
        // 1,000 a second: what comes with time does not pay for them.
        let slower = given_up(&mut Resets::new(now), now, Duration::from_millis(1), 10_000);
        assert!((100..=120).contains(&slower), "{slower}");
        // 8 a second for ever.
        let few = given_up(&mut Resets::new(now), now, Duration::from_millis(125), 10_000);
        assert_eq!(few, 10_000);
        let mut rested = Resets::new(now);
        assert_eq!(given_up(&mut rested, now, Duration::ZERO, 10_000), 100);
        let later = now + Duration::from_secs(1 << 20);
        let again = given_up(&mut rested, later, Duration::ZERO, 10_000);
        assert!((95..=105).contains(&again), "no more than at first: {again}");
    }

    #[test]
    fn calls_that_end_pay_for_those_that_do_not() {
        let now = Instant::now();
        let mut hedging = Resets::new(now);
        for nth in 0..100_000 {
            let two = open(&mut hedging, 2);
            assert!(hedging.reset(two[0], || now).is_ok(), "in {nth}");
        }
        let mut worked = Resets::new(now);
        open(&mut worked, 1_000_000);
        let left = given_up(&mut worked, now, Duration::ZERO, 1_000_000);
        assert!(i64::from(left) <= MOST, "{left}");
        let mut mostly = Resets::new(now);
        let end = (0..10_000).find(|_| {
            let three = open(&mut mostly, 3);
            three[..2].iter().any(|stream| mostly.reset(*stream, || now).is_err())
        });
        assert!(end.is_some(), "two of three");
    }

    #[test]
    fn what_was_worked_on_for_a_while_is_given_up_for_nothing() {
        let mut now = Instant::now();
        let mut resets = Resets::new(now);
        for _ in 0..1_000 {
            let all = open(&mut resets, 250);
            // All deadlines are over together.
            now += SINCE;
            for stream in all {
                assert!(resets.reset(stream, || now).is_ok());
            }
        }
        assert_eq!(resets.balance, MOST);
        // Each is over a second after its own call, a thousand a second.
        let mut rolling = Resets::new(now);
        let mut streams = open(&mut rolling, 1_000).into_iter();
        now += Duration::from_secs(1);
        for _ in 0..100_000 {
            let stream = streams.next().unwrap_or_else(|| rolling.opened - 1_998);
            assert!(rolling.reset(stream, || now).is_ok());
            open(&mut rolling, 1);
            now += Duration::from_millis(1);
        }
    }

    #[test]
    fn headers_of_an_open_stream_are_no_call() {
        let now = Instant::now();
        let mut resets = Resets::new(now);
        for _ in 0..1_000 {
            resets.headers(1);
        }
        assert_eq!(resets.balance, AT_FIRST + 1);
    }
}
