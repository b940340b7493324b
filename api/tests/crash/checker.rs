//! Compares what the clients were told with what a restarted server says and with the model.
//! It knows nothing of how the server works; see `checker_tests.rs` for the faults it finds.

use crate::history::{Call, groups, id_of, outcome_id};
use crate::ledger::Spec;
use crate::model::{Model, amount_of, minor};
use crate::observe::Observed;
use ducat_api::proto::{Balance, Code, Outcome, TransferRequest};
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
    /// An acknowledged transfer is unknown, or happened once more when sent again.
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
    /// Money is held or on its way although nothing is in flight.
    HoldLeftBehind,
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

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, kind: Kind, detail: impl FnOnce() -> String) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(Fault { kind, detail: detail() });
        }
    }
}

/// The first acknowledged sending of an id: its content and its answer.
#[derive(Clone, Copy)]
struct First<'a> {
    call: usize,
    at: usize,
    transfer: &'a TransferRequest,
    outcome: &'a Outcome,
}

/// Everything that is wrong; empty when nothing is. `calls` is the whole history since the
/// ledger was opened with `specs`.
pub fn check(specs: &[Spec], calls: &[Call], observed: &Observed) -> Vec<Fault> {
    let mut faults = Faults::default();
    for (number, call) in calls.iter().enumerate() {
        if call.answered_at.is_none() {
            faults.add(Kind::Unanswered, || format!("call {number} of {}", call.transfers.len()));
        }
    }
    let firsts = acknowledgements(calls, &mut faults);
    answers_again(calls, &firsts, observed, &mut faults);
    order(calls, &firsts, observed, &mut faults);
    let model = replay(specs, calls, &firsts, &mut faults);
    accounts(&model, observed, &mut faults);
    entries(&model, observed, &mut faults);
    totals(&model, observed, &mut faults);
    faults.0
}

/// Whether two requests ask for the same; a currency only one of them names is no difference.
fn same_content(one: &TransferRequest, other: &TransferRequest) -> bool {
    let currencies_agree =
        one.currency == other.currency || one.currency.is_empty() || other.currency.is_empty();
    let key =
        |t: &TransferRequest| (t.debit_account, t.credit_account, amount_of(t), t.kind, t.linked);
    key(one) == key(other) && currencies_agree
}

