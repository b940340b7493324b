//! An account's watches to bytes and back.
//!
//! ```text
//! condition: kind (1) · figure or flow (1) · bound (varint, zigzag) · of what is moved: window (varint)
//! ```

use super::super::codec::{Bytes, Malformed, put};
use super::{put_text, take_text};
use crate::codec::{unzigzag, zigzag};
use crate::ids::Lsn;
use crate::varint as decode;
use crate::watch::{Condition, Figure, Flow, REMOVED_MAX, WATCHES_MAX, Watch};

const BELOW: u8 = 1;
const ABOVE: u8 = 2;
const MOVED: u8 = 3;

const FIGURES: [Figure; 2] = [Figure::Posted, Figure::Available];
const FLOWS: [Flow; 3] = [Flow::Debits, Flow::Credits, Flow::Both];

pub(super) fn put_watches(watches: &[Watch], out: &mut Vec<u8>) {
    put(watches.len() as u128, out);
    for Watch { name, condition, added, removed } in watches {
        put_text(name, out);
        put(u128::from(added.0), out);
        put(removed.map_or(0, |removed| u128::from(removed.0)), out);
        put_condition(condition, out);
    }
}

fn put_condition(condition: &Condition, out: &mut Vec<u8>) {
    match *condition {
        Condition::Below { figure, bound } => {
            out.extend_from_slice(&[BELOW, place_of(&FIGURES, &figure)]);
            put(zigzag(bound), out);
        }
        Condition::Above { figure, bound } => {
            out.extend_from_slice(&[ABOVE, place_of(&FIGURES, &figure)]);
            put(zigzag(bound), out);
        }
        Condition::Moved { flow, above, window_ns } => {
            out.extend_from_slice(&[MOVED, place_of(&FLOWS, &flow)]);
            // Written by the same sign as the others; no amount comes near the end of the range.
            put(zigzag(i128::try_from(above).unwrap_or(i128::MAX)), out);
            put(u128::from(window_ns), out);
        }
    }
}

fn place_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    u8::try_from(all.iter().position(|each| each == one).unwrap_or(0)).unwrap_or(0)
}

pub(super) fn take_watches(bytes: &mut Bytes<'_>) -> Result<Vec<Watch>, Malformed> {
    let count = bytes.u64()?;
    let most = (WATCHES_MAX + REMOVED_MAX) as u64;
    // None at all has no flag.
    let count =
        bytes.field("the number of watches", (1..=most).contains(&count).then_some(count))?;
    let mut watches = Vec::new();
    for _ in 0..count {
        let (name, added) = (take_text(bytes)?, bytes.lsn()?);
        let removed = Some(bytes.lsn()?).filter(|lsn| *lsn > Lsn::ZERO);
        let condition = take_condition(bytes)?;
        watches.push(Watch { name, condition, added, removed });
    }
    Ok(watches)
}

fn take_condition(bytes: &mut Bytes<'_>) -> Result<Condition, Malformed> {
    let [kind, of] = bytes.array()?;
    let bound = unzigzag(bytes.number(decode::u128)?);
    let figure = FIGURES.get(usize::from(of)).copied();
    let flow = FLOWS.get(usize::from(of)).copied();
    let above = u128::try_from(bound).ok();
    let condition = match kind {
        BELOW => figure.map(|figure| Condition::Below { figure, bound }),
        ABOVE => figure.map(|figure| Condition::Above { figure, bound }),
        MOVED => {
            let window_ns = bytes.u64()?;
            flow.zip(above).map(|(flow, above)| Condition::Moved { flow, above, window_ns })
        }
        _ => None,
    };
    bytes.field("a watch's condition", condition)
}
