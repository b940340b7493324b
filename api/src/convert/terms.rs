//! Terms between the wire and the engine. Figures are minor units or decimal texts in the
//! request's currency; what would mean nothing is refused.

use super::transfers::{minor, minor_without_currency, money_to_proto, twice};
use crate::proto::{self, Operation};
use crate::violation::{Place, Violations};
use crate::wire_requests::More;
use ducat_engine::ids::Lsn;
use ducat_engine::money::{Currencies, Currency, parse_signed};
use ducat_engine::terms::{
    AccountTerms, Balancing, CreditCap, DebitCap, Range, Source, Terms, TermsAfter,
};

/// The terms of a request; `None` where it has none, and after adding at least one violation.
pub(super) fn read(
    more: &More,
    operation: Operation,
    currency: Option<&Currency>,
    place: Place,
    violations: &mut Violations,
) -> Option<Terms> {
    let asked = more.terms.as_deref()?;
    let mut refuse = |field: &str, reason, why: &str| {
        violations.add(place, field, reason, || why.to_owned());
    };
    match operation {
        Operation::Transfer => {}
        Operation::Hold | Operation::Capture if asked.balancing.is_none() => {}
        Operation::Hold | Operation::Capture => {
            refuse("terms.balancing", "TERMS_NOT_OF_OPERATION", "only a transfer is balanced");
        }
        Operation::Void | Operation::Extend => {
            refuse("terms", "TERMS_NOT_OF_OPERATION", "voids and extensions have no terms");
        }
        Operation::Refund | Operation::Reverse => {
            refuse("terms", "TERMS_NOT_OF_OPERATION", "refunds and reversals have no terms");
        }
    }
    let mut reader = Reader { currency, place, violations };
    let balancing = asked.balancing.as_ref().map(|balancing| reader.balancing(balancing));
    let debit = reader.account("terms.debit", asked.debit.as_ref());
    let credit = reader.account("terms.credit", asked.credit.as_ref());
    let terms = Terms { balancing: balancing.flatten(), debit, credit };
    if terms == Terms::default() && asked.balancing.is_none() {
        violations.add(place, "terms", "TERMS_EMPTY", || "the terms say nothing".to_owned());
    }
    Some(terms)
}

struct Reader<'a> {
    currency: Option<&'a Currency>,
    place: Place,
    violations: &'a mut Violations,
}

impl Reader<'_> {
    fn refuse(&mut self, field: &str, reason: &'static str, why: impl FnOnce() -> String) {
        self.violations.add(self.place, field, reason, why);
    }

    fn balancing(&mut self, asked: &proto::Balancing) -> Option<Balancing> {
        let min = match (asked.min_minor, asked.min.as_str()) {
            (None, "") => None,
            (Some(minor), "") => Some(u128::from(minor)),
            (None, text) => Some(self.amount(["terms.balancing.min", ""], (0, text))?),
            (Some(_), _) => {
                twice(["terms.balancing.min", "min_minor"], self.place, self.violations);
                return None;
            }
        };
        let debit = match proto::DebitCap::try_from(asked.debit) {
            Ok(proto::DebitCap::None) => None,
            Ok(proto::DebitCap::Available) => Some(DebitCap::Available),
            Ok(proto::DebitCap::Balance) => Some(DebitCap::Balance),
            Err(_) => return self.no_cap("terms.balancing.debit", asked.debit),
        };
        let credit = match proto::CreditCap::try_from(asked.credit) {
            Ok(proto::CreditCap::None) => None,
            Ok(proto::CreditCap::Room) => Some(CreditCap::Room),
            Ok(proto::CreditCap::Debt) => Some(CreditCap::Debt),
            Err(_) => return self.no_cap("terms.balancing.credit", asked.credit),
        };
        let source = match &asked.source {
            None => None,
            Some(source) => Some(self.source(source)?),
        };
        if source.is_some() && min.is_some() {
            self.refuse("terms.balancing.min", "SOURCE_WITH_MIN", || {
                "a source moves what it can; leave its `min` unset".to_owned()
            });
            return None;
        }
        if source.is_none() && debit.is_none() && credit.is_none() {
            self.refuse("terms.balancing", "BALANCING_WITHOUT_CAP", || {
                "nothing balances it; set `debit`, `credit` or `source`".to_owned()
            });
            return None;
        }
        let min = min.unwrap_or(u128::from(source.is_none()));
        Some(Balancing { min, debit, credit, source })
    }

    fn source(&mut self, asked: &proto::Source) -> Option<Source> {
        let fields = ["terms.balancing.source.total", "total_minor"];
        let total = self.amount(fields, (asked.total_minor, &asked.total))?;
        if total == 0 {
            self.refuse(fields[0], "SOURCE_TOTAL_ZERO", || {
                "sources move a total of at least 1 minor unit".to_owned()
            });
            return None;
        }
        Some(Source { total, last: asked.last })
    }

    fn no_cap(&mut self, field: &str, number: i32) -> Option<Balancing> {
        let why = || format!("{number} is no cap; known are 0, 1 and 2");
        self.refuse(field, "CAP_UNKNOWN", why);
        None
    }

    fn amount(&mut self, fields: [&'static str; 2], given: (u64, &str)) -> Option<u128> {
        match self.currency {
            Some(currency) => minor(fields, given, currency, self.place, self.violations),
            None => minor_without_currency(fields, given, self.place, self.violations),
        }
    }

    fn account(&mut self, name: &str, asked: Option<&proto::AccountTerms>) -> AccountTerms {
        let Some(asked) = asked else { return AccountTerms::default() };
        AccountTerms {
            version: (asked.version > 0).then_some(Lsn(asked.version)),
            posted: self.range(&format!("{name}.posted"), asked.posted.as_ref()),
            available: self.range(&format!("{name}.available"), asked.available.as_ref()),
        }
    }

    fn range(&mut self, name: &str, asked: Option<&proto::Range>) -> Range {
        let Some(asked) = asked else { return Range::default() };
        Range {
            at_least: self.figure(name, "at_least", asked.at_least_minor, &asked.at_least),
            at_most: self.figure(name, "at_most", asked.at_most_minor, &asked.at_most),
        }
    }

    fn figure(
        &mut self,
        name: &str,
        end: &'static str,
        minor: Option<i64>,
        text: &str,
    ) -> Option<i128> {
        let field = || format!("{name}.{end}");
        if text.is_empty() {
            return minor.map(i128::from);
        }
        if minor.is_some() {
            self.refuse(&field(), "AMOUNT_TWICE", || {
                format!("set either `{end}` or `{end}_minor`, not both")
            });
            return None;
        }
        let Some(currency) = self.currency else {
            self.refuse("currency", "CURRENCY_MISSING", || {
                let field = field();
                format!("a text of `{field}` needs the `currency` that says how many decimals it may have")
            });
            return None;
        };
        match parse_signed(text, currency) {
            Ok(figure) => Some(figure),
            Err(error) => {
                let (reason, sentence) = super::no_amount(&error);
                self.refuse(&field(), reason, || sentence);
                None
            }
        }
    }
}

