//! More requests than the server takes: refused at once and typed, within memory, and taken
//! again when the flood is over; deadlines.

use crate::support::{Server, deposits, transfer_id};
use ducat_actors::handle::EngineOptions;
use ducat_api::budget::Budget;
use ducat_api::client::{Client, ClientError, HELD_BACK};
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, StreamTransfersRequest};
use ducat_api::server::ServerOptions;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code as Grpc;
use tonic::codegen::http;

/// Sends batches all at once, whatever is refused; how many were posted, and how many refused for
/// which reason.
async fn flood(server: &Server, batches: u64, size: u64) -> (u64, BTreeMap<String, u64>) {
    let mut calls = JoinSet::new();
    let insistent = Client::over(server.client.connection().insistent());
    for batch in 0..batches {
        let client = insistent.clone();
        calls.spawn(async move { client.create_transfers(deposits(batch * size + 1, size)).await });
    }
    let (mut posted, mut refused) = (0, BTreeMap::new());
    while let Some(result) = calls.join_next().await {
        match result.expect("no panic") {
            Ok(outcomes) => posted += outcomes.len() as u64,
            Err(ClientError::Refused(why)) => {
                assert_eq!(why.code, Grpc::ResourceExhausted, "{why:?}");
                *refused.entry(why.reason).or_default() += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    (posted, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_refused_in_part_and_taken_when_it_is_over() {
    let engine = EngineOptions { queue_delay_max: Duration::ZERO, ..EngineOptions::default() };
    let server = Server::with(engine, ServerOptions::default()).await;
    server.open(2).await;
    let (posted, refused) = flood(&server, 200, 1_000).await;
    let count = refused.get("OVERLOADED").copied().unwrap_or_default();
    assert!(posted > 0 && count > 0, "{posted} posted, {refused:?}");
    assert_eq!(posted + 1_000 * count, 200_000, "{refused:?}");
    let status = server.client.get_status(true).await.expect("answered");
    assert_eq!((status.posted, status.overloaded), (posted, count));
    assert_eq!(status.queue_delay_us, 0);
    for batch in 0..200 {
        let batch = deposits(batch * 1_000 + 1, 1_000);
        let outcomes = server.client.create_transfers(batch).await.expect("one at a time");
        assert!(outcomes.iter().all(proto::Outcome::is_posted));
    }
    let status = server.client.get_status(true).await.expect("answered");
    assert_eq!((status.posted, status.repeats), (200_000, posted), "none twice, none lost");
    server.stop().await;
}

/// Many tasks that send their batches one after another, each until it is posted; how often they were held back.
async fn persevere(client: &Client, tasks: u64, batches: u64, first: u64) -> u64 {
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let client = client.clone();
        running.spawn(async move {
            let mut held_back = 0;
            for batch in 0..batches {
                let id = first + (task * batches + batch) * 10;
                while let Err(error) = client.create_transfers(deposits(id, 10)).await {
                    assert!(error.is_retryable() && !error.is_in_doubt(), "{error:?}");
                    held_back += u64::from(error.reason() == Some(HELD_BACK));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            held_back
        });
    }
    running.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_back_gets_as_much_and_is_seldom_refused() {
    let options = ServerOptions { calls_max: 8, ..ServerOptions::default() };
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(2).await;
    let refused = || server.handle.status().overloaded;
    let insistent = Client::over(server.client.connection().insistent());
    assert_eq!(persevere(&insistent, 64, 40, 1).await, 0, "they hold nothing back");
    let of_insistent = refused();
    let held_back = persevere(&server.client, 64, 40, 1_000_000).await;
    let of_patient = refused() - of_insistent;
    assert!(held_back > 0);
    assert!(of_patient * 2 < of_insistent, "{of_patient} refused, {of_insistent} of the insistent");
    let connection = server.client.connection();
    let limit = connection.concurrency_limit().expect("holds back").limit();
    assert!(limit.is_some_and(|limit| limit <= 16), "{limit:?} where 8 are served");
    assert_eq!(server.handle.status().posted, 2 * 64 * 40 * 10, "each batch once");
    server.client.get_status(true).await.expect("other calls are not held back");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_thousands_of_refused_requests() {
    let options = ServerOptions { calls_max: 1, ..ServerOptions::default() };
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(2).await;
    let taken = server.client.stream(1).await.expect("opens");
    for _ in 0..15 {
        let (posted, refused) = flood(&server, 100, 1_000).await;
        assert_eq!((posted, refused.get("CALLS_FULL")), (0, Some(&100)), "{refused:?}");
    }
    drop(taken);
    let served = async {
        while server.client.create_transfers(deposits(1, 1_000)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), served).await.expect("the same connection");
    assert_eq!(server.handle.status().posted, 1_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_take_what_their_memory_holds_and_give_it_back() {
    let options = ServerOptions { requests: Budget::new(0), ..ServerOptions::default() };
    let budget = options.requests.clone();
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(2).await;
    let (posted, refused) = flood(&server, 64, 10_000).await;
    assert!(posted > 0 && refused.contains_key("REQUESTS_FULL"), "{posted} posted, {refused:?}");
    assert_eq!(budget.taken(), 0);
    let outcomes = server.client.create_transfers(deposits(1, 10_000)).await;
    assert_eq!(outcomes.expect("there is room again").len(), 10_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_time_is_over_is_not_begun() {
    let server = Server::start().await;
    server.open(2).await;
    // By hand: clients give up by themselves when the time is over.
    let socket = TcpStream::connect(server.address).await.expect("listens");
    let (calls, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = http::Request::post("http://ducat/ducat.v1.Ledger/Transfer")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "1n");
    let mut calls = calls.ready().await.expect("room for a call");
    let request = request.body(()).expect("a request");
    let (answer, _body) = calls.send_request(request, false).expect("open");
    let headers = answer.await.expect("answered before the request is sent");
    assert_eq!(headers.headers()["grpc-status"], "4", "{headers:?}");
    assert_eq!(server.handle.status().expired, 1);
    assert_eq!(server.handle.status().posted, 0);
    connection.abort();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_a_stream_has_a_time_of_its_own() {
    let server = Server::start().await;
    server.open(2).await;
    let mut client = LedgerClient::new(server.channel().await);
    let mut batches: Vec<_> = (0..20)
        .map(|tag| StreamTransfersRequest {
            tag,
            transfers: deposits(tag * 10_000 + 1, 10_000),
            timeout_ms: 60_000,
            dry_run: false,
        })
        .collect();
    let hasty = deposits(1_000_000, 10);
    batches.push(StreamTransfersRequest {
        tag: 20,
        transfers: hasty.clone(),
        timeout_ms: 1,
        dry_run: false,
    });
    let answers = client.stream_transfers(tokio_stream::iter(batches)).await.expect("opens");
    let mut answers = answers.into_inner();
    for _ in 0..20 {
        let answer = answers.message().await.expect("no error").expect("more");
        assert_eq!((answer.outcomes.len(), answer.error), (10_000, None));
    }
    let last = answers.message().await.expect("no error").expect("more");
    let stored = server.handle.transfers(vec![transfer_id(1_000_000)]).await.expect("up");
    match last.error {
        Some(error) => {
            assert_eq!(error.grpc_code, Grpc::DeadlineExceeded as i32);
            assert_eq!((error.reason.as_str(), stored[0]), ("EXPIRED", None));
        }
        None => assert!(last.outcomes.len() == 10 && stored[0].is_some()),
    }
    let again = server.client.create_transfers(hasty).await.expect("well-formed");
    assert!(again.iter().all(proto::Outcome::is_posted));
    assert_eq!(again[0].repeat, stored[0].is_some());
    server.stop().await;
}
