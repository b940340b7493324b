//! Tamper evidence with the binary: checkpoints signed by a server, an older copy and other
//! histories refused and named, receipts that prove and receipts that do not.

use crate::support::{Server, code, copy_tree, json, path_text, run, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

const SIGTERM: i32 = 15;

/// A directory with a key, a place for checkpoints, and a ledger that is served.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().expect("a directory") };
        place.make_key("key");
        place
    }

    fn path(&self, name: &str) -> String {
        path_text(&self.dir.path().join(name))
    }

    fn make_key(&self, name: &str) {
        let made = run(&["key", "generate", "--key", &self.path(name)]);
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        fs::write(self.path(&format!("{name}.pub")), made.stdout).expect("written");
    }

    /// A server that signs often.
    fn serve(&self) -> Server {
        let (witness, key) = (self.path("witness"), self.path("key"));
        let flags = ["--checkpoints", &witness, "--checkpoint-key", &key];
        let flags = [&flags[..], &["--checkpoint-every", "100ms"]].concat();
        Server::start_with(self.dir.path(), 1, &flags)
    }

    /// A start that must be refused.
    fn refused(&self, key: &str) -> Output {
        let (data, witness, key) = (self.path("ledger"), self.path("witness"), self.path(key));
        let base = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &data];
        run(&[&base[..], &["--checkpoints", &witness, "--checkpoint-key", &key]].concat())
    }

    fn verify(&self) -> Output {
        self.verify_with("ledger", "witness", "key.pub")
    }

    fn verify_with(&self, data: &str, witness: &str, key: &str) -> Output {
        let (data, witness, key) = (self.path(data), self.path(witness), self.path(key));
        let line = ["verify", "--skip-store", "--json", "--data-dir", &data];
        run(&[&line[..], &["--checkpoints", &witness, "--public-key", &key]].concat())
    }

    fn checkpoint(&self, number: u64) -> PathBuf {
        self.dir.path().join(format!("witness/{number:012}.checkpoint"))
    }
}

/// The kinds of faults of a report.
fn faults(output: &Output) -> Vec<String> {
    let report: Value = serde_json::from_str(&stdout(output)).expect("JSON");
    let faults = report["faults"].as_array().expect("a list").iter();
    faults.map(|fault| fault["kind"].as_str().expect("a kind").to_owned()).collect()
}

fn open_accounts(server: &Server) {
    for account in [&["1", "--external"][..], &["2"], &["3"]] {
        let line = [&["account", "create", "--currency", "GBP"][..], account].concat();
        assert_eq!(code(&server.run(&line)), 0);
    }
}

fn transfer(server: &Server, id: &str, from: &str, to: &str, amount: &str) {
    let kind = if from == "1" { "deposit" } else { "transfer" };
    let line = ["transfer", "--from", from, "--to", to, "--amount", amount, "--currency", "GBP"];
    let output = server.run(&[&line[..], &["--kind", kind, "--id", id]].concat());
    assert!(code(&output) <= 1, "{}", stderr(&output));
}

