//! Secret fields: short texts sealed one by one, under keys that are given and never written.
//!
//! ```text
//! keys of secret fields (outside: a file, a variable, a command; one a line, the newest last)
//!   └─ HKDF with the field's name ─▶ key of the field
//!        └─ HKDF with the account ─▶ nonce ─▶ AES-256-GCM-SIV ─▶ enc:KEY:BASE64URL
//! ```
//!
//! The same text in the same field of the same account under the same key is the same sealed text, so
//! that a request that is sent again is still the same request. Beside that it tells its length and
//! nothing else: another account or field has another nonce or key. Account and field are bound to it, so that it opens
//! nowhere else. The ledger is not: a restored or forked one reads what it was made of
//! ([decision 47](../../../docs/adr/0047-secret-fields.md)).

use super::keys::VaultError;
use super::master::{MasterKey, parse_secret, read_text};
use super::wrapper::run;
use super::{Secret, expand};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ducat_engine::ids::AccountId;
use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

/// What a sealed text begins with.
pub const PREFIX: &str = "enc:";
/// Digits of a key's name.
const NAME_DIGITS: usize = 16;
/// Bytes that vouch for a text.
const TAG_BYTES: usize = 16;
/// No file of keys is longer, in bytes.
const KEYS_BYTES_MAX: u64 = 16 << 10;
/// Most keys at a time.
pub const KEYS_MAX: usize = 64;

const SALT: &[u8] = b"ducat secret fields v1";
const KEY_LABEL: &[u8] = b"ducat secret field key v1";
const NONCE_LABEL: &[u8] = b"ducat secret field nonce v1";
const BOUND_LABEL: &[u8] = b"ducat secret field v1";

/// Why a text cannot be opened. Says nothing of the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FieldError {
    /// It is not a sealed one.
    #[error("it is not sealed")]
    Plain,
    /// It is sealed under a key that was not given.
    #[error("it is sealed under key {0}, which was not given")]
    KeyMissing(String),
    /// It is not what was sealed, or was sealed for another account or field.
    #[error("it is not what was sealed for this field of this account")]
    Changed,
}

/// One key, ready to derive those of fields.
struct FieldKey {
    name: String,
    prk: Prk,
}

impl FieldKey {
    /// Named as `ducat keys generate` names it.
    fn new(secret: Secret) -> Self {
        let prk = Salt::new(HKDF_SHA256, SALT).extract(&*secret);
        Self { name: MasterKey::from_secret(secret).name().to_owned(), prk }
    }

    fn cipher(&self, field: &str) -> LessSafeKey {
        let mut key = Secret::default();
        expand(&self.prk, &[KEY_LABEL, field.as_bytes()], &mut *key);
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &*key).expect("AES-256 takes 32 bytes"))
    }

    /// One for each field of each account. What nonces are for, that two texts under the same key and
    /// nonce tell nothing of each other, GCM-SIV does without: it shows that they are equal, and that alone.
    fn nonce(&self, account: AccountId, field: &str) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        let account = account.get().to_le_bytes();
        expand(&self.prk, &[NONCE_LABEL, field.as_bytes(), &account], &mut nonce);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What is bound to a sealed text.
fn bound(account: AccountId, field: &str) -> Aad<Vec<u8>> {
    let account = account.get().to_le_bytes();
    Aad::from([BOUND_LABEL, field.as_bytes(), &account].concat())
}

/// The keys of secret fields, the newest last. Never shown; overwritten when dropped.
pub struct FieldKeys(Vec<FieldKey>);

impl fmt::Debug for FieldKeys {
    /// By their names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FieldKeys").field(&self.names()).finish()
    }
}

