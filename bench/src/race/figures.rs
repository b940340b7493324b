//! What a row is judged by: figures of its runs, their medians and spread, the limits they are
//! held against, and by how much they fall short.

use crate::table::{bytes, count};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A kind of figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Transfers posted a second.
    PostedPerS,
    /// Median latency of requests, milliseconds.
    P50Ms,
    /// Its 99th percentile.
    P99Ms,
    /// Its 99.9th percentile.
    P999Ms,
    /// Latency of reads beside the load, 99th percentile, milliseconds.
    ReadP99Ms,
    /// Its median.
    ReadP50Ms,
    /// Transfers in requests that failed or were never answered.
    Errors,
    /// Bytes written to disk for a transfer.
    WrittenPerTransfer,
    /// From starting a killed server until it answers, seconds.
    RestartS,
    /// Memory of 10M accounts, their first deposits' ids included, bytes.
    AccountsBytes,
    /// Memory of 10M remembered ids, bytes.
    IdsBytes,
    /// Times PostgreSQL, single calls both.
    RatioSingle,
    /// Times PostgreSQL, batches both.
    RatioBatched,
    /// Times PostgreSQL, Ducat's batches against one transaction a transfer.
    RatioMixed,
    /// Goodput at twice the peak, percent of it.
    Goodput2,
    /// At five times.
    Goodput5,
    /// At ten times.
    Goodput10,
    /// From the end of the overload until 99% of what is offered is answered, seconds.
    RecoveredS,
}

impl Metric {
    /// A value with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::PostedPerS => format!("{}/s", count(value.round() as u64)),
            Self::P50Ms | Self::P99Ms | Self::P999Ms | Self::ReadP50Ms | Self::ReadP99Ms => {
                format!("{value:.1} ms")
            }
            Self::Errors => format!("{} errors", count(value as u64)),
            Self::WrittenPerTransfer => format!("{value:.0} B"),
            Self::RestartS | Self::RecoveredS => format!("{value:.1} s"),
            Self::AccountsBytes | Self::IdsBytes => bytes(value as u64),
            Self::RatioSingle | Self::RatioBatched | Self::RatioMixed => format!("{value:.1}×"),
            Self::Goodput2 | Self::Goodput5 | Self::Goodput10 => format!("{value:.0}%"),
        }
    }

    /// What it is called beside another figure; empty for what needs no name.
    fn label(self) -> &'static str {
        match self {
            Self::P50Ms => "p50 ",
            Self::P99Ms => "p99 ",
            Self::ReadP50Ms => "reads' p50 ",
            Self::ReadP99Ms => "reads' p99 ",
            Self::P999Ms => "p99.9 ",
            _ => "",
        }
    }

    /// Whether more of it is better.
    fn is_better_when_more(self) -> bool {
        match self {
            Self::PostedPerS
            | Self::RatioSingle
            | Self::RatioBatched
            | Self::RatioMixed
            | Self::Goodput2
            | Self::Goodput5
            | Self::Goodput10 => true,
            Self::P50Ms
            | Self::P99Ms
            | Self::P999Ms
            | Self::ReadP50Ms
            | Self::ReadP99Ms
            | Self::Errors
            | Self::WrittenPerTransfer
            | Self::RestartS
            | Self::AccountsBytes
            | Self::IdsBytes
            | Self::RecoveredS => false,
        }
    }

    /// How many times better `ours` is than `theirs`.
    pub fn ratio(self, ours: f64, theirs: f64) -> f64 {
        if self.is_better_when_more() { ours / theirs } else { theirs / ours }
    }
}

/// The figures of one run.
pub type Figures = BTreeMap<Metric, f64>;

/// A bound on a figure: at least, or at most where less is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Of what.
    pub metric: Metric,
    /// The bound, in the metric's unit.
    pub value: f64,
}

impl Limit {
    /// The bound as text.
    pub fn show(self) -> String {
        let sign = if self.metric.is_better_when_more() { "≥" } else { "≤" };
        format!("{}{sign} {}", self.metric.label(), self.metric.show(self.value))
    }

