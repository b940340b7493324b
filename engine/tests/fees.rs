//! Fees, by example: who pays what to whom, all or nothing, told the same for ever, and what the
//! journal says of them.

use ducat_engine::account::Impossible;
use ducat_engine::codec::{decode_all, encode};
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::fees::{FeeFault, FeeNote, FeeRule, Rounding, Schedule, TIERS_MAX, Tier};
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::money::{AMOUNT_MAX, CurrencyId};
use ducat_engine::record::{FeeDid, FeeEvent, Record};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;
use ducat_engine::terms::{Balancing, DebitCap, Termed, Terms};
use ducat_engine::testing::book::{self, Event, filled_in_full};
use ducat_engine::testing::workload::{GBP, USD};
use ducat_engine::transfer::{AccountSpec, AccountStatus, Outcome, TransferKind, TransferRequest};

#[path = "fees/captures.rs"]
mod captures;

const OUTSIDE: u128 = 1;
const ALICE: u128 = 2;
const SHOP: u128 = 3;
const HOUSE: u128 = 4;
const DOLLARS: u128 = 5;

fn account(number: u128) -> AccountId {
    AccountId::new(number).expect("not zero")
}

fn transfer(number: u128, debit: u128, credit: u128, amount: u128) -> TransferRequest {
    let kind = if debit == OUTSIDE { TransferKind::Deposit } else { TransferKind::Payment };
    let id = TransferId::new(number).expect("not zero");
    let (debit, credit) = (account(debit), account(credit));
    TransferRequest { id, debit, credit, amount, currency: None, kind, linked: false }
}

fn linked(transfer: TransferRequest) -> TransferRequest {
    TransferRequest { linked: true, ..transfer }
}

/// 1 flat and 10 % of the amount.
fn schedule(name: &str) -> Schedule {
    let tiers = vec![Tier { above: 0, rate_ppm: 100_000 }];
    let rule = FeeRule { flat: 1, tiers, min: 0, max: Some(20), rounding: Rounding::HalfUp };
    Schedule { name: name.to_owned(), currency: GBP, account: account(HOUSE), rule }
}

fn payments() -> FeeTarget {
    FeeTarget::Kind(TransferKind::Payment, GBP)
}

/// A ledger of which Alice has 100 and pays 1 and 10 % for payments, and its journal.
struct Bank {
    ledger: Ledger,
    events: Vec<Event>,
}

impl Bank {
    fn new(partitions: usize) -> Self {
        let mut bank = Self { ledger: book::empty(partitions, u64::MAX), events: Vec::new() };
        for number in [OUTSIDE, ALICE, SHOP, HOUSE, DOLLARS] {
            let (id, external) = (account(number), number == OUTSIDE);
            let currency = if number == DOLLARS { USD } else { GBP };
            let spec = AccountSpec { id, currency, overdraft_limit: 0, external };
            let (lsn, record) = bank.ledger.open_account(&spec).expect("new");
            bank.events.push(Event { lsn, time_ns: 0, record });
        }
        bank.ask(&[transfer(1 << 64, OUTSIDE, ALICE, 100)]);
        bank.define(schedule("card"));
        bank.attach(payments(), Some("card"));
        bank
    }

    fn note(&mut self, event: Option<(Lsn, Record)>) -> Option<Lsn> {
        let (lsn, record) = event?;
        self.events.push(Event { lsn, time_ns: 0, record });
        Some(lsn)
    }

    fn define(&mut self, schedule: Schedule) -> Option<Lsn> {
        let event = self.ledger.coordinator.define_fee(schedule).expect("allowed");
        self.note(event)
    }

    fn attach(&mut self, target: FeeTarget, name: Option<&str>) -> Option<Lsn> {
        let event = self.ledger.coordinator.attach_fee(target, name).expect("allowed");
        self.note(event)
    }

