//! `ducat-bench overload`: what is still done when far more is asked for than can be done, and
//! how soon all is well again. The peak comes from a closed loop; then an open loop offers
//! multiples of it, and at last less, in one go. Requests carry a deadline, and the client
//! holds a bounded number of them: what is due beyond is counted as not sent. So is what it holds back
//! because the server refuses more, as the Rust client does, unless told to insist.

use crate::check::Check;
use crate::child::Durability;
use crate::cli::{Cli, Command, Mode, RunArgs, ServerArgs};
use crate::driver::{Load, Running};
use crate::facts::Machine;
use crate::overload_table;
use crate::pace::{Schedule, Step};
use crate::procfs::{self, Usage};
use crate::report::{Harness, Server, Setup, write_json};
use crate::run::{self, PROGRESS};
use crate::session::{Phase, Session};
use crate::table::count;
use crate::tally::Tally;
use crate::target_grpc::Manner;
use crate::workload::Workload;
use anyhow::{bail, ensure};
use clap::{Args, Parser};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Share of the offered that must be answered for all to be well again.
const RECOVERED: f64 = 0.99;

/// How long after the end what was due is still sent: until the pacing threads have ended.
const PATIENCE: Duration = Duration::from_millis(500);

/// Ids that our own server remembers at most, unless told otherwise. A fast machine makes more
/// transfers in four minutes than `serve` remembers by default, and then refuses all that is new: right,
/// and not what is measured here.
const REMEMBERED_IDS: [&str; 2] = ["--remembered-ids-max", "1000000000"];

/// And the memory it takes ahead, unless told otherwise: what so many transfers a second leave behind for
/// as long as the scenario runs. Touched for the first time under the load, it would be the machine's host that
/// is measured, first on pages that it has at hand and then on others.
const AHEAD: &str = "--memory-ahead-mib";

/// Nor does it take snapshots by itself or archive, unless told to: the peak is measured in seconds that have none, and the
/// steps last as long as several, so that what they cost would be taken for what an overload does.
const NO_UPKEEP: [[&str; 2]; 3] =
    [["--snapshot-every", "off"], ["--snapshot-journal-mib", "0"], ["--archive", "off"]];

const TRANSFERS_PER_S: f64 = 2_000_000.0;
const ID_BYTES: f64 = 48.0;

/// Calls at a time that `serve` allows on one connection.
const PLACES: f64 = 256.0;

/// Requests on their way on each connection, unless told otherwise: some 10 KB each.
const OUTSTANDING_MAX: usize = 8192;

/// Requests in flight on each connection while the peak is measured, unless told otherwise. At 2 a quarter
/// of the processor was idle, and the peak was none.
const PEAK_IN_FLIGHT: usize = 16;

/// Seconds that the peak is measured over at most, unless told otherwise: every transfer is remembered.
const PEAK_SECONDS_MAX: f64 = 30.0;

/// How long the peak behind the offers is measured, of the time before them.
const PEAK_AFTER: f64 = 1.0 / 3.0;

