//! Statements and transfers by id: reads that go back into the journal.
//!
//! An account's entries are chained backwards through the journal: its state names its last
//! event, and every posting names the one before it on both of its accounts. So a statement
//! needs no index on the write path.

use crate::admission::Shared;
use crate::handle::{EntriesPage, Entry, Handle, RequestError, StoredTransfer};
use crate::stored::{StoredError, StoredEvent, StoredReader};
use crate::tasks::Read;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::record::Posted;
use ducat_engine::repeat::{Named, content, stored_outcome};
use ducat_engine::transfer::{AccountView, TransferKind, TransferRequest};
use ducat_persistence::with_causes;
use std::collections::HashMap;
use std::sync::Arc;

/// Runs blocking journal reads off the actors' threads.
pub(crate) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    read: impl FnOnce(&mut StoredReader<'_>) -> Result<T, StoredError> + Send + 'static,
) -> Result<T, RequestError> {
    let walks = Arc::clone(&shared.walks);
    let place = walks.acquire_owned().await.map_err(|e| shared.stopped(&e))?;
    let for_thread = Arc::clone(shared);
    let done = tokio::task::spawn_blocking(move || {
        // Kept to the end: a caller that gives up does not end the walk.
        let _place = place;
        read(&mut StoredReader::new(&*for_thread.journal, for_thread.shard))
    });
    let result = done.await.map_err(|e| shared.stopped(&e))?;
    result.map_err(|error| {
        tracing::error!(error = with_causes(&error), "the journal could not be read back");
        RequestError::ReadFailed(with_causes(&error))
    })
}

/// One step back through an account's entries.
struct Step {
    lsn: Lsn,
    time_ns: u64,
    posted: Posted,
    is_debit: bool,
}

impl Step {
    fn previous(&self) -> Option<Lsn> {
        let side = if self.is_debit { &self.posted.debit_side } else { &self.posted.credit_side };
        side.previous(self.lsn)
    }

    fn counterparty(&self) -> Slot {
        if self.is_debit { self.posted.credit } else { self.posted.debit }
    }
}

fn step(event: StoredEvent, lsn: Lsn, slot: Slot) -> Option<Step> {
    let posted = event.record.posting()?;
    let is_debit = posted.debit == slot;
    (is_debit || posted.credit == slot).then_some(Step {
        lsn,
        time_ns: event.time_ns,
        posted,
        is_debit,
    })
}

/// A page of an account's entries.
pub(crate) async fn page(
    handle: &Handle,
    shared: &Arc<Shared>,
    account: AccountId,
    from: Option<Lsn>,
    limit: usize,
) -> Result<Option<EntriesPage>, RequestError> {
    let ids = vec![account];
    let found = handle.read(|reply| Read::Accounts { ids, reply }).await?;
    let Some(Some((slot, view))) = found.what.into_iter().next() else { return Ok(None) };
    let newest = (view.last_lsn > Lsn::ZERO).then_some(view.last_lsn);
    if let Some(from) = from.filter(|from| *from > view.last_lsn || *from == Lsn::ZERO) {
        return Err(RequestError::BadCursor(from));
    }
    let mut next = from.or(newest);
    let walk = blocking(shared, move |reader| {
        let mut steps = Vec::new();
        while let Some(lsn) = next.filter(|_| steps.len() < limit) {
            let Some(step) = step(reader.event(lsn)?, lsn, slot) else {
                return Ok(Err(lsn));
            };
            next = step.previous();
            steps.push(step);
        }
        Ok(Ok((steps, next)))
    });
    let (steps, next) = walk.await?.map_err(RequestError::BadCursor)?;
    let others = views(handle, steps.iter().map(Step::counterparty).collect()).await?;
    let entries = steps.into_iter().map(|step| entry(&step, &others)).collect();
    Ok(Some(EntriesPage { entries, next, currency: view.spec.currency }))
}

fn entry(step: &Step, accounts: &HashMap<Slot, AccountView>) -> Entry {
    // Amounts stay far below the range of i128.
    let amount = i128::try_from(step.posted.amount).unwrap_or(i128::MAX);
    let side = if step.is_debit { &step.posted.debit_side } else { &step.posted.credit_side };
    Entry {
        lsn: step.lsn,
        time_ns: step.time_ns,
        transfer: step.posted.id,
        counterparty: accounts[&step.counterparty()].spec.id,
        amount: if step.is_debit { -amount } else { amount },
        balance_after: side.posted,
    }
}

pub(crate) async fn views(
    handle: &Handle,
    mut slots: Vec<Slot>,
) -> Result<HashMap<Slot, AccountView>, RequestError> {
    slots.sort_unstable();
    slots.dedup();
    if slots.is_empty() {
        return Ok(HashMap::new());
    }
    let found = handle.read(|reply| Read::Slots { slots, reply }).await?;
    Ok(found.what.into_iter().collect())
}

/// Transfers by id.
pub(crate) async fn transfers(
    handle: &Handle,
    shared: &Arc<Shared>,
    ids: Vec<TransferId>,
) -> Result<Vec<Option<StoredTransfer>>, RequestError> {
    let found = handle.read(|reply| Read::Events { ids, reply }).await?.what;
    let events = blocking(shared, move |reader| {
        let mut event = |lsn: Option<Lsn>| -> Result<Option<(Lsn, StoredEvent)>, StoredError> {
            lsn.map(|lsn| Ok((lsn, reader.event(lsn)?))).transpose()
        };
        found.into_iter().map(&mut event).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let slots = events.iter().flatten().filter_map(|(_, event)| content(&event.record));
    let slots = slots.flat_map(|content| [content.debit, content.credit]);
    let slots = slots.filter_map(|named| match named {
        Named::Slot(slot) => Some(slot),
        Named::Id(_) => None,
    });
    let accounts = views(handle, slots.collect()).await?;
    let stored = |(lsn, event): (Lsn, StoredEvent)| stored_transfer(lsn, &event, &accounts);
    Ok(events.into_iter().map(|found| found.and_then(stored)).collect())
}

pub(crate) fn stored_transfer(
    lsn: Lsn,
    event: &StoredEvent,
    accounts: &HashMap<Slot, AccountView>,
) -> Option<StoredTransfer> {
    let content = content(&event.record)?;
    let account = |named: Named| match named {
        Named::Slot(slot) => accounts.get(&slot).map(|view| view.spec),
        Named::Id(_) => None,
    };
    let id = |named: Named| match named {
        Named::Slot(slot) => accounts.get(&slot).map(|view| view.spec.id),
        Named::Id(id) => Some(id),
    };
    let (debit, credit) = (account(content.debit), account(content.credit));
    let kind = match (debit, credit) {
        (Some(debit), _) if debit.external => TransferKind::Deposit,
        (_, Some(credit)) if credit.external => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    };
    let held_in = debit.or(credit).map(|spec| spec.currency);
    let outcome = stored_outcome(lsn, event.time_ns, &event.record);
    let request = TransferRequest {
        id: outcome.id,
        debit: id(content.debit)?,
        credit: id(content.credit)?,
        amount: content.amount,
        currency: content.currency.or(held_in),
        kind: content.kind.unwrap_or(kind),
        linked: event.record.is_linked(),
    };
    let outcome = ducat_engine::transfer::Outcome { currency: held_in, ..outcome };
    Some(StoredTransfer { request, outcome })
}
