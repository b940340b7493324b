//! The thread that appends: group commit with one append in flight.
//!
//! ```text
//! JournalActor ─ Append(decided) ─▶ inbox ─▶ records, answers ─▶ Writer::append ─┐
//!                                     ▲                                         │ durable
//!                 Released ───────────┘              AnswersActor ◀─ answers ───┘
//! ```
//!
//! An append blocks (it ends in a sync of the disk). Whatever arrives meanwhile becomes the next
//! one, without timers: a lone transfer is not held back and a flood makes large appends by
//! itself. The thread goes from one append to the next by itself, and lets answers go by itself: the
//! engine's thread, which may be in the middle of a batch, is not asked.

use crate::admission::Shared;
use crate::answers::{AnswersMsg, Release};
use crate::decided::{Decided, Used};
use crate::trace::Noted;
use crossbeam::channel;
use ducat_engine::ids::Lsn;
use ducat_persistence::{AppendBuffer, AppendError, RecordTooLarge, Writer};
use ractor::{ActorRef, MessagingErr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use thiserror::Error;

/// An append of fewer bytes waits until the answers of the one before have left, and with it
/// what callers ask next: it would cost as much as a larger one. More than that is worth an
/// append by itself.
const FEW_BYTES: usize = 4 * 1024;

/// What the thread is told.
pub(super) enum Told {
    /// What was decided behind the message before.
    Append(Decided),
    /// The answers sent off last have left.
    Released,
    /// Nothing follows.
    End,
}

/// Tells the thread that the answers sent off last have left.
#[derive(Clone)]
pub(crate) struct ReleasedTo(channel::Sender<Told>);

impl ReleasedTo {
    /// They have. A thread that has ended needs no word.
    pub fn tell(&self) {
        drop(self.0.send(Told::Released));
    }
}

/// Why the thread ended.
#[derive(Debug, Error)]
pub(super) enum Stopped {
    /// The first append that fails is the last.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// No frame may hold an event.
    #[error(transparent)]
    Record(#[from] RecordTooLarge),
    /// Nobody lets answers go any more.
    #[error("the actor that lets answers go has ended")]
    Answers(#[from] MessagingErr<AnswersMsg>),
}

/// What the thread owns.
pub(super) struct Committer {
    pub shared: Arc<Shared>,
    pub writer: Box<dyn Writer>,
    pub durable: Lsn,
    pub used: Used,
    pub answers: ActorRef<AnswersMsg>,
    pub inbox: channel::Receiver<Told>,
    pub released: channel::Sender<Told>,
    /// What goes into the next append.
    pub next: Waiting,
}

/// What waits for the next append.
#[derive(Default)]
pub(super) struct Waiting {
    records: AppendBuffer,
    releases: Vec<Release>,
    /// Batches whose moments somebody wants to know.
    noted: Vec<Noted>,
    /// Answers of the last append are on their way to those who asked.
    leaving: bool,
    ending: bool,
}

impl Waiting {
    /// Whether it should be appended now.
    fn is_due(&self) -> bool {
        let few = self.records.byte_len() < FEW_BYTES;
        if self.records.is_empty() {
            // Repeats and refusals at the door wait for nothing that is not durable now.
            return !self.releases.is_empty();
        }
        !(self.leaving && few) || self.ending
    }

    fn take(&mut self, told: Told, used: &Used) -> Result<(), RecordTooLarge> {
        match told {
            Told::Append(Decided::Made { records, mut releases, noted }) => {
                self.releases.append(&mut releases);
                self.noted.extend(noted.map(|noted| *noted));
                self.take_records(records, used);
            }
            Told::Append(Decided::Plain(batch)) => {
                let noted = batch.conclude(&mut self.records, &mut self.releases)?;
                self.noted.extend(noted.map(|noted| *noted));
            }
            Told::Released => self.leaving = false,
            Told::End => self.ending = true,
        }
        Ok(())
    }

    fn take_records(&mut self, records: AppendBuffer, used: &Used) {
        if self.records.is_empty() {
            used.buffer(std::mem::replace(&mut self.records, records));
        } else if !records.is_empty() {
            self.records.append_all(&records);
            used.buffer(records);
        }
    }
}

impl Committer {
    /// One append after the other, until it is told to end, the actor is gone, or an append fails.
    pub fn run(mut self) -> Result<(), Stopped> {
        while !self.next.ending {
            let Ok(told) = self.inbox.recv() else { return Ok(()) };
            self.next.take(told, &self.used)?;
            loop {
                while let Ok(told) = self.inbox.try_recv() {
                    self.next.take(told, &self.used)?;
                }
                if !self.next.is_due() {
                    break;
                }
                self.commit()?;
            }
        }
        Ok(())
    }

    /// Appends what waits, and lets go whatever waited for that.
    fn commit(&mut self) -> Result<(), Stopped> {
        let mut records = std::mem::take(&mut self.next.records);
        let releases = std::mem::take(&mut self.next.releases);
        let noted = std::mem::take(&mut self.next.noted);
        let writes = !records.is_empty();
        if writes {
            let bytes = records.byte_len() as u64;
            let begun = Instant::now();
            self.durable = self.writer.append(self.durable.next(), &mut records)?;
            self.shared.counters.appends.observe(begun.elapsed());
            self.shared.counters.journal_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.shared.durable.send_replace(self.durable);
            self.shared.on_the_way.arrived(self.durable, &self.used);
            // The next append's records go into the same memory: a buffer that grew anew each time
            // would cost more in pages the kernel clears than the encoding does.
            records.clear();
            self.next.records = records;
            self.next.leaving = !releases.is_empty();
        }
        if !noted.is_empty() {
            // Before the answers leave: whoever gets one finds its moments.
            let durable = writes.then(Instant::now);
            noted.into_iter().for_each(|noted| noted.over(durable));
        }
        if !releases.is_empty() {
            let tell = ReleasedTo(self.released.clone());
            self.answers.cast(AnswersMsg::Release { releases, tell })?;
        }
        Ok(())
    }
}
