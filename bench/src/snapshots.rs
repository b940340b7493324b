//! `ducat-bench snapshots`: what a snapshot that is being taken costs those who wait for
//! transfers. On one ledger, rounds of the same closed loop: some seconds without a snapshot,
//! as many with one after another; the latencies of all rounds are put together and compared.

use crate::check::Check;
use crate::cli::{Cli, Command, RunArgs, ServerArgs};
use crate::driver::Load;
use crate::facts::Machine;
use crate::report::{Harness, Server, Setup, write_json};
use crate::run;
use crate::session::{Phase, Session};
use crate::table::{self, count};
use crate::target_grpc::Manner;
use anyhow::{Context, bail};
use clap::{Args, Parser};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the 99th percentile may be with a snapshot running, in multiples of that without.
const RATIO_MAX: f64 = 2.0;

/// Arguments of `snapshots`.
#[derive(Args, Debug, Clone)]
pub struct SnapshotsArgs {
    /// Accounts to open.
    #[arg(long, default_value_t = 1_000_000)]
    pub accounts: u64,
    /// Transfers in a request.
    #[arg(long, default_value_t = 8192)]
    pub batch: usize,
    /// Connections.
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 4)]
    pub in_flight: usize,
    /// Rounds, each some seconds without and some with snapshots.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Seconds of each half of a round.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,
    /// Seconds of load before each.
    #[arg(long, default_value_t = 2.0)]
    pub warmup: f64,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How to start the server.
    #[command(flatten)]
    pub own: ServerArgs,
}

impl SnapshotsArgs {
    fn load(&self) -> anyhow::Result<RunArgs> {
        let Command::Run(defaults) = Cli::try_parse_from(["ducat-bench", "run"])?.command else {
            bail!("`run` has no defaults");
        };
        // Only those that are asked for.
        let quiet = ["--snapshot-every=off", "--snapshot-journal-mib=0", "--snapshot-keep=1"];
        let mut own = self.own.clone();
        own.serve_arguments.splice(0..0, quiet.map(str::to_owned));
        let arguments = RunArgs {
            accounts: self.accounts,
            batch: Some(self.batch),
            connections: self.connections,
            in_flight: Some(self.in_flight),
            duration: self.duration,
            warmup: self.warmup,
            own,
            ..*defaults
        };
        arguments.validate()?;
        Ok(arguments)
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnapshotsReport {
    /// What measured it.
    pub harness: Harness,
    /// Where.
    pub machine: Machine,
    /// The load.
    pub setup: Setup,
    /// The ledger.
    pub server: Server,
    /// Without a snapshot.
    pub without: Half,
    /// While snapshots were taken.
    pub with: Half,
    /// 99th percentile with, in multiples of that without.
    pub p99_ratio: f64,
    /// The snapshots that were taken.
    pub snapshots: Vec<Taken>,
    /// Whether the ledger agrees.
    pub checks: Vec<Check>,
}

/// All rounds' halves of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Half {
    /// Transfers answered a second.
    pub transfers_per_s: f64,
    /// Latency of a request, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// One snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// Its moment.
    pub lsn: u64,
    /// Accounts in it.
    pub accounts: u64,
    /// Remembered ids in it.
    pub remembered_ids: u64,
    /// The file.
    pub bytes: u64,
    /// From the request to the synced directory, milliseconds.
    pub took_ms: f64,
}

#[derive(Default)]
struct Sum {
    latency: Option<Histogram<u64>>,
    answered: u64,
    seconds: f64,
}

impl Sum {
    fn add(&mut self, latency: &Histogram<u64>, answered: u64, seconds: f64) -> anyhow::Result<()> {
        match &mut self.latency {
            Some(sum) => sum.add(latency)?,
            None => self.latency = Some(latency.clone()),
        }
        (self.answered, self.seconds) = (self.answered + answered, self.seconds + seconds);
        Ok(())
    }

