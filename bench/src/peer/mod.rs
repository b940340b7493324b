//! `ducat-bench peer postgres`: the same load on PostgreSQL and on Ducat, one after the other on
//! the same machine, and the ratio.
//!
//! ```text
//! measure ─▶ cluster   a PostgreSQL of our own, unless --url names one
//!         ├─▶ books    tables, accounts; afterwards whether they add up
//!         ├─▶ driver   the same generator and loops as everywhere, into target_postgres
//!         └─▶ run      Ducat, by single calls and by batches
//! ```

mod books;
mod cluster;
mod print;

use crate::check::Check;
use crate::cli::{Mode, RunArgs, ServerArgs};
use crate::driver::{Connector, Extent, Load, Plan, Running};
use crate::facts::Machine;
use crate::generator::AccountIds;
use crate::report::{Harness, Latency, Report, Results};
use crate::run::{random_id, show_progress};
use crate::target_postgres::Form;
use crate::workload::Workload;
use anyhow::{Context, ensure};
use books::Books;
pub use books::Setting;
use clap::{Args, Subcommand};
use cluster::{CONNECTIONS_MAX, Cluster};
use ducat_actors::handle::BATCH_MAX;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::Config;

/// The database Ducat is held against.
#[derive(Subcommand, Debug)]
pub enum Peer {
    /// PostgreSQL: accounts and transfers as tables, one transaction a transfer and one a batch.
    ///
    /// Without --url it makes and starts a cluster of its own in a temporary directory (the
    /// server's binaries come with .ci/install-postgres). Then the same load goes to Ducat.
    /// Exit code 0: done; 1: could not run; 2: wrong arguments; 3: a check failed.
    Postgres(Box<PostgresArgs>),
}

/// Arguments of `peer postgres`.
#[derive(Args, Debug, Clone)]
pub struct PostgresArgs {
    /// Who pays whom; see `ducat-bench list`.
    #[arg(long, value_enum, default_value_t = Workload::Uniform)]
    pub workload: Workload,
    /// Exponent of the workload `zipf`.
    #[arg(long, default_value_t = 0.99)]
    pub zipf_exponent: f64,
    /// Accounts to open.
    #[arg(long, default_value_t = 10_000)]
    pub accounts: u64,
    /// Transfers in a batch, of both.
    #[arg(long, default_value_t = 8192)]
    pub batch: usize,
    /// PostgreSQL's connections with one transaction a transfer; Ducat gets as many single
    /// calls in flight.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// PostgreSQL's connections with batches; Ducat gets as many in flight, 4 at least.
    #[arg(long, default_value_t = 2)]
    pub batch_connections: usize,
    /// Seconds that count, of each of the four runs.
    #[arg(long, default_value_t = 15.0)]
    pub duration: f64,
    /// Seconds of load before them.
    #[arg(long, default_value_t = 3.0)]
    pub warmup: f64,
    /// Amounts are 1 to this many minor units.
    #[arg(long, default_value_t = 1000)]
    pub amount_max: u64,
    /// The same seed sends the same sequence.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A running PostgreSQL, such as postgres://user:password@127.0.0.1/database (no TLS). A
    /// schema of our own is made in it and removed again.
    #[arg(long, value_name = "URL", conflicts_with = "postgres_bin")]
    pub url: Option<String>,
    /// The directory with `initdb` and `postgres`. Default: the path, then Debian's places.
    #[arg(long, value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How to start Ducat; --data-parent holds PostgreSQL's cluster too.
    #[command(flatten)]
    pub own: ServerArgs,
}

