//! `ducat snapshot` on a data directory and against a server, and starts from snapshots.

use crate::support::{Server, code, json, path_text, run};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An outside account 1, and account 2.
fn open_accounts(server: &Server) {
    for account in [&["1", "--external"][..], &["2"]] {
        let line = [&["account", "create", "--currency", "GBP"][..], account].concat();
        assert_eq!(code(&server.run(&line)), 0);
    }
}

/// Deposits under these ids, each twice its id in pounds; gives the outcomes.
fn deposit(server: &Server, ids: std::ops::Range<u32>) -> Vec<Value> {
    let outcome = |id: u32| {
        let (amount, id) = (format!("{}.00", id * 2), id.to_string());
        let line = ["transfer", "--from", "1", "--to", "2", "--currency", "GBP", "--kind"];
        let rest = ["deposit", "--amount", &amount, "--id", &id];
        server.json(&[&line[..], &rest].concat()).remove(0)
    };
    ids.map(outcome).collect()
}

fn state_hash(server: &Server) -> Value {
    server.json(&["status", "--with-state-hash"])[0]["state_hash"].clone()
}

/// Changes a bit in the middle of a snapshot.
fn spoil(path: &str) {
    let mut bytes = std::fs::read(path).expect("is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path, bytes).expect("written");
}

fn in_dir<'a>(dir: &'a str, line: &[&'a str]) -> Vec<&'a str> {
    [&["snapshot"][..], line, &["--data-dir", dir]].concat()
}

#[test]
fn a_directory_gets_snapshots_and_starts_from_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let data_dir = path_text(&dir.path().join("ledger"));
    let server = Server::start(dir.path(), 1);
    assert_eq!(code(&run(&in_dir(&data_dir, &["create"]))), 75, "the server holds it");
    assert_eq!(json(&in_dir(&data_dir, &["list"])).len(), 0, "looking is allowed");
    server.kill();
    assert_eq!(code(&run(&in_dir(&data_dir, &["create"]))), 1, "nothing has happened");
    assert_eq!(code(&run(&in_dir(&data_dir, &["verify"]))), 1, "there is none");
    assert_eq!(code(&run(&in_dir(&data_dir, &["show"]))), 1, "there is none");

    let server = Server::start(dir.path(), 1);
    open_accounts(&server);
    let first = deposit(&server, 1..6);
    let hash = state_hash(&server);
    server.kill();
    let made = json(&in_dir(&data_dir, &["create"])).remove(0);
    assert_eq!((&made["state_hash"], &made["lsn"]), (&hash, &7.into()));
    assert_eq!((&made["accounts"], &made["remembered_ids"]), (&2.into(), &5.into()));
    let again = json(&in_dir(&data_dir, &["create", "--from-beginning"])).remove(0);
    assert_eq!(again["state_hash"], made["state_hash"]);
    assert_eq!(json(&in_dir(&data_dir, &["list"])).len(), 1, "it took the first one's place");

    // Started from it, on other partitions: the same state, and ids older than it are known.
    let server = Server::start(dir.path(), 4);
    assert_eq!(state_hash(&server), hash);
    for (again, first) in deposit(&server, 1..6).iter().zip(&first) {
        assert_eq!((&again["repeat"], &again["lsn"]), (&true.into(), &first["lsn"]));
    }
    deposit(&server, 6..9);
    let hash = state_hash(&server);
    assert_eq!(json(&in_dir(&data_dir, &["verify"])).remove(0)["journal"], "not-looked-at");
    server.kill();
    let newer = json(&in_dir(&data_dir, &["create"])).remove(0);
    assert_eq!((&newer["state_hash"], &newer["lsn"]), (&hash, &10.into()));
    let shown = json(&in_dir(&data_dir, &["show", "7"])).remove(0);
    assert_eq!((&shown["digest"], &shown["sound"]), (&again["digest"], &true.into()));
    for line in json(&in_dir(&data_dir, &["verify"])) {
        assert_eq!((&line["sound"], &line["journal"]), (&true.into(), &"continued".into()));
    }

    // The newest is damaged: said, and the one before is used.
    let file = newer["file"].as_str().expect("a path");
    spoil(file);
    let output = run(&in_dir(&data_dir, &["verify"]));
    assert_eq!(code(&output), 65);
    assert!(said(&output).contains("is damaged in block"), "{}", said(&output));
    assert_eq!(code(&run(&in_dir(&data_dir, &["show"]))), 65);
    let server = Server::start(dir.path(), 1);
    assert_eq!(state_hash(&server), hash);
    server.kill();

    let bytes = std::fs::read(file).expect("is there");
    std::fs::write(file, &bytes[..bytes.len() / 2]).expect("cut off");
    let listed = json(&in_dir(&data_dir, &["list"]));
    let usable: Vec<_> = listed.iter().map(|line| line["usable"].clone()).collect();
    assert_eq!(usable, [false, true]);
    assert_eq!(code(&run(&in_dir(&data_dir, &["prune", "--keep", "0"]))), 2);
    let removed = json(&in_dir(&data_dir, &["prune", "--keep", "1"])).remove(0);
    assert_eq!(removed["removed"].as_array().map(Vec::len), Some(0), "the damaged does not count");
    assert!(Path::new(file).exists());
}

#[test]
fn a_server_takes_snapshots_and_is_asked_about_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let data_dir = path_text(&dir.path().join("ledger"));
    let server = Server::start(dir.path(), 2);
    let snapshot = |line: &[&str]| server.json(&[&["snapshot"][..], line].concat()).remove(0);
    let refused = |line: &[&str]| server.run(&[&["snapshot"][..], line].concat());
    let status = || server.json(&["status"])[0]["snapshots"].clone();
    assert_eq!(status()["last_lsn"], Value::Null);
    let empty = refused(&["create"]);
    assert_eq!(code(&empty), 1, "nothing has happened");
    assert!(said(&empty).contains("the ledger has no events"), "{}", said(&empty));
    assert_eq!(code(&refused(&["verify"])), 1, "there is none");
    assert_eq!(code(&refused(&["show"])), 1, "there is none");
    assert_eq!(code(&refused(&["list"])), 0);

    open_accounts(&server);
    deposit(&server, 1..6);
    let made = snapshot(&["create"]);
    assert_eq!((&made["lsn"], &made["accounts"]), (&7.into(), &2.into()));
    assert_eq!((&made["remembered_ids"], &made["created"]), (&5.into(), &true.into()));
    assert_eq!(made["state_hash"], state_hash(&server));
    assert!(made["took_ns"].as_u64().is_some_and(|ns| ns > 0));
    let file = made["file"].as_str().expect("a path").to_owned();
    assert_eq!(made["bytes"], std::fs::metadata(&file).expect("is there").len());
    let last = status();
    assert_eq!((&last["last_lsn"], &last["last_bytes"]), (&7.into(), &made["bytes"]));
    assert_eq!((&last["taken"], &last["failures"]), (&1.into(), &0.into()));
    let again = snapshot(&["create"]);
    assert_eq!((&again["created"], &again["digest"]), (&false.into(), &made["digest"]));
    let text = String::from_utf8(refused(&["create"]).stdout).expect("UTF-8");
    assert!(text.contains("there already") && text.contains("state hash"), "{text}");

    deposit(&server, 6..9);
    let newer = snapshot(&["create"]);
    assert_eq!(newer["lsn"], 10);
    let shown = snapshot(&["show", "7"]);
    assert_eq!((&shown["digest"], &shown["journal"]), (&made["digest"], &"continued".into()));
    assert_eq!(shown["totals"], made["totals"]);
    let listed = server.json(&["snapshot", "list"]);
    assert_eq!(listed, json(&in_dir(&data_dir, &["list"])), "the same as seen from the outside");
    let missing = refused(&["show", "8"]);
    assert_eq!(code(&missing), 1);
    assert!(said(&missing).contains("no snapshot at LSN 8"), "{}", said(&missing));

    // The newest is damaged: found, kept as evidence, and the one before it is not removed.
    let newest = newer["file"].as_str().expect("a path");
    spoil(newest);
    let output = refused(&["verify"]);
    assert_eq!(code(&output), 65);
    assert!(said(&output).contains("LSN 10: ") && said(&output).contains("is damaged in block"));
    assert_eq!(code(&refused(&["show", "newest"])), 65);
    assert_eq!(code(&refused(&["prune", "--keep", "0"])), 2);
    let removed = snapshot(&["prune", "--keep", "1"]);
    assert_eq!(removed["removed"].as_array().map(Vec::len), Some(0), "the damaged does not count");
    // Asked for again at the same moment, it is written again.
    let mended = snapshot(&["create"]);
    assert_eq!((&mended["created"], &mended["state_hash"]), (&true.into(), &newer["state_hash"]));
    assert_eq!(code(&refused(&["verify"])), 0);
    assert_eq!(snapshot(&["prune", "--keep", "1"])["removed"], serde_json::json!([7]));
    server.kill();
    let server = Server::start(dir.path(), 1);
    assert_eq!(state_hash(&server), mended["state_hash"]);
    let last = server.json(&["status"])[0]["snapshots"].clone();
    assert_eq!((&last["last_lsn"], &last["last_took_ns"]), (&10.into(), &Value::Null));
}

#[test]
fn a_snapshot_that_cannot_be_written_stops_nothing_and_is_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    open_accounts(&server);
    let in_the_way = dir.path().join("ledger/shard-0/snapshots");
    std::fs::write(&in_the_way, "a file where the directory belongs").expect("written");
    let output = server.run(&["snapshot", "create"]);
    assert_eq!(code(&output), 69);
    assert!(said(&output).contains("could not create"), "{}", said(&output));
    let status = server.json(&["status"])[0]["snapshots"].clone();
    assert_eq!(status["failures"], 1);
    assert!(status["failure"].as_str().is_some_and(|why| why.contains("could not create")));
    assert_eq!(deposit(&server, 1..2).len(), 1, "it serves");
    std::fs::remove_file(&in_the_way).expect("ours");
    assert_eq!(server.json(&["snapshot", "create"])[0]["lsn"], 3);
    assert_eq!(server.json(&["status"])[0]["snapshots"]["failure"], Value::Null);
}
