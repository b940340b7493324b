//! Holds, refunds, terms and linked groups imported: every operation by its column, groups all or nothing,
//! refused rows told, a second run all repeats, a dry run that says the same.

use crate::support::{Server, code, json, path_text, stdout};
use serde_json::Value;
use std::path::Path;

const MAP: &str = r#"
namespace = "ops"
currency = "GBP"

[externals.cash]
id = "1"

[accounts]
open_from_transfers = true

[transfers]
id = { column = "id" }
debit = { column = "from" }
credit = { column = "to" }
amount = { column = "sum" }
operation = { column = "op" }
hold = { column = "hold" }
original = { column = "of" }
expires_in = { column = "expires" }
last = { column = "last" }
up_to = { column = "up_to" }
require = { column = "require" }
group = { column = "group" }

[[transfers.rules]]
when = { from = "1" }
kind = "deposit"
debit = { external = "cash" }
credit = { column = "to" }
"#;

/// Money in; a hold, captured in part and voided; a refund and a reversal; a group that is done, one that is
/// refused whole, and one that is not sent whole; conditions and a balanced amount.
const ROWS: &str = "id,op,from,to,sum,hold,of,expires,last,up_to,require,group\n\
    101,,1,2,10.00,,,,,,,\n\
    102,hold,2,3,4.00,,,7d,,,,\n\
    103,capture,,,1.50,102,,,,,,\n\
    104,void,,,,102,,,,,,\n\
    105,,2,4,2.00,,,,,,,\n\
    106,refund,,,0.50,,105,,,,,\n\
    107,reverse,,,,,105,,,,,\n\
    108,,2,5,1.00,,,,,,,a\n\
    109,,5,6,1.00,,,,,,,a\n\
    110,,2,5,3.00,,,,,,,b\n\
    111,,6,5,9.00,,,,,,,b\n\
    112,,2,5,2.00,,,,,,,c\n\
    113,,2,5,two,,,,,,,c\n\
    114,,2,5,3.00,,,,,,debit.posted>=7.00,\n\
    115,,2,6,99.00,,,,,available,,\n\
    116,capture,,,,999,,,,,,\n";

fn files(dir: &Path) -> [String; 2] {
    let (map, rows) = (dir.join("map.toml"), dir.join("rows.csv"));
    std::fs::write(&map, MAP).expect("written");
    std::fs::write(&rows, ROWS).expect("written");
    [path_text(&map), path_text(&rows)]
}

fn count(summary: &Value, name: &str) -> u64 {
    summary["transfers"][name].as_u64().expect("a number")
}

/// What became of each row that was not done.
fn rejected(path: &str) -> Vec<(String, String)> {
    let mut reader = csv::Reader::from_path(path).expect("written");
    let records = reader.records().map(|record| record.expect("whole"));
    records.map(|record| (record[4].to_owned(), record[2].to_owned())).collect()
}

#[test]
fn every_operation_is_imported_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let [map, rows] = files(dir.path());
    let rejects = path_text(&dir.path().join("rejects.csv"));
    let import = ["import", "--map", &map, "--transfers", &rows, "--rejects", &rejects];
    let tried = json(&[&import[..], &["--dry-run"]].concat()).remove(0);
    let expected = [
        ("110", "LINKED_FAILED"),
        ("111", "INSUFFICIENT_FUNDS"),
        ("112", "GROUP_UNCONVERTIBLE"),
        ("113", "AMOUNT_MALFORMED"),
        ("114", "DEBIT_ACCOUNT_CONDITION"),
        ("116", "HOLD_UNKNOWN"),
    ];
    let expected = expected.map(|(id, code)| (id.to_owned(), code.to_owned()));
    assert_eq!(rejected(&rejects), expected);
    let server = Server::start(dir.path(), 2);
    for (batch, first) in [("1000", true), ("3", false)] {
        let run = [&import[..], &["--batch-size", batch]].concat();
        let done = server.json(&run).remove(0);
        assert_eq!((count(&done, "rows"), count(&done, "unconvertible")), (16, 2));
        let fresh = [count(&done, "posted"), count(&done, "refused"), count(&done, "repeats")];
        assert_eq!(fresh, if first { [10, 4, 0] } else { [0, 0, 14] });
        assert_eq!(rejected(&rejects), expected);
        assert_eq!(done["balances_sha256"], tried["balances_sha256"]);
    }
    // 10.00 in, 1.50 captured, a group of 1.00, and the rest as much as was there.
    let posted = |id: &str| {
        let shown = server.json(&["account", "show", id]).remove(0);
        shown["posted"].as_str().expect("a text").to_owned()
    };
    assert_eq!(["2", "3", "4", "5", "6"].map(posted), ["0.00", "1.50", "0.00", "0.00", "8.50"]);
    let hold = server.json(&["hold", "show", "102"]).remove(0);
    assert_eq!(hold["state"], "voided");
    let events = stdout(&server.run(&["events", "--from", "1", "--account", "5"]));
    assert!(events.contains("linked with the next"), "{events}");
}

#[test]
fn a_group_whose_rows_cannot_be_told_apart_is_not_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let [map, _] = files(dir.path());
    let rows = dir.path().join("short.csv");
    // The second row ends before the column that names its group.
    let text = "id,op,from,to,sum,hold,of,expires,last,up_to,require,group\n\
                201,,1,2,1.00,,,,,,,x\n\
                202,,1,2,1.00\n\
                203,,1,2,1.00,,,,,,,y\n\
                204,,1,2,1.00,,,,,,,\n";
    std::fs::write(&rows, text).expect("written");
    let rows = path_text(&rows);
    let import = ["import", "--map", &map, "--transfers", &rows, "--dry-run"];
    let tried = json(&import).remove(0);
    assert_eq!([count(&tried, "posted"), count(&tried, "unconvertible")], [1, 3]);
    let strict = crate::support::run(&[&import[..], &["--strict"]].concat());
    assert_eq!(code(&strict), 1);
}
