//! The journal on a simulated disk: the third implementation of the contract.
//!
//! Frames, the buffer they are laid out in, the chain that recovery follows, the mark's slots,
//! the rules of misuse and what lies behind a place are `ducat_persistence`'s own. What stands
//! here is what sled and the files around it are in the product: blocks in segments, and the
//! order of writes and syncs, step by step that of `sled_journal/{shard,recovery,writer}.rs`.
//! The conformance suite of the contract runs over it (`sim/tests/conformance.rs`).
//!
//! ```text
//! append: roll? ▸ seal ▸ write blocks ▸ sync ▸ write mark ▸ sync ▸ Ok
//! open:   remove leftovers ▸ settle ▸ chain ▸ drop the torn tail ▸ sync ▸ mark with a new epoch
//! ```

mod block;
mod writer;

use crate::disk::{Phase, SECTOR, Shared};
use crate::faults::Fault;
use block::{BLOCK_HEADER, frames_of, read_block};
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_persistence::chain::{Chain, ChainPoint, Stop};
use ducat_persistence::frame::genesis_hash;
use ducat_persistence::mark::{self, Mark, SLOT_BYTES};
use ducat_persistence::{
    Damage, Frame, FrameReader, Journal, JournalError, LedgerId, Place, Tail, TrimReport, Visitor,
    Writer,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use writer::SimWriter;

/// The one shard.
pub const SHARD: ShardId = ShardId(0);
const MARK: &str = "mark";
const DIR: &str = "journal";
/// How large things become.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A block is closed once it has this many bytes.
    pub block_bytes: usize,
    /// A segment is closed once it has this many bytes of frames.
    pub segment_bytes: usize,
}

/// Where a block lies.
#[derive(Clone, Copy, Debug)]
struct BlockAt {
    segment: u64,
    at: usize,
    bytes: usize,
}

#[derive(Debug)]
struct State {
    sequence: u64,
    slot: usize,
    mark: Mark,
    /// First LSN of each segment, and where its next block goes.
    segments: BTreeMap<u64, usize>,
    segment_bytes: usize,
    blocks: BTreeMap<u64, BlockAt>,
    poisoned: Option<String>,
    writing: bool,
}

#[derive(Debug)]
struct Inner {
    disk: Shared,
    options: Options,
    fault: Fault,
    state: Mutex<State>,
}

/// The journal. Clones are the same one.
#[derive(Clone, Debug)]
pub struct SimJournal(Arc<Inner>);

fn segment_name(first: u64) -> String {
    format!("{DIR}/{first:020}")
}

fn damage(lsn: Lsn, what: impl Into<String>) -> JournalError {
    let (place, what) = (Place::new(SHARD, lsn), what.into());
    Damage { place, what, data_dir: None, source: None }.into()
}

fn refused(verb: &'static str, path: &str) -> impl FnOnce(io::Error) -> JournalError {
    let path = PathBuf::from(path);
    move |source| JournalError::Io { verb, path, source }
}

/// Makes the files of an empty journal, durably.
///
/// # Errors
/// As the disk does.
pub fn format(disk: &Shared, ledger: LedgerId) -> io::Result<()> {
    let start = ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(ledger, SHARD) };
    let mark = Mark { ledger, epoch: Epoch(0), durable: start, base: start };
    let mut disk = disk.lock();
    disk.create(MARK)?;
    for slot in 0..2 {
        let mut bytes = [0; SLOT_BYTES];
        mark::encode(&mut bytes, slot as u64 + 1, &mark);
        disk.write(MARK, slot * SLOT_BYTES, &bytes)?;
    }
    disk.sync(MARK)?;
    disk.sync_dir("")
}

