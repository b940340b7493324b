//! Events of requests with terms as bytes: held by what was stored, and bounded.

use ducat_engine::codec::{RECORD_BYTES_MAX, decode_all, encode};
use ducat_engine::holds::Standing;
use ducat_engine::ids::{Lsn, Slot, TransferId};
use ducat_engine::record::{
    HoldRefused, Operation, Party, Posted, PostedSide, Record, TermedRecord,
};
use ducat_engine::rejection::Rejection;
use ducat_engine::terms::{AccountTerms, Balancing, CreditCap, DebitCap, Range, Source, Terms};
use ducat_engine::testing::workload::GBP;
use ducat_engine::transfer::TransferKind;

fn transfer_id(id: u128) -> TransferId {
    TransferId::new(id).expect("not zero")
}

/// The record by way of its bytes.
fn read_back(record: &Record) -> Record {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    assert!(bytes.len() <= RECORD_BYTES_MAX, "{} bytes: {record:?}", bytes.len());
    let mut read = decode_all(&bytes).map(|record| record.expect("it was encoded"));
    let first = read.next().expect("one");
    assert!(read.next().is_none());
    first
}

/// The bytes of an event with terms, as journals hold them.
#[test]
fn an_event_with_terms_is_written_so_for_good() {
    let source = Some(Source { total: 300, last: true });
    let balancing = Balancing { min: 0, debit: Some(DebitCap::Balance), credit: None, source };
    let within = Range { at_least: Some(-5), at_most: Some(1 << 70) };
    let debit = AccountTerms { version: Some(Lsn(7)), posted: within, ..AccountTerms::default() };
    let terms = Terms { balancing: Some(balancing), debit, ..Terms::default() };
    let side = |posted| PostedSide { back: 3, posted, room: 0 };
    let record = Record::PostedLinked(Posted {
        id: transfer_id(9),
        debit: Slot(1),
        credit: Slot(2),
        amount: 300,
        debit_side: side(4),
        credit_side: side(304),
    });
    let versions = [None, Some(Lsn(500))];
    let record = Record::Termed(Box::new(TermedRecord { terms, asked: 1_000, versions, record }));
    let mut bytes = Vec::new();
    encode(&record, &mut bytes);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, STORED);
    assert_eq!(read_back(&record), record);
    // Terms have no terms, and what decides no request has none.
    let twice = [&bytes[..], &bytes[1..]].concat();
    let around = bytes.len() - 1 - encoded_len(record.plain());
    let nested = [&bytes[..1 + around], &bytes[..]].concat();
    for wrong in [&nested[..], &bytes[..bytes.len() - 1], &bytes[..1 + around], &twice[..40]] {
        assert!(decode_all(wrong).any(|read| read.is_err()), "{wrong:02x?}");
    }
}

fn encoded_len(record: &Record) -> usize {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    bytes.len()
}

const STORED: &str = "32010001010001fb2c01010107010901fe0000000000000000800000000000000000000000000000fbe80300\
01fbf40101090000000000000000000000000000000102ac0203080003e00400";

/// The longest event there can be keeps the bound of all records.
#[test]
fn the_longest_terms_fit_a_record() {
    let within = Range { at_least: Some(i128::MIN), at_most: Some(i128::MAX) };
    let version = Some(Lsn(u64::MAX));
    let side = AccountTerms { version, posted: within, available: within };
    let source = Some(Source { total: u128::MAX, last: true });
    let (debit, credit) = (Some(DebitCap::Balance), Some(CreditCap::Debt));
    let balancing = Some(Balancing { min: u128::MAX, debit, credit, source });
    let terms = Terms { balancing, debit: side, credit: side };
    let party = Party::Known { slot: Slot(u32::MAX), posted: i128::MIN, room: i128::MAX };
    let standing =
        Standing { remaining: u128::MAX, over_capture_max: u128::MAX, expires_ns: u64::MAX };
    let refused = Record::HoldRefused(HoldRefused {
        id: transfer_id(u128::MAX),
        linked: true,
        rejection: Rejection::DebitAccountVersion,
        asked: Operation::Hold {
            amount: u128::MAX,
            currency: Some(GBP),
            kind: TransferKind::Withdrawal,
            timeout_ns: u64::MAX,
            over_capture_max: u128::MAX,
        },
        held_in: Some(GBP),
        debit: Some(party),
        credit: Some(party),
        standing: Some(standing),
    });
    let record = TermedRecord { terms, asked: u128::MAX, versions: [version; 2], record: refused };
    let record = Record::Termed(Box::new(record));
    assert_eq!(read_back(&record), record);
}
