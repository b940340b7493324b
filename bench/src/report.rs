//! What a run found, as written to JSON and read again by `compare`. Figures carry their
//! units in their names; [`crate::table`] prints them for people.

use crate::check::Check;
use crate::codec::outcome_name;
use crate::facts::Machine;
use crate::series::SecondFigures;
use crate::tally::{ErrorCount, ReadTally, Tally};
use anyhow::Context;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What measured it.
    pub harness: Harness,
    /// What was asked for.
    pub setup: Setup,
    /// What the ledger says it is.
    pub server: Server,
    /// Where it ran.
    pub machine: Machine,
    /// How much was done.
    pub results: Results,
    /// How long each request took.
    pub latency: Latency,
    /// What it took.
    pub costs: Costs,
    /// Whether the ledger agrees.
    pub checks: Vec<Check>,
    /// What a reader must know before believing a figure.
    pub warnings: Vec<String>,
    /// The counted time second by second. The last may be a part of one.
    pub seconds: Vec<SecondFigures>,
    /// The whole distribution of request latency, from the least to the most.
    pub distribution: Vec<Percentile>,
    /// Reads, of a workload that has them; all else counts transfers only.
    pub reads: Option<Reads>,
    /// The steps of `--ramp`.
    pub ramp: Vec<RampStep>,
    /// The search of `--find-rate`, of whose best step this is the report.
    pub search: Option<Search>,
}

/// A point of a latency distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// 0 to 100.
    pub percentile: f64,
    /// That share of requests took no longer, milliseconds.
    pub latency_ms: f64,
    /// So many of them.
    pub count: u64,
}

/// The distribution of a histogram of nanoseconds: ever finer steps towards 100%.
pub fn distribution(histogram: &Histogram<u64>) -> Vec<Percentile> {
    let mut count = 0;
    let steps = histogram.iter_quantiles(5);
    steps
        .map(|step| {
            count += step.count_since_last_iteration();
            Percentile {
                percentile: step.quantile_iterated_to() * 100.0,
                latency_ms: step.value_iterated_to() as f64 / 1e6,
                count,
            }
        })
        .collect()
}

/// What reading accounts came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reads {
    /// Requests answered.
    pub requests: u64,
    /// Accounts in them.
    pub accounts: u64,
    /// Requests answered a second.
    pub requests_per_s: f64,
    /// Accounts read a second.
    pub accounts_per_s: f64,
    /// Failed requests, by class.
    pub errors: BTreeMap<String, u64>,
    /// An example of each class.
    pub error_examples: BTreeMap<String, String>,
    /// How long each request took.
    pub latency: Latency,
    /// The whole distribution of it.
    pub distribution: Vec<Percentile>,
    /// Second by second; `answered` counts accounts.
    pub seconds: Vec<SecondFigures>,
}

impl Reads {
    /// The figures of `tally` over `duration_s` seconds.
    pub fn of(tally: &ReadTally, duration_s: f64) -> Self {
        let errors = |e: &BTreeMap<String, ErrorCount>| {
            e.iter().map(|(class, e)| (class.clone(), e.requests)).collect()
        };
        let example = |(class, e): (&String, &ErrorCount)| (class.clone(), e.example.clone());
        Self {
            requests: tally.requests,
            accounts: tally.accounts,
            requests_per_s: tally.requests as f64 / duration_s,
            accounts_per_s: tally.accounts as f64 / duration_s,
            errors: errors(&tally.errors),
            error_examples: tally.errors.iter().map(example).collect(),
            latency: Latency::of(&tally.latency),
            distribution: distribution(&tally.latency),
            seconds: tally.series.figures(&[]),
        }
    }
}

/// One rate of a ramp.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RampStep {
    /// Transfers a second asked for.
    pub rate: f64,
    /// Transfers due.
    pub offered: u64,
    /// Of them answered, whenever that was.
    pub answered: u64,
    /// Of them failed.
    pub failed: u64,
    /// Median latency of the requests due in it, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// Maximum, milliseconds.
    pub max_ms: f64,
}

/// A search for the highest rate that holds a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// What the 99th percentile was held to, milliseconds.
    pub p99_limit_ms: f64,
    /// The highest rate that held, transfers a second; absent when none did.
    pub found_rate: Option<f64>,
    /// Every rate that was tried, in order.
    pub steps: Vec<SearchStep>,
}

