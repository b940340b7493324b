//! The sound part of a damaged journal, as a journal: what comes before the first fault.

use super::{Files, RawJournal};
use crate::chain::ChainPoint;
use crate::contract::{FrameReader, Journal, JournalError, Tail, TrimReport, Visitor, Writer};
use crate::frame::Frame;
use ducat_engine::ids::{Lsn, ShardId};

/// Shows what lies before the first fault and says nothing of the rest: for making a new ledger
/// of it, by an operator's decision.
#[derive(Debug, Clone)]
pub struct SoundPart(RawJournal);

impl RawJournal {
    /// What lies before the first fault.
    #[must_use]
    pub fn sound_part(&self) -> SoundPart {
        SoundPart(self.clone())
    }
}

impl SoundPart {
    fn files(&self) -> &Files {
        &self.0.0
    }
}

impl Journal for SoundPart {
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.0.open_writer_with(shard, owner, visit)
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.files().check_shard(shard)?;
        let (found, failed) = self.0.inspect(visit);
        if let Some((lsn, source)) = failed {
            return Err(JournalError::Replay { shard, lsn, source });
        }
        let first_lsn = found.first_lsn;
        Ok(Tail {
            first_lsn,
            next_lsn: found.sound_lsn.next(),
            epoch: self.0.mark().epoch,
            last_hash: found.sound_hash,
            last_time_ns: found.last_time_ns,
            frames: found.frames,
            records: found.sound_lsn.next().0 - first_lsn.0,
            bytes: found.bytes,
            unacknowledged_records: 0,
            dropped: None,
        })
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        self.0.read(shard, from)
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        self.0.frame_at(shard, lsn)
    }

    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        self.0.trim(shard, upto)
    }

    fn base(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        self.0.base(shard)
    }
}
