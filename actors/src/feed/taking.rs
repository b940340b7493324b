//! Reads a batch's worth of events from the journal, on a background thread.

use super::filter::Filter;
use super::watching::{Fired, Watching};
use crate::admission::Shared;
use crate::stored::{StoredError, StoredReader};
use ducat_engine::codec::decode_all;
use ducat_engine::ids::Lsn;
use ducat_engine::record::Record;
use ducat_persistence::FrameReader;
use std::sync::Arc;

/// No more is read once so many events are wanted. A frame holds some hundred and fifty at most.
const EVENTS_MAX: usize = 512;

/// Events looked at for one batch: a feed that wants few must let others have their turn.
const LOOKED_AT_MAX: u64 = 16_384;

/// What is to be read.
pub(super) struct Take {
    pub shared: Arc<Shared>,
    pub filter: Arc<Filter>,
    pub reader: Option<FrameReader>,
    pub watching: Watching,
    pub next: Lsn,
    /// Durable, and where an append ends.
    pub upto: Lsn,
}

/// An event that is wanted, and the watches that it triggers.
pub(crate) struct Seen {
    pub lsn: Lsn,
    pub time_ns: u64,
    pub record: Record,
    pub fired: Vec<Fired>,
}

/// What was read.
pub(super) struct Taken {
    pub records: Vec<Seen>,
    /// The event behind the last one looked at.
    pub next: Lsn,
    /// Reads on from there; none when that must be looked for.
    pub reader: Option<FrameReader>,
    /// Goes on with what comes next.
    pub watching: Watching,
    /// The last event opened an account that the filter awaits.
    pub awaited: bool,
}

impl Take {
    pub fn run(mut self) -> Result<Taken, StoredError> {
        let began = self.next;
        let shared = Arc::clone(&self.shared);
        let mut back = StoredReader::new(&*shared.journal, shared.shard);
        let mut records = Vec::new();
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let frames = self.shared.journal.read(self.shared.shard, self.next);
                frames.map_err(|source| StoredError::journal(self.next, source))?
            }
        };
        while self.next <= self.upto
            && records.len() < EVENTS_MAX
            && self.next.0 - began.0 < LOOKED_AT_MAX
        {
            let frame = reader.next().ok_or(StoredError::Missing(self.next))?;
            let frame = frame.map_err(|source| StoredError::journal(self.next, source))?;
            if frame.first_lsn() > self.next {
                return Err(StoredError::Missing(self.next));
            }
            let mut lsn = frame.first_lsn();
            for record in decode_all(frame.payload()) {
                let record = record.map_err(|source| StoredError::Decode { lsn, source })?;
                if lsn >= self.next {
                    let awaited = self.filter.awaits(&record);
                    let time_ns = frame.header().time_ns;
                    let at = (lsn, time_ns, &record);
                    let fired = self.watching.look(&self.shared.watched, at, &mut back)?;
                    if self.filter.takes(&record, &fired) {
                        records.push(Seen { lsn, time_ns, record, fired });
                    }
                    if awaited {
                        // The rest of the frame is read again, by a filter that knows it.
                        let (next, watching) = (lsn.next(), self.watching);
                        return Ok(Taken { records, next, reader: None, watching, awaited });
                    }
                }
                lsn = lsn.next();
            }
            self.next = self.next.max(lsn);
        }
        let (next, watching) = (self.next, self.watching);
        Ok(Taken { records, next, reader: Some(reader), watching, awaited: false })
    }
}