impl PostgresArgs {
    /// Refuses what cannot be run, before anything is started.
    pub fn validate(&self) -> anyhow::Result<()> {
        let connections = 1..=CONNECTIONS_MAX - 10;
        for (name, count) in
            [("connections", self.connections), ("batch-connections", self.batch_connections)]
        {
            ensure!(connections.contains(&count), "--{name} must be 1 to {}", connections.end());
        }
        ensure!((1..=BATCH_MAX).contains(&self.batch), "--batch must be 1 to {BATCH_MAX}");
        ensure!(
            self.own.durability == crate::child::Durability::PowerLoss,
            "--durability none against PostgreSQL's durable commits would be no comparison"
        );
        if let Some(url) = &self.url {
            url.parse::<Config>().context("--url is no address of a PostgreSQL server")?;
        }
        ensure!(
            !matches!(self.workload, Workload::Mixed | Workload::Holds | Workload::Csv),
            "--workload {} is not there as SQL",
            self.workload.name()
        );
        self.ducat(Form::Single)?.validate()?;
        self.ducat(Form::Batched)?.validate()
    }

    /// The same load for Ducat.
    fn ducat(&self, form: Form) -> anyhow::Result<RunArgs> {
        let mut run = RunArgs::parse_line("")?;
        run.workload = self.workload;
        run.zipf_exponent = self.zipf_exponent;
        run.accounts = self.accounts;
        run.duration = self.duration;
        run.warmup = self.warmup;
        run.amount_max = self.amount_max;
        run.seed = self.seed;
        run.own = self.own.clone();
        match form {
            Form::Single => {
                run.mode = Mode::Unary;
                run.in_flight = Some(self.connections);
            }
            Form::Batched => {
                run.mode = Mode::Batch;
                run.batch = Some(self.batch);
                run.in_flight = Some(self.batch_connections.max(4));
            }
        }
        Ok(run)
    }

    fn connections(&self, form: Form) -> usize {
        match form {
            Form::Single => self.connections,
            Form::Batched => self.batch_connections,
        }
    }
}

/// Both databases' figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What measured it.
    pub harness: Harness,
    /// Where.
    pub machine: Machine,
    /// The peer's settings, as it says them.
    pub settings: Vec<Setting>,
    /// Whether we started it ourselves.
    pub own_cluster: bool,
    /// The workload.
    pub workload: String,
    /// Accounts.
    pub accounts: u64,
    /// Counted seconds of each run.
    pub duration_s: f64,
    /// PostgreSQL, one transaction a transfer.
    pub postgres_single: Leg,
    /// PostgreSQL, one transaction a batch.
    pub postgres_batched: Leg,
    /// Ducat, single calls.
    pub ducat_single: Leg,
    /// Ducat, batches.
    pub ducat_batched: Leg,
}

/// One of the four runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// Transfers in a request.
    pub batch: usize,
    /// Requests in flight over all connections.
    pub in_flight: usize,
    /// How much was done.
    pub results: Results,
    /// How long each request took.
    pub latency: Latency,
    /// Whether the books agree.
    pub checks: Vec<Check>,
}

impl Leg {
    fn of(report: Report) -> Self {
        Self {
            batch: report.setup.batch,
            in_flight: report.setup.connections * report.setup.in_flight,
            results: report.results,
            latency: report.latency,
            checks: report.checks,
        }
    }
}

impl Comparison {
    /// The four runs by name.
    pub fn legs(&self) -> [(&'static str, &Leg); 4] {
        [
            ("PostgreSQL, single", &self.postgres_single),
            ("PostgreSQL, batched", &self.postgres_batched),
            ("Ducat, single", &self.ducat_single),
            ("Ducat, batched", &self.ducat_batched),
        ]
    }

    /// How many times the peer Ducat is, by what is compared with what. Posted transfers count.
    pub fn ratios(&self) -> [(&'static str, f64); 3] {
        let ratio = |ours: &Leg, theirs: &Leg| {
            let theirs = theirs.results.posted_per_s;
            if theirs > 0.0 { ours.results.posted_per_s / theirs } else { 0.0 }
        };
        [
            ("single / single", ratio(&self.ducat_single, &self.postgres_single)),
            ("batched / batched", ratio(&self.ducat_batched, &self.postgres_batched)),
            ("batched / single", ratio(&self.ducat_batched, &self.postgres_single)),
        ]
    }

    /// Whether no check was broken.
    pub fn held(&self) -> bool {
        let mut checks = self.legs().into_iter().flat_map(|(_, leg)| &leg.checks);
        checks.all(|check| check.held != Some(false))
    }
}

/// Measures both, prints, and says whether every check held.
pub async fn compare(peer: &Peer) -> anyhow::Result<bool> {
    let Peer::Postgres(arguments) = peer;
    let comparison = measure(arguments).await?;
    print::print(&comparison);
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&comparison)? + "\n")
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(comparison.held())
}

