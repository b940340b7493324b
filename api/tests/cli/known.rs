//! What is known of accounts, from the command line: opened with it, changed, listed by it, its
//! history; and the same in replay, diff, a restored ledger and a fork.

use crate::support::{Server, code, json, path_text, run, stderr, stdout};
use serde_json::Value;

fn ids(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["id"].as_str()).collect()
}

#[test]
fn accounts_are_described_found_and_remembered() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 2);
    let create = |id: &str, more: &[&str]| {
        let line = ["account", "create", id, "--currency", "GBP"];
        code(&server.run(&[&line[..], more].concat()))
    };
    assert_eq!(create("1", &["--external", "--kind", "asset", "--label", "the bank"]), 0);
    let anna = ["--kind", "liability", "--owner", "anna", "--meta", "branch=7", "--meta", "a=b=c"];
    assert_eq!(create("2", &anna), 0);
    assert_eq!(create("2", &anna), 0, "the same again");
    assert_eq!(create("2", &[]), 1, "it was opened with more");
    assert_eq!(create("3", &["--owner", "anna", "--label", "savings"]), 0);
    assert_eq!(create("4", &[]), 0);
    assert_eq!(create("5", &["--kind", "debt"]), 2);
    assert_eq!(create("5", &["--meta", "nothing"]), 2);
    assert_eq!(create("5", &["--meta", "two words=1"]), 2, "refused by the server");

    let shown = &server.json(&["account", "show", "2"])[0];
    assert_eq!((&shown["kind"], &shown["normal_side"]), (&"liability".into(), &"credit".into()));
    assert_eq!((&shown["owner"], &shown["metadata"]["a"]), (&"anna".into(), &"b=c".into()));
    let text = stdout(&server.run(&["account", "show", "2"]));
    assert!(text.contains("grows by credits") && text.contains("meta branch"), "{text}");

    let set = ["account", "set", "2", "--kind", "none", "--label", "joint", "--meta", "tier=gold"];
    let set = [&set[..], &["--remove-meta", "branch"]].concat();
    let changed = &server.json(&set)[0];
    assert!(changed["kind"].is_null() && changed["metadata"]["branch"].is_null(), "{changed}");
    assert_eq!((&changed["label"], &changed["owner"]), (&"joint".into(), &"anna".into()));
    let status = |id: &str, status: &str, reason: &str| {
        let line = ["account", "status", id, status, "--reason", reason];
        server.json(&line).remove(0)
    };
    let frozen = status("3", "frozen", "suspected fraud");
    assert_eq!(frozen["status_reason"], "suspected fraud");
    status("4", "closed", "");
    status("4", "debits-blocked", "by mistake");
    assert_eq!(code(&server.run(&["account", "status", "4", "shut"])), 2);

    assert_eq!(create("6", &["--overdraft", "5.00", "--floor", "-2.00", "--ceiling", "9.00"]), 0);
    assert_eq!(create("7", &["--floor", "1.00"]), 2, "it would open below its floor");
    let limits = ["account", "limits", "6", "--overdraft", "7.00", "--ceiling", "none"];
    let limited = &server.json(&limits)[0];
    assert_eq!((&limited["overdraft_limit"], &limited["floor"]), (&"7.00".into(), &"-2.00".into()));
    assert!(limited["ceiling"].is_null());
    assert_eq!(code(&server.run(&["account", "limits", "6", "--floor", "0.01"])), 1);
    let text = stdout(&server.run(&["account", "history", "6"]));
    assert!(text.contains("overdraft 7.00, floor -2.00"), "{text}");
    let list = |filter: &[&str]| server.json(&[&["account", "list"], filter].concat());
    assert_eq!(ids(&list(&["--owner", "anna"])), ["2", "3"]);
    assert_eq!(ids(&list(&["--owner", ""])), ["1", "4", "6"]);
    assert_eq!(ids(&list(&["--kind", "asset"])), ["1"]);
    assert_eq!(ids(&list(&["--kind", "none", "--external", "false"])), ["2", "3", "4", "6"]);
    assert_eq!(ids(&list(&["--status", "frozen", "--currency", "GBP"])), ["3"]);
    assert_eq!(ids(&list(&["--label-prefix", "jo", "--meta", "tier=gold"])), ["2"]);
    assert_eq!(ids(&list(&["--external"])), ["1"]);
    assert!(list(&["--currency", "EUR"]).is_empty());
    assert_eq!(code(&server.run(&["account", "list", "--currency", "EURO"])), 2);
    let table = stdout(&server.run(&["account", "list", "--owner", "anna", "--limit", "1"]));
    assert!(table.contains("owner") && table.contains("joint"), "{table}");

    let history = server.json(&["account", "history", "4", "--limit", "0"]);
    let events: Vec<_> = history.iter().map(|line| line["event"].as_str()).collect();
    assert_eq!(events, [Some("status"), Some("status"), Some("opened")]);
    assert_eq!(
        (&history[0]["status"], &history[1]["status"]),
        (&"debits-blocked".into(), &"closed".into())
    );
    assert_eq!(history[0]["reason"], "by mistake");
    let newest = server.run(&["account", "history", "4", "--limit", "1"]);
    assert!(stdout(&newest).contains("because: by mistake"));
    assert!(stderr(&newest).contains("older events follow"));
    assert_eq!(code(&server.run(&["account", "history", "99"])), 1);

    let state = &server.json(&["status", "--with-state-hash"])[0];
    let last = state["last_lsn"].as_u64().expect("a number");
    server.kill();
    offline(dir.path(), state, last);
    let server = Server::start(dir.path(), 1);
    assert_eq!(server.json(&["status", "--with-state-hash"])[0]["state_hash"], state["state_hash"]);
    assert_eq!(server.json(&["account", "show", "2"])[0], *changed);
    assert_eq!(server.json(&["account", "history", "4"]), history);
}

