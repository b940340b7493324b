//! The memory of transfer ids: which event decided each of them.
//!
//! An id is remembered with the LSN of its event; what was asked and answered is read back
//! from the journal, so that a repeat is compared with all of its content and costs some 30
//! bytes of memory, not the whole outcome.
//!
//! Ids live in two generations. When the younger one has grown for the time that ids must be
//! remembered, it becomes the older one and the older one is forgotten: each id is remembered
//! for at least that time and at most twice.
//!
//! Age is journalled time with its pauses cut short ([`PAUSES_IN_A_LIFE`]): a clock that jumps
//! by a year must not make a ledger forget what it decided a second ago.

mod closed;
mod export;
mod glance;

pub use export::{Age, IdsHead, IdsPiece, PIECE_IDS, Run};

use crate::holds::Closed;
use crate::id_table::{Bits, IdTable, Position};
use crate::ids::{Lsn, TransferId};
use closed::ClosedHolds;
use export::Export;

/// How long a ledger remembers an id at least: 24 hours of journalled time, nanoseconds. It is
/// no setting, since replay must forget exactly what the live run forgot.
pub const REMEMBER_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// A pause between two new ids counts as at most this part of the time that ids are remembered:
/// an hour of a day.
const PAUSES_IN_A_LIFE: u64 = 24;

/// Ids in the order of their events. New ids get one LSN after the other, but for the events
/// in between that consume no id, so only where a run begins its LSN is kept.
#[derive(Clone, Debug)]
struct Generation {
    ids: IdTable<()>,
    runs: Vec<(Position, Lsn)>,
    /// The LSN that continues the last run.
    next: Lsn,
    /// How holds among them ended.
    closed: ClosedHolds,
}

/// Remembered transfer ids.
#[derive(Clone, Debug)]
pub struct KnownIds {
    seed: u64,
    young: Generation,
    old: Generation,
    /// Age of the younger generation, pauses cut short, nanoseconds.
    young_age_ns: u64,
    /// Journalled time of the newest id.
    newest_ns: Option<u64>,
    remember_ns: u64,
    /// The snapshot for which ids are being given up, if there is one.
    export: Option<Box<Export>>,
}

impl KnownIds {
    /// An empty memory that keeps each id at least `remember_ns`. The seed scatters ids;
    /// choose it so that callers cannot guess it.
    #[must_use]
    pub fn new(seed: u64, remember_ns: u64) -> Self {
        Self {
            seed,
            young: Generation::new(seed),
            old: Generation::new(seed),
            young_age_ns: 0,
            newest_ns: None,
            remember_ns,
            export: None,
        }
    }

