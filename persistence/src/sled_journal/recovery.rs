//! Recovery: reads every segment in order, checks every frame, and shows what is
//! part of the journal to the visitor.
//!
//! Two threads, since decoding costs as much as reading:
//!
//! ```text
//! reader: sled ▸ CRC ▸ BLAKE3 ──bounded channel──▶ caller: chain ▸ visitor (replay)
//! ```
//!
//! One segment is open at a time, so memory stays bounded by the segment's size.

use super::segment::{Segment, StoreError, check_files};
use super::shard::Shard;
use crate::behind::{check_hash, ends_before, within_frame};
use crate::chain::{Chain, ChainPoint, Stop};
use crate::contract::{JournalError, Place, Tail, Visitor};
use crate::files::tree_bytes;
use crate::frame::{Frame, FrameHash};
use crate::mark::Mark;
use ducat_engine::ids::Lsn;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Frames handed over at once.
const BATCH_FRAMES: usize = 64;
/// Batches that wait at most: about four megabytes.
const BATCHES_MAX: usize = 16;

/// What the reading thread found.
enum Found {
    Segment(Lsn),
    Frames(Vec<(Frame, FrameHash)>),
    Failed(&'static str, StoreError),
}

impl Shard {
    /// Follows the chain from `after` or from the mark's base. Returns the tail and the
    /// bytes of frames in the last segment. `limit`: look no further than this LSN.
    pub(super) fn recover(
        &self,
        mark: &Mark,
        after: Option<ChainPoint>,
        limit: Option<Lsn>,
        visit: &mut Visitor<'_>,
    ) -> Result<(Tail, u64), JournalError> {
        let (start, start_time_ns) = match after {
            Some(after) => (after, self.check_point(mark, after)?),
            None => (mark.base, 0),
        };
        let from = start.lsn.next();
        let passed = self.trimmed(start.lsn);
        let mut firsts = self.table.firsts();
        firsts.retain(|first| !passed.contains(first));
        if firsts.is_empty() && mark.durable.lsn > Lsn::ZERO {
            let what = format!("no segment is there, but LSN {} was reached", mark.durable.lsn);
            return Err(self.damage(mark.base.lsn.next(), &self.journal, what));
        }
        let last_segment = firsts.last().copied();
        let (send, receive) = sync_channel(BATCHES_MAX);
        let mut follower = Follower {
            shard: self,
            chain: Chain::new(self.id, start, mark.durable),
            dir: self.journal.clone(),
            segment_bytes: 0,
            begins_within: after.is_some(),
        };
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || self.read_segments(&firsts, from, limit, &send));
            let followed = follower.follow(&receive, visit);
            // Lets the reader's next send fail, so that it stops.
            drop(receive);
            let ended = reader.join();
            followed?;
            ended.map_err(|_| self.damage(Lsn::ZERO, &self.journal, "the reading thread panicked"))
        })?;
        let (mut tail, mut segment_bytes) = follower.finish()?;
        tail.first_lsn = mark.base.lsn.next();
        if tail.frames == 0 {
            tail.last_time_ns = start_time_ns;
        }
        if let Some(first) = last_segment.filter(|first| *first < from) {
            // What was not read counts too; on the disk it takes more than its frames' bytes.
            segment_bytes = segment_bytes.max(tree_bytes(&self.table.dir_of(first)));
        }
        Ok((tail, segment_bytes))
    }

    /// A place that the caller has the state of: it was acknowledged, it is in the journal,
    /// and nothing older is missing at first sight. Returns the decision time of the frame
    /// that ends there, 0 where none does.
    fn check_point(&self, mark: &Mark, after: ChainPoint) -> Result<u64, JournalError> {
        let place = Place::in_path(self.id, after.lsn, &self.journal);
        if after.lsn < mark.base.lsn {
            let (shard, first) = (self.id, mark.base.lsn.next());
            return Err(JournalError::Trimmed { shard, wanted: after.lsn.next(), first });
        }
        if after.lsn > mark.durable.lsn {
            let what = ends_before(mark.durable.lsn.0);
            return Err(self.damage(after.lsn, &self.journal, what));
        }
        self.check_present(mark.base.lsn)?;
        if after.lsn == mark.base.lsn {
            return check_hash(place, mark.base.hash, after.hash).map(|()| 0);
        }
        let missing = || self.damage(after.lsn, &self.journal, "no frame holds this record");
        let frame = self.frame_at(after.lsn)?.ok_or_else(missing)?;
        if frame.last_lsn() != after.lsn {
            return Err(within_frame(place, &frame));
        }
        check_hash(place, frame.hash(), after.hash)?;
        Ok(frame.header().time_ns)
    }

    /// The segments begin where they should, and each has its files.
    fn check_present(&self, base: Lsn) -> Result<(), JournalError> {
        let trimmed = self.trimmed(base);
        let mut firsts = self.table.firsts();
        firsts.retain(|first| !trimmed.contains(first));
        let begin = base.next();
        if firsts.first().is_some_and(|first| *first != begin) {
            let what =
                format!("the journal begins at LSN {begin}, and its first segment is missing");
            return Err(self.damage(begin, &self.journal, what));
        }
        for first in firsts {
            let dir = self.table.dir_of(first);
            check_files(&dir)
                .map_err(|error| self.store_error("look for the segment", first, &dir, error))?;
        }
        Ok(())
    }

    /// Runs on the reading thread until everything is read, something fails or
    /// nobody listens.
    fn read_segments(
        &self,
        firsts: &[Lsn],
        from: Lsn,
        limit: Option<Lsn>,
        send: &SyncSender<Found>,
    ) {
        for first in firsts {
            if limit.is_some_and(|limit| *first > limit)
                || send.send(Found::Segment(*first)).is_err()
            {
                return;
            }
            let read = match self.table.borrow(*first) {
                Err(error) => Err(("open the segment", error)),
                Ok(None) => Err(("open the segment", StoreError::Missing("db"))),
                Ok(Some(segment)) => {
                    let read = read_segment(&segment, from, limit, send);
                    read.map_err(|error| ("read the segment", error))
                }
            };
            if let Err((verb, error)) = read {
                // Nobody listens any more: then nobody misses it.
                let _ = send.send(Found::Failed(verb, error));
                return;
            }
        }
    }
}

