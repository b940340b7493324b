//! What a statement says of a request's note: the value date, and a digest of the texts, which may
//! be about people. It stands in front of the event.

use super::{Event, Rest, StatementError};
use crate::note::{Day, Note};
use crate::proof::Hash;
use crate::proof::texts;

/// What was said about the request of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteStated {
    /// The day on which it counts, where one was named.
    pub value_date: Option<Day>,
    /// [`texts::of_note`]: the texts are proved, not shown.
    pub texts: Hash,
}

impl NoteStated {
    /// What is stated of a note.
    #[must_use]
    pub fn of(note: &Note) -> Self {
        Self { value_date: note.value_date, texts: texts::of_note(note) }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.value_date.is_some()));
        if let Some(day) = self.value_date {
            out.extend_from_slice(&day.days().to_be_bytes());
        }
        out.extend_from_slice(&self.texts);
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        let day = |rest: &mut Rest<'_>| {
            let day = Day::new(i32::from_be_bytes(rest.array()?));
            day.ok_or(StatementError::Field("value date"))
        };
        Ok(Self { value_date: rest.maybe(day)?, texts: rest.array()? })
    }
}

impl Event {
    /// Whether it is of a request that can have a note.
    pub(super) fn may_be_noted(&self) -> bool {
        matches!(
            self,
            Self::Transfer(_)
                | Self::HoldPlaced(_)
                | Self::HoldCaptured(_)
                | Self::HoldRefused(_)
                | Self::Refunded(_)
                | Self::RefundRefused(_)
        )
    }
}
