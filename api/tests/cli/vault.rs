//! Encryption at rest with the binary: keys made, shown and rotated; nothing of what was sent in any
//! file; every command that reads a directory or a backup, with its key, without, with another.

use crate::support::{Server, code, json, path_text, run, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What clients send, and no file may hold: a reference, a description, an id of somebody's.
const SECRETS: [&str; 3] =
    ["INV-4929123456789012", "rent of flat 7 for Ada Lovelace", "JD-771-220"];

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        path_text(&self.path(name))
    }

    /// A new master key in a file of this name; its own name.
    fn key(&self, name: &str) -> String {
        let made = run(&["keys", "generate", &self.text(name)]);
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        stdout(&made).trim().to_owned()
    }

    fn serve(&self, flags: &[&str]) -> Server {
        Server::start_with(self.dir.path(), 1, flags)
    }

    fn serve_with(&self, key: &str) -> Server {
        self.serve(&["--master-key-file", &self.text(key)])
    }

    /// Runs a command on the data directory with this key.
    fn on(&self, key: &str, line: &[&str]) -> Vec<Value> {
        let (data, key) = (self.text("ledger"), self.text(key));
        json(&[line, &["--data-dir", &data, "--master-key-file", &key]].concat())
    }

    fn status(&self) -> Value {
        json(&["keys", "status", "--data-dir", &self.text("ledger")]).remove(0)
    }
}

/// Two accounts, one with the external reference of somebody, and transfers with notes.
fn fill(server: &Server, ids: std::ops::Range<u32>) {
    if ids.start == 1 {
        let outside = ["account", "create", "1", "--currency", "GBP", "--external"];
        assert_eq!(code(&server.run(&outside)), 0);
        let meta = format!("national-id={}", SECRETS[2]);
        let made = server.run(&["account", "create", "2", "--currency", "GBP", "--meta", &meta]);
        assert_eq!(code(&made), 0, "{}", stderr(&made));
    }
    for id in ids {
        let id = id.to_string();
        let line = ["transfer", "--from", "1", "--to", "2", "--currency", "GBP", "--kind"];
        let rest = ["deposit", "--amount", "1.25", "--id", &id];
        let note = ["--reference", SECRETS[0], "--description", SECRETS[1]];
        let done = server.run(&[&line[..], &rest, &note].concat());
        assert_eq!(code(&done), 0, "{}", stderr(&done));
    }
}

/// Which of the secrets lie in a file below a directory.
fn found_below(root: &Path) -> Vec<&'static str> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(found_below(&path));
            continue;
        }
        let bytes = fs::read(&path).expect("reads");
        let holds =
            |secret: &&str| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        found.extend(SECRETS.into_iter().filter(holds));
    }
    found
}

/// Journal, snapshots, archive, backup: with a key nothing can be found in them, and without one the
/// same look finds all of it, so that it would.
#[test]
fn nothing_that_was_sent_is_in_any_file() {
    for encrypted in [true, false] {
        let world = World::new();
        let key = world.text("master.key");
        world.key("master.key");
        let (backup, data) = (world.text("backup"), world.text("ledger"));
        let keys = ["--master-key-file", &key];
        let keys = if encrypted { &keys[..] } else { &[] };
        // Small segments, so that some are archived.
        let flags = ["--segment-kib", "64", "--archive", "off", "--backup-to", &backup];
        for round in 0..2 {
            let server = world.serve(&[&flags[..], keys].concat());
            fill(&server, 1 + round * 40..41 + round * 40);
            assert_eq!(code(&server.run(&["snapshot", "create"])), 0);
            assert_eq!(code(&server.run(&["backup", "create"])), 0);
            assert!(server.signal(libc::SIGTERM).success());
        }
        let line = |line: &[&str]| json(&[line, keys].concat());
        line(&["archive", "run", "--data-dir", &data, "--keep-mib", "0", "--snapshots", "1"]);
        let mut found = found_below(world.dir.path());
        found.sort_unstable();
        found.dedup();
        let mut all = SECRETS.to_vec();
        all.sort_unstable();
        assert_eq!(found, if encrypted { vec![] } else { all });
        // And all of it is there.
        let told = line(&["replay", "--data-dir", &data, "--print"]);
        let told = serde_json::to_string(&told).expect("JSON");
        for secret in SECRETS {
            assert!(told.contains(secret), "{secret}");
        }
    }
}

