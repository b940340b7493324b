//! Linked groups asked again, whole, in pieces, joined and mixed with new ids: the same request
//! gets the same outcomes each time, and no group is answered as posted but one that was.

use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::money::CurrencyId;
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::repeat::resolve;
use ducat_engine::transfer::{AccountSpec, Outcome, TransferKind, TransferRequest};
use proptest::collection::vec;
use proptest::prelude::*;
use std::convert::Infallible;

const LINKED_FAILED: Option<Rejection> = Some(Rejection::LinkedFailed);
const ID_REUSED: Option<Rejection> = Some(Rejection::IdReused);
const POOR: Option<Rejection> = Some(Rejection::InsufficientFunds);
const POSTED: Option<Rejection> = None;

/// More than anyone here has.
const TOO_MUCH: u128 = 1_000_000;

/// A ledger of two accounts and what it journalled.
struct Book {
    ledger: Ledger,
    journal: Vec<(u64, Record)>,
}

impl Book {
    fn new() -> Self {
        let ledger = Ledger::new(2, 1, u64::MAX).expect("a power of two");
        let mut book = Self { ledger, journal: Vec::new() };
        for id in [1, 2] {
            let id = AccountId::new(id).expect("not zero");
            let currency = CurrencyId(826);
            let spec = AccountSpec { id, currency, overdraft_limit: 1_000, external: false };
            let (_, record) = book.ledger.open_account(&spec).expect("new");
            book.journal.push((0, record));
        }
        book
    }

    fn ask(&mut self, requests: &[TransferRequest]) -> Vec<Outcome> {
        let mut done = self.ledger.execute(1, &[requests]).expect("possible");
        self.journal.extend(done.records.into_iter().map(|(_, record)| (done.time_ns, record)));
        let mut answer = done.answers.remove(0);
        let read = |lsn: Lsn| Ok::<_, Infallible>(self.journal[lsn.0 as usize - 1].clone());
        resolve(&mut answer, read).expect("the events are at hand");
        answer.outcomes
    }

    /// Asks for one group, three times; each time the answer must be this.
    #[track_caller]
    fn expect(&mut self, members: &[(u128, u128)], expected: &[Option<Rejection>]) {
        let group = group(members);
        let first = self.ask(&group);
        let rejections: Vec<_> = first.iter().map(|outcome| outcome.rejection).collect();
        assert_eq!(rejections, expected);
        for _ in 0..2 {
            assert_eq!(unmarked(&self.ask(&group)), unmarked(&first));
        }
    }
}

/// One linked group of transfers, by id and amount.
fn group(members: &[(u128, u128)]) -> Vec<TransferRequest> {
    let request = |(at, &(id, amount)): (usize, &(u128, u128))| TransferRequest {
        id: TransferId::new(id).expect("not zero"),
        debit: AccountId::new(1).expect("not zero"),
        credit: AccountId::new(2).expect("not zero"),
        amount,
        currency: None,
        kind: TransferKind::Transfer,
        linked: at + 1 < members.len(),
    };
    members.iter().enumerate().map(request).collect()
}

fn unmarked(outcomes: &[Outcome]) -> Vec<Outcome> {
    outcomes.iter().map(|outcome| Outcome { repeat: false, ..*outcome }).collect()
}

#[test]
fn a_group_that_mixed_new_and_known_ids_stays_refused() {
    let mut book = Book::new();
    book.expect(&[(10, 1)], &[POSTED]);
    book.expect(&[(11, 1), (10, 1)], &[LINKED_FAILED, ID_REUSED]);
    book.expect(&[(10, 1)], &[POSTED]);
}

#[test]
fn known_ids_that_were_no_group_are_not_answered_as_one() {
    let mut book = Book::new();
    book.expect(&[(1, 1), (2, 1)], &[POSTED, POSTED]);
    book.expect(&[(10, 1)], &[POSTED]);
    book.expect(&[(1, 1), (10, 1)], &[ID_REUSED, ID_REUSED]);
    book.expect(&[(1, 1), (2, 9)], &[ID_REUSED, ID_REUSED]);
    book.expect(&[(2, 1), (1, 1)], &[ID_REUSED, ID_REUSED]);
    book.expect(&[(1, 1), (2, 1)], &[POSTED, POSTED]);
}

