//! The memory that answers may take, in bytes: room is taken before an answer is made and
//! given back when the connection has sent it or is gone.
//!
//! ```text
//! request ─▶ room (waits, bounded) ─▶ engine ─▶ encode ▸ keep what it takes ─▶ connection
//!                                                    └ given back with the last byte ─┘
//! ```
//!
//! Without it a client that asks and does not read would be given memory without end. No caller takes
//! more than half of a budget, so that one who asks and does not read, or sends half of what it
//! announced, leaves room for all others ([`Budget::share`]).

use crate::by_name::ByName;
use prost::bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted in: finer would say no more.
const UNIT: usize = 1024;

/// The least a budget is: the largest answer.
pub const BUDGET_BYTES_MIN: usize = 16 * 1024 * 1024;

/// What a call takes first is not held against its caller's share when it is no more than this: how much
/// that can be is bounded by the caller's places for calls, and most calls take no more.
const SMALL_BYTES: usize = 4 * 1024;

/// What is read for a caller is large from here on: 100 accounts.
const LARGE_BYTES: usize = 64 * 1024;

/// Large reads of one caller that are in work or not yet taken, at a time. The next waits for the client to take
/// one, so that the work of who asks without end, and does not read, ends.
pub const LARGE_READS_MAX: usize = 8;

/// Memory for answers that are being made or not yet sent, or for requests. Clones share it.
#[derive(Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    units: u32,
    shares: Arc<ByName<Semaphore>>,
    large_reads: Arc<ByName<Semaphore>>,
    own: Option<Share>,
}

/// What one caller may take of a budget, and its places for large reads. Clones are the same.
#[derive(Clone, Debug)]
pub struct Share {
    free: Arc<Semaphore>,
    units: u32,
    large_reads: Arc<Semaphore>,
}

tokio::task_local! {
    /// The share of answers of the caller whose call this task works on.
    static ANSWERS: Share;
}

/// Works on a call: its answers take their room from this share as well.
pub(crate) async fn scope<T>(share: Option<Share>, work: impl Future<Output = T>) -> T {
    match share {
        Some(share) => ANSWERS.scope(share, work).await,
        None => work.await,
    }
}

impl Budget {
    /// A budget of so many bytes, but at least [`BUDGET_BYTES_MIN`].
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units = bytes.max(BUDGET_BYTES_MIN) / UNIT;
        let units = u32::try_from(units.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let free = Arc::new(Semaphore::new(units as usize));
        Self { free, units, shares: Arc::default(), large_reads: Arc::default(), own: None }
    }

    /// The share of this caller: half of the budget, but as much as the largest answer at least.
    #[must_use]
    pub fn share(&self, caller: &str) -> Share {
        let least = u32::try_from(BUDGET_BYTES_MIN / UNIT).unwrap_or(u32::MAX);
        let units = (self.units / 2).max(least).min(self.units);
        let free = self.shares.get(caller, || Semaphore::new(units as usize));
        let large_reads = self.large_reads.get(caller, || Semaphore::new(LARGE_READS_MAX));
        Share { free, units, large_reads }
    }

    /// The same budget for a caller who takes from this share of it as well.
    #[must_use]
    pub fn within(&self, share: Share) -> Self {
        Self { own: Some(share), ..self.clone() }
    }

    /// The same budget for who makes the call that this task works on, where that is told.
    #[must_use]
    pub(crate) fn of_this_call(&self) -> Self {
        ANSWERS.try_with(|share| self.within(share.clone())).unwrap_or_else(|_| self.clone())
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
        let own = self.own.as_ref();
        own.is_none_or(|own| own.free.available_permits() >= own.units_for(bytes) as usize)
            && self.free.available_permits() >= self.units_for(bytes) as usize
    }

    /// Room for so many bytes, or for all there are if they are fewer, as soon as there is.
    pub async fn room(&self, bytes: usize) -> Room {
        let own = match &self.own {
            None => None,
            Some(own) => Some(own.free.clone().acquire_many_owned(own.units_for(bytes)).await),
        };
        let own = own.map(|permit| permit.expect("the semaphore is never closed"));
        let permit = self.free.clone().acquire_many_owned(self.units_for(bytes)).await;
        Room { of_all: permit.expect("the semaphore is never closed"), own, large_read: None }
    }

