//! Scheduled and standing transfers: what is to be paid when, and what became of each time.
//!
//! A schedule is a state machine that its events move ([`Schedule::follow`]), live and in replay. An
//! occurrence of it is a *run*, which has a number. Exactly once:
//!
//! ```text
//!            Begun (run n, attempt 1, the id of its transfer; the next occurrence)
//!  planned ───────────────────────────────▶ asked ── the transfer's own event ──▶ posted, refused
//!     ▲                                       ▲ │
//!     │ Passed (missed, left out)             │ └─ funds lack ─▶ waits ─ Begun (attempt 2, …) ─┐
//!     └───────────────                        └────────────────────────────────────────────────┘
//! ```
//!
//! Between `Begun` and the end the run awaits one transfer id, and the first event that decides a
//! request under that id ends it: one event says both that the money moved and that the run is over.
//! So at every LSN the journal says of each run that it is yet to be decided, or how it ended; what is
//! yet to be decided can be asked for again under the same id, after a crash or a month later, whatever
//! is still remembered of ids. What the calendar says was evaluated when an event was decided, and is
//! part of it: replay evaluates nothing. See `docs/adr/0028`.

pub mod calendar;
mod rules;
mod runs;
#[cfg(test)]
mod tests;

pub use rules::{ScheduleCommand, ScheduleRejection};
pub use runs::{Run, RunEnd, Running, Stage};

use crate::driven::{Drives, Fate, derive_id};
use crate::ids::{AccountId, Lsn, ScheduleId, TransferId};
use crate::money::CurrencyId;
use crate::transfer::{TransferKind, TransferRequest};
use calendar::{Calendar, Place};
use serde::{Deserialize, Serialize};

/// So many of a schedule's last runs are kept with it; all of them are in the journal.
pub const RUNS_KEPT: usize = 12;

/// No label of a schedule or a saga is longer, in bytes.
pub const LABEL_BYTES_MAX: usize = 128;

/// A transfer to be made later: all but its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Payment {
    /// The account that pays.
    pub debit: AccountId,
    /// The account that receives.
    pub credit: AccountId,
    /// Minor units, 1 to [`crate::money::AMOUNT_MAX`].
    pub amount: u128,
    /// The currency of the accounts; `None` takes theirs.
    pub currency: Option<CurrencyId>,
    /// What it is for.
    pub kind: TransferKind,
}

impl Payment {
    /// The transfer, under an id of its own.
    #[must_use]
    pub fn transfer(&self, id: TransferId) -> TransferRequest {
        let Self { debit, credit, amount, currency, kind } = *self;
        TransferRequest { id, debit, credit, amount, currency, kind, linked: false }
    }
}

/// What becomes of occurrences that could not begin in time: the engine was down, the clock jumped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Missed {
    /// All are run, one after another.
    #[default]
    RunAll,
    /// One is run in place of all.
    RunOnce,
    /// None is run.
    Skip,
}

/// When a run whose payer lacks the funds is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Retry {
    /// So many times, 0 to 1,000.
    pub times: u16,
    /// So many nanoseconds after the refusal, a second at least.
    pub every_ns: u64,
}

/// A schedule as it is defined. It does not change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Definition {
    /// Its id.
    pub id: ScheduleId,
    /// For people; [`LABEL_BYTES_MAX`] at most.
    pub label: String,
    /// What every run pays.
    pub payment: Payment,
    /// When.
    pub calendar: Calendar,
    /// Nothing is due by the rule before this: nanoseconds since the Unix epoch; 0 for the moment it
    /// is defined.
    pub start_ns: u64,
    /// Nothing that is due after this runs; [`crate::request::NEVER_NS`] for no end.
    pub end_ns: u64,
    /// Most runs by the calendar; 0 for no bound.
    pub runs_max: u32,
    /// What happens when funds lack.
    pub retry: Retry,
    /// What happens to occurrences that are missed.
    pub missed: Missed,
    /// An occurrence is missed that could not begin within so many nanoseconds of being due.
    pub grace_ns: u64,
}

/// Where a schedule stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Status {
    /// It runs by its calendar.
    Active,
    /// It runs by hand only.
    Paused,
    /// All its occurrences are over.
    Ended,
    /// It was cancelled; nothing brings it back.
    Cancelled,
}

/// An event of a schedule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScheduleEvent {
    /// Which schedule's.
    pub id: ScheduleId,
    /// What happened.
    pub what: ScheduleChange,
}

/// What happened to a schedule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ScheduleChange {
    /// It was defined.
    Defined {
        /// How.
        definition: Box<Definition>,
        /// Its first occurrence.
        first: Option<Place>,
    },
    /// It was paused.
    Paused,
    /// It goes on.
    Resumed {
        /// The first occurrence that is yet to come.
        next: Option<Place>,
    },
    /// It was cancelled.
    Cancelled,
    /// The attempt of a run began: its transfer is asked for.
    Begun {
        /// The run's number.
        run: u64,
        /// The attempt, from 1.
        attempt: u16,
        /// When the run was due: nanoseconds since the Unix epoch.
        due_ns: u64,
        /// Somebody asked for it; the calendar did not.
        by_hand: bool,
        /// The transfer's id.
        transfer: TransferId,
        /// The occurrence behind it; by hand and in later attempts, the one that was next before.
        next: Option<Place>,
    },
    /// Occurrences were missed and are left out.
    Passed {
        /// The first that is not.
        next: Option<Place>,
    },
    /// The id of the run's transfer had been used before the run began.
    IdTaken,
}