    fn ask<R: Clone + Into<Request>>(&mut self, requests: &[R]) -> Vec<(Outcome, Option<FeeNote>)> {
        let done = self.ledger.execute(0, &[requests]).expect("possible");
        let time_ns = done.time_ns;
        let events = done.records.into_iter();
        self.events.extend(events.map(|(lsn, record)| Event { lsn, time_ns, record }));
        let answer = done.answers.into_iter().next().expect("one");
        let told = filled_in_full(answer, &self.events).into_iter();
        told.map(|(outcome, _, _, _, fee)| (outcome, fee)).collect()
    }

    fn posted(&self, number: u128) -> i128 {
        let listing = self.ledger.coordinator.directory().get(account(number)).expect("listed");
        self.ledger.view(listing.slot).expect("hosted").posted
    }

    fn balances(&self) -> [i128; 3] {
        [ALICE, SHOP, HOUSE].map(|number| self.posted(number))
    }
}

/// A ledger that replays these events.
fn replay(partitions: usize, events: &[Event]) -> Result<Ledger, Impossible> {
    let mut ledger = book::empty(partitions, u64::MAX);
    events.iter().try_for_each(|event| ledger.apply(event.lsn, event.time_ns, &event.record))?;
    Ok(ledger)
}

fn taken(amount: u128) -> Option<FeeNote> {
    Some(FeeNote { schedule: 0, amount, refused: None })
}

#[test]
fn a_fee_is_paid_on_top_and_is_an_event_behind_the_transfer() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        let answers = bank.ask(&[transfer(10, ALICE, SHOP, 25)]);
        assert_eq!((answers[0].0.rejection, answers[0].1), (None, taken(4)), "2.5 is 3, and 1");
        assert_eq!(bank.balances(), [71, 25, 4]);
        let [.., decided, leg] = &bank.events[..] else { panic!("two events") };
        assert_eq!(answers[0].0.lsn, decided.lsn);
        let Record::FeeLeg(leg) = &leg.record else { panic!("{leg:?}") };
        assert_eq!((leg.of, leg.amount, leg.back), (transfer(10, 1, 2, 1).id, 4, 1));
        assert!(leg.posted().is_some());
        // Another kind is free, and so is what the house pays itself.
        let plain =
            TransferRequest { kind: TransferKind::Transfer, ..transfer(11, ALICE, SHOP, 1) };
        assert_eq!(bank.ask(&[plain])[0].1, None);
        assert_eq!(bank.ask(&[transfer(12, HOUSE, SHOP, 1)])[0].1, None);
        assert_eq!(bank.balances(), [70, 27, 3]);
        let replayed = replay(4, &bank.events).expect("what ran live replays");
        assert_eq!(replayed.summary(), bank.ledger.summary());
    }
}

/// Either all of it, or nothing of it, and the refusal says why.
#[test]
fn what_cannot_pay_its_fee_does_not_happen() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        let (outcome, fee) = bank.ask(&[transfer(10, ALICE, SHOP, 95)])[0];
        assert_eq!(outcome.rejection, Some(Rejection::FeeRefused));
        let refused = Some(Rejection::InsufficientFunds);
        assert_eq!(fee, Some(FeeNote { schedule: 0, amount: 11, refused }), "9.5 is 10, and 1");
        assert_eq!(bank.balances(), [100, 0, 0]);
        let Some(Record::FeeLeg(leg)) = bank.events.last().map(|event| &event.record) else {
            panic!("an event of the fee");
        };
        assert!(matches!(leg.did, FeeDid::Refused { rejection: Rejection::InsufficientFunds, .. }));
        // One that is refused itself says so, and nothing of a fee.
        let (outcome, fee) = bank.ask(&[transfer(11, ALICE, SHOP, 101)])[0];
        assert_eq!((outcome.rejection, fee), (Some(Rejection::InsufficientFunds), None));
        // The house cannot get it.
        let slot = bank.ledger.coordinator.directory().get(account(HOUSE)).expect("listed").slot;
        let set = bank.ledger.set_status(slot, AccountStatus::Frozen, "").expect("allowed");
        bank.note(Some(set));
        let (outcome, fee) = bank.ask(&[transfer(12, ALICE, SHOP, 10)])[0];
        let frozen = Some(Rejection::CreditAccountFrozen);
        assert_eq!(
            (outcome.rejection, fee.and_then(|fee| fee.refused)),
            (Some(Rejection::FeeRefused), frozen)
        );
        assert_eq!(bank.balances(), [100, 0, 0]);
        let replayed = replay(2, &bank.events).expect("what ran live replays");
        assert_eq!(replayed.summary(), bank.ledger.summary());
    }
}

