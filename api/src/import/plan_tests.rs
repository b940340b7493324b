//! Rows of the three shipped mappings and of small ones, converted and refused.

use super::super::mapping::read;
use super::*;

const AMLSIM: &str = include_str!("../../mappings/amlsim.toml");
const BERKA: &str = include_str!("../../mappings/berka.toml");
const UK: &str = include_str!("../../mappings/uk-payments.toml");

/// Converts rows of transfers under a header.
fn convert(map: &str, header: &str, rows: &[&str]) -> Vec<Result<TransferRow, Unconvertible>> {
    let mapping = read("m", map, &[]).expect("a mapping");
    let common = Common::of(&mapping).expect("common");
    let delimiter = mapping.source.delimiter.chars().next().expect("one");
    let header: Vec<String> = header.split(delimiter).map(str::to_owned).collect();
    let plan = TransferPlan::of(&mapping, &common, Some(&header)).expect("a plan");
    let record = |row: &str| ByteRecord::from(row.split(delimiter).collect::<Vec<_>>());
    let numbered = rows.iter().enumerate();
    numbered.map(|(at, row)| plan.read(&common, at as u64 + 1, &record(row))).collect()
}

fn external(map: &str, name: &str) -> AccountId {
    let mapping = read("m", map, &[]).expect("a mapping");
    Common::of(&mapping).expect("common").external(name).expect("known").id
}

#[test]
fn amlsim_rows_become_transfers_between_shifted_ids() {
    let rows = convert(
        AMLSIM,
        "sourceNodeId,targetNodeId,value,time",
        &["0,15349,147.8,1", "5,5,104.06,1", "1,2,1.005,1", "1,2,0,1", "1,2,-3,1", "1"],
    );
    let first = rows[0].as_ref().expect("converted");
    assert_eq!((first.request.debit_account, first.request.credit_account), (1, 15_350));
    assert_eq!((first.request.amount_minor, first.request.currency.as_str()), (14_780, "USD"));
    assert_eq!(first.debit.label.as_deref(), Some("0"));
    let id = ids::derived(Purpose::Row, "amlsim-20k-cycle200", "1");
    assert_eq!((first.request.id, first.request.id_high), (id as u64, (id >> 64) as u64));
    assert!(rows[1].is_ok(), "a transfer to oneself is the ledger's to refuse");
    let code = |at: usize| rows[at].as_ref().expect_err("refused").code;
    assert_eq!(code(2), "AMOUNT_TOO_MANY_DECIMALS");
    let zero = &rows[3].as_ref().expect("the ledger's to refuse").request;
    assert_eq!((zero.amount_minor, zero.amount.as_str()), (0, "0.00"));
    assert_eq!(code(4), "AMOUNT_NEGATIVE");
    assert_eq!(code(5), "COLUMN_MISSING");
}

#[test]
fn the_same_row_has_the_same_id_in_every_run() {
    let run = || convert(AMLSIM, "sourceNodeId,targetNodeId,value,time", &["1,2,3,1", "1,2,3,1"]);
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let id = |at: usize| first[at].as_ref().map(|r| (r.request.id, r.request.id_high));
    assert_ne!(id(0), id(1), "two equal rows are two transfers");
}

#[test]
fn berka_rows_take_their_direction_from_the_type() {
    let header = "trans_id;account_id;date;type;operation;amount;balance;k_symbol;bank;account";
    let rows = convert(
        BERKA,
        header,
        &[
            "695247;2378;930101;PRIJEM;VKLAD;700.00;700.00;;;",
            "1;2378;930101;VYDAJ;PREVOD NA UCET;70.10;700.00;;YZ;1",
            "2;2378;930101;VYBER;VYBER;5.00;700.00;;;",
            "3;2378;930101;PRIJEM;;5.00;700.00;UROK;;",
            "4;2378;930101;NOVY;;5.00;700.00;UROK;;",
        ],
    );
    let of = |at: usize| {
        let row = rows[at].as_ref().expect("converted");
        (row.request.kind, row.debit.id, row.credit.id)
    };
    let account = AccountId::new(2378).expect("not zero");
    let (deposit, withdrawal) = (Kind::Deposit.wire(), Kind::Withdrawal.wire());
    assert_eq!(of(0), (deposit, external(BERKA, "cash"), account));
    assert_eq!(of(1), (withdrawal, account, external(BERKA, "other-banks")));
    assert_eq!(of(2), (withdrawal, account, external(BERKA, "cash")));
    assert_eq!(of(3), (deposit, external(BERKA, "bank"), account));
    assert_eq!(rows[4].as_ref().expect_err("refused").code, "NO_RULE_FITS");
    let id = ids::derived(Purpose::Transfer, "berka-trans", "695247");
    assert_eq!(rows[0].as_ref().expect("converted").request.id, id as u64);
}

