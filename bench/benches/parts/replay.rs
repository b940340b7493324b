//! Replay: frames of transfers decoded and applied to a ledger that follows the live one, as
//! at a start (`actors/src/replay.rs`), after the frame was checked.

use super::bank::{Bank, Pick, as_requests};
use super::batch::short;
use super::{BATCH, Meter, NOW_NS, Part};
use ducat_engine::codec;
use ducat_engine::ids::Lsn;
use ducat_engine::record::Record;

/// All parts.
pub fn parts() -> Vec<Part> {
    [10_000, 1_000_000].into_iter().flat_map(parts_at).collect()
}

/// Those of which instructions are counted.
pub fn counted() -> Vec<Part> {
    parts_at(10_000).into()
}

fn parts_at(accounts: u64) -> [Part; 2] {
    let condition = format!("8192 of {}", short(accounts));
    [
        Part::new(("replay", "apply"), condition.clone(), BATCH, move || apply(accounts)),
        Part::new(("replay", "decode and apply"), condition, BATCH, move || {
            decode_and_apply(accounts)
        }),
    ]
}

/// Does the next batch on the live ledger; the first LSN and the bytes of its records.
fn next_batch(live: &mut Bank) -> (Lsn, Vec<u8>) {
    let requests = as_requests(live.transfers(BATCH));
    let first = live.ledger.coordinator.next_lsn();
    live.run(&requests);
    let payloads = live.records.frames().map(|(_, frame)| &frame[super::frame::HEADER_BYTES..]);
    (first, payloads.collect::<Vec<_>>().concat())
}

fn decode_and_apply(accounts: u64) -> impl FnMut(&mut Meter) {
    let mut live = Bank::new(accounts, Pick::Uniform);
    let mut follower = live.ledger.clone();
    move |meter| {
        if live.restart_if_full() {
            follower = live.ledger.clone();
        }
        let (mut lsn, bytes) = next_batch(&mut live);
        meter.measure(|| {
            for record in codec::decode_all(&bytes) {
                let record = record.expect("encoded just now");
                follower.apply(lsn, NOW_NS, &record).expect("as it happened");
                lsn = lsn.next();
            }
        });
        assert_eq!(lsn, live.ledger.coordinator.next_lsn());
    }
}

fn apply(accounts: u64) -> impl FnMut(&mut Meter) {
    let mut live = Bank::new(accounts, Pick::Uniform);
    let mut follower = live.ledger.clone();
    move |meter| {
        if live.restart_if_full() {
            follower = live.ledger.clone();
        }
        let (mut lsn, bytes) = next_batch(&mut live);
        let records: Result<Vec<Record>, _> = codec::decode_all(&bytes).collect();
        let records = records.expect("encoded just now");
        meter.measure(|| {
            for record in &records {
                follower.apply(lsn, NOW_NS, record).expect("as it happened");
                lsn = lsn.next();
            }
        });
        assert_eq!(lsn, live.ledger.coordinator.next_lsn());
    }
}