#[test]
fn fees_of_a_group_are_taken_behind_its_last_member() {
    for partitions in [1, 2, 8] {
        let mut bank = Bank::new(partitions);
        // The second member is paid out of what the first brings.
        let group = [linked(transfer(10, ALICE, SHOP, 50)), transfer(11, SHOP, ALICE, 30)];
        let answers = bank.ask(&group);
        assert_eq!(answers.iter().map(|(_, fee)| *fee).collect::<Vec<_>>(), [taken(6), taken(4)]);
        assert_eq!(bank.balances(), [74, 16, 10]);
        let lsns: Vec<u64> = answers.iter().map(|(outcome, _)| outcome.lsn.0).collect();
        assert_eq!(lsns[1], lsns[0] + 1, "the members' events follow one another");
        let repeated = bank.ask(&group);
        for (first, again) in answers.iter().zip(&repeated) {
            assert_eq!(again.0, Outcome { repeat: true, ..first.0 });
            assert_eq!(again.1, first.1);
        }
        // The fee of the first cannot be paid once the second has taken the rest.
        let group = [linked(transfer(20, ALICE, SHOP, 10)), transfer(21, ALICE, SHOP, 64)];
        let answers = bank.ask(&group);
        let rules: Vec<_> = answers.iter().map(|(outcome, _)| outcome.rejection).collect();
        assert_eq!(rules, [Some(Rejection::FeeRefused), Some(Rejection::LinkedFailed)]);
        assert_eq!(answers[1].1, None, "it is not why");
        assert_eq!(bank.balances(), [74, 16, 10]);
        replay(2, &bank.events).expect("what ran live replays");
    }
}

/// Named after what other ledgers are known for: a fee charged twice, or recomputed.
#[test]
fn a_repeat_is_told_the_fee_of_its_first_time_whatever_the_schedule_is_now() {
    let mut bank = Bank::new(2);
    let asked = [transfer(10, ALICE, SHOP, 20)];
    let first = bank.ask(&asked)[0];
    assert_eq!(first.1, taken(3));
    let mut dearer = schedule("card");
    dearer.rule.flat = 7;
    let defined = bank.define(dearer.clone());
    assert!(defined.is_some());
    assert_eq!(bank.define(dearer), None, "so already");
    assert_eq!(bank.ask(&asked)[0], (Outcome { repeat: true, ..first.0 }, first.1));
    assert_eq!(bank.ask(&[transfer(11, ALICE, SHOP, 20)])[0].1, taken(9));
    bank.attach(payments(), None);
    assert_eq!(bank.attach(payments(), None), None, "so already");
    assert_eq!(bank.ask(&asked)[0], (Outcome { repeat: true, ..first.0 }, first.1));
    assert_eq!(bank.ask(&[transfer(12, ALICE, SHOP, 20)])[0].1, None);
    assert_eq!(bank.balances(), [28, 60, 12]);
    replay(1, &bank.events).expect("what ran live replays");
}

#[test]
fn an_accounts_own_schedule_goes_before_the_kinds() {
    let mut bank = Bank::new(1);
    bank.define(Schedule { rule: FeeRule::default(), ..schedule("free") });
    bank.attach(FeeTarget::Account(account(ALICE)), Some("free"));
    assert_eq!(bank.ask(&[transfer(10, ALICE, SHOP, 20)])[0].1, None, "it comes to nothing");
    assert_eq!(bank.ask(&[transfer(11, SHOP, ALICE, 10)])[0].1, taken(2));
    let quote = |kind, debit| bank.ledger.coordinator.quote(kind, account(debit), 25);
    let told = |kind, debit| quote(kind, debit).expect("known").map(|q| (q.schedule, q.amount));
    assert_eq!(told(TransferKind::Payment, ALICE), Some((1, 0)));
    assert_eq!(told(TransferKind::Payment, SHOP), Some((0, 4)));
    assert_eq!(told(TransferKind::Transfer, SHOP), None);
    assert_eq!(told(TransferKind::Fee, SHOP), None);
    assert_eq!(quote(TransferKind::Payment, 99), Err(FeeFault::AccountUnknown));
}

