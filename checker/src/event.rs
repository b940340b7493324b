//! The journal's side: its events, and what each says of a transfer.

use crate::around::{Around, AskedBack};
use crate::books::Books;
use ducat_engine::coordinator::hold_after;
use ducat_engine::holds::HoldAfter;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::record::{
    Captured, Extended, Figures, Held, HoldRefused, Operation, Party, Posted, PostedSide, Record,
    Refused, Voided,
};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;
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

/// One side of a request as the journal names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Side {
    /// The account that was asked for. `None` when the journal names a slot that no account has,
    /// or no account at all.
    pub account: Option<AccountId>,
    /// Its slot, if it existed.
    pub slot: Option<Slot>,
    /// How the journal says it stood afterwards.
    pub after: Option<BalanceAfter>,
}

/// What a request asks of a hold, and how that stands then as the journal says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OnHold {
    pub asked: Operation,
    pub after: Option<HoldAfter>,
}

/// A request as the journal has it: what was asked and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// Of an operation on a hold.
    pub on_hold: Option<Box<OnHold>>,
    /// Of a refund.
    pub refund: Option<Box<AskedBack>>,
    /// Its terms and its note, and what is told beside its outcome.
    pub around: Option<Box<Around>>,
    /// As named, or that of the accounts that existed then.
    pub(crate) currency: Option<CurrencyId>,
    /// That of the accounts that existed then.
    pub(crate) currency_then: Option<CurrencyId>,
}

impl Stored {
    /// What an event says of a request; `None` for other events.
    pub fn of(event: &Event, books: &Books) -> Option<Self> {
        let stored = Self::of_plain(event, books)?;
        let kind = event.record.noted_kind().or(stored.kind);
        Some(Self { kind, around: Around::of(event), ..stored })
    }

    fn of_plain(event: &Event, books: &Books) -> Option<Self> {
        match event.record.plain() {
            Record::Posted(posted) => Some(Self::posted(event, books, posted, false)),
            Record::PostedLinked(posted) => Some(Self::posted(event, books, posted, true)),
            Record::Refused(refused) => Some(Self::refused(event, books, refused, false)),
            Record::RefusedLinked(refused) => Some(Self::refused(event, books, refused, true)),
            Record::Refunded(refunded) => Some(Self::given_back(event, books, refunded)),
            Record::RefundRefused(refused) => Some(Self::not_given_back(event, books, refused)),
            record => Self::operation(event, books, record),
        }
    }

    /// What an event says of an operation on a hold.
    fn operation(event: &Event, books: &Books, record: &Record) -> Option<Self> {
        let known = |slot: Slot, after: &Figures| {
            let account = books.get(slot).map(|book| book.spec.id);
            Side { account, slot: Some(slot), after: Some(figures(after.posted, after.room)) }
        };
        let on_hold =
            |asked| Some(Box::new(OnHold { asked, after: hold_after(event.time_ns, record) }));
        let nothing = |id, linked, currency, asked| Self {
            id,
            lsn: event.lsn,
            time_ns: event.time_ns,
            rejection: None,
            debit: Side::default(),
            credit: Side::default(),
            amount: 0,
            kind: None,
            linked,
            on_hold: on_hold(asked),
            refund: None,
            around: None,
            currency,
            currency_then: currency,
        };
        Some(match record {
            Record::Held(held) => {
                let Held {
                    id, linked, debit, credit, amount, timeout_ns, over_capture_max, ..
                } = *held;
                let book = |slot| books.get(slot);
                let currency = book(debit).or(book(credit)).map(|book| book.spec.currency);
                let kind = book(debit)
                    .zip(book(credit))
                    .and_then(|(d, c)| kind_of(d.spec.external, c.spec.external));
                let asked = Operation::Hold {
                    amount,
                    currency: None,
                    kind: kind.unwrap_or(TransferKind::Transfer),
                    timeout_ns,
                    over_capture_max,
                };
                let account = book(credit).map(|book| book.spec.id);
                Self {
                    debit: known(debit, &held.debit_after),
                    credit: Side { account, ..Side::default() },
                    amount,
                    kind,
                    ..nothing(id, linked, currency, asked)
                }
            }
            Record::Captured(captured) => {
                let Captured { id, linked, hold, currency, all, amount, last, .. } = *captured;
                let of = |side: &PostedSide| Figures { posted: side.posted, room: side.room };
                let amount = if all { None } else { Some(amount) };
                let asked = Operation::Capture { hold, amount, currency: None, last };
                Self {
                    debit: known(captured.debit, &of(&captured.debit_side)),
                    credit: known(captured.credit, &of(&captured.credit_side)),
                    ..nothing(id, linked, Some(currency), asked)
                }
            }
            Record::Voided(voided) => {
                let Voided { id, linked, hold, currency, debit, .. } = *voided;
                Self {
                    debit: known(debit, &voided.debit_after),
                    ..nothing(id, linked, Some(currency), Operation::Void { hold })
                }
            }
            Record::Extended(extended) => {
                let Extended { id, linked, hold, currency, debit, timeout_ns, .. } = *extended;
                Self {
                    debit: known(debit, &extended.debit_after),
                    ..nothing(id, linked, Some(currency), Operation::Extend { hold, timeout_ns })
                }
            }
            Record::HoldRefused(refused) => {
                let HoldRefused { id, linked, rejection, asked, held_in, debit, credit, .. } =
                    *refused;
                let side = |party: Option<Party>| {
                    party.map_or(Side::default(), |party| side_of(books, party))
                };
                let (debit, credit) = (side(debit), side(credit));
                let (amount, currency, kind) = match asked {
                    Operation::Hold { amount, currency, kind, .. } => {
                        (amount, currency, Some(kind))
                    }
                    Operation::Capture { currency, .. } => (0, currency, None),
                    _ => (0, None, None),
                };
                let rejection = Some(rejection);
                let currency = currency.or(held_in);
                let refused = nothing(id, linked, held_in, asked);
                Self { debit, credit, amount, kind, rejection, currency, ..refused }
            }
            _ => return None,
        })
    }

