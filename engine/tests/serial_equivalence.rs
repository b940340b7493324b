//! The ledger against the plain serial model: the same outcomes, one by one and in every
//! field, and the same accounts, whatever the batching and the number of partitions. The order
//! of messages and crashes are the simulator's (`sim/`).
//!
//! `DUCAT_CASES` sets the number of cases of all properties together (default 20,000). A
//! failure prints the smallest case that proptest could find.

use ducat_engine::account_event::{AccountEvent, Opening};
use ducat_engine::ids::Slot;
use ducat_engine::model::{Answered, Known, SerialLedger};
use ducat_engine::profile::Details;
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;
use ducat_engine::testing::book::{self, Book, Event, filled_in_full, replay};
use ducat_engine::testing::rng::Rng;
use ducat_engine::testing::workload::{self, Script, Step};
use ducat_engine::testing::{cases, same_outcomes};
use ducat_engine::transfer::{AccountStatus, Outcome};
use proptest::collection::vec;
use proptest::prelude::*;

fn config(share_percent: u32) -> ProptestConfig {
    let cases = cases(20_000, share_percent);
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

fn scripts(most: usize) -> impl Strategy<Value = Script> {
    scripts_of(most, 7)
}

/// Scripts of fewer than `most` steps with fewer than `transfers` each.
fn scripts_of(most: usize, transfers: usize) -> impl Strategy<Value = Script> {
    let raw = vec((any::<u8>(), vec(any::<u64>(), 1..transfers)), 1..most);
    raw.prop_map(|raw| Script::in_full(&raw))
}

/// When scripts begin, nanoseconds since the Unix epoch.
const BEGIN_NS: u64 = 1_000;

/// What the model says to a script: the answers to each submission.
fn expected(script: &[Step]) -> (SerialLedger, Vec<Vec<Answered>>) {
    let mut now_ns = BEGIN_NS;
    let mut model = SerialLedger::new();
    for spec in workload::accounts() {
        model.open_account(&spec);
    }
    let (debit, credit, amount) = workload::edge();
    let lsn = model.set_status(credit, AccountStatus::Active, "").expect("it exists");
    model.force(lsn, debit, credit, amount.try_into().expect("in range"));
    let mut outcomes = Vec::new();
    for step in script {
        match step {
            Step::Submit(requests) => outcomes.push(model.submit_in_full(now_ns, requests)),
            Step::Wait(ns) => now_ns += ns,
            Step::SetStatus(id, status, why) => drop(model.set_status(*id, *status, why)),
            Step::ChangeProfile(id, change) => drop(model.change_profile(*id, change)),
            Step::ChangeLimits(id, change) => drop(model.change_limits(*id, change)),
            Step::Open(opening) => drop(model.open_with(opening)),
            Step::Define(code, digits) => drop(model.define_asset(code, *digits)),
            Step::Fee(step) => drop(model.fee(step)),
        }
    }
    model.expire(now_ns);
    (model, outcomes)
}

/// Runs the batch of submissions and gives their outcomes.
fn execute(book: &mut Book, now_ns: u64, batch: &mut Vec<&[Request]>) -> Vec<Vec<Answered>> {
    let Book { ledger, events } = &mut *book;
    let done = ledger.execute_reading(now_ns, batch, |lsn| book::read(events, lsn));
    let done = done.expect("possible");
    batch.clear();
    let time_ns = done.time_ns;
    book.events.extend(done.records.into_iter().map(|(lsn, record)| Event {
        lsn,
        time_ns,
        record,
    }));
    done.answers.into_iter().map(|answer| filled_in_full(answer, &book.events)).collect()
}

/// Plays a script through `Ledger::execute`, cutting batches where the seed says.
fn in_batches(partitions: usize, script: &[Step], cuts: &mut Rng) -> (Book, Vec<Vec<Answered>>) {
    let mut book = Book::new(partitions, u64::MAX);
    let mut outcomes = Vec::new();
    let mut batch: Vec<&[Request]> = Vec::new();
    let mut now_ns = BEGIN_NS;
    for step in script {
        if !matches!(step, Step::Submit(_)) && !batch.is_empty() {
            outcomes.extend(execute(&mut book, now_ns, &mut batch));
        }
        match step {
            Step::Submit(requests) => {
                batch.push(requests);
                if cuts.once_in(4) {
                    outcomes.extend(execute(&mut book, now_ns, &mut batch));
                }
            }
            Step::Wait(ns) => now_ns += ns,
            Step::SetStatus(id, status, why) => {
                let _ = book.set_status(now_ns, *id, *status, why);
            }
            Step::ChangeProfile(id, change) => drop(book.change_profile(now_ns, *id, change)),
            Step::ChangeLimits(id, change) => drop(book.change_limits(now_ns, *id, change)),
            Step::Open(opening) => drop(book.open_with(now_ns, opening)),
            Step::Define(code, digits) => drop(book.define(now_ns, code, *digits)),
            Step::Fee(step) => drop(book.fee(now_ns, step)),
        }
    }
    // Without submissions what is due expires all the same.
    outcomes.extend(execute(&mut book, now_ns, &mut batch));
    book.ledger.check_holds().expect("accounts and holds agree");
    (book, outcomes)
}

/// What a book knows of an account beside its money, in the model's shape. The opening it is
/// given by the test: only its own answer tells whether it is the one.
fn known(book: &Book, slot: Slot) -> Known {
    let opened_lsn = book.ledger.view(slot).expect("hosted").opened_lsn;
    let opening = match &book.events[opened_lsn.0 as usize - 1].record {
        Record::AccountOpened(spec) => Opening::from(*spec),
        Record::Account(event) => match &**event {
            AccountEvent::Opened(opening) => opening.clone(),
            other => panic!("{other:?} opens no account"),
        },
        other => panic!("{other:?} opens no account"),
    };
    let details = book.ledger.coordinator.profiles().get(slot).map(|d| Details::clone(d));
    let details = details.unwrap_or_default();
    Known {
        opening,
        profile: details.profile,
        reason: details.note.map(|note| (note.lsn, note.reason)),
        history: book.history(slot),
    }
}

proptest! {
    #![proptest_config(config(45))]

    /// Batching and partitions are invisible in results.
    #[test]
    fn batches_equal_serial_execution(script in scripts(24), cut in any::<u64>()) {
        let mut script = script.0;
        let submit = |step: &&Step| matches!(step, Step::Submit(_));
        let asked: Vec<Step> = script.iter().filter(submit).cloned().collect();
        let (model, first) = expected(&script);
        // Everything again, in another order: the same outcomes, and nothing happens.
        script.extend(asked.iter().rev().cloned());
        let (after, expected) = expected(&script);
        prop_assert_eq!(after.last_lsn(), model.last_lsn());
        for (first, again) in first.iter().rev().zip(&expected[first.len()..]) {
            let of = |answers: &[Answered]| answers.iter().map(|(outcome, ..)| *outcome).collect();
            let outcomes: (Vec<Outcome>, Vec<Outcome>) = (of(first), of(again));
            prop_assert!(same_outcomes(&outcomes.0, &outcomes.1), "{:?}\nagain {:?}", first, again);
            let reused = |answer: &Answered| answer.0.rejection == Some(Rejection::IdReused);
            for (first, again) in first.iter().zip(again).filter(|(first, _)| !reused(first)) {
                prop_assert_eq!(first.1, again.1, "another state of the hold");
                prop_assert_eq!(first.2, again.2, "another state of the original");
                prop_assert_eq!(first.3, again.3, "told otherwise of its terms");
                prop_assert_eq!(first.4, again.4, "told otherwise of its fee");
            }
        }
        let mut cuts = Rng::new(cut);
        let mut hashes = Vec::new();
        for partitions in [1, 2, 4, 8] {
            let (book, outcomes) = in_batches(partitions, &script, &mut cuts);
            prop_assert_eq!(outcomes.len(), expected.len());
            for (got, expected) in outcomes.iter().flatten().zip(expected.iter().flatten()) {
                prop_assert_eq!(got, expected, "on {} partitions", partitions);
            }
            for id in model.account_ids() {
                let listing = book.ledger.coordinator.directory().get(id).expect("listed");
                prop_assert_eq!(book.ledger.view(listing.slot), model.account(id));
                prop_assert_eq!(&known(&book, listing.slot), model.known(id).expect("known"));
            }
            let summary = book.ledger.summary();
            prop_assert!(summary.1.values().all(|sums| sums.internal + sums.external == 0));
            hashes.push(summary.0);
            if partitions == 2 {
                hashes.push(replay(4, u64::MAX, &book.events).expect("what ran live replays").summary().0);
            }
        }
        prop_assert!(model.totals().values().all(|sum| *sum == 0));
        prop_assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "state hashes differ");
    }
}

proptest! {
    #![proptest_config(config(3))]

    /// Batches and linked groups so long that votes wait in hundreds at one account.
    #[test]
    fn long_batches_equal_serial_execution(script in scripts_of(10, 150)) {
        let submissions = script.0.iter().filter(|step| matches!(step, Step::Submit(_)));
        let script: Vec<_> = submissions.cloned().collect();
        let (model, expected) = expected(&script);
        for partitions in [1, 2, 4, 8] {
            let mut book = Book::new(partitions, u64::MAX);
            let requests = script.iter().map(|step| match step {
                Step::Submit(requests) => requests.as_slice(),
                _ => unreachable!("only submissions are left"),
            });
            let outcomes = execute(&mut book, BEGIN_NS, &mut requests.collect());
            for (got, expected) in outcomes.iter().flatten().zip(expected.iter().flatten()) {
                prop_assert_eq!(got, expected, "on {} partitions", partitions);
            }
            prop_assert_eq!(outcomes.len(), expected.len());
            for id in model.account_ids() {
                let listing = book.ledger.coordinator.directory().get(id).expect("listed");
                prop_assert_eq!(book.ledger.view(listing.slot), model.account(id));
            }
        }
    }
}