/// Terms as the message that asks for them, in the currency of this code.
pub(super) fn to_proto(terms: &Terms, code: &str, currencies: &Currencies) -> proto::Terms {
    let digits = currencies.by_code(code).map_or(0, |currency| currency.digits);
    let range = |range: &Range| {
        let (at_least_minor, at_least) = figure_to_proto(range.at_least, digits);
        let (at_most_minor, at_most) = figure_to_proto(range.at_most, digits);
        (!range.is_open()).then_some(proto::Range {
            at_least_minor,
            at_most_minor,
            at_least,
            at_most,
        })
    };
    let account = |terms: &AccountTerms| {
        (*terms != AccountTerms::default()).then(|| proto::AccountTerms {
            version: terms.version.map_or(0, |lsn| lsn.0),
            posted: range(&terms.posted),
            available: range(&terms.available),
        })
    };
    let id = currencies.by_code(code).ok().map(|currency| currency.id);
    let balancing = terms.balancing.map(|balancing| {
        let (min_minor, min, _) = money_to_proto(balancing.min, id, currencies);
        let plain = balancing.source.is_none() && min.is_empty();
        proto::Balancing {
            min_minor: plain.then_some(min_minor),
            min,
            debit: match balancing.debit {
                None => proto::DebitCap::None,
                Some(DebitCap::Available) => proto::DebitCap::Available,
                Some(DebitCap::Balance) => proto::DebitCap::Balance,
            }
            .into(),
            credit: match balancing.credit {
                None => proto::CreditCap::None,
                Some(CreditCap::Room) => proto::CreditCap::Room,
                Some(CreditCap::Debt) => proto::CreditCap::Debt,
            }
            .into(),
            source: balancing.source.map(|source| {
                let (total_minor, total, _) = money_to_proto(source.total, id, currencies);
                proto::Source { total_minor, total, last: source.last }
            }),
        }
    });
    let (debit, credit) = (account(&terms.debit), account(&terms.credit));
    proto::Terms { balancing, debit, credit }
}

/// Minor units where they fit into 64 bits, else a text.
fn figure_to_proto(figure: Option<i128>, digits: u8) -> (Option<i64>, String) {
    match figure.map(|figure| (i64::try_from(figure), figure)) {
        None => (None, String::new()),
        Some((Ok(minor), _)) => (Some(minor), String::new()),
        Some((Err(_), figure)) => (None, ducat_engine::money::format_minor(figure, digits)),
    }
}

/// What is told of terms, as a message.
pub(super) fn outcome(told: &TermsAfter) -> proto::TermsOutcome {
    let narrow = u64::try_from(told.moved);
    let version = |version: Option<Lsn>| version.map_or(0, |lsn| lsn.0);
    proto::TermsOutcome {
        moved_minor: narrow.unwrap_or(0),
        moved_wide: narrow.map_or_else(|_| told.moved.to_string(), |_| String::new()),
        debit_version: version(told.debit_version),
        credit_version: version(told.credit_version),
    }
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;
