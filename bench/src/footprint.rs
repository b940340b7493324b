//! `ducat-bench footprint`: what accounts, remembered ids and transfers cost, and how long a
//! restart after a crash takes.

use crate::backend::{child_options, temporary};
use crate::check;
use crate::child::{ChildOptions, Durability, ServerChild};
use crate::cli::ServerArgs;
use crate::codec::CodecKind;
use crate::driver::{Connector, Extent, Load, Plan, Running};
use crate::facts::Machine;
use crate::generator::{AccountIds, Shape};
use crate::ledger::{Ledger, Status};
use crate::population::Population;
use crate::procfs::Usage;
use crate::report::Harness;
use crate::run::{random_id, show_progress};
use crate::table::{bytes, count};
use crate::tally::Tally;
use crate::target_grpc::Manner;
use crate::workload::Workload;
use anyhow::{Context, ensure};
use clap::Args;
use comfy_table::{Table, presets};
use ducat_actors::handle::BATCH_MAX;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `footprint`.
#[derive(Args, Debug, Clone)]
pub struct FootprintArgs {
    /// Accounts to open.
    #[arg(long, default_value_t = 1_000_000)]
    pub accounts: u64,
    /// Transfers to make, evenly drawn.
    #[arg(long, default_value_t = 10_000_000)]
    pub transfers: u64,
    /// Transfers in a request.
    #[arg(long, default_value_t = 8192)]
    pub batch: usize,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// How to start the server.
    #[command(flatten)]
    pub own: ServerArgs,
}

impl FootprintArgs {
    /// Refuses what cannot be run, before anything is started.
    pub fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.accounts >= 2, "--accounts must be at least 2");
        ensure!(self.accounts <= u64::from(u32::MAX), "--accounts must be below 2^32");
        ensure!(self.transfers >= 1, "--transfers must be at least 1");
        ensure!((1..=BATCH_MAX).contains(&self.batch), "--batch must be 1 to {BATCH_MAX}");
        Ok(())
    }
}

/// The figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Footprint {
    /// What measured it.
    pub harness: Harness,
    /// Where.
    pub machine: Machine,
    /// What the answers survive.
    pub durability: String,
    /// Accounts opened, the external one included.
    pub accounts: u64,
    /// Transfers made after funding.
    pub transfers: u64,
    /// Ids remembered at the end, those of the funding included.
    pub remembered_ids: u64,
    /// Growth of resident memory while accounts were opened and funded, for each account,
    /// bytes. The ids of the funding deposits are in it.
    pub resident_bytes_per_account: Option<f64>,
    /// What the engine says its accounts take, for each, bytes.
    pub engine_bytes_per_account: f64,
    /// Growth of resident memory while the transfers were made, for each, bytes. Journal
    /// caches and buffers are in it.
    pub resident_bytes_per_transfer: Option<f64>,
    /// What the engine says its remembered ids take, for each, bytes.
    pub engine_bytes_per_id: f64,
    /// Resident memory at the end, bytes.
    pub resident_bytes: Option<u64>,
    /// Journal payload for each transfer, bytes.
    pub journal_bytes_per_transfer: f64,
    /// Growth of the data directory for each transfer, bytes.
    pub disk_bytes_kept_per_transfer: f64,
    /// Bytes written to disk for each transfer.
    pub disk_bytes_written_per_transfer: Option<f64>,
    /// Size of the data directory when killed, bytes.
    pub data_directory_bytes: u64,
    /// Transfers a second while they were made.
    pub transfers_per_s: f64,
    /// From starting the process until it answered, after SIGKILL, seconds.
    pub restart_s: f64,
    /// Resident memory after that restart, bytes.
    pub restart_resident_bytes: Option<u64>,
    /// Hash of the whole state before the kill.
    pub state_hash: String,
    /// And after the restart.
    pub state_hash_after_restart: String,
    /// Sums cancelled out before and after.
    pub conserved: bool,
}

impl Footprint {
    /// Whether the restart rebuilt the state there was.
    pub fn is_same_state(&self) -> bool {
        self.state_hash == self.state_hash_after_restart
    }
}

/// One moment's figures.
struct Moment {
    usage: Usage,
    status: Status,
    directory_bytes: u64,
}

