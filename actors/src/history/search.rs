//! Finds an account's entries around any place in the journal, without an index.
//!
//! An account's entries are chained backwards, so that from one entry the one before it is one
//! read away, however far it lies. To find the first entry *behind* a place, the journal between
//! the place and an entry known to lie behind it is halved, and a window of events is read in the
//! middle:
//!
//! ```text
//!        place                  window                     known entry
//! ─────────┼──────────────────────███──────────────────────────●────────▶ LSN
//!                                   └ holds an entry: that is the nearer one, go on left of it
//!                                     holds none: look right of the window first
//! ```
//!
//! Where entries lie close to each other every window holds one, and the search ends at the place
//! itself. Where the account paused, it ends at the first entry behind the pause, and the chain
//! leads across the pause in one step. What a window did not show is never taken for absent: a
//! search is over only when the chain says that the entry before the one at hand lies at the place
//! or before it. The window's size follows from how close entries lie, and where they lie too far
//! apart for windows, or are few, the chain is followed, which costs a read for each entry.

use crate::stored::{StoredError, StoredReader};
use ducat_engine::codec::decode_all;
use ducat_engine::ids::{Lsn, ShardId, Slot, TransferId};
use ducat_engine::note::Note;
use ducat_engine::record::Record;
use ducat_engine::transfer::TransferKind;
use ducat_persistence::{Frame, Journal};

/// How far to walk and how wide to look.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Steps back along the chain before anything else is tried: most accounts have few entries.
    steps_first: u64,
    /// Steps after a search came closer: enough to see how close entries lie there.
    steps_again: u64,
    /// Steps between two looks at whether a search pays.
    steps_walked: u64,
    /// A step costs about as much as so many events of a window.
    step_events: u64,
    /// The smallest window, in events: what one read gives anyway.
    window_min: u64,
    /// The largest; entries that lie further apart than a quarter of it are not searched for.
    window_max: u64,
}

const PACE: Pace = Pace {
    steps_first: 16,
    steps_again: 4,
    steps_walked: 256,
    step_events: 256,
    window_min: 1024,
    window_max: 65_536,
};

/// A window shall hold so many entries on average.
const WINDOW_ENTRIES: u64 = 4;

/// An account's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub lsn: Lsn,
    pub time_ns: u64,
    pub transfer: TransferId,
    pub counterparty: Slot,
    /// Minor units, negative for a debit.
    pub change: i128,
    /// Posted balance after it, minor units.
    pub posted: i128,
    /// The account's entry before it.
    pub previous: Option<Lsn>,
    /// What it is for, where its accounts do not tell.
    pub kind: Option<TransferKind>,
    /// What was said about it.
    pub note: Option<Box<Note>>,
}

impl Found {
    fn new(lsn: Lsn, time_ns: u64, record: &Record, slot: Slot) -> Option<Self> {
        let effect = record.effect_on(slot)?;
        Some(Self {
            lsn,
            time_ns,
            transfer: record.request_id()?,
            counterparty: effect.counterparty,
            change: effect.change,
            posted: effect.side.posted,
            previous: effect.side.previous(lsn),
            kind: record.entry_kind(),
            note: record.note().cloned().map(Box::new),
        })
    }

    /// Posted balance before it, minor units.
    pub fn posted_before(&self) -> i128 {
        self.posted - self.change
    }
}

/// Looks for one account's entries.
pub(crate) struct Search<'j> {
    journal: &'j dyn Journal,
    shard: ShardId,
    slot: Slot,
    reader: StoredReader<'j>,
    pace: Pace,
}

impl<'j> Search<'j> {
    pub fn new(journal: &'j dyn Journal, shard: ShardId, slot: Slot) -> Self {
        let reader = StoredReader::new(journal, shard);
        Self { journal, shard, slot, reader, pace: PACE }
    }

    /// The account's entry at `lsn`; `None` when the event there is none.
    pub fn at(&mut self, lsn: Lsn) -> Result<Option<Found>, StoredError> {
        let event = self.reader.event(lsn)?;
        Ok(Found::new(lsn, event.time_ns, &event.record, self.slot))
    }

    /// The entry that the chain says is at `lsn`.
    fn chained(&mut self, lsn: Lsn) -> Result<Found, StoredError> {
        self.at(lsn)?.ok_or(StoredError::Missing(lsn))
    }

    /// The first entry behind `place`. `newest` is the account's last one, or any entry behind
    /// which there is none that matters; `None` when that lies at the place or before it.
    pub fn first_behind(&mut self, place: Lsn, newest: Lsn) -> Result<Option<Found>, StoredError> {
        if newest <= place {
            return Ok(None);
        }
        let base = self.journal.base(self.shard);
        let base = base.map_err(|source| StoredError::journal(place, source))?.lsn;
        let mut entry = self.chained(newest)?;
        let mut steps = self.pace.steps_first;
        loop {
            let from = entry.lsn;
            for _ in 0..steps {
                match entry.previous.filter(|previous| *previous > place) {
                    Some(previous) => entry = self.chained(previous)?,
                    None => return Ok(Some(entry)),
                }
            }
            let apart = ((from.0 - entry.lsn.0) / steps).max(1);
            // What was trimmed is not searched; if the chain leads there, that is the error.
            let low = place.max(base);
            let left = entry.lsn.0.saturating_sub(low.0);
            let window = apart.saturating_mul(WINDOW_ENTRIES);
            if window > self.pace.window_max || !self.pays(left, apart, window) {
                steps = self.pace.steps_walked;
                continue;
            }
            entry = self.nearer(low, entry, window.max(self.pace.window_min))?;
            // Where searching brings little, more and more is walked: in all never more than
            // twice what walking alone would cost.
            let brought = left - (entry.lsn.0 - low.0);
            steps =
                if brought > left / 2 { self.pace.steps_again } else { steps.saturating_mul(2) };
        }
    }

