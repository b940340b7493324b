//! Every way an operation on a hold can be malformed, and that each reads back as it is written.

use super::super::transfers::{batch, single, to_proto};
use super::*;
use ducat_engine::ids::AccountId;
use ducat_engine::transfer::TransferKind;
use proto::TransferRequest as Message;

fn id(n: u128) -> TransferId {
    TransferId::new(n).expect("not zero")
}

fn sound(operation: Operation) -> Message {
    let account = |n| AccountId::new(n).expect("not zero");
    match operation {
        Operation::Transfer => Message::plain(id(7), account(1), account(2), 1234),
        Operation::Hold => Message::hold(id(7), account(1), account(2), 1234, None),
        Operation::Capture => Message::capture(id(8), id(7), None),
        Operation::Void => Message::void(id(8), id(7)),
        Operation::Extend => Message::extend(id(8), id(7), None),
        Operation::Refund => Message::refund(id(8), id(7), 12),
        Operation::Reverse => Message::reverse(id(8), id(7)),
    }
}

const ALL: [Operation; 7] = [
    Operation::Transfer,
    Operation::Hold,
    Operation::Capture,
    Operation::Void,
    Operation::Extend,
    Operation::Refund,
    Operation::Reverse,
];

fn read(message: Message) -> Result<Request, Violations> {
    single(&message.into(), &Currencies::new())
}

/// A field that is set, and the operations that have it.
type Field = (&'static str, fn(&mut Message), &'static [Operation]);

const FIELDS: &[Field] = &[
    ("debit_account", |m| m.debit_account_high = 5, &[Operation::Transfer, Operation::Hold]),
    ("credit_account", |m| m.credit_account = 6, &[Operation::Transfer, Operation::Hold]),
    (
        "amount_minor",
        |m| m.amount_minor = 9,
        &[Operation::Transfer, Operation::Hold, Operation::Capture, Operation::Refund],
    ),
    (
        "currency",
        |m| m.currency = "GBP".into(),
        &[
            Operation::Transfer,
            Operation::Hold,
            Operation::Capture,
            Operation::Refund,
            Operation::Reverse,
        ],
    ),
    ("kind", |m| m.kind = 2, &[Operation::Transfer, Operation::Hold]),
    ("hold_id", |m| m.hold_id_high = 5, &[Operation::Capture, Operation::Void, Operation::Extend]),
    ("timeout_ms", |m| m.timeout_ms = 5, &[Operation::Hold, Operation::Extend]),
    ("over_capture_max_minor", |m| m.over_capture_max_minor = 5, &[Operation::Hold]),
    ("last", |m| m.last = true, &[Operation::Capture]),
    ("original_id", |m| m.original_id_high = 5, &[Operation::Refund, Operation::Reverse]),
    ("original_lsn", |m| m.original_lsn = 5, &[Operation::Refund, Operation::Reverse]),
    ("allow_overdraft", |m| m.allow_overdraft = true, &[Operation::Refund, Operation::Reverse]),
];

#[test]
fn a_field_that_an_operation_does_not_have_is_refused_by_name() {
    for operation in ALL {
        read(sound(operation)).unwrap_or_else(|why| panic!("{operation:?}: {why:?}"));
        for (field, set, of) in FIELDS {
            let mut message = sound(operation);
            set(&mut message);
            let result = read(message);
            if of.contains(&operation) {
                assert!(result.is_ok(), "{operation:?} has {field}: {result:?}");
                continue;
            }
            let violations = result.expect_err(field);
            assert_eq!(violations.total(), 1, "{operation:?} {field}: {violations:?}");
            let violation = &violations.listed()[0];
            assert_eq!(
                (violation.field.as_str(), violation.reason),
                (*field, "FIELD_NOT_OF_OPERATION")
            );
        }
    }
}

#[test]
fn texts_of_operations_that_have_none_are_refused() {
    for (operation, field) in [
        (Operation::Void, "amount"),
        (Operation::Extend, "amount"),
        (Operation::Capture, "over_capture_max"),
        (Operation::Transfer, "over_capture_max"),
    ] {
        let mut message = sound(operation);
        let text =
            if field == "amount" { &mut message.amount } else { &mut message.over_capture_max };
        *text = "1.00".into();
        let violations = read(message).expect_err(field);
        assert_eq!(
            (violations.listed()[0].field.as_str(), violations.reason()),
            (field, "FIELD_NOT_OF_OPERATION")
        );
    }
}

