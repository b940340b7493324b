//! The backup's manifest: which files it consists of, each with its ends and its digest, and so
//! where it ends and in which hash. All numbers are little-endian:
//!
//! ```text
//!  0 magic "DUCATBAK"   16 ledger     40 time, ns          56 number of snapshots
//!  8 version            32 sequence   48 number of files   64 bytes of the descent   72 zero
//! 12 shard
//! 80 … 88 bytes a snapshot … 160 bytes a file … descent, as in FORMAT … CRC32C over all before
//!
//! a snapshot:  0 LSN   8 anchor: LSN, hash   48 bytes   56 digest
//! a file: as in the archive's manifest
//! ```
//!
//! The first file begins where the ledger does, and each continues the one before.

use crate::archive::Entry;
use crate::archive::manifest::{ENTRY_BYTES, FILES_MAX, put_entry, take_entry};
use crate::chain::ChainPoint;
use crate::frame::{FrameHash, genesis_hash};
use crate::ledger_id::LedgerId;
use crate::origin::{ORIGINS_MAX, Origin};
use crate::sealed::{self, CRC_BYTES, SealFault, number, word};
use ducat_engine::ids::{Lsn, ShardId};
use thiserror::Error;

/// The version this code writes, and the only one it knows.
pub const VERSION: u32 = 1;
/// No manifest names more snapshots.
pub const SNAPSHOTS_MAX: usize = 1000;

const MAGIC: [u8; 8] = *b"DUCATBAK";
const HEAD_BYTES: usize = 80;
const SNAPSHOT_BYTES: usize = 88;
/// Eight origins take less.
const DESCENT_BYTES_MAX: usize = 8192;
/// No manifest has more bytes.
pub const BYTES_MAX: usize = HEAD_BYTES
    + SNAPSHOTS_MAX * SNAPSHOT_BYTES
    + FILES_MAX * ENTRY_BYTES
    + DESCENT_BYTES_MAX
    + CRC_BYTES;

/// Why bytes are no backup's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestFault {
    /// Too few bytes, or not as many as the numbers in it say, or more than any has.
    #[error("it has {0} bytes, which is not what the numbers in it say")]
    Size(usize),
    /// It does not begin like one.
    #[error("it does not begin with a backup manifest's magic number")]
    Magic,
    /// Written by a version this code does not know.
    #[error("format version {0} is unknown (this build reads {VERSION})")]
    Version(u32),
    /// Bits changed.
    #[error("its checksum does not hold")]
    Checksum,
    /// A part has a value that was never written.
    #[error("{0} has an impossible value")]
    Field(&'static str),
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

/// A snapshot, as the manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Its LSN.
    pub lsn: Lsn,
    /// The frame's end at which it stands.
    pub anchor: ChainPoint,
    /// The file's size.
    pub bytes: u64,
    /// The snapshot's own digest: the whole of it in 32 bytes.
    pub digest: [u8; 32],
}

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose backup it is.
    pub ledger: LedgerId,
    /// Of which shard.
    pub shard: ShardId,
    /// Grows with every change.
    pub sequence: u64,
    /// When it was written, nanoseconds since 1970.
    pub time_ns: u64,
    /// Where the ledger itself comes from, the oldest first.
    pub origins: Vec<Origin>,
    /// The snapshots, the oldest first.
    pub snapshots: Vec<SnapshotEntry>,
    /// The files of frames, the oldest first.
    pub files: Vec<Entry>,
}

