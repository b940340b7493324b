//! The parts of a transfer's way through the engine, each as something that can be repeated
//! and measured alone. Two programs run them: the benchmarks beside this directory take their
//! time by criterion, `examples/instructions.rs` counts their instructions under callgrind.
//!
//! ```text
//! codec ─ request: decode, convert         batch ─ add ▸ prepare ▸ decide ▸ commit ▸ conclude
//!         answers: encode                  frame ─ push, seal, parse, scan
//!         record: encode, decode           append ─ to sled (durable), to memory
//! dedupe ─ the memory of ids               replay ─ records back into a ledger
//! ```
//!
//! Everything is made from fixed seeds, so that every run does the same work.

// Each program uses some of it.
#![allow(dead_code)]

pub mod append;
pub mod bank;
pub mod batch;
pub mod codec;
pub mod dedupe;
pub mod frame;
pub mod path;
pub mod replay;

// The load harness's own; a benchmark is built with `cfg(test)` but without its tests.
#[allow(unused_imports)]
#[path = "../../src/rng.rs"]
pub mod rng;
#[allow(unused_imports)]
#[path = "../../src/zipf.rs"]
pub mod zipf;

use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use std::time::{Duration, Instant};

// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seed of everything drawn, and of the hash tables.
pub const SEED: u64 = 0xd0ca_7000_0000_0001;

/// Now, in nanoseconds since the Unix epoch: always the same.
pub const NOW_NS: u64 = 1_760_000_000_000_000_000;

/// The size of a batch when the engine is busy.
pub const BATCH: usize = 8_192;

/// One part, under one condition.
pub struct Part {
    /// The group it belongs to, e.g. `batch`.
    pub group: &'static str,
    /// What is done, e.g. `prepare`.
    pub name: &'static str,
    /// To what, e.g. `8192 of 10000 accounts`.
    pub condition: String,
    /// Elements (transfers, records, ids) in one repetition.
    pub elements: usize,
    make: Box<dyn Fn() -> Repeat>,
}

/// Does the part once; what is to be measured goes through the meter.
pub type Repeat = Box<dyn FnMut(&mut Meter)>;

impl Part {
    /// The part that `make` prepares, which is called only when it is measured.
    pub fn new<R: FnMut(&mut Meter) + 'static>(
        (group, name): (&'static str, &'static str),
        condition: impl Into<String>,
        elements: usize,
        make: impl Fn() -> R + 'static,
    ) -> Self {
        let condition = condition.into();
        Self { group, name, condition, elements, make: Box::new(move || Box::new(make())) }
    }

    /// Prepares it.
    pub fn make(&self) -> Repeat {
        (self.make)()
    }

    /// All of its name.
    pub fn full_name(&self) -> String {
        format!("{}/{}/{}", self.group, self.name, self.condition)
    }
}

/// Measures what goes through it and nothing else.
pub struct Meter {
    on: bool,
    elapsed: Duration,
}

impl Meter {
    /// Measures.
    pub const fn on() -> Self {
        Self { on: true, elapsed: Duration::ZERO }
    }

    /// Lets the work be done unmeasured: for a first repetition, in which buffers grow.
    pub const fn off() -> Self {
        Self { on: false, elapsed: Duration::ZERO }
    }

    /// Does the work and takes its time. What it returns is dropped by the caller, unmeasured.
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if !self.on {
            return work();
        }
        let begun = Instant::now();
        let made = ducat_measured(work);
        self.elapsed += begun.elapsed();
        made
    }
}

/// Callgrind counts while it is in this function: `examples/instructions.rs` names it.
#[inline(never)]
fn ducat_measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// Takes the time of these parts, per element.
pub fn bench(criterion: &mut Criterion, parts: Vec<Part>) {
    for part in parts {
        let mut group = criterion.benchmark_group(part.group);
        group.throughput(Throughput::Elements(part.elements as u64));
        let mut repeat = None;
        group.bench_function(BenchmarkId::new(part.name, &part.condition), |bencher| {
            let repeat = repeat.get_or_insert_with(|| part.make());
            bencher.iter_custom(|times| {
                let mut meter = Meter::on();
                (0..times).for_each(|_| repeat(&mut meter));
                meter.elapsed
            });
        });
        group.finish();
    }
}

/// Short runs, about three minutes for all parts. Where tables of ids grow meanwhile, times
/// scatter by a tenth.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}
