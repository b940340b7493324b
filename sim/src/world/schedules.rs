//! Schedules in the simulated world: defined, paused, run by hand and cancelled by whoever runs them,
//! driven on by the coordinator beside the sagas, over crashes, snapshots and clocks that jump. That
//! each occurrence ran once and no other, the journal's events alone must tell.

use super::{Action, World};
use ducat_engine::driven::DrivenEvent;
use ducat_engine::ids::{Lsn, ScheduleId, TransferId};
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::NEVER_NS;
use ducat_engine::schedules::calendar::{Calendar, Roll, Rule};
use ducat_engine::schedules::{
    Definition, Missed, Retry, RunEnd, Schedule, ScheduleChange, ScheduleCommand, ScheduleEvent,
    Status,
};
use ducat_engine::testing::book::Event;
use ducat_engine::testing::rng::Rng;
use std::collections::HashMap;
use std::sync::Arc;

/// Between two occurrences of every schedule: a minute.
const MINUTE_NS: u64 = 60_000_000_000;

/// What operators ask of schedules, at most so often for each.
const COMMANDS_EACH: usize = 3;

/// Some schedule of few runs, one a minute.
fn definition(rng: &mut Rng, number: u128) -> Definition {
    let missed = [Missed::RunAll, Missed::RunAll, Missed::RunOnce, Missed::Skip][rng.below(4)];
    Definition {
        id: ScheduleId::new(number).expect("not zero"),
        label: String::new(),
        payment: super::sagas::payment(rng),
        calendar: Calendar {
            rule: Rule::Cron("* * * * *".to_owned()),
            zone: "UTC".to_owned(),
            time_of_day_s: 0,
            roll: Roll::Stay,
            weekend: 0,
            holidays: Vec::new(),
        },
        start_ns: 0,
        end_ns: NEVER_NS,
        runs_max: 1 + rng.below(4) as u32,
        retry: Retry { times: rng.below(3) as u16, every_ns: 1_000_000_000 },
        missed,
        grace_ns: [1_000, 2 * MINUTE_NS][rng.below(2)],
    }
}

/// An attempt of a run, as the journal has its beginning.
struct Begun {
    run: u64,
    attempt: u16,
    due_ns: u64,
    by_hand: bool,
    transfer: TransferId,
    lsn: Lsn,
}

impl World<'_> {
    /// What can be done with schedules, nothing being on its way.
    pub(super) fn possible_schedule_steps(&self, actions: &mut Vec<Action>) {
        if self.schedules_defined < self.plan.schedules {
            actions.push(Action::DefineSchedule);
        }
        let goes_on =
            |schedule: &Arc<Schedule>| matches!(schedule.status, Status::Active | Status::Paused);
        let coordinator = &self.shell.book.ledger.coordinator;
        let may_tell = self.schedules_told < COMMANDS_EACH * self.plan.schedules;
        if may_tell && coordinator.schedules(None).any(goes_on) {
            actions.push(Action::TellSchedule);
        }
    }

    pub(super) fn schedule_step(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::DefineSchedule => self.define_schedule(),
            _ => self.tell_schedule(),
        }
    }

    fn define_schedule(&mut self) -> Result<(), String> {
        let now_ns = self.tick();
        self.schedules_defined += 1;
        let definition = definition(&mut self.rng, self.schedules_defined as u128);
        let decided = self.shell.book.ledger.coordinator.define_schedule(definition, now_ns);
        let decided = decided.map_err(|why| format!("a schedule: {why}"))?;
        self.report.count("schedules defined");
        self.driven(now_ns, decided.into_iter().collect(), Vec::new())
    }

    fn tell_schedule(&mut self) -> Result<(), String> {
        let all: Vec<ScheduleId> = {
            let schedules = self.shell.book.ledger.coordinator.schedules(None);
            schedules.map(|schedule| schedule.definition.id).collect()
        };
        let id = all[self.rng.below(all.len())];
        self.schedules_told += 1;
        let command = match self.rng.below(8) {
            0..2 => ScheduleCommand::Pause,
            2..4 => ScheduleCommand::Resume,
            4 => ScheduleCommand::Cancel,
            _ => ScheduleCommand::Run { number: None },
        };
        let now_ns = self.tick();
        let coordinator = &mut self.shell.book.ledger.coordinator;
        // Refused when it comes too late; the schedule's own rules are tested by name.
        let decided = coordinator.command_schedule(id, command, now_ns).ok().flatten();
        let requests = decided.iter().filter_map(|(_, record)| coordinator.asked_by(record));
        let requests = requests.collect();
        self.model.time(now_ns);
        self.driven(now_ns, decided.into_iter().collect(), requests)
    }

    /// Whether a schedule asks for this request.
    pub(super) fn is_of_schedule(&self, id: TransferId) -> bool {
        let schedules = self.shell.book.ledger.coordinator.schedules(None);
        schedules.filter_map(|schedule| schedule.asked()).any(|asked| asked.id == id)
    }

    /// Every schedule came to rest, and each of its runs was made once, when it was due.
    pub(super) fn check_schedules(&mut self) -> Result<(), String> {
        let schedules: Vec<_> =
            self.shell.book.ledger.coordinator.schedules(None).cloned().collect();
        if schedules.is_empty() {
            return Ok(());
        }
        let events = &self.shell.book.events;
        let mut decided: HashMap<TransferId, Vec<&Event>> = HashMap::new();
        for event in events {
            if let Some(id) = event.record.transfer_id() {
                decided.entry(id).or_default().push(event);
            }
        }
        let mut runs = 0;
        for schedule in schedules {
            // Paused, it does not try again what funds lacked for.
            let waits = schedule.status == Status::Paused
                && schedule.running.is_none_or(|run| run.stage.retry().is_some());
            let over = schedule.running.is_none() && schedule.status != Status::Active;
            if !waits && !over {
                return Err(format!("faults have stopped, and a schedule stands: {schedule:?}"));
            }
            let id = schedule.definition.id;
            let wrong = |why: String| format!("{why}: {schedule:?}");
            let (begun, resumed) = begun_of(events, id);
            check_calendar(&schedule, &begun, &resumed).map_err(wrong)?;
            check_runs(&schedule, &begun, &decided).map_err(wrong)?;
            runs += schedule.last_run;
        }
        self.report.count_many("runs of schedules", runs);
        Ok(())
    }
}

