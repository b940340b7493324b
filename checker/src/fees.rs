//! Fees: schedules as the journal's events leave them, what is due by them, and the legs behind the
//! groups that owe them.

use crate::check::Checker;
use crate::event::Event;
use crate::fault::Kind;
use ducat_engine::fees::{FeeNote, FeeRule, Rounding, Schedule, Target, WHOLE_PPM};
use ducat_engine::ids::{Lsn, Slot, TransferId};
use ducat_engine::money::{AMOUNT_MAX, CurrencyId};
use ducat_engine::record::{FeeDid, FeeEvent, FeeLeg, Figures, Party, Record};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::TransferKind;
use std::collections::HashMap;

/// All schedules by their numbers, and what they are attached to.
#[derive(Clone, Debug, Default)]
pub(crate) struct FeeBook {
    schedules: Vec<(Schedule, Slot)>,
    attached: HashMap<Target, usize>,
}

/// A fee that a member of a group owes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leg {
    /// The member, by its place in the group, and its id.
    pub at: usize,
    pub of: TransferId,
    pub schedule: u32,
    pub debit: Slot,
    pub credit: Slot,
    /// Minor units.
    pub amount: u128,
    /// What becomes of it: taken, or the rule that is named.
    pub refused: Option<Rejection>,
}

impl Leg {
    /// What is told of it with its transfer.
    pub fn note(&self) -> FeeNote {
        FeeNote { schedule: self.schedule, amount: self.amount, refused: self.refused }
    }
}

impl FeeBook {
    /// An event of schedules.
    pub fn take(&mut self, event: &FeeEvent) {
        match event {
            FeeEvent::Defined { schedule, slot } => {
                let entry = (schedule.clone(), *slot);
                let there = self.schedules.iter_mut().find(|(old, _)| old.name == schedule.name);
                match there {
                    Some(there) => *there = entry,
                    None => self.schedules.push(entry),
                }
            }
            FeeEvent::Attached { target, schedule: Some(number) } => {
                self.attached.insert(*target, *number as usize);
            }
            FeeEvent::Attached { target, schedule: None } => {
                self.attached.remove(target);
            }
        }
    }

    /// Whether anything can be due.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.attached.is_empty()
    }

    /// The schedule for what this account pays, whatever it comes to.
    pub fn schedule(
        &self,
        kind: TransferKind,
        debit: Slot,
        currency: CurrencyId,
    ) -> Option<(u32, &FeeRule, Slot)> {
        let own = self.attached.get(&Target::Account(debit));
        let of_kind = self.attached.get(&Target::Kind { kind: kind.number(), currency });
        let number = *own.or(of_kind).filter(|_| kind != TransferKind::Fee)?;
        self.if_paid(number, debit)
    }

    /// The schedule for what this account gives back.
    pub fn of_refund(&self, debit: Slot, currency: CurrencyId) -> Option<(u32, &FeeRule, Slot)> {
        let kind = TransferKind::Refund.number();
        self.if_paid(*self.attached.get(&Target::Kind { kind, currency })?, debit)
    }

    fn if_paid(&self, number: usize, debit: Slot) -> Option<(u32, &FeeRule, Slot)> {
        let (schedule, gets) = self.schedules.get(number)?;
        (*gets != debit).then_some((u32::try_from(number).ok()?, &schedule.rule, *gets))
    }
}

/// From the top tier down: what lies above its beginning, at its rate.
pub(crate) fn fee_of(rule: &FeeRule, amount: u128) -> u128 {
    let (mut millionths, mut left) = (0_u128, amount);
    for tier in rule.tiers.iter().rev() {
        let part = left.saturating_sub(tier.above);
        millionths = millionths.saturating_add(part.saturating_mul(tier.rate_ppm.into()));
        left -= part;
    }
    let whole_ppm = u128::from(WHOLE_PPM);
    let (units, part) = (millionths / whole_ppm, millionths % whole_ppm);
    let up = match rule.rounding {
        Rounding::Down => false,
        Rounding::Up => part > 0,
        Rounding::HalfUp => part >= whole_ppm / 2,
        Rounding::HalfEven => part > whole_ppm / 2 || (part == whole_ppm / 2 && units % 2 == 1),
    };
    let fee = rule.flat.saturating_add(units + u128::from(up)).max(rule.min);
    fee.min(rule.max.unwrap_or(AMOUNT_MAX))
}

impl Checker<'_> {
    /// Before an event that is no leg, none may be left.
    pub(crate) fn legs_before(&mut self, event: &Event) {
        if !matches!(event.record, Record::FeeLeg(_)) {
            self.no_legs_left(event.lsn);
        }
    }

    /// All fees that were due have been seen to by the event at `lsn`.
    pub(crate) fn no_legs_left(&mut self, lsn: Lsn) {
        let left = self.legs.as_mut().map(std::mem::take).unwrap_or_default();
        if let Some(leg) = left.front() {
            self.report.add(Kind::WrongFee, lsn, || format!("no event is behind {leg:?}"));
        }
    }

    /// Replays a leg, and holds it against the one that comes next.
    pub(crate) fn fee_leg(&mut self, lsn: Lsn, leg: &FeeLeg) {
        if let Some(legs) = &mut self.legs {
            let due = legs.pop_front();
            let same = due.is_some_and(|due| {
                let refused = match leg.did {
                    FeeDid::Taken { .. } => None,
                    FeeDid::Refused { rejection, .. } => Some(rejection),
                };
                (due.of, due.schedule, due.amount) == (leg.of, leg.schedule, leg.amount)
                    && (due.debit, due.credit) == (leg.debit, leg.credit)
                    && due.refused == refused
            });
            if !same {
                self.report.add(Kind::WrongFee, lsn, || format!("due is {due:?}, not {leg:?}"));
            }
        }
        if let Some(posted) = leg.posted() {
            return self.post(lsn, &posted);
        }
        if let FeeDid::Refused { debit, credit, .. } = leg.did {
            for party in [debit, credit] {
                if let Party::Known { slot, posted, room } = party {
                    self.stands(lsn, slot, &Figures { posted, room });
                }
            }
        }
    }
}
