//! A journal and its archive as one sequence: what was trimmed is read from the archive.
//!
//! ```text
//!   archive: file ▸ file ▸ file │ (may reach into the journal, with the same frames)
//!                        base ──┤ journal: segment ▸ segment …
//! ```
//!
//! Opening for writing and reading from a place that the journal still has ask the journal alone,
//! so that an archive that cannot be read stops nothing that does not need it. What does need it
//! gets an error that names the file.

use super::{ArchiveError, ArchiveStore, Frames};
use crate::chain::{Chain, ChainPoint, Stop};
use crate::contract::{
    Damage, FrameReader, Journal, JournalError, Piece, Place, ScanProgress, Tail, TrimReport,
    Visitor, Writer,
};
use crate::frame::Frame;
use ducat_engine::ids::{Lsn, ShardId};
use std::sync::Arc;

/// A journal of one shard, number 0, with its archive. Clones are the same.
#[derive(Clone)]
pub struct ArchivedJournal {
    journal: Arc<dyn Journal>,
    archive: Result<Arc<ArchiveStore>, Arc<ArchiveError>>,
}

const SHARD: ShardId = ShardId(0);

impl ArchivedJournal {
    /// A journal and its archive, or why that cannot be read: said whenever it is needed.
    #[must_use]
    pub fn new(
        journal: Arc<dyn Journal>,
        archive: Result<Arc<ArchiveStore>, ArchiveError>,
    ) -> Self {
        Self { journal, archive: archive.map_err(Arc::new) }
    }

    /// The journal alone.
    #[must_use]
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// The archive, or why it cannot be read.
    ///
    /// # Errors
    /// As it was opened with.
    pub fn archive(&self) -> Result<&Arc<ArchiveStore>, &ArchiveError> {
        self.archive.as_ref().map_err(|error| &**error)
    }

    fn usable(&self, lsn: Lsn) -> Result<&Arc<ArchiveStore>, JournalError> {
        self.archive.as_ref().map_err(|error| damage_of(Arc::clone(error), lsn))
    }

    /// The archive, when it reaches from before `next` to the journal's base; `None` when there
    /// is none at all.
    fn reaching(
        &self,
        next: Lsn,
        base: ChainPoint,
    ) -> Result<Option<&Arc<ArchiveStore>>, JournalError> {
        let archive = self.usable(next)?;
        let Some(begin) = archive.begin() else { return Ok(None) };
        if archive.end().lsn < base.lsn {
            let error = ArchiveError::Short {
                dir: archive.dir().into(),
                end: archive.end().lsn,
                base: base.lsn,
            };
            return Err(error.into_journal(SHARD, next));
        }
        if next <= begin.lsn {
            let (shard, first) = (SHARD, begin.lsn.next());
            return Err(JournalError::Trimmed { shard, wanted: next, first });
        }
        Ok(Some(archive))
    }

    /// The tail of a journal that begins where the archive does.
    fn begun(&self, tail: Tail) -> Tail {
        let begin = self.archive.as_ref().ok().and_then(|archive| archive.begin());
        let first_lsn = begin.map_or(tail.first_lsn, |begin| begin.lsn.next().min(tail.first_lsn));
        Tail { first_lsn, ..tail }
    }

    /// Shows the archived frames behind `after`, or all, up to the journal's base, each checked.
    fn show(
        &self,
        after: Option<ChainPoint>,
        visit: &mut Visitor<'_>,
    ) -> Result<Option<Shown>, JournalError> {
        let base = self.journal.base(SHARD)?;
        if after.map_or(base.lsn == Lsn::ZERO, |after| after.lsn >= base.lsn) {
            return Ok(None);
        }
        let Some(archive) = self.reaching(after.map_or(Lsn(1), |after| after.lsn.next()), base)?
        else {
            return Ok(None);
        };
        let begin = archive.begin().unwrap_or(base);
        let start = after.unwrap_or(begin);
        if let Some(after) = after {
            check_point(archive, after)?;
        }
        let goal = self.journal.end(SHARD)?;
        let mut chain = Chain::new(SHARD, start, base);
        let mut shown = Shown { first_lsn: begin.lsn.next(), ..Shown::default() };
        for frame in archive.read(start.lsn.next()) {
            let frame = frame.map_err(|error| error.into_journal(SHARD, chain.next_lsn()))?;
            if frame.first_lsn() > base.lsn {
                break;
            }
            let (lsn, hash) = (frame.first_lsn(), frame.hash());
            let accepted = chain.accept(frame, hash, &mut |frame, at| {
                shown.add(&at);
                visit(frame, ScanProgress { first_lsn: start.lsn.next(), goal_lsn: goal, ..at })
            });
            accepted.map_err(|stop| stopped(stop, lsn))?;
        }
        let next = chain.next_lsn();
        chain.finish().map_err(|fault| stopped(Stop::<crate::ReplayError>::Fault(fault), next))?;
        Ok(Some(shown))
    }
}

