//! Reads beside the load: one more thread with a connection of its own asks for accounts at a fixed
//! rate, whatever the answers do. Their latency counts from the intended moment, like that of every
//! open loop.

use crate::driver::{Plan, Start};
use crate::generator::Generator;
use crate::tally::{Moments, Tally};
use anyhow::Context;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// How long after the end an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body of the thread: connects, waits for the start, reads until the end.
pub fn reader_thread(
    plan: &Plan,
    reads_per_s: f64,
    ready: oneshot::Sender<anyhow::Result<()>>,
    go: oneshot::Receiver<Start>,
) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let port = match plan.connector.for_reads().port(plan.shape.read_accounts).await {
            Ok(port) => Rc::new(port),
            Err(e) => {
                // Nobody to tell means the run is over already.
                let _ = ready.send(Err(e));
                anyhow::bail!("no connection");
            }
        };
        if ready.send(Ok(())).is_err() {
            anyhow::bail!("the run was given up");
        }
        let start = go.await.context("the run was given up")?;
        let tally = Tally::new(start.window, plan.accounts, plan.per_account, true)?;
        let tally = Rc::new(RefCell::new(tally));
        // Draws other accounts than the writers do, and no transfers.
        let thread = u64::MAX;
        let mut generator = Generator::new(plan.shape, plan.accounts, plan.run_id, thread, None);
        let mut reads = Vec::new();
        for due in moments(start.at, start.window.to, reads_per_s) {
            tokio::time::sleep_until(due.into()).await;
            let mut ids = Vec::new();
            generator.fill_read(&mut ids);
            let (port, tally) = (Rc::clone(&port), Rc::clone(&tally));
            reads.push(tokio::task::spawn_local(async move {
                let sent = Instant::now();
                let end = port.read(&ids).await;
                let moments = Moments { from: due, sent, done: Instant::now(), counts_at: due };
                tally.borrow_mut().record_read(ids.len() as u64, &end, moments)
            }));
        }
        let end = start.window.to + PATIENCE;
        for read in reads {
            // One without an answer by then is counted as what it is.
            match tokio::time::timeout_at(end.into(), read).await {
                Ok(read) => read.context("a read panicked")??,
                Err(_elapsed) => tally.borrow_mut().whole.unanswered_requests += 1,
            }
        }
        let tally = tally.borrow().clone();
        Ok(tally)
    })
}

/// When the reads are due.
fn moments(from: Instant, to: Instant, per_s: f64) -> impl Iterator<Item = Instant> {
    (0_u32..)
        .map(move |read| from + Duration::from_secs_f64(f64::from(read) / per_s))
        .take_while(move |due| *due < to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_due_evenly_until_the_end() {
        let from = Instant::now();
        let due: Vec<_> = moments(from, from + Duration::from_secs(2), 4.0).collect();
        assert_eq!(due.len(), 8);
        assert_eq!(due[0], from);
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(250)));
    }
}
