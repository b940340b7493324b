//! Sagas between the wire and the engine. Shapes are checked here; what a saga can be, the engine
//! says.

use super::{MILLISECOND_NS, Reader, amount_to_proto, dry_outcome, nanos, payment_to_proto};
use crate::convert::zero_id;
use crate::proto::{
    self, SagaFailure, SagaResolution, SagaStepState, SagaUndo, saga_step::Action as ActionProto,
};
use crate::violation::{Place, Violations};
use ducat_actors::handle::Answers;
use ducat_engine::driven::DrySaga;
use ducat_engine::ids::{Lsn, SagaId};
use ducat_engine::money::Currencies;
use ducat_engine::sagas::{
    Action, Answer, BackOff, Failure, Resolution, Saga, SagaCommand, SagaDefinition, SagaState,
    Step, StepRecord, StepState, Undo,
};

/// A definition in the engine's terms.
///
/// # Errors
/// Everything that is wrong with it.
pub fn start(
    asked: Option<proto::SagaDefinition>,
    currencies: &Currencies,
) -> Result<SagaDefinition, Violations> {
    let asked = asked.unwrap_or_default();
    let mut reader = Reader::new(currencies);
    let id = SagaId::from_halves(asked.id_high, asked.id).ok();
    if id.is_none() {
        reader.wrong("definition.id", "SAGA_ID_ZERO", zero_id);
    }
    super::super::check_count("definition.steps", asked.steps.len(), 1_000)?;
    let mut steps = Vec::with_capacity(asked.steps.len());
    for (index, step) in asked.steps.iter().enumerate() {
        reader.place = Place::Item { list: "definition.steps", index };
        steps.extend(reader.step(step));
    }
    reader.place = Place::Request;
    let attempts_max = u16::try_from(asked.attempts_max).unwrap_or(u16::MAX);
    let given = (asked.back_off_ms, asked.back_off_max_ms, attempts_max);
    let back_off = match given {
        (0, 0, 0) => BackOff::default(),
        (first, longest, attempts_max) => BackOff {
            first_ns: nanos(first, MILLISECOND_NS),
            longest_ns: nanos(longest, MILLISECOND_NS),
            attempts_max,
        },
    };
    match id {
        Some(id) => reader.violations.into_result(SagaDefinition {
            id,
            label: asked.label,
            steps,
            back_off,
        }),
        None => Err(reader.violations),
    }
}

impl Reader<'_> {
    fn step(&mut self, asked: &proto::SagaStep) -> Option<Step> {
        let action = match &asked.action {
            None => {
                self.wrong("action", "SAGA_STEP", || "say what the step does".to_owned());
                None
            }
            Some(ActionProto::Transfer(planned)) => {
                self.payment(Some(planned), "transfer.").map(Action::Transfer)
            }
            Some(ActionProto::Hold(hold)) => {
                let payment = self.payment(hold.transfer.as_ref(), "hold.transfer.");
                let timeout_ns = nanos(hold.timeout_ms, MILLISECOND_NS);
                payment.map(|payment| Action::Hold { payment, timeout_ns })
            }
            Some(ActionProto::Capture(capture)) => self.capture(capture),
            Some(ActionProto::Void(void)) => {
                self.hold_step(void.hold_step, "void.").map(|hold| Action::Void { hold })
            }
            Some(ActionProto::Wait(wait)) => {
                Some(Action::Wait { timeout_ns: nanos(wait.timeout_ms, MILLISECOND_NS) })
            }
        };
        let undo = match SagaUndo::try_from(asked.undo) {
            Ok(SagaUndo::Reverse) => Some(Undo::Reverse),
            Ok(SagaUndo::Nothing) => Some(Undo::Nothing),
            Ok(SagaUndo::Transfer) => {
                self.payment(asked.undo_transfer.as_ref(), "undo_transfer.").map(Undo::Transfer)
            }
            Err(_) => {
                self.wrong("undo", "SAGA_STEP", || "nothing undoes a step so".to_owned());
                None
            }
        };
        Some(Step { name: asked.name.clone(), action: action?, undo: undo? })
    }

    fn capture(&mut self, asked: &proto::SagaCapture) -> Option<Action> {
        let hold = self.hold_step(asked.hold_step, "capture.");
        let amount = match asked.amount.is_empty() {
            true => None,
            false => Some(self.amount(&asked.amount, &asked.currency, "capture.")?.0),
        };
        Some(Action::Capture { hold: hold?, amount, last: asked.last })
    }

    fn hold_step(&mut self, step: u32, field: &str) -> Option<u8> {
        let number = u8::try_from(step).ok();
        if number.is_none() {
            let what = || format!("{step} is no step of this saga");
            self.wrong(&format!("{field}hold_step"), "SAGA_STEP", what);
        }
        number
    }
}

