//! The format of the records of holds, as `record_format.rs` holds that of all others: a stored
//! fixture, and a decoder and a replay that take anything without a panic.
//!
//! The fixture was written once, by
//! `cargo test -p ducat-engine --test hold_records -- --ignored`.

use ducat_engine::codec::{RECORD_BYTES_MAX, decode_all, encode};
use ducat_engine::holds::Standing;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::money::{AMOUNT_MAX, BALANCE_MAX, CurrencyId};
use ducat_engine::record::{
    Captured, Expired, Extended, Figures, Held, HoldRefused, Operation, Party, Posted, PostedSide,
    Record, Refused, Voided,
};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::NEVER_NS;
use ducat_engine::transfer::{AccountSpec, TransferKind};
use proptest::collection::vec;
use proptest::prelude::*;

const FIXTURE: &[u8] = include_bytes!("fixtures/records-v2.bin");

const LOWEST: Figures = Figures { posted: -BALANCE_MAX, room: -2 * BALANCE_MAX };
const HIGHEST: Figures = Figures { posted: BALANCE_MAX, room: AMOUNT_MAX as i128 };

fn id(value: u128) -> TransferId {
    TransferId::new(value).expect("not zero")
}

/// What the fixture holds: every variant, at both ends of every field.
fn known_records() -> Vec<Record> {
    let (one, most) = (id(1), id(u128::MAX));
    let side =
        |back, figures: Figures| PostedSide { back, posted: figures.posted, room: figures.room };
    let below = Posted {
        id: most,
        debit: Slot(0),
        credit: Slot(u32::MAX),
        amount: AMOUNT_MAX,
        debit_side: side(u64::MAX, LOWEST),
        credit_side: side(0, HIGHEST),
    };
    let mut records = vec![Record::Posted(below), Record::PostedLinked(below)];
    for linked in [false, true] {
        records.push(Record::Held(Held {
            id: one,
            linked,
            debit: Slot(0),
            credit: Slot(1),
            amount: 1,
            timeout_ns: 0,
            over_capture_max: 0,
            debit_after: LOWEST,
        }));
        records.push(Record::Held(Held {
            id: most,
            linked,
            debit: Slot(u32::MAX),
            credit: Slot(u32::MAX - 1),
            amount: AMOUNT_MAX,
            timeout_ns: u64::MAX,
            over_capture_max: AMOUNT_MAX,
            debit_after: HIGHEST,
        }));
        for (all, last, released) in [(false, false, 7), (true, false, 8), (false, true, 9)] {
            records.push(Record::Captured(Captured {
                id: one,
                linked,
                hold: most,
                currency: CurrencyId(826),
                all,
                last,
                debit: Slot(127),
                credit: Slot(128),
                amount: 7,
                released,
                remaining: 200,
                debit_side: side(300, LOWEST),
                credit_side: side(1, HIGHEST),
            }));
        }
        records.push(Record::Voided(Voided {
            id: most,
            linked,
            hold: one,
            currency: CurrencyId(u16::MAX),
            debit: Slot(5),
            released: AMOUNT_MAX,
            debit_after: LOWEST,
        }));
        records.push(Record::Extended(Extended {
            id: most,
            linked,
            hold: one,
            currency: CurrencyId(0),
            debit: Slot(5),
            timeout_ns: 86_400_000_000_000,
            expires_ns: NEVER_NS,
            remaining: 1 << 64,
            debit_after: HIGHEST,
        }));
        records.extend(refusals(linked));
    }
    records.push(Record::Expired(Expired {
        hold: most,
        debit: Slot(70_000),
        released: 1,
        debit_after: LOWEST,
    }));
    let party = Party::Known { slot: Slot(250), posted: 251, room: -65_535 };
    records.push(Record::Refused(Refused {
        id: one,
        rejection: Rejection::InsufficientFunds,
        debit: party,
        credit: party,
        amount: 1,
        currency: None,
        kind: TransferKind::Transfer,
    }));
    records
}

