//! Reads an archive file: opened by its two ends and its index, then one frame by its LSN, or
//! frames in order, or all of it with every check there is.

use super::block::{self, Header, Opener};
use super::format::{self, END_BYTES, END_DIGESTED_BYTES, End, HEAD_BYTES, Head};
use super::writer::Written;
use super::{ArchiveError, Extent, Fault};
use crate::chain::{ChainFault, ChainPoint};
use crate::frame::{Frame, FrameHash};
use crate::packed::{STAMP_PART_BYTES, take_stamp};
use crate::vault::cipher::DataKey;
use crate::vault::{Kind, Vault};
use ducat_engine::ids::Lsn;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that can be read at any place, from many threads.
pub trait ReadAt {
    /// How many there are.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn byte_count(&self) -> io::Result<u64>;

    /// Fills `into` with what lies at `at`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when not so many bytes lie there.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn byte_count(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(into, at)
    }
}

impl ReadAt for Arc<[u8]> {
    fn byte_count(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let end = start.saturating_add(into.len());
        let bytes = self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}

/// An open archive file. Its ends and its index were checked, the rest is as it is read.
#[derive(Debug)]
pub struct ArchiveFile<R> {
    source: R,
    path: PathBuf,
    bytes: u64,
    head: Head,
    /// What its blocks are encrypted under.
    key: Option<Arc<DataKey>>,
    end: End,
    /// First LSN and offset of each block.
    index: Vec<(Lsn, u64)>,
}

impl<R: ReadAt> ArchiveFile<R> {
    /// Reads head, end and index.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::Damaged`].
    pub fn open(source: R, path: &Path) -> Result<Self, ArchiveError> {
        Self::opening(source, path, None)
    }

    /// The same with the ledger's keys, which an encrypted file wants.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn opening(source: R, path: &Path, vault: Option<&Vault>) -> Result<Self, ArchiveError> {
        let bytes = source.byte_count().map_err(ArchiveError::io("look at", path))?;
        let damaged = |at: u64, fault: Fault| damaged(path, at, fault);
        let mut file_head = [0; HEAD_BYTES];
        let read = |into: &mut [u8], at: u64, part| read(&source, path, into, at, part);
        read(&mut file_head, 0, "its head")?;
        let (head, encrypted) = format::take_head(&file_head).map_err(|fault| damaged(0, fault))?;
        let key = encrypted.then(|| find_key(&source, path, vault)).transpose()?;
        let end_at = bytes.saturating_sub(END_BYTES as u64);
        let mut file_end = [0; END_BYTES];
        read(&mut file_end, end_at, "its end")?;
        let place = format::index_place(&file_end, bytes);
        let (index_at, index_bytes) = place.map_err(|fault| damaged(end_at, fault))?;
        let mut index = vec![0; index_bytes];
        read(&mut index, index_at, "its index")?;
        let taken = format::take_end((&head, encrypted), &file_end, &index);
        let (end, index) = taken.map_err(|fault| damaged(index_at, fault))?;
        Ok(Self { source, path: path.to_owned(), bytes, head, key, end, index })
    }

    /// How it begins.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// What it says of itself: its content was not looked at for it.
    #[must_use]
    pub const fn said(&self) -> Written {
        Written { extent: self.end.extent, bytes: self.bytes, digest: self.end.digest }
    }

    /// What it says is in it.
    #[must_use]
    pub const fn extent(&self) -> &Extent {
        &self.end.extent
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.index.len()
    }

    /// The frame that holds `lsn`; `None` when it lies outside the file.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`], [`ArchiveError::Io`].
    pub fn frame_at(&self, lsn: Lsn) -> Result<Option<Frame>, ArchiveError> {
        let Some(block) = self.block_of(lsn) else { return Ok(None) };
        let frames = self.block(block, &mut self.opener()?)?;
        let at = frames.partition_point(|frame| frame.last_lsn() < lsn);
        match frames.into_iter().nth(at) {
            Some(frame) => Ok(Some(frame)),
            // The next block begins later than this one ends.
            None => Err(self.damaged(block, Fault::Field("the index"))),
        }
    }

