//! Moving the journal's oldest pieces into the archive, once snapshots make them unneeded for a
//! start, and giving their space back.
//!
//! ```text
//! snapshots, newest first ─ each read whole, and held against the journal ─▶ how far
//! for each piece up to there, the oldest first:
//!   archive it ▸ synced ▸ read back ▸ named by the manifest ─▶ Journal::trim drops it
//! ```
//!
//! A crash at any step leaves a good ledger: until the manifest names a file nothing has changed,
//! and a piece that is archived and was not dropped is compared and dropped by the next run.

use super::named::tell;
use super::{ArchiveError, ArchiveStore, Entry, Step, Watch};
use crate::contract::{Journal, JournalError, Piece};
use crate::disk;
use crate::snapshot::{SnapshotError, SnapshotStore};
use ducat_engine::ids::{Lsn, ShardId};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use thiserror::Error;

/// So much stays free beside a file that is written.
const ROOM_LEFT_BYTES: u64 = 16 << 20;

/// What is kept in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrimOptions {
    /// How many snapshots, each read whole, must reach what is kept: the journal is trimmed up
    /// to the oldest of the newest so many. Default 2, minimum 1: then a start finds one even
    /// when the newest is bad.
    pub snapshots_kept: usize,
    /// At least so many bytes stay in the journal. Default 1 GiB.
    pub journal_bytes_min: u64,
}

impl Default for TrimOptions {
    fn default() -> Self {
        Self { snapshots_kept: 2, journal_bytes_min: 1 << 30 }
    }
}

/// Why trimming stopped. What was archived and dropped before stays so.
#[derive(Debug, Error)]
pub enum TrimError {
    /// The journal could not be read or trimmed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The archive could not be written, or what is in it read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The snapshots could not be listed.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// The archive's disk has no room for the next file.
    #[error("the next archive file may take {need} bytes, and {free} are free")]
    NoRoom {
        /// At most so many.
        need: u64,
        /// Free for it.
        free: u64,
    },
    /// The archive has other frames than the journal.
    #[error(
        "the archive does not hold what the journal holds at LSN {0}: they are of two histories"
    )]
    Differs(Lsn),
}

/// What one run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Files added to the archive.
    pub archived: Vec<Entry>,
    /// Pieces dropped from the journal.
    pub pieces: u64,
    /// Bytes given back to the filesystem.
    pub bytes: u64,
    /// How far the snapshots allow it.
    pub upto: Lsn,
    /// Bytes of the pieces that could be dropped and were not, by `journal_bytes_min`.
    pub held_back_bytes: u64,
}

/// Remembers which snapshots it has read whole, so that each is read once.
#[derive(Debug, Default)]
pub struct Trimmer {
    verified: BTreeSet<Lsn>,
}

/// Archives and drops what the snapshots in `snapshots` make unneeded for a start: to be called
/// after each successful snapshot, or now and then. `watch` is told of every step, and may take
/// its time.
///
/// # Errors
/// [`TrimError`].
pub fn archive_after_snapshot(
    journal: &dyn Journal,
    shard: ShardId,
    snapshots: &SnapshotStore,
    archive: &Arc<ArchiveStore>,
    options: TrimOptions,
) -> Result<Trimmed, TrimError> {
    Trimmer::default()
        .run(journal, shard, snapshots, archive, options, &mut |_| ControlFlow::Continue(()))
}

impl Trimmer {
    /// As [`archive_after_snapshot`]; `watch` is told of every step, and may take its time.
    ///
    /// # Errors
    /// [`TrimError`].
    pub fn run(
        &mut self,
        journal: &dyn Journal,
        shard: ShardId,
        snapshots: &SnapshotStore,
        archive: &Arc<ArchiveStore>,
        options: TrimOptions,
        watch: &mut Watch<'_>,
    ) -> Result<Trimmed, TrimError> {
        let pieces = journal.pieces(shard)?;
        let Some(oldest) = pieces.first() else { return Ok(Trimmed::default()) };
        let upto = self.covered(journal, shard, snapshots, options, oldest.last)?;
        let mut done = Trimmed { upto, ..Trimmed::default() };
        let mut kept: u64 = pieces.iter().map(|piece| piece.bytes).sum();
        for piece in pieces.iter().filter(|piece| piece.is_droppable && piece.last <= upto) {
            kept -= piece.bytes;
            if kept < options.journal_bytes_min {
                // Dropping the younger ones would leave still less.
                done.held_back_bytes += piece.bytes;
                continue;
            }
            done.archived.extend(archive_piece(journal, shard, archive, piece, watch)?);
            let report = journal.trim(shard, piece.last)?;
            done.pieces += report.segments;
            done.bytes += report.bytes;
            tell(watch, Step::Dropped(piece.last))?;
        }
        Ok(done)
    }