#[test]
fn every_command_wants_the_key_and_says_which() {
    let world = World::new();
    let (name, other) = (world.key("master.key"), world.key("other.key"));
    let server = world.serve_with("master.key");
    fill(&server, 1..4);
    assert_eq!(code(&server.run(&["snapshot", "create"])), 0);
    let (data, backup) = (world.text("ledger"), world.text("backup"));
    world.on("master.key", &["backup", "create", "--to", &backup]);
    server.kill();
    let into = world.text("made");
    let lines: [&[&str]; 12] = [
        &["verify", "--data-dir", &data],
        &["replay", "--data-dir", &data, "--to-lsn", "3"],
        &["diff", "--data-dir", &data, "--from-lsn", "1"],
        &["doctor", "--data-dir", &data],
        &["restore", "--data-dir", &data, "--to-lsn", "3", "--into", &into],
        &["fork", "--data-dir", &data, "--name", "x", "--into", &into],
        &["snapshot", "verify", "--data-dir", &data],
        &["archive", "verify", "--data-dir", &data],
        &["audit", "list", "--data-dir", &data],
        &["backup", "create", "--data-dir", &data, "--to", &backup],
        &["backup", "verify", "--backup", &backup],
        &["restore", "--from-backup", &backup, "--into", &into],
    ];
    for line in lines {
        let missing = run(line);
        assert_eq!(code(&missing), 2, "{line:?}: {}", stderr(&missing));
        let said = stderr(&missing);
        assert!(
            said.contains("no master key was given") && said.contains(&name),
            "{line:?}: {said}"
        );
        let wrong = run(&[line, &["--master-key-file", &world.text("other.key")]].concat());
        let said = stderr(&wrong);
        assert_eq!(code(&wrong), 2, "{line:?}: {said}");
        assert!(said.contains(&name) && said.contains(&other), "{line:?}: {said}");
        let right = run(&[line, &["--master-key-file", &world.text("master.key")]].concat());
        assert_eq!(code(&right), 0, "{line:?}: {}", stderr(&right));
        let _ = fs::remove_dir_all(&into);
    }
    // A server likewise, and from each place that a key may come from.
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data]);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    assert!(stderr(&refused).contains(&name));
    let command = format!("cat {}", world.text("master.key"));
    json(&["verify", "--data-dir", &data, "--master-key-command", &command]);
    let inside = world.text("ledger/master.key");
    fs::copy(world.path("master.key"), &inside).expect("copied");
    let refused = run(&["serve", "--data-dir", &data, "--master-key-file", &inside]);
    assert!(stderr(&refused).contains("lies in the data directory"), "{}", stderr(&refused));
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn segments_under(status: &Value, key: usize) -> u64 {
    status["keys"][key]["files"]["segments"].as_u64().unwrap_or(0)
}

