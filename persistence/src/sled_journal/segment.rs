//! One segment: a sled database in a directory of its own, made safe.
//!
//! What sled leaves undone happens here: real syncs, directory syncs, a check that
//! no value went into a blob file, and a wall against its panics.
//!
//! Keys are first LSNs, big-endian; values are *blocks*: sealed frames of one append,
//! one after the other, up to about 48 KB. One frame to a value cost a quarter of the
//! throughput, and far more where frames are small. Between them lie [fences](super::fences).
//!
//! sled reuses the space of rewritten pages once *it* holds their new version for
//! stable, which means `sync_file_range`: not durable. By its rules that takes more
//! than two of its own segments of log between two real syncs, so blocks go in as
//! chunks that stay well below that ([`CHUNK_BYTES_MAX`]), each followed by a real
//! sync. The same holds when a database is opened after a crash:
//! what only the page cache holds is synced before sled sees the file.

use super::fences::{Fences, is_fence};
use super::guarded::{awake, guarded, wake_if_failed};
use super::options::{SledOptions, Syncer};
use crate::contract::BoxError;
use crate::files::{sync_dir, sync_tree};
use crate::frame::{Frame, FrameError, STORED_BYTES_MAX};
use crate::vault::Vault;
use ducat_engine::ids::Lsn;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;

/// sled's own segment size. Larger than its default of 512 KiB so that a chunk of a
/// megabyte stays below two of them with everything sled writes around it (hardly more than the
/// payload with fences, four to five times as much without, measured).
pub(super) const SLED_SEGMENT_BYTES: usize = 4 << 20;
/// A block is closed once it has this many bytes.
pub(super) const BLOCK_TARGET_BYTES: usize = 40 << 10;
/// No block is larger.
const BLOCK_BYTES_MAX: usize = BLOCK_TARGET_BYTES + STORED_BYTES_MAX;
/// Bytes of blocks between two real syncs.
pub(super) const CHUNK_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(
    16 * (BLOCK_BYTES_MAX + 64) < SLED_SEGMENT_BYTES / 4,
    "a leaf of sixteen blocks never becomes a blob file"
);

/// How long a database that is just being closed may hold its own lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// What went wrong in or under sled.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// sled said so.
    #[error("sled refused")]
    Sled(#[source] sled::Error),
    /// sled panicked.
    #[error("sled panicked: {0}")]
    Panic(String),
    /// The operating system refused.
    #[error("the operating system refused")]
    Io(#[from] io::Error),
    /// A value does not consist of frames.
    #[error("a frame in the block of LSN {lsn} is not intact")]
    Frame {
        /// The key under which it lies.
        lsn: Lsn,
        /// What is wrong with it.
        source: FrameError,
    },
    /// A key is not the first LSN of its frame.
    #[error("a frame of LSN {found} lies under the key of LSN {key}")]
    Key {
        /// The key.
        key: Lsn,
        /// What the frame says.
        found: Lsn,
    },
    /// A value without a frame.
    #[error("the block of LSN {0} is empty")]
    EmptyBlock(Lsn),
    /// A key has another length than an LSN.
    #[error("a key of {0} bytes is not an LSN")]
    KeyLength(usize),
    /// A file that every segment has is not there.
    #[error("the file `{0}` is missing or empty")]
    Missing(&'static str),
    /// sled made a new database where one should have been.
    #[error("sled found no database in its files and made an empty one")]
    Fresh,
    /// sled moved a value to a file that nothing syncs.
    #[error("sled made a blob file, which nothing makes durable")]
    Blob,
}

impl StoreError {
    /// Whether this speaks of the content rather than of the system around it.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Io(error) | Self::Sled(sled::Error::Io(error)) => {
                !matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory
                ) && !matches!(
                    error.raw_os_error(),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOSPC)
                ) && !is_lock_conflict(error)
            }
            _ => true,
        }
    }
}

fn is_lock_conflict(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// The name of the segment whose first record has this LSN.
pub(super) fn dir_name(first: Lsn) -> String {
    format!("{:020}", first.0)
}

/// The first LSN that a directory's name stands for.
pub(crate) fn parse_dir_name(name: &str) -> Option<Lsn> {
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| name.parse().ok().map(Lsn)).flatten().filter(|lsn| *lsn > Lsn::ZERO)
}