impl Moment {
    async fn now(server: &ServerChild, ledger: &Ledger, data: &Path) -> anyhow::Result<Self> {
        let status = ledger.status(true).await?;
        Ok(Self { usage: Usage::of(server.pid()), status, directory_bytes: allocated_bytes(data)? })
    }
}

/// Measures, prints, and says whether the restarted state was the same.
pub async fn footprint(arguments: &FootprintArgs) -> anyhow::Result<bool> {
    let footprint = measure(arguments).await?;
    print(&footprint);
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&footprint)? + "\n")
            .with_context(|| format!("write {}", path.display()))?;
    }
    // Without durability a restart begins empty, as it says.
    Ok(footprint.conserved
        && (footprint.is_same_state() || arguments.own.durability == Durability::None))
}

/// Measures without printing the figures or writing files.
pub async fn measure(arguments: &FootprintArgs) -> anyhow::Result<Footprint> {
    arguments.validate()?;
    let directory = temporary(&arguments.own)?;
    let machine = Machine::measure(Some(directory.path()))?;
    let options = child_options(&arguments.own, directory.path());
    let server = ServerChild::start(&options).await?;
    let ledger = Ledger::connect(&server.address).await?;
    let empty = Moment::now(&server, &ledger, &options.data).await?;

    let accounts = AccountIds::random(arguments.accounts);
    ledger
        .prepare(accounts, &Population::Drawn(Workload::Uniform, arguments.accounts), random_id())
        .await?;
    let opened = Moment::now(&server, &ledger, &options.data).await?;

    let (tally, took) = transfers(arguments, &server, accounts).await?;
    ensure!(tally.errors.is_empty(), "transfers failed: {:?}", tally.errors);
    let made = Moment::now(&server, &ledger, &options.data).await?;

    server.kill()?;
    let restarted = restart(&options).await?;
    Ok(figures(arguments, machine, [&empty, &opened, &made], took, restarted))
}

/// Makes the transfers; what was answered, and how long it took.
pub async fn transfers(
    arguments: &FootprintArgs,
    server: &ServerChild,
    accounts: AccountIds,
) -> anyhow::Result<(Tally, Duration)> {
    let shape = Shape {
        workload: Workload::Uniform,
        zipf_exponent: 1.0,
        batch: arguments.batch,
        amount_max: 1000,
        linked_share: 0.0,
        linked_legs: 2,
        repeat_share: 0.0,
        read_share: 0.0,
        hold_share: 0.0,
        hold_requests: 0,
        refund_share: 0.0,
        terms_share: 0.0,
        read_accounts: 1,
        seed: 1,
    };
    let plan = Plan {
        connector: Connector::Unary {
            to: server.address.clone(),
            codec: CodecKind::Lean,
            single: false,
            manner: Manner::default(),
        },
        shape,
        replay: None,
        accounts,
        run_id: random_id(),
        threads: 1,
        connections: 1,
        in_flight: 4,
        load: Load::Closed,
        extent: Extent::Transfers(arguments.transfers),
        per_account: false,
        reads_per_s: 0.0,
    };
    let running = Running::start(&plan).await?;
    let window = running.window;
    show_progress("making transfers", &running, window.to).await;
    let tally = running.finish().await?;
    let took = tally.last - window.from;
    Ok((tally, took))
}

/// What a restart found.
struct Restarted {
    started_in: Duration,
    usage: Usage,
    status: Status,
}

async fn restart(options: &ChildOptions) -> anyhow::Result<Restarted> {
    let server = ServerChild::start(options).await.context("restart after SIGKILL")?;
    let status = Ledger::connect(&server.address).await?.status(true).await?;
    let restarted =
        Restarted { started_in: server.started_in, usage: Usage::of(server.pid()), status };
    server.stop().await?;
    Ok(restarted)
}

