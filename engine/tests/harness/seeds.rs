//! A whole run out of one number.

use super::rng::Rng;
use super::scenario::{Case, Crashes};
use super::shell::Fault;
use super::workload::{RawStep, Script};

/// The run this seed stands for.
pub fn case(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let steps = 1 + rng.below(40);
    let calm_operators = rng.once_in(2);
    let longest = if rng.once_in(8) { 40 } else { 7 };
    let raw: Vec<RawStep> = (0..steps)
        .map(|_| {
            let kind = (rng.next() >> 32) as u8;
            let kind = if calm_operators { kind % 200 } else { kind };
            (kind, (0..=rng.below(longest)).map(|_| rng.next()).collect())
        })
        .collect();
    Case {
        script: Script::new(&raw).0,
        partitions: 1 << rng.below(5),
        crashes: match rng.below(4) {
            0 => Crashes::AtEnd,
            1 => Crashes::After(rng.below(400)),
            _ => Crashes::OnceIn(20 + rng.below(200)),
        },
        torn: rng.once_in(2),
        seed: rng.next(),
        fault: Fault::None,
    }
}
