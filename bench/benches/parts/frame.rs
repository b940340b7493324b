//! Frames: records laid out, sealed (checksum and hash chain), and checked when they are read.

use super::{BATCH, Meter, NOW_NS, Part};
use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_persistence::contract::Journal;
use ducat_persistence::{AppendBuffer, Frame, FrameHash, LedgerId, MemoryJournal};
use std::sync::Arc;

pub use ducat_persistence::frame::HEADER_BYTES;

/// The only shard.
pub const SHARD: ShardId = ShardId(0);
/// An epoch.
pub const EPOCH: Epoch = Epoch(1);
/// Stands before the first frame.
pub const GENESIS: FrameHash = FrameHash([7; 32]);

/// Bytes of a posted transfer's record, roughly.
const RECORD_BYTES: usize = 40;

/// All parts; of all of them instructions are counted.
pub fn parts() -> Vec<Part> {
    let part =
        |name, make: fn() -> super::Repeat| Part::new(("frame", name), "8192 of 40 B", BATCH, make);
    vec![
        part("push", || Box::new(push())),
        part("seal", || Box::new(seal())),
        part("parse", || Box::new(parse())),
        part("scan in memory", || Box::new(scan())),
    ]
}

/// Lays `count` records from `first` on out in the buffer, which is emptied before; returns
/// the LSN behind them.
pub fn fill(buffer: &mut AppendBuffer, first: Lsn, count: usize) -> Lsn {
    buffer.clear();
    buffer.begin_batch(NOW_NS);
    let mut lsn = first;
    for _ in 0..count {
        let record = [lsn.0 as u8; RECORD_BYTES];
        buffer.push(lsn, |bytes| bytes.extend_from_slice(&record)).expect("40 bytes fit");
        lsn = lsn.next();
    }
    buffer.end_batch();
    lsn
}

fn full() -> AppendBuffer {
    let mut buffer = AppendBuffer::new();
    fill(&mut buffer, Lsn(1), BATCH);
    buffer
}

fn push() -> impl FnMut(&mut Meter) {
    let mut buffer = full();
    move |meter| {
        meter.measure(|| fill(&mut buffer, Lsn(1), BATCH));
    }
}

fn seal() -> impl FnMut(&mut Meter) {
    let mut buffer = full();
    move |meter| {
        meter.measure(|| buffer.seal(SHARD, EPOCH, GENESIS));
    }
}

/// Checksum and fields of every frame, without the chain.
fn parse() -> impl FnMut(&mut Meter) {
    let mut buffer = full();
    buffer.seal(SHARD, EPOCH, GENESIS);
    let bytes: Arc<[u8]> = buffer.as_bytes().into();
    let mut ranges = Vec::new();
    for (_, frame) in buffer.frames() {
        let start = ranges.last().map_or(0, |range: &std::ops::Range<usize>| range.end);
        ranges.push(start..start + frame.len());
    }
    move |meter| {
        let records: u32 = meter.measure(|| {
            let parse = |range: &std::ops::Range<usize>| Frame::parse_shared(&bytes, range.clone());
            ranges.iter().map(|range| parse(range).expect("sealed").header().record_count).sum()
        });
        assert_eq!(records as usize, BATCH);
    }
}

/// The hash chain over frames that were parsed before.
fn scan() -> impl FnMut(&mut Meter) {
    let journal = MemoryJournal::new(LedgerId::from_bytes([7; 16]));
    let (mut writer, _) = journal.open_writer(SHARD, "scan").expect("empty");
    writer.append(Lsn(1), &mut full()).expect("in memory");
    move |meter| {
        let tail = meter.measure(|| journal.scan(SHARD, &mut |_, _| Ok(())).expect("intact"));
        assert_eq!(tail.records as usize, BATCH);
    }
}
