//! The frame: the unit the journal checks, stores and gives back.
//!
//! A frame holds the records of one batch (or a part of them) that follow each
//! other without a gap, behind a header that makes loss and damage visible. All
//! numbers are little-endian:
//!
//! ```text
//!  0  magic "DJFR"        16  epoch          40  hash of the frame before (32)
//!  4  format version      24  first LSN      72  record count
//!  6  flags               32  time, ns       76  CRC32C over 0..76 and the payload
//!  8  shard                                  80  payload …
//! 12  payload length
//! ```
//!
//! In an encrypted ledger a frame lies on the disk *sealed*, as version 2. What is needed to find
//! it and to put it into order stays plain; the rest is as in version 1, under AES-256-GCM:
//!
//! ```text
//!  0  as in version 1       52  CRC32C over all but itself
//! 32  ledger key's number   56  tag (16)
//! 36  salt (16)             72  bytes 32 to the end of version 1, encrypted …
//! ```
//!
//! In memory every frame is of version 1: hashes, chain, mark and proofs are of the plain content,
//! whatever key it lies under, or none.
//!
//! A frame's own hash is BLAKE3 over all its bytes. Since the header names the
//! hash of the frame before, the last hash vouches for the whole journal; the
//! chain starts from [`genesis_hash`]. The frame that closes one append carries
//! [`LAST_OF_APPEND`]: an append without it never happened.

use crate::ledger_id::LedgerId;
use crate::vault::cipher::{STAMP_BYTES, TAG_BYTES};
use crate::vault::{Kind, SealKey, Stamp, Vault};
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// Bytes in front of every payload.
pub const HEADER_BYTES: usize = 80;
/// The version of a plain frame.
pub const FORMAT_VERSION: u16 = 1;
/// The version of a sealed frame.
pub const SEALED_VERSION: u16 = 2;
/// Header flag of the frame that closes an append.
pub const LAST_OF_APPEND: u16 = 1;
/// No frame is larger, header included. Sixteen of them must stay under a quarter
/// of a sled segment, or sled moves them into files that nothing syncs.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 - 1;

/// A sealed frame has so many bytes more than the plain one.
pub const SEALED_EXTRA_BYTES: usize = SEALED_AT - PLAIN_BYTES;
/// No frame lies on the disk in more bytes.
pub const STORED_BYTES_MAX: usize = FRAME_BYTES_MAX + SEALED_EXTRA_BYTES;

/// So many bytes of a sealed frame's header are as in the plain one.
const PLAIN_BYTES: usize = 32;
const STAMP_AT: usize = PLAIN_BYTES;
const SEALED_CRC_AT: usize = STAMP_AT + STAMP_BYTES;
const TAG_AT: usize = SEALED_CRC_AT + 4;
/// Where the encrypted part of a sealed frame begins.
const SEALED_AT: usize = TAG_AT + TAG_BYTES;

/// How every frame begins.
pub(crate) const MAGIC: [u8; 4] = *b"DJFR";
const CRC_AT: usize = 76;

/// BLAKE3 over a frame's bytes; prints as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FrameHash(pub [u8; 32]);

impl fmt::Display for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash that stands before the first frame of a shard.
#[must_use]
pub fn genesis_hash(ledger: LedgerId, shard: ShardId) -> FrameHash {
    let mut hasher = blake3::Hasher::new_derive_key("ducat journal genesis v1");
    hasher.update(&ledger.to_bytes());
    hasher.update(&shard.0.to_le_bytes());
    FrameHash(*hasher.finalize().as_bytes())
}

/// What a frame's header says, apart from magic, version, length and checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// [`LAST_OF_APPEND`] or nothing.
    pub flags: u16,
    /// The shard whose journal this is.
    pub shard: ShardId,
    /// The reign under which it was appended.
    pub epoch: Epoch,
    /// LSN of the first record; the others follow without a gap.
    pub first_lsn: Lsn,
    /// Number of records, at least one.
    pub record_count: u32,
    /// When the batch was decided, nanoseconds since 1970.
    pub time_ns: u64,
    /// Hash of the frame before, or the genesis hash.
    pub prev_hash: FrameHash,
}

