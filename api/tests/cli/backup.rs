//! `ducat backup` and `ducat restore --from-backup` with the binary: beside a running server and
//! without one, on schedule, refused, and on damaged backups.

use crate::support::{Server, code, json, path_text, run};
use ducat_api::client::Client;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// An outside account 1, and account 2: LSN 1 and 2.
fn open_accounts(server: &Server) {
    for account in [&["1", "--external"][..], &["2"]] {
        let line = [&["account", "create", "--currency", "GBP"][..], account].concat();
        assert_eq!(code(&server.run(&line)), 0);
    }
}

/// A deposit under each of these ids.
fn deposit(server: &Server, ids: std::ops::Range<u32>) {
    for id in ids {
        let id = id.to_string();
        let line = ["transfer", "--from", "1", "--to", "2", "--currency", "GBP", "--kind"];
        let rest = ["deposit", "--amount", "1.25", "--id", &id];
        assert_eq!(code(&server.run(&[&line[..], &rest].concat())), 0);
    }
}

fn create(data: &str, to: &str) -> Value {
    json(&["backup", "create", "--data-dir", data, "--to", to]).remove(0)
}

fn state_hash(data: &str) -> Value {
    json(&["verify", "--skip-store", "--data-dir", data]).remove(0)["state_hash"].clone()
}

fn frames(backup: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(backup.join("frames")).expect("listed");
    let mut files: Vec<_> = listed.map(|entry| entry.expect("read").path()).collect();
    files.sort();
    files
}

#[test]
fn a_ledger_is_backed_up_bit_by_bit_and_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = path_text(&dir.path().join("ledger"));
    let backup = dir.path().join("backup");
    let to = path_text(&backup);
    let server = Server::start(dir.path(), 1);
    open_accounts(&server);
    deposit(&server, 1..4);
    let first = create(&data, &to);
    assert_eq!((&first["last_lsn"], &first["events"]), (&5.into(), &5.into()));
    assert_eq!((&first["begun"], &first["snapshot_lsn"]), (&true.into(), &Value::Null));
    assert_eq!(first["same_filesystem"], true, "which is said");
    deposit(&server, 4..6);
    assert_eq!(code(&server.run(&["snapshot", "create"])), 0);
    let second = create(&data, &to);
    assert_eq!((&second["last_lsn"], &second["events"]), (&7.into(), &2.into()));
    assert_eq!((&second["begun"], &second["snapshot_lsn"]), (&false.into(), &7.into()));
    let third = create(&data, &to);
    assert_eq!((&third["events"], &third["written_bytes"]), (&0.into(), &0.into()));
    server.kill();

    let verified = json(&["backup", "verify", "--backup", &to]).remove(0);
    assert_eq!((&verified["sound"], &verified["last_lsn"]), (&true.into(), &7.into()));
    assert_eq!(verified["state_hash"], state_hash(&data));
    let shown = json(&["backup", "show", "--backup", &to]).remove(0);
    assert_eq!((&shown["end_hash"], &shown["files"]), (&second["end_hash"], &2.into()));

    // The whole of it, and a moment in the middle.
    let into = path_text(&dir.path().join("restored"));
    let made = json(&["restore", "--from-backup", &to, "--into", &into]).remove(0);
    assert_eq!((&made["lsn"], &made["events_left_out"]), (&7.into(), &0.into()));
    assert_eq!(made["state_hash"], verified["state_hash"]);
    assert_ne!(made["ledger_id"], made["parent_ledger_id"], "it is another ledger");
    let report = json(&["verify", "--data-dir", &into]).remove(0);
    assert_eq!((&report["sound"], &report["state_hash"]), (&true.into(), &made["state_hash"]));
    let origin = report["origins"][0].as_str().expect("a line");
    assert!(origin.contains("from a backup of"), "{origin}");
    let middle = path_text(&dir.path().join("middle"));
    let line = ["restore", "--from-backup", &to, "--to-lsn", "4", "--into", &middle];
    let made = json(&line).remove(0);
    assert_eq!((&made["lsn"], &made["events_left_out"]), (&4.into(), &3.into()));
    let replayed = json(&["replay", "--data-dir", &data, "--to-lsn", "4"]);
    let hash = |lines: &[Value]| {
        let of = |line: &Value| line["state_hash"].as_str().map(str::to_owned);
        lines.iter().find_map(of)
    };
    if let Some(hash) = hash(&replayed) {
        assert_eq!(made["state_hash"], hash);
    }
    let beyond = path_text(&dir.path().join("beyond"));
    let output = run(&["restore", "--from-backup", &to, "--to-lsn", "8", "--into", &beyond]);
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(!Path::new(&beyond).exists(), "nothing is left of it");

    // The new ledger is another one: it cannot go on with the old one's backup.
    let output = run(&["backup", "create", "--data-dir", &into, "--to", &to]);
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(said(&output).contains("is a backup of ledger"), "{}", said(&output));
    // Its own knows where it comes from.
    let own = path_text(&dir.path().join("own"));
    create(&into, &own);
    let shown = json(&["backup", "show", "--backup", &own]).remove(0);
    assert_eq!(shown["origins"].as_array().map(Vec::len), Some(1));

    for (line, exit) in [
        (vec!["backup", "show", "--backup", &into], 2),
        (vec!["backup", "create", "--data-dir", &data, "--to", &into], 2),
        (vec!["restore", "--from-backup", &to, "--into", &into], 73),
        (vec!["restore", "--from-backup", &to, "--data-dir", &data, "--into", &beyond], 2),
        (vec!["restore", "--data-dir", &data, "--into", &beyond], 2),
    ] {
        let output = run(&line);
        assert_eq!(code(&output), exit, "{line:?}: {}", said(&output));
    }
    let inside = format!("{data}/backup");
    let output = run(&["backup", "create", "--data-dir", &data, "--to", &inside]);
    assert_eq!(code(&output), 2, "{}", said(&output));
}

