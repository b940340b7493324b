//! The coordinator's part in fees: keeps the schedules, finds what is due for a transfer, a capture or
//! a refund when it is put in order, adds it as a leg behind its group, and writes down what became of it.
//!
//! ```text
//! add(group) ─ nothing refused, something due ─▶ legs, linked with the group
//! conclude ─▶ records of the group, each saying what was due ─▶ records of the legs
//! ```

use super::Coordinator;
use crate::account::Impossible;
use crate::batch::{Batch, Item, NO_STEP, Op};
use crate::fees::{FeeFault, FeeNote, Fees, Schedule, Target};
use crate::ids::{AccountId, Lsn, Slot, TransferId};
use crate::money::CurrencyId;
use crate::partition::{Leg, Legs};
use crate::plan::Plan;
use crate::record::{FeeDid, FeeEvent, FeeLeg, Party, PostedSide, Record};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::transfer::TransferKind;
use std::collections::HashMap;

/// A leg of a batch that is a fee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FeeItem {
    /// Its item.
    pub item: u32,
    /// The item of the transfer, capture or refund it is for.
    pub of: u32,
    /// Its id.
    pub id: TransferId,
    /// The schedule's number.
    pub schedule: u32,
    /// Minor units.
    pub amount: u128,
}

/// To what a schedule is attached, as callers say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FeeTarget {
    /// All transfers, captures and refunds of this kind in this currency.
    Kind(TransferKind, CurrencyId),
    /// All transfers and captures that this account pays.
    Account(AccountId),
}

/// What is due for a transfer, as a quote tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeeQuote {
    /// The schedule's number.
    pub schedule: u32,
    /// Minor units; 0 where the schedule comes to nothing.
    pub amount: u128,
    /// What it is in.
    pub currency: CurrencyId,
}

/// What would become of a change of schedules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DryFee {
    /// Whether anything would change.
    pub changed: bool,
    /// What is there: the schedule of that name, or the one that is attached, with its number.
    pub before: Option<(u32, Schedule)>,
}

/// What holds are for, where they say so.
type Placed = HashMap<TransferId, Option<TransferKind>>;

/// An event of fees, where something changed.
pub type FeeChanged = Result<Option<(Lsn, Record)>, FeeFault>;

impl Coordinator {
    /// Schedules of fees, and what they are attached to.
    #[must_use]
    pub fn fees(&self) -> &Fees {
        &self.fees
    }

    /// Defines a schedule, or changes the one of its name, from this event on; `None` when it is so
    /// already.
    ///
    /// # Errors
    /// [`FeeFault`]; nothing changed then.
    pub fn define_fee(&mut self, schedule: Schedule) -> FeeChanged {
        let slot = self.check_fee(&schedule)?;
        if self.fee_named(&schedule.name).map(|(_, before)| before) == Some(&schedule) {
            return Ok(None);
        }
        self.fees.define(schedule.clone(), slot);
        let event = FeeEvent::Defined { schedule, slot };
        Ok(Some((self.next_event(), Record::FeeEvent(Box::new(event)))))
    }

    /// The slot of the account that gets the fees of a schedule that can be.
    fn check_fee(&self, schedule: &Schedule) -> Result<Slot, FeeFault> {
        self.fees.check(schedule)?;
        if self.currencies.by_id(schedule.currency).is_none() {
            return Err(FeeFault::CurrencyUnknown);
        }
        let listing = self.directory.get(schedule.account).ok_or(FeeFault::AccountUnknown)?;
        if listing.external {
            return Err(FeeFault::AccountExternal);
        }
        if listing.currency != schedule.currency {
            return Err(FeeFault::AccountCurrency);
        }
        Ok(listing.slot)
    }

    /// Attaches the schedule of this name, in the place of the one that was, from this event on; or
    /// none any more. `None` when it is so already.
    ///
    /// # Errors
    /// [`FeeFault`]; nothing changed then.
    pub fn attach_fee(&mut self, target: FeeTarget, name: Option<&str>) -> FeeChanged {
        let (target, schedule) = self.attachment(target, name)?;
        if self.fees.attached_to(target) == schedule {
            return Ok(None);
        }
        self.fees.attach(target, schedule);
        let event = FeeEvent::Attached { target, schedule };
        Ok(Some((self.next_event(), Record::FeeEvent(Box::new(event)))))
    }

    /// The schedule of this name, and its number.
    fn fee_named(&self, name: &str) -> Option<(u32, &Schedule)> {
        let number = self.fees.find(name)?;
        Some((number, self.fees.get(number)?))
    }