    /// The number of the block in which `lsn` lies.
    pub(super) fn block_of(&self, lsn: Lsn) -> Option<usize> {
        if lsn < self.end.extent.first_lsn() || lsn > self.end.extent.last_lsn() {
            return None;
        }
        self.index.partition_point(|(first, _)| *first <= lsn).checked_sub(1)
    }

    pub(super) fn opener(&self) -> Result<Opener, ArchiveError> {
        Opener::new(self.key.clone()).map_err(ArchiveError::io("begin to decompress", &self.path))
    }

    /// Where a block begins and ends in the file.
    fn place(&self, block: usize) -> (u64, u64) {
        let end = self.index.get(block + 1).map_or(self.end.index_at, |(_, at)| *at);
        (self.index[block].1, end)
    }

    /// The frames of a block.
    pub(super) fn block(
        &self,
        block: usize,
        opener: &mut Opener,
    ) -> Result<Vec<Frame>, ArchiveError> {
        let (at, end) = self.place(block);
        let length = usize::try_from(end - at).unwrap_or(usize::MAX);
        if length > block::HEADER_BYTES + block::STORED_BYTES_MAX {
            return Err(self.damaged(block, Fault::Field("the index")));
        }
        let mut bytes = vec![0; length];
        read(&self.source, &self.path, &mut bytes, at, "a block")?;
        self.open_block(block, &bytes, opener).map_err(|fault| self.damaged(block, fault))
    }

    fn open_block(
        &self,
        block: usize,
        bytes: &[u8],
        opener: &mut Opener,
    ) -> Result<Vec<Frame>, Fault> {
        let header = bytes.first_chunk().ok_or(Fault::CutOff("a block"))?;
        let header = Header::parse(header)?;
        let expected = u32::try_from(block).unwrap_or(u32::MAX);
        if header.number != expected {
            let found = header.number;
            return Err(block::BlockFault::Number { expected, found }.into());
        }
        let announced = block::HEADER_BYTES + header.stored_bytes as usize;
        if header.first != self.index[block].0 || announced != bytes.len() {
            return Err(Fault::Field("the index"));
        }
        opener.open(&header, bytes, block + 1 == self.index.len())
    }

    fn damaged(&self, block: usize, fault: Fault) -> ArchiveError {
        damaged(&self.path, self.index[block].1, fault)
    }

    /// Reads the file to its end and checks everything: blocks, frames, their chain, what they
    /// come to, the digest. Shows each frame and its hash to `visit`, until that says no.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`], [`ArchiveError::Io`].
    pub fn verify(
        &self,
        visit: &mut dyn FnMut(&Frame, FrameHash) -> bool,
    ) -> Result<(), ArchiveError> {
        let mut walk = Walk::new(&self.head, &self.end.extent);
        let mut opener = self.opener()?;
        for block in 0..self.index.len() {
            for frame in self.block(block, &mut opener)? {
                let hash = walk.frame(&frame).map_err(|fault| self.damaged(block, fault))?;
                if !visit(&frame, hash) {
                    return Ok(());
                }
            }
        }
        walk.finish().map_err(|fault| damaged(&self.path, self.end.index_at, fault))?;
        self.check_digest()
    }

    fn check_digest(&self) -> Result<(), ArchiveError> {
        let mut hasher = blake3::Hasher::new();
        let end_at = self.bytes - END_BYTES as u64;
        let (mut at, covered) = (0, end_at + END_DIGESTED_BYTES as u64);
        let mut window = vec![0; 1 << 20];
        while at < covered {
            let length =
                usize::try_from(covered - at).map_or(window.len(), |n| n.min(window.len()));
            read(&self.source, &self.path, &mut window[..length], at, "the file")?;
            hasher.update(&window[..length]);
            at += length as u64;
        }
        if *hasher.finalize().as_bytes() != self.end.digest {
            return Err(damaged(&self.path, end_at, Fault::Digest));
        }
        Ok(())
    }
}

/// The frames of a file from the one that holds an LSN, in order; each block is checked, what
/// lies between them is for whoever follows the chain.
pub struct FileFrames<R> {
    file: ArchiveFile<R>,
    block: usize,
    next: Lsn,
    ready: std::vec::IntoIter<Frame>,
    failed: bool,
}

