//! Audit events in the journal: their stored form, their bounds, and that they change nothing.

use ducat_engine::audit::{
    AUDIT_KINDS, AUDIT_OUTCOMES, AuditEvent, AuditKind, AuditOutcome, DETAIL_BYTES_MAX, RUNS_MAX,
    Run, SEVERITIES, Severity,
};
use ducat_engine::codec::{AUDIT_EVENT_BYTES_MAX, decode_all, encode};
use ducat_engine::ids::{AccountId, Lsn};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::money::CurrencyId;
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::AccountSpec;

fn events() -> Vec<AuditEvent> {
    let full = AuditEvent {
        severity: Severity::Warning,
        outcome: AuditOutcome::Refused,
        principal: "spiffe://bank.example/gateway".to_owned(),
        address: "192.0.2.7".to_owned(),
        agent: "ducat/1".to_owned(),
        entity: "account 7".to_owned(),
        reason: "OUT_OF_SCOPE".to_owned(),
        detail: "account 7 is not the gateway's".to_owned(),
        calls: 3,
        requests: 8_192,
        done: 8_000,
        repeats: 2,
        rejections: vec![(Rejection::AmountZero, 90), (Rejection::InsufficientFunds, 100)],
        runs: vec![
            Run { first: Lsn(7), last: Lsn(8_198) },
            Run { first: Lsn(9_000), last: Lsn(9_000) },
        ],
        duration_ns: 1_234_567,
        window_ns: 60_000_000_000,
        trace: Some([7; 16]),
        ..AuditEvent::new(AuditKind::Write, "Ledger/CreateTransfers")
    };
    let mut events = vec![full];
    events.extend(AUDIT_KINDS.map(|kind| AuditEvent::new(kind, "Ledger/Transfer")));
    events.extend(
        SEVERITIES.map(|severity| AuditEvent { severity, ..AuditEvent::new(AuditKind::Read, "a") }),
    );
    events.extend(
        AUDIT_OUTCOMES
            .map(|outcome| AuditEvent { outcome, ..AuditEvent::new(AuditKind::Read, "a") }),
    );
    events
}

fn record(event: AuditEvent) -> Record {
    Record::Audit(Box::new(event))
}

fn bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    events().into_iter().for_each(|event| encode(&record(event), &mut bytes));
    bytes
}

/// Never to be written anew: when this fails, old journals cannot be read any more.
#[test]
fn the_stored_events_are_read_and_written_so() {
    let stored = include_bytes!("fixtures/audit-events.bin");
    let read: Result<Vec<Record>, _> = decode_all(stored).collect();
    let expected: Vec<Record> = events().into_iter().map(record).collect();
    assert_eq!(read.expect("they can be read"), expected);
    assert_eq!(bytes(), stored);
}

/// Makes the fixture of new events.
#[test]
#[ignore = "writes a fixture, once"]
#[allow(clippy::disallowed_methods, reason = "it writes a fixture")]
fn write_the_fixture() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/audit-events.bin");
    std::fs::write(path, bytes()).expect("writes");
}

#[test]
fn the_longest_fits_its_bound_and_what_is_cut_off_is_no_event() {
    let long = || "é".repeat(2_000);
    let most = AuditEvent {
        principal: long(),
        address: long(),
        agent: long(),
        entity: long(),
        reason: long(),
        detail: long(),
        calls: u64::MAX,
        requests: u64::MAX,
        done: u64::MAX,
        repeats: u64::MAX,
        rejections: Rejection::ALL.into_iter().map(|rule| (rule, u64::MAX)).collect(),
        runs: vec![Run { first: Lsn(u64::MAX), last: Lsn(u64::MAX) }; 2 * RUNS_MAX],
        duration_ns: u64::MAX,
        window_ns: u64::MAX,
        trace: Some([255; 16]),
        ..AuditEvent::new(AuditKind::Command, &long())
    };
    let most = most.bounded();
    assert!(most.detail.len() <= DETAIL_BYTES_MAX && !most.detail.is_empty());
    let mut bytes = Vec::new();
    encode(&record(most.clone()), &mut bytes);
    assert!(bytes.len() <= AUDIT_EVENT_BYTES_MAX, "{}", bytes.len());
    let read: Vec<_> = decode_all(&bytes).map(|record| record.expect("whole")).collect();
    assert_eq!(read, [record(most)]);
    for end in 1..bytes.len() {
        assert!(decode_all(&bytes[..end]).any(|read| read.is_err()), "cut off at {end}");
    }
    // Another form, which a later version may write.
    bytes[1] += 1;
    assert!(decode_all(&bytes).all(|read| read.is_err()));
}

#[test]
fn it_takes_a_place_and_changes_nothing_else() {
    let mut ledger = Ledger::new(1, 0, REMEMBER_NS).expect("a power of two");
    let id = AccountId::new(1).expect("not zero");
    let opened = AccountSpec { id, currency: CurrencyId(826), overdraft_limit: 0, external: true };
    ledger.apply(Lsn(1), 5, &Record::AccountOpened(opened)).expect("the first");
    let mut other = ledger.clone();
    ledger.apply(Lsn(2), 6, &record(events().remove(0))).expect("it says nothing of accounts");
    assert!(ledger.apply(Lsn(2), 6, &record(events().remove(0))).is_err(), "its place is taken");
    // A ledger where another event has that place, for all that is hashed.
    other.apply(Lsn(2), 6, &record(AuditEvent::new(AuditKind::Read, "b"))).expect("as well");
    assert_eq!(ledger.summary(), other.summary());
    assert_eq!(ledger.coordinator.next_lsn(), Lsn(3));
    let event = record(events().remove(0));
    assert_eq!((event.transfer_id(), event.posting(), event.rejection()), (None, None, None));
    assert!(!event.is_linked() && !event.is_done());
    assert_eq!((event.parties(), event.effects().map(|e| e.is_some())), ([None, None], [false; 2]));
}

/// What decision 38 says of the journal's growth.
#[test]
fn bytes_of_an_event_are_few() {
    let usual = |runs: u64| AuditEvent {
        principal: "spiffe://bank.example/gateway".to_owned(),
        address: "192.0.2.7".to_owned(),
        agent: "ducat-client/0.1 tonic/0.14".to_owned(),
        requests: runs,
        done: runs,
        runs: (1..=runs)
            .map(|run| Run { first: Lsn(1_000_000 + 2 * run), last: Lsn(1_000_000 + 2 * run) })
            .collect(),
        duration_ns: 1_234_567,
        ..AuditEvent::new(AuditKind::Write, "Ledger/CreateTransfers")
    };
    let bytes = |event| {
        let mut bytes = Vec::new();
        encode(&record(event), &mut bytes);
        bytes.len()
    };
    assert!(bytes(usual(1)) <= 140, "{}", bytes(usual(1)));
    assert!(bytes(usual(64)) <= 140 + 63 * 10, "{}", bytes(usual(64)));
}
