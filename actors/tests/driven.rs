//! Schedules and sagas on the engine's handle: driven by the coordinator, over restarts, snapshots
//! and the feed. What is due lies in the past, so that no test waits for a clock.

mod support;

use ducat_actors::copying::copy_events;
use ducat_actors::feed::{FeedFilter, Subscription, What};
use ducat_actors::handle::Handle;
use ducat_actors::replay::Until;
use ducat_engine::driven::DrivenEvent;
use ducat_engine::effects::EventKind;
use ducat_engine::ids::{Lsn, SagaId, ScheduleId, ShardId};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::NEVER_NS;
use ducat_engine::sagas::{
    Action, Answer, BackOff, Failure, Resolution, Saga, SagaCommand, SagaDefinition, SagaRejection,
    SagaState, Step, StepState, Undo,
};
use ducat_engine::schedules::calendar::{Calendar, Rule};
use ducat_engine::schedules::{
    Definition, Missed, Payment, Retry, RunEnd, Schedule, ScheduleChange, ScheduleCommand,
    ScheduleRejection, Status,
};
use ducat_persistence::MemoryJournal;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{BANK, journal, open, start, submit, transfer};

/// 2024-01-01T00:00:00Z.
const NEW_YEAR_NS: u64 = 1_704_067_200_000_000_000;
const DAY_NS: u64 = 86_400_000_000_000;

fn payment(debit: u128, credit: u128, amount: u128) -> Payment {
    let request = transfer(1, debit, credit, amount);
    let (debit, credit, kind) = (request.debit, request.credit, request.kind);
    Payment { debit, credit, amount, currency: None, kind }
}

/// Daily from New Year 2024 on, ten times: all of them are due.
fn overdue(number: u128, payment: Payment) -> Definition {
    Definition {
        id: ScheduleId::new(number).expect("not zero"),
        label: "overdue".to_owned(),
        payment,
        calendar: Calendar::new(Rule::Days { every: 1 }),
        start_ns: NEW_YEAR_NS,
        end_ns: NEVER_NS,
        runs_max: 10,
        retry: Retry::default(),
        missed: Missed::RunAll,
        grace_ns: 0,
    }
}

fn saga(number: u128, steps: Vec<(Action, Undo)>) -> SagaDefinition {
    let step = |(action, undo)| Step { name: String::new(), action, undo };
    SagaDefinition {
        id: SagaId::new(number).expect("not zero"),
        label: String::new(),
        steps: steps.into_iter().map(step).collect(),
        back_off: BackOff { first_ns: 1_000_000, longest_ns: 1_000_000, attempts_max: 3 },
    }
}

