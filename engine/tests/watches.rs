//! What records tell of figures, against the accounts: from it alone follows which watches trigger.
//!
//! `DUCAT_CASES` sets the number of cases (default 2,000).

use ducat_engine::account_event::{AccountEvent, Change, LimitsFrom};
use ducat_engine::codec::{decode_all, encode};
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::record::Record;
use ducat_engine::snapshot::details::{put_profiles, take_profiles};
use ducat_engine::testing::book::{self, Book, Event};
use ducat_engine::testing::cases;
use ducat_engine::testing::workload::{self, Script, Step};
use ducat_engine::watch::{Condition, Figure, Flow, Standing, WINDOW_NS_MIN, WatchChange};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: cases(2_000, 100),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn standings(ledger: &Ledger) -> Vec<Standing> {
    let view = |slot| {
        let view = ledger.view(Slot(slot))?;
        Some(Standing { posted: view.posted, available: view.available })
    };
    (0..).map_while(view).collect()
}

fn watch(book: &mut Book, now_ns: u64, slot: u32, change: &WatchChange) {
    let event = book.ledger.coordinator.change_watch(Slot(slot), change);
    let (lsn, record) = event.expect("possible").expect("new");
    book.note(now_ns, lsn, record);
}

/// Plays a script in which some accounts are watched; others are not.
fn play(script: &Script) -> Book {
    let mut book = Book::new(2, u64::MAX);
    let mut now_ns = 1_000;
    for slot in 1..4 {
        let condition = Condition::Below { figure: Figure::Posted, bound: 5 };
        let name = "low".to_owned();
        watch(&mut book, now_ns, slot, &WatchChange::Add { name, condition });
    }
    watch(&mut book, now_ns, 3, &WatchChange::Remove { name: "low".to_owned() });
    for step in &script.0 {
        match step {
            Step::Submit(requests) => {
                let Book { ledger, events } = &mut book;
                let read = |lsn| book::read(events, lsn);
                let done = ledger.execute_reading(now_ns, &[&requests[..]], read);
                let done = done.expect("possible");
                let time_ns = done.time_ns;
                let event = |(lsn, record)| Event { lsn, time_ns, record };
                book.events.extend(done.records.into_iter().map(event));
            }
            Step::Wait(ns) => now_ns += ns,
            Step::SetStatus(id, status, why) => {
                let _ = book.set_status(now_ns, *id, *status, why);
            }
            Step::ChangeProfile(id, change) => drop(book.change_profile(now_ns, *id, change)),
            Step::ChangeLimits(id, change) => drop(book.change_limits(now_ns, *id, change)),
            Step::Open(opening) => drop(book.open_with(now_ns, opening)),
            Step::Define(code, digits) => drop(book.define(now_ns, code, *digits)),
            Step::Fee(fee) => drop(book.fee(now_ns, fee)),
        }
    }
    book
}

proptest! {
    #![proptest_config(config())]

    /// Every record tells the figures of every account that it changes, as they were and as they
    /// are; a change of limits where the account is watched.
    #[test]
    fn records_tell_the_figures_before_and_after(
        raw in vec((any::<u8>(), vec(any::<u64>(), 1..7)), 1..24),
    ) {
        let book = play(&Script::in_full(&raw));
        let mut ledger = book::empty(1, u64::MAX);
        for event in &book.events {
            let mut bytes = Vec::new();
            encode(&event.record, &mut bytes);
            let read = decode_all(&bytes).next().expect("one").expect("well-formed");
            prop_assert_eq!(&read, &event.record);
            let before = standings(&ledger);
            book::apply(&mut ledger, event).expect("what ran live replays");
            let after = standings(&ledger);
            let changes = event.record.figures_changes();
            for change in changes.into_iter().flatten() {
                prop_assert_eq!(change.before, before[change.slot.index()]);
                if event.lsn != book::edge_lsn() {
                    prop_assert_eq!(change.after, after[change.slot.index()]);
                }
            }
            let silent = matches!(&event.record, Record::Account(account)
                if matches!(**account, AccountEvent::Changed { change: Change::Limits(_), .. }));
            for (at, (before, after)) in before.iter().zip(&after).enumerate() {
                let told = changes.iter().flatten().any(|change| change.slot.index() == at);
                let may = told || silent || event.lsn == book::edge_lsn();
                prop_assert!(may || before == after, "{:?} changes slot {}", event.record, at);
            }
        }
        prop_assert_eq!(ledger.summary().0, book.ledger.summary().0);
    }
}

