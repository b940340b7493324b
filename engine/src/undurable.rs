//! Batches of transfers that are committed in memory and not durable yet, and how accounts stood
//! before them.
//!
//! A read shows only what is durable. Under load that is two or three batches behind memory, and
//! waiting for them costs a read two appends. So what they did is taken off again: a posting's leg
//! tells the account's figures after it and the account's entry before it, and the first posting of
//! an account tells how it stood before all of them. Of batches that hold more than plain transfers
//! nothing of the kind is kept; for those reads wait.

use crate::batch::Batch;
use crate::ids::{Lsn, Slot};
use crate::partition::{Leg, Legs, Partition, merge};
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::transfer::AccountView;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::sync::Arc;

/// What an account shows, with what is needed to take postings off it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Where it is hosted.
    pub slot: Slot,
    /// How it stands.
    pub view: AccountView,
    /// The last event that changed it without being an entry, its opening among them.
    changed_lsn: Lsn,
}

impl Standing {
    /// How the account in `slot` stands, when it is hosted there: without what is only prepared.
    #[must_use]
    pub fn of(partition: &Partition, slot: Slot) -> Option<Self> {
        let account = partition.account(slot)?;
        let mut view = account.view();
        view.available = account.figures().available;
        (view.held, view.incoming) = (0, 0);
        let changed_lsn = view.opened_lsn.max(account.changed_lsn());
        Some(Self { slot, view, changed_lsn })
    }

    /// Takes off a posting of so much, and all that came after it at the account.
    fn stand_before(&mut self, amount: i128, leg: Leg) {
        let posted = leg.after.posted - amount;
        self.view.available -= self.view.posted - posted;
        self.view.posted = posted;
        self.view.last_lsn = leg.previous;
        self.view.version = self.changed_lsn.max(leg.previous);
    }
}

/// A decided batch of plain transfers, and what its commit did.
#[derive(Clone, Debug)]
pub struct Undurable {
    batch: Arc<Batch>,
    verdicts: Arc<[Option<Rejection>]>,
    legs: Arc<Vec<Vec<Legs>>>,
}

impl Undurable {
    /// Of a batch that was committed with these verdicts; `legs` is what each partition answered.
    ///
    /// # Panics
    /// When the batch is not [plain](Plan::is_plain).
    #[must_use]
    pub fn new(
        plan: &Plan,
        batch: Arc<Batch>,
        verdicts: Arc<[Option<Rejection>]>,
        legs: Arc<Vec<Vec<Legs>>>,
    ) -> Self {
        assert!(plan.is_plain(), "only of plain transfers all is told by the legs");
        Self { batch, verdicts, legs }
    }

    /// The LSN of its first transfer.
    #[must_use]
    pub fn first_lsn(&self) -> Lsn {
        self.batch.first_lsn
    }

    /// The vectors of legs, for use in later batches, when nobody else has them.
    #[must_use]
    pub fn into_legs(self) -> Option<Vec<Vec<Legs>>> {
        Arc::into_inner(self.legs)
    }

    /// The postings in it, in order: account, what was added to it, and its leg.
    fn postings(&self) -> impl Iterator<Item = (Slot, i128, usize, Side)> + '_ {
        let posted = self.batch.items.iter().zip(&*self.verdicts).enumerate();
        let posted = posted.filter(|(_, (_, verdict))| verdict.is_none());
        posted.flat_map(|(at, (item, _))| {
            let amount = i128::try_from(item.amount).expect("amounts fit into balances");
            [(item.debit, -amount, at, Side::Debit), (item.credit, amount, at, Side::Credit)]
        })
    }

    fn leg(&self, at: usize, side: Side) -> Leg {
        let legs = merge(&self.legs, at);
        let leg = match side {
            Side::Debit => legs.debit,
            Side::Credit => legs.credit,
        };
        leg.expect("a posted transfer has both legs")
    }
}

/// Which of a transfer's accounts.
#[derive(Clone, Copy)]
enum Side {
    Debit,
    Credit,
}

/// Bits of the filter that spares most postings a look into the table.
const FILTER_BITS: u32 = 4_096;

/// Takes off accounts what these batches did, which follow each other without a gap: the accounts
/// stand as they did before the first of them. They must have been looked at behind the last batch
/// and before the next.
pub fn turn_back(batches: &[Undurable], accounts: &mut [Standing]) {
    let mut wanted: HashMap<Slot, Vec<usize>, FixedState> = HashMap::default();
    let mut filter = [0_u64; (FILTER_BITS / 64) as usize];
    let bit = |slot: Slot| ((slot.0 % FILTER_BITS / 64) as usize, 1_u64 << (slot.0 % 64));
    for (at, account) in accounts.iter().enumerate() {
        wanted.entry(account.slot).or_default().push(at);
        let (word, bit) = bit(account.slot);
        filter[word] |= bit;
    }
    for batch in batches {
        for (slot, amount, at, side) in batch.postings() {
            let (word, bit) = bit(slot);
            if filter[word] & bit == 0 {
                continue;
            }
            // The first posting of an account tells all that matters of it.
            for account in wanted.remove(&slot).into_iter().flatten() {
                accounts[account].stand_before(amount, batch.leg(at, side));
            }
        }
        if wanted.is_empty() {
            return;
        }
    }
}
