//! Accounts at the door: opened, changed, read, listed, and their history.

use super::{ACCOUNTS_PAGE_MAX, AccountShown, AccountsAt, AccountsPage, HistoryPage, RequestError};
use super::{Handle, check_size};
use crate::account_history;
use crate::tasks::{AccountChange, ChangeResult, Described, Read, Reply, Task};
use ducat_engine::account_event::Opening;
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::limits::LimitsChange;
use ducat_engine::profile::{Filter, ProfileChange};
use ducat_engine::transfer::{AccountOutcome, AccountRejection, AccountSpec, AccountStatus};
use ducat_engine::watch::WatchChange;
use std::sync::Arc;

fn shown(described: Described) -> AccountShown {
    AccountShown { view: described.view, details: described.details }
}

impl Handle {
    /// Opens accounts of which nothing is known beside their money, in order; durable when it
    /// returns.
    ///
    /// # Errors
    /// [`RequestError`]; what concerns one account is in its outcome.
    pub async fn create_accounts(
        &self,
        accounts: Vec<AccountSpec>,
    ) -> Result<Vec<AccountOutcome>, RequestError> {
        self.open_accounts(accounts.into_iter().map(Opening::from).collect()).await
    }

    /// Opens accounts, in order; durable when it returns.
    ///
    /// # Errors
    /// [`RequestError`]; what concerns one account is in its outcome.
    pub async fn open_accounts(
        &self,
        accounts: Vec<Opening>,
    ) -> Result<Vec<AccountOutcome>, RequestError> {
        self.check_disk()?;
        let permit = self.take_room(check_size(accounts.len())?)?;
        self.ask(|reply| Task::OpenAccounts { accounts, reply, permit }).await
    }

    /// Changes one account's status, for a reason that may be empty; durable when it returns.
    /// The status it has is changed only by another reason. The inner error says why not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn set_status(
        &self,
        account: AccountId,
        status: AccountStatus,
        reason: String,
    ) -> Result<Result<AccountShown, AccountRejection>, RequestError> {
        self.change_account(account, AccountChange::Status(status, reason)).await
    }

    /// Changes what is known of one account; durable when it returns. The inner error says why
    /// not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn change_profile(
        &self,
        account: AccountId,
        change: ProfileChange,
    ) -> Result<Result<AccountShown, AccountRejection>, RequestError> {
        self.change_account(account, AccountChange::Profile(change)).await
    }

    /// Changes the limits of one account, from the event on that this is; durable when it
    /// returns. The inner error says why not: limits that contradict one another, or that the
    /// balance lies outside of already.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn change_limits(
        &self,
        account: AccountId,
        change: LimitsChange,
    ) -> Result<Result<AccountShown, AccountRejection>, RequestError> {
        self.change_account(account, AccountChange::Limits(change)).await
    }

    /// Changes what one account is watched for; durable when it returns. The inner error says why
    /// not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn change_watch(
        &self,
        account: AccountId,
        change: WatchChange,
    ) -> Result<Result<AccountShown, AccountRejection>, RequestError> {
        self.change_account(account, AccountChange::Watch(change)).await
    }

    async fn change_account(
        &self,
        account: AccountId,
        change: AccountChange,
    ) -> Result<Result<AccountShown, AccountRejection>, RequestError> {
        self.check_disk()?;
        let permit = self.take_room(1)?;
        let task =
            |reply: Reply<ChangeResult>| Task::ChangeAccount { account, change, reply, permit };
        Ok(self.ask(task).await?.map(shown))
    }

    /// Accounts by id, all as of one durable LSN.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn accounts(&self, ids: Vec<AccountId>) -> Result<AccountsAt, RequestError> {
        check_size(ids.len())?;
        let found = self.described(ids).await?;
        let accounts = found.what.into_iter().map(|account| account.map(shown));
        Ok(AccountsAt { accounts: accounts.collect(), lsn: found.lsn })
    }

    /// A page of at most `limit` accounts (capped at [`ACCOUNTS_PAGE_MAX`]) that `filter` asks for, from
    /// slot `from` on, in the order of their opening. One that is not the last may hold fewer,
    /// but holds one at least.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_accounts(
        &self,
        filter: Filter,
        mut from: Slot,
        limit: usize,
    ) -> Result<AccountsPage, RequestError> {
        let limit = limit.clamp(1, ACCOUNTS_PAGE_MAX);
        let filter = Arc::new(filter);
        loop {
            let filter = Arc::clone(&filter);
            let found = self.read(|reply| Read::Page { filter, from, limit, reply }).await?;
            let (page, next) = found.what;
            match next {
                // What was looked at is passed over; each look is a read of its own, so that
                // transfers come in between.
                Some(next) if page.is_empty() => from = next,
                _ => {
                    let accounts = page.into_iter().map(shown).collect();
                    return Ok(AccountsPage { accounts, next, lsn: found.lsn });
                }
            }
        }
    }

    /// A page of at most `limit` events (capped at 1,000) of an account's history, newest first,
    /// from the event at `from` on; `Ok(None)` when no account has this id.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::BadCursor`].
    pub async fn history(
        &self,
        account: AccountId,
        from: Option<Lsn>,
        limit: usize,
    ) -> Result<Option<HistoryPage>, RequestError> {
        account_history::page(self, &self.shared, account, from, limit.clamp(1, 1_000)).await
    }
}
