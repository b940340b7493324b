//! Sagas in the simulated world: started, answered and resolved by whoever runs them, driven on by the
//! coordinator, interrupted by crashes. The model knows their requests only, as anybody's; what they
//! must have come to is told by the journal alone.

use super::{Action, Submission, World, note};
use crate::faults::Fault;
use crate::shell::Concluded;
use ducat_engine::ids::{SagaId, TransferId};
use ducat_engine::record::Record;
use ducat_engine::request::Request;
use ducat_engine::sagas::{
    Action as Does, Answer, BackOff, Resolution, Saga, SagaCommand, SagaDefinition, SagaState,
    Step, StepState, Undo,
};
use ducat_engine::schedules::Payment;
use ducat_engine::testing::book::Event;
use ducat_engine::testing::rng::Rng;
use ducat_engine::testing::workload;
use ducat_engine::transfer::TransferKind;
use std::collections::HashMap;

/// No compensation is tried so often.
const ATTEMPTS: u16 = 200;

pub(super) fn payment(rng: &mut Rng) -> Payment {
    let from = rng.below(5) as u8;
    let to = 1 + (usize::from(from) + rng.below(3)) as u8 % 4;
    let kind = if from == 0 { TransferKind::Deposit } else { TransferKind::Transfer };
    Payment {
        debit: workload::account(from),
        credit: workload::account(to),
        amount: 1 + rng.below(8) as u128,
        currency: None,
        kind,
    }
}

fn step(rng: &mut Rng, at: usize, holds: &mut Vec<u8>) -> Step {
    let action = match rng.below(8) {
        0..3 => Does::Transfer(payment(rng)),
        3 => {
            holds.push(u8::try_from(at).expect("few steps"));
            Does::Hold { payment: payment(rng), timeout_ns: [0, 0, 2_000_000][rng.below(3)] }
        }
        4 | 5 if !holds.is_empty() => {
            let hold = holds.swap_remove(rng.below(holds.len()));
            let amount = (!rng.once_in(3)).then(|| 1 + rng.below(4) as u128);
            Does::Capture { hold, amount, last: true }
        }
        6 if !holds.is_empty() => Does::Void { hold: holds.swap_remove(rng.below(holds.len())) },
        _ => Does::Wait { timeout_ns: [40, 3_000_000][rng.below(2)] },
    };
    let undo = match rng.below(6) {
        0 => Undo::Nothing,
        1 if matches!(action, Does::Transfer(_)) => Undo::Transfer(payment(rng)),
        _ => Undo::Reverse,
    };
    Step { name: String::new(), action, undo }
}

/// Some saga; most fail at some step.
fn definition(rng: &mut Rng, number: u128) -> SagaDefinition {
    let mut holds = Vec::new();
    let steps = 1 + rng.below(5);
    SagaDefinition {
        id: SagaId::new(number).expect("not zero"),
        label: String::new(),
        steps: (0..steps).map(|at| step(rng, at, &mut holds)).collect(),
        back_off: BackOff {
            first_ns: 1_000_000,
            longest_ns: 4_000_000,
            attempts_max: 1 + rng.below(3) as u16,
        },
    }
}

const fn is_over(state: SagaState) -> bool {
    matches!(state, SagaState::Completed | SagaState::Compensated | SagaState::Resolved)
}

