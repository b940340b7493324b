//! Refunds, what stands around a request (terms, a note, a rarer kind), and what replies tell of
//! both, as bytes and back.

use super::{AROUND, Before, In, KINDS, LINKED, OPERATION_SHIFT, Out, REFUND, is_rare};
use crate::history::Beside;
use ducat_engine::fees::FeeNote;
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::note::{Day, Note, Noted};
use ducat_engine::refunds::RefundAfter;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{RefundRequest, Request};
use ducat_engine::terms::{
    AccountTerms, Balancing, CreditCap, DebitCap, Range, Source, Termed, Terms, TermsAfter,
};
use ducat_engine::transfer::TransferKind;

// What stands around a request.
const TERMS: u8 = 1;
const NOTE: u8 = 2;
const KIND: u8 = 4;

// What a refund names, and what is told of it.
const OF_LSN: u8 = 1;
const AMOUNT: u8 = 2;
const CURRENCY: u8 = 4;
const OVERDRAFT: u8 = 8;
const REVERSED: u8 = 1;

const DEBIT_CAPS: [DebitCap; 2] = [DebitCap::Available, DebitCap::Balance];
const CREDIT_CAPS: [CreditCap; 2] = [CreditCap::Room, CreditCap::Debt];

/// 0 for none, else its place in the list and one.
fn place<T: PartialEq>(list: &[T], of: Option<T>) -> u8 {
    of.map_or(0, |of| list.iter().position(|one| *one == of).expect("listed") as u8 + 1)
}

/// What has this place; `None` for a place that nothing has.
fn at_place<T: Copy>(list: &[T], place: u8) -> Option<Option<T>> {
    match usize::from(place).checked_sub(1) {
        None => Some(None),
        Some(at) => list.get(at).copied().map(Some),
    }
}

impl Out {
    pub(super) fn refund(&mut self, refund: &RefundRequest, flags: u8, before: &mut Before) {
        let RefundRequest { of, of_lsn, amount, currency, allow_overdraft, linked, .. } = *refund;
        let linked = if linked { LINKED } else { 0 };
        self.byte(linked | flags | (REFUND << OPERATION_SHIFT));
        self.near(refund.id.get(), &mut before.id);
        self.number(of.get());
        let has = |is: bool, bit: u8| if is { bit } else { 0 };
        self.byte(
            has(of_lsn.is_some(), OF_LSN)
                | has(amount.is_some(), AMOUNT)
                | has(currency.is_some(), CURRENCY)
                | has(allow_overdraft, OVERDRAFT),
        );
        of_lsn.into_iter().for_each(|lsn| self.number(lsn.0.into()));
        amount.into_iter().for_each(|amount| self.number(amount));
        currency.into_iter().for_each(|currency| self.number(currency.0.into()));
    }

    /// What stands around a request, and the request with a kind that its bits have room for.
    pub(super) fn around(&mut self, request: &Request, flags: u8, before: &mut Before) {
        let (terms, note) = (request.terms(), request.note());
        let mut plain = request.plain().clone();
        let kind = match &mut plain {
            Request::Transfer(transfer) => Some(&mut transfer.kind),
            Request::Hold(hold) => Some(&mut hold.kind),
            _ => None,
        };
        let kind = kind.filter(|kind| is_rare(**kind));
        let kind = kind.map(|kind| std::mem::replace(kind, KINDS[0]));
        self.byte(flags | (AROUND << OPERATION_SHIFT));
        let has = |is: bool, bit: u8| if is { bit } else { 0 };
        let which = has(terms.is_some(), TERMS) | has(note.is_some(), NOTE);
        self.byte(which | has(kind.is_some(), KIND));
        if let Some(terms) = terms {
            self.terms(terms);
        }
        if let Some(note) = note {
            self.text(&note.reference);
            self.text(&note.description);
            self.maybe_signed(note.value_date.map(|day| day.days().into()));
        }
        kind.into_iter().for_each(|kind| self.byte(kind.number()));
        self.request(&plain, 0, before);
    }

    fn text(&mut self, text: &str) {
        self.list(text.bytes(), Self::byte);
    }

    fn maybe_signed(&mut self, value: Option<i128>) {
        self.byte(u8::from(value.is_some()));
        value.into_iter().for_each(|value| self.signed(value));
    }

    fn terms(&mut self, terms: &Terms) {
        let Terms { balancing, debit, credit } = terms;
        self.byte(u8::from(balancing.is_some()));
        if let Some(Balancing { min, debit, credit, source }) = *balancing {
            self.number(min);
            self.byte(place(&DEBIT_CAPS, debit));
            self.byte(place(&CREDIT_CAPS, credit));
            self.maybe(source.map(|source| source.total));
            self.byte(u8::from(source.is_some_and(|source| source.last)));
        }
        for side in [debit, credit] {
            self.maybe(side.version.map(|version| version.0.into()));
            for range in [side.posted, side.available] {
                self.maybe_signed(range.at_least);
                self.maybe_signed(range.at_most);
            }
        }
    }

