//! The one place that turns records into bytes and back.
//!
//! A posted transfer, the record that decides the journal's volume, is a tag, its id and
//! variable-length integers of seven bits a byte (`unsigned-varint`); so are the events of every
//! hold's life. All other records are a tag (events of accounts that are no transfers have one
//! of their own, and may be longer) and bincode 1.3 with its own variable-length integers.
//! bincode is unmaintained
//! (RUSTSEC-2025-0141), so nothing outside this file knows of it; a stored fixture holds the
//! format: see `tests/record_format.rs`. Why, and what was measured: `docs/adr/0005`.

pub(crate) mod audit;
pub(crate) mod driven;
mod fees;
mod holds;
mod noted;
mod terms;

pub use audit::AUDIT_EVENT_BYTES_MAX;
pub use driven::{DRIVEN_BYTES_MAX, DRIVEN_EVENT_BYTES_MAX};
pub(crate) use fees::{fees_bytes, fees_of};
pub use noted::NOTE_BYTES_MAX;

use crate::ids::{Slot, TransferId};
use crate::profile::{
    KEY_BYTES_MAX, KEYS_MAX, LABEL_BYTES_MAX, METADATA_BYTES_MAX, OWNER_BYTES_MAX,
};
use crate::record::{Posted, PostedSide, Record};
use crate::varint as decode;
use bincode::Options;
use thiserror::Error;
use unsigned_varint::encode as varint;

/// No record is longer, in bytes, but for those of [`ACCOUNT_EVENT_BYTES_MAX`],
/// [`AUDIT_EVENT_BYTES_MAX`] and [`DRIVEN_EVENT_BYTES_MAX`], and by [`NOTE_BYTES_MAX`] where a note stands around it.
pub const RECORD_BYTES_MAX: usize = 512;

/// No record of an account's opening or change is longer, in bytes: all its texts at their
/// longest, and their lengths.
pub const ACCOUNT_EVENT_BYTES_MAX: usize = 7 * 1024;

/// All metadata set anew, every key it had removed, each text behind its length.
const PROFILE_CHANGE_BYTES_MAX: usize = METADATA_BYTES_MAX
    + KEYS_MAX * (KEY_BYTES_MAX + 3 * 3)
    + OWNER_BYTES_MAX
    + LABEL_BYTES_MAX
    + 32;

const _: () = assert!(PROFILE_CHANGE_BYTES_MAX + 128 <= ACCOUNT_EVENT_BYTES_MAX);

const POSTED: u8 = 0;
const POSTED_LINKED: u8 = 1;
const OTHER: u8 = 2;
/// A posting after which an account has more on hold than it may overdraw.
const POSTED_BELOW: u8 = 3;
const POSTED_BELOW_LINKED: u8 = 4;
const HELD: u8 = 5;
const HELD_LINKED: u8 = 6;
const CAPTURED: u8 = 7;
const CAPTURED_LINKED: u8 = 8;
const VOIDED: u8 = 9;
const VOIDED_LINKED: u8 = 10;
const EXPIRED: u8 = 11;
const ACCOUNT: u8 = 20;
/// What was asked on terms; the record of what happened follows.
const TERMED: u8 = 50;
/// What was said of a request; the record of what happened follows, with its terms.
const NOTED: u8 = 60;
/// The same, with a note that the event's leaf covers.
const NOTED_COVERED: u8 = 110;
const FEE_EVENT: u8 = 61;
const FEE_LEG: u8 = 62;
/// An event of a schedule or a saga.
const DRIVEN: u8 = 80;
/// Who did what.
const AUDIT: u8 = 130;

/// Bytes that are no record.
#[derive(Debug, Error)]
#[error("the bytes at offset {offset} are no record")]
pub struct DecodeError {
    /// Where in the payload, in bytes.
    pub offset: usize,
    /// What the decoder met.
    #[source]
    pub source: Malformed,
}

