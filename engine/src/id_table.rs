//! A table of 128-bit ids, for those on the path of a transfer: which transfers are known,
//! which slot an account has.
//!
//! Two things cost time in such a table once it outgrows the caches: waiting for memory, and
//! growing. An id costs one access to distant memory here, and [`IdTable::prefetch`] has it
//! fetched while others are worked on. And the table grows a page at a time (extendible
//! hashing: Fagin et al., ACM TODS 1979): nothing ever moves more than one page of 4 KiB,
//! where a usual hash table of ten million ids stands still for a tenth of a second.
//!
//! ```text
//! hash ─ skewed, 32 bits ─┬ first bits ─▶ directory ─▶ page ┐
//!                         └ last bits ──────────────▶ slot ─┴▶ (32 bits, position) ─▶ entry
//! ```
//!
//! Entries lie in the order of insertion and never move; a page holds only the 32 bits and
//! the position of each, 8 bytes.

mod line;

use crate::prefetch::prefetch;
use foldhash::fast::FixedState;
use line::{LINE, compare};
use std::hash::BuildHasher;

/// Slots of a page; 4 KiB.
const SLOTS: usize = 512;

/// A page with this many slots taken is split: above, too many slots would be looked at to
/// find that an id is new.
const TAKEN_MAX: u16 = 384;

/// Pages that are allocated together: where a page is, is then read from a list that stays in
/// the cache.
const SLAB: usize = 256;

/// So many entries stay in the cache by themselves, beside everything else: 96 KiB.
const ENTRIES_CACHED: usize = 1 << 12;

/// Entries that are allocated together.
const CHUNK: usize = 1 << 15;

/// Most bits that choose a page. With it a table holds over a thousand million ids.
const DEPTH_MAX: u32 = 22;

/// An id's place in the table's order of insertion.
pub(crate) type Position = u32;

/// Ids and a value for each, found by id or by position.
#[derive(Clone, Debug)]
pub(crate) struct IdTable<V> {
    hasher: FixedState,
    chunks: Vec<Vec<Entry<V>>>,
    len: usize,
    /// The page for each value of the first `depth` bits.
    directory: Vec<u32>,
    depth: u32,
    pages: Vec<Page>,
    slabs: Vec<Box<[[u64; SLOTS]]>>,
    /// Slots that found no room in a page that cannot be split: ids with the same 32 bits by
    /// the hundred, which nobody can choose without knowing the seed.
    crowded: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    // Halves, since a u128 would align the entry to 16 bytes.
    high: u64,
    low: u64,
    value: V,
}

#[derive(Clone, Copy, Debug)]
struct Page {
    taken: u16,
    /// How many first bits all ids in it have in common.
    depth: u16,
}

/// Where an id would be put that is not there.
#[derive(Clone, Copy, Debug)]
struct Vacant {
    page: usize,
    /// The first free slot of the page, if it has one.
    slot: Option<usize>,
}

/// The 32 bits of an id's hash by which one table finds it; any other with the same seed, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bits(u32);

