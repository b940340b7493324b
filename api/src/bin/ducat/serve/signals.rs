//! The signals that end the server: the first one gently, the second one at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell expects of a process ended by Ctrl-C.
const EXIT_AT_ONCE: i32 = 130;

/// Resolves at the first SIGINT or SIGTERM.
pub async fn first() {
    let (mut interrupt, mut terminate) = handlers();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// From now on a signal ends the process without waiting for anything. Nothing acknowledged is
/// lost by it: that is what the journal is for.
pub fn exit_at_once_on_the_next() {
    tokio::spawn(async {
        first().await;
        tracing::warn!("stopped at once");
        std::process::exit(EXIT_AT_ONCE);
    });
}

fn handlers() -> (Signal, Signal) {
    let handler = |kind| signal(kind).expect("SIGINT and SIGTERM can always be handled");
    (handler(SignalKind::interrupt()), handler(SignalKind::terminate()))
}
