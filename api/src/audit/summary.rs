//! A period in figures, for those who answer for it: counts, the most frequent names, and what looks
//! like an attack.

use crate::proto;
use ducat_actors::audit::Audited;
use ducat_engine::audit::{AuditKind, AuditOutcome};
use std::collections::{BTreeMap, VecDeque};

/// So many failures ...
pub const FAILURES: u64 = 5;

/// ... in so long a time are told of, nanoseconds.
pub const WITHIN_NS: u64 = 5 * 60 * 1_000_000_000;

/// Most names of each sort that are told.
const NAMES_MAX: usize = 20;

/// Most names that are counted; those beyond are counted together.
const COUNTED_MAX: usize = 10_000;

/// Under which those are counted.
const OTHERS: &str = "(others)";

/// Failures of one name.
#[derive(Default)]
struct Failing {
    /// Those that are not older than the window: when, and how many calls.
    recent: VecDeque<(u64, u64)>,
    in_window: u64,
    /// What was found, the last of which may go on.
    found: Vec<proto::AuditPattern>,
}

/// A period that is being counted.
#[derive(Default)]
pub struct Summary {
    figures: proto::GetAuditSummaryResponse,
    principals: BTreeMap<String, u64>,
    methods: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    failing: BTreeMap<String, Failing>,
}

impl Summary {
    /// Counts an event; they come in the order of the journal.
    pub fn add(&mut self, audited: &Audited) {
        let Audited { time_ns, event, .. } = audited;
        let (calls, figures) = (event.calls, &mut self.figures);
        figures.events += 1;
        figures.calls += calls;
        *match event.kind {
            AuditKind::Write => &mut figures.writes,
            AuditKind::Read => &mut figures.reads,
            AuditKind::Command => &mut figures.commands,
            AuditKind::Login => &mut figures.failed_logins,
            AuditKind::Denied => &mut figures.denied_calls,
        } += calls;
        figures.failures += if event.outcome == AuditOutcome::Failed { calls } else { 0 };
        figures.requests += event.requests;
        figures.done += event.done;
        figures.repeats += event.repeats;
        figures.refused += event.rejections.iter().map(|(_, count)| count).sum::<u64>();
        count(&mut self.principals, &event.principal, calls);
        count(&mut self.methods, &event.method, calls);
        count(&mut self.reasons, &event.reason, calls);
        for (rule, refused) in &event.rejections {
            count(&mut self.reasons, rule.code(), *refused);
        }
        if matches!(event.kind, AuditKind::Login | AuditKind::Denied) {
            // What was counted over a time began when that did.
            let first_ns = time_ns.saturating_sub(event.window_ns);
            for (what, name) in [("principal", &event.principal), ("address", &event.address)] {
                if !name.is_empty() {
                    self.failed(format!("{what} {name}"), (first_ns, *time_ns), calls);
                }
            }
        }
    }

    fn failed(&mut self, of: String, (first_ns, last_ns): (u64, u64), calls: u64) {
        if self.failing.len() >= COUNTED_MAX && !self.failing.contains_key(&of) {
            return;
        }
        let failing = self.failing.entry(of.clone()).or_default();
        failing.recent.push_back((first_ns, calls));
        failing.in_window += calls;
        while let Some((then, count)) = failing.recent.front().copied()
            && last_ns.saturating_sub(then) > WITHIN_NS
            && failing.recent.len() > 1
        {
            failing.in_window -= count;
            failing.recent.pop_front();
        }
        if failing.in_window < FAILURES {
            return;
        }
        let began = failing.recent.front().map_or(first_ns, |(then, _)| *then);
        match failing.found.last_mut() {
            Some(pattern) if began <= pattern.last_ns => {
                pattern.last_ns = last_ns;
                pattern.failures += calls;
            }
            _ => failing.found.push(proto::AuditPattern {
                pattern: "repeated-failures".to_owned(),
                of,
                first_ns: began,
                last_ns,
                failures: failing.in_window,
            }),
        }
    }

