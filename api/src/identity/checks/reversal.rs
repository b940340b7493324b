//! The same rule for groups that are given back: the money of every refund must leave an account of the
//! caller's. Of a group that is not wholly theirs nothing is told, not even whether there is one.

use super::{Permit, foreign, look_up, out_of_scope};
use crate::identity::guard::Caller;
use crate::status::Refusal;
use ducat_actors::handle::{Handle, ReversalLeg};
use ducat_actors::owners::OwnersSeen;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use std::collections::HashSet;

/// Refuses the call unless every refund of the group is paid by an account of the caller's.
///
/// # Errors
/// `PERMISSION_DENIED`; nothing is done then.
pub async fn group(
    handle: &Handle,
    caller: &Caller,
    of: TransferId,
    legs: &[ReversalLeg],
) -> Result<Permit, Refusal> {
    if caller.sees_all() {
        return Ok(Permit::default());
    }
    let all: HashSet<AccountId> = legs.iter().flat_map(|leg| [leg.debit, leg.credit]).collect();
    let all: Vec<AccountId> = all.into_iter().collect();
    let (foreign, mut owned) = look_up(handle, caller, &all).await?;
    if legs.iter().any(|leg| foreign.contains(&leg.debit)) {
        return Err(denied(caller, of));
    }
    let pays: HashSet<AccountId> = legs.iter().map(|leg| leg.debit).collect();
    owned.retain(|(id, _)| pays.contains(id));
    let hidden = legs.iter().map(|leg| foreign.contains(&leg.credit)).collect();
    Ok(Permit { hidden, owners: OwnersSeen::new(owned) })
}

/// Refuses the call unless the refund of this transfer would be paid by an account of the caller's: who
/// else is told nothing of why its group cannot be given back.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub async fn fault(
    handle: &Handle,
    caller: &Caller,
    of: TransferId,
    lsn: Option<Lsn>,
) -> Result<(), Refusal> {
    if caller.sees_all() {
        return Ok(());
    }
    match handle.refunds_of(of, lsn, None, 1).await? {
        Some(page) if foreign(handle, caller, &[page.credit]).await?.is_empty() => Ok(()),
        _ => Err(denied(caller, of)),
    }
}

fn denied(caller: &Caller, of: TransferId) -> Refusal {
    out_of_scope(caller, format!("the whole group of transfer {of}"))
}
