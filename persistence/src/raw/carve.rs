//! Finds the frames in a segment's file by themselves: each begins with a magic number, says
//! how long it is and carries a checksum.
//!
//! Nothing of the store around them is read or believed. The store keeps a frame's bytes in
//! one piece, but in several copies, old ones among them: of frames that were dropped, too.
//! What belongs to the journal is for the hash chain to say.

use crate::frame::{
    self, Claim, FRAME_BYTES_MAX, Frame, FrameError, FrameHash, HEADER_BYTES, STORED_BYTES_MAX,
};
use crate::vault::Vault;
use ducat_engine::ids::{Epoch, Lsn};
use memchr::memmem::Finder;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes looked at together.
const WINDOW_BYTES: usize = 4 << 20;
/// Frames with wrong checksums to remember; the rest would explain nothing more.
const BROKEN_MAX: usize = 4096;

/// An intact frame and where its first copy lies.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) frame: Frame,
    pub(super) offset: u64,
}

/// What begins like a frame and is not intact: damage, or what is left of an old copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The first LSN that its header claims.
    pub lsn: Lsn,
    /// What is wrong with it.
    pub error: FrameError,
}

/// Frames by first LSN, those of newer epochs first.
type Key = (Lsn, Reverse<Epoch>, u32);

/// The frames of a segment.
#[derive(Debug, Default)]
pub(super) struct Carved {
    frames: BTreeMap<Key, Found>,
    broken: Vec<Broken>,
}

impl Carved {
    /// Adds what the file holds now. Frames found before stay, so that a file that is being
    /// written can be looked through again.
    pub(super) fn add(&mut self, file: &File, vault: Option<&Vault>) -> io::Result<()> {
        self.broken.clear();
        let finder = Finder::new(&frame::MAGIC);
        let mut window = vec![0; WINDOW_BYTES];
        let mut start = 0;
        loop {
            let filled = read_at_most(file, &mut window, start)?;
            let last = filled < window.len();
            // What begins before `end` lies in the window whole.
            let end = if last { filled } else { filled - STORED_BYTES_MAX };
            let mut at = 0;
            while let Some(found) = finder.find(&window[at..filled]) {
                at += found;
                if at >= end {
                    break;
                }
                at += self.take(&window[at..filled], start + at as u64, vault);
            }
            if last {
                return Ok(());
            }
            start += at.max(end) as u64;
        }
    }

    /// Takes the frame that may begin here; how many bytes need not be looked at again.
    fn take(&mut self, bytes: &[u8], offset: u64, vault: Option<&Vault>) -> usize {
        let announced = match frame::announced_bytes(bytes) {
            Ok(announced) if announced <= bytes.len() => announced,
            _ => return frame::MAGIC.len(),
        };
        let Claim { first_lsn, epoch, crc } = frame::claim(bytes);
        let key = (first_lsn, Reverse(epoch), crc);
        if self.frames.contains_key(&key) {
            return HEADER_BYTES;
        }
        match Frame::open(&bytes[..announced], vault) {
            Ok(frame) => {
                self.frames.insert(key, Found { frame, offset });
                announced
            }
            Err(error) => {
                if self.broken.len() < BROKEN_MAX {
                    self.broken.push(Broken { offset, lsn: first_lsn, error });
                }
                frame::MAGIC.len()
            }
        }
    }

    /// The frame that starts at `lsn` and names `hash` as the one before; `only`: of this
    /// epoch. Of several the one of the newest epoch: whoever wrote it began where the
    /// journal ended, so the others had been dropped.
    pub(super) fn after(&self, lsn: Lsn, hash: FrameHash, only: Option<Epoch>) -> Option<&Found> {
        self.at(lsn, only).find(|found| found.frame.header().prev_hash == hash)
    }

    /// The frames that start at `lsn`, those of the newest epoch first.
    pub(super) fn at(&self, lsn: Lsn, only: Option<Epoch>) -> impl Iterator<Item = &Found> {
        let from = (lsn, Reverse(Epoch(u64::MAX)), 0);
        let to = (lsn, Reverse(Epoch(0)), u32::MAX);
        let found = self.frames.range(from..=to).map(|(_, found)| found);
        found.filter(move |found| only.is_none_or(|epoch| found.frame.header().epoch == epoch))
    }

    /// The first frame that starts after `lsn`.
    pub(super) fn behind(&self, lsn: Lsn) -> Option<&Found> {
        let from = (lsn.next(), Reverse(Epoch(u64::MAX)), 0);
        self.frames.range(from..).next().map(|(_, found)| found)
    }

    /// What begins like a frame of these LSNs and is not intact.
    pub(super) fn broken(&self, from: Lsn, to: Lsn) -> Vec<Broken> {
        let within = self.broken.iter().filter(|broken| (from..=to).contains(&broken.lsn));
        within.cloned().collect()
    }

    /// The frame that holds `lsn` in the history that ends in this frame's successors; for
    /// single reads, where no chain is followed.
    pub(super) fn holding(&self, lsn: Lsn) -> impl Iterator<Item = &Found> {
        let to = (lsn, Reverse(Epoch(0)), u32::MAX);
        let before = self.frames.range(..=to).rev().map(|(_, found)| found);
        before
            .take_while(move |found| found.frame.first_lsn().0 + FRAME_BYTES_MAX as u64 > lsn.0)
            .filter(move |found| found.frame.last_lsn() >= lsn)
    }
}

fn read_at_most(file: &File, window: &mut [u8], start: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < window.len() {
        match file.read_at(&mut window[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
