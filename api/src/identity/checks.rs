//! Whether what a call concerns is in its caller's scope: asked by the services, once the call is
//! read. Whoever sees all accounts pays nothing for it.
//!
//! The rule for money is one: **the account it leaves must be the caller's.** A transfer and a hold
//! name that account themselves. A capture, a void and an extension leave it to the hold, a refund
//! to its original: both were decided before, and which accounts they have never changes. One that
//! is not known yet is refused, since what will stand under its id is anybody's guess; so a limited
//! caller cannot capture in the same batch what that batch places. Terms that ask about the other
//! account tell of it, so that one must be the caller's too.
//!
//! Who owns an account can change. Transfers go on their way with the owners that they were let
//! through for; where one has changed until its batch is decided, nothing is done, and the request may
//! be sent again.

pub mod reversal;

use super::guard::Caller;
use super::rights::Grant;
use crate::proto;
use crate::status::Refusal;
use crate::violation::{Place, Violations};
use ducat_actors::audit;
use ducat_actors::handle::{AccountShown, BATCH_MAX, Handle, HoldState, StoredRequest};
use ducat_actors::owners::OwnersSeen;
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::request::{RefundRequest, Request};
use ducat_engine::terms::Terms;
use ducat_engine::transfer::Outcome;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tonic::{Code, Status};

/// What a limited caller may see of the answers to a batch.
#[derive(Debug, Default)]
pub struct Permit {
    /// By request: the receiving account is not the caller's, so its figures are not shown.
    hidden: Vec<bool>,
    owners: Option<OwnersSeen>,
}

impl Permit {
    /// What must still be so where the batch is decided.
    #[must_use]
    pub fn owners(&self) -> Option<OwnersSeen> {
        self.owners.clone()
    }

    /// Takes out what the caller may not see.
    pub fn hide(&self, outcomes: &mut [Outcome]) {
        for (outcome, hidden) in outcomes.iter_mut().zip(&self.hidden) {
            if *hidden {
                outcome.credit = None;
            }
        }
    }
}

/// The accounts of a request: who pays, who receives, and whether something is asked about the
/// latter.
#[derive(Clone, Copy)]
struct Sides {
    pays: AccountId,
    receives: AccountId,
    asks_of_receiver: bool,
}

impl Sides {
    /// The accounts that must be the caller's.
    fn asked(&self) -> impl Iterator<Item = AccountId> + use<> {
        [Some(self.pays), self.asks_of_receiver.then_some(self.receives)].into_iter().flatten()
    }
}

/// Refuses the call unless all these accounts are the caller's.
///
/// # Errors
/// `PERMISSION_DENIED`; the sentence names the first one that is not, and not whether it exists.
pub async fn accounts(handle: &Handle, caller: &Caller, ids: &[AccountId]) -> Result<(), Refusal> {
    if let ([id, more @ ..], Some(seed)) = (ids, audit::current()) {
        let more = more.len();
        let others = if more > 0 { format!(" and {more} more") } else { String::new() };
        seed.is_about(|| format!("account {id}{others}"));
    }
    if caller.sees_all() {
        return Ok(());
    }
    let foreign = foreign(handle, caller, ids).await?;
    match ids.iter().find(|id| foreign.contains(id)) {
        None => Ok(()),
        Some(id) => Err(out_of_scope(caller, format!("account {id}"))),
    }
}

/// Refuses the call unless it is about all accounts and the caller sees all.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub fn whole(caller: &Caller, what: &str) -> Result<(), Refusal> {
    if caller.sees_all() { Ok(()) } else { Err(out_of_scope(caller, what.to_owned())) }
}

/// Refuses the call unless every account of this owner is the caller's.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub fn owner(caller: &Caller, owner: &str) -> Result<(), Refusal> {
    if caller.grants().iter().all(|grant| grant.scope.has_owner(owner)) {
        return Ok(());
    }
    Err(out_of_scope(caller, "this owner".to_owned()))
}

