//! One run: clients and operators play a script against the machines, messages and appends come
//! in any order, the disk fails, the plug is pulled, clients ask again, and the serial model says
//! what every answer and every account must be. Then the faults stop, and everything must drain.
//!
//! ```text
//! script ─▶ arrived ─▶ shell ─▶ waiting ─▶ append ─▶ answers ─▶ equal to the model?
//!              ▲                      crash ─▶ start (snapshot, journal) ─┐
//!              └──── unanswered, and some answered, again ◀───────────────┘
//! ```
//!
//! * `checks`: answers and states against the model;
//! * `steps`: the journal, snapshots and the clock, step by step;
//! * `start`: crashes, damage and starts;
//! * `sagas`: sagas, and what they must have come to; `schedules`: schedules, likewise.

mod checks;
mod sagas;
mod schedules;
mod start;
mod steps;

use crate::disk::{Rates, Shared};
use crate::faults::Fault;
use crate::journal::{self, SimJournal};
use crate::plan::{Crashes, Plan};
use crate::report::Report;
use crate::shell::{Concluded, Shell};
use crate::snapshots::{Taking, Writing};
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::model::SerialLedger;
use ducat_engine::request::Request;
use ducat_engine::testing::book::Book;
use ducat_engine::testing::rng::Rng;
use ducat_engine::testing::workload::{self, Step};
use ducat_engine::transfer::{AccountStatus, Outcome};
use ducat_persistence::{AppendBuffer, LedgerId, Writer};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Steps of a whole run at most: more means that it never ends.
const STEPS_MAX: u64 = 100_000;

/// Most crashes between two steps of one run: a machine that is always killed before a long batch
/// ends, as some seeds have it, gets nowhere, which is nobody's fault.
const CRASHES_MAX: u64 = 400;
/// Steps in which everything drains once faults have stopped, beside so many for each submission.
const DRAIN_STEPS: u64 = 1_000;
const DRAIN_STEPS_EACH: u64 = 500;

thread_local! {
    static TRACED: Cell<bool> = const { Cell::new(false) };
    static TRACE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes a line of the trace, when one is wanted.
fn note(line: impl FnOnce() -> String) {
    if TRACED.get() {
        TRACE.with_borrow_mut(|trace| trace.push(line()));
    }
}

/// The trace of this thread's last run.
#[must_use]
pub fn last_trace() -> Vec<String> {
    TRACE.with_borrow(Clone::clone)
}

/// What is wrong, and how it came about.
#[derive(Clone, Debug)]
pub struct Failure {
    pub why: String,
    pub trace: Vec<String>,
}

struct Attempt {
    submission: usize,
    expected: Vec<Outcome>,
}

struct Submission {
    requests: Vec<Request>,
    told: bool,
    /// Nobody waits for the answer any more.
    abandoned: bool,
    /// A saga asks for it, and nobody else.
    driven: bool,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Next,
    TakeBatch,
    Partition(usize),
    Coordinator(usize),
    Append,
    Acknowledge,
    Give(usize),
    GiveHolds,
    GiveProfiles,
    GiveRefunds,
    GiveDriven,
    GiveIds,
    Encode,
    WriteSnapshot,
    DefineSchedule,
    TellSchedule,
    StartSaga,
    TellSaga,
    Drive,
}

/// An append that is durable and not told yet.
struct Flying {
    releases: Vec<Concluded>,
    lsn: Lsn,
}

struct World<'a> {
    plan: &'a Plan,
    rng: Rng,
    shell: Shell,
    model: SerialLedger,
    /// The model after each number of events at which an append may end.
    models: BTreeMap<u64, SerialLedger>,
    script: VecDeque<Step>,
    /// What operators did and were not told yet, with the number of its event.
    operations: Vec<(u64, Step)>,
    submissions: Vec<Submission>,
    attempts: Vec<Attempt>,
    arrived: VecDeque<usize>,
    disk: Shared,
    journal: SimJournal,
    writer: Box<dyn Writer>,
    epoch: u64,
    waiting: AppendBuffer,
    waiting_releases: Vec<Concluded>,
    flying: Option<Flying>,
    taking: Option<Taking>,
    writing: Option<Writing>,
    acknowledged: HashMap<TransferId, Outcome>,
    acknowledged_lsn: u64,
    sagas_started: usize,
    schedules_defined: usize,
    /// How often something was asked of schedules.
    schedules_told: usize,
    now_ns: u64,
    faulty: bool,
    /// How often it was killed between two steps.
    crashes_between: u64,
    report: Report,
}

