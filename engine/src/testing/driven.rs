//! Schedules and sagas on a ledger with its journal in memory and a clock that is a number: driven as
//! the actors drive them, stopped after any event, started again from what was journalled. Whatever is
//! asked of them is tried first, and must be what the dry run said.

use super::book::{self, Event, filled_in_full};
use crate::coordinator::Coordinator;
use crate::driven::{DrivenEvent, SagaAsk, ScheduleAsk};
use crate::ids::{AccountId, Lsn, SagaId, ScheduleId, TransferId};
use crate::ledger::Ledger;
use crate::money::CurrencyId;
use crate::record::Record;
use crate::request::Request;
use crate::sagas::{Saga, SagaCommand, SagaDefinition, SagaRejection};
use crate::schedules::{Definition, Payment, Schedule, ScheduleCommand, ScheduleRejection, Status};
use crate::snapshot::driven::{put_driven, take_sagas, take_schedules};
use crate::snapshot::{DrivenPiece, Restore, Tally};
use crate::transfer::{AccountSpec, Outcome, TransferKind};

/// The currency of its accounts.
pub const CURRENCY: CurrencyId = CurrencyId(826);

/// The account that stands for the outside.
pub const OUTSIDE: u128 = 1;

/// Hours and days, in nanoseconds.
pub const HOUR_NS: u64 = 3_600_000_000_000;
/// A day.
pub const DAY_NS: u64 = 24 * HOUR_NS;

/// A ledger, its journal and its clock.
#[derive(Clone, Debug)]
pub struct Driver {
    /// The machines.
    pub ledger: Ledger,
    /// Every event from LSN 1 on.
    pub events: Vec<Event>,
    /// The time, nanoseconds since the Unix epoch.
    pub now_ns: u64,
    remember_ns: u64,
}

/// An account's id.
///
/// # Panics
/// For 0.
#[must_use]
pub fn account(number: u128) -> AccountId {
    AccountId::new(number).expect("not zero")
}

/// A transfer, of the kind that fits.
///
/// # Panics
/// For an id of 0.
#[must_use]
pub fn transfer(id: u128, from: u128, to: u128, amount: u128) -> Request {
    let id = TransferId::new(id).expect("not zero");
    payment(from, to, amount).transfer(id).into()
}

/// A transfer to be made later.
#[must_use]
pub fn payment(from: u128, to: u128, amount: u128) -> Payment {
    let kind = match (from, to) {
        (OUTSIDE, _) => TransferKind::Deposit,
        (_, OUTSIDE) => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    };
    Payment { debit: account(from), credit: account(to), amount, currency: Some(CURRENCY), kind }
}

impl Driver {
    /// A ledger of accounts 1 (the outside) to `accounts`, which remembers ids for `remember_ns`.
    ///
    /// # Panics
    /// When a ledger cannot be so.
    #[must_use]
    pub fn new(accounts: u128, now_ns: u64, remember_ns: u64) -> Self {
        let ledger = book::empty(1, remember_ns);
        let mut driver = Self { ledger, events: Vec::new(), now_ns, remember_ns };
        for number in 1..=accounts {
            let (id, external) = (account(number), number == OUTSIDE);
            let spec = AccountSpec { id, currency: CURRENCY, overdraft_limit: 0, external };
            driver.open(&spec);
        }
        driver
    }

    /// Opens an account.
    ///
    /// # Panics
    /// When there is one.
    pub fn open(&mut self, spec: &AccountSpec) {
        let (lsn, record) = self.ledger.open_account(spec).expect("new");
        let time_ns = self.ledger.coordinator.last_time_ns();
        self.events.push(Event { lsn, time_ns, record });
    }

    /// The ledger as replay of the first events makes it, at this time: what was asked for and is not
    /// decided is asked for again. As a snapshot there holds it, behind every other event.
    ///
    /// # Panics
    /// When the events cannot be replayed.
    #[must_use]
    pub fn restarted(&self, events: usize, now_ns: u64) -> Self {
        let events = self.events[..events].to_vec();
        let mut ledger = book::empty(1, self.remember_ns);
        for event in &events {
            ledger.apply(event.lsn, event.time_ns, &event.record).expect("can be replayed");
        }
        // Every other time by way of a snapshot.
        if events.len() % 2 == 1 {
            ledger = restore(&mut ledger, self.remember_ns);
        }
        let mut driver = Self { ledger, events, now_ns, remember_ns: self.remember_ns };
        driver.ask(driver.ledger.coordinator.awaited_requests());
        driver
    }

    /// Sends requests, as one submission.
    ///
    /// # Panics
    /// When the ledger contradicts itself.
    pub fn submit(&mut self, requests: &[Request]) -> Vec<Outcome> {
        if requests.is_empty() {
            return Vec::new();
        }
        let read = |lsn| book::read(&self.events, lsn);
        let done = self.ledger.execute_reading(self.now_ns, &[requests], read).expect("possible");
        self.note(done.time_ns, done.records);
        self.ledger.check_holds().expect("accounts and holds agree");
        let answer = done.answers.into_iter().next().expect("an answer");
        filled_in_full(answer, &self.events).into_iter().map(|(outcome, ..)| outcome).collect()
    }

