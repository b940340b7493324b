//! Frames and the buffer they are laid out in: read back what was written, nothing
//! else, from any bytes; and the stored frame that every future version must read.

use ducat_engine::ids::{Epoch, Lsn, ShardId};
use ducat_persistence::append::{FRAME_PAYLOAD_TARGET_BYTES, RECORD_BYTES_MAX};
use ducat_persistence::frame::{FRAME_BYTES_MAX, HEADER_BYTES, LAST_OF_APPEND, genesis_hash, seal};
use ducat_persistence::{
    AppendBuffer, Frame, FrameError, FrameHash, FrameHeader, LedgerId, RecordTooLarge,
};
use proptest::prelude::*;

const LEDGER: LedgerId = LedgerId::from_bytes([0xd0; 16]);

fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend(payload);
    seal(
        &mut bytes,
        &FrameHeader {
            flags: LAST_OF_APPEND,
            shard: ShardId(0),
            epoch: Epoch(3),
            first_lsn: Lsn(41),
            record_count: 2,
            time_ns: 1_750_000_000_123_456_789,
            prev_hash: genesis_hash(LEDGER, ShardId(0)),
        },
    );
    bytes
}

/// Written by format version 1 and never to be rewritten: when this fails, old
/// journals cannot be read any more.
#[test]
fn the_stored_frame_is_read() {
    let stored = include_bytes!("fixtures/frame-v1.bin");
    let frame = Frame::parse(stored).expect("version 1 is read for good");
    assert_eq!(frame.payload(), b"two records of the first version");
    assert_eq!((frame.first_lsn(), frame.last_lsn()), (Lsn(41), Lsn(42)));
    let header = frame.header();
    assert_eq!((header.epoch, header.shard), (Epoch(3), ShardId(0)));
    assert_eq!(header.time_ns, 1_750_000_000_123_456_789);
    assert!(header.is_last_of_append());
    assert_eq!(header.prev_hash, genesis_hash(LEDGER, ShardId(0)));
    let hash = "ea88277201aa1e69833ed11422c1b60f4e1596e09d860ec9e4cff576b9d7f422";
    assert_eq!(frame.hash().to_string(), hash);
    assert_eq!(sealed(b"two records of the first version"), stored, "and written the same");
}

#[test]
fn genesis_differs_by_ledger_and_shard() {
    let other = LedgerId::from_bytes([0xd1; 16]);
    let hashes = [
        genesis_hash(LEDGER, ShardId(0)),
        genesis_hash(LEDGER, ShardId(1)),
        genesis_hash(other, ShardId(0)),
    ];
    assert_ne!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let good = sealed(b"some records");
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        Frame::parse(&bad).expect_err("a flipped bit");
    }
    for length in 0..good.len() {
        Frame::parse(&good[..length]).expect_err("cut off");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(Frame::parse(&longer), Err(FrameError::Length { .. })));
}

#[test]
fn a_record_too_large_leaves_no_trace() {
    let mut buffer = AppendBuffer::new();
    buffer.begin_batch(1);
    let large = vec![1; RECORD_BYTES_MAX + 1];
    let refused = buffer.push(Lsn(1), |bytes| bytes.extend(&large));
    assert_eq!(refused, Err(RecordTooLarge { lsn: Lsn(1), bytes: RECORD_BYTES_MAX + 1 }));
    assert!(buffer.is_empty());
    assert_eq!(buffer.byte_len(), 0);
    buffer.push(Lsn(1), |bytes| bytes.extend(&large[1..])).expect("just fits");
    buffer.push(Lsn(2), |bytes| bytes.extend(&large)).expect_err("too large");
    buffer.push(Lsn(2), |bytes| bytes.push(7)).expect("fits");
    buffer.end_batch();
    assert_eq!((buffer.first_lsn(), buffer.last_lsn()), (Some(Lsn(1)), Some(Lsn(2))));
    // The second found no room beside the first.
    assert_eq!(buffer.frame_count(), 2);
    assert_eq!(buffer.byte_len(), 2 * HEADER_BYTES + RECORD_BYTES_MAX + 1);
}