/// A schedule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// How it was defined.
    pub definition: Definition,
    /// The event that defined it.
    pub defined_lsn: Lsn,
    /// Where it stands.
    pub status: Status,
    /// The next occurrence by the calendar.
    pub next: Option<Place>,
    /// Runs by the calendar that have begun.
    pub counted: u32,
    /// The number of the last run; 0 before the first.
    pub last_run: u64,
    /// The run that is not over.
    pub running: Option<Running>,
    /// The last [`RUNS_KEPT`] runs that are over, the oldest first.
    pub runs: Vec<Run>,
    /// Its last event, or that of a run's transfer.
    pub changed_lsn: Lsn,
}

impl Schedule {
    /// A schedule that the event at `lsn`, decided at `time_ns`, defines.
    #[must_use]
    pub fn defined(lsn: Lsn, definition: Definition, first: Option<Place>) -> Self {
        let mut schedule = Self {
            definition,
            defined_lsn: lsn,
            status: Status::Active,
            next: first,
            counted: 0,
            last_run: 0,
            running: None,
            runs: Vec::new(),
            changed_lsn: lsn,
        };
        schedule.settle();
        schedule
    }

    /// The id of a run's transfer.
    #[must_use]
    pub fn transfer_id(&self, run: u64, attempt: u16) -> TransferId {
        let Self { definition, defined_lsn, .. } = self;
        let place = [run, u64::from(attempt)];
        derive_id(b"ducat schedule", definition.id.get(), *defined_lsn, place)
    }

    /// What is asked for now.
    #[must_use]
    pub fn asked(&self) -> Option<TransferRequest> {
        let Some(Running { stage: Stage::Asked(id), .. }) = self.running else { return None };
        Some(self.definition.payment.transfer(id))
    }

    /// Whether it is neither over nor cancelled.
    const fn goes_on(&self) -> bool {
        matches!(self.status, Status::Active | Status::Paused)
    }

