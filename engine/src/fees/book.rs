//! The schedules there are, and what they are attached to.

use super::{ACCOUNTS_MAX, FeeFault, SCHEDULES_MAX, Schedule, assess};
use crate::ids::Slot;
use crate::money::CurrencyId;
use crate::transfer::TransferKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a schedule is attached to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Target {
    /// All transfers, captures and refunds of this kind in this currency.
    Kind {
        /// The number of the kind.
        kind: u8,
        /// The currency.
        currency: CurrencyId,
    },
    /// All transfers and captures that this account pays, of whatever kind; it goes before the kind's.
    Account(Slot),
}

/// All schedules, numbered in the order of their first definition from 0 on, and what they are
/// attached to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Fees {
    schedules: Vec<Entry>,
    kinds: BTreeMap<(u8, CurrencyId), u32>,
    accounts: BTreeMap<Slot, u32>,
}

/// A schedule, and the slot of the account that gets it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Entry {
    schedule: Schedule,
    slot: Slot,
}

/// A fee that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// The schedule's number.
    pub schedule: u32,
    /// The account that gets it.
    pub slot: Slot,
    /// Minor units, at least 1.
    pub amount: u128,
}

impl Fees {
    /// Whether no schedule was ever defined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.schedules.is_empty()
    }

    /// Whether a schedule is attached to anything: else nothing is ever due.
    #[must_use]
    #[inline]
    pub fn are_attached(&self) -> bool {
        !self.kinds.is_empty() || !self.accounts.is_empty()
    }

    /// All schedules in the order of their numbers.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.schedules.iter().map(|entry| &entry.schedule)
    }

    /// The schedule with this number.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&Schedule> {
        self.schedules.get(number as usize).map(|entry| &entry.schedule)
    }

    /// The slot of the account that gets the fees of this schedule.
    #[must_use]
    pub(crate) fn slot(&self, number: u32) -> Option<Slot> {
        self.schedules.get(number as usize).map(|entry| entry.slot)
    }

    /// The number of the schedule with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u32> {
        let at = self.schedules.iter().position(|entry| entry.schedule.name == name)?;
        u32::try_from(at).ok()
    }

    /// What schedules are attached to, kinds first.
    pub fn attachments(&self) -> impl Iterator<Item = (Target, u32)> {
        let kinds = self.kinds.iter();
        let kinds = kinds.map(|((kind, currency), number)| {
            (Target::Kind { kind: *kind, currency: *currency }, *number)
        });
        let accounts = self.accounts.iter();
        kinds.chain(accounts.map(|(slot, number)| (Target::Account(*slot), *number)))
    }

    /// The schedule that is attached to this and nothing else.
    #[must_use]
    pub fn attached_to(&self, target: Target) -> Option<u32> {
        match target {
            Target::Kind { kind, currency } => self.kinds.get(&(kind, currency)).copied(),
            Target::Account(slot) => self.accounts.get(&slot).copied(),
        }
    }

    /// The same schedules under the same numbers, with accounts named by the slots that `here` gives
    /// them; nothing is attached to those that it does not know, and none of them gets a fee.
    pub(crate) fn relocated(&self, here: impl Fn(Slot) -> Option<Slot>) -> Self {
        let entry = |entry: &Entry| Entry {
            schedule: entry.schedule.clone(),
            slot: here(entry.slot).unwrap_or(Slot(u32::MAX)),
        };
        let accounts = self.accounts.iter();
        Self {
            schedules: self.schedules.iter().map(entry).collect(),
            kinds: self.kinds.clone(),
            accounts: accounts.filter_map(|(slot, number)| Some((here(*slot)?, *number))).collect(),
        }
    }

    /// Whether the schedule could be defined or changed so, its account being in `slot`.
    ///
    /// # Errors
    /// [`FeeFault`].
    pub fn check(&self, schedule: &Schedule) -> Result<(), FeeFault> {
        schedule.check()?;
        match self.find(&schedule.name).and_then(|number| self.get(number)) {
            Some(there) if there.currency != schedule.currency => Err(FeeFault::CurrencyFixed),
            None if self.schedules.len() >= SCHEDULES_MAX => Err(FeeFault::Full),
            _ => Ok(()),
        }
    }

    /// Defines a schedule, or changes the one of this name from now on; its number.
    pub(crate) fn define(&mut self, schedule: Schedule, slot: Slot) -> u32 {
        let entry = Entry { schedule, slot };
        match self.find(&entry.schedule.name) {
            Some(number) => {
                self.schedules[number as usize] = entry;
                number
            }
            None => {
                self.schedules.push(entry);
                u32::try_from(self.schedules.len() - 1).expect("bounded")
            }
        }
    }

    /// Whether a schedule could be attached to this.
    ///
    /// # Errors
    /// [`FeeFault`].
    pub(crate) fn check_target(&self, target: Target) -> Result<(), FeeFault> {
        match target {
            Target::Kind { kind, .. } if kind == TransferKind::Fee.number() => {
                Err(FeeFault::KindWithoutFee)
            }
            Target::Account(slot)
                if self.accounts.len() >= ACCOUNTS_MAX && !self.accounts.contains_key(&slot) =>
            {
                Err(FeeFault::Full)
            }
            _ => Ok(()),
        }
    }

    /// Attaches a schedule, in the place of the one that was, or none any more.
    pub(crate) fn attach(&mut self, target: Target, number: Option<u32>) {
        match (target, number) {
            (Target::Kind { kind, currency }, Some(number)) => {
                self.kinds.insert((kind, currency), number);
            }
            (Target::Kind { kind, currency }, None) => {
                self.kinds.remove(&(kind, currency));
            }
            (Target::Account(slot), Some(number)) => {
                self.accounts.insert(slot, number);
            }
            (Target::Account(slot), None) => {
                self.accounts.remove(&slot);
            }
        }
    }

    /// The schedule by which a transfer of this kind, paid by the account in `debit` in this
    /// currency, has its fee. An account's own goes before its kind's. None is taken for a fee, and
    /// none of the account that would get it.
    #[must_use]
    pub fn schedule_for(
        &self,
        kind: TransferKind,
        debit: Slot,
        currency: CurrencyId,
    ) -> Option<u32> {
        if kind == TransferKind::Fee {
            return None;
        }
        let own = self.accounts.get(&debit);
        let number = *own.or_else(|| self.kinds.get(&(kind.number(), currency)))?;
        self.if_paid(number, debit, currency)
    }

    /// The schedule by which a refund that the account in `debit` pays in this currency has its fee:
    /// that of the kind `refund`. What is attached to the account is for what it buys, not for what
    /// it gives back.
    #[must_use]
    pub fn schedule_for_refund(&self, debit: Slot, currency: CurrencyId) -> Option<u32> {
        let number = *self.kinds.get(&(TransferKind::Refund.number(), currency))?;
        self.if_paid(number, debit, currency)
    }

    /// A schedule is one for others than the account that gets its fees.
    fn if_paid(&self, number: u32, debit: Slot, currency: CurrencyId) -> Option<u32> {
        let entry = self.schedules.get(number as usize)?;
        (entry.slot != debit && entry.schedule.currency == currency).then_some(number)
    }

    /// What is due for such a transfer of `amount`; `None` where nothing is.
    #[must_use]
    pub fn due(
        &self,
        kind: TransferKind,
        debit: Slot,
        currency: CurrencyId,
        amount: u128,
    ) -> Option<Due> {
        self.due_by(self.schedule_for(kind, debit, currency)?, amount)
    }

    /// What is due by the schedule of this number for `amount`; `None` where nothing is.
    #[must_use]
    pub(crate) fn due_by(&self, schedule: u32, amount: u128) -> Option<Due> {
        let entry = self.schedules.get(schedule as usize)?;
        let amount = assess(&entry.schedule.rule, amount);
        (amount > 0).then_some(Due { schedule, slot: entry.slot, amount })
    }

    /// The accounts that get fees, one for each schedule.
    pub(crate) fn receivers(&self) -> impl Iterator<Item = Slot> {
        self.schedules.iter().map(|entry| entry.slot)
    }

    /// Why it cannot be what events led to: for what was read from a snapshot. `hosts` tells what
    /// the account in a slot holds, and whether it is external.
    ///
    /// # Errors
    /// The reason.
    pub fn check_whole(
        &self,
        hosts: impl Fn(Slot) -> Option<(CurrencyId, bool)>,
    ) -> Result<(), &'static str> {
        let sound = |entry: &Entry| {
            let held_in = hosts(entry.slot);
            entry.schedule.check().is_ok() && held_in == Some((entry.schedule.currency, false))
        };
        if self.schedules.len() > SCHEDULES_MAX || !self.schedules.iter().all(sound) {
            return Err("a schedule of fees is none that can be");
        }
        let known = |number: &u32| (*number as usize) < self.schedules.len();
        if !self.kinds.values().chain(self.accounts.values()).all(known) {
            return Err("a schedule is attached that was never defined");
        }
        if self.accounts.len() > ACCOUNTS_MAX
            || !self.accounts.keys().all(|slot| hosts(*slot).is_some())
        {
            return Err("a schedule is attached to an account that is not there");
        }
        Ok(())
    }
}