/// An open segment. Shared by its writer and any number of readers.
pub(super) struct Segment {
    pub(super) first: Lsn,
    pub(super) dir: PathBuf,
    db: ManuallyDrop<sled::Db>,
    file: File,
    syncer: Arc<dyn Syncer>,
    vault: Option<Vault>,
    /// After a failure nothing may be written any more, not even while closing.
    abandoned: AtomicBool,
}

impl Segment {
    /// Creates an empty segment. It appears under its name only when it is complete.
    pub(super) fn create(
        journal: &Path,
        first: Lsn,
        options: &SledOptions,
    ) -> Result<Self, StoreError> {
        let dir = journal.join(dir_name(first));
        let unfinished = journal.join(format!("{}.new", dir_name(first)));
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir(&unfinished)?;
        // Dropped, it would write again, which it must not once something has failed.
        let db = ManuallyDrop::new(open_sled(&unfinished, options)?);
        awake(&db, || db.flush().map(drop).map_err(StoreError::Sled))?;
        sync_tree(&unfinished)?;
        let file = open_db_file(&unfinished)?;
        // sled keeps the path for blob files only, of which there must be none.
        fs::rename(&unfinished, &dir)?;
        sync_dir(journal)?;
        Ok(Self::over(first, dir, db, file, options))
    }

