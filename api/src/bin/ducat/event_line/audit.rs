//! Audit events.

use super::EventLine;
use ducat_api::audit::Line;
use ducat_engine::audit::AuditEvent;

impl EventLine {
    /// As the journal has it.
    pub(super) fn audit(self, event: &AuditEvent) -> Self {
        let access = Some(Box::new(Line::of(event)));
        Self { event: "audit", access, ..self }
    }

    /// The event in one line, without its place and time.
    pub(super) fn audit_text(&self) -> String {
        let access = self.access.as_ref().map(|line| line.text()).unwrap_or_default();
        format!("audit {access}")
    }
}
