//! Attacks on the data directory: bits flipped, files cut, exchanged or removed, the
//! process killed at any moment. Whatever happens, opening either says so or gives
//! back every acknowledged record as it was: never silence, a panic, a hang or all of
//! the machine's memory. Each opening is a process of its own, with limits.
//!
//! `DUCAT_ATTACKS` sets how many random places are tried (default 40 of each kind),
//! `DUCAT_ATTACK_SEED` where the random numbers start, `DUCAT_KILLS` how many kills.

mod support;

use ducat_engine::ids::Lsn;
use ducat_persistence::conformance::{SHARD, append};
use ducat_persistence::contract::Journal;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::child::{
    Random, Verdict, acked_by, kill_writer, open_in_child, run_child, setting, start,
};
use support::{copy_tree, open_journal, small_options};

/// Not a test of its own: the body of the processes that the tests start.
#[test]
fn child() {
    run_child();
}

/// A ledger that was killed after its last acknowledgement, and that LSN.
fn killed_ledger(stop: u64) -> (tempfile::TempDir, Lsn) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let acked = acked_by(start("write", root.path(), ("DUCAT_CHILD_STOP", stop)));
    (root, acked)
}

/// A ledger that was stopped properly and opened a few times.
fn stopped_ledger(stop: u64) -> (tempfile::TempDir, Lsn) {
    let (root, acked) = killed_ledger(stop);
    let mut last = acked;
    for _ in 0..2 {
        let journal = open_journal(root.path(), small_options());
        let (mut writer, tail) = journal.open_writer(SHARD, "test").expect("opens");
        last = append(&mut *writer, tail.next_lsn, 300).expect("appends");
    }
    (root, last)
}

/// sled writes a snapshot of its own while it opens, and takes the half that a kill leaves for
/// its newest: without removing it no server would ever start again.
#[test]
fn a_kill_while_a_segment_is_opened_leaves_a_ledger() {
    let (root, last) = stopped_ledger(6_000);
    let mut harmed = 0;
    for file in files_below(root.path()) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("snap.") {
            continue;
        }
        let whole = fs::read(&file).expect("reads");
        for (number, bytes) in [(&name[5..], whole.len() / 2), ("00000000FFFFFFFF", 0)] {
            let half = file.with_file_name(format!("snap.{number}.generating"));
            fs::write(half, &whole[..bytes]).expect("writes");
            harmed += 1;
        }
    }
    assert!(harmed > 0, "sled has snapshots");
    match open_in_child(root.path(), last) {
        Verdict::Whole => {}
        Verdict::Refused(said) | Verdict::Wrong(said) => panic!("{said}"),
    }
}

fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Tries one kind of harm at many places; returns how many were refused.
fn attack(name: &str, harm: fn(&Path, &mut Random) -> String) -> u64 {
    let seed = setting("DUCAT_ATTACK_SEED", 1);
    let count = setting("DUCAT_ATTACKS", 40);
    let ledgers = [killed_ledger(6_000), stopped_ledger(6_000)];
    let mut refused = 0;
    let mut wrong = Vec::new();
    for number in 0..count {
        let (ledger, acked) = &ledgers[usize::try_from(number % 2).expect("0 or 1")];
        let copy = tempfile::tempdir().expect("a temporary directory");
        copy_tree(ledger.path(), copy.path());
        let mut random = Random(seed.wrapping_mul(1_000_003) + number);
        let harmed = harm(copy.path(), &mut random);
        match open_in_child(copy.path(), *acked) {
            Verdict::Whole => {}
            Verdict::Refused(_) => refused += 1,
            Verdict::Wrong(said) => wrong.push(format!("attack {number}, {harmed}: {said}")),
        }
    }
    println!("{name}: {count} attacks, {refused} refused, {} whole", count - refused);
    assert!(wrong.is_empty(), "seed {seed}: {}", wrong.join("\n"));
    refused
}

/// A file: half of the time any, half of the time by size.
fn pick_file(root: &Path, random: &mut Random) -> PathBuf {
    let files = files_below(root);
    let sizes: Vec<u64> =
        files.iter().map(|file| fs::metadata(file).expect("is there").len()).collect();
    if random.below(2) == 0 {
        return files[usize::try_from(random.below(files.len() as u64)).expect("small")].clone();
    }
    let mut at = random.below(sizes.iter().sum());
    let index = sizes.iter().position(|size| {
        let here = at < *size;
        at = at.saturating_sub(*size);
        here
    });
    files[index.expect("below the sum")].clone()
}

fn flip_bit(root: &Path, random: &mut Random) -> String {
    let path = pick_file(root, random);
    let bytes = fs::read(&path).expect("reads");
    if bytes.is_empty() {
        return format!("nothing: {} is empty", path.display());
    }
    // Padding teaches nothing: look for a byte that differs from its neighbour.
    let mut at = 0;
    for _ in 0..50 {
        at = usize::try_from(random.below(bytes.len() as u64)).expect("fits");
        if at > 0 && bytes[at] != bytes[at - 1] {
            break;
        }
    }
    let bit = random.below(8);
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    file.write_all_at(&[bytes[at] ^ (1 << bit)], at as u64).expect("writes");
    format!("bit {bit} of byte {at} of {}", path.display())
}

