//! Repeats: whether a request is the one that its id stands for, and the outcome that one had,
//! both read from the record that decided it.
//!
//! ```text
//! known id ─ other content ────────────────────▶ ID_REUSED
//!          └ same content ─ refused ───────────▶ the refusal again
//!                         └ done ─── alone ────▶ done, again
//!                                  └ in a group ─ the group that was done ─▶ done, again
//!                                               └ any other group ─────────▶ ID_REUSED
//! ```
//!
//! **The same request again gets the same outcomes,** as long as its ids are remembered. All
//! that is asked here follows from the request and from records, which never change; and a
//! group of which some ids are new has none of its known ones answered as posted, now or
//! later: it is not the group that was posted, and never will be.
//!
//! **The group that was done** is told by its events. One that was done and is linked is linked
//! with the next event for certain, since only a group that is done whole does any. So a run
//! of consecutive events that were done, of which only the last is linked with nothing, and
//! before which none that was done and is linked stands, is one whole group. (A *refused* linked event proves
//! nothing: of a group that mixed new ids with known ones, only the new ones have events.)

mod holds;
mod refunds;

pub use refunds::refund_after;

use crate::coordinator::{Answer, fee_after, hold_after, kind_between, terms_after};
use crate::directory::Listing;
use crate::ids::{AccountId, Lsn, Slot};
use crate::money::CurrencyId;
use crate::record::{Party, PostedSide, Record, Refused, TermedRecord};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::terms::Termed;
use crate::transfer::{BalanceAfter, Outcome, TransferKind, TransferRequest};

/// A request under a known id: its place among the outcomes, the event that decided the id,
/// and what was asked this time.
pub type Repeat = (usize, Lsn, Box<Asked>);

/// How a known id stands in its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Not linked with others.
    Alone,
    /// The first of a linked group of known ids, whose events follow one another.
    First,
    /// Behind the first of such a group.
    Behind,
    /// In a linked group of any other sort, which thus never happened.
    Stray,
}

/// A request under a known id, with its accounts looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    request: Request,
    debit: Option<Listing>,
    credit: Option<Listing>,
    pub(crate) standing: Standing,
}

/// Events read back, in the order of their LSNs.
struct Events(Vec<(Lsn, u64, Record)>);

impl Events {
    fn get(&self, lsn: Lsn) -> &(Lsn, u64, Record) {
        let at = self.0.binary_search_by_key(&lsn, |event| event.0);
        &self.0[at.expect("every event was read that is asked for")]
    }
}

/// Fills in what an answer still lacks: the outcomes of the requests whose ids were known, and
/// how their holds stood then. `read` gives an event's time and record; it is asked once for
/// each event that is needed, in the order of LSNs. No repeats are left then.
///
/// # Errors
/// Those of `read`; the answer must not be used then.
///
/// # Panics
/// When its repeats are not those of its outcomes.
pub fn resolve<E>(
    answer: &mut Answer,
    mut read: impl FnMut(Lsn) -> Result<(u64, Record), E>,
) -> Result<(), E> {
    if answer.repeats.is_empty() {
        return Ok(());
    }
    let repeats = &std::mem::take(&mut answer.repeats)[..];
    let before_first = |(_, lsn, asked): &Repeat| {
        let before = (asked.standing == Standing::First).then(|| lsn.0.checked_sub(1)).flatten();
        before.filter(|lsn| *lsn > 0).map(Lsn)
    };
    let own = repeats.iter().map(|(_, lsn, _)| *lsn);
    let mut lsns: Vec<Lsn> = own.chain(repeats.iter().filter_map(before_first)).collect();
    lsns.sort_unstable();
    lsns.dedup();
    let mut events = Events(Vec::with_capacity(lsns.len()));
    for lsn in lsns {
        let (time_ns, record) = read(lsn)?;
        events.0.push((lsn, time_ns, record));
    }
    for group in repeats.chunk_by(|_, next| next.2.standing == Standing::Behind) {
        let begins =
            before_first(&group[0]).is_none_or(|before| !is_done_and_linked(&events.get(before).2));
        let posted = |(_, lsn, asked): &Repeat| {
            let record = &events.get(*lsn).2;
            record.is_done() && asked.is(record)
        };
        let whole = match group[0].2.standing {
            Standing::Alone => true,
            Standing::First => begins && group.iter().all(posted),
            Standing::Behind | Standing::Stray => false,
        };
        for (at, lsn, asked) in group {
            let (_, time_ns, record) = events.get(*lsn);
            let stands = asked.stands(record, whole);
            answer.outcomes[*at] = asked.outcome(*lsn, *time_ns, record, stands);
            let hold = hold_after(*time_ns, record).filter(|_| stands);
            answer.holds.extend(hold.map(|hold| (*at, hold)));
            let refund = refund_after(record).filter(|_| stands);
            answer.refunds.extend(refund.map(|refund| (*at, refund)));
            let terms = terms_after(*lsn, record).filter(|_| stands);
            answer.terms.extend(terms.map(|terms| (*at, terms)));
            let fee = fee_after(record).filter(|_| stands);
            answer.fees.extend(fee.map(|fee| (*at, fee)));
        }
    }
    answer.holds.sort_unstable_by_key(|(at, _)| *at);
    answer.refunds.sort_unstable_by_key(|(at, _)| *at);
    answer.terms.sort_unstable_by_key(|(at, _)| *at);
    answer.fees.sort_unstable_by_key(|(at, _)| *at);
    Ok(())
}

