//! The seeded simulator: one number decides the workload, the partitions, the batches, the
//! order of messages, the crashes and what a crash leaves of the last writes.
//!
//! `DUCAT_SEEDS` sets how many seeds are tried (default 2,000), `DUCAT_SEED` runs one alone.

mod harness;

use ducat_engine::rejection::Rejection;
use harness::scenario::{Case, Report, play};
use harness::seeds::case;
use harness::workload::Script;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[allow(clippy::disallowed_methods, reason = "the size of a test run is no rule of money")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// Runs a seed; a failure says how to run it again.
fn run(seed: u64) -> Report {
    let outcome = catch_unwind(AssertUnwindSafe(|| play(&case(seed))));
    let why = match outcome {
        Ok(Ok(report)) => return report,
        Ok(Err(why)) => why,
        Err(_) => "it panicked, see above".to_owned(),
    };
    panic!(
        "seed {seed}: {why}\nagain: DUCAT_SEED={seed} cargo test -p ducat-engine --test simulate"
    )
}

#[test]
fn every_seed_ends_as_the_model_says() {
    if let Some(seed) = number("DUCAT_SEED") {
        println!("seed {seed}: {:?}\n{:?}", run(seed), Script(case(seed).script));
        return;
    }
    let seeds = number("DUCAT_SEEDS").unwrap_or(2_000);
    let mut all = Report::default();
    for seed in 0..seeds {
        let report = run(seed);
        all.steps += report.steps;
        all.crashes += report.crashes;
        all.outcomes += report.outcomes;
        all.repeats += report.repeats;
        all.events += report.events;
        all.rounds += report.rounds;
        all.trace = all.trace.rotate_left(1) ^ report.trace;
        for (sum, more) in all.refusals.iter_mut().zip(report.refusals) {
            *sum += more;
        }
    }
    println!("{seeds} seeds: {all:?}");
    // A workload too tidy finds nothing: it must get everywhere.
    if seeds >= 500 {
        for rule in Rejection::ALL {
            assert!(all.refusals[usize::from(rule.number())] > 20, "{} is rare", rule.code());
        }
        assert!(all.refusals[0] * 5 > all.outcomes, "too little is posted");
        assert!(all.crashes as u64 > seeds && all.repeats * 20 > all.outcomes);
        assert!(all.rounds as u64 > seeds, "too few votes wait");
    }
}

#[test]
fn a_seed_means_one_run() {
    for seed in [0, 1, 77, 1 << 63] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(0).trace, run(1).trace);
    // The trace sees the order of steps even where answers do not.
    let other = Case { seed: 99, ..case(0) };
    assert_ne!(play(&other).expect("right").trace, run(0).trace);
}
