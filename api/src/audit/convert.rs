//! Audit events and filters between the engine and the wire.

use crate::convert::{account_id, transfer_id};
use crate::proto::{self, audit_filter};
use crate::status::Refusal;
use ducat_actors::audit::{AuditFilter, Audited, Entity};
use ducat_engine::audit::{AuditEvent, AuditKind, AuditOutcome, Severity};
use ducat_engine::ids::Lsn;
use tonic::{Code, Status};

/// An event in its place, as a message.
#[must_use]
pub fn message(audited: &Audited) -> proto::AuditEvent {
    let Audited { lsn, time_ns, event } = audited;
    proto::AuditEvent { lsn: lsn.0, time_ns: *time_ns, ..event_message(event) }
}

/// An event without its place.
#[must_use]
pub fn event_message(event: &AuditEvent) -> proto::AuditEvent {
    let event = event.clone();
    let rejection = |(rule, count): (ducat_engine::rejection::Rejection, u64)| {
        proto::AuditRejection { code: rule.code().to_owned(), count }
    };
    let run = |run: ducat_engine::audit::Run| proto::AuditRun {
        first_lsn: run.first.0,
        last_lsn: run.last.0,
    };
    proto::AuditEvent {
        lsn: 0,
        time_ns: 0,
        kind: kind_message(event.kind).into(),
        severity: severity_message(event.severity).into(),
        outcome: outcome_message(event.outcome).into(),
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
        rejections: event.rejections.into_iter().map(rejection).collect(),
        runs: event.runs.into_iter().map(run).collect(),
        duration_ns: event.duration_ns,
        window_ns: event.window_ns,
        trace_id: event.trace.map(Vec::from).unwrap_or_default(),
    }
}

const fn kind_message(kind: AuditKind) -> proto::AuditKind {
    match kind {
        AuditKind::Write => proto::AuditKind::Write,
        AuditKind::Read => proto::AuditKind::Read,
        AuditKind::Login => proto::AuditKind::Login,
        AuditKind::Denied => proto::AuditKind::Denied,
        AuditKind::Command => proto::AuditKind::Command,
    }
}

const fn severity_message(severity: Severity) -> proto::AuditSeverity {
    match severity {
        Severity::Info => proto::AuditSeverity::Info,
        Severity::Notice => proto::AuditSeverity::Notice,
        Severity::Warning => proto::AuditSeverity::Warning,
        Severity::Error => proto::AuditSeverity::Error,
    }
}

const fn outcome_message(outcome: AuditOutcome) -> proto::AuditOutcome {
    match outcome {
        AuditOutcome::Done => proto::AuditOutcome::Done,
        AuditOutcome::Refused => proto::AuditOutcome::Refused,
        AuditOutcome::Failed => proto::AuditOutcome::Failed,
    }
}

pub(super) fn kind(kind: proto::AuditKind) -> Option<AuditKind> {
    match kind {
        proto::AuditKind::Unspecified => None,
        proto::AuditKind::Write => Some(AuditKind::Write),
        proto::AuditKind::Read => Some(AuditKind::Read),
        proto::AuditKind::Login => Some(AuditKind::Login),
        proto::AuditKind::Denied => Some(AuditKind::Denied),
        proto::AuditKind::Command => Some(AuditKind::Command),
    }
}

pub(super) fn severity(severity: proto::AuditSeverity) -> Option<Severity> {
    match severity {
        proto::AuditSeverity::Unspecified => None,
        proto::AuditSeverity::Info => Some(Severity::Info),
        proto::AuditSeverity::Notice => Some(Severity::Notice),
        proto::AuditSeverity::Warning => Some(Severity::Warning),
        proto::AuditSeverity::Error => Some(Severity::Error),
    }
}

pub(super) fn outcome(outcome: proto::AuditOutcome) -> Option<AuditOutcome> {
    match outcome {
        proto::AuditOutcome::Unspecified => None,
        proto::AuditOutcome::Done => Some(AuditOutcome::Done),
        proto::AuditOutcome::Refused => Some(AuditOutcome::Refused),
        proto::AuditOutcome::Failed => Some(AuditOutcome::Failed),
    }
}

fn bad(field: &str) -> Status {
    let sentence = format!("filter.{field}: a value that is not known");
    Refusal::new(Code::InvalidArgument, "AUDIT_FILTER", sentence).into()
}

/// What is asked for.
///
/// # Errors
/// `INVALID_ARGUMENT` with the field that cannot be meant.
pub fn filter(asked: proto::AuditFilter) -> Result<AuditFilter, Status> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let kinds = asked.kinds.iter().map(|number| {
        proto::AuditKind::try_from(*number).ok().and_then(kind).ok_or_else(|| bad("kinds"))
    });
    let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    let entity = match asked.entity {
        None => None,
        Some(audit_filter::Entity::Account(id)) => {
            Some(Entity::Account(account_id(id.id_high, id.id)?))
        }
        Some(audit_filter::Entity::Transfer(id)) => {
            Some(Entity::Transfer(transfer_id(id.id_high, id.id)?))
        }
        Some(audit_filter::Entity::Text(text)) => Some(Entity::Text(text)),
    };
    let least = proto::AuditSeverity::try_from(asked.severity).map_err(|_| bad("severity"))?;
    let became = proto::AuditOutcome::try_from(asked.outcome).map_err(|_| bad("outcome"))?;
    Ok(AuditFilter {
        from_ns: asked.from_ns,
        until_ns: Some(asked.until_ns).filter(|until| *until > 0),
        principal: some(asked.principal),
        address: some(asked.address),
        entity,
        kinds,
        severity: severity(least),
        outcome: outcome(became),
        method: some(asked.method),
    })
}

/// Where a page begins.
#[must_use]
pub fn place(from_lsn: u64) -> Option<Lsn> {
    (from_lsn > 0).then_some(Lsn(from_lsn))
}
