//! Makes the transfers of a run: ids that are unique across runs, amounts, linked pairs,
//! repeats, and holds with what becomes of them. One generator per client thread; batches are filled in place and used again.
//! What a workload adds to a transfer has a module each.

mod kinds;
mod refunds;
mod terms;

use crate::csv_data::Replay;
use crate::item_terms::ItemTerms;
use crate::rng::Rng;
use crate::workload::{Picker, Workload};
use refunds::Refunds;
use std::collections::VecDeque;
use std::sync::Arc;
use terms::OnTerms;

/// Transfers kept for being repeated.
const REPEAT_RING: usize = 1024;

/// An amount that no account of a run can pay and every ledger can hold, minor units.
const EXCESSIVE: u64 = 1 << 62;

/// A hold is captured or voided so many requests after the one that placed it, at least, ...
const HOLD_REQUESTS_MIN: u64 = 4;

/// ... of four, three are captured.
const CAPTURED_OF_FOUR: u64 = 3;

/// When a hold of a run expires that nobody captured or voided, milliseconds: an hour.
pub const HOLD_TIMEOUT_MS: u64 = 3_600_000;

/// What is asked for; the numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Operation {
    /// A transfer.
    #[default]
    Transfer = 0,
    /// A hold of the amount, which is placed.
    Hold = 1,
    /// All of the hold named is captured.
    Capture = 2,
    /// All of the hold named is given back.
    Void = 3,
    /// The amount is given back of what the transfer named moved.
    Refund = 40,
}

/// What a transfer is for; the numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    /// Between two accounts.
    #[default]
    Transfer = 0,
    /// From an external account; used to fund accounts.
    Deposit = 1,
    /// To an external account.
    Withdrawal = 2,
    /// For goods or services.
    Payment = 3,
}

/// One transfer. Account ids are below 2^64; the upper half of its own id is the batch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Item {
    /// Lower 64 bits of the transfer's id.
    pub id: u64,
    /// The account that pays.
    pub debit: u64,
    /// The account that receives.
    pub credit: u64,
    /// Minor units.
    pub amount: u64,
    /// What it is for.
    pub kind: Kind,
    /// Linked with the next one of the batch.
    pub linked: bool,
    /// What is asked for.
    pub operation: Operation,
    /// What its accounts must be like, and how much it moves.
    pub terms: ItemTerms,
    /// What the operation or the terms take. Of a capture, void or refund, lower 64 bits of the id
    /// of the hold or of the transfer given back; the upper half is the batch's, and the accounts
    /// (of holds the amount too) are those of the movement and are not sent. Of one on terms their
    /// figure, minor units.
    pub argument: u64,
}

impl Item {
    /// Whether it moves its amount between its accounts once it is done.
    pub fn moves(&self) -> bool {
        matches!(self.operation, Operation::Transfer | Operation::Capture | Operation::Refund)
    }
}

/// One request's transfers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Batch {
    /// Upper 64 bits of every transfer id: the run's random number.
    pub id_high: u64,
    /// The transfers, in order.
    pub items: Vec<Item>,
}

/// The ids of one run's accounts: `base + 1` for the first, `base` for the external one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountIds {
    /// Random, so that runs on one ledger do not meet.
    pub base: u64,
    /// How many accounts there are, the external one not counted.
    pub count: u64,
}

impl AccountIds {
    /// Ids no other run has used.
    pub fn random(count: u64) -> Self {
        // Between 2^40 and 2^62: no id a person would type, and room above for strangers.
        Self { base: (rand::random::<u64>() >> 2) | (1 << 40), count }
    }

    /// The account through which money enters.
    pub fn external(self) -> u64 {
        self.base
    }

    /// The internal account that gets the fees of a workload with fees.
    pub fn income(self) -> u64 {
        self.base - 1
    }

    /// The id of account number `index`, from 0.
    #[inline]
    pub fn id(self, index: u64) -> u64 {
        self.base + 1 + index
    }

    /// The number of the account with this id; `None` for the external one and strangers.
    #[inline]
    pub fn index(self, id: u64) -> Option<usize> {
        let index = id.wrapping_sub(self.base + 1);
        (index < self.count).then_some(index as usize)
    }
}

