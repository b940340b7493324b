//! The rows of the race: what each is called, the command that measures it, what it is to hold
//! and to reach, and the figure published for TigerBeetle.

use super::figures::{Limit, Metric};
use super::job::Job;

/// A row.
pub struct Row {
    /// The name for `--rows`.
    pub name: &'static str,
    /// What people read.
    pub title: &'static str,
    /// What measures it; rows of the same job share its runs.
    pub job: Job,
    /// The figure in the middle.
    pub main: Metric,
    /// To be held.
    pub hold: Vec<Limit>,
    /// To be reached.
    pub aim: Vec<Limit>,
    /// What TigerBeetle 0.17.8 did on a 2-core machine of this kind, not in the same run.
    pub peer: Option<Published>,
}

/// A published figure of the peer.
#[derive(Clone, Copy)]
pub struct Published {
    /// Of the row's main metric.
    pub main: f64,
    /// Latency of a request, p50 and p99 in milliseconds.
    pub latency_ms: Option<(f64, f64)>,
}

use Metric::{
    AccountsBytes, Errors, Goodput2, Goodput5, Goodput10, IdsBytes, P50Ms, P99Ms, P999Ms,
    PostedPerS, RatioBatched, RatioMixed, RatioSingle, ReadP99Ms, RecoveredS, RestartS,
    WrittenPerTransfer,
};

const UNIFORM_10K: Job = Job::Run("--workload uniform --accounts 10000 --batch 8192 --in-flight 3");
const READS: Job = Job::Run(
    "--workload uniform --accounts 10000 --batch 8192 --in-flight 3 --reads-per-s 100 \
     --read-accounts 100",
);
const UNIFORM_1M: Job =
    Job::Run("--workload uniform --accounts 1000000 --batch 8192 --in-flight 3");
const FOOTPRINT_1M: Job = Job::Footprint("--accounts 1000000 --transfers 10000000");
const FOOTPRINT_10M: Job = Job::Footprint("--accounts 10000000 --transfers 10000000");
const POSTGRES: Job = Job::Postgres("--workload uniform --accounts 10000 --batch 8192");
const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;

impl Row {
    /// A row without a peer.
    fn new(name: &'static str, title: &'static str, job: Job, main: Metric) -> Self {
        Self { name, title, job, main, hold: Vec::new(), aim: Vec::new(), peer: None }
    }

    /// A row of throughput, with what it is to hold and to reach.
    fn rate(name: &'static str, title: &'static str, job: Job, hold: f64, aim: f64) -> Self {
        Self::new(name, title, job, PostedPerS).hold(PostedPerS, hold).aim(PostedPerS, aim)
    }

    fn hold(mut self, metric: Metric, value: f64) -> Self {
        self.hold.push(Limit { metric, value });
        self
    }

    fn aim(mut self, metric: Metric, value: f64) -> Self {
        self.aim.push(Limit { metric, value });
        self
    }

    fn peer(mut self, main: f64, p50_ms: f64, p99_ms: f64) -> Self {
        self.peer = Some(Published { main, latency_ms: Some((p50_ms, p99_ms)) });
        self
    }

    fn peer_main(mut self, main: f64) -> Self {
        self.peer = Some(Published { main, latency_ms: None });
        self
    }
}

/// All rows, in the order of the table.
pub fn rows() -> Vec<Row> {
    let mut rows = throughput();
    rows.extend(single_transfers());
    rows.extend(costs());
    rows.extend(overload_and_postgres());
    rows
}

fn throughput() -> Vec<Row> {
    vec![
        Row::rate(
            "uniform-10k",
            "10k accounts, batches of 8,192, 3 in flight",
            UNIFORM_10K,
            1.2e6,
            2.2e6,
        )
        .hold(P99Ms, 35.0)
        .peer(437e3, 14.0, 37.0),
        Row::rate(
            "uniform-1m",
            "1M accounts, batches of 8,192, 3 in flight",
            UNIFORM_1M,
            900e3,
            1.5e6,
        )
        .hold(P99Ms, 45.0)
        .peer(201e3, 33.0, 105.0),
        Row::rate(
            "zipf",
            "Zipf over 10k accounts, batches of 8,192, 3 in flight",
            Job::Run("--workload zipf --accounts 10000 --batch 8192 --in-flight 3"),
            1.2e6,
            2.2e6,
        )
        .peer(462e3, 11.0, 35.0),
        Row::rate(
            "hot",
            "one hot account, batches of 8,192, 3 in flight",
            Job::Run("--workload hot --accounts 10000 --batch 8192 --in-flight 3"),
            1.2e6,
            2.2e6,
        )
        .peer(494e3, 11.0, 35.0),
        Row::rate(
            "holds",
            "30% held, then captured or voided; 10k accounts, batches of 8,192, 3 in flight",
            Job::Run("--workload holds --accounts 10000 --batch 8192 --in-flight 3"),
            700e3,
            1.4e6,
        )
        .peer(227e3, 24.0, 95.0),
        // 250,000 groups.
        Row::rate(
            "groups",
            "legs of linked groups of 4; 10k accounts, batches of 8,192, 3 in flight",
            Job::Run(
                "--workload uniform --accounts 10000 --batch 8192 --in-flight 3 --linked-share 1 \
                 --linked-legs 4",
            ),
            1.0e6,
            1.2e6,
        ),
        // Reads that do not stand behind the batches of others.
        Row::new(
            "reads",
            "reads of 100 accounts, 100/s, beside 10k accounts in batches of 8,192, 3 in flight",
            READS,
            ReadP99Ms,
        )
        .hold(ReadP99Ms, 10.0),
        Row::rate(
            "batch100-1",
            "batches of 100, 1 client, 8 in flight",
            Job::Run("--mode stream --batch 100 --connections 1 --in-flight 8"),
            330e3,
            600e3,
        )
        .hold(P99Ms, 10.0)
        .peer(109e3, 0.4, 18.0),
        Row::rate(
            "batch100-8",
            "batches of 100, 8 clients, 4 in flight each",
            Job::Run("--mode stream --batch 100 --connections 8 --in-flight 4"),
            700e3,
            1.3e6,
        )
        .hold(P99Ms, 10.0)
        .peer(117e3, 3.0, 33.0),
        Row::rate(
            "in-process",
            "in process on the handle, batches of 8,192, 4 in flight",
            Job::Run("--mode in-process --accounts 10000 --batch 8192"),
            2e6,
            4e6,
        ),
        Row::new(
            "open-loop",
            "open loop, 100,000/s in batches of 100, 60 s",
            Job::Run("--mode stream --rate 100000 --batch 100 --duration 60"),
            P99Ms,
        )
        .hold(Errors, 0.0)
        .hold(P50Ms, 2.0)
        .hold(P99Ms, 10.0)
        .hold(P999Ms, 50.0)
        .aim(P99Ms, 5.0),
    ]
}