/// Arguments of `overload`.
#[derive(Args, Debug, Clone)]
pub struct OverloadArgs {
    /// Who pays whom; see `ducat-bench list`.
    #[arg(long, value_enum, default_value_t = Workload::Uniform)]
    pub workload: Workload,
    /// Exponent of the workload `zipf`.
    #[arg(long, default_value_t = 0.99)]
    pub zipf_exponent: f64,
    /// Accounts to open for the run.
    #[arg(long, default_value_t = 10_000)]
    pub accounts: u64,
    /// `batch` or `unary`: only calls carry deadlines.
    #[arg(long, value_enum, default_value_t = Mode::Batch)]
    pub mode: Mode,
    /// Transfers in a request. Default 100; 1 with --mode unary.
    #[arg(long)]
    pub batch: Option<usize>,
    /// Connections. With --insistent, unless --outstanding is given, more are opened for the offers where requests would
    /// wait in the client for a place on theirs (256 at a time, as `serve` allows) while their deadline runs.
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Client threads; connections are spread over them.
    #[arg(long, default_value_t = 1)]
    pub client_threads: usize,
    /// Requests in flight on each connection while the peak is measured: enough that no core waits.
    /// Default 16.
    #[arg(long)]
    pub peak_in_flight: Option<usize>,
    /// Seconds of closed loop that the peak is measured over. Default: as long as each offer and at most 30, since a
    /// machine does not do for long what it does for some seconds. It is measured once more behind the offers, for
    /// a third of that.
    #[arg(long)]
    pub peak_duration: Option<f64>,
    /// Seconds of load before them.
    #[arg(long, default_value_t = 3.0)]
    pub warmup: f64,
    /// What is offered one after another, in multiples of the peak.
    #[arg(long, value_delimiter = ',', default_values_t = [2.0, 5.0, 10.0])]
    pub offer: Vec<f64>,
    /// And after that, below the peak.
    #[arg(long, default_value_t = 0.8)]
    pub then: f64,
    /// Seconds of each.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub duration: u32,
    /// How long an answer may take from its sending, milliseconds; the server is told.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub deadline_ms: u32,
    /// Requests on their way on each connection at most; what is due beyond is not sent.
    /// Default: what the peak answers within the deadline: more could not be answered by any
    /// server.
    #[arg(long)]
    pub outstanding: Option<usize>,
    /// Ask on however much is refused, as clients do that know nothing of it. Without it they hold back, as the Rust client
    /// does: once calls are refused, no more are on their way than the server answers.
    #[arg(long)]
    pub insistent: bool,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Use a running server, such as http://127.0.0.1:7117.
    #[arg(long, value_name = "URL", conflicts_with_all = ["ducat", "serve_arguments", "durability", "profile", "encrypt"])]
    pub server: Option<String>,
    /// Its process id on this machine, for memory figures.
    #[arg(long, requires = "server")]
    pub server_pid: Option<u32>,
    /// How to start our own.
    #[command(flatten)]
    pub own: ServerArgs,
}

impl OverloadArgs {
    /// The closed loop that the peak is measured by.
    pub fn peak(&self) -> anyhow::Result<RunArgs> {
        ensure!(
            matches!(self.mode, Mode::Unary | Mode::Batch),
            "overload works with --mode batch or unary: only calls carry deadlines"
        );
        ensure!(
            !matches!(self.workload, Workload::Mixed | Workload::Holds | Workload::Csv),
            "overload works with drawn transfers, not with the workload {}",
            self.workload.name()
        );
        ensure!(self.outstanding != Some(0), "--outstanding must be at least 1");
        let sane = |multiple: &f64| *multiple > 0.0 && *multiple <= 1000.0;
        ensure!(
            !self.offer.is_empty() && self.offer.iter().chain([&self.then]).all(sane),
            "--offer and --then must be above 0 and at most 1000"
        );
        let Command::Run(defaults) = Cli::try_parse_from(["ducat-bench", "run"])?.command else {
            bail!("`run` has no defaults");
        };
        let unary = self.mode == Mode::Unary;
        let mut own = self.own.clone();
        let given =
            |flag: &str| self.own.serve_arguments.iter().any(|given| given.starts_with(flag));
        if !given(REMEMBERED_IDS[0]) {
            own.serve_arguments.extend(REMEMBERED_IDS.map(str::to_owned));
        }
        for [flag, value] in NO_UPKEEP.into_iter().filter(|[flag, _]| !given(flag)) {
            own.serve_arguments.extend([flag, value].map(str::to_owned));
        }
        if self.server.is_none() && !given(AHEAD) {
            own.serve_arguments.extend([AHEAD.to_owned(), self.ahead_mib().to_string()]);
        }
        let arguments = RunArgs {
            workload: self.workload,
            zipf_exponent: self.zipf_exponent,
            accounts: self.accounts,
            mode: self.mode,
            batch: Some(self.batch.unwrap_or(if unary { 1 } else { 100 })),
            connections: self.connections,
            client_threads: self.client_threads,
            in_flight: Some(self.peak_in_flight.unwrap_or(PEAK_IN_FLIGHT)),
            duration: self.peak_seconds(),
            warmup: self.warmup,
            server: self.server.clone(),
            server_pid: self.server_pid,
            own,
            ..*defaults
        };
        arguments.validate()?;
        Ok(arguments)
    }
}

