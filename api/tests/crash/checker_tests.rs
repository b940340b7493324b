//! The checker finds what it is for: a good history passes, and each planted fault is named.

use crate::checker::{Kind, check};
use crate::history::{Call, id_of, outcome_id};
use crate::ledger::{Spec, WORLD_GBP, specs};
use crate::model::{Line, Model};
use crate::observe::Observed;
use ducat_api::proto::{
    Account, Balance, Code, CurrencyTotal, Entry, GetStatusResponse, Outcome, TransferKind,
    TransferRecord, TransferRequest,
};

/// The id of the transfer that the faults are planted in: from account 10 to 11.
const VICTIM: u64 = 3;

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

fn text(minor: i128) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

/// A history of seven calls and what an honest server says afterwards: deposits, a transfer, a
/// linked group, a refusal, a repeat, an id used again, and a group that is refused.
fn good() -> (Vec<Call>, Observed) {
    let linked = |request| TransferRequest { linked: true, ..request };
    let sent = [
        vec![transfer(1, WORLD_GBP, 10, 1_000), transfer(2, WORLD_GBP, 11, 500)],
        vec![transfer(VICTIM, 10, 11, 300)],
        vec![linked(transfer(4, 11, 21, 100)), transfer(5, 21, 22, 50)],
        vec![transfer(6, 21, 10, 9_999)],
        vec![transfer(VICTIM, 10, 11, 300)],
        vec![transfer(VICTIM, 10, 11, 301)],
        vec![linked(transfer(7, 10, 21, 100)), transfer(8, 21, 21, 50)],
    ];
    let mut model = Model::new(&specs());
    let mut calls: Vec<Call> = Vec::new();
    for (number, transfers) in (0u64..).zip(sent) {
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
                (None, 6) if request.linked => refused(request, Code::LinkedFailed),
                (None, _) => decide(&mut model, request),
            });
        }
        let (sent_at, answered_at) = (2 * number, Some(2 * number + 1));
        calls.push(Call { sent_at, answered_at, transfers, outcomes });
    }
    let observed = observe(&model, &calls);
    (calls, observed)
}

/// LSNs are ten above the ids here: accounts come first.
fn refused(request: &TransferRequest, code: Code) -> Outcome {
    let lsn = request.id + 10;
    Outcome { id: request.id, lsn, time_ns: lsn, code: code as i32, ..Default::default() }
}

fn decide(model: &mut Model, request: &TransferRequest) -> Outcome {
    let code = model.judge(request);
    let outcome = refused(request, code);
    if code != Code::Posted {
        return outcome;
    }
    let (debit, credit) = model.post(outcome.lsn, id_of(request), request);
    let balance = |minor| {
        let posted_minor = i64::try_from(minor).expect("small");
        Some(Balance { posted_minor, ..Default::default() })
    };
    Outcome { debit: balance(debit), credit: balance(credit), ..outcome }
}

fn observe(model: &Model, calls: &[Call]) -> Observed {
    let again =
        |call: &Call| call.outcomes.iter().map(|o| Outcome { repeat: true, ..o.clone() }).collect();
    let known = calls.iter().flat_map(|call| call.transfers.iter().zip(&call.outcomes));
    let stored = known
        .filter(|(_, outcome)| outcome.code != Code::IdReused as i32)
        .map(|(t, o)| {
            let record = TransferRecord {
                transfer: Some(t.clone()),
                outcome: Some(o.clone()),
                refunded: None,
            };
            (id_of(t), Some(record))
        })
        .collect();
    let sum = |external| {
        let all = model.accounts.values();
        let all = all.filter(|a| a.spec.currency == "GBP" && a.spec.external == external);
        text(all.map(|a| a.posted).sum())
    };
    let last_lsn = calls.iter().flat_map(|call| &call.outcomes).map(|o| o.lsn).max().expect("some");
    Observed {
        accounts: specs().iter().map(|spec| account(model, spec)).collect(),
        entries: specs().iter().map(|spec| (spec.id, entries(model, spec.id))).collect(),
        entries_above: 0,
        stored,
        resent: calls.iter().map(again).enumerate().collect(),
        status: GetStatusResponse {
            last_lsn,
            durable_lsn: last_lsn,
            state_hash: "00".into(),
            totals: vec![CurrencyTotal {
                currency: "GBP".into(),
                internal: sum(false),
                external: sum(true),
            }],
            ..Default::default()
        },
    }
}

fn account(model: &Model, spec: &Spec) -> Account {
    let account = &model.accounts[&spec.id];
    Account {
        id: spec.id,
        status: spec.status as i32,
        posted: text(account.posted),
        posted_minor: account.posted.to_string(),
        available: text(account.available()),
        held: "0.00".into(),
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
    (Kind::HoldLeftBehind, "a hold", |_, observed| {
        seen(observed, 10).held = "0.01".into();
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
        (calls[3].sent_at, calls[3].answered_at) = (100, Some(101));
    }),
    (Kind::WrongOrder, "time goes back", |calls, _| {
        calls[3].outcomes[0].time_ns = 1;
    }),
    (Kind::Unanswered, "a call without an answer", |calls, seen| {
        calls[4].answered_at = None;
        calls[4].outcomes.clear();
        seen.resent.remove(&4);
    }),
];

#[test]
fn a_good_history_has_no_faults() {
    let (calls, observed) = good();
    assert_eq!(check(&specs(), &calls, &observed), []);
}

#[test]
fn every_planted_fault_is_found() {
    for (kind, name, plant) in PLANTS {
        let (mut calls, mut observed) = good();
        plant(&mut calls, &mut observed);
        let faults = check(&specs(), &calls, &observed);
        assert!(faults.iter().any(|fault| fault.kind == *kind), "{name}: {faults:?}");
    }
}