impl FrameHeader {
    /// LSN of the last record in the frame.
    #[must_use]
    pub const fn last_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0 + self.record_count as u64 - 1)
    }

    /// Whether this frame closes its append.
    #[must_use]
    pub const fn is_last_of_append(&self) -> bool {
        self.flags & LAST_OF_APPEND != 0
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Fewer bytes than a header, or not as many as the header announces.
    #[error("a frame of {announced} bytes was announced, {found} are there")]
    Length {
        /// Header plus payload, in bytes.
        announced: usize,
        /// Bytes given.
        found: usize,
    },
    /// It does not begin like a frame.
    #[error("it does not begin with a frame's magic number")]
    Magic,
    /// Written by a version this code does not know.
    #[error(
        "format version {0} is unknown (this build reads {FORMAT_VERSION} and {SEALED_VERSION})"
    )]
    Version(u16),
    /// Larger than any frame ever written.
    #[error("{0} bytes exceed the largest frame of {FRAME_BYTES_MAX}")]
    TooLarge(usize),
    /// The checksum says that bits changed.
    #[error("checksum {found:08x} does not match the content's {computed:08x}")]
    Checksum {
        /// As stored.
        found: u32,
        /// Over the bytes that are there.
        computed: u32,
    },
    /// The checksum holds but a field has a value that was never written.
    #[error("header field {0} has an impossible value")]
    Field(&'static str),
    /// It is encrypted, and the ledger was opened without its keys.
    #[error("it is encrypted, and the ledger was opened without a master key")]
    Locked,
    /// It is encrypted under a key that the ledger does not have.
    #[error("it is encrypted under ledger key {0}, which is not in KEYS")]
    UnknownKey(u32),
    /// The checksum holds, and it is not what was encrypted here.
    #[error("it is not what was encrypted in this place")]
    Forged,
}

/// A frame's bytes, cheap to clone, wherever they live.
#[derive(Clone)]
enum FrameBytes {
    /// A part of a buffer shared with other frames.
    Shared { buffer: Arc<[u8]>, start: usize, end: usize },
    /// A part of a value as sled handed it out.
    Sled { value: sled::IVec, start: usize, end: usize },
}

impl FrameBytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared { buffer, start, end } => &buffer[*start..*end],
            Self::Sled { value, start, end } => &value[*start..*end],
        }
    }
}

/// A frame whose checksum was verified. Cloning shares the bytes.
#[derive(Clone)]
pub struct Frame {
    header: FrameHeader,
    bytes: FrameBytes,
}

impl Frame {
    /// Reads one frame that fills `bytes` exactly; the bytes are copied.
    ///
    /// # Errors
    /// [`FrameError`] for anything but an intact frame of a known version.
    pub fn parse(bytes: &[u8]) -> Result<Self, FrameError> {
        let header = parse_header(bytes)?;
        let bytes = FrameBytes::Shared { buffer: bytes.into(), start: 0, end: bytes.len() };
        Ok(Self { header, bytes })
    }

    /// The same without a copy, out of a part of a shared buffer.
    ///
    /// # Errors
    /// As [`Frame::parse`]; a range outside the buffer is [`FrameError::Length`].
    pub fn parse_shared(
        buffer: &Arc<[u8]>,
        range: std::ops::Range<usize>,
    ) -> Result<Self, FrameError> {
        let bytes = buffer
            .get(range.clone())
            .ok_or(FrameError::Length { announced: range.len(), found: buffer.len() })?;
        let header = parse_header(bytes)?;
        let bytes =
            FrameBytes::Shared { buffer: buffer.clone(), start: range.start, end: range.end };
        Ok(Self { header, bytes })
    }

    /// The same without a copy: the frame that starts at `start` of a value which
    /// sled handed out and in which others may follow. Also the bytes it has there: a sealed one is
    /// copied, and opened in the copy.
    pub(crate) fn parse_sled(
        value: &sled::IVec,
        start: usize,
        vault: Option<&Vault>,
    ) -> Result<(Self, usize), FrameError> {
        let rest = &value[start..];
        let stored = announced_bytes(rest)?.min(rest.len());
        if is_sealed(rest) {
            return Self::open(&rest[..stored], vault).map(|frame| (frame, stored));
        }
        let end = start + stored;
        let header = parse_header(&value[start..end])?;
        let value = value.clone();
        Ok((Self { header, bytes: FrameBytes::Sled { value, start, end } }, stored))
    }

    /// Reads one frame as it lies on the disk, plain or sealed; the bytes are copied.
    ///
    /// # Errors
    /// As [`Frame::parse`]; for a sealed one [`FrameError::Locked`] without a vault,
    /// [`FrameError::UnknownKey`], [`FrameError::Forged`].
    pub fn open(bytes: &[u8], vault: Option<&Vault>) -> Result<Self, FrameError> {
        if !is_sealed(bytes) {
            return Self::parse(bytes);
        }
        let buffer: Arc<[u8]> = unseal(bytes, vault)?.into();
        let end = buffer.len();
        Self::parse_shared(&buffer, 0..end)
    }