/// An answer in the engine's terms.
///
/// # Errors
/// One violation, reason `SAGA_STEP`.
pub fn answer(asked: &proto::AnswerSagaRequest) -> Result<SagaCommand, Violations> {
    let Ok(step) = u8::try_from(asked.step) else {
        let what = format!("{} is no step of a saga", asked.step);
        return Err(Violations::one("step", "SAGA_STEP", what));
    };
    let answer = Answer { done: asked.done, note: asked.note.clone() };
    Ok(SagaCommand::Answer { step, answer })
}

/// A resolution in the engine's terms.
///
/// # Errors
/// One violation, reason `SAGA_RESOLUTION_UNKNOWN`.
pub fn resolution(asked: &proto::ResolveSagaRequest) -> Result<SagaCommand, Violations> {
    let how = match SagaResolution::try_from(asked.resolution) {
        Ok(SagaResolution::Retry) => Resolution::Retry,
        Ok(SagaResolution::Skip) => Resolution::Skip,
        Ok(SagaResolution::Close) => Resolution::Close,
        Ok(SagaResolution::Unspecified) | Err(_) => {
            let what = format!("{} is no resolution; known are 1 to 3", asked.resolution);
            return Err(Violations::one("resolution", "SAGA_RESOLUTION_UNKNOWN", what));
        }
    };
    Ok(SagaCommand::Resolve { how, note: asked.note.clone() })
}

/// The name of the state that a list asks for; `None` for any.
///
/// # Errors
/// One violation, reason `SAGA_STATE_UNKNOWN`.
pub fn saga_state(asked: i32) -> Result<Option<&'static str>, Violations> {
    Ok(Some(match proto::SagaState::try_from(asked) {
        Ok(proto::SagaState::Unspecified) => return Ok(None),
        Ok(proto::SagaState::Running) => "running",
        Ok(proto::SagaState::Waiting) => "waiting",
        Ok(proto::SagaState::Compensating) => "compensating",
        Ok(proto::SagaState::BackingOff) => "backing-off",
        Ok(proto::SagaState::Stuck) => "stuck",
        Ok(proto::SagaState::Completed) => "completed",
        Ok(proto::SagaState::Compensated) => "compensated",
        Ok(proto::SagaState::Resolved) => "resolved",
        Err(_) => {
            let what = format!("{asked} is no state; known are 0 to 8");
            return Err(Violations::one("state", "SAGA_STATE_UNKNOWN", what));
        }
    }))
}

fn failure_to_proto(failure: Failure) -> (SagaFailure, i32) {
    match failure {
        Failure::Refused(rejection) => (SagaFailure::Refused, i32::from(rejection.number())),
        Failure::IdTaken => (SagaFailure::IdTaken, 0),
        Failure::Answer => (SagaFailure::Answer, 0),
        Failure::TimedOut => (SagaFailure::TimedOut, 0),
        Failure::Aborted => (SagaFailure::Aborted, 0),
    }
}

fn step_to_proto(record: &StepRecord) -> proto::SagaStepRecord {
    let (state, failure) = match record.state {
        StepState::Open => (SagaStepState::Open, None),
        StepState::Done => (SagaStepState::Done, None),
        StepState::Failed(failure) => (SagaStepState::Failed, Some(failure)),
        StepState::Undone => (SagaStepState::Undone, None),
        StepState::Stays => (SagaStepState::Stays, None),
        StepState::ByHand => (SagaStepState::ByHand, None),
    };
    let (failure, code) = failure.map_or((SagaFailure::None, 0), failure_to_proto);
    proto::SagaStepRecord {
        state: state.into(),
        failure: failure.into(),
        code,
        lsn: record.lsn.0,
        undone_lsn: record.undone_lsn.0,
        answered: record.answer.is_some(),
        note: record.answer.as_ref().map(|answer| answer.note.clone()).unwrap_or_default(),
    }
}

