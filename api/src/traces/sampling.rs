//! Which calls are sampled: those whose caller says so, and a share of those whose caller says nothing,
//! both no more than so many in a second.

use super::context::Parent;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

/// How much is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Of calls whose caller says nothing of a trace, so many percent: 0 to 100.
    pub own_percent: f64,
    /// Most calls, and batches of streams, sampled in a second, and most at once.
    pub per_second_max: NonZeroU32,
}

/// Decides call by call.
#[derive(Debug)]
pub(super) struct Sampler {
    active: RwLock<Active>,
    sampled: AtomicU64,
    limited: AtomicU64,
}

#[derive(Debug)]
struct Active {
    rules: Sampling,
    /// Of all numbers of 64 bits, those up to this one; 0 for none.
    own: u64,
    bucket: DefaultDirectRateLimiter,
}

impl Active {
    fn new(rules: Sampling) -> Self {
        let bucket = RateLimiter::direct(Quota::per_second(rules.per_second_max));
        Self { rules, own: threshold(rules.own_percent), bucket }
    }
}

/// The part of all numbers of 64 bits that is so many percent of them.
fn threshold(percent: f64) -> u64 {
    (percent / 100.0 * u64::MAX as f64) as u64
}

impl Sampler {
    pub fn new(rules: Sampling) -> Self {
        let active = RwLock::new(Active::new(rules));
        Self { active, sampled: AtomicU64::new(0), limited: AtomicU64::new(0) }
    }

    /// Goes by these from now on; where they are others, with a full bucket.
    pub fn replace(&self, rules: Sampling) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        if active.rules != rules {
            *active = Active::new(rules);
        }
    }

    /// Whether a call shall be sampled: its caller's word counts, whichever it is.
    pub fn wants(&self, parent: Option<&Parent>) -> bool {
        if let Some(parent) = parent {
            return parent.sampled;
        }
        let own = self.active.read().unwrap_or_else(PoisonError::into_inner).own;
        own > 0 && rand::random::<u64>() <= own
    }

    /// Whether one that shall be sampled is: the second has had fewer than it may.
    pub fn takes(&self) -> bool {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        let taken = active.bucket.check().is_ok();
        let counter = if taken { &self.sampled } else { &self.limited };
        counter.fetch_add(1, Ordering::Relaxed);
        taken
    }

    /// Those that were sampled since the start, and those that were not because there were too many.
    pub fn counted(&self) -> (u64, u64) {
        (self.sampled.load(Ordering::Relaxed), self.limited.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(own_percent: f64, per_second_max: u32) -> Sampling {
        let per_second_max = NonZeroU32::new(per_second_max).expect("not 0");
        Sampling { own_percent, per_second_max }
    }

    fn parent(sampled: bool) -> Parent {
        Parent { trace: [1; 16], span: [2; 8], sampled }
    }

    #[test]
    fn the_callers_word_counts() {
        for percent in [0.0, 50.0, 100.0] {
            let sampler = Sampler::new(rules(percent, 1));
            assert!(sampler.wants(Some(&parent(true))));
            assert!(!sampler.wants(Some(&parent(false))));
        }
    }

    #[test]
    fn of_those_that_say_nothing_a_share_is_taken() {
        let wanted = |percent| {
            let sampler = Sampler::new(rules(percent, 1));
            (0..10_000).filter(|_| sampler.wants(None)).count()
        };
        assert_eq!((wanted(0.0), wanted(100.0)), (0, 10_000));
        // Twenty standard deviations to either side.
        assert!((1_500..3_500).contains(&wanted(25.0)));
    }

    #[test]
    fn no_second_has_more_than_it_may() {
        let sampler = Sampler::new(rules(0.0, 5));
        let since = std::time::Instant::now();
        let taken = (0..1_000).filter(|_| sampler.takes()).count() as u64;
        let most = 5 + 5 * (since.elapsed().as_secs() + 1);
        assert!((5..=most).contains(&taken), "{taken} of at most {most}");
        assert_eq!(sampler.counted(), (taken, 1_000 - taken));
    }

    #[test]
    fn rules_are_replaced_and_the_bucket_stays_where_they_are_the_same() {
        let sampler = Sampler::new(rules(0.0, 1));
        assert!(sampler.takes());
        sampler.replace(rules(0.0, 1));
        // At one in a second the second of these two finds nothing, even where the first did.
        assert!(!(sampler.takes() && sampler.takes()));
        sampler.replace(rules(100.0, 1_000_000));
        assert!(sampler.takes() && sampler.takes() && sampler.wants(None));
    }
}