impl<V: Copy> IdTable<V> {
    /// An empty table, without memory. The seed scatters ids; choose it so that callers
    /// cannot guess it.
    pub fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            chunks: Vec::new(),
            len: 0,
            directory: Vec::new(),
            depth: 0,
            pages: Vec::new(),
            slabs: Vec::new(),
            crowded: Vec::new(),
        }
    }

    /// How many ids there are; also the next position.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The ids in these positions, in the order of insertion, as upper and lower halves.
    pub fn ids(&self, positions: std::ops::Range<usize>) -> impl Iterator<Item = (u64, u64)> + '_ {
        assert!(positions.end <= self.len, "only what was inserted is there");
        let first = positions.start / CHUNK;
        let chunks = self.chunks[first..].iter().flatten();
        let ids = chunks.skip(positions.start - first * CHUNK).take(positions.len());
        ids.map(|entry| (entry.high, entry.low))
    }

    /// The value in this position, if an id was inserted there.
    pub fn value_at(&self, position: Position) -> Option<V> {
        let at = position as usize;
        Some(self.chunks.get(at / CHUNK)?.get(at % CHUNK)?.value)
    }

    /// Gives back the memory by which ids are found; from now on they can only be listed.
    pub fn forget_places(&mut self) {
        self.directory = Vec::new();
        self.pages = Vec::new();
        self.slabs = Vec::new();
        self.crowded = Vec::new();
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>() * size_of::<Entry<V>>()
            + self.slabs.len() * SLAB * size_of::<[u64; SLOTS]>()
            + self.pages.capacity() * size_of::<Page>()
            + self.directory.capacity() * size_of::<u32>()
    }

    /// Where an id with these bits is, and its value.
    #[inline]
    pub fn get_at(&self, bits: Bits, high: u64, low: u64) -> Option<(Position, V)> {
        if self.len == 0 {
            return None;
        }
        self.find(bits.0, high, low).ok()
    }

    /// Adds an id, unless it is there: then its position and value are returned and nothing
    /// changes.
    ///
    /// # Panics
    /// When positions are used up; callers bound the ids they add far below.
    #[inline]
    pub fn insert(&mut self, high: u64, low: u64, value: V) -> Option<(Position, V)> {
        self.insert_at(self.bits(high, low), high, low, value)
    }

    /// As [`Self::insert`], with the id's bits.
    ///
    /// # Panics
    /// As [`Self::insert`].
    #[inline]
    pub fn insert_at(
        &mut self,
        bits: Bits,
        high: u64,
        low: u64,
        value: V,
    ) -> Option<(Position, V)> {
        let Bits(bits) = bits;
        if self.directory.is_empty() {
            self.directory.push(0);
            self.add_page(0);
        }
        let Vacant { page, slot } = match self.find(bits, high, low) {
            Ok(there) => return Some(there),
            Err(vacant) => vacant,
        };
        let packed = pack(bits, self.push(high, low, value));
        let there = &mut self.pages[page];
        if there.taken >= TAKEN_MAX && u32::from(there.depth) < DEPTH_MAX {
            self.put_into_halves(page, bits, packed);
            return None;
        }
        match slot {
            Some(free) => {
                there.taken += 1;
                self.slots_mut(page)[free] = packed;
            }
            None => self.crowded.push(packed),
        }
        None
    }

    #[cold]
    #[inline(never)]
    fn put_into_halves(&mut self, full: usize, bits: u32, packed: u64) {
        let mut page = full;
        while self.pages[page].taken >= TAKEN_MAX && u32::from(self.pages[page].depth) < DEPTH_MAX {
            self.split(page, bits);
            page = self.page_of(bits);
        }
        if !self.take(page, bits, packed) {
            self.crowded.push(packed);
        }
    }

    /// Asks for the memory in which [`Self::get_at`] and [`Self::insert_at`] will look for an id
    /// with these bits.
    #[inline]
    pub fn prefetch(&self, Bits(bits): Bits) {
        if self.len > 0 {
            prefetch(&self.slots(self.page_of(bits))[home(bits)]);
        }
    }

    /// The same for the entry of an id that is most likely there: what [`Self::get_at`] reads
    /// last. Its slot is read for that, so this comes a while after [`Self::prefetch`].
    #[inline]
    pub fn prefetch_entry(&self, Bits(bits): Bits) {
        if self.len < ENTRIES_CACHED {
            return;
        }
        let (lines, _) = self.slots(self.page_of(bits)).as_chunks::<LINE>();
        let line = &lines[home(bits) / LINE];
        let (alike, _) = compare(line, bits);
        if alike != 0 {
            prefetch(self.entry(unpack(line[alike.trailing_zeros() as usize % LINE])));
        }
    }

    /// The id's position and value, or where it would be put. Slots are looked at a line at a
    /// time, all alike: how many of them are taken is nothing that a processor could guess.
    #[inline]
    fn find(&self, bits: u32, high: u64, low: u64) -> Result<(Position, V), Vacant> {
        let page = self.page_of(bits);
        let (lines, _) = self.slots(page).as_chunks::<LINE>();
        let mut line = home(bits) / LINE;
        for _ in 0..SLOTS / LINE {
            let (mut alike, free) = compare(&lines[line], bits);
            while alike != 0 {
                let position = unpack(lines[line][alike.trailing_zeros() as usize % LINE]);
                if let Some(found) = self.is(position, high, low) {
                    return Ok(found);
                }
                alike &= alike - 1;
            }
            if free != 0 {
                let slot = Some(line * LINE + free.trailing_zeros() as usize);
                return Err(Vacant { page, slot });
            }
            line = (line + 1) % (SLOTS / LINE);
        }
        let crowded = self.crowded.iter().find_map(|slot| self.is(unpack(*slot), high, low));
        crowded.ok_or(Vacant { page, slot: None })
    }

    #[inline]
    fn is(&self, position: Position, high: u64, low: u64) -> Option<(Position, V)> {
        let entry = self.entry(position);
        (entry.low == low && entry.high == high).then_some((position, entry.value))
    }

    fn entry(&self, position: Position) -> &Entry<V> {
        let position = position as usize;
        &self.chunks[position / CHUNK][position % CHUNK]
    }

    fn push(&mut self, high: u64, low: u64, value: V) -> Position {
        let position = Position::try_from(self.len).expect("callers bound the ids they add");
        assert!(position < Position::MAX, "callers bound the ids they add");
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks[self.len / CHUNK].push(Entry { high, low, value });
        self.len += 1;
        position
    }

    /// The 32 bits of an id's hash that a page keeps. They are skewed, y = (2x + x²)/3 for
    /// hashes x from 0 to 1, so that ids lie twice as dense at the beginning as at the end:
    /// so pages fill up and split one after the other, not all within a few batches.
    #[inline]
    pub fn bits(&self, high: u64, low: u64) -> Bits {
        let x = self.hasher.hash_one((high, low)) >> 32;
        let y = ((x << 1) + ((x * x) >> 32)) / 3;
        // At most (2^33 + 2^32) / 3 - 1.
        Bits(y as u32)
    }

    #[inline]
    fn page_of(&self, bits: u32) -> usize {
        self.directory[(u64::from(bits) >> (32 - self.depth)) as usize] as usize
    }

    #[inline]
    fn slots(&self, page: usize) -> &[u64; SLOTS] {
        &self.slabs[page / SLAB][page % SLAB]
    }

    #[inline]
    fn slots_mut(&mut self, page: usize) -> &mut [u64; SLOTS] {
        &mut self.slabs[page / SLAB][page % SLAB]
    }

    fn add_page(&mut self, depth: u16) -> usize {
        let page = self.pages.len();
        if page.is_multiple_of(SLAB) {
            self.slabs.push(vec![[0; SLOTS]; SLAB].into());
        }
        self.pages.push(Page { taken: 0, depth });
        page
    }

    /// Takes the first free slot of a page for an id with these bits; false when there is none.
    #[inline]
    fn take(&mut self, page: usize, bits: u32, packed: u64) -> bool {
        let slots = self.slots_mut(page);
        let mut at = home(bits);
        for _ in 0..SLOTS {
            if slots[at] == 0 {
                slots[at] = packed;
                self.pages[page].taken += 1;
                return true;
            }
            at = (at + 1) % SLOTS;
        }
        false
    }

    /// Splits the page that holds `bits` by the first bit that its ids do not have in common.
    fn split(&mut self, page: usize, bits: u32) {
        let depth = self.pages[page].depth;
        if u32::from(depth) == self.depth {
            self.directory = self.directory.iter().flat_map(|page| [*page, *page]).collect();
            self.depth += 1;
        }
        let new = self.add_page(depth + 1);
        let old = std::mem::replace(self.slots_mut(page), [0; SLOTS]);
        self.pages[page] = Page { taken: 0, depth: depth + 1 };
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let bits = (slot >> 32) as u32;
            let half = if bits << depth >> 31 == 0 { page } else { new };
            assert!(self.take(half, bits, slot), "half of a page is free");
        }
        // The places of the directory that begin like `bits` and go on with a one.
        let behind = self.depth - u32::from(depth) - 1;
        let first = (u64::from(bits) >> (32 - u32::from(depth))) as usize;
        let first = (first << 1 | 1) << behind;
        self.directory[first..first + (1 << behind)].fill(new as u32);
    }
}

