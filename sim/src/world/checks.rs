//! Answers and states against the model.

use super::{Attempt, World, note};
use crate::faults::Fault;
use crate::journal::SHARD;
use crate::shell::Concluded;
use ducat_engine::codec;
use ducat_engine::coordinator::Answer;
use ducat_engine::ids::Lsn;
use ducat_engine::ledger::Ledger;
use ducat_engine::profile::Details;
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::repeat::{resolve, stored_outcome};
use ducat_engine::testing::book::{self, Event};
use ducat_engine::transfer::Outcome;
use ducat_persistence::{Frame, Journal};
use std::collections::HashMap;

/// The events of a frame.
pub(super) fn events_of(frame: &Frame) -> Result<Vec<Event>, String> {
    let time_ns = frame.header().time_ns;
    let records = codec::decode_all(frame.payload());
    let events: Result<Vec<Event>, String> = (frame.first_lsn().0..)
        .map(Lsn)
        .zip(records)
        .map(|(lsn, record)| {
            Ok(Event { lsn, time_ns, record: record.map_err(|error| error.to_string())? })
        })
        .collect();
    let events = events?;
    if events.len() as u64 != u64::from(frame.header().record_count) {
        return Err("a frame holds other than it says".to_owned());
    }
    Ok(events)
}

impl World<'_> {
    /// An event as the journal has it; from memory where it was trimmed, as an archive would.
    fn read_back(&self, lsn: Lsn) -> Result<(u64, Record), String> {
        let remembered = &self.shell.book.events[lsn.0 as usize - 1];
        if lsn <= self.journal.base() || self.plan.fault == Fault::AnswerBeforeDurable {
            return Ok((remembered.time_ns, remembered.record.clone()));
        }
        let frame = self.journal.frame_at(SHARD, lsn).map_err(|error| error.to_string())?;
        let frame = match frame {
            Some(frame) => frame,
            None if self.plan.fault == Fault::AnswerTheNextToo => {
                return Ok((remembered.time_ns, remembered.record.clone()));
            }
            None => return Err(format!("event {lsn} is not in the journal")),
        };
        let at = usize::try_from(lsn.0 - frame.first_lsn().0).expect("small");
        let event = events_of(&frame)?.swap_remove(at);
        if event != *remembered {
            return Err(format!("event {lsn} was {remembered:?}, the journal has {event:?}"));
        }
        Ok((event.time_ns, event.record))
    }

    fn filled(&self, answer: &Answer) -> Result<Vec<Outcome>, String> {
        let mut answer = answer.clone();
        resolve(&mut answer, |lsn| self.read_back(lsn))?;
        let mut outcomes = answer.outcomes;
        if self.plan.fault == Fault::UnstableRepeat {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.repeat) {
                let lsn = outcome.lsn;
                if let Record::Posted(posted) = self.read_back(lsn)?.1 {
                    let account = |slot| {
                        let host = self.shell.book.ledger.coordinator.layout().partition_of(slot);
                        let account = self.shell.book.ledger.partitions[host].account(slot);
                        account.map(ducat_engine::account::Account::figures)
                    };
                    outcome.debit = outcome.debit.and(account(posted.debit));
                    outcome.credit = outcome.credit.and(account(posted.credit));
                }
            }
        }
        Ok(outcomes)
    }

    /// Answers leave: they are what the model says, and nothing said before has changed.
    pub(super) fn release(&mut self, concluded: &Concluded) -> Result<(), String> {
        self.acknowledged_lsn = self.acknowledged_lsn.max(concluded.lsn.0);
        for (key, answer) in &concluded.answers {
            let outcomes = self.filled(answer)?;
            let Attempt { submission, expected } = &self.attempts[*key];
            let submission = *submission;
            let expected = expected.clone();
            if self.faulty && self.rng.once_in(30) {
                // The caller has gone: nobody is told.
                self.report.count("gone after the decision");
                continue;
            }
            self.submissions[submission].told = true;
            self.compare(&outcomes, &expected, submission)?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        outcomes: &[Outcome],
        expected: &[Outcome],
        submission: usize,
    ) -> Result<(), String> {
        let requests = self.submissions[submission].requests.clone();
        if outcomes.len() != requests.len() {
            return Err("an outcome for every request".to_owned());
        }
        let mut trace = 0;
        for ((got, expected), request) in outcomes.iter().zip(expected).zip(&requests) {
            let mut got = *got;
            if self.plan.fault == Fault::SkipDedupe {
                got.id = request.id();
            }
            note(|| format!("      told {got:?}"));
            if got != *expected {
                return Err(format!("{request:?}:\n     got {got:?}\nexpected {expected:?}"));
            }
            if got.rejection != Some(Rejection::IdReused) {
                self.remember(Outcome { repeat: false, ..got })?;
            }
            let rule = got.rejection.map_or(0, Rejection::number);
            self.report.outcomes += 1;
            self.report.repeats += u64::from(got.repeat);
            *self.report.refusals.entry(rule).or_default() += 1;
            trace = (trace ^ got.lsn.0 ^ (got.time_ns << 20)).rotate_left(7);
            trace ^= u64::from(rule) << 50;
            trace ^= got.debit.map_or(0, |figures| figures.posted as u64);
        }
        self.report.trace(trace);
        Ok(())
    }

    /// What was said of an id once is said for as long as ids are remembered, at least.
    fn remember(&mut self, said: Outcome) -> Result<(), String> {
        let before = self.acknowledged.insert(said.id, said);
        let Some(before) = before.filter(|before| *before != said) else { return Ok(()) };
        let forgotten = said.time_ns >= before.time_ns + self.plan.remember_ns;
        if before.lsn == said.lsn || !forgotten {
            return Err(format!("told {before:?} before, now {said:?}"));
        }
        self.report.count("forgotten ids used again");
        Ok(())
    }

    /// Nothing being on its way: accounts as in the model, no hold, no money made or lost.
    pub(super) fn check_state(&self) -> Result<(), String> {
        check_ledger(&self.shell.book.ledger, &self.model)
    }

    pub(super) fn check_end(&mut self) -> Result<(), String> {
        self.check_state()?;
        let waits = self.submissions.iter().filter(|s| !s.told && !s.abandoned).count();
        if waits > 0 || !self.script.is_empty() {
            return Err(format!("faults have stopped, and {waits} submissions have no answer"));
        }
        let mut kept = Vec::new();
        let base = self.journal.base();
        let frames = self.journal.read(SHARD, base.next()).map_err(|error| error.to_string())?;
        for frame in frames {
            kept.extend(events_of(&frame.map_err(|error| error.to_string())?)?);
        }
        let events = &self.shell.book.events;
        if kept[..] != events[base.0 as usize..] {
            return Err("the journal holds other events than happened".to_owned());
        }
        self.report.events = events.len() as u64;
        self.check_events(events)?;
        self.check_sagas()?;
        self.check_schedules()?;
        let events = &self.shell.book.events;
        let summary = self.shell.book.ledger.summary();
        for partitions in [1, 4] {
            let again = book::replay(partitions, self.plan.remember_ns, events);
            let again = again.map_err(|why| format!("replay: {why}"))?;
            if again.summary() != summary {
                return Err(format!("replay on {partitions} partitions gives another state"));
            }
        }
        let hash = u64::from_le_bytes(summary.0[..8].try_into().expect("eight"));
        self.report.trace(hash);
        self.count_disk();
        Ok(())
    }

    /// Every id is decided once in the time it is remembered, and as it was told.
    fn check_events(&self, events: &[Event]) -> Result<(), String> {
        let mut decided = HashMap::new();
        for event in events {
            let Some(id) = event.record.transfer_id() else { continue };
            if let Some(before) = decided.insert(id, event.time_ns)
                && event.time_ns < before + self.plan.remember_ns
            {
                return Err(format!("transfer {id} was decided twice within its life"));
            }
        }
        for (id, said) in &self.acknowledged {
            let event = &events[said.lsn.0 as usize - 1];
            let stored = stored_outcome(event.lsn, event.time_ns, &event.record);
            let stored = Outcome { repeat: false, currency: said.currency, ..stored };
            if stored != *said {
                return Err(format!("transfer {id}: told {said:?}, journalled {stored:?}"));
            }
        }
        Ok(())
    }

    fn count_disk(&mut self) {
        let counts = self.disk.lock().counts.clone();
        for ((phase, op), times) in counts.cut {
            self.report.count_many(&format!("cut: {phase:?}/{op:?}"), times);
        }
        for (what, times) in [
            ("disk: syncs failed", counts.failed_syncs),
            ("disk: writes failed", counts.failed_writes),
            ("disk: full", counts.full),
            ("disk: sectors torn", counts.torn_sectors),
            ("disk: sectors lost", counts.lost_sectors),
            ("disk: unsynced sectors kept", counts.kept_sectors),
            ("disk: names lost", counts.lost_names),
        ] {
            self.report.count_many(what, times);
        }
        self.report.count_many("messages", self.shell.messages as u64);
        let again = self.shell.rounds_again as u64;
        self.report.count_many("rounds for what was left over", again);
    }
}

