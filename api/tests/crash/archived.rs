//! Trimming under attack: a server whose journal's oldest part moves into the archive while
//! clients load it is killed at any moment. After the next start every answer still stands,
//! repeats and statements over the trimmed part included, and archive and journal are one
//! history without a gap.

use crate::attack::{Attack, Depth, tries};
use crate::server::{Launch, Server};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Small segments, all that snapshots allow archived, looked at all the time.
fn trimming() -> Launch {
    Launch::with(&[
        "--segment-kib",
        "64",
        "--archive-keep-mib",
        "0",
        "--archive-every-ms",
        "10",
        "--disk-reserve-mib",
        "0",
    ])
}

/// The same without archiving, to have much to archive later.
fn growing() -> Launch {
    Launch::with(&["--segment-kib", "64", "--archive", "off", "--disk-reserve-mib", "0"])
}

pub fn ducat(line: &[&str], data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ducat"));
    let output = command.args(line).arg("--data-dir").arg(data).output();
    output.expect("the binary runs")
}

fn must(line: &[&str], data: &Path) -> String {
    let output = ducat(line, data);
    assert!(output.status.success(), "{line:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn stop(server: Server) {
    server.terminate();
    assert_eq!(server.wait().status.code(), Some(0));
}

fn segments(data: &Path) -> usize {
    let journal = data.join("shard-0/journal");
    std::fs::read_dir(journal).map_or(0, Iterator::count)
}

fn files(data: &Path) -> usize {
    let entries = std::fs::read_dir(data.join("shard-0/archive"));
    let named = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|e| e.path().extension().is_some_and(|end| end == "frames"))
    };
    entries.map_or(0, |entries| entries.filter(|_| true).map(named).filter(|is| *is).count())
}

/// Loads a server that does not archive, and takes a snapshot; twice, so that there is much
/// before the older of two snapshots.
fn fill(attack: &mut Attack, data: &Path) {
    for _ in 0..2 {
        let server = attack.start(&growing(), data);
        attack.load_for(&server, Duration::from_millis(100));
        stop(server);
        must(&["snapshot", "create"], data);
    }
}

/// What an operator asks afterwards: everything is sound, read from the very beginning.
fn check_offline(data: &Path) {
    must(&["archive", "verify"], data);
    let verified = must(&["verify", "--json"], data);
    let report: serde_json::Value = serde_json::from_str(&verified).expect("JSON");
    assert_eq!(report["sound"], true);
    assert_eq!(report["events"], report["last_lsn"], "all of it, from the first event on");
}

#[test]
fn killed_while_archiving_under_load() {
    let mut attack = Attack::new("SIGKILL while archiving");
    attack.on_ledgers(tries("DUCAT_ARCHIVE_KILLS", 4), |attack, nth, data| {
        if nth % 2 == 0 {
            fill(attack, data);
        }
        let history = Arc::clone(&attack.history);
        let server = attack.start(&trimming(), data);
        attack.load(server, |server, dice| {
            history.await_answers(history.acknowledged());
            Attack::pause(dice, 300);
            server.kill();
        });
        let server = attack.start(&trimming(), data);
        attack.check(&server, Depth::New);
        server.kill();
        check_offline(data);
    });
    attack.finish();
}

#[test]
fn all_that_was_answered_is_found_in_the_archive() {
    let mut attack = Attack::new("archived history");
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    fill(&mut attack, &data);
    let (before, hash) = (segments(&data), state_hash(&data));
    assert!(before > 3, "the load filled {before} segments");
    let server = attack.start(&trimming(), &data);
    // The server finds by itself what is to be done.
    let since = Instant::now();
    while files(&data) == 0 || segments(&data) + files(&data) < before {
        assert!(since.elapsed() < Duration::from_secs(90), "nothing is archived");
        std::thread::sleep(Duration::from_millis(10));
    }
    attack.check(&server, Depth::All);
    stop(server);
    assert!(segments(&data) < before, "segments were dropped");
    check_offline(&data);
    assert_eq!(state_hash(&data), hash, "replayed from the beginning");

    // Without any snapshot a start reads the archive and the journal.
    std::fs::remove_dir_all(data.join("shard-0/snapshots")).expect("ours");
    let server = attack.start(&Launch::default(), &data);
    attack.check(&server, Depth::All);
    attack.load_for(&server, Duration::from_millis(50));
    attack.check(&server, Depth::All);
    stop(server);
    check_offline(&data);
    attack.row.runs = 1;
    attack.finish();
}

/// The state hash of a replay of everything.
fn state_hash(data: &Path) -> String {
    let text = must(&["verify", "--skip-store", "--json"], data);
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    report["state_hash"].as_str().expect("a hash").to_owned()
}
