//! The events of fees: bincode, each behind a tag of its own. All schedules together, as snapshots
//! and the hash of a state have them, likewise.

use super::{Malformed, options};
use crate::fees::Fees;
use crate::record::Record;
use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) fn put(event: &impl Serialize, out: &mut Vec<u8>) {
    options().serialize_into(out, event).expect("texts and tiers keep their bounds");
}

pub(super) fn take<T: DeserializeOwned>(
    rest: &mut &[u8],
    record: impl FnOnce(Box<T>) -> Record,
) -> Result<Record, Malformed> {
    let event = options().allow_trailing_bytes().deserialize_from(&mut *rest)?;
    Ok(record(Box::new(event)))
}

/// Schedules and what they are attached to: 100,000 accounts of 10 bytes, 1,000 schedules of 512.
const FEES_BYTES_MAX: u64 = 2 * 1024 * 1024;

fn all_options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(FEES_BYTES_MAX)
}

/// Schedules and what they are attached to as bytes, the same for the same.
pub(crate) fn fees_bytes(fees: &Fees) -> Vec<u8> {
    all_options().serialize(fees).expect("they keep their bounds")
}

/// The schedules that these bytes are, all of them; `None` for other bytes.
pub(crate) fn fees_of(bytes: &[u8]) -> Option<Fees> {
    all_options().deserialize(bytes).ok()
}