#[test]
fn uk_refunds_flow_the_other_way_and_number_spaces_stay_apart() {
    let rows = convert(
        UK,
        "payer,payee,date,amount_gbp",
        &["bradford,1,2013-04-26,825.00", "bradford,1,2013-04-22,-547.7"],
    );
    let (paid, refunded) =
        (rows[0].as_ref().expect("converted"), rows[1].as_ref().expect("converted"));
    assert_eq!(paid.debit.label.as_deref(), Some("payer:bradford"));
    assert_eq!(paid.credit.id.get(), 1);
    assert!(paid.debit.id.high() > 0);
    assert_eq!((&refunded.debit, &refunded.credit), (&paid.credit, &paid.debit));
    assert_eq!(refunded.request.amount_minor, 54_770);
}

#[test]
fn a_negative_deposit_is_a_withdrawal() {
    let map = "namespace='n'\ncurrency='JPY'\n[externals.bank]\nid='9'\n[transfers]\n\
               kind='deposit'\ndebit={external='bank'}\ncredit={column='a'}\n\
               amount={column='b',negative='swap'}";
    let rows = convert(map, "a,b", &["1,-5"]);
    let row = rows[0].as_ref().expect("converted");
    assert_eq!(row.request.kind, Kind::Withdrawal.wire());
    assert_eq!((row.request.debit_account, row.request.credit_account), (1, 9));
}

#[test]
fn amounts_above_64_bits_travel_as_texts() {
    let rows = convert(
        AMLSIM,
        "sourceNodeId,targetNodeId,value",
        &["1,2,184467440737095516.16", "1,2,792281625142643375935439503.36"],
    );
    let row = rows[0].as_ref().expect("converted");
    assert_eq!(
        (row.request.amount_minor, row.request.amount.as_str()),
        (0, "184467440737095516.16")
    );
    assert_eq!(rows[1].as_ref().expect_err("refused").code, "AMOUNT_TOO_LARGE");
}

#[test]
fn points_and_thousands_are_as_the_file_writes_them() {
    let map = "namespace='n'\ncurrency='EUR'\n[source]\ndelimiter=';'\ndecimal_point=','\n\
               thousands_separator='.'\n[transfers]\ndebit={column='a'}\ncredit={column='b'}\n\
               amount={column='c'}";
    let rows = convert(map, "a;b;c", &["1;2;1.234,56", "1;2;1,2,3"]);
    assert_eq!(rows[0].as_ref().expect("converted").request.amount_minor, 123_456);
    assert_eq!(rows[1].as_ref().expect_err("refused").code, "AMOUNT_MALFORMED");
}

#[test]
fn opening_balances_are_deposits_from_outside() {
    let mapping = read("m", AMLSIM, &[]).expect("a mapping");
    let common = Common::of(&mapping).expect("common");
    let header: Vec<String> =
        ["nodeid", "isFraud", "init_balance"].iter().map(|s| (*s).to_owned()).collect();
    let plan = AccountPlan::of(&mapping, &common, Some(&header)).expect("a plan");
    let read = |row: &[&str]| plan.read(&common, &ByteRecord::from(row.to_vec()));
    let row = read(&["0", "0", "184.44"]).expect("converted");
    let opening = row.opening.expect("there");
    assert_eq!((opening.kind, opening.amount_minor), (Kind::Deposit.wire(), 18_444));
    assert_eq!((row.named.id.get(), opening.credit_account), (1, 1));
    assert_eq!(read(&["1", "0", "0.00"]).expect("converted").opening, None);
    let below = read(&["1", "0", "-2"]).expect("converted").opening.expect("there");
    assert_eq!((below.kind, below.debit_account), (Kind::Withdrawal.wire(), 2));
    assert_eq!(read(&["x", "0", "1"]).expect_err("refused").code, "ID_MALFORMED");
}

