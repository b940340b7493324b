//! Notes between the wire and the engine.

use crate::day;
use crate::proto::{self, Operation};
use crate::violation::{Place, Violations};
use ducat_engine::note::{Note, NoteFault};

/// The note of a request; `None` where it has none, and after adding at least one violation.
pub(super) fn read(
    asked: Option<&proto::Note>,
    operation: Operation,
    place: Place,
    violations: &mut Violations,
) -> Option<Note> {
    let asked = asked?;
    if matches!(operation, Operation::Void | Operation::Extend) {
        violations.add(place, "note", "FIELD_NOT_OF_OPERATION", || {
            "voids and extensions have no `note`; leave it unset".to_owned()
        });
        return None;
    }
    let value_date = match asked.value_date.as_str() {
        "" => None,
        text => {
            let day = day::parse(text);
            if day.is_none() {
                violations.add(place, "note.value_date", "VALUE_DATE_MALFORMED", not_a_date);
            }
            Some(day?)
        }
    };
    let (reference, description) = (asked.reference.clone(), asked.description.clone());
    let note = Note { reference, description, value_date };
    let (field, reason) = match note.check() {
        Ok(()) if note.is_empty() => ("note", "NOTE_EMPTY"),
        Ok(()) => return Some(note),
        Err(NoteFault::Description) => ("note.description", "DESCRIPTION_MALFORMED"),
        Err(_) => ("note.reference", "REFERENCE_MALFORMED"),
    };
    let fault = note.check().err().unwrap_or(NoteFault::Nothing);
    violations.add(place, field, reason, || fault.to_string());
    None
}

/// What is wrong with a text that should be a date.
pub(super) fn not_a_date() -> String {
    "a date is written as 2026-01-31, and lies in the years 0001 to 9999".to_owned()
}

/// A note as a message.
#[must_use]
pub(super) fn to_proto(note: &Note) -> proto::Note {
    proto::Note {
        reference: note.reference.clone(),
        description: note.description.clone(),
        value_date: note.value_date.map(day::text).unwrap_or_default(),
    }
}
