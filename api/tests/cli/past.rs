//! Looking back and coming back with the binary: replay, diff, restore, fork, verify and doctor,
//! beside a running server and on harmed copies.

use crate::support::{Server, code, copy_tree, json, path_text, run, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A ledger with a bank, two customers, a deposit, a payment, a refusal and a linked pair.
struct Story {
    dir: tempfile::TempDir,
    server: Option<Server>,
}

impl Story {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Server::start(dir.path(), 1);
        // LSN 1 to 3.
        for account in [&["1", "--external"][..], &["2"], &["3"]] {
            let line = [&["account", "create", "--currency", "GBP"][..], account].concat();
            assert_eq!(code(&server.run(&line)), 0);
        }
        // LSN 4: posted. LSN 5: posted. LSN 6: refused.
        for (from, to, amount, kind, id) in [
            ("1", "2", "100.00", "deposit", "71"),
            ("2", "3", "30.50", "transfer", "72"),
            ("3", "2", "99.00", "transfer", "73"),
        ] {
            let ends = ["transfer", "--from", from, "--to", to, "--amount", amount];
            let rest = ["--currency", "GBP", "--kind", kind, "--id", id];
            let output = server.run(&[&ends[..], &rest].concat());
            assert!(code(&output) <= 1, "{}", stderr(&output));
        }
        // LSN 7: a status.
        assert_eq!(code(&server.run(&["account", "freeze", "3"])), 0);
        Self { dir, server: Some(server) }
    }

    fn data(&self) -> String {
        path_text(&self.dir.path().join("ledger"))
    }

    fn stop(&mut self) {
        self.server.take().expect("runs").kill();
    }

    fn path(&self, name: &str) -> String {
        path_text(&self.dir.path().join(name))
    }
}

/// Every file below a directory with its content.
fn content(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(content(&path));
        } else {
            files.push((path.clone(), fs::read(&path).expect("reads")));
        }
    }
    files.sort();
    files
}

