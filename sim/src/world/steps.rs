//! The journal, snapshots and the clock, step by step.

use super::{Action, Flying, World, ledger_id, note};
use crate::faults::Fault;
use crate::journal::SHARD;
use crate::shell::Concluded;
use crate::snapshots::{self, Taking, Writing};
use ducat_engine::codec;
use ducat_engine::ids::Lsn;
use ducat_engine::testing::book::Event;
use ducat_persistence::{AppendBuffer, AppendError, Journal};

/// Lays events out as the coordinator does: a batch for each run of one decision time.
pub(super) fn push(buffer: &mut AppendBuffer, events: &[Event]) -> Result<(), String> {
    for batch in events.chunk_by(|one, next| one.time_ns == next.time_ns) {
        buffer.begin_batch(batch[0].time_ns);
        for event in batch {
            let pushed = buffer.push(event.lsn, |bytes| codec::encode(&event.record, bytes));
            pushed.map_err(|error| error.to_string())?;
        }
        buffer.end_batch();
    }
    Ok(())
}

/// Takes the next piece of a part of a snapshot; with none left, all of it was given.
fn keep<P>(piece: Option<P>, pieces: &mut Vec<P>, given: &mut bool) {
    match piece {
        Some(piece) => pieces.push(piece),
        None => *given = true,
    }
}

