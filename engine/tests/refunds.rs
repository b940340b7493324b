//! Refunds and reversals, by the mistakes that other ledgers are known for, each by its name.

use ducat_engine::codec;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::LimitsChange;
use ducat_engine::money::{AMOUNT_MAX, CurrencyId};
use ducat_engine::record::Record;
use ducat_engine::refunds::RefundAfter;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{CaptureRequest, HoldRequest, RefundRequest, Request, VoidRequest};
use ducat_engine::testing::book::{self, Event, filled_in_full};
use ducat_engine::transfer::{AccountSpec, AccountStatus, Outcome, TransferKind, TransferRequest};

const GBP: CurrencyId = CurrencyId(826);
const USD: CurrencyId = CurrencyId(840);
const OUTSIDE: u128 = 1;
const ALICE: u128 = 2;
const SHOP: u128 = 3;
const SUPPLIER: u128 = 4;

/// A ledger of four accounts on some partitions, of which Alice has 100, and its journal.
struct Bank {
    ledger: Ledger,
    events: Vec<Event>,
    now_ns: u64,
    ids: u128,
}

type Answer = (Outcome, Option<RefundAfter>);

impl Bank {
    fn new(partitions: usize) -> Self {
        Self::remembering(partitions, u64::MAX)
    }

    fn remembering(partitions: usize, remember_ns: u64) -> Self {
        let ledger = Ledger::new(partitions, 5, remember_ns).expect("a power of two");
        let mut bank = Self { ledger, events: Vec::new(), now_ns: 1_000, ids: 1 << 64 };
        for number in [OUTSIDE, ALICE, SHOP, SUPPLIER] {
            let (id, external) = (account(number), number == OUTSIDE);
            let spec = AccountSpec { id, currency: GBP, overdraft_limit: 0, external };
            let (lsn, record) = bank.ledger.open_account(&spec).expect("new");
            bank.events.push(Event { lsn, time_ns: 0, record });
        }
        let deposit = TransferRequest {
            kind: TransferKind::Deposit,
            ..transfer(1 << 63, OUTSIDE, ALICE, 100)
        };
        bank.done(deposit);
        bank
    }

    fn batch(&mut self, submissions: &[&[Request]]) -> Vec<Vec<Answer>> {
        let read = |lsn| book::read(&self.events, lsn);
        let done = self.ledger.execute_reading(self.now_ns, submissions, read).expect("possible");
        let time_ns = done.time_ns;
        let events = done.records.into_iter();
        self.events.extend(events.map(|(lsn, record)| Event { lsn, time_ns, record }));
        self.ledger.check_holds().expect("accounts and holds agree");
        let told = |answer| filled_in_full(answer, &self.events).into_iter();
        let told = done
            .answers
            .into_iter()
            .map(|answer| told(answer).map(|(outcome, _, refund, ..)| (outcome, refund)).collect());
        told.collect()
    }

    fn ask(&mut self, requests: &[Request]) -> Vec<Answer> {
        self.batch(&[requests]).remove(0)
    }

    /// Does what nothing keeps from being done.
    fn done(&mut self, request: impl Into<Request>) -> Answer {
        let answer = self.ask(&[request.into()])[0];
        assert_eq!(answer.0.rejection, None, "{answer:?}");
        answer
    }

    /// Pays for something: the transfer's id.
    fn paid(&mut self, debit: u128, credit: u128, amount: u128) -> u128 {
        let number = self.next_id();
        self.done(transfer(number, debit, credit, amount));
        number
    }

    /// What becomes of a refund: how much was given back of the original, and whether no more is.
    fn back(&mut self, of: u128, amount: Option<u128>) -> Result<(u128, bool), Rejection> {
        let number = self.next_id();
        self.tried(refund(number, of, amount))
    }

    fn tried(&mut self, request: RefundRequest) -> Result<(u128, bool), Rejection> {
        let (outcome, refund) = self.ask(&[request.into()])[0];
        match outcome.rejection {
            None => Ok(refund.map(|r| (r.refunded, r.reversed)).expect("told with a refund")),
            Some(rejection) => Err(rejection),
        }
    }

    fn next_id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    fn slot(&self, number: u128) -> ducat_engine::ids::Slot {
        self.ledger.coordinator.directory().get(account(number)).expect("listed").slot
    }

    fn posted(&self, number: u128) -> i128 {
        self.ledger.view(self.slot(number)).expect("hosted").posted
    }

