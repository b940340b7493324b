//! The journal's contract without a disk: for `--durability none`, tests and
//! simulations. It survives nothing but [`MemoryJournal::reopen`], which stands for
//! a restart of the process, and fails where it is told to.

use crate::append::AppendBuffer;
use crate::chain::{Chain, ChainPoint, Stop};
use crate::contract::{
    AppendError, Damage, FrameReader, Journal, JournalError, Piece, Place, Tail, TrimReport,
    Visitor, Writer,
};
use crate::frame::{Frame, genesis_hash};
use crate::ledger_id::LedgerId;
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use thiserror::Error;

/// How an append is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is kept; `AppendError::NotAppended`.
    NotAppended,
    /// The first so many frames are kept (all, if there are fewer), nobody is told;
    /// `AppendError::InDoubt`.
    InDoubt {
        /// Number of frames that reach the store.
        frames_kept: usize,
    },
}

/// Stands for the failing disk.
#[derive(Debug, Error)]
#[error("a failure was injected")]
struct Injected;

#[derive(Debug)]
struct Store {
    frames: VecDeque<Frame>,
    /// Sum of the frames' bytes.
    bytes: u64,
    base: ChainPoint,
    durable: ChainPoint,
    epoch: Epoch,
    /// Bytes beyond which the oldest frames are dropped.
    retain_bytes: Option<u64>,
}

impl Store {
    fn position_of(&self, lsn: Lsn) -> usize {
        self.frames.partition_point(|frame| frame.last_lsn() < lsn)
    }

    fn drop_first(&mut self) -> u64 {
        let Some(frame) = self.frames.pop_front() else {
            return 0;
        };
        self.base = ChainPoint { lsn: frame.last_lsn(), hash: frame.hash() };
        let bytes = frame.bytes().len() as u64;
        self.bytes -= bytes;
        bytes
    }
}

/// What a restart forgets.
#[derive(Debug, Default)]
struct Process {
    appends: u64,
    failures: Vec<(u64, Failure)>,
    poisoned: Option<String>,
}

#[derive(Debug)]
struct Shared {
    shard: ShardId,
    store: Arc<RwLock<Store>>,
    process: Mutex<Process>,
}

/// A journal of one shard, number 0, in memory. Clones are the same journal.
#[derive(Debug, Clone)]
pub struct MemoryJournal {
    shared: Arc<Shared>,
}

const LOCK: &str = "no code panics while it holds this lock";

impl MemoryJournal {
    /// An empty journal that keeps everything.
    #[must_use]
    pub fn new(ledger: LedgerId) -> Self {
        Self::with_retention(ledger, None)
    }

