//! Damage to a stopped server's data directory: one flipped bit, or a file cut short,
//! anywhere. The next start refuses and says where, or everything acknowledged is still
//! there; never silence, a crash or a hang.

use crate::attack::{Attack, Depth, assert_refused, listed, tries};
use crate::server::{Ended, Launch};
use rand::RngExt as _;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A way to damage a file of at least one byte; says what it did.
type Damage = fn(&Path, &mut StdRng) -> String;

#[test]
fn a_flipped_bit_is_refused_or_harmless() {
    damages("flipped bits", |file, dice| {
        let mut bytes = std::fs::read(file).expect("readable");
        let (at, bit) = (dice.random_range(0..bytes.len()), dice.random_range(0..8));
        bytes[at] ^= 1 << bit;
        std::fs::write(file, bytes).expect("writable");
        format!("bit {bit} of byte {at}")
    });
}

#[test]
fn a_truncation_is_refused_or_harmless() {
    damages("truncations", |file, dice| {
        let bytes = std::fs::metadata(file).expect("there").len();
        // Half of them near the end, where a careless reader would take it for a torn write.
        let near = bytes.min(8192);
        let left = match dice.random_bool(0.5) {
            true => dice.random_range(0..bytes),
            false => bytes - dice.random_range(1..=near),
        };
        let open = std::fs::OpenOptions::new().write(true).open(file).expect("writable");
        open.set_len(left).expect("can be cut");
        format!("cut from {bytes} to {left} bytes")
    });
}

/// A stopped ledger with its history, below `dir`. Stopped in order once and killed once: its
/// files differ in how they end.
pub fn good_directory(attack: &mut Attack, dir: &Path) -> PathBuf {
    let good = dir.join("good");
    let server = attack.start(&Launch::default(), &good);
    attack.load_for(&server, Duration::from_millis(150));
    server.terminate();
    assert_eq!(server.wait().status.code(), Some(0));
    let server = attack.start(&Launch::default(), &good);
    let history = Arc::clone(&attack.history);
    attack.load(server, |server, _| {
        history.await_answers(history.acknowledged());
        std::thread::sleep(Duration::from_millis(150));
        server.kill();
    });
    let server = attack.start(&Launch::default(), &good);
    attack.resend(&server);
    server.kill();
    assert!(attack.history.acknowledged() > 100, "the load came to nothing");
    good
}

fn damages(what: &str, damage: Damage) {
    let tries = tries("DUCAT_DAMAGES", 20);
    let dir = tempfile::tempdir().expect("a directory");
    let mut attack = Attack::new(what);
    let good = good_directory(&mut attack, dir.path());
    let (mut refused, mut intact) = (0, 0);
    for nth in 0..tries {
        let copy = dir.path().join(format!("copy-{nth}"));
        copy_dir(&good, &copy);
        let file = pick(&copy, &mut attack.dice);
        let place = file.strip_prefix(&copy).expect("inside").display().to_string();
        let done = format!("{place}: {}", damage(&file, &mut attack.dice));
        match Launch::default().start(&copy) {
            Err(ended) => {
                assert_names_the_place(&ended, &copy, &done);
                refused += 1;
            }
            Ok(server) => {
                let faults = attack.faults(&server, Depth::All);
                attack.row.silent += usize::from(!faults.is_empty());
                assert!(faults.is_empty(), "silent: {done}\n{}", listed(&faults));
                intact += 1;
            }
        }
        std::fs::remove_dir_all(&copy).expect("ours");
    }
    attack.row.note(format!("{refused} refused with the place named, {intact} whole"));
    attack.row.runs = tries;
    attack.finish();
}

/// A refusal that leads to the damage: exit code 65 and the directory, a file or an LSN.
pub fn assert_names_the_place(ended: &Ended, copy: &Path, done: &str) {
    assert_refused(ended);
    assert_eq!(ended.status.code(), Some(65), "{done}: {ended:?}");
    let named = [copy.to_str().expect("plain"), "LSN", "lsn", "frame", "sled"];
    assert!(named.iter().any(|name| ended.stderr.contains(name)), "{done}: {ended:?}");
}

/// Half of the times any byte of the directory is as likely as any other, half of the times
/// any file is: most bytes are in one file.
fn pick(dir: &Path, dice: &mut StdRng) -> PathBuf {
    let mut files = Vec::new();
    collect(dir, &mut files);
    files.retain(|(_, bytes)| *bytes > 0);
    files.sort();
    if dice.random_bool(0.5) {
        return files.swap_remove(dice.random_range(0..files.len())).0;
    }
    let mut at = dice.random_range(0..files.iter().map(|(_, bytes)| bytes).sum());
    for (file, bytes) in files {
        if at < bytes {
            return file;
        }
        at -= bytes;
    }
    unreachable!("the place is below the sum")
}

fn collect(dir: &Path, files: &mut Vec<(PathBuf, u64)>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("readable");
        let about = entry.metadata().expect("readable");
        if about.is_dir() {
            collect(&entry.path(), files);
        } else {
            files.push((entry.path(), about.len()));
        }
    }
}

/// Copies a directory with everything in it.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a new directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.metadata().expect("readable").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("room for a copy");
        }
    }
}
