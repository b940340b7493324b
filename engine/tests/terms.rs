//! Terms: balanced amounts, sources of one total, conditions and versions, by example and by the
//! mistakes that such features are known for. That batches and partitions are invisible in them
//! is `serial_equivalence.rs`'s, on workloads that have them; that those meet every rule is
//! checked here.

use ducat_engine::codec::{decode_all, encode};
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::limits::{Bounds, LimitsChange};
use ducat_engine::model::{Answered, SerialLedger};
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{CaptureRequest, HoldRequest, RefundRequest, Request, VoidRequest};
use ducat_engine::terms::{
    AccountTerms, Balancing, CreditCap, DebitCap, Range, Source, Termed, Terms, TermsFault,
};
use ducat_engine::testing::book::{Book, Event, filled_in_full, replay};
use ducat_engine::testing::rng::Rng;
use ducat_engine::testing::workload::{self, GBP, Script, Step};
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferKind, TransferRequest};
use std::collections::BTreeMap;

const OUTSIDE: u128 = 1;
const A: u128 = 2;
const B: u128 = 3;
const C: u128 = 4;

fn account(id: u128) -> AccountId {
    AccountId::new(id).expect("not zero")
}

fn transfer_id(id: u128) -> TransferId {
    TransferId::new(id).expect("not zero")
}

fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> TransferRequest {
    TransferRequest {
        id: transfer_id(id),
        debit: account(debit),
        credit: account(credit),
        amount,
        currency: None,
        kind: match OUTSIDE {
            outside if debit == outside => TransferKind::Deposit,
            outside if credit == outside => TransferKind::Withdrawal,
            _ => TransferKind::Transfer,
        },
        linked: false,
    }
}

fn termed(request: impl Into<Request>, terms: Terms) -> Request {
    Termed::new(request, terms).expect("it can have terms").into()
}

fn up_to(request: TransferRequest, balancing: Balancing) -> Request {
    termed(request, Terms { balancing: Some(balancing), ..Terms::default() })
}

const AVAILABLE: Balancing =
    Balancing { min: 1, debit: Some(DebitCap::Available), credit: None, source: None };

fn at_version(version: u64) -> AccountTerms {
    AccountTerms { version: Some(Lsn(version)), ..AccountTerms::default() }
}

/// A ledger of so many partitions, beside the model: an outside and three accounts, of which
/// [`B`] may overdraw 50.
struct Bank {
    book: Book,
    model: SerialLedger,
}

impl Bank {
    fn new(partitions: usize) -> Self {
        let ledger = ducat_engine::testing::book::empty(partitions, u64::MAX);
        let mut bank =
            Self { book: Book { ledger, events: Vec::new() }, model: SerialLedger::new() };
        for id in [OUTSIDE, A, B, C] {
            let spec = AccountSpec {
                id: account(id),
                currency: GBP,
                overdraft_limit: if id == B { 50 } else { 0 },
                external: id == OUTSIDE,
            };
            bank.book.open(0, &spec);
            bank.model.open_account(&spec);
        }
        bank
    }

    /// Asks both at once and checks that they agree.
    fn ask(&mut self, requests: &[Request]) -> Vec<Answered> {
        let events = self.book.events.clone();
        let read = |lsn| ducat_engine::testing::book::read(&events, lsn);
        let done = self.book.ledger.execute_reading(0, &[requests], read).expect("possible");
        let time_ns = done.time_ns;
        let events = done.records.into_iter();
        self.book.events.extend(events.map(|(lsn, record)| Event { lsn, time_ns, record }));
        let answer = done.answers.into_iter().next().expect("an answer");
        let answers = filled_in_full(answer, &self.book.events);
        assert_eq!(answers, self.model.submit_in_full(0, requests));
        for id in [OUTSIDE, A, B, C] {
            let slot = self.book.ledger.coordinator.directory().get(account(id)).expect("listed");
            assert_eq!(self.book.ledger.view(slot.slot), self.model.account(account(id)));
        }
        answers
    }

