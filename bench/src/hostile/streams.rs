//! Attacks that speak HTTP/2 well, by the library the server uses too: streams, calls, messages.

use super::attack::Ground;
use super::bodies;
use ducat_api::proto;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use prost::Message;
use prost::bytes::Bytes;
use std::sync::LazyLock;
use std::time::Duration;

/// Connections with open streams on which nothing is sent.
pub const IDLE_CONNECTIONS: usize = 40;

/// Streams on each of them.
const IDLE_STREAMS: usize = 250;

/// How long what is held is held, where the server does not end it.
const HELD: Duration = Duration::from_secs(20);

/// How long an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Calls, one after another, on one connection.
const CALLS: usize = 500;

/// A body above what any may be: 2 MiB.
const OVERSIZE_BYTES: usize = 3 << 20;

/// What is sent of a message that is never whole, bytes, and streams with one on each connection.
const HALF_BYTES: usize = 1_900_000;
const HALF_STREAMS: usize = 4;

/// Made once: what making large messages costs the machine is no work of the server's.
static HALF: LazyLock<Bytes> =
    LazyLock::new(|| bodies::cut_short(HALF_BYTES as u32 + 1_000, HALF_BYTES));
static OVERSIZE: LazyLock<Bytes> = LazyLock::new(|| bodies::framed(&vec![0; OVERSIZE_BYTES]));

/// Time between two bytes of a slow writer.
const BYTE: Duration = Duration::from_millis(20);

/// Batches that a slow reader asks for on its stream, and their transfers.
const UNREAD_BATCHES: usize = 200;
const UNREAD_TRANSFERS: usize = 100;

/// Pages of all accounts that it asks for beside them, and accounts in each.
const UNREAD_PAGES: usize = 8;
const PAGE_ACCOUNTS: u32 = 10_000;

/// A call that has begun.
type Open = (ResponseFuture, SendStream<Bytes>);

/// A connection with the usual settings.
async fn connect(ground: &Ground) -> anyhow::Result<SendRequest<Bytes>> {
    ground.door.http2(&Builder::new()).await
}

/// Opens a call as soon as there is a place for it on the connection.
async fn open(
    ground: &Ground,
    calls: SendRequest<Bytes>,
    path: &str,
) -> anyhow::Result<(SendRequest<Bytes>, Open)> {
    let mut calls = calls.ready().await?;
    let opened = calls.send_request(ground.door.call(path), false)?;
    Ok((calls, opened))
}

/// Streams opened and reset, until the server ends the connection.
pub async fn rapid_reset(ground: &Ground) -> anyhow::Result<()> {
    let mut settings = Builder::new();
    settings.max_concurrent_reset_streams(100_000);
    let mut calls = ground.door.http2(&settings).await?;
    while let Ok((next, (_answer, mut body))) =
        open(ground, calls, "/ducat.v1.Ledger/StreamTransfers").await
    {
        calls = next;
        body.send_reset(Reason::CANCEL);
        ground.attempt().await;
    }
    Ok(())
}

/// Calls with messages that are none.
pub async fn fuzzed_messages(ground: &Ground) -> anyhow::Result<()> {
    let mut calls = connect(ground).await?;
    for _ in 0..CALLS {
        ground.attempt().await;
        let (path, body) = bodies::fuzzed();
        calls = ask(ground, calls, path, body).await?;
    }
    Ok(())
}

/// Calls whose messages are too large.
pub async fn oversize(ground: &Ground) -> anyhow::Result<()> {
    let mut calls = connect(ground).await?;
    for _ in 0..CALLS {
        ground.attempt().await;
        calls = ask(ground, calls, "/ducat.v1.Ledger/CreateTransfers", OVERSIZE.clone()).await?;
    }
    Ok(())
}

/// Calls that are refused: for the rate of who makes them, or, where nobody is told from others,
/// because there is no such call.
pub async fn refused(ground: &Ground) -> anyhow::Result<()> {
    let path = if ground.door.encrypts() {
        "/ducat.v1.Ledger/GetAccounts"
    } else {
        "/ducat.v1.Ledger/GetAccountsOfOthers"
    };
    let mut calls = connect(ground).await?;
    for _ in 0..CALLS {
        ground.attempt().await;
        let request = proto::GetAccountsRequest { ids: vec![proto::Id { id: 1, id_high: 1 }] };
        calls = ask(ground, calls, path, bodies::framed(&request.encode_to_vec())).await?;
    }
    Ok(())
}

