//! A batch on its way from arrival to decision: where each answer comes from, and the rule by
//! which votes become decisions.
//!
//! The coordinator fills a [`Plan`], the partitions vote on its batch, [`Plan::decide`] turns
//! votes into verdicts, and [`crate::coordinator::Coordinator::conclude`] turns those into
//! records and outcomes.

use crate::batch::{Batch, Vote};
use crate::ids::Lsn;
use crate::money::CurrencyId;
use crate::rejection::Rejection;
use crate::repeat::Asked;

/// Where the answer to one request comes from.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A new transfer: item `item` of the batch.
    Fresh { item: u32, currency: Option<CurrencyId> },
    /// A known id, decided (or being decided) by the event at `lsn`.
    Known { lsn: Lsn, asked: Box<Asked> },
}

/// A batch on its way from arrival to decision.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) time_ns: u64,
    pub(crate) batch: Batch,
    pub(crate) places: Vec<Place>,
    pub(crate) verdicts: Vec<Option<Rejection>>,
    pub(crate) undecided: Vec<usize>,
}

impl Plan {
    /// The new transfers, for the partitions to prepare. Empty when all ids were known.
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

    /// Requests in the batch, repeats included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The decisions, one per item of the batch.
    #[must_use]
    pub fn verdicts(&self) -> &[Option<Rejection>] {
        &self.verdicts
    }

    /// Decides every group of `batch` whose votes suffice, given the votes of each partition.
    /// Returns the groups decided by this call, as `(first item, posted)`, and whether all
    /// are decided now.
    pub fn decide(&mut self, batch: &Batch, votes: &[Vec<Vote>]) -> (Vec<(usize, bool)>, bool) {
        let mut decided = Vec::new();
        if self.verdicts.is_empty() {
            self.verdicts.reserve_exact(batch.items.len());
            let mut at = 0;
            while at < batch.items.len() {
                let end = batch.group_end(at);
                self.verdicts.resize(end, None);
                if !decide_group(batch, at..end, votes, &mut self.verdicts[at..end]) {
                    self.undecided.push(at);
                } else if votes.len() > 1 {
                    decided.push((at, self.verdicts[at].is_none()));
                }
                at = end;
            }
        } else {
            let verdicts = &mut self.verdicts;
            self.undecided.retain(|&at| {
                let end = batch.group_end(at);
                let now = decide_group(batch, at..end, votes, &mut verdicts[at..end]);
                if now {
                    decided.push((at, verdicts[at].is_none()));
                }
                !now
            });
        }
        let all = self.undecided.is_empty();
        assert!(all || !decided.is_empty(), "the earliest undecided group can always be decided");
        (decided, all)
    }
}

/// Writes the verdicts on one group, if its votes suffice.
fn decide_group(
    batch: &Batch,
    group: std::ops::Range<usize>,
    votes: &[Vec<Vote>],
    verdicts: &mut [Option<Rejection>],
) -> bool {
    if batch.items[group.start].refused.is_some() {
        for (verdict, item) in verdicts.iter_mut().zip(&batch.items[group]) {
            *verdict = item.refused;
        }
        return true;
    }
    for (offset, at) in group.enumerate() {
        let vote = votes.iter().fold(Vote::ABSENT, |all, votes| all.and(votes[at]));
        assert!(vote != Vote::ABSENT, "every transfer has accounts somewhere");
        if vote.waits() {
            return false;
        }
        if vote.is_no() {
            // Those before it were fine, those behind it were never asked.
            verdicts.fill(Some(Rejection::LinkedFailed));
            verdicts[offset] = vote.rule();
            return true;
        }
    }
    verdicts.fill(None);
    true
}
