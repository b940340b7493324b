//! By value date: an account's entries in that order, its balance at the end of a day, and what of all
//! accounts' balances counts only later.
//!
//! Value dates are what callers say, in any order, so nothing but a look at every entry tells
//! which come first: each page walks the account's chain once between its moments, and keeps the
//! entries of the page, no more. A month by booking time is found by halving; a month by value date
//! costs a read of the account's entries, however few of them lie in it. Whoever knows about when
//! they were booked bounds the walk by moments too.

use super::moment::Moment;
use super::search::{Found, Search};
use super::statement::{BalanceAt, bounds, look_up, named, reached};
use crate::admission::Shared;
use crate::entries::blocking;
use crate::handle::{Handle, RequestError, ValuePage, value_date};
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::note::Day;
use ducat_engine::record::Record;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Entries that are read at a time.
const STRETCH: usize = 1024;

/// Which of an account's entries are wanted, in the order of value dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValueQuery {
    /// Those at this LSN or behind it, or decided at this time or later; `None` for no bound.
    pub from: Option<Moment>,
    /// Those at this LSN or before it, or decided at this time or earlier; `None` for no bound.
    pub to: Option<Moment>,
    /// Those of this value date or a later one; `None` for no bound.
    pub from_day: Option<Day>,
    /// Those of this value date or an earlier one; `None` for no bound.
    pub to_day: Option<Day>,
    /// The earliest first instead of the latest; of one day, the oldest or the newest first.
    pub earliest_first: bool,
    /// The entry at which the page begins: [`ValuePage::next`] of the page before.
    pub cursor: Option<(Day, Lsn)>,
    /// The most entries, 1 to [`crate::handle::BATCH_MAX`].
    pub limit: usize,
}

impl ValueQuery {
    /// Whether an entry of this place in the order belongs to what the page and those behind it list.
    fn takes(&self, place: (Day, Lsn)) -> bool {
        let within = self.from_day.is_none_or(|from| from <= place.0)
            && self.to_day.is_none_or(|to| place.0 <= to);
        within
            && self.cursor.is_none_or(|begin| match self.earliest_first {
                true => begin <= place,
                false => place <= begin,
            })
    }
}

/// What of the accounts' balances counts later than on a day, by their slots: shown every event from the
/// first one on, as their value dates are in no order.
#[derive(Debug, Clone)]
pub struct ValuedLater {
    day: Day,
    sums: Vec<i128>,
}

impl ValuedLater {
    /// Nothing yet of what counts later than on this day.
    #[must_use]
    pub const fn new(day: Day) -> Self {
        Self { day, sums: Vec::new() }
    }

    /// Takes in an event, decided at this time.
    pub fn take(&mut self, time_ns: u64, record: &Record) {
        if value_date(record.note(), time_ns) <= self.day {
            return;
        }
        for effect in record.effects().into_iter().flatten() {
            let at = effect.slot.index();
            if self.sums.len() <= at {
                self.sums.resize(at + 1, 0);
            }
            self.sums[at] += effect.change;
        }
    }

    /// What of the balance of the account in this slot counts later, minor units.
    #[must_use]
    pub fn of(&self, slot: Slot) -> i128 {
        self.sums.get(slot.index()).copied().unwrap_or(0)
    }
}

/// As [`Handle::balance_by_value`].
pub(crate) async fn balance(
    handle: &Handle,
    shared: &Arc<Shared>,
    account: AccountId,
    day: Day,
    moment: Option<Moment>,
) -> Result<Option<BalanceAt>, RequestError> {
    let Some((slot, view, last)) = look_up(handle, account).await? else { return Ok(None) };
    let walked = blocking(shared, move |journal, shard| {
        let lsn = match reached(journal, shard, moment, last)? {
            Ok(lsn) => lsn,
            Err(asked) => return Ok(Err(RequestError::NotReached { asked, last })),
        };
        if view.opened_lsn > lsn {
            let opened = view.opened_lsn;
            return Ok(Err(RequestError::NotOpened { account, opened, lsn }));
        }
        let mut search = Search::new(journal, shard, slot);
        let (mut posted, mut entry_lsn) = (0, Lsn::ZERO);
        let mut next = match view.last_lsn {
            Lsn::ZERO => None,
            newest => search.last_at(lsn, newest)?,
        };
        while next.is_some() {
            let stretch = search.backwards(next, Lsn(1), STRETCH)?;
            next = stretch.last().and_then(|oldest| oldest.previous);
            let counts = |found: &&Found| value_date(found.note.as_deref(), found.time_ns) <= day;
            for found in stretch.iter().filter(counts) {
                posted += found.change;
                entry_lsn = entry_lsn.max(found.lsn);
            }
        }
        Ok(Ok(BalanceAt { account, currency: view.spec.currency, posted, lsn, entry_lsn }))
    });
    walked.await?.map(Some)
}

/// The first entries in an order, no more than wanted.
struct Firsts<K> {
    entries: BTreeMap<K, Found>,
    most: usize,
}

impl<K: Ord> Firsts<K> {
    const fn new(most: usize) -> Self {
        Self { entries: BTreeMap::new(), most }
    }

    fn add(&mut self, key: K, found: Found) {
        let full = self.entries.len() >= self.most;
        if full && self.entries.last_key_value().is_some_and(|(last, _)| *last < key) {
            return;
        }
        self.entries.insert(key, found);
        if full {
            self.entries.pop_last();
        }
    }
}

/// As [`Handle::statement_by_value`].
pub(crate) async fn page(
    handle: &Handle,
    shared: &Arc<Shared>,
    account: AccountId,
    query: ValueQuery,
) -> Result<Option<ValuePage>, RequestError> {
    let Some((slot, view, last)) = look_up(handle, account).await? else { return Ok(None) };
    let newest = view.last_lsn;
    let walk = blocking(shared, move |journal, shard| {
        let mut search = Search::new(journal, shard, slot);
        let (low, high) = bounds(journal, shard, (query.from, query.to), last)?;
        // One more than is wanted tells where the next page begins.
        let most = query.limit + 1;
        let mut earliest = Firsts::new(most);
        let mut latest = Firsts::new(most);
        let mut next = match newest == Lsn::ZERO || low > high {
            true => None,
            false => search.last_at(high, newest)?,
        };
        while next.is_some() {
            let stretch = search.backwards(next, low, STRETCH)?;
            next = stretch.last().and_then(|oldest| oldest.previous);
            for found in stretch {
                let place = (value_date(found.note.as_deref(), found.time_ns), found.lsn);
                if query.takes(place) {
                    match query.earliest_first {
                        true => earliest.add(place, found),
                        false => latest.add(Reverse(place), found),
                    }
                }
            }
        }
        let found: Vec<Found> = match query.earliest_first {
            true => earliest.entries.into_values().collect(),
            false => latest.entries.into_values().collect(),
        };
        Ok(found)
    });
    let mut found = walk.await?;
    let place = |found: &Found| (value_date(found.note.as_deref(), found.time_ns), found.lsn);
    let next = found.get(query.limit).map(place);
    found.truncate(query.limit);
    let entries = named(handle, shared, &view, found).await?;
    Ok(Some(ValuePage { entries, next, currency: view.spec.currency }))
}
