//! One shard's journal: its segments, its mark, and who may write.
//!
//! Locks, in the order they are taken: `write` (one append, opening or trim at a
//! time), then those inside [`Table`]. Readers take only the latter and look no
//! further than `durable`.

use super::fences::Fences;
use super::options::SledOptions;
use super::sealer::Sealer;
use super::segment::{Segment, StoreError};
use super::table::Table;
use crate::chain::ChainPoint;
use crate::contract::{Damage, JournalError, Piece, Place, Tail, TrimReport, Visitor};
use crate::data_dir::DataDir;
use crate::files::{io_error, sync_dir, tree_bytes};
use crate::frame::{Frame, genesis_hash};
use crate::mark::{Mark, MarkError, MarkFile};
use crate::with_causes;
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What only one thread at a time may touch.
pub(super) struct WriteState {
    pub(super) mark_file: MarkFile,
    /// What the file says.
    pub(super) mark: Mark,
    /// The first failure, after which nothing is written any more.
    pub(super) poisoned: Option<String>,
    /// Set while a writer of this process is open.
    pub(super) writing: Option<Writing>,
}

/// Where the next append goes.
pub(super) struct Writing {
    pub(super) segment: Arc<Segment>,
    pub(super) segment_bytes: u64,
    pub(super) fences: Fences,
    /// What frames are sealed with, in an encrypted ledger.
    pub(super) sealer: Option<Sealer>,
    /// Appends since the last look for blob files.
    pub(super) unchecked: u32,
}

/// Reads a shard's mark and checks that it is this ledger's.
fn read_mark(dir: &DataDir, id: ShardId) -> Result<(MarkFile, Mark), JournalError> {
    let path = dir.mark_path(id);
    let damage = |what: String| {
        let place = Place::in_path(id, Lsn::ZERO, &path);
        let data_dir = Some(dir.root().to_owned());
        JournalError::from(Damage { place, what, data_dir, source: None })
    };
    let (file, mark) = MarkFile::open(&path).map_err(|error| match error {
        MarkError::Io { verb, path, source } => JournalError::Io { verb, path, source },
        other => damage(other.to_string()),
    })?;
    if mark.ledger != dir.ledger() {
        let what = format!("the mark is of ledger {}, FORMAT of {}", mark.ledger, dir.ledger());
        return Err(damage(what));
    }
    let start = genesis_hash(dir.ledger(), id);
    if mark.base.lsn == Lsn::ZERO && mark.base.hash != start {
        return Err(damage("the mark names another shard's beginning".to_owned()));
    }
    Ok((file, mark))
}

/// A shard's journal on disk.
pub(super) struct Shard {
    pub(super) id: ShardId,
    pub(super) root: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) options: SledOptions,
    pub(super) table: Table,
    /// Last LSN that readers may see.
    durable: AtomicU64,
    /// The last event that was trimmed; read without waiting for an append.
    base: Mutex<ChainPoint>,
    write: Mutex<WriteState>,
}

impl Shard {
    /// Reads the mark and lists the segments; opens none.
    pub(super) fn load(
        dir: &DataDir,
        id: ShardId,
        options: &SledOptions,
    ) -> Result<Self, JournalError> {
        let journal = dir.journal_dir(id);
        let (mark_file, mark) = read_mark(dir, id)?;
        let table = Table::list(&journal, options.clone()).map_err(io_error("list", &journal))?;
        Ok(Self {
            id,
            root: dir.root().to_owned(),
            journal,
            options: options.clone(),
            table,
            durable: AtomicU64::new(mark.durable.lsn.0),
            base: Mutex::new(mark.base),
            write: Mutex::new(WriteState { mark_file, mark, poisoned: None, writing: None }),
        })
    }

    /// The last LSN that readers may see.
    pub(super) fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn set_durable(&self, lsn: Lsn) {
        self.durable.store(lsn.0, Ordering::Release);
    }

    /// The last LSN that was trimmed.
    pub(super) fn base(&self) -> Lsn {
        self.base_point().lsn
    }

