//! A block on the simulated disk: some frames in one piece, which is there whole or not at all. It
//! stands for one value in the store of the product.

use crate::faults::Fault;
use ducat_persistence::Frame;
use ducat_persistence::frame;

const BLOCK_MAGIC: [u8; 4] = *b"SBLK";
pub(super) const BLOCK_HEADER: usize = 24;
/// Ends a block, so that one cut off within zeros is not made whole by zeros.
const BLOCK_END: u8 = 0xa5;

fn block_hash(lsn: u64, bytes: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&lsn.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize().as_bytes()[..8].try_into().expect("eight bytes")
}

pub(super) fn block(lsn: u64, frames: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK_HEADER + frames.len());
    bytes.extend_from_slice(&BLOCK_MAGIC);
    bytes.extend_from_slice(&u32::try_from(frames.len()).expect("small").to_le_bytes());
    bytes.extend_from_slice(&lsn.to_le_bytes());
    bytes.extend_from_slice(&block_hash(lsn, frames));
    bytes.extend_from_slice(frames);
    bytes.push(BLOCK_END);
    bytes
}

/// The block that begins here, if it is whole: its LSN and the bytes of its frames.
pub(super) fn read_block(bytes: &[u8], check: bool) -> Option<(u64, usize)> {
    let header = bytes.get(..BLOCK_HEADER)?;
    if header[..4] != BLOCK_MAGIC {
        return None;
    }
    let len = u32::from_le_bytes(header[4..8].try_into().expect("four")) as usize;
    let lsn = u64::from_le_bytes(header[8..16].try_into().expect("eight"));
    let frames = bytes.get(BLOCK_HEADER..BLOCK_HEADER.checked_add(len)?)?;
    let ended = bytes.get(BLOCK_HEADER + len) == Some(&BLOCK_END);
    let whole = !check || header[16..24] == block_hash(lsn, frames);
    (whole && ended && len > 0).then_some((lsn, len))
}

/// The frames of a block.
pub(super) fn frames_of(bytes: &[u8], fault: Fault) -> Result<Vec<Frame>, String> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let len = rest.get(12..16).map(|len| u32::from_le_bytes(len.try_into().expect("four")));
        let len = len.ok_or("a frame is cut off")? as usize + frame::HEADER_BYTES;
        let bytes = rest.get(..len).ok_or("a frame is cut off")?;
        let parsed = Frame::parse(bytes).or_else(|error| {
            if fault != Fault::SkipChecksum {
                return Err(error.to_string());
            }
            let mut trusted = bytes.to_vec();
            let crc = crc_of(&trusted);
            trusted[76..80].copy_from_slice(&crc);
            Frame::parse(&trusted).map_err(|error| error.to_string())
        });
        frames.push(parsed?);
        at += len;
    }
    Ok(frames)
}

/// The checksum that would be right, as [`Fault::SkipChecksum`] needs it.
fn crc_of(frame: &[u8]) -> [u8; 4] {
    match Frame::parse(frame) {
        Err(ducat_persistence::FrameError::Checksum { computed, .. }) => computed.to_le_bytes(),
        _ => frame[76..80].try_into().expect("four"),
    }
}
