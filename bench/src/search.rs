//! The search for the highest rate that holds a limit: doubles the offered rate until it is
//! not kept, then bisects. Every step is a load of its own, with a warm-up and a histogram of
//! its own, on one ledger.

use crate::cli::RunArgs;
use crate::driver::Load;
use crate::pace::{Schedule, Step};
use crate::report::{Latency, Search, SearchStep};
use crate::session::{Measured, Phase, Session};
use crate::table::count;
use crate::target_grpc::Manner;
use std::time::Duration;

/// The rate that is tried first, in requests a second, unless one is named.
const FIRST_REQUESTS_PER_S: f64 = 100.0;

/// Rates tried at most.
const STEPS_MAX: usize = 40;

/// Share of the offered transfers that must be answered in the counted time.
const GOODPUT_MIN: f64 = 0.99;

/// How long after a step what was due is still sent. A step that needs more has not held.
const PATIENCE: Duration = Duration::from_millis(500);

/// Which rate to try next: doubling up, halving down, then bisecting.
#[derive(Debug, Clone, Copy)]
struct Bracket {
    held: Option<f64>,
    broken: Option<f64>,
}

impl Bracket {
    /// Notes what became of `rate`.
    fn note(&mut self, rate: f64, held: bool) {
        if held {
            self.held = Some(self.held.map_or(rate, |best| best.max(rate)));
        } else {
            self.broken = Some(self.broken.map_or(rate, |least| least.min(rate)));
        }
    }

    /// The next rate; `None` when both ends are within the share `within`, or nothing holds.
    fn next(self, within: f64, least: f64) -> Option<f64> {
        match (self.held, self.broken) {
            (None, None) => None,
            (Some(held), None) => Some(held * 2.0),
            (None, Some(broken)) => Some(broken / 2.0).filter(|rate| *rate >= least),
            (Some(held), Some(broken)) if broken - held <= within * broken => None,
            (Some(held), Some(broken)) => Some(f64::midpoint(held, broken)),
        }
    }
}

/// Searches; gives the best step's results, or the last one's when none held.
pub async fn find_rate(
    arguments: &RunArgs,
    session: &mut Session,
) -> anyhow::Result<(Measured, Search)> {
    let one_request_per_s = 1.0 / arguments.requests_per_s(1.0);
    let mut rate = arguments.rate.unwrap_or(FIRST_REQUESTS_PER_S * one_request_per_s);
    let mut bracket = Bracket { held: None, broken: None };
    let (mut best, mut steps): (Option<Measured>, Vec<SearchStep>) = (None, Vec::new());
    let mut best_held = false;
    loop {
        let measured = session.load(arguments, phase(arguments, rate)).await?;
        let step = judge(arguments, rate, &measured);
        let held = step.broken.is_empty();
        eprintln!("{}", line(&step));
        steps.push(step);
        bracket.note(rate, held);
        // While bisecting, what holds holds a higher rate than what held before.
        if held || !best_held {
            best = Some(measured);
            best_held = held;
        }
        match bracket.next(arguments.find_within, one_request_per_s) {
            Some(next) if steps.len() < STEPS_MAX => rate = next,
            _ => break,
        }
    }
    let best = best.ok_or_else(|| anyhow::anyhow!("no rate was tried"))?;
    let p99_limit_ms = arguments.p99_limit_ms;
    Ok((best, Search { p99_limit_ms, found_rate: bracket.held, steps }))
}

fn phase(arguments: &RunArgs, rate: f64) -> Phase {
    let seconds = arguments.warmup + arguments.duration;
    let step = Step {
        length: Duration::from_secs_f64(seconds),
        requests_per_s: arguments.requests_per_s(rate),
    };
    Phase {
        load: Load::Open {
            schedule: Schedule { steps: vec![step] },
            shed: false,
            patience: PATIENCE,
        },
        warmup: Duration::from_secs_f64(arguments.warmup),
        duration: Duration::from_secs_f64(arguments.duration),
        manner: Manner::default(),
        what: "searching",
    }
}

/// Whether a step held, and if not, why.
fn judge(arguments: &RunArgs, rate: f64, measured: &Measured) -> SearchStep {
    let tally = &measured.tally;
    let per_request = arguments.batch() as f64 * (1.0 - arguments.read_share());
    let due: u64 = tally.offered.iter().map(|offer| offer.due).sum();
    let offered = (due as f64 * per_request) as u64;
    let failed = |errors: &std::collections::BTreeMap<_, crate::tally::ErrorCount>| {
        errors.values().map(|e| e.transfers).sum::<u64>()
    };
    let lost = tally.whole.unanswered_requests + tally.whole.unsent_requests;
    let lost = (lost as f64 * per_request).ceil() as u64;
    let read_errors = tally.reads.as_ref().map_or(0, |reads| failed(&reads.errors));
    let errors = failed(&tally.errors) + read_errors + lost;
    let latency = Latency::of(&tally.latency);
    let mut broken = Vec::new();
    if latency.p99_ms > arguments.p99_limit_ms {
        broken.push(format!("p99 {:.1} ms is above {} ms", latency.p99_ms, arguments.p99_limit_ms));
    }
    if errors > 0 {
        broken.push(format!("{} failed or were not sent", count(errors)));
    }
    let share = tally.answered() as f64 / (offered as f64).max(1.0);
    // A read or write more or less is chance where reads are drawn.
    let drawn = if arguments.read_share() > 0.0 { 3.0 / (due as f64).max(1.0).sqrt() } else { 0.0 };
    if offered == 0 || share < GOODPUT_MIN - drawn {
        broken.push(format!("only {:.1}% of the offered was answered in time", share * 100.0));
    }
    SearchStep {
        rate,
        offered,
        answered: tally.answered(),
        errors,
        p50_ms: latency.p50_ms,
        p99_ms: latency.p99_ms,
        max_ms: latency.max_ms,
        broken: broken.join("; "),
    }
}

/// A step as printed.
fn line(step: &SearchStep) -> String {
    let verdict = if step.broken.is_empty() { "held" } else { step.broken.as_str() };
    format!(
        "{:>12}/s offered   p50 {:8.3} ms   p99 {:8.3} ms   max {:8.3} ms   {verdict}",
        count(step.rate as u64),
        step.p50_ms,
        step.p99_ms,
        step.max_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a ledger that holds up to `limit` and says what was tried.
    fn search(first: f64, limit: f64) -> (Option<f64>, Vec<f64>) {
        let mut bracket = Bracket { held: None, broken: None };
        let (mut rate, mut tried) = (first, Vec::new());
        loop {
            tried.push(rate);
            bracket.note(rate, rate <= limit);
            match bracket.next(0.05, 1.0) {
                Some(next) => rate = next,
                None => return (bracket.held, tried),
            }
        }
    }

    #[test]
    fn the_highest_rate_is_found_from_below_and_from_above() {
        for first in [10.0, 800.0, 100_000.0] {
            let (found, tried) = search(first, 1000.0);
            let found = found.expect("some rate holds");
            assert!((940.0..=1000.0).contains(&found), "{found} after {tried:?}");
            assert!(tried.len() < 20, "{tried:?}");
        }
    }

    #[test]
    fn where_nothing_holds_nothing_is_found() {
        let (found, tried) = search(64.0, 0.0);
        assert_eq!((found, tried.len()), (None, 7));
    }
}