    /// The figures.
    #[must_use]
    pub fn finish(self, from_ns: u64, until_ns: u64, lsn: u64) -> proto::GetAuditSummaryResponse {
        let mut patterns: Vec<_> =
            self.failing.into_values().flat_map(|failing| failing.found).collect();
        patterns.sort_by(|a, b| (a.first_ns, &a.of).cmp(&(b.first_ns, &b.of)));
        proto::GetAuditSummaryResponse {
            from_ns,
            until_ns,
            principals: most(self.principals),
            methods: most(self.methods),
            reasons: most(self.reasons),
            patterns,
            lsn,
            ..self.figures
        }
    }
}

fn count(names: &mut BTreeMap<String, u64>, name: &str, calls: u64) {
    if name.is_empty() {
        return;
    }
    let known = names.len() < COUNTED_MAX || names.contains_key(name);
    *names.entry(if known { name } else { OTHERS }.to_owned()).or_default() += calls;
}

fn most(names: BTreeMap<String, u64>) -> Vec<proto::AuditCount> {
    let mut counts: Vec<_> =
        names.into_iter().map(|(name, calls)| proto::AuditCount { name, calls }).collect();
    counts.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(NAMES_MAX);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::audit::AuditEvent;
    use ducat_engine::ids::Lsn;

    const MINUTE: u64 = 60 * 1_000_000_000;

    fn denied(minute: u64, principal: &str, calls: u64) -> Audited {
        let event = AuditEvent {
            principal: principal.to_owned(),
            reason: "ROLE_MISSING".to_owned(),
            calls,
            ..AuditEvent::new(AuditKind::Denied, "Ledger/Transfer")
        };
        Audited { lsn: Lsn(minute + 1), time_ns: (100 + minute) * MINUTE, event: Box::new(event) }
    }

    fn patterns(events: &[Audited]) -> Vec<(u64, u64, u64)> {
        let mut summary = Summary::default();
        events.iter().for_each(|event| summary.add(event));
        let minutes = |ns: u64| ns / MINUTE - 100;
        let told = summary.finish(0, 0, 0).patterns.into_iter();
        told.map(|p| (minutes(p.first_ns), minutes(p.last_ns), p.failures)).collect()
    }

    #[test]
    fn five_failures_in_five_minutes_are_told_once_for_as_long_as_they_go_on() {
        let at = |minutes: &[u64]| {
            let events: Vec<_> = minutes.iter().map(|minute| denied(*minute, "x", 1)).collect();
            patterns(&events)
        };
        assert_eq!(at(&[0, 1, 2, 3]), []);
        assert_eq!(at(&[0, 2, 4, 6, 8, 10]), [], "never five within five minutes");
        assert_eq!(at(&[0, 1, 2, 3, 5]), [(0, 5, 5)]);
        assert_eq!(at(&[0, 1, 2, 3, 4, 5, 6]), [(0, 6, 7)]);
        assert_eq!(at(&[0, 1, 1, 1, 1, 50, 50, 51, 51, 51]), [(0, 1, 5), (50, 51, 5)]);
        assert_eq!(patterns(&[denied(3, "x", 70)]), [(3, 3, 70)], "counted ones count");
        let others: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| denied(0, name, 1)).into();
        assert_eq!(patterns(&others), [], "each of another");
    }

    #[test]
    fn figures_add_up() {
        let mut summary = Summary::default();
        [denied(0, "x", 3), denied(1, "y", 1), denied(2, "x", 1)]
            .iter()
            .for_each(|e| summary.add(e));
        let told = summary.finish(1, 2, 3);
        assert_eq!((told.events, told.calls, told.denied_calls, told.writes), (3, 5, 5, 0));
        let names: Vec<_> = told.principals.iter().map(|c| (&*c.name, c.calls)).collect();
        assert_eq!(names, [("x", 4), ("y", 1)]);
        assert_eq!((told.from_ns, told.until_ns, told.lsn), (1, 2, 3));
    }
}
