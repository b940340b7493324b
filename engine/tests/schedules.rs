//! Schedules on a ledger with simulated time: each occurrence once, whatever stops and whenever.

use ducat_engine::driven::{DrivenEvent, ScheduleAsk, UPCOMING_MAX};
use ducat_engine::ids::{ScheduleId, TransferId};
use ducat_engine::limits::LimitsChange;
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::NEVER_NS;
use ducat_engine::schedules::calendar::{Calendar, Roll, Rule};
use ducat_engine::schedules::{
    Definition, Missed, Payment, RUNS_KEPT, Retry, RunEnd, Running, Schedule, ScheduleChange,
    ScheduleCommand, ScheduleRejection, Stage, Status,
};
use ducat_engine::snapshot::{DrivenPiece, Tally, Unsound};
use ducat_engine::testing::book::Event;
use ducat_engine::testing::cases;
use ducat_engine::testing::driven::{DAY_NS, Driver, HOUR_NS, OUTSIDE, account, payment, transfer};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// 2024-01-01T00:00:00Z, a Monday.
const NEW_YEAR_NS: u64 = 1_704_067_200_000_000_000;
const MINUTE_NS: u64 = 60_000_000_000;

fn id(number: u128) -> ScheduleId {
    ScheduleId::new(number).expect("not zero")
}

fn daily(number: u128, payment: Payment) -> Definition {
    Definition {
        id: id(number),
        label: format!("standing order {number}"),
        payment,
        calendar: Calendar::new(Rule::Days { every: 1 }),
        start_ns: NEW_YEAR_NS,
        end_ns: NEVER_NS,
        runs_max: 0,
        retry: Retry::default(),
        missed: Missed::RunAll,
        grace_ns: HOUR_NS,
    }
}

fn driver() -> Driver {
    let mut driver = Driver::new(4, NEW_YEAR_NS, DAY_NS);
    driver.deposit(1, 2, 1_000);
    driver
}

/// How often each run of each schedule was posted, told by the journal alone.
fn posted(driver: &Driver) -> BTreeMap<(ScheduleId, u64), usize> {
    let mut asked = BTreeMap::new();
    let mut posted = BTreeMap::new();
    for event in &driver.events {
        if let Record::Driven(driven) = &event.record
            && let DrivenEvent::Schedule(event) = &**driven
            && let ScheduleChange::Begun { run, transfer, .. } = event.what
        {
            asked.insert(transfer, (event.id, run));
        }
        if let Some(run) = event.record.posting().and_then(|posting| asked.get(&posting.id)) {
            *posted.entry(*run).or_default() += 1;
        }
    }
    posted
}

#[test]
fn a_standing_order_is_paid_on_its_days_and_ends_with_its_count() {
    let mut driver = driver();
    let rule = Rule::Months { every: 1, day: 31 };
    let calendar = Calendar { roll: Roll::ModifiedFollowing, ..Calendar::new(rule) };
    driver
        .define(Definition { calendar, runs_max: 5, ..daily(7, payment(2, 3, 10)) })
        .expect("new");
    driver.pass_until(NEW_YEAR_NS + 400 * DAY_NS);
    let schedule = driver.schedule(id(7));
    let days: Vec<u64> =
        schedule.runs.iter().map(|run| (run.due_ns - NEW_YEAR_NS) / DAY_NS).collect();
    // 31 January, 29 February, 29 March (the 31st is a Sunday), 30 April, 31 May.
    assert_eq!(days, [30, 59, 88, 120, 151]);
    assert!(schedule.runs.iter().all(|run| run.end == RunEnd::Posted && run.time_ns == run.due_ns));
    assert_eq!((schedule.status, schedule.next, schedule.counted), (Status::Ended, None, 5));
    assert_eq!(driver.balance(3)[0], 50);
    driver.check();
}

