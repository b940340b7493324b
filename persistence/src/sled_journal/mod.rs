//! The journal on disk, over sled 0.34, with what sled leaves undone.
//!
//! ```text
//! SledJournal ─▶ Shard ─┬─▶ Table ─▶ Segment (sled database) …      reads, any thread
//!                       └─▶ WriteState: mark, epoch, last Segment    one writer
//! ```
//!
//! * [`options`]: what can be chosen;
//! * `segment`: one database, made safe: real syncs, no blobs;
//! * [`guarded`]: calls of sled, whose panics become errors and whose waits end;
//! * `table`: which segments there are, which are open;
//! * `shard`: locks, opening for writing, trimming, single frames;
//! * `recovery`: the full check, with the visitor;
//! * `writer`: appending; `sealer`: encrypting what is appended;
//! * [`watchdog`]: what does not return.

mod fences;
pub mod guarded;
pub mod options;
mod recovery;
mod sealer;
mod segment;
mod shard;
mod table;
pub mod watchdog;
mod writer;

use crate::chain::ChainPoint;
use crate::contract::{
    FrameReader, Journal, JournalError, Piece, Tail, TrimReport, Visitor, Writer,
};
use crate::data_dir::{DataDir, SHARDS};
use crate::files::io_error;
use crate::frame::Frame;
use crate::vault::Vault;
use ducat_engine::ids::{Lsn, ShardId};
use options::SledOptions;
pub(crate) use segment::parse_dir_name;
use shard::Shard;
use std::collections::VecDeque;
use std::sync::Arc;
use watchdog::Watchdog;

/// Blocks read ahead.
const READ_AHEAD_BLOCKS: usize = 16;

/// The journal of a data directory. Holds the directory's lock.
pub struct SledJournal {
    dir: Arc<DataDir>,
    shards: Vec<Arc<Shard>>,
    watchdog: Arc<Watchdog>,
}

impl SledJournal {
    /// Reads the marks and lists the segments; what they hold is checked when a
    /// shard is opened for writing or scanned.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] for an unreadable mark, [`JournalError::Io`].
    pub fn open(dir: Arc<DataDir>, options: SledOptions) -> Result<Self, JournalError> {
        let options = SledOptions { vault: dir.vault().cloned(), ..options.sanitize() };
        let watchdog = Watchdog::start(options.flush_timeout_ms, options.on_stall.clone())
            .map_err(io_error("start the watchdog for", dir.root()))?;
        let shards = (0..SHARDS).map(|id| Shard::load(&dir, ShardId(id), &options).map(Arc::new));
        let shards = shards.collect::<Result<_, _>>()?;
        Ok(Self { dir, shards, watchdog: Arc::new(watchdog) })
    }

    /// The directory it lies in.
    #[must_use]
    pub fn data_dir(&self) -> &Arc<DataDir> {
        &self.dir
    }

    /// The database that appends go to, for tests that harm it. Nothing else may write there.
    ///
    /// # Panics
    /// When no writer is open.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn database(&self, shard: ShardId) -> sled::Db {
        let state = self.shard(shard).expect("there is one").lock_write().expect("not poisoned");
        state.writing.as_ref().expect("a writer is open").segment.database()
    }

    fn shard(&self, shard: ShardId) -> Result<&Arc<Shard>, JournalError> {
        self.shards.get(shard.0 as usize).ok_or(JournalError::UnknownShard(shard))
    }

    fn open_writer_from(
        &self,
        shard: ShardId,
        owner: &str,
        after: Option<ChainPoint>,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        let shard = self.shard(shard)?;
        let tail = shard.open_writer(after, visit)?;
        tracing::info!(
            owner,
            shard = shard.id.0,
            epoch = tail.epoch.0,
            next_lsn = tail.next_lsn.0,
            "journal opened for writing"
        );
        let (shard, watchdog, epoch) = (shard.clone(), self.watchdog.clone(), tail.epoch);
        Ok((Box::new(writer::SledWriter { shard, watchdog, epoch }), tail))
    }
}

