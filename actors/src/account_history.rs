//! An account's history: what happened to it beside transfers, read back from the journal along
//! the chain that its changes make ([`ducat_engine::account_event`]), down to its opening.

use crate::admission::Shared;
use crate::entries::blocking;
use crate::handle::{Handle, HistoryEntry, HistoryEvent, HistoryPage, RequestError};
use crate::stored::{StoredEvent, StoredReader};
use ducat_engine::account_event::{AccountEvent, Opening};
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::record::Record;
use std::sync::Arc;

/// One step back: the event, and the one before it; `None` behind the opening.
type Step = (HistoryEntry, Option<Lsn>);

/// The event at `lsn` as a part of this account's history; `None` when it is none.
fn step(
    stored: StoredEvent,
    lsn: Lsn,
    (slot, id): (Slot, AccountId),
    opened_lsn: Lsn,
) -> Option<Step> {
    let (event, previous) = match stored.record {
        Record::AccountOpened(spec) if spec.id == id => {
            (HistoryEvent::Opened(Opening::from(spec)), None)
        }
        Record::Account(event) => {
            let previous = event.previous(lsn).unwrap_or(opened_lsn);
            match *event {
                AccountEvent::Opened(opening) if opening.spec.id == id => {
                    (HistoryEvent::Opened(opening), None)
                }
                AccountEvent::Changed { slot: of, change, .. } if of == slot => {
                    (HistoryEvent::Changed(change), Some(previous))
                }
                AccountEvent::Opened(_) | AccountEvent::Changed { .. } => return None,
            }
        }
        _ => return None,
    };
    Some((HistoryEntry { lsn, time_ns: stored.time_ns, event }, previous))
}

/// A page of an account's history.
pub(crate) async fn page(
    handle: &Handle,
    shared: &Arc<Shared>,
    account: AccountId,
    from: Option<Lsn>,
    limit: usize,
) -> Result<Option<HistoryPage>, RequestError> {
    let ids = vec![account];
    let found = handle.described(ids).await?;
    let Some(Some(described)) = found.what.into_iter().next() else { return Ok(None) };
    let (slot, opened_lsn) = (described.slot, described.view.opened_lsn);
    let last = described.details.map_or(Lsn::ZERO, |details| details.last_lsn);
    let newest = last.max(opened_lsn);
    if let Some(from) = from.filter(|from| *from > newest || *from < opened_lsn) {
        return Err(RequestError::BadCursor(from));
    }
    let walk = blocking(shared, move |journal, shard| {
        let mut reader = StoredReader::new(journal, shard);
        let mut entries = Vec::new();
        let mut next = Some(from.unwrap_or(newest));
        while let Some(lsn) = next.filter(|_| entries.len() < limit) {
            let step = step(reader.event(lsn)?, lsn, (slot, account), opened_lsn);
            let Some((entry, previous)) = step else { return Ok(Err(lsn)) };
            entries.push(entry);
            next = previous;
        }
        Ok(Ok((entries, next)))
    });
    let (entries, next) = walk.await?.map_err(RequestError::BadCursor)?;
    Ok(Some(HistoryPage { entries, next, currency: described.view.spec.currency }))
}
