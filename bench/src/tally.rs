//! What came back: counters, latencies and, when asked for, what each account should hold.
//! Each client thread keeps its own [`Tally`]; they are merged at the end.

use crate::generator::{AccountIds, Batch};
use crate::target::{Failure, REPEAT, Reply};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Latencies are kept from 1 µs to 10 minutes with 3 digits, in nanoseconds.
const LATENCY_NS: (u64, u64) = (1_000, 600_000_000_000);

/// Errors of one class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorCount {
    /// Requests that ended so.
    pub requests: u64,
    /// Transfers in them.
    pub transfers: u64,
    /// The first one's message.
    pub example: String,
}

/// The moments of a run.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Warm-up is over.
    pub from: Instant,
    /// Nothing that happens later is counted.
    pub to: Instant,
}

impl Window {
    fn contains(self, moment: Instant) -> bool {
        moment >= self.from && moment < self.to
    }
}

/// One request's moments.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// What latency is counted from: the sending, or with open loop the intended sending.
    pub from: Instant,
    /// When it really was sent.
    pub sent: Instant,
    /// When its answer was there.
    pub done: Instant,
    /// What decides whether its latency counts: `done`, or with open loop the intended moment.
    pub counts_at: Instant,
}

/// One thread's, or all threads', results.
#[derive(Clone)]
pub struct Tally {
    window: Window,
    accounts: AccountIds,
    /// Latency of requests, nanoseconds.
    pub latency: Histogram<u64>,
    /// Requests answered in the window.
    pub requests: u64,
    /// Outcomes in the window by code, repeats not among them.
    pub by_code: BTreeMap<u8, u64>,
    /// Repeats answered in the window.
    pub repeats: u64,
    /// Errors in the window by class.
    pub errors: BTreeMap<String, ErrorCount>,
    /// Transfers answered in each second of the window.
    pub seconds: Vec<u64>,
    /// When the last answer was there.
    pub last: Instant,
    /// How late the latest request was sent, nanoseconds after it was due; open loop only.
    pub late_ns_max: u64,
    /// From start to end, warm-up and what was answered after the window included.
    pub whole: Whole,
    /// What each account gained, minor units; only when asked for.
    pub gains: Option<Vec<i64>>,
}

/// Counts over the whole run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whole {
    /// Posted, not as a repeat.
    pub posted: u64,
    /// Refused, not as a repeat, the id consumed.
    pub refused: u64,
    /// Repeats answered.
    pub repeats: u64,
    /// Refused because the id had been used for something else.
    pub id_reused: u64,
    /// Transfers in requests whose fate is not known.
    pub in_doubt: u64,
    /// Requests not answered when the harness gave up waiting.
    pub unanswered_requests: u64,
}

/// The code of an id used before for other content.
const ID_REUSED: u8 = 16;

impl Tally {
    /// An empty one; `per_account` keeps what each account gains.
    pub fn new(window: Window, accounts: AccountIds, per_account: bool) -> anyhow::Result<Self> {
        Ok(Self {
            window,
            accounts,
            latency: Histogram::new_with_bounds(LATENCY_NS.0, LATENCY_NS.1, 3)?,
            requests: 0,
            by_code: BTreeMap::new(),
            repeats: 0,
            errors: BTreeMap::new(),
            seconds: Vec::new(),
            last: window.from,
            late_ns_max: 0,
            whole: Whole::default(),
            gains: per_account.then(|| vec![0; accounts.count as usize]),
        })
    }

    /// Counts one request's end.
    pub fn record(&mut self, batch: &Batch, end: &Result<Reply, Failure>, moments: Moments) {
        let counted = self.window.contains(moments.done);
        match end {
            Ok(reply) => {
                self.last = self.last.max(moments.done);
                self.record_latency(moments);
                self.record_answers(batch, reply, counted);
                if counted {
                    self.requests += 1;
                    self.record_second(moments.done, reply.answers.len() as u64);
                }
            }
            Err(failure) => self.record_failure(batch, failure, counted),
        }
    }

