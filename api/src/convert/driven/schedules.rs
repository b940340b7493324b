//! Schedules between the wire and the engine. Shapes are checked here; what a calendar can be, the
//! engine says.

use super::{MILLISECOND_NS, Reader, SECOND_NS, dry_outcome, nanos, payment_to_proto};
use crate::convert::zero_id;
use crate::proto::{self, RunState, ScheduleStatus, schedule_calendar::Rule as RuleProto};
use crate::violation::Violations;
use ducat_actors::handle::Answers;
use ducat_engine::driven::DrySchedule;
use ducat_engine::ids::{Lsn, ScheduleId};
use ducat_engine::money::Currencies;
use ducat_engine::request::NEVER_NS;
use ducat_engine::schedules::calendar::{Calendar, HOLIDAYS_MAX, Roll, Rule, SATURDAY_SUNDAY};
use ducat_engine::schedules::{Definition, Missed, Retry, Run, RunEnd, Running, Schedule, Status};
use jiff::civil::Date;

/// A definition in the engine's terms.
///
/// # Errors
/// Everything that is wrong with it.
pub fn schedule(
    asked: Option<proto::ScheduleDefinition>,
    currencies: &Currencies,
) -> Result<Definition, Violations> {
    let asked = asked.unwrap_or_default();
    let mut reader = Reader::new(currencies);
    let id = ScheduleId::from_halves(asked.id_high, asked.id).ok();
    if id.is_none() {
        reader.wrong("definition.id", "SCHEDULE_ID_ZERO", zero_id);
    }
    let payment = reader.payment(asked.transfer.as_ref(), "definition.transfer.");
    let calendar = reader.calendar(asked.calendar.unwrap_or_default());
    let times = u16::try_from(asked.retries).ok().filter(|times| *times <= 1_000);
    if times.is_none() {
        reader.wrong("definition.retries", "SCHEDULE_FIELD", || "at most 1,000".to_owned());
    }
    let missed = match proto::Missed::try_from(asked.missed) {
        Ok(proto::Missed::RunAll) => Some(Missed::RunAll),
        Ok(proto::Missed::RunOnce) => Some(Missed::RunOnce),
        Ok(proto::Missed::Skip) => Some(Missed::Skip),
        Err(_) => None,
    };
    if missed.is_none() {
        reader.wrong("definition.missed", "SCHEDULE_FIELD", || "no such rule".to_owned());
    }
    let parts = (id, payment, calendar, times, missed);
    let (Some(id), Some(payment), Some(calendar), Some(times), Some(missed)) = parts else {
        return Err(reader.violations);
    };
    let definition = Definition {
        id,
        label: asked.label,
        payment,
        calendar,
        start_ns: asked.start_ns,
        end_ns: if asked.end_ns == 0 { NEVER_NS } else { asked.end_ns },
        runs_max: asked.runs_max,
        retry: Retry { times, every_ns: nanos(asked.retry_after_s.into(), SECOND_NS) },
        missed,
        grace_ns: nanos(asked.grace_s.into(), SECOND_NS),
    };
    reader.violations.into_result(definition)
}

