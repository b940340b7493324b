//! Every id's events, in as little memory as possible: written down as the journal is read,
//! sorted once at its end.

use ducat_engine::ids::{Lsn, TransferId};

/// A pause between two new ids counts as this part of the time that ids are remembered at most,
/// whatever the clock says.
const PAUSES_IN_A_LIFE: u64 = 24;

/// The events of all ids.
#[derive(Debug)]
pub(crate) struct IdsAt {
    remember_ns: u64,
    /// Upper and lower half of the id, and its event.
    all: Vec<(u64, u64, Lsn)>,
    /// Where the age of the ledger changes, and to what: journalled time with its pauses cut
    /// short, nanoseconds.
    ages: Vec<(Lsn, u64)>,
    newest_ns: Option<u64>,
}

impl IdsAt {
    pub fn new(remember_ns: u64) -> Self {
        Self { remember_ns, all: Vec::new(), ages: vec![(Lsn::ZERO, 0)], newest_ns: None }
    }

    /// The event at `lsn`, decided at `time_ns`, consumed `id`.
    pub fn add(&mut self, id: TransferId, lsn: Lsn, time_ns: u64) {
        self.all.push((id.high(), id.low(), lsn));
        let pause_ns = time_ns.saturating_sub(self.newest_ns.unwrap_or(time_ns));
        if pause_ns > 0 {
            let age_ns = self.ages.last().map_or(0, |(_, age_ns)| *age_ns);
            let counted_ns = pause_ns.min(self.remember_ns / PAUSES_IN_A_LIFE);
            self.ages.push((lsn, age_ns.saturating_add(counted_ns)));
        }
        self.newest_ns = self.newest_ns.max(Some(time_ns));
    }

    fn age_at(&self, lsn: Lsn) -> u64 {
        let behind = self.ages.partition_point(|(from, _)| *from <= lsn);
        behind.checked_sub(1).map_or(0, |at| self.ages[at].1)
    }

    /// Whether what the event at `lsn` consumed must still be remembered at `later`.
    pub fn remembers(&self, lsn: Lsn, later: Lsn) -> bool {
        self.age_at(later).saturating_sub(self.age_at(lsn)) < self.remember_ns
    }

    pub fn sort(&mut self) {
        self.all.sort_unstable();
    }

    /// The events of an id, oldest first, once sorted.
    pub fn of(&self, id: TransferId) -> impl Iterator<Item = Lsn> + '_ {
        let key = (id.high(), id.low());
        let from = self.all.partition_point(|(high, low, _)| (*high, *low) < key);
        let same = self.all[from..].iter().take_while(move |(h, l, _)| (*h, *l) == key);
        same.map(|(_, _, lsn)| *lsn)
    }

    /// Ids with two events, the first of which was to be remembered when the second came.
    pub fn doubles(&self) -> impl Iterator<Item = (TransferId, Lsn, Lsn)> + '_ {
        self.all.windows(2).filter_map(|pair| {
            let [(high, low, first), (h, l, second)] = *pair else { return None };
            if (high, low) != (h, l) || !self.remembers(first, second) {
                return None;
            }
            Some((TransferId::from_halves(high, low).ok()?, first, second))
        })
    }
}
