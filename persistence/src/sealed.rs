//! A small file sealed by a checksum at its end, behind a magic number and a version: what the
//! manifests of archive and backup have in common.
//!
//! ```text
//! magic, 8 bytes ─ version, 4 bytes ─ … ─ CRC32C over all before
//! ```

/// Bytes of the checksum.
pub(crate) const CRC_BYTES: usize = 4;

/// Why bytes are not such a file.
#[derive(Debug)]
pub(crate) enum SealFault {
    /// Fewer bytes than any has, or more.
    Size,
    /// Another magic number.
    Magic,
    /// Another version.
    Version(u32),
    /// Bits changed.
    Checksum,
}

/// Appends the checksum.
pub(crate) fn seal(out: &mut Vec<u8>) {
    let crc = crc32c::crc32c(out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// All but the checksum, which holds. `least`, `most`: the bytes that such a file has.
pub(crate) fn open(
    bytes: &[u8],
    (magic, version): ([u8; 8], u32),
    (least, most): (usize, usize),
) -> Result<&[u8], SealFault> {
    if bytes.len() < least || bytes.len() > most {
        return Err(SealFault::Size);
    }
    if bytes[..8] != magic {
        return Err(SealFault::Magic);
    }
    let (content, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(SealFault::Size)?;
    if *crc != crc32c::crc32c(content).to_le_bytes() {
        return Err(SealFault::Checksum);
    }
    match word(content, 8) {
        found if found == version => Ok(content),
        found => Err(SealFault::Version(found)),
    }
}

/// The little-endian number at a place.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The little-endian number at a place.
pub(crate) fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
