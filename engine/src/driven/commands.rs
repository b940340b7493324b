//! What is asked of schedules and sagas, and what falls due: each decided as an event, which is
//! followed at once as replay will.

use super::{Driven, DrivenEvent, Drives};
use crate::coordinator::Coordinator;
use crate::ids::{Lsn, SagaId, ScheduleId};
use crate::record::Record;
use crate::request::Request;
use crate::sagas::{Saga, SagaChange, SagaCommand, SagaDefinition, SagaEvent, SagaRejection};
use crate::schedules::{
    Definition, Schedule, ScheduleChange, ScheduleCommand, ScheduleEvent, ScheduleRejection,
};
use std::sync::Arc;

/// What one turn of driving decided.
#[derive(Clone, Debug, Default)]
pub struct Begun {
    /// When: nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// The events, in order.
    pub events: Vec<(Lsn, Record)>,
    /// What is asked for now, to be put on the path of a transfer.
    pub requests: Vec<Request>,
}

impl Coordinator {
    /// When the first schedule or saga is due, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn driven_due_ns(&self) -> Option<u64> {
        self.driven.due_ns()
    }

    /// How many requests of schedules and sagas are asked for and not decided.
    #[must_use]
    pub fn awaited_len(&self) -> usize {
        self.driven.awaited.len()
    }

    /// All that schedules and sagas have asked for and is not decided: to be asked for again after a
    /// start.
    #[must_use]
    pub fn awaited_requests(&self) -> Vec<Request> {
        let schedules = self.driven.schedules.from(None);
        let schedules = schedules.filter_map(|schedule| schedule.asked().map(Request::from));
        schedules.chain(self.driven.sagas.from(None).filter_map(|saga| saga.asked())).collect()
    }

    /// One schedule.
    #[must_use]
    pub fn schedule(&self, id: ScheduleId) -> Option<&Arc<Schedule>> {
        self.driven.schedules.get(id)
    }

    /// Schedules behind `after`, in the order of their ids.
    pub fn schedules(&self, after: Option<ScheduleId>) -> impl Iterator<Item = &Arc<Schedule>> {
        self.driven.schedules.from(after)
    }

    /// One saga.
    #[must_use]
    pub fn saga(&self, id: SagaId) -> Option<&Arc<Saga>> {
        self.driven.sagas.get(id)
    }

    /// Sagas behind `after`, in the order of their ids.
    pub fn sagas(&self, after: Option<SagaId>) -> impl Iterator<Item = &Arc<Saga>> {
        self.driven.sagas.from(after)
    }

    /// How many schedules and how many sagas there are.
    #[must_use]
    pub fn driven_len(&self) -> [usize; 2] {
        [self.driven.schedules.len(), self.driven.sagas.len()]
    }

    /// Defines a schedule. `None` where it was defined so before.
    ///
    /// # Errors
    /// [`ScheduleRejection`]; nothing changed then.
    pub fn define_schedule(
        &mut self,
        definition: Definition,
        now_ns: u64,
    ) -> Result<Option<(Lsn, Record)>, ScheduleRejection> {
        let id = definition.id;
        let time_ns = self.time(now_ns);
        let what = self.driven.definition(definition, time_ns)?;
        Ok(what.map(|what| self.decide_schedule(id, what, time_ns)))
    }

    /// Pauses, resumes, cancels or runs a schedule. `None` where it is so already.
    ///
    /// # Errors
    /// [`ScheduleRejection`]; nothing changed then.
    pub fn command_schedule(
        &mut self,
        id: ScheduleId,
        command: ScheduleCommand,
        now_ns: u64,
    ) -> Result<Option<(Lsn, Record)>, ScheduleRejection> {
        let time_ns = self.time(now_ns);
        let what = self.driven.schedule_command(id, command, time_ns)?;
        Ok(what.map(|what| self.decide_schedule(id, what, time_ns)))
    }

    /// Starts a saga. `None` where it was started so before.
    ///
    /// # Errors
    /// [`SagaRejection`]; nothing changed then.
    pub fn start_saga(
        &mut self,
        definition: SagaDefinition,
        now_ns: u64,
    ) -> Result<Option<(Lsn, Record)>, SagaRejection> {
        let id = definition.id;
        let time_ns = self.time(now_ns);
        let what = self.driven.start(definition)?;
        Ok(what.map(|what| self.decide_saga(id, what, time_ns)))
    }

    /// Answers or resolves a saga. `None` where it was answered so before.
    ///
    /// # Errors
    /// [`SagaRejection`]; nothing changed then.
    pub fn command_saga(
        &mut self,
        id: SagaId,
        command: SagaCommand,
        now_ns: u64,
    ) -> Result<Option<(Lsn, Record)>, SagaRejection> {
        let time_ns = self.time(now_ns);
        let what = self.driven.saga_command(id, command, time_ns)?;
        Ok(what.map(|what| self.decide_saga(id, what, time_ns)))
    }

    /// Decides what is due at `now_ns`, in at most `most` events; so many may follow at once as are
    /// due still.
    pub fn drive(&mut self, now_ns: u64, most: usize) -> Begun {
        let mut begun = Begun { time_ns: self.time(now_ns), ..Begun::default() };
        while begun.events.len() < most {
            let Some(event) = self.driven.due_event(begun.time_ns) else { break };
            begun.events.push(self.decide_driven(event, begun.time_ns));
            begun.requests.extend(self.asked_by(&begun.events[begun.events.len() - 1].1));
        }
        begun
    }

    /// What is asked for by an event of a schedule or a saga.
    #[must_use]
    pub fn asked_by(&self, record: &Record) -> Option<Request> {
        let Record::Driven(event) = record else { return None };
        match &**event {
            DrivenEvent::Schedule(ScheduleEvent { id, what: ScheduleChange::Begun { .. } }) => {
                self.schedule(*id)?.asked().map(Request::from)
            }
            DrivenEvent::Saga(SagaEvent { id, what: SagaChange::Begun { .. } }) => {
                self.saga(*id)?.asked()
            }
            _ => None,
        }
    }

    /// What was asked for under this id is not decided and never will be, since the id had been used
    /// before: an event says so. `None` where nobody awaits it any more.
    pub fn give_up(&mut self, request: &Request, now_ns: u64) -> Option<(Lsn, Record)> {
        let owner = self.driven.awaited.get(&request.id())?.0;
        let time_ns = self.time(now_ns);
        Some(match owner {
            super::Owner::Schedule(id) => {
                self.decide_schedule(id, ScheduleChange::IdTaken, time_ns)
            }
            super::Owner::Saga(id) => self.decide_saga(id, SagaChange::IdTaken, time_ns),
        })
    }

    fn decide_schedule(
        &mut self,
        id: ScheduleId,
        what: ScheduleChange,
        time_ns: u64,
    ) -> (Lsn, Record) {
        self.decide_driven(DrivenEvent::Schedule(ScheduleEvent { id, what }), time_ns)
    }

    fn decide_saga(&mut self, id: SagaId, what: SagaChange, time_ns: u64) -> (Lsn, Record) {
        self.decide_driven(DrivenEvent::Saga(SagaEvent { id, what }), time_ns)
    }

    fn decide_driven(&mut self, event: DrivenEvent, time_ns: u64) -> (Lsn, Record) {
        let lsn = self.next_event();
        let followed = self.driven.follow(lsn, time_ns, &event);
        assert_eq!(followed, Ok(()), "what is decided can be followed: {event:?}");
        (lsn, Record::Driven(Box::new(event)))
    }
}

