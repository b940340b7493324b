//! The memory that answers may take, in bytes: room is taken before an answer is made and
//! given back when the connection has sent it or is gone.
//!
//! ```text
//! request ─▶ room (waits, bounded) ─▶ engine ─▶ encode ▸ keep what it takes ─▶ connection
//!                                                    └ given back with the last byte ─┘
//! ```
//!
//! Without it a client that asks and does not read would be given memory without end.

use prost::bytes::Bytes;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted in: finer would say no more.
const UNIT: usize = 1024;

/// The least a budget is: the largest answer.
pub const BUDGET_BYTES_MIN: usize = 16 * 1024 * 1024;

/// Memory for answers that are being made or not yet sent. Clones share it.
#[derive(Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    units: u32,
}

impl Budget {
    /// A budget of so many bytes, but at least [`BUDGET_BYTES_MIN`].
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units = bytes.max(BUDGET_BYTES_MIN) / UNIT;
        let units = u32::try_from(units.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// The budget's size in bytes.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.units as usize * UNIT
    }

    /// Bytes taken at this moment.
    #[must_use]
    pub fn taken(&self) -> usize {
        (self.units as usize).saturating_sub(self.free.available_permits()) * UNIT
    }

    /// Whether there is room for so many bytes at this moment.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.free.available_permits() >= self.units_for(bytes) as usize
    }

    /// Room for so many bytes, or for all there are if they are fewer, as soon as there is.
    pub async fn room(&self, bytes: usize) -> Room {
        let permit = self.free.clone().acquire_many_owned(self.units_for(bytes)).await;
        Room(permit.expect("the semaphore is never closed"))
    }

    fn units_for(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, self.units)
    }

    /// The same at once; `None` when there is none.
    #[must_use]
    pub fn try_room(&self, bytes: usize) -> Option<Room> {
        self.free.clone().try_acquire_many_owned(self.units_for(bytes)).ok().map(Room)
    }

    /// The same within `wait`; `None` when there is none by then.
    pub async fn room_within(&self, bytes: usize, wait: Duration) -> Option<Room> {
        tokio::time::timeout(wait, self.room(bytes)).await.ok()
    }
}

impl Default for Budget {
    /// 256 MiB.
    fn default() -> Self {
        Self::new(256 * 1024 * 1024)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {} bytes)", self.taken(), self.limit())
    }
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

impl Room {
    /// Gives back what goes beyond so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        let beyond = self.0.num_permits().saturating_sub(bytes.div_ceil(UNIT));
        drop(self.0.split(beyond));
    }
}

/// The rooms of messages on their way into a frame: put here as a message leaves the service,
/// taken by the body that sees the frame. Travels in the extensions of the response.
#[derive(Clone, Debug, Default)]
pub struct Rooms(Arc<Mutex<Vec<Room>>>);

impl Rooms {
    /// Of a response with one message.
    #[must_use]
    pub fn of(room: Room) -> Self {
        let rooms = Self::default();
        rooms.put(room);
        rooms
    }

    /// Adds the room of a message.
    pub fn put(&self, room: Room) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(room);
    }

    /// All that were put since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Room> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Bytes that keep `guard` until the last reference to them is gone.
#[must_use]
pub fn guarded<G: Send + 'static>(bytes: Bytes, guard: G) -> Bytes {
    struct Guarded<G>(Bytes, G);
    impl<G> AsRef<[u8]> for Guarded<G> {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Guarded(bytes, guard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_taken_kept_and_given_back() {
        let budget = Budget::new(0);
        assert_eq!(budget.limit(), BUDGET_BYTES_MIN);
        let mut room = budget.room(1_000_001).await;
        assert_eq!(budget.taken(), 977 * UNIT);
        room.keep(2000);
        assert_eq!(budget.taken(), 2 * UNIT);
        room.keep(1_000_000);
        assert_eq!(budget.taken(), 2 * UNIT, "it never grows");
        let bytes = guarded(Bytes::from_static(b"abc"), room);
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!((&part[..], budget.taken()), (&b"bc"[..], 2 * UNIT));
        drop(part);
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test]
    async fn what_is_larger_than_the_budget_gets_all_of_it() {
        let budget = Budget::new(0);
        let all = budget.room(usize::MAX).await;
        assert_eq!(budget.taken(), budget.limit());
        assert!(budget.room_within(1, Duration::from_millis(10)).await.is_none());
        assert!(budget.try_room(1).is_none());
        drop(all);
        assert!(budget.try_room(1).is_some());
        assert!(budget.room_within(1, Duration::from_millis(10)).await.is_some());
    }
}
