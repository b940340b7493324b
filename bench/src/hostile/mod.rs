//! `ducat-bench hostile`: what its clients wait while others attack the port. A steady open loop
//! of single transfers and of batches runs alone, then beside an attack, for each attack in turn; latency counts from
//! the intended moment of sending.
//!
//! ```text
//! session ─▶ load alone ─▶ load beside attack ─▶ does it live? ─▶ the next attack … ─▶ checks
//!              attack ▸ raw, streams ▸ door      newcomers: who connects only now
//! ```
//!
//! Attackers are threads of this process with the lowest priority and come from an address of
//! their own; in production they are a principal of their own, with a certificate and a token.

mod attack;
mod bodies;
mod door;
mod frames;
mod newcomers;
mod raw;
mod report;
mod streams;
mod table;

pub use report::HostileReport;

use crate::cli::{Cli, Command, Mode, RunArgs, ServerArgs, ShownArgs};
use crate::driver::{Load, Running};
use crate::pace::{Schedule, Step};
use crate::procfs::Usage;
use crate::report::{Harness, write_json};
use crate::run::{self, show_progress};
use crate::session::{Phase, Session};
use crate::target_grpc::Manner;
use anyhow::{Context, bail, ensure};
use attack::{Attack, Attackers, Spent};
use clap::{Args, Parser, ValueEnum as _};
use door::Door;
use newcomers::{Newcomers, is_answered};
use report::{HostileRow, Sum, checks};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long after the end what was due is still sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a server may take after an attack until it answers somebody new.
const ALIVE_WITHIN: Duration = Duration::from_secs(30);

/// Ids that our own server remembers at most: enough for any run.
const REMEMBERED_IDS: &str = "--remembered-ids-max=1000000000";

/// Arguments of `hostile`.
#[derive(Args, Debug, Clone)]
pub struct HostileArgs {
    /// Which attack; repeatable. Default: all, one after the other.
    #[arg(long, value_enum)]
    pub attack: Vec<Attack>,
    /// Transfers a second that are offered one by one.
    #[arg(long, default_value_t = 2000.0)]
    pub rate: f64,
    /// Transfers a second that are offered in batches, beside them.
    #[arg(long, default_value_t = 2000.0)]
    pub batch_rate: f64,
    /// Transfers in a batch.
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Accounts to open for the run.
    #[arg(long, default_value_t = 10_000)]
    pub accounts: u64,
    /// Seconds alone, and as many beside the attack.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,
    /// Seconds of load (and attack) before each that do not count.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// How often each attack is made; the latencies of all rounds are put together.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Threads of attackers, all of the lowest priority (nice 19).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub attack_threads: u8,
    /// Attempts a second at most, over all threads. Default: as many as they can.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tries_per_s: Option<u32>,
    /// What the server's memory may grow by over the whole run, MiB: the bounds of docs/ARCHITECTURE.md.
    #[arg(long, default_value_t = 1024)]
    pub memory_mib_max: u64,
    /// Fail where a 99th percentile beside an attack is more than twice that alone.
    #[arg(long)]
    pub judge: bool,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Use a running server, such as http://127.0.0.1:7117.
    #[arg(long, value_name = "URL", conflicts_with_all = ["ducat", "serve_arguments", "durability", "profile", "encrypt"])]
    pub server: Option<String>,
    /// What it is shown, by its clients and by who attacks.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Its process id on this machine, for memory figures.
    #[arg(long, requires = "server")]
    pub server_pid: Option<u32>,
    /// How to start our own.
    #[command(flatten)]
    pub own: ServerArgs,
}

impl HostileArgs {
    /// One of the two loads.
    fn load(&self, mode: Mode, batch: usize, rate: f64) -> anyhow::Result<RunArgs> {
        let Command::Run(defaults) = Cli::try_parse_from(["ducat-bench", "run"])?.command else {
            bail!("`run` has no defaults");
        };
        let mut own = ServerArgs { intruded: true, ..self.own.clone() };
        own.serve_arguments.insert(0, REMEMBERED_IDS.to_owned());
        let arguments = RunArgs {
            accounts: self.accounts,
            mode,
            batch: Some(batch),
            rate: Some(rate),
            duration: self.duration,
            warmup: self.warmup,
            check: self.server.is_none(),
            server: self.server.clone(),
            server_pid: self.server_pid,
            shown: self.shown.clone(),
            own,
            ..*defaults
        };
        arguments.validate()?;
        Ok(arguments)
    }

    fn attacks(&self) -> Vec<Attack> {
        if self.attack.is_empty() {
            return Attack::value_variants().to_vec();
        }
        self.attack.clone()
    }
}

/// The two loads that run beside each other.
struct Loads {
    single: RunArgs,
    batched: RunArgs,
    warmup: Duration,
    duration: Duration,
}