    /// One request: the rule it broke, and what it moved.
    fn one(&mut self, request: impl Into<Request>) -> (Option<Rejection>, u128) {
        let answers = self.ask(&[request.into()]);
        (answers[0].0.rejection, answers[0].3.map_or(0, |terms| terms.moved))
    }

    fn fund(&mut self, id: u128, to: u128, amount: u128) {
        assert_eq!(self.one(transfer(id, OUTSIDE, to, amount)).0, None);
    }

    fn posted(&self, id: u128) -> i128 {
        self.model.account(account(id)).expect("open").posted
    }

    fn version(&self, id: u128) -> u64 {
        self.model.account(account(id)).expect("open").version.0
    }

    fn limits(&mut self, id: u128, bounds: Bounds) {
        let change = LimitsChange {
            overdraft_limit: None,
            floor: Some(bounds.floor),
            ceiling: Some(bounds.ceiling),
        };
        self.book.change_limits(0, account(id), &change).expect("allowed");
        self.model.change_limits(account(id), &change).expect("allowed");
    }

    /// The same ledger by replay, on another number of partitions.
    fn check_replay(&self) {
        for partitions in [1, 4] {
            let mut again = ducat_engine::testing::book::empty(partitions, u64::MAX);
            for event in &self.book.events {
                again.apply(event.lsn, event.time_ns, &event.record).expect("it happened");
            }
            assert_eq!(again.summary(), self.book.ledger.summary());
            for id in [OUTSIDE, A, B, C] {
                let slot = again.coordinator.directory().get(account(id)).expect("listed").slot;
                assert_eq!(again.view(slot), self.model.account(account(id)));
            }
        }
    }
}

/// On one partition all is settled where it is prepared, on four nothing is.
fn on_each(play: impl Fn(Bank)) {
    [1, 2, 4].into_iter().for_each(|partitions| play(Bank::new(partitions)));
}

#[test]
fn a_balanced_transfer_moves_what_is_available_up_to_its_amount() {
    on_each(|mut bank| {
        bank.fund(1, B, 30);
        // The overdraft is available; of its own it has nothing then.
        assert_eq!(bank.one(up_to(transfer(2, B, C, 70), AVAILABLE)), (None, 70));
        let own = Balancing { debit: Some(DebitCap::Balance), ..AVAILABLE };
        let poor = Some(Rejection::InsufficientFunds);
        assert_eq!(bank.one(up_to(transfer(3, B, C, 70), own)), (poor, 0));
        assert_eq!(bank.one(up_to(transfer(4, B, C, 70), AVAILABLE)), (None, 10));
        assert_eq!(bank.one(up_to(transfer(5, B, C, 70), AVAILABLE)), (poor, 0));
        // It may find nothing.
        let any = Balancing { min: 0, ..AVAILABLE };
        assert_eq!(bank.one(up_to(transfer(6, B, C, 70), any)), (None, 0));
        assert_eq!((bank.posted(B), bank.posted(C)), (-50, 80));
        // The same again: the same amount, although now there would be another.
        bank.fund(7, B, 500);
        let again = bank.ask(&[up_to(transfer(4, B, C, 70), AVAILABLE)]);
        assert!(again[0].0.repeat);
        assert_eq!((again[0].0.rejection, again[0].3.expect("told").moved), (None, 10));
        // Other terms under the id are another request.
        for other in [
            up_to(transfer(4, B, C, 71), AVAILABLE),
            up_to(transfer(4, B, C, 70), any),
            up_to(transfer(4, B, C, 10), AVAILABLE),
            transfer(4, B, C, 10).into(),
            transfer(4, B, C, 70).into(),
        ] {
            assert_eq!(bank.one(other).0, Some(Rejection::IdReused));
        }
        bank.check_replay();
    });
}

