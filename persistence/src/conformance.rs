//! The conformance suite: what every journal must do, as functions that panic when
//! it does not. Behind the feature `testing`; run over each implementation by
//! `tests/conformance.rs`, and by any implementation to come.
//!
//! A [`Subject`] is one implementation: it makes journals, restarts them, and
//! breaks them in its own way.

use crate::append::AppendBuffer;
use crate::chain::ChainPoint;
use crate::contract::{AppendError, Journal, JournalError, Tail, Writer};
use crate::frame::Frame;
use ducat_engine::ids::{Epoch, Lsn, ShardId};

/// The shard every test uses.
pub const SHARD: ShardId = ShardId(0);

/// One implementation under test.
pub trait Subject {
    /// The journal as this process has it.
    fn journal(&self) -> &dyn Journal;
    /// Ends the process and starts the next one, as far as the journal can tell.
    /// Everything that was opened from the old journal has been dropped.
    fn restart(&mut self);
    /// Makes the next append fail.
    fn fail_next_append(&mut self);
    /// Ends the process, changes a bit of the acknowledged frame that holds `lsn`,
    /// or removes it, and starts the next process.
    fn restart_damaged(&mut self, lsn: Lsn, how: Harm);
}

/// What happens to a stored frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// One bit changes.
    Flip,
    /// The frame is gone.
    Lose,
}

/// The payload of the record at `lsn`: recognizable, of varying size.
#[must_use]
pub fn record(lsn: Lsn) -> Vec<u8> {
    let bytes = 20 + usize::try_from(lsn.0 * 37 % 200).expect("small");
    let mut record = vec![0; bytes];
    record[..8].copy_from_slice(&lsn.0.to_le_bytes());
    for (index, byte) in record.iter_mut().enumerate().skip(8) {
        *byte = (lsn.0 as usize * 31 + index) as u8;
    }
    record
}

/// A buffer with `count` records from `first` on, in batches of at most `batch`.
#[must_use]
pub fn batch_of(first: Lsn, count: u64, batch: u64) -> AppendBuffer {
    let mut buffer = AppendBuffer::new();
    let end = first.plus(count);
    let mut lsn = first;
    while lsn < end {
        buffer.begin_batch(1_000 + lsn.0);
        for _ in 0..batch.min(end.0 - lsn.0) {
            buffer.push(lsn, |bytes| bytes.extend(record(lsn))).expect("small records");
            lsn = lsn.next();
        }
        buffer.end_batch();
    }
    buffer
}

/// Appends `count` records at `first`.
pub fn append(writer: &mut dyn Writer, first: Lsn, count: u64) -> Result<Lsn, AppendError> {
    writer.append(first, &mut batch_of(first, count, 500))
}

/// Asserts that a frame holds exactly the records its header names.
pub fn check_frame(frame: &Frame) {
    let mut expected = Vec::new();
    for offset in 0..u64::from(frame.header().record_count) {
        expected.extend(record(frame.first_lsn().plus(offset)));
    }
    assert_eq!(frame.payload(), expected, "the records from LSN {} on", frame.first_lsn());
}

/// Asserts that the journal holds exactly the records from `first` to `last`, by
/// every way of reading it.
pub fn check_content(journal: &dyn Journal, first: Lsn, last: Lsn) {
    let mut next = first;
    for frame in journal.read(SHARD, first).expect("reads") {
        let frame = frame.expect("an intact frame");
        assert_eq!(frame.first_lsn(), next);
        check_frame(&frame);
        next = frame.last_lsn().next();
    }
    assert_eq!(next, last.next(), "the reader ends at the last durable record");
    let step = usize::try_from((last.0 - first.0) / 500 + 1).expect("small");
    for lsn in (first.0..=last.0).step_by(step).map(Lsn) {
        let frame = journal.frame_at(SHARD, lsn).expect("reads").expect("is there");
        assert!(frame.first_lsn() <= lsn && lsn <= frame.last_lsn());
        check_frame(&frame);
    }
    assert!(journal.frame_at(SHARD, last.next()).expect("reads").is_none());
    assert!(journal.frame_at(SHARD, Lsn::ZERO).expect("reads").is_none());
}