impl OverloadArgs {
    /// Enough for so many requests on their way: what waits in the client is beyond any server's help.
    fn open_connections(&self, on_their_way: f64) -> usize {
        let enough = (on_their_way / PLACES).ceil() as usize;
        // Who holds back has less on its way than there are places for.
        let given = self.outstanding.is_some() || !self.insistent;
        if given { self.connections } else { self.connections.max(enough) }
    }

    fn peak_seconds(&self) -> f64 {
        self.peak_duration.unwrap_or_else(|| f64::from(self.duration).min(PEAK_SECONDS_MAX))
    }

    /// What the server takes ahead, in MiB: never more than half of what the machine has left.
    fn ahead_mib(&self) -> u64 {
        let steps = f64::from(self.duration) * (self.offer.len() + 1) as f64;
        let seconds = 2.0 * self.warmup + self.peak_seconds() * (1.0 + PEAK_AFTER) + steps;
        let wanted = (seconds * TRANSFERS_PER_S * ID_BYTES) as u64;
        wanted.min(procfs::memory_available() / 2) >> 20
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverloadReport {
    /// What measured it.
    pub harness: Harness,
    /// Where.
    pub machine: Machine,
    /// The closed loop that the peak comes from.
    pub setup: Setup,
    /// The ledger.
    pub server: Server,
    /// Transfers answered a second by the closed loop.
    pub peak_per_s: f64,
    /// The same behind the steps, when the ledger remembers all their ids and the machine may have changed.
    #[serde(default)]
    pub peak_after_per_s: Option<f64>,
    /// How long an answer might take, milliseconds.
    pub deadline_ms: u32,
    /// Requests on their way at most.
    pub outstanding_max: usize,
    /// Whether clients asked on however much was refused.
    #[serde(default = "insisted")]
    pub insistent: bool,
    /// What our own server was told to take ahead of its start, MiB.
    #[serde(default)]
    pub memory_ahead_mib: Option<u64>,
    /// Each rate that was offered, in order.
    pub steps: Vec<OverloadStep>,
    /// Seconds from the beginning of the last step until the end of the first whole second of
    /// whose transfers 99% were answered; absent when there was none.
    pub recovered_after_s: Option<u32>,
    /// Whether the ledger agrees.
    pub checks: Vec<Check>,
    /// What a reader must know before believing a figure.
    pub warnings: Vec<String>,
    /// All steps second by second.
    pub seconds: Vec<OverloadSecond>,
}

/// Clients of older reports knew no other way.
const fn insisted() -> bool {
    true
}

/// One offered rate. Counts are transfers, by the moment they were due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverloadStep {
    /// In multiples of the peak.
    pub multiple: f64,
    /// For how long, seconds.
    pub seconds: u32,
    /// Due.
    pub offered: u64,
    /// Answered with an outcome within the deadline.
    pub answered: u64,
    /// Not sent: as many requests as may be, or as the server answers, were on their way.
    pub not_sent: u64,
    /// Refused or failed, by class.
    pub failed: BTreeMap<String, u64>,
    /// Answered a second.
    pub goodput_per_s: f64,
    /// The same as a share of the peak.
    pub goodput_of_peak: f64,
    /// Median latency of what was answered, from the moment it was due, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// The server's most resident memory during the step, bytes.
    pub server_memory_bytes_max: Option<u64>,
}

/// One second. Counts are transfers, by the moment they were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverloadSecond {
    /// Due.
    pub offered: u64,
    /// Answered.
    pub answered: u64,
    /// Not sent.
    pub not_sent: u64,
}

/// Measures, prints, and says whether every check held.
pub async fn overload(arguments: &OverloadArgs) -> anyhow::Result<bool> {
    let report = measure(arguments).await?;
    overload_table::print(&report);
    if let Some(path) = &arguments.json {
        write_json(&report, path)?;
    }
    Ok(report.checks.iter().all(|check| check.held != Some(false)))
}