impl SimJournal {
    /// Reads the mark and lists the segments.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] for an unreadable mark.
    pub fn open(
        disk: &Shared,
        ledger: LedgerId,
        options: Options,
        fault: Fault,
    ) -> Result<Self, JournalError> {
        let (mark, segments) = {
            let mut disk = disk.lock();
            disk.phase = Phase::Start;
            if disk.list("").iter().any(|name| name == MARK) {
                // The real one is opened with `O_DSYNC`: nothing of it is ever only cached.
                disk.settle(MARK).map_err(refused("read", MARK))?;
            }
            let mut slots = [[0; SLOT_BYTES]; 2];
            let bytes = disk.read(MARK);
            if bytes.len() != 2 * SLOT_BYTES {
                return Err(damage(Lsn::ZERO, "the mark is missing or cut off"));
            }
            slots.as_flattened_mut().copy_from_slice(bytes);
            let mark = mark::newer_of(Path::new(MARK), &slots);
            let mark = mark.map_err(|error| damage(Lsn::ZERO, error.to_string()))?;
            let names = disk.list(DIR);
            let first = |name: &String| name.rsplit('/').next().and_then(|n| n.parse().ok());
            let segments = names.iter().filter_map(first).map(|first| (first, 0)).collect();
            (mark, segments)
        };
        let (slot, sequence, mark) = mark;
        if mark.ledger != ledger {
            return Err(damage(Lsn::ZERO, "the mark is of another ledger"));
        }
        let state = State {
            sequence,
            slot,
            mark,
            segments,
            segment_bytes: 0,
            blocks: BTreeMap::new(),
            poisoned: None,
            writing: false,
        };
        let inner = Inner { disk: disk.clone(), options, fault, state: Mutex::new(state) };
        Ok(Self(Arc::new(inner)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nobody panics while holding the journal")
    }

    /// The last acknowledged LSN.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.state().mark.durable.lsn
    }

    /// The last trimmed LSN.
    #[must_use]
    pub fn base(&self) -> Lsn {
        self.state().mark.base.lsn
    }

    fn check_shard(shard: ShardId) -> Result<(), JournalError> {
        if shard == SHARD { Ok(()) } else { Err(JournalError::UnknownShard(shard)) }
    }

    fn unpoisoned(&self) -> Result<MutexGuard<'_, State>, JournalError> {
        let state = self.state();
        match &state.poisoned {
            Some(since) => Err(JournalError::Poisoned { shard: SHARD, since: since.clone() }),
            None => Ok(state),
        }
    }
}

impl Inner {
    /// Writes the mark into the older slot; durable when it returns.
    fn write_mark(&self, state: &mut State, mark: Mark) -> io::Result<()> {
        let slot = 1 - state.slot;
        let mut bytes = [0; SLOT_BYTES];
        mark::encode(&mut bytes, state.sequence + 1, &mark);
        let mut disk = self.disk.lock();
        let phase = std::mem::replace(&mut disk.phase, Phase::Mark);
        let written = disk.write(MARK, slot * SLOT_BYTES, &bytes).and_then(|()| {
            if self.fault == Fault::MarkUnsynced { Ok(()) } else { disk.sync(MARK) }
        });
        disk.phase = phase;
        drop(disk);
        if let Err(error) = written {
            state.poisoned.get_or_insert(format!("could not write the mark: {error}"));
            return Err(error);
        }
        (state.slot, state.sequence, state.mark) = (slot, state.sequence + 1, mark);
        Ok(())
    }

    /// Makes durable what a segment's cache holds, and reads what the disk has.
    fn settle(&self, state: &State) -> Result<(), JournalError> {
        let mut disk = self.disk.lock();
        for first in state.segments.keys() {
            let name = segment_name(*first);
            disk.settle(&name).map_err(refused("settle", &name))?;
        }
        Ok(())
    }

    /// Finds every whole block.
    fn find_blocks(&self, state: &mut State) {
        state.blocks.clear();
        let disk = self.disk.lock();
        for (segment, end) in &mut state.segments {
            let bytes = disk.read(&segment_name(*segment));
            let mut at = 0;
            while at < bytes.len() {
                let check = self.fault != Fault::SkipChecksum;
                match read_block(&bytes[at..], check) {
                    Some((lsn, len)) => {
                        let place =
                            BlockAt { segment: *segment, at: at + BLOCK_HEADER, bytes: len };
                        state.blocks.insert(lsn, place);
                        at += (BLOCK_HEADER + len + 1).next_multiple_of(SECTOR);
                    }
                    None => at += SECTOR,
                }
            }
            *end = bytes.len().next_multiple_of(SECTOR);
        }
    }

    fn frames_at(&self, place: BlockAt) -> Result<Vec<Frame>, String> {
        let disk = self.disk.lock();
        let bytes = disk.read(&segment_name(place.segment));
        frames_of(&bytes[place.at..place.at + place.bytes], self.fault)
    }

    /// Segments that hold nothing beyond `upto`; never the last one.
    fn trimmed(state: &State, upto: Lsn) -> Vec<u64> {
        let firsts: Vec<u64> = state.segments.keys().copied().collect();
        let pairs = firsts.windows(2).take_while(|pair| pair[1] <= upto.0 + 1);
        pairs.map(|pair| pair[0]).collect()
    }

    fn remove_segment(&self, state: &mut State, first: u64) -> Result<(), JournalError> {
        let name = segment_name(first);
        let mut disk = self.disk.lock();
        state.segments.remove(&first);
        state.blocks.retain(|_, block| block.segment != first);
        disk.remove(&name).map_err(refused("remove", &name))?;
        disk.sync_dir(DIR).map_err(refused("sync", DIR))
    }

