//! What of a request is dangerous where the call alone does not say it ([`super::roles::Danger::ByContent`]),
//! and how much money it moves or frees.
//!
//! Dangerous is what makes money without a business behind it: corrections (kind `ADJUSTMENT`) wherever
//! they are asked for, refunds that may overdraw whoever pays them, accounts that may go below zero, and an
//! account's new owner, whose scope it enters. A server that asks for no second factors asks nothing here.

use super::factor::Standing;
use super::persons::{Unnamed, Weight};
use crate::status::Refusal;
use ducat_actors::handle::{AccountShown, BATCH_MAX, Handle, ReversalLeg};
use ducat_engine::account_event::Opening;
use ducat_engine::ids::TransferId;
use ducat_engine::limits::{Limits, LimitsChange};
use ducat_engine::request::{RefundRequest, Request};
use ducat_engine::sagas::{Action, SagaDefinition, Undo};
use ducat_engine::schedules::{Definition, Payment};
use ducat_engine::transfer::TransferKind;
use std::collections::HashSet;
use tonic::Status;

/// Whether a request of a batch is.
fn is_dangerous(request: &Request) -> bool {
    match request.plain() {
        Request::Transfer(transfer) => transfer.kind == TransferKind::Adjustment,
        Request::Hold(hold) => hold.kind == TransferKind::Adjustment,
        Request::Refund(refund) => refund.allow_overdraft,
        // What was set aside was judged when it was.
        Request::Capture(_) | Request::Void(_) | Request::Extend(_) => false,
        // Never within itself.
        Request::Termed(_) | Request::Noted(_) => true,
    }
}

/// Refuses a batch with something dangerous in it without a second factor, or a second person; `request` gives its
/// bytes.
///
/// # Errors
/// What [`Standing::prove`] and [`Standing::weigh`] end with, and what looking up accounts can end with.
pub async fn batch(
    handle: &Handle,
    standing: Option<&Standing>,
    batch: &[Request],
    request: impl FnOnce() -> Vec<u8>,
) -> Result<(), Status> {
    let Some(standing) = standing else { return Ok(()) };
    if !batch.iter().any(is_dangerous) {
        return Ok(());
    }
    standing.prove()?;
    let weight = weight_of(handle, batch).await?;
    Ok(standing.weigh(&weight, &handle.currencies(), request)?)
}

/// The same of a batch on a stream, which takes no code and waits for nobody.
///
/// # Errors
/// `PERMISSION_DENIED`, `SECOND_FACTOR_NEEDED` and `TWO_PERSONS_NEEDED`.
pub async fn streamed(
    handle: &Handle,
    standing: Option<&Standing>,
    batch: &[Request],
) -> Result<(), Refusal> {
    let Some(standing) = standing else { return Ok(()) };
    if !batch.iter().any(is_dangerous) {
        return Ok(());
    }
    standing.prove_by_token()?;
    let weight = weight_of(handle, batch).await?;
    standing.weigh_streamed(&weight, &handle.currencies())
}

async fn weight_of(handle: &Handle, batch: &[Request]) -> Result<Weight, Refusal> {
    let mut weight = Weight::default();
    let mut unnamed = Unnamed::new();
    let decided_here: HashSet<TransferId> = batch.iter().map(Request::id).collect();
    for request in batch.iter().filter(|request| is_dangerous(request)) {
        let (account, amount, currency) = match request.plain() {
            Request::Transfer(asked) => (asked.debit, asked.amount, asked.currency),
            Request::Hold(asked) => {
                let most = asked.amount.saturating_add(asked.over_capture_max);
                (asked.debit, most, asked.currency)
            }
            Request::Refund(refund) => {
                add_refund(handle, refund, &decided_here, &mut weight).await?;
                continue;
            }
            _ => {
                weight.add_without_bound();
                continue;
            }
        };
        match currency {
            Some(currency) => weight.add(currency, amount),
            None => unnamed.push((account, amount)),
        }
    }
    add_unnamed(handle, unnamed, &mut weight).await?;
    Ok(weight)
}

/// A refund of what is not known, or not only known from before, is more than any amount: the original may be
/// a request of the same batch, or one that is being decided.
async fn add_refund(
    handle: &Handle,
    refund: &RefundRequest,
    decided_here: &HashSet<TransferId>,
    weight: &mut Weight,
) -> Result<(), Refusal> {
    // An event stays what it is; an id may be forgotten and mean another transfer then.
    let is_fixed = refund.of_lsn.is_some() || !decided_here.contains(&refund.of);
    match handle.refunds_of(refund.of, refund.of_lsn, None, 1).await? {
        Some(page) if is_fixed => {
            let rest = page.state.moved.saturating_sub(page.state.refunded);
            weight.add(page.currency, refund.amount.unwrap_or(rest));
        }
        _ => weight.add_without_bound(),
    }
    Ok(())
}

/// Amounts in whatever these accounts hold. One that is not known yet may be opened before they are moved, in
/// any currency: more than any amount.
async fn add_unnamed(
    handle: &Handle,
    unnamed: Unnamed,
    weight: &mut Weight,
) -> Result<(), Refusal> {
    for chunk in unnamed.chunks(BATCH_MAX) {
        let ids = chunk.iter().map(|(id, _)| *id).collect();
        let at = handle.accounts(ids).await?;
        for (shown, (_, amount)) in at.accounts.iter().zip(chunk) {
            match shown {
                Some(shown) => weight.add(shown.view.spec.currency, *amount),
                None => weight.add_without_bound(),
            }
        }
    }
    Ok(())
}

