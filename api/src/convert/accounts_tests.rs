//! Accounts on their way in and out: malformed ones, and the texts of their figures.

use super::*;
use ducat_engine::ids::Lsn;

fn good() -> proto::NewAccount {
    proto::NewAccount {
        id: 1,
        id_high: 0,
        currency: "GBP".into(),
        overdraft_limit: "500.00".into(),
        ..Default::default()
    }
}

#[test]
fn every_malformed_field_is_named_with_its_reason() {
    type Change = fn(&mut proto::NewAccount);
    fn key(a: &mut proto::NewAccount, key: &str, value: String) {
        drop(a.metadata.insert(key.to_owned(), value));
    }
    let cases: [(Change, &str, &str); 25] = [
        (|a| a.id = 0, "id", "ACCOUNT_ID_ZERO"),
        (|a| a.currency.clear(), "currency", "CURRENCY_MISSING"),
        (|a| a.currency = "ZZZ".into(), "currency", "CURRENCY_UNKNOWN"),
        (|a| a.currency = "XAU".into(), "currency", "CURRENCY_WITHOUT_MINOR_UNIT"),
        (|a| a.overdraft_limit = "-1".into(), "overdraft_limit", "AMOUNT_NEGATIVE"),
        (|a| a.overdraft_limit = "x".into(), "overdraft_limit", "AMOUNT_MALFORMED"),
        (|a| a.overdraft_limit = "0.001".into(), "overdraft_limit", "AMOUNT_TOO_MANY_DECIMALS"),
        (|a| a.overdraft_limit = "9".repeat(40), "overdraft_limit", "AMOUNT_TOO_LARGE"),
        (|a| a.overdraft_limit = "9".repeat(65), "overdraft_limit", "AMOUNT_MALFORMED"),
        (|a| a.external = true, "overdraft_limit", "EXTERNAL_WITH_OVERDRAFT_LIMIT"),
        (|a| a.floor = "x".into(), "floor", "AMOUNT_MALFORMED"),
        (|a| a.floor = "0.01".into(), "floor", "BALANCE_OUTSIDE_LIMITS"),
        (|a| a.floor = "-500.01".into(), "floor", "LIMITS_CONTRADICT"),
        (|a| a.ceiling = "-0.01".into(), "ceiling", "BALANCE_OUTSIDE_LIMITS"),
        (|a| a.ceiling = "-500.01".into(), "ceiling", "LIMITS_CONTRADICT"),
        (
            |a| {
                (a.external, a.overdraft_limit) = (true, String::new());
                a.ceiling = "1".into();
            },
            "ceiling",
            "EXTERNAL_WITH_LIMITS",
        ),
        (|a| a.kind = 6, "kind", "KIND_UNKNOWN"),
        (|a| a.owner = "x".repeat(129), "owner", "OWNER_MALFORMED"),
        (|a| a.owner = "a\tb".into(), "owner", "OWNER_MALFORMED"),
        (|a| a.label = "x".repeat(257), "label", "LABEL_MALFORMED"),
        (|a| key(a, "", String::new()), "metadata", "METADATA_KEY_MALFORMED"),
        (|a| key(a, "a b", String::new()), "metadata", "METADATA_KEY_MALFORMED"),
        (|a| key(a, "a", "\n".into()), "metadata", "METADATA_VALUE_MALFORMED"),
        (|a| key(a, "a", "x".repeat(4_096)), "metadata", "METADATA_TOO_LARGE"),
        (
            |a| (0..33).for_each(|n| key(a, &n.to_string(), String::new())),
            "metadata",
            "METADATA_TOO_MANY_KEYS",
        ),
    ];
    for (change, field, reason) in cases {
        let mut items = vec![good(), good()];
        change(&mut items[1]);
        let violations = openings(&items, &Currencies::new()).expect_err(reason);
        assert_eq!(violations.total(), 1, "{reason}");
        assert_eq!(violations.listed()[0].field, format!("accounts[1].{field}"));
        assert_eq!(violations.listed()[0].reason, reason);
    }
    assert_eq!(openings(&[], &Currencies::new()).expect_err("empty").reason(), "BATCH_SIZE");
    let many = vec![good(); 10_001];
    assert_eq!(openings(&many, &Currencies::new()).expect_err("many").reason(), "BATCH_SIZE");
}

#[test]
fn figures_show_the_digits_of_their_currency() {
    let spec = openings(&[good()], &Currencies::new()).expect("good").remove(0).spec;
    assert_eq!(spec.overdraft_limit, 50_000);
    let view = AccountView {
        spec,
        status: AccountStatus::Frozen,
        posted: -1234,
        on_hold: 0,
        held: 5,
        incoming: 100,
        available: 48_761,
        bounds: ducat_engine::limits::Bounds::default(),
        opened_lsn: Lsn(3),
        last_lsn: Lsn(4),
        version: Lsn(9),
    };
    let currencies = Currencies::new();
    let mut writer = Writer::new(&currencies);
    let account = writer.account(&view);
    assert_eq!((account.posted.as_str(), account.posted_minor.as_str()), ("-12.34", "-1234"));
    assert_eq!((account.held.as_str(), account.incoming.as_str()), ("0.05", "1.00"));
    assert_eq!(
        (account.available.as_str(), account.overdraft_limit.as_str()),
        ("487.61", "500.00")
    );
    assert_eq!((account.currency.as_str(), account.digits, account.status), ("GBP", 2, 1));

    let yen = currencies.by_code("JPY").expect("ISO").id;
    let external = AccountSpec { currency: yen, external: true, ..spec };
    let account = writer.account(&AccountView { spec: external, ..view });
    assert_eq!((account.available.as_str(), account.posted.as_str()), ("", "-1234"));
}

#[test]
fn results_say_what_became_of_each() {
    use proto::account_result::Code;
    let spec = openings(&[good()], &Currencies::new()).expect("good").remove(0).spec;
    for (outcome, code, lsn) in [
        (AccountOutcome::Opened(Lsn(7)), Code::Opened, 7),
        (AccountOutcome::Exists(Lsn(5)), Code::Exists, 5),
        (AccountOutcome::Refused(AccountRejection::ExistsDifferent), Code::ExistsDifferent, 0),
        (AccountOutcome::Refused(AccountRejection::Full), Code::LedgerFull, 0),
    ] {
        let result = result(&spec, outcome).expect("has a code");
        assert_eq!((result.code, result.lsn, result.id), (code as i32, lsn, 1));
        assert_eq!(result.explanation.is_empty(), lsn > 0);
    }
    let impossible = AccountOutcome::Refused(AccountRejection::NotEmpty);
    assert!(result(&spec, impossible).is_none());
}