#[test]
fn the_last_runs_are_kept_and_all_are_counted() {
    let mut driver = driver();
    driver.define(daily(7, payment(2, 3, 1))).expect("new");
    driver.pass_until(NEW_YEAR_NS + 30 * DAY_NS);
    let schedule = driver.schedule(id(7));
    assert_eq!((schedule.runs.len(), schedule.last_run), (RUNS_KEPT, 31));
    assert_eq!(schedule.runs[RUNS_KEPT - 1].run, 31);
    assert_eq!(driver.balance(3)[0], 31);
    driver.check();
}

#[test]
fn funds_that_lack_are_asked_for_again_as_the_rule_says() {
    let mut driver = Driver::new(4, NEW_YEAR_NS, DAY_NS);
    let retry = Retry { times: 3, every_ns: HOUR_NS };
    let rule = Rule::Months { every: 1, day: 1 };
    let calendar = Calendar::new(rule);
    driver
        .define(Definition { retry, calendar, runs_max: 2, ..daily(7, payment(2, 3, 10)) })
        .expect("new");
    driver.pass_until(NEW_YEAR_NS + HOUR_NS + MINUTE_NS);
    let running = driver.schedule(id(7)).running.expect("it waits");
    assert_eq!((running.attempt, running.stage), (2, Stage::RetryAt(NEW_YEAR_NS + 2 * HOUR_NS)));
    driver.deposit(1, 2, 10);
    driver.pass_until(NEW_YEAR_NS + 3 * HOUR_NS);
    let run = driver.schedule(id(7)).runs[0];
    assert_eq!((run.attempts, run.end), (3, RunEnd::Posted));
    assert_eq!(run.time_ns, NEW_YEAR_NS + 2 * HOUR_NS);
    // In February nobody pays in: four attempts, and the run is over.
    driver.pass_until(NEW_YEAR_NS + 60 * DAY_NS);
    let run = driver.schedule(id(7)).runs[1];
    assert_eq!((run.attempts, run.end), (4, RunEnd::Refused(Rejection::InsufficientFunds)));
    assert_eq!(driver.schedule(id(7)).status, Status::Ended);
    driver.check();
}

#[test]
fn other_refusals_are_final() {
    let mut driver = driver();
    let retry = Retry { times: 3, every_ns: HOUR_NS };
    driver.define(Definition { retry, runs_max: 1, ..daily(7, payment(2, 99, 10)) }).expect("new");
    driver.pass_until(NEW_YEAR_NS + DAY_NS);
    let run = driver.schedule(id(7)).runs[0];
    assert_eq!((run.attempts, run.end), (1, RunEnd::Refused(Rejection::CreditAccountUnknown)));
}

/// A crash behind any event, and a start then or a month later: whatever is remembered of ids.
#[test]
fn every_occurrence_runs_exactly_once_whatever_event_a_crash_comes_behind() {
    let mut whole = driver();
    let retry = Retry { times: 2, every_ns: HOUR_NS };
    whole.define(Definition { retry, runs_max: 4, ..daily(7, payment(2, 3, 400)) }).expect("new");
    whole.define(Definition { runs_max: 4, ..daily(8, payment(2, 4, 1)) }).expect("new");
    let end_ns = NEW_YEAR_NS + 6 * DAY_NS;
    whole.pass_until(end_ns);
    let expected = posted(&whole);
    assert_eq!(expected.len(), 2 + 4, "{expected:?}");
    for crash in 7..=whole.events.len() {
        let stopped_ns = whole.events[crash - 1].time_ns;
        for down_ns in [0, 31 * DAY_NS] {
            let mut driver = whole.restarted(crash, stopped_ns);
            if down_ns > 0 {
                // Before anything of the schedules is decided, others' transfers push all ids out.
                driver = forgetting(&whole.events[..crash], stopped_ns + down_ns);
            }
            driver.pass_until(end_ns + down_ns);
            assert_eq!(driver.ledger.coordinator.awaited_len(), 0);
            let now = posted(&driver);
            assert!(now.values().all(|times| *times == 1), "{now:?}");
            assert_eq!(now, expected, "a crash behind event {crash}, down for {down_ns} ns");
            assert_eq!(driver.balance(3)[0], 800);
            assert_eq!(driver.balance(4)[0], 4);
            driver.check();
        }
    }
}

