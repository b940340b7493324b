//! Dry runs at the door: see [`crate::dry_run`].

use super::{AccountShown, Handle, RequestError, check_batch, check_size};
use crate::answers::Answers;
use crate::dry_run::{
    Concerning, Copied, DrivenAsk, DryAnswers, DryDriven, Judged, contradicted, driven_request,
    dry_answers,
};
use crate::entries::blocking;
use crate::refunds::with_originals;
use crate::stored::StoredReader;
use crate::tasks::{AccountChange, FeeChange, Found, Read};
use ducat_engine::account::Account;
use ducat_engine::account_event::Opening;
use ducat_engine::coordinator::{DryFee, FeeTarget};
use ducat_engine::driven::{DrySaga, DrySchedule, SagaAsk, ScheduleAsk};
use ducat_engine::dry_run::Excerpt;
use ducat_engine::fees::{FeeFault, Schedule};
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::limits::LimitsChange;
use ducat_engine::profile::ProfileChange;
use ducat_engine::repeat::resolve;
use ducat_engine::request::Request;
use ducat_engine::sagas::SagaRejection;
use ducat_engine::schedules::ScheduleRejection;
use ducat_engine::transfer::{AccountOutcome, AccountRejection, AccountStatus};
use ducat_engine::watch::WatchChange;
use std::sync::Arc;

impl Handle {
    /// What would become of a batch of requests if it was the next one: outcomes and balances, known
    /// ids as repeats. Nothing is decided, journalled or remembered.
    ///
    /// # Errors
    /// [`RequestError`], as for a batch that is meant: among them what is wrong with the batch as a
    /// whole, and [`RequestError::DiskFull`].
    pub async fn dry_run<R: Into<Request>>(
        &self,
        requests: Vec<R>,
    ) -> Result<DryAnswers, RequestError> {
        let mut requests: Vec<Request> = requests.into_iter().map(Into::into).collect();
        check_batch(&requests)?;
        self.check_disk()?;
        loop {
            let asked = Arc::new(requests);
            let concerning = Concerning::Requests(Arc::clone(&asked));
            let Found { what: copied, .. } =
                self.read(|reply| Read::Copies { concerning, reply }).await?;
            requests = Arc::unwrap_or_clone(asked);
            let Copied { excerpt, accounts, unread, .. } = copied;
            if !unread.is_empty() {
                requests = with_originals(&self.shared, requests, unread).await?;
                continue;
            }
            return self.judge(excerpt, accounts, requests).await;
        }
    }

    /// Executes requests on copies.
    async fn judge(
        &self,
        excerpt: Excerpt,
        accounts: Vec<(Slot, Account)>,
        requests: Vec<Request>,
    ) -> Result<DryAnswers, RequestError> {
        let judged = blocking(&self.shared, move |journal, shard| {
            let run = match excerpt.judge(requests, accounts) {
                Ok(run) => run,
                Err(contradiction) => return Ok(Err(contradiction)),
            };
            let mut answer = run.answer.clone();
            let mut reader = StoredReader::new(journal, shard);
            resolve(&mut answer, |lsn| match run.record(lsn) {
                Some(record) => Ok((run.time_ns, record.clone())),
                None => reader.event(lsn).map(|event| (event.time_ns, event.record)),
            })?;
            Ok(Ok(dry_answers(&run, answer)))
        });
        judged.await?.map_err(|error| contradicted(&error))
    }