fn open(journal: &dyn Journal) -> (Box<dyn Writer>, Tail) {
    journal.open_writer(SHARD, "conformance").expect("opens")
}

/// A journal without records: empty to read, epoch 1, and the epoch counts on.
pub fn empty_journal(subject: &mut dyn Subject) {
    assert_eq!(subject.journal().read(SHARD, Lsn(1)).expect("reads").count(), 0);
    let (writer, tail) = open(subject.journal());
    assert_eq!((tail.first_lsn, tail.next_lsn, tail.frames), (Lsn(1), Lsn(1), 0));
    assert_eq!((writer.epoch(), tail.epoch), (Epoch(1), Epoch(1)));
    assert_eq!(tail.dropped, None);
    assert!(subject.journal().frame_at(SHARD, Lsn(1)).expect("reads").is_none());
    drop(writer);
    subject.restart();
    assert_eq!(subject.journal().scan(SHARD, &mut |_, _| Ok(())).expect("scans").epoch, Epoch(1));
    assert_eq!(open(subject.journal()).1.epoch, Epoch(2));
    let unknown = subject.journal().frame_at(ShardId(7), Lsn(1));
    assert!(matches!(unknown, Err(JournalError::UnknownShard(ShardId(7)))));
}

/// What is appended is read back, before and after a restart.
pub fn round_trip(subject: &mut dyn Subject) {
    let (mut writer, _) = open(subject.journal());
    assert_eq!(append(&mut *writer, Lsn(1), 1).expect("appends"), Lsn(1));
    assert_eq!(append(&mut *writer, Lsn(2), 4_000).expect("appends"), Lsn(4_001));
    let mut many = batch_of(Lsn(4_002), 50, 1);
    many.append_all(&batch_of(Lsn(4_052), 100, 7));
    assert_eq!(writer.append(Lsn(4_002), &mut many).expect("appends"), Lsn(4_151));
    check_content(subject.journal(), Lsn(1), Lsn(4_151));
    let mut from_the_middle = subject.journal().read(SHARD, Lsn(2_000)).expect("reads");
    let frame = from_the_middle.next().expect("there is more").expect("an intact frame");
    assert!(frame.first_lsn() < Lsn(2_000) && frame.last_lsn() >= Lsn(2_000));
    drop(writer);
    subject.restart();
    let mut seen = Lsn::ZERO;
    let (_writer, tail) = subject
        .journal()
        .open_writer_with(SHARD, "conformance", &mut |frame, progress| {
            assert_eq!(frame.first_lsn(), seen.next());
            assert_eq!(progress.lsn, frame.last_lsn());
            seen = frame.last_lsn();
            check_frame(frame);
            Ok(())
        })
        .expect("opens");
    assert_eq!((seen, tail.next_lsn), (Lsn(4_151), Lsn(4_152)));
    assert_eq!((tail.records, tail.last_time_ns), (4_151, 1_000 + 4_150));
    check_content(subject.journal(), Lsn(1), Lsn(4_151));
}

/// Chain and epoch go on over many restarts; a scan agrees with the opening.
pub fn reopening(subject: &mut dyn Subject) {
    let mut last = Lsn::ZERO;
    for epoch in 1..=5 {
        let (mut writer, tail) = open(subject.journal());
        assert_eq!((tail.epoch, tail.next_lsn), (Epoch(epoch), last.next()));
        last = append(&mut *writer, last.next(), 300).expect("appends");
        drop(writer);
        let scanned = subject.journal().scan(SHARD, &mut |_, _| Ok(())).expect("scans");
        assert_eq!((scanned.next_lsn, scanned.epoch), (last.next(), Epoch(epoch)));
        subject.restart();
        let again = subject.journal().scan(SHARD, &mut |_, _| Ok(())).expect("scans");
        assert_eq!(again, scanned);
    }
    check_content(subject.journal(), Lsn(1), last);
}

