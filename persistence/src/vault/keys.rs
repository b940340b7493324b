//! `KEYS`: the ledger's keys, wrapped. In the data directory, and a copy in each backup.
//!
//! ```text
//! ducat keys
//! version: 1
//! ledger: 3f…
//! key: 1 made 1795737600 wrapped by 9c1e… QUJD…
//! key: 2 …                       the last is current
//! crc32c: …
//! ```
//!
//! It is replaced whole: written beside, synced, renamed. So whatever interrupts a rotation, there
//! is one file, and all keys in it open. A key is never removed: files of years ago may be under it.
//! Each is bound to the ledger, its number and its age, so that none can be put in another's place.

use super::wrapper::{KeyWrapper, WrapError};
use super::{Secret, random_secret};
use crate::files::{Locked, Refused, read_bounded, write_whole};
use crate::ledger_id::LedgerId;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Its name.
pub const KEYS: &str = "KEYS";
/// What it is called until it is whole.
pub const KEYS_NEW: &str = "KEYS.new";
/// Locked while it is replaced.
pub const KEYS_LOCK: &str = "KEYS.lock";

const TITLE: &str = "ducat keys\nversion: 1\n";
/// More than it ever has; what is larger is not read.
const BYTES_MAX: usize = 4 << 20;

/// Why keys cannot be used. Nothing was changed.
#[derive(Debug, Error)]
pub enum VaultError {
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
    /// The system has no randomness.
    #[error("the system's source of randomness failed")]
    Random,
    /// Others may read the file of a master key.
    #[error(
        "{} can be read by others (mode {mode:03o}): whoever has it can read the ledger. Run `chmod \
         600 {}`, and rotate to a new key if somebody may have read it",
        path.display(), path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is no master key where one should be. What is there is not repeated.
    #[error(
        "{from} holds no master key: 32 random bytes in base64 or hexadecimal (`ducat keys generate` makes one)"
    )]
    NoKey {
        /// Where it should be.
        from: String,
    },
    /// The command for the master key failed.
    #[error("the command for the master key failed")]
    Source(#[source] WrapError),
    /// There are no keys of secret fields where they should be. What is there is not repeated.
    #[error(
        "{from} holds no keys of secret fields: one a line, each 32 random bytes in base64 or \
         hexadecimal (`ducat keys generate` makes one), at most {} of them, the newest last",
        super::fields::KEYS_MAX
    )]
    NoFieldKeys {
        /// Where they should be.
        from: String,
    },
    /// A key of secret fields is there twice: which one is the newest?
    #[error("{from} holds the key {name} of secret fields twice")]
    FieldKeyTwice {
        /// Where they are.
        from: String,
        /// The key's name.
        name: String,
    },
    /// The command for the keys of secret fields failed.
    #[error("the command for the keys of secret fields failed")]
    FieldSource(#[source] WrapError),
    /// The ledger is encrypted, and its keys are gone.
    #[error("{} is missing, and without it nothing of the ledger can be read; each backup has a copy", .0.display())]
    Missing(PathBuf),
    /// The file of wrapped keys is not what was written.
    #[error("{} is damaged; each backup has a copy", .0.display())]
    Damaged(PathBuf),
    /// They are another ledger's keys.
    #[error("{} holds the keys of ledger {found}", path.display())]
    OtherLedger {
        /// The file.
        path: PathBuf,
        /// Whose keys they are.
        found: LedgerId,
    },
    /// A key that was there, or under which something lies, is not there any more.
    #[error(
        "{} does not hold ledger key {number} any more, or another one under its number",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// The key's number.
        number: u32,
    },
    /// No master key was given.
    #[error(
        "{} is encrypted, and no master key was given: it wants master key {wanted} \
         (--master-key-file, DUCAT_MASTER_KEY, --master-key-command or --key-service)",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The master keys that wrap its keys.
        wanted: String,
    },
    /// Another master key was given.
    #[error("{} wants master key {wanted}, and {given} was given", path.display())]
    WrongMaster {
        /// The file of wrapped keys.
        path: PathBuf,
        /// The master key that wraps a key of it.
        wanted: String,
        /// The one that was given.
        given: String,
    },
    /// A ledger key could not be unwrapped or wrapped.
    #[error("ledger key {number} of {} could not be {done}", path.display())]
    Wrap {
        /// The file of wrapped keys.
        path: PathBuf,
        /// Which key.
        number: u32,
        /// What was tried.
        done: &'static str,
        /// Why not.
        source: WrapError,
    },
    /// The name of the master key could not be found out.
    #[error("the key service did not say which key it wraps with")]
    Nameless(#[source] WrapError),
    /// Another process is replacing the keys.
    #[error("another process is changing {}", .0.display())]
    InUse(PathBuf),
    /// Nothing in the directory is encrypted.
    #[error("{} is not encrypted: it has no keys", .0.display())]
    Plain(PathBuf),
}

