//! A journal read from its files alone: without the store, without writing a byte, and also
//! while a server writes it.
//!
//! ```text
//! FORMAT, mark ─▶ segments' files ─▶ carve: magic, length, CRC ─▶ hash chain from base to mark
//!      MANIFEST ─▶ archive files ─▶ what was trimmed, before that
//! ```
//!
//! The store over the files (sled) may write when it only opens them, locks others out, and
//! drops what it cannot read without a word. Frames need none of it: each is whole by its
//! checksum, and a chain of hashes that ends in the mark's vouches for all of them, in order,
//! with none missing or changed. So what the commands that look back read is exactly what was
//! acknowledged, or they say what is missing and where.
//!
//! * `carve`: the frames in a file;
//! * `reader`: those that belong to the journal, in order;
//! * [`inspect`]: everything that is wrong, for `verify` and `doctor`;
//! * `sound`: what comes before the first fault, as a journal;
//! * `store`: whether the store, too, gives back what lies in its files.

mod carve;
pub mod inspect;
mod reader;
mod sound;
mod store;

pub use carve::Broken;
pub use sound::SoundPart;

use crate::archive::{ArchiveError, ArchiveStore};
use crate::behind::Behind;
use crate::chain::{Chain, ChainPoint, Stop};
use crate::contract::{
    BoxError, Damage, FrameReader, Journal, JournalError, Place, ReplayError, Tail, TrimReport,
    Visitor, Writer,
};
use crate::data_dir::{DataDir, DataDirError, Held, archive_dir};
use crate::files::io_error;
use crate::frame::{Frame, genesis_hash};
use crate::ledger_id::LedgerId;
use crate::mark::{Mark, MarkError};
use crate::origin::Origin;
use crate::sled_journal::parse_dir_name;
use crate::vault::{KeyWrapper, Vault};
use carve::Carved;
use ducat_engine::ids::{Lsn, ShardId};
use reader::{Gap, Item, Reader};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Batches of frames that wait at most.
const BATCHES_MAX: usize = 16;
/// How often a segment that is being written is looked through at most.
const LIVE_TRIES: u32 = 100;
/// How often the list of segments is read again because a server trimmed it meanwhile.
const LIST_TRIES: u32 = 100;

/// A segment's file, held open: a server may trim it meanwhile.
#[derive(Debug)]
struct Segment {
    first: Lsn,
    path: PathBuf,
    file: File,
}

/// The journal of a data directory, for reading only. Clones share the open files.
#[derive(Debug, Clone)]
pub struct RawJournal(Arc<Files>);

/// What was opened.
#[derive(Debug)]
struct Files {
    root: PathBuf,
    ledger: LedgerId,
    origins: Vec<Origin>,
    shard: ShardId,
    mark: Mark,
    segments: Vec<Segment>,
    /// The ledger's keys, if it is encrypted.
    vault: Option<Vault>,
    /// What was trimmed, or why that cannot be read. Opened after the mark was read, so it holds
    /// all that the mark says was trimmed.
    archive: Result<Arc<ArchiveStore>, ArchiveError>,
    /// Whether a server writes to it.
    live: bool,
    /// The segment of the last single read.
    recent: Mutex<Option<(Lsn, Arc<Carved>)>>,
    /// Keeps servers out meanwhile, when none was there.
    _held: Option<Held>,
}

