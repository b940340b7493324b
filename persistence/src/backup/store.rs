//! The backup's directory: brought up to date, and checked.

use super::manifest::{self, Manifest};
use super::{BackupError, BackupFault};
use crate::archive::format::Head;
use crate::archive::named::{open_named, read_back, tell, write_frames};
use crate::archive::reader::{ArchiveFile, FileFrames};
use crate::archive::{ArchiveError, Entry, Step, Watch};
use crate::causes::with_causes;
use crate::chain::ChainPoint;
use crate::contract::{Journal, JournalError};
use crate::files::{Locked, Unfinished, list_names, make_dir, read_bounded, sync_dir, write_whole};
use crate::frame::Frame;
use crate::ledger_id::LedgerId;
use crate::origin::Origin;
use crate::snapshot::SnapshotStore;
use crate::vault::keys::{KEYS, KEYS_NEW};
use crate::vault::{KeyWrapper, KeysFile, Vault, VaultError};
use ducat_engine::ids::{Lsn, ShardId};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The manifest's name.
pub const MANIFEST: &str = "BACKUP";
const MANIFEST_NEW: &str = "BACKUP.new";
const LOCK: &str = "LOCK";
const FRAMES: &str = "frames";
const SNAPSHOTS: &str = "snapshots";
/// What may lie in a directory that is no backup yet; the last on a disk of its own.
const HARMLESS: [&str; 7] = [LOCK, MANIFEST_NEW, KEYS, KEYS_NEW, FRAMES, SNAPSHOTS, "lost+found"];

/// A file holds no more bytes of frames than this and one append's.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// So many small files in a row are merged into one.
const MERGED: usize = 8;
/// Files of fewer bytes of frames than this are the smallest; each level is eight times the one
/// before.
const LEVEL_BYTES: u64 = 512 << 10;

/// What is backed up.
#[derive(Clone, Copy)]
pub struct Source<'s> {
    /// Where the ledger lies.
    pub data_dir: &'s Path,
    /// Its id.
    pub ledger: LedgerId,
    /// The shard.
    pub shard: ShardId,
    /// Where the ledger comes from, the oldest first.
    pub origins: &'s [Origin],
    /// Its journal with what was archived: all of it must be there.
    pub journal: &'s dyn Journal,
    /// Its snapshots, if it has any.
    pub snapshots: Option<&'s SnapshotStore>,
    /// Its keys, if it is encrypted: then the backup is, too, under the same ones.
    pub vault: Option<&'s Vault>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Where the backup ends now.
    pub end: ChainPoint,
    /// When its last event was decided, nanoseconds since 1970; 0 for none.
    pub last_time_ns: u64,
    /// When the run ended, nanoseconds since 1970.
    pub time_ns: u64,
    /// Events that were new.
    pub events: u64,
    /// Bytes written, merged files included.
    pub written_bytes: u64,
    /// Files of frames in the backup now.
    pub files: u64,
    /// Bytes of the backup now.
    pub bytes: u64,
    /// The newest snapshot in the backup.
    pub snapshot: Option<Lsn>,
    /// Why the ledger's newest snapshot was not copied, if it was not: it is damaged, most likely.
    pub snapshot_refused: Option<String>,
    /// Whether the directory became a backup by this run.
    pub begun: bool,
    /// Whether ledger and backup lie on one filesystem, and would be lost together.
    pub same_filesystem: bool,
}

/// A backup.
#[derive(Debug)]
pub struct BackupStore {
    dir: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) vault: Option<Vault>,
    /// When it is being written.
    _lock: Option<Locked>,
}

impl BackupStore {
    /// Opens a backup to read it.
    ///
    /// # Errors
    /// [`BackupError::NotFound`], [`BackupError::Manifest`], [`BackupError::Io`];
    /// [`BackupError::Keys`] when it is encrypted.
    pub fn open(dir: &Path) -> Result<Self, BackupError> {
        Self::open_with(dir, None)
    }

