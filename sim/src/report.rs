//! What runs were: counters that say whether the workload gets everywhere, and the trace.

use std::collections::BTreeMap;
use std::fmt;

/// What a run was, or many.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    pub seeds: u64,
    pub steps: u64,
    pub outcomes: u64,
    pub repeats: u64,
    pub events: u64,
    /// How often each rule refused, by its number; at 0 what was posted.
    pub refusals: BTreeMap<u8, u64>,
    /// How often each thing happened, by its name.
    pub counts: BTreeMap<String, u64>,
    /// A hash of every step and every answer.
    pub trace: u64,
}

impl Report {
    /// Counts something.
    pub fn count(&mut self, what: &str) {
        self.count_many(what, 1);
    }

    /// Counts something that happened so often.
    pub fn count_many(&mut self, what: &str, times: u64) {
        if times > 0 {
            *self.counts.entry(what.to_owned()).or_default() += times;
        }
    }

    /// Mixes a word into the trace.
    pub fn trace(&mut self, word: u64) {
        let mixed = (self.trace ^ word).wrapping_mul(0x2545_f491_4f6c_dd1d);
        self.trace = mixed ^ (mixed >> 29);
    }

    /// How often a rule refused, by its number; 0 for what was posted.
    #[must_use]
    pub fn refused(&self, rule: u8) -> u64 {
        self.refusals.get(&rule).copied().unwrap_or(0)
    }

    /// Adds a run's report. The order of runs does not matter: traces are summed.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.outcomes += other.outcomes;
        self.repeats += other.repeats;
        self.events += other.events;
        for (rule, more) in &other.refusals {
            *self.refusals.entry(*rule).or_default() += more;
        }
        for (what, times) in &other.counts {
            self.count_many(what, *times);
        }
        self.trace = self.trace.wrapping_add(other.trace);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, steps, outcomes, repeats, events, trace, .. } = self;
        writeln!(
            f,
            "{seeds} seeds, {steps} steps, {events} events, {outcomes} outcomes ({repeats} repeats)"
        )?;
        for (number, times) in &self.refusals {
            let rule = ducat_engine::rejection::Rejection::from_number(*number);
            writeln!(f, "  {:<36} {times:>12}", rule.map_or("POSTED", |rule| rule.code()))?;
        }
        for (what, times) in &self.counts {
            writeln!(f, "  {what:<36} {times:>12}")?;
        }
        write!(f, "trace hash over all {trace:016x}")
    }
}
