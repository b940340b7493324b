//! Reads of accounts by id: they show what is durable, and do not wait for the disk under load.
//!
//! ```text
//! Handle::described ─▶ queue ─▶ coordinator, between two phases of a batch ─▶ partitions
//!        ◀─ Standings: accounts as memory has them, and the batches on their way to the disk
//! ```
//!
//! Memory is two or three batches ahead of the disk in a flood. What they did is taken off the
//! accounts on the side of who asked ([`turn_back`]). Where an event is on its way of which nothing
//! is kept (an account's change, holds), the read waits until it is durable, and takes off the rest.

use crate::attend::AsOf;
use crate::coordinator::{CoordinatorActor, CoordinatorState};
use crate::decided::Used;
use crate::handle::{Handle, RequestError};
use crate::partition::PartitionMsg;
use crate::tasks::{Described, Found, Reply};
use crossbeam::queue::SegQueue;
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::undurable::{Standing, Undurable, turn_back};
use ractor::ActorProcessingErr;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

/// Reads of accounts done at a time, before the batch in hand goes on; one of many accounts counts as
/// several.
const READS_AT_ONCE: usize = 16;

/// So many accounts count as one more read.
const ACCOUNTS_FOR_ONE: usize = 256;

/// A read of accounts that waits, with its place among the callers' reads.
pub(crate) struct AccountsRead {
    pub ids: Vec<AccountId>,
    pub reply: Reply<Standings>,
    pub place: OwnedSemaphorePermit,
}

/// The reads of accounts that wait.
#[derive(Default)]
pub(crate) struct AccountsReads {
    queue: SegQueue<AccountsRead>,
    arrived: Notify,
}

impl AccountsReads {
    /// One more.
    pub fn push(&self, read: AccountsRead) {
        self.queue.push(read);
        self.arrived.notify_one();
    }

    /// Drops all of them, which tells those who wait.
    pub fn clear(&self) {
        while self.queue.pop().is_some() {}
    }
}

/// Batches of plain transfers on their way to the disk, in LSN order, each with its last LSN.
#[derive(Default)]
pub(crate) struct OnTheWay(Mutex<VecDeque<(Lsn, Undurable)>>);

impl OnTheWay {
    fn batches(&self) -> MutexGuard<'_, VecDeque<(Lsn, Undurable)>> {
        // Nothing is left half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch whose last event, with what tells of it, is `last`. One without events leaves nothing
    /// for the disk.
    pub fn add(&self, last: Lsn, batch: Undurable) {
        if last >= batch.first_lsn() {
            self.batches().push_back((last, batch));
        }
    }

    /// All until this LSN is durable: what is kept of it can be used again.
    pub fn arrived(&self, durable: Lsn, used: &Used) {
        let mut batches = self.batches();
        let count = batches.iter().take_while(|(last, _)| *last <= durable).count();
        let arrived: Vec<_> = batches.drain(..count).collect();
        drop(batches);
        // A reader who still looks at one keeps it.
        for legs in arrived.into_iter().filter_map(|(_, batch)| batch.into_legs()) {
            used.legs(legs);
        }
    }

    /// The batches that lead to the state of `lsn`, without a gap, as far back as needed for one that
    /// is durable; and the LSN in front of them, for which a read has to wait where it is not.
    fn leading_to(&self, lsn: Lsn, durable: Lsn) -> (Vec<Undurable>, Lsn) {
        let mut leading = Vec::new();
        let mut before = lsn;
        for (last, batch) in self.batches().iter().rev().skip_while(|(last, _)| *last > lsn) {
            if before <= durable || *last != before {
                break;
            }
            leading.push(batch.clone());
            before = Lsn(batch.first_lsn().0 - 1);
        }
        leading.reverse();
        (leading, before)
    }
}

/// Accounts as memory has them, and what has to be taken off.
pub(crate) struct Standings {
    found: Vec<Option<Described>>,
    /// Of those that were found, in the same order.
    standings: Vec<Standing>,
    undurable: Vec<Undurable>,
    /// The state in front of what is undurable.
    lsn: Lsn,
}

impl AsOf for Standings {
    fn as_of(&self) -> Lsn {
        self.lsn
    }
}

impl Standings {
    /// The accounts as of an LSN that was durable when they were asked for, or is by now.
    fn durable(self) -> Found<Vec<Option<Described>>> {
        let Self { mut found, mut standings, undurable, lsn } = self;
        turn_back(&undurable, &mut standings);
        for (account, standing) in found.iter_mut().flatten().zip(standings) {
            account.view = standing.view;
        }
        Found { what: found, lsn }
    }
}

impl Handle {
    /// Accounts by id, as of one durable LSN.
    pub(crate) async fn described(
        &self,
        ids: Vec<AccountId>,
    ) -> Result<Found<Vec<Option<Described>>>, RequestError> {
        let shared = self.shared();
        let reads = Arc::clone(&shared.reads);
        let place = reads.acquire_owned().await.map_err(|e| shared.stopped(&e))?;
        let (reply, answer) = oneshot::channel();
        shared.queue_accounts_read(AccountsRead { ids, reply, place })?;
        let standings = answer.await.map_err(|e| shared.stopped(&e))??;
        Ok(standings.durable())
    }
}

