//! Sagas as people and scripts read them.

use crate::exit::Failure;
use crate::output;
use crate::transfer::{OutcomeLine, Units, facts_of_next, outcome_line};
use ducat_api::proto::{self, SagaFailure, SagaState, SagaStepState, saga_step::Action};
use serde::Serialize;

/// A saga as scripts read it.
#[derive(Serialize)]
struct SagaLine {
    id: String,
    label: String,
    state: &'static str,
    /// The name of the step at which it stands, where it is not over.
    step: Option<String>,
    until: Option<String>,
    failure: Option<&'static str>,
    attempt: Option<u32>,
    note: Option<String>,
    started: String,
    started_lsn: u64,
    changed: String,
    changed_lsn: u64,
    steps: Vec<StepLine>,
}

/// What would become of a saga, as scripts read it.
#[derive(Serialize)]
struct DryLine<'a> {
    #[serde(flatten)]
    saga: SagaLine,
    dry_run: bool,
    dry_run_lsn: u64,
    changed: bool,
    request: Option<OutcomeLine<'a>>,
}

/// A step as scripts read it.
#[derive(Serialize)]
struct StepLine {
    name: String,
    action: &'static str,
    state: &'static str,
    failure: Option<&'static str>,
    lsn: Option<u64>,
    undone_lsn: Option<u64>,
    note: Option<String>,
}

fn state_name(state: SagaState) -> &'static str {
    match state {
        SagaState::Unspecified => "unknown",
        SagaState::Running => "running",
        SagaState::Waiting => "waiting",
        SagaState::Compensating => "compensating",
        SagaState::BackingOff => "backing-off",
        SagaState::Stuck => "stuck",
        SagaState::Completed => "completed",
        SagaState::Compensated => "compensated",
        SagaState::Resolved => "resolved",
    }
}

fn step_name(state: SagaStepState) -> &'static str {
    match state {
        SagaStepState::Open => "open",
        SagaStepState::Done => "done",
        SagaStepState::Failed => "failed",
        SagaStepState::Undone => "undone",
        SagaStepState::Stays => "stays",
        SagaStepState::ByHand => "by-hand",
    }
}

fn failure_name(failure: SagaFailure, code: i32) -> Option<&'static str> {
    match failure {
        SagaFailure::None => None,
        SagaFailure::Refused => Some(output::code_name(code)),
        SagaFailure::IdTaken => Some("id-taken"),
        SagaFailure::Answer => Some("answer"),
        SagaFailure::TimedOut => Some("timed-out"),
        SagaFailure::Aborted => Some("aborted"),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl StepLine {
    fn new(step: &proto::SagaStep, record: &proto::SagaStepRecord) -> Self {
        let action = match &step.action {
            None => "unknown",
            Some(Action::Transfer(_)) => "transfer",
            Some(Action::Hold(_)) => "hold",
            Some(Action::Capture(_)) => "capture",
            Some(Action::Void(_)) => "void",
            Some(Action::Wait(_)) => "wait",
        };
        Self {
            name: step.name.clone(),
            action,
            state: step_name(record.state()),
            failure: failure_name(record.failure(), record.code),
            lsn: (record.lsn > 0).then_some(record.lsn),
            undone_lsn: (record.undone_lsn > 0).then_some(record.undone_lsn),
            note: some(&record.note),
        }
    }
}

impl SagaLine {
    fn new(saga: &proto::Saga) -> Self {
        let definition = saga.definition.clone().unwrap_or_default();
        let over = matches!(
            saga.state(),
            SagaState::Completed | SagaState::Compensated | SagaState::Resolved
        );
        let at = usize::try_from(saga.step).unwrap_or(usize::MAX);
        let step = definition.steps.get(at).filter(|_| !over).map(|step| step.name.clone());
        let steps = definition.steps.iter().zip(&saga.steps);
        Self {
            id: output::transfer_id(definition.id_high, definition.id),
            state: state_name(saga.state()),
            step,
            until: (saga.until_ns > 0).then(|| output::time(saga.until_ns)),
            failure: failure_name(saga.failure(), saga.code),
            attempt: (saga.attempt > 0).then_some(saga.attempt),
            note: some(&saga.note),
            started: output::time(saga.started_ns),
            started_lsn: saga.started_lsn,
            changed: output::time(saga.changed_ns),
            changed_lsn: saga.changed_lsn,
            steps: steps.map(|(step, record)| StepLine::new(step, record)).collect(),
            label: definition.label,
        }
    }

    /// Where it stands, in a few words.
    fn standing(&self) -> String {
        let mut text = self.state.to_owned();
        if let Some(step) = &self.step {
            text += &format!(" at step {step}");
        }
        if let Some(failure) = self.failure {
            text += &format!(": {failure}");
        }
        if let Some(until) = &self.until {
            text += &format!(" until {until}");
        }
        text
    }
}

/// One saga with its steps; of a dry run, with its answer and what its balances are written in.
pub fn saga_text(
    saga: &proto::Saga,
    dry: Option<(&proto::SagaResponse, &Units)>,
    json: bool,
) -> Result<String, Failure> {
    let line = SagaLine::new(saga);
    if json {
        return match dry {
            None => output::json(&line),
            Some((answer, units)) => output::json(&DryLine {
                saga: line,
                dry_run: true,
                dry_run_lsn: answer.dry_run_lsn,
                changed: answer.changed,
                request: answer.request.as_ref().map(|told| outcome_line(told, units)),
            }),
        };
    }
    let mut facts = vec![("saga", line.id.clone())];
    if !line.label.is_empty() {
        facts.push(("label", line.label.clone()));
    }
    facts.push(("state", line.standing()));
    facts.extend(line.note.clone().map(|note| ("note", note)));
    // Of a dry run, what does not exist yet has no place.
    if line.started_lsn > 0 {
        facts.push(("started", format!("{} at LSN {}", line.started, line.started_lsn)));
    }
    if line.changed_lsn > 0 {
        facts.push(("changed", format!("{} at LSN {}", line.changed, line.changed_lsn)));
    }
    if let Some((answer, units)) = dry {
        if !answer.changed {
            facts.push(("change", "none: it is so already".to_owned()));
        }
        let told = answer.request.as_ref();
        facts.extend(told.map(|told| facts_of_next(told, units, "request")).unwrap_or_default());
    }
    let number = |lsn: Option<u64>| lsn.map(|lsn| lsn.to_string()).unwrap_or_default();
    let rows = line.steps.into_iter().enumerate().map(|(at, step)| {
        let words = step.failure.map(str::to_owned).into_iter().chain(step.note);
        let why = words.collect::<Vec<_>>().join(": ");
        let (action, state) = (step.action.to_owned(), step.state.to_owned());
        let (lsn, undone) = (number(step.lsn), number(step.undone_lsn));
        vec![at.to_string(), step.name, action, state, lsn, undone, why]
    });
    let header = ["step", "name", "action", "state", "LSN", "undone", ""];
    let steps = output::table(&header, &[0, 4, 5], rows.collect());
    Ok(format!("{}\n\n{steps}", output::facts(facts)))
}

/// A list of sagas.
pub fn sagas_text(sagas: &[proto::Saga], json: bool) -> Result<String, Failure> {
    let lines = sagas.iter().map(SagaLine::new);
    if json {
        let lines: Result<Vec<String>, Failure> = lines.map(|line| output::json(&line)).collect();
        return Ok(lines?.join("\n"));
    }
    let rows = lines.map(|line| {
        let standing = line.standing();
        vec![line.id, standing, line.changed, line.label]
    });
    Ok(output::table(&["id", "state", "changed", "label"], &[0], rows.collect()))
}