/// What the archive gave before the journal.
#[derive(Default, Clone, Copy)]
struct Shown {
    first_lsn: Lsn,
    frames: u64,
    bytes: u64,
    records: u64,
    last: Lsn,
}

impl Shown {
    fn add(&mut self, at: &ScanProgress) {
        self.records += at.lsn.0 - self.last.0.max(at.first_lsn.0 - 1);
        (self.frames, self.bytes, self.last) = (at.frames, at.bytes, at.lsn);
    }

    /// Progress in the journal, counted on.
    fn further(&self, at: ScanProgress) -> ScanProgress {
        let (frames, bytes) = (self.frames + at.frames, self.bytes + at.bytes);
        ScanProgress { frames, bytes, first_lsn: self.first_lsn, ..at }
    }

    fn before(&self, tail: Tail) -> Tail {
        Tail {
            first_lsn: self.first_lsn,
            frames: self.frames + tail.frames,
            records: self.records + tail.records,
            bytes: self.bytes + tail.bytes,
            ..tail
        }
    }
}

/// The archive must have the very frame that ends there.
fn check_point(archive: &Arc<ArchiveStore>, after: ChainPoint) -> Result<(), JournalError> {
    let place = Place::in_path(SHARD, after.lsn, archive.dir());
    if archive.begin().is_some_and(|begin| begin == after) {
        return Ok(());
    }
    let found = archive.frame_at(after.lsn).map_err(|e| e.into_journal(SHARD, after.lsn))?;
    match found {
        Some(frame) if frame.last_lsn() == after.lsn => {
            crate::behind::check_hash(place, frame.hash(), after.hash)
        }
        Some(frame) => Err(crate::behind::within_frame(place, &frame)),
        None => {
            let what = "nothing ends there".to_owned();
            Err(JournalError::OtherHistory { place, what })
        }
    }
}

fn stopped(stop: Stop<crate::ReplayError>, lsn: Lsn) -> JournalError {
    match stop {
        Stop::Fault(fault) => {
            let (place, what) = (Place::new(SHARD, lsn), format!("the archive: {fault}"));
            Damage { place, what, data_dir: None, source: None }.into()
        }
        Stop::Visitor(lsn, source) => JournalError::Replay { shard: SHARD, lsn, source },
    }
}

fn damage_of(error: Arc<ArchiveError>, lsn: Lsn) -> JournalError {
    let place = Place { shard: SHARD, lsn, path: error.path().map(Into::into) };
    if error.is_damage() {
        let what = "its archived part cannot be read".to_owned();
        return Damage { place, what, data_dir: None, source: Some(error.into()) }.into();
    }
    JournalError::Store { verb: "open the archive", place, source: error.into() }
}

