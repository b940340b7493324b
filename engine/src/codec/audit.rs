//! Audit events: the version of their form in front, then bincode, like all records that are not of a
//! transfer's path.

use super::Malformed;
use crate::audit::{AuditEvent, DETAIL_BYTES_MAX, PRINCIPAL_BYTES_MAX, RUNS_MAX, WORD_BYTES_MAX};
use crate::record::Record;
use bincode::Options;

/// No audit event is longer, in bytes.
pub const AUDIT_EVENT_BYTES_MAX: usize = 6 * 1024;

/// Texts, runs of two numbers, and every rejection with its count, all at their longest.
const LONGEST: usize = PRINCIPAL_BYTES_MAX
    + DETAIL_BYTES_MAX
    + 5 * WORD_BYTES_MAX
    + RUNS_MAX * 2 * 9
    + u8::MAX as usize * (3 + 3)
    + 256;

const _: () = assert!(LONGEST <= AUDIT_EVENT_BYTES_MAX);

const VERSION: u8 = 1;

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(AUDIT_EVENT_BYTES_MAX as u64)
}

/// Appends an audit event.
pub(crate) fn put(event: &AuditEvent, out: &mut Vec<u8>) {
    out.push(VERSION);
    let put = options().serialize_into(out, event);
    put.expect("texts keep their bounds and a Vec takes all bytes");
}

/// Takes one.
pub(super) fn take(rest: &mut &[u8]) -> Result<Record, Malformed> {
    let [version] = super::take_array::<1>(rest)?;
    if version != VERSION {
        return Err(Malformed::Field("version of an audit event"));
    }
    let event = options().allow_trailing_bytes().deserialize_from(rest)?;
    Ok(Record::Audit(event))
}
