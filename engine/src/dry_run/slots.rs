//! Records of the throw-away ledger in the slots of the one it stands for, so that repeats among the
//! requests of a dry run are told from records of both alike.

use crate::account_event::AccountEvent;
use crate::fees::Target;
use crate::ids::Slot;
use crate::record::{FeeDid, FeeEvent, Party, Record};

/// Names every account of a record by the slot that `to` gives for the one it has.
pub(super) fn relocate(record: &mut Record, to: impl Fn(Slot) -> Slot + Copy) {
    let party = |party: &mut Party| {
        if let Party::Known { slot, .. } = party {
            *slot = to(*slot);
        }
    };
    let both = |debit: &mut Slot, credit: &mut Slot| {
        *debit = to(*debit);
        *credit = to(*credit);
    };
    match record {
        Record::Posted(p) | Record::PostedLinked(p) => both(&mut p.debit, &mut p.credit),
        Record::Refused(r) | Record::RefusedLinked(r) => {
            party(&mut r.debit);
            party(&mut r.credit);
        }
        Record::Held(held) => both(&mut held.debit, &mut held.credit),
        Record::Captured(captured) => both(&mut captured.debit, &mut captured.credit),
        Record::Voided(voided) => voided.debit = to(voided.debit),
        Record::Extended(extended) => extended.debit = to(extended.debit),
        Record::Expired(expired) => expired.debit = to(expired.debit),
        Record::HoldRefused(refused) => {
            refused.debit.iter_mut().chain(&mut refused.credit).for_each(party);
        }
        Record::Refunded(refunded) => both(&mut refunded.debit, &mut refunded.credit),
        Record::RefundRefused(refused) => {
            if let Some(found) = &mut refused.found {
                party(&mut found.debit);
                party(&mut found.credit);
            }
        }
        Record::Termed(termed) => relocate(&mut termed.record, to),
        Record::Noted(noted) => relocate(&mut noted.record, to),
        Record::FeeLeg(leg) => {
            both(&mut leg.debit, &mut leg.credit);
            if let FeeDid::Refused { debit, credit, .. } = &mut leg.did {
                party(debit);
                party(credit);
            }
        }
        Record::FeeEvent(event) => match &mut **event {
            FeeEvent::Defined { slot, .. }
            | FeeEvent::Attached { target: Target::Account(slot), .. } => {
                *slot = to(*slot);
            }
            FeeEvent::Attached { target: Target::Kind { .. }, .. } => {}
        },
        Record::StatusChanged { slot, .. } => *slot = to(*slot),
        Record::Account(event) => {
            if let AccountEvent::Changed { slot, .. } = &mut **event {
                *slot = to(*slot);
            }
        }
        Record::AccountOpened(_)
        | Record::AssetDefined { .. }
        | Record::Driven(_)
        | Record::Audit(_) => {}
    }
}
