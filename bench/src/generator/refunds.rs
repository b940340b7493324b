//! The workload `refunds`: some transfers are given back in thirds, one after another, and some
//! once more, when less remains than is asked for.

use super::{Batch, Item, Operation};
use std::collections::VecDeque;

/// Parts in which a transfer is given back.
const PARTS: u64 = 3;

/// Of so many transfers given back, one is asked for once more than there are parts.
const BEYOND_OF: u64 = 4;

/// Transfers of which parts are to be given back.
#[derive(Default)]
pub struct Refunds {
    /// From which request on, of what, and how many parts were asked for before.
    due: VecDeque<(u64, Item, u64)>,
}

impl Refunds {
    /// Parts of `item` are given back, the first from request `from` on.
    pub fn plan(&mut self, from: u64, item: Item) {
        self.due.push_back((from, item, 0));
    }

    /// Asks for the parts that are due at request `now`, as far as `count` transfers have room;
    /// the next part of each `pause` requests later, when this one is answered.
    pub fn fill(
        &mut self,
        batch: &mut Batch,
        count: usize,
        now: u64,
        pause: u64,
        next_id: &mut u64,
    ) {
        while let Some((from, original, asked)) = self.due.front().copied()
            && from <= now
            && batch.items.len() < count
        {
            self.due.pop_front();
            batch.items.push(part(&original, asked, *next_id));
            *next_id += 1;
            let asked = asked + 1;
            if asked < PARTS || (asked == PARTS && original.id.is_multiple_of(BEYOND_OF)) {
                self.due.push_back((now + pause, original, asked));
            }
        }
    }
}

/// The refund of one part: a third, and behind the thirds as much as was moved, of which next to
/// nothing is left.
fn part(original: &Item, asked: u64, id: u64) -> Item {
    let amount = if asked < PARTS { (original.amount / PARTS).max(1) } else { original.amount };
    Item {
        id,
        debit: original.credit,
        credit: original.debit,
        amount,
        operation: Operation::Refund,
        argument: original.id,
        ..Item::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_given_back_in_thirds_and_every_fourth_beyond_what_remains() {
        let (mut refunds, mut next_id) = (Refunds::default(), 100);
        for id in 1..=8 {
            refunds.plan(5, Item { id, debit: 1, credit: 2, amount: 100, ..Item::default() });
        }
        let mut asked = Vec::new();
        for now in 0..40 {
            let mut batch = Batch::default();
            refunds.fill(&mut batch, 3, now, 4, &mut next_id);
            assert!(batch.items.len() <= 3 && (now >= 5 || batch.items.is_empty()));
            asked.extend(batch.items.iter().map(|item| (now, *item)));
        }
        for id in 1..=8u64 {
            let of: Vec<_> = asked.iter().filter(|(_, item)| item.argument == id).collect();
            let amounts: Vec<_> = of.iter().map(|(_, item)| item.amount).collect();
            let beyond: &[u64] = if id % 4 == 0 { &[100] } else { &[] };
            assert_eq!(amounts, [&[33, 33, 33][..], beyond].concat());
            assert!(of.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 4), "answered before");
            assert!(of.iter().all(|(_, item)| (item.debit, item.credit) == (2, 1)));
        }
        let ids: std::collections::HashSet<_> = asked.iter().map(|(_, item)| item.id).collect();
        assert_eq!((ids.len(), refunds.due.len()), (26, 0));
    }
}
