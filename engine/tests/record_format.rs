//! The format of journal records: a stored fixture that every future version must read, and a
//! decoder and a replay that take any bytes without a panic.
//!
//! The fixture was written once, by
//! `cargo test -p ducat-engine --test record_format -- --ignored`; when the format changes it
//! stays. What was added since is held by `records-v2.bin` (`hold_records.rs`).

use ducat_engine::account_event::{AccountEvent, Change, Opening};
use ducat_engine::codec::{ACCOUNT_EVENT_BYTES_MAX, RECORD_BYTES_MAX, decode_all, encode};
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::{Bounds, Limits};
use ducat_engine::money::{AMOUNT_MAX, BALANCE_MAX, CurrencyId};
use ducat_engine::profile::{
    AccountKind, KEY_BYTES_MAX, KEYS_MAX, LABEL_BYTES_MAX, METADATA_BYTES_MAX, OWNER_BYTES_MAX,
    Profile, ProfileChange, REASON_BYTES_MAX,
};
use ducat_engine::record::{Party, Posted, PostedSide, Record, Refused};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferKind, TransferRequest};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const FIXTURE: &[u8] = include_bytes!("fixtures/records-v1.bin");

fn transfer_id(value: u128) -> TransferId {
    TransferId::new(value).expect("not zero")
}

fn account_id(value: u128) -> AccountId {
    AccountId::new(value).expect("not zero")
}

/// What the fixture holds: every variant, at both ends of every field.
fn known_records() -> Vec<Record> {
    let least = Posted {
        id: transfer_id(1),
        debit: Slot(0),
        credit: Slot(1),
        amount: 1,
        debit_side: PostedSide { back: 0, posted: -1, room: 0 },
        credit_side: PostedSide { back: 0, posted: 1, room: 0 },
    };
    let most = Posted {
        id: transfer_id(u128::MAX),
        debit: Slot(u32::MAX - 1),
        credit: Slot(u32::MAX),
        amount: AMOUNT_MAX,
        debit_side: PostedSide { back: u64::MAX, posted: -BALANCE_MAX, room: 0 },
        credit_side: PostedSide { back: 1, posted: BALANCE_MAX, room: AMOUNT_MAX as i128 },
    };
    let refused = Refused {
        id: transfer_id(0x0192_f3a4_5b6c_7d8e_9f01_2345_6789_abcd),
        rejection: Rejection::InsufficientFunds,
        debit: Party::Known { slot: Slot(250), posted: 251, room: 65_535 },
        credit: Party::Known { slot: Slot(65_536), posted: -1 << 32, room: 1 << 64 },
        amount: 1 << 31,
        currency: Some(CurrencyId(826)),
        kind: TransferKind::Transfer,
    };
    let mut records = vec![
        Record::Posted(least),
        Record::Posted(most),
        Record::PostedLinked(least),
        Record::PostedLinked(most),
    ];
    // Those there were when it was written.
    let rejections = (1..=16).filter_map(Rejection::from_number);
    records.extend(rejections.map(|rejection| Record::Refused(Refused { rejection, ..refused })));
    for kind in [TransferKind::Transfer, TransferKind::Deposit, TransferKind::Withdrawal] {
        records.push(Record::RefusedLinked(Refused {
            kind,
            debit: Party::Unknown(account_id(1)),
            credit: Party::Unknown(account_id(u128::MAX)),
            amount: u128::MAX,
            currency: None,
            ..refused
        }));
    }
    let spec = AccountSpec {
        id: account_id(1),
        currency: CurrencyId(0),
        overdraft_limit: 0,
        external: true,
    };
    records.push(Record::AccountOpened(spec));
    records.push(Record::AccountOpened(AccountSpec {
        id: account_id(u128::MAX),
        currency: CurrencyId(u16::MAX),
        overdraft_limit: AMOUNT_MAX,
        external: false,
    }));
    for status in [AccountStatus::Active, AccountStatus::Frozen, AccountStatus::Closed] {
        records.push(Record::StatusChanged { slot: Slot(7), status });
    }
    records.push(Record::AssetDefined { code: "AB".to_owned(), digits: 0 });
    records.push(Record::AssetDefined { code: "ABCDEFGHIJK9".to_owned(), digits: 18 });
    records
}

const ACCOUNTS_FIXTURE: &[u8] = include_bytes!("fixtures/records-accounts-v1.bin");

