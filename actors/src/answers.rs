//! Answers on their way out: held until durable, completed from the journal where an id was
//! known, then handed to whoever asked.

use crate::admission::Shared;
use crate::handle::RequestError;
use crate::stored::StoredReader;
use ducat_engine::coordinator::Answer;
use ducat_engine::repeat::resolve;
use ducat_engine::transfer::Outcome;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Where the outcomes of one submission go.
pub(crate) type OutcomesSender = oneshot::Sender<Result<Vec<Outcome>, RequestError>>;

/// Something to be told once everything sent to the journal before it is durable.
pub(crate) enum Release {
    /// The outcomes of a submission. The permit is the room it takes in the engine.
    Outcomes { answer: Answer, reply: OutcomesSender, permit: OwnedSemaphorePermit },
    /// Anything else: a closure that hands over an answer made before.
    Then(Box<dyn FnOnce() + Send>),
}

impl Release {
    /// Hands the answer over. Repeats are read back from the journal first, off the actors.
    pub fn send(self, shared: &Arc<Shared>) {
        match self {
            Self::Then(tell) => tell(),
            Self::Outcomes { answer, reply, permit } if answer.repeats.is_empty() => {
                count(shared, &answer.outcomes);
                drop(reply.send(Ok(answer.outcomes)));
                drop(permit);
            }
            Self::Outcomes { answer, reply, permit } => {
                let shared = Arc::clone(shared);
                tokio::task::spawn_blocking(move || {
                    let filled = fill(&shared, answer);
                    if let Ok(outcomes) = &filled {
                        count(&shared, outcomes);
                    }
                    drop(reply.send(filled));
                    drop(permit);
                });
            }
        }
    }
}

fn fill(shared: &Shared, answer: Answer) -> Result<Vec<Outcome>, RequestError> {
    let mut reader = StoredReader::new(&*shared.journal, shared.shard);
    let mut outcomes = answer.outcomes;
    resolve(&mut outcomes, &answer.repeats, |lsn| {
        let stored = reader.event(lsn).map_err(|e| shared.stopped(&e))?;
        Ok((stored.time_ns, stored.record))
    })?;
    Ok(outcomes)
}

fn count(shared: &Shared, outcomes: &[Outcome]) {
    let (mut posted, mut refused, mut repeats) = (0, 0, 0);
    for outcome in outcomes {
        match (outcome.repeat, outcome.rejection) {
            (true, _) => repeats += 1,
            (false, None) => posted += 1,
            (false, Some(_)) => refused += 1,
        }
    }
    shared.counters.posted.fetch_add(posted, Ordering::Relaxed);
    shared.counters.refused.fetch_add(refused, Ordering::Relaxed);
    shared.counters.repeats.fetch_add(repeats, Ordering::Relaxed);
}