    /// How far the journal may be trimmed: up to the oldest of the newest so many snapshots that
    /// are whole and of this history. 0 when that is before `least`: then nothing is to be done,
    /// and no snapshot need be read.
    fn covered(
        &mut self,
        journal: &dyn Journal,
        shard: ShardId,
        snapshots: &SnapshotStore,
        options: TrimOptions,
        least: Lsn,
    ) -> Result<Lsn, TrimError> {
        let mut listed = snapshots.list()?;
        listed.retain(|snapshot| snapshot.header.is_ok());
        let kept = options.snapshots_kept.max(1);
        let enough = listed.iter().filter_map(|s| s.header.as_ref().ok());
        if enough.clone().filter(|header| header.anchor.lsn >= least).count() < kept {
            return Ok(Lsn::ZERO);
        }
        self.verified.retain(|lsn| listed.iter().any(|snapshot| snapshot.lsn == *lsn));
        let mut found = 0;
        for snapshot in &listed {
            let Ok(header) = &snapshot.header else { continue };
            let anchor = header.anchor;
            let here = journal.frame_at(shard, anchor.lsn)?;
            let continued =
                here.is_some_and(|f| f.last_lsn() == anchor.lsn && f.hash() == anchor.hash);
            if !continued || !self.is_whole(snapshots, snapshot.lsn) {
                tracing::warn!(lsn = snapshot.lsn.0, "a snapshot does not count for trimming");
                continue;
            }
            found += 1;
            if found == kept {
                return Ok(anchor.lsn);
            }
        }
        Ok(Lsn::ZERO)
    }

    fn is_whole(&mut self, snapshots: &SnapshotStore, lsn: Lsn) -> bool {
        if self.verified.contains(&lsn) {
            return true;
        }
        let whole = snapshots.verify(lsn).is_ok();
        if whole {
            self.verified.insert(lsn);
        }
        whole
    }
}

/// Makes the archive hold the piece, if it does not yet.
fn archive_piece(
    journal: &dyn Journal,
    shard: ShardId,
    archive: &Arc<ArchiveStore>,
    piece: &Piece,
    watch: &mut Watch<'_>,
) -> Result<Option<Entry>, TrimError> {
    let end = archive.end();
    let base = journal.trimmed_to(shard)?;
    if end.lsn < base.lsn {
        let dir = archive.dir().into();
        return Err(ArchiveError::Short { dir, end: end.lsn, base: base.lsn }.into());
    }
    // What both have must be the same: the last of it vouches for all before.
    let common = end.lsn.min(piece.last);
    if common > base.lsn {
        let here = journal.frame_at(shard, common)?.map(|frame| frame.hash());
        let there = archive.frame_at(common)?.map(|frame| frame.hash());
        if here.is_none() || here != there {
            return Err(TrimError::Differs(common));
        }
    } else if end != base && end.lsn == base.lsn {
        return Err(TrimError::Differs(common));
    }
    if end.lsn >= piece.last {
        return Ok(None);
    }
    check_room(archive, piece)?;
    let frames = journal.read(shard, end.lsn.next())?;
    let last = piece.last;
    let frames =
        frames.take_while(|frame| frame.as_ref().map_or(true, |frame| frame.last_lsn() <= last));
    let entry = archive.append_watched(frames, watch)?;
    if entry.extent.after.lsn != last {
        return Err(TrimError::Differs(entry.extent.after.lsn));
    }
    Ok(Some(entry))
}

/// A full disk would not stop archiving alone but the journal, too.
fn check_room(archive: &ArchiveStore, piece: &Piece) -> Result<(), TrimError> {
    let dir = archive.dir();
    let dir = if dir.exists() { dir } else { dir.parent().unwrap_or(dir) };
    let free = disk::space(dir).map_err(ArchiveError::io("look at the space of", dir))?.free_bytes;
    let need = piece.bytes.saturating_add(ROOM_LEFT_BYTES);
    if free < need { Err(TrimError::NoRoom { need, free }) } else { Ok(()) }
}
