//! One run: clients and operators play a script against the shell, messages and syncs come
//! in any order, the plug is pulled, clients ask again, and the serial model says what every
//! answer and every account must be.
//!
//! ```text
//! script ─▶ arrived ─▶ shell ─▶ concluded ─▶ disk ─ synced ─▶ answers ─▶ equal to the model?
//!              ▲                    crash ─▶ recover ─▶ replay ─┐
//!              └──── unanswered, and some answered, again ◀─────┘
//! ```
//!
//! Everything follows from the case: which step comes next is drawn from its seed.

use super::disk::Disk;
use super::rng::Rng;
use super::same_outcomes;
use super::shell::{Concluded, Fault, Shell, replay};
use super::workload::Step;
use ducat_engine::ids::TransferId;
use ducat_engine::model::SerialLedger;
use ducat_engine::rejection::Rejection;
use ducat_engine::repeat::stored_outcome;
use ducat_engine::transfer::{AccountOutcome, Outcome, TransferRequest};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// When the plug is pulled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crashes {
    /// Only once, at the end.
    AtEnd,
    /// After this step, counted from 0.
    After(usize),
    /// After any step, once in so many.
    OnceIn(usize),
}

/// A run, wholly.
#[derive(Clone, Debug)]
pub struct Case {
    pub script: Vec<Step>,
    pub partitions: usize,
    pub seed: u64,
    pub crashes: Crashes,
    /// Whether what was not synced may survive in part, or is simply gone.
    pub torn: bool,
    pub fault: Fault,
}

/// What a run was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    pub steps: usize,
    pub crashes: usize,
    pub outcomes: usize,
    pub repeats: usize,
    /// How often each rule refused, by its number; at 0 what was posted.
    pub refusals: [usize; 17],
    /// Rounds of votes beyond the first of each batch.
    pub rounds: usize,
    pub events: usize,
    /// A hash of every step and every answer.
    pub trace: u64,
}

struct Attempt {
    submission: usize,
    expected: Vec<Outcome>,
}

struct Submission {
    requests: Vec<TransferRequest>,
    /// What was answered last.
    told: Option<Vec<Outcome>>,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Next,
    TakeBatch,
    Partition(usize),
    Coordinator(usize),
    Append,
    Sync,
}

struct Player<'a> {
    case: &'a Case,
    rng: Rng,
    shell: Shell,
    model: SerialLedger,
    /// The model after each number of events at which an append may end.
    snapshots: BTreeMap<u64, SerialLedger>,
    script: VecDeque<Step>,
    /// What operators did that is not durable yet, with the number of its event.
    operations: Vec<(u64, Step)>,
    submissions: Vec<Submission>,
    attempts: Vec<Attempt>,
    arrived: VecDeque<usize>,
    concluded: Vec<Concluded>,
    written: Vec<Concluded>,
    disk: Disk,
    acknowledged: HashMap<TransferId, Outcome>,
    now_ns: u64,
    report: Report,
}

/// Plays a case to its end; the error says what differs from the model.
pub fn play(case: &Case) -> Result<Report, String> {
    let mut player = Player::new(case);
    player.run()?;
    player.crash()?;
    // Clients that are not sure ask again, long after.
    for at in 0..player.submissions.len() {
        if player.rng.once_in(2) {
            player.arrived.push_back(at);
        }
    }
    player.run()?;
    player.check_end()?;
    Ok(player.report)
}

impl<'a> Player<'a> {
    fn new(case: &'a Case) -> Self {
        let mut model = SerialLedger::new();
        for spec in super::workload::accounts() {
            model.open_account(&spec);
        }
        let (debit, credit, amount) = super::workload::edge();
        let active = ducat_engine::transfer::AccountStatus::Active;
        let lsn = model.set_status(credit, active).expect("it exists");
        model.force(lsn, debit, credit, amount.try_into().expect("in range"));
        let shell = Shell::new(case.partitions, case.fault);
        let mut disk = Disk::default();
        disk.append(&shell.events);
        disk.sync();
        Self {
            case,
            rng: Rng::new(case.seed),
            shell,
            snapshots: BTreeMap::from([(model.last_lsn().0, model.clone())]),
            model,
            script: case.script.iter().cloned().collect(),
            operations: Vec::new(),
            submissions: Vec::new(),
            attempts: Vec::new(),
            arrived: VecDeque::new(),
            concluded: Vec::new(),
            written: Vec::new(),
            disk,
            acknowledged: HashMap::new(),
            now_ns: 1_000,
            report: Report::default(),
        }
    }

    fn trace(&mut self, word: u64) {
        let mixed = (self.report.trace ^ word).wrapping_mul(0x2545_f491_4f6c_dd1d);
        self.report.trace = mixed ^ (mixed >> 29);
    }

    fn run(&mut self) -> Result<(), String> {
        let mut actions = Vec::new();
        loop {
            self.possible(&mut actions);
            if actions.is_empty() {
                return Ok(());
            }
            let choice = self.rng.below(actions.len());
            self.trace(choice as u64);
            self.act(actions[choice])?;
            let step = self.report.steps;
            self.report.steps += 1;
            let crash = match self.case.crashes {
                Crashes::AtEnd => false,
                Crashes::After(at) => step == at,
                Crashes::OnceIn(times) => self.rng.once_in(times),
            };
            if crash {
                self.crash()?;
            }
        }
    }