/// Whether two answers are the same but for the mark of a repeat.
fn same_outcome(one: &Outcome, other: &Outcome) -> bool {
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

/// LSNs are given once, without holes among themselves, and respect the order of real time:
/// what was sent after an answer arrived comes after what was answered.
fn order(
    calls: &[Call],
    firsts: &HashMap<u128, First<'_>>,
    observed: &Observed,
    faults: &mut Faults,
) {
    let mut events: Vec<&Outcome> = firsts.values().map(|first| first.outcome).collect();
    events.sort_by_key(|outcome| outcome.lsn);
    for pair in events.windows(2) {
        let (one, next) = (pair[0], pair[1]);
        if one.lsn == next.lsn {
            faults.add(Kind::WrongOrder, || format!("one LSN for two: {one:?}, {next:?}"));
        } else if one.lsn + 1 != next.lsn {
            faults.add(Kind::WrongOrder, || {
                format!(
                    "no request of ours is behind the events {} to {}",
                    one.lsn + 1,
                    next.lsn - 1
                )
            });
        }
        if one.time_ns > next.time_ns {
            faults.add(Kind::WrongOrder, || format!("time goes back: {one:?}, {next:?}"));
        }
    }
    let last = events.last().map_or(0, |outcome| outcome.lsn);
    let status = &observed.status;
    if last > 0 && (status.last_lsn, status.durable_lsn) != (last, last) {
        faults.add(Kind::WrongOrder, || {
            format!(
                "the journal ends at {} (durable {}), the last request of ours is {last}",
                status.last_lsn, status.durable_lsn
            )
        });
    }
    let mut moments: Vec<(u64, bool, &Call)> = Vec::new();
    for call in calls {
        moments.push((call.sent_at, false, call));
        moments.extend(call.answered_at.map(|at| (at, true, call)));
    }
    moments.sort_by_key(|&(at, ..)| at);
    let mut answered_to = 0;
    let mut floors: HashMap<u64, u64> = HashMap::new();
    for (_, is_answer, call) in moments {
        if !is_answer {
            floors.insert(call.sent_at, answered_to);
            continue;
        }
        let floor = floors[&call.sent_at];
        for outcome in &call.outcomes {
            if !outcome.repeat && outcome.lsn <= floor {
                faults.add(Kind::WrongOrder, || {
                    format!("sent after LSN {floor} was told, but placed before it: {outcome:?}")
                });
            }
            answered_to = answered_to.max(outcome.lsn);
        }
    }
}

/// Runs everything through the model in LSN order, group by group.
fn replay(
    specs: &[Spec],
    calls: &[Call],
    firsts: &HashMap<u128, First<'_>>,
    faults: &mut Faults,
) -> Model {
    let mut model = Model::new(specs);
    let mut in_order: Vec<&First<'_>> = firsts.values().collect();
    in_order.sort_by_key(|first| first.outcome.lsn);
    let mut groups_of: HashMap<usize, Vec<std::ops::Range<usize>>> = HashMap::new();
    let mut skip_to = 0;
    for (nth, first) in in_order.iter().enumerate() {
        if nth < skip_to {
            continue;
        }
        let call = &calls[first.call];
        let ranges = groups_of.entry(first.call).or_insert_with(|| groups(&call.transfers));
        let range = ranges[ranges.partition_point(|range| range.end <= first.at)].clone();
        // Its members must be the next events, in order.
        let members = &in_order[nth..in_order.len().min(nth + range.len())];
        let whole = call.transfers[range.clone()].iter().map(id_of);
        if !whole.eq(members.iter().map(|member| id_of(member.transfer))) {
            faults.add(Kind::TornGroup, || {
                format!("the group at LSN {} is not in one piece", first.outcome.lsn)
            });
        } else {
            skip_to = nth + members.len();
            group(&mut model, members, faults);
            continue;
        }
        skip_to = nth + 1;
        group(&mut model, &in_order[nth..=nth], faults);
    }
    model
}

/// One group: all of it happens or nothing, and one member says why: the first that breaks a
/// rule which needs no balance and no status, else the first that cannot happen after those
/// before it.
fn group(model: &mut Model, members: &[&First<'_>], faults: &mut Faults) {
    let breaks_form = |member: &&First<'_>| {
        let code = model.judge(member.transfer) as i32;
        (Code::AmountZero as i32..=Code::KindMismatch as i32).contains(&code)
    };
    let malformed = members.iter().position(breaks_form);
    let mut failed = malformed.map(|at| (at, model.judge(members[at].transfer)));
    let mut posted = Vec::new();
    for (at, member) in members.iter().enumerate() {
        if failed.is_some() {
            break;
        }
        let code = model.judge(member.transfer);
        if code != Code::Posted {
            failed = Some((at, code));
            posted.drain(..).rev().for_each(|transfer| model.undo(transfer));
            break;
        }
        let outcome = member.outcome;
        let (debit, credit) = model.post(outcome.lsn, id_of(member.transfer), member.transfer);
        posted.push(member.transfer);
        for (side, after) in [(&outcome.debit, debit), (&outcome.credit, credit)] {
            if outcome.code == Code::Posted as i32 && figure(side.as_ref()) != Some(after) {
                faults.add(Kind::WrongBalance, || format!("{after} after {outcome:?}"));
            }
        }
    }
    for (at, member) in members.iter().enumerate() {
        let expected = match failed {
            None => Code::Posted,
            Some((which, code)) if which == at => code,
            Some(_) => Code::LinkedFailed,
        };
        if member.outcome.code != expected as i32 {
            faults.add(Kind::WrongOutcome, || format!("{expected:?}, but {:?}", member.outcome));
        }
    }
}

fn figure(balance: Option<&Balance>) -> Option<i128> {
    let balance = balance?;
    match &balance.wide {
        None => Some(i128::from(balance.posted_minor)),
        Some(wide) => wide.posted_minor.parse().ok(),
    }
}

fn accounts(model: &Model, observed: &Observed, faults: &mut Faults) {
    if observed.accounts.len() != model.accounts.len() {
        faults.add(Kind::WrongBalance, || {
            format!("{} accounts of {}", observed.accounts.len(), model.accounts.len())
        });
    }
    for account in &observed.accounts {
        let Some(should) = model.accounts.get(&account.id) else { continue };
        if account.posted_minor != should.posted.to_string()
            || minor(&account.posted) != should.posted
        {
            faults.add(Kind::WrongBalance, || format!("{}, but {account:?}", should.posted));
        }
        let last = should.lines.last().map_or(0, |line| line.lsn);
        if account.last_lsn != last {
            faults.add(Kind::WrongBalance, || format!("last changed by {last}, but {account:?}"));
        }
        if account.status != should.spec.status as i32 {
            faults.add(Kind::WrongBalance, || format!("{:?}, but {account:?}", should.spec.status));
        }
        let free = should.spec.external || minor(&account.available) == should.available();
        if minor(&account.held) != 0 || minor(&account.incoming) != 0 || !free {
            faults.add(Kind::HoldLeftBehind, || format!("{account:?}"));
        }
    }
}

fn entries(model: &Model, observed: &Observed, faults: &mut Faults) {
    for (&id, should) in &model.accounts {
        let above = observed.entries_above;
        let should: Vec<_> =
            should.lines.iter().rev().take_while(|line| line.lsn > above).collect();
        let listed = observed.entries.get(&id).map_or(&[][..], Vec::as_slice);
        if listed.len() != should.len() {
            faults.add(Kind::WrongBalance, || {
                format!("account {id} lists {} entries of {}", listed.len(), should.len())
            });
        }
        for (entry, line) in listed.iter().zip(should) {
            let same = entry.lsn == line.lsn
                && crate::history::join(entry.transfer_id_high, entry.transfer_id) == line.id
                && minor(&entry.amount) == line.amount
                && minor(&entry.balance_after) == line.after;
            if !same {
                faults.add(Kind::WrongBalance, || format!("account {id}: {entry:?}, not {line:?}"));
            }
        }
    }
}

fn totals(model: &Model, observed: &Observed, faults: &mut Faults) {
    for total in &observed.status.totals {
        let of = |external| -> i128 {
            let mut all = model.accounts.values().collect::<Vec<_>>();
            all.retain(|a| a.spec.currency == total.currency && a.spec.external == external);
            all.iter().map(|a| a.posted).sum()
        };
        let told = (minor(&total.internal), minor(&total.external));
        if told != (of(false), of(true)) || told.0 + told.1 != 0 {
            faults.add(Kind::WrongBalance, || format!("the totals are {total:?}"));
        }
    }
    if observed.status.state_hash.is_empty() || observed.status.totals.is_empty() {
        faults.add(Kind::WrongBalance, || "the status has no hash or no totals".to_owned());
    }
    if observed.status.in_flight != 0 {
        faults.add(Kind::HoldLeftBehind, || format!("{} in flight", observed.status.in_flight));
    }
}
