//! A ledger and the events it came to, for tests: what operators do, the world's beginning,
//! replay, and repeats filled in from the events.

use super::fees::FeeStep;
use super::workload;
use crate::account::Impossible;
use crate::account_event::Opening;
use crate::batch::{Batch, Item, NO_STEP, Op};
use crate::coordinator::Answer;
use crate::fees::FeeFault;
use crate::ids::{AccountId, Lsn, Slot};
use crate::ledger::Ledger;
use crate::limits::LimitsChange;
use crate::model::Answered;
use crate::profile::ProfileChange;
use crate::record::Record;
use crate::repeat::resolve;
use crate::transfer::{AccountOutcome, AccountRejection, AccountSpec, AccountStatus, Outcome};
use std::convert::Infallible;

/// An event as the journal keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its place.
    pub lsn: Lsn,
    /// When it was decided.
    pub time_ns: u64,
    /// What was decided.
    pub record: Record,
}

/// A ledger and all events that led to it.
#[derive(Clone, Debug)]
pub struct Book {
    /// The machines.
    pub ledger: Ledger,
    /// Every event from LSN 1 on.
    pub events: Vec<Event>,
}

/// An empty ledger; the seed of its hash tables has no say in results.
///
/// # Panics
/// Unless `partitions` is a power of two.
#[must_use]
pub fn empty(partitions: usize, remember_ns: u64) -> Ledger {
    Ledger::new(partitions, 7 * partitions as u64, remember_ns).expect("a power of two")
}

/// Moves the edge accounts to the ends of the range, right after the event at `lsn`. No
/// record can: so replay does it here too.
///
/// # Panics
/// When they do not exist.
pub fn force_edge(ledger: &mut Ledger, lsn: Lsn) {
    let (debit, credit, amount) = workload::edge();
    let slot = |id| ledger.coordinator.directory().get(id).expect("listed").slot;
    let (debit, credit) = (slot(debit), slot(credit));
    let (step, op) = (NO_STEP, Op::Transfer);
    let item =
        Item { amount, debit, credit, step, op, refused: None, linked: false, termed: false };
    let batch = Batch { first_lsn: lsn, items: vec![item], ..Batch::default() };
    let mut net = 0;
    for partition in &mut ledger.partitions {
        partition.prepare(&batch, &mut Vec::new());
        net += partition.commit(&batch, &[None], &mut Vec::new()).expect("in range");
    }
    assert_eq!(net, 0);
}

/// The event behind which the edge accounts are moved: the last of the world's beginning.
#[must_use]
pub fn edge_lsn() -> Lsn {
    Lsn(workload::accounts().len() as u64 + 1)
}

/// Applies an event, and what no record can say behind it.
///
/// # Errors
/// As [`Ledger::apply`].
pub fn apply(ledger: &mut Ledger, event: &Event) -> Result<(), Impossible> {
    ledger.apply(event.lsn, event.time_ns, &event.record)?;
    if event.lsn == edge_lsn() {
        force_edge(ledger, event.lsn);
    }
    Ok(())
}

/// A ledger that replays these events, on so many partitions.
///
/// # Errors
/// As [`Ledger::apply`].
pub fn replay(partitions: usize, remember_ns: u64, events: &[Event]) -> Result<Ledger, Impossible> {
    let mut ledger = empty(partitions, remember_ns);
    events.iter().try_for_each(|event| apply(&mut ledger, event))?;
    Ok(ledger)
}

impl Book {
    /// The world at its beginning.
    ///
    /// # Panics
    /// Unless `partitions` is a power of two.
    #[must_use]
    pub fn new(partitions: usize, remember_ns: u64) -> Self {
        let mut book = Self { ledger: empty(partitions, remember_ns), events: Vec::new() };
        for spec in workload::accounts() {
            book.open(0, &spec);
        }
        book.set_status(0, workload::edge().1, AccountStatus::Active, "").expect("it exists");
        force_edge(&mut book.ledger, edge_lsn());
        book
    }

    /// Notes an event.
    ///
    /// # Panics
    /// Unless it is the next one.
    pub fn note(&mut self, now_ns: u64, lsn: Lsn, record: Record) {
        assert_eq!(lsn.0, self.events.len() as u64 + 1, "events come in order");
        let time_ns = self.ledger.coordinator.time(now_ns);
        self.events.push(Event { lsn, time_ns, record });
    }

    /// Opens an account, nothing else being on its way.
    ///
    /// # Panics
    /// When the machines contradict themselves.
    pub fn open(&mut self, now_ns: u64, spec: &AccountSpec) -> AccountOutcome {
        self.open_with(now_ns, &Opening::from(*spec))
    }

    /// Opens an account with all that is known of it, nothing else being on its way.
    ///
    /// # Panics
    /// When the machines contradict themselves.
    pub fn open_with(&mut self, now_ns: u64, opening: &Opening) -> AccountOutcome {
        let spec = &opening.spec;
        match self.ledger.open_with(opening) {
            Ok((lsn, record)) => {
                self.note(now_ns, lsn, record);
                AccountOutcome::Opened(lsn)
            }
            Err(AccountRejection::ExistsDifferent) => {
                let listing = self.ledger.coordinator.directory().get(spec.id).expect("exists");
                let there = self.ledger.view(listing.slot).expect("hosted");
                if self.ledger.coordinator.was_opened_so(listing.slot, &there.spec, opening) {
                    AccountOutcome::Exists(there.opened_lsn)
                } else {
                    AccountOutcome::Refused(AccountRejection::ExistsDifferent)
                }
            }
            Err(why) => AccountOutcome::Refused(why),
        }
    }

