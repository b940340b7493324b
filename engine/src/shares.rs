//! A total in shares: fixed amounts and percentages, exact to the minor unit. Nothing is lost or
//! made: whatever the shares leave over, the odd minor units included, one named share gets.

use crate::money::AMOUNT_MAX;
use rust_decimal::Decimal;
use std::str::FromStr;
use thiserror::Error;

/// Most decimals of a percentage.
pub const PERCENT_DECIMALS_MAX: u32 = 6;

/// All of a total, in the unit of a percentage with so many decimals.
const WHOLE: u128 = 100 * 10_u128.pow(PERCENT_DECIMALS_MAX);

/// What one share is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// So many minor units.
    Fixed(u128),
    /// So many percent of the whole total, rounded down to the minor unit.
    Percent(Percent),
    /// What all others leave over. There is exactly one.
    Rest,
}

/// A percentage, 0 to 100, of at most [`PERCENT_DECIMALS_MAX`] decimals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Percent(u128);

/// Why a total has no such shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ShareFault {
    /// No percentage.
    #[error("a percentage lies between 0 and 100 and has at most {PERCENT_DECIMALS_MAX} decimals")]
    Percent,
    /// The total is zero, or larger than any amount.
    #[error("a total is at least 1 minor unit and at most 2^96 - 1")]
    Total,
    /// None or several shares get the rest.
    #[error("exactly one share gets what the others leave over")]
    Rest,
    /// They are more than the total.
    #[error("the shares come to more than the total")]
    TooMuch,
}

impl TryFrom<Decimal> for Percent {
    type Error = ShareFault;

    fn try_from(percent: Decimal) -> Result<Self, ShareFault> {
        let percent = percent.normalize();
        let decimals = PERCENT_DECIMALS_MAX.checked_sub(percent.scale());
        let (Some(missing), Ok(mantissa)) = (decimals, u128::try_from(percent.mantissa())) else {
            return Err(ShareFault::Percent);
        };
        let parts = mantissa.checked_mul(10_u128.pow(missing)).filter(|parts| *parts <= WHOLE);
        parts.map(Self).ok_or(ShareFault::Percent)
    }
}

impl FromStr for Percent {
    type Err = ShareFault;

    /// A decimal number, without a sign for percent.
    fn from_str(text: &str) -> Result<Self, ShareFault> {
        Decimal::from_str_exact(text).map_err(|_| ShareFault::Percent)?.try_into()
    }
}

/// The amounts of the shares of `total` minor units, in their order. Their sum is the total.
///
/// # Errors
/// [`ShareFault`].
pub fn split(total: u128, shares: &[Share]) -> Result<Vec<u128>, ShareFault> {
    if !(1..=AMOUNT_MAX).contains(&total) {
        return Err(ShareFault::Total);
    }
    if shares.iter().filter(|share| **share == Share::Rest).count() != 1 {
        return Err(ShareFault::Rest);
    }
    let amount = |share: &Share| match share {
        Share::Fixed(amount) => *amount,
        // 96 bits of total and 27 of the percentage.
        Share::Percent(Percent(parts)) => total * parts / WHOLE,
        Share::Rest => 0,
    };
    let mut amounts: Vec<u128> = shares.iter().map(amount).collect();
    let sum = amounts.iter().try_fold(0_u128, |sum, amount| sum.checked_add(*amount));
    let rest = sum.and_then(|sum| total.checked_sub(sum)).ok_or(ShareFault::TooMuch)?;
    for (amount, share) in amounts.iter_mut().zip(shares) {
        if *share == Share::Rest {
            *amount = rest;
        }
    }
    Ok(amounts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn percent(text: &str) -> Share {
        Share::Percent(text.parse().expect("a percentage"))
    }

    #[test]
    fn the_odd_minor_unit_goes_to_the_one_that_is_named() {
        let thirds = [percent("33.333333"), Share::Rest, percent("33.333333")];
        assert_eq!(split(100, &thirds), Ok(vec![33, 34, 33]));
        let shares = [Share::Fixed(30), percent("12.5"), Share::Rest];
        assert_eq!(split(1_001, &shares), Ok(vec![30, 125, 846]));
        assert_eq!(split(30, &[Share::Fixed(30), Share::Rest]), Ok(vec![30, 0]));
        assert_eq!(split(7, &[Share::Rest]), Ok(vec![7]));
        assert_eq!(split(AMOUNT_MAX, &[percent("100"), Share::Rest]), Ok(vec![AMOUNT_MAX, 0]));
    }

    #[test]
    fn what_cannot_be_shared_so_is_refused() {
        let rest = Share::Rest;
        assert_eq!(split(0, &[rest]), Err(ShareFault::Total));
        assert_eq!(split(AMOUNT_MAX + 1, &[rest]), Err(ShareFault::Total));
        assert_eq!(split(5, &[percent("50")]), Err(ShareFault::Rest));
        assert_eq!(split(5, &[rest, rest]), Err(ShareFault::Rest));
        assert_eq!(split(5, &[Share::Fixed(6), rest]), Err(ShareFault::TooMuch));
        let huge = [Share::Fixed(u128::MAX), Share::Fixed(u128::MAX), rest];
        assert_eq!(split(5, &huge), Err(ShareFault::TooMuch));
        for text in ["-1", "100.000001", "0.0000001", "101", "", "x", "1e1"] {
            assert_eq!(text.parse::<Percent>(), Err(ShareFault::Percent), "{text}");
        }
    }

    proptest! {
        #[test]
        fn shares_come_to_the_total_and_none_to_more_than_it_says(
            total in 1..=AMOUNT_MAX,
            fixed in prop::collection::vec(0..1_000_u128, 0..4),
            parts in prop::collection::vec(0..=WHOLE / 4, 0..5),
            at in any::<prop::sample::Index>(),
        ) {
            let fixed = fixed.into_iter().map(Share::Fixed);
            let mut shares: Vec<Share> = fixed.chain(parts.into_iter().map(|p| Share::Percent(Percent(p)))).collect();
            shares.insert(at.index(shares.len() + 1), Share::Rest);
            match split(total, &shares) {
                Ok(amounts) => {
                    prop_assert_eq!(amounts.iter().sum::<u128>(), total);
                    for (amount, share) in amounts.iter().zip(&shares) {
                        let fair = match share {
                            Share::Fixed(fixed) => amount == fixed,
                            Share::Percent(Percent(p)) => {
                                amount * WHOLE <= total * p && total * p < (amount + 1) * WHOLE
                            }
                            Share::Rest => true,
                        };
                        prop_assert!(fair, "{:?} is {}", share, amount);
                    }
                }
                Err(fault) => prop_assert_eq!(fault, ShareFault::TooMuch),
            }
        }
    }
}
