//! Bugs on purpose: the simulator must find each of them, and soon. What it prints is the table
//! in `docs/RELIABILITY.md`.

use ducat_sim::faults::Fault;
use ducat_sim::run::run;

/// How many seeds a bug may survive. Which seed finds it first is fixed, as everything is.
const SEEDS_MAX: u64 = 2_000;

#[test]
fn every_planted_bug_is_found() {
    // Assertions of the engine are one way in which bugs show.
    std::panic::set_hook(Box::new(|_| {}));
    let mut survived = Vec::new();
    for fault in Fault::ALL {
        match run(0..SEEDS_MAX, 2, fault, &|_| {}) {
            Ok(_) => survived.push(fault),
            Err(failed) => {
                let how = failed.why.lines().next().unwrap_or_default().to_owned();
                println!("{fault:?}: seed {}: {how}", failed.seed);
            }
        }
    }
    drop(std::panic::take_hook());
    assert!(survived.is_empty(), "{survived:?} survive {SEEDS_MAX} seeds");
}
