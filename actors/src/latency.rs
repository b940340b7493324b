//! How long things took, counted in buckets: two additions for each thing, read whenever somebody
//! asks. For what happens once for a batch or a call, not for each transfer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, microseconds: fine around 100 µs, where a sync of a good disk
/// lies, and up to what no client waits for.
pub const BOUNDS_US: [u64; 22] = [
    25, 50, 75, 100, 150, 200, 300, 500, 750, 1_000, 1_500, 2_500, 5_000, 7_500, 10_000, 25_000,
    50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
];

/// Durations in buckets.
#[derive(Debug, Default)]
pub struct Latency {
    /// The last one is for what is longer than every bound.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// What was counted, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyFigures {
    /// Upper bound in seconds, and how many lie in this bucket alone. The last bound is
    /// [`f64::MAX`].
    pub buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long all of them took together, seconds.
    pub sum_s: f64,
}

impl Latency {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let us = took.as_micros();
        let bucket = BOUNDS_US.partition_point(|&bound| u128::from(bound) < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was counted up to now.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn figures(&self) -> LatencyFigures {
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let bounds = BOUNDS_US.iter().map(|&us| us as f64 / 1e6).chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum_s = self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        LatencyFigures { buckets, count, sum_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_the_bucket_that_ends_with_it_or_behind_it() {
        let latency = Latency::default();
        for (us, bucket) in [(0, 0), (25, 0), (26, 1), (100, 3), (5_000_000, 21), (5_000_001, 22)] {
            let before = latency.figures().buckets[bucket].1;
            latency.observe(Duration::from_micros(us));
            assert_eq!(latency.figures().buckets[bucket].1, before + 1, "{us}");
        }
        let figures = latency.figures();
        assert_eq!(figures.count, 6);
        assert!((figures.sum_s - 10.000_152).abs() < 1e-9, "{}", figures.sum_s);
        assert!(BOUNDS_US.is_sorted());
    }
}
