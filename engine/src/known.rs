//! The memory of transfer ids: which event decided each of them.
//!
//! An id is remembered with the LSN of its event; what was asked and answered is read back
//! from the journal, so that a repeat is compared with all of its content and costs 24 bytes
//! of memory, not the whole outcome.
//!
//! Ids live in two generations. When the younger one has grown for the time that ids must be
//! remembered, it becomes the older one and the older one is forgotten: each id is remembered
//! for at least that time and at most twice. A generation is split into shards, the largest
//! taking twice as many ids as the smallest: so they fill up, and grow, one after the other,
//! and no single insertion has to move everything. (Shards of one size all grew within a few
//! batches of each other: 0.7 to 0.9 s at 7 and 15 million ids.)

use crate::ids::{Lsn, TransferId};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// How long a ledger remembers an id at least: 24 hours of journalled time, nanoseconds. It is
/// no setting, since replay must forget exactly what the live run forgot.
pub const REMEMBER_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// How many pieces a generation is split into; each grows on its own.
const SHARDS: usize = 256;

/// Pieces of the range of hashes that are dealt out to the shards.
const PIECES: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Known {
    // Halves, since a u128 would align the entry to 32 bytes.
    high: u64,
    low: u64,
    lsn: Lsn,
}

#[derive(Clone, Debug, Default)]
struct Generation {
    shards: Vec<HashTable<Known>>,
    len: usize,
}

/// Remembered transfer ids.
#[derive(Clone, Debug)]
pub struct KnownIds {
    hasher: FixedState,
    young: Generation,
    old: Generation,
    young_since_ns: Option<u64>,
    remember_ns: u64,
    pieces: Box<[u8]>,
}

impl KnownIds {
    /// An empty memory that keeps each id at least `remember_ns`. The seed scatters ids;
    /// choose it so that callers cannot guess it.
    #[must_use]
    pub fn new(seed: u64, remember_ns: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            young: Generation::default(),
            old: Generation::default(),
            young_since_ns: None,
            remember_ns,
            pieces: deal(),
        }
    }

    /// How many ids are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len + self.old.len
    }

    /// How many would still be remembered after an id consumed at `time_ns`, before it is
    /// added.
    #[must_use]
    pub fn len_at(&self, time_ns: u64) -> usize {
        if self.passes_at(time_ns) { self.young.len } else { self.len() }
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let shards = self.young.shards.iter().chain(&self.old.shards);
        shards.map(HashTable::allocation_size).sum()
    }

    /// The event that decided `id`.
    #[must_use]
    pub fn get(&self, id: TransferId) -> Option<Lsn> {
        let hash = self.hash(id);
        let shard = self.shard_of(hash);
        self.young.get(shard, hash, id).or_else(|| self.old.get(shard, hash, id))
    }

    /// Remembers that the event at `lsn`, decided at `time_ns`, consumed `id`. Returns the
    /// event that consumed it before, in which case nothing changes: only what is journalled
    /// may make ids be forgotten, or replay would forget others than the live run did.
    pub fn insert(&mut self, id: TransferId, lsn: Lsn, time_ns: u64) -> Option<Lsn> {
        let hash = self.hash(id);
        let shard = self.shard_of(hash);
        if !self.passes_at(time_ns) {
            self.young_since_ns.get_or_insert(time_ns);
            if let Some(before) = self.old.get(shard, hash, id) {
                return Some(before);
            }
            return self.young.insert(&self.hasher, shard, hash, id, lsn);
        }
        if let Some(before) = self.young.get(shard, hash, id) {
            return Some(before);
        }
        self.old = std::mem::take(&mut self.young);
        self.young_since_ns = Some(time_ns);
        self.young.insert(&self.hasher, shard, hash, id, lsn)
    }

    /// Whether the younger generation is due to become the older one.
    fn passes_at(&self, time_ns: u64) -> bool {
        let since = self.young_since_ns.unwrap_or(time_ns);
        time_ns.saturating_sub(since) >= self.remember_ns
    }

    /// The shard of a hash: by middle bits, since the table inside uses both ends.
    fn shard_of(&self, hash: u64) -> usize {
        usize::from(self.pieces[(hash >> 40) as usize % PIECES])
    }

    fn hash(&self, id: TransferId) -> u64 {
        self.hasher.hash_one((id.high(), id.low()))
    }
}