/// The same from the files alone, and in copies.
fn offline(dir: &std::path::Path, state: &Value, last: u64) {
    let data_dir = path_text(&dir.join("ledger"));
    let of = ["--data-dir", &data_dir];
    let verified = &json(&[&["verify"][..], &of].concat())[0];
    assert_eq!(verified["state_hash"], state["state_hash"]);
    let printed = json(&[&["replay", "--print", "--account", "4"][..], &of].concat());
    let events: Vec<_> = printed.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(events, ["account-opened", "status-changed", "status-changed"]);
    assert_eq!(printed[2]["reason"], "by mistake");
    let printed = stdout(&run(&[&["replay", "--print", "--account", "2"][..], &of].concat()));
    assert!(printed.contains("owner 'anna'") && printed.contains("branch removed"), "{printed}");
    let diff = json(&[&["diff", "--from-lsn", "4"][..], &of].concat());
    let of_account = |id: &str| diff.iter().find(|line| line["id"] == id);
    assert!(of_account("2").expect("changed")["changed_lsn"].as_u64() > Some(4));
    let three = of_account("3").expect("changed");
    assert_eq!((&three["status_after"], &three["changed_lsn"]), (&"frozen".into(), &Value::Null));
    assert!(of_account("1").is_none());
    let printed = stdout(&run(&[&["replay", "--print", "--account", "6"][..], &of].concat()));
    assert!(printed.contains("has overdraft 7.00, floor -2.00"), "{printed}");
    assert!(printed.contains("overdraft 5.00, floor -2.00, ceiling 9.00"), "{printed}");
    for (command, name) in [("restore", "restored"), ("fork", "forked")] {
        let into = path_text(&dir.join(name));
        let last = last.to_string();
        let line: &[&str] = match command {
            "restore" => &["restore", "--to-lsn", &last, "--into", &into],
            _ => &["fork", "--name", "what if", "--into", &into],
        };
        let output = run(&[line, &of[..]].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let copied = &json(&["verify", "--data-dir", &into])[0];
        assert_eq!(copied["state_hash"], state["state_hash"], "{command}");
    }
    // A snapshot from replay, and a start from it.
    let made = run(&[&["snapshot", "create"][..], &of].concat());
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let sound = run(&[&["snapshot", "verify"][..], &of].concat());
    assert_eq!(code(&sound), 0, "{}", stderr(&sound));
}
