//! Small helpers for files that must survive a power cut: everything created is
//! synced, and so is the directory that names it.

use crate::contract::JournalError;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Written bytes are synced after so many: the journal's own syncs must not wait until the
/// disk has taken a whole file.
pub(crate) const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// A file whose lock this process holds for as long as this value lives.
///
/// Given back by name: closing the file would not do while a child that is just being started, which has all
/// files of its parent until it runs its own program, still has this one.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// Locks it against everybody, or says that somebody else has.
    pub fn alone(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }

    /// Locks it against those who want it alone, or says that one of them has it.
    pub fn shared(file: File) -> Result<Self, TryLockError> {
        file.try_lock_shared()?;
        Ok(Self(file))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // The close that follows gives it back as well, if later.
        drop(self.0.unlock());
    }
}

/// What the operating system refused; every store has an error of its own to put it in.
#[derive(Debug)]
pub(crate) struct Refused {
    /// What was tried, as a verb phrase.
    pub verb: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// The refusal.
    pub source: io::Error,
}

fn refused<'p>(verb: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> Refused + 'p {
    move |source| Refused { verb, path: path.to_owned(), source }
}

/// Lets `?` turn a [`Refused`] into these errors, which have a variant `Io` like it.
macro_rules! take_refusals {
    ($($error:ty),*) => {$(
        impl From<Refused> for $error {
            fn from(Refused { verb, path, source }: Refused) -> Self {
                Self::Io { verb, path, source }
            }
        }
    )*};
}
take_refusals!(
    crate::archive::ArchiveError,
    crate::backup::BackupError,
    crate::snapshot::SnapshotError,
    crate::witness::WitnessError
);

/// Maps an I/O error to its path and what was tried.
pub(crate) fn io_error<'p>(
    verb: &'static str,
    path: &'p Path,
) -> impl FnOnce(io::Error) -> JournalError + 'p {
    move |source| JournalError::Io { verb, path: path.to_owned(), source }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes every file below a directory durable, and every directory itself.
pub(crate) fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(path)
}

/// Bytes that the files below a directory occupy, as far as they can be counted.
pub(crate) fn tree_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => tree_bytes(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// The names in a directory; none when it is not there.
pub(crate) fn list_names(dir: &Path) -> Result<Vec<(PathBuf, String)>, Refused> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(refused("list", dir))?,
    };
    let entries = entries.map(|entry| {
        let entry = entry?;
        Ok((entry.path(), entry.file_name().to_string_lossy().into_owned()))
    });
    entries.collect::<io::Result<_>>().map_err(refused("list", dir))
}

/// Makes a directory durably, unless it is there; the one in which it lies must be.
pub(crate) fn make_dir(dir: &Path) -> Result<(), Refused> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir(dir).map_err(refused("create", dir))?;
    let parent = dir.parent().unwrap_or(dir);
    sync_dir(parent).map_err(refused("sync", parent))
}

/// The bytes of a file, at most one more than `most`; `None` when it is not there.
pub(crate) fn read_bounded(path: &Path, most: usize) -> Result<Option<Vec<u8>>, Refused> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(refused("open", path))?,
    };
    let mut bytes = Vec::new();
    let read = file.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(refused("read", path))?;
    Ok(Some(bytes))
}

/// Writes a file whole or not at all: under another name, `beside` it, synced, then renamed.
pub(crate) fn write_whole(beside: &Path, path: &Path, bytes: &[u8]) -> Result<(), Refused> {
    let written = File::create(beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(refused("write", beside))?;
    name_file(beside, path)
}

/// Gives a synced file its name, durably.
fn name_file(beside: &Path, path: &Path) -> Result<(), Refused> {
    fs::rename(beside, path).map_err(refused("rename", beside))?;
    let dir = path.parent().unwrap_or(path);
    sync_dir(dir).map_err(refused("sync", dir))
}

/// Lets the page cache forget a file, so that what is read is what the disk has.
pub(crate) fn forget_cached(file: &File) {
    // SAFETY: the descriptor is open; the call only advises.
    #[allow(unsafe_code)]
    unsafe {
        libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
    }
}

/// Syncs what was written every few megabytes, and all of it when it is flushed.
pub(crate) struct SyncedFile {
    file: File,
    unsynced: u64,
}

impl SyncedFile {
    pub(crate) const fn new(file: File) -> Self {
        Self { file, unsynced: 0 }
    }
}

impl Write for SyncedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced += written as u64;
        if self.unsynced >= SYNC_EVERY_BYTES {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// A file that is removed unless it gets its name.
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the file, which was synced, its name, durably.
    pub(crate) fn name(self, path: &Path) -> Result<(), Refused> {
        name_file(&self.0, path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed, or removed by the next that writes.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Locked;
    use std::fs::{File, TryLockError};

    /// As a child that was begun while the lock was held has it, until it runs its own program.
    #[test]
    fn a_lock_is_given_back_though_another_hand_still_has_the_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("LOCK");
        let file = File::create(&path).expect("creates");
        let childs = file.try_clone().expect("a second hand");
        let lock = Locked::alone(file).expect("nobody has it");
        let open = || File::open(&path).expect("opens");
        assert!(matches!(Locked::shared(open()), Err(TryLockError::WouldBlock)));
        drop(lock);
        drop(Locked::alone(open()).expect("given back"));
        drop(childs);
    }
}
