//! Schedules and sagas in the coordinator actor: defined and changed between two batches, driven on
//! when they are due, and what they ask for put on the path of every transfer.
//!
//! ```text
//! Drive (a tick), or anything else that was done ─▶ rules.drive ─▶ events ─▶ journal writer
//!                                                       │ requests
//!                                                       ▼
//!              a task: room ─▶ queue ─▶ coordinator ─ decided ─▶ moves its schedule or saga
//!                        └── refused for lack of room, ids or disk: again in a while
//! ```
//!
//! The task carries requests and decides nothing: what they come to is in the events. After a start,
//! what was asked for and is not decided is asked for again.

use crate::admission::Shared;
use crate::coordinator::{CoordinatorActor, CoordinatorMsg, CoordinatorState};
use crate::handle::{Handle, RequestError};
use crate::tasks::{Found, Reply, Task};
use ducat_engine::ids::{Lsn, SagaId, ScheduleId};
use ducat_engine::record::Record;
use ducat_engine::request::Request;
use ducat_engine::sagas::{Saga, SagaCommand, SagaDefinition, SagaRejection};
use ducat_engine::schedules::{Definition, Schedule, ScheduleCommand, ScheduleRejection};
use ractor::{ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

type Done<T> = Result<T, ActorProcessingErr>;

/// Most requests of schedules and sagas in flight.
const ASKED_MAX: usize = 4_096;

/// Requests in one submission: far fewer than the engine has room for.
const SUBMISSION: usize = 1_024;

/// Most events that one turn decides: some milliseconds of calendars at the very most.
const TURN_EVENTS: usize = 128;

/// Looked at most often, and, since clocks may jump, least often.
const TICK_MIN: Duration = Duration::from_millis(10);
const TICK_MAX: Duration = Duration::from_secs(1);

/// What could not be taken is asked for again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// Most schedules or sagas that one page looks at.
const LOOKS_MAX: usize = 4_096;

/// A schedule after a command, and whether the command changed it.
pub(crate) type ScheduleResult = Result<(Arc<Schedule>, bool), ScheduleRejection>;

/// A saga after a command, and whether the command changed it.
pub(crate) type SagaResult = Result<(Arc<Saga>, bool), SagaRejection>;

/// Where the driving stands.
#[derive(Default)]
pub(crate) struct Driving {
    /// The engine is connected: what is asked for finds its way.
    begun: bool,
    /// A tick is on its way.
    waking: bool,
}

/// What is asked of schedules and sagas.
pub(crate) enum DrivenTask {
    Define {
        definition: Box<Definition>,
        reply: Reply<ScheduleResult>,
        permit: OwnedSemaphorePermit,
    },
    Schedule {
        id: ScheduleId,
        command: ScheduleCommand,
        reply: Reply<ScheduleResult>,
        permit: OwnedSemaphorePermit,
    },
    Start {
        definition: Box<SagaDefinition>,
        reply: Reply<SagaResult>,
        permit: OwnedSemaphorePermit,
    },
    Saga {
        id: SagaId,
        command: SagaCommand,
        reply: Reply<SagaResult>,
        permit: OwnedSemaphorePermit,
    },
    /// The id of this request had been used before it was asked for.
    GiveUp { request: Request },
}

/// Some schedules or sagas, and behind which of them to go on; `None` at the end.
pub(crate) type DrivenPage<V, I> = (Vec<Arc<V>>, Option<I>);

/// Whether a schedule, or a saga, is wanted on a page.
pub(crate) type Wanted<V> = Box<dyn Fn(&V) -> bool + Send>;

/// A read of schedules or sagas.
pub(crate) enum DrivenRead {
    Schedule {
        id: ScheduleId,
        reply: Reply<Found<Option<Arc<Schedule>>>>,
    },
    Schedules {
        after: Option<ScheduleId>,
        wanted: Wanted<Schedule>,
        limit: usize,
        reply: Reply<Found<DrivenPage<Schedule, ScheduleId>>>,
    },
    Saga {
        id: SagaId,
        reply: Reply<Found<Option<Arc<Saga>>>>,
    },
    Sagas {
        after: Option<SagaId>,
        wanted: Wanted<Saga>,
        limit: usize,
        reply: Reply<Found<DrivenPage<Saga, SagaId>>>,
    },
}

impl DrivenRead {
    /// Whether nobody waits for it any more.
    pub fn is_abandoned(&self) -> bool {
        match self {
            Self::Schedule { reply, .. } => reply.is_closed(),
            Self::Schedules { reply, .. } => reply.is_closed(),
            Self::Saga { reply, .. } => reply.is_closed(),
            Self::Sagas { reply, .. } => reply.is_closed(),
        }
    }
}

fn page<'v, V: 'v, I>(
    all: impl Iterator<Item = &'v Arc<V>>,
    id: impl Fn(&V) -> I,
    wanted: &Wanted<V>,
    limit: usize,
) -> DrivenPage<V, I> {
    let mut page = Vec::new();
    for (looked, value) in all.enumerate() {
        if wanted(value) {
            page.push(Arc::clone(value));
        }
        if page.len() == limit || looked + 1 == LOOKS_MAX {
            return (page, Some(id(value)));
        }
    }
    (page, None)
}

impl CoordinatorActor {
    /// Asks again for what was asked for before the engine started, and drives from now on.
    pub(crate) fn begin_driving(&self, state: &mut CoordinatorState) {
        state.driving.begun = true;
        self.ask_for(state.rules.awaited_requests());
    }

    /// A tick has come.
    pub(crate) fn ticked(state: &mut CoordinatorState) {
        state.driving.waking = false;
    }

    /// Drives on what is due, and sees to being woken for the next.
    pub(crate) async fn drive(
        &self,
        myself: &ActorRef<CoordinatorMsg>,
        state: &mut CoordinatorState,
    ) -> Done<()> {
        if !state.driving.begun || state.rules.driven_due_ns().is_none() {
            return Ok(());
        }
        let now_ns = state.clock.now_ns();
        let due = |state: &CoordinatorState| Some(state.rules.driven_due_ns()?.max(now_ns));
        let room = ASKED_MAX.saturating_sub(state.rules.awaited_len());
        // On a disk that is nearly full nothing is journalled without need.
        if due(state) == Some(now_ns) && room > 0 && self.shared.disk.refusal().is_none() {
            self.wait_for_journal(state).await?;
            let begun = state.rules.drive(now_ns, room.min(TURN_EVENTS));
            if !begun.events.is_empty() {
                state.journal(begun.time_ns, &begun.events, || ())?;
                state.publish(&self.shared);
                self.ask_for(begun.requests);
            }
        }
        if !state.driving.waking
            && let Some(due_ns) = due(state)
        {
            state.driving.waking = true;
            let wait = Duration::from_nanos(due_ns - now_ns).clamp(TICK_MIN, TICK_MAX);
            drop(myself.send_after(wait, || CoordinatorMsg::Drive));
        }
        Ok(())
    }

    fn ask_for(&self, requests: Vec<Request>) {
        for requests in requests.chunks(SUBMISSION) {
            tokio::spawn(ask(Arc::clone(&self.shared), requests.to_vec()));
        }
    }

    /// Does what is asked of a schedule or a saga.
    pub(crate) fn attend_driven(&self, task: DrivenTask, state: &mut CoordinatorState) -> Done<()> {
        let now_ns = state.clock.now_ns();
        match task {
            DrivenTask::Define { definition, reply, permit } => {
                let id = definition.id;
                let done = state.rules.define_schedule(*definition, now_ns);
                self.schedule_done(state, id, done, reply, permit)
            }
            DrivenTask::Schedule { id, command, reply, permit } => {
                let done = state.rules.command_schedule(id, command, now_ns);
                self.schedule_done(state, id, done, reply, permit)
            }
            DrivenTask::Start { definition, reply, permit } => {
                let id = definition.id;
                let done = state.rules.start_saga(*definition, now_ns);
                self.saga_done(state, id, done, reply, permit)
            }
            DrivenTask::Saga { id, command, reply, permit } => {
                let done = state.rules.command_saga(id, command, now_ns);
                self.saga_done(state, id, done, reply, permit)
            }
            DrivenTask::GiveUp { request } => {
                let event = state.rules.give_up(&request, now_ns);
                self.journal_driven(state, event.as_slice(), || ())
            }
        }
    }

    fn schedule_done(
        &self,
        state: &mut CoordinatorState,
        id: ScheduleId,
        done: Result<Option<(Lsn, Record)>, ScheduleRejection>,
        reply: Reply<ScheduleResult>,
        permit: OwnedSemaphorePermit,
    ) -> Done<()> {
        let shown = state.rules.schedule(id).map(Arc::clone);
        let (event, result) = match done {
            Err(why) => (None, Err(why)),
            Ok(event) => {
                let new = event.is_some();
                (event, shown.map(|shown| (shown, new)).ok_or(ScheduleRejection::Unknown))
            }
        };
        self.journal_driven(state, event.as_slice(), move || {
            drop(reply.send(Ok(result)));
            drop(permit);
        })
    }

    fn saga_done(
        &self,
        state: &mut CoordinatorState,
        id: SagaId,
        done: Result<Option<(Lsn, Record)>, SagaRejection>,
        reply: Reply<SagaResult>,
        permit: OwnedSemaphorePermit,
    ) -> Done<()> {
        let shown = state.rules.saga(id).map(Arc::clone);
        let (event, result) = match done {
            Err(why) => (None, Err(why)),
            Ok(event) => {
                let new = event.is_some();
                (event, shown.map(|shown| (shown, new)).ok_or(SagaRejection::Unknown))
            }
        };
        self.journal_driven(state, event.as_slice(), move || {
            drop(reply.send(Ok(result)));
            drop(permit);
        })
    }

    /// Sends events on, and what an event asks for on its way.
    fn journal_driven(
        &self,
        state: &mut CoordinatorState,
        events: &[(Lsn, Record)],
        tell: impl FnOnce() + Send + 'static,
    ) -> Done<()> {
        state.journal(state.rules.last_time_ns(), events, tell)?;
        self.ask_for(events.iter().filter_map(|(_, event)| state.rules.asked_by(event)).collect());
        Ok(())
    }

    /// Does one read.
    pub(crate) fn read_driven(&self, read: DrivenRead, state: &CoordinatorState) {
        let lsn = Lsn(state.rules.next_lsn().0 - 1);
        match read {
            DrivenRead::Schedule { id, reply } => {
                let what = state.rules.schedule(id).map(Arc::clone);
                self.tell_when_durable(reply, Found { what, lsn });
            }
            DrivenRead::Schedules { after, wanted, limit, reply } => {
                let all = state.rules.schedules(after);
                let what = page(all, |schedule| schedule.definition.id, &wanted, limit);
                self.tell_when_durable(reply, Found { what, lsn });
            }
            DrivenRead::Saga { id, reply } => {
                let what = state.rules.saga(id).map(Arc::clone);
                self.tell_when_durable(reply, Found { what, lsn });
            }
            DrivenRead::Sagas { after, wanted, limit, reply } => {
                let what =
                    page(state.rules.sagas(after), |saga| saga.definition.id, &wanted, limit);
                self.tell_when_durable(reply, Found { what, lsn });
            }
        }
    }
}

/// Has these requests decided, however long it takes. Ends with the engine: what is not decided by
/// then is asked for when it starts again.
async fn ask(shared: Arc<Shared>, requests: Vec<Request>) {
    let count = u32::try_from(requests.len()).expect("no turn asks for so much");
    let handle = Handle::new(Arc::clone(&shared));
    loop {
        let Ok(permit) = Arc::clone(&shared.room).acquire_many_owned(count).await else { return };
        let answers = match handle.enqueue(requests.clone(), permit, None, None) {
            Ok(pending) => pending.answers().await,
            Err(error) => Err(error),
        };
        match answers {
            Err(RequestError::Stopped(_)) => return,
            Err(error) => {
                tracing::warn!(%error, "what schedules and sagas ask for must wait");
                tokio::time::sleep(AGAIN).await;
            }
            Ok(answers) => {
                // Known already: decided when it was asked for before, or somebody else's.
                let known = requests.into_iter().zip(&answers.outcomes);
                for (request, _) in known.filter(|(_, outcome)| outcome.repeat) {
                    drop(shared.queue(Task::Driven(DrivenTask::GiveUp { request })));
                }
                return;
            }
        }
    }
}
