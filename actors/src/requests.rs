//! Requests by id, transfers and operations on holds alike, read back from the journal.

use crate::entries::{blocking, stored_transfer, views};
use crate::handle::{Handle, RequestError, StoredRequest};
use crate::stored::{StoredError, StoredEvent};
use crate::tasks::Read;
use ducat_engine::coordinator::hold_after;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::record::{Held, HoldRefused, Operation, Party, Record};
use ducat_engine::repeat::{Named, content, stored_outcome};
use ducat_engine::request::{CaptureRequest, ExtendRequest, HoldRequest, Request, VoidRequest};
use ducat_engine::transfer::{AccountView, Outcome, TransferKind};
use std::collections::HashMap;
use std::sync::Arc;

type Accounts = HashMap<Slot, AccountView>;

/// Requests by id, with their answers.
pub(crate) async fn requests(
    handle: &Handle,
    shared: &Arc<crate::admission::Shared>,
    ids: Vec<TransferId>,
) -> Result<Vec<Option<StoredRequest>>, RequestError> {
    let found = handle.read(|reply| Read::Events { ids, reply }).await?.what;
    let events = blocking(shared, move |reader| {
        let mut event = |lsn: Option<Lsn>| -> Result<Option<(Lsn, StoredEvent)>, StoredError> {
            lsn.map(|lsn| Ok((lsn, reader.event(lsn)?))).transpose()
        };
        found.into_iter().map(&mut event).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let slots = events.iter().flatten().flat_map(|(_, event)| slots(&event.record)).collect();
    let accounts = views(handle, slots).await?;
    let stored = |(lsn, event): (Lsn, StoredEvent)| stored_request(lsn, &event, &accounts);
    Ok(events.into_iter().map(|found| found.and_then(stored)).collect())
}

/// The accounts that the request named.
fn slots(record: &Record) -> Vec<Slot> {
    let of_party = |party: Option<Party>| match party {
        Some(Party::Known { slot, .. }) => Some(slot),
        Some(Party::Unknown(_)) | None => None,
    };
    match record {
        Record::Held(held) => vec![held.debit, held.credit],
        Record::HoldRefused(refused) => {
            [of_party(refused.debit), of_party(refused.credit)].into_iter().flatten().collect()
        }
        record => {
            let named = content(record).map(|content| [content.debit, content.credit]);
            let slot = |named| match named {
                Named::Slot(slot) => Some(slot),
                Named::Id(_) => None,
            };
            named.into_iter().flatten().filter_map(slot).collect()
        }
    }
}

fn stored_request(lsn: Lsn, event: &StoredEvent, accounts: &Accounts) -> Option<StoredRequest> {
    if content(&event.record).is_some() {
        let stored = stored_transfer(lsn, event, accounts)?;
        let request = stored.request.into();
        return Some(StoredRequest { request, outcome: stored.outcome, hold: None });
    }
    let request = operation(&event.record, accounts)?;
    let stored = stored_outcome(lsn, event.time_ns, &event.record);
    let held_in = match &request {
        Request::Hold(hold) => accounts.values().find_map(|view| {
            let spec = view.spec;
            (spec.id == hold.debit).then_some(spec.currency)
        }),
        _ => None,
    };
    let outcome = Outcome { currency: stored.currency.or(held_in), ..stored };
    let hold = hold_after(event.time_ns, &event.record);
    Some(StoredRequest { request, outcome, hold })
}

/// What was asked of a hold.
fn operation(record: &Record, accounts: &Accounts) -> Option<Request> {
    let linked = record.is_linked();
    Some(match record {
        Record::Held(held) => placed(held, accounts)?.into(),
        Record::Captured(captured) => CaptureRequest {
            id: captured.id,
            hold: captured.hold,
            amount: (!captured.all).then_some(captured.amount),
            currency: Some(captured.currency),
            last: captured.last,
            linked,
        }
        .into(),
        Record::Voided(voided) => VoidRequest { id: voided.id, hold: voided.hold, linked }.into(),
        Record::Extended(extended) => {
            let (id, hold, timeout_ns) = (extended.id, extended.hold, extended.timeout_ns);
            ExtendRequest { id, hold, timeout_ns, linked }.into()
        }
        Record::HoldRefused(refused) => refused_operation(refused, accounts)?,
        _ => return None,
    })
}

fn placed(held: &Held, accounts: &Accounts) -> Option<HoldRequest> {
    let (debit, credit) = (accounts.get(&held.debit)?.spec, accounts.get(&held.credit)?.spec);
    let kind = match (debit.external, credit.external) {
        (true, _) => TransferKind::Deposit,
        (_, true) => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    };
    Some(HoldRequest {
        id: held.id,
        debit: debit.id,
        credit: credit.id,
        amount: held.amount,
        currency: Some(debit.currency),
        kind,
        timeout_ns: held.timeout_ns,
        over_capture_max: held.over_capture_max,
        linked: held.linked,
    })
}

fn refused_operation(refused: &HoldRefused, accounts: &Accounts) -> Option<Request> {
    let HoldRefused { id, linked, held_in, .. } = *refused;
    let account = |party: Option<Party>| -> Option<AccountId> {
        match party? {
            Party::Known { slot, .. } => accounts.get(&slot).map(|view| view.spec.id),
            Party::Unknown(id) => Some(id),
        }
    };
    Some(match refused.asked {
        Operation::Hold { amount, currency, kind, timeout_ns, over_capture_max } => HoldRequest {
            id,
            debit: account(refused.debit)?,
            credit: account(refused.credit)?,
            amount,
            currency: currency.or(held_in),
            kind,
            timeout_ns,
            over_capture_max,
            linked,
        }
        .into(),
        Operation::Capture { hold, amount, currency, last } => {
            let currency = currency.or(held_in);
            CaptureRequest { id, hold, amount, currency, last, linked }.into()
        }
        Operation::Void { hold } => VoidRequest { id, hold, linked }.into(),
        Operation::Extend { hold, timeout_ns } => {
            ExtendRequest { id, hold, timeout_ns, linked }.into()
        }
    })
}