#[test]
fn mappings_that_do_not_fit_the_file_say_so() {
    let mapping = read("m", AMLSIM, &[]).expect("a mapping");
    let common = Common::of(&mapping).expect("common");
    let header = vec!["a;b".to_owned()];
    let failure = TransferPlan::of(&mapping, &common, Some(&header)).err().expect("refused");
    assert!(
        failure.message.contains("no column `value`") || failure.message.contains("sourceNodeId")
    );
    assert!(failure.message.contains("Is the delimiter right?"), "{failure}");
    let failure = TransferPlan::of(&mapping, &common, None).err().expect("refused");
    assert!(failure.message.contains("by number"), "{failure}");
}

#[test]
fn a_row_says_what_it_is_about() {
    let map = "namespace='n'\ncurrency='JPY'\n[transfers]\nkind='payment'\ndebit={column='a'}\n\
               credit={column='b'}\namount={column='c'}\nreference={column='d'}\n\
               description='rent'\nvalue_date={column='e'}";
    let long = format!("1,2,5,{},", "r".repeat(65));
    let rows = ["1,2,5,INV-1,2026-01-31", "1,2,5,,", "1,2,5,x,31.1.2026", long.as_str()];
    let rows = convert(map, "a,b,c,d,e", &rows);
    let note = |at: usize| rows[at].as_ref().expect("converted").request.note.clone();
    let said = |reference: &str, value_date: &str| {
        Some(Box::new(proto::Note {
            reference: reference.into(),
            description: "rent".into(),
            value_date: value_date.into(),
        }))
    };
    assert_eq!(note(0), said("INV-1", "2026-01-31"));
    assert_eq!(note(1), said("", ""));
    let code = |at: usize| rows[at].as_ref().expect_err("refused").code;
    assert_eq!((code(2), code(3)), ("VALUE_DATE_MALFORMED", "REFERENCE_MALFORMED"));
    let kind = rows[0].as_ref().expect("converted").request.kind;
    assert_eq!((kind, Kind::Payment.reversed()), (Kind::Payment.wire(), Kind::Payment));
    assert!(
        convert(AMLSIM, "sourceNodeId,targetNodeId,value,time", &["1,2,3,1"])[0]
            .as_ref()
            .is_ok_and(|row| row.request.note.is_none())
    );
}

const OPERATIONS: &str = r#"
namespace = "ops"
currency = "GBP"
[externals.cash]
[transfers]
id = { column = "id" }
debit = { column = "from" }
credit = { column = "to" }
amount = { column = "sum" }
reference = { column = "ref" }
operation = { column = "op" }
hold = { column = "hold" }
original = { column = "of" }
expires_in = { column = "expires" }
over_capture_max = "1.00"
last = { column = "last" }
allow_overdraft = { column = "over" }
up_to = { column = "up_to" }
min = { column = "min" }
require = { column = "require" }
group = { column = "group" }
"#;

const COLUMNS: &str = "id,op,from,to,sum,ref,hold,of,expires,last,over,up_to,min,require,group";

/// Rows of the mapping with every column, read whatever they ask for.
fn lines(rows: &[&str]) -> Vec<Result<Line, Unconvertible>> {
    let mapping = read("m", OPERATIONS, &[]).expect("a mapping");
    let common = Common::of(&mapping).expect("common");
    let header: Vec<String> = COLUMNS.split(',').map(str::to_owned).collect();
    let plan = TransferPlan::of(&mapping, &common, Some(&header)).expect("a plan");
    let record = |row: &str| ByteRecord::from(row.split(',').collect::<Vec<_>>());
    let numbered = rows.iter().enumerate();
    numbered.map(|(at, row)| plan.line(&common, at as u64 + 1, &record(row))).collect()
}

