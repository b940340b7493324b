//! The data directory: one ledger's files, and the lock that keeps them one
//! process's business.
//!
//! ```text
//! DIR/FORMAT                        what this is, which version, whose ledger; written last
//! DIR/LOCK                          locked by whoever works on the directory
//! DIR/shard-0/mark                  the high-water mark
//! DIR/shard-0/journal/<first LSN>/  one sled database per segment
//! DIR/shard-0/snapshots/<LSN>.snap  the state at an LSN
//! DIR/shard-0/archive/              the journal's oldest part, or a link to where it is
//! DIR/shard-0/tree                  hashes to go on signing checkpoints with
//! DIR/KEYS                          the keys of an encrypted ledger, wrapped
//! DIR/RESTORING                     only while a ledger is being made from another's events
//! ```
//!
//! `FORMAT` is renamed into place when everything else is durable, so a directory
//! with it is complete, and one without it was never used. It says whether the ledger is encrypted:
//! one that is opens with its master key alone, and one that is not becomes encrypted by the first
//! opening with a key. What was written before stays as it is until it is written again.

use crate::chain::ChainPoint;
use crate::files::sync_dir;
use crate::frame::genesis_hash;
use crate::ledger_id::LedgerId;
use crate::mark::{Mark, MarkError, MarkFile};
use crate::origin::Origin;
use crate::vault::keys::{KEYS, KEYS_LOCK, KEYS_NEW, KeysLock};
use crate::vault::{KeyWrapper, KeysFile, Vault, VaultError};
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use thiserror::Error;

/// The layout's version.
pub const LAYOUT_VERSION: u32 = 1;
/// That of an encrypted ledger, which older builds cannot read.
pub const ENCRYPTED_LAYOUT_VERSION: u32 = 2;
/// Shards of a ledger, fixed when it is created.
pub const SHARDS: u32 = 1;

const TITLE: &str = "ducat data directory";
const FORMAT: &str = "FORMAT";
const FORMAT_NEW: &str = "FORMAT.new";
const LOCK: &str = "LOCK";
/// Lies in a directory that is being filled: without `FORMAT`, nothing accepts it.
const RESTORING: &str = "RESTORING";
/// The line of an encrypted ledger.
const ENCRYPTED: &str = "encryption: aes-256-gcm\n";
/// More than `FORMAT` ever has; what is larger is not read.
const FORMAT_BYTES_MAX: u64 = 4096;

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// There is something else in the directory.
    #[error("{} is not empty and is not a data directory of Ducat ({found} is there)", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One thing found in it.
        found: String,
    },
    /// There is no ledger.
    #[error("there is no data directory at {}", .0.display())]
    NotFound(PathBuf),
    /// Somebody else works on it.
    #[error("{} is in use by another process{}; a running server holds it until it stops", path.display(), holder(*pid))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds the lock, if known.
        pid: Option<u32>,
    },
    /// `FORMAT` is damaged, missing, or of another version.
    #[error("{} {what}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as a verb phrase.
        what: String,
    },
    /// The archive lies in another place than the one asked for.
    #[error(
        "the archive {} lies in {}, not in {}; move its files there and make it a link, or leave \
         --archive-dir out",
        path.display(), now.display(), wanted.display()
    )]
    ArchiveElsewhere {
        /// Its name in the data directory.
        path: PathBuf,
        /// Where it is.
        now: PathBuf,
        /// Where it was wanted.
        wanted: PathBuf,
    },
    /// The keys of an encrypted ledger, or the master key that was given, are of no use.
    #[error(transparent)]
    Keys(#[from] VaultError),
    /// The mark could not be created.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The operating system refused.
    #[error("could not {verb} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

fn failed<'p>(verb: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> DataDirError + 'p {
    move |source| DataDirError::Io { verb, path: path.to_owned(), source }
}

/// A ledger's directory, locked as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    ledger: LedgerId,
    origins: Vec<Origin>,
    vault: Option<Vault>,
    _lock: File,
}

/// A shared hold on a directory: keeps servers from starting on it. Writes nothing.
#[derive(Debug)]
pub struct Held {
    /// None when there is no lock file, as in a copy.
    _lock: Option<File>,
}

