//! The tree's hashes in the data directory, so that a start need not read the whole journal to
//! go on signing: a header, then 32 bytes for each whole tile.
//!
//! Nothing relies on it: what is read counts only when it leads to the root that the newest
//! checkpoint signed. So the tiles need no checksum and nothing a sync (the header has a checksum,
//! to tell a file of ours from anything else), and it may be removed at any time.

use crate::ledger_id::LedgerId;
use ducat_engine::proof::Hash;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const MAGIC: [u8; 8] = *b"DUCATTR1";
const HEADER_BYTES: usize = 36;

/// The file, open for writing.
#[derive(Debug)]
pub struct TreeFile {
    file: File,
    ledger: LedgerId,
    /// Tiles in it.
    tiles: u64,
}

fn header(ledger: LedgerId, newest: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..24].copy_from_slice(&ledger.to_bytes());
    bytes[24..32].copy_from_slice(&newest.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The newest checkpoint that a file says was written; 0 when it says nothing.
fn read_header(file: &mut File, ledger: LedgerId) -> io::Result<Option<u64>> {
    let mut found = Vec::new();
    file.take(HEADER_BYTES as u64).read_to_end(&mut found)?;
    let newest = found.get(24..32).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    Ok(newest.filter(|newest| found == header(ledger, *newest)))
}

impl TreeFile {
    /// Opens or creates the file, and reads the first `tiles_max` tiles it holds; none when it
    /// is of another ledger.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn open(path: &Path, ledger: LedgerId, tiles_max: u64) -> io::Result<(Self, Vec<Hash>)> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(false).read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        if read_header(&mut file, ledger)?.is_some() {
            (&mut file).take(tiles_max.saturating_mul(32)).read_to_end(&mut bytes)?;
        } else {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header(ledger, 0))?;
        }
        let tiles = bytes.as_chunks::<32>().0.to_vec();
        Ok((Self { file, ledger, tiles: tiles.len() as u64 }, tiles))
    }

    /// The newest checkpoint that was written for this ledger, as far as the file at `path`
    /// knows; 0 when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest_written(path: &Path, ledger: LedgerId) -> io::Result<u64> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
            Ok(mut file) => Ok(read_header(&mut file, ledger)?.unwrap_or(0)),
        }
    }

    /// Notes the newest checkpoint.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&mut self, newest: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.ledger, newest))
    }

    /// Forgets all tiles.
    pub fn clear(&mut self) {
        self.tiles = 0;
    }

    /// Makes these all the tiles there are; those that were put before are as they were.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&mut self, tiles: &[Hash]) -> io::Result<()> {
        let known = usize::try_from(self.tiles).unwrap_or(usize::MAX);
        let more = tiles.get(known..).unwrap_or_default();
        if more.is_empty() {
            return Ok(());
        }
        let end = HEADER_BYTES as u64 + self.tiles * 32;
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        self.file.write_all(more.as_flattened())?;
        self.tiles = tiles.len() as u64;
        Ok(())
    }
}
