//! The segments of a shard: which there are, and which are open.
//!
//! The last segment stays open while it is written. Older ones are opened when
//! somebody reads them, and the least recently used are closed again.

use super::options::SledOptions;
use super::segment::{Segment, StoreError, parse_dir_name};
use ducat_engine::ids::Lsn;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::{fs, io};

const LOCK: &str = "no code panics while it holds this lock";

/// One segment, open or not.
#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
}

#[derive(Default)]
struct SlotState {
    /// Kept open.
    open: Option<Arc<Segment>>,
    /// Somebody may still use it although it is not kept open: two databases over
    /// one directory exclude each other.
    used: Weak<Segment>,
}

/// All segments of a shard, by first LSN.
pub(super) struct Table {
    journal: PathBuf,
    options: SledOptions,
    slots: RwLock<BTreeMap<Lsn, Arc<Slot>>>,
    /// Closed for writing and kept open, the least recently used in front.
    recent: Mutex<VecDeque<Lsn>>,
    /// Nothing of any segment is written any more.
    abandoned: AtomicBool,
}

impl Table {
    /// Lists the segments there are.
    pub(super) fn list(journal: &Path, options: SledOptions) -> io::Result<Self> {
        let mut slots = BTreeMap::new();
        for entry in fs::read_dir(journal)? {
            let name = entry?.file_name();
            if let Some(first) = name.to_str().and_then(parse_dir_name) {
                slots.insert(first, Arc::default());
            }
        }
        Ok(Self {
            journal: journal.to_owned(),
            options,
            slots: RwLock::new(slots),
            recent: Mutex::default(),
            abandoned: AtomicBool::new(false),
        })
    }

    /// First LSNs of all segments, in order.
    pub(super) fn firsts(&self) -> Vec<Lsn> {
        self.slots.read().expect(LOCK).keys().copied().collect()
    }

    /// The directory of a segment.
    pub(super) fn dir_of(&self, first: Lsn) -> PathBuf {
        self.journal.join(super::segment::dir_name(first))
    }

    /// The segment in which `lsn` lies, if it is anywhere.
    pub(super) fn first_for(&self, lsn: Lsn) -> Option<Lsn> {
        self.slots.read().expect(LOCK).range(..=lsn).next_back().map(|(first, _)| *first)
    }

    /// The segment after this one.
    pub(super) fn after(&self, first: Lsn) -> Option<Lsn> {
        self.slots.read().expect(LOCK).range(first.next()..).next().map(|(first, _)| *first)
    }

    fn slot(&self, first: Lsn) -> Option<Arc<Slot>> {
        self.slots.read().expect(LOCK).get(&first).cloned()
    }

    /// Opens a segment for as long as the caller holds it.
    pub(super) fn borrow(&self, first: Lsn) -> Result<Option<Arc<Segment>>, StoreError> {
        let Some(slot) = self.slot(first) else {
            return Ok(None);
        };
        self.open(&slot, first, false).map(|(segment, _)| Some(segment))
    }

    /// Opens a segment and keeps it open until others are used more.
    pub(super) fn get(&self, first: Lsn) -> Result<Option<Arc<Segment>>, StoreError> {
        let Some(slot) = self.slot(first) else {
            return Ok(None);
        };
        let (segment, newly_kept) = self.open(&slot, first, true)?;
        if newly_kept || self.is_recent(first) {
            self.touch(first);
        }
        Ok(Some(segment))
    }

    /// Opens a segment and keeps it open until [`release`](Self::release): the one
    /// that is written.
    pub(super) fn pin(&self, first: Lsn) -> Result<Option<Arc<Segment>>, StoreError> {
        let Some(slot) = self.slot(first) else {
            return Ok(None);
        };
        self.recent.lock().expect(LOCK).retain(|other| *other != first);
        self.open(&slot, first, true).map(|(segment, _)| Some(segment))
    }

    /// Adds a segment just created, pinned.
    pub(super) fn add_pinned(&self, segment: &Arc<Segment>) {
        let state = SlotState { open: Some(segment.clone()), used: Arc::downgrade(segment) };
        let slot = Arc::new(Slot { state: Mutex::new(state) });
        self.slots.write().expect(LOCK).insert(segment.first, slot);
    }

    /// From now on nothing of any segment is written, not even while it is closed: sled syncs what it
    /// closes, whether it was written or not.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        for slot in self.slots.read().expect(LOCK).values() {
            let state = slot.state.lock().expect(LOCK);
            if let Some(segment) = state.used.upgrade() {
                segment.abandon();
            }
        }
    }

    /// The segment is not written any more: it may be closed when it is not read.
    pub(super) fn release(&self, first: Lsn) {
        self.touch(first);
    }

    fn open(
        &self,
        slot: &Slot,
        first: Lsn,
        keep: bool,
    ) -> Result<(Arc<Segment>, bool), StoreError> {
        let mut state = slot.state.lock().expect(LOCK);
        if let Some(segment) = &state.open {
            return Ok((segment.clone(), false));
        }
        let segment = match state.used.upgrade() {
            Some(segment) => segment,
            None => {
                // Only the last segment can hold what no sync has confirmed.
                let last = self.after(first).is_none();
                Arc::new(Segment::open(&self.journal, first, &self.options, last)?)
            }
        };
        // Under the lock of the slot, which whoever abandons all of them takes as well.
        if self.abandoned.load(Ordering::Acquire) {
            segment.abandon();
        }
        state.used = Arc::downgrade(&segment);
        if keep {
            state.open = Some(segment.clone());
        }
        Ok((segment, keep))
    }

    fn is_recent(&self, first: Lsn) -> bool {
        self.recent.lock().expect(LOCK).contains(&first)
    }

    fn touch(&self, first: Lsn) {
        let mut closing = Vec::new();
        {
            let mut recent = self.recent.lock().expect(LOCK);
            recent.retain(|other| *other != first);
            recent.push_back(first);
            while recent.len() > self.options.open_segments_max {
                closing.extend(recent.pop_front());
            }
        }
        for first in closing {
            if let Some(slot) = self.slot(first) {
                let closed = slot.state.lock().expect(LOCK).open.take();
                drop(closed);
            }
        }
    }

    /// Forgets a segment; its directory can be removed when this returns, even if
    /// somebody still reads it.
    pub(super) fn forget(&self, first: Lsn) {
        self.recent.lock().expect(LOCK).retain(|other| *other != first);
        let slot = self.slots.write().expect(LOCK).remove(&first);
        drop(slot);
    }
}
