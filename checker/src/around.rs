//! What the journal says of a request beside the plain part of it: its terms, its note, what is told
//! with its outcome; and of refunds, what was asked.

use crate::books::Books;
use crate::event::{Event, Side, Stored, side_of};
use crate::history::Beside;
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::note::Note;
use ducat_engine::record::{Party, Record, RefundRefused, Refunded};
use ducat_engine::request::{RefundRequest, Request};
use ducat_engine::terms::Terms;

/// What stands around a request in the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Around {
    pub terms: Option<StoredTerms>,
    pub note: Option<Note>,
    pub told: Option<Box<Beside>>,
}

/// On which terms, and the amount that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoredTerms {
    pub terms: Terms,
    pub asked: u128,
    /// Of a refusal: the versions that it names, debit account first.
    pub versions: [Option<Lsn>; 2],
}

/// What a refund asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AskedBack {
    pub of: TransferId,
    pub of_lsn: Option<Lsn>,
    pub amount: Option<u128>,
    pub overdraft: bool,
    /// The event that it found.
    pub found: Option<Lsn>,
}

impl Around {
    /// `None` where nothing does.
    pub fn of(event: &Event) -> Option<Box<Self>> {
        let (terms, note) = match &event.record {
            Record::Termed(_) | Record::Noted(_) => {
                let terms = match event.record.unnoted() {
                    Record::Termed(termed) => Some(StoredTerms {
                        terms: termed.terms,
                        asked: termed.asked,
                        versions: termed.versions,
                    }),
                    _ => None,
                };
                (terms, event.record.note().cloned())
            }
            Record::Refunded(_) | Record::RefundRefused(_) => (None, None),
            _ => return None,
        };
        let told = Beside::of(event.lsn, &event.record);
        let says = terms.is_some() || note.is_some() || told.is_some();
        says.then(|| Box::new(Self { terms, note, told }))
    }
}

impl Stored {
    /// What is told of it beside its outcome.
    pub fn beside(&self) -> Option<&Beside> {
        self.around.as_ref()?.told.as_deref()
    }

    /// Its terms.
    pub fn terms(&self) -> Option<&StoredTerms> {
        self.around.as_ref()?.terms.as_ref()
    }

    /// The amount that a transfer asked for, which a balanced one need not have moved.
    pub(crate) fn asked_amount(&self) -> u128 {
        let terms = self.terms().filter(|_| self.on_hold.is_none());
        terms.map_or(self.amount, |terms| terms.asked)
    }

    /// Whether what stands around it is what was asked for.
    pub(crate) fn is_around(&self, request: &Request) -> bool {
        let Some(around) = &self.around else {
            return !matches!(request, Request::Termed(_) | Request::Noted(_));
        };
        around.terms.as_ref().map(|terms| &terms.terms) == request.terms()
            && around.note.as_ref() == request.note()
    }

    pub(crate) fn is_refund(&self, request: &RefundRequest) -> bool {
        let Some(asked) = &self.refund else { return false };
        let RefundRequest { id, of, of_lsn, amount, allow_overdraft, linked, .. } = *request;
        (self.id, self.linked) == (id, linked)
            && (asked.of, asked.of_lsn, asked.amount) == (of, of_lsn, amount)
            && asked.overdraft == allow_overdraft
            && self.currency == request.currency.or(self.currency_then)
    }

    /// A refund that was done.
    pub(crate) fn given_back(event: &Event, books: &Books, refunded: &Refunded) -> Self {
        let Refunded { of, of_lsn, by_lsn, reversal, overdraft, currency, linked, .. } = *refunded;
        let amount = (!reversal).then_some(refunded.amount);
        let asked = AskedBack {
            of,
            of_lsn: by_lsn.then_some(of_lsn),
            amount,
            overdraft,
            found: Some(of_lsn),
        };
        Self {
            currency: Some(currency),
            currency_then: Some(currency),
            refund: Some(Box::new(asked)),
            // Its kind and its amount are no content: the refund says them.
            kind: None,
            ..Self::posted(event, books, &refunded.posted(), linked)
        }
    }

    /// A refund that was refused.
    pub(crate) fn not_given_back(event: &Event, books: &Books, refused: &RefundRefused) -> Self {
        let RefundRefused { id, linked, rejection, of, of_lsn, amount, overdraft, .. } = *refused;
        let found = refused.found;
        let side =
            |party: Option<Party>| party.map_or(Side::default(), |party| side_of(books, party));
        let found_lsn = found.map(|found| found.lsn);
        let asked = AskedBack { of, of_lsn, amount, overdraft, found: found_lsn };
        let currency_then = found.map(|found| found.currency);
        Self {
            id,
            lsn: event.lsn,
            time_ns: event.time_ns,
            rejection: Some(rejection),
            debit: side(found.map(|found| found.debit)),
            credit: side(found.map(|found| found.credit)),
            amount: 0,
            kind: None,
            linked,
            on_hold: None,
            refund: Some(Box::new(asked)),
            around: None,
            currency: refused.currency.or(currency_then),
            currency_then,
        }
    }
}
