//! What surrounds the services: message sizes, bounds, health, reflection, the drain.

use crate::support::{BANK, Server, account, codes, deposits, transfer, transfer_id};
use ducat_actors::handle::EngineOptions;
use ducat_api::client::{Client, ClientError};
use ducat_api::convert::TIMEOUT_MS_MAX;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, Code};
use ducat_api::server::{Drained, ServerOptions};
use std::time::Duration;
use tonic::Code as Grpc;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_batch_fits_and_a_larger_message_does_not() {
    let server = Server::start().await;
    server.client.define_asset("LONGCODE1234", 18).await.expect("new");
    let full = |id: u64| proto::TransferRequest {
        id,
        id_high: u64::MAX,
        debit_account: u64::MAX,
        debit_account_high: u64::MAX,
        credit_account: u64::MAX - 1,
        credit_account_high: u64::MAX,
        amount_minor: 0,
        amount: "79228162514.264337593543950335".into(),
        currency: "LONGCODE1234".into(),
        kind: 2,
        linked: id < 10_000,
        operation: proto::Operation::Hold.into(),
        timeout_ms: TIMEOUT_MS_MAX,
        over_capture_max: "79228162514.264337593543950335".into(),
        ..Default::default()
    };
    let batch: Vec<_> = (1..=10_000).map(full).collect();
    let outcomes = server.client.create_transfers(batch).await.expect("fits");
    assert_eq!(outcomes.len(), 10_000);

    let mut raw = LedgerClient::new(server.channel().await);
    let transfers = (1..=20_000).map(full).collect();
    let status =
        raw.create_transfers(proto::CreateTransfersRequest { transfers, dry_run: false }).await;
    assert_eq!(status.expect_err("too large").code(), Grpc::OutOfRange);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_explained_refusals_come_back() {
    let server = Server::start().await;
    server.open(2).await;
    let batch: Vec<_> = (1..=10_000).map(|id| transfer(id, 2, BANK, 77)).collect();
    let outcomes = server.client.create_transfers(batch).await.expect("well-formed");
    assert!(codes(&outcomes).iter().all(|code| *code == Code::InsufficientFunds));
    assert!(outcomes.iter().all(|o| o.explanation.contains("0.77 GBP needed")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_engine_says_so_and_when_to_come_back() {
    let engine = EngineOptions { in_flight_max: 10_000, ..EngineOptions::default() };
    let server = Server::with(engine, ServerOptions::default()).await;
    server.open(2).await;
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..64u64 {
        let client = server.client.clone();
        calls.spawn(async move { client.create_transfers(deposits(call * 9000 + 1, 9000)).await });
    }
    let (mut posted, mut refused) = (0, 0);
    while let Some(result) = calls.join_next().await {
        match result.expect("no panic") {
            Ok(outcomes) => posted += outcomes.len() as u64,
            Err(ClientError::Refused(why)) => {
                assert_eq!(
                    (why.code, why.reason.as_str()),
                    (Grpc::ResourceExhausted, "ENGINE_FULL")
                );
                assert!(why.retry_after.is_some_and(|wait| wait > Duration::ZERO));
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(posted >= 9000 && refused > 0, "{posted} posted, {refused} refused");
    let status = server.client.get_status(true).await.expect("answered");
    assert_eq!(status.posted, posted, "a refused batch changed nothing");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_on_many_connections_happens_once() {
    let server = Server::start().await;
    server.open(2).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let client = Client::connect(&server.address.to_string()).await.expect("listens");
        calls.spawn(async move { client.transfer(transfer(1, BANK, 2, 500)).await });
    }
    let mut firsts = 0;
    let mut lsns = std::collections::HashSet::new();
    while let Some(outcome) = calls.join_next().await {
        let outcome = outcome.expect("no panic").expect("answered");
        firsts += u32::from(!outcome.repeat);
        lsns.insert(outcome.lsn);
    }
    assert_eq!((firsts, lsns.len()), (1, 1));
    let found = server.client.get_accounts(&[account(2)]).await.expect("known");
    assert_eq!(found.accounts[0].posted, "5.00");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let options = ServerOptions { connections_max: 1, ..ServerOptions::default() };
    let server = Server::with(EngineOptions::default(), options).await;
    server.client.get_status(false).await.expect("holds the only place");
    let second = Client::connect(&server.address.to_string()).await;
    if let Ok(second) = &second {
        let waiting = tokio::time::timeout(Duration::from_millis(300), second.get_status(false));
        assert!(waiting.await.is_err(), "there was no place");
    }
    server.client.get_status(false).await.expect("still served");
    drop(second);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_turns_with_the_drain() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel().await);
    let check = |service: &str| HealthCheckRequest { service: service.into() };
    for service in ["", "ducat.v1.Ledger", "ducat.v1.Operator"] {
        let answer = health.check(check(service)).await.expect("known").into_inner();
        assert_eq!(answer.status, 1, "{service} is serving");
    }
    let mut watch = health.watch(check("ducat.v1.Ledger")).await.expect("known").into_inner();
    assert_eq!(watch.message().await.expect("no error").expect("the first").status, 1);
    let watched = async move {
        assert_eq!(watch.message().await.expect("no error").expect("a change").status, 2);
        assert_eq!(watch.message().await.expect("no error"), None, "a watch holds no drain up");
        drop((watch, health));
    };
    let ((), drained) = tokio::join!(watched, server.stop());
    assert_eq!(drained, Drained::Completely);
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_lists_the_services() {
    let server = Server::start().await;
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection.server_reflection_info(tokio_stream::once(request)).await;
    let answer = answers.expect("offered").into_inner().message().await.expect("no error");
    let Some(ServerReflectionResponse {
        message_response: Some(MessageResponse::ListServicesResponse(list)),
        ..
    }) = answer
    else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    for name in ["ducat.v1.Ledger", "ducat.v1.Operator", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_after_the_engine_stopped_are_unavailable() {
    let server = Server::start().await;
    server.open(2).await;
    let (client, address) = (server.client.clone(), server.address);
    assert_eq!(server.stop().await, Drained::Completely);
    let error = client.transfer(transfer(1, BANK, 2, 1)).await.expect_err("gone");
    assert!(error.is_retryable(), "{error:?}");
    let error = Client::connect(&address.to_string()).await.expect_err("nobody listens");
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert_eq!(transfer_id(1).get(), 1);
}
