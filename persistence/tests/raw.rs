//! The journal read from its files alone: the same frames as through the store, nothing
//! written, also while it is being written; and what is wrong, with its place.

mod support;
mod vault;

use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_persistence::raw::inspect::{FaultKind, Inspection};
use ducat_persistence::{AppendBuffer, FrameHash, Journal, RawJournal, Tail, Writer};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use support::{copy_tree, open_journal, small_options};

const SHARD: ShardId = ShardId(0);

/// Appends `records` records of 100 bytes after `last`; returns the new last LSN.
fn append(writer: &mut dyn Writer, last: Lsn, records: u64) -> Lsn {
    let mut batch = AppendBuffer::new();
    batch.begin_batch(last.0 + 1_000);
    for lsn in last.0 + 1..=last.0 + records {
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(&lsn.to_le_bytes());
            out.resize(out.len() + 92, lsn as u8);
        };
        batch.push(Lsn(lsn), fill).expect("small");
    }
    batch.end_batch();
    writer.append(last.next(), &mut batch).expect("appends")
}

/// A journal of several segments, written by two processes after each other.
fn filled(root: &Path) -> (Tail, Vec<FrameHash>) {
    let mut last = Lsn::ZERO;
    for appends in [30, 40] {
        let journal = open_journal(root, small_options());
        let mut writer = journal.open_writer(SHARD, "test").expect("opens").0;
        for number in 0..appends {
            last = append(&mut *writer, last, 1 + number * 3 % 170);
        }
    }
    seen(&open_journal(root, small_options()))
}

fn seen(journal: &dyn Journal) -> (Tail, Vec<FrameHash>) {
    let mut hashes = Vec::new();
    let tail = journal.scan(SHARD, &mut |frame, _| {
        hashes.push(frame.hash());
        Ok(())
    });
    (tail.expect("sound"), hashes)
}

fn inspect(root: &Path) -> (Inspection, Vec<FrameHash>) {
    let mut hashes = Vec::new();
    let journal = RawJournal::open(root).expect("opens");
    let (found, failed) = journal.inspect(&mut |frame, _| {
        hashes.push(frame.hash());
        Ok(())
    });
    assert!(failed.is_none());
    (found, hashes)
}

/// Every file below a directory with its content.
fn content(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(content(&path));
            files.insert(path, Vec::new());
        } else {
            files.insert(path.clone(), fs::read(&path).expect("reads"));
        }
    }
    files
}

fn db_files(root: &Path) -> Vec<PathBuf> {
    content(root).into_keys().filter(|path| path.ends_with("db")).collect()
}

#[test]
fn the_same_frames_as_through_the_store_and_nothing_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let (tail, hashes) = filled(dir.path());
    assert!(db_files(dir.path()).len() > 2, "several segments");
    let before = content(dir.path());
    let raw = RawJournal::open(dir.path()).expect("opens");
    assert!(!raw.is_live());
    assert_eq!(seen(&raw), (tail.clone(), hashes.clone()));
    let (found, shown) = inspect(dir.path());
    assert_eq!((&found.faults, &shown), (&Vec::new(), &hashes));
    assert_eq!((found.frames, found.records, found.bytes), (tail.frames, tail.records, tail.bytes));
    assert_eq!((found.epochs, found.sound_hash), (2, tail.last_hash));
    let read: Result<Vec<_>, _> = raw.read(SHARD, Lsn(1)).expect("reads").collect();
    assert_eq!(read.expect("sound").len() as u64, tail.frames);
    let single = raw.frame_at(SHARD, Lsn(77)).expect("sound").expect("there");
    assert!((single.first_lsn()..=single.last_lsn()).contains(&Lsn(77)));
    assert!(raw.open_writer(SHARD, "test").is_err(), "only for reading");
    drop(raw);
    assert!(content(dir.path()) == before, "not a byte was written");
}

#[test]
fn a_journal_is_read_while_it_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open_journal(dir.path(), small_options());
    let mut writer = journal.open_writer(SHARD, "test").expect("opens").0;
    let mut last = append(&mut *writer, Lsn::ZERO, 50);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut reads, mut records) = (0, 0);
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let raw = RawJournal::open(dir.path()).expect("opens");
                assert!(raw.is_live());
                let tail = seen(&raw).0;
                assert_eq!(tail.records, raw.mark().durable.lsn.0, "all that was acknowledged");
                assert!(tail.records >= records, "never less than before");
                (reads, records) = (reads + 1, tail.records);
            }
            reads
        });
        for _ in 0..300 {
            last = append(&mut *writer, last, 90);
        }
        done.store(true, Ordering::Relaxed);
        assert!(reading.join().expect("sound") > 0);
    });
    assert!(db_files(dir.path()).len() > 3, "it went through segments");
}

#[test]
fn an_end_that_was_dropped_does_not_come_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = open_journal(dir.path(), small_options());
    let mut writer = journal.open_writer(SHARD, "test").expect("opens").0;
    let kept = append(&mut *writer, Lsn::ZERO, 120);
    drop((writer, journal));
    // What a later append wrote is still in the file, but the mark does not know of it.
    let mark = fs::read(dir.path().join("shard-0/mark")).expect("reads");
    let journal = open_journal(dir.path(), small_options());
    let mut writer = journal.open_writer(SHARD, "test").expect("opens").0;
    append(&mut *writer, kept, 200);
    drop((writer, journal));
    fs::write(dir.path().join("shard-0/mark"), mark).expect("writes");
    // Appended by an epoch that the mark has not seen: not for a reader to decide about.
    let (found, _) = inspect(dir.path());
    assert_eq!((found.faults.len(), found.last_lsn), (0, kept));
    assert_eq!(found.newer, Some((kept.next(), Epoch(2))), "and it is said");
    // The next writer decides: it keeps it, and from then on it is part of the journal.
    let journal = open_journal(dir.path(), small_options());
    let tail = journal.open_writer(SHARD, "test").expect("opens").1;
    drop(journal);
    assert_eq!(inspect(dir.path()).0.last_lsn, Lsn(tail.next_lsn.0 - 1));
}

