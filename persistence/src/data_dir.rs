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
//! DIR/CODES                         which second factors of operators are used up; the server's own
//! DIR/RESTORING                     only while a ledger is being made from another's events
//! ```
//!
//! `FORMAT` is renamed into place when everything else is durable, so a directory
//! with it is complete, and one without it was never used. It says whether the ledger is encrypted:
//! one that is opens with its master key alone, and one that is not becomes encrypted by the first
//! opening with a key. What was written before stays as it is until it is written again.

mod format;
mod keys;

use crate::chain::ChainPoint;
use crate::files::{Locked, read_bounded, sync_dir};
use crate::frame::genesis_hash;
use crate::ledger_id::LedgerId;
use crate::mark::{Mark, MarkError, MarkFile};
use crate::origin::Origin;
use crate::vault::keys::{KEYS, KEYS_LOCK, KEYS_NEW};
use crate::vault::{KeyWrapper, Vault, VaultError};
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use format::{FORMAT, FORMAT_NEW, Format, find_format, read_format, write_format};
use keys::{begin_keys, unlock};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The layout's version.
pub const LAYOUT_VERSION: u32 = 1;
/// That of an encrypted ledger, which older builds cannot read.
pub const ENCRYPTED_LAYOUT_VERSION: u32 = 2;
/// Shards of a ledger, fixed when it is created.
pub const SHARDS: u32 = 1;

const LOCK: &str = "LOCK";
/// Lies in a directory that is being filled: without `FORMAT`, nothing accepts it.
const RESTORING: &str = "RESTORING";

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
    _lock: Locked,
}

/// A shared hold on a directory: keeps servers from starting on it. Writes nothing.
#[derive(Debug)]
pub struct Held {
    /// None when there is no lock file, as in a copy.
    _lock: Option<Locked>,
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
        match Locked::shared(file) {
            Ok(lock) => Ok(Some(Self { _lock: Some(lock) })),
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

fn take_lock(root: &Path) -> Result<Locked, DataDirError> {
    let path = root.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed("open", &path))?;
    let lock = match Locked::alone(file) {
        Ok(lock) => lock,
        Err(TryLockError::WouldBlock) => {
            let text = read_bounded(&path, 32).ok().flatten();
            let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
            let pid = text.and_then(|text| text.trim().parse().ok());
            return Err(DataDirError::InUse { path: root.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
    };
    // Only for the other process's message: nothing depends on it.
    fs::write(&path, format!("{}\n", std::process::id())).map_err(failed("write", &path))?;
    Ok(lock)
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
