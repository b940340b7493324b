//! What all who go by one name share, for as long as somebody holds it: a share of a [budget](crate::budget), a
//! count of [open calls](crate::rates::places). Names that nobody holds any more are let go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Fewer names than this are not looked through for those that nobody holds.
const NAMES_MIN: usize = 64;

/// What is held, by name.
#[derive(Debug)]
pub(crate) struct ByName<T>(Mutex<Known<T>>);

#[derive(Debug)]
struct Known<T> {
    held: HashMap<Box<str>, Weak<T>>,
    /// When there are so many names, those that nobody holds are let go.
    sweep_at: usize,
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(Mutex::new(Known { held: HashMap::new(), sweep_at: NAMES_MIN }))
    }
}

impl<T> ByName<T> {
    /// What is held under this name, or else what `new` makes.
    pub fn get(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = known.held.get(name).and_then(Weak::upgrade) {
            return held;
        }
        if known.held.len() >= known.sweep_at {
            known.held.retain(|_, held| held.strong_count() > 0);
            known.sweep_at = NAMES_MIN.max(2 * known.held.len());
        }
        let made = Arc::new(new());
        known.held.insert(name.into(), Arc::downgrade(&made));
        made
    }

    /// How many of those that are held `are`.
    pub fn count(&self, are: impl Fn(&T) -> bool) -> usize {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.held.values().filter(|held| held.upgrade().is_some_and(|held| are(&held))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_the_same_and_what_nobody_holds_is_let_go() {
        let all = ByName::default();
        let held = all.get("held", || 1);
        for name in 0..10 * NAMES_MIN {
            drop(all.get(&name.to_string(), || 2));
        }
        let names = all.0.lock().expect("whole").held.len();
        assert!(names <= 2 * NAMES_MIN, "{names}");
        assert!(Arc::ptr_eq(&held, &all.get("held", || 3)));
        assert_eq!((all.count(|_| true), all.count(|number| *number > 1)), (1, 0));
        drop(held);
        assert_eq!(*all.get("held", || 4), 4, "nobody holds what it was");
    }
}
