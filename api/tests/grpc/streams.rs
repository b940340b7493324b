//! Streams: order, whole-batch refusals that do not end them, draining, unread answers.

use crate::support::{BANK, Server, account, codes, deposits, transfer};
use ducat_actors::handle::EngineOptions;
use ducat_api::client::ClientError;
use ducat_api::proto::Code;
use ducat_api::server::{Drained, ServerOptions};
use ducat_api::stream::StreamOptions;
use std::time::Duration;
use tonic::Code as Grpc;

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_order_with_many_batches_in_flight() {
    let server = Server::start().await;
    server.open(3).await;
    let (mut sender, mut answers) = server.client.stream(16).await.expect("opens");
    let sending = tokio::spawn(async move {
        for batch in 0..100u64 {
            let tag = sender.send(deposits(batch * 100 + 1, 100)).await.expect("open");
            assert_eq!(tag, batch);
        }
    });
    let mut batches = 0;
    let mut last_lsn = 0;
    while let Some(answer) = answers.next().await.expect("no error") {
        assert_eq!(answer.tag, batches);
        let outcomes = answer.result.expect("well-formed");
        assert!(codes(&outcomes).iter().all(|code| *code == Code::Posted));
        assert!(outcomes[0].lsn > last_lsn);
        last_lsn = outcomes[99].lsn;
        batches += 1;
    }
    assert_eq!(batches, 100);
    sending.await.expect("no panic");
    let status = server.client.get_status(true).await.expect("answered");
    assert_eq!(status.totals[0].internal, "100.00");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_batch_is_refused_and_the_stream_goes_on() {
    let server = Server::start().await;
    server.open(3).await;
    let (mut sender, mut answers) = server.client.stream(8).await.expect("opens");
    let mut wrong = deposits(10, 3);
    wrong[1].debit_account = 0;
    sender.send(deposits(1, 2)).await.expect("open");
    sender.send(wrong).await.expect("open");
    sender.send(Vec::new()).await.expect("open");
    sender.send(vec![transfer(20, 2, 3, 1)]).await.expect("open");
    drop(sender);
    let mut next = async || answers.next().await.expect("no error").expect("more").result;
    assert_eq!(next().await.expect("well-formed").len(), 2);
    let refused = next().await.expect_err("malformed");
    assert_eq!((refused.code, refused.reason.as_str()), (Grpc::InvalidArgument, "ACCOUNT_ID_ZERO"));
    assert_eq!(refused.violations[0].field, "transfers[1].debit_account");
    assert_eq!(next().await.expect_err("empty").reason, "BATCH_SIZE");
    assert!(next().await.expect("well-formed")[0].is_posted());
    assert!(answers.next().await.expect("no error").is_none());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_engine_slows_a_stream_down_and_loses_nothing() {
    let engine = EngineOptions { in_flight_max: 10_000, ..EngineOptions::default() };
    let server = Server::with(engine, ServerOptions::default()).await;
    server.open(3).await;
    let (mut sender, mut answers) = server.client.stream(64).await.expect("opens");
    let sending = tokio::spawn(async move {
        for batch in 0..20u64 {
            sender.send(deposits(batch * 10_000 + 1, 10_000)).await.expect("open");
        }
    });
    let mut posted = 0;
    while let Some(answer) = answers.next().await.expect("no error") {
        posted += answer.result.expect("waited for room").len();
    }
    assert_eq!(posted, 200_000);
    sending.await.expect("no panic");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_answers_what_is_in_flight_and_ends_the_stream() {
    // Where its end comes between two others is another matter each time.
    let mut rounds = tokio::task::JoinSet::new();
    for _ in 0..40 {
        rounds.spawn(drained_under_load());
    }
    rounds.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_comes_while_the_server_drains_is_told_when_to_come_back() {
    let notice = Duration::from_secs(3_600);
    let options = ServerOptions { drain_notice: notice, ..ServerOptions::default() };
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(3).await;
    let client = server.client.clone();
    let (mut sender, mut answers) = client.stream(64).await.expect("opens");
    tokio::spawn(server.stop());
    let refused = loop {
        match client.get_accounts(&[account(BANK)]).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), Some(Grpc::Unavailable), "{refused:?}");
    assert_eq!(refused.reason(), Some("DRAINING"));
    let ClientError::Refused(told) = &refused else { panic!("{refused:?}") };
    assert!(told.retry_after.is_some_and(|after| !after.is_zero()), "{refused:?}");
    // What was begun before goes on.
    sender.send(deposits(1, 5)).await.expect("open");
    let answer = answers.next().await.expect("no error").expect("more");
    assert_eq!(answer.result.expect("well-formed").len(), 5);
}

async fn drained_under_load() {
    let server = Server::start().await;
    server.open(3).await;
    let (mut sender, mut answers) = server.client.stream(64).await.expect("opens");
    for batch in 0..5u64 {
        sender.send(deposits(batch * 100 + 1, 100)).await.expect("open");
    }
    // The first answer tells that the stream is being read.
    answers.next().await.expect("no error").expect("more").result.expect("well-formed");
    let handle = server.handle.clone();
    let read = async move {
        let mut answered = 1;
        loop {
            match answers.next().await {
                Ok(Some(answer)) => answered += answer.result.expect("well-formed").len().min(1),
                Ok(None) => panic!("the stream was not finished by the client"),
                Err(error) => return (answered, error),
            }
        }
    };
    let ((answered, end), drained) = tokio::join!(read, server.stop());
    assert_eq!(end.code(), Some(Grpc::Unavailable), "{end:?}");
    assert_eq!(end.reason(), Some("DRAINING"));
    assert!(end.is_retryable());
    drop(sender);
    assert_eq!(drained, Drained::Completely);
    assert!((1..=5).contains(&answered));
    assert_eq!(handle.status().posted, answered as u64 * 100, "what was done was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_sent_away() {
    let streams = StreamOptions {
        window: 2,
        unread_timeout: Duration::from_millis(300),
        ..StreamOptions::default()
    };
    let options = ServerOptions { streams, ..ServerOptions::default() };
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(3).await;
    let (mut sender, mut answers) = server.client.stream(1000).await.expect("opens");
    let mut batch = 0;
    // Sends until nothing moves any more: the client's own window holds some megabytes.
    while let Ok(Ok(_)) = tokio::time::timeout(
        Duration::from_secs(2),
        sender.send(deposits(batch * 10_000 + 1, 10_000)),
    )
    .await
    {
        batch += 1;
        assert!(batch < 500, "nothing held the client back");
    }
    let end = loop {
        match answers.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream was not finished by the client"),
            Err(error) => break error,
        }
    };
    assert_eq!(end.code(), Some(Grpc::ResourceExhausted), "{end:?}");
    assert_eq!(end.reason(), Some("ANSWERS_UNREAD"));
    let refused = sender.send(deposits(1, 1)).await.expect_err("ended");
    assert!(matches!(refused, ClientError::StreamEnded), "{refused:?}");
    // The server itself is well.
    assert_eq!(server.client.get_accounts(&[account(BANK)]).await.expect("up").accounts.len(), 1);
    drop((sender, answers));
    server.stop().await;
}