impl World<'_> {
    /// Time passes, mostly forwards; the clock is set ahead, set back and stands still.
    pub(super) fn tick(&mut self) -> u64 {
        self.now_ns += self.rng.below(5) as u64;
        if self.plan.clock > 0 && self.faulty && self.rng.once_in(self.plan.clock) {
            let far = (self.plan.remember_ns / 8).min(10_000) as usize;
            match self.rng.below(10) {
                0 => {
                    self.now_ns += self.plan.remember_ns.min(1 << 42) * 3;
                    self.report.count("clock set far ahead");
                }
                1 => {
                    self.now_ns = self.now_ns.saturating_sub(self.plan.remember_ns);
                    self.report.count("clock set back");
                }
                2 => self.report.count("clock stood still"),
                _ => self.now_ns += self.rng.below(far + 1) as u64,
            }
            note(|| format!("      the clock shows {} ns", self.now_ns));
        }
        self.now_ns
    }

    /// A batch or an operation is decided: it waits for the journal.
    pub(super) fn conclude(&mut self, concluded: Concluded) -> Result<(), String> {
        if self.plan.fault == Fault::AnswerBeforeDurable {
            self.release(&concluded)?;
        }
        let mut records = AppendBuffer::new();
        push(&mut records, &concluded.events)?;
        self.waiting.append_all(&records);
        self.waiting_releases.push(concluded);
        Ok(())
    }

    fn light_fuse(&mut self, operations: usize) {
        if self.faulty && self.plan.cuts > 0 && self.rng.once_in(self.plan.cuts) {
            let fuse = self.rng.below(operations);
            self.disk.lock().set_fuse(Some(fuse));
        }
    }

    /// One append with all that waits.
    pub(super) fn append(&mut self) -> Result<(), String> {
        let mut releases = std::mem::take(&mut self.waiting_releases);
        if self.waiting.is_empty() {
            let lsn = self.journal.durable();
            self.flying = Some(Flying { releases, lsn });
            return Ok(());
        }
        let mut records = std::mem::take(&mut self.waiting);
        self.light_fuse(8);
        let expected = self.journal.durable().next();
        let appended = self.writer.append(expected, &mut records);
        self.disk.lock().set_fuse(None);
        match appended {
            Ok(lsn) => {
                if Some(lsn) != records.last_lsn() {
                    return Err("an append ends elsewhere than its records".to_owned());
                }
                self.flying = Some(Flying { releases, lsn });
                Ok(())
            }
            Err(error) => {
                note(|| format!("      the append from {expected} fails: {error:?}"));
                let dead = self.disk.lock().is_dead();
                if self.plan.fault == Fault::SkipPoison && !dead {
                    releases.append(&mut self.waiting_releases);
                    self.waiting_releases = releases;
                    return Ok(());
                }
                self.report.count(if dead { "power cut in an append" } else { "append failed" });
                if !dead {
                    let again = self.writer.append(expected, &mut records);
                    if !matches!(again, Err(AppendError::Poisoned { .. })) {
                        return Err(format!("after a failed append the next gave {again:?}"));
                    }
                }
                self.crash()
            }
        }
    }

    /// The append in flight is told of.
    pub(super) fn acknowledge(&mut self) -> Result<(), String> {
        let Some(Flying { mut releases, lsn }) = self.flying.take() else { return Ok(()) };
        if self.plan.fault == Fault::AnswerTheNextToo {
            releases.append(&mut self.waiting_releases);
        }
        if self.plan.fault != Fault::AnswerBeforeDurable {
            for concluded in &releases {
                self.release(concluded)?;
            }
        }
        self.operations.retain(|(at, _)| *at > lsn.0);
        self.acknowledged_lsn = self.acknowledged_lsn.max(lsn.0);
        // An older one can never be what a start comes to.
        self.models = self.models.split_off(&lsn.0);
        Ok(())
    }

    pub(super) fn maybe_begin_snapshot(&mut self) {
        let wanted = self.plan.snapshots > 0 && self.rng.once_in(self.plan.snapshots);
        let free = self.shell.is_free(self.plan.with_holds) && self.shell.can_export();
        if !wanted || self.taking.is_some() || self.writing.is_some() || !free {
            return;
        }
        let busy = self.shell.in_flight() > 0;
        let piece = 1 + self.rng.below(3);
        let head = self.shell.begin_export(piece);
        note(|| format!("      a snapshot of LSN {} begins", head.lsn));
        self.report.count(if busy { "snapshot begun behind commits" } else { "snapshot begun" });
        self.taking = Some(Taking::new(head, self.shell.partitions(), self.plan.with_refunds));
    }

    pub(super) fn possible_snapshot_steps(&self, actions: &mut Vec<Action>) {
        if let Some(taking) = &self.taking {
            for at in 0..self.shell.partitions() {
                if !taking.given[at] && !self.shell.export_pending(at) {
                    actions.push(Action::Give(at));
                }
            }
            if !taking.holds_given {
                actions.push(Action::GiveHolds);
            }
            if !taking.profiles_given {
                actions.push(Action::GiveProfiles);
            }
            if !taking.refunds_given {
                actions.push(Action::GiveRefunds);
            }
            if !taking.driven_given {
                actions.push(Action::GiveDriven);
            }
            if !taking.ids_given {
                actions.push(Action::GiveIds);
            }
            if taking.is_whole() && self.journal.durable() >= taking.head.lsn {
                actions.push(Action::Encode);
            }
        }
        if self.writing.is_some() {
            actions.push(Action::WriteSnapshot);
        }
    }

    pub(super) fn snapshot_step(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Give(at) => {
                let piece = self.shell.give(at);
                let taking = self.taking.as_mut().expect("a snapshot is being taken");
                keep(piece, &mut taking.accounts[at], &mut taking.given[at]);
            }
            Action::GiveProfiles => {
                let most = 1 + self.rng.below(3);
                let piece = self.shell.book.ledger.coordinator.give_profiles(most);
                let taking = self.taking.as_mut().expect("a snapshot is being taken");
                keep(piece, &mut taking.profiles, &mut taking.profiles_given);
            }
            Action::GiveRefunds => {
                let most = 1 + self.rng.below(3);
                let piece = self.shell.book.ledger.coordinator.give_refunds(most);
                let taking = self.taking.as_mut().expect("a snapshot is being taken");
                keep(piece, &mut taking.refunds, &mut taking.refunds_given);
            }
            Action::GiveDriven => {
                let most = 1 + self.rng.below(2);
                let piece = self.shell.book.ledger.coordinator.give_driven(most);
                let taking = self.taking.as_mut().expect("a snapshot is being taken");
                keep(piece, &mut taking.driven, &mut taking.driven_given);
            }
            Action::GiveIds => {
                let most = 1 + self.rng.below(8);
                let piece = self.shell.book.ledger.coordinator.give(most);
                let taking = self.taking.as_mut().expect("a snapshot is being taken");
                keep(piece, &mut taking.ids, &mut taking.ids_given);
            }
            Action::GiveHolds => {
                let piece = self.shell.book.ledger.coordinator.give_holds(2);
                let taking = self.taking.as_mut().expect("a snapshot is being taken");
                keep(piece, &mut taking.holds, &mut taking.holds_given);
            }
            Action::Encode => self.encode_snapshot()?,
            Action::WriteSnapshot => self.write_snapshot()?,
            _ => unreachable!("the other actions are not of snapshots"),
        }
        Ok(())
    }

    fn encode_snapshot(&mut self) -> Result<(), String> {
        let taking = self.taking.take().expect("a snapshot is being taken");
        let at = match self.plan.fault {
            Fault::SnapshotOfWrongLsn => self.journal.durable(),
            _ => taking.head.lsn,
        };
        let frame = self.journal.frame_at(SHARD, at).map_err(|error| error.to_string())?;
        let Some(frame) = frame.filter(|frame| frame.last_lsn() == at) else {
            if at <= self.journal.base() {
                // Nothing has happened since the snapshot behind which was trimmed.
                return Ok(());
            }
            return Err(format!("no frame ends at the snapshot's LSN {at}"));
        };
        let (lsn, bytes) = taking.encode(ledger_id(), &frame, self.plan.fault)?;
        if snapshots::list(&self.disk).contains(&lsn) {
            return Ok(());
        }
        self.writing = Some(Writing::new(lsn, bytes));
        Ok(())
    }

    fn write_snapshot(&mut self) -> Result<(), String> {
        self.light_fuse(3);
        let writing = self.writing.as_mut().expect("a snapshot is being written");
        let stepped = writing.step(&self.disk, self.plan.fault);
        let lsn = writing.lsn;
        self.disk.lock().set_fuse(None);
        match stepped {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.writing = None;
                self.report.count("snapshot finished");
                note(|| format!("      the snapshot at {lsn} is there"));
                self.retain_and_trim()
            }
            Err(_) if self.disk.lock().is_dead() => {
                self.report.count("power cut in a snapshot");
                self.crash()
            }
            Err(_) => {
                // No snapshot, and nothing else is the worse for it.
                self.report.count("snapshot failed");
                self.writing = None;
                let _next_time = snapshots::remove_leftovers(&self.disk);
                Ok(())
            }
        }
    }

    /// Older snapshots go, and mostly what lies before them in the journal.
    fn retain_and_trim(&mut self) -> Result<(), String> {
        let kept = snapshots::list(&self.disk);
        for old in kept.iter().skip(2) {
            let mut disk = self.disk.lock();
            let removed = disk.remove(&snapshots::name(*old));
            // What could not be removed is removed another time.
            let _removed = removed.and_then(|()| disk.sync_dir(snapshots::DIR));
        }
        let oldest = kept.get(1).or(kept.first()).copied().unwrap_or(Lsn::ZERO);
        if self.rng.once_in(3) {
            return Ok(());
        }
        let upto = match self.plan.fault {
            Fault::TrimTooFar => self.journal.durable(),
            _ => oldest,
        };
        self.light_fuse(5);
        let trimmed = self.journal.trim(SHARD, upto);
        self.disk.lock().set_fuse(None);
        match trimmed {
            Ok(report) => {
                self.report.count_many("segments trimmed", report.segments);
                note(|| format!("      trimmed up to {upto}: {report:?}"));
                Ok(())
            }
            Err(error) => {
                let dead = self.disk.lock().is_dead();
                note(|| format!("      trimming up to {upto} fails: {error}"));
                self.report.count(if dead { "power cut in a trim" } else { "trim failed" });
                self.crash()
            }
        }
    }
}
