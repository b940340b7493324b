//! Dry runs against what happens: what one says is what the same requests are told when they come
//! next, in every field, and what would be journalled is what is.
//!
//! `DUCAT_CASES` sets the number of cases of all properties together (default 3,000).

use ducat_engine::account_event::Opening;
use ducat_engine::dry_run::Excerpt;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::profile::Details;
use ducat_engine::record::Record;
use ducat_engine::request::{HoldRequest, RefundRequest, Request, VoidRequest};
use ducat_engine::testing::book::{self, Book, Event, filled_in_full};
use ducat_engine::testing::cases;
use ducat_engine::testing::fees::FeeStep;
use ducat_engine::testing::workload::{self, Script, Step};
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountView, TransferKind, TransferRequest,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: cases(3_000, 100),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

/// When scripts begin, nanoseconds since the Unix epoch.
const BEGIN_NS: u64 = 1_000;

/// Asks first, then does it, and holds one against the other.
fn submit(book: &mut Book, now_ns: u64, requests: &[Request]) {
    let events = &book.events;
    let dry = book.ledger.dry_run(now_ns, requests, |lsn| book::read(events, lsn));
    let dry = dry.expect("possible");
    assert_eq!(dry.as_of, Lsn(book.events.len() as u64));
    let Book { ledger, events } = &mut *book;
    let done = ledger.execute_reading(now_ns, &[requests], |lsn| book::read(events, lsn));
    let done = done.expect("possible");
    assert_eq!(dry.records, done.records);
    assert_eq!(dry.time_ns, done.time_ns);
    let time_ns = done.time_ns;
    let event = |(lsn, record)| Event { lsn, time_ns, record };
    book.events.extend(done.records.into_iter().map(event));
    let [answer] = <[_; 1]>::try_from(done.answers).expect("one answer");
    let said = filled_in_full(dry.answer, &book.events);
    assert_eq!(said, filled_in_full(answer, &book.events));
}

/// The part of an excerpt that changes of one account need.
fn excerpt(book: &Book, now_ns: u64, id: AccountId) -> Excerpt {
    book.ledger.coordinator.excerpt_of_accounts([id], now_ns)
}

fn stands(book: &Book, id: AccountId) -> Option<(AccountView, Option<Details>)> {
    let slot = book.ledger.coordinator.directory().get(id)?.slot;
    let details = book.ledger.coordinator.profiles().get(slot).map(|d| Details::clone(d));
    Some((book.ledger.view(slot)?, details))
}

type Said = Result<(AccountView, Option<Details>), AccountRejection>;

fn plain(dry: Result<ducat_engine::dry_run::DryChange, AccountRejection>) -> Said {
    dry.map(|(view, details)| (view, details.map(|details| Details::clone(&details))))
}

/// Holds what was said of a change against what it did.
fn compare<T>(book: &Book, id: AccountId, said: Said, done: Result<T, AccountRejection>) {
    match done {
        Ok(_) => assert_eq!(said.ok(), stands(book, id)),
        Err(why) => assert_eq!(said, Err(why)),
    }
}

/// As the engine opens one: an account that exists is compared before anything else is judged.
fn open(book: &mut Book, now_ns: u64, opening: &Opening) -> AccountOutcome {
    let coordinator = &book.ledger.coordinator;
    let Some(listing) = coordinator.directory().get(opening.spec.id) else {
        return book.open_with(now_ns, opening);
    };
    let view = book.ledger.view(listing.slot).expect("hosted");
    if coordinator.was_opened_so(listing.slot, &view.spec, opening) {
        AccountOutcome::Exists(view.opened_lsn)
    } else {
        AccountOutcome::Refused(AccountRejection::ExistsDifferent)
    }
}

/// Tries a change of schedules of fees, does it, and holds one against the other.
fn change_fees(book: &mut Book, now_ns: u64, step: &FeeStep) {
    let coordinator = &book.ledger.coordinator;
    let before = coordinator.fees().clone();
    let said = match step {
        FeeStep::Define(schedule) => coordinator.dry_run_fee(schedule),
        FeeStep::Attach(target, name) => coordinator.dry_run_attached_fee(*target, *name),
    };
    let done = book.fee(now_ns, step);
    let said = match (said, done) {
        (Ok(said), Ok(event)) => {
            assert_eq!(said.changed, event.is_some());
            said
        }
        (said, done) => return assert_eq!(said.err(), done.err()),
    };
    let after = book.ledger.coordinator.fees();
    match step {
        FeeStep::Define(schedule) => {
            let number = before.find(&schedule.name);
            let there = number.and_then(|number| Some((number, before.get(number)?.clone())));
            assert_eq!(said.before, there);
        }
        FeeStep::Attach(..) => {
            // Exactly what is told is gone.
            let gone: Vec<_> =
                before.attachments().filter(|a| !after.attachments().any(|b| b == *a)).collect();
            let replaced = said.before.filter(|_| said.changed);
            assert_eq!(replaced.map(|(number, _)| number), gone.first().map(|(_, number)| *number));
        }
    }
}

