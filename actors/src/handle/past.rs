//! The past through the door: statements, balances and sums of any moment, the feed of events.

use super::{BATCH_MAX, EntriesPage, Handle, RequestError, ValuePage};
use crate::feed::{Feed, Subscription};
use crate::history::ValueQuery;
use crate::history::{self, BalanceAt, BalancesVerified, Moment, StatementQuery, TrialBalance};
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::note::Day;
use std::sync::Arc;

impl Handle {
    /// A page of at most `limit` entries (capped at 10,000) of an account, newest first, from
    /// the entry at `from` on; `Ok(None)` when no account has this id.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::BadCursor`].
    pub async fn entries(
        &self,
        account: AccountId,
        from: Option<Lsn>,
        limit: usize,
    ) -> Result<Option<EntriesPage>, RequestError> {
        let query = StatementQuery { cursor: from, limit, ..StatementQuery::default() };
        self.statement(account, query).await
    }

    /// A page of an account's entries between two moments; `Ok(None)` when no account has this
    /// id.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::BadCursor`] and [`RequestError::Trimmed`].
    pub async fn statement(
        &self,
        account: AccountId,
        query: StatementQuery,
    ) -> Result<Option<EntriesPage>, RequestError> {
        let limit = query.limit.clamp(1, BATCH_MAX);
        history::page(self, &self.shared, account, StatementQuery { limit, ..query }).await
    }

    /// A page of an account's entries in the order of value dates; `Ok(None)` when no account has
    /// this id. Every page reads all of the account's entries between the query's moments.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::Trimmed`].
    pub async fn statement_by_value(
        &self,
        account: AccountId,
        query: ValueQuery,
    ) -> Result<Option<ValuePage>, RequestError> {
        let limit = query.limit.clamp(1, BATCH_MAX);
        history::value_page(self, &self.shared, account, ValueQuery { limit, ..query }).await
    }

    /// An account's balance as it was at a moment; `Ok(None)` when no account has this id. A
    /// moment that is still to come is now.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::NotOpened`], [`RequestError::NotReached`] and
    /// [`RequestError::Trimmed`].
    pub async fn balance_at(
        &self,
        account: AccountId,
        moment: Moment,
    ) -> Result<Option<BalanceAt>, RequestError> {
        history::balance_at(self, &self.shared, account, moment).await
    }

    /// An account's balance at the end of a day by value date: the sum of its entries of that value
    /// date or an earlier one, as they were known at a moment, or are now; `Ok(None)` when no account
    /// has this id. Reads all of the account's entries.
    ///
    /// # Errors
    /// As [`Self::balance_at`].
    pub async fn balance_by_value(
        &self,
        account: AccountId,
        day: Day,
        moment: Option<Moment>,
    ) -> Result<Option<BalanceAt>, RequestError> {
        history::balance_by_value(self, &self.shared, account, day, moment).await
    }

    /// The sums of all accounts at the end of a day by value date, as [`Self::balance_by_value`] has
    /// each. Reads the whole journal, archived or not; one at a time with others that do.
    ///
    /// # Errors
    /// As [`Self::trial_balance`].
    pub async fn trial_balance_by_value(
        &self,
        day: Day,
        moment: Option<Moment>,
    ) -> Result<TrialBalance, RequestError> {
        history::trial_balance(&self.shared, moment, Some(day)).await
    }

    /// The sums of all accounts at a moment, by currency; of now without one. Reads the journal
    /// from the nearest snapshot before it, on a thread of low priority; one at a time.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::AuditRunning`], [`RequestError::NotReached`]
    /// and [`RequestError::Trimmed`].
    pub async fn trial_balance(
        &self,
        moment: Option<Moment>,
    ) -> Result<TrialBalance, RequestError> {
        history::trial_balance(&self.shared, moment, None).await
    }

    /// Checks that every balance is what the journal's entries come to, from the first event on,
    /// while transfers go on; one at a time. Dropped, it ends.
    ///
    /// # Errors
    /// [`RequestError`], among them [`RequestError::AuditRunning`] and [`RequestError::Trimmed`].
    /// What is found wrong is no error but a part of the answer.
    pub async fn verify_balances(&self) -> Result<BalancesVerified, RequestError> {
        history::verify_balances(self, &self.shared).await
    }

    /// A feed of decided events, from any place on. One that is dropped, or whose reader is slow,
    /// costs nothing.
    ///
    /// # Errors
    /// [`RequestError::NotReached`] for a place more than one behind the last durable event,
    /// [`RequestError::SubscribersFull`], [`RequestError::Stopped`]. What was trimmed is told by
    /// the feed's first batch.
    pub async fn subscribe(&self, subscription: Subscription) -> Result<Feed, RequestError> {
        Feed::open(self.clone(), Arc::clone(&self.shared), subscription).await
    }

    /// Feeds that are open.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.shared.options.subscribers_max - self.shared.feeds.available_permits()
    }
}