/// Waits until everything that is durable is signed.
fn signed(server: &Server) -> Value {
    let since = Instant::now();
    loop {
        let status = server.json(&["status"]).remove(0);
        let checkpoints = status["checkpoints"].clone();
        if checkpoints["number"].as_u64() > Some(0) && checkpoints["lag"] == 0 {
            return checkpoints;
        }
        assert!(since.elapsed() < Duration::from_secs(120), "nothing is signed: {status}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_served_ledger_is_signed_and_verified_beside_the_server_and_after_it() {
    let place = Place::new();
    let server = place.serve();
    open_accounts(&server);
    let first = signed(&server);
    assert_eq!((&first["lsn"], &first["failure"]), (&3.into(), &Value::Null));
    transfer(&server, "71", "1", "2", "100.00");
    assert_eq!(signed(&server)["lsn"], 4);
    let live = place.verify();
    assert_eq!(code(&live), 0, "{}{}", stdout(&live), stderr(&live));
    transfer(&server, "72", "2", "3", "30.50");
    let status = server.signal(SIGTERM);
    assert!(status.success(), "{status}");
    let report = place.verify();
    assert_eq!(code(&report), 0, "{}", stderr(&report));
    let report: Value = serde_json::from_str(&stdout(&report)).expect("JSON");
    assert_eq!(report["checkpoints"]["lsn"], 5, "an orderly stop signs what is there: {report}");
    let newest = report["checkpoints"]["number"].as_u64().expect("a number");
    // It goes on where it stopped, also without the tree's hashes, also after SIGKILL.
    for round in 0..3 {
        let server = place.serve();
        transfer(&server, &format!("8{round}"), "2", "3", "0.01");
        let number = signed(&server)["number"].as_u64().expect("a number");
        assert!(number > newest + round, "{number}");
        server.kill();
        if round == 0 {
            fs::remove_file(place.path("ledger/shard-0/tree")).expect("there");
        }
        assert_eq!(code(&place.verify()), 0);
    }
}

#[test]
fn an_older_copy_of_the_whole_directory_is_found_and_not_served() {
    let place = Place::new();
    let server = place.serve();
    open_accounts(&server);
    transfer(&server, "71", "1", "2", "100.00");
    signed(&server);
    assert!(server.signal(SIGTERM).success());
    copy_tree(Path::new(&place.path("ledger")), Path::new(&place.path("older")));
    let server = place.serve();
    transfer(&server, "72", "2", "3", "30.50");
    signed(&server);
    server.kill();
    fs::rename(place.path("ledger"), place.path("newer")).expect("moved");
    fs::rename(place.path("older"), place.path("ledger")).expect("moved");

    let verify = run(&["verify", "--data-dir", &place.path("ledger")]);
    assert_eq!(code(&verify), 0, "by itself it is an honest ledger of the past");
    let verify = place.verify();
    assert_eq!(code(&verify), 65);
    assert_eq!(faults(&verify), ["older-copy"]);
    let refused = place.refused("key");
    assert_eq!(code(&refused), 65, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("an older copy of the data directory"), "{refused:?}");
    assert!(stderr(&refused).contains("ducat restore"), "it says what to do: {refused:?}");

    // Served without its checkpoints it goes on by itself: another history.
    Server::start(place.dir.path(), 1).kill();
    assert_eq!(faults(&place.verify()), ["older-copy"]);
    let server = Server::start(place.dir.path(), 1);
    for id in ["90", "91"] {
        transfer(&server, id, "1", "3", "5.00");
    }
    server.kill();
    assert_eq!(faults(&place.verify()), ["rewritten"]);
    let refused = place.refused("key");
    assert_eq!(code(&refused), 65, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("history was rewritten"), "{refused:?}");

    // The directory emptied, and the true one put back.
    fs::remove_dir_all(place.path("ledger")).expect("removed");
    let refused = place.refused("key");
    assert_eq!(code(&refused), 65, "{}", stderr(&refused));
    assert!(!Path::new(&place.path("ledger/FORMAT")).exists(), "nothing was made");
    fs::remove_dir_all(place.path("ledger")).ok();
    fs::rename(place.path("newer"), place.path("ledger")).expect("moved");
    assert_eq!(code(&place.verify()), 0);
    place.serve().kill();
}

/// The same ledger lived twice: as many events, the same ids, one cent more in one of them.
/// Checksums, chain, mark and figures of the second life are in order.
#[test]
fn a_rewritten_history_is_found_and_not_served() {
    let place = Place::new();
    Server::start(place.dir.path(), 1).kill();
    copy_tree(Path::new(&place.path("ledger")), Path::new(&place.path("second")));
    let live = |server: &Server, amount: &str| {
        open_accounts(server);
        transfer(server, "71", "1", "2", amount);
        transfer(server, "72", "2", "3", "30.50");
    };
    let server = place.serve();
    live(&server, "100.00");
    signed(&server);
    server.kill();
    fs::rename(place.path("ledger"), place.path("first")).expect("moved");
    fs::rename(place.path("second"), place.path("ledger")).expect("moved");
    let server = Server::start(place.dir.path(), 1);
    live(&server, "100.01");
    server.kill();
    assert_eq!(code(&run(&["verify", "--data-dir", &place.path("ledger")])), 0, "sound by itself");
    let verify = place.verify();
    assert_eq!(code(&verify), 65);
    let kinds = faults(&verify);
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "rewritten"), "{kinds:?}");
    let refused = place.refused("key");
    assert_eq!(code(&refused), 65, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("history was rewritten"), "{refused:?}");
    assert!(stderr(&refused).contains("names the first checkpoint"), "{refused:?}");
    assert_eq!(code(&place.verify_with("first", "witness", "key.pub")), 0);
}

