//! The bytes of a snapshot. All numbers are little-endian.
//!
//! ```text
//!  0  magic "DUCATSNP"      8  version      12  1 when it is encrypted, else 0
//! 16  when it is: ledger key's number, salt (16), CRC32C over both
//!  …  blocks
//!  … the head, accounts in the order of their slots, open holds, what is known of accounts beside
//!    their money, refunded transfers and ids in the order of their events, the end
//! last 16 bytes:  where the block of the end begins, magic "DUCATSND"
//! ```
//!
//! The head begins with where the snapshot stands ([`SnapshotHeader`]), the end with a BLAKE3
//! digest over all bytes before its block; what follows in both, and the accounts and ids, is
//! `ducat_engine::snapshot::codec`'s. The state alone decides those bytes, not the number of
//! partitions it ran on; but for the order of open holds, which come as they lie in memory.

use super::Fault;
use crate::chain::ChainPoint;
use crate::frame::FrameHash;
use crate::ledger_id::LedgerId;
use crate::packed::take_stamp;
use crate::vault::Stamp;
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_engine::snapshot::codec::{self, Malformed};
use ducat_engine::snapshot::{End, Head};

/// The version this code writes. It reads version 1 too, which knew no holds and nothing of
/// accounts beside their money, and version 2, which did not know by which event an account was
/// changed without an entry, and version 3, whose head knew no schedules of fees, and version 4, whose
/// holds were of no kind that their accounts do not tell, and version 5, whose schedules did not
/// know which refusal a run that is tried again had met; their bytes mean the same. Blocks of
/// refunded transfers, and of schedules and sagas (version 3 knew none), are there only where there
/// are some.
pub const VERSION: u32 = 6;

/// The oldest version this code reads.
pub const VERSION_MIN: u32 = 1;

pub(super) const MAGIC: [u8; 8] = *b"DUCATSNP";
pub(super) const END_MAGIC: [u8; 8] = *b"DUCATSND";
pub(super) const FILE_HEADER_BYTES: usize = 16;
pub(super) const TRAILER_BYTES: usize = 16;
const PLACE_BYTES: usize = 16 + 4 + 8 + 8 + 32 + 8;
const DIGEST_BYTES: usize = 32;

/// Where and when a snapshot stands, and how much of what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Whose state it is.
    pub ledger: LedgerId,
    /// Of which shard.
    pub shard: ShardId,
    /// Who wrote the journal when it was taken.
    pub epoch: Epoch,
    /// Where the journal goes on: the end of the last frame that lies wholly in it. A snapshot
    /// taken between two batches ends with a frame; one made by replay may end within one, and
    /// then the first events of the next frame are in it already.
    pub anchor: ChainPoint,
    /// When it was taken, by the system's clock, nanoseconds since 1970; decides nothing.
    pub taken_ns: u64,
    /// The state's own head.
    pub state: Head,
}

impl SnapshotHeader {
    /// The last event that is part of it.
    #[must_use]
    pub const fn lsn(&self) -> Lsn {
        self.state.lsn
    }
}

pub(super) fn put_header(header: &SnapshotHeader, out: &mut Vec<u8>) {
    out.extend_from_slice(&header.ledger.to_bytes());
    out.extend_from_slice(&header.shard.0.to_le_bytes());
    out.extend_from_slice(&header.epoch.0.to_le_bytes());
    out.extend_from_slice(&header.anchor.lsn.0.to_le_bytes());
    out.extend_from_slice(&header.anchor.hash.0);
    out.extend_from_slice(&header.taken_ns.to_le_bytes());
    codec::put_head(&header.state, out);
}

pub(super) fn take_header(content: &[u8]) -> Result<SnapshotHeader, Fault> {
    let cut = || Fault::Content(Malformed::CutOff(content.len()));
    let (place, state) = content.split_first_chunk::<PLACE_BYTES>().ok_or_else(cut)?;
    let word = |at: usize| u64::from_le_bytes(place[at..at + 8].try_into().expect("eight bytes"));
    let header = SnapshotHeader {
        ledger: LedgerId::from_bytes(place[..16].try_into().expect("sixteen bytes")),
        shard: ShardId(u32::from_le_bytes(place[16..20].try_into().expect("four bytes"))),
        epoch: Epoch(word(20)),
        anchor: ChainPoint {
            lsn: Lsn(word(28)),
            hash: FrameHash(place[36..68].try_into().expect("32 bytes")),
        },
        taken_ns: word(68),
        state: codec::take_head(state)?,
    };
    if header.anchor.lsn > header.lsn() {
        return Err(Malformed::Field { what: "the anchor", at: 28 }.into());
    }
    Ok(header)
}

pub(super) fn put_end(digest: &[u8; DIGEST_BYTES], end: &End, out: &mut Vec<u8>) {
    out.extend_from_slice(digest);
    codec::put_end(end, out);
}

pub(super) fn take_end(content: &[u8]) -> Result<([u8; DIGEST_BYTES], End), Fault> {
    let cut = || Fault::Content(Malformed::CutOff(content.len()));
    let (digest, end) = content.split_first_chunk::<DIGEST_BYTES>().ok_or_else(cut)?;
    Ok((*digest, codec::take_end(end)?))
}

pub(super) fn file_header(encrypted: bool) -> [u8; FILE_HEADER_BYTES] {
    let mut bytes = [0; FILE_HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12] = u8::from(encrypted);
    bytes
}

/// Whether a file that begins like this is encrypted.
pub(super) fn check_file_header(bytes: &[u8; FILE_HEADER_BYTES]) -> Result<bool, Fault> {
    if bytes[..8] != MAGIC || bytes[12] > 1 || bytes[13..] != [0; 3] {
        return Err(Fault::Magic);
    }
    match u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes")) {
        VERSION_MIN..=VERSION => Ok(bytes[12] == 1),
        other => Err(Fault::Version(other)),
    }
}

/// What a file that begins like this says of its key; `None` for one that is not encrypted, or none.
pub(crate) fn encrypted_under(begins: &[u8]) -> Option<Stamp> {
    let encrypted = check_file_header(begins.first_chunk()?).ok()?;
    encrypted.then(|| take_stamp(begins[FILE_HEADER_BYTES..].first_chunk()?)).flatten()
}

pub(super) fn trailer(end_at: u64) -> [u8; TRAILER_BYTES] {
    let mut bytes = [0; TRAILER_BYTES];
    bytes[..8].copy_from_slice(&end_at.to_le_bytes());
    bytes[8..].copy_from_slice(&END_MAGIC);
    bytes
}