    fn over(
        first: Lsn,
        dir: PathBuf,
        db: ManuallyDrop<sled::Db>,
        file: File,
        options: &SledOptions,
    ) -> Self {
        Self {
            first,
            dir,
            db,
            file,
            syncer: options.syncer.clone(),
            vault: options.vault.clone(),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Opens a segment that must be there. `distrust_cache`: read what the disk has,
    /// not what the page cache remembers.
    pub(super) fn open(
        journal: &Path,
        first: Lsn,
        options: &SledOptions,
        distrust_cache: bool,
    ) -> Result<Self, StoreError> {
        let dir = journal.join(dir_name(first));
        check_files(&dir)?;
        remove_half_snapshots(&dir)?;
        let file = open_db_file(&dir)?;
        settle(&file, &*options.syncer, distrust_cache)?;
        let db = ManuallyDrop::new(open_sled(&dir, options)?);
        let segment = Self::over(first, dir, db, file, options);
        segment.trust().inspect_err(|_| segment.abandon())?;
        Ok(segment)
    }

    /// What must hold of a database that was there before.
    fn trust(&self) -> Result<(), StoreError> {
        if !self.db.was_recovered() {
            return Err(StoreError::Fresh);
        }
        self.check_blobs()?;
        // Opening writes a snapshot file; its name must be durable as well.
        self.file.sync_all()?;
        sync_dir(&self.dir)?;
        Ok(())
    }

    /// Puts a chunk of blocks in, in order, and makes them durable. `width`: LSNs of a
    /// group, see [`super::fences`].
    pub(super) fn put(
        &self,
        blocks: &[(Lsn, &[u8])],
        fences: &mut Fences,
        width: u64,
    ) -> Result<(), (&'static str, BoxError)> {
        let inserted = guarded(|| {
            for (lsn, bytes) in blocks {
                for fence in fences.before(*lsn, width) {
                    self.db.insert(fence, &[]).map_err(StoreError::Sled)?;
                }
                self.db.insert(lsn.0.to_be_bytes(), *bytes).map_err(StoreError::Sled)?;
            }
            Ok(())
        });
        inserted.map_err(|error| ("write the frames", BoxError::from(error)))?;
        self.sync()
    }

    /// Wakes whoever waits here for a write that has failed. Waits for nobody, and may be called
    /// at any time beside what they do.
    pub(super) fn wake_if_failed(&self) {
        wake_if_failed(&self.db);
    }

    /// The database itself.
    #[cfg(feature = "testing")]
    pub(super) fn database(&self) -> sled::Db {
        (*self.db).clone()
    }

    /// Makes everything put in so far durable. While it runs somebody else must call
    /// [`wake_if_failed`](Self::wake_if_failed) now and then, or it may never return.
    pub(super) fn sync(&self) -> Result<(), (&'static str, BoxError)> {
        guarded(|| self.db.flush().map(drop).map_err(StoreError::Sled))
            .map_err(|error| ("flush sled's log", BoxError::from(error)))?;
        self.syncer
            .sync_data(&self.file)
            .map_err(|error| ("sync the segment's file", BoxError::from(error)))
    }

    /// No value may lie in a file of its own.
    pub(super) fn check_blobs(&self) -> Result<(), StoreError> {
        match fs::read_dir(self.dir.join("blobs"))?.next() {
            None => Ok(()),
            Some(_) => Err(StoreError::Blob),
        }
    }

    /// Removes every block that starts at `from` or later, durably. No block spans two
    /// appends, so none reaches across the end of a whole append.
    pub(super) fn remove_from(&self, from: Lsn) -> Result<(), StoreError> {
        awake(&self.db, || {
            let keys: Result<Vec<_>, _> = self.db.range(from.0.to_be_bytes()..).keys().collect();
            for key in keys.map_err(StoreError::Sled)? {
                self.db.remove(key).map_err(StoreError::Sled)?;
            }
            self.db.flush().map_err(StoreError::Sled)?;
            Ok(())
        })?;
        Ok(self.syncer.sync_data(&self.file)?)
    }

    /// The blocks whose keys are `from` or later, in order, as sled has them.
    fn blocks_from(
        &self,
        from: Lsn,
    ) -> impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>> + use<> {
        let entries = self.db.range(from.0.to_be_bytes()..);
        entries.filter(|entry| !entry.as_ref().is_ok_and(|(key, _)| is_fence(key)))
    }

    /// The last block that starts at `lsn` or before.
    fn block_at(&self, lsn: Lsn) -> Result<Option<Block>, StoreError> {
        let found = guarded(|| {
            let after = lsn.0.saturating_add(1).to_be_bytes();
            let back = self.db.range(..after).rev();
            let mut blocks =
                back.filter(|entry| !entry.as_ref().is_ok_and(|(key, _)| is_fence(key)));
            blocks.next().transpose().map_err(StoreError::Sled)
        })?;
        found.map(|(key, value)| self.block(&key, value)).transpose()
    }

    fn block(&self, key: &[u8], value: sled::IVec) -> Result<Block, StoreError> {
        Block::new(key, value, self.vault.clone())
    }

    /// The last frame that starts at `lsn` or before.
    pub(super) fn at(&self, lsn: Lsn) -> Result<Option<Frame>, StoreError> {
        let mut last = None;
        for frame in self.block_at(lsn)?.into_iter().flatten() {
            let frame = frame?;
            if frame.first_lsn() > lsn {
                break;
            }
            last = Some(frame);
        }
        Ok(last)
    }

    /// The frames of a few blocks in order, the first of which starts at `from` or
    /// later.
    pub(super) fn frames_from(&self, from: Lsn, blocks: usize) -> Result<Vec<Frame>, StoreError> {
        let start = self.block_at(from)?.map_or(from, |block| block.key);
        let mut frames = Vec::new();
        guarded(|| {
            for entry in self.blocks_from(start).take(blocks) {
                let (key, value) = entry.map_err(StoreError::Sled)?;
                for frame in self.block(&key, value)? {
                    frames.push(frame?);
                }
            }
            Ok(())
        })?;
        frames.retain(|frame| frame.first_lsn() >= from);
        Ok(frames)
    }

    /// Shows every frame that reaches `from` or further, in order, until `take` says no.
    pub(super) fn each_from(
        &self,
        from: Lsn,
        take: &mut dyn FnMut(Result<Frame, StoreError>) -> bool,
    ) -> Result<(), StoreError> {
        let start = self.block_at(from)?.map_or(Lsn::ZERO, |block| block.key);
        guarded(|| {
            for entry in self.blocks_from(start) {
                let (key, value) = entry.map_err(StoreError::Sled)?;
                for frame in self.block(&key, value)? {
                    if frame.as_ref().is_ok_and(|frame| frame.last_lsn() < from) {
                        continue;
                    }
                    if !take(frame) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// From now on nothing is written any more, not even while closing.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: `drop` runs once and nobody uses `db` afterwards.
        #[allow(unsafe_code)]
        let db = unsafe { ManuallyDrop::take(&mut self.db) };
        if *self.abandoned.get_mut() {
            // Closing would flush. Leaking the database costs memory in a process
            // that is about to end.
            std::mem::forget(db);
        } else if let Err(error) = close_guarded(db) {
            tracing::error!(dir = %self.dir.display(), %error, "closing a segment failed");
        }
    }
}

/// sled unwraps a sync while it closes.
fn close_guarded(db: sled::Db) -> Result<(), StoreError> {
    guarded(move || {
        drop(db);
        Ok(())
    })
}

/// A value of sled's, as the frames in it. Ends after the first that is not intact.
struct Block {
    key: Lsn,
    value: sled::IVec,
    vault: Option<Vault>,
    at: usize,
}

impl Block {
    fn new(key: &[u8], value: sled::IVec, vault: Option<Vault>) -> Result<Self, StoreError> {
        let bytes: [u8; 8] = key.try_into().map_err(|_| StoreError::KeyLength(key.len()))?;
        let key = Lsn(u64::from_be_bytes(bytes));
        if value.is_empty() {
            return Err(StoreError::EmptyBlock(key));
        }
        Ok(Self { key, value, vault, at: 0 })
    }

    /// The next frame, and the bytes it takes.
    fn read(&mut self) -> Result<(Frame, usize), StoreError> {
        let read = Frame::parse_sled(&self.value, self.at, self.vault.as_ref())
            .map_err(|source| StoreError::Frame { lsn: self.key, source })?;
        if self.at == 0 && read.0.first_lsn() != self.key {
            return Err(StoreError::Key { key: self.key, found: read.0.first_lsn() });
        }
        Ok(read)
    }
}

impl Iterator for Block {
    type Item = Result<Frame, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.value.len() {
            return None;
        }
        let read = self.read();
        self.at = match &read {
            Ok((_, stored)) => self.at + stored,
            Err(_) => self.value.len(),
        };
        Some(read.map(|(frame, _)| frame))
    }
}

/// sled replaces missing files by empty ones; look before it does.
pub(super) fn check_files(dir: &Path) -> Result<(), StoreError> {
    for name in ["db", "conf"] {
        let size = fs::metadata(dir.join(name)).map_or(0, |meta| meta.len());
        if size == 0 {
            return Err(StoreError::Missing(name));
        }
    }
    if !dir.join("blobs").is_dir() {
        return Err(StoreError::Missing("blobs"));
    }
    Ok(())
}

/// Removes sled's own snapshots that a crash interrupted while they were written: sled takes the
/// one with the highest number for its newest, finished or not, and then opens no more. They
/// only repeat what its log holds.
fn remove_half_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            tracing::info!(path = %entry.path().display(), "removing a half-written file of sled");
            fs::remove_file(entry.path())?;
            sync_dir(dir)?;
        }
    }
    Ok(())
}

/// Makes durable what only the page cache holds, and drops it from there if asked:
/// after a failed sync the cache may show what the disk never got.
fn settle(file: &File, syncer: &dyn Syncer, distrust_cache: bool) -> io::Result<()> {
    syncer.sync_data(file)?;
    if !distrust_cache {
        return Ok(());
    }
    // SAFETY: the descriptor is open; the call only advises.
    #[allow(unsafe_code)]
    unsafe {
        libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
    }
    Ok(())
}

/// A handle of our own on sled's file, to sync it for good.
fn open_db_file(dir: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(dir.join("db"))
}

fn open_sled(dir: &Path, options: &SledOptions) -> Result<sled::Db, StoreError> {
    let started = Instant::now();
    loop {
        let config = sled::Config::new()
            .path(dir)
            .segment_size(SLED_SEGMENT_BYTES)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None);
        match guarded(|| config.open().map_err(StoreError::Sled)) {
            // A database closed a moment ago lives on in sled's threads for a while.
            Err(StoreError::Sled(sled::Error::Io(error)))
                if is_lock_conflict(&error) && started.elapsed() < LOCK_PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}
