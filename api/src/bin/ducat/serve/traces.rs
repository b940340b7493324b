//! The flags of traces.

use super::alerts::{AlertArgs, percent};
use crate::causes::with_causes;
use crate::exit::Failure;
use clap::Args;
use ducat_api::outside::{Breaker, Collector, CollectorOptions};
use ducat_api::traces::{Sampling, Traces, TracesOptions};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Options of traces.
#[derive(Args, Debug)]
pub struct TraceArgs {
    /// Sample calls, and tell this collector of OpenTelemetry where their time went, in OTLP over gRPC:
    /// https, or http on this machine, such as http://127.0.0.1:4317.
    #[arg(long, env = "DUCAT_TRACES_ENDPOINT", value_name = "URL")]
    traces_endpoint: Option<String>,
    /// The CAs that sign the collector's certificate, in PEM. By default those of the system.
    #[arg(long, env = "DUCAT_TRACES_CA", value_name = "FILE")]
    traces_ca: Option<PathBuf>,
    /// A file of headers that let the server in at the collector, one `name: value` to a line.
    #[arg(long, env = "DUCAT_TRACES_HEADERS", value_name = "FILE")]
    pub traces_headers: Option<PathBuf>,
    /// Of calls whose caller says nothing of a trace (no header traceparent), so many percent are sampled.
    /// Where the caller says something, that counts.
    #[arg(long, env = "DUCAT_TRACES_OWN_PERCENT", default_value_t = 0.0, value_parser = percent,
          value_name = "PERCENT")]
    traces_own_percent: f64,
    /// Most calls, and batches of streams, that are sampled in a second, whatever their callers say.
    #[arg(long, env = "DUCAT_TRACES_SAMPLED_PER_S_MAX", default_value = "100",
          value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "CALLS")]
    traces_sampled_per_s_max: u32,
    /// How long a call that is over waits for others to be told of with it.
    #[arg(long, env = "DUCAT_TRACES_EVERY_MS", default_value_t = 1_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(10..=60_000))]
    traces_every_ms: u64,
    /// Most calls that wait for a collector that is away or slow; those beyond are counted and not told of.
    #[arg(long, env = "DUCAT_TRACES_WAITING_MAX", default_value_t = 2_048, value_name = "CALLS",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    traces_waiting_max: u32,
}

impl TraceArgs {
    /// The collector, if one is named; checks everything.
    pub fn collector(&self, alerts: &AlertArgs) -> Result<Option<Collector>, Failure> {
        let Some(url) = self.traces_endpoint.clone() else {
            if self.traces_ca.is_some() || self.traces_headers.is_some() {
                let text = "--traces-ca and --traces-headers are for a collector, and none is named: \
                            add --traces-endpoint";
                return Err(Failure::usage(text));
            }
            return Ok(None);
        };
        let (ca, headers) = (self.traces_ca.clone(), self.traces_headers.clone());
        let options = CollectorOptions { url, ca, headers, timeout: alerts.call_timeout() };
        let breaker = Breaker::new("traces", alerts.breaker_rules()?);
        let collector = Collector::new(&options, breaker);
        collector.map(Some).map_err(|error| Failure::usage(with_causes(&error)))
    }

    /// How much is sampled.
    pub fn sampling(&self) -> Sampling {
        let per_second_max =
            NonZeroU32::new(self.traces_sampled_per_s_max).unwrap_or(NonZeroU32::MIN);
        Sampling { own_percent: self.traces_own_percent, per_second_max }
    }

    /// Traces of this ledger, served at this address.
    pub fn telling(&self, collector: Collector, ledger: &str, address: SocketAddr) -> Arc<Traces> {
        Traces::new(TracesOptions {
            collector,
            sampling: self.sampling(),
            every: Duration::from_millis(self.traces_every_ms),
            waiting_max: self.traces_waiting_max as usize,
            ledger: ledger.to_owned(),
            instance: address.to_string(),
        })
    }
}