impl From<Refused> for VaultError {
    fn from(Refused { verb, path, source }: Refused) -> Self {
        Self::Io { verb, path, source }
    }
}

/// One ledger key, wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its number, from 1; files name it.
    pub number: u32,
    /// When it was made, seconds since 1970, by the clock of who made it.
    pub made_s: u64,
    /// The master key that wraps it.
    pub master: String,
    wrapped: Vec<u8>,
}

impl KeyEntry {
    /// What the wrapped key is bound to.
    fn context(&self, ledger: LedgerId) -> Vec<u8> {
        let mut context = b"ducat ledger key v1".to_vec();
        context.extend_from_slice(&ledger.to_bytes());
        context.extend_from_slice(&self.number.to_le_bytes());
        context.extend_from_slice(&self.made_s.to_le_bytes());
        context
    }
}

/// All keys of a ledger, wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysFile {
    /// Whose they are.
    pub ledger: LedgerId,
    /// The keys, the current one last. Never empty.
    pub entries: Vec<KeyEntry>,
}

impl KeysFile {
    /// The first key of a ledger.
    ///
    /// # Errors
    /// [`VaultError`] when it cannot be drawn or wrapped.
    pub fn begin(
        ledger: LedgerId,
        now_s: u64,
        path: &Path,
        by: &dyn KeyWrapper,
    ) -> Result<Self, VaultError> {
        let mut file = Self { ledger, entries: Vec::new() };
        file.add(now_s, path, by)?;
        Ok(file)
    }