fn read_segment(
    segment: &Segment,
    from: Lsn,
    limit: Option<Lsn>,
    send: &SyncSender<Found>,
) -> Result<(), StoreError> {
    let mut batch = Vec::with_capacity(BATCH_FRAMES);
    let mut failed = None;
    segment.each_from(from, &mut |frame| {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                failed = Some(error);
                return false;
            }
        };
        if limit.is_some_and(|limit| frame.first_lsn() > limit) {
            return false;
        }
        let hash = frame.hash();
        batch.push((frame, hash));
        if batch.len() < BATCH_FRAMES {
            return true;
        }
        let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_FRAMES));
        send.send(Found::Frames(full)).is_ok()
    })?;
    // What was read before a failure is shown first: the chain may know better.
    let _ = send.send(Found::Frames(batch));
    failed.map_or(Ok(()), Err)
}

/// Follows the chain on the caller's thread.
struct Follower<'s> {
    shard: &'s Shard,
    chain: Chain,
    dir: PathBuf,
    segment_bytes: u64,
    /// The first segment may begin before the place where the chain does.
    begins_within: bool,
}

impl Follower<'_> {
    fn follow(
        &mut self,
        receive: &Receiver<Found>,
        visit: &mut Visitor<'_>,
    ) -> Result<(), JournalError> {
        for found in receive {
            match found {
                Found::Segment(first) => self.enter(first)?,
                Found::Frames(frames) => {
                    for (frame, hash) in frames {
                        self.accept(frame, hash, visit)?;
                    }
                }
                Found::Failed(verb, error) => {
                    let lsn = self.chain.next_lsn();
                    return Err(self.shard.store_error(verb, lsn, &self.dir, error));
                }
            }
        }
        Ok(())
    }

    /// A segment begins exactly where the one before ends.
    fn enter(&mut self, first: Lsn) -> Result<(), JournalError> {
        let next = self.chain.next_lsn();
        let begins_within = std::mem::take(&mut self.begins_within) && first < next;
        if first != next && !begins_within {
            let what = format!(
                "LSN {next} comes next, but the next segment starts at {first}: a segment is \
                 missing, or the end of one"
            );
            return Err(self.shard.damage(next, &self.dir, what));
        }
        if self.chain.in_append() {
            let what = "the segment ends in the middle of an append, and another follows";
            return Err(self.shard.damage(next, &self.dir, what));
        }
        self.dir = self.shard.table.dir_of(first);
        self.segment_bytes = 0;
        Ok(())
    }

    fn accept(
        &mut self,
        frame: Frame,
        hash: FrameHash,
        visit: &mut Visitor<'_>,
    ) -> Result<(), JournalError> {
        let lsn = frame.first_lsn();
        self.segment_bytes += frame.bytes().len() as u64;
        match self.chain.accept(frame, hash, visit) {
            Ok(()) => Ok(()),
            Err(Stop::Fault(fault)) => Err(self.shard.damage(lsn, &self.dir, fault.to_string())),
            Err(Stop::Visitor(lsn, source)) => {
                Err(JournalError::Replay { shard: self.shard.id, lsn, source })
            }
        }
    }

    fn finish(self) -> Result<(Tail, u64), JournalError> {
        let next = self.chain.next_lsn();
        let ended = self.chain.finish();
        let tail = ended.map_err(|fault| self.shard.damage(next, &self.dir, fault.to_string()))?;
        if let Some(dropped) = &tail.dropped {
            tracing::warn!(
                shard = self.shard.id.0,
                first_lsn = dropped.first_lsn.0,
                last_lsn = dropped.last_lsn.0,
                frames = dropped.frames,
                dir = %self.dir.display(),
                "dropping an unfinished append that was never acknowledged"
            );
        }
        Ok((tail, self.segment_bytes))
    }
}