fn step(book: &mut Book, now_ns: &mut u64, step: &Step) {
    let now = *now_ns;
    match step {
        Step::Submit(requests) => submit(book, now, requests),
        Step::Wait(ns) => *now_ns += ns,
        Step::SetStatus(id, status, why) => {
            let before = stands(book, *id);
            let excerpt = excerpt(book, now, *id);
            let said = excerpt.set_status(book.ledger.copies(&excerpt), *id, *status, why);
            let same = before.as_ref().is_some_and(|(view, details)| {
                let note = details.as_ref().and_then(|details| details.note.as_ref());
                let reason = note.map_or("", |note| note.reason.as_str());
                view.status == *status && (why.is_empty() || *why == reason)
            });
            if same {
                return assert_eq!(plain(said).ok(), before, "nothing to change");
            }
            let done = book.set_status(now, *id, *status, why);
            compare(book, *id, plain(said), done);
        }
        Step::ChangeProfile(id, change) => {
            let excerpt = excerpt(book, now, *id);
            let said = excerpt.change_profile(book.ledger.copies(&excerpt), *id, change);
            let done = book.change_profile(now, *id, change);
            compare(book, *id, plain(said), done);
        }
        Step::ChangeLimits(id, change) => {
            let excerpt = excerpt(book, now, *id);
            let said = excerpt.change_limits(book.ledger.copies(&excerpt), *id, change);
            let done = book.change_limits(now, *id, change);
            compare(book, *id, plain(said), done);
        }
        Step::Open(opening) => {
            // Twice: the second is held against the first.
            let said = book.ledger.dry_run_openings(now, &[opening.clone(), opening.clone()]);
            let done = [open(book, now, opening), open(book, now, opening)];
            assert_eq!(said, done);
        }
        Step::Define(code, digits) => drop(book.define(now, code, *digits)),
        Step::Fee(fee) => change_fees(book, now, fee),
    }
}

proptest! {
    #![proptest_config(config())]

    /// Everything that can be asked, at any moment. What is found of ids that are about to be forgotten
    /// is tested where they are remembered.
    #[test]
    fn what_is_said_is_what_happens(
        raw in vec((any::<u8>(), vec(any::<u64>(), 1..7)), 1..24),
        partitions in prop_oneof![Just(1_usize), Just(2), Just(4), Just(8)],
    ) {
        let script = Script::in_full(&raw);
        let mut book = Book::new(partitions, u64::MAX);
        let mut now_ns = BEGIN_NS;
        for one in &script.0 {
            step(&mut book, &mut now_ns, one);
        }
    }
}

fn id(n: u128) -> TransferId {
    TransferId::new(n).expect("not zero")
}

fn deposit(n: u128, amount: u128) -> TransferRequest {
    TransferRequest {
        id: id(n),
        debit: workload::account(0),
        credit: workload::account(1),
        amount,
        currency: None,
        kind: TransferKind::Deposit,
        linked: false,
    }
}

#[test]
fn a_dry_run_leaves_no_trace() {
    let mut book = Book::new(2, u64::MAX);
    submit(&mut book, BEGIN_NS, &[deposit(1, 100).into()]);
    let hold = HoldRequest {
        id: id(2),
        debit: workload::account(1),
        credit: workload::account(2),
        amount: 60,
        currency: None,
        kind: TransferKind::Transfer,
        timeout_ns: 5,
        over_capture_max: 0,
        linked: false,
    };
    submit(&mut book, BEGIN_NS, &[hold.into()]);
    let (hash, known) = (book.ledger.summary().0, book.ledger.coordinator.known().len());
    let void = VoidRequest { id: id(3), hold: id(2), linked: false };
    let refund = RefundRequest {
        id: id(4),
        of: id(1),
        of_lsn: None,
        amount: Some(30),
        currency: None,
        allow_overdraft: false,
        linked: false,
        original: None,
    };
    let asked: [Request; 3] = [void.into(), refund.into(), deposit(5, 7).into()];
    for time_ns in [BEGIN_NS, BEGIN_NS + 5] {
        let events = &book.events;
        let dry = book.ledger.dry_run(time_ns, &asked, |lsn| book::read(events, lsn));
        let dry = dry.expect("possible");
        assert!(dry.answer.outcomes[1].rejection.is_none());
        assert_eq!(dry.records.len(), if time_ns == BEGIN_NS { 3 } else { 4 });
    }
    assert_eq!(book.ledger.summary().0, hash);
    assert_eq!(book.ledger.coordinator.known().len(), known);
    assert_eq!(book.ledger.coordinator.next_lsn(), Lsn(book.events.len() as u64 + 1));
    // The ids are free: the same requests are new when they come.
    submit(&mut book, BEGIN_NS, &asked);
    assert_eq!(book.ledger.coordinator.known().len(), known + 3);
}

#[test]
fn an_id_that_is_known_answers_as_a_repeat() {
    let mut book = Book::new(1, u64::MAX);
    submit(&mut book, BEGIN_NS, &[deposit(1, 100).into()]);
    // Known, twice the same new one, and known with another amount.
    let asked = [deposit(1, 100), deposit(2, 5), deposit(2, 5), deposit(1, 99)];
    let asked = asked.map(Request::from);
    let dry = book.ledger.dry_run(BEGIN_NS, &asked, |_| unreachable!()).expect("possible");
    assert_eq!(dry.answer.repeats.len(), 3);
    assert!(matches!(dry.record(dry.as_of.next()), Some(Record::Posted(_))));
    submit(&mut book, BEGIN_NS, &asked);
}

#[test]
fn an_opening_is_judged_with_those_before_it() {
    let book = Book::new(1, u64::MAX);
    let spec = ducat_engine::transfer::AccountSpec {
        id: AccountId::new(77).expect("not zero"),
        ..workload::accounts()[1]
    };
    let other = ducat_engine::transfer::AccountSpec { overdraft_limit: 3, ..spec };
    let said = book.ledger.dry_run_openings(
        BEGIN_NS,
        &[spec, spec, other, workload::accounts()[1]].map(Opening::from),
    );
    let next = book.ledger.coordinator.next_lsn();
    assert_eq!(
        said,
        [
            AccountOutcome::Opened(next),
            AccountOutcome::Exists(next),
            AccountOutcome::Refused(AccountRejection::ExistsDifferent),
            AccountOutcome::Exists(Lsn(2)),
        ]
    );
    assert!(book.ledger.coordinator.directory().get(spec.id).is_none());
}
