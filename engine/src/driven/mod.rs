//! What the engine drives by itself: schedules and sagas. Both are state machines moved by events of
//! their own and by the events of the requests that they ask for; this is what they share.
//!
//! ```text
//!  define, start, answer … ─┐                                        ┌─▶ journal
//!  due by journalled time ──┴▶ decide ─▶ DrivenEvent ─▶ follow ──────┤
//!                                          ▲             │           └─▶ Request ─▶ the path of a
//!                                      replay            ▼                          transfer
//!                       awaited ids ◀── what it asks for                                │
//!                            └─▶ follow_decided ◀── the record that decides such an id ◀┘
//! ```
//!
//! An id that is awaited is decided by exactly one event, and that event moves the machine, live
//! (in front of the answer) and in replay. A plain transfer costs one look whether anything is
//! awaited. See `docs/adr/0028` and `docs/adr/0029`.

mod commands;
mod dry_run;
mod store;

pub use commands::Begun;
pub use dry_run::{DrySaga, DrySchedule, SagaAsk, ScheduleAsk, UPCOMING_MAX};
pub(crate) use store::{DrivenPart, Drives, Store};
pub use store::{DrivenPiece, FINISHED_KEPT, KEPT_MAX, PIECE_DRIVEN};

use crate::account::Impossible;
use crate::coordinator::Coordinator;
use crate::ids::{Lsn, SagaId, ScheduleId, TransferId};
use crate::record::Record;
use crate::rejection::Rejection;
use crate::repeat::Asked;
use crate::request::Request;
use crate::sagas::{Saga, SagaChange, SagaEvent};
use crate::schedules::{Schedule, ScheduleChange, ScheduleEvent};
use foldhash::fast::FixedState;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// An event of what the engine drives by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DrivenEvent {
    /// Of a schedule.
    Schedule(ScheduleEvent),
    /// Of a saga.
    Saga(SagaEvent),
}

/// Who awaits an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Schedule(ScheduleId),
    Saga(SagaId),
}

/// What became of a request that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It was done.
    Done,
    /// It was refused.
    Refused(Rejection),
    /// Its id was used for something else.
    Other,
}

/// Ids that are awaited, each by its owner.
pub(crate) type Awaited = HashMap<TransferId, AwaitedBy, FixedState>;

/// Who awaits an id, as [`Awaited`] keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AwaitedBy(Owner);

/// All that the engine drives by itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Driven {
    pub schedules: Store<Schedule>,
    pub sagas: Store<Saga>,
    awaited: Awaited,
}

/// The id of a request that the engine makes, out of who asks for it and the place of the request
/// in that. The event that defined the owner is part of it: an id of an owner that was forgotten
/// gives other ids when it is used again.
pub(crate) fn derive_id(domain: &[u8], owner: u128, lsn: Lsn, place: [u64; 2]) -> TransferId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain);
    hasher.update(&owner.to_le_bytes());
    for number in [lsn.0, place[0], place[1]] {
        hasher.update(&number.to_le_bytes());
    }
    let hash = hasher.finalize();
    let half = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    let id = u128::from_le_bytes(*half);
    TransferId::new(id.max(1)).expect("it is not zero")
}

impl Driven {
    /// When the first of it is due, nanoseconds since the Unix epoch.
    pub fn due_ns(&self) -> Option<u64> {
        let due = [self.schedules.due_ns(), self.sagas.due_ns()];
        due.into_iter().flatten().min()
    }

    pub fn awaits_nothing(&self) -> bool {
        self.awaited.is_empty()
    }

    /// For the time in which events are concluded, which change nothing of it.
    pub fn take_awaited(&mut self) -> Awaited {
        std::mem::take(&mut self.awaited)
    }

    pub fn put_awaited(&mut self, awaited: Awaited) {
        self.awaited = awaited;
    }

    pub fn set_schedule(&mut self, schedule: Schedule) {
        let id = schedule.definition.id;
        let before = self.schedules.get(id).and_then(|schedule| schedule.awaits());
        self.note(before, schedule.awaits(), Owner::Schedule(id));
        self.schedules.set(schedule);
    }

    pub fn set_saga(&mut self, saga: Saga) {
        let id = saga.definition.id;
        let before = self.sagas.get(id).and_then(|saga| saga.awaits());
        self.note(before, saga.awaits(), Owner::Saga(id));
        self.sagas.set(saga);
    }