    /// By how much `figures` miss it; `None` when they hold it.
    fn missed(self, figures: &Figures) -> Option<String> {
        let metric = self.metric;
        let Some(&found) = figures.get(&metric) else {
            return Some(format!("{}not measured", metric.label()));
        };
        let more = metric.is_better_when_more();
        if (more && found >= self.value) || (!more && found <= self.value) {
            return None;
        }
        let off = metric.show((found - self.value).abs());
        let percent = if self.value == 0.0 {
            String::new()
        } else {
            format!(" ({:.0}%)", (found - self.value).abs() / self.value * 100.0)
        };
        let side = if more { "below" } else { "above" };
        Some(format!("{}{off}{percent} {side} {}", metric.label(), metric.show(self.value)))
    }
}

/// Whether limits hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of them.
    Pass,
    /// By how much which do not.
    Short(Vec<String>),
}

impl Verdict {
    /// Judges `figures` by `limits`.
    pub fn of(figures: &Figures, limits: &[Limit]) -> Self {
        let missed: Vec<_> = limits.iter().filter_map(|limit| limit.missed(figures)).collect();
        if missed.is_empty() { Self::Pass } else { Self::Short(missed) }
    }
}

/// The median of each figure that every run has.
pub fn medians(runs: &[Figures]) -> Figures {
    over_runs(runs, |sorted| {
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        }
    })
}

/// The least and the most of a figure.
pub fn spread(runs: &[Figures], metric: Metric) -> Option<(f64, f64)> {
    let least = over_runs(runs, |sorted| sorted[0]).get(&metric).copied()?;
    let most = over_runs(runs, |sorted| sorted[sorted.len() - 1]).get(&metric).copied()?;
    Some((least, most))
}

fn over_runs(runs: &[Figures], take: impl Fn(&[f64]) -> f64) -> Figures {
    let Some(first) = runs.first() else { return Figures::new() };
    let all = |metric: &Metric| {
        let mut values: Vec<f64> =
            runs.iter().map(|run| run.get(metric).copied()).collect::<Option<_>>()?;
        values.sort_by(f64::total_cmp);
        Some((*metric, take(&values)))
    };
    first.keys().filter_map(all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f64, p99: f64) -> Figures {
        Figures::from([(Metric::PostedPerS, rate), (Metric::P99Ms, p99)])
    }

    #[test]
    fn the_median_is_the_middle_and_the_spread_the_ends() {
        let odd = [run(3.0, 9.0), run(1.0, 8.0), run(2.0, 1.0)];
        assert_eq!(medians(&odd), run(2.0, 8.0));
        assert_eq!(spread(&odd, Metric::PostedPerS), Some((1.0, 3.0)));
        let even = [run(4.0, 1.0), run(1.0, 1.0), run(2.0, 1.0), run(3.0, 1.0)];
        assert_eq!(medians(&even), run(2.5, 1.0));
        assert_eq!((medians(&[]), spread(&[], Metric::P50Ms)), (Figures::new(), None));
        // A figure that one run lacks has no median.
        let lacking = [run(1.0, 1.0), Figures::from([(Metric::PostedPerS, 5.0)])];
        assert_eq!(medians(&lacking), Figures::from([(Metric::PostedPerS, 3.0)]));
    }

    #[test]
    fn limits_are_held_at_the_bound_and_missed_by_so_much() {
        let limit = |metric, value| Limit { metric, value };
        let limits = [limit(Metric::PostedPerS, 1000.0), limit(Metric::P99Ms, 10.0)];
        assert_eq!(Verdict::of(&run(1000.0, 10.0), &limits), Verdict::Pass);
        let Verdict::Short(why) = Verdict::of(&run(900.0, 12.5), &limits) else { panic!("short") };
        assert_eq!(why, ["100/s (10%) below 1,000/s", "p99 2.5 ms (25%) above 10.0 ms"]);
        let none = [limit(Metric::Errors, 0.0)];
        let some = Figures::from([(Metric::Errors, 3.0)]);
        assert_eq!(
            Verdict::of(&some, &none),
            Verdict::Short(vec!["3 errors above 0 errors".into()])
        );
        assert_eq!(
            Verdict::of(&Figures::new(), &limits[1..]),
            Verdict::Short(vec!["p99 not measured".into()])
        );
    }

    #[test]
    fn ratios_are_above_one_when_better() {
        assert_eq!(Metric::PostedPerS.ratio(30.0, 10.0), 3.0);
        assert_eq!(Metric::RestartS.ratio(2.0, 6.0), 3.0);
    }
}
