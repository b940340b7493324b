//! The store: details by slot, shared with whoever reads them, and the hash over all of them,
//! kept up to date with each change so that asking for it costs nothing.

use super::export::Export;
use super::index::Index;
use super::{Details, Filter};
use crate::account::Impossible;
use crate::account_event::{Change, Opening};
use crate::ids::{Lsn, Slot};
use crate::ledger::HashPart;
use crate::transfer::AccountSpec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// What is known of accounts beside their money, by slot.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    pub(super) details: BTreeMap<Slot, Arc<Details>>,
    pub(super) index: Index,
    hash: ProfilesHash,
    pub(super) export: Option<Box<Export>>,
}

/// A hash over details of accounts: how many there are, and the sum of their hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProfilesHash {
    count: u64,
    sum: HashPart,
}

impl ProfilesHash {
    /// Adds an account's details.
    pub(crate) fn add(&mut self, slot: Slot, details: &Details, scratch: &mut Vec<u8>) {
        self.count += 1;
        self.sum.merge(part(slot, details, scratch));
    }

    fn remove(&mut self, slot: Slot, details: &Details, scratch: &mut Vec<u8>) {
        self.count -= 1;
        self.sum.part_with(part(slot, details, scratch));
    }

    /// Adds itself to the hash of a state. A state without details hashes as it did before
    /// there were any, so that older snapshots and checkpoints hold.
    pub(crate) fn add_to(&self, hasher: &mut blake3::Hasher) {
        if self.count > 0 {
            hasher.update(b"profiles 1");
            hasher.update(&self.count.to_le_bytes());
            self.sum.add_to(hasher);
        }
    }
}

fn part(slot: Slot, details: &Details, scratch: &mut Vec<u8>) -> HashPart {
    scratch.clear();
    scratch.extend_from_slice(&slot.0.to_le_bytes());
    crate::snapshot::details::put_details(details, scratch);
    let mut part = HashPart::default();
    part.add_bytes(scratch);
    part
}

