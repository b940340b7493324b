//! Every id's events, in as little memory as possible: written down as the journal is read,
//! sorted once at its end.

use ducat_engine::ids::{Lsn, TransferId};

/// The events of all ids.
#[derive(Debug, Default)]
pub(crate) struct IdsAt {
    /// Upper and lower half of the id, and its event.
    all: Vec<(u64, u64, Lsn)>,
    /// Where the time of decision changes, and to what.
    times: Vec<(Lsn, u64)>,
}

impl IdsAt {
    pub fn add(&mut self, id: TransferId, lsn: Lsn) {
        self.all.push((id.high(), id.low(), lsn));
    }

    /// Events from `lsn` on were decided at `time_ns`.
    pub fn time(&mut self, lsn: Lsn, time_ns: u64) {
        if self.times.last().is_none_or(|(_, before)| *before != time_ns) {
            self.times.push((lsn, time_ns));
        }
    }

    /// When the event at `lsn` was decided.
    pub fn time_at(&self, lsn: Lsn) -> u64 {
        let behind = self.times.partition_point(|(from, _)| *from <= lsn);
        behind.checked_sub(1).map_or(0, |at| self.times[at].1)
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

    /// Ids with two events, the younger of which came within `remember_ns` of the older.
    pub fn doubles(&self, remember_ns: u64) -> impl Iterator<Item = (TransferId, Lsn, Lsn)> + '_ {
        self.all.windows(2).filter_map(move |pair| {
            let [(high, low, first), (h, l, second)] = *pair else { return None };
            if (high, low) != (h, l) {
                return None;
            }
            let age = self.time_at(second).saturating_sub(self.time_at(first));
            let id = TransferId::from_halves(high, low).ok()?;
            (age < remember_ns).then_some((id, first, second))
        })
    }
}
