//! Compares what the clients were told with what a restarted server says and with the model.
//! It knows nothing of how the server works; see `checker_tests.rs` for the faults it finds.
//!
//! ```text
//! calls, changes ─▶ acknowledgements ─▶ answers again, order ─▶ replay (the model) ─▶ what is seen
//!                                            feed: what happened without a request ─▲
//! ```

use crate::history::{Call, ChangeCall, id_of, outcome_id};
use crate::ledger::Spec;
use crate::observe::Observed;
use crate::replay::replay;
use crate::seen;
use crate::standing::{hold_of, named_amount, operation, over_of};
use ducat_api::proto::{Code, Event, Operation, Outcome, TransferRequest};
use std::collections::HashMap;
use std::fmt;

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which promise is broken.
    pub kind: Kind,
    /// Where and how.
    pub detail: String,
}

/// The promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An acknowledged request or change is unknown, or happened once more when sent again.
    LostAcknowledgement,
    /// The answer to a transfer differs from the one given before.
    ChangedOutcome,
    /// An id took effect twice.
    DoubleEffect,
    /// A linked group happened in part.
    TornGroup,
    /// The rules say otherwise, given the transfers with lower LSNs.
    WrongOutcome,
    /// Two events share an LSN, one is missing, or a later request got an earlier place.
    WrongOrder,
    /// A balance, an entry or a total is not the sum of what was posted.
    WrongBalance,
    /// More or less is held than open holds set aside, or money is on its way although nothing is
    /// in flight.
    HoldLeftBehind,
    /// A hold is not what was done to it: it is missing, came back, stands at another amount, ends
    /// at another time.
    WrongHold,
    /// An account is not what it was changed to, or was changed though nobody asked.
    WrongChange,
    /// The feed tells another event than the one that was answered, or none.
    WrongFeed,
    /// A request has no outcome even after it was sent again.
    Unanswered,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.detail)
    }
}

/// Faults beyond this many are not listed.
const FAULTS_MAX: usize = 20;

/// The faults found so far.
#[derive(Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// One more.
    pub fn add(&mut self, kind: Kind, detail: impl FnOnce() -> String) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault { kind, detail: detail() });
        }
    }
}

/// The first acknowledged sending of an id: its content and its answer.
#[derive(Clone, Copy)]
pub struct First<'a> {
    /// Which call it was.
    pub call: usize,
    /// Where in it.
    pub at: usize,
    /// What was asked.
    pub transfer: &'a TransferRequest,
    /// What was told.
    pub outcome: &'a Outcome,
}

/// Everything that is wrong; empty when nothing is. `calls` and `changes` are the whole history
/// since the ledger was opened with `specs`.
pub fn check(
    specs: &[Spec],
    calls: &[Call],
    changes: &[ChangeCall],
    observed: &Observed,
) -> Vec<Fault> {
    let mut faults = Faults::default();
    for (number, call) in calls.iter().enumerate() {
        if call.answered_at.is_none() {
            faults.add(Kind::Unanswered, || format!("call {number} of {}", call.transfers.len()));
        }
    }
    let firsts = acknowledgements(calls, &mut faults);
    answers_again(calls, &firsts, observed, &mut faults);
    order(&firsts, observed, &mut faults);
    real_time(calls, changes, &mut faults);
    let model = replay(specs, calls, changes, &firsts, &observed.own, &mut faults);
    seen::feed(&firsts, observed, &mut faults);
    seen::accounts(&model, observed, &mut faults);
    seen::holds(&model, observed, &mut faults);
    seen::entries(&model, observed, &mut faults);
    seen::totals(&model, observed, &mut faults);
    faults.0
}