#[test]
fn keys_are_rotated_beside_a_running_server() {
    let world = World::new();
    let (old, new) = (world.key("master.key"), world.key("new.key"));
    let data = world.text("ledger");
    let server = world.serve_with("master.key");
    fill(&server, 1..4);
    let before = world.status();
    assert_eq!(
        (&before["encrypted"], &before["keys"][0]["master_key"]),
        (&true.into(), &Value::from(old.clone()))
    );
    let rotated = world
        .on("master.key", &["keys", "rotate", "--new-master-key-file", &world.text("new.key")]);
    assert_eq!(rotated[0]["master_key"], Value::from(new.clone()));
    assert_eq!(
        (&rotated[0]["ledger_key"], &rotated[0]["server_holds_it"]),
        (&2.into(), &true.into())
    );
    // It goes on under the key it has, and the new master key opens what it writes.
    fill(&server, 4..6);
    assert_eq!(segments_under(&world.status(), 1), 0);
    world.on("new.key", &["verify", "--skip-store"]);
    fs::rename(world.path("new.key"), world.path("master.key")).expect("moved");
    server.tell(libc::SIGHUP);
    let mut next = 6;
    wait_until("frames under the second key", || {
        // Something new has to be written to lie under it.
        fill(&server, next..next + 1);
        next += 1;
        segments_under(&world.status(), 1) > 0
    });
    server.kill();
    let refused = run(&["verify", "--data-dir", &data]);
    assert!(stderr(&refused).contains(&new) && !stderr(&refused).contains(&old), "rotated away");
    let server = world.serve_with("master.key");
    fill(&server, next..next + 2);
    server.kill();
    let after = world.status();
    assert_eq!(after["keys"].as_array().map(Vec::len), Some(2));
    assert_eq!(after["plain"]["segments"], 0);
    assert_eq!(world.on("master.key", &["verify"])[0]["sound"], true);
    let once_more =
        run(&["keys", "rotate", "--data-dir", &data, "--master-key-file", &world.text("none")]);
    assert_ne!(code(&once_more), 0);
    assert_eq!(world.status()["keys"].as_array().map(Vec::len), Some(2), "nothing was changed");
}

#[test]
fn a_plain_ledger_is_encrypted_from_then_on_and_what_is_left_is_told() {
    let world = World::new();
    world.key("master.key");
    let server = world.serve(&[]);
    fill(&server, 1..4);
    server.kill();
    let plain = world.status();
    assert_eq!((&plain["encrypted"], &plain["plain"]["segments"]), (&false.into(), &1.into()));
    // Commands that only read convert nothing.
    world.on("master.key", &["verify", "--skip-store"]);
    assert_eq!(world.status()["encrypted"], false);
    let server = world.serve_with("master.key");
    fill(&server, 4..6);
    server.kill();
    let mixed = world.status();
    assert_eq!((&mixed["encrypted"], &mixed["plain"]["segments"]), (&true.into(), &1.into()));
    assert_eq!(segments_under(&mixed, 0), 1);
    // A new ledger of its events has nothing plain.
    let into = world.text("made");
    world.on("master.key", &["fork", "--name", "all of it", "--into", &into]);
    let made = json(&["keys", "status", "--data-dir", &into]).remove(0);
    assert_eq!((&made["encrypted"], &made["plain"]["segments"]), (&true.into(), &0.into()));
    assert_eq!(found_below(Path::new(&into)), Vec::<&str>::new());
}

/// A command in the place of a key service: what it does to keys is no encryption, but it is asked
/// as one is, and knows its key by name.
#[test]
fn a_key_service_is_asked_to_wrap_and_unwrap() {
    let world = World::new();
    let script = world.text("service");
    let text = "#!/bin/sh\ncase $1 in id) echo bank-key-7;; wrap) head -n1 | rev | base64 -w0;; \
                unwrap) test \"$2\" = bank-key-7 || exit 3; head -n1 | base64 -d | rev;; esac\n";
    fs::write(&script, text).expect("writes");
    let service = format!("sh {script}");
    let server = world.serve(&["--key-service", &service]);
    fill(&server, 1..3);
    server.kill();
    assert_eq!(world.status()["keys"][0]["master_key"], "bank-key-7");
    let data = world.text("ledger");
    json(&["verify", "--data-dir", &data, "--key-service", &service]);
    // To a key in a file, and nobody asks the service any more.
    world.key("master.key");
    let rotate = ["keys", "rotate", "--data-dir", &data, "--key-service", &service];
    json(&[&rotate[..], &["--new-master-key-file", &world.text("master.key")]].concat());
    world.on("master.key", &["verify"]);
    let broken = run(&["verify", "--data-dir", &data, "--key-service", "echo no; exit 5 #"]);
    assert_ne!(code(&broken), 0);
}

