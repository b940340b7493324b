//! One address that takes all it can get: connections, memory for requests and answers, places for
//! calls. Others, from another address, are served all the same.

use crate::program;
use crate::world::{BANK, account, open, transfer};
use ducat_api::budget::LARGE_READS_MAX;
use ducat_api::client::Client;
use ducat_api::proto;
use h2::client::{Builder, ResponseFuture, SendRequest};
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tonic::codegen::http;

/// Generous: on a busy machine everything takes longer.
const LONG: Duration = Duration::from_secs(60);

/// A server with these bounds, and somebody at 127.0.0.1 who wants to be served.
struct Besieged {
    server: program::Server,
    honest: Client,
    _dir: tempfile::TempDir,
}

impl Besieged {
    async fn new(bounds: &[&str]) -> Self {
        let dir = program::place();
        let server = program::Server::start(dir.path(), bounds);
        let honest = Client::connect(&format!("http://{}", server.address)).await.expect("listens");
        Self { server, honest, _dir: dir }
    }

    /// A connection from 127.0.0.2.
    async fn greedy(&self) -> TcpStream {
        self.try_greedy().await.expect("listens")
    }

    /// The same; one that is reset at once may be told so while it connects.
    async fn try_greedy(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("all of 127 is here");
        let to: SocketAddr = self.server.address.parse().expect("an address");
        socket.connect(to).await
    }

    /// The same, speaking HTTP/2; the second ends with it.
    async fn greedy_http2(&self, settings: &Builder) -> (SendRequest<Bytes>, JoinHandle<()>) {
        let handshake = settings.handshake(self.greedy().await);
        let (calls, connection) = handshake.await.expect("HTTP/2");
        let connection = tokio::spawn(async move {
            let _how_it_ended = connection.await;
        });
        (calls, connection)
    }
}

type Open = (ResponseFuture, h2::SendStream<Bytes>);

