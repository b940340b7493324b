//! Dry runs: what would become of requests, without any being done.

use super::{Client, ClientError};
use crate::proto::{self, Outcome, TransferRequest};
use ducat_engine::ids::{SagaId, ScheduleId};

/// A server of before there were dry runs does what it is asked.
const DONE: ClientError =
    ClientError::Protocol("the server knows no dry runs: it did what was asked");

impl Client {
    /// What would become of a batch of up to 10,000 requests if it was the next one, linked groups
    /// among them: an outcome for each, in order. Nothing is done, and their ids stay free.
    ///
    /// # Errors
    /// [`ClientError`], as for a batch that is meant.
    pub async fn dry_run(
        &self,
        transfers: Vec<TransferRequest>,
    ) -> Result<Vec<Outcome>, ClientError> {
        let count = transfers.len();
        let request = proto::CreateTransfersRequest { transfers, dry_run: true };
        let outcomes = self.ledger.clone().create_transfers(request).await?.into_inner().outcomes;
        if outcomes.len() != count {
            return Err(ClientError::Protocol("a batch got another number of outcomes"));
        }
        if outcomes.iter().all(|outcome| outcome.dry_run) { Ok(outcomes) } else { Err(DONE) }
    }

    /// What would become of opening up to 10,000 accounts, in order. Changes of one account are tried
    /// by the `dry_run` of their requests.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn dry_run_accounts(
        &self,
        accounts: Vec<proto::NewAccount>,
    ) -> Result<Vec<proto::AccountResult>, ClientError> {
        let request = proto::CreateAccountsRequest { accounts, dry_run: true };
        let answer = self.ledger.clone().create_accounts(request).await?.into_inner();
        if answer.dry_run_lsn > 0 { Ok(answer.results) } else { Err(DONE) }
    }

    /// What would become of defining a schedule: how it would stand, when it would run, and what its
    /// first transfer would come to.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_schedule(
        &self,
        definition: proto::ScheduleDefinition,
    ) -> Result<proto::ScheduleResponse, ClientError> {
        let request = proto::CreateScheduleRequest { definition: Some(definition), dry_run: true };
        schedule(self.schedules.clone().create_schedule(request).await?.into_inner())
    }

    /// What would become of pausing a schedule.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_pause(
        &self,
        id: ScheduleId,
    ) -> Result<proto::ScheduleResponse, ClientError> {
        schedule(self.schedules.clone().pause_schedule(change(id)).await?.into_inner())
    }

    /// What would become of resuming a schedule, and of its next transfer.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_resume(
        &self,
        id: ScheduleId,
    ) -> Result<proto::ScheduleResponse, ClientError> {
        schedule(self.schedules.clone().resume_schedule(change(id)).await?.into_inner())
    }

    /// What would become of cancelling a schedule.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_cancel(
        &self,
        id: ScheduleId,
    ) -> Result<proto::ScheduleResponse, ClientError> {
        schedule(self.schedules.clone().cancel_schedule(change(id)).await?.into_inner())
    }

    /// What would become of running a schedule once now, and of that run's transfer.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_run(
        &self,
        id: ScheduleId,
        run: u64,
    ) -> Result<proto::ScheduleResponse, ClientError> {
        let (id, id_high) = (id.low(), id.high());
        let request = proto::RunScheduleRequest { id, id_high, run, dry_run: true };
        schedule(self.schedules.clone().run_schedule(request).await?.into_inner())
    }

    /// What would become of starting a saga, and of its first step.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_saga(
        &self,
        definition: proto::SagaDefinition,
    ) -> Result<proto::SagaResponse, ClientError> {
        let request = proto::StartSagaRequest { definition: Some(definition), dry_run: true };
        saga(self.sagas.clone().start_saga(request).await?.into_inner())
    }

    /// What would become of an answer to a step, and of what would follow at once; `dry_run` of the
    /// request is set here.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_answer(
        &self,
        request: proto::AnswerSagaRequest,
    ) -> Result<proto::SagaResponse, ClientError> {
        let request = proto::AnswerSagaRequest { dry_run: true, ..request };
        saga(self.sagas.clone().answer_saga(request).await?.into_inner())
    }

    /// What would become of giving a saga up, and of the first compensation.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_abort(&self, id: SagaId) -> Result<proto::SagaResponse, ClientError> {
        let (id, id_high, note) = (id.low(), id.high(), String::new());
        let request = proto::AbortSagaRequest { id, id_high, note, dry_run: true };
        saga(self.sagas.clone().abort_saga(request).await?.into_inner())
    }

    /// What would become of a decision about a saga that is stuck, and of the compensation that would
    /// be tried next.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_resolve(
        &self,
        id: SagaId,
        resolution: proto::SagaResolution,
    ) -> Result<proto::SagaResponse, ClientError> {
        let request = proto::ResolveSagaRequest {
            id: id.low(),
            id_high: id.high(),
            resolution: resolution.into(),
            note: String::new(),
            dry_run: true,
        };
        saga(self.sagas.clone().resolve_saga(request).await?.into_inner())
    }

    /// What would become of defining a schedule of fees, what it would replace, and what would be due
    /// for an amount, if one is given.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_fee(
        &self,
        schedule: proto::FeeSchedule,
        example_amount: &str,
    ) -> Result<proto::DefineFeeResponse, ClientError> {
        let example_amount = example_amount.to_owned();
        let request =
            proto::DefineFeeRequest { schedule: Some(schedule), dry_run: true, example_amount };
        let answer = self.operator.clone().define_fee(request).await?.into_inner();
        if answer.dry_run { Ok(answer) } else { Err(DONE) }
    }

    /// What would become of attaching a schedule of fees, or of detaching when `name` is empty.
    ///
    /// # Errors
    /// [`ClientError`], as when it is meant.
    pub async fn dry_run_attach_fee(
        &self,
        target: proto::FeeTarget,
        name: &str,
    ) -> Result<proto::AttachFeeResponse, ClientError> {
        let (target, name) = (Some(target), name.to_owned());
        let request = proto::AttachFeeRequest { target, name, dry_run: true };
        let answer = self.operator.clone().attach_fee(request).await?.into_inner();
        if answer.dry_run { Ok(answer) } else { Err(DONE) }
    }
}

fn change(id: ScheduleId) -> proto::ChangeScheduleRequest {
    proto::ChangeScheduleRequest { id: id.low(), id_high: id.high(), dry_run: true }
}

fn schedule(answer: proto::ScheduleResponse) -> Result<proto::ScheduleResponse, ClientError> {
    if answer.dry_run { Ok(answer) } else { Err(DONE) }
}

fn saga(answer: proto::SagaResponse) -> Result<proto::SagaResponse, ClientError> {
    if answer.dry_run { Ok(answer) } else { Err(DONE) }
}
