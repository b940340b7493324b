//! `ducat-bench trim`: what the disk holds while the journal's oldest part moves into the
//! archive, over many transfers.
//!
//! ```text
//! round: transfers ▸ server stopped ▸ snapshot ▸ server started, archives by itself ▸ sizes
//! ```

use crate::backend::{child_options, temporary};
use crate::child::{ChildOptions, Durability, ServerChild};
use crate::cli::ServerArgs;
use crate::facts::Machine;
use crate::footprint::{FootprintArgs, allocated_bytes, transfers};
use crate::generator::AccountIds;
use crate::ledger::Ledger;
use crate::population::Population;
use crate::report::Harness;
use crate::run::random_id;
use crate::table::{bytes, count};
use crate::workload::Workload;
use anyhow::{Context, ensure};
use clap::Args;
use comfy_table::{Table, presets};
use ducat_actors::handle::BATCH_MAX;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long archiving may take after a round.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(600);
/// Snapshots kept, as many as trimming waits for.
const SNAPSHOTS: &str = "2";

/// Arguments of `trim`.
#[derive(Args, Debug, Clone)]
pub struct TrimArgs {
    /// Accounts to open.
    #[arg(long, default_value_t = 100_000)]
    pub accounts: u64,
    /// Transfers to make in all, evenly drawn.
    #[arg(long, default_value_t = 50_000_000)]
    pub transfers: u64,
    /// After each of so many shares of them a snapshot is taken and the journal trimmed.
    #[arg(long, default_value_t = 20)]
    pub rounds: u64,
    /// Transfers in a request.
    #[arg(long, default_value_t = 8192)]
    pub batch: usize,
    /// Size of a segment of the journal.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub segment_mib: u64,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How to start the server.
    #[command(flatten)]
    pub own: ServerArgs,
}

impl TrimArgs {
    /// Refuses what cannot be run, before anything is started.
    pub fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.accounts >= 2, "--accounts must be at least 2");
        ensure!((1..=self.transfers).contains(&self.rounds), "--rounds must be 1 to --transfers");
        ensure!((1..=BATCH_MAX).contains(&self.batch), "--batch must be 1 to {BATCH_MAX}");
        ensure!((1..=1024).contains(&self.segment_mib), "--segment-mib must be 1 to 1024");
        ensure!(self.own.durability == Durability::PowerLoss, "without durability nothing is kept");
        Ok(())
    }
}

/// The figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trimming {
    /// What measured it.
    pub harness: Harness,
    /// Where.
    pub machine: Machine,
    /// After each round.
    pub rounds: Vec<Round>,
    /// Whether `ducat verify` found journal and archive sound at the end.
    pub sound: bool,
}

/// What the disk holds after a round, bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Transfers made so far.
    pub transfers: u64,
    /// A second while they were made in this round.
    pub transfers_per_s: f64,
    /// The journal right before it was trimmed.
    pub journal_before_bytes: u64,
    /// And afterwards.
    pub journal_bytes: u64,
    /// The archive.
    pub archive_bytes: u64,
    /// The snapshots.
    pub snapshots_bytes: u64,
    /// All of the data directory.
    pub directory_bytes: u64,
    /// What the store would hold of all events without trimming: what it held of the first
    /// round's, for so many transfers.
    pub untrimmed_bytes: u64,
    /// How long the start after the snapshot took, seconds.
    pub start_s: f64,
}

/// Measures, prints, and says whether all was sound.
pub async fn trim(arguments: &TrimArgs) -> anyhow::Result<bool> {
    arguments.validate()?;
    let directory = temporary(&arguments.own)?;
    let machine = Machine::measure(Some(directory.path()))?;
    let mut options = child_options(&arguments.own, directory.path());
    let binary = options.binary.clone().map_or_else(crate::child::beside_ourselves, Ok)?;
    options.arguments.extend(
        ["--archive-keep-mib=0", "--archive-snapshots=2", "--archive-every-ms=200"]
            .map(str::to_owned),
    );
    options.arguments.push(format!("--segment-kib={}", arguments.segment_mib << 10));
    let accounts = AccountIds::random(arguments.accounts);
    let server = ServerChild::start(&options).await?;
    let population = Population::Drawn(Workload::Uniform, arguments.accounts);
    Ledger::connect(&server.address).await?.prepare(accounts, &population, random_id()).await?;
    server.stop().await?;
    let mut rounds: Vec<Round> = Vec::new();
    for number in 1..=arguments.rounds {
        let round = round(arguments, &options, &binary, accounts, number, &rounds).await?;
        eprintln!(
            "round {number} of {}: {} transfers, {} on the disk",
            arguments.rounds,
            count(round.transfers),
            bytes(round.directory_bytes)
        );
        rounds.push(round);
    }
    let sound = ducat(&binary, &["verify", "--skip-store"], &options.data).is_ok();
    let trimming = Trimming { harness: Harness::now(), machine, rounds, sound };
    print(&trimming);
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&trimming)? + "\n")
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(sound)
}

