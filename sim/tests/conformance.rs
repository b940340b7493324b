//! The journal's conformance suite over the simulator's journal: it keeps the contract that the
//! one on sled keeps.

use ducat_engine::ids::Lsn;
use ducat_persistence::conformance::{self, Harm, SHARD, Subject};
use ducat_persistence::{Journal, LedgerId};
use ducat_sim::disk::Shared;
use ducat_sim::faults::Fault;
use ducat_sim::journal::{Options, SimJournal, format};

struct Sim {
    disk: Shared,
    journal: SimJournal,
    cut: bool,
}

const LEDGER: [u8; 16] = [7; 16];

fn open(disk: &Shared) -> SimJournal {
    let options = Options { block_bytes: 2_000, segment_bytes: 60_000 };
    SimJournal::open(disk, LedgerId::from_bytes(LEDGER), options, Fault::None).expect("opens")
}

impl Sim {
    fn new(cut: bool) -> Self {
        let disk = Shared::new(1);
        format(&disk, LedgerId::from_bytes(LEDGER)).expect("formats");
        let journal = open(&disk);
        Self { disk, journal, cut }
    }
}

impl Subject for Sim {
    fn journal(&self) -> &dyn Journal {
        &self.journal
    }

    fn restart(&mut self) {
        self.disk.lock().rates.sync = 0;
        if self.cut {
            self.disk.lock().power_cycle();
        }
        self.journal = open(&self.disk);
    }

    fn fail_next_append(&mut self) {
        self.disk.lock().rates.sync = 1;
    }

    fn restart_damaged(&mut self, lsn: Lsn, how: Harm) {
        let frame = self.journal.frame_at(SHARD, lsn).expect("reads").expect("is there");
        self.disk.lock().harm(frame.bytes(), how == Harm::Flip);
        self.restart();
    }
}

macro_rules! suite {
    ($name:ident, $cut:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn the_contract_is_kept() {
                conformance::empty_journal(&mut Sim::new($cut));
                conformance::round_trip(&mut Sim::new($cut));
                conformance::reopening(&mut Sim::new($cut));
                conformance::visitor_refuses(&mut Sim::new($cut));
                conformance::zombie_writer(&mut Sim::new($cut));
                conformance::misuse(&mut Sim::new($cut));
                conformance::failed_append(&mut Sim::new($cut));
                conformance::trim(&mut Sim::new($cut));
                conformance::readers_while_writing(&mut Sim::new($cut));
                conformance::behind_a_place(&mut Sim::new($cut));
            }

            #[test]
            fn damage_is_loud() {
                for lsn in [1, 1_000, 2_000, 2_005].map(Lsn) {
                    for how in [Harm::Flip, Harm::Lose] {
                        conformance::damage_is_loud(&mut Sim::new($cut), lsn, how);
                    }
                }
            }
        }
    };
}

suite!(killed, false);
suite!(power_cut, true);
