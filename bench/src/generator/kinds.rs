//! The workload `fees`: what transfers are for, in the proportion of a business that takes
//! payments. Fees are attached to the kinds ([`crate::fees`]).

use super::{AccountIds, Item, Kind};
use crate::rng::Rng;

/// Makes `item` one of some kind: 75 of 100 are payments, 10 payouts to the outside, 10 transfers
/// between accounts, 5 top-ups from the outside.
pub fn draw(item: &mut Item, accounts: AccountIds, rng: &mut Rng) {
    match rng.below(100) {
        0..75 => item.kind = Kind::Payment,
        75..85 => (item.kind, item.credit) = (Kind::Withdrawal, accounts.external()),
        85..95 => {}
        _ => (item.kind, item.debit) = (Kind::Deposit, accounts.external()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_shares_and_the_outside_its_side() {
        let accounts = AccountIds { base: 1 << 41, count: 10 };
        let mut rng = Rng::new(5, 0);
        let mut counts = [0u32; 4];
        for _ in 0..10_000 {
            let mut item =
                Item { debit: accounts.id(1), credit: accounts.id(2), ..Item::default() };
            draw(&mut item, accounts, &mut rng);
            counts[item.kind as usize] += 1;
            let outside = (item.debit == accounts.external(), item.credit == accounts.external());
            assert_eq!(outside, (item.kind == Kind::Deposit, item.kind == Kind::Withdrawal));
        }
        for (count, share) in counts.iter().zip([10, 5, 10, 75]) {
            assert!(count.abs_diff(share * 100) < 200, "{counts:?}");
        }
    }
}