#[test]
fn a_balanced_transfer_gives_up_below_its_minimum() {
    on_each(|mut bank| {
        bank.fund(1, A, 30);
        let least = |min| Balancing { min, ..AVAILABLE };
        let poor = Some(Rejection::InsufficientFunds);
        assert_eq!(bank.one(up_to(transfer(2, A, C, 70), least(31))), (poor, 0));
        assert_eq!(bank.one(up_to(transfer(3, A, C, 70), least(30))), (None, 30));
        let contradicts = Some(Rejection::AmountBelowMinimum);
        assert_eq!(bank.one(up_to(transfer(4, A, C, 70), least(71))), (contradicts, 0));
        let zero = Some(Rejection::AmountZero);
        assert_eq!(bank.one(up_to(transfer(5, A, C, 0), least(0))), (zero, 0));
        bank.check_replay();
    });
}

#[test]
fn a_balanced_transfer_fills_its_credit_account() {
    on_each(|mut bank| {
        bank.fund(1, A, 100);
        bank.limits(C, Bounds { floor: None, ceiling: Some(40) });
        let plain = transfer(2, A, C, 70);
        assert_eq!(bank.one(plain).0, Some(Rejection::CreditAccountCeiling));
        let room = Balancing { min: 1, debit: None, credit: Some(CreditCap::Room), source: None };
        assert_eq!(bank.one(up_to(transfer(3, A, C, 70), room)), (None, 40));
        let full = Some(Rejection::CreditAccountCeiling);
        assert_eq!(bank.one(up_to(transfer(4, A, C, 70), room)), (full, 0));
        // What B owes, and no more.
        assert_eq!(bank.one(transfer(5, B, A, 25)).0, None);
        let debt = Balancing { credit: Some(CreditCap::Debt), ..room };
        assert_eq!(bank.one(up_to(transfer(6, A, B, 70), debt)), (None, 25));
        let even = Some(Rejection::CreditAccountOwesLess);
        assert_eq!(bank.one(up_to(transfer(7, A, B, 70), debt)), (even, 0));
        // The side that is not balanced must have it all.
        let rich = transfer(8, OUTSIDE, C, 70);
        assert_eq!(bank.one(up_to(rich, AVAILABLE)), (full, 0));
        bank.check_replay();
    });
}

#[test]
fn balanced_legs_of_one_group_build_on_each_other() {
    on_each(|mut bank| {
        bank.fund(1, A, 30);
        let linked = |request: TransferRequest| TransferRequest { linked: true, ..request };
        let all = |request| up_to(request, AVAILABLE);
        // What A has to B, all that B then has to C, and back to A.
        let group = [all(linked(transfer(2, A, B, 99))), all(linked(transfer(3, B, C, 99))), {
            all(transfer(4, C, A, 7))
        }];
        let moved: Vec<u128> =
            bank.ask(&group).iter().map(|answer| answer.3.expect("told").moved).collect();
        assert_eq!(moved, [30, 80, 7]);
        // One member fails: nothing remains of any.
        let group = [all(linked(transfer(5, C, A, 99))), transfer(6, C, A, 1).into()];
        let rules: Vec<_> = bank.ask(&group).iter().map(|answer| answer.0.rejection).collect();
        let expected = [Rejection::LinkedFailed, Rejection::InsufficientFunds];
        assert_eq!(rules, expected.map(Some));
        assert_eq!([A, B, C].map(|id| bank.posted(id)), [7, -50, 73]);
        bank.check_replay();
    });
}

