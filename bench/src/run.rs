//! `ducat-bench run`: start, prepare, load, examine, report.

use crate::backend::Backend;
use crate::check::{self, Check};
use crate::cli::{Mode, RunArgs};
use crate::driver::{Extent, Plan, Running};
use crate::facts::Machine;
use crate::generator::AccountIds;
use crate::ledger::{Ledger, Status, progress_bar};
use crate::procfs::Usage;
use crate::report::{Costs, Harness, Latency, Report, Results, Server, Setup, write_hgrm};
use crate::table;
use crate::tally::Tally;
use crate::workload::Workload;
use std::time::{Duration, Instant};

/// How often the progress line is drawn.
const PROGRESS: Duration = Duration::from_millis(250);

/// Runs, prints, and says whether every check held.
pub async fn run(arguments: &RunArgs) -> anyhow::Result<bool> {
    arguments.validate()?;
    let harness = Harness::now();
    let backend = Backend::start(arguments).await?;
    let machine = Machine::measure(backend.data_directory())?;
    let accounts = AccountIds::random(arguments.accounts);
    let ledger = backend.ledger();
    ledger.prepare(accounts, arguments.workload, random_id()).await?;
    let before = ledger.status(false).await?;
    let measured = load(arguments, &backend, accounts).await?;
    let after = ledger.status(true).await?;
    let checks = checks(arguments, &backend, accounts, &before, &after, &measured.tally).await?;
    let report = Report {
        setup: setup(arguments, &backend),
        server: Server {
            version: after.version.clone(),
            durability: after.durability.clone(),
            partitions: after.partitions,
        },
        warnings: warnings(&harness, &machine, arguments, &measured.tally),
        harness,
        machine,
        results: Results::of(&measured.tally, arguments.duration),
        latency: Latency::of(&measured.tally.latency),
        costs: measured.costs(arguments.mode),
        checks,
        seconds: measured.tally.seconds.clone(),
    };
    backend.stop().await?;
    table::print(&report);
    if let Some(path) = &arguments.json {
        report.write(path)?;
    }
    if let Some(path) = &arguments.hgrm {
        write_hgrm(&measured.tally.latency, path)?;
    }
    Ok(report.checks.iter().all(|check| check.held != Some(false)))
}

/// A number no other run has: the upper half of transfer ids.
pub fn random_id() -> u64 {
    rand::random::<u64>() | 1
}

/// The figures at one end of the counted time.
#[derive(Clone)]
struct Snapshot {
    server: Usage,
    client: Usage,
    status: Status,
}

impl Snapshot {
    async fn take(backend: &Backend) -> anyhow::Result<Self> {
        let (server, client) = (backend.usage(), Usage::of(std::process::id()));
        Ok(Self { server, client, status: backend.ledger().status(false).await? })
    }
}

/// A run's raw results.
struct Measured {
    tally: Tally,
    begin: Snapshot,
    end: Snapshot,
}

/// Puts the load on and takes the figures at both ends of the counted time.
async fn load(
    arguments: &RunArgs,
    backend: &Backend,
    accounts: AccountIds,
) -> anyhow::Result<Measured> {
    let plan = Plan {
        connector: backend.connector(arguments),
        shape: arguments.shape(),
        accounts,
        run_id: random_id(),
        threads: arguments.client_threads,
        connections: arguments.connections,
        in_flight: arguments.in_flight(),
        rate: arguments.rate,
        extent: Extent::Time {
            warmup: Duration::from_secs_f64(arguments.warmup),
            duration: Duration::from_secs_f64(arguments.duration),
        },
        per_account: arguments.check && backend.is_ours_alone(),
    };
    let running = Running::start(&plan).await?;
    show_progress("warming up", &running, running.window.from).await;
    let begin = Snapshot::take(backend).await?;
    show_progress("measuring", &running, running.window.to).await;
    let end = Snapshot::take(backend).await?;
    Ok(Measured { tally: running.finish().await?, begin, end })
}

/// Shows what is answered until `end`, or until every thread has ended.
pub async fn show_progress(what: &'static str, running: &Running, end: Instant) {
    let bar = progress_bar(what, 0);
    bar.unset_length();
    let (mut last, mut at) = (running.answered(), Instant::now());
    while Instant::now() < end && !running.is_finished() {
        let left = end.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(PROGRESS)).await;
        let answered = running.answered();
        let rate = (answered - last) as f64 / at.elapsed().as_secs_f64().max(1e-9);
        (last, at) = (answered, Instant::now());
        bar.set_style(indicatif::ProgressStyle::default_spinner());
        // A run by number has no end to count down to.
        let left = match left.as_secs() {
            seconds @ 0..86_400 => format!(", {seconds} s left"),
            _ => format!(", {} made", table::count(answered)),
        };
        bar.set_message(format!("{what}: {} transfers/s{left}", table::count(rate as u64)));
        bar.tick();
    }
    bar.finish_and_clear();
}

