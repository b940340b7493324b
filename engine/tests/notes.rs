//! Kinds and notes, by example: which accounts a kind allows, what a note changes (nothing but the
//! request's content), how both are written, and what replay refuses.

use ducat_engine::account::Impossible;
use ducat_engine::codec::{NOTE_BYTES_MAX, RECORD_BYTES_MAX, decode_all, encode};
use ducat_engine::ids::{AccountId, Lsn, ShardId, Slot, TransferId};
use ducat_engine::ledger::Ledger;
use ducat_engine::note::{DESCRIPTION_BYTES_MAX, Day, Note, Noted, REFERENCE_BYTES_MAX};
use ducat_engine::proof::{Names, Whose};
use ducat_engine::record::{NotedRecord, Posted, PostedSide, Record};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{CaptureRequest, HoldRequest, RefundRequest, Request};
use ducat_engine::snapshot::codec;
use ducat_engine::terms::{Balancing, DebitCap, Termed, Terms};
use ducat_engine::testing::book::{self, Event, filled};
use ducat_engine::testing::workload::GBP;
use ducat_engine::transfer::{AccountSpec, Outcome, TransferKind, TransferRequest};

const OUTSIDE: u128 = 1;
const BANK: u128 = 2;
const ALICE: u128 = 3;
const SHOP: u128 = 4;

fn account(number: u128) -> AccountId {
    AccountId::new(number).expect("not zero")
}

fn id(number: u128) -> TransferId {
    TransferId::new(number).expect("not zero")
}

fn transfer(number: u128, debit: u128, credit: u128, kind: TransferKind) -> TransferRequest {
    let (debit, credit) = (account(debit), account(credit));
    TransferRequest {
        id: id(number),
        debit,
        credit,
        amount: 5,
        currency: None,
        kind,
        linked: false,
    }
}

fn note(reference: &str, value_date: Option<i32>) -> Note {
    let value_date = value_date.map(|days| Day::new(days).expect("a day"));
    Note { reference: reference.to_owned(), description: "two chairs".to_owned(), value_date }
}

fn noted(request: impl Into<Request>, note: Note) -> Request {
    Noted::new(request, note).expect("it can be kept").into()
}

/// A ledger of two external and two other accounts, of which Alice has 100, and its journal.
struct Bank {
    ledger: Ledger,
    events: Vec<Event>,
}

impl Bank {
    fn new() -> Self {
        let mut bank = Self { ledger: book::empty(2, u64::MAX), events: Vec::new() };
        for number in [OUTSIDE, BANK, ALICE, SHOP] {
            let (id, external) = (account(number), number <= BANK);
            let spec = AccountSpec { id, currency: GBP, overdraft_limit: 0, external };
            let (lsn, record) = bank.ledger.open_account(&spec).expect("new");
            bank.events.push(Event { lsn, time_ns: 0, record });
        }
        let deposit = transfer(1 << 64, OUTSIDE, ALICE, TransferKind::Deposit);
        bank.ask(TransferRequest { amount: 100, ..deposit });
        bank
    }

    fn ask(&mut self, request: impl Into<Request>) -> Outcome {
        let request: [Request; 1] = [request.into()];
        let read = |lsn| book::read(&self.events, lsn);
        let done = self.ledger.execute_reading(7, &[&request[..]], read).expect("possible");
        let time_ns = done.time_ns;
        let events = done.records.into_iter();
        self.events.extend(events.map(|(lsn, record)| Event { lsn, time_ns, record }));
        filled(done.answers.into_iter().next().expect("one"), &self.events)[0]
    }

    fn last(&self) -> &Record {
        &self.events.last().expect("events").record
    }
}

/// A ledger that replays these events.
fn replay(partitions: usize, events: &[Event]) -> Result<Ledger, Impossible> {
    let mut ledger = book::empty(partitions, u64::MAX);
    events.iter().try_for_each(|event| ledger.apply(event.lsn, event.time_ns, &event.record))?;
    Ok(ledger)
}

