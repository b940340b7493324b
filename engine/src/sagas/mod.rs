//! Sagas: flows of several steps of which some happen outside of the ledger, each step with what
//! undoes it.
//!
//! A saga is a state machine that its events move ([`Saga::follow`]), live and in replay, and that
//! the events of the requests it asks for move as well ([`crate::driven`]).
//!
//! ```text
//!            Begun ─▶ asked ─ done ─▶ next step … ─▶ completed
//!  ready ─┤             └─ refused ─┐
//!            Waits ─▶ waiting ─ yes ─▶ next step …
//!                        └─ no, time over, aborted ─┤
//!                                                   ▼
//!            steps before, last first:  ready ─▶ asked ─ done ─▶ the one before … ─▶ compensated
//!                                         ▲         └─ refused ─▶ backs off ─┐
//!                                         └──────────────────────────────────┤ too often
//!                                                      resolved by hand ◀── stuck
//! ```
//!
//! A step that fails did nothing itself, so what is undone are the steps before it, in reverse order.
//! Why, and when to use linked groups instead: `docs/adr/0029`.

mod rules;
mod steps;

pub use rules::{SagaCommand, SagaRejection};
pub use steps::{Action, BackOff, STEPS_MAX, Step, Undo};

use crate::driven::{Drives, Fate, derive_id};
use crate::ids::{Lsn, SagaId, TransferId};
use crate::rejection::Rejection;
use crate::request::{Request, expiry_ns};
use serde::{Deserialize, Serialize};

/// No note of an answer or a resolution is longer, in bytes.
pub const NOTE_BYTES_MAX: usize = 128;

/// A saga as it is started. It does not change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SagaDefinition {
    /// Its id.
    pub id: SagaId,
    /// For people; [`crate::schedules::LABEL_BYTES_MAX`] at most.
    pub label: String,
    /// The steps, in order: 1 to [`STEPS_MAX`].
    pub steps: Vec<Step>,
    /// When a compensation that was refused is tried again.
    pub back_off: BackOff,
}

/// Why a step failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Failure {
    /// Its request was refused.
    Refused(Rejection),
    /// Somebody else had used its request's id.
    IdTaken,
    /// The outside said no.
    Answer,
    /// The outside said nothing in time.
    TimedOut,
    /// Somebody gave it up.
    Aborted,
}

/// An answer of the outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Whether the step was done.
    pub done: bool,
    /// What the outside calls it; [`NOTE_BYTES_MAX`] at most.
    pub note: String,
}

/// How one step stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StepState {
    /// Nothing was done of it, or it is under way.
    Open,
    /// It was done.
    Done,
    /// It failed, and did nothing.
    Failed(Failure),
    /// It was done, and undone.
    Undone,
    /// It was done, and there is nothing to undo of it.
    Stays,
    /// It was done, and whoever resolved the saga saw to it.
    ByHand,
}

/// What became of one step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// How it stands.
    pub state: StepState,
    /// The event that did it, or made it fail; [`Lsn::ZERO`] before.
    pub lsn: Lsn,
    /// The event that undid it; [`Lsn::ZERO`] where none did.
    pub undone_lsn: Lsn,
    /// What the outside answered.
    pub answer: Option<Answer>,
}

/// Where a saga stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SagaState {
    /// The step is to be begun, or undone.
    Ready {
        /// Which, from 0.
        step: u8,
        /// It is to be undone.
        undo: bool,
        /// So many attempts were made.
        attempts: u16,
    },
    /// The request of the step, or of its compensation, is asked for.
    Asked {
        /// Which step, from 0.
        step: u8,
        /// It is being undone.
        undo: bool,
        /// The attempt, from 1.
        attempt: u16,
        /// The request's id.
        id: TransferId,
    },
    /// The outside's answer is waited for.
    Waiting {
        /// Which step, from 0.
        step: u8,
        /// Until then: nanoseconds since the Unix epoch.
        until_ns: u64,
    },
    /// A compensation was refused, and is tried again.
    BackingOff {
        /// Of which step, from 0.
        step: u8,
        /// So many attempts were made.
        attempts: u16,
        /// At this moment: nanoseconds since the Unix epoch.
        until_ns: u64,
        /// Why the last one failed.
        failure: Failure,
    },
    /// A compensation was refused as often as it may be: somebody has to look.
    Stuck {
        /// Of which step, from 0.
        step: u8,
        /// So many attempts were made.
        attempts: u16,
        /// Why the last one failed.
        failure: Failure,
    },
    /// Every step was done.
    Completed,
    /// What was done was undone.
    Compensated,
    /// It was stuck, and somebody closed it.
    Resolved,
}

