//! The traffic reaches every rule and every end of a hold, by the model alone: what the attacks
//! never send, they do not prove.

use crate::changes::{any, as_opened};
use crate::history::{History, id_of};
use crate::ledger::{COLD, HOT, specs};
use crate::model::Model;
use crate::traffic::Traffic;
use ducat_api::proto::{Code, HoldState, Operation};
use rand::RngExt as _;
use std::collections::{HashMap, HashSet};

/// Refusals that single requests of the traffic run into.
const CODES: [Code; 22] = [
    Code::Posted,
    Code::AmountZero,
    Code::SameAccount,
    Code::DebitAccountUnknown,
    Code::CreditAccountUnknown,
    Code::AccountsDifferInCurrency,
    Code::CurrencyMismatch,
    Code::KindMismatch,
    Code::CreditAccountClosed,
    Code::DebitAccountFrozen,
    Code::CreditAccountFrozen,
    Code::InsufficientFunds,
    Code::HoldUnknown,
    Code::HoldVoided,
    Code::HoldExpired,
    Code::HoldCaptured,
    Code::HoldExceeded,
    Code::HoldExtensionTooShort,
    Code::DebitAccountBlocked,
    Code::CreditAccountBlocked,
    Code::DebitAccountFloor,
    Code::CreditAccountCeiling,
];

#[test]
fn the_traffic_reaches_every_rule() {
    let mut traffic = Traffic::new(7);
    let history = History::default();
    let mut model = Model::new(&specs());
    let (mut codes, mut done) = (HashSet::new(), HashMap::new());
    let (mut partly, mut over, mut linked_on_holds, mut repeats) = (0, 0, 0, 0);
    let mut told: HashMap<u128, ducat_api::proto::Outcome> = HashMap::new();
    let (mut lsn, mut changed) = (0, None);
    for _ in 0..600 {
        let batch = traffic.batch(50, &history);
        let call = history.sent(batch.clone());
        let mut outcomes = Vec::new();
        for request in &batch {
            lsn += 1;
            let time_ns = lsn * 1_000_000;
            while let Some((_, id)) = model.next_due().filter(|(at, _)| *at <= time_ns) {
                model.expire(id);
            }
            if let Some(known) = told.get(&id_of(request)) {
                repeats += 1;
                outcomes.push(known.clone());
                continue;
            }
            linked_on_holds += usize::from(request.linked && request.operation > 0);
            let code = match model.judge(lsn, time_ns, request) {
                Ok(effect) => {
                    model.apply(lsn, id_of(request), &effect);
                    *done.entry(request.operation).or_insert(0) += 1;
                    let hold = effect.hold.map(|(_, standing)| standing);
                    partly += usize::from(hold.is_some_and(|s| s.is_open() && effect.moved > 0));
                    over += usize::from(hold.is_some() && effect.moved > effect.released);
                    Code::Posted
                }
                Err(code) => code,
            };
            codes.insert(code);
            let (id, id_high) = (request.id, request.id_high);
            let outcome = ducat_api::proto::Outcome {
                id,
                id_high,
                lsn,
                code: code as i32,
                ..Default::default()
            };
            told.insert(id_of(request), outcome.clone());
            outcomes.push(outcome);
        }
        history.answered(call, outcomes);
        // A change stands for one batch.
        if let Some(account) = changed.take() {
            for status in [true, false] {
                lsn += 1;
                model.change(lsn, account, &as_opened(traffic.rng(), account, status));
            }
            continue;
        }
        let account = match traffic.rng().random_bool(0.5) {
            true => traffic.rng().random_range(HOT),
            false => traffic.rng().random_range(COLD),
        };
        let before = model.clone();
        lsn += 1;
        model.change(lsn, account, &any(traffic.rng()));
        if model.accounts[&account].is_outside() {
            model = before;
        } else {
            changed = Some(account);
        }
    }
    for code in CODES {
        assert!(codes.contains(&code), "{code:?} is never reached");
    }
    for operation in [Operation::Hold, Operation::Capture, Operation::Void, Operation::Extend] {
        let many = done.get(&(operation as i32)).copied().unwrap_or(0);
        assert!(many >= 20, "{operation:?} is done {many} times");
    }
    for state in [HoldState::Open, HoldState::Captured, HoldState::Voided, HoldState::Expired] {
        let many = model.holds.values().filter(|standing| standing.state == state).count();
        assert!(many >= 20, "{many} holds are {state:?} in the end");
    }
    for (many, what) in [
        (partly, "captures in part"),
        (over, "captures beyond the amount"),
        (linked_on_holds, "operations on holds in groups"),
        (repeats, "repeats"),
    ] {
        assert!(many >= 20, "{many} {what}");
    }
}
