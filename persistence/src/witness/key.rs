//! Ed25519 keys in files: the private one as PKCS#8, the public one as SPKI, both in PEM, as
//! `openssl pkey` reads and writes them.

use ed25519_dalek::pkcs8::spki::DecodePublicKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// No file of a key is longer, in bytes.
const KEY_BYTES_MAX: u64 = 4096;

/// Why a key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The operating system refused.
    #[error("could not {verb} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "{} can be read by others (mode {mode:03o}): whoever has it can sign. Run `chmod 600 {}`, or \
         make a new key if somebody may have read it",
        path.display(), path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no such key.
    #[error("{} holds no {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
}

fn failed<'p>(verb: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> KeyError + 'p {
    move |source| KeyError::Io { verb, path: path.to_owned(), source }
}

/// The key that signs checkpoints. Never shown, also not for debugging.
#[derive(Clone)]
pub struct SignKey(SigningKey);

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignKey of {:?}", self.public())
    }
}

/// Whether others than those it is for can read the file of a secret: everybody, or a group where the
/// file is this process's own. One that is another's, and that we read by our group or by a list of its,
/// was given to us so: by an orchestrator that mounts secrets, by systemd that hands over credentials.
#[must_use]
pub fn is_open(found: &Metadata) -> bool {
    let ours = own_uid().is_none_or(|own| own == found.uid());
    is_open_to(found.mode(), ours)
}

/// The user that this process acts as. By what the kernel says of it: `/proc/self` itself is root's
/// once the process may not be dumped.
fn own_uid() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

const fn is_open_to(mode: u32, ours: bool) -> bool {
    mode & 0o007 != 0 || (ours && mode & 0o070 != 0)
}

impl SignKey {
    /// A fresh key from the operating system's randomness.
    ///
    /// # Errors
    /// When the system's source of randomness cannot be read.
    pub fn random() -> io::Result<Self> {
        let mut secret = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        Ok(Self::from_secret(secret))
    }

    /// The key with this secret.
    #[must_use]
    pub fn from_secret(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&secret))
    }

    /// Reads a key that nobody else may read.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path).map_err(failed("open", path))?;
        let found = file.metadata().map_err(failed("look at", path))?;
        let mode = found.permissions().mode() & 0o777;
        if is_open(&found) {
            return Err(KeyError::Open { path: path.to_owned(), mode });
        }
        let text = read_text(file, path)?;
        let key = SigningKey::from_pkcs8_pem(&text);
        let what = "private Ed25519 key in PKCS#8 PEM";
        key.map(Self).map_err(|_| KeyError::Malformed { path: path.to_owned(), what })
    }

    /// Writes it to a new file that only its owner may read, durably.
    ///
    /// # Errors
    /// [`KeyError::Io`], also when the file is there already.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        // Without the public half, which older readers of PKCS#8 do not take.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = bytes.to_pkcs8_pem(Default::default());
        let pem = pem.map_err(|error| failed("encode", path)(io::Error::other(error)))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path).map_err(failed("create", path))?;
        file.write_all(pem.as_bytes()).map_err(failed("write", path))?;
        file.sync_all().map_err(failed("sync", path))
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> CheckKey {
        CheckKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// The public key, which checks signatures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckKey(VerifyingKey);

impl CheckKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path).map_err(failed("open", path))?;
        let text = read_text(file, path)?;
        let key = VerifyingKey::from_public_key_pem(&text).ok().filter(|key| !key.is_weak());
        let what = "public Ed25519 key in PEM (`ducat key public` prints it)";
        key.map(Self).ok_or_else(|| KeyError::Malformed { path: path.to_owned(), what })
    }

    /// The key as PEM.
    ///
    /// # Errors
    /// When it cannot be encoded, which no key causes.
    pub fn to_pem(&self) -> io::Result<String> {
        self.0.to_public_key_pem(Default::default()).map_err(io::Error::other)
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Whether this signature of the message is by this key. There is one signature that is,
    /// for each message.
    #[must_use]
    pub fn checks(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

fn read_text(file: File, path: &Path) -> Result<String, KeyError> {
    let mut text = String::new();
    file.take(KEY_BYTES_MAX).read_to_string(&mut text).map_err(failed("read", path))?;
    Ok(text)
}

/// Whether a path lies in a directory, links resolved; a file that is not there counts by the
/// directory it would be in.
#[must_use]
pub fn lies_in(path: &Path, dir: &Path) -> bool {
    let resolve = |path: &Path| {
        fs::canonicalize(path).or_else(|_| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")))?;
            Ok::<_, io::Error>(parent.join(path.file_name().unwrap_or_default()))
        })
    };
    match (resolve(path), resolve(dir)) {
        (Ok(path), Ok(dir)) => path.starts_with(dir),
        _ => path.starts_with(dir),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_open_to_everybody_or_to_a_group_of_its_own_process() {
        assert!(!is_open_to(0o600, true) && !is_open_to(0o400, false));
        assert!(is_open_to(0o440, true) && is_open_to(0o620, true));
        assert!(!is_open_to(0o440, false), "given to us by its group");
        assert!(is_open_to(0o444, false) && is_open_to(0o604, true));
    }
}
