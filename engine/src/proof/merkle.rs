//! The Merkle tree over statements: hashes, paths and their check, as in RFC 9162 (section 2.1,
//! the same as RFC 6962's), with SHA-256.
//!
//! A [`Tree`] keeps the hash of every whole *tile* of 1,024 leaves and the leaves behind the
//! last one: 32 bytes for 1,024 events. Roots of any size need no more; a path also needs the
//! leaves of two tiles, which whoever holds the journal makes anew.

use sha2::{Digest, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// Leaves of a tile.
pub const TILE: u64 = 1024;

/// No path is longer: a tree has fewer than 2^64 leaves.
pub const PATH_MAX: usize = 64;

/// The hash of a leaf with this content.
#[must_use]
pub fn leaf(content: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(content);
    hasher.finalize().into()
}

/// The hash of an inner node.
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Where a tree of more than one leaf is split: the largest power of two below `n`.
const fn split(n: u64) -> u64 {
    1 << (u64::BITS - 1 - (n - 1).leading_zeros())
}

/// The root over these leaves.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
            node(&root_of(left), &root_of(right))
        }
    }
}

/// A tree that grows at its right end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    tiles: Vec<Hash>,
    /// The roots of the largest whole subtrees over the tiles, from the left: one for each bit
    /// of their number.
    peaks: Vec<Hash>,
    rest: Vec<Hash>,
}

impl Tree {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of these whole tiles.
    #[must_use]
    pub fn of_tiles(tiles: Vec<Hash>) -> Self {
        let mut tree = Self::default();
        tiles.into_iter().for_each(|tile| tree.push_tile(tile));
        tree
    }

    /// Leaves it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tiles.len() as u64 * TILE + self.rest.len() as u64
    }

    /// Hashes of the whole tiles.
    #[must_use]
    pub fn tiles(&self) -> &[Hash] {
        &self.tiles
    }

    /// The leaves behind the last whole tile.
    #[must_use]
    pub fn rest(&self) -> &[Hash] {
        &self.rest
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.rest.push(leaf);
        if self.rest.len() as u64 == TILE {
            self.push_tile(root_of(&self.rest));
            self.rest.clear();
        }
    }

    fn push_tile(&mut self, tile: Hash) {
        let mut peak = tile;
        for _ in 0..self.tiles.len().trailing_ones() {
            let left = self.peaks.pop().unwrap_or_default();
            peak = node(&left, &peak);
        }
        self.peaks.push(peak);
        self.tiles.push(tile);
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let rest = (!self.rest.is_empty()).then(|| root_of(&self.rest));
        let parts = rest.into_iter().chain(self.peaks.iter().rev().copied());
        parts.reduce(|right, left| node(&left, &right)).unwrap_or_else(empty_root)
    }

    /// The root of the first `size` leaves, of which the last tile has these `leaves` when it
    /// is not whole. `None` when the tree, or the leaves given, do not reach there.
    #[must_use]
    pub fn root_at(&self, size: u64, leaves: &[Hash]) -> Option<Hash> {
        if size == 0 {
            return Some(empty_root());
        }
        self.range(0, size, &[Leaves { tile: size / TILE, hashes: leaves }])
    }

    /// The path from leaf `index` (from 0) to the root over the first `size` leaves. `own` are
    /// the leaves of the leaf's tile, `last` those of the tile that `size` ends in, each as far
    /// as `size`. `None` when these, or the tree, do not reach there.
    #[must_use]
    pub fn path(&self, index: u64, size: u64, own: &[Hash], last: &[Hash]) -> Option<Vec<Hash>> {
        if index >= size {
            return None;
        }
        let known = [
            Leaves { tile: index / TILE, hashes: own },
            Leaves { tile: size / TILE, hashes: last },
        ];
        let (mut start, mut end) = (0, size);
        let mut path = Vec::new();
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.range(middle, end, &known)?);
                end = middle;
            } else {
                path.push(self.range(start, middle, &known)?);
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// The root over a range that the tree's splits make. Ranges shorter than a tile lie in one.
    fn range(&self, start: u64, end: u64, known: &[Leaves<'_>]) -> Option<Hash> {
        let (count, tile) = (end - start, start / TILE);
        if count < TILE {
            let known = known.iter().find(|leaves| leaves.tile == tile)?;
            let at = (start % TILE) as usize;
            let leaves = known.hashes.get(at..at + count as usize)?;
            return (!leaves.is_empty()).then(|| root_of(leaves));
        }
        if count == TILE {
            return self.tiles.get(usize::try_from(tile).ok()?).copied();
        }
        let middle = start + split(count);
        Some(node(&self.range(start, middle, known)?, &self.range(middle, end, known)?))
    }
}

/// Leaves of one tile.
struct Leaves<'a> {
    tile: u64,
    hashes: &'a [Hash],
}

