//! Schedules, sagas and their events: bincode, like all records that are not of a transfer's path.

use super::Malformed;
use crate::driven::DrivenEvent;
use crate::record::Record;
use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No event of a schedule or a saga is longer, in bytes.
pub const DRIVEN_EVENT_BYTES_MAX: usize = 7 * 1024;

/// No schedule and no saga with all that became of it is longer, in bytes.
pub const DRIVEN_BYTES_MAX: usize = 16 * 1024;

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(DRIVEN_BYTES_MAX as u64)
}

/// Appends a value.
pub(crate) fn put<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    options()
        .serialize_into(out, value)
        .expect("texts keep their bounds and a Vec takes all bytes");
}

/// Takes a value from the front; `None` where there is none.
pub(crate) fn take<T: DeserializeOwned>(rest: &mut &[u8]) -> Option<T> {
    options().allow_trailing_bytes().deserialize_from(rest).ok()
}

/// How many bytes a value has.
pub(crate) fn bytes<T: Serialize>(value: &T) -> usize {
    let size = bincode::DefaultOptions::new().serialized_size(value).unwrap_or(u64::MAX);
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Takes an event.
pub(super) fn take_event(rest: &mut &[u8]) -> Result<Record, Malformed> {
    let before = rest.len();
    let event: DrivenEvent = options().allow_trailing_bytes().deserialize_from(&mut *rest)?;
    if before - rest.len() > DRIVEN_EVENT_BYTES_MAX {
        return Err(Malformed::Field("bytes of an event of a schedule or a saga"));
    }
    Ok(Record::Driven(Box::new(event)))
}
