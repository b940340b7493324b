//! Trimming under attack: a server whose journal's oldest part moves into the archive while
//! clients load it is killed at any moment. After the next start every answer still stands,
//! repeats and statements over the trimmed part included, and archive and journal are one
//! history without a gap.

use crate::attack::{Attack, Depth, tries};
use crate::damage::{assert_names_the_place, copy_dir};
use crate::server::{Launch, Server};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
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
    entries.map_or(0, |entries| entries.map(named).filter(|is| *is).count())
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
    attack.on_ledgers(tries("DUCAT_ARCHIVE_KILLS", 2), |attack, nth, data| {
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
    while segments(&data) < 4 {
        fill(&mut attack, &data);
    }
    let server = attack.start(&growing(), &data);
    // What was refused with its batch is asked for again: nothing is added from here on.
    attack.resend(&server);
    attack.settle(&server);
    stop(server);
    let (before, hash) = (segments(&data), state_hash(&data));
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

/// An archived ledger that was stopped, with the files of its archive, the oldest first.
fn archived_ledger(attack: &mut Attack, data: &Path) -> Vec<PathBuf> {
    let path = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        PathBuf::from(line["file"].as_str().expect("a path"))
    };
    loop {
        fill(attack, data);
        must(&["archive", "run", "--keep-mib", "0"], data);
        let listed = must(&["archive", "list", "--json"], data);
        let files: Vec<PathBuf> = listed.lines().map(path).collect();
        if files.len() > 2 {
            return files;
        }
    }
}

/// Whatever happens to the archive is named, by every command that needs it, and stops no server
/// that does not.
#[test]
fn a_damaged_archive_is_named_and_stops_no_start() {
    let mut attack = Attack::new("damaged archives");
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("good");
    let files = archived_ledger(&mut attack, &data);
    let server = attack.start(&trimming(), &data);
    attack.check(&server, Depth::All);
    server.kill();
    let name = |file: &PathBuf| file.file_name().expect("named").to_owned();
    let manifest = OsString::from("MANIFEST");
    let flips = [9, 45, 90, 200];
    let mut harms: Vec<(String, OsString, Harm)> = Vec::new();
    for at in flips {
        harms.push((format!("bit of byte {at}"), name(&files[1]), Box::new(move |f| flip(f, at))));
        harms.push((format!("bit of byte {at}"), manifest.clone(), Box::new(move |f| flip(f, at))));
    }
    for back in [1, 140] {
        harms.push((
            format!("bit {back} from the end"),
            name(&files[0]),
            Box::new(move |f| {
                let bytes = std::fs::metadata(f).expect("there").len();
                flip(f, usize::try_from(bytes).expect("small") - back);
            }),
        ));
        harms.push((
            format!("cut by {back}"),
            name(&files[2]),
            Box::new(move |f| {
                let open = std::fs::OpenOptions::new().write(true).open(f).expect("writable");
                let bytes = open.metadata().expect("there").len();
                open.set_len(bytes - back as u64).expect("cut");
            }),
        ));
    }
    harms.push((
        "missing".into(),
        name(&files[1]),
        Box::new(|f| std::fs::remove_file(f).expect("ours")),
    ));
    harms.push((
        "missing".into(),
        manifest.clone(),
        Box::new(|f| std::fs::remove_file(f).expect("ours")),
    ));
    let other = files[2].clone();
    harms.push((
        "exchanged".into(),
        name(&files[1]),
        Box::new(move |f| {
            let _bytes = std::fs::copy(&other, f).expect("copied");
        }),
    ));
    for (nth, (what, file, harm)) in harms.into_iter().enumerate() {
        let copy = dir.path().join(format!("copy-{nth}"));
        copy_dir(&data, &copy);
        harm(&copy.join("shard-0/archive").join(&file));
        let what = format!("{}: {what}", file.display());
        let archive = copy.join("shard-0/archive").display().to_string();
        for line in [&["archive", "verify"][..], &["verify", "--skip-store"], &["replay"]] {
            let output = ducat(line, &copy);
            let said = [&output.stdout[..], &output.stderr[..]].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            assert_eq!(output.status.code(), Some(65), "{what}: {line:?}: {said}");
            assert!(said.contains(&archive), "{what}: {line:?} does not name it: {said}");
        }
        // It is a note to the doctor, since a server starts.
        let doctor = ducat(&["doctor", "--skip-store", "--json"], &copy);
        let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
        assert_eq!(report["starts"], true, "{what}: {report}");
        let found = report["findings"].as_array().expect("a list").iter();
        let found = found.filter(|finding| finding["kind"] == "archive");
        assert!(found.count() > 0, "{what}: {report}");
        if nth % 5 == 0 {
            let server =
                trimming().start(&copy).unwrap_or_else(|ended| panic!("{what}: {ended:?}"));
            server.kill();
            // Without a snapshot it would need the archive.
            std::fs::remove_dir_all(copy.join("shard-0/snapshots")).expect("ours");
            let ended = trimming().start(&copy).err().unwrap_or_else(|| panic!("{what}: started"));
            assert_names_the_place(&ended, &copy, &what);
            let doctor = ducat(&["doctor", "--skip-store"], &copy);
            let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
            assert_eq!(doctor.status.code(), Some(65), "{what}: {said}");
            assert!(said.contains("REFUSED: archive"), "{what}: {said}");
        }
        if file == manifest {
            must(&["archive", "rebuild"], &copy);
            must(&["archive", "verify"], &copy);
        }
        attack.row.runs += 1;
        std::fs::remove_dir_all(&copy).expect("ours");
    }
    attack.finish();
}

/// The archive may lie on another disk: a link says where, so that every command finds it.
#[test]
fn the_archive_lies_where_it_is_told_to() {
    let mut attack = Attack::new("archive elsewhere");
    let dir = tempfile::tempdir().expect("a directory");
    let (data, elsewhere) = (dir.path().join("data"), dir.path().join("other/disk"));
    let other = dir.path().join("third");
    let at = |place: &Path| {
        let mut launch = trimming();
        launch.arguments.extend(["--archive-dir".to_owned(), place.display().to_string()]);
        launch
    };
    stop(at(&elsewhere).start(&data).expect("starts"));
    while segments(&data) < 4 {
        fill(&mut attack, &data);
    }
    must(&["archive", "run", "--keep-mib", "0"], &data);
    assert!(elsewhere.join("MANIFEST").is_file(), "it is there");
    let refused = at(&other).start(&data).err().expect("it is somewhere else");
    assert_eq!(refused.status.code(), Some(73), "{refused:?}");
    assert!(refused.stderr.contains("--archive-dir"), "{refused:?}");
    check_offline(&data);
    // Gone, as a disk that is not mounted: said, and no start is stopped.
    std::fs::rename(&elsewhere, &other).expect("ours");
    let output = ducat(&["verify", "--skip-store"], &data);
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    let server = trimming().start(&data).expect("starts");
    server.kill();
    std::fs::rename(&other, &elsewhere).expect("ours");
    let server = attack.start(&at(&elsewhere), &data);
    attack.check(&server, Depth::New);
    stop(server);
    check_offline(&data);
    attack.row.runs = 1;
    attack.finish();
}

type Harm = Box<dyn Fn(&Path)>;

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).expect("readable");
    bytes[at] ^= 16;
    std::fs::write(file, bytes).expect("writable");
}