    /// The state, unless something failed before.
    pub(super) fn lock_write(&self) -> Result<MutexGuard<'_, WriteState>, String> {
        let Ok(state) = self.write.lock() else {
            return Err("a thread panicked while it held the journal".to_owned());
        };
        match &state.poisoned {
            Some(since) => Err(since.clone()),
            None => Ok(state),
        }
    }

    /// Nothing is written any more, not even while closing.
    pub(super) fn poison(&self, state: &mut WriteState, what: String) {
        self.table.abandon();
        tracing::error!(what, "the journal is poisoned");
        state.poisoned.get_or_insert(what);
    }

    fn lock_open(&self) -> Result<MutexGuard<'_, WriteState>, JournalError> {
        self.lock_write().map_err(|since| JournalError::Poisoned { shard: self.id, since })
    }

    /// Damage at a place in a directory.
    pub(super) fn damage(&self, lsn: Lsn, path: &Path, what: impl Into<String>) -> JournalError {
        let place = Place::in_path(self.id, lsn, path);
        Damage { place, what: what.into(), data_dir: Some(self.root.clone()), source: None }.into()
    }

    /// An error of a segment: damage, or the system's refusal.
    pub(super) fn store_error(
        &self,
        verb: &'static str,
        lsn: Lsn,
        path: &Path,
        error: StoreError,
    ) -> JournalError {
        let place = Place::in_path(self.id, lsn, path);
        if !error.is_damage() {
            return JournalError::Store { verb, place, source: error.into() };
        }
        let what = format!("could not {verb}");
        let data_dir = Some(self.root.clone());
        Damage { place, what, data_dir, source: Some(error.into()) }.into()
    }

    /// Checks everything behind `after`, or everything; takes the next epoch and makes it
    /// durable.
    pub(super) fn open_writer(
        &self,
        after: Option<ChainPoint>,
        visit: &mut Visitor<'_>,
    ) -> Result<Tail, JournalError> {
        let mut state = self.lock_open()?;
        self.remove_leftovers(state.mark.base)?;
        // The process before may have died between naming a segment and making the name durable.
        sync_dir(&self.journal).map_err(io_error("sync", &self.journal))?;
        let (mut tail, segment_bytes) = self.recover(&state.mark, after, None, visit)?;
        let segment = self.last_segment(&tail)?;
        if tail.dropped.is_some() {
            segment.remove_from(tail.next_lsn).map_err(|error| {
                self.poison(&mut state, with_causes(&error));
                self.store_error("drop the torn tail", tail.next_lsn, &segment.dir, error)
            })?;
        }
        tail.epoch = tail.epoch.max(state.mark.epoch);
        tail.epoch = Epoch(tail.epoch.0 + 1);
        let durable = ChainPoint { lsn: Lsn(tail.next_lsn.0 - 1), hash: tail.last_hash };
        let mark = Mark { epoch: tail.epoch, durable, ..state.mark };
        self.write_mark(&mut state, mark)?;
        self.set_durable(durable.lsn);
        let (fences, sealer) = (Fences::default(), self.sealer()?);
        state.writing = Some(Writing { segment, segment_bytes, fences, sealer, unchecked: 0 });
        Ok(tail)
    }

    /// A fresh data key for what is appended to a segment from now on.
    fn sealer(&self) -> Result<Option<Sealer>, JournalError> {
        let fresh = self.options.vault.as_ref().map(Sealer::new).transpose();
        fresh.map_err(|error| {
            let place = Place::in_path(self.id, self.durable().next(), &self.journal);
            JournalError::Store { verb: "draw a data key", place, source: error.into() }
        })
    }

    /// The segment to append to; the first one is created here.
    fn last_segment(&self, tail: &Tail) -> Result<Arc<Segment>, JournalError> {
        let Some(last) = self.table.firsts().last().copied() else {
            let created = Segment::create(&self.journal, tail.next_lsn, &self.options);
            let segment = Arc::new(created.map_err(|error| {
                self.store_error("create a segment", tail.next_lsn, &self.journal, error)
            })?);
            self.table.add_pinned(&segment);
            return Ok(segment);
        };
        let dir = self.table.dir_of(last);
        let segment = self
            .table
            .pin(last)
            .map_err(|error| self.store_error("open the segment", last, &dir, error))?;
        Ok(segment.expect("it is in the table, and only a trim under the same lock removes it"))
    }

    fn write_mark(&self, state: &mut WriteState, mark: Mark) -> Result<(), JournalError> {
        if let Err(error) = state.mark_file.write(&mark) {
            self.poison(state, error.to_string());
            let place = Place::in_path(self.id, mark.durable.lsn, state.mark_file.path());
            return Err(JournalError::Store {
                verb: "write the mark",
                place,
                source: error.into(),
            });
        }
        state.mark = mark;
        Ok(())
    }

    /// Removes what an interrupted creation or trim left behind.
    fn remove_leftovers(&self, base: ChainPoint) -> Result<(), JournalError> {
        let listing = io_error("list", &self.journal);
        let entries: Vec<_> =
            fs::read_dir(&self.journal).and_then(Iterator::collect).map_err(listing)?;
        for entry in entries {
            if entry.path().extension().is_some_and(|extension| extension == "new") {
                fs::remove_dir_all(entry.path()).map_err(io_error("remove", &entry.path()))?;
            }
        }
        for first in self.trimmed(base.lsn) {
            self.remove_segment(first)?;
        }
        Ok(())
    }

    /// Segments that hold nothing beyond `upto`; never the last one.
    pub(super) fn trimmed(&self, upto: Lsn) -> Vec<Lsn> {
        let firsts = self.table.firsts();
        let pairs = firsts.windows(2).take_while(|pair| pair[1] <= upto.next());
        pairs.map(|pair| pair[0]).collect()
    }

    fn remove_segment(&self, first: Lsn) -> Result<u64, JournalError> {
        let dir = self.table.dir_of(first);
        let bytes = tree_bytes(&dir);
        self.table.forget(first);
        match fs::remove_dir_all(&dir) {
            // Another who opened the journal was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(io_error("remove", &dir))?,
        }
        sync_dir(&self.journal).map_err(io_error("sync", &self.journal))?;
        Ok(bytes)
    }

    /// As [`crate::contract::Journal::trim`]. The new beginning is durable before
    /// anything is removed; appends go on while it is.
    pub(super) fn trim(&self, upto: Lsn) -> Result<TrimReport, JournalError> {
        let dropped = self.trimmed(upto.min(self.durable()));
        let mut report = TrimReport { first_lsn: self.base().next(), ..TrimReport::default() };
        let Some(after) = dropped.last().and_then(|last| self.table.after(*last)) else {
            return Ok(report);
        };
        let end = Lsn(after.0 - 1);
        if end > self.base() {
            // Looked up before the lock: appends go on meanwhile.
            let frame = self.frame_at(end)?.filter(|frame| frame.last_lsn() == end);
            let frame = frame.ok_or_else(|| {
                self.damage(end, &self.journal, "no frame ends where the next segment begins")
            })?;
            let base = ChainPoint { lsn: end, hash: frame.hash() };
            let mut state = self.lock_open()?;
            if base.lsn > state.mark.base.lsn {
                let mark = Mark { base, ..state.mark };
                self.write_mark(&mut state, mark)?;
                *self.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
            }
        }
        for first in dropped {
            report.bytes += self.remove_segment(first)?;
            report.segments += 1;
        }
        report.first_lsn = after;
        Ok(report)
    }

    /// As [`crate::contract::Journal::base`].
    pub(super) fn base_point(&self) -> ChainPoint {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`crate::contract::Journal::pieces`].
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let firsts = self.table.firsts();
        let piece = |(at, first): (usize, &Lsn)| {
            let next = firsts.get(at + 1);
            Piece {
                last: next.map_or_else(|| self.durable(), |next| Lsn(next.0 - 1)),
                bytes: tree_bytes(&self.table.dir_of(*first)),
                is_droppable: next.is_some_and(|next| *next <= self.durable().next()),
            }
        };
        firsts.iter().enumerate().map(piece).collect()
    }

    /// As [`crate::contract::Journal::scan`].
    pub(super) fn scan(
        &self,
        after: Option<ChainPoint>,
        visit: &mut Visitor<'_>,
    ) -> Result<Tail, JournalError> {
        let (mark, writing) = {
            let state = self.lock_open()?;
            (state.mark, state.writing.is_some())
        };
        let limit = writing.then_some(mark.durable.lsn);
        let (mut tail, _) = self.recover(&mark, after, limit, visit)?;
        tail.epoch = tail.epoch.max(mark.epoch);
        Ok(tail)
    }

    /// As [`crate::contract::Journal::frame_at`].
    pub(super) fn frame_at(&self, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        if lsn == Lsn::ZERO || lsn > self.durable() || lsn <= self.base() {
            return Ok(None);
        }
        let missing = || self.damage(lsn, &self.journal, "the segment is missing");
        let first = self.table.first_for(lsn).ok_or_else(missing)?;
        let dir = self.table.dir_of(first);
        let failed = |error| self.store_error("read a frame", lsn, &dir, error);
        let found = match self.table.get(first).map_err(failed)? {
            Some(segment) => segment.at(lsn).map_err(failed)?,
            None => None,
        };
        match found {
            Some(frame) if frame.first_lsn() <= lsn && lsn <= frame.last_lsn() => Ok(Some(frame)),
            // Trimmed while we looked.
            _ if lsn <= self.base() => Ok(None),
            _ => Err(self.damage(lsn, &dir, "no frame holds this record")),
        }
    }
}
