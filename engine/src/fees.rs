//! Fees: what a transfer costs the account that pays it, and who gets it.
//!
//! ```text
//! Schedule ─┬─ FeeRule: flat + a share of each tier of the amount, rounded, least, most
//!           └─ the account that gets it                     ▲ assess(amount)
//! attached to an account, or to a kind and a currency ─▶ due(transfer) ─▶ a leg of its group
//! ```
//!
//! Schedules are the operator's, changed by events, and apply from their LSN on. What is due for a
//! transfer is judged once, when it is put in order, and becomes a leg behind its group: all of it
//! happens or nothing. The leg is an event of its own ([`crate::record::FeeLeg`]) with its figures,
//! so replay computes no fee, and whatever schedules are now, a repeat tells of the first time.
//! See `docs/adr/0025-fees.md`.

mod book;

pub use book::{Due, Fees, Target};

use crate::ids::AccountId;
use crate::money::{AMOUNT_MAX, CurrencyId};
use crate::rejection::Rejection;
use serde::{Deserialize, Serialize};

/// No schedule's name is longer, in bytes.
pub const NAME_BYTES_MAX: usize = 32;

/// Most tiers of a schedule.
pub const TIERS_MAX: usize = 16;

/// Most schedules of a ledger.
pub const SCHEDULES_MAX: usize = 1_000;

/// Most accounts that have a schedule of their own.
pub const ACCOUNTS_MAX: usize = 100_000;

/// Rates are in millionths: 10,000 is one per cent.
pub const WHOLE_PPM: u32 = 1_000_000;

/// What becomes of a part of a minor unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Rounding {
    /// To the nearest minor unit, and a half to the larger one.
    #[default]
    HalfUp,
    /// To the nearest minor unit, and a half to the even one.
    HalfEven,
    /// To the larger one, in favour of whoever gets the fee.
    Up,
    /// To the smaller one, in favour of whoever pays it.
    Down,
}

impl Rounding {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::HalfUp, Self::HalfEven, Self::Up, Self::Down];

    /// The number that stands for it on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The rule with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HalfUp => "half-up",
            Self::HalfEven => "half-even",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// So many millionths of a minor unit as minor units.
    fn of_millionths(self, millionths: u128) -> u128 {
        let whole = u128::from(WHOLE_PPM);
        let (units, rest) = (millionths / whole, millionths % whole);
        let up = match self {
            Self::Down => false,
            Self::Up => rest > 0,
            Self::HalfUp => 2 * rest >= whole,
            Self::HalfEven => 2 * rest > whole || (2 * rest == whole && units % 2 == 1),
        };
        units + u128::from(up)
    }
}

/// A rate, and from where on it holds: up to the next tier, for that part of the amount alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tier {
    /// For what lies above so many minor units; 0 for the first tier.
    pub above: u128,
    /// Millionths of it, 0 to [`WHOLE_PPM`].
    pub rate_ppm: u32,
}

/// How a fee follows from an amount: a flat part, and for the part of the amount in each tier its
/// rate, rounded once; not less than the least, not more than the most.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FeeRule {
    /// Minor units whatever the amount, 0 to [`AMOUNT_MAX`].
    pub flat: u128,
    /// From the lowest to the highest, at most [`TIERS_MAX`]; none for a flat fee.
    pub tiers: Vec<Tier>,
    /// Not less than so many minor units, 0 to [`AMOUNT_MAX`].
    pub min: u128,
    /// Not more than so many minor units, `min` to [`AMOUNT_MAX`]; `None` for no bound.
    pub max: Option<u128>,
    /// What becomes of parts of a minor unit.
    pub rounding: Rounding,
}

/// A schedule of fees.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// What operators call it: 1 to [`NAME_BYTES_MAX`] of a-z, 0-9 and `-`.
    pub name: String,
    /// Of what it is a fee, and in what it is taken.
    pub currency: CurrencyId,
    /// The account that gets it; not an external one.
    pub account: AccountId,
    /// How much it is.
    pub rule: FeeRule,
}