/// Whether a ledger at rest is what the model says.
pub(super) fn check_ledger(
    ledger: &Ledger,
    model: &ducat_engine::model::SerialLedger,
) -> Result<(), String> {
    let mut accounts = 0;
    for (slot, account) in ledger.partitions.iter().flat_map(|partition| partition.accounts()) {
        accounts += 1;
        let view = ledger.view(slot);
        let expected = model.account(account.id());
        if view != expected || !account.is_settled() {
            return Err(format!("account:\n     got {view:?}\nexpected {expected:?}"));
        }
        let known = model.known(account.id()).ok_or("the model knows nothing of an account")?;
        let details = ledger.coordinator.profiles().get(slot).map(|d| Details::clone(d));
        let details = details.unwrap_or_default();
        let reason = details.note.map(|note| (note.lsn, note.reason));
        // Its opening is the first of the model's history, and no change.
        let last_lsn = known.history[1..].last().copied().unwrap_or_default();
        if (&details.profile, &reason, details.last_lsn)
            != (&known.profile, &known.reason, last_lsn)
        {
            return Err(format!("slot {}: {reason:?} is known, expected {known:?}", slot.0));
        }
    }
    if accounts != model.account_ids().count() {
        return Err(format!("{accounts} accounts are not those of the model"));
    }
    let (next, last) = (ledger.coordinator.next_lsn(), model.last_lsn());
    if next != last.next() {
        return Err(format!("the ledger's next event is {next}, the model's last {last}"));
    }
    let (known, expected) = (ledger.coordinator.known().len(), model.known_ids());
    if known != expected {
        return Err(format!("{known} ids are remembered instead of {expected}"));
    }
    let (open, expected) = (ledger.coordinator.holds().len(), model.open_holds());
    if open != expected {
        return Err(format!("{open} holds are open instead of {expected}"));
    }
    ledger.check_holds().map_err(|wrong| wrong.to_string())?;
    match ledger.totals().iter().find(|(_, sums)| sums.internal + sums.external != 0) {
        Some(wrong) => Err(format!("money was made or lost: {wrong:?}")),
        None => Ok(()),
    }
}
