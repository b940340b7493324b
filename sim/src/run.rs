//! Runs of seeds: on threads, each seed on one; a failure says how to see it again, with the
//! smallest script that still fails.

use crate::faults::Fault;
use crate::plan::Plan;
use crate::report::Report;
use crate::world::{Failure, play};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Which.
    pub seed: u64,
    /// What is wrong.
    pub why: String,
}

/// Plays a plan; a panic is a failure too.
///
/// # Errors
/// What is wrong.
pub fn attempt(plan: &Plan, traced: bool) -> Result<Report, Failure> {
    let played = catch_unwind(AssertUnwindSafe(|| play(plan, traced)));
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let why = format!("an assertion: {}", text.unwrap_or_default());
        Err(Failure { why, trace: crate::world::last_trace() })
    })
}

/// Plays every seed on so many threads, until one fails. The report does not depend on the
/// number of threads.
///
/// # Errors
/// The smallest seed that failed among those that were played.
///
/// # Panics
/// When a thread cannot be started.
pub fn run(
    seeds: Range<u64>,
    threads: usize,
    fault: Fault,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report, Failed> {
    let next = AtomicU64::new(seeds.start);
    let done = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failed: Mutex<Option<Failed>> = Mutex::new(None);
    let all = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut mine = Report::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    match attempt(&Plan { fault, ..Plan::new(seed) }, false) {
                        Ok(report) => mine.add(&report),
                        Err(Failure { why, .. }) => {
                            stop.store(true, Ordering::Relaxed);
                            let mut failed = failed.lock().expect("no one panics here");
                            if failed.as_ref().is_none_or(|before| seed < before.seed) {
                                *failed = Some(Failed { seed, why });
                            }
                        }
                    }
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
                all.lock().expect("no one panics here").add(&mine);
            });
        }
    });
    match failed.into_inner().expect("no one panicked") {
        Some(failed) => Err(failed),
        None => Ok(all.into_inner().expect("no one panicked")),
    }
}

/// The steps of a failing seed's script that are needed, found by leaving out ever smaller runs
/// of them.
#[must_use]
pub fn shrink(plan: &Plan) -> Vec<usize> {
    let mut keep: Vec<usize> = (0..plan.script.len()).collect();
    let mut width = keep.len() / 2;
    let mut tries = 0;
    while width > 0 {
        let mut at = 0;
        while at < keep.len() && tries < 300 {
            tries += 1;
            let end = keep.len().min(at + width);
            let without: Vec<usize> = keep[..at].iter().chain(&keep[end..]).copied().collect();
            if attempt(&with_steps(plan, &without), false).is_err() {
                keep = without;
            } else {
                at = end;
            }
        }
        width /= 2;
    }
    keep
}

/// The plan with only these steps of its script.
#[must_use]
pub fn with_steps(plan: &Plan, keep: &[usize]) -> Plan {
    let steps = keep.iter().filter_map(|at| plan.script.get(*at)).cloned();
    Plan { script: steps.collect(), ..plan.clone() }
}

/// The command that plays a seed alone, its smallest script and its trace.
#[must_use]
pub fn explain(seed: u64, fault: Fault) -> String {
    let plan = Plan { fault, ..Plan::new(seed) };
    let keep = shrink(&plan);
    let smaller = with_steps(&plan, &keep);
    let failure = attempt(&smaller, true).err();
    let (why, trace) = failure.map_or_else(
        || ("it passed this time".to_owned(), Vec::new()),
        |failure| (failure.why, failure.trace),
    );
    let keep: Vec<String> = keep.iter().map(ToString::to_string).collect();
    let planted = if fault == Fault::None { String::new() } else { format!(" --fault {fault:?}") };
    let from = trace.len().saturating_sub(120);
    format!(
        "{why}\nscript:{:?}\n{}\nagain: cargo run --release -p ducat-sim -- --seed {seed} --keep {}{planted}",
        ducat_engine::testing::workload::Script(smaller.script),
        trace[from..].join("\n"),
        keep.join(",")
    )
}
