//! `ducat audit` against a real server, which is killed meanwhile, and from its files.

use crate::support::{Server, code, json, path_text, run, stdout};
use serde_json::Value;

fn open_accounts(server: &Server) {
    for (id, external) in [("1", true), ("2", false)] {
        let mut line = vec!["account", "create", id, "--currency", "GBP"];
        line.extend(external.then_some("--external"));
        assert_eq!(code(&server.run(&line)), 0);
    }
}

fn deposit(server: &Server, id: &str, amount: &str) {
    let line = ["transfer", "--from", "1", "--to", "2", "--amount", amount, "--id", id];
    let line = [&line[..], &["--currency", "GBP", "--kind", "deposit"]].concat();
    assert_eq!(code(&server.run(&line)), 0);
}

#[test]
fn what_was_answered_is_told_of_after_a_kill_by_server_and_files_alike() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(dir.path(), 1, &["--audit", "on"]);
    open_accounts(&server);
    deposit(&server, "900", "5.00");
    // At once: the answer was there, so who asked for it is durable.
    server.kill();
    let ledger = path_text(&dir.path().join("ledger"));
    let files = ["audit", "list", "--data-dir", &ledger, "--kind", "write"];
    let told = json(&files);
    let methods: Vec<&str> = told.iter().filter_map(|line| line["method"].as_str()).collect();
    assert_eq!(methods, ["Ledger/CreateAccounts", "Ledger/CreateAccounts", "Ledger/Transfer"]);
    assert_eq!((&told[2]["outcome"], &told[2]["done"]), (&"done".into(), &1.into()));

    let server = Server::start_with(dir.path(), 2, &["--audit", "on"]);
    assert_eq!(server.json(&["audit", "list", "--kind", "write"]), told);
    for which in [["--account", "2"], ["--transfer", "900"], ["--method", "Ledger/Transfer"]] {
        let of_server = server.json(&[&["audit", "list", "--kind", "write"], &which[..]].concat());
        let of_files = json(&[&files[..], &which].concat());
        assert_eq!(of_server, of_files, "{which:?}");
        assert!(!of_server.is_empty() && of_server.len() < 3, "{which:?}: {of_server:?}");
    }
    let lsn = told[2]["lsn"].to_string();
    assert_eq!(server.json(&["audit", "show", &lsn]), told[2..]);
    assert_eq!(json(&["audit", "show", &lsn, "--data-dir", &ledger]), told[2..]);
    assert_eq!(code(&server.run(&["audit", "show", "1"])), 1, "an account was opened there");

    let replayed = json(&["replay", "--data-dir", &ledger, "--print"]);
    let audits: Vec<&Value> = replayed.iter().filter(|line| line["event"] == "audit").collect();
    assert_eq!(audits.len(), told.len());
    assert_eq!(audits[2]["access"]["method"], "Ledger/Transfer");
    assert_eq!(code(&run(&["verify", "--data-dir", &ledger])), 0);
}

#[test]
fn it_is_exported_and_summed_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start_with(dir.path(), 1, &["--audit", "on"]);
    open_accounts(&server);
    for id in ["1", "2", "3"] {
        deposit(&server, id, "1.00");
    }
    let csv = path_text(&dir.path().join("trail.csv"));
    let export = ["audit", "export", "--kind", "write", "--format", "csv", "--out", &csv];
    assert_eq!(code(&server.run(&export)), 0);
    assert_eq!(code(&server.run(&export)), 73, "what is there is not overwritten");
    let text = std::fs::read_to_string(&csv).expect("written");
    assert!(text.starts_with("lsn,time,kind,severity,outcome,principal"), "{text}");
    assert_eq!(text.lines().count(), 1 + 5);
    let lines = stdout(&server.run(&["audit", "export", "--kind", "write"]));
    assert_eq!(lines.lines().count(), 5);
    for line in lines.lines() {
        let _object: Value = serde_json::from_str(line).expect("JSON");
    }
    let summary = server.json(&["audit", "summary"]).swap_remove(0);
    assert_eq!((&summary["writes"], &summary["done"]), (&5.into(), &5.into()));
    assert_eq!(summary["patterns"], Value::Array(vec![]));
    let none = server.json(&["audit", "summary", "--to", "1971-01-01T00:00:00Z"]).swap_remove(0);
    assert_eq!(none["events"], 0);
    assert!(stdout(&server.run(&["audit", "summary"])).contains("requests done"));
    // A limit is a limit, and says so.
    let output = server.run(&["audit", "list", "--limit", "2"]);
    assert_eq!(stdout(&output).lines().count(), 2);
    assert!(crate::support::stderr(&output).contains("there are more"));
}

#[test]
fn without_it_nothing_is_told_and_production_wants_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    open_accounts(&server);
    assert_eq!(stdout(&server.run(&["audit", "list"])), "");
    let refused = run(&["config", "check", "--profile", "production", "--audit", "off"]);
    assert_eq!(code(&refused), 2);
    assert!(crate::support::stderr(&refused).contains("audit.trail"));
}