/// A group given back by accounts that may be overdrawn for it.
///
/// # Errors
/// As [`batch`].
pub fn reversal(
    handle: &Handle,
    standing: Option<&Standing>,
    legs: &[ReversalLeg],
    request: impl FnOnce() -> Vec<u8>,
) -> Result<(), Status> {
    let Some(standing) = standing else { return Ok(()) };
    standing.prove()?;
    let mut weight = Weight::default();
    legs.iter().for_each(|leg| weight.add(leg.currency, leg.amount));
    Ok(standing.weigh(&weight, &handle.currencies(), request)?)
}

/// Accounts to be opened that may go below zero.
///
/// # Errors
/// As [`batch`].
pub fn openings(
    handle: &Handle,
    standing: Option<&Standing>,
    openings: &[Opening],
    request: impl FnOnce() -> Vec<u8>,
) -> Result<(), Status> {
    let Some(standing) = standing else { return Ok(()) };
    let mut weight = Weight::default();
    for opening in openings {
        if opening.spec.external {
            weight.add_without_bound();
        }
        let freed = freed(&opening.limits());
        if freed > 0 {
            weight.add(opening.spec.currency, freed);
        }
    }
    if weight == Weight::default() {
        return Ok(());
    }
    standing.prove()?;
    Ok(standing.weigh(&weight, &handle.currencies(), request)?)
}

/// Limits that let an account go further below zero than it could; the gate has asked for the factor.
///
/// # Errors
/// As [`batch`].
pub fn limits(
    handle: &Handle,
    standing: Option<&Standing>,
    shown: &AccountShown,
    change: &LimitsChange,
    request: impl FnOnce() -> Vec<u8>,
) -> Result<(), Status> {
    let Some(standing) = standing else { return Ok(()) };
    standing.prove()?;
    let view = &shown.view;
    let now = Limits { overdraft_limit: view.spec.overdraft_limit, bounds: view.bounds };
    let after = freed(&now.changed(change));
    let mut weight = Weight::default();
    // What it comes to, not what it adds: steps that are small each are not small together.
    if after > freed(&now) {
        weight.add(view.spec.currency, after);
    }
    Ok(standing.weigh(&weight, &handle.currencies(), request)?)
}

/// How far below zero an account can go, minor units.
fn freed(limits: &Limits) -> u128 {
    let overdraft = limits.overdraft_limit;
    match limits.bounds.floor {
        None => overdraft,
        Some(floor) if floor < 0 => overdraft.min(floor.unsigned_abs()),
        Some(_) => 0,
    }
}

/// A schedule of corrections, when it is made, resumed or run by hand. They come again and again: more than any
/// amount.
///
/// # Errors
/// As [`batch`].
pub fn schedule(
    handle: &Handle,
    standing: Option<&Standing>,
    definition: &Definition,
    request: impl FnOnce() -> Vec<u8>,
) -> Result<(), Status> {
    let Some(standing) = standing else { return Ok(()) };
    if definition.payment.kind != TransferKind::Adjustment {
        return Ok(());
    }
    standing.prove()?;
    let mut weight = Weight::default();
    weight.add_without_bound();
    Ok(standing.weigh(&weight, &handle.currencies(), request)?)
}

/// A saga with corrections among its steps, or among what undoes them.
///
/// # Errors
/// As [`batch`].
pub async fn saga(
    handle: &Handle,
    standing: Option<&Standing>,
    definition: &SagaDefinition,
    request: impl FnOnce() -> Vec<u8>,
) -> Result<(), Status> {
    let Some(standing) = standing else { return Ok(()) };
    let payments = definition.steps.iter().flat_map(|step| {
        let done = match &step.action {
            Action::Transfer(payment) | Action::Hold { payment, .. } => Some(payment),
            _ => None,
        };
        let undone = match &step.undo {
            Undo::Transfer(payment) => Some(payment),
            _ => None,
        };
        [done, undone].into_iter().flatten()
    });
    let is_correction = |payment: &&Payment| payment.kind == TransferKind::Adjustment;
    let corrections: Vec<&Payment> = payments.filter(is_correction).collect();
    if corrections.is_empty() {
        return Ok(());
    }
    standing.prove()?;
    let mut weight = Weight::default();
    let mut unnamed = Unnamed::new();
    for payment in corrections {
        match payment.currency {
            Some(currency) => weight.add(currency, payment.amount),
            None => unnamed.push((payment.debit, payment.amount)),
        }
    }
    add_unnamed(handle, unnamed, &mut weight).await.map_err(Status::from)?;
    Ok(standing.weigh(&weight, &handle.currencies(), request)?)
}

/// What becomes somebody else's: the account enters the scope of whoever has its new owner.
///
/// # Errors
/// As [`batch`].
pub fn owner(standing: Option<&Standing>) -> Result<(), Status> {
    standing.map_or(Ok(()), |standing| Ok(standing.prove()?))
}
