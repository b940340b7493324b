//! Statements, checkpoints and receipts: read by people who trust nobody, so what is accepted is
//! written again to the byte, and nothing but what was signed checks.

use ducat_api::receipt::{self, Words};
use ducat_engine::ids::{AccountId, Lsn, ShardId, TransferId};
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::note::{Day, Note};
use ducat_engine::proof::statement::{CurrencyText, Event, NoteStated, Side, TransferEvent};
use ducat_engine::proof::{Statement, Whose};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{AccountStatus, BalanceAfter, TransferKind};
use ducat_persistence::witness::{CheckKey, Checkpoint, SignKey, SignedCheckpoint};
use ducat_persistence::{FrameHash, LedgerId};
use std::cell::LazyCell;

/// The receipts that the tests of the api hold, and the key that signed them.
const RECEIPTS: &str = include_str!("../../api/tests/fixtures/receipts-v1.json");

fn key() -> SignKey {
    SignKey::from_secret([7; 32])
}

thread_local! {
    static PUBLIC: LazyCell<CheckKey> = LazyCell::new(|| key().public());
    static SIGNED: LazyCell<Vec<Vec<u8>>> = LazyCell::new(checkpoints);
    static PROVED: LazyCell<Vec<Statement>> = LazyCell::new(|| {
        let proved = |text: Vec<u8>| receipt::verify(&text, &key().public()).expect("valid");
        receipts().into_iter().map(|text| proved(text).statement).collect()
    });
}

/// A statement.
pub(crate) fn statement(bytes: &[u8]) {
    if let Ok(statement) = Statement::decode(bytes) {
        assert_eq!(statement.to_bytes(), bytes, "there is one way to write it");
        drop(Words::of(&statement));
    }
}

/// A checkpoint.
pub(crate) fn checkpoint(bytes: &[u8]) {
    let Ok(signed) = SignedCheckpoint::parse(bytes) else { return };
    assert_eq!(signed.to_text().as_bytes(), bytes, "there is one way to write it");
    if PUBLIC.with(|key| signed.check(key)).is_ok() {
        assert!(SIGNED.with(|all| all.iter().any(|one| one == bytes)), "this was never signed");
    }
}

/// A receipt.
pub(crate) fn receipt(bytes: &[u8]) {
    if let Ok(proved) = PUBLIC.with(|key| receipt::verify(bytes, key)) {
        assert!(PROVED.with(|all| all.contains(&proved.statement)), "this was never signed");
    }
}

/// Statements of each kind.
pub(crate) fn statements() -> Vec<Vec<u8>> {
    let account = |id| AccountId::new(id).expect("not zero");
    let gbp = CurrencyText::new("GBP", 2).expect("a code");
    let after = Some(BalanceAfter { posted: -5, available: 1 << 70 });
    let posted = TransferEvent {
        id: TransferId::new(u128::MAX).expect("not zero"),
        kind: TransferKind::Deposit,
        linked: false,
        rejection: None,
        amount: 1 << 70,
        currency: Some(gbp),
        debit: Side { account: account(1), after },
        credit: Side { account: account(2), after },
    };
    let unknown = Side { account: account(9), after: None };
    let rejection = Some(Rejection::DebitAccountUnknown);
    let refused =
        TransferEvent { rejection, linked: true, currency: None, debit: unknown, ..posted };
    let opened = Event::AccountOpened {
        account: account(7),
        currency: gbp,
        overdraft_limit: 500,
        external: false,
    };
    let events = [
        Event::Transfer(posted),
        Event::Transfer(refused),
        opened,
        Event::StatusChanged { account: account(7), status: AccountStatus::Closed },
        Event::AssetDefined(CurrencyText::new("ABCDEFGHIJK9", 18).expect("a code")),
        Event::OpenedInFull {
            account: account(7),
            currency: gbp,
            overdraft_limit: 500,
            external: false,
            bounds: Bounds { floor: Some(-500), ceiling: None },
            profile: [5; 32],
        },
        Event::StatusSet {
            account: account(7),
            status: AccountStatus::DebitsBlocked,
            reason: [6; 32],
        },
        Event::ProfileChanged { account: account(7), change: [7; 32] },
        Event::LimitsChanged {
            account: account(7),
            limits: Limits {
                overdraft_limit: 500,
                bounds: Bounds { floor: None, ceiling: Some(1 << 90) },
            },
        },
    ];
    let whose = Whose { ledger: [3; 16], shard: ShardId(0) };
    let note = Note {
        reference: "INV-1".to_owned(),
        description: "two chairs".to_owned(),
        value_date: Day::new(20_000),
    };
    let statement = |event| Statement { whose, lsn: Lsn(7), time_ns: 1 << 60, note: None, event };
    let noted = Statement { note: Some(NoteStated::of(&note)), ..statement(events[0]) };
    let plain = events.map(|event| statement(event).to_bytes());
    plain.into_iter().chain([noted.to_bytes()]).collect()
}

/// Checkpoints, signed: the first of a ledger, and one later.
pub(crate) fn checkpoints() -> Vec<Vec<u8>> {
    let first = Checkpoint {
        ledger: LedgerId::from_bytes([3; 16]),
        shard: ShardId(0),
        lsn: Lsn(1),
        root: [1; 32],
        number: 1,
        journal: FrameHash([2; 32]),
        time_ns: 0,
        signed_ns: 1,
        previous: None,
    };
    let later = Checkpoint {
        lsn: Lsn(u64::MAX),
        number: 12_345_678,
        time_ns: u64::MAX,
        previous: Some([0xfe; 32]),
        ..first.clone()
    };
    [first, later].map(|checkpoint| checkpoint.sign(&key()).to_text().into_bytes()).to_vec()
}

/// Receipts of each kind of event, valid.
pub(crate) fn receipts() -> Vec<Vec<u8>> {
    let list = RECEIPTS.trim_start_matches("[\n").trim_end_matches("]\n");
    list.split(",\n{\n  \"format\"")
        .enumerate()
        .map(|(at, text)| if at == 0 { text.to_owned() } else { format!("{{\n  \"format\"{text}") })
        .map(String::into_bytes)
        .collect()
}