    /// Follows the chain from the base, whatever was trimmed before.
    fn recover(
        &self,
        state: &State,
        visit: &mut Visitor<'_>,
    ) -> Result<(Tail, usize), JournalError> {
        let mark = state.mark;
        let limit = state.writing.then_some(mark.durable.lsn);
        let passed = Self::trimmed(state, mark.base.lsn);
        let firsts = state.segments.keys().filter(|first| !passed.contains(first));
        let mut chain = Chain::new(SHARD, mark.base, mark.durable);
        let (mut segment_bytes, mut none) = (0, true);
        for first in firsts.copied() {
            if limit.is_some_and(|limit| first > limit.0) {
                break;
            }
            none = false;
            segment_bytes = 0;
            let next = chain.next_lsn();
            if first != next.0 {
                let what = format!("LSN {next} comes next, but the next segment starts at {first}");
                return Err(damage(next, what));
            }
            if chain.in_append() {
                return Err(damage(next, "the segment ends in the middle of an append"));
            }
            for (key, place) in state.blocks.iter().filter(|(_, place)| place.segment == first) {
                let frames = self.frames_at(*place);
                for frame in frames.map_err(|what| damage(Lsn(*key), what))? {
                    if limit.is_some_and(|limit| frame.first_lsn() > limit) {
                        continue;
                    }
                    segment_bytes += frame.bytes().len();
                    let (lsn, hash) = (frame.first_lsn(), frame.hash());
                    chain.accept(frame, hash, visit).map_err(|stop| match stop {
                        Stop::Fault(fault) => damage(lsn, fault.to_string()),
                        Stop::Visitor(lsn, source) => {
                            JournalError::Replay { shard: SHARD, lsn, source }
                        }
                    })?;
                }
            }
        }
        if none && mark.durable.lsn > Lsn::ZERO {
            return Err(damage(mark.base.lsn.next(), "no segment is there"));
        }
        let next = chain.next_lsn();
        let tail = chain.finish().map_err(|fault| damage(next, fault.to_string()))?;
        Ok((Tail { epoch: tail.epoch.max(mark.epoch), ..tail }, segment_bytes))
    }

    /// [`Fault::IgnoreTornTail`]: what follows without a gap counts, closed or not.
    fn with_torn_tail(
        &self,
        state: &State,
        mut tail: Tail,
        visit: &mut Visitor<'_>,
    ) -> Result<Tail, JournalError> {
        for place in state.blocks.values() {
            for frame in self.frames_at(*place).unwrap_or_default() {
                if frame.first_lsn() == tail.next_lsn && frame.header().prev_hash == tail.last_hash
                {
                    let at = ducat_persistence::ScanProgress::default();
                    let lsn = frame.first_lsn();
                    visit(&frame, at).map_err(|source| JournalError::Replay {
                        shard: SHARD,
                        lsn,
                        source,
                    })?;
                    tail.next_lsn = frame.last_lsn().next();
                    tail.last_hash = frame.hash();
                }
            }
        }
        tail.dropped = None;
        Ok(tail)
    }

    /// Removes every block that starts at `from` or later, durably.
    fn remove_from(&self, state: &mut State, from: Lsn) -> Result<(), JournalError> {
        let gone: Vec<(u64, BlockAt)> =
            state.blocks.range(from.0..).map(|(k, b)| (*k, *b)).collect();
        let mut disk = self.disk.lock();
        for (key, place) in gone {
            let name = segment_name(place.segment);
            let zeros = [0; SECTOR];
            let erased = disk.write(&name, place.at - BLOCK_HEADER, &zeros);
            erased.map_err(refused("drop the torn tail of", &name))?;
            state.blocks.remove(&key);
        }
        let last = state.segments.keys().last().copied();
        let name = segment_name(last.expect("a torn tail lies in a segment"));
        disk.sync(&name).map_err(refused("sync", &name))
    }

    fn create_segment(&self, state: &mut State, first: Lsn) -> io::Result<()> {
        let name = segment_name(first.0);
        let mut disk = self.disk.lock();
        disk.create(&name)?;
        disk.sync(&name)?;
        if self.fault != Fault::SkipDirSync {
            disk.sync_dir(DIR)?;
        }
        state.segments.insert(first.0, 0);
        state.segment_bytes = 0;
        Ok(())
    }

    fn frame_at(&self, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        let state = self.state.lock().expect("nobody panics while holding the journal");
        if lsn == Lsn::ZERO || lsn > state.mark.durable.lsn || lsn <= state.mark.base.lsn {
            return Ok(None);
        }
        let missing = || damage(lsn, "no frame holds this record");
        let (_, place) = state.blocks.range(..=lsn.0).next_back().ok_or_else(missing)?;
        let frames = self.frames_at(*place).map_err(|what| damage(lsn, what))?;
        let found = frames.into_iter().find(|f| f.first_lsn() <= lsn && lsn <= f.last_lsn());
        found.map(Some).ok_or_else(missing)
    }
}

