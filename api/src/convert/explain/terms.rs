//! Sentences about terms: what was expected, and what was found.

use super::{Amount, Asked, Hold};
use ducat_engine::ids::Lsn;
use ducat_engine::money::Currency;
use ducat_engine::rejection::Rejection;
use ducat_engine::terms::{AccountTerms, Range, Terms, TermsAfter};
use ducat_engine::transfer::BalanceAfter;
use std::fmt::{self, Write as _};

/// The terms of a refused request, and what was found.
pub(super) struct Sides<'a> {
    pub terms: &'a Terms,
    pub told: Option<&'a TermsAfter>,
}

/// Whether a rule is explained here.
pub(super) const fn is_of_terms(rejection: Rejection) -> bool {
    matches!(
        rejection,
        Rejection::DebitAccountVersion
            | Rejection::CreditAccountVersion
            | Rejection::DebitAccountCondition
            | Rejection::CreditAccountCondition
            | Rejection::CreditAccountOwesLess
            | Rejection::SourcesFallShort
            | Rejection::AmountBelowMinimum
    )
}

/// Which account an amount was too much for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Debit,
    Credit,
    /// It is not told which.
    Either,
}

/// What had to be there, or to find room.
pub(super) struct Needed<'a> {
    pub amount: Amount<'a>,
    /// It was no more than that, but how much it was followed from figures that are not told.
    up_to: bool,
}

impl fmt::Display for Needed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up_to = if self.up_to { "up to " } else { "" };
        write!(f, "{up_to}{}", self.amount)
    }
}

impl<'r> Asked<'r> {
    /// What an account was asked to give or to take. A balanced transfer that is capped by this very
    /// account is refused for the least that it moves; one that is not, for what it would have moved:
    /// its amount, as far as the other account or other sources did not cap it.
    pub(super) fn needed(&self, side: Side) -> Needed<'r> {
        let of = |value, up_to| Needed { amount: Amount::of(value, self.currency), up_to };
        let Some(balancing) = self.terms.and_then(|terms| terms.balancing) else {
            return of(self.amount(), false);
        };
        let (debit, credit) = (balancing.debit.is_some(), balancing.credit.is_some());
        if side == Side::Debit && debit || side == Side::Credit && credit {
            return of(balancing.min, false);
        }
        of(self.amount(), debit || credit || balancing.source.is_some())
    }

    /// What all sources of a payment move together; 0 where it is none.
    pub(super) fn total(&self) -> u128 {
        let source = self.terms.and_then(|terms| terms.balancing?.source);
        source.map_or(0, |source| source.total)
    }
}

impl Asked<'_> {
    pub(super) fn write_of_terms(
        &self,
        sides: &Sides<'_>,
        rejection: Rejection,
        to: &mut String,
    ) -> fmt::Result {
        let Sides { terms, told } = *sides;
        // Only balanced transfers are refused for what their amounts must be.
        let least = terms.balancing.map_or(0, |balancing| balancing.min);
        let source = terms.balancing.and_then(|balancing| balancing.source);
        let total = source.map_or(0, |source| source.total);
        match rejection {
            Rejection::DebitAccountVersion => {
                let found = told.and_then(|told| told.debit_version);
                self.version("debit", 0, terms.debit.version, found, to)
            }
            Rejection::CreditAccountVersion => {
                let found = told.and_then(|told| told.credit_version);
                self.version("credit", 1, terms.credit.version, found, to)
            }
            Rejection::DebitAccountCondition => {
                self.condition("debit", 0, &terms.debit, self.outcome.debit.as_ref(), to)
            }
            Rejection::CreditAccountCondition => {
                self.condition("credit", 1, &terms.credit, self.outcome.credit.as_ref(), to)
            }
            Rejection::CreditAccountOwesLess => {
                write!(to, "{}, which holds ", self.account("credit", 1))?;
                super::posted(to, self.outcome.credit.as_ref(), self.currency)?;
                write!(to, ", owes less than {}", Amount::of(least, self.currency))
            }
            Rejection::SourcesFallShort => {
                let total = Amount::of(total, self.currency);
                let last = self.account("debit", 0);
                write!(to, "the sources up to {last} together give less than {total}")
            }
            _ => {
                let least = Amount::of(least, self.currency);
                let most = self.request.transfer().map_or(0, |transfer| transfer.amount);
                let most = Amount::of(most, self.currency);
                write!(to, "at least {least} is to be moved, and at most {most}")
            }
        }
    }

    /// `account 7`, or what a capture can say of its accounts.
    fn account(&self, side: &str, at: usize) -> String {
        match self.request.accounts() {
            Some(accounts) => format!("account {}", accounts[at]),
            None => format!("the {side} account of hold {}", Hold(self.request)),
        }
    }

    fn version(
        &self,
        side: &str,
        at: usize,
        expected: Option<Lsn>,
        found: Option<Lsn>,
        to: &mut String,
    ) -> fmt::Result {
        let (expected, account) = (expected.unwrap_or(Lsn::ZERO), self.account(side, at));
        match found {
            Some(found) => {
                write!(to, "{account} is at version {found}, expected was {expected}")
            }
            None => write!(to, "{account} is at another version than {expected}"),
        }
    }

    fn condition(
        &self,
        side: &str,
        at: usize,
        terms: &AccountTerms,
        before: Option<&BalanceAfter>,
        to: &mut String,
    ) -> fmt::Result {
        let currency = self.currency;
        write!(to, "{} would not have", self.account(side, at))?;
        let mut between = " ";
        for (name, range) in [("posted", &terms.posted), ("available", &terms.available)] {
            if !range.is_open() {
                write!(to, "{between}{} {name}", Within { range, currency })?;
                between = " and ";
            }
        }
        let Some(BalanceAfter { posted, available }) = before.copied() else { return Ok(()) };
        let money = |value| Amount { value, currency };
        write!(to, " after it: it has {} posted, {} available", money(posted), money(available))
    }
}

/// `at least 1.00 GBP and at most 2.00 GBP`.
struct Within<'a> {
    range: &'a Range,
    currency: Option<&'a Currency>,
}

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let money = |value| Amount { value, currency: self.currency };
        match (self.range.at_least, self.range.at_most) {
            (Some(least), Some(most)) => {
                write!(f, "at least {} and at most {}", money(least), money(most))
            }
            (Some(least), None) => write!(f, "at least {}", money(least)),
            (None, Some(most)) => write!(f, "at most {}", money(most)),
            (None, None) => f.write_str("anything"),
        }
    }
}
