//! The one place that turns records into bytes and back.
//!
//! bincode 1.3 with variable-length integers, little endian. bincode is unmaintained
//! (RUSTSEC-2025-0141), so nothing outside this file knows of it, and the format is held by
//! a stored fixture: see `tests/record_format.rs`.

use crate::record::Record;
use bincode::Options;
use thiserror::Error;

/// No record is longer, in bytes.
pub const RECORD_BYTES_MAX: usize = 512;

/// Bytes that are no record.
#[derive(Debug, Error)]
#[error("the bytes at offset {offset} are no record")]
pub struct DecodeError {
    /// Where in the payload, in bytes.
    pub offset: usize,
    /// What the decoder met.
    #[source]
    pub source: bincode::Error,
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(RECORD_BYTES_MAX as u64)
}

/// Appends the record's bytes to `out`.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    options().serialize_into(out, record).expect("every record fits and a Vec takes all bytes");
}

/// Reads the records of a payload one after the other, to its last byte.
pub fn decode_all(payload: &[u8]) -> impl Iterator<Item = Result<Record, DecodeError>> + '_ {
    let mut rest = payload;
    let mut failed = false;
    std::iter::from_fn(move || {
        if rest.is_empty() || failed {
            return None;
        }
        let offset = payload.len() - rest.len();
        let decoded = options().allow_trailing_bytes().deserialize_from(&mut rest);
        failed = decoded.is_err();
        Some(decoded.map_err(|source| DecodeError { offset, source }))
    })
}
