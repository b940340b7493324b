//! The thread that reads segments one after the other and follows the hash chain through what
//! it finds in them.

use super::carve::{Broken, Carved, Found};
use super::{Files, LIVE_TRIES, Segment};
use crate::archive::ArchiveStore;
use crate::archive::store::ArchiveFault;
use crate::chain::ChainPoint;
use crate::frame::{Frame, FrameHash};
use ducat_engine::ids::{Epoch, Lsn};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Frames handed over at once.
const BATCH_FRAMES: usize = 64;
/// Time between two looks at a file that is being written.
const LIVE_PAUSE: Duration = Duration::from_millis(20);

/// A frame of the journal, where it lies, and its hash.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) frame: Frame,
    pub(super) hash: FrameHash,
    pub(super) offset: u64,
    /// Index of its segment.
    pub(super) segment: usize,
}

/// The place where frames are missing.
#[derive(Debug, Clone)]
pub(super) struct Gap {
    /// The LSN that should come next.
    pub(super) expected: Lsn,
    /// The last LSN missing.
    pub(super) last: Lsn,
    /// Index of the segment in which it should be.
    pub(super) segment: usize,
    /// What is left of the missing frames.
    pub(super) broken: Vec<Broken>,
}

/// What the reader tells.
pub(super) enum Item {
    /// Frames from the archive, each with its hash.
    Archived(Vec<(Frame, FrameHash)>),
    /// Something is wrong with the archive.
    Archive(ArchiveFault),
    Frames(Vec<Placed>),
    Gap(Gap),
    /// A frame of an epoch that the mark does not know continues the journal.
    Newer(Lsn, Epoch),
    Failed(usize, io::Error),
}

/// Nobody listens any more.
pub(super) struct Gone;

/// Reads on behind gaps too, unless nobody listens any more.
pub(super) struct Reader<'j> {
    journal: &'j Files,
    send: SyncSender<Item>,
    at: ChainPoint,
    batch: Vec<Placed>,
}

impl<'j> Reader<'j> {
    pub(super) fn new(journal: &'j Files, send: SyncSender<Item>) -> Self {
        Self { journal, send, at: journal.mark.base, batch: Vec::new() }
    }

    /// Reads the archive before the segments: all of it, with every check there is, or only
    /// what lies before the segments.
    pub(super) fn run_archived(self, thoroughly: bool) -> Result<(), Gone> {
        let base = self.journal.mark.base;
        match &self.journal.archive {
            Ok(archive) if thoroughly => self.verify_archive(archive)?,
            Ok(archive) if base.lsn > Lsn::ZERO && archive.begin().is_some() => {
                self.read_archive(archive)?;
            }
            Err(error) if thoroughly || base.lsn > Lsn::ZERO => {
                let (first, last, error) = (Lsn(1), base.lsn.max(Lsn(1)), error.again());
                self.tell(Item::Archive(ArchiveFault { first, last, error }))?;
            }
            _ => {}
        }
        self.run()
    }

    fn read_archive(&self, archive: &Arc<ArchiveStore>) -> Result<(), Gone> {
        let base = self.journal.mark.base;
        if let Some(fault) = archive.too_short(base) {
            return self.tell(Item::Archive(fault));
        }
        let mut batch = Vec::with_capacity(BATCH_FRAMES);
        let mut next = Lsn(1);
        for frame in archive.read(Lsn(1)) {
            match frame {
                Ok(frame) if frame.first_lsn() > base.lsn => break,
                Ok(frame) => {
                    next = frame.last_lsn().next();
                    let hash = frame.hash();
                    batch.push((frame, hash));
                }
                Err(error) => {
                    self.tell(Item::Archived(std::mem::take(&mut batch)))?;
                    let fault = ArchiveFault { first: next, last: base.lsn, error };
                    return self.tell(Item::Archive(fault));
                }
            }
            if batch.len() == BATCH_FRAMES {
                self.tell(Item::Archived(std::mem::take(&mut batch)))?;
            }
        }
        self.tell(Item::Archived(batch))
    }

    fn verify_archive(&self, archive: &Arc<ArchiveStore>) -> Result<(), Gone> {
        let base = self.journal.mark.base;
        let (mut batch, mut gone) = (Vec::with_capacity(BATCH_FRAMES), false);
        let mut faults = archive.verify(&mut |frame, hash| {
            if frame.last_lsn() <= base.lsn {
                batch.push((frame.clone(), hash));
            }
            if batch.len() == BATCH_FRAMES {
                gone = self.tell(Item::Archived(std::mem::take(&mut batch))).is_err();
            }
            !gone
        });
        faults.extend(archive.too_short(base));
        self.tell(Item::Archived(batch))?;
        faults.into_iter().try_for_each(|fault| self.tell(Item::Archive(fault)))
    }

