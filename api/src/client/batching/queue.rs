//! What waits and what is on its way: a plain machine without a clock or a task. Calls put
//! transfers in, the session takes messages out and brings answers, the janitor expires.
//!
//! ```text
//! submit ─▶ gathered bytes + entries ─ take ─▶ message in flight ─ answer, fail ─▶ slots ─▶ poll
//!                  returned messages ◀── put_back ──┘
//! ```
//!
//! Whom to wake and what came free is collected in [`Effects`] and done after the lock is let
//! go.

use super::BatchingStatistics;
use super::message::{Entry, Message, encode};
use super::slots::{Answer, Slots};
use crate::client::{ClientError, Refused};
use crate::proto::{Outcome, TransferRequest};
use prost::bytes::BytesMut;
use std::collections::VecDeque;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Calls that were given up may make up half of what waits, or this many.
const DEAD_MAX: usize = 1024;

/// The shortest time from one sweep to the next: how late a deadline may be noticed.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// What is to be done once the queue is unlocked.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Callers that have their answer.
    pub wakers: Vec<Waker>,
    /// Transfers that wait or travel no more.
    pub freed: usize,
    /// The driver has something to do.
    pub driver: bool,
    /// A deadline comes earlier than the next sweep.
    pub janitor: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub effects: Effects,
    pub statistics: BatchingStatistics,
    /// The highest LSN an outcome named.
    pub lsn_seen: u64,
    slots: Slots,
    /// The encoded transfers of `entries`.
    bytes: BytesMut,
    entries: VecDeque<Entry>,
    /// Messages to be sent again, before everything else.
    returned: VecDeque<Message>,
    /// Transfers in `entries` and `returned`, ...
    waiting: usize,
    /// ... of which at least these many belong to calls that wait no more.
    dead: usize,
    /// Transfers in messages on their way.
    in_flight: usize,
    /// The driver sleeps until there is something to send.
    idle: bool,
    /// No more calls are taken.
    closing: bool,
    /// Why nothing works any more.
    ended: Option<ClientError>,
    /// Why what waits is not sent, for those whose deadline passes meanwhile.
    trouble: Option<Refused>,
    sweep_every: Duration,
    next_sweep: Instant,
}

impl Queue {
    /// An empty one, swept at least every `sweep_every`.
    pub(super) fn new(sweep_every: Duration, now: Instant) -> Self {
        Self {
            effects: Effects::default(),
            statistics: BatchingStatistics::default(),
            lsn_seen: 0,
            slots: Slots::default(),
            bytes: BytesMut::new(),
            entries: VecDeque::new(),
            returned: VecDeque::new(),
            waiting: 0,
            dead: 0,
            in_flight: 0,
            idle: false,
            closing: false,
            ended: None,
            trouble: None,
            sweep_every,
            next_sweep: now + sweep_every,
        }
    }

    /// Takes a call's transfers in; what its answer is asked for by.
    pub(super) fn submit(
        &mut self,
        transfers: &[TransferRequest],
        deadline: Instant,
        waker: Waker,
    ) -> Result<u32, ClientError> {
        self.accepts()?;
        let slot = self.slots.take(deadline, waker);
        let bytes = encode(transfers, &mut self.bytes);
        let count = u32::try_from(transfers.len()).unwrap_or(u32::MAX);
        self.entries.push_back(Entry { slot, count, bytes });
        self.waiting += transfers.len();
        self.effects.driver |= std::mem::take(&mut self.idle);
        if deadline < self.next_sweep {
            self.next_sweep = deadline;
            self.effects.janitor = true;
        }
        Ok(slot)
    }

    /// Whether calls are taken.
    pub(super) fn accepts(&self) -> Result<(), ClientError> {
        match &self.ended {
            Some(error) => Err(error.clone()),
            None if self.closing => Err(ClientError::Closed),
            None => Ok(()),
        }
    }

    pub(super) fn poll(&mut self, slot: u32, waker: &Waker) -> Poll<Result<Answer, ClientError>> {
        self.slots.poll(slot, waker)
    }

    /// A caller went away; its transfers are not sent any more if they were not yet.
    pub(super) fn abandon(&mut self, slot: u32) {
        if self.slots.abandon(slot) {
            // How many transfers it had is in its entry; one is near enough to count by.
            self.dead += 1;
            if self.dead > DEAD_MAX.max(self.waiting / 2) {
                self.drop_dead();
            }
            self.effects.driver |= self.closing;
        }
    }

    /// Transfers to be sent, and those sent and not answered.
    pub(super) const fn load(&self) -> (usize, usize) {
        (self.waiting, self.in_flight)
    }

    /// The next message of at most `cap` transfers. `None` when there is none, and with it
    /// the promise to tell the driver of the next call.
    pub(super) fn take(&mut self, cap: usize) -> Option<Message> {
        while self.waiting > 0 {
            let message = match self.returned.pop_front() {
                Some(message) => message,
                None => self.gathered(cap),
            };
            self.waiting -= message.transfers;
            let message = self.living(message);
            if message.transfers > 0 {
                self.depart(&message);
                return Some(message);
            }
        }
        self.dead = 0;
        self.idle = true;
        None
    }

    /// The oldest calls that fit into `cap`, at least one.
    fn gathered(&mut self, cap: usize) -> Message {
        let (mut count, mut transfers, mut bytes) = (0, 0, 0);
        for entry in &self.entries {
            let more = transfers + entry.count as usize;
            if more > cap && count > 0 {
                break;
            }
            (count, transfers, bytes) = (count + 1, more, bytes + entry.bytes as usize);
        }
        let items = self.bytes.split_to(bytes).freeze();
        Message { items, entries: self.entries.drain(..count).collect(), transfers }
    }

