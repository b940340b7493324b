//! Fences, which keep sled from writing blocks more than once: that they do, and that they make a
//! difference to nothing else.

mod support;

use ducat_engine::ids::Lsn;
use ducat_persistence::conformance::SHARD;
use ducat_persistence::contract::{Journal, Writer};
use ducat_persistence::{AppendBuffer, SledOptions};
use std::path::Path;
use support::{open_journal, open_sled, segments};

const RECORD: usize = 60;

/// Appends records of 60 bytes, so many each time, until there are `records`; returns the next LSN.
fn append(writer: &mut dyn Writer, first: Lsn, records: u64, at_a_time: u64) -> Lsn {
    let (mut buffer, mut next, end) = (AppendBuffer::new(), first, first.plus(records));
    while next < end {
        let from = next;
        buffer.clear();
        buffer.begin_batch(1);
        while next < end && next < from.plus(at_a_time) {
            buffer.push(next, |out| out.extend_from_slice(&record(next))).expect("fits");
            next = next.next();
        }
        buffer.end_batch();
        writer.append(from, &mut buffer).expect("appends");
    }
    next
}

/// What the record at `lsn` holds.
fn record(lsn: Lsn) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&lsn.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    record
}

/// Everything can be read, from the beginning and by LSN, and nothing else.
fn check(root: &Path, last: Lsn) {
    let journal = open_journal(root, SledOptions::default());
    let mut next = Lsn(1);
    for frame in journal.read(SHARD, next).expect("reads") {
        let frame = frame.expect("intact");
        assert_eq!(frame.first_lsn(), next);
        let records = next.0..=frame.last_lsn().0;
        let expected: Vec<u8> = records.flat_map(|lsn| record(Lsn(lsn))).collect();
        assert_eq!(frame.payload(), expected);
        next = frame.last_lsn().next();
    }
    assert_eq!(next, last.next());
    for lsn in (1..=last.0).step_by(97).chain([1, last.0]).map(Lsn) {
        let frame = journal.frame_at(SHARD, lsn).expect("reads").expect("is there");
        assert!(frame.first_lsn() <= lsn && lsn <= frame.last_lsn());
        let first = journal.read(SHARD, lsn).expect("reads").next().expect("one");
        assert!(first.expect("intact").last_lsn() >= lsn);
    }
    assert!(journal.frame_at(SHARD, last.next()).expect("reads").is_none());
}

/// Bytes that sled's files take on the disk. What it writes twice it does not get back before it has
/// grown by as much.
fn stored(root: &Path) -> u64 {
    let sizes = segments(root).into_iter().map(|segment| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(segment.join("db")).expect("is there").blocks() * 512
    });
    sizes.sum()
}

/// One of sled's own segments is given out whole.
const ROUNDED: u64 = 4 << 20;

#[test]
fn blocks_are_written_once() {
    for at_a_time in [1_000, 10_000] {
        let root = tempfile::tempdir().expect("a directory");
        let records = 24 * (1 << 20) / RECORD as u64;
        {
            let journal = open_journal(root.path(), SledOptions::default());
            let (mut writer, _) = journal.open_writer(SHARD, "fences").expect("opens");
            append(&mut *writer, Lsn(1), records, at_a_time);
        }
        let (payload, stored) = (records * RECORD as u64, stored(root.path()));
        let most = payload + payload / 5 + 2 * ROUNDED;
        assert!(stored <= most, "{at_a_time} at a time: {stored} bytes for {payload}");
        check(root.path(), Lsn(records));
    }
}

#[test]
fn a_journal_is_the_same_with_and_without_them() {
    let root = tempfile::tempdir().expect("a directory");
    let mut next = Lsn(1);
    for (records, at_a_time) in [(500, 1), (9_000, 300), (40_000, 9_000), (30, 7)] {
        let journal = open_journal(root.path(), SledOptions::default());
        let (mut writer, _) = journal.open_writer(SHARD, "fences").expect("opens");
        next = append(&mut *writer, next, records, at_a_time);
    }
    let last = Lsn(next.0 - 1);
    check(root.path(), last);
    let db = open_sled(&segments(root.path())[0]);
    let keys: Vec<_> = db.iter().keys().map(|key| key.expect("reads")).collect();
    let fences: Vec<_> = keys.iter().filter(|key| key.len() != 8).collect();
    assert!(fences.len() > 100, "{} of {} keys are fences", fences.len(), keys.len());
    for fence in fences {
        let removed = db.remove(fence).expect("removes").expect("was there");
        assert!(removed.is_empty(), "a fence has no content");
    }
    db.flush().expect("flushes");
    drop(db);
    check(root.path(), last);
    let journal = open_journal(root.path(), SledOptions::default());
    let (mut writer, _) = journal.open_writer(SHARD, "fences").expect("opens");
    append(&mut *writer, next, 2_000, 100);
    drop((writer, journal));
    check(root.path(), last.plus(2_000));
}
