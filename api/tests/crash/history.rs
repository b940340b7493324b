//! What the clients saw: every batch they sent, in the order of sending, and every answer that
//! came back, each stamped by one clock that only counts.

use ducat_api::proto::{AccountStatus, Operation, Outcome, TransferRequest};
use std::sync::Mutex;

/// A batch as it was sent, and what came back. One that was sent again, by the client or after
/// a restart, is one call from its first sending to the answer that came at last: it may take
/// effect anywhere in between, once, and its answer may be marked as a repeat.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it was sent, on the history's clock.
    pub sent_at: u64,
    /// When its answer arrived; `None` when none did.
    pub answered_at: Option<u64>,
    /// The transfers, linked groups included.
    pub transfers: Vec<TransferRequest>,
    /// The answer, as long as `transfers`; empty when none came.
    pub outcomes: Vec<Outcome>,
}

/// What of an account is changed. Amounts are minor units.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Its status.
    Status {
        /// The new one.
        status: AccountStatus,
        /// Why; no two changes have the same reason.
        reason: String,
    },
    /// Its limits, all of them; no two changes have the same.
    Limits {
        /// How far below zero it may go.
        overdraft: i128,
        /// The lowest balance it may have.
        floor: Option<i128>,
        /// The highest balance it may have.
        ceiling: Option<i128>,
    },
}

/// A change of an account as it was asked for, and what came of it. It is not asked for again.
#[derive(Clone, Debug)]
pub struct ChangeCall {
    /// When it was sent, on the history's clock.
    pub sent_at: u64,
    /// When its answer arrived; `None` when none did: it may have happened.
    pub answered_at: Option<u64>,
    /// The account.
    pub account: u64,
    /// What was asked for.
    pub change: Change,
    /// The event that it became; `None` without an answer, and when it was refused.
    pub lsn: Option<u64>,
}

/// A hold that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Its id.
    pub id: u128,
    /// Its amount, minor units.
    pub amount: u64,
    /// Its tolerance, minor units.
    pub over: u64,
}

/// A transfer's 128-bit id.
pub fn id_of(transfer: &TransferRequest) -> u128 {
    join(transfer.id_high, transfer.id)
}

/// The id an outcome speaks of.
pub fn outcome_id(outcome: &Outcome) -> u128 {
    join(outcome.id_high, outcome.id)
}

/// Two halves of an id as the number they stand for.
pub fn join(high: u64, low: u64) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}

/// The ranges of a batch that are decided together: a linked group each, mostly of one.
pub fn groups(transfers: &[TransferRequest]) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    for (at, transfer) in transfers.iter().enumerate() {
        if !transfer.linked {
            groups.push(start..at + 1);
            start = at + 1;
        }
    }
    assert_eq!(start, transfers.len(), "a batch ends its last group");
    groups
}

/// The holds that a batch asks for.
fn placed(transfers: &[TransferRequest]) -> impl Iterator<Item = Placed> + '_ {
    let holds = transfers.iter().filter(|t| t.operation == Operation::Hold as i32);
    holds.map(|hold| Placed {
        id: id_of(hold),
        amount: hold.amount_minor,
        over: hold.over_capture_max_minor,
    })
}

/// The record kept by all clients together.
#[derive(Debug, Default)]
pub struct History {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clock: u64,
    calls: Vec<Call>,
    changes: Vec<ChangeCall>,
    holds: Vec<Placed>,
}

impl History {
    /// A history of these calls and changes, as they were sent and answered.
    pub fn of(calls: Vec<Call>, changes: Vec<ChangeCall>) -> Self {
        let stamps = calls.iter().map(|call| (call.sent_at, call.answered_at));
        let stamps =
            stamps.chain(changes.iter().map(|change| (change.sent_at, change.answered_at)));
        let clock = stamps.map(|(sent_at, at)| at.unwrap_or(sent_at)).max().unwrap_or(0);
        let holds = calls.iter().flat_map(|call| placed(&call.transfers)).collect();
        Self { inner: Mutex::new(Inner { clock, calls, changes, holds }) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding it")
    }

    /// Writes down a batch just before it is sent; returns its number.
    pub fn sent(&self, transfers: Vec<TransferRequest>) -> usize {
        let mut inner = self.lock();
        inner.clock += 1;
        let sent_at = inner.clock;
        inner.holds.extend(placed(&transfers));
        inner.calls.push(Call { sent_at, answered_at: None, transfers, outcomes: Vec::new() });
        inner.calls.len() - 1
    }

    /// Writes down the answer to a batch.
    pub fn answered(&self, call: usize, outcomes: Vec<Outcome>) {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let call = &mut inner.calls[call];
        assert_eq!(outcomes.len(), call.transfers.len(), "an outcome for each transfer");
        assert!(call.answered_at.is_none(), "a batch is answered once");
        call.answered_at = Some(now);
        call.outcomes = outcomes;
    }

    /// Writes down a change just before it is sent; returns its number.
    pub fn change_sent(&self, account: u64, change: Change) -> usize {
        let mut inner = self.lock();
        inner.clock += 1;
        let sent_at = inner.clock;
        inner.changes.push(ChangeCall { sent_at, answered_at: None, account, change, lsn: None });
        inner.changes.len() - 1
    }

    /// Writes down the answer to a change: the event, or `None` for a refusal.
    pub fn change_answered(&self, change: usize, lsn: Option<u64>) {
        let mut inner = self.lock();
        inner.clock += 1;
        let now = inner.clock;
        let change = &mut inner.changes[change];
        assert!(change.answered_at.is_none(), "a change is answered once");
        (change.answered_at, change.lsn) = (Some(now), lsn);
    }

    /// A copy of all changes.
    pub fn changes(&self) -> Vec<ChangeCall> {
        self.lock().changes.clone()
    }

    /// A hold that was asked for before, mostly one of the newest.
    pub fn hold(&self, random: u64) -> Option<Placed> {
        const NEWEST: usize = 200;
        let inner = self.lock();
        let many = inner.holds.len();
        let among = if random.is_multiple_of(8) { many } else { many.min(NEWEST) };
        let random = usize::try_from(random >> 8).expect("56 bits");
        (many > 0).then(|| inner.holds[many - 1 - random % among])
    }

    /// Batches written down so far.
    pub fn len(&self) -> usize {
        self.lock().calls.len()
    }

    /// A copy of all calls.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// A copy of one call.
    pub fn call(&self, at: usize) -> Call {
        self.lock().calls[at].clone()
    }

    /// The numbers of the calls from `from` on that have no answer.
    pub fn unanswered(&self, from: usize) -> Vec<usize> {
        let inner = self.lock();
        (from..inner.calls.len()).filter(|&at| inner.calls[at].answered_at.is_none()).collect()
    }

    /// Waits until more transfers than `before` have been answered; a while, not for ever.
    pub fn await_answers(&self, before: usize) {
        for _ in 0..60_000 {
            if self.acknowledged() > before {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("the load comes to nothing");
    }

    /// Transfers answered so far, repeats included.
    pub fn acknowledged(&self) -> usize {
        self.lock().calls.iter().map(|call| call.outcomes.len()).sum()
    }
}
