//! More than the engine can do: what is refused or dropped was never begun, what is begun is
//! answered, and when the load falls everything is taken again. The journal here writes when
//! the test lets it, so that what waits, waits.

mod support;

use ducat_actors::handle::{EngineOptions, Handle, Pending, RequestError};
use ducat_actors::start::Engine;
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::transfer::TransferRequest;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::valve::{Valve, Valved};
use support::{BANK, journal, open, submit, transfer};

const MS: Duration = Duration::from_millis(1);

/// Transfers decided ahead of a disk that stands still: 7 batches of 10,000.
const AHEAD: u128 = 70_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_in_the_queue_was_never_begun() {
    let (engine, valve) = start(EngineOptions::default()).await;
    let handle = engine.handle();
    let ahead = stand_still(&handle, &valve).await;
    let before = handle.status().last_lsn;
    let deadline = Instant::now() + 100 * MS;
    let late = handle.submit_by(deposits(1, 10), Some(deadline)).expect("not behind yet");
    let wanted = handle.submit(deposits(11, 10)).expect("not behind yet");
    tokio::time::sleep_until((deadline + MS).into()).await;
    valve.open();
    assert_eq!(late.outcomes().await, Err(RequestError::Expired));
    assert_posted(wanted.outcomes().await);
    for batch in ahead {
        assert_posted(batch.outcomes().await);
    }
    let status = handle.status();
    assert_eq!(status.last_lsn, Lsn(before.0 + 10), "an expired batch takes no LSN");
    assert_eq!(status.durable_lsn, status.last_lsn);
    assert_eq!((status.expired, status.abandoned), (1, 0));
    assert_unknown(&handle, 1, 10).await;
    let again = submit(&handle, deposits(1, 10)).await;
    assert!(again.iter().all(|o| o.rejection.is_none() && !o.repeat));
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_begun_is_answered_whatever_the_clock_says() {
    let (engine, valve) = start(EngineOptions::default()).await;
    let handle = engine.handle();
    valve.close();
    let before = handle.status().last_lsn;
    let deadline = Instant::now() + 500 * MS;
    let kept = handle.submit_by(deposits(1, 10), Some(deadline)).expect("idle");
    let left = handle.submit_by(deposits(11, 10), Some(deadline)).expect("idle");
    decided(&handle, before.0 + 20).await;
    // One caller waits beyond its deadline, the other has given up.
    drop(left);
    tokio::time::sleep_until((deadline + MS).into()).await;
    valve.open();
    assert_posted(kept.outcomes().await);
    let again = submit(&handle, deposits(11, 10)).await;
    assert!(again.iter().all(|o| o.rejection.is_none() && o.repeat), "it was decided");
    assert_eq!((handle.status().expired, handle.status().abandoned), (0, 0));
    let over = handle.submit_by(deposits(30, 1), Some(deadline)).err();
    assert_eq!(over, Some(RequestError::Expired), "over before it came");
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_not_begun() {
    let (engine, valve) = start(EngineOptions::default()).await;
    let handle = engine.handle();
    let ahead = stand_still(&handle, &valve).await;
    let before = handle.status().last_lsn;
    // The first is in the coordinator's hands already, the second in the queue.
    drop(handle.submit(deposits(1, 10)).expect("not behind yet"));
    drop(handle.submit(deposits(11, 10)).expect("not behind yet"));
    valve.open();
    for batch in ahead {
        assert_posted(batch.outcomes().await);
    }
    let again = submit(&handle, deposits(1, 20)).await;
    assert!(again.iter().all(|o| o.rejection.is_none() && !o.repeat));
    let status = handle.status();
    assert_eq!((status.abandoned, status.last_lsn), (2, Lsn(before.0 + 20)));
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_behind_says_so_at_once_and_takes_everything_afterwards() {
    let options = EngineOptions { queue_delay_max: 50 * MS, ..EngineOptions::default() };
    let limit = options.in_flight_max as u64;
    let (engine, valve) = start(options).await;
    let handle = engine.handle();
    let mut admitted = stand_still(&handle, &valve).await;
    admitted.push(handle.submit(deposits(1, 10)).expect("not behind yet"));
    tokio::time::sleep(60 * MS).await;
    let mut refused = 0;
    for id in 0..1_000 {
        match handle.submit(deposits(1_000 + id, 1)) {
            Err(RequestError::Overloaded { delay, bound }) => {
                assert!(delay > bound && bound == 50 * MS);
                refused += 1;
            }
            other => panic!("{:?}", other.err()),
        }
    }
    // A deadline asks for more: half of what is left of it must do.
    assert!(matches!(
        handle.check_admission(Some(Instant::now() + 60 * MS)),
        Err(RequestError::Overloaded { bound, .. }) if bound <= 30 * MS
    ));
    let status = handle.status();
    assert_eq!((status.overloaded, status.in_flight), (refused + 1, AHEAD as u64 + 10));
    assert!(status.in_flight <= limit && status.queue_delay > 50 * MS);
    // A stream's batch waits instead, and so does not add to what waits.
    let patient = tokio::spawn({
        let handle = handle.clone();
        async move { handle.submit_when_room(deposits(500, 10)).await.expect("up").outcomes().await }
    });
    let hasty = handle.submit_when_room_by(deposits(600, 10), Some(Instant::now() + 20 * MS));
    assert_eq!(hasty.await.err(), Some(RequestError::Expired));
    assert!(!patient.is_finished());
    assert_eq!(handle.status().in_flight, AHEAD as u64 + 10);
    valve.open();
    for batch in admitted {
        assert_posted(batch.outcomes().await);
    }
    assert_posted(patient.await.expect("no panic"));
    assert_eq!(handle.status().queue_delay, Duration::ZERO);
    assert_unknown(&handle, 1_000, 1_000).await;
    let again = submit(&handle, deposits(1_000, 1_000)).await;
    assert!(again.iter().all(|o| o.rejection.is_none() && !o.repeat));
    engine.shutdown().await.expect("drains");
}

/// What can wait is held back long before what cannot is refused, and so does not stand before it.
#[tokio::test(flavor = "multi_thread")]
async fn streams_wait_while_calls_are_still_let_in() {
    let options = EngineOptions { queue_delay_max: 8_000 * MS, ..EngineOptions::default() };
    let (engine, valve) = start(options).await;
    let handle = engine.handle();
    let mut admitted = stand_still(&handle, &valve).await;
    admitted.push(handle.submit(deposits(1, 10)).expect("nothing waits"));
    while handle.status().queue_delay <= 1_000 * MS {
        tokio::time::sleep(10 * MS).await;
    }
    let in_flight = handle.status().in_flight;
    let hasty = handle.submit_when_room_by(deposits(600, 10), Some(Instant::now() + 100 * MS));
    assert_eq!(hasty.await.err(), Some(RequestError::Expired));
    assert_eq!(handle.status().in_flight, in_flight, "a stream has added to what waits");
    admitted.push(handle.submit(deposits(500, 10)).expect("far from the bound"));
    valve.open();
    for batch in admitted {
        assert_posted(batch.outcomes().await);
    }
    let pending = handle.submit_when_room(deposits(600, 10)).await.expect("nothing waits");
    assert_posted(pending.outcomes().await);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_is_both_refused_and_posted() {
    let options = EngineOptions { queue_delay_max: 5 * MS, ..EngineOptions::default() };
    let (engine, valve) = start(options).await;
    let handle = engine.handle();
    // Stands still and goes on, so that every way to end is taken: a fast engine is behind only when
    // somebody sees to it.
    let moving = tokio::spawn({
        let handle = handle.clone();
        async move {
            let mut attempts = Vec::new();
            for turn in 0..40u128 {
                if turn % 2 == 0 {
                    valve.close();
                } else {
                    valve.open();
                }
                if turn == 10 {
                    attempts = until_refused(&handle, 100_000_000).await;
                }
                tokio::time::sleep(15 * MS).await;
            }
            valve.open();
            let mut ended = Vec::new();
            for (first, result) in attempts {
                ended.push((
                    first,
                    Some(match result {
                        Ok(pending) => pending.outcomes().await,
                        Err(error) => Err(error),
                    }),
                ));
            }
            ended
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8u128 {
        let (handle, mut attempts) = (handle.clone(), Vec::new());
        clients.spawn(async move {
            for turn in 0..60u128 {
                let first = (client * 1_000 + turn) * 10_000 + 1;
                let count = if turn % 3 == 0 { 3_000 } else { 7 };
                let deadline = Instant::now() + MS * (turn as u32 % 5) * 8;
                let deadline = (turn % 2 != 0).then_some(deadline);
                let patience = if turn % 7 == 0 { MS } else { 1_000 * MS };
                let batch = deposits(first, count);
                let result = match handle.submit_by(batch, deadline) {
                    // Gives up after a while, as a client does.
                    Ok(pending) => tokio::time::timeout(patience, pending.outcomes()).await.ok(),
                    Err(error) => Some(Err(error)),
                };
                tokio::time::sleep(5 * MS).await;
                attempts.push((first, result));
            }
            attempts
        });
    }
    let mut attempts = Vec::new();
    while let Some(of_one) = clients.join_next().await {
        attempts.extend(of_one.expect("no panic"));
    }
    attempts.extend(moving.await.expect("no panic"));
    let (mut posted, mut overloaded, mut expired, mut in_doubt) = (0, 0, 0, 0);
    for (first, result) in attempts {
        // What it left behind is looked at before it is asked again.
        let known = handle.transfers(vec![id(first)]).await.expect("up")[0].is_some();
        match result {
            Some(Ok(outcomes)) => {
                assert!(known && outcomes.iter().all(|o| o.rejection.is_none() && !o.repeat));
                posted += 1;
            }
            Some(Err(error)) => {
                assert!(!known, "{first}: {error}");
                match error {
                    RequestError::Overloaded { .. } | RequestError::Busy { .. } => overloaded += 1,
                    RequestError::Expired => expired += 1,
                    other => panic!("{other}"),
                }
            }
            None => in_doubt += 1,
        }
        let again = submit(&handle, deposits(first, 1)).await;
        assert_eq!((again[0].rejection, again[0].repeat), (None, known), "{first}");
    }
    let found = (posted > 0, overloaded > 0, expired > 0, in_doubt > 0);
    assert_eq!(found, (true, true, true, true), "{posted} {overloaded} {expired} {in_doubt}");
    engine.shutdown().await.expect("drains");
}

/// Closes the valve and has the engine decide as much as it does ahead of the disk.
async fn stand_still(handle: &Handle, valve: &Valve) -> Vec<Pending> {
    valve.close();
    let before = handle.status().last_lsn;
    let mut ahead = Vec::new();
    for batch in 1..=7 {
        let deposits = deposits(1_000_000 + batch * 10_000, 10_000);
        ahead.push(handle.submit(deposits).expect("room"));
        decided(handle, before.0 + batch as u64 * 10_000).await;
    }
    ahead
}

/// Asks for more and more of an engine that stands still, until it refuses.
async fn until_refused(handle: &Handle, first: u128) -> Vec<(u128, Result<Pending, RequestError>)> {
    let mut attempts = Vec::new();
    while attempts.last().is_none_or(|(_, result): &(_, Result<_, _>)| result.is_ok()) {
        let first = first + attempts.len() as u128 * 10_000;
        attempts.push((first, handle.submit(deposits(first, 10_000))));
        tokio::time::sleep(MS).await;
    }
    attempts
}

async fn decided(handle: &Handle, lsn: u64) {
    while handle.status().last_lsn.0 < lsn {
        tokio::time::sleep(MS).await;
    }
}

fn id(id: u128) -> TransferId {
    TransferId::new(id).expect("not zero")
}

fn deposits(first: u128, count: u128) -> Vec<TransferRequest> {
    (first..first + count).map(|id| transfer(id, BANK, 2, 1)).collect()
}

fn assert_posted(outcomes: Result<Vec<ducat_engine::transfer::Outcome>, RequestError>) {
    let outcomes = outcomes.expect("answered");
    assert!(outcomes.iter().all(|o| o.rejection.is_none()));
}

async fn assert_unknown(handle: &Handle, first: u128, count: u128) {
    let ids = (first..first + count).map(id).collect();
    let found = handle.transfers(ids).await.expect("up");
    assert!(found.iter().all(Option::is_none), "something was posted");
}

async fn start(options: EngineOptions) -> (Engine, Valve) {
    let valve = Valve::default();
    let journal = Valved::new(journal(), &valve);
    let engine = Engine::start(options, Arc::new(journal), "test", Box::new(|_| {})).await;
    let engine = engine.expect("starts");
    open(&engine.handle(), 2).await;
    (engine, valve)
}
