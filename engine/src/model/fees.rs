//! Fees in the plainest possible way: schedules by name, and what is due worked out from the top tier
//! down.

use super::holds::{HoldBook, Move};
use super::refunds::Found;
use super::{SerialLedger, movement};
use crate::coordinator::FeeTarget;
use crate::fees::{
    ACCOUNTS_MAX, FeeFault, FeeNote, FeeRule, NAME_BYTES_MAX, Rounding, SCHEDULES_MAX, Schedule,
    TIERS_MAX,
};
use crate::ids::{AccountId, Lsn};
use crate::money::{AMOUNT_MAX, CurrencyId};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::transfer::TransferKind;
use std::collections::HashMap;

/// All schedules, in the order of their first definition, and what they are attached to.
#[derive(Clone, Debug, Default)]
pub(super) struct FeeBook {
    schedules: Vec<Schedule>,
    kinds: HashMap<(TransferKind, CurrencyId), usize>,
    accounts: HashMap<AccountId, usize>,
}

/// A fee that is due for a member of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    pub debit: AccountId,
    pub to: AccountId,
    pub note: FeeNote,
}

impl FeeBook {
    /// The schedule for what this account pays.
    fn of(&self, kind: TransferKind, debit: AccountId, held_in: CurrencyId) -> Option<usize> {
        if kind == TransferKind::Fee {
            return None;
        }
        let number = match self.accounts.get(&debit) {
            Some(own) => *own,
            None => *self.kinds.get(&(kind, held_in))?,
        };
        (self.schedules[number].account != debit).then_some(number)
    }
}

impl SerialLedger {
    /// Defines a schedule of fees or changes it. What changes nothing is no event.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    pub fn define_fee(&mut self, schedule: &Schedule) -> Result<Option<Lsn>, FeeFault> {
        check_schedule(schedule)?;
        let there = self.fees.schedules.iter().position(|known| known.name == schedule.name);
        if there.is_some_and(|at| self.fees.schedules[at].currency != schedule.currency) {
            return Err(FeeFault::CurrencyFixed);
        }
        if there.is_none() && self.fees.schedules.len() == SCHEDULES_MAX {
            return Err(FeeFault::Full);
        }
        if self.currencies.by_id(schedule.currency).is_none() {
            return Err(FeeFault::CurrencyUnknown);
        }
        let book = self.accounts.get(&schedule.account).ok_or(FeeFault::AccountUnknown)?;
        if book.spec.external {
            return Err(FeeFault::AccountExternal);
        }
        if book.spec.currency != schedule.currency {
            return Err(FeeFault::AccountCurrency);
        }
        match there {
            Some(at) if self.fees.schedules[at] == *schedule => return Ok(None),
            Some(at) => self.fees.schedules[at] = schedule.clone(),
            None => self.fees.schedules.push(schedule.clone()),
        }
        Ok(Some(self.next_event()))
    }

    /// Attaches a schedule, or none. What changes nothing is no event.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    pub fn attach_fee(
        &mut self,
        target: FeeTarget,
        name: Option<&str>,
    ) -> Result<Option<Lsn>, FeeFault> {
        let held_in = match target {
            FeeTarget::Kind(_, currency) => {
                self.currencies.by_id(currency).ok_or(FeeFault::CurrencyUnknown)?.id
            }
            FeeTarget::Account(id) => {
                self.accounts.get(&id).ok_or(FeeFault::AccountUnknown)?.spec.currency
            }
        };
        let mut number = None;
        if let Some(name) = name {
            let at = self.fees.schedules.iter().position(|known| known.name == name);
            let at = at.ok_or(FeeFault::ScheduleUnknown)?;
            if self.fees.schedules[at].currency != held_in {
                return Err(FeeFault::AccountCurrency);
            }
            if matches!(target, FeeTarget::Kind(TransferKind::Fee, _)) {
                return Err(FeeFault::KindWithoutFee);
            }
            let accounts = &self.fees.accounts;
            if matches!(target, FeeTarget::Account(id)
                if accounts.len() == ACCOUNTS_MAX && !accounts.contains_key(&id))
            {
                return Err(FeeFault::Full);
            }
            number = Some(at);
        }
        let before = match (target, number) {
            (FeeTarget::Kind(kind, currency), Some(at)) => {
                self.fees.kinds.insert((kind, currency), at)
            }
            (FeeTarget::Kind(kind, currency), None) => self.fees.kinds.remove(&(kind, currency)),
            (FeeTarget::Account(id), Some(at)) => self.fees.accounts.insert(id, at),
            (FeeTarget::Account(id), None) => self.fees.accounts.remove(&id),
        };
        Ok((before != number).then(|| self.next_event()))
    }

    /// What is due for each member of a group that breaks no rule so far: each finds the holds and
    /// the originals as those before it leave them.
    ///
    /// # Errors
    /// The first member whose fee cannot be told.
    pub(super) fn due(
        &self,
        time_ns: u64,
        group: &[Request],
        found: &[Found],
    ) -> Result<Vec<Option<Due>>, (usize, Rejection)> {
        let (mut holds, mut refunds) = (self.holds.clone(), self.refunds.clone());
        let mut all = Vec::with_capacity(group.len());
        for (at, asked) in group.iter().enumerate() {
            let request = asked.plain();
            let moved = movement(&holds, &refunds, request, found[at]);
            let number = moved.and_then(|moved| self.schedule_of(request, moved, &holds));
            if number.is_some() && super::terms::balancing(asked).is_some() {
                return Err((at, Rejection::FeeOnBalanced));
            }
            all.push(moved.zip(number).and_then(|(moved, number)| {
                let schedule = &self.fees.schedules[number];
                let amount = fee_of(&schedule.rule, moved.amount);
                let note = FeeNote { schedule: number as u32, amount, refused: None };
                let due = Due { debit: moved.debit, to: schedule.account, note };
                (amount > 0).then_some(due)
            }));
            holds.happen(time_ns, Lsn::ZERO, request);
            if let Request::Refund(refund) = request {
                refunds.happen(refund, found[at]);
            }
        }
        Ok(all)
    }

    /// The schedule for what a request moves: of a transfer's kind, of the kind of a capture's hold,
    /// of refunds; of an account's own for all that it pays but refunds.
    fn schedule_of(&self, request: &Request, moved: Move, holds: &HoldBook) -> Option<usize> {
        let held_in = self.accounts[&moved.debit].spec.currency;
        match request {
            Request::Transfer(transfer) => self.fees.of(transfer.kind, moved.debit, held_in),
            Request::Capture(capture) => {
                self.fees.of(holds.open[&capture.hold].asked.kind, moved.debit, held_in)
            }
            Request::Refund(_) => {
                let number = *self.fees.kinds.get(&(TransferKind::Refund, held_in))?;
                (self.fees.schedules[number].account != moved.debit).then_some(number)
            }
            _ => None,
        }
    }
}

