//! Notes out of plain words: few texts, so that they meet again.

use super::rng::Rng;
use crate::note::{Day, Note, Noted};
use crate::request::Request;

/// The request with a note that follows from the word, where it can have any.
pub(super) fn noted(word: u64, request: Request) -> Request {
    let mut rng = Rng::new(word.rotate_left(17));
    let reference = ["", "INV-1", "INV-2", "\u{df}"][rng.below(4)].to_owned();
    let description = ["", "", "rent", "d"][rng.below(4)].to_owned();
    let value_date = rng.once_in(2).then(|| day(rng.below(5) as i32 - 2));
    match Noted::new(request.clone(), Note { reference, description, value_date }) {
        Ok(noted) => noted.into(),
        Err(_) => request,
    }
}

fn day(days: i32) -> Day {
    Day::new(days).expect("near 1970")
}

/// The note with one thing changed.
pub(super) fn changed(note: &mut Note) {
    note.value_date = match note.value_date {
        None => Some(day(9)),
        Some(date) => Day::new(date.days() + 1),
    };
}