/// What the fixture of account events holds: every variant, empty and at its longest.
fn account_events() -> Vec<Record> {
    let text = |text: &str| text.to_owned();
    let spec = AccountSpec {
        id: account_id(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        currency: CurrencyId(978),
        overdraft_limit: AMOUNT_MAX,
        external: false,
    };
    let key = |at: usize| format!("{at:0>width$}", width = KEY_BYTES_MAX);
    let keys: BTreeMap<String, String> =
        (0..KEYS_MAX).map(|at| (key(at), "v".repeat(METADATA_BYTES_MAX / KEYS_MAX - 64))).collect();
    let longest = Profile {
        kind: Some(AccountKind::Expense),
        owner: "o".repeat(OWNER_BYTES_MAX),
        label: "l".repeat(LABEL_BYTES_MAX),
        metadata: keys.clone(),
    };
    assert_eq!(longest.check(), Ok(()));
    let short = Profile { kind: Some(AccountKind::Asset), ..Profile::default() };
    let mut events = vec![
        AccountEvent::Opened(Opening { profile: short, ..Opening::from(spec) }),
        AccountEvent::Opened(Opening { profile: longest.clone(), ..Opening::from(spec) }),
    ];
    let widest = Bounds { floor: Some(i128::MIN), ceiling: Some(i128::MAX) };
    for bounds in [widest, Bounds { floor: None, ceiling: Some(0) }] {
        events.push(AccountEvent::Opened(Opening { bounds, ..Opening::from(spec) }));
    }
    let mut changes: Vec<Change> = AccountStatus::ALL
        .map(|status| Change::Status { status, reason: format!("{status:?} \u{20ac}") })
        .into();
    changes.push(Change::Status {
        status: AccountStatus::Active,
        reason: "r".repeat(REASON_BYTES_MAX),
    });
    changes.extend(AccountKind::ALL.map(|kind| {
        Change::Profile(ProfileChange { kind: Some(Some(kind)), ..ProfileChange::default() })
    }));
    changes.push(Change::Profile(ProfileChange {
        kind: Some(None),
        owner: Some(text("")),
        label: Some(text("")),
        set: [(text("a"), text("")), (text("b.c:d/e-f_g"), text("\u{1f4b0}"))].into(),
        remove: [text("x"), text("y")].into(),
    }));
    for bounds in [widest, Bounds::default(), Bounds { floor: Some(-1), ceiling: None }] {
        for overdraft_limit in [0, u128::MAX] {
            changes.push(Change::Limits(Limits { overdraft_limit, bounds }));
        }
    }
    changes.push(Change::Profile(ProfileChange {
        kind: Some(longest.kind),
        owner: Some(longest.owner),
        label: Some(longest.label),
        set: keys.into_iter().map(|(key, value)| (key.replace('0', "k"), value)).collect(),
        remove: (0..KEYS_MAX).map(key).collect(),
    }));
    for (at, change) in changes.into_iter().enumerate() {
        let (slot, back) = [(Slot(0), 0), (Slot(u32::MAX - 2), u64::MAX)][at % 2];
        events.push(AccountEvent::Changed { slot, back, change });
    }
    events.into_iter().map(|event| Record::Account(Box::new(event))).collect()
}

#[test]
fn the_stored_account_events_read_as_they_were_written() {
    let read: Result<Vec<Record>, _> = decode_all(ACCOUNTS_FIXTURE).collect();
    assert_eq!(read.expect("every record reads"), account_events());
    assert_eq!(encoded(&account_events()), ACCOUNTS_FIXTURE);
}

fn encoded(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    records.iter().for_each(|record| encode(record, &mut bytes));
    bytes
}

#[test]
fn the_stored_records_read_as_they_were_written() {
    let read: Result<Vec<Record>, _> = decode_all(FIXTURE).collect();
    assert_eq!(read.expect("every record reads"), known_records());
}

#[test]
fn records_are_written_as_they_were_stored() {
    assert_eq!(encoded(&known_records()), FIXTURE);
}

#[test]
#[ignore = "writes the fixture anew; only for a new version of the format"]
#[allow(clippy::disallowed_methods, reason = "not the rules: it writes a file of the tests")]
fn write_the_fixture() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/records-v1.bin");
    std::fs::write(path, encoded(&known_records())).expect("the fixture is written");
}

