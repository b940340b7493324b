//! A whole run out of one number: the script, and how nasty the world is.

use crate::disk::Rates;
use crate::faults::Fault;
use crate::journal::Options;
use ducat_engine::testing::rng::Rng;
use ducat_engine::testing::workload::{RawStep, Script, Step};

/// When power is cut or the process killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crashes {
    /// Only once, at the end.
    AtEnd,
    /// After this step, counted from 0.
    After(usize),
    /// After any step, once in so many.
    OnceIn(usize),
}

/// A run, wholly.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What clients and operators do.
    pub script: Vec<Step>,
    /// A power of two.
    pub partitions: usize,
    /// Decides everything that is not decided here.
    pub seed: u64,
    pub crashes: Crashes,
    /// Once in how many appends, snapshots' writes and starts the plug is pulled in their middle.
    pub cuts: usize,
    pub rates: Rates,
    pub options: Options,
    /// Once in how many steps a snapshot begins, if none is on its way.
    pub snapshots: usize,
    /// Clients wait for the one before them: many small batches.
    pub patient: bool,
    /// An append waits for so many frames while there is anything else to do.
    pub lazy: usize,
    /// Once in how many decisions the clock jumps or stands still.
    pub clock: usize,
    /// How long ids are remembered, nanoseconds.
    pub remember_ns: u64,
    pub fault: Fault,
    /// Whether clients place holds. Then there is one batch at a time, as in the engine.
    pub with_holds: bool,
    /// Whether clients give money back; only where there are holds.
    pub with_refunds: bool,
    /// So many sagas are started; only where there are refunds.
    pub sagas: usize,
    /// So many schedules are defined; likewise.
    pub schedules: usize,
}

/// Tells which seeds have holds.
const HOLDS: u64 = 0x7f4a_7c15_9e37_79b9;

/// Tells which of those have refunds, and sagas.
const SAGAS: u64 = 0x94d0_49bb_1331_11eb;

/// Tells which of those have schedules.
const SCHEDULES: u64 = 0xbf58_476d_1ce4_e5b9;

impl Plan {
    /// The run this seed stands for.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        // Ids are forgotten after dozens of batches: some runs live that long.
        let long = rng.once_in(12);
        let steps = if long { 80 + rng.below(60) } else { 1 + rng.below(24) };
        let calm_operators = rng.once_in(2);
        let longest = match rng.below(8) {
            _ if long => 2,
            0 => 24,
            _ => 5,
        };
        let raw: Vec<RawStep> = (0..steps)
            .map(|_| {
                let kind = (rng.next() >> 32) as u8;
                let kind = if calm_operators { kind % 200 } else { kind };
                (kind, (0..=rng.below(longest)).map(|_| rng.next()).collect())
            })
            .collect();
        // Its own numbers, so that the runs of other seeds stay what they were.
        let with_holds = Rng::new(seed ^ HOLDS).once_in(2);
        let mut more = Rng::new(seed ^ SAGAS);
        let with_refunds = with_holds && more.once_in(2);
        let sagas = if with_refunds { more.below(4) } else { 0 };
        let mut yet_more = Rng::new(seed ^ SCHEDULES);
        let schedules = if with_refunds { yet_more.below(3) } else { 0 };
        let pick = |rng: &mut Rng, of: &[usize]| of[rng.below(of.len())];
        Self {
            script: match (with_holds, with_refunds) {
                (_, true) => Script::in_full(&raw),
                (true, false) => Script::new(&raw),
                (false, false) => Script::of_transfers(&raw),
            }
            .0,
            with_holds,
            with_refunds,
            sagas,
            schedules,
            partitions: 1 << rng.below(if long { 2 } else { 4 }),
            crashes: match rng.below(4) {
                0 => Crashes::AtEnd,
                1 => Crashes::After(rng.below(300)),
                _ => Crashes::OnceIn(20 + rng.below(200)),
            },
            cuts: pick(&mut rng, &[0, 4, 15]),
            rates: Rates {
                sync: pick(&mut rng, &[0, 0, 20, 60]),
                write: pick(&mut rng, &[0, 0, 40, 120]),
                full: pick(&mut rng, &[0, 0, 0, 80]),
            },
            options: Options {
                block_bytes: pick(&mut rng, &[100, 600, 3_000]),
                segment_bytes: pick(&mut rng, &[300, 1_500, 20_000]),
            },
            snapshots: pick(&mut rng, &[0, 15, 40, 150]),
            patient: long,
            lazy: pick(&mut rng, &[1, 1, 3, 5]),
            clock: if long { 1 } else { pick(&mut rng, &[0, 3, 10]) },
            remember_ns: pick(&mut rng, &[96, 2_400, if long { 480 } else { 1 << 40 }]) as u64,
            seed: rng.next(),
            fault: Fault::None,
        }
    }
}
