//! What was true once: parts of the data directory, or all of it, replaced by a copy made
//! earlier, as a bad restore would.
//!
//! The mark tells an older journal, and an older mark hides nothing. All of it replaced is a
//! whole, honest ledger of the past: only who remembers more can tell. Clients that were
//! answered do (`api/tests/client/restarts.rs`), and here the checker does.

use crate::attack::{Attack, Depth, listed, tries};
use crate::checker::Kind;
use crate::damage::{assert_names_the_place, copy_dir};
use crate::server::Launch;
use std::path::Path;
use std::time::Duration;

#[test]
fn an_older_part_is_refused_or_harmless() {
    let tries = tries("DUCAT_OLDER", 1);
    let mut attack = Attack::new("older journal, older mark");
    for _ in 0..tries {
        let dir = tempfile::tempdir().expect("a directory");
        let (now, then) = now_and_then(&mut attack, dir.path());
        let copy = dir.path().join("copy");
        copy_dir(&now, &copy);
        replace(&then, &copy, "shard-0/journal");
        let ended = Launch::default().start(&copy).err().expect("an older journal is refused");
        assert_names_the_place(&ended, &copy, "an older journal");
        std::fs::remove_dir_all(&copy).expect("ours");
        copy_dir(&now, &copy);
        replace(&then, &copy, "shard-0/mark");
        let server = attack.start(&Launch::default(), &copy);
        attack.check(&server, Depth::All);
        server.kill();
        attack.row.runs += 2;
    }
    attack.finish();
}

#[test]
fn an_older_directory_is_seen_by_those_who_were_answered() {
    let mut attack = Attack::new("older directory, seen by its clients");
    for _ in 0..tries("DUCAT_OLDER", 1) {
        let dir = tempfile::tempdir().expect("a directory");
        let (_, then) = now_and_then(&mut attack, dir.path());
        let server = Launch::default().start(&then).expect("a whole ledger of the past starts");
        let faults = attack.faults(&server, Depth::All);
        let lost = faults.iter().any(|fault| fault.kind == Kind::LostAcknowledgement);
        assert!(lost, "the history tells what is missing:\n{}", listed(&faults));
        server.kill();
        attack.row.runs += 1;
    }
    attack.row.note("each found missing by comparing with the clients' history");
    attack.finish();
}

/// A ledger, and a copy of it made before its last load.
fn now_and_then(attack: &mut Attack, dir: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (now, then) = (dir.join("now"), dir.join("then"));
    attack.begin_anew();
    for load in 0..2 {
        let server = attack.start(&Launch::default(), &now);
        attack.load_for(&server, Duration::from_millis(150));
        attack.resend(&server);
        server.kill();
        if load == 0 {
            copy_dir(&now, &then);
        }
    }
    (now, then)
}

fn replace(from: &Path, to: &Path, name: &str) {
    let (from, to) = (from.join(name), to.join(name));
    if from.is_dir() {
        std::fs::remove_dir_all(&to).expect("ours");
        copy_dir(&from, &to);
    } else {
        std::fs::copy(from, to).expect("room for a copy");
    }
}
