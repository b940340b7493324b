//! Where an open hold lies, by id: many small tables, so that none is large enough for its
//! growth to be felt, and one that grows does so while the others wait.

use super::Position;
use crate::ids::TransferId;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// How many tables there are. A million holds make four thousand in each.
const TABLES: usize = 256;

/// Places of holds by id.
#[derive(Clone, Debug)]
pub(super) struct Index {
    hasher: FixedState,
    /// None before the first hold.
    tables: Vec<HashTable<Position>>,
}

impl Index {
    pub fn new(seed: u64) -> Self {
        Self { hasher: FixedState::with_seed(seed), tables: Vec::new() }
    }

    pub fn memory_bytes(&self) -> usize {
        let own = self.tables.capacity() * size_of::<HashTable<Position>>();
        own + self.tables.iter().map(HashTable::allocation_size).sum::<usize>()
    }

    /// The place of the hold with this id, `is` telling of a place whether it is that hold's.
    pub fn find(&self, id: TransferId, mut is: impl FnMut(Position) -> bool) -> Option<Position> {
        let hash = self.hash(id);
        self.tables.get(table_of(hash))?.find(hash, |at| is(*at)).copied()
    }

    /// Adds one that is not there; `id_at` names the hold of each place.
    pub fn insert(&mut self, id: TransferId, at: Position, id_at: impl Fn(Position) -> TransferId) {
        if self.tables.is_empty() {
            self.tables = vec![HashTable::new(); TABLES];
        }
        let Self { hasher, tables } = self;
        let hash = hash_of(hasher, id);
        tables[table_of(hash)].insert_unique(hash, at, |at| hash_of(hasher, id_at(*at)));
    }

    /// Takes one out that is there.
    pub fn remove(&mut self, id: TransferId, at: Position) {
        let hash = self.hash(id);
        let entry = self.tables[table_of(hash)].find_entry(hash, |there| *there == at);
        entry.expect("an open hold is indexed").remove();
    }

    fn hash(&self, id: TransferId) -> u64 {
        hash_of(&self.hasher, id)
    }
}

fn hash_of(hasher: &FixedState, id: TransferId) -> u64 {
    hasher.hash_one((id.high(), id.low()))
}

/// By bits that a table itself does not look at first.
fn table_of(hash: u64) -> usize {
    (hash >> 32) as usize % TABLES
}
