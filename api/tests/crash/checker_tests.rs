//! The checker finds what it is for: a good history passes, and each planted fault is named.

use crate::changes::text;
use crate::checker::{Kind, check};
use crate::good_run::{
    BLOCKED, CAPTURE, EXPIRING, HELD, OWN_LSN, Run, VICTIM, VOIDED, VOIDING, good,
};
use crate::history::Call;
use crate::ledger::specs;
use crate::observe::Observed;
use crate::standing::minor;
use ducat_api::proto::account_event::Event as Happened;
use ducat_api::proto::{Account, AccountStatus, Code, Hold, Outcome};

/// The account with this id as observed.
fn seen(observed: &mut Observed, id: u64) -> &mut Account {
    observed.accounts.iter_mut().find(|account| account.id == id).expect("there")
}

/// A planted fault: what must be found, how it is called, and how it is planted.
type Plant = (Kind, &'static str, fn(&mut Vec<Call>, &mut Observed));

/// The hold with this id in the list of open ones.
fn open_hold(observed: &mut Observed, id: u64) -> &mut Hold {
    observed.open_holds.iter_mut().find(|hold| hold.id == id).expect("listed")
}

/// The first answer to this id is another one, and everything the server says agrees with it.
fn retell(calls: &mut [Call], seen: &mut Observed, id: u64, change: impl Fn(&mut Outcome)) {
    let outcomes = calls.iter_mut().flat_map(|call| &mut call.outcomes);
    outcomes.filter(|outcome| outcome.id == id).for_each(change);
    (seen.resent, seen.stored) = Default::default();
}

const PLANTS: &[Plant] = &[
    (Kind::LostAcknowledgement, "GetTransfers does not know it", |_, seen| {
        seen.stored.insert(VICTIM.into(), None);
    }),
    (Kind::LostAcknowledgement, "it happens anew when sent again", |_, seen| {
        seen.resent.get_mut(&1).expect("resent")[0].repeat = false;
    }),
    (Kind::ChangedOutcome, "another balance in the stored outcome", |_, seen| {
        let record = seen.stored.get_mut(&VICTIM.into()).expect("stored").as_mut().expect("known");
        record.outcome.as_mut().expect("set").debit.as_mut().expect("set").posted_minor += 1;
    }),
    (Kind::ChangedOutcome, "another amount in the stored content", |_, seen| {
        let record = seen.stored.get_mut(&VICTIM.into()).expect("stored").as_mut().expect("known");
        record.transfer.as_mut().expect("set").amount_minor += 1;
    }),
    (Kind::ChangedOutcome, "a refusal became a posting", |_, seen| {
        seen.resent.get_mut(&3).expect("resent")[0].code = Code::Posted as i32;
    }),
    (Kind::ChangedOutcome, "a repeat has another LSN than the first answer", |calls, _| {
        calls[4].outcomes[0].lsn += 1;
    }),
    (Kind::ChangedOutcome, "an id used again is taken as a repeat", |calls, _| {
        calls[5].outcomes = calls[4].outcomes.clone();
    }),
    (Kind::ChangedOutcome, "an id is called used that was not", |calls, _| {
        calls[5].transfers[0].amount_minor = 300;
    }),
    (Kind::DoubleEffect, "an id is new twice", |calls, _| {
        calls[4].outcomes[0].repeat = false;
    }),
    (Kind::WrongBalance, "a transfer applied twice", |_, observed| {
        let account = seen(observed, 11);
        (account.posted, account.posted_minor) = ("10.00".into(), "1000".into());
    }),
    (Kind::WrongBalance, "a balance after a posting that is not the sum", |calls, seen| {
        calls[1].outcomes[0].credit.as_mut().expect("set").posted_minor += 1;
        calls[4].outcomes[0].credit = calls[1].outcomes[0].credit.clone();
        seen.resent.clear();
        seen.stored.clear();
    }),
    (Kind::WrongBalance, "an entry is missing", |_, seen| {
        seen.entries.get_mut(&10).expect("listed").pop();
    }),
    (Kind::WrongBalance, "an entry is there twice", |_, seen| {
        let entries = seen.entries.get_mut(&10).expect("listed");
        entries.insert(0, entries[0].clone());
    }),
    (Kind::WrongBalance, "an account is gone", |_, seen| {
        seen.accounts.pop();
    }),
    (Kind::WrongBalance, "the totals do not add up to 0", |_, seen| {
        seen.status.totals[0].internal = "15.01".into();
    }),
    (Kind::HoldLeftBehind, "more is held than open holds set aside", |_, observed| {
        seen(observed, 10).held = "1.51".into();
    }),
    (Kind::HoldLeftBehind, "what is on hold is free after the restart", |_, observed| {
        let account = seen(observed, 10);
        (account.held, account.available) = ("0.00".into(), account.posted.clone());
    }),
    (Kind::HoldLeftBehind, "something on its way in", |_, observed| {
        seen(observed, 10).incoming = "0.01".into();
    }),
    (Kind::HoldLeftBehind, "less available than there is", |_, observed| {
        seen(observed, 10).available = "6.99".into();
    }),
    (Kind::WrongOutcome, "a refusal that the rules do not give", |calls, seen| {
        calls[3].outcomes[0].code = Code::DebitAccountFrozen as i32;
        seen.resent.clear();
        seen.stored.clear();
    }),
    (Kind::TornGroup, "another event between the members of a group", |calls, seen| {
        calls[2].outcomes[1].lsn = 16;
        calls[3].outcomes[0].lsn = 15;
        seen.resent.clear();
        seen.stored.clear();
    }),
    (Kind::WrongOrder, "one LSN for two transfers", |calls, _| {
        calls[3].outcomes[0].lsn = 15;
    }),
    (Kind::WrongOrder, "an event that nobody asked for", |_, seen| {
        seen.status.last_lsn += 1;
        seen.status.durable_lsn += 1;
    }),
    (Kind::WrongOrder, "placed before what was answered before", |calls, _| {
        (calls[3].sent_at, calls[3].answered_at) = (1_000, Some(1_001));
    }),
    (Kind::WrongOrder, "a change is placed before what was answered before", |calls, _| {
        (calls[14].sent_at, calls[14].answered_at) = (110, Some(111));
    }),
    (Kind::WrongOrder, "time goes back", |calls, _| {
        calls[3].outcomes[0].time_ns = 1;
    }),
    (Kind::WrongHold, "a hold is lost: nobody knows it", |_, seen| {
        seen.holds.insert(HELD.into(), None);
    }),
    (Kind::WrongHold, "a hold is lost: it is open no more", |_, seen| {
        seen.open_holds.retain(|hold| hold.id != HELD);
    }),
    (Kind::WrongHold, "a hold comes back after its void", |_, seen| {
        let back = seen.holds[&VOIDED.into()].clone().expect("known");
        let remaining = ("0.30".to_owned(), "30".to_owned());
        seen.open_holds.push(Hold {
            state: 1,
            remaining: remaining.0,
            remaining_minor: remaining.1,
            expires_ns: u64::MAX,
            ..back
        });
        seen.status.open_holds += 1;
    }),
    (Kind::WrongHold, "a hold comes back after its time", |_, seen| {
        seen.holds.get_mut(&EXPIRING.into()).expect("asked").as_mut().expect("known").state = 1;
    }),
    (Kind::WrongHold, "another amount remains", |_, seen| {
        let hold = open_hold(seen, HELD);
        (hold.remaining, hold.remaining_minor) = ("2.00".into(), "200".into());
    }),
    (Kind::WrongHold, "another amount remains, when asked for by id", |_, seen| {
        let hold = seen.holds.get_mut(&HELD.into()).expect("asked").as_mut().expect("known");
        hold.remaining_minor = "151".into();
    }),
    (Kind::WrongHold, "a hold ends at another time", |_, seen| {
        open_hold(seen, HELD).expires_ns = 7;
    }),
    (Kind::WrongHold, "the count of open holds", |_, seen| {
        seen.status.open_holds += 1;
    }),
    (Kind::WrongHold, "another remainder is told with the capture", |calls, seen| {
        retell(calls, seen, CAPTURE, |told| {
            told.hold.as_mut().expect("told").remaining_minor = 149
        });
    }),
    (Kind::WrongHold, "a hold that is not open expires", |_, seen| {
        seen.own[0].hold_expired.as_mut().expect("an expiry").hold_id = VOIDED;
    }),
    (Kind::WrongHold, "a hold expires before its time", |_, seen| {
        seen.own[0].time_ns = OWN_LSN;
    }),
    (Kind::WrongHold, "another amount comes back from an expiry", |_, seen| {
        seen.own[0].hold_expired.as_mut().expect("an expiry").released = "0.99".into();
    }),
    (Kind::WrongHold, "a hold does not expire", |_, seen| {
        seen.own.remove(0);
    }),
    (Kind::WrongBalance, "a capture doubled", |_, observed| {
        let account = seen(observed, 10);
        let doubled = minor(&account.posted) - 50;
        (account.posted, account.posted_minor) = (text(doubled), doubled.to_string());
    }),
    (Kind::DoubleEffect, "a capture is new twice", |calls, _| {
        calls[13].outcomes[0].repeat = false;
    }),
    (Kind::LostAcknowledgement, "a void happens anew when sent again", |_, seen| {
        seen.resent.get_mut(&VOIDING).expect("resent")[0].repeat = false;
    }),
    (Kind::ChangedOutcome, "a void is another one in the stored content", |_, seen| {
        let record = seen.stored.get_mut(&13).expect("stored").as_mut().expect("known");
        record.transfer.as_mut().expect("set").hold_id = HELD;
    }),
    (Kind::WrongOutcome, "an extension that is none", |calls, seen| {
        retell(calls, seen, 14, |told| told.code = Code::Posted as i32);
    }),
    (Kind::WrongBalance, "what is available does not count the hold", |calls, seen| {
        retell(calls, seen, HELD, |told| {
            let debit = told.debit.as_mut().expect("set");
            debit.available_minor = debit.posted_minor;
        });
    }),
    (Kind::TornGroup, "a change between the members of a group", |calls, seen| {
        retell(calls, seen, 18, |told| told.lsn = OWN_LSN + 2);
        seen.own[2].lsn = 28;
    }),
    (Kind::WrongChange, "an account's block is forgotten", |_, observed| {
        seen(observed, BLOCKED).status = AccountStatus::Active as i32;
    }),
    (Kind::WrongChange, "why it is blocked is forgotten", |_, observed| {
        seen(observed, BLOCKED).status_reason.clear();
    }),
    (Kind::WrongChange, "a ceiling is forgotten", |_, observed| {
        seen(observed, 21).ceiling.clear();
    }),
    (Kind::WrongChange, "an account changes that nobody changed", |_, seen| {
        seen.own[1].accounts[0].id = 23;
    }),
    (Kind::WrongChange, "limits that the balance lies outside of", |_, seen| {
        let event = seen.own[2].account_event.as_mut().expect("a change").event.as_mut();
        let Some(Happened::Limits(limits)) = event else { panic!("limits") };
        limits.ceiling = "0.01".into();
    }),
    (Kind::LostAcknowledgement, "an acknowledged change has no event", |_, seen| {
        seen.own.remove(1);
    }),
    (Kind::ChangedOutcome, "a change has another place than was told", |_, seen| {
        seen.own[1].lsn = OWN_LSN + 2;
        seen.own[2].lsn = OWN_LSN + 1;
    }),
    (Kind::WrongFeed, "the feed leaves out an answer", |_, seen| {
        seen.feed.retain(|event| event.lsn != VICTIM + 10);
    }),
    (Kind::WrongFeed, "the feed tells another amount", |_, seen| {
        let event = seen.feed.iter_mut().find(|event| event.lsn == VICTIM + 10).expect("there");
        let record = event.transfer.as_mut().expect("a transfer");
        record.transfer.as_mut().expect("set").amount_minor += 1;
    }),
    (Kind::Unanswered, "a call without an answer", |calls, seen| {
        calls[4].answered_at = None;
        calls[4].outcomes.clear();
        seen.resent.remove(&4);
    }),
];

#[test]
fn a_good_history_has_no_faults() {
    let Run { calls, changes, seen } = good();
    assert_eq!(check(&specs(), &calls, &changes, &seen), []);
}

#[test]
fn every_planted_fault_is_found() {
    for (kind, name, plant) in PLANTS {
        let Run { mut calls, changes, mut seen } = good();
        plant(&mut calls, &mut seen);
        let faults = check(&specs(), &calls, &changes, &seen);
        assert!(faults.iter().any(|fault| fault.kind == *kind), "{name}: {faults:?}");
    }
}

#[test]
fn a_change_that_was_refused_must_not_be_there() {
    let Run { calls, mut changes, seen } = good();
    changes[0].lsn = None;
    let faults = check(&specs(), &calls, &changes, &seen);
    assert!(faults.iter().any(|fault| fault.kind == Kind::ChangedOutcome), "{faults:?}");
}

/// A change without an answer may have happened or not.
#[test]
fn a_change_in_doubt_is_taken_as_it_is() {
    let Run { calls, mut changes, seen } = good();
    (changes[0].lsn, changes[0].answered_at) = (None, None);
    assert_eq!(check(&specs(), &calls, &changes, &seen), []);
}