/// The visitor's refusal stops the opening and is passed on.
pub fn visitor_refuses(subject: &mut dyn Subject) {
    let (mut writer, _) = open(subject.journal());
    append(&mut *writer, Lsn(1), 1_000).expect("appends");
    drop(writer);
    subject.restart();
    let refused = subject.journal().open_writer_with(SHARD, "conformance", &mut |frame, _| {
        if frame.first_lsn() > Lsn(1) {
            return Err(crate::contract::ReplayError::new("no more"));
        }
        Ok(())
    });
    assert!(matches!(refused, Err(JournalError::Replay { lsn, .. }) if lsn > Lsn(1)));
    assert_eq!(open(subject.journal()).1.epoch, Epoch(2), "a refused opening took no epoch");
}

/// A writer of an older epoch can never append.
pub fn zombie_writer(subject: &mut dyn Subject) {
    let (mut old, _) = open(subject.journal());
    append(&mut *old, Lsn(1), 10).expect("appends");
    let (mut new, tail) = open(subject.journal());
    assert_eq!((tail.next_lsn, new.epoch()), (Lsn(11), Epoch(2)));
    for _ in 0..2 {
        let fenced = append(&mut *old, Lsn(11), 5);
        assert!(matches!(fenced, Err(AppendError::Fenced { newer: Epoch(2), .. })));
    }
    append(&mut *new, Lsn(11), 5).expect("the new writer appends");
    check_content(subject.journal(), Lsn(1), Lsn(15));
}

/// A wrong `expected` and an empty batch write nothing and spoil nothing.
pub fn misuse(subject: &mut dyn Subject) {
    let (mut writer, _) = open(subject.journal());
    append(&mut *writer, Lsn(1), 10).expect("appends");
    for wrong in [Lsn(1), Lsn(10), Lsn(12)] {
        let refused = append(&mut *writer, wrong, 3);
        assert!(matches!(refused, Err(AppendError::NotAppended { .. })), "{wrong}");
    }
    let mut batch = batch_of(Lsn(11), 2, 2);
    assert!(matches!(writer.append(Lsn(12), &mut batch), Err(AppendError::NotAppended { .. })));
    let empty = writer.append(Lsn(11), &mut AppendBuffer::new());
    assert!(matches!(empty, Err(AppendError::NotAppended { .. })));
    writer.append(Lsn(11), &mut batch).expect("the right one still works");
    check_content(subject.journal(), Lsn(1), Lsn(12));
}

/// After a failure: nothing new is seen, nothing more is taken, and after a restart
/// the append is there whole or not at all.
pub fn failed_append(subject: &mut dyn Subject) {
    let (mut writer, _) = open(subject.journal());
    append(&mut *writer, Lsn(1), 100).expect("appends");
    subject.fail_next_append();
    let failed = append(&mut *writer, Lsn(101), 1_000);
    let told = matches!(failed, Err(AppendError::InDoubt { .. } | AppendError::NotAppended { .. }));
    assert!(told, "{failed:?}");
    for first in [Lsn(101), Lsn(1_101)] {
        let refused = append(&mut *writer, first, 1);
        assert!(matches!(refused, Err(AppendError::Poisoned { .. })), "{refused:?}");
    }
    let reopened = subject.journal().open_writer(SHARD, "conformance");
    assert!(matches!(reopened, Err(JournalError::Poisoned { .. })));
    check_content(subject.journal(), Lsn(1), Lsn(100));
    drop((writer, reopened));
    subject.restart();
    let (mut writer, tail) = open(subject.journal());
    assert!([Lsn(101), Lsn(1_101)].contains(&tail.next_lsn), "whole or not at all: {tail:?}");
    let last = append(&mut *writer, tail.next_lsn, 50).expect("appends again");
    check_content(subject.journal(), Lsn(1), last);
}

/// Damage to acknowledged frames is loud: the opening says so.
pub fn damage_is_loud(subject: &mut dyn Subject, lsn: Lsn, how: Harm) {
    let (mut writer, _) = open(subject.journal());
    append(&mut *writer, Lsn(1), 2_000).expect("appends");
    append(&mut *writer, Lsn(2_001), 10).expect("appends");
    drop(writer);
    subject.restart_damaged(lsn, how);
    let opened = subject.journal().open_writer(SHARD, "conformance").map(|(_, tail)| tail);
    let error = opened.expect_err("the damage is found");
    assert!(error.is_damage(), "{error}");
    let scanned = subject.journal().scan(SHARD, &mut |_, _| Ok(()));
    assert!(scanned.expect_err("the damage is found").is_damage());
}