fn figures(
    arguments: &FootprintArgs,
    machine: Machine,
    [empty, opened, made]: [&Moment; 3],
    took: Duration,
    restarted: Restarted,
) -> Footprint {
    let (accounts, transfers) = (arguments.accounts as f64, arguments.transfers as f64);
    let grown = |a: &Moment, b: &Moment, share: f64| {
        let grown = b.usage.resident_bytes?.saturating_sub(a.usage.resident_bytes?);
        Some(grown as f64 / share)
    };
    let written = |a: &Moment, b: &Moment| {
        Some(b.usage.written_bytes?.saturating_sub(a.usage.written_bytes?) as f64 / transfers)
    };
    let journal = made.status.journal_bytes.saturating_sub(opened.status.journal_bytes);
    let kept = made.directory_bytes.saturating_sub(opened.directory_bytes);
    let conserved = |status: &Status| check::conservation(status).held != Some(false);
    Footprint {
        harness: Harness::now(),
        machine,
        durability: made.status.durability.clone(),
        accounts: made.status.accounts,
        transfers: arguments.transfers,
        remembered_ids: made.status.remembered_ids,
        resident_bytes_per_account: grown(empty, opened, accounts),
        engine_bytes_per_account: per(made.status.accounts_bytes, made.status.accounts),
        resident_bytes_per_transfer: grown(opened, made, transfers),
        engine_bytes_per_id: per(made.status.remembered_ids_bytes, made.status.remembered_ids),
        resident_bytes: made.usage.resident_bytes,
        journal_bytes_per_transfer: journal as f64 / transfers,
        disk_bytes_kept_per_transfer: kept as f64 / transfers,
        disk_bytes_written_per_transfer: written(opened, made),
        data_directory_bytes: made.directory_bytes,
        transfers_per_s: transfers / took.as_secs_f64(),
        restart_s: restarted.started_in.as_secs_f64(),
        restart_resident_bytes: restarted.usage.resident_bytes,
        state_hash: made.status.state_hash.clone(),
        state_hash_after_restart: restarted.status.state_hash.clone(),
        conserved: conserved(&made.status) && conserved(&restarted.status),
    }
}

fn per(bytes: u64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { bytes as f64 / count as f64 }
}

/// Space the files below `directory` take on the disk, bytes.
pub fn allocated_bytes(directory: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    if !directory.is_dir() {
        return Ok(0);
    }
    let mut sum = 0;
    for entry in std::fs::read_dir(directory).context("list the data directory")? {
        let entry = entry.context("list the data directory")?;
        // A file may go while we look.
        let Ok(metadata) = entry.metadata() else { continue };
        sum += if metadata.is_dir() {
            allocated_bytes(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(sum)
}

fn print(f: &Footprint) {
    let each = |value: Option<f64>| value.map_or("?".to_owned(), |v| format!("{v:.1} B"));
    let size = |value: Option<u64>| value.map_or("?".to_owned(), bytes);
    let same = if f.is_same_state() { "the same" } else { "DIFFERENT" };
    let rows = [
        ("durability", f.durability.clone()),
        ("accounts", count(f.accounts)),
        ("transfers", format!("{} at {}/s", count(f.transfers), count(f.transfers_per_s as u64))),
        ("ids remembered", count(f.remembered_ids)),
        ("memory an account, engine's count", each(Some(f.engine_bytes_per_account))),
        ("memory an account, resident (with its deposit's id)", each(f.resident_bytes_per_account)),
        ("memory a remembered id, engine's count", each(Some(f.engine_bytes_per_id))),
        ("memory a transfer, resident", each(f.resident_bytes_per_transfer)),
        ("resident memory", size(f.resident_bytes)),
        ("journal a transfer", each(Some(f.journal_bytes_per_transfer))),
        ("data directory a transfer", each(Some(f.disk_bytes_kept_per_transfer))),
        ("written to disk a transfer", each(f.disk_bytes_written_per_transfer)),
        ("data directory", bytes(f.data_directory_bytes)),
        ("restart after SIGKILL", format!("{:.2} s", f.restart_s)),
        ("resident memory after it", size(f.restart_resident_bytes)),
        ("state hash before and after", format!("{same} ({:.16})", f.state_hash)),
        ("money conserved", if f.conserved { "yes" } else { "NO" }.to_owned()),
    ];
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    println!("{table}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_summed_with_what_is_in_them() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(directory.path().join("a")).expect("made");
        std::fs::write(directory.path().join("a/b"), vec![1; 100_000]).expect("written");
        std::fs::write(directory.path().join("c"), vec![1; 10_000]).expect("written");
        let sum = allocated_bytes(directory.path()).expect("readable");
        // File systems that compress or delay allocation may say less.
        assert!(sum < 200_000, "{sum}");
        assert_eq!(allocated_bytes(&directory.path().join("none")).expect("absent"), 0);
    }
}
