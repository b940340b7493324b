//! A data key: AES-256-GCM over the numbered parts of one file.
//!
//! Each part is sealed with its number for a nonce, and [`SealKey`], of which there is one for each
//! data key and no copy, takes rising numbers alone. A data key is never drawn or derived twice for
//! sealing: so no pair of key and nonce comes twice.
//!
//! What is bound to a part beside its content: the kind of file, the ledger, the number, and the
//! plain header in front of it.

use crate::ledger_id::LedgerId;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;

/// Bytes that vouch for a part.
pub const TAG_BYTES: usize = 16;
/// Bytes in which a file says under which key it lies.
pub const STAMP_BYTES: usize = 20;
/// No plain header that is bound to a part is longer.
const HEADER_BYTES_MAX: usize = 96;
/// In front of it: kind and ledger.
const PREFIX_BYTES: usize = 1 + 16;

/// What kind of file a key is for. Keys of different kinds have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A segment of the journal; its parts are frames, by first LSN.
    Journal = 1,
    /// A snapshot; its parts are blocks.
    Snapshot = 2,
    /// A file of frames, of the archive or a backup; its parts are blocks.
    Archive = 3,
}

impl Kind {
    /// What sets its keys apart.
    #[must_use]
    pub const fn label(self) -> &'static [u8] {
        match self {
            Self::Journal => b"ducat data key v1 journal",
            Self::Snapshot => b"ducat data key v1 snapshot",
            Self::Archive => b"ducat data key v1 archive",
        }
    }
}

/// What a file says of its key: which ledger key it follows from, and by which salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Number of the ledger key.
    pub generation: u32,
    /// Drawn for this file.
    pub salt: [u8; 16],
}

impl Stamp {
    /// As it stands in files.
    #[must_use]
    pub fn to_bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&self.generation.to_le_bytes());
        bytes[4..].copy_from_slice(&self.salt);
        bytes
    }

    /// Reads it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; STAMP_BYTES]) -> Self {
        let (generation, salt) = bytes.split_first_chunk::<4>().expect("twenty bytes");
        let salt = salt.try_into().expect("sixteen are left");
        Self { generation: u32::from_le_bytes(*generation), salt }
    }
}

/// The part is not what was sealed under this key and number, behind this header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// Opens the parts of one file.
pub struct DataKey {
    key: LessSafeKey,
    prefix: [u8; PREFIX_BYTES],
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl DataKey {
    pub(super) fn new(secret: &super::Secret, kind: Kind, ledger: LedgerId) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &**secret).expect("AES-256 takes 32 bytes");
        let mut prefix = [0; PREFIX_BYTES];
        prefix[0] = kind as u8;
        prefix[1..].copy_from_slice(&ledger.to_bytes());
        Self { key: LessSafeKey::new(key), prefix }
    }

    /// Runs `with` on what is bound to a part.
    fn bound<T>(&self, header: &[u8], with: impl FnOnce(Aad<&[u8]>) -> T) -> T {
        let mut bytes = [0; PREFIX_BYTES + HEADER_BYTES_MAX];
        let end = PREFIX_BYTES + header.len();
        bytes[..PREFIX_BYTES].copy_from_slice(&self.prefix);
        bytes[PREFIX_BYTES..end].copy_from_slice(header);
        with(Aad::from(&bytes[..end]))
    }

    /// Opens a part into `content`, which has as many bytes.
    ///
    /// # Errors
    /// [`Forged`]; `content` holds nothing of use then.
    pub fn open(
        &self,
        number: u64,
        header: &[u8],
        tag: &[u8; TAG_BYTES],
        sealed: &[u8],
        content: &mut [u8],
    ) -> Result<(), Forged> {
        self.bound(header, |aad| {
            self.key.open_separate_gather(nonce(number), aad, sealed, tag, content)
        })
        .map_err(|_| Forged)
    }
}

/// Seals the parts of one file, each number once. There is no second one for its data key.
pub struct SealKey {
    stamp: Stamp,
    key: DataKey,
    /// The least number that was not sealed; none behind the last there is.
    next: Option<u64>,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

impl SealKey {
    pub(super) const fn new(stamp: Stamp, key: DataKey) -> Self {
        Self { stamp, key, next: Some(0) }
    }