    /// The same with a master key, which an encrypted backup wants.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(dir: &Path, by: Option<&dyn KeyWrapper>) -> Result<Self, BackupError> {
        let manifest = read_manifest(dir)?.ok_or_else(|| BackupError::NotFound(dir.to_owned()))?;
        let vault = unlock(dir, manifest.ledger, by)?;
        Ok(Self { dir: dir.to_owned(), manifest, vault, _lock: None })
    }

    /// Whose backup it is; wants no key.
    ///
    /// # Errors
    /// [`BackupError::NotFound`], [`BackupError::Manifest`], [`BackupError::Io`].
    pub fn ledger_of(dir: &Path) -> Result<LedgerId, BackupError> {
        let manifest = read_manifest(dir)?.ok_or_else(|| BackupError::NotFound(dir.to_owned()))?;
        Ok(manifest.ledger)
    }

    /// Brings the backup of a ledger up to what is durable in it now. The directory is made when
    /// it is not there, but not the one in which it lies. `begin`: whether it may become a backup
    /// by this run.
    ///
    /// # Errors
    /// [`BackupError`]; the backup is then as it was, or reaches further.
    pub fn update(
        dir: &Path,
        source: &Source<'_>,
        begin: bool,
        watch: &mut Watch<'_>,
    ) -> Result<BackedUp, BackupError> {
        let mut store = Self::open_to_write(dir, source, begin)?;
        let (begun, before) = (store.manifest.sequence == 0, store.end().lsn);
        store.check_history(source)?;
        store.take_keys(source)?;
        store.remove_strays()?;
        store.check_sizes()?;
        let mut written = store.add_frames(source, watch)?;
        let refused = match store.add_snapshot(source, watch) {
            Ok(bytes) => {
                written += bytes;
                None
            }
            // Its own fault stops no backup of the journal.
            Err(BackupError::Snapshot(error)) if error.is_damage() => Some(with_causes(&error)),
            Err(error) => return Err(error),
        };
        store.publish(source)?;
        store.remove_strays()?;
        let manifest = &store.manifest;
        Ok(BackedUp {
            end: manifest.end(),
            last_time_ns: manifest.last_time_ns(),
            time_ns: manifest.time_ns,
            events: manifest.end().lsn.0 - before.0,
            written_bytes: written,
            files: manifest.files.len() as u64,
            bytes: manifest.bytes(),
            snapshot: manifest.snapshots.last().map(|snapshot| snapshot.lsn),
            snapshot_refused: refused,
            begun,
            same_filesystem: on_one_filesystem(dir, source.data_dir),
        })
    }

    fn open_to_write(dir: &Path, source: &Source<'_>, begin: bool) -> Result<Self, BackupError> {
        match fs::create_dir(dir) {
            Ok(()) => sync_parent(dir)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(BackupError::io("create", dir)(error)),
        }
        refuse_inside(dir, source.data_dir)?;
        let there = dir.join(MANIFEST).exists();
        if !there {
            if !begin {
                return Err(BackupError::Gone(dir.to_owned()));
            }
            for (_, name) in list_names(dir)? {
                if !HARMLESS.contains(&name.as_str()) {
                    return Err(BackupError::Foreign { path: dir.to_owned(), found: name });
                }
            }
        }
        let lock = take_lock(dir)?;
        // Read under the lock: another may have just written it.
        let manifest = read_manifest(dir)?.unwrap_or_else(|| {
            Manifest::empty(source.ledger, source.shard, source.origins.to_vec())
        });
        if (manifest.ledger, manifest.shard) != (source.ledger, source.shard) {
            let (found, expected) = (manifest.ledger, source.ledger);
            return Err(BackupError::OtherLedger { path: dir.to_owned(), found, expected });
        }
        for part in [FRAMES, SNAPSHOTS] {
            make_dir(&dir.join(part))?;
        }
        let vault = source.vault.cloned();
        Ok(Self { dir: dir.to_owned(), manifest, vault, _lock: Some(lock) })
    }

    /// Copies the ledger's wrapped keys, before the manifest names anything under them. One that the backup
    /// has must be among them: there are files under it.
    fn take_keys(&self, source: &Source<'_>) -> Result<(), BackupError> {
        let had = KeysFile::read(&self.dir)?;
        let has = match source.vault {
            None => None,
            Some(_) => KeysFile::read(source.data_dir)?,
        };
        let path = source.data_dir.join(KEYS);
        match (had, has) {
            (None, None) => Ok(()),
            (None, Some(has)) => Ok(has.write(&self.dir)?),
            (Some(_), None) => Err(VaultError::Missing(path).into()),
            (Some(had), Some(has)) if had == has => Ok(()),
            (Some(had), Some(has)) => match had.not_in(&has) {
                Some(number) => Err(VaultError::Lost { path, number }.into()),
                None => Ok(has.write(&self.dir)?),
            },
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it consists of.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> ChainPoint {
        self.manifest.end()
    }

    /// The file of an entry.
    #[must_use]
    pub fn path_of(&self, entry: &Entry) -> PathBuf {
        self.dir.join(FRAMES).join(file_name(entry))
    }

    /// The snapshots, as a store of them.
    #[must_use]
    pub fn snapshots(&self) -> SnapshotStore {
        let Manifest { ledger, shard, .. } = self.manifest;
        let store = SnapshotStore::at(self.dir.join(SNAPSHOTS), ledger, shard);
        store.with_vault(self.vault.clone())
    }

    /// Opens the file of an entry, and holds it against what the manifest says of it.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn file(&self, entry: &Entry) -> Result<ArchiveFile<File>, ArchiveError> {
        let Manifest { ledger, shard, .. } = self.manifest;
        open_named(&self.path_of(entry), ledger, shard, self.vault.as_ref(), entry)
    }

    /// The frame that holds `lsn`; `None` beyond the end.
    ///
    /// # Errors
    /// [`ArchiveError`] when it should be there and cannot be read.
    pub fn frame_at(&self, lsn: Lsn) -> Result<Option<Frame>, ArchiveError> {
        self.manifest.holding(lsn).map_or(Ok(None), |entry| self.file(entry)?.frame_at(lsn))
    }

    /// What the ledger has must continue what the backup has.
    fn check_history(&self, source: &Source<'_>) -> Result<(), BackupError> {
        let (path, end) = (self.dir.clone(), self.end());
        let ledger = source.journal.end(source.shard)?;
        if end.lsn > ledger {
            return Err(BackupError::Later { path, backup: end.lsn, ledger });
        }
        if end.lsn == Lsn::ZERO {
            return Ok(());
        }
        let frame = source.journal.frame_at(source.shard, end.lsn)?;
        match frame {
            Some(frame) if frame.last_lsn() == end.lsn && frame.hash() == end.hash => Ok(()),
            Some(_) => Err(BackupError::OtherHistory { path, lsn: end.lsn }),
            None => {
                let first = source.journal.base(source.shard)?.lsn.next();
                let (shard, wanted) = (source.shard, end.lsn);
                Err(JournalError::Trimmed { shard, wanted, first }.into())
            }
        }
    }

    /// A file that is gone or cut is noticed by every run; the rest is for [`Self::verify`].
    fn check_sizes(&self) -> Result<(), BackupError> {
        for entry in &self.manifest.files {
            let path = self.path_of(entry);
            match fs::metadata(&path) {
                Ok(meta) if meta.len() == entry.bytes => {}
                Ok(meta) => {
                    let what = format!("it has {} bytes, not {}", meta.len(), entry.bytes);
                    return Err(ArchiveError::Foreign { path, what }.into());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (first, last) = (entry.extent.first_lsn(), entry.extent.last_lsn());
                    return Err(ArchiveError::Missing { path, first, last }.into());
                }
                Err(error) => return Err(BackupError::io("look at", &path)(error)),
            }
        }
        Ok(())
    }

    /// Copies what is durable now and not here yet; how many bytes were written.
    fn add_frames(
        &mut self,
        source: &Source<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<u64, BackupError> {
        let goal = source.journal.end(source.shard)?;
        let mut written = 0;
        while self.end().lsn < goal {
            let frames = source.journal.read(source.shard, self.end().lsn.next())?;
            // As many whole appends as a file holds: a backup ends where an append does. None beyond
            // the goal: a busy ledger has no end.
            let (mut bytes, mut is_whole) = (0, false);
            let frames = frames.take_while(|frame| {
                let Ok(frame) = frame else { return true };
                if frame.first_lsn() > goal || (is_whole && bytes >= FILE_BYTES_MAX) {
                    return false;
                }
                bytes += frame.bytes().len() as u64;
                is_whole = frame.header().is_last_of_append();
                true
            });
            let entry = self.write(self.end(), frames, watch)?;
            written += entry.bytes;
            self.manifest.files.push(entry);
            while let Some(from) = to_merge(&self.manifest.files) {
                written += self.merge(from, watch)?;
            }
            self.publish(source)?;
            tell(watch, Step::Named)?;
        }
        Ok(written)
    }

    /// Writes a file of these frames and gives it its name; the manifest does not know it yet.
    fn write(
        &self,
        before: ChainPoint,
        frames: impl IntoIterator<Item = Result<Frame, JournalError>>,
        watch: &mut Watch<'_>,
    ) -> Result<Entry, BackupError> {
        let name = format!("{:020}.new", before.lsn.next().0);
        let unfinished = Unfinished::new(self.dir.join(FRAMES).join(name));
        let vault = self.vault.as_ref();
        let head = Head { ledger: self.manifest.ledger, shard: self.manifest.shard, before };
        let written = write_frames(unfinished.path(), head, vault, frames, watch)?;
        tell(watch, Step::Written)?;
        read_back(unfinished.path(), head, vault, &written)?;
        tell(watch, Step::ReadBack)?;
        let entry = Entry::from(written);
        unfinished.name(&self.path_of(&entry))?;
        tell(watch, Step::Renamed)?;
        Ok(entry)
    }

    /// Makes one file of those from `from` on. They stay until the manifest names it.
    fn merge(&mut self, from: usize, watch: &mut Watch<'_>) -> Result<u64, BackupError> {
        let files = &self.manifest.files[from..];
        let frames = files.iter().flat_map(|entry| {
            let opened = self.file(entry).map(|file| FileFrames::new(file, Lsn(1)));
            let (frames, failed) = match opened {
                Ok(frames) => (Some(frames), None),
                Err(error) => (None, Some(Err(error))),
            };
            failed.into_iter().chain(frames.into_iter().flatten())
        });
        let lsn = files[0].extent.first_lsn();
        let frames =
            frames.map(|frame| frame.map_err(|e| e.into_journal(self.manifest.shard, lsn)));
        let entry = self.write(files[0].extent.before, frames, watch)?;
        self.manifest.files.truncate(from);
        self.manifest.files.push(entry);
        Ok(entry.bytes)
    }

    /// Makes what was added part of the backup, durably. A server's keys may have been rotated since
    /// the run began, and what was added then lies under the new one, so the keys go first.
    fn publish(&mut self, source: &Source<'_>) -> Result<(), BackupError> {
        self.take_keys(source)?;
        self.manifest.sequence += 1;
        self.manifest.time_ns = now_ns();
        let (beside, path) = (self.dir.join(MANIFEST_NEW), self.dir.join(MANIFEST));
        Ok(write_whole(&beside, &path, &self.manifest.encode())?)
    }

    /// Removes what the manifest on disk does not name: begun and never finished, merged, or no
    /// longer kept.
    fn remove_strays(&self) -> Result<(), BackupError> {
        for path in self.strays()? {
            fs::remove_file(&path).map_err(BackupError::io("remove", &path))?;
        }
        Ok(())
    }

    /// Files in the backup's directories that are no part of it.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn strays(&self) -> Result<Vec<PathBuf>, BackupError> {
        let mut named: Vec<String> = self.manifest.files.iter().map(file_name).collect();
        let snapshots = self.snapshots();
        for entry in &self.manifest.snapshots {
            let path = snapshots.path_of(entry.lsn);
            named.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        named.sort_unstable();
        let mut strays = Vec::new();
        for part in [FRAMES, SNAPSHOTS] {
            for (path, name) in list_names(&self.dir.join(part))? {
                // Only what has a name of ours: the rest is somebody's.
                let ours = name.as_bytes().first().is_some_and(u8::is_ascii_digit)
                    && [".new", ".frames", ".snap"].iter().any(|end| name.ends_with(end));
                if ours && named.binary_search(&name).is_err() {
                    strays.push(path);
                }
            }
        }
        Ok(strays)
    }

    /// Reads every file to its end and checks everything: each block, each frame, their chain from
    /// the ledger's beginning to the end that the manifest names, every digest; every snapshot, and
    /// that it stands in this history. Goes on behind what is wrong.
    #[must_use]
    pub fn verify(&self) -> Vec<BackupFault> {
        let mut faults = Vec::new();
        for entry in &self.manifest.files {
            let checked = self.file(entry).and_then(|file| file.verify(&mut |_, _| true));
            if let Err(error) = checked {
                let (first, last) = (entry.extent.first_lsn(), entry.extent.last_lsn());
                faults.push(BackupFault { first, last, error: error.into() });
            }
        }
        for entry in &self.manifest.snapshots {
            if let Err(error) = self.verify_snapshot(entry) {
                faults.push(BackupFault { first: entry.lsn, last: entry.lsn, error });
            }
        }
        faults
    }
}

/// Where the files begin that should be one: those at the end that are not above a level, once
/// eight of them have reached it, and together no more than a file may have. So a byte is written
/// again once for each level, and within the lowest.
fn to_merge(files: &[Entry]) -> Option<usize> {
    let (mut least, mut level) = (0, LEVEL_BYTES);
    while level < FILE_BYTES_MAX {
        let sizes = files.iter().rev().map(|file| file.extent.frame_bytes);
        let run: Vec<u64> = sizes.take_while(|bytes| *bytes < level).collect();
        let reached = run.iter().filter(|bytes| **bytes >= least).count();
        if reached >= MERGED && run.iter().sum::<u64>() <= FILE_BYTES_MAX {
            return Some(files.len() - run.len());
        }
        (least, level) = (level, level * 8);
    }
    None
}

fn file_name(entry: &Entry) -> String {
    format!("{:020}-{:020}.frames", entry.extent.first_lsn().0, entry.extent.last_lsn().0)
}

fn read_manifest(dir: &Path) -> Result<Option<Manifest>, BackupError> {
    let path = dir.join(MANIFEST);
    let Some(bytes) = read_bounded(&path, manifest::BYTES_MAX)? else { return Ok(None) };
    let decoded = Manifest::decode(&bytes);
    decoded.map(Some).map_err(|source| BackupError::Manifest { path, source })
}

/// The keys of a backup; `None` when it is not encrypted.
fn unlock(
    dir: &Path,
    ledger: LedgerId,
    by: Option<&dyn KeyWrapper>,
) -> Result<Option<Vault>, BackupError> {
    let Some(keys) = KeysFile::read(dir)? else { return Ok(None) };
    let path = dir.join(KEYS);
    if keys.ledger != ledger {
        return Err(VaultError::OtherLedger { path, found: keys.ledger }.into());
    }
    let Some(by) = by else {
        let (path, wanted) = (dir.to_owned(), keys.masters().join(", "));
        return Err(VaultError::Locked { path, wanted }.into());
    };
    Ok(Some(Vault::unlock(&keys, &path, by)?))
}

fn take_lock(dir: &Path) -> Result<Locked, BackupError> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(BackupError::io("open", &path))?;
    match Locked::alone(file) {
        Ok(lock) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(BackupError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(BackupError::io("lock", &path)(source)),
    }
}

/// Neither of a backup and a data directory may lie in the other; either may not be there yet.
///
/// # Errors
/// [`BackupError::Inside`], [`BackupError::Io`].
pub fn refuse_inside(dir: &Path, data_dir: &Path) -> Result<(), BackupError> {
    let (backup, ledger) = (real(dir)?, real(data_dir)?);
    if backup.starts_with(&ledger) || ledger.starts_with(&backup) {
        let (path, data_dir) = (dir.to_owned(), data_dir.to_owned());
        return Err(BackupError::Inside { path, data_dir });
    }
    Ok(())
}

/// The path without links, as far as it is there.
fn real(path: &Path) -> Result<PathBuf, BackupError> {
    let whole = std::path::absolute(path).map_err(BackupError::io("find", path))?;
    for there in whole.ancestors() {
        if let Ok(found) = there.canonicalize() {
            let rest = whole.strip_prefix(there).expect("an ancestor");
            return Ok(found.join(rest));
        }
    }
    Ok(whole)
}

fn on_one_filesystem(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    device(one).is_some() && device(one) == device(other)
}

fn sync_parent(dir: &Path) -> Result<(), BackupError> {
    let real = dir.canonicalize().map_err(BackupError::io("find", dir))?;
    real.parent().map_or(Ok(()), |up| sync_dir(up).map_err(BackupError::io("sync", up)))
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