/// What whoever resolves a stuck saga decides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Resolution {
    /// The compensation is tried again.
    Retry,
    /// The step was undone by hand: the saga goes on with the one before.
    Skip,
    /// The saga is closed as it is.
    Close,
}

/// An event of a saga.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SagaEvent {
    /// Which saga's.
    pub id: SagaId,
    /// What happened.
    pub what: SagaChange,
}

/// What happened to a saga.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SagaChange {
    /// It was started.
    Started {
        /// As what.
        definition: Box<SagaDefinition>,
    },
    /// The request of a step, or of its compensation, is asked for.
    Begun {
        /// Which step, from 0.
        step: u8,
        /// It is being undone.
        undo: bool,
        /// The attempt, from 1.
        attempt: u16,
        /// The request's id.
        request: TransferId,
    },
    /// The outside's answer is waited for.
    Waits {
        /// Which step, from 0.
        step: u8,
        /// Until then: nanoseconds since the Unix epoch.
        until_ns: u64,
    },
    /// The outside answered.
    Answered {
        /// Which step, from 0.
        step: u8,
        /// What.
        answer: Answer,
    },
    /// The outside's time is over.
    TimedOut {
        /// Which step, from 0.
        step: u8,
    },
    /// Somebody gave it up: what was done is undone.
    Aborted {
        /// Why; [`NOTE_BYTES_MAX`] at most.
        note: String,
    },
    /// The id of its request had been used before.
    IdTaken,
    /// It was stuck, and somebody decided.
    Resolved {
        /// What.
        how: Resolution,
        /// Why; [`NOTE_BYTES_MAX`] at most.
        note: String,
    },
}

/// A saga.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Saga {
    /// How it was started.
    pub definition: SagaDefinition,
    /// The event that started it.
    pub started_lsn: Lsn,
    /// When: nanoseconds since the Unix epoch.
    pub started_ns: u64,
    /// Where it stands.
    pub state: SagaState,
    /// What became of each step.
    pub steps: Vec<StepRecord>,
    /// Why it was given up, or how it was resolved last.
    pub note: String,
    /// Its last event, or that of a request it asked for.
    pub changed_lsn: Lsn,
    /// When: nanoseconds since the Unix epoch.
    pub changed_ns: u64,
}

impl Saga {
    /// A saga that the event at `lsn`, decided at `time_ns`, starts.
    #[must_use]
    pub fn started(lsn: Lsn, time_ns: u64, definition: SagaDefinition) -> Self {
        let open = StepRecord {
            state: StepState::Open,
            lsn: Lsn::ZERO,
            undone_lsn: Lsn::ZERO,
            answer: None,
        };
        Self {
            steps: vec![open; definition.steps.len()],
            definition,
            started_lsn: lsn,
            started_ns: time_ns,
            state: SagaState::Ready { step: 0, undo: false, attempts: 0 },
            note: String::new(),
            changed_lsn: lsn,
            changed_ns: time_ns,
        }
    }

    /// The id of a step's request, or of that of its compensation.
    #[must_use]
    pub fn request_id(&self, step: u8, undo: bool, attempt: u16) -> TransferId {
        let place = [u64::from(step) << 1 | u64::from(undo), u64::from(attempt)];
        derive_id(b"ducat saga", self.definition.id.get(), self.started_lsn, place)
    }

    /// What is asked for now.
    #[must_use]
    pub fn asked(&self) -> Option<Request> {
        let SagaState::Asked { step, undo, id, .. } = self.state else { return None };
        if undo { self.undo_request(step, id) } else { self.request(step, id) }
    }

