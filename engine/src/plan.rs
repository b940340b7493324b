//! A batch on its way from arrival to decision: where each answer comes from, and the rule by
//! which votes become decisions.
//!
//! The coordinator fills a [`Plan`], the partitions vote on its batch, [`Plan::decide`] turns
//! votes into verdicts, and [`crate::coordinator::Coordinator::conclude`] turns those into
//! records and outcomes.

use crate::account::Account;
use crate::batch::{Batch, Vote};
use crate::coordinator::FeeItem;
use crate::holds::{Closed, Hold};
use crate::ids::{Lsn, Slot, TransferId};
use crate::money::CurrencyId;
use crate::partition::Told;
use crate::refunds::RefundState;
use crate::rejection::Rejection;
use crate::repeat::Asked;
use crate::terms::judge::{self, Host};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Where the answer to one request comes from.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A new request: item `item` of the batch.
    Fresh { item: u32, currency: Option<CurrencyId> },
    /// A known id, decided (or being decided) by the event at `lsn`.
    Known { lsn: Lsn, asked: Box<Asked> },
}

/// Groups that were decided together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decided {
    /// Each by its first item, and whether it is posted.
    pub groups: Vec<(usize, bool)>,
    /// What their balanced items move, by item; not of groups that a partition settled.
    pub(crate) moved: Vec<(usize, u128)>,
}

/// Accounts as they stand in front of groups with terms.
#[derive(Clone, Debug, Default)]
struct Fronts(HashMap<Slot, Account, FixedState>);

impl Host for Fronts {
    fn account(&self, slot: Slot) -> &Account {
        &self.0[&slot]
    }

    fn account_mut(&mut self, slot: Slot) -> &mut Account {
        self.0.get_mut(&slot).expect("told with the vote")
    }
}

/// A batch on its way from arrival to decision.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) time_ns: u64,
    pub(crate) batch: Batch,
    pub(crate) places: Vec<Place>,
    pub(crate) verdicts: Vec<Option<Rejection>>,
    /// The undecided groups: the item whose votes a group waits for, the votes on all its
    /// earlier ones being yes for good, and the group's first item.
    pub(crate) undecided: BTreeMap<usize, usize>,
    /// The holds that its groups change, as those members leave them that were judged so far. A
    /// later group that speaks of one of them is judged in the next batch, when it is known what
    /// became of it.
    pub(crate) touched: HashMap<TransferId, Result<Hold, Closed>, FixedState>,
    /// The originals that its groups refund, by their events, likewise.
    pub(crate) refunded: HashMap<Lsn, RefundState, FixedState>,
    /// What comes now belongs to the group that begins with this event.
    pub(crate) group_lsn: Lsn,
    /// A group was left out because what it refunds has to be read first.
    pub(crate) unread: bool,
    /// The accounts that items of the batch may change, of so many items: looked at only for
    /// groups that ask for versions.
    pub(crate) changing: (HashSet<Slot, FixedState>, usize),
    /// The legs that are fees, in the order of their items.
    pub(crate) fees: Vec<FeeItem>,
    /// What balanced items move.
    pub(crate) moved: Vec<(usize, u128)>,
    /// How accounts stand at which a group with terms has come to the front.
    fronts: Fronts,
    /// So many items in front are expiries, which nobody asked for.
    pub(crate) expired: usize,
    /// More holds are due than have room: requests wait for the next batch.
    pub(crate) full: bool,
    /// Something else than a transfer without terms is in it, was left out of it, or may be awaited by
    /// a schedule or a saga.
    pub(crate) mixed: bool,
}