/// The root that a path leads to from leaf `index` (from 0) in a tree of `size`: RFC 9162,
/// 2.1.3.2. `None` when no such path is that long.
#[must_use]
pub fn root_from_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Hash {
        let byte = |at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex");
        std::array::from_fn(byte)
    }

    /// The inputs and roots of the reference implementation of Certificate Transparency.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::new();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(tree.root(), hex(empty));
        for (input, root) in inputs.into_iter().zip(roots) {
            tree.push(leaf(input));
            assert_eq!(tree.root(), hex(root));
        }
        // The path of the fifth of seven, as published beside them.
        let leaves: Vec<Hash> = inputs.into_iter().map(leaf).collect();
        let path = tree.path(5, 7, &leaves, &leaves).expect("there");
        assert_eq!(path[0], leaves[4]);
        assert_eq!(path[1], leaves[6]);
        assert_eq!(path[2], hex(roots[3]));
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf(&n.to_be_bytes())).collect()
    }

    fn tile(leaves: &[Hash], tile: u64, size: u64) -> &[Hash] {
        let from = (tile * TILE).min(size) as usize;
        &leaves[from..((tile + 1) * TILE).min(size) as usize]
    }

    #[test]
    fn every_leaf_of_small_trees_has_a_path_and_no_other() {
        for size in 1..=40u64 {
            let all = leaves(size);
            let root = root_of(&all);
            for index in 0..size {
                let path = Tree::new().path(index, size, &all, &all).expect("there");
                let lead = |leaf, index, size, path: &[Hash]| {
                    root_from_path(leaf, index, size, path) == Some(root)
                };
                assert!(lead(all[index as usize], index, size, &path));
                for other in (0..size + 2).filter(|other| *other != index) {
                    assert!(!lead(all[index as usize], other, size, &path), "{index} {other}");
                }
                assert!(!lead(leaf(b"x"), index, size, &path));
                assert!(!lead(all[index as usize], index, 2 * size + 1, &path));
                let longer = [&path[..], &[root]].concat();
                assert!(!lead(all[index as usize], index, size, &longer));
                for cut in 0..path.len() {
                    let mut less = path.clone();
                    less.remove(cut);
                    assert!(!lead(all[index as usize], index, size, &less));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10))]

        #[test]
        fn tiles_change_nothing(grown in 1..3_000u64, size in 1..3_000u64, index in 0..3_000u64) {
            let size = size.min(grown);
            let index = index % size;
            let all = leaves(grown);
            let mut tree = Tree::new();
            all.iter().for_each(|leaf| tree.push(*leaf));
            prop_assert_eq!(tree.size(), grown);
            prop_assert_eq!(tree.root(), root_of(&all));
            let root = root_of(&all[..size as usize]);
            let last = tile(&all, size / TILE, size);
            prop_assert_eq!(tree.root_at(size, last), Some(root));
            let own = tile(&all, index / TILE, size);
            let path = tree.path(index, size, own, last).expect("there");
            let lead = root_from_path(all[index as usize], index, size, &path);
            prop_assert_eq!(lead, Some(root));
        }
    }

    /// Trees of some thousand tiles, whose hashes are made up.
    #[test]
    fn peaks_give_the_root_that_ranges_give() {
        let mut tree = Tree::new();
        for tiles in 1..200u64 {
            tree.push_tile(leaf(&tiles.to_be_bytes()));
            assert_eq!(tree.root_at(tiles * TILE, &[]), Some(tree.root()), "{tiles}");
            assert_eq!(Tree::of_tiles(tree.tiles().to_vec()), tree);
        }
    }

    #[test]
    fn what_is_not_there_has_no_path() {
        let tree = Tree::new();
        assert_eq!(tree.path(0, 0, &[], &[]), None);
        assert_eq!(tree.path(3, 3, &leaves(3), &leaves(3)), None);
        assert_eq!(tree.path(0, 3, &leaves(2), &leaves(2)), None);
        assert_eq!(tree.path(0, TILE + 1, &leaves(TILE), &[leaf(b"")]).map(|p| p.len()), Some(11));
        assert_eq!(tree.root_at(TILE, &[]), None);
        assert_eq!(root_from_path(leaf(b""), 0, 0, &[]), None);
        assert_eq!(root_from_path(leaf(b""), u64::MAX, u64::MAX, &[[0; 32]; 64]), None);
    }
}
