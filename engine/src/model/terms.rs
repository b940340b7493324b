//! Terms in the plainest possible way: what a balanced transfer may move is tried out as the
//! largest amount that a plain one could.

use super::Book;
use crate::ids::Lsn;
use crate::money::{AMOUNT_MAX, BALANCE_MAX};
use crate::rejection::Rejection;
use crate::request::Request;
use crate::terms::{AccountTerms, Balancing, CreditCap, DebitCap, Terms, TermsAfter};

/// A side of a request: its account, and what is on hold there.
pub(super) type Side<'a> = (&'a Book, i128);

/// The terms of a request.
pub(super) fn of(request: &Request) -> Option<&Terms> {
    match request.unnoted() {
        Request::Termed(termed) => Some(termed.terms()),
        _ => None,
    }
}

/// How a transfer is balanced, if it is.
pub(super) fn balancing(request: &Request) -> Option<Balancing> {
    of(request).and_then(|terms| terms.balancing)
}

/// The first rule about amounts alone that the terms break.
pub(super) fn static_rule(request: &Request) -> Option<Rejection> {
    let (balancing, transfer) = (balancing(request)?, request.transfer()?);
    if balancing.source.is_some_and(|source| source.total > AMOUNT_MAX) {
        return Some(Rejection::AmountTooLarge);
    }
    (balancing.min > transfer.amount).then_some(Rejection::AmountBelowMinimum)
}

/// Which amounts the rules leave to a balanced transfer of at most `most`, of which the sources
/// before it have moved `given`: the amount that it moves or would have to, and what forbids that.
pub(super) fn balance(
    balancing: &Balancing,
    most: u128,
    given: u128,
    (debit, on_hold): Side<'_>,
    credit: &Book,
) -> (u128, Vec<Rejection>) {
    let own = debit.posted - on_hold;
    let lowest = match (debit.bounds.floor, debit.spec.external) {
        (Some(floor), _) => floor,
        (None, true) => -BALANCE_MAX,
        (None, false) => -i128::try_from(debit.spec.overdraft_limit).expect("a limit"),
    };
    let highest = credit.bounds.ceiling.unwrap_or(BALANCE_MAX);
    let mut caps = vec![i128::try_from(most).expect("judged")];
    match balancing.debit {
        None => {}
        Some(DebitCap::Available) => caps.push(own - lowest),
        Some(DebitCap::Balance) => caps.extend([own - lowest, own]),
    }
    match balancing.credit {
        None => {}
        Some(CreditCap::Room) => caps.push(highest - credit.posted),
        Some(CreditCap::Debt) => caps.extend([highest - credit.posted, -credit.posted]),
    }
    let left = balancing.source.map(|source| source.total.saturating_sub(given));
    caps.extend(left.map(|left| i128::try_from(left).expect("judged")));
    let amount = caps.into_iter().min().expect("one at least").max(0).unsigned_abs();
    if balancing.source.is_some_and(|source| source.last) {
        let short = left.is_some_and(|left| amount < left);
        return (amount, if short { vec![Rejection::SourcesFallShort] } else { Vec::new() });
    }
    let least = balancing.min.min(most).min(left.unwrap_or(u128::MAX));
    if amount >= least {
        return (amount, Vec::new());
    }
    let least_signed = i128::try_from(least).expect("judged");
    let mut rules = Vec::new();
    if balancing.debit == Some(DebitCap::Balance) && own < least_signed {
        rules.push(Rejection::InsufficientFunds);
    }
    if balancing.credit == Some(CreditCap::Debt) && -credit.posted < least_signed {
        rules.push(Rejection::CreditAccountOwesLess);
    }
    (least, rules)
}

/// Conditions on a side that do not hold, given its version before the group, and its figures
/// after the request.
pub(super) fn broken(
    terms: &AccountTerms,
    version: Lsn,
    (posted, available): (i128, i128),
    [other_version, other_figures]: [Rejection; 2],
) -> Vec<Rejection> {
    let mut rules = Vec::new();
    if terms.version.is_some_and(|expected| expected != version) {
        rules.push(other_version);
    }
    let bounds = [
        terms.posted.at_least.map(|least| posted >= least),
        terms.posted.at_most.map(|most| posted <= most),
        terms.available.at_least.map(|least| available >= least),
        terms.available.at_most.map(|most| available <= most),
    ];
    if bounds.contains(&Some(false)) {
        rules.push(other_figures);
    }
    rules
}

/// What is told of a request with terms, its event being at `lsn`. `versions` are those of the
/// accounts at that moment, where they are known.
pub(super) fn after(
    lsn: Lsn,
    request: &Request,
    moved: Option<u128>,
    versions: [Option<Lsn>; 2],
) -> TermsAfter {
    let [debit_version, credit_version] = match (moved, request.plain()) {
        (None, _) => versions,
        (Some(_), Request::Hold(_)) => [Some(lsn), None],
        (Some(_), _) => [Some(lsn), Some(lsn)],
    };
    TermsAfter { moved: moved.unwrap_or(0), debit_version, credit_version }
}
