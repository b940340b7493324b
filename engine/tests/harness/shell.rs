//! The machines and the messages between them, one step at a time: what the actors do,
//! without threads and with the order of everything in the test's hands.
//!
//! Every partition has a mailbox that the coordinator fills in order, and the coordinator one
//! per partition; who takes the next message out of its mailbox is the caller's choice. As
//! in the product, the next batch is prepared behind the commit of the one before, so that a
//! partition may be a batch ahead of another.
//!
//! A [`Fault`] plants a bug between two steps; the tests must find it.

use super::disk::Event;
use super::workload;
use ducat_engine::account::Impossible;
use ducat_engine::batch::{Batch, Item, Vote};
use ducat_engine::coordinator::Answer;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::partition::Legs;
use ducat_engine::plan::Plan;
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::repeat::resolve;
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountSpec, AccountStatus, Outcome, TransferRequest,
};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

/// A bug on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// None: the product as it is.
    None,
    /// Known ids are taken for new ones.
    SkipDedupe,
    /// Ids are forgotten by a restart.
    ForgetIdsAtRestart,
    /// Transfers are committed when the first partition has voted.
    ApplyBeforeVotes,
    /// A vote that waits is taken for a yes.
    WaitIsYes,
    /// A vote that waits is taken for a no.
    WaitIsNo,
    /// The credit is lost when its account is hosted elsewhere than the debit's.
    DropCredit,
    /// Outcomes leave before they are durable.
    AnswerBeforeDurable,
}

type Verdicts = Rc<Vec<Option<Rejection>>>;

enum ToPartition {
    Prepare(Rc<Batch>),
    Resolve(Rc<Vec<(usize, bool)>>),
    Commit(Rc<Batch>, Verdicts),
}

enum FromPartition {
    Votes(Vec<Vote>),
    Changed(Vec<(usize, Vote)>),
    Legs(Vec<Legs>, i128),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Queued,
    Voting,
    Committing,
}

struct Flight {
    plan: Plan,
    batch: Rc<Batch>,
    submissions: Vec<(usize, Vec<TransferRequest>)>,
    votes: Vec<Vec<Vote>>,
    /// Items on which a vote changed since the last decisions.
    changed: Vec<usize>,
    legs: Vec<Option<Vec<Legs>>>,
    awaited: usize,
    net: i128,
    phase: Phase,
}

/// A batch that is through: outcomes by the client's key, and the events to be journalled.
#[derive(Default)]
pub struct Concluded {
    pub outcomes: Vec<(usize, Vec<Outcome>)>,
    pub events: Vec<Event>,
}

pub struct Shell {
    pub ledger: Ledger,
    pub events: Vec<Event>,
    to: Vec<VecDeque<ToPartition>>,
    from: Vec<VecDeque<FromPartition>>,
    flights: VecDeque<Flight>,
    fault: Fault,
    stray_ids: u128,
    /// Rounds of votes beyond the first of each batch.
    pub rounds: usize,
}

/// An empty ledger; the seed of its hash tables has no say in results.
fn empty(partitions: usize) -> Ledger {
    Ledger::new(partitions, 7 * partitions as u64, u64::MAX).expect("a power of two")
}

/// Moves the edge accounts to the ends of the range, right after the event at `lsn`. No
/// record can: so replay does it here too.
fn force_edge(ledger: &mut Ledger, lsn: Lsn) {
    let (debit, credit, amount) = workload::edge();
    let slot = |id| ledger.coordinator.directory().get(id).expect("listed").slot;
    let (debit, credit) = (slot(debit), slot(credit));
    let item = Item { amount, debit, credit, refused: None, linked: false };
    let batch = Batch { first_lsn: lsn, items: vec![item] };
    let mut net = 0;
    for partition in &mut ledger.partitions {
        partition.prepare(&batch, &mut Vec::new());
        net += partition.commit(&batch, &[None], &mut Vec::new()).expect("in range");
    }
    assert_eq!(net, 0);
}

/// The event behind which the edge accounts are moved: the last of the world's beginning.
fn edge_lsn() -> Lsn {
    Lsn(workload::accounts().len() as u64 + 1)
}

