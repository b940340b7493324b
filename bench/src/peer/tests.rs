//! The peer's functions and a short run against a real PostgreSQL, where one is installed.

use super::*;
use crate::cli::{Cli, Command};
use crate::generator::{Batch, Item};
use crate::target_postgres::PostgresPort;
use clap::Parser;
use std::io::Write as _;

/// Whether PostgreSQL is here; says so past the test harness when it is not.
fn is_here(test: &str) -> bool {
    let missing = missing(None);
    if let Some(reason) = &missing {
        writeln!(std::io::stderr(), "skipped: {test}: {reason}").expect("stderr is open");
    }
    missing.is_none()
}

fn arguments(line: &str) -> PostgresArgs {
    let words = ["ducat-bench", "peer", "postgres"].into_iter().chain(line.split_whitespace());
    match Cli::parse_from(words).command {
        Command::Peer { peer: Peer::Postgres(arguments) } => *arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    for line in [
        "--durability none",
        "--connections 0",
        "--connections 1000",
        "--batch-connections 0",
        "--batch 10001",
        "--accounts 1",
        "--url nonsense=",
    ] {
        assert!(arguments(line).validate().is_err(), "{line}");
    }
    arguments("--workload hot --batch 100").validate().expect("valid");
}

#[test]
fn ducat_gets_the_same_load() {
    let arguments = arguments("--workload zipf --accounts 77 --seed 5 --amount-max 9 --batch 100");
    for (form, batch) in [(Form::Single, 1), (Form::Batched, 100)] {
        let run = arguments.ducat(form).expect("parses");
        let shape = run.shape();
        assert_eq!((run.accounts, run.workload), (77, Workload::Zipf));
        assert_eq!((shape.seed, shape.amount_max, shape.batch), (5, 9, batch));
    }
}

/// Both forms on the same books, by the codes Ducat would give.
#[tokio::test]
async fn the_functions_follow_the_rules_in_both_forms() {
    if !is_here("the_functions_follow_the_rules_in_both_forms") {
        return;
    }
    let cluster = Cluster::start(None, None).await.expect("PostgreSQL starts");
    for form in [Form::Single, Form::Batched] {
        let books = Books::open(&cluster.config).await.expect("durable");
        let accounts = AccountIds::random(5);
        books.make(accounts, Workload::Uniform, random_id()).await.expect("made");
        let port = PostgresPort::connect(&books.config, form).await.expect("connects");
        let all = 10_000_000_000;
        let item = |id, debit, credit, amount| Item {
            id,
            debit: accounts.id(debit),
            credit: accounts.id(credit),
            amount,
            ..Item::default()
        };
        // What each is answered, in order: later ones see earlier ones.
        let cases = [
            (item(1, 0, 1, all), 0),
            (item(2, 0, 1, 1), 14),
            (item(3, 1, 0, 2 * all), 0),
            (item(4, 1, 0, 1), 14),
            (item(1, 0, 1, all), 0x80),
            (item(2, 0, 1, 1), 14 | 0x80),
            (item(1, 0, 1, 5), 16),
            (item(5, 2, 2, 1), 4),
            (item(6, 9, 2, 1), 5),
            (item(7, 2, 9, 1), 6),
            (item(8, 2, 9, 1 << 62), 6),
            (item(9, 3, 4, 7), 0),
        ];
        let batch = Batch { id_high: 1, items: cases.map(|(item, _)| item).into() };
        let reply = port.call(&batch).await.expect("answered");
        assert_eq!(reply.answers, cases.map(|(_, code)| code), "{form:?}");
        // Nothing refused: the way in which a batch is executed as a whole.
        let plain = Batch { id_high: 2, items: (1..50).map(|i| item(i, 2, 3, i)).collect() };
        assert_eq!(port.call(&plain).await.expect("answered").answers, [0; 49]);
        let again = port.call(&plain).await.expect("answered");
        assert!(again.answers.iter().all(|a| *a == 0x80), "{again:?}");
        // An amount the tables refuse changes nothing.
        let zero = Batch { id_high: 3, items: vec![item(1, 2, 3, 0)] };
        let failure = port.call(&zero).await.expect_err("refused");
        assert!(!failure.in_doubt && failure.class.starts_with("SQLSTATE_"), "{failure:?}");

        let whole =
            crate::tally::Whole { posted: 3 + 49, refused: 6, ..crate::tally::Whole::default() };
        for check in books.checks(accounts, &whole).await.expect("checked") {
            assert_eq!(check.held, Some(true), "{form:?}: {check:?}");
        }
        books.remove().await.expect("removed");
    }
    cluster.stop().await.expect("stops");
}

#[tokio::test]
async fn books_that_do_not_add_up_are_found_out() {
    if !is_here("books_that_do_not_add_up_are_found_out") {
        return;
    }
    let cluster = Cluster::start(None, None).await.expect("PostgreSQL starts");
    let books = Books::open(&cluster.config).await.expect("durable");
    let accounts = AccountIds::random(3);
    books.make(accounts, Workload::Uniform, random_id()).await.expect("made");
    let client = crate::target_postgres::connect(&books.config).await.expect("connects");
    let sql = "UPDATE accounts SET balance = balance + 1 WHERE id = $1";
    client.execute(sql, &[&(accounts.id(1) as i64)]).await.expect("cheated");
    let whole = crate::tally::Whole { posted: 1, ..crate::tally::Whole::default() };
    let checks = books.checks(accounts, &whole).await.expect("checked");
    assert!(checks.iter().all(|check| check.held == Some(false)), "{checks:?}");
    cluster.stop().await.expect("stops");
}

#[tokio::test]
async fn a_role_with_lazy_commits_commits_durably_here() {
    if !is_here("a_role_with_lazy_commits_commits_durably_here") {
        return;
    }
    let cluster = Cluster::start(None, None).await.expect("PostgreSQL starts");
    let client = crate::target_postgres::connect(&cluster.config).await.expect("connects");
    client.batch_execute("ALTER ROLE ducat_bench SET synchronous_commit = off").await.expect("set");
    let books = Books::open(&cluster.config).await.expect("our own session turns it on again");
    let settings = books.settings().await.expect("shown");
    let commit = settings.iter().find(|s| s.name == "synchronous_commit").expect("shown");
    assert_eq!(commit.value, "on");
    cluster.stop().await.expect("stops");
}

#[tokio::test]
async fn a_short_run_of_all_loads_holds_its_checks() {
    if !is_here("a_short_run_of_all_loads_holds_its_checks") {
        return;
    }
    let cluster = Cluster::start(None, None).await.expect("PostgreSQL starts");
    for (workload, form) in [
        ("uniform", Form::Single),
        ("uniform", Form::Batched),
        ("zipf", Form::Batched),
        ("refusal-heavy", Form::Single),
        ("refusal-heavy", Form::Batched),
    ] {
        let line = format!(
            "--workload {workload} --accounts 200 --batch 100 --connections 8 \
             --batch-connections 4 --duration 1 --warmup 0.1"
        );
        let leg = postgres(&arguments(&line), &cluster.config, form).await.expect("measured");
        assert!(leg.results.ok > 0, "{workload} {form:?}: {leg:?}");
        assert_eq!(leg.results.errors_sum(), 0, "{workload} {form:?}: {leg:?}");
        assert_eq!(leg.results.refused_sum() > 0, workload == "refusal-heavy", "{leg:?}");
        assert_eq!(leg.checks.len(), 3);
        assert!(leg.checks.iter().all(|c| c.held == Some(true)), "{:?}", leg.checks);
    }
    cluster.stop().await.expect("stops");
}
