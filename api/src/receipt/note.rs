//! The texts of a note in a receipt: its statement holds a digest of them, so that whoever hands the
//! receipt on may leave them out, and nobody can put others in their place.

use super::{ReceiptError, Words};
use crate::day;
use ducat_engine::note::Note;
use ducat_engine::proof::statement::NoteStated;
use ducat_engine::proof::texts;
use ducat_persistence::witness::checkpoint::hex;
use serde::{Deserialize, Serialize};

/// What a user said about a request, in a receipt of its event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteWords {
    /// The user's own name for it; empty where there is none.
    pub reference: String,
    /// What it is, in words; likewise.
    pub description: String,
}

impl NoteWords {
    /// The texts of a note.
    pub(super) fn of(note: &Note) -> Self {
        let Note { reference, description, value_date: _ } = note.clone();
        Self { reference, description }
    }

    /// Whether these are the texts of which the statement holds the digest.
    pub(super) fn check(&self, stated: Option<&NoteStated>) -> Result<(), ReceiptError> {
        let Self { reference, description } = self.clone();
        let note = Note { reference, description, value_date: None };
        match stated {
            Some(stated) if stated.texts == texts::of_note(&note) => Ok(()),
            _ => Err(ReceiptError::Differs("note")),
        }
    }
}

impl Words {
    /// With what a statement says of a note.
    pub(super) fn noted(self, note: Option<&NoteStated>) -> Self {
        let Some(note) = note else { return self };
        Self {
            value_date: note.value_date.map(day::text),
            note_sha256: Some(hex(&note.texts)),
            ..self
        }
    }
}
