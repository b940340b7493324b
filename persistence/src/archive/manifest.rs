//! The manifest: which files the archive consists of, in order, each with its two ends and its
//! digest. Written to another name, synced and renamed into place, so that there is always one
//! whole manifest. All numbers are little-endian:
//!
//! ```text
//!  0 magic "DUCATMAN"   16 ledger      40 number of files
//!  8 version            32 sequence    48 … 160 bytes a file …   last 4: CRC32C over all before
//! 12 shard
//!
//! a file:  0 before: LSN, hash    80 frames        104 first time, ns    120 digest
//!         40 after: LSN, hash     88 frame bytes   112 last time, ns     152 zero
//!                                 96 file bytes
//! ```
//!
//! The sequence grows with every change. What the archive must reach is not for the manifest to
//! say but for the journal, which begins where the last file ends: an older manifest ends before.

use super::Extent;
use super::writer::Written;
use crate::chain::ChainPoint;
use crate::frame::FrameHash;
use crate::ledger_id::LedgerId;
use crate::sealed::{self, CRC_BYTES, SealFault, number, word};
use ducat_engine::ids::{Lsn, ShardId};
use thiserror::Error;

/// The version this code writes, and the only one it knows.
pub const VERSION: u32 = 1;
/// No manifest names more files.
pub const FILES_MAX: usize = 400_000;

const MAGIC: [u8; 8] = *b"DUCATMAN";
const HEAD_BYTES: usize = 48;
/// Bytes of a file's entry.
pub(crate) const ENTRY_BYTES: usize = 160;
/// No manifest has more bytes.
pub const BYTES_MAX: usize = HEAD_BYTES + FILES_MAX * ENTRY_BYTES + CRC_BYTES;

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestFault {
    /// Files are there, and no manifest.
    #[error("it is missing, and archive files are there")]
    Missing,
    /// Too few bytes, or not as many as the number of files says, or more than any has.
    #[error("it has {0} bytes, which no manifest of so many files has")]
    Size(usize),
    /// It does not begin like a manifest.
    #[error("it does not begin with a manifest's magic number")]
    Magic,
    /// Written by a version this code does not know.
    #[error("format version {0} is unknown (this build reads {VERSION})")]
    Version(u32),
    /// Bits changed.
    #[error("its checksum does not hold")]
    Checksum,
    /// Whole, and of another ledger or shard.
    #[error("it is of ledger {0}, shard {1}")]
    Foreign(LedgerId, u32),
    /// A file has an impossible value.
    #[error("what it says of file {0} cannot be")]
    Field(usize),
    /// A file does not begin where the one before ends.
    #[error("file {0} does not begin where the one before it ends")]
    Chain(usize),
}

impl ManifestFault {
    /// What is wrong with its seal, of so many bytes.
    fn of_seal(fault: SealFault, bytes: usize) -> Self {
        match fault {
            SealFault::Size => Self::Size(bytes),
            SealFault::Magic => Self::Magic,
            SealFault::Version(found) => Self::Version(found),
            SealFault::Checksum => Self::Checksum,
        }
    }
}

/// A file, as the manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What is in it.
    pub extent: Extent,
    /// The file's size.
    pub bytes: u64,
    /// BLAKE3 over it: the whole file in 32 bytes.
    pub digest: [u8; 32],
}

impl From<Written> for Entry {
    fn from(Written { extent, bytes, digest }: Written) -> Self {
        Self { extent, bytes, digest }
    }
}

impl Entry {
    /// The file's name in the archive's directory.
    #[must_use]
    pub fn file_name(&self) -> String {
        file_name(self.extent.first_lsn())
    }
}

/// The name of the file whose first record has this LSN.
#[must_use]
pub fn file_name(first: Lsn) -> String {
    format!("{:020}.frames", first.0)
}

/// The LSN that a file's name stands for.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".frames")?;
    let whole = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| digits.parse().ok().map(Lsn)).flatten().filter(|lsn| *lsn > Lsn::ZERO)
}

/// The list of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose archive it is.
    pub ledger: LedgerId,
    /// Of which shard.
    pub shard: ShardId,
    /// Grows with every change.
    pub sequence: u64,
    /// The files, the oldest first, each continuing the one before.
    pub entries: Vec<Entry>,
}

