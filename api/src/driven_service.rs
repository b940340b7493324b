//! The services `Schedules` and `Sagas`: every call is convert ▸ ask the [`Handle`] ▸ convert back.

use crate::budget::{Budget, Room};
use crate::convert::{self, driven};
use crate::identity::danger;
use crate::identity::factor::Standing;
use crate::ledger_service::answered;
use crate::proto;
use crate::servers::sagas_server::Sagas;
use crate::servers::schedules_server::Schedules;
use crate::status::{self, Refusal};
use ducat_actors::handle::{DRIVEN_PAGE_MAX, Handle};
use ducat_engine::driven::{SagaAsk, ScheduleAsk};
use ducat_engine::ids::{SagaId, ScheduleId};
use ducat_engine::sagas::{Saga, SagaCommand, SagaRejection};
use ducat_engine::schedules::{Schedule, ScheduleCommand, ScheduleRejection};
use prost::Message as _;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Request, Response, Status};

/// Memory of one schedule or saga of an answer while it is made, roughly, at the most.
const ITEM: usize = 24 * 1024;

/// The services over one engine.
#[derive(Clone)]
pub struct DrivenService {
    handle: Handle,
    answers: Budget,
    room_timeout: Duration,
}

type Answer<T> = Result<Response<T>, Status>;

impl DrivenService {
    /// The services over this engine. The memory of answers is taken from `answers`, and waited for
    /// as long as `room_timeout`.
    #[must_use]
    pub const fn new(handle: Handle, answers: Budget, room_timeout: Duration) -> Self {
        Self { handle, answers, room_timeout }
    }

    async fn room(&self, items: usize) -> Result<Room, Status> {
        let room = self.answers.read_room(items * ITEM, self.room_timeout).await;
        room.ok_or_else(|| Refusal::no_answer_room(self.room_timeout).into())
    }

    fn schedule_response(
        &self,
        schedule: &Schedule,
        changed: bool,
        room: Room,
    ) -> Response<proto::ScheduleResponse> {
        let schedule = driven::schedule_to_proto(schedule, &self.handle.currencies());
        let schedule = Some(schedule);
        answered(proto::ScheduleResponse { schedule, changed, ..Default::default() }, room)
    }

    fn saga_response(
        &self,
        saga: &Saga,
        changed: bool,
        room: Room,
    ) -> Response<proto::SagaResponse> {
        let saga = driven::saga_to_proto(saga, &self.handle.currencies());
        let saga = Some(saga);
        answered(proto::SagaResponse { saga, changed, ..Default::default() }, room)
    }

    async fn command_schedule(
        &self,
        (high, low): (u64, u64),
        command: ScheduleCommand,
        dry_run: bool,
    ) -> Answer<proto::ScheduleResponse> {
        let id = driven::schedule_id(high, low).map_err(Status::from)?;
        if dry_run {
            return self.dry_schedule(id, ScheduleAsk::Command(id, command)).await;
        }
        let room = self.room(1).await?;
        let done = self.handle.command_schedule(id, command).await.map_err(status::request)?;
        let (schedule, changed) = done.map_err(|why| schedule_refused(id, &why))?;
        Ok(self.schedule_response(&schedule, changed, room))
    }

    /// A command that moves money, or will: dangerous where the schedule's payments are.
    async fn move_schedule(
        &self,
        id: (u64, u64),
        command: ScheduleCommand,
        dry_run: bool,
        (standing, request): (Option<Standing>, Vec<u8>),
    ) -> Answer<proto::ScheduleResponse> {
        if let Some(standing) = standing.filter(|_| !dry_run) {
            let id = driven::schedule_id(id.0, id.1).map_err(Status::from)?;
            let found = self.handle.schedule(id).await.map_err(status::request)?;
            // One that is being defined at this moment is not known either: nobody has judged what it pays.
            let schedule =
                found.ok_or_else(|| schedule_refused(id, &ScheduleRejection::Unknown))?;
            let definition = &schedule.definition;
            danger::schedule(&self.handle, Some(&standing), definition, || request)?;
        }
        self.command_schedule(id, command, dry_run).await
    }

    async fn command_saga(
        &self,
        (high, low): (u64, u64),
        command: SagaCommand,
        dry_run: bool,
    ) -> Answer<proto::SagaResponse> {
        let id = driven::saga_id(high, low).map_err(Status::from)?;
        if dry_run {
            return self.dry_saga(id, SagaAsk::Command(id, command)).await;
        }
        let room = self.room(1).await?;
        let done = self.handle.command_saga(id, command).await.map_err(status::request)?;
        let (saga, changed) = done.map_err(|why| saga_refused(id, &why))?;
        Ok(self.saga_response(&saga, changed, room))
    }

    /// What would become of something asked of the schedule with this id.
    async fn dry_schedule(
        &self,
        id: ScheduleId,
        ask: ScheduleAsk,
    ) -> Answer<proto::ScheduleResponse> {
        let room = self.room(1).await?;
        let judged = self.handle.dry_run_schedule(ask).await.map_err(status::request)?;
        let (dry, answers) = judged.what.map_err(|why| schedule_refused(id, &why))?;
        let currencies = self.handle.currencies();
        let answer = driven::dry_schedule(&dry, answers.as_ref(), judged.as_of, &currencies);
        Ok(answered(answer, room))
    }

