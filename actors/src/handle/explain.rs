//! A decided request explained: what was asked, what became of it, and how its accounts stood at
//! that moment, all from the journal, however old it is.

use super::views::value_date;
use super::{AccountShown, BATCH_MAX, Handle, HistoryEvent, RequestError};
use crate::account_history;
use crate::entries::blocking;
use crate::feed::{FeedEvent, Seen, What, named, transfer_kind};
use crate::stored::{StoredEvent, StoredReader};
use ducat_engine::account_event::Change;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::limits::Limits;
use ducat_engine::money::CurrencyId;
use ducat_engine::note::Day;
use ducat_engine::transfer::{AccountStatus, BalanceAfter, TransferKind};

/// A decided request and its accounts at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The event: always [`What::Decided`].
    pub event: FeedEvent,
    /// The debit and the credit account, where the event tells figures of them.
    pub accounts: [Option<AccountThen>; 2],
    /// What the money is for; `None` where no account's money moves or was to move: of voids and
    /// extensions of holds.
    pub kind: Option<TransferKind>,
    /// The day on which it counts: that of its note, or else that of its decision; `None` likewise.
    /// The note itself is the request's.
    pub value_date: Option<Day>,
}

/// An account right after an event: for one that was refused, as it found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountThen {
    /// Its id.
    pub id: AccountId,
    /// What it holds.
    pub currency: CurrencyId,
    /// Whether it stands for the outside world, and so has no limits.
    pub external: bool,
    /// Whether it might move.
    pub status: AccountStatus,
    /// Posted balance, minor units.
    pub posted: i128,
    /// Set aside by open holds, minor units.
    pub on_hold: i128,
    /// What it could spend: posted − on hold + overdraft limit.
    pub available: i128,
    /// Its limits.
    pub limits: Limits,
}

impl Handle {
    /// A request by the event that decided it, or else by its id as long as that is remembered;
    /// `None` when there is none.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::Trimmed`].
    pub async fn explain(
        &self,
        id: Option<TransferId>,
        lsn: Option<Lsn>,
    ) -> Result<Option<Explained>, RequestError> {
        let lsn = match (lsn, id) {
            (Some(lsn), _) => Some(lsn),
            (None, Some(id)) => self.event_of(id).await?,
            (None, None) => None,
        };
        let durable = *self.shared.durable.borrow();
        let Some(lsn) = lsn.filter(|lsn| (Lsn(1)..=durable).contains(lsn)) else {
            return Ok(None);
        };
        let stored = blocking(&self.shared, move |journal, shard| {
            StoredReader::new(journal, shard).event(lsn)
        });
        let StoredEvent { time_ns, record } = stored.await?;
        let records = [Seen { lsn, time_ns, record, fired: Vec::new() }];
        let Some(event) = named(self, &self.shared, &records).await?.pop() else {
            return Ok(None);
        };
        let [Seen { record, .. }] = &records;
        let kind = transfer_kind(record, &self.shared.names.known());
        let value_date = kind.map(|_| value_date(record.note(), time_ns));
        let What::Decided(decided) = &event.what else { return Ok(None) };
        if id.is_some_and(|id| id != decided.outcome.id) {
            return Ok(None);
        }
        let figures = [decided.outcome.debit, decided.outcome.credit];
        let mut accounts = [None, None];
        for (at, (account, after)) in event.accounts.into_iter().zip(figures).enumerate() {
            if let (Some(account), Some(after)) = (account, after) {
                accounts[at] = self.account_then(account, after, lsn).await?;
            }
        }
        Ok(Some(Explained { event, accounts, kind, value_date }))
    }

    /// The account with these figures right after an event, its limits and its status found in its
    /// history.
    async fn account_then(
        &self,
        account: AccountId,
        after: BalanceAfter,
        lsn: Lsn,
    ) -> Result<Option<AccountThen>, RequestError> {
        let found = self.accounts(vec![account]).await?.accounts.into_iter().next().flatten();
        let Some(AccountShown { view, .. }) = found else { return Ok(None) };
        let (mut limits, mut status, mut next) = (None, None, None);
        loop {
            let page = account_history::page(self, &self.shared, account, next, BATCH_MAX).await?;
            let Some(page) = page else { return Ok(None) };
            for entry in page.entries.iter().filter(|entry| entry.lsn < lsn) {
                match &entry.event {
                    HistoryEvent::Changed(Change::Status { status: then, .. }) => {
                        status = status.or(Some(*then));
                    }
                    HistoryEvent::Changed(change) => limits = limits.or(change.limits().copied()),
                    HistoryEvent::Opened(opening) => {
                        limits = limits.or(Some(opening.limits()));
                        status = status.or(Some(AccountStatus::Active));
                    }
                }
            }
            next = page.next;
            if let (Some(limits), Some(status)) = (limits, status) {
                let overdraft = i128::try_from(limits.overdraft_limit).unwrap_or(i128::MAX);
                let room = if view.spec.external { 0 } else { overdraft };
                let BalanceAfter { posted, available } = after;
                return Ok(Some(AccountThen {
                    id: account,
                    currency: view.spec.currency,
                    external: view.spec.external,
                    status,
                    posted,
                    on_hold: posted + room - available,
                    available,
                    limits,
                }));
            }
            if next.is_none() {
                return Ok(None);
            }
        }
    }
}