impl Journal for ArchivedJournal {
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        match self.show(None, visit)? {
            None => self.journal.open_writer_with(shard, owner, visit),
            Some(shown) => {
                let opened = self.journal.open_writer_with(shard, owner, &mut |frame, at| {
                    visit(frame, shown.further(at))
                });
                opened.map(|(writer, tail)| (writer, shown.before(tail)))
            }
        }
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        match self.show(None, visit)? {
            None => self.journal.scan(shard, visit),
            Some(shown) => {
                let mut further = |frame: &Frame, at| visit(frame, shown.further(at));
                self.journal.scan(shard, &mut further).map(|tail| shown.before(tail))
            }
        }
    }

    fn open_writer_after(
        &self,
        shard: ShardId,
        owner: &str,
        after: ChainPoint,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        match self.show(Some(after), visit)? {
            None => {
                let opened = self.journal.open_writer_after(shard, owner, after, visit);
                opened.map(|(writer, tail)| (writer, self.begun(tail)))
            }
            Some(shown) => {
                let opened = self.journal.open_writer_with(shard, owner, &mut |frame, at| {
                    visit(frame, shown.further(at))
                });
                opened.map(|(writer, tail)| (writer, shown.before(tail)))
            }
        }
    }

    fn scan_after(
        &self,
        shard: ShardId,
        after: ChainPoint,
        visit: &mut Visitor<'_>,
    ) -> Result<Tail, JournalError> {
        match self.show(Some(after), visit)? {
            None => self.journal.scan_after(shard, after, visit).map(|tail| self.begun(tail)),
            Some(shown) => {
                let mut further = |frame: &Frame, at| visit(frame, shown.further(at));
                self.journal.scan(shard, &mut further).map(|tail| shown.before(tail))
            }
        }
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        let from = from.max(Lsn(1));
        match self.journal.read(shard, from) {
            Err(JournalError::Trimmed { first, .. }) if shard == SHARD => {
                let base = self.journal.base(shard)?;
                if self.reaching(from, base)?.is_none() {
                    return Err(JournalError::Trimmed { shard, wanted: from, first });
                }
                let (view, source) = (self.clone(), Source::Nothing);
                Ok(Box::new(Reader { view, source, next: from, failed: false }))
            }
            other => other,
        }
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        if let Some(frame) = self.journal.frame_at(shard, lsn)? {
            return Ok(Some(frame));
        }
        // Asked for after the journal: it may have been trimmed meanwhile.
        if lsn == Lsn::ZERO || lsn > self.journal.base(shard)?.lsn {
            return Ok(None);
        }
        let archive = self.usable(lsn)?;
        let found = archive.frame_at(lsn).map_err(|error| error.into_journal(shard, lsn))?;
        if found.is_none() && archive.begin().is_some_and(|begin| begin.lsn < lsn) {
            self.reaching(lsn, self.journal.base(shard)?)?;
        }
        Ok(found)
    }

    fn base(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        let base = self.journal.base(shard)?;
        let begin = self.archive.as_ref().ok().and_then(|archive| archive.begin());
        Ok(begin.filter(|begin| begin.lsn < base.lsn).unwrap_or(base))
    }

    fn trimmed_to(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        self.journal.base(shard)
    }

    fn end(&self, shard: ShardId) -> Result<Lsn, JournalError> {
        self.journal.end(shard)
    }

    fn pieces(&self, shard: ShardId) -> Result<Vec<Piece>, JournalError> {
        self.journal.pieces(shard)
    }

    /// Only what the archive holds is dropped.
    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        let archived = self.usable(upto)?.end().lsn;
        self.journal.trim(shard, upto.min(archived))
    }
}

/// Reads on from the archive into the journal.
struct Reader {
    view: ArchivedJournal,
    source: Source,
    next: Lsn,
    failed: bool,
}

enum Source {
    Nothing,
    Archive(Frames),
    Journal(FrameReader),
}

impl Reader {
    fn read(&mut self) -> Result<Option<Frame>, JournalError> {
        loop {
            match &mut self.source {
                Source::Archive(frames) => match frames.next().transpose() {
                    Ok(Some(frame)) => return Ok(Some(frame)),
                    // The archive's end: the journal goes on, or it was archived meanwhile.
                    Ok(None) => self.source = Source::Nothing,
                    Err(error) => return Err(error.into_journal(SHARD, self.next)),
                },
                Source::Journal(frames) => match frames.next().transpose() {
                    Err(JournalError::Trimmed { .. }) => self.source = Source::Nothing,
                    other => return other,
                },
                Source::Nothing => {
                    self.source = match self.view.journal.read(SHARD, self.next) {
                        Ok(frames) => Source::Journal(frames),
                        Err(JournalError::Trimmed { .. }) => {
                            let base = self.view.journal.base(SHARD)?;
                            let archive = self.view.reaching(self.next, base)?;
                            match archive {
                                Some(archive) => Source::Archive(archive.read(self.next)),
                                None => return Ok(None),
                            }
                        }
                        Err(error) => return Err(error),
                    };
                }
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Frame, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = self.read().transpose();
        match &read {
            Some(Ok(frame)) => self.next = frame.last_lsn().next(),
            Some(Err(_)) => self.failed = true,
            None => {}
        }
        read
    }
}
