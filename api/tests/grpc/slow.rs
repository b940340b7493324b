//! Clients that ask and do not read: the memory they get is bounded, they are told or cut
//! off, and the others go on.

use crate::support::{Server, account, deposits};
use ducat_actors::handle::EngineOptions;
use ducat_api::budget::{Budget, LARGE_READS_MAX};
use ducat_api::client::ClientError;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, NewAccount, StreamTransfersRequest};
use ducat_api::server::ServerOptions;
use ducat_api::stream::StreamOptions;
use h2::client::{ResponseFuture, SendRequest};
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code as Grpc;
use tonic::codegen::http;
use tonic::transport::Channel;

/// A connection that grants the server not one byte, on any call.
struct Deaf {
    calls: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Deaf {
    async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.expect("listens");
        let mut builder = h2::client::Builder::new();
        let handshake = builder.initial_window_size(0).handshake(socket);
        let (calls, connection) = handshake.await.expect("HTTP/2");
        Self { calls, connection: tokio::spawn(connection) }
    }

    async fn call(&mut self, method: &str) -> (ResponseFuture, h2::SendStream<Bytes>) {
        let request = http::Request::post(format!("http://ducat/ducat.v1.Ledger/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let mut calls = self.calls.clone().ready().await.expect("room for a call");
        calls.send_request(request.body(()).expect("a request"), false).expect("open")
    }
}

/// A message with its gRPC prefix.
fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).expect("small"));
    message.encode(&mut bytes).expect("it grows");
    bytes.freeze()
}

/// Sends as the server's window allows; `false` when the stream has ended.
async fn send(body: &mut h2::SendStream<Bytes>, mut bytes: Bytes) -> bool {
    while !bytes.is_empty() {
        body.reserve_capacity(bytes.len());
        let Some(Ok(capacity)) = std::future::poll_fn(|c| body.poll_capacity(c)).await else {
            return false;
        };
        let part = bytes.split_to(capacity.min(bytes.len()));
        if body.send_data(part, false).is_err() {
            return false;
        }
    }
    true
}

fn options(unread: Duration, connection: Duration) -> ServerOptions {
    let streams = StreamOptions {
        room_timeout: Duration::from_millis(300),
        unread_timeout: unread,
        ..StreamOptions::default()
    };
    let answers = Budget::new(0);
    ServerOptions { streams, answers, unread_timeout: connection, ..ServerOptions::default() }
}

