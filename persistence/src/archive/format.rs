//! The bytes of an archive file. All numbers are little-endian.
//!
//! ```text
//! head, 80 bytes:   0 magic "DUCATARC"   16 ledger         72 1 when encrypted, else 0
//!                   8 version            32 before: LSN    76 CRC32C over 0..76
//!                  12 shard              40 before: hash
//! only when 72 is 1, encrypted, 24 bytes: ledger key's number, salt (16), CRC32C over both
//! blocks            one after the other, each of whole frames (`block`)
//! index:            16 bytes a block: first LSN, offset of the block in the file
//! end, 132 bytes:   0 magic "DUCATARE"   48 frames         96 digest, BLAKE3 over all before it
//!                   8 after: LSN         56 frame bytes   128 CRC32C over the index and 0..128
//!                  16 after: hash        64 offset of the index
//!                                        72 blocks         80 first time, 88 last time, ns
//! ```
//!
//! The end is found from the file's end, the index from there, and one frame by its LSN in the
//! index: a block is read and decompressed, no more. The frames decide all bytes of a file.

use super::block::HEADER_BYTES as BLOCK_HEADER_BYTES;
use super::{Extent, Fault};
use crate::chain::ChainPoint;
use crate::frame::FrameHash;
use crate::ledger_id::LedgerId;
use crate::packed::{STAMP_PART_BYTES, take_stamp};
use crate::vault::Stamp;
use ducat_engine::ids::{Lsn, ShardId};

/// The version this code writes, and the only one it knows.
pub const VERSION: u32 = 1;

pub(super) const HEAD_BYTES: usize = 80;
pub(super) const INDEX_ENTRY_BYTES: usize = 16;
pub(super) const END_BYTES: usize = 132;
/// The end's bytes that the digest covers.
pub(super) const END_DIGESTED_BYTES: usize = 96;

const MAGIC: [u8; 8] = *b"DUCATARC";
const END_MAGIC: [u8; 8] = *b"DUCATARE";
const HEAD_CRC_AT: usize = 76;
const END_CRC_AT: usize = 128;

/// How a file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whose frames these are.
    pub ledger: LedgerId,
    /// Of which shard.
    pub shard: ShardId,
    /// The end of the file before, or the journal's beginning.
    pub before: ChainPoint,
}

/// Where the blocks of a file begin.
const fn blocks_at(encrypted: bool) -> u64 {
    (HEAD_BYTES + if encrypted { STAMP_PART_BYTES } else { 0 }) as u64
}

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub extent: Extent,
    pub index_at: u64,
    pub blocks: u64,
    pub digest: [u8; 32],
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn hash(bytes: &[u8], at: usize) -> [u8; 32] {
    bytes[at..at + 32].try_into().expect("32 bytes")
}