#[test]
fn sources_give_in_order_and_in_sum_what_was_asked() {
    let source = |last| Balancing {
        min: 0,
        debit: Some(DebitCap::Available),
        credit: None,
        source: Some(Source { total: 60, last }),
    };
    let payment = |first: u128, caps: [u128; 3]| {
        let payers = [A, B, C];
        let legs = (0..3).map(move |at| {
            let leg = transfer(first + at as u128, payers[at], OUTSIDE, caps[at]);
            up_to(TransferRequest { linked: at < 2, ..leg }, source(at == 2))
        });
        legs.collect::<Vec<_>>()
    };
    let moved = |answers: Vec<Answered>| -> Vec<(Option<Rejection>, u128)> {
        let one = |answer: &Answered| (answer.0.rejection, answer.3.expect("told").moved);
        answers.iter().map(one).collect()
    };
    on_each(|mut bank| {
        bank.fund(1, A, 10);
        bank.fund(2, C, 70);
        // A has 10, B may give 20 of its 50, C the rest.
        let paid = moved(bank.ask(&payment(10, [60, 20, 60])));
        assert_eq!(paid, [(None, 10), (None, 20), (None, 30)]);
        // The first has it all: the others move nothing.
        bank.fund(3, A, 60);
        let paid = moved(bank.ask(&payment(20, [60, 20, 60])));
        assert_eq!(paid, [(None, 60), (None, 0), (None, 0)]);
        // B has 30 left and C 40, but the last may give 29 only: nobody pays.
        let failed = Some(Rejection::LinkedFailed);
        let short = Some(Rejection::SourcesFallShort);
        let paid = moved(bank.ask(&payment(30, [60, 60, 29])));
        assert_eq!(paid, [(failed, 0), (failed, 0), (short, 0)]);
        let paid = moved(bank.ask(&payment(40, [60, 60, 30])));
        assert_eq!(paid, [(None, 0), (None, 30), (None, 30)]);
        // Two payments in one group, each of its own sources.
        bank.fund(4, A, 70);
        let mut both = payment(60, [60, 60, 60]);
        both[2].set_linked(true);
        both.extend(payment(70, [60, 60, 60]));
        let rules: Vec<_> = bank.ask(&both).iter().map(|answer| answer.0.rejection).collect();
        assert_eq!(rules[5], short);
        bank.fund(5, C, 50);
        let mut both = payment(80, [60, 60, 60]);
        both[2].set_linked(true);
        both.extend(payment(90, [60, 60, 60]));
        let paid: Vec<u128> = moved(bank.ask(&both)).iter().map(|(_, moved)| *moved).collect();
        assert_eq!(paid, [60, 0, 0, 10, 0, 50]);
        // Not enough in all.
        let paid = moved(bank.ask(&payment(50, [60, 60, 60])));
        assert_eq!(paid[2], (short, 0));
        bank.check_replay();
    });
}

/// The accounts of a capture are those of its hold, also where its own group places that: what came
/// before in the batch counts. And what moved nothing cannot be given back.
#[test]
fn a_capture_of_the_own_groups_hold_has_its_version_and_nothing_is_not_refunded() {
    on_each(|mut bank| {
        bank.fund(1, A, 100);
        let read = bank.version(A);
        let hold = |id, linked| HoldRequest {
            id: transfer_id(id),
            debit: account(A),
            credit: account(B),
            amount: 5,
            currency: None,
            kind: TransferKind::Transfer,
            timeout_ns: 0,
            over_capture_max: 0,
            linked,
        };
        let capture = |id, hold, version| {
            let capture = CaptureRequest {
                id: transfer_id(id),
                hold: transfer_id(hold),
                amount: None,
                currency: None,
                last: true,
                linked: false,
            };
            termed(capture, Terms { debit: at_version(version), ..Terms::default() })
        };
        let asked = [transfer(2, A, C, 1).into(), hold(3, true).into(), capture(4, 3, read)];
        let answers = bank.ask(&asked);
        assert_eq!(answers[2].0.rejection, Some(Rejection::DebitAccountVersion));
        let read = bank.version(A);
        let answers = bank.ask(&[hold(5, true).into(), capture(6, 5, read)]);
        assert!(answers.iter().all(|answer| answer.0.rejection.is_none()));
        // A balanced transfer that finds nothing, and its refund.
        let any = Balancing { min: 0, ..AVAILABLE };
        let empty = transfer(7, C, A, 9);
        bank.ask(&[transfer(8, C, B, 1).into()]);
        let answers = bank.ask(&[up_to(empty, any)]);
        assert_eq!((answers[0].0.rejection, answers[0].3.map(|told| told.moved)), (None, Some(0)));
        let refund = RefundRequest {
            id: transfer_id(9),
            of: transfer_id(7),
            of_lsn: None,
            amount: None,
            currency: None,
            allow_overdraft: false,
            linked: false,
            original: None,
        };
        let answers = bank.ask(&[refund.into()]);
        assert_eq!(answers[0].0.rejection, Some(Rejection::OriginalMovedNothing));
        bank.check_replay();
    });
}

