//! The whole protocol on small ledgers: rules, groups, repeats, and replay of what was
//! journalled, on one partition and on several.

use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::ledger::{Executed, Ledger};
use ducat_engine::money::CurrencyId;
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{AccountSpec, TransferKind, TransferRequest};

const GBP: CurrencyId = CurrencyId(826);
const OUTSIDE: u128 = 100;

struct Book {
    ledger: Ledger,
    journal: Vec<(Lsn, u64, ducat_engine::record::Record)>,
    next_id: u128,
}

impl Book {
    fn new(partitions: usize, accounts: u128) -> Self {
        let ledger = Ledger::new(partitions, 1, u64::MAX).expect("a power of two");
        let mut book = Self { ledger, journal: Vec::new(), next_id: 1 };
        for id in (1..=accounts).chain([OUTSIDE]) {
            let spec = AccountSpec {
                id: account(id),
                currency: GBP,
                overdraft_limit: 0,
                external: id == OUTSIDE,
            };
            let (lsn, record) = book.ledger.open_account(&spec).expect("new");
            book.journal.push((lsn, 0, record));
        }
        book
    }

    fn run(&mut self, requests: &[TransferRequest]) -> Executed {
        let done = self.ledger.execute(1_000, &[requests]).expect("possible");
        let events = done.records.iter().map(|(lsn, record)| (*lsn, done.time_ns, record.clone()));
        self.journal.extend(events);
        done
    }

    fn transfer(&mut self, debit: u128, credit: u128, amount: u128) -> TransferRequest {
        self.next_id += 1;
        let kind = match (debit == OUTSIDE, credit == OUTSIDE) {
            (true, _) => TransferKind::Deposit,
            (_, true) => TransferKind::Withdrawal,
            _ => TransferKind::Transfer,
        };
        TransferRequest {
            id: TransferId::new(self.next_id).expect("not zero"),
            debit: account(debit),
            credit: account(credit),
            amount,
            currency: None,
            kind,
            linked: false,
        }
    }

    fn check_replay(&self) {
        for partitions in [1, 2, 4] {
            let mut again = Ledger::new(partitions, 9, u64::MAX).expect("a power of two");
            for (lsn, time, record) in &self.journal {
                again.apply(*lsn, *time, record).expect("what ran live replays");
            }
            assert_eq!(again.summary(), self.ledger.summary());
        }
    }
}

fn account(id: u128) -> AccountId {
    AccountId::new(id).expect("not zero")
}

fn verdicts(done: &Executed) -> Vec<Option<Rejection>> {
    done.answers[0].outcomes.iter().map(|outcome| outcome.rejection).collect()
}

#[test]
fn a_chain_of_payments_in_one_batch_sees_what_came_before() {
    for partitions in [1, 2, 4, 8] {
        let mut book = Book::new(partitions, 5);
        let batch = [
            book.transfer(1, 2, 10),
            book.transfer(OUTSIDE, 1, 10),
            book.transfer(1, 2, 10),
            book.transfer(2, 3, 10),
            book.transfer(3, 4, 10),
            book.transfer(4, 5, 11),
            book.transfer(4, 5, 10),
            book.transfer(1, 2, 1),
        ];
        let done = book.run(&batch);
        let short = Some(Rejection::InsufficientFunds);
        assert_eq!(
            verdicts(&done),
            [short, None, None, None, None, short, None, short],
            "{partitions}"
        );
        book.check_replay();
    }
}

#[test]
fn a_linked_group_is_all_or_nothing_and_sees_its_own_members() {
    for partitions in [1, 2, 4, 8] {
        let mut book = Book::new(partitions, 5);
        let linked = |mut request: TransferRequest| {
            request.linked = true;
            request
        };
        let batch = [
            book.transfer(OUTSIDE, 1, 100),
            linked(book.transfer(1, 2, 60)),
            linked(book.transfer(2, 3, 60)),
            book.transfer(3, 4, 61),
            linked(book.transfer(1, 2, 60)),
            linked(book.transfer(2, 3, 60)),
            book.transfer(3, 4, 60),
            book.transfer(1, 5, 41),
            book.transfer(1, 5, 40),
        ];
        let done = book.run(&batch);
        let failed = Some(Rejection::LinkedFailed);
        let short = Some(Rejection::InsufficientFunds);
        assert_eq!(
            verdicts(&done),
            [None, failed, failed, short, None, None, None, short, None],
            "{partitions}"
        );
        book.check_replay();
    }
}

#[test]
fn a_posted_transfer_takes_at_most_64_bytes() {
    let mut book = Book::new(1, 5);
    let big = 1 << 40;
    let batch = [book.transfer(OUTSIDE, 1, big), book.transfer(1, 2, big)];
    for (_, record) in book.run(&batch).records {
        let mut bytes = Vec::new();
        ducat_engine::codec::encode(&record, &mut bytes);
        assert!(bytes.len() <= 64, "{} bytes", bytes.len());
        let back: Vec<_> = ducat_engine::codec::decode_all(&bytes).collect();
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].as_ref().ok(), Some(&record));
    }
}