/// The shard of each piece: the share of shard `i` grows with 2^(i/256).
fn deal() -> Box<[u8]> {
    let share = |shard: usize| (shard as f64 / SHARDS as f64).exp2();
    let all: f64 = (0..SHARDS).map(share).sum();
    let mut pieces = Vec::with_capacity(PIECES);
    let mut dealt = 0.0;
    for shard in 0..SHARDS {
        dealt += share(shard) / all * PIECES as f64;
        let end = if shard + 1 == SHARDS { PIECES } else { dealt.round() as usize };
        pieces.resize(end, shard as u8);
    }
    pieces.into()
}

fn same(known: &Known, id: TransferId) -> bool {
    known.low == id.low() && known.high == id.high()
}

impl Generation {
    fn get(&self, shard: usize, hash: u64, id: TransferId) -> Option<Lsn> {
        let shard = self.shards.get(shard)?;
        shard.find(hash, |known| same(known, id)).map(|known| known.lsn)
    }

    fn insert(
        &mut self,
        hasher: &FixedState,
        shard: usize,
        hash: u64,
        id: TransferId,
        lsn: Lsn,
    ) -> Option<Lsn> {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashTable::new);
        }
        let rehash = |known: &Known| hasher.hash_one((known.high, known.low));
        let shard = &mut self.shards[shard];
        match shard.entry(hash, |known| same(known, id), rehash) {
            hashbrown::hash_table::Entry::Occupied(there) => Some(there.get().lsn),
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(Known { high: id.high(), low: id.low(), lsn });
                self.len += 1;
                None
            }
        }
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

    #[test]
    fn an_id_is_remembered_at_least_as_long_as_asked_and_forgotten_after_twice_that() {
        let mut known = KnownIds::new(1, 1_000);
        known.insert(id(1), Lsn(1), 10_000);
        known.insert(id(2), Lsn(2), 10_999);
        known.insert(id(3), Lsn(3), 11_000);
        assert_eq!(known.insert(id(2), Lsn(4), 11_998), Some(Lsn(2)));
        known.insert(id(4), Lsn(5), 12_000);
        assert_eq!(known.get(id(1)), None);
        assert_eq!(known.get(id(2)), None);
        assert_eq!(known.get(id(3)), Some(Lsn(3)));
    }

    #[test]
    fn room_comes_back_when_ids_are_due_to_be_forgotten() {
        let mut known = KnownIds::new(1, 1_000);
        known.insert(id(1), Lsn(1), 0);
        known.insert(id(2), Lsn(2), 1_000);
        assert_eq!((known.len_at(1_999), known.len_at(2_000)), (2, 1));
    }

    #[test]
    fn shards_grow_one_after_the_other() {
        let mut known = KnownIds::new(7, u64::MAX);
        let mut bytes = 0;
        for n in 1..=400_000u64 {
            known.insert(id(u128::from(n) << 40 | 77), Lsn(n), 0);
            if n > 100_000 && n % 1_000 == 0 {
                let grown =
                    known.memory_bytes() - std::mem::replace(&mut bytes, known.memory_bytes());
                // A thousand ids in. Shards of one size: 5 % at the worst places.
                assert!(bytes == grown || grown * 33 < bytes, "{n}: {grown} of {bytes}");
            }
        }
    }

    #[test]
    fn an_id_costs_at_most_64_bytes() {
        let mut known = KnownIds::new(7, u64::MAX);
        for n in 1..=1_000_000u64 {
            known.insert(id(u128::from(n) << 40 | 77), Lsn(n), 0);
            if n >= 100_000 && n % 10_000 == 0 {
                assert!(known.memory_bytes() as u64 <= 64 * n, "{n}: {}", known.memory_bytes());
            }
        }
        assert_eq!(known.len(), 1_000_000);
    }
}
