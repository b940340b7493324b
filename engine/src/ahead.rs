//! Looking ahead in replay: asks for the memory that the next events need.
//!
//! An event of a ledger of a million accounts touches three distant places: its id's page and
//! two accounts. Asked for in time, they are there when its turn comes.

use crate::ids::Slot;
use crate::ledger::Ledger;
use crate::record::Record;

impl Ledger {
    /// Asks for the memory that [`Ledger::apply`] of this event will need. Changes nothing.
    pub fn prefetch(&self, record: &Record) {
        if let Some(id) = record.transfer_id() {
            let known = &self.coordinator.known;
            known.prefetch(known.bits(id));
        }
        for slot in slots(record).into_iter().flatten() {
            if let Some(account) = self.host(slot).account(slot) {
                account.prefetch();
            }
        }
    }
}

/// The accounts that the event changes.
fn slots(record: &Record) -> Option<[Slot; 2]> {
    match record.plain() {
        Record::Posted(posted) | Record::PostedLinked(posted) => {
            Some([posted.debit, posted.credit])
        }
        Record::Refunded(refunded) => Some([refunded.debit, refunded.credit]),
        Record::Held(held) => Some([held.debit; 2]),
        Record::Captured(captured) => Some([captured.debit, captured.credit]),
        Record::Voided(voided) => Some([voided.debit; 2]),
        Record::Expired(expired) => Some([expired.debit; 2]),
        _ => None,
    }
}
