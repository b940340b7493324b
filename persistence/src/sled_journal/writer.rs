//! Appending: seal, put, sync, mark, and only then say so.
//!
//! ```text
//! check ▸ [roll to a new segment] ▸ seal in place ▸ [encrypt] ▸ (insert ▸ flush ▸ fdatasync) per chunk
//!       ▸ mark (O_DSYNC) ▸ readers may see it ▸ Ok(last LSN)
//! ```

use super::fences::{self, Fences};
use super::segment::{BLOCK_TARGET_BYTES, CHUNK_BYTES_MAX, Segment, StoreError};
use super::shard::{Shard, WriteState, Writing};
use super::watchdog::Watchdog;
use crate::append::{AppendBuffer, misuse};
use crate::causes::with_causes;
use crate::chain::ChainPoint;
use crate::contract::{AppendError, BoxError, Place, Writer};
use crate::mark::Mark;
use ducat_engine::ids::{Epoch, Lsn};
use std::sync::Arc;

/// Appends between two looks for blob files.
const BLOB_CHECK_EVERY: u32 = 64;

/// The right to append to a shard on disk.
pub(super) struct SledWriter {
    pub(super) shard: Arc<Shard>,
    pub(super) watchdog: Arc<Watchdog>,
    pub(super) epoch: Epoch,
}

impl Writer for SledWriter {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn append(&mut self, expected: Lsn, batch: &mut AppendBuffer) -> Result<Lsn, AppendError> {
        let place = || Place::in_path(self.shard.id, expected, &self.shard.journal);
        let mut state = self
            .shard
            .lock_write()
            .map_err(|since| AppendError::Poisoned { place: place(), since })?;
        if state.mark.epoch != self.epoch {
            let newer = state.mark.epoch;
            return Err(AppendError::Fenced { place: place(), epoch: self.epoch, newer });
        }
        if let Some(reason) = misuse(expected, state.mark.durable.lsn, batch) {
            return Err(AppendError::NotAppended { place: place(), reason });
        }
        let what = format!("an append to shard {} at LSN {expected}", self.shard.id.0);
        let watch = self.watchdog.watch(what);
        self.shard.roll_if_full(&mut state, expected).map_err(|error| {
            let reason = format!("could not start a new segment: {}", with_causes(&error));
            self.shard.poison(&mut state, reason.clone());
            AppendError::NotAppended { place: place(), reason }
        })?;
        if let Some(writing) = &state.writing {
            let segment = writing.segment.clone();
            watch.wake_by(move || segment.wake_if_failed());
        }
        self.shard.write_batch(&mut state, batch).map_err(|(verb, source)| {
            let what = format!("could not {verb}: {}", with_causes(&*source));
            self.shard.poison(&mut state, what);
            AppendError::InDoubt { place: place(), verb, source }
        })
    }
}

impl Shard {
    fn roll_if_full(&self, state: &mut WriteState, next: Lsn) -> Result<(), StoreError> {
        let writing = state.writing.as_mut().expect("a writer with this epoch is open");
        if writing.segment_bytes <= self.options.segment_bytes_max {
            return Ok(());
        }
        writing.segment.check_blobs()?;
        let segment = Arc::new(Segment::create(&self.journal, next, &self.options)?);
        self.table.add_pinned(&segment);
        let full = std::mem::replace(&mut writing.segment, segment);
        writing.segment_bytes = 0;
        writing.fences = Fences::default();
        if let Some(sealer) = &mut writing.sealer {
            sealer.renew().map_err(std::io::Error::other)?;
        }
        self.table.release(full.first);
        Ok(())
    }

    fn write_batch(
        &self,
        state: &mut WriteState,
        batch: &mut AppendBuffer,
    ) -> Result<Lsn, (&'static str, BoxError)> {
        let hash = batch.seal(self.id, state.mark.epoch, state.mark.durable.hash);
        let writing = state.writing.as_mut().expect("a writer with this epoch is open");
        put_in_chunks(writing, batch)?;
        writing.count(batch.byte_len())?;
        let lsn = batch.last_lsn().expect("an empty batch was refused");
        let mark = Mark { durable: ChainPoint { lsn, hash }, ..state.mark };
        state.mark_file.write(&mark).map_err(|error| ("write the mark", error.into()))?;
        state.mark = mark;
        self.set_durable(lsn);
        Ok(lsn)
    }
}

impl Writing {
    fn count(&mut self, bytes: usize) -> Result<(), (&'static str, BoxError)> {
        self.segment_bytes += bytes as u64;
        self.unchecked += 1;
        if self.unchecked >= BLOB_CHECK_EVERY {
            self.unchecked = 0;
            self.segment.check_blobs().map_err(|error| ("trust the segment", error.into()))?;
        }
        Ok(())
    }
}

/// Never more between two real syncs than sled's reuse of space allows.
fn put_in_chunks(
    writing: &mut Writing,
    batch: &AppendBuffer,
) -> Result<(), (&'static str, BoxError)> {
    let blocks: Vec<(Lsn, &[u8])> = match &mut writing.sealer {
        None => batch.blocks(BLOCK_TARGET_BYTES).collect(),
        Some(sealer) => {
            let sealed = sealer.seal(batch, BLOCK_TARGET_BYTES);
            sealed.map_err(|error| ("draw a data key", error.into()))?.collect()
        }
    };
    let lsns = batch.last_lsn().zip(batch.first_lsn()).map_or(0, |(last, first)| last.0 - first.0);
    let width = fences::width(lsns + 1, blocks.len() as u64, batch.byte_len() as u64);
    let mut rest = &blocks[..];
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |(_, block): &&(Lsn, &[u8])| {
            bytes += block.len();
            bytes <= CHUNK_BYTES_MAX
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (chunk, behind) = rest.split_at(count);
        writing.segment.put(chunk, &mut writing.fences, width)?;
        rest = behind;
    }
    Ok(())
}
