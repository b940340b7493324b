//! Events of schedules and sagas as bytes: held by stored ones, and refused where they were changed.

use ducat_engine::codec::{DRIVEN_EVENT_BYTES_MAX, decode_all, encode};
use ducat_engine::driven::DrivenEvent;
use ducat_engine::ids::{AccountId, SagaId, ScheduleId, TransferId};
use ducat_engine::money::{AMOUNT_MAX, CurrencyId};
use ducat_engine::record::Record;
use ducat_engine::sagas::{
    Action, Answer, BackOff, Resolution, SagaChange, SagaDefinition, SagaEvent, SagaRejection,
    Step, Undo,
};
use ducat_engine::schedules::calendar::{Calendar, Place, Roll, Rule};
use ducat_engine::schedules::{Definition, Missed, Payment, Retry, ScheduleChange, ScheduleEvent};
use ducat_engine::transfer::TransferKind;

fn payment() -> Payment {
    Payment {
        debit: AccountId::new(2).expect("not zero"),
        credit: AccountId::new(3).expect("not zero"),
        amount: 85_050,
        currency: Some(CurrencyId(826)),
        kind: TransferKind::Withdrawal,
    }
}

fn definition() -> Definition {
    Definition {
        id: ScheduleId::new(7).expect("not zero"),
        label: "rent".to_owned(),
        payment: payment(),
        calendar: Calendar {
            rule: Rule::Months { every: 1, day: 31 },
            zone: "Europe/London".to_owned(),
            time_of_day_s: 32_400,
            roll: Roll::ModifiedFollowing,
            weekend: 96,
            holidays: vec![20_000, 20_100],
        },
        start_ns: 1,
        end_ns: u64::MAX,
        runs_max: 12,
        retry: Retry { times: 3, every_ns: 1_000_000_000 },
        missed: Missed::RunOnce,
        grace_ns: 60_000_000_000,
    }
}

fn events() -> Vec<DrivenEvent> {
    let place = Place { nominal_s: 1_700_000_000, due_ns: 1_700_000_000_000_000_000 };
    let schedule = |what| {
        let id = ScheduleId::new(7).expect("not zero");
        DrivenEvent::Schedule(ScheduleEvent { id, what })
    };
    let saga = |what| DrivenEvent::Saga(SagaEvent { id: SagaId::new(9).expect("not zero"), what });
    let id = TransferId::new(1 << 100).expect("not zero");
    let step = |name: &str, action, undo| Step { name: name.to_owned(), action, undo };
    let definition_of_saga = SagaDefinition {
        id: SagaId::new(9).expect("not zero"),
        label: "a night".to_owned(),
        steps: vec![
            step("hold", Action::Hold { payment: payment(), timeout_ns: 5 }, Undo::Reverse),
            step("wait", Action::Wait { timeout_ns: 6 }, Undo::Nothing),
            step(
                "capture",
                Action::Capture { hold: 0, amount: Some(7), last: true },
                Undo::Transfer(payment()),
            ),
            step("void", Action::Void { hold: 0 }, Undo::Reverse),
            step("pay", Action::Transfer(payment()), Undo::Reverse),
        ],
        back_off: BackOff::default(),
    };
    let note = || "case 812".to_owned();
    vec![
        schedule(ScheduleChange::Defined {
            definition: Box::new(definition()),
            first: Some(place),
        }),
        schedule(ScheduleChange::Begun {
            run: 1,
            attempt: 1,
            due_ns: place.due_ns,
            by_hand: false,
            transfer: id,
            next: None,
        }),
        schedule(ScheduleChange::Passed { next: Some(place) }),
        schedule(ScheduleChange::Paused),
        schedule(ScheduleChange::Resumed { next: None }),
        schedule(ScheduleChange::Cancelled),
        schedule(ScheduleChange::IdTaken),
        saga(SagaChange::Started { definition: Box::new(definition_of_saga) }),
        saga(SagaChange::Begun { step: 0, undo: true, attempt: 2, request: id }),
        saga(SagaChange::Waits { step: 1, until_ns: 8 }),
        saga(SagaChange::Answered { step: 1, answer: Answer { done: true, note: note() } }),
        saga(SagaChange::TimedOut { step: 1 }),
        saga(SagaChange::Aborted { note: note() }),
        saga(SagaChange::IdTaken),
        saga(SagaChange::Resolved { how: Resolution::Skip, note: note() }),
    ]
}