impl Journal for SledJournal {
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.open_writer_from(shard, owner, None, visit)
    }

    fn open_writer_after(
        &self,
        shard: ShardId,
        owner: &str,
        after: ChainPoint,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.open_writer_from(shard, owner, Some(after), visit)
    }

    fn scan_after(
        &self,
        shard: ShardId,
        after: ChainPoint,
        visit: &mut Visitor<'_>,
    ) -> Result<Tail, JournalError> {
        self.shard(shard)?.scan(Some(after), visit)
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.shard(shard)?.scan(None, visit)
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        let shard = self.shard(shard)?.clone();
        let next = from.max(Lsn(1));
        if next <= shard.base() {
            let first = shard.base().next();
            return Err(JournalError::Trimmed { shard: shard.id, wanted: next, first });
        }
        Ok(Box::new(Reader { shard, next, ready: VecDeque::new(), failed: false }))
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        self.shard(shard)?.frame_at(lsn)
    }

    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        self.shard(shard)?.trim(upto)
    }

    fn base(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        Ok(self.shard(shard)?.base_point())
    }

    fn end(&self, shard: ShardId) -> Result<Lsn, JournalError> {
        Ok(self.shard(shard)?.durable())
    }

    fn pieces(&self, shard: ShardId) -> Result<Vec<Piece>, JournalError> {
        Ok(self.shard(shard)?.pieces())
    }
}

/// Shows every frame that the store gives back of one segment below `journal`: for a copy of
/// it, since the store may write.
pub(crate) fn visit_segment(
    journal: &std::path::Path,
    first: Lsn,
    vault: Option<&Vault>,
    take: &mut dyn FnMut(Frame),
) -> Result<(), segment::StoreError> {
    let options = SledOptions { vault: vault.cloned(), ..SledOptions::default() };
    let segment = segment::Segment::open(journal, first, &options, false)?;
    let mut failed = None;
    segment.each_from(Lsn::ZERO, &mut |frame| match frame {
        Ok(frame) => {
            take(frame);
            true
        }
        Err(error) => {
            failed = Some(error);
            false
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// Reads on and on, a few frames ahead, up to what is durable.
struct Reader {
    shard: Arc<Shard>,
    next: Lsn,
    ready: VecDeque<Frame>,
    failed: bool,
}

impl Reader {
    fn fill(&mut self) -> Result<(), JournalError> {
        let durable = self.shard.durable();
        let Some(frame) = self.shard.frame_at(self.next)? else {
            if self.next <= self.shard.base() {
                let (shard, wanted) = (self.shard.id, self.next);
                let first = self.shard.base().next();
                return Err(JournalError::Trimmed { shard, wanted, first });
            }
            return Ok(());
        };
        let mut expected = frame.last_lsn().next();
        self.ready.push_back(frame);
        for frame in self.shard.frames_from(expected)? {
            // A gap is for `frame_at` to judge, when it comes to it.
            if frame.first_lsn() != expected || frame.last_lsn() > durable {
                break;
            }
            expected = frame.last_lsn().next();
            self.ready.push_back(frame);
        }
        self.next = expected;
        Ok(())
    }
}

impl Iterator for Reader {
    type Item = Result<Frame, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty()
            && !self.failed
            && let Err(error) = self.fill()
        {
            self.failed = true;
            return Some(Err(error));
        }
        self.ready.pop_front().map(Ok)
    }
}

impl Shard {
    /// What the segment that holds `from` has from there on; a few frames at most.
    fn frames_from(&self, from: Lsn) -> Result<Vec<Frame>, JournalError> {
        let Some(first) = self.table.first_for(from) else {
            return Ok(Vec::new());
        };
        let dir = self.table.dir_of(first);
        let failed = |error| self.store_error("read frames", from, &dir, error);
        match self.table.get(first).map_err(failed)? {
            Some(segment) => segment.frames_from(from, READ_AHEAD_BLOCKS).map_err(failed),
            None => Ok(Vec::new()),
        }
    }
}
