//! Every way a transfer can be malformed, and that nothing else is refused here.

use super::*;
use crate::violation::LISTED_MAX;
use ducat_engine::ids::Lsn;
use ducat_engine::transfer::Outcome;

/// The messages as they are read.
fn batch(
    items: &[proto::TransferRequest],
    currencies: &Currencies,
) -> Result<Vec<TransferRequest>, Violations> {
    let read: Vec<_> = items.iter().cloned().map(WireRequest::from).collect();
    let transfer = |request: Request| *request.transfer().expect("a transfer");
    Ok(super::batch(&read, currencies)?.into_iter().map(transfer).collect())
}

fn single(
    item: &proto::TransferRequest,
    currencies: &Currencies,
) -> Result<TransferRequest, Violations> {
    let request = super::single(&item.clone().into(), currencies)?;
    Ok(*request.transfer().expect("a transfer"))
}

fn good() -> proto::TransferRequest {
    proto::TransferRequest {
        id: 7,
        debit_account: 1,
        credit_account: 2,
        amount_minor: 1234,
        ..proto::TransferRequest::default()
    }
}

fn currencies() -> Currencies {
    let mut all = Currencies::new();
    all.define("POINTS", 0).expect("new");
    all.define("ETHER", 18).expect("new");
    all
}

/// A change to a good transfer, the field it makes wrong, and the reason.
type Case = (&'static str, fn(&mut proto::TransferRequest), &'static str, &'static str);

const MALFORMED: &[Case] = &[
    ("id 0", |t| t.id = 0, "id", "TRANSFER_ID_ZERO"),
    ("debit 0", |t| t.debit_account = 0, "debit_account", "ACCOUNT_ID_ZERO"),
    ("credit 0", |t| t.credit_account = 0, "credit_account", "ACCOUNT_ID_ZERO"),
    ("kind 8", |t| t.kind = 8, "kind", "KIND_UNKNOWN"),
    ("kind -1", |t| t.kind = -1, "kind", "KIND_UNKNOWN"),
    ("both amounts", |t| text(t, 1, "1.00", "GBP"), "amount", "AMOUNT_TWICE"),
    ("text, no currency", |t| text(t, 0, "1.00", ""), "currency", "CURRENCY_MISSING"),
    ("unknown currency", |t| text(t, 0, "1.00", "ZZZ"), "currency", "CURRENCY_UNKNOWN"),
    ("lower case", |t| text(t, 0, "1.00", "gbp"), "currency", "CURRENCY_UNKNOWN"),
    ("checked currency", |t| text(t, 5, "", "ZZZ"), "currency", "CURRENCY_UNKNOWN"),
    ("long currency", |t| text(t, 5, "", "TOOLONGFORACODE"), "currency", "CURRENCY_UNKNOWN"),
    ("gold", |t| text(t, 0, "1", "XAU"), "currency", "CURRENCY_WITHOUT_MINOR_UNIT"),
    ("3 decimals", |t| text(t, 0, "1.005", "GBP"), "amount", "AMOUNT_TOO_MANY_DECIMALS"),
    ("yen with decimals", |t| text(t, 0, "1.5", "JPY"), "amount", "AMOUNT_TOO_MANY_DECIMALS"),
    ("points, decimals", |t| text(t, 0, "0.1", "POINTS"), "amount", "AMOUNT_TOO_MANY_DECIMALS"),
    ("negative", |t| text(t, 0, "-1.00", "GBP"), "amount", "AMOUNT_NEGATIVE"),
    ("plus", |t| text(t, 0, "+1.00", "GBP"), "amount", "AMOUNT_MALFORMED"),
    ("exponent", |t| text(t, 0, "1e3", "GBP"), "amount", "AMOUNT_MALFORMED"),
    ("thousands", |t| text(t, 0, "1,000.00", "GBP"), "amount", "AMOUNT_MALFORMED"),
    ("blank", |t| text(t, 0, " 1", "GBP"), "amount", "AMOUNT_MALFORMED"),
    ("other digits", |t| text(t, 0, "٣", "GBP"), "amount", "AMOUNT_MALFORMED"),
    ("no number", |t| text(t, 0, "NaN", "GBP"), "amount", "AMOUNT_MALFORMED"),
    ("a point", |t| text(t, 0, ".", "GBP"), "amount", "AMOUNT_MALFORMED"),
    ("2^96", |t| text(t, 0, "792281625142643375935439503.36", "GBP"), "amount", "AMOUNT_TOO_LARGE"),
    (
        "40 digits",
        |t| text(t, 0, "1000000000000000000000000000000000000000", "GBP"),
        "amount",
        "AMOUNT_TOO_LARGE",
    ),
    (
        "65 characters",
        |t| text(t, 0, "00000000000000000000000000000000000000000000000000000000000000001", "GBP"),
        "amount",
        "AMOUNT_MALFORMED",
    ),
];

fn text(transfer: &mut proto::TransferRequest, minor: u64, amount: &str, currency: &str) {
    transfer.amount_minor = minor;
    amount.clone_into(&mut transfer.amount);
    currency.clone_into(&mut transfer.currency);
}

#[test]
fn every_malformed_field_is_named_with_its_reason() {
    for (name, change, field, reason) in MALFORMED {
        let mut items = vec![good(), good(), good()];
        change(&mut items[1]);
        let violations = batch(&items, &currencies()).expect_err(name);
        assert_eq!(violations.total(), 1, "{name}");
        let violation = &violations.listed()[0];
        assert_eq!(violation.field, format!("transfers[1].{field}"), "{name}");
        assert_eq!(violation.reason, *reason, "{name}");
        assert!(!violation.description.is_empty(), "{name}");

        let violations = single(&items[1], &currencies()).expect_err(name);
        assert_eq!(violations.listed()[0].field, *field, "{name}");
    }
}

#[test]
fn several_wrong_fields_of_one_transfer_are_all_named() {
    let mut item = good();
    (item.id, item.debit_account, item.credit_account, item.kind) = (0, 0, 0, 9);
    text(&mut item, 0, "1.005", "GBP");
    let violations = batch(&[item], &currencies()).expect_err("malformed");
    let mut fields: Vec<_> = violations.listed().iter().map(|v| v.field.as_str()).collect();
    fields.sort_unstable();
    let wanted = ["amount", "credit_account", "debit_account", "id", "kind"];
    assert_eq!(fields, wanted.map(|field| format!("transfers[0].{field}")));
}

#[test]
fn batches_have_1_to_10_000_transfers() {
    for (count, well_formed) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
        let result = batch(&vec![good(); count], &currencies());
        match result {
            Ok(transfers) => assert!(well_formed && transfers.len() == count),
            Err(violations) => {
                assert!(!well_formed, "{count}");
                assert_eq!(violations.reason(), "BATCH_SIZE");
                assert_eq!(violations.listed()[0].field, "transfers");
            }
        }
    }
}