/// It wraps, and what it unwraps is some other key, or nothing: found out before `KEYS` is replaced.
#[test]
fn a_key_service_that_does_not_give_keys_back_is_not_rotated_to() {
    let world = World::new();
    world.key("master.key");
    let server = world.serve_with("master.key");
    fill(&server, 1..2);
    server.kill();
    let (data, script, keys) =
        (world.text("ledger"), world.text("service"), world.path("ledger/KEYS"));
    let before = fs::read(&keys).expect("reads");
    let other = "head -c32 /dev/zero | base64 -w0";
    for (unwrap, said) in [(other, "gives another key"), ("exit 4", "the command failed")] {
        let text = format!(
            "#!/bin/sh\ncase $1 in id) echo bank-key-7;; wrap) head -n1 | base64 -w0;; \
             unwrap) {unwrap};; esac\n"
        );
        fs::write(&script, text).expect("writes");
        let rotate = ["keys", "rotate", "--data-dir", &data, "--new-key-service"];
        let service = format!("sh {script}");
        let key = world.text("master.key");
        let refused = run(&[&rotate[..], &[&service, "--master-key-file", &key]].concat());
        assert_ne!(code(&refused), 0);
        assert!(stderr(&refused).contains(said), "{}", stderr(&refused));
        assert_eq!(fs::read(&keys).expect("reads"), before, "nothing was changed");
    }
    world.on("master.key", &["verify"]);
}

/// `KEYS` as it was before a rotation, as out of an old backup: rotated again it would have another
/// key under the number of the one that is gone.
#[test]
fn keys_that_lack_one_in_use_are_not_rotated() {
    let world = World::new();
    world.key("master.key");
    let fill_more = |ids| {
        let server = world.serve_with("master.key");
        fill(&server, ids);
        server.kill();
    };
    fill_more(1..3);
    let keys = world.path("ledger/KEYS");
    let old = fs::read(&keys).expect("reads");
    world.on("master.key", &["keys", "rotate"]);
    fill_more(3..5);
    let new = fs::read(&keys).expect("reads");
    fs::write(&keys, &old).expect("writes");
    let (data, key) = (world.text("ledger"), world.text("master.key"));
    let refused = run(&["keys", "rotate", "--data-dir", &data, "--master-key-file", &key]);
    assert_ne!(code(&refused), 0);
    assert!(stderr(&refused).contains("does not hold ledger key 2"), "{}", stderr(&refused));
    assert_eq!(fs::read(&keys).expect("reads"), old, "nothing was changed");
    fs::write(&keys, new).expect("writes");
    world.on("master.key", &["keys", "rotate"]);
    world.on("master.key", &["verify"]);
}

#[test]
fn a_server_with_a_key_leaves_no_core() {
    let world = World::new();
    world.key("master.key");
    let limit_of = |server: &Server| {
        let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).expect("reads");
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        let words: Vec<&str> = line.expect("a limit").split_whitespace().collect();
        words[4..6].join(" ")
    };
    let server = world.serve_with("master.key");
    assert_eq!(limit_of(&server), "0 0");
    server.kill();
}

#[test]
fn what_keys_say_is_what_the_documents_show() {
    let world = World::new();
    let name = world.key("master.key");
    let server = world.serve_with("master.key");
    fill(&server, 1..2);
    let shown = run(&["keys", "status", "--data-dir", &world.text("ledger")]);
    let text = stdout(&shown);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    assert!(text.contains("yes, AES-256-GCM"), "{text}");
    assert!(text.contains(&format!("wrapped by master key {name}; 1 segment under it")), "{text}");
    assert!(text.contains("not encrypted") && text.contains("nothing"), "{text}");
    // Every line is one that the README shows, with other figures.
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"));
    let readme = readme.expect("reads");
    for line in text.lines() {
        let label = line.split("  ").next().expect("a label");
        let shows = |shown: &str| shown.split("  ").next() == Some(label);
        assert!(readme.lines().any(shows), "`{label}` is not in the README");
    }
    let secret = fs::read_to_string(world.path("master.key")).expect("reads");
    assert!(!text.contains(secret.trim()), "the key is not shown");
    let again = run(&["keys", "generate", &world.text("master.key")]);
    assert_eq!(code(&again), 73, "a key is never overwritten: {}", stderr(&again));
    let nothing = run(&["keys", "rotate", "--data-dir", &world.text("nowhere")]);
    assert_eq!(code(&nothing), 2);
}