/// A ledger that replays these events, on so many partitions.
pub fn replay(partitions: usize, events: &[Event]) -> Result<Ledger, Impossible> {
    let mut ledger = empty(partitions);
    for event in events {
        ledger.apply(event.lsn, event.time_ns, &event.record)?;
        if event.lsn == edge_lsn() {
            force_edge(&mut ledger, event.lsn);
        }
    }
    Ok(ledger)
}

impl Shell {
    /// The world at its beginning.
    pub fn new(partitions: usize, fault: Fault) -> Self {
        let mut shell = Self::around(empty(partitions), Vec::new(), fault);
        for spec in workload::accounts() {
            shell.open(0, &spec);
        }
        shell.set_status(0, workload::edge().1, AccountStatus::Active).expect("it exists");
        force_edge(&mut shell.ledger, edge_lsn());
        shell
    }

    /// What a restart builds from the journal.
    pub fn restart(
        partitions: usize,
        events: Vec<Event>,
        fault: Fault,
    ) -> Result<Self, Impossible> {
        if fault != Fault::ForgetIdsAtRestart {
            return Ok(Self::around(replay(partitions, &events)?, events, fault));
        }
        let mut blurred = events.clone();
        for event in &mut blurred {
            let stray = TransferId::new(u128::MAX - u128::from(event.lsn.0)).expect("not zero");
            match &mut event.record {
                Record::Posted(p) | Record::PostedLinked(p) => p.id = stray,
                Record::Refused(r) | Record::RefusedLinked(r) => r.id = stray,
                _ => {}
            }
        }
        Ok(Self::around(replay(partitions, &blurred)?, events, fault))
    }

    fn around(ledger: Ledger, events: Vec<Event>, fault: Fault) -> Self {
        let partitions = ledger.partitions.len();
        Self {
            ledger,
            events,
            to: (0..partitions).map(|_| VecDeque::new()).collect(),
            from: (0..partitions).map(|_| VecDeque::new()).collect(),
            flights: VecDeque::new(),
            fault,
            stray_ids: u128::MAX / 2,
            rounds: 0,
        }
    }

    pub fn partitions(&self) -> usize {
        self.to.len()
    }

