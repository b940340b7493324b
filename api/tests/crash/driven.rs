//! SIGKILL while schedules run and sagas advance. What the engine asks for by itself has ids of its own,
//! so whatever is done twice or left out shows in the accounts: every run is one entry, every saga
//! that ended is done whole or undone whole.

use crate::attack::{Attack, dice, tries};
use crate::ledger::{COLD, WORLD_GBP, account, open};
use crate::server::{Launch, Server};
use crate::table::Row;
use ducat_api::client::{Client, ClientError};
use ducat_api::proto::{
    self, SagaState, ScheduleStatus, TransferKind, saga_step::Action, schedule_calendar::Rule,
};
use ducat_engine::ids::{SagaId, ScheduleId};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Accounts that schedules pay; each run begins one schedule.
const PAID: u64 = 3;

/// Runs of each; all of them are due from the beginning, one after another.
const RUNS: u32 = 150;

/// Sagas that each run begins. Each other one waits in vain in the end, and is undone.
const SAGAS_EACH: u64 = 20;

/// Account pairs that sagas share.
const PAIRS: u64 = 4;

/// 2024-01-01T00:00:00Z.
const NEW_YEAR_NS: u64 = 1_704_067_200_000_000_000;

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(120);

fn planned(debit: u64, credit: u64, amount: &str) -> proto::PlannedTransfer {
    let deposit = debit == WORLD_GBP;
    let kind = if deposit { TransferKind::Deposit } else { TransferKind::Transfer };
    proto::PlannedTransfer {
        debit_account: debit,
        credit_account: credit,
        amount: amount.to_owned(),
        currency: "GBP".to_owned(),
        kind: kind as i32,
        ..Default::default()
    }
}

fn schedule(number: u64) -> proto::ScheduleDefinition {
    proto::ScheduleDefinition {
        id: number + 1,
        transfer: Some(planned(WORLD_GBP, COLD.start + number % PAID, "0.05")),
        calendar: Some(proto::ScheduleCalendar {
            rule: Some(Rule::Cron("* * * * *".to_owned())),
            time_zone: "UTC".to_owned(),
            ..Default::default()
        }),
        start_ns: NEW_YEAR_NS,
        runs_max: RUNS,
        ..Default::default()
    }
}

/// The accounts of a saga: the first is paid from outside and pays the second.
fn pair(number: u64) -> (u64, u64) {
    let first = COLD.start + PAID + 2 * (number % PAIRS);
    (first, first + 1)
}

/// 0.07 to the first account, 0.03 of it on to the second; and perhaps what never comes.
fn saga(number: u64) -> proto::SagaDefinition {
    let step = |action| proto::SagaStep { action: Some(action), ..Default::default() };
    let (first, second) = pair(number);
    let mut steps = vec![
        step(Action::Transfer(planned(WORLD_GBP, first, "0.07"))),
        step(Action::Transfer(planned(first, second, "0.03"))),
    ];
    if is_undone(number) {
        steps.push(step(Action::Wait(proto::SagaWait { timeout_ms: 20 })));
    }
    proto::SagaDefinition {
        id: number + 1,
        steps,
        back_off_ms: 1,
        back_off_max_ms: 1,
        attempts_max: 2,
        ..Default::default()
    }
}

const fn is_undone(number: u64) -> bool {
    number % 2 == 1
}