impl Reader<'_> {
    fn calendar(&mut self, asked: proto::ScheduleCalendar) -> Option<Calendar> {
        let field = |name: &str| format!("definition.calendar.{name}");
        let rule = match asked.rule {
            None => Some(Rule::Once),
            Some(RuleProto::Cron(expression)) => Some(Rule::Cron(expression)),
            Some(RuleProto::EveryDays(every)) => {
                self.short(every, &field("every_days")).map(|every| Rule::Days { every })
            }
            Some(RuleProto::Weekly(weekly)) => {
                let weekdays = self.weekdays(&weekly.weekdays, &field("weekly.weekdays"));
                let every = self.short(weekly.every.max(1), &field("weekly.every"));
                every.zip(weekdays).map(|(every, weekdays)| Rule::Weeks { every, weekdays })
            }
            Some(RuleProto::Monthly(monthly)) => {
                let every = self.short(monthly.every.max(1), &field("monthly.every"));
                let day = u8::try_from(monthly.day).unwrap_or(u8::MAX);
                every.map(|every| Rule::Months { every, day })
            }
        };
        let roll = match proto::Roll::try_from(asked.roll) {
            Ok(proto::Roll::Stay) => Some(Roll::Stay),
            Ok(proto::Roll::Following) => Some(Roll::Following),
            Ok(proto::Roll::Preceding) => Some(Roll::Preceding),
            Ok(proto::Roll::ModifiedFollowing) => Some(Roll::ModifiedFollowing),
            Ok(proto::Roll::Skip) => Some(Roll::Skip),
            Err(_) => None,
        };
        if roll.is_none() {
            self.wrong(&field("roll"), "SCHEDULE_CALENDAR", || "no such rule".to_owned());
        }
        let weekend = match &asked.weekend[..] {
            [] => Some(SATURDAY_SUNDAY),
            days => self.weekdays(days, &field("weekend")),
        };
        let holidays = self.holidays(&asked.holidays, &field("holidays"));
        let zone =
            if asked.time_zone.is_empty() { "UTC".to_owned() } else { asked.time_zone.clone() };
        Some(Calendar {
            rule: rule?,
            zone,
            time_of_day_s: asked.time_of_day_s,
            roll: roll?,
            weekend: weekend?,
            holidays: holidays?,
        })
    }

    fn short(&mut self, every: u32, field: &str) -> Option<u16> {
        let short = u16::try_from(every).ok();
        if short.is_none() {
            self.wrong(field, "SCHEDULE_CALENDAR", || format!("{every} is out of range"));
        }
        short
    }

    fn weekdays(&mut self, days: &[u32], field: &str) -> Option<u8> {
        if let Some(day) = days.iter().find(|day| !(1..=7).contains(*day)) {
            let what = || format!("{day} is no day of the week; they are 1 (Monday) to 7");
            self.wrong(field, "SCHEDULE_CALENDAR", what);
            return None;
        }
        Some(days.iter().fold(0, |bits, day| bits | 1 << (day - 1)))
    }

    fn holidays(&mut self, days: &[String], field: &str) -> Option<Vec<i32>> {
        if days.len() > HOLIDAYS_MAX {
            let what = || format!("at most {HOLIDAYS_MAX} holidays, not {}", days.len());
            self.wrong(field, "SCHEDULE_CALENDAR", what);
            return None;
        }
        let mut numbers = Vec::with_capacity(days.len());
        for (index, day) in days.iter().enumerate() {
            match day.parse::<Date>().ok().and_then(number) {
                Some(number) => numbers.push(number),
                None => {
                    let what = || "write a day as in 2026-12-25".to_owned();
                    self.wrong(&format!("{field}[{index}]"), "SCHEDULE_CALENDAR", what);
                    return None;
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Some(numbers)
    }
}

fn epoch() -> Date {
    jiff::civil::date(1970, 1, 1)
}

fn number(day: Date) -> Option<i32> {
    epoch().until(day).ok().map(|span| span.get_days())
}

fn day(number: i32) -> String {
    let day = epoch().checked_add(jiff::Span::new().try_days(number).unwrap_or_default());
    day.map(|day| day.to_string()).unwrap_or_default()
}

fn weekday_numbers(bits: u8) -> Vec<u32> {
    (1..=7).filter(|day| bits >> (day - 1) & 1 == 1).collect()
}

/// The status a list asks for; `None` for any.
///
/// # Errors
/// One violation, reason `SCHEDULE_STATUS_UNKNOWN`.
pub fn schedule_status(asked: i32) -> Result<Option<Status>, Violations> {
    Ok(match ScheduleStatus::try_from(asked) {
        Ok(ScheduleStatus::Unspecified) => None,
        Ok(ScheduleStatus::Active) => Some(Status::Active),
        Ok(ScheduleStatus::Paused) => Some(Status::Paused),
        Ok(ScheduleStatus::Ended) => Some(Status::Ended),
        Ok(ScheduleStatus::Cancelled) => Some(Status::Cancelled),
        Err(_) => {
            let what = format!("{asked} is no status; known are 0 to 4");
            return Err(Violations::one("status", "SCHEDULE_STATUS_UNKNOWN", what));
        }
    })
}

/// A schedule as a message.
#[must_use]
pub fn schedule_to_proto(schedule: &Schedule, currencies: &Currencies) -> proto::Schedule {
    let status = match schedule.status {
        Status::Active => ScheduleStatus::Active,
        Status::Paused => ScheduleStatus::Paused,
        Status::Ended => ScheduleStatus::Ended,
        Status::Cancelled => ScheduleStatus::Cancelled,
    };
    let running = schedule.running.map(|running| running_to_proto(schedule, running));
    proto::Schedule {
        definition: Some(definition_to_proto(&schedule.definition, currencies)),
        status: status.into(),
        next_due_ns: schedule.next.map_or(0, |next| next.due_ns),
        runs_begun: schedule.last_run,
        runs: schedule.runs.iter().map(run_to_proto).chain(running).collect(),
        defined_lsn: schedule.defined_lsn.0,
    }
}

/// What would become of something asked of schedules, judged as of this event.
#[must_use]
pub fn dry_schedule(
    dry: &DrySchedule,
    answers: Option<&Answers>,
    as_of: Lsn,
    currencies: &Currencies,
) -> proto::ScheduleResponse {
    let mut schedule = schedule_to_proto(&dry.schedule, currencies);
    let is_there = dry.schedule.defined_lsn <= as_of;
    if !is_there {
        schedule.defined_lsn = 0;
    }
    proto::ScheduleResponse {
        schedule: Some(schedule),
        changed: dry.changed,
        dry_run: true,
        dry_run_lsn: as_of.0,
        upcoming_ns: dry.upcoming.clone(),
        transfer: dry_outcome(dry.request.as_ref(), answers, is_there, currencies),
    }
}

fn running_to_proto(schedule: &Schedule, running: Running) -> proto::ScheduleRun {
    let Running { run, due_ns, by_hand, attempt, stage } = running;
    let transfer = schedule.transfer_id(run, attempt);
    let (state, time_ns) = match stage.retry() {
        None => (RunState::Asked, 0),
        Some((at_ns, _)) => (RunState::WaitingForFunds, at_ns),
    };
    proto::ScheduleRun {
        run,
        due_ns,
        by_hand,
        attempts: u32::from(attempt),
        state: state.into(),
        transfer_id: transfer.low(),
        transfer_id_high: transfer.high(),
        time_ns,
        ..proto::ScheduleRun::default()
    }
}

fn run_to_proto(run: &Run) -> proto::ScheduleRun {
    let (state, code) = match run.end {
        RunEnd::Posted => (RunState::Posted, 0),
        RunEnd::Refused(rejection) => (RunState::Refused, rejection.number()),
        RunEnd::IdTaken => (RunState::IdTaken, 0),
    };
    proto::ScheduleRun {
        run: run.run,
        due_ns: run.due_ns,
        by_hand: run.by_hand,
        attempts: u32::from(run.attempts),
        state: state.into(),
        transfer_id: run.transfer.low(),
        transfer_id_high: run.transfer.high(),
        code: i32::from(code),
        lsn: run.lsn.0,
        time_ns: run.time_ns,
    }
}

fn definition_to_proto(
    definition: &Definition,
    currencies: &Currencies,
) -> proto::ScheduleDefinition {
    let Definition { id, label, payment, calendar, start_ns, end_ns, runs_max, .. } = definition;
    let missed = match definition.missed {
        Missed::RunAll => proto::Missed::RunAll,
        Missed::RunOnce => proto::Missed::RunOnce,
        Missed::Skip => proto::Missed::Skip,
    };
    let seconds = |ns: u64| u32::try_from(ns / SECOND_NS).unwrap_or(u32::MAX);
    proto::ScheduleDefinition {
        id: id.low(),
        id_high: id.high(),
        label: label.clone(),
        transfer: Some(payment_to_proto(payment, currencies)),
        calendar: Some(calendar_to_proto(calendar)),
        start_ns: *start_ns,
        end_ns: if *end_ns == NEVER_NS { 0 } else { *end_ns },
        runs_max: *runs_max,
        retries: u32::from(definition.retry.times),
        retry_after_s: seconds(definition.retry.every_ns),
        missed: missed.into(),
        grace_s: seconds(definition.grace_ns),
    }
}

fn calendar_to_proto(calendar: &Calendar) -> proto::ScheduleCalendar {
    let rule = match &calendar.rule {
        Rule::Once => None,
        Rule::Cron(expression) => Some(RuleProto::Cron(expression.clone())),
        Rule::Days { every } => Some(RuleProto::EveryDays(u32::from(*every))),
        Rule::Weeks { every, weekdays } => Some(RuleProto::Weekly(proto::WeeklyRule {
            every: u32::from(*every),
            weekdays: weekday_numbers(*weekdays),
        })),
        Rule::Months { every, day } => Some(RuleProto::Monthly(proto::MonthlyRule {
            every: u32::from(*every),
            day: u32::from(*day),
        })),
    };
    let roll = match calendar.roll {
        Roll::Stay => proto::Roll::Stay,
        Roll::Following => proto::Roll::Following,
        Roll::Preceding => proto::Roll::Preceding,
        Roll::ModifiedFollowing => proto::Roll::ModifiedFollowing,
        Roll::Skip => proto::Roll::Skip,
    };
    proto::ScheduleCalendar {
        rule,
        time_zone: calendar.zone.clone(),
        time_of_day_s: calendar.time_of_day_s,
        roll: roll.into(),
        weekend: weekday_numbers(calendar.weekend),
        holidays: calendar.holidays.iter().map(|number| day(*number)).collect(),
    }
}

const _: () = assert!(SECOND_NS == 1_000 * MILLISECOND_NS);

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> proto::ScheduleDefinition {
        proto::ScheduleDefinition {
            id: 7,
            label: "rent".to_owned(),
            transfer: Some(proto::PlannedTransfer {
                debit_account: 2,
                credit_account: 3,
                amount: "850.50".to_owned(),
                currency: "GBP".to_owned(),
                ..Default::default()
            }),
            calendar: Some(proto::ScheduleCalendar {
                rule: Some(RuleProto::Monthly(proto::MonthlyRule { every: 1, day: 31 })),
                time_zone: "Europe/London".to_owned(),
                time_of_day_s: 32_400,
                roll: proto::Roll::ModifiedFollowing.into(),
                weekend: vec![6, 7],
                holidays: vec!["2026-12-25".to_owned(), "2026-12-28".to_owned()],
            }),
            start_ns: 5_000_000_000,
            end_ns: 9_000_000_000,
            runs_max: 12,
            retries: 3,
            retry_after_s: 3_600,
            missed: proto::Missed::RunOnce.into(),
            grace_s: 60,
            ..Default::default()
        }
    }

    #[test]
    fn a_definition_comes_back_as_it_was_sent() {
        let currencies = Currencies::new();
        let read = schedule(Some(asked()), &currencies).expect("well-formed");
        assert_eq!(read.payment.amount, 85_050);
        assert_eq!(definition_to_proto(&read, &currencies), asked());
        for rule in [
            None,
            Some(RuleProto::Cron("0 9 * * *".to_owned())),
            Some(RuleProto::EveryDays(14)),
            Some(RuleProto::Weekly(proto::WeeklyRule { every: 2, weekdays: vec![1, 5] })),
        ] {
            let mut asked = asked();
            asked.calendar.as_mut().expect("there").rule = rule;
            let read = schedule(Some(asked.clone()), &currencies).expect("well-formed");
            assert_eq!(definition_to_proto(&read, &currencies), asked);
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut wrong = asked();
        wrong.id = 0;
        wrong.retries = 1_001;
        wrong.missed = 9;
        let transfer = wrong.transfer.as_mut().expect("there");
        (transfer.debit_account, transfer.kind) = (0, 77);
        transfer.amount = "1.234".to_owned();
        let calendar = wrong.calendar.as_mut().expect("there");
        calendar.weekend = vec![8];
        calendar.holidays = vec!["Christmas".to_owned()];
        calendar.roll = 9;
        let violations = schedule(Some(wrong), &Currencies::new()).expect_err("malformed");
        let fields: Vec<_> = violations.listed().iter().map(|v| v.field.as_str()).collect();
        let expected = [
            "definition.id",
            "definition.transfer.debit_account",
            "definition.transfer.kind",
            "definition.transfer.amount",
            "definition.calendar.roll",
            "definition.calendar.weekend",
            "definition.calendar.holidays[0]",
            "definition.retries",
            "definition.missed",
        ];
        assert_eq!(fields, expected);
        let empty = schedule(None, &Currencies::new()).expect_err("nothing is there");
        assert_eq!(empty.reason(), "SCHEDULE_ID_ZERO");
    }
}