/// What is wrong with the bytes of a record.
#[derive(Debug, Error)]
pub enum Malformed {
    /// It begins with a tag that no record has.
    #[error("{0} is no tag of a record")]
    Tag(u8),
    /// The payload ends within it.
    #[error("the record is cut off")]
    CutOff,
    /// A number in it is not one, or too large.
    #[error("a number cannot be decoded")]
    Number(#[from] unsigned_varint::decode::Error),
    /// An id in it is 0.
    #[error("an id of a transfer or a hold is 0")]
    ZeroId,
    /// A field has a value that is never written.
    #[error("the {0} have an impossible value")]
    Field(&'static str),
    /// One of the other records cannot be decoded.
    #[error("the record cannot be decoded")]
    Other(#[from] bincode::Error),
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(RECORD_BYTES_MAX as u64)
}

fn account_options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(ACCOUNT_EVENT_BYTES_MAX as u64)
}

/// Appends the record's bytes to `out`.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Posted(posted) => put_posted(POSTED, posted, out),
        Record::PostedLinked(posted) => put_posted(POSTED_LINKED, posted, out),
        other => put_other(other, out),
    }
}

fn put_other(record: &Record, out: &mut Vec<u8>) {
    let mut scratch = Scratch::<HOLD_BYTES_MAX>::new();
    let tag = |linked, tags: [u8; 2]| [tags[usize::from(linked)]];
    match record {
        Record::Held(held) => {
            scratch.put_bytes(&tag(held.linked, [HELD, HELD_LINKED]));
            holds::put_held(&mut scratch, held);
        }
        Record::Captured(captured) => {
            scratch.put_bytes(&tag(captured.linked, [CAPTURED, CAPTURED_LINKED]));
            holds::put_captured(&mut scratch, captured);
        }
        Record::Voided(voided) => {
            scratch.put_bytes(&tag(voided.linked, [VOIDED, VOIDED_LINKED]));
            holds::put_voided(&mut scratch, voided);
        }
        Record::Expired(expired) => {
            scratch.put_bytes(&[EXPIRED]);
            holds::put_expired(&mut scratch, expired);
        }
        Record::Termed(termed) => {
            out.push(TERMED);
            terms::put(termed, out);
            return encode(&termed.record, out);
        }
        Record::Noted(noted) => {
            out.push(if noted.covered { NOTED_COVERED } else { NOTED });
            noted::put(noted, out);
            return encode(&noted.record, out);
        }
        Record::FeeEvent(event) => {
            out.push(FEE_EVENT);
            return fees::put(event, out);
        }
        Record::FeeLeg(leg) => {
            out.push(FEE_LEG);
            return fees::put(leg, out);
        }
        Record::Driven(event) => {
            out.push(DRIVEN);
            return driven::put(&**event, out);
        }
        Record::Audit(event) => {
            out.push(AUDIT);
            return audit::put(event, out);
        }
        Record::Account(event) => {
            out.push(ACCOUNT);
            let put = account_options().serialize_into(&mut *out, event);
            put.expect("texts keep their bounds and a Vec takes all bytes");
            return;
        }
        other => {
            out.push(OTHER);
            let put = options().serialize_into(out, other);
            put.expect("every record fits and a Vec takes all bytes");
            return;
        }
    }
    out.extend_from_slice(&scratch.bytes[..scratch.len]);
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
        let decoded = take_record(&mut rest);
        failed = decoded.is_err();
        Some(decoded.map_err(|source| DecodeError { offset, source }))
    })
}

fn take_record(rest: &mut &[u8]) -> Result<Record, Malformed> {
    if let Some(&tag @ (NOTED | NOTED_COVERED)) = rest.first() {
        *rest = &rest[1..];
        return noted::take_noted(rest, tag == NOTED_COVERED);
    }
    take_unnoted(rest)
}

/// A record without a note around it.
fn take_unnoted(rest: &mut &[u8]) -> Result<Record, Malformed> {
    if rest.first() == Some(&TERMED) {
        *rest = &rest[1..];
        return terms::take(rest);
    }
    take_plain(rest)
}