/// The slot at which to begin to look: the first of a line.
fn home(bits: u32) -> usize {
    bits as usize % SLOTS / LINE * LINE
}

/// Zero is a free slot, so positions are kept plus one.
fn pack(bits: u32, position: Position) -> u64 {
    u64::from(bits) << 32 | u64::from(position + 1)
}

fn unpack(slot: u64) -> Position {
    slot as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    impl<V: Copy> IdTable<V> {
        fn get(&self, high: u64, low: u64) -> Option<(Position, V)> {
            self.get_at(self.bits(high, low), high, low)
        }
    }

    #[test]
    fn it_holds_what_a_map_holds() {
        let (mut table, mut map) = (IdTable::new(7), HashMap::new());
        for n in 0..600_000_u64 {
            // Every third one was there before.
            let low = if n % 3 == 0 { n / 2 } else { n };
            let before = map.get(&low).copied();
            assert_eq!(table.insert(0, low, n), before);
            let position = map.len() as Position;
            map.entry(low).or_insert((position, n));
        }
        assert_eq!(table.len(), map.len());
        for low in 0..700_000 {
            assert_eq!(table.get(0, low), map.get(&low).copied(), "{low}");
            assert_eq!(table.get(1, low), None);
        }
        assert!(table.crowded.is_empty());
    }

    #[test]
    fn pages_fill_up_one_after_the_other() {
        // Splits for every ten thousand ids, over two doublings; without the skew there are
        // none at first and then 150.
        let mut table = IdTable::new(7);
        let mut splits = Vec::new();
        for n in 0..40_u64 {
            let before = table.pages.len();
            for low in 0..10_000 {
                table.insert(n, low, ());
            }
            splits.push(table.pages.len() - before);
        }
        let (least, most) = (splits[10..].iter().min(), splits[10..].iter().max());
        assert!(least >= Some(&10) && most <= Some(&80), "{splits:?}");
    }

    #[test]
    fn ids_with_the_same_bits_are_held_too() {
        let mut table = IdTable::new(7);
        // Such ids cannot be found by trying, so a full page is put together by hand.
        table.insert(0, 0, ());
        let Bits(bits) = table.bits(0, 0);
        table.slots_mut(0).fill(pack(bits.wrapping_add(1), 0));
        table.pages[0] = Page { taken: SLOTS as u16, depth: DEPTH_MAX as u16 };
        for low in 1..100 {
            assert_eq!(table.insert(0, low, ()), None);
        }
        for low in 1..100 {
            assert_eq!(table.insert(0, low, ()), Some((low as Position, ())));
        }
        assert_eq!(table.get(0, 100), None);
        assert_eq!(table.crowded.len(), 99);
    }

    #[test]
    fn an_id_without_value_costs_at_most_36_bytes() {
        let mut table = IdTable::new(7);
        for low in 1..=2_000_000_u64 {
            table.insert(low << 8, low, ());
            if low >= 500_000 && low % 10_000 == 0 {
                let bytes = table.memory_bytes() as u64;
                assert!(bytes <= 36 * low, "{low}: {}", bytes as f64 / low as f64);
            }
        }
        assert_eq!(size_of::<Entry<()>>(), 16);
    }
}
