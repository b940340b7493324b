//! Deadlines, bounds, and how a client ends.

use crate::network::Network;
use crate::support::{BANK, Server, deposits, transfer, transfer_id};
use crate::{batching, patient};
use ducat_actors::handle::EngineOptions;
use ducat_api::client::{BatchingClient, BatchingOptions, ClientError, WhenFull};
use ducat_api::server::{Drained, ServerOptions};
use ducat_api::stream::StreamOptions;
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::transfer::{TransferKind, TransferRequest as EngineRequest};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A deadline that passes while answers are held back.
const SHORT: Duration = Duration::from_millis(50);

/// A server behind a network that holds its answers back, and a client with one message in
/// flight, which is call number 1.
async fn held(options: BatchingOptions) -> (Server, Network, BatchingClient, JoinHandle<()>) {
    let server = Server::start().await;
    server.open(2).await;
    let network = Network::to(server.address).await;
    let options = BatchingOptions { messages_in_flight_max: 1, ..options };
    let client = batching(&network.address, options).await;
    network.hold(true);
    let first = client.clone();
    let first = tokio::spawn(async move {
        let outcome = first.transfer(transfer(1, BANK, 2, 1)).await.expect("answered in the end");
        assert!(outcome.is_posted());
    });
    until(|| client.statistics().messages == 1).await;
    (server, network, client, first)
}

