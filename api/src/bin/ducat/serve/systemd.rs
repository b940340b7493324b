//! What systemd is told: how far a replay is, that the server is ready, that it stops, and that it
//! lives, which is said only while the engine really answers. Without a `NOTIFY_SOCKET` nobody is
//! told anything ([decision 40](../../../../../docs/adr/0040-life-of-a-process.md)).

use ducat_actors::handle::{Handle, RequestError};
use ducat_actors::replay::Progress;
use ducat_engine::ids::TransferId;
use sd_notify::NotifyState;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time between two reports of a replay.
const REPLAY_EVERY: Duration = Duration::from_secs(5);

/// How much longer a replay that goes on may take, each time it is reported: microseconds.
const REPLAY_EXTENSION_US: u32 = 120_000_000;

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// Reports a replay beside `shown`, so that a start is given up only when nothing moves any more.
pub fn replaying(mut shown: Progress) -> Progress {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return shown;
    }
    let mut told: Option<Instant> = None;
    Box::new(move |scan| {
        shown(scan);
        if told.is_none_or(|at| at.elapsed() >= REPLAY_EVERY) {
            told = Some(Instant::now());
            let status = format!("replaying: event {} of {}", scan.lsn.0, scan.goal_lsn.0);
            tell(&[
                NotifyState::ExtendTimeoutUsec(REPLAY_EXTENSION_US),
                NotifyState::Status(&status),
            ]);
        }
    })
}

/// Clients can connect.
pub fn ready(address: SocketAddr) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving on {address}"))]);
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("answering what was begun")]);
}

/// Feeds the watchdog that systemd has asked for, if it has, until the engine stops.
pub fn feed_watchdog(handle: Handle) {
    if let Some(patience) = sd_notify::watchdog_enabled() {
        // An answer that takes a third, and the pause before the next question, leave a third.
        tokio::spawn(feed(handle, patience / 3));
    }
}

async fn feed(handle: Handle, every: Duration) {
    loop {
        let asked = Instant::now();
        let answer = answers(&handle);
        tokio::pin!(answer);
        let alive = loop {
            // The same question all the time: an engine that hangs is not given more to do.
            match tokio::time::timeout(every, &mut answer).await {
                Ok(alive) => break alive,
                Err(_elapsed) => {
                    let waited = asked.elapsed().as_millis();
                    let status = format!("the engine has not answered for {waited} ms");
                    tell(&[NotifyState::Status(&status)]);
                }
            }
        };
        if !alive {
            return;
        }
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(every).await;
    }
}

/// Whether the engine answers, once it does: the coordinator and every partition, and the journal
/// for all that was decided before, since a read waits until that is durable.
async fn answers(handle: &Handle) -> bool {
    let nobodys = TransferId::new(u128::MAX).expect("not zero");
    let asked = async {
        handle.holds(vec![nobodys]).await?;
        handle.status_with_memory().await
    };
    !matches!(asked.await, Err(RequestError::Stopped(_)))
}