/// One rate that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchStep {
    /// Transfers a second asked for.
    pub rate: f64,
    /// Transfers due in the counted time.
    pub offered: u64,
    /// Transfers answered in the counted time.
    pub answered: u64,
    /// Transfers failed, never answered or never sent.
    pub errors: u64,
    /// Median latency, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// Maximum, milliseconds.
    pub max_ms: f64,
    /// Why the limit was not held; empty when it was.
    pub broken: String,
}

/// The harness itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Harness {
    /// Its version.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
    /// `debug` or `release`.
    pub profile: String,
    /// When the run began: seconds since 1970-01-01T00:00:00Z.
    pub started_unix_s: u64,
}

impl Harness {
    /// This build, now.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            commit: env!("DUCAT_GIT_COMMIT").into(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
            started_unix_s: since.map_or(0, |d| d.as_secs()),
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The workload.
    pub workload: String,
    /// Its exponent, for `zipf`.
    pub zipf_exponent: Option<f64>,
    /// Accounts.
    pub accounts: u64,
    /// Transfers in a request.
    pub batch: usize,
    /// Connections.
    pub connections: usize,
    /// Requests in flight on each connection at most.
    pub in_flight: usize,
    /// Client threads.
    pub client_threads: usize,
    /// `unary`, `batch`, `stream`, `in-process`.
    pub mode: String,
    /// `lean` or `full`.
    pub codec: String,
    /// What was asked of our own server's settings: `production`; absent for development.
    #[serde(default)]
    pub profile: Option<String>,
    /// Offered transfers a second; absent for the closed loop.
    pub rate: Option<f64>,
    /// Offered as FROM:TO:SECONDS instead.
    pub ramp: Option<String>,
    /// Share of requests that read; absent for workloads without reads.
    pub read_share: Option<f64>,
    /// Share of transfers made in two steps, each of which counts; absent for workloads without
    /// holds.
    #[serde(default)]
    pub hold_share: Option<f64>,
    /// Share of transfers given back in parts; absent for workloads without refunds.
    #[serde(default)]
    pub refund_share: Option<f64>,
    /// Share of draws on terms; absent for workloads without terms.
    #[serde(default)]
    pub terms_share: Option<f64>,
    /// Reads a second beside the load, where there were any.
    #[serde(default)]
    pub reads_per_s: Option<f64>,
    /// Accounts in a read.
    pub read_accounts: Option<usize>,
    /// The file that was replayed.
    pub csv: Option<CsvSetup>,
    /// Counted seconds.
    pub duration_s: f64,
    /// Seconds before them.
    pub warmup_s: f64,
    /// Amounts were 1 to this, minor units.
    pub amount_max: u64,
    /// Share of linked transfers.
    pub linked_share: f64,
    /// Legs of a linked group; 0 in reports that do not say so: 2.
    #[serde(default)]
    pub linked_legs: usize,
    /// Share of repeats.
    pub repeat_share: f64,
    /// The seed.
    pub seed: u64,
    /// How client and server shared the machine.
    pub sharing: String,
}

/// A replayed file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CsvSetup {
    /// Its name.
    pub file: String,
    /// The mapping's name.
    pub mapping: String,
    /// Rows that became transfers.
    pub rows: u64,
    /// Rows that did not, by reason; they were not sent.
    pub skipped: BTreeMap<String, u64>,
    /// Whether it began again at its end.
    pub repeated: bool,
}

/// The ledger under test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// What its answers survive: `power-loss` or `none`.
    pub durability: String,
    /// Its partitions.
    pub partitions: u32,
}

/// How much was done in the counted time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Transfers answered or failed.
    pub total: u64,
    /// Posted.
    pub ok: u64,
    /// Refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Answered from memory as repeats.
    pub repeats: u64,
    /// Transfers in requests that failed, by class.
    pub errors: BTreeMap<String, u64>,
    /// An example of each class.
    pub error_examples: BTreeMap<String, String>,
    /// Requests answered.
    pub requests: u64,
    /// Requests never answered.
    pub unanswered_requests: u64,
    /// Requests that were due and never sent; open loop only.
    pub unsent_requests: u64,
    /// Transfers that were due in the counted time; open loop only.
    pub offered: Option<u64>,
    /// Transfers answered a second, refusals and repeats included.
    pub transfers_per_s: f64,
    /// Transfers posted a second.
    pub posted_per_s: f64,
    /// Failed transfers of all, 0 to 1.
    pub error_rate: f64,
    /// How late the latest request was sent, milliseconds; open loop only.
    pub sent_late_ms_max: f64,
}