#[test]
fn a_server_takes_no_backup_within_its_own_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let [data, inside, around] =
        ["ledger", "ledger/backup", "."].map(|name| path_text(&dir.path().join(name)));
    for to in [&inside, &around] {
        let output = run(&["serve", "--data-dir", &data, "--backup-to", to]);
        assert_eq!(code(&output), 2, "{}", said(&output));
        assert!(!Path::new(&data).exists(), "nothing was made");
    }
}

#[test]
fn a_damaged_backup_is_named_and_makes_no_ledger() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = path_text(&dir.path().join("ledger"));
    let good = dir.path().join("good");
    let server = Server::start(dir.path(), 1);
    open_accounts(&server);
    for part in [1..4, 4..7] {
        deposit(&server, part);
        assert_eq!(code(&server.run(&["snapshot", "create"])), 0);
        create(&data, &path_text(&good));
    }
    server.kill();
    let files = frames(&good);
    assert_eq!(files.len(), 2);
    let snapshot = good.join("snapshots").join(format!("{:020}.snap", 5));
    let named = [good.join("BACKUP"), files[0].clone(), files[1].clone(), snapshot];
    for (nth, file) in named.iter().enumerate() {
        for (how, harm) in [("a bit", flip as fn(&Path)), ("cut", cut), ("missing", remove)] {
            let bad = dir.path().join(format!("bad-{nth}-{how}"));
            copy_dir(&good, &bad);
            let file = bad.join(file.strip_prefix(&good).expect("in it"));
            harm(&file);
            let (to, name) = (path_text(&bad), path_text(&file));
            let into = path_text(&dir.path().join("never"));
            for line in [
                &["backup", "verify", "--backup", &to][..],
                &["restore", "--from-backup", &to, "--into", &into],
            ] {
                let output = run(line);
                let said = said(&output);
                if nth == 0 && how == "missing" {
                    assert_eq!(code(&output), 2, "{line:?}: {said}");
                    assert!(said.contains("there is no backup"), "{line:?}: {said}");
                } else {
                    assert_eq!(code(&output), 65, "{how}: {line:?}: {said}");
                    assert!(said.contains(&name), "{how}: {line:?} does not name it: {said}");
                }
            }
            assert!(!Path::new(&into).exists(), "{how}: nothing is made of it");
        }
    }
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 8;
    fs::write(file, bytes).expect("written");
}

fn cut(file: &Path) {
    let bytes = fs::read(file).expect("reads");
    fs::write(file, &bytes[..bytes.len() - 7]).expect("written");
}

fn remove(file: &Path) {
    fs::remove_file(file).expect("ours");
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let (path, to) =
            (entry.as_ref().expect("read").path(), to.join(entry.expect("read").file_name()));
        if path.is_dir() {
            copy_dir(&path, &to);
        } else {
            fs::copy(&path, &to).expect("copied");
        }
    }
}

