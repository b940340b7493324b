//! Terms: what a balanced transfer moves, and conditions on accounts, once more.

use crate::books::{Book, whole};
use crate::check::Checker;
use crate::event::Stored;
use crate::fault::Kind;
use ducat_engine::money::{AMOUNT_MAX, BALANCE_MAX};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;
use ducat_engine::terms::{AccountTerms, Balancing, CreditCap, DebitCap, Terms};

/// How a transfer is balanced, if it is.
pub(crate) fn balancing(request: &Request) -> Option<Balancing> {
    request.terms()?.balancing
}

/// The first rule about amounts alone that the terms break.
pub(crate) fn terms_rule(request: &Request) -> Option<Rejection> {
    let balancing = balancing(request)?;
    if balancing.source.is_some_and(|source| source.total > AMOUNT_MAX) {
        return Some(Rejection::AmountTooLarge);
    }
    let below = balancing.min > request.transfer()?.amount;
    below.then_some(Rejection::AmountBelowMinimum)
}

/// What a balanced transfer of at most `most` moves, of which the sources before it have moved
/// `given`, and the rules that its caps break.
pub(crate) fn balance(
    balancing: &Balancing,
    most: i128,
    given: i128,
    debit: &Book,
    credit: &Book,
) -> (i128, Vec<Rejection>) {
    let own = debit.posted.saturating_sub(debit.on_hold);
    let lowest = match (debit.bounds.floor, debit.spec.external) {
        (Some(floor), _) => floor,
        (None, true) => -BALANCE_MAX,
        (None, false) => -whole(debit.overdraft_limit),
    };
    let room = credit.bounds.ceiling.unwrap_or(BALANCE_MAX).saturating_sub(credit.posted);
    let owes = credit.posted.saturating_neg();
    let left = balancing.source.map(|source| (whole(source.total) - given).max(0));
    let caps = [
        left,
        balancing.debit.map(|_| own.saturating_sub(lowest)),
        balancing.debit.filter(|cap| *cap == DebitCap::Balance).map(|_| own),
        balancing.credit.map(|_| room),
        balancing.credit.filter(|cap| *cap == CreditCap::Debt).map(|_| owes),
    ];
    let amount = caps.into_iter().flatten().fold(most, i128::min).max(0);
    if balancing.source.is_some_and(|source| source.last) {
        let short = left.is_some_and(|left| amount < left);
        return (amount, short.then_some(Rejection::SourcesFallShort).into_iter().collect());
    }
    let least = whole(balancing.min).min(most).min(left.unwrap_or(i128::MAX));
    if amount >= least {
        return (amount, Vec::new());
    }
    let poor = balancing.debit == Some(DebitCap::Balance) && own < least;
    let owes_less = balancing.credit == Some(CreditCap::Debt) && owes < least;
    let rules = [
        poor.then_some(Rejection::InsufficientFunds),
        owes_less.then_some(Rejection::CreditAccountOwesLess),
    ];
    (least, rules.into_iter().flatten().collect())
}

/// The conditions that do not hold: `before` are the accounts as they stood before the group,
/// `after` as this member leaves them.
pub(crate) fn broken(terms: &Terms, before: [&Book; 2], after: [Book; 2]) -> Vec<Rejection> {
    let names = [
        [Rejection::DebitAccountVersion, Rejection::DebitAccountCondition],
        [Rejection::CreditAccountVersion, Rejection::CreditAccountCondition],
    ];
    let mut rules = Vec::new();
    for (at, AccountTerms { version, posted, available }) in
        [terms.debit, terms.credit].into_iter().enumerate()
    {
        let (now, figures) = (before[at].version, after[at].figures());
        if version.is_some_and(|expected| expected != now) {
            rules.push(names[at][0]);
        }
        if !posted.contains(figures.posted) || !available.contains(figures.available) {
            rules.push(names[at][1]);
        }
    }
    rules
}

impl Checker<'_> {
    /// A refusal names the versions that the accounts have.
    pub(crate) fn versions_then(&mut self, stored: &Stored) {
        let Some(terms) = stored.terms() else { return };
        for (side, version) in [&stored.debit, &stored.credit].into_iter().zip(terms.versions) {
            let now = side.slot.and_then(|slot| self.books.get(slot)).map(|book| book.version);
            if version.is_some() && version != now {
                self.report.add(Kind::WrongTerms, stored.lsn, || {
                    format!("the versions are {:?}, {side:?} has {now:?}", terms.versions)
                });
            }
        }
    }
}