/// A record without terms around it.
fn take_plain(rest: &mut &[u8]) -> Result<Record, Malformed> {
    match take_array::<1>(rest)? {
        [POSTED] => take_posted(rest).map(Record::Posted),
        [POSTED_LINKED] => take_posted(rest).map(Record::PostedLinked),
        [ACCOUNT] => {
            let event = account_options().allow_trailing_bytes().deserialize_from(rest)?;
            Ok(Record::Account(event))
        }
        [OTHER] => match options().allow_trailing_bytes().deserialize_from(rest)? {
            Record::Termed(_) | Record::Noted(_) => Err(Malformed::Field("terms of an event")),
            Record::FeeEvent(_) | Record::FeeLeg(_) => Err(Malformed::Field("tag of a fee")),
            Record::Driven(_) => Err(Malformed::Field("events of a schedule or a saga")),
            Record::Audit(_) => Err(Malformed::Field("tag of an audit event")),
            record => Ok(record),
        },
        [FEE_EVENT] => fees::take(rest, Record::FeeEvent),
        [FEE_LEG] => fees::take(rest, Record::FeeLeg),
        [POSTED_BELOW] => take_posted_below(rest).map(Record::Posted),
        [POSTED_BELOW_LINKED] => take_posted_below(rest).map(Record::PostedLinked),
        [tag @ (HELD | HELD_LINKED)] => {
            holds::take_held(rest, tag == HELD_LINKED).map(Record::Held)
        }
        [tag @ (CAPTURED | CAPTURED_LINKED)] => {
            holds::take_captured(rest, tag == CAPTURED_LINKED).map(Record::Captured)
        }
        [tag @ (VOIDED | VOIDED_LINKED)] => {
            holds::take_voided(rest, tag == VOIDED_LINKED).map(Record::Voided)
        }
        [EXPIRED] => holds::take_expired(rest).map(Record::Expired),
        [DRIVEN] => driven::take_event(rest),
        [AUDIT] => audit::take(rest),
        [tag] => Err(Malformed::Tag(tag)),
    }
}

fn put_posted(tag: u8, posted: &Posted, out: &mut Vec<u8>) {
    let below = posted.debit_side.room < 0 || posted.credit_side.room < 0;
    let mut scratch = Scratch::<POSTED_BYTES_MAX>::new();
    scratch.put_bytes(&[if below { tag + POSTED_BELOW } else { tag }]);
    scratch.put_bytes(&posted.id.get().to_le_bytes());
    scratch.put_u64(posted.debit.0.into());
    scratch.put_u64(posted.credit.0.into());
    scratch.put(posted.amount);
    for side in [&posted.debit_side, &posted.credit_side] {
        if below {
            scratch.put_signed_side(side);
            continue;
        }
        scratch.put_u64(side.back);
        scratch.put(zigzag(side.posted));
        scratch.put(side.room.unsigned_abs());
    }
    out.extend_from_slice(&scratch.bytes[..scratch.len]);
}

/// A record's bytes before they are copied to where they stay, all at once: a vector grown by
/// each of its twelve parts would cost twelve calls and checks.
struct Scratch<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

/// Tag, id, two slots, and seven numbers of which five may have 128 bits.
const POSTED_BYTES_MAX: usize = 1 + 16 + 4 * 10 + 5 * 19;

/// A capture has two ids, flags, a currency, and two more of these numbers. No event of a hold is
/// longer.
const HOLD_BYTES_MAX: usize = POSTED_BYTES_MAX + 16 + 1 + 10 + 2 * 19;

impl<const N: usize> Scratch<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    #[inline]
    fn put_bytes<const M: usize>(&mut self, bytes: &[u8; M]) {
        self.bytes[self.len..self.len + M].copy_from_slice(bytes);
        self.len += M;
    }

    /// Adds a number, seven bits a byte. Most fit 64 bits, where the arithmetic is cheap.
    #[inline]
    fn put(&mut self, value: u128) {
        match u64::try_from(value) {
            Ok(value) => self.put_u64(value),
            Err(_) => {
                let room = self.bytes[self.len..].first_chunk_mut().expect("there is room");
                self.len += varint::u128(value, room).len();
            }
        }
    }

    #[inline]
    fn put_u64(&mut self, value: u64) {
        let room = self.bytes[self.len..].first_chunk_mut().expect("there is room");
        self.len += varint::u64(value, room).len();
    }
}