    /// What would become of something asked of the saga with this id.
    async fn dry_saga(&self, id: SagaId, ask: SagaAsk) -> Answer<proto::SagaResponse> {
        let room = self.room(1).await?;
        let judged = self.handle.dry_run_saga(ask).await.map_err(status::request)?;
        let (dry, answers) = judged.what.map_err(|why| saga_refused(id, &why))?;
        let currencies = self.handle.currencies();
        let answer = driven::dry_saga(&dry, answers.as_ref(), judged.as_of, &currencies);
        Ok(answered(answer, room))
    }
}

fn schedule_refused(id: ScheduleId, why: &ScheduleRejection) -> Status {
    let code = match why {
        ScheduleRejection::Unknown => Code::NotFound,
        ScheduleRejection::ExistsDifferent => Code::AlreadyExists,
        ScheduleRejection::Status(_)
        | ScheduleRejection::Busy(_)
        | ScheduleRejection::Run { .. } => Code::FailedPrecondition,
        ScheduleRejection::Calendar(_)
        | ScheduleRejection::NeverDue
        | ScheduleRejection::Range(_) => Code::InvalidArgument,
        ScheduleRejection::Full(_) => Code::ResourceExhausted,
    };
    Refusal::new(code, why.code(), format!("schedule {id}: {why}")).into()
}

fn saga_refused(id: SagaId, why: &SagaRejection) -> Status {
    let code = match why {
        SagaRejection::Unknown => Code::NotFound,
        SagaRejection::ExistsDifferent => Code::AlreadyExists,
        SagaRejection::Step { .. } | SagaRejection::Range(_) => Code::InvalidArgument,
        SagaRejection::NotWaiting { .. }
        | SagaRejection::AnsweredOtherwise(_)
        | SagaRejection::TooLate(_)
        | SagaRejection::State(_) => Code::FailedPrecondition,
        SagaRejection::Full(_) => Code::ResourceExhausted,
    };
    Refusal::new(code, why.code(), format!("saga {id}: {why}")).into()
}

fn page(asked: u32) -> Result<usize, Status> {
    convert::page_size(asked, driven::PAGE_DEFAULT, DRIVEN_PAGE_MAX).map_err(Status::from)
}

#[tonic::async_trait]
impl Schedules for DrivenService {
    async fn create_schedule(
        &self,
        request: Request<proto::CreateScheduleRequest>,
    ) -> Answer<proto::ScheduleResponse> {
        let (standing, request) = (Standing::of(&request), request.into_inner());
        let currencies = self.handle.currencies();
        let definition = driven::schedule(request.definition.clone(), &currencies);
        let definition = definition.map_err(Status::from)?;
        let id = definition.id;
        if request.dry_run {
            return self.dry_schedule(id, ScheduleAsk::Define(Box::new(definition))).await;
        }
        let bytes = || request.encode_to_vec();
        danger::schedule(&self.handle, standing.as_ref(), &definition, bytes)?;
        let room = self.room(1).await?;
        let done = self.handle.define_schedule(definition).await.map_err(status::request)?;
        let (schedule, changed) = done.map_err(|why| schedule_refused(id, &why))?;
        Ok(self.schedule_response(&schedule, changed, room))
    }

    async fn get_schedule(
        &self,
        request: Request<proto::GetScheduleRequest>,
    ) -> Answer<proto::ScheduleResponse> {
        let asked = request.into_inner();
        let id = driven::schedule_id(asked.id_high, asked.id).map_err(Status::from)?;
        let room = self.room(1).await?;
        let found = self.handle.schedule(id).await.map_err(status::request)?;
        let unknown = || schedule_refused(id, &ScheduleRejection::Unknown);
        Ok(self.schedule_response(&*found.ok_or_else(unknown)?, false, room))
    }

    async fn list_schedules(
        &self,
        request: Request<proto::ListSchedulesRequest>,
    ) -> Answer<proto::ListSchedulesResponse> {
        let asked = request.into_inner();
        let limit = page(asked.page_size)?;
        let wanted = driven::schedule_status(asked.status).map_err(Status::from)?;
        let after = asked.after.map(|id| driven::schedule_id(id.id_high, id.id)).transpose();
        let after = after.map_err(Status::from)?;
        let room = self.room(limit).await?;
        let found = self.handle.schedules(after, wanted, limit).await.map_err(status::request)?;
        let currencies = self.handle.currencies();
        let message = |schedule: &Arc<Schedule>| driven::schedule_to_proto(schedule, &currencies);
        let next = found.next.map(|id| proto::Id { id: id.low(), id_high: id.high() });
        let schedules = found.schedules.iter().map(message).collect();
        Ok(answered(proto::ListSchedulesResponse { schedules, next }, room))
    }