    /// Whether halving `left` events down to a window reads less than walking entries that lie so
    /// far apart.
    fn pays(&self, left: u64, apart: u64, window: u64) -> bool {
        let walk = (left / apart).saturating_mul(self.pace.step_events);
        let windows = u64::from((left / window + 1).ilog2()) + 1;
        walk > window.saturating_mul(windows)
    }

    /// The last entry at `place` or before it.
    pub fn last_at(&mut self, place: Lsn, newest: Lsn) -> Result<Option<Lsn>, StoredError> {
        let behind = self.first_behind(place, newest)?;
        Ok(behind.map_or((newest > Lsn::ZERO).then_some(newest), |entry| entry.previous))
    }

    /// An entry behind `place`, nearer to it than `entry` if windows show one.
    fn nearer(&self, place: Lsn, mut entry: Found, window: u64) -> Result<Found, StoredError> {
        // No entry was seen in the windows between the place and here.
        let mut low = place;
        while entry.lsn.0 - low.0 > window {
            let middle = low.plus((entry.lsn.0 - low.0) / 2);
            let end = Lsn((middle.0 + window).min(entry.lsn.0));
            match self.first_within(middle, end)? {
                Some(found) => entry = found,
                None => low = Lsn(end.0 - 1),
            }
        }
        Ok(self.first_within(low.next(), entry.lsn)?.unwrap_or(entry))
    }

    /// The first entry from `from` on and before `end`, of all that lie there.
    fn first_within(&self, from: Lsn, end: Lsn) -> Result<Option<Found>, StoredError> {
        if from >= end {
            return Ok(None);
        }
        // One frame by itself: where entries lie close, it holds one, and reading on reads ahead.
        let frame = self.journal.frame_at(self.shard, from);
        let frame = frame.map_err(|source| StoredError::journal(from, source))?;
        let frame = frame.ok_or_else(|| self.reader.absent(from))?;
        let mut next = frame.last_lsn().next();
        if let Some(found) = self.first_of(&frame, from, end)? {
            return Ok(Some(found));
        }
        if next >= end {
            return Ok(None);
        }
        let failed = |source| StoredError::journal(from, source);
        for frame in self.journal.read(self.shard, next).map_err(failed)? {
            let frame = frame.map_err(failed)?;
            if let Some(found) = self.first_of(&frame, from, end)? {
                return Ok(Some(found));
            }
            next = frame.last_lsn().next();
            if next >= end {
                return Ok(None);
            }
        }
        Err(StoredError::Missing(next))
    }

    /// The first entry of a frame from `from` on and before `end`.
    fn first_of(&self, frame: &Frame, from: Lsn, end: Lsn) -> Result<Option<Found>, StoredError> {
        let (mut lsn, time_ns) = (frame.first_lsn(), frame.header().time_ns);
        for record in decode_all(frame.payload()) {
            let record = record.map_err(|source| StoredError::Decode { lsn, source })?;
            if lsn >= end {
                return Ok(None);
            }
            if lsn >= from
                && let Some(found) = Found::new(lsn, time_ns, &record, self.slot)
            {
                return Ok(Some(found));
            }
            lsn = lsn.next();
        }
        Ok(None)
    }

    /// Entries from `from` on back to `low`, at most `limit`, the newest first.
    pub fn backwards(
        &mut self,
        from: Option<Lsn>,
        low: Lsn,
        limit: usize,
    ) -> Result<Vec<Found>, StoredError> {
        let mut entries = Vec::new();
        let mut next = from.filter(|lsn| *lsn >= low);
        while let Some(lsn) = next.filter(|_| entries.len() < limit) {
            let entry = self.chained(lsn)?;
            next = entry.previous.filter(|previous| *previous >= low);
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Entries from `from` to `to`, at most `limit`, the oldest first: stretch by stretch, each
    /// found from its end and walked back.
    pub fn forwards(
        &mut self,
        from: Lsn,
        to: Lsn,
        newest: Lsn,
        limit: usize,
    ) -> Result<Vec<Found>, StoredError> {
        let mut entries: Vec<Found> = Vec::new();
        let (mut low, mut stretch) = (from, self.pace.window_min);
        while entries.len() < limit && low <= to {
            let wanted = limit - entries.len();
            let end = Lsn(low.0.saturating_add(stretch - 1).min(to.0));
            let behind = self.first_behind(end, newest)?;
            let last = match &behind {
                Some(entry) => entry.previous,
                None => (newest > Lsn::ZERO).then_some(newest),
            };
            // More than twice what is wanted: the stretch was too long.
            let most = 2 * wanted + 64;
            let mut found = self.backwards(last, low, most)?;
            let whole = found
                .last()
                .is_none_or(|oldest| oldest.previous.is_none_or(|previous| previous < low));
            if !whole {
                stretch = (stretch / 2).max(1);
                continue;
            }
            let count = found.len() as u64;
            found.reverse();
            entries.extend(found);
            low = end.next();
            if let Some(entry) = &behind {
                // Nothing lies between.
                low = low.max(entry.lsn);
            } else {
                break;
            }
            let apart = stretch.checked_div(count).unwrap_or(stretch).max(1);
            let next = apart.saturating_mul(limit.saturating_sub(entries.len()) as u64 + 1);
            stretch = next.clamp(self.pace.window_min, 1 << 40);
        }
        entries.truncate(limit);
        Ok(entries)
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
