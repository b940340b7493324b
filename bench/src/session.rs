//! A ledger prepared for loads, and what the loads did to it: start, open accounts, put on
//! one load after another, examine, stop. `run`, its search for a rate and `overload` share it.

use crate::backend::Backend;
use crate::check::{self, Check};
use crate::child::Durability;
use crate::cli::RunArgs;
use crate::csv_data::{Dataset, Replay};
use crate::driver::{Extent, Load, Plan, Running};
use crate::facts::Machine;
use crate::generator::AccountIds;
use crate::history::{self, Answers};
use crate::ledger::Status;
use crate::population::Population;
use crate::procfs::Usage;
use crate::report::{Costs, Harness, Server};
use crate::run::{random_id, show_progress};
use crate::second_books;
use crate::tally::{Tally, Whole};
use crate::target_grpc::Manner;
use anyhow::Context;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A prepared ledger.
pub struct Session {
    /// What is measured.
    pub backend: Backend,
    /// Where.
    pub machine: Machine,
    /// By what.
    pub harness: Harness,
    /// The rows to replay, and where a replay has come to.
    pub data: Option<Arc<Dataset>>,
    replay: Option<Arc<Replay>>,
    population: Population,
    accounts: AccountIds,
    before: Status,
    /// Over all loads.
    whole: Whole,
    gains: Option<Vec<i64>>,
    answers: Option<Answers>,
    durable: bool,
}

/// How long one load lasts and what decides when it sends.
pub struct Phase {
    /// Closed or open.
    pub load: Load,
    /// Before anything is counted.
    pub warmup: Duration,
    /// While everything is counted, at most.
    pub duration: Duration,
    /// How calls are made.
    pub manner: Manner,
    /// What the progress line says.
    pub what: &'static str,
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

/// One load's raw results.
pub struct Measured {
    /// What was counted.
    pub tally: Tally,
    /// Seconds that were counted: fewer than asked for where a file ended.
    pub counted_s: f64,
    begin: Snapshot,
    end: Snapshot,
}

impl Session {
    /// Starts or connects to what is to be measured and opens the accounts.
    pub async fn open(arguments: &RunArgs) -> anyhow::Result<Self> {
        arguments.validate()?;
        let harness = Harness::now();
        let data = arguments.csv_files().map(|files| Dataset::read(&files)).transpose()?;
        let data = data.map(Arc::new);
        let backend = Backend::start(arguments).await?;
        let machine = Machine::measure(backend.data_directory())?;
        let population = match &data {
            Some(data) => Population::File(Arc::clone(data)),
            None => Population::Drawn(arguments.workload, arguments.accounts),
        };
        let accounts = AccountIds::random(population.count());
        backend.ledger().prepare(accounts, &population, random_id()).await?;
        let before = backend.ledger().status(false).await?;
        let replay = data.clone().map(|data| Arc::new(Replay::new(data, arguments.csv_repeat)));
        let gains = (arguments.check && backend.is_ours_alone())
            .then(|| vec![0; population.count() as usize]);
        Ok(Self {
            backend,
            machine,
            harness,
            data,
            replay,
            population,
            accounts,
            before,
            whole: Whole::default(),
            answers: gains.is_some().then(Answers::default),
            gains,
            durable: arguments.own.durability == Durability::PowerLoss,
        })
    }

    /// Puts one load on and takes the figures at both ends of the counted time.
    pub async fn load(&mut self, arguments: &RunArgs, phase: Phase) -> anyhow::Result<Measured> {
        let (running, begin) = self.begin(arguments, &phase).await?;
        show_progress(phase.what, &running, running.window.to).await;
        self.end(running, begin, phase.duration).await
    }

    /// Puts one load on and waits until its warm-up is over.
    pub async fn begin(
        &self,
        arguments: &RunArgs,
        phase: &Phase,
    ) -> anyhow::Result<(Running, Begun)> {
        let running = self.start(arguments, phase).await?;
        let begun = Begun(Snapshot::take(&self.backend).await?);
        Ok((running, begun))
    }

