//! Who connects only while the attack is on, and how much memory the server takes meanwhile.

use crate::address::Address;
use crate::ledger::Ledger;
use crate::procfs::Usage;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Time from one newcomer to the next.
const EVERY: Duration = Duration::from_millis(250);

/// A newcomer who is not answered by then was not let in.
const WITHIN: Duration = Duration::from_secs(10);

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Newcomers.
    pub came: u64,
    /// Of them answered.
    pub answered: u64,
    /// How long the slowest of these took from connecting to its first answer, milliseconds.
    pub slowest_ms: f64,
    /// The server's most resident memory, bytes.
    pub memory_bytes_max: Option<u64>,
}

impl Seen {
    /// Adds what another round saw.
    pub fn add(&mut self, other: &Self) {
        self.came += other.came;
        self.answered += other.answered;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
        self.memory_bytes_max = self.memory_bytes_max.max(other.memory_bytes_max);
    }
}

/// Newcomers, until they are stopped.
pub struct Newcomers {
    end: watch::Sender<bool>,
    coming: JoinHandle<Seen>,
}

impl Newcomers {
    /// Has one after another come to `to`, whose process is `pid`.
    pub fn start(to: Address, pid: Option<u32>) -> Self {
        let (end, mut ended) = watch::channel(false);
        let coming = tokio::spawn(async move {
            let mut seen = Seen::default();
            while !*ended.borrow() {
                let begun = Instant::now();
                seen.came += 1;
                if is_answered(&to, WITHIN).await {
                    seen.answered += 1;
                    seen.slowest_ms = seen.slowest_ms.max(begun.elapsed().as_secs_f64() * 1e3);
                }
                let usage = pid.map(Usage::of).unwrap_or_default();
                seen.memory_bytes_max = seen.memory_bytes_max.max(usage.resident_bytes);
                let _ended = tokio::time::timeout(EVERY, ended.changed()).await;
            }
            seen
        });
        Self { end, coming }
    }

    /// Waits for the last one; says what was seen.
    pub async fn stop(self) -> Seen {
        self.end.send_replace(true);
        self.coming.await.unwrap_or_default()
    }
}

/// Whether the server answers somebody new within this time, however often it is asked.
pub async fn is_answered(to: &Address, within: Duration) -> bool {
    let asking = async {
        loop {
            if let Ok(ledger) = Ledger::connect(to).await
                && ledger.status(false).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(within, asking).await.is_ok()
}