    /// Adds a fresh key, under which everything is written from then on.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn add(&mut self, now_s: u64, path: &Path, by: &dyn KeyWrapper) -> Result<(), VaultError> {
        let number = self.entries.last().map_or(1, |last| last.number + 1);
        let entry = KeyEntry { number, made_s: now_s, master: String::new(), wrapped: Vec::new() };
        let wrapped = self.wrap(entry, &random_secret()?, path, by)?;
        self.entries.push(wrapped);
        Ok(())
    }

    fn wrap(
        &self,
        mut entry: KeyEntry,
        secret: &Secret,
        path: &Path,
        by: &dyn KeyWrapper,
    ) -> Result<KeyEntry, VaultError> {
        entry.master = by.id().map_err(VaultError::Nameless)?;
        let wrapped = by.wrap(secret, &entry.context(self.ledger));
        entry.wrapped = wrapped.map_err(|source| {
            let (path, number) = (path.to_owned(), entry.number);
            VaultError::Wrap { path, number, done: "wrapped", source }
        })?;
        self.try_out(&entry, secret, path, by)?;
        Ok(entry)
    }

    /// Unwraps what was just wrapped: a wrapper that wraps and then does not give the key back would
    /// lock the ledger for good.
    fn try_out(
        &self,
        entry: &KeyEntry,
        secret: &Secret,
        path: &Path,
        by: &dyn KeyWrapper,
    ) -> Result<(), VaultError> {
        let again = self.unwrap(entry, path, by)?;
        verify_slices_are_equal(&*again, &**secret).map_err(|_| {
            let (path, number) = (path.to_owned(), entry.number);
            VaultError::Wrap { path, number, done: "wrapped", source: WrapError::Unlike }
        })
    }

    /// The secret of a key.
    ///
    /// # Errors
    /// [`VaultError::WrongMaster`], [`VaultError::Wrap`].
    pub(super) fn unwrap(
        &self,
        entry: &KeyEntry,
        path: &Path,
        by: &dyn KeyWrapper,
    ) -> Result<Secret, VaultError> {
        by.unwrap(&entry.master, &entry.wrapped, &entry.context(self.ledger)).map_err(|source| {
            let (path, wanted) = (path.to_owned(), entry.master.clone());
            match source {
                WrapError::Other { given } => VaultError::WrongMaster { path, wanted, given },
                source => {
                    VaultError::Wrap { path, number: entry.number, done: "unwrapped", source }
                }
            }
        })
    }

    /// Wraps all keys anew, and says how many.
    ///
    /// # Errors
    /// [`VaultError`]; nothing is changed then.
    pub fn rewrap(
        &mut self,
        path: &Path,
        old: &dyn KeyWrapper,
        new: &dyn KeyWrapper,
    ) -> Result<usize, VaultError> {
        let wrapped = self.entries.iter().map(|entry| {
            let secret = self.unwrap(entry, path, old)?;
            self.wrap(entry.clone(), &secret, path, new)
        });
        self.entries = wrapped.collect::<Result<_, _>>()?;
        Ok(self.entries.len())
    }

    /// The first of these keys that is not among the others, which may be wrapped anew and more.
    pub(crate) fn not_in(&self, others: &Self) -> Option<u32> {
        let is_among = |entry: &&KeyEntry| {
            let same =
                |other: &KeyEntry| (other.number, other.made_s) == (entry.number, entry.made_s);
            self.ledger == others.ledger && others.entries.iter().any(same)
        };
        self.entries.iter().find(|entry| !is_among(entry)).map(|entry| entry.number)
    }

    /// The names of the master keys that wrap them.
    #[must_use]
    pub fn masters(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.iter().map(|entry| entry.master.as_str()).collect();
        names.dedup();
        names
    }

    fn text(&self) -> String {
        let mut text = format!("{TITLE}ledger: {}\n", self.ledger);
        for KeyEntry { number, made_s, master, wrapped } in &self.entries {
            let wrapped = BASE64_STANDARD.encode(wrapped);
            writeln!(text, "key: {number} made {made_s} wrapped by {master} {wrapped}")
                .expect("writing to a string does not fail");
        }
        let crc = crc32c::crc32c(text.as_bytes());
        writeln!(text, "crc32c: {crc:08x}").expect("writing to a string does not fail");
        text
    }

    /// Accepts only what [`Self::text`] writes: byte for byte.
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(TITLE)?.strip_prefix("ledger: ")?;
        let (ledger, rest) = rest.split_once('\n')?;
        let ledger = LedgerId::from_bytes(u128::from_str_radix(ledger, 16).ok()?.to_be_bytes());
        let lines = rest.lines().take_while(|line| line.starts_with("key: "));
        let entries: Option<Vec<KeyEntry>> = lines.map(parse_entry).collect();
        let file = Self { ledger, entries: entries.filter(|entries| !entries.is_empty())? };
        let rises = file.entries.iter().zip(1..).all(|(entry, number)| entry.number == number);
        (rises && file.text() == text).then_some(file)
    }

    /// The file in a directory; `None` when it is not there.
    ///
    /// # Errors
    /// [`VaultError::Damaged`], [`VaultError::Io`].
    pub fn read(dir: &Path) -> Result<Option<Self>, VaultError> {
        let path = dir.join(KEYS);
        let Some(bytes) = read_bounded(&path, BYTES_MAX)? else { return Ok(None) };
        let parsed = String::from_utf8(bytes).ok().and_then(|text| Self::parse(&text));
        parsed.map(Some).ok_or(VaultError::Damaged(path))
    }

    /// Replaces the file in a directory, durably.
    ///
    /// # Errors
    /// [`VaultError::Io`]; the file is then as it was.
    pub fn write(&self, dir: &Path) -> Result<(), VaultError> {
        let text = self.text();
        Ok(write_whole(&dir.join(KEYS_NEW), &dir.join(KEYS), text.as_bytes())?)
    }
}

