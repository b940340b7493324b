//! `ducat doctor --environment` on machines as they are, and as they should not be.

use crate::support::{binary, code, path_text, run, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Looks at the machine for this directory.
fn look(dir: &str) -> Output {
    run(&["--json", "doctor", "--environment", "--data-dir", dir])
}

/// The same under limits of the shell: `-n 100`.
fn look_within(limit: &str, dir: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]).arg(binary());
    command.args(["--json", "doctor", "--environment", "--data-dir", dir]);
    command.output().expect("the shell runs")
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("JSON: {output:?}"))
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn a_machine_is_looked_at_and_its_directory_left_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    // The server makes it at its first start.
    let ledger = dir.path().join("ledger");
    let output = look(&path_text(&ledger));
    let report = report(&output);
    for name in [
        "directory",
        "filesystem",
        "disk sync",
        "disk space",
        "open files",
        "file size",
        "processes",
        "core dumps",
        "memory",
        "swap",
        "huge pages",
        "clock",
        "time service",
        "processors",
        "loopback",
    ] {
        let check = check(&report, name);
        assert!(!check["found"].as_str().expect("a text").is_empty(), "{check}");
        let is_ok = check["weight"] == "ok";
        assert_eq!(is_ok, check["way_out"].is_null(), "a way out of what is not well: {check}");
    }
    let sync = check(&report, "disk sync")["found"].as_str().expect("a text").to_owned();
    assert!(sync.contains("(p50)") && sync.contains("longest of 300"), "{sync}");
    assert_eq!(check(&report, "directory")["weight"], "ok");
    assert_eq!(check(&report, "loopback")["weight"], "ok");
    let exit = match report["worst"].as_str().expect("a weight") {
        "ok" => 0,
        "warning" => 1,
        _ => 69,
    };
    assert_eq!(code(&output), exit, "{report}");
    assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0, "nothing is left");
    let text = run(&["doctor", "--environment", "--data-dir", &path_text(&ledger)]);
    // Looked at again, a disk may have been slower.
    assert!([0, 1, 69].contains(&code(&text)), "{}", stderr(&text));
    assert!(stdout(&text).contains("disk sync"), "{}", stdout(&text));
}

#[test]
fn a_directory_that_cannot_be_written_is_a_problem() {
    // Nobody writes there, root included.
    let output = look("/proc/nothing/ledger");
    assert_eq!(code(&output), 73, "{}", stderr(&output));
    let report = report(&output);
    let directory = check(&report, "directory");
    assert_eq!(directory["weight"], "problem");
    assert!(directory["found"].as_str().expect("a text").contains("/proc"), "{directory}");
    assert!(stderr(&output).contains("cannot write its directory"), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_no_disk() {
    if !Path::new("/dev/shm").is_dir() {
        return;
    }
    let output = look("/dev/shm/ducat-ledger");
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    let report = report(&output);
    let filesystem = check(&report, "filesystem");
    assert_eq!(filesystem["weight"], "problem");
    let means = filesystem["means"].as_str().expect("a text");
    assert!(means.contains("survives a loss of power"), "{means}");
}

#[test]
fn low_limits_are_told_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = path_text(dir.path());
    for (limit, name, weight, exit) in [
        ("-n 100", "open files", "problem", 69),
        ("-n 1000", "open files", "warning", 1),
        ("-f 100000", "file size", "problem", 69),
        ("-c unlimited", "core dumps", "warning", 1),
    ] {
        let output = look_within(limit, &dir);
        if name == "core dumps" && stderr(&output).contains("ulimit") {
            // The hard limit forbids them here: as it should be.
            continue;
        }
        let report = report(&output);
        assert_eq!(check(&report, name)["weight"], weight, "{limit}: {report}");
        let way_out = check(&report, name)["way_out"].as_str().expect("a text");
        assert!(way_out.contains("of the unit"), "{way_out}");
        // Another problem of the machine that the test runs on weighs more.
        assert!(code(&output) >= exit, "{limit}: {}", code(&output));
    }
}
