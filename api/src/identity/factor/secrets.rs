//! The file of second factors' secrets: who is enrolled. Written by `ducat operator enrol`, read by the
//! server at its start and at SIGHUP.

use super::STEP_S;
use crate::identity::rights::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use thiserror::Error;
use totp_rs::{Algorithm, Builder, Totp};
use uuid::Uuid;

/// More than any file of secrets has, bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Fewest bytes of a secret: RFC 4226 asks for 128 bits.
const SECRET_BYTES_MIN: usize = 16;

/// Digits of a code.
const DIGITS: u8 = 6;

/// Why secrets cannot be used.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// The file cannot be read or written.
    #[error("could not {what} the second factors in {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Its content is not what `ducat operator enrol` writes.
    #[error("the second factors in {path}: {why}")]
    Unusable {
        /// Where they are.
        path: String,
        /// What is wrong; never a secret.
        why: String,
    },
    /// Somebody is enrolled already.
    #[error("{0} is enrolled already; replace the secret only when the old one is lost")]
    Enrolled(String),
}

/// What only one person's device and the server know.
#[derive(Clone)]
pub struct Secret(Totp);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// A new one, of 20 bytes: as many as the hash has, as RFC 4226 recommends.
    ///
    /// # Errors
    /// A sentence, when the library draws none that it takes.
    pub fn random() -> Result<Self, String> {
        Self::new(totp_rs::Secret::generate())
    }

    /// Of bytes: SHA-1, six digits, 30 seconds, which is what every authenticator does.
    fn new(secret: totp_rs::Secret) -> Result<Self, String> {
        if secret.as_ref().len() < SECRET_BYTES_MIN {
            return Err(format!("a secret has {SECRET_BYTES_MIN} bytes or more"));
        }
        let totp = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(0)
            .with_step_duration(STEP_S)
            .with_secret(secret)
            .build();
        totp.map(Self).map_err(|error| error.to_string())
    }

    /// Of a text in base 32, as files and authenticators have it.
    ///
    /// # Errors
    /// A sentence, without the secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        let secret = totp_rs::Secret::try_from_base32(text);
        Self::new(secret.map_err(|_| "a secret is no base 32".to_owned())?)
    }

    /// As a text in base 32.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.secret().to_base32()
    }

    /// The code of this moment, seconds since the Unix epoch.
    #[must_use]
    pub fn code(&self, at_s: u64) -> String {
        self.0.generate(at_s).to_string()
    }

    /// Which step's code it is: the one of this moment, the one before or the one after. All three are
    /// compared, each in constant time, whichever fits.
    #[must_use]
    pub fn step_of(&self, code: &str, now_s: u64) -> Option<u64> {
        let now = now_s / STEP_S;
        let mut found = None;
        for step in now.saturating_sub(1)..=now.saturating_add(1) {
            found = self.0.check(code, step.saturating_mul(STEP_S)).map(|_| step).or(found);
        }
        found
    }

    /// What an authenticator reads, as it is or as a QR code of it.
    #[must_use]
    pub fn to_uri(&self, name: &str, issuer: &str) -> String {
        let (name, issuer) = (encoded(name), encoded(issuer));
        let secret = self.to_text();
        format!(
            "otpauth://totp/{issuer}:{name}?secret={secret}&issuer={issuer}&algorithm=SHA1\
             &digits={DIGITS}&period={STEP_S}"
        )
    }
}

/// Percent-encoded but for what RFC 3986 leaves unreserved.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Everybody who is enrolled.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<String, Secret>);

/// The file.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    secrets: Vec<WrittenSecret>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSecret {
    name: String,
    secret: String,
}