/// A start of these events at which ids are forgotten before what is awaited is asked for again.
fn forgetting(events: &[Event], now_ns: u64) -> Driver {
    let mut fresh = Driver::new(4, NEW_YEAR_NS, DAY_NS);
    for event in &events[fresh.events.len()..] {
        fresh.ledger.apply(event.lsn, event.time_ns, &event.record).expect("can be replayed");
        fresh.events.push(event.clone());
    }
    // A pause counts as an hour of the memory of ids at most.
    for round in 0..60 {
        fresh.now_ns = now_ns - (60 - round) * HOUR_NS;
        let outcomes = fresh.submit(&[transfer(1_000 + u128::from(round), OUTSIDE, 2, 1)]);
        assert_eq!(outcomes[0].rejection, None);
        fresh.submit(&[transfer(2_000 + u128::from(round), 2, OUTSIDE, 1)]);
    }
    fresh.restarted(fresh.events.len(), now_ns)
}

#[test]
fn what_is_awaited_is_paid_a_month_later_when_no_id_is_remembered() {
    let mut whole = driver();
    whole.define(Definition { runs_max: 1, ..daily(7, payment(2, 3, 10)) }).expect("new");
    whole.drive();
    let asked = whole.schedule(id(7)).runs[0].transfer;
    let posted_at = whole.events.iter().position(|e| e.record.transfer_id() == Some(asked));
    let posted_at = posted_at.expect("it was posted");
    // Behind the beginning of the run: it is paid now. Behind its transfer: it is not paid again,
    // although nobody remembers the id.
    for events in [posted_at, posted_at + 1] {
        let later = forgetting(&whole.events[..events], NEW_YEAR_NS + 31 * DAY_NS);
        assert_eq!(posted(&later)[&(id(7), 1)], 1);
        assert_eq!(later.balance(3)[0], 10);
        if events > posted_at {
            assert_eq!(later.ledger.coordinator.known().get(asked), None, "it is forgotten");
        }
        later.check();
    }
}

#[test]
fn occurrences_that_were_missed_are_run_or_left_out_by_rule() {
    for (missed, expected) in [(Missed::RunAll, 401), (Missed::RunOnce, 2), (Missed::Skip, 1)] {
        let mut driver = driver();
        let until = NEW_YEAR_NS + 400 * DAY_NS + 2 * HOUR_NS;
        driver.define(Definition { missed, ..daily(7, payment(2, 3, 1)) }).expect("new");
        driver.drive();
        // The clock jumps by more than a year.
        driver.now_ns = until;
        driver.drive();
        let schedule = driver.schedule(id(7));
        assert_eq!((driver.balance(3)[0], schedule.last_run), (expected, expected as u64));
        assert_eq!(schedule.next.map(|next| next.due_ns), Some(NEW_YEAR_NS + 401 * DAY_NS));
        // And back by as much: nothing runs again, and nothing that is due is left out later.
        driver.now_ns = NEW_YEAR_NS + 2 * DAY_NS;
        driver.drive();
        assert_eq!(driver.balance(3)[0], expected);
        driver.pass_until(NEW_YEAR_NS + 402 * DAY_NS);
        assert_eq!(driver.balance(3)[0], expected + 2);
        driver.check();
    }
    // One that is late by less than its grace is not missed.
    let mut driver = driver();
    let order = Definition { missed: Missed::Skip, ..daily(7, payment(2, 3, 1)) };
    driver.now_ns = NEW_YEAR_NS + HOUR_NS;
    driver.define(order).expect("new");
    driver.drive();
    assert_eq!(driver.balance(3)[0], 1);
}