    pub(super) fn beside(&mut self, beside: &Beside) {
        let Beside { refund, terms, fee } = *beside;
        let has = |is: bool, bit: u8| if is { bit } else { 0 };
        self.byte(has(refund.is_some(), 1) | has(terms.is_some(), 2) | has(fee.is_some(), 4));
        if let Some(RefundAfter { of, of_lsn, amount, moved, refunded, reversed }) = refund {
            self.number(of.get());
            self.number(of_lsn.0.into());
            [amount, moved, refunded].into_iter().for_each(|minor| self.number(minor));
            self.byte(if reversed { REVERSED } else { 0 });
        }
        if let Some(TermsAfter { moved, debit_version, credit_version }) = terms {
            self.number(moved);
            self.maybe(debit_version.map(|version| version.0.into()));
            self.maybe(credit_version.map(|version| version.0.into()));
        }
        if let Some(FeeNote { schedule, amount, refused }) = fee {
            self.number(schedule.into());
            self.number(amount);
            self.byte(refused.map_or(0, Rejection::number));
        }
    }
}

impl In<'_> {
    pub(super) fn refund(&mut self, flags: u8, before: &mut Before) -> Option<RefundRequest> {
        let id = TransferId::new(self.near(&mut before.id)?).ok()?;
        let of = TransferId::new(self.number()?).ok()?;
        let has = self.byte()?;
        Some(RefundRequest {
            id,
            of,
            of_lsn: if has & OF_LSN == 0 { None } else { Some(Lsn(self.small()?)) },
            amount: if has & AMOUNT == 0 { None } else { Some(self.number()?) },
            currency: if has & CURRENCY == 0 { None } else { Some(self.currency()?) },
            allow_overdraft: has & OVERDRAFT != 0,
            linked: flags & LINKED != 0,
            original: None,
        })
    }

    pub(super) fn around(&mut self, before: &mut Before) -> Option<Request> {
        let which = self.byte()?;
        let terms = if which & TERMS == 0 { None } else { Some(self.terms()?) };
        let note = if which & NOTE == 0 { None } else { Some(self.note()?) };
        let kind = match which & KIND {
            0 => None,
            _ => Some(TransferKind::from_number(self.byte()?)?),
        };
        let (mut request, _) = self.request(before)?;
        match (&mut request, kind) {
            (Request::Transfer(transfer), Some(kind)) => transfer.kind = kind,
            (Request::Hold(hold), Some(kind)) => hold.kind = kind,
            (_, None) => {}
            _ => return None,
        }
        if let Some(terms) = terms {
            request = Termed::new(request, terms).ok()?.into();
        }
        if let Some(note) = note {
            request = Noted::new(request, note).ok()?.into();
        }
        Some(request)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.list(Self::byte)?).ok()
    }

    fn note(&mut self) -> Option<Note> {
        let (reference, description) = (self.text()?, self.text()?);
        let value_date = match self.maybe(Self::signed)? {
            None => None,
            Some(days) => Some(Day::new(days.try_into().ok()?)?),
        };
        Some(Note { reference, description, value_date })
    }

    fn terms(&mut self) -> Option<Terms> {
        let balancing = match self.byte()? {
            0 => None,
            _ => Some(Balancing {
                min: self.number()?,
                debit: at_place(&DEBIT_CAPS, self.byte()?)?,
                credit: at_place(&CREDIT_CAPS, self.byte()?)?,
                source: self.source()?,
            }),
        };
        Some(Terms { balancing, debit: self.account_terms()?, credit: self.account_terms()? })
    }

    fn source(&mut self) -> Option<Option<Source>> {
        let (total, last) = (self.maybe(Self::number)?, self.byte()? != 0);
        Some(total.map(|total| Source { total, last }))
    }

    fn account_terms(&mut self) -> Option<AccountTerms> {
        let version = self.version()?;
        Some(AccountTerms { version, posted: self.range()?, available: self.range()? })
    }

    fn version(&mut self) -> Option<Option<Lsn>> {
        Some(self.maybe(Self::small)?.map(Lsn))
    }

    fn range(&mut self) -> Option<Range> {
        Some(Range { at_least: self.maybe(Self::signed)?, at_most: self.maybe(Self::signed)? })
    }

    pub(super) fn beside(&mut self) -> Option<Beside> {
        let has = self.byte()?;
        let refund = if has & 1 == 0 { None } else { Some(self.refund_after()?) };
        let terms = if has & 2 == 0 { None } else { Some(self.terms_after()?) };
        let fee = if has & 4 == 0 { None } else { Some(self.fee()?) };
        Some(Beside { refund, terms, fee })
    }

    fn refund_after(&mut self) -> Option<RefundAfter> {
        Some(RefundAfter {
            of: TransferId::new(self.number()?).ok()?,
            of_lsn: Lsn(self.small()?),
            amount: self.number()?,
            moved: self.number()?,
            refunded: self.number()?,
            reversed: self.byte()? == REVERSED,
        })
    }

    fn terms_after(&mut self) -> Option<TermsAfter> {
        let moved = self.number()?;
        Some(TermsAfter { moved, debit_version: self.version()?, credit_version: self.version()? })
    }

    fn fee(&mut self) -> Option<FeeNote> {
        let (schedule, amount) = (self.small()?.try_into().ok()?, self.number()?);
        let refused = match self.byte()? {
            0 => None,
            number => Some(Rejection::from_number(number)?),
        };
        Some(FeeNote { schedule, amount, refused })
    }
}