    fn half(&self) -> anyhow::Result<Half> {
        let latency = self.latency.as_ref().context("nothing was measured")?;
        let ms = |ns: u64| ns as f64 / 1e6;
        Ok(Half {
            transfers_per_s: self.answered as f64 / self.seconds,
            p50_ms: ms(latency.value_at_quantile(0.5)),
            p99_ms: ms(latency.value_at_quantile(0.99)),
            max_ms: ms(latency.max()),
        })
    }
}

/// Measures, prints, and says whether every check held, the ratio among them.
pub async fn snapshots(arguments: &SnapshotsArgs) -> anyhow::Result<bool> {
    let report = measure(arguments).await?;
    print(&report);
    if let Some(path) = &arguments.json {
        write_json(&report, path)?;
    }
    Ok(report.checks.iter().all(|check| check.held != Some(false)))
}

/// Measures without printing a report.
pub async fn measure(arguments: &SnapshotsArgs) -> anyhow::Result<SnapshotsReport> {
    let load = arguments.load()?;
    let mut session = Session::open(&load).await?;
    let phase = |what| Phase {
        load: Load::Closed,
        warmup: Duration::from_secs_f64(arguments.warmup),
        duration: Duration::from_secs_f64(arguments.duration),
        manner: Manner::default(),
        what,
    };
    let (mut without, mut with) = (Sum::default(), Sum::default());
    let (mut taken, mut setup) = (Vec::new(), None);
    for _ in 0..arguments.rounds {
        let measured = session.load(&load, phase("without a snapshot")).await?;
        let (latency, answered) = (&measured.tally.latency, measured.tally.answered());
        without.add(latency, answered, measured.counted_s)?;
        setup = Some(run::report(&load, &session, &measured)?.setup);

        let stop = Arc::new(AtomicBool::new(false));
        let phase = phase("taking snapshots");
        let (running, begun) = session.begin(&load, &phase).await?;
        let (ledger, ended) = (session.backend.ledger().clone(), Arc::clone(&stop));
        let taking = tokio::spawn(async move {
            let mut taken = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                taken.push(ledger.create_snapshot().await?);
            }
            anyhow::Ok(taken)
        });
        run::show_progress(phase.what, &running, running.window.to).await;
        stop.store(true, Ordering::Relaxed);
        let measured = session.end(running, begun, phase.duration).await?;
        taken.extend(taking.await.context("take snapshots")??);
        let (latency, answered) = (&measured.tally.latency, measured.tally.answered());
        with.add(latency, answered, measured.counted_s)?;
    }
    let (without, with) = (without.half()?, with.half()?);
    let p99_ratio = with.p99_ms / without.p99_ms;
    let (server, mut checks) = session.examine().await?;
    let (harness, machine) = (session.harness.clone(), session.machine.clone());
    checks.extend(session.stop().await?);
    checks.push(Check {
        name: "p99 while a snapshot is taken is at most twice that without".into(),
        held: Some(p99_ratio <= RATIO_MAX),
        detail: format!("{p99_ratio:.2}"),
    });
    let setup = setup.context("no round was made")?;
    Ok(SnapshotsReport {
        harness,
        machine,
        setup,
        server,
        without,
        with,
        p99_ratio,
        snapshots: taken,
        checks,
    })
}

fn print(report: &SnapshotsReport) {
    table::shout_unless_durable(&report.server.durability);
    for (name, half) in [("without a snapshot", &report.without), ("with one", &report.with)] {
        let rate = count(half.transfers_per_s as u64);
        let Half { p50_ms, p99_ms, max_ms, .. } = half;
        println!(
            "{name:18}  {rate:>11} transfers/s   p50 {p50_ms:7.2} ms   p99 {p99_ms:7.2} ms   max \
             {max_ms:7.2} ms"
        );
    }
    println!("p99 with one: {:.2} x that without", report.p99_ratio);
    for Taken { lsn, accounts, remembered_ids, bytes, took_ms } in &report.snapshots {
        println!(
            "snapshot at LSN {lsn}: {} accounts, {} ids, {:.1} MiB in {took_ms:.0} ms",
            count(*accounts),
            count(*remembered_ids),
            *bytes as f64 / f64::from(1 << 20)
        );
    }
    table::checks(&report.checks, &[]);
}