impl Loads {
    fn new(arguments: &HostileArgs) -> anyhow::Result<Self> {
        ensure!(arguments.warmup >= 0.0, "--warmup must not be negative");
        Ok(Self {
            single: arguments.load(Mode::Unary, 1, arguments.rate)?,
            batched: arguments.load(Mode::Batch, arguments.batch, arguments.batch_rate)?,
            warmup: Duration::from_secs_f64(arguments.warmup),
            duration: Duration::from_secs_f64(arguments.duration),
        })
    }

    fn phase(&self, load: &RunArgs, what: &'static str) -> Phase {
        let requests_per_s = load.requests_per_s(load.rate.unwrap_or(1.0));
        let length = self.warmup + self.duration;
        let schedule = Schedule { steps: vec![Step { length, requests_per_s }] };
        Phase {
            load: Load::Open { schedule, shed: false, patience: PATIENCE },
            warmup: self.warmup,
            duration: self.duration,
            manner: Manner::default(),
            what,
        }
    }

    /// Puts both on and counts what came of them into `sum`.
    async fn measure(
        &self,
        session: &mut Session,
        what: &'static str,
        sum: &mut Sum,
    ) -> anyhow::Result<()> {
        let phases = (self.phase(&self.single, what), self.phase(&self.batched, what));
        let begun = Usage::of(session.backend.pid().unwrap_or(u32::MAX));
        let from = Instant::now();
        let (single, batched): (Running, Running) = tokio::try_join!(
            session.start(&self.single, &phases.0),
            session.start(&self.batched, &phases.1)
        )?;
        show_progress(what, &single, single.window.to.max(batched.window.to)).await;
        let single = session.finish(single).await?;
        let batched = session.finish(batched).await?;
        let ended = Usage::of(session.backend.pid().unwrap_or(u32::MAX));
        let cpu_s = ended.cpu_s.zip(begun.cpu_s).map(|(end, begin)| end - begin);
        sum.add(&single, &batched, cpu_s, from.elapsed().as_secs_f64())
    }
}

/// Measures, prints, and says whether every check held.
pub async fn hostile(arguments: &HostileArgs) -> anyhow::Result<bool> {
    let report = measure(arguments).await?;
    table::print(&report);
    if let Some(path) = &arguments.json {
        write_json(&report, path)?;
    }
    Ok(report.held())
}

/// Measures without printing a report.
pub async fn measure(arguments: &HostileArgs) -> anyhow::Result<HostileReport> {
    let loads = Loads::new(arguments)?;
    let mut session = Session::open(&loads.single).await?;
    let addresses = session.backend.addresses().context("attacks need a server")?;
    let door = Door::new(addresses.1)?;
    let memory = session.backend.usage().resident_bytes;
    let (mut rows, mut alive) = (Vec::new(), true);
    for attack in arguments.attacks() {
        let row = one_attack(arguments, &loads, &mut session, &door, attack).await?;
        alive = row.alive;
        rows.push(row);
        if !alive {
            break;
        }
    }
    let mut checks = checks(arguments, &rows, memory);
    let harness = Harness::now();
    let machine = session.machine.clone();
    let setup = run::setup(&loads.single, &session, arguments.duration);
    let mut server = Default::default();
    if alive {
        // What was fuzzed may have been decided: its counters say nothing of this run alone.
        let (ledger, examined) = session.examine_beside(true).await?;
        server = ledger;
        checks.extend(examined);
        checks.extend(session.stop().await?);
    }
    Ok(HostileReport {
        warnings: report::warnings(&harness, &machine),
        harness,
        machine,
        setup,
        server,
        batch: arguments.batch,
        batch_rate: arguments.batch_rate,
        rounds: arguments.rounds,
        attack_threads: arguments.attack_threads,
        tries_per_s_max: arguments.tries_per_s,
        memory_bytes_at_first: memory,
        rows,
        checks,
    })
}

/// All rounds of one attack.
async fn one_attack(
    arguments: &HostileArgs,
    loads: &Loads,
    session: &mut Session,
    door: &Door,
    attack: Attack,
) -> anyhow::Result<HostileRow> {
    let (mut alone, mut beside, mut spent) = (Sum::default(), Sum::default(), None::<Spent>);
    let mut newcomers = newcomers::Seen::default();
    let before = session.backend.usage().resident_bytes;
    let mut alive = true;
    for _ in 0..arguments.rounds {
        eprintln!("{}: alone, then attacked", attack.name());
        loads.measure(session, "alone", &mut alone).await?;
        let threads = usize::from(arguments.attack_threads);
        let to = session.backend.addresses().context("attacks need a server")?.0.clone();
        let watching = Newcomers::start(to.clone(), session.backend.pid());
        let attackers = Attackers::start(door, attack, threads, arguments.tries_per_s)?;
        loads.measure(session, "attacked", &mut beside).await?;
        let once = attackers.stop().await?;
        spent = Some(spent.map_or(once, |before| before.and(once)));
        newcomers.add(&watching.stop().await);
        alive = is_answered(&to, ALIVE_WITHIN).await;
        if !alive {
            break;
        }
    }
    let spent = spent.context("no round was made")?;
    HostileRow::of(attack.name(), [&alone, &beside], spent, newcomers, before, alive)
}
