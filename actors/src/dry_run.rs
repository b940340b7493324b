//! Dry runs: what would become of writes, told as of one durable LSN, without any being done.
//!
//! ```text
//! Handle::dry_run ─ Read::Copies ─▶ coordinator, between two batches: copies of what has a say
//!        ▲                    │ once that is durable
//!        └── judged here, on a thread for reads, by the engine's own rules on those copies
//! ```
//!
//! The threads that decide only copy; a dry run that goes wrong fails alone.

use crate::coordinator::CoordinatorState;
use crate::handle::{Answers, RequestError};
use crate::partition::PartitionMsg;
use crate::tasks::Found;
use ducat_engine::account::{Account, Impossible};
use ducat_engine::coordinator::Answer;
use ducat_engine::driven::{DrySaga, DrySchedule, SagaAsk, ScheduleAsk};
use ducat_engine::dry_run::{DryRun, Excerpt};
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::refunds::Original;
use ducat_engine::request::Request;
use ducat_engine::sagas::SagaRejection;
use ducat_engine::schedules::ScheduleRejection;
use ractor::ActorProcessingErr;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What would become of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryAnswers {
    /// One answer for each request, as it would be given. The LSN of one that is new is
    /// [`Self::as_of`]: it has no place of its own. Of a known id it is the event that decided it.
    pub answers: Answers,
    /// The last event of the state in which all were judged.
    pub as_of: Lsn,
}

/// What would become of something else, and the last event of the state in which it was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged<T> {
    /// What would become of it.
    pub what: T,
    /// The last event before.
    pub as_of: Lsn,
}

/// Something asked of schedules or sagas.
pub(crate) enum DrivenAsk {
    Schedule(ScheduleAsk),
    Saga(SagaAsk),
}

/// What would become of that, before its request is judged.
pub(crate) enum DryDriven {
    Schedule(Result<DrySchedule, ScheduleRejection>),
    Saga(Result<DrySaga, SagaRejection>),
}

impl DryDriven {
    /// What would be asked for.
    pub fn request(&self) -> Option<&Request> {
        match self {
            Self::Schedule(dry) => dry.as_ref().ok()?.request.as_ref(),
            Self::Saga(dry) => dry.as_ref().ok()?.request.as_ref(),
        }
    }
}

/// An excerpt with the accounts that it needs, and which requests refund events that must be read
/// first.
pub(crate) struct Copied {
    pub excerpt: Excerpt,
    pub accounts: Vec<(Slot, Account)>,
    pub unread: Vec<(usize, Lsn)>,
    /// What would become of what is asked of schedules or sagas.
    pub driven: Option<DryDriven>,
}

/// What a dry run asks for copies of.
#[derive(Clone)]
pub(crate) enum Concerning {
    /// What has a say in requests.
    Requests(Arc<Vec<Request>>),
    /// Accounts, and what is known of them.
    Accounts(Vec<AccountId>),
    /// Schedules or sagas, and what has a say in the request that would be asked for; if it is a
    /// refund, with what was read of its original.
    Driven { ask: Arc<DrivenAsk>, original: Option<Original> },
}

/// A request that is to be judged, with what was read of its original.
pub(crate) fn driven_request(
    request: Option<&Request>,
    original: Option<Original>,
) -> Vec<Request> {
    let mut requests: Vec<_> = request.cloned().into_iter().collect();
    if let Some(refund) = requests.first_mut().and_then(Request::refund_mut) {
        refund.original = original;
    }
    requests
}

impl CoordinatorState {
    /// Copies what a dry run needs, between two batches.
    pub(crate) async fn copy(
        &mut self,
        concerning: &Concerning,
    ) -> Result<Found<Copied>, ActorProcessingErr> {
        let now_ns = self.clock.now_ns();
        let mut driven = None;
        let (excerpt, unread) = match concerning {
            Concerning::Requests(requests) => self.excerpt(requests, now_ns),
            Concerning::Accounts(ids) => {
                (self.rules.excerpt_of_accounts(ids.iter().copied(), now_ns), Vec::new())
            }
            Concerning::Driven { ask, original } => {
                let dry = match &**ask {
                    DrivenAsk::Schedule(ask) => {
                        DryDriven::Schedule(self.rules.dry_run_schedule(ask, now_ns))
                    }
                    DrivenAsk::Saga(ask) => DryDriven::Saga(self.rules.dry_run_saga(ask, now_ns)),
                };
                let requests = driven_request(dry.request(), *original);
                driven = Some(dry);
                self.excerpt(&requests, now_ns)
            }
        };
        let mut accounts = Vec::with_capacity(excerpt.slots().len());
        let mut by_partition = vec![Vec::new(); self.partitions.len()];
        for slot in excerpt.slots() {
            by_partition[self.rules.layout().partition_of(*slot)].push(*slot);
        }
        for (partition, slots) in self.partitions.iter().zip(by_partition) {
            if !slots.is_empty() {
                let (reply, answer) = oneshot::channel();
                partition.cast(PartitionMsg::Copies { slots, reply })?;
                accounts.append(&mut answer.await?);
            }
        }
        let lsn = excerpt.as_of();
        Ok(Found { what: Copied { excerpt, accounts, unread, driven }, lsn })
    }

    /// What has a say in requests, and which of them refund events that must be read first: those are
    /// asked for again once that is done.
    fn excerpt(&self, requests: &[Request], now_ns: u64) -> (Excerpt, Vec<(usize, Lsn)>) {
        let unread = |(at, request)| Some((at, self.rules.unread(request)?));
        let unread: Vec<_> = requests.iter().enumerate().filter_map(unread).collect();
        let judged: &[Request] = if unread.is_empty() { requests } else { &[] };
        (self.rules.excerpt(judged, now_ns), unread)
    }
}

pub(crate) fn contradicted(error: &Impossible) -> RequestError {
    tracing::error!(%error, "a dry run contradicted itself");
    RequestError::Contradiction(error.to_string())
}

/// What is told of places in the journal that nobody has yet is taken back.
pub(crate) fn dry_answers(run: &DryRun, answer: Answer) -> DryAnswers {
    let as_of = run.as_of;
    let mut answers = Answers::from(answer);
    for outcome in &mut answers.outcomes {
        outcome.lsn = outcome.lsn.min(as_of);
    }
    for (_, terms) in &mut answers.terms {
        let there = |version: Option<Lsn>| version.filter(|lsn| *lsn <= as_of);
        terms.debit_version = there(terms.debit_version);
        terms.credit_version = there(terms.credit_version);
    }
    for (_, refund) in &mut answers.refunds {
        if refund.of_lsn > as_of {
            refund.of_lsn = Lsn::ZERO;
        }
    }
    DryAnswers { answers, as_of }
}
