//! Schedules of fees out of plain words: small ones, that accounts can just pay or just not.

use super::rng::Rng;
use super::workload::{GBP, USD, account};
use crate::coordinator::FeeTarget;
use crate::fees::{FeeRule, Rounding, Schedule, Tier};
use crate::money::{AMOUNT_MAX, CurrencyId};
use crate::transfer::TransferKind;

/// What an operator does with fees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FeeStep {
    /// Defines a schedule or changes it.
    Define(Schedule),
    /// Attaches the schedule of this name, or none.
    Attach(FeeTarget, Option<&'static str>),
}

const NAMES: [&str; 3] = ["card", "wire", "a"];

/// The step that a word stands for; `defined`: schedules were defined before. The first is one that
/// can be, most later ones attach it to what is paid often.
pub(super) fn step(word: u64, defined: bool) -> FeeStep {
    let mut rng = Rng::new(word);
    if !defined || rng.once_in(8) {
        let rule = FeeRule { flat: 1 + rng.below(3) as u128, ..schedule(&mut rng).rule };
        let rule =
            if rule.check().is_ok() { rule } else { FeeRule { flat: 1, ..FeeRule::default() } };
        let (name, account) = (NAMES[0].to_owned(), account(4));
        return FeeStep::Define(Schedule { name, currency: GBP, account, rule });
    }
    if rng.once_in(6) {
        return FeeStep::Define(schedule(&mut rng));
    }
    let name = (!rng.once_in(8)).then(|| NAMES[[0, 0, 0, 0, 0, 0, 1, 2][rng.below(8)]]);
    let target = match rng.below(8) {
        0 | 1 => FeeTarget::Account(account([1, 2, 3, 4, 1, 0, 6, 11][rng.below(8)])),
        2 if rng.once_in(2) => FeeTarget::Kind(TransferKind::Refund, GBP),
        2 => FeeTarget::Kind(TransferKind::ALL[rng.below(8)], [GBP, USD][rng.below(2)]),
        _ => FeeTarget::Kind(TransferKind::ALL[rng.below(3)], GBP),
    };
    FeeStep::Attach(target, name)
}

fn schedule(rng: &mut Rng) -> Schedule {
    let name = [NAMES[0], NAMES[0], NAMES[1], "Not one"][[0, 0, 0, 1, 1, 2, 2, 3][rng.below(8)]];
    let currency = match rng.below(16) {
        0 => USD,
        1 => CurrencyId(1000),
        _ => GBP,
    };
    let account = account([4, 4, 4, 2, 2, 9, 0, 11][rng.below(8)]);
    let tiers = match rng.below(4) {
        0 => Vec::new(),
        1 => vec![Tier { above: 0, rate_ppm: 100_000 }],
        2 => vec![Tier { above: 0, rate_ppm: 500_000 }, Tier { above: 4, rate_ppm: 250_000 }],
        _ => vec![Tier { above: rng.below(8) as u128 / 7, rate_ppm: 1_000_000 }],
    };
    let rounding = Rounding::ALL[rng.below(4)];
    let flat = [0, 0, 1, 1, 2, 5, AMOUNT_MAX, AMOUNT_MAX + 1][rng.below(8)];
    let max = [None, None, Some(3), Some(1)][rng.below(4)];
    let rule = FeeRule { flat, tiers, min: rng.below(3) as u128, max, rounding };
    Schedule { name: name.to_owned(), currency, account, rule }
}