#[test]
#[ignore = "writes the fixture anew; only for a new version of the format"]
#[allow(clippy::disallowed_methods, reason = "not the rules: it writes a file of the tests")]
fn write_the_fixture_of_account_events() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/records-accounts-v1.bin");
    std::fs::write(path, encoded(&account_events())).expect("the fixture is written");
}

#[test]
fn a_record_cut_short_is_an_error_that_says_where() {
    for record in known_records().into_iter().chain(account_events()) {
        let one = encoded(std::slice::from_ref(&record));
        let longest = match record {
            Record::Account(_) => ACCOUNT_EVENT_BYTES_MAX,
            _ => RECORD_BYTES_MAX,
        };
        assert!(one.len() <= longest);
        // Long ones are mostly text: every cut in front, and some behind.
        let cuts = (1..one.len().min(200)).chain((200..one.len()).step_by(97));
        for cut in cuts {
            let mut bytes = one.clone();
            bytes.extend_from_slice(&one[..cut]);
            let read: Vec<_> = decode_all(&bytes).collect();
            assert_eq!(read.len(), 2, "cut after {cut}");
            assert_eq!(read[0].as_ref().expect("whole"), &record);
            assert_eq!(read[1].as_ref().expect_err("cut").offset, one.len());
        }
    }
}

#[test]
fn numbers_that_stand_for_nothing_are_errors() {
    let status = encoded(&[Record::StatusChanged { slot: Slot(7), status: AccountStatus::Active }]);
    let mut bad = status.clone();
    *bad.last_mut().expect("bytes") = 5;
    assert!(decode_all(&bad).next().expect("one").is_err(), "a status of 5");
    let mut bad = status;
    bad[1] = 99;
    assert!(decode_all(&bad).next().expect("one").is_err(), "a record of variant 99");
    bad[0] = 77;
    assert!(decode_all(&bad).next().expect("one").is_err(), "a record of tag 77");
    let mut bad = encoded(&known_records()[..1]);
    bad[1..17].fill(0);
    assert!(decode_all(&bad).next().expect("one").is_err(), "a transfer id of zero");
    // A text that claims to be as long as the address space must not be allocated.
    let huge = [6, 253, 255, 255, 255, 255, 255, 255, 255, 255, 0];
    assert!(decode_all(&huge).next().expect("one").is_err(), "a text of 2^64 bytes");
}

/// Whole numbers of every size, the ends included.
fn wide() -> impl Strategy<Value = u128> {
    prop_oneof![
        4 => 0u128..20,
        1 => Just(AMOUNT_MAX),
        1 => Just(AMOUNT_MAX + 1),
        1 => Just(u128::MAX),
        1 => Just(i128::MAX as u128),
        1 => any::<u128>(),
    ]
}

fn balance() -> impl Strategy<Value = i128> {
    prop_oneof![4 => -20i128..20, 1 => Just(i128::MAX), 1 => Just(i128::MIN), 1 => any::<i128>()]
}

fn side() -> impl Strategy<Value = PostedSide> {
    let back = prop_oneof![3 => 0u64..9, 1 => Just(u64::MAX), 1 => any::<u64>()];
    (back, balance(), room()).prop_map(|(back, posted, room)| PostedSide { back, posted, room })
}

fn room() -> impl Strategy<Value = i128> {
    prop_oneof![3 => 0i128..20, 1 => balance()]
}

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![6 => 0u32..4, 1 => Just(u32::MAX), 1 => any::<u32>()].prop_map(Slot)
}

fn posted() -> impl Strategy<Value = Posted> {
    (1u128..99, slot(), slot(), wide(), side(), side()).prop_map(
        |(id, debit, credit, amount, debit_side, credit_side)| {
            let id = transfer_id(id);
            Posted { id, debit, credit, amount, debit_side, credit_side }
        },
    )
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![
        (slot(), balance(), balance()).prop_map(|(slot, posted, room)| Party::Known {
            slot,
            posted,
            room
        }),
        (1u128..9).prop_map(|id| Party::Unknown(account_id(id))),
    ]
}

fn refused() -> impl Strategy<Value = Refused> {
    (1u128..99, 0..Rejection::ALL.len(), party(), party(), wide()).prop_map(
        |(id, rule, debit, credit, amount)| Refused {
            id: transfer_id(id),
            rejection: Rejection::ALL[rule],
            debit,
            credit,
            amount,
            currency: None,
            kind: TransferKind::Transfer,
        },
    )
}

