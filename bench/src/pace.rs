//! When to send: the closed loop sends as soon as an answer is there, the open loop at fixed
//! moments whatever the answers do. With the open loop latency counts from the intended
//! moment, so a stall of the server shows in every request that was due meanwhile (no
//! coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

/// How long before a moment the pacing thread stops sleeping, so as not to oversleep.
const WAKE_EARLY: Duration = Duration::from_micros(60);

/// One client thread's source of sending moments, shared by its workers.
pub enum Pace {
    /// At once, until the end or until the transfers are used up.
    Closed {
        /// The end.
        until: Instant,
        /// Transfers left to send, shared by all threads; `None` for no limit.
        left: Option<Arc<AtomicI64>>,
        /// Transfers in a batch.
        batch: usize,
    },
    /// At the moments the pacing thread sends.
    Open {
        /// Due moments; whoever is free takes the next.
        due: Mutex<mpsc::UnboundedReceiver<Instant>>,
        /// Transfers in a batch.
        batch: usize,
    },
}

impl Pace {
    /// Waits for the next moment; says when it was due and how many transfers to send.
    /// `None` at the end.
    pub async fn next(&self) -> Option<(Instant, usize)> {
        match self {
            Self::Closed { until, left, batch } => {
                let now = Instant::now();
                if now >= *until {
                    return None;
                }
                let Some(left) = left else { return Some((now, *batch)) };
                let before = left.fetch_sub(*batch as i64, Ordering::Relaxed);
                (before > 0).then(|| (now, (*batch).min(before as usize)))
            }
            Self::Open { due, batch } => Some((due.lock().await.recv().await?, *batch)),
        }
    }

    /// Whether latency counts from the due moment.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// Starts the thread that sends due moments: request number `i` at `start + i × interval`,
/// up to `end`. What nobody takes waits in the channel: 16 bytes each, at most one for each
/// moment of the run.
pub fn open_pace(start: Instant, end: Instant, interval: Duration, batch: usize) -> Pace {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut due = start;
        for i in 1u64.. {
            if due >= end || !wait_until(due, &sender) || sender.send(due).is_err() {
                return;
            }
            due = start + Duration::from_nanos((interval.as_nanos() as u64).saturating_mul(i));
        }
    });
    Pace::Open { due: Mutex::new(receiver), batch }
}

/// Sleeps until shortly before, then yields until `due`. False when nobody listens any more.
fn wait_until(due: Instant, sender: &mpsc::UnboundedSender<Instant>) -> bool {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if sender.is_closed() {
            return false;
        }
        if left > WAKE_EARLY {
            std::thread::sleep((left - WAKE_EARLY).min(Duration::from_millis(100)));
        } else {
            // Spinning would take the core the server needs.
            std::thread::sleep(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_counted_closed_loop_sends_exactly_that_many() {
        let left = Some(Arc::new(AtomicI64::new(25)));
        let until = Instant::now() + Duration::from_secs(60);
        let pace = Pace::Closed { until, left, batch: 10 };
        let mut counts = Vec::new();
        while let Some((_, count)) = pace.next().await {
            counts.push(count);
        }
        assert_eq!(counts, [10, 10, 5]);
    }

    #[tokio::test]
    async fn an_open_loop_keeps_its_moments_when_nobody_takes_them() {
        let start = Instant::now();
        let (interval, end) = (Duration::from_millis(2), start + Duration::from_millis(40));
        let pace = open_pace(start, end, interval, 7);
        tokio::time::sleep(Duration::from_millis(30)).await;
        let mut due = Vec::new();
        while let Some((moment, count)) = pace.next().await {
            assert!(Instant::now() >= moment && count == 7);
            due.push(moment);
        }
        assert_eq!(due.len(), 20);
        assert!(due.windows(2).all(|w| w[1] - w[0] == interval));
    }
}