/// Why a batch was not let through.
#[derive(Debug)]
pub enum Denied {
    /// These requests concern accounts that are not the caller's.
    Scope(Violations),
    /// What they concern could not be looked up.
    Failed(Refusal),
}

impl Denied {
    /// The answer of a stream to the batch, in which every request that is denied is named.
    #[must_use]
    pub fn into_batch_error(self) -> proto::BatchError {
        match self {
            Self::Scope(violations) => proto::BatchError {
                grpc_code: Code::PermissionDenied as i32,
                ..violations.into_batch_error()
            },
            Self::Failed(refusal) => refusal.into_batch_error(),
        }
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Scope(violations) => {
                let sentence = violations.message();
                Refusal::new(Code::PermissionDenied, OUT_OF_SCOPE, sentence).into()
            }
            Denied::Failed(refusal) => refusal.into(),
        }
    }
}

/// Refuses the batch unless the money of every request leaves an account of the caller's.
///
/// # Errors
/// [`Denied`]; nothing of the batch is done then.
pub async fn requests(
    handle: &Handle,
    caller: &Caller,
    batch: &[Request],
) -> Result<Permit, Denied> {
    if caller.sees_all() {
        return Ok(Permit::default());
    }
    let sides = sides(handle, batch).await.map_err(Denied::Failed)?;
    let ids: HashSet<AccountId> =
        sides.iter().flatten().flat_map(|sides| [sides.pays, sides.receives]).collect();
    let ids: Vec<AccountId> = ids.into_iter().collect();
    let (foreign, mut owned) = look_up(handle, caller, &ids).await.map_err(Denied::Failed)?;
    // Of who only receives nothing but the figures depends.
    let gives: HashSet<AccountId> = sides.iter().flatten().flat_map(Sides::asked).collect();
    owned.retain(|(id, _)| gives.contains(id));
    let mut violations = Violations::default();
    let mut hidden = Vec::with_capacity(batch.len());
    for (index, (sides, request)) in sides.iter().zip(batch).enumerate() {
        let place = Place::Item { list: "transfers", index };
        hidden.push(sides.is_none_or(|sides| foreign.contains(&sides.receives)));
        if let Some((field, what)) = not_callers(*sides, request, &foreign) {
            violations.add(place, field, OUT_OF_SCOPE, || scope_sentence(caller, &what));
        }
    }
    if violations.total() > 0 {
        caller.count_denied();
    }
    let permit = Permit { hidden, owners: OwnersSeen::new(owned) };
    violations.into_result(permit).map_err(Denied::Scope)
}

/// What of a request is not its caller's, and the field that says so.
fn not_callers(
    sides: Option<Sides>,
    request: &Request,
    foreign: &HashSet<AccountId>,
) -> Option<(&'static str, String)> {
    let named = match (request.accounts(), request.hold(), request.refund()) {
        (Some(_), _, _) => ("debit_account", "the account".to_owned()),
        (None, Some(hold), _) => ("hold_id", format!("the hold {hold}")),
        (None, None, Some(refund)) => ("original_id", format!("the transfer {}", refund.of)),
        (None, None, None) => ("operation", "what it concerns".to_owned()),
    };
    let Some(sides) = sides else { return Some(named) };
    if foreign.contains(&sides.pays) {
        return Some(match request.accounts() {
            Some([debit, _]) => (named.0, format!("account {debit}")),
            None => named,
        });
    }
    (sides.asks_of_receiver && foreign.contains(&sides.receives))
        .then(|| ("terms", format!("account {}, of which the terms ask,", sides.receives)))
}

/// Refuses the call unless an account with this id and this owner would be the caller's: one that is to
/// be opened, or to get this owner.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub fn opening(caller: &Caller, id: AccountId, owner: &str) -> Result<(), Refusal> {
    let covers = |grant: &Arc<Grant>| grant.scope.has_id(id) || grant.scope.has_owner(owner);
    if caller.grants().iter().all(covers) {
        return Ok(());
    }
    Err(out_of_scope(caller, format!("account {id} of this owner")))
}

