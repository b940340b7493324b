//! How many calls each principal has open at a time, streams included: one that holds all the places of
//! the server would keep everybody else out.

use crate::identity::Caller;
use crate::status::Refusal;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open calls of all principals.
#[derive(Debug)]
pub struct Places {
    each: usize,
    taken: Mutex<HashMap<Box<str>, usize>>,
    refused: AtomicU64,
}

/// The places of one call, until it is dropped: one for each name of its caller.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    names: Vec<Box<str>>,
}

impl Places {
    /// So many for each.
    #[must_use]
    pub fn new(each: usize) -> Arc<Self> {
        Arc::new(Self { each, taken: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// A place for a call of this caller's.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when one of its names has as many open as it may.
    pub fn take(self: &Arc<Self>, caller: &Caller) -> Result<Place, Refusal> {
        let mut taken = self.taken();
        let of = |name: &str| taken.get(name).copied().unwrap_or(0);
        if caller.grants().iter().any(|grant| of(&grant.name) >= self.each) {
            drop(taken);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal::principal_calls_full(self.each));
        }
        let names: Vec<Box<str>> =
            caller.grants().iter().map(|grant| grant.name.as_str().into()).collect();
        for name in &names {
            *taken.entry(name.clone()).or_default() += 1;
        }
        drop(taken);
        Ok(Place { places: Arc::clone(self), names })
    }

    /// Calls refused since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Principals with an open call.
    #[must_use]
    pub fn principals(&self) -> usize {
        self.taken().len()
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        for name in &self.names {
            // Nobody who has none open is remembered.
            if let Some(count) = taken.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    taken.remove(name);
                }
            }
        }
    }
}