#[test]
fn an_id_that_somebody_else_used_ends_the_run_and_moves_nothing() {
    let mut driver = driver();
    driver.define(daily(7, payment(2, 3, 10))).expect("new");
    let taken = driver.schedule(id(7)).transfer_id(1, 1);
    driver.submit(&[transfer(taken.get(), 2, 4, 10)]);
    driver.drive();
    let run = driver.schedule(id(7)).runs[0];
    assert_eq!((run.end, driver.balance(3)[0]), (RunEnd::IdTaken, 0));
    assert_eq!(driver.schedule(id(7)).running, None);
    driver.check();
    // The very same transfer, sent by somebody while it is awaited, is the run's.
    let mut begun = driver.clone();
    begun.now_ns += DAY_NS;
    let events = begun.ledger.coordinator.drive(begun.now_ns, 1);
    let again = TransferId::new(begun.schedule(id(7)).transfer_id(2, 1).get()).expect("not zero");
    assert_eq!(begun.ledger.coordinator.awaited_requests(), events.requests);
    let time_ns = events.time_ns;
    begun.events.extend(events.events.into_iter().map(|(lsn, record)| Event {
        lsn,
        time_ns,
        record,
    }));
    begun.submit(&events.requests);
    begun.submit(&events.requests);
    let run = begun.schedule(id(7)).runs[1];
    assert_eq!((run.end, run.transfer, begun.balance(3)[0]), (RunEnd::Posted, again, 10));
    begun.check();
}

#[test]
fn a_schedule_is_paused_resumed_run_by_hand_and_cancelled() {
    let mut driver = driver();
    driver.define(daily(7, payment(2, 3, 1))).expect("new");
    driver.define(daily(7, payment(2, 3, 1))).expect("it is the same");
    let other = driver.define(daily(7, payment(2, 3, 2)));
    assert_eq!(other, Err(ScheduleRejection::ExistsDifferent));
    driver.drive();
    driver.command(id(7), ScheduleCommand::Pause).expect("active");
    driver.command(id(7), ScheduleCommand::Pause).expect("already");
    driver.pass_until(NEW_YEAR_NS + 5 * DAY_NS);
    assert_eq!(driver.balance(3)[0], 1);
    let by_hand = |number| ScheduleCommand::Run { number };
    driver.command(id(7), by_hand(Some(2))).expect("the next");
    driver.command(id(7), by_hand(Some(2))).expect("asked twice, run once");
    let wrong = driver.command(id(7), by_hand(Some(9)));
    assert_eq!(wrong, Err(ScheduleRejection::Run { next: 3, asked: 9 }));
    assert_eq!(driver.balance(3)[0], 2);
    assert!(driver.schedule(id(7)).runs[1].by_hand);
    driver.command(id(7), ScheduleCommand::Resume).expect("paused");
    driver.drive();
    // What fell due while it was paused is left out.
    assert_eq!(driver.balance(3)[0], 2);
    driver.pass_until(NEW_YEAR_NS + 6 * DAY_NS);
    assert_eq!(driver.balance(3)[0], 3);
    driver.command(id(7), ScheduleCommand::Cancel).expect("active");
    driver.command(id(7), ScheduleCommand::Cancel).expect("already");
    for command in [ScheduleCommand::Pause, ScheduleCommand::Resume, by_hand(None)] {
        let refused = driver.command(id(7), command);
        assert_eq!(refused, Err(ScheduleRejection::Status("cancelled")));
    }
    let unknown = driver.command(id(8), ScheduleCommand::Pause);
    assert_eq!(unknown, Err(ScheduleRejection::Unknown));
    driver.pass_until(NEW_YEAR_NS + 9 * DAY_NS);
    assert_eq!(driver.balance(3)[0], 3);
    driver.check();
}

#[test]
fn one_that_waits_for_funds_is_cancelled_at_once() {
    let mut driver = Driver::new(3, NEW_YEAR_NS, DAY_NS);
    let retry = Retry { times: 9, every_ns: HOUR_NS };
    driver.define(Definition { retry, ..daily(7, payment(2, 3, 1)) }).expect("new");
    driver.drive();
    let busy = driver.command(id(7), ScheduleCommand::Run { number: None });
    assert_eq!(busy, Err(ScheduleRejection::Busy(1)));
    driver.command(id(7), ScheduleCommand::Cancel).expect("active");
    let schedule = driver.schedule(id(7));
    assert_eq!((schedule.running, schedule.runs.len()), (None, 1));
    driver.deposit(1, 2, 5);
    driver.pass_until(NEW_YEAR_NS + 2 * DAY_NS);
    assert_eq!(driver.balance(3)[0], 0);
    driver.check();
}