#[test]
fn a_balanced_transfer_does_not_get_around_its_fee() {
    let mut bank = Bank::new(2);
    let caps = Balancing { min: 1, debit: Some(DebitCap::Available), credit: None, source: None };
    let terms = Terms { balancing: Some(caps), ..Terms::default() };
    let most = transfer(10, ALICE, SHOP, 1_000);
    let asked: [Request; 1] = [Termed::new(most, terms).expect("a transfer").into()];
    let (outcome, fee) = bank.ask(&asked)[0];
    assert_eq!((outcome.rejection, fee), (Some(Rejection::FeeOnBalanced), None));
    bank.attach(payments(), None);
    let asked: [Request; 1] =
        [Termed::new(transfer(11, ALICE, SHOP, 1_000), terms).expect("a transfer").into()];
    assert_eq!(bank.ask(&asked)[0].0.rejection, None);
    assert_eq!(bank.balances(), [0, 100, 0]);
}

#[test]
fn what_cannot_be_a_schedule_changes_nothing() {
    let mut bank = Bank::new(1);
    let before = bank.ledger.summary().0;
    let rules = &mut bank.ledger.coordinator;
    for (schedule, fault) in [
        (schedule("Card"), FeeFault::Name),
        (schedule(""), FeeFault::Name),
        (Schedule { currency: USD, ..schedule("card") }, FeeFault::CurrencyFixed),
        (Schedule { currency: CurrencyId(1000), ..schedule("b") }, FeeFault::CurrencyUnknown),
        (Schedule { account: account(99), ..schedule("b") }, FeeFault::AccountUnknown),
        (Schedule { account: account(OUTSIDE), ..schedule("b") }, FeeFault::AccountExternal),
        (Schedule { account: account(DOLLARS), ..schedule("b") }, FeeFault::AccountCurrency),
    ] {
        assert_eq!(rules.define_fee(schedule.clone()), Err(fault), "{schedule:?}");
    }
    for (target, name, fault) in [
        (payments(), "wire", FeeFault::ScheduleUnknown),
        (FeeTarget::Account(account(99)), "card", FeeFault::AccountUnknown),
        (FeeTarget::Account(account(DOLLARS)), "card", FeeFault::AccountCurrency),
        (FeeTarget::Kind(TransferKind::Payment, USD), "card", FeeFault::AccountCurrency),
        (FeeTarget::Kind(TransferKind::Fee, GBP), "card", FeeFault::KindWithoutFee),
    ] {
        assert_eq!(rules.attach_fee(target, Some(name)), Err(fault), "{target:?}");
    }
    assert_eq!(bank.ledger.summary().0, before);
}

