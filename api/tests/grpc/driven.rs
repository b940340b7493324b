//! Schedules and sagas over a real connection. What is due lies in the past, so that no test waits
//! for a clock.

use crate::support::{Server, transfer};
use ducat_api::client::{ClientError, EventFilter};
use ducat_api::proto::{
    self, EventKind, RunState, SagaResolution, SagaState, SagaStepState, SagaUndo, ScheduleStatus,
    saga_step::Action, schedule_calendar::Rule,
};
use ducat_engine::ids::{SagaId, ScheduleId};
use std::time::{Duration, Instant};
use tonic::Code as Grpc;

/// 2024-01-01T00:00:00Z.
const NEW_YEAR_NS: u64 = 1_704_067_200_000_000_000;

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(60);

pub fn planned(debit: u64, credit: u64, amount: &str) -> proto::PlannedTransfer {
    proto::PlannedTransfer {
        debit_account: debit,
        credit_account: credit,
        amount: amount.to_owned(),
        currency: "GBP".to_owned(),
        ..Default::default()
    }
}

pub fn definition(id: u64) -> proto::ScheduleDefinition {
    proto::ScheduleDefinition {
        id,
        label: "rent".to_owned(),
        transfer: Some(planned(2, 3, "1.50")),
        calendar: Some(proto::ScheduleCalendar {
            rule: Some(Rule::Cron("0 9 1 * *".to_owned())),
            time_zone: "Europe/Prague".to_owned(),
            weekend: vec![6, 7],
            ..Default::default()
        }),
        start_ns: NEW_YEAR_NS,
        runs_max: 3,
        ..Default::default()
    }
}

pub fn schedule_id(id: u64) -> ScheduleId {
    ScheduleId::new(u128::from(id)).expect("not zero")
}

pub fn saga_id(id: u64) -> SagaId {
    SagaId::new(u128::from(id)).expect("not zero")
}

