//! What `ducat account history` prints, held to the letter, and what its options refuse.

use super::*;

fn events() -> Vec<proto::AccountEvent> {
    let event = |lsn, event| proto::AccountEvent {
        lsn,
        time_ns: 1_735_689_600_000_000_000 + lsn,
        event: Some(event),
    };
    vec![
        event(
            9,
            Event::Profile(proto::ProfileChange {
                kind: Some(0),
                owner: Some(String::new()),
                set_metadata: [("tier".to_owned(), "gold".to_owned())].into(),
                removed_metadata: vec!["branch".to_owned()],
                ..Default::default()
            }),
        ),
        event(8, Event::Status(proto::StatusChange { status: 3, reason: "fraud".into() })),
        event(7, Event::Status(proto::StatusChange::default())),
        event(
            6,
            Event::Limits(proto::LimitsChange {
                overdraft_limit: "5.00".into(),
                floor: "-4.00".into(),
                ..Default::default()
            }),
        ),
        event(
            3,
            Event::Opened(proto::NewAccount {
                id: 2,
                currency: "GBP".into(),
                kind: 2,
                metadata: [("branch".to_owned(), "7".to_owned())].into(),
                ..Default::default()
            }),
        ),
    ]
}

#[test]
fn histories_print_both_ways() {
    let account = AccountId::new(2).expect("not zero");
    assert_eq!(
        history_text(account, &events(), false).expect("text"),
        "lsn  time                            event    what\n  \
         9  2025-01-01T00:00:00.000000009Z  profile  kind none, owner '', tier = 'gold', branch \
         removed\n  \
         8  2025-01-01T00:00:00.000000008Z  status   debits-blocked, because: fraud\n  \
         7  2025-01-01T00:00:00.000000007Z  status   active\n  \
         6  2025-01-01T00:00:00.000000006Z  limits   overdraft 5.00, floor -4.00\n  \
         3  2025-01-01T00:00:00.000000003Z  opened   GBP, kind liability, branch = '7'"
    );
    let json = history_text(account, &events(), true).expect("text");
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(
        lines[0],
        concat!(
            r#"{"account":"2","lsn":9,"time":"2025-01-01T00:00:00.000000009Z","#,
            r#""time_ns":1735689600000000009,"event":"profile","kind":"none","owner":"","#,
            r#""metadata":{"tier":"gold"},"removed_metadata":["branch"]}"#
        )
    );
    assert_eq!(
        lines[1],
        concat!(
            r#"{"account":"2","lsn":8,"time":"2025-01-01T00:00:00.000000008Z","#,
            r#""time_ns":1735689600000000008,"event":"status","status":"debits-blocked","#,
            r#""reason":"fraud"}"#
        )
    );
    assert_eq!(lines.len(), 5);
}

#[test]
fn options_are_read_or_refused() {
    assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
    for wrong in ["a", "=b", ""] {
        assert!(pair(wrong).is_err(), "{wrong}");
    }
    assert_eq!(kind("expense"), Ok(proto::AccountKind::Expense));
    assert!(kind("none").is_err());
    assert_eq!(kind_or_none("none"), Ok(proto::AccountKind::Unspecified));
    for (text, number) in
        [("active", 0), ("frozen", 1), ("closed", 2), ("debits-blocked", 3), ("credits-blocked", 4)]
    {
        assert_eq!(account_status(text).map(|status| status as i32), Ok(number));
    }
    assert!(account_status("Frozen").is_err());
}
