//! The double-entry proof, live: every balance is what the journal's entries come to, every entry
//! says what the entries before it come to, and the sums of all accounts are zero at every event.
//!
//! ```text
//! journal from event 1 ─▶ books ─ up to N₁ ─ compare ─ up to N₂ ─ compare …
//!      engine ─ a page of accounts as of N₁ ──┘           │
//!      engine ─ a page of accounts as of N₂ ──────────────┘
//! ```
//!
//! Each page is of one LSN, and the books are brought to that very LSN before it is compared, so
//! that transfers go on meanwhile. Reads and the journal are all that it needs; between two
//! batches of transfers it takes as long as a page of accounts.

use super::alone::{Events, Wanted, alone};
use super::books::Books;
use crate::admission::Shared;
use crate::handle::{CurrencyTotal, Handle, RequestError};
use crate::tasks::Read;
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::money::CurrencyId;
use ducat_engine::profile::Filter;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime;

/// Accounts looked at in one read.
const PAGE: usize = 1_000;

/// Differences that are told one by one; more are counted.
const TOLD_MAX: usize = 100;

/// A contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The event at which it shows.
    pub lsn: Lsn,
    /// Where the account concerned is hosted; `None` when it is not one account's.
    pub slot: Option<Slot>,
    /// The account, where it is known.
    pub account: Option<AccountId>,
    /// A sentence.
    pub what: String,
}

impl Difference {
    /// At an event that touches the account in this slot.
    pub(super) fn at(lsn: Lsn, slot: Slot, what: impl Into<String>) -> Self {
        Self { lsn, slot: Some(slot), account: None, what: what.into() }
    }
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancesVerified {
    /// The last event that was taken in.
    pub lsn: Lsn,
    /// Accounts that were compared.
    pub accounts: u64,
    /// Sums by currency as of `lsn`, in the order of their numbers, from the entries alone.
    pub totals: Vec<CurrencyTotal>,
    /// What was found wrong, the first hundred; empty when all is well.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub difference_count: u64,
    /// Accounts of the ledger's own that are overdrawn beyond their limit: since it was lowered, or
    /// by a reversal that was allowed to.
    pub overdrawn: u64,
}

/// As [`Handle::verify_balances`].
pub(crate) async fn verify_balances(
    handle: &Handle,
    shared: &Arc<Shared>,
) -> Result<BalancesVerified, RequestError> {
    let (asks, runtime) = (handle.clone(), runtime::Handle::current());
    let mut verified =
        alone(shared, move |shared, wanted| audit(&asks, shared, &runtime, wanted)).await?;
    let slots = verified.differences.iter().filter_map(|difference| difference.slot);
    let there = slots.filter(|slot| (slot.index() as u64) < verified.accounts);
    shared.names.learn(handle, there.collect()).await?;
    for difference in &mut verified.differences {
        if let Some(slot) = difference.slot.filter(|_| difference.account.is_none()) {
            difference.account = shared.names.known().get(slot).map(|name| name.id);
        }
    }
    Ok(verified)
}

fn audit(
    handle: &Handle,
    shared: &Arc<Shared>,
    runtime: &runtime::Handle,
    wanted: &Wanted,
) -> Result<BalancesVerified, RequestError> {
    let mut books = Books::default();
    let mut events = Events::from(shared, wanted, Lsn(1));
    let (mut differences, mut difference_count) = (Vec::new(), 0);
    let mut wrong = |difference: Difference| {
        difference_count += 1;
        if differences.len() < TOLD_MAX {
            differences.push(difference);
        }
    };
    let durable = *shared.durable.borrow();
    events.up_to(durable, |lsn, _, record| {
        books.take(lsn, record, &mut wrong);
        Ok(())
    })?;
    let (mut from, mut accounts, mut last, mut overdrawn) = (Slot(0), 0, durable, 0);
    loop {
        wanted.check()?;
        let filter = Arc::new(Filter::default());
        let read = handle.read(|reply| Read::Page { filter, from, limit: PAGE, reply });
        let page = runtime.block_on(read)?;
        events.up_to(page.lsn, |lsn, _, record| {
            books.take(lsn, record, &mut wrong);
            Ok(())
        })?;
        last = last.max(page.lsn);
        let (described, next) = page.what;
        for account in &described {
            books.compare(account.slot, &account.view, &mut wrong);
            overdrawn += u64::from(!account.view.spec.external && account.view.available < 0);
        }
        accounts += described.len() as u64;
        let Some(next) = next else { break };
        from = next;
    }
    if (books.accounts().len() as u64) > accounts {
        let what = format!(
            "the journal opens {} accounts, the engine has {accounts}",
            books.accounts().len()
        );
        wrong(Difference { lsn: last, slot: None, account: None, what });
    }
    let totals = totals(&books);
    for total in totals.iter().filter(|total| total.internal + total.external != 0) {
        let sum = total.internal + total.external;
        let what = format!("all accounts of currency {} come to {sum}", total.currency.0);
        wrong(Difference { lsn: last, slot: None, account: None, what });
    }
    Ok(BalancesVerified { lsn: last, accounts, totals, differences, difference_count, overdrawn })
}

fn totals(books: &Books) -> Vec<CurrencyTotal> {
    let mut sums: BTreeMap<CurrencyId, (i128, i128)> = BTreeMap::new();
    for account in books.accounts() {
        let (internal, external) = sums.entry(account.currency).or_default();
        *(if account.external { external } else { internal }) += account.posted;
    }
    let total = |(currency, (internal, external))| CurrencyTotal { currency, internal, external };
    sums.into_iter().map(total).collect()
}