#[test]
fn killed_while_schedules_run_and_sagas_advance_each_is_done_once() {
    let runtime = Runtime::new().expect("a runtime");
    let mut dice = dice("SIGKILL amid schedules and sagas");
    let mut row = Row::new("SIGKILL while schedules run and sagas advance");
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let (kills, mut amid) = (tries("DUCAT_KILLS", 4), 0);
    for run in 0..kills {
        let launch = Launch::with(&["--partitions", ["1", "2", "4"][run % 3]]);
        let server = launch.start(&data).expect("it starts");
        // Each run has something new to do, so that every kill comes amid work.
        let begun = run as u64 + 1;
        amid += runtime.block_on(begin(&server, begun)).expect("the server answers");
        Attack::pause(&mut dice, 120);
        server.kill();
        row.runs += 1;
    }
    let server = Launch::default().start(&data).expect("it starts");
    let all = kills as u64;
    runtime.block_on(begin(&server, all)).expect("the server answers");
    runtime.block_on(ended(&server, all)).expect("the server answers");
    runtime.block_on(check(&server, all)).expect("the server answers");
    server.terminate();
    assert_eq!(server.wait().status.code(), Some(0));
    row.note(format!(
        "{all} schedules of {RUNS} runs, {} sagas, half of them undone; {amid} not over when they \
         were asked for before a kill",
        all * SAGAS_EACH
    ));
    row.finish();
}

/// Opens accounts, defines and starts what so many runs begin, to the letter as before; gives how
/// many of it was not over then.
async fn begin(server: &Server, runs: u64) -> Result<usize, ClientError> {
    let client = Client::connect(server.address()).await?;
    open(&client).await?;
    let mut open = 0;
    for number in 0..runs {
        let found = client.create_schedule(schedule(number)).await?;
        open += usize::from(found.status() == ScheduleStatus::Active);
    }
    for number in 0..runs * SAGAS_EACH {
        let found = client.start_saga(saga(number)).await?;
        open += usize::from(!is_over(found.state()));
    }
    Ok(open)
}

const fn is_over(state: SagaState) -> bool {
    matches!(state, SagaState::Completed | SagaState::Compensated)
}

/// Waits until every schedule and every saga has come to its end.
async fn ended(server: &Server, runs: u64) -> Result<(), ClientError> {
    let client = Client::connect(server.address()).await?;
    let since = Instant::now();
    for number in 0..runs {
        let id = ScheduleId::new(u128::from(number + 1)).expect("not zero");
        loop {
            let found = client.get_schedule(id).await?;
            if found.status() == ScheduleStatus::Ended {
                assert_eq!(found.runs_begun, u64::from(RUNS));
                break;
            }
            assert!(since.elapsed() < HANG, "{found:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for number in 0..runs * SAGAS_EACH {
        let id = SagaId::new(u128::from(number + 1)).expect("not zero");
        loop {
            let found = client.get_saga(id).await?;
            if is_over(found.state()) {
                let undone = found.state() == SagaState::Compensated;
                assert_eq!(undone, is_undone(number), "{found:?}");
                break;
            }
            assert!(since.elapsed() < HANG, "{found:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

/// The amounts of an account's entries, minor units, sorted.
async fn amounts(client: &Client, id: u64) -> Result<Vec<i128>, ClientError> {
    let (mut amounts, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.list_entries(account(id), 1_000, &cursor).await?;
        amounts.extend(page.entries.iter().map(|entry| crate::standing::minor(&entry.amount)));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    amounts.sort_unstable();
    Ok(amounts)
}

/// Every run and every step is one entry, and what was undone was so once.
async fn check(server: &Server, runs: u64) -> Result<(), ClientError> {
    let client = Client::connect(server.address()).await?;
    for paid in 0..PAID {
        let schedules = (0..runs).filter(|number| number % PAID == paid).count();
        let found = amounts(&client, COLD.start + paid).await?;
        assert_eq!(found, vec![5; schedules * RUNS as usize], "account {paid}");
    }
    for pair_number in 0..PAIRS {
        let (first, second) = pair(pair_number);
        let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
        for number in (0..runs * SAGAS_EACH).filter(|number| number % PAIRS == pair_number) {
            of_first.extend([7, -3]);
            of_second.push(3);
            if is_undone(number) {
                of_first.extend([3, -7]);
                of_second.push(-3);
            }
        }
        of_first.sort_unstable();
        of_second.sort_unstable();
        assert_eq!(amounts(&client, first).await?, of_first, "account {first}");
        assert_eq!(amounts(&client, second).await?, of_second, "account {second}");
    }
    let verified = client.verify_balances().await?;
    assert!(verified.sound, "{verified:?}");
    Ok(())
}
