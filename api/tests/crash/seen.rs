//! Compares what a restarted server shows with the state that the model comes to.

use crate::checker::{Faults, First, Kind, same_content, same_outcome};
use crate::history::{id_of, join};
use crate::model::Model;
use crate::observe::Observed;
use crate::standing::{Standing, minor};
use ducat_api::proto::Hold;
use std::collections::HashMap;

/// Each answer's event is in the feed, at its place and as it was told.
pub fn feed(firsts: &HashMap<u128, First<'_>>, observed: &Observed, faults: &mut Faults) {
    let mut missing: HashMap<u64, &First<'_>> =
        firsts.values().map(|first| (first.outcome.lsn, first)).collect();
    missing.retain(|lsn, _| *lsn > observed.above);
    let mut next = observed.above + 1;
    for event in &observed.feed {
        if event.lsn != next {
            faults.add(Kind::WrongFeed, || format!("event {next} is left out before {event:?}"));
        }
        next = event.lsn + 1;
        let Some(record) = &event.transfer else { continue };
        let same = missing.remove(&event.lsn).is_some_and(|first| {
            let (asked, outcome) = (record.transfer.as_ref(), record.outcome.as_ref());
            asked.is_some_and(|asked| {
                id_of(asked) == id_of(first.transfer) && same_content(asked, first.transfer)
            }) && outcome.is_some_and(|outcome| same_outcome(outcome, first.outcome))
        });
        if !same {
            faults.add(Kind::WrongFeed, || format!("not what was told: {event:?}"));
        }
    }
    for first in missing.values() {
        faults.add(Kind::WrongFeed, || format!("no event of {:?}", first.outcome));
    }
}

/// Accounts stand as the model says.
pub fn accounts(model: &Model, observed: &Observed, faults: &mut Faults) {
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
        let bound = |text: &String| (!text.is_empty()).then(|| minor(text));
        let is_so = account.status == should.status as i32
            && account.status_reason == should.reason
            && account.status_lsn == should.status_lsn
            && account.changed_lsn == should.changed_lsn
            && minor(&account.overdraft_limit) == should.overdraft
            && bound(&account.floor) == should.floor
            && bound(&account.ceiling) == should.ceiling;
        if !is_so {
            let mut should = should.clone();
            should.lines.clear();
            faults.add(Kind::WrongChange, || format!("{should:?}, but {account:?}"));
        }
        let free = should.spec.external || minor(&account.available) == should.available();
        if minor(&account.held) != should.held || minor(&account.incoming) != 0 || !free {
            faults.add(Kind::HoldLeftBehind, || format!("{} held, but {account:?}", should.held));
        }
    }
}

/// Holds stand as the model says: all open ones, and those that were asked for by id.
pub fn holds(model: &Model, observed: &Observed, faults: &mut Faults) {
    let open = model.holds.iter().filter(|(_, standing)| standing.is_open());
    let mut missing: HashMap<u128, &Standing> = open.map(|(id, s)| (*id, s)).collect();
    let many = missing.len() as u64;
    if observed.status.open_holds != many {
        faults.add(Kind::WrongHold, || {
            format!("{} holds are open, not {many}", observed.status.open_holds)
        });
    }
    for hold in &observed.open_holds {
        let id = join(hold.id_high, hold.id);
        let should = missing.remove(&id);
        if !should.is_some_and(|should| stands_so(should, hold)) {
            faults.add(Kind::WrongHold, || format!("{should:?} ({id:x}), but open is {hold:?}"));
        }
    }
    for (id, should) in missing {
        faults.add(Kind::WrongHold, || format!("{id:x} is not listed as open: {should:?}"));
    }
    for (id, hold) in &observed.holds {
        let same = match (model.holds.get(id), hold) {
            (Some(should), Some(hold)) => stands_so(should, hold),
            (None, None) => true,
            _ => false,
        };
        if !same {
            let should = model.holds.get(id);
            faults.add(Kind::WrongHold, || format!("{should:?} ({id:x}), but {hold:?}"));
        }
    }
}

fn stands_so(should: &Standing, hold: &Hold) -> bool {
    let now = &should.hold;
    let remaining = if should.is_open() { now.remaining } else { 0 };
    let expires_ns = if should.is_open() { now.expires_ns } else { 0 };
    let accounts = (hold.debit_account, hold.credit_account);
    hold.state == should.state as i32
        && accounts == (now.debit, now.credit)
        && minor(&hold.amount) == now.amount
        && minor(&hold.remaining) == remaining
        && hold.remaining_minor == remaining.to_string()
        && minor(&hold.over_capture_max) == now.over
        && (hold.expires_ns, hold.placed_lsn) == (expires_ns, now.placed_lsn)
}

/// Statements list what the model posted.
pub fn entries(model: &Model, observed: &Observed, faults: &mut Faults) {
    for (&id, should) in &model.accounts {
        let above = observed.above;
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
                && join(entry.transfer_id_high, entry.transfer_id) == line.id
                && minor(&entry.amount) == line.amount
                && minor(&entry.balance_after) == line.after;
            if !same {
                faults.add(Kind::WrongBalance, || format!("account {id}: {entry:?}, not {line:?}"));
            }
        }
    }
}

/// Sums are those of the model, and nothing is in flight.
pub fn totals(model: &Model, observed: &Observed, faults: &mut Faults) {
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