/// Why a directory's journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// The directory itself.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The journal in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl RawJournal {
    /// Reads the mark and opens the segments' files. With a server on the directory, what it
    /// has acknowledged by now is read; without one, none can start until this is dropped.
    ///
    /// # Errors
    /// [`RawError`]: no ledger, an unreadable or foreign mark, an encrypted one.
    pub fn open(root: &Path) -> Result<Self, RawError> {
        Self::open_with(root, None)
    }

    /// The same with a master key, which an encrypted ledger wants.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(root: &Path, by: Option<&dyn KeyWrapper>) -> Result<Self, RawError> {
        let (ledger, origins) = DataDir::peek(root)?;
        let held = Held::try_shared(root)?;
        let shard = ShardId(0);
        let mark_path = DataDir::mark_path_in(root, shard);
        let journal = DataDir::journal_dir_in(root, shard);
        let mut mark = read_mark(root, &mark_path, ledger, shard)?;
        let mut tries = 0;
        let segments = loop {
            let opened = open_segments(&journal, mark.base.lsn);
            let now = read_mark(root, &mark_path, ledger, shard)?;
            if now.base == mark.base {
                break opened.map_err(io_error("list", &journal))?;
            }
            tries += 1;
            if tries > LIST_TRIES {
                let failed = io::Error::other("a server trims it again and again");
                return Err(io_error("list", &journal)(failed))?;
            }
            mark = now;
        };
        // Read behind the mark: whatever it covers is under these keys.
        let vault = DataDir::unlock(root, by)?;
        let archive = ArchiveStore::open(archive_dir(root, shard), ledger, shard)
            .map(|archive| Arc::new(archive.with_vault(vault.clone())));
        let (root, live, recent) = (root.to_owned(), held.is_none(), Mutex::default());
        Ok(Self(Arc::new(Files {
            root,
            ledger,
            origins,
            shard,
            mark,
            segments,
            vault,
            archive,
            live,
            recent,
            _held: held,
        })))
    }

    /// Whose ledger it is.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.0.ledger
    }

    /// Where the ledger comes from.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.0.origins
    }

    /// The ledger's keys, if it is encrypted.
    #[must_use]
    pub fn vault(&self) -> Option<&Vault> {
        self.0.vault.as_ref()
    }

    /// What the mark said when the journal was opened.
    #[must_use]
    pub fn mark(&self) -> &Mark {
        &self.0.mark
    }

    /// The archive, or why it cannot be read.
    ///
    /// # Errors
    /// As [`ArchiveStore::open`].
    pub fn archive(&self) -> Result<&Arc<ArchiveStore>, &ArchiveError> {
        self.0.archive.as_ref()
    }

    /// Whether a server works on the directory.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.live
    }
}

/// How much of a journal is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// What was not trimmed.
    Segments,
    /// The archive, as far as it lies before the segments, and these.
    All,
    /// Every check of the archive, too.
    Thoroughly,
}

impl Files {
    /// Where a reading begins.
    fn start(&self, of: Part) -> ChainPoint {
        let begin = self.archive.as_ref().ok().and_then(|archive| archive.begin());
        let begin = begin.filter(|begin| begin.lsn < self.mark.base.lsn);
        match of {
            Part::Segments => self.mark.base,
            Part::All | Part::Thoroughly => begin.unwrap_or(self.mark.base),
        }
    }

    /// Damage at a place in a segment's file, or in the mark's directory.
    fn damage(&self, lsn: Lsn, segment: Option<usize>, what: String) -> JournalError {
        let path = segment.and_then(|index| self.segments.get(index)).map(|s| s.path.clone());
        let path = path.unwrap_or_else(|| DataDir::journal_dir_in(&self.root, self.shard));
        let place = Place::in_path(self.shard, lsn, path);
        Damage { place, what, data_dir: Some(self.root.clone()), source: None }.into()
    }

    fn gap(&self, gap: &Gap) -> JournalError {
        self.damage(gap.expected, Some(gap.segment), gap_text(gap, self.mark.durable.lsn))
    }

    fn check_shard(&self, shard: ShardId) -> Result<(), JournalError> {
        if shard == self.shard { Ok(()) } else { Err(JournalError::UnknownShard(shard)) }
    }

    /// Reads on a thread of its own and hands what it finds to `take` on this one.
    fn read_all<T>(&self, of: Part, take: impl FnOnce(&Receiver<Item>) -> T) -> T {
        let (send, receive) = sync_channel(BATCHES_MAX);
        std::thread::scope(|scope| {
            // It ends early when nobody listens any more, which is no failure.
            scope.spawn(move || {
                let reader = Reader::new(self, send);
                drop(match of {
                    Part::Segments => reader.run(),
                    Part::All => reader.run_archived(false),
                    Part::Thoroughly => reader.run_archived(true),
                });
            });
            let taken = take(&receive);
            drop(receive);
            taken
        })
    }

