//! What is asked of sagas and when: the live half. What it decides is an event, which
//! [`super::Saga::follow`] takes in, here as in replay.

use super::steps::{Action, NAME_BYTES_MAX, STEPS_MAX, Undo};
use super::{
    Answer, NOTE_BYTES_MAX, Resolution, Saga, SagaChange, SagaDefinition, SagaState, StepState,
};
use crate::codec::driven;
use crate::money::AMOUNT_MAX;
use crate::request::expiry_ns;
use crate::schedules::{LABEL_BYTES_MAX, Payment};
use thiserror::Error;

/// No saga's definition is longer, in bytes.
const DEFINITION_BYTES_MAX: usize = 6_000;

const _: () = assert!(DEFINITION_BYTES_MAX + 100 <= driven::DRIVEN_EVENT_BYTES_MAX);
const _: () = assert!(
    DEFINITION_BYTES_MAX + (STEPS_MAX + 1) * (NOTE_BYTES_MAX + 64) <= driven::DRIVEN_BYTES_MAX
);

/// Why something asked of a saga was not done. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SagaRejection {
    /// No saga has this id.
    #[error("no saga has this id, or it ended long ago")]
    Unknown,
    /// A saga with this id exists, with other content.
    #[error("a saga with this id exists with other content")]
    ExistsDifferent,
    /// A step cannot be.
    #[error("step {step}: {what}")]
    Step {
        /// Which, from 0.
        step: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A field is out of range.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// It waits for no answer of this step.
    #[error("the saga waits for no answer to step {step} ({state})")]
    NotWaiting {
        /// The step that was answered.
        step: u8,
        /// Where the saga stands.
        state: &'static str,
    },
    /// The step was answered otherwise before.
    #[error("step {0} was answered otherwise before")]
    AnsweredOtherwise(u8),
    /// The answer comes after the step's time.
    #[error("the answer to step {0} comes too late: its time is over")]
    TooLate(u8),
    /// It is not in a state for it.
    #[error("the saga is {0}")]
    State(&'static str),
    /// As many sagas are under way as may.
    #[error("the ledger drives as many sagas as it can ({0})")]
    Full(usize),
}

impl SagaRejection {
    /// The stable code, as clients see it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "SAGA_UNKNOWN",
            Self::ExistsDifferent => "SAGA_EXISTS_DIFFERENT",
            Self::Step { .. } => "SAGA_STEP",
            Self::Range(_) => "SAGA_FIELD",
            Self::NotWaiting { .. } => "SAGA_NOT_WAITING",
            Self::AnsweredOtherwise(_) => "SAGA_ANSWERED_OTHERWISE",
            Self::TooLate(_) => "SAGA_ANSWER_TOO_LATE",
            Self::State(_) => "SAGA_STATE",
            Self::Full(_) => "SAGAS_FULL",
        }
    }
}

/// What is asked of a saga that exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SagaCommand {
    /// The outside's answer.
    Answer {
        /// To which step, from 0.
        step: u8,
        /// What it says.
        answer: Answer,
    },
    /// Give it up: undo what was done.
    Abort {
        /// Why.
        note: String,
    },
    /// Decide about one that is stuck.
    Resolve {
        /// What.
        how: Resolution,
        /// Why.
        note: String,
    },
}

impl SagaDefinition {
    /// Whether there can be such a saga.
    ///
    /// # Errors
    /// [`SagaRejection`].
    pub fn check(&self) -> Result<(), SagaRejection> {
        let checks = [
            (self.label.len() <= LABEL_BYTES_MAX, "the label"),
            ((1..=STEPS_MAX).contains(&self.steps.len()), "the number of steps"),
            ((1..=1_000).contains(&self.back_off.attempts_max), "the number of attempts"),
            (self.back_off.first_ns >= 1_000_000, "the first wait"),
            (self.back_off.longest_ns >= self.back_off.first_ns, "the longest wait"),
        ];
        if let Some((_, what)) = checks.into_iter().find(|(right, _)| !right) {
            return Err(SagaRejection::Range(what));
        }
        (0..self.steps.len()).try_for_each(|step| self.check_step(step))?;
        // An answer and a note of each step still fit behind it.
        match driven::bytes(self) <= DEFINITION_BYTES_MAX {
            true => Ok(()),
            false => Err(SagaRejection::Range("the size of the saga as a whole")),
        }
    }

