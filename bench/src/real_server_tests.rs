//! Short runs against the real thing: the engine behind the real gRPC server, and the engine
//! in this process, durable, with every balance and the journal checked.

use crate::cli::{Cli, Command, RunArgs};
use crate::report::Report;
use clap::Parser;
use ducat_actors::handle::EngineOptions;
use ducat_actors::start::Engine;
use ducat_api::compose;
use ducat_api::server::{Durability, ServerInfo, ServerOptions, serve};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn arguments(line: &str) -> RunArgs {
    let words = ["ducat-bench", "run"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).expect("well-formed").command {
        Command::Run(arguments) => *arguments,
        other => panic!("{other:?}"),
    }
}

/// What runs the tests.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime")
}

/// What `measure` says of the server of this process, over an engine in memory, whose address it is given.
pub(crate) fn of_a_server<T>(measure: impl AsyncFnOnce(String) -> T) -> T {
    runtime().block_on(async {
        let opened = compose::in_memory().expect("randomness");
        let engine =
            Engine::start(EngineOptions::default(), opened.journal, "test", Box::new(|_| {}));
        let engine = engine.await.expect("starts");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let info = ServerInfo {
            version: "test".into(),
            ledger_id: opened.ledger.to_string(),
            origins: vec![],
            durability: Durability::None,
            started: Instant::now(),
        };
        let never = std::future::pending::<()>();
        let serving =
            tokio::spawn(serve(listener, engine.handle(), info, ServerOptions::default(), never));
        let measured = measure(url).await;
        serving.abort();
        measured
    })
}

/// Runs against the real server over an engine in memory.
pub(crate) fn over_grpc(line: &str) -> Report {
    of_a_server(async |url| {
        let line = format!("--server {url} {line}");
        crate::run::measure(&arguments(&line)).await.expect("measured")
    })
}

/// Runs on an engine in this process, on a journal on disk.
pub(crate) fn in_process(line: &str) -> Report {
    let line = format!("--mode in-process --check {line}");
    runtime().block_on(crate::run::measure(&arguments(&line))).expect("measured")
}

pub(crate) fn all_held(report: &Report) {
    assert!(report.checks.iter().all(|c| c.held == Some(true)), "{:?}", report.checks);
}

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    let mut file = std::fs::File::create(&path).expect("created");
    file.write_all(text.as_bytes()).expect("written");
    path
}

const MAPPING: &str = "namespace='t'\ncurrency='GBP'\n[externals.bank]\n[accounts]\n\
    id={column='id'}\nopening_balance={column='balance'}\nopening_external='bank'\n\
    [transfers]\ndebit={column='from'}\ncredit={column='to'}\namount={column='sum'}\n";

/// Four accounts, the first with 10.00, and rows that pass it on; each fifth row is no amount
/// and each seventh names a stranger. Gives the options that replay it.
fn csv(directory: &Path, rows: usize) -> String {
    let mut transfers = "from,to,sum\n".to_owned();
    for row in 0..rows {
        let to = if row % 7 == 6 { 99 } else { (row + 1) % 4 + 1 };
        let sum = if row % 5 == 4 { "much" } else { "0.01" };
        transfers.push_str(&format!("{},{to},{sum}\n", row % 4 + 1));
    }
    let accounts = "id,balance\n1,10.00\n2,10.00\n3,10\n4,10\n";
    format!(
        "--workload csv --csv {} --mapping {} --csv-accounts {}",
        file(directory, "transfers.csv", &transfers).display(),
        file(directory, "map.toml", MAPPING).display(),
        file(directory, "accounts.csv", accounts).display()
    )
}

#[test]
fn holds_are_captured_and_voided_and_every_balance_is_right() {
    // One request at a time, so that every hold is answered before anything becomes of it.
    let line = "--workload holds --hold-share 0.5 --accounts 100 --warmup 0 --duration 1 \
                --in-flight 1 --batch 50";
    for mode in ["", "--codec full", "--mode stream"] {
        let report = over_grpc(&format!("{line} {mode}"));
        all_held(&report);
        assert_eq!(report.setup.hold_share, Some(0.5));
        assert_eq!(report.results.errors_sum(), 0);
        assert!(report.results.ok > 0 && report.results.refused.is_empty(), "{mode}");
    }
    let report = in_process(line);
    all_held(&report);
    assert!(report.checks.iter().any(|check| check.name.contains("every balance")));
}

#[test]
fn reads_are_reported_apart_from_writes_in_every_mode() {
    for mode in ["--mode unary", "--batch 50", "--batch 50 --mode stream --codec full"] {
        let line = format!(
            "--workload mixed --read-share 0.3 --accounts 100 --warmup 0.1 --duration 1 {mode}"
        );
        let report = over_grpc(&line);
        all_held(&report);
        let reads = report.reads.as_ref().expect("reads were asked for");
        let share = reads.requests as f64 / (reads.requests + report.results.requests) as f64;
        assert!((0.2..0.4).contains(&share), "{mode}: {share}");
        assert!(reads.errors.is_empty() && reads.latency.count == reads.requests, "{reads:?}");
        let accounts = report.setup.read_accounts.expect("told") as u64;
        assert_eq!(reads.accounts, reads.requests * accounts);
        assert_eq!(reads.accounts, reads.seconds.iter().map(|s| s.answered).sum::<u64>());
        assert!(report.server.durability == "none" && report.results.errors_sum() == 0);
    }
}