impl Manifest {
    /// A backup with nothing in it.
    #[must_use]
    pub const fn empty(ledger: LedgerId, shard: ShardId, origins: Vec<Origin>) -> Self {
        Self {
            ledger,
            shard,
            sequence: 0,
            time_ns: 0,
            origins,
            snapshots: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Where the chain begins, before the first event.
    #[must_use]
    pub fn start(&self) -> ChainPoint {
        ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(self.ledger, self.shard) }
    }

    /// Where it ends: the last event, and the hash in which the chain ends.
    #[must_use]
    pub fn end(&self) -> ChainPoint {
        self.files.last().map_or_else(|| self.start(), |file| file.extent.after)
    }

    /// When its last event was decided, nanoseconds since 1970; 0 for none.
    #[must_use]
    pub fn last_time_ns(&self) -> u64 {
        self.files.last().map_or(0, |file| file.extent.last_time_ns)
    }

    /// The file that holds `lsn`.
    #[must_use]
    pub fn holding(&self, lsn: Lsn) -> Option<&Entry> {
        let at = self.files.partition_point(|file| file.extent.last_lsn() < lsn);
        self.files.get(at).filter(|file| file.extent.first_lsn() <= lsn)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let files: u64 = self.files.iter().map(|file| file.bytes).sum();
        files + self.snapshots.iter().map(|snapshot| snapshot.bytes).sum::<u64>()
    }

    fn descent(&self) -> String {
        self.origins.iter().map(|origin| format!("{origin}\n")).collect()
    }

    /// The bytes.
    ///
    /// # Panics
    /// With more files, snapshots or origins than any backup has.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let descent = self.descent();
        assert!(self.files.len() <= FILES_MAX && self.snapshots.len() <= SNAPSHOTS_MAX);
        assert!(self.origins.len() <= ORIGINS_MAX && descent.len() <= DESCENT_BYTES_MAX);
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.shard.0.to_le_bytes());
        out.extend_from_slice(&self.ledger.to_bytes());
        let counts = [self.files.len(), self.snapshots.len(), descent.len()].map(|n| n as u64);
        for number in [self.sequence, self.time_ns].into_iter().chain(counts).chain([0]) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for snapshot in &self.snapshots {
            out.extend_from_slice(&snapshot.lsn.0.to_le_bytes());
            out.extend_from_slice(&snapshot.anchor.lsn.0.to_le_bytes());
            out.extend_from_slice(&snapshot.anchor.hash.0);
            out.extend_from_slice(&snapshot.bytes.to_le_bytes());
            out.extend_from_slice(&snapshot.digest);
        }
        self.files.iter().for_each(|file| put_entry(file, &mut out));
        out.extend_from_slice(descent.as_bytes());
        sealed::seal(&mut out);
        out
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestFault`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestFault> {
        let size = || ManifestFault::Size(bytes.len());
        let sizes = (HEAD_BYTES + CRC_BYTES, BYTES_MAX);
        let content = sealed::open(bytes, (MAGIC, VERSION), sizes)
            .map_err(|fault| ManifestFault::of_seal(fault, bytes.len()))?;
        let ledger = LedgerId::from_bytes(content[16..32].try_into().expect("sixteen bytes"));
        let (head, rest) = content.split_at(HEAD_BYTES);
        if number(head, 72) != 0 {
            return Err(ManifestFault::Field("the head"));
        }
        let count = |at, most: usize| {
            usize::try_from(number(head, at)).ok().filter(|count| *count <= most).ok_or_else(size)
        };
        let (files, snapshots) = (count(48, FILES_MAX)?, count(56, SNAPSHOTS_MAX)?);
        let descent = count(64, DESCENT_BYTES_MAX)?;
        if rest.len() != files * ENTRY_BYTES + snapshots * SNAPSHOT_BYTES + descent {
            return Err(size());
        }
        let (snapshots, rest) = rest.split_at(snapshots * SNAPSHOT_BYTES);
        let (files, descent) = rest.split_at(files * ENTRY_BYTES);
        let mut manifest = Self::empty(ledger, ShardId(word(content, 12)), take_origins(descent)?);
        (manifest.sequence, manifest.time_ns) = (number(head, 32), number(head, 40));
        manifest.take_files(files)?;
        manifest.take_snapshots(snapshots)?;
        Ok(manifest)
    }

    fn take_files(&mut self, bytes: &[u8]) -> Result<(), ManifestFault> {
        for (at, file) in bytes.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
            let entry = take_entry(file).ok_or(ManifestFault::Field("a file"))?;
            if entry.extent.before != self.end() {
                return Err(ManifestFault::Chain(at));
            }
            self.files.push(entry);
        }
        Ok(())
    }

    fn take_snapshots(&mut self, bytes: &[u8]) -> Result<(), ManifestFault> {
        let end = self.end().lsn;
        for bytes in bytes.as_chunks::<SNAPSHOT_BYTES>().0 {
            let hash = |at: usize| bytes[at..at + 32].try_into().expect("32 bytes");
            let anchor = ChainPoint { lsn: Lsn(number(bytes, 8)), hash: FrameHash(hash(16)) };
            let (lsn, size) = (Lsn(number(bytes, 0)), number(bytes, 48));
            let later = self.snapshots.last().is_none_or(|before| before.lsn < lsn);
            if !later || lsn == Lsn::ZERO || anchor.lsn > lsn || lsn > end {
                return Err(ManifestFault::Field("a snapshot"));
            }
            self.snapshots.push(SnapshotEntry { lsn, anchor, bytes: size, digest: hash(56) });
        }
        Ok(())
    }
}

fn take_origins(bytes: &[u8]) -> Result<Vec<Origin>, ManifestFault> {
    let field = || ManifestFault::Field("the descent");
    let text = std::str::from_utf8(bytes).map_err(|_| field())?;
    let origins: Vec<Origin> =
        text.lines().map(str::parse).collect::<Result<_, ()>>().map_err(|()| field())?;
    // There is one way to write it.
    let again: String = origins.iter().map(|origin| format!("{origin}\n")).collect();
    if origins.len() > ORIGINS_MAX || again != text {
        return Err(field());
    }
    Ok(origins)
}