    fn possible(&self, actions: &mut Vec<Action>) {
        actions.clear();
        let quiet = self.shell.in_flight() == 0 && self.arrived.is_empty();
        match self.script.front() {
            // More often than anything else, so that batches grow.
            Some(Step::Submit(_)) => actions.extend([Action::Next; 4]),
            // What operators do comes between batches.
            Some(_) if quiet => actions.push(Action::Next),
            _ => {}
        }
        if !self.arrived.is_empty() && self.shell.in_flight() < 3 {
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
        if !self.concluded.is_empty() && self.written.is_empty() {
            actions.push(Action::Append);
        }
        if !self.written.is_empty() {
            actions.push(Action::Sync);
        }
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Next => match self.script.pop_front().expect("a step") {
                Step::Submit(requests) => {
                    self.arrived.push_back(self.submissions.len());
                    self.submissions.push(Submission { requests, told: None });
                }
                operation => self.operate(operation)?,
            },
            Action::TakeBatch => self.take_batch(),
            Action::Partition(at) => {
                self.shell.step_partition(at).map_err(|why| format!("impossible: {why}"))?;
            }
            Action::Coordinator(at) => {
                if let Some(concluded) = self.shell.step_coordinator(at) {
                    if self.case.fault == Fault::AnswerBeforeDurable {
                        self.release(&concluded)?;
                    }
                    self.concluded.push(concluded);
                }
            }
            Action::Append => {
                self.written = std::mem::take(&mut self.concluded);
                let events: Vec<_> =
                    self.written.iter().flat_map(|batch| &batch.events).cloned().collect();
                if !events.is_empty() {
                    self.disk.append(&events);
                }
            }
            Action::Sync => {
                self.disk.sync();
                for concluded in std::mem::take(&mut self.written) {
                    if let Some(last) = concluded.events.last() {
                        self.operations.retain(|(lsn, _)| *lsn > last.lsn.0);
                    }
                    self.release(&concluded)?;
                }
            }
        }
        Ok(())
    }

    /// Time passes, mostly forwards.
    fn tick(&mut self) -> u64 {
        self.now_ns += self.rng.below(5) as u64;
        if self.rng.once_in(10) { self.now_ns - 7 } else { self.now_ns }
    }

    fn take_batch(&mut self) {
        let now_ns = self.tick();
        let many = 1 + self.rng.below(self.arrived.len());
        let mut batch = Vec::with_capacity(many);
        for submission in self.arrived.drain(..many) {
            let requests = self.submissions[submission].requests.clone();
            let expected = self.model.submit(now_ns, &requests);
            batch.push((self.attempts.len(), requests));
            self.attempts.push(Attempt { submission, expected });
        }
        self.keep_snapshot();
        self.shell.submit(now_ns, batch);
    }

    fn keep_snapshot(&mut self) {
        let model = &self.model;
        self.snapshots.entry(model.last_lsn().0).or_insert_with(|| model.clone());
    }

    fn operate(&mut self, step: Step) -> Result<(), String> {
        let now_ns = self.tick();
        let before = self.shell.events.len();
        let (got, expected) = match &step {
            Step::SetStatus(id, status) => (
                format!("{:?}", self.shell.set_status(now_ns, *id, *status)),
                format!("{:?}", self.model.set_status(*id, *status)),
            ),
            Step::Open(spec) => {
                let opened: AccountOutcome = self.shell.open(now_ns, spec);
                (format!("{opened:?}"), format!("{:?}", self.model.open_account(spec)))
            }
            Step::Define(code, digits) => {
                let defined = self.model.define_asset(code, *digits);
                let defined = defined.map(|(_, lsn)| lsn).map_err(|why| why.to_string());
                let got = self.shell.define(now_ns, code, *digits);
                (format!("{got:?}"), format!("{defined:?}"))
            }
            Step::Submit(_) => unreachable!("clients submit"),
        };
        if got != expected {
            return Err(format!("{step:?}: got {got}, expected {expected}"));
        }
        let events = self.shell.events[before..].to_vec();
        if let Some(event) = events.last() {
            self.model.time(now_ns);
            self.operations.push((event.lsn.0, step));
            self.keep_snapshot();
            self.concluded.push(Concluded { outcomes: Vec::new(), events });
        }
        Ok(())
    }

