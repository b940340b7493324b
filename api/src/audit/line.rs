//! An audit event as people and scripts read it: a line of text, of JSON, of CSV.

use super::convert;
use crate::proto;
use ducat_engine::audit::AuditEvent;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;

/// The columns of the CSV form.
pub const HEADER: [&str; 21] = [
    "lsn",
    "time",
    "kind",
    "severity",
    "outcome",
    "principal",
    "address",
    "agent",
    "method",
    "entity",
    "reason",
    "detail",
    "calls",
    "requests",
    "done",
    "repeats",
    "refused",
    "events",
    "duration_ns",
    "window_ns",
    "trace_id",
];

/// An audit event; what it does not have is left out.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
    /// When it was journalled, RFC 3339 in UTC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time: String,
    /// `write`, `read`, `login`, `denied` or `command`.
    pub kind: String,
    /// `info`, `notice`, `warning` or `error`.
    pub severity: String,
    /// `done`, `refused` or `failed`.
    pub outcome: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    principal: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    agent: String,
    method: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    entity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    calls: u64,
    requests: u64,
    done: u64,
    repeats: u64,
    /// Rules and how many requests they refused: `INSUFFICIENT_FUNDS=2`.
    #[serde(skip_serializing_if = "String::is_empty")]
    refused: String,
    /// The events it made: `7-9 12`.
    #[serde(skip_serializing_if = "String::is_empty")]
    events: String,
    duration_ns: u64,
    #[serde(skip_serializing_if = "is_zero")]
    window_ns: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    trace_id: String,
}

/// For serde, which hands references over.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A message with a number that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event {lsn} of the audit trail has a form that a newer client may know")]
pub struct Unread {
    /// Its place.
    pub lsn: u64,
}

impl Line {
    /// Of an event of a journal, whose place is told elsewhere.
    #[must_use]
    pub fn of(event: &AuditEvent) -> Self {
        let names = (event.kind.name(), event.severity.name(), event.outcome.name());
        Self::named(convert::event_message(event), names)
    }

    /// Of a message.
    ///
    /// # Errors
    /// [`Unread`].
    pub fn of_message(message: proto::AuditEvent) -> Result<Self, Unread> {
        let lsn = message.lsn;
        let kind = match message.kind() {
            proto::AuditKind::Unspecified => return Err(Unread { lsn }),
            proto::AuditKind::Write => "write",
            proto::AuditKind::Read => "read",
            proto::AuditKind::Login => "login",
            proto::AuditKind::Denied => "denied",
            proto::AuditKind::Command => "command",
        };
        let severity = match message.severity() {
            proto::AuditSeverity::Unspecified => return Err(Unread { lsn }),
            proto::AuditSeverity::Info => "info",
            proto::AuditSeverity::Notice => "notice",
            proto::AuditSeverity::Warning => "warning",
            proto::AuditSeverity::Error => "error",
        };
        let outcome = match message.outcome() {
            proto::AuditOutcome::Unspecified => return Err(Unread { lsn }),
            proto::AuditOutcome::Done => "done",
            proto::AuditOutcome::Refused => "refused",
            proto::AuditOutcome::Failed => "failed",
        };
        let time = time(message.time_ns);
        let line = Self::named(message, (kind, severity, outcome));
        Ok(Self { lsn: Some(lsn), time, ..line })
    }

    fn named(event: proto::AuditEvent, (kind, severity, outcome): (&str, &str, &str)) -> Self {
        let list = |items: Vec<String>| items.join(" ");
        let refused = event.rejections.iter().map(|one| format!("{}={}", one.code, one.count));
        let run = |run: &proto::AuditRun| match (run.first_lsn, run.last_lsn) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        let trace_id = event.trace_id.iter().fold(String::new(), |mut text, byte| {
            let _infallible = write!(text, "{byte:02x}");
            text
        });
        Self {
            lsn: None,
            time: String::new(),
            kind: kind.to_owned(),
            severity: severity.to_owned(),
            outcome: outcome.to_owned(),
            refused: list(refused.collect()),
            events: list(event.runs.iter().map(run).collect()),
            trace_id,
            principal: event.principal,
            address: event.address,
            agent: event.agent,
            method: event.method,
            entity: event.entity,
            reason: event.reason,
            detail: event.detail,
            calls: event.calls,
            requests: event.requests,
            done: event.done,
            repeats: event.repeats,
            duration_ns: event.duration_ns,
            window_ns: event.window_ns,
        }
    }

    /// The columns of [`HEADER`].
    #[must_use]
    pub fn fields(&self) -> [String; HEADER.len()] {
        let lsn = self.lsn.map(|lsn| lsn.to_string()).unwrap_or_default();
        [
            lsn,
            self.time.clone(),
            self.kind.clone(),
            self.severity.clone(),
            self.outcome.clone(),
            harmless(&self.principal),
            harmless(&self.address),
            harmless(&self.agent),
            self.method.clone(),
            harmless(&self.entity),
            self.reason.clone(),
            harmless(&self.detail),
            self.calls.to_string(),
            self.requests.to_string(),
            self.done.to_string(),
            self.repeats.to_string(),
            self.refused.clone(),
            self.events.clone(),
            self.duration_ns.to_string(),
            self.window_ns.to_string(),
            self.trace_id.clone(),
        ]
    }

    /// In words, without its place and time.
    #[must_use]
    pub fn text(&self) -> String {
        let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_owned();
        let mut text = format!(
            "{} {} {}  {} from {}  {}",
            self.severity,
            self.kind,
            self.outcome,
            or(&self.principal, "nobody"),
            or(&self.address, "nowhere"),
            self.method
        );
        let mut add = |part: String| text.push_str(&part);
        if !self.entity.is_empty() {
            add(format!("  about {}", self.entity));
        }
        if self.calls != 1 {
            add(format!("  {} calls", self.calls));
        }
        if self.requests > 0 {
            add(format!("  {} requests, {} done", self.requests, self.done));
        }
        if self.repeats > 0 {
            add(format!(", {} repeats", self.repeats));
        }
        if !self.refused.is_empty() {
            add(format!(", refused {}", self.refused));
        }
        if !self.events.is_empty() {
            add(format!("  events {}", self.events));
        }
        if !self.reason.is_empty() {
            add(format!("  {}", self.reason));
        }
        if !self.detail.is_empty() {
            add(format!(" ({})", self.detail));
        }
        if !self.trace_id.is_empty() {
            add(format!("  trace {}", self.trace_id));
        }
        text
    }
}

/// A text that a spreadsheet takes for no formula.
fn harmless(text: &str) -> String {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    }
}

fn time(time_ns: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(time_ns));
    time.map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::audit::AuditKind;

    #[test]
    fn what_clients_say_of_themselves_is_no_formula() {
        let event = AuditEvent {
            agent: "=cmd|' /C calc'!A0".into(),
            ..AuditEvent::new(AuditKind::Read, "m")
        };
        let fields = Line::of(&event).fields();
        assert_eq!(fields[7], "'=cmd|' /C calc'!A0");
        assert_eq!(fields.len(), HEADER.len());
    }

    #[test]
    fn a_form_that_is_not_known_is_no_line() {
        let message = proto::AuditEvent { lsn: 5, kind: 99, ..proto::AuditEvent::default() };
        assert_eq!(Line::of_message(message), Err(Unread { lsn: 5 }));
    }
}
