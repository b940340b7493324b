//! The life of a process as systemd and its clients see it: ready after the replay, alive while the
//! engine answers, and a drain that answers what was begun, on a disk that hangs.

use crate::attack::skip;
use crate::faults::{Action, Class, Faults};
use crate::ledger::{HOT, WORLD_GBP, account, open};
use crate::server::{Launch, Server};
use ducat_api::client::{Client, ClientError};
use ducat_api::proto::{Outcome, TransferKind, TransferRequest};
use ducat_engine::ids::TransferId;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// The sync that hangs: behind those of a start and of opening accounts.
const HANGS: u32 = 200;

/// What takes longer is a hang of its own.
const PATIENCE: Duration = Duration::from_secs(120);

/// systemd's end of the socket.
struct Systemd(UnixDatagram);

impl Systemd {
    fn at(dir: &Path, launch: &mut Launch) -> Self {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a place for a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
        let path = path.to_str().expect("UTF-8").to_owned();
        launch.variables.push(("NOTIFY_SOCKET".to_owned(), path));
        launch.variables.push(("WATCHDOG_USEC".to_owned(), "600000".to_owned()));
        Self(socket)
    }

    /// The next message.
    fn hear(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).expect("something is told");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// All messages up to one that says this.
    fn hear_until(&self, says: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.hear());
            if heard[heard.len() - 1].contains(says) {
                return heard;
            }
        }
    }
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A deposit of 1 under this id.
fn deposit(id: u64) -> TransferRequest {
    let id = TransferId::new(id.into()).expect("not zero");
    let plain = TransferRequest::plain(id, account(WORLD_GBP), account(HOT.start), 1);
    TransferRequest { kind: TransferKind::Deposit as i32, ..plain }
}

async fn connected(server: &Server) -> Client {
    Client::connect(&format!("http://{}", server.address())).await.expect("listens")
}

async fn opened(server: &Server) -> Client {
    let client = connected(server).await;
    open(&client).await.expect("opens");
    client
}

/// Deposits one after the other until the disk hangs; the one that hangs, and its id.
fn deposit_until_it_hangs(
    runtime: &Runtime,
    client: &Client,
    faults: &Faults,
) -> (u64, JoinHandle<Result<Outcome, ClientError>>) {
    for id in 1.. {
        let client = client.clone();
        let call = runtime.spawn(async move { client.transfer(deposit(id)).await });
        wait_for("an answer, or a hang", || call.is_finished() || faults.fired());
        if !call.is_finished() {
            return (id, call);
        }
        runtime.block_on(call).expect("no panic").expect("answered");
    }
    unreachable!("ids do not end")
}

#[test]
fn systemd_is_told_and_its_watchdog_fed_only_while_the_engine_answers() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().canonicalize().expect("there").join("data");
    let faults = match Faults::at(Class::Sync, HANGS, Action::Hang, &data) {
        Ok(faults) => faults,
        Err(reason) => return skip("a disk that hangs, seen by the watchdog", &reason),
    };
    let runtime = Runtime::new().expect("a runtime");
    let mut launch = faults.launch();
    let systemd = Systemd::at(dir.path(), &mut launch);
    let server = launch.start(&data).expect("starts");
    systemd.hear_until("READY=1");
    let client = runtime.block_on(opened(&server));
    systemd.hear_until("WATCHDOG=1");
    let (_, call) = deposit_until_it_hangs(&runtime, &client, &faults);
    // Three times in a row it has not answered, and in between is no sign of life.
    let mut in_a_row = 0;
    while in_a_row < 3 {
        let heard = systemd.hear();
        in_a_row = if heard.contains("the engine has not answered") { in_a_row + 1 } else { 0 };
    }
    assert!(!call.is_finished(), "nothing was answered that is not durable");
    faults.release();
    systemd.hear_until("WATCHDOG=1");
    runtime.block_on(call).expect("no panic").expect("answered once it is durable");
    drop(client);
    server.terminate();
    systemd.hear_until("STOPPING=1");
    assert_eq!(server.wait().status.code(), Some(0));
    // Again, with something to replay: it comes first.
    let mut launch = Launch::default();
    let dir = tempfile::tempdir().expect("a directory");
    let systemd = Systemd::at(dir.path(), &mut launch);
    let server = launch.start(&data).expect("starts");
    let heard = systemd.hear_until("READY=1");
    assert!(heard[0].contains("replaying") && heard[0].contains("EXTEND_TIMEOUT"), "{heard:?}");
    server.terminate();
    let heard = systemd.hear_until("STOPPING=1");
    assert!(!heard.iter().any(|heard| heard.contains("replaying")), "{heard:?}");
    assert_eq!(server.wait().status.code(), Some(0));
}

