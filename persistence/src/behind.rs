//! What lies behind a place in a journal, for journals that check all of it anyway: shows the
//! visitor no frame before, and holds the place against the chain.

use crate::chain::ChainPoint;
use crate::contract::{Damage, JournalError, Place, ReplayError, ScanProgress, Tail, Visitor};
use crate::frame::{Frame, FrameHash};
use ducat_engine::ids::ShardId;
use thiserror::Error;

/// Stops a scan whose journal does not fit; the reason is in [`Behind::fault`].
#[derive(Debug, Error)]
#[error("the journal does not continue the caller's state")]
struct DoesNotFit;

/// A scan that begins behind a place.
pub(crate) struct Behind {
    shard: ShardId,
    after: ChainPoint,
    /// The first frame behind it was seen.
    reached: bool,
    frames: u64,
    records: u64,
    bytes: u64,
    fault: Option<JournalError>,
}

impl Behind {
    pub(crate) fn new(shard: ShardId, after: ChainPoint) -> Self {
        let (frames, records, bytes) = (0, 0, 0);
        Self { shard, after, reached: false, frames, records, bytes, fault: None }
    }

    /// Passes on what lies behind.
    pub(crate) fn visit(
        &mut self,
        frame: &Frame,
        at: ScanProgress,
        visit: &mut Visitor<'_>,
    ) -> Result<(), ReplayError> {
        if frame.last_lsn() <= self.after.lsn {
            return Ok(());
        }
        if !self.reached {
            self.reached = true;
            let next = self.after.lsn.next();
            if at.first_lsn > next {
                let (shard, first) = (self.shard, at.first_lsn);
                self.fault = Some(JournalError::Trimmed { shard, wanted: next, first });
            } else if frame.first_lsn() != next {
                self.fault = Some(within_frame(self.place(), frame));
            } else {
                let named = frame.header().prev_hash;
                self.fault = check_hash(self.place(), named, self.after.hash).err();
            }
            if self.fault.is_some() {
                return Err(ReplayError::new(DoesNotFit));
            }
        }
        self.frames += 1;
        self.records += u64::from(frame.header().record_count);
        self.bytes += frame.bytes().len() as u64;
        visit(frame, at)
    }

    fn place(&self) -> Place {
        Place::new(self.shard, self.after.lsn)
    }

    /// The scan's result, or why it was stopped here.
    pub(crate) fn explain<T>(
        &mut self,
        scanned: Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        match self.fault.take() {
            Some(fault) => Err(fault),
            None => scanned,
        }
    }

    /// The tail with the counts of what lies behind.
    pub(crate) fn finish(self, tail: Tail) -> Result<Tail, JournalError> {
        if tail.next_lsn <= self.after.lsn {
            let what = ends_before(tail.next_lsn.0 - 1);
            let damage = Damage { place: self.place(), what, data_dir: None, source: None };
            return Err(damage.into());
        }
        if !self.reached {
            check_hash(self.place(), tail.last_hash, self.after.hash)?;
        }
        let (frames, records, bytes) = (self.frames, self.records, self.bytes);
        Ok(Tail { frames, records, bytes, ..tail })
    }
}

/// What is wrong with a journal that ends before a state that was acknowledged.
pub(crate) fn ends_before(last: u64) -> String {
    format!(
        "a state of this ledger stands there, but the journal was acknowledged only up to LSN \
         {last}: it is an older copy, or lost its end"
    )
}

/// No frame ends at the place, but this one goes across it.
pub(crate) fn within_frame(place: Place, frame: &Frame) -> JournalError {
    let (first, last) = (frame.first_lsn(), frame.last_lsn());
    JournalError::OtherHistory { place, what: format!("a frame holds LSN {first} to {last}") }
}

pub(crate) fn check_hash(
    place: Place,
    found: FrameHash,
    expected: FrameHash,
) -> Result<(), JournalError> {
    if found == expected {
        return Ok(());
    }
    let what = format!("the frame that ends there has the hash {found}, not {expected}");
    Err(JournalError::OtherHistory { place, what })
}