impl Held {
    /// Holds the directory, unless a process works on it.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn try_shared(root: &Path) -> Result<Option<Self>, DataDirError> {
        let path = root.join(LOCK);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Self { _lock: None }));
            }
            other => other.map_err(failed("open", &path))?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { _lock: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }
}

impl DataDir {
    /// Opens the ledger at `root`, or creates one in a missing or empty directory, not encrypted.
    ///
    /// # Errors
    /// [`DataDirError`]: in use, something else's, damaged, encrypted.
    pub fn create_or_open(root: &Path) -> Result<Self, DataDirError> {
        Self::create_or_open_with(root, None)
    }

    /// The same with a master key: a new ledger is encrypted, one that is not becomes so, one that
    /// is opens.
    ///
    /// # Errors
    /// As [`Self::create_or_open`]; [`DataDirError::Keys`] when it is another's master key.
    pub fn create_or_open_with(
        root: &Path,
        by: Option<&dyn KeyWrapper>,
    ) -> Result<Self, DataDirError> {
        fs::create_dir_all(root).map_err(failed("create", root))?;
        if let Some(parent) = root.canonicalize().map_err(failed("find", root))?.parent() {
            sync_dir(parent).map_err(failed("sync", parent))?;
        }
        if root.join(FORMAT).exists() {
            return Self::open_existing_with(root, by);
        }
        refuse_foreign(root)?;
        let lock = take_lock(root)?;
        if root.join(FORMAT).exists() {
            // Somebody else created it between the two looks.
            drop(lock);
            return Self::open_existing_with(root, by);
        }
        let ledger = LedgerId::random().map_err(failed("draw an id for", root))?;
        create_shards(root, ledger)?;
        let vault = by.map(|by| begin_keys(root, ledger, by)).transpose()?;
        write_format(root, &Format { ledger, origins: Vec::new(), encrypted: vault.is_some() })?;
        Ok(Self { root: root.to_owned(), ledger, origins: Vec::new(), vault, _lock: lock })
    }

    /// Opens the ledger at `root`, which is not encrypted; creates nothing but the lock.
    ///
    /// # Errors
    /// [`DataDirError`]; [`DataDirError::NotFound`] when there is none.
    pub fn open_existing(root: &Path) -> Result<Self, DataDirError> {
        Self::open_existing_with(root, None)
    }

    /// The same with a master key, by which a ledger that is not encrypted becomes so.
    ///
    /// # Errors
    /// As [`Self::open_existing`]; [`DataDirError::Keys`] when it is another's master key, and then
    /// nothing has changed.
    pub fn open_existing_with(
        root: &Path,
        by: Option<&dyn KeyWrapper>,
    ) -> Result<Self, DataDirError> {
        let format = root.join(FORMAT);
        if !format.exists() {
            refuse_foreign(root)?;
            return Err(DataDirError::NotFound(root.to_owned()));
        }
        let lock = take_lock(root)?;
        let found = read_format(&format)?;
        let vault = match by {
            Some(by) if !found.encrypted => {
                let vault = begin_keys(root, found.ledger, by)?;
                write_format(root, &Format { encrypted: true, ..found.clone() })?;
                tracing::info!(dir = %root.display(), "encrypted from now on");
                Some(vault)
            }
            by => unlock(root, &found, by)?,
        };
        let Format { ledger, origins, .. } = found;
        let left = root.join(RESTORING);
        if left.exists() {
            // Complete: only the last step of making it was interrupted.
            fs::remove_file(&left).map_err(failed("remove", &left))?;
        }
        Ok(Self { root: root.to_owned(), ledger, origins, vault, _lock: lock })
    }

    /// Begins a ledger with a new id in a missing or empty directory, to be filled with
    /// another's events. Until [`Self::complete`] nothing accepts it as a ledger.
    ///
    /// # Errors
    /// [`DataDirError::Foreign`] when anything is there.
    pub fn begin(root: &Path) -> Result<Self, DataDirError> {
        Self::begin_with(root, None)
    }

