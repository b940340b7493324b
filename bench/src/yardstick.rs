//! How fast the machine is at three things that have nothing to do with Ducat, so that figures
//! of two machines that call themselves by one name can be told apart: hashing, which is all
//! computing; a walk through memory, which is all waiting; and memory touched for the first time, which
//! on a virtual machine may be a hundred times what it is on another, since its host has to find it.
//!
//! [`crate::facts::Machine`] measures them before a run and every report shows them.

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

/// Bytes touched for the first time.
const FRESH: usize = 128 << 20;

/// The smallest page.
const PAGE: usize = 4096;

/// What one core does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Yardstick {
    /// BLAKE3 of what lies in the cache, microseconds for 1 MB (10⁶ bytes).
    pub blake3_us_per_mb: f64,
    /// A read of memory whose place is known only from the one before, nanoseconds.
    pub memory_ns: f64,
    /// Memory touched for the first time, microseconds for 1 MB (10⁶ bytes).
    #[serde(default)]
    pub fresh_us_per_mb: Option<f64>,
}

impl Yardstick {
    /// Measures all, in a fraction of a second where memory comes at once.
    pub fn measure() -> Self {
        // First: what the walk leaves behind would not be fresh.
        let fresh_us_per_mb = Some(touching());
        Self { blake3_us_per_mb: hashing(), memory_ns: walking(), fresh_us_per_mb }
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

fn touching() -> f64 {
    let mut fresh: Vec<u8> = Vec::with_capacity(FRESH);
    let since = Instant::now();
    for page in fresh.spare_capacity_mut().iter_mut().step_by(PAGE) {
        page.write(1);
    }
    let passed = since.elapsed().as_secs_f64() * 1e6;
    black_box(&mut fresh);
    passed / (FRESH as f64 / 1e6)
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
    fn all_take_time() {
        let Yardstick { blake3_us_per_mb, memory_ns, fresh_us_per_mb } = Yardstick::measure();
        assert!(fresh_us_per_mb.is_some_and(|fresh| fresh > 0.0 && fresh.is_finite()));
        assert!(blake3_us_per_mb > 0.0 && blake3_us_per_mb.is_finite());
        assert!(memory_ns > 0.0 && memory_ns.is_finite());
    }
}
