//! Which accounts have an owner, or a value under a key of their metadata: found by exact
//! value, without looking at other accounts. It follows from the details, so no snapshot
//! holds it and no hash covers it.

use super::Profile;
use crate::ids::Slot;
use std::collections::BTreeSet;

/// What accounts are found by: a hash of it. Two that share one are told apart by looking at
/// the details of what was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Term(u64);

impl Term {
    pub(super) fn owner(owner: &str) -> Self {
        Self::hash(&[b"owner", owner.as_bytes()])
    }

    pub(super) fn metadata(key: &str, value: &str) -> Self {
        // A key holds no zero byte.
        Self::hash(&[b"metadata", key.as_bytes(), &[0], value.as_bytes()])
    }

    fn hash(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        let hash = hasher.finalize();
        Self(u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes")))
    }
}

/// Slots by term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index(BTreeSet<(u64, Slot)>);

fn terms(profile: &Profile) -> impl Iterator<Item = Term> + '_ {
    let owner = (!profile.owner.is_empty()).then(|| Term::owner(&profile.owner));
    let metadata = profile.metadata.iter().map(|(key, value)| Term::metadata(key, value));
    owner.into_iter().chain(metadata)
}

impl Index {
    pub(super) fn add(&mut self, slot: Slot, profile: &Profile) {
        self.0.extend(terms(profile).map(|term| (term.0, slot)));
    }

    pub(super) fn remove(&mut self, slot: Slot, profile: &Profile) {
        for term in terms(profile) {
            self.0.remove(&(term.0, slot));
        }
    }

    /// The slots under a term from one on, in order.
    pub(super) fn slots(&self, term: Term, from: Slot) -> impl Iterator<Item = Slot> + '_ {
        self.0.range((term.0, from)..=(term.0, Slot(u32::MAX))).map(|(_, slot)| *slot)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.len() * 24
    }
}
