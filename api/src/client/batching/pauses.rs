//! How long to wait before trying again.

use super::BatchingOptions;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// Growing pauses with jitter, from the shortest again after a success.
#[derive(Debug)]
pub(in crate::client) struct Pauses {
    builder: ExponentialBuilder,
    longest: Duration,
    current: Option<ExponentialBackoff>,
}

impl Pauses {
    pub(in crate::client) fn new(options: &BatchingOptions) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(options.retry_pause)
            .with_max_delay(options.retry_pause_max)
            .without_max_times()
            .with_jitter();
        Self { builder, longest: options.retry_pause_max, current: None }
    }

    /// The next pause.
    pub(in crate::client) fn next(&mut self) -> Duration {
        let builder = self.builder;
        self.current.get_or_insert_with(|| builder.build()).next().unwrap_or(self.longest)
    }

    /// Something worked.
    pub(in crate::client) fn reset(&mut self) {
        self.current = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_begin_anew_after_a_success() {
        let options = BatchingOptions::default();
        let mut pauses = Pauses::new(&options);
        let first = pauses.next();
        assert!((options.retry_pause..=2 * options.retry_pause).contains(&first), "{first:?}");
        let long = (0..1000).map(|_| pauses.next()).last().expect("there are some");
        let longest = options.retry_pause_max;
        assert!((longest..=2 * longest).contains(&long), "{long:?}");
        pauses.reset();
        assert!(pauses.next() <= 2 * options.retry_pause);
    }
}
