//! What is asked of schedules and when: the live half, which evaluates calendars. What it decides is
//! an event, which [`super::Schedule::follow`] takes in, here as in replay.

use super::calendar::CalendarFault;
use super::{Definition, LABEL_BYTES_MAX, Missed, Running, Schedule, ScheduleChange, Status};
use crate::money::AMOUNT_MAX;
use thiserror::Error;

/// The shortest wait before a refused run is tried again, nanoseconds.
const RETRY_NS_MIN: u64 = 1_000_000_000;

/// Why something asked of a schedule was not done. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleRejection {
    /// No schedule has this id.
    #[error("no schedule has this id")]
    Unknown,
    /// A schedule with this id exists, with other content.
    #[error("a schedule with this id exists with other content")]
    ExistsDifferent,
    /// It is not in a state for it.
    #[error("the schedule is {0}")]
    Status(&'static str),
    /// A run is not over yet.
    #[error("run {0} is not over yet")]
    Busy(u64),
    /// The run that was to come is another.
    #[error("the next run is {next}, not {asked}")]
    Run {
        /// The number of the next run.
        next: u64,
        /// The number that was named.
        asked: u64,
    },
    /// The calendar cannot be.
    #[error(transparent)]
    Calendar(#[from] CalendarFault),
    /// Its calendar has no occurrence between its start and its end.
    #[error("no occurrence lies between its start and its end")]
    NeverDue,
    /// A field is out of range.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// As many schedules exist as may.
    #[error("the ledger keeps as many schedules as it can ({0})")]
    Full(usize),
}

impl ScheduleRejection {
    /// The stable code, as clients see it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "SCHEDULE_UNKNOWN",
            Self::ExistsDifferent => "SCHEDULE_EXISTS_DIFFERENT",
            Self::Status(_) => "SCHEDULE_STATUS",
            Self::Busy(_) => "SCHEDULE_RUNNING",
            Self::Run { .. } => "SCHEDULE_RUN_NUMBER",
            Self::Calendar(_) => "SCHEDULE_CALENDAR",
            Self::NeverDue => "SCHEDULE_NEVER_DUE",
            Self::Range(_) => "SCHEDULE_FIELD",
            Self::Full(_) => "SCHEDULES_FULL",
        }
    }
}

/// What is asked of a schedule that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScheduleCommand {
    /// Run by hand only.
    Pause,
    /// Run by the calendar again, from now on: what fell due meanwhile is left out.
    Resume,
    /// Never run again.
    Cancel,
    /// Run once now, beside the calendar.
    Run {
        /// The number that the run must have, so that asking twice runs once; `None` takes the next.
        number: Option<u64>,
    },
}

/// Whether there can be such a schedule, whatever its calendar says: what was decided with an earlier
/// time zone database stays.
pub(super) fn check_fields(definition: &Definition) -> Result<(), ScheduleRejection> {
    let Definition { label, payment, retry, start_ns, end_ns, .. } = definition;
    let checks = [
        (label.len() <= LABEL_BYTES_MAX, "the label"),
        ((1..=AMOUNT_MAX).contains(&payment.amount), "the amount"),
        (payment.debit != payment.credit, "the credit account"),
        (retry.times <= 1_000, "the number of retries"),
        (retry.times == 0 || retry.every_ns >= RETRY_NS_MIN, "the wait before a retry"),
        (start_ns <= end_ns, "the end"),
    ];
    if let Some((_, what)) = checks.into_iter().find(|(right, _)| !right) {
        return Err(ScheduleRejection::Range(what));
    }
    Ok(())
}

impl Definition {
    /// Whether this is asked for again: the same, or the same without a start of its own.
    fn is_same(&self, asked: &Self) -> bool {
        self == asked
            || asked.start_ns == 0 && *self == Self { start_ns: self.start_ns, ..asked.clone() }
    }

    /// The event that defines it at `now_ns`.
    pub(crate) fn define(mut self, now_ns: u64) -> Result<ScheduleChange, ScheduleRejection> {
        if self.start_ns == 0 {
            self.start_ns = now_ns;
        }
        check_fields(&self)?;
        let first = self.calendar.from(self.start_ns)?.first();
        let first = first.filter(|first| first.due_ns <= self.end_ns);
        if first.is_none() {
            return Err(ScheduleRejection::NeverDue);
        }
        Ok(ScheduleChange::Defined { definition: Box::new(self), first })
    }
}

impl Schedule {
    /// Whether this definition is its own.
    ///
    /// # Errors
    /// [`ScheduleRejection::ExistsDifferent`].
    pub(crate) fn check_same(&self, asked: &Definition) -> Result<(), ScheduleRejection> {
        match self.definition.is_same(asked) {
            true => Ok(()),
            false => Err(ScheduleRejection::ExistsDifferent),
        }
    }