/// Measures without printing a report.
pub async fn measure(arguments: &OverloadArgs) -> anyhow::Result<OverloadReport> {
    let peak_arguments = arguments.peak()?;
    let mut session = Session::open(&peak_arguments).await?;
    let peak_phase = |share: f64| Phase {
        load: Load::Closed,
        warmup: Duration::from_secs_f64(arguments.warmup),
        duration: Duration::from_secs_f64(arguments.peak_seconds() * share),
        manner: Manner::default(),
        what: "measuring the peak",
    };
    let peak = session.load(&peak_arguments, peak_phase(1.0)).await?;
    let peak_per_s = peak.tally.answered() as f64 / peak.counted_s;
    ensure!(peak_per_s > 0.0, "no transfer was answered while the peak was measured");
    eprintln!("peak: {} transfers/s", count(peak_per_s as u64));

    let multiples: Vec<f64> = arguments.offer.iter().copied().chain([arguments.then]).collect();
    let step = Duration::from_secs(u64::from(arguments.duration));
    let rate = |multiple: &f64| Step {
        length: step,
        requests_per_s: peak_arguments.requests_per_s(peak_per_s * multiple),
    };
    let steps: Vec<Step> = multiples.iter().map(rate).collect();
    let deadline = Duration::from_millis(u64::from(arguments.deadline_ms));
    let phase = Phase {
        duration: step * steps.len() as u32,
        load: Load::Open { schedule: Schedule { steps }, shed: true, patience: PATIENCE },
        warmup: Duration::ZERO,
        manner: Manner { deadline: Some(deadline), holds_back: !arguments.insistent },
        what: "offering",
    };
    let in_deadline = peak_arguments.requests_per_s(peak_per_s) * deadline.as_secs_f64();
    let connections = arguments.open_connections(in_deadline);
    let share = (in_deadline / connections as f64).ceil() as usize;
    let most = if arguments.insistent { OUTSTANDING_MAX } else { PLACES as usize };
    let outstanding = arguments.outstanding.unwrap_or(share.clamp(16, most));
    let open = RunArgs { connections, in_flight: Some(outstanding), ..peak_arguments.clone() };
    let (running, begun) = session.begin(&open, &phase).await?;
    let memory = watch(&session, &running, &multiples, step).await;
    let measured = session.end(running, begun, phase.duration).await?;
    let after = session.load(&peak_arguments, peak_phase(PEAK_AFTER)).await?;
    let peak_after_per_s = Some(after.tally.answered() as f64 / after.counted_s);
    let (server, checks) = session.examine().await?;
    let peak_report = run::report(&peak_arguments, &session, &peak)?;
    let seconds = seconds(&measured.tally, open.batch())?;
    let mut report = OverloadReport {
        harness: session.harness.clone(),
        machine: session.machine.clone(),
        setup: peak_report.setup,
        server,
        peak_per_s,
        peak_after_per_s,
        deadline_ms: arguments.deadline_ms,
        outstanding_max: outstanding * connections,
        insistent: arguments.insistent,
        memory_ahead_mib: ahead_of(&peak_arguments.own.serve_arguments),
        steps: steps_of(&measured.tally, &seconds, &multiples, &memory, peak_per_s, step)?,
        recovered_after_s: recovered(&seconds, (multiples.len() - 1) * step.as_secs() as usize),
        checks,
        warnings: peak_report.warnings,
        seconds,
    };
    report.checks.extend(session.stop().await?);
    if arguments.own.durability == Durability::None {
        eprintln!("**** DURABILITY NONE: nothing this server answered survives a crash ****");
    }
    Ok(report)
}

/// What these arguments of `serve` have it take ahead.
fn ahead_of(arguments: &[String]) -> Option<u64> {
    let at = arguments.iter().position(|argument| argument.starts_with(AHEAD))?;
    let value = match arguments[at].split_once('=') {
        Some((_, value)) => value,
        None => arguments.get(at + 1)?,
    };
    value.parse().ok()
}