/// Why PostgreSQL cannot be measured here, if it cannot.
pub fn missing(postgres_bin: Option<&Path>) -> Option<String> {
    cluster::find(postgres_bin).err().map(|e| e.to_string())
}

/// Measures both without printing the figures or writing files.
pub async fn measure(arguments: &PostgresArgs) -> anyhow::Result<Comparison> {
    arguments.validate()?;
    let harness = Harness::now();
    let (cluster, config) = match &arguments.url {
        Some(url) => (None, url.parse()?),
        None => {
            let parent = arguments.own.data_parent.as_deref();
            let cluster = Cluster::start(parent, arguments.postgres_bin.as_deref()).await?;
            let config = cluster.config.clone();
            (Some(cluster), config)
        }
    };
    let machine = Machine::measure(cluster.as_ref().map(Cluster::data_directory))?;
    let settings = Books::open(&config).await?.settings().await?;
    let postgres_single = postgres(arguments, &config, Form::Single).await?;
    let postgres_batched = postgres(arguments, &config, Form::Batched).await?;
    let own_cluster = cluster.is_some();
    // Before Ducat begins: it is to have the machine for itself, as PostgreSQL had.
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    Ok(Comparison {
        harness,
        machine,
        settings,
        own_cluster,
        workload: arguments.workload.name().into(),
        accounts: arguments.accounts,
        duration_s: arguments.duration,
        postgres_single,
        postgres_batched,
        ducat_single: Leg::of(crate::run::measure(&arguments.ducat(Form::Single)?).await?),
        ducat_batched: Leg::of(crate::run::measure(&arguments.ducat(Form::Batched)?).await?),
    })
}

/// One run on PostgreSQL, in tables of its own.
async fn postgres(arguments: &PostgresArgs, server: &Config, form: Form) -> anyhow::Result<Leg> {
    let books = Books::open(server).await?;
    let made = load(arguments, &books, form).await;
    // Also after an error: the server may not be ours.
    let removed = books.remove().await;
    let leg = made?;
    removed?;
    Ok(leg)
}

async fn load(arguments: &PostgresArgs, books: &Books, form: Form) -> anyhow::Result<Leg> {
    let accounts = AccountIds::random(arguments.accounts);
    books.make(accounts, arguments.workload, random_id()).await?;
    let shape = arguments.ducat(form)?.shape();
    let connections = arguments.connections(form);
    let plan = Plan {
        connector: Connector::Postgres { config: Box::new(books.config.clone()), form },
        shape,
        accounts,
        run_id: random_id(),
        threads: 1,
        connections,
        // A connection executes one transaction at a time.
        in_flight: 1,
        replay: None,
        load: Load::Closed,
        extent: Extent::Time {
            warmup: Duration::from_secs_f64(arguments.warmup),
            duration: Duration::from_secs_f64(arguments.duration),
        },
        per_account: false,
        reads_per_s: 0.0,
    };
    let running = Running::start(&plan).await?;
    let what = match form {
        Form::Single => "PostgreSQL, a transaction a transfer",
        Form::Batched => "PostgreSQL, a transaction a batch",
    };
    show_progress(what, &running, running.window.to).await;
    let tally = running.finish().await?;
    Ok(Leg {
        batch: shape.batch,
        in_flight: connections,
        results: Results::of(&tally, arguments.duration),
        latency: Latency::of(&tally.latency),
        checks: books.checks(accounts, &tally.whole).await?,
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