fn parse_entry(line: &str) -> Option<KeyEntry> {
    let mut words = line.strip_prefix("key: ")?.split(' ');
    let mut next = || words.next();
    let number = next()?.parse().ok()?;
    let made_s = (next()? == "made").then(&mut next)??.parse().ok()?;
    let by = next()? == "wrapped" && next()? == "by";
    let master = by.then(&mut next)??.to_owned();
    let wrapped = BASE64_STANDARD.decode(next()?).ok()?;
    Some(KeyEntry { number, made_s, master, wrapped })
}

/// Keeps others from replacing the keys of a directory meanwhile.
#[derive(Debug)]
pub struct KeysLock {
    _lock: Locked,
}

impl KeysLock {
    /// Takes it.
    ///
    /// # Errors
    /// [`VaultError::InUse`], [`VaultError::Io`].
    pub fn take(dir: &Path) -> Result<Self, VaultError> {
        let path = dir.join(KEYS_LOCK);
        let failed = |source| VaultError::Io { verb: "lock", path: path.clone(), source };
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(failed)?;
        match Locked::alone(file) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(std::fs::TryLockError::WouldBlock) => Err(VaultError::InUse(dir.join(KEYS))),
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, MasterKey, Vault};
    use super::*;

    const LEDGER: LedgerId = LedgerId::from_bytes([5; 16]);

    fn master() -> MasterKey {
        MasterKey::random().expect("random")
    }

    fn opens(file: &KeysFile, by: &MasterKey) -> Result<Vault, VaultError> {
        Vault::unlock(file, Path::new("KEYS"), by)
    }