#[test]
fn a_piece_of_a_group_is_not_the_group() {
    let mut book = Book::new();
    book.expect(&[(1, 1), (2, 1), (3, 1)], &[POSTED; 3]);
    book.expect(&[(1, 1), (2, 1), (4, 1)], &[ID_REUSED, ID_REUSED, LINKED_FAILED]);
    book.expect(&[(1, 1), (2, 1)], &[ID_REUSED; 2]);
    book.expect(&[(2, 1), (3, 1)], &[ID_REUSED; 2]);
    book.expect(&[(3, 1)], &[POSTED]);
    book.expect(&[(1, 1), (2, 1), (3, 1)], &[POSTED; 3]);
}

#[test]
fn neighbours_by_accident_are_no_group() {
    let mut book = Book::new();
    book.expect(&[(10, 1)], &[POSTED]);
    // The event of 11 is refused, linked, and right before that of 1.
    book.expect(&[(11, 1), (10, 1)], &[LINKED_FAILED, ID_REUSED]);
    book.expect(&[(1, 1), (2, 1)], &[POSTED; 2]);
    book.expect(&[(11, 1), (1, 1), (2, 1)], &[LINKED_FAILED, ID_REUSED, ID_REUSED]);
    book.expect(&[(3, 1), (4, 1)], &[POSTED; 2]);
    book.expect(&[(1, 1), (2, 1), (3, 1), (4, 1)], &[ID_REUSED; 4]);
    book.expect(&[(1, 1), (2, 1)], &[POSTED; 2]);
}

#[test]
fn a_refusal_is_the_same_in_every_group() {
    let mut book = Book::new();
    book.expect(&[(1, 1), (2, TOO_MUCH), (3, 1)], &[LINKED_FAILED, POOR, LINKED_FAILED]);
    book.expect(&[(1, 1), (4, 1)], &[LINKED_FAILED; 2]);
    book.expect(&[(2, TOO_MUCH), (3, 1)], &[POOR, LINKED_FAILED]);
    book.expect(&[(2, TOO_MUCH), (5, 1)], &[POOR, LINKED_FAILED]);
    book.expect(&[(2, 1), (3, 1)], &[ID_REUSED, LINKED_FAILED]);
}

#[test]
fn an_id_named_twice_fails_its_group_each_time() {
    let mut book = Book::new();
    // The second is not linked, so it is of other content.
    book.expect(&[(1, 1), (1, 1)], &[LINKED_FAILED, ID_REUSED]);
    book.expect(&[(2, 1), (2, 1), (3, 1)], &[LINKED_FAILED; 3]);
    book.expect(&[(2, 1), (2, 2), (3, 1)], &[LINKED_FAILED, ID_REUSED, LINKED_FAILED]);
    book.expect(&[(4, 1)], &[POSTED]);
    book.expect(&[(4, 1), (4, 1)], &[ID_REUSED; 2]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Few ids and groups of every sort, all asked again after each: nothing ever changes,
    /// and members of groups are answered as posted only when that group was.
    #[test]
    fn the_same_request_gets_the_same_outcomes(
        groups in vec(vec((1u128..9, 0usize..12), 1..5), 1..12),
    ) {
        let mut book = Book::new();
        let mut told: Vec<(Vec<TransferRequest>, Vec<Outcome>)> = Vec::new();
        let mut posted: Vec<Vec<TransferRequest>> = Vec::new();
        for members in groups {
            let amount = |at: usize| [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, TOO_MUCH][at];
            let members: Vec<_> = members.iter().map(|(id, at)| (*id, amount(*at))).collect();
            let request = group(&members);
            let outcomes = book.ask(&request);
            if outcomes.iter().all(|o| o.rejection.is_none() && !o.repeat) {
                posted.push(request.clone());
            }
            if request.len() > 1 && outcomes.iter().any(|outcome| outcome.rejection.is_none()) {
                prop_assert!(posted.contains(&request), "never posted: {:?}", outcomes);
            }
            told.push((request, outcomes));
            let events = book.journal.len();
            for (request, outcomes) in &told {
                prop_assert_eq!(unmarked(&book.ask(request)), unmarked(outcomes));
            }
            prop_assert_eq!(book.journal.len(), events, "nothing happens anew");
        }
    }
}
