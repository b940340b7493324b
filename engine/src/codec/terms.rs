//! What stands around the event of a request with terms: bincode, with what was asked; the record
//! of what happened follows as it would stand alone.

use super::{Malformed, options, take_plain};
use crate::ids::Lsn;
use crate::record::{Record, TermedRecord};
use crate::terms::Terms;
use bincode::Options;

type Around = (Terms, u128, [Option<Lsn>; 2]);

pub(super) fn put(termed: &TermedRecord, out: &mut Vec<u8>) {
    let around: Around = (termed.terms, termed.asked, termed.versions);
    options().serialize_into(out, &around).expect("terms fit and a Vec takes all bytes");
}

/// Takes all of it. What it is around must be of a request that can have terms.
pub(super) fn take(rest: &mut &[u8]) -> Result<Record, Malformed> {
    let (terms, asked, versions): Around =
        options().allow_trailing_bytes().deserialize_from(&mut *rest)?;
    let record = take_plain(rest)?;
    if record.transfer_id().is_none() {
        return Err(Malformed::Field("terms of an event"));
    }
    Ok(Record::Termed(Box::new(TermedRecord { terms, asked, versions, record })))
}
