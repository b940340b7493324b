//! The double-entry proof, what the server calls outside itself, and the alerts that fire, in
//! `ducat status`.

use crate::output;
use ducat_api::proto;
use serde::Serialize;

/// The proof as scripts read it.
#[derive(Serialize)]
pub struct VerificationLine<'a> {
    made: u64,
    failed: u64,
    last_error: Option<&'a str>,
    last_ended_s: Option<u64>,
    last_lsn: u64,
    differences: u64,
    unbalanced: u64,
    overdrawn: u64,
}

impl<'a> From<&'a proto::VerificationHealth> for VerificationLine<'a> {
    fn from(health: &'a proto::VerificationHealth) -> Self {
        Self {
            made: health.made,
            failed: health.failed,
            last_error: Some(health.last_error.as_str()).filter(|error| !error.is_empty()),
            last_ended_s: (health.made > 0).then_some(health.last_ended_s),
            last_lsn: health.last_lsn,
            differences: health.differences,
            unbalanced: health.unbalanced,
            overdrawn: health.overdrawn,
        }
    }
}

/// A dependency as scripts read it.
#[derive(Serialize)]
pub struct DependencyLine<'a> {
    name: &'a str,
    state: &'a str,
    succeeded: u64,
    failed: u64,
    rejected: u64,
    opened: u64,
}

impl<'a> From<&'a proto::Dependency> for DependencyLine<'a> {
    fn from(dependency: &'a proto::Dependency) -> Self {
        Self {
            name: &dependency.name,
            state: &dependency.state,
            succeeded: dependency.succeeded,
            failed: dependency.failed,
            rejected: dependency.rejected,
            opened: dependency.opened,
        }
    }
}

/// An alert as scripts read it.
#[derive(Serialize)]
pub struct AlertLine<'a> {
    name: &'a str,
    severity: &'a str,
    since_ns: u64,
    what: &'a str,
}

impl<'a> From<&'a proto::FiringAlert> for AlertLine<'a> {
    fn from(alert: &'a proto::FiringAlert) -> Self {
        let (name, severity, what) = (&alert.name, &alert.severity, &alert.what);
        Self { name, severity, since_ns: alert.since_ns, what }
    }
}

/// All of it as people read it.
pub fn facts(status: &proto::GetStatusResponse) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(health) = &status.verification {
        facts.push(("balances", verified(health)));
    }
    for dependency in &status.dependencies {
        let (name, state) = (&dependency.name, &dependency.state);
        let (succeeded, failed) =
            (output::count(dependency.succeeded), output::count(dependency.failed));
        let text = format!("{name}: breaker {state}, {succeeded} calls succeeded, {failed} failed");
        facts.push(("calls outside", text));
    }
    for alert in &status.alerts {
        let (name, severity, what) = (&alert.name, &alert.severity, &alert.what);
        let since = output::time(alert.since_ns);
        facts.push(("ALERT", format!("{name} ({severity}) since {since}: {what}")));
    }
    facts
}

fn verified(health: &proto::VerificationHealth) -> String {
    if !health.last_error.is_empty() {
        return format!("NOT VERIFIED: {}", health.last_error);
    }
    let lsn = health.last_lsn;
    let at = output::time(health.last_ended_s.saturating_mul(1_000_000_000));
    match (health.differences, health.overdrawn) {
        (0, 0) => format!("verified up to LSN {lsn}, {at}"),
        (0, overdrawn) => {
            let overdrawn = output::count(overdrawn);
            format!("verified up to LSN {lsn}, {at}; {overdrawn} overdrawn beyond their limit")
        }
        (differences, _) => {
            let differences = output::count(differences);
            format!("NOT SOUND: {differences} differences as of LSN {lsn}, {at}")
        }
    }
}