/// Shows progress until the end; gives the server's most memory during each step.
async fn watch(
    session: &Session,
    running: &Running,
    multiples: &[f64],
    step: Duration,
) -> Vec<Option<u64>> {
    let bar = crate::ledger::progress_bar("offering", 0);
    bar.unset_length();
    bar.set_style(indicatif::ProgressStyle::default_spinner());
    let mut memory = vec![None; multiples.len()];
    let (mut last, mut at) = (running.answered(), Instant::now());
    while Instant::now() < running.window.to && !running.is_finished() {
        tokio::time::sleep(PROGRESS).await;
        let index = (running.window.from.elapsed().as_secs_f64() / step.as_secs_f64()) as usize;
        let Some(most) = memory.get_mut(index) else { break };
        let usage: Usage = session.backend.usage();
        *most = (*most).max(usage.resident_bytes);
        let answered = running.answered();
        let rate = (answered - last) as f64 / at.elapsed().as_secs_f64().max(1e-9);
        (last, at) = (answered, Instant::now());
        let rate = count(rate as u64);
        bar.set_message(format!("{}x of the peak offered: {rate} answered/s", multiples[index]));
        bar.tick();
    }
    bar.finish_and_clear();
    memory
}

fn seconds(tally: &Tally, batch: usize) -> anyhow::Result<Vec<OverloadSecond>> {
    let second = |(index, offer): (usize, &crate::pace::Offer)| {
        anyhow::Ok(OverloadSecond {
            offered: offer.due * batch as u64,
            answered: tally.series.span(index, index + 1)?.answered,
            not_sent: offer.shed * batch as u64,
        })
    };
    tally.offered.iter().enumerate().map(second).collect()
}

fn steps_of(
    tally: &Tally,
    seconds: &[OverloadSecond],
    multiples: &[f64],
    memory: &[Option<u64>],
    peak_per_s: f64,
    length: Duration,
) -> anyhow::Result<Vec<OverloadStep>> {
    let length_s = length.as_secs() as usize;
    let step = |(index, (multiple, memory)): (usize, (&f64, &Option<u64>))| {
        let (from, to) = (index * length_s, (index + 1) * length_s);
        let span = tally.series.span(from, to)?;
        let sum = |of: fn(&OverloadSecond) -> u64| {
            seconds.iter().take(to).skip(from).map(of).sum::<u64>()
        };
        let goodput_per_s = span.answered as f64 / length_s as f64;
        anyhow::Ok(OverloadStep {
            multiple: *multiple,
            seconds: length_s as u32,
            offered: sum(|s| s.offered),
            answered: span.answered,
            not_sent: sum(|s| s.not_sent),
            failed: span.failed,
            goodput_per_s,
            goodput_of_peak: goodput_per_s / peak_per_s,
            p50_ms: span.p50_ms,
            p99_ms: span.p99_ms,
            server_memory_bytes_max: *memory,
        })
    };
    multiples.iter().zip(memory).enumerate().map(step).collect()
}

/// Whole seconds from second `from` until the first one that is well has passed.
fn recovered(seconds: &[OverloadSecond], from: usize) -> Option<u32> {
    let well =
        |s: &OverloadSecond| s.offered > 0 && s.answered as f64 >= RECOVERED * s.offered as f64;
    let index = seconds.iter().skip(from).position(well)?;
    u32::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_is_the_end_of_the_first_whole_second_that_is_well() {
        let second = |answered| OverloadSecond { offered: 1000, answered, not_sent: 0 };
        let seconds = [second(1000), second(500), second(989), second(990), second(1000)];
        assert_eq!(recovered(&seconds, 1), Some(3));
        assert_eq!(recovered(&seconds, 3), Some(1));
        assert_eq!(recovered(&seconds[..3], 1), None);
        assert_eq!(recovered(&[OverloadSecond::default()], 0), None);
    }

    #[test]
    fn what_carries_no_deadline_is_refused() {
        let arguments = |line: &str| {
            let words = ["ducat-bench", "overload"].into_iter().chain(line.split_whitespace());
            match Cli::try_parse_from(words).expect("parses").command {
                Command::Overload(arguments) => arguments.peak(),
                other => panic!("{other:?}"),
            }
        };
        let peak = arguments("--mode unary").expect("valid");
        assert_eq!((peak.batch(), peak.in_flight(), peak.connections), (1, 16, 32));
        for wrong in ["--mode stream", "--mode in-process", "--offer 0", "--workload mixed"] {
            assert!(arguments(wrong).is_err(), "{wrong}");
        }
    }
}
