//! A file that is synced as it grows, and one that is removed unless it was finished.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Written bytes are synced after so many: the journal's own syncs must not wait until the
/// disk has taken a whole file.
pub(super) const SYNC_EVERY_BYTES: u64 = 4 << 20;

/// Syncs what was written every few megabytes.
pub(super) struct SyncedFile {
    file: File,
    unsynced: u64,
}

impl SyncedFile {
    pub(super) const fn new(file: File) -> Self {
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

/// Removes the file unless it was renamed.
pub(crate) struct Unfinished(PathBuf);

impl Unfinished {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed, or removed by the next that writes.
        let _ = fs::remove_file(&self.0);
    }
}
