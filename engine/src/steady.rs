//! A hash table that grows a little at a time, for the tables on the path of a transfer.
//!
//! A usual hash table moves everything at once when it is full: with ten million ids that is
//! a tenth of a second in which no transfer is decided, and even 256 tables side by side stall
//! for tens of milliseconds each. Here the content lies in small tables of at most
//! [`PIECE_MAX`] entries; a full one is split into two (Fagin et al., "Extendible hashing",
//! 1979), which moves a few hundred entries and no more.
//!
//! ```text
//! hash ─ bits 40..52 ─▶ shard ─ its low bits from 24 up ─▶ piece ─ the rest ─▶ entry
//! ```
//!
//! Shards differ in their share of the hashes, the largest taking twice as many as the
//! smallest: so their pieces fill up and split one after the other, and not all within the
//! same few batches.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Entries in one piece; 7/8 of a power of two, the fill at which a hashbrown table grows.
const PIECE_MAX: usize = 448;

/// How many parts the table has that are split independently.
const SHARDS: usize = 256;

/// Parts of the range of hashes that are dealt out to the shards.
const DEALT: usize = 4_096;

/// Where the bits of a hash begin that choose a piece: a hashbrown table uses both ends.
const PIECE_SHIFT: u32 = 24;

/// Most bits that choose a piece; they end where those begin that choose a shard.
const DEPTH_MAX: u32 = 16;

/// Entries of type `T`, found by a hash and a comparison of the caller's.
#[derive(Clone, Debug)]
pub(crate) struct SteadyTable<T> {
    shards: Vec<Shard<T>>,
    /// The shard of each part of the hashes.
    dealt: Box<[u8]>,
    len: usize,
}

/// An extendible hash table.
#[derive(Clone, Debug)]
struct Shard<T> {
    /// The piece of each value of the choosing bits; a power of two long.
    directory: Vec<u16>,
    pieces: Vec<Piece<T>>,
}

#[derive(Clone, Debug)]
struct Piece<T> {
    /// How many of the choosing bits are the same for all entries.
    depth: u32,
    table: HashTable<T>,
}

impl<T> SteadyTable<T> {
    /// An empty table; takes memory only once something is in it.
    pub fn new() -> Self {
        Self { shards: Vec::new(), dealt: deal(), len: 0 }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        let shards = self.shards.iter().map(|shard| {
            let tables = shard.pieces.iter().map(|piece| piece.table.allocation_size());
            shard.directory.capacity() * size_of::<u16>()
                + shard.pieces.capacity() * size_of::<Piece<T>>()
                + tables.sum::<usize>()
        });
        shards.sum::<usize>() + self.shards.capacity() * size_of::<Shard<T>>() + DEALT
    }

    /// The entry with this hash that is the `same`.
    #[inline]
    pub fn find(&self, hash: u64, same: impl FnMut(&T) -> bool) -> Option<&T> {
        let shard = self.shards.get(self.shard_of(hash))?;
        shard.pieces[shard.piece_of(hash)].table.find(hash, same)
    }

    /// Adds an entry, unless there is one with this hash that is the `same`: then that one is
    /// returned and nothing changes. `rehash` gives the hash of any entry again.
    #[inline]
    pub fn insert(
        &mut self,
        hash: u64,
        entry: T,
        mut same: impl FnMut(&T) -> bool,
        rehash: impl Fn(&T) -> u64,
    ) -> Option<&T> {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, Shard::new);
        }
        let shard = self.shard_of(hash);
        let shard = &mut self.shards[shard];
        let mut piece = shard.piece_of(hash);
        while shard.pieces[piece].table.len() >= PIECE_MAX && shard.pieces[piece].depth < DEPTH_MAX
        {
            // Even if it turns out to be there already: a split changes no content.
            shard.split(piece, &rehash);
            piece = shard.piece_of(hash);
        }
        match shard.pieces[piece].table.entry(hash, &mut same, rehash) {
            Entry::Occupied(there) => Some(there.into_mut()),
            Entry::Vacant(free) => {
                free.insert(entry);
                self.len += 1;
                None
            }
        }
    }

    #[inline]
    fn shard_of(&self, hash: u64) -> usize {
        usize::from(self.dealt[(hash >> 40) as usize % DEALT])
    }
}

impl<T> Shard<T> {
    fn new() -> Self {
        Self { directory: vec![0], pieces: vec![Piece { depth: 0, table: HashTable::new() }] }
    }