fn is_done_and_linked(record: &Record) -> bool {
    record.is_done() && record.is_linked()
}

impl Asked {
    /// A request and what the directory knows of its accounts.
    #[must_use]
    pub fn new(request: Request, debit: Option<Listing>, credit: Option<Listing>) -> Self {
        Self { request, debit, credit, standing: Standing::Alone }
    }

    /// Names its accounts by the slots that `to` gives for those they have.
    pub(crate) fn relocate(&mut self, to: impl Fn(Slot) -> Slot) {
        for listing in self.debit.iter_mut().chain(&mut self.credit) {
            listing.slot = to(listing.slot);
        }
    }

    /// Whether `record` is of the request asked for, in all of its content. A currency that
    /// is named in only one of them makes no difference when it is that of the accounts.
    pub(crate) fn is(&self, record: &Record) -> bool {
        if record.transfer_id() != Some(self.request.id()) {
            return false;
        }
        if record.is_linked() != self.request.linked() {
            return false;
        }
        if self.request.note() != record.note() {
            return false;
        }
        let kind = record.noted_kind();
        match (self.request.unnoted(), record.unnoted()) {
            (Request::Termed(asked), Record::Termed(termed)) => self.is_termed(asked, termed, kind),
            (Request::Termed(_), _) | (_, Record::Termed(_)) => false,
            (Request::Transfer(asked), Record::Posted(posted) | Record::PostedLinked(posted)) => {
                self.is_posted(asked, posted.debit, posted.credit, posted.amount, kind)
            }
            (
                Request::Transfer(asked),
                Record::Refused(refused) | Record::RefusedLinked(refused),
            ) => self.is_refused(asked, refused),
            (Request::Transfer(_), _) => false,
            (Request::Refund(asked), record) => Self::is_refund(asked, record),
            (operation, record) => self.is_operation(operation, record, kind),
        }
    }

    fn is_termed(&self, asked: &Termed, termed: &TermedRecord, kind: Option<TransferKind>) -> bool {
        if *asked.terms() != termed.terms {
            return false;
        }
        match (asked.request(), &termed.record) {
            (Request::Transfer(asked), record) if asked.amount == termed.asked => match record {
                // What it moved follows from what there was.
                Record::Posted(p) | Record::PostedLinked(p) => {
                    self.is_posted(asked, p.debit, p.credit, asked.amount, kind)
                }
                Record::Refused(refused) | Record::RefusedLinked(refused) => {
                    self.is_refused(asked, refused)
                }
                _ => false,
            },
            (Request::Transfer(_), _) => false,
            (operation, record) => self.is_operation(operation, record, kind),
        }
    }

