//! What `ducat account` prints, held to the letter.

use super::*;

fn alice() -> proto::Account {
    proto::Account {
        id: 2,
        currency: "GBP".into(),
        digits: 2,
        posted: "12.34".into(),
        held: "0.00".into(),
        incoming: "0.00".into(),
        available: "512.34".into(),
        overdraft_limit: "500.00".into(),
        posted_minor: "1234".into(),
        opened_lsn: 3,
        last_lsn: 9,
        version: 9,
        ..Default::default()
    }
}

fn bank() -> proto::Account {
    proto::Account {
        id: 1,
        currency: "GBP".into(),
        digits: 2,
        external: true,
        posted: "-12.34".into(),
        held: "0.00".into(),
        incoming: "0.00".into(),
        overdraft_limit: "0.00".into(),
        posted_minor: "-1234".into(),
        opened_lsn: 2,
        last_lsn: 9,
        version: 9,
        ..Default::default()
    }
}

#[test]
fn accounts_print_as_a_table() {
    let text = accounts_text(&[bank(), alice()], false).expect("text");
    assert_eq!(
        text,
        "id  currency  status    posted  held  available  overdraft\n \
         1  GBP       external  -12.34  0.00   no limit\n \
         2  GBP       active     12.34  0.00     512.34     500.00"
    );
}

#[test]
fn accounts_print_as_json_lines() {
    let text = accounts_text(&[bank(), alice()], true).expect("text");
    assert_eq!(
        text,
        concat!(
            r#"{"id":"1","currency":"GBP","status":"active","external":true,"posted":"-12.34","#,
            r#""held":"0.00","incoming":"0.00","available":null,"overdraft_limit":"0.00","#,
            r#""posted_minor":"-1234","opened_lsn":2,"last_lsn":9,"version":9}"#,
            "\n",
            r#"{"id":"2","currency":"GBP","status":"active","external":false,"posted":"12.34","#,
            r#""held":"0.00","incoming":"0.00","available":"512.34","overdraft_limit":"500.00","#,
            r#""posted_minor":"1234","opened_lsn":3,"last_lsn":9,"version":9}"#
        )
    );
}

#[test]
fn an_opening_that_is_refused_ends_with_1() {
    use proto::account_result::Code;
    let result = |code: Code| proto::AccountResult {
        id: 7,
        code: code as i32,
        lsn: 4,
        explanation: "taken".into(),
        ..Default::default()
    };
    let (text, exit) = created(&result(Code::Opened), false).expect("text");
    assert_eq!((text.as_str(), exit), ("account 7 opened at LSN 4", Exit::Ok));
    let (text, exit) = created(&result(Code::ExistsDifferent), false).expect("text");
    assert_eq!(text, "account 7 was not opened: EXISTS_DIFFERENT: taken");
    assert_eq!(exit, Exit::Refused);
    let (text, _) = created(&result(Code::Exists), true).expect("text");
    assert_eq!(text, r#"{"id":"7","result":"EXISTS","lsn":4,"explanation":"taken"}"#);
}