/// Harms one file of a copy and says what is found there.
fn harmed(root: &Path, harm: impl FnOnce(&Path)) -> (Inspection, Vec<FrameHash>) {
    let copy = tempfile::tempdir().expect("a directory");
    copy_tree(root, copy.path());
    harm(copy.path());
    inspect(copy.path())
}

/// Where in a file these bytes lie.
fn places(file: &[u8], bytes: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(file, bytes).collect()
}

#[test]
fn a_damaged_frame_is_named_with_its_place_once_no_copy_of_it_is_intact() {
    let dir = tempfile::tempdir().expect("a directory");
    let (tail, hashes) = filled(dir.path());
    let mut frames = Vec::new();
    let journal = RawJournal::open(dir.path()).expect("opens");
    let _shown = journal.inspect(&mut |frame, _| {
        frames.push(frame.clone());
        Ok(())
    });
    drop(journal);
    let files = db_files(dir.path());
    let names: Vec<_> =
        files.iter().map(|path| path.strip_prefix(dir.path()).expect("below").to_owned()).collect();
    for (number, frame) in frames.iter().enumerate().step_by(frames.len() / 12) {
        let holds = |name: &&PathBuf| {
            let file = fs::read(dir.path().join(name)).expect("reads");
            !places(&file, frame.bytes()).is_empty()
        };
        let name = names.iter().find(holds).expect("it is in a file");
        let copies = places(&fs::read(dir.path().join(name)).expect("reads"), frame.bytes());
        let flip = |copy: &Path, places: &[usize]| {
            let file = fs::File::options().read(true).write(true).open(copy.join(name));
            let file = file.expect("opens");
            for place in places {
                let (at, mut byte) = (*place as u64 + 100, [0]);
                file.read_exact_at(&mut byte, at).expect("reads");
                file.write_all_at(&[byte[0] ^ 4], at).expect("writes");
            }
        };
        let (found, shown) = harmed(dir.path(), |copy| flip(copy, &copies));
        assert_eq!(shown[..], hashes[..number], "what is shown is what was written");
        assert_eq!(found.faults.len(), 1, "{found:?}");
        let fault = &found.faults[0];
        assert_eq!(fault.kind, FaultKind::DamagedFrame);
        assert_eq!((fault.lsn, fault.last_lsn), (frame.first_lsn(), frame.last_lsn()));
        assert!(fault.path.ends_with(name), "{fault:?}");
        assert!(copies.contains(&(fault.offset.expect("it is there") as usize)), "{fault:?}");
        assert_eq!(found.frames, tail.frames - 1, "read on behind it");
        if copies.len() > 1 {
            let (found, shown) = harmed(dir.path(), |copy| flip(copy, &copies[1..]));
            assert_eq!((found.faults.len(), shown.len()), (0, hashes.len()), "one is enough");
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let (tail, hashes) = filled(dir.path());
    let segment =
        |root: &Path, index: usize| db_files(root)[index].parent().expect("a directory").to_owned();
    let first_of = |index: usize| -> u64 {
        let segment = segment(dir.path(), index);
        segment.file_name().and_then(|name| name.to_str()).expect("a name").parse().expect("an LSN")
    };
    let last = Lsn(tail.next_lsn.0 - 1);

    let (found, shown) = harmed(dir.path(), |copy| {
        fs::remove_dir_all(segment(copy, 1)).expect("removes");
    });
    let fault = &found.faults[0];
    assert_eq!((fault.kind, found.faults.len()), (FaultKind::Gap, 1), "{found:?}");
    assert_eq!((fault.lsn.0, fault.last_lsn.0), (first_of(1), first_of(2) - 1));
    assert_eq!((found.sound_lsn.0, found.last_lsn), (first_of(1) - 1, last), "read on behind it");
    assert_eq!(shown[..], hashes[..shown.len()]);

    let at_the_end = db_files(dir.path()).len() - 1;
    let (found, _) = harmed(dir.path(), |copy| {
        fs::remove_dir_all(segment(copy, at_the_end)).expect("removes");
    });
    let fault = &found.faults[0];
    assert_eq!((fault.kind, fault.lsn.0), (FaultKind::Shortened, first_of(at_the_end)));
    assert_eq!(fault.last_lsn, last, "as far as the mark says");

    let (found, _) = harmed(dir.path(), |copy| {
        fs::remove_dir_all(segment(copy, 0)).expect("removes");
    });
    assert_eq!((found.faults[0].kind, found.faults[0].lsn), (FaultKind::Gap, Lsn(1)), "{found:?}");

    let (found, shown) = harmed(dir.path(), |copy| {
        for index in (0..=at_the_end).rev() {
            fs::remove_dir_all(segment(copy, index)).expect("removes");
        }
    });
    assert_eq!((found.faults[0].kind, shown.len()), (FaultKind::Shortened, 0), "{found:?}");
}

#[test]
fn a_scan_refuses_what_an_inspection_finds() {
    let dir = tempfile::tempdir().expect("a directory");
    filled(dir.path());
    let files = db_files(dir.path());
    fs::File::options().write(true).open(&files[1]).expect("opens").set_len(9_000).expect("cuts");
    let raw = RawJournal::open(dir.path()).expect("opens");
    let refused = raw.scan(SHARD, &mut |_, _| Ok(())).expect_err("cut");
    assert!(refused.is_damage(), "{refused}");
    assert!(refused.to_string().contains("missing"), "{refused}");
}
