//! Appends of 40-byte records: to sled, synced, in a temporary directory (`TMPDIR` chooses
//! the disk), and to the journal in memory for comparison.

use super::frame::{SHARD, fill};
use super::{BATCH, Meter, Part};
use ducat_engine::ids::Lsn;
use ducat_persistence::contract::{Journal, Writer};
use ducat_persistence::{AppendBuffer, DataDir, LedgerId, MemoryJournal, SledJournal, SledOptions};
use std::sync::Arc;

/// The journal in memory keeps this many bytes of frames.
const RETAIN_BYTES: u64 = 64 << 20;

/// All parts.
pub fn parts() -> Vec<Part> {
    let mut parts = Vec::new();
    for count in [1, 100, BATCH] {
        let condition = format!("{count} of 40 B");
        parts.push(Part::new(("append", "sled"), condition.clone(), count, move || sled(count)));
        parts.push(Part::new(("append", "memory"), condition, count, move || memory(count)));
    }
    parts
}

/// Those of which instructions are counted.
pub fn counted() -> Vec<Part> {
    vec![Part::new(("append", "memory"), "8192 of 40 B", BATCH, || memory(BATCH))]
}

fn sled(count: usize) -> impl FnMut(&mut Meter) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = DataDir::create_or_open(dir.path()).expect("a new data directory");
    let journal = SledJournal::open(Arc::new(data), SledOptions::default()).expect("empty");
    let (writer, _) = journal.open_writer(SHARD, "benchmark").expect("empty");
    // The directory goes last.
    appends(writer, count, (journal, dir))
}

fn memory(count: usize) -> impl FnMut(&mut Meter) {
    let ledger = LedgerId::from_bytes([7; 16]);
    let journal = MemoryJournal::with_retention(ledger, Some(RETAIN_BYTES));
    let (writer, _) = journal.open_writer(SHARD, "benchmark").expect("empty");
    appends(writer, count, journal)
}

fn appends<K>(mut writer: Box<dyn Writer>, count: usize, keep: K) -> impl FnMut(&mut Meter) {
    let mut buffer = AppendBuffer::new();
    let mut next = Lsn(1);
    move |meter| {
        let _keep = &keep;
        let after = fill(&mut buffer, next, count);
        let durable = meter.measure(|| writer.append(next, &mut buffer).expect("appended"));
        assert_eq!(durable.next(), after);
        next = after;
    }
}