/// The table of the interface's description, row by row.
#[test]
fn each_kind_allows_the_accounts_it_says() {
    use TransferKind::{Adjustment, Deposit, Fee, Interest, Payment, Refund, Transfer, Withdrawal};
    let mut bank = Bank::new();
    let mut number = 100;
    for (kind, within, enters, leaves) in [
        (Transfer, true, false, false),
        (Payment, true, false, false),
        (Deposit, false, true, false),
        (Withdrawal, false, false, true),
        (Refund, true, true, true),
        (Fee, true, true, true),
        (Adjustment, true, true, true),
        (Interest, true, true, true),
    ] {
        for (debit, credit, allowed) in [
            (ALICE, SHOP, within),
            (OUTSIDE, ALICE, enters),
            (ALICE, OUTSIDE, leaves),
            (OUTSIDE, BANK, false),
        ] {
            number += 1;
            let outcome = bank.ask(transfer(number, debit, credit, kind));
            let expected = (!allowed).then_some(Rejection::KindMismatch);
            assert_eq!(outcome.rejection, expected, "{kind:?} {debit} -> {credit}");
            let told = bank.last().noted_kind();
            let kept = allowed && !kind.follows_from_accounts();
            assert_eq!(told, kept.then_some(kind), "{kind:?}");
        }
    }
    replay(4, &bank.events).expect("what ran live replays");
}

/// Of a hold's kind are all of its captures, whatever stands around them; its accounts must be those
/// of the kind, and the kind is part of what was asked.
#[test]
fn a_hold_gives_its_kind_to_its_captures() {
    let mut bank = Bank::new();
    let kinds = [TransferKind::Transfer, TransferKind::Payment, TransferKind::Interest];
    for (number, kind) in (10..).step_by(10).zip(kinds) {
        let said = kind.unless_it_follows();
        let placed = hold(number, kind);
        assert_eq!(bank.ask(placed).rejection, None);
        assert_eq!(bank.last().noted_kind(), said);
        assert!(bank.ask(placed).repeat);
        let other = HoldRequest { kind: TransferKind::Fee, ..placed };
        assert_eq!(bank.ask(other).rejection, Some(Rejection::IdReused));
        assert_eq!(bank.ledger.coordinator.holds().get(placed.id).expect("open").kind, said);
        assert_eq!(bank.ask(capture(number + 1, number, Some(1))).rejection, None);
        assert_eq!(bank.last().entry_kind(), said);
        let noted = noted(capture(number + 2, number, Some(1)), note("PART", None));
        assert_eq!(bank.ask(noted.clone()).rejection, None);
        assert_eq!((bank.last().entry_kind(), bank.last().note().is_some()), (said, true));
        assert_eq!(bank.ask(capture(number + 3, number, None)).rejection, None);
        assert_eq!(bank.last().entry_kind(), said, "the one that closes it");
        assert!(bank.ask(noted).repeat, "closed or not");
    }
    let abroad = HoldRequest { credit: account(BANK), ..hold(50, TransferKind::Payment) };
    assert_eq!(bank.ask(abroad).rejection, Some(Rejection::KindMismatch));
    assert!(bank.ask(abroad).repeat);
    let replayed = replay(4, &bank.events).expect("what ran live replays");
    assert_eq!(replayed.summary().0, bank.ledger.summary().0);
}