    #[test]
    fn keys_are_kept_and_rotated() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (path, old, new) = (dir.path().join(KEYS), master(), master());
        assert_eq!(KeysFile::read(dir.path()).expect("nothing"), None);
        let mut file = KeysFile::begin(LEDGER, 7, &path, &old).expect("made");
        file.write(dir.path()).expect("writes");
        assert_eq!(KeysFile::read(dir.path()).expect("reads"), Some(file.clone()));
        let vault = opens(&file, &old).expect("opens");
        let stamp = vault.fresh(Kind::Snapshot).expect("a key").stamp();
        let error = opens(&file, &new).expect_err("another master key").to_string();
        assert!(error.contains(old.name()) && error.contains(new.name()), "{error}");
        assert_eq!(file.rewrap(&path, &old, &new).expect("wraps anew"), 1);
        file.add(8, &path, &new).expect("adds");
        file.write(dir.path()).expect("writes");
        let file = KeysFile::read(dir.path()).expect("reads").expect("there");
        assert_eq!(file.masters(), [new.name()]);
        opens(&file, &old).expect_err("wrapped by another now");
        vault.reload(&file, &path, &new).expect("reloads");
        assert_eq!(vault.current(), 2);
        let again = opens(&file, &new).expect("opens");
        assert!(again.key(Kind::Snapshot, stamp).is_some(), "what is under the first key");
        let shorter = KeysFile { entries: file.entries[..1].to_vec(), ..file };
        let lost = vault.reload(&shorter, &path, &new).expect_err("a key is gone");
        assert!(matches!(lost, VaultError::Lost { number: 2, .. }));
    }

    /// `KEYS` out of an old backup, rotated in the same second: another key of the same number.
    #[test]
    fn another_key_under_the_same_number_is_a_lost_one() {
        let (path, by) = (Path::new("KEYS"), master());
        let before = KeysFile::begin(LEDGER, 7, path, &by).expect("made");
        let (mut one, mut other) = (before.clone(), before);
        one.add(8, path, &by).expect("adds");
        other.add(8, path, &by).expect("adds");
        let vault = opens(&one, &by).expect("opens");
        let stamp = vault.fresh(Kind::Journal).expect("a key").stamp();
        other.add(9, path, &by).expect("adds");
        let lost = vault.reload(&other, path, &by).expect_err("another key");
        assert!(matches!(lost, VaultError::Lost { number: 2, .. }), "{lost}");
        assert_eq!((vault.current(), stamp.generation), (2, 2), "everything stays");
        assert!(vault.key(Kind::Journal, stamp).is_some());
        one.rewrap(path, &by, &by).expect("wraps anew");
        one.add(9, path, &by).expect("adds");
        vault.reload(&one, path, &by).expect("the same keys, wrapped anew, and one more");
        assert_eq!(vault.current(), 3);
    }

    /// Wraps as a master key does, and gives something else back.
    #[derive(Debug)]
    struct Forgetful(MasterKey);

    impl KeyWrapper for Forgetful {
        fn id(&self) -> Result<String, WrapError> {
            self.0.id()
        }

        fn wrap(&self, secret: &Secret, context: &[u8]) -> Result<Vec<u8>, WrapError> {
            self.0.wrap(secret, context)
        }

        fn unwrap(&self, id: &str, wrapped: &[u8], context: &[u8]) -> Result<Secret, WrapError> {
            let mut secret = self.0.unwrap(id, wrapped, context)?;
            secret[31] ^= 1;
            Ok(secret)
        }
    }

    #[test]
    fn what_does_not_unwrap_again_is_not_taken() {
        let (path, by, bad) = (Path::new("KEYS"), master(), Forgetful(master()));
        let unlike = |result: Result<(), VaultError>| {
            let error = result.expect_err("it gives another key back");
            assert!(
                matches!(error, VaultError::Wrap { source: WrapError::Unlike, .. }),
                "{error:?}"
            );
        };
        unlike(KeysFile::begin(LEDGER, 7, path, &bad).map(drop));
        let mut file = KeysFile::begin(LEDGER, 7, path, &by).expect("made");
        let before = file.clone();
        unlike(file.add(8, path, &bad));
        unlike(file.rewrap(path, &by, &bad).map(drop));
        assert_eq!(file, before);
    }

    #[test]
    fn a_key_in_anothers_place_does_not_open() {
        let by = master();
        let mut file = KeysFile::begin(LEDGER, 7, Path::new("KEYS"), &by).expect("made");
        file.add(9, Path::new("KEYS"), &by).expect("adds");
        let mut swapped = file.clone();
        swapped.entries.swap(0, 1);
        (swapped.entries[0].number, swapped.entries[1].number) = (1, 2);
        opens(&swapped, &by).expect_err("they are each other's");
        let stolen = KeysFile { ledger: LedgerId::from_bytes([6; 16]), ..file.clone() };
        opens(&stolen, &by).expect_err("another ledger's");
        file.entries[0].made_s = 8;
        opens(&file, &by).expect_err("older than it is");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let text = KeysFile::begin(LEDGER, 7, Path::new("KEYS"), &master()).expect("made").text();
        assert!(KeysFile::parse(&text).is_some());
        for bit in 0..text.len() * 8 {
            let mut bad = text.clone().into_bytes();
            bad[bit / 8] ^= 1 << (bit % 8);
            let parsed = String::from_utf8(bad).ok().and_then(|bad| KeysFile::parse(&bad));
            assert_eq!(parsed, None, "bit {bit}");
        }
        for length in 0..text.len() {
            assert_eq!(KeysFile::parse(&text[..length]), None);
        }
    }

    #[test]
    fn one_process_at_a_time_replaces_them() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let held = KeysLock::take(dir.path()).expect("free");
        assert!(matches!(KeysLock::take(dir.path()), Err(VaultError::InUse(_))));
        drop(held);
        KeysLock::take(dir.path()).expect("free again");
    }
}
