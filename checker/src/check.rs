//! The walk through the journal: event by event into linked groups, each group to whoever asked
//! for it, and to the rules.

use crate::books::Books;
use crate::calls::{Calls, Items, group_of};
use crate::duplicates::IdsAt;
use crate::event::{Event, Stored};
use crate::fault::{Kind, Report};
use crate::fees::{FeeBook, Leg};
use crate::history::{AccountChange, BadHistory, History, SeenEntry, Told};
use crate::holds::HoldBook;
use crate::index::{Index, Open};
use crate::judge::Verdict;
use crate::order;
use crate::refunds::{Did, Given};
use ducat_engine::codec::{DecodeError, decode_all};
use ducat_engine::holds::Hold;
use ducat_engine::ids::{AccountId, Lsn, ShardId, Slot, TransferId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::request::Request;
use ducat_persistence::{Journal, JournalError, ReplayError};
use foldhash::fast::FixedState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use thiserror::Error;

/// What the history claims of itself, and what is held against it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everyone who sends transfers to this ledger is in the history, so that no event may be
    /// unknown to it.
    pub complete: bool,
    /// Every request was answered in the end, by asking again if need be.
    pub all_answered: bool,
    /// Clients ask again by themselves, so that the first answer may be marked as a repeat.
    pub hidden_retries: bool,
    /// How long ids are remembered at least, nanoseconds of journalled time. A pause between two
    /// new ids counts as a 24th of it at most.
    pub remember_ns: u64,
    /// The accounts as they stood when the journal's first event came; no fees were attached then.
    pub books: Books,
    /// The open holds as they stood then.
    pub holds: Vec<Hold>,
    /// The LSN of that event.
    pub first_lsn: Lsn,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            complete: true,
            all_answered: false,
            hidden_retries: false,
            remember_ns: REMEMBER_NS,
            books: Books::default(),
            holds: Vec::new(),
            first_lsn: Lsn(1),
        }
    }
}

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The history cannot be read.
    #[error("could not read the history")]
    History(#[from] BadHistory),
    /// The journal refuses to be read.
    #[error("could not read the journal")]
    Journal(#[from] JournalError),
}

/// Holds a history against a journal, to which it listens event by event.
pub struct Checker<'h> {
    pub(crate) history: &'h History,
    pub(crate) options: Options,
    pub(crate) index: Index,
    pub(crate) report: Report,
    calls: Calls<'h>,
    pub(crate) books: Books,
    pub(crate) holds: HoldBook,
    /// The changes of accounts so far.
    pub(crate) changes: HashMap<Lsn, (AccountId, AccountChange), FixedState>,
    /// What was given back of transfers, by their events.
    pub(crate) refunded: HashMap<Lsn, Given, FixedState>,
    /// What the events did that decided the originals of refunds, oldest first.
    pub(crate) originals: HashMap<TransferId, Vec<(Lsn, Did)>, FixedState>,
    /// Schedules of fees.
    pub(crate) fees: FeeBook,
    /// The legs that come next, if that is known.
    pub(crate) legs: Option<VecDeque<Leg>>,
    pub(crate) ids: IdsAt,
    next_lsn: Lsn,
    last_time_ns: u64,
    /// Events of a group that is not whole yet.
    queue: VecDeque<Event>,
    head: Option<Head>,
    pub(crate) again_at: usize,
    pub(crate) reads_at: usize,
    /// Events that repeats of groups speak of.
    pub(crate) needed: HashMap<Lsn, Option<Stored>, FixedState>,
    /// The accounts of which entries were read.
    pub(crate) listed: HashSet<AccountId, FixedState>,
    /// Their statements.
    pub(crate) lines: HashMap<Slot, Vec<SeenEntry>, FixedState>,
    /// Answers that speak of an event which is another's, or is not there.
    pub(crate) orphans: Vec<(Request, Told)>,
    /// Members of groups without an answer that can only have been known before.
    pub(crate) known: Vec<(Request, Lsn)>,
}

/// Who asked for the first event of the queue.
enum Asker {
    /// It is no transfer.
    NoTransfer,
    /// A group of a call that was answered.
    Told(Items, Range<usize>),
    /// One of these, which were not.
    Open(Vec<Open>),
    /// No one that we know of.
    Nobody,
}

struct Head {
    asker: Asker,
    /// Events that must be looked at together.
    events: usize,
}