#[test]
#[should_panic(expected = "does not follow")]
fn a_gap_in_a_buffer_is_a_bug() {
    let mut buffer = AppendBuffer::new();
    buffer.begin_batch(1);
    buffer.push(Lsn(5), |bytes| bytes.push(1)).expect("fits");
    let _ = buffer.push(Lsn(7), |bytes| bytes.push(1));
}

#[test]
fn an_empty_batch_leaves_no_trace_and_clear_forgets() {
    let mut buffer = AppendBuffer::new();
    buffer.begin_batch(1);
    buffer.end_batch();
    assert!(buffer.is_empty());
    buffer.begin_batch(2);
    buffer.push(Lsn(9), |bytes| bytes.push(1)).expect("fits");
    buffer.clear();
    assert_eq!((buffer.record_count(), buffer.last_lsn()), (0, None));
    buffer.begin_batch(3);
    buffer.end_batch();
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Frame::parse(&bytes).is_err());
    }

    #[test]
    fn a_valid_start_never_panics(
        at in 0_usize..HEADER_BYTES,
        noise in proptest::collection::vec(any::<u8>(), 1..100),
    ) {
        let mut bytes = sealed(b"some records");
        for (offset, byte) in noise.iter().enumerate() {
            if let Some(place) = bytes.get_mut(at + offset) {
                *place = *byte;
            }
        }
        let _ = Frame::parse(&bytes);
    }

    /// Any sequence of batches, merged or not, comes back record for record.
    #[test]
    fn what_is_laid_out_is_read_back(
        batches in proptest::collection::vec(
            proptest::collection::vec(0_usize..=RECORD_BYTES_MAX, 0..12), 1..6),
        first in 1_u64..1_000_000,
    ) {
        let mut merged = AppendBuffer::new();
        let mut expected = Vec::new();
        let mut lsn = Lsn(first);
        for (number, sizes) in batches.iter().enumerate() {
            let mut buffer = AppendBuffer::new();
            buffer.begin_batch(number as u64);
            for size in sizes {
                let record = vec![lsn.0 as u8; *size];
                buffer.push(lsn, |bytes| bytes.extend(&record)).expect("not too large");
                expected.extend(record);
                lsn = lsn.next();
            }
            buffer.end_batch();
            merged.append_all(&buffer);
        }
        prop_assert_eq!(merged.record_count(), lsn.0 - first);
        let genesis = genesis_hash(LEDGER, ShardId(0));
        let last_hash = merged.seal(ShardId(0), Epoch(1), genesis);
        check_frames(&merged, &expected, first, last_hash)?;
    }
}

fn check_frames(
    merged: &AppendBuffer,
    expected: &[u8],
    first: u64,
    last_hash: FrameHash,
) -> Result<(), TestCaseError> {
    let mut payloads: Vec<u8> = Vec::new();
    let mut next = Lsn(first);
    let mut hash = genesis_hash(LEDGER, ShardId(0));
    for (index, (lsn, bytes)) in merged.frames().enumerate() {
        prop_assert!(bytes.len() <= FRAME_BYTES_MAX);
        let frame = Frame::parse(bytes).expect("intact");
        prop_assert!(frame.payload().len() < FRAME_PAYLOAD_TARGET_BYTES + RECORD_BYTES_MAX);
        prop_assert_eq!((frame.first_lsn(), lsn), (next, next));
        prop_assert_eq!(frame.header().prev_hash, hash);
        let is_last = index + 1 == merged.frame_count();
        prop_assert_eq!(frame.header().is_last_of_append(), is_last);
        hash = frame.hash();
        next = frame.last_lsn().next();
        payloads.extend(frame.payload());
    }
    prop_assert_eq!(&payloads[..], expected);
    prop_assert_eq!(hash, last_hash);
    Ok(())
}