/// Large messages of which the end is never sent.
pub async fn half_messages(ground: &Ground) -> anyhow::Result<()> {
    let mut calls = connect(ground).await?;
    let mut held = Vec::new();
    for _ in 0..HALF_STREAMS {
        ground.attempt().await;
        let opened;
        (calls, opened) = open(ground, calls, "/ducat.v1.Ledger/CreateTransfers").await?;
        let (answer, mut body) = opened;
        body.send_data(HALF.clone(), false)?;
        held.push((answer, body));
    }
    hold(held).await;
    Ok(())
}

/// Streams on which nothing is sent.
pub async fn idle_streams(ground: &Ground) -> anyhow::Result<()> {
    let mut calls = connect(ground).await?;
    let mut held = Vec::new();
    for _ in 0..IDLE_STREAMS {
        ground.attempt().await;
        let opened;
        (calls, opened) = open(ground, calls, "/ducat.v1.Ledger/StreamTransfers").await?;
        held.push(opened);
    }
    hold(held).await;
    Ok(())
}

/// A stream whose answers, and pages of accounts that, are asked for and never read.
pub async fn slow_reader(ground: &Ground) -> anyhow::Result<()> {
    let mut settings = Builder::new();
    // Not even the headers' first message fits.
    settings.initial_window_size(1).initial_connection_window_size(65_535);
    let mut calls = ground.door.http2(&settings).await?;
    let mut held = Vec::new();
    let page = proto::ListAccountsRequest { page_size: PAGE_ACCOUNTS, ..Default::default() };
    let page = bodies::framed(&page.encode_to_vec());
    for _ in 0..UNREAD_PAGES {
        ground.attempt().await;
        let opened;
        (calls, opened) = open(ground, calls, "/ducat.v1.Ledger/ListAccounts").await?;
        let (answer, mut body) = opened;
        body.send_data(page.clone(), true)?;
        held.push((answer, body));
    }
    let (_calls, (answer, mut body)) =
        open(ground, calls, "/ducat.v1.Ledger/StreamTransfers").await?;
    for tag in 0..UNREAD_BATCHES {
        ground.attempt().await;
        body.send_data(bodies::refused_batch(tag as u64, UNREAD_TRANSFERS), false)?;
    }
    held.push((answer, body));
    hold(held).await;
    Ok(())
}

/// A sound call, byte by byte.
pub async fn slow_writer(ground: &Ground) -> anyhow::Result<()> {
    ground.attempt().await;
    let calls = connect(ground).await?;
    let (_calls, (answer, mut body)) = open(ground, calls, "/ducat.v1.Ledger/Transfer").await?;
    let message = bodies::framed(&bodies::transfer().encode_to_vec());
    for at in 0..message.len() {
        body.send_data(message.slice(at..=at), at + 1 == message.len())?;
        tokio::time::sleep(BYTE).await;
    }
    let _answered = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
    Ok(())
}

/// Makes one call and waits for its answer, refused or not; one without an answer is given up.
async fn ask(
    ground: &Ground,
    calls: SendRequest<Bytes>,
    path: &str,
    message: Bytes,
) -> anyhow::Result<SendRequest<Bytes>> {
    let (calls, (answer, mut body)) = open(ground, calls, path).await?;
    // A stream that the server has ended takes no more.
    let _sent = body.send_data(message, true);
    let answered = async {
        let mut answer = answer.await?.into_body();
        while let Some(piece) = answer.data().await {
            let piece = piece?;
            answer.flow_control().release_capacity(piece.len())?;
        }
        Ok::<_, h2::Error>(())
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
        // What was refused by a reset is one stream's end.
        Ok(Err(error)) if !error.is_reset() => Err(error.into()),
        Ok(_) => Ok(calls),
        Err(_elapsed) => {
            body.send_reset(Reason::CANCEL);
            Ok(calls)
        }
    }
}

/// Holds what was opened until the server has ended all of it, or for [`HELD`].
async fn hold(held: Vec<Open>) {
    let ended = async {
        for (answer, body) in held {
            let Ok(answer) = answer.await else { continue };
            if answer.headers().contains_key("grpc-status") {
                continue;
            }
            // Open: neither read nor written.
            let _open = (answer, body);
            std::future::pending::<()>().await;
        }
        // All was refused: not asked for again at once.
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let _held = tokio::time::timeout(HELD, ended).await;
}
