//! The coordinator actor: takes everything that waits as one batch, runs two-phase commit on
//! it with the partitions, and sends the decisions on to the journal writer.
//!
//! ```text
//! queue ─▶ plan ─ Prepare ─▶ partitions ─ votes ─▶ decide ─ Commit ─▶ partitions ─ legs ─▶
//!     records ─▶ journal writer, with the answers that wait for them
//! ```
//!
//! One batch is in prepare while earlier ones are on their way to the disk: memory is ahead
//! of the journal's sync, and nothing that depends on it leaves before it is durable.
//! Holds that are due expire in front of every batch; without traffic a tick makes one of
//! expiries alone.
//! Everything that is not a transfer (accounts, statuses, assets, reads) is done between two
//! batches, in order of arrival, and so sees and leaves a state of one LSN.

use crate::admission::Shared;
use crate::answers::{Leaving, Release};
use crate::audit::{self, Seed};
use crate::backlog::Pace;
use crate::clock::Clock;
use crate::decided::{Decided, PlainBatch, Reused};
use crate::driven::Driving;
use crate::handle::RequestError;
use crate::journal::JournalMsg;
use crate::partition::PartitionMsg;
use crate::tasks::{Submission, TURN_ITEMS, Task, WaitingRead};
use crate::trace::{Noted, Sampled};
use ducat_engine::batch::{Batch, Vote};
use ducat_engine::codec;
use ducat_engine::coordinator::{Answer, Coordinator};
use ducat_engine::ids::Lsn;
use ducat_engine::partition::Legs;
use ducat_engine::plan::Plan;
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;
use ducat_engine::rounds::Rounds;
use ducat_engine::undurable::Undurable;
use ducat_persistence::AppendBuffer;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A batch is closed once it holds this many transfers; what waits behind goes into the next.
const BATCH_TARGET: usize = 8_192;

/// Without traffic, holds expire within so much of their time: at least every so often it is
/// looked, since clocks may jump, and not more often than is worth an append.
const TICK_MIN: Duration = Duration::from_millis(10);
const TICK_MAX: Duration = Duration::from_secs(1);

/// Turns of batches and reads before what is due by the clock is looked at.
const TURNS_MAX: usize = 64;

/// What the coordinator is told.
pub(crate) enum CoordinatorMsg {
    /// There is something in the queue.
    Work,
    /// Holds may have expired. Sent only while there are some that can.
    Tick,
    /// The engine is whole: schedules and sagas go on.
    Begin,
    /// Schedules or sagas may be due. Sent only while there are some that will be.
    Drive,
}

/// The actor.
pub(crate) struct CoordinatorActor {
    pub shared: Arc<Shared>,
}

pub(crate) struct CoordinatorArgs {
    pub rules: Coordinator,
    pub partitions: Vec<ActorRef<PartitionMsg>>,
    pub journal: ActorRef<JournalMsg>,
    pub reused: Reused,
}

pub(crate) struct CoordinatorState {
    pub rules: Coordinator,
    pub clock: Clock,
    pub partitions: Vec<ActorRef<PartitionMsg>>,
    pub journal: ActorRef<JournalMsg>,
    reused: Reused,
    /// Vectors that travel to the partitions and back.
    votes: Vec<Vec<Vote>>,
    legs: Vec<Vec<Legs>>,
    submissions: Vec<Submission>,
    pace: Pace,
    /// Taken from the queue while a batch of transfers was gathered; comes next.
    held_over: Option<Task>,
    /// A tick is on its way.
    waking: bool,
    pub driving: Driving,
    /// On behalf of which call something is being done.
    auditing: Option<Arc<Seed>>,
    /// Submissions gathered whose calls are sampled.
    sampled: Sampled,
}

