//! Everything that is wrong with a journal, not only the first thing: each with its place.
//!
//! Behind a gap or a break the frames are looked at on, each again by its checksum and its
//! place in the chain, so that the report says how much is left and where. The visitor sees
//! frames only as long as nothing is wrong.

use super::reader::{Gap, Item, Placed};
use super::{Files, Part, RawJournal, gap_text};
use crate::archive::store::ArchiveFault;
use crate::causes::with_causes;
use crate::chain::{Chain, ChainFault, ChainPoint, Stop};
use crate::contract::{DroppedTail, ReplayError, Visitor};
use crate::data_dir::archive_dir;
use crate::frame::{Frame, FrameHash, FrameHeader};
use ducat_engine::ids::{Epoch, Lsn};
use std::path::{Path, PathBuf};

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A frame is there and its checksum does not hold, and no intact copy is.
    DamagedFrame,
    /// Records are missing in the middle.
    Gap,
    /// The journal ends before what was acknowledged.
    Shortened,
    /// A frame does not continue the one before it.
    Chain,
    /// A frame of an older epoch after one of a newer.
    Epoch,
    /// What lies at the mark is not what was acknowledged.
    Mark,
    /// The file cannot be read.
    Unreadable,
    /// The archive of what was trimmed is damaged, or is not all there.
    Archive,
    /// The records are in the file, but the store over it does not give them back.
    Store,
}

impl FaultKind {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DamagedFrame => "damaged-frame",
            Self::Gap => "gap",
            Self::Shortened => "shortened",
            Self::Chain => "chain",
            Self::Epoch => "epoch",
            Self::Mark => "mark",
            Self::Unreadable => "unreadable",
            Self::Archive => "archive",
            Self::Store => "store",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// The first LSN concerned.
    pub lsn: Lsn,
    /// The last LSN concerned, as far as known.
    pub last_lsn: Lsn,
    /// The segment's file.
    pub path: PathBuf,
    /// Where in it, in bytes, if anything is there.
    pub offset: Option<u64>,
    /// In words.
    pub what: String,
}

/// The acknowledged frames of a segment, in brief.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentDigest {
    /// How many.
    pub frames: u64,
    /// Last LSN of the last one.
    pub last_lsn: Lsn,
    hash: FrameHash,
}

impl SegmentDigest {
    /// Adds the next frame.
    pub(super) fn add(&mut self, last_lsn: Lsn, hash: FrameHash) {
        self.frames += 1;
        self.last_lsn = last_lsn;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.hash.0).update(&hash.0);
        self.hash = FrameHash(*hasher.finalize().as_bytes());
    }
}

/// What was found in a journal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// Everything that is wrong, in order. Empty: all that was acknowledged is there, unchanged.
    pub faults: Vec<Fault>,
    /// Segments looked through, each with what is in it.
    pub segments: Vec<SegmentDigest>,
    /// Intact frames of the journal.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Records among them that were trimmed and lie in the archive.
    pub archived_records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Epochs that appended anything.
    pub epochs: u64,
    /// The first record that is kept.
    pub first_lsn: Lsn,
    /// The last record before the first fault.
    pub sound_lsn: Lsn,
    /// The last record found.
    pub last_lsn: Lsn,
    /// Decision time of the last frame found, nanoseconds since 1970.
    pub last_time_ns: u64,
    /// Hash of the last frame before the first fault.
    pub sound_hash: FrameHash,
    /// Records found that nobody was told of: whole, so a start keeps them.
    pub unacknowledged: u64,
    /// Where records of an epoch begin that the mark does not know: the mark is an older copy.
    pub newer: Option<(Lsn, Epoch)>,
    /// An end that a crash tore and nobody was told of: a start drops it and says so.
    pub torn: Option<DroppedTail>,
}

impl RawJournal {
    /// Looks at every frame. `visit` is shown those before the first fault; when it fails it
    /// is not asked again, and its error is given back beside what was found.
    pub fn inspect(&self, visit: &mut Visitor<'_>) -> (Inspection, Option<(Lsn, ReplayError)>) {
        let files = &*self.0;
        let mut inspector = Inspector::new(files, visit);
        files.read_all(Part::Thoroughly, |items| {
            for item in items {
                inspector.take(item);
            }
        });
        inspector.finish()
    }
}