fn ledger_id() -> LedgerId {
    LedgerId::from_bytes([3; 16])
}

/// The model of the world at its beginning.
fn beginning(remember_ns: u64) -> SerialLedger {
    let mut model = SerialLedger::forgetting(remember_ns);
    for spec in workload::accounts() {
        model.open_account(&spec);
    }
    let (debit, credit, amount) = workload::edge();
    let lsn = model.set_status(credit, AccountStatus::Active, "").expect("it exists");
    model.force(lsn, debit, credit, amount.try_into().expect("in range"));
    model
}

/// Plays a plan to its end.
///
/// # Errors
/// What differs from what must be.
pub fn play(plan: &Plan, traced: bool) -> Result<Report, Failure> {
    TRACED.set(traced);
    TRACE.with_borrow_mut(Vec::clear);
    let played = play_all(plan);
    played.map_err(|why| Failure { why, trace: last_trace() })
}

fn play_all(plan: &Plan) -> Result<Report, String> {
    let mut world = World::new(plan)?;
    world.run(STEPS_MAX)?;
    // Faults stop; what is on its way may still be lost, once.
    world.faulty = false;
    world.crash()?;
    let mut unsure = Vec::new();
    for at in 0..world.submissions.len() {
        let told = world.submissions[at].told;
        let client = told && !world.submissions[at].driven;
        if client && world.rng.once_in(3) && !world.arrived.contains(&at) {
            unsure.push(at);
        }
    }
    world.arrived.extend(unsure);
    let all =
        (world.arrived.len() + world.script.len() + 20 * (plan.sagas + plan.schedules)) as u64;
    world.run(DRAIN_STEPS + DRAIN_STEPS_EACH * all)?;
    world.check_end()?;
    Ok(world.report)
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Result<Self, String> {
        let mut rng = Rng::new(plan.seed);
        let disk = Shared::new(rng.next());
        journal::format(&disk, ledger_id()).map_err(|error| error.to_string())?;
        let model = beginning(plan.remember_ns);
        let remember_ns = remembered(plan);
        let shell = Shell::new(Book::new(plan.partitions, remember_ns), plan.fault);
        let (journal, writer, tail) = start::open_empty(&disk, plan)?;
        let mut world = Self {
            plan,
            rng,
            models: BTreeMap::from([(model.last_lsn().0, model.clone())]),
            model,
            script: plan.script.iter().cloned().collect(),
            operations: Vec::new(),
            submissions: Vec::new(),
            attempts: Vec::new(),
            arrived: VecDeque::new(),
            disk,
            journal,
            writer,
            epoch: tail.epoch.0,
            waiting: AppendBuffer::new(),
            waiting_releases: Vec::new(),
            flying: None,
            taking: None,
            writing: None,
            acknowledged: HashMap::new(),
            acknowledged_lsn: 0,
            sagas_started: 0,
            schedules_defined: 0,
            schedules_told: 0,
            now_ns: 1_000,
            faulty: false,
            crashes_between: 0,
            report: Report { seeds: 1, ..Report::default() },
            shell,
        };
        let events = world.shell.book.events.clone();
        steps::push(&mut world.waiting, &events)?;
        world.append()?;
        world.acknowledge()?;
        world.faulty = true;
        world.set_rates();
        Ok(world)
    }

    fn set_rates(&mut self) {
        let rates = if self.faulty { self.plan.rates } else { Rates::default() };
        self.disk.lock().rates = rates;
    }

    fn run(&mut self, most: u64) -> Result<(), String> {
        let mut actions = Vec::new();
        let first = self.report.steps;
        loop {
            self.maybe_begin_snapshot();
            self.possible(&mut actions);
            if actions.is_empty() {
                return Ok(());
            }
            let choice = self.rng.below(actions.len());
            self.report.trace(choice as u64);
            let action = actions[choice];
            note(|| format!("{:>5} {action:?}", self.report.steps));
            self.act(action)?;
            let step = self.report.steps;
            self.report.steps += 1;
            if step - first > most {
                return Err(format!("it does not come to an end: {} wait", self.arrived.len()));
            }
            let crash = self.faulty
                && match self.plan.crashes {
                    Crashes::AtEnd => false,
                    Crashes::After(at) => step == at as u64,
                    Crashes::OnceIn(times) => {
                        self.rng.once_in(times) && self.crashes_between < CRASHES_MAX
                    }
                };
            if crash {
                self.crashes_between += 1;
                self.report.count("crash between steps");
                self.crash()?;
            }
        }
    }

    fn possible(&self, actions: &mut Vec<Action>) {
        actions.clear();
        let quiet = self.shell.is_quiet() && self.arrived.is_empty();
        match self.script.front() {
            Some(Step::Submit(_)) if self.plan.patient => {
                actions.extend(self.arrived.is_empty().then_some(Action::Next));
            }
            // More often than anything else, so that batches grow.
            Some(Step::Submit(_)) => actions.extend([Action::Next; 4]),
            // What operators do comes between batches.
            Some(_) if quiet => actions.push(Action::Next),
            _ => {}
        }
        let free = self.shell.is_free(self.plan.with_holds);
        if !self.arrived.is_empty() && free && self.shell.in_flight() < 3 {
            actions.push(Action::TakeBatch);
        }
        for at in 0..self.shell.partitions() {
            if self.shell.partition_can_step(at) {
                actions.push(Action::Partition(at));
            }
            if self.shell.coordinator_can_step(at) {
                actions.push(Action::Coordinator(at));
            }
        }
        self.possible_snapshot_steps(actions);
        if self.flying.is_some() {
            actions.push(Action::Acknowledge);
        } else if !self.waiting.is_empty() || !self.waiting_releases.is_empty() {
            let full = self.waiting.frame_count() >= self.plan.lazy;
            if full || actions.is_empty() {
                actions.push(Action::Append);
            }
        }
        self.possible_saga_steps(actions);
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Next => match self.script.pop_front().expect("a step") {
                Step::Submit(requests) => {
                    self.arrived.push_back(self.submissions.len());
                    let (told, abandoned, driven) = (false, false, false);
                    self.submissions.push(Submission { requests, told, abandoned, driven });
                }
                Step::Wait(ns) => self.wait(ns),
                operation => self.operate(operation)?,
            },
            Action::TakeBatch => self.take_batch(),
            Action::Partition(at) => {
                self.shell.step_partition(at).map_err(|why| format!("impossible: {why}"))?;
            }
            Action::Coordinator(at) => {
                if let Some(concluded) = self.shell.step_coordinator(at) {
                    if self.shell.in_flight() == 0 {
                        self.check_state()?;
                    }
                    self.conclude(concluded)?;
                }
            }
            Action::Append => self.append()?,
            Action::Acknowledge => self.acknowledge()?,
            Action::StartSaga | Action::TellSaga | Action::Drive => self.saga_step(action)?,
            Action::DefineSchedule | Action::TellSchedule => self.schedule_step(action)?,
            other => self.snapshot_step(other)?,
        }
        Ok(())
    }

    fn take_batch(&mut self) {
        let now_ns = self.tick();
        let many = 1 + self.rng.below(self.arrived.len());
        let mut batch = Vec::with_capacity(many);
        for submission in self.arrived.drain(..many).collect::<Vec<_>>() {
            if self.faulty && !self.submissions[submission].driven && self.rng.once_in(12) {
                // The caller has gone, or its deadline has passed: dropped undecided.
                self.submissions[submission].abandoned = true;
                self.report.count("dropped before the decision");
                continue;
            }
            let requests = self.submissions[submission].requests.clone();
            let before = self.model.known_ids();
            let expected = self.model.submit(now_ns, &requests);
            if self.model.known_ids() < before {
                self.report.count("ids forgotten");
            }
            batch.push((self.attempts.len(), requests));
            self.attempts.push(Attempt { submission, expected });
        }
        if batch.is_empty() {
            return;
        }
        self.keep_model();
        note(|| format!("      {} submissions at {now_ns} ns", batch.len()));
        self.shell.submit(now_ns, batch);
    }

    /// Time passes, and what has expired by then does so without a request.
    fn wait(&mut self, ns: u64) {
        self.now_ns += ns;
        if self.model.open_holds() == 0 {
            return;
        }
        let now_ns = self.tick();
        let before = self.model.last_lsn();
        self.model.expire(now_ns);
        let expired = self.model.last_lsn().0 - before.0;
        self.report.count_many("holds expired without a request", expired);
        self.keep_model();
        self.shell.submit(now_ns, Vec::<(usize, Vec<Request>)>::new());
    }

    fn keep_model(&mut self) {
        let model = &self.model;
        self.models.entry(model.last_lsn().0).or_insert_with(|| model.clone());
    }

    fn operate(&mut self, step: Step) -> Result<(), String> {
        let now_ns = self.tick();
        let before = self.shell.book.events.len();
        let (got, expected) = match &step {
            Step::SetStatus(id, status, why) => (
                format!("{:?}", self.shell.set_status(now_ns, *id, *status, why)),
                format!("{:?}", self.model.set_status(*id, *status, why)),
            ),
            Step::ChangeProfile(id, change) => (
                format!("{:?}", self.shell.book.change_profile(now_ns, *id, change)),
                format!("{:?}", self.model.change_profile(*id, change)),
            ),
            Step::ChangeLimits(id, change) => (
                format!("{:?}", self.shell.book.change_limits(now_ns, *id, change)),
                format!("{:?}", self.model.change_limits(*id, change)),
            ),
            Step::Open(opening) => {
                let opened = self.shell.book.open_with(now_ns, opening);
                (format!("{opened:?}"), format!("{:?}", self.model.open_with(opening)))
            }
            Step::Define(code, digits) => {
                let defined = self.model.define_asset(code, *digits);
                let defined = defined.map(|(_, lsn)| lsn).map_err(|why| why.to_string());
                let got = self.shell.book.define(now_ns, code, *digits);
                (format!("{got:?}"), format!("{defined:?}"))
            }
            Step::Fee(step) => (
                format!("{:?}", self.shell.book.fee(now_ns, step)),
                format!("{:?}", self.model.fee(step)),
            ),
            Step::Submit(_) | Step::Wait(_) => unreachable!("clients submit, and wait for nothing"),
        };
        if got != expected {
            return Err(format!("{step:?}: got {got}, expected {expected}"));
        }
        let events = self.shell.book.events[before..].to_vec();
        if let Some(event) = events.last() {
            self.model.time(now_ns);
            self.operations.push((event.lsn.0, step));
            self.keep_model();
            self.report.count("operations");
            let lsn = event.lsn;
            self.conclude(Concluded { answers: Vec::new(), events, lsn })?;
        }
        self.check_state()
    }
}

/// How long the machines remember ids.
fn remembered(plan: &Plan) -> u64 {
    match plan.fault {
        Fault::ForgetTooEarly => plan.remember_ns / 4,
        _ => plan.remember_ns,
    }
}