/// An open hold keeps its kind through a snapshot; the state's hash tells it.
#[test]
fn an_open_hold_keeps_its_kind() {
    let placed = |kind| {
        let mut bank = Bank::new();
        assert_eq!(bank.ask(hold(10, kind)).rejection, None);
        bank
    };
    let (plain, payment) = (placed(TransferKind::Transfer), placed(TransferKind::Payment));
    assert_ne!(plain.ledger.summary().0, payment.ledger.summary().0);
    let replayed = replay(1, &payment.events).expect("what ran live replays");
    assert_eq!(replayed.summary().0, payment.ledger.summary().0);
    let bytes = |bank: &Bank| {
        let open = *bank.ledger.coordinator.holds().get(id(10)).expect("open");
        let mut bytes = Vec::new();
        codec::put_hold(&open, &mut bytes);
        assert!(bytes.len() <= codec::HOLD_BYTES_MAX);
        assert_eq!(codec::take_holds(&bytes, |_| Some(GBP)).expect("encoded"), [open]);
        bytes
    };
    bytes(&payment);
    let plain = bytes(&plain);
    // The tolerance, 0, is the 22nd byte: a number of kinds that is none, and one never said.
    assert_eq!(plain[20], 0);
    for wrong in [8u128, 1] {
        let mut number = unsigned_varint::encode::u128_buffer();
        let number = unsigned_varint::encode::u128(wrong << 96, &mut number);
        let wrong = [&plain[..20], number, &plain[21..]].concat();
        let refused = codec::take_holds(&wrong, |_| Some(GBP)).expect_err("no kind");
        assert!(refused.to_string().contains("what a hold is for"), "{refused}");
    }
}

/// What no live run writes, replay refuses.
#[test]
fn a_capture_of_another_kind_than_its_hold_is_told_in_replay() {
    let mut bank = Bank::new();
    bank.ask(hold(10, TransferKind::Payment));
    bank.ask(capture(11, 10, Some(1)));
    let last = bank.events.len() - 1;
    let Record::Noted(noted) = &bank.events[last].record else { panic!("it has a kind") };
    let plain = noted.record.clone();
    let Record::Noted(noted) = &mut bank.events[last].record else { panic!("it has a kind") };
    noted.kind = Some(TransferKind::Fee);
    for wrong in [bank.events[last].record.clone(), plain] {
        bank.events[last].record = wrong;
        let refused = replay(1, &bank.events).expect_err("impossible").to_string();
        assert!(refused.contains("of another kind"), "{refused}");
    }
}

fn capture(number: u128, hold: u128, amount: Option<u128>) -> CaptureRequest {
    let last = amount.is_none();
    CaptureRequest { id: id(number), hold: id(hold), amount, currency: None, last, linked: false }
}

fn hold(number: u128, kind: TransferKind) -> HoldRequest {
    let TransferRequest { id, debit, credit, amount, currency, kind, linked } =
        transfer(number, ALICE, SHOP, kind);
    let (timeout_ns, over_capture_max) = (0, 0);
    HoldRequest { id, debit, credit, amount, currency, kind, timeout_ns, over_capture_max, linked }
}

#[test]
fn the_same_id_with_another_note_or_kind_is_another_request() {
    let mut bank = Bank::new();
    let payment = transfer(10, ALICE, SHOP, TransferKind::Payment);
    let asked = noted(payment, note("INV-1", Some(3)));
    let first = bank.ask(asked.clone());
    assert_eq!(first.rejection, None);
    let again = bank.ask(asked);
    assert_eq!(again, Outcome { repeat: true, ..first });
    for other in [
        payment.into(),
        noted(payment, note("INV-2", Some(3))),
        noted(payment, note("INV-1", Some(4))),
        noted(payment, note("INV-1", None)),
        noted(TransferRequest { kind: TransferKind::Fee, ..payment }, note("INV-1", Some(3))),
        noted(TransferRequest { kind: TransferKind::Transfer, ..payment }, note("INV-1", Some(3))),
    ] {
        assert_eq!(bank.ask(other.clone()).rejection, Some(Rejection::IdReused), "{other:?}");
    }
    // A refusal is remembered with its note, too.
    let refused = TransferRequest { amount: 1_000, ..transfer(11, ALICE, SHOP, payment.kind) };
    let first = bank.ask(noted(refused, note("INV-3", None)));
    assert_eq!(first.rejection, Some(Rejection::InsufficientFunds));
    assert_eq!(bank.ask(noted(refused, note("INV-3", None))), Outcome { repeat: true, ..first });
    assert_eq!(bank.ask(refused).rejection, Some(Rejection::IdReused));
}

