//! What came back: counters, latencies and, when asked for, what each account should hold.
//! Each client thread keeps its own [`Tally`]; they are merged at the end.

use crate::generator::{AccountIds, Batch};
use crate::history::Answers;
use crate::pace::Offer;
use crate::series::Series;
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
    /// The window second by second.
    pub series: Series,
    /// Requests due in each second of the window; open loop only.
    pub offered: Vec<Offer>,
    /// Reads, of a workload that has them.
    pub reads: Option<ReadTally>,
    /// When the last answer was there.
    pub last: Instant,
    /// How late the latest request was sent, nanoseconds after it was due; open loop only.
    pub late_ns_max: u64,
    /// From start to end, warm-up and what was answered after the window included.
    pub whole: Whole,
    /// What each account gained, minor units; only when asked for.
    pub gains: Option<Vec<i64>>,
    /// The answer to every transfer; only when asked for.
    pub answers: Option<Answers>,
}

/// Results of reads in the window.
#[derive(Clone)]
pub struct ReadTally {
    /// Latency of requests, nanoseconds.
    pub latency: Histogram<u64>,
    /// Requests answered.
    pub requests: u64,
    /// Accounts in them.
    pub accounts: u64,
    /// Errors by class; `transfers` counts accounts asked for.
    pub errors: BTreeMap<String, ErrorCount>,
    /// Second by second.
    pub series: Series,
}

impl ReadTally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latency: histogram()?,
            requests: 0,
            accounts: 0,
            errors: BTreeMap::new(),
            series: Series::default(),
        })
    }

    fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latency.add(&other.latency)?;
        self.requests += other.requests;
        self.accounts += other.accounts;
        merge_errors(&mut self.errors, &other.errors);
        self.series.merge(&other.series)
    }
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
    /// Requests that were due and had not been sent when the harness gave up; open loop only.
    pub unsent_requests: u64,
    /// Fees taken, minor units; counted only where every answer is kept.
    pub fees: u64,
}

/// The code of an id used before for other content.
pub const ID_REUSED: u8 = 16;

