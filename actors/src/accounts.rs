//! Accounts in the coordinator: opened, changed, listed by what is known of them. Done between
//! two batches of transfers, so each change sees and leaves a state of one LSN.
//!
//! ```text
//! Task ─▶ partition checks ─▶ rules: LSN, record ─▶ partition does ─▶ journal ─▶ answer
//! Read::Page ─▶ Profiles::candidates ─▶ partitions: views ─▶ Filter::fits ─▶ page
//! ```

use crate::coordinator::CoordinatorState;
use crate::handle::ACCOUNTS_PAGE_MAX;
use crate::partition::PartitionMsg;
use crate::tasks::{AccountChange, ChangeResult, Described, Page};
use ducat_engine::account_event::Opening;
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::limits::{Limits, LimitsChange};
use ducat_engine::profile::{Details, Filter};
use ducat_engine::record::Record;
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountStatus, AccountView, BalanceAfter,
};
use ractor::ActorProcessingErr;
use std::collections::HashMap;
use tokio::sync::oneshot;

type Done<T> = Result<T, ActorProcessingErr>;

type Events = Vec<(Lsn, Record)>;

/// The event of a change, `None` where nothing changed, or why not.
type Changed = Result<Option<(Lsn, Record)>, AccountRejection>;

/// Most accounts of which one page of a filtered list looks at what is known.
const LOOKS_MAX: usize = 10_000;

/// A page ends once the texts on it have so many bytes, so that its answer fits a message.
const PAGE_TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

impl CoordinatorState {
    /// Opens accounts, in order.
    pub(crate) async fn open_accounts(
        &mut self,
        accounts: &[Opening],
    ) -> Done<(Events, Vec<AccountOutcome>)> {
        let mut events = Vec::new();
        let mut outcomes = Vec::with_capacity(accounts.len());
        let mut opened = vec![Vec::new(); self.partitions.len()];
        let mut existing = Vec::new();
        for (at, opening) in accounts.iter().enumerate() {
            if let Some(listing) = self.rules.directory().get(opening.spec.id) {
                existing.push((at, listing.slot));
                outcomes.push(AccountOutcome::Refused(AccountRejection::ExistsDifferent));
                continue;
            }
            match self.rules.open_with(opening) {
                Err(why) => outcomes.push(AccountOutcome::Refused(why)),
                Ok((slot, lsn, record)) => {
                    let partition = self.rules.layout().partition_of(slot);
                    opened[partition].push((slot, opening.spec, opening.bounds, lsn));
                    events.push((lsn, record));
                    outcomes.push(AccountOutcome::Opened(lsn));
                }
            }
        }
        for (partition, accounts) in self.partitions.iter().zip(opened) {
            let (reply, answer) = oneshot::channel();
            partition.cast(PartitionMsg::Open { accounts, reply })?;
            answer.await?;
        }
        let views: HashMap<Slot, AccountView> = self
            .views(existing.iter().map(|(_, slot)| *slot).collect())
            .await?
            .into_iter()
            .collect();
        for (at, slot) in existing {
            let same =
                |view: &&AccountView| self.rules.was_opened_so(slot, &view.spec, &accounts[at]);
            if let Some(view) = views.get(&slot).filter(same) {
                outcomes[at] = AccountOutcome::Exists(view.opened_lsn);
            }
        }
        Ok((events, outcomes))
    }

    /// Changes an account; no event where that changes nothing.
    pub(crate) async fn change_account(
        &mut self,
        account: AccountId,
        change: AccountChange,
    ) -> Done<(Events, ChangeResult)> {
        let Some(listing) = self.rules.directory().get(account) else {
            return Ok((Vec::new(), Err(AccountRejection::Unknown)));
        };
        let slot = listing.slot;
        let changed = match change {
            AccountChange::Profile(change) => self.rules.change_profile(slot, &change),
            AccountChange::Status(status, reason) => {
                self.change_status(slot, status, &reason).await?
            }
            AccountChange::Limits(change) => self.change_limits(slot, &change).await?,
            AccountChange::Watch(change) => self.rules.change_watch(slot, &change),
        };
        let event = match changed {
            Err(why) => return Ok((Vec::new(), Err(why))),
            Ok(event) => event,
        };
        let view = self.view(slot).await?;
        let view = view.map(|view| self.describe(slot, view)).ok_or(AccountRejection::Unknown);
        Ok((event.into_iter().collect(), view))
    }