    /// Moves it by one of its events, any but its start.
    ///
    /// # Errors
    /// What contradicts how it stands; it must not be used then.
    pub fn follow(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        change: &SagaChange,
    ) -> Result<(), &'static str> {
        (self.changed_lsn, self.changed_ns) = (lsn, time_ns);
        match (change, self.state) {
            (SagaChange::Started { .. }, _) => return Err("the saga was started before"),
            (SagaChange::Begun { step, undo, attempt, request }, state) => {
                let due = match state {
                    SagaState::Ready { step, undo, attempts } => Some((step, undo, attempts)),
                    SagaState::BackingOff { step, attempts, until_ns, .. }
                        if until_ns <= time_ns =>
                    {
                        Some((step, true, attempts))
                    }
                    _ => None,
                };
                let right = due.is_some_and(|(s, u, attempts)| {
                    (*step, *undo, *attempt) == (s, u, attempts.saturating_add(1))
                });
                if !right || *request != self.request_id(*step, *undo, *attempt) {
                    return Err("the saga's step was not due");
                }
                let (step, undo, attempt, id) = (*step, *undo, *attempt, *request);
                self.state = SagaState::Asked { step, undo, attempt, id };
                if self.asked().is_none() {
                    return Err("the saga's step asks for nothing");
                }
            }
            (
                SagaChange::Waits { step, until_ns },
                SagaState::Ready { step: ready, undo: false, .. },
            ) if *step == ready => {
                let Some(timeout_ns) = self.timeout_ns(*step) else {
                    return Err("the saga's step does not wait");
                };
                if *until_ns != expiry_ns(time_ns, timeout_ns) {
                    return Err("the saga's step waits for another time");
                }
                self.state = SagaState::Waiting { step: *step, until_ns: *until_ns };
            }
            (SagaChange::Answered { step, answer }, SagaState::Waiting { step: now, until_ns })
                if *step == now && time_ns < until_ns =>
            {
                self.steps[usize::from(now)].answer = Some(answer.clone());
                match answer.done {
                    true => self.step_done(now, lsn),
                    false => self.step_failed(now, lsn, Failure::Answer),
                }
            }
            (SagaChange::TimedOut { step }, SagaState::Waiting { step: now, until_ns })
                if *step == now && until_ns <= time_ns =>
            {
                self.step_failed(now, lsn, Failure::TimedOut);
            }
            (
                SagaChange::Aborted { note },
                SagaState::Waiting { step, .. } | SagaState::Ready { step, undo: false, .. },
            ) => {
                self.note.clone_from(note);
                self.step_failed(step, lsn, Failure::Aborted);
            }
            (SagaChange::IdTaken, SagaState::Asked { step, undo, attempt, .. }) => {
                self.request_failed(lsn, time_ns, (step, undo, attempt), Failure::IdTaken);
            }
            (SagaChange::Resolved { how, note }, SagaState::Stuck { step, attempts, .. }) => {
                self.note.clone_from(note);
                match how {
                    Resolution::Retry => {
                        self.state = SagaState::Ready { step, undo: true, attempts };
                    }
                    Resolution::Skip => {
                        self.step_undone(step, lsn, StepState::ByHand);
                    }
                    Resolution::Close => self.state = SagaState::Resolved,
                }
            }
            _ => return Err("the saga is not in a state for it"),
        }
        Ok(())
    }

    fn step_done(&mut self, step: u8, lsn: Lsn) {
        let record = &mut self.steps[usize::from(step)];
        (record.state, record.lsn) = (StepState::Done, lsn);
        let next = step + 1;
        self.state = if usize::from(next) == self.steps.len() {
            SagaState::Completed
        } else {
            SagaState::Ready { step: next, undo: false, attempts: 0 }
        };
    }

    fn step_failed(&mut self, step: u8, lsn: Lsn, failure: Failure) {
        let record = &mut self.steps[usize::from(step)];
        (record.state, record.lsn) = (StepState::Failed(failure), lsn);
        self.undo_before(step);
    }

    fn step_undone(&mut self, step: u8, lsn: Lsn, state: StepState) {
        let record = &mut self.steps[usize::from(step)];
        (record.state, record.undone_lsn) = (state, lsn);
        self.undo_before(step);
    }

    /// Goes on to undo what was done before this step, the last first.
    fn undo_before(&mut self, step: u8) {
        for before in (0..step).rev() {
            if self.has_to_be_undone(before) {
                self.state = SagaState::Ready { step: before, undo: true, attempts: 0 };
                return;
            }
            self.steps[usize::from(before)].state = StepState::Stays;
        }
        self.state = SagaState::Compensated;
    }

    /// A request of this place (step, whether it undoes it, attempt) failed.
    fn request_failed(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        (step, undo, attempt): (u8, bool, u16),
        failure: Failure,
    ) {
        if !undo {
            return self.step_failed(step, lsn, failure);
        }
        let back_off = self.definition.back_off;
        let attempts = attempt;
        // Somebody who had it tried again looks at each attempt from there on.
        self.state = if attempts >= back_off.attempts_max {
            SagaState::Stuck { step, attempts, failure }
        } else {
            let until_ns = time_ns.saturating_add(back_off.wait_ns(attempts));
            SagaState::BackingOff { step, attempts, until_ns, failure }
        };
    }

    /// Whether a snapshot may hold it.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        self.definition.check().map_err(|_| "a saga has an impossible definition")?;
        if self.steps.len() != self.definition.steps.len() {
            return Err("a saga has other steps than it was started with");
        }
        let step = match self.state {
            SagaState::Ready { step, .. }
            | SagaState::Asked { step, .. }
            | SagaState::Waiting { step, .. }
            | SagaState::BackingOff { step, .. }
            | SagaState::Stuck { step, .. } => usize::from(step),
            SagaState::Completed | SagaState::Compensated | SagaState::Resolved => 0,
        };
        if step >= self.steps.len() {
            return Err("a saga stands at a step it does not have");
        }
        if let SagaState::Asked { step, undo, attempt, id } = self.state
            && (id != self.request_id(step, undo, attempt) || self.asked().is_none())
        {
            return Err("a saga awaits a foreign request");
        }
        Ok(())
    }
}

