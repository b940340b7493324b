//! Writes an archive file, frame by frame, to anything that takes bytes.

use super::block::{BLOCK_TARGET_BYTES, Sealer};
use super::format::{self, END_DIGESTED_BYTES, Head};
use super::{ArchiveError, Extent};
use crate::chain::{ChainFault, ChainPoint};
use crate::frame::Frame;
use crate::packed::put_stamp;
use crate::vault::SealKey;
use ducat_engine::ids::Lsn;
use std::io::{self, Write};
use thiserror::Error;

/// Why a file was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The bytes could not be written.
    #[error("could not write")]
    Io(#[from] io::Error),
    /// A frame does not continue the one before.
    #[error(transparent)]
    Chain(#[from] ChainFault),
    /// It has no frame.
    #[error("an archive file holds at least one frame")]
    Empty,
}

impl WriteError {
    pub(super) fn at(self, path: &std::path::Path, end: Lsn) -> ArchiveError {
        match self {
            Self::Io(source) => ArchiveError::io("write", path)(source),
            Self::Chain(source) => ArchiveError::NotContinued { end, source },
            Self::Empty => ArchiveError::Nothing(end),
        }
    }
}

/// A file that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// What is in it.
    pub extent: Extent,
    /// Its size.
    pub bytes: u64,
    /// The whole file in 32 bytes.
    pub digest: [u8; 32],
}

/// A file on its way out.
pub struct FileWriter<W> {
    out: W,
    head: Head,
    sealer: Sealer,
    hasher: blake3::Hasher,
    bytes: u64,
    index: Vec<u8>,
    /// Frames of the next block.
    content: Vec<u8>,
    content_frames: u32,
    content_first: Lsn,
    at: ChainPoint,
    frames: u64,
    frame_bytes: u64,
    times: Option<(u64, u64)>,
}

impl<W: Write> FileWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn new(out: W, head: Head) -> Result<Self, WriteError> {
        Self::sealing(out, head, None)
    }

    /// The same, encrypted under a key of its own, if there is one.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn sealing(out: W, head: Head, key: Option<SealKey>) -> Result<Self, WriteError> {
        let stamp = key.as_ref().map(SealKey::stamp);
        let mut writer = Self {
            out,
            head,
            sealer: Sealer::new(key)?,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            index: Vec::new(),
            content: Vec::new(),
            content_frames: 0,
            content_first: head.before.lsn.next(),
            at: head.before,
            frames: 0,
            frame_bytes: 0,
            times: None,
        };
        writer.write(&format::put_head(&head, stamp.is_some()))?;
        if let Some(stamp) = stamp {
            writer.write(&put_stamp(stamp))?;
        }
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// The next frame, which must continue the one before.
    ///
    /// # Errors
    /// [`WriteError`]; the file cannot be finished then.
    pub fn frame(&mut self, frame: &Frame) -> Result<(), WriteError> {
        let header = frame.header();
        if header.shard != self.head.shard {
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
        if self.content.is_empty() {
            self.content_first = header.first_lsn;
        }
        self.content.extend_from_slice(frame.bytes());
        self.content_frames += 1;
        self.at = ChainPoint { lsn: frame.last_lsn(), hash: frame.hash() };
        self.frames += 1;
        self.frame_bytes += frame.bytes().len() as u64;
        self.times = Some((self.times.map_or(header.time_ns, |(first, _)| first), header.time_ns));
        if self.content.len() >= BLOCK_TARGET_BYTES { self.block() } else { Ok(()) }
    }

    /// Bytes of frames taken so far.
    #[must_use]
    pub const fn frame_bytes(&self) -> u64 {
        self.frame_bytes
    }

    fn block(&mut self) -> Result<(), WriteError> {
        self.index.extend_from_slice(&self.content_first.0.to_le_bytes());
        self.index.extend_from_slice(&self.bytes.to_le_bytes());
        let sealed = self.sealer.seal(self.content_first, self.content_frames, &self.content)?;
        self.hasher.update(sealed);
        self.bytes += sealed.len() as u64;
        self.out.write_all(sealed)?;
        self.content.clear();
        self.content_frames = 0;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(mut self) -> Result<(W, Written), WriteError> {
        if !self.content.is_empty() {
            self.block()?;
        }
        let (first_time_ns, last_time_ns) = self.times.ok_or(WriteError::Empty)?;
        let extent = Extent {
            before: self.head.before,
            after: self.at,
            frames: self.frames,
            frame_bytes: self.frame_bytes,
            first_time_ns,
            last_time_ns,
        };
        let index = std::mem::take(&mut self.index);
        let index_at = self.bytes;
        self.write(&index)?;
        let blocks = (index.len() / format::INDEX_ENTRY_BYTES) as u64;
        let mut end = format::put_end(&extent, index_at, blocks);
        self.hasher.update(&end[..END_DIGESTED_BYTES]);
        let digest = *self.hasher.finalize().as_bytes();
        format::seal_end(&mut end, digest, &index);
        self.out.write_all(&end)?;
        self.out.flush()?;
        let bytes = self.bytes + end.len() as u64;
        Ok((self.out, Written { extent, bytes, digest }))
    }
}