    /// To what the schedule of this name, or none, is to be attached, and its number.
    fn attachment(
        &self,
        target: FeeTarget,
        name: Option<&str>,
    ) -> Result<(Target, Option<u32>), FeeFault> {
        let (target, held_in) = match target {
            FeeTarget::Kind(kind, currency) => {
                if self.currencies.by_id(currency).is_none() {
                    return Err(FeeFault::CurrencyUnknown);
                }
                (Target::Kind { kind: kind.number(), currency }, currency)
            }
            FeeTarget::Account(id) => {
                let listing = self.directory.get(id).ok_or(FeeFault::AccountUnknown)?;
                (Target::Account(listing.slot), listing.currency)
            }
        };
        let find = |name| self.fees.find(name).ok_or(FeeFault::ScheduleUnknown);
        let schedule = name.map(find).transpose()?;
        self.check_attached(target, held_in, schedule)?;
        Ok((target, schedule))
    }

    /// What would become of a definition; nothing is done.
    ///
    /// # Errors
    /// [`FeeFault`], as when it is meant.
    pub fn dry_run_fee(&self, schedule: &Schedule) -> Result<DryFee, FeeFault> {
        self.check_fee(schedule)?;
        let before = self.fee_named(&schedule.name).map(|(at, before)| (at, before.clone()));
        let changed = before.as_ref().map(|(_, before)| before) != Some(schedule);
        Ok(DryFee { changed, before })
    }

    /// What would become of attaching the schedule of this name, or none any more; nothing is done.
    ///
    /// # Errors
    /// [`FeeFault`], as when it is meant.
    pub fn dry_run_attached_fee(
        &self,
        target: FeeTarget,
        name: Option<&str>,
    ) -> Result<DryFee, FeeFault> {
        let (target, schedule) = self.attachment(target, name)?;
        let before = self.fees.attached_to(target);
        let named = |number| Some((number, self.fees.get(number)?.clone()));
        Ok(DryFee { changed: before != schedule, before: before.and_then(named) })
    }

    fn check_attached(
        &self,
        target: Target,
        held_in: CurrencyId,
        schedule: Option<u32>,
    ) -> Result<(), FeeFault> {
        let Some(number) = schedule else { return Ok(()) };
        let schedule = self.fees.get(number).ok_or(FeeFault::ScheduleUnknown)?;
        if schedule.currency != held_in {
            return Err(FeeFault::AccountCurrency);
        }
        self.fees.check_target(target)
    }

    /// Takes in what was done with schedules, in replay.
    ///
    /// # Errors
    /// [`Impossible`] when no sequence of decided events leads here; nothing changed then.
    pub(crate) fn take_fee_event(&mut self, lsn: Lsn, event: &FeeEvent) -> Result<(), Impossible> {
        let differs = |why: FeeFault| Impossible::Differs { lsn, what: why.to_string() };
        match event {
            FeeEvent::Defined { schedule, slot } => {
                if self.check_fee(schedule).map_err(differs)? != *slot {
                    return Err(differs(FeeFault::AccountUnknown));
                }
                self.fees.define(schedule.clone(), *slot);
            }
            FeeEvent::Attached { target, schedule } => {
                let held_in = match *target {
                    Target::Kind { currency, .. } => Some(currency),
                    Target::Account(slot) => self.directory.at(slot).map(|at| at.currency),
                };
                let held_in = held_in.ok_or(FeeFault::AccountUnknown).map_err(differs)?;
                self.check_attached(*target, held_in, *schedule).map_err(differs)?;
                self.fees.attach(*target, *schedule);
            }
        }
        Ok(())
    }

    /// What would be due now for a transfer of this kind and amount that this account pays; `None`
    /// where no schedule is attached.
    ///
    /// # Errors
    /// [`FeeFault::AccountUnknown`].
    pub fn quote(
        &self,
        kind: TransferKind,
        debit: AccountId,
        amount: u128,
    ) -> Result<Option<FeeQuote>, FeeFault> {
        let listing = self.directory.get(debit).ok_or(FeeFault::AccountUnknown)?;
        let currency = listing.currency;
        let schedule = self.fees.schedule_for(kind, listing.slot, currency);
        let due = |schedule| {
            let amount = self.fees.due(kind, listing.slot, currency, amount);
            FeeQuote { schedule, amount: amount.map_or(0, |due| due.amount), currency }
        };
        Ok(schedule.map(due))
    }