impl FieldKeys {
    /// The keys in a text: one a line, 32 bytes in base64 or as 64 hexadecimal digits, the newest last.
    /// `from` is for messages, which never hold what was read.
    ///
    /// # Errors
    /// [`VaultError::NoFieldKeys`], also of a line that is no key; [`VaultError::FieldKeyTwice`].
    pub fn parse(text: &str, from: &str) -> Result<Self, VaultError> {
        let no_keys = || VaultError::NoFieldKeys { from: from.to_owned() };
        let mut keys: Vec<FieldKey> = Vec::new();
        // In a variable there may be blanks between them.
        for word in text.split_whitespace() {
            let key = FieldKey::new(parse_secret(word).ok_or_else(no_keys)?);
            if keys.iter().any(|other| other.name == key.name) {
                return Err(VaultError::FieldKeyTwice { from: from.to_owned(), name: key.name });
            }
            keys.push(key);
        }
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(no_keys());
        }
        Ok(Self(keys))
    }

    /// Reads them from a file that nobody else may read.
    ///
    /// # Errors
    /// [`VaultError::Io`], [`VaultError::Open`], and as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self, VaultError> {
        Self::parse(&read_text(path, KEYS_BYTES_MAX)?, &path.display().to_string())
    }

    /// Takes them from what a command prints. A shell runs it.
    ///
    /// # Errors
    /// [`VaultError::FieldSource`] when the command fails, and as [`Self::parse`].
    pub fn from_command(command: &str) -> Result<Self, VaultError> {
        let printed = run(command, &[], b"").map_err(VaultError::FieldSource)?;
        let text = std::str::from_utf8(&printed).unwrap_or_default();
        Self::parse(text, "the output of the command for the keys of secret fields")
    }

    /// Their names, the newest last.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|key| key.name.as_str()).collect()
    }

    /// The name of the key that seals now: sixteen hexadecimal digits.
    #[must_use]
    pub fn current(&self) -> &str {
        &self.newest().name
    }

    fn newest(&self) -> &FieldKey {
        self.0.last().expect("never empty")
    }

    /// Seals a text of a field of an account under the newest key.
    #[must_use]
    pub fn seal(&self, account: AccountId, field: &str, text: &str) -> String {
        seal(self.newest(), account, field, text)
    }

    /// The same under the key of this name, as it was sealed when that was the newest; `None` when it is
    /// not there.
    #[must_use]
    pub fn seal_under(
        &self,
        name: &str,
        account: AccountId,
        field: &str,
        text: &str,
    ) -> Option<String> {
        let key = self.0.iter().find(|key| key.name == name)?;
        Some(seal(key, account, field, text))
    }

    /// Opens a sealed text of this field of this account.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn open(
        &self,
        account: AccountId,
        field: &str,
        sealed: &str,
    ) -> Result<Zeroizing<String>, FieldError> {
        let (name, content) = parts(sealed).ok_or(FieldError::Plain)?;
        let key = self.0.iter().find(|key| key.name == name);
        let key = key.ok_or_else(|| FieldError::KeyMissing(name.to_owned()))?;
        let mut content = Zeroizing::new(content);
        let (nonce, aad) = (key.nonce(account, field), bound(account, field));
        let opened = key.cipher(field).open_in_place(nonce, aad, &mut content);
        let opened = opened.map_err(|_| FieldError::Changed)?;
        let text = std::str::from_utf8(opened).map_err(|_| FieldError::Changed)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

fn seal(key: &FieldKey, account: AccountId, field: &str, text: &str) -> String {
    // As large as it gets: a buffer that grew would leave the text where it was before.
    let mut content = Vec::with_capacity(text.len() + TAG_BYTES);
    content.extend_from_slice(text.as_bytes());
    let (nonce, aad) = (key.nonce(account, field), bound(account, field));
    let sealed = key.cipher(field).seal_in_place_append_tag(nonce, aad, &mut content);
    if sealed.is_err() {
        content.zeroize();
        unreachable!("a text is far shorter than the cipher's bound");
    }
    format!("{PREFIX}{}:{}", key.name, BASE64_URL_SAFE_NO_PAD.encode(&content))
}

/// The name of the key and the content of a sealed text; `None` for any other text.
fn parts(text: &str) -> Option<(&str, Vec<u8>)> {
    let (name, content) = text.strip_prefix(PREFIX)?.split_once(':')?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_name = name.len() == NAME_DIGITS && name.bytes().all(is_digit);
    let content = is_name.then(|| BASE64_URL_SAFE_NO_PAD.decode(content).ok())??;
    (content.len() >= TAG_BYTES).then_some((name, content))
}

/// Whether a text has the form of a sealed one.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    parts(text).is_some()
}

/// Bytes of a text of so many bytes once it is sealed.
#[must_use]
pub const fn sealed_bytes(bytes: usize) -> usize {
    PREFIX.len() + NAME_DIGITS + 1 + ((bytes + TAG_BYTES) * 4).div_ceil(3)
}