    fn units_for(&self, bytes: usize) -> u32 {
        units_for(bytes, self.units)
    }

    /// The same at once; `None` when there is none.
    #[must_use]
    pub fn try_room(&self, bytes: usize) -> Option<Room> {
        self.try_room_of(self.own.as_ref(), bytes)
    }

    /// The same, of the first bytes of a call: few are not held against its caller's share.
    #[must_use]
    pub fn try_first_room(&self, bytes: usize) -> Option<Room> {
        self.try_room_of(self.own.as_ref().filter(|_| bytes > SMALL_BYTES), bytes)
    }

    fn try_room_of(&self, own: Option<&Share>, bytes: usize) -> Option<Room> {
        let own = match own {
            None => None,
            Some(own) => Some(own.free.clone().try_acquire_many_owned(own.units_for(bytes)).ok()?),
        };
        let permit = self.free.clone().try_acquire_many_owned(self.units_for(bytes)).ok()?;
        Some(Room { of_all: permit, own, large_read: None })
    }

    /// The same within `wait`; `None` when there is none by then.
    pub async fn room_within(&self, bytes: usize, wait: Duration) -> Option<Room> {
        tokio::time::timeout(wait, self.room(bytes)).await.ok()
    }

    /// Room for the one answer to the call that this task works on, within `wait`. Where there is some, nobody else
    /// waits, who would have it first.
    pub(crate) async fn answer_room(&self, bytes: usize, wait: Duration) -> Option<Room> {
        if bytes > SMALL_BYTES {
            return self.of_this_call().room_within(bytes, wait).await;
        }
        match self.try_room_of(None, bytes) {
            Some(room) => Some(room),
            None => self.room_within(bytes, wait).await,
        }
    }

    /// The same for what is read, which takes one of its caller's places as well where it is large: until the client has
    /// taken all of it, or it has turned out to be small.
    pub(crate) async fn read_room(&self, bytes: usize, wait: Duration) -> Option<Room> {
        if bytes <= LARGE_BYTES {
            return self.answer_room(bytes, wait).await;
        }
        let budget = self.of_this_call();
        let room = async {
            let place = match &budget.own {
                None => None,
                Some(own) => Some(own.large_reads.clone().acquire_owned().await),
            };
            let large_read = place.map(|place| place.expect("the semaphore is never closed"));
            Room { large_read, ..budget.room(bytes).await }
        };
        tokio::time::timeout(wait, room).await.ok()
    }
}

impl Share {
    fn units_for(&self, bytes: usize) -> u32 {
        units_for(bytes, self.units)
    }
}

/// Bytes in units: one at least, and never more than there are.
fn units_for(bytes: usize, most: u32) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).clamp(1, most)
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

/// A part of a budget, and of its caller's share of it, given back when it is dropped.
#[derive(Debug)]
pub struct Room {
    of_all: OwnedSemaphorePermit,
    own: Option<OwnedSemaphorePermit>,
    large_read: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Gives back what goes beyond so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        if bytes <= LARGE_BYTES {
            self.large_read = None;
        }
        for permit in [Some(&mut self.of_all), self.own.as_mut()].into_iter().flatten() {
            let beyond = permit.num_permits().saturating_sub(bytes.div_ceil(UNIT));
            drop(permit.split(beyond));
        }
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
    async fn nobody_takes_more_than_half_and_others_have_the_rest() {
        let budget = Budget::new(4 * BUDGET_BYTES_MIN);
        let of = |name| budget.within(budget.share(name));
        let (greedy, again, other) = (of("greedy"), of("greedy"), of("other"));
        let mut half = greedy.room(2 * BUDGET_BYTES_MIN).await;
        assert!(again.try_room(1).is_none() && !again.has_room(1), "the share is the name's");
        assert!(again.room_within(1, Duration::from_millis(10)).await.is_none());
        assert!(other.has_room(2 * BUDGET_BYTES_MIN));
        let others = other.try_room(2 * BUDGET_BYTES_MIN).expect("the other half");
        assert!(of("third").try_room(1).is_none(), "the bound of all");
        drop(others);
        half.keep(BUDGET_BYTES_MIN);
        let rest = again.try_room(BUDGET_BYTES_MIN).expect("both were given back");
        drop((half, rest));
        assert_eq!(budget.taken(), 0);
        let all = greedy.room(usize::MAX).await;
        assert_eq!(budget.taken(), budget.limit(), "what is larger than all takes all");
        drop(all);
        let small = Budget::new(0);
        let whole = small.within(small.share("one")).try_room(BUDGET_BYTES_MIN);
        assert!(whole.is_some(), "the largest answer fits into any share");
    }