/// An event's request, the answer to it, and what the rules give, as far as they are known.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub request: Option<&'a Request>,
    pub told: Option<&'a Told>,
    pub verdict: Option<Verdict>,
}

impl<'h> Checker<'h> {
    /// Reads the history; the journal's events come next.
    ///
    /// # Errors
    /// [`BadHistory`].
    pub fn new(history: &'h History, options: Options) -> Result<Self, BadHistory> {
        let mut index = Index::of(history)?;
        let mut report = Report {
            transfers: index.transfers,
            answered: index.answered,
            repeats: index.repeats,
            read: index.read,
            ..Report::default()
        };
        order::check(&mut index.moments, &mut report);
        let fresh = std::mem::take(&mut index.fresh);
        let mut checker = Self {
            history,
            calls: Calls::new(history, fresh),
            books: options.books.clone(),
            holds: HoldBook::begin_with(&options.holds),
            changes: HashMap::default(),
            refunded: HashMap::default(),
            originals: HashMap::default(),
            fees: FeeBook::default(),
            legs: Some(VecDeque::new()),
            next_lsn: options.first_lsn,
            ids: IdsAt::new(options.remember_ns),
            options,
            index,
            report,
            last_time_ns: 0,
            queue: VecDeque::new(),
            head: None,
            again_at: 0,
            reads_at: 0,
            needed: HashMap::default(),
            listed: HashSet::default(),
            lines: HashMap::default(),
            orphans: Vec::new(),
            known: Vec::new(),
        };
        checker.expect_groups();
        checker.expect_entries()?;
        Ok(checker)
    }

    /// Takes the next event, in the order of LSNs.
    ///
    /// # Errors
    /// [`BadHistory`].
    pub fn event(&mut self, event: Event) -> Result<(), BadHistory> {
        let (lsn, time_ns) = (event.lsn, event.time_ns);
        if lsn != self.next_lsn {
            let next = self.next_lsn;
            self.report.add(Kind::Gap, lsn, || format!("LSN {next} comes next"));
        }
        if time_ns < self.last_time_ns {
            let last = self.last_time_ns;
            self.report.add(Kind::TimeTravel, lsn, || {
                format!("decided at {time_ns} ns, after an event decided at {last} ns")
            });
        }
        if self.report.events == 0 {
            self.reads_before(lsn)?;
        }
        self.next_lsn = lsn.next();
        self.last_time_ns = time_ns;
        self.report.events += 1;
        if let Some(id) = event.record.transfer_id() {
            self.ids.add(id, lsn, time_ns);
        }
        self.queue.push_back(event);
        self.drain(false)
    }

    /// Ends the journal, and says what is wrong.
    ///
    /// # Errors
    /// [`BadHistory`].
    pub fn finish(mut self) -> Result<Report, BadHistory> {
        self.drain(true)?;
        self.no_legs_left(self.next_lsn);
        if self.report.events == 0 {
            self.reads_before(self.next_lsn)?;
        }
        self.ids.sort();
        let beyond = self.calls.rest()?;
        self.orphans.extend(beyond);
        self.end_repeats();
        self.end_reads()?;
        self.end_ids();
        if self.options.all_answered {
            for (requests, _) in &self.index.open {
                let many = requests.len();
                let first = requests.first().map(Request::id);
                self.report.add(Kind::Unanswered, Lsn::ZERO, || {
                    format!("a call of {many} transfers, the first of which is {first:?}")
                });
            }
        }
        Ok(self.report)
    }

    /// The event that comes next.
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// Takes whole groups off the queue. `flush`: no more will come.
    fn drain(&mut self, flush: bool) -> Result<(), BadHistory> {
        while let Some(front) = self.queue.front() {
            let head = match self.head.take() {
                Some(head) => head,
                None => {
                    let (lsn, id) = (front.lsn, front.record.transfer_id());
                    self.head_of(lsn, id)?
                }
            };
            if self.queue.len() < head.events && !flush {
                self.head = Some(head);
                return Ok(());
            }
            match head.asker {
                Asker::NoTransfer => self.take(&[Asked::default()], None)?,
                Asker::Told(items, group) => self.told_group(&items[group], head.events)?,
                Asker::Open(candidates) => self.open_group(&candidates)?,
                Asker::Nobody => self.nobody()?,
            }
        }
        Ok(())
    }