impl Journal for SimJournal {
    fn open_writer_with(
        &self,
        shard: ShardId,
        _owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        Self::check_shard(shard)?;
        let mut state = self.unpoisoned()?;
        self.0.disk.lock().phase = Phase::Start;
        for first in Inner::trimmed(&state, state.mark.base.lsn) {
            self.0.remove_segment(&mut state, first)?;
        }
        // The process before may have died between naming a segment and making the name durable.
        if self.0.fault != Fault::SkipDirSync {
            self.0.disk.lock().sync_dir(DIR).map_err(refused("sync", DIR))?;
        }
        if !state.writing {
            self.0.settle(&state)?;
            self.0.find_blocks(&mut state);
        }
        let (mut tail, segment_bytes) = self.0.recover(&state, visit)?;
        if self.0.fault == Fault::IgnoreTornTail && tail.dropped.is_some() {
            tail = self.0.with_torn_tail(&state, tail, visit)?;
        }
        state.segment_bytes = segment_bytes;
        if state.segments.is_empty() {
            let created = self.0.create_segment(&mut state, tail.next_lsn);
            created.map_err(refused("create a segment in", DIR))?;
        }
        if tail.dropped.is_some() && self.0.fault != Fault::KeepTornTail {
            self.0.remove_from(&mut state, tail.next_lsn)?;
        }
        if self.0.fault != Fault::EpochReused {
            tail.epoch = Epoch(tail.epoch.0 + 1);
        }
        let durable = ChainPoint { lsn: Lsn(tail.next_lsn.0 - 1), hash: tail.last_hash };
        let mark = Mark { epoch: tail.epoch, durable, ..state.mark };
        self.0.write_mark(&mut state, mark).map_err(refused("write", MARK))?;
        state.writing = true;
        Ok((Box::new(SimWriter { journal: self.clone(), epoch: tail.epoch }), tail))
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        Self::check_shard(shard)?;
        let mut state = self.unpoisoned()?;
        if !state.writing {
            self.0.settle(&state)?;
            self.0.find_blocks(&mut state);
        }
        self.0.recover(&state, visit).map(|(tail, _)| tail)
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        Self::check_shard(shard)?;
        let (mut next, base) = (from.max(Lsn(1)), self.base());
        if next <= base {
            return Err(JournalError::Trimmed { shard, wanted: next, first: base.next() });
        }
        if !self.state().writing {
            let mut state = self.state();
            self.0.settle(&state)?;
            self.0.find_blocks(&mut state);
        }
        let journal = self.clone();
        let mut failed = false;
        Ok(Box::new(std::iter::from_fn(move || {
            if failed {
                return None;
            }
            match journal.0.frame_at(next) {
                Ok(None) => None,
                Ok(Some(frame)) => {
                    next = frame.last_lsn().next();
                    Some(Ok(frame))
                }
                Err(error) => {
                    failed = true;
                    Some(Err(error))
                }
            }
        })))
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        Self::check_shard(shard)?;
        if !self.state().writing {
            let mut state = self.state();
            self.0.settle(&state)?;
            self.0.find_blocks(&mut state);
        }
        self.0.frame_at(lsn)
    }

    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        Self::check_shard(shard)?;
        let state = self.unpoisoned()?;
        let dropped = Inner::trimmed(&state, upto.min(state.mark.durable.lsn));
        let mut report =
            TrimReport { first_lsn: state.mark.base.lsn.next(), ..TrimReport::default() };
        let Some(last) = dropped.last() else { return Ok(report) };
        let after = state.segments.range(last + 1..).next().expect("never the last one");
        let end = Lsn(after.0 - 1);
        drop(state);
        let frame = self.0.frame_at(end)?.filter(|frame| frame.last_lsn() == end);
        let frame = frame.ok_or_else(|| damage(end, "no frame ends there"))?;
        let mut state = self.unpoisoned()?;
        self.0.disk.lock().phase = Phase::Trim;
        let base = ChainPoint { lsn: end, hash: frame.hash() };
        if self.0.fault != Fault::TrimBeforeMark {
            let mark = Mark { base, ..state.mark };
            self.0.write_mark(&mut state, mark).map_err(refused("write", MARK))?;
        }
        for first in dropped {
            report.bytes += state.segments.get(&first).map_or(0, |end| *end as u64);
            self.0.remove_segment(&mut state, first)?;
            report.segments += 1;
        }
        if self.0.fault == Fault::TrimBeforeMark {
            let mark = Mark { base, ..state.mark };
            self.0.write_mark(&mut state, mark).map_err(refused("write", MARK))?;
        }
        report.first_lsn = end.next();
        Ok(report)
    }
}
