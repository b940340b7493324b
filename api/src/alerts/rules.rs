//! The conditions: which figures somebody must be told of, and in what words.
//!
//! Each has its twin in `deploy/prometheus/ducat.rules.yml`; a test holds the names and severities of
//! both together.

use super::sample::Sample;
use crate::outside::BreakerState;
use std::fmt;

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the next working day.
    Warning,
    /// For now.
    Critical,
}

impl Severity {
    /// Its name: `warning`, `critical`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where conditions begin. Rates and shares are those of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Most calls that fail for a reason of the server's, percent.
    pub failed_calls_percent: f64,
    /// Most transfers that rules refuse, percent.
    pub refusals_percent: f64,
    /// The longest p99 of a call to the ledger, seconds.
    pub latency_p99_s: f64,
    /// The longest p99 of an append with its sync, seconds.
    pub append_p99_s: f64,
    /// Fewest transfers posted in a second; 0 asks for none.
    pub posted_per_s: f64,
    /// Most calls refused in a second for want of an identity or a right.
    pub denied_per_s: f64,
    /// The longest time that something durable may not be in the backup, seconds.
    pub backup_lag_s: u64,
}

/// Fewer calls or transfers than this in a window say nothing about shares.
const COUNT_MIN: u64 = 20;

/// A condition that may hold.
#[derive(Debug)]
pub struct Rule {
    /// The alert's name.
    pub name: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// Whether it fires without having held for some time: it does not pass by itself.
    pub at_once: bool,
    /// One line for people: what it means.
    pub summary: &'static str,
    judge: fn(&Window<'_>) -> Option<String>,
}

/// A condition that holds.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Which.
    pub rule: &'static Rule,
    /// A sentence with the figures.
    pub what: String,
}

/// The figures of a window, and where conditions begin.
struct Window<'a> {
    before: &'a Sample,
    now: &'a Sample,
    than: &'a Thresholds,
}

impl Window<'_> {
    fn seconds(&self) -> f64 {
        self.now.at.saturating_sub(self.before.at).as_secs_f64()
    }

    /// How much a counter has grown.
    fn grown(&self, counter: impl Fn(&Sample) -> u64) -> u64 {
        counter(self.now).saturating_sub(counter(self.before))
    }

    #[allow(clippy::cast_precision_loss)]
    fn per_second(&self, counter: impl Fn(&Sample) -> u64) -> Option<f64> {
        let seconds = self.seconds();
        (seconds > 0.0).then(|| self.grown(counter) as f64 / seconds)
    }
}