    /// Finds out who asked for the event at `lsn`.
    fn head_of(&mut self, lsn: Lsn, id: Option<TransferId>) -> Result<Head, BadHistory> {
        let claims = self.calls.claims(lsn, id)?;
        self.orphans.extend(claims.orphans);
        for _ in 0..claims.doubles {
            self.report.add(Kind::DoubleEffect, lsn, || format!("{id:?} was new to two callers"));
        }
        let Some(id) = id else { return Ok(Head { asker: Asker::NoTransfer, events: 1 }) };
        if let Some((items, item)) = claims.creator {
            let group = group_of(&items, item, |(request, _)| request.linked());
            let events = items[group.clone()].iter().filter(|(_, told)| !told.repeat).count();
            return Ok(Head { asker: Asker::Told(items, group), events });
        }
        let Some(candidates) = self.index.open_ids.get(&id) else {
            return Ok(Head { asker: Asker::Nobody, events: 1 });
        };
        let size = |(call, item): &Open| {
            group_of(&self.index.open[*call].0, *item, |request| request.linked()).len()
        };
        let events = candidates.iter().map(size).max().unwrap_or(1);
        Ok(Head { asker: Asker::Open(candidates.clone()), events })
    }

    /// What the next events say of requests, as many as are there.
    fn stored(&self, many: usize) -> Vec<Stored> {
        let events = self.queue.iter().take(many);
        events.map_while(|event| Stored::of(event, &self.books)).collect()
    }

    /// A group that was answered: its new members are the next events, in order.
    fn told_group(&mut self, group: &[(Request, Told)], many: usize) -> Result<(), BadHistory> {
        if let [(request, told)] = group {
            // By far the most.
            let stored = self.queue.front().and_then(|event| Stored::of(event, &self.books));
            let stored = stored.filter(|stored| stored.is(request));
            let judged = stored.map(|stored| self.judge_one(request, &stored));
            let (verdict, legs) = judged.unzip();
            return self.take(&[Asked { request: Some(request), told: Some(told), verdict }], legs);
        }
        let stored = self.stored(many);
        let fresh: Vec<&(Request, Told)> = group.iter().filter(|(_, told)| !told.repeat).collect();
        let whole = stored.len() == many
            && stored.iter().zip(&fresh).all(|(s, (_, told))| s.lsn == told.lsn && s.id == told.id);
        if !whole {
            let lsn = stored.first().map_or(Lsn::ZERO, |stored| stored.lsn);
            self.report.add(Kind::TornGroup, lsn, || {
                format!("{many} events of one linked group are not in one piece: {group:?}")
            });
            let (request, told) = (Some(&fresh[0].0), Some(&fresh[0].1));
            return self.take(&[Asked { request, told, verdict: None }], None);
        }
        let requests: Vec<&Request> = fresh.iter().map(|(request, _)| request).collect();
        let (verdicts, legs) = self.judge(&requests, &stored, many < group.len()).unzip();
        let asked: Vec<Asked<'_>> = (0..many)
            .map(|at| Asked {
                request: Some(&fresh[at].0),
                told: Some(&fresh[at].1),
                verdict: verdicts.as_ref().map(|verdicts| verdicts[at]),
            })
            .collect();
        self.take(&asked, legs)
    }

