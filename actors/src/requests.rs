//! Requests by id, transfers and operations on holds alike, read back from the journal.

use crate::entries::{blocking, stored_transfer};
use crate::handle::{Handle, Now, RequestError, StoredRequest};
use crate::names::Known;
use crate::stored::{StoredError, StoredEvent, StoredReader};
use crate::tasks::{DecidedNow, Read};
use ducat_engine::coordinator::hold_after;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::note::Noted;
use ducat_engine::record::{Held, HoldRefused, Operation, Party, Record};
use ducat_engine::repeat::{Named, content, refund_after, stored_outcome};
use ducat_engine::request::{
    CaptureRequest, ExtendRequest, HoldRequest, RefundRequest, Request, VoidRequest,
};
use ducat_engine::terms::Termed;
use ducat_engine::transfer::{Outcome, TransferKind};
use std::sync::Arc;

/// An event, and what became of it since.
type Event = (DecidedNow, StoredEvent);

/// Requests by id, with their answers.
pub(crate) async fn requests(
    handle: &Handle,
    shared: &Arc<crate::admission::Shared>,
    ids: Vec<TransferId>,
) -> Result<Vec<Option<StoredRequest>>, RequestError> {
    let found = handle.read(|reply| Read::Events { ids, reply }).await?.what;
    let events = blocking(shared, move |journal, shard| {
        let mut reader = StoredReader::new(journal, shard);
        let mut event = |decided: Option<DecidedNow>| -> Result<Option<Event>, StoredError> {
            decided.map(|decided| Ok((decided, reader.event(decided.lsn)?))).transpose()
        };
        found.into_iter().map(&mut event).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let slots = events.iter().flatten().flat_map(|(_, event)| slots(&event.record)).collect();
    shared.names.learn(handle, slots).await?;
    let known = shared.names.known();
    let stored = |(decided, event): Event| {
        let DecidedNow { lsn, refunded, hold } = decided;
        let stored = stored_request(lsn, event.time_ns, &event.record, &known)?;
        Some(StoredRequest { refunded, now: Some(Now { hold }), ..stored })
    };
    Ok(events.into_iter().map(|found| found.and_then(stored)).collect())
}

/// The accounts that the request named.
pub(crate) fn slots(record: &Record) -> Vec<Slot> {
    let of_party = |party: Option<Party>| match party {
        Some(Party::Known { slot, .. }) => Some(slot),
        Some(Party::Unknown(_)) | None => None,
    };
    match record.plain() {
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

/// The request that a record decided, with its answer, its accounts known by now; `None` for records
/// that decided none.
pub(crate) fn stored_request(
    lsn: Lsn,
    time_ns: u64,
    record: &Record,
    known: &Known<'_>,
) -> Option<StoredRequest> {
    if let Record::Noted(noted) = record {
        let mut plain = stored_request(lsn, time_ns, &noted.record, known)?;
        if let Some(kind) = noted.kind {
            plain.request.set_kind(kind);
        }
        if !noted.note.is_empty() {
            plain.request = Noted::new(plain.request, noted.note.clone()).ok()?.into();
        }
        let captured_as =
            noted.kind.filter(|_| matches!(plain.request.plain(), Request::Capture(_)));
        return Some(StoredRequest { fee: noted.fee, captured_as, ..plain });
    }
    if let Record::Termed(termed) = record {
        let plain = stored_request(lsn, time_ns, &termed.record, known)?;
        let mut request = plain.request;
        if let Request::Transfer(transfer) = &mut request {
            transfer.amount = termed.asked;
        }
        let request = Termed::new(request, termed.terms).ok()?.into();
        return Some(StoredRequest { request, terms: Some(termed.after(lsn)), ..plain });
    }
    if content(record).is_some() {
        let stored = stored_transfer(lsn, time_ns, record, known)?;
        let request = stored.request.into();
        let outcome = stored.outcome;
        let (refund, refunded) = (None, None);
        let (hold, terms, fee, captured_as, now) = (None, None, None, None, None);
        return Some(StoredRequest {
            request,
            outcome,
            hold,
            refund,
            refunded,
            terms,
            fee,
            captured_as,
            now,
        });
    }
    let request = operation(record, known)?;
    let stored = stored_outcome(lsn, time_ns, record);
    let held_in = match (&request, record) {
        (_, Record::Held(held)) => known.get(held.debit).map(|name| name.currency),
        (Request::Hold(hold), _) => hold.currency,
        _ => None,
    };
    let outcome = Outcome { currency: stored.currency.or(held_in), ..stored };
    let hold = hold_after(time_ns, record);
    let refund = refund_after(record);
    let (refunded, terms, fee, captured_as, now) = (None, None, None, None, None);
    Some(StoredRequest { request, outcome, hold, refund, refunded, terms, fee, captured_as, now })
}

/// What was asked of a hold, or to be given back.
fn operation(record: &Record, known: &Known<'_>) -> Option<Request> {
    let linked = record.is_linked();
    Some(match record {
        Record::Held(held) => placed(held, known)?.into(),
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
        Record::HoldRefused(refused) => refused_operation(refused, known)?,
        Record::Refunded(refunded) => RefundRequest {
            id: refunded.id,
            of: refunded.of,
            of_lsn: refunded.by_lsn.then_some(refunded.of_lsn),
            amount: (!refunded.reversal).then_some(refunded.amount),
            currency: Some(refunded.currency),
            allow_overdraft: refunded.overdraft,
            linked,
            original: None,
        }
        .into(),
        Record::RefundRefused(refused) => RefundRequest {
            id: refused.id,
            of: refused.of,
            of_lsn: refused.of_lsn,
            amount: refused.amount,
            currency: refused.currency.or(refused.found.map(|found| found.currency)),
            allow_overdraft: refused.overdraft,
            linked,
            original: None,
        }
        .into(),
        _ => return None,
    })
}

fn placed(held: &Held, known: &Known<'_>) -> Option<HoldRequest> {
    let (debit, credit) = (known.get(held.debit)?, known.get(held.credit)?);
    let kind = TransferKind::between(debit.external, credit.external);
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

fn refused_operation(refused: &HoldRefused, known: &Known<'_>) -> Option<Request> {
    let HoldRefused { id, linked, held_in, .. } = *refused;
    let account = |party: Option<Party>| -> Option<AccountId> {
        match party? {
            Party::Known { slot, .. } => known.get(slot).map(|name| name.id),
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