impl Actor for CoordinatorActor {
    type Msg = CoordinatorMsg;
    type State = CoordinatorState;
    type Arguments = CoordinatorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<CoordinatorMsg>,
        args: CoordinatorArgs,
    ) -> Result<CoordinatorState, ActorProcessingErr> {
        let count = args.partitions.len();
        let state = CoordinatorState {
            clock: Clock::after(args.rules.last_time_ns()),
            rules: args.rules,
            partitions: args.partitions,
            journal: args.journal,
            reused: args.reused,
            votes: vec![Vec::new(); count],
            legs: vec![Vec::new(); count],
            submissions: Vec::new(),
            pace: Pace::default(),
            held_over: None,
            waking: false,
            driving: Driving::default(),
            auditing: None,
            sampled: Vec::new(),
        };
        state.publish(&self.shared);
        // Holds that expired while nobody was here do so now.
        drop(myself.cast(CoordinatorMsg::Tick));
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<CoordinatorMsg>,
        message: CoordinatorMsg,
        state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CoordinatorMsg::Work => {
                self.shared.look();
                let mut turns = 0;
                loop {
                    let changed = self.change(state).await?;
                    let read = self.read_some(state).await?;
                    if !changed && !read {
                        break;
                    }
                    turns += 1;
                    if turns == TURNS_MAX {
                        // Expiries, schedules and sagas have theirs, however long the queue is.
                        drop(myself.cast(CoordinatorMsg::Work));
                        break;
                    }
                }
            }
            CoordinatorMsg::Tick => state.waking = false,
            CoordinatorMsg::Begin => self.begin_driving(state),
            CoordinatorMsg::Drive => Self::ticked(state),
        }
        self.expire(&myself, state).await?;
        self.drive(&myself, state).await
    }
}

impl CoordinatorActor {
    /// Does what comes next in the queue of changes: all transfers at its head as one batch,
    /// or one other change.
    async fn change(&self, state: &mut CoordinatorState) -> Result<bool, ActorProcessingErr> {
        let Some(task) = state.held_over.take().or_else(|| self.shared.queue.pop()) else {
            return Ok(false);
        };
        match task {
            Task::Transfers(first) => {
                // What is decided waits for the disk; what is not can still be dropped.
                self.wait_for_journal(state).await?;
                self.gather(first, state);
                if !state.submissions.is_empty() {
                    self.decide(state).await?;
                }
            }
            Task::Audited(seed, task) => {
                state.auditing = Some(seed);
                self.attend(*task, state).await?;
                state.auditing = None;
            }
            other => self.attend(other, state).await?,
        }
        state.publish(&self.shared);
        Ok(true)
    }

    /// Does reads until they have looked at [`TURN_ITEMS`], so that they and the transfers take turns. One of much
    /// is a turn of its own; reads whose callers have gone are dropped unread.
    async fn read_some(&self, state: &mut CoordinatorState) -> Result<bool, ActorProcessingErr> {
        let last = Lsn(state.rules.next_lsn().0 - 1);
        let accounts = self.read_accounts(last, state).await?;
        let mut done = 0;
        while done < TURN_ITEMS
            && let Some(WaitingRead { read, place }) = self.shared.read_queue.pop()
        {
            if read.is_abandoned() {
                continue;
            }
            done += read.items();
            self.read(read, state).await?;
            drop(place);
        }
        Ok(accounts || done > 0)
    }

