//! The checker finds what it is for: a good history passes, and each planted fault is named.

use crate::changes::text;
use crate::checker::{Kind, check};
use crate::history::{Call, Change, ChangeCall, id_of, outcome_id};
use crate::ledger::{Spec, WORLD_GBP, specs};
use crate::model::{Line, Model};
use crate::observe::Observed;
use crate::replay::{Told, if_done, if_refused};
use crate::standing::{Standing, minor};
use ducat_api::proto::account_event::Event as Happened;
use ducat_api::proto::{
    Account, AccountEvent, AccountStatus, Balance, Code, CurrencyTotal, Entry, Event,
    GetStatusResponse, Hold, HoldExpiry, Id, LimitsChange, Operation, Outcome, StatusChange,
    TransferKind, TransferRecord, TransferRequest,
};

/// The id of the transfer that the faults are planted in: from account 10 to 11.
const VICTIM: u64 = 3;

/// A hold of 2.00 on account 10, of which 0.50 is captured and the rest stays open.
const HELD: u64 = 9;
/// The capture.
const CAPTURE: u64 = 10;
/// A hold that expires.
const EXPIRING: u64 = 11;
/// A hold that is voided.
const VOIDED: u64 = 12;
/// The place of its void among the calls.
const VOIDING: usize = 11;
/// The places of the events without a request: an expiry, a status, limits.
const OWN_LSN: u64 = 25;
/// The account that is blocked.
const BLOCKED: u64 = 22;

fn transfer(
    id: u64,
    debit_account: u64,
    credit_account: u64,
    amount_minor: u64,
) -> TransferRequest {
    let external = debit_account == WORLD_GBP;
    let kind = if external { TransferKind::Deposit } else { TransferKind::Transfer } as i32;
    TransferRequest { id, debit_account, credit_account, amount_minor, kind, ..Default::default() }
}

fn hold(id: u64, debit: u64, credit: u64, amount: u64) -> TransferRequest {
    TransferRequest { operation: Operation::Hold as i32, ..transfer(id, debit, credit, amount) }
}

fn of(operation: Operation, id: u64, hold_id: u64, amount_minor: u64) -> TransferRequest {
    let operation = operation as i32;
    TransferRequest { id, hold_id, amount_minor, operation, ..Default::default() }
}

/// A history and what an honest server says afterwards.
struct Run {
    calls: Vec<Call>,
    changes: Vec<ChangeCall>,
    seen: Observed,
}

/// Deposits, a transfer, a linked group, a refusal, a repeat, an id used again, and a group that
/// is refused; holds captured, voided, extended and expired, an account blocked and another one
/// with limits, a capture again, a group that places a hold and captures it.
fn good() -> Run {
    let linked = |request| TransferRequest { linked: true, ..request };
    let sent = [
        vec![transfer(1, WORLD_GBP, 10, 1_000), transfer(2, WORLD_GBP, 11, 500)],
        vec![transfer(VICTIM, 10, 11, 300)],
        vec![linked(transfer(4, 11, 21, 100)), transfer(5, 21, 22, 50)],
        vec![transfer(6, 21, 10, 9_999)],
        vec![transfer(VICTIM, 10, 11, 300)],
        vec![transfer(VICTIM, 10, 11, 301)],
        vec![linked(transfer(7, 10, 21, 100)), transfer(8, 21, 21, 50)],
        vec![hold(HELD, 10, 11, 200)],
        vec![of(Operation::Capture, CAPTURE, HELD, 50)],
        vec![TransferRequest { timeout_ms: 1, ..hold(EXPIRING, 11, 10, 100) }],
        vec![hold(VOIDED, 10, 21, 30)],
        vec![of(Operation::Void, 13, VOIDED, 0)],
        vec![of(Operation::Extend, 14, HELD, 0)],
        vec![of(Operation::Capture, CAPTURE, HELD, 50)],
        vec![linked(hold(18, 10, 21, 40)), of(Operation::Capture, 19, 18, 0)],
    ];
    let mut model = Model::new(&specs());
    let mut calls: Vec<Call> = Vec::new();
    let (own, changes) = (own_events(), changes());
    for (number, transfers) in (0u64..).zip(sent) {
        if number == 13 {
            assert_eq!(model.expire(EXPIRING.into()), Some(100));
            changes.iter().for_each(|change| {
                assert!(model.change(change.lsn.expect("done"), change.account, &change.change));
            });
        }
        let mut outcomes = Vec::new();
        for request in &transfers {
            let mut told = calls.iter().flat_map(|call| &call.outcomes);
            let known = told.find(|outcome| outcome_id(outcome) == id_of(request)).cloned();
            outcomes.push(match (known, number) {
                (Some(first), 5) => Outcome {
                    code: Code::IdReused as i32,
                    debit: None,
                    credit: None,
                    repeat: true,
                    ..first
                },
                (Some(first), _) => Outcome { repeat: true, ..first },
                (None, 6) if request.linked => refused(&model, request, Code::LinkedFailed),
                (None, _) => decide(&mut model, request),
            });
        }
        let (sent_at, answered_at) = (10 * number, Some(10 * number + 1));
        calls.push(Call { sent_at, answered_at, transfers, outcomes });
    }
    let seen = observe(&model, &calls, own);
    Run { calls, changes, seen }
}

