//! Open holds as a snapshot needs them: as they were at one moment, given up in pieces while
//! others are placed and closed.
//!
//! As for accounts: the first change of a hold that was not given yet keeps an image of it as it
//! was, once.

use super::{Hold, Holds, Position};
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Places of the slab in one piece.
pub const PIECE_HOLDS: usize = 4_096;

/// Holds being given up for a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    /// Places there were at the beginning.
    end: Position,
    /// The first one not yet given.
    next: Position,
    /// What was in a place that has changed since, before it did.
    images: HashMap<Position, Option<Hold>, FixedState>,
}

impl Export {
    pub(super) fn memory_bytes(&self) -> usize {
        self.images.capacity() * (size_of::<(Position, Option<Hold>)>() + 1)
    }
}

impl Holds {
    /// From now on gives up the holds as they are at this moment; returns how many they are. A
    /// snapshot that was not finished is forgotten.
    pub(crate) fn begin_export(&mut self) -> u64 {
        let places: usize = self.chunks.iter().map(Vec::len).sum();
        let end = Position::try_from(places).expect("positions are 32 bits wide");
        let images = HashMap::with_hasher(FixedState::default());
        self.export = Some(Box::new(Export { end, next: 0, images }));
        self.len as u64
    }

    /// The next holds, at most `most` ([`PIECE_HOLDS`], outside of tests); `None` once all are
    /// given. A piece may be empty.
    #[must_use]
    pub(crate) fn give(&mut self, most: usize) -> Option<Vec<Hold>> {
        assert!(most > 0, "a piece holds holds");
        let export = self.export.as_mut()?;
        if export.next == export.end {
            self.export = None;
            return None;
        }
        let from = export.next;
        let most = Position::try_from(most).unwrap_or(Position::MAX);
        export.next = export.end.min(from.saturating_add(most));
        let then = |at| match export.images.remove(&at) {
            Some(image) => image,
            None => super::place_in(&self.chunks, at).copied(),
        };
        Some((from..export.next).filter_map(then).collect())
    }

    /// Forgets a snapshot that was begun.
    pub(crate) fn end_export(&mut self) {
        self.export = None;
    }

    /// What is in this place is about to change.
    #[inline]
    pub(super) fn preserve(&mut self, at: Position) {
        if let Some(export) = &mut self.export
            && (export.next..export.end).contains(&at)
        {
            let now = super::place_in(&self.chunks, at).copied();
            export.images.entry(at).or_insert(now);
        }
    }
}