    fn is_posted(
        &self,
        asked: &TransferRequest,
        debit_slot: Slot,
        credit_slot: Slot,
        amount: u128,
        kind: Option<TransferKind>,
    ) -> bool {
        let (Some(debit), Some(credit)) = (self.debit, self.credit) else { return false };
        debit.slot == debit_slot
            && credit.slot == credit_slot
            && asked.amount == amount
            && kind.or_else(|| kind_between(debit, credit)) == Some(asked.kind)
            && asked.currency.is_none_or(|named| named == debit.currency)
    }

    fn is_refused(&self, asked: &TransferRequest, refused: &Refused) -> bool {
        let currency = |named: Option<CurrencyId>| named.or(self.currency_then(refused));
        is_party(refused.debit, asked.debit, self.debit)
            && is_party(refused.credit, asked.credit, self.credit)
            && asked.amount == refused.amount
            && asked.kind == refused.kind
            && currency(asked.currency) == currency(refused.currency)
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

    /// Whether the request is answered as the first time, not with [`Rejection::IdReused`]: its
    /// content is the same, and what was done was done in this group (`whole` tells).
    fn stands(&self, record: &Record, whole: bool) -> bool {
        self.is(record) && (whole || !record.is_done())
    }

    /// The outcome that answers the request, given the record of the event at `lsn`, decided
    /// at `time_ns`.
    fn outcome(&self, lsn: Lsn, time_ns: u64, record: &Record, stands: bool) -> Outcome {
        if stands {
            let stored = stored_outcome(lsn, time_ns, record);
            let currency = match record.plain() {
                Record::Refused(refused) | Record::RefusedLinked(refused) => {
                    self.currency_then(refused)
                }
                Record::Posted(_) | Record::PostedLinked(_) | Record::Held(_) => {
                    self.debit.or(self.credit).map(|listing| listing.currency)
                }
                _ => stored.currency,
            };
            return Outcome { currency, ..stored };
        }
        Outcome {
            id: self.request.id(),
            lsn,
            time_ns,
            rejection: Some(Rejection::IdReused),
            repeat: true,
            currency: None,
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

/// The outcome a request's record stands for. Without the currency, where the record of a
/// transfer or a hold that was placed does not name it.
///
/// # Panics
/// When the record is not of a request.
#[must_use]
pub fn stored_outcome(lsn: Lsn, time_ns: u64, record: &Record) -> Outcome {
    let id = record.transfer_id().expect("only requests have outcomes");
    let mut outcome = Outcome {
        id,
        lsn,
        time_ns,
        rejection: record.rejection(),
        repeat: true,
        currency: None,
        debit: None,
        credit: None,
    };
    match record.plain() {
        Record::Posted(p) | Record::PostedLinked(p) => {
            outcome.debit = Some(side(&p.debit_side));
            outcome.credit = Some(side(&p.credit_side));
        }
        Record::Refused(r) | Record::RefusedLinked(r) => {
            outcome.debit = party_figures(r.debit);
            outcome.credit = party_figures(r.credit);
        }
        Record::Refunded(_) | Record::RefundRefused(_) => {
            refunds::stored_outcome(record.plain(), &mut outcome);
        }
        operation => holds::stored_outcome(operation, &mut outcome),
    }
    outcome
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

fn figures(posted: i128, room: i128) -> BalanceAfter {
    BalanceAfter { posted, available: posted + room }
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
    /// What it was for; not kept for a posted transfer where its accounts tell.
    pub kind: Option<TransferKind>,
}

/// What was asked by the transfer that `record` decided; `None` for other records.
#[must_use]
pub fn content(record: &Record) -> Option<Content> {
    let party = |party: Party| match party {
        Party::Known { slot, .. } => Named::Slot(slot),
        Party::Unknown(id) => Named::Id(id),
    };
    if let Record::Noted(noted) = record {
        let plain = content(&noted.record)?;
        return Some(Content { kind: noted.kind.or(plain.kind), ..plain });
    }
    if let Record::Termed(termed) = record {
        let plain = content(&termed.record)?;
        return Some(Content { amount: termed.asked, ..plain });
    }
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
