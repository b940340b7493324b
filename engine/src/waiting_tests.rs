//! What waiting votes cost, counted in steps and not in time.

use super::{PATIENCE, steps};
use crate::ids::{AccountId, TransferId};
use crate::ledger::Ledger;
use crate::money::CurrencyId;
use crate::transfer::{AccountSpec, TransferKind, TransferRequest};
use std::ops::Range;

const OUTSIDE: usize = 1;

/// Accounts `1..=accounts`, the first standing for the outside; neighbours live in
/// different partitions.
fn ledger(accounts: usize) -> Ledger {
    let mut ledger = Ledger::new(2, 1, u64::MAX).expect("a power of two");
    for id in 1..=accounts {
        let (id, external) = (account(id), id == OUTSIDE);
        let currency = CurrencyId(826);
        let spec = AccountSpec { id, currency, overdraft_limit: 0, external };
        ledger.open_account(&spec).expect("new");
    }
    ledger
}

fn account(id: usize) -> AccountId {
    AccountId::new(id as u128).expect("not zero")
}

/// Runs `(debit, credit, amount)` as one batch and counts the steps for each transfer.
/// All of it is posted, since later ones get what earlier ones bring.
fn steps_each(accounts: usize, transfers: &[(usize, usize, u128)], linked: Range<usize>) -> usize {
    let request = |(at, &(debit, credit, amount)): (usize, &(usize, usize, u128))| {
        let kind = match (debit, credit) {
            (OUTSIDE, _) => TransferKind::Deposit,
            (_, OUTSIDE) => TransferKind::Withdrawal,
            _ => TransferKind::Transfer,
        };
        TransferRequest {
            id: TransferId::new(at as u128 + 1).expect("not zero"),
            debit: account(debit),
            credit: account(credit),
            amount,
            currency: None,
            kind,
            linked: linked.contains(&at),
        }
    };
    let requests: Vec<_> = transfers.iter().enumerate().map(request).collect();
    let mut ledger = ledger(accounts);
    steps::take();
    let done = ledger.execute(1, &[&requests]).expect("possible");
    assert!(done.answers[0].outcomes.iter().all(|outcome| outcome.rejection.is_none()));
    steps::take() / transfers.len()
}

/// Two legs, each the cause of one walk in vain at most, and a few looks at each: when it is
/// added, voted on, decided.
const MOST: usize = 2 * PATIENCE + 16;
const MANY: usize = 4_000;

fn check(steps: usize, most: usize) {
    println!("{steps} steps for each transfer, {most} at most");
    assert!(steps <= most, "{steps} steps for each transfer, {most} at most");
}

#[test]
fn a_hot_pair_takes_steps_in_proportion() {
    let transfers = |n: u128| {
        let funds = (OUTSIDE, 3, n);
        std::iter::once(funds).chain((0..n).map(|_| (3, 2, 1))).collect::<Vec<_>>()
    };
    check(steps_each(3, &transfers(MANY as u128), 0..0), 16);
}

#[test]
fn transfers_that_each_need_the_one_before_take_steps_in_proportion() {
    let transfers: Vec<_> = std::iter::once((OUTSIDE, 3, 5)).chain(to_and_fro(3, 2)).collect();
    check(steps_each(3, &transfers, 0..0), MOST);
    let onwards: Vec<_> = (1..MANY).map(|at| (at, at + 1, 5)).collect();
    check(steps_each(MANY, &onwards, 0..0), MOST);
}

/// `(there, back, amount)` until the money is back, `MANY` times in all.
fn to_and_fro(there: usize, back: usize) -> impl Iterator<Item = (usize, usize, u128)> {
    (0..MANY).map(move |at| if at % 2 == 0 { (there, back, 5) } else { (back, there, 5) })
}

#[test]
fn a_group_longer_than_the_patience_gets_all_its_votes() {
    // All its votes are at account 3. The first half is covered from the start, the other half
    // waits for what account 2 gets and passes on.
    let half = MANY / 2;
    let transfers: Vec<_> = [(OUTSIDE, 3, half as u128), (OUTSIDE, 2, half as u128)]
        .into_iter()
        .chain([(2, 3, half as u128)])
        .chain((0..MANY).map(|_| (3, 2, 1)))
        .collect();
    check(steps_each(3, &transfers, 3..MANY + 2), MOST);
}

#[test]
fn a_long_group_in_front_of_a_queue_is_passed_by_in_one_step() {
    // Money goes down a row of accounts. A group of account 3 waits for the end of the row.
    // Behind the group, each account of the row pays 1 to account 3, one after the other is
    // decided, and the last transfer waits for all of them.
    let row = 4..4 + MANY;
    let many = MANY as u128;
    let transfers: Vec<_> = [(OUTSIDE, 3, many), (OUTSIDE, 4, 2 * many)]
        .into_iter()
        .chain(row.clone().map(|at| (at, at + 1, 2 * many + 3 - at as u128)))
        .chain((0..MANY).map(|_| (3, 2, 1)))
        .chain([(row.end, 2, 1)])
        .chain(row.map(|at| (at, 3, 1)))
        .chain([(3, 2, many)])
        .collect();
    check(steps_each(MANY + 4, &transfers, MANY + 2..2 * MANY + 2), MOST);
}

#[test]
fn a_group_whose_members_are_decided_one_by_one_is_not_read_again() {
    // Each account keeps 1 of what it gets and passes the rest on; a group collects the ones.
    let onwards = (1..MANY).map(|at| (at, at + 1, (MANY - at) as u128));
    let group = (2..=MANY).map(|at| (at, OUTSIDE, 1));
    let transfers: Vec<_> = onwards.chain(group).collect();
    check(steps_each(MANY, &transfers, MANY - 1..2 * MANY - 3), MOST);
}
