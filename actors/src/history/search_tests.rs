//! The search against a plain walk of the same entries: what it finds, and how much it reads.

use super::*;
use ducat_engine::codec::encode;
use ducat_engine::ids::Epoch;
use ducat_engine::record::{Posted, PostedSide};
use ducat_persistence::{
    AppendBuffer, Frame, FrameReader, JournalError, LedgerId, MemoryJournal, Tail, TrimReport,
    Visitor, Writer,
};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

const SHARD: ShardId = ShardId(0);

/// The account that is looked for, and others.
const SLOT: Slot = Slot(0);

/// Counts the frames that are read.
struct Counted {
    journal: MemoryJournal,
    frames: AtomicU64,
}

impl Journal for Counted {
    fn open_writer_with(
        &self,
        shard: ShardId,
        owner: &str,
        visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.journal.open_writer_with(shard, owner, visit)
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.journal.scan(shard, visit)
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        // The frames of the memory are there at once, so what is taken is what is counted.
        let frames = self.journal.read(shard, from)?;
        let read: Vec<_> = frames.take(2).collect();
        let next = read.last().and_then(|frame| Some(frame.as_ref().ok()?.last_lsn().next()));
        self.frames.fetch_add(1, Ordering::Relaxed);
        let further = next.map(|next| self.journal.read(shard, next)).transpose()?;
        Ok(Box::new(read.into_iter().chain(further.into_iter().flatten())))
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.journal.frame_at(shard, lsn)
    }

    fn trim(&self, shard: ShardId, upto: Lsn) -> Result<TrimReport, JournalError> {
        self.journal.trim(shard, upto)
    }
}

/// A journal in which the account has an entry wherever `is_entry` says, and its entries.
fn journal(events: u64, is_entry: impl Fn(u64) -> bool) -> (Counted, Vec<Found>) {
    let journal = MemoryJournal::new(LedgerId::random().expect("randomness"));
    let (mut writer, _) = journal.open_writer(SHARD, "test").expect("opens");
    assert_eq!(writer.epoch(), Epoch(1));
    let mut entries: Vec<Found> = Vec::new();
    let mut buffer = AppendBuffer::new();
    let (mut appended, mut posted, mut time_ns) = (Lsn(1), 0, 0);
    for lsn in (1..=events).map(Lsn) {
        if lsn == appended || lsn.0.is_multiple_of(64) {
            if lsn != appended {
                buffer.end_batch();
            }
            time_ns = lsn.0 * 10;
            buffer.begin_batch(time_ns);
        }
        let entry = is_entry(lsn.0);
        let last = entries.last().map(|entry| entry.lsn);
        let back = if entry { last.map_or(0, |last| lsn.0 - last.0) } else { 0 };
        let side = |back, posted| PostedSide { back, posted, room: 0 };
        let (debit, credit) = if entry { (Slot(9), SLOT) } else { (Slot(2), Slot(3)) };
        posted += i128::from(entry);
        let id = TransferId::new(lsn.0.into()).expect("not zero");
        let record = Record::Posted(Posted {
            id,
            debit,
            credit,
            amount: 1,
            debit_side: side(0, -1),
            credit_side: side(back, posted),
        });
        if entry {
            entries.push(Found {
                lsn,
                time_ns,
                transfer: id,
                counterparty: Slot(9),
                change: 1,
                posted,
                previous: last,
                kind: None,
                note: None,
            });
        }
        buffer.push(lsn, |bytes| encode(&record, bytes)).expect("small");
        if lsn.0 == events || buffer.byte_len() > 1 << 20 {
            buffer.end_batch();
            writer.append(appended, &mut buffer).expect("takes it");
            buffer.clear();
            appended = lsn.next();
        }
    }
    (Counted { journal, frames: AtomicU64::new(0) }, entries)
}

fn newest(entries: &[Found]) -> Lsn {
    entries.last().map_or(Lsn::ZERO, |entry| entry.lsn)
}

