//! The command line of `ducat-bench`.

use crate::child::Durability;
use crate::codec::CodecKind;
use crate::csv_data::CsvFiles;
use crate::floor::FloorArgs;
use crate::footprint::FootprintArgs;
use crate::generator::Shape;
use crate::overload::OverloadArgs;
use crate::production::Profile;
use crate::trim::TrimArgs;
use crate::workload::Workload;
use anyhow::{bail, ensure};
use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ducat_actors::handle::BATCH_MAX;
use ducat_api::client::Credentials;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// Prints a report written with --json again.
    Report {
        /// The report.
        file: PathBuf,
        /// Draw it on one page that needs nothing else.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Write its latency distribution in HdrHistogram's text format.
        #[arg(long, value_name = "FILE")]
        hgrm: Option<PathBuf>,
    },
    /// The ratios of two reports written with --json.
    Compare {
        /// The report that counts as 1.
        a: PathBuf,
        /// The report held against it.
        b: PathBuf,
        /// Draw both on one page that needs nothing else.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// How much is still done when far more is asked for than can be done.
    ///
    /// Measures the peak of a workload by a closed loop, then offers multiples of it by an open
    /// loop whose requests carry a deadline, then less than the peak, and reports for each what
    /// was answered. Exit codes as for `run`.
    Overload(Box<OverloadArgs>),
    /// What a snapshot that is being taken costs: latency with and without one, in one run.
    ///
    /// Exit codes as for `run`; 3 also when the 99th percentile is more than twice that without.
    Snapshots(Box<crate::snapshots::SnapshotsArgs>),
    /// What accounts, remembered ids and transfers cost in memory, journal and restart time.
    ///
    /// Starts a server, opens the accounts, makes the transfers, kills it (SIGKILL), starts it
    /// again and checks that its state is the same. Exit codes as for `run`.
    Footprint(FootprintArgs),
    /// What the disk holds over many transfers, while the journal's oldest part moves into the
    /// archive and its space is given back.
    Trim(TrimArgs),
    /// Put the same load on another database of this machine and on Ducat; print the ratio.
    Peer {
        /// Which one.
        #[command(subcommand)]
        peer: crate::peer::Peer,
    },
    /// Unary calls to an empty handler of tonic: what this machine does without Ducat, to hold the
    /// mode `unary` against.
    Floor(FloorArgs),
    /// What its clients wait while others attack its port.
    ///
    /// Puts a steady load on a server, alone and then beside each attack, and reports latency, errors and
    /// memory. Exit code 0: every answer came, and memory stayed under its bound; 1: could not run;
    /// 2: wrong arguments; 3: an answer was lost, memory was over its bound, the server died, or, with
    /// --judge, a 99th percentile more than doubled.
    Hostile(Box<crate::hostile::HostileArgs>),
    /// Every figure Ducat is held to, beside what it is held to: the table of the README.
    ///
    /// Exit code 0: all measured, whether fast enough or not; 1: a row could not run;
    /// 2: wrong arguments; 3: a check failed.
    Race(Box<crate::race::RaceArgs>),
}

const RUN_EXAMPLES: &str = "\
Examples:
  ducat-bench run --workload uniform --accounts 10000 --batch 8192 --duration 15
  ducat-bench run --workload zipf --zipf-exponent 1.1 --mode stream --batch 100 --in-flight 16
  ducat-bench run --mode unary --in-flight 64
  ducat-bench run --mode client --in-flight 8000
  ducat-bench run --rate 100000 --batch 100 --duration 60        (open loop)
  ducat-bench run --ramp 50000:500000:5 --batch 100 --duration 50 --html ramp.html
  ducat-bench run --find-rate --p99-limit-ms 10 --batch 100 --connections 8
  ducat-bench run --workload mixed --read-share 0.8 --mode unary
  ducat-bench run --workload refunds --refund-share 0.2 --check
  ducat-bench run --workload terms --batch 1000
  ducat-bench run --workload fees --mode in-process --check
  ducat-bench run --workload csv --csv payments.csv.gz --mapping api/mappings/uk-payments.toml
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
    /// What is asked of our own server's settings: `production` speaks TLS 1.3 with client
    /// certificates, asks for a token with every call, keeps the audit trail and encrypts its data.
    #[arg(long, value_enum, default_value_t = Profile::Development)]
    pub profile: Profile,
    /// Whether it will be attacked by somebody it knows; asked for by `hostile`.
    #[arg(skip)]
    pub intruded: bool,
    /// Encrypt what our own server writes, under a master key made for the run.
    #[arg(long)]
    pub encrypt: bool,
    /// One more argument for `ducat serve`, such as --serve-arg=--partitions=2. Repeatable.
    #[arg(long = "serve-arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub serve_arguments: Vec<String>,
}