impl<R: ReadAt> FileFrames<R> {
    /// From the frame that holds `from`; none when the file ends before it.
    #[must_use]
    pub fn new(file: ArchiveFile<R>, from: Lsn) -> Self {
        let next = from.max(file.extent().first_lsn());
        let block = file.block_of(next).unwrap_or(file.blocks());
        Self { file, block, next, ready: Vec::new().into_iter(), failed: false }
    }

    fn read(&mut self) -> Result<Option<Frame>, ArchiveError> {
        loop {
            if let Some(frame) = self.ready.find(|frame| frame.last_lsn() >= self.next) {
                return Ok(Some(frame));
            }
            if self.block >= self.file.blocks() {
                return Ok(None);
            }
            let frames = self.file.block(self.block, &mut self.file.opener()?)?;
            self.block += 1;
            self.ready = frames.into_iter();
        }
    }
}

impl<R: ReadAt> Iterator for FileFrames<R> {
    type Item = Result<Frame, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = self.read().transpose();
        self.failed = matches!(read, Some(Err(_)));
        read
    }
}

fn read<R: ReadAt>(
    source: &R,
    path: &Path,
    into: &mut [u8],
    at: u64,
    part: &'static str,
) -> Result<(), ArchiveError> {
    source.read_at(into, at).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(path, at, Fault::CutOff(part)),
        _ => ArchiveError::io("read", path)(error),
    })
}

/// The key that an encrypted file says it lies under.
fn find_key<R: ReadAt>(
    source: &R,
    path: &Path,
    vault: Option<&Vault>,
) -> Result<Arc<DataKey>, ArchiveError> {
    let damaged = |fault: Fault| damaged(path, HEAD_BYTES as u64, fault);
    let mut bytes = [0; STAMP_PART_BYTES];
    read(source, path, &mut bytes, HEAD_BYTES as u64, "what it says of its key")?;
    let stamp = take_stamp(&bytes).ok_or_else(|| damaged(Fault::Checksum("its key")))?;
    let vault = vault.ok_or_else(|| damaged(Fault::Locked))?;
    let key = vault.key(Kind::Archive, stamp);
    key.ok_or_else(|| damaged(Fault::UnknownKey(stamp.generation)))
}

fn damaged(path: &Path, at: u64, fault: Fault) -> ArchiveError {
    ArchiveError::Damaged { path: path.to_owned(), at, source: Box::new(fault) }
}

/// What all frames of a file must come to.
struct Walk<'f> {
    shard: ducat_engine::ids::ShardId,
    said: &'f Extent,
    at: ChainPoint,
    frames: u64,
    frame_bytes: u64,
    times: (u64, u64),
}

impl<'f> Walk<'f> {
    fn new(head: &Head, said: &'f Extent) -> Self {
        let at = said.before;
        Self { shard: head.shard, said, at, frames: 0, frame_bytes: 0, times: (0, 0) }
    }

    fn frame(&mut self, frame: &Frame) -> Result<FrameHash, Fault> {
        let header = frame.header();
        if header.shard != self.shard {
            return Err(ChainFault::Shard(header.shard).into());
        }
        let expected = self.at.lsn.next();
        if header.first_lsn != expected {
            return Err(ChainFault::Gap { expected, found: header.first_lsn }.into());
        }
        if header.prev_hash != self.at.hash {
            let (named, actual) = (header.prev_hash, self.at.hash);
            return Err(ChainFault::Hash { named, actual }.into());
        }
        if self.frames == 0 {
            self.times.0 = header.time_ns;
        }
        self.times.1 = header.time_ns;
        self.frames += 1;
        self.frame_bytes += frame.bytes().len() as u64;
        let hash = frame.hash();
        self.at = ChainPoint { lsn: header.last_lsn(), hash };
        Ok(hash)
    }

    fn finish(self) -> Result<(), Fault> {
        let Extent { after, frames, frame_bytes, first_time_ns, last_time_ns, .. } = *self.said;
        if self.at != after {
            return Err(Fault::End("the last frame"));
        }
        if (self.frames, self.frame_bytes) != (frames, frame_bytes) {
            return Err(Fault::End("the number of frames or their bytes"));
        }
        if self.times != (first_time_ns, last_time_ns) {
            return Err(Fault::End("a time"));
        }
        Ok(())
    }
}