    pub(crate) fn posted(event: &Event, books: &Books, posted: &Posted, linked: bool) -> Self {
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
            on_hold: None,
            refund: None,
            around: None,
            currency,
            currency_then: currency,
        }
    }

    fn refused(event: &Event, books: &Books, refused: &Refused, linked: bool) -> Self {
        let (debit, credit) = (side_of(books, refused.debit), side_of(books, refused.credit));
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
            on_hold: None,
            refund: None,
            around: None,
            currency: refused.currency.or(currency_then),
            currency_then,
        }
    }

    /// Whether it is of what was asked for, in all of its content. To leave the currency out
    /// means that of the accounts.
    pub fn is(&self, request: &Request) -> bool {
        if !self.is_around(request) {
            return false;
        }
        match (request.plain(), &self.on_hold) {
            (Request::Transfer(transfer), None) => self.is_transfer(transfer),
            (Request::Refund(refund), None) => self.is_refund(refund),
            (Request::Transfer(_) | Request::Refund(_), Some(_)) | (_, None) => false,
            (Request::Hold(hold), Some(on_hold)) => {
                let Operation::Hold { timeout_ns, over_capture_max, .. } = on_hold.asked else {
                    return false;
                };
                (hold.timeout_ns, hold.over_capture_max) == (timeout_ns, over_capture_max)
                    && self.is_transfer(&hold.transfer())
            }
            (request, Some(on_hold)) => {
                self.id == request.id()
                    && self.linked == request.linked()
                    && self.is_of_open(request, &on_hold.asked)
            }
        }
    }

    fn is_of_open(&self, request: &Request, stored: &Operation) -> bool {
        match (request, *stored) {
            (Request::Capture(asked), Operation::Capture { hold, amount, last, .. }) => {
                (asked.hold, asked.amount, asked.last) == (hold, amount, last)
                    && self.currency == asked.currency.or(self.currency_then)
            }
            (Request::Void(asked), Operation::Void { hold }) => asked.hold == hold,
            (Request::Extend(asked), Operation::Extend { hold, timeout_ns }) => {
                (asked.hold, asked.timeout_ns) == (hold, timeout_ns)
            }
            _ => false,
        }
    }

    fn is_transfer(&self, request: &TransferRequest) -> bool {
        self.id == request.id
            && self.debit.account == Some(request.debit)
            && self.credit.account == Some(request.credit)
            && self.asked_amount() == request.amount
            && self.refund.is_none()
            && self.kind == Some(request.kind)
            && self.linked == request.linked
            && self.currency == request.currency.or(self.currency_then)
    }
}

/// The hold that a refused operation speaks of.
pub(crate) fn hold_of(refused: &HoldRefused) -> TransferId {
    match refused.asked {
        Operation::Hold { .. } => refused.id,
        Operation::Capture { hold, .. }
        | Operation::Void { hold }
        | Operation::Extend { hold, .. } => hold,
    }
}

pub(crate) fn side_of(books: &Books, party: Party) -> Side {
    match party {
        Party::Known { slot, posted, room } => {
            let account = books.get(slot).map(|book| book.spec.id);
            Side { account, slot: Some(slot), after: Some(figures(posted, room)) }
        }
        Party::Unknown(id) => Side { account: Some(id), slot: None, after: None },
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

/// A kind that the accounts do not tell, as records and open holds say it.
pub(crate) fn said_kind(kind: TransferKind) -> Option<TransferKind> {
    let told = [TransferKind::Transfer, TransferKind::Deposit, TransferKind::Withdrawal];
    (!told.contains(&kind)).then_some(kind)
}