    /// Takes all transfers that wait, up to the size of a batch. Drops those that nobody wants
    /// any more, here and nowhere later.
    fn gather(&self, first: Submission, state: &mut CoordinatorState) {
        let limit = self.shared.options.remembered_ids_max;
        let known = state.rules.known();
        let mut room = limit.saturating_sub(known.len_at(state.clock.now_ns()));
        let disk_full = self.shared.disk.refusal();
        // Repeats need no room, but looking for them costs: only when it could matter.
        let tight = disk_full.is_some() || room < 4 * BATCH_TARGET;
        let mut count = 0;
        let now = Instant::now();
        let mut next = Some(first);
        while let Some(submission) = next.take() {
            let fresh = |request: &&Request| !tight || known.get(request.id()).is_none();
            let more = submission.requests.iter().filter(fresh).count();
            self.shared.backlog.leave(submission.requests.len(), submission.arrived);
            if submission.is_abandoned() || submission.is_expired(now) {
                self.shared.drop_unwanted(submission);
            } else if more > 0
                && !submission.goes_on
                && let Some(full) = &disk_full
            {
                drop(submission.reply.send(Err(full.clone())));
            } else if let Some(seen) = &submission.owners
                && let Some(account) = seen.changed(&state.rules)
            {
                drop(submission.reply.send(Err(RequestError::OwnerChanged(account))));
            } else if more > room && !submission.goes_on {
                drop(submission.reply.send(Err(RequestError::IdsFull { limit })));
            } else {
                room = room.saturating_sub(more);
                count += submission.requests.len();
                if let Some(passages) = &submission.trace {
                    state.sampled.push((Arc::clone(passages), submission.arrived));
                }
                state.submissions.push(submission);
            }
            if count >= BATCH_TARGET {
                break;
            }
            match self.shared.queue.pop() {
                Some(Task::Transfers(submission)) => next = Some(submission),
                other => state.held_over = other,
            }
        }
        state.pace.gathered(count, now, &self.shared.backlog);
    }

    /// Decides what was gathered, and what has expired by now, in as many batches as it takes:
    /// one, unless several submissions speak of the same hold, or very many holds expire. All of
    /// it goes to the journal writer at once, with the answers that wait for it.
    async fn decide(&self, state: &mut CoordinatorState) -> Result<(), ActorProcessingErr> {
        let now_ns = state.clock.now_ns();
        let submissions = std::mem::take(&mut state.submissions);
        let requests = |submission: usize| &submissions[submission].requests[..];
        let mut rounds = Rounds::of(submissions.len());
        let mut records = None;
        let first = state.rules.next_lsn();
        let all = || submissions.iter().map(|submission| submission.requests.len()).sum();
        let mut noted = Noted::of(&mut state.sampled, all);
        while !rounds.are_over() {
            let mut plan = state.rules.begin(now_ns);
            rounds.fill(&mut state.rules, &mut plan, requests);
            let mut batch = Arc::new(plan.take_batch());
            let mut verdicts = Arc::default();
            if !batch.items.is_empty() {
                // Nothing of it shows at accounts before the commit, but for what is prepared.
                let before = Lsn(batch.first_lsn.0 - 1);
                self.read_accounts(before, state).await?;
                let mut noting = Noted::round(noted.as_mut());
                state.prepare(&mut plan, &batch).await?;
                noting.prepared();
                self.read_accounts(before, state).await?;
                state.decide(&mut plan, &batch).await?;
                if !plan.is_fixed() {
                    // A partition may have it in its hands still.
                    plan.fix(Arc::make_mut(&mut batch));
                }
                verdicts = state.commit(&plan, &batch).await?;
                noting.committed();
            }
            if records.is_none() && rounds.are_over() && plan.is_plain() {
                let audits = audit::group(&submissions, || state.rules.audit_lsn());
                let legs = Arc::new(state.take_legs());
                let last = Lsn(state.rules.next_lsn().0 - 1);
                let undurable =
                    Undurable::new(&plan, Arc::clone(&batch), verdicts, Arc::clone(&legs));
                self.shared.on_the_way.add(last, undurable);
                if let Some(noted) = &mut noted {
                    noted.handed(first, state.rules.next_lsn());
                }
                let decided = PlainBatch { plan, batch, rounds, submissions, audits, legs, noted };
                // Whoever gets an answer finds its event counted.
                state.publish(&self.shared);
                return state.hand_on(Decided::Plain(Box::new(decided))).await;
            }
            let records = records.get_or_insert_with(|| state.reused.buffer());
            let parts = rounds.parts(requests);
            let answers = state.conclude(&plan, &batch, parts, records)?;
            rounds.collect(answers);
        }
        let answers = rounds.answers();
        let mut records = records.unwrap_or_default();
        state.tell_of(&submissions, &answers, &mut records)?;
        if let Some(noted) = &mut noted {
            noted.handed(first, state.rules.next_lsn());
        }
        let releases = submissions
            .into_iter()
            .zip(answers)
            .map(|(Submission { reply, permit, requests, .. }, (answer, left))| {
                let rest = left.map(|from| state.left_over(requests, from));
                Release::Outcomes(Leaving { answer, reply, permit, rest })
            })
            .collect();
        state.publish(&self.shared);
        state.hand_on(Decided::Made { records, releases, noted }).await
    }