fn refusals(linked: bool) -> Vec<Record> {
    let (one, most) = (id(1), id(u128::MAX));
    let known = Party::Known { slot: Slot(1), posted: -1, room: -(1 << 40) };
    let unknown = Party::Unknown(AccountId::new(u128::MAX).expect("not zero"));
    let standing = Standing { remaining: 5, over_capture_max: 1 << 40, expires_ns: 1 << 60 };
    let refusal = |rejection, asked, sides: Option<(Party, Party)>, standing| {
        Record::HoldRefused(HoldRefused {
            id: one,
            linked,
            rejection,
            asked,
            held_in: sides.map(|_| CurrencyId(826)),
            debit: sides.map(|sides| sides.0),
            credit: sides.map(|sides| sides.1),
            standing,
        })
    };
    let place = Operation::Hold {
        amount: u128::MAX,
        currency: Some(CurrencyId(840)),
        kind: TransferKind::Withdrawal,
        timeout_ns: 1,
        over_capture_max: u128::MAX,
    };
    let captures = [None, Some(0), Some(u128::MAX)];
    let mut all = vec![refusal(Rejection::AmountTooLarge, place, Some((known, unknown)), None)];
    all.extend(captures.map(|amount| {
        let (currency, last) = (amount.map(|_| CurrencyId(840)), amount.is_none());
        let asked = Operation::Capture { hold: most, amount, currency, last };
        refusal(Rejection::HoldExceeded, asked, Some((known, known)), Some(standing))
    }));
    let void = Operation::Void { hold: most };
    all.extend(
        (17..=23)
            .filter_map(Rejection::from_number)
            .map(|rejection| refusal(rejection, void, None, None)),
    );
    let extend = Operation::Extend { hold: most, timeout_ns: u64::MAX };
    all.push(refusal(Rejection::HoldExtensionTooShort, extend, None, Some(standing)));
    all
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
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/records-v2.bin");
    std::fs::write(path, encoded(&known_records())).expect("the fixture is written");
}

