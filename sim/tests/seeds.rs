//! The simulator in the gate: ten thousand seeds, the workload gets everywhere, the same seed
//! gives the same trace, and planted bugs are found.
//!
//! `DUCAT_SEEDS` sets how many seeds are played.

use ducat_engine::rejection::Rejection;
use ducat_sim::faults::Fault;
use ducat_sim::plan::{Crashes, Plan};
use ducat_sim::report::Report;
use ducat_sim::run::{attempt, explain, run};

fn seeds() -> u64 {
    std::env::var("DUCAT_SEEDS").map_or(10_000, |text| text.parse().expect("a number"))
}

/// Seeds that once found a fault, in the project or in the simulator itself. What a seed means changes
/// with what the simulator can do; the faults have tests by name as well.
const FOUND: &[(u64, &str)] = &[
    (586, "a segment was written into whose name was not durable yet"),
    (438_526, "a run was killed so often that it never got to the end of a batch"),
    (
        636_499,
        "a run that waited because of its payer's floor was cancelled as one that lacked funds",
    ),
];

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// What must not be rare: once in two hundred seeds at least.
const NOT_RARE: &[&str] = &[
    "append failed",
    "bits flipped",
    "clock set back",
    "clock set far ahead",
    "clock stood still",
    "crash between steps",
    "cut: Append/Sync",
    "cut: Append/Write",
    "cut: Mark/Sync",
    "cut: Mark/Write",
    "cut: Snapshot/Create",
    "cut: Snapshot/Rename",
    "cut: Snapshot/Sync",
    "cut: Snapshot/SyncDir",
    "cut: Snapshot/Write",
    "cut: Start/Sync",
    "cut: Start/SyncDir",
    "damage refused",
    "disk: full",
    "disk: names lost",
    "disk: sectors lost",
    "disk: sectors torn",
    "disk: syncs failed",
    "disk: unsynced sectors kept",
    "disk: writes failed",
    "dropped before the decision",
    "forgotten ids used again",
    "gone after the decision",
    "holds expired without a request",
    "ids forgotten",
    "kills",
    "operations",
    "rounds for what was left over",
    "runs interrupted by a crash",
    "runs of schedules",
    "sagas answered",
    "sagas compensated",
    "sagas completed",
    "sagas interrupted by a crash",
    "sagas started",
    "schedules defined",
    "power cut in a snapshot",
    "power cut in a start",
    "power cut in an append",
    "power cuts",
    "segments trimmed",
    "snapshot begun",
    "snapshot begun behind commits",
    "snapshot failed",
    "snapshot finished",
    "snapshots rejected",
    "start failed",
    "start from a snapshot",
    "start from the journal",
    "torn tails dropped",
    "whole unacknowledged appends kept",
];

fn check_coverage(all: &Report) {
    let least = all.seeds / 200;
    for rule in Rejection::ALL {
        // Wants a hold that is older than its id is remembered: tests by name.
        if rule == Rejection::HoldExists {
            continue;
        }
        // Want a schedule that is defined and then attached, which few scripts do:
        // `engine/tests/serial_equivalence.rs` has more, `engine/tests/fees.rs` by name.
        if matches!(rule, Rejection::FeeRefused | Rejection::FeeOnBalanced) {
            continue;
        }
        // Wants an original on terms that moved nothing.
        let least = if rule == Rejection::OriginalMovedNothing { least / 5 } else { least };
        let times = all.refused(rule.number());
        assert!(times > least, "{} is rare: {times}", rule.code());
    }
    for what in NOT_RARE {
        let times = all.counts.get(*what).copied().unwrap_or(0);
        assert!(times > least, "`{what}` is rare: {times}");
    }
    assert!(all.refused(0) * 6 > all.outcomes, "too little is posted");
    assert!(all.repeats * 20 > all.outcomes, "too little is asked again");
}

#[test]
fn every_seed_ends_as_the_model_says() {
    match run(0..seeds(), threads(), Fault::None, &|_| {}) {
        Ok(all) => {
            println!("{all}");
            if all.seeds >= 2_000 {
                check_coverage(&all);
            }
        }
        Err(failed) => panic!("seed {}: {}", failed.seed, explain(failed.seed, Fault::None)),
    }
}

/// Whatever `DUCAT_SEEDS` says.
#[test]
fn seeds_that_once_found_a_fault_find_it_no_more() {
    for (seed, found) in FOUND {
        if let Err(failure) = attempt(&Plan::new(*seed), false) {
            panic!("seed {seed} ({found}): {}", failure.why);
        }
    }
}

#[test]
fn a_seed_means_one_run() {
    let run_of = |plan: &Plan| attempt(plan, false).expect("it passes");
    for seed in [0, 1, 77, 4_711, 1 << 63] {
        let plan = Plan::new(seed);
        let other = std::thread::scope(|scope| {
            scope.spawn(|| run_of(&plan)).join().expect("it does not panic")
        });
        assert_eq!(run_of(&plan), other, "seed {seed}");
    }
    let one = run_of(&Plan::new(0));
    assert_ne!(one.trace, run_of(&Plan::new(1)).trace);
    // The trace sees the order of steps even where answers do not.
    let other = Plan { seed: 99, ..Plan::new(0) };
    assert_ne!(run_of(&other).trace, one.trace);
    let sum = |threads| run(0..40, threads, Fault::None, &|_| {}).expect("they pass");
    assert_eq!(sum(1), sum(3), "the number of threads has no say");
}

#[test]
fn a_crash_between_any_two_steps_is_invisible() {
    for seed in 0..30 {
        let mut plan = Plan { crashes: Crashes::AtEnd, ..Plan::new(seed) };
        plan.script.truncate(5);
        let steps = attempt(&plan, false).expect("it passes").steps.min(120);
        for at in 0..steps as usize {
            plan.crashes = Crashes::After(at);
            if let Err(failure) = attempt(&plan, false) {
                panic!("seed {seed}, a crash after step {at}: {}", failure.why);
            }
        }
    }
}