/// Whatever can have a note is kept with it, with its terms inside.
#[test]
fn notes_stand_around_everything_that_moves_money() {
    let mut bank = Bank::new();
    let caps = Balancing { min: 1, debit: Some(DebitCap::Available), credit: None, source: None };
    let terms = Terms { balancing: Some(caps), ..Terms::default() };
    let most = TransferRequest { amount: 60, ..transfer(20, ALICE, SHOP, TransferKind::Payment) };
    let capture = CaptureRequest {
        id: id(22),
        hold: id(21),
        amount: None,
        currency: None,
        last: true,
        linked: false,
    };
    let refund = RefundRequest {
        id: id(23),
        of: id(22),
        of_lsn: None,
        amount: Some(2),
        currency: None,
        allow_overdraft: false,
        linked: false,
        original: None,
    };
    let requests: [Request; 4] = [
        Termed::new(most, terms).expect("a transfer").into(),
        hold(21, TransferKind::Transfer).into(),
        capture.into(),
        refund.into(),
    ];
    for (at, request) in requests.into_iter().enumerate() {
        let said = note(&format!("R-{at}"), Some(at as i32));
        let asked = noted(request, said.clone());
        let outcome = bank.ask(asked.clone());
        assert_eq!(outcome.rejection, None, "{asked:?}");
        assert_eq!(bank.last().note(), Some(&said));
        assert!(bank.ask(asked).repeat);
    }
    assert!(matches!(&bank.events[bank.events.len() - 4].record, Record::Noted(noted)
        if noted.kind == Some(TransferKind::Payment) && matches!(noted.record, Record::Termed(_))));
    assert_eq!(bank.last().entry_kind(), Some(TransferKind::Refund));
    let replayed = replay(8, &bank.events).expect("what ran live replays");
    assert_eq!(replayed.summary().0, bank.ledger.summary().0);
}

fn bytes_of(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    bytes
}

fn posted() -> Record {
    let side = |posted| PostedSide { back: 3, posted, room: 0 };
    Record::Posted(Posted {
        id: id(9),
        debit: Slot(2),
        credit: Slot(3),
        amount: 5,
        debit_side: side(95),
        credit_side: side(5),
    })
}

/// The bytes of an event with a note, as journals hold them; one without is written as ever.
#[test]
fn an_event_with_a_note_is_written_so_for_good() {
    let note = Note {
        reference: "INV-1".to_owned(),
        description: "rent".to_owned(),
        value_date: Day::new(-1),
    };
    let kind = Some(TransferKind::Payment);
    let record = Record::Noted(Box::new(NotedRecord {
        kind,
        note,
        fee: None,
        covered: false,
        record: posted(),
    }));
    let bytes = bytes_of(&record);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, STORED);
    let plain = bytes_of(&posted());
    assert!(bytes.ends_with(&plain), "the record as it would stand alone");
    let read: Vec<_> = decode_all(&bytes).map(|read| read.expect("it was encoded")).collect();
    assert_eq!(read, [record]);
    let around = bytes.len() - plain.len();
    let nested = [&bytes[..around], &bytes[..]].concat();
    let nothing = [&[60, 0][..], &plain].concat();
    let other_flag = [&[60, 0x10][..], &plain].concat();
    let follows = [&[60, 1, 2][..], &plain].concat();
    let empty_text = [&[60, 2, 0][..], &plain].concat();
    let not_utf8 = [&[60, 2, 1, 0xff][..], &plain].concat();
    let control = [&[60, 2, 1, 0x0a][..], &plain].concat();
    let too_late = [&[60, 8, 0xff, 0xff, 0xff, 0x7f][..], &plain].concat();
    for wrong in [
        &nested[..],
        &bytes[..bytes.len() - 1],
        &bytes[..around],
        &nothing,
        &other_flag,
        &follows,
        &empty_text,
        &not_utf8,
        &control,
        &too_late,
    ] {
        assert!(decode_all(wrong).any(|read| read.is_err()), "{wrong:02x?}");
    }
}