    /// An empty journal that trims its oldest frames beyond `retain_bytes`.
    #[must_use]
    pub fn with_retention(ledger: LedgerId, retain_bytes: Option<u64>) -> Self {
        let shard = ShardId(0);
        let start = ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(ledger, shard) };
        let store = Store {
            frames: VecDeque::new(),
            bytes: 0,
            base: start,
            durable: start,
            epoch: Epoch(0),
            retain_bytes,
        };
        Self::over(shard, Arc::new(RwLock::new(store)))
    }

    fn over(shard: ShardId, store: Arc<RwLock<Store>>) -> Self {
        Self { shared: Arc::new(Shared { shard, store, process: Mutex::default() }) }
    }

    /// The journal as the next process finds it: same frames, no poison, no planned
    /// failures. Writers of this one are fenced once the next opens.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self::over(self.shared.shard, self.shared.store.clone())
    }

    /// Makes the `nth` append of this process (from 1) fail.
    pub fn fail_append(&self, nth: u64, failure: Failure) {
        self.shared.process().failures.push((nth, failure));
    }

    /// Replaces one stored frame by another with a valid checksum, as no bad disk but
    /// a forger would: for tests of the chain.
    ///
    /// # Panics
    /// When there is no such frame.
    #[cfg(any(test, feature = "testing"))]
    pub fn forge_frame(&self, frame: usize) {
        let mut store = self.shared.store.write().expect(LOCK);
        let mut bytes = store.frames[frame].bytes().to_vec();
        *bytes.last_mut().expect("a frame has a payload") ^= 4;
        let header = *store.frames[frame].header();
        crate::frame::seal(&mut bytes, &header);
        store.frames[frame] = Frame::parse(&bytes).expect("it was sealed a moment ago");
    }

    /// Removes one stored frame, as a lost write would: for tests of the checks.
    #[cfg(any(test, feature = "testing"))]
    pub fn lose_frame(&self, frame: usize) {
        self.shared.store.write().expect(LOCK).frames.remove(frame);
    }

    fn check_shard(&self, shard: ShardId) -> Result<(), JournalError> {
        if shard == self.shared.shard { Ok(()) } else { Err(JournalError::UnknownShard(shard)) }
    }

    fn damage(&self, lsn: Lsn, what: String) -> JournalError {
        Damage { place: Place::new(self.shared.shard, lsn), what, data_dir: None, source: None }
            .into()
    }

    fn check(&self, store: &Store, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        let mut chain = Chain::new(self.shared.shard, store.base, store.durable);
        for frame in &store.frames {
            let lsn = frame.first_lsn();
            match chain.accept(frame.clone(), frame.hash(), visit) {
                Ok(()) => {}
                Err(Stop::Fault(fault)) => return Err(self.damage(lsn, fault.to_string())),
                Err(Stop::Visitor(lsn, source)) => {
                    return Err(JournalError::Replay { shard: self.shared.shard, lsn, source });
                }
            }
        }
        let next = chain.next_lsn();
        let mut tail = chain.finish().map_err(|fault| self.damage(next, fault.to_string()))?;
        tail.epoch = tail.epoch.max(store.epoch);
        Ok(tail)
    }
}

impl Shared {
    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().expect(LOCK)
    }

    fn frame_from(&self, lsn: Lsn) -> Option<Frame> {
        let store = self.store.read().expect(LOCK);
        if lsn > store.durable.lsn {
            return None;
        }
        store.frames.get(store.position_of(lsn)).filter(|frame| frame.first_lsn() <= lsn).cloned()
    }
}

impl Journal for MemoryJournal {
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.check_shard(shard)?;
        if let Some(since) = self.shared.process().poisoned.clone() {
            return Err(JournalError::Poisoned { shard, since });
        }
        let mut store = self.shared.store.write().expect(LOCK);
        let mut tail = self.check(&store, visit)?;
        let keep = store.position_of(tail.next_lsn);
        store.frames.truncate(keep);
        store.bytes = tail.bytes;
        store.durable = ChainPoint { lsn: Lsn(tail.next_lsn.0 - 1), hash: tail.last_hash };
        tail.epoch = Epoch(tail.epoch.0 + 1);
        store.epoch = tail.epoch;
        tracing::debug!(owner, epoch = tail.epoch.0, "journal in memory opened for writing");
        let writer = MemoryWriter { shared: self.shared.clone(), epoch: tail.epoch };
        Ok((Box::new(writer), tail))
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.check_shard(shard)?;
        self.check(&self.shared.store.read().expect(LOCK), visit)
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        self.check_shard(shard)?;
        let base = self.shared.store.read().expect(LOCK).base.lsn;
        let from = from.max(Lsn(1));
        if from <= base {
            return Err(JournalError::Trimmed { shard, wanted: from, first: base.next() });
        }
        let shared = self.shared.clone();
        let mut next = from;
        Ok(Box::new(std::iter::from_fn(move || {
            let frame = shared.frame_from(next)?;
            next = frame.last_lsn().next();
            Some(Ok(frame))
        })))
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        self.check_shard(shard)?;
        Ok(self.shared.frame_from(lsn))
    }

    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        self.check_shard(shard)?;
        let mut store = self.shared.store.write().expect(LOCK);
        let mut report = TrimReport::default();
        while store.frames.len() > 1 && store.frames[0].last_lsn() <= upto {
            report.segments += 1;
            report.bytes += store.drop_first();
        }
        report.first_lsn = store.base.lsn.next();
        Ok(report)
    }

    fn base(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        self.check_shard(shard)?;
        Ok(self.shared.store.read().expect(LOCK).base)
    }

    fn end(&self, shard: ShardId) -> Result<Lsn, JournalError> {
        self.check_shard(shard)?;
        Ok(self.shared.store.read().expect(LOCK).durable.lsn)
    }

    fn pieces(&self, shard: ShardId) -> Result<Vec<Piece>, JournalError> {
        self.check_shard(shard)?;
        let store = self.shared.store.read().expect(LOCK);
        let last = store.frames.len().saturating_sub(1);
        let piece = |(at, frame): (usize, &Frame)| Piece {
            last: frame.last_lsn(),
            bytes: frame.bytes().len() as u64,
            is_droppable: at < last,
        };
        Ok(store.frames.iter().enumerate().map(piece).collect())
    }
}

