//! All figures as text, in the exposition format of OpenMetrics, which Prometheus reads.

use super::{BATCH_BOUNDS, Metrics, Sources, Stage};
use crate::identity::roles::CALLS;
use crate::operator_service::memory_bytes;
use ducat_actors::handle::Status;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use tonic::Code;

/// The text of a scrape.
pub(super) async fn text(metrics: &Arc<Metrics>) -> Result<String, fmt::Error> {
    let status = match metrics.sources.get() {
        // Without memory where the engine does not answer any more: the rest is still worth it.
        Some(sources) => {
            let known = sources.handle.status_with_memory().await;
            Some(known.unwrap_or_else(|_| sources.handle.status()))
        }
        None => None,
    };
    let mut registry = Registry::with_prefix("ducat");
    registry.register_collector(Box::new(Scrape { metrics: Arc::clone(metrics), status }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// What one scrape shows.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    status: Option<Status>,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut to = To(encoder);
        let metrics = &self.metrics;
        to.gauge(
            "ready",
            "1 while the server takes calls",
            None,
            u64::from(metrics.stage() == Stage::Ready),
        )?;
        to.gauge(
            "process_resident_memory",
            "Memory of the process",
            Some(Unit::Bytes),
            memory_bytes(),
        )?;
        self.calls(&mut to)?;
        self.batches(&mut to)?;
        to.gauge(
            "connections",
            "Open connections",
            None,
            metrics.connections.load(Ordering::Relaxed),
        )?;
        self.connections_closed(&mut to)?;
        let failed = metrics.handshakes_failed.load(Ordering::Relaxed);
        to.counter("tls_handshakes_failed", "TLS handshakes that failed", failed)?;
        if let (Some(sources), Some(status)) = (metrics.sources.get(), &self.status) {
            engine(&mut to, status)?;
            server(&mut to, sources)?;
            limits(&mut to, sources)?;
            upkeep(&mut to, sources, status)?;
            super::outside::figures(&mut to, sources)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn connections_closed(&self, to: &mut To<'_>) -> fmt::Result {
        let closed = &self.metrics.connections_closed;
        let reasons = [("address_full", &closed.address_full), ("control_frames", &closed.flooded)];
        let help = "Connections closed for what their address or they did, by reason";
        let mut family =
            to.0.encode_descriptor("connections_closed", help, None, MetricType::Counter)?;
        for (reason, count) in reasons {
            let labels = [("reason", reason)];
            let mut metric = family.encode_family(&labels)?;
            let count = count.load(Ordering::Relaxed);
            metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
        }
        Ok(())
    }

    fn calls(&self, to: &mut To<'_>) -> fmt::Result {
        let names = CALLS.iter().map(|call| call.path.trim_start_matches('/')).chain(["unknown"]);
        let methods: Vec<_> = names.zip(&self.metrics.methods).collect();
        let mut family = to.0.encode_descriptor(
            "calls",
            "Calls answered, by method and code",
            None,
            MetricType::Counter,
        )?;
        for (name, method) in &methods {
            for (number, counter) in (0_i32..).zip(&method.codes) {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 {
                    let code = format!("{:?}", Code::from(number));
                    let labels = [("method", *name), ("code", code.as_str())];
                    let mut metric = family.encode_family(&labels)?;
                    metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
                }
            }
        }
        let help = "Time from a call's headers to the beginning of its answer";
        let mut family = to.0.encode_descriptor(
            "call_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (name, method) in &methods {
            let figures = method.latency.figures();
            if figures.count > 0 {
                let labels = [("method", *name)];
                let mut metric = family.encode_family(&labels)?;
                metric.encode_histogram::<NoLabelSet>(
                    figures.sum_s,
                    figures.count,
                    &figures.buckets,
                    None,
                )?;
            }
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn batches(&self, to: &mut To<'_>) -> fmt::Result {
        let bounds = BATCH_BOUNDS.iter().map(|&bound| bound as f64).chain([f64::MAX]);
        let counts = self.metrics.batches.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.metrics.batched.load(Ordering::Relaxed) as f64;
        let help = "Transfers and operations in a request";
        let mut metric =
            to.0.encode_descriptor("batch_transfers", help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        let refusals = self.metrics.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let help = "Transfers refused by a rule of the ledger, by reason; repeats not counted";
        let mut family =
            to.0.encode_descriptor("transfers_refused_by_reason", help, None, MetricType::Counter)?;
        for (reason, count) in refusals.iter() {
            let labels = [("reason", *reason)];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, u64, f64>(count, None)?;
        }
        Ok(())
    }
}

/// The encoder, for figures that have no labels.
pub(super) struct To<'a>(pub(super) DescriptorEncoder<'a>);

impl To<'_> {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: u64,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }
}

fn engine(to: &mut To<'_>, now: &Status) -> fmt::Result {
    to.counter("transfers_posted", "Transfers posted since the start", now.posted)?;
    to.counter("transfers_refused", "Transfers refused since the start", now.refused)?;
    to.counter("transfers_repeated", "Repeats answered since the start", now.repeats)?;
    to.counter("requests_overloaded", "Requests refused because of the load", now.overloaded)?;
    to.counter("requests_expired", "Requests dropped behind their deadline", now.expired)?;
    to.counter("requests_abandoned", "Requests dropped, their caller gone", now.abandoned)?;
    to.gauge("transfers_in_flight", "Admitted and not yet answered", None, now.in_flight)?;
    to.gauge("transfers_in_flight_limit", "The bound on them", None, now.in_flight_max)?;
    to.seconds(
        "queue_delay",
        "How long a transfer that comes now would wait",
        now.queue_delay.as_secs_f64(),
    )?;
    to.gauge("accounts", "Accounts opened", None, now.accounts)?;
    to.gauge("accounts_memory", "Memory of the accounts", Some(Unit::Bytes), now.accounts_bytes)?;
    to.gauge("remembered_ids", "Transfer ids remembered", None, now.remembered_ids)?;
    to.gauge(
        "remembered_ids_memory",
        "Memory of the ids",
        Some(Unit::Bytes),
        now.remembered_ids_bytes,
    )?;
    to.gauge("open_holds", "Open holds", None, now.open_holds)?;
    to.gauge("open_holds_memory", "Memory of the holds", Some(Unit::Bytes), now.open_holds_bytes)?;
    to.gauge("lsn_assigned", "The last LSN given out", None, now.last_lsn.0)?;
    to.gauge("lsn_durable", "The last durable LSN", None, now.durable_lsn.0)?;
    to.gauge("epoch", "The epoch of this reign", None, now.epoch.0)?;
    to.counter("journal_written_bytes", "Bytes appended to the journal", now.journal_bytes)
}

fn server(to: &mut To<'_>, sources: &Sources) -> fmt::Result {
    let appends = sources.handle.append_latency();
    let help = "Time of an append to the journal with the sync that makes it durable";
    let unit = Some(&Unit::Seconds);
    let mut metric = to.0.encode_descriptor("journal_append", help, unit, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(appends.sum_s, appends.count, &appends.buckets, None)?;
    let bytes = |budget: &crate::budget::Budget| (budget.taken() as u64, budget.limit() as u64);
    let ((requests, requests_max), (answers, answers_max)) =
        (bytes(&sources.requests), bytes(&sources.answers));
    let unit = || Some(Unit::Bytes);
    to.gauge("requests_memory", "Memory of requests being worked on", unit(), requests)?;
    to.gauge("requests_memory_limit", "The bound on it", unit(), requests_max)?;
    to.gauge("answers_memory", "Memory of answers not yet sent", unit(), answers)?;
    to.gauge("answers_memory_limit", "The bound on it", unit(), answers_max)?;
    let (unauthenticated, denied) = sources.guard.as_ref().map_or((0, 0), |guard| guard.refused());
    to.counter("calls_unauthenticated", "Calls refused for want of an identity", unauthenticated)?;
    to.counter("calls_denied", "Calls refused for want of a right", denied)?;
    let (wrong, locked) = sources.guard.as_ref().map_or((0, 0), |guard| guard.codes_refused());
    to.counter("second_factors_wrong", "Codes of second factors that were wrong or used", wrong)?;
    let help = "Codes that were not looked at, since too many before them were wrong";
    to.counter("second_factors_locked", help, locked)
}

/// Refusals by rate: by method, never by whom.
fn limits(to: &mut To<'_>, sources: &Sources) -> fmt::Result {
    let (places, nameless) = (&sources.places, &sources.nameless);
    let help = "Principals with an open call";
    to.gauge("limits_calling_principals", help, None, places.calling() as u64)?;
    let help = "Calls refused because their principal had too many open";
    to.counter("limits_principal_calls_refused", help, places.refused())?;
    let help = "Addresses with an open call of a caller without a name";
    to.gauge("limits_calling_addresses", help, None, nameless.calling() as u64)?;
    let help = "Calls without a name refused because their address had too many open";
    to.counter("limits_address_calls_refused", help, nameless.refused())?;
    let Some(limits) = &sources.limits else { return Ok(()) };
    let (rules, buckets) = limits.kept();
    to.gauge("limits_rules", "Rates that are configured", None, rules as u64)?;
    to.gauge("limits_buckets", "Callers whose rates are counted, by rule", None, buckets as u64)?;
    let help = "Calls and batches refused because their caller's rate was used up, by method";
    let mut family = to.0.encode_descriptor("limits_refused", help, None, MetricType::Counter)?;
    for (method, count) in limits.refused() {
        let labels = [("method", method)];
        let mut metric = family.encode_family(&labels)?;
        metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
    }
    Ok(())
}

fn upkeep(to: &mut To<'_>, sources: &Sources, now: &Status) -> fmt::Result {
    let snapshots = sources.handle.snapshot_health();
    let lsn = snapshots.last.as_ref().map_or(0, |last| last.lsn.0);
    to.gauge("lsn_snapshot", "The event of the newest snapshot", None, lsn)?;
    to.counter("snapshots_taken", "Snapshots taken since the start", snapshots.taken)?;
    to.counter("snapshots_failed", "Snapshots that failed since the start", snapshots.failures)?;
    to.gauge(
        "snapshot_failing",
        "1 while the last snapshot failed",
        None,
        u64::from(snapshots.failed.is_some()),
    )?;
    let health = sources.handle.health();
    if let Some(archive) = health.archive {
        to.gauge("lsn_archive", "The last archived event", None, archive.last_lsn.0)?;
        to.gauge("archive_size", "Size of the archive", Some(Unit::Bytes), archive.bytes)?;
        to.gauge(
            "archive_failing",
            "1 while archiving fails",
            None,
            u64::from(archive.last_error.is_some()),
        )?;
    }
    if let Some(backup) = health.backup {
        let behind = now.durable_lsn.0.saturating_sub(backup.last_lsn.0);
        to.gauge("lsn_backup", "The last event in the backup", None, backup.last_lsn.0)?;
        to.gauge("backup_lag_events", "Durable events not in the backup", None, behind)?;
        to.seconds(
            "backup_lag",
            "For how long something durable has not been in the backup",
            sources.backup_lag(&backup, now.durable_lsn).as_secs_f64(),
        )?;
        to.counter("backups_made", "Backups made since the start", backup.runs)?;
        to.counter("backups_failed", "Backups that failed since the start", backup.failures)?;
    }
    if let Some(disk) = health.disk {
        to.gauge("disk_free", "Room on the journal's disk", Some(Unit::Bytes), disk.free_bytes)?;
        to.gauge(
            "disk_reserve",
            "Below it, transfers are refused",
            Some(Unit::Bytes),
            disk.reserve_bytes,
        )?;
        to.gauge(
            "disk_refusing",
            "1 while transfers are refused for it",
            None,
            u64::from(disk.refusing),
        )?;
    }
    if let Some(signed) = sources.handle.checkpoint_status() {
        to.gauge("lsn_checkpoint", "The event of the last checkpoint", None, signed.lsn.0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn figures_keep_to_the_rules_of_the_field() {
        let metrics = Metrics::new();
        metrics.call("/ducat.v1.Ledger/Transfer", Code::Ok, Duration::from_micros(90));
        metrics.call("/ducat.v1.Ledger/Transfer", Code::ResourceExhausted, Duration::from_secs(9));
        metrics.call("/somebody/else\"s", Code::PermissionDenied, Duration::ZERO);
        let text = text(&metrics).await.expect("encodes");
        for line in [
            "# TYPE ducat_calls counter",
            "ducat_calls_total{method=\"ducat.v1.Ledger/Transfer\",code=\"Ok\"} 1",
            "ducat_calls_total{method=\"ducat.v1.Ledger/Transfer\",code=\"ResourceExhausted\"} 1",
            "ducat_calls_total{method=\"unknown\",code=\"PermissionDenied\"} 1",
            "# TYPE ducat_call_duration_seconds histogram",
            "ducat_call_duration_seconds_bucket{le=\"0.0001\",method=\"ducat.v1.Ledger/Transfer\"} 1",
            "ducat_call_duration_seconds_bucket{le=\"+Inf\",method=\"ducat.v1.Ledger/Transfer\"} 2",
            "ducat_call_duration_seconds_count{method=\"ducat.v1.Ledger/Transfer\"} 2",
            "ducat_ready 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(!text.contains("somebody"), "what a client sent is no label");
    }
}
