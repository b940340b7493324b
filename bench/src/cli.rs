//! The command line of `ducat-bench`.

use crate::child::Durability;
use crate::codec::CodecKind;
use crate::generator::Shape;
use crate::workload::Workload;
use anyhow::{bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ducat_actors::handle::BATCH_MAX;
use std::path::PathBuf;

/// Ducat's load harness: measures transfers a second and latency, names the machine it ran on,
/// and checks afterwards that the ledger agrees with its answers.
#[derive(Parser, Debug)]
#[command(name = "ducat-bench", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Put a load on a ledger and report.
    ///
    /// Without --server it starts a `ducat serve` of its own on a temporary data directory.
    /// Exit code 0: done; 1: could not run; 2: wrong arguments; 3: a check failed.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// The workloads, a line each.
    List,
    /// The ratios of two reports written with --json.
    Compare {
        /// The report that counts as 1.
        a: PathBuf,
        /// The report held against it.
        b: PathBuf,
    },
    /// What accounts, remembered ids and transfers cost in memory, journal and restart time.
    ///
    /// Starts a server, opens the accounts, makes the transfers, kills it (SIGKILL), starts it
    /// again and checks that its state is the same. Exit codes as for `run`.
    Footprint(FootprintArgs),
}

const RUN_EXAMPLES: &str = "\
Examples:
  ducat-bench run --workload uniform --accounts 10000 --batch 8192 --duration 15
  ducat-bench run --workload zipf --zipf-exponent 1.1 --mode stream --batch 100 --in-flight 16
  ducat-bench run --mode unary --in-flight 64
  ducat-bench run --mode client --in-flight 8000
  ducat-bench run --rate 100000 --batch 100 --duration 60        (open loop)
  ducat-bench run --workload refusal-heavy --check --json a.json";

/// How requests reach the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The RPC that takes one transfer.
    Unary,
    /// The RPC that takes a batch.
    Batch,
    /// One stream of batches for each connection.
    Stream,
    /// Single transfers through the Rust client that batches by itself; its answers are
    /// decoded in full.
    Client,
    /// No gRPC: an engine in this process.
    InProcess,
}

impl Mode {
    /// Whether a request is one transfer.
    pub fn is_single(self) -> bool {
        matches!(self, Self::Unary | Self::Client)
    }

    /// The name as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Batch => "batch",
            Self::Stream => "stream",
            Self::Client => "client",
            Self::InProcess => "in-process",
        }
    }
}

/// Which server, and how a server of our own is started.
#[derive(Args, Debug, Clone)]
pub struct ServerArgs {
    /// The binary `ducat` to start; by default the one beside this binary.
    #[arg(long, value_name = "PATH")]
    pub ducat: Option<PathBuf>,
    /// Directory to put the temporary data directory in; its disk is what durability costs.
    /// Default: the system's temporary directory.
    #[arg(long, value_name = "DIR")]
    pub data_parent: Option<PathBuf>,
    /// What the answers of our own server survive; `none` is for finding limits.
    #[arg(long, value_enum, default_value_t = Durability::PowerLoss)]
    pub durability: Durability,
    /// One more argument for `ducat serve`, such as --serve-arg=--partitions=2. Repeatable.
    #[arg(long = "serve-arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub serve_arguments: Vec<String>,
}

/// Arguments of `run`.
#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Who pays whom; see `ducat-bench list`.
    #[arg(long, value_enum, default_value_t = Workload::Uniform)]
    pub workload: Workload,
    /// Exponent of the workload `zipf`.
    #[arg(long, default_value_t = 0.99)]
    pub zipf_exponent: f64,
    /// Accounts to open for the run.
    #[arg(long, default_value_t = 10_000)]
    pub accounts: u64,
    /// Transfers in a request, 1 to 10,000. Default 8192; 1 with --mode unary and client.
    #[arg(long)]
    pub batch: Option<usize>,
    /// Connections.
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    /// Requests in flight on each connection at most. Default 4 (closed loop), 64 (unary),
    /// 1024 (client, open loop).
    #[arg(long)]
    pub in_flight: Option<usize>,
    /// Client threads; connections are spread over them.
    #[arg(long, default_value_t = 1)]
    pub client_threads: usize,
    /// Seconds that count.
    #[arg(long, default_value_t = 15.0)]
    pub duration: f64,
    /// Seconds of load before them.
    #[arg(long, default_value_t = 3.0)]
    pub warmup: f64,
    /// How requests reach the ledger.
    #[arg(long, value_enum, default_value_t = Mode::Batch)]
    pub mode: Mode,
    /// How the client reads gRPC messages: `full` decodes every field as a gateway would,
    /// `lean` only what is counted, leaving the cores to the server.
    #[arg(long, value_enum, default_value_t = CodecKind::Lean)]
    pub codec: CodecKind,
    /// Offer this many transfers a second whatever the answers do (open loop); latency then
    /// counts from the intended moment of sending.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Amounts are 1 to this many minor units.
    #[arg(long, default_value_t = 1000)]
    pub amount_max: u64,
    /// Share of transfers that are half of a linked pair, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub linked_share: f64,
    /// Share of transfers that repeat an earlier one word for word, 0 up to 1.
    #[arg(long, default_value_t = 0.0)]
    pub repeat_share: f64,
    /// The same seed sends the same sequence.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Afterwards compare every account's balance with the outcomes received.
    #[arg(long)]
    pub check: bool,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the latency distribution in HdrHistogram's text format.
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Use a running server, such as http://127.0.0.1:7117.
    #[arg(long, value_name = "URL", conflicts_with_all = ["ducat", "serve_arguments", "durability"])]
    pub server: Option<String>,
    /// Its process id on this machine, for CPU, memory and disk figures.
    #[arg(long, requires = "server")]
    pub server_pid: Option<u32>,
    /// How to start our own.
    #[command(flatten)]
    pub own: ServerArgs,
}