pub(super) fn put_head(head: &Head, encrypted: bool) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&head.shard.0.to_le_bytes());
    bytes[16..32].copy_from_slice(&head.ledger.to_bytes());
    bytes[32..40].copy_from_slice(&head.before.lsn.0.to_le_bytes());
    bytes[40..72].copy_from_slice(&head.before.hash.0);
    bytes[72] = u8::from(encrypted);
    let crc = crc32c::crc32c(&bytes[..HEAD_CRC_AT]);
    bytes[HEAD_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The head, and whether what follows is encrypted.
pub(super) fn take_head(bytes: &[u8; HEAD_BYTES]) -> Result<(Head, bool), Fault> {
    if bytes[0..8] != MAGIC {
        return Err(Fault::Magic);
    }
    if word(bytes, HEAD_CRC_AT) != crc32c::crc32c(&bytes[..HEAD_CRC_AT]) {
        return Err(Fault::Checksum("the head"));
    }
    if word(bytes, 8) != VERSION {
        return Err(Fault::Version(word(bytes, 8)));
    }
    let before = ChainPoint { lsn: Lsn(number(bytes, 32)), hash: FrameHash(hash(bytes, 40)) };
    if word(bytes, 72) > 1 || before.lsn.0 == u64::MAX {
        return Err(Fault::Field("the head"));
    }
    let ledger = LedgerId::from_bytes(bytes[16..32].try_into().expect("sixteen bytes"));
    let encrypted = word(bytes, 72) == 1;
    Ok((Head { ledger, shard: ShardId(word(bytes, 12)), before }, encrypted))
}

/// What a file that begins like this says of its key; `None` for one that is not encrypted, or none.
pub(crate) fn encrypted_under(begins: &[u8]) -> Option<Stamp> {
    let (_, encrypted) = take_head(begins.first_chunk()?).ok()?;
    encrypted.then(|| take_stamp(begins[HEAD_BYTES..].first_chunk()?)).flatten()
}

/// The end without digest and checksum, which [`seal_end`] adds.
pub(super) fn put_end(extent: &Extent, index_at: u64, blocks: u64) -> [u8; END_BYTES] {
    let mut bytes = [0; END_BYTES];
    bytes[0..8].copy_from_slice(&END_MAGIC);
    bytes[8..16].copy_from_slice(&extent.after.lsn.0.to_le_bytes());
    bytes[16..48].copy_from_slice(&extent.after.hash.0);
    bytes[48..56].copy_from_slice(&extent.frames.to_le_bytes());
    bytes[56..64].copy_from_slice(&extent.frame_bytes.to_le_bytes());
    bytes[64..72].copy_from_slice(&index_at.to_le_bytes());
    bytes[72..80].copy_from_slice(&blocks.to_le_bytes());
    bytes[80..88].copy_from_slice(&extent.first_time_ns.to_le_bytes());
    bytes[88..96].copy_from_slice(&extent.last_time_ns.to_le_bytes());
    bytes
}

pub(super) fn seal_end(end: &mut [u8; END_BYTES], digest: [u8; 32], index: &[u8]) {
    end[END_DIGESTED_BYTES..END_CRC_AT].copy_from_slice(&digest);
    let crc = end_checksum(index, end);
    end[END_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
}

fn end_checksum(index: &[u8], end: &[u8; END_BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(index), &end[..END_CRC_AT])
}

/// Where the index of a file of so many bytes lies, going by its end alone: offset and bytes.
pub(super) fn index_place(end: &[u8; END_BYTES], file_bytes: u64) -> Result<(u64, usize), Fault> {
    if end[0..8] != END_MAGIC {
        return Err(Fault::CutOff("the file"));
    }
    let (index_at, blocks) = (number(end, 64), number(end, 72));
    let room = file_bytes.saturating_sub((HEAD_BYTES + END_BYTES) as u64);
    // Each block has a header, and an entry in the index.
    let fits = blocks > 0 && blocks <= room / (INDEX_ENTRY_BYTES + BLOCK_HEADER_BYTES) as u64;
    let blocks = usize::try_from(blocks).ok().filter(|_| fits).ok_or(Fault::Field("the end"))?;
    let index_bytes = blocks * INDEX_ENTRY_BYTES;
    let expected = file_bytes - END_BYTES as u64 - index_bytes as u64;
    if index_at != expected {
        return Err(Fault::Field("the end"));
    }
    Ok((index_at, index_bytes))
}

/// Reads the end, whose index was found by [`index_place`].
pub(super) fn take_end(
    (head, encrypted): (&Head, bool),
    end: &[u8; END_BYTES],
    index: &[u8],
) -> Result<(End, Vec<(Lsn, u64)>), Fault> {
    if word(end, END_CRC_AT) != end_checksum(index, end) {
        return Err(Fault::Checksum("the end"));
    }
    let extent = Extent {
        before: head.before,
        after: ChainPoint { lsn: Lsn(number(end, 8)), hash: FrameHash(hash(end, 16)) },
        frames: number(end, 48),
        frame_bytes: number(end, 56),
        first_time_ns: number(end, 80),
        last_time_ns: number(end, 88),
    };
    if extent.after.lsn <= extent.before.lsn || extent.after.lsn.0 == u64::MAX {
        return Err(Fault::Field("the end"));
    }
    let index_at = number(end, 64);
    let entries: Vec<_> = index
        .chunks_exact(INDEX_ENTRY_BYTES)
        .map(|entry| (Lsn(number(entry, 0)), number(entry, 8)))
        .collect();
    check_index(&extent, &entries, blocks_at(encrypted), index_at)?;
    let (blocks, digest) = (entries.len() as u64, hash(end, END_DIGESTED_BYTES));
    Ok((End { extent, index_at, blocks, digest }, entries))
}

/// Blocks lie one after the other, and so do their records.
fn check_index(
    extent: &Extent,
    entries: &[(Lsn, u64)],
    blocks_at: u64,
    index_at: u64,
) -> Result<(), Fault> {
    let begins =
        entries.first().is_some_and(|(first, at)| *first == extent.first_lsn() && *at == blocks_at);
    let rises = entries.windows(2).all(|pair| {
        pair[0].0 < pair[1].0 && pair[1].1.saturating_sub(pair[0].1) > BLOCK_HEADER_BYTES as u64
    });
    let ends = entries.last().is_some_and(|(first, at)| {
        *first <= extent.after.lsn && index_at.saturating_sub(*at) > BLOCK_HEADER_BYTES as u64
    });
    if begins && rises && ends { Ok(()) } else { Err(Fault::Field("the index")) }
}
