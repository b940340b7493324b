//! Whether every transfer's id is there once, over everything in a directory: the ledger itself
//! remembers ids for a day or two only.
//!
//! ```text
//! id, LSN ─▶ part by the id's hash ─ in memory up to a bound, then to a file ─▶ sorted, part by part
//! ```
//!
//! Ids are 24 bytes each, in 256 parts; what is beyond the bound of memory goes to temporary
//! files that nobody else sees. At the end one part at a time is sorted.

use ducat_engine::ids::{Lsn, TransferId};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// Parts; a power of two.
const PARTS: usize = 256;
/// An id's halves and its LSN.
type Entry = (u64, u64, u64);
const ENTRY_BYTES: usize = size_of::<Entry>();

/// Ids with the events that consumed them.
pub struct IdsOnce {
    parts: Vec<Part>,
    held: usize,
    held_max: usize,
    room: PathBuf,
}

#[derive(Default)]
struct Part {
    entries: Vec<Entry>,
    file: Option<File>,
}

/// An id that two events consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twice {
    /// The id.
    pub id: TransferId,
    /// The first event.
    pub first: Lsn,
    /// The one after it.
    pub again: Lsn,
}

impl IdsOnce {
    /// Holds so many bytes in memory, and the rest in files in the directory `room`.
    pub fn new(memory_bytes: usize, room: &Path) -> Self {
        let parts = (0..PARTS).map(|_| Part::default()).collect();
        let held_max = (memory_bytes / ENTRY_BYTES).max(PARTS);
        Self { parts, held: 0, held_max, room: room.to_owned() }
    }

    /// Adds an id.
    ///
    /// # Errors
    /// When a temporary file cannot be written.
    pub fn add(&mut self, id: TransferId, lsn: Lsn) -> io::Result<()> {
        // Ids are the callers': neither half is sure to differ in any one place.
        let mixed = (id.high() ^ id.low().rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let part = (mixed >> 56) as usize % PARTS;
        self.parts[part].entries.push((id.high(), id.low(), lsn.0));
        self.held += 1;
        if self.held >= self.held_max { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        for part in &mut self.parts {
            bytes.clear();
            for (high, low, lsn) in part.entries.drain(..) {
                for word in [high, low, lsn] {
                    bytes.extend_from_slice(&word.to_le_bytes());
                }
            }
            let file = match &mut part.file {
                Some(file) => file,
                empty => empty.insert(tempfile::tempfile_in(&self.room)?),
            };
            file.write_all(&bytes)?;
        }
        self.held = 0;
        Ok(())
    }

    /// The ids that came more than once, at most `max` of them.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub fn twice(self, max: usize) -> io::Result<Vec<Twice>> {
        let mut found = Vec::new();
        for mut part in self.parts {
            if let Some(mut file) = part.file {
                let mut bytes = Vec::new();
                file.seek(SeekFrom::Start(0))?;
                file.read_to_end(&mut bytes)?;
                part.entries.extend(bytes.chunks_exact(ENTRY_BYTES).map(|entry| {
                    let word = |at: usize| {
                        let word = entry[at..at + 8].try_into().expect("eight bytes");
                        u64::from_le_bytes(word)
                    };
                    (word(0), word(8), word(16))
                }));
            }
            part.entries.sort_unstable();
            for pair in part.entries.windows(2) {
                let (a, b) = (pair[0], pair[1]);
                if (a.0, a.1) == (b.0, b.1)
                    && let Ok(id) = TransferId::from_halves(a.0, a.1)
                {
                    found.push(Twice { id, first: Lsn(a.2), again: Lsn(b.2) });
                }
            }
        }
        found.sort_by_key(|twice| twice.again);
        found.truncate(max);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_came_twice_is_found_in_memory_and_in_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let id = |n: u64| TransferId::new(u128::from(n) << 40 | 1).expect("not zero");
        for memory in [1 << 20, 0] {
            let mut ids = IdsOnce::new(memory, dir.path());
            for n in 1..=10_000 {
                ids.add(id(n), Lsn(n)).expect("room");
            }
            ids.add(id(77), Lsn(10_001)).expect("room");
            ids.add(id(9_999), Lsn(10_002)).expect("room");
            let twice = ids.twice(10).expect("reads");
            let expected = [(77, 10_001), (9_999, 10_002)].map(|(n, again)| Twice {
                id: id(n),
                first: Lsn(n),
                again: Lsn(again),
            });
            assert_eq!(twice, expected, "{memory} bytes");
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0, "nothing is left");
    }
}