/// Whether two requests ask for the same; a currency only one of them names is no difference.
pub fn same_content(one: &TransferRequest, other: &TransferRequest) -> bool {
    let currencies_agree =
        one.currency == other.currency || one.currency.is_empty() || other.currency.is_empty();
    let moves = |t: &TransferRequest| (t.debit_account, t.credit_account, named_amount(t), t.kind);
    let hold = |t: &TransferRequest| {
        let spoken_of = hold_of(t).filter(|_| operation(t) != Operation::Hold);
        (t.operation, spoken_of, t.timeout_ms, over_of(t), t.last)
    };
    moves(one) == moves(other)
        && hold(one) == hold(other)
        && one.linked == other.linked
        && currencies_agree
}

/// Whether two answers are the same but for the mark of a repeat.
pub fn same_outcome(one: &Outcome, other: &Outcome) -> bool {
    let unmarked = |outcome: &Outcome| Outcome { repeat: false, ..outcome.clone() };
    unmarked(one) == unmarked(other)
}

/// The acknowledged content of every id, and whether all its answers agree.
fn acknowledgements<'a>(calls: &'a [Call], faults: &mut Faults) -> HashMap<u128, First<'a>> {
    let mut firsts: HashMap<u128, First<'a>> = HashMap::new();
    let answers = |call: &'a Call| call.transfers.iter().zip(&call.outcomes).enumerate();
    for (number, call) in calls.iter().enumerate() {
        for (at, (transfer, outcome)) in answers(call) {
            if outcome_id(outcome) != id_of(transfer) {
                faults.add(Kind::ChangedOutcome, || {
                    format!("call {number}: item {at} was answered for another id: {outcome:?}")
                });
            }
            if outcome.code == Code::IdReused as i32 {
                continue;
            }
            let this = First { call: number, at, transfer, outcome };
            let first = *firsts.entry(id_of(transfer)).or_insert(this);
            if !same_outcome(first.outcome, outcome) {
                faults.add(Kind::ChangedOutcome, || {
                    format!(
                        "call {number}: {outcome:?}, but call {}: {:?}",
                        first.call, first.outcome
                    )
                });
            }
        }
    }
    let mut fresh: HashMap<u128, usize> = HashMap::new();
    for (number, call) in calls.iter().enumerate() {
        for (_, (transfer, outcome)) in answers(call) {
            let id = id_of(transfer);
            if outcome.code == Code::IdReused as i32 {
                let stands = firsts.get(&id).is_some_and(|first| {
                    outcome.lsn == first.outcome.lsn && !same_content(transfer, first.transfer)
                });
                if !stands {
                    faults.add(Kind::ChangedOutcome, || {
                        format!("call {number}: id {id:x} was not used before: {outcome:?}")
                    });
                }
                continue;
            }
            if !same_content(transfer, firsts[&id].transfer) {
                faults.add(Kind::ChangedOutcome, || {
                    format!("call {number}: id {id:x} was taken for another content: {outcome:?}")
                });
            }
            if !outcome.repeat && fresh.insert(id, number).is_some() {
                faults.add(Kind::DoubleEffect, || {
                    format!("call {number}: id {id:x} was new more than once: {outcome:?}")
                });
            }
        }
    }
    firsts
}

/// What `GetTransfers` and a repeated sending say must be what was said first.
fn answers_again(
    calls: &[Call],
    firsts: &HashMap<u128, First<'_>>,
    observed: &Observed,
    faults: &mut Faults,
) {
    for (&id, record) in &observed.stored {
        let Some(first) = firsts.get(&id) else { continue };
        let Some(record) = record else {
            faults.add(Kind::LostAcknowledgement, || {
                format!("GetTransfers does not know {id:x}, acknowledged as {:?}", first.outcome)
            });
            continue;
        };
        let (asked, outcome) = (record.transfer.as_ref(), record.outcome.as_ref());
        if !asked.is_some_and(|asked| same_content(asked, first.transfer)) {
            faults.add(Kind::ChangedOutcome, || {
                format!(
                    "GetTransfers has other content for {id:x}: {asked:?}, not {:?}",
                    first.transfer
                )
            });
        }
        if !outcome.is_some_and(|outcome| same_outcome(outcome, first.outcome)) {
            faults.add(Kind::ChangedOutcome, || {
                format!("GetTransfers says {outcome:?}, told was {:?}", first.outcome)
            });
        }
    }
    for (&number, outcomes) in &observed.resent {
        for (told, now) in calls[number].outcomes.iter().zip(outcomes) {
            if !now.repeat {
                faults.add(Kind::LostAcknowledgement, || {
                    format!("call {number}: happened anew: {now:?}, told was {told:?}")
                });
            } else if !same_outcome(told, now) {
                faults.add(Kind::ChangedOutcome, || {
                    format!("call {number}: now {now:?}, told was {told:?}")
                });
            }
        }
    }
}

