//! Attacks below HTTP/2's library: bytes and frames by hand.

use super::attack::Ground;
use super::frames;
use rand::RngExt as _;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// How long the server is given to end a connection by itself.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

/// How long half a handshake is left open.
const HALF_HELD: Duration = Duration::from_millis(20);

/// How long a silent connection is held, where the server does not end it.
const IDLE_HELD: Duration = Duration::from_secs(60);

/// How long somebody waits who was sent away at once.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// Frames on one connection at most.
const FRAMES_MAX: usize = 20_000;

/// Random bytes, then whatever the server says to them.
pub async fn garbage(ground: &Ground) -> anyhow::Result<()> {
    ground.attempt().await;
    let mut bytes = [0; 512];
    rand::rng().fill(&mut bytes);
    let mut stream = ground.door.tcp().await?;
    stream.write_all(&bytes).await?;
    until_ended(&mut stream, ANSWER_TIMEOUT).await;
    Ok(())
}

/// The first half of the first message.
pub async fn half_handshake(ground: &Ground) -> anyhow::Result<()> {
    ground.attempt().await;
    let hello = ground.door.hello()?;
    let mut stream = ground.door.tcp().await?;
    stream.write_all(&hello[..hello.len() / 2]).await?;
    until_ended(&mut stream, HALF_HELD).await;
    Ok(())
}

/// As much as somebody may do who has no certificate, or, where none is asked for, nothing to say.
pub async fn handshake(ground: &Ground) -> anyhow::Result<()> {
    ground.attempt().await;
    if ground.door.encrypts() {
        // It is refused for its certificate after the server has done its part, or not at all.
        let _refused = ground.door.strange_handshake().await;
        return Ok(());
    }
    let mut stream = ground.door.tcp().await?;
    stream.write_all(frames::PREFACE).await?;
    let mut settings = [0; 9];
    stream.read_exact(&mut settings).await?;
    Ok(())
}

/// One frame that breaks the rules.
pub async fn malformed_frame(ground: &Ground) -> anyhow::Result<()> {
    for frame in frames::malformed() {
        ground.attempt().await;
        let mut io = ground.door.io().await?;
        io.write_all(frames::PREFACE).await?;
        io.write_all(&frame).await?;
        until_ended(&mut io, ANSWER_TIMEOUT).await;
    }
    Ok(())
}

/// Frames that ask for nothing, until the server has had enough.
pub async fn control_frames(ground: &Ground) -> anyhow::Result<()> {
    flood(ground, &[], &frames::control(), frames::CONTROL_FRAMES).await
}

/// Headers of one request, until the server has had enough.
pub async fn endless_headers(ground: &Ground) -> anyhow::Result<()> {
    flood(ground, &frames::endless_headers(), &frames::continuation(), 1).await
}

/// A connection on which nothing is sent; another one once the server has ended it.
pub async fn idle_connection(ground: &Ground) -> anyhow::Result<()> {
    ground.attempt().await;
    let mut stream = ground.door.tcp().await?;
    until_ended(&mut stream, IDLE_HELD).await;
    // One that is ended at once comes again after a pause: how fast connections come is what others try.
    tokio::time::sleep(IDLE_PAUSE).await;
    Ok(())
}

/// Sends the same again and again, while all that is answered is read and thrown away.
async fn flood(ground: &Ground, first: &[u8], again: &[u8], count: u64) -> anyhow::Result<()> {
    let (mut read, mut write) = tokio::io::split(ground.door.io().await?);
    let sending = async {
        write.write_all(frames::PREFACE).await?;
        write.write_all(first).await?;
        for _ in 0..FRAMES_MAX {
            ground.attempts(count).await;
            write.write_all(again).await?;
        }
        anyhow::Ok(())
    };
    let mut thrown_away = tokio::io::sink();
    tokio::select! {
        sent = sending => sent,
        _ended = tokio::io::copy(&mut read, &mut thrown_away) => Ok(()),
    }
}

/// Reads and throws away until the server ends the connection, or for so long.
async fn until_ended(from: &mut (impl AsyncRead + Unpin), most: Duration) {
    let mut buffer = [0; 1024];
    let reading = async { while from.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    let _held = tokio::time::timeout(most, reading).await;
}
