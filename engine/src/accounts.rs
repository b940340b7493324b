//! Openings and changes of accounts: the coordinator's part, which gives them their LSNs and
//! keeps what is known beside the money, and the same events in replay.
//!
//! ```text
//! live:   Partition checks ─▶ Coordinator::open_with, change_* ─▶ record ─▶ Partition does
//! replay: record ─▶ Ledger::apply_account ─▶ the same stores
//! ```

use crate::account::Impossible;
use crate::account::signed;
use crate::account_event::{AccountEvent, Change, LimitsFrom, Opening};
use crate::coordinator::Coordinator;
use crate::ids::{Lsn, Slot};
use crate::ledger::Ledger;
use crate::limits::{Limits, LimitsChange};
use crate::money::AMOUNT_MAX;
use crate::profile::{Profile, ProfileChange, check_reason};
use crate::record::Record;
use crate::transfer::{AccountRejection, AccountSpec, AccountStatus, BalanceAfter};
use crate::watch::WatchChange;

impl Coordinator {
    /// Lists a new account with all that is known of it, and gives its opening an LSN.
    ///
    /// # Errors
    /// As [`Self::open_account`], and [`AccountRejection::Text`]. Nothing changed then.
    pub fn open_with(
        &mut self,
        opening: &Opening,
    ) -> Result<(Slot, Lsn, Record), AccountRejection> {
        opening.profile.check()?;
        if opening.spec.overdraft_limit <= AMOUNT_MAX {
            opening.limits().check(opening.spec.external, 0, 0)?;
        }
        let (slot, lsn, plain) = self.open_account(&opening.spec)?;
        if opening.is_plain() {
            return Ok((slot, lsn, plain));
        }
        self.profiles.open(slot, opening);
        Ok((slot, lsn, Record::Account(Box::new(AccountEvent::Opened(opening.clone())))))
    }

    /// Whether an account was opened with this very content, given how it stands.
    #[must_use]
    pub fn was_opened_so(&self, slot: Slot, spec: &AccountSpec, opening: &Opening) -> bool {
        match self.profiles.get(slot).and_then(|details| details.opening) {
            Some(mark) => mark == opening.mark(),
            None => *spec == opening.spec && opening.is_plain(),
        }
    }

    /// Gives an account's change of status an LSN; its partition has checked it.
    ///
    /// # Errors
    /// [`AccountRejection::Text`]; nothing changed then.
    pub fn change_status(
        &mut self,
        slot: Slot,
        status: AccountStatus,
        reason: &str,
    ) -> Result<(Lsn, Record), AccountRejection> {
        check_reason(reason)?;
        Ok(self.change(slot, Change::Status { status, reason: reason.to_owned() }))
    }

    /// Changes what is known of an account, and gives the change an LSN; `None` when it would
    /// change nothing.
    ///
    /// # Errors
    /// [`AccountRejection::Text`]; nothing changed then.
    pub fn change_profile(
        &mut self,
        slot: Slot,
        change: &ProfileChange,
    ) -> Result<Option<(Lsn, Record)>, AccountRejection> {
        let none = Profile::default();
        let profile = self.profiles.get(slot).map_or(&none, |details| &details.profile);
        let change = change.effective(profile);
        if change.is_empty() {
            return Ok(None);
        }
        profile.changed(&change).check()?;
        Ok(Some(self.change(slot, Change::Profile(change))))
    }

    /// Gives an account's change of limits an LSN; [`Limits::check`] was asked. `spec` is how
    /// the account stands before, and `now` are its figures.
    pub fn change_limits(
        &mut self,
        slot: Slot,
        spec: &AccountSpec,
        limits: Limits,
        now: BalanceAfter,
    ) -> (Lsn, Record) {
        self.profiles.note_opening(slot, spec);
        let BalanceAfter { posted, available: before } = now;
        let more = signed(limits.overdraft_limit) - signed(spec.overdraft_limit);
        let after = if spec.external { before } else { before + more };
        let watched = self.profiles.get(slot).is_some_and(|details| details.is_watched());
        let change = match watched {
            true => Change::LimitsFrom(LimitsFrom { limits, posted, before, after }),
            false => Change::Limits(limits),
        };
        self.change(slot, change)
    }

    /// Changes an account's watches, and gives the change an LSN; `None` when it would change
    /// nothing.
    ///
    /// # Errors
    /// Why not; nothing changed then.
    pub fn change_watch(
        &mut self,
        slot: Slot,
        change: &WatchChange,
    ) -> Result<Option<(Lsn, Record)>, AccountRejection> {
        let watches = self.profiles.get(slot).map_or(&[][..], |details| &details.watches);
        let changes = change.judge(watches)?;
        Ok(changes.then(|| self.change(slot, Change::Watch(change.clone()))))
    }