    fn set_status(&mut self, number: u128, status: AccountStatus) {
        let set = self.ledger.set_status(self.slot(number), status, "");
        let (lsn, record) = set.expect("allowed");
        self.events.push(Event { lsn, time_ns: self.now_ns, record });
    }

    fn change_limits(&mut self, number: u128, change: LimitsChange) {
        let changed = self.ledger.change_limits(self.slot(number), &change);
        let (lsn, record) = changed.expect("allowed").expect("a change");
        self.events.push(Event { lsn, time_ns: self.now_ns, record });
    }

    /// The event that decided this id.
    fn event_of(&self, number: u128) -> Lsn {
        let of = |event: &&Event| event.record.transfer_id() == Some(id(number));
        self.events.iter().rev().find(of).expect("decided").lsn
    }

    /// Its journal, as bytes and back, leads to the same state on any number of partitions.
    fn replays(&self, remember_ns: u64) {
        for partitions in [1, 2, 4] {
            let mut replayed = Ledger::new(partitions, 9, remember_ns).expect("a power of two");
            for event in &self.events {
                let mut bytes = Vec::new();
                codec::encode(&event.record, &mut bytes);
                assert!(bytes.len() <= codec::ACCOUNT_EVENT_BYTES_MAX);
                let read: Vec<_> = codec::decode_all(&bytes).collect();
                let [Ok(record)] = &read[..] else { panic!("{read:?}") };
                assert_eq!(*record, event.record);
                let applied = replayed.apply(event.lsn, event.time_ns, record);
                applied.expect("what ran live replays");
            }
            assert_eq!(replayed.summary(), self.ledger.summary());
        }
    }
}

fn id(number: u128) -> TransferId {
    TransferId::new(number).expect("not zero")
}

fn account(number: u128) -> AccountId {
    AccountId::new(number).expect("not zero")
}

fn transfer(number: u128, debit: u128, credit: u128, amount: u128) -> TransferRequest {
    TransferRequest {
        id: id(number),
        debit: account(debit),
        credit: account(credit),
        amount,
        currency: None,
        kind: TransferKind::Transfer,
        linked: false,
    }
}

fn refund(number: u128, of: u128, amount: Option<u128>) -> RefundRequest {
    RefundRequest::plain(id(number), id(of), amount)
}

#[test]
fn in_parts_and_never_more_in_sum_than_was_moved() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        let sale = bank.paid(ALICE, SHOP, 30);
        assert_eq!(bank.back(sale, Some(10)), Ok((10, false)));
        assert_eq!(bank.back(sale, Some(21)), Err(Rejection::RefundExceeded));
        assert_eq!(bank.back(sale, Some(19)), Ok((29, false)));
        assert_eq!(bank.back(sale, Some(2)), Err(Rejection::RefundExceeded));
        assert_eq!(bank.back(sale, Some(1)), Ok((30, false)));
        assert_eq!(bank.back(sale, Some(1)), Err(Rejection::OriginalRefunded));
        assert_eq!(bank.back(sale, None), Err(Rejection::OriginalRefunded));
        assert_eq!((bank.posted(ALICE), bank.posted(SHOP)), (100, 0));
        bank.replays(u64::MAX);
    }
}

#[test]
fn a_reversal_gives_back_what_remains_and_happens_once() {
    for partitions in [1, 4] {
        let mut bank = Bank::new(partitions);
        let (whole, partly) = (bank.paid(ALICE, SHOP, 30), bank.paid(ALICE, SHOP, 20));
        assert_eq!(bank.back(partly, Some(7)), Ok((7, false)));
        assert_eq!(bank.back(whole, None), Ok((30, true)));
        assert_eq!(bank.back(partly, None), Ok((20, true)));
        for of in [whole, partly] {
            assert_eq!(bank.back(of, None), Err(Rejection::OriginalReversed));
            assert_eq!(bank.back(of, Some(1)), Err(Rejection::OriginalReversed));
        }
        assert_eq!((bank.posted(ALICE), bank.posted(SHOP)), (100, 0));
        bank.replays(u64::MAX);
    }
}

