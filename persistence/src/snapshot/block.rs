//! One block of a snapshot: a part of its content, compressed, with a checksum.
//!
//! ```text
//!  0  kind, then three zeros     8  bytes of the content     16  CRC32C over 0..16
//!  4  number, from 0            12  bytes stored                 and the bytes stored
//!                                                            20  zstd frame …
//! ```
//!
//! Both sizes are bounded and checked before memory is taken for them.

use std::io;
use thiserror::Error;
use zstd::bulk::{Compressor, Decompressor};

/// Bytes in front of every block.
pub(super) const HEADER_BYTES: usize = 20;
/// No block's content is larger.
pub(super) const CONTENT_BYTES_MAX: usize = 1 << 20;
/// No block is stored in more: zstd adds at most one byte in 256, and a little.
pub(super) const STORED_BYTES_MAX: usize = CONTENT_BYTES_MAX + CONTENT_BYTES_MAX / 128;

/// Fast, and close to the best there is for ids, which hardly compress at all.
const LEVEL: i32 = 1;
const CRC_AT: usize = 16;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Head = 1,
    Accounts = 2,
    Ids = 3,
    End = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Head, Self::Accounts, Self::Ids, Self::End].into_iter().find(|k| *k as u8 == byte)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Head => "the head",
            Self::Accounts => "accounts",
            Self::Ids => "remembered ids",
            Self::End => "the end",
        }
    }
}

/// What is wrong with a block.
#[derive(Debug, Error)]
pub enum BlockFault {
    /// No block has this kind.
    #[error("no block has the kind {0}")]
    Kind(u8),
    /// It is another block's turn.
    #[error("block {found} stands in the place of block {expected}")]
    Number {
        /// The number that comes next.
        expected: u32,
        /// The number it has.
        found: u32,
    },
    /// Larger than any block ever written, or empty.
    #[error("no block has {0} bytes")]
    Size(u32),
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
    /// It decompresses to another size than announced.
    #[error("it holds {found} bytes and announces {said}")]
    Content {
        /// In the header.
        said: u32,
        /// Found.
        found: usize,
    },
}

/// What a block's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub number: u32,
    content_bytes: u32,
    pub stored_bytes: u32,
    crc: u32,
}

fn word(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, BlockFault> {
        let kind = Kind::from_byte(bytes[0]).filter(|_| bytes[1..4] == [0; 3]);
        let header = Self {
            kind: kind.ok_or(BlockFault::Kind(bytes[0]))?,
            number: word(bytes, 4),
            content_bytes: word(bytes, 8),
            stored_bytes: word(bytes, 12),
            crc: word(bytes, CRC_AT),
        };
        let sizes =
            [(header.content_bytes, CONTENT_BYTES_MAX), (header.stored_bytes, STORED_BYTES_MAX)];
        for (bytes, most) in sizes {
            if bytes == 0 || bytes as usize > most {
                return Err(BlockFault::Size(bytes));
            }
        }
        Ok(header)
    }
}

/// Compresses and seals blocks.
pub(super) struct Sealer {
    compressor: Compressor<'static>,
    bytes: Vec<u8>,
    number: u32,
}

impl Sealer {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { compressor: Compressor::new(LEVEL)?, bytes: Vec::new(), number: 0 })
    }

    /// Blocks sealed so far.
    pub(super) fn count(&self) -> u32 {
        self.number
    }

    /// The block with this content, header and all.
    ///
    /// # Panics
    /// When the content is empty or larger than [`CONTENT_BYTES_MAX`]: the caller cuts it.
    pub(super) fn seal(&mut self, kind: Kind, content: &[u8]) -> io::Result<&[u8]> {
        assert!(!content.is_empty(), "a block has content");
        assert!(content.len() <= CONTENT_BYTES_MAX, "a block of {} bytes", content.len());
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES + zstd::zstd_safe::compress_bound(content.len()), 0);
        let stored =
            self.compressor.compress_to_buffer(content, &mut self.bytes[HEADER_BYTES..])?;
        self.bytes.truncate(HEADER_BYTES + stored);
        assert!(stored <= STORED_BYTES_MAX, "zstd adds less than a hundredth");
        let size = |bytes: usize| u32::try_from(bytes).expect("bounded above").to_le_bytes();
        self.bytes[0] = kind as u8;
        self.bytes[4..8].copy_from_slice(&self.number.to_le_bytes());
        self.bytes[8..12].copy_from_slice(&size(content.len()));
        self.bytes[12..CRC_AT].copy_from_slice(&size(stored));
        let crc = checksum(&self.bytes[..CRC_AT], &self.bytes[HEADER_BYTES..]);
        self.bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        self.number += 1;
        Ok(&self.bytes)
    }
}

/// Checks and decompresses blocks.
pub(super) struct Opener {
    decompressor: Decompressor<'static>,
}

impl Opener {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()? })
    }

    /// The content of the block with these stored bytes.
    pub(super) fn open(
        &mut self,
        header: &Header,
        header_bytes: &[u8; HEADER_BYTES],
        stored: &[u8],
    ) -> Result<Vec<u8>, BlockFault> {
        let (found, computed) = (header.crc, checksum(&header_bytes[..CRC_AT], stored));
        if found != computed {
            return Err(BlockFault::Checksum { found, computed });
        }
        let said = header.content_bytes;
        let content = self.decompressor.decompress(stored, said as usize);
        let content = content.map_err(BlockFault::Compression)?;
        if content.len() != said as usize {
            return Err(BlockFault::Content { said, found: content.len() });
        }
        Ok(content)
    }
}

fn checksum(header: &[u8], stored: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), stored)
}
