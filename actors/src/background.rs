//! Threads of low priority, for reading the journal on behalf of those who look back: next to
//! transfers they get what is left of the processors.
//!
//! ```text
//! Feed::next ─ Job ─▶ queue ─▶ two threads: frames ▸ decode ▸ filter ─▶ answer
//! audits ──────────────────▶ a thread of its own, one at a time
//! ```
//!
//! Nothing runs before somebody looks back. What waits in the queue is bounded by the places of
//! those who put it there, and each job by what it may read.

use crossbeam::channel::{Receiver, Sender, unbounded};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::threads::lower_priority;

/// Threads that serve feeds: so that one that waits for a disk does not hold up all others.
const THREADS: usize = 2;

type Job = Box<dyn FnOnce() + Send>;

/// Why a job was not done.
#[derive(Debug, Error)]
pub(crate) enum Undone {
    /// Its thread could not be started.
    #[error("could not start a thread to read with: {0}")]
    NoThread(String),
    /// It panicked.
    #[error("reading ended in a panic")]
    Panicked,
}

/// The threads that feeds share. They end when this is dropped.
#[derive(Default)]
pub(crate) struct Background {
    jobs: OnceLock<Result<Sender<Job>, String>>,
}

impl Background {
    /// Does a short piece of work on one of the threads.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let jobs = self.jobs.get_or_init(|| start().map_err(|error| error.to_string()));
        let jobs = jobs.as_ref().map_err(|why| Undone::NoThread(why.clone()))?;
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            let worked = catch_unwind(AssertUnwindSafe(work));
            if let Ok(done) = worked {
                // Fails when nobody waits any more.
                drop(reply.send(done));
            }
        });
        jobs.send(job).map_err(|_| Undone::Panicked)?;
        answer.await.map_err(|_| Undone::Panicked)
    }
}

/// Does work that takes long on a thread of its own.
pub(crate) async fn run_alone<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Undone> {
    let (reply, answer) = oneshot::channel();
    let thread = move || {
        lower_priority();
        drop(reply.send(work()));
    };
    let started = std::thread::Builder::new().name("ducat-audit".to_owned()).spawn(thread);
    started.map_err(|error| Undone::NoThread(error.to_string()))?;
    answer.await.map_err(|_| Undone::Panicked)
}

fn start() -> io::Result<Sender<Job>> {
    let (jobs, waiting) = unbounded();
    for _ in 0..THREADS {
        let waiting = waiting.clone();
        std::thread::Builder::new()
            .name("ducat-feed".to_owned())
            .spawn(move || work_off(&waiting))?;
    }
    Ok(jobs)
}

fn work_off(waiting: &Receiver<Job>) {
    lower_priority();
    while let Ok(job) = waiting.recv() {
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_a_panic_costs_no_thread() {
        let background = Background::default();
        for round in 0..10 {
            assert_eq!(background.run(move || round + 1).await.expect("done"), round + 1);
            let panicked = background.run(|| panic!("planted")).await;
            assert!(matches!(panicked, Err(Undone::Panicked)));
        }
        let panicked = run_alone(|| panic!("planted")).await;
        assert!(matches!(panicked, Err(Undone::Panicked)));
    }
}