impl Plan {
    /// The new events, for the partitions to prepare. Empty when all ids were known and no hold
    /// expires.
    #[must_use]
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Takes the batch out, to share it with the partitions.
    #[must_use]
    pub fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// When the batch was decided, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn time_ns(&self) -> u64 {
        self.time_ns
    }

    /// Whether a group changes a hold, or refunds something.
    pub(crate) fn changes_something(&self) -> bool {
        !self.touched.is_empty() || !self.refunded.is_empty()
    }

    /// Whether a group was left out because what it refunds has to be read first
    /// ([`crate::coordinator::Coordinator::unread`]), since this was asked last.
    pub fn take_unread(&mut self) -> bool {
        std::mem::take(&mut self.unread)
    }

    /// Requests in the batch, repeats included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Holds that expire with it.
    #[must_use]
    pub fn expired(&self) -> usize {
        self.expired
    }

    /// Whether there are only transfers in it, without terms, notes and fees, new or known: what becomes of them
    /// concerns nothing that the coordinator owns, so it can be concluded apart from it
    /// ([`crate::coordinator::conclude_plain`]).
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.mixed && self.expired == 0 && self.fees.is_empty()
    }

    /// Whether it is full of expiries, and no request can be taken up.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Whether no request was taken up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The decisions, one per item of the batch.
    #[must_use]
    pub fn verdicts(&self) -> &[Option<Rejection>] {
        &self.verdicts
    }

    /// A plan of nothing yet.
    pub(crate) fn new(first_lsn: Lsn, time_ns: u64, seed: u64) -> Self {
        let scattered = || FixedState::with_seed(seed);
        Self {
            time_ns,
            batch: Batch { first_lsn, ..Batch::default() },
            places: Vec::new(),
            fees: Vec::new(),
            verdicts: Vec::new(),
            undecided: BTreeMap::default(),
            touched: HashMap::with_hasher(scattered()),
            changing: (HashSet::with_hasher(scattered()), 0),
            moved: Vec::new(),
            fronts: Fronts::default(),
            refunded: HashMap::with_hasher(scattered()),
            group_lsn: first_lsn,
            unread: false,
            expired: 0,
            full: false,
            mixed: false,
        }
    }

    /// Takes in what a partition told with its votes, or with those that changed; before it is
    /// decided on them.
    pub fn hear(&mut self, told: Told) {
        self.moved.extend(told.moved);
        self.fronts.0.extend(told.fronts);
    }

    /// Whether the amounts of the batch are those that its items move; else [`Self::fix`] makes
    /// them so.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.moved.is_empty()
    }

    /// Sets the amounts of the batch's balanced items to what they move, once all is decided and
    /// before any of it is committed.
    pub fn fix(&self, batch: &mut Batch) {
        batch.set_moved(&self.moved);
    }

    /// Decides every group of `batch` whose votes suffice, given the votes of each partition
    /// and the items on which a vote changed since the last call; the first call looks at
    /// everything. Returns the groups decided by this call, and whether all are decided now.
    pub fn decide(
        &mut self,
        batch: &Batch,
        votes: &[Vec<Vote>],
        changed: &[usize],
    ) -> (Decided, bool) {
        let mut decided = Vec::new();
        let told = self.moved.len();
        if self.verdicts.is_empty() {
            self.verdicts = vec![None; batch.items.len()];
            let mut at = 0;
            while at < batch.items.len() {
                let now = self.decide_group(batch, at, at, votes);
                // A lone partition settles everything: it need not be told.
                decided.extend(now.filter(|_| votes.len() > 1).map(|posted| (at, posted)));
                at = batch.group_end(at);
            }
        } else {
            for item in changed {
                if let Some(group) = self.undecided.remove(item) {
                    let now = self.decide_group(batch, group, *item, votes);
                    decided.extend(now.map(|posted| (group, posted)));
                }
            }
        }
        let all = self.undecided.is_empty();
        assert!(all || !decided.is_empty(), "the earliest undecided group can always be decided");
        let mut moved = self.moved[told..].to_vec();
        moved.sort_unstable();
        (Decided { groups: decided, moved }, all)
    }

    /// Writes the verdicts on one group if its votes suffice, and tells whether it is posted;
    /// else notes what it waits for. The votes on its items before `from` are yes.
    fn decide_group(
        &mut self,
        batch: &Batch,
        group: usize,
        from: usize,
        votes: &[Vec<Vote>],
    ) -> Option<bool> {
        if batch.items[group].refused.is_some() {
            let all = group..batch.group_end(group);
            for (verdict, item) in self.verdicts[all.clone()].iter_mut().zip(&batch.items[all]) {
                *verdict = item.refused;
            }
            return Some(false);
        }
        let mut at = from;
        loop {
            #[cfg(test)]
            crate::waiting::steps::count();
            let vote = votes.iter().fold(Vote::ABSENT, |all, votes| all.and(votes[at]));
            assert!(vote != Vote::ABSENT, "every item has accounts somewhere");
            if vote.is_of_terms() {
                return self.decide_termed(batch, group, votes);
            }
            if vote.waits() {
                self.undecided.insert(at, group);
                return None;
            }
            if vote.is_no() {
                // Those before it were fine, those behind it were never asked.
                let all = group..batch.group_end(group);
                self.verdicts[all].fill(Some(Rejection::LinkedFailed));
                self.verdicts[at] = vote.rule();
                self.blame(at);
                return Some(false);
            }
            if !batch.items[at].linked {
                return Some(true);
            }
            at += 1;
        }
    }

    /// A leg that failed and is a fee is told of with its transfer.
    fn blame(&mut self, failing: usize) {
        if let Ok(found) = self.fees.binary_search_by_key(&failing, |fee| fee.item as usize) {
            self.verdicts[self.fees[found].of as usize] = Some(Rejection::FeeRefused);
        }
    }

    /// The same for a group with terms of which no partition hosts all accounts, or not with
    /// nothing undecided in front: judged here once it has come to the front everywhere.
    fn decide_termed(&mut self, batch: &Batch, group: usize, votes: &[Vec<Vote>]) -> Option<bool> {
        let all = group..batch.group_end(group);
        let vote = |at: usize| votes.iter().fold(Vote::ABSENT, |all, votes| all.and(votes[at]));
        if let Some(behind) = all.clone().find(|at| vote(*at) != Vote::IN_FRONT) {
            self.undecided.insert(behind, group);
            return None;
        }
        match judge::prepare_group(batch, all.clone(), &mut self.fronts, &mut self.moved) {
            Ok(()) => Some(true),
            Err((failing, rule)) => {
                self.verdicts[all].fill(Some(Rejection::LinkedFailed));
                self.verdicts[failing] = Some(rule);
                self.blame(failing);
                Some(false)
            }
        }
    }
}
