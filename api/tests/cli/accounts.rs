//! The binary against a real server: accounts, transfers, refusals, repeats, status, and what
//! `verify` and `replay` find afterwards.

use crate::support::{Server, code, json, path_text, run};

#[test]
fn money_moves_once_and_refusals_end_with_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    for account in [["1", "--external"], ["2", "--json"], ["3", "--json"]] {
        let line = [&["account", "create", "--currency", "GBP"][..], &account].concat();
        assert_eq!(code(&server.run(&line)), 0);
    }
    let deposit = ["transfer", "--from", "1", "--to", "2", "--amount", "100.00"];
    let deposit =
        [&deposit[..], &["--currency", "GBP", "--kind", "deposit", "--id", "77"]].concat();
    let first = &server.json(&deposit)[0];
    assert_eq!((&first["code"], &first["repeat"]), (&"POSTED".into(), &false.into()));
    assert_eq!(first["credit"]["posted"], "100.00");
    let again = &server.json(&deposit)[0];
    assert_eq!((&again["lsn"], &again["repeat"]), (&first["lsn"], &true.into()));

    let too_much = ["transfer", "--from", "2", "--to", "3", "--amount", "100.01"];
    let output = server.run(&[&too_much[..], &["--currency", "GBP"]].concat());
    assert_eq!(code(&output), 1);
    assert!(String::from_utf8_lossy(&output.stdout).contains("INSUFFICIENT_FUNDS"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--id "), "the id is printed");
    let decimals = ["transfer", "--from", "2", "--to", "3", "--amount", "0.001"];
    assert_eq!(code(&server.run(&[&decimals[..], &["--currency", "GBP"]].concat())), 2);

    assert_eq!(server.json(&["account", "freeze", "2"])[0]["status"], "frozen");
    assert_eq!(server.json(&["account", "unfreeze", "2"])[0]["status"], "active");
    assert_eq!(code(&server.run(&["account", "close", "2"])), 1, "not empty");
    assert_eq!(code(&server.run(&["account", "show", "2", "9"])), 1, "9 is unknown");
    assert_eq!(server.json(&["account", "list"]).len(), 3);
    let entries = server.json(&["account", "entries", "2"]);
    assert_eq!((entries.len(), &entries[0]["amount"]), (1, &"100.00".into()));
    assert_eq!(server.json(&["asset", "define", "POINTS", "--digits", "0"])[0]["created"], true);

    let status = &server.json(&["status", "--with-state-hash"])[0];
    let data_dir = path_text(&dir.path().join("ledger"));
    assert_eq!(json(&["verify", "--data-dir", &data_dir])[0]["live"], true, "beside the server");
    server.kill();
    let report = &json(&["verify", "--data-dir", &data_dir])[0];
    assert_eq!(report["state_hash"], status["state_hash"]);
    let then = first["lsn"].as_u64().expect("a number");
    let before = (then - 1).to_string();
    let replay =
        |lsn: &str| json(&["replay", "--data-dir", &data_dir, "--to-lsn", lsn, "--account", "2"]);
    assert_eq!(replay(&before)[0]["posted"], "0.00");
    assert_eq!(replay(&then.to_string())[0]["posted"], "100.00");
    let last = report["last_lsn"].as_u64().expect("a number");
    let beyond = (last + 1).to_string();
    let output = run(&["replay", "--data-dir", &data_dir, "--to-lsn", &beyond]);
    assert_eq!(code(&output), 1);
    assert!(output.stdout.is_empty(), "no state of another moment");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("ends at LSN {last}")), "{said}");
}

#[test]
fn no_server_ends_with_69_and_no_ledger_with_2() {
    let output = run(&["--server", "http://127.0.0.1:1", "status"]);
    assert_eq!(code(&output), 69);
    assert!(output.stdout.is_empty());
    for server in ["https://127.0.0.1:1", "http://127.0.0.1:1/ledger", "nonsense"] {
        assert_eq!(code(&run(&["--server", server, "status"])), 2, "{server}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(code(&run(&["verify", "--data-dir", &path_text(dir.path())])), 2);
}

#[test]
fn balances_are_printed_in_each_accounts_own_currency() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    server.json(&["asset", "define", "POINTS", "--digits", "1"]);
    for (id, currency, external) in [
        ("1", "JPY", true),
        ("2", "JPY", false),
        ("3", "GBP", false),
        ("4", "POINTS", true),
        ("5", "POINTS", false),
    ] {
        let line = ["account", "create", id, "--currency", currency];
        let external: &[&str] = if external { &["--external"] } else { &[] };
        assert_eq!(code(&server.run(&[&line[..], external].concat())), 0);
    }
    let transfer = |from: &str, to: &str, amount: &str, currency: &str, kind: &str| {
        let ends = ["transfer", "--from", from, "--to", to, "--amount", amount];
        let rest = ["--currency", currency, "--kind", kind, "--json"];
        let output = server.run(&[&ends[..], &rest].concat());
        let line = String::from_utf8(output.stdout).expect("UTF-8");
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON")
    };
    let yen = transfer("1", "2", "5000", "JPY", "deposit");
    assert_eq!(
        (&yen["credit"]["posted"], &yen["credit"]["currency"]),
        (&"5000".into(), &"JPY".into())
    );
    assert!(yen["debit"]["available"].is_null(), "an external account has no limit");
    let refused = transfer("3", "2", "1.00", "GBP", "transfer");
    assert_eq!(refused["posted"], false);
    for (side, currency, posted) in [("debit", "GBP", "0.00"), ("credit", "JPY", "5000")] {
        let balance = &refused[side];
        assert!(balance.is_null() || balance["currency"] == currency, "{refused}");
        assert!(balance.is_null() || balance["posted"] == posted, "{refused}");
    }
    assert!(!refused["credit"].is_null(), "{refused}");
    let points = transfer("4", "5", "15.0", "POINTS", "deposit");
    assert_eq!(points["credit"]["posted"], "15.0");
}

#[test]
fn a_ready_file_is_checked_first_and_goes_with_the_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let nowhere = path_text(&dir.path().join("missing/ready"));
    let data_dir = path_text(&dir.path().join("never"));
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &data_dir];
    let output = run(&[&serve[..], &["--ready-file", &nowhere]].concat());
    assert_eq!(code(&output), 73);
    assert!(output.stdout.is_empty(), "no banner");
    assert!(!dir.path().join("never").exists(), "nothing was begun");
    let server = Server::start(dir.path(), 1);
    assert!(dir.path().join("ready").exists());
    assert_eq!(server.signal(libc::SIGTERM).code(), Some(0));
    assert!(!dir.path().join("ready").exists());
}
