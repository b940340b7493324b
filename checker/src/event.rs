//! The journal's side: its events, and what each says of a transfer.

use crate::books::Books;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::record::{Party, Posted, PostedSide, Record, Refused};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{BalanceAfter, TransferKind, TransferRequest};

/// One event of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its place.
    pub lsn: Lsn,
    /// When it was decided, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// What it is.
    pub record: Record,
}

/// One side of a transfer as the journal names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Side {
    /// The account that was asked for. `None` when the journal names a slot that no account has.
    pub account: Option<AccountId>,
    /// Its slot, if it existed.
    pub slot: Option<Slot>,
    /// How the journal says it stood afterwards.
    pub after: Option<BalanceAfter>,
}

/// A transfer as the journal has it: what was asked and what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stored {
    pub id: TransferId,
    pub lsn: Lsn,
    pub time_ns: u64,
    pub rejection: Option<Rejection>,
    pub debit: Side,
    pub credit: Side,
    pub amount: u128,
    /// `None` when the accounts of a posted transfer allow no kind.
    pub kind: Option<TransferKind>,
    pub linked: bool,
    /// As named, or that of the accounts that existed then.
    currency: Option<CurrencyId>,
    /// That of the accounts that existed then.
    currency_then: Option<CurrencyId>,
}

impl Stored {
    /// What an event says of a transfer; `None` for other events.
    pub fn of(event: &Event, books: &Books) -> Option<Self> {
        match event.record.plain() {
            Record::Posted(posted) => Some(Self::posted(event, books, posted, false)),
            Record::PostedLinked(posted) => Some(Self::posted(event, books, posted, true)),
            Record::Refused(refused) => Some(Self::refused(event, books, refused, false)),
            Record::RefusedLinked(refused) => Some(Self::refused(event, books, refused, true)),
            _ => None,
        }
    }

    fn posted(event: &Event, books: &Books, posted: &Posted, linked: bool) -> Self {
        let side = |slot: Slot, side: &PostedSide| {
            let account = books.get(slot).map(|book| book.spec.id);
            Side { account, slot: Some(slot), after: Some(figures(side.posted, side.room)) }
        };
        let (debit, credit) = (books.get(posted.debit), books.get(posted.credit));
        let currency = debit.or(credit).map(|book| book.spec.currency);
        let kind = debit.zip(credit).and_then(|(d, c)| kind_of(d.spec.external, c.spec.external));
        Self {
            id: posted.id,
            lsn: event.lsn,
            time_ns: event.time_ns,
            rejection: None,
            debit: side(posted.debit, &posted.debit_side),
            credit: side(posted.credit, &posted.credit_side),
            amount: posted.amount,
            kind,
            linked,
            currency,
            currency_then: currency,
        }
    }

    fn refused(event: &Event, books: &Books, refused: &Refused, linked: bool) -> Self {
        let side = |party: Party| match party {
            Party::Known { slot, posted, room } => {
                let account = books.get(slot).map(|book| book.spec.id);
                Side { account, slot: Some(slot), after: Some(figures(posted, room)) }
            }
            Party::Unknown(id) => Side { account: Some(id), slot: None, after: None },
        };
        let (debit, credit) = (side(refused.debit), side(refused.credit));
        let existing = debit.slot.or(credit.slot).and_then(|slot| books.get(slot));
        let currency_then = existing.map(|book| book.spec.currency);
        Self {
            id: refused.id,
            lsn: event.lsn,
            time_ns: event.time_ns,
            rejection: Some(refused.rejection),
            debit,
            credit,
            amount: refused.amount,
            kind: Some(refused.kind),
            linked,
            currency: refused.currency.or(currency_then),
            currency_then,
        }
    }

    /// Whether it is of the transfer asked for, in all of its content. To leave the currency
    /// out means that of the accounts.
    pub fn is(&self, request: &TransferRequest) -> bool {
        self.id == request.id
            && self.debit.account == Some(request.debit)
            && self.credit.account == Some(request.credit)
            && self.amount == request.amount
            && self.kind == Some(request.kind)
            && self.linked == request.linked
            && self.currency == request.currency.or(self.currency_then)
    }
}

pub(crate) fn figures(posted: i128, room: i128) -> BalanceAfter {
    BalanceAfter { posted, available: posted.saturating_add(room) }
}

/// The kind that a transfer between two such accounts can only have.
pub(crate) fn kind_of(debit_external: bool, credit_external: bool) -> Option<TransferKind> {
    match (debit_external, credit_external) {
        (false, false) => Some(TransferKind::Transfer),
        (true, false) => Some(TransferKind::Deposit),
        (false, true) => Some(TransferKind::Withdrawal),
        (true, true) => None,
    }
}
