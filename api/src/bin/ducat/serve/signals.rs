//! The signals that end the server: the first one gently, the second one at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell expects of a process ended by Ctrl-C.
const EXIT_AT_ONCE: i32 = 130;

/// The signals that end the server, listened for from the moment this is made.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Self {
        let handler = |kind| signal(kind).expect("SIGINT and SIGTERM can always be handled");
        Self {
            interrupt: handler(SignalKind::interrupt()),
            terminate: handler(SignalKind::terminate()),
        }
    }

    /// Resolves at the next SIGINT or SIGTERM.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// From now on a signal ends the process without waiting for anything. Nothing acknowledged
    /// is lost by it: that is what the journal is for.
    pub fn exit_at_once_on_the_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("stopped at once");
            std::process::exit(EXIT_AT_ONCE);
        });
    }
}