/// Whether one of the two accounts at least is the caller's.
///
/// # Errors
/// Whatever looking up accounts can end with.
pub async fn sees(
    handle: &Handle,
    caller: &Caller,
    accounts: [AccountId; 2],
) -> Result<bool, Refusal> {
    if caller.sees_all() {
        return Ok(true);
    }
    let foreign = foreign(handle, caller, &accounts).await?;
    Ok(accounts.iter().any(|id| !foreign.contains(id)))
}

/// Takes out of remembered requests what the caller may not see: those that concern no account of
/// theirs, and of the others the figures of accounts that are not.
///
/// # Errors
/// Whatever looking up accounts can end with.
pub async fn hide_foreign(
    handle: &Handle,
    caller: &Caller,
    stored: &mut [Option<StoredRequest>],
) -> Result<(), Refusal> {
    if caller.sees_all() {
        return Ok(());
    }
    for found in stored {
        let Some(known) = found else { continue };
        let accounts = match accounts_of(handle, &known.request).await? {
            Some(accounts) => accounts,
            None => {
                *found = None;
                continue;
            }
        };
        let foreign = foreign(handle, caller, &accounts).await?;
        let [pays, receives] = accounts.map(|id| foreign.contains(&id));
        if pays && receives {
            *found = None;
            continue;
        }
        if pays {
            known.outcome.debit = None;
        }
        if receives {
            known.outcome.credit = None;
        }
    }
    Ok(())
}

/// Takes out holds that concern no account of the caller's.
///
/// # Errors
/// Whatever looking them up can end with.
pub async fn hide_foreign_holds(
    handle: &Handle,
    caller: &Caller,
    ids: &[TransferId],
    found: &mut [Option<HoldState>],
) -> Result<(), Refusal> {
    if caller.sees_all() {
        return Ok(());
    }
    let holds = hold_accounts(handle, ids).await?;
    for (id, state) in ids.iter().zip(found) {
        let shown = match holds.get(id) {
            Some(accounts) => sees(handle, caller, *accounts).await?,
            None => false,
        };
        if !shown {
            *state = None;
        }
    }
    Ok(())
}

/// Who pays and who receives by a request that was decided; `None` where that is not known any
/// more.
async fn accounts_of(
    handle: &Handle,
    request: &Request,
) -> Result<Option<[AccountId; 2]>, Refusal> {
    match (request.accounts(), request.hold(), request.refund()) {
        (Some(accounts), _, _) => Ok(Some(accounts)),
        (None, Some(hold), _) => Ok(hold_accounts(handle, &[hold]).await?.remove(&hold)),
        (None, None, Some(refund)) => refund_accounts(handle, refund).await,
        (None, None, None) => Ok(None),
    }
}

/// Whether an account as it stands is the caller's.
#[must_use]
pub fn is_callers(caller: &Caller, shown: &AccountShown) -> bool {
    let id = shown.view.spec.id;
    let owner = owner_of(shown);
    caller.grants().iter().all(|grant| grant.scope.has_id(id) || grant.scope.has_owner(owner))
}

fn owner_of(shown: &AccountShown) -> &str {
    shown.details.as_deref().map_or("", |details| details.profile.owner.as_str())
}

/// Those of the accounts that are not the caller's. One that does not exist is nobody's, unless
/// its id is in a range.
async fn foreign(
    handle: &Handle,
    caller: &Caller,
    ids: &[AccountId],
) -> Result<HashSet<AccountId>, Refusal> {
    Ok(look_up(handle, caller, ids).await?.0)
}

/// Accounts with their owners.
type Owned = Vec<(AccountId, String)>;

