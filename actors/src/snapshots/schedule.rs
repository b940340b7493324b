//! When a snapshot is due: by time, by the journal's growth, never when nothing changed.

use ducat_engine::ids::Lsn;
use std::time::{Duration, Instant};

/// Snapshots by themselves. [`Self::sanitize`] brings every field into its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSchedule {
    /// How long after the last one began the next is due; `None` for never. At least 1 s.
    /// Default 10 minutes.
    pub every: Option<Duration>,
    /// How many bytes of journal make one due; `None` for none. At least 1 MiB. A snapshot
    /// larger than this must be outgrown by the journal first, so that snapshots never write
    /// more than the journal does. Default 1 GiB.
    pub journal_bytes: Option<u64>,
    /// How many of the newest that can be used stay. At least 1. Default 3.
    pub keep: usize,
    /// How long after one that failed the next is tried. At least 1 s. Default 1 minute.
    pub retry: Duration,
}

const TIME_MIN: Duration = Duration::from_secs(1);
const JOURNAL_BYTES_MIN: u64 = 1 << 20;

impl Default for SnapshotSchedule {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_secs(600)),
            journal_bytes: Some(1 << 30),
            keep: 3,
            retry: Duration::from_secs(60),
        }
    }
}

impl SnapshotSchedule {
    /// Nothing by itself.
    #[must_use]
    pub fn off() -> Self {
        Self { every: None, journal_bytes: None, ..Self::default() }
    }

    /// With every field in its range; what is too small becomes the smallest.
    #[must_use]
    pub fn sanitize(self) -> Self {
        Self {
            every: self.every.map(|every| every.max(TIME_MIN)),
            journal_bytes: self.journal_bytes.map(|bytes| bytes.max(JOURNAL_BYTES_MIN)),
            keep: self.keep.max(1),
            retry: self.retry.max(TIME_MIN),
        }
    }
}

/// What the schedule counts from.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    schedule: SnapshotSchedule,
    /// When the last one began, or the engine started.
    since: Instant,
    /// The journal's bytes when the last one began; negative for what lay behind it at the
    /// start.
    journal_from: i128,
    /// The last event that is in one.
    covered: Lsn,
    /// Size of the last one.
    bytes: u64,
    /// Nothing is tried before, since the last one failed.
    not_before: Option<Instant>,
}

impl Due {
    /// An engine started at `now` from a snapshot of `covered` with so many bytes, and replayed
    /// so many bytes of journal behind it.
    pub fn new(
        schedule: SnapshotSchedule,
        now: Instant,
        covered: Lsn,
        bytes: u64,
        behind: u64,
    ) -> Self {
        let (schedule, journal_from) = (schedule.sanitize(), -i128::from(behind));
        Self { schedule, since: now, journal_from, covered, bytes, not_before: None }
    }

    /// Whether one is due with the journal grown by so many bytes since the start, up to an
    /// event.
    pub fn is_due(&self, now: Instant, journal: u64, last: Lsn) -> bool {
        if last <= self.covered || self.not_before.is_some_and(|then| now < then) {
            return false;
        }
        if self.not_before.is_some() {
            return true;
        }
        let by_time = self.schedule.every.is_some_and(|every| now - self.since >= every);
        let grown = i128::from(journal) - self.journal_from;
        let enough = |least: u64| grown >= i128::from(least.max(self.bytes));
        by_time || self.schedule.journal_bytes.is_some_and(enough)
    }

    /// One begins.
    pub fn begun(&mut self, now: Instant, journal: u64) {
        (self.since, self.journal_from) = (now, i128::from(journal));
    }

    /// It is durable.
    pub fn taken(&mut self, covered: Lsn, bytes: u64) {
        (self.covered, self.bytes, self.not_before) = (covered, bytes, None);
    }

    /// It failed; one that is taken by itself is tried again.
    pub fn failed(&mut self, now: Instant) {
        let by_itself = self.schedule.every.is_some() || self.schedule.journal_bytes.is_some();
        self.not_before = by_itself.then(|| now + self.schedule.retry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> SnapshotSchedule {
        let (every, journal_bytes) = (Some(Duration::from_secs(600)), Some(10 << 20));
        SnapshotSchedule { every, journal_bytes, keep: 3, retry: Duration::from_secs(60) }
    }

    #[test]
    fn one_is_due_by_time_and_by_growth_and_never_when_nothing_changed() {
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let mut due = Due::new(schedule(), start, Lsn(5), 0, 0);
        for (seconds, journal, last, expected) in [
            (599, 0, 6, false),
            (600, 0, 6, true),
            (100_000, 0, 5, false),
            (0, (10 << 20) - 1, 6, false),
            (0, 10 << 20, 6, true),
            (0, 10 << 20, 5, false),
        ] {
            let now = due.is_due(after(seconds), journal, Lsn(last));
            assert_eq!(now, expected, "{seconds} s, {journal} bytes, LSN {last}");
        }
        due.begun(after(600), 10 << 20);
        due.taken(Lsn(6), 100);
        assert!(!due.is_due(after(1199), 11 << 20, Lsn(7)));
        assert!(due.is_due(after(1200), 11 << 20, Lsn(7)));
        assert!(due.is_due(after(601), 20 << 20, Lsn(7)));
    }

    #[test]
    fn a_large_snapshot_is_outgrown_first_and_what_was_replayed_counts() {
        let start = Instant::now();
        let due = Due::new(schedule(), start, Lsn(5), 30 << 20, 20 << 20);
        assert!(!due.is_due(start, 9 << 20, Lsn(9)));
        assert!(due.is_due(start, 10 << 20, Lsn(9)));
    }

    #[test]
    fn what_failed_is_tried_again_after_a_while() {
        let start = Instant::now();
        let mut due = Due::new(schedule(), start, Lsn(0), 0, 0);
        due.begun(start, 0);
        due.failed(start);
        assert!(!due.is_due(start + Duration::from_secs(59), 1 << 40, Lsn(1)));
        assert!(due.is_due(start + Duration::from_secs(60), 0, Lsn(1)));
        due.taken(Lsn(1), 1);
        assert!(!due.is_due(start + Duration::from_secs(60), 0, Lsn(2)));
    }

    #[test]
    fn off_is_off_and_fields_are_brought_into_range() {
        let start = Instant::now();
        let mut due = Due::new(SnapshotSchedule::off(), start, Lsn(0), 0, 1 << 50);
        due.failed(start);
        assert!(!due.is_due(start + Duration::from_secs(1 << 30), u64::MAX, Lsn(1)));
        let small = SnapshotSchedule {
            every: Some(Duration::ZERO),
            journal_bytes: Some(0),
            keep: 0,
            retry: Duration::ZERO,
        };
        let least = SnapshotSchedule {
            every: Some(TIME_MIN),
            journal_bytes: Some(JOURNAL_BYTES_MIN),
            keep: 1,
            retry: TIME_MIN,
        };
        assert_eq!(small.sanitize(), least);
        assert_eq!(schedule().sanitize(), schedule());
    }
}
