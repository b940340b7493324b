//! Rules of fees: examples to the cent, and what holds for all of them.

use super::*;
use proptest::prelude::*;

fn percent(rate_ppm: u32) -> FeeRule {
    FeeRule { tiers: vec![Tier { above: 0, rate_ppm }], ..FeeRule::default() }
}

#[test]
fn fees_by_example() {
    let flat = FeeRule { flat: 25, ..FeeRule::default() };
    let card = FeeRule { flat: 20, min: 30, max: Some(500), ..percent(14_000) };
    let tiers = FeeRule {
        tiers: vec![
            Tier { above: 0, rate_ppm: 10_000 },
            Tier { above: 1_000, rate_ppm: 5_000 },
            Tier { above: 10_000, rate_ppm: 0 },
        ],
        ..FeeRule::default()
    };
    for (rule, amount, fee) in [
        (&FeeRule::default(), AMOUNT_MAX, 0),
        (&flat, 1, 25),
        (&flat, AMOUNT_MAX, 25),
        (&card, 100, 30),
        (&card, 1_000, 34),
        (&card, 1_000_000, 500),
        (&tiers, 1_000, 10),
        (&tiers, 1_100, 11),
        (&tiers, 10_000, 55),
        (&tiers, 1_000_000, 55),
        (&percent(WHOLE_PPM), AMOUNT_MAX, AMOUNT_MAX),
    ] {
        assert_eq!(rule.check(), Ok(()));
        assert_eq!(assess(rule, amount), fee, "{rule:?} of {amount}");
    }
    // More than any amount can be is cut to that.
    let beyond = FeeRule { flat: 1, ..percent(WHOLE_PPM) };
    assert_eq!(assess(&beyond, AMOUNT_MAX), AMOUNT_MAX);
}

/// A half of a minor unit, by each rule: 0.5, 1.5 and 2.5 as 1 %, and what lies beside them.
#[test]
fn rounding_is_as_it_is_called() {
    for (rounding, fees) in [
        (Rounding::HalfUp, [0, 1, 1, 2, 2, 3, 3]),
        (Rounding::HalfEven, [0, 0, 1, 2, 2, 2, 3]),
        (Rounding::Up, [1, 1, 1, 2, 2, 3, 3]),
        (Rounding::Down, [0, 0, 0, 1, 1, 2, 2]),
    ] {
        let rule = FeeRule { rounding, ..percent(10_000) };
        let got = [49, 50, 51, 150, 151, 250, 251].map(|amount| assess(&rule, amount));
        assert_eq!(got, fees, "{}", rounding.name());
        assert_eq!(Rounding::from_number(rounding.number()), Some(rounding));
    }
}

#[test]
fn what_is_no_rule_is_told() {
    let tier = |above, rate_ppm| Tier { above, rate_ppm };
    let many = (0..=TIERS_MAX as u128).map(|above| tier(above, 1)).collect();
    for (rule, fault) in [
        (FeeRule { flat: AMOUNT_MAX + 1, ..FeeRule::default() }, FeeFault::AmountTooLarge),
        (FeeRule { max: Some(AMOUNT_MAX + 1), ..FeeRule::default() }, FeeFault::AmountTooLarge),
        (FeeRule { min: 2, max: Some(1), ..FeeRule::default() }, FeeFault::MinAboveMax),
        (FeeRule { tiers: vec![tier(1, 1)], ..FeeRule::default() }, FeeFault::Tiers),
        (FeeRule { tiers: vec![tier(0, 1), tier(0, 2)], ..FeeRule::default() }, FeeFault::Tiers),
        (FeeRule { tiers: many, ..FeeRule::default() }, FeeFault::Tiers),
        (percent(WHOLE_PPM + 1), FeeFault::Rate),
    ] {
        assert_eq!(rule.check(), Err(fault), "{rule:?}");
    }
}

fn rules() -> impl Strategy<Value = FeeRule> {
    let amount = prop_oneof![0..2_000_u128, 0..=AMOUNT_MAX];
    let tiers = prop::collection::btree_map(1..5_000_u128, 0..=WHOLE_PPM, 0..5);
    let ends = (0..200_u128, prop::option::of(200..2_000_u128));
    (amount, 0..=WHOLE_PPM, tiers, ends, 0..4_u8).prop_map(
        |(flat, first, tiers, (min, max), how)| {
            let first = Tier { above: 0, rate_ppm: first };
            let more = tiers.into_iter().map(|(above, rate_ppm)| Tier { above, rate_ppm });
            let tiers = [first].into_iter().chain(more).collect();
            let rounding = Rounding::from_number(how).expect("four rules");
            FeeRule { flat, tiers, min, max, rounding }
        },
    )
}

/// Minor unit by minor unit, in the plainest possible way.
fn slowly(rule: &FeeRule, amount: u128) -> u128 {
    let mut millionths = 0;
    for unit in 0..amount {
        let tier = rule.tiers.iter().rev().find(|tier| tier.above <= unit).expect("from 0 on");
        millionths += u128::from(tier.rate_ppm);
    }
    let (whole, rest) = (millionths / 1_000_000, millionths % 1_000_000);
    let rounded = match rule.rounding {
        Rounding::Down => whole,
        Rounding::Up => u128::div_ceil(millionths, 1_000_000),
        Rounding::HalfUp => (millionths + 500_000) / 1_000_000,
        Rounding::HalfEven if rest == 500_000 => whole + whole % 2,
        Rounding::HalfEven => (millionths + 500_000) / 1_000_000,
    };
    let fee = (rule.flat + rounded).max(rule.min);
    fee.min(rule.max.unwrap_or(AMOUNT_MAX))
}

proptest! {
    #[test]
    fn a_fee_is_the_sum_over_all_minor_units(rule in rules(), amount in 0..6_000_u128) {
        prop_assert_eq!(rule.check(), Ok(()));
        prop_assert_eq!(assess(&rule, amount), slowly(&rule, amount));
    }

    /// No amount is dearer than a larger one, no tier begins with a jump, and least and most hold.
    #[test]
    fn fees_rise_without_jumps_between_their_bounds(rule in rules(), amount in 0..AMOUNT_MAX) {
        for amount in [amount, amount % 6_000] {
            let (fee, next) = (assess(&rule, amount), assess(&rule, amount + 1));
            prop_assert!(fee <= next);
            prop_assert!(next - fee <= 1, "one minor unit more costs {} more", next - fee);
            let most = rule.max.unwrap_or(AMOUNT_MAX);
            prop_assert!(fee >= rule.min.min(most) && fee <= most);
        }
    }
}
