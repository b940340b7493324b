//! The check that what was found is what was written: one frame after the other.
//!
//! Pure: no files, no threads. An implementation feeds the frames it finds, in the
//! order of its keys, and gets a [`Tail`] or a [`ChainFault`]:
//!
//! ```text
//!   base (genesis or where trimming stopped)      mark: durable up to here, with hash
//!     │                                             │
//!     ▼    each names the hash before it            ▼
//!     [frame]─[frame]─…─[frame LAST]─ … ─[frame LAST]─[frame]─[frame LAST]─[frame]
//!     └──────── must all be there, visited at once ──┘└── kept if closed ─┘└dropped┘
//! ```

use crate::contract::{DroppedTail, ScanProgress, Tail};
use crate::frame::{Frame, FrameHash};
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use thiserror::Error;

/// A place in the chain: the last LSN before it and the hash of the frame that
/// ends there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainPoint {
    /// Last LSN before this point; 0 at the beginning.
    pub lsn: Lsn,
    /// Hash of the frame that ends at `lsn`, or the genesis hash.
    pub hash: FrameHash,
}

/// What is wrong with a sequence of frames.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChainFault {
    /// A frame of another shard.
    #[error("a frame of shard {} lies here", .0.0)]
    Shard(ShardId),
    /// LSNs are missing, or come twice.
    #[error("the frame starts at LSN {found}, but LSN {expected} comes next")]
    Gap {
        /// The LSN that comes next.
        expected: Lsn,
        /// The LSN the frame starts at.
        found: Lsn,
    },
    /// The frame continues another history.
    #[error("the frame names {named} as the hash before it, but that is {actual}")]
    Hash {
        /// As the frame's header says.
        named: FrameHash,
        /// As computed.
        actual: FrameHash,
    },
    /// A frame of an older epoch after one of a newer.
    #[error("epoch {} comes after epoch {}", found.0, before.0)]
    Epoch {
        /// Of this frame.
        found: Epoch,
        /// Of the frame before.
        before: Epoch,
    },
    /// An append without end lies before an acknowledged one.
    #[error("an append that was never closed is followed by another, of epoch {}", .0.0)]
    Unclosed(Epoch),
    /// The journal's content at the mark is not what was acknowledged.
    #[error("at the high-water mark (LSN {}) lies {found}, not what was acknowledged", mark.0)]
    Mark {
        /// The mark's LSN.
        mark: Lsn,
        /// What lies there.
        found: &'static str,
    },
    /// Less is there than was acknowledged.
    #[error("LSN {from} to {mark} were acknowledged and are missing")]
    Short {
        /// First LSN missing.
        from: Lsn,
        /// The mark's LSN.
        mark: Lsn,
    },
}

/// Follows a shard's frames from the base on. Feed with [`Chain::accept`], then
/// [`Chain::finish`].
#[derive(Debug)]
pub struct Chain {
    shard: ShardId,
    base: Lsn,
    mark: ChainPoint,
    /// Accepted so far, held frames included.
    at: ChainPoint,
    epoch: Epoch,
    /// The end of the last closed append.
    closed: ChainPoint,
    closed_epoch: Epoch,
    last_time_ns: u64,
    /// Beyond the mark and not closed yet.
    held: Vec<Frame>,
    frames: u64,
    records: u64,
    bytes: u64,
    in_append: bool,
    /// What lies beyond the mark behind a gap, or cannot be reached any more.
    torn: Option<DroppedTail>,
}

impl Chain {
    /// A chain that starts after `base`, must reach `mark` and be intact up to there.
    #[must_use]
    pub fn new(shard: ShardId, base: ChainPoint, mark: ChainPoint) -> Self {
        Self {
            shard,
            base: base.lsn,
            mark,
            at: base,
            epoch: Epoch(0),
            closed: base,
            closed_epoch: Epoch(0),
            last_time_ns: 0,
            held: Vec::new(),
            frames: 0,
            records: 0,
            bytes: 0,
            in_append: false,
            torn: None,
        }
    }

