//! Schedules as people and scripts read them.

use crate::exit::Failure;
use crate::output;
use crate::transfer::{OutcomeLine, Units, facts_of_next, outcome_line};
use ducat_api::proto::{self, RunState, ScheduleStatus, schedule_calendar::Rule};
use serde::Serialize;

/// A schedule as scripts read it.
#[derive(Serialize)]
struct ScheduleLine<'a> {
    id: String,
    label: &'a str,
    status: &'static str,
    from: String,
    to: String,
    amount: &'a str,
    currency: &'a str,
    rule: String,
    zone: &'a str,
    next_due: Option<String>,
    runs_begun: u64,
    runs: Vec<RunLine>,
}

/// What would become of a schedule, as scripts read it.
#[derive(Serialize)]
struct DryLine<'a> {
    #[serde(flatten)]
    schedule: ScheduleLine<'a>,
    dry_run: bool,
    dry_run_lsn: u64,
    changed: bool,
    upcoming: Vec<String>,
    transfer: Option<OutcomeLine<'a>>,
}

/// A run as scripts read it.
#[derive(Serialize)]
struct RunLine {
    run: u64,
    due: String,
    by_hand: bool,
    attempts: u32,
    state: &'static str,
    code: Option<&'static str>,
    transfer: String,
    lsn: Option<u64>,
    time: Option<String>,
}

fn status_name(status: ScheduleStatus) -> &'static str {
    match status {
        ScheduleStatus::Unspecified => "unknown",
        ScheduleStatus::Active => "active",
        ScheduleStatus::Paused => "paused",
        ScheduleStatus::Ended => "ended",
        ScheduleStatus::Cancelled => "cancelled",
    }
}

fn run_name(state: RunState) -> &'static str {
    match state {
        RunState::Unspecified => "unknown",
        RunState::Asked => "asked",
        RunState::WaitingForFunds => "waiting-for-funds",
        RunState::Posted => "posted",
        RunState::Refused => "refused",
        RunState::IdTaken => "id-taken",
    }
}

/// A rule in words.
fn rule_text(calendar: &proto::ScheduleCalendar) -> String {
    let every = |every: u32, unit: &str| match every {
        0 | 1 => format!("every {unit}"),
        every => format!("every {every} {unit}s"),
    };
    let (seconds, day) = (calendar.time_of_day_s, |day: &u32| {
        let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let at = usize::try_from(*day).unwrap_or(0).wrapping_sub(1);
        names.get(at).copied().unwrap_or("?")
    });
    let time = format!("at {:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    let text = match &calendar.rule {
        None => return "once".to_owned(),
        Some(Rule::Cron(expression)) => format!("cron {expression}"),
        Some(Rule::EveryDays(days)) => format!("{} {time}", every(*days, "day")),
        Some(Rule::Weekly(weekly)) => {
            let days: Vec<_> = weekly.weekdays.iter().map(day).collect();
            format!("{} on {} {time}", every(weekly.every, "week"), days.join(", "))
        }
        Some(Rule::Monthly(monthly)) => {
            let day = match monthly.day {
                31 => "the last day".to_owned(),
                day => format!("day {day}"),
            };
            format!("{} on {day} {time}", every(monthly.every, "month"))
        }
    };
    let roll = match calendar.roll() {
        proto::Roll::Stay => "",
        proto::Roll::Following => ", the next business day",
        proto::Roll::Preceding => ", the business day before",
        proto::Roll::ModifiedFollowing => ", the next business day of the month",
        proto::Roll::Skip => ", business days only",
    };
    text + roll
}

impl RunLine {
    fn new(run: &proto::ScheduleRun) -> Self {
        let refused = run.state() == RunState::Refused;
        Self {
            run: run.run,
            due: output::time(run.due_ns),
            by_hand: run.by_hand,
            attempts: run.attempts,
            state: run_name(run.state()),
            code: refused.then(|| output::code_name(run.code)),
            transfer: output::transfer_id(run.transfer_id_high, run.transfer_id),
            lsn: (run.lsn > 0).then_some(run.lsn),
            time: (run.time_ns > 0).then(|| output::time(run.time_ns)),
        }
    }
}