    /// What the header says.
    #[must_use]
    pub const fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// LSN of the first record.
    #[must_use]
    pub const fn first_lsn(&self) -> Lsn {
        self.header.first_lsn
    }

    /// LSN of the last record.
    #[must_use]
    pub const fn last_lsn(&self) -> Lsn {
        self.header.last_lsn()
    }

    /// The records' bytes, one after the other.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes()[HEADER_BYTES..]
    }

    /// Header and payload as stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The hash that the next frame's header must name; computed at every call.
    #[must_use]
    pub fn hash(&self) -> FrameHash {
        hash_of(self.bytes())
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("header", &self.header)
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}

/// Writes the header of the frame that fills `frame` (header space and payload)
/// and returns the frame's hash.
///
/// # Panics
/// When the frame is shorter than a header, larger than [`FRAME_BYTES_MAX`] or
/// holds no record: the caller laid it out wrongly.
pub fn seal(frame: &mut [u8], header: &FrameHeader) -> FrameHash {
    assert!(frame.len() >= HEADER_BYTES, "a frame has room for its header");
    assert!(frame.len() <= FRAME_BYTES_MAX, "a frame of {} bytes is too large", frame.len());
    assert!(header.record_count > 0, "a frame holds at least one record");
    assert!(header.first_lsn > Lsn::ZERO, "LSN 0 names no record");
    let payload_bytes = u32::try_from(frame.len() - HEADER_BYTES).expect("bounded above");
    frame[0..4].copy_from_slice(&MAGIC);
    frame[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    frame[6..8].copy_from_slice(&header.flags.to_le_bytes());
    frame[8..12].copy_from_slice(&header.shard.0.to_le_bytes());
    frame[12..16].copy_from_slice(&payload_bytes.to_le_bytes());
    frame[16..24].copy_from_slice(&header.epoch.0.to_le_bytes());
    frame[24..32].copy_from_slice(&header.first_lsn.0.to_le_bytes());
    frame[32..40].copy_from_slice(&header.time_ns.to_le_bytes());
    frame[40..72].copy_from_slice(&header.prev_hash.0);
    frame[72..CRC_AT].copy_from_slice(&header.record_count.to_le_bytes());
    let crc = checksum(frame);
    frame[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    hash_of(frame)
}

/// Appends the sealed form of a plain frame to `out`. Its number under the key is its first LSN.
///
/// # Panics
/// When the key has sealed this LSN or a later one.
pub(crate) fn encrypt(plain: &[u8], key: &mut SealKey, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + plain.len() + SEALED_EXTRA_BYTES, 0);
    let sealed = &mut out[start..];
    sealed[..PLAIN_BYTES].copy_from_slice(&plain[..PLAIN_BYTES]);
    sealed[4..6].copy_from_slice(&SEALED_VERSION.to_le_bytes());
    sealed[STAMP_AT..SEALED_CRC_AT].copy_from_slice(&key.stamp().to_bytes());
    let (header, content) = sealed.split_at_mut(SEALED_AT);
    let number = claim(header).first_lsn.0;
    let tag = key.seal(number, &header[..SEALED_CRC_AT], &plain[PLAIN_BYTES..], content);
    sealed[TAG_AT..SEALED_AT].copy_from_slice(&tag);
    let crc = sealed_checksum(sealed);
    sealed[SEALED_CRC_AT..TAG_AT].copy_from_slice(&crc.to_le_bytes());
}

/// Whether what begins here says that it is a sealed frame.
pub(crate) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.len() >= 6 && bytes[0..4] == MAGIC && bytes[4..6] == SEALED_VERSION.to_le_bytes()
}

/// What the sealed frame that fills these bytes says of its key, once its checksum holds.
pub(crate) fn stamp_of(sealed: &[u8]) -> Result<Stamp, FrameError> {
    let announced = announced_bytes(sealed)?;
    if announced != sealed.len() {
        return Err(FrameError::Length { announced, found: sealed.len() });
    }
    let found = u32::from_le_bytes(array(sealed, SEALED_CRC_AT));
    let computed = sealed_checksum(sealed);
    if found != computed {
        return Err(FrameError::Checksum { found, computed });
    }
    Ok(Stamp::from_bytes(&array(sealed, STAMP_AT)))
}

