//! Terms of a request: an amount that depends on what is there, and conditions on how its
//! accounts stand. See `docs/adr/0022-terms.md`.
//!
//! ```text
//! Termed ─┬─ the request: a transfer, a hold, a capture
//!         └─ Terms ─┬─ Balancing: up to the amount, as far as the debit account has it, the
//!                   │             credit account takes it, or sources before it left it over
//!                   └─ AccountTerms of each side: version now, figures after
//! ```
//!
//! What a balanced transfer moves is known only at its place in the serial order, where the
//! accounts judge it ([`judge`]); from there on it is a plain amount: in the commit, in the
//! record, in every repeat.

pub(crate) mod judge;

use crate::ids::{Lsn, TransferId};
use crate::request::Request;
use serde::{Deserialize, Serialize};

/// A request and its terms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Termed {
    request: Request,
    terms: Terms,
}

/// What must be so for a request to be done, and how much it moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Terms {
    /// The transfer's amount is the most that it moves, not what it moves.
    pub balancing: Option<Balancing>,
    /// On the debit account.
    pub debit: AccountTerms,
    /// On the credit account.
    pub credit: AccountTerms,
}

/// How a transfer's amount follows from its accounts: the largest that is no more than the
/// request's amount and all caps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Balancing {
    /// The least that it moves, minor units, at most the request's amount. With 0 a transfer
    /// that finds nothing to move is posted with the amount 0.
    pub min: u128,
    /// Capped by what the debit account has; `None`: an amount that is not there is refused.
    pub debit: Option<DebitCap>,
    /// Capped by what the credit account takes; `None`: an amount without room is refused.
    pub credit: Option<CreditCap>,
    /// It is one of several sources of one total.
    pub source: Option<Source>,
}

/// What of its debit account a transfer may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DebitCap {
    /// All it can spend: down to its floor or its overdraft limit.
    Available,
    /// What it has of its own: not its overdraft.
    Balance,
}

/// What its credit account takes of a transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CreditCap {
    /// As much as has room below its ceiling.
    Room,
    /// As much as it owes: what brings its posted balance from below zero to zero.
    Debt,
}

/// A source of a payment that several make up: members of a linked group that follow one
/// another, up to the one that is the last. Each gives what those before it left over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// What all of them move together, minor units.
    pub total: u128,
    /// No source follows: what is left over, it must move, or the group is refused.
    pub last: bool,
}

/// Conditions on an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AccountTerms {
    /// The account's version as its group begins: the LSN of the last event that changed it
    /// ([`crate::account::Account::version`]). What earlier members of the group do does not
    /// count.
    pub version: Option<Lsn>,
    /// Its posted balance right after this request, earlier members of the group included,
    /// minor units.
    pub posted: Range,
    /// What it can spend then: posted − on hold + overdraft limit.
    pub available: Range,
}

/// Where a figure must lie, minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Range {
    /// Not below.
    pub at_least: Option<i128>,
    /// Not above.
    pub at_most: Option<i128>,
}

/// What is told of a request with terms, beside its outcome: the same for every repeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TermsAfter {
    /// Minor units moved, or set aside; 0 of a refusal.
    pub moved: u128,
    /// The debit account's version after it, where it is known.
    pub debit_version: Option<Lsn>,
    /// The credit account's version after it, where it is known and has a part in it.
    pub credit_version: Option<Lsn>,
}

/// A request that can have no such terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TermsFault {
    /// Voids and extensions ask nothing of accounts, and terms have no terms.
    #[error("only transfers, holds and captures can have terms")]
    Request,
    /// A hold and a capture have their amounts from elsewhere.
    #[error("only a transfer can be balanced")]
    Balancing,
    /// Nothing is asked.
    #[error("the terms say nothing")]
    Nothing,
}

impl Range {
    /// Whether the figure lies in it.
    #[must_use]
    pub fn contains(&self, figure: i128) -> bool {
        self.at_least.is_none_or(|least| figure >= least)
            && self.at_most.is_none_or(|most| figure <= most)
    }

    /// Whether every figure lies in it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
}

impl Termed {
    /// A request and its terms.
    ///
    /// # Errors
    /// [`TermsFault`].
    pub fn new(request: impl Into<Request>, terms: Terms) -> Result<Self, TermsFault> {
        let request = request.into();
        match &request {
            Request::Transfer(_) => {}
            Request::Hold(_) | Request::Capture(_) if terms.balancing.is_none() => {}
            Request::Hold(_) | Request::Capture(_) => return Err(TermsFault::Balancing),
            Request::Void(_)
            | Request::Extend(_)
            | Request::Refund(_)
            | Request::Termed(_)
            | Request::Noted(_) => {
                return Err(TermsFault::Request);
            }
        }
        if terms == Terms::default() {
            return Err(TermsFault::Nothing);
        }
        Ok(Self { request, terms })
    }

    /// What is asked for; never with terms of its own.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// On which terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The terms, to be changed. What cannot be balanced must not become so.
    #[cfg(any(test, feature = "testing"))]
    pub fn terms_mut(&mut self) -> &mut Terms {
        &mut self.terms
    }

    /// Links it with the next request, or not.
    pub(crate) fn set_linked(&mut self, linked: bool) {
        self.request.set_linked(linked);
    }

    /// Makes it one of another kind.
    pub(crate) fn set_kind(&mut self, kind: crate::transfer::TransferKind) {
        self.request.set_kind(kind);
    }

    /// Gives it another id.
    pub(crate) fn set_id(&mut self, id: TransferId) {
        self.request.set_id(id);
    }

    /// What is asked for, to be changed by tests into something of the same kind.
    #[cfg(any(test, feature = "testing"))]
    pub fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }
}

/// The id of a payment's leg number `at`: the first has the payment's own, the others have ids
/// that follow from it, as good as random.
///
/// # Panics
/// Never in practice: when a hash is zero.
#[must_use]
pub fn leg_id(payment: TransferId, at: u32) -> TransferId {
    if at == 0 {
        return payment;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"ducat leg 1");
    hasher.update(&payment.get().to_le_bytes());
    hasher.update(&at.to_le_bytes());
    let hash = hasher.finalize();
    let (bytes, _) = hash.as_bytes().split_first_chunk().expect("32 bytes");
    TransferId::new(u128::from_le_bytes(*bytes)).expect("no hash is zero")
}