fn check_schedule(schedule: &Schedule) -> Result<(), FeeFault> {
    let Schedule { name, rule, .. } = schedule;
    let FeeRule { flat, tiers, min, max, .. } = rule;
    let letters = name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'));
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !letters {
        return Err(FeeFault::Name);
    }
    if [*flat, *min, max.unwrap_or(0)].into_iter().any(|figure| figure > AMOUNT_MAX) {
        return Err(FeeFault::AmountTooLarge);
    }
    if max.is_some_and(|max| *min > max) {
        return Err(FeeFault::MinAboveMax);
    }
    let rises = tiers.windows(2).all(|pair| pair[0].above < pair[1].above);
    if tiers.len() > TIERS_MAX || !rises || tiers.first().is_some_and(|tier| tier.above > 0) {
        return Err(FeeFault::Tiers);
    }
    if tiers.iter().any(|tier| tier.rate_ppm > 1_000_000) {
        return Err(FeeFault::Rate);
    }
    Ok(())
}

/// From the top tier down: what lies above its beginning, at its rate.
fn fee_of(rule: &FeeRule, amount: u128) -> u128 {
    let mut millionths = 0;
    let mut left = amount;
    for tier in rule.tiers.iter().rev() {
        if left > tier.above {
            millionths += (left - tier.above) * u128::from(tier.rate_ppm);
            left = tier.above;
        }
    }
    let (whole, part) = (millionths / 1_000_000, millionths % 1_000_000);
    let more = match rule.rounding {
        Rounding::Down => 0,
        Rounding::Up => u128::from(part != 0),
        Rounding::HalfUp => u128::from(part >= 500_000),
        Rounding::HalfEven if part == 500_000 => whole % 2,
        Rounding::HalfEven => u128::from(part > 500_000),
    };
    let fee = rule.flat + whole + more;
    let fee = if fee < rule.min { rule.min } else { fee };
    let most = rule.max.unwrap_or(AMOUNT_MAX);
    if fee > most { most } else { fee }
}
