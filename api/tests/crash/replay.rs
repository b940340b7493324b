//! Runs everything that was told through the model in LSN order: requests group by group, and
//! between them what happens without a request, accounts that change and holds that expire, as
//! the feed of events tells it.

use crate::checker::{Faults, First, Kind};
use crate::history::{Call, Change, ChangeCall, groups, id_of, join};
use crate::ledger::{CLOSED, FROZEN, Spec};
use crate::model::Model;
use crate::standing::{Effect, Standing, effect, hold_of, minor, operation, told};
use ducat_api::proto::account_event::Event as Happened;
use ducat_api::proto::{
    AccountStatus, Balance, Code, Event, HoldExpiry, HoldOutcome, Operation, Outcome,
    TransferRequest,
};
use std::collections::HashMap;
use std::ops::Range;

/// What an outcome should say beside its code; of accounts, what is posted and what is available.
#[derive(Default)]
pub struct Told {
    /// The debit account.
    pub debit: Option<(i128, i128)>,
    /// The credit account.
    pub credit: Option<(i128, i128)>,
    /// How the hold stands.
    pub hold: Option<HoldOutcome>,
}

/// Which change an event is.
type Asked<'a> = HashMap<(u64, &'a Change), usize>;

/// The state that comes of it. `own` are the events without a request, in LSN order.
pub fn replay(
    specs: &[Spec],
    calls: &[Call],
    changes: &[ChangeCall],
    firsts: &HashMap<u128, First<'_>>,
    own: &[Event],
    faults: &mut Faults,
) -> Model {
    let mut model = Model::new(specs);
    let mut in_order: Vec<&First<'_>> = firsts.values().collect();
    in_order.sort_by_key(|first| first.outcome.lsn);
    let mut groups_of: HashMap<usize, Vec<Range<usize>>> = HashMap::new();
    let asked: Asked<'_> =
        changes.iter().enumerate().map(|(at, c)| ((c.account, &c.change), at)).collect();
    let mut seen = vec![false; changes.len()];
    let mut own = own.iter().peekable();
    let mut nth = 0;
    loop {
        let next = in_order.get(nth).map_or(u64::MAX, |first| first.outcome.lsn);
        if let Some(event) = own.next_if(|event| event.lsn < next) {
            by_itself(&mut model, event, changes, &asked, &mut seen, faults);
            continue;
        }
        let Some(first) = in_order.get(nth) else { break };
        let call = &calls[first.call];
        let ranges = groups_of.entry(first.call).or_insert_with(|| groups(&call.transfers));
        let range = ranges[ranges.partition_point(|range| range.end <= first.at)].clone();
        // Its members must be the next events, in order and with none between them.
        let mut members = &in_order[nth..in_order.len().min(nth + range.len())];
        let whole = call.transfers[range].iter().map(id_of);
        let ids = members.iter().map(|member| id_of(member.transfer));
        let is_next = |(lsn, member): (u64, &&First<'_>)| member.outcome.lsn == lsn;
        if !whole.eq(ids) || !(next..).zip(members).all(is_next) {
            faults.add(Kind::TornGroup, || format!("the group at LSN {next} is not in one piece"));
            members = &in_order[nth..=nth];
        }
        nth += members.len();
        group(&mut model, members, faults);
    }
    for (change, _) in changes.iter().zip(seen).filter(|(c, seen)| c.lsn.is_some() && !seen) {
        faults.add(Kind::LostAcknowledgement, || format!("no event is behind {change:?}"));
    }
    model
}

/// An event that no request of a client's is behind.
fn by_itself(
    model: &mut Model,
    event: &Event,
    changes: &[ChangeCall],
    asked: &Asked<'_>,
    seen: &mut [bool],
    faults: &mut Faults,
) {
    if let Some(expired) = &event.hold_expired {
        return expiry(model, event, expired, faults);
    }
    let Some((account, change)) = change_of(event) else { return };
    match asked.get(&(account, &change)).map(|&at| (at, &changes[at])) {
        Some((at, call)) => {
            if std::mem::replace(&mut seen[at], true) {
                faults.add(Kind::DoubleEffect, || format!("{call:?} once more by {event:?}"));
            } else if call.answered_at.is_some() && call.lsn != Some(event.lsn) {
                faults.add(Kind::ChangedOutcome, || format!("{call:?} became {event:?}"));
            }
        }
        // As they are before any load.
        None if [FROZEN, CLOSED].contains(&account) => {}
        None => faults.add(Kind::WrongChange, || format!("nobody asked for {event:?}")),
    }
    let known = model.change(event.lsn, account, &change);
    let now = model.accounts.get(&account);
    let inside = now.is_some_and(|account| !account.is_outside());
    let closes = matches!(change, Change::Status { status: AccountStatus::Closed, .. });
    let empty = now.is_some_and(|account| account.posted == 0 && account.held == 0);
    if !known || !inside || (closes && !empty) {
        faults.add(Kind::WrongChange, || format!("the account cannot change so: {event:?}"));
    }
}

/// The account that an event changes, and how.
pub fn change_of(event: &Event) -> Option<(u64, Change)> {
    let account = event.accounts.first()?.id;
    let change = match event.account_event.as_ref()?.event.as_ref()? {
        Happened::Status(change) => Change::Status {
            status: AccountStatus::try_from(change.status).ok()?,
            reason: change.reason.clone(),
        },
        Happened::Limits(limits) => {
            let bound = |text: &String| (!text.is_empty()).then(|| minor(text));
            Change::Limits {
                overdraft: minor(&limits.overdraft_limit),
                floor: bound(&limits.floor),
                ceiling: bound(&limits.ceiling),
            }
        }
        Happened::Opened(_) | Happened::Profile(_) | Happened::Watch(_) => return None,
    };
    Some((account, change))
}

fn expiry(model: &mut Model, event: &Event, expired: &HoldExpiry, faults: &mut Faults) {
    let id = join(expired.hold_id_high, expired.hold_id);
    let next = model.next_due();
    if !next.is_some_and(|(expires_ns, next)| next == id && expires_ns <= event.time_ns) {
        faults.add(Kind::WrongHold, || format!("due next is {next:x?}, but {event:?}"));
    }
    let released = model.expire(id);
    if released != Some(minor(&expired.released)) {
        faults.add(Kind::WrongHold, || format!("{released:?} comes back, but {event:?}"));
    }
}

/// One group: all of it happens or nothing, and one member says why: the first that breaks a
/// rule which needs no balance and no status, else the first that cannot happen after those
/// before it.
fn group(model: &mut Model, members: &[&First<'_>], faults: &mut Faults) {
    let (lsn, time_ns) = (members[0].outcome.lsn, members[0].outcome.time_ns);
    while let Some((expires_ns, id)) = model.next_due().filter(|(at, _)| *at <= time_ns) {
        faults.add(Kind::WrongHold, || {
            format!("hold {id:x} ends at {expires_ns}, and is open at LSN {lsn}, {time_ns}")
        });
        model.expire(id);
    }
    let failed = first_malformed(model, members);
    let (failed, expected) = match failed {
        Some(failed) => (Some(failed), Vec::new()),
        None => happen(model, members),
    };
    for (at, member) in members.iter().enumerate() {
        let code = match failed {
            None => Code::Posted,
            Some((which, code)) if which == at => code,
            Some(_) => Code::LinkedFailed,
        };
        if member.outcome.code != code as i32 {
            faults.add(Kind::WrongOutcome, || format!("{code:?}, but {:?}", member.outcome));
            continue;
        }
        let refused;
        let should = match expected.get(at) {
            Some(done) => done,
            None => {
                refused = if_refused(model, member.transfer);
                &refused
            }
        };
        compare(should, member.outcome, faults);
    }
}

fn first_malformed(model: &Model, members: &[&First<'_>]) -> Option<(usize, Code)> {
    let mut touched: HashMap<u128, Standing> = HashMap::new();
    members.iter().enumerate().find_map(|(at, member)| {
        let (lsn, time_ns) = (member.outcome.lsn, member.outcome.time_ns);
        let id = hold_of(member.transfer);
        let standing = id.and_then(|id| touched.get(&id).or(model.holds.get(&id))).copied();
        let broken = model.form(time_ns, member.transfer, standing);
        if broken.is_none() {
            touched.extend(effect(lsn, time_ns, member.transfer, standing).hold);
        }
        broken.map(|code| (at, code))
    })
}

/// Lets the members happen one after the other, or none of them and tells why.
fn happen(model: &mut Model, members: &[&First<'_>]) -> (Option<(usize, Code)>, Vec<Told>) {
    let (mut done, mut expected) = (Vec::new(), Vec::new());
    for (at, member) in members.iter().enumerate() {
        let (request, outcome) = (member.transfer, member.outcome);
        match model.judge(outcome.lsn, outcome.time_ns, request) {
            Ok(effect) => {
                done.push(model.apply(outcome.lsn, id_of(request), &effect));
                expected.push(if_done(model, request, &effect));
            }
            Err(code) => {
                done.into_iter().rev().for_each(|before| model.undo(before));
                return (Some((at, code)), Vec::new());
            }
        }
    }
    (None, expected)
}

/// What is told of a request that was just done.
pub fn if_done(model: &Model, request: &TransferRequest, effect: &Effect) -> Told {
    let moves = matches!(operation(request), Operation::Transfer | Operation::Capture);
    Told {
        debit: figures(model, Some(effect.debit)),
        credit: figures(model, Some(effect.credit).filter(|_| moves)),
        hold: told(request, effect),
    }
}

/// What is told with a refusal: how things stand.
pub fn if_refused(model: &Model, request: &TransferRequest) -> Told {
    let id = hold_of(request);
    let open = id.and_then(|id| Some((id, *model.holds.get(&id)?)));
    let open = open.filter(|(_, standing)| standing.is_open());
    let hold = open.map(|(id, standing)| standing.told(id));
    let parties = match operation(request) {
        Operation::Transfer | Operation::Hold => {
            (Some(request.debit_account), Some(request.credit_account))
        }
        Operation::Capture => open.map(|(_, s)| (s.hold.debit, s.hold.credit)).unzip(),
        Operation::Void | Operation::Extend => (open.map(|(_, s)| s.hold.debit), None),
        Operation::Refund | Operation::Reverse => unreachable!("the traffic gives nothing back"),
    };
    Told { debit: figures(model, parties.0), credit: figures(model, parties.1), hold }
}

fn figures(model: &Model, account: Option<u64>) -> Option<(i128, i128)> {
    Some(model.accounts.get(&account?)?.figures())
}

fn compare(should: &Told, outcome: &Outcome, faults: &mut Faults) {
    for (side, after) in [(&outcome.debit, should.debit), (&outcome.credit, should.credit)] {
        if told_figures(side.as_ref()) != after {
            faults.add(Kind::WrongBalance, || format!("{after:?} after {outcome:?}"));
        }
    }
    if outcome.hold.as_deref() != should.hold.as_ref() {
        faults.add(Kind::WrongHold, || format!("{:?}, but {outcome:?}", should.hold));
    }
}

fn told_figures(balance: Option<&Balance>) -> Option<(i128, i128)> {
    let balance = balance?;
    let narrow = (i128::from(balance.posted_minor), i128::from(balance.available_minor));
    let Some(wide) = &balance.wide else { return Some(narrow) };
    Some((wide.posted_minor.parse().ok()?, wide.available_minor.parse().ok()?))
}