#[test]
fn limits_of_a_watched_account_are_journalled_with_its_figures() {
    let mut book = Book::new(1, u64::MAX);
    let condition = Condition::Below { figure: Figure::Available, bound: 5 };
    let name = "low".to_owned();
    watch(&mut book, 1, 1, &WatchChange::Add { name: name.clone(), condition });
    let limits = |overdraft| ducat_engine::limits::LimitsChange {
        overdraft_limit: Some(overdraft),
        ..Default::default()
    };
    let id = workload::account(1);
    book.change_limits(1, id, &limits(7)).expect("possible");
    watch(&mut book, 1, 1, &WatchChange::Remove { name });
    book.change_limits(1, id, &limits(9)).expect("possible");
    let kinds: Vec<bool> = book
        .events
        .iter()
        .filter_map(|event| match &event.record {
            Record::Account(event) => match &**event {
                AccountEvent::Changed { change: Change::LimitsFrom(_), .. } => Some(true),
                AccountEvent::Changed { change: Change::Limits(_), .. } => Some(false),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [true, false]);
    let replayed = book::replay(4, u64::MAX, &book.events).expect("what ran live replays");
    assert_eq!(replayed.summary().0, book.ledger.summary().0);
    // Figures that are not the account's do not.
    let mut lie = book.events.clone();
    for event in &mut lie {
        if let Record::Account(account) = &mut event.record
            && let AccountEvent::Changed { change: Change::LimitsFrom(changed), .. } =
                &mut **account
        {
            changed.before += 1;
        }
    }
    assert!(book::replay(1, u64::MAX, &lie).is_err());
}

#[test]
fn watches_are_in_snapshots_as_they_are() {
    let mut book = Book::new(1, u64::MAX);
    let add = |name: &str, condition| WatchChange::Add { name: name.to_owned(), condition };
    let (figure, window_ns) = (Figure::Available, WINDOW_NS_MIN);
    watch(&mut book, 1, 1, &add("a", Condition::Below { figure, bound: -7 }));
    watch(&mut book, 1, 1, &add("b", Condition::Above { figure: Figure::Posted, bound: 1 << 90 }));
    for flow in [Flow::Debits, Flow::Credits, Flow::Both] {
        let condition = Condition::Moved { flow, above: 12, window_ns };
        watch(&mut book, 1, 1, &add(&format!("{flow:?}"), condition));
    }
    watch(&mut book, 1, 1, &WatchChange::Remove { name: "a".to_owned() });
    let details = book.ledger.coordinator.profiles().get(Slot(1)).expect("watched");
    assert!(details.watches[0].removed > Some(Lsn::ZERO));
    let mut bytes = Vec::new();
    put_profiles(&vec![(Slot(1), Arc::clone(details))], &mut bytes);
    let read = take_profiles(&bytes).expect("well-formed");
    assert_eq!(read, [(Slot(1), details.clone())]);
    // Cut anywhere, it is no piece.
    for end in 1..bytes.len() {
        assert!(take_profiles(&bytes[..end]).is_err(), "cut at {end}");
    }
}
/// The format of watches' events, which never changes: a journal that has them is read for ever.
#[test]
fn events_of_watches_have_a_fixed_form() {
    let hex = |change: Change| {
        let event = AccountEvent::Changed { slot: Slot(3), back: 5, change };
        let mut bytes = Vec::new();
        encode(&Record::Account(Box::new(event)), &mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let name = || "low".to_owned();
    let below = Condition::Below { figure: Figure::Available, bound: -100 };
    let window_ns = 2 * WINDOW_NS_MIN;
    let moved = Condition::Moved { flow: Flow::Both, above: 500, window_ns };
    let limits = Limits { overdraft_limit: 9, bounds: Bounds { floor: None, ceiling: Some(7) } };
    let from = LimitsFrom { limits, posted: 4, before: 5, after: -6 };
    assert_eq!(
        [
            hex(Change::Watch(WatchChange::Add { name: name(), condition: below })),
            hex(Change::Watch(WatchChange::Add { name: name(), condition: moved })),
            hex(Change::Watch(WatchChange::Remove { name: name() })),
            hex(Change::LimitsFrom(from)),
        ],
        [
            "140103050400036c6f770001c7",
            "140103050400036c6f770202fbf401fc00943577",
            "140103050401036c6f77",
            "14010305030900010e080a0b",
        ]
    );
}