/// What a running server is shown.
#[derive(Args, Debug, Clone, Default)]
pub struct ShownArgs {
    /// The CA of the running server's certificate, in PEM; needed for https.
    #[arg(long, requires = "server", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// The certificate to show to it, in PEM.
    #[arg(long, requires = "tls_ca", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// A bearer token to send with every call, as `ducat token issue` prints it.
    #[arg(long, requires = "server", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl ShownArgs {
    /// The same as a client takes it.
    pub fn credentials(&self) -> Credentials {
        let Self { tls_ca, tls_cert, tls_key, token_file } = self.clone();
        Credentials { ca: tls_ca, certificate: tls_cert, key: tls_key, token: token_file }
    }
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
    ///
    /// With --find-rate those of each step, 5 by default. A file that is replayed once ends the
    /// run by itself.
    #[arg(
        long,
        default_value_t = 15.0,
        default_value_ifs = [
            ("csv_repeat", ArgPredicate::IsPresent, Some("15")),
            ("csv", ArgPredicate::IsPresent, Some("86400")),
            ("find_rate", ArgPredicate::IsPresent, Some("5")),
        ]
    )]
    pub duration: f64,
    /// Seconds of load before them. 0 by default where a file is replayed once, 1 with
    /// --find-rate.
    #[arg(
        long,
        default_value_t = 3.0,
        default_value_ifs = [
            ("csv_repeat", ArgPredicate::IsPresent, Some("3")),
            ("csv", ArgPredicate::IsPresent, Some("0")),
            ("find_rate", ArgPredicate::IsPresent, Some("1")),
        ]
    )]
    pub warmup: f64,
    /// How requests reach the ledger.
    #[arg(long, value_enum, default_value_t = Mode::Batch)]
    pub mode: Mode,
    /// How the client reads gRPC messages: `full` decodes every field as a gateway would,
    /// `lean` only what is counted, leaving the cores to the server.
    #[arg(long, value_enum, default_value_t = CodecKind::Lean)]
    pub codec: CodecKind,
    /// Offer this many transfers a second whatever the answers do (open loop); latency then
    /// counts from the intended moment of sending. With --find-rate the rate to begin with.
    #[arg(long, value_name = "TRANSFERS_PER_S")]
    pub rate: Option<f64>,
    /// Offer a rate that changes by even steps from FROM to TO transfers a second over the
    /// whole duration, each held for SECONDS.
    #[arg(long, value_name = "FROM:TO:SECONDS", conflicts_with = "rate")]
    pub ramp: Option<Ramp>,
    /// Search for the highest rate that is kept with a 99th percentile of latency within
    /// --p99-limit-ms: doubles it, then bisects. The report is that of the best step.
    #[arg(long, conflicts_with = "ramp")]
    pub find_rate: bool,
    /// What --find-rate holds the 99th percentile to, milliseconds.
    #[arg(long, default_value_t = 10.0, value_name = "MS")]
    pub p99_limit_ms: f64,
    /// --find-rate ends when the rate that held and the one that did not are this near, as a
    /// share of the rate.
    #[arg(long, default_value_t = 0.05, value_name = "SHARE")]
    pub find_within: f64,
    /// Share of requests that read accounts, for the workload `mixed`. Default 0.5.
    #[arg(long, value_name = "SHARE")]
    pub read_share: Option<f64>,
    /// Share of transfers made in two steps, held and then captured (three of four) or voided,
    /// for the workload `holds`. Default 0.3. Each step counts as one operation.
    #[arg(long, value_name = "SHARE")]
    pub hold_share: Option<f64>,
    /// Share of transfers that are given back in thirds, for the workload `refunds`; of every fourth
    /// more is asked for than remains. Default 0.1. Each refund counts as one operation.
    #[arg(long, value_name = "SHARE")]
    pub refund_share: Option<f64>,
    /// Share of draws that are on terms, for the workload `terms`: balanced, on conditions, of
    /// ordered sources, in shares. Default 0.3. Each leg counts as one operation.
    #[arg(long, value_name = "SHARE")]
    pub terms_share: Option<f64>,
    /// Reads a second beside the load, on one more connection, whatever the answers do; latency
    /// counts from the intended moment of sending.
    #[arg(long, value_name = "READS_PER_S")]
    pub reads_per_s: Option<f64>,

    /// Accounts that a read asks for. Default: the batch, 100 at most.
    #[arg(long, value_name = "N")]
    pub read_accounts: Option<usize>,
    /// The file of transfers that the workload `csv` replays, plain or gzip.
    #[arg(
        long,
        value_name = "FILE",
        requires = "mapping",
        conflicts_with_all = [
            "accounts", "amount_max", "linked_share", "linked_legs", "repeat_share", "zipf_exponent", "seed"
        ]
    )]
    pub csv: Option<PathBuf>,
    /// What its columns mean, as for `ducat import`.
    #[arg(long, value_name = "FILE.toml", requires = "csv")]
    pub mapping: Option<PathBuf>,
    /// A file of accounts with what they begin with. Without it every account that the
    /// transfers name is opened, empty.
    #[arg(long, value_name = "FILE", requires = "csv")]
    pub csv_accounts: Option<PathBuf>,
    /// Begin the file again at its end, with fresh ids, until the duration is over.
    #[arg(long, requires = "csv")]
    pub csv_repeat: bool,
    /// Amounts are 1 to this many minor units.
    #[arg(long, default_value_t = 1000)]
    pub amount_max: u64,
    /// Share of transfers that are legs of a linked group, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub linked_share: f64,
    /// Legs of a linked group, 2 to 1,000.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub linked_legs: usize,
    /// Share of transfers that repeat an earlier one word for word, 0 up to 1.
    #[arg(long, default_value_t = 0.0)]
    pub repeat_share: f64,
    /// The same seed sends the same sequence.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Afterwards compare every account's balance with the outcomes received, and the history:
    /// every answer must be in the journal, once, and say the same.
    #[arg(long)]
    pub check: bool,
    /// Write the report as one HTML page that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the latency distribution in HdrHistogram's text format.
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Use a running server, such as http://127.0.0.1:7117.
    #[arg(long, value_name = "URL", conflicts_with_all = ["ducat", "serve_arguments", "durability", "profile", "encrypt"])]
    pub server: Option<String>,
    /// What it is shown.
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Its process id on this machine, for CPU, memory and disk figures.
    #[arg(long, requires = "server")]
    pub server_pid: Option<u32>,
    /// Its data directory on this machine, to name the file system and measure the disk.
    #[arg(long, requires = "server", value_name = "DIR")]
    pub server_data_dir: Option<PathBuf>,
    /// How to start our own.
    #[command(flatten)]
    pub own: ServerArgs,
}

