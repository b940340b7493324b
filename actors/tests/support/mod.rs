//! Accounts, transfers and engines for the tests.

// Each test file uses another part of this.
#![allow(dead_code)]

pub mod valve;

use ducat_actors::handle::{Answers, EngineOptions, Handle};
use ducat_actors::start::Engine;
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::request::{CaptureRequest, HoldRequest, RefundRequest, Request, VoidRequest};
use ducat_engine::transfer::{AccountOutcome, AccountSpec, Outcome, TransferKind, TransferRequest};
use ducat_persistence::{Journal, LedgerId, MemoryJournal};
use std::sync::Arc;

pub const GBP: CurrencyId = CurrencyId(826);
pub const BANK: u128 = 1;

pub fn account(id: u128) -> AccountId {
    AccountId::new(id).expect("not zero")
}

pub fn journal() -> Arc<MemoryJournal> {
    Arc::new(MemoryJournal::new(LedgerId::random().expect("randomness")))
}

pub async fn start(journal: &Arc<MemoryJournal>, partitions: usize) -> Engine {
    let options = EngineOptions { partitions, ..EngineOptions::default() };
    let journal: Arc<dyn Journal> = Arc::clone(journal) as _;
    Engine::start(options, journal, "test", Box::new(|_| {})).await.expect("it starts")
}

pub async fn open(handle: &Handle, accounts: u128) {
    let spec = |id| AccountSpec {
        id: account(id),
        currency: GBP,
        overdraft_limit: 0,
        external: id == BANK,
    };
    let outcomes = handle.create_accounts((1..=accounts).map(spec).collect()).await.expect("up");
    assert!(outcomes.iter().all(|o| matches!(o, AccountOutcome::Opened(_))), "{outcomes:?}");
}

pub fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> TransferRequest {
    let kind = match (debit, credit) {
        (BANK, _) => TransferKind::Deposit,
        (_, BANK) => TransferKind::Withdrawal,
        _ => TransferKind::Transfer,
    };
    TransferRequest {
        id: TransferId::new(id).expect("not zero"),
        debit: account(debit),
        credit: account(credit),
        amount,
        currency: None,
        kind,
        linked: false,
    }
}

pub fn id(number: u128) -> TransferId {
    TransferId::new(number).expect("not zero")
}

/// A hold that never expires.
pub fn hold(number: u128, debit: u128, credit: u128, amount: u128) -> HoldRequest {
    let TransferRequest { id, debit, credit, amount, currency, kind, linked } =
        transfer(number, debit, credit, amount);
    let (timeout_ns, over_capture_max) = (0, 0);
    HoldRequest { id, debit, credit, amount, currency, kind, timeout_ns, over_capture_max, linked }
}

pub fn capture(number: u128, hold: u128, amount: Option<u128>) -> CaptureRequest {
    let (id, hold) = (id(number), id(hold));
    CaptureRequest { id, hold, amount, currency: None, last: false, linked: false }
}

pub fn void(number: u128, hold: u128) -> VoidRequest {
    VoidRequest { id: id(number), hold: id(hold), linked: false }
}

/// A refund of so much, or a reversal.
pub fn refund(number: u128, of: u128, amount: Option<u128>) -> RefundRequest {
    RefundRequest::plain(id(number), id(of), amount)
}

pub async fn ask(handle: &Handle, requests: Vec<Request>) -> Answers {
    handle.submit(requests).expect("room").answers().await.expect("up")
}

pub async fn submit(handle: &Handle, transfers: Vec<TransferRequest>) -> Vec<Outcome> {
    handle.submit(transfers).expect("room").outcomes().await.expect("up")
}
