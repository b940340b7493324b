//! A whole linked group given back by one request. Groups are not remembered as such: the journal
//! is, and the events of a group stand there one behind the other, each but the last linked with the next.
//! So any member leads to all of them.
//!
//! ```text
//! member ─▶ its event ─▶ back while the event before is linked, forward to the first that is not
//!                          └─▶ a refund of each, the last member first, linked ─▶ the path of a batch
//! ```
//!
//! What comes out are ordinary linked refunds: all or none, by the rules of refunds, in memory, in
//! replay and for repeats. The legs of fees stand behind the last member and are not linked with it: no
//! members, so they stay where they were paid. See `docs/adr/0033-group-reversals.md`.

use super::{BATCH_MAX, Handle, RequestError};
use crate::admission::Shared;
use crate::entries::blocking;
use crate::stored::{StoredError, StoredEvent, StoredReader};
use crate::tasks::Read;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::note::{Note, NoteFault, Noted};
use ducat_engine::record::Record;
use ducat_engine::refunds::{Did, Original};
use ducat_engine::request::{RefundRequest, Request};
use ducat_engine::terms::leg_id;
use std::sync::Arc;
use thiserror::Error;

/// Asks for a group to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReversal {
    /// The caller's id: the idempotency key, and the id of the refund of the group's last member. Those of
    /// the other refunds follow from it ([`leg_id`]).
    pub id: TransferId,
    /// Any member of the group.
    pub of: TransferId,
    /// That member's event, for one whose id is not remembered any more.
    pub of_lsn: Option<Lsn>,
    /// Accounts that pay may go below their overdraft limits for it. Not below floors.
    pub allow_overdraft: bool,
    /// What is said about each refund; nothing where it is empty.
    pub note: Note,
}

/// A group taken apart: what gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    /// A refund of each member that moved money, the last member first: a linked group.
    pub requests: Vec<Request>,
    /// What each of them gives back, in the same order.
    pub legs: Vec<ReversalLeg>,
}

/// What one refund of a group gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReversalLeg {
    /// The member.
    pub original: TransferId,
    /// Its event.
    pub original_lsn: Lsn,
    /// Pays the refund: the account that received.
    pub debit: AccountId,
    /// Gets it: the account that paid.
    pub credit: AccountId,
    /// Minor units: all that the member moved.
    pub amount: u128,
    /// What both accounts hold.
    pub currency: CurrencyId,
}

/// Why nothing can be asked for that would give the group back. It never changes, but for
/// [`Self::Unknown`], so no id is consumed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GroupFault {
    /// No request of this id is remembered, or the event named did not decide it.
    #[error(
        "no transfer {0} is known: it was never decided, or so long ago that its id is not \
         remembered (name its LSN)"
    )]
    Unknown(TransferId),
    /// The group was refused.
    #[error("transfer {0} was refused, and its group with it: nothing was moved")]
    Refused(TransferId),
    /// A member gave money back itself.
    #[error("{0}, a member of the group, is a refund itself, and a refund is final")]
    Refund(TransferId),
    /// A member moved nothing but placed, voided or extended a hold.
    #[error(
        "{0}, a member of the group, placed, voided or extended a hold, which no refund undoes; void open \
         holds, and refund transfers and captures by their own ids"
    )]
    Hold(TransferId),
    /// All members were posted, and none of them moved anything.
    #[error("the group of transfer {0} moved nothing: there is nothing to give back")]
    MovedNothing(TransferId),
    /// It has more members than a batch can have.
    #[error("the group of transfer {0} has more than {BATCH_MAX} members")]
    TooLarge(TransferId),
}

