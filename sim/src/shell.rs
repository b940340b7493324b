//! The machines and the messages between them, one step at a time: what the actors do,
//! without threads and with the order of everything in the caller's hands.
//!
//! Every partition has a mailbox that the coordinator fills in order, and the coordinator one
//! per partition; who takes the next message out of its mailbox is the caller's choice. As
//! in the product, the next batch is prepared behind the commit of the one before, so that a
//! partition may be a batch ahead of another. A snapshot's marker travels in the mailboxes too.

use crate::faults::Fault;
use ducat_engine::account::{Account, Impossible};
use ducat_engine::batch::{Batch, Item, Vote};
use ducat_engine::coordinator::Answer;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::partition::{Legs, Told};
use ducat_engine::plan::{Decided, Plan};
use ducat_engine::refunds::Original;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;
use ducat_engine::rounds::Rounds;
use ducat_engine::snapshot::Head;
use ducat_engine::testing::book::{Book, Event};
use ducat_engine::transfer::{AccountRejection, AccountStatus};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

type Verdicts = Arc<Vec<Option<Rejection>>>;

#[derive(Clone, Debug)]
enum ToPartition {
    /// From now on accounts are given up as they are, so many at a time.
    Export(usize),
    Prepare(Arc<Batch>),
    Resolve(Arc<Decided>),
    Commit(Arc<Batch>, Verdicts),
}

#[derive(Clone, Debug)]
enum FromPartition {
    Votes(Vec<Vote>, Told),
    Changed(Vec<(usize, Vote)>, Told),
    Legs(Vec<Legs>, i128),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Queued,
    Voting,
    Committing,
}

#[derive(Clone, Debug)]
struct Flight {
    now_ns: u64,
    plan: Plan,
    batch: Arc<Batch>,
    submissions: Vec<(usize, Vec<Request>)>,
    /// Where its submissions stand: it goes on in rounds until nothing is left over.
    rounds: Rounds,
    /// The first of its events, once a round is concluded.
    begun: Option<usize>,
    votes: Vec<Vec<Vote>>,
    /// Items on which a vote changed since the last decisions.
    changed: Vec<usize>,
    legs: Vec<Option<Vec<Legs>>>,
    awaited: usize,
    net: i128,
    phase: Phase,
}

/// A batch that is through: answers by the client's key, and the events to be journalled.
#[derive(Clone, Debug, Default)]
pub struct Concluded {
    pub answers: Vec<(usize, Answer)>,
    pub events: Vec<Event>,
    /// The last event that its answers depend on.
    pub lsn: Lsn,
}

/// The machines and their mailboxes.
#[derive(Clone, Debug)]
pub struct Shell {
    pub book: Book,
    to: Vec<VecDeque<ToPartition>>,
    from: Vec<VecDeque<FromPartition>>,
    flights: VecDeque<Flight>,
    pub fault: Fault,
    stray_ids: u128,
    asked: HashMap<TransferId, Request>,
    /// Rounds of votes beyond the first of each batch.
    pub rounds: usize,
    /// Rounds beyond the first, for what a batch of requests left over.
    pub rounds_again: usize,
    /// Messages given by a mailbox behind others of other senders.
    pub messages: usize,
}

impl Shell {
    /// Machines at rest.
    #[must_use]
    pub fn new(book: Book, fault: Fault) -> Self {
        let partitions = book.ledger.partitions.len();
        Self {
            book,
            to: (0..partitions).map(|_| VecDeque::new()).collect(),
            from: (0..partitions).map(|_| VecDeque::new()).collect(),
            flights: VecDeque::new(),
            fault,
            stray_ids: u128::MAX / 2,
            asked: HashMap::new(),
            rounds: 0,
            rounds_again: 0,
            messages: 0,
        }
    }

    pub fn partitions(&self) -> usize {
        self.to.len()
    }

    /// Batches on their way.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// All messages and batches on their way, as text that tells different ones apart.
    #[must_use]
    pub fn on_the_way(&self) -> String {
        format!("{:?} {:?} {:?}", self.to, self.from, self.flights)
    }