    /// A group that was not answered: one of several requests perhaps, each of which may have
    /// been known in part.
    fn open_group(&mut self, candidates: &[Open]) -> Result<(), BadHistory> {
        let open = std::mem::take(&mut self.index.open);
        let mut best: Option<(Vec<&Request>, Vec<&Request>, bool)> = None;
        let mut best_legs = None;
        for (call, item) in candidates {
            let (requests, moment) = &open[*call];
            let group = &requests[group_of(requests, *item, |request| request.linked())];
            let stored = self.stored(group.len());
            let (mut fresh, mut known) = (Vec::new(), Vec::new());
            for member in group {
                match stored.get(fresh.len()) {
                    Some(next) if next.is(member) => fresh.push(member),
                    _ => known.push(member),
                }
            }
            let fits = fresh.first().is_some_and(|first| first.id() == stored[0].id);
            if !fits || self.index.moments[*moment].floor >= stored[0].lsn {
                continue;
            }
            let judged = self.judge(&fresh, &stored[..fresh.len()], !known.is_empty());
            let (verdicts, legs) = judged.unzip();
            let right = verdicts.is_some_and(|verdicts| {
                let mut pairs = verdicts.iter().zip(&stored);
                pairs.all(|(verdict, stored)| verdict.broken_by(stored).is_none())
            });
            // Where several would be right, the one that explains most events: a group that is
            // taken for one of which the rest was known leaves members behind that fit nowhere.
            let rank = |right: bool, fresh: &[&Request]| right.then_some(fresh.len());
            let before = best.as_ref().map(|(fresh, _, right)| rank(*right, fresh));
            if before.is_none_or(|before| rank(right, &fresh) > before) {
                best = Some((fresh, known, right));
                best_legs = legs.filter(|_| right);
            }
        }
        let Some((fresh, known, right)) = best else {
            let stored = self.stored(1);
            self.report.add(Kind::UnknownId, stored[0].lsn, || {
                format!("its id was sent with other content, or later: {:?}", stored[0])
            });
            self.take(&[Asked::default()], None)?;
            self.index.open = open;
            return Ok(());
        };
        let stored = self.stored(fresh.len());
        let lsn = stored[0].lsn;
        if !right {
            let stored = &stored;
            self.report.add(Kind::WrongOutcome, lsn, || {
                format!("the rules do not give what became of {fresh:?}: {stored:?}")
            });
        }
        // A group may name an id twice.
        let known = known.iter().filter(|known| fresh.iter().all(|fresh| fresh.id() != known.id()));
        self.known.extend(known.map(|request| ((*request).clone(), lsn)));
        let asked: Vec<Asked<'_>> = fresh
            .into_iter()
            .map(|request| Asked { request: Some(request), ..Asked::default() })
            .collect();
        self.take(&asked, best_legs)?;
        self.index.open = open;
        Ok(())
    }

    /// A transfer that no request without an answer explains, and that nobody was told to be new.
    fn nobody(&mut self) -> Result<(), BadHistory> {
        let stored = self.stored(1);
        let lsn = stored[0].lsn;
        let again = &self.index.again[self.again_at..];
        let told = again.iter().take_while(|again| again.told.lsn <= lsn);
        let repeated = told.into_iter().any(|again| !again.read && again.told.lsn == lsn);
        let repeated = repeated || self.needed.contains_key(&lsn);
        if repeated && !self.options.hidden_retries {
            self.report.add(Kind::ChangedOutcome, lsn, || {
                format!("every answer calls {} a repeat, and it was new to nobody", stored[0].id)
            });
        } else if !repeated && self.options.complete {
            self.report.add(Kind::UnknownId, lsn, || format!("nobody sent {:?}", stored[0]));
        }
        self.take(&[Asked::default()], None)
    }

    /// Takes the next events, one for each request, off the queue. `legs`: the fees that follow
    /// them, where that is known.
    fn take(&mut self, asked: &[Asked<'_>], mut legs: Option<Vec<Leg>>) -> Result<(), BadHistory> {
        let many = asked.len();
        for (nth, asked) in asked.iter().enumerate() {
            let Some(event) = self.queue.pop_front() else { return Ok(()) };
            if nth > 0 {
                // The first one's claims were asked for when its head was found.
                let claims = self.calls.claims(event.lsn, event.record.transfer_id())?;
                self.orphans.extend(claims.orphans);
            }
            self.replay(&event, *asked)?;
            if event.record.transfer_id().is_some() {
                self.legs = legs.take_if(|_| nth + 1 == many).map(VecDeque::from);
            }
        }
        Ok(())
    }
}

/// An event whose bytes cannot be decoded.
#[derive(Debug, Error)]
#[error("record {lsn} cannot be decoded")]
struct Undecodable {
    lsn: Lsn,
    source: DecodeError,
}

/// Holds a history against a journal that nobody writes to.
///
/// # Errors
/// [`CheckError`]: a damaged journal is an error, not a fault of the history.
pub fn check_journal(
    history: &History,
    journal: &dyn Journal,
    shard: ShardId,
    options: Options,
) -> Result<Report, CheckError> {
    let mut checker = Checker::new(history, options)?;
    let mut failed = None;
    journal.scan(shard, &mut |frame, _| {
        let time_ns = frame.header().time_ns;
        let mut lsn = frame.first_lsn();
        for record in decode_all(frame.payload()) {
            let undecodable = |source| ReplayError::new(Undecodable { lsn, source });
            let record = record.map_err(undecodable)?;
            if failed.is_none() {
                failed = checker.event(Event { lsn, time_ns, record }).err();
            }
            lsn = lsn.next();
        }
        Ok(())
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(checker.finish()?),
    }
}