    async fn pause_schedule(
        &self,
        request: Request<proto::ChangeScheduleRequest>,
    ) -> Answer<proto::ScheduleResponse> {
        let asked = request.into_inner();
        let (id, dry_run) = ((asked.id_high, asked.id), asked.dry_run);
        self.command_schedule(id, ScheduleCommand::Pause, dry_run).await
    }

    async fn resume_schedule(
        &self,
        request: Request<proto::ChangeScheduleRequest>,
    ) -> Answer<proto::ScheduleResponse> {
        let (standing, asked) = (Standing::of(&request), request.into_inner());
        let (id, dry_run) = ((asked.id_high, asked.id), asked.dry_run);
        let judged = (standing, asked.encode_to_vec());
        self.move_schedule(id, ScheduleCommand::Resume, dry_run, judged).await
    }

    async fn cancel_schedule(
        &self,
        request: Request<proto::ChangeScheduleRequest>,
    ) -> Answer<proto::ScheduleResponse> {
        let asked = request.into_inner();
        let (id, dry_run) = ((asked.id_high, asked.id), asked.dry_run);
        self.command_schedule(id, ScheduleCommand::Cancel, dry_run).await
    }

    async fn run_schedule(
        &self,
        request: Request<proto::RunScheduleRequest>,
    ) -> Answer<proto::ScheduleResponse> {
        let (standing, asked) = (Standing::of(&request), request.into_inner());
        let number = (asked.run > 0).then_some(asked.run);
        let (id, dry_run) = ((asked.id_high, asked.id), asked.dry_run);
        let judged = (standing, asked.encode_to_vec());
        self.move_schedule(id, ScheduleCommand::Run { number }, dry_run, judged).await
    }
}

#[tonic::async_trait]
impl Sagas for DrivenService {
    async fn start_saga(
        &self,
        request: Request<proto::StartSagaRequest>,
    ) -> Answer<proto::SagaResponse> {
        let (standing, request) = (Standing::of(&request), request.into_inner());
        let definition = driven::start(request.definition.clone(), &self.handle.currencies());
        let definition = definition.map_err(Status::from)?;
        let id = definition.id;
        if request.dry_run {
            return self.dry_saga(id, SagaAsk::Start(Box::new(definition))).await;
        }
        let bytes = || request.encode_to_vec();
        danger::saga(&self.handle, standing.as_ref(), &definition, bytes).await?;
        let room = self.room(1).await?;
        let done = self.handle.start_saga(definition).await.map_err(status::request)?;
        let (saga, changed) = done.map_err(|why| saga_refused(id, &why))?;
        Ok(self.saga_response(&saga, changed, room))
    }

    async fn answer_saga(
        &self,
        request: Request<proto::AnswerSagaRequest>,
    ) -> Answer<proto::SagaResponse> {
        let asked = request.into_inner();
        let command = driven::answer(&asked).map_err(Status::from)?;
        self.command_saga((asked.id_high, asked.id), command, asked.dry_run).await
    }

    async fn abort_saga(
        &self,
        request: Request<proto::AbortSagaRequest>,
    ) -> Answer<proto::SagaResponse> {
        let asked = request.into_inner();
        let command = SagaCommand::Abort { note: asked.note };
        self.command_saga((asked.id_high, asked.id), command, asked.dry_run).await
    }

    async fn resolve_saga(
        &self,
        request: Request<proto::ResolveSagaRequest>,
    ) -> Answer<proto::SagaResponse> {
        let asked = request.into_inner();
        let command = driven::resolution(&asked).map_err(Status::from)?;
        self.command_saga((asked.id_high, asked.id), command, asked.dry_run).await
    }

    async fn get_saga(
        &self,
        request: Request<proto::GetSagaRequest>,
    ) -> Answer<proto::SagaResponse> {
        let asked = request.into_inner();
        let id = driven::saga_id(asked.id_high, asked.id).map_err(Status::from)?;
        let room = self.room(1).await?;
        let found = self.handle.saga(id).await.map_err(status::request)?;
        let unknown = || saga_refused(id, &SagaRejection::Unknown);
        Ok(self.saga_response(&*found.ok_or_else(unknown)?, false, room))
    }

    async fn list_sagas(
        &self,
        request: Request<proto::ListSagasRequest>,
    ) -> Answer<proto::ListSagasResponse> {
        let asked = request.into_inner();
        let limit = page(asked.page_size)?;
        let wanted = driven::saga_state(asked.state).map_err(Status::from)?;
        let after = asked.after.map(|id| driven::saga_id(id.id_high, id.id)).transpose();
        let after = after.map_err(Status::from)?;
        let room = self.room(limit).await?;
        let found = self.handle.sagas(after, wanted, limit).await.map_err(status::request)?;
        let currencies = self.handle.currencies();
        let message = |saga: &Arc<Saga>| driven::saga_to_proto(saga, &currencies);
        let next = found.next.map(|id| proto::Id { id: id.low(), id_high: id.high() });
        let sagas = found.sagas.iter().map(message).collect();
        Ok(answered(proto::ListSagasResponse { sagas, next }, room))
    }
}