impl Secrets {
    /// Of these.
    #[must_use]
    pub fn of<'a>(all: impl IntoIterator<Item = (&'a str, Secret)>) -> Self {
        Self(all.into_iter().map(|(name, secret)| (name.to_owned(), secret)).collect())
    }

    /// Reads a file of them.
    ///
    /// # Errors
    /// [`SecretsError`]; a file with one bad secret gives none.
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let length = std::fs::metadata(path).map_err(|error| of_file("read", path, error))?.len();
        if length > FILE_BYTES_MAX {
            return Err(unusable(path, "the file is too large".to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| of_file("read", path, error))?;
        Self::from_text(&text).map_err(|why| unusable(path, why))
    }

    /// Of the text of such a file.
    fn from_text(text: &str) -> Result<Self, String> {
        // The parser's own errors show the line, and with it a secret.
        let written: Written = toml::from_str(text)
            .map_err(|_| "it is not what `ducat operator enrol` writes".to_owned())?;
        let mut all = BTreeMap::new();
        for WrittenSecret { name, secret } in written.secrets {
            check_name(&name)?;
            let secret = Secret::parse(&secret).map_err(|why| format!("{name}: {why}"))?;
            if all.insert(name.clone(), secret).is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(Self(all))
    }

    /// The secret of this principal.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// How many are enrolled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds somebody to the file, which is made when it is not there, readable by its owner alone. The new
    /// file takes the place of the old one whole.
    ///
    /// # Errors
    /// [`SecretsError`]; [`SecretsError::Enrolled`] unless an old secret is to be replaced. The file is what it
    /// was then.
    pub fn enrol(
        path: &Path,
        name: &str,
        secret: &Secret,
        replace: bool,
    ) -> Result<(), SecretsError> {
        check_name(name).map_err(|why| unusable(path, why))?;
        let mut all = match Self::read(path) {
            Ok(all) => all,
            Err(SecretsError::File { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Self::default()
            }
            Err(error) => return Err(error),
        };
        if all.0.contains_key(name) && !replace {
            return Err(SecretsError::Enrolled(name.to_owned()));
        }
        all.0.insert(name.to_owned(), secret.clone());
        write_private(path, &all.to_text()).map_err(|error| of_file("write", path, error))
    }

    fn to_text(&self) -> String {
        let secrets = self
            .0
            .iter()
            .map(|(name, secret)| WrittenSecret { name: name.clone(), secret: secret.to_text() });
        toml::to_string(&Written { secrets: secrets.collect() }).unwrap_or_default()
    }
}

/// Writes a file that its owner alone can read, whole or not at all.
///
/// # Errors
/// Whatever writing, syncing and renaming can end with.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let (beside, mut file) = open_beside(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let done = written.and_then(|()| std::fs::rename(&beside, path));
    if done.is_err() {
        let _removed = std::fs::remove_file(beside);
    }
    done
}

/// Makes sure that [`write_private`] can begin, before something is asked for that is lost if it cannot be written.
///
/// # Errors
/// Whatever making a file there can end with; what lies at `path` is a directory.
pub fn check_writable(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let (beside, _file) = open_beside(path)?;
    std::fs::remove_file(beside)
}

/// A new file beside this one. Its name is its own, so that what a writer left that was killed, and a writer at the
/// same time, are in nobody's way.
fn open_beside(path: &Path) -> std::io::Result<(PathBuf, File)> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", Uuid::now_v7().simple()));
    let beside = PathBuf::from(beside);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    Ok((beside, file))
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!("a principal's name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn of_file(what: &'static str, path: &Path, source: std::io::Error) -> SecretsError {
    SecretsError::File { what, path: path.display().to_string(), source }
}

fn unusable(path: &Path, why: String) -> SecretsError {
    SecretsError::Unusable { path: path.display().to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// The secret of RFC 6238's own examples, "12345678901234567890".
    const RFC: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_rfc_6238() {
        let secret = Secret::parse(RFC).expect("base 32");
        // The last six of the eight digits there.
        for (at, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(secret.code(at), code, "{at}");
            assert_eq!(secret.step_of(code, at), Some(at / STEP_S), "{at}");
        }
        assert_eq!(secret.to_text(), RFC);
    }

    #[test]
    fn an_authenticator_is_told_all_it_needs() {
        let secret = Secret::parse(RFC).expect("base 32");
        let uri = secret.to_uri("spiffe://bank/anna b", "Ducat");
        let begins = "otpauth://totp/Ducat:spiffe%3A%2F%2Fbank%2Fanna%20b?secret=GEZDGNBV";
        assert!(uri.starts_with(begins), "{uri}");
        assert!(uri.ends_with("&issuer=Ducat&algorithm=SHA1&digits=6&period=30"), "{uri}");
        assert_eq!(format!("{secret:?}"), "Secret", "it is never logged");
    }

    #[test]
    fn who_is_enrolled_is_in_a_file_that_nobody_else_reads() {
        let dir = tempfile::tempdir().expect("a place for tests");
        let path = dir.path().join("factors.toml");
        let (one, two) = (Secret::random().expect("one"), Secret::random().expect("two"));
        Secrets::enrol(&path, "anna", &one, false).expect("written");
        Secrets::enrol(&path, "bert", &two, false).expect("added");
        let again = Secrets::enrol(&path, "anna", &two, false);
        assert!(matches!(again, Err(SecretsError::Enrolled(_))), "{again:?}");
        let read = Secrets::read(&path).expect("sound");
        assert_eq!(read.len(), 2);
        assert_eq!(read.find("anna").map(Secret::to_text), Some(one.to_text()), "as it was");
        Secrets::enrol(&path, "anna", &two, true).expect("replaced");
        let read = Secrets::read(&path).expect("sound");
        assert_eq!(read.find("anna").map(Secret::to_text), Some(two.to_text()));
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_a_killed_writer_left_is_in_nobodys_way() {
        let dir = tempfile::tempdir().expect("a place for tests");
        let path = dir.path().join("factors.toml");
        std::fs::write(dir.path().join("factors.toml.new"), "half of it").expect("written");
        let (left, _file) = open_beside(&path).expect("begun");
        check_writable(&path).expect("can be written");
        assert!(!path.exists(), "it only looks");
        for text in ["one", "two"] {
            write_private(&path, text).expect("written");
            assert_eq!(std::fs::read_to_string(&path).expect("there"), text);
        }
        std::fs::remove_file(left).expect("there");
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 2, "no more is left");
        assert!(check_writable(dir.path()).is_err(), "a directory");
        assert!(check_writable(&dir.path().join("none").join("x")).is_err(), "no directory");
    }

    #[test]
    fn a_bad_file_gives_nothing_and_shows_no_secret() {
        for text in [
            "nonsense".to_owned(),
            format!("[[secrets]]\nname = \"anna\"\nsecret = \"{RFC}\"\nmore = 1"),
            format!("[[secrets]]\nname = \"\"\nsecret = \"{RFC}\""),
            "[[secrets]]\nname = \"anna\"\nsecret = \"GEZDGNBV\"".to_owned(),
            "[[secrets]]\nname = \"anna\"\nsecret = \"1890\"".to_owned(),
            format!("[[secrets]]\nname = \"anna\"\nsecret = \"{RFC}\"\n").repeat(2),
        ] {
            let why = Secrets::from_text(&text).expect_err(&text);
            assert!(!why.contains("GEZD") && !why.contains("1890"), "{why}");
        }
        assert!(Secrets::from_text("").expect("empty").is_empty());
    }
}