async fn schedule_until(
    handle: &Handle,
    id: u128,
    what: &str,
    is: impl Fn(&Schedule) -> bool,
) -> Arc<Schedule> {
    let id = ScheduleId::new(id).expect("not zero");
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let schedule = handle.schedule(id).await.expect("up").expect("it is there");
        if is(&schedule) {
            return schedule;
        }
        assert!(Instant::now() < end, "{what}: {schedule:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn saga_until(handle: &Handle, id: u128, state: &str) -> Arc<Saga> {
    let id = SagaId::new(id).expect("not zero");
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let saga = handle.saga(id).await.expect("up").expect("it is there");
        if saga.state.name() == state {
            return saga;
        }
        assert!(Instant::now() < end, "{state}: {saga:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn posted(handle: &Handle, account: u128) -> i128 {
    let at = handle.accounts(vec![support::account(account)]).await.expect("up");
    at.accounts[0].as_ref().expect("it is there").view.posted
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_overdue_runs_and_a_restart_runs_nothing_again() {
    for partitions in [1, 2] {
        let journal = journal();
        let engine = start(&journal, partitions).await;
        let handle = engine.handle();
        open(&handle, 4).await;
        submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
        let definition = overdue(7, payment(2, 3, 3));
        let (defined, new) =
            handle.define_schedule(definition.clone()).await.expect("up").expect("it can be");
        assert!(new && defined.status == Status::Active);
        let ended = |schedule: &Schedule| schedule.status == Status::Ended;
        let schedule = schedule_until(&handle, 7, "it ends", ended).await;
        assert!(schedule.runs.iter().all(|run| run.end == RunEnd::Posted));
        let due: Vec<u64> = schedule.runs.iter().map(|run| run.due_ns).collect();
        assert_eq!(due, (0..10).map(|day| NEW_YEAR_NS + day * DAY_NS).collect::<Vec<_>>());
        assert_eq!((posted(&handle, 2).await, posted(&handle, 3).await), (70, 30));
        let again = handle.define_schedule(definition.clone()).await.expect("up").expect("same");
        assert_eq!(again, (Arc::clone(&schedule), false));
        let other = Definition { runs_max: 11, ..definition };
        let refused = handle.define_schedule(other).await.expect("up");
        assert_eq!(refused, Err(ScheduleRejection::ExistsDifferent));
        let summary = handle.summary().await.expect("up");
        engine.shutdown().await.expect("drains");

        let engine = start(&Arc::new(journal.reopen()), 3 - partitions).await;
        let handle = engine.handle();
        assert_eq!(handle.summary().await.expect("up"), summary);
        let id = schedule.definition.id;
        assert_eq!(handle.schedule(id).await.expect("up"), Some(Arc::clone(&schedule)));
        let command = ScheduleCommand::Run { number: Some(11) };
        for new in [true, false] {
            let done = handle.command_schedule(id, command).await.expect("up").expect("next");
            assert_eq!(done.1, new);
        }
        let over = |schedule: &Schedule| schedule.running.is_none();
        let schedule = schedule_until(&handle, 7, "it is run", over).await;
        assert_eq!((schedule.last_run, posted(&handle, 3).await), (11, 33));
        engine.shutdown().await.expect("drains");
    }
}

/// A journal of the events up to this one.
fn cut_behind(journal: &MemoryJournal, lsn: Lsn) -> Arc<MemoryJournal> {
    let cut = support::journal();
    let until = Until { lsn: Some(lsn), time_ns: None };
    copy_events(journal, &*cut, ShardId(0), until, "test", Box::new(|_| {})).expect("it is sound");
    Arc::new(cut.reopen())
}

/// What a start finds begun and not decided, it asks for: here the journal is cut behind each event.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_behind_any_event_goes_on_from_there() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    let definition = Definition { runs_max: 3, ..overdue(7, payment(2, 3, 5)) };
    handle.define_schedule(definition).await.expect("up").expect("it can be");
    let steps = vec![
        (Action::Transfer(payment(2, 3, 2)), Undo::Reverse),
        (Action::Hold { payment: payment(2, 3, 1), timeout_ns: 0 }, Undo::Reverse),
        (Action::Transfer(payment(3, 99, 1)), Undo::Reverse),
    ];
    handle.start_saga(saga(8, steps)).await.expect("up").expect("it can be");
    let ended = |schedule: &Schedule| schedule.status == Status::Ended;
    schedule_until(&handle, 7, "it ends", ended).await;
    saga_until(&handle, 8, "compensated").await;
    let last = handle.status().last_lsn;
    engine.shutdown().await.expect("drains");
    // The accounts, the deposit, the schedule and the saga stay.
    for cut in 6..=last.0 {
        let cut = cut_behind(&journal, Lsn(cut));
        let engine = start(&cut, 1).await;
        let handle = engine.handle();
        schedule_until(&handle, 7, "it ends", ended).await;
        let started = handle.saga(SagaId::new(8).expect("not zero")).await.expect("up");
        if started.is_some() {
            let saga = saga_until(&handle, 8, "compensated").await;
            let failed = Failure::Refused(Rejection::CreditAccountUnknown);
            assert_eq!(saga.steps[2].state, StepState::Failed(failed));
        }
        assert_eq!((posted(&handle, 2).await, posted(&handle, 3).await), (85, 15));
        handle.summary().await.expect("sums and holds are sound");
        engine.shutdown().await.expect("drains");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_waits_is_answered_gets_stuck_and_is_resolved() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    open(&handle, 4).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    let steps = || {
        vec![
            (Action::Transfer(payment(2, 3, 40)), Undo::Reverse),
            (Action::Wait { timeout_ns: DAY_NS }, Undo::Nothing),
            (Action::Transfer(payment(3, 4, 30)), Undo::Nothing),
        ]
    };
    let id = |number| SagaId::new(number).expect("not zero");
    let answer =
        |done| SagaCommand::Answer { step: 1, answer: Answer { done, note: "17".to_owned() } };
    for (number, done) in [(7, true), (8, false)] {
        handle.start_saga(saga(number, steps())).await.expect("up").expect("it can be");
        saga_until(&handle, number, "waiting").await;
        if !done {
            // The receiver spends what would have to be given back.
            submit(&handle, vec![transfer(2, 3, 4, 50)]).await;
        }
        let told = handle.command_saga(id(number), answer(done)).await.expect("up");
        assert!(told.expect("in time").1);
        let otherwise = handle.command_saga(id(number), answer(!done)).await.expect("up");
        assert_eq!(otherwise, Err(SagaRejection::AnsweredOtherwise(1)));
    }
    saga_until(&handle, 7, "completed").await;
    let stuck = saga_until(&handle, 8, "stuck").await;
    let failure = Failure::Refused(Rejection::InsufficientFunds);
    assert_eq!(stuck.state, SagaState::Stuck { step: 0, attempts: 3, failure });
    let page = handle.sagas(None, Some("stuck"), 10).await.expect("up");
    assert_eq!((page.sagas, page.next), (vec![stuck], None));
    let skip = SagaCommand::Resolve { how: Resolution::Skip, note: "case 812".to_owned() };
    handle.command_saga(id(8), skip).await.expect("up").expect("stuck");
    let resolved = saga_until(&handle, 8, "compensated").await;
    assert_eq!(resolved.note, "case 812");
    engine.shutdown().await.expect("drains");
    let engine = start(&Arc::new(journal.reopen()), 1).await;
    assert_eq!(engine.handle().saga(id(8)).await.expect("up"), Some(resolved));
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_listed_in_pages_and_by_status() {
    let engine = start(&journal(), 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    for number in 1..=5 {
        // Due in the far future.
        let start_ns = 4_000_000_000_000_000_000;
        let definition = Definition { start_ns, ..overdue(number, payment(2, 3, 1)) };
        handle.define_schedule(definition).await.expect("up").expect("it can be");
    }
    let id = |number| ScheduleId::new(number).expect("not zero");
    let pause = handle.command_schedule(id(4), ScheduleCommand::Pause).await.expect("up");
    assert_eq!(pause.expect("active").0.status, Status::Paused);
    let first = handle.schedules(None, None, 2).await.expect("up");
    assert_eq!((first.schedules.len(), first.next), (2, Some(id(2))));
    let rest = handle.schedules(first.next, None, 10).await.expect("up");
    assert_eq!((rest.schedules.len(), rest.next), (3, None));
    let paused = handle.schedules(None, Some(Status::Paused), 10).await.expect("up");
    let ids: Vec<_> = paused.schedules.iter().map(|schedule| schedule.definition.id).collect();
    assert_eq!(ids, [id(4)]);
    assert_eq!(handle.schedule(id(9)).await.expect("up"), None);
    let unknown = handle.command_schedule(id(9), ScheduleCommand::Cancel).await.expect("up");
    assert_eq!(unknown, Err(ScheduleRejection::Unknown));
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_tells_what_happens_to_schedules() {
    let engine = start(&journal(), 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    let definition = Definition { runs_max: 2, ..overdue(7, payment(2, 3, 5)) };
    handle.define_schedule(definition).await.expect("up").expect("it can be");
    let ended = |schedule: &Schedule| schedule.status == Status::Ended;
    schedule_until(&handle, 7, "it ends", ended).await;
    let filter = FeedFilter { kinds: vec![EventKind::Schedule], ..FeedFilter::default() };
    let subscription = Subscription { from: Lsn(1), filter, ..Subscription::default() };
    let mut feed = handle.subscribe(subscription).await.expect("room");
    let mut told = Vec::new();
    while told.len() < 3 {
        let batch = feed.next().await.expect("up");
        told.extend(batch.events.into_iter().map(|event| match event.what {
            What::Driven(event) => match *event {
                DrivenEvent::Schedule(event) => event.what,
                DrivenEvent::Saga(event) => panic!("{event:?}"),
            },
            other => panic!("{other:?}"),
        }));
    }
    assert!(matches!(told[0], ScheduleChange::Defined { .. }));
    assert!(matches!(told[1], ScheduleChange::Begun { run: 1, .. }));
    assert!(matches!(told[2], ScheduleChange::Begun { run: 2, next: None, .. }));
    drop(feed);
    engine.shutdown().await.expect("drains");
}
