//! What stands around the event of a request with a note: which parts there are (1), the kind (1),
//! what is told of its fee (schedule and amount as varints, and the number of the rule that it broke,
//! 0 for none), reference and description (each a length of one or two bytes, and UTF-8), the value date (a
//! zigzag varint of days since 1970), each where flagged; the record of what happened follows as it
//! would stand alone.

use super::{Malformed, decode, take, take_array, take_u128, take_unnoted, unzigzag, zigzag};
use crate::fees::FeeNote;
use crate::note::{DESCRIPTION_BYTES_MAX, Day, Note, REFERENCE_BYTES_MAX};
use crate::record::{NotedRecord, Record};
use crate::rejection::Rejection;
use crate::transfer::TransferKind;
use unsigned_varint::encode as varint;

/// Most bytes that stand around a record.
pub const NOTE_BYTES_MAX: usize =
    1 + 1 + 1 + (5 + 14 + 1) + 2 + REFERENCE_BYTES_MAX + 2 + DESCRIPTION_BYTES_MAX + 5;

const KIND: u8 = 1;
const REFERENCE: u8 = 2;
const DESCRIPTION: u8 = 4;
const VALUE_DATE: u8 = 8;
const FEE: u8 = 16;
const ALL: u8 = KIND | REFERENCE | DESCRIPTION | VALUE_DATE | FEE;

pub(super) fn put(noted: &NotedRecord, out: &mut Vec<u8>) {
    let Note { reference, description, value_date } = &noted.note;
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    out.push(
        flag(noted.kind.is_some(), KIND)
            | flag(!reference.is_empty(), REFERENCE)
            | flag(!description.is_empty(), DESCRIPTION)
            | flag(value_date.is_some(), VALUE_DATE)
            | flag(noted.fee.is_some(), FEE),
    );
    out.extend(noted.kind.map(TransferKind::number));
    if let Some(FeeNote { schedule, amount, refused }) = noted.fee {
        put_number(schedule.into(), out);
        out.extend_from_slice(varint::u128(amount, &mut varint::u128_buffer()));
        out.push(refused.map_or(0, Rejection::number));
    }
    for text in [reference, description] {
        if !text.is_empty() {
            put_number(text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
    }
    if let Some(day) = value_date {
        let days = u64::try_from(zigzag(day.days().into())).expect("32 bits");
        put_number(days, out);
    }
}

fn put_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(varint::u64(number, &mut varint::u64_buffer()));
}

/// Takes all of it. What it is around must be of a request that can have a note.
/// `covered` is what its tag says.
pub(super) fn take_noted(rest: &mut &[u8], covered: bool) -> Result<Record, Malformed> {
    let impossible = |what| Malformed::Field(what);
    let [flags] = take_array::<1>(rest)?;
    if flags & !ALL != 0 {
        return Err(impossible("parts of a note"));
    }
    let has = |bit| flags & bit != 0;
    let mut kind = None;
    if has(KIND) {
        let [number] = take_array::<1>(rest)?;
        let known = TransferKind::from_number(number).ok_or(impossible("kind of a transfer"))?;
        kind = Some(known);
    }
    let mut fee = None;
    if has(FEE) {
        let (schedule, amount) = (take(rest, decode::u32)?, take_u128(rest)?);
        let refused = match take_array::<1>(rest)? {
            [0] => None,
            [number] => Some(Rejection::from_number(number).ok_or(impossible("rule of a fee"))?),
        };
        fee = Some(FeeNote { schedule, amount, refused });
    }
    let mut note = Note::default();
    if has(REFERENCE) {
        note.reference = take_text(rest, REFERENCE_BYTES_MAX)?;
    }
    if has(DESCRIPTION) {
        note.description = take_text(rest, DESCRIPTION_BYTES_MAX)?;
    }
    if has(VALUE_DATE) {
        let days = unzigzag(take(rest, decode::u64)?.into());
        let day = i32::try_from(days).ok().and_then(Day::new);
        note.value_date = Some(day.ok_or(impossible("value date of a note"))?);
    }
    let record = take_unnoted(rest)?;
    let noted = NotedRecord { kind, note, fee, covered, record };
    if !noted.is_sound() {
        return Err(impossible("note of an event"));
    }
    Ok(Record::Noted(Box::new(noted)))
}

/// A text that is not empty.
fn take_text(rest: &mut &[u8], bytes_max: usize) -> Result<String, Malformed> {
    let len = usize::try_from(take(rest, decode::u64)?).unwrap_or(usize::MAX);
    if !(1..=bytes_max).contains(&len) {
        return Err(Malformed::Field("texts of a note"));
    }
    let (text, behind) = rest.split_at_checked(len).ok_or(Malformed::CutOff)?;
    *rest = behind;
    String::from_utf8(text.to_vec()).map_err(|_| Malformed::Field("texts of a note"))
}