#[test]
fn many_at_once_in_one_batch_over_submissions_and_groups() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        let sale = bank.paid(ALICE, SHOP, 30);
        let group = |first: u128, amounts: [u128; 3]| -> Vec<Request> {
            let members = (first..).zip(amounts).map(|(number, amount)| RefundRequest {
                linked: number < first + 2,
                ..refund(number, sale, Some(amount))
            });
            members.map(Request::from).collect()
        };
        let all = [
            vec![refund(1, sale, Some(8)).into(), refund(2, sale, Some(8)).into()],
            // 16 and 9 and 6 are more than 30: nothing of it happens.
            group(10, [5, 4, 6]),
            group(20, [5, 4, 5]),
            vec![refund(3, sale, Some(1)).into()],
        ];
        let slices: Vec<&[Request]> = all.iter().map(Vec::as_slice).collect();
        let rejections: Vec<Vec<Option<Rejection>>> = bank
            .batch(&slices)
            .iter()
            .map(|answers| answers.iter().map(|(outcome, _)| outcome.rejection).collect())
            .collect();
        let failed = Some(Rejection::LinkedFailed);
        assert_eq!(
            rejections,
            [
                vec![None, None],
                vec![failed, failed, Some(Rejection::RefundExceeded)],
                vec![None, None, None],
                vec![Some(Rejection::OriginalRefunded)],
            ]
        );
        assert_eq!((bank.posted(ALICE), bank.posted(SHOP)), (100, 0));
        bank.replays(u64::MAX);
    }
}

#[test]
fn two_of_one_submission_that_are_too_much_together() {
    let mut bank = Bank::new(2);
    let sale = bank.paid(ALICE, SHOP, 30);
    let both = [refund(1, sale, Some(20)), refund(2, sale, Some(20))].map(Request::from);
    let answers = bank.ask(&both);
    let rejections = [answers[0].0.rejection, answers[1].0.rejection];
    assert_eq!(rejections, [None, Some(Rejection::RefundExceeded)]);
}

/// A refund for which the money is not there counts for nothing: those behind it are judged when it
/// is known what became of it, also in the same batch.
#[test]
fn one_that_fails_leaves_the_others_what_it_asked_for() {
    for partitions in [1, 2] {
        let mut bank = Bank::new(partitions);
        let sale = bank.paid(ALICE, SHOP, 30);
        bank.paid(SHOP, SUPPLIER, 15);
        let linked = RefundRequest { linked: true, ..refund(3_003, sale, Some(1)) };
        let asked = [
            refund(3_001, sale, Some(20)).into(),
            refund(3_002, sale, Some(14)).into(),
            linked.into(),
            transfer(3_004, SHOP, SUPPLIER, 9).into(),
            refund(3_005, sale, None).into(),
            refund(3_006, sale, Some(1)).into(),
        ];
        let rejections = bank.ask(&asked).into_iter().map(|(outcome, _)| outcome.rejection);
        let (poor, failed) = (Some(Rejection::InsufficientFunds), Some(Rejection::LinkedFailed));
        let expected = [poor, None, failed, poor, poor, None];
        assert_eq!(rejections.collect::<Vec<_>>(), expected);
        bank.replays(u64::MAX);
    }
}

#[test]
fn an_original_of_the_same_submission_but_not_of_the_same_group() {
    let mut bank = Bank::new(2);
    let linked = TransferRequest { linked: true, ..transfer(7, ALICE, SHOP, 5) };
    let answers = bank.ask(&[
        transfer(5, ALICE, SHOP, 5).into(),
        refund(6, 5, None).into(),
        linked.into(),
        refund(8, 7, None).into(),
        refund(9, 9, None).into(),
    ]);
    let rejections: Vec<_> = answers.iter().map(|(outcome, _)| outcome.rejection).collect();
    let (failed, unknown) = (Some(Rejection::LinkedFailed), Some(Rejection::OriginalUnknown));
    assert_eq!(rejections, [None, None, failed, unknown, unknown]);
    bank.replays(u64::MAX);
}