/// The journal behind a place: shown from there on, checked from there on, and refused where
/// the place is none of its history.
pub fn behind_a_place(subject: &mut dyn Subject) {
    let (places, last) = behind_places(subject);
    let journal = subject.journal();
    let first = journal.trim(SHARD, Lsn(5_000)).expect("trims").first_lsn;
    assert!(first > Lsn(1_000));
    let gone = journal.scan_after(SHARD, places[1], &mut |_, _| Ok(())).map(|_| ());
    assert!(matches!(gone, Err(JournalError::Trimmed { .. })), "{gone:?}");
    for after in places.iter().filter(|place| place.lsn.next() >= first) {
        let tail = journal.scan_after(SHARD, *after, &mut |_, _| Ok(())).expect("scans");
        assert_eq!((tail.first_lsn, tail.next_lsn), (first, last.next()));
    }
}

/// As [`behind_a_place`], without trimming: the places, and the last LSN.
pub fn behind_places(subject: &mut dyn Subject) -> (Vec<ChainPoint>, Lsn) {
    let (mut writer, _) = open(subject.journal());
    let mut last = Lsn::ZERO;
    let mut places = vec![start_of(subject.journal())];
    for _ in 0..12 {
        last = append(&mut *writer, last.next(), 700).expect("appends");
        let frame = subject.journal().frame_at(SHARD, last).expect("reads").expect("is there");
        places.push(ChainPoint { lsn: last, hash: frame.hash() });
    }
    drop(writer);
    subject.restart();
    let journal = subject.journal();
    let whole = journal.scan(SHARD, &mut |_, _| Ok(())).expect("scans");
    for after in &places {
        let mut next = after.lsn.next();
        let mut visit = |frame: &Frame, _: crate::contract::ScanProgress| {
            assert_eq!(frame.first_lsn(), next);
            check_frame(frame);
            next = frame.last_lsn().next();
            Ok(())
        };
        let tail = journal.scan_after(SHARD, *after, &mut visit).expect("scans");
        assert_eq!((next, tail.records), (last.next(), last.0 - after.lsn.0));
        let (frames, records, bytes) = (whole.frames, whole.records, whole.bytes);
        assert_eq!(Tail { frames, records, bytes, ..tail }, whole, "all else is the same");
        for strange in [
            ChainPoint { hash: crate::frame::FrameHash([7; 32]), ..*after },
            // Where no frame ends.
            ChainPoint { lsn: Lsn(after.lsn.0.max(1) - 1).max(Lsn(3)), ..*after },
        ] {
            let refused = journal.scan_after(SHARD, strange, &mut |_, _| Ok(()));
            let error = refused.map(|_| ()).expect_err("another history");
            assert!(matches!(error, JournalError::OtherHistory { .. }), "{strange:?}: {error}");
        }
    }
    let beyond = ChainPoint { lsn: last.next(), ..places[12] };
    let error = journal.scan_after(SHARD, beyond, &mut |_, _| Ok(())).map(|_| ());
    assert!(error.as_ref().is_err_and(JournalError::is_damage), "{error:?}");
    let opened = journal.open_writer_after(SHARD, "conformance", places[9], &mut |_, _| Ok(()));
    let (mut writer, tail) = opened.expect("opens");
    assert_eq!((tail.next_lsn, tail.epoch, writer.epoch()), (last.next(), Epoch(2), Epoch(2)));
    last = append(&mut *writer, last.next(), 700).expect("goes on");
    check_content(journal, Lsn(1), last);
    (places, last)
}

fn start_of(journal: &dyn Journal) -> ChainPoint {
    let tail = journal.scan(SHARD, &mut |_, _| Ok(())).expect("scans");
    ChainPoint { lsn: Lsn::ZERO, hash: tail.last_hash }
}

