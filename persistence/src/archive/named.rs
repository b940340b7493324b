//! One file of frames: written, read back, and opened as a manifest names it. The archive and
//! the backup consist of such files.

use super::format::Head;
use super::manifest::Entry;
use super::reader::ArchiveFile;
use super::writer::{FileWriter, Written};
use super::{ArchiveError, Step, Watch};
use crate::contract::JournalError;
use crate::files::{SYNC_EVERY_BYTES, SyncedFile, forget_cached};
use crate::frame::Frame;
use crate::ledger_id::LedgerId;
use crate::vault::{Kind, Vault};
use ducat_engine::ids::ShardId;
use std::fs::File;
use std::io::{self, BufWriter};
use std::ops::ControlFlow;
use std::path::Path;

const BUFFER_BYTES: usize = 256 << 10;

/// Writes a file of these frames, which follow `head.before`, durably.
pub(crate) fn write_frames(
    path: &Path,
    head: Head,
    vault: Option<&Vault>,
    frames: impl IntoIterator<Item = Result<Frame, JournalError>>,
    watch: &mut Watch<'_>,
) -> Result<Written, ArchiveError> {
    let key = vault.map(|vault| vault.fresh(Kind::Archive)).transpose();
    let key = key.map_err(|e| ArchiveError::io("draw a key for", path)(io::Error::other(e)))?;
    let file = File::create(path).map_err(ArchiveError::io("create", path))?;
    let out = BufWriter::with_capacity(BUFFER_BYTES, SyncedFile::new(file));
    let failed = |error: super::writer::WriteError| error.at(path, head.before.lsn);
    let mut writer = FileWriter::sealing(out, head, key).map_err(failed)?;
    let mut paced = 0;
    for frame in frames {
        let frame = frame.map_err(|error| ArchiveError::Source(Box::new(error)))?;
        writer.frame(&frame).map_err(failed)?;
        if writer.frame_bytes() - paced >= SYNC_EVERY_BYTES {
            tell(watch, Step::Frames(writer.frame_bytes() - paced))?;
            paced = writer.frame_bytes();
        }
    }
    let (_, written) = writer.finish().map_err(failed)?;
    Ok(written)
}

/// Checks what the disk has, not what the page cache remembers.
pub(crate) fn read_back(
    path: &Path,
    head: Head,
    vault: Option<&Vault>,
    written: &Written,
) -> Result<(), ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::io("open", path))?;
    forget_cached(&file);
    let opened = ArchiveFile::opening(file, path, vault)?;
    check_named(&opened, head.ledger, head.shard, &Entry::from(*written), path)?;
    opened.verify(&mut |_, _| true)
}

/// Opens a file, and holds it against what a manifest says of it.
pub(crate) fn open_named(
    path: &Path,
    ledger: LedgerId,
    shard: ShardId,
    vault: Option<&Vault>,
    entry: &Entry,
) -> Result<ArchiveFile<File>, ArchiveError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ArchiveError::Missing {
            path: path.to_owned(),
            first: entry.extent.first_lsn(),
            last: entry.extent.last_lsn(),
        },
        _ => ArchiveError::io("open", path)(error),
    })?;
    let opened = ArchiveFile::opening(file, path, vault)?;
    check_named(&opened, ledger, shard, entry, path)?;
    Ok(opened)
}

/// A whole file in another's place must not pass for it.
fn check_named(
    file: &ArchiveFile<File>,
    ledger: LedgerId,
    shard: ShardId,
    entry: &Entry,
    path: &Path,
) -> Result<(), ArchiveError> {
    let head = file.head();
    let what = if head.ledger != ledger {
        format!("it is of ledger {}, not {ledger}", head.ledger)
    } else if head.shard != shard {
        format!("it is of shard {}, not {}", head.shard.0, shard.0)
    } else if Entry::from(file.said()) != *entry {
        let (is, named) = (file.extent(), &entry.extent);
        format!(
            "it holds LSN {} to {}, and the manifest names another file with LSN {} to {}",
            is.first_lsn(),
            is.last_lsn(),
            named.first_lsn(),
            named.last_lsn()
        )
    } else {
        return Ok(());
    };
    Err(ArchiveError::Foreign { path: path.to_owned(), what })
}

pub(crate) fn tell(watch: &mut Watch<'_>, step: Step) -> Result<(), ArchiveError> {
    match watch(step) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ArchiveError::Stopped),
    }
}
