//! The partition actor: a ractor actor around [`ducat_engine::partition::Partition`]. One
//! message carries a whole batch of messages to the account actors it hosts.
//!
//! Only the coordinator sends to it, and whoever takes a snapshot, a message at a time; so its
//! mailbox holds a handful of messages at most. What it answers the coordinator between two
//! batches is a consistent state of one LSN.

use ducat_engine::account::{Account, Impossible};
use ducat_engine::batch::{Batch, Vote};
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::ledger::{PartitionSummary, summarize};
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::partition::{Legs, Partition, Told};
use ducat_engine::plan::Decided;
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{AccountRejection, AccountSpec, AccountStatus, AccountView};
use ducat_engine::undurable::Standing;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What the coordinator asks of a partition. Vectors travel to be filled and come back, so
/// that nothing is allocated anew for each batch.
pub(crate) enum PartitionMsg {
    /// Phase one.
    Prepare { batch: Arc<Batch>, votes: Vec<Vote>, reply: oneshot::Sender<(Vec<Vote>, Told)> },
    /// Some groups are decided; cast the votes that waited for them.
    Resolve { decided: Arc<Decided>, reply: oneshot::Sender<(Vec<(usize, Vote)>, Told)> },
    /// Phase two.
    Commit {
        batch: Arc<Batch>,
        verdicts: Arc<[Option<Rejection>]>,
        legs: Vec<Legs>,
        reply: oneshot::Sender<(i128, Vec<Legs>)>,
    },
    /// Host new accounts.
    Open { accounts: Vec<(Slot, AccountSpec, Bounds, Lsn)>, reply: oneshot::Sender<()> },
    /// Whether an account's status may be changed.
    CheckStatus {
        slot: Slot,
        status: AccountStatus,
        reply: oneshot::Sender<Result<(), AccountRejection>>,
    },
    /// Change an account's status.
    SetStatus { slot: Slot, lsn: Lsn, status: AccountStatus, reply: oneshot::Sender<()> },
    /// Change an account's limits, which were checked.
    SetLimits { slot: Slot, lsn: Lsn, limits: Limits, reply: oneshot::Sender<()> },
    /// How accounts stand.
    Views { slots: Vec<Slot>, reply: oneshot::Sender<Vec<(Slot, AccountView)>> },
    /// How accounts stand, so that what is not durable can be taken off.
    Standings { slots: Vec<Slot>, reply: oneshot::Sender<Vec<Standing>> },
    /// Copies of accounts, for a dry run.
    Copies { slots: Vec<Slot>, reply: oneshot::Sender<Vec<(Slot, Account)>> },
    /// Hash and sums over all accounts hosted here.
    Summary { reply: oneshot::Sender<PartitionSummary> },
    /// A snapshot begins here: accounts are given as they are now.
    BeginExport { piece: usize },
    /// The next accounts of the snapshot that was begun; `None` once all are given. The one
    /// message that does not come from the coordinator, one at a time.
    Give { reply: oneshot::Sender<Option<Vec<Account>>> },
    /// Forget the snapshot that was begun.
    EndExport,
    /// Bytes of memory the slab takes.
    Memory { reply: oneshot::Sender<usize> },
}

/// The actor; its state is the partition.
pub(crate) struct PartitionActor;

impl Actor for PartitionActor {
    type Msg = PartitionMsg;
    type State = Partition;
    type Arguments = Partition;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        partition: Partition,
    ) -> Result<Partition, ActorProcessingErr> {
        Ok(partition)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: PartitionMsg,
        partition: &mut Partition,
    ) -> Result<(), ActorProcessingErr> {
        // An error here ends the actor, and with it the process: a partition that
        // contradicts a decision must never answer again.
        handle(message, partition).map_err(Into::into)
    }
}

/// A reply nobody waits for any more is no failure: the asker is gone, the state is right.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}

fn handle(message: PartitionMsg, partition: &mut Partition) -> Result<(), Impossible> {
    match message {
        PartitionMsg::Prepare { batch, mut votes, reply } => {
            partition.prepare(&batch, &mut votes);
            answer(reply, (votes, partition.tell()));
        }
        PartitionMsg::Resolve { decided, reply } => {
            let mut changed = Vec::new();
            partition.resolve(&decided, |item, vote| changed.push((item, vote)));
            answer(reply, (changed, partition.tell()));
        }
        PartitionMsg::Commit { batch, verdicts, mut legs, reply } => {
            let net = partition.commit(&batch, &verdicts, &mut legs)?;
            answer(reply, (net, legs));
        }
        PartitionMsg::Open { accounts, reply } => {
            for (slot, spec, bounds, lsn) in &accounts {
                partition.open_within(*slot, spec, *bounds, *lsn)?;
            }
            answer(reply, ());
        }
        PartitionMsg::CheckStatus { slot, status, reply } => {
            let account = partition.account(slot).ok_or(AccountRejection::Unknown);
            answer(reply, account.and_then(|account| account.check_status(status)));
        }
        PartitionMsg::SetStatus { slot, lsn, status, reply } => {
            partition.set_status(slot, lsn, status)?;
            answer(reply, ());
        }
        PartitionMsg::SetLimits { slot, lsn, limits, reply } => {
            partition.set_limits(slot, lsn, &limits)?;
            answer(reply, ());
        }
        PartitionMsg::Views { slots, reply } => {
            let views = slots.into_iter().filter_map(|slot| Some((slot, partition.view(slot)?)));
            answer(reply, views.collect());
        }
        PartitionMsg::Standings { slots, reply } => {
            let standings = slots.into_iter().filter_map(|slot| Standing::of(partition, slot));
            answer(reply, standings.collect());
        }
        PartitionMsg::Copies { slots, reply } => {
            let copy = |slot| Some((slot, partition.account(slot)?.clone()));
            answer(reply, slots.into_iter().filter_map(copy).collect());
        }
        PartitionMsg::BeginExport { piece } => partition.begin_export(piece),
        PartitionMsg::Give { reply } => answer(reply, partition.give()),
        PartitionMsg::EndExport => partition.end_export(),
        PartitionMsg::Summary { reply } => answer(reply, summarize(partition)),
        PartitionMsg::Memory { reply } => answer(reply, partition.memory_bytes()),
    }
    Ok(())
}