/// Gives account 2 a floor of its own, or takes it away.
fn set_floor(driver: &mut Driver, floor: Option<i128>) {
    let change = LimitsChange { floor: Some(floor), ..LimitsChange::default() };
    let slot = driver.ledger.coordinator.directory().get(account(2)).expect("listed").slot;
    let changed = driver.ledger.change_limits(slot, &change).expect("allowed");
    let (lsn, record) = changed.expect("it is another");
    let time_ns = driver.ledger.coordinator.last_time_ns();
    driver.events.push(Event { lsn, time_ns, record });
}

/// A run ends by cancelling with the refusal that it met last, straight away and over a start, from
/// the journal or from a snapshot.
#[test]
fn one_that_waits_is_cancelled_with_the_refusal_it_met_last() {
    let (funds, floor) = (Rejection::InsufficientFunds, Rejection::DebitAccountFloor);
    let floors: [(&[Option<i128>], Rejection); 4] = [
        (&[None], funds),
        (&[Some(0)], floor),
        (&[None, Some(0)], floor),
        (&[Some(0), None], funds),
    ];
    for (floors, expected) in floors {
        let mut driver = Driver::new(4, NEW_YEAR_NS, DAY_NS);
        let retry = Retry { times: 9, every_ns: HOUR_NS };
        driver.define(Definition { retry, ..daily(7, payment(2, 3, 10)) }).expect("new");
        let mut now = None;
        for (attempts, floor) in (0..).zip(floors) {
            if *floor != now {
                set_floor(&mut driver, *floor);
                now = *floor;
            }
            driver.pass_until(NEW_YEAR_NS + attempts * HOUR_NS);
        }
        let waits = driver.schedule(id(7)).running.expect("it waits");
        let again_ns = NEW_YEAR_NS + floors.len() as u64 * HOUR_NS;
        assert_eq!(waits.stage.retry(), Some((again_ns, expected)), "{floors:?}");
        assert_eq!(waits.attempt as usize, floors.len());
        // A start reads a snapshot behind every other event.
        for more in 0..3 {
            let mut cancelled = match more {
                0 => driver.clone(),
                _ => driver.restarted(driver.events.len(), driver.now_ns),
            };
            cancelled.command(id(7), ScheduleCommand::Cancel).expect("active");
            let schedule = cancelled.schedule(id(7));
            assert_eq!((schedule.running, schedule.runs.len()), (None, 1));
            let run = schedule.runs[0];
            assert_eq!((run.end, run.attempts), (RunEnd::Refused(expected), waits.attempt));
            assert_eq!(run.transfer, schedule.transfer_id(1, waits.attempt));
            cancelled.check();
            driver.deposit(1 + more, 4, 5);
        }
    }
}

/// A run that waits must have an attempt to come, or it would never end.
#[test]
fn a_snapshot_with_a_run_that_waits_in_vain_is_refused() {
    let mut driver = Driver::new(3, NEW_YEAR_NS, DAY_NS);
    let retry = Retry { times: 1, every_ns: HOUR_NS };
    set_floor(&mut driver, Some(0));
    driver.define(Definition { retry, ..daily(7, payment(2, 3, 1)) }).expect("new");
    driver.drive();
    let head = driver.ledger.begin_export();
    let read = |schedule: &Schedule| {
        let piece = DrivenPiece::Schedules(vec![Arc::new(schedule.clone())]);
        Tally::new(head.clone()).expect("sound").driven(&piece)
    };
    let waits = driver.schedule(id(7));
    let running = waits.running.expect("it waits");
    assert_eq!(running.stage, Stage::RetryAtFloor(NEW_YEAR_NS + HOUR_NS));
    assert_eq!(read(waits), Ok(()));
    let paused = Schedule { status: Status::Paused, ..waits.clone() };
    assert_eq!(read(&paused), Ok(()));
    for stage in [running.stage, Stage::RetryAt(NEW_YEAR_NS + HOUR_NS)] {
        let given_up = Running { attempt: 2, stage, ..running };
        let wrong = [
            Schedule { running: Some(given_up), ..waits.clone() },
            Schedule { status: Status::Ended, ..waits.clone() },
            Schedule { status: Status::Cancelled, ..waits.clone() },
        ];
        for schedule in wrong {
            let what = "a schedule waits for an attempt that never comes";
            assert_eq!(read(&schedule), Err(Unsound::Driven { what }), "{schedule:?}");
        }
    }
}

