//! Repeats: whether a request is the transfer that its id stands for, and the outcome that
//! transfer had, both read from the record that decided it.

use crate::coordinator::kind_between;
use crate::directory::Listing;
use crate::ids::{AccountId, Lsn, Slot};
use crate::money::CurrencyId;
use crate::record::{Party, Posted, PostedSide, Record, Refused};
use crate::rejection::Rejection;
use crate::transfer::{BalanceAfter, Outcome, TransferKind, TransferRequest};

/// A request under a known id, with its accounts looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    request: TransferRequest,
    debit: Option<Listing>,
    credit: Option<Listing>,
    /// It stands in a linked group with ids that are new.
    pub(crate) in_other_group: bool,
}

impl Asked {
    /// A request and what the directory knows of its accounts.
    #[must_use]
    pub fn new(request: TransferRequest, debit: Option<Listing>, credit: Option<Listing>) -> Self {
        Self { request, debit, credit, in_other_group: false }
    }

    /// Whether `record` is of the transfer asked for, in all of its content. A currency that
    /// is named in only one of them makes no difference when it is that of the accounts.
    #[must_use]
    pub fn is(&self, record: &Record) -> bool {
        if self.in_other_group || record.transfer_id() != Some(self.request.id) {
            return false;
        }
        if record.is_linked() != self.request.linked {
            return false;
        }
        match record {
            Record::Posted(posted) | Record::PostedLinked(posted) => self.is_posted(posted),
            Record::Refused(refused) | Record::RefusedLinked(refused) => self.is_refused(refused),
            _ => false,
        }
    }

    fn is_posted(&self, posted: &Posted) -> bool {
        let (Some(debit), Some(credit)) = (self.debit, self.credit) else { return false };
        debit.slot == posted.debit
            && credit.slot == posted.credit
            && self.request.amount == posted.amount
            && kind_between(debit, credit) == Some(self.request.kind)
            && self.request.currency.is_none_or(|named| named == debit.currency)
    }

    fn is_refused(&self, refused: &Refused) -> bool {
        let currency = |named: Option<CurrencyId>| named.or(self.currency_then(refused));
        is_party(refused.debit, self.request.debit, self.debit)
            && is_party(refused.credit, self.request.credit, self.credit)
            && self.request.amount == refused.amount
            && self.request.kind == refused.kind
            && currency(self.request.currency) == currency(refused.currency)
    }

    /// Currency of the accounts as it was when the transfer was refused: an account that was
    /// opened since had no part in it, and the answer must not change.
    fn currency_then(&self, refused: &Refused) -> Option<CurrencyId> {
        let existed = |party, listing: Option<Listing>| match party {
            Party::Known { .. } => listing.map(|listing| listing.currency),
            Party::Unknown(_) => None,
        };
        existed(refused.debit, self.debit).or(existed(refused.credit, self.credit))
    }

    /// The outcome that answers the request, given the record of the event at `lsn`, decided
    /// at `time_ns`: the stored one, or [`Rejection::IdReused`] when the content differs.
    #[must_use]
    pub fn outcome(&self, lsn: Lsn, time_ns: u64, record: &Record) -> Outcome {
        let currency = self.debit.or(self.credit).map(|listing| listing.currency);
        if self.is(record) {
            let currency = match record {
                Record::Refused(refused) | Record::RefusedLinked(refused) => {
                    self.currency_then(refused)
                }
                _ => currency,
            };
            return Outcome { currency, ..stored_outcome(lsn, time_ns, record) };
        }
        Outcome {
            id: self.request.id,
            lsn,
            time_ns,
            rejection: Some(Rejection::IdReused),
            repeat: true,
            currency,
            debit: None,
            credit: None,
        }
    }
}

fn is_party(party: Party, id: AccountId, listing: Option<Listing>) -> bool {
    match party {
        Party::Known { slot, .. } => listing.is_some_and(|listing| listing.slot == slot),
        Party::Unknown(unknown) => unknown == id,
    }
}

/// The outcome a transfer's record stands for, without the currency.
///
/// # Panics
/// When the record is not of a transfer.
#[must_use]
pub fn stored_outcome(lsn: Lsn, time_ns: u64, record: &Record) -> Outcome {
    let (id, rejection, debit, credit) = match record {
        Record::Posted(p) | Record::PostedLinked(p) => {
            (p.id, None, Some(side(&p.debit_side)), Some(side(&p.credit_side)))
        }
        Record::Refused(r) | Record::RefusedLinked(r) => {
            (r.id, Some(r.rejection), party_figures(r.debit), party_figures(r.credit))
        }
        _ => panic!("only transfers have outcomes"),
    };
    Outcome { id, lsn, time_ns, rejection, repeat: true, currency: None, debit, credit }
}

fn side(side: &PostedSide) -> BalanceAfter {
    figures(side.posted, side.room)
}

fn party_figures(party: Party) -> Option<BalanceAfter> {
    match party {
        Party::Known { posted, room, .. } => Some(figures(posted, room)),
        Party::Unknown(_) => None,
    }
}

fn figures(posted: i128, room: u128) -> BalanceAfter {
    BalanceAfter { posted, available: posted + crate::account::signed(room) }
}

/// An account named by a record: by slot when it existed, else by the id that was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    /// An account of the ledger.
    Slot(Slot),
    /// An id that no account had.
    Id(AccountId),
}

/// What a transfer's record says was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content {
    /// The account that pays.
    pub debit: Named,
    /// The account that receives.
    pub credit: Named,
    /// Minor units.
    pub amount: u128,
    /// The currency that was named; not kept for a posted transfer, whose accounts hold it.
    pub currency: Option<CurrencyId>,
    /// What it was for; not kept for a posted transfer, whose accounts tell.
    pub kind: Option<TransferKind>,
}

/// What was asked by the transfer that `record` decided; `None` for other records.
#[must_use]
pub fn content(record: &Record) -> Option<Content> {
    let party = |party: Party| match party {
        Party::Known { slot, .. } => Named::Slot(slot),
        Party::Unknown(id) => Named::Id(id),
    };
    match record {
        Record::Posted(p) | Record::PostedLinked(p) => Some(Content {
            debit: Named::Slot(p.debit),
            credit: Named::Slot(p.credit),
            amount: p.amount,
            currency: None,
            kind: None,
        }),
        Record::Refused(r) | Record::RefusedLinked(r) => Some(Content {
            debit: party(r.debit),
            credit: party(r.credit),
            amount: r.amount,
            currency: r.currency,
            kind: Some(r.kind),
        }),
        _ => None,
    }
}