/// A change of a status, boxed as the next one is: all in one would fill a test's stack.
fn change() -> BoxedStrategy<Record> {
    let changes = (slot(), 0u64..4, 0..5usize).prop_map(|(slot, back, status)| {
        let change = Change::Status { status: AccountStatus::ALL[status], reason: String::new() };
        Record::Account(Box::new(AccountEvent::Changed { slot, back, change }))
    });
    changes.boxed()
}

/// A change of limits.
fn limits() -> BoxedStrategy<Record> {
    let bound = || prop::option::of(balance()).boxed();
    let changes = (slot(), 0u64..4, wide(), bound(), bound());
    let changes = changes.prop_map(|(slot, back, overdraft_limit, floor, ceiling)| {
        let limits = Limits { overdraft_limit, bounds: Bounds { floor, ceiling } };
        let change = Change::Limits(limits);
        Record::Account(Box::new(AccountEvent::Changed { slot, back, change }))
    });
    changes.boxed()
}

fn record() -> impl Strategy<Value = Record> {
    let spec = (1u128..6, prop_oneof![Just(826u16), any::<u16>()], wide(), any::<bool>());
    let status = (slot(), 0..5usize);
    // The long ones are held by the fixture, and would take most of the time here.
    let short = |record: &Record| encoded(std::slice::from_ref(record)).len() < 300;
    let events: Vec<Record> = account_events().into_iter().filter(short).collect();
    let account = (0..events.len()).prop_map(move |at| events[at].clone()).boxed();
    prop_oneof![
        3 => posted().prop_map(Record::Posted),
        1 => posted().prop_map(Record::PostedLinked),
        2 => refused().prop_map(Record::Refused),
        1 => refused().prop_map(Record::RefusedLinked),
        2 => spec.prop_map(|(id, currency, overdraft_limit, external)| {
            let currency = CurrencyId(currency);
            Record::AccountOpened(AccountSpec {
                id: account_id(id), currency, overdraft_limit, external
            })
        }),
        1 => status.prop_map(|(slot, status)| {
            Record::StatusChanged { slot, status: AccountStatus::ALL[status] }
        }),
        2 => prop_oneof![1 => account, 1 => change(), 1 => limits()],
        1 => ("[A-Za-z0-9]{0,13}", any::<u8>())
            .prop_map(|(code, digits)| Record::AssetDefined { code, digits }),
    ]
}

/// A ledger with two accounts, one of which may go below zero.
fn small(partitions: usize) -> Ledger {
    let mut ledger = Ledger::new(partitions, 3, u64::MAX).expect("a power of two");
    for (id, external) in [(101, true), (102, false)] {
        let id = account_id(id);
        let currency = CurrencyId(826);
        ledger
            .open_account(&AccountSpec { id, currency, overdraft_limit: 0, external })
            .expect("new");
    }
    ledger
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_record_reads_back(records in vec(record(), 1..8)) {
        let read: Result<Vec<Record>, _> = decode_all(&encoded(&records)).collect();
        prop_assert_eq!(read.expect("what was written"), records);
    }

    #[test]
    fn any_bytes_are_records_or_errors(bytes in vec(any::<u8>(), 0..300)) {
        let read: Vec<_> = decode_all(&bytes).collect();
        prop_assert!(read.len() <= bytes.len(), "every record takes a byte at least");
        prop_assert!(read.iter().rev().skip(1).all(Result::is_ok), "an error is the last");
        let mut ledger = small(2);
        for record in read.iter().flatten() {
            let _ = ledger.apply(ledger.coordinator.next_lsn(), 0, record);
        }
    }

    #[test]
    fn a_changed_byte_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = FIXTURE.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut ledger = small(1);
        for record in decode_all(&bytes).map_while(Result::ok) {
            let _ = ledger.apply(ledger.coordinator.next_lsn(), 0, &record);
        }
    }

    /// A journal in which one bit fell over replays to an error or to a state that balances.
    #[test]
    fn a_flipped_bit_in_a_journal_never_panics(
        amounts in vec((1u128..40, any::<bool>()), 1..9),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut live = small(2);
        let requests: Vec<TransferRequest> = amounts
            .iter()
            .enumerate()
            .map(|(n, &(amount, enters))| {
                let (outside, inside) = (account_id(101), account_id(102));
                let (debit, credit) = if enters { (outside, inside) } else { (inside, outside) };
                let kind =
                    if enters { TransferKind::Deposit } else { TransferKind::Withdrawal };
                let (id, currency, linked) = (transfer_id(n as u128 + 1), None, false);
                TransferRequest { id, debit, credit, amount, currency, kind, linked }
            })
            .collect();
        let done = live.execute(0, &[&requests]).expect("possible");
        let mut bytes: Vec<u8> = Vec::new();
        done.records.iter().for_each(|(_, record)| encode(record, &mut bytes));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let mut again = small(1);
        for record in decode_all(&bytes).map_while(Result::ok) {
            if again.apply(again.coordinator.next_lsn(), 0, &record).is_err() {
                return Ok(());
            }
        }
        let (_, totals) = again.summary();
        prop_assert!(totals.values().all(|sums| sums.internal + sums.external == 0));
    }

    /// Records that no live run wrote are impossible or harmless, never a panic and never
    /// money out of nothing.
    #[test]
    fn any_record_applies_or_is_impossible(
        records in vec((record(), prop_oneof![9 => Just(None), 1 => any::<u64>().prop_map(Some)]), 1..12),
    ) {
        let mut ledger = small(2);
        for (record, lsn) in records {
            let lsn = lsn.map_or(ledger.coordinator.next_lsn(), Lsn);
            let mut trial = ledger.clone();
            if trial.apply(lsn, 0, &record).is_ok() {
                ledger = trial;
                let (_, totals) = ledger.summary();
                prop_assert!(totals.values().all(|sums| sums.internal + sums.external == 0));
            }
        }
    }
}