/// The accounts change while nothing else is on its way.
fn changes() -> Vec<ChangeCall> {
    let of = |nth, account, change| ChangeCall {
        sent_at: 122 + 2 * nth,
        answered_at: Some(123 + 2 * nth),
        account,
        change,
        lsn: Some(OWN_LSN + 1 + nth),
    };
    let (status, reason) = (AccountStatus::DebitsBlocked, "case 1".to_owned());
    let limits = Change::Limits { overdraft: 0, floor: Some(0), ceiling: Some(100_000) };
    vec![of(0, BLOCKED, Change::Status { status, reason }), of(1, 21, limits)]
}

fn own_events() -> Vec<Event> {
    let of = |lsn, account| Event {
        lsn,
        time_ns: time_of(lsn),
        accounts: vec![Id { id: account, id_high: 0 }],
        ..Event::default()
    };
    let account_event = |event| Some(AccountEvent { event: Some(event), ..Default::default() });
    let expired =
        HoldExpiry { hold_id: EXPIRING, released: "1.00".to_owned(), ..HoldExpiry::default() };
    let status =
        StatusChange { status: AccountStatus::DebitsBlocked as i32, reason: "case 1".to_owned() };
    let limits = LimitsChange {
        overdraft_limit: "0.00".to_owned(),
        floor: "0.00".to_owned(),
        ceiling: "1000.00".to_owned(),
    };
    vec![
        Event { hold_expired: Some(expired), ..of(OWN_LSN, 11) },
        Event {
            account_event: account_event(Happened::Status(status)),
            ..of(OWN_LSN + 1, BLOCKED)
        },
        Event { account_event: account_event(Happened::Limits(limits)), ..of(OWN_LSN + 2, 21) },
    ]
}

/// The hold that expires does so within time.
fn time_of(lsn: u64) -> u64 {
    lsn + if lsn < OWN_LSN { 0 } else { 2_000_000 }
}

/// LSNs are ten above the ids here: accounts come first.
fn outcome(request: &TransferRequest, code: Code, told: Told) -> Outcome {
    let lsn = request.id + 10;
    let balance = |(posted, available): (i128, i128)| {
        let small = |minor| i64::try_from(minor).expect("small");
        let (posted_minor, available_minor) = (small(posted), small(available));
        Balance { posted_minor, available_minor, ..Default::default() }
    };
    Outcome {
        id: request.id,
        lsn,
        time_ns: time_of(lsn),
        code: code as i32,
        debit: told.debit.map(balance),
        credit: told.credit.map(balance),
        hold: told.hold.map(Box::new),
        ..Default::default()
    }
}

fn refused(model: &Model, request: &TransferRequest, code: Code) -> Outcome {
    outcome(request, code, if_refused(model, request))
}

fn decide(model: &mut Model, request: &TransferRequest) -> Outcome {
    let lsn = request.id + 10;
    match model.judge(lsn, time_of(lsn), request) {
        Err(code) => refused(model, request, code),
        Ok(effect) => {
            model.apply(lsn, id_of(request), &effect);
            outcome(request, Code::Posted, if_done(model, request, &effect))
        }
    }
}

