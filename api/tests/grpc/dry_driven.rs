//! Dry runs of schedules, sagas and schedules of fees: what is said is what happens, and nothing is done.

use crate::driven::{definition, planned, refused, saga, saga_id, saga_until, schedule_id};
use crate::kinds::{payments, schedule};
use crate::support::{Server, account, transfer, transfer_id};
use ducat_api::proto::{
    self, Code, HoldState, Outcome, RunState, SagaResolution, SagaState, ScheduleStatus,
    saga_step::Action,
};
use ducat_engine::ids::TransferId;
use std::time::{Duration, Instant};
use tonic::Code as Grpc;

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(60);

/// 2096: no test waits for it.
const FAR_NS: u64 = 4_000_000_000_000_000_000;

/// The hash of the state, its place, and how many ids are remembered.
async fn state(server: &Server) -> (String, u64, u64) {
    let status = server.client.get_status(true).await.expect("answered");
    (status.state_hash, status.last_lsn, status.remembered_ids)
}

/// What does not depend on whether it was meant.
fn told(outcome: &Outcome) -> Outcome {
    let mut told = Outcome { lsn: 0, time_ns: 0, dry_run: false, repeat: false, ..outcome.clone() };
    if let Some(refund) = &mut told.refund {
        refund.original_lsn = 0;
    }
    told
}