    fn record_latency(&mut self, moments: Moments) {
        if self.window.contains(moments.counts_at) {
            self.latency.saturating_record(nanos(moments.done - moments.from));
            self.late_ns_max = self.late_ns_max.max(nanos(moments.sent - moments.from));
        }
    }

    fn record_answers(&mut self, batch: &Batch, reply: &Reply, counted: bool) {
        let mut by_code = [0u64; REPEAT as usize];
        let mut repeats = 0;
        for &answer in &reply.answers {
            if answer & REPEAT == 0 { by_code[usize::from(answer)] += 1 } else { repeats += 1 }
        }
        for (code, &count) in (0u8..).zip(&by_code).filter(|(_, count)| **count > 0) {
            match code {
                0 => self.whole.posted += count,
                ID_REUSED => self.whole.id_reused += count,
                _ => self.whole.refused += count,
            }
            if counted {
                *self.by_code.entry(code).or_default() += count;
            }
        }
        self.whole.repeats += repeats;
        if counted {
            self.repeats += repeats;
        }
        self.record_gains(batch, reply);
    }

    fn record_gains(&mut self, batch: &Batch, reply: &Reply) {
        let Some(gains) = &mut self.gains else { return };
        for (item, _) in batch.items.iter().zip(&reply.answers).filter(|(_, a)| **a == 0) {
            let amount = item.amount as i64;
            if let Some(index) = self.accounts.index(item.debit) {
                gains[index] -= amount;
            }
            if let Some(index) = self.accounts.index(item.credit) {
                gains[index] += amount;
            }
        }
    }

    fn record_second(&mut self, done: Instant, transfers: u64) {
        let second = (done - self.window.from).as_secs() as usize;
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, 0);
        }
        self.seconds[second] += transfers;
    }

    fn record_failure(&mut self, batch: &Batch, failure: &Failure, counted: bool) {
        let transfers = batch.items.len() as u64;
        if failure.in_doubt {
            self.whole.in_doubt += transfers;
        }
        if counted {
            let error = self.errors.entry(failure.class.clone()).or_default();
            if error.requests == 0 {
                error.example.clone_from(&failure.message);
            }
            error.requests += 1;
            error.transfers += transfers;
        }
    }

    /// Adds another thread's results.
    pub fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latency.add(&other.latency)?;
        self.requests += other.requests;
        self.repeats += other.repeats;
        for (code, count) in &other.by_code {
            *self.by_code.entry(*code).or_default() += count;
        }
        for (class, error) in &other.errors {
            let sum = self.errors.entry(class.clone()).or_default();
            if sum.requests == 0 {
                sum.example.clone_from(&error.example);
            }
            sum.requests += error.requests;
            sum.transfers += error.transfers;
        }
        if self.seconds.len() < other.seconds.len() {
            self.seconds.resize(other.seconds.len(), 0);
        }
        for (sum, count) in self.seconds.iter_mut().zip(&other.seconds) {
            *sum += count;
        }
        self.last = self.last.max(other.last);
        self.late_ns_max = self.late_ns_max.max(other.late_ns_max);
        self.whole.add(&other.whole);
        if let (Some(sums), Some(gains)) = (&mut self.gains, &other.gains) {
            for (sum, gain) in sums.iter_mut().zip(gains) {
                *sum += gain;
            }
        }
        Ok(())
    }

    /// Transfers answered in the window, whatever the answer.
    pub fn answered(&self) -> u64 {
        self.by_code.values().sum::<u64>() + self.repeats
    }
}