#[test]
fn each_operation_reads_the_columns_that_are_its_own() {
    let rows = lines(&[
        "1,,2,3,5.00,INV-1,9,9,7d,true,true,,,debit.available>=1.00,a",
        "2,hold,2,3,5.00,,9,9,7d,true,true,,,,a",
        "3,capture,2,3,1.50,,2,9,7d,true,true,,,,",
        "4,capture,,,,,2,,,,,,,,",
        "5,void,,,9.99,paid,2,,,,,,,,",
        "6,extend,,,,,2,,never,,,,,,",
        "7,refund,2,3,1.00,,,1,,,true,,,,",
        "8,reverse,,,,,,1,,,,,,,",
        "9,transfer,2,3,5.00,,,,,,,available room,0.50,,",
    ]);
    let request = |at: usize| &rows[at].as_ref().expect("converted").request;
    let accounts = |at: usize| rows[at].as_ref().expect("converted").accounts.is_some();
    assert_eq!((request(0).operation(), request(0).hold_id), (Operation::Transfer, 0));
    let terms = request(0).terms.as_ref().expect("a condition");
    let available = terms.debit.as_ref().and_then(|side| side.available.clone());
    assert_eq!(available.expect("set").at_least, "1.00");
    assert_eq!(request(0).note.as_ref().map(|note| note.reference.as_str()), Some("INV-1"));
    assert_eq!((request(1).operation(), request(1).timeout_ms), (Operation::Hold, 604_800_000));
    assert_eq!((request(1).over_capture_max.as_str(), request(1).amount_minor), ("1.00", 500));
    let capture = request(2);
    assert_eq!((capture.hold_id, &*capture.amount, capture.last), (2, "1.50", true));
    assert_eq!((capture.debit_account, capture.original_id), (0, 0));
    assert_eq!((request(3).amount.as_str(), request(3).last), ("", false));
    assert_eq!((request(4).operation(), &request(4).note), (Operation::Void, &None));
    assert_eq!((request(5).operation(), request(5).timeout_ms), (Operation::Extend, 0));
    let refund = request(6);
    assert_eq!((refund.original_id, refund.allow_overdraft, &*refund.amount), (1, true, "1.00"));
    assert_eq!((request(7).operation(), &*request(7).amount), (Operation::Reverse, ""));
    let balancing = request(8).terms.as_ref().and_then(|terms| terms.balancing.clone());
    assert_eq!(balancing.expect("set").min, "0.50");
    assert_eq!([0, 1, 2, 6].map(accounts), [true, true, false, false]);
}

#[test]
fn rows_that_the_server_would_not_read_are_told_of_alone() {
    let rows = [
        ("1,gift,2,3,5.00,,,,,,,,,,", "OPERATION_UNKNOWN"),
        ("1,capture,,,1.00,,,,,,,,,,", "TRANSFER_ID_MALFORMED"),
        ("1,capture,,,-1.00,,2,,,,,,,,", "AMOUNT_NEGATIVE"),
        ("1,refund,,,,,,1,,,,,,,", "AMOUNT_MALFORMED"),
        ("1,hold,2,3,1.00,,,,soon,,,,,,", "EXPIRES_IN_MALFORMED"),
        ("1,capture,,,,,2,,,perhaps,,,,,", "LAST_MALFORMED"),
        ("1,reverse,,,,,,1,,,perhaps,,,,", "ALLOW_OVERDRAFT_MALFORMED"),
        ("1,,2,3,1.00,,,,,,,all,,,", "UP_TO_MALFORMED"),
        ("1,,2,3,1.00,,,,,,,room,1.001,,", "AMOUNT_TOO_MANY_DECIMALS"),
        ("1,,2,3,1.00,,,,,,,,,debit.held>=1,", "REQUIRE_MALFORMED"),
        ("1,,2,3,1.00,,,,,,,,,debit.posted>=much,", "AMOUNT_MALFORMED"),
    ];
    for (row, code) in rows {
        assert_eq!(lines(&[row])[0].as_ref().expect_err(row).code, code, "{row}");
    }
    // Terms of holds balance nothing: the server's own reading says so.
    let held = lines(&["1,hold,2,3,1.00,,,,,,,room,,,"]);
    assert!(held[0].is_err(), "{held:?}");
}

#[test]
fn only_plain_transfers_are_transfers() {
    let rows = ["1,,2,3,5.00,,,,,,,,,,", "2,void,,,,,1,,,,,,,,", "3,hold,2,3,1.00,,,,,,,,,,"];
    let rows = convert(OPERATIONS, COLUMNS, &rows);
    assert!(rows[0].is_ok());
    for row in &rows[1..] {
        assert_eq!(row.as_ref().expect_err("no transfer").code, "NOT_A_TRANSFER");
    }
}
