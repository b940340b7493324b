//! Figures of the double-entry proof, of what is called outside, of alerts and of traces.

use super::Sources;
use super::figures::To;
use crate::alerts;
use crate::outside::BreakerState;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;

/// Appends them to the text of a scrape.
pub(super) fn figures(to: &mut To<'_>, sources: &Sources) -> fmt::Result {
    proofs(to, sources)?;
    breakers(to, sources)?;
    firing(to, sources)?;
    traces(to, sources)
}

fn proofs(to: &mut To<'_>, sources: &Sources) -> fmt::Result {
    let proofs = sources.verifications.figures();
    to.counter("verifications", "Verifications of all balances since the start", proofs.made)?;
    let help = "Verifications that could not be made since the start";
    to.counter("verifications_failed", help, proofs.failed)?;
    let failing = u64::from(proofs.failing.is_some());
    to.gauge("verification_failing", "1 while the last one could not be made", None, failing)?;
    let Some(last) = proofs.last else { return Ok(()) };
    let unit = Some(Unit::Seconds);
    to.gauge("verification_ended_timestamp", "When the last one ended", unit, last.ended_s)?;
    let help = "Contradictions between balances and journal in the last one";
    to.gauge("verification_differences", help, None, last.differences)?;
    let help = "Currencies whose accounts did not come to zero in the last one";
    to.gauge("verification_unbalanced_currencies", help, None, last.unbalanced)?;
    let help = "Accounts overdrawn beyond their limit in the last one";
    to.gauge("verification_overdrawn_accounts", help, None, last.overdrawn)
}

fn breakers(to: &mut To<'_>, sources: &Sources) -> fmt::Result {
    if sources.breakers.is_empty() {
        return Ok(());
    }
    let all: Vec<_> = sources.breakers.iter().map(|b| (b.name(), b.figures())).collect();
    let help = "1 for the state that the breaker before a dependency is in";
    let mut family = to.0.encode_descriptor("breaker_state", help, None, MetricType::Gauge)?;
    for (name, figures) in &all {
        for state in BreakerState::ALL {
            let labels = [("dependency", *name), ("state", state.name())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_gauge(&i64::from(figures.state == state))?;
        }
    }
    let help = "How often the breaker before a dependency opened";
    let mut family = to.0.encode_descriptor("breaker_opened", help, None, MetricType::Counter)?;
    for (name, figures) in &all {
        let labels = [("dependency", *name)];
        let mut metric = family.encode_family(&labels)?;
        metric.encode_counter::<NoLabelSet, u64, f64>(&figures.opened, None)?;
    }
    let help = "Calls of dependencies, by how they ended";
    let mut family = to.0.encode_descriptor("outside_calls", help, None, MetricType::Counter)?;
    for (name, figures) in &all {
        let ends = [
            ("succeeded", figures.succeeded),
            ("failed", figures.failed),
            ("rejected", figures.rejected),
        ];
        for (end, count) in ends {
            let labels = [("dependency", *name), ("outcome", end)];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
        }
    }
    Ok(())
}

fn firing(to: &mut To<'_>, sources: &Sources) -> fmt::Result {
    let Some(watching) = &sources.alerts else { return Ok(()) };
    let firing = watching.firing();
    let help = "1 while the server itself tells of an alert";
    let mut family = to.0.encode_descriptor("alert_firing", help, None, MetricType::Gauge)?;
    for name in alerts::RULES.each_ref().map(|rule| rule.name) {
        let fires = firing.iter().any(|firing| firing.rule.name == name);
        let labels = [("alert", name)];
        let mut metric = family.encode_family(&labels)?;
        metric.encode_gauge(&i64::from(fires))?;
    }
    Ok(())
}

fn traces(to: &mut To<'_>, sources: &Sources) -> fmt::Result {
    let Some(traces) = &sources.traces else { return Ok(()) };
    let figures = traces.figures();
    let help = "Calls and batches of streams whose spans are told to the collector";
    to.counter("traces_sampled", help, figures.sampled)?;
    let help =
        "Calls and batches that were to be sampled and were not, the second having had enough";
    to.counter("traces_limited", help, figures.limited)?;
    to.counter("spans_exported", "Spans that the collector has taken", figures.exported)?;
    let help = "Spans that nobody will see, by where they were lost";
    let mut family = to.0.encode_descriptor("spans_lost", help, None, MetricType::Counter)?;
    let lost = [("waiting", figures.lost_waiting), ("exporting", figures.lost_exporting)];
    for (at, count) in lost {
        let labels = [("at", at)];
        let mut metric = family.encode_family(&labels)?;
        metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
    }
    Ok(())
}