/// What no live run writes, replay refuses; and the longest schedule is a record.
#[test]
fn records_of_fees_are_read_back_and_held_against_the_ledger() {
    let mut bank = Bank::new(1);
    let tier = |at: usize| Tier { above: (at as u128) << 80, rate_ppm: 1_000_000 };
    let rule = FeeRule {
        flat: AMOUNT_MAX,
        tiers: (0..TIERS_MAX).map(tier).collect(),
        min: AMOUNT_MAX,
        max: Some(AMOUNT_MAX),
        rounding: Rounding::Down,
    };
    bank.define(Schedule { rule, ..schedule(&"x".repeat(32)) });
    bank.ask(&[transfer(10, ALICE, SHOP, 20)]);
    for event in &bank.events {
        let mut bytes = Vec::new();
        encode(&event.record, &mut bytes);
        let read: Vec<_> = decode_all(&bytes).map(|read| read.expect("it was encoded")).collect();
        assert_eq!(read, std::slice::from_ref(&event.record));
        assert!(decode_all(&bytes[..bytes.len() - 1]).any(|read| read.is_err()));
    }
    let last = bank.events.len() - 1;
    type Spoil = fn(&mut ducat_engine::record::FeeLeg);
    let spoils: [Spoil; 4] = [
        |leg| leg.back = 2,
        |leg| leg.amount += 1,
        |leg| leg.schedule = 9,
        |leg| leg.credit = leg.debit,
    ];
    for spoil in spoils {
        let mut events = bank.events.clone();
        let Record::FeeLeg(leg) = &mut events[last].record else { panic!("a leg") };
        spoil(leg);
        assert!(replay(1, &events).is_err());
    }
    let defined = |record: &Record| matches!(record, Record::FeeEvent(event) if matches!(**event, FeeEvent::Defined { .. }));
    let without: Vec<Event> =
        bank.events.iter().filter(|event| !defined(&event.record)).cloned().collect();
    assert!(replay(1, &without).is_err());
}

/// The workload that the ledger is compared with the serial model by has fees of every fate, and
/// notes and kinds beside them: a test that never meets a rule shows nothing about it.
#[test]
fn the_workload_takes_fees_and_has_notes() {
    use ducat_engine::model::SerialLedger;
    use ducat_engine::testing::rng::Rng;
    use ducat_engine::testing::workload::{self, Script, Step};
    let mut rng = Rng::new(11);
    let mut fates = std::collections::BTreeMap::new();
    for _ in 0..1_600 {
        let mut words = || -> Vec<u64> { (0..1 + rng.below(6)).map(|_| rng.next()).collect() };
        let raw: Vec<_> = (0..24).map(|_| (words()[0] as u8, words())).collect();
        let mut model = SerialLedger::new();
        for spec in workload::accounts() {
            model.open_account(&spec);
        }
        let mut count = |fate: &'static str| *fates.entry(fate).or_insert(0_u32) += 1;
        for step in Script::in_full(&raw).0 {
            match step {
                Step::Fee(step) => match model.fee(&step) {
                    Ok(Some(_)) => count("an event of schedules"),
                    Ok(None) => count("so already"),
                    Err(_) => count("no schedule"),
                },
                Step::Submit(requests) => {
                    let answers = model.submit_in_full(1_000, &requests);
                    for (request, (outcome, .., fee)) in requests.iter().zip(answers) {
                        match (fee, outcome.rejection) {
                            (Some(_), None) if outcome.repeat => count("taken, again"),
                            (Some(_), None) => count(match request.plain() {
                                Request::Capture(_) => "taken of a capture",
                                Request::Refund(_) => "taken of a refund",
                                _ => "taken",
                            }),
                            (Some(_), Some(_)) => count(match request.plain() {
                                Request::Capture(_) => "refused of a capture",
                                _ => "refused",
                            }),
                            (None, Some(Rejection::FeeOnBalanced)) => count("balanced"),
                            _ => {}
                        }
                        match (request.note(), outcome.rejection) {
                            (Some(_), None) => count("noted"),
                            (Some(_), Some(Rejection::IdReused)) => count("another note"),
                            _ => {}
                        }
                        let kind = request.transfer().map(|transfer| transfer.kind);
                        if kind == Some(TransferKind::Interest) && outcome.rejection.is_none() {
                            count("interest");
                        }
                    }
                }
                _ => {}
            }
        }
    }
    for fate in [
        "an event of schedules",
        "so already",
        "no schedule",
        "taken",
        "taken of a capture",
        "taken of a refund",
        "taken, again",
        "refused",
        "balanced",
        "noted",
        "another note",
        "interest",
    ] {
        assert!(fates.get(fate).copied().unwrap_or(0) >= 5, "{fate}: {fates:?}");
    }
    assert!(fates.contains_key("refused of a capture"), "{fates:?}");
}
