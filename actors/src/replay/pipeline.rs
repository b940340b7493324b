//! Replay on several threads: what reads and checks frames runs ahead of what applies them.
//!
//! ```text
//! journal's reader: store ▸ CRC ▸ BLAKE3 ──▶ caller: chain ▸ decode ──batches──▶ applier: ledger
//! ```
//!
//! Batches are bounded in size and number, and their buffers go round. Whatever lies at the
//! acknowledged end of the journal or beyond it is waited for: when the journal has shown its
//! last frame, every event has been applied, so that a journal opened for writing is not
//! touched before all of it is known to make a ledger.

use super::{Event, FrameRefused, Observer, Until};
use ducat_engine::codec::decode_all;
use ducat_engine::ids::Lsn;
use ducat_engine::ledger::Ledger;
use ducat_engine::prefetch::{AHEAD, Ahead};
use ducat_engine::record::Record;
use ducat_persistence::{BoxError, Frame, ReplayError, ScanProgress};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use thiserror::Error;

/// A batch is sent once it has this many events.
const BATCH_EVENTS: usize = 1024;
/// Batches that wait at most.
const BATCHES_MAX: usize = 8;

/// Why an event or its frame stops a replay.
#[derive(Debug)]
pub(super) struct Stopped {
    /// The first LSN of the frame concerned.
    pub lsn: Lsn,
    /// Why.
    pub why: BoxError,
}

/// Events on their way to the ledger.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    frames: Vec<FrameOf>,
    /// Told when everything up to here has been applied.
    waits: Option<SyncSender<()>>,
}

/// A frame's share of a batch.
struct FrameOf {
    first_lsn: Lsn,
    time_ns: u64,
    records: Range<usize>,
}

/// The applier has stopped, and its thread knows why.
#[derive(Debug, Error)]
#[error("the events could not be applied")]
struct Gone;

/// Where the caller puts frames in.
pub(super) struct Feed {
    send: SyncSender<Batch>,
    spare: Receiver<Batch>,
    batch: Batch,
}

impl Feed {
    /// Decodes a frame and hands its events on.
    pub(super) fn frame(&mut self, frame: &Frame, at: ScanProgress) -> Result<(), ReplayError> {
        self.decode(frame).map_err(ReplayError::new)?;
        let wait = at.lsn >= at.goal_lsn;
        if !wait && self.batch.records.len() < BATCH_EVENTS {
            return Ok(());
        }
        self.send(wait).map_err(ReplayError::new)
    }

    fn decode(&mut self, frame: &Frame) -> Result<(), FrameRefused> {
        let (header, first_lsn) = (frame.header(), frame.first_lsn());
        let records = &mut self.batch.records;
        let start = records.len();
        for record in decode_all(frame.payload()) {
            let at = Lsn(first_lsn.0 + (records.len() - start) as u64);
            records.push(record.map_err(|source| FrameRefused::Decode { at, source })?);
        }
        let held = (records.len() - start) as u64;
        if held != u64::from(header.record_count) {
            return Err(FrameRefused::Count { said: header.record_count, held });
        }
        let records = start..records.len();
        self.batch.frames.push(FrameOf { first_lsn, time_ns: header.time_ns, records });
        Ok(())
    }

    fn send(&mut self, wait: bool) -> Result<(), Gone> {
        let next = self.spare.try_recv().unwrap_or_default();
        let mut full = std::mem::replace(&mut self.batch, next);
        let mut done = None;
        if wait {
            let (tell, told) = sync_channel(1);
            full.waits = Some(tell);
            done = Some(told);
        }
        self.send.send(full).map_err(|_| Gone)?;
        match done {
            Some(told) => told.recv().map_err(|_| Gone),
            None => Ok(()),
        }
    }
}

/// The applier's side.
struct Applier<'a, O> {
    ledger: &'a mut Ledger,
    /// Events before this one are in the ledger already.
    from: Lsn,
    observer: &'a mut O,
    until: Until,
}

impl<O: Observer> Applier<'_, O> {
    fn run(mut self, receive: &Receiver<Batch>, spare: &Sender<Batch>) -> Result<(), Stopped> {
        for mut batch in receive {
            self.apply(&batch)?;
            if let Some(waits) = batch.waits.take() {
                // Nobody waits any more when the caller has stopped for a reason of its own.
                let _ = waits.send(());
            }
            batch.records.clear();
            batch.frames.clear();
            let _ = spare.send(batch);
        }
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) -> Result<(), Stopped> {
        let mut ahead = Ahead::new(batch.records.len(), AHEAD);
        for frame in &batch.frames {
            let stopped = |why| Stopped { lsn: frame.first_lsn, why };
            let (mut lsn, next) = (frame.first_lsn, self.ledger.coordinator.next_lsn());
            if lsn > next && self.until.includes(lsn, frame.time_ns) {
                return Err(stopped(FrameRefused::NotReached { first: lsn, next }.into()));
            }
            for at in frame.records.clone() {
                if !self.until.includes(lsn, frame.time_ns) {
                    return Ok(());
                }
                if lsn < self.from {
                    lsn = lsn.next();
                    continue;
                }
                let next = batch.records[ahead.at(at)].iter();
                next.for_each(|record| self.ledger.prefetch(record));
                let record = &batch.records[at];
                let applied = self.ledger.apply(lsn, frame.time_ns, record);
                applied.map_err(|why| stopped(FrameRefused::from(why).into()))?;
                let event = Event { lsn, time_ns: frame.time_ns, record };
                self.observer.event(self.ledger, &event).map_err(stopped)?;
                lsn = lsn.next();
            }
        }
        Ok(())
    }
}

/// Runs `scan` with a place to put frames in, and applies on another thread what comes. The
/// applier's error, if there is one, is the reason for the scan's.
pub(super) fn run<T, O: Observer>(
    ledger: &mut Ledger,
    until: Until,
    observer: &mut O,
    scan: impl FnOnce(&mut Feed) -> T,
) -> (T, Result<(), Stopped>) {
    let (send, receive) = sync_channel(BATCHES_MAX);
    let (give_back, spare) = channel();
    std::thread::scope(|scope| {
        let from = ledger.coordinator.next_lsn();
        let applier = Applier { ledger, from, observer, until };
        let applier = scope.spawn(move || applier.run(&receive, &give_back));
        let mut feed = Feed { send, spare, batch: Batch::default() };
        let scanned = scan(&mut feed);
        let mut sent = Ok(());
        if !feed.batch.frames.is_empty() {
            sent = feed.send(false);
        }
        drop(feed);
        let applied = match applier.join() {
            Ok(applied) => applied,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        debug_assert!(sent.is_ok() || applied.is_err(), "the applier ends early only by an error");
        (scanned, applied)
    })
}