    /// Changes a status, nothing else being on its way.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    ///
    /// # Panics
    /// When the machines contradict themselves.
    pub fn set_status(
        &mut self,
        now_ns: u64,
        id: AccountId,
        status: AccountStatus,
        reason: &str,
    ) -> Result<Lsn, AccountRejection> {
        let slot = self.slot(id)?;
        let (lsn, record) = self.ledger.set_status(slot, status, reason)?;
        self.note(now_ns, lsn, record);
        Ok(lsn)
    }

    /// Changes what is known of an account, nothing else being on its way.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    ///
    /// # Panics
    /// When the machines contradict themselves.
    pub fn change_profile(
        &mut self,
        now_ns: u64,
        id: AccountId,
        change: &ProfileChange,
    ) -> Result<Option<Lsn>, AccountRejection> {
        let slot = self.slot(id)?;
        let event = self.ledger.coordinator.change_profile(slot, change)?;
        Ok(event.map(|(lsn, record)| {
            self.note(now_ns, lsn, record);
            lsn
        }))
    }

    /// Changes an account's limits, nothing else being on its way.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    ///
    /// # Panics
    /// When the machines contradict themselves.
    pub fn change_limits(
        &mut self,
        now_ns: u64,
        id: AccountId,
        change: &LimitsChange,
    ) -> Result<Option<Lsn>, AccountRejection> {
        let slot = self.slot(id)?;
        let event = self.ledger.change_limits(slot, change)?;
        Ok(event.map(|(lsn, record)| {
            self.note(now_ns, lsn, record);
            lsn
        }))
    }

    fn slot(&self, id: AccountId) -> Result<Slot, AccountRejection> {
        let listing = self.ledger.coordinator.directory().get(id);
        listing.map(|listing| listing.slot).ok_or(AccountRejection::Unknown)
    }

    /// The events of an account's history, the oldest first, by the chain that leads back
    /// through them.
    ///
    /// # Panics
    /// When the chain leads nowhere.
    #[must_use]
    pub fn history(&self, slot: Slot) -> Vec<Lsn> {
        let details = self.ledger.coordinator.profiles().get(slot);
        let mut next = details.map(|details| details.last_lsn).filter(|lsn| *lsn > Lsn::ZERO);
        let mut history = Vec::new();
        while let Some(lsn) = next {
            let record = &self.events[lsn.0 as usize - 1].record;
            let Record::Account(event) = record else { panic!("{record:?} changes no account") };
            history.push(lsn);
            next = event.previous(lsn);
        }
        history.push(self.ledger.view(slot).expect("hosted").opened_lsn);
        history.reverse();
        history
    }

    /// Does something with fees, nothing else being on its way.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    ///
    /// # Panics
    /// When the machines contradict themselves.
    pub fn fee(&mut self, now_ns: u64, step: &FeeStep) -> Result<Option<Lsn>, FeeFault> {
        let coordinator = &mut self.ledger.coordinator;
        let event = match step {
            FeeStep::Define(schedule) => coordinator.define_fee(schedule.clone())?,
            FeeStep::Attach(target, name) => coordinator.attach_fee(*target, *name)?,
        };
        Ok(event.map(|(lsn, record)| {
            self.note(now_ns, lsn, record);
            lsn
        }))
    }

    /// Defines an asset, nothing else being on its way. No event when it was defined before.
    ///
    /// # Errors
    /// Why not, as text.
    pub fn define(&mut self, now_ns: u64, code: &str, digits: u32) -> Result<Option<Lsn>, String> {
        let defined = self.ledger.coordinator.define_asset(code, digits);
        let (_, event) = defined.map_err(|why| why.to_string())?;
        Ok(event.map(|(lsn, record)| {
            self.note(now_ns, lsn, record);
            lsn
        }))
    }
}

/// The outcomes of an answer, those of known ids read from the events that decided them.
///
/// # Panics
/// When events are asked for out of order.
#[must_use]
pub fn filled(answer: Answer, events: &[Event]) -> Vec<Outcome> {
    filled_in_full(answer, events).into_iter().map(|(outcome, ..)| outcome).collect()
}

/// The same, how the hold of each operation and the original of each refund stand, and what is told
/// of terms.
///
/// # Panics
/// When events are asked for out of order.
#[must_use]
pub fn filled_in_full(mut answer: Answer, events: &[Event]) -> Vec<Answered> {
    let mut last = Lsn::ZERO;
    let read = |lsn: Lsn| {
        assert!(last < lsn, "events are read in order, each once");
        last = lsn;
        let event = &events[lsn.0 as usize - 1];
        assert_eq!(event.lsn, lsn);
        Ok::<_, Infallible>((event.time_ns, event.record.clone()))
    };
    resolve(&mut answer, read).expect("the events are at hand");
    let mut all: Vec<_> =
        answer.outcomes.into_iter().map(|outcome| (outcome, None, None, None, None)).collect();
    for (at, hold) in answer.holds {
        assert!(all[at].1.replace(hold).is_none(), "told once");
    }
    for (at, refund) in answer.refunds {
        assert!(all[at].2.replace(refund).is_none(), "told once");
    }
    for (at, terms) in answer.terms {
        assert!(all[at].3.replace(terms).is_none(), "told once");
    }
    for (at, fee) in answer.fees {
        assert!(all[at].4.replace(fee).is_none(), "told once");
    }
    all
}

/// The record of an event, for requests that refund it.
///
/// # Panics
/// When there is no such event.
#[must_use]
pub fn read(events: &[Event], lsn: Lsn) -> Record {
    let event = &events[lsn.0 as usize - 1];
    assert_eq!(event.lsn, lsn);
    event.record.clone()
}
