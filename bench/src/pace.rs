//! When to send: the closed loop sends as soon as an answer is there, the open loop at the
//! moments of a [`Schedule`] whatever the answers do. With the open loop latency counts from
//! the intended moment, so a stall of the server shows in every request that was due meanwhile
//! (no coordinated omission).

use ducat_api::client::ConcurrencyLimit;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

/// How long before a moment the pacing thread stops sleeping, so as not to oversleep.
const WAKE_EARLY: Duration = Duration::from_micros(60);

/// Moments that are nearer to each other than half of this are given out together: waking up the pacing thread, the
/// client's and the server's for each of ten thousand requests a second would take more of the machine than
/// the requests do. Latency counts from each one's own moment all the same.
const TICK: Duration = Duration::from_millis(1);

/// One rate held for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// For how long.
    pub length: Duration,
    /// Requests a second, above 0.
    pub requests_per_s: f64,
}

/// What an open loop offers: rates one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// In order.
    pub steps: Vec<Step>,
}

impl Schedule {
    /// When the requests of client thread `thread` of `threads` are due, from the start on.
    /// Threads take turns, so that together they send evenly.
    fn moments(self, thread: usize, threads: usize) -> impl Iterator<Item = Duration> {
        let turn = thread as f64 / threads as f64;
        let mut begin = Duration::ZERO;
        self.steps.into_iter().flat_map(move |step| {
            let interval_ns = 1e9 * threads as f64 / step.requests_per_s;
            let from = begin;
            begin += step.length;
            (0u64..)
                .map(move |i| Duration::from_nanos(((i as f64 + turn) * interval_ns) as u64))
                .take_while(move |after| *after < step.length)
                .map(move |after| from + after)
        })
    }
}

/// One client thread's source of sending moments, shared by its workers.
pub enum Pace {
    /// At once, until the end or until the transfers are used up.
    Closed {
        /// The end.
        until: Instant,
        /// Transfers left to send, shared by all threads; `None` for no limit.
        left: Option<Arc<AtomicI64>>,
        /// Transfers in a batch.
        batch: usize,
    },
    /// At the moments the pacing thread sends.
    Open {
        /// Due moments; whoever is free takes the next.
        due: Mutex<mpsc::UnboundedReceiver<Instant>>,
        /// Transfers in a batch.
        batch: usize,
        /// After this nothing is sent any more, however much is due.
        give_up: Instant,
        /// What was due.
        offers: Arc<Offers>,
    },
}

/// What a pacing thread offered, and what of it nobody was free to send.
#[derive(Debug)]
pub struct Offers {
    /// Second 0 of the counts begins here.
    from: Instant,
    seconds: std::sync::Mutex<Vec<Offer>>,
    /// Requests on their way.
    outstanding: AtomicUsize,
    /// The most there may be; what is due beyond is shed. `None`: it waits.
    outstanding_max: Option<usize>,
    /// Those of the connections, where they hold back; and the one that was asked last.
    limits: Vec<Arc<ConcurrencyLimit>>,
    asked: AtomicUsize,
}

/// Connections that are asked for room before a request is held back. More would take the time of what is
/// sent, when none has any.
const ASKED: usize = 4;

/// A few of so many connections, each time the next ones.
pub fn few_of(connections: usize, asked: &AtomicUsize) -> impl Iterator<Item = usize> {
    (0..ASKED).map(move |_| asked.fetch_add(1, Ordering::Relaxed) % connections)
}

/// One second's requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offer {
    /// Due.
    pub due: u64,
    /// Of them not sent, because as many as may be, or as the server answers, were on their way.
    pub shed: u64,
}

impl Offers {
    /// Nothing yet; counts seconds after `from`.
    pub fn new(from: Instant, outstanding_max: Option<usize>) -> Self {
        Self {
            from,
            seconds: std::sync::Mutex::default(),
            outstanding: AtomicUsize::new(0),
            outstanding_max,
            limits: Vec::new(),
            asked: AtomicUsize::new(0),
        }
    }

    /// Those of connections that hold back.
    pub fn within(self, limits: Vec<Arc<ConcurrencyLimit>>) -> Self {
        Self { limits, ..self }
    }

    /// Whether some connection has room, as far as a few of them say.
    fn has_room(&self) -> bool {
        self.limits.is_empty()
            || few_of(self.limits.len(), &self.asked).any(|next| self.limits[next].has_room())
    }