/// What transfers look like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Who pays whom.
    pub workload: Workload,
    /// Zipf's exponent.
    pub zipf_exponent: f64,
    /// Transfers in a batch.
    pub batch: usize,
    /// Amounts are 1 to this many minor units.
    pub amount_max: u64,
    /// Share of transfers that are legs of a linked group, 0 to 1.
    pub linked_share: f64,
    /// Legs of a linked group, 2 at least.
    pub linked_legs: usize,
    /// Share of transfers that repeat an earlier one word for word, 0 to 1.
    pub repeat_share: f64,
    /// Share of requests that read accounts, 0 to 1.
    pub read_share: f64,
    /// Accounts that a read asks for.
    pub read_accounts: usize,
    /// Share of transfers that are made in two steps, 0 to 1.
    pub hold_share: f64,
    /// Requests between a hold, or a transfer given back, and what becomes of it: as many as may
    /// be on their way.
    pub hold_requests: u64,
    /// Share of transfers that are given back in parts, 0 to 1.
    pub refund_share: f64,
    /// Share of draws that are on terms, 0 to 1.
    pub terms_share: f64,
    /// Makes two runs send the same sequence.
    pub seed: u64,
}

/// Fills batches for one client thread.
pub struct Generator {
    shape: Shape,
    accounts: AccountIds,
    run_id: u64,
    next_id: u64,
    rng: Rng,
    picker: Picker,
    sent: Vec<Item>,
    sent_at: usize,
    replay: Option<Arc<Replay>>,
    /// Requests filled.
    filled: u64,
    /// Open holds, and the request from which on something becomes of them.
    held: VecDeque<(u64, Item)>,
    refunds: Refunds,
    on_terms: OnTerms,
}

impl Generator {
    /// The generator of client thread `thread` of the run `run_id`; takes its transfers from
    /// `replay` where there is one.
    pub fn new(
        shape: Shape,
        accounts: AccountIds,
        run_id: u64,
        thread: u64,
        replay: Option<Arc<Replay>>,
    ) -> Self {
        let mut rng = Rng::new(shape.seed, thread);
        let start = rng.below(accounts.count);
        let picker =
            Picker::new(shape.workload, accounts.count, shape.zipf_exponent, start, &mut rng);
        // The thread is in the upper bits; zero stays unused.
        let next_id = (thread << 48) + 1;
        let sent = Vec::with_capacity(REPEAT_RING);
        Self {
            on_terms: OnTerms::new(accounts, shape.amount_max),
            shape,
            accounts,
            run_id,
            next_id,
            rng,
            picker,
            sent,
            sent_at: 0,
            replay,
            filled: 0,
            held: VecDeque::new(),
            refunds: Refunds::default(),
        }
    }

    /// Whether the next request is a read.
    #[inline]
    pub fn draws_read(&mut self) -> bool {
        self.rng.chance(self.shape.read_share)
    }

    /// Fills `ids` with the accounts of the next read, drawn evenly.
    pub fn fill_read(&mut self, ids: &mut Vec<u64>) {
        ids.clear();
        for _ in 0..self.shape.read_accounts {
            ids.push(self.accounts.id(self.rng.below(self.accounts.count)));
        }
    }

    /// Fills `batch` with the next `count` transfers; with fewer, or none, when a replay ends.
    pub fn fill(&mut self, batch: &mut Batch, count: usize) {
        batch.id_high = self.run_id;
        batch.items.clear();
        batch.items.reserve(count);
        if let Some(replay) = &self.replay {
            replay.fill(batch, count, self.accounts);
            return;
        }
        self.filled += 1;
        self.finish_holds(batch, count);
        let pause = self.pause();
        self.refunds.fill(batch, count, self.filled, pause, &mut self.next_id);
        // A group takes several places, so groups begin less often than their share.
        let (share, legs) = (self.shape.linked_share, self.shape.linked_legs);
        let group_chance = share / (legs as f64 - share * (legs - 1) as f64);
        while batch.items.len() < count {
            if self.rng.chance(self.shape.repeat_share) && !self.sent.is_empty() {
                let again = self.rng.below(self.sent.len() as u64) as usize;
                batch.items.push(self.sent[again]);
                continue;
            }
            let room = count - batch.items.len();
            let mut item = self.item();
            if room >= legs && self.rng.chance(group_chance) {
                for _ in 1..legs {
                    item.linked = true;
                    batch.items.push(item);
                    item = self.item();
                }
            } else {
                // Members of groups are not repeated alone.
                let alone = self.dress(&mut item, batch, room);
                if alone && self.shape.repeat_share > 0.0 {
                    self.remember(item);
                }
            }
            batch.items.push(item);
        }
    }

    #[inline]
    fn item(&mut self) -> Item {
        let pick = self.picker.pick(&mut self.rng);
        let amount =
            if pick.excessive { EXCESSIVE } else { 1 + self.rng.below(self.shape.amount_max) };
        let id = self.next_id;
        self.next_id += 1;
        Item {
            id,
            debit: self.accounts.id(pick.debit),
            credit: self.accounts.id(pick.credit),
            amount,
            kind: Kind::Transfer,
            linked: false,
            operation: Operation::Transfer,
            terms: ItemTerms::None,
            argument: 0,
        }
    }

