//! `ducat group`: legs of any kind out of a file, all or nothing, tried, done, repeated, refused.

use crate::support::{Server, code, path_text, stderr, stdout};
use serde_json::Value;

/// Accounts 1 (the outside) to 5; the second has 100.00, of which 30.00 are on hold for the third.
fn funded(dir: &std::path::Path) -> Server {
    let server = Server::start(dir, 2);
    for id in ["1", "2", "3", "4", "5"] {
        let mut line = vec!["account", "create", id, "--currency", "GBP"];
        line.extend((id == "1").then_some("--external"));
        assert_eq!(code(&server.run(&line)), 0);
    }
    let ids = ["--currency", "GBP", "--id"];
    let deposit = ["transfer", "--from", "1", "--to", "2", "--amount", "100.00"];
    server.json(&[&deposit[..], &["--kind", "deposit"], &ids, &["10"]].concat());
    let hold = ["hold", "place", "--from", "2", "--to", "3", "--amount", "30.00"];
    server.json(&[&hold[..], &ids, &["20"]].concat());
    server
}

fn posted(server: &Server, id: &str) -> String {
    let shown = server.json(&["account", "show", id]).remove(0);
    shown["posted"].as_str().expect("a text").to_owned()
}

fn codes(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["code"].as_str().expect("a text")).collect()
}

const LEGS: &str = r#"{"op": "capture", "hold": 20, "amount": "10.00", "last": true}
{"op": "refund", "original": 10, "amount": "5.00", "id": 77}
{"from": 2, "to": 4, "amount": "500.00", "up_to": "available", "min": "1.00"}
{"op": "hold", "from": 4, "to": 5, "amount": "20.00", "expires_in": "7d", "reference": "INV-1"}
"#;

#[test]
fn legs_of_every_kind_are_done_together_and_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = funded(dir.path());
    let file = path_text(&dir.path().join("legs.jsonl"));
    std::fs::write(&file, LEGS).expect("written");
    let group = ["group", &file, "--id", "30", "--currency", "GBP"];
    let last = |server: &Server| server.json(&["status"])[0]["last_lsn"].clone();
    let before = last(&server);
    let tried = server.json(&[&group[..], &["--dry-run"]].concat());
    assert_eq!(codes(&tried), ["POSTED"; 4]);
    assert!(tried.iter().all(|line| line["dry_run"] == true && line["lsn"] == before), "{tried:?}");
    assert_eq!(last(&server), before, "nothing was done");

    let done = server.json(&group);
    assert_eq!(codes(&done), ["POSTED"; 4]);
    assert_eq!((&done[0]["id"], &done[1]["id"]), (&"30".into(), &"77".into()));
    for (tried, done) in tried.iter().zip(&done) {
        assert_eq!((&tried["debit"], &tried["id"]), (&done["debit"], &done["id"]));
    }
    // 100 less the 10 captured and the 5 given back; the rest of the hold was free by then.
    assert_eq!(
        ["2", "3", "4", "5"].map(|id| posted(&server, id)),
        ["0.00", "10.00", "85.00", "0.00"]
    );
    let again = server.json(&group);
    assert!(again.iter().all(|line| line["repeat"] == true), "{again:?}");
    let text = stdout(&server.run(&group));
    assert!(text.contains("2 -> 4   85.00 GBP  POSTED") && text.contains("repeat: "), "{text}");
    let found = server.json(&["hold", "list", "--account", "4"]).remove(0);
    assert_eq!(found["amount"], "20.00");
}

#[test]
fn one_refused_leg_refuses_all_and_a_wrong_file_is_not_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = funded(dir.path());
    let file = path_text(&dir.path().join("legs.csv"));
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    let group = ["group", &file, "--id", "40"];
    write(
        "op,from,to,amount,currency,hold,require\n\
           ,2,4,60.00,GBP,,\n\
           capture,,,,,20,\n\
           ,4,5,1.00,GBP,,debit.posted>=60.00\n",
    );
    let refused = server.run(&group);
    assert_eq!(code(&refused), 1);
    let text = stdout(&refused);
    assert!(text.contains("DEBIT_ACCOUNT_CONDITION") && text.contains("because "), "{text}");
    assert_eq!(["2", "3", "4"].map(|id| posted(&server, id)), ["100.00", "0.00", "0.00"]);
    let hold = server.json(&["hold", "show", "20"]).remove(0);
    assert_eq!(hold["state"], "open", "it was not captured either");

    for (text, why) in [
        ("from,to,amount,currency\n2,4,1.00,GBP\n2,4,x\n", "line"),
        ("from,to,sum\n2,4,1.00\n", "sum"),
        ("", "1 to 10000 legs"),
        ("op,from,to,amount,currency,hold\nvoid,2,4,1.00,GBP,20\n", "leave it empty"),
    ] {
        write(text);
        let ended = server.run(&group);
        assert_eq!(code(&ended), 2, "{text}: {}", stderr(&ended));
        assert!(stderr(&ended).contains(why), "{text}: {}", stderr(&ended));
    }
    assert_eq!(posted(&server, "2"), "100.00");
}