    /// Puts money into an account.
    ///
    /// # Panics
    /// When that is refused.
    pub fn deposit(&mut self, id: u128, to: u128, amount: u128) {
        let outcomes = self.submit(&[transfer(id, OUTSIDE, to, amount)]);
        assert_eq!(outcomes[0].rejection, None, "{outcomes:?}");
    }

    fn note(&mut self, time_ns: u64, events: impl IntoIterator<Item = (Lsn, Record)>) {
        let events = events.into_iter();
        self.events.extend(events.map(|(lsn, record)| Event { lsn, time_ns, record }));
    }

    fn ask(&mut self, requests: Vec<Request>) {
        let outcomes = self.submit(&requests);
        for (request, outcome) in requests.iter().zip(outcomes) {
            if outcome.repeat {
                let event = self.ledger.coordinator.give_up(request, self.now_ns);
                let time_ns = self.ledger.coordinator.last_time_ns();
                self.note(time_ns, event);
            }
        }
    }

    fn decided(&mut self, event: Option<(Lsn, Record)>) {
        let asked = event.iter().filter_map(|(_, e)| self.ledger.coordinator.asked_by(e)).collect();
        let time_ns = self.ledger.coordinator.last_time_ns();
        self.note(time_ns, event);
        self.ask(asked);
    }

    /// Tries what is asked of schedules, does it, and holds one against the other.
    fn schedules(
        &mut self,
        ask: &ScheduleAsk,
        done: impl FnOnce(&mut Coordinator, u64) -> Result<Option<(Lsn, Record)>, ScheduleRejection>,
    ) -> Result<(), ScheduleRejection> {
        let said = self.ledger.coordinator.dry_run_schedule(ask, self.now_ns);
        let event = done(&mut self.ledger.coordinator, self.now_ns);
        let (said, event) = match (said, event) {
            (Ok(said), Ok(event)) => (said, event),
            (said, event) => {
                assert_eq!(said.as_ref().err(), event.as_ref().err());
                return event.map(drop);
            }
        };
        let coordinator = &self.ledger.coordinator;
        assert_eq!(Some(&said.schedule), coordinator.schedule(said.schedule.definition.id));
        assert_eq!(said.changed, event.is_some());
        let asked = event.iter().find_map(|(_, event)| coordinator.asked_by(event));
        if asked.is_some() || said.schedule.status != Status::Active {
            assert_eq!(said.request, asked);
        }
        self.decided(event);
        Ok(())
    }

    /// Defines a schedule.
    ///
    /// # Errors
    /// Why not.
    ///
    /// # Panics
    /// When a dry run says something else.
    pub fn define(&mut self, definition: Definition) -> Result<(), ScheduleRejection> {
        let ask = ScheduleAsk::Define(Box::new(definition.clone()));
        self.schedules(&ask, |coordinator, now_ns| coordinator.define_schedule(definition, now_ns))
    }

    /// Commands a schedule.
    ///
    /// # Errors
    /// Why not.
    ///
    /// # Panics
    /// When a dry run says something else.
    pub fn command(
        &mut self,
        id: ScheduleId,
        command: ScheduleCommand,
    ) -> Result<(), ScheduleRejection> {
        let ask = ScheduleAsk::Command(id, command);
        self.schedules(&ask, |coordinator, now_ns| {
            coordinator.command_schedule(id, command, now_ns)
        })
    }

    /// Tries what is asked of sagas, does it, and holds one against the other.
    fn sagas(
        &mut self,
        ask: &SagaAsk,
        done: impl FnOnce(&mut Coordinator, u64) -> Result<Option<(Lsn, Record)>, SagaRejection>,
    ) -> Result<(), SagaRejection> {
        let said = self.ledger.coordinator.dry_run_saga(ask, self.now_ns);
        let event = done(&mut self.ledger.coordinator, self.now_ns);
        let (said, event) = match (said, event) {
            (Ok(said), Ok(event)) => (said, event),
            (said, event) => {
                assert_eq!(said.as_ref().err(), event.as_ref().err());
                return event.map(drop);
            }
        };
        let id = said.saga.definition.id;
        assert_eq!(Some(&said.saga), self.ledger.coordinator.saga(id));
        assert_eq!(said.changed, event.is_some());
        if said.changed {
            assert_eq!(said.request, self.next_of(id));
        }
        self.decided(event);
        Ok(())
    }

    /// What the next event of a saga asks for that is due now.
    fn next_of(&self, id: SagaId) -> Option<Request> {
        let mut ahead = self.ledger.coordinator.clone();
        loop {
            let begun = ahead.drive(self.now_ns, 1);
            let (_, Record::Driven(event)) = begun.events.first()? else { continue };
            if matches!(&**event, DrivenEvent::Saga(event) if event.id == id) {
                return begun.requests.into_iter().next();
            }
        }
    }