/// A rate that changes by steps, transfers a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// The first.
    pub from: f64,
    /// The last.
    pub to: f64,
    /// How long each is held, whole seconds.
    pub step_s: u32,
}

impl FromStr for Ramp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no FROM:TO:SECONDS such as 10000:200000:5");
        let parts: Vec<&str> = text.split(':').collect();
        let [from, to, step] = parts[..] else { return Err(wrong()) };
        let rate = |text: &str| text.parse::<f64>().ok().filter(|r| *r > 0.0 && *r <= 1e9);
        let (Some(from), Some(to), Ok(step_s)) = (rate(from), rate(to), step.parse()) else {
            return Err(wrong());
        };
        if step_s == 0 {
            return Err("a step of --ramp lasts at least 1 second".into());
        }
        Ok(Self { from, to, step_s })
    }
}

impl fmt::Display for Ramp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.from, self.to, self.step_s)
    }
}

impl Ramp {
    /// The rates of its steps over `duration_s` seconds.
    pub fn rates(self, duration_s: f64) -> Vec<f64> {
        let steps = ((duration_s / f64::from(self.step_s)).ceil() as usize).max(1);
        let share = |i| if steps == 1 { 0.0 } else { i as f64 / (steps - 1) as f64 };
        (0..steps).map(|i| self.from + (self.to - self.from) * share(i)).collect()
    }
}

