//! Schedules and sagas at the door.

use super::{Handle, RequestError};
use crate::driven::{DrivenRead, DrivenTask, Wanted};
use crate::tasks::{Reply, Task};
use ducat_engine::ids::{Lsn, SagaId, ScheduleId};
use ducat_engine::sagas::{Saga, SagaCommand, SagaDefinition, SagaRejection};
use ducat_engine::schedules::{Definition, Schedule, ScheduleCommand, ScheduleRejection, Status};
use std::sync::Arc;

/// Most schedules or sagas on a page.
pub const DRIVEN_PAGE_MAX: usize = 200;

/// A page of schedules, in the order of their ids. One that is not the last may hold fewer than were
/// asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulesPage {
    /// The schedules.
    pub schedules: Vec<Arc<Schedule>>,
    /// The next page comes behind this one; `None` at the end.
    pub next: Option<ScheduleId>,
    /// As of this event.
    pub lsn: Lsn,
}

/// A page of sagas, likewise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagasPage {
    /// The sagas.
    pub sagas: Vec<Arc<Saga>>,
    /// The next page comes behind this one; `None` at the end.
    pub next: Option<SagaId>,
    /// As of this event.
    pub lsn: Lsn,
}

impl Handle {
    async fn ask_driven<T>(
        &self,
        task: impl FnOnce(Reply<T>, tokio::sync::OwnedSemaphorePermit) -> DrivenTask,
    ) -> Result<T, RequestError> {
        self.check_disk()?;
        let permit = self.take_room(1)?;
        self.ask(|reply| Task::Driven(task(reply, permit))).await
    }

    /// Defines a schedule; durable when it returns. `true` when it was not defined before. The inner
    /// error says why not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn define_schedule(
        &self,
        definition: Definition,
    ) -> Result<Result<(Arc<Schedule>, bool), ScheduleRejection>, RequestError> {
        let definition = Box::new(definition);
        let task = |reply, permit| DrivenTask::Define { definition, reply, permit };
        self.ask_driven(task).await
    }

    /// Pauses, resumes, cancels or runs a schedule; durable when it returns. `false` when it was so
    /// before. The inner error says why not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn command_schedule(
        &self,
        id: ScheduleId,
        command: ScheduleCommand,
    ) -> Result<Result<(Arc<Schedule>, bool), ScheduleRejection>, RequestError> {
        self.ask_driven(|reply, permit| DrivenTask::Schedule { id, command, reply, permit }).await
    }

    /// One schedule, as of a durable event.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn schedule(&self, id: ScheduleId) -> Result<Option<Arc<Schedule>>, RequestError> {
        let read = |reply| crate::tasks::Read::Driven(DrivenRead::Schedule { id, reply });
        Ok(self.read(read).await?.what)
    }

    /// At most `limit` schedules (capped at [`DRIVEN_PAGE_MAX`]) behind `after`, in this status or in
    /// any.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn schedules(
        &self,
        after: Option<ScheduleId>,
        status: Option<Status>,
        limit: usize,
    ) -> Result<SchedulesPage, RequestError> {
        let limit = limit.clamp(1, DRIVEN_PAGE_MAX);
        let wanted: Wanted<Schedule> =
            Box::new(move |schedule| status.is_none_or(|status| schedule.status == status));
        let read = |reply| DrivenRead::Schedules { after, wanted, limit, reply };
        let found = self.read(|reply| crate::tasks::Read::Driven(read(reply))).await?;
        let (schedules, next) = found.what;
        Ok(SchedulesPage { schedules, next, lsn: found.lsn })
    }

    /// Starts a saga; durable when it returns. `true` when it was not started before. The inner error
    /// says why not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn start_saga(
        &self,
        definition: SagaDefinition,
    ) -> Result<Result<(Arc<Saga>, bool), SagaRejection>, RequestError> {
        let definition = Box::new(definition);
        let task = |reply, permit| DrivenTask::Start { definition, reply, permit };
        self.ask_driven(task).await
    }

    /// Answers, aborts or resolves a saga; durable when it returns. `false` when it was answered so
    /// before. The inner error says why not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn command_saga(
        &self,
        id: SagaId,
        command: SagaCommand,
    ) -> Result<Result<(Arc<Saga>, bool), SagaRejection>, RequestError> {
        self.ask_driven(|reply, permit| DrivenTask::Saga { id, command, reply, permit }).await
    }

    /// One saga, as of a durable event.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn saga(&self, id: SagaId) -> Result<Option<Arc<Saga>>, RequestError> {
        let read = |reply| crate::tasks::Read::Driven(DrivenRead::Saga { id, reply });
        Ok(self.read(read).await?.what)
    }

    /// At most `limit` sagas (capped at [`DRIVEN_PAGE_MAX`]) behind `after`, whose state has this name
    /// ([`ducat_engine::sagas::SagaState::name`]) or any.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn sagas(
        &self,
        after: Option<SagaId>,
        state: Option<&'static str>,
        limit: usize,
    ) -> Result<SagasPage, RequestError> {
        let limit = limit.clamp(1, DRIVEN_PAGE_MAX);
        let wanted: Wanted<Saga> =
            Box::new(move |saga| state.is_none_or(|state| saga.state.name() == state));
        let read = |reply| DrivenRead::Sagas { after, wanted, limit, reply };
        let found = self.read(|reply| crate::tasks::Read::Driven(read(reply))).await?;
        let (sagas, next) = found.what;
        Ok(SagasPage { sagas, next, lsn: found.lsn })
    }
}
