//! An account's entries between two moments, and its balance at one.

use super::moment::{Moment, last_decided_at};
use super::search::{Found, Search};
use crate::admission::Shared;
use crate::entries::blocking;
use crate::handle::{EntriesPage, Entry, Handle, RequestError};
use crate::names::Known;
use crate::stored::StoredError;
use crate::tasks::Read;
use ducat_engine::ids::{AccountId, Lsn, ShardId, Slot};
use ducat_engine::money::CurrencyId;
use ducat_engine::transfer::{AccountView, TransferKind};
use ducat_persistence::Journal;
use std::sync::Arc;

/// Which of an account's entries are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatementQuery {
    /// Those at this LSN or behind it, or decided at this time or later; `None` for all from the
    /// first on.
    pub from: Option<Moment>,
    /// Those at this LSN or before it, or decided at this time or earlier; `None` for all there
    /// are.
    pub to: Option<Moment>,
    /// The oldest first instead of the newest.
    pub oldest_first: bool,
    /// The entry at which the page begins: [`EntriesPage::next`] of the page before.
    pub cursor: Option<Lsn>,
    /// The most entries, 1 to [`crate::handle::BATCH_MAX`].
    pub limit: usize,
}

/// An account's balance as it was at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceAt {
    /// The account.
    pub account: AccountId,
    /// What it holds.
    pub currency: CurrencyId,
    /// Posted balance, minor units.
    pub posted: i128,
    /// The moment: right after this event.
    pub lsn: Lsn,
    /// The account's last entry by then; [`Lsn::ZERO`] for none.
    pub entry_lsn: Lsn,
}

/// An account, where it is hosted, and the LSN at which it was looked at.
type At = (Slot, AccountView, Lsn);

pub(super) async fn look_up(
    handle: &Handle,
    account: AccountId,
) -> Result<Option<At>, RequestError> {
    let ids = vec![account];
    let found = handle.read(|reply| Read::Accounts { ids, reply }).await?;
    let placed = found.what.into_iter().next().flatten();
    Ok(placed.map(|placed| (placed.slot, placed.view, found.lsn)))
}

/// The LSN of a moment, or of now; or the one that is not reached yet.
pub(super) fn reached(
    journal: &dyn Journal,
    shard: ShardId,
    moment: Option<Moment>,
    last: Lsn,
) -> Result<Result<Lsn, Lsn>, StoredError> {
    Ok(match moment {
        None => Ok(last),
        Some(Moment::Lsn(asked)) if asked > last => Err(asked),
        Some(Moment::Lsn(lsn)) => Ok(lsn),
        Some(Moment::Time(time_ns)) => Ok(last_decided_at(journal, shard, time_ns, last)?),
    })
}

/// As [`Handle::balance_at`].
pub(crate) async fn balance_at(
    handle: &Handle,
    shared: &Arc<Shared>,
    account: AccountId,
    moment: Moment,
) -> Result<Option<BalanceAt>, RequestError> {
    let Some((slot, view, last)) = look_up(handle, account).await? else { return Ok(None) };
    let found = blocking(shared, move |journal, shard| {
        let lsn = match reached(journal, shard, Some(moment), last)? {
            Ok(lsn) => lsn,
            Err(asked) => return Ok(Err(RequestError::NotReached { asked, last })),
        };
        if view.opened_lsn > lsn {
            let opened = view.opened_lsn;
            return Ok(Err(RequestError::NotOpened { account, opened, lsn }));
        }
        let behind = Search::new(journal, shard, slot).first_behind(lsn, view.last_lsn)?;
        // What was posted before an entry needs no look at the one before it.
        let (posted, entry) = match behind {
            Some(entry) => (entry.posted_before(), entry.previous.unwrap_or_default()),
            None => (view.posted, view.last_lsn),
        };
        let currency = view.spec.currency;
        Ok(Ok(BalanceAt { account, currency, posted, lsn, entry_lsn: entry }))
    });
    found.await?.map(Some)
}