impl Measured {
    fn costs(&self, mode: Mode) -> Costs {
        let (begin, end) = (&self.begin, &self.end);
        // The ledger's own count between the snapshots, so that both cover the same time.
        let work = |s: &Status| s.posted + s.refused + s.repeats;
        let transfers = work(&end.status).saturating_sub(work(&begin.status)) as f64;
        let each = |amount: f64| (transfers > 0.0).then(|| amount / transfers);
        let cpu = |a: &Usage, b: &Usage| Some(b.cpu_s? - a.cpu_s?);
        let server_cpu_s = cpu(&begin.server, &end.server);
        let written = || Some(end.server.written_bytes? - begin.server.written_bytes?);
        let journal = end.status.journal_bytes.saturating_sub(begin.status.journal_bytes);
        let told = (end.status.memory_bytes > 0).then_some(end.status.memory_bytes);
        Costs {
            server_cpu_s,
            client_cpu_s: (mode != Mode::InProcess)
                .then(|| cpu(&begin.client, &end.client))
                .flatten(),
            server_cpu_us_per_transfer: server_cpu_s.and_then(|s| each(s * 1e6)),
            journal_bytes_per_transfer: each(journal as f64),
            disk_bytes_per_transfer: written().and_then(|bytes| each(bytes as f64)),
            server_memory_bytes: end.server.resident_bytes.or(told),
            server_memory_bytes_max: end.server.resident_bytes_max,
        }
    }
}

async fn checks(
    arguments: &RunArgs,
    backend: &Backend,
    accounts: AccountIds,
    before: &Status,
    after: &Status,
    tally: &Tally,
) -> anyhow::Result<Vec<Check>> {
    let mut checks = vec![check::conservation(after)];
    if backend.is_ours_alone() {
        checks.push(check::counters(before, after, &tally.whole));
    }
    if let Some(gains) = &tally.gains {
        let ledger: &Ledger = backend.ledger();
        let workload: Workload = arguments.workload;
        checks.push(check::balances(ledger, accounts, workload, gains, &tally.whole).await?);
    }
    Ok(checks)
}

fn setup(arguments: &RunArgs, backend: &Backend) -> Setup {
    let codec = match arguments.mode {
        Mode::InProcess => "no".to_owned(),
        Mode::Client => "full".to_owned(),
        _ => format!("{:?}", arguments.codec).to_lowercase(),
    };
    Setup {
        workload: arguments.workload.name().into(),
        zipf_exponent: (arguments.workload == Workload::Zipf).then_some(arguments.zipf_exponent),
        accounts: arguments.accounts,
        batch: arguments.batch(),
        connections: arguments.connections,
        in_flight: arguments.in_flight(),
        client_threads: arguments.client_threads.min(arguments.connections),
        mode: arguments.mode.name().into(),
        codec,
        rate: arguments.rate,
        duration_s: arguments.duration,
        warmup_s: arguments.warmup,
        amount_max: arguments.amount_max,
        linked_share: arguments.linked_share,
        repeat_share: arguments.repeat_share,
        seed: arguments.seed,
        sharing: backend.sharing().into(),
    }
}

/// What a reader must know before believing a figure.
fn warnings(
    harness: &Harness,
    machine: &Machine,
    arguments: &RunArgs,
    tally: &Tally,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if harness.profile != "release" {
        warnings.push("the harness is a debug build; its figures mean nothing".to_owned());
    }
    if machine.disk.as_ref().is_some_and(crate::facts::Disk::is_memory) {
        warnings.push("the data directory is in memory; durable writes cost nothing there".into());
    }
    if tally.whole.unanswered_requests > 0 {
        warnings.push("some requests were never answered; their latency is not counted".into());
    }
    let late_ms = tally.late_ns_max as f64 / 1e6;
    if arguments.rate.is_some() && late_ms > 10.0 {
        warnings.push(format!(
            "the offered rate was not kept: a request was sent {late_ms:.0} ms late (counted in \
             its latency)"
        ));
    }
    if arguments.check && arguments.server.is_some() {
        warnings.push("--check needs a server of our own; balances were not compared".into());
    }
    warnings
}