/// The same, and the owners of those that are the caller's because of them.
async fn look_up(
    handle: &Handle,
    caller: &Caller,
    ids: &[AccountId],
) -> Result<(HashSet<AccountId>, Owned), Refusal> {
    let by_id = |id: &AccountId| caller.grants().iter().all(|grant| grant.scope.has_id(*id));
    let mut foreign: HashSet<AccountId> = ids.iter().filter(|id| !by_id(id)).copied().collect();
    let mut owned = Vec::new();
    if foreign.is_empty() || !caller.grants().iter().any(|grant| grant.scope.names_owners()) {
        return Ok((foreign, owned));
    }
    let asked: Vec<AccountId> = foreign.iter().copied().collect();
    for chunk in asked.chunks(BATCH_MAX) {
        let at = handle.accounts(chunk.to_vec()).await?;
        for shown in at.accounts.iter().flatten().filter(|shown| is_callers(caller, shown)) {
            foreign.remove(&shown.view.spec.id);
            owned.push((shown.view.spec.id, owner_of(shown).to_owned()));
        }
    }
    Ok((foreign, owned))
}

/// The sides of every request, in order; `None` where they are not known.
async fn sides(handle: &Handle, batch: &[Request]) -> Result<Vec<Option<Sides>>, Refusal> {
    let named: HashSet<TransferId> = batch
        .iter()
        .filter(|request| request.accounts().is_none())
        .filter_map(Request::hold)
        .collect();
    let named: Vec<TransferId> = named.into_iter().collect();
    let holds = hold_accounts(handle, &named).await?;
    let mut sides = Vec::with_capacity(batch.len());
    for request in batch {
        let accounts = match (request.accounts(), request.hold(), request.refund()) {
            (Some(accounts), _, _) => Some(accounts),
            (None, Some(hold), _) => holds.get(&hold).copied(),
            (None, None, Some(refund)) => refund_accounts(handle, refund).await?,
            (None, None, None) => None,
        };
        let asks_of_receiver = request.terms().is_some_and(asks_of_receiver);
        sides.push(accounts.map(|[pays, receives]| Sides { pays, receives, asks_of_receiver }));
    }
    Ok(sides)
}

fn asks_of_receiver(terms: &Terms) -> bool {
    terms.credit != ducat_engine::terms::AccountTerms::default()
        || terms.balancing.is_some_and(|balancing| balancing.credit.is_some())
}

/// The accounts of holds that were decided, open or closed.
async fn hold_accounts(
    handle: &Handle,
    ids: &[TransferId],
) -> Result<HashMap<TransferId, [AccountId; 2]>, Refusal> {
    let mut found = HashMap::new();
    for chunk in ids.chunks(BATCH_MAX) {
        if chunk.is_empty() {
            continue;
        }
        let at = handle.holds(chunk.to_vec()).await?;
        let mut closed = Vec::new();
        for (id, state) in chunk.iter().zip(&at.holds) {
            match state {
                Some(HoldState::Open(view)) => {
                    found.insert(*id, [view.debit, view.credit]);
                }
                Some(HoldState::Closed(_)) => closed.push(*id),
                None => {}
            }
        }
        if closed.is_empty() {
            continue;
        }
        let placed = handle.requests(closed.clone()).await?;
        for (id, stored) in closed.into_iter().zip(placed) {
            if let Some(accounts) = stored.and_then(|stored| stored.request.accounts()) {
                found.insert(id, accounts);
            }
        }
    }
    Ok(found)
}

/// Who pays a refund, and who gets it: the sides of its original, the other way round.
async fn refund_accounts(
    handle: &Handle,
    refund: &RefundRequest,
) -> Result<Option<[AccountId; 2]>, Refusal> {
    let page = handle.refunds_of(refund.of, refund.of_lsn, None, 1).await?;
    Ok(page.map(|page| [page.credit, page.debit]))
}

/// The stable reason of everything that is refused here.
const OUT_OF_SCOPE: &str = "OUT_OF_SCOPE";

fn scope_sentence(caller: &Caller, what: &str) -> String {
    format!("{what} is not in the scope of {}", caller.names())
}

fn out_of_scope(caller: &Caller, what: String) -> Refusal {
    caller.count_denied();
    if let Some(seed) = audit::current() {
        seed.is_about(|| what.clone());
    }
    Refusal::new(Code::PermissionDenied, OUT_OF_SCOPE, scope_sentence(caller, &what))
}
