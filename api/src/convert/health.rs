//! Into messages: the double-entry proof's health, dependencies, alerts.

use crate::alerts::Firing;
use crate::outside::Breaker;
use crate::proto;
use crate::verification::ProofFigures;

/// How the double-entry proof does; `None` when none was made or tried.
#[must_use]
pub fn verification_health(figures: ProofFigures) -> Option<proto::VerificationHealth> {
    let ProofFigures { made, failed, failing, last } = figures;
    if made + failed == 0 {
        return None;
    }
    let last_error = failing.unwrap_or_default();
    let health = proto::VerificationHealth { made, failed, last_error, ..Default::default() };
    let Some(last) = last else { return Some(health) };
    Some(proto::VerificationHealth {
        last_ended_s: last.ended_s,
        last_lsn: last.lsn,
        differences: last.differences,
        unbalanced: last.unbalanced,
        overdrawn: last.overdrawn,
        ..health
    })
}

/// A dependency and its breaker.
#[must_use]
pub fn dependency(breaker: &Breaker) -> proto::Dependency {
    let figures = breaker.figures();
    proto::Dependency {
        name: breaker.name().to_owned(),
        state: figures.state.name().to_owned(),
        succeeded: figures.succeeded,
        failed: figures.failed,
        rejected: figures.rejected,
        opened: figures.opened,
    }
}

/// An alert that fires.
#[must_use]
pub fn firing(alert: Firing) -> proto::FiringAlert {
    proto::FiringAlert {
        name: alert.rule.name.to_owned(),
        severity: alert.rule.severity.name().to_owned(),
        since_ns: u64::try_from(alert.since.as_nanosecond()).unwrap_or(0),
        what: alert.what,
    }
}