fn truncate(root: &Path, random: &mut Random) -> String {
    let path = pick_file(root, random);
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    let size = file.metadata().expect("has a size").len();
    let to = random.below(size.max(1));
    file.set_len(to).expect("cuts");
    format!("{} cut from {size} to {to}", path.display())
}

fn overwrite(root: &Path, random: &mut Random) -> String {
    let path = pick_file(root, random);
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    let size = file.metadata().expect("has a size").len();
    let at = random.below(size.max(1));
    let length = (1 + random.below(20_000)).min(size - at.min(size));
    let fill = [0, 0xff, 0x5a][usize::try_from(random.below(3)).expect("small")];
    file.write_all_at(&vec![fill; usize::try_from(length).expect("small")], at).expect("writes");
    format!("{length} bytes of {fill:x} at {at} of {}", path.display())
}

fn remove(root: &Path, random: &mut Random) -> String {
    let files = files_below(root);
    let path = &files[usize::try_from(random.below(files.len() as u64)).expect("small")];
    fs::remove_file(path).expect("removes");
    format!("{} removed", path.display())
}

#[test]
fn flipped_bits_are_loud_or_harmless() {
    assert!(attack("bit flips", flip_bit) > 0);
}

#[test]
fn truncations_are_loud_or_harmless() {
    assert!(attack("truncations", truncate) > 0);
}

#[test]
fn overwritten_blocks_are_loud_or_harmless() {
    assert!(attack("overwritten blocks", overwrite) > 0);
}

#[test]
fn removed_files_are_loud_or_harmless() {
    assert!(attack("removed files", remove) > 0);
}

/// Every file replaced by what it was at an earlier time, as a bad restore would.
#[test]
fn removed_and_older_segments_and_marks() {
    let (ledger, acked) = killed_ledger(3_000);
    let earlier = tempfile::tempdir().expect("a temporary directory");
    copy_tree(ledger.path(), earlier.path());
    let more = acked_by(start("write", ledger.path(), ("DUCAT_CHILD_STOP", acked.0 + 3_000)));
    let segments: Vec<_> = fs::read_dir(ledger.path().join("shard-0/journal"))
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .collect();
    assert!(segments.len() >= 3, "several segments: {segments:?}");
    for segment in &segments {
        let copy = tempfile::tempdir().expect("a temporary directory");
        copy_tree(ledger.path(), copy.path());
        let relative = segment.strip_prefix(ledger.path()).expect("below");
        fs::remove_dir_all(copy.path().join(relative)).expect("removes");
        let verdict = open_in_child(copy.path(), more);
        assert!(matches!(verdict, Verdict::Refused(_)), "without {relative:?}: {verdict:?}");
    }
    let exchanged = |names: &[&str]| {
        let copy = tempfile::tempdir().expect("a temporary directory");
        copy_tree(ledger.path(), copy.path());
        for name in names {
            let (from, to) = (earlier.path().join(name), copy.path().join(name));
            if from.is_dir() {
                fs::remove_dir_all(&to).expect("removes");
                copy_tree(&from, &to);
            } else {
                fs::copy(from, to).expect("copies");
            }
        }
        open_in_child(copy.path(), more)
    };
    let older_journal = exchanged(&["shard-0/journal"]);
    assert!(matches!(older_journal, Verdict::Refused(_)), "{older_journal:?}");
    assert_eq!(exchanged(&["shard-0/mark"]), Verdict::Whole, "an older mark loses nothing");
    let (other, _) = killed_ledger(3_000);
    let foreign = tempfile::tempdir().expect("a temporary directory");
    copy_tree(ledger.path(), foreign.path());
    fs::copy(other.path().join("FORMAT"), foreign.path().join("FORMAT")).expect("copies");
    let verdict = open_in_child(foreign.path(), more);
    assert!(matches!(verdict, Verdict::Refused(_)), "another ledger's FORMAT: {verdict:?}");
}

/// Killed at any moment, opened, killed again: nothing acknowledged is ever lost.
#[test]
fn kill_loop() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let mut random = Random(setting("DUCAT_ATTACK_SEED", 1));
    let mut acked = Lsn::ZERO;
    for number in 0..setting("DUCAT_KILLS", 12) {
        let child = start("write", root.path(), ("DUCAT_CHILD_STOP", u64::MAX));
        // Every third one may die while it opens.
        let after = Duration::from_millis(random.below(250));
        acked = acked.max(kill_writer(child, number % 3 != 0, after));
        let verdict = open_in_child(root.path(), acked);
        assert_eq!(verdict, Verdict::Whole, "after LSN {acked}");
    }
    assert!(acked > Lsn::ZERO, "it wrote something");
}