async fn round(
    arguments: &TrimArgs,
    options: &ChildOptions,
    binary: &Path,
    accounts: AccountIds,
    number: u64,
    before: &[Round],
) -> anyhow::Result<Round> {
    let made = arguments.transfers * number / arguments.rounds;
    let share = made - arguments.transfers * (number - 1) / arguments.rounds;
    let server = ServerChild::start(options).await?;
    let footprint = FootprintArgs {
        accounts: arguments.accounts,
        transfers: share,
        batch: arguments.batch,
        json: None,
        own: arguments.own.clone(),
    };
    let (tally, took) = transfers(&footprint, &server, accounts).await?;
    ensure!(tally.errors.is_empty(), "transfers failed: {:?}", tally.errors);
    server.stop().await?;
    let shard = options.data.join("shard-0");
    let journal_before_bytes = allocated_bytes(&shard.join("journal"))?;
    ducat(binary, &["snapshot", "create"], &options.data)?;
    ducat(binary, &["snapshot", "prune", "--keep", SNAPSHOTS], &options.data)?;
    let server = ServerChild::start(options).await?;
    let start_s = server.started_in.as_secs_f64();
    wait_until_archived(&server).await?;
    server.stop().await?;
    let first = before.first();
    let (base, of) = first
        .map_or((journal_before_bytes, made), |first| (first.untrimmed_bytes, first.transfers));
    Ok(Round {
        transfers: made,
        transfers_per_s: share as f64 / took.as_secs_f64(),
        journal_before_bytes,
        journal_bytes: allocated_bytes(&shard.join("journal"))?,
        archive_bytes: allocated_bytes(&shard.join("archive"))?,
        snapshots_bytes: allocated_bytes(&shard.join("snapshots"))?,
        directory_bytes: allocated_bytes(&options.data)?,
        untrimmed_bytes: (base as f64 / of as f64 * made as f64) as u64,
        start_s,
    })
}

/// Waits until the archive has had a look that found nothing more to do.
async fn wait_until_archived(server: &ServerChild) -> anyhow::Result<()> {
    let to = &server.address;
    let client = ducat_api::client::Client::connect_with(&to.url, &to.credentials).await?;
    let (begun, mut seen, mut last) = (Instant::now(), 0, 0);
    loop {
        let status = client.get_status(false).await?;
        let archive = status.archive.context("the server archives nothing")?;
        ensure!(archive.last_error.is_empty(), "archiving failed: {}", archive.last_error);
        // The look after the one that archived last.
        if archive.last_run_ns > seen {
            if seen > 0 && archive.last_lsn == last {
                return Ok(());
            }
            (seen, last) = (archive.last_run_ns, archive.last_lsn);
        }
        ensure!(begun.elapsed() < ARCHIVE_TIMEOUT, "archiving takes too long");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn ducat(binary: &Path, line: &[&str], data: &Path) -> anyhow::Result<()> {
    let output = Command::new(binary).args(line).arg("--data-dir").arg(data).output();
    let output = output.with_context(|| format!("run {}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`ducat {}` failed: {said}", line.join(" "));
    Ok(())
}

fn print(trimming: &Trimming) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "transfers",
        "a second",
        "journal before",
        "journal",
        "archive",
        "snapshots",
        "all",
        "a transfer",
        "untrimmed",
        "start",
    ]);
    for r in &trimming.rounds {
        table.add_row([
            count(r.transfers),
            count(r.transfers_per_s as u64),
            bytes(r.journal_before_bytes),
            bytes(r.journal_bytes),
            bytes(r.archive_bytes),
            bytes(r.snapshots_bytes),
            bytes(r.directory_bytes),
            format!("{:.1} B", r.directory_bytes as f64 / r.transfers as f64),
            bytes(r.untrimmed_bytes),
            format!("{:.2} s", r.start_s),
        ]);
    }
    println!("{table}");
    println!("journal and archive: {}", if trimming.sound { "sound" } else { "DAMAGED" });
}