#[test]
fn a_version_is_a_lock_that_anything_opens_but_the_own_group() {
    on_each(|mut bank| {
        bank.fund(1, A, 100);
        let read = bank.version(A);
        let locked = |request: TransferRequest, version| {
            let terms = Terms { debit: at_version(version), ..Terms::default() };
            termed(request, terms)
        };
        // Two who read the same: in one batch, the first wins; the found version is told.
        let rivals = [locked(transfer(2, A, B, 10), read), locked(transfer(3, A, B, 10), read)];
        let answers = bank.ask(&rivals);
        let won = answers[0].0.lsn;
        assert_eq!(answers[0].3.expect("told").debit_version, Some(won));
        assert_eq!(answers[1].0.rejection, Some(Rejection::DebitAccountVersion));
        assert_eq!(answers[1].3.expect("told").debit_version, Some(won));
        // The members of one group read before it, all of them.
        let linked = TransferRequest { linked: true, ..transfer(4, A, B, 10) };
        let group = [locked(linked, won.0), locked(transfer(5, A, B, 10), won.0)];
        assert!(bank.ask(&group).iter().all(|answer| answer.0.rejection.is_none()));
        // A hold, its end, a status, limits: each moves it on, also within one batch.
        let hold = HoldRequest {
            id: transfer_id(6),
            debit: account(A),
            credit: account(B),
            amount: 5,
            currency: None,
            kind: TransferKind::Transfer,
            timeout_ns: 0,
            over_capture_max: 0,
            linked: false,
        };
        let read = bank.version(A);
        let answers = bank.ask(&[hold.into(), locked(transfer(7, A, B, 1), read)]);
        assert_eq!(answers[1].0.rejection, Some(Rejection::DebitAccountVersion));
        let read = bank.version(A);
        assert_eq!(read, answers[0].0.lsn.0);
        let void = VoidRequest { id: transfer_id(8), hold: transfer_id(6), linked: false };
        let answers = bank.ask(&[void.into(), locked(transfer(9, A, B, 1), read)]);
        assert_eq!(answers[1].0.rejection, Some(Rejection::DebitAccountVersion));
        let read = bank.version(A);
        bank.book.set_status(0, account(A), AccountStatus::Active, "").expect("allowed");
        bank.model.set_status(account(A), AccountStatus::Active, "").expect("allowed");
        assert_ne!(bank.version(A), read);
        let read = bank.version(A);
        bank.limits(A, Bounds { floor: Some(1), ceiling: None });
        assert_ne!(bank.version(A), read);
        // A refusal moves nothing on.
        let read = bank.version(A);
        assert!(bank.one(transfer(10, A, B, 1_000)).0.is_some());
        assert_eq!(bank.one(locked(transfer(11, A, B, 1), read)).0, None);
        bank.check_replay();
    });
}

