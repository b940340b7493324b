//! Crashes, damage, and starts from the newest snapshot that can be used and the journal.

use super::checks::{check_ledger, events_of};
use super::{World, ledger_id, note, remembered};
use crate::disk::{Flipped, Phase, Rates, Shared};
use crate::faults::Fault;
use crate::journal::{SHARD, SimJournal};
use crate::plan::Plan;
use crate::shell::Shell;
use crate::snapshots;
use ducat_engine::ids::{Lsn, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::record::Record;
use ducat_engine::testing::book::{self, Book, Event};
use ducat_persistence::{AppendBuffer, Frame, Journal, JournalError, ReplayError, Tail, Writer};

/// Starts that may fail because the disk does, before it is left alone.
const STARTS_MAX: usize = 4;

/// What a start came to.
struct Started {
    journal: SimJournal,
    writer: Box<dyn Writer>,
    tail: Tail,
    ledger: Ledger,
    /// The LSN of the snapshot it began with.
    from: Option<Lsn>,
    rejected: Vec<(Lsn, String)>,
}

/// Why there was none.
enum Refused {
    /// The disk failed, or the power is gone.
    Disk(String),
    /// Something acknowledged is missing or changed, or nothing reaches back far enough.
    Damaged(String),
    /// The events in the journal cannot be.
    Impossible(String),
}

impl From<JournalError> for Refused {
    fn from(error: JournalError) -> Self {
        let text = format!("{error:?}");
        match error {
            JournalError::Io { .. } | JournalError::Store { .. } => Self::Disk(text),
            JournalError::Replay { .. } => Self::Impossible(text),
            _ => Self::Damaged(text),
        }
    }
}

pub(super) fn open_empty(
    disk: &Shared,
    plan: &Plan,
) -> Result<(SimJournal, Box<dyn Writer>, Tail), String> {
    let journal = SimJournal::open(disk, ledger_id(), plan.options, plan.fault);
    let journal = journal.map_err(|error| error.to_string())?;
    let opened = journal.open_writer_with(SHARD, "sim", &mut |_, _| Ok(()));
    let (writer, tail) = opened.map_err(|error| error.to_string())?;
    Ok((journal, writer, tail))
}

/// Applies a frame's events, each of which must have happened.
fn apply(ledger: &mut Ledger, truth: &[Event], frame: &Frame) -> Result<(), String> {
    for event in events_of(frame)? {
        if ledger.coordinator.next_lsn() < event.lsn {
            return Err(format!("NOT REACHED: the journal begins at {}", event.lsn));
        }
        if truth.get(event.lsn.0 as usize - 1) != Some(&event) {
            return Err(format!("event {} never happened: {event:?}", event.lsn));
        }
        book::apply(ledger, &event).map_err(|why| why.to_string())?;
    }
    Ok(())
}

impl World<'_> {
    /// The process ends, mostly with the machine; then the next one starts.
    pub(super) fn crash(&mut self) -> Result<(), String> {
        let power = self.disk.lock().is_dead() || !self.rng.once_in(3);
        self.report.count(if power { "power cuts" } else { "kills" });
        note(|| format!("----- {}", if power { "power cut" } else { "killed" }));
        self.report.trace(u64::from(power));
        {
            let mut disk = self.disk.lock();
            if power { disk.power_cycle() } else { disk.wake() }
        }
        self.arrived.clear();
        (self.waiting, self.waiting_releases) = (AppendBuffer::new(), Vec::new());
        (self.flying, self.taking, self.writing) = (None, None, None);
        let partitions = 1 << self.rng.below(4);
        for number in 0.. {
            let faulty = self.faulty && number < STARTS_MAX;
            let spoiled = if faulty && self.rng.once_in(6) { self.spoil() } else { None };
            let rates =
                if faulty && spoiled.is_none() { self.plan.rates } else { Rates::default() };
            self.disk.lock().rates = rates;
            if faulty && spoiled.is_none() && self.plan.cuts > 0 && self.rng.once_in(self.plan.cuts)
            {
                let fuse = self.rng.below(12);
                self.disk.lock().set_fuse(Some(fuse));
            }
            let started = self.start(partitions);
            self.disk.lock().set_fuse(None);
            match started {
                Ok(started) => {
                    self.undo(&spoiled, true);
                    self.take_over(started, spoiled.is_some(), partitions)?;
                    break;
                }
                Err(Refused::Disk(why)) if number < STARTS_MAX => {
                    note(|| format!("----- the start fails: {why}"));
                    let mut disk = self.disk.lock();
                    self.report.count(if disk.is_dead() {
                        "power cut in a start"
                    } else {
                        "start failed"
                    });
                    if disk.is_dead() { disk.power_cycle() } else { disk.wake() }
                }
                Err(Refused::Damaged(why)) if spoiled.is_some() => {
                    note(|| format!("----- damage is loud: {why}"));
                    self.report.count("damage refused");
                }
                Err(Refused::Disk(why) | Refused::Damaged(why) | Refused::Impossible(why)) => {
                    return Err(format!("the start is refused: {why}"));
                }
            }
            self.undo(&spoiled, false);
        }
        self.set_rates();
        self.ask_again();
        Ok(())
    }

    /// A bit flips somewhere: in the mark, a segment or a snapshot.
    fn spoil(&mut self) -> Option<Flipped> {
        let mut names = self.disk.lock().list("journal");
        let of = self.rng.below(4);
        if of == 0 {
            names = vec!["mark".to_owned()];
        } else if of == 1 {
            names = self.disk.lock().list(snapshots::DIR);
        }
        let name = (!names.is_empty()).then(|| names.swap_remove(self.rng.below(names.len())))?;
        let flipped = self.disk.lock().flip(&name);
        if let Some(flipped) = &flipped {
            note(|| format!("----- a bit flips: {flipped:?}"));
            self.report.count("bits flipped");
        }
        flipped
    }

    /// What was flipped is made right, as from a copy. After a start only in snapshots: it wrote
    /// the spoiled slot of the mark anew, and has read all of the journal that it needs.
    fn undo(&mut self, spoiled: &Option<Flipped>, started: bool) {
        let of_snapshot = |name: &str| name.starts_with(snapshots::DIR);
        if let Some(spoiled) =
            spoiled.as_ref().filter(|flipped| !started || of_snapshot(&flipped.name))
        {
            self.disk.lock().unflip(spoiled);
        }
    }

    fn start(&mut self, partitions: usize) -> Result<Started, Refused> {
        self.disk.lock().phase = Phase::Start;
        let plan = self.plan;
        let journal = SimJournal::open(&self.disk, ledger_id(), plan.options, plan.fault)?;
        snapshots::remove_leftovers(&self.disk)
            .map_err(|error| Refused::Disk(error.to_string()))?;
        let making = (partitions, self.rng.next(), remembered(plan));
        let mut rejected = Vec::new();
        for lsn in snapshots::list(&self.disk) {
            let why = match snapshots::load(&self.disk, ledger_id(), lsn, making) {
                Err(why) => why,
                Ok((mut ledger, summary)) => {
                    let truth = &self.shell.book.events;
                    let opened = journal.open_writer_after(
                        SHARD,
                        "sim",
                        summary.header.anchor,
                        &mut |frame, _| apply(&mut ledger, truth, frame).map_err(ReplayError::new),
                    );
                    match opened {
                        Ok((writer, tail)) => {
                            let from = Some(lsn);
                            return Ok(Started { journal, writer, tail, ledger, from, rejected });
                        }
                        Err(
                            error @ (JournalError::OtherHistory { .. }
                            | JournalError::Trimmed { .. }
                            | JournalError::Replay { .. }),
                        ) => format!("{error:?}"),
                        Err(error) => return Err(error.into()),
                    }
                }
            };
            note(|| format!("----- the snapshot at {lsn} is not used: {why}"));
            rejected.push((lsn, why));
        }
        let mut ledger = book::empty(partitions, making.2);
        let truth = &self.shell.book.events;
        let opened = journal.open_writer_with(SHARD, "sim", &mut |frame, _| {
            apply(&mut ledger, truth, frame).map_err(ReplayError::new)
        });
        let (writer, tail) = opened.map_err(|error| match Refused::from(error) {
            Refused::Impossible(why) if why.contains("NOT REACHED") => {
                Refused::Damaged(format!("{why}; rejected: {rejected:?}"))
            }
            other => other,
        })?;
        if ledger.coordinator.next_lsn() < tail.next_lsn {
            return Err(Refused::Damaged(format!("nothing reaches back; rejected: {rejected:?}")));
        }
        Ok(Started { journal, writer, tail, ledger, from: None, rejected })
    }

    /// The new process goes on where the old one ended, as far as that is known.
    fn take_over(
        &mut self,
        started: Started,
        spoiled: bool,
        partitions: usize,
    ) -> Result<(), String> {
        let Started { journal, writer, tail, ledger, from, rejected } = started;
        let last = tail.next_lsn.0 - 1;
        note(|| format!("----- started at {last} from {from:?}, {:?} dropped", tail.dropped));
        if let Some((lsn, why)) = rejected.first().filter(|_| !spoiled) {
            return Err(format!("the snapshot at {lsn}, which is whole, is not used: {why}"));
        }
        if last < self.acknowledged_lsn {
            let told = self.acknowledged_lsn;
            return Err(format!("event {told} was acknowledged, and the journal ends at {last}"));
        }
        if tail.epoch.0 <= self.epoch && !spoiled {
            return Err(format!("epoch {} comes after {}", tail.epoch.0, self.epoch));
        }
        self.epoch = self.epoch.max(tail.epoch.0);
        let model = self.models.get(&last).ok_or("an append was taken apart")?;
        check_ledger(&ledger, model)?;
        self.model = model.clone();
        self.models.retain(|at, _| *at <= last);
        let mut events = std::mem::take(&mut self.shell.book.events);
        events.truncate(last as usize);
        if self.rng.once_in(4) {
            let again = book::replay(2, remembered(self.plan), &events);
            let again = again.map_err(|why| format!("replay: {why}"))?;
            if again.summary() != ledger.summary() {
                return Err("a start gives another state hash than replay".to_owned());
            }
        }
        self.count_start(&tail, from, &rejected);
        let ledger = match self.plan.fault {
            Fault::ForgetIdsAtRestart => replay_without_ids(partitions, &events)?,
            _ => ledger,
        };
        let (messages, again) = (self.shell.messages, self.shell.rounds_again);
        self.shell = Shell::new(Book { ledger, events }, self.plan.fault);
        (self.shell.messages, self.shell.rounds_again) = (messages, again);
        (self.journal, self.writer) = (journal, writer);
        self.acknowledged_lsn = last;
        for (lsn, step) in self.operations.drain(..).rev() {
            if lsn > last {
                self.script.push_front(step);
            }
        }
        self.report.trace(last);
        Ok(())
    }

    fn count_start(&mut self, tail: &Tail, from: Option<Lsn>, rejected: &[(Lsn, String)]) {
        self.report.count(if from.is_some() {
            "start from a snapshot"
        } else {
            "start from the journal"
        });
        self.report.count_many("snapshots rejected", rejected.len() as u64);
        self.report.count_many("torn tails dropped", u64::from(tail.dropped.is_some()));
        let kept = u64::from(tail.unacknowledged_records > 0);
        self.report.count_many("whole unacknowledged appends kept", kept);
    }

    fn ask_again(&mut self) {
        let mut again = Vec::new();
        for (at, submission) in self.submissions.iter_mut().enumerate() {
            let wanted = if submission.driven {
                false
            } else if submission.told || submission.abandoned {
                self.faulty && self.rng.once_in(6)
            } else {
                true
            };
            if wanted {
                submission.abandoned = false;
                again.push(at);
            }
        }
        self.rng.shuffle(&mut again);
        self.arrived.extend(again);
        self.ask_for_sagas_again();
    }
}

/// [`Fault::ForgetIdsAtRestart`].
fn replay_without_ids(partitions: usize, events: &[Event]) -> Result<Ledger, String> {
    let mut blurred = events.to_vec();
    for event in &mut blurred {
        let stray = TransferId::new(u128::MAX - u128::from(event.lsn.0)).expect("not zero");
        match &mut event.record {
            Record::Posted(p) | Record::PostedLinked(p) => p.id = stray,
            Record::Refused(r) | Record::RefusedLinked(r) => r.id = stray,
            // Holds are known by theirs, and the others consume none.
            _ => {}
        }
    }
    book::replay(partitions, u64::MAX, &blurred).map_err(|why| why.to_string())
}