    /// The same with a master key: the ledger will be encrypted.
    ///
    /// # Errors
    /// As [`Self::begin`]; [`DataDirError::Keys`].
    pub fn begin_with(root: &Path, by: Option<&dyn KeyWrapper>) -> Result<Self, DataDirError> {
        fs::create_dir_all(root).map_err(failed("create", root))?;
        if let Some(entry) = fs::read_dir(root).map_err(failed("list", root))?.next() {
            let name = entry.map_err(failed("list", root))?.file_name();
            let found = name.to_string_lossy().into_owned();
            return Err(DataDirError::Foreign { path: root.to_owned(), found });
        }
        let path = root.join(RESTORING);
        File::create_new(&path)
            .and_then(|file| file.sync_all())
            .map_err(failed("create", &path))?;
        sync_dir(root).map_err(failed("sync", root))?;
        if let Some(parent) = root.canonicalize().map_err(failed("find", root))?.parent() {
            sync_dir(parent).map_err(failed("sync", parent))?;
        }
        let lock = take_lock(root)?;
        let ledger = LedgerId::random().map_err(failed("draw an id for", root))?;
        create_shards(root, ledger)?;
        let vault = by.map(|by| begin_keys(root, ledger, by)).transpose()?;
        Ok(Self { root: root.to_owned(), ledger, origins: Vec::new(), vault, _lock: lock })
    }

    /// Makes a directory that was [begun](Self::begin) a ledger, durably, with this descent.
    ///
    /// # Errors
    /// [`DataDirError::Io`]; then it is none.
    pub fn complete(&self, origins: &[Origin]) -> Result<(), DataDirError> {
        let (ledger, origins) = (self.ledger, origins.to_vec());
        write_format(&self.root, &Format { ledger, origins, encrypted: self.vault.is_some() })?;
        let left = self.root.join(RESTORING);
        fs::remove_file(&left).map_err(failed("remove", &left))?;
        sync_dir(&self.root).map_err(failed("sync", &self.root))
    }

    /// Whose ledger a directory holds and where that comes from. Takes no lock and writes
    /// nothing.
    ///
    /// # Errors
    /// As [`Self::open_existing`].
    pub fn peek(root: &Path) -> Result<(LedgerId, Vec<Origin>), DataDirError> {
        find_format(root).map(|format| (format.ledger, format.origins))
    }

    /// Whether the ledger at a directory is encrypted. Takes no lock and writes nothing.
    ///
    /// # Errors
    /// As [`Self::peek`].
    pub fn is_encrypted(root: &Path) -> Result<bool, DataDirError> {
        find_format(root).map(|format| format.encrypted)
    }

    /// The keys of the ledger at a directory, to read it; `None` when it is not encrypted, whatever
    /// is given. Takes no lock and writes nothing.
    ///
    /// # Errors
    /// As [`Self::peek`]; [`DataDirError::Keys`] without its master key.
    pub fn unlock(root: &Path, by: Option<&dyn KeyWrapper>) -> Result<Option<Vault>, DataDirError> {
        unlock(root, &find_format(root)?, by)
    }

    /// The keys, if the ledger is encrypted.
    #[must_use]
    pub const fn vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Where the ledger comes from, the oldest first; empty for one that was begun empty.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The mark file of a shard of the directory `root`.
    #[must_use]
    pub fn mark_path_in(root: &Path, shard: ShardId) -> PathBuf {
        shard_dir(root, shard).join("mark")
    }

    /// The directory of segments of a shard of the directory `root`.
    #[must_use]
    pub fn journal_dir_in(root: &Path, shard: ShardId) -> PathBuf {
        shard_dir(root, shard).join("journal")
    }

