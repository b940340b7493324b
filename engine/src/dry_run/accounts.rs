//! Dry runs of openings and changes of accounts: the throw-away ledger does them.

use super::{DryChange, Excerpt};
use crate::account::Account;
use crate::account_event::Opening;
use crate::ids::{AccountId, Slot};
use crate::ledger::Ledger;
use crate::limits::LimitsChange;
use crate::profile::ProfileChange;
use crate::transfer::{AccountOutcome, AccountRejection, AccountStatus};
use crate::watch::WatchChange;
use std::sync::Arc;

/// What would become of openings, one by one; the LSN of one that is new is the one it would get.
pub type DryOpenings = Vec<AccountOutcome>;

impl Excerpt {
    /// What would become of openings, in order; `accounts` are the copies of [`Self::slots`].
    ///
    /// # Panics
    /// When a copy is missing.
    #[must_use]
    pub fn open(&self, accounts: Vec<(Slot, Account)>, openings: &[Opening]) -> DryOpenings {
        let mut ledger = self.ledger(accounts);
        openings.iter().map(|opening| open(&mut ledger, opening)).collect()
    }

    /// How an account would stand with another status, and why it cannot have it.
    ///
    /// # Errors
    /// [`AccountRejection`].
    ///
    /// # Panics
    /// When a copy is missing.
    pub fn set_status(
        &self,
        accounts: Vec<(Slot, Account)>,
        account: AccountId,
        status: AccountStatus,
        reason: &str,
    ) -> Result<DryChange, AccountRejection> {
        self.change(accounts, account, |ledger, slot| {
            // One that has it gets it again by another reason alone.
            let has_it = ledger.view(slot).is_some_and(|view| view.status == status);
            let details = ledger.coordinator.profiles.get(slot);
            let note = details.and_then(|details| details.note.as_ref());
            let same = note.map_or("", |note| note.reason.as_str()) == reason;
            if has_it && (reason.is_empty() || same) {
                return Ok(());
            }
            ledger.set_status(slot, status, reason).map(drop)
        })
    }

    /// How an account would stand with other limits, or why it cannot have them.
    ///
    /// # Errors
    /// [`AccountRejection`].
    ///
    /// # Panics
    /// When a copy is missing.
    pub fn change_limits(
        &self,
        accounts: Vec<(Slot, Account)>,
        account: AccountId,
        change: &LimitsChange,
    ) -> Result<DryChange, AccountRejection> {
        self.change(accounts, account, |ledger, slot| ledger.change_limits(slot, change).map(drop))
    }

    /// What would be known of an account after a change, or why it cannot be.
    ///
    /// # Errors
    /// [`AccountRejection`].
    ///
    /// # Panics
    /// When a copy is missing.
    pub fn change_profile(
        &self,
        accounts: Vec<(Slot, Account)>,
        account: AccountId,
        change: &ProfileChange,
    ) -> Result<DryChange, AccountRejection> {
        self.change(accounts, account, |ledger, slot| {
            ledger.coordinator.change_profile(slot, change).map(drop)
        })
    }

    /// What an account's watches would be after a change, or why they cannot be.
    ///
    /// # Errors
    /// [`AccountRejection`].
    ///
    /// # Panics
    /// When a copy is missing.
    pub fn change_watch(
        &self,
        accounts: Vec<(Slot, Account)>,
        account: AccountId,
        change: &WatchChange,
    ) -> Result<DryChange, AccountRejection> {
        self.change(accounts, account, |ledger, slot| {
            ledger.coordinator.change_watch(slot, change).map(drop)
        })
    }

    fn change(
        &self,
        accounts: Vec<(Slot, Account)>,
        account: AccountId,
        change: impl FnOnce(&mut Ledger, Slot) -> Result<(), AccountRejection>,
    ) -> Result<DryChange, AccountRejection> {
        let mut ledger = self.ledger(accounts);
        let listing = ledger.coordinator.directory.get(account);
        let slot = listing.ok_or(AccountRejection::Unknown)?.slot;
        change(&mut ledger, slot)?;
        let view = ledger.view(slot).ok_or(AccountRejection::Unknown)?;
        Ok((view, ledger.coordinator.profiles.get(slot).map(Arc::clone)))
    }
}

fn open(ledger: &mut Ledger, opening: &Opening) -> AccountOutcome {
    let Some(listing) = ledger.coordinator.directory.get(opening.spec.id) else {
        return match ledger.open_with(opening) {
            Ok((lsn, _)) => AccountOutcome::Opened(lsn),
            Err(why) => AccountOutcome::Refused(why),
        };
    };
    let same = |view: &crate::transfer::AccountView| {
        ledger.coordinator.was_opened_so(listing.slot, &view.spec, opening)
    };
    match ledger.view(listing.slot).filter(same) {
        Some(view) => AccountOutcome::Exists(view.opened_lsn),
        None => AccountOutcome::Refused(AccountRejection::ExistsDifferent),
    }
}
