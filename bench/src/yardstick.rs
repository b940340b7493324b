//! How fast the machine is at two things that have nothing to do with Ducat, so that figures
//! of two machines that call themselves by one name can be told apart: hashing, which is all
//! computing, and a walk through memory, which is all waiting.
//!
//! [`crate::facts::Machine`] measures both before a run and every report shows them.

use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::time::Instant;

/// Bytes hashed at a time: fits the second cache.
const HASHED: usize = 256 << 10;

/// Times it is hashed.
const ROUNDS: usize = 64;

/// Lines of 64 bytes that are walked through: 128 MiB, far more than any cache.
const LINES: u32 = 1 << 21;

/// Steps of the walk.
const STEPS: u32 = 1 << 20;

/// What one core does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Yardstick {
    /// BLAKE3 of what lies in the cache, microseconds for 1 MB (10⁶ bytes).
    pub blake3_us_per_mb: f64,
    /// A read of memory whose place is known only from the one before, nanoseconds.
    pub memory_ns: f64,
}

impl Yardstick {
    /// Measures both, in a fraction of a second.
    pub fn measure() -> Self {
        Self { blake3_us_per_mb: hashing(), memory_ns: walking() }
    }
}

/// The best of all rounds: what the core can do, not what else it had to do.
fn hashing() -> f64 {
    let block = vec![0x5a; HASHED];
    let rounds = (0..ROUNDS).map(|_| {
        let since = Instant::now();
        black_box(blake3::hash(black_box(&block)));
        since.elapsed().as_secs_f64() * 1e6
    });
    rounds.fold(f64::INFINITY, f64::min) / (HASHED as f64 / 1e6)
}

fn walking() -> f64 {
    let lines = cycle(LINES);
    let (mut at, since) = (0, Instant::now());
    for _ in 0..STEPS {
        at = lines[at as usize][0];
    }
    black_box(at);
    since.elapsed().as_secs_f64() * 1e9 / f64::from(STEPS)
}

/// Lines, each of which names the next: one way through all of them, in no order (Sattolo's
/// shuffle).
fn cycle(lines: u32) -> Vec<[u32; 16]> {
    let mut next: Vec<[u32; 16]> = (0..lines).map(|at| [at; 16]).collect();
    let mut rng = Rng::new(1, 0);
    for at in (1..lines).rev() {
        next.swap(at as usize, rng.below(u64::from(at)) as usize);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_comes_to_every_line_once() {
        let lines = cycle(1000);
        let (mut at, mut steps) = (0, 0);
        loop {
            at = lines[at as usize][0];
            steps += 1;
            if at == 0 {
                break;
            }
        }
        assert_eq!(steps, 1000);
    }

    #[test]
    fn both_take_time() {
        let Yardstick { blake3_us_per_mb, memory_ns } = Yardstick::measure();
        assert!(blake3_us_per_mb > 0.0 && blake3_us_per_mb.is_finite());
        assert!(memory_ns > 0.0 && memory_ns.is_finite());
    }
}