impl World<'_> {
    /// What can be done with sagas, nothing being on its way; `actions` is all else that can be.
    pub(super) fn possible_saga_steps(&self, actions: &mut Vec<Action>) {
        if self.plan.sagas + self.plan.schedules == 0 || !self.shell.is_quiet() {
            return;
        }
        self.possible_schedule_steps(actions);
        let coordinator = &self.shell.book.ledger.coordinator;
        if self.sagas_started < self.plan.sagas {
            actions.push(Action::StartSaga);
        }
        let asks =
            |saga: &Saga| matches!(saga.state, SagaState::Waiting { .. } | SagaState::Stuck { .. });
        if coordinator.sagas(None).any(|saga| asks(saga)) {
            actions.push(Action::TellSaga);
        }
        // What falls due later does so once there is nothing else to do.
        if coordinator.driven_due_ns().is_some_and(|due| due <= self.now_ns || actions.is_empty()) {
            actions.push(Action::Drive);
        }
    }

    pub(super) fn saga_step(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::StartSaga => self.start_saga(),
            Action::TellSaga => self.tell_saga(),
            _ => self.drive(),
        }
    }

    fn start_saga(&mut self) -> Result<(), String> {
        let now_ns = self.tick();
        self.sagas_started += 1;
        let definition = definition(&mut self.rng, self.sagas_started as u128);
        let decided = self.shell.book.ledger.coordinator.start_saga(definition, now_ns);
        let decided = decided.map_err(|why| format!("a saga: {why}"))?;
        self.report.count("sagas started");
        self.driven(now_ns, decided.into_iter().collect(), Vec::new())
    }

    /// One that waits is answered or given up; one that is stuck is resolved.
    fn tell_saga(&mut self) -> Result<(), String> {
        let coordinator = &self.shell.book.ledger.coordinator;
        let note = String::new();
        let told = coordinator.sagas(None).find_map(|saga| {
            let id = saga.definition.id;
            match saga.state {
                SagaState::Waiting { step, .. } => Some((id, Some(step))),
                SagaState::Stuck { .. } => Some((id, None)),
                _ => None,
            }
        });
        let (id, step) = told.expect("there is one");
        let command = match (step, self.rng.below(6)) {
            (Some(_), 0) => SagaCommand::Abort { note },
            (Some(step), n) => SagaCommand::Answer { step, answer: Answer { done: n > 2, note } },
            (None, 0..2) => SagaCommand::Resolve { how: Resolution::Retry, note },
            (None, 2..4) => SagaCommand::Resolve { how: Resolution::Skip, note },
            (None, _) => SagaCommand::Resolve { how: Resolution::Close, note },
        };
        self.report.count(if step.is_some() { "sagas answered" } else { "sagas resolved" });
        let now_ns = self.tick();
        let decided = self.shell.book.ledger.coordinator.command_saga(id, command, now_ns);
        // Refused when it comes too late; the saga's own rules are tested by name.
        self.model.time(now_ns);
        let events = decided.ok().flatten().into_iter().collect();
        self.driven(now_ns, events, Vec::new())
    }

    fn drive(&mut self) -> Result<(), String> {
        let due_ns = self.shell.book.ledger.coordinator.driven_due_ns().expect("something is due");
        self.now_ns = self.now_ns.max(due_ns);
        let now_ns = self.tick().max(due_ns);
        let most = 1 + self.rng.below(3);
        let begun = self.shell.book.ledger.coordinator.drive(now_ns, most);
        self.driven(now_ns, begun.events, begun.requests)
    }

    /// These events of schedules or sagas were decided, and ask for these requests.
    pub(super) fn driven(
        &mut self,
        now_ns: u64,
        events: Vec<(ducat_engine::ids::Lsn, Record)>,
        requests: Vec<Request>,
    ) -> Result<(), String> {
        if events.is_empty() {
            return Ok(());
        }
        let mut journalled = Vec::new();
        for (lsn, record) in events {
            if self.model.driven(now_ns) != lsn {
                return Err(format!("the saga's event {lsn} is another of the model"));
            }
            note(|| format!("      {record:?}"));
            self.shell.book.note(now_ns, lsn, record);
            journalled.push(self.shell.book.events.last().expect("just noted").clone());
        }
        self.keep_model();
        let lsn = journalled.last().expect("there are some").lsn;
        self.conclude(Concluded { answers: Vec::new(), events: journalled, lsn })?;
        self.ask_for(requests);
        self.check_state()
    }

    fn ask_for(&mut self, requests: Vec<Request>) {
        for mut request in requests {
            let other = match self.plan.fault {
                Fault::SagaUnderOtherId => true,
                Fault::ScheduleUnderOtherId => self.is_of_schedule(request.id()),
                _ => false,
            };
            if other {
                let other = request.id().get() ^ 1;
                request.set_id(TransferId::new(other.max(1)).expect("not zero"));
            }
            self.arrived.push_back(self.submissions.len());
            self.submissions.push(Submission {
                requests: vec![request],
                told: false,
                abandoned: false,
                driven: true,
            });
        }
    }

    /// After a start: what sagas had asked for and is not decided is asked for again.
    pub(super) fn ask_for_sagas_again(&mut self) {
        for submission in self.submissions.iter_mut().filter(|submission| submission.driven) {
            submission.abandoned |= !submission.told;
        }
        if self.plan.fault != Fault::AwaitedForgotten {
            let mut awaited = self.shell.book.ledger.coordinator.awaited_requests();
            let all = awaited.len();
            awaited.retain(|request| !self.is_of_schedule(request.id()));
            let of_sagas = awaited.len();
            if self.plan.fault != Fault::RunForgotten {
                awaited = self.shell.book.ledger.coordinator.awaited_requests();
            }
            self.report.count_many("sagas interrupted by a crash", of_sagas as u64);
            self.report.count_many("runs interrupted by a crash", (all - of_sagas) as u64);
            self.ask_for(awaited);
        }
    }

    /// Every saga came to an end, each of its steps was done once or not at all, and what was done
    /// of one that failed was undone once.
    pub(super) fn check_sagas(&mut self) -> Result<(), String> {
        let mut decided: HashMap<TransferId, Vec<&Event>> = HashMap::new();
        for event in &self.shell.book.events {
            if let Some(id) = event.record.transfer_id() {
                decided.entry(id).or_default().push(event);
            }
        }
        let posted = |id: TransferId| match decided.get(&id).map_or(&[][..], |events| &events[..]) {
            [] => Ok(false),
            [event] => Ok(event.record.rejection().is_none()),
            more => Err(format!("request {id} of a saga was decided {} times", more.len())),
        };
        let sagas: Vec<_> = self.shell.book.ledger.coordinator.sagas(None).cloned().collect();
        for saga in sagas {
            let state = saga.state;
            if !is_over(state) {
                return Err(format!("faults have stopped, and a saga stands: {saga:?}"));
            }
            for (at, step) in (0u8..).zip(&saga.definition.steps) {
                let done = posted(saga.request_id(at, false, 1))?;
                let mut undone = 0;
                for attempt in 1..=ATTEMPTS {
                    undone += usize::from(posted(saga.request_id(at, true, attempt))?);
                }
                let waits = matches!(step.action, Does::Wait { .. });
                let moves = matches!(step.action, Does::Transfer(_) | Does::Capture { .. });
                let by_hand = matches!(saga.steps[usize::from(at)].state, StepState::ByHand);
                let reversed = matches!(step.undo, Undo::Reverse) && moves && !by_hand;
                let right = match state {
                    SagaState::Completed => (done || waits) && undone == 0,
                    // What moved money and is to be reversed was so, if nobody saw to it by hand.
                    SagaState::Compensated if reversed => undone == usize::from(done),
                    _ => undone <= usize::from(done),
                };
                if !right {
                    return Err(format!("step {at}: done {done}, undone {undone} times: {saga:?}"));
                }
            }
            self.report.count(match state {
                SagaState::Completed => "sagas completed",
                SagaState::Compensated => "sagas compensated",
                _ => "sagas closed by hand",
            });
        }
        Ok(())
    }
}
