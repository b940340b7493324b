//! The memory of ids as a snapshot needs it: as it was at one moment, given up in pieces while
//! new ids come in and old ones are forgotten.
//!
//! Nothing is copied to begin with: a generation only ever grows at its end, so what it held
//! at the moment is its beginning, and how long that is. (How holds ended is noted later: those
//! notes are shared, and copied piece by piece as they change.) The one thing that takes ids away is
//! a generation's passing, and then the snapshot gets the generation that is dropped:
//!
//! ```text
//!                  old      young                     what is to be given
//! begin            A        B                         A, B as far as it had come
//! ids pass         B        C            A dropped ─▶ A kept here without its pages
//! ids pass again   C        D            B dropped ─▶ B kept here without its pages
//! ```

use super::closed::ClosedHolds;
use super::{Generation, KnownIds};
use crate::holds::Closed;
use crate::id_table::Position;
use crate::ids::{Lsn, TransferId};
use crate::prefetch::{AHEAD, Ahead};

/// Ids in one piece.
pub const PIECE_IDS: usize = 28_672;

/// What the memory of ids is, before its ids are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdsHead {
    /// How long each id is remembered at least, nanoseconds.
    pub remember_ns: u64,
    /// Age of the younger generation, pauses cut short, nanoseconds.
    pub young_age_ns: u64,
    /// Journalled time of the newest id, nanoseconds since the Unix epoch; none without ids.
    pub newest_ns: Option<u64>,
    /// Ids in the older generation.
    pub old: u64,
    /// Ids in the younger generation.
    pub young: u64,
}

/// The two generations, the older one first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Age {
    /// Forgotten next.
    Old,
    /// Becomes the older one next.
    Young,
}

/// Ids whose events follow one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The event of the first.
    pub first: Lsn,
    /// How many there are.
    pub count: u32,
}

/// Some ids of one generation, in the order of their events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdsPiece {
    /// Which generation's.
    pub age: Age,
    /// The ids' events.
    pub runs: Vec<Run>,
    /// As many as the runs count.
    pub ids: Vec<TransferId>,
    /// Those of closed holds, by their place among the ids, and how each ended.
    pub closed: Vec<(u32, Closed)>,
}

impl IdsPiece {
    /// Each id with its event.
    pub fn pairs(&self) -> impl Iterator<Item = (TransferId, Lsn)> + '_ {
        let lsns = self
            .runs
            .iter()
            .flat_map(|run| (0..u64::from(run.count)).map(|behind| run.first.plus(behind)));
        self.ids.iter().copied().zip(lsns)
    }
}

/// Ids being given up for a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Export {
    ends: [usize; 2],
    /// How holds had ended, of the older and the younger generation.
    closed: [ClosedHolds; 2],
    age: Age,
    next: usize,
    /// Generations dropped since it began, in order, as far as they are part of it.
    dropped: Vec<Generation>,
    passed: usize,
}

impl Export {
    /// A generation is dropped by the memory: kept here while ids of it are to be given.
    pub(super) fn keep(&mut self, mut generation: Generation) {
        self.passed += 1;
        if self.passed <= self.ends.len() {
            generation.ids.forget_places();
            self.dropped.push(generation);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.dropped.iter().map(Generation::memory_bytes).sum()
    }
}

impl KnownIds {
    /// From now on gives up the ids as they are at this moment. A snapshot that was not
    /// finished is forgotten.
    pub fn begin_export(&mut self) -> IdsHead {
        let ends = [self.old.ids.len(), self.young.ids.len()];
        let (age, next) = (Age::Old, 0);
        let closed = [self.old.closed.clone(), self.young.closed.clone()];
        let export = Export { ends, closed, age, next, dropped: Vec::new(), passed: 0 };
        self.export = Some(Box::new(export));
        IdsHead {
            remember_ns: self.remember_ns,
            young_age_ns: self.young_age_ns,
            newest_ns: self.newest_ns,
            old: ends[0] as u64,
            young: ends[1] as u64,
        }
    }

    /// The next ids, at most `most` of one generation ([`PIECE_IDS`], outside of tests); `None`
    /// once all are given.
    #[must_use]
    pub fn give(&mut self, most: usize) -> Option<IdsPiece> {
        assert!(most > 0, "a piece holds ids");
        let export = self.export.as_mut()?;
        if export.age == Age::Old && export.next == export.ends[0] {
            (export.age, export.next) = (Age::Young, 0);
            if let Some(given) = export.dropped.first_mut() {
                *given = Generation::new(self.seed);
            }
        }
        let number = usize::from(export.age == Age::Young);
        if export.next == export.ends[number] {
            self.export = None;
            return None;
        }
        let from = export.next;
        export.next = export.ends[number].min(from + most);
        // The generations that were old and young when it began have moved on by as many
        // places as generations have passed.
        let generation = export.dropped.get(number).unwrap_or(if number == export.passed {
            &self.old
        } else {
            &self.young
        });
        Some(generation.piece(export.age, from..export.next, &export.closed[number]))
    }

    /// Forgets a snapshot that was begun.
    pub fn end_export(&mut self) {
        self.export = None;
    }

    /// An empty memory with this one's seed, to be filled by [`Self::put`].
    #[must_use]
    pub(crate) fn restoring(&self, head: &IdsHead) -> Self {
        Self {
            young_age_ns: head.young_age_ns,
            newest_ns: head.newest_ns,
            ..Self::new(self.seed, head.remember_ns)
        }
    }