    /// The file of a shard's tree over statements, in the directory `root`.
    #[must_use]
    pub fn tree_path_in(root: &Path, shard: ShardId) -> PathBuf {
        shard_dir(root, shard).join("tree")
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whose ledger this is.
    #[must_use]
    pub const fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// A shard's directory.
    #[must_use]
    pub fn shard_dir(&self, shard: ShardId) -> PathBuf {
        shard_dir(&self.root, shard)
    }

    /// A shard's mark file.
    #[must_use]
    pub fn mark_path(&self, shard: ShardId) -> PathBuf {
        self.shard_dir(shard).join("mark")
    }

    /// The directory of a shard's segments.
    #[must_use]
    pub fn journal_dir(&self, shard: ShardId) -> PathBuf {
        self.shard_dir(shard).join("journal")
    }

    /// The directory of a shard's archive; made with its first file. May be a link to a
    /// directory on another disk.
    #[must_use]
    pub fn archive_dir(&self, shard: ShardId) -> PathBuf {
        archive_dir(&self.root, shard)
    }

    /// Makes the directory of a shard's archive a link to `target`, which is created when it is
    /// not there. Nothing changes when it is one already.
    ///
    /// # Errors
    /// [`DataDirError::ArchiveElsewhere`] when it is something else; [`DataDirError::Io`].
    pub fn link_archive(&self, shard: ShardId, target: &Path) -> Result<(), DataDirError> {
        fs::create_dir_all(target).map_err(failed("create", target))?;
        let target = target.canonicalize().map_err(failed("find", target))?;
        let link = self.archive_dir(shard);
        let there = link.symlink_metadata().is_ok();
        if there {
            let now = link.canonicalize().unwrap_or_else(|_| link.clone());
            if now == target {
                return Ok(());
            }
            return Err(DataDirError::ArchiveElsewhere { path: link, now, wanted: target });
        }
        std::os::unix::fs::symlink(&target, &link).map_err(failed("link", &link))?;
        let dir = self.shard_dir(shard);
        sync_dir(&dir).map_err(failed("sync", &dir))
    }

    /// The directory of a shard's snapshots; made with the first of them.
    #[must_use]
    pub fn snapshots_dir(&self, shard: ShardId) -> PathBuf {
        snapshots_dir(&self.root, shard)
    }
}

fn shard_dir(root: &Path, shard: ShardId) -> PathBuf {
    root.join(format!("shard-{}", shard.0))
}

/// The directory of the snapshots of a shard of the ledger at `root`.
pub(crate) fn snapshots_dir(root: &Path, shard: ShardId) -> PathBuf {
    shard_dir(root, shard).join("snapshots")
}

/// The directory of the archive of a shard of the ledger at `root`.
pub(crate) fn archive_dir(root: &Path, shard: ShardId) -> PathBuf {
    shard_dir(root, shard).join("archive")
}

/// Without `FORMAT`, only what an interrupted creation leaves behind may be there.
fn refuse_foreign(root: &Path) -> Result<(), DataDirError> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DataDirError::NotFound(root.to_owned()));
        }
        other => other.map_err(failed("list", root))?,
    };
    for entry in entries {
        let name = entry.map_err(failed("list", root))?.file_name();
        let name = name.to_string_lossy();
        if name == RESTORING {
            let what = "says that a restore or fork into this directory was not finished; remove \
                        the directory and begin again"
                .to_owned();
            return Err(DataDirError::Format { path: root.join(RESTORING), what });
        }
        if !matches!(&*name, LOCK | FORMAT_NEW | KEYS | KEYS_NEW | KEYS_LOCK | "shard-0") {
            let (path, found) = (root.to_owned(), name.into_owned());
            return Err(DataDirError::Foreign { path, found });
        }
    }
    let shard = shard_dir(root, ShardId(0));
    let used = Mark::read(&shard.join("mark")).is_ok_and(|mark| mark.epoch > Epoch(0));
    let has_segments =
        fs::read_dir(shard.join("journal")).is_ok_and(|mut entries| entries.next().is_some());
    let archive = archive_dir(root, ShardId(0));
    let has_archive = archive.symlink_metadata().is_ok()
        && fs::read_dir(&archive).map_or(true, |mut entries| entries.next().is_some());
    if used || has_segments || has_archive {
        let part = if used || has_segments { "journal" } else { "archive" };
        let what = format!("is missing, but a ledger's {part} is there; restore the file");
        return Err(DataDirError::Format { path: root.join(FORMAT), what });
    }
    Ok(())
}

fn take_lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.take(32).read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(DataDirError::InUse { path: root.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    }
    // Only for the other process's message: nothing depends on it.
    let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(failed("write", &path))?;
    Ok(file)
}

fn create_shards(root: &Path, ledger: LedgerId) -> Result<(), DataDirError> {
    for number in 0..SHARDS {
        let shard = ShardId(number);
        let dir = shard_dir(root, shard);
        let journal = dir.join("journal");
        fs::create_dir_all(&journal).map_err(failed("create", &journal))?;
        let start = ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(ledger, shard) };
        MarkFile::create(
            &dir.join("mark"),
            &Mark { ledger, epoch: Epoch(0), durable: start, base: start },
        )?;
        sync_dir(&journal).map_err(failed("sync", &journal))?;
        sync_dir(&dir).map_err(failed("sync", &dir))?;
    }
    Ok(())
}

