//! `ducat events`: a server's events are those of its files, to the letter.

use crate::support::{Server, binary, code, run, stderr, stdout};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Events of every kind.
fn fill(server: &Server) {
    let done = |args: &[&str]| {
        let output = server.run(args);
        assert_eq!(code(&output), 0, "{args:?}: {}", stderr(&output));
    };
    done(&["asset", "define", "POINTS", "--digits", "3"]);
    done(&["account", "create", "1", "--currency", "GBP", "--external"]);
    done(&["account", "create", "2", "--currency", "GBP", "--overdraft", "5.00"]);
    done(&["account", "create", "3", "--currency", "GBP"]);
    done(&["account", "create", "4", "--currency", "POINTS"]);
    let deposit = ["--from", "1", "--to", "2", "--amount", "10.05", "--kind", "deposit"];
    done(&[&["transfer", "--id", "7", "--currency", "GBP"], &deposit[..]].concat());
    let wide = "0192f3a4-5b6c-7d8e-9f01-23456789abcd";
    done(&[
        "transfer",
        "--id",
        wide,
        "--from",
        "2",
        "--to",
        "3",
        "--amount",
        "1",
        "--currency",
        "GBP",
    ]);
    let refused = server.run(&[
        "transfer",
        "--id",
        "8",
        "--from",
        "3",
        "--to",
        "2",
        "--amount",
        "99",
        "--currency",
        "GBP",
    ]);
    assert_eq!(code(&refused), 1, "{}", stderr(&refused));
    let refused = server.run(&[
        "transfer",
        "--id",
        "9",
        "--from",
        "2",
        "--to",
        "77",
        "--amount",
        "1",
        "--currency",
        "GBP",
    ]);
    assert_eq!(code(&refused), 1, "{}", stderr(&refused));
    done(&["account", "freeze", "3"]);
    done(&["account", "close", "4"]);
}

fn replayed(dir: &Path, args: &[&str]) -> String {
    let data_dir = dir.join("ledger");
    let data_dir = data_dir.to_str().expect("UTF-8");
    stdout(&run(&[&["replay", "--data-dir", data_dir, "--print"], args].concat()))
}

#[test]
fn a_servers_events_are_those_of_its_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    fill(&server);
    for args in [
        &[][..],
        &["--json"],
        &["--account", "3"],
        &["--account", "3", "--account", "77", "--json"],
    ] {
        let output = server.run(&[&["events"], args].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(stdout(&output), replayed(dir.path(), args), "{args:?}");
    }
    let from = stdout(&server.run(&["events", "--from", "9"]));
    assert_eq!(from, replayed(dir.path(), &["--from-lsn", "9"]));
    assert_eq!(from.lines().count(), 3);
    let kinds = server.run(&["events", "--kind", "refused", "--kind", "asset-defined"]);
    let lines = stdout(&kinds);
    let lsns: Vec<_> = lines.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(lsns, ["1", "8", "9"]);
    assert_eq!(stdout(&server.run(&["events", "--from", "0"])), "");
    let beyond = server.run(&["events", "--from", "99"]);
    assert_eq!(code(&beyond), 1, "{}", stderr(&beyond));
    assert!(stderr(&beyond).contains("no event 99"), "{}", stderr(&beyond));
}

#[test]
fn events_are_followed_as_they_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    let mut follower = Command::new(binary())
        .args(["--server", &server.url, "events", "--follow"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    fill(&server);
    // Reads block until the line is there; an endless wait shows as the test's hang.
    let out = BufReader::new(follower.stdout.take().expect("piped"));
    let lines: Vec<String> = out.lines().take(11).map(|line| line.expect("read")).collect();
    follower.kill().expect("killed");
    follower.wait().expect("gone");
    assert_eq!(lines.join("\n") + "\n", replayed(dir.path(), &[]));
}

/// Of every kind that the first test has none of.
#[test]
fn events_of_holds_and_accounts_are_those_of_the_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    fill(&server);
    let run = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let output = server.run(&words);
        (code(&output), stdout(&output) + &stderr(&output))
    };
    let place = "hold place --from 2 --to 1 --currency GBP --kind withdrawal --amount 1 --id";
    for (line, ends) in [
        (format!("{place} 20"), 0),
        (format!("{place} 21 --expires-in 7d"), 0),
        (format!("{place} 22 --linked"), 2),
        ("hold capture 20 --amount 0.25 --id 23".to_owned(), 0),
        ("hold capture 20 --id 24".to_owned(), 0),
        ("hold capture 20 --id 25".to_owned(), 1),
        ("hold extend 21 --expires-in 8d --id 26".to_owned(), 0),
        ("hold void 21 --id 27".to_owned(), 0),
        (
            "account set 2 --owner anna --label savings --kind liability --meta tier=gold"
                .to_owned(),
            0,
        ),
        ("account set 2 --remove-meta tier --owner bert".to_owned(), 0),
        ("account limits 2 --overdraft 5 --ceiling 100000".to_owned(), 0),
        ("account status 2 debits-blocked --reason lost".to_owned(), 0),
    ] {
        let (code, said) = run(&line);
        assert_eq!(code, ends, "{line}: {said}");
    }
    for args in [&[][..], &["--json"], &["--account", "2", "--json"]] {
        let output = server.run(&[&["events"], args].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(stdout(&output), replayed(dir.path(), args), "{args:?}");
    }
    let count = |kind: &str| {
        let output = server.run(&["events", "--from", "12", "--kind", kind]);
        stdout(&output).lines().count()
    };
    assert_eq!(count("hold"), 4);
    assert_eq!(count("posted"), 2, "captures move money");
    assert_eq!(count("refused"), 1);
    assert_eq!(count("account-changed"), 3);
    assert_eq!(count("status-changed"), 1);
}
