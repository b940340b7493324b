//! Replay of holds, and what must hold of them at every LSN: each account has on hold what its
//! open holds set aside, and no more than it has.

use super::{Ledger, check_figures, check_posted, check_range, check_side};
use crate::account::Impossible;
use crate::holds::Holds;
use crate::ids::{Lsn, Slot};
use crate::partition::Leg;
use crate::record::{Captured, Figures, Held, Record};
use crate::request::{NEVER_NS, expiry_ns};
use crate::transfer::TransferKind;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use thiserror::Error;

/// An account has other than what its open holds set aside on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the account in slot {} has {on_hold} on hold, its open holds set {expected} aside", slot.0)]
pub struct HoldsDiffer {
    /// The account's slot.
    pub slot: Slot,
    /// On hold, minor units.
    pub on_hold: u128,
    /// What its open holds add up to, minor units.
    pub expected: u128,
}

/// Holds what accounts have on hold (`on_hold`, in any order, those without may be left out)
/// against the open holds.
///
/// # Errors
/// [`HoldsDiffer`]; the account with the lowest slot of those that are wrong.
pub fn check_holds(
    holds: &Holds,
    on_hold: impl Iterator<Item = (Slot, u128)>,
) -> Result<(), HoldsDiffer> {
    let mut left: HashMap<Slot, (u128, u128), FixedState> =
        HashMap::with_hasher(FixedState::default());
    for hold in holds.iter() {
        left.entry(hold.debit).or_default().0 += hold.remaining;
    }
    for (slot, on_hold) in on_hold.filter(|(_, on_hold)| *on_hold > 0) {
        left.entry(slot).or_default().1 += on_hold;
    }
    let wrong = left.into_iter().filter(|(_, (expected, on_hold))| expected != on_hold);
    match wrong.min_by_key(|(slot, _)| *slot) {
        None => Ok(()),
        Some((slot, (expected, on_hold))) => Err(HoldsDiffer { slot, on_hold, expected }),
    }
}

impl Ledger {
    /// Whether every account has on hold what its open holds set aside.
    ///
    /// # Errors
    /// [`HoldsDiffer`].
    pub fn check_holds(&self) -> Result<(), HoldsDiffer> {
        let accounts = self.partitions.iter().flat_map(crate::partition::Partition::accounts);
        let on_hold = accounts.map(|(slot, account)| (slot, account.on_hold()));
        check_holds(self.coordinator.holds(), on_hold)
    }

    /// Applies an event of a hold; `kind` is what stands around it.
    pub(super) fn apply_hold(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        record: &Record,
        kind: Option<TransferKind>,
    ) -> Result<(), Impossible> {
        match record {
            Record::Held(held) => return self.apply_held(lsn, time_ns, held, kind),
            Record::HoldRefused(refused) => {
                let parties = refused.debit.into_iter().chain(refused.credit);
                return self.check_refusal(lsn, refused.rejection, parties);
            }
            _ => {}
        }
        if let Record::Captured(captured) = record
            && let Some(hold) = self.coordinator.holds().get(captured.hold)
            && hold.kind != kind
        {
            let what = format!("a capture of hold {} is of another kind", hold.id);
            return Err(Impossible::Differs { lsn, what });
        }
        // Names an open hold, and so an account that exists, or nothing happens.
        self.coordinator.follow(lsn, time_ns, record)?;
        match record {
            Record::Captured(captured) => self.apply_captured(lsn, captured),
            Record::Voided(v) => self.give_back(lsn, v.debit, v.released, &v.debit_after),
            Record::Expired(e) => self.give_back(lsn, e.debit, e.released, &e.debit_after),
            Record::Extended(extended) => {
                let after = self.host(extended.debit).at(extended.debit).figures();
                check_after(lsn, &extended.debit_after, Leg { after, previous: Lsn::ZERO })
            }
            _ => Ok(()),
        }
    }

    fn apply_held(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        held: &Held,
        kind: Option<TransferKind>,
    ) -> Result<(), Impossible> {
        let Held { debit, credit, amount, timeout_ns, over_capture_max, debit_after, .. } = *held;
        check_range(lsn, amount)?;
        check_range(lsn, over_capture_max)?;
        self.check_slot(lsn, debit)?;
        self.check_slot(lsn, credit)?;
        let currency = |slot| self.host(slot).at(slot).currency();
        let same = debit == credit || currency(debit) != currency(credit);
        let expires_ns = expiry_ns(time_ns, timeout_ns);
        let over = expires_ns <= time_ns && expires_ns != NEVER_NS;
        if same || over || amount == 0 {
            let what = "no hold can be so".to_owned();
            return Err(Impossible::Differs { lsn, what });
        }
        self.coordinator.open_hold(lsn, time_ns, held, currency(debit), kind)?;
        let leg = self.host_mut(debit).apply_set_aside(debit, lsn, amount)?;
        check_after(lsn, &debit_after, leg)
    }

    fn apply_captured(&mut self, lsn: Lsn, captured: &Captured) -> Result<(), Impossible> {
        let Captured { debit, credit, amount, released, .. } = *captured;
        check_posted(lsn, &captured.posted())?;
        self.host_mut(debit).apply_give_back(debit, lsn, released)?;
        let host = self.host_mut(debit);
        let paid = host.apply_debit_held(debit, lsn, amount, released)?;
        let received = self.host_mut(credit).apply_credit(credit, lsn, amount)?;
        check_side(lsn, &captured.debit_side, paid)?;
        check_side(lsn, &captured.credit_side, received)
    }

    fn give_back(
        &mut self,
        lsn: Lsn,
        slot: Slot,
        amount: u128,
        after: &Figures,
    ) -> Result<(), Impossible> {
        let leg = self.host_mut(slot).apply_give_back(slot, lsn, amount)?;
        check_after(lsn, after, leg)
    }
}

fn check_after(lsn: Lsn, figures: &Figures, leg: Leg) -> Result<(), Impossible> {
    check_figures(lsn, figures.posted, figures.room)?;
    if figures.posted == leg.after.posted && figures.posted + figures.room == leg.after.available {
        return Ok(());
    }
    let what = format!("the journal says {figures:?}, the account comes to {leg:?}");
    Err(Impossible::Differs { lsn, what })
}