    fn follow(
        &self,
        of: Part,
        items: &Receiver<Item>,
        visit: &mut Visitor<'_>,
    ) -> Result<Tail, JournalError> {
        let mut chain = Chain::new(self.shard, self.start(of), self.mark.durable);
        let durable = self.mark.durable.lsn;
        for item in items {
            match item {
                Item::Archive(fault) => {
                    return Err(fault.error.into_journal(self.shard, fault.first));
                }
                Item::Archived(frames) => {
                    for (frame, hash) in frames {
                        let lsn = frame.first_lsn();
                        let accepted = chain.accept(frame, hash, visit);
                        accepted.map_err(|stop| self.stopped(stop, lsn, None, "in the archive"))?;
                    }
                }
                Item::Gap(gap) => return Err(self.gap(&gap)),
                Item::Newer(..) => {}
                Item::Failed(index, error) => {
                    return Err(io_error("read", &self.segments[index].path)(error));
                }
                Item::Frames(frames) => {
                    for placed in frames {
                        let lsn = placed.frame.first_lsn();
                        if self.live && lsn > durable {
                            continue;
                        }
                        let accepted = chain.accept(placed.frame, placed.hash, visit);
                        accepted.map_err(|stop| {
                            let at = format!("byte {}", placed.offset);
                            self.stopped(stop, lsn, Some(placed.segment), &at)
                        })?;
                    }
                }
            }
        }
        let next = chain.next_lsn();
        let last = self.segments.len().checked_sub(1);
        let mut tail =
            chain.finish().map_err(|fault| self.damage(next, last, fault.to_string()))?;
        tail.epoch = tail.epoch.max(self.mark.epoch);
        Ok(tail)
    }

    fn stopped(
        &self,
        stop: Stop<ReplayError>,
        lsn: Lsn,
        segment: Option<usize>,
        at: &str,
    ) -> JournalError {
        match stop {
            Stop::Fault(fault) => self.damage(lsn, segment, format!("{fault} ({at})")),
            Stop::Visitor(lsn, source) => JournalError::Replay { shard: self.shard, lsn, source },
        }
    }

    fn carved(&self, index: usize) -> Result<Arc<Carved>, JournalError> {
        let segment = &self.segments[index];
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((first, carved)) = &*recent
            && *first == segment.first
        {
            return Ok(Arc::clone(carved));
        }
        let mut carved = Carved::default();
        carved.add(&segment.file, self.vault.as_ref()).map_err(io_error("read", &segment.path))?;
        let carved = Arc::new(carved);
        *recent = Some((segment.first, Arc::clone(&carved)));
        Ok(carved)
    }
}

/// A gap in words.
fn gap_text(gap: &Gap, durable: Lsn) -> String {
    let missing = if gap.last == gap.expected {
        format!("LSN {} is missing", gap.expected)
    } else {
        format!("LSN {} to {} are missing", gap.expected, gap.last)
    };
    let mut text = format!("{missing} (acknowledged up to {durable})");
    for broken in gap.broken.iter().take(3) {
        let Broken { offset, lsn, error } = broken;
        text += &format!("; at byte {offset} lies a damaged frame of LSN {lsn}: {error}");
    }
    text
}

fn read_mark(
    root: &Path,
    path: &Path,
    ledger: LedgerId,
    shard: ShardId,
) -> Result<Mark, JournalError> {
    let damage = |what: String| {
        let (place, data_dir) = (Place::in_path(shard, Lsn::ZERO, path), Some(root.to_owned()));
        JournalError::from(Damage { place, what, data_dir, source: None })
    };
    let mark = Mark::read(path).map_err(|error| match error {
        MarkError::Io { verb, path, source } => JournalError::Io { verb, path, source },
        other => damage(other.to_string()),
    })?;
    if mark.ledger != ledger {
        return Err(damage(format!("the mark is of ledger {}, FORMAT of {ledger}", mark.ledger)));
    }
    if mark.base.lsn == Lsn::ZERO && mark.base.hash != genesis_hash(ledger, shard) {
        return Err(damage("the mark names another shard's beginning".to_owned()));
    }
    Ok(mark)
}