    fn change(&mut self, slot: Slot, change: Change) -> (Lsn, Record) {
        let lsn = self.next_event();
        let back = self.profiles.back(slot, lsn);
        self.profiles.apply(lsn, slot, back, &change).expect("it was checked");
        (lsn, Record::Account(Box::new(AccountEvent::Changed { slot, back, change })))
    }
}

impl Ledger {
    /// Opens an account with all that is known of it, as [`Coordinator::open_with`] and the
    /// partition do together.
    ///
    /// # Errors
    /// Why the account is not opened.
    pub fn open_with(&mut self, opening: &Opening) -> Result<(Lsn, Record), AccountRejection> {
        let (slot, lsn, record) = self.coordinator.open_with(opening)?;
        let opened = self.host_mut(slot).open_within(slot, &opening.spec, opening.bounds, lsn);
        opened.expect("the directory gives slots in order");
        Ok((lsn, record))
    }

    /// Changes a status, as the partition and [`Coordinator::change_status`] do together.
    ///
    /// # Errors
    /// Why not; nothing changed then.
    pub fn set_status(
        &mut self,
        slot: Slot,
        status: AccountStatus,
        reason: &str,
    ) -> Result<(Lsn, Record), AccountRejection> {
        let account = self.host(slot).account(slot).ok_or(AccountRejection::Unknown)?;
        account.check_status(status)?;
        let (lsn, record) = self.coordinator.change_status(slot, status, reason)?;
        self.host_mut(slot).set_status(slot, lsn, status).expect("it was checked");
        Ok((lsn, record))
    }

    /// Changes limits, as the partition and [`Coordinator::change_limits`] do together; `None`
    /// when that would change nothing.
    ///
    /// # Errors
    /// Why not; nothing changed then.
    pub fn change_limits(
        &mut self,
        slot: Slot,
        change: &LimitsChange,
    ) -> Result<Option<(Lsn, Record)>, AccountRejection> {
        let account = self.host(slot).account(slot).ok_or(AccountRejection::Unknown)?;
        let (spec, now) = (account.spec(), account.limits());
        let limits = now.changed(change);
        if limits == now {
            return Ok(None);
        }
        limits.check(spec.external, account.posted(), account.on_hold())?;
        let figures = account.figures();
        let (lsn, record) = self.coordinator.change_limits(slot, &spec, limits, figures);
        self.host_mut(slot).set_limits(slot, lsn, &limits).expect("it was checked");
        Ok(Some((lsn, record)))
    }

    pub(crate) fn apply_account(
        &mut self,
        lsn: Lsn,
        event: &AccountEvent,
    ) -> Result<(), Impossible> {
        match event {
            AccountEvent::Opened(opening) => {
                let differs = |what: String| Impossible::Differs { lsn, what };
                opening.profile.check().map_err(|fault| differs(fault.to_string()))?;
                if opening.is_plain() {
                    return Err(differs("a plain opening in the long form".to_owned()));
                }
                let limits = opening.limits().check(opening.spec.external, 0, 0);
                limits.map_err(|why| differs(why.to_string()))?;
                let slot = self.apply_opened(lsn, &opening.spec, opening.bounds)?;
                self.coordinator.profiles.open(slot, opening);
            }
            AccountEvent::Changed { slot, back, change } => {
                self.check_slot(lsn, *slot)?;
                if change.limits().is_some() {
                    let spec = self.host(*slot).at(*slot).spec();
                    self.coordinator.profiles.note_opening(*slot, &spec);
                }
                self.coordinator.profiles.apply(lsn, *slot, *back, change)?;
                match change {
                    Change::Status { status, .. } => {
                        self.host_mut(*slot).set_status(*slot, lsn, *status)?;
                    }
                    Change::Limits(limits) => {
                        self.host_mut(*slot).set_limits(*slot, lsn, limits)?;
                    }
                    Change::LimitsFrom(changed) => {
                        let figures = |posted, available| BalanceAfter { posted, available };
                        let before = figures(changed.posted, changed.before);
                        let differs = || Impossible::Differs {
                            lsn,
                            what: format!(
                                "slot {} stood elsewhere when its limits changed",
                                slot.0
                            ),
                        };
                        if self.host(*slot).at(*slot).figures() != before {
                            return Err(differs());
                        }
                        self.host_mut(*slot).set_limits(*slot, lsn, &changed.limits)?;
                        let after = figures(changed.posted, changed.after);
                        if self.host(*slot).at(*slot).figures() != after {
                            return Err(differs());
                        }
                    }
                    Change::Profile(_) | Change::Watch(_) => {}
                }
            }
        }
        Ok(())
    }
}