#[test]
fn conditions_are_on_the_figures_right_after_their_leg() {
    let at_least = |figure| Range { at_least: Some(figure), at_most: None };
    let at_most = |figure| Range { at_least: None, at_most: Some(figure) };
    on_each(|mut bank| {
        bank.fund(1, B, 100);
        let debit = |terms| Terms { debit: terms, ..Terms::default() };
        let credit = |terms| Terms { credit: terms, ..Terms::default() };
        let posted = |posted| AccountTerms { posted, ..AccountTerms::default() };
        let available = |available| AccountTerms { available, ..AccountTerms::default() };
        let no_debit = Some(Rejection::DebitAccountCondition);
        let no_credit = Some(Rejection::CreditAccountCondition);
        let cases = [
            (debit(posted(at_least(91))), no_debit),
            (debit(posted(at_least(90))), None),
            (debit(available(at_least(131))), no_debit),
            (debit(available(at_least(130))), None),
            (debit(posted(at_most(69))), no_debit),
            (debit(posted(at_most(70))), None),
            (credit(posted(at_most(39))), no_credit),
            (credit(available(at_least(41))), no_credit),
            (credit(available(at_most(40))), None),
        ];
        for (at, (terms, expected)) in cases.into_iter().enumerate() {
            let request = transfer(2 + at as u128, B, C, 10);
            assert_eq!(bank.one(termed(request, terms)).0, expected, "{terms:?}");
        }
        // Holds count for what is available, and captures have conditions too.
        let hold = HoldRequest {
            id: transfer_id(20),
            debit: account(B),
            credit: account(C),
            amount: 60,
            currency: None,
            kind: TransferKind::Transfer,
            timeout_ns: 0,
            over_capture_max: 0,
            linked: false,
        };
        let rule = bank.one(termed(hold, debit(available(at_least(51))))).0;
        assert_eq!(rule, no_debit);
        let hold = HoldRequest { id: transfer_id(21), ..hold };
        assert_eq!(bank.one(termed(hold, debit(available(at_least(50))))).0, None);
        let capture = CaptureRequest {
            id: transfer_id(22),
            hold: transfer_id(21),
            amount: Some(20),
            currency: None,
            last: false,
            linked: false,
        };
        assert_eq!(bank.one(termed(capture, credit(posted(at_most(59))))).0, no_credit);
        let capture = CaptureRequest { id: transfer_id(23), ..capture };
        let both = Terms {
            debit: available(at_least(50)),
            credit: posted(at_most(60)),
            ..{ Terms::default() }
        };
        assert_eq!(bank.one(termed(capture, both)), (None, 20));
        bank.check_replay();
    });
}

#[test]
fn what_can_have_no_terms_is_said_so() {
    let void = VoidRequest { id: transfer_id(1), hold: transfer_id(2), linked: false };
    let locked = Terms { debit: at_version(1), ..Terms::default() };
    assert_eq!(Termed::new(void, locked), Err(TermsFault::Request));
    let plain = transfer(1, A, B, 1);
    assert_eq!(Termed::new(plain, Terms::default()), Err(TermsFault::Nothing));
    let once = Termed::new(plain, locked).expect("allowed");
    assert_eq!(Termed::new(once, locked), Err(TermsFault::Request));
    let capture = CaptureRequest {
        id: transfer_id(1),
        hold: transfer_id(2),
        amount: None,
        currency: None,
        last: false,
        linked: false,
    };
    let balanced = Terms { balancing: Some(AVAILABLE), ..Terms::default() };
    assert_eq!(Termed::new(capture, balanced), Err(TermsFault::Balancing));
}

#[test]
fn a_thousand_legs_of_all_kinds_are_one() {
    on_each(|mut bank| {
        bank.fund(1, A, 100_000);
        let hold = |id: u128| HoldRequest {
            id: transfer_id(id),
            debit: account(A),
            credit: account(B),
            amount: 3,
            currency: None,
            kind: TransferKind::Transfer,
            timeout_ns: 0,
            over_capture_max: 0,
            linked: true,
        };
        let leg = |at: u128| -> Request {
            let id = 1_000 + at;
            match at % 5 {
                0 => hold(id).into(),
                1 => CaptureRequest {
                    id: transfer_id(id),
                    hold: transfer_id(id - 1),
                    amount: Some(2),
                    currency: None,
                    last: false,
                    linked: true,
                }
                .into(),
                2 => {
                    let hold = transfer_id(id - 2);
                    VoidRequest { id: transfer_id(id), hold, linked: true }.into()
                }
                3 => TransferRequest { linked: true, ..transfer(id, B, C, 1) }.into(),
                _ => up_to(TransferRequest { linked: true, ..transfer(id, B, C, 9) }, AVAILABLE),
            }
        };
        let mut group: Vec<Request> = (0..1_000).map(leg).collect();
        group[999].set_linked(false);
        let answers = bank.ask(&group);
        assert!(answers.iter().all(|answer| answer.0.rejection.is_none()));
        // The last leg fails: none of a thousand happens.
        let before = bank.posted(A);
        let mut again: Vec<Request> = (0..999).map(|at| leg(at + 5_000)).collect();
        again.push(transfer(9_999, C, A, 1_000_000).into());
        let answers = bank.ask(&again);
        assert_eq!(answers[999].0.rejection, Some(Rejection::InsufficientFunds));
        let failed = Some(Rejection::LinkedFailed);
        assert!(answers[..999].iter().all(|answer| answer.0.rejection == failed));
        assert_eq!(bank.posted(A), before);
        bank.check_replay();
    });
}