impl Whole {
    fn add(&mut self, other: &Self) {
        self.posted += other.posted;
        self.refused += other.refused;
        self.repeats += other.repeats;
        self.id_reused += other.id_reused;
        self.in_doubt += other.in_doubt;
        self.unanswered_requests += other.unanswered_requests;
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A batch nobody else holds: `batch` itself when it was given back, else a new one.
pub fn own_batch(batch: Arc<Batch>) -> Arc<Batch> {
    if Arc::strong_count(&batch) == 1 { batch } else { Arc::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Item;

    fn window() -> Window {
        let from = Instant::now();
        Window { from, to: from + Duration::from_secs(10) }
    }

    fn accounts() -> AccountIds {
        AccountIds { base: 1000, count: 3 }
    }

    fn moments(window: Window, done_ms: u64, took_ms: u64) -> Moments {
        let done = window.from + Duration::from_millis(done_ms);
        let from = done.checked_sub(Duration::from_millis(took_ms)).expect("after boot");
        Moments { from, sent: from, done, counts_at: done }
    }

    fn batch() -> Batch {
        let item = |debit, credit, amount| Item {
            id: 1,
            debit: accounts().id(debit),
            credit: accounts().id(credit),
            amount,
            ..Item::default()
        };
        Batch {
            id_high: 1,
            items: vec![item(0, 1, 10), item(1, 2, 4), item(2, 0, 1), item(0, 9, 5)],
        }
    }

    fn reply() -> Reply {
        Reply { answers: vec![0, 14, REPEAT, 6], ..Reply::default() }
    }

    fn tally(window: Window) -> Tally {
        Tally::new(window, accounts(), true).expect("bounds are valid")
    }

    #[test]
    fn outcomes_refusals_repeats_and_errors_are_counted_apart() {
        let window = window();
        let mut tally = tally(window);
        tally.record(&batch(), &Ok(reply()), moments(window, 1500, 1));
        let failure =
            Failure { class: "UNAVAILABLE".into(), in_doubt: true, message: "gone".into() };
        tally.record(&batch(), &Err(failure), moments(window, 1600, 1));
        // After the window: part of the whole only.
        tally.record(&batch(), &Ok(reply()), moments(window, 11_000, 1));

        assert_eq!(tally.by_code, BTreeMap::from([(0, 1), (6, 1), (14, 1)]));
        assert_eq!((tally.repeats, tally.requests, tally.answered()), (1, 1, 4));
        assert_eq!(tally.seconds, [0, 4]);
        assert_eq!(tally.errors["UNAVAILABLE"].transfers, 4);
        let whole = Whole { posted: 2, refused: 4, repeats: 2, in_doubt: 4, ..Whole::default() };
        assert_eq!(tally.whole, whole);
        assert_eq!(tally.gains, Some(vec![-20, 20, 0]));
    }

    #[test]
    fn merging_equals_recording_everything_in_one() {
        let window = window();
        let (mut one, mut a, mut b) = (tally(window), tally(window), tally(window));
        for ms in 0..2000u64 {
            let moments = moments(window, ms * 3, 1 + ms % 50);
            one.record(&batch(), &Ok(reply()), moments);
            let half = if ms % 3 == 0 { &mut a } else { &mut b };
            half.record(&batch(), &Ok(reply()), moments);
        }
        a.merge(&b).expect("same bounds");
        assert_eq!(a.latency, one.latency);
        assert_eq!(a.latency.len(), 2000);
        assert_eq!((a.by_code, a.seconds, a.gains), (one.by_code, one.seconds, one.gains));
        assert_eq!(a.whole, one.whole);
    }

    #[test]
    fn open_loop_counts_by_the_intended_moment() {
        let window = window();
        let mut tally = tally(window);
        let due = window.from + Duration::from_millis(9900);
        let late = Moments {
            from: due,
            sent: due + Duration::from_millis(500),
            done: due + Duration::from_millis(700),
            counts_at: due,
        };
        tally.record(&batch(), &Ok(reply()), late);
        assert_eq!((tally.latency.len(), tally.requests), (1, 0));
        assert!(tally.latency.max() >= 700_000_000);
        assert_eq!(tally.late_ns_max, 500_000_000);
    }
}