impl Manifest {
    /// A manifest without files.
    #[must_use]
    pub const fn empty(ledger: LedgerId, shard: ShardId) -> Self {
        Self { ledger, shard, sequence: 0, entries: Vec::new() }
    }

    /// Where the archive ends; `None` when it is empty.
    #[must_use]
    pub fn end(&self) -> Option<ChainPoint> {
        self.entries.last().map(|entry| entry.extent.after)
    }

    /// Where the archive begins; `None` when it is empty.
    #[must_use]
    pub fn begin(&self) -> Option<ChainPoint> {
        self.entries.first().map(|entry| entry.extent.before)
    }

    /// The place in the list of the file that holds `lsn`.
    #[must_use]
    pub fn holding(&self, lsn: Lsn) -> Option<usize> {
        let at = self.entries.partition_point(|entry| entry.extent.last_lsn() < lsn);
        let entry = self.entries.get(at)?;
        (entry.extent.first_lsn() <= lsn).then_some(at)
    }

    /// The bytes.
    ///
    /// # Panics
    /// With more than [`FILES_MAX`] files.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.entries.len() <= FILES_MAX, "a manifest of {} files", self.entries.len());
        let mut out = Vec::with_capacity(HEAD_BYTES + self.entries.len() * ENTRY_BYTES + CRC_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.shard.0.to_le_bytes());
        out.extend_from_slice(&self.ledger.to_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        self.entries.iter().for_each(|entry| put_entry(entry, &mut out));
        sealed::seal(&mut out);
        out
    }

    /// Reads a manifest of `ledger`'s shard.
    ///
    /// # Errors
    /// [`ManifestFault`].
    pub fn decode(bytes: &[u8], ledger: LedgerId, shard: ShardId) -> Result<Self, ManifestFault> {
        let size = || ManifestFault::Size(bytes.len());
        let sizes = (HEAD_BYTES + CRC_BYTES, BYTES_MAX);
        let content = sealed::open(bytes, (MAGIC, VERSION), sizes)
            .map_err(|fault| ManifestFault::of_seal(fault, bytes.len()))?;
        let of = LedgerId::from_bytes(content[16..32].try_into().expect("sixteen bytes"));
        if of != ledger || word(content, 12) != shard.0 {
            return Err(ManifestFault::Foreign(of, word(content, 12)));
        }
        let (head, rest) = content.split_at(HEAD_BYTES);
        let (files, left) = rest.as_chunks::<ENTRY_BYTES>();
        if !left.is_empty() || number(head, 40) != files.len() as u64 {
            return Err(size());
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(files.len());
        for (at, file) in files.iter().enumerate() {
            let entry = take_entry(file).ok_or(ManifestFault::Field(at))?;
            if entries.last().is_some_and(|before| before.extent.after != entry.extent.before) {
                return Err(ManifestFault::Chain(at));
            }
            entries.push(entry);
        }
        Ok(Self { ledger, shard, sequence: number(head, 32), entries })
    }
}

pub(crate) fn put_entry(entry: &Entry, out: &mut Vec<u8>) {
    let Entry { extent, bytes, digest } = entry;
    for point in [extent.before, extent.after] {
        out.extend_from_slice(&point.lsn.0.to_le_bytes());
        out.extend_from_slice(&point.hash.0);
    }
    let numbers =
        [extent.frames, extent.frame_bytes, *bytes, extent.first_time_ns, extent.last_time_ns];
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(digest);
    out.extend_from_slice(&[0; 8]);
}

pub(crate) fn take_entry(bytes: &[u8; ENTRY_BYTES]) -> Option<Entry> {
    let hash = |at: usize| bytes[at..at + 32].try_into().expect("32 bytes");
    let point =
        |at: usize| ChainPoint { lsn: Lsn(number(bytes, at)), hash: FrameHash(hash(at + 8)) };
    let extent = Extent {
        before: point(0),
        after: point(40),
        frames: number(bytes, 80),
        frame_bytes: number(bytes, 88),
        first_time_ns: number(bytes, 104),
        last_time_ns: number(bytes, 112),
    };
    let fits = extent.before.lsn < extent.after.lsn
        && extent.after.lsn.0 < u64::MAX
        && (1..=extent.records()).contains(&extent.frames)
        && number(bytes, 152) == 0;
    fits.then_some(Entry { extent, bytes: number(bytes, 96), digest: hash(120) })
}