#[test]
fn what_can_never_be_is_refused_and_changes_nothing() {
    let mut driver = driver();
    let order = || daily(7, payment(2, 3, 1));
    let long = "x".repeat(129);
    let refused = [
        Definition { payment: payment(2, 3, 0), ..order() },
        Definition { payment: payment(2, 2, 1), ..order() },
        Definition { label: long, ..order() },
        Definition { end_ns: NEW_YEAR_NS - 1, ..order() },
        Definition { retry: Retry { times: 1, every_ns: 1 }, ..order() },
        Definition { calendar: Calendar::new(Rule::Cron("hourly".to_owned())), ..order() },
        Definition { start_ns: NEW_YEAR_NS + 1, end_ns: NEW_YEAR_NS + 2, ..order() },
    ];
    let before = driver.events.len();
    for definition in refused {
        assert!(driver.define(definition.clone()).is_err(), "{definition:?}");
    }
    assert_eq!(driver.events.len(), before);
    driver.check();
}

#[test]
fn events_that_contradict_the_schedule_cannot_be_replayed() {
    let mut driver = driver();
    driver.define(Definition { runs_max: 2, ..daily(7, payment(2, 3, 1)) }).expect("new");
    driver.drive();
    let place = driver.events.iter().position(|event| {
        matches!(&event.record, Record::Driven(driven)
            if matches!(&**driven, DrivenEvent::Schedule(e)
                if matches!(e.what, ScheduleChange::Begun { .. })))
    });
    let place = place.expect("a run began");
    let Record::Driven(begun) = driver.events[place].record.clone() else { unreachable!() };
    let DrivenEvent::Schedule(begun) = *begun else { unreachable!() };
    let ScheduleChange::Begun { run, attempt, due_ns, by_hand, transfer, next } = begun.what else {
        unreachable!()
    };
    let wrong = [
        ScheduleChange::Begun { run: 2, attempt, due_ns, by_hand, transfer, next },
        ScheduleChange::Begun { run, attempt: 2, due_ns, by_hand, transfer, next },
        ScheduleChange::Begun { run, attempt, due_ns: due_ns + 1, by_hand, transfer, next },
        ScheduleChange::IdTaken,
        ScheduleChange::Resumed { next },
        ScheduleChange::Passed { next: None },
    ];
    for (at, what) in wrong.into_iter().enumerate() {
        let mut ledger = driver.restarted(place, NEW_YEAR_NS).ledger;
        let event = &driver.events[place];
        let event_of = ducat_engine::schedules::ScheduleEvent { id: id(7), what };
        let record = Record::Driven(Box::new(DrivenEvent::Schedule(event_of)));
        let applied = ledger.apply(event.lsn, event.time_ns, &record);
        // Passing over what is due is allowed: the rule that decided it is not evaluated again.
        assert_eq!(applied.is_err(), at < 5, "{at}: {applied:?}");
    }
}