async fn until(condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < Duration::from_secs(120), "it does not come about");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_expires_before_it_was_sent_never_is() {
    let (server, network, client, first) = held(patient()).await;
    let late = client.transfer_within(transfer(2, BANK, 2, 1), SHORT).await;
    let error = late.expect_err("held back");
    assert!(matches!(error, ClientError::DeadlineExceeded { sent: false, .. }), "{error:?}");
    assert!(!error.is_in_doubt() && error.is_retryable());
    let dropped = tokio::time::timeout(SHORT, client.transfer(transfer(3, BANK, 2, 1))).await;
    assert!(dropped.is_err(), "given up by its caller");
    let kept = {
        let client = client.clone();
        tokio::spawn(async move { client.transfer(transfer(4, BANK, 2, 1)).await })
    };
    network.hold(false);
    first.await.expect("no panic");
    assert!(kept.await.expect("no panic").expect("answered").is_posted());
    client.close().await;
    let ids = [1, 2, 3, 4].map(transfer_id);
    let known = server.client.get_transfers(&ids).await.expect("answered");
    let unknown: Vec<u64> = known.unknown.iter().map(|id| id.id).collect();
    assert_eq!(unknown, [2, 3]);
    assert_eq!(client.statistics().transfers_sent, 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_expires_after_it_was_sent_is_in_doubt_and_can_be_asked_for_again() {
    let (server, network, client, first) = held(patient()).await;
    first.abort();
    network.hold(false);
    client.transfer(transfer(2, BANK, 2, 1)).await.expect("answered");
    network.hold(true);
    let late = client.transfer_within(transfer(3, BANK, 2, 1), SHORT).await;
    let error = late.expect_err("held back");
    assert!(matches!(error, ClientError::DeadlineExceeded { sent: true, .. }), "{error:?}");
    assert!(error.is_in_doubt() && error.is_retryable());
    network.hold(false);
    let again = client.transfer(transfer(3, BANK, 2, 1)).await.expect("answered");
    assert!(again.is_posted() && again.repeat, "{again:?}");
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_pass_while_the_server_is_away() {
    let server = Server::start().await;
    server.open(2).await;
    let network = Network::to(server.address).await;
    let client = batching(&network.address, patient()).await;
    // A port that nobody listens on any more.
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (nowhere, home) = (nobody.local_addr().expect("bound"), server.address);
    drop(nobody);
    network.lead_to(nowhere);
    let error = client.transfer_within(transfer(1, BANK, 2, 1), 4 * SHORT).await;
    let error = error.expect_err("nobody there");
    assert!(matches!(error, ClientError::DeadlineExceeded { .. }), "{error:?}");
    network.lead_to(home);
    assert!(client.transfer(transfer(2, BANK, 2, 1)).await.expect("answered").is_posted());
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_wait_waits_outside_or_fails() {
    let options = BatchingOptions { waiting_max: 10, ..patient() };
    let (server, network, client, first) = held(options.clone()).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in 2..=100 {
        let client = client.clone();
        calls.spawn(async move { client.transfer(transfer(id, BANK, 2, 1)).await });
    }
    let late = client.transfer_within(transfer(101, BANK, 2, 1), SHORT).await;
    let error = late.expect_err("no room");
    assert!(matches!(error, ClientError::DeadlineExceeded { sent: false, .. }), "{error:?}");
    let group = client.transfer_group(deposits(200, 11)).await.expect_err("never room");
    assert!(matches!(group, ClientError::Full { limit: 10 }), "{group:?}");
    network.hold(false);
    first.await.expect("no panic");
    for outcome in calls.join_all().await {
        assert!(outcome.expect("answered").is_posted());
    }
    assert!(client.statistics().message_transfers_max <= 10, "{:?}", client.statistics());
    client.close().await;
    server.stop().await;

    let options = BatchingOptions { when_full: WhenFull::Fail, ..options };
    let (server, network, client, first) = held(options).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in 2..=21 {
        let client = client.clone();
        calls.spawn(async move { client.transfer(transfer(id, BANK, 2, 1)).await });
    }
    // Nine wait behind the first.
    for _ in 0..11 {
        let failed = calls.join_next().await.expect("more").expect("no panic");
        let error = failed.expect_err("answers are held back");
        assert!(matches!(error, ClientError::Full { limit: 10 }), "{error:?}");
        assert!(!error.is_in_doubt() && error.is_retryable());
    }
    network.hold(false);
    first.await.expect("no panic");
    let answers = calls.join_all().await;
    assert_eq!(answers.len(), 9);
    assert!(answers.into_iter().all(|answer| answer.expect("answered").is_posted()));
    assert!(client.transfer(transfer(99, BANK, 2, 1)).await.expect("room again").is_posted());
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_engine_is_asked_again() {
    let engine = EngineOptions { in_flight_max: 10_000, ..EngineOptions::default() };
    let streams =
        StreamOptions { room_timeout: Duration::from_millis(1), ..StreamOptions::default() };
    let server = Server::with(engine, ServerOptions { streams, ..ServerOptions::default() }).await;
    server.open(2).await;
    let client = batching(&server.address.to_string(), patient()).await;
    let handle = server.handle.clone();
    // Others keep the engine full.
    let crowd = tokio::spawn(async move {
        for batch in 1u128.. {
            let item = |n: u128| EngineRequest {
                id: TransferId::new(batch << 64 | n).expect("not zero"),
                debit: AccountId::new(BANK.into()).expect("not zero"),
                credit: AccountId::new(2).expect("not zero"),
                amount: 1,
                currency: None,
                kind: TransferKind::Deposit,
                linked: false,
            };
            let requests = (1..=10_000).map(item).collect();
            handle.submit_when_room(requests).await.expect("well-formed");
        }
    });
    let mut id = 0;
    let refused = || client.statistics().transfers_put_back > 0;
    while !refused() {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..50 {
            id += 1;
            let (client, id) = (client.clone(), id);
            calls.spawn(async move { client.transfer(transfer(id, BANK, 2, 1)).await });
        }
        let answered = || client.statistics().transfers_answered == id;
        until(|| refused() || answered()).await;
        if refused() {
            // What was refused gets in once there is room.
            crowd.abort();
        }
        for outcome in calls.join_all().await {
            let outcome = outcome.expect("answered in the end");
            assert!(outcome.is_posted() && !outcome.repeat, "a refused message changed nothing");
        }
    }
    assert_eq!(client.statistics().streams, 1);
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_answers_what_is_in_and_takes_no_more() {
    let (server, network, client, first) = held(patient()).await;
    let mut calls = tokio::task::JoinSet::new();
    for id in 2..=50 {
        let client = client.clone();
        calls.spawn(async move { client.transfer(transfer(id, BANK, 2, 1)).await });
    }
    // The last one in tells that all are: calls join the queue in some order.
    tokio::time::sleep(SHORT).await;
    let closing = {
        let client = client.clone();
        tokio::spawn(async move { client.close().await })
    };
    tokio::time::sleep(SHORT).await;
    assert!(!closing.is_finished(), "a call is in flight");
    let error = client.transfer(transfer(99, BANK, 2, 1)).await.expect_err("closed");
    assert!(matches!(error, ClientError::Closed), "{error:?}");
    network.hold(false);
    closing.await.expect("no panic");
    first.await.expect("no panic");
    let (mut posted, mut closed) = (1, 0);
    for answer in calls.join_all().await {
        match answer {
            Ok(outcome) => posted += u64::from(outcome.is_posted()),
            Err(ClientError::Closed) => closed += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(posted + closed, 50);
    assert_eq!(server.client.get_status(false).await.expect("answered").posted, posted);
    client.close().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_client_leaves_nothing_behind() {
    let server = Server::start().await;
    server.open(2).await;
    let client = batching(&server.address.to_string(), patient()).await;
    let clone = client.clone();
    drop(client);
    assert!(clone.transfer(transfer(1, BANK, 2, 1)).await.expect("a clone lives").is_posted());
    drop(clone);
    // The stream ends with it: a drain has nobody to wait for.
    assert_eq!(server.stop().await, Drained::Completely);
}

#[tokio::test]
async fn options_that_cannot_be_meant_are_refused() {
    let server = Server::start().await;
    for options in [
        BatchingOptions { deadline: Duration::ZERO, ..patient() },
        BatchingOptions { deadline: Duration::from_secs(24 * 3600), ..patient() },
        BatchingOptions { waiting_max: 0, ..patient() },
        BatchingOptions { message_transfers_max: 10_001, ..patient() },
        BatchingOptions { messages_in_flight_max: 0, ..patient() },
        BatchingOptions { retry_pause: Duration::from_secs(2), ..patient() },
    ] {
        let error = server.client.batching(options).await.expect_err("nonsense");
        assert!(matches!(error, ClientError::Options(_)), "{error:?}");
    }
    server.stop().await;
}