#[test]
fn what_moved_nothing_cannot_be_given_back() {
    let mut bank = Bank::new(2);
    assert_eq!(bank.back(77, None), Err(Rejection::OriginalUnknown));
    let refused = bank.ask(&[transfer(20, ALICE, SHOP, 101).into()])[0].0;
    assert_eq!(refused.rejection, Some(Rejection::InsufficientFunds));
    assert_eq!(bank.back(20, Some(1)), Err(Rejection::OriginalRefused));
    let TransferRequest { debit, credit, amount, kind, .. } = transfer(21, ALICE, SHOP, 10);
    bank.done(HoldRequest {
        id: id(21),
        debit,
        credit,
        amount,
        currency: None,
        kind,
        timeout_ns: 0,
        over_capture_max: 0,
        linked: false,
    });
    assert_eq!(bank.back(21, None), Err(Rejection::OriginalMovedNothing));
    bank.done(CaptureRequest {
        id: id(22),
        hold: id(21),
        amount: Some(4),
        currency: None,
        last: false,
        linked: false,
    });
    // What a capture moved can: by the capture's id.
    assert_eq!(bank.back(21, None), Err(Rejection::OriginalMovedNothing));
    assert_eq!(bank.back(22, Some(3)), Ok((3, false)));
    bank.done(VoidRequest { id: id(23), hold: id(21), linked: false });
    assert_eq!(bank.back(23, None), Err(Rejection::OriginalMovedNothing));
    assert_eq!((bank.posted(ALICE), bank.posted(SHOP)), (99, 1));
    bank.replays(u64::MAX);
}

#[test]
fn a_refund_is_not_refunded() {
    let mut bank = Bank::new(1);
    let sale = bank.paid(ALICE, SHOP, 30);
    bank.done(refund(5, sale, Some(10)));
    assert_eq!(bank.back(5, Some(1)), Err(Rejection::OriginalIsRefund));
    assert_eq!(bank.back(5, None), Err(Rejection::OriginalIsRefund));
    bank.done(refund(6, sale, None));
    assert_eq!(bank.back(6, None), Err(Rejection::OriginalIsRefund));
    // Nor is one that was refused.
    assert_eq!(bank.tried(refund(7, sale, Some(1))), Err(Rejection::OriginalReversed));
    assert_eq!(bank.back(7, None), Err(Rejection::OriginalRefused));
}

#[test]
fn a_repeat_answers_the_same_whatever_happened_since() {
    for partitions in [1, 2] {
        let mut bank = Bank::new(partitions);
        let sale = bank.paid(ALICE, SHOP, 30);
        let first = refund(5, sale, Some(10));
        let done = bank.done(first);
        let too_much = refund(6, sale, Some(21));
        let refused = bank.ask(&[too_much.into()])[0];
        assert_eq!(refused.1.map(|told| (told.moved, told.refunded)), Some((30, 10)));
        assert_eq!(bank.back(sale, None), Ok((30, true)));
        for (request, before) in [(first, done), (too_much, refused)] {
            let again = bank.ask(&[request.into()])[0];
            assert!(again.0.repeat);
            assert_eq!((Outcome { repeat: false, ..again.0 }, again.1), before);
            let currency = RefundRequest { currency: Some(GBP), ..request };
            assert_eq!(bank.ask(&[currency.into()])[0].1, before.1, "its accounts' currency");
            for other in [
                RefundRequest { amount: None, ..request },
                RefundRequest { amount: Some(11), ..request },
                RefundRequest { of: id(1 << 63), ..request },
                RefundRequest { of_lsn: Some(bank.event_of(sale)), ..request },
                RefundRequest { allow_overdraft: true, ..request },
                RefundRequest { currency: Some(USD), ..request },
            ] {
                assert_eq!(bank.tried(other), Err(Rejection::IdReused), "{other:?}");
            }
        }
        let events = bank.events.len();
        bank.ask(&[first.into(), too_much.into()]);
        assert_eq!(bank.events.len(), events, "a repeat is no event");
    }
}

#[test]
fn amounts_and_currencies_that_cannot_be() {
    let mut bank = Bank::new(1);
    let sale = bank.paid(ALICE, SHOP, 30);
    assert_eq!(bank.back(sale, Some(0)), Err(Rejection::AmountZero));
    assert_eq!(bank.back(sale, Some(AMOUNT_MAX + 1)), Err(Rejection::AmountTooLarge));
    assert_eq!(bank.back(sale, Some(u128::MAX)), Err(Rejection::AmountTooLarge));
    let in_usd = RefundRequest { currency: Some(USD), ..refund(5, sale, Some(1)) };
    assert_eq!(bank.tried(in_usd), Err(Rejection::CurrencyMismatch));
    let in_gbp = RefundRequest { currency: Some(GBP), ..refund(6, sale, Some(1)) };
    assert_eq!(bank.tried(in_gbp), Ok((1, false)));
    bank.replays(u64::MAX);
}