    /// Moves it by one of its events, any but its definition.
    ///
    /// # Errors
    /// What contradicts how it stands; it is as it was then.
    pub fn follow(
        &mut self,
        lsn: Lsn,
        time_ns: u64,
        change: &ScheduleChange,
    ) -> Result<(), &'static str> {
        match change {
            ScheduleChange::Defined { .. } => return Err("the schedule was defined before"),
            ScheduleChange::Paused if self.status == Status::Active => self.status = Status::Paused,
            ScheduleChange::Resumed { next } if self.status == Status::Paused => {
                self.status = Status::Active;
                self.next = *next;
            }
            ScheduleChange::Cancelled if self.goes_on() => self.cancel(lsn, time_ns),
            ScheduleChange::Begun { .. } => self.begin(time_ns, change)?,
            ScheduleChange::Passed { next } => {
                let missed = self.next.is_some_and(|next| next.due_ns <= time_ns);
                if self.status != Status::Active || self.running.is_some() || !missed {
                    return Err("no occurrence of the schedule was missed");
                }
                self.pass_on(*next)?;
            }
            ScheduleChange::IdTaken => match self.running {
                Some(Running { stage: Stage::Asked(id), .. }) => {
                    self.end_run(lsn, time_ns, id, RunEnd::IdTaken);
                }
                _ => return Err("the schedule asks for nothing"),
            },
            ScheduleChange::Paused | ScheduleChange::Resumed { .. } | ScheduleChange::Cancelled => {
                return Err("the schedule is not in a state for it");
            }
        }
        self.changed_lsn = lsn;
        self.settle();
        Ok(())
    }

    fn begin(&mut self, time_ns: u64, change: &ScheduleChange) -> Result<(), &'static str> {
        let ScheduleChange::Begun { run, attempt, due_ns, by_hand, transfer, next } = *change
        else {
            return Err("it is no beginning");
        };
        if transfer != self.transfer_id(run, attempt) {
            return Err("the transfer's id is not that of the run");
        }
        match self.running {
            Some(last) => {
                match last.stage.retry() {
                    None => return Err("a run is not over yet"),
                    Some((at_ns, _)) if at_ns > time_ns => {
                        return Err("the attempt comes too early");
                    }
                    Some(_) => {}
                }
                let same = (last.run, last.attempt + 1, last.due_ns, last.by_hand);
                if (run, attempt, due_ns, by_hand) != same || next != self.next {
                    return Err("the attempt is of another run");
                }
            }
            None if run != self.last_run + 1 || attempt != 1 => return Err("runs have gaps"),
            None if by_hand => {
                if next != self.next {
                    return Err("a run by hand moves the calendar");
                }
            }
            None => {
                let due = self.next.filter(|place| place.due_ns == due_ns && due_ns <= time_ns);
                if self.status != Status::Active || due.is_none() {
                    return Err("the run was not due");
                }
                self.pass_on(next)?;
                self.counted = self.counted.saturating_add(1);
            }
        }
        if matches!(self.status, Status::Cancelled) {
            return Err("the schedule was cancelled");
        }
        self.last_run = run;
        let stage = Stage::Asked(transfer);
        self.running = Some(Running { run, due_ns, by_hand, attempt, stage });
        Ok(())
    }

    /// Goes on to a later place of the calendar.
    fn pass_on(&mut self, next: Option<Place>) -> Result<(), &'static str> {
        let later = |next: Place| self.next.is_some_and(|now| now.nominal_s < next.nominal_s);
        if !next.is_none_or(later) {
            return Err("the calendar goes back");
        }
        self.next = next;
        Ok(())
    }

    fn cancel(&mut self, lsn: Lsn, time_ns: u64) {
        self.status = Status::Cancelled;
        self.next = None;
        // One that waits for funds waits no more, and was refused as it was last; one that is asked
        // for is decided.
        if let Some(Running { stage, run, attempt, .. }) = self.running
            && let Some((_, refused)) = stage.retry()
        {
            let id = self.transfer_id(run, attempt);
            self.end_run(lsn, time_ns, id, RunEnd::Refused(refused));
        }
    }

    /// Takes in that the transfer asked for was decided by the event at `lsn`.
    fn transfer_decided(&mut self, lsn: Lsn, time_ns: u64, id: TransferId, fate: Fate) {
        let (retry, goes_on) = (self.definition.retry, self.goes_on());
        let Some(running) = self.running.as_mut() else { return };
        match fate {
            Fate::Done => self.end_run(lsn, time_ns, id, RunEnd::Posted),
            Fate::Other => self.end_run(lsn, time_ns, id, RunEnd::IdTaken),
            Fate::Refused(refused) => {
                let at_ns = time_ns.saturating_add(retry.every_ns);
                let again = goes_on && running.attempt <= retry.times;
                match Stage::after(refused, at_ns).filter(|_| again) {
                    Some(stage) => running.stage = stage,
                    None => self.end_run(lsn, time_ns, id, RunEnd::Refused(refused)),
                }
            }
        }
        self.changed_lsn = lsn;
        self.settle();
    }

    fn end_run(&mut self, lsn: Lsn, time_ns: u64, transfer: TransferId, end: RunEnd) {
        let Some(running) = self.running.take() else { return };
        let Running { run, due_ns, by_hand, attempt: attempts, .. } = running;
        if self.runs.len() == RUNS_KEPT {
            self.runs.remove(0);
        }
        self.runs.push(Run { run, due_ns, by_hand, attempts, transfer, lsn, time_ns, end });
    }

    /// A schedule of which nothing is left to come has ended.
    fn settle(&mut self) {
        let bound = self.definition.runs_max;
        if bound > 0 && self.counted >= bound {
            self.next = None;
        }
        if self.status == Status::Active && self.next.is_none() && self.running.is_none() {
            self.status = Status::Ended;
        }
    }

    /// Whether a snapshot may hold it.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let Self { definition, runs, running, last_run, .. } = self;
        rules::check_fields(definition).map_err(|_| "a schedule has an impossible definition")?;
        let rising = runs.is_sorted_by(|a, b| a.run < b.run);
        let last = runs.last().map_or(0, |run| run.run);
        let open = running.map_or(last, |running| running.run);
        if !rising || runs.len() > RUNS_KEPT || last > open || open != *last_run {
            return Err("a schedule's runs are out of order");
        }
        let Some(Running { stage, run, attempt, .. }) = *running else { return Ok(()) };
        match stage {
            Stage::Asked(id) if id != self.transfer_id(run, attempt) => {
                Err("a schedule awaits a foreign transfer")
            }
            // Nothing would ever end it.
            Stage::RetryAt(_) | Stage::RetryAtFloor(_)
                if !self.goes_on() || attempt > definition.retry.times =>
            {
                Err("a schedule waits for an attempt that never comes")
            }
            _ => Ok(()),
        }
    }
}

impl Drives for Schedule {
    type Id = ScheduleId;

    fn id(&self) -> ScheduleId {
        self.definition.id
    }

    fn due_ns(&self) -> Option<u64> {
        if self.status != Status::Active {
            return None;
        }
        match self.running {
            Some(running) => running.stage.retry().map(|(at_ns, _)| at_ns),
            None => self.next.map(|next| next.due_ns),
        }
    }

    fn awaits(&self) -> Option<TransferId> {
        match self.running {
            Some(Running { stage: Stage::Asked(id), .. }) => Some(id),
            _ => None,
        }
    }

    fn is_finished(&self) -> bool {
        matches!(self.status, Status::Ended | Status::Cancelled) && self.running.is_none()
    }

    fn changed_lsn(&self) -> Lsn {
        self.changed_lsn
    }

    fn decided(&mut self, lsn: Lsn, time_ns: u64, id: TransferId, fate: Fate) {
        self.transfer_decided(lsn, time_ns, id, fate);
    }
}
