//! What lies under which ledger key, and what is not encrypted: by looking at files, without a key.
//!
//! Of the journal each segment's file is looked through for frames, plain and sealed, old copies that
//! the store has not overwritten yet among them: a segment counts as plain as long as any plain frame
//! can be found in its file. Snapshots and files of frames say it in their first bytes.

use super::{KeysFile, Stamp, VaultError};
use crate::archive::format::encrypted_under as archive_stamp;
use crate::data_dir::{DataDir, archive_dir, snapshots_dir};
use crate::files::list_names;
use crate::frame::{self, FRAME_BYTES_MAX, Frame, STORED_BYTES_MAX};
use crate::snapshot::format::encrypted_under as snapshot_stamp;
use ducat_engine::ids::ShardId;
use memchr::memmem::Finder;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes of a segment's file looked at together.
const WINDOW_BYTES: usize = 1 << 20;
/// Bytes at a file's beginning in which it says its key.
const BEGINNING_BYTES: usize = 128;

/// Files by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Segments of the journal.
    pub segments: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Files of frames: of the archive, or of a backup.
    pub frames: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.segments + self.snapshots + self.frames
    }
}

/// What a directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// By ledger key. A segment that was written under several counts for each.
    pub by_key: BTreeMap<u32, Counts>,
    /// What holds anything that is not encrypted.
    pub plain: Counts,
}

/// Where in [`Counts`] a kind of file is counted.
type Place = fn(&mut Counts) -> &mut u64;

impl Usage {
    /// Looks through a data directory.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn of_data_dir(root: &Path) -> Result<Self, VaultError> {
        let (mut usage, shard) = (Self::default(), ShardId(0));
        for (path, _) in list_names(&DataDir::journal_dir_in(root, shard))? {
            usage.add_segment(&path.join("db"))?;
        }
        usage.add_snapshots(&snapshots_dir(root, shard))?;
        usage.add_frames(&archive_dir(root, shard))?;
        Ok(usage)
    }

    /// Looks through a backup.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn of_backup(dir: &Path) -> Result<Self, VaultError> {
        let mut usage = Self::default();
        usage.add_snapshots(&dir.join("snapshots"))?;
        usage.add_frames(&dir.join("frames"))?;
        Ok(usage)
    }

    /// Ledger keys that something lies under and that are not among these.
    #[must_use]
    pub fn unknown(&self, keys: Option<&KeysFile>) -> Vec<u32> {
        let known: BTreeSet<u32> =
            keys.iter().flat_map(|keys| &keys.entries).map(|entry| entry.number).collect();
        self.by_key.keys().filter(|number| !known.contains(number)).copied().collect()
    }

    fn count(&mut self, key: Option<u32>, place: Place) {
        let counts = match key {
            Some(number) => self.by_key.entry(number).or_default(),
            None => &mut self.plain,
        };
        *place(counts) += 1;
    }

    fn add_segment(&mut self, path: &Path) -> Result<(), VaultError> {
        let file = match File::open(path) {
            // Trimmed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed(path))?,
        };
        for key in keys_of(file).map_err(failed(path))? {
            self.count(key, |counts| &mut counts.segments);
        }
        Ok(())
    }

    fn add_snapshots(&mut self, dir: &Path) -> Result<(), VaultError> {
        self.add(dir, ".snap", snapshot_stamp, |counts| &mut counts.snapshots)
    }

    fn add_frames(&mut self, dir: &Path) -> Result<(), VaultError> {
        self.add(dir, ".frames", archive_stamp, |counts| &mut counts.frames)
    }

    fn add(
        &mut self,
        dir: &Path,
        end: &str,
        stamp: fn(&[u8]) -> Option<Stamp>,
        place: Place,
    ) -> Result<(), VaultError> {
        for (path, name) in list_names(dir)? {
            if !name.ends_with(end) {
                continue;
            }
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed(&path))?,
            };
            let mut begins = Vec::new();
            let read = file.take(BEGINNING_BYTES as u64).read_to_end(&mut begins);
            read.map_err(failed(&path))?;
            self.count(stamp(&begins).map(|stamp| stamp.generation), place);
        }
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> VaultError + '_ {
    move |source| VaultError::Io { verb: "read", path: path.to_owned(), source }
}

/// The keys of all intact frames in a segment's file; none of it for plain ones.
fn keys_of(mut file: File) -> io::Result<BTreeSet<Option<u32>>> {
    let (finder, mut keys) = (Finder::new(&frame::MAGIC), BTreeSet::new());
    let mut window: Vec<u8> = Vec::with_capacity(WINDOW_BYTES + STORED_BYTES_MAX);
    loop {
        let read = (&mut file).take(WINDOW_BYTES as u64).read_to_end(&mut window)?;
        let ends = read < WINDOW_BYTES;
        let mut at = 0;
        while let Some(found) = finder.find(&window[at..]) {
            at += found;
            if !ends && window.len() - at < STORED_BYTES_MAX {
                break;
            }
            match key_of(&window[at..]) {
                Some((key, bytes)) => {
                    keys.insert(key);
                    at += bytes;
                }
                None => at += frame::MAGIC.len(),
            }
        }
        if ends {
            return Ok(keys);
        }
        // What may begin a frame that is not whole yet is looked at again.
        let keep = window.len().saturating_sub(STORED_BYTES_MAX).max(at.min(window.len()));
        window.drain(..keep);
    }
}

/// The key of the intact frame that begins here, and its bytes.
fn key_of(bytes: &[u8]) -> Option<(Option<u32>, usize)> {
    let announced = frame::announced_bytes(bytes).ok()?;
    let stored = bytes.get(..announced)?;
    if frame::is_sealed(stored) {
        return frame::stamp_of(stored).ok().map(|stamp| (Some(stamp.generation), announced));
    }
    debug_assert!(announced <= FRAME_BYTES_MAX, "bounded by its header");
    Frame::parse(stored).ok().map(|_| (None, announced))
}
