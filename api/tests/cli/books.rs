//! The past and the books as a whole on the command line: a server's answers are those of its
//! files.

use crate::support::{Server, code, json, run, stderr, stdout};
use std::path::Path;

fn fill(server: &Server) {
    let done = |args: &[&str]| {
        let output = server.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
    };
    done(&["asset", "define", "POINTS", "--digits", "0"]);
    done(&["account", "create", "1", "--currency", "GBP", "--external"]);
    done(&["account", "create", "2", "--currency", "GBP"]);
    done(&["account", "create", "3", "--currency", "POINTS", "--overdraft", "50"]);
    done(&["account", "create", "4", "--currency", "POINTS"]);
    for (id, amount) in [("10", "1.10"), ("11", "2.20"), ("12", "3.30")] {
        done(&[
            "transfer",
            "--id",
            id,
            "--from",
            "1",
            "--to",
            "2",
            "--amount",
            amount,
            "--currency",
            "GBP",
            "--kind",
            "deposit",
        ]);
    }
    done(&[
        "transfer",
        "--id",
        "13",
        "--from",
        "3",
        "--to",
        "4",
        "--amount",
        "7",
        "--currency",
        "POINTS",
    ]);
}

fn ledger(dir: &Path) -> String {
    dir.join("ledger").to_str().expect("UTF-8").to_owned()
}

