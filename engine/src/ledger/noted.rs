//! Replay's look at notes: they change nothing, but one that was never written is told.

use super::Ledger;
use crate::account::Impossible;
use crate::ids::Lsn;
use crate::record::{NotedRecord, Record};

impl Ledger {
    /// Whether what stands around an event can: its bounds, and a kind that the accounts allow.
    ///
    /// # Errors
    /// [`Impossible`].
    pub(super) fn check_noted(&self, lsn: Lsn, noted: &NotedRecord) -> Result<(), Impossible> {
        let differs = |what: &str| Err(Impossible::Differs { lsn, what: what.to_owned() });
        if !noted.is_sound() {
            return differs("its note is none that is kept");
        }
        if let Some(kind) = noted.kind
            && let Record::Posted(posted) | Record::PostedLinked(posted) = noted.record.plain()
        {
            let directory = &self.coordinator.directory;
            let external = |slot| directory.at(slot).map(|listing| listing.external);
            let allowed = external(posted.debit)
                .zip(external(posted.credit))
                .is_some_and(|(debit, credit)| kind.allows(debit, credit));
            if !allowed {
                return differs("its accounts cannot be those of its kind");
            }
        }
        Ok(())
    }
}