#[test]
fn reads_beside_the_load_are_made_at_their_rate_in_every_mode() {
    for mode in ["--batch 50", "--batch 50 --mode stream", "--mode client", "--mode unary"] {
        let line = format!(
            "--reads-per-s 40 --read-accounts 30 --accounts 100 --warmup 0 --duration 1 {mode}"
        );
        let report = over_grpc(&line);
        all_held(&report);
        let reads = report.reads.as_ref().expect("reads were asked for");
        // Those that end after the counted second are not counted.
        assert!((1..=40).contains(&reads.requests), "{mode}: {}", reads.requests);
        assert!(reads.errors.is_empty(), "{mode}: {:?}", reads.errors);
        assert_eq!(reads.accounts, reads.requests * 30);
        assert!(report.results.ok > 0 && report.results.errors_sum() == 0, "{mode}");
        assert_eq!((report.setup.reads_per_s, report.setup.read_share), (Some(40.0), None));
    }
}

/// The binary is there where the whole workspace's tests were built.
#[test]
fn a_server_in_production_is_driven_in_every_mode() {
    let own = std::env::current_exe().expect("a test has a file");
    let ducat = own.parent().and_then(Path::parent).expect("target/debug").join("ducat");
    if !ducat.is_file() {
        println!("skipped: {} was not built", ducat.display());
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    for mode in [
        "--batch 50 --reads-per-s 20",
        "--batch 50 --codec full",
        "--batch 50 --mode stream",
        "--mode client",
        "--mode unary",
    ] {
        let line = format!(
            "--profile production --ducat {} --accounts 100 --warmup 0 --duration 1 {mode}",
            ducat.display()
        );
        let report = runtime.block_on(crate::run::measure(&arguments(&line))).expect("measured");
        all_held(&report);
        assert!(report.results.ok > 0 && report.results.errors_sum() == 0, "{mode}");
        assert_eq!(report.setup.profile.as_deref(), Some("production"));
    }
}

#[test]
fn a_file_is_replayed_once_row_by_row_and_the_run_ends_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let line = csv(directory.path(), 700);
    let report = over_grpc(&format!("--batch 9 --connections 3 --client-threads 2 {line}"));
    all_held(&report);
    let replayed = report.setup.csv.as_ref().expect("a file was replayed");
    assert_eq!((replayed.rows, replayed.skipped["AMOUNT_MALFORMED"]), (560, 140));
    // The external account, four of the file; 99 is in neither and stays unknown.
    assert_eq!(report.setup.accounts, 5);
    assert_eq!((report.results.total, report.results.refused["CREDIT_ACCOUNT_UNKNOWN"]), (560, 80));
    assert_eq!(report.results.ok, 480);
    assert!(report.setup.duration_s < 1.0, "{}", report.setup.duration_s);
}

#[test]
fn a_file_can_begin_again_with_fresh_ids() {
    let directory = tempfile::tempdir().expect("a directory");
    let line = csv(directory.path(), 50);
    let report = in_process(&format!("--batch 7 --warmup 0 --duration 0.5 --csv-repeat {line}"));
    all_held(&report);
    assert!(report.results.total > 500 && report.results.repeats == 0, "{:?}", report.results);
}

#[test]
fn a_durable_run_in_this_process_agrees_with_balances_and_journal() {
    let report = in_process(
        "--workload refusal-heavy --accounts 100 --batch 50 --warmup 0.1 --duration 0.5 \
         --repeat-share 0.2 --linked-share 0.2",
    );
    all_held(&report);
    assert_eq!(report.server.durability, "power-loss");
    assert_eq!(report.checks.len(), 5, "{:?}", report.checks);
    assert!(report.results.repeats > 0 && report.results.refused_sum() > 0);
}

#[test]
fn a_ramp_offers_each_rate_for_its_time() {
    let report =
        over_grpc("--accounts 100 --batch 10 --warmup 0.1 --duration 3 --ramp 1000:5000:1");
    let offered: Vec<_> = report.ramp.iter().map(|step| step.offered).collect();
    assert_eq!(offered, [1000, 3000, 5000]);
    assert_eq!(report.results.offered, Some(9000));
    for step in &report.ramp {
        assert_eq!(step.answered + step.failed, step.offered, "{step:?}");
    }
}

#[test]
fn a_search_tries_rates_until_the_limit_is_between_two() {
    // Whatever this machine does: within a minute of latency every rate holds, up to the one
    // that is not answered in time.
    let report = over_grpc(
        "--accounts 100 --batch 100 --find-rate --find-within 0.5 --p99-limit-ms 2000 \
         --rate 100000 --warmup 0.1 --duration 0.5",
    );
    let search = report.search.as_ref().expect("searched");
    let found = search.found_rate.expect("a rate that low holds");
    let broken = search.steps.iter().filter(|s| !s.broken.is_empty());
    let least = broken.map(|s| s.rate).fold(f64::MAX, f64::min);
    assert!(found < least && found >= least * 0.49, "{search:?}");
    assert_eq!(report.setup.rate, Some(found));
    let step = search.steps.iter().find(|s| s.rate == found).expect("tried");
    assert_eq!(report.results.offered, Some(step.offered));
}
