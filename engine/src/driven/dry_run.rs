//! Dry runs of what is asked of schedules and sagas: judged by the rules that decide it, the event it
//! would come to followed by a copy, and the request it would ask for next told, to be judged in turn
//! on an excerpt of the same moment ([`crate::dry_run`]). Nothing of the state is changed.

use super::Drives;
use crate::coordinator::Coordinator;
use crate::ids::{SagaId, ScheduleId};
use crate::request::Request;
use crate::sagas::{Saga, SagaCommand, SagaDefinition, SagaEvent, SagaRejection};
use crate::schedules::{
    Definition, Schedule, ScheduleChange, ScheduleCommand, ScheduleEvent, ScheduleRejection, Status,
};
use std::sync::Arc;

/// Most occurrences that are told of a schedule.
pub const UPCOMING_MAX: usize = 5;

/// Something asked of schedules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScheduleAsk {
    /// Define one.
    Define(Box<Definition>),
    /// Change or run one.
    Command(ScheduleId, ScheduleCommand),
}

/// Something asked of sagas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SagaAsk {
    /// Start one.
    Start(Box<SagaDefinition>),
    /// Answer, abort or resolve one.
    Command(SagaId, SagaCommand),
}

/// What would become of a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrySchedule {
    /// How it would stand, right after its event. LSNs behind the last one there is are nobody's.
    pub schedule: Arc<Schedule>,
    /// Whether anything would change.
    pub changed: bool,
    /// When its next runs would be due, nanoseconds since the Unix epoch, if it was driven from now on
    /// without being changed: at most [`UPCOMING_MAX`], none of one that is not active. What was missed
    /// by now is run, or left out, as the schedule says.
    pub upcoming: Vec<u64>,
    /// The transfer of the run that would begin, or else of the next one; `None` where nothing would
    /// change, or none would follow.
    pub request: Option<Request>,
}

/// What would become of a saga.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrySaga {
    /// How it would stand, right after its event, and before its next step begins.
    pub saga: Arc<Saga>,
    /// Whether anything would change.
    pub changed: bool,
    /// The request of the step, or of the compensation, that would begin at once; `None` where nothing
    /// would change, or none would begin.
    pub request: Option<Request>,
}

impl Coordinator {
    /// What would become of something asked of schedules at `now_ns`.
    ///
    /// # Errors
    /// [`ScheduleRejection`], as when it is meant.
    ///
    /// # Panics
    /// When an event contradicts the schedule that it was decided for.
    pub fn dry_run_schedule(
        &self,
        ask: &ScheduleAsk,
        now_ns: u64,
    ) -> Result<DrySchedule, ScheduleRejection> {
        let time_ns = now_ns.max(self.last_time_ns);
        let (id, what) = match ask {
            ScheduleAsk::Define(definition) => {
                let what = self.driven.definition(Definition::clone(definition), time_ns)?;
                (definition.id, what)
            }
            ScheduleAsk::Command(id, command) => {
                (*id, self.driven.schedule_command(*id, *command, time_ns)?)
            }
        };
        let Some(what) = what else {
            let schedule = self.driven.schedules.get(id).ok_or(ScheduleRejection::Unknown)?;
            let upcoming = schedule.upcoming(time_ns, UPCOMING_MAX);
            let schedule = Arc::clone(schedule);
            return Ok(DrySchedule { schedule, changed: false, upcoming, request: None });
        };
        let event = ScheduleEvent { id, what };
        let followed = self.driven.schedule_after(self.next_lsn, time_ns, &event);
        let schedule = followed.expect("what is decided can be followed");
        let upcoming = schedule.upcoming(time_ns, UPCOMING_MAX);
        let request = match event.what {
            ScheduleChange::Begun { .. } => schedule.asked(),
            _ if upcoming.is_empty() => None,
            _ => {
                let id = schedule.transfer_id(schedule.last_run + 1, 1);
                Some(schedule.definition.payment.transfer(id))
            }
        };
        let request = request.map(Request::from);
        Ok(DrySchedule { schedule: Arc::new(schedule), changed: true, upcoming, request })
    }

    /// What would become of something asked of sagas at `now_ns`.
    ///
    /// # Errors
    /// [`SagaRejection`], as when it is meant.
    ///
    /// # Panics
    /// When an event contradicts the saga that it was decided for.
    pub fn dry_run_saga(&self, ask: &SagaAsk, now_ns: u64) -> Result<DrySaga, SagaRejection> {
        let time_ns = now_ns.max(self.last_time_ns);
        let (id, what) = match ask {
            SagaAsk::Start(definition) => {
                (definition.id, self.driven.start(SagaDefinition::clone(definition))?)
            }
            SagaAsk::Command(id, command) => {
                (*id, self.driven.saga_command(*id, command.clone(), time_ns)?)
            }
        };
        let Some(what) = what else {
            let saga = Arc::clone(self.driven.sagas.get(id).ok_or(SagaRejection::Unknown)?);
            return Ok(DrySaga { saga, changed: false, request: None });
        };
        let lsn = self.next_lsn;
        let followed = self.driven.saga_after(lsn, time_ns, &SagaEvent { id, what });
        let saga = followed.expect("what is decided can be followed");
        let mut ahead = saga.clone();
        let begun = ahead.drive(time_ns);
        let request = begun.and_then(|begun| {
            let followed = ahead.follow(lsn.next(), time_ns, &begun);
            followed.expect("what is decided can be followed");
            ahead.asked()
        });
        Ok(DrySaga { saga: Arc::new(saga), changed: true, request })
    }
}

impl Schedule {
    /// When the next runs by the calendar begin to be due, as they would be driven from `now_ns` on.
    fn upcoming(&self, now_ns: u64, most: usize) -> Vec<u64> {
        let mut due = Vec::new();
        if self.status != Status::Active {
            return due;
        }
        let mut ahead = Self { running: None, ..self.clone() };
        while due.len() < most {
            let Some(next) = ahead.due_ns() else { break };
            match ahead.drive(now_ns.max(next)) {
                Some(ScheduleChange::Passed { next }) => ahead.next = next,
                Some(ScheduleChange::Begun { due_ns, next, .. }) => {
                    due.push(due_ns);
                    (ahead.next, ahead.counted) = (next, ahead.counted.saturating_add(1));
                }
                _ => break,
            }
        }
        due
    }
}