#[test]
fn a_server_backs_up_by_itself_and_says_how_it_goes() {
    let dir = tempfile::tempdir().expect("a directory");
    let backup = dir.path().join("backup");
    let to = path_text(&backup);
    let server = Server::start_with(dir.path(), 1, &["--backup-to", &to, "--backup-every", "1s"]);
    open_accounts(&server);
    deposit(&server, 1..4);
    let status = || server.json(&["status"])[0]["backup"].clone();
    let health = await_health(&status, |backup| backup["last_lsn"] == 5);
    assert_eq!((&health["to"], &health["last_error"]), (&to.clone().into(), &Value::Null));
    assert_eq!((&health["lag_lsns"], &health["lag_ns"]), (&0.into(), &0.into()));
    assert_eq!(health["same_filesystem"], true);
    assert!(health["last_took_ns"].as_u64().is_some_and(|ns| ns > 0), "{health}");
    // Its disk goes away: shown, tried again, and nothing else happens.
    let away = dir.path().join("unmounted");
    fs::rename(&backup, &away).expect("ours");
    deposit(&server, 4..6);
    let health = await_health(&status, |backup| backup["failures"].as_u64() > Some(1));
    let why = health["last_error"].as_str().expect("said");
    assert!(why.contains("is its disk mounted"), "{why}");
    assert_eq!((&health["last_lsn"], &health["lag_lsns"]), (&5.into(), &2.into()));
    assert!(health["lag_ns"].as_u64().is_some_and(|ns| ns > 0), "{health}");
    assert!(!backup.join("BACKUP").exists(), "none is begun in its place");
    let _made_meanwhile = fs::remove_dir_all(&backup);
    fs::rename(&away, &backup).expect("ours");
    let health = await_health(&status, |backup| backup["last_lsn"] == 7);
    assert_eq!(health["last_error"], Value::Null);
    let text = String::from_utf8(server.run(&["status"]).stdout).expect("UTF-8");
    assert!(text.contains("last backup") && text.contains("LSN 7"), "{text}");
    server.kill();
    assert_eq!(code(&run(&["backup", "verify", "--backup", &to])), 0);
    let output = run(&["serve", "--durability", "none", "--development", "--backup-to", &to]);
    assert_eq!(code(&output), 2, "{}", said(&output));
}

fn await_health(status: &dyn Fn() -> Value, is: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let health = status();
        if is(&health) {
            return health;
        }
        assert!(since.elapsed() < Duration::from_secs(90), "{health}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// With an interval that never passes: what is in the backup was put there because somebody asked,
/// and by the end of the server.
#[test]
fn a_server_backs_up_when_asked_and_when_it_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = path_text(&dir.path().join("backup"));
    let server = Server::start_with(dir.path(), 1, &["--backup-to", &to, "--backup-every", "1h"]);
    open_accounts(&server);
    deposit(&server, 1..4);
    let made = server.json(&["backup", "create"]).remove(0);
    assert_eq!((&made["last_lsn"], &made["lag_lsns"]), (&5.into(), &0.into()), "{made}");
    assert_eq!((&made["to"], &made["last_error"]), (&to.clone().into(), &Value::Null));
    let shown = json(&["backup", "show", "--backup", &to]).remove(0);
    assert_eq!(shown["last_lsn"], 5);
    deposit(&server, 4..6);
    let text = server.run(&["backup", "create"]);
    assert!(said(&text).contains("LSN 7"), "{}", said(&text));
    // Its disk goes away: said to whoever asks.
    let away = dir.path().join("unmounted");
    fs::rename(&to, &away).expect("ours");
    let output = server.run(&["backup", "create"]);
    assert_ne!(code(&output), 0);
    assert!(said(&output).contains("is its disk mounted"), "{}", said(&output));
    fs::rename(&away, &to).expect("ours");
    deposit(&server, 6..8);
    assert_eq!(json(&["backup", "show", "--backup", &to])[0]["last_lsn"], 7);
    assert!(server.signal(libc::SIGTERM).success());
    let verified = json(&["backup", "verify", "--backup", &to]).remove(0);
    assert_eq!((&verified["sound"], &verified["last_lsn"]), (&true.into(), &9.into()));
    let data = path_text(&dir.path().join("ledger"));
    assert_eq!(verified["state_hash"], state_hash(&data));
}

#[test]
fn a_server_without_a_backup_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    let output = server.run(&["backup", "create"]);
    assert_ne!(code(&output), 0);
    assert!(said(&output).contains("--backup-to"), "{}", said(&output));
    // Half of what a directory's backup needs is none of it.
    assert_eq!(code(&run(&["backup", "create", "--to", "somewhere"])), 2);
    assert_eq!(code(&run(&["backup", "create", "--data-dir", "somewhere"])), 2);
}

#[test]
fn the_client_has_a_server_back_up_and_asks_how_that_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = path_text(&dir.path().join("backup"));
    // So long a period that only the client's asking makes a run now.
    let flags = ["--backup-to", &to, "--backup-every", "1h"];
    let server = Server::start_with(dir.path(), 1, &flags);
    open_accounts(&server);
    deposit(&server, 1..3);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (made, told) = runtime.expect("starts").block_on(async {
        let client = Client::connect(&server.url).await.expect("it listens");
        let made = client.create_backup().await.expect("backed up");
        (made, client.backup_status().await.expect("answered").expect("it makes backups"))
    });
    assert_eq!((made.last_lsn, made.to.as_str(), made.last_error.as_str()), (4, to.as_str(), ""));
    assert_eq!((told.last_lsn, told.to), (made.last_lsn, made.to));
    server.kill();
    let verified = json(&["backup", "verify", "--backup", &to]).remove(0);
    assert_eq!((&verified["sound"], &verified["last_lsn"]), (&true.into(), &4.into()));
}