/// A journal that has lost acknowledged frames behind a place says so, however late they are;
/// the caller's state does not stand in for them.
pub fn damage_behind_a_place_is_loud(subject: &mut dyn Subject, lsn: Lsn, how: Harm) {
    let (mut writer, _) = open(subject.journal());
    append(&mut *writer, Lsn(1), 2_000).expect("appends");
    let frame = subject.journal().frame_at(SHARD, Lsn(2_000)).expect("reads").expect("is there");
    let after = ChainPoint { lsn: Lsn(2_000), hash: frame.hash() };
    append(&mut *writer, Lsn(2_001), 1_000).expect("appends");
    append(&mut *writer, Lsn(3_001), 10).expect("appends");
    drop(writer);
    subject.restart_damaged(lsn, how);
    let opened =
        subject.journal().open_writer_after(SHARD, "conformance", after, &mut |_, _| Ok(()));
    let error = opened.map(|_| ()).expect_err("the damage is found");
    let found = error.is_damage() || matches!(error, JournalError::OtherHistory { .. });
    assert!(found, "{lsn} {how:?}: {error}");
}

/// Trimming keeps what it must, is remembered, and the rest still checks out.
pub fn trim(subject: &mut dyn Subject) {
    let (mut writer, _) = open(subject.journal());
    let mut last = Lsn::ZERO;
    for _ in 0..20 {
        last = append(&mut *writer, last.next(), 500).expect("appends");
    }
    let nothing = subject.journal().trim(SHARD, Lsn::ZERO).expect("trims");
    assert_eq!((nothing.first_lsn, nothing.segments), (Lsn(1), 0));
    let report = subject.journal().trim(SHARD, Lsn(5_000)).expect("trims");
    assert!(report.segments > 0 && report.bytes > 0, "{report:?}");
    let first = report.first_lsn;
    assert!(first > Lsn(1) && first <= Lsn(5_001), "{report:?}");
    check_content(subject.journal(), first, last);
    assert!(subject.journal().frame_at(SHARD, Lsn(first.0 - 1)).expect("reads").is_none());
    let gone = subject.journal().read(SHARD, Lsn(1)).map(|_| ());
    assert!(matches!(gone, Err(JournalError::Trimmed { .. })));
    last = append(&mut *writer, last.next(), 500).expect("appends");
    drop(writer);
    subject.restart();
    let (_writer, tail) = open(subject.journal());
    assert_eq!((tail.first_lsn, tail.next_lsn), (first, last.next()));
    check_content(subject.journal(), first, last);
    let rest = subject.journal().trim(SHARD, last).expect("trims");
    assert!(rest.first_lsn <= last, "never everything: {rest:?}");
    check_content(subject.journal(), rest.first_lsn, last);
}

/// Readers on other threads see only whole, acknowledged appends while one appends.
pub fn readers_while_writing(subject: &mut dyn Subject) {
    let (mut writer, _) = open(subject.journal());
    let mut last = append(&mut *writer, Lsn(1), 100).expect("appends");
    let acknowledged = std::sync::atomic::AtomicU64::new(last.0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let journal = subject.journal();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (acknowledged, done) = (&acknowledged, &done);
            scope.spawn(move || {
                use std::sync::atomic::Ordering::SeqCst;
                let mut lsn = 1 + thread;
                while !done.load(SeqCst) {
                    let end = acknowledged.load(SeqCst);
                    lsn = lsn * 7 % end + 1;
                    let frame = journal.frame_at(SHARD, Lsn(lsn)).expect("reads");
                    check_frame(&frame.expect("it was acknowledged"));
                    let tail = journal.read(SHARD, Lsn(end)).expect("reads");
                    for frame in tail.take(20) {
                        check_frame(&frame.expect("an intact frame"));
                    }
                }
            });
        }
        for _ in 0..60 {
            last = append(&mut *writer, last.next(), 150).expect("appends");
            acknowledged.store(last.0, std::sync::atomic::Ordering::SeqCst);
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    check_content(subject.journal(), Lsn(1), last);
}