fn observe(model: &Model, calls: &[Call], own: Vec<Event>) -> Observed {
    let again =
        |call: &Call| call.outcomes.iter().map(|o| Outcome { repeat: true, ..o.clone() }).collect();
    let known = calls.iter().flat_map(|call| call.transfers.iter().zip(&call.outcomes));
    let records: Vec<TransferRecord> = known
        .filter(|(_, outcome)| outcome.code != Code::IdReused as i32)
        .map(|(t, o)| TransferRecord {
            transfer: Some(t.clone()),
            outcome: Some(o.clone()),
            refunded: None,
        })
        .collect();
    let of = |record: &TransferRecord| record.outcome.clone().expect("set");
    let stored =
        records.iter().map(|record| (outcome_id(&of(record)), Some(record.clone()))).collect();
    let mut feed = own.clone();
    feed.extend(records.into_iter().filter(|record| !of(record).repeat).map(|record| {
        let Outcome { lsn, time_ns, .. } = of(&record);
        Event { lsn, time_ns, transfer: Some(record), ..Event::default() }
    }));
    feed.sort_by_key(|event| event.lsn);
    let sum = |external| {
        let all = model.accounts.values();
        let all = all.filter(|a| a.spec.currency == "GBP" && a.spec.external == external);
        text(all.map(|a| a.posted).sum())
    };
    let last_lsn = feed.last().expect("some").lsn;
    let holds = model.holds.iter().map(|(id, standing)| (*id, listed(*id, standing)));
    let open_holds: Vec<Hold> =
        holds.clone().filter(|(id, _)| model.holds[id].is_open()).map(|(_, hold)| hold).collect();
    Observed {
        accounts: specs().iter().map(|spec| account(model, spec)).collect(),
        entries: specs().iter().map(|spec| (spec.id, entries(model, spec.id))).collect(),
        above: 10,
        feed,
        own,
        holds: holds.map(|(id, hold)| (id, Some(hold))).collect(),
        stored,
        resent: calls.iter().map(again).enumerate().collect(),
        status: GetStatusResponse {
            last_lsn,
            durable_lsn: last_lsn,
            open_holds: open_holds.len() as u64,
            state_hash: "00".into(),
            totals: vec![CurrencyTotal {
                currency: "GBP".into(),
                internal: sum(false),
                external: sum(true),
            }],
            ..Default::default()
        },
        open_holds,
    }
}

fn listed(id: u128, standing: &Standing) -> Hold {
    let hold = standing.hold;
    Hold {
        id: u64::try_from(id).expect("small"),
        state: standing.state as i32,
        debit_account: hold.debit,
        credit_account: hold.credit,
        amount: text(hold.amount),
        remaining: text(hold.remaining),
        remaining_minor: hold.remaining.to_string(),
        over_capture_max: text(hold.over),
        expires_ns: if standing.is_open() { hold.expires_ns } else { 0 },
        placed_lsn: hold.placed_lsn,
        ..Hold::default()
    }
}

fn account(model: &Model, spec: &Spec) -> Account {
    let account = &model.accounts[&spec.id];
    let bound = |minor: Option<i128>| minor.map_or(String::new(), text);
    Account {
        id: spec.id,
        status: account.status as i32,
        status_reason: account.reason.clone(),
        status_lsn: account.status_lsn,
        changed_lsn: account.changed_lsn,
        overdraft_limit: text(account.overdraft),
        floor: bound(account.floor),
        ceiling: bound(account.ceiling),
        posted: text(account.posted),
        posted_minor: account.posted.to_string(),
        available: text(account.available()),
        held: text(account.held),
        incoming: "0.00".into(),
        last_lsn: account.lines.last().map_or(0, |line| line.lsn),
        ..Default::default()
    }
}

fn entries(model: &Model, id: u64) -> Vec<Entry> {
    let entry = |line: &Line| Entry {
        lsn: line.lsn,
        transfer_id: u64::try_from(line.id).expect("small"),
        amount: text(line.amount),
        balance_after: text(line.after),
        ..Default::default()
    };
    model.accounts[&id].lines.iter().rev().map(entry).collect()
}

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