/// What is said from now on, the event's leaf covers: the same bytes under a tag of their own. Not
/// so of an event with nothing said.
#[test]
fn an_event_whose_leaf_covers_its_note_is_written_so_for_good() {
    let said = Note {
        reference: "INV-1".to_owned(),
        description: "rent".to_owned(),
        value_date: Day::new(-1),
    };
    let (kind, covered) = (Some(TransferKind::Payment), true);
    let (fee, record) = (None, posted());
    let noted_record = NotedRecord { kind, note: said, fee, covered, record };
    let record = Record::Noted(Box::new(noted_record));
    let bytes = bytes_of(&record);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, format!("6e{}", &STORED[2..]));
    let read: Vec<_> = decode_all(&bytes).map(|read| read.expect("it was encoded")).collect();
    assert_eq!(read, [record]);
    // A kind alone is not what a leaf covers beside the event.
    let kind_alone = [&[110, 1, 3][..], &bytes_of(&posted())].concat();
    assert!(decode_all(&kind_alone).any(|read| read.is_err()));

    let mut bank = Bank::new();
    bank.ask(noted(transfer(10, ALICE, SHOP, TransferKind::Payment), note("INV-1", None)));
    bank.ask(transfer(11, ALICE, SHOP, TransferKind::Payment));
    let [said, plain] = &bank.events[bank.events.len() - 2..] else { panic!("two events") };
    assert!(said.record.covered_note().is_some_and(|note| note.reference == "INV-1"));
    assert!(matches!(&plain.record, Record::Noted(noted) if !noted.covered));
    assert_eq!(bytes_of(&plain.record)[0], 60);
}

/// What was signed stays: the leaf of an event that stands under the older tag is that of the event
/// with its kind and nothing said, byte for byte.
#[test]
fn leaves_of_older_events_leave_the_note_out_for_good() {
    let mut names = Names::new();
    Bank::new().events.iter().for_each(|event| names.learn(&event.record));
    let whose = Whose { ledger: [5; 16], shard: ShardId(0) };
    let leaf = |hex: &str| {
        let pairs = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
        let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect();
        let record = decode_all(&bytes).next().expect("one").expect("a record");
        let statement = names.statement(whose, Lsn(9), 7, &record).expect("named");
        let leaf = statement.leaf(&mut Vec::new());
        leaf.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let nothing_said: String =
        bytes_of(&posted()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(leaf(STORED), leaf(&format!("3c0103{nothing_said}")));
    assert_eq!(leaf(STORED), "4999914a8ea413bd800e28bd3a5f73ebf2af9de4b5e059803b6d38462b9879c9");
    assert_eq!(
        leaf(&format!("6e{}", &STORED[2..])),
        "722a0ee751ce7f499e62c24cbe75ae68088a80479251e5180524b3cfe15bea1b"
    );
}

const STORED: &str = "3c0f0305494e562d310472656e7401000900000000000000000000000000000002030503be01\
00030a00";

#[test]
fn the_longest_note_keeps_its_bound() {
    let note = Note {
        reference: "r".repeat(REFERENCE_BYTES_MAX),
        description: "d".repeat(DESCRIPTION_BYTES_MAX),
        value_date: Some(Day::MIN),
    };
    let kind = Some(TransferKind::Interest);
    let record = Record::Noted(Box::new(NotedRecord {
        kind,
        note,
        fee: None,
        covered: true,
        record: posted(),
    }));
    let around = bytes_of(&record).len() - bytes_of(&posted()).len();
    assert!(around <= NOTE_BYTES_MAX, "{around}");
    const { assert!(NOTE_BYTES_MAX < RECORD_BYTES_MAX) };
}

/// What no live run writes, replay refuses.
#[test]
fn a_kind_that_its_accounts_forbid_is_told_in_replay() {
    let mut bank = Bank::new();
    bank.ask(transfer(10, ALICE, BANK, TransferKind::Fee));
    let last = bank.events.len() - 1;
    let Record::Noted(noted) = &mut bank.events[last].record else { panic!("it has a kind") };
    noted.kind = Some(TransferKind::Payment);
    let refused = replay(1, &bank.events).expect_err("impossible").to_string();
    assert!(refused.contains("its kind"), "{refused}");
    assert_eq!(bank.events[last].lsn, Lsn(6));
}