impl Drives for Saga {
    type Id = SagaId;

    fn id(&self) -> SagaId {
        self.definition.id
    }

    fn due_ns(&self) -> Option<u64> {
        match self.state {
            SagaState::Ready { .. } => Some(0),
            SagaState::Waiting { until_ns, .. } | SagaState::BackingOff { until_ns, .. } => {
                Some(until_ns)
            }
            SagaState::Asked { .. }
            | SagaState::Stuck { .. }
            | SagaState::Completed
            | SagaState::Compensated
            | SagaState::Resolved => None,
        }
    }

    fn awaits(&self) -> Option<TransferId> {
        match self.state {
            SagaState::Asked { id, .. } => Some(id),
            _ => None,
        }
    }

    fn is_finished(&self) -> bool {
        matches!(self.state, SagaState::Completed | SagaState::Compensated | SagaState::Resolved)
    }

    fn changed_lsn(&self) -> Lsn {
        self.changed_lsn
    }

    fn decided(&mut self, lsn: Lsn, time_ns: u64, _: TransferId, fate: Fate) {
        let SagaState::Asked { step, undo, attempt, .. } = self.state else { return };
        (self.changed_lsn, self.changed_ns) = (lsn, time_ns);
        let done = match fate {
            Fate::Done => None,
            Fate::Refused(rejection) if undo && self.is_undone_by(step, rejection) => None,
            Fate::Refused(rejection) => Some(Failure::Refused(rejection)),
            Fate::Other => Some(Failure::IdTaken),
        };
        match done {
            Some(failure) => self.request_failed(lsn, time_ns, (step, undo, attempt), failure),
            None if undo => self.step_undone(step, lsn, StepState::Undone),
            None => self.step_done(step, lsn),
        }
    }
}
