//! Clients that speak HTTP/2 to do harm: streams opened and reset at once, headers without end,
//! thousands of streams left idle. The server lives, its memory stays bounded, others are answered.

use crate::figures::{ask, listen};
use crate::program;
use crate::world::{Secrets, Server, open};
use ducat_api::client::{Client, ClientError};
use ducat_api::identity::guard::Trust;
use h2::Reason;
use h2::client::SendRequest;
use prost::bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::JoinHandle;
use tonic::Code as Grpc;
use tonic::codegen::http;

/// What a flood may cost, MiB: far more than it does, far less than what was sent.
const MEMORY_MIB_MAX: u64 = 256;

/// Generous: on a busy machine everything takes longer.
const LONG: Duration = Duration::from_secs(60);

/// A server of its own process, whose memory can be looked at, and somebody who wants to be served.
struct Attacked {
    server: program::Server,
    honest: Client,
    before: u64,
    _dir: tempfile::TempDir,
}

impl Attacked {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(bounds: &[&str]) -> Self {
        let dir = program::place();
        let server = program::Server::start(dir.path(), bounds);
        let honest = Client::connect(&format!("http://{}", server.address)).await.expect("listens");
        open(&honest, 2).await;
        let before = server.memory_mib();
        Self { server, honest, before, _dir: dir }
    }

    async fn connect(&self) -> Option<SendRequest<Bytes>> {
        let socket = TcpStream::connect(&self.server.address).await.expect("listens");
        let (calls, connection) = h2::client::handshake(socket).await.ok()?;
        tokio::spawn(connection);
        Some(calls)
    }

    /// Others are served, and the memory is what it was, more or less.
    async fn stands(&self) {
        self.honest.get_status(false).await.expect("others are served");
        let grown = self.server.memory_mib().saturating_sub(self.before);
        assert!(grown < MEMORY_MIB_MAX, "{grown} MiB more");
    }
}