    /// Adds what is due for the group whose items begin at `first`, unless it is refused already or
    /// was known.
    #[inline(never)]
    pub(super) fn add_fees(&mut self, plan: &mut Plan, group: &[Request], first: usize) {
        let items = &mut plan.batch.items[first..];
        if items.len() != group.len() || items.iter().any(|item| item.refused.is_some()) {
            return;
        }
        let before = plan.fees.len();
        // What the group's own holds are for, once they are placed.
        let mut placed = HashMap::new();
        for (at, (request, item)) in group.iter().zip(&*items).enumerate() {
            if let Request::Hold(hold) = request.plain() {
                placed.insert(hold.id, hold.kind.unless_it_follows());
            }
            let Some(schedule) = self.schedule_of(request, item, &placed) else { continue };
            if request.terms().is_some_and(|terms| terms.balancing.is_some()) {
                plan.fees.truncate(before);
                for (other, item) in items.iter_mut().enumerate() {
                    item.refused = Some(Rejection::LinkedFailed).filter(|_| other != at);
                    item.refused = item.refused.or(Some(Rejection::FeeOnBalanced));
                }
                return;
            }
            let Some(due) = self.fees.due_by(schedule, item.amount) else { continue };
            plan.fees.push(FeeItem {
                // The leg's place is known once all of them are.
                item: 0,
                of: u32::try_from(first + at).expect("batches are far smaller"),
                id: request.id(),
                schedule: due.schedule,
                amount: due.amount,
            });
        }
        if plan.fees.len() == before {
            return;
        }
        if let Some(last) = plan.batch.items.last_mut() {
            last.linked = true;
        }
        for fee in &mut plan.fees[before..] {
            let debit = plan.batch.items[fee.of as usize].debit;
            let credit = self.fees.slot(fee.schedule).expect("it is due");
            fee.item = u32::try_from(plan.batch.items.len()).expect("batches are far smaller");
            plan.batch.items.push(Item {
                amount: fee.amount,
                debit,
                credit,
                step: NO_STEP,
                op: Op::Transfer,
                refused: None,
                linked: true,
                termed: false,
            });
            self.next_lsn = self.next_lsn.next();
        }
        if let Some(last) = plan.batch.items.last_mut() {
            last.linked = false;
        }
    }

    /// The schedule by which a member of a group, which breaks no rule so far, has its fee: what moves
    /// money has one, so a hold has none, and its capture has that of its kind; `placed` are those that
    /// the group places before it.
    fn schedule_of(&self, request: &Request, item: &Item, placed: &Placed) -> Option<u32> {
        let paying = self.directory.at(item.debit)?;
        let kind = match request.plain() {
            Request::Transfer(transfer) => transfer.kind,
            Request::Capture(capture) => {
                let said = placed.get(&capture.hold).copied();
                said.unwrap_or_else(|| self.holds.kind(capture.hold)).or_else(|| {
                    let receiving = self.directory.at(item.credit)?;
                    Some(TransferKind::between(paying.external, receiving.external))
                })?
            }
            Request::Refund(_) => {
                return self.fees.schedule_for_refund(item.debit, paying.currency);
            }
            _ => return None,
        };
        self.fees.schedule_for(kind, item.debit, paying.currency)
    }
}

impl Plan {
    /// The same, where batches mostly have no fees.
    #[inline]
    pub(super) fn fee_of(&self, at: usize) -> Option<FeeNote> {
        if self.fees.is_empty() { None } else { self.fee_note(at) }
    }

    /// What is told of the fee of the transfer at item `at`: taken, or that it broke the group.
    fn fee_note(&self, at: usize) -> Option<FeeNote> {
        let found = self.fees.binary_search_by_key(&at, |fee| fee.of as usize).ok()?;
        let FeeItem { item, schedule, amount, .. } = self.fees[found];
        let refused = self.verdicts[item as usize];
        // What broke elsewhere in the group tells nothing of the fee.
        (refused != Some(Rejection::LinkedFailed)).then_some(FeeNote { schedule, amount, refused })
    }
}

/// The record of a fee's leg, given what became of both accounts.
pub(super) fn fee_leg(plan: &Plan, batch: &Batch, fee: &FeeItem, legs: &Legs) -> Record {
    let at = fee.item as usize;
    let (item, lsn) = (&batch.items[at], batch.lsn(at));
    let did = match plan.verdicts[at] {
        None => {
            let side = |leg: Option<Leg>| {
                let leg = leg.expect("a fee that was taken has both legs");
                PostedSide { back: leg.back(lsn), posted: leg.after.posted, room: super::room(leg) }
            };
            FeeDid::Taken { debit_side: side(legs.debit), credit_side: side(legs.credit) }
        }
        Some(rejection) => {
            let party = |leg: Option<Leg>, slot| {
                let leg = leg.expect("a fee has accounts");
                Party::Known { slot, posted: leg.after.posted, room: super::room(leg) }
            };
            let (debit, credit) = (party(legs.debit, item.debit), party(legs.credit, item.credit));
            FeeDid::Refused { rejection, debit, credit }
        }
    };
    Record::FeeLeg(Box::new(FeeLeg {
        of: fee.id,
        back: fee.item - fee.of,
        schedule: fee.schedule,
        debit: item.debit,
        credit: item.credit,
        amount: fee.amount,
        did,
    }))
}

/// What is told of a request's fee, as the record tells: the same for every repeat.
#[must_use]
pub fn fee_after(record: &Record) -> Option<FeeNote> {
    match record {
        Record::Noted(noted) => noted.fee,
        _ => None,
    }
}
