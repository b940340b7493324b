//! The master key: 256 bits that wrap ledger keys, and that Ducat never writes but to the file of
//! `ducat keys generate`.
//!
//! It is read from a file that nobody else can read, a variable, or the output of a command; as
//! text, base64 or hexadecimal, so that it can be kept wherever secrets are.

use super::keys::VaultError;
use super::wrapper::{KeyWrapper, WrapError, run};
use super::{Secret, expand, fill_random, random_secret};
use crate::witness::is_open;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// No text of a key is longer, in bytes.
const TEXT_BYTES_MAX: u64 = 1024;

/// The master key. Overwritten when it is dropped, never shown, also not for debugging.
pub struct MasterKey {
    secret: Secret,
    id: String,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey {}", self.id)
    }
}

fn failed<'p>(verb: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> VaultError + 'p {
    move |source| VaultError::Io { verb, path: path.to_owned(), source }
}

/// The key that a text is: 32 bytes in base64 or as 64 hexadecimal digits.
pub(super) fn parse_secret(text: &str) -> Option<Secret> {
    let text = text.trim();
    let mut secret = Secret::default();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
    } else {
        // One more than there are, so that what is too long is noticed.
        let mut decoded = Zeroizing::new([0; 34]);
        let bytes = BASE64_STANDARD.decode_slice(text, &mut *decoded);
        if bytes != Ok(32) {
            return None;
        }
        secret.copy_from_slice(&decoded[..32]);
    }
    let is_key = secret.iter().any(|byte| *byte != secret[0]);
    is_key.then_some(secret)
}

/// The text of a file of keys, which nobody else may read: its first `bytes_max` bytes. Empty where it is
/// no text.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<Zeroizing<String>, VaultError> {
    let file = File::open(path).map_err(failed("open", path))?;
    let found = file.metadata().map_err(failed("look at", path))?;
    if is_open(&found) {
        let mode = found.permissions().mode() & 0o777;
        return Err(VaultError::Open { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::with_capacity(bytes_max as usize));
    let read = file.take(bytes_max).read_to_string(&mut text);
    match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
        other => {
            other.map_err(failed("read", path))?;
        }
    }
    Ok(text)
}

impl MasterKey {
    /// The key with this secret. Its id follows from it and tells nothing of it.
    #[must_use]
    pub fn from_secret(secret: Secret) -> Self {
        let prk = Salt::new(HKDF_SHA256, b"ducat master key id v1").extract(&*secret);
        let mut id = [0; 8];
        expand(&prk, &[b"id"], &mut id);
        Self { secret, id: id.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// A fresh key of the system's randomness.
    ///
    /// # Errors
    /// [`VaultError::Random`].
    pub fn random() -> Result<Self, VaultError> {
        random_secret().map(Self::from_secret)
    }

    /// Reads a key's text: 32 bytes in base64 or as 64 hexadecimal digits. `from` is for messages,
    /// which never hold what was read.
    ///
    /// # Errors
    /// [`VaultError::NoKey`].
    pub fn parse(text: &str, from: &str) -> Result<Self, VaultError> {
        let secret = parse_secret(text);
        secret.map(Self::from_secret).ok_or_else(|| VaultError::NoKey { from: from.to_owned() })
    }

    /// Reads a key from a file that nobody else may read.
    ///
    /// # Errors
    /// [`VaultError::Io`], [`VaultError::Open`], [`VaultError::NoKey`].
    pub fn read(path: &Path) -> Result<Self, VaultError> {
        Self::parse(&read_text(path, TEXT_BYTES_MAX)?, &path.display().to_string())
    }

    /// Takes a key from what a command prints.
    ///
    /// # Errors
    /// [`VaultError::Source`] when the command fails, [`VaultError::NoKey`].
    pub fn from_command(command: &str) -> Result<Self, VaultError> {
        let printed = run(command, &[], b"").map_err(VaultError::Source)?;
        let text = std::str::from_utf8(&printed).unwrap_or_default();
        Self::parse(text, "the output of the command for the master key")
    }

    /// Writes it to a new file that only its owner may read, durably.
    ///
    /// # Errors
    /// [`VaultError::Io`], also when the file is there already.
    pub fn write_new(&self, path: &Path) -> Result<(), VaultError> {
        let mut text = Zeroizing::new(BASE64_STANDARD.encode(self.secret.as_slice()));
        text.push('\n');
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path).map_err(failed("create", path))?;
        file.write_all(text.as_bytes()).map_err(failed("write", path))?;
        file.sync_all().map_err(failed("sync", path))
    }

    /// Names it: sixteen hexadecimal digits.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.id
    }