    /// Batches on their way.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    pub fn partition_can_step(&self, at: usize) -> bool {
        !self.to[at].is_empty()
    }

    pub fn coordinator_can_step(&self, at: usize) -> bool {
        !self.from[at].is_empty()
    }

    fn note(&mut self, now_ns: u64, lsn: Lsn, record: Record) {
        assert_eq!(lsn.0, self.events.len() as u64 + 1, "events come in order");
        let time_ns = self.ledger.coordinator.time(now_ns);
        self.events.push(Event { lsn, time_ns, record });
    }

    /// Opens an account, nothing else being on its way.
    pub fn open(&mut self, now_ns: u64, spec: &AccountSpec) -> AccountOutcome {
        assert!(self.flights.is_empty());
        match self.ledger.open_account(spec) {
            Ok((lsn, record)) => {
                self.note(now_ns, lsn, record);
                AccountOutcome::Opened(lsn)
            }
            Err(AccountRejection::ExistsDifferent) => {
                let listing = self.ledger.coordinator.directory().get(spec.id).expect("exists");
                let there = self.ledger.view(listing.slot).expect("hosted");
                if there.spec == *spec {
                    AccountOutcome::Exists(there.opened_lsn)
                } else {
                    AccountOutcome::Refused(AccountRejection::ExistsDifferent)
                }
            }
            Err(why) => AccountOutcome::Refused(why),
        }
    }

    /// Changes a status, nothing else being on its way.
    pub fn set_status(
        &mut self,
        now_ns: u64,
        id: AccountId,
        status: AccountStatus,
    ) -> Result<Lsn, AccountRejection> {
        assert!(self.flights.is_empty());
        let listing = self.ledger.coordinator.directory().get(id);
        let slot: Slot = listing.ok_or(AccountRejection::Unknown)?.slot;
        let host = self.ledger.coordinator.layout().partition_of(slot);
        let partition = &mut self.ledger.partitions[host];
        partition.account(slot).expect("hosted").check_status(status)?;
        let (lsn, record) = self.ledger.coordinator.change_status(slot, status);
        partition.set_status(slot, lsn, status).expect("checked");
        self.note(now_ns, lsn, record);
        Ok(lsn)
    }

    /// Defines an asset, nothing else being on its way.
    pub fn define(&mut self, now_ns: u64, code: &str, digits: u32) -> Result<Option<Lsn>, String> {
        let defined = self.ledger.coordinator.define_asset(code, digits);
        let (_, event) = defined.map_err(|why| why.to_string())?;
        Ok(event.map(|(lsn, record)| {
            self.note(now_ns, lsn, record);
            lsn
        }))
    }

    /// The coordinator takes these submissions, each with its client's key, as one batch.
    pub fn submit(&mut self, now_ns: u64, mut submissions: Vec<(usize, Vec<TransferRequest>)>) {
        if self.fault == Fault::SkipDedupe {
            let all = submissions.iter_mut().flat_map(|(_, requests)| requests);
            for request in all {
                if self.ledger.coordinator.known().get(request.id).is_some() {
                    self.stray_ids += 1;
                    request.id = TransferId::new(self.stray_ids).expect("not zero");
                }
            }
        }
        let mut plan = self.ledger.coordinator.begin(now_ns);
        for (_, requests) in &submissions {
            self.ledger.coordinator.add(&mut plan, requests);
        }
        let batch = Rc::new(plan.take_batch());
        let none = self.partitions();
        self.flights.push_back(Flight {
            plan,
            batch,
            submissions,
            votes: vec![Vec::new(); none],
            changed: Vec::new(),
            legs: vec![None; none],
            awaited: 0,
            net: 0,
            phase: Phase::Queued,
        });
        self.prepare_next();
    }

    /// Sends the next batch out, once the one before it is decided.
    fn prepare_next(&mut self) {
        if self.flights.iter().any(|flight| flight.phase == Phase::Voting) {
            return;
        }
        let queued = self.flights.iter_mut().find(|flight| flight.phase == Phase::Queued);
        let Some(flight) = queued else { return };
        flight.phase = Phase::Voting;
        flight.awaited = self.to.len();
        for mailbox in &mut self.to {
            mailbox.push_back(ToPartition::Prepare(flight.batch.clone()));
        }
    }

    /// Partition `at` takes its next message.
    pub fn step_partition(&mut self, at: usize) -> Result<(), Impossible> {
        let partition = &mut self.ledger.partitions[at];
        let reply = match self.to[at].pop_front().expect("a message") {
            ToPartition::Prepare(batch) => {
                let mut votes = Vec::new();
                partition.prepare(&batch, &mut votes);
                FromPartition::Votes(votes)
            }
            ToPartition::Resolve(decided) => {
                let mut changed = Vec::new();
                partition.resolve(&decided, |item, vote| changed.push((item, vote)));
                FromPartition::Changed(changed)
            }
            ToPartition::Commit(batch, verdicts) => {
                let mut legs = Vec::new();
                let mut verdicts = verdicts.as_ref().clone();
                if self.fault == Fault::DropCredit {
                    let layout = self.ledger.coordinator.layout();
                    for (item, verdict) in batch.items.iter().zip(&mut verdicts) {
                        let hosts = |slot| layout.partition_of(slot) == at;
                        if hosts(item.credit) && !hosts(item.debit) {
                            *verdict = verdict.or(Some(Rejection::LinkedFailed));
                        }
                    }
                }
                let net = partition.commit(&batch, &verdicts, &mut legs)?;
                FromPartition::Legs(legs, net)
            }
        };
        self.from[at].push_back(reply);
        Ok(())
    }

    /// The coordinator takes the next message of partition `at`. Gives back a batch that
    /// this concluded.
    pub fn step_coordinator(&mut self, at: usize) -> Option<Concluded> {
        match self.from[at].pop_front().expect("a message") {
            FromPartition::Votes(votes) => {
                if let Some(flight) = self.voting() {
                    flight.votes[at] = votes;
                    self.count_vote();
                }
            }
            FromPartition::Changed(changed) => {
                if let Some(flight) = self.voting() {
                    for (item, vote) in changed {
                        flight.votes[at][item] = vote;
                        flight.changed.push(item);
                    }
                    self.count_vote();
                }
            }
            FromPartition::Legs(legs, net) => {
                let flight = self.flights.iter_mut().find(|flight| flight.legs[at].is_none());
                let flight = flight.expect("legs of a batch on its way");
                flight.legs[at] = Some(legs);
                flight.net += net;
                if self.flights[0].legs.iter().all(Option::is_some) {
                    return self.flights.pop_front().map(|flight| self.conclude(flight));
                }
            }
        }
        None
    }

    fn voting(&mut self) -> Option<&mut Flight> {
        let found = self.flights.iter_mut().find(|flight| flight.phase == Phase::Voting);
        // A coordinator that did not wait for all votes gets the others too late.
        found.filter(|flight| flight.awaited > 0)
    }

    fn count_vote(&mut self) {
        let fault = self.fault;
        let all = self.to.len();
        let Some(flight) = self.voting() else { return };
        flight.awaited -= 1;
        if fault == Fault::ApplyBeforeVotes && flight.awaited + 1 == all {
            for votes in flight.votes.iter_mut().filter(|votes| votes.is_empty()) {
                votes.resize(flight.batch.items.len(), Vote::YES);
            }
            flight.awaited = 0;
        }
        if flight.awaited > 0 {
            return;
        }
        for vote in flight.votes.iter_mut().flatten().filter(|vote| vote.waits()) {
            match fault {
                Fault::ApplyBeforeVotes | Fault::WaitIsYes => *vote = Vote::YES,
                Fault::WaitIsNo => *vote = Vote::no(vote.rule().expect("a rule")),
                _ => {}
            }
        }
        let changed = std::mem::take(&mut flight.changed);
        let (decided, done) = flight.plan.decide(&flight.batch, &flight.votes, &changed);
        if !done {
            flight.awaited = all;
            self.rounds += 1;
            let decided = Rc::new(decided);
            for mailbox in &mut self.to {
                mailbox.push_back(ToPartition::Resolve(decided.clone()));
            }
            return;
        }
        flight.phase = Phase::Committing;
        let verdicts = Rc::new(flight.plan.verdicts().to_vec());
        let batch = flight.batch.clone();
        for mailbox in &mut self.to {
            mailbox.push_back(ToPartition::Commit(batch.clone(), verdicts.clone()));
        }
        self.prepare_next();
    }

    fn conclude(&mut self, flight: Flight) -> Concluded {
        if self.fault != Fault::DropCredit {
            assert_eq!(flight.net, 0, "what is debited is credited");
        }
        let legs: Vec<Vec<Legs>> = flight.legs.into_iter().flatten().collect();
        let first = self.events.len();
        let time_ns = flight.plan.time_ns();
        let submissions = flight.submissions.iter().map(|(_, requests)| requests.as_slice());
        let answers = self.ledger.coordinator.conclude(
            &flight.plan,
            &flight.batch,
            submissions,
            &legs,
            |lsn, record| {
                assert_eq!(lsn.0, self.events.len() as u64 + 1, "events come in order");
                self.events.push(Event { lsn, time_ns, record: record.clone() });
            },
        );
        let outcomes = answers.into_iter().map(|answer| filled(answer, &self.events));
        Concluded {
            outcomes: flight.submissions.iter().map(|(key, _)| *key).zip(outcomes).collect(),
            events: self.events[first..].to_vec(),
        }
    }
}

/// The outcomes of an answer, those of known ids read from the events that decided them.
pub fn filled(answer: Answer, events: &[Event]) -> Vec<Outcome> {
    let mut outcomes = answer.outcomes;
    let mut last = Lsn::ZERO;
    let read = |lsn: Lsn| {
        assert!(last < lsn, "events are read in order, each once");
        last = lsn;
        let event = &events[lsn.0 as usize - 1];
        assert_eq!(event.lsn, lsn);
        Ok::<_, Infallible>((event.time_ns, event.record.clone()))
    };
    resolve(&mut outcomes, &answer.repeats, read).expect("the events are at hand");
    outcomes
}