fn call() -> http::Request<()> {
    http::Request::post("http://ducat/ducat.v1.Ledger/StreamTransfers")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_at_once_cost_the_connection() {
    let attacked = Attacked::new().await;
    let (mut resets, mut ended) = (0, 0);
    // Twenty connections, each until the server has had enough of it.
    for _ in 0..20 {
        let Some(mut calls) = attacked.connect().await else { continue };
        for _ in 0..5_000 {
            let Ok(ready) = calls.clone().ready().await else { break };
            calls = ready;
            let Ok((_answer, mut body)) = calls.send_request(call(), false) else { break };
            body.send_reset(Reason::CANCEL);
            resets += 1;
        }
        let over = async {
            while calls.clone().ready().await.is_ok() {
                tokio::task::yield_now().await
            }
        };
        ended += u32::from(tokio::time::timeout(Duration::from_millis(200), over).await.is_ok());
        attacked.stands().await;
    }
    println!("{resets} resets over 20 connections, {ended} of which the server ended");
    assert!(resets > 1_000, "it was a flood: {resets}");
    attacked.stands().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_not_kept() {
    let attacked = Attacked::new().await;
    // Larger than headers may be, though well-formed: refused, and the next call is served.
    let mut calls = attacked.connect().await.expect("HTTP/2").ready().await.expect("room");
    let mut large = call();
    for nth in 0..40 {
        let name =
            http::HeaderName::from_bytes(format!("x-flood-{nth}").as_bytes()).expect("a name");
        large
            .headers_mut()
            .insert(name, http::HeaderValue::from_str(&"x".repeat(8_000)).expect("text"));
    }
    let refused = match calls.send_request(large, true) {
        Ok((answer, _)) => answer.await.map_or(true, |answer| answer.status() == 431),
        Err(_) => true,
    };
    assert!(refused, "300 KiB of headers are taken");
    // A header block that never ends, in raw frames: 64 MiB are offered.
    let mut socket = TcpStream::connect(&attacked.server.address).await.expect("listens");
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    socket.write_all(&frame(4, 0, 0, &[])).await.expect("sent");
    socket.write_all(&frame(1, 0, 1, &[0x82])).await.expect("sent");
    // A literal header field, never indexed, whose name is one letter and whose value is long.
    let mut field = vec![0x10, 1, b'x', 0x7f, 0x81, 0x7d];
    field.resize(16_000, b'x');
    let mut sent = 0_usize;
    let continuation = frame(9, 0, 1, &field);
    let flooding = async {
        while sent < 64 << 20 {
            if socket.write_all(&continuation).await.is_err() {
                return true;
            }
            sent += continuation.len();
        }
        // All of it was taken off the wire: then at least nothing is kept.
        false
    };
    let _cut = flooding.await;
    attacked.stands().await;
    drop(socket);
    attacked.stands().await;
}

/// A client of HTTP/2 made by hand, greeted; what the server says is thrown away, by a task that ends with the connection.
async fn speaks(address: SocketAddr) -> (OwnedWriteHalf, JoinHandle<()>) {
    let socket = TcpStream::connect(address).await.expect("listens");
    let (mut read, mut write) = socket.into_split();
    let hearing = tokio::spawn(async move {
        let _all_is_thrown_away = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
    });
    write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    write.write_all(&frame(4, 0, 0, &[])).await.expect("sent");
    (write, hearing)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_ask_for_nothing_end_their_own_connection() {
    let server = Server::start(None, None).await;
    let honest = Client::connect(&format!("http://{}", server.address)).await.expect("listens");
    open(&honest, 2).await;
    let floods = [
        frame(6, 0, 0, &[7; 8]),
        frame(4, 0, 0, &[0, 4, 0, 0, 0, 255]),
        frame(2, 0, 3, &[0, 0, 0, 0, 9]),
        frame(8, 0, 0, &[0, 0, 0, 1]),
    ];
    for flood in &floods {
        let (mut write, flooding) = speaks(server.address).await;
        let frames = flood.repeat(1_000);
        let until_ended = async { while write.write_all(&frames).await.is_ok() {} };
        tokio::time::timeout(LONG, until_ended).await.expect("ended");
        tokio::time::timeout(LONG, flooding).await.expect("ended").expect("no panic");
        honest.get_status(false).await.expect("others go on");
    }
    let figures = ask(listen(Arc::clone(&server.metrics)).await, "GET /metrics").await.1;
    let count =
        format!("ducat_connections_closed_total{{reason=\"control_frames\"}} {}", floods.len());
    assert!(figures.lines().any(|line| line == count), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_given_up_at_once_end_their_own_connection() {
    let server = Server::start(None, None).await;
    let honest = Client::connect(&format!("http://{}", server.address)).await.expect("listens");
    let (mut write, flooding) = speaks(server.address).await;
    let until_ended = async {
        for stream in (1..).step_by(2) {
            // GET, http, /: a request that is whole, and its end.
            let given_up = [frame(1, 5, stream, &[0x82, 0x84, 0x86]), frame(3, 0, stream, &[0; 4])];
            if write.write_all(&given_up.concat()).await.is_err() {
                break;
            }
        }
    };
    tokio::time::timeout(LONG, until_ended).await.expect("ended");
    tokio::time::timeout(LONG, flooding).await.expect("ended").expect("no panic");
    honest.get_status(false).await.expect("others go on");
    let figures = ask(listen(Arc::clone(&server.metrics)).await, "GET /metrics").await.1;
    let one = "ducat_connections_closed_total{reason=\"control_frames\"} 1";
    assert!(figures.lines().any(|line| line == one), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_one_call_of_two_is_not_ended() {
    let server = Server::start(None, None).await;
    let socket = TcpStream::connect(server.address).await.expect("listens");
    let (mut calls, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    for nth in 0..500 {
        calls = calls.ready().await.expect("room");
        let (_given_up, mut body) = calls.send_request(call(), false).expect("open");
        // The answer to the other follows its frames.
        calls = calls.ready().await.expect("room");
        let (answered, _sent) = calls.send_request(call(), true).expect("open");
        let answer = answered.await.unwrap_or_else(|error| panic!("in {nth}: {error}"));
        // What is left unread is given up as well.
        let mut answer = answer.into_body();
        while let Some(piece) = answer.data().await {
            piece.expect("whole");
        }
        answer.trailers().await.expect("the connection goes on");
        body.send_reset(Reason::CANCEL);
    }
    assert!(!connection.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pings_or_reads_in_small_steps_is_not_ended() {
    let server = Server::start(None, None).await;
    let honest = Client::connect(&format!("http://{}", server.address)).await.expect("listens");
    open(&honest, 1_000).await;
    // Sixteen bytes of answer at a time, each of which asks for the next.
    let mut small = h2::client::Builder::new();
    small.initial_window_size(16);
    let socket = TcpStream::connect(server.address).await.expect("listens");
    let (calls, mut connection) = small.handshake::<_, Bytes>(socket).await.expect("HTTP/2");
    let mut pings = connection.ping_pong().expect("the only one");
    let connection = tokio::spawn(connection);
    let mut calls = calls.ready().await.expect("room");
    let page = http::Request::post("http://ducat/ducat.v1.Ledger/ListAccounts")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let page = page.body(()).expect("a request");
    let (answer, mut body) = calls.send_request(page, false).expect("open");
    let message = [8, 0xe8, 0x07]; // page_size: 1,000
    body.send_data([&[0, 0, 0, 0, 3][..], &message].concat().into(), true).expect("small");
    let mut answer = answer.await.expect("headers").into_body();
    let (mut bytes, mut pieces) = (0, 0);
    while let Some(piece) = answer.data().await {
        let piece = piece.expect("the connection goes on");
        (bytes, pieces) = (bytes + piece.len(), pieces + 1);
        answer.flow_control().release_capacity(piece.len()).expect("it was taken");
        if pieces % 100 == 0 {
            pings.ping(h2::Ping::opaque()).await.expect("answered");
        }
    }
    println!("{bytes} bytes in {pieces} pieces");
    assert!(pieces > 3_000, "{pieces}");
    for _ in 0..200 {
        pings.ping(h2::Ping::opaque()).await.expect("answered");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!connection.is_finished());
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_streams_are_borne_and_given_up() {
    // As if they came from many: one address alone has half of the places.
    let attacked = Attacked::with(&["--calls-per-principal-max", "8192"]).await;
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let mut calls = attacked.connect().await.expect("HTTP/2");
        let mut answers = Vec::new();
        for _ in 0..250 {
            let Ok(ready) = calls.clone().ready().await else { break };
            calls = ready;
            let Ok((answer, body)) = calls.send_request(call(), false) else { break };
            answers.push((answer, body));
        }
        let mut open = Vec::new();
        for (answer, body) in answers {
            let answer = answer.await.expect("headers");
            // A refusal says so in its headers; what was opened has no status yet.
            if answer.headers().contains_key("grpc-status") {
                refused += 1;
            } else {
                open.push((answer, body));
            }
        }
        held.push((calls, open));
    }
    let open: usize = held.iter().map(|(_, open)| open.len()).sum();
    println!("{open} streams idle, {refused} refused");
    assert_eq!(open + refused, 10_000);
    assert!(open > 8_000, "{open}");
    let grown = attacked.server.memory_mib().saturating_sub(attacked.before);
    println!("{grown} MiB more");
    assert!(grown < MEMORY_MIB_MAX, "{grown} MiB for {open} idle streams");
    drop(held);
    let served = async {
        while attacked.honest.get_status(false).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), served).await.expect("the places came free");
    attacked.stands().await;
}

fn refused(error: ClientError) -> (Grpc, String, Option<Duration>) {
    match error {
        ClientError::Refused(why) => (why.code, why.reason.clone(), why.retry_after),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_principal_does_not_take_everybodys_places() {
    let secrets = Secrets::new();
    let trust = Trust { tokens: Some(secrets.token_rules()), ..Trust::default() };
    let server = Server::with_places(trust, 3).await;
    let token = |name: &str| secrets.token(name, &["admin"], &["*"], &[]);
    let greedy = server.client(&secrets, None, Some(&token("greedy"))).await;
    let again = server.client(&secrets, None, Some(&token("greedy"))).await;
    let other = server.client(&secrets, None, Some(&token("other"))).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(greedy.stream(1).await.expect("opens"));
    }
    for client in [&greedy, &again] {
        let (code, reason, retry) = refused(client.get_status(false).await.expect_err("a fourth"));
        assert_eq!((code, reason.as_str()), (Grpc::ResourceExhausted, "PRINCIPAL_CALLS_FULL"));
        assert!(retry.is_some_and(|wait| wait > Duration::ZERO));
    }
    other.get_status(false).await.expect("others have their own places");
    drop(open.pop());
    let served = async {
        while greedy.get_status(false).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), served).await.expect("a place came free");
    drop(open);
}