/// Begins a call.
async fn call(calls: &SendRequest<Bytes>, method: &str) -> Open {
    let request = http::Request::post(format!("http://ducat/ducat.v1.Ledger/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let mut calls = calls.clone().ready().await.expect("room for a call");
    calls.send_request(request.body(()).expect("a request"), false).expect("open")
}

/// The beginning of a message that says it has `length` bytes.
fn begun(length: u32, message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(length);
    bytes.put_slice(message);
    bytes.freeze()
}

fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    begun(u32::try_from(message.len()).expect("small"), &message)
}

/// The status of an answer that has no more than that.
async fn status(answer: ResponseFuture) -> Option<String> {
    let answer = tokio::time::timeout(LONG, answer).await.expect("answered").expect("headers");
    answer.headers().get("grpc-status").map(|status| status.to_str().expect("a number").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_everybodys_connections() {
    let bounds = ["--connections-max", "8", "--connections-per-address-max", "4"];
    let besieged = Besieged::new(&bounds).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let (calls, connection) = besieged.greedy_http2(&Builder::new()).await;
        held.push((calls, connection));
    }
    // Closed before anything is said, although there are places.
    for _ in 0..3 {
        let Ok(mut more) = besieged.try_greedy().await else { continue };
        let end = tokio::time::timeout(LONG, more.read_u8()).await.expect("closed at once");
        assert!(end.is_err(), "a connection beyond the bound is served");
    }
    let newcomer = Client::connect(&format!("http://{}", besieged.server.address)).await;
    newcomer.expect("a place").get_status(false).await.expect("others are served");
    assert!(held.iter().all(|(_, connection)| !connection.is_finished()), "those stay");
    let (calls, connection) = held.pop().expect("held");
    drop(calls);
    connection.await.expect("no panic");
    let again = async {
        loop {
            // Only one that is not reset has the server's settings to read.
            if let Ok(mut more) = besieged.try_greedy().await
                && more.read_u8().await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, again).await.expect("its place was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_ended() {
    let besieged = Besieged::new(&[]).await;
    let mut silent = besieged.greedy().await;
    let mut said = Vec::new();
    // The server's settings come, and then the end.
    let end = tokio::time::timeout(LONG, silent.read_to_end(&mut said)).await;
    let _closed_or_reset = end.expect("ended");
    besieged.honest.get_status(false).await.expect("one that speaks is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_never_whole_take_half_of_the_memory_at_most() {
    let besieged = Besieged::new(&["--requests-mib", "32"]).await;
    open(&besieged.honest, 2).await;
    let mut held = Vec::new();
    let mut refused = 0;
    // 1.8 MB take 14 MiB: two of them leave nobody what is needed below.
    let half = begun(1_900_000, &[0; 1_800_000]);
    for _ in 0..4 {
        let (calls, connection) = besieged.greedy_http2(&Builder::new()).await;
        let (answer, mut body) = call(&calls, "CreateTransfers").await;
        body.send_data(half.clone(), false).expect("an open stream");
        held.push((calls, connection, body, answer));
    }
    // All but one are refused; that one waits for its end.
    let mut waiting = Vec::new();
    for (calls, connection, body, answer) in held {
        match tokio::time::timeout(Duration::from_secs(5), status(answer)).await {
            Ok(Some(status)) => {
                assert_eq!(status, "8", "RESOURCE_EXHAUSTED");
                refused += 1;
            }
            other => waiting.push((calls, connection, body, other.is_err())),
        }
    }
    assert!(refused >= 3, "{refused} of 4 were refused");
    let transfers = (0..10_000).map(|nth| transfer(nth + 1, BANK, 2, 1)).collect();
    let outcomes = besieged.honest.create_transfers(transfers).await.expect("there is room");
    assert_eq!(outcomes.len(), 10_000);
    drop(waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_never_read_take_half_of_the_memory_at_most() {
    let besieged = Besieged::new(&["--answers-mib", "32", "--room-timeout-ms", "500"]).await;
    // 2 MB of texts on each page, of which 16 MiB hold less than there are places.
    let texts = |id| proto::NewAccount {
        metadata: [("text".to_owned(), "x".repeat(2_000))].into(),
        ..proto::NewAccount::new(account(id), "GBP", false)
    };
    for first in [0, 500] {
        let accounts = (first + 1..=first + 500).map(texts).collect();
        besieged.honest.create_accounts(accounts).await.expect("well-formed");
    }
    let mut deaf = Builder::new();
    deaf.initial_window_size(0);
    let (calls, connection) = besieged.greedy_http2(&deaf).await;
    let page = proto::ListAccountsRequest { page_size: 1_000, ..Default::default() };
    let mut begun = Vec::new();
    // One at a time, so that who is refused has found the memory full, and not others at work.
    loop {
        let (answer, mut body) = call(&calls, "ListAccounts").await;
        body.send_data(framed(&page), true).expect("small");
        let answer = tokio::time::timeout(LONG, answer).await.expect("answered").expect("headers");
        if let Some(status) = answer.headers().get("grpc-status") {
            assert_eq!(status, "8", "RESOURCE_EXHAUSTED");
            break;
        }
        begun.push(answer);
        assert!(begun.len() < LARGE_READS_MAX, "memory is no bound");
    }
    assert!(begun.len() >= 2, "{} begun", begun.len());
    let page = besieged.honest.list_accounts(1_000, "").await.expect("there is room for others");
    assert_eq!(page.accounts.len(), 1_000);
    drop((begun, calls, connection));
}

/// Who has let some large answers lie gets the next when one of them is taken, and others do not wait for that.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_that_are_not_taken_keep_their_caller_waiting_and_nobody_else() {
    let besieged = Besieged::new(&["--room-timeout-ms", "60000"]).await;
    let accounts = (1..=1_000).map(|id| proto::NewAccount::new(account(id), "GBP", false));
    besieged.honest.create_accounts(accounts.collect()).await.expect("well-formed");
    // Only the beginning of an answer is let through until more is asked for.
    let mut deaf = Builder::new();
    deaf.initial_window_size(1_000);
    // Two connections of one address are one caller.
    let (calls, connection) = besieged.greedy_http2(&deaf).await;
    let (others, other) = besieged.greedy_http2(&deaf).await;
    let page = framed(&proto::ListAccountsRequest { page_size: 1_000, ..Default::default() });
    let mut unread = Vec::new();
    for nth in 0..LARGE_READS_MAX {
        let calls = if nth % 2 == 0 { &calls } else { &others };
        let (answer, mut body) = call(calls, "ListAccounts").await;
        body.send_data(page.clone(), true).expect("small");
        let answer = tokio::time::timeout(LONG, answer).await.expect("answered").expect("headers");
        assert!(!answer.headers().contains_key("grpc-status"), "there is a place");
        unread.push(answer.into_body());
    }
    let (mut next, mut body) = call(&others, "ListAccounts").await;
    body.send_data(page, true).expect("small");
    let waits = tokio::time::timeout(Duration::from_millis(500), &mut next).await;
    assert!(waits.is_err(), "one more is made though none was taken");
    let (small, mut body) = call(&calls, "GetStatus").await;
    body.send_data(begun(0, &[]), true).expect("small");
    small.await.expect("what is small does not wait");
    let listed = besieged.honest.list_accounts(1_000, "").await.expect("nor does anybody else");
    assert_eq!(listed.accounts.len(), 1_000);
    // One is taken.
    let mut taken = unread.swap_remove(0);
    let mut window = taken.flow_control().clone();
    let read = async {
        while let Some(piece) = taken.data().await {
            let length = piece.expect("whole").len();
            window.release_capacity(length).expect("of this stream");
        }
    };
    tokio::time::timeout(LONG, read).await.expect("all of it");
    let answer = tokio::time::timeout(LONG, next).await.expect("answered").expect("headers");
    assert!(!answer.headers().contains_key("grpc-status"), "the place that came free");
    drop((answer, unread, calls, others, connection, other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_request_does_not_come_is_ended_and_an_idle_stream_is_not() {
    // A connection is cut after twice that.
    let besieged = Besieged::new(&["--unread-timeout-ms", "500"]).await;
    let (idle, idles) = besieged.greedy_http2(&Builder::new()).await;
    let open = call(&idle, "StreamTransfers").await;
    let (calls, connection) = besieged.greedy_http2(&Builder::new()).await;
    let (answer, mut body) = call(&calls, "Transfer").await;
    body.send_data(begun(20, &[9]), false).expect("an open stream");
    tokio::time::timeout(LONG, connection).await.expect("cut").expect("no panic");
    assert!(!idles.is_finished(), "a stream may be silent");
    besieged.honest.get_status(false).await.expect("others are served");
    drop((answer, open));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_on_which_nothing_is_sent_leave_places_for_calls() {
    let besieged = Besieged::new(&["--calls-max", "128"]).await;
    let (calls, _connection) = besieged.greedy_http2(&Builder::new()).await;
    let mut held = Vec::new();
    for _ in 0..126 {
        let (answer, body) = call(&calls, "StreamTransfers").await;
        let answer = tokio::time::timeout(LONG, answer).await.expect("answered").expect("headers");
        assert!(!answer.headers().contains_key("grpc-status"), "there are places");
        held.push((answer, body));
    }
    for _ in 0..2 {
        let (answer, _body) = call(&calls, "StreamTransfers").await;
        assert_eq!(status(answer).await.as_deref(), Some("8"), "RESOURCE_EXHAUSTED");
    }
    besieged.honest.get_status(false).await.expect("a place is kept for calls");
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_requests_never_end_take_half_of_the_places_at_most() {
    let bounds = ["--calls-max", "64", "--calls-per-principal-max", "32"];
    let besieged = Besieged::new(&bounds).await;
    let (calls, _connection) = besieged.greedy_http2(&Builder::new()).await;
    let mut held = Vec::new();
    for _ in 0..70 {
        let (answer, mut body) = call(&calls, "Transfer").await;
        body.send_data(begun(20, &[9]), false).expect("an open stream");
        held.push((answer, body));
    }
    // Those beyond the half are answered at once, the others never.
    let refused = held.split_off(32);
    for (answer, _body) in refused {
        let answer = tokio::time::timeout(LONG, answer).await.expect("answered").expect("headers");
        assert_eq!(answer.headers()["grpc-status"], "8", "RESOURCE_EXHAUSTED");
        let why = answer.headers()["grpc-message"].to_str().expect("text");
        assert!(why.contains("an%20address%20has%20at%20most%2032"), "{why}");
    }
    let served = (0..16).map(|_| {
        let honest = besieged.honest.clone();
        tokio::spawn(async move { honest.get_status(false).await })
    });
    for served in served.collect::<Vec<_>>() {
        served.await.expect("no panic").expect("others have places");
    }
    // What is given up gives its place back.
    drop(held);
    let again = async {
        loop {
            let (answer, mut body) = call(&calls, "GetAccounts").await;
            body.send_data(begun(0, &[]), true).expect("an open stream");
            let answer = answer.await.expect("headers");
            let why = answer.headers().get("grpc-message").map(|why| why.to_str().expect("text"));
            if !why.is_some_and(|why| why.contains("an%20address")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, again).await.expect("its places came free");
}
