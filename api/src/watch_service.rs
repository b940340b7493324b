//! The part of the service `Ledger` that is about watches.

use crate::convert::{self, limits, watches};
use crate::identity::{Caller, checks};
use crate::ledger_service::{LedgerService, tried};
use crate::proto;
use crate::status;
use ducat_actors::handle::AccountShown;
use ducat_engine::ids::AccountId;
use ducat_engine::money::Currency;
use ducat_engine::transfer::AccountRejection;
use ducat_engine::watch::{Watch, WatchChange};
use tonic::Status;

impl LedgerService {
    /// An account and what it holds, and the event as of which it stands so.
    async fn watchable(&self, id: AccountId) -> Result<(AccountShown, Currency, u64), Status> {
        let at = self.handle().accounts(vec![id]).await.map_err(status::request)?;
        let shown = at.accounts.into_iter().next().flatten();
        let shown = shown.ok_or_else(|| status::account(id, AccountRejection::Unknown))?;
        let currency = limits::currency_of(&shown, &self.handle().currencies())
            .ok_or_else(|| status::internal("an account's currency is unknown"))?;
        Ok((shown, currency, at.lsn.0))
    }

    /// Changes an account's watches, or tries that.
    async fn change_watch(
        &self,
        id: AccountId,
        change: WatchChange,
        dry_run: bool,
    ) -> Result<(AccountShown, u64), Status> {
        let (shown, lsn) = if dry_run {
            tried(self.handle().dry_run_watch(id, change).await)?
        } else {
            (self.handle().change_watch(id, change).await.map_err(status::request)?, 0)
        };
        let shown = shown.map_err(|rejection| status::account(id, rejection))?;
        Ok((shown, lsn))
    }

    pub(crate) async fn add_one_watch(
        &self,
        caller: &Caller,
        request: proto::AddWatchRequest,
    ) -> Result<proto::AddWatchResponse, Status> {
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(self.handle(), caller, &[id]).await?;
        // What it holds never changes, so it may be asked before.
        let (_, currency, _) = self.watchable(id).await?;
        let change = watches::addition(&request, &currency)?;
        let (shown, dry_run_lsn) = self.change_watch(id, change, request.dry_run).await?;
        let named = |watch: &&Watch| watch.removed.is_none() && watch.name == request.name;
        let details = shown.details.as_deref();
        let watch = details.and_then(|details| details.watches.iter().find(named));
        let watch = watch.map(|watch| watches::watch(watch, currency.digits));
        let watch = watch.map(|watch| match dry_run_lsn {
            0 => watch,
            as_of => proto::Watch {
                added_lsn: if watch.added_lsn > as_of { 0 } else { watch.added_lsn },
                ..watch
            },
        });
        Ok(proto::AddWatchResponse { watch, dry_run_lsn })
    }

    pub(crate) async fn remove_one_watch(
        &self,
        caller: &Caller,
        request: proto::RemoveWatchRequest,
    ) -> Result<proto::RemoveWatchResponse, Status> {
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(self.handle(), caller, &[id]).await?;
        let change = watches::removal(&request.name)?;
        let (_, dry_run_lsn) = self.change_watch(id, change, request.dry_run).await?;
        Ok(proto::RemoveWatchResponse { dry_run_lsn })
    }

    pub(crate) async fn watches_of(
        &self,
        caller: &Caller,
        request: proto::ListWatchesRequest,
    ) -> Result<proto::ListWatchesResponse, Status> {
        let id = convert::account_id(request.id_high, request.id)?;
        checks::accounts(self.handle(), caller, &[id]).await?;
        let (shown, currency, lsn) = self.watchable(id).await?;
        let all = shown.details.as_deref().map_or(&[][..], |details| &details.watches);
        let there = all.iter().filter(|watch| watch.removed.is_none());
        let watches = there.map(|watch| watches::watch(watch, currency.digits)).collect();
        Ok(proto::ListWatchesResponse { watches, lsn })
    }
}
