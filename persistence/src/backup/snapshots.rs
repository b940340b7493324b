//! The snapshots in a backup: the newest one is copied, read back, and must stand in this history.

use super::BackupError;
use super::manifest::SnapshotEntry;
use super::store::{BackupStore, Source};
use crate::archive::named::tell;
use crate::archive::{Step, Watch};
use crate::chain::ChainPoint;
use crate::files::{SYNC_EVERY_BYTES, Unfinished, forget_cached};
use crate::snapshot::{Listed, Reader, SnapshotError, Summary};
use crate::vault::Vault;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// Snapshots that are kept.
const SNAPSHOTS_KEPT: usize = 2;

impl BackupStore {
    /// Copies the newest snapshot that the backup's events reach; how many bytes were written.
    pub(super) fn add_snapshot(
        &mut self,
        source: &Source<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<u64, BackupError> {
        let Some(store) = source.snapshots else { return Ok(0) };
        let end = self.end().lsn;
        let newest =
            store.list()?.into_iter().find(|listed| listed.lsn <= end && listed.header.is_ok());
        let Some(listed) = newest else { return Ok(0) };
        if self.manifest.snapshots.last().is_some_and(|have| have.lsn >= listed.lsn) {
            return Ok(0);
        }
        let Some(entry) = self.copy_snapshot(&listed, watch)? else { return Ok(0) };
        self.manifest.snapshots.push(entry);
        let spare = self.manifest.snapshots.len().saturating_sub(SNAPSHOTS_KEPT);
        self.manifest.snapshots.drain(..spare);
        Ok(entry.bytes)
    }

    /// `None` when the ledger has removed it meanwhile.
    fn copy_snapshot(
        &self,
        listed: &Listed,
        watch: &mut Watch<'_>,
    ) -> Result<Option<SnapshotEntry>, BackupError> {
        let from = match File::open(&listed.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(BackupError::io("open", &listed.path))?,
        };
        let path = self.snapshots().path_of(listed.lsn);
        let unfinished = Unfinished::new(path.with_extension("snap.new"));
        copy(from, &listed.path, unfinished.path(), watch)?;
        let summary = read_snapshot(unfinished.path(), self.vault.as_ref())?;
        let header = &summary.header;
        let ours = (self.manifest.ledger, self.manifest.shard, listed.lsn);
        if (header.ledger, header.shard, header.lsn()) != ours {
            let what = "it is of another ledger or LSN".to_owned();
            return Err(SnapshotError::Foreign { path: listed.path.clone(), what }.into());
        }
        self.check_anchor(&header.anchor, &listed.path)?;
        unfinished.name(&path)?;
        tell(watch, Step::Renamed)?;
        let Summary { bytes, digest, .. } = summary;
        Ok(Some(SnapshotEntry { lsn: listed.lsn, anchor: header.anchor, bytes, digest }))
    }

    /// A snapshot must stand at a frame's end of this history.
    fn check_anchor(&self, anchor: &ChainPoint, path: &Path) -> Result<(), BackupError> {
        let at = match self.frame_at(anchor.lsn)? {
            Some(frame) => ChainPoint { lsn: frame.last_lsn(), hash: frame.hash() },
            None => self.manifest.start(),
        };
        if at == *anchor {
            return Ok(());
        }
        let what = "no frame of the backup's history ends where it stands";
        Err(BackupError::ForeignSnapshot { path: path.to_owned(), what })
    }

    pub(super) fn verify_snapshot(&self, entry: &SnapshotEntry) -> Result<(), BackupError> {
        let store = self.snapshots();
        let path = store.path_of(entry.lsn);
        let summary = store.verify(entry.lsn)?;
        let is = (summary.header.anchor, summary.bytes, summary.digest);
        if is != (entry.anchor, entry.bytes, entry.digest) {
            let what = "the manifest names another one";
            return Err(BackupError::ForeignSnapshot { path, what });
        }
        self.check_anchor(&entry.anchor, &path)
    }
}

/// Copies a file, synced as it grows, and lets the page cache forget it.
fn copy(mut from: File, name: &Path, to: &Path, watch: &mut Watch<'_>) -> Result<(), BackupError> {
    let mut out = File::create(to).map_err(BackupError::io("create", to))?;
    let mut window = vec![0; SYNC_EVERY_BYTES as usize];
    loop {
        let read = from.read(&mut window).map_err(BackupError::io("read", name))?;
        if read == 0 {
            break;
        }
        let done = out.write_all(&window[..read]).and_then(|()| out.sync_data());
        done.map_err(BackupError::io("write", to))?;
        tell(watch, Step::Frames(read as u64))?;
    }
    out.sync_all().map_err(BackupError::io("sync", to))?;
    tell(watch, Step::Written)?;
    forget_cached(&out);
    Ok(())
}

fn read_snapshot(path: &Path, vault: Option<&Vault>) -> Result<Summary, BackupError> {
    let file = File::open(path).map_err(BackupError::io("open", path))?;
    let input = BufReader::with_capacity(256 << 10, file);
    Ok(Reader::opening(input, path, vault)?.verify()?)
}
