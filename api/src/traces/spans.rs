//! Spans as OTLP has them, made of what was noted of a call: by the task that exports, off every path.
//!
//! Names and attributes of calls are those of OpenTelemetry's conventions for gRPC. What else is told
//! is a batch's size and its events' numbers: no account, no amount, no reference, no caller. A caller's
//! `tracestate` goes on with its spans as it came.

use super::call;
use crate::violation::code_name;
use ducat_actors::trace::{Batch, Passage};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tonic::Code;

/// Flags of a span: it is sampled, and it is known whether its parent is another process's.
const FLAGS: u32 = 0x101;

/// Flags of a span whose parent is another process's.
const FLAGS_REMOTE: u32 = FLAGS | 0x200;

/// What a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call of this method: `ducat.v1.Ledger/Transfer`.
    Call(&'static str),
    /// One batch of a stream.
    Batch,
}

/// A call, or a batch of a stream, that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub kind: Kind,
    pub trace: [u8; 16],
    pub id: [u8; 8],
    pub parent: Option<[u8; 8]>,
    /// The caller's `tracestate`; empty where it said none.
    pub state: Arc<str>,
    pub begun: Instant,
    pub ended: Instant,
    /// The same moment by the clock of the wall, by which all others are told: however that was set
    /// meanwhile, they keep their order and their distances.
    pub ended_at: SystemTime,
    pub code: Code,
    pub passages: Vec<Passage>,
}

impl Finished {
    /// How many spans it comes to.
    pub fn count(&self) -> usize {
        let parts = |passage: &Passage| {
            1 + 2 * passage.batch.rounds.len() + usize::from(passage.batch.durable.is_some())
        };
        1 + self.passages.iter().map(parts).sum::<usize>()
    }

    /// Appends its spans: its own first, then where its time went.
    pub fn append_to(&self, spans: &mut Vec<Span>) {
        spans.push(self.whole());
        for passage in &self.passages {
            let batch = &passage.batch;
            spans.push(self.part("admit", passage.arrived, batch.taken, batch));
            for round in &batch.rounds {
                spans.push(self.part("prepare", round.begun, round.prepared, batch));
                spans.push(self.part("commit", round.prepared, round.committed, batch));
            }
            if let Some(durable) = batch.durable {
                spans.push(self.part("append", batch.handed, durable, batch));
            }
        }
    }

    fn whole(&self) -> Span {
        let (name, kind, attributes) = match self.kind {
            Kind::Call(method) => (method, SpanKind::Server, self.call_attributes(method)),
            Kind::Batch => ("batch", SpanKind::Internal, Vec::new()),
        };
        let is_remote = self.parent.is_some() && kind == SpanKind::Server;
        let failed = is_fault(self.code);
        let status = Status { code: StatusCode::Error as i32, message: String::new() };
        Span {
            parent_span_id: self.parent.map(Vec::from).unwrap_or_default(),
            flags: if is_remote { FLAGS_REMOTE } else { FLAGS },
            kind: kind as i32,
            attributes,
            status: failed.then_some(status),
            ..self.span(name, self.id, self.begun, self.ended)
        }
    }

    fn call_attributes(&self, method: &'static str) -> Vec<KeyValue> {
        let code = code_name(self.code);
        let mut attributes = vec![
            text("rpc.system.name", "grpc"),
            text("rpc.method", method),
            text("rpc.response.status_code", code),
        ];
        if is_fault(self.code) {
            attributes.push(text("error.type", code));
        }
        attributes
    }

    fn part(&self, name: &str, begun: Instant, ended: Instant, batch: &Batch) -> Span {
        let mut attributes = vec![number("ducat.batch.requests", batch.requests as u64)];
        if let Some((first, last)) = batch.events {
            attributes.push(number("ducat.batch.first_lsn", first.0));
            attributes.push(number("ducat.batch.last_lsn", last.0));
        }
        Span {
            parent_span_id: self.id.to_vec(),
            flags: FLAGS,
            kind: SpanKind::Internal as i32,
            attributes,
            ..self.span(name, call::id(), begun, ended)
        }
    }