    /// Whether nothing is on its way, a snapshot's marker included.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.flights.is_empty() && self.to.iter().all(VecDeque::is_empty)
    }

    pub fn partition_can_step(&self, at: usize) -> bool {
        !self.to[at].is_empty()
    }

    pub fn coordinator_can_step(&self, at: usize) -> bool {
        !self.from[at].is_empty()
    }

    /// Changes a status, nothing else being on its way.
    ///
    /// # Errors
    /// Why not; nothing happened then.
    pub fn set_status(
        &mut self,
        now_ns: u64,
        id: AccountId,
        status: AccountStatus,
        reason: &str,
    ) -> Result<Lsn, AccountRejection> {
        if self.fault != Fault::StatusLost {
            return self.book.set_status(now_ns, id, status, reason);
        }
        let mut other = self.book.clone();
        let lsn = other.set_status(now_ns, id, status, reason)?;
        other.ledger.partitions.clone_from(&self.book.ledger.partitions);
        self.book = other;
        Ok(lsn)
    }

    /// The coordinator takes these submissions, each with its client's key, as one batch.
    pub fn submit<R: Into<Request>>(&mut self, now_ns: u64, submissions: Vec<(usize, Vec<R>)>) {
        let requests = |requests: Vec<R>| requests.into_iter().map(Into::into).collect();
        let mut submissions: Vec<(usize, Vec<Request>)> =
            submissions.into_iter().map(|(key, all)| (key, requests(all))).collect();
        if self.fault == Fault::SkipDedupe {
            let all = submissions.iter_mut().flat_map(|(_, requests)| requests);
            for request in all {
                if self.book.ledger.coordinator.known().get(request.id()).is_some() {
                    self.stray_ids += 1;
                    request.set_id(TransferId::new(self.stray_ids).expect("not zero"));
                }
            }
        }
        for request in submissions.iter_mut().flat_map(|(_, requests)| requests) {
            match self.fault {
                Fault::LinkLost => request.set_linked(false),
                Fault::IgnoreChangedContent
                    if self.book.ledger.coordinator.known().get(request.id()).is_some() =>
                {
                    let first = self.asked.entry(request.id()).or_insert_with(|| request.clone());
                    let linked = request.linked();
                    *request = first.clone();
                    request.set_linked(linked);
                }
                Fault::IgnoreChangedContent => {
                    drop(self.asked.insert(request.id(), request.clone()));
                }
                _ => {}
            }
        }
        let rounds = Rounds::in_order(submissions.len());
        self.launch(now_ns, submissions, rounds, None);
    }

    /// One round of it.
    fn launch(
        &mut self,
        now_ns: u64,
        mut submissions: Vec<(usize, Vec<Request>)>,
        mut rounds: Rounds,
        begun: Option<usize>,
    ) {
        if let Some((submission, from)) = rounds.unread() {
            self.read_originals(&mut submissions[submission].1[from..]);
        }
        let coordinator = &mut self.book.ledger.coordinator;
        let mut plan = coordinator.begin(now_ns);
        rounds.fill(coordinator, &mut plan, |at| &submissions[at].1[..]);
        let batch = Arc::new(plan.take_batch());
        let none = self.partitions();
        self.flights.push_back(Flight {
            now_ns,
            plan,
            batch,
            submissions,
            rounds,
            begun,
            votes: vec![Vec::new(); none],
            changed: Vec::new(),
            legs: vec![None; none],
            awaited: 0,
            net: 0,
            phase: Phase::Queued,
        });
        self.prepare_next();
    }

    /// Puts what the journal says of their originals into the refunds among these requests.
    fn read_originals(&self, requests: &mut [Request]) {
        for request in requests {
            let Some(lsn) = self.book.ledger.coordinator.unread(request) else { continue };
            let Some(refund) = request.refund_mut() else { continue };
            let record = &self.book.events[lsn.0 as usize - 1].record;
            refund.original = Some(Original::of(lsn, record));
        }
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
        let partition = &mut self.book.ledger.partitions[at];
        let newest = self.fault == Fault::MailboxNotFifo && self.to[at].len() > 1;
        let message = if newest { self.to[at].pop_back() } else { self.to[at].pop_front() };
        self.messages += 1;
        let reply = match message.expect("a message") {
            ToPartition::Export(piece) => {
                partition.begin_export(piece);
                return Ok(());
            }
            ToPartition::Prepare(batch) => {
                let mut votes = Vec::new();
                partition.prepare(&batch, &mut votes);
                FromPartition::Votes(votes, partition.tell())
            }
            ToPartition::Resolve(decided) => {
                let mut changed = Vec::new();
                partition.resolve(&decided, |item, vote| changed.push((item, vote)));
                FromPartition::Changed(changed, partition.tell())
            }
            ToPartition::Commit(batch, verdicts) => {
                let mut legs = Vec::new();
                let mut verdicts = verdicts.as_ref().clone();
                if self.fault == Fault::DropCredit {
                    let layout = self.book.ledger.coordinator.layout();
                    for (item, verdict) in batch.items.iter().zip(&mut verdicts) {
                        let hosts = |slot| layout.partition_of(slot) == at;
                        if hosts(item.credit) && !hosts(item.debit) {
                            *verdict = verdict.or(Some(Rejection::LinkedFailed));
                        }
                    }
                }
                let net = partition.commit(&batch, &verdicts, &mut legs)?;
                if self.fault == Fault::UnfreezeMissing {
                    leave_hold(partition, &batch, &verdicts);
                }
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
            FromPartition::Votes(votes, told) => {
                if let Some(flight) = self.voting() {
                    flight.votes[at] = votes;
                    flight.plan.hear(told);
                    self.count_vote();
                }
            }
            FromPartition::Changed(changed, told) => {
                if let Some(flight) = self.voting() {
                    flight.plan.hear(told);
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
                    return self.flights.pop_front().and_then(|flight| self.conclude(flight));
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
            let decided = Arc::new(decided);
            for mailbox in &mut self.to {
                mailbox.push_back(ToPartition::Resolve(decided.clone()));
            }
            return;
        }
        flight.phase = Phase::Committing;
        let verdicts = Arc::new(flight.plan.verdicts().to_vec());
        if !flight.plan.is_fixed() {
            flight.plan.fix(Arc::make_mut(&mut flight.batch));
        }
        let batch = flight.batch.clone();
        for mailbox in &mut self.to {
            mailbox.push_back(ToPartition::Commit(batch.clone(), verdicts.clone()));
        }
        self.prepare_next();
    }

    /// Concludes one round; with the last one all of the batch is there.
    fn conclude(&mut self, flight: Flight) -> Option<Concluded> {
        if self.fault != Fault::DropCredit {
            assert_eq!(flight.net, 0, "what is debited is credited");
        }
        let Flight { now_ns, plan, batch, submissions, mut rounds, begun, .. } = flight;
        let legs: Vec<Vec<Legs>> = flight.legs.into_iter().flatten().collect();
        let first = begun.unwrap_or(self.book.events.len());
        let time_ns = match self.fault {
            Fault::TimeGoesBack => now_ns,
            _ => plan.time_ns(),
        };
        let answers = self.book.ledger.coordinator.conclude(
            &plan,
            &batch,
            rounds.parts(|at| &submissions[at].1[..]),
            &legs,
            |lsn, record| {
                assert_eq!(lsn.0, self.book.events.len() as u64 + 1, "events come in order");
                self.book.events.push(Event { lsn, time_ns, record: record.clone() });
            },
        );
        rounds.collect(answers);
        if !rounds.are_over() {
            assert!(self.flights.is_empty(), "with holds there is one batch at a time");
            self.rounds_again += 1;
            self.launch(now_ns, submissions, rounds, Some(first));
            return None;
        }
        let keys = submissions.iter().map(|(key, _)| *key);
        let events = self.book.events[first..].to_vec();
        let lsn = Lsn(batch.first_lsn.0 + batch.items.len() as u64 - 1);
        let answers = rounds.answers().into_iter().map(|(answer, unread)| {
            assert_eq!(unread, None, "taken up in order");
            answer
        });
        Some(Concluded { answers: keys.zip(answers).collect(), events, lsn })
    }

    /// Whether a snapshot can begin: nothing is decided whose commit was not sent.
    #[must_use]
    pub fn can_export(&self) -> bool {
        self.fault == Fault::SnapshotTornAcross
            || self.flights.iter().all(|flight| flight.phase == Phase::Committing)
    }

    /// Begins a snapshot: its marker goes to every partition, behind all commits so far.
    pub fn begin_export(&mut self, piece: usize) -> Head {
        for (mailbox, partition) in self.to.iter_mut().zip(&mut self.book.ledger.partitions) {
            if self.fault == Fault::SnapshotTornAcross {
                partition.begin_export(piece);
            } else {
                mailbox.push_back(ToPartition::Export(piece));
            }
        }
        self.book.ledger.coordinator.begin_export()
    }

    /// Whether the snapshot's marker has not come to this partition yet.
    #[must_use]
    pub fn export_pending(&self, at: usize) -> bool {
        self.to[at].iter().any(|message| matches!(message, ToPartition::Export(_)))
    }

    /// Whether there are holds, or were: then nothing may be on its way when a batch or a snapshot
    /// begins, as with the engine's coordinator, which knows holds as of the last concluded one.
    #[must_use]
    pub fn is_free(&self, with_holds: bool) -> bool {
        !with_holds || self.flights.is_empty()
    }

    /// The next accounts of a partition for the snapshot.
    #[must_use]
    pub fn give(&mut self, at: usize) -> Option<Vec<Account>> {
        let piece = self.book.ledger.partitions[at].give()?;
        if self.fault != Fault::SnapshotMissesChange {
            return Some(piece);
        }
        let coordinator = &self.book.ledger.coordinator;
        let live = piece.into_iter().map(|account| {
            let listing = coordinator.directory().get(account.id()).expect("listed");
            let now = self.book.ledger.partitions[at].account(listing.slot).expect("hosted");
            Account::restore(&now.durable()).expect("it is")
        });
        Some(live.collect())
    }
}

/// [`Fault::UnfreezeMissing`]: something stays frozen where a transfer was refused.
fn leave_hold(
    partition: &mut ducat_engine::partition::Partition,
    batch: &Batch,
    verdicts: &[Option<Rejection>],
) {
    let refused = batch.items.iter().zip(verdicts);
    let mut refused = refused.filter(|(item, verdict)| {
        **verdict == Some(Rejection::InsufficientFunds)
            && partition.account(item.debit).is_some()
            && partition.account(item.credit).is_some()
    });
    if let Some((item, _)) = refused.next() {
        let item = Item { amount: 1, refused: None, linked: false, termed: false, ..*item };
        partition.prepare(&Batch { items: vec![item], ..batch.clone() }, &mut Vec::new());
    }
}
