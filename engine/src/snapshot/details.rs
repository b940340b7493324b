//! What is known of accounts beside their money, to bytes and back: in snapshots, and for the
//! state's hash. One way to write each:
//!
//! ```text
//! piece:   for each account: slot (varint), details
//! details: last event (varint) · flags (1): note, opening, watches · opening (16)
//!          note: event (varint), reason · profile · watches: count (varint), each
//! watch:   name · defined by, removed by (varint; 0 for not) · condition
//! profile: kind (1; 0 for none) · owner · label · keys (varint), each a key and a value
//! text:    length (varint) · UTF-8
//! ```

mod watches;

use super::Unsound;
use super::codec::{Bytes, Malformed, put};
use crate::account_event::OpeningMark;
use crate::ids::Slot;
use crate::profile::{
    AccountKind, Details, KEYS_MAX, METADATA_BYTES_MAX, Profile, ProfilesPiece, StatusNote,
};
use crate::varint as decode;
use std::collections::BTreeMap;
use std::sync::Arc;

const NOTE: u8 = 1;
const OPENING: u8 = 2;
const WATCHES: u8 = 4;

fn put_text(text: &str, out: &mut Vec<u8>) {
    put(text.len() as u128, out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a profile.
pub(crate) fn put_profile(profile: &Profile, out: &mut Vec<u8>) {
    out.push(profile.kind.map_or(0, AccountKind::number));
    put_text(&profile.owner, out);
    put_text(&profile.label, out);
    put(profile.metadata.len() as u128, out);
    for (key, value) in &profile.metadata {
        put_text(key, out);
        put_text(value, out);
    }
}

/// Appends an account's details.
pub(crate) fn put_details(details: &Details, out: &mut Vec<u8>) {
    let Details { profile, note, last_lsn, opening, watches } = details;
    put(u128::from(last_lsn.0), out);
    let watched = u8::from(!watches.is_empty()) * WATCHES;
    out.push(u8::from(note.is_some()) * NOTE + u8::from(opening.is_some()) * OPENING + watched);
    if let Some(OpeningMark(mark)) = opening {
        out.extend_from_slice(mark);
    }
    if let Some(StatusNote { lsn, reason }) = note {
        put(u128::from(lsn.0), out);
        put_text(reason, out);
    }
    put_profile(profile, out);
    if !watches.is_empty() {
        watches::put_watches(watches, out);
    }
}

/// Appends a piece.
pub fn put_profiles(piece: &ProfilesPiece, out: &mut Vec<u8>) {
    for (slot, details) in piece {
        put(u128::from(slot.0), out);
        put_details(details, out);
    }
}

/// Reads pieces to the last byte.
///
/// # Errors
/// [`Malformed`].
pub fn take_profiles(bytes: &[u8]) -> Result<ProfilesPiece, Malformed> {
    let mut bytes = Bytes::new(bytes);
    let mut piece = Vec::new();
    while !bytes.is_at_end() {
        let slot = Slot(bytes.number(decode::u32)?);
        let details = take_details(&mut bytes)?;
        let wrong = |what| Unsound::Account { slot: u64::from(slot.0), what };
        details.check().map_err(wrong)?;
        piece.push((slot, Arc::new(details)));
    }
    Ok(piece)
}

fn take_details(bytes: &mut Bytes<'_>) -> Result<Details, Malformed> {
    let last_lsn = bytes.lsn()?;
    let [flags] = bytes.array()?;
    let known = (flags <= NOTE | OPENING | WATCHES).then_some(());
    bytes.field("what is known of an account", known)?;
    let opening = match flags & OPENING {
        0 => None,
        _ => Some(OpeningMark(bytes.array()?)),
    };
    let note = match flags & NOTE {
        0 => None,
        _ => Some(StatusNote { lsn: bytes.lsn()?, reason: take_text(bytes)? }),
    };
    let profile = take_profile(bytes)?;
    let watches = match flags & WATCHES {
        0 => Vec::new(),
        _ => watches::take_watches(bytes)?,
    };
    Ok(Details { profile, note, last_lsn, opening, watches })
}

fn take_profile(bytes: &mut Bytes<'_>) -> Result<Profile, Malformed> {
    let [number] = bytes.array()?;
    let kind = match number {
        0 => Some(None),
        _ => AccountKind::ALL.into_iter().find(|kind| kind.number() == number).map(Some),
    };
    let kind = bytes.field("an account's kind", kind)?;
    let (owner, label) = (take_text(bytes)?, take_text(bytes)?);
    let count = bytes.u64()?;
    let count = Some(count).filter(|count| *count <= KEYS_MAX as u64);
    let count = bytes.field("the number of keys", count)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let (key, value) = (take_text(bytes)?, take_text(bytes)?);
        let rising = metadata.last_key_value().is_none_or(|(last, _)| *last < key);
        bytes.field("a key", rising.then_some(()))?;
        metadata.insert(key, value);
    }
    Ok(Profile { kind, owner, label, metadata })
}

fn take_text(bytes: &mut Bytes<'_>) -> Result<String, Malformed> {
    let len = usize::try_from(bytes.u64()?).ok().filter(|len| *len <= METADATA_BYTES_MAX);
    let len = bytes.field("the length of a text", len)?;
    let text = str::from_utf8(bytes.slice(len)?).ok();
    bytes.field("a text", text).map(str::to_owned)
}
