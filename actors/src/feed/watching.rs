//! Balance watches at work: which of them trigger at which event, told while a feed reads on.
//!
//! ```text
//! account's watches (Watched, shared) ┐
//! record: figures before and after ───┼─▶ Watching::look ─▶ Fired, with the event
//! moved in its window so far ─────────┘       └ kept by a feed from event to event; at the first
//!                                               one read back along the account's entries
//! ```
//!
//! Nothing here is of record: it all follows from the journal, so every feed finds the same,
//! wherever it begins. A ledger without watches pays a look at one flag for each batch read.

use crate::stored::{StoredError, StoredReader};
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::profile::{Details, Profiles};
use ducat_engine::record::Record;
use ducat_engine::watch::{Condition, FiguresChange, Flow, Standing, Watch};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A watch that triggered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// The account.
    pub slot: Slot,
    /// The watch's name.
    pub name: String,
    /// What became true.
    pub condition: Condition,
    /// The account's figures before the event.
    pub before: Standing,
    /// And after it.
    pub after: Standing,
    /// Of a condition on what is moved: minor units moved in this window, by this event too.
    pub moved: Option<u128>,
}

/// All watches there are, and those that were removed lately. The coordinator notes each change
/// before it is journalled: a watch triggers only behind the event that defines it, so what is not
/// durable yet has no effect on what is read.
#[derive(Default)]
pub(crate) struct Watched {
    any: AtomicBool,
    by_slot: RwLock<HashMap<Slot, Arc<[Watch]>>>,
}

impl Watched {
    /// Takes in the watches of a ledger that starts.
    pub fn learn(&self, profiles: &Profiles) {
        profiles.watched().for_each(|(slot, details)| self.note(slot, details));
    }

    /// Takes in how an account's watches are from now on.
    pub fn note(&self, slot: Slot, details: &Details) {
        let watches: Arc<[Watch]> = details.watches.as_slice().into();
        let mut by_slot = self.by_slot.write().unwrap_or_else(PoisonError::into_inner);
        by_slot.insert(slot, watches);
        self.any.store(true, Ordering::Release);
    }

    fn of(&self, slot: Slot) -> Option<Arc<[Watch]>> {
        let by_slot = self.by_slot.read().unwrap_or_else(PoisonError::into_inner);
        by_slot.get(&slot).map(Arc::clone)
    }
}

/// What one account moved within one window.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    /// The window's number since the Unix epoch.
    window: u64,
    debits: u128,
    credits: u128,
}

impl Moved {
    fn add(&mut self, change: i128) {
        self.debits += Flow::Debits.part_of(change);
        self.credits += Flow::Credits.part_of(change);
    }

    fn of(&self, flow: Flow) -> u128 {
        match flow {
            Flow::Debits => self.debits,
            Flow::Credits => self.credits,
            Flow::Both => self.debits + self.credits,
        }
    }
}

/// What a feed keeps from event to event: how much watched accounts moved in the windows that they
/// are watched in, by account and length of window.
#[derive(Debug, Default)]
pub(super) struct Watching {
    moved: HashMap<Slot, Vec<(u64, Moved)>>,
}

/// An event, its place and its time.
pub(super) type At<'r> = (Lsn, u64, &'r Record);

impl Watching {
    /// Which watches trigger at this event. Every event is looked at, in order, from the feed's first
    /// one on.
    pub fn look(
        &mut self,
        watched: &Watched,
        at: At<'_>,
        reader: &mut StoredReader<'_>,
    ) -> Result<Vec<Fired>, StoredError> {
        let mut fired = Vec::new();
        if !watched.any.load(Ordering::Acquire) {
            return Ok(fired);
        }
        for change in at.2.figures_changes().into_iter().flatten() {
            if let Some(watches) = watched.of(change.slot) {
                self.look_at(&watches, at, &change, reader, &mut fired)?;
            }
        }
        Ok(fired)
    }

    fn look_at(
        &mut self,
        watches: &[Watch],
        at: At<'_>,
        change: &FiguresChange,
        reader: &mut StoredReader<'_>,
        fired: &mut Vec<Fired>,
    ) -> Result<(), StoredError> {
        let (lsn, slot) = (at.0, change.slot);
        let there = watches.iter().filter(|watch| watch.watches_at(lsn));
        let mut windows = Vec::new();
        for watch in there {
            let mut moved = None;
            let mut before = 0;
            if let Condition::Moved { flow, window_ns, .. } = watch.condition {
                before = self.moved_before(at, change, window_ns, reader)?.of(flow);
                moved = Some(before + flow.part_of(change.posted()));
                windows.push(window_ns);
            }
            if watch.condition.becomes_true(change, before) {
                let FiguresChange { before, after, .. } = *change;
                let (name, condition) = (watch.name.clone(), watch.condition);
                fired.push(Fired { slot, name, condition, before, after, moved });
            }
        }
        if let Some(moved) = self.moved.get_mut(&slot) {
            // A window that is not watched now is not followed, so it is not known later.
            moved.retain(|(window_ns, _)| windows.contains(window_ns));
            moved.iter_mut().for_each(|(_, moved)| moved.add(change.posted()));
        }
        Ok(())
    }

    /// What the account moved in the event's window before it.
    fn moved_before(
        &mut self,
        (lsn, time_ns, record): At<'_>,
        change: &FiguresChange,
        window_ns: u64,
        reader: &mut StoredReader<'_>,
    ) -> Result<Moved, StoredError> {
        let window = time_ns / window_ns;
        let mut moved = Moved { window, ..Moved::default() };
        let kept = self.moved.entry(change.slot).or_default();
        if let Some((_, kept)) = kept.iter_mut().find(|(length, _)| *length == window_ns) {
            if kept.window != window {
                *kept = moved;
            }
            return Ok(*kept);
        }
        let entry = record.effect_on(change.slot);
        let mut next = match entry {
            Some(entry) => entry.side.previous(lsn),
            // No entry, and moves nothing: nothing can come of it, and the next entry looks again.
            None => return Ok(moved),
        };
        while let Some(before) = next {
            let event = match reader.event(before) {
                Ok(event) => event,
                // Gone without an archive: it counts no more.
                Err(error) if error.is_trimmed() => break,
                Err(error) => return Err(error),
            };
            let Some(effect) = event.record.effect_on(change.slot) else { break };
            if event.time_ns / window_ns != window {
                break;
            }
            moved.add(effect.change);
            next = effect.side.previous(before);
        }
        kept.push((window_ns, moved));
        Ok(moved)
    }
}
