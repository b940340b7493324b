//! What callers, driver and janitor share: the queue behind a lock held for moments, the room
//! that bounds it, and the bells.

use super::BatchingOptions;
use super::queue::Queue;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, Semaphore};

#[derive(Debug)]
pub(super) struct Shared {
    pub options: BatchingOptions,
    /// A permit for each transfer that waits or is on its way.
    pub room: Semaphore,
    /// Rung when the driver has something to do.
    pub driver: Notify,
    /// Rung when a deadline comes before the next sweep.
    pub janitor: Notify,
    queue: Mutex<Queue>,
}

impl Shared {
    pub(super) fn new(options: BatchingOptions) -> Self {
        Self {
            room: Semaphore::new(options.waiting_max),
            driver: Notify::new(),
            janitor: Notify::new(),
            queue: Mutex::new(Queue::new(options.deadline, Instant::now())),
            options,
        }
    }

    /// Works on the queue, then does what that led to.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Queue) -> R) -> R {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut queue);
        let effects = std::mem::take(&mut queue.effects);
        drop(queue);
        if effects.freed > 0 {
            self.room.add_permits(effects.freed);
        }
        if effects.driver {
            self.driver.notify_one();
        }
        if effects.janitor {
            self.janitor.notify_one();
        }
        effects.wakers.into_iter().for_each(std::task::Waker::wake);
        result
    }
}

/// Expires calls at their deadlines until everything has ended or, once closed, is answered.
pub(super) async fn expire(shared: &Shared) {
    loop {
        let (next, over) = shared.with(|queue| (queue.next_sweep(), queue.is_over()));
        if over {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {
                shared.with(|queue| queue.sweep(Instant::now()));
            }
            () = shared.janitor.notified() => {}
        }
    }
}
