//! The directory: which slot an account id stands for, and the few facts about the account
//! that never change and that the coordinator needs to judge a transfer without asking it.

use crate::id_table::{Bits, IdTable};
use crate::ids::{AccountId, Slot};
use crate::money::CurrencyId;

/// Accounts that can be listed: the last slot stands for "none", the last position of the table
/// is not used.
const SLOTS_MAX: u32 = u32::MAX - 1;

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

/// Account ids and their slots: slots are given in order, so an id's place in the table's
/// order of insertion is its slot.
#[derive(Clone, Debug)]
pub struct Directory {
    table: IdTable<(CurrencyId, bool)>,
}

impl Directory {
    /// An empty directory. The seed scatters ids; choose it so that callers cannot guess it.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { table: IdTable::new(seed) }
    }

    /// How many accounts are listed; also the next free slot.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// What is known of the account.
    #[must_use]
    #[inline]
    pub fn get(&self, id: AccountId) -> Option<Listing> {
        self.get_at(self.bits(id), id)
    }

    /// By which it finds an account.
    #[inline]
    pub(crate) fn bits(&self, id: AccountId) -> Bits {
        self.table.bits(id.high(), id.low())
    }

    /// As [`Self::get`], with the id's bits.
    #[inline]
    pub(crate) fn get_at(&self, bits: Bits, id: AccountId) -> Option<Listing> {
        let (position, (currency, external)) = self.table.get_at(bits, id.high(), id.low())?;
        Some(Listing { slot: Slot(position), currency, external })
    }

    /// Asks for the memory in which [`Self::get_at`] will look for the id with these bits.
    #[inline]
    pub(crate) fn prefetch(&self, bits: Bits) {
        self.table.prefetch(bits);
    }

    /// Asks for what it will find there, a while after that.
    #[inline]
    pub(crate) fn prefetch_entry(&self, bits: Bits) {
        self.table.prefetch_entry(bits);
    }

    /// What is known of the account in this slot.
    #[must_use]
    pub fn at(&self, slot: Slot) -> Option<Listing> {
        let (currency, external) = self.table.value_at(slot.0)?;
        Some(Listing { slot, currency, external })
    }

    /// Lists a new account in the next slot. `None` when the id is listed already or the
    /// slots are used up.
    pub fn list(&mut self, id: AccountId, currency: CurrencyId, external: bool) -> Option<Slot> {
        let next = u32::try_from(self.len()).ok().filter(|slot| *slot < SLOTS_MAX)?;
        let before = self.table.insert(id.high(), id.low(), (currency, external));
        before.is_none().then_some(Slot(next))
    }
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
        assert_eq!(directory.at(Slot(1)), Some(listing));
        assert_eq!(directory.at(Slot(2)), None);
        assert_eq!(directory.get(id(5)), None);
    }
}