const fn critical(
    name: &'static str,
    summary: &'static str,
    judge: fn(&Window<'_>) -> Option<String>,
) -> Rule {
    Rule { name, severity: Severity::Critical, at_once: false, summary, judge }
}

const fn warning(
    name: &'static str,
    summary: &'static str,
    judge: fn(&Window<'_>) -> Option<String>,
) -> Rule {
    Rule { name, severity: Severity::Warning, at_once: false, summary, judge }
}

const fn at_once(rule: Rule) -> Rule {
    Rule { at_once: true, ..rule }
}

/// All of them.
pub static RULES: [Rule; 15] = [
    at_once(critical("DucatBooksDiffer", "balances contradict the journal", |w| {
        let last = w.now.proofs.last.as_ref().filter(|last| last.differences > 0)?;
        Some(format!(
            "{} contradictions as of event {}; see `ducat verify-balances`",
            last.differences, last.lsn
        ))
    })),
    at_once(critical("DucatConservationBroken", "accounts do not come to zero", |w| {
        let last = w.now.proofs.last.as_ref().filter(|last| last.unbalanced > 0)?;
        Some(format!(
            "the accounts of {} currencies do not come to zero as of event {}",
            last.unbalanced, last.lsn
        ))
    })),
    at_once(warning("DucatAccountsOverdrawn", "accounts are below their limit", |w| {
        let last = w.now.proofs.last.as_ref().filter(|last| last.overdrawn > 0)?;
        Some(format!("{} accounts are overdrawn beyond their limit", last.overdrawn))
    })),
    warning("DucatVerificationFailing", "the balances cannot be verified", |w| {
        let why = w.now.proofs.failing.as_ref()?;
        Some(format!("the balances could not be verified: {why}"))
    }),
    critical("DucatCallsFailing", "calls fail for a reason of the server's", |w| {
        let (failed, all) = (w.grown(|s| s.calls_failed), w.grown(|s| s.calls));
        let percent = share(failed, all)?;
        (percent > w.than.failed_calls_percent)
            .then(|| format!("{failed} of {all} calls failed, {percent:.1}%"))
    }),
    warning("DucatRefusalsHigh", "rules refuse many transfers", |w| {
        let refused = w.grown(|s| s.refused);
        let all = refused + w.grown(|s| s.posted);
        let percent = share(refused, all)?;
        (percent > w.than.refusals_percent)
            .then(|| format!("{refused} of {all} transfers were refused, {percent:.1}%"))
    }),
    warning("DucatOverloaded", "requests are refused because of the load", |w| {
        let refused = w.grown(|s| s.overloaded);
        (refused > 0).then(|| format!("{refused} requests were refused because of the load"))
    }),
    warning("DucatCallsSlow", "calls take long", |w| {
        let p99 = quantile(0.99, &w.before.latency, &w.now.latency)?;
        (p99 > w.than.latency_p99_s).then(|| format!("p99 of a call is {:.1} ms", p99 * 1e3))
    }),
    warning("DucatJournalSlow", "appends to the journal take long", |w| {
        let p99 = quantile(0.99, &w.before.appends, &w.now.appends)?;
        (p99 > w.than.append_p99_s)
            .then(|| format!("p99 of an append with its sync is {:.1} ms", p99 * 1e3))
    }),
    warning("DucatThroughputLow", "few transfers are posted", |w| {
        let rate = w.per_second(|s| s.posted)?;
        (rate < w.than.posted_per_s).then(|| format!("{rate:.1} transfers a second are posted"))
    }),
    warning("DucatCallsDenied", "callers ask for what they may not", |w| {
        let rate = w.per_second(|s| s.calls_denied)?;
        (rate > w.than.denied_per_s).then(|| {
            format!("{rate:.1} calls a second are refused for want of an identity or a right")
        })
    }),
    critical("DucatBackupLate", "the backup lacks what is durable", |w| {
        let backup = w.now.backup.as_ref().filter(|b| b.lag_s > w.than.backup_lag_s)?;
        let why = backup.failing.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        Some(format!("events of {} s are not in the backup{why}", backup.lag_s))
    }),
    warning("DucatUpkeepFailing", "snapshots or the archive fail", |w| {
        let (snapshot, archive) = (&w.now.snapshot_failing, &w.now.archive_failing);
        match (snapshot, archive) {
            (Some(why), _) => Some(format!("the last snapshot failed: {why}")),
            (None, Some(why)) => Some(format!("archiving fails: {why}")),
            (None, None) => None,
        }
    }),
    critical("DucatDiskLow", "the journal's disk is nearly full", |w| {
        let disk = w.now.disk.filter(|disk| disk.refusing || disk.free < 2 * disk.reserve)?;
        let (free, reserve) = (disk.free >> 20, disk.reserve >> 20);
        let refuses = if disk.refusing { "; transfers are refused" } else { "" };
        Some(format!("{free} MiB are free, the reserve is {reserve} MiB{refuses}"))
    }),
    warning("DucatDependencyDown", "something outside does not answer", |w| {
        let down = |&&(_, state): &&(&str, BreakerState)| state != BreakerState::Closed;
        let (name, state) = w.now.breakers.iter().find(down)?;
        Some(format!("the breaker before {name} is {}", state.name()))
    }),
];

/// The conditions that hold between two samples.
pub fn judge(before: &Sample, now: &Sample, than: &Thresholds) -> Vec<Condition> {
    let window = Window { before, now, than };
    let holds = |rule: &'static Rule| (rule.judge)(&window).map(|what| Condition { rule, what });
    RULES.iter().filter_map(holds).collect()
}

#[allow(clippy::cast_precision_loss)]
fn share(part: u64, all: u64) -> Option<f64> {
    (all >= COUNT_MIN).then(|| 100.0 * part as f64 / all as f64)
}

/// A quantile of what came between two histograms, linear within a bucket as Prometheus has it;
/// the last bucket counts as its lower bound.
#[allow(clippy::cast_precision_loss)]
fn quantile(q: f64, before: &[(f64, u64)], now: &[(f64, u64)]) -> Option<f64> {
    let earlier = |at: usize| before.get(at).map_or(0, |&(_, count)| count);
    let grown: Vec<(f64, u64)> = now
        .iter()
        .enumerate()
        .map(|(at, &(bound, count))| (bound, count.saturating_sub(earlier(at))))
        .collect();
    let all: u64 = grown.iter().map(|&(_, count)| count).sum();
    if all < COUNT_MIN {
        return None;
    }
    let rank = q * all as f64;
    let (mut below, mut from) = (0.0, 0.0);
    for (bound, count) in grown {
        let upto = below + count as f64;
        if upto >= rank && count > 0 {
            let part = (rank - below) / count as f64;
            return Some(if bound == f64::MAX { from } else { from + part * (bound - from) });
        }
        (below, from) = (upto, bound);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::sample::{BackupSample, DiskSample};
    use super::*;
    use crate::verification::{LastProof, ProofFigures};
    use std::time::Duration;

    const THAN: Thresholds = Thresholds {
        failed_calls_percent: 1.0,
        refusals_percent: 50.0,
        latency_p99_s: 0.1,
        append_p99_s: 0.05,
        posted_per_s: 10.0,
        denied_per_s: 1.0,
        backup_lag_s: 600,
    };

    /// A minute in which all went well.
    fn well() -> (Sample, Sample) {
        let before = Sample { latency: vec![(0.01, 5), (1.0, 0)], ..Sample::default() };
        let now = Sample {
            at: Duration::from_secs(60),
            calls: 1000,
            calls_failed: 10,
            calls_denied: 60,
            latency: vec![(0.01, 1005), (1.0, 5)],
            posted: 1000,
            refused: 1000,
            appends: vec![(0.001, 100), (f64::MAX, 0)],
            backup: Some(BackupSample { lag_s: 600, failing: Some("once".to_owned()) }),
            disk: Some(DiskSample { free: 200 << 20, reserve: 100 << 20, refusing: false }),
            proofs: ProofFigures { last: Some(proof()), ..ProofFigures::default() },
            breakers: vec![("alerts-webhook", BreakerState::Closed)],
            ..Sample::default()
        };
        (before, now)
    }

    fn proof() -> LastProof {
        LastProof { ended_s: 1, lsn: 9, differences: 0, unbalanced: 0, overdrawn: 0 }
    }

    #[test]
    fn nothing_is_told_where_all_is_well_and_each_rule_of_what_is_not() {
        let (before, well) = well();
        let names = |now: &Sample| -> Vec<&str> {
            judge(&before, now, &THAN).iter().map(|condition| condition.rule.name).collect()
        };
        assert_eq!(names(&well), [""; 0]);
        // The alert, what it says, and what spoils a good sample so that it fires.
        type Case = (&'static str, &'static str, fn(&mut Sample));
        let cases: [Case; 15] = [
            ("DucatBooksDiffer", "see `ducat", |s| {
                s.proofs.last.as_mut().expect("one").differences = 2;
            }),
            ("DucatConservationBroken", "of 1 currencies", |s| {
                s.proofs.last.as_mut().expect("one").unbalanced = 1;
            }),
            ("DucatAccountsOverdrawn", "3 accounts", |s| {
                s.proofs.last.as_mut().expect("one").overdrawn = 3;
            }),
            ("DucatVerificationFailing", "trimmed", |s| {
                s.proofs.failing = Some("trimmed".to_owned());
            }),
            ("DucatCallsFailing", "11 of 1000 calls failed, 1.1%", |s| s.calls_failed = 11),
            ("DucatRefusalsHigh", "1001 of 2001 transfers", |s| s.refused = 1001),
            ("DucatOverloaded", "1 requests", |s| s.overloaded = 1),
            ("DucatCallsSlow", "p99 of a call is ", |s| s.latency[1].1 = 100),
            ("DucatJournalSlow", "p99 of an append", |s| {
                s.appends = vec![(0.1, 100), (f64::MAX, 2)];
            }),
            ("DucatThroughputLow", "9.8 transfers a second", |s| {
                (s.posted, s.refused) = (590, 0);
            }),
            ("DucatCallsDenied", "1.0 calls a second", |s| s.calls_denied = 61),
            ("DucatBackupLate", "601 s are not in the backup: once", |s| {
                s.backup.as_mut().expect("one").lag_s = 601;
            }),
            ("DucatUpkeepFailing", "no room", |s| s.snapshot_failing = Some("no room".to_owned())),
            ("DucatDiskLow", "199 MiB are free, the reserve is 100 MiB", |s| {
                s.disk.as_mut().expect("one").free = 199 << 20;
            }),
            ("DucatDependencyDown", "alerts-webhook is half-open", |s| {
                s.breakers[0].1 = BreakerState::HalfOpen;
            }),
        ];
        assert_eq!(
            cases.map(|(name, ..)| name),
            RULES.each_ref().map(|rule| rule.name),
            "one for each"
        );
        for (name, says, spoil) in cases {
            let mut now = well.clone();
            spoil(&mut now);
            let found = judge(&before, &now, &THAN);
            assert_eq!(names(&now), [name]);
            assert!(found[0].what.contains(says), "{name}: {}", found[0].what);
        }
    }

    #[test]
    fn few_say_nothing_about_shares() {
        let than = Thresholds { posted_per_s: 0.0, ..THAN };
        let now = Sample {
            at: Duration::from_secs(60),
            calls: 19,
            calls_failed: 19,
            refused: 19,
            latency: vec![(0.01, 0), (f64::MAX, 19)],
            ..Sample::default()
        };
        assert!(judge(&Sample::default(), &now, &than).is_empty());
        // A watch that has just begun has no rates.
        let (_, well) = well();
        assert!(judge(&well, &well, &THAN).is_empty());
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let of = |q, now: &[(f64, u64)]| quantile(q, &[], now);
        assert_eq!(of(0.5, &[(1.0, 50), (2.0, 50)]), Some(1.0));
        assert_eq!(of(0.75, &[(1.0, 50), (2.0, 50)]), Some(1.5));
        assert_eq!(of(0.99, &[(1.0, 50), (f64::MAX, 50)]), Some(1.0));
        assert_eq!(of(0.25, &[(1.0, 0), (2.0, 40), (4.0, 0)]), Some(1.25));
        assert_eq!(of(0.99, &[]), None);
        let before = [(1.0, 7), (2.0, 1)];
        assert_eq!(quantile(0.5, &before, &[(1.0, 7), (2.0, 21)]), Some(1.5));
    }
}