/// A first deposit into the second account of a small ledger, as a live run writes it.
fn first_deposit() -> Posted {
    Posted {
        id: transfer_id(1),
        debit: Slot(0),
        credit: Slot(1),
        amount: 5,
        debit_side: PostedSide { back: 0, posted: -5, room: 0 },
        credit_side: PostedSide { back: 0, posted: 5, room: 0 },
    }
}

#[test]
fn figures_that_differ_in_anything_are_impossible() {
    let right = first_deposit();
    assert_eq!(small(2).apply(Lsn(3), 0, &Record::Posted(right)), Ok(()));
    let side = right.credit_side;
    for (what, wrong) in [
        ("amount", Posted { amount: 4, ..right }),
        ("posted", Posted { credit_side: PostedSide { posted: 6, ..side }, ..right }),
        ("room", Posted { credit_side: PostedSide { room: 1, ..side }, ..right }),
        ("an entry at 2", Posted { credit_side: PostedSide { back: 1, ..side }, ..right }),
        ("an entry at 0", Posted { credit_side: PostedSide { back: 3, ..side }, ..right }),
        ("an entry before 0", Posted { credit_side: PostedSide { back: 4, ..side }, ..right }),
        ("accounts", Posted { credit: Slot(2), ..right }),
    ] {
        assert!(small(2).apply(Lsn(3), 0, &Record::Posted(wrong)).is_err(), "{what}");
    }
}

#[test]
fn events_that_no_live_run_writes_are_impossible() {
    let mut ledger = small(1);
    let asset = Record::AssetDefined { code: "POINTS".to_owned(), digits: 0 };
    ledger.apply(Lsn(3), 0, &asset).expect("new");
    assert!(ledger.clone().apply(Lsn(4), 0, &asset).is_err(), "an asset defined twice");
    let refused = Refused {
        id: transfer_id(1),
        rejection: Rejection::IdReused,
        debit: Party::Unknown(account_id(1)),
        credit: Party::Unknown(account_id(2)),
        amount: 1,
        currency: None,
        kind: TransferKind::Transfer,
    };
    let reused = Record::Refused(refused);
    assert!(ledger.clone().apply(Lsn(4), 0, &reused).is_err(), "an id reused is no event");
    let unknown = Record::Refused(Refused { rejection: Rejection::DebitAccountUnknown, ..refused });
    assert_eq!(ledger.clone().apply(Lsn(4), 0, &unknown), Ok(()));
    let listed = Record::Refused(Refused {
        rejection: Rejection::DebitAccountUnknown,
        debit: Party::Unknown(account_id(101)),
        ..refused
    });
    assert!(ledger.apply(Lsn(4), 0, &listed).is_err(), "an account that exists is not unknown");
}
