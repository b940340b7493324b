//! Answers that lie unread, and requests of which the rest does not come: how old the oldest of each
//! connection is, and the end of a connection that lets one lie too long.
//!
//! HTTP/2 lets a client ask and never take the answer, and what waits for its window cannot
//! be ended one call at a time from here, so its connection is cut. Ages are counted in
//! ticks of a quarter of the timeout, with one counter for each: two additions for a piece.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

/// Ages told apart. A piece older than [`TICKS_MAX`] has its connection cut at once, so no
/// counter is used for two ages at a time.
const AGES: usize = 8;

/// Oldest age left alone, in ticks: between the timeout and a quarter more.
const TICKS_MAX: usize = 4;

/// Watches the connections of one server. Clones are the same watch.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tick: Duration,
    now: Arc<AtomicU64>,
    connections: Mutex<Vec<Weak<Unread>>>,
}

impl Watch {
    /// A watch that lets answers lie for `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let tick = (timeout / 4).max(Duration::from_millis(1));
        let (now, connections) = (Arc::default(), Mutex::default());
        Self(Arc::new(Shared { tick, now, connections }))
    }

    /// A new connection's state.
    #[must_use]
    pub fn connection(&self) -> Arc<Unread> {
        let unread = Arc::new(Unread {
            now: self.0.now.clone(),
            ages: Default::default(),
            cut: AtomicBool::new(false),
            reader: Mutex::default(),
        });
        let mut all = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::downgrade(&unread));
        unread
    }

    /// Cuts connections as they fall behind, without end.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(self.0.tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sweep();
        }
    }

    fn sweep(&self) {
        let now = self.0.now.fetch_add(1, Ordering::Relaxed) + 1;
        let mut all = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            if connection.is_behind(now) {
                tracing::warn!("a connection is cut: it left an answer unread, or a request unfinished, for too long");
                connection.cut();
                return false;
            }
            true
        });
    }
}

/// One connection's unread answers, and requests that are not whole.
#[derive(Debug)]
pub struct Unread {
    now: Arc<AtomicU64>,
    ages: [AtomicU32; AGES],
    cut: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Unread {
    /// Counts a piece of an answer, or a request that is still to come, until what is returned is dropped.
    #[must_use]
    pub fn piece(self: &Arc<Self>) -> Piece {
        let age = self.now.load(Ordering::Relaxed) as usize % AGES;
        self.ages[age].fetch_add(1, Ordering::Relaxed);
        Piece { connection: self.clone(), age }
    }

    /// Whether the connection is to end.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Has `reader` woken when the connection is cut; `false` when it was already.
    pub fn wake(&self, reader: &Waker) -> bool {
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_none_or(|known| !known.will_wake(reader)) {
            *slot = Some(reader.clone());
        }
        !self.is_cut()
    }

    fn is_behind(&self, now: u64) -> bool {
        let lies = |age: usize| {
            let at = (now as usize + AGES - age) % AGES;
            self.ages[at].load(Ordering::Relaxed) > 0
        };
        (TICKS_MAX + 1..AGES).any(lies)
    }

    fn cut(&self) {
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        self.cut.store(true, Ordering::Release);
        if let Some(reader) = slot.take() {
            reader.wake();
        }
    }
}

/// A piece of an answer, handed to the connection and not yet sent; or a request that is not whole.
#[derive(Debug)]
pub struct Piece {
    connection: Arc<Unread>,
    age: usize,
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.connection.ages[self.age].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_lies_too_long_ends_its_connection_and_no_other() {
        let watch = Watch::new(Duration::from_secs(4));
        let (slow, busy) = (watch.connection(), watch.connection());
        watch.sweep();
        let lies = slow.piece();
        for _ in 0..TICKS_MAX {
            let sent = busy.piece();
            watch.sweep();
            drop(sent);
        }
        assert!(!slow.is_cut() && slow.wake(Waker::noop()));
        watch.sweep();
        assert!(slow.is_cut() && !slow.wake(Waker::noop()) && !busy.is_cut());
        drop(lies);
        for _ in 0..3 * AGES {
            watch.sweep();
        }
        assert!(!busy.is_cut());
    }
}
