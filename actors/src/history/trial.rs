//! The trial balance: what all accounts owe and own at one moment, by currency.
//!
//! From the newest snapshot at or before the moment that the journal continues, else from the
//! first event, and the events up to the moment. By value date always from the first event: what
//! counts later than the day may have been booked at any time.

use super::alone::{Events, Wanted, alone};
use super::books::{Books, Figure};
use super::moment::Moment;
use super::statement::reached;
use super::value::ValuedLater;
use crate::admission::Shared;
use crate::handle::RequestError;
use crate::snapshots::{Standing, standing};
use crate::stored::StoredError;
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::money::CurrencyId;
use ducat_engine::note::Day;
use ducat_persistence::snapshot::SnapshotError;
use ducat_persistence::snapshot::SnapshotStore;
use ducat_persistence::with_causes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sums of the accounts that are below zero, and of those that are above, minor units; neither is
/// negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sides {
    /// What accounts below zero are below it by, in all.
    pub debit: i128,
    /// What accounts above zero have, in all.
    pub credit: i128,
}

impl Sides {
    /// Adds an account's posted balance.
    pub fn add(&mut self, posted: i128) {
        if posted < 0 {
            self.debit -= posted;
        } else {
            self.credit += posted;
        }
    }
}

/// A currency of a trial balance. Both sides of all its accounts together are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialRow {
    /// The currency.
    pub currency: CurrencyId,
    /// Accounts that are not external.
    pub internal: Sides,
    /// External accounts.
    pub external: Sides,
}

impl TrialRow {
    /// Whether debits and credits are equal.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.internal.debit + self.external.debit == self.internal.credit + self.external.credit
    }

    /// The rows of these accounts: each its currency, whether it is external, and its posted
    /// balance. In the order of the currencies' numbers.
    pub fn of(accounts: impl Iterator<Item = (CurrencyId, bool, i128)>) -> Vec<Self> {
        let mut rows: BTreeMap<CurrencyId, (Sides, Sides)> = BTreeMap::new();
        for (currency, is_external, posted) in accounts {
            let (internal, external) = rows.entry(currency).or_default();
            (if is_external { external } else { internal }).add(posted);
        }
        let row = |(currency, (internal, external))| Self { currency, internal, external };
        rows.into_iter().map(row).collect()
    }
}

/// The sums of all accounts at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialBalance {
    /// The moment: right after this event.
    pub lsn: Lsn,
    /// Accounts that were open then.
    pub accounts: u64,
    /// By currency, in the order of their numbers; of those that any account holds.
    pub rows: Vec<TrialRow>,
    /// The moment of the snapshot that it was begun with; [`Lsn::ZERO`] when it was made from the
    /// first event on.
    pub began_with: Lsn,
}

/// As [`crate::handle::Handle::trial_balance`].
pub(crate) async fn trial_balance(
    shared: &Arc<Shared>,
    moment: Option<Moment>,
    day: Option<Day>,
) -> Result<TrialBalance, RequestError> {
    alone(shared, move |shared, wanted| build(shared, wanted, moment, day)).await
}

fn build(
    shared: &Arc<Shared>,
    wanted: &Wanted,
    moment: Option<Moment>,
    day: Option<Day>,
) -> Result<TrialBalance, RequestError> {
    let last = *shared.durable.borrow();
    let lsn = reached(&*shared.journal, shared.shard, moment, last);
    let lsn = lsn.map_err(StoredError::into_request)?;
    let lsn = lsn.map_err(|asked| RequestError::NotReached { asked, last })?;
    let (mut books, begun) = match day {
        None => begin(shared, wanted, lsn)?,
        Some(_) => (Books::default(), Lsn::ZERO),
    };
    let mut later = day.map(ValuedLater::new);
    let mut broken = None;
    Events::from(shared, wanted, begun.next()).up_to(lsn, |at, time_ns, record| {
        if let Some(later) = &mut later {
            later.take(time_ns, record);
        }
        books.take(at, record, &mut |difference| {
            broken.get_or_insert(difference);
        });
        match broken.take() {
            None => Ok(()),
            Some(broken) => Err(RequestError::ReadFailed(format!(
                "event {} contradicts those before it: {}",
                broken.lsn, broken.what
            ))),
        }
    })?;
    let accounts = books.accounts();
    let posted = |(slot, figure): (u32, &Figure)| {
        let later = later.as_ref().map_or(0, |later| later.of(Slot(slot)));
        (figure.currency, figure.external, figure.posted - later)
    };
    let rows = TrialRow::of((0..).zip(accounts).map(posted));
    if let Some(row) = rows.iter().find(|row| !row.is_balanced()) {
        let why = format!("currency {} is not balanced at event {lsn}", row.currency.0);
        return Err(RequestError::ReadFailed(why));
    }
    Ok(TrialBalance { lsn, accounts: accounts.len() as u64, rows, began_with: begun })
}

/// The books as of the newest snapshot that can be used, and its moment.
fn begin(shared: &Shared, wanted: &Wanted, lsn: Lsn) -> Result<(Books, Lsn), RequestError> {
    let Some(options) = &shared.options.snapshots else { return Ok((Books::default(), Lsn::ZERO)) };
    // Snapshots only save time: what is wrong with one is said, and the next is tried.
    let listed = options.store.list().unwrap_or_else(|error| {
        tracing::warn!(error = with_causes(&error), "the snapshots cannot be listed");
        Vec::new()
    });
    for snapshot in listed.into_iter().filter(|snapshot| snapshot.lsn <= lsn) {
        let Ok(header) = &snapshot.header else { continue };
        let continued = standing(&*shared.journal, shared.shard, header);
        if !matches!(continued, Ok(Standing::Continued)) {
            continue;
        }
        match restore(&options.store, wanted, snapshot.lsn) {
            Ok(books) => return Ok((books?, snapshot.lsn)),
            Err(error) => {
                let path = snapshot.path.display();
                tracing::warn!(error = with_causes(&error), %path, "a snapshot cannot be used");
            }
        }
    }
    Ok((Books::default(), Lsn::ZERO))
}

fn restore(
    store: &SnapshotStore,
    wanted: &Wanted,
    lsn: Lsn,
) -> Result<Result<Books, RequestError>, SnapshotError> {
    use ducat_persistence::snapshot::Part;
    let mut reader = store.read(lsn)?;
    let mut books = Books::default();
    // To the end, although ids are of no use here: only then it is known to be sound.
    while let Some(part) = reader.part()? {
        if let Err(given_up) = wanted.check() {
            return Ok(Err(given_up));
        }
        if let Part::Accounts(accounts) = part {
            accounts.iter().for_each(|account| books.restore(&account.durable()));
        }
    }
    Ok(Ok(books))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debits_and_credits_are_apart_and_equal() {
        let accounts = [(826, true, -30), (826, false, 25), (826, false, -5), (826, true, 10)];
        let accounts =
            accounts.map(|(currency, external, posted)| (CurrencyId(currency), external, posted));
        let rows = TrialRow::of(accounts.into_iter());
        let sides = |debit, credit| Sides { debit, credit };
        let (internal, external) = (sides(5, 25), sides(30, 10));
        assert_eq!(rows, [TrialRow { currency: CurrencyId(826), internal, external }]);
        assert!(rows[0].is_balanced());
        assert!(!TrialRow { external: sides(31, 10), ..rows[0] }.is_balanced());
    }
}