/// A saga as a message.
#[must_use]
pub fn saga_to_proto(saga: &Saga, currencies: &Currencies) -> proto::Saga {
    let mut message = proto::Saga {
        definition: Some(definition_to_proto(&saga.definition, currencies)),
        steps: saga.steps.iter().map(step_to_proto).collect(),
        note: saga.note.clone(),
        started_lsn: saga.started_lsn.0,
        started_ns: saga.started_ns,
        changed_lsn: saga.changed_lsn.0,
        changed_ns: saga.changed_ns,
        ..proto::Saga::default()
    };
    let compensating = |undo| match undo {
        true => proto::SagaState::Compensating,
        false => proto::SagaState::Running,
    };
    let (state, step, attempt, until_ns, failure) = match saga.state {
        SagaState::Ready { step, undo, attempts } => (compensating(undo), step, attempts, 0, None),
        SagaState::Asked { step, undo, attempt, .. } => {
            (compensating(undo), step, attempt, 0, None)
        }
        SagaState::Waiting { step, until_ns } => {
            (proto::SagaState::Waiting, step, 0, until_ns, None)
        }
        SagaState::BackingOff { step, attempts, until_ns, failure } => {
            (proto::SagaState::BackingOff, step, attempts, until_ns, Some(failure))
        }
        SagaState::Stuck { step, attempts, failure } => {
            (proto::SagaState::Stuck, step, attempts, 0, Some(failure))
        }
        SagaState::Completed => (proto::SagaState::Completed, 0, 0, 0, None),
        SagaState::Compensated => (proto::SagaState::Compensated, 0, 0, 0, None),
        SagaState::Resolved => (proto::SagaState::Resolved, 0, 0, 0, None),
    };
    let (failure, code) = failure.map_or((SagaFailure::None, 0), failure_to_proto);
    (message.state, message.failure, message.code) = (state.into(), failure.into(), code);
    (message.step, message.attempt) = (u32::from(step), u32::from(attempt));
    message.until_ns = until_ns;
    message
}

/// What would become of something asked of sagas, judged as of this event.
#[must_use]
pub fn dry_saga(
    dry: &DrySaga,
    answers: Option<&Answers>,
    as_of: Lsn,
    currencies: &Currencies,
) -> proto::SagaResponse {
    let mut saga = saga_to_proto(&dry.saga, currencies);
    let there = |lsn: u64| if lsn > as_of.0 { 0 } else { lsn };
    (saga.started_lsn, saga.changed_lsn) = (there(saga.started_lsn), there(saga.changed_lsn));
    for step in &mut saga.steps {
        (step.lsn, step.undone_lsn) = (there(step.lsn), there(step.undone_lsn));
    }
    let is_there = dry.saga.started_lsn <= as_of;
    proto::SagaResponse {
        saga: Some(saga),
        changed: dry.changed,
        dry_run: true,
        dry_run_lsn: as_of.0,
        request: dry_outcome(dry.request.as_ref(), answers, is_there, currencies),
    }
}

fn definition_to_proto(
    definition: &SagaDefinition,
    currencies: &Currencies,
) -> proto::SagaDefinition {
    let BackOff { first_ns, longest_ns, attempts_max } = definition.back_off;
    let step = |step: &Step| {
        let (undo, undo_transfer) = match &step.undo {
            Undo::Reverse => (SagaUndo::Reverse, None),
            Undo::Nothing => (SagaUndo::Nothing, None),
            Undo::Transfer(payment) => (SagaUndo::Transfer, Some(payment)),
        };
        proto::SagaStep {
            name: step.name.clone(),
            action: Some(action_to_proto(definition, &step.action, currencies)),
            undo: undo.into(),
            undo_transfer: undo_transfer.map(|payment| payment_to_proto(payment, currencies)),
        }
    };
    proto::SagaDefinition {
        id: definition.id.low(),
        id_high: definition.id.high(),
        label: definition.label.clone(),
        steps: definition.steps.iter().map(step).collect(),
        back_off_ms: first_ns / MILLISECOND_NS,
        back_off_max_ms: longest_ns / MILLISECOND_NS,
        attempts_max: u32::from(attempts_max),
    }
}