/// What is told of a transfer's fee, beside its outcome: the same for every repeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FeeNote {
    /// The number of the schedule by which it was due.
    pub schedule: u32,
    /// Minor units.
    pub amount: u128,
    /// `None` when it was taken; else the rule that it broke, for which the transfer was refused.
    pub refused: Option<Rejection>,
}

/// Why a schedule was not defined, attached or detached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FeeFault {
    /// The name is empty, too long, or holds other characters.
    #[error("a schedule's name has 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -")]
    Name,
    /// A figure of the rule is above [`AMOUNT_MAX`].
    #[error("an amount of the schedule is larger than any amount can be")]
    AmountTooLarge,
    /// Too many tiers, or they do not rise from 0.
    #[error(
        "a schedule has at most {TIERS_MAX} tiers, the first above 0, each above the one before"
    )]
    Tiers,
    /// A rate is above the whole.
    #[error("a rate is at most {WHOLE_PPM} millionths")]
    Rate,
    /// The least is above the most.
    #[error("the least fee is above the most")]
    MinAboveMax,
    /// The currency's number is not known.
    #[error("the currency is unknown")]
    CurrencyUnknown,
    /// The account that is to get it does not exist.
    #[error("no account has the id given")]
    AccountUnknown,
    /// The account that is to get it stands for the outside.
    #[error("an external account gets no fees")]
    AccountExternal,
    /// The account holds another currency.
    #[error("the account holds another currency than the schedule is of")]
    AccountCurrency,
    /// A schedule of this name is there, of another currency.
    #[error("the schedule is of another currency, which does not change")]
    CurrencyFixed,
    /// No schedule has this name.
    #[error("no schedule has this name")]
    ScheduleUnknown,
    /// No fee is taken for transfers of this kind.
    #[error("no fee is taken for fees")]
    KindWithoutFee,
    /// There are as many as there can be.
    #[error("there are as many as there can be")]
    Full,
}

impl FeeRule {
    /// Whether it can be a rule.
    ///
    /// # Errors
    /// [`FeeFault`].
    pub fn check(&self) -> Result<(), FeeFault> {
        let max = self.max.unwrap_or(AMOUNT_MAX);
        if self.flat > AMOUNT_MAX || self.min > AMOUNT_MAX || max > AMOUNT_MAX {
            return Err(FeeFault::AmountTooLarge);
        }
        if self.min > max {
            return Err(FeeFault::MinAboveMax);
        }
        let rise = self.tiers.is_sorted_by(|before, next| before.above < next.above);
        let begins = self.tiers.first().is_none_or(|first| first.above == 0);
        if self.tiers.len() > TIERS_MAX || !rise || !begins {
            return Err(FeeFault::Tiers);
        }
        if self.tiers.iter().any(|tier| tier.rate_ppm > WHOLE_PPM) {
            return Err(FeeFault::Rate);
        }
        Ok(())
    }
}

impl Schedule {
    /// Whether it can be a schedule, apart from its currency and its account.
    ///
    /// # Errors
    /// [`FeeFault`].
    pub fn check(&self) -> Result<(), FeeFault> {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=NAME_BYTES_MAX).contains(&self.name.len());
        if !fits || !self.name.bytes().all(known) {
            return Err(FeeFault::Name);
        }
        self.rule.check()
    }
}

/// The fee for moving `amount`, minor units: exact, and never more than the largest amount there
/// is. `amount` is at most [`AMOUNT_MAX`], the rule one that was checked.
#[must_use]
pub fn assess(rule: &FeeRule, amount: u128) -> u128 {
    let ends = rule.tiers.iter().skip(1).map(|next| next.above).chain([u128::MAX]);
    // An amount has 96 bits and a rate 20: no product, and no sum over the parts of one amount,
    // has more than 116.
    let millionths: u128 = rule
        .tiers
        .iter()
        .zip(ends)
        .map(|(tier, end)| {
            let part = amount.min(end).saturating_sub(tier.above);
            part * u128::from(tier.rate_ppm)
        })
        .sum();
    let fee = rule.flat + rule.rounding.of_millionths(millionths);
    let most = rule.max.unwrap_or(AMOUNT_MAX);
    fee.max(rule.min).min(most)
}

#[cfg(test)]
#[path = "fees/tests.rs"]
mod tests;
