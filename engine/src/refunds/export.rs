//! What was refunded as a snapshot needs it: as it was at one moment, given up in pieces while
//! refunds go on. A change of what is yet to be given keeps what was there before.

use super::{RefundState, Refunds};
use crate::ids::Lsn;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Refunded transfers in one piece.
pub const PIECE_REFUNDS: usize = 4_096;

/// Some refunded transfers, in the order of their events.
pub type RefundsPiece = Vec<(Lsn, RefundState)>;

/// Refunded transfers being given up for a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Export {
    /// All up to this event were given.
    given: Lsn,
    /// As they were, of those that changed since; `None` where nothing had been refunded.
    kept: BTreeMap<Lsn, Option<RefundState>>,
}

impl Export {
    pub(super) fn keep(&mut self, original: Lsn, before: Option<RefundState>) {
        if original > self.given {
            self.kept.entry(original).or_insert(before);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.kept.len() * super::ENTRY_BYTES_MAX
    }
}

impl Refunds {
    /// From now on gives up what was refunded as of this moment. A snapshot that was not finished
    /// is forgotten.
    pub(crate) fn begin_export(&mut self) {
        self.export = (!self.is_empty()).then(Box::default);
    }

    /// The next refunded transfers, at most `most`, as they were when the export began; `None`
    /// once all are given.
    #[must_use]
    pub(crate) fn give(&mut self, most: usize) -> Option<RefundsPiece> {
        let export = self.export.as_mut()?;
        let mut piece = Vec::new();
        while piece.len() < most {
            let from = (Bound::Excluded(export.given), Bound::Unbounded);
            let now = self.by_original.range::<Lsn, _>(from).next().map(|(lsn, _)| *lsn);
            let kept = export.kept.range::<Lsn, _>(from).next().map(|(lsn, _)| *lsn);
            let Some(next) = now.into_iter().chain(kept).min() else { break };
            export.given = next;
            let then = match export.kept.remove(&next) {
                Some(kept) => kept,
                None => self.by_original.get(&next).copied(),
            };
            piece.extend(then.map(|state| (next, state)));
        }
        if piece.is_empty() {
            self.export = None;
            return None;
        }
        Some(piece)
    }

    /// Forgets a snapshot that was begun.
    pub(crate) fn end_export(&mut self) {
        self.export = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(refunded: u128) -> RefundState {
        RefundState { moved: 100, refunded, last_lsn: Lsn(1_000), reversed: false }
    }

    #[test]
    fn pieces_show_one_moment_whatever_happens_meanwhile() {
        let mut refunds = Refunds::default();
        for lsn in [3, 5, 9] {
            refunds.set(Lsn(lsn), state(1));
        }
        refunds.begin_export();
        assert_eq!(refunds.give(1), Some(vec![(Lsn(3), state(1))]));
        for lsn in [2, 3, 4, 9, 12] {
            refunds.set(Lsn(lsn), state(7));
            refunds.set(Lsn(lsn), state(8));
        }
        assert_eq!(refunds.give(5), Some(vec![(Lsn(5), state(1)), (Lsn(9), state(1))]));
        assert_eq!(refunds.give(5), None);
        assert_eq!(refunds.get(Lsn(9)), Some(&state(8)));
        refunds.begin_export();
        let all: Vec<u64> = refunds.give(9).expect("all").iter().map(|(lsn, _)| lsn.0).collect();
        assert_eq!(all, [2, 3, 4, 5, 9, 12]);
    }
}
