//! What is known of accounts as a snapshot needs it: as it was at one moment, given up in
//! pieces while changes go on. A change of what is yet to be given keeps what was there before.

use super::{Details, Profiles};
use crate::ids::Slot;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Accounts in one piece.
pub const PIECE_PROFILES: usize = 128;

/// Details of some accounts, in the order of their slots.
pub type ProfilesPiece = Vec<(Slot, Arc<Details>)>;

/// Details being given up for a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Export {
    /// The first slot not yet given.
    next: u64,
    /// As it was, of accounts that changed since; `None` where nothing was known.
    kept: BTreeMap<Slot, Option<Arc<Details>>>,
}

impl Export {
    pub(super) fn keep(&mut self, slot: Slot, before: Option<&Arc<Details>>) {
        if u64::from(slot.0) >= self.next {
            self.kept.entry(slot).or_insert_with(|| before.map(Arc::clone));
        }
    }
}

impl Profiles {
    /// From now on gives up what is known as of this moment. A snapshot that was not finished
    /// is forgotten.
    pub(crate) fn begin_export(&mut self) {
        self.export = Some(Box::default());
    }

    /// The next details, of `most` accounts at most, as they were when the export began; `None`
    /// once all are given.
    #[must_use]
    pub fn give(&mut self, most: usize) -> Option<ProfilesPiece> {
        let export = self.export.as_mut()?;
        let mut piece = Vec::new();
        while piece.len() < most {
            let Ok(from) = u32::try_from(export.next).map(Slot) else { break };
            let from = (Bound::Included(from), Bound::Unbounded);
            let now = self.details.range::<Slot, _>(from).next();
            let kept = export.kept.range::<Slot, _>(from).next();
            let slot = match (now, kept) {
                (Some((now, _)), Some((kept, _))) => *now.min(kept),
                (Some((slot, _)), None) | (None, Some((slot, _))) => *slot,
                (None, None) => break,
            };
            export.next = u64::from(slot.0) + 1;
            let then = match export.kept.remove(&slot) {
                Some(kept) => kept,
                None => self.details.get(&slot).map(Arc::clone),
            };
            piece.extend(then.map(|details| (slot, details)));
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
    use crate::account_event::Change;
    use crate::ids::Lsn;
    use crate::profile::ProfileChange;

    fn label(profiles: &mut Profiles, lsn: u64, slot: u32, label: &str) {
        let change = ProfileChange { label: Some(label.to_owned()), ..ProfileChange::default() };
        let (lsn, slot) = (Lsn(lsn), Slot(slot));
        let back = profiles.back(slot, lsn);
        profiles.apply(lsn, slot, back, &Change::Profile(change)).expect("possible");
    }

    #[test]
    fn details_are_given_as_they_were_whatever_happens_meanwhile() {
        let mut profiles = Profiles::default();
        for slot in [1, 3, 5, 7, u32::MAX - 2] {
            label(&mut profiles, 10 + u64::from(slot), slot, "before");
        }
        let before: Vec<_> = profiles.details.clone().into_iter().collect();
        profiles.begin_export();
        label(&mut profiles, u64::MAX - 5, 3, "after");
        label(&mut profiles, u64::MAX - 4, 4, "new");
        let mut given = profiles.give(2).expect("some");
        assert_eq!(given.len(), 2);
        // Given already, changed twice, new behind and new before.
        for (lsn, slot) in [(3, 1), (2, 5), (1, 5), (0, 6)] {
            label(&mut profiles, u64::MAX - lsn, slot, "after");
        }
        while let Some(piece) = profiles.give(2) {
            given.extend(piece);
        }
        assert_eq!(given, before);
        assert!(profiles.export.is_none());
        assert_eq!(profiles.len(), 7);
    }
}