    /// The message without the calls that wait no more.
    fn living(&mut self, message: Message) -> Message {
        if message.entries.iter().all(|entry| self.slots.waits(entry.slot)) {
            return message;
        }
        let mut gone = Vec::new();
        let living = message.retain(|entry| self.slots.waits(entry.slot), |e| gone.push(*e));
        for entry in gone {
            self.slots.forget(entry.slot);
            self.effects.freed += entry.count as usize;
            self.dead = self.dead.saturating_sub(1);
        }
        living
    }

    fn depart(&mut self, message: &Message) {
        for entry in &message.entries {
            self.slots.sent(entry.slot);
        }
        self.in_flight += message.transfers;
        let sent = message.transfers as u64;
        self.statistics.messages += 1;
        self.statistics.transfers_sent += sent;
        self.statistics.message_transfers_max = self.statistics.message_transfers_max.max(sent);
    }

    /// Outcomes for these entries, which are the next of a message in flight.
    pub(super) fn answer(&mut self, entries: &[Entry], outcomes: &mut Vec<Outcome>) {
        let mut transfers = 0;
        let mut outcomes = outcomes.drain(..).inspect(|o| self.lsn_seen = self.lsn_seen.max(o.lsn));
        for entry in entries {
            let count = entry.count as usize;
            transfers += count;
            let waker = if count == 1 {
                let Some(outcome) = outcomes.next() else { break };
                self.slots.finish(entry.slot, || Answer::One(outcome))
            } else {
                let group = outcomes.by_ref().take(count).collect();
                self.slots.finish(entry.slot, || Answer::Group(group))
            };
            self.effects.wakers.extend(waker);
        }
        drop(outcomes);
        self.statistics.transfers_answered += transfers as u64;
        self.trouble = None;
        self.leave(transfers);
    }

    /// These entries of a message in flight end with an error.
    pub(super) fn fail(&mut self, entries: &[Entry], error: &ClientError, doubt: bool) {
        for entry in entries {
            self.effects.wakers.extend(self.slots.fail(entry.slot, error, doubt));
            self.leave(entry.count as usize);
        }
    }

    fn leave(&mut self, transfers: usize) {
        self.in_flight -= transfers;
        self.effects.freed += transfers;
    }

    /// A message in flight is to be sent again; with `doubt`, the server may have taken it.
    /// Of several, the one sent last comes first.
    pub(super) fn put_back(&mut self, message: Message, doubt: bool, trouble: Option<Refused>) {
        for entry in &message.entries {
            self.slots.put_back(entry.slot, doubt);
        }
        self.in_flight -= message.transfers;
        self.waiting += message.transfers;
        self.statistics.transfers_put_back += message.transfers as u64;
        if message.transfers > 0 {
            self.returned.push_front(message);
        }
        if trouble.is_some() {
            self.trouble = trouble;
        }
    }

    /// Everything that waits to be sent ends with this error.
    pub(super) fn fail_waiting(&mut self, error: &ClientError) {
        let all: Vec<Message> = self.waiting_messages();
        for message in all {
            for entry in &message.entries {
                self.effects.wakers.extend(self.slots.fail(entry.slot, error, false));
            }
            self.effects.freed += message.transfers;
        }
        (self.waiting, self.dead) = (0, 0);
    }

    /// Why nothing can be sent just now.
    pub(super) fn trouble(&mut self, refused: Refused) {
        self.trouble = Some(refused);
    }

    fn waiting_messages(&mut self) -> Vec<Message> {
        let gathered = self.gathered(usize::MAX);
        self.returned.drain(..).chain(std::iter::once(gathered)).collect()
    }

    /// Lets go of what waits for callers that do not.
    fn drop_dead(&mut self) {
        let all = self.waiting_messages();
        self.waiting = 0;
        for message in all {
            let living = self.living(message);
            self.waiting += living.transfers;
            if living.transfers > 0 {
                self.returned.push_back(living);
            }
        }
        self.dead = 0;
    }

    /// When to sweep next.
    pub(super) const fn next_sweep(&self) -> Instant {
        self.next_sweep
    }

    /// Answers calls whose deadline has passed, and lets go of what they had waiting.
    pub(super) fn sweep(&mut self, now: Instant) {
        let (mut unsent, effects) = (0, &mut self.effects);
        let earliest = self.slots.expire(now, self.trouble.as_ref(), |waker, left| {
            effects.wakers.extend(waker);
            unsent += usize::from(left);
        });
        if unsent > 0 || self.dead > 0 {
            self.drop_dead();
        }
        self.effects.driver |= self.closing;
        let latest = now + self.sweep_every;
        self.next_sweep =
            earliest.unwrap_or(latest).clamp(now + SWEEP_PAUSE, latest.max(now + SWEEP_PAUSE));
    }

    /// Takes no more calls; what is in is still answered.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.effects.driver = true;
        self.effects.janitor = true;
    }

    /// Ends everything at once.
    pub(super) fn end(&mut self, error: ClientError) {
        if self.ended.is_some() {
            return;
        }
        let effects = &mut self.effects;
        self.slots.end(&error, |waker| effects.wakers.extend(waker));
        self.effects.driver = true;
        self.effects.janitor = true;
        self.ended = Some(error);
    }

    /// Whether the driver is to stop: ended, or closed with nothing left to do.
    pub(super) fn is_over(&mut self) -> bool {
        if self.closing && self.dead > 0 {
            self.drop_dead();
        }
        self.ended.is_some() || (self.closing && self.waiting == 0 && self.in_flight == 0)
    }
}