/// What `FORMAT` says.
#[derive(Debug, Clone)]
struct Format {
    ledger: LedgerId,
    origins: Vec<Origin>,
    encrypted: bool,
}

fn find_format(root: &Path) -> Result<Format, DataDirError> {
    let format = root.join(FORMAT);
    if !format.exists() {
        refuse_foreign(root)?;
        return Err(DataDirError::NotFound(root.to_owned()));
    }
    read_format(&format)
}

/// The keys of a ledger, which its `FORMAT` says it has.
fn unlock(
    root: &Path,
    format: &Format,
    by: Option<&dyn KeyWrapper>,
) -> Result<Option<Vault>, DataDirError> {
    if !format.encrypted {
        return Ok(None);
    }
    let keys = KeysFile::read(root)?.ok_or_else(|| VaultError::Missing(root.join(KEYS)))?;
    let Some(by) = by else {
        let (path, wanted) = (root.to_owned(), keys.masters().join(", "));
        return Err(VaultError::Locked { path, wanted }.into());
    };
    unlock_file(root, &keys, format.ledger, by).map(Some)
}

fn unlock_file(
    root: &Path,
    keys: &KeysFile,
    ledger: LedgerId,
    by: &dyn KeyWrapper,
) -> Result<Vault, DataDirError> {
    let path = root.join(KEYS);
    if keys.ledger != ledger {
        return Err(VaultError::OtherLedger { path, found: keys.ledger }.into());
    }
    Ok(Vault::unlock(keys, &path, by)?)
}