    pub(super) fn run(mut self) -> Result<(), Gone> {
        let segments = &self.journal.segments;
        for (index, segment) in segments.iter().enumerate() {
            if segment.first > self.at.lsn.next() && index == 0 {
                self.gap(index, Lsn(segment.first.0 - 1), Vec::new())?;
                self.at = ChainPoint { lsn: Lsn(segment.first.0 - 1), hash: FrameHash::default() };
            }
            let last = index + 1 == segments.len();
            let end = match segments.get(index + 1) {
                Some(following) => Lsn(following.first.0 - 1),
                None => Lsn(u64::MAX),
            };
            match self.carve(segment, last) {
                Ok(carved) => self.follow(index, &carved, end)?,
                Err(error) => self.tell(Item::Failed(index, error))?,
            }
        }
        self.flush()
    }

    /// What is in a segment. One that is being written is looked through until all that was
    /// acknowledged is found: the store moves frames about meanwhile.
    fn carve(&self, segment: &Segment, last: bool) -> io::Result<Carved> {
        let mut carved = Carved::default();
        carved.add(&segment.file, self.journal.vault.as_ref())?;
        if !(last && self.journal.live) {
            return Ok(carved);
        }
        for _ in 0..LIVE_TRIES {
            if self.reaches(&carved) {
                break;
            }
            std::thread::sleep(LIVE_PAUSE);
            carved.add(&segment.file, self.journal.vault.as_ref())?;
        }
        Ok(carved)
    }

    /// Whether the chain goes on without a gap as far as the mark.
    fn reaches(&self, carved: &Carved) -> bool {
        let mut at = self.at;
        while at.lsn < self.journal.mark.durable.lsn {
            match carved.after(at.lsn.next(), at.hash, None) {
                Some(found) => {
                    at = ChainPoint { lsn: found.frame.last_lsn(), hash: found.frame.hash() };
                }
                None => return false,
            }
        }
        true
    }

    /// Follows the chain through one segment, whose last record has the LSN `end` if others
    /// follow.
    fn follow(&mut self, index: usize, carved: &Carved, end: Lsn) -> Result<(), Gone> {
        let durable = self.journal.mark.durable.lsn;
        loop {
            let next = self.at.lsn.next();
            if next > end {
                return Ok(());
            }
            // Nothing beyond the mark counts but what the last epoch appended: a newer one
            // began with dropping it.
            let only = (next > durable).then_some(self.journal.mark.epoch);
            let here = carved.after(next, self.at.hash, only);
            if let Some(found) = here.or_else(|| carved.at(next, only).next()) {
                self.put(index, found)?;
                continue;
            }
            if next > durable {
                if let Some(found) = carved.after(next, self.at.hash, None) {
                    let epoch = found.frame.header().epoch;
                    if epoch > self.journal.mark.epoch {
                        self.tell(Item::Newer(next, epoch))?;
                    }
                }
                return self.put_rest(index, carved);
            }
            let behind = carved.behind(next).map(|found| found.frame.first_lsn());
            let behind = behind.filter(|lsn| *lsn <= durable.min(end));
            let last = behind.map_or_else(|| end.min(durable), |lsn| Lsn(lsn.0 - 1));
            self.gap(index, last, carved.broken(next, last))?;
            match behind {
                Some(lsn) => self.jump(carved, lsn),
                // What follows is the next segment's business.
                None if end.0 == u64::MAX => return Ok(()),
                None => {
                    self.at.lsn = end;
                    return Ok(());
                }
            }
        }
    }

    /// Goes on behind a gap.
    fn jump(&mut self, carved: &Carved, lsn: Lsn) {
        let hash = carved.at(lsn, None).next().map(|found| found.frame.header().prev_hash);
        self.at = ChainPoint { lsn: Lsn(lsn.0 - 1), hash: hash.unwrap_or_default() };
    }

    /// What lies beyond the mark behind a gap: the chain calls it torn.
    fn put_rest(&mut self, index: usize, carved: &Carved) -> Result<(), Gone> {
        let mut lsn = self.at.lsn.next();
        while let Some(found) = carved.behind(lsn) {
            lsn = found.frame.first_lsn();
            if found.frame.header().epoch == self.journal.mark.epoch {
                self.put(index, found)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, segment: usize, found: &Found) -> Result<(), Gone> {
        let hash = found.frame.hash();
        self.at = ChainPoint { lsn: found.frame.last_lsn(), hash };
        self.batch.push(Placed { frame: found.frame.clone(), hash, offset: found.offset, segment });
        if self.batch.len() < BATCH_FRAMES { Ok(()) } else { self.flush() }
    }

    fn gap(&mut self, segment: usize, last: Lsn, broken: Vec<Broken>) -> Result<(), Gone> {
        self.flush()?;
        self.tell(Item::Gap(Gap { expected: self.at.lsn.next(), last, segment, broken }))
    }

    fn flush(&mut self) -> Result<(), Gone> {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_FRAMES));
        self.tell(Item::Frames(batch))
    }

    fn tell(&self, item: Item) -> Result<(), Gone> {
        self.send.send(item).map_err(|_| Gone)
    }
}
