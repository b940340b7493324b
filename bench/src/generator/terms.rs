//! The workload `terms`: of the draws that are on terms, 40 of 100 are balanced, 30 have a
//! condition on one of their accounts, 20 are payments from two ordered sources and 10 are
//! payments in shares. The last two are linked groups.

use super::{AccountIds, Batch, Item};
use crate::item_terms::ItemTerms;
use crate::rng::Rng;
use ducat_engine::shares::{Percent, Share, split};

/// A balanced transfer asks for up to so many times the largest amount, so that some find less.
const BALANCED_TIMES: u64 = 10;

/// A payer must keep so many times the largest amount.
const KEPT_TIMES: u64 = 2;

/// A payee must not come to more than this, minor units: three times what it began with.
const POSTED_MOST: u64 = 30_000;

/// The shares of a payment, percent; the last leg gets the rest, odd minor units included.
const SHARES: [&str; 2] = ["50", "33.3"];

/// The least that is paid in shares, minor units: no share comes to nothing.
const SHARED_LEAST: u64 = 10;

/// Puts transfers on terms.
pub struct OnTerms {
    accounts: AccountIds,
    amount_max: u64,
    shares: Vec<Share>,
}

impl OnTerms {
    /// For transfers between `accounts` of 1 to `amount_max` minor units.
    pub fn new(accounts: AccountIds, amount_max: u64) -> Self {
        let percent = |text: &&str| text.parse::<Percent>().map(Share::Percent);
        let mut shares: Vec<_> = SHARES.iter().flat_map(percent).collect();
        shares.push(Share::Rest);
        Self { accounts, amount_max, shares }
    }

    /// Puts `item` on terms. A group's members but the last are put in front, into `batch`, where
    /// `room` says that there is any; true when it is a group's last member.
    pub fn draw(
        &self,
        item: &mut Item,
        batch: &mut Batch,
        room: usize,
        next_id: &mut u64,
        rng: &mut Rng,
    ) -> bool {
        match rng.below(100) {
            70..90 if room >= 2 && self.accounts.count > 2 => {
                self.sources(item, batch, next_id, rng);
                true
            }
            90.. if room >= self.shares.len() && self.accounts.count > 3 => {
                self.in_shares(item, batch, next_id, rng);
                true
            }
            40..55 => {
                item.terms = ItemTerms::KeepsAtLeast;
                item.argument = KEPT_TIMES * self.amount_max;
                false
            }
            55..70 => {
                item.terms = ItemTerms::HasAtMost;
                item.argument = POSTED_MOST;
                false
            }
            _ => {
                item.terms = ItemTerms::Balanced;
                item.amount = 1 + rng.below(BALANCED_TIMES * self.amount_max);
                false
            }
        }
    }

    /// A payment of which the first source gives up to a part, and the second the rest.
    fn sources(&self, item: &mut Item, batch: &mut Batch, next_id: &mut u64, rng: &mut Rng) {
        let total = item.amount;
        item.argument = total;
        batch.items.push(Item {
            amount: 1 + rng.below(total),
            terms: ItemTerms::Source,
            linked: true,
            ..*item
        });
        item.debit = self.other_than(&[item.debit, item.credit], rng);
        item.terms = ItemTerms::LastSource;
        item.id = *next_id;
        *next_id += 1;
    }

    /// A payment from one account to several, in shares.
    fn in_shares(&self, item: &mut Item, batch: &mut Batch, next_id: &mut u64, rng: &mut Rng) {
        let total = item.amount.max(SHARED_LEAST);
        let Ok(amounts) = split(u128::from(total), &self.shares) else { return };
        let mut taken = vec![item.debit, item.credit];
        for (at, amount) in amounts.iter().enumerate() {
            // No more than the total, which is 64 bits.
            item.amount = *amount as u64;
            if at + 1 == amounts.len() {
                return;
            }
            batch.items.push(Item { linked: true, ..*item });
            item.credit = self.other_than(&taken, rng);
            taken.push(item.credit);
            item.id = *next_id;
            *next_id += 1;
        }
    }

    /// The id of an account that is none of these, of which there are fewer than accounts.
    fn other_than(&self, taken: &[u64], rng: &mut Rng) -> u64 {
        let mut index = rng.below(self.accounts.count);
        while taken.contains(&self.accounts.id(index)) {
            index = (index + 1) % self.accounts.count;
        }
        self.accounts.id(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_terms_has_its_share_and_groups_are_whole() {
        let accounts = AccountIds { base: 1 << 41, count: 4 };
        let (mut rng, mut next_id) = (Rng::new(3, 0), 1);
        let terms = OnTerms::new(accounts, 1000);
        let mut counts = [0u32; 5];
        for _ in 0..10_000 {
            let mut item = Item { id: next_id, ..Item::default() };
            (item.debit, item.credit) = (accounts.id(0), accounts.id(1));
            item.amount = 1 + rng.below(1000);
            next_id += 1;
            let (amount, mut batch) = (item.amount, Batch::default());
            let group = terms.draw(&mut item, &mut batch, 9, &mut next_id, &mut rng);
            assert_eq!(group, !batch.items.is_empty());
            assert!(!item.linked && batch.items.iter().all(|leg| leg.linked));
            batch.items.push(item);
            assert!(batch.items.iter().all(|leg| leg.debit != leg.credit && leg.amount > 0));
            let ids: std::collections::HashSet<_> = batch.items.iter().map(|leg| leg.id).collect();
            assert_eq!(ids.len(), batch.items.len());
            let at = match (item.terms, &batch.items[..]) {
                (ItemTerms::Balanced, [_]) => 0,
                (ItemTerms::KeepsAtLeast, [_]) => 1,
                (ItemTerms::HasAtMost, [_]) => 2,
                (ItemTerms::LastSource, [first, last]) => {
                    assert_eq!((first.terms, first.credit), (ItemTerms::Source, last.credit));
                    assert_eq!([first.argument, last.argument, last.amount], [amount; 3]);
                    assert!(first.amount <= amount && first.debit != last.debit);
                    3
                }
                (ItemTerms::None, [a, b, c]) => {
                    assert_eq!(a.amount + b.amount + c.amount, amount.max(SHARED_LEAST));
                    assert!(a.debit == c.debit && a.credit != b.credit && b.credit != c.credit);
                    4
                }
                other => panic!("{other:?}"),
            };
            counts[at] += 1;
        }
        for (count, share) in counts.iter().zip([40, 15, 15, 20, 10]) {
            assert!(count.abs_diff(share * 100) < 200, "{counts:?}");
        }
    }

    #[test]
    fn without_room_there_are_no_groups() {
        let accounts = AccountIds { base: 1 << 41, count: 2 };
        let (mut rng, mut next_id) = (Rng::new(3, 0), 1);
        let terms = OnTerms::new(accounts, 1000);
        for _ in 0..1000 {
            let mut item = Item { amount: 5, ..Item::default() };
            let mut batch = Batch::default();
            assert!(!terms.draw(&mut item, &mut batch, 1, &mut next_id, &mut rng));
            assert!(batch.items.is_empty() && item.terms != ItemTerms::None);
        }
    }
}