    /// How many ids are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.ids.len() + self.old.ids.len()
    }

    /// How many would still be remembered after an id consumed at `time_ns`, before it is
    /// added.
    #[must_use]
    pub fn len_at(&self, time_ns: u64) -> usize {
        if self.passes_at(time_ns) { self.young.ids.len() } else { self.len() }
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let exported = self.export.as_ref().map_or(0, |export| export.memory_bytes());
        self.young.memory_bytes() + self.old.memory_bytes() + exported
    }

    /// The event that decided `id`.
    #[must_use]
    pub fn get(&self, id: TransferId) -> Option<Lsn> {
        let bits = self.bits(id);
        self.young.get(bits, id).or_else(|| self.old.get(bits, id))
    }

    /// How the hold with this id ended; `None` when it is open, no hold, or not remembered.
    #[must_use]
    pub fn closed(&self, id: TransferId) -> Option<Closed> {
        let bits = self.bits(id);
        self.young.closed(bits, id).or_else(|| self.old.closed(bits, id))
    }

    /// Notes how the hold that the event at `placed` placed under this id ended, if that is
    /// remembered. The id may stand for a later request by now.
    pub(crate) fn close(&mut self, id: TransferId, placed: Lsn, closed: Closed) {
        let bits = self.bits(id);
        for generation in [&mut self.young, &mut self.old] {
            if let Some((position, ())) = generation.ids.get_at(bits, id.high(), id.low())
                && generation.lsn(position) == placed
            {
                generation.closed.set(position, closed);
                return;
            }
        }
    }

    /// By which both generations, having the same seed, find the id.
    #[inline]
    pub(crate) fn bits(&self, id: TransferId) -> Bits {
        self.young.ids.bits(id.high(), id.low())
    }

    /// Asks for the memory that [`Self::get`] and [`Self::insert_at`] of the id with these bits will
    /// need.
    #[inline]
    pub(crate) fn prefetch(&self, bits: Bits) {
        self.young.ids.prefetch(bits);
        self.old.ids.prefetch(bits);
    }

    /// Remembers that the event at `lsn`, decided at `time_ns`, consumed `id`. Returns the
    /// event that consumed it before, in which case nothing changes: only what is journalled
    /// may make ids be forgotten, or replay would forget others than the live run did.
    pub fn insert(&mut self, id: TransferId, lsn: Lsn, time_ns: u64) -> Option<Lsn> {
        self.insert_at(self.bits(id), id, lsn, time_ns)
    }

    /// As [`Self::insert`], with the id's bits.
    #[inline]
    pub(crate) fn insert_at(
        &mut self,
        bits: Bits,
        id: TransferId,
        lsn: Lsn,
        time_ns: u64,
    ) -> Option<Lsn> {
        // The time of the newest id is that of a whole batch: nothing grows older in it.
        if self.newest_ns == Some(time_ns) && self.young_age_ns < self.remember_ns {
            let before = self.old.get(bits, id);
            return before.or_else(|| self.young.insert(bits, id, lsn));
        }
        self.insert_later(bits, id, lsn, time_ns)
    }

    /// Remembers an id decided later than the newest one.
    fn insert_later(&mut self, bits: Bits, id: TransferId, lsn: Lsn, time_ns: u64) -> Option<Lsn> {
        if let Some(before) = self.young.get(bits, id) {
            return Some(before);
        }
        if self.passes_at(time_ns) {
            let young = std::mem::replace(&mut self.young, Generation::new(self.seed));
            let dropped = std::mem::replace(&mut self.old, young);
            if let Some(export) = &mut self.export {
                export.keep(dropped);
            }
            self.young_age_ns = 0;
        } else {
            if let Some(before) = self.old.get(bits, id) {
                return Some(before);
            }
            self.young_age_ns = self.age_at(time_ns);
        }
        self.newest_ns = Some(time_ns);
        self.young.insert(bits, id, lsn)
    }

    /// Whether the younger generation is due to become the older one.
    fn passes_at(&self, time_ns: u64) -> bool {
        self.age_at(time_ns) >= self.remember_ns
    }

    /// How old the younger generation would be with an id consumed at `time_ns`.
    fn age_at(&self, time_ns: u64) -> u64 {
        let pause = time_ns.saturating_sub(self.newest_ns.unwrap_or(time_ns));
        self.young_age_ns.saturating_add(pause.min(self.remember_ns / PAUSES_IN_A_LIFE))
    }
}

impl Generation {
    fn new(seed: u64) -> Self {
        let closed = ClosedHolds::default();
        Self { ids: IdTable::new(seed), runs: Vec::new(), next: Lsn::ZERO, closed }
    }

    fn memory_bytes(&self) -> usize {
        self.ids.memory_bytes()
            + self.runs.capacity() * size_of::<(Position, Lsn)>()
            + self.closed.memory_bytes()
    }

    fn closed(&self, bits: Bits, id: TransferId) -> Option<Closed> {
        let (position, ()) = self.ids.get_at(bits, id.high(), id.low())?;
        self.closed.get(position)
    }

    #[inline]
    fn get(&self, bits: Bits, id: TransferId) -> Option<Lsn> {
        self.ids.get_at(bits, id.high(), id.low()).map(|(position, ())| self.lsn(position))
    }

    #[inline]
    fn insert(&mut self, bits: Bits, id: TransferId, lsn: Lsn) -> Option<Lsn> {
        let position = self.ids.len() as Position;
        if let Some((before, ())) = self.ids.insert_at(bits, id.high(), id.low(), ()) {
            return Some(self.lsn(before));
        }
        if lsn != self.next || self.runs.is_empty() {
            self.runs.push((position, lsn));
        }
        self.next = lsn.next();
        None
    }