impl CoordinatorActor {
    /// Does some reads of accounts, which stand as of `lsn`, but for what is only prepared. Returns
    /// whether there were any.
    pub(crate) async fn read_accounts(
        &self,
        lsn: Lsn,
        state: &CoordinatorState,
    ) -> Result<bool, ActorProcessingErr> {
        let mut done = 0;
        while done < READS_AT_ONCE
            && let Some(AccountsRead { ids, reply, place }) = self.shared.accounts_reads.queue.pop()
        {
            if reply.is_closed() {
                continue;
            }
            done += 1 + ids.len() / ACCOUNTS_FOR_ONE;
            let (found, standings) = state.standings(&ids).await?;
            let durable = *self.shared.durable.borrow();
            let (undurable, lsn) = self.shared.on_the_way.leading_to(lsn, durable);
            self.tell_when_durable(reply, Standings { found, standings, undurable, lsn });
            drop(place);
        }
        Ok(done > 0)
    }

    /// Waits while the journal is too far behind, and does reads of accounts meanwhile.
    pub(crate) async fn wait_for_journal(
        &self,
        state: &CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        let last = Lsn(state.rules.next_lsn().0 - 1);
        while !self.shared.is_journal_in_reach(last) {
            tokio::select! {
                () = self.shared.journal_in_reach(last) => return Ok(()),
                () = self.shared.accounts_reads.arrived.notified() => {}
            }
            // Those that came together are one arrival.
            while self.read_accounts(last, state).await? && !self.shared.is_journal_in_reach(last) {
            }
        }
        Ok(())
    }
}

impl CoordinatorState {
    /// The accounts under these ids, and how those stand that there are.
    async fn standings(
        &self,
        ids: &[AccountId],
    ) -> Result<(Vec<Option<Described>>, Vec<Standing>), ActorProcessingErr> {
        let listed: Vec<Option<Slot>> =
            ids.iter().map(|id| Some(self.rules.directory().get(*id)?.slot)).collect();
        let mut by_partition = vec![Vec::new(); self.partitions.len()];
        for slot in listed.iter().flatten() {
            by_partition[self.rules.layout().partition_of(*slot)].push(*slot);
        }
        let mut asked = Vec::new();
        for (partition, slots) in self.partitions.iter().zip(by_partition) {
            if !slots.is_empty() {
                let (reply, answer) = oneshot::channel();
                partition.cast(PartitionMsg::Standings { slots, reply })?;
                asked.push(answer);
            }
        }
        let mut stand = HashMap::new();
        for answer in asked {
            stand.extend(answer.await?.into_iter().map(|standing| (standing.slot, standing)));
        }
        let of = |slot: Option<Slot>| stand.get(&slot?).copied();
        let standings: Vec<Option<Standing>> = listed.into_iter().map(of).collect();
        let describe = |standing: &Standing| self.describe(standing.slot, standing.view);
        let found = standings.iter().map(|standing| standing.as_ref().map(describe)).collect();
        Ok((found, standings.into_iter().flatten().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::batch::Batch;
    use ducat_engine::coordinator::Coordinator;
    use ducat_engine::partition::Layout;

    fn batch(first_lsn: u64) -> Undurable {
        let batch = Batch { first_lsn: Lsn(first_lsn), ..Batch::default() };
        let plan = Coordinator::new(Layout::new(1).expect("one"), 1, 1).begin(1);
        Undurable::new(&plan, Arc::new(batch), Vec::new().into(), Arc::default())
    }

    /// Batches of the events 11–20, 21–25 and 31–40; 26–30 is something else.
    fn on_the_way() -> OnTheWay {
        let on_the_way = OnTheWay::default();
        for (first, last) in [(11, 20), (21, 25), (31, 40)] {
            on_the_way.add(Lsn(last), batch(first));
        }
        on_the_way
    }

    fn leading(to: u64, durable: u64) -> (Vec<u64>, u64) {
        let (batches, before) = on_the_way().leading_to(Lsn(to), Lsn(durable));
        (batches.iter().map(|batch| batch.first_lsn().0).collect(), before.0)
    }

    #[test]
    fn what_is_taken_off_leads_without_a_gap_to_what_is_durable() {
        assert_eq!(leading(25, 10), (vec![11, 21], 10));
        // No further back than needed.
        assert_eq!(leading(25, 20), (vec![21], 20));
        assert_eq!(leading(25, 25), (vec![], 25));
        // In the middle of a later batch, those before it count.
        assert_eq!(leading(20, 10), (vec![11], 10));
        // What nothing is kept of is waited for.
        assert_eq!(leading(40, 10), (vec![31], 30));
        assert_eq!(leading(30, 10), (vec![], 30));
    }

    #[test]
    fn what_has_arrived_is_forgotten_and_nothing_else() {
        let (used, _reused) = crate::decided::pools();
        let on_the_way = on_the_way();
        on_the_way.arrived(Lsn(24), &used);
        let left: Vec<u64> = on_the_way.batches().iter().map(|(last, _)| last.0).collect();
        assert_eq!(left, [25, 40]);
    }

    #[test]
    fn a_batch_of_repeats_alone_leaves_nothing() {
        let on_the_way = OnTheWay::default();
        on_the_way.add(Lsn(10), batch(11));
        assert!(on_the_way.batches().is_empty());
    }
}
