//! Bytes compressed by zstd behind a header that ends in a checksum: what the blocks of snapshots
//! and of archive files have in common. What stands in the header is theirs.
//!
//! ```text
//! header … CRC32C over the header before it and the bytes stored ─ zstd frame
//! ```

use std::io;
use zstd::bulk::{Compressor, Decompressor};

/// Bytes of a checksum.
pub(crate) const CRC_BYTES: usize = 4;

/// What zstd adds at most to content below 128 KiB, beside one byte in 256.
const SMALL_EXTRA_BYTES: usize = 64;

/// Content of so many bytes, at least 128 KiB, is never stored in more: zstd adds at most one
/// byte in 256.
pub(crate) const fn stored_bytes_max(content_bytes: usize) -> usize {
    content_bytes + content_bytes / 128
}

/// What is wrong with something packed.
#[derive(Debug)]
pub(crate) enum PackFault {
    /// The checksum says that bits changed.
    Checksum { found: u32, computed: u32 },
    /// The checksum holds, and zstd cannot decompress it.
    Compression(io::Error),
    /// It decompresses to so many bytes, not those announced.
    Size(usize),
}

/// Packs one block after the other.
pub(crate) struct Packer {
    compressor: Compressor<'static>,
    bytes: Vec<u8>,
}

impl Packer {
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        Ok(Self { compressor: Compressor::new(level)?, bytes: Vec::new() })
    }

    /// The content, packed behind a header of `N` bytes, which `fill` writes but for its
    /// checksum; it is told the bytes stored.
    pub(crate) fn pack<const N: usize>(
        &mut self,
        content: &[u8],
        fill: impl FnOnce(&mut [u8; N], u32),
    ) -> io::Result<&[u8]> {
        self.bytes.clear();
        self.bytes.resize(N + zstd::zstd_safe::compress_bound(content.len()), 0);
        let stored = self.compressor.compress_to_buffer(content, &mut self.bytes[N..])?;
        self.bytes.truncate(N + stored);
        let most = stored_bytes_max(content.len()) + SMALL_EXTRA_BYTES;
        assert!(stored <= most, "zstd adds less than a hundredth, and a little");
        let (header, packed) = self.bytes.split_first_chunk_mut::<N>().expect("sized above");
        fill(header, u32::try_from(stored).expect("blocks are far smaller"));
        let crc = checksum(&header[..N - CRC_BYTES], packed);
        header[N - CRC_BYTES..].copy_from_slice(&crc.to_le_bytes());
        Ok(&self.bytes)
    }
}

/// Checks and unpacks one block after the other.
pub(crate) struct Unpacker {
    decompressor: Decompressor<'static>,
}

impl Unpacker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()? })
    }

    /// The content of what is stored behind a header. `said`: its bytes, as announced, which the
    /// caller has bounded.
    pub(crate) fn unpack(
        &mut self,
        header: &[u8],
        stored: &[u8],
        said: u32,
    ) -> Result<Vec<u8>, PackFault> {
        let (head, crc) = header.split_last_chunk::<CRC_BYTES>().expect("a header has a checksum");
        let (found, computed) = (u32::from_le_bytes(*crc), checksum(head, stored));
        if found != computed {
            return Err(PackFault::Checksum { found, computed });
        }
        let content = self.decompressor.decompress(stored, said as usize);
        let content = content.map_err(PackFault::Compression)?;
        if content.len() != said as usize {
            return Err(PackFault::Size(content.len()));
        }
        Ok(content)
    }
}

fn checksum(header: &[u8], stored: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), stored)
}