impl<'a> ScheduleLine<'a> {
    fn new(schedule: &'a proto::Schedule, definition: &'a proto::ScheduleDefinition) -> Self {
        let none = (None, None);
        let (transfer, calendar) = match (&definition.transfer, &definition.calendar) {
            (Some(transfer), Some(calendar)) => (Some(transfer), Some(calendar)),
            _ => none,
        };
        let account = |high, low| output::account_id(high, low);
        Self {
            id: output::transfer_id(definition.id_high, definition.id),
            label: &definition.label,
            status: status_name(schedule.status()),
            from: transfer.map_or_else(String::new, |transfer| {
                account(transfer.debit_account_high, transfer.debit_account)
            }),
            to: transfer.map_or_else(String::new, |transfer| {
                account(transfer.credit_account_high, transfer.credit_account)
            }),
            amount: transfer.map_or("", |transfer| &transfer.amount),
            currency: transfer.map_or("", |transfer| &transfer.currency),
            rule: calendar.map(rule_text).unwrap_or_default(),
            zone: calendar.map_or("", |calendar| &calendar.time_zone),
            next_due: (schedule.next_due_ns > 0).then(|| output::time(schedule.next_due_ns)),
            runs_begun: schedule.runs_begun,
            runs: schedule.runs.iter().map(RunLine::new).collect(),
        }
    }
}

/// One schedule with its runs; of a dry run, with its answer and what its balances are written in.
pub fn schedule_text(
    schedule: &proto::Schedule,
    dry: Option<(&proto::ScheduleResponse, &Units)>,
    json: bool,
) -> Result<String, Failure> {
    let definition = schedule.definition.clone().unwrap_or_default();
    let line = ScheduleLine::new(schedule, &definition);
    if json {
        return match dry {
            None => output::json(&line),
            Some((answer, units)) => output::json(&DryLine {
                schedule: line,
                dry_run: true,
                dry_run_lsn: answer.dry_run_lsn,
                changed: answer.changed,
                upcoming: answer.upcoming_ns.iter().copied().map(output::time).collect(),
                transfer: answer.transfer.as_ref().map(|told| outcome_line(told, units)),
            }),
        };
    }
    let mut facts = vec![
        ("schedule", line.id),
        ("status", line.status.to_owned()),
        ("pays", format!("{} {} from {} to {}", line.amount, line.currency, line.from, line.to)),
        ("when", format!("{} ({})", line.rule, line.zone)),
        ("next", line.next_due.unwrap_or_else(|| "never".to_owned())),
        ("runs", line.runs_begun.to_string()),
    ];
    if !line.label.is_empty() {
        facts.insert(1, ("label", line.label.to_owned()));
    }
    if let Some((answer, units)) = dry {
        if !answer.changed {
            facts.push(("change", "none: it is so already".to_owned()));
        }
        let upcoming = answer.upcoming_ns.iter().copied().map(output::time).enumerate();
        facts.extend(upcoming.map(|(at, due)| (if at == 0 { "upcoming" } else { "" }, due)));
        let told = answer.transfer.as_ref();
        facts.extend(told.map(|told| facts_of_next(told, units, "transfer")).unwrap_or_default());
    }
    let mut text = output::facts(facts);
    if !line.runs.is_empty() {
        let rows = line.runs.into_iter().map(|run| {
            let hand = if run.by_hand { "by hand" } else { "" };
            let state = run.code.map_or(run.state, |code| code);
            let lsn = run.lsn.map(|lsn| lsn.to_string()).unwrap_or_default();
            let attempts = run.attempts.to_string();
            vec![run.run.to_string(), run.due, attempts, state.to_owned(), lsn, hand.to_owned()]
        });
        let header = ["run", "due", "attempts", "outcome", "LSN", ""];
        text = format!("{text}\n\n{}", output::table(&header, &[0, 2, 4], rows.collect()));
    }
    Ok(text)
}

/// A list of schedules.
pub fn schedules_text(schedules: &[proto::Schedule], json: bool) -> Result<String, Failure> {
    let definitions: Vec<_> =
        schedules.iter().map(|schedule| schedule.definition.clone().unwrap_or_default()).collect();
    let lines = schedules.iter().zip(&definitions);
    let lines = lines.map(|(schedule, definition)| ScheduleLine::new(schedule, definition));
    if json {
        let lines: Result<Vec<String>, Failure> = lines.map(|line| output::json(&line)).collect();
        return Ok(lines?.join("\n"));
    }
    let rows = lines.map(|line| {
        let pays = format!("{} {}", line.amount, line.currency);
        let next = line.next_due.unwrap_or_else(|| "never".to_owned());
        let (status, runs) = (line.status.to_owned(), line.runs_begun.to_string());
        vec![line.id, status, line.from, line.to, pays, next, runs, line.label.to_owned()]
    });
    let header = ["id", "status", "from", "to", "amount", "next", "runs", "label"];
    Ok(output::table(&header, &[0, 4, 6], rows.collect()))
}
