//! The buckets of one rule, one for each principal that has called.

use super::rules::Rate;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Most principals with a bucket of their own. Issuers of tokens may name any number; those
/// beyond share one.
const BUCKETS_MAX: usize = 16 * 1024;

/// How often at most full buckets are looked for among too many.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Why a bucket gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has so many again after this time, if nobody takes any.
    Later(Duration),
    /// It never holds so many.
    Never,
}

#[derive(Debug, Default)]
struct Buckets {
    by_name: HashMap<Box<str>, DefaultDirectRateLimiter>,
    swept: Option<Instant>,
}

/// A rule and its buckets.
#[derive(Debug)]
pub(super) struct Rule {
    rate: Rate,
    buckets: RwLock<Buckets>,
    /// For those who find no place.
    shared: DefaultDirectRateLimiter,
    buckets_max: usize,
}

impl Rule {
    pub fn new(rate: &Rate) -> Self {
        Self::with_room(rate, BUCKETS_MAX)
    }

    fn with_room(rate: &Rate, buckets_max: usize) -> Self {
        let shared = RateLimiter::direct(rate.quota());
        Self { rate: rate.clone(), buckets: RwLock::default(), shared, buckets_max }
    }

    pub const fn rate(&self) -> &Rate {
        &self.rate
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> usize {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner).by_name.len()
    }

    /// Takes so many tokens, or none.
    pub fn take(&self, name: &str, count: NonZeroU32) -> Result<(), Refused> {
        {
            let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(bucket) = buckets.by_name.get(name) {
                return from(bucket, count);
            }
        }
        self.take_first(name, count)
    }

    /// The same, for somebody who has no bucket yet.
    fn take_first(&self, name: &str, count: NonZeroU32) -> Result<(), Refused> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        if buckets.by_name.len() >= self.buckets_max {
            self.sweep(&mut buckets);
        }
        if buckets.by_name.len() >= self.buckets_max && !buckets.by_name.contains_key(name) {
            return from(&self.shared, count);
        }
        let new = || RateLimiter::direct(self.rate.quota());
        from(buckets.by_name.entry(name.into()).or_insert_with(new), count)
    }

    /// Forgets buckets that are full: one that is made anew is the same.
    fn sweep(&self, buckets: &mut Buckets) {
        if buckets.swept.is_some_and(|at| at.elapsed() < SWEEP_EVERY) {
            return;
        }
        let burst = self.rate.quota().burst_size();
        buckets.by_name.retain(|_, bucket| from(bucket, burst).is_err());
        buckets.swept = Some(Instant::now());
    }
}

fn from(bucket: &DefaultDirectRateLimiter, count: NonZeroU32) -> Result<(), Refused> {
    match bucket.check_n(count) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(until)) => Err(Refused::Later(until.wait_time_from(DefaultClock::default().now()))),
        Err(_above_burst) => Err(Refused::Never),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rates;
    use super::*;

    fn rule(text: &str) -> Rule {
        let mut table: toml::Table = text.parse().expect("TOML");
        let rates = Rates::from_value(table.remove("rates").expect("there")).expect("well-formed");
        Rule::with_room(&rates.rules()[0], 2)
    }

    #[test]
    fn full_buckets_make_room() {
        // Full again long before the sleep ends, which is never early.
        let rule = rule("[[rates]]\nper_second = 1000000\nburst = 1");
        for name in ["a", "b"] {
            assert_eq!(rule.take(name, NonZeroU32::MIN), Ok(()));
        }
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(rule.take("c", NonZeroU32::MIN), Ok(()));
        assert_eq!(rule.buckets(), 1, "a and b are forgotten");
    }

    #[test]
    fn principals_beyond_the_bound_share_one_bucket() {
        let rule = rule("[[rates]]\nper_hour = 1\nburst = 1");
        let one = NonZeroU32::MIN;
        for (name, passes) in
            [("a", true), ("b", true), ("a", false), ("c", true), ("d", false), ("b", false)]
        {
            assert_eq!(rule.take(name, one).is_ok(), passes, "{name}");
        }
        assert_eq!(rule.buckets(), 2, "none was full, so none was forgotten");
    }
}