    /// The LSN the next frame must start at.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        self.at.lsn.next()
    }

    /// Checks the next frame, whose hash the caller computed (it may have done so on
    /// another thread), and shows to `visit` what is known to be part of the journal.
    ///
    /// # Errors
    /// A fault of the chain or the visitor's own error, as [`Stop`] says.
    pub fn accept<E>(
        &mut self,
        frame: Frame,
        hash: FrameHash,
        visit: &mut dyn FnMut(&Frame, ScanProgress) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        if self.tear(&frame) {
            return Ok(());
        }
        self.check(&frame)?;
        let last = frame.header().is_last_of_append();
        self.at = ChainPoint { lsn: frame.last_lsn(), hash };
        self.epoch = frame.header().epoch;
        self.in_append = !last;
        if self.at.lsn <= self.mark.lsn {
            self.check_mark(last)?;
            self.show(&frame, visit)?;
            if last {
                self.close(&frame);
            }
            return Ok(());
        }
        self.held.push(frame);
        if last { self.release(visit) } else { Ok(()) }
    }

    /// Beyond the mark, a gap is what an append leaves that a power cut interrupted:
    /// nobody was told of it, so it and everything after it is dropped.
    fn tear(&mut self, frame: &Frame) -> bool {
        let expected = self.next_lsn();
        let gap = expected > self.mark.lsn && frame.first_lsn() > expected;
        if self.torn.is_none() && !gap {
            return false;
        }
        let held = &self.held;
        let torn = self.torn.get_or_insert_with(|| DroppedTail {
            first_lsn: held.first().unwrap_or(frame).first_lsn(),
            last_lsn: frame.last_lsn(),
            frames: held.len() as u64,
        });
        torn.last_lsn = frame.last_lsn();
        torn.frames += 1;
        true
    }

    fn check(&self, frame: &Frame) -> Result<(), ChainFault> {
        let header = frame.header();
        if header.shard != self.shard {
            return Err(ChainFault::Shard(header.shard));
        }
        if header.first_lsn != self.next_lsn() {
            return Err(ChainFault::Gap { expected: self.next_lsn(), found: header.first_lsn });
        }
        if header.prev_hash != self.at.hash {
            return Err(ChainFault::Hash { named: header.prev_hash, actual: self.at.hash });
        }
        if header.epoch < self.epoch {
            return Err(ChainFault::Epoch { found: header.epoch, before: self.epoch });
        }
        if self.in_append && header.epoch != self.epoch {
            return Err(ChainFault::Unclosed(header.epoch));
        }
        let straddles = header.first_lsn <= self.mark.lsn && header.last_lsn() > self.mark.lsn;
        if straddles {
            return Err(ChainFault::Mark {
                mark: self.mark.lsn,
                found: "the middle of another frame",
            });
        }
        Ok(())
    }

    /// At the mark's LSN everything must be as it was acknowledged.
    fn check_mark(&self, last: bool) -> Result<(), ChainFault> {
        if self.at.lsn != self.mark.lsn {
            return Ok(());
        }
        if self.at.hash != self.mark.hash {
            return Err(ChainFault::Mark { mark: self.mark.lsn, found: "a frame of another hash" });
        }
        if !last {
            return Err(ChainFault::Mark { mark: self.mark.lsn, found: "an unfinished append" });
        }
        Ok(())
    }

    fn show<E>(
        &mut self,
        frame: &Frame,
        visit: &mut dyn FnMut(&Frame, ScanProgress) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        self.frames += 1;
        self.records += u64::from(frame.header().record_count);
        self.bytes += frame.bytes().len() as u64;
        let progress = ScanProgress {
            frames: self.frames,
            bytes: self.bytes,
            lsn: frame.last_lsn(),
            first_lsn: self.base.next(),
            goal_lsn: self.mark.lsn,
        };
        visit(frame, progress).map_err(|error| Stop::Visitor(frame.first_lsn(), error))
    }

    const fn close(&mut self, frame: &Frame) {
        self.closed = self.at;
        self.closed_epoch = self.epoch;
        self.last_time_ns = frame.header().time_ns;
    }

    fn release<E>(
        &mut self,
        visit: &mut dyn FnMut(&Frame, ScanProgress) -> Result<(), E>,
    ) -> Result<(), Stop<E>> {
        for frame in std::mem::take(&mut self.held) {
            self.show(&frame, visit)?;
            self.close(&frame);
        }
        Ok(())
    }

    /// Whether the last frame left its append open.
    #[must_use]
    pub const fn in_append(&self) -> bool {
        self.in_append
    }

    /// What was found. The tail's epoch is that of the last kept frame.
    ///
    /// # Errors
    /// [`ChainFault::Short`] when the mark was not reached.
    pub fn finish(self) -> Result<Tail, ChainFault> {
        if self.closed.lsn < self.mark.lsn {
            return Err(ChainFault::Short { from: self.next_lsn(), mark: self.mark.lsn });
        }
        if self.at.lsn == self.mark.lsn && self.at.hash != self.mark.hash {
            // Only without a single frame: otherwise `check_mark` has seen it.
            return Err(ChainFault::Mark { mark: self.mark.lsn, found: "another beginning" });
        }
        let unclosed = self.held.first().map(|first| DroppedTail {
            first_lsn: first.first_lsn(),
            last_lsn: self.at.lsn,
            frames: self.held.len() as u64,
        });
        let dropped = self.torn.or(unclosed);
        Ok(Tail {
            first_lsn: self.base.next(),
            next_lsn: self.closed.lsn.next(),
            epoch: self.closed_epoch,
            last_hash: self.closed.hash,
            last_time_ns: self.last_time_ns,
            frames: self.frames,
            records: self.records,
            bytes: self.bytes,
            unacknowledged_records: self.closed.lsn.0 - self.mark.lsn.0,
            dropped,
        })
    }
}

/// Why following the chain stopped.
#[derive(Debug)]
pub enum Stop<E> {
    /// The journal is not what was written.
    Fault(ChainFault),
    /// The visitor refused the frame that starts at this LSN.
    Visitor(Lsn, E),
}

impl<E> From<ChainFault> for Stop<E> {
    fn from(fault: ChainFault) -> Self {
        Self::Fault(fault)
    }
}