fn action_to_proto(
    definition: &SagaDefinition,
    action: &Action,
    currencies: &Currencies,
) -> ActionProto {
    match action {
        Action::Transfer(payment) => ActionProto::Transfer(payment_to_proto(payment, currencies)),
        Action::Hold { payment, timeout_ns } => ActionProto::Hold(proto::SagaHold {
            transfer: Some(payment_to_proto(payment, currencies)),
            timeout_ms: timeout_ns / MILLISECOND_NS,
        }),
        Action::Capture { hold, amount, last } => {
            // Of the hold it captures.
            let currency = definition.steps.get(usize::from(*hold)).and_then(|step| {
                let Action::Hold { payment, .. } = &step.action else { return None };
                currencies.by_id(payment.currency?)
            });
            let digits = currency.as_ref().map_or(0, |currency| currency.digits);
            let currency = currency.filter(|_| amount.is_some());
            ActionProto::Capture(proto::SagaCapture {
                hold_step: u32::from(*hold),
                amount: amount.map(|minor| amount_to_proto(minor, digits)).unwrap_or_default(),
                currency: currency.map(|currency| currency.code).unwrap_or_default(),
                last: *last,
            })
        }
        Action::Void { hold } => ActionProto::Void(proto::SagaVoid { hold_step: u32::from(*hold) }),
        Action::Wait { timeout_ns } => {
            ActionProto::Wait(proto::SagaWait { timeout_ms: timeout_ns / MILLISECOND_NS })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(debit: u64, credit: u64) -> proto::PlannedTransfer {
        proto::PlannedTransfer {
            debit_account: debit,
            credit_account: credit,
            amount: "12.30".to_owned(),
            currency: "GBP".to_owned(),
            ..Default::default()
        }
    }

    fn asked() -> proto::SagaDefinition {
        let step = |name: &str, action| proto::SagaStep {
            name: name.to_owned(),
            action: Some(action),
            ..Default::default()
        };
        let hold = proto::SagaHold { transfer: Some(planned(2, 3)), timeout_ms: 60_000 };
        let capture = proto::SagaCapture {
            hold_step: 0,
            amount: "10.00".to_owned(),
            currency: "GBP".to_owned(),
            last: true,
        };
        let mut fee = step("fee", ActionProto::Transfer(planned(2, 4)));
        fee.undo = SagaUndo::Transfer.into();
        fee.undo_transfer = Some(planned(4, 2));
        proto::SagaDefinition {
            id: 7,
            label: "a night".to_owned(),
            steps: vec![
                step("hold", ActionProto::Hold(hold)),
                fee,
                step("wait", ActionProto::Wait(proto::SagaWait { timeout_ms: 5_000 })),
                step("capture", ActionProto::Capture(capture)),
                step("void", ActionProto::Void(proto::SagaVoid { hold_step: 0 })),
            ],
            back_off_ms: 500,
            back_off_max_ms: 60_000,
            attempts_max: 8,
            ..Default::default()
        }
    }

    #[test]
    fn a_definition_comes_back_as_it_was_sent() {
        let currencies = Currencies::new();
        let read = start(Some(asked()), &currencies).expect("well-formed");
        assert_eq!(definition_to_proto(&read, &currencies), asked());
        let plain = proto::SagaDefinition {
            back_off_ms: 0,
            back_off_max_ms: 0,
            attempts_max: 0,
            ..asked()
        };
        let read = start(Some(plain), &currencies).expect("well-formed");
        assert_eq!(read.back_off, BackOff::default());
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut wrong = asked();
        wrong.steps[1].undo_transfer = None;
        wrong.steps[2].action = None;
        if let Some(ActionProto::Capture(capture)) = &mut wrong.steps[3].action {
            capture.amount = "ten".to_owned();
        }
        wrong.steps[4].undo = 9;
        let violations = start(Some(wrong), &Currencies::new()).expect_err("malformed");
        let fields: Vec<_> = violations.listed().iter().map(|v| v.field.as_str()).collect();
        let expected = [
            "definition.steps[1].undo_transfer",
            "definition.steps[2].action",
            "definition.steps[3].capture.amount",
            "definition.steps[4].undo",
        ];
        assert_eq!(fields, expected);
        assert!(start(None, &Currencies::new()).is_err());
    }
}