#[test]
fn thousands_of_violations_are_counted_and_a_hundred_listed() {
    let items = vec![proto::TransferRequest::default(); 10_000];
    let violations = batch(&items, &currencies()).expect_err("all ids are 0");
    assert_eq!((violations.listed().len(), violations.total()), (LISTED_MAX, 30_000));
}

#[test]
fn a_group_must_end_in_its_batch() {
    let mut items = vec![good(), good()];
    items[0].linked = true;
    assert!(batch(&items, &currencies()).expect("closed")[0].linked);
    items[1].linked = true;
    let violations = batch(&items, &currencies()).expect_err("open");
    assert_eq!(violations.reason(), "LAST_LINKED");
    assert_eq!(violations.listed()[0].field, "transfers[1].linked");
    assert_eq!(single(&items[0], &currencies()).expect_err("alone").reason(), "LAST_LINKED");
}

#[test]
fn amounts_arrive_exactly() {
    for (minor, amount, currency, wanted) in [
        (1234, "", "", 1234),
        (1234, "", "GBP", 1234),
        (u64::MAX, "", "", u128::from(u64::MAX)),
        (0, "12.34", "GBP", 1234),
        (0, "12.3400", "GBP", 1234),
        (0, "12", "JPY", 12),
        (0, "1.234", "KWD", 1234),
        (0, "1.000000000000000001", "ETHER", 1_000_000_000_000_000_001),
        (0, "792281625142643375935439503.35", "GBP", (1 << 96) - 1),
        // Zero is well-formed: the engine refuses it and remembers the id.
        (0, "", "", 0),
        (0, "", "GBP", 0),
        (0, "0.00", "GBP", 0),
        (0, "-0", "GBP", 0),
    ] {
        let mut item = good();
        text(&mut item, minor, amount, currency);
        let transfer = single(&item, &currencies()).expect(amount);
        assert_eq!(transfer.amount, wanted, "{amount}");
        let known = (!currency.is_empty()).then(|| currencies().by_code(currency).expect("known"));
        assert_eq!(transfer.currency, known.map(|c| c.id), "{amount}");
    }
}