    /// The event of a command at `now_ns`; `None` where it is so already.
    ///
    /// # Errors
    /// [`ScheduleRejection`].
    pub(crate) fn command(
        &self,
        command: ScheduleCommand,
        now_ns: u64,
    ) -> Result<Option<ScheduleChange>, ScheduleRejection> {
        let change = match (command, self.status) {
            (ScheduleCommand::Run { number }, _) => return self.run_by_hand(number, now_ns),
            (ScheduleCommand::Pause, Status::Active) => ScheduleChange::Paused,
            (ScheduleCommand::Resume, Status::Paused) => {
                ScheduleChange::Resumed { next: self.next_beyond(now_ns) }
            }
            (ScheduleCommand::Cancel, Status::Active | Status::Paused) => ScheduleChange::Cancelled,
            (ScheduleCommand::Pause, Status::Paused)
            | (ScheduleCommand::Resume, Status::Active)
            | (ScheduleCommand::Cancel, Status::Cancelled) => return Ok(None),
            (_, status) => return Err(ScheduleRejection::Status(status.name())),
        };
        Ok(Some(change))
    }

    fn run_by_hand(
        &self,
        number: Option<u64>,
        now_ns: u64,
    ) -> Result<Option<ScheduleChange>, ScheduleRejection> {
        let next = self.last_run + 1;
        if let Some(asked) = number
            && asked != next
        {
            // The one that was asked for has begun already.
            return match asked == self.last_run && asked > 0 {
                true => Ok(None),
                false => Err(ScheduleRejection::Run { next, asked }),
            };
        }
        if self.status == Status::Cancelled {
            return Err(ScheduleRejection::Status(self.status.name()));
        }
        if let Some(running) = self.running {
            return Err(ScheduleRejection::Busy(running.run));
        }
        Ok(Some(ScheduleChange::Begun {
            run: next,
            attempt: 1,
            due_ns: now_ns,
            by_hand: true,
            transfer: self.transfer_id(next, 1),
            next: self.next,
        }))
    }

    /// The next event of a schedule that is due at `now_ns`.
    pub(crate) fn drive(&self, now_ns: u64) -> Option<ScheduleChange> {
        if let Some(Running { run, due_ns, by_hand, attempt, stage }) = self.running {
            let (at, _) = stage.retry()?;
            let (attempt, next) = (attempt + 1, self.next);
            let transfer = self.transfer_id(run, attempt);
            return (at <= now_ns).then_some(ScheduleChange::Begun {
                run,
                attempt,
                due_ns,
                by_hand,
                transfer,
                next,
            });
        }
        let due = self.next.filter(|next| next.due_ns <= now_ns)?;
        let grace_ns = self.definition.grace_ns;
        let missed = now_ns - due.due_ns > grace_ns;
        let Definition { runs_max, .. } = self.definition;
        let is_last = runs_max > 0 && self.counted + 1 >= runs_max;
        let next = match self.definition.missed {
            Missed::Skip if missed => {
                let next = self.next_beyond((now_ns - grace_ns).saturating_sub(1));
                return Some(ScheduleChange::Passed { next });
            }
            _ if is_last => None,
            Missed::RunOnce if missed => self.next_beyond(now_ns),
            _ => self.next_after(),
        };
        let run = self.last_run + 1;
        Some(ScheduleChange::Begun {
            run,
            attempt: 1,
            due_ns: due.due_ns,
            by_hand: false,
            transfer: self.transfer_id(run, 1),
            next,
        })
    }

    /// The occurrence behind the next one.
    fn next_after(&self) -> Option<super::Place> {
        let times = self.definition.calendar.from(self.definition.start_ns).ok()?;
        times.after(self.next?).filter(|next| next.due_ns <= self.definition.end_ns)
    }

    /// The next occurrence, or the first behind it that is due after `moment_ns`.
    fn next_beyond(&self, moment_ns: u64) -> Option<super::Place> {
        let next = self.next?;
        if next.due_ns > moment_ns {
            return Some(next);
        }
        let times = self.definition.calendar.from(self.definition.start_ns).ok()?;
        times.beyond(next, moment_ns).filter(|next| next.due_ns <= self.definition.end_ns)
    }
}

impl Status {
    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

impl ScheduleChange {
    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Defined { .. } => "defined",
            Self::Paused => "paused",
            Self::Resumed { .. } => "resumed",
            Self::Cancelled => "cancelled",
            Self::Begun { .. } => "begun",
            Self::Passed { .. } => "passed",
            Self::IdTaken => "id-taken",
        }
    }
}