    /// What would become of something asked of schedules, and of the transfer that would follow. The
    /// inner error says why it would be refused.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_schedule(
        &self,
        ask: ScheduleAsk,
    ) -> Result<Judged<Result<(DrySchedule, Option<Answers>), ScheduleRejection>>, RequestError>
    {
        let (dry, answers, as_of) = self.dry_driven(DrivenAsk::Schedule(ask)).await?;
        let DryDriven::Schedule(dry) = dry else { unreachable!("schedules were asked for") };
        Ok(Judged { what: dry.map(|dry| (dry, answers)), as_of })
    }

    /// What would become of something asked of sagas, and of the request that would follow. The inner
    /// error says why it would be refused.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_saga(
        &self,
        ask: SagaAsk,
    ) -> Result<Judged<Result<(DrySaga, Option<Answers>), SagaRejection>>, RequestError> {
        let (dry, answers, as_of) = self.dry_driven(DrivenAsk::Saga(ask)).await?;
        let DryDriven::Saga(dry) = dry else { unreachable!("sagas were asked for") };
        Ok(Judged { what: dry.map(|dry| (dry, answers)), as_of })
    }

    async fn dry_driven(
        &self,
        ask: DrivenAsk,
    ) -> Result<(DryDriven, Option<Answers>, Lsn), RequestError> {
        self.check_disk()?;
        let (ask, mut original) = (Arc::new(ask), None);
        loop {
            let concerning = Concerning::Driven { ask: Arc::clone(&ask), original };
            let copied = self.read(|reply| Read::Copies { concerning, reply }).await?.what;
            let Copied { excerpt, accounts, unread, driven } = copied;
            let driven = driven.expect("it was asked for");
            let requests = driven_request(driven.request(), original);
            if !unread.is_empty() {
                // What would be asked for may be another by then; so its original is looked at again.
                let read = with_originals(&self.shared, requests, unread).await?;
                original = read.first().and_then(|request| request.refund()?.original);
                continue;
            }
            let as_of = excerpt.as_of();
            if requests.is_empty() {
                return Ok((driven, None, as_of));
            }
            let judged = self.judge(excerpt, accounts, requests).await?;
            return Ok((driven, Some(judged.answers), as_of));
        }
    }

    /// What would become of defining a schedule of fees. The inner error says why it cannot be.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_fee(
        &self,
        schedule: Schedule,
    ) -> Result<Judged<Result<DryFee, FeeFault>>, RequestError> {
        self.dry_fee(FeeChange::Define(schedule)).await
    }

    /// What would become of attaching the schedule of fees of this name, or none any more. The inner
    /// error says why it cannot be.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_attached_fee(
        &self,
        target: FeeTarget,
        name: Option<String>,
    ) -> Result<Judged<Result<DryFee, FeeFault>>, RequestError> {
        self.dry_fee(FeeChange::Attach(target, name)).await
    }

    async fn dry_fee(
        &self,
        change: FeeChange,
    ) -> Result<Judged<Result<DryFee, FeeFault>>, RequestError> {
        self.check_disk()?;
        let found = self.read(|reply| Read::DryFee { change, reply }).await?;
        Ok(Judged { what: found.what, as_of: found.lsn })
    }

    /// What would become of opening accounts, in order. The LSN of one that would be new is
    /// [`Lsn::ZERO`].
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_openings(
        &self,
        accounts: &[Opening],
    ) -> Result<Judged<Vec<AccountOutcome>>, RequestError> {
        check_size(accounts.len())?;
        self.check_disk()?;
        let ids = accounts.iter().map(|opening| opening.spec.id).collect();
        let copied = self.copies_of_accounts(ids).await?;
        let as_of = copied.excerpt.as_of();
        let outcomes = copied.excerpt.open(copied.accounts, accounts);
        let what = outcomes.into_iter().map(|outcome| match outcome {
            AccountOutcome::Opened(_) => AccountOutcome::Opened(Lsn::ZERO),
            AccountOutcome::Exists(lsn) if lsn > as_of => AccountOutcome::Exists(Lsn::ZERO),
            other => other,
        });
        Ok(Judged { what: what.collect(), as_of })
    }

    /// How an account would stand with another status. The inner error says why it cannot have it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_status(
        &self,
        account: AccountId,
        status: AccountStatus,
        reason: String,
    ) -> Result<Judged<Result<AccountShown, AccountRejection>>, RequestError> {
        self.dry_change(account, AccountChange::Status(status, reason)).await
    }

    /// What would be known of an account after a change. The inner error says why it cannot be.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_profile(
        &self,
        account: AccountId,
        change: ProfileChange,
    ) -> Result<Judged<Result<AccountShown, AccountRejection>>, RequestError> {
        self.dry_change(account, AccountChange::Profile(change)).await
    }

    /// How an account would stand with other limits. The inner error says why it cannot have them.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_limits(
        &self,
        account: AccountId,
        change: LimitsChange,
    ) -> Result<Judged<Result<AccountShown, AccountRejection>>, RequestError> {
        self.dry_change(account, AccountChange::Limits(change)).await
    }

    /// What an account would be watched for after a change. The inner error says why it cannot be.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn dry_run_watch(
        &self,
        account: AccountId,
        change: WatchChange,
    ) -> Result<Judged<Result<AccountShown, AccountRejection>>, RequestError> {
        self.dry_change(account, AccountChange::Watch(change)).await
    }

    async fn dry_change(
        &self,
        account: AccountId,
        change: AccountChange,
    ) -> Result<Judged<Result<AccountShown, AccountRejection>>, RequestError> {
        self.check_disk()?;
        let Copied { excerpt, accounts, .. } = self.copies_of_accounts(vec![account]).await?;
        let what = match change {
            AccountChange::Status(status, reason) => {
                excerpt.set_status(accounts, account, status, &reason)
            }
            AccountChange::Profile(change) => excerpt.change_profile(accounts, account, &change),
            AccountChange::Limits(change) => excerpt.change_limits(accounts, account, &change),
            AccountChange::Watch(change) => excerpt.change_watch(accounts, account, &change),
        };
        let what = what.map(|(view, details)| AccountShown { view, details });
        Ok(Judged { what, as_of: excerpt.as_of() })
    }

    async fn copies_of_accounts(&self, ids: Vec<AccountId>) -> Result<Copied, RequestError> {
        let concerning = Concerning::Accounts(ids);
        Ok(self.read(|reply| Read::Copies { concerning, reply }).await?.what)
    }
}
