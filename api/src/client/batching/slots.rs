//! A place for every call: its deadline, its waker and, in the end, its answer. A slot is in
//! use while a caller waits on it or an entry of a message points at it, and is used again
//! after that, so that a call costs no allocation.

use crate::client::{ClientError, Refused};
use crate::proto::Outcome;
use std::task::{Poll, Waker};
use std::time::Instant;

/// What a call was answered.
#[derive(Debug)]
pub(super) enum Answer {
    One(Outcome),
    Group(Vec<Outcome>),
}

/// How far a call has come, beside its answer.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// Somebody waits for the answer.
    caller: bool,
    /// A message, sent or not, holds its transfers.
    entry: bool,
    /// That message is on its way.
    in_flight: bool,
    /// It was on its way once and the answer was lost.
    doubt: bool,
}

#[derive(Debug)]
struct Slot {
    marks: Marks,
    deadline: Instant,
    waker: Option<Waker>,
    answer: Option<Result<Answer, ClientError>>,
}

/// All slots.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// A slot for a call that waits to be sent.
    pub(super) fn take(&mut self, deadline: Instant, waker: Waker) -> u32 {
        let marks = Marks { caller: true, entry: true, ..Marks::default() };
        let slot = Slot { marks, deadline, waker: Some(waker), answer: None };
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = slot;
            return index;
        }
        self.slots.push(slot);
        // The bound on waiting transfers is below 2^32, and a future is larger than a slot's
        // number.
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// The answer, once; until then the waker is kept.
    pub(super) fn poll(&mut self, index: u32, waker: &Waker) -> Poll<Result<Answer, ClientError>> {
        let slot = &mut self.slots[index as usize];
        let Some(answer) = slot.answer.take() else {
            if !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                slot.waker = Some(waker.clone());
            }
            return Poll::Pending;
        };
        slot.marks.caller = false;
        self.free_unused(index);
        Poll::Ready(answer)
    }

    /// The caller has gone. Whether an entry that is not on its way is left behind.
    pub(super) fn abandon(&mut self, index: u32) -> bool {
        let slot = &mut self.slots[index as usize];
        let unanswered = slot.answer.take().is_none();
        slot.waker = None;
        slot.marks.caller = false;
        let left = unanswered && slot.marks.entry && !slot.marks.in_flight;
        self.free_unused(index);
        left
    }

    /// Whether the call still waits for an answer.
    pub(super) fn waits(&self, index: u32) -> bool {
        let slot = &self.slots[index as usize];
        slot.marks.caller && slot.answer.is_none()
    }

    /// Its message is on its way now.
    pub(super) fn sent(&mut self, index: u32) {
        self.slots[index as usize].marks.in_flight = true;
    }

    /// Its message waits to be sent again. With `doubt`, the server may have taken it.
    pub(super) fn put_back(&mut self, index: u32, doubt: bool) {
        let marks = &mut self.slots[index as usize].marks;
        marks.in_flight = false;
        marks.doubt |= doubt;
    }

    /// Its message is done with, with this answer unless it has one or nobody waits. The waker
    /// of the call that has its answer now.
    pub(super) fn finish(&mut self, index: u32, answer: impl FnOnce() -> Answer) -> Option<Waker> {
        let slot = &mut self.slots[index as usize];
        slot.marks.entry = false;
        slot.marks.in_flight = false;
        if slot.marks.caller && slot.answer.is_none() {
            slot.answer = Some(Ok(answer()));
            return slot.waker.take();
        }
        self.free_unused(index);
        None
    }

    /// As [`Self::finish`], with an error; where a message was lost before, as one in doubt.
    pub(super) fn fail(&mut self, index: u32, error: &ClientError, doubt: bool) -> Option<Waker> {
        let slot = &mut self.slots[index as usize];
        slot.marks.entry = false;
        slot.marks.in_flight = false;
        if slot.marks.caller && slot.answer.is_none() {
            slot.answer = Some(Err(told(error.clone(), doubt || slot.marks.doubt)));
            return slot.waker.take();
        }
        self.free_unused(index);
        None
    }

    /// The message it points at is gone, and nobody waits.
    pub(super) fn forget(&mut self, index: u32) {
        self.slots[index as usize].marks.entry = false;
        self.free_unused(index);
    }

    /// Answers calls whose deadline has passed. `late` is told, for each, its waker and
    /// whether an entry is left that was not sent. The earliest deadline of the others.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        trouble: Option<&Refused>,
        mut late: impl FnMut(Option<Waker>, bool),
    ) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for slot in &mut self.slots {
            if !slot.marks.caller || slot.answer.is_some() {
                continue;
            }
            if slot.deadline > now {
                earliest = Some(earliest.map_or(slot.deadline, |e| e.min(slot.deadline)));
                continue;
            }
            let Marks { in_flight, doubt, .. } = slot.marks;
            let cause = trouble.map(|refused| Box::new(refused.clone()));
            slot.answer =
                Some(Err(ClientError::DeadlineExceeded { sent: in_flight || doubt, cause }));
            late(slot.waker.take(), !in_flight);
        }
        earliest
    }

    /// Ends every call that waits.
    pub(super) fn end(&mut self, error: &ClientError, mut ended: impl FnMut(Option<Waker>)) {
        for slot in &mut self.slots {
            if slot.marks.caller && slot.answer.is_none() {
                let doubt = slot.marks.in_flight || slot.marks.doubt;
                slot.answer = Some(Err(told(error.clone(), doubt)));
                ended(slot.waker.take());
            }
        }
    }

    fn free_unused(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !slot.marks.caller && !slot.marks.entry {
            slot.answer = None;
            self.free.push(index);
        }
    }
}

/// An error as its caller is to be told it.
fn told(error: ClientError, doubt: bool) -> ClientError {
    if doubt && !error.is_in_doubt() { ClientError::InDoubt(Box::new(error)) } else { error }
}
