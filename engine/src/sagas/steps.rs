//! The steps of a saga: what each asks for, and what undoes it.

use super::{Saga, SagaDefinition, StepState};
use crate::ids::TransferId;
use crate::rejection::Rejection;
use crate::request::{CaptureRequest, HoldRequest, RefundRequest, Request, VoidRequest};
use crate::schedules::Payment;
use serde::{Deserialize, Serialize};

/// Most steps of a saga.
pub const STEPS_MAX: usize = 32;

/// No name of a step is longer, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// What a step does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// Moves money.
    Transfer(Payment),
    /// Sets money aside.
    Hold {
        /// What for.
        payment: Payment,
        /// The hold expires so many nanoseconds after it was placed; 0 for never.
        timeout_ns: u64,
    },
    /// Captures the hold of an earlier step.
    Capture {
        /// That step, from 0.
        hold: u8,
        /// Minor units; `None` for all that remains.
        amount: Option<u128>,
        /// What remains behind it is given back.
        last: bool,
    },
    /// Voids the hold of an earlier step.
    Void {
        /// That step, from 0.
        hold: u8,
    },
    /// Waits for an answer of the outside.
    Wait {
        /// So many nanoseconds, 1 at least; then the step has failed.
        timeout_ns: u64,
    },
}

/// What undoes a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Undo {
    /// Its reversal: what a transfer or a capture moved is given back, a hold is voided. Nothing for
    /// a wait and for a void.
    #[default]
    Reverse,
    /// Nothing.
    Nothing,
    /// This transfer.
    Transfer(Payment),
}

/// A step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// What people call it; [`NAME_BYTES_MAX`] at most.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// What undoes it.
    pub undo: Undo,
}

/// When a compensation that was refused is tried again: after `first_ns`, then after twice as long
/// each time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackOff {
    /// The first wait, nanoseconds.
    pub first_ns: u64,
    /// The longest wait, nanoseconds.
    pub longest_ns: u64,
    /// So many attempts are made, 1 to 1,000; then the saga is stuck.
    pub attempts_max: u16,
}

impl Default for BackOff {
    /// From a second to an hour, twenty times: half a day in all.
    fn default() -> Self {
        Self { first_ns: 1_000_000_000, longest_ns: 3_600_000_000_000, attempts_max: 20 }
    }
}

impl BackOff {
    /// The wait behind so many attempts, nanoseconds.
    #[must_use]
    pub fn wait_ns(&self, attempts: u16) -> u64 {
        let doubled = u32::from(attempts.saturating_sub(1)).min(63);
        let wait = u128::from(self.first_ns) << doubled;
        u64::try_from(wait).unwrap_or(u64::MAX).min(self.longest_ns)
    }
}

impl SagaDefinition {
    fn action(&self, step: u8) -> Option<&Action> {
        self.steps.get(usize::from(step)).map(|step| &step.action)
    }
}

impl Saga {
    /// How long the step waits for an answer, if it does.
    pub(super) fn timeout_ns(&self, step: u8) -> Option<u64> {
        match self.definition.action(step)? {
            Action::Wait { timeout_ns } => Some(*timeout_ns),
            _ => None,
        }
    }

    /// The request of a step; `None` for one that waits.
    pub(super) fn request(&self, step: u8, id: TransferId) -> Option<Request> {
        let hold = |step: u8| self.request_id(step, false, 1);
        Some(match self.definition.action(step)? {
            Action::Transfer(payment) => payment.transfer(id).into(),
            Action::Hold { payment, timeout_ns } => {
                let Payment { debit, credit, amount, currency, kind } = *payment;
                let timeout_ns = *timeout_ns;
                let over_capture_max = 0;
                let linked = false;
                HoldRequest {
                    id,
                    debit,
                    credit,
                    amount,
                    currency,
                    kind,
                    timeout_ns,
                    over_capture_max,
                    linked,
                }
                .into()
            }
            Action::Capture { hold: of, amount, last } => {
                let (hold, amount, last) = (hold(*of), *amount, *last);
                CaptureRequest { id, hold, amount, currency: None, last, linked: false }.into()
            }
            Action::Void { hold: of } => VoidRequest { id, hold: hold(*of), linked: false }.into(),
            Action::Wait { .. } => return None,
        })
    }

    /// The request that undoes a step.
    pub(super) fn undo_request(&self, step: u8, id: TransferId) -> Option<Request> {
        let at = usize::from(step);
        match (self.definition.steps.get(at)?.undo, self.definition.action(step)?) {
            (Undo::Nothing, _) => None,
            (Undo::Transfer(payment), _) => Some(payment.transfer(id).into()),
            (Undo::Reverse, Action::Transfer(_) | Action::Capture { .. }) => {
                let refund = RefundRequest {
                    id,
                    of: self.request_id(step, false, 1),
                    // Its id may be forgotten by now.
                    of_lsn: Some(self.steps.get(at)?.lsn),
                    amount: None,
                    currency: None,
                    allow_overdraft: false,
                    linked: false,
                    original: None,
                };
                Some(refund.into())
            }
            (Undo::Reverse, Action::Hold { .. }) => {
                let hold = self.request_id(step, false, 1);
                Some(VoidRequest { id, hold, linked: false }.into())
            }
            (Undo::Reverse, Action::Void { .. } | Action::Wait { .. }) => None,
        }
    }

    /// Whether there is something to undo of a step that was done.
    pub(super) fn has_to_be_undone(&self, step: u8) -> bool {
        let Some(Step { action, undo, .. }) = self.definition.steps.get(usize::from(step)) else {
            return false;
        };
        match (undo, action) {
            (Undo::Nothing, _) | (Undo::Reverse, Action::Void { .. } | Action::Wait { .. }) => {
                false
            }
            (Undo::Reverse, Action::Hold { .. }) => !self.has_closed(step),
            (Undo::Transfer(_), _)
            | (Undo::Reverse, Action::Transfer(_) | Action::Capture { .. }) => true,
        }
    }

    /// Whether a later step closed the hold of this one.
    fn has_closed(&self, step: u8) -> bool {
        let closes = |action: &Action| match *action {
            Action::Void { hold } => hold == step,
            Action::Capture { hold, amount, last } => hold == step && (last || amount.is_none()),
            Action::Transfer(_) | Action::Hold { .. } | Action::Wait { .. } => false,
        };
        let was_done = |state: StepState| !matches!(state, StepState::Open | StepState::Failed(_));
        let steps = self.definition.steps.iter().zip(&self.steps);
        steps.into_iter().any(|(step, record)| closes(&step.action) && was_done(record.state))
    }

    /// Whether this refusal of what undoes a step says that there is nothing to undo any more.
    pub(super) fn is_undone_by(&self, step: u8, rejection: Rejection) -> bool {
        match self.definition.steps.get(usize::from(step)) {
            Some(Step { undo: Undo::Reverse, action: Action::Hold { .. }, .. }) => {
                // Of a hold that somebody else captured, money was moved.
                matches!(rejection, Rejection::HoldVoided | Rejection::HoldExpired)
            }
            Some(Step { undo: Undo::Reverse, .. }) => {
                matches!(rejection, Rejection::OriginalReversed | Rejection::OriginalRefunded)
            }
            _ => false,
        }
    }
}
