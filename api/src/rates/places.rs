//! How many calls each caller has open at a time, streams included: one that holds all the places of
//! the server would keep everybody else out. A caller is a principal or, where nobody has a name, an address.

use crate::by_name::ByName;
use crate::status::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The open calls of all callers of one kind.
#[derive(Debug)]
pub struct Places {
    each: usize,
    full: fn(usize) -> Refusal,
    callers: ByName<AtomicUsize>,
    refused: AtomicU64,
}

/// What one caller has open. Clones are the same; kept by a connection, so that its calls need not be
/// looked up by name.
#[derive(Clone, Debug)]
pub struct Own {
    places: Arc<Places>,
    open: Arc<AtomicUsize>,
}

/// The places of one call, until it is dropped: one for each name of its caller.
#[derive(Debug)]
pub struct Place {
    callers: Arc<[Own]>,
    taken: usize,
}

impl Places {
    /// So many for each principal.
    #[must_use]
    pub fn of_principals(each: usize) -> Arc<Self> {
        Self::new(each, Refusal::principal_calls_full)
    }

    /// So many for each address from which somebody calls who has no name.
    #[must_use]
    pub fn of_addresses(each: usize) -> Arc<Self> {
        Self::new(each, Refusal::address_calls_full)
    }

    fn new(each: usize, full: fn(usize) -> Refusal) -> Arc<Self> {
        Arc::new(Self { each, full, callers: ByName::default(), refused: AtomicU64::new(0) })
    }

    /// The places of who is called this.
    #[must_use]
    pub fn own(self: &Arc<Self>, name: &str) -> Own {
        Own { places: Arc::clone(self), open: self.callers.get(name, AtomicUsize::default) }
    }

    /// Calls refused since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Callers with an open call.
    #[must_use]
    pub fn calling(&self) -> usize {
        self.callers.count(|open| open.load(Ordering::Relaxed) > 0)
    }
}

impl Place {
    /// A place with each of these, who are one caller under all of its names.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when one of them has as many open as it may.
    pub fn take(callers: &Arc<[Own]>) -> Result<Self, Refusal> {
        let mut place = Self { callers: Arc::clone(callers), taken: 0 };
        for Own { places, open } in callers.iter() {
            // Given back with the others, if it is one too many.
            place.taken += 1;
            if open.fetch_add(1, Ordering::Relaxed) >= places.each {
                places.refused.fetch_add(1, Ordering::Relaxed);
                return Err((places.full)(places.each));
            }
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for own in &self.callers[..self.taken] {
            own.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(own: &Own) -> Result<Place, Refusal> {
        Place::take(&Arc::from([own.clone()]))
    }

    #[test]
    fn each_caller_has_its_own_places_and_gives_them_back() {
        let places = Places::of_addresses(2);
        let (one, again, other) = (places.own("one"), places.own("one"), places.own("other"));
        let first = take(&one).expect("a place");
        let second = take(&again).expect("a place");
        assert!(take(&one).is_err() && take(&again).is_err() && take(&one).is_err());
        assert_eq!((places.refused(), places.calling()), (3, 1));
        let both = Arc::from([other.clone(), one.clone()]);
        assert!(Place::take(&both).is_err(), "one of its names has none");
        assert_eq!(places.calling(), 1, "what the other gave was given back");
        let others = take(&other).expect("a place of its own");
        assert_eq!(places.calling(), 2);
        drop(first);
        let third = Place::take(&both).expect("it was given back");
        assert!(take(&one).is_err() && take(&other).is_err(), "it is both");
        drop((second, third, others));
        assert_eq!(places.calling(), 0);
    }
}
