//! Passwords of operators, where they log in here and not at an issuer of the bank's: hashed with Argon2id in
//! a file that `ducat operator password` writes and the server reads.

use super::factor::secrets::write_private;
use super::rights::NAME_BYTES_MAX;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::LazyLock;
use thiserror::Error;

/// Fewest characters of a password.
pub const CHARS_MIN: usize = 12;

/// The longest password that is looked at, bytes.
pub const BYTES_MAX: usize = 256;

/// More than any file of passwords has, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The most memory that a hash of the file may ask for, KiB: logins are computed beside the ledger.
const MEMORY_KIB_MAX: u32 = 64 * 1024;

/// The most passes likewise.
const PASSES_MAX: u32 = 10;

/// Why passwords cannot be used.
#[derive(Debug, Error)]
pub enum PasswordsError {
    /// The file cannot be read or written.
    #[error("could not {what} the passwords in {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Its content is not what `ducat operator password` writes.
    #[error("the passwords in {path}: {why}")]
    Unusable {
        /// Where they are.
        path: String,
        /// What is wrong; never a hash.
        why: String,
    },
    /// The password is too easy to guess.
    #[error("{0}")]
    Weak(String),
}

/// Refuses what is easily guessed: fewer than [`CHARS_MIN`] characters, anything with the name in it, and what
/// an attacker who knows words, names, keyboards and dates finds within some ten thousand million tries.
///
/// # Errors
/// A sentence for whoever chose it.
pub fn check_policy(name: &str, password: &str) -> Result<(), String> {
    let count = password.chars().count();
    if count < CHARS_MIN || password.len() > BYTES_MAX {
        return Err(format!(
            "a password has {CHARS_MIN} characters or more, at most {BYTES_MAX} bytes"
        ));
    }
    if password.chars().any(char::is_control) {
        return Err("a password has no control characters".to_owned());
    }
    // The last part of a SPIFFE URI is what people call themselves.
    let own = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    if own.len() > 2 && password.to_lowercase().contains(&own) {
        return Err("a password does not have the name in it".to_owned());
    }
    if zxcvbn::zxcvbn(password, &[name, &own, "ducat"]).score() < zxcvbn::Score::Four {
        return Err("that is easily guessed: take four words or more that have nothing to do with each other".to_owned());
    }
    Ok(())
}

/// The hash of a password with a salt of its own: Argon2id, 19 MiB, 2 passes (OWASP).
fn hash(password: &str) -> Result<String, String> {
    let made = Argon2::default().hash_password(password.as_bytes());
    made.map(|made| made.to_string()).map_err(|error| error.to_string())
}

/// Stands for the hash of a name that nobody has, so that it costs as much to refuse.
static NOBODYS: LazyLock<String> =
    LazyLock::new(|| hash(&uuid::Uuid::now_v7().to_string()).unwrap_or_default());

/// Whether this is the password of that hash; of none (`None`) never, at the same cost. Takes some hundredths of
/// a second of a core, and 19 MiB.
#[must_use]
pub fn verify(stored: Option<&str>, password: &str) -> bool {
    let text = stored.unwrap_or(&NOBODYS);
    let Ok(hash) = PasswordHash::new(text) else { return false };
    let fits = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
    fits && stored.is_some()
}

/// The hashes by name.
#[derive(Clone, Default)]
pub struct Passwords(BTreeMap<String, String>);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names are known to logs; hashes are not.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    passwords: Vec<WrittenPassword>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPassword {
    name: String,
    hash: String,
}

