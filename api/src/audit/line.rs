//! An audit event as people and scripts read it: a line of text, of JSON, of CSV.

use super::convert;
use crate::proto;
use ducat_engine::audit::AuditEvent;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt::Write as _;

/// How many columns the CSV form has.
const COLUMNS: usize = 21;

/// The names of the columns of the CSV form.
#[must_use]
pub fn csv_header() -> [&'static str; COLUMNS] {
    Line::default().columns().map(|(name, _)| name)
}

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
        let unread = || Unread { lsn };
        let kind = convert::kind(message.kind()).ok_or_else(unread)?;
        let severity = convert::severity(message.severity()).ok_or_else(unread)?;
        let outcome = convert::outcome(message.outcome()).ok_or_else(unread)?;
        let time = time(message.time_ns);
        let line = Self::named(message, (kind.name(), severity.name(), outcome.name()));
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

    /// The columns of the CSV form, under the names of [`csv_header`].
    #[must_use]
    pub fn fields(&self) -> [String; COLUMNS] {
        self.columns().map(|(_, field)| field)
    }

    /// Each column of the CSV form by its name.
    #[must_use]
    pub fn columns(&self) -> [(&'static str, String); COLUMNS] {
        let lsn = self.lsn.map(|lsn| lsn.to_string()).unwrap_or_default();
        [
            ("lsn", lsn),
            ("time", self.time.clone()),
            ("kind", self.kind.clone()),
            ("severity", self.severity.clone()),
            ("outcome", self.outcome.clone()),
            ("principal", harmless(&self.principal)),
            ("address", harmless(&self.address)),
            ("agent", harmless(&self.agent)),
            ("method", self.method.clone()),
            ("entity", harmless(&self.entity)),
            ("reason", self.reason.clone()),
            ("detail", harmless(&self.detail)),
            ("calls", self.calls.to_string()),
            ("requests", self.requests.to_string()),
            ("done", self.done.to_string()),
            ("repeats", self.repeats.to_string()),
            ("refused", self.refused.clone()),
            ("events", self.events.clone()),
            ("duration_ns", self.duration_ns.to_string()),
            ("window_ns", self.window_ns.to_string()),
            ("trace_id", self.trace_id.clone()),
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
        assert_eq!(csv_header()[7], "agent");
    }

    #[test]
    fn a_form_that_is_not_known_is_no_line() {
        let message = proto::AuditEvent { lsn: 5, kind: 99, ..proto::AuditEvent::default() };
        assert_eq!(Line::of_message(message), Err(Unread { lsn: 5 }));
    }
}
