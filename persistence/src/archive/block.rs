//! One block of an archive file: whole frames, compressed together, with a checksum.
//!
//! ```text
//!  0  number, from 0          8  bytes stored     16  first LSN
//!  4  bytes of the frames    12  frames           24  CRC32C over 0..24 and the bytes stored
//!                                                 28  zstd frame …
//! ```
//!
//! A block is closed once its frames have [`BLOCK_TARGET_BYTES`]: small enough that one frame
//! can be read without much else, large enough to compress. All sizes are bounded and checked
//! before memory is taken for them.

use super::Fault;
use crate::frame::{FRAME_BYTES_MAX, Frame, HEADER_BYTES as FRAME_HEADER_BYTES, announced_bytes};
use crate::packed::{PackFault, Packer, Unpacker, stored_bytes_max};
use crate::vault::SealKey;
use crate::vault::cipher::DataKey;
use ducat_engine::ids::Lsn;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Bytes in front of every block.
pub(super) const HEADER_BYTES: usize = 28;
/// A block is closed once its frames have so many bytes.
pub(super) const BLOCK_TARGET_BYTES: usize = 128 << 10;
/// No block's frames have more.
pub(super) const CONTENT_BYTES_MAX: usize = BLOCK_TARGET_BYTES - 1 + FRAME_BYTES_MAX;
/// No block is stored in more.
pub(super) const STORED_BYTES_MAX: usize = stored_bytes_max(CONTENT_BYTES_MAX);

/// Ids hardly compress; more effort gains little.
const LEVEL: i32 = 3;

/// What is wrong with a block.
#[derive(Debug, Error)]
pub enum BlockFault {
    /// It is another block's turn.
    #[error("block {found} stands in the place of block {expected}")]
    Number {
        /// The number that comes next.
        expected: u32,
        /// The number it has.
        found: u32,
    },
    /// Larger than any block ever written, or smaller.
    #[error("no block has {0} bytes")]
    Size(u32),
    /// No block holds so many frames in so many bytes.
    #[error("no block of {bytes} bytes holds {frames} frames")]
    Frames {
        /// As announced.
        frames: u32,
        /// As announced.
        bytes: u32,
    },
    /// The checksum says that bits changed.
    #[error("checksum {found:08x} does not match the content's {computed:08x}")]
    Checksum {
        /// As stored.
        found: u32,
        /// Over the bytes that are there.
        computed: u32,
    },
    /// The checksum holds, and zstd cannot decompress it.
    #[error("it cannot be decompressed")]
    Compression(#[source] io::Error),
    /// The checksum holds, and it is not what was encrypted here.
    #[error("it is not what was encrypted in this place")]
    Forged,
    /// It holds something else than announced.
    #[error("it does not hold what it announces: {0}")]
    Content(&'static str),
    /// It ends where no writer ends one.
    #[error("it was not closed where blocks are")]
    Cut,
}

impl From<PackFault> for BlockFault {
    fn from(fault: PackFault) -> Self {
        match fault {
            PackFault::Checksum { found, computed } => Self::Checksum { found, computed },
            PackFault::Compression(source) => Self::Compression(source),
            PackFault::Forged => Self::Forged,
            PackFault::Size(_) => Self::Content("bytes"),
        }
    }
}

/// What a block's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub number: u32,
    pub content_bytes: u32,
    pub stored_bytes: u32,
    pub frames: u32,
    pub first: Lsn,
}

fn word(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

impl Header {
    /// Reads a header and bounds what it announces.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, BlockFault> {
        let header = Self {
            number: word(bytes, 0),
            content_bytes: word(bytes, 4),
            stored_bytes: word(bytes, 8),
            frames: word(bytes, 12),
            first: Lsn(u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes"))),
        };
        let (content, stored) = (header.content_bytes, header.stored_bytes);
        if content as usize <= FRAME_HEADER_BYTES || content as usize > CONTENT_BYTES_MAX {
            return Err(BlockFault::Size(content));
        }
        if stored == 0 || stored as usize > STORED_BYTES_MAX {
            return Err(BlockFault::Size(stored));
        }
        let frames = header.frames;
        if frames == 0 || frames as usize > content as usize / FRAME_HEADER_BYTES {
            return Err(BlockFault::Frames { frames, bytes: content });
        }
        Ok(header)
    }
}

/// Compresses and seals blocks.
pub(super) struct Sealer {
    packer: Packer,
    number: u32,
}

impl Sealer {
    pub(super) fn new(key: Option<SealKey>) -> io::Result<Self> {
        Ok(Self { packer: Packer::new(LEVEL, key)?, number: 0 })
    }

    /// The block of these frames, header and all.
    pub(super) fn seal(&mut self, first: Lsn, frames: u32, content: &[u8]) -> io::Result<&[u8]> {
        assert!(content.len() <= CONTENT_BYTES_MAX, "a block of {} bytes", content.len());
        let number = self.number;
        self.number += 1;
        let bytes = u32::try_from(content.len()).expect("bounded above");
        self.packer.pack::<HEADER_BYTES>(number, content, |header, stored| {
            for (at, word) in [number, bytes, stored, frames].into_iter().enumerate() {
                header[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
            }
            header[16..24].copy_from_slice(&first.0.to_le_bytes());
        })
    }
}

/// Checks and decompresses blocks.
pub(super) struct Opener(Unpacker);

impl Opener {
    pub(super) fn new(key: Option<Arc<DataKey>>) -> io::Result<Self> {
        Unpacker::new(key).map(Self)
    }

    /// The frames of the block with these bytes, header and all, each intact and starting where
    /// the one before ends. `is_last`: no block follows.
    pub(super) fn open(
        &mut self,
        header: &Header,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<Vec<Frame>, Fault> {
        let (start, stored) = bytes.split_at(HEADER_BYTES);
        let content = self.0.unpack(header.number, start, stored, header.content_bytes);
        let content: Arc<[u8]> = content.map_err(BlockFault::from)?.into();
        let mut frames = Vec::with_capacity(header.frames as usize);
        let (mut at, mut next) = (0, header.first);
        while at < content.len() {
            // The one before did not close the block.
            if at >= BLOCK_TARGET_BYTES {
                return Err(BlockFault::Cut.into());
            }
            let end = at.saturating_add(announced_bytes(&content[at..])?);
            let frame = Frame::parse_shared(&content, at..end)?;
            if frame.first_lsn() != next {
                return Err(BlockFault::Content("LSNs").into());
            }
            (at, next) = (end, frame.last_lsn().next());
            frames.push(frame);
        }
        if frames.len() != header.frames as usize {
            return Err(BlockFault::Content("frames").into());
        }
        if !is_last && content.len() < BLOCK_TARGET_BYTES {
            return Err(BlockFault::Cut.into());
        }
        Ok(frames)
    }
}