    /// Starts a saga.
    ///
    /// # Errors
    /// Why not.
    ///
    /// # Panics
    /// When a dry run says something else.
    pub fn start(&mut self, definition: SagaDefinition) -> Result<(), SagaRejection> {
        let ask = SagaAsk::Start(Box::new(definition.clone()));
        self.sagas(&ask, |coordinator, now_ns| coordinator.start_saga(definition, now_ns))
    }

    /// Commands a saga.
    ///
    /// # Errors
    /// Why not.
    ///
    /// # Panics
    /// When a dry run says something else.
    pub fn saga_command(&mut self, id: SagaId, command: SagaCommand) -> Result<(), SagaRejection> {
        let ask = SagaAsk::Command(id, command.clone());
        self.sagas(&ask, |coordinator, now_ns| coordinator.command_saga(id, command, now_ns))
    }

    /// Drives on until nothing is due.
    pub fn drive(&mut self) {
        loop {
            let begun = self.ledger.coordinator.drive(self.now_ns, 3);
            if begun.events.is_empty() {
                return;
            }
            self.note(begun.time_ns, begun.events);
            self.ask(begun.requests);
        }
    }

    /// Lets time pass until `until_ns`, awake whenever something is due.
    pub fn pass_until(&mut self, until_ns: u64) {
        self.drive();
        while let Some(due_ns) = self.ledger.coordinator.driven_due_ns()
            && due_ns <= until_ns
        {
            self.now_ns = self.now_ns.max(due_ns);
            self.drive();
        }
        self.now_ns = self.now_ns.max(until_ns);
    }

    /// A schedule.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn schedule(&self, id: ScheduleId) -> &Schedule {
        self.ledger.coordinator.schedule(id).expect("it is there")
    }

    /// A saga.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn saga(&self, id: SagaId) -> &Saga {
        self.ledger.coordinator.saga(id).expect("it is there")
    }

    /// An account's posted and available balance.
    ///
    /// # Panics
    /// When there is no such account.
    #[must_use]
    pub fn balance(&self, number: u128) -> [i128; 2] {
        let slot = self.ledger.coordinator.directory().get(account(number)).expect("listed").slot;
        let view = self.ledger.view(slot).expect("hosted");
        [view.posted, view.available]
    }

    /// Replays all events and takes a snapshot and a ledger out of that: all three must be the same.
    ///
    /// # Panics
    /// When they are not.
    pub fn check(&self) {
        let mut replayed = book::empty(1, self.remember_ns);
        for event in &self.events {
            replayed.apply(event.lsn, event.time_ns, &event.record).expect("can be replayed");
        }
        assert_eq!(replayed.summary(), self.ledger.summary(), "replay comes to the same state");
        let mut given = self.ledger.clone();
        let restored = restore(&mut given, self.remember_ns);
        assert_eq!(restored.summary(), self.ledger.summary(), "a snapshot holds the same state");
        let same = |ledger: &Ledger| {
            let coordinator = &ledger.coordinator;
            (coordinator.driven_due_ns(), coordinator.awaited_requests(), coordinator.driven_len())
        };
        assert_eq!(same(&restored), same(&self.ledger));
        assert_eq!(same(&replayed), same(&self.ledger));
    }
}

fn restore(ledger: &mut Ledger, remember_ns: u64) -> Ledger {
    let head = ledger.begin_export();
    let mut tally = Tally::new(head.clone()).expect("sound");
    let mut restore = Restore::new(&head, 2, 9, remember_ns).expect("sound");
    while let Some(accounts) = ledger.give_accounts() {
        tally.accounts(&accounts).expect("sound");
        restore.accounts.put(accounts).expect("sound");
    }
    while let Some(holds) = ledger.coordinator.give_holds(2) {
        tally.holds(&holds).expect("sound");
        restore.accounts.put_holds(&holds).expect("sound");
    }
    while let Some(piece) = ledger.coordinator.give_profiles(2) {
        tally.profiles(&piece).expect("sound");
        restore.accounts.put_profiles(piece).expect("sound");
    }
    while let Some(piece) = ledger.coordinator.give_refunds(2) {
        tally.refunds(&piece).expect("sound");
        restore.accounts.put_refunds(&piece).expect("sound");
    }
    while let Some(piece) = ledger.coordinator.give_driven(2) {
        let mut bytes = Vec::new();
        put_driven(&piece, &mut bytes);
        let read = match piece {
            DrivenPiece::Schedules(_) => take_schedules(&bytes),
            DrivenPiece::Sagas(_) => take_sagas(&bytes),
        };
        assert_eq!(read.expect("it was encoded"), piece);
        tally.driven(&piece).expect("sound");
        restore.accounts.put_driven(piece).expect("sound");
    }
    while let Some(piece) = ledger.coordinator.give(3) {
        tally.ids(&piece).expect("sound");
        restore.ids.put(&piece).expect("sound");
    }
    let end = tally.finish().expect("whole");
    restore.finish(&end).expect("whole")
}
