//! A disk that crashes: appends are frames with a checksum, what was not synced may be lost,
//! torn or damaged, and recovery keeps the whole frames before the first that is not.
//!
//! It stands in for the journal's contract, no more: an append is atomic, and what was synced
//! is there after a crash.

use super::rng::Rng;
use ducat_engine::codec;
use ducat_engine::ids::Lsn;
use ducat_engine::record::Record;

/// An event as the journal keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub lsn: Lsn,
    pub time_ns: u64,
    pub record: Record,
}

const HEAD_BYTES: usize = 12;

#[derive(Clone, Debug, Default)]
pub struct Disk {
    bytes: Vec<u8>,
    synced: usize,
}

impl Disk {
    /// Writes one frame; a crash before [`Self::sync`] may lose it, whole.
    pub fn append(&mut self, events: &[Event]) {
        let mut payload = u32::try_from(events.len()).expect("few").to_le_bytes().to_vec();
        for event in events {
            payload.extend_from_slice(&event.lsn.0.to_le_bytes());
            payload.extend_from_slice(&event.time_ns.to_le_bytes());
        }
        for event in events {
            codec::encode(&event.record, &mut payload);
        }
        let len = u32::try_from(payload.len()).expect("small");
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&blake3::hash(&payload).as_bytes()[..8]);
        self.bytes.extend_from_slice(&payload);
    }

    /// Everything written so far survives from now on.
    pub fn sync(&mut self) {
        self.synced = self.bytes.len();
    }

    /// Pulls the plug. Without `torn`, all that was not synced is gone; with it, any part of
    /// it is, and a byte of the rest may be wrong.
    pub fn crash(&mut self, torn: Option<&mut Rng>) {
        let mut keep = self.synced;
        if let Some(rng) = torn {
            keep += rng.below(self.bytes.len() - self.synced + 1);
            if keep > self.synced && rng.once_in(3) {
                let at = self.synced + rng.below(keep - self.synced);
                self.bytes[at] ^= 1 << rng.below(8);
            }
        }
        self.bytes.truncate(keep);
    }

    /// Reads what is there after a crash and cuts off the rest.
    pub fn recover(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(payload) = frame(&self.bytes[at..]) {
            at += HEAD_BYTES + payload.len();
            read(payload, &mut events);
        }
        assert!(at >= self.synced, "what was synced is there");
        self.bytes.truncate(at);
        self.sync();
        events
    }
}

/// The payload of the frame that `bytes` begin with, if it is whole.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let payload = bytes.get(HEAD_BYTES..HEAD_BYTES.checked_add(len)?)?;
    (blake3::hash(payload).as_bytes()[..8] == bytes[4..HEAD_BYTES]).then_some(payload)
}

fn read(payload: &[u8], events: &mut Vec<Event>) {
    let word = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().expect("eight"));
    let count = u32::from_le_bytes(payload[..4].try_into().expect("four")) as usize;
    let mut records = codec::decode_all(&payload[4 + count * 16..]);
    for n in 0..count {
        let at = 4 + n * 16;
        let record = records.next().expect("a record for every event").expect("whole");
        events.push(Event { lsn: Lsn(word(at)), time_ns: word(at + 8), record });
    }
    assert!(records.next().is_none(), "no bytes are left over");
}