    fn lsn(&self, position: Position) -> Lsn {
        let behind = self.runs.partition_point(|(first, _)| *first <= position);
        let (first, lsn) = self.runs[behind - 1];
        Lsn(lsn.0 + u64::from(position - first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u128) -> TransferId {
        TransferId::new(value).expect("not zero")
    }

    #[test]
    fn an_id_is_consumed_once() {
        let mut known = KnownIds::new(1, 1_000);
        assert_eq!(known.insert(id(5), Lsn(1), 0), None);
        assert_eq!(known.insert(id(5), Lsn(2), 1), Some(Lsn(1)));
        assert_eq!(known.get(id(5)), Some(Lsn(1)));
        assert_eq!(known.get(id(6)), None);
        assert_eq!(known.len(), 1);
    }

    /// Inserts ids that nobody asks for, without a pause longer than `step`.
    fn fill(known: &mut KnownIds, times: std::ops::RangeInclusive<u64>, step: usize) {
        for time in times.step_by(step) {
            known.insert(id(u128::from(time) << 64), Lsn(time), time);
        }
    }

    #[test]
    fn an_id_is_remembered_at_least_as_long_as_asked_and_forgotten_after_twice_that() {
        let mut known = KnownIds::new(1, 1_000);
        known.insert(id(1), Lsn(1), 10_000);
        fill(&mut known, 10_040..=10_960, 40);
        known.insert(id(2), Lsn(2), 10_999);
        known.insert(id(3), Lsn(3), 11_000);
        fill(&mut known, 11_040..=11_960, 40);
        assert_eq!(known.insert(id(2), Lsn(4), 11_998), Some(Lsn(2)));
        known.insert(id(4), Lsn(5), 12_000);
        assert_eq!(known.get(id(1)), None);
        assert_eq!(known.get(id(2)), None);
        assert_eq!(known.get(id(3)), Some(Lsn(3)));
    }

    #[test]
    fn a_clock_that_jumps_makes_nothing_be_forgotten() {
        let mut known = KnownIds::new(1, 24_000);
        known.insert(id(1), Lsn(1), 0);
        // Each jump is as long as a hundred lives, and counts as a pause of 1,000.
        for jump in 1..=23 {
            known.insert(id(1 + jump), Lsn(2), 2_400_000 * jump as u64);
            assert_eq!(known.get(id(1)), Some(Lsn(1)), "after {jump} jumps");
        }
        assert_eq!(known.len_at(u64::MAX), known.len(), "one jump short of a life");
        known.insert(id(100), Lsn(3), 2_400_000 * 24);
        assert_eq!((known.get(id(1)), known.len_at(u64::MAX)), (Some(Lsn(1)), 25));
    }

    #[test]
    fn room_comes_back_when_ids_are_due_to_be_forgotten() {
        let mut known = KnownIds::new(1, 1_000);
        known.insert(id(1), Lsn(1), 0);
        fill(&mut known, 40..=1_960, 40);
        assert_eq!((known.len_at(1_999), known.len_at(2_000)), (50, 25));
    }

    #[test]
    fn events_in_between_that_consume_no_id_are_left_out() {
        let mut known = KnownIds::new(7, u64::MAX);
        let lsn = |n: u64| Lsn(n + n / 10 + n / 1_000 * 50);
        for n in 1..=20_000 {
            known.insert(id(u128::from(n)), lsn(n), n);
        }
        for n in 1..=20_000 {
            assert_eq!(known.get(id(u128::from(n))), Some(lsn(n)));
        }
    }

    #[test]
    fn an_id_costs_at_most_36_bytes() {
        let mut known = KnownIds::new(7, u64::MAX);
        for n in 1..=1_000_000u64 {
            known.insert(id(u128::from(n) << 40 | 77), Lsn(n), 0);
            if n >= 500_000 && n % 10_000 == 0 {
                assert!(known.memory_bytes() as u64 <= 36 * n, "{n}: {}", known.memory_bytes());
            }
        }
        assert_eq!(known.len(), 1_000_000);
    }
}