    fn check_step(&self, at: usize) -> Result<(), SagaRejection> {
        let step = &self.steps[at];
        let wrong = |what| Err(SagaRejection::Step { step: at, what });
        if step.name.len() > NAME_BYTES_MAX {
            return wrong("its name is too long");
        }
        let pays = |payment: &Payment| {
            (1..=AMOUNT_MAX).contains(&payment.amount) && payment.debit != payment.credit
        };
        let is_hold = |hold: u8| {
            let hold = usize::from(hold);
            hold < at && matches!(self.steps[hold].action, Action::Hold { .. })
        };
        match &step.action {
            Action::Transfer(payment) | Action::Hold { payment, .. } if !pays(payment) => {
                return wrong("its amount is out of range, or its accounts are the same");
            }
            Action::Capture { amount: Some(0), .. } => return wrong("its amount is zero"),
            Action::Capture { hold, .. } | Action::Void { hold } if !is_hold(*hold) => {
                return wrong("it names no earlier step that places a hold");
            }
            Action::Wait { timeout_ns: 0 } => return wrong("it waits for ever"),
            _ => {}
        }
        match &step.undo {
            Undo::Transfer(payment) if !pays(payment) => {
                wrong("its compensation's amount is out of range, or the accounts are the same")
            }
            _ => Ok(()),
        }
    }
}

impl Saga {
    /// The event of a command at `now_ns`; `None` where it is so already.
    ///
    /// # Errors
    /// [`SagaRejection`].
    pub(crate) fn command(
        &self,
        command: SagaCommand,
        now_ns: u64,
    ) -> Result<Option<SagaChange>, SagaRejection> {
        let note = match &command {
            SagaCommand::Answer { answer, .. } => &answer.note,
            SagaCommand::Abort { note } | SagaCommand::Resolve { note, .. } => note,
        };
        if note.len() > NOTE_BYTES_MAX {
            return Err(SagaRejection::Range("the note"));
        }
        match (command, self.state) {
            (SagaCommand::Answer { step, answer }, _) => self.answer(step, answer, now_ns),
            (
                SagaCommand::Abort { note },
                SagaState::Waiting { .. } | SagaState::Ready { undo: false, .. },
            ) => Ok(Some(SagaChange::Aborted { note })),
            (SagaCommand::Resolve { how, note }, SagaState::Stuck { .. }) => {
                Ok(Some(SagaChange::Resolved { how, note }))
            }
            (_, state) => Err(SagaRejection::State(state.name())),
        }
    }

    fn answer(
        &self,
        step: u8,
        answer: Answer,
        now_ns: u64,
    ) -> Result<Option<SagaChange>, SagaRejection> {
        let not_waiting = SagaRejection::NotWaiting { step, state: self.state.name() };
        let Some(record) = self.steps.get(usize::from(step)) else { return Err(not_waiting) };
        if let Some(before) = &record.answer {
            return match *before == answer {
                true => Ok(None),
                false => Err(SagaRejection::AnsweredOtherwise(step)),
            };
        }
        match self.state {
            SagaState::Waiting { step: now, until_ns } if now == step => {
                if until_ns <= now_ns {
                    return Err(SagaRejection::TooLate(step));
                }
                Ok(Some(SagaChange::Answered { step, answer }))
            }
            _ if record.state == StepState::Failed(super::Failure::TimedOut) => {
                Err(SagaRejection::TooLate(step))
            }
            _ => Err(not_waiting),
        }
    }

    /// The next event of a saga that is due at `now_ns`.
    pub(crate) fn drive(&self, now_ns: u64) -> Option<SagaChange> {
        let begun = |step, undo, attempts: u16| {
            let attempt = attempts.saturating_add(1);
            let request = self.request_id(step, undo, attempt);
            SagaChange::Begun { step, undo, attempt, request }
        };
        match self.state {
            SagaState::Ready { step, undo, attempts } => Some(match self.timeout_ns(step) {
                Some(timeout_ns) if !undo => {
                    SagaChange::Waits { step, until_ns: expiry_ns(now_ns, timeout_ns) }
                }
                _ => begun(step, undo, attempts),
            }),
            SagaState::Waiting { step, until_ns } if until_ns <= now_ns => {
                Some(SagaChange::TimedOut { step })
            }
            SagaState::BackingOff { step, attempts, until_ns, .. } if until_ns <= now_ns => {
                Some(begun(step, true, attempts))
            }
            _ => None,
        }
    }
}

impl SagaState {
    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready { undo: false, .. } | Self::Asked { undo: false, .. } => "running",
            Self::Waiting { .. } => "waiting",
            Self::Ready { .. } | Self::Asked { .. } => "compensating",
            Self::BackingOff { .. } => "backing-off",
            Self::Stuck { .. } => "stuck",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Resolved => "resolved",
        }
    }
}

impl SagaChange {
    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Begun { .. } => "begun",
            Self::Waits { .. } => "waits",
            Self::Answered { .. } => "answered",
            Self::TimedOut { .. } => "timed-out",
            Self::Aborted { .. } => "aborted",
            Self::IdTaken => "id-taken",
            Self::Resolved { .. } => "resolved",
        }
    }
}
