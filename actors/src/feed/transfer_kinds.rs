//! Which events a feed gives by what the money is for: deposits, payments, refunds …
//!
//! A record tells that by itself where it does not follow from its accounts. Where it does, the accounts
//! have to be known: such an event passes the filter on the background thread, if one of the three kinds
//! that follow from accounts is wanted at all, and is looked at again when its slots have names.

use crate::names::Known;
use ducat_engine::ids::Slot;
use ducat_engine::record::{Operation, Party, Record};
use ducat_engine::transfer::TransferKind;

/// A set of kinds; wants every event when empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TransferKinds(u16);

/// What of its kind a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It is this one.
    Kind(TransferKind),
    /// It follows from who pays and who receives.
    Between(Slot, Slot),
    /// It is no event of money that moves or was to move.
    Nothing,
}

impl TransferKinds {
    pub fn new(kinds: &[TransferKind]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | bit(*kind)))
    }

    /// Whether the event is wanted, as far as its record tells: `true` where its accounts must be asked.
    pub fn may_take(self, record: &Record) -> bool {
        if self.0 == 0 {
            return true;
        }
        match told(record) {
            Told::Kind(kind) => self.has(kind),
            Told::Between(..) => TransferKind::ALL
                .into_iter()
                .any(|kind| kind.follows_from_accounts() && self.has(kind)),
            Told::Nothing => false,
        }
    }

    /// Whether the event is wanted, its accounts being known.
    pub fn takes(self, record: &Record, known: &Known<'_>) -> bool {
        if self.0 == 0 {
            return true;
        }
        let external = |slot| known.get(slot).is_some_and(|name| name.external);
        match told(record) {
            Told::Kind(kind) => self.has(kind),
            Told::Between(debit, credit) => {
                self.has(TransferKind::between(external(debit), external(credit)))
            }
            Told::Nothing => false,
        }
    }

    /// Whether it leaves anything out.
    pub fn narrows(self) -> bool {
        self.0 != 0
    }

    fn has(self, kind: TransferKind) -> bool {
        self.0 & bit(kind) != 0
    }
}

fn bit(kind: TransferKind) -> u16 {
    1 << kind.number()
}

/// What the money of an event is for, its accounts being known; `None` where no money moves or was
/// to move.
pub(crate) fn transfer_kind(record: &Record, known: &Known<'_>) -> Option<TransferKind> {
    match told(record) {
        Told::Kind(kind) => Some(kind),
        Told::Between(debit, credit) => {
            Some(TransferKind::between(known.get(debit)?.external, known.get(credit)?.external))
        }
        Told::Nothing => None,
    }
}

/// What the money is for: of transfers, holds that are placed, captures, refunds and fees, done or refused. What
/// else is asked of a hold, and its expiry, names only one account: it has none.
fn told(record: &Record) -> Told {
    if let Some(kind) = record.entry_kind() {
        return Told::Kind(kind);
    }
    match record.plain() {
        Record::Posted(posted) | Record::PostedLinked(posted) => {
            Told::Between(posted.debit, posted.credit)
        }
        Record::Refused(refused) | Record::RefusedLinked(refused) => Told::Kind(refused.kind),
        Record::Held(held) => Told::Between(held.debit, held.credit),
        Record::Captured(captured) => Told::Between(captured.debit, captured.credit),
        Record::RefundRefused(_) => Told::Kind(TransferKind::Refund),
        Record::HoldRefused(refused) => match (refused.asked, refused.debit, refused.credit) {
            (Operation::Hold { kind, .. }, _, _) => Told::Kind(kind),
            (
                Operation::Capture { .. },
                Some(Party::Known { slot: debit, .. }),
                Some(Party::Known { slot: credit, .. }),
            ) => Told::Between(debit, credit),
            _ => Told::Nothing,
        },
        _ => Told::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::ids::TransferId;
    use ducat_engine::note::Note;
    use ducat_engine::record::{NotedRecord, Posted, PostedSide};

    fn posted() -> Record {
        let side = PostedSide { back: 0, posted: 0, room: 0 };
        Record::Posted(Posted {
            id: TransferId::new(1).expect("not zero"),
            debit: Slot(3),
            credit: Slot(4),
            amount: 1,
            debit_side: side,
            credit_side: side,
        })
    }

    fn noted(kind: TransferKind) -> Record {
        let (note, fee, record) = (Note::default(), None, posted());
        Record::Noted(Box::new(NotedRecord { kind: Some(kind), note, fee, covered: false, record }))
    }

    #[test]
    fn what_a_record_tells_is_decided_by_it_and_the_rest_is_asked_of_accounts() {
        let none = TransferKinds::default();
        assert!(none.may_take(&posted()) && !none.narrows());
        let payments = TransferKinds::new(&[TransferKind::Payment, TransferKind::Fee]);
        assert!(payments.narrows());
        assert!(!payments.may_take(&posted()), "no accounts make it a payment");
        assert!(payments.may_take(&noted(TransferKind::Payment)));
        assert!(!payments.may_take(&noted(TransferKind::Interest)));
        let deposits = TransferKinds::new(&[TransferKind::Deposit]);
        assert!(deposits.may_take(&posted()), "its accounts will tell");
        assert!(!deposits.may_take(&noted(TransferKind::Payment)));
        let asset = Record::AssetDefined { code: "X".into(), digits: 0 };
        assert!(none.may_take(&asset) && !deposits.may_take(&asset));
        assert_eq!(told(&posted()), Told::Between(Slot(3), Slot(4)));
    }
}