    fn span(&self, name: &str, id: [u8; 8], begun: Instant, ended: Instant) -> Span {
        Span {
            trace_id: self.trace.to_vec(),
            span_id: id.to_vec(),
            trace_state: self.state.to_string(),
            name: name.to_owned(),
            start_time_unix_nano: self.unix_ns(begun),
            end_time_unix_nano: self.unix_ns(ended),
            ..Span::default()
        }
    }

    fn unix_ns(&self, moment: Instant) -> u64 {
        let at = self.ended_at - self.ended.saturating_duration_since(moment);
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Whether a code says that the server failed, as the conventions have it.
const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// An attribute.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_actors::trace::Round;
    use ducat_engine::ids::Lsn;
    use std::time::Duration;

    fn finished(code: Code, rounds: usize) -> Finished {
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let round = Round { begun: after(2), prepared: after(3), committed: after(4) };
        let batch = Batch {
            requests: 7,
            taken: after(2),
            rounds: vec![round; rounds],
            handed: after(4),
            durable: Some(after(6)),
            events: Some((Lsn(10), Lsn(16))),
        };
        Finished {
            kind: Kind::Call("ducat.v1.Ledger/Transfer"),
            trace: [1; 16],
            id: [2; 8],
            parent: Some([3; 8]),
            state: "bank=t61rcWkgMzE".into(),
            begun,
            ended: after(8),
            ended_at: UNIX_EPOCH + Duration::from_secs(1_000),
            code,
            passages: vec![Passage { arrived: after(1), batch: Arc::new(batch) }],
        }
    }

    #[test]
    fn a_call_comes_to_its_span_and_those_of_where_its_time_went() {
        for rounds in 0..3 {
            let call = finished(Code::Ok, rounds);
            let mut spans = Vec::new();
            call.append_to(&mut spans);
            assert_eq!(spans.len(), call.count());
            let whole = &spans[0];
            assert_eq!(whole.parent_span_id, [3; 8]);
            assert_eq!(whole.flags, FLAGS_REMOTE);
            assert!(spans.iter().all(|span| span.trace_state == "bank=t61rcWkgMzE"));
            assert!(whole.status.is_none());
            for part in &spans[1..] {
                assert_eq!(
                    (&part.parent_span_id, &part.trace_id),
                    (&whole.span_id, &whole.trace_id)
                );
                assert!(part.start_time_unix_nano >= whole.start_time_unix_nano);
                assert!(part.end_time_unix_nano <= whole.end_time_unix_nano);
            }
            let names: Vec<&str> = spans[1..].iter().map(|span| span.name.as_str()).collect();
            let phases = ["prepare", "commit"].repeat(rounds);
            assert_eq!(names, [&["admit"], &phases[..], &["append"]].concat());
        }
    }

    #[test]
    fn moments_are_told_by_the_clock_of_the_wall() {
        let mut spans = Vec::new();
        finished(Code::Ok, 1).append_to(&mut spans);
        let whole = &spans[0];
        assert_eq!(whole.end_time_unix_nano, 1_000_000_000_000);
        assert_eq!(whole.start_time_unix_nano, 999_992_000_000);
        let append = spans.last().expect("there");
        assert_eq!(append.end_time_unix_nano - append.start_time_unix_nano, 2_000_000);
    }

    #[test]
    fn what_the_server_is_to_blame_for_is_an_error_and_what_its_caller_is_is_none() {
        for (code, name, failed) in [
            (Code::Ok, "OK", false),
            (Code::InvalidArgument, "INVALID_ARGUMENT", false),
            (Code::ResourceExhausted, "RESOURCE_EXHAUSTED", false),
            (Code::Internal, "INTERNAL", true),
            (Code::Unavailable, "UNAVAILABLE", true),
        ] {
            let mut spans = Vec::new();
            finished(code, 0).append_to(&mut spans);
            let whole = &spans[0];
            assert!(whole.attributes.contains(&text("rpc.response.status_code", name)), "{name}");
            assert_eq!(whole.attributes.contains(&text("error.type", name)), failed);
            let error = whole.status.as_ref().map(|status| status.code);
            assert_eq!(error, failed.then_some(StatusCode::Error as i32), "{name}");
        }
    }
}