#[test]
fn the_receiver_has_spent_it() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        let sale = bank.paid(ALICE, SHOP, 30);
        bank.paid(SHOP, SUPPLIER, 25);
        assert_eq!(bank.back(sale, Some(6)), Err(Rejection::InsufficientFunds));
        let over = RefundRequest { allow_overdraft: true, ..refund(5, sale, Some(6)) };
        assert_eq!(bank.tried(over), Ok((6, false)));
        assert_eq!(bank.posted(SHOP), -1);
        // It may spend nothing now, and anybody may pay it.
        let spend = bank.ask(&[transfer(6, SHOP, SUPPLIER, 1).into()])[0].0;
        assert_eq!(spend.rejection, Some(Rejection::InsufficientFunds));
        let over = RefundRequest { allow_overdraft: true, ..refund(7, sale, None) };
        assert_eq!(bank.tried(over), Ok((30, true)));
        assert_eq!((bank.posted(SHOP), bank.posted(ALICE)), (-25, 100));
        bank.paid(ALICE, SHOP, 1);
        bank.replays(u64::MAX);
    }
}

#[test]
fn an_overdraft_goes_below_no_floor_and_moves_no_blocked_account() {
    for partitions in [1, 2] {
        let mut bank = Bank::new(partitions);
        let sale = bank.paid(ALICE, SHOP, 30);
        bank.paid(SHOP, SUPPLIER, 25);
        let over = |number, amount| RefundRequest {
            allow_overdraft: true,
            ..refund(number, sale, Some(amount))
        };
        let floor = LimitsChange { floor: Some(Some(2)), ..LimitsChange::default() };
        bank.change_limits(SHOP, floor);
        assert_eq!(bank.tried(over(5, 4)), Err(Rejection::DebitAccountFloor));
        assert_eq!(bank.tried(over(6, 3)), Ok((3, false)));
        for (number, status, rejection) in [
            (10, AccountStatus::Frozen, Rejection::DebitAccountFrozen),
            (11, AccountStatus::DebitsBlocked, Rejection::DebitAccountBlocked),
        ] {
            bank.set_status(SHOP, status);
            assert_eq!(bank.tried(over(number, 1)), Err(rejection));
        }
        bank.set_status(SHOP, AccountStatus::Active);
        bank.set_status(ALICE, AccountStatus::CreditsBlocked);
        assert_eq!(bank.tried(over(12, 1)), Err(Rejection::CreditAccountBlocked));
        bank.replays(u64::MAX);
    }
}

#[test]
fn what_is_on_hold_can_be_captured_from_an_account_that_a_refund_overdrew() {
    for partitions in [1, 2] {
        let mut bank = Bank::new(partitions);
        let sale = bank.paid(ALICE, SHOP, 30);
        let TransferRequest { debit, credit, kind, .. } = transfer(1, SHOP, SUPPLIER, 1);
        bank.done(HoldRequest {
            id: id(21),
            debit,
            credit,
            amount: 20,
            currency: None,
            kind,
            timeout_ns: 0,
            over_capture_max: 5,
            linked: false,
        });
        assert_eq!(bank.back(sale, None), Err(Rejection::InsufficientFunds));
        let over = RefundRequest { allow_overdraft: true, ..refund(5, sale, None) };
        assert_eq!(bank.tried(over), Ok((30, true)));
        let capture = |number, amount| CaptureRequest {
            id: id(number),
            hold: id(21),
            amount: Some(amount),
            currency: None,
            last: false,
            linked: false,
        };
        let outcomes = bank.ask(&[capture(31, 21).into(), capture(32, 12).into()]);
        let rejections: Vec<_> = outcomes.iter().map(|(outcome, _)| outcome.rejection).collect();
        assert_eq!(rejections, [Some(Rejection::InsufficientFunds), None]);
        bank.done(VoidRequest { id: id(33), hold: id(21), linked: false });
        assert_eq!((bank.posted(SHOP), bank.posted(SUPPLIER)), (-12, 12));
        bank.replays(u64::MAX);
    }
}