/// The attempts of a schedule in the order of the journal, and where its calendar was put on.
fn begun_of(events: &[Event], of: ScheduleId) -> (Vec<Begun>, Vec<Lsn>) {
    let (mut all, mut resumed) = (Vec::new(), Vec::new());
    for event in events {
        let Record::Driven(driven) = &event.record else { continue };
        let DrivenEvent::Schedule(ScheduleEvent { id, what }) = &**driven else { continue };
        if *id != of {
            continue;
        }
        match what {
            ScheduleChange::Begun { run, attempt, due_ns, by_hand, transfer, .. } => {
                all.push(Begun {
                    run: *run,
                    attempt: *attempt,
                    due_ns: *due_ns,
                    by_hand: *by_hand,
                    transfer: *transfer,
                    lsn: event.lsn,
                });
            }
            ScheduleChange::Resumed { .. } => resumed.push(event.lsn),
            _ => {}
        }
    }
    (all, resumed)
}

/// Each occurrence has one run at most, and where none may be left out, none is.
fn check_calendar(schedule: &Schedule, begun: &[Begun], resumed: &[Lsn]) -> Result<(), String> {
    let by_calendar: Vec<&Begun> =
        begun.iter().filter(|begun| begun.attempt == 1 && !begun.by_hand).collect();
    let Definition { runs_max, missed, .. } = schedule.definition;
    for pair in by_calendar.windows(2) {
        let (before, next) = (pair[0], pair[1]);
        let apart_ns = next.due_ns.saturating_sub(before.due_ns);
        let goes_on = resumed.iter().any(|lsn| (before.lsn..next.lsn).contains(lsn));
        let all = missed == Missed::RunAll && !goes_on;
        if apart_ns == 0 || apart_ns % MINUTE_NS != 0 || (all && apart_ns != MINUTE_NS) {
            return Err(format!(
                "runs {} and {} are due {apart_ns} ns apart",
                before.run, next.run
            ));
        }
    }
    let many = by_calendar.len();
    let ended = schedule.status == Status::Ended;
    let right = if ended { many == runs_max as usize } else { many <= runs_max as usize };
    if !right {
        return Err(format!("{many} runs by the calendar of {runs_max}"));
    }
    Ok(())
}

/// Every attempt was decided once, behind its beginning; a run goes on to another one only for lack
/// of funds; and what is kept of the runs is what happened.
fn check_runs(
    schedule: &Schedule,
    begun: &[Begun],
    decided: &HashMap<TransferId, Vec<&Event>>,
) -> Result<(), String> {
    let mut last = (0, 1, Some(Rejection::LinkedFailed));
    for Begun { run, attempt, transfer, lsn, .. } in begun {
        let found = decided.get(transfer).map_or(&[][..], Vec::as_slice);
        let [event] = found else {
            return Err(format!("run {run}, attempt {attempt} was decided {} times", found.len()));
        };
        let outcome = event.record.rejection();
        let again =
            matches!(last.2, Some(Rejection::InsufficientFunds | Rejection::DebitAccountFloor));
        let follows = match attempt {
            1 => *run == last.0 + 1,
            attempt => (*run, *attempt) == (last.0, last.1 + 1) && again,
        };
        if !follows || event.lsn <= *lsn {
            return Err(format!("run {run}, attempt {attempt} begins at {lsn} behind {last:?}"));
        }
        let amount = event.record.posting().map(|posted| posted.amount);
        if outcome.is_none() && amount != Some(schedule.definition.payment.amount) {
            return Err(format!("run {run} moved {amount:?}"));
        }
        last = (*run, *attempt, outcome);
    }
    // One that waits to be tried again knows what it was refused for, which it says when it is cancelled.
    let waits = schedule.running.and_then(|running| running.stage.retry());
    if waits.is_some_and(|(_, refused)| last.2 != Some(refused)) {
        return Err(format!("it waits behind {waits:?}, and was refused as {last:?}"));
    }
    let over = schedule.last_run - u64::from(schedule.running.is_some());
    if last.0 != schedule.last_run || schedule.runs.len() as u64 != over {
        return Err(format!("{} runs have begun", last.0));
    }
    for run in &schedule.runs {
        let attempts = begun.iter().filter(|begun| begun.run == run.run);
        let last = attempts.max_by_key(|begun| begun.attempt).expect("every run has begun");
        let event = decided[&last.transfer][0];
        let end = event.record.rejection().map_or(RunEnd::Posted, RunEnd::Refused);
        let of_cancelled = schedule.status == Status::Cancelled && run.end != RunEnd::Posted;
        if run.transfer != last.transfer
            || run.end != end
            || (run.lsn != event.lsn && !of_cancelled)
        {
            return Err(format!("{run:?} is another than event {}: {end:?}", event.lsn));
        }
    }
    Ok(())
}