/// The text for people who have no keys: of a sealed one the key's name alone.
#[must_use]
pub fn shortened(text: &str) -> Cow<'_, str> {
    match parts(text) {
        Some((name, _)) => Cow::Owned(format!("{PREFIX}{name}:…")),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const TWO: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4=";
    const CARD: &str = "4929123456789015";

    fn keys(text: &str) -> FieldKeys {
        FieldKeys::parse(text, "x").expect("keys")
    }

    fn account(id: u128) -> AccountId {
        AccountId::new(id).expect("not zero")
    }

    #[test]
    fn a_text_opens_in_its_field_of_its_account_alone() {
        let keys = keys(ONE);
        let sealed = keys.seal(account(7), "card", CARD);
        assert!(is_sealed(&sealed) && !sealed.contains(CARD), "{sealed}");
        assert_eq!(sealed.len(), sealed_bytes(CARD.len()));
        assert_eq!(&**keys.open(account(7), "card", &sealed).expect("opens"), CARD);
        assert_eq!(keys.open(account(8), "card", &sealed), Err(FieldError::Changed));
        assert_eq!(keys.open(account(7), "cards", &sealed), Err(FieldError::Changed));
        for text in ["", "x", "ä€", &"x".repeat(4000)] {
            let sealed = keys.seal(account(7), "card", text);
            assert_eq!(sealed.len(), sealed_bytes(text.len()), "{text}");
            assert_eq!(&**keys.open(account(7), "card", &sealed).expect("opens"), text);
        }
    }

    /// A repeat is the same request; nothing else is alike.
    #[test]
    fn what_is_sealed_again_is_the_same_and_equal_texts_elsewhere_are_not() {
        let keys = keys(&format!("{ONE}\n{TWO}\n"));
        let sealed = keys.seal(account(7), "card", CARD);
        assert_eq!(sealed, keys.seal(account(7), "card", CARD));
        let content = |sealed: &str| sealed.rsplit(':').next().map(str::to_owned);
        let older = keys.seal_under(keys.names()[0], account(7), "card", CARD).expect("known");
        for other in [
            keys.seal(account(8), "card", CARD),
            keys.seal(account(7), "card2", CARD),
            keys.seal(account(7), "card", "4929123456789023"),
            older,
        ] {
            assert_ne!(content(&sealed), content(&other));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let keys = keys(ONE);
        let sealed = keys.seal(account(7), "card", CARD);
        let (head, content) = sealed.rsplit_once(':').expect("its form");
        let content = BASE64_URL_SAFE_NO_PAD.decode(content).expect("base64");
        for bit in 0..content.len() * 8 {
            let mut bad = content.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let bad = format!("{head}:{}", BASE64_URL_SAFE_NO_PAD.encode(&bad));
            assert_eq!(keys.open(account(7), "card", &bad), Err(FieldError::Changed), "bit {bit}");
        }
    }

    #[test]
    fn the_newest_key_seals_and_all_open() {
        let (old, both) = (keys(ONE), keys(&format!("{ONE}\n{TWO}")));
        let sealed = old.seal(account(7), "card", CARD);
        assert_eq!(&**both.open(account(7), "card", &sealed).expect("opens"), CARD);
        assert_eq!(both.names()[0], old.current());
        let newer = both.seal(account(7), "card", CARD);
        assert_ne!(newer, sealed);
        let missing = FieldError::KeyMissing(both.current().to_owned());
        assert_eq!(old.open(account(7), "card", &newer), Err(missing));
        let again = both.seal_under(old.current(), account(7), "card", CARD);
        assert_eq!(again, Some(sealed));
        assert_eq!(old.seal_under(both.current(), account(7), "card", CARD), None);
    }

    #[test]
    fn only_the_whole_form_is_taken_for_sealed() {
        let sealed = keys(ONE).seal(account(7), "card", "");
        assert!(is_sealed(&sealed));
        for text in [
            "",
            "enc:",
            "enc:1:AAAA",
            "4929123456789015",
            &sealed[1..],
            &sealed.to_uppercase(),
            &format!("{sealed}="),
            &format!(" {sealed}"),
            &sealed[..sealed.len() - 2],
        ] {
            assert!(!is_sealed(text), "{text}");
            assert_eq!(keys(ONE).open(account(7), "card", text), Err(FieldError::Plain), "{text}");
            assert_eq!(shortened(text), text);
        }
        assert_eq!(shortened(&sealed), format!("enc:{}:…", keys(ONE).current()));
    }

    #[test]
    fn what_are_no_keys_is_refused_and_not_repeated() {
        let many = (0..=KEYS_MAX).map(|n| format!("{n:064x}\n").replacen("00", "ff", 1));
        let many: String = many.collect();
        for text in ["", " \n", "secret-words", &format!("{ONE}\nsecret-words"), &many] {
            let error = FieldKeys::parse(text, "the variable").expect_err(text).to_string();
            assert!(error.contains("the variable") && !error.contains("secret-w"), "{error}");
        }
        let twice = FieldKeys::parse(&format!("{ONE} {ONE}"), "x").expect_err("twice");
        assert!(matches!(twice, VaultError::FieldKeyTwice { .. }), "{twice}");
        assert!(!twice.to_string().contains(ONE));
    }

    #[test]
    fn keys_come_from_files_of_their_owner_and_from_commands() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("fields.key");
        std::fs::write(&path, format!("{ONE}\n{TWO}\n")).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("opens it");
        assert!(matches!(FieldKeys::read(&path), Err(VaultError::Open { mode: 0o640, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closes it");
        let read = FieldKeys::read(&path).expect("reads");
        let printed = FieldKeys::from_command(&format!("cat {}", path.display()));
        assert_eq!(read.names(), printed.expect("prints").names());
        assert!(matches!(FieldKeys::from_command("false"), Err(VaultError::FieldSource(_))));
    }

    #[test]
    fn keys_are_not_shown() {
        let text = format!("{:?}", keys(ONE));
        assert!(!text.contains("0102") && !text.contains("1, 2"), "{text}");
    }
}
