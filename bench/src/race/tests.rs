//! The race's rows and, on a tiny load, the race itself.

use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;
use std::collections::HashSet;
use std::io::Write as _;

fn arguments(line: &str) -> RaceArgs {
    let words = ["ducat-bench", "race"].into_iter().chain(line.split_whitespace());
    match Cli::parse_from(words).command {
        Command::Race(arguments) => *arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_row_can_be_run_as_it_says() {
    for line in ["", "--quick"] {
        let race = arguments(line);
        race.validate().expect("every row's command is valid");
        let mut names = HashSet::new();
        for row in rows() {
            assert!(names.insert(row.name), "{} twice", row.name);
            let is_yardstick = matches!(row.job, Job::Floor(_));
            assert_eq!(row.hold.is_empty(), is_yardstick, "{} is held to nothing", row.name);
            let command = row.job.command(&race);
            assert!(command.matches("--duration").count() <= 1, "{command}");
            match row.job.unavailable(&race) {
                None => {
                    assert!(Cli::try_parse_from(command.split_whitespace()).is_ok(), "{command}")
                }
                // Only what comes from elsewhere may be missing.
                Some(_) => assert!(matches!(row.job, Job::Postgres(_)), "{command}"),
            }
        }
    }
}

#[test]
fn rows_are_chosen_by_name_and_quick_leaves_the_long_ones_out() {
    let names = |line| -> Vec<_> {
        let rows = arguments(line).validate().expect("valid");
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names("--rows unary-64,zipf"), ["zipf", "unary-64"]);
    let quick = names("--quick");
    assert!(quick.contains(&"open-loop") && !quick.contains(&"restart"), "{quick:?}");
    assert_eq!(names("--quick --rows restart"), ["restart"]);
    assert_eq!(names("").len(), rows().len());
    let error = arguments("--rows uniform").validate().err().expect("unknown").to_string();
    assert!(error.contains("uniform-10k"), "{error}");
    assert!(arguments("--durability none").validate().is_err());
    assert!(arguments("--runs 0").validate().is_err());
}

#[test]
fn rows_of_one_command_share_its_runs() {
    let race = arguments("--rows uniform-10k,written-10k,uniform-1m");
    let lanes = lanes(&race.validate().expect("valid"), &race);
    let names: Vec<_> = lanes.iter().map(|lane| lane.names.clone()).collect();
    assert_eq!(names, [vec!["uniform-10k", "written-10k"], vec!["uniform-1m"]]);
}

#[test]
fn the_length_is_the_races_unless_the_row_has_its_own() {
    let command = |line: &str, name: &str| {
        let row = rows().into_iter().find(|row| row.name == name).expect("a row");
        row.job.command(&arguments(line))
    };
    assert!(command("--duration 20", "zipf").ends_with("--duration 20 --warmup 3"));
    assert!(command("--duration 20", "open-loop").ends_with("--duration 60"));
    assert!(command("--quick", "open-loop").ends_with("--batch 100 --duration 5 --warmup 1"));
    assert!(command("--data-parent /x", "restart").ends_with("--data-parent=/x"));
}

/// A row's report from runs of so many transfers a second.
fn judged(rates: &[f64], p99_ms: f64) -> RowReport {
    let race = arguments("--rows uniform-10k");
    let rows = race.validate().expect("valid");
    let mut lanes = lanes(&rows, &race);
    for rate in rates {
        let figures = Figures::from([
            (Metric::PostedPerS, *rate),
            (Metric::P50Ms, 9.0),
            (Metric::P99Ms, p99_ms),
        ]);
        lanes[0].found.push(Found { figures, ..Found::default() });
    }
    row_report(&rows[0], &lanes, &race)
}

#[test]
fn a_row_is_judged_by_its_median() {
    let row = judged(&[1.0e6, 1.3e6, 9.0e6], 35.0);
    assert_eq!((row.held, row.spread), (Some(Verdict::Pass), Some((1.0e6, 9.0e6))));
    assert!(matches!(row.reached, Some(Verdict::Short(_))));
    assert!((row.times_peer.expect("a peer") - 1.3e6 / 437e3).abs() < 1e-9);
    let row = judged(&[1.0e6, 1.1e6, 9.0e6], 36.0);
    let Some(Verdict::Short(missed)) = row.held else { panic!("short") };
    assert_eq!(missed, ["100,000/s (8%) below 1,200,000/s", "p99 1.0 ms (3%) above 35.0 ms"]);
    let row = judged(&[], 0.0);
    assert_eq!((row.held, row.reached, row.times_peer), (None, None, None));
}

#[test]
fn the_markdown_holds_every_row_and_command() {
    let race = arguments("--rows uniform-10k");
    let machine = Machine::measure(None).expect("measured");
    let row = judged(&[1.3e6], 30.0);
    let report = RaceReport {
        harness: Harness::now(),
        machine,
        runs: race.runs,
        is_complete: true,
        rows: vec![row],
    };
    let text = print::markdown(&report);
    assert!(
        text.contains("| 10k accounts, batches of 8,192, 3 in flight (uniform-10k) |"),
        "{text}"
    );
    assert!(text.contains("1,300,000/s") && text.contains("| 3.0× | pass; aim: "), "{text}");
    assert!(text.contains(
        "ducat-bench run --workload uniform --accounts 10000 --batch 8192 --in-flight 3"
    ));
}

/// The server's binary beside this test's; says so when it was not built.
fn server(test: &str) -> Option<PathBuf> {
    let test_binary = std::env::current_exe().expect("this test's binary");
    let ducat = test_binary.ancestors().nth(2).expect("target/debug").join("ducat");
    if ducat.is_file() {
        return Some(ducat);
    }
    let reason = format!("{} was not built", ducat.display());
    writeln!(std::io::stderr(), "skipped: {test}: {reason}").expect("stderr is open");
    None
}

#[test]
fn a_race_over_real_servers_leaves_its_results() {
    let Some(ducat) = server("a_race_over_real_servers_leaves_its_results") else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (json, markdown) = (directory.path().join("r.json"), directory.path().join("r.md"));
    let line = format!(
        "--runs 2 --duration 0.3 --warmup 0.1 --rows unary-64,batch100-8,in-process,overload-2 \
         --ducat {} --data-parent {} --json {} --markdown {}",
        ducat.display(),
        directory.path().display(),
        json.display(),
        markdown.display()
    );
    let held = runtime.block_on(race(&arguments(&line))).expect("raced");
    assert!(held);
    let text = std::fs::read_to_string(&json).expect("written");
    let report: RaceReport = serde_json::from_str(&text).expect("as it was written");
    assert!(report.is_complete);
    let overload = report.rows.iter().find(|row| row.name == "overload-2").expect("a row");
    assert_eq!(overload.runs.len(), 1, "{overload:?}");
    assert!(overload.medians.contains_key(&Metric::Goodput2), "{overload:?}");
    for row in report.rows.iter().filter(|row| row.name != "overload-2") {
        assert_eq!(row.runs.len(), 2, "{row:?}");
        // On a busy machine not one batch of a debug build may end within the time.
        assert!(row.medians.contains_key(&Metric::PostedPerS) && row.held.is_some(), "{row:?}");
        assert_eq!(row.medians[&Metric::Errors], 0.0, "{row:?}");
    }
    assert!(std::fs::read_to_string(&markdown).expect("written").contains("(in-process)"));
}