async fn outcome_of(server: &Server, id: TransferId) -> Outcome {
    let found = server.client.get_transfers(&[id]).await.expect("answered");
    let record = found.transfers.into_iter().next().expect("decided");
    record.outcome.expect("decided")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_tried_and_then_does_what_was_said() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let later = proto::ScheduleDefinition { start_ns: FAR_NS, runs_max: 7, ..definition(8) };
    let before = state(&server).await;
    let said = client.dry_run_schedule(later.clone()).await.expect("it can be");
    assert_eq!((said.changed, said.dry_run, said.dry_run_lsn), (true, true, before.1));
    assert_eq!(said.upcoming_ns.len(), 5);
    assert!(said.upcoming_ns.is_sorted() && said.upcoming_ns[0] >= FAR_NS);
    let first = said.transfer.expect("told");
    assert_eq!(
        (first.code(), first.id, first.lsn, first.dry_run),
        (Code::Posted, 0, before.1, true)
    );
    assert_eq!(first.debit.map(|balance| balance.posted_minor), Some(850));
    let shown = said.schedule.expect("told");
    assert_eq!((shown.defined_lsn, shown.next_due_ns), (0, said.upcoming_ns[0]));
    // Accepted, though its transfer would be refused as things stand.
    let poor = proto::ScheduleDefinition { transfer: Some(planned(3, 2, "1.00")), ..later.clone() };
    let poor = client.dry_run_schedule(poor).await.expect("it can be");
    assert_eq!(poor.transfer.expect("told").code(), Code::InsufficientFunds);
    let never = proto::ScheduleDefinition { end_ns: FAR_NS + 1, ..later.clone() };
    refused(client.dry_run_schedule(never).await, Grpc::InvalidArgument, "SCHEDULE_NEVER_DUE");
    refused(client.dry_run_pause(schedule_id(8)).await, Grpc::NotFound, "SCHEDULE_UNKNOWN");
    assert_eq!(state(&server).await, before);

    let defined = client.create_schedule(later.clone()).await.expect("it can be");
    assert_eq!(proto::Schedule { defined_lsn: 0, ..defined.clone() }, shown);
    let before = state(&server).await;
    let again = client.dry_run_schedule(later.clone()).await.expect("the same");
    assert_eq!((again.changed, again.schedule.as_ref()), (false, Some(&defined)));
    assert_eq!((again.transfer, again.upcoming_ns), (None, said.upcoming_ns.clone()));
    let other = proto::ScheduleDefinition { runs_max: 4, ..later };
    let other = client.dry_run_schedule(other).await;
    refused(other, Grpc::AlreadyExists, "SCHEDULE_EXISTS_DIFFERENT");
    let paused = client.dry_run_pause(schedule_id(8)).await.expect("active");
    assert_eq!(paused.schedule.expect("told").status(), ScheduleStatus::Paused);
    assert!(paused.changed && paused.upcoming_ns.is_empty() && paused.transfer.is_none());
    let active = client.dry_run_resume(schedule_id(8)).await.expect("active");
    assert!(!active.changed);
    let cancelled = client.dry_run_cancel(schedule_id(8)).await.expect("active");
    assert_eq!(cancelled.schedule.expect("told").status(), ScheduleStatus::Cancelled);
    let run = client.dry_run_run(schedule_id(8), 1).await.expect("active");
    let wrong = client.dry_run_run(schedule_id(8), 5).await;
    refused(wrong, Grpc::FailedPrecondition, "SCHEDULE_RUN_NUMBER");
    assert_eq!(state(&server).await, before, "nothing was done");

    client.run_schedule(schedule_id(8), 1).await.expect("active");
    let end = Instant::now() + HANG;
    let posted = loop {
        let runs = client.get_schedule(schedule_id(8)).await.expect("known").runs;
        if runs[0].state() == RunState::Posted {
            break runs[0];
        }
        assert!(Instant::now() < end, "{runs:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let id = TransferId::from_halves(posted.transfer_id_high, posted.transfer_id);
    let came_to = outcome_of(&server, id.expect("not zero")).await;
    assert_eq!(told(&run.transfer.expect("told")), told(&came_to));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_tried_step_by_step() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let before = state(&server).await;
    let said = client.dry_run_saga(saga(7)).await.expect("it can be");
    assert_eq!((said.changed, said.dry_run, said.dry_run_lsn), (true, true, before.1));
    let hold = said.request.expect("told");
    assert_eq!((hold.code(), hold.id, hold.dry_run), (Code::Posted, 0, true));
    assert_eq!(hold.debit.map(|balance| balance.available_minor), Some(500));
    let held = hold.hold.expect("placed");
    assert_eq!((held.state(), held.remaining_minor), (HoldState::Open, 500));
    let shown = said.saga.expect("told");
    assert_eq!((shown.state(), shown.started_lsn, shown.changed_lsn), (SagaState::Running, 0, 0));
    let empty = proto::SagaDefinition { label: "x".repeat(200), ..saga(11) };
    refused(client.dry_run_saga(empty).await, Grpc::InvalidArgument, "SAGA_FIELD");
    refused(client.dry_run_abort(saga_id(7)).await, Grpc::NotFound, "SAGA_UNKNOWN");
    assert_eq!(state(&server).await, before);

    client.start_saga(saga(7)).await.expect("it can be");
    saga_until(&server, 7, SagaState::Waiting).await;
    let before = state(&server).await;
    assert!(!client.dry_run_saga(saga(7)).await.expect("the same").changed);
    let answer = |done| proto::AnswerSagaRequest { id: 7, step: 1, done, ..Default::default() };
    // Yes: the capture would be next. No: the hold would be voided.
    let yes = client.dry_run_answer(answer(true)).await.expect("it waits");
    let captured = yes.request.expect("told");
    assert_eq!(captured.hold.as_ref().map(|hold| hold.captured_minor), Some(400));
    assert_eq!(captured.credit.as_ref().map(|balance| balance.posted_minor), Some(400));
    for voided in
        [client.dry_run_answer(answer(false)).await, client.dry_run_abort(saga_id(7)).await]
    {
        let voided = voided.expect("it waits").request.expect("told");
        assert_eq!(voided.hold.map(|hold| hold.state()), Some(HoldState::Voided));
    }
    let wrong = client.dry_run_answer(proto::AnswerSagaRequest { step: 0, ..answer(true) }).await;
    refused(wrong, Grpc::FailedPrecondition, "SAGA_NOT_WAITING");
    let unstuck = client.dry_run_resolve(saga_id(7), SagaResolution::Retry).await;
    refused(unstuck, Grpc::FailedPrecondition, "SAGA_STATE");
    assert_eq!(state(&server).await, before, "nothing was done");
    client.answer_saga(saga_id(7), 1, true, "").await.expect("it waits");
    saga_until(&server, 7, SagaState::Compensated).await;
    assert_eq!(told(&captured), told(&outcome_of(&server, id_of(&captured)).await));
    server.stop().await;
}

fn id_of(outcome: &Outcome) -> TransferId {
    TransferId::from_halves(outcome.id_high, outcome.id).expect("not zero")
}

/// What a compensation gives back is read from the journal before it is judged.
#[tokio::test(flavor = "multi_thread")]
async fn the_compensation_of_a_saga_is_tried_with_its_original() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let step = |name: &str, action| proto::SagaStep {
        name: name.to_owned(),
        action: Some(action),
        ..Default::default()
    };
    let pay = step("pay", Action::Transfer(planned(2, 3, "3.00")));
    let wait = step("wait", Action::Wait(proto::SagaWait { timeout_ms: 86_400_000 }));
    let definition = proto::SagaDefinition { steps: vec![pay, wait], ..saga(10) };
    client.start_saga(definition).await.expect("it can be");
    saga_until(&server, 10, SagaState::Waiting).await;
    let back = client.dry_run_abort(saga_id(10)).await.expect("it waits");
    assert_eq!(back.saga.expect("told").state(), SagaState::Compensating);
    let back = back.request.expect("told");
    assert_eq!(back.refund.as_ref().map(|refund| refund.amount_minor), Some(300));
    assert_eq!(back.credit.map(|balance| balance.posted_minor), Some(1_000));
    // Spent meanwhile: it would be refused, and later, once it is stuck, as well.
    assert!(client.transfer(transfer(2, 3, 4, 300)).await.expect("answered").is_posted());
    let poor = client.dry_run_abort(saga_id(10)).await.expect("it waits");
    assert_eq!(poor.request.expect("told").code(), Code::InsufficientFunds);
    client.abort_saga(saga_id(10), "").await.expect("it waits");
    saga_until(&server, 10, SagaState::Stuck).await;
    let before = state(&server).await;
    let stuck = client.dry_run_resolve(saga_id(10), SagaResolution::Retry).await.expect("stuck");
    assert_eq!(stuck.request.expect("told").code(), Code::InsufficientFunds);
    let closed = client.dry_run_resolve(saga_id(10), SagaResolution::Close).await.expect("stuck");
    assert_eq!(closed.saga.expect("told").state(), SagaState::Resolved);
    assert_eq!((closed.changed, closed.request), (true, None));
    assert_eq!(state(&server).await, before, "nothing was done");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_of_fees_are_tried() {
    let server = Server::funded(4).await;
    let client = &server.client;
    let before = state(&server).await;
    let said = client.dry_run_fee(schedule("card"), "10.00").await.expect("allowed");
    assert_eq!((said.lsn, said.dry_run_lsn, said.changed), (0, before.1, true));
    assert_eq!((said.replaces, said.example_fee.as_str()), (None, "0.34"));
    let amount = client.dry_run_fee(schedule("card"), "ten").await;
    refused(amount, Grpc::InvalidArgument, "AMOUNT_MALFORMED");
    let unknown = client.dry_run_attach_fee(payments(), "card").await;
    refused(unknown, Grpc::NotFound, "SCHEDULE_UNKNOWN");
    let outside = proto::FeeSchedule { account: 1, ..schedule("card") };
    refused(client.dry_run_fee(outside, "").await, Grpc::FailedPrecondition, "FEE_NOT_ALLOWED");
    assert_eq!(state(&server).await, before);

    client.define_fee(schedule("card")).await.expect("allowed");
    client.define_fee(schedule("wire")).await.expect("allowed");
    client.attach_fee(payments(), "card").await.expect("allowed");
    let before = state(&server).await;
    assert!(!client.dry_run_fee(schedule("card"), "").await.expect("allowed").changed);
    let dearer = proto::FeeSchedule { flat: "0.30".to_owned(), ..schedule("card") };
    let said = client.dry_run_fee(dearer, "").await.expect("allowed");
    let replaces = said.replaces.map(|before| (before.name, before.flat));
    assert_eq!((said.changed, replaces), (true, Some(("card".to_owned(), "0.20".to_owned()))));
    assert_eq!(said.example_fee, "");
    for (name, changed) in [("card", false), ("wire", true), ("", true)] {
        let said = client.dry_run_attach_fee(payments(), name).await.expect("allowed");
        assert_eq!(
            (said.changed, said.replaces.as_str(), said.lsn),
            (changed, "card", 0),
            "{name}"
        );
    }
    assert_eq!(state(&server).await, before, "nothing was done");
    // The fee that was told is the fee that is taken.
    let own = transfer_id(50);
    let plain = proto::TransferRequest::plain(own, account(2), account(3), 500);
    let kind = proto::TransferKind::Payment as i32;
    let paid = client.transfer(proto::TransferRequest { kind, ..plain }).await.expect("answered");
    let fee = client.dry_run_fee(schedule("card"), "5.00").await.expect("allowed").example_fee;
    assert_eq!((paid.fee.expect("due").amount_minor, fee.as_str()), (27, "0.27"));
    server.stop().await;
}