    fn key(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &*self.secret).expect("AES-256 takes 32 bytes");
        LessSafeKey::new(key)
    }
}

/// A wrapped key: a random nonce, the key, a tag. A master key wraps a ledger key now and then, and
/// random nonces are for four thousand million times.
impl KeyWrapper for MasterKey {
    fn id(&self) -> Result<String, WrapError> {
        Ok(self.id.clone())
    }

    fn wrap(&self, secret: &Secret, context: &[u8]) -> Result<Vec<u8>, WrapError> {
        let mut nonce = [0; NONCE_LEN];
        fill_random(&mut nonce).map_err(|_| WrapError::Random)?;
        let mut wrapped = nonce.to_vec();
        let mut sealed = Zeroizing::new(secret.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key().seal_in_place_separate_tag(nonce, Aad::from(context), &mut sealed);
        let tag = tag.expect("a key is short");
        wrapped.extend_from_slice(&sealed);
        wrapped.extend_from_slice(tag.as_ref());
        Ok(wrapped)
    }

    fn unwrap(&self, id: &str, wrapped: &[u8], context: &[u8]) -> Result<Secret, WrapError> {
        if id != self.id {
            return Err(WrapError::Other { given: self.id.clone() });
        }
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(WrapError::Changed)?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key().open_in_place(nonce, Aad::from(context), &mut sealed);
        let opened = opened.map_err(|_| WrapError::Changed)?;
        let mut secret = Secret::default();
        if opened.len() != secret.len() {
            return Err(WrapError::Changed);
        }
        secret.copy_from_slice(opened);
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_key_is_read_as_base64_and_as_hexadecimal() {
        let (one, other) = (MasterKey::parse(HEX, "x"), MasterKey::parse(BASE64, "x"));
        let (one, other) = (one.expect("a key"), other.expect("a key"));
        assert_eq!(one.name(), other.name());
        assert_eq!(one.name().len(), 16);
        let padded = MasterKey::parse(&format!(" {BASE64}\n"), "x").expect("a key");
        assert_eq!(padded.name(), one.name());
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let zeros = "0".repeat(64);
        for text in ["", "secret-words", &HEX[..62], &BASE64[..40], &format!("{BASE64}AA"), &zeros]
        {
            let error = MasterKey::parse(text, "the variable").expect_err(text).to_string();
            assert!(error.contains("the variable"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_file_of_a_key_is_for_its_owner() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("master.key");
        let key = MasterKey::random().expect("random");
        key.write_new(&path).expect("writes");
        key.write_new(&path).expect_err("it is there");
        assert_eq!(MasterKey::read(&path).expect("reads").name(), key.name());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("opens it");
        assert!(matches!(MasterKey::read(&path), Err(VaultError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn wrapped_keys_open_under_their_master_key_and_context_alone() {
        let (master, other) =
            (MasterKey::random().expect("random"), MasterKey::random().expect("r"));
        let secret = random_secret().expect("random");
        let wrapped = master.wrap(&secret, b"of one ledger").expect("wraps");
        let id = master.name();
        assert_eq!(*master.unwrap(id, &wrapped, b"of one ledger").expect("opens"), *secret);
        let changed = master.unwrap(id, &wrapped, b"of another").expect_err("moved");
        assert!(matches!(changed, WrapError::Changed));
        let error = other.unwrap(id, &wrapped, b"of one ledger").expect_err("another key");
        assert!(matches!(error, WrapError::Other { .. }));
        for bit in 0..wrapped.len() * 8 {
            let mut bad = wrapped.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            master.unwrap(id, &bad, b"of one ledger").expect_err("a flipped bit");
        }
        assert_ne!(wrapped, master.wrap(&secret, b"of one ledger").expect("wraps"));
    }

    #[test]
    fn a_master_key_is_not_shown() {
        let text = format!("{:?}", MasterKey::parse(HEX, "x").expect("a key"));
        assert!(!text.contains("0102") && !text.contains("1, 2"), "{text}");
    }
}
