//! Refunds on their way in, and looked back at. On the way in, what they refund is read from the journal, off the threads that
//! decide, between two turns of a submission.
//!
//! ```text
//! submission ─▶ coordinator ─ decides what stands before the first refund that it cannot judge
//!                    │          yet, and says which events that and the rest refund
//!                    ▼ once all that is durable
//!              Pending::answers ─ reads those events, puts them into the requests ─▶ coordinator …
//! ```
//!
//! Nobody else waits for it: submissions behind it are decided meanwhile.

use crate::admission::Shared;
use crate::answers::{Answers, Rest};
use crate::audit::Seed;
use crate::entries::blocking;
use crate::handle::{Handle, RefundView, RefundsPage, RequestError};
use crate::owners::OwnersSeen;
use crate::stored::StoredReader;
use crate::tasks::{Read, Submission, Task};
use crate::trace::Passages;
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::record::Record;
use ducat_engine::refunds::{Did, Original, RefundState};
use ducat_engine::request::Request;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// On what terms a submission is decided, in every turn of it.
#[derive(Debug)]
pub(crate) struct Terms {
    /// From when on nobody wants the answer any more.
    pub deadline: Option<Instant>,
    /// Owners that its caller's right to it depends on.
    pub owners: Option<OwnersSeen>,
    /// The call that an audit event will tell of.
    pub audit: Option<Arc<Seed>>,
    /// Where its way is noted, if its call is sampled.
    pub trace: Option<Arc<Passages>>,
}

/// Has the rest of a submission decided, in as many turns as it takes: one, unless it refunds
/// what it moves itself. Adds the answers to those there are.
pub(crate) async fn go_on(
    shared: &Arc<Shared>,
    mut answers: Answers,
    mut rest: Rest,
    terms: Terms,
) -> Result<Answers, RequestError> {
    loop {
        let requests = with_originals(shared, rest.requests, rest.unread).await?;
        let (reply, answer) = oneshot::channel();
        let arrived = Instant::now();
        shared.backlog.arrive(requests.len(), arrived);
        // Once a part of it is decided nothing refuses the rest, but a right that is gone.
        let goes_on = !answers.outcomes.is_empty();
        let deadline = terms.deadline.filter(|_| !goes_on);
        let (permit, owners) = (rest.permit, terms.owners.clone());
        let (audit, trace) = (terms.audit.clone(), terms.trace.clone());
        let submission = Submission {
            requests,
            reply,
            permit,
            arrived,
            deadline,
            goes_on,
            owners,
            audit,
            trace,
        };
        shared.queue(Task::Transfers(submission))?;
        let part = answer.await.map_err(|e| shared.stopped(&e))??;
        answers.append(part.answers);
        match part.rest {
            None => return Ok(answers),
            Some(more) => rest = *more,
        }
    }
}

/// A page of one transfer's refunds, along the chain that leads from the last one back.
pub(crate) async fn list(
    handle: &Handle,
    shared: &Arc<Shared>,
    (of, at): (TransferId, Option<Lsn>),
    from: Option<Lsn>,
    limit: usize,
) -> Result<Option<RefundsPage>, RequestError> {
    let found = handle.read(|reply| Read::RefundsOf { of, at, reply }).await?;
    let Some((original, state)) = found.what else { return Ok(None) };
    if original == Lsn::ZERO || original > found.lsn {
        return Ok(None);
    }
    let page = blocking(shared, move |journal, shard| {
        let mut reader = StoredReader::new(journal, shard);
        let record = reader.event(original)?.record;
        let moved = match Original::of(original, &record) {
            Original { id, did: Did::Moved { amount, debit, credit }, .. } if id == Some(of) => {
                Some((amount, debit, credit))
            }
            _ => None,
        };
        let Some((moved, debit, credit)) = moved else { return Ok(None) };
        let state = state.unwrap_or_else(|| RefundState::untouched(moved));
        let mut next = from.unwrap_or(state.last_lsn);
        if next > state.last_lsn {
            return Ok(Some(Err(next)));
        }
        let mut refunds = Vec::new();
        while next > Lsn::ZERO && refunds.len() < limit {
            let event = reader.event(next)?;
            let Record::Refunded(refunded) = event.record.unnoted() else {
                return Ok(Some(Err(next)));
            };
            if refunded.of_lsn != original {
                return Ok(Some(Err(next)));
            }
            refunds.push(RefundView {
                id: refunded.id,
                lsn: next,
                time_ns: event.time_ns,
                amount: refunded.amount,
                refunded: refunded.refunded,
                reversal: refunded.reversal,
            });
            next = refunded.previous;
        }
        let next = (next > Lsn::ZERO).then_some(next);
        Ok(Some(Ok(([debit, credit], state, refunds, next))))
    });
    let Some(page) = page.await? else { return Ok(None) };
    let (slots, state, refunds, next) = page.map_err(RequestError::BadCursor)?;
    shared.names.learn(handle, slots.to_vec()).await?;
    let [debit, credit] = slots.map(|slot| shared.names.known().get(slot));
    let page = debit.zip(credit).map(|(debit, credit)| RefundsPage {
        original,
        debit: debit.id,
        credit: credit.id,
        currency: debit.currency,
        state,
        refunds,
        next,
    });
    Ok(page)
}

/// Puts what the journal says of their originals into the refunds among these requests.
pub(crate) async fn with_originals(
    shared: &Arc<Shared>,
    mut requests: Vec<Request>,
    unread: Vec<(usize, Lsn)>,
) -> Result<Vec<Request>, RequestError> {
    let read = blocking(shared, move |journal, shard| {
        let mut reader = StoredReader::new(journal, shard);
        let original = |(at, lsn)| match reader.event(lsn) {
            Ok(event) => Ok((at, Original::of(lsn, &event.record))),
            // Gone without an archive: then nobody knows what it was.
            Err(error) if error.is_trimmed() => {
                Ok((at, Original { lsn, id: None, did: Did::Nothing }))
            }
            Err(error) => Err(error),
        };
        unread.into_iter().map(original).collect::<Result<Vec<(usize, Original)>, _>>()
    });
    for (at, original) in read.await? {
        if let Some(refund) = requests[at].refund_mut() {
            refund.original = Some(original);
        }
    }
    Ok(requests)
}