    /// Lets holds expire that are due although nobody asks for anything, and sees to being woken
    /// for the next ones.
    async fn expire(
        &self,
        myself: &ActorRef<CoordinatorMsg>,
        state: &mut CoordinatorState,
    ) -> Result<(), ActorProcessingErr> {
        let Some(due_ns) = state.rules.holds().next_expiry_ns() else { return Ok(()) };
        let wait_ns = due_ns.saturating_sub(state.clock.now_ns());
        // On a disk that is nearly full nothing is journalled without need.
        if wait_ns == 0 && state.submissions.is_empty() && self.shared.disk.refusal().is_none() {
            self.wait_for_journal(state).await?;
            self.decide(state).await?;
            state.publish(&self.shared);
        }
        if !state.waking {
            state.waking = true;
            let wait = Duration::from_nanos(wait_ns).clamp(TICK_MIN, TICK_MAX);
            drop(myself.send_after(wait, || CoordinatorMsg::Tick));
        }
        Ok(())
    }
}

impl CoordinatorState {
    /// What was not taken up of a submission, and the events that must be read first, all of which
    /// were decided by now.
    fn left_over(
        &self,
        mut requests: Vec<Request>,
        from: usize,
    ) -> (Vec<Request>, Vec<(usize, Lsn)>) {
        let rest = requests.split_off(from);
        let unread = |(at, request)| Some((at, self.rules.unread(request)?));
        let unread = rest.iter().enumerate().filter_map(unread).collect();
        (rest, unread)
    }