/// The segments that hold anything after `base`, in order.
fn open_segments(journal: &Path, base: Lsn) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(journal)? {
        let entry = entry?;
        let Some(first) = entry.file_name().to_str().and_then(parse_dir_name) else {
            continue;
        };
        let path = entry.path().join("db");
        match File::open(&path) {
            Ok(file) => segments.push(Segment { first, path, file }),
            // Trimmed meanwhile, or gone: then its records are missing, which is seen.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    segments.sort_by_key(|segment| segment.first);
    let covered = segments.windows(2).take_while(|pair| pair[1].first <= base.next()).count();
    segments.drain(..covered);
    Ok(segments)
}

impl Files {
    fn scan(&self, of: Part, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        let next = self.mark.base.lsn.next();
        match self.segments.first() {
            Some(segment) if segment.first > next => {
                let what = format!("LSN {next} to {} are missing", segment.first.0 - 1);
                return Err(self.damage(next, None, what));
            }
            None if self.mark.durable.lsn > self.mark.base.lsn => {
                let what =
                    format!("no segment is there, but LSN {} was reached", self.mark.durable.lsn);
                return Err(self.damage(next, None, what));
            }
            _ => {}
        }
        self.read_all(of, |items| self.follow(of, items, visit))
    }

    fn frame_at(&self, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        if lsn == Lsn::ZERO || lsn > self.mark.durable.lsn {
            return Ok(None);
        }
        if lsn <= self.mark.base.lsn {
            return self.archived_frame_at(lsn);
        }
        let behind = self.segments.partition_point(|segment| segment.first <= lsn);
        let missing = |index| self.damage(lsn, index, "no frame holds this record".to_owned());
        let index = behind.checked_sub(1).ok_or_else(|| missing(None))?;
        for _ in 0..if self.live { LIVE_TRIES } else { 1 } {
            let carved = self.carved(index)?;
            let newest = carved.holding(lsn).max_by_key(|found| found.frame.header().epoch);
            if let Some(found) = newest {
                return Ok(Some(found.frame.clone()));
            }
            *self.recent.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Err(missing(Some(index)))
    }

    fn archived_frame_at(&self, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        let failed = |error: ArchiveError| error.into_journal(self.shard, lsn);
        let archive = self.archive.as_ref().map_err(|error| failed(error.again()))?;
        if archive.begin().is_none_or(|begin| lsn <= begin.lsn) {
            return Ok(None);
        }
        let found = archive.frame_at(lsn).map_err(failed)?;
        match found {
            None => {
                archive.too_short(self.mark.base).map_or(Ok(None), |fault| Err(failed(fault.error)))
            }
            found => Ok(found),
        }
    }

    fn only_read(&self, verb: &'static str) -> JournalError {
        let place = Place::in_path(self.shard, self.mark.durable.lsn, &self.root);
        let source: BoxError = "it was opened for reading only".into();
        JournalError::Store { verb, place, source }
    }
}

impl Journal for RawJournal {
    fn open_writer_with(
        &self,
        shard: ShardId,
        _owner: &str,
        _visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.0.check_shard(shard)?;
        Err(self.0.only_read("open for writing"))
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.0.check_shard(shard)?;
        self.0.scan(Part::All, visit)
    }

    fn scan_after(
        &self,
        shard: ShardId,
        after: ChainPoint,
        visit: &mut Visitor<'_>,
    ) -> Result<Tail, JournalError> {
        self.0.check_shard(shard)?;
        // An archive that cannot be read matters only to those who need it.
        let of = if after.lsn >= self.0.mark.base.lsn { Part::Segments } else { Part::All };
        let mut behind = Behind::new(shard, after);
        let scanned = self.0.scan(of, &mut |frame, at| behind.visit(frame, at, visit));
        let tail = behind.explain(scanned)?;
        behind.finish(tail)
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        self.0.check_shard(shard)?;
        let mut next = from.max(Lsn(1));
        let first = self.0.start(Part::All).lsn.next();
        if next < first && self.0.archive.is_ok() {
            return Err(JournalError::Trimmed { shard, wanted: next, first });
        }
        let files = Arc::clone(&self.0);
        Ok(Box::new(std::iter::from_fn(move || {
            let read = files.frame_at(next).transpose()?;
            // After an error comes nothing.
            next = read.as_ref().map_or(Lsn(u64::MAX), |frame| frame.last_lsn().next());
            Some(read)
        })))
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        self.0.check_shard(shard)?;
        self.0.frame_at(lsn)
    }

    fn trim(&self, shard: ShardId, _upto: Lsn) -> Result<TrimReport, JournalError> {
        self.0.check_shard(shard)?;
        Err(self.0.only_read("trim"))
    }

    fn base(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        self.0.check_shard(shard)?;
        Ok(self.0.start(Part::All))
    }

    fn trimmed_to(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        self.0.check_shard(shard)?;
        Ok(self.0.mark.base)
    }

    fn end(&self, shard: ShardId) -> Result<Lsn, JournalError> {
        self.0.check_shard(shard)?;
        Ok(self.0.mark.durable.lsn)
    }
}