impl RunArgs {
    /// Refuses what cannot be run, before anything is started.
    pub fn validate(&self) -> anyhow::Result<()> {
        let batch = self.batch();
        ensure!(self.accounts >= 2, "--accounts must be at least 2");
        ensure!(self.accounts <= u64::from(u32::MAX), "--accounts must be below 2^32");
        ensure!((1..=BATCH_MAX).contains(&batch), "--batch must be 1 to {BATCH_MAX}");
        ensure!(self.connections >= 1, "--connections must be at least 1");
        ensure!(self.in_flight() >= 1, "--in-flight must be at least 1");
        ensure!(self.client_threads >= 1, "--client-threads must be at least 1");
        ensure!(self.duration > 0.0 && self.duration <= 1e6, "--duration must be above 0");
        ensure!((0.0..=1e6).contains(&self.warmup), "--warmup must not be negative");
        ensure!(self.amount_max >= 1 && self.amount_max < 1 << 32, "--amount-max: 1 to 2^32 - 1");
        ensure!((0.0..=1.0).contains(&self.linked_share), "--linked-share must be 0 to 1");
        ensure!((0.0..1.0).contains(&self.repeat_share), "--repeat-share must be 0 up to 1");
        ensure!(self.linked_share == 0.0 || batch >= 2, "--linked-share needs batches of 2");
        ensure!(self.zipf_exponent > 0.0, "--zipf-exponent must be above 0");
        ensure!(self.rate.is_none_or(|rate| rate > 0.0), "--rate must be above 0");
        if self.mode.is_single() && batch != 1 {
            let mode = self.mode.name();
            bail!(
                "--mode {mode} sends one transfer a request; use --mode batch for --batch {batch}"
            );
        }
        ensure!(
            self.mode != Mode::InProcess || self.server.is_none(),
            "--mode in-process uses no server"
        );
        Ok(())
    }

    /// Transfers in a request.
    pub fn batch(&self) -> usize {
        self.batch.unwrap_or(if self.mode.is_single() { 1 } else { 8192 })
    }

    /// Requests in flight on each connection.
    pub fn in_flight(&self) -> usize {
        self.in_flight.unwrap_or(match (self.rate, self.mode) {
            (Some(_), _) | (None, Mode::Client) => 1024,
            (None, Mode::Unary) => 64,
            (None, _) => 4,
        })
    }

    /// What transfers look like.
    pub fn shape(&self) -> Shape {
        Shape {
            workload: self.workload,
            zipf_exponent: self.zipf_exponent,
            batch: self.batch(),
            amount_max: self.amount_max,
            linked_share: self.linked_share,
            repeat_share: self.repeat_share,
            seed: self.seed,
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run(arguments: &str) -> anyhow::Result<RunArgs> {
        let words = ["ducat-bench", "run"].into_iter().chain(arguments.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Run(run) => Ok(*run),
            other => bail!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_suit_the_mode() {
        let sizes = |arguments| {
            let run = run(arguments).expect("parses");
            run.validate().expect("valid");
            (run.batch(), run.in_flight())
        };
        assert_eq!(sizes(""), (8192, 4));
        assert_eq!(sizes("--mode unary"), (1, 64));
        assert_eq!(sizes("--mode client"), (1, 1024));
        assert_eq!(sizes("--rate 1000 --batch 100"), (100, 1024));
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for arguments in [
            "--accounts 1",
            "--batch 0",
            "--batch 10001",
            "--mode unary --batch 2",
            "--mode client --batch 2",
            "--repeat-share 1",
            "--linked-share 0.5 --batch 1",
            "--rate 0",
            "--amount-max 0",
            "--duration 0",
            "--mode in-process --server http://localhost:1",
        ] {
            assert!(run(arguments).expect("parses").validate().is_err(), "{arguments}");
        }
        assert!(run("--server-pid 1").is_err());
        assert!(run("--server http://localhost:1 --durability none").is_err());
    }
}