    /// Turns a decided batch into records and answers.
    fn conclude<'a>(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        parts: impl Iterator<Item = &'a [Request]>,
        records: &mut AppendBuffer,
    ) -> Result<Vec<Answer>, ActorProcessingErr> {
        let mut failed = None;
        records.begin_batch(plan.time_ns());
        let answers = self.rules.conclude(plan, batch, parts, &self.legs, |lsn, record| {
            let pushed = records.push(lsn, |bytes| codec::encode(record, bytes));
            if let Err(error) = pushed {
                failed = Some(error);
            }
        });
        records.end_batch();
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(answers),
        }
    }

    /// Adds the audit events of submissions that are decided.
    fn tell_of(
        &mut self,
        submissions: &[Submission],
        answers: &[(Answer, Option<usize>)],
        records: &mut AppendBuffer,
    ) -> Result<(), ActorProcessingErr> {
        let audits = audit::group(submissions, || self.rules.audit_lsn());
        if audits.is_empty() {
            return Ok(());
        }
        records.begin_batch(self.rules.last_time_ns());
        for group in &audits {
            let event = Record::Audit(audit::told(group, submissions, answers));
            records.push(group.lsn, |bytes| codec::encode(&event, bytes))?;
        }
        records.end_batch();
        Ok(())
    }

    /// Phase one at every partition.
    async fn prepare(
        &mut self,
        plan: &mut Plan,
        batch: &Arc<Batch>,
    ) -> Result<(), ActorProcessingErr> {
        let mut asked = Vec::with_capacity(self.partitions.len());
        for (partition, votes) in self.partitions.iter().zip(&mut self.votes) {
            let (reply, answer) = oneshot::channel();
            let votes = std::mem::take(votes);
            partition.cast(PartitionMsg::Prepare { batch: Arc::clone(batch), votes, reply })?;
            asked.push(answer);
        }
        for (votes, answer) in self.votes.iter_mut().zip(asked) {
            let (cast, told) = answer.await?;
            *votes = cast;
            plan.hear(told);
        }
        Ok(())
    }

    /// Decides, in as many rounds as the waiting votes need: one, unless transfers between
    /// partitions depend on each other.
    async fn decide(&mut self, plan: &mut Plan, batch: &Batch) -> Result<(), ActorProcessingErr> {
        let mut changed = Vec::new();
        loop {
            let (decided, all) = plan.decide(batch, &self.votes, &changed);
            if all {
                return Ok(());
            }
            changed.clear();
            let decided = Arc::new(decided);
            let mut asked = Vec::with_capacity(self.partitions.len());
            for partition in &self.partitions {
                let (reply, answer) = oneshot::channel();
                partition.cast(PartitionMsg::Resolve { decided: Arc::clone(&decided), reply })?;
                asked.push(answer);
            }
            for (votes, answer) in self.votes.iter_mut().zip(asked) {
                let (cast, told) = answer.await?;
                for (item, vote) in cast {
                    votes[item] = vote;
                    changed.push(item);
                }
                plan.hear(told);
            }
        }
    }

    /// Phase two at every partition. Returns the verdicts.
    async fn commit(
        &mut self,
        plan: &Plan,
        batch: &Arc<Batch>,
    ) -> Result<Arc<[Option<Rejection>]>, ActorProcessingErr> {
        let verdicts: Arc<[_]> = plan.verdicts().into();
        let mut asked = Vec::with_capacity(self.partitions.len());
        for (partition, legs) in self.partitions.iter().zip(&mut self.legs) {
            let (reply, answer) = oneshot::channel();
            partition.cast(PartitionMsg::Commit {
                batch: Arc::clone(batch),
                verdicts: Arc::clone(&verdicts),
                legs: std::mem::take(legs),
                reply,
            })?;
            asked.push(answer);
        }
        let mut net = 0;
        for (legs, answer) in self.legs.iter_mut().zip(asked) {
            let (part, done) = answer.await?;
            net += part;
            *legs = done;
        }
        // Conservation, in every build: what a batch takes from accounts it gives to others.
        assert_eq!(net, 0, "a batch debited other than it credited");
        Ok(verdicts)
    }

    /// The legs of the batch that was committed last; others take their place.
    fn take_legs(&mut self) -> Vec<Vec<Legs>> {
        let others = self.reused.legs(self.partitions.len());
        std::mem::replace(&mut self.legs, others)
    }

    /// Gives the journal writer what was decided, and a turn, so that it goes on before the next
    /// batch is put in order.
    async fn hand_on(&self, decided: Decided) -> Result<(), ActorProcessingErr> {
        self.journal.cast(JournalMsg::Append(decided))?;
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Sends one event or a few to the journal writer, who asked for them behind these, and what is to
    /// be told once they are durable.
    pub fn journal(
        &mut self,
        time_ns: u64,
        events: &[(Lsn, Record)],
        tell: impl FnOnce() + Send + 'static,
    ) -> Result<(), ActorProcessingErr> {
        let mut records = self.reused.buffer();
        if !events.is_empty() {
            records.begin_batch(time_ns);
            for (lsn, record) in events {
                records.push(*lsn, |bytes| codec::encode(record, bytes))?;
            }
            if let (Some((first, _)), Some((last, _)), Some(seed)) =
                (events.first(), events.last(), self.auditing.take())
            {
                let event = Record::Audit(Box::new(seed.made(*first, *last, events.len())));
                records.push(self.rules.audit_lsn(), |bytes| codec::encode(&event, bytes))?;
            }
            records.end_batch();
        }
        let releases = vec![Release::Then(Box::new(tell))];
        let decided = Decided::Made { records, releases, noted: None };
        self.journal.cast(JournalMsg::Append(decided))?;
        Ok(())
    }

    /// Shows the numbers that `Handle::status` reads.
    pub fn publish(&self, shared: &Shared) {
        let counters = &shared.counters;
        let last = self.rules.next_lsn().0 - 1;
        counters.last_lsn.store(last, Ordering::Relaxed);
        counters.accounts.store(self.rules.directory().len() as u64, Ordering::Relaxed);
        counters.known_ids.store(self.rules.known().len(), Ordering::Relaxed);
        counters.open_holds.store(self.rules.holds().len(), Ordering::Relaxed);
    }
}
