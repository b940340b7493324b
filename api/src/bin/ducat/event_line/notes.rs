//! What was said of an event's request, and its kind.

use super::EventLine;
use ducat_api::{day, proto};
use ducat_engine::note::Note;
use ducat_engine::record::NotedRecord;
use ducat_engine::transfer::TransferKind;

impl EventLine {
    /// The event, with what stands around its record.
    pub(super) fn noted(self, noted: &NotedRecord) -> Self {
        let Note { reference, description, value_date } = &noted.note;
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            kind: noted.kind.map(TransferKind::name),
            reference: some(reference),
            description: some(description),
            value_date: value_date.map(day::text),
            ..self
        }
    }

    /// The same of a request as a server's feed gives it; a refused one is told of as a posted one.
    pub(super) fn noted_so(self, asked: &proto::TransferRequest, done: bool) -> Self {
        let kind = u8::try_from(asked.kind).ok().and_then(TransferKind::from_number);
        let note = asked.note.as_deref().cloned().unwrap_or_default();
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            kind: kind.filter(|k| done && !k.follows_from_accounts()).map(TransferKind::name),
            reference: some(note.reference),
            description: some(note.description),
            value_date: some(note.value_date),
            ..self
        }
    }

    /// What was said, for people.
    pub(super) fn note_text(&self) -> String {
        let mut text = String::new();
        if self.account.is_none()
            && self.schedule.is_none()
            && let Some(kind) = self.kind
        {
            text.push_str(&format!("  {kind}"));
        }
        if let Some(reference) = &self.reference {
            text.push_str(&format!("  ref '{reference}'"));
        }
        if let Some(description) = &self.description {
            text.push_str(&format!("  '{description}'"));
        }
        if let Some(value_date) = &self.value_date {
            text.push_str(&format!("  value {value_date}"));
        }
        text
    }
}