#[test]
fn a_record_cut_short_is_an_error_that_says_where() {
    for record in known_records() {
        let one = encoded(std::slice::from_ref(&record));
        assert!(one.len() <= RECORD_BYTES_MAX);
        for cut in 1..one.len() {
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
fn the_records_of_a_hold_are_small() {
    let (posted, back) = (1_000_000_i128, 30_000);
    let figures = Figures { posted, room: -5_000 };
    let side = PostedSide { back, posted, room: -5_000 };
    let (id, hold, debit, credit) = (id(u128::MAX), id(1), Slot(9_999), Slot(500));
    let (linked, currency, amount) = (false, CurrencyId(826), 100_000);
    let week = 7 * 86_400_000_000_000;
    let bytes = |record: Record| encoded(&[record]).len();
    let held = bytes(Record::Held(Held {
        id,
        linked,
        debit,
        credit,
        amount,
        timeout_ns: week,
        over_capture_max: 0,
        debit_after: figures,
    }));
    let captured = bytes(Record::Captured(Captured {
        id,
        linked,
        hold,
        currency,
        all: true,
        last: false,
        debit,
        credit,
        amount,
        released: amount,
        remaining: 0,
        debit_side: side,
        credit_side: side,
    }));
    let released = amount;
    let debit_after = figures;
    let voided = Voided { id, linked, hold, currency, debit, released, debit_after };
    let voided = bytes(Record::Voided(voided));
    let expired = bytes(Record::Expired(Expired { hold, debit, released, debit_after }));
    println!("journal bytes: held {held}, captured {captured}, voided {voided}, expired {expired}");
    assert!(held <= 40 && captured <= 64 && voided <= 48 && expired <= 28);
}

/// A ledger with two accounts, the second of which has 50, and holds of 20 and 10.
fn small() -> Ledger {
    let mut ledger = Ledger::new(2, 3, u64::MAX).expect("a power of two");
    for (number, external) in [(101, true), (102, false)] {
        let id = AccountId::new(number).expect("not zero");
        let currency = CurrencyId(826);
        let spec = AccountSpec { id, currency, overdraft_limit: 0, external };
        ledger.open_account(&spec).expect("new");
    }
    let side = |posted| PostedSide { back: 0, posted, room: 0 };
    let deposit = Record::Posted(Posted {
        id: id(1_000),
        debit: Slot(0),
        credit: Slot(1),
        amount: 50,
        debit_side: side(-50),
        credit_side: side(50),
    });
    ledger.apply(Lsn(3), 10, &deposit).expect("possible");
    for (lsn, number, amount, room) in [(4, 1, 20, -20), (5, 2, 10, -30)] {
        let held = Record::Held(Held {
            debit_after: Figures { posted: 50, room },
            ..held(number, amount)
        });
        ledger.apply(Lsn(lsn), 10, &held).expect("possible");
    }
    ledger
}

fn held(number: u128, amount: u128) -> Held {
    Held {
        id: id(number),
        linked: false,
        debit: Slot(1),
        credit: Slot(0),
        amount,
        timeout_ns: 5,
        over_capture_max: 2,
        debit_after: Figures { posted: 50, room: 0 },
    }
}

fn captured() -> Captured {
    Captured {
        id: id(7),
        linked: false,
        hold: id(1),
        currency: CurrencyId(826),
        all: false,
        last: false,
        debit: Slot(1),
        credit: Slot(0),
        amount: 5,
        released: 5,
        remaining: 15,
        debit_side: PostedSide { back: 3, posted: 45, room: -25 },
        credit_side: PostedSide { back: 3, posted: -45, room: 0 },
    }
}

#[test]
fn a_record_that_says_other_than_what_happened_is_impossible() {
    let apply = |time_ns, record: Record| small().apply(Lsn(6), time_ns, &record);
    let right = captured();
    assert_eq!(apply(10, Record::Captured(right)), Ok(()));
    type Spoil = (&'static str, fn(&mut Captured));
    let spoils: [Spoil; 14] = [
        ("the amount", |c| c.amount = 6),
        ("what is released", |c| c.released = 4),
        ("what remains", |c| c.remaining = 14),
        ("the last", |c| c.last = true),
        ("all", |c| c.all = true),
        ("the hold", |c| c.hold = id(2)),
        ("a hold that is not there", |c| c.hold = id(3)),
        ("the debit account", |c| c.debit = Slot(0)),
        ("the credit account", |c| c.credit = Slot(1)),
        ("the currency", |c| c.currency = CurrencyId(840)),
        ("debit's posted", |c| c.debit_side.posted = 44),
        ("debit's room", |c| c.debit_side.room = -24),
        ("credit's entry before", |c| c.credit_side.back = 2),
        ("credit's room", |c| c.credit_side.room = 1),
    ];
    for (what, spoil) in spoils {
        let mut wrong = right;
        spoil(&mut wrong);
        assert!(apply(10, Record::Captured(wrong)).is_err(), "{what}");
    }
    // Its time is over at 15, and then it is nothing but that.
    assert!(apply(15, Record::Captured(right)).is_err());
    let expired = |hold, released, room| {
        let debit_after = Figures { posted: 50, room };
        Record::Expired(Expired { hold: id(hold), debit: Slot(1), released, debit_after })
    };
    assert_eq!(apply(15, expired(1, 20, -10)), Ok(()));
    assert!(apply(14, expired(1, 20, -10)).is_err(), "before its time");
    assert!(apply(15, expired(1, 19, -11)).is_err(), "not all of it");
    assert!(apply(15, expired(3, 20, -10)).is_err(), "a hold that is not there");
    assert!(apply(10, Record::Held(held(1, 1))).is_err(), "a hold that is open");
    let short = Held { debit_after: Figures { posted: 50, room: -51 }, ..held(8, 21) };
    assert!(apply(10, Record::Held(short)).is_err(), "more than there is");
}

fn figure() -> impl Strategy<Value = i128> {
    prop_oneof![4 => -60i128..60, 1 => Just(i128::MAX), 1 => Just(i128::MIN), 1 => any::<i128>()]
}

fn amount() -> impl Strategy<Value = u128> {
    prop_oneof![6 => 0u128..25, 1 => Just(AMOUNT_MAX), 1 => Just(u128::MAX), 1 => any::<u128>()]
}

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![6 => 0u32..3, 1 => Just(u32::MAX), 1 => any::<u32>()].prop_map(Slot)
}

fn figures() -> impl Strategy<Value = Figures> {
    (figure(), figure()).prop_map(|(posted, room)| Figures { posted, room })
}

fn side() -> impl Strategy<Value = PostedSide> {
    (0u64..9, figure(), figure()).prop_map(|(back, posted, room)| PostedSide { back, posted, room })
}

fn numbers() -> impl Strategy<Value = (u128, u128, bool)> {
    (1u128..12, 1u128..4, any::<bool>())
}

fn record() -> impl Strategy<Value = Record> {
    let held = (numbers(), slot(), slot(), amount(), any::<u64>(), amount(), figures());
    let held = held.prop_map(|((n, _, linked), debit, credit, amount, timeout_ns, over, after)| {
        let over_capture_max = over;
        let (id, debit_after) = (id(n), after);
        Record::Held(Held {
            id,
            linked,
            debit,
            credit,
            amount,
            timeout_ns,
            over_capture_max,
            debit_after,
        })
    });
    let captured =
        (numbers(), any::<[bool; 2]>(), slot(), slot(), amount(), amount(), (side(), side()));
    let captured = captured.prop_map(
        |((n, hold, linked), [all, last], debit, credit, amount, remaining, sides)| {
            Record::Captured(Captured {
                id: id(n),
                linked,
                hold: id(hold),
                currency: CurrencyId(826),
                all,
                last,
                debit,
                credit,
                amount,
                released: if last { remaining } else { amount },
                remaining,
                debit_side: sides.0,
                credit_side: sides.1,
            })
        },
    );
    let given = (numbers(), slot(), amount(), figures(), any::<u64>(), 0u8..3);
    let given =
        given.prop_map(|((n, hold, linked), debit, released, debit_after, expires_ns, what)| {
            let (id, hold, currency) = (id(n), id(hold), CurrencyId(826));
            let remaining = released;
            let timeout_ns = expires_ns;
            match what {
                0 => Record::Voided(Voided {
                    id,
                    linked,
                    hold,
                    currency,
                    debit,
                    released,
                    debit_after,
                }),
                1 => Record::Expired(Expired { hold, debit, released, debit_after }),
                _ => Record::Extended(Extended {
                    id,
                    linked,
                    hold,
                    currency,
                    debit,
                    timeout_ns,
                    expires_ns,
                    remaining,
                    debit_after,
                }),
            }
        });
    prop_oneof![held, captured, given]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_record_reads_back(records in vec(record(), 1..8)) {
        let read: Result<Vec<Record>, _> = decode_all(&encoded(&records)).collect();
        prop_assert_eq!(read.expect("what was written"), records);
    }

    #[test]
    fn a_changed_byte_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = FIXTURE.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let mut ledger = small();
        for record in decode_all(&bytes).map_while(Result::ok) {
            let _ = ledger.apply(ledger.coordinator.next_lsn(), 10, &record);
        }
    }

    /// Records that no live run wrote are impossible or harmless: never a panic, never money out
    /// of nothing, and accounts have on hold what holds set aside.
    #[test]
    fn any_record_applies_or_is_impossible(
        records in vec((record(), prop_oneof![4 => Just(10u64), 1 => 10u64..20]), 1..12),
    ) {
        let mut ledger = small();
        for (record, time_ns) in records {
            let mut trial = ledger.clone();
            if trial.apply(ledger.coordinator.next_lsn(), time_ns, &record).is_ok() {
                ledger = trial;
                let (_, totals) = ledger.summary();
                prop_assert!(totals.values().all(|sums| sums.internal + sums.external == 0));
                prop_assert_eq!(ledger.check_holds(), Ok(()));
            }
        }
    }
}