    #[tokio::test]
    async fn a_call_takes_from_its_callers_share() {
        let budget = Budget::new(0);
        let share = budget.share("caller");
        let taken = scope(Some(share.clone()), async {
            let _room = budget.of_this_call().room(5 * UNIT).await;
            share.units as usize - share.free.available_permits()
        });
        assert_eq!(taken.await, 5);
        assert!(budget.of_this_call().own.is_none(), "nobody's call");
    }

    #[tokio::test]
    async fn what_is_small_and_first_is_held_against_all_alone() {
        let budget = Budget::new(0);
        let own = budget.within(budget.share("caller"));
        let taken = || {
            let share = budget.share("caller");
            share.units as usize - share.free.available_permits()
        };
        let first = own.try_first_room(SMALL_BYTES).expect("free");
        assert_eq!((budget.taken(), taken()), (SMALL_BYTES, 0));
        let next = own.try_room(UNIT).expect("free");
        let large = own.try_first_room(SMALL_BYTES + 1).expect("free");
        assert_eq!((budget.taken(), taken()), (10 * UNIT, 6));
        drop((first, next, large));
        let answer =
            |bytes| scope(Some(budget.share("caller")), budget.answer_room(bytes, Duration::ZERO));
        let small = answer(SMALL_BYTES).await.expect("free");
        assert_eq!((budget.taken(), taken()), (SMALL_BYTES, 0));
        let large = answer(SMALL_BYTES + 1).await.expect("free");
        assert_eq!((budget.taken(), taken()), (9 * UNIT, 5));
        drop((small, large));
        let all = budget.room(usize::MAX).await;
        assert!(own.try_first_room(1).is_none() && answer(1).await.is_none(), "the bound of all");
        drop(all);
    }

    #[tokio::test]
    async fn large_reads_of_one_caller_wait_until_one_was_taken() {
        let budget = Budget::default();
        let read = |name: &str, bytes| {
            let share = budget.share(name);
            let budget = &budget;
            async move { scope(Some(share), budget.read_room(bytes, Duration::ZERO)).await }
        };
        let mut unread = Vec::new();
        for _ in 0..LARGE_READS_MAX {
            unread.push(read("deaf", 2 * LARGE_BYTES).await.expect("free"));
        }
        assert!(read("deaf", 2 * LARGE_BYTES).await.is_none(), "one too many");
        assert!(read("deaf", LARGE_BYTES).await.is_some(), "small");
        assert!(read("other", 2 * LARGE_BYTES).await.is_some(), "of somebody else");
        unread[0].keep(LARGE_BYTES + 1);
        assert!(read("deaf", 2 * LARGE_BYTES).await.is_none(), "large after all");
        unread[0].keep(LARGE_BYTES);
        let next = read("deaf", 2 * LARGE_BYTES).await.expect("one turned out to be small");
        assert!(read("deaf", 2 * LARGE_BYTES).await.is_none());
        drop(next);
        assert!(read("deaf", 2 * LARGE_BYTES).await.is_some(), "one was taken");
        let nobodys = budget.read_room(2 * LARGE_BYTES, Duration::ZERO).await;
        assert!(nobodys.is_some(), "nobody's call");
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