struct Inspector<'a, 'v> {
    files: &'a Files,
    visit: &'a mut Visitor<'v>,
    failed: Option<(Lsn, ReplayError)>,
    chain: Chain,
    epoch: Option<Epoch>,
    found: Inspection,
    last_segment: usize,
    /// Where the archive ends within the journal: both must have the same frame there.
    overlap: Option<ChainPoint>,
}

impl<'a, 'v> Inspector<'a, 'v> {
    fn new(files: &'a Files, visit: &'a mut Visitor<'v>) -> Self {
        let base = files.start(Part::Thoroughly);
        let overlap = files.archive.as_ref().ok().map(|archive| archive.end());
        let overlap = overlap.filter(|end| end.lsn > files.mark.base.lsn);
        let found = Inspection {
            segments: vec![SegmentDigest::default(); files.segments.len()],
            first_lsn: base.lsn.next(),
            sound_lsn: base.lsn,
            sound_hash: base.hash,
            last_lsn: base.lsn,
            ..Inspection::default()
        };
        let chain = Chain::new(files.shard, base, files.mark.durable);
        Self { files, visit, failed: None, chain, epoch: None, found, last_segment: 0, overlap }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Archived(frames) => {
                frames.into_iter().for_each(|(frame, hash)| self.archived(frame, hash));
            }
            Item::Archive(fault) => self.archive(&fault),
            Item::Frames(frames) => frames.into_iter().for_each(|placed| self.frame(placed)),
            Item::Gap(gap) => self.gap(&gap),
            Item::Newer(lsn, epoch) => self.found.newer = Some((lsn, epoch)),
            Item::Failed(segment, error) => {
                let lsn = self.chain.next_lsn();
                let what = format!("the file cannot be read: {error}");
                self.fault(FaultKind::Unreadable, (lsn, lsn), segment, None, what);
            }
        }
    }

    fn frame(&mut self, placed: Placed) {
        let Placed { frame, hash, offset, segment } = placed;
        let (header, bytes) = (*frame.header(), frame.bytes().len() as u64);
        let durable = self.files.mark.durable.lsn;
        if self.files.live && header.first_lsn > durable {
            return;
        }
        self.last_segment = segment;
        if header.first_lsn != self.chain.next_lsn() && header.first_lsn <= durable {
            // Behind a gap that was reported.
            self.resume(header.first_lsn, header.prev_hash);
        }
        let range = (header.first_lsn, header.last_lsn());
        if let Err(fault) = self.accept(frame.clone(), hash) {
            self.fault(kind_of(&fault), range, segment, Some(offset), fault.to_string());
            self.resume(header.first_lsn, header.prev_hash);
            // The same fault is not reported again: what it says of itself is believed now.
            if self.accept(frame, hash).is_err() {
                self.resume(header.last_lsn().next(), hash);
            }
        }
        if header.last_lsn() <= durable {
            self.found.segments[segment].add(header.last_lsn(), hash);
        }
        if let Some(end) = self.overlap
            && header.first_lsn <= end.lsn
            && header.last_lsn() >= end.lsn
            && (header.last_lsn(), hash) != (end.lsn, end.hash)
        {
            let what = "the archive ends with another frame than the journal has there".to_owned();
            self.archive_fault((header.first_lsn, end.lsn), None, what);
        }
        self.count(&header, bytes);
    }

    /// A frame of the archive, which the files it lies in vouched for.
    fn archived(&mut self, frame: Frame, hash: FrameHash) {
        let (header, bytes) = (*frame.header(), frame.bytes().len() as u64);
        if let Err(fault) = self.accept(frame, hash) {
            let range = (header.first_lsn, header.last_lsn());
            self.archive_fault(range, None, fault.to_string());
            self.resume(header.last_lsn().next(), hash);
        }
        self.found.archived_records += u64::from(header.record_count);
        self.count(&header, bytes);
    }

    fn archive(&mut self, fault: &ArchiveFault) {
        let what = with_causes(&fault.error);
        self.archive_fault((fault.first, fault.last), fault.error.path(), what);
    }

    fn archive_fault(&mut self, (lsn, last_lsn): (Lsn, Lsn), path: Option<&Path>, what: String) {
        let dir = || archive_dir(&self.files.root, self.files.shard);
        let path = path.map_or_else(dir, Path::to_owned);
        let (kind, offset) = (FaultKind::Archive, None);
        self.found.faults.push(Fault { kind, lsn, last_lsn, path, offset, what });
    }

    fn count(&mut self, header: &FrameHeader, bytes: u64) {
        self.found.frames += 1;
        self.found.records += u64::from(header.record_count);
        self.found.bytes += bytes;
        self.found.last_lsn = self.found.last_lsn.max(header.last_lsn());
        self.found.last_time_ns = header.time_ns;
        if self.epoch != Some(header.epoch) {
            self.epoch = Some(header.epoch);
            self.found.epochs += 1;
        }
    }

    /// Follows the chain, and shows the visitor what is sound.
    fn accept(&mut self, frame: Frame, hash: FrameHash) -> Result<(), ChainFault> {
        let sound = self.found.faults.is_empty();
        let (visit, failed) = (&mut *self.visit, &mut self.failed);
        let mut shown = None;
        let accepted = self.chain.accept::<ReplayError>(frame, hash, &mut |frame, at| {
            shown = Some((frame.last_lsn(), frame.clone()));
            if sound
                && failed.is_none()
                && let Err(error) = visit(frame, at)
            {
                *failed = Some((frame.first_lsn(), error));
            }
            Ok(())
        });
        if let Some((lsn, frame)) = shown
            && sound
        {
            self.found.sound_lsn = lsn;
            self.found.sound_hash = frame.hash();
        }
        match accepted {
            Err(Stop::Fault(fault)) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Believes the chain from here on.
    fn resume(&mut self, first: Lsn, prev_hash: FrameHash) {
        let base = ChainPoint { lsn: Lsn(first.0 - 1), hash: prev_hash };
        self.chain = Chain::new(self.files.shard, base, self.files.mark.durable);
    }

    fn gap(&mut self, gap: &Gap) {
        let durable = self.files.mark.durable.lsn;
        if gap.expected > durable {
            return;
        }
        let kind = match gap.broken.first() {
            Some(_) => FaultKind::DamagedFrame,
            None if gap.last == durable => FaultKind::Shortened,
            None => FaultKind::Gap,
        };
        let offset = gap.broken.first().map(|broken| broken.offset);
        let text = gap_text(gap, durable);
        self.fault(kind, (gap.expected, gap.last), gap.segment, offset, text);
    }

    fn fault(
        &mut self,
        kind: FaultKind,
        (lsn, last_lsn): (Lsn, Lsn),
        segment: usize,
        offset: Option<u64>,
        what: String,
    ) {
        let path = self.files.segments.get(segment).map(|segment| segment.path.clone());
        let path = path.unwrap_or_else(|| self.files.root.clone());
        self.found.faults.push(Fault { kind, lsn, last_lsn, path, offset, what });
    }

    fn finish(mut self) -> (Inspection, Option<(Lsn, ReplayError)>) {
        let next = self.chain.next_lsn();
        let durable = self.files.mark.durable.lsn;
        let chain = std::mem::replace(
            &mut self.chain,
            Chain::new(self.files.shard, self.files.mark.base, self.files.mark.durable),
        );
        match chain.finish() {
            Ok(tail) => {
                self.found.unacknowledged = tail.unacknowledged_records;
                self.found.torn = tail.dropped;
            }
            // Reported where it was found, unless there was nothing to find it in.
            Err(fault) if self.found.faults.is_empty() => {
                let kind = kind_of(&fault);
                self.fault(kind, (next, durable), self.last_segment, None, fault.to_string());
            }
            Err(_) => {}
        }
        (self.found, self.failed)
    }
}

const fn kind_of(fault: &ChainFault) -> FaultKind {
    match fault {
        ChainFault::Gap { .. } => FaultKind::Gap,
        ChainFault::Shard(_) | ChainFault::Hash { .. } | ChainFault::Unclosed(_) => {
            FaultKind::Chain
        }
        ChainFault::Epoch { .. } => FaultKind::Epoch,
        ChainFault::Mark { .. } => FaultKind::Mark,
        ChainFault::Short { .. } => FaultKind::Shortened,
    }
}