#[test]
fn an_overdraft_may_be_as_large_as_an_amount() {
    let mut bank = Bank::new(1);
    let big =
        AccountSpec { id: account(9), currency: GBP, overdraft_limit: AMOUNT_MAX, external: false };
    let (lsn, record) = bank.ledger.open_account(&big).expect("new");
    bank.events.push(Event { lsn, time_ns: bank.now_ns, record });
    bank.done(transfer(5, 9, SHOP, AMOUNT_MAX));
    bank.done(transfer(6, SHOP, SUPPLIER, AMOUNT_MAX));
    let over = RefundRequest { allow_overdraft: true, ..refund(7, 5, None) };
    assert_eq!(bank.tried(over), Ok((AMOUNT_MAX, true)));
    assert_eq!(bank.posted(SHOP), -i128::try_from(AMOUNT_MAX).expect("in range"));
    bank.replays(u64::MAX);
}

#[test]
fn a_deposit_is_given_back_to_the_outside_and_a_withdrawal_comes_back() {
    let mut bank = Bank::new(2);
    assert_eq!(bank.back(1 << 63, Some(40)), Ok((40, false)));
    assert_eq!((bank.posted(ALICE), bank.posted(OUTSIDE)), (60, -60));
    let out = TransferRequest { kind: TransferKind::Withdrawal, ..transfer(5, ALICE, OUTSIDE, 60) };
    bank.done(out);
    assert_eq!(bank.back(5, None), Ok((60, true)));
    assert_eq!((bank.posted(ALICE), bank.posted(OUTSIDE)), (60, -60));
    bank.replays(u64::MAX);
}

#[test]
fn an_original_that_is_forgotten_is_named_by_its_event() {
    let mut bank = Bank::remembering(2, 24);
    let sale = bank.paid(ALICE, SHOP, 30);
    let event = bank.event_of(sale);
    assert_eq!(bank.back(sale, Some(5)), Ok((5, false)));
    for _ in 0..100 {
        bank.now_ns += 1;
        bank.paid(ALICE, SHOP, 1);
        bank.paid(SHOP, ALICE, 1);
    }
    assert_eq!(bank.back(sale, Some(5)), Err(Rejection::OriginalUnknown));
    let named = |number, lsn| RefundRequest { of_lsn: Some(lsn), ..refund(number, sale, Some(20)) };
    for wrong in [Lsn::ZERO, Lsn(1), Lsn(event.0 + 1), Lsn(u64::MAX)] {
        let number = bank.next_id();
        assert_eq!(bank.tried(named(number, wrong)), Err(Rejection::OriginalUnknown));
    }
    assert_eq!(bank.tried(named(5, event)), Ok((25, false)));
    assert_eq!(bank.tried(named(6, event)), Err(Rejection::RefundExceeded));
    // Another request under the same id is another original.
    bank.now_ns += 1;
    bank.done(transfer(sale, ALICE, SHOP, 3));
    assert_eq!(bank.back(sale, None), Ok((3, true)));
    assert_eq!(bank.tried(RefundRequest { amount: None, ..named(7, event) }), Ok((30, true)));
    bank.replays(24);
}

#[test]
fn each_refund_leads_to_the_one_before_it() {
    let mut bank = Bank::new(1);
    let sale = bank.paid(ALICE, SHOP, 30);
    for (number, amount) in [(5, Some(10)), (6, Some(4)), (7, None)] {
        bank.done(refund(number, sale, amount));
    }
    let original = bank.event_of(sale);
    let state = bank.ledger.coordinator.refunds().get(original).expect("refunded");
    let mut next = state.last_lsn;
    let mut links = Vec::new();
    while next > Lsn::ZERO {
        let record = book::read(&bank.events, next);
        let Record::Refunded(refunded) = record else { panic!("{record:?}") };
        assert_eq!((refunded.of, refunded.of_lsn), (id(sale), original));
        links.push((refunded.id.get(), refunded.amount, refunded.refunded));
        next = refunded.previous;
    }
    assert_eq!(links, [(7, 16, 30), (6, 4, 14), (5, 10, 10)]);
}

