//! Fences: keys without content, set before the blocks come, so that sled writes every block once.
//!
//! A leaf of sled's tree that gets its seventeenth key is split in the middle, and both halves are
//! written anew, with all that is in them. Where keys only ever grow, every leaf is split when it
//! is full: each block was written three times, and what that left behind was moved about once
//! more. So the leaves are split while there is nothing in them yet:
//!
//! ```text
//! leaf of a group:   ········ │ block block block block block block │ ·        16 keys at most
//!                    8 fences │ at most 7 blocks, each a link       │ the next group's first
//! ```
//!
//! Before the first block of a group, nine fences are set where the group will end. They are the
//! last keys there are; with them the leaf has seventeen, and the block that comes next splits it:
//! eight and the first of the nine stay, eight begin the next group's leaf. sled cuts the key that
//! separates two leaves as short as it can: so the fences on both sides of it differ in their last
//! byte only, and the cut is made exactly between them.
//!
//! Where a group ends is an LSN, chosen from how many records a block has at the time. A wrong guess
//! costs a split, nothing else: fences lie between two LSNs, where no block can have its key, and
//! readers pass over them.

use ducat_engine::ids::Lsn;

/// A leaf's blocks, at most: with nine fences and no split. One is left for blocks that are
/// smaller than expected.
const BLOCKS: u64 = 6;

/// A block is taken for no smaller than this, in bytes: where appends are tiny, the fences would be
/// more than what they save.
const BLOCK_BYTES_MIN: u64 = 1024;

/// A fence's key: the LSN in front of it and its number, which puts it between two blocks' keys.
pub(super) type Key = [u8; 9];

/// Whether a key is a fence's.
pub(super) const fn is_fence(key: &[u8]) -> bool {
    key.len() == size_of::<Key>()
}

/// Where the fences of a segment are, as far as its writer knows.
#[derive(Debug, Default)]
pub(super) struct Fences {
    /// The end of the last group that has one; blocks below it have their leaf.
    end: Option<Lsn>,
}

impl Fences {
    /// The fences to be set before the block at `lsn`; none when its group has them. `width` is how
    /// many LSNs a group shall have.
    pub fn before(&mut self, lsn: Lsn, width: u64) -> Vec<Key> {
        if self.end.is_some_and(|end| lsn < end) {
            return Vec::new();
        }
        let end = lsn.plus(width.max(1));
        let mut keys = Vec::with_capacity(17);
        if self.end.is_none() {
            // Of a segment that is begun, or written on, the leaf may have any number of keys.
            keys.extend((2..=9).map(|nth| key(lsn, nth)));
        }
        keys.extend((1..=9).map(|nth| key(end, nth)));
        self.end = Some(end);
        keys
    }
}

/// The `nth` fence in front of the block at `lsn`.
fn key(lsn: Lsn, nth: u8) -> Key {
    let mut key = [nth; 9];
    key[..8].copy_from_slice(&lsn.0.saturating_sub(1).to_be_bytes());
    key
}

/// How many LSNs a group shall have, when so many came in so many blocks of so many bytes in all.
pub(super) fn width(lsns: u64, blocks: u64, bytes: u64) -> u64 {
    let blocks = blocks.max(1);
    let block_bytes = (bytes / blocks).max(1);
    BLOCKS * lsns * BLOCK_BYTES_MIN.max(block_bytes) / (blocks * block_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_fenced_before_its_first_block() {
        let mut fences = Fences::default();
        let first = fences.before(Lsn(1), 100);
        assert_eq!(first.len(), 17, "eight in front of it, nine at its end");
        assert!(first.is_sorted());
        assert!(first[7][..] < Lsn(1).0.to_be_bytes()[..]);
        for lsn in [2, 50, 100] {
            assert_eq!(fences.before(Lsn(lsn), 100), Vec::<Key>::new(), "{lsn} has its leaf");
        }
        let next = fences.before(Lsn(101), 7);
        assert_eq!(next.len(), 9);
        for key in &next {
            assert!(is_fence(key));
            let (before, behind) = (107u64.to_be_bytes(), 108u64.to_be_bytes());
            assert!(key[..] > before[..] && key[..] < behind[..], "between two blocks' keys");
        }
        assert_eq!(fences.before(Lsn(107), 7), Vec::<Key>::new());
        assert_eq!(fences.before(Lsn(500), 7).len(), 9, "one step for a gap of any size");
    }

    #[test]
    fn a_group_has_six_blocks() {
        assert_eq!(width(3000, 10, 150_000), 1800);
        assert_eq!(width(1, 1, 200), 30, "as if blocks of a kilobyte");
        assert_eq!(width(1, 1, 100_000), 6);
        assert_eq!(width(1, 0, 0), 6144);
    }
}