/// Times differ between runs.
fn without_times(text: &str) -> String {
    let line = |line: &str| {
        let words = line.split("  ").filter(|word| !(word.contains('T') && word.ends_with('Z')));
        words.collect::<Vec<_>>().join("  ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

const EVENTS: &str = "\
1  opened 1  GBP, external
2  opened 2  GBP
3  opened 3  GBP
4  posted 71  1 -> 2  100.00 GBP  now -100.00 and 100.00
5  posted 72  2 -> 3  30.50 GBP  now 69.50 and 30.50
6  refused INSUFFICIENT_FUNDS 73  3 -> 2  99.00 GBP
7  account 3 is frozen";

#[test]
fn the_events_are_printed_beside_a_running_server_and_after_it() {
    let mut story = Story::new();
    let data = story.data();
    let print = ["replay", "--data-dir", &data, "--print"];
    let output = run(&print);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(without_times(stdout(&output).trim_end()), EVENTS);
    let of_account = run(&[&print[..], &["--account", "3", "--from-lsn", "4"]].concat());
    let expected: Vec<&str> = EVENTS.lines().filter(|line| line.contains('3')).skip(1).collect();
    assert_eq!(without_times(stdout(&of_account).trim_end()), expected[..].join("\n"));
    story.stop();
    let before = content(Path::new(&data));
    let lines = json(&[&print[..], &["--to-lsn", "5"]].concat());
    assert_eq!(lines.len(), 5);
    let posted = &lines[4];
    assert_eq!((&posted["lsn"], &posted["event"]), (&5.into(), &"posted".into()));
    for (field, value) in [
        ("id", "72"),
        ("debit", "2"),
        ("credit", "3"),
        ("amount", "30.50"),
        ("currency", "GBP"),
        ("debit_posted", "69.50"),
        ("credit_posted", "30.50"),
    ] {
        assert_eq!(posted[field], value, "{posted}");
    }
    // By time: the moment of an event is the state after it.
    let time = lines[3]["time"].as_str().expect("a time");
    let state = &json(&["replay", "--data-dir", &data, "--to-time", time])[0];
    assert_eq!((&state["lsn"], &state["accounts"]), (&4.into(), &3.into()));
    assert_eq!(code(&run(&["replay", "--data-dir", &data, "--to-time", "soon"])), 2);
    assert!(content(Path::new(&data)) == before, "nothing was written");
}

#[test]
fn a_diff_says_what_changed() {
    let story = Story::new();
    let data = story.data();
    let output = run(&["diff", "--data-dir", &data, "--from-lsn", "4", "--transfers"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let expected = "\
5  posted 72  2 -> 3  30.50 GBP  now 69.50 and 30.50
6  refused INSUFFICIENT_FUNDS 73  3 -> 2  99.00 GBP
7  account 3 is frozen
account  currency  before  after  change  status
      2  GBP       100.00  69.50  -30.50  active
      3  GBP         0.00  30.50   30.50  active -> frozen

from LSN      4
to LSN        7
accounts      2 changed, of them 0 opened and 0 closed
transfers     1 posted, 1 refused
other events  1";
    let text = stdout(&output);
    let (events, rest) = text.split_at(text.find("account  currency").expect("a table"));
    assert_eq!(format!("{}\n{}", without_times(events.trim_end()), rest.trim_end()), expected);
    let lines = json(&["diff", "--data-dir", &data, "--from-lsn", "0", "--to-lsn", "4"]);
    assert_eq!(lines.len(), 4, "three accounts and the counts");
    assert_eq!(
        (&lines[1]["change"], &lines[1]["posted_change"]),
        (&"opened".into(), &"100.00".into())
    );
    let same = ["diff", "--data-dir", &data, "--from-lsn", "7", "--json"];
    assert_eq!(code(&run(&same)), 1, "nothing changed");
    assert_eq!(code(&run(&["diff", "--data-dir", &data, "--from-lsn", "70"])), 1);
    assert_eq!(code(&run(&["diff", "--data-dir", &data])), 2, "since when?");
}

/// The ledger that a server on a directory says it is.
fn status_of(parent: &Path, name: &str) -> Value {
    // `Server::start` serves the directory `ledger` below the one it is given.
    let place = parent.join(format!("{name}-served"));
    fs::create_dir_all(&place).expect("made");
    fs::rename(parent.join(name), place.join("ledger")).expect("moved");
    let server = Server::start(&place, 1);
    let status = server.json(&["status", "--with-state-hash"]).remove(0);
    server.kill();
    fs::rename(place.join("ledger"), parent.join(name)).expect("moved back");
    status
}

#[test]
fn a_restored_ledger_holds_the_events_of_then_and_is_another_ledger() {
    let story = Story::new();
    let data = story.data();
    let into = story.path("restored");
    let restore = ["restore", "--data-dir", &data, "--to-lsn", "5", "--into", &into];
    let made = &json(&[&restore[..], &["--note", "before the refusal"]].concat())[0];
    let old = &story.server.as_ref().expect("runs").json(&["status"])[0];
    assert_eq!(made["parent_ledger_id"], old["ledger_id"]);
    assert_ne!(made["ledger_id"], old["ledger_id"]);
    assert_eq!((&made["lsn"], &made["events_left_out"]), (&5.into(), &2.into()));
    let then = &json(&["replay", "--data-dir", &data, "--to-lsn", "5"])[0];
    assert_eq!(made["state_hash"], then["state_hash"]);
    let printed = stdout(&run(&["replay", "--data-dir", &into, "--print"]));
    let then = stdout(&run(&["replay", "--data-dir", &data, "--print", "--to-lsn", "5"]));
    assert_eq!(printed, then, "each event with its LSN and time");

    let report = &json(&["verify", "--data-dir", &into])[0];
    assert_eq!((&report["sound"], &report["last_lsn"]), (&true.into(), &5.into()));
    let origin = report["origins"][0].as_str().expect("an origin").to_owned();
    assert!(origin.starts_with("restored from ledger"), "{origin}");
    assert!(origin.contains("without its events 6 to 7"), "{origin}");
    assert!(origin.ends_with("before the refusal"), "{origin}");

    let again = run(&restore);
    assert_eq!(code(&again), 73, "not empty");
    assert!(stderr(&again).contains("not empty"), "{}", stderr(&again));
    let beyond = story.path("beyond");
    let output = run(&["restore", "--data-dir", &data, "--to-lsn", "8", "--into", &beyond]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert!(!Path::new(&beyond).exists(), "what was begun is gone");

    let status = status_of(story.dir.path(), "restored");
    assert_eq!((&status["ledger_id"], &status["origins"][0]), (&made["ledger_id"], &origin.into()));
    assert_eq!(status["state_hash"], made["state_hash"]);

    // A fork of the restored one names both.
    let fork = story.path("fork");
    let line = ["fork", "--data-dir", &into, "--at-lsn", "4", "--name", "fees", "--into", &fork];
    assert_eq!(json(&line)[0]["kind"], "fork");
    let origins = &json(&["verify", "--data-dir", &fork])[0]["origins"];
    assert_eq!(origins.as_array().map(Vec::len), Some(2), "{origins}");
    assert!(origins[0].as_str().is_some_and(|text| text.starts_with("fork of ledger")));
}

#[test]
fn an_unfinished_restore_is_no_ledger() {
    let mut story = Story::new();
    let (data, into) = (story.data(), story.path("restored"));
    story.stop();
    let line = ["restore", "--data-dir", &data, "--to-lsn", "5", "--into", &into];
    assert_eq!(code(&run(&line)), 0);
    // As a crash just before the last steps leaves it.
    fs::remove_file(Path::new(&into).join("FORMAT")).expect("removed");
    fs::write(Path::new(&into).join("RESTORING"), "").expect("written");
    let serve = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &into]);
    assert_eq!(code(&serve), 65, "{}", stderr(&serve));
    for command in ["verify", "replay"] {
        let output = run(&[command, "--data-dir", &into]);
        assert_eq!(code(&output), 65);
        assert!(stderr(&output).contains("was not finished"), "{}", stderr(&output));
    }
    let doctor = run(&["doctor", "--data-dir", &into]);
    assert_eq!(code(&doctor), 65);
    assert!(stdout(&doctor).contains("make it again"), "{}", stdout(&doctor));
    assert_eq!(code(&run(&line)), 73, "it is not filled further");
}

/// The files of a directory's segments.
fn db_file(root: &Path) -> PathBuf {
    let journal = root.join("shard-0/journal");
    let segment = fs::read_dir(journal).expect("lists").next().expect("a segment");
    segment.expect("an entry").path().join("db")
}

/// Flips a bit in every copy of the frame that holds these bytes; where the first lies.
fn flip_all(file: &Path, holds: &[u8]) -> usize {
    let bytes = fs::read(file).expect("reads");
    let places: Vec<usize> =
        (0..bytes.len() - holds.len()).filter(|at| bytes[*at..].starts_with(holds)).collect();
    let file = fs::File::options().write(true).open(file).expect("opens");
    for place in &places {
        file.write_all_at(&[holds[0] ^ 1], *place as u64).expect("writes");
    }
    assert!(!places.is_empty());
    places[0]
}

#[test]
fn damage_is_named_and_what_is_lost_is_given_up_only_by_name() {
    let mut story = Story::new();
    story.stop();
    let harmed = story.path("harmed");
    copy_tree(Path::new(&story.data()), Path::new(&harmed));
    // Transfer 72, LSN 5: its id lies in the frame as it is.
    let place = flip_all(&db_file(Path::new(&harmed)), &[72, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let before = content(Path::new(&harmed));

    let verify = run(&["verify", "--data-dir", &harmed, "--json"]);
    assert_eq!(code(&verify), 65);
    assert!(stderr(&verify).contains("ducat doctor --data-dir"), "{}", stderr(&verify));
    let report: Value = serde_json::from_str(&stdout(&verify)).expect("JSON");
    let fault = &report["faults"][0];
    assert_eq!((&fault["kind"], &fault["lsn"]), (&"damaged-frame".into(), &5.into()), "{report}");
    assert_eq!((&fault["last_lsn"], &report["sound_lsn"]), (&5.into(), &4.into()), "{report}");
    let offset = fault["offset"].as_u64().expect("a place") as usize;
    assert!(offset < place && place < offset + 8192, "{fault}");
    assert!(fault["file"].as_str().is_some_and(|file| file.ends_with("/db")), "{fault}");

    let doctor = run(&["doctor", "--data-dir", &harmed]);
    assert_eq!(code(&doctor), 65);
    let text = stdout(&doctor);
    assert!(text.starts_with("NO SERVER STARTS"), "{text}");
    assert!(text.contains("--accept-loss-of 5..7 --reason WHY --into NEW"), "{text}");

    let into = story.path("salvaged");
    let accept = |range: &str| {
        let which = ["doctor", "--data-dir", &harmed, "--accept-loss-of", range];
        let rest = ["--reason", "the disk is gone", "--into", &into];
        run(&[&which[..], &rest].concat())
    };
    for range in ["5..6", "4..7", "6..7"] {
        let refused = accept(range);
        assert_eq!(code(&refused), 1, "{range}");
        assert!(stderr(&refused).contains("--accept-loss-of 5..7"), "{}", stderr(&refused));
        assert!(!Path::new(&into).exists());
    }
    let accepted = accept("5..7");
    assert_eq!(code(&accepted), 0, "{}", stderr(&accepted));
    let report = &json(&["verify", "--data-dir", &into])[0];
    assert_eq!((&report["last_lsn"], &report["sound"]), (&4.into(), &true.into()));
    let origin = report["origins"][0].as_str().expect("an origin");
    assert!(origin.starts_with("accepted loss"), "{origin}");
    assert!(origin.contains("without its events 5 to 7"), "{origin}");
    assert!(origin.ends_with("the disk is gone"), "{origin}");
    let status = status_of(story.dir.path(), "salvaged");
    assert_eq!(status["origins"][0], origin, "shown from now on");
    assert!(content(Path::new(&harmed)) == before, "the damaged directory is as it was");
    // What is sound has nothing to give up.
    let data = story.data();
    let which = ["doctor", "--data-dir", &data, "--accept-loss-of", "5..7"];
    let nothing = run(&[&which[..], &["--reason", "x", "--into", &story.path("n")]].concat());
    assert_eq!(code(&nothing), 1);
}

/// The finding's kind, what is done to the directory, and what the report says.
type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);

#[test]
fn doctor_names_what_keeps_a_server_from_starting() {
    let mut story = Story::new();
    let data = story.data();
    let beside = run(&["doctor", "--data-dir", &data]);
    assert_eq!(code(&beside), 0, "{}{}", stdout(&beside), stderr(&beside));
    assert!(stdout(&beside).contains("works on the directory"), "{}", stdout(&beside));
    story.stop();
    let sound = run(&["doctor", "--data-dir", &data]);
    assert_eq!(code(&sound), 0);
    assert!(stdout(&sound).contains("Nothing is wrong"), "{}", stdout(&sound));
    let cases: [Case<'_>; 6] = [
        ("mark", &|root| fs::remove_file(root.join("shard-0/mark")).expect("removed"), "mark"),
        (
            "mark",
            &|root| fs::write(root.join("shard-0/mark"), vec![0; 8192]).expect("written"),
            "unreadable",
        ),
        ("format", &|root| fs::write(root.join("FORMAT"), "x").expect("written"), "FORMAT"),
        ("format", &|root| fs::remove_file(root.join("FORMAT")).expect("removed"), "FORMAT"),
        (
            "shortened",
            &|root| {
                let segment = db_file(root).parent().expect("a directory").to_owned();
                fs::remove_dir_all(segment).expect("removed");
            },
            "1 to 7",
        ),
        (
            "store",
            &|root| {
                let conf = db_file(root).parent().expect("a directory").join("conf");
                fs::remove_file(conf).expect("removed");
            },
            "nothing is lost",
        ),
    ];
    for (number, (kind, harm, says)) in cases.iter().enumerate() {
        let copy = story.path(&format!("copy{number}"));
        copy_tree(Path::new(&data), Path::new(&copy));
        harm(Path::new(&copy));
        let before = content(Path::new(&copy));
        let output = run(&["doctor", "--data-dir", &copy, "--json"]);
        assert_eq!(code(&output), 65, "{kind}: {}", stderr(&output));
        let report: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        let finding = &report["findings"].as_array().expect("findings")[0];
        assert_eq!((&finding["kind"], &finding["weight"]), (&(*kind).into(), &"refused".into()));
        assert!(stdout(&output).contains(says), "{kind}: {report}");
        assert_eq!(report["starts"], false);
        assert!(content(Path::new(&copy)) == before, "{kind}: nothing was changed");
        let serve = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &copy]);
        assert_eq!(code(&serve), 65, "{kind}: a server does not start: {}", stderr(&serve));
    }
    // What an interruption leaves over keeps nobody from starting.
    fs::create_dir(Path::new(&data).join("shard-0/journal/00000000000000000009.new"))
        .expect("made");
    let output = run(&["doctor", "--data-dir", &data]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("is left over"), "{}", stdout(&output));
}

#[test]
fn snapshots_are_held_against_the_journal_and_replay_begins_with_one() {
    let mut story = Story::new();
    let data = story.data();
    story.stop();
    let output = run(&["snapshot", "create", "--data-dir", &data]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    // Something behind it.
    let server = Server::start(story.dir.path(), 1);
    assert_eq!(code(&server.run(&["account", "unfreeze", "3"])), 0);
    server.kill();
    let report = &json(&["verify", "--data-dir", &data])[0];
    assert_eq!((&report["sound"], &report["last_lsn"]), (&true.into(), &8.into()));
    let quick = run(&["replay", "--data-dir", &data, "--from-snapshot", "--json"]);
    assert!(stderr(&quick).contains("from the snapshot at LSN 7"), "{}", stderr(&quick));
    let whole = run(&["replay", "--data-dir", &data, "--json"]);
    assert_eq!((code(&quick), stdout(&quick)), (0, stdout(&whole)));
    let print = ["replay", "--data-dir", &data, "--print", "--from-snapshot"];
    let printed = stdout(&run(&print));
    assert_eq!(without_times(printed.trim_end()), "8  account 3 is active");
    let earlier =
        run(&["replay", "--data-dir", &data, "--from-snapshot", "--to-lsn", "5", "--json"]);
    assert!(stderr(&earlier).contains("from the beginning"), "{}", stderr(&earlier));
    assert!(stdout(&earlier).starts_with(r#"{"lsn":5,"#), "{}", stdout(&earlier));

    // A bit of the snapshot flips: a server starts all the same, and both say what is wrong.
    let snapshot = Path::new(&data).join("shard-0/snapshots/00000000000000000007.snap");
    let mut bytes = fs::read(&snapshot).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&snapshot, bytes).expect("writes");
    let verify = run(&["verify", "--data-dir", &data]);
    assert_eq!(code(&verify), 65);
    assert!(stdout(&verify).contains("snapshot: LSN 7"), "{}", stdout(&verify));
    let doctor = run(&["doctor", "--data-dir", &data]);
    assert_eq!(code(&doctor), 0, "{}", stderr(&doctor));
    assert!(stdout(&doctor).contains("starts from the one before"), "{}", stdout(&doctor));
}