    async fn change_status(
        &mut self,
        slot: Slot,
        status: AccountStatus,
        reason: &str,
    ) -> Done<Changed> {
        let (reply, answer) = oneshot::channel();
        self.host(slot).cast(PartitionMsg::CheckStatus { slot, status, reply })?;
        if let Err(why) = answer.await? {
            return Ok(Err(why));
        }
        let is_so = self.view(slot).await?.is_some_and(|view| view.status == status);
        if is_so && (reason.is_empty() || self.reason(slot) == reason) {
            return Ok(Ok(None));
        }
        let changed = self.rules.change_status(slot, status, reason);
        if let Ok((lsn, _)) = &changed {
            let (reply, answer) = oneshot::channel();
            let lsn = *lsn;
            self.host(slot).cast(PartitionMsg::SetStatus { slot, lsn, status, reply })?;
            answer.await?;
        }
        Ok(changed.map(Some))
    }

    async fn change_limits(&mut self, slot: Slot, change: &LimitsChange) -> Done<Changed> {
        let Some(view) = self.view(slot).await? else {
            return Ok(Err(AccountRejection::Unknown));
        };
        let (overdraft_limit, bounds) = (view.spec.overdraft_limit, view.bounds);
        let now = Limits { overdraft_limit, bounds };
        let limits = now.changed(change);
        if limits == now {
            return Ok(Ok(None));
        }
        // Between two batches nothing is prepared: what is posted and on hold is all there is.
        if let Err(why) = limits.check(view.spec.external, view.posted, view.on_hold) {
            return Ok(Err(why));
        }
        let figures = BalanceAfter { posted: view.posted, available: view.available };
        let (lsn, record) = self.rules.change_limits(slot, &view.spec, limits, figures);
        let (reply, answer) = oneshot::channel();
        self.host(slot).cast(PartitionMsg::SetLimits { slot, lsn, limits, reply })?;
        answer.await?;
        Ok(Ok(Some((lsn, record))))
    }

    async fn view(&self, slot: Slot) -> Done<Option<AccountView>> {
        Ok(self.views(vec![slot]).await?.first().map(|(_, view)| *view))
    }

    /// Why an account has its status; empty where no reason was given.
    fn reason(&self, slot: Slot) -> &str {
        let note = self.rules.profiles().get(slot).and_then(|details| details.note.as_ref());
        note.map_or("", |note| &note.reason)
    }

    /// An account with what is known of it.
    pub(crate) fn describe(&self, slot: Slot, view: AccountView) -> Described {
        Described { slot, view, details: self.rules.profiles().get(slot).cloned() }
    }

    /// The accounts that a filter asks for, in order, from `from` on: at most `limit`, and fewer
    /// where much had to be looked at or their texts are long.
    pub(crate) async fn page(&self, filter: &Filter, from: Slot, limit: usize) -> Done<Page> {
        let rules = &self.rules;
        let end = Slot(u32::try_from(rules.directory().len()).unwrap_or(u32::MAX));
        // Where accounts must be asked, few may pass: more are asked than the page holds.
        let most = if filter.asks_for_standing() { ACCOUNTS_PAGE_MAX } else { limit };
        let (slots, mut next) = rules.profiles().candidates(filter, (from, end), most, LOOKS_MAX);
        let mut views = self.views(slots).await?;
        views.sort_unstable_by_key(|(slot, _)| *slot);
        let mut page = Vec::new();
        let mut text_bytes = 0;
        for (slot, view) in views {
            if page.len() == limit || text_bytes >= PAGE_TEXT_BYTES_MAX {
                next = Some(slot);
                break;
            }
            let described = self.describe(slot, view);
            if filter.fits(&view, described.details.as_deref()) {
                text_bytes += described.details.as_deref().map_or(0, Details::text_bytes);
                page.push(described);
            }
        }
        Ok((page, next))
    }
}