    /// Makes of a plain transfer what the workload has; false when it has become the last member
    /// of a group, whose others are in the batch.
    #[inline]
    fn dress(&mut self, item: &mut Item, batch: &mut Batch, room: usize) -> bool {
        match self.shape.workload {
            Workload::Holds => *item = self.perhaps_held(*item),
            Workload::Refunds if self.rng.chance(self.shape.refund_share) => {
                self.refunds.plan(self.filled + self.pause(), *item);
            }
            Workload::Terms if self.rng.chance(self.shape.terms_share) => {
                let (next_id, rng) = (&mut self.next_id, &mut self.rng);
                return !self.on_terms.draw(item, batch, room, next_id, rng);
            }
            Workload::Fees => kinds::draw(item, self.accounts, &mut self.rng),
            _ => {}
        }
        true
    }

    /// Requests after which an earlier one is answered.
    fn pause(&self) -> u64 {
        self.shape.hold_requests.max(HOLD_REQUESTS_MIN)
    }

    /// What becomes of the holds that are due.
    fn finish_holds(&mut self, batch: &mut Batch, count: usize) {
        while let Some((due, hold)) = self.held.front()
            && *due <= self.filled
            && batch.items.len() < count
        {
            let captured = hold.id % 4 < CAPTURED_OF_FOUR;
            let operation = if captured { Operation::Capture } else { Operation::Void };
            let item = Item { id: self.next_id, operation, argument: hold.id, ..*hold };
            self.next_id += 1;
            self.held.pop_front();
            batch.items.push(item);
        }
    }

    /// Makes some transfers holds.
    #[inline]
    fn perhaps_held(&mut self, item: Item) -> Item {
        if !self.rng.chance(self.shape.hold_share) {
            return item;
        }
        let hold = Item { operation: Operation::Hold, ..item };
        self.held.push_back((self.filled + self.pause(), hold));
        hold
    }