/// As [`Handle::statement`].
pub(crate) async fn page(
    handle: &Handle,
    shared: &Arc<Shared>,
    account: AccountId,
    query: StatementQuery,
) -> Result<Option<EntriesPage>, RequestError> {
    let Some((slot, view, last)) = look_up(handle, account).await? else { return Ok(None) };
    let newest = view.last_lsn;
    if let Some(cursor) = query.cursor.filter(|at| *at > newest || *at == Lsn::ZERO) {
        return Err(RequestError::BadCursor(cursor));
    }
    let walk = blocking(shared, move |journal, shard| {
        let mut search = Search::new(journal, shard, slot);
        if let Some(cursor) = query.cursor
            && search.at(cursor)?.is_none()
        {
            return Ok(Err(cursor));
        }
        let (low, high) = bounds(journal, shard, (query.from, query.to), last)?;
        // One more than is wanted tells where the next page begins.
        let most = query.limit + 1;
        let found = if newest == Lsn::ZERO || low > high {
            Vec::new()
        } else if query.oldest_first {
            let low = query.cursor.map_or(low, |cursor| cursor.max(low));
            search.forwards(low, high, newest, most)?
        } else {
            let from = match query.cursor {
                Some(cursor) if cursor <= high => Some(cursor),
                _ => search.last_at(high, newest)?,
            };
            search.backwards(from, low, most)?
        };
        Ok(Ok(found))
    });
    let mut found = walk.await?.map_err(RequestError::BadCursor)?;
    let next = found.get(query.limit).map(|entry| entry.lsn);
    found.truncate(query.limit);
    let entries = named(handle, shared, &view, found).await?;
    Ok(Some(EntriesPage { entries, next, currency: view.spec.currency }))
}

/// The first and the last LSN that are wanted.
pub(super) fn bounds(
    journal: &dyn Journal,
    shard: ShardId,
    (from, to): (Option<Moment>, Option<Moment>),
    last: Lsn,
) -> Result<(Lsn, Lsn), StoredError> {
    let low = match from {
        None | Some(Moment::Time(0)) => Lsn(1),
        Some(Moment::Lsn(lsn)) => lsn.max(Lsn(1)),
        Some(Moment::Time(time_ns)) => last_decided_at(journal, shard, time_ns - 1, last)?.next(),
    };
    let high = match to {
        None => last,
        Some(Moment::Lsn(lsn)) => lsn.min(last),
        Some(Moment::Time(time_ns)) => last_decided_at(journal, shard, time_ns, last)?,
    };
    Ok((low, high))
}

/// The entries that were found of this account, with what is known of the accounts behind them.
pub(super) async fn named(
    handle: &Handle,
    shared: &Arc<Shared>,
    view: &AccountView,
    found: Vec<Found>,
) -> Result<Vec<Entry>, RequestError> {
    let others = found.iter().map(|entry| entry.counterparty).collect();
    shared.names.learn(handle, others).await?;
    let (known, external) = (shared.names.known(), view.spec.external);
    let entries: Option<Vec<Entry>> =
        found.into_iter().map(|found| entry(found, external, &known)).collect();
    entries.ok_or_else(|| {
        RequestError::ReadFailed("an entry names an account that is not there".to_owned())
    })
}

fn entry(found: Found, external: bool, known: &Known<'_>) -> Option<Entry> {
    let other = known.get(found.counterparty)?;
    let sides =
        if found.change < 0 { [external, other.external] } else { [other.external, external] };
    let kind = found.kind.unwrap_or(TransferKind::between(sides[0], sides[1]));
    Some(Entry {
        lsn: found.lsn,
        time_ns: found.time_ns,
        transfer: found.transfer,
        counterparty: other.id,
        amount: found.change,
        balance_after: found.posted,
        kind,
        note: found.note,
    })
}
