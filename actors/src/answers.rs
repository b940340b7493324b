//! Answers on their way out: completed from the journal where an id was known, then handed
//! to whoever asked.
//!
//! The journal writer holds them until they are durable and sends them here together. This
//! actor lives on the threads of those who asked: waking a task of another thread costs a
//! lock and often a system call, so a hundred callers are not woken one by one from the
//! engine's threads; one message wakes this actor, which wakes its neighbours.

use crate::admission::Shared;
use crate::handle::RequestError;
use crate::journal::ReleasedTo;
use crate::stored::StoredReader;
use ducat_engine::coordinator::Answer;
use ducat_engine::fees::FeeNote;
use ducat_engine::holds::HoldAfter;
use ducat_engine::ids::Lsn;
use ducat_engine::refunds::RefundAfter;
use ducat_engine::repeat::resolve;
use ducat_engine::request::Request;
use ducat_engine::terms::TermsAfter;
use ducat_engine::transfer::Outcome;
use ducat_persistence::with_causes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Answers that leave together, at least. More of them at a time would make callers, server
/// and disk take turns: all callers wait while the last answer is written, then all ask at
/// once and wait for one append, with nobody else at work.
const LEAVING_TOGETHER: usize = 8;

/// In so many parts at most: between two of them whoever else waits has a turn, and in a flood
/// that is long. Answers that do not leave keep the engine full.
const PARTS_MAX: usize = 8;

/// Turns that the connections get to write answers and to read what comes next, before a
/// small append is made of it.
const TURNS: usize = 3;

/// What the actor is told.
pub(crate) enum AnswersMsg {
    /// All that these answers wait for is durable; tell the journal writer when they have left.
    Release { releases: Vec<Release>, tell: ReleasedTo },
}

/// The actor.
pub(crate) struct AnswersActor {
    pub shared: Arc<Shared>,
}

impl Actor for AnswersActor {
    type Msg = AnswersMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<AnswersMsg>, (): ()) -> Done {
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<AnswersMsg>,
        AnswersMsg::Release { releases, tell }: AnswersMsg,
        (): &mut (),
    ) -> Done {
        let mut with_repeats = Vec::new();
        let together = releases.len().div_ceil(PARTS_MAX).max(LEAVING_TOGETHER);
        for (at, release) in releases.into_iter().enumerate() {
            if at % together == together - 1 {
                tokio::task::yield_now().await;
            }
            with_repeats.extend(release.send(&self.shared));
        }
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        tell.tell();
        // Read back from the journal together.
        if !with_repeats.is_empty() {
            let shared = Arc::clone(&self.shared);
            tokio::task::spawn_blocking(move || send_with_repeats(&shared, with_repeats));
        }
        Ok(())
    }
}

type Done = Result<(), ActorProcessingErr>;

/// Where the outcomes of one submission go.
pub(crate) type OutcomesSender = oneshot::Sender<Result<Part, RequestError>>;

/// The answers to a submission, or to the first part of it.
pub(crate) struct Part {
    pub answers: Answers,
    /// What was not taken up.
    pub rest: Option<Box<Rest>>,
}

/// Requests that were not taken up, because events must be read first that they refund.
pub(crate) struct Rest {
    pub requests: Vec<Request>,
    /// Which of them refund which event, as far as that is known. All are durable by now.
    pub unread: Vec<(usize, Lsn)>,
    /// The room they take in the engine.
    pub permit: OwnedSemaphorePermit,
}

/// The answers to a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// One for each request, in order.
    pub outcomes: Vec<Outcome>,
    /// How the holds of operations stand after them, by place among the outcomes, in order. Of
    /// transfers, and of operations that found no hold, there is nothing to tell.
    pub holds: Vec<(usize, HoldAfter)>,
    /// How the originals of refunds stand after them, likewise. Of refunds that found nothing moved,
    /// there is nothing to tell.
    pub refunds: Vec<(usize, RefundAfter)>,
    /// What is told of requests with terms besides, by place among the outcomes, in order.
    pub terms: Vec<(usize, TermsAfter)>,
    /// What is told of the fees of transfers for which one was due, likewise.
    pub fees: Vec<(usize, FeeNote)>,
}