    fn remember(&mut self, item: Item) {
        if self.sent.len() < REPEAT_RING {
            self.sent.push(item);
        } else {
            self.sent[self.sent_at] = item;
            self.sent_at = (self.sent_at + 1) % REPEAT_RING;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn shape() -> Shape {
        Shape {
            workload: Workload::Uniform,
            zipf_exponent: 1.0,
            batch: 100,
            amount_max: 1000,
            linked_share: 0.0,
            linked_legs: 2,
            repeat_share: 0.0,
            read_share: 0.0,
            read_accounts: 1,
            hold_share: 0.0,
            hold_requests: 4,
            refund_share: 0.0,
            terms_share: 0.0,
            seed: 1,
        }
    }

    fn items(shape: Shape, thread: u64, batches: usize) -> Vec<Item> {
        let accounts = AccountIds { base: 1 << 41, count: 1000 };
        let mut generator = Generator::new(shape, accounts, 7, thread, None);
        let (mut batch, mut all) = (Batch::default(), Vec::new());
        for _ in 0..batches {
            generator.fill(&mut batch, shape.batch);
            assert_eq!((batch.id_high, batch.items.len()), (7, shape.batch));
            assert!(batch.items.last().is_some_and(|item| !item.linked), "a group left open");
            all.extend_from_slice(&batch.items);
        }
        all
    }

    #[test]
    fn ids_are_unique_within_and_across_threads() {
        let mut seen = HashSet::new();
        for thread in 0..4 {
            assert!(items(shape(), thread, 100).iter().all(|item| seen.insert(item.id)));
        }
        assert_eq!(seen.len(), 4 * 100 * 100);
        assert!(!seen.contains(&0));
    }

    #[test]
    fn accounts_of_two_runs_do_not_meet() {
        let (a, b) = (AccountIds::random(10_000_000), AccountIds::random(10_000_000));
        assert!(a.base.abs_diff(b.base) > 20_000_000);
        assert_eq!(a.index(a.id(0)), Some(0));
        assert_eq!(a.index(a.id(9_999_999)), Some(9_999_999));
        assert_eq!(a.index(a.id(10_000_000)), None);
        assert_eq!(a.index(a.external()), None);
    }

    #[test]
    fn amounts_stay_in_bounds() {
        assert!(items(shape(), 0, 100).iter().all(|item| (1..=1000).contains(&item.amount)));
    }

    #[test]
    fn linked_pairs_have_their_share() {
        let all = items(Shape { linked_share: 0.3, ..shape() }, 0, 1000);
        let pairs = all.iter().filter(|item| item.linked).count();
        assert!((14_000..16_000).contains(&pairs), "{pairs} pairs in {}", all.len());
    }

    #[test]
    fn linked_groups_have_their_legs_and_end_with_their_batch() {
        let all = items(Shape { linked_share: 1.0, linked_legs: 4, ..shape() }, 0, 1000);
        let groups = all.chunk_by(|before, _| before.linked);
        assert!(groups.clone().all(|group| group.len() == 4));
        assert_eq!(groups.count(), all.len() / 4);
        let some = items(Shape { linked_share: 0.3, linked_legs: 4, ..shape() }, 0, 1000);
        let groups = some.chunk_by(|before, _| before.linked).filter(|group| group.len() == 4);
        let legs = 4 * groups.count();
        assert!((28_000..32_000).contains(&legs), "{legs} legs in {}", some.len());
    }

    #[test]
    fn repeats_have_their_share_and_the_same_words() {
        let all = items(Shape { repeat_share: 0.2, linked_share: 0.1, ..shape() }, 0, 1000);
        let mut first = std::collections::HashMap::new();
        let mut repeats = 0;
        for item in &all {
            match first.insert(item.id, *item) {
                Some(before) => {
                    assert_eq!(before, *item);
                    repeats += 1;
                }
                None => continue,
            }
        }
        // Pairs take two places for one draw, so the share is a little below.
        assert!((17_500..21_000).contains(&repeats), "{repeats}");
    }

    #[test]
    fn holds_have_their_share_and_each_is_captured_or_voided_once() {
        let shape =
            Shape { workload: Workload::Holds, hold_share: 0.3, hold_requests: 7, ..shape() };
        let all = items(shape, 2, 1_000);
        let mut places = std::collections::HashMap::new();
        let (mut transfers, mut captured, mut voided) = (0, 0, 0);
        for (at, item) in all.iter().enumerate() {
            match item.operation {
                Operation::Transfer => transfers += 1,
                Operation::Hold => assert_eq!(places.insert(item.id, (at / 100, *item)), None),
                Operation::Refund => panic!("{item:?}"),
                Operation::Capture | Operation::Void => {
                    let (request, hold) = places.remove(&item.argument).expect("an open hold");
                    assert!(at / 100 >= request + 7, "not before it was answered");
                    assert_eq!((item.amount, item.debit), (hold.amount, hold.debit));
                    let counted = if item.moves() { &mut captured } else { &mut voided };
                    *counted += 1;
                }
            }
        }
        let held = captured + voided + places.len();
        let share = held as f64 / (held + transfers) as f64;
        assert!((0.28..0.32).contains(&share), "{share}");
        let share = captured as f64 / (captured + voided) as f64;
        assert!((0.73..0.77).contains(&share), "{share}");
        // Only those of the last requests are left.
        assert!(places.values().all(|(request, _)| *request + 8 >= 1_000 - 1), "{}", places.len());
        let ids: HashSet<_> = all.iter().map(|item| item.id).collect();
        assert_eq!(ids.len(), all.len());
    }

    #[test]
    fn refunds_follow_what_they_give_back_and_terms_have_their_share() {
        let shape = Shape { workload: Workload::Refunds, refund_share: 0.2, ..shape() };
        let mut made = std::collections::HashMap::new();
        let mut given_back = HashSet::new();
        for (at, item) in items(shape, 1, 500).iter().enumerate() {
            if item.operation == Operation::Refund {
                let request = made[&item.argument];
                assert!(at / 100 >= request + 4, "not before it was answered");
                given_back.insert(item.argument);
            } else {
                assert_eq!(made.insert(item.id, at / 100), None);
            }
        }
        let share = given_back.len() as f64 / made.len() as f64;
        assert!((0.18..0.22).contains(&share), "{share}");
        let shape = Shape { workload: Workload::Terms, terms_share: 0.5, ..shape };
        let all = items(shape, 1, 500);
        let asking = all.iter().filter(|item| item.terms != ItemTerms::None).count();
        assert!((20_000..28_000).contains(&asking), "{asking} of {}", all.len());
        let ids: HashSet<_> = all.iter().map(|item| item.id).collect();
        assert_eq!(ids.len(), all.len());
    }

    #[test]
    fn a_seed_names_a_sequence() {
        assert_eq!(items(shape(), 0, 3), items(shape(), 0, 3));
        let other = Shape { seed: 2, ..shape() };
        assert_ne!(items(shape(), 0, 3), items(other, 0, 3));
    }
}