    /// The same without asking the ledger for anything.
    pub async fn start(&self, arguments: &RunArgs, phase: &Phase) -> anyhow::Result<Running> {
        let (warmup, duration) = (phase.warmup, phase.duration);
        let plan = Plan {
            connector: self.backend.connector(arguments, phase.manner),
            shape: arguments.shape(),
            replay: self.replay.clone(),
            accounts: self.accounts,
            run_id: random_id(),
            threads: arguments.client_threads,
            connections: arguments.connections,
            in_flight: arguments.in_flight(),
            load: phase.load.clone(),
            extent: Extent::Time { warmup, duration },
            per_account: self.gains.is_some(),
            reads_per_s: arguments.reads_per_s.unwrap_or(0.0),
        };
        let running = Running::start(&plan).await?;
        show_progress("warming up", &running, running.window.from).await;
        Ok(running)
    }

    /// Waits for a load's last answers and adds it to what was done to the ledger.
    pub async fn end(
        &mut self,
        running: Running,
        begun: Begun,
        duration: Duration,
    ) -> anyhow::Result<Measured> {
        let ended_early = Instant::now() < running.window.to;
        let window = running.window;
        let end = Snapshot::take(&self.backend).await?;
        let tally = self.finish(running).await?;
        let counted = if ended_early { tally.last - window.from } else { duration };
        let counted_s = counted.as_secs_f64().max(1e-6);
        Ok(Measured { tally, counted_s, begin: begun.0, end })
    }

    /// The same without asking the ledger for anything.
    pub async fn finish(&mut self, running: Running) -> anyhow::Result<Tally> {
        let tally = running.finish().await?;
        self.whole.add(&tally.whole);
        if let (Some(sums), Some(gains)) = (&mut self.gains, &tally.gains) {
            for (sum, gain) in sums.iter_mut().zip(gains) {
                *sum += gain;
            }
        }
        if let (Some(sum), Some(answers)) = (&mut self.answers, &tally.answers) {
            sum.merge(answers);
        }
        Ok(tally)
    }

    /// Asks the ledger what it is and whether it agrees with its answers.
    pub async fn examine(&self) -> anyhow::Result<(Server, Vec<Check>)> {
        self.examine_beside(!self.backend.is_ours_alone()).await
    }

    /// The same; with `others` who write too, its counters say nothing.
    pub async fn examine_beside(&self, others: bool) -> anyhow::Result<(Server, Vec<Check>)> {
        let ledger = self.backend.ledger();
        let after = ledger.status(true).await?;
        let mut checks = vec![check::conservation(&after)];
        if !others {
            checks.push(check::counters(&self.before, &after, &self.whole));
        }
        if let Some(gains) = &self.gains {
            let balances =
                check::balances(ledger, self.accounts, &self.population, gains, &self.whole);
            checks.push(balances.await?);
            if self.population.has_fees() {
                checks.push(crate::fees::check(ledger, self.accounts, &self.whole).await?);
            }
        }
        let server = Server {
            version: after.version,
            durability: after.durability,
            partitions: after.partitions,
        };
        Ok((server, checks))
    }

    /// Stops what was started. With `--check` and a journal on disk, the history is held
    /// against it first.
    pub async fn stop(self) -> anyhow::Result<Vec<Check>> {
        let whole = self.whole;
        let certain = whole.in_doubt == 0 && whole.unanswered_requests == 0;
        let again = self.population.is_added_up_again();
        let Some(directory) = self.backend.stop().await? else { return Ok(Vec::new()) };
        let Some(mut answers) = self.answers.filter(|_| self.durable) else {
            return Ok(Vec::new());
        };
        let checked = tokio::task::spawn_blocking(move || {
            let data = directory.path().join("data");
            let mut checks = history::check(&data, &mut answers, certain)?;
            if again {
                checks.push(second_books::check(&data)?);
            }
            Ok(checks)
        });
        checked.await.context("check the history")?
    }

    /// How many accounts were opened, external ones of files among them.
    pub fn accounts(&self) -> u64 {
        self.population.count()
    }
}

/// The figures at the beginning of the counted time.
pub struct Begun(Snapshot);

impl Measured {
    /// What the counted time took.
    pub fn costs(&self, in_process: bool) -> Costs {
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
            client_cpu_s: (!in_process).then(|| cpu(&begin.client, &end.client)).flatten(),
            server_cpu_us_per_transfer: server_cpu_s.and_then(|s| each(s * 1e6)),
            journal_bytes_per_transfer: each(journal as f64),
            disk_bytes_per_transfer: written().and_then(|bytes| each(bytes as f64)),
            server_memory_bytes: end.server.resident_bytes.or(told),
            server_memory_bytes_max: end.server.resident_bytes_max,
        }
    }
}