async fn all_given_back(budget: &Budget) {
    let empty = async {
        while budget.taken() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), empty).await.expect("given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_pages_take_their_places_and_then_the_connection_is_cut() {
    let options = options(Duration::from_secs(30), Duration::from_secs(6));
    let budget = options.answers.clone();
    let server = Server::with(EngineOptions::default(), options).await;
    let accounts = (1..=10_000).map(|id| NewAccount::new(account(id), "GBP", false));
    server.client.create_accounts(accounts.collect()).await.expect("well-formed");

    let mut deaf = Deaf::connect(server.address).await;
    let mut answers = Vec::new();
    for _ in 0..100 {
        let (answer, mut body) = deaf.call("ListAccounts").await;
        let page = proto::ListAccountsRequest { page_size: 10_000, ..Default::default() };
        body.send_data(framed(&page), true).expect("small");
        answers.push(tokio::spawn(answer));
    }
    let (mut begun, mut refused, mut peak) = (Vec::new(), 0, 0);
    for answer in answers {
        let Ok(answer) = answer.await.expect("no panic") else { continue };
        peak = peak.max(budget.taken());
        match answer.headers().get("grpc-status").map(|status| status.as_bytes()) {
            // Dropped, it would tell the server that nobody waits for it any more.
            None => begun.push(answer),
            Some(b"8") => refused += 1,
            Some(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((begun.len(), refused), (LARGE_READS_MAX, 100 - LARGE_READS_MAX));
    assert!(peak > 0 && peak <= budget.limit() / 2, "{peak} bytes taken");
    let cut = tokio::time::timeout(Duration::from_secs(20), deaf.connection).await;
    let _how_it_ended = cut.expect("the connection was cut").expect("no panic");
    all_given_back(&budget).await;
    let page = server.client.list_accounts(10, "").await.expect("there is room again");
    assert_eq!(page.accounts.len(), 10);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_streams_take_their_share_and_no_more() {
    let mut options = options(Duration::from_secs(2), Duration::from_secs(4));
    options.answers = Budget::new(64 * 1024 * 1024);
    let budget = options.answers.clone();
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(2).await;
    let mut deaf = Deaf::connect(server.address).await;
    let mut senders = Vec::new();
    for stream in 0..4u64 {
        let (answer, mut body) = deaf.call("StreamTransfers").await;
        senders.push(tokio::spawn(async move {
            for batch in 0..60 {
                let first = (stream * 60 + batch) * 5000 + 1;
                let transfers = deposits(first, 5000);
                let request =
                    StreamTransfersRequest { tag: batch, transfers, timeout_ms: 0, dry_run: false };
                if !send(&mut body, framed(&request)).await {
                    break;
                }
            }
            // The call lives as long as its halves.
            std::future::pending::<()>().await;
            drop((body, answer));
        }));
    }
    let mut peak = 0;
    while !deaf.connection.is_finished() {
        peak = peak.max(budget.taken());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(peak > 1024 * 1024 && peak <= budget.limit(), "{peak} bytes taken");
    senders.iter().for_each(JoinHandle::abort);
    all_given_back(&budget).await;
    // What the streams brought may still be worked on.
    let since = std::time::Instant::now();
    while let Err(error) = server.client.create_transfers(deposits(1_000_000_000, 100)).await {
        let overloaded = error.reason() == Some("OVERLOADED");
        assert!(overloaded && since.elapsed() < Duration::from_secs(90), "{error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_left_unread_ends_although_its_window_has_room() {
    let options = options(Duration::from_millis(300), Duration::from_secs(60));
    let budget = options.answers.clone();
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(2).await;
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).expect("a URI");
    let endpoint = endpoint.initial_stream_window_size(65_535);
    let mut client = LedgerClient::new(endpoint.connect().await.expect("listens"));
    let (batches, requests) = tokio::sync::mpsc::channel(20);
    for tag in 0..20 {
        let transfers = deposits(tag * 2000 + 1, 2000);
        batches
            .send(StreamTransfersRequest { tag, transfers, timeout_ms: 0, dry_run: false })
            .await
            .expect("room");
    }
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut answers = client.stream_transfers(requests).await.expect("opens").into_inner();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut read = 0;
    let end = loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                assert_eq!(answer.tag, read);
                read += 1;
            }
            Ok(None) => panic!("the stream was not finished by the client"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Grpc::ResourceExhausted, "{end:?}");
    assert!(end.message().contains("unread"), "{end:?}");
    assert!(read < 20, "{read} answers");
    drop((answers, batches));
    all_given_back(&budget).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_bound_are_refused_until_one_ends() {
    let options = ServerOptions { calls_max: 2, ..ServerOptions::default() };
    let server = Server::with(EngineOptions::default(), options).await;
    server.open(2).await;
    let first = server.client.stream(1).await.expect("opens");
    let second = server.client.stream(1).await.expect("opens");
    let error = server.client.get_status(false).await.expect_err("a third");
    let ClientError::Refused(why) = error else { panic!("{error:?}") };
    assert_eq!((why.code, why.reason.as_str()), (Grpc::ResourceExhausted, "CALLS_FULL"));
    assert!(why.retry_after.is_some_and(|wait| wait > Duration::ZERO));
    drop(first);
    let served = async {
        while server.client.get_status(false).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served).await.expect("a place came free");
    drop(second);
    server.stop().await;
}