impl RunArgs {
    /// The arguments as typed after `ducat-bench run`.
    pub fn parse_line(line: &str) -> Result<Self, clap::Error> {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            run: RunArgs,
        }
        let words = ["ducat-bench run"].into_iter().chain(line.split_whitespace());
        Ok(Line::try_parse_from(words)?.run)
    }

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
        ensure!((2..=1_000).contains(&self.linked_legs), "--linked-legs must be 2 to 1,000");
        let legs = self.linked_legs;
        ensure!(
            self.linked_share == 0.0 || batch >= legs,
            "--linked-share needs batches of {legs}"
        );
        ensure!(self.zipf_exponent > 0.0, "--zipf-exponent must be above 0");
        ensure!(
            self.rate.is_none_or(|rate| rate > 0.0 && rate <= 1e9),
            "--rate must be above 0 and at most 1e9"
        );
        self.validate_workload()?;
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

    fn validate_workload(&self) -> anyhow::Result<()> {
        let share = self.read_share();
        let mixed = self.workload == Workload::Mixed;
        ensure!((0.0..=1.0).contains(&share), "--read-share must be 0 to 1");
        ensure!(mixed || self.read_share.is_none(), "--read-share is for --workload mixed");
        ensure!(
            mixed || self.reads_per_s.is_some() || self.read_accounts.is_none(),
            "--read-accounts is for --workload mixed and for --reads-per-s"
        );
        ensure!(
            !mixed || self.reads_per_s.is_none(),
            "--workload mixed reads by itself; --reads-per-s is for the others"
        );
        ensure!(
            self.reads_per_s.is_none_or(|rate| rate > 0.0 && rate <= 1e5),
            "--reads-per-s must be above 0 and at most 1e5"
        );
        ensure!(
            share < 1.0 || !self.is_open(),
            "--read-share 1 makes no transfers, so no rate of them can be offered"
        );
        ensure!(
            (1..=BATCH_MAX).contains(&self.read_accounts()),
            "--read-accounts must be 1 to {BATCH_MAX}"
        );
        ensure!(
            !mixed || self.mode != Mode::Client,
            "--mode client makes transfers only; for --workload mixed use another mode"
        );
        let holds = self.hold_share();
        ensure!((0.0..=1.0).contains(&holds), "--hold-share must be 0 to 1");
        ensure!(
            self.workload == Workload::Holds || self.hold_share.is_none(),
            "--hold-share is for --workload holds"
        );
        for (share, of, name) in [
            (self.refund_share, Workload::Refunds, "refund"),
            (self.terms_share, Workload::Terms, "terms"),
        ] {
            let within = share.is_none_or(|share| (0.0..=1.0).contains(&share));
            ensure!(within, "--{name}-share must be 0 to 1");
            ensure!(
                share.is_none() || self.workload == of,
                "--{name}-share is for --workload {}",
                of.name()
            );
        }
        let csv = self.workload == Workload::Csv;
        ensure!(csv == self.csv.is_some(), "--workload csv and --csv FILE need each other");
        ensure!(
            !self.find_rate || !csv || self.csv_repeat,
            "--find-rate makes many steps: with a file it needs --csv-repeat"
        );
        ensure!(self.p99_limit_ms > 0.0, "--p99-limit-ms must be above 0");
        ensure!(
            self.find_within >= 0.001 && self.find_within <= 0.5,
            "--find-within must be 0.001 to 0.5"
        );
        Ok(())
    }

    /// Whether accounts are read.
    pub fn reads(&self) -> bool {
        self.workload == Workload::Mixed || self.reads_per_s.is_some()
    }

    /// Share of requests that read.
    pub fn read_share(&self) -> f64 {
        match self.workload {
            Workload::Mixed => self.read_share.unwrap_or(0.5),
            _ => 0.0,
        }
    }

    /// Share of transfers that are made in two steps.
    pub fn hold_share(&self) -> f64 {
        match self.workload {
            Workload::Holds => self.hold_share.unwrap_or(0.3),
            _ => 0.0,
        }
    }

    /// Share of transfers that are given back in parts.
    pub fn refund_share(&self) -> f64 {
        match self.workload {
            Workload::Refunds => self.refund_share.unwrap_or(0.1),
            _ => 0.0,
        }
    }

    /// Share of draws that are on terms.
    pub fn terms_share(&self) -> f64 {
        match self.workload {
            Workload::Terms => self.terms_share.unwrap_or(0.3),
            _ => 0.0,
        }
    }

    /// Accounts in a read.
    pub fn read_accounts(&self) -> usize {
        self.read_accounts.unwrap_or(self.batch().min(100))
    }

    /// Whether the load is an open loop.
    pub fn is_open(&self) -> bool {
        self.rate.is_some() || self.ramp.is_some() || self.find_rate
    }

    /// Requests a second that make `transfers_per_s`.
    pub fn requests_per_s(&self, transfers_per_s: f64) -> f64 {
        transfers_per_s / (self.batch() as f64 * (1.0 - self.read_share()))
    }

    /// The files of the workload `csv`.
    pub fn csv_files(&self) -> Option<CsvFiles> {
        Some(CsvFiles {
            transfers: self.csv.clone()?,
            mapping: self.mapping.clone()?,
            accounts: self.csv_accounts.clone(),
        })
    }

    /// Transfers in a request.
    pub fn batch(&self) -> usize {
        self.batch.unwrap_or(if self.mode.is_single() { 1 } else { 8192 })
    }

    /// Requests in flight on each connection.
    pub fn in_flight(&self) -> usize {
        self.in_flight.unwrap_or(match (self.is_open(), self.mode) {
            (true, _) | (false, Mode::Client) => 1024,
            (false, Mode::Unary) => 64,
            (false, _) => 4,
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
            linked_legs: self.linked_legs,
            repeat_share: self.repeat_share,
            read_share: self.read_share(),
            read_accounts: self.read_accounts(),
            hold_share: self.hold_share(),
            // A client thread has one generator for all of its connections, and the answer may
            // be on its way when the next request is made.
            hold_requests: (self.connections * self.in_flight()) as u64 + 1,
            refund_share: self.refund_share(),
            terms_share: self.terms_share(),
            seed: self.seed,
        }
    }
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
