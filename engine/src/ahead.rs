//! Looking ahead in replay: brings the memory that the next events need into the cache.
//!
//! An event of a ledger of a million accounts touches three distant places: its id's page and
//! two accounts. One after the other, the processor waits for each. Asked for some hundred
//! events at once, it waits for many at a time.

use crate::account::Account;
use crate::ids::Slot;
use crate::ledger::Ledger;
use crate::record::Record;

/// Events to warm at once: few enough that what was brought in is still there when the last of
/// them is applied.
pub const WARMED: usize = 256;

impl Ledger {
    /// Brings what [`Ledger::apply`] of these events will need into the cache. Changes nothing.
    pub fn warm(&self, records: &[Record]) {
        let ids = records.iter().filter_map(Record::transfer_id);
        self.coordinator.known.warm(ids);
        let mut read = 0;
        for slots in records.iter().filter_map(slots) {
            for slot in slots {
                read ^= self.host(slot).account(slot).map_or(0, Account::warm);
            }
        }
        std::hint::black_box(read);
    }
}

/// The accounts that the event changes.
fn slots(record: &Record) -> Option<[Slot; 2]> {
    match record {
        Record::Posted(posted) | Record::PostedLinked(posted) => {
            Some([posted.debit, posted.credit])
        }
        Record::Held(held) => Some([held.debit; 2]),
        Record::Captured(captured) => Some([captured.debit, captured.credit]),
        Record::Voided(voided) => Some([voided.debit; 2]),
        Record::Expired(expired) => Some([expired.debit; 2]),
        _ => None,
    }
}