/// A pace at which journals of a few hundred events are searched.
fn small(search: Search<'_>) -> Search<'_> {
    let pace = Pace {
        steps_first: 2,
        steps_again: 1,
        steps_walked: 3,
        step_events: 4,
        window_min: 4,
        window_max: 64,
    };
    Search { pace, ..search }
}

fn check(entries: &[Found], search: &mut Search<'_>, places: impl Iterator<Item = u64>) {
    for place in places.map(Lsn) {
        let expected = entries.iter().find(|entry| entry.lsn > place);
        let found = search.first_behind(place, newest(entries)).expect("sound");
        assert_eq!(found.as_ref(), expected, "behind {place}");
        let expected = entries.iter().rfind(|entry| entry.lsn <= place).map(|entry| entry.lsn);
        assert_eq!(search.last_at(place, newest(entries)).expect("sound"), expected, "at {place}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Bursts and pauses of any length, and any place.
    #[test]
    fn a_search_finds_what_a_look_at_all_entries_does(
        runs in prop::collection::vec((1_u64..120, 1_u64..9), 1..12),
        limit in 1_usize..40,
    ) {
        // A run of `length` events of which every `apart`th is an entry; of 8, none.
        let ends: Vec<u64> = runs
            .iter()
            .scan(0, |end, (length, _)| {
                *end += length;
                Some(*end)
            })
            .collect();
        let events = ends.last().copied().expect("there are some");
        let is_entry = |lsn: u64| {
            let run = ends.partition_point(|end| *end < lsn);
            runs[run].1 != 8 && lsn.is_multiple_of(runs[run].1)
        };
        let (journal, entries) = journal(events, is_entry);
        let mut search = small(Search::new(&journal, SHARD, SLOT));
        check(&entries, &mut search, 0..=events + 1);
        for (from, to) in (1..=events).step_by(7).zip((1..=events).rev().step_by(5)) {
            let within = |entry: &&Found| entry.lsn >= Lsn(from) && entry.lsn <= Lsn(to);
            let expected: Vec<Found> = entries.iter().filter(within).take(limit).cloned().collect();
            let found = search.forwards(Lsn(from), Lsn(to), newest(&entries), limit);
            prop_assert_eq!(found.expect("sound"), expected, "{} to {}", from, to);
        }
    }
}

/// What the largest search of many reads in one of these journals, in frames and windows.
fn most_read(events: u64, is_entry: impl Fn(u64) -> bool) -> (u64, usize) {
    let (journal, entries) = journal(events, is_entry);
    let mut most = 0;
    for place in (0..events).step_by(usize::try_from(events / 200).expect("small")).map(Lsn) {
        let before = journal.frames.load(Ordering::Relaxed);
        let mut search = Search::new(&journal, SHARD, SLOT);
        let found = search.first_behind(place, newest(&entries)).expect("sound");
        let at = entries.partition_point(|entry| entry.lsn <= place);
        assert_eq!(found.as_ref(), entries.get(at), "behind {place}");
        most = most.max(journal.frames.load(Ordering::Relaxed) - before);
    }
    (most, entries.len())
}

/// Not the time that a search takes, but what it reads: a small part of the chain, however the
/// entries lie.
#[test]
fn a_search_reads_little_of_a_long_chain() {
    const EVENTS: u64 = 200_000;
    type Layout = (&'static str, fn(u64) -> bool);
    let layouts: [Layout; 5] = [
        ("every event", |_| true),
        ("every third", |lsn| lsn.is_multiple_of(3)),
        ("here and there", |lsn| lsn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59 == 0),
        ("a long pause", |lsn| !(60_000..140_000).contains(&lsn)),
        ("bursts", |lsn| lsn % 20_000 < 5_000),
    ];
    for (name, layout) in layouts {
        let (most, entries) = most_read(EVENTS, layout);
        println!("{name}: at most {most} reads, {entries} entries");
        assert!(entries > 5_000 && most <= 400, "{name}: {most} reads, {entries} entries");
    }
}

#[test]
fn what_was_trimmed_is_an_error_and_what_is_left_is_found() {
    let (journal, entries) = journal(5_000, |lsn| lsn % 2 == 0);
    let first = journal.trim(SHARD, Lsn(2_000)).expect("trims").first_lsn;
    assert!(first > Lsn(1_000));
    let mut search = small(Search::new(&journal, SHARD, SLOT));
    let behind = search.first_behind(first, newest(&entries)).expect("it is there");
    assert_eq!(behind, entries.iter().find(|entry| entry.lsn > first).cloned());
    let error = search.first_behind(Lsn(10), newest(&entries)).expect_err("it is gone");
    let StoredError::Journal { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**source, JournalError::Trimmed { .. }), "{error:?}");
}

#[test]
fn moments_are_found_by_halving() {
    let (journal, _) = journal(1_000, |_| true);
    let all: Vec<(Lsn, u64)> = {
        let frames = journal.journal.read(SHARD, Lsn(1)).expect("reads");
        let frames = frames.map(|frame| frame.expect("sound"));
        let of = |frame: Frame| {
            (frame.first_lsn().0..=frame.last_lsn().0)
                .map(move |l| (Lsn(l), frame.header().time_ns))
        };
        frames.flat_map(of).collect()
    };
    assert_eq!(all.len(), 1_000);
    let last = |time_ns: u64, upto: u64| {
        crate::history::moment::last_decided_at(&journal, SHARD, time_ns, Lsn(upto))
    };
    for time_ns in (0..=10_100).step_by(5) {
        let expected = all.iter().rfind(|(_, time)| *time <= time_ns);
        let expected = expected.map_or(Lsn::ZERO, |(lsn, _)| *lsn);
        assert_eq!(last(time_ns, 1_000).expect("sound"), expected, "{time_ns}");
        assert_eq!(last(time_ns, 500).expect("sound"), expected.min(Lsn(500)), "{time_ns}");
    }
    assert_eq!(last(9, 0).expect("sound"), Lsn::ZERO);
    journal.trim(SHARD, Lsn(500)).expect("trims");
    let error = last(100, 1_000).expect_err("gone");
    assert!(matches!(error, StoredError::Journal { .. }), "{error:?}");
}