    /// Remembers the ids of a piece; pieces come in the order in which they were given.
    /// Returns an id that was there before, with its event.
    pub(crate) fn put(&mut self, piece: &IdsPiece) -> Option<(TransferId, Lsn)> {
        let mut ahead = Ahead::new(piece.ids.len(), AHEAD);
        for (at, (id, lsn)) in piece.pairs().enumerate() {
            piece.ids[ahead.at(at)].iter().for_each(|id| self.prefetch(self.bits(*id)));
            let bits = self.bits(id);
            let before = match piece.age {
                Age::Old => self.old.insert(bits, id, lsn),
                Age::Young => self.old.get(bits, id).or_else(|| self.young.insert(bits, id, lsn)),
            };
            if before.is_some() {
                return Some((id, lsn));
            }
        }
        for (at, closed) in &piece.closed {
            let id = piece.ids[*at as usize];
            let lsn = self.get(id).expect("just remembered");
            self.close(id, lsn, *closed);
        }
        None
    }
}

impl Generation {
    fn piece(&self, age: Age, positions: std::ops::Range<usize>, closed: &ClosedHolds) -> IdsPiece {
        let notes = closed.among(positions.clone());
        let closed = notes.map(|(at, how)| (at - positions.start as Position, how)).collect();
        let ids = self.ids.ids(positions.clone());
        let ids = ids.map(|(high, low)| {
            TransferId::from_halves(high, low).expect("an id that was remembered is not zero")
        });
        let ids: Vec<TransferId> = ids.collect();
        let (start, end) = (positions.start as Position, positions.end as Position);
        let mut at = self.runs.partition_point(|(first, _)| *first <= start);
        let mut runs = Vec::new();
        let mut from = start;
        while from < end {
            let to = self.runs.get(at).map_or(end, |(first, _)| end.min(*first));
            runs.push(Run { first: self.lsn(from), count: to - from });
            from = to;
            at += 1;
        }
        IdsPiece { age, runs, ids, closed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::PAUSES_IN_A_LIFE;

    fn id(value: u64) -> TransferId {
        TransferId::new(u128::from(value)).expect("not zero")
    }

    /// Every 1,000th event is of another kind.
    fn lsn(n: u64) -> Lsn {
        Lsn(n + n / 1_000)
    }

    fn fill(known: &mut KnownIds, ids: std::ops::Range<u64>, time_ns: u64) {
        for n in ids {
            assert_eq!(known.insert(id(n), lsn(n), time_ns), None);
        }
    }

    /// The next new id makes the younger generation the older one.
    fn make_due(known: &mut KnownIds) {
        known.young_age_ns = known.remember_ns;
    }

    fn all(known: &mut KnownIds) -> Vec<(Age, TransferId, Lsn)> {
        let mut copy = known.clone();
        copy.begin_export();
        std::iter::from_fn(|| copy.give(PIECE_IDS))
            .flat_map(|piece| {
                piece.pairs().map(|(id, lsn)| (piece.age, id, lsn)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn ids_are_given_as_they_were_whatever_is_remembered_and_forgotten_meanwhile() {
        let mut before = KnownIds::new(9, 1_000);
        fill(&mut before, 1..40_000, 0);
        make_due(&mut before);
        fill(&mut before, 40_000..120_000, 1_000);
        let expected = all(&mut before);
        assert_eq!(expected.len(), 119_999);
        for (passes, after) in (0..5_u64).flat_map(|passes| [0, 1, 2, 4].map(|n| (passes, n))) {
            let mut known = before.clone();
            let head = known.begin_export();
            assert_eq!((head.old, head.young), (39_999, 80_000));
            let mut given: Vec<IdsPiece> =
                (0..after).filter_map(|_| known.give(PIECE_IDS)).collect();
            for pass in 0..passes {
                let first = 120_000 + pass * 10;
                make_due(&mut known);
                fill(&mut known, first..first + 10, 2_000 + pass * 1_000);
            }
            given.extend(std::iter::from_fn(|| known.give(PIECE_IDS)));
            let pairs = given.iter().flat_map(|piece| {
                piece.pairs().map(|(id, lsn)| (piece.age, id, lsn)).collect::<Vec<_>>()
            });
            assert!(pairs.eq(expected.iter().copied()), "{passes} passes after {after} pieces");
            assert!(known.export.is_none());
            assert!(given.iter().all(|piece| piece.ids.len() <= PIECE_IDS));
        }
    }

    #[test]
    fn a_memory_built_again_is_the_same() {
        let mut known = KnownIds::new(9, 1_000);
        fill(&mut known, 1..40_000, 0);
        make_due(&mut known);
        fill(&mut known, 40_000..80_000, 1_000);
        // One more pause, of the longest that counts, and the older ids are forgotten.
        known.young_age_ns = 1_000 - 1_000 / PAUSES_IN_A_LIFE;
        let head = known.clone().begin_export();
        let mut again = KnownIds::new(4, 1_000).restoring(&head);
        let mut source = known.clone();
        source.begin_export();
        while let Some(piece) = source.give(PIECE_IDS) {
            assert_eq!(again.put(&piece), None);
        }
        assert_eq!(all(&mut again), all(&mut known));
        for memory in [&mut known, &mut again] {
            let late = 1_000 + 1_000 / PAUSES_IN_A_LIFE;
            assert_eq!(memory.insert(id(50_000), Lsn(100_000), late), Some(lsn(50_000)));
            assert_eq!(memory.insert(id(5), Lsn(100_000), late - 1), Some(lsn(5)));
            assert_eq!(memory.insert(id(5), Lsn(100_000), late), None);
        }
        let twice = IdsPiece {
            age: Age::Young,
            runs: vec![Run { first: Lsn(100_001), count: 1 }],
            ids: vec![id(60_000)],
            closed: Vec::new(),
        };
        assert_eq!(again.put(&twice), Some((id(60_000), Lsn(100_001))));
    }
}