/// Gives a ledger its first key, durably, before anything is written under it. One that an
/// interruption left there is taken.
fn begin_keys(root: &Path, ledger: LedgerId, by: &dyn KeyWrapper) -> Result<Vault, DataDirError> {
    let _lock = KeysLock::take(root)?;
    let path = root.join(KEYS);
    match KeysFile::read(root)? {
        Some(keys) if keys.ledger == ledger => unlock_file(root, &keys, ledger, by),
        // Of a creation that was interrupted before it had its `FORMAT`: nothing is under it.
        _ => {
            let keys = KeysFile::begin(ledger, now_s(), &path, by)?;
            keys.write(root)?;
            unlock_file(root, &keys, ledger, by)
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn write_format(root: &Path, format: &Format) -> Result<(), DataDirError> {
    let path = root.join(FORMAT_NEW);
    let mut file = File::create(&path).map_err(failed("create", &path))?;
    file.write_all(format_text(format).as_bytes()).map_err(failed("write", &path))?;
    file.sync_all().map_err(failed("sync", &path))?;
    fs::rename(&path, root.join(FORMAT)).map_err(failed("rename", &path))?;
    sync_dir(root).map_err(failed("sync", root))
}

fn format_text(format: &Format) -> String {
    let Format { ledger, origins, encrypted } = format;
    let version = if *encrypted { ENCRYPTED_LAYOUT_VERSION } else { LAYOUT_VERSION };
    let mut text = format!("{TITLE}\nversion: {version}\nledger: {ledger}\nshards: {SHARDS}\n");
    if *encrypted {
        text.push_str(ENCRYPTED);
    }
    for origin in origins {
        writeln!(text, "origin: {origin}").expect("writing to a string does not fail");
    }
    let crc = crc32c::crc32c(text.as_bytes());
    writeln!(text, "crc32c: {crc:08x}").expect("writing to a string does not fail");
    text
}

/// Accepts only what [`format_text`] writes: byte for byte.
fn read_format(path: &Path) -> Result<Format, DataDirError> {
    let wrong = |what: &str| DataDirError::Format { path: path.to_owned(), what: what.to_owned() };
    let file = File::open(path).map_err(failed("open", path))?;
    let mut bytes = Vec::new();
    file.take(FORMAT_BYTES_MAX).read_to_end(&mut bytes).map_err(failed("read", path))?;
    let root = path.parent().unwrap_or(path).display();
    let damaged = || wrong(&format!("is damaged; restore it from a copy of {root}"));
    let text = String::from_utf8(bytes).map_err(|_| damaged())?;
    let body = text.rfind("crc32c: ").ok_or_else(damaged)?;
    let crc = format!("crc32c: {:08x}\n", crc32c::crc32c(&text.as_bytes()[..body]));
    if text[body..] != crc || !text.starts_with(TITLE) {
        return Err(damaged());
    }
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .ok_or_else(damaged)
    };
    let version = field("version")?;
    let encrypted = version == ENCRYPTED_LAYOUT_VERSION.to_string();
    if !encrypted && version != LAYOUT_VERSION.to_string() {
        return Err(wrong("was written by another version of Ducat"));
    }
    if field("shards")? != SHARDS.to_string() {
        return Err(wrong("names a number of shards this build does not know"));
    }
    let ledger = u128::from_str_radix(field("ledger")?, 16).map_err(|_| damaged())?;
    let ledger = LedgerId::from_bytes(ledger.to_be_bytes());
    let lines = text.lines().filter_map(|line| line.strip_prefix("origin: "));
    let origins: Result<Vec<Origin>, ()> = lines.map(str::parse).collect();
    let origins = origins.map_err(|()| damaged())?;
    let format = Format { ledger, origins, encrypted };
    if format_text(&format) != text {
        return Err(damaged());
    }
    Ok(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_ledger() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().join("data");
        let made = DataDir::create_or_open(&root).expect("creates");
        let ledger = made.ledger();
        drop(made);
        assert_eq!(DataDir::create_or_open(&root).expect("opens").ledger(), ledger);
        assert_eq!(DataDir::open_existing(&root).expect("opens").ledger(), ledger);
    }

    #[test]
    fn a_second_user_is_told_who_holds_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let _held = DataDir::create_or_open(dir.path()).expect("creates");
        let error = DataDir::open_existing(dir.path()).expect_err("it is held");
        let own = std::process::id();
        assert!(matches!(error, DataDirError::InUse { pid: Some(pid), .. } if pid == own));
    }

    #[test]
    fn foreign_directories_are_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("letters.txt"), "dear").expect("writes");
        let error = DataDir::create_or_open(dir.path()).expect_err("not ours");
        assert!(matches!(error, DataDirError::Foreign { .. }), "{error}");
        assert!(!dir.path().join(LOCK).exists());
        let nothing = dir.path().join("nothing");
        assert!(matches!(DataDir::open_existing(&nothing), Err(DataDirError::NotFound(_))));
    }

    #[test]
    fn an_interrupted_creation_is_completed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path().join("shard-0/journal")).expect("creates");
        fs::write(dir.path().join("FORMAT.new"), "ducat").expect("writes");
        DataDir::create_or_open(dir.path()).expect("nothing was in it yet");
    }

    #[test]
    fn every_flipped_bit_of_the_format_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        drop(DataDir::create_or_open(dir.path()).expect("creates"));
        let path = dir.path().join(FORMAT);
        let good = fs::read(&path).expect("reads");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bad).expect("writes");
            let opened = DataDir::open_existing(dir.path());
            assert!(matches!(opened, Err(DataDirError::Format { .. })), "bit {bit}");
        }
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).expect("writes");
            DataDir::open_existing(dir.path()).expect_err("cut off");
        }
        fs::remove_file(&path).expect("removes");
        fs::create_dir(dir.path().join("shard-0/journal/00000000000000000001")).expect("makes");
        let error = DataDir::create_or_open(dir.path()).expect_err("a journal without FORMAT");
        assert!(error.to_string().contains("FORMAT"), "{error}");
        // An archive beside it makes it no foreign directory, and alone no empty one.
        let archive = dir.path().join("shard-0/archive");
        fs::create_dir(&archive).expect("makes");
        fs::write(archive.join("MANIFEST"), "x").expect("writes");
        let error = DataDir::create_or_open(dir.path()).expect_err("a journal without FORMAT");
        assert!(error.to_string().contains("FORMAT is missing, but a ledger's journal"), "{error}");
        fs::remove_dir(dir.path().join("shard-0/journal/00000000000000000001")).expect("removes");
        fs::remove_file(dir.path().join("shard-0/mark")).expect("removes");
        let error = DataDir::create_or_open(dir.path()).expect_err("an archive without FORMAT");
        assert!(error.to_string().contains("FORMAT is missing, but a ledger's archive"), "{error}");
    }
}