impl Answers {
    /// How the hold of the request at this place stands after it.
    #[must_use]
    pub fn hold(&self, at: usize) -> Option<&HoldAfter> {
        let found = self.holds.binary_search_by_key(&at, |(place, _)| *place).ok()?;
        Some(&self.holds[found].1)
    }

    /// How the original of the refund at this place stands after it.
    #[must_use]
    pub fn refund(&self, at: usize) -> Option<&RefundAfter> {
        let found = self.refunds.binary_search_by_key(&at, |(place, _)| *place).ok()?;
        Some(&self.refunds[found].1)
    }

    /// What is told of the request at this place, if it has terms.
    #[must_use]
    pub fn terms(&self, at: usize) -> Option<&TermsAfter> {
        let found = self.terms.binary_search_by_key(&at, |(place, _)| *place).ok()?;
        Some(&self.terms[found].1)
    }

    /// What is told of the fee of the transfer at this place, if one was due.
    #[must_use]
    pub fn fee(&self, at: usize) -> Option<&FeeNote> {
        let found = self.fees.binary_search_by_key(&at, |(place, _)| *place).ok()?;
        Some(&self.fees[found].1)
    }

    /// Adds the answers to the requests that follow.
    pub(crate) fn append(&mut self, more: Self) {
        let before = self.outcomes.len();
        self.outcomes.extend(more.outcomes);
        self.holds.extend(more.holds.into_iter().map(|(at, hold)| (before + at, hold)));
        let refunds = more.refunds.into_iter();
        self.refunds.extend(refunds.map(|(at, refund)| (before + at, refund)));
        self.terms.extend(more.terms.into_iter().map(|(at, terms)| (before + at, terms)));
        self.fees.extend(more.fees.into_iter().map(|(at, fee)| (before + at, fee)));
    }
}

impl From<Answer> for Answers {
    fn from(answer: Answer) -> Self {
        let Answer { outcomes, repeats: _, holds, refunds, terms, fees } = answer;
        Self { outcomes, holds, refunds, terms, fees }
    }
}

/// The requests that were not taken up, and which events they refund: the place of each among them.
type Left = (Vec<Request>, Vec<(usize, Lsn)>);

/// The outcomes of a submission on their way out. The permit is the room it takes in the
/// engine.
pub(crate) struct Leaving {
    pub answer: Answer,
    pub reply: OutcomesSender,
    pub permit: OwnedSemaphorePermit,
    /// What was not taken up, and which events it refunds.
    pub rest: Option<Left>,
}

impl Leaving {
    /// Hands the answers over, and what was not taken up. Room that is not needed any more is given
    /// back.
    fn hand_over(
        reply: OutcomesSender,
        permit: OwnedSemaphorePermit,
        answers: Result<Answers, RequestError>,
        rest: Option<Left>,
    ) {
        let Some((requests, unread)) = rest else {
            drop(reply.send(answers.map(|answers| Part { answers, rest: None })));
            return drop(permit);
        };
        let rest = Some(Box::new(Rest { requests, unread, permit }));
        drop(reply.send(answers.map(|answers| Part { answers, rest })));
    }
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
            Self::Outcomes(Leaving { answer, reply, permit, rest }) => {
                count(shared, &answer.outcomes);
                Leaving::hand_over(reply, permit, Ok(answer.into()), rest);
            }
        }
        None
    }
}

/// Completes answers from the journal and hands them over; blocks while it reads.
fn send_with_repeats(shared: &Shared, leaving: Vec<Leaving>) {
    for Leaving { answer, reply, permit, rest } in leaving {
        let filled = fill(shared, answer);
        match &filled {
            Ok(answers) => count(shared, &answers.outcomes),
            Err(error) => tracing::error!(%error, "a repeat could not be answered"),
        }
        Leaving::hand_over(reply, permit, filled, rest);
    }
}

fn fill(shared: &Shared, mut answer: Answer) -> Result<Answers, RequestError> {
    let mut reader = StoredReader::new(&*shared.journal, shared.shard);
    resolve(&mut answer, |lsn| {
        let stored = reader.event(lsn).map_err(|e| RequestError::ReadFailed(with_causes(&e)))?;
        Ok((stored.time_ns, stored.record))
    })?;
    Ok(Answers::from(answer))
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