    fn note(&mut self, before: Option<TransferId>, now: Option<TransferId>, owner: Owner) {
        if before != now {
            before.map(|id| self.awaited.remove(&id));
            now.map(|id| self.awaited.insert(id, AwaitedBy(owner)));
        }
    }

    fn request(&self, owner: Owner) -> Option<Request> {
        match owner {
            Owner::Schedule(id) => self.schedules.get(id)?.asked().map(Request::from),
            Owner::Saga(id) => self.sagas.get(id)?.asked(),
        }
    }

    fn schedule_event(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        event: &ScheduleEvent,
    ) -> Result<(), &'static str> {
        let schedule = self.schedule_after(lsn, time_ns, event)?;
        self.set_schedule(schedule);
        Ok(())
    }

    /// A schedule as the event leaves it.
    fn schedule_after(
        &self,
        lsn: Lsn,
        time_ns: u64,
        event: &ScheduleEvent,
    ) -> Result<Schedule, &'static str> {
        match (&event.what, self.schedules.get(event.id)) {
            (ScheduleChange::Defined { definition, first }, None) if definition.id == event.id => {
                Ok(Schedule::defined(lsn, (**definition).clone(), *first))
            }
            (_, None) => Err("there is no such schedule"),
            (change, Some(known)) => {
                let mut schedule = (**known).clone();
                schedule.follow(lsn, time_ns, change)?;
                Ok(schedule)
            }
        }
    }

    fn saga_event(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        event: &SagaEvent,
    ) -> Result<(), &'static str> {
        let saga = self.saga_after(lsn, time_ns, event)?;
        self.set_saga(saga);
        Ok(())
    }

    /// A saga as the event leaves it.
    fn saga_after(&self, lsn: Lsn, time_ns: u64, event: &SagaEvent) -> Result<Saga, &'static str> {
        match (&event.what, self.sagas.get(event.id)) {
            (SagaChange::Started { definition }, None) if definition.id == event.id => {
                definition.check().map_err(|_| "no saga can be so")?;
                Ok(Saga::started(lsn, time_ns, (**definition).clone()))
            }
            (_, None) => Err("there is no such saga"),
            (change, Some(known)) => {
                let mut saga = (**known).clone();
                saga.follow(lsn, time_ns, change)?;
                Ok(saga)
            }
        }
    }

    /// Takes in an event.
    pub fn follow(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        event: &DrivenEvent,
    ) -> Result<(), &'static str> {
        match event {
            DrivenEvent::Schedule(event) => self.schedule_event(lsn, time_ns, event),
            DrivenEvent::Saga(event) => self.saga_event(lsn, time_ns, event),
        }
    }
}

impl Coordinator {
    /// Takes in an event of what the engine drives, in replay.
    pub(crate) fn follow_driven(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        event: &DrivenEvent,
    ) -> Result<(), Impossible> {
        let followed = self.driven.follow(lsn, time_ns, event);
        followed.map_err(|what| Impossible::Differs { lsn, what: what.to_owned() })
    }

    /// Takes in that the event at `lsn` decided a request, if anybody awaits it.
    pub(crate) fn follow_decided(&mut self, lsn: Lsn, time_ns: u64, record: &Record) {
        if self.driven.awaited.is_empty() {
            return;
        }
        let Some(id) = record.transfer_id() else { return };
        let Some(AwaitedBy(owner)) = self.driven.awaited.get(&id).copied() else { return };
        let request = self.driven.request(owner).expect("it awaits what it asks for");
        let fate = self.fate(request, record);
        match owner {
            Owner::Schedule(owner) => {
                let known = self.driven.schedules.get(owner).expect("it is there");
                let mut schedule = (**known).clone();
                schedule.decided(lsn, time_ns, id, fate);
                self.driven.set_schedule(schedule);
            }
            Owner::Saga(owner) => {
                let known = self.driven.sagas.get(owner).expect("it is there");
                let mut saga = (**known).clone();
                saga.decided(lsn, time_ns, id, fate);
                self.driven.set_saga(saga);
            }
        }
    }

    fn fate(&self, request: Request, record: &Record) -> Fate {
        let listing = |id| self.directory.get(id);
        let [debit, credit] = request.accounts().map_or([None; 2], |ids| ids.map(listing));
        if !Asked::new(request, debit, credit).is(record) {
            return Fate::Other;
        }
        record.rejection().map_or(Fate::Done, Fate::Refused)
    }
}