#[test]
fn the_halves_of_ids_are_put_together() {
    let mut item = good();
    (item.id, item.id_high) = (0, 1);
    (item.debit_account, item.debit_account_high) = (0, 2);
    (item.credit_account, item.credit_account_high) = (3, u64::MAX);
    let transfer = single(&item, &currencies()).expect("a lower half may be 0");
    assert_eq!(transfer.id.get(), 1 << 64);
    assert_eq!(transfer.debit.get(), 2 << 64);
    assert_eq!(transfer.credit.get(), (u128::from(u64::MAX) << 64) | 3);
}

#[test]
fn a_batch_may_hold_many_currencies() {
    let items: Vec<_> = ["GBP", "GBP", "JPY", "ETHER", "GBP"]
        .iter()
        .map(|code| {
            let mut item = good();
            text(&mut item, 0, "7", code);
            item
        })
        .collect();
    let amounts: Vec<_> =
        batch(&items, &currencies()).expect("fine").iter().map(|t| t.amount).collect();
    assert_eq!(amounts, [700, 700, 7, 7_000_000_000_000_000_000, 700]);
}

#[test]
fn transfers_read_back_what_they_are_written_as() {
    let known = currencies();
    let gbp = known.by_code("GBP").expect("ISO").id;
    for kind in TransferKind::ALL {
        for amount in [0, 1, u128::from(u64::MAX), u128::from(u64::MAX) + 1, (1 << 96) - 1] {
            let transfer = TransferRequest {
                id: TransferId::new(u128::MAX).expect("not zero"),
                debit: AccountId::new(5).expect("not zero"),
                credit: AccountId::new(1 << 70).expect("not zero"),
                amount,
                currency: Some(gbp),
                kind,
                linked: false,
            };
            assert_eq!(single(&to_proto(&transfer.into(), &known), &known), Ok(transfer));
        }
    }
}

#[test]
fn a_record_holds_request_outcome_and_explanation() {
    let request = single(&good(), &currencies()).expect("good");
    let outcome = Outcome {
        id: request.id,
        lsn: Lsn(9),
        time_ns: 1,
        rejection: Some(ducat_engine::rejection::Rejection::SameAccount),
        repeat: true,
        currency: None,
        debit: None,
        credit: None,
    };
    let (refund, refunded) = (None, None);
    let request = request.into();
    let (hold, terms, fee, now) = (None, None, None, None);
    let captured_as = None;
    let stored =
        StoredRequest { request, outcome, hold, refund, refunded, terms, fee, captured_as, now };
    let record = record_to_proto(&stored, &currencies());
    assert_eq!(record.transfer, Some(good()));
    let outcome = record.outcome.expect("present");
    assert!(outcome.repeat && outcome.explanation.contains("account 1"));
}
