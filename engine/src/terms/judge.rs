//! A group with terms, judged where its accounts stand at its place in the serial order: by the
//! partition that hosts all of them, or by the coordinator from what the partitions told of
//! accounts at which nothing undecided is in front of it.

use crate::account::{Account, Effect, signed};
use crate::batch::{Batch, Item};
use crate::ids::Slot;
use crate::rejection::Rejection;
use crate::terms::{AccountTerms, Balancing, CreditCap, DebitCap};
use std::ops::Range;

/// Where the accounts of a group are.
pub(crate) trait Host {
    fn account(&self, slot: Slot) -> &Account;
    fn account_mut(&mut self, slot: Slot) -> &mut Account;
}

/// Prepares a group of which no member is refused already, and adds what each balanced member
/// moves to `moved`, by item. Or leaves everything as it was, and says which item of the batch
/// breaks which rule.
pub(crate) fn prepare_group(
    batch: &Batch,
    group: Range<usize>,
    host: &mut impl Host,
    moved: &mut Vec<(usize, u128)>,
) -> Result<(), (usize, Rejection)> {
    let before = moved.len();
    let mut done: Vec<(Slot, Effect)> = Vec::with_capacity(2 * group.len());
    // Moved by the sources so far.
    let mut given = 0;
    for at in group {
        let mut item = batch.items[at];
        let terms = batch.terms_of(at);
        let balancing = terms.and_then(|terms| terms.balancing);
        let source = balancing.and_then(|balancing| balancing.source);
        if source.is_none() {
            given = 0;
        }
        let mut broken = None;
        if let Some(balancing) = balancing {
            let (amount, short) = balance(&item, &balancing, given, host);
            item.amount = amount;
            broken = short;
        }
        let (debit, credit) = (batch.debit_effect(&item), batch.credit_effect(&item));
        broken = earlier(broken, host.account(item.debit).refuse(debit));
        if let Some(credit) = credit {
            broken = earlier(broken, host.account(item.credit).refuse(credit));
        }
        if let Some(terms) = terms {
            let debits = (&terms.debit, host.account(item.debit), debit);
            broken = earlier(broken, version_rule(&debits, Rejection::DebitAccountVersion));
            broken = earlier(broken, figures_rule(&debits, Rejection::DebitAccountCondition));
            if let Some(credit) = credit {
                let credits = (&terms.credit, host.account(item.credit), credit);
                broken = earlier(broken, version_rule(&credits, Rejection::CreditAccountVersion));
                broken = earlier(broken, figures_rule(&credits, Rejection::CreditAccountCondition));
            }
        }
        if let Some(rule) = broken {
            for (slot, effect) in done.into_iter().rev() {
                host.account_mut(slot).unprepare(effect);
            }
            moved.truncate(before);
            return Err((at, rule));
        }
        if balancing.is_some() {
            moved.push((at, item.amount));
        }
        given = match source {
            Some(source) if !source.last => given + item.amount,
            _ => 0,
        };
        host.account_mut(item.debit).prepare(debit);
        done.push((item.debit, debit));
        if let Some(credit) = credit {
            host.account_mut(item.credit).prepare(credit);
            done.push((item.credit, credit));
        }
    }
    Ok(())
}

/// What a balanced transfer moves. Where that is less than it must be, the least it must be, and
/// the rule that keeps it from it.
fn balance(
    item: &Item,
    balancing: &Balancing,
    given: u128,
    host: &impl Host,
) -> (u128, Option<Rejection>) {
    let (debit, credit) = (host.account(item.debit), host.account(item.credit));
    let has = balancing.debit.map(|cap| cap_of_debit(cap, debit));
    let takes = balancing.credit.map(|cap| cap_of_credit(cap, credit));
    let left = balancing.source.map(|source| source.total.saturating_sub(given));
    let most = item.amount.min(left.unwrap_or(u128::MAX));
    let amount = most.min(has.unwrap_or(u128::MAX)).min(takes.unwrap_or(u128::MAX));
    if let (Some(left), Some(true)) = (left, balancing.source.map(|source| source.last)) {
        // Nothing else is asked of it: those before it leave over what they like.
        return (amount, (amount < left).then_some(Rejection::SourcesFallShort));
    }
    let least = balancing.min.min(most);
    if amount >= least {
        return (amount, None);
    }
    // What an account cannot give or take at all, a plain transfer of the least is refused for.
    let poor = balancing.debit == Some(DebitCap::Balance) && cap(debit.spendable()) < least;
    let owes_less = balancing.credit == Some(CreditCap::Debt) && debt(credit) < least;
    let poor = poor.then_some(Rejection::InsufficientFunds);
    (least, earlier(poor, owes_less.then_some(Rejection::CreditAccountOwesLess)))
}

/// No cap is below zero, whatever limits came later than the balance.
fn cap(figure: i128) -> u128 {
    figure.max(0).unsigned_abs()
}

fn cap_of_debit(which: DebitCap, account: &Account) -> u128 {
    let available = cap(account.spendable() - account.floor());
    match which {
        DebitCap::Available => available,
        DebitCap::Balance => available.min(cap(account.spendable())),
    }
}

fn cap_of_credit(which: CreditCap, account: &Account) -> u128 {
    match which {
        CreditCap::Room => room(account),
        CreditCap::Debt => room(account).min(debt(account)),
    }
}

fn room(account: &Account) -> u128 {
    cap(account.ceiling() - account.prospective())
}

fn debt(account: &Account) -> u128 {
    cap(-account.prospective())
}

/// The terms of one side, its account before the item, and what the item does to it.
type Side<'a> = (&'a AccountTerms, &'a Account, Effect);

/// Nothing earlier in the batch changed an account whose version is asked for, but for members
/// of the same group: it is the one that was committed.
fn version_rule((terms, account, _): &Side<'_>, rule: Rejection) -> Option<Rejection> {
    let other = terms.version.is_some_and(|version| version != account.version());
    other.then_some(rule)
}

fn figures_rule((terms, account, effect): &Side<'_>, rule: Rejection) -> Option<Rejection> {
    let posted = account.prospective() + effect.posted;
    let overdraft = if account.is_external() { 0 } else { signed(account.overdraft_limit()) };
    let available = account.spendable() + effect.spendable() + overdraft;
    let fits = terms.posted.contains(posted) && terms.available.contains(available);
    (!fits).then_some(rule)
}

/// The rule of two that takes precedence.
fn earlier(one: Option<Rejection>, other: Option<Rejection>) -> Option<Rejection> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
