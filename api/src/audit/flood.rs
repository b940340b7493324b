//! What comes in floods is counted: of accesses that are alike the first few are written one by one, and
//! the others told together when their minute is over. So nobody who is refused can fill the journal.
//!
//! ```text
//! event ─▶ alike few so far, and few of all in this second? ─ yes ─▶ written as it is
//!                                                          └─ no ──▶ counter ─ minute over ─▶ one event
//! ```

use ducat_engine::audit::{AuditEvent, AuditKind};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is told together.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Of accesses that are alike so many are written one by one in a window.
pub(super) const SINGLE_MAX: u64 = 5;

/// Of all together so many a second.
pub(super) const SINGLE_PER_SECOND_MAX: u32 = 100;

/// Most counters at a time. What finds none is counted for everybody.
const COUNTERS_MAX: usize = 4_096;

/// What accesses have in common that are told together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Alike {
    kind: AuditKind,
    principal: String,
    address: String,
    method: String,
    entity: String,
    reason: String,
}

struct Counter {
    begun: Instant,
    seen: u64,
    /// The others than those that were written, as one.
    others: Option<(AuditEvent, Instant)>,
}

/// The counters.
#[derive(Default)]
pub(super) struct Flood {
    counters: HashMap<Alike, Counter>,
    /// The second in which so many were written.
    second: Option<(Instant, u32)>,
}

impl Flood {
    /// The event, if it is to be written now; else it is counted.
    pub fn take(&mut self, event: AuditEvent, now: Instant) -> Option<AuditEvent> {
        let mut alike = Alike {
            kind: event.kind,
            principal: event.principal.clone(),
            address: event.address.clone(),
            method: event.method.clone(),
            entity: event.entity.clone(),
            reason: event.reason.clone(),
        };
        let is_full = self.counters.len() >= COUNTERS_MAX;
        if is_full && !self.counters.contains_key(&alike) {
            let none = String::new;
            (alike.principal, alike.address, alike.entity) = (none(), none(), none());
            (alike.method, alike.reason) = ("*".to_owned(), none());
        }
        let of_all = alike.method == "*";
        let has_room = self.has_room(now);
        let counter =
            self.counters.entry(alike).or_insert(Counter { begun: now, seen: 0, others: None });
        counter.seen += event.calls;
        if counter.seen <= SINGLE_MAX && has_room && !of_all {
            let second = self.second.get_or_insert((now, 0));
            second.1 += 1;
            return Some(event);
        }
        match &mut counter.others {
            Some((others, _)) => {
                others.calls += event.calls;
                others.severity = others.severity.max(event.severity);
                others.duration_ns = others.duration_ns.max(event.duration_ns);
            }
            None => counter.others = Some((told_of(event, of_all), now)),
        }
        None
    }

    fn has_room(&mut self, now: Instant) -> bool {
        match &mut self.second {
            Some((begun, count))
                if now.saturating_duration_since(*begun) < Duration::from_secs(1) =>
            {
                *count < SINGLE_PER_SECOND_MAX
            }
            second => {
                *second = Some((now, 0));
                true
            }
        }
    }

    /// What was counted in windows that are over by now; in all, if `everything` is wanted.
    pub fn over(&mut self, now: Instant, everything: bool) -> Vec<AuditEvent> {
        let mut told = Vec::new();
        self.counters.retain(|_, counter| {
            let is_over = now.saturating_duration_since(counter.begun) >= WINDOW;
            if !is_over && !everything {
                return true;
            }
            if let Some((mut event, since)) = counter.others.take() {
                let window = now.saturating_duration_since(since);
                event.window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
                told.push(event);
            }
            false
        });
        // Maps have no order, and a trail should.
        told.sort_by(|a, b| {
            (&a.principal, &a.address, &a.method).cmp(&(&b.principal, &b.address, &b.method))
        });
        told
    }
}

/// The event that will tell of it and of others that are alike: of one call's own nothing is left.
fn told_of(event: AuditEvent, of_all: bool) -> AuditEvent {
    let event = AuditEvent { trace: None, runs: Vec::new(), ..event };
    if !of_all {
        return event;
    }
    let detail = "accesses of many, of whom there was no room to tell apart".to_owned();
    AuditEvent {
        detail,
        ..AuditEvent {
            calls: event.calls,
            severity: event.severity,
            ..AuditEvent::new(event.kind, "*")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(principal: &str) -> AuditEvent {
        AuditEvent { principal: principal.to_owned(), ..AuditEvent::new(AuditKind::Denied, "a") }
    }

    #[test]
    fn a_flood_is_a_few_events_and_a_count() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        let written = (0..10_000).filter_map(|_| flood.take(denied("x"), now)).count() as u64;
        assert_eq!(written, SINGLE_MAX);
        assert_eq!(flood.over(now + WINDOW / 2, false), []);
        let told = flood.over(now + WINDOW, false);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].calls, told[0].principal.as_str()), (10_000 - SINGLE_MAX, "x"));
        assert_eq!(told[0].window_ns, 60_000_000_000);
        // The next window begins anew.
        assert!(flood.take(denied("x"), now + WINDOW).is_some());
        assert_eq!(flood.over(now + WINDOW, true), [], "nothing was counted, nothing is told");
    }

    /// Names without end fill neither memory nor journal, and every call is counted.
    #[test]
    fn names_without_end_are_told_together() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        let names = 50_000_u64;
        let written =
            (0..names).filter_map(|name| flood.take(denied(&name.to_string()), now)).count() as u64;
        assert_eq!(written, u64::from(SINGLE_PER_SECOND_MAX));
        let told = flood.over(now + WINDOW, false);
        assert!(told.len() <= COUNTERS_MAX + 1, "{}", told.len());
        assert_eq!(written + told.iter().map(|event| event.calls).sum::<u64>(), names);
        let rest = told.iter().filter(|event| event.method == "*").count();
        assert_eq!(rest, 1, "all others are one");
    }
}
