//! An import tried: what a dry run says is what an import into an empty ledger then does, and it asks no server.

use crate::support::{Server, code, json, path_text, run, stdout};
use serde_json::Value;
use std::path::Path;

const MAP: &str = r#"
namespace = "tried"
currency = "GBP"

[externals.cash]

[accounts]
open_from_transfers = true

[transfers]
id = { column = "id" }
amount = { column = "sum" }

[[transfers.rules]]
when = { type = "in" }
kind = "deposit"
debit = { external = "cash" }
credit = { column = "to" }

[[transfers.rules]]
when = { type = "move" }
debit = { column = "from" }
credit = { column = "to" }
"#;

/// Money in, two moves of which the second lacks funds only because of the first, an id that comes again, and
/// a sum that is none.
const ROWS: &str = "id,type,from,to,sum\n\
                    101,in,,2,10.00\n\
                    102,move,2,3,7.00\n\
                    103,move,2,3,4.00\n\
                    104,move,3,4,5.00\n\
                    104,move,3,4,5.00\n\
                    105,move,3,4,five\n";

fn files(dir: &Path) -> [String; 2] {
    let (map, rows) = (dir.join("map.toml"), dir.join("rows.csv"));
    std::fs::write(&map, MAP).expect("written");
    std::fs::write(&rows, ROWS).expect("written");
    [path_text(&map), path_text(&rows)]
}

/// What does not depend on how long it took.
fn told(summary: &Value) -> [&Value; 6] {
    let names =
        ["accounts", "transfers", "balances", "balances_sha256", "accounts_unknown", "totals"];
    names.map(|name| &summary[name])
}

#[test]
fn a_dry_run_tells_what_an_import_into_an_empty_ledger_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let [map, rows] = files(dir.path());
    let import = ["import", "--map", &map, "--transfers", &rows];
    let rejects = path_text(&dir.path().join("tried.csv"));
    // No server listens there.
    let nobody = ["--server", "http://127.0.0.1:9"];
    let tried = json(&[&nobody, &import[..], &["--dry-run", "--rejects", &rejects]].concat());
    let [tried] = &tried[..] else { panic!("{tried:?}") };
    let tally = &tried["transfers"];
    let numbers = ["rows", "posted", "refused", "repeats", "unconvertible"];
    assert_eq!(numbers.map(|name| tally[name].as_u64().expect("a number")), [6, 3, 1, 1, 1]);
    assert_eq!(tally["refused_by_code"]["INSUFFICIENT_FUNDS"], 1);
    assert_eq!((&tried["dry_run"], &tried["accounts"]["opened"]), (&true.into(), &3.into()));
    let refused = std::fs::read_to_string(&rejects).expect("written");
    assert!(refused.contains("3.00 GBP available, 4.00 GBP needed"), "{refused}");

    let server = Server::start(dir.path(), 1);
    let before = server.json(&["status"])[0]["last_lsn"].clone();
    let text = stdout(&server.run(&[&import[..], &["--dry-run"]].concat()));
    assert!(text.starts_with("dry run "), "{text}");
    assert_eq!(server.json(&["status"])[0]["last_lsn"], before, "nothing was sent");
    let strict = server.run(&[&import[..], &["--dry-run", "--strict"]].concat());
    assert_eq!(code(&strict), 1, "a row was refused");

    let done = server.json(&import).remove(0);
    assert_eq!(done["dry_run"], false);
    assert_eq!(told(tried), told(&done));
}

#[test]
fn a_dry_run_finds_what_stops_an_import() {
    let dir = tempfile::tempdir().expect("a directory");
    let [map, _] = files(dir.path());
    let missing = path_text(&dir.path().join("missing.csv"));
    let ended = run(&["import", "--map", &map, "--transfers", &missing, "--dry-run"]);
    assert_ne!(code(&ended), 0);
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("missing.csv") && !said.contains("rehearsal"), "{said}");
}