#[test]
fn replay_refuses_what_the_rules_never_lead_to() {
    let mut bank = Bank::new(1);
    let sale = bank.paid(ALICE, SHOP, 30);
    bank.done(refund(5, sale, Some(10)));
    bank.done(refund(6, sale, Some(10)));
    let last = bank.events.len() - 1;
    let Record::Refunded(refunded) = bank.events[last].record.clone() else { panic!("a refund") };
    let spoiled = |spoil: &dyn Fn(&mut ducat_engine::record::Refunded)| {
        let mut record = refunded.clone();
        spoil(&mut record);
        let mut ledger = Ledger::new(2, 9, u64::MAX).expect("a power of two");
        for event in &bank.events[..last] {
            ledger.apply(event.lsn, event.time_ns, &event.record).expect("as it was");
        }
        let Event { lsn, time_ns, .. } = bank.events[last];
        ledger.apply(lsn, time_ns, &Record::Refunded(record))
    };
    assert!(spoiled(&|_| {}).is_ok());
    assert!(spoiled(&|r| r.moved = 31).is_err());
    assert!(spoiled(&|r| r.refunded = 21).is_err());
    assert!(spoiled(&|r| r.previous = Lsn(1)).is_err());
    assert!(spoiled(&|r| r.reversal = true).is_err());
    assert!(spoiled(&|r| r.of_lsn = Lsn(1_000)).is_err());
    assert!(spoiled(&|r| r.of_lsn = Lsn::ZERO).is_err());
    assert!(spoiled(&|r| r.currency = USD).is_err());
    assert!(spoiled(&|r| r.amount = 9).is_err());
    assert!(spoiled(&|r| std::mem::swap(&mut r.debit, &mut r.credit)).is_err());
}

/// The workload that the ledger is compared with the serial model by has refunds of every fate.
#[test]
fn the_workload_refunds() {
    use ducat_engine::model::SerialLedger;
    use ducat_engine::testing::rng::Rng;
    use ducat_engine::testing::workload::{self, Script, Step};
    let mut rng = Rng::new(7);
    let mut fates = std::collections::BTreeMap::new();
    for _ in 0..500 {
        let mut words = || -> Vec<u64> { (0..1 + rng.below(6)).map(|_| rng.next()).collect() };
        let raw: Vec<_> = (0..24).map(|_| (words()[0] as u8, words())).collect();
        let mut model = SerialLedger::new();
        for spec in workload::accounts() {
            model.open_account(&spec);
        }
        for step in Script::in_full(&raw).0 {
            let Step::Submit(requests) = step else { continue };
            for (request, outcome) in requests.iter().zip(model.submit(1_000, &requests)) {
                if let Some(refund) = request.refund() {
                    let fate = outcome.rejection.map_or("done", Rejection::code);
                    let what = (fate, refund.amount.is_none(), refund.allow_overdraft);
                    *fates.entry(what).or_insert(0_u32) += 1;
                }
            }
        }
    }
    let of = |fate: &str| -> u32 {
        fates.iter().filter(|((f, ..), _)| *f == fate).map(|(_, count)| count).sum()
    };
    for fate in [
        "done",
        "ORIGINAL_UNKNOWN",
        "ORIGINAL_REFUSED",
        "ORIGINAL_IS_REFUND",
        "ORIGINAL_REVERSED",
        "ORIGINAL_REFUNDED",
        "ORIGINAL_MOVED_NOTHING",
        "REFUND_EXCEEDED",
        "INSUFFICIENT_FUNDS",
        "CURRENCY_MISMATCH",
        "LINKED_FAILED",
        "ID_REUSED",
    ] {
        assert!(of(fate) > 3, "{fate}: {fates:?}");
    }
    for what in [(false, false), (false, true), (true, false), (true, true)] {
        assert!(fates[&("done", what.0, what.1)] > 20, "{what:?}: {fates:?}");
    }
}

/// Found by the property tests: what a refund overdrew has nothing to give, and a balanced transfer
/// that may find nothing is posted with nothing all the same.
#[test]
fn a_balanced_transfer_finds_nothing_on_an_account_that_a_refund_overdrew() {
    use ducat_engine::terms::{Balancing, DebitCap, Termed, Terms};
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        let sale = bank.paid(ALICE, SHOP, 50);
        bank.paid(SHOP, SUPPLIER, 50);
        let reversal = RefundRequest { allow_overdraft: true, ..refund(900, sale, None) };
        assert_eq!(bank.tried(reversal), Ok((50, true)));
        assert_eq!(bank.posted(SHOP), -50);
        let debit = Some(DebitCap::Available);
        let balancing = Some(Balancing { min: 0, debit, credit: None, source: None });
        let terms = Terms { balancing, ..Terms::default() };
        let asked = Termed::new(transfer(901, SHOP, ALICE, 10), terms).expect("a transfer");
        bank.done(asked);
        assert_eq!(bank.posted(SHOP), -50);
        bank.replays(u64::MAX);
    }
}