/// Why a group was not taken apart; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReversalError {
    /// It is none that could be given back.
    #[error(transparent)]
    Group(#[from] GroupFault),
    /// The note cannot be kept.
    #[error(transparent)]
    Note(#[from] NoteFault),
    /// It could not be looked up.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// A member that moved money.
#[derive(Clone, Copy, Debug)]
struct Member {
    original: Original,
    id: TransferId,
    debit: Slot,
    credit: Slot,
    amount: u128,
}

/// The members of a group that moved money, in their order, and whether the one asked for was among
/// its members at all.
struct Group {
    moved: Vec<Member>,
    has_asked: bool,
}

impl Handle {
    /// Takes the group of a transfer apart into the refunds that give it back. Nothing is done:
    /// submit the requests, or dry-run them, as one batch. A transfer that was linked with none is a group
    /// of one. The same question has the same answer whatever happens meanwhile.
    ///
    /// # Errors
    /// [`ReversalError`].
    pub async fn reversal(&self, asked: &GroupReversal) -> Result<Reversal, ReversalError> {
        let members = members(self, &self.shared, asked).await??;
        let slots = members.iter().flat_map(|member| [member.debit, member.credit]).collect();
        self.shared.names.learn(self, slots).await?;
        let known = self.shared.names.known();
        let leg = |member: &Member| {
            let (pays, gets) = (known.get(member.credit)?, known.get(member.debit)?);
            Some(ReversalLeg {
                original: member.id,
                original_lsn: member.original.lsn,
                debit: pays.id,
                credit: gets.id,
                amount: member.amount,
                currency: pays.currency,
            })
        };
        let legs: Option<Vec<_>> = members.iter().rev().map(leg).collect();
        let legs = legs.ok_or_else(|| {
            RequestError::ReadFailed("an account of the group is not known".to_owned())
        })?;
        Ok(Reversal { requests: requests(asked, &members)?, legs })
    }
}

/// The refunds, the last member first.
fn requests(asked: &GroupReversal, members: &[Member]) -> Result<Vec<Request>, NoteFault> {
    let refund = |(at, member): (u32, &Member)| {
        let refund = RefundRequest {
            id: leg_id(asked.id, at),
            of: member.id,
            of_lsn: Some(member.original.lsn),
            // Not "what remains": a member of which a part was given back refuses them all.
            amount: Some(member.amount),
            currency: None,
            allow_overdraft: asked.allow_overdraft,
            linked: usize::try_from(at).is_ok_and(|at| at + 1 < members.len()),
            original: Some(member.original),
        };
        if asked.note.is_empty() {
            return Ok(refund.into());
        }
        Ok(Noted::new(refund, asked.note.clone())?.into())
    };
    (0..).zip(members.iter().rev()).map(refund).collect()
}

/// The group's members that moved money. Who asks again is told by the first answer, of which group
/// it is: the member's id may be forgotten by then.
async fn members(
    handle: &Handle,
    shared: &Arc<Shared>,
    asked: &GroupReversal,
) -> Result<Result<Vec<Member>, GroupFault>, RequestError> {
    let (of, of_lsn) = (asked.of, asked.of_lsn);
    let ids = vec![asked.id, of];
    let found = handle.read(|reply| Read::Events { ids, reply }).await?;
    let last = found.lsn;
    let mut decided = found.what.into_iter().map(|now| now.map(|now| now.lsn));
    let (own, named) = (decided.next().flatten(), decided.next().flatten());
    blocking(shared, move |journal, shard| {
        let mut walk = Walk { reader: StoredReader::new(journal, shard), last };
        if of_lsn.is_none()
            && let Some(own) = own
            && let Some(original) = walk.refunded_by(own)?
            && let Ok(group) = walk.group(original, of)?
            && group.has_asked
        {
            return Ok(Ok(group.moved));
        }
        let Some(lsn) = of_lsn.or(named) else { return Ok(Err(GroupFault::Unknown(of))) };
        if !walk.is_of(lsn, of)? {
            return Ok(Err(GroupFault::Unknown(of)));
        }
        Ok(match walk.group(lsn, of)? {
            Ok(group) if group.moved.is_empty() => Err(GroupFault::MovedNothing(of)),
            Ok(group) => Ok(group.moved),
            Err(fault) => Err(fault),
        })
    })
    .await
}

/// Goes along a group's events.
struct Walk<'j> {
    reader: StoredReader<'j>,
    /// The last event there is.
    last: Lsn,
}

impl Walk<'_> {
    /// Whether this event decided this request.
    fn is_of(&mut self, lsn: Lsn, id: TransferId) -> Result<bool, StoredError> {
        let there = (Lsn(1)..=self.last).contains(&lsn);
        Ok(there && self.reader.event(lsn)?.record.transfer_id() == Some(id))
    }

    /// The event that the refund decided here gives back, or was to give back.
    fn refunded_by(&mut self, lsn: Lsn) -> Result<Option<Lsn>, StoredError> {
        Ok(match self.reader.event(lsn)?.record.unnoted() {
            Record::Refunded(refunded) => Some(refunded.of_lsn),
            Record::RefundRefused(refused) => {
                refused.of_lsn.filter(|lsn| (Lsn(1)..=self.last).contains(lsn))
            }
            _ => None,
        })
    }

    /// The group of the request that was decided here; faults name `of`.
    fn group(
        &mut self,
        lsn: Lsn,
        of: TransferId,
    ) -> Result<Result<Group, GroupFault>, StoredError> {
        if self.reader.event(lsn)?.record.rejection().is_some() {
            return Ok(Err(GroupFault::Refused(of)));
        }
        let mut at = lsn;
        while at > Lsn(1) && self.reader.event(Lsn(at.0 - 1))?.record.is_linked() {
            at = Lsn(at.0 - 1);
            if lsn.0 - at.0 >= BATCH_MAX as u64 {
                return Ok(Err(GroupFault::TooLarge(of)));
            }
        }
        let mut group = Group { moved: Vec::new(), has_asked: false };
        for _ in 0..BATCH_MAX {
            let StoredEvent { record, .. } = self.reader.event(at)?;
            group.has_asked |= record.transfer_id() == Some(of);
            match member(at, &record, of) {
                Ok(moved) => group.moved.extend(moved),
                Err(fault) => return Ok(Err(fault)),
            }
            if !record.is_linked() {
                return Ok(Ok(group));
            }
            at = at.next();
        }
        Ok(Err(GroupFault::TooLarge(of)))
    }
}

/// What of this event is to be given back; `None` where it moved nothing.
fn member(lsn: Lsn, record: &Record, of: TransferId) -> Result<Option<Member>, GroupFault> {
    let original = Original::of(lsn, record);
    let id = original.id.ok_or(GroupFault::Unknown(of))?;
    match original.did {
        Did::Moved { debit, credit, amount } => {
            Ok(Some(Member { original, id, debit, credit, amount }))
        }
        Did::Refund => Err(GroupFault::Refund(id)),
        Did::Refused => Err(GroupFault::Refused(id)),
        // A balanced transfer that found nothing.
        Did::Nothing if record.posting().is_some() => Ok(None),
        Did::Nothing => Err(GroupFault::Hold(id)),
    }
}