#[test]
fn a_call_begun_before_a_drain_is_answered_and_a_second_signal_ends_at_once() {
    for twice in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().canonicalize().expect("there").join("data");
        let faults = match Faults::at(Class::Sync, HANGS, Action::Hang, &data) {
            Ok(faults) => faults,
            Err(reason) => return skip("a drain on a disk that hangs", &reason),
        };
        let runtime = Runtime::new().expect("a runtime");
        let mut launch = faults.launch();
        launch.arguments.extend(["--drain-timeout-ms", "600000"].map(str::to_owned));
        let systemd = Systemd::at(dir.path(), &mut launch);
        let server = launch.start(&data).expect("starts");
        let client = runtime.block_on(opened(&server));
        let (id, call) = deposit_until_it_hangs(&runtime, &client, &faults);
        server.terminate();
        systemd.hear_until("STOPPING=1");
        assert!(!call.is_finished(), "the drain waits for it");
        if twice {
            server.terminate();
            assert_eq!(server.wait().status.code(), Some(130));
            runtime.block_on(call).expect("no panic").expect_err("it was never durable");
            continue;
        }
        faults.release();
        let outcome = runtime.block_on(call).expect("no panic").expect("answered");
        assert!(outcome.is_posted(), "{outcome:?}");
        drop(client);
        assert_eq!(server.wait().status.code(), Some(0));
        let server = Launch::default().start(&data).expect("starts");
        let client = runtime.block_on(connected(&server));
        let again = runtime.block_on(client.transfer(deposit(id))).expect("answered");
        assert_eq!((again.lsn, again.repeat), (outcome.lsn, true));
    }
}

#[test]
fn a_drain_under_load_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = Runtime::new().expect("a runtime");
    let server = Launch::default().start(dir.path()).expect("starts");
    let client = runtime.block_on(opened(&server));
    let (next, answered) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let (client, next, answered) =
                (client.clone(), Arc::clone(&next), Arc::clone(&answered));
            runtime.spawn(async move {
                let mut acknowledged = Vec::new();
                loop {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    match client.transfer(deposit(id)).await {
                        Ok(outcome) => acknowledged.push((id, outcome.lsn)),
                        Err(error) => return (acknowledged, error),
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    wait_for("load", || answered.load(Ordering::Relaxed) > 200);
    server.terminate();
    let mut acknowledged = Vec::new();
    for worker in workers {
        let (own, error) = runtime.block_on(worker).expect("no panic");
        // Told so, or no longer let in: in no case begun and not answered.
        assert_eq!(error.code(), Some(tonic::Code::Unavailable), "{error:?}");
        acknowledged.extend(own);
    }
    drop(client);
    assert_eq!(server.wait().status.code(), Some(0), "the drain was complete");
    let server = Launch::default().start(dir.path()).expect("starts");
    let client = runtime.block_on(connected(&server));
    for batch in acknowledged.chunks(1_000) {
        let again = batch.iter().map(|(id, _)| deposit(*id)).collect();
        let again = runtime.block_on(client.create_transfers(again)).expect("answered");
        for ((id, lsn), outcome) in batch.iter().zip(again) {
            assert_eq!((outcome.lsn, outcome.repeat), (*lsn, true), "transfer {id}");
        }
    }
}

#[test]
fn connections_that_do_not_end_are_cut_and_the_exit_code_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Launch::with(&["--drain-timeout-ms", "50"]).start(dir.path()).expect("starts");
    let runtime = Runtime::new().expect("a runtime");
    let _never_ends = runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(server.address()).await.expect("listens");
        let (calls, mut connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        let mut ping = connection.ping_pong().expect("asked for once");
        tokio::spawn(connection);
        let call = tonic::codegen::http::Request::post("http://ducat/ducat.v1.Ledger/Transfer")
            .header("content-type", "application/grpc")
            .body(())
            .expect("a request");
        let mut calls = calls.ready().await.expect("open");
        // Its body never comes; the length of its message is announced.
        let (answer, mut body) = calls.send_request(call, false).expect("sent");
        body.send_data(vec![0_u8, 0, 0, 0, 9].into(), false).expect("sent");
        // The server answers in order: the call has come.
        ping.ping(h2::Ping::opaque()).await.expect("answered");
        (calls, answer, body)
    });
    server.terminate();
    let ended = server.wait();
    assert_eq!(ended.status.code(), Some(76), "{}", ended.stderr);
    assert!(ended.stderr.contains("were cut"), "{}", ended.stderr);
    Launch::default().start(dir.path()).expect("starts again");
}
