//! Transfers by id: what was asked and what became of it, read back from the journal.

use crate::admission::Shared;
use crate::handle::{Handle, RequestError, StoredTransfer};
use crate::names::{Known, Name};
use crate::stored::{StoredError, StoredEvent, StoredReader};
use crate::tasks::{DecidedNow, Read};
use ducat_engine::ids::{Lsn, ShardId, TransferId};
use ducat_engine::record::Record;
use ducat_engine::repeat::{Named, content, stored_outcome};
use ducat_engine::transfer::{TransferKind, TransferRequest};
use ducat_persistence::Journal;
use std::sync::Arc;

/// Runs blocking journal reads off the actors' threads.
pub(crate) async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    read: impl FnOnce(&dyn Journal, ShardId) -> Result<T, StoredError> + Send + 'static,
) -> Result<T, RequestError> {
    let walks = Arc::clone(&shared.walks);
    let place = walks.acquire_owned().await.map_err(|e| shared.stopped(&e))?;
    let for_thread = Arc::clone(shared);
    let done = tokio::task::spawn_blocking(move || {
        // Kept to the end: a caller that gives up does not end the walk.
        let _place = place;
        read(&*for_thread.journal, for_thread.shard)
    });
    let result = done.await.map_err(|e| shared.stopped(&e))?;
    result.map_err(StoredError::into_request)
}

/// Transfers by id.
pub(crate) async fn transfers(
    handle: &Handle,
    shared: &Arc<Shared>,
    ids: Vec<TransferId>,
) -> Result<Vec<Option<StoredTransfer>>, RequestError> {
    let found = handle.read(|reply| Read::Events { ids, reply }).await?.what;
    let events = blocking(shared, move |journal, shard| {
        let mut reader = StoredReader::new(journal, shard);
        let mut event =
            |at: Option<DecidedNow>| -> Result<Option<(Lsn, StoredEvent)>, StoredError> {
                at.map(|at| Ok((at.lsn, reader.event(at.lsn)?))).transpose()
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
    shared.names.learn(handle, slots.collect()).await?;
    let known = shared.names.known();
    let stored = |(lsn, event): (Lsn, StoredEvent)| {
        stored_transfer(lsn, event.time_ns, &event.record, &known)
    };
    Ok(events.into_iter().map(|found| found.and_then(stored)).collect())
}

/// The transfer that a record decided, its accounts known by now; `None` for other records.
pub(crate) fn stored_transfer(
    lsn: Lsn,
    time_ns: u64,
    record: &Record,
    known: &Known<'_>,
) -> Option<StoredTransfer> {
    let content = content(record)?;
    let account = |named: Named| match named {
        Named::Slot(slot) => known.get(slot),
        Named::Id(_) => None,
    };
    let id = |named: Named| match named {
        Named::Slot(slot) => known.get(slot).map(|name| name.id),
        Named::Id(id) => Some(id),
    };
    let (debit, credit) = (account(content.debit), account(content.credit));
    let external = |name: Option<Name>| name.is_some_and(|name| name.external);
    let kind = TransferKind::between(external(debit), external(credit));
    let held_in = debit.or(credit).map(|name| name.currency);
    let outcome = stored_outcome(lsn, time_ns, record);
    let request = TransferRequest {
        id: outcome.id,
        debit: id(content.debit)?,
        credit: id(content.credit)?,
        amount: content.amount,
        currency: content.currency.or(held_in),
        kind: content.kind.unwrap_or(kind),
        linked: record.is_linked(),
    };
    let outcome = ducat_engine::transfer::Outcome { currency: held_in, ..outcome };
    Some(StoredTransfer { request, outcome })
}
