//! Bytes compressed by zstd behind a header that ends in a checksum: what the blocks of snapshots
//! and of archive files have in common. What stands in the header is theirs.
//!
//! ```text
//! header … CRC32C over the header before it and the bytes stored ─ zstd frame [, encrypted ─ tag]
//! ```
//!
//! In an encrypted file what zstd made is encrypted in place, with the block's number for a nonce and
//! the header before the checksum bound to it. Such a file says behind its own header which key it
//! lies under ([`put_stamp`]).

use crate::vault::cipher::{DataKey, STAMP_BYTES, SealKey, Stamp, TAG_BYTES};
use std::io;
use std::sync::Arc;
use zstd::bulk::{Compressor, Decompressor};

/// Bytes of a checksum.
pub(crate) const CRC_BYTES: usize = 4;

/// What zstd adds at most to content below 128 KiB, beside one byte in 256.
const SMALL_EXTRA_BYTES: usize = 64;

/// Content of so many bytes, at least 128 KiB, is never stored in more: zstd adds at most one
/// byte in 256.
pub(crate) const fn stored_bytes_max(content_bytes: usize) -> usize {
    content_bytes + content_bytes / 128 + TAG_BYTES
}

/// Bytes of what an encrypted file says of its key.
pub(crate) const STAMP_PART_BYTES: usize = STAMP_BYTES + CRC_BYTES;

/// What an encrypted file says of its key, with a checksum.
pub(crate) fn put_stamp(stamp: Stamp) -> [u8; STAMP_PART_BYTES] {
    let mut bytes = [0; STAMP_PART_BYTES];
    bytes[..STAMP_BYTES].copy_from_slice(&stamp.to_bytes());
    let crc = crc32c::crc32c(&bytes[..STAMP_BYTES]);
    bytes[STAMP_BYTES..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads it; `None` when bits changed.
pub(crate) fn take_stamp(bytes: &[u8; STAMP_PART_BYTES]) -> Option<Stamp> {
    let (stamp, crc) = bytes.split_first_chunk::<STAMP_BYTES>()?;
    (crc == crc32c::crc32c(stamp).to_le_bytes()).then(|| Stamp::from_bytes(stamp))
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
    /// The checksum holds, and it is not what was encrypted here.
    Forged,
}

/// Packs one block after the other.
pub(crate) struct Packer {
    compressor: Compressor<'static>,
    key: Option<SealKey>,
    bytes: Vec<u8>,
}

impl Packer {
    /// One that encrypts under this key, or not.
    pub(crate) fn new(level: i32, key: Option<SealKey>) -> io::Result<Self> {
        Ok(Self { compressor: Compressor::new(level)?, key, bytes: Vec::new() })
    }

    /// The content of the block with this number, packed behind a header of `N` bytes, which `fill`
    /// writes but for its checksum; it is told the bytes stored.
    pub(crate) fn pack<const N: usize>(
        &mut self,
        number: u32,
        content: &[u8],
        fill: impl FnOnce(&mut [u8; N], u32),
    ) -> io::Result<&[u8]> {
        self.bytes.clear();
        self.bytes.resize(N + zstd::zstd_safe::compress_bound(content.len()), 0);
        let stored = self.compressor.compress_to_buffer(content, &mut self.bytes[N..])?;
        self.bytes.truncate(N + stored);
        let most = stored_bytes_max(content.len()) - TAG_BYTES + SMALL_EXTRA_BYTES;
        assert!(stored <= most, "zstd adds less than a hundredth, and a little");
        let extra = if self.key.is_some() { TAG_BYTES } else { 0 };
        self.bytes.resize(N + stored + extra, 0);
        let (header, packed) = self.bytes.split_first_chunk_mut::<N>().expect("sized above");
        fill(header, u32::try_from(stored + extra).expect("blocks are far smaller"));
        if let Some(key) = &mut self.key {
            let (sealed, tag) = packed.split_at_mut(stored);
            let bound = &header[..N - CRC_BYTES];
            tag.copy_from_slice(&key.seal_in_place(u64::from(number), bound, sealed));
        }
        let crc = checksum(&header[..N - CRC_BYTES], packed);
        header[N - CRC_BYTES..].copy_from_slice(&crc.to_le_bytes());
        Ok(&self.bytes)
    }
}

/// Checks and unpacks one block after the other.
pub(crate) struct Unpacker {
    decompressor: Decompressor<'static>,
    key: Option<Arc<DataKey>>,
    opened: Vec<u8>,
}

impl Unpacker {
    /// One for a file that is encrypted under this key, or not.
    pub(crate) fn new(key: Option<Arc<DataKey>>) -> io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()?, key, opened: Vec::new() })
    }

    /// The content of what is stored behind the header of the block with this number. `said`: its
    /// bytes, as announced, which the caller has bounded.
    pub(crate) fn unpack(
        &mut self,
        number: u32,
        header: &[u8],
        stored: &[u8],
        said: u32,
    ) -> Result<Vec<u8>, PackFault> {
        let (head, crc) = header.split_last_chunk::<CRC_BYTES>().expect("a header has a checksum");
        let (found, computed) = (u32::from_le_bytes(*crc), checksum(head, stored));
        if found != computed {
            return Err(PackFault::Checksum { found, computed });
        }
        let packed = match &self.key {
            None => stored,
            Some(key) => {
                let (sealed, tag) =
                    stored.split_last_chunk::<TAG_BYTES>().ok_or(PackFault::Forged)?;
                self.opened.resize(sealed.len(), 0);
                let opened = key.open(u64::from(number), head, tag, sealed, &mut self.opened);
                opened.map_err(|_| PackFault::Forged)?;
                &self.opened
            }
        };
        let content = self.decompressor.decompress(packed, said as usize);
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
