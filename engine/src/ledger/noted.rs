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
        let between = match noted.record.plain() {
            Record::Posted(posted) | Record::PostedLinked(posted) => {
                Some((posted.debit, posted.credit))
            }
            Record::Held(held) => Some((held.debit, held.credit)),
            Record::Captured(captured) => Some((captured.debit, captured.credit)),
            _ => None,
        };
        if let (Some(kind), Some((debit, credit))) = (noted.kind, between) {
            let directory = &self.coordinator.directory;
            let external = |slot| directory.at(slot).map(|listing| listing.external);
            let allowed = external(debit)
                .zip(external(credit))
                .is_some_and(|(debit, credit)| kind.allows(debit, credit));
            if !allowed {
                return differs("its accounts cannot be those of its kind");
            }
        }
        Ok(())
    }
}
