//! Every attack, shortly, against the real server: each is made, and those who are measured beside
//! it have every answer. No times are judged.

use crate::cli::{Cli, Command};
use crate::hostile::{self, HostileReport};
use crate::real_server_tests::{of_a_server, runtime};
use clap::Parser as _;
use std::path::Path;

/// Slow enough for any machine in a debug build.
const LOAD: &str = "--rate 40 --batch-rate 100 --batch 10 --accounts 100 --warmup 0 --duration 1";

async fn measured(line: &str) -> HostileReport {
    let words = ["ducat-bench", "hostile"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).expect("well-formed").command {
        Command::Hostile(arguments) => hostile::measure(&arguments).await.expect("measured"),
        other => panic!("{other:?}"),
    }
}

/// Against the server of this process, over an engine in memory.
fn in_this_process(line: &str) -> HostileReport {
    let pid = std::process::id();
    of_a_server(async |url| {
        measured(&format!("--server {url} --server-pid {pid} {LOAD} {line}")).await
    })
}

fn everybody_was_answered(report: &HostileReport, attacks: usize) {
    assert_eq!(report.rows.len(), attacks);
    for row in &report.rows {
        assert!(row.tries_per_s > 0.0 && row.alive, "{row:?}");
        assert!(row.single.beside.requests > 0 && row.batched.beside.requests > 0, "{row:?}");
        assert_eq!((row.errors_sum(), row.errors_alone), (0, 0), "{row:?}");
        assert!(row.newcomers > 0 && row.newcomers == row.newcomers_answered, "{row:?}");
    }
    // The memory of this process is that of all who attack it as well.
    let broken = |c: &&crate::check::Check| c.held == Some(false) && !c.name.contains("memory");
    assert_eq!(report.checks.iter().find(broken), None);
}

#[test]
fn connections_and_frames_that_do_harm_leave_everybody_else_served() {
    let attacks = [
        "garbage",
        "half-handshakes",
        "handshakes",
        "malformed-frames",
        "control-frames",
        "endless-headers",
        "idle-connections",
    ];
    let line = attacks.map(|attack| format!("--attack {attack}")).join(" ");
    everybody_was_answered(&in_this_process(&line), attacks.len());
}

#[test]
fn streams_and_messages_that_do_harm_leave_everybody_else_served() {
    let attacks = [
        "rapid-reset",
        "fuzzed-messages",
        "oversize",
        "half-messages",
        "idle-streams",
        "slow-readers",
        "slow-writers",
        "refused",
    ];
    let line = attacks.map(|attack| format!("--attack {attack}")).join(" ");
    everybody_was_answered(&in_this_process(&line), attacks.len());
}

#[test]
fn attempts_are_made_no_faster_than_was_asked_for() {
    let report = in_this_process("--attack garbage --tries-per-s 20 --attack-threads 2");
    let row = &report.rows[0];
    // One for each attacker at once, of which none has waited.
    assert!(row.tries_per_s > 0.0 && row.tries_per_s < 100.0, "{row:?}");
}

/// The binary is there where the whole workspace's tests were built.
#[test]
fn a_server_in_production_bears_who_has_a_certificate_and_does_harm() {
    let own = std::env::current_exe().expect("a test has a file");
    let ducat = own.parent().and_then(Path::parent).expect("target/debug").join("ducat");
    if !ducat.is_file() {
        println!("skipped: {} was not built", ducat.display());
        return;
    }
    let attacks = ["half-handshakes", "handshakes", "rapid-reset", "fuzzed-messages", "refused"];
    let line = attacks.map(|attack| format!("--attack {attack}")).join(" ");
    let report = runtime().block_on(measured(&format!(
        "--profile production --ducat {} {LOAD} {line}",
        ducat.display()
    )));
    everybody_was_answered(&report, attacks.len());
    assert!(report.held(), "{:?}", report.checks);
}
