//! Asking the processor for memory before it is needed, without waiting for it.
//!
//! A transfer touches a handful of places far apart: its id's page, its accounts' pages and
//! entries, the accounts themselves. Worked on one after the other, the processor waits for each
//! of them. So whoever walks through a batch asks for the places of the requests [`AHEAD`] steps
//! further on: they arrive while it works on those in between. A hint occupies the processor for
//! an instant only, where a read holds up everything behind it until the memory has answered.

/// Requests between asking for what one needs and its turn: long enough for memory to answer,
/// short enough that what was brought is still there, and few enough lines for a processor to
/// fetch them side by side.
pub const AHEAD: usize = 16;

/// Asks for the line of the cache that `place` begins in. Changes nothing, waits for nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which every x86-64 has; it could not even fault, and the place exists.
    #[allow(unsafe_code)]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
    // Elsewhere the language has no such hint.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Walks through `len` requests: tells at which of them to ask ahead, and for which. Everything
/// is asked for once, in order, the first ones right at the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    len: usize,
    asked: usize,
    distance: usize,
}

impl Ahead {
    /// Asks from `distance` to twice that many requests ahead.
    #[must_use]
    pub fn new(len: usize, distance: usize) -> Self {
        Self { len, asked: 0, distance }
    }

    /// The requests to ask for now that the one at `at` has its turn; mostly none.
    #[inline]
    pub fn at(&mut self, at: usize) -> std::ops::Range<usize> {
        if self.asked == self.len || at + self.distance < self.asked {
            return 0..0;
        }
        let from = self.asked.max(at);
        self.asked = self.len.min(at + 2 * self.distance);
        from..self.asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_asked_for_once_and_ahead_of_its_turn() {
        for len in [0, 1, 15, 16, 17, 32, 33, 100, 8_192] {
            let mut ahead = Ahead::new(len, AHEAD);
            let mut asked = Vec::new();
            for at in 0..len {
                asked.extend(ahead.at(at));
                let enough = len.min(at + AHEAD);
                assert!(asked.len() >= enough, "{at} of {len}: {}", asked.len());
                assert!(asked.len() <= at + 2 * AHEAD, "{at} of {len}: {}", asked.len());
            }
            assert_eq!(asked, (0..len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_group_that_is_passed_over_leaves_nothing_out_behind_it() {
        let mut ahead = Ahead::new(1_000, AHEAD);
        assert_eq!(ahead.at(0), 0..32);
        assert_eq!(ahead.at(15), 0..0);
        assert_eq!(ahead.at(16), 32..48);
        assert_eq!(ahead.at(500), 500..532);
        assert_eq!(ahead.at(990), 990..1_000);
        assert_eq!(ahead.at(999), 0..0);
    }
}