impl Results {
    /// The figures of `tally` over `duration_s` seconds.
    pub fn of(tally: &Tally, duration_s: f64) -> Self {
        let ok = tally.by_code.get(&0).copied().unwrap_or(0);
        let errors: BTreeMap<_, _> =
            tally.errors.iter().map(|(class, e)| (class.clone(), e.transfers)).collect();
        let failed: u64 = errors.values().sum();
        let total = tally.answered() + failed;
        let refused = tally.by_code.iter().filter(|(code, _)| **code != 0);
        Self {
            total,
            ok,
            refused: refused.map(|(code, count)| (outcome_name(*code), *count)).collect(),
            repeats: tally.repeats,
            errors,
            error_examples: tally
                .errors
                .iter()
                .map(|(class, e)| (class.clone(), e.example.clone()))
                .collect(),
            requests: tally.requests,
            unanswered_requests: tally.whole.unanswered_requests,
            unsent_requests: tally.whole.unsent_requests,
            offered: None,
            transfers_per_s: tally.answered() as f64 / duration_s,
            posted_per_s: ok as f64 / duration_s,
            error_rate: if total == 0 { 0.0 } else { failed as f64 / total as f64 },
            sent_late_ms_max: tally.late_ns_max as f64 / 1e6,
        }
    }

    /// Refused for whatever reason.
    pub fn refused_sum(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Failed for whatever reason.
    pub fn errors_sum(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Latency of requests, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Requests measured.
    pub count: u64,
    /// Mean.
    pub mean_ms: f64,
    /// Standard deviation.
    pub deviation_ms: f64,
    /// Least.
    pub min_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 90th percentile.
    pub p90_ms: f64,
    /// 95th.
    pub p95_ms: f64,
    /// 99th.
    pub p99_ms: f64,
    /// 99.9th.
    pub p99_9_ms: f64,
    /// Most.
    pub max_ms: f64,
}

impl Latency {
    /// The figures of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |ns: u64| ns as f64 / 1e6;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        if histogram.is_empty() {
            return Self::default();
        }
        Self {
            count: histogram.len(),
            mean_ms: histogram.mean() / 1e6,
            deviation_ms: histogram.stdev() / 1e6,
            min_ms: ms(histogram.min()),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: ms(histogram.max()),
        }
    }
}

/// What the counted time took. Absent figures could not be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// CPU seconds of the server; in process, of everything.
    pub server_cpu_s: Option<f64>,
    /// CPU seconds of the client; absent in process.
    pub client_cpu_s: Option<f64>,
    /// CPU of the server for one transfer, microseconds.
    pub server_cpu_us_per_transfer: Option<f64>,
    /// Journal payload for one transfer, bytes.
    pub journal_bytes_per_transfer: Option<f64>,
    /// Bytes the server caused to be written to disk for one transfer.
    pub disk_bytes_per_transfer: Option<f64>,
    /// The server's resident memory at the end, bytes.
    pub server_memory_bytes: Option<u64>,
    /// The most it was, bytes.
    pub server_memory_bytes_max: Option<u64>,
}

impl Report {
    /// Whether no check was broken.
    pub fn held(&self) -> bool {
        self.checks.iter().all(|check| check.held != Some(false))
    }

    /// Reads a report written by [`Self::write`].
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of ducat-bench run", path.display()))
    }

    /// Writes it as JSON.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_json(self, path)
    }
}

/// Writes anything as JSON for people and machines.
pub fn write_json(value: &impl Serialize, path: &Path) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    std::fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
}

/// Writes the latency distribution in HdrHistogram's own text format, in milliseconds.
pub fn write_hgrm(report: &Report, path: &Path) -> anyhow::Result<()> {
    use std::fmt::Write as _;
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for point in &report.distribution {
        let share = point.percentile / 100.0;
        let rest = if share < 1.0 { format!("{:.2}", 1.0 / (1.0 - share)) } else { String::new() };
        let (value, seen) = (point.latency_ms, point.count);
        writeln!(text, "{value:12.3} {share:14.12} {seen:10} {rest:>14}")?;
    }
    let Latency { mean_ms, deviation_ms, max_ms, count, .. } = report.latency;
    writeln!(text, "#[Mean    = {mean_ms:12.3}, StdDeviation   = {deviation_ms:12.3}]")?;
    writeln!(text, "#[Max     = {max_ms:12.3}, Total count    = {count:12}]")?;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
