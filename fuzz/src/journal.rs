//! The journal: frames, the records in them, and what records do to a ledger.

use ducat_engine::codec::{decode_all, encode};
use ducat_engine::ids::Lsn;
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_persistence::frame::{Frame, HEADER_BYTES, seal};

/// Where a frame's header keeps the length of its payload, and its checksum.
const LENGTH_AT: usize = 12;
const CRC_AT: usize = 76;

/// A frame as it came, and as it would be with a right beginning, length and checksum.
pub(crate) fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::parse(bytes) {
        assert_frame_reseals(&frame, bytes);
    }
    let Some(payload) = bytes.len().checked_sub(HEADER_BYTES) else { return };
    let mut mended = bytes.to_vec();
    mended[0..4].copy_from_slice(b"DJFR");
    mended[4..6].copy_from_slice(&1u16.to_le_bytes());
    let Ok(payload) = u32::try_from(payload) else { return };
    mended[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&payload.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&mended[..CRC_AT]), &mended[HEADER_BYTES..]);
    mended[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    if let Ok(frame) = Frame::parse(&mended) {
        assert_frame_reseals(&frame, &mended);
    }
}

/// There is one way to write a frame.
fn assert_frame_reseals(frame: &Frame, bytes: &[u8]) {
    let mut again = bytes.to_vec();
    again[..HEADER_BYTES].fill(0);
    let hash = seal(&mut again, frame.header());
    assert_eq!(again, bytes);
    assert_eq!(hash, frame.hash());
    assert!(frame.last_lsn() >= frame.first_lsn());
}

/// A payload. What decodes encodes to bytes that decode to the same.
pub(crate) fn records(bytes: &[u8]) {
    for record in decode_all(bytes) {
        let Ok(record) = record else { return };
        let mut encoded = Vec::new();
        encode(&record, &mut encoded);
        let again: Vec<_> = decode_all(&encoded).collect();
        let [Ok(again)] = &again[..] else { panic!("{record:?} became {again:?}") };
        assert_eq!(*again, record);
        let mut canonical = Vec::new();
        encode(again, &mut canonical);
        assert_eq!(canonical, encoded);
    }
}

/// Records that decode are events that can follow one another, or are refused; whatever they
/// are, a ledger that took them agrees with itself.
pub(crate) fn apply(bytes: &[u8]) {
    let mut ledger = Ledger::new(2, 0, REMEMBER_NS).expect("a power of two");
    for (lsn, record) in (1..).zip(decode_all(bytes)) {
        let Ok(record) = record else { break };
        if ledger.apply(Lsn(lsn), lsn, &record).is_err() {
            return;
        }
    }
    for totals in ledger.totals().values() {
        assert_eq!(totals.internal + totals.external, 0, "money was made");
    }
}