/// LSNs are given once, without holes from the first request on; time does not go back.
fn order(firsts: &HashMap<u128, First<'_>>, observed: &Observed, faults: &mut Faults) {
    let told = firsts.values().map(|first| (first.outcome.lsn, first.outcome.time_ns));
    let mut events: Vec<(u64, u64)> = told.collect();
    let begin = events.iter().map(|(lsn, _)| *lsn).min().unwrap_or(0);
    let own = observed.own.iter().filter(|event| event.lsn >= begin);
    events.extend(own.map(|Event { lsn, time_ns, .. }| (*lsn, *time_ns)));
    events.sort_unstable();
    for pair in events.windows(2) {
        let ((one, then), (next, later)) = (pair[0], pair[1]);
        if one == next {
            faults.add(Kind::WrongOrder, || format!("LSN {one} is two events"));
        } else if one + 1 != next {
            faults.add(Kind::WrongOrder, || {
                format!("nothing that we know of is behind the events {} to {}", one + 1, next - 1)
            });
        }
        if then > later {
            faults.add(Kind::WrongOrder, || format!("time goes back from LSN {one} to {next}"));
        }
    }
    let last = events.last().map_or(0, |(lsn, _)| *lsn);
    let status = &observed.status;
    if begin > 0 && (status.last_lsn, status.durable_lsn) != (last, last) {
        faults.add(Kind::WrongOrder, || {
            format!(
                "the journal ends at {} (durable {}), the last event that we know of is {last}",
                status.last_lsn, status.durable_lsn
            )
        });
    }
}

/// The sending of something, or its answer.
struct Moment {
    at: u64,
    sent_at: u64,
    /// The answer's: the LSNs in it, and whether each was new.
    told: Option<Vec<(u64, bool)>>,
}

/// What was sent after an answer arrived comes after what was answered.
fn real_time(calls: &[Call], changes: &[ChangeCall], faults: &mut Faults) {
    let mut moments: Vec<Moment> = Vec::new();
    let mut note = |sent_at, answered_at: Option<u64>, told: Vec<(u64, bool)>| {
        moments.push(Moment { at: sent_at, sent_at, told: None });
        moments.extend(answered_at.map(|at| Moment { at, sent_at, told: Some(told) }));
    };
    for call in calls {
        let told = call.outcomes.iter().map(|outcome| (outcome.lsn, !outcome.repeat)).collect();
        note(call.sent_at, call.answered_at, told);
    }
    for change in changes {
        let told = change.lsn.map(|lsn| (lsn, true)).into_iter().collect();
        note(change.sent_at, change.answered_at, told);
    }
    moments.sort_by_key(|moment| moment.at);
    let mut answered_to = 0;
    let mut floors: HashMap<u64, u64> = HashMap::new();
    for Moment { sent_at, told, .. } in moments {
        let Some(told) = told else {
            floors.insert(sent_at, answered_to);
            continue;
        };
        let floor = floors[&sent_at];
        for (lsn, new) in told {
            if new && lsn <= floor {
                faults.add(Kind::WrongOrder, || {
                    format!("sent after LSN {floor} was told, but placed before it: LSN {lsn}")
                });
            }
            answered_to = answered_to.max(lsn);
        }
    }
}
