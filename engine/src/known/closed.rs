//! How closed holds ended, noted beside their ids: two bits for each id, and those only where a
//! hold was closed among 32,768 ids in a row. Holds that are closed cost nothing else, and
//! ids of a ledger without holds nothing at all.

use crate::holds::Closed;
use crate::id_table::Position;
use std::sync::Arc;

/// Ids whose bits lie together.
const IDS: usize = 1 << 15;

/// Ids in one word.
const WORD_IDS: usize = 32;

/// Where holds were closed, by position.
#[derive(Clone, Debug, Default)]
pub(super) struct ClosedHolds {
    /// Shared with a snapshot on its way, until one changes.
    pieces: Vec<Option<Arc<[u64; IDS / WORD_IDS]>>>,
}

impl ClosedHolds {
    pub fn memory_bytes(&self) -> usize {
        let piece = size_of::<[u64; IDS / WORD_IDS]>();
        self.pieces.capacity() * size_of::<Option<Arc<()>>>()
            + self.pieces.iter().flatten().count() * piece
    }

    /// How the hold with the id in this position ended; `None` when it is open, or no hold.
    pub fn get(&self, position: Position) -> Option<Closed> {
        let position = position as usize;
        let piece = self.pieces.get(position / IDS)?.as_ref()?;
        let word = piece[position % IDS / WORD_IDS];
        Closed::from_number((word >> (2 * (position % WORD_IDS)) & 3) as u8)
    }

    /// Notes how it ended.
    pub fn set(&mut self, position: Position, closed: Closed) {
        let position = position as usize;
        if self.pieces.len() <= position / IDS {
            self.pieces.resize(position / IDS + 1, None);
        }
        let piece = self.pieces[position / IDS].get_or_insert_with(|| Arc::new([0; _]));
        let word = &mut Arc::make_mut(piece)[position % IDS / WORD_IDS];
        let shift = 2 * (position % WORD_IDS);
        *word = *word & !(3 << shift) | u64::from(closed.number()) << shift;
    }

    /// Those among these positions, in order.
    pub fn among(
        &self,
        positions: std::ops::Range<usize>,
    ) -> impl Iterator<Item = (Position, Closed)> + '_ {
        let pieces = positions.start / IDS..positions.end.div_ceil(IDS).min(self.pieces.len());
        let words = pieces.filter_map(|at| Some((at, self.pieces[at].as_ref()?)));
        let words = words.flat_map(|(at, piece)| {
            let first = at * IDS;
            piece.iter().enumerate().map(move |(word, bits)| (first + word * WORD_IDS, *bits))
        });
        words
            .filter(|(_, bits)| *bits != 0)
            .flat_map(|(first, bits)| {
                (0..WORD_IDS).map(move |at| (first + at, (bits >> (2 * at) & 3) as u8))
            })
            .filter(move |(at, _)| positions.contains(at))
            .filter_map(|(at, number)| Some((at as Position, Closed::from_number(number)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Closed::{Captured, Expired, Voided};

    #[test]
    fn each_id_has_its_own() {
        let mut closed = ClosedHolds::default();
        assert_eq!((closed.memory_bytes(), closed.get(0)), (0, None));
        let all = [(0, Voided), (1, Expired), (31, Captured), (32, Voided), (70_000, Expired)];
        for (position, how) in all {
            closed.set(position, how);
        }
        let before = closed.clone();
        closed.set(2, Captured);
        for (position, how) in all {
            assert_eq!(closed.get(position), Some(how));
        }
        assert_eq!((closed.get(2), before.get(2)), (Some(Captured), None));
        assert_eq!(
            [3, 30, 33, 40_000, 69_999, 70_001, 1 << 30].map(|at| closed.get(at)),
            [None; 7]
        );
        assert!(before.among(0..80_000).eq(all));
        assert!(before.among(1..70_000).eq(all[1..4].iter().copied()));
        // Two of three pieces of 8 KiB.
        assert!(closed.memory_bytes() < 17_000);
    }
}