#[test]
fn balances_and_statements_of_the_past_are_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    fill(&server);
    let text = |args: &[&str]| {
        let output = server.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    };
    assert_eq!(
        text(&["account", "balance", "2", "--at", "7"]),
        "account 2 had 3.30 GBP at LSN 7, last entry at LSN 7"
    );
    assert_eq!(
        text(&["account", "balance", "2", "--at", "5"]),
        "account 2 had 0.00 GBP at LSN 5, without entries"
    );
    assert_eq!(
        text(&["account", "balance", "2"]),
        "account 2 had 6.60 GBP at LSN 9, last entry at LSN 8"
    );
    // Replay says the same of every moment.
    for lsn in 3..=9 {
        let lsn = lsn.to_string();
        let online = &server.json(&["account", "balance", "2", "--at", &lsn])[0];
        let data_dir = ledger(dir.path());
        let replay = ["replay", "--data-dir", &data_dir, "--to-lsn", &lsn, "--account", "2"];
        let offline = &json(&replay)[0];
        assert_eq!(online["posted"], offline["posted"], "{lsn}");
        assert_eq!(online["entry_lsn"], offline["last_lsn"], "{lsn}");
    }
    let entries = server.json(&["account", "entries", "2", "--oldest-first", "--limit", "0"]);
    let amounts: Vec<_> = entries.iter().map(|e| e["amount"].as_str().expect("text")).collect();
    assert_eq!(amounts, ["1.10", "2.20", "3.30"]);
    let second = entries[1]["time"].as_str().expect("text");
    let since = server.json(&["account", "entries", "2", "--from", second]);
    assert!(since.iter().any(|e| e["lsn"] == 7) && !since.is_empty());
    let one = server.json(&["account", "entries", "2", "--from", "7", "--to", "7"]);
    assert_eq!((one.len(), one[0]["balance_after"].as_str()), (1, Some("3.30")));
    for (args, exit, why) in [
        (&["account", "balance", "99"][..], 1, "no account has the id 99"),
        (&["account", "balance", "2", "--at", "2"], 1, "was opened by event 3"),
        (&["account", "balance", "2", "--at", "100"], 1, "no event 100 yet"),
        (&["account", "balance", "2", "--at", "soon"], 2, "neither an LSN nor a time"),
        (&["account", "entries", "2", "--from", "0"], 2, "the first LSN is 1"),
    ] {
        let output = server.run(args);
        assert_eq!(code(&output), exit, "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(why), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn the_books_as_a_whole_are_those_of_the_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    fill(&server);
    let data_dir = ledger(dir.path());
    for at in ["1", "5", "7", "9"] {
        let online = server.run(&["trial-balance", "--at", at]);
        let offline = run(&["trial-balance", "--at", at, "--data-dir", &data_dir]);
        assert_eq!((code(&online), code(&offline)), (0, 0), "{}", stderr(&offline));
        assert_eq!(stdout(&online), stdout(&offline), "{at}");
    }
    assert_eq!(
        stdout(&server.run(&["trial-balance"])),
        "currency  accounts  debit  credit\n\
         GBP       internal   0.00    6.60\n\
         GBP       external   6.60    0.00\n\
         GBP       all        6.60    6.60\n\
         POINTS    internal      7       7\n\
         POINTS    external      0       0\n\
         POINTS    all           7       7\n\
         4 accounts at LSN 9\n"
    );
    let rows = server.json(&["trial-balance", "--at", "2100-01-01T00:00:00Z"]);
    assert_eq!(rows[0]["external_debit"], "6.60");
    let taken = server.run(&["snapshot", "create"]);
    assert_eq!(code(&taken), 0, "{}", stderr(&taken));
    let args = ["trial-balance", "--data-dir", &data_dir, "--from-snapshot"];
    assert_eq!(stdout(&run(&args)), stdout(&server.run(&["trial-balance"])));
    for args in [
        &["trial-balance", "--at", "100"][..],
        &["trial-balance", "--at", "100", "--data-dir", &data_dir],
    ] {
        assert_eq!(code(&server.run(args)), 1, "{args:?}");
    }
    assert_eq!(code(&server.run(&["trial-balance", "--from-snapshot"])), 2);
    let verified = server.run(&["verify-balances"]);
    assert_eq!(code(&verified), 0, "{}", stderr(&verified));
    assert_eq!(
        stdout(&verified),
        "sound: 4 accounts are what 9 events come to\n\
         GBP: 6.60 in accounts, -6.60 outside\n\
         POINTS: 0 in accounts, 0 outside\n"
    );
    assert_eq!(server.json(&["verify-balances"])[0]["sound"], true);
}

/// By value date a server and its files say the same, of now and of a moment before.
#[test]
fn sums_by_value_date_are_those_of_the_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    fill(&server);
    for (id, day) in [("20", "2020-02-29"), ("21", "2999-12-31"), ("22", "2020-02-28")] {
        let line = ["transfer", "--id", id, "--from", "2", "--to", "1", "--amount", "1.00"];
        let said = ["--currency", "GBP", "--kind", "withdrawal", "--value-date", day];
        let output = server.run(&[&line[..], &said].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    let data_dir = ledger(dir.path());
    for day in ["2020-02-27", "2020-02-28", "2020-02-29", "2500-01-01", "9999-12-31"] {
        for at in ["10", "12"] {
            let asked = ["trial-balance", "--value-date", day, "--at", at];
            let online = server.json(&asked);
            let files = json(&[&asked[..], &["--data-dir", &data_dir]].concat());
            assert_eq!(online, files, "{day} at {at}");
            assert_eq!(online[0]["value_date"], day);
        }
    }
    let posted = |day: &str, at: &str| {
        let line = ["account", "balance", "2", "--value-date", day, "--at", at];
        server.json(&line)[0]["posted"].as_str().expect("a text").to_owned()
    };
    assert_eq!([posted("2020-02-28", "12"), posted("2020-02-28", "11")], ["-1.00", "0.00"]);
    assert_eq!([posted("2020-02-29", "12"), posted("2500-01-01", "12")], ["-2.00", "4.60"]);
    assert_eq!(posted("9999-12-31", "12"), "3.60");
    let text = stdout(&server.run(&["trial-balance", "--value-date", "2020-02-28"]));
    assert!(text.contains("4 accounts at LSN 12, by value date 2020-02-28"), "{text}");
    let whole = [
        &["trial-balance", "--from-snapshot", "--data-dir", &data_dir][..],
        &["--value-date", "2020-02-28"],
    ];
    assert_eq!(code(&run(&whole.concat())), 2, "a snapshot does not have the days");
}