    /// What the file says of it.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Takes a number, for good.
    fn take(&mut self, number: u64) -> Nonce {
        let fresh = self.next.is_some_and(|next| number >= next);
        assert!(fresh, "part {number} was sealed under this key before: nonces never repeat");
        self.next = number.checked_add(1);
        nonce(number)
    }

    /// Seals `content` into `sealed`, which has as many bytes; returns what vouches for it.
    ///
    /// # Panics
    /// When this number or a later one was sealed before, or the two differ in length.
    pub fn seal(
        &mut self,
        number: u64,
        header: &[u8],
        content: &[u8],
        sealed: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        let nonce = self.take(number);
        let mut tag = [0; TAG_BYTES];
        let done = self.key.bound(header, |aad| {
            self.key.key.seal_out_of_place_scatter(nonce, aad, content, sealed, &[], &mut tag)
        });
        done.expect("a part is far shorter than AES-GCM's bound, and both lengths are one");
        tag
    }

    /// The same in place.
    ///
    /// # Panics
    /// When this number or a later one was sealed before.
    pub fn seal_in_place(
        &mut self,
        number: u64,
        header: &[u8],
        bytes: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        let nonce = self.take(number);
        let sealed = self
            .key
            .bound(header, |aad| self.key.key.seal_in_place_separate_tag(nonce, aad, bytes));
        let tag = sealed.expect("a part is far shorter than AES-GCM's bound");
        tag.as_ref().try_into().expect("a tag of GCM has sixteen bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: u8) -> DataKey {
        let secret = zeroize::Zeroizing::new([secret; 32]);
        DataKey::new(&secret, Kind::Journal, LedgerId::from_bytes([1; 16]))
    }

    fn seal_key() -> SealKey {
        SealKey::new(Stamp { generation: 1, salt: [0; 16] }, key(7))
    }

    #[test]
    fn what_was_sealed_opens_under_its_number_and_header_alone() {
        let (mut seal, content) = (seal_key(), *b"fifteen pounds");
        let mut sealed = [0; 14];
        let tag = seal.seal(5, b"head", &content, &mut sealed);
        assert_ne!(sealed, content);
        let open = |with: DataKey, number, header: &[u8], tag, sealed: &[u8]| {
            let mut out = [0; 14];
            with.open(number, header, &tag, sealed, &mut out).map(|()| out)
        };
        assert_eq!(open(key(7), 5, b"head", tag, &sealed), Ok(content));
        assert_eq!(open(key(8), 5, b"head", tag, &sealed), Err(Forged));
        assert_eq!(open(key(7), 6, b"head", tag, &sealed), Err(Forged));
        assert_eq!(open(key(7), 5, b"heat", tag, &sealed), Err(Forged));
        for bit in 0..14 * 8 {
            let mut bad = sealed;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(key(7), 5, b"head", tag, &bad), Err(Forged), "bit {bit}");
        }
        let mut in_place = content;
        assert_eq!(seal_key().seal_in_place(5, b"head", &mut in_place), tag);
        assert_eq!(in_place, sealed);
    }

    #[test]
    #[should_panic(expected = "nonces never repeat")]
    fn no_number_is_sealed_twice() {
        let mut seal = seal_key();
        seal.seal_in_place(5, b"", &mut [1]);
        seal.seal_in_place(6, b"", &mut [1]);
        seal.seal_in_place(6, b"", &mut [1]);
    }

    #[test]
    #[should_panic(expected = "nonces never repeat")]
    fn nothing_comes_behind_the_last_number() {
        let mut seal = seal_key();
        seal.seal_in_place(u64::MAX, b"", &mut [1]);
        seal.seal_in_place(u64::MAX, b"", &mut [1]);
    }

    #[test]
    fn keys_are_not_shown() {
        let text = format!("{:?} {:?}", key(7), seal_key());
        assert!(!text.contains("7, 7") && !text.contains("0707"), "{text}");
    }
}
