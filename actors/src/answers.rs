//! Answers on their way out: held until durable, completed from the journal where an id was
//! known, then handed to whoever asked.

use crate::admission::Shared;
use crate::handle::RequestError;
use crate::stored::{StoredReader, with_causes};
use ducat_engine::coordinator::Answer;
use ducat_engine::repeat::resolve;
use ducat_engine::transfer::Outcome;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Where the outcomes of one submission go.
pub(crate) type OutcomesSender = oneshot::Sender<Result<Vec<Outcome>, RequestError>>;

/// The outcomes of a submission on their way out. The permit is the room it takes in the
/// engine.
pub(crate) struct Leaving {
    pub answer: Answer,
    pub reply: OutcomesSender,
    pub permit: OwnedSemaphorePermit,
}

/// Something to be told once everything sent to the journal before it is durable.
pub(crate) enum Release {
    /// The outcomes of a submission.
    Outcomes(Leaving),
    /// Anything else: a closure that hands over an answer made before.
    Then(Box<dyn FnOnce() + Send>),
}

impl Release {
    /// Hands the answer over, or gives it back when it has repeats to be read first.
    pub fn send(self, shared: &Shared) -> Option<Leaving> {
        match self {
            Self::Then(tell) => tell(),
            Self::Outcomes(leaving) if !leaving.answer.repeats.is_empty() => return Some(leaving),
            Self::Outcomes(Leaving { answer, reply, permit }) => {
                count(shared, &answer.outcomes);
                drop(reply.send(Ok(answer.outcomes)));
                drop(permit);
            }
        }
        None
    }
}

/// Completes answers from the journal and hands them over; blocks while it reads.
pub(crate) fn send_with_repeats(shared: &Shared, leaving: Vec<Leaving>) {
    for Leaving { answer, reply, permit } in leaving {
        let filled = fill(shared, answer);
        match &filled {
            Ok(outcomes) => count(shared, outcomes),
            Err(error) => tracing::error!(%error, "a repeat could not be answered"),
        }
        drop(reply.send(filled));
        drop(permit);
    }
}

fn fill(shared: &Shared, answer: Answer) -> Result<Vec<Outcome>, RequestError> {
    let mut reader = StoredReader::new(&*shared.journal, shared.shard);
    let mut outcomes = answer.outcomes;
    resolve(&mut outcomes, &answer.repeats, |lsn| {
        let stored = reader.event(lsn).map_err(|e| RequestError::ReadFailed(with_causes(&e)))?;
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