fn take_id(rest: &mut &[u8]) -> Result<TransferId, Malformed> {
    let id = u128::from_le_bytes(take_array(rest)?);
    TransferId::new(id).map_err(|_| Malformed::ZeroId)
}

fn take_posted(rest: &mut &[u8]) -> Result<Posted, Malformed> {
    Ok(Posted {
        id: take_id(rest)?,
        debit: Slot(take(rest, decode::u32)?),
        credit: Slot(take(rest, decode::u32)?),
        amount: take_u128(rest)?,
        debit_side: take_side(rest)?,
        credit_side: take_side(rest)?,
    })
}

fn take_posted_below(rest: &mut &[u8]) -> Result<Posted, Malformed> {
    let posted = Posted {
        id: take_id(rest)?,
        debit: Slot(take(rest, decode::u32)?),
        credit: Slot(take(rest, decode::u32)?),
        amount: take_u128(rest)?,
        debit_side: take_signed_side(rest)?,
        credit_side: take_signed_side(rest)?,
    };
    if posted.debit_side.room >= 0 && posted.credit_side.room >= 0 {
        // There is one way to write it.
        return Err(Malformed::Field("figures of a posting"));
    }
    Ok(posted)
}

fn take_side(rest: &mut &[u8]) -> Result<PostedSide, Malformed> {
    Ok(PostedSide {
        back: take(rest, decode::u64)?,
        posted: take_i128(rest)?,
        room: i128::try_from(take_u128(rest)?)
            .map_err(|_| Malformed::Field("figures of a posting"))?,
    })
}

fn take_signed_side(rest: &mut &[u8]) -> Result<PostedSide, Malformed> {
    Ok(PostedSide {
        back: take(rest, decode::u64)?,
        posted: take_i128(rest)?,
        room: take_i128(rest)?,
    })
}

#[inline]
fn take_i128(rest: &mut &[u8]) -> Result<i128, Malformed> {
    take_u128(rest).map(unzigzag)
}

#[inline]
fn take<T>(
    rest: &mut &[u8],
    decode: impl FnOnce(&[u8]) -> Result<(T, &[u8]), decode::Error>,
) -> Result<T, Malformed> {
    let (value, behind) = decode(rest)?;
    *rest = behind;
    Ok(value)
}

/// A number that nearly always fits 63 bits, where the arithmetic is cheap. Whatever is longer
/// or malformed is left to the decoder of all numbers.
#[inline]
fn take_u128(rest: &mut &[u8]) -> Result<u128, Malformed> {
    let mut value = 0;
    for (at, byte) in rest.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if *byte == 0 && at > 0 {
                break;
            }
            *rest = &rest[at + 1..];
            return Ok(u128::from(value));
        }
    }
    take(rest, decode::u128)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (bytes, behind) = rest.split_first_chunk().ok_or(Malformed::CutOff)?;
    *rest = behind;
    Ok(*bytes)
}

/// Small numbers of either sign become small numbers: 0, −1, 1, −2 … are 0, 1, 2, 3 …
pub(crate) fn zigzag(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)).cast_unsigned()
}

pub(crate) fn unzigzag(value: u128) -> i128 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every other byte is likely to end a number, so that short ones, zero ends and cut
        /// ones all come up.
        #[test]
        fn the_short_way_reads_what_the_long_one_does(
            bytes in prop::collection::vec(prop_oneof![0_u8.., Just(0), Just(0x80)], 0..22)
        ) {
            let mut rest = &bytes[..];
            let short = take_u128(&mut rest).ok().map(|value| (value, rest));
            prop_assert_eq!(short, decode::u128(&bytes).ok());
        }
    }
}
