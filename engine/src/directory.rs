//! The directory: which slot an account id stands for, and the few facts about the account
//! that never change and that the coordinator needs to judge a transfer without asking it.

use crate::ids::{AccountId, Slot};
use crate::money::CurrencyId;
use crate::steady::SteadyTable;
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// What the directory knows of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listing {
    /// Where it is hosted.
    pub slot: Slot,
    /// What it holds.
    pub currency: CurrencyId,
    /// Whether it stands for the outside world.
    pub external: bool,
}

#[derive(Clone, Copy, Debug)]
struct Listed {
    // Halves, since a u128 would align the entry to 32 bytes.
    high: u64,
    low: u64,
    listing: Listing,
}

/// Account ids and their slots.
#[derive(Clone, Debug)]
pub struct Directory {
    hasher: FixedState,
    table: SteadyTable<Listed>,
}

impl Directory {
    /// An empty directory. The seed scatters ids; choose it so that callers cannot guess it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { hasher: FixedState::with_seed(seed), table: SteadyTable::new() }
    }

    /// How many accounts are listed; also the next free slot.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// What is known of the account.
    #[must_use]
    pub fn get(&self, id: AccountId) -> Option<Listing> {
        let found = self.table.find(self.hash(id), |listed| same(listed, id));
        found.map(|listed| listed.listing)
    }

    /// Lists a new account in the next slot. `None` when the id is listed already or the
    /// slots are used up.
    pub fn list(&mut self, id: AccountId, currency: CurrencyId, external: bool) -> Option<Slot> {
        let next = u32::try_from(self.len()).ok().filter(|slot| *slot < u32::MAX)?;
        let slot = Slot(next);
        let listing = Listing { slot, currency, external };
        let hasher = &self.hasher;
        let rehash = |listed: &Listed| hasher.hash_one((listed.high, listed.low));
        let listed = Listed { high: id.high(), low: id.low(), listing };
        let hash = hasher.hash_one((id.high(), id.low()));
        let before = self.table.insert(hash, listed, |listed| same(listed, id), rehash);
        before.is_none().then_some(slot)
    }

    fn hash(&self, id: AccountId) -> u64 {
        self.hasher.hash_one((id.high(), id.low()))
    }
}

fn same(listed: &Listed, id: AccountId) -> bool {
    listed.low == id.low() && listed.high == id.high()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_in_order_and_once() {
        let mut directory = Directory::new(3);
        let id = |n| AccountId::new(n).expect("not zero");
        assert_eq!(directory.list(id(9), CurrencyId(826), false), Some(Slot(0)));
        assert_eq!(directory.list(id(4), CurrencyId(826), true), Some(Slot(1)));
        assert_eq!(directory.list(id(9), CurrencyId(826), false), None);
        let listing = directory.get(id(4)).expect("listed");
        assert_eq!((listing.slot, listing.external), (Slot(1), true));
        assert_eq!(directory.get(id(5)), None);
        assert!(size_of::<Listed>() <= 24);
    }
}