impl Tally {
    /// An empty one; `per_account` keeps what each account gains and every answer, `reads` counts reads.
    pub fn new(
        window: Window,
        accounts: AccountIds,
        per_account: bool,
        reads: bool,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            window,
            accounts,
            latency: histogram()?,
            requests: 0,
            by_code: BTreeMap::new(),
            repeats: 0,
            errors: BTreeMap::new(),
            series: Series::default(),
            offered: Vec::new(),
            reads: reads.then(ReadTally::new).transpose()?,
            last: window.from,
            late_ns_max: 0,
            whole: Whole::default(),
            gains: per_account.then(|| vec![0; accounts.count as usize]),
            answers: per_account.then(Answers::default),
        })
    }

    /// Counts one request's end.
    pub fn record(
        &mut self,
        batch: &Batch,
        end: &Result<Reply, Failure>,
        moments: Moments,
    ) -> anyhow::Result<()> {
        let window = self.window;
        let counted = window.contains(moments.done);
        let belongs = window.contains(moments.counts_at).then(|| moments.counts_at - window.from);
        match end {
            Ok(reply) => {
                self.last = self.last.max(moments.done);
                self.record_answers(batch, reply, counted);
                let transfers = reply.answers.len() as u64;
                if counted {
                    self.requests += 1;
                    self.series.answered(moments.done - window.from, transfers)?;
                }
                if let Some(after) = belongs {
                    self.record_latency(moments);
                    self.series.took(after, moments.done - moments.from, transfers)?;
                }
            }
            Err(failure) => {
                self.record_failure(batch, failure, counted);
                if let Some(after) = belongs {
                    self.series.failed(after, &failure.class, batch.items.len() as u64)?;
                }
            }
        }
        Ok(())
    }

    /// Counts the end of a request that read `accounts` accounts.
    pub fn record_read(
        &mut self,
        accounts: u64,
        end: &Result<(), Failure>,
        moments: Moments,
    ) -> anyhow::Result<()> {
        let (window, Some(reads)) = (self.window, &mut self.reads) else { return Ok(()) };
        let counted = window.contains(moments.done);
        let belongs = window.contains(moments.counts_at).then(|| moments.counts_at - window.from);
        match end {
            Ok(()) => {
                self.last = self.last.max(moments.done);
                if counted {
                    reads.requests += 1;
                    reads.accounts += accounts;
                    reads.series.answered(moments.done - window.from, accounts)?;
                }
                if let Some(after) = belongs {
                    let took = moments.done - moments.from;
                    reads.latency.saturating_record(nanos(took));
                    reads.series.took(after, took, accounts)?;
                    self.late_ns_max = self.late_ns_max.max(nanos(moments.sent - moments.from));
                }
            }
            Err(failure) => {
                if counted {
                    count_error(&mut reads.errors, failure, accounts);
                }
                if let Some(after) = belongs {
                    reads.series.failed(after, &failure.class, accounts)?;
                }
            }
        }
        Ok(())
    }

    fn record_latency(&mut self, moments: Moments) {
        self.latency.saturating_record(nanos(moments.done - moments.from));
        self.late_ns_max = self.late_ns_max.max(nanos(moments.sent - moments.from));
    }

    fn record_answers(&mut self, batch: &Batch, reply: &Reply, counted: bool) {
        if let [answer] = reply.answers[..] {
            // A table of all codes would cost more than the call.
            self.record_code(answer, 1, counted);
        } else {
            let mut by_answer = [0u64; 256];
            for &answer in &reply.answers {
                by_answer[usize::from(answer)] += 1;
            }
            for (answer, &count) in (0u8..=255).zip(&by_answer).filter(|(_, count)| **count > 0) {
                self.record_code(answer, count, counted);
            }
        }
        self.record_gains(batch, reply);
    }

    fn record_code(&mut self, answer: u8, count: u64, counted: bool) {
        if answer & REPEAT != 0 {
            self.whole.repeats += count;
            self.repeats += if counted { count } else { 0 };
            return;
        }
        match answer {
            0 => self.whole.posted += count,
            ID_REUSED => self.whole.id_reused += count,
            _ => self.whole.refused += count,
        }
        if counted {
            *self.by_code.entry(answer).or_default() += count;
        }
    }

    /// What accounts gain by the first answer to each id, and the counts accordingly. A first
    /// answer that is marked as a repeat was asked for again after its own first one was lost,
    /// or overtook the sending it repeats; in both cases it took effect once.
    fn record_gains(&mut self, batch: &Batch, reply: &Reply) {
        let Some(answers) = &mut self.answers else { return };
        let (gains, accounts, whole) = (&mut self.gains, self.accounts, &mut self.whole);
        let mut told = reply.told.iter().peekable();
        answers.record(batch, reply, |at, answer, first| {
            let item = &batch.items[at];
            while told.next_if(|told| told.at < at).is_some() {}
            let told = told.next_if(|told| told.at == at);
            let (code, repeat) = (answer & !REPEAT, answer & REPEAT != 0);
            let fresh = if code == 0 { &mut whole.posted } else { &mut whole.refused };
            if first && repeat {
                (*fresh, whole.repeats) = (*fresh + 1, whole.repeats - 1);
            } else if !first && !repeat {
                (*fresh, whole.repeats) = (*fresh - 1, whole.repeats + 1);
            }
            let Some(gains) = gains.as_mut().filter(|_| first && code == 0) else { return };
            if !item.moves() {
                return;
            }
            let amount = told.and_then(|told| told.moved).unwrap_or(item.amount) as i64;
            let fee = told.and_then(|told| told.fee).unwrap_or(0);
            whole.fees += fee;
            if let Some(index) = accounts.index(item.debit) {
                gains[index] -= amount + fee as i64;
            }
            if let Some(index) = accounts.index(item.credit) {
                gains[index] += amount;
            }
        });
    }

    fn record_failure(&mut self, batch: &Batch, failure: &Failure, counted: bool) {
        let transfers = batch.items.len() as u64;
        if failure.in_doubt {
            self.whole.in_doubt += transfers;
        }
        if counted {
            count_error(&mut self.errors, failure, transfers);
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
        merge_errors(&mut self.errors, &other.errors);
        self.series.merge(&other.series)?;
        if self.offered.len() < other.offered.len() {
            self.offered.resize(other.offered.len(), Offer::default());
        }
        for (sum, offer) in self.offered.iter_mut().zip(&other.offered) {
            sum.due += offer.due;
            sum.shed += offer.shed;
        }
        if let (Some(sum), Some(reads)) = (&mut self.reads, &other.reads) {
            sum.merge(reads)?;
        }
        self.last = self.last.max(other.last);
        self.late_ns_max = self.late_ns_max.max(other.late_ns_max);
        self.whole.add(&other.whole);
        if let (Some(sum), Some(answers)) = (&mut self.answers, &other.answers) {
            sum.merge(answers);
        }
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
    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        self.posted += other.posted;
        self.refused += other.refused;
        self.repeats += other.repeats;
        self.id_reused += other.id_reused;
        self.in_doubt += other.in_doubt;
        self.unanswered_requests += other.unanswered_requests;
        self.unsent_requests += other.unsent_requests;
        self.fees += other.fees;
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(LATENCY_NS.0, LATENCY_NS.1, 3)?)
}

fn count_error(errors: &mut BTreeMap<String, ErrorCount>, failure: &Failure, transfers: u64) {
    let error = errors.entry(failure.class.clone()).or_default();
    if error.requests == 0 {
        error.example.clone_from(&failure.message);
    }
    error.requests += 1;
    error.transfers += transfers;
}

fn merge_errors(sums: &mut BTreeMap<String, ErrorCount>, others: &BTreeMap<String, ErrorCount>) {
    for (class, error) in others {
        let sum = sums.entry(class.clone()).or_default();
        if sum.requests == 0 {
            sum.example.clone_from(&error.example);
        }
        sum.requests += error.requests;
        sum.transfers += error.transfers;
    }
}

/// Whole nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A batch nobody else holds: `batch` itself when it was given back, else a new one.
pub fn own_batch(batch: Arc<Batch>) -> Arc<Batch> {
    if Arc::strong_count(&batch) == 1 { batch } else { Arc::default() }
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;