/// The plain frame of a sealed one.
fn unseal(sealed: &[u8], vault: Option<&Vault>) -> Result<Vec<u8>, FrameError> {
    let stamp = stamp_of(sealed)?;
    let vault = vault.ok_or(FrameError::Locked)?;
    let key = vault.key(Kind::Journal, stamp);
    let key = key.ok_or(FrameError::UnknownKey(stamp.generation))?;
    let mut plain = vec![0; sealed.len() - SEALED_EXTRA_BYTES];
    let (header, content) = plain.split_at_mut(PLAIN_BYTES);
    header.copy_from_slice(&sealed[..PLAIN_BYTES]);
    header[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    let (number, tag) = (claim(sealed).first_lsn.0, array(sealed, TAG_AT));
    let opened = key.open(number, &sealed[..SEALED_CRC_AT], &tag, &sealed[SEALED_AT..], content);
    opened.map_err(|_| FrameError::Forged)?;
    Ok(plain)
}

fn sealed_checksum(sealed: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&sealed[..SEALED_CRC_AT]), &sealed[TAG_AT..])
}

fn hash_of(frame: &[u8]) -> FrameHash {
    FrameHash(*blake3::hash(frame).as_bytes())
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..CRC_AT]), &frame[HEADER_BYTES..])
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

/// What a header claims, before anything of it is checked but its length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Claim {
    pub(crate) first_lsn: Lsn,
    pub(crate) epoch: Epoch,
    pub(crate) crc: u32,
}

/// What the header at the beginning of these bytes claims.
///
/// # Panics
/// With fewer bytes than a header.
pub(crate) fn claim(bytes: &[u8]) -> Claim {
    let crc_at = if is_sealed(bytes) { SEALED_CRC_AT } else { CRC_AT };
    Claim {
        first_lsn: Lsn(u64::from_le_bytes(array(bytes, 24))),
        epoch: Epoch(u64::from_le_bytes(array(bytes, 16))),
        crc: u32::from_le_bytes(array(bytes, crc_at)),
    }
}

/// How many bytes the frame has that begins here, plain or sealed, going by its header alone.
pub(crate) fn announced_bytes(bytes: &[u8]) -> Result<usize, FrameError> {
    if bytes.len() < HEADER_BYTES {
        return Err(FrameError::Length { announced: HEADER_BYTES, found: bytes.len() });
    }
    if bytes[0..4] != MAGIC {
        return Err(FrameError::Magic);
    }
    let extra = match u16::from_le_bytes(array(bytes, 4)) {
        FORMAT_VERSION => 0,
        SEALED_VERSION => SEALED_EXTRA_BYTES,
        version => return Err(FrameError::Version(version)),
    };
    let announced = HEADER_BYTES + u32::from_le_bytes(array(bytes, 12)) as usize;
    if announced > FRAME_BYTES_MAX {
        return Err(FrameError::TooLarge(announced));
    }
    Ok(announced + extra)
}

/// Checks everything a single frame can say about itself.
fn parse_header(bytes: &[u8]) -> Result<FrameHeader, FrameError> {
    let announced = announced_bytes(bytes)?;
    if announced != bytes.len() {
        return Err(FrameError::Length { announced, found: bytes.len() });
    }
    if is_sealed(bytes) {
        return Err(FrameError::Locked);
    }
    let found = u32::from_le_bytes(array(bytes, CRC_AT));
    let computed = checksum(bytes);
    if found != computed {
        return Err(FrameError::Checksum { found, computed });
    }
    let header = FrameHeader {
        flags: u16::from_le_bytes(array(bytes, 6)),
        shard: ShardId(u32::from_le_bytes(array(bytes, 8))),
        epoch: Epoch(u64::from_le_bytes(array(bytes, 16))),
        first_lsn: Lsn(u64::from_le_bytes(array(bytes, 24))),
        record_count: u32::from_le_bytes(array(bytes, 72)),
        time_ns: u64::from_le_bytes(array(bytes, 32)),
        prev_hash: FrameHash(array(bytes, 40)),
    };
    check_fields(&header)?;
    Ok(header)
}

fn check_fields(header: &FrameHeader) -> Result<(), FrameError> {
    if header.flags & !LAST_OF_APPEND != 0 {
        return Err(FrameError::Field("flags"));
    }
    if header.record_count == 0 {
        return Err(FrameError::Field("record count"));
    }
    if header.first_lsn == Lsn::ZERO
        || header.first_lsn.0.checked_add(u64::from(header.record_count)).is_none()
    {
        return Err(FrameError::Field("first LSN"));
    }
    Ok(())
}