    #[inline]
    fn piece_of(&self, hash: u64) -> usize {
        let mask = self.directory.len() - 1;
        usize::from(self.directory[(hash >> PIECE_SHIFT) as usize & mask])
    }

    /// Moves those entries of a piece whose next choosing bit is set into a new piece.
    fn split(&mut self, at: usize, rehash: &impl Fn(&T) -> u64) {
        let depth = self.pieces[at].depth;
        if self.directory.len() == 1 << depth {
            self.directory.extend_from_within(..);
        }
        let bit = 1_u64 << (PIECE_SHIFT + depth);
        let old = std::mem::take(&mut self.pieces[at].table);
        let sample = old.iter().next().map_or(0, rehash);
        let mut halves = [0, 1].map(|_| HashTable::with_capacity(PIECE_MAX));
        for entry in old {
            let hash = rehash(&entry);
            halves[usize::from(hash & bit != 0)].insert_unique(hash, entry, rehash);
        }
        let [low, high] = halves;
        let new = u16::try_from(self.pieces.len()).expect("at most 2^16 pieces");
        self.pieces[at] = Piece { depth: depth + 1, table: low };
        self.pieces.push(Piece { depth: depth + 1, table: high });
        // Every value of the choosing bits that ends like this piece's, with the new bit set.
        let ending = (sample >> PIECE_SHIFT) as usize & ((1 << depth) - 1);
        for place in (ending | 1 << depth..self.directory.len()).step_by(2 << depth) {
            self.directory[place] = new;
        }
    }
}

/// The shard of each part of the hashes: the share of shard `i` grows with 2^(i/256).
fn deal() -> Box<[u8]> {
    let share = |shard: usize| (shard as f64 / SHARDS as f64).exp2();
    let all: f64 = (0..SHARDS).map(share).sum();
    let mut dealt = Vec::with_capacity(DEALT);
    let mut parts = 0.0;
    for shard in 0..SHARDS {
        parts += share(shard) / all * DEALT as f64;
        let end = if shard + 1 == SHARDS { DEALT } else { parts.round() as usize };
        dealt.resize(end, shard as u8);
    }
    dealt.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldhash::fast::FixedState;
    use std::collections::HashMap;
    use std::hash::BuildHasher;

    fn hash(value: u64) -> u64 {
        FixedState::with_seed(7).hash_one(value)
    }

    fn insert(table: &mut SteadyTable<(u64, u64)>, key: u64, value: u64) -> Option<u64> {
        let rehash = |entry: &(u64, u64)| hash(entry.0);
        table.insert(hash(key), (key, value), |entry| entry.0 == key, rehash).map(|entry| entry.1)
    }

    #[test]
    fn it_holds_what_a_map_holds() {
        let (mut table, mut map) = (SteadyTable::new(), HashMap::new());
        for n in 0..600_000_u64 {
            // Every third one was there before.
            let key = if n % 3 == 0 { n / 2 } else { n };
            let before = map.get(&key).copied();
            assert_eq!(insert(&mut table, key, n), before);
            map.entry(key).or_insert(n);
        }
        assert_eq!(table.len(), map.len());
        for key in 0..700_000 {
            let found = table.find(hash(key), |entry| entry.0 == key).map(|entry| entry.1);
            assert_eq!(found, map.get(&key).copied(), "{key}");
        }
    }

    #[test]
    fn no_insertion_moves_more_than_one_piece() {
        // Counted, not timed: whatever is moved is hashed again.
        let mut table = SteadyTable::new();
        let mut most = 0;
        for key in 0..400_000_u64 {
            let moved = std::cell::Cell::new(0);
            let rehash = |entry: &u64| {
                moved.set(moved.get() + 1);
                hash(*entry)
            };
            assert!(table.insert(hash(key), key, |entry| *entry == key, rehash).is_none());
            most = most.max(moved.get());
        }
        assert!(most > PIECE_MAX / 2, "something was split");
        assert!(most <= 2 * PIECE_MAX, "{most}");
    }

    #[test]
    fn hashes_that_are_all_alike_are_still_held() {
        // Nobody can choose ids so that their hashes collide without the seed; even then
        // nothing is lost.
        let mut table = SteadyTable::new();
        for key in 0..2_000_u64 {
            assert!(table.insert(5, key, |entry| *entry == key, |_| 5).is_none());
        }
        assert_eq!(table.len(), 2_000);
        assert!((0..2_000_u64).all(|key| table.find(5, |entry| *entry == key).is_some()));
    }
}
