//! Two-phase commit, exhaustively: every order of messages and appends, and a crash between any
//! two steps, over the engine's own machines, for two or three accounts and transfers.
//!
//! The state of the model *is* the machines (`Shell`: coordinator, partitions, mailboxes), cloned
//! at every step. What tells states apart is [`State::key`]: all that the future depends on. The
//! machines know nothing of one another but by messages, so a partition's state is its accounts,
//! and how far it has come in its mailbox; the coordinator's is its next LSN, the decisions so
//! far and the votes it holds. All of it is in the key as the `Debug` text of the accounts, the
//! mailboxes and the batches on their way, hashed; the memory of ids and the directory follow
//! from the events, which are in the key too. The waiting votes of a partition follow from the
//! batch it prepared and the decisions it was told since, which the key holds as what it has
//! taken from its mailbox.
//!
//! Crashes are bounded, every other step uses something up, so the graph has no cycle, and
//! "eventually" is: no state without a further step but those in which everyone has an answer.

use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::model::SerialLedger;
use ducat_engine::money::CurrencyId;
use ducat_engine::testing::book::{Book, Event, filled};
use ducat_engine::testing::same_outcomes;
use ducat_engine::transfer::{AccountSpec, Outcome, TransferKind, TransferRequest};
use ducat_sim::faults::Fault;
use ducat_sim::shell::{Concluded, Shell};
use stateright::{Checker, Model, Property};
use std::fmt;
use std::hash::{Hash, Hasher};

/// What clients ask, each submission once until it is answered.
#[derive(Clone)]
struct Protocol {
    submissions: Vec<Vec<TransferRequest>>,
    accounts: u128,
    partitions: usize,
    crashes: u8,
    /// Whether all may be taken as one batch, so that votes wait for one another.
    batches: bool,
    fault: Fault,
}

