//! One block of a snapshot: a part of its content, compressed, with a checksum.
//!
//! ```text
//!  0  kind, then three zeros     8  bytes of the content     16  CRC32C over 0..16
//!  4  number, from 0            12  bytes stored                 and the bytes stored
//!                                                            20  zstd frame …
//! ```
//!
//! In an encrypted snapshot the zstd frame is encrypted, and 16 bytes behind it vouch for it.
//!
//! Both sizes are bounded and checked before memory is taken for them.

use crate::packed::{PackFault, Packer, Unpacker, stored_bytes_max};
use crate::vault::SealKey;
use crate::vault::cipher::DataKey;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Bytes in front of every block.
pub(super) const HEADER_BYTES: usize = 20;
/// No block's content is larger.
pub(super) const CONTENT_BYTES_MAX: usize = 1 << 20;
/// No block is stored in more.
pub(super) const STORED_BYTES_MAX: usize = stored_bytes_max(CONTENT_BYTES_MAX);

/// Fast, and close to the best there is for ids, which hardly compress at all.
const LEVEL: i32 = 1;

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Head = 1,
    Accounts = 2,
    Ids = 3,
    End = 4,
    Holds = 5,
    Profiles = 20,
    Refunds = 40,
    Schedules = 80,
    Sagas = 81,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Head,
            Self::Accounts,
            Self::Holds,
            Self::Profiles,
            Self::Refunds,
            Self::Schedules,
            Self::Sagas,
            Self::Ids,
            Self::End,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Head => "the head",
            Self::Accounts => "accounts",
            Self::Holds => "open holds",
            Self::Profiles => "what is known of accounts",
            Self::Refunds => "refunded transfers",
            Self::Schedules => "schedules",
            Self::Sagas => "sagas",
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
    /// The checksum holds, and it is not what was encrypted here.
    #[error("it is not what was encrypted in this place")]
    Forged,
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
    packer: Packer,
    number: u32,
}

impl Sealer {
    pub(super) fn new(key: Option<SealKey>) -> io::Result<Self> {
        Ok(Self { packer: Packer::new(LEVEL, key)?, number: 0 })
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
        let number = self.number;
        self.number += 1;
        let bytes = u32::try_from(content.len()).expect("bounded above");
        self.packer.pack::<HEADER_BYTES>(number, content, |header, stored| {
            header[0] = kind as u8;
            for (at, word) in [number, bytes, stored].into_iter().enumerate() {
                header[4 + 4 * at..8 + 4 * at].copy_from_slice(&word.to_le_bytes());
            }
        })
    }
}

/// Checks and decompresses blocks.
pub(super) struct Opener(Unpacker);

impl Opener {
    pub(super) fn new(key: Option<Arc<DataKey>>) -> io::Result<Self> {
        Unpacker::new(key).map(Self)
    }

    /// The content of the block with these stored bytes.
    pub(super) fn open(
        &mut self,
        header: &Header,
        header_bytes: &[u8; HEADER_BYTES],
        stored: &[u8],
    ) -> Result<Vec<u8>, BlockFault> {
        let said = header.content_bytes;
        self.0.unpack(header.number, header_bytes, stored, said).map_err(|fault| match fault {
            PackFault::Checksum { found, computed } => BlockFault::Checksum { found, computed },
            PackFault::Compression(source) => BlockFault::Compression(source),
            PackFault::Forged => BlockFault::Forged,
            PackFault::Size(found) => BlockFault::Content { said, found },
        })
    }
}
