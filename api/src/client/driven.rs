//! Schedules and sagas.

use super::{Client, ClientError};
use crate::proto;
use ducat_engine::ids::{SagaId, ScheduleId};

const NO_SCHEDULE: ClientError = ClientError::Protocol("an answer came without its schedule");
const NO_SAGA: ClientError = ClientError::Protocol("an answer came without its saga");

fn schedule(answer: proto::ScheduleResponse) -> Result<proto::Schedule, ClientError> {
    answer.schedule.ok_or(NO_SCHEDULE)
}

fn saga(answer: proto::SagaResponse) -> Result<proto::Saga, ClientError> {
    answer.saga.ok_or(NO_SAGA)
}

fn change(id: ScheduleId) -> proto::ChangeScheduleRequest {
    proto::ChangeScheduleRequest { id: id.low(), id_high: id.high(), dry_run: false }
}

impl Client {
    /// Defines a schedule, and returns it. Defining the same one again changes nothing.
    ///
    /// # Errors
    /// [`ClientError`]: `AlreadyExists` for one with other content, `InvalidArgument` for one that
    /// cannot be.
    pub async fn create_schedule(
        &self,
        definition: proto::ScheduleDefinition,
    ) -> Result<proto::Schedule, ClientError> {
        let request = proto::CreateScheduleRequest { definition: Some(definition), dry_run: false };
        schedule(self.schedules.clone().create_schedule(request).await?.into_inner())
    }

    /// One schedule with its last runs.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an unknown one.
    pub async fn get_schedule(&self, id: ScheduleId) -> Result<proto::Schedule, ClientError> {
        let request = proto::GetScheduleRequest { id: id.low(), id_high: id.high() };
        schedule(self.schedules.clone().get_schedule(request).await?.into_inner())
    }

    /// A page of schedules behind `after`, in this status or in any.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_schedules(
        &self,
        status: proto::ScheduleStatus,
        page_size: u32,
        after: Option<proto::Id>,
    ) -> Result<proto::ListSchedulesResponse, ClientError> {
        let request = proto::ListSchedulesRequest { status: status.into(), page_size, after };
        Ok(self.schedules.clone().list_schedules(request).await?.into_inner())
    }

    /// Runs a schedule by hand only, until it is resumed.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` and `FailedPrecondition` as the interface says.
    pub async fn pause_schedule(&self, id: ScheduleId) -> Result<proto::Schedule, ClientError> {
        schedule(self.schedules.clone().pause_schedule(change(id)).await?.into_inner())
    }

    /// Runs a paused schedule by its calendar again, from now on.
    ///
    /// # Errors
    /// As [`Self::pause_schedule`].
    pub async fn resume_schedule(&self, id: ScheduleId) -> Result<proto::Schedule, ClientError> {
        schedule(self.schedules.clone().resume_schedule(change(id)).await?.into_inner())
    }

    /// Ends a schedule for good.
    ///
    /// # Errors
    /// As [`Self::pause_schedule`].
    pub async fn cancel_schedule(&self, id: ScheduleId) -> Result<proto::Schedule, ClientError> {
        schedule(self.schedules.clone().cancel_schedule(change(id)).await?.into_inner())
    }

    /// Runs a schedule once now. `run` is the number that the run must have, so that asking again
    /// runs it once; 0 for whichever comes next.
    ///
    /// # Errors
    /// As [`Self::pause_schedule`].
    pub async fn run_schedule(
        &self,
        id: ScheduleId,
        run: u64,
    ) -> Result<proto::Schedule, ClientError> {
        let (id, id_high) = (id.low(), id.high());
        let request = proto::RunScheduleRequest { id, id_high, run, dry_run: false };
        schedule(self.schedules.clone().run_schedule(request).await?.into_inner())
    }

    /// Starts a saga, and returns it. Starting the same one again changes nothing.
    ///
    /// # Errors
    /// [`ClientError`]: `AlreadyExists` for one with other content, `InvalidArgument` for one that
    /// cannot be.
    pub async fn start_saga(
        &self,
        definition: proto::SagaDefinition,
    ) -> Result<proto::Saga, ClientError> {
        let request = proto::StartSagaRequest { definition: Some(definition), dry_run: false };
        saga(self.sagas.clone().start_saga(request).await?.into_inner())
    }

    /// Gives the outside's answer to a step that waits. The same answer again changes nothing.
    ///
    /// # Errors
    /// [`ClientError`]: `FailedPrecondition` where nobody waits for it, for another answer than
    /// before and for one that comes too late.
    pub async fn answer_saga(
        &self,
        id: SagaId,
        step: u32,
        done: bool,
        note: &str,
    ) -> Result<proto::Saga, ClientError> {
        let (id, id_high) = (id.low(), id.high());
        let note = note.to_owned();
        let request = proto::AnswerSagaRequest { id, id_high, step, done, note, dry_run: false };
        saga(self.sagas.clone().answer_saga(request).await?.into_inner())
    }

    /// Gives a saga up that waits.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` and `FailedPrecondition` as the interface says.
    pub async fn abort_saga(&self, id: SagaId, note: &str) -> Result<proto::Saga, ClientError> {
        let (id, id_high) = (id.low(), id.high());
        let note = note.to_owned();
        let request = proto::AbortSagaRequest { id, id_high, note, dry_run: false };
        saga(self.sagas.clone().abort_saga(request).await?.into_inner())
    }

    /// Decides about a saga that is stuck.
    ///
    /// # Errors
    /// As [`Self::abort_saga`].
    pub async fn resolve_saga(
        &self,
        id: SagaId,
        resolution: proto::SagaResolution,
        note: &str,
    ) -> Result<proto::Saga, ClientError> {
        let request = proto::ResolveSagaRequest {
            id: id.low(),
            id_high: id.high(),
            resolution: resolution.into(),
            note: note.to_owned(),
            dry_run: false,
        };
        saga(self.sagas.clone().resolve_saga(request).await?.into_inner())
    }

    /// One saga.
    ///
    /// # Errors
    /// [`ClientError`]: `NotFound` for an unknown one.
    pub async fn get_saga(&self, id: SagaId) -> Result<proto::Saga, ClientError> {
        let request = proto::GetSagaRequest { id: id.low(), id_high: id.high() };
        saga(self.sagas.clone().get_saga(request).await?.into_inner())
    }

    /// A page of sagas behind `after`, in this state or in any.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_sagas(
        &self,
        state: proto::SagaState,
        page_size: u32,
        after: Option<proto::Id>,
    ) -> Result<proto::ListSagasResponse, ClientError> {
        let request = proto::ListSagasRequest { state: state.into(), page_size, after };
        Ok(self.sagas.clone().list_sagas(request).await?.into_inner())
    }
}