#[derive(Debug)]
struct MemoryWriter {
    shared: Arc<Shared>,
    epoch: Epoch,
}

impl MemoryWriter {
    fn refuse(&self, expected: Lsn, store: &Store, batch: &AppendBuffer) -> Option<AppendError> {
        let place = Place::new(self.shared.shard, expected);
        if store.epoch != self.epoch {
            return Some(AppendError::Fenced { place, epoch: self.epoch, newer: store.epoch });
        }
        if let Some(since) = self.shared.process().poisoned.clone() {
            return Some(AppendError::Poisoned { place, since });
        }
        crate::append::misuse(expected, store.durable.lsn, batch)
            .map(|reason| AppendError::NotAppended { place, reason })
    }

    fn planned_failure(&self) -> Option<Failure> {
        let mut process = self.shared.process();
        process.appends += 1;
        let nth = process.appends;
        let failure = process.failures.iter().find(|(at, _)| *at == nth).map(|(_, how)| *how)?;
        process.poisoned = Some(format!("append {nth}: a failure was injected"));
        Some(failure)
    }
}

impl Writer for MemoryWriter {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn append(&mut self, expected: Lsn, batch: &mut AppendBuffer) -> Result<Lsn, AppendError> {
        let mut store = self.shared.store.write().expect(LOCK);
        if let Some(refusal) = self.refuse(expected, &store, batch) {
            return Err(refusal);
        }
        let place = Place::new(self.shared.shard, expected);
        let failure = self.planned_failure();
        if failure == Some(Failure::NotAppended) {
            let reason = Injected.to_string();
            return Err(AppendError::NotAppended { place, reason });
        }
        let hash = batch.seal(self.shared.shard, self.epoch, store.durable.hash);
        let keep = match failure {
            Some(Failure::InDoubt { frames_kept }) => frames_kept,
            _ => usize::MAX,
        };
        store_frames(&mut store, batch, keep);
        if failure.is_some() {
            let source = Box::new(Injected);
            return Err(AppendError::InDoubt { place, verb: "store the frames", source });
        }
        let last = batch.last_lsn().expect("an empty batch was refused");
        store.durable = ChainPoint { lsn: last, hash };
        retain(&mut store);
        Ok(last)
    }
}

/// One allocation for the whole append; the frames share it.
fn store_frames(store: &mut Store, batch: &AppendBuffer, keep: usize) {
    let buffer: Arc<[u8]> = batch.as_bytes().into();
    let mut start = 0;
    for (_, bytes) in batch.frames().take(keep) {
        let range = start..start + bytes.len();
        start = range.end;
        store.bytes += bytes.len() as u64;
        let frame = Frame::parse_shared(&buffer, range).expect("it was sealed a moment ago");
        store.frames.push_back(frame);
    }
}

fn retain(store: &mut Store) {
    let Some(most) = store.retain_bytes else {
        return;
    };
    while store.bytes > most && store.frames.len() > 1 {
        store.drop_first();
    }
}