    /// Answers leave: they are what the model says, and nothing said before has changed.
    fn release(&mut self, concluded: &Concluded) -> Result<(), String> {
        for (key, outcomes) in &concluded.outcomes {
            let Attempt { submission, expected } = &self.attempts[*key];
            let requests = &self.submissions[*submission].requests;
            let same = self.submissions.iter().filter(|other| other.requests == *requests);
            let mut before = same.filter_map(|other| other.told.as_ref());
            if self.case.fault == Fault::None
                && let Some(before) = before.find(|before| !same_outcomes(before, outcomes))
            {
                return Err(format!("{requests:?}\nwere told {before:?}\n      now {outcomes:?}"));
            }
            let submission = &mut self.submissions[*submission];
            submission.told = Some(outcomes.clone());
            if outcomes.len() != submission.requests.len() {
                return Err("an outcome for every request".to_owned());
            }
            let mut trace = 0;
            for ((got, expected), request) in
                outcomes.iter().zip(expected).zip(&submission.requests)
            {
                let mut got = *got;
                if self.case.fault == Fault::SkipDedupe {
                    got.id = request.id;
                }
                if got != *expected {
                    return Err(format!("{request:?}:\n     got {got:?}\nexpected {expected:?}"));
                }
                if got.rejection != Some(Rejection::IdReused) {
                    let said = Outcome { repeat: false, ..got };
                    let before = self.acknowledged.insert(got.id, said);
                    if before.is_some_and(|before| before != said) {
                        return Err(format!("told {before:?} before, now {said:?}"));
                    }
                }
                self.report.outcomes += 1;
                self.report.repeats += usize::from(got.repeat);
                self.report.refusals[got.rejection.map_or(0, |rule| usize::from(rule.number()))] +=
                    1;
                trace = (trace ^ got.lsn.0 ^ (got.time_ns << 20)).rotate_left(7);
                trace ^= got.rejection.map_or(0, |rule| u64::from(rule.number()) << 50);
                trace ^= got.debit.map_or(0, |figures| figures.posted as u64);
            }
            self.trace(trace);
        }
        Ok(())
    }

    /// Pulls the plug and starts again, on any number of partitions.
    fn crash(&mut self) -> Result<(), String> {
        self.report.crashes += 1;
        self.report.rounds += self.shell.rounds;
        let mut torn = self.rng.clone();
        self.rng.next();
        self.disk.crash(self.case.torn.then_some(&mut torn));
        let events = self.disk.recover();
        let len = events.len() as u64;
        let partitions = 1 << self.rng.below(4);
        self.shell = Shell::restart(partitions, events, self.case.fault)
            .map_err(|why| format!("replay: {why}"))?;
        self.snapshots.retain(|last, _| *last <= len);
        let snapshot = self.snapshots.get(&len);
        self.model = snapshot.ok_or("an append was taken apart")?.clone();
        self.check_state()?;

        for (lsn, step) in self.operations.drain(..).rev() {
            if lsn > len {
                self.script.push_front(step);
            }
        }
        (self.concluded, self.written) = (Vec::new(), Vec::new());
        self.arrived.clear();
        let mut again: Vec<usize> = (0..self.submissions.len())
            .filter(|at| self.submissions[*at].told.is_none() || self.rng.once_in(6))
            .collect();
        self.rng.shuffle(&mut again);
        self.arrived.extend(again);
        Ok(())
    }

    /// Nothing being on its way: accounts as in the model, no hold, no money made or lost.
    fn check_state(&self) -> Result<(), String> {
        let ledger = &self.shell.ledger;
        let mut accounts = 0;
        for partition in &ledger.partitions {
            for (slot, account) in partition.accounts() {
                accounts += 1;
                let view = ledger.view(slot);
                if view != self.model.account(account.id()) || !account.is_settled() {
                    let expected = self.model.account(account.id());
                    return Err(format!("account:\n     got {view:?}\nexpected {expected:?}"));
                }
            }
        }
        if accounts != self.model.account_ids().count() {
            return Err(format!("{accounts} accounts are not those of the model"));
        }
        let (_, totals) = ledger.summary();
        match totals.iter().find(|(_, sums)| sums.internal + sums.external != 0) {
            Some(wrong) => Err(format!("money was made or lost: {wrong:?}")),
            None => Ok(()),
        }
    }

    fn check_end(&mut self) -> Result<(), String> {
        self.check_state()?;
        let events = self.disk.recover();
        if events != self.shell.events {
            return Err("the disk holds other events than the shell".to_owned());
        }
        self.report.events = events.len();
        self.report.rounds += self.shell.rounds;
        let ids: Vec<_> = events.iter().filter_map(|event| event.record.transfer_id()).collect();
        if ids.iter().collect::<HashSet<_>>().len() != ids.len() {
            return Err("an id was decided twice".to_owned());
        }
        for (id, said) in &self.acknowledged {
            let event = &events[said.lsn.0 as usize - 1];
            let stored = stored_outcome(event.lsn, event.time_ns, &event.record);
            let stored = Outcome { repeat: false, currency: said.currency, ..stored };
            if stored != *said {
                return Err(format!("transfer {id}: told {said:?}, journalled {stored:?}"));
            }
        }
        let summary = self.shell.ledger.summary();
        for partitions in [1, 2, 4, 8] {
            let again = replay(partitions, &events).map_err(|why| format!("replay: {why}"))?;
            if again.summary() != summary {
                return Err(format!("replay on {partitions} partitions gives another state"));
            }
        }
        self.trace(u64::from_le_bytes(summary.0[..8].try_into().expect("eight")));
        Ok(())
    }
}