/// What is asked for, judged: the change that it comes to, `None` where it is so already.
impl Driven {
    pub(super) fn definition(
        &self,
        definition: Definition,
        time_ns: u64,
    ) -> Result<Option<ScheduleChange>, ScheduleRejection> {
        if let Some(known) = self.schedules.get(definition.id) {
            return known.check_same(&definition).map(|()| None);
        }
        if self.schedules.is_full() {
            return Err(ScheduleRejection::Full(super::KEPT_MAX));
        }
        definition.define(time_ns).map(Some)
    }

    pub(super) fn schedule_command(
        &self,
        id: ScheduleId,
        command: ScheduleCommand,
        time_ns: u64,
    ) -> Result<Option<ScheduleChange>, ScheduleRejection> {
        let schedule = self.schedules.get(id).ok_or(ScheduleRejection::Unknown)?;
        schedule.command(command, time_ns)
    }

    pub(super) fn start(
        &self,
        definition: SagaDefinition,
    ) -> Result<Option<SagaChange>, SagaRejection> {
        if let Some(known) = self.sagas.get(definition.id) {
            return match known.definition == definition {
                true => Ok(None),
                false => Err(SagaRejection::ExistsDifferent),
            };
        }
        if self.sagas.is_full() {
            return Err(SagaRejection::Full(super::KEPT_MAX));
        }
        definition.check()?;
        Ok(Some(SagaChange::Started { definition: Box::new(definition) }))
    }

    pub(super) fn saga_command(
        &self,
        id: SagaId,
        command: SagaCommand,
        time_ns: u64,
    ) -> Result<Option<SagaChange>, SagaRejection> {
        let saga = self.sagas.get(id).ok_or(SagaRejection::Unknown)?;
        saga.command(command, time_ns)
    }
}

impl Driven {
    fn due_event(&self, now_ns: u64) -> Option<DrivenEvent> {
        let schedule = self.schedules.first_due(now_ns);
        if let Some((id, what)) = schedule.and_then(|s| Some((s.id(), s.drive(now_ns)?))) {
            return Some(DrivenEvent::Schedule(ScheduleEvent { id, what }));
        }
        let saga = self.sagas.first_due(now_ns)?;
        let what = saga.drive(now_ns)?;
        Some(DrivenEvent::Saga(SagaEvent { id: saga.id(), what }))
    }
}
