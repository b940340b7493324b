//! `ducat hold` against a real server: each operation, refusals, a server restarted, and what
//! replay prints of it.

use crate::support::{Server, code, json, path_text, run, stderr, stdout};
use serde_json::Value;
use std::time::{Duration, Instant};

fn open_accounts(server: &Server) {
    for (id, external) in [("1", true), ("2", false), ("3", false)] {
        let mut line = vec!["account", "create", id, "--currency", "GBP"];
        line.extend(external.then_some("--external"));
        assert_eq!(code(&server.run(&line)), 0);
    }
    let deposit = ["transfer", "--from", "1", "--to", "2", "--amount", "100.00"];
    let deposit =
        [&deposit[..], &["--currency", "GBP", "--kind", "deposit", "--id", "77"]].concat();
    server.json(&deposit);
}

fn place<'a>(id: &'a str, amount: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let line = ["hold", "place", "--from", "2", "--to", "3", "--currency", "GBP"];
    [&line[..], &["--id", id, "--amount", amount], more].concat()
}

fn held(server: &Server) -> Vec<Value> {
    let account = &server.json(&["account", "show", "2"])[0];
    ["posted", "held", "available"].map(|field| account[field].clone()).to_vec()
}

#[test]
fn holds_are_placed_captured_voided_and_extended_and_survive_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 2);
    open_accounts(&server);
    let first = &server.json(&place("10", "60.00", &["--expires-in", "7d"]))[0];
    assert_eq!((&first["code"], &first["hold"]["state"]), (&"POSTED".into(), &"open".into()));
    assert_eq!(first["hold"]["remaining"], "60.00");
    assert_eq!(first["debit"]["available"], "40.00");
    let again = &server.json(&place("10", "60.00", &["--expires-in", "7d"]))[0];
    assert_eq!((&again["repeat"], &again["hold"]), (&true.into(), &first["hold"]));
    assert_eq!(held(&server), ["100.00", "60.00", "40.00"]);
    server.json(&place("11", "30.00", &["--over-capture-max", "5.00"]));
    let too_much = server.run(&place("12", "10.01", &[]));
    assert_eq!(code(&too_much), 1);
    assert!(stdout(&too_much).contains("INSUFFICIENT_FUNDS"), "{}", stdout(&too_much));

    server.kill();
    let server = Server::start(dir.path(), 1);
    assert_eq!(held(&server), ["100.00", "90.00", "10.00"]);
    let shown = server.json(&["hold", "show", "10"]);
    assert_eq!((&shown[0]["state"], &shown[0]["amount"]), (&"open".into(), &"60.00".into()));
    assert_eq!(shown[0]["expires"], first["hold"]["expires"]);
    let part = server.json(&["hold", "capture", "10", "--amount", "15.00", "--id", "20"]);
    assert_eq!(
        (&part[0]["hold"]["captured"], &part[0]["hold"]["remaining"]),
        (&"15.00".into(), &"45.00".into())
    );
    let text =
        stdout(&server.run(&["hold", "capture", "10", "--amount", "20", "--last", "--id", "21"]));
    assert!(text.contains("outcome         CAPTURED"), "{text}");
    assert!(
        text.contains("10 is captured: 20.00 GBP captured, 45.00 GBP taken off, 0.00 GBP remain"),
        "{text}"
    );
    let closed = server.run(&["hold", "void", "10", "--id", "22"]);
    assert_eq!(code(&closed), 1);
    assert!(stdout(&closed).contains("hold 10 was captured to its end"), "{}", stdout(&closed));
    let longer = server.json_of_any(&["hold", "extend", "11", "--expires-in", "90m", "--id", "23"]);
    assert_eq!(longer[0]["code"], "HOLD_EXTENSION_TOO_SHORT", "it never expires");
    let over = server.json_of_any(&["hold", "capture", "11", "--amount", "35.01", "--id", "24"]);
    assert_eq!(over[0]["code"], "HOLD_EXCEEDED");
    assert!(over[0]["explanation"].as_str().expect("told").contains("at most 35.00 GBP"));
    let listed = server.json(&["hold", "list", "--account", "2"]);
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["id"], &listed[0]["expires"]), (&"11".into(), &"never".into()));
    server.json(&["hold", "void", "11", "--id", "25"]);
    assert_eq!(held(&server), ["65.00", "0.00", "65.00"]);
    let none = server.run(&["hold", "show", "10", "11", "99"]);
    assert_eq!(code(&none), 1);
    assert!(stderr(&none).contains("no hold has the id 99"), "{}", stderr(&none));
    assert!(stdout(&none).contains("captured") && stdout(&none).contains("voided"));
    let entries = server.json(&["account", "entries", "3"]);
    let amounts: Vec<_> = entries.iter().map(|entry| entry["amount"].clone()).collect();
    assert_eq!(amounts, ["20.00", "15.00"]);
    let status = &server.json(&["status"])[0];
    assert_eq!(status["open_holds"], 0);
    server.signal(15);

    let data = path_text(&dir.path().join("ledger"));
    assert_eq!(code(&run(&["verify", "--data-dir", &data])), 0);
    let events = json(&["replay", "--data-dir", &data, "--print"]);
    let kinds: Vec<_> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    for kind in ["held", "captured", "voided", "hold-refused"] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
}

#[test]
fn a_hold_whose_time_was_over_while_no_server_ran_has_expired() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    open_accounts(&server);
    server.json(&place("10", "60.00", &["--expires-in", "1ms"]));
    server.json(&place("11", "5.00", &["--expires-in", "never"]));
    server.kill();
    let server = Server::start(dir.path(), 2);
    let refused = server.json_of_any(&["hold", "capture", "10", "--id", "20"]);
    assert_eq!(refused[0]["code"], "HOLD_EXPIRED");
    let end = Instant::now() + Duration::from_secs(60);
    while held(&server) != ["100.00", "5.00", "95.00"] {
        assert!(Instant::now() < end, "{:?}", held(&server));
        std::thread::sleep(Duration::from_millis(20));
    }
    let shown = server.json(&["hold", "show", "10", "11"]);
    let states: Vec<_> = shown.iter().map(|hold| hold["state"].clone()).collect();
    assert_eq!(states, ["expired", "open"]);
    server.kill();
    let data = path_text(&dir.path().join("ledger"));
    let events = json(&["replay", "--data-dir", &data, "--print"]);
    assert!(events.iter().any(|event| event["event"] == "expired" && event["amount"] == "60.00"));
}

#[test]
fn wrong_usage_of_holds_ends_with_2() {
    for line in [
        vec!["hold"],
        vec!["hold", "capture"],
        vec!["hold", "void", "0"],
        vec!["hold", "extend", "1"],
        vec!["hold", "extend", "1", "--expires-in", "soon"],
        vec!["hold", "capture", "1", "--currency", "GBP"],
        vec!["hold", "list"],
        vec!["hold", "place", "--from", "1", "--to", "2", "--amount", "1"],
    ] {
        assert_eq!(code(&run(&line)), 2, "{line:?}");
    }
}