#[test]
fn every_malformed_field_is_named_with_its_reason() {
    type Case = (Operation, fn(&mut Message), &'static str, &'static str);
    let cases: &[Case] = &[
        (Operation::Void, |m| m.operation = 5, "operation", "OPERATION_UNKNOWN"),
        (Operation::Void, |m| m.operation = -1, "operation", "OPERATION_UNKNOWN"),
        (Operation::Hold, |m| m.id = 0, "id", "TRANSFER_ID_ZERO"),
        (Operation::Void, |m| m.id = 0, "id", "TRANSFER_ID_ZERO"),
        (Operation::Hold, |m| m.debit_account = 0, "debit_account", "ACCOUNT_ID_ZERO"),
        (Operation::Hold, |m| m.credit_account = 0, "credit_account", "ACCOUNT_ID_ZERO"),
        (Operation::Hold, |m| m.kind = 8, "kind", "KIND_UNKNOWN"),
        (Operation::Capture, |m| m.hold_id = 0, "hold_id", "HOLD_ID_ZERO"),
        (Operation::Void, |m| m.hold_id = 0, "hold_id", "HOLD_ID_ZERO"),
        (Operation::Extend, |m| m.hold_id = 0, "hold_id", "HOLD_ID_ZERO"),
        (Operation::Hold, |m| m.timeout_ms = TIMEOUT_MS_MAX + 1, "timeout_ms", "TIMEOUT_TOO_LARGE"),
        (Operation::Extend, |m| m.timeout_ms = u64::MAX, "timeout_ms", "TIMEOUT_TOO_LARGE"),
        (Operation::Hold, |m| m.over_capture_max = "1".into(), "currency", "CURRENCY_MISSING"),
        (
            Operation::Hold,
            |m| tolerance(m, "1.005", 0),
            "over_capture_max",
            "AMOUNT_TOO_MANY_DECIMALS",
        ),
        (Operation::Hold, |m| tolerance(m, "-1", 0), "over_capture_max", "AMOUNT_NEGATIVE"),
        (Operation::Hold, |m| tolerance(m, "1", 1), "over_capture_max", "AMOUNT_TWICE"),
        (Operation::Capture, |m| m.amount = "1".into(), "currency", "CURRENCY_MISSING"),
        (Operation::Capture, |m| m.currency = "ZZZ".into(), "currency", "CURRENCY_UNKNOWN"),
    ];
    for (operation, spoil, field, reason) in cases {
        let mut wrong = sound(*operation);
        spoil(&mut wrong);
        let items = [sound(Operation::Void), wrong].map(Into::into);
        let violations = batch(&items, &Currencies::new()).expect_err(reason);
        assert_eq!(violations.total(), 1, "{operation:?} {reason}: {violations:?}");
        let violation = &violations.listed()[0];
        let place = format!("transfers[1].{field}");
        assert_eq!((&violation.field, violation.reason), (&place, *reason), "{operation:?}");
    }
}

fn tolerance(message: &mut Message, text: &str, minor: u64) {
    message.currency = "GBP".into();
    message.over_capture_max = text.into();
    message.over_capture_max_minor = minor;
}

#[test]
fn a_capture_without_an_amount_takes_all_and_one_of_nothing_is_told_apart() {
    let amount = |message| match read(message).expect("well-formed") {
        Request::Capture(capture) => capture.amount,
        other => panic!("{other:?}"),
    };
    assert_eq!(amount(sound(Operation::Capture)), None);
    let text = |text: &str| Message {
        amount: text.into(),
        currency: "GBP".into(),
        ..sound(Operation::Capture)
    };
    assert_eq!(amount(text("1.50")), Some(150));
    assert_eq!(amount(text("0.00")), Some(0));
    assert_eq!(amount(text("792281625142643375935439503.35")), Some((1 << 96) - 1));
}

#[test]
fn operations_read_back_what_they_are_written_as() {
    let currencies = Currencies::new();
    let gbp = currencies.by_code("GBP").expect("ISO").id;
    let account = |n| AccountId::new(n).expect("not zero");
    let wide = [0, 1, u128::from(u64::MAX), u128::from(u64::MAX) + 1, (1 << 96) - 1];
    let mut all: Vec<Request> = Vec::new();
    for amount in wide {
        for (kind, timeout_ns) in
            [(TransferKind::Transfer, 0), (TransferKind::Withdrawal, TIMEOUT_MS_MAX * MS)]
        {
            let (debit, credit, currency) = (account(1 << 70), account(2), Some(gbp));
            let (over_capture_max, linked) = (amount, false);
            let (id, timeout_ns) = (id(u128::MAX), timeout_ns);
            let hold = HoldRequest {
                id,
                debit,
                credit,
                amount,
                currency,
                kind,
                timeout_ns,
                over_capture_max,
                linked,
            };
            all.push(hold.into());
        }
        let (hold, currency) = (id(1 << 90), Some(gbp));
        let capture = |amount, last| CaptureRequest {
            id: id(9),
            hold,
            amount,
            currency,
            last,
            linked: false,
        };
        all.extend([capture(Some(amount), false).into(), capture(None, true).into()]);
    }
    all.push(VoidRequest { id: id(5), hold: id(1 << 90), linked: false }.into());
    all.push(ExtendRequest { id: id(5), hold: id(6), timeout_ns: 5 * MS, linked: false }.into());
    for request in all {
        assert_eq!(read(to_proto(&request, &currencies)), Ok(request));
    }
}

#[test]
fn a_timeout_that_is_no_whole_millisecond_does_not_show_as_never() {
    let extend = ExtendRequest { id: id(5), hold: id(6), timeout_ns: 1, linked: true };
    let message = to_proto(&extend.into(), &Currencies::new());
    assert_eq!((message.timeout_ms, message.linked), (1, true));
}
