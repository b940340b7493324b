//! Repeats, at their corners: an answer never changes, whatever was opened or forgotten since,
//! and replay remembers the ids that the live run remembered.

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

const GBP: CurrencyId = CurrencyId(826);

/// A ledger, what it journalled, and repeats answered from that.
struct Book {
    ledger: Ledger,
    journal: Vec<(Lsn, u64, Record)>,
    remember_ns: u64,
}

impl Book {
    fn new(remember_ns: u64, accounts: impl IntoIterator<Item = u128>) -> Self {
        let ledger = Ledger::new(2, 1, remember_ns).expect("a power of two");
        let mut book = Self { ledger, journal: Vec::new(), remember_ns };
        accounts.into_iter().for_each(|id| book.open(id));
        book
    }

    fn open(&mut self, id: u128) {
        let id = AccountId::new(id).expect("not zero");
        let spec = AccountSpec { id, currency: GBP, overdraft_limit: 100, external: false };
        let (lsn, record) = self.ledger.open_account(&spec).expect("new");
        self.journal.push((lsn, self.ledger.coordinator.last_time_ns(), record));
    }

    fn ask(&mut self, now_ns: u64, request: TransferRequest) -> Outcome {
        self.ask_all(now_ns, &[request])[0]
    }

    fn ask_all(&mut self, now_ns: u64, requests: &[TransferRequest]) -> Vec<Outcome> {
        let mut done = self.ledger.execute(now_ns, &[requests]).expect("possible");
        let time_ns = done.time_ns;
        self.journal.extend(done.records.into_iter().map(|(lsn, record)| (lsn, time_ns, record)));
        let mut answer = done.answers.remove(0);
        let read = |lsn: Lsn| {
            let (_, time_ns, record) = &self.journal[lsn.0 as usize - 1];
            Ok::<_, Infallible>((*time_ns, record.clone()))
        };
        resolve(&mut answer, read).expect("the events are at hand");
        answer.outcomes
    }

    fn restarted(&self) -> Self {
        let mut ledger = Ledger::new(1, 5, self.remember_ns).expect("a power of two");
        for (lsn, time_ns, record) in &self.journal {
            ledger.apply(*lsn, *time_ns, record).expect("what ran live replays");
        }
        Self { ledger, journal: self.journal.clone(), remember_ns: self.remember_ns }
    }
}

fn transfer(id: u128, debit: u128, credit: u128) -> TransferRequest {
    TransferRequest {
        id: TransferId::new(id).expect("not zero"),
        debit: AccountId::new(debit).expect("not zero"),
        credit: AccountId::new(credit).expect("not zero"),
        amount: 1,
        currency: None,
        kind: TransferKind::Transfer,
        linked: false,
    }
}

#[test]
fn naming_the_currency_of_the_one_account_that_exists_makes_no_other_transfer() {
    let mut book = Book::new(u64::MAX, [2]);
    let first = book.ask(1, transfer(1, 1, 2));
    assert_eq!(first.rejection, Some(Rejection::DebitAccountUnknown));
    assert_eq!(first.currency, Some(GBP));
    let named = TransferRequest { currency: Some(GBP), ..transfer(1, 1, 2) };
    assert_eq!(book.ask(2, named), Outcome { repeat: true, ..first });
    let other = TransferRequest { currency: Some(CurrencyId(840)), ..named };
    assert_eq!(book.ask(2, other).rejection, Some(Rejection::IdReused));
}

#[test]
fn a_refusal_is_answered_the_same_when_its_account_is_opened_later() {
    let mut book = Book::new(u64::MAX, []);
    let first = book.ask(1, transfer(1, 1, 2));
    assert_eq!((first.rejection, first.currency), (Some(Rejection::DebitAccountUnknown), None));
    book.open(1);
    book.open(2);
    assert_eq!(book.ask(2, transfer(1, 1, 2)), Outcome { repeat: true, ..first });
}

#[test]
fn repeats_do_not_make_the_live_run_forget_what_replay_remembers() {
    let mut book = Book::new(1_000, [1, 2]);
    book.ask(0, transfer(1, 1, 2));
    // Only a repeat arrives when the time is up; nothing is journalled.
    assert!(book.ask(1_000, transfer(1, 1, 2)).repeat);
    book.ask(1_500, transfer(2, 1, 2));
    book.ask(2_000, transfer(1, 1, 2));
    book.restarted();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// An id counts for at least the time it is remembered; what is forgotten live is
    /// forgotten in replay, so that a restart changes no answer.
    #[test]
    fn ids_are_forgotten_alike_live_and_in_replay(
        asks in vec((1u128..6, 0u64..700, 0u8..8), 1..40),
    ) {
        let mut book = Book::new(1_000, [1, 2]);
        let mut decided = std::collections::HashMap::new();
        let mut now_ns = 0;
        for (id, later_ns, restart) in asks {
            now_ns += later_ns;
            if restart == 0 {
                book = book.restarted();
            }
            let outcome = book.ask(now_ns, transfer(id, 1, 2));
            match decided.get(&id) {
                Some(&(lsn, time_ns)) if outcome.repeat => {
                    prop_assert_eq!((outcome.lsn, outcome.time_ns), (lsn, time_ns));
                }
                Some(&(_, time_ns)) => prop_assert!(now_ns - time_ns >= 1_000, "forgotten early"),
                None => prop_assert!(!outcome.repeat),
            }
            decided.insert(id, (outcome.lsn, outcome.time_ns));
        }
        let again = book.restarted();
        prop_assert_eq!(again.ledger.summary(), book.ledger.summary());
    }
}