fn bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events() {
        encode(&Record::Driven(Box::new(event)), &mut bytes);
    }
    bytes
}

/// Never to be written anew: when this fails, old journals cannot be read any more.
#[test]
fn the_stored_events_are_read_and_written_so() {
    let stored = include_bytes!("fixtures/driven-events.bin");
    let read: Result<Vec<Record>, _> = decode_all(stored).collect();
    let expected: Vec<Record> =
        events().into_iter().map(|event| Record::Driven(Box::new(event))).collect();
    assert_eq!(read.expect("they can be read"), expected);
    assert_eq!(bytes(), stored);
}

/// Makes the fixture of new events.
#[test]
#[ignore = "writes a fixture, once"]
#[allow(clippy::disallowed_methods, reason = "it writes a fixture")]
fn write_the_fixture() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/driven-events.bin");
    std::fs::write(path, bytes()).expect("writes");
}

#[test]
fn bytes_that_are_cut_or_changed_are_never_taken_for_what_they_were() {
    let bytes = bytes();
    let whole: Vec<Record> = decode_all(&bytes).map(|record| record.expect("sound")).collect();
    for cut in 0..bytes.len() {
        let read: Result<Vec<Record>, _> = decode_all(&bytes[..cut]).collect();
        assert!(read.is_err() || read.is_ok_and(|read| read.len() < whole.len()), "{cut}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let read: Result<Vec<Record>, _> = decode_all(&changed).collect();
        assert!(!read.is_ok_and(|read| read == whole), "byte {at} says nothing");
    }
}

#[test]
fn the_longest_events_fit_a_frame() {
    let long = |bytes: usize| "x".repeat(bytes);
    let payment = Payment { amount: AMOUNT_MAX, ..payment() };
    let calendar = Calendar {
        rule: Rule::Cron(long(128)),
        zone: long(64),
        holidays: (0..1_000).map(|day| 199_000 + day).collect(),
        ..definition().calendar
    };
    let widest = Definition {
        label: long(128),
        payment,
        calendar,
        start_ns: u64::MAX,
        runs_max: u32::MAX,
        ..definition()
    };
    let step = Step {
        name: long(64),
        action: Action::Hold { payment, timeout_ns: u64::MAX },
        undo: Undo::Transfer(payment),
    };
    let saga = |steps| SagaDefinition {
        id: SagaId::new(u128::MAX).expect("not zero"),
        label: long(128),
        steps: vec![step.clone(); steps],
        back_off: BackOff::default(),
    };
    let size = SagaRejection::Range("the size of the saga as a whole");
    assert_eq!(saga(32).check(), Err(size), "steps cannot all be at their widest");
    let most = (1..32).rev().find(|steps| saga(*steps).check().is_ok()).expect("some");
    assert!(most >= 24, "{most}");
    let saga = saga(most);
    let place = Place { nominal_s: i64::MAX, due_ns: u64::MAX };
    let events = [
        DrivenEvent::Schedule(ScheduleEvent {
            id: widest.id,
            what: ScheduleChange::Defined { definition: Box::new(widest), first: Some(place) },
        }),
        DrivenEvent::Saga(SagaEvent {
            id: saga.id,
            what: SagaChange::Started { definition: Box::new(saga) },
        }),
    ];
    for event in events {
        let mut bytes = Vec::new();
        encode(&Record::Driven(Box::new(event)), &mut bytes);
        assert!(bytes.len() <= DRIVEN_EVENT_BYTES_MAX, "{}", bytes.len());
    }
}
