//! Terms out of plain words: caps, conditions near the balances that there are, versions near the
//! newest event, and payments of several sources.

use super::rng::Rng;
use crate::ids::Lsn;
use crate::money::AMOUNT_MAX;
use crate::request::Request;
use crate::terms::{AccountTerms, Balancing, CreditCap, DebitCap, Range, Source, Termed, Terms};

/// The request on terms that follow from the word, where it can have any; `last` is about the
/// LSN of the event before it.
pub(super) fn termed(word: u64, last: u64, request: Request) -> Request {
    let mut rng = Rng::new(word);
    let balanced = matches!(request, Request::Transfer(_)) && !rng.once_in(3);
    let terms = Terms {
        balancing: balanced.then(|| balancing(&mut rng)),
        debit: account_terms(&mut rng, last, opened(&request, 0)),
        credit: account_terms(&mut rng, last, opened(&request, 1)),
    };
    match Termed::new(request.clone(), terms) {
        Ok(termed) => termed.into(),
        Err(_) => request,
    }
}

fn balancing(rng: &mut Rng) -> Balancing {
    let min = match rng.below(16) {
        0..=4 => 0,
        5..=11 => 1,
        12 => AMOUNT_MAX,
        13 => u128::MAX,
        low => low as u128 - 10,
    };
    let debit =
        [None, Some(DebitCap::Available), Some(DebitCap::Available), Some(DebitCap::Balance)];
    let credit = [None, None, Some(CreditCap::Room), Some(CreditCap::Debt)];
    let source = rng.once_in(8).then(|| source(rng));
    Balancing { min, debit: debit[rng.below(4)], credit: credit[rng.below(4)], source }
}

fn source(rng: &mut Rng) -> Source {
    let total = match rng.below(32) {
        0 => AMOUNT_MAX + 1,
        1 => u128::MAX,
        low => low as u128,
    };
    Source { total, last: rng.once_in(2) }
}

/// The event that opened one of the request's accounts, if it was there from the beginning.
fn opened(request: &Request, side: usize) -> Option<Lsn> {
    let id = request.accounts()?[side];
    let at = super::workload::accounts().iter().position(|spec| spec.id == id)?;
    Some(Lsn(at as u64 + 1))
}

fn account_terms(rng: &mut Rng, last: u64, opened: Option<Lsn>) -> AccountTerms {
    if rng.once_in(2) {
        return AccountTerms::default();
    }
    let version = rng.once_in(3).then(|| match rng.below(8) {
        0..=2 => opened.unwrap_or(Lsn(1)),
        back => Lsn(last.saturating_sub(back as u64 - 3)),
    });
    let mut range = || Range {
        at_least: rng.once_in(4).then(|| rng.below(40) as i128 - 15),
        at_most: rng.once_in(5).then(|| rng.below(60) as i128 - 5),
    };
    AccountTerms { version, posted: range(), available: range() }
}

/// Makes the transfers among the members of a group the sources of one total, which the last of
/// them completes.
pub(super) fn as_sources(word: u64, group: &mut [Request]) {
    let mut rng = Rng::new(word);
    let total = 1 + rng.below(14) as u128;
    let count = group.len();
    for (at, request) in group.iter_mut().enumerate() {
        let Request::Transfer(transfer) = request else { continue };
        let debit = Some([DebitCap::Available, DebitCap::Balance][rng.below(2)]);
        let source = Some(Source { total, last: at + 1 == count });
        let balancing = Some(Balancing { min: 0, debit, credit: None, source });
        let terms = Terms { balancing, ..Terms::default() };
        *request = Termed::new(*transfer, terms).expect("a transfer").into();
    }
}

/// The request with one thing of its terms changed.
pub(super) fn changed(termed: &mut Termed) {
    let debit = &mut termed.terms_mut().debit;
    debit.posted.at_most = match debit.posted.at_most {
        None => Some(i128::MAX),
        Some(_) => None,
    };
}