impl Profiles {
    /// What is known of the account in `slot`, if anything is.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Arc<Details>> {
        self.details.get(&slot)
    }

    /// The accounts that have or lately had watches, with what is known of them.
    pub fn watched(&self) -> impl Iterator<Item = (Slot, &Arc<Details>)> {
        let watched = self.details.iter().filter(|(_, details)| !details.watches.is_empty());
        watched.map(|(slot, details)| (*slot, details))
    }

    /// Accounts of which something is known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.details.len()
    }

    /// Whether nothing is known of any account.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.details.is_empty()
    }

    /// The hash over all of it.
    #[must_use]
    pub(crate) fn hash(&self) -> &ProfilesHash {
        &self.hash
    }

    /// Bytes of memory it takes, roughly.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        // The tree's nodes are half to wholly full.
        let of = |details: &Arc<Details>| size_of::<Details>() + 24 + 16 + details.text_bytes();
        self.details.values().map(of).sum::<usize>() + self.index.memory_bytes()
    }

    fn put(&mut self, slot: Slot, details: Details) {
        let mut scratch = Vec::with_capacity(256);
        let before = self.details.get(&slot).map(Arc::clone);
        if let Some(export) = &mut self.export {
            export.keep(slot, before.as_ref());
        }
        if let Some(before) = before {
            self.hash.remove(slot, &before, &mut scratch);
            self.index.remove(slot, &before.profile);
        }
        self.hash.add(slot, &details, &mut scratch);
        self.index.add(slot, &details.profile);
        self.details.insert(slot, Arc::new(details));
    }

    /// Takes in an opening that says more than a plain one.
    pub(crate) fn open(&mut self, slot: Slot, opening: &Opening) {
        let (profile, mark) = (opening.profile.clone(), Some(opening.mark()));
        self.put(slot, Details { profile, opening: mark, ..Details::default() });
    }

    /// Notes how an account was opened, before its limits change: until then that is told from
    /// how it stands.
    pub(crate) fn note_opening(&mut self, slot: Slot, spec: &AccountSpec) {
        let mut details = self.get(slot).map_or_else(Details::default, |d| Details::clone(d));
        if details.opening.is_none() {
            details.opening = Some(Opening::from(*spec).mark());
            self.put(slot, details);
        }
    }

    /// How far before the event at `lsn` the account's change before it lies; 0 for none.
    #[must_use]
    pub(crate) fn back(&self, slot: Slot, lsn: Lsn) -> u64 {
        let last = self.get(slot).map_or(Lsn::ZERO, |details| details.last_lsn);
        if last == Lsn::ZERO { 0 } else { lsn.0 - last.0 }
    }

    /// Takes in a change: the one way to it, live and in replay.
    ///
    /// # Errors
    /// [`Impossible`] when it leads beyond what can be, or does not follow the change before.
    pub(crate) fn apply(
        &mut self,
        lsn: Lsn,
        slot: Slot,
        back: u64,
        change: &Change,
    ) -> Result<(), Impossible> {
        let differs = |what: String| Impossible::Differs { lsn, what };
        let mut details = self.get(slot).map_or_else(Details::default, |d| Details::clone(d));
        if back != self.back(slot, lsn) {
            let last = details.last_lsn;
            return Err(differs(format!("slot {} was changed last by event {last}", slot.0)));
        }
        details.apply(lsn, change);
        details.check().map_err(|what| differs(format!("slot {}: {what}", slot.0)))?;
        self.put(slot, details);
        Ok(())
    }

    /// Takes in the details of an account that a snapshot holds.
    pub(crate) fn restore(&mut self, slot: Slot, details: Arc<Details>) {
        self.hash.add(slot, &details, &mut Vec::with_capacity(256));
        self.index.add(slot, &details.profile);
        self.details.insert(slot, details);
    }

    /// Slots of accounts that may fit a filter, from `from` on, in order: at most `most`, having
    /// looked at no more than `looks`; and where to go on, `None` at the end. `end` is the
    /// number of slots in use. What the filter says of money and status is not looked at.
    #[must_use]
    pub fn candidates(
        &self,
        filter: &Filter,
        (from, end): (Slot, Slot),
        most: usize,
        looks: usize,
    ) -> (Vec<Slot>, Option<Slot>) {
        if !filter.asks_for_details() {
            let last = end.0.min(from.0.saturating_add(u32::try_from(most).unwrap_or(u32::MAX)));
            let slots = (from.0..last).map(Slot).collect();
            return (slots, (last < end.0).then_some(Slot(last)));
        }
        let mut found = Vec::new();
        let mut looked = 0;
        let mut fits = |slot: Slot, details: &Details| {
            if found.len() == most || looked == looks {
                return Some(slot);
            }
            looked += 1;
            if filter.fits_details(details) {
                found.push(slot);
            }
            None
        };
        let next = match filter.indexed() {
            Some(term) => self
                .index
                .slots(term, from)
                .find_map(|slot| self.details.get(&slot).and_then(|details| fits(slot, details))),
            None => {
                let rest = self.details.range((Bound::Included(from), Bound::Unbounded));
                rest.into_iter().find_map(|(slot, details)| fits(*slot, details))
            }
        };
        (found, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::ProfileChange;

    #[test]
    fn the_index_holds_what_is_there_and_nothing_that_was() {
        let mut profiles = Profiles::default();
        let owners = ["anna", "ben", "", "anna"];
        for (at, owner) in owners.into_iter().enumerate() {
            let (lsn, slot) = (Lsn(at as u64 + 1), Slot(at as u32 % 2));
            let change = ProfileChange {
                owner: Some(owner.to_owned()),
                set: [(format!("k{at}"), owner.to_owned())].into(),
                remove: [format!("k{}", at.saturating_sub(2))].into(),
                ..ProfileChange::default()
            };
            let back = profiles.back(slot, lsn);
            profiles.apply(lsn, slot, back, &Change::Profile(change)).expect("possible");
            let mut anew = Index::default();
            profiles.details.iter().for_each(|(slot, known)| anew.add(*slot, &known.profile));
            assert_eq!(profiles.index, anew);
        }
    }
}
