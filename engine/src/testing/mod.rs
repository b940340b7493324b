//! What the correctness tests of several rooms share, behind the feature `testing`: workloads
//! nasty on purpose, a small generator of random numbers, and a ledger with its journal in
//! memory.
//!
//! ```text
//! words (proptest, or a seed) ─▶ workload ─▶ script ─▶ book (ledger, events) ─▶ replay
//! ```

pub mod book;
pub mod driven;
pub mod fees;
mod notes;
pub mod rng;
mod terms;
pub mod workload;

use crate::transfer::Outcome;

/// Whether two answers are the same, but for the marks of repeats.
#[must_use]
pub fn same_outcomes(one: &[Outcome], other: &[Outcome]) -> bool {
    let unmarked = |outcome: &Outcome| Outcome { repeat: false, ..*outcome };
    one.iter().map(unmarked).eq(other.iter().map(unmarked))
}

/// How many cases a gate runs in all; `DUCAT_CASES` overrides it. Each property takes a share.
///
/// # Panics
/// When `DUCAT_CASES` is no number.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the size of a test run is no rule of money")]
pub fn cases(default: u32, share_percent: u32) -> u32 {
    let all = std::env::var("DUCAT_CASES").map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("DUCAT_CASES is a number of cases, not `{text}`"))
    });
    u64::from(all).saturating_mul(share_percent.into()).div_ceil(100).try_into().unwrap_or(u32::MAX)
}