#[derive(Clone)]
struct State {
    shell: Shell,
    /// Concluded and not durable, in order.
    waiting: Vec<Concluded>,
    /// Events that survive a crash.
    durable: usize,
    /// Which submissions were taken by the running process.
    taken: Vec<bool>,
    told: Vec<Option<Vec<Outcome>>>,
    /// Messages that each partition has taken since the process started.
    steps: Vec<u8>,
    crashes: u8,
    wrong: Option<String>,
    key: [u8; 32],
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "durable {}, told {:?}, wrong {:?}", self.durable, self.told, self.wrong)
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl State {
    fn sealed(mut self) -> Self {
        let mut hasher = blake3::Hasher::new();
        let accounts = self.shell.book.ledger.partitions.iter().flat_map(|p| p.accounts());
        for (slot, account) in accounts {
            hasher
                .update(format!("{slot:?}{:?}{}", account.view(), account.is_settled()).as_bytes());
        }
        let next = self.shell.book.ledger.coordinator.next_lsn();
        let rest = (self.shell.on_the_way(), &self.waiting, self.durable, &self.taken, next);
        let more = (&self.told, &self.steps, self.crashes, &self.wrong, &self.shell.book.events);
        hasher.update(format!("{rest:?}{more:?}").as_bytes());
        self.key = *hasher.finalize().as_bytes();
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// The coordinator takes a submission.
    Take(usize),
    /// It takes all there are as one batch.
    TakeAll,
    /// A partition takes its next message.
    Partition(usize),
    /// The coordinator takes a partition's next message.
    Coordinator(usize),
    /// The first so many of what waits become durable, and are answered.
    Append(usize),
    /// The same, and the process ends before anyone is told.
    AppendUntold(usize),
    /// The process ends; the next one starts.
    Crash,
}

fn account(number: u128) -> AccountId {
    AccountId::new(number).expect("not zero")
}

fn accounts(many: u128) -> impl Iterator<Item = AccountSpec> {
    // The first may pay 5 more than it has.
    (1..=many).map(|number| AccountSpec {
        id: account(number),
        currency: CurrencyId(826),
        overdraft_limit: if number == 1 { 5 } else { 0 },
        external: false,
    })
}

fn open_world(many: u128, partitions: usize) -> Book {
    let ledger = Ledger::new(partitions, 1, u64::MAX).expect("a power of two");
    let mut book = Book { ledger, events: Vec::new() };
    for spec in accounts(many) {
        book.open(0, &spec);
    }
    book
}

fn replayed(partitions: usize, events: &[Event]) -> Book {
    let mut ledger = Ledger::new(partitions, 1, u64::MAX).expect("a power of two");
    for event in events {
        ledger.apply(event.lsn, event.time_ns, &event.record).expect("it happened");
    }
    Book { ledger, events: events.to_vec() }
}

impl Protocol {
    fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> TransferRequest {
        TransferRequest {
            id: TransferId::new(id).expect("not zero"),
            debit: account(debit),
            credit: account(credit),
            amount,
            currency: None,
            kind: TransferKind::Transfer,
            linked: false,
        }
    }

    fn crash(&self, state: &mut State) {
        let events = &state.shell.book.events[..state.durable];
        state.shell = Shell::new(replayed(self.partitions, events), self.fault);
        state.waiting.clear();
        state.steps.fill(0);
        for (taken, told) in state.taken.iter_mut().zip(&state.told) {
            *taken = told.is_some();
        }
    }

    fn release(&self, state: &mut State, concluded: &Concluded) {
        for (key, answer) in &concluded.answers {
            let outcomes = filled(answer.clone(), &state.shell.book.events);
            let unmarked = |o: &Outcome| Outcome { repeat: false, ..*o };
            if let Some(before) = &state.told[*key]
                && !before.iter().map(unmarked).eq(outcomes.iter().map(unmarked))
            {
                state.wrong = Some(format!("told {before:?}, then {outcomes:?}"));
            }
            let posted = outcomes.iter().filter(|o| o.rejection.is_none()).count();
            let linked = self.submissions[*key].iter().any(|request| request.linked);
            if linked && posted != 0 && posted != outcomes.len() {
                state.wrong = Some(format!("half a group: {outcomes:?}"));
            }
            state.told[*key] = Some(outcomes);
        }
    }

    fn append(&self, state: &mut State, many: usize, tell: bool) {
        let done: Vec<Concluded> = state.waiting.drain(..many).collect();
        let last = done.iter().filter_map(|c| c.events.last()).next_back();
        state.durable = last.map_or(state.durable, |event| event.lsn.0 as usize);
        if tell {
            done.iter().for_each(|concluded| self.release(state, concluded));
        }
    }

    /// Once all are answered: a serial ledger says the same, in the order of LSNs.
    fn is_serial(&self, state: &State) -> bool {
        if !state.told.iter().all(Option::is_some) {
            return true;
        }
        let mut serial = SerialLedger::new();
        for spec in accounts(self.accounts) {
            serial.open_account(&spec);
        }
        let mut order: Vec<usize> = (0..self.submissions.len()).collect();
        let told = |at: usize| state.told[at].as_deref().unwrap_or_default();
        order.sort_by_key(|at| told(*at)[0].lsn);
        order
            .into_iter()
            .all(|at| same_outcomes(told(at), &serial.submit(1, &self.submissions[at])))
    }

    fn check(self, states_min: usize) {
        let name = format!(
            "{} accounts, {} submissions, {} partitions, {} crashes",
            self.accounts,
            self.submissions.len(),
            self.partitions,
            self.crashes
        );
        let checker = self.checker().threads(2).spawn_bfs().join();
        let states = checker.unique_state_count();
        println!("{name}: {states} states, all visited: {}", checker.is_done());
        checker.assert_properties();
        assert!(checker.is_done() && states >= states_min, "{states} states are too few");
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let book = open_world(self.accounts, self.partitions);
        let durable = book.events.len();
        let none = self.submissions.len();
        let state = State {
            shell: Shell::new(book, self.fault),
            waiting: Vec::new(),
            durable,
            taken: vec![false; none],
            told: vec![None; none],
            steps: vec![0; self.partitions],
            crashes: 0,
            wrong: None,
            key: [0; 32],
        };
        vec![state.sealed()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        let taken = state.taken.iter().enumerate();
        actions.extend(taken.filter(|(_, taken)| !**taken).map(|(at, _)| Action::Take(at)));
        if self.batches && state.taken.iter().all(|taken| !taken) {
            actions.push(Action::TakeAll);
        }
        for at in 0..self.partitions {
            if state.shell.partition_can_step(at) {
                actions.push(Action::Partition(at));
            }
            if state.shell.coordinator_can_step(at) {
                actions.push(Action::Coordinator(at));
            }
        }
        for many in 1..=state.waiting.len() {
            actions.push(Action::Append(many));
            if state.crashes < self.crashes {
                actions.push(Action::AppendUntold(many));
            }
        }
        if state.crashes < self.crashes {
            actions.push(Action::Crash);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Take(at) => {
                state.taken[at] = true;
                state.shell.submit(1, vec![(at, self.submissions[at].clone())]);
            }
            Action::TakeAll => {
                state.taken.fill(true);
                let all = self.submissions.iter().cloned().enumerate();
                state.shell.submit(1, all.collect());
            }
            Action::Partition(at) => {
                state.steps[at] += 1;
                if let Err(why) = state.shell.step_partition(at) {
                    state.wrong = Some(why.to_string());
                }
            }
            Action::Coordinator(at) => {
                if let Some(concluded) = state.shell.step_coordinator(at) {
                    if self.fault == Fault::AnswerBeforeDurable {
                        self.release(&mut state, &concluded);
                    }
                    state.waiting.push(concluded);
                }
            }
            Action::Append(many) => self.append(&mut state, many, true),
            Action::AppendUntold(many) => {
                self.append(&mut state, many, false);
                state.crashes += 1;
                self.crash(&mut state);
            }
            Action::Crash => {
                state.crashes += 1;
                self.crash(&mut state);
            }
        }
        Some(state.sealed())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no decision changes, no group is half done", |_, state: &State| {
                state.wrong.is_none()
            }),
            Property::always("no money is made or lost", |_, state: &State| {
                let committed = state.shell.in_flight() > 0;
                committed
                    || state
                        .shell
                        .book
                        .ledger
                        .totals()
                        .values()
                        .all(|t| t.internal + t.external == 0)
            }),
            Property::always("what was answered is durable", |_, state: &State| {
                let told = state.told.iter().flatten().flatten();
                told.into_iter().all(|outcome| outcome.lsn <= Lsn(state.durable as u64))
            }),
            Property::always("every transfer is decided once", |_, state: &State| {
                let ids = state.shell.book.events.iter().filter_map(|e| e.record.transfer_id());
                let mut ids: Vec<TransferId> = ids.collect();
                let all = ids.len();
                ids.sort_unstable();
                ids.dedup();
                ids.len() == all
            }),
            Property::always("no transfer is stuck, no hold stays", |model, state: &State| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                actions.retain(|action| *action != Action::Crash);
                let accounts = state.shell.book.ledger.partitions.iter().flat_map(|p| p.accounts());
                let settled = accounts.into_iter().all(|(_, account)| account.is_settled());
                !actions.is_empty() || (settled && state.told.iter().all(Option::is_some))
            }),
            Property::always("answers equal serial execution", |model, state: &State| {
                model.is_serial(state)
            }),
            Property::sometimes(
                "everything is answered after every crash",
                |model, state: &State| {
                    state.crashes == model.crashes && state.told.iter().all(Option::is_some)
                },
            ),
        ]
    }
}

fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> TransferRequest {
    Protocol::transfer(id, debit, credit, amount)
}

fn linked(first: TransferRequest, second: TransferRequest) -> Vec<TransferRequest> {
    vec![TransferRequest { linked: true, ..first }, second]
}

/// Two transfers of which the second has only what the first brings.
fn two() -> Protocol {
    Protocol {
        submissions: vec![vec![transfer(1, 1, 2, 5)], vec![transfer(2, 2, 1, 3)]],
        accounts: 2,
        partitions: 2,
        crashes: 2,
        batches: true,
        fault: Fault::None,
    }
}

/// A linked group over three accounts on two partitions, and one that may empty its payer first.
fn group() -> Protocol {
    Protocol {
        submissions: vec![
            linked(transfer(1, 1, 2, 3), transfer(2, 2, 3, 3)),
            vec![transfer(3, 1, 3, 4)],
        ],
        accounts: 3,
        ..two()
    }
}

/// Three transfers in a ring, none of which has money but by another.
fn ring() -> Protocol {
    Protocol {
        submissions: vec![
            vec![transfer(1, 1, 2, 5)],
            vec![transfer(2, 2, 3, 5)],
            vec![transfer(3, 3, 1, 5)],
        ],
        accounts: 3,
        crashes: 0,
        ..two()
    }
}

#[test]
fn two_accounts_and_two_transfers() {
    two().check(1_000);
}

#[test]
fn a_linked_group_and_a_transfer() {
    group().check(1_000);
}

#[test]
fn three_transfers_in_a_ring() {
    ring().check(1_000);
}

#[test]
fn planted_bugs_are_found() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut survived = Vec::new();
    for fault in [
        Fault::AnswerBeforeDurable,
        Fault::WaitIsNo,
        Fault::LinkLost,
        Fault::UnfreezeMissing,
        Fault::DropCredit,
    ] {
        let found = [two(), group()].into_iter().any(|protocol| {
            let protocol = Protocol { fault, ..protocol };
            let checked = std::panic::catch_unwind(|| {
                let checker = protocol.checker().spawn_bfs().join();
                checker.discoveries().into_keys().find(|name| !name.starts_with("everything"))
            });
            println!("{fault:?}: {checked:?}");
            !matches!(checked, Ok(None))
        });
        if !found {
            survived.push(fault);
        }
    }
    drop(std::panic::take_hook());
    assert!(survived.is_empty(), "{survived:?} survive");
}