#[test]
fn a_fork_is_not_taken_for_its_parent() {
    let place = Place::new();
    let server = place.serve();
    open_accounts(&server);
    signed(&server);
    server.kill();
    let (data, fork) = (place.path("ledger"), place.path("fork"));
    let made = run(&["fork", "--data-dir", &data, "--name", "x", "--at-lsn", "3", "--into", &fork]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let verify = place.verify_with("fork", "witness", "key.pub");
    assert_eq!(code(&verify), 65);
    assert!(faults(&verify).iter().all(|kind| kind == "checkpoint"));
    assert!(stdout(&verify).contains("forked ledger has an id of its own"), "{}", stdout(&verify));
    fs::remove_dir_all(&data).expect("removed");
    fs::rename(&fork, &data).expect("moved");
    let refused = place.refused("key");
    assert_eq!(code(&refused), 65);
    assert!(stderr(&refused).contains("forked ledger has an id of its own"), "{refused:?}");
    assert!(stderr(&refused).contains("or a new one"), "{refused:?}");
    fs::rename(place.path("witness"), place.path("witness-of-parent")).expect("moved");
    let server = place.serve();
    assert_eq!(signed(&server)["number"], 1, "in a directory of its own");
}

#[test]
fn checkpoints_meddled_with_are_found() {
    let place = Place::new();
    let server = place.serve();
    open_accounts(&server);
    let mut numbers = Vec::new();
    for id in ["71", "72", "73", "74"] {
        transfer(&server, id, "1", "2", "1.00");
        numbers.push(signed(&server)["number"].as_u64().expect("a number"));
    }
    assert!(server.signal(SIGTERM).success());
    let last = numbers[3];
    let (kept, witness) = (place.dir.path().join("kept"), place.dir.path().join("witness"));
    copy_tree(&witness, &kept);
    let meddled = |what: &str, meddle: &dyn Fn()| {
        meddle();
        let verify = place.verify();
        assert_eq!(code(&verify), 65, "{what}: {}", stdout(&verify));
        assert!(faults(&verify).iter().all(|kind| kind == "checkpoint"), "{what}");
        fs::remove_dir_all(&witness).expect("removed");
        copy_tree(&kept, &witness);
        assert_eq!(code(&place.verify()), 0, "put back");
    };
    for number in 1..=last {
        meddled("removed", &|| fs::remove_file(place.checkpoint(number)).expect("there"));
    }
    meddled("all removed", &|| {
        (1..=last).for_each(|number| fs::remove_file(place.checkpoint(number)).expect("there"));
    });
    meddled("exchanged", &|| {
        fs::copy(kept.join(format!("{:012}.checkpoint", last - 1)), place.checkpoint(last))
            .expect("copied");
        fs::copy(kept.join(format!("{last:012}.checkpoint")), place.checkpoint(last - 1))
            .expect("copied");
    });
    meddled("renumbered", &|| {
        fs::rename(place.checkpoint(last), place.checkpoint(last + 1)).expect("moved");
    });
    meddled("copied", &|| {
        fs::copy(place.checkpoint(last), place.checkpoint(last + 1)).expect("copied");
    });
    meddled("emptied", &|| fs::write(place.checkpoint(last), "").expect("written"));
    meddled("lengthened", &|| {
        let text = fs::read_to_string(place.checkpoint(1)).expect("reads");
        fs::write(place.checkpoint(1), text + "\n").expect("written");
    });

    // A start looks at the newest, and knows how many there were.
    fs::remove_file(place.checkpoint(last)).expect("there");
    let refused = place.refused("key");
    assert_eq!(code(&refused), 65, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("its last checkpoints were removed"), "{refused:?}");
    fs::copy(kept.join(format!("{last:012}.checkpoint")), place.checkpoint(last)).expect("copied");

    // Another key.
    place.make_key("other");
    let refused = place.refused("other");
    assert_eq!(code(&refused), 65, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("signed by another key"), "{refused:?}");
    let verify = place.verify_with("ledger", "witness", "other.pub");
    assert_eq!(code(&verify), 65);
    assert!(stdout(&verify).contains("signed by another key"), "{}", stdout(&verify));
    place.serve().kill();
}

#[test]
fn keys_are_kept_apart_and_to_oneself() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let key = place.path("key");
    let mode = fs::metadata(&key).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let again = run(&["key", "generate", "--key", &key]);
    assert_eq!(code(&again), 73, "a key is never written over");
    let public = run(&["key", "public", "--key", &key]);
    assert_eq!(stdout(&public), fs::read_to_string(place.path("key.pub")).expect("reads"));
    assert!(stdout(&public).starts_with("-----BEGIN PUBLIC KEY-----"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("set");
    let refused = place.refused("key");
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("chmod 600"), "{refused:?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
    let data = place.path("ledger");
    fs::create_dir(&data).expect("made");
    let inside = format!("{data}/key");
    fs::copy(&key, &inside).expect("copied");
    let (outside, witness_inside) = (place.path("witness"), format!("{data}/witness"));
    for (witness, key) in [(&outside, &inside), (&witness_inside, &key)] {
        let flags = ["serve", "--data-dir", &data, "--checkpoints", witness];
        let refused = run(&[&flags[..], &["--checkpoint-key", key]].concat());
        assert_eq!(code(&refused), 2, "{}", stderr(&refused));
        assert!(stderr(&refused).contains("data directory"), "{refused:?}");
    }
    let no_key = run(&["serve", "--data-dir", &data, "--checkpoints", &outside]);
    assert_eq!(code(&no_key), 2);
}

#[test]
fn a_receipt_proves_a_transfer_to_somebody_with_the_public_key_alone() {
    let place = Place::new();
    let (witness, key) = (place.path("witness"), place.path("key"));
    // Signs only when it is asked to.
    let flags = ["--checkpoints", &witness, "--checkpoint-key", &key, "--checkpoint-every", "24h"];
    let server = Server::start_with(place.dir.path(), 1, &flags);
    open_accounts(&server);
    transfer(&server, "71", "1", "2", "100.00");
    transfer(&server, "72", "2", "3", "30.50");
    transfer(&server, "73", "3", "2", "99.00");
    let (file, public) = (place.path("72.receipt"), place.path("key.pub"));
    let made = server.run(&["receipt", "72", "-o", &file]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    assert_eq!(code(&server.run(&["receipt", "99"])), 1, "an unknown transfer");
    assert_eq!(code(&server.run(&["receipt", "--lsn", "99"])), 1, "an unknown event");
    assert_eq!(code(&server.run(&["receipt"])), 2);
    let refused = server.run(&["receipt", "73"]);
    assert_eq!(code(&refused), 0, "a refusal is proved as well");
    server.kill();

    let verify = |file: &str, key: &str| {
        run(&["receipt", "verify", file, "--public-key", &place.path(key), "--json"])
    };
    let proved = verify(&file, "key.pub");
    assert_eq!(code(&proved), 0, "{}", stderr(&proved));
    let proved: Value = serde_json::from_str(&stdout(&proved)).expect("JSON");
    assert_eq!((&proved["valid"], &proved["lsn"]), (&true.into(), &5.into()));
    let event = &proved["event"];
    for (field, value) in [("id", "72"), ("outcome", "POSTED"), ("amount", "30.50")] {
        assert_eq!(event[field], value, "{event}");
    }
    assert_eq!(event["debit"]["posted"], "69.50");
    let text = run(&["receipt", "verify", &file, "--public-key", &public]);
    assert!(stdout(&text).contains("30.50 GBP"), "{}", stdout(&text));

    place.make_key("other");
    let other = verify(&file, "other.pub");
    assert_eq!(code(&other), 65);
    assert!(stderr(&other).contains("another key"), "{}", stderr(&other));
    let text = fs::read_to_string(&file).expect("reads");
    let edited = place.path("edited");
    fs::write(&edited, text.replace("30.50", "80.50")).expect("written");
    assert_eq!(code(&verify(&edited, "key.pub")), 65);

    // The same from the directory.
    let data = place.path("ledger");
    let offline = ["receipt", "72", "--data-dir", &data, "--checkpoints", &witness];
    let offline = run(&[&offline[..], &["--public-key", &public]].concat());
    assert_eq!(code(&offline), 0, "{}", stderr(&offline));
    let again: Value = serde_json::from_str(&stdout(&offline)).expect("JSON");
    let first: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(again["statement"], first["statement"]);
    assert_eq!(again["event"], first["event"]);

    let server = Server::start(place.dir.path(), 1);
    let none = server.run(&["receipt", "72"]);
    assert_eq!(code(&none), 1, "this server signs nothing");
    assert!(stderr(&none).contains("serve --checkpoints"), "{none:?}");
    assert_eq!(server.json(&["status"])[0]["checkpoints"], Value::Null);
    drop(server);
    assert!(!json(&["verify", "--data-dir", &data]).is_empty());
}

/// What was said of a transfer is proved with it, from a server and from its directory; whoever hands
/// the receipt on may leave it out.
#[test]
fn a_receipt_proves_what_was_said_of_a_transfer() {
    let place = Place::new();
    let (witness, key) = (place.path("witness"), place.path("key"));
    let flags = ["--checkpoints", &witness, "--checkpoint-key", &key, "--checkpoint-every", "24h"];
    let server = Server::start_with(place.dir.path(), 1, &flags);
    open_accounts(&server);
    transfer(&server, "71", "1", "2", "100.00");
    let line = "transfer --from 2 --to 3 --amount 30.50 --currency GBP --kind payment --id 72";
    let line: Vec<_> = line.split(' ').collect();
    let note =
        ["--reference", "INV-1", "--description", "two chairs", "--value-date", "2026-01-31"];
    let paid = server.run(&[&line[..], &note].concat());
    assert_eq!(code(&paid), 0, "{}", stderr(&paid));
    let (file, public) = (place.path("72.receipt"), place.path("key.pub"));
    assert_eq!(code(&server.run(&["receipt", "72", "-o", &file])), 0);
    server.kill();

    let verify = |text: &str| {
        let file = place.path("shown");
        fs::write(&file, text).expect("written");
        run(&["receipt", "verify", &file, "--public-key", &public])
    };
    let text = fs::read_to_string(&file).expect("reads");
    let shown = verify(&text);
    assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    for said in ["payment", "INV-1", "two chairs", "2026-01-31"] {
        assert!(stdout(&shown).contains(said), "{said}: {}", stdout(&shown));
    }
    for (said, other) in [("INV-1", "INV-2"), ("two", "six"), ("2026-01-31", "2026-02-01")] {
        assert_eq!(code(&verify(&text.replace(said, other))), 65, "{said}");
    }
    let mut hidden: Value = serde_json::from_str(&text).expect("JSON");
    hidden.as_object_mut().expect("an object").remove("note").expect("it was shown");
    let hidden = verify(&hidden.to_string());
    assert_eq!(code(&hidden), 0, "{}", stderr(&hidden));
    assert!(stdout(&hidden).contains("not shown"), "{}", stdout(&hidden));
    assert!(!stdout(&hidden).contains("INV-1"), "{}", stdout(&hidden));

    let data = place.path("ledger");
    let offline = ["receipt", "72", "--data-dir", &data, "--checkpoints", &witness];
    let offline = run(&[&offline[..], &["--public-key", &public]].concat());
    assert_eq!(stdout(&offline).trim_end(), text.trim_end());
}

/// Whatever the moment of the end, what is there is whole, and it goes on.
#[test]
fn killed_while_signing_it_goes_on() {
    let place = Place::new();
    let mut id = 100;
    for round in 0..8 {
        let server = place.serve();
        if round == 0 {
            open_accounts(&server);
        }
        for _ in 0..6 {
            transfer(&server, &id.to_string(), "1", "2", "1.00");
            id += 1;
        }
        server.kill();
        let verify = place.verify();
        let none = faults(&verify);
        let nothing_yet = none == ["checkpoint"] && !place.checkpoint(1).exists();
        assert!(code(&verify) == 0 || nothing_yet, "{}", stdout(&verify));
    }
    // What an interruption leaves behind.
    fs::write(place.path("witness/next.checkpoint.new"), "ducat/ha").expect("written");
    let server = place.serve();
    transfer(&server, "1", "1", "2", "1.00");
    signed(&server);
    drop(server);
    assert_eq!(code(&place.verify()), 0);
}