/// What the workload of the property tests comes to, counted over many scripts: a test that never
/// meets a rule shows nothing about it.
#[test]
fn the_workload_meets_every_rule_and_moves_less_than_asked() {
    let mut rng = Rng::new(7);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..400 {
        let steps = 1 + rng.below(40);
        let words = |rng: &mut Rng| (0..=rng.below(7)).map(|_| rng.next()).collect();
        let raw: Vec<_> = (0..steps).map(|_| (rng.next() as u8, words(&mut rng))).collect();
        let mut book = Book::new(2, u64::MAX);
        for step in &Script::new(&raw).0 {
            let Step::Submit(requests) = step else { continue };
            let done = book.ledger.execute(1_000, &[requests]).expect("possible");
            for (lsn, record) in done.records {
                count(&record, &mut counts);
                let mut bytes = Vec::new();
                encode(&record, &mut bytes);
                let read: Result<Vec<Record>, _> = decode_all(&bytes).collect();
                assert_eq!(read.expect("it was encoded"), std::slice::from_ref(&record));
                book.events.push(Event { lsn, time_ns: done.time_ns, record });
            }
        }
        let again = replay(4, u64::MAX, &book.events).expect("it happened");
        for spec in workload::accounts() {
            let slot = |ledger: &ducat_engine::ledger::Ledger| {
                ledger.coordinator.directory().get(spec.id).expect("listed").slot
            };
            assert_eq!(again.view(slot(&again)), book.ledger.view(slot(&book.ledger)));
        }
    }
    let many = |what: &str| counts.get(what).copied().unwrap_or(0);
    for what in [
        "DEBIT_ACCOUNT_VERSION",
        "CREDIT_ACCOUNT_VERSION",
        "DEBIT_ACCOUNT_CONDITION",
        "CREDIT_ACCOUNT_CONDITION",
        "CREDIT_ACCOUNT_OWES_LESS",
        "SOURCES_FALL_SHORT",
        "AMOUNT_BELOW_MINIMUM",
        "posted in part",
        "posted in full",
        "posted with nothing",
        "a later source",
        "at a version",
        "within figures",
        "captured",
        "held",
    ] {
        assert!(many(what) >= 5, "{what}: {counts:?}");
    }
}

fn count(record: &Record, counts: &mut BTreeMap<&'static str, u32>) {
    let Record::Termed(termed) = record else { return };
    let mut note = |what| *counts.entry(what).or_default() += 1;
    let sides = [termed.terms.debit, termed.terms.credit];
    if let Some(rejection) = record.rejection() {
        return note(rejection.code());
    }
    if sides.iter().any(|side| side.version.is_some()) {
        note("at a version");
    }
    if sides.iter().any(|side| !side.posted.is_open() || !side.available.is_open()) {
        note("within figures");
    }
    match &termed.record {
        Record::Captured(_) => note("captured"),
        Record::Held(_) => note("held"),
        Record::Posted(posted) | Record::PostedLinked(posted) => {
            match posted.amount {
                0 => note("posted with nothing"),
                amount if amount < termed.asked => note("posted in part"),
                _ => note("posted in full"),
            }
            let source = termed.terms.balancing.and_then(|balancing| balancing.source);
            if source.is_some_and(|source| source.last) && posted.amount > 0 {
                note("a later source");
            }
        }
        other => panic!("{other:?} has no terms"),
    }
}