/// What may happen to some schedules: time passes, money comes, somebody commands, a crash.
/// When the next runs are said to be due is when they are, whatever was missed by now.
#[test]
fn what_is_said_to_be_due_next_is_run() {
    let missed = [Missed::RunAll, Missed::RunOnce, Missed::Skip];
    let bounds = [0_u32, 2, 4]
        .map(|runs_max| [NEVER_NS, NEW_YEAR_NS + 9 * DAY_NS].map(|end| (runs_max, end)));
    for (missed, (runs_max, end_ns)) in missed
        .into_iter()
        .flat_map(|missed| bounds.iter().flatten().map(move |bound| (missed, *bound)))
    {
        for late_h in [0, 1, 47, 48 + 5, 10 * 24] {
            let mut driver = driver();
            driver.now_ns += late_h * HOUR_NS;
            let order = Definition { missed, runs_max, end_ns, ..daily(7, payment(2, 3, 1)) };
            let ask = ScheduleAsk::Define(Box::new(order.clone()));
            let said = driver.ledger.coordinator.dry_run_schedule(&ask, driver.now_ns);
            let said = said.expect("it can be").upcoming;
            assert!(said.len() <= UPCOMING_MAX);
            driver.define(order).expect("new");
            driver.pass_until(said.last().copied().unwrap_or(driver.now_ns) + HOUR_NS);
            let runs = driver.schedule(id(7)).runs.clone();
            let due: Vec<u64> = runs.iter().map(|run| run.due_ns).take(said.len()).collect();
            assert_eq!(said, due, "{missed:?} {runs_max} {end_ns} {late_h}");
            let more = driver.schedule(id(7)).next.is_some() || runs.len() > said.len();
            assert!(!more || said.len() == UPCOMING_MAX, "{missed:?} {runs_max} {late_h}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Deposit(u128),
    Command(u128, ScheduleCommand),
    Crash(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let command = prop_oneof![
        Just(ScheduleCommand::Pause),
        Just(ScheduleCommand::Resume),
        Just(ScheduleCommand::Run { number: None }),
        Just(ScheduleCommand::Cancel),
    ];
    let step = prop_oneof![
        3 => (1_u64..100).prop_map(Step::Pass),
        2 => (1_u128..40).prop_map(Step::Deposit),
        2 => (1_u128..4, command).prop_map(|(number, command)| Step::Command(number, command)),
        2 => (0_u64..1_000).prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300, 25), ..ProptestConfig::default() })]

    /// However it is stopped and started, no run is posted twice, none is lost that its schedule says
    /// was posted, and replay and snapshots come to the same.
    #[test]
    fn no_run_is_posted_twice(steps in steps()) {
        let mut driver = Driver::new(5, NEW_YEAR_NS, DAY_NS);
        for number in 1..4 {
            let order = Definition {
                missed: [Missed::RunAll, Missed::RunOnce, Missed::Skip][number as usize - 1],
                retry: Retry { times: 2, every_ns: 5 * HOUR_NS },
                runs_max: 40,
                ..daily(number, payment(2, 2 + number, 7))
            };
            driver.define(order).expect("new");
        }
        let mut deposits = 1 << 70;
        for step in steps {
            match step {
                Step::Pass(hours) => driver.pass_until(driver.now_ns + hours * HOUR_NS),
                Step::Deposit(amount) => {
                    deposits += 1;
                    driver.deposit(deposits, 2, amount);
                }
                // Refusals are part of the game.
                Step::Command(number, command) => drop(driver.command(id(number), command)),
                Step::Crash(back) => {
                    let lost = (back % 4) as usize;
                    // Openings and definitions stay.
                    let kept = driver.events.len().saturating_sub(lost).max(8);
                    driver = driver.restarted(kept, driver.now_ns + back * HOUR_NS);
                }
            }
        }
        driver.pass_until(driver.now_ns + DAY_NS);
        let posted = posted(&driver);
        prop_assert!(posted.values().all(|times| *times == 1), "{:?}", posted);
        for number in 1..4 {
            let runs = posted.keys().filter(|(of, _)| *of == id(number)).count();
            prop_assert_eq!(driver.balance(2 + number)[0], 7 * runs as i128);
            for run in &driver.schedule(id(number)).runs {
                let told = run.end == RunEnd::Posted;
                prop_assert_eq!(posted.contains_key(&(id(number), run.run)), told);
            }
        }
        driver.check();
    }
}