fn single_transfers() -> Vec<Row> {
    vec![
        Row::rate(
            "client-64",
            "single transfers, batching client, 64 in flight",
            Job::Run("--mode client --in-flight 64"),
            100e3,
            150e3,
        )
        .peer(68e3, 0.6, 6.8),
        Row::rate(
            "client-1024",
            "single transfers, batching client, 1,024 in flight",
            Job::Run("--mode client --in-flight 1024"),
            500e3,
            900e3,
        )
        .peer(295e3, 1.5, 29.0),
        Row::rate(
            "client-8000",
            "single transfers, batching client, 8,000 in flight",
            Job::Run("--mode client --in-flight 8000"),
            800e3,
            1.5e6,
        )
        .peer(410e3, 18.0, 46.0),
        Row::rate(
            "unary-64",
            "plain unary calls, 64 in flight",
            Job::Run("--mode unary --in-flight 64"),
            70e3,
            95e3,
        )
        .hold(P99Ms, 6.0),
        Row::rate(
            "unary-256",
            "plain unary calls, 256 in flight",
            Job::Run("--mode unary --in-flight 256"),
            85e3,
            150e3,
        )
        .hold(P99Ms, 6.0),
        Row::new(
            "tonic-64",
            "tonic alone, an empty handler, 64 in flight",
            Job::Floor("--in-flight 64"),
            PostedPerS,
        ),
        Row::new(
            "tonic-256",
            "tonic alone, an empty handler, 256 in flight",
            Job::Floor("--in-flight 256"),
            PostedPerS,
        ),
    ]
}

fn costs() -> Vec<Row> {
    let written = |name, title, job| {
        Row::new(name, title, job, WrittenPerTransfer)
            .hold(WrittenPerTransfer, 250.0)
            .aim(WrittenPerTransfer, 120.0)
            .peer_main(2400.0)
    };
    vec![
        written("written-10k", "written to disk a transfer, 10k accounts", UNIFORM_10K),
        written("written-1m", "written to disk a transfer, 1M accounts", UNIFORM_1M),
        Row::new(
            "restart",
            "restart after SIGKILL, 1M accounts, 10M transfers",
            FOOTPRINT_1M,
            RestartS,
        )
        .hold(RestartS, 6.0)
        .aim(RestartS, 2.0)
        .peer_main(6.0),
        Row::new(
            "memory-accounts",
            "memory of 10M accounts, each with a deposit's id",
            FOOTPRINT_10M,
            AccountsBytes,
        )
        .hold(AccountsBytes, 3.0 * GIB)
        .aim(AccountsBytes, 1.5 * GIB),
        Row::new("memory-ids", "memory of 10M remembered ids", FOOTPRINT_10M, IdsBytes)
            .hold(IdsBytes, 640.0 * MIB)
            .aim(IdsBytes, 320.0 * MIB),
    ]
}

fn overload_and_postgres() -> Vec<Row> {
    let overload = |name, title, metric, value| {
        Row::new(name, title, Job::Overload(""), metric).hold(metric, value)
    };
    let postgres = |name, title, metric| Row::new(name, title, POSTGRES, metric).hold(metric, 50.0);
    vec![
        overload("overload-2", "goodput, 2× of peak offered", Goodput2, 95.0),
        overload("overload-5", "goodput, 5× of peak offered", Goodput5, 90.0),
        overload("overload-10", "goodput, 10× of peak offered", Goodput10, 80.0),
        overload("overload-after", "back to 99% of offered after overload", RecoveredS, 10.0),
        postgres("postgres", "PostgreSQL, a transaction each; Ducat in batches", RatioMixed),
        postgres("postgres-batched", "PostgreSQL in batches; Ducat in batches", RatioBatched),
        postgres("postgres-single", "PostgreSQL, a transaction each; Ducat unary", RatioSingle),
    ]
}
