//! What was asked, read back from the record that decided it: a transfer or an operation on a
//! hold, with the callers' ids of its accounts.

use crate::handle::StoredTransfer;
use crate::stored::StoredEvent;
use ducat_engine::coordinator::hold_after;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::record::{HoldRefused, Operation, Party, Record};
use ducat_engine::repeat::{Content, Named, content, stored_outcome};
use ducat_engine::request::{CaptureRequest, ExtendRequest, HoldRequest, Request, VoidRequest};
use ducat_engine::transfer::{AccountSpec, AccountView, Outcome, TransferKind, TransferRequest};
use std::collections::HashMap;

/// The accounts that a request named, and how much was to be moved or set aside.
fn named(record: &Record) -> Option<Content> {
    let party = |party: Party| match party {
        Party::Known { slot, .. } => Named::Slot(slot),
        Party::Unknown(id) => Named::Id(id),
    };
    match record {
        Record::Held(held) => Some(Content {
            debit: Named::Slot(held.debit),
            credit: Named::Slot(held.credit),
            amount: held.amount,
            currency: None,
            kind: None,
        }),
        Record::HoldRefused(HoldRefused {
            asked: Operation::Hold { amount, currency, kind, .. },
            debit: Some(debit),
            credit: Some(credit),
            ..
        }) => Some(Content {
            debit: party(*debit),
            credit: party(*credit),
            amount: *amount,
            currency: *currency,
            kind: Some(*kind),
        }),
        other => content(other),
    }
}

/// The slots of the accounts that a request named.
pub(crate) fn slots(record: &Record) -> impl Iterator<Item = Slot> + use<> {
    let named = named(record).map(|content| [content.debit, content.credit]);
    named.into_iter().flatten().filter_map(|named| match named {
        Named::Slot(slot) => Some(slot),
        Named::Id(_) => None,
    })
}

/// The request and its outcome; `None` for an event that no request with an id led to.
/// `accounts` has those in [`slots`].
pub(crate) fn stored_request(
    lsn: Lsn,
    event: &StoredEvent,
    accounts: &HashMap<Slot, AccountView>,
) -> Option<StoredTransfer> {
    let id = event.record.transfer_id()?;
    let outcome = stored_outcome(lsn, event.time_ns, &event.record);
    let hold = hold_after(event.time_ns, &event.record);
    let Some(content) = named(&event.record) else {
        let request = operation(id, &event.record)?;
        return Some(StoredTransfer { request, outcome, hold });
    };
    let (transfer, held_in) = transfer(id, &event.record, &content, accounts)?;
    let outcome = Outcome { currency: held_in.or(outcome.currency), ..outcome };
    let terms = match &event.record {
        Record::Held(held) => Some((held.timeout_ns, held.over_capture_max)),
        Record::HoldRefused(HoldRefused {
            asked: Operation::Hold { timeout_ns, over_capture_max, .. },
            ..
        }) => Some((*timeout_ns, *over_capture_max)),
        _ => None,
    };
    let request = match terms {
        None => transfer.into(),
        Some((timeout_ns, over_capture_max)) => {
            let TransferRequest { id, debit, credit, amount, currency, kind, linked } = transfer;
            HoldRequest {
                id,
                debit,
                credit,
                amount,
                currency,
                kind,
                timeout_ns,
                over_capture_max,
                linked,
            }
            .into()
        }
    };
    Some(StoredTransfer { request, outcome, hold })
}

/// The transfer that was asked for, or that a hold was to promise, and what its accounts hold.
fn transfer(
    id: TransferId,
    record: &Record,
    content: &Content,
    accounts: &HashMap<Slot, AccountView>,
) -> Option<(TransferRequest, Option<ducat_engine::money::CurrencyId>)> {
    let account = |named: Named| -> Option<AccountSpec> {
        match named {
            Named::Slot(slot) => accounts.get(&slot).map(|view| view.spec),
            Named::Id(_) => None,
        }
    };
    let id_of = |named: Named| -> Option<AccountId> {
        match named {
            Named::Slot(_) => account(named).map(|spec| spec.id),
            Named::Id(id) => Some(id),
        }
    };
    let (debit, credit) = (account(content.debit), account(content.credit));
    let kind = match (debit, credit) {
        (Some(debit), _) if debit.external => TransferKind::Deposit,
        (_, Some(credit)) if credit.external => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    };
    let held_in = debit.or(credit).map(|spec| spec.currency);
    let request = TransferRequest {
        id,
        debit: id_of(content.debit)?,
        credit: id_of(content.credit)?,
        amount: content.amount,
        currency: content.currency.or(held_in),
        kind: content.kind.unwrap_or(kind),
        linked: record.is_linked(),
    };
    Some((request, held_in))
}

/// What was asked of a hold that was there, or was thought to be.
fn operation(id: TransferId, record: &Record) -> Option<Request> {
    let linked = record.is_linked();
    Some(match record {
        Record::Captured(captured) => CaptureRequest {
            id,
            hold: captured.hold,
            amount: (!captured.all).then_some(captured.amount),
            currency: Some(captured.currency),
            last: captured.last,
            linked,
        }
        .into(),
        Record::Voided(voided) => VoidRequest { id, hold: voided.hold, linked }.into(),
        Record::Extended(extended) => {
            let (hold, timeout_ns) = (extended.hold, extended.timeout_ns);
            ExtendRequest { id, hold, timeout_ns, linked }.into()
        }
        Record::HoldRefused(refused) => match refused.asked {
            Operation::Capture { hold, amount, currency, last } => {
                let currency = currency.or(refused.held_in);
                CaptureRequest { id, hold, amount, currency, last, linked }.into()
            }
            Operation::Void { hold } => VoidRequest { id, hold, linked }.into(),
            Operation::Extend { hold, timeout_ns } => {
                ExtendRequest { id, hold, timeout_ns, linked }.into()
            }
            Operation::Hold { .. } => return None,
        },
        _ => return None,
    })
}
