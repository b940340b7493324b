//! A history of everything, and what an honest server says afterwards; the tests of the checker
//! plant faults in it.

use crate::changes::text;
use crate::history::{Call, Change, ChangeCall, id_of, outcome_id};
use crate::ledger::{Spec, WORLD_GBP, specs};
use crate::model::{Line, Model};
use crate::observe::Observed;
use crate::replay::{Told, if_done, if_refused};
use crate::standing::Standing;
use ducat_api::proto::account_event::Event as Happened;
use ducat_api::proto::{
    Account, AccountEvent, AccountStatus, Balance, Code, CurrencyTotal, Entry, Event,
    GetStatusResponse, Hold, HoldExpiry, Id, LimitsChange, Operation, Outcome, StatusChange,
    TransferKind, TransferRecord, TransferRequest,
};

/// The id of the transfer that the faults are planted in: from account 10 to 11.
pub const VICTIM: u64 = 3;

/// A hold of 2.00 on account 10, of which 0.50 is captured and the rest stays open.
pub const HELD: u64 = 9;
/// The capture.
pub const CAPTURE: u64 = 10;
/// A hold that expires.
pub const EXPIRING: u64 = 11;
/// A hold that is voided.
pub const VOIDED: u64 = 12;
/// The place of its void among the calls.
pub const VOIDING: usize = 11;
/// The places of the events without a request: an expiry, a status, limits.
pub const OWN_LSN: u64 = 25;
/// The account that is blocked.
pub const BLOCKED: u64 = 22;

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
pub struct Run {
    /// What the clients sent and were told.
    pub calls: Vec<Call>,
    /// How accounts were changed.
    pub changes: Vec<ChangeCall>,
    /// What the server says.
    pub seen: Observed,
}

/// Deposits, a transfer, a linked group, a refusal, a repeat, an id used again, and a group that
/// is refused; holds captured, voided, extended and expired, an account blocked and another one
/// with limits, a capture again, a group that places a hold and captures it.
pub fn good() -> Run {
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
            ..Default::default()
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