impl Passwords {
    /// Reads a file of them.
    ///
    /// # Errors
    /// [`PasswordsError`]; a file with one bad hash gives none.
    pub fn read(path: &Path) -> Result<Self, PasswordsError> {
        let length = std::fs::metadata(path).map_err(|error| of_file("read", path, error))?.len();
        if length > FILE_BYTES_MAX {
            return Err(unusable(path, "the file is too large".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| of_file("read", path, error))?;
        Self::from_text(&text).map_err(|why| unusable(path, why))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        // The parser's own errors show the line, and with it a hash.
        let written: Written = toml::from_str(text)
            .map_err(|_| "it is not what `ducat operator password` writes".to_owned())?;
        let mut all = BTreeMap::new();
        for WrittenPassword { name, hash } in written.passwords {
            check_hash(&hash).map_err(|why| format!("{name}: {why}"))?;
            if all.insert(name.clone(), hash).is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(Self(all))
    }

    /// The hash of this name's password.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// How many have one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives this name a password, in the place of the one it had, in the file, which its owner alone can
    /// read and is replaced whole.
    ///
    /// # Errors
    /// [`PasswordsError`]; the file is what it was then.
    pub fn set(path: &Path, name: &str, password: &str) -> Result<(), PasswordsError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(unusable(path, format!("a name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        check_policy(name, password).map_err(PasswordsError::Weak)?;
        let mut all = match Self::read(path) {
            Ok(all) => all,
            Err(PasswordsError::File { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Self::default()
            }
            Err(error) => return Err(error),
        };
        let hash = hash(password).map_err(|why| unusable(path, why))?;
        all.0.insert(name.to_owned(), hash);
        let passwords = all.0.into_iter().map(|(name, hash)| WrittenPassword { name, hash });
        let written = Written { passwords: passwords.collect() };
        let text = toml::to_string(&written).map_err(|error| unusable(path, error.to_string()))?;
        write_private(path, &text).map_err(|error| of_file("write", path, error))
    }
}

/// Whether a hash is one that can be checked beside a ledger that is at work.
fn check_hash(text: &str) -> Result<(), String> {
    let wrong = || "its hash is no PHC string of Argon2id".to_owned();
    let hash = PasswordHash::new(text).map_err(|_| wrong())?;
    if Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| wrong())? != Algorithm::Argon2id {
        return Err(wrong());
    }
    let params = Params::try_from(&hash).map_err(|_| wrong())?;
    if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX {
        return Err("its hash takes more than 64 MiB or 10 passes".to_owned());
    }
    Ok(())
}

fn of_file(what: &'static str, path: &Path, source: std::io::Error) -> PasswordsError {
    PasswordsError::File { what, path: path.display().to_string(), source }
}

fn unusable(path: &Path, why: String) -> PasswordsError {
    PasswordsError::Unusable { path: path.display().to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const GOOD: &str = "otter lantern quarry velvet";

    #[test]
    fn what_is_easily_guessed_is_no_password() {
        for (password, says) in [
            ("", "12 characters"),
            ("otter lante", "12 characters"),
            ("passwordpassword", "guessed"),
            ("123456789012", "guessed"),
            ("qwertyuiopas", "guessed"),
            ("aaaaaaaaaaaaaaaaaaaa", "guessed"),
            ("Summer2026Summer", "guessed"),
            ("otter Anna lantern quarry", "name"),
            ("otter lantern\nquarry velvet", "control"),
        ] {
            let why = check_policy("spiffe://bank/anna", password).expect_err(password);
            assert!(why.contains(says), "{password}: {why}");
        }
        assert!(check_policy("anna", &GOOD.repeat(20)).is_err(), "too long");
        assert_eq!(check_policy("anna", GOOD), Ok(()));
    }

    #[test]
    fn a_password_is_known_by_its_hash_alone_and_the_file_is_its_owners() {
        let dir = tempfile::tempdir().expect("a place for tests");
        let path = dir.path().join("passwords.toml");
        Passwords::set(&path, "anna", GOOD).expect("written");
        Passwords::set(&path, "bert", GOOD).expect("added");
        let all = Passwords::read(&path).expect("sound");
        let (anna, bert) = (all.find("anna").expect("there"), all.find("bert").expect("there"));
        assert_ne!(anna, bert, "salted");
        assert!(anna.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{anna}");
        assert!(verify(Some(anna), GOOD));
        assert!(!verify(Some(anna), "otter lantern quarry velveT"));
        assert!(!verify(Some("nonsense"), GOOD));
        assert!(!verify(None, GOOD));
        let text = std::fs::read_to_string(&path).expect("there");
        assert!(!text.contains("otter"), "{text}");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let weak = Passwords::set(&path, "anna", "short");
        assert!(matches!(weak, Err(PasswordsError::Weak(_))), "{weak:?}");
        let after = std::fs::read_to_string(&path).expect("there");
        assert_eq!(after, text, "the file is what it was");
    }

    #[test]
    fn hashes_that_would_take_the_machine_are_refused() {
        let of = |hash: &str| {
            Passwords::from_text(&format!("[[passwords]]\nname = \"anna\"\nhash = \"{hash}\""))
        };
        let tail = "c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        assert!(of(&format!("$argon2id$v=19$m=19456,t=2,p=1${tail}")).is_ok());
        for hash in [
            format!("$argon2id$v=19$m=4194304,t=2,p=1${tail}"),
            format!("$argon2id$v=19$m=19456,t=1000,p=1${tail}"),
            format!("$argon2i$v=19$m=19456,t=2,p=1${tail}"),
            "otter lantern quarry velvet".to_owned(),
            String::new(),
        ] {
            let why = of(&hash).expect_err(&hash);
            assert!(!why.contains("c2Fsd") && !why.contains("otter"), "{why}");
        }
    }
}
