//! What the correctness tests share: workloads nasty on purpose, a shell that carries the
//! pure machines' messages one at a time, a disk that crashes, and the scenario that plays
//! clients, crashes and the serial model against each other.
//!
//! ```text
//! words (proptest, or a seed) ─▶ workload ─▶ script ─▶ scenario ─▶ shell ─▶ engine machines
//!                                                        │  ▲        │
//!                                             serial model  └─ disk ◀┘ records
//! ```

// Each test file uses another part of this.
#![allow(dead_code)]

pub mod disk;
pub mod rng;
pub mod scenario;
pub mod seeds;
pub mod shell;
pub mod workload;

use ducat_engine::transfer::Outcome;

/// Whether two answers are the same, but for the marks of repeats.
pub fn same_outcomes(one: &[Outcome], other: &[Outcome]) -> bool {
    let unmarked = |outcome: &Outcome| Outcome { repeat: false, ..*outcome };
    one.iter().map(unmarked).eq(other.iter().map(unmarked))
}

/// How many cases a gate runs in all; `DUCAT_CASES` overrides it. Each property takes a share.
#[allow(clippy::disallowed_methods, reason = "the size of a test run is no rule of money")]
pub fn cases(default: u32, share_percent: u32) -> u32 {
    let all = std::env::var("DUCAT_CASES").map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("DUCAT_CASES is a number of cases, not `{text}`"))
    });
    u64::from(all).saturating_mul(share_percent.into()).div_ceil(100).try_into().unwrap_or(u32::MAX)
}