    /// Counts a request that is due now; false when it must not be sent.
    fn admit(&self, due: Instant) -> bool {
        let full = self
            .outstanding_max
            .is_some_and(|most| self.outstanding.load(Ordering::Relaxed) >= most)
            || !self.has_room();
        if !full {
            self.outstanding.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(after) = due.checked_duration_since(self.from) {
            let second = after.as_secs() as usize;
            let mut seconds = self.seconds.lock().unwrap_or_else(|e| e.into_inner());
            if seconds.len() <= second {
                seconds.resize(second + 1, Offer::default());
            }
            seconds[second].due += 1;
            seconds[second].shed += u64::from(full);
        }
        !full
    }

    /// Counts a request that was due and let in, and was not sent all the same.
    fn shed(&self, due: Instant) {
        let mut seconds = self.seconds.lock().unwrap_or_else(|e| e.into_inner());
        let after = due.checked_duration_since(self.from);
        if let Some(second) = after.and_then(|after| seconds.get_mut(after.as_secs() as usize)) {
            second.shed += 1;
        }
    }

    /// What was offered in each second.
    pub fn seconds(&self) -> Vec<Offer> {
        self.seconds.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

impl Pace {
    /// Waits for the next moment; says when it was due and how many transfers to send.
    /// `None` at the end.
    pub async fn next(&self) -> Option<(Instant, usize)> {
        match self {
            Self::Closed { until, left, batch } => {
                let now = Instant::now();
                if now >= *until {
                    return None;
                }
                let Some(left) = left else { return Some((now, *batch)) };
                let before = left.fetch_sub(*batch as i64, Ordering::Relaxed);
                (before > 0).then(|| (now, (*batch).min(before as usize)))
            }
            Self::Open { due, batch, give_up, .. } => {
                let mut due = due.lock().await;
                if Instant::now() >= *give_up {
                    return None;
                }
                Some((due.recv().await?, *batch))
            }
        }
    }

    /// Counts the end of a request that [`Self::next`] had given out.
    pub fn ended(&self) {
        if let Self::Open { offers, .. } = self {
            offers.outstanding.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts a request that [`Self::next`] had given out and that is not sent, as its connection has as many
    /// on their way as the server answers.
    pub fn held_back(&self, due: Instant) {
        if let Self::Open { offers, .. } = self {
            offers.shed(due);
        }
        self.ended();
    }

    /// Whether latency counts from the due moment.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// What was offered, and how many requests were due and are not sent any more.
    pub async fn offered(&self) -> (Vec<Offer>, u64) {
        match self {
            Self::Closed { .. } => (Vec::new(), 0),
            Self::Open { due, offers, .. } => {
                let mut due = due.lock().await;
                let mut unsent = 0;
                while let Ok(moment) = due.try_recv() {
                    // Where what is not sent is counted by the second, this is too.
                    match offers.outstanding_max {
                        Some(_) => offers.shed(moment),
                        None => unsent += 1,
                    }
                }
                (offers.seconds(), unsent)
            }
        }
    }
}

/// Which part of an open loop a client thread sends.
#[derive(Clone, Debug)]
pub struct Share {
    /// What all threads offer together.
    pub schedule: Schedule,
    /// Which thread.
    pub thread: usize,
    /// Of how many.
    pub threads: usize,
    /// When the schedule begins.
    pub start: Instant,
    /// After this nothing is sent any more.
    pub give_up: Instant,
    /// Transfers in a batch.
    pub batch: usize,
}

/// Starts the thread that sends due moments. What nobody takes waits in the channel: 16 bytes
/// each, at most one for each moment of the run.
pub fn open_pace(share: Share, offers: Offers) -> Pace {
    let (sender, receiver) = mpsc::unbounded_channel();
    let offers = Arc::new(offers);
    let counted = Arc::clone(&offers);
    let Share { batch, give_up, start, .. } = share;
    std::thread::spawn(move || {
        let mut last = Duration::ZERO;
        for after in share.schedule.moments(share.thread, share.threads) {
            let due = start + after;
            let wake = start + released(last, after);
            last = after;
            if !wait_until(wake, &sender) || (counted.admit(due) && sender.send(due).is_err()) {
                return;
            }
        }
    });
    Pace::Open { due: Mutex::new(receiver), batch, give_up, offers }
}

/// When a moment that comes after `last` is given out: at once, or at the end of its tick.
fn released(last: Duration, moment: Duration) -> Duration {
    if moment.saturating_sub(last) * 2 >= TICK {
        return moment;
    }
    let ticks = moment.as_nanos().div_ceil(TICK.as_nanos());
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// Sleeps until shortly before, then until `due`. False when nobody listens any more.
fn wait_until(due: Instant, sender: &mpsc::UnboundedSender<Instant>) -> bool {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if sender.is_closed() {
            return false;
        }
        if left > WAKE_EARLY {
            std::thread::sleep((left - WAKE_EARLY).min(Duration::from_millis(100)));
        } else {
            // Spinning would take the core the server needs.
            std::thread::sleep(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(length_ms: u64, requests_per_s: f64) -> Step {
        Step { length: Duration::from_millis(length_ms), requests_per_s }
    }

    fn open(steps: Vec<Step>, give_up_after: Duration, most: Option<usize>) -> Pace {
        let start = Instant::now();
        let share = Share {
            schedule: Schedule { steps },
            thread: 0,
            threads: 1,
            start,
            give_up: start + give_up_after,
            batch: 7,
        };
        open_pace(share, Offers::new(start, most))
    }

    #[tokio::test]
    async fn a_counted_closed_loop_sends_exactly_that_many() {
        let left = Some(Arc::new(AtomicI64::new(25)));
        let until = Instant::now() + Duration::from_secs(60);
        let pace = Pace::Closed { until, left, batch: 10 };
        let mut counts = Vec::new();
        while let Some((_, count)) = pace.next().await {
            counts.push(count);
        }
        assert_eq!(counts, [10, 10, 5]);
    }

    #[tokio::test]
    async fn an_open_loop_keeps_its_moments_when_nobody_takes_them() {
        let pace = open(vec![step(40, 500.0)], Duration::from_secs(60), None);
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut due = Vec::new();
        while let Some((moment, count)) = pace.next().await {
            assert!(Instant::now() >= moment && count == 7);
            due.push(moment);
        }
        assert_eq!(due.len(), 20);
        assert!(due.windows(2).all(|w| w[1] - w[0] == Duration::from_millis(2)));
    }

    #[test]
    fn moments_close_together_are_given_out_by_the_tick() {
        let us = Duration::from_micros;
        assert_eq!(released(us(9_000), us(9_500)), us(9_500), "2,000 a second");
        assert_eq!(released(us(9_500), us(9_900)), us(10_000));
        assert_eq!(released(us(9_900), us(10_000)), us(10_000));
        assert_eq!(released(us(10_000), us(10_001)), us(11_000));
        assert_eq!(released(us(0), us(0)), us(0));
    }

    #[test]
    fn a_schedule_holds_each_rate_for_its_time_and_threads_share_it() {
        let schedule = Schedule { steps: vec![step(10, 200.0), step(10, 400.0)] };
        let ms = |thread, threads| {
            let moments = schedule.clone().moments(thread, threads);
            moments.map(|m| m.as_micros() as f64 / 1e3).collect::<Vec<_>>()
        };
        assert_eq!(ms(0, 1), [0.0, 5.0, 10.0, 12.5, 15.0, 17.5]);
        assert_eq!(ms(0, 2), [0.0, 10.0, 15.0]);
        assert_eq!(ms(1, 2), [5.0, 12.5, 17.5]);
    }

    #[tokio::test]
    async fn what_finds_the_bound_full_is_shed_and_counted() {
        let pace = open(vec![step(50, 1000.0)], Duration::from_secs(60), Some(3));
        let mut taken = 0;
        while pace.next().await.is_some() {
            taken += 1;
        }
        // Nobody said that a request ended.
        assert_eq!(taken, 3);
        let (offered, unsent) = pace.offered().await;
        assert_eq!((offered, unsent), (vec![Offer { due: 50, shed: 47 }], 0));
        pace.ended();
    }

    #[tokio::test]
    async fn what_was_let_in_and_never_taken_is_shed_too() {
        let pace = open(vec![step(20, 1000.0)], Duration::ZERO, Some(5));
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(pace.next().await.is_none());
        assert_eq!(pace.offered().await, (vec![Offer { due: 20, shed: 20 }], 0));
    }

    #[tokio::test]
    async fn what_is_due_when_the_loop_gives_up_is_counted_as_unsent() {
        let pace = open(vec![step(20, 1000.0)], Duration::ZERO, None);
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(pace.next().await.is_none());
        let (offered, unsent) = pace.offered().await;
        assert_eq!((offered[0].due, unsent), (20, 20));
    }
}