pub async fn saga_until(server: &Server, id: u64, state: SagaState) -> proto::Saga {
    let end = Instant::now() + HANG;
    loop {
        let saga = server.client.get_saga(saga_id(id)).await.expect("known");
        if saga.state() == state {
            return saga;
        }
        assert!(Instant::now() < end, "{saga:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>, grpc: Grpc, reason: &str) {
    let ClientError::Refused(refused) = answer.expect_err("refused") else { panic!("a refusal") };
    assert_eq!((refused.code, &*refused.reason), (grpc, reason), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_defined_run_listed_and_changed() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let created = client.create_schedule(definition(7)).await.expect("it can be");
    assert_eq!(created.definition, Some(definition(7)));
    let end = Instant::now() + HANG;
    let ended = loop {
        let schedule = client.get_schedule(schedule_id(7)).await.expect("known");
        if schedule.status() == ScheduleStatus::Ended {
            break schedule;
        }
        assert!(Instant::now() < end, "{schedule:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert!(ended.runs.iter().all(|run| run.state() == RunState::Posted && run.lsn > 0));
    // Nine in Prague, in winter: eight.
    let due: Vec<u64> =
        ended.runs.iter().map(|run| (run.due_ns - NEW_YEAR_NS) / 3_600_000_000_000).collect();
    assert_eq!(due, [8, 31 * 24 + 8, 60 * 24 + 8]);
    let of_run = ended.runs[0].transfer_id_high;
    let ids = [ducat_engine::ids::TransferId::from_halves(of_run, ended.runs[0].transfer_id)];
    let ids = ids.map(|id| id.expect("not zero"));
    let found = client.get_transfers(&ids).await.expect("answered");
    assert_eq!(found.transfers.len(), 1);

    assert_eq!(client.create_schedule(definition(7)).await.expect("the same"), ended);
    let other = proto::ScheduleDefinition { runs_max: 4, ..definition(7) };
    refused(client.create_schedule(other).await, Grpc::AlreadyExists, "SCHEDULE_EXISTS_DIFFERENT");
    refused(
        client.pause_schedule(schedule_id(7)).await,
        Grpc::FailedPrecondition,
        "SCHEDULE_STATUS",
    );
    refused(client.get_schedule(schedule_id(9)).await, Grpc::NotFound, "SCHEDULE_UNKNOWN");
    let mut wrong = definition(8);
    wrong.calendar.as_mut().expect("there").rule = Some(Rule::Cron("hourly".to_owned()));
    refused(client.create_schedule(wrong).await, Grpc::InvalidArgument, "SCHEDULE_CALENDAR");
    let never = proto::ScheduleDefinition { end_ns: NEW_YEAR_NS + 1, ..definition(8) };
    refused(client.create_schedule(never).await, Grpc::InvalidArgument, "SCHEDULE_NEVER_DUE");
    refused(
        client.create_schedule(proto::ScheduleDefinition::default()).await,
        Grpc::InvalidArgument,
        "SCHEDULE_ID_ZERO",
    );

    let later = proto::ScheduleDefinition { start_ns: 4_000_000_000_000_000_000, ..definition(8) };
    client.create_schedule(later).await.expect("it can be");
    let paused = client.pause_schedule(schedule_id(8)).await.expect("active");
    assert_eq!(paused.status(), ScheduleStatus::Paused);
    let page = client.list_schedules(ScheduleStatus::Paused, 0, None).await.expect("answered");
    assert_eq!((page.schedules, page.next), (vec![paused], None));
    let page = client.list_schedules(ScheduleStatus::Unspecified, 1, None).await.expect("answered");
    assert_eq!(page.schedules.len(), 1);
    let rest = client.list_schedules(ScheduleStatus::Unspecified, 5, page.next).await;
    assert_eq!(rest.expect("answered").schedules.len(), 1);
    let run = client.run_schedule(schedule_id(8), 1).await.expect("paused");
    assert_eq!((run.runs_begun, run.runs[0].by_hand), (1, true));
    refused(
        client.run_schedule(schedule_id(8), 5).await,
        Grpc::FailedPrecondition,
        "SCHEDULE_RUN_NUMBER",
    );
    assert_eq!(
        client.resume_schedule(schedule_id(8)).await.expect("paused").status(),
        ScheduleStatus::Active
    );
    let cancelled = client.cancel_schedule(schedule_id(8)).await.expect("active");
    assert_eq!(cancelled.status(), ScheduleStatus::Cancelled);
    server.stop().await;
}

fn steps() -> Vec<proto::SagaStep> {
    let step = |name: &str, action| proto::SagaStep {
        name: name.to_owned(),
        action: Some(action),
        ..Default::default()
    };
    let hold = proto::SagaHold { transfer: Some(planned(2, 3, "5.00")), timeout_ms: 0 };
    let capture = proto::SagaCapture {
        hold_step: 0,
        amount: "4.00".to_owned(),
        currency: "GBP".to_owned(),
        last: true,
    };
    let mut gift = step("gift", Action::Transfer(planned(4, 2, "1.00")));
    gift.undo = SagaUndo::Nothing.into();
    vec![
        step("hold", Action::Hold(hold)),
        step("hotel", Action::Wait(proto::SagaWait { timeout_ms: 86_400_000 })),
        step("capture", Action::Capture(capture)),
        gift,
    ]
}

pub fn saga(id: u64) -> proto::SagaDefinition {
    proto::SagaDefinition {
        id,
        label: "a night".to_owned(),
        steps: steps(),
        back_off_ms: 1,
        back_off_max_ms: 1,
        attempts_max: 2,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_answered_compensated_stuck_and_resolved() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let started = client.start_saga(saga(7)).await.expect("it can be");
    assert_eq!(started.definition, Some(saga(7)));
    let waiting = saga_until(&server, 7, SagaState::Waiting).await;
    assert_eq!((waiting.step, waiting.until_ns > 0), (1, true));
    assert_eq!(client.start_saga(saga(7)).await.expect("the same"), waiting);
    // The gift cannot be given: the capture is given back, unless it was spent.
    client.answer_saga(saga_id(7), 1, true, "17").await.expect("in time");
    let done = saga_until(&server, 7, SagaState::Compensated).await;
    let states: Vec<_> = done.steps.iter().map(proto::SagaStepRecord::state).collect();
    use SagaStepState::{Failed, Stays, Undone};
    assert_eq!(states, [Stays, Stays, Undone, Failed]);
    assert_eq!(
        (&*done.steps[1].note, done.steps[3].code()),
        ("17", proto::Code::InsufficientFunds)
    );
    refused(
        client.answer_saga(saga_id(7), 1, false, "17").await,
        Grpc::FailedPrecondition,
        "SAGA_ANSWERED_OTHERWISE",
    );
    refused(
        client.answer_saga(saga_id(7), 0, true, "").await,
        Grpc::FailedPrecondition,
        "SAGA_NOT_WAITING",
    );
    refused(client.abort_saga(saga_id(7), "").await, Grpc::FailedPrecondition, "SAGA_STATE");
    refused(client.get_saga(saga_id(9)).await, Grpc::NotFound, "SAGA_UNKNOWN");

    client.start_saga(saga(8)).await.expect("it can be");
    saga_until(&server, 8, SagaState::Waiting).await;
    let aborted = client.abort_saga(saga_id(8), "the guest called").await.expect("it waits");
    assert_eq!(aborted.note, "the guest called");
    saga_until(&server, 8, SagaState::Compensated).await;

    // What was paid is spent before the outside says no.
    let pay = proto::SagaStep {
        name: "pay".to_owned(),
        action: Some(Action::Transfer(planned(2, 3, "3.00"))),
        ..Default::default()
    };
    let steps = vec![pay, steps().swap_remove(1)];
    client.start_saga(proto::SagaDefinition { steps, ..saga(10) }).await.expect("it can be");
    saga_until(&server, 10, SagaState::Waiting).await;
    assert!(client.transfer(transfer(2, 3, 4, 300)).await.expect("answered").is_posted());
    client.answer_saga(saga_id(10), 1, false, "").await.expect("in time");
    let stuck = saga_until(&server, 10, SagaState::Stuck).await;
    assert_eq!((stuck.step, stuck.attempt, stuck.code()), (0, 2, proto::Code::InsufficientFunds));
    let page = client.list_sagas(SagaState::Stuck, 0, None).await.expect("answered");
    assert_eq!((page.sagas, page.next), (vec![stuck], None));
    let wrong = client.resolve_saga(saga_id(10), SagaResolution::Unspecified, "").await;
    refused(wrong, Grpc::InvalidArgument, "SAGA_RESOLUTION_UNKNOWN");
    let closed = client.resolve_saga(saga_id(10), SagaResolution::Close, "case 812").await;
    assert_eq!(closed.expect("stuck").state(), SagaState::Resolved);
    let empty = proto::SagaDefinition { steps: Vec::new(), ..saga(11) };
    refused(client.start_saga(empty).await, Grpc::InvalidArgument, "BATCH_SIZE");

    let filter = EventFilter { kinds: vec![EventKind::Saga], ..EventFilter::default() };
    let mut events = client.subscribe(1, &filter).await.expect("a place");
    let mut told = Vec::new();
    loop {
        let answer = tokio::time::timeout(HANG, events.next()).await.expect("it hangs");
        let answer = answer.expect("sound");
        told.extend(answer.events.into_iter().filter_map(|event| event.driven));
        if answer.caught_up {
            break;
        }
    }
    let of_first: Vec<_> = told.iter().filter(|event| event.id == 7).collect();
    let whats: Vec<&str> = of_first.iter().map(|event| &*event.what).collect();
    let expected = ["started", "begun", "waits", "answered", "begun", "begun", "begun"];
    assert_eq!(whats, expected);
    assert_eq!((of_first[6].step, of_first[6].undo), (2, true));
    server.stop().await;
}
