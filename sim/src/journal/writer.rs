//! Appending to the journal on a simulated disk.

use super::block::{BLOCK_HEADER, block};
use super::{BlockAt, Inner, SHARD, SimJournal, State, segment_name};
use crate::disk::{Phase, SECTOR};
use crate::faults::Fault;
use ducat_engine::ids::{Epoch, Lsn};
use ducat_persistence::append::misuse;
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::mark::Mark;
use ducat_persistence::{AppendBuffer, AppendError, BoxError, Place, Writer};
use std::io;

pub(super) struct SimWriter {
    pub(super) journal: SimJournal,
    pub(super) epoch: Epoch,
}

impl Writer for SimWriter {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn append(&mut self, expected: Lsn, batch: &mut AppendBuffer) -> Result<Lsn, AppendError> {
        let inner = &self.journal.0;
        let place = || Place::new(SHARD, expected);
        let mut state = self.journal.state();
        if inner.fault == Fault::SkipPoison {
            state.poisoned = None;
        }
        if let Some(since) = state.poisoned.clone() {
            return Err(AppendError::Poisoned { place: place(), since });
        }
        if state.mark.epoch != self.epoch {
            let newer = state.mark.epoch;
            return Err(AppendError::Fenced { place: place(), epoch: self.epoch, newer });
        }
        if let Some(reason) = misuse(expected, state.mark.durable.lsn, batch) {
            return Err(AppendError::NotAppended { place: place(), reason });
        }
        inner.disk.lock().phase = Phase::Append;
        if state.segment_bytes > inner.options.segment_bytes
            && let Err(error) = inner.create_segment(&mut state, expected)
        {
            let reason = format!("could not start a new segment: {error}");
            state.poisoned = Some(reason.clone());
            return Err(AppendError::NotAppended { place: place(), reason });
        }
        let before = state.mark;
        let written = inner.write_batch(&mut state, batch);
        if inner.fault == Fault::SkipPoison && written.is_err() {
            let hash = batch.seal(SHARD, before.epoch, before.durable.hash);
            let lsn = batch.last_lsn().expect("an empty batch was refused");
            state.mark = Mark { durable: ChainPoint { lsn, hash }, ..before };
        }
        written.map_err(|(verb, source)| {
            state.poisoned.get_or_insert(format!("could not {verb}: {source}"));
            AppendError::InDoubt { place: place(), verb, source }
        })
    }
}

type Failed = (&'static str, BoxError);

impl Inner {
    fn write_batch(&self, state: &mut State, batch: &mut AppendBuffer) -> Result<Lsn, Failed> {
        let hash = batch.seal(SHARD, state.mark.epoch, state.mark.durable.hash);
        let lsn = batch.last_lsn().expect("an empty batch was refused");
        let mark = Mark { durable: ChainPoint { lsn, hash }, ..state.mark };
        let failed = |error: io::Error| ("write the mark", BoxError::from(error));
        if self.fault == Fault::MarkBeforeSync {
            self.write_mark(state, mark).map_err(failed)?;
        }
        self.put(state, batch)?;
        if self.fault == Fault::LoseMark {
            state.mark = mark;
        } else if self.fault != Fault::MarkBeforeSync {
            self.write_mark(state, mark).map_err(failed)?;
        }
        Ok(lsn)
    }

    fn put(&self, state: &mut State, batch: &AppendBuffer) -> Result<(), Failed> {
        let (first, end) = state.segments.last_key_value().expect("a segment is written");
        let (first, mut end) = (*first, *end);
        let name = segment_name(first);
        for (lsn, frames) in batch.blocks(self.options.block_bytes) {
            let bytes = block(lsn.0, frames);
            let written = self.disk.lock().write(&name, end, &bytes);
            written.map_err(|error| ("write the frames", error.into()))?;
            let place = BlockAt { segment: first, at: end + BLOCK_HEADER, bytes: frames.len() };
            state.blocks.insert(lsn.0, place);
            end += bytes.len().next_multiple_of(SECTOR);
        }
        state.segments.insert(first, end);
        state.segment_bytes += batch.byte_len();
        if self.fault == Fault::SkipSync {
            return Ok(());
        }
        let mut synced = self.disk.lock().sync(&name);
        if synced.is_err() && self.fault == Fault::AckFailedSync && !self.disk.lock().is_dead() {
            return Ok(());
        }
        if synced.is_err() && self.fault == Fault::RetryFailedSync {
            synced = self.disk.lock().sync(&name);
        }
        synced.map_err(|error| ("sync the segment's file", error.into()))
    }
}
