//! `ducat schedule` and `ducat saga` against a real server, which is killed meanwhile. What is due
//! lies in the past, so that no test waits for a clock.

use crate::support::{Server, code, path_text, run, stderr, stdout};
use serde_json::Value;
use std::time::{Duration, Instant};

fn open_accounts(server: &Server) {
    for (id, external) in [("1", true), ("2", false), ("3", false), ("5", false)] {
        let mut line = vec!["account", "create", id, "--currency", "GBP"];
        line.extend(external.then_some("--external"));
        assert_eq!(code(&server.run(&line)), 0);
    }
    let deposit = ["transfer", "--from", "1", "--to", "2", "--amount", "500.00"];
    let deposit =
        [&deposit[..], &["--currency", "GBP", "--kind", "deposit", "--id", "77"]].concat();
    server.json(&deposit);
}

/// Asks until the answer is so.
fn until(server: &Server, line: &[&str], field: &str, value: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = server.json(line).swap_remove(0);
        if answer[field] == value {
            return answer;
        }
        assert!(Instant::now() < end, "{answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_standing_order_survives_a_kill_and_pays_each_month_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 2);
    open_accounts(&server);
    let file = dir.path().join("holidays");
    std::fs::write(&file, "# Easter\n2024-04-01 Easter Monday\n").expect("writes");
    let line = ["schedule", "add", "--from", "2", "--to", "3", "--amount", "10.00", "--id", "7"];
    let path = path_text(&file);
    let rule = ["--currency", "GBP", "--monthly", "31", "--at", "09:00", "--zone", "Europe/London"];
    let roll = ["--roll", "following", "--holidays", &path, "--label", "rent"];
    let times = ["--start", "2024-01-01T00:00:00Z", "--end", "2024-06-15T00:00:00Z"];
    let add = [&line[..], &rule, &roll, &times].concat();
    let added = server.json(&add).swap_remove(0);
    assert_eq!(
        (&added["rule"], &added["label"]),
        (&"every month on the last day at 09:00, the next business day".into(), &"rent".into(),)
    );
    server.kill();
    let server = Server::start(dir.path(), 1);
    let ended = until(&server, &["schedule", "show", "7"], "status", "ended");
    let due: Vec<&str> = ended["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .filter_map(|run| run["due"].as_str())
        .collect();
    // 31 March is Easter Sunday, and summer time begins.
    let expected =
        ["2024-01-31T09", "2024-02-29T09", "2024-04-02T08", "2024-04-30T08", "2024-05-31T08"];
    assert!(due.iter().zip(expected).all(|(due, begin)| due.starts_with(begin)), "{due:?}");
    assert_eq!(due.len(), 5);
    assert_eq!(server.json(&["account", "show", "3"])[0]["posted"], "50.00");
    assert_eq!(server.json(&add)[0]["status"], "ended", "the same again changes nothing");
    let text = stdout(&server.run(&["schedule", "show", "7"]));
    assert!(text.contains("pays      10.00 GBP from 2 to 3"), "{text}");
    assert!(text.contains("never"), "{text}");

    let cron = ["--cron", "0 9 * * MON", "--currency", "GBP", "--start", "2090-01-01T00:00:00Z"];
    let other = [&line[..8], &["--id", "8"], &cron].concat();
    assert_eq!(server.json(&other)[0]["status"], "active");
    assert_eq!(server.json(&["schedule", "pause", "8"])[0]["status"], "paused");
    let run_once = ["schedule", "run", "8", "--number", "1"];
    server.json(&run_once);
    server.json(&run_once);
    let show = ["schedule", "show", "8"];
    let end = Instant::now() + Duration::from_secs(60);
    while server.json(&show)[0]["runs"][0]["state"] != "posted" {
        assert!(Instant::now() < end, "it is not posted");
    }
    assert_eq!(server.json(&["account", "show", "3"])[0]["posted"], "60.00");
    assert_eq!(server.json(&["schedule", "list", "--status", "paused"])[0]["id"], "8");
    let listed = stdout(&server.run(&["schedule", "list"]));
    assert!(listed.lines().count() == 3 && listed.contains("rent"), "{listed}");
    assert_eq!(server.json(&["schedule", "resume", "8"])[0]["status"], "active");
    assert_eq!(server.json(&["schedule", "cancel", "8"])[0]["status"], "cancelled");
    let refused = server.run(&["schedule", "resume", "8"]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("the schedule is cancelled"), "{}", stderr(&refused));
    let events = stdout(&server.run(&["events", "--kind", "schedule"]));
    assert!(events.contains("schedule 7 begun: run 5"), "{events}");
    server.kill();
    let ledger = path_text(&dir.path().join("ledger"));
    let printed = run(&["replay", "--data-dir", &ledger, "--print"]);
    assert!(stdout(&printed).contains("schedule 7 defined (rent)"), "{}", stdout(&printed));
    assert_eq!(code(&run(&["verify", "--data-dir", &ledger])), 0);
}

const NIGHT: &str = r#"{"label": "a night", "attempts_max": 1, "steps": [
    {"name": "hold", "hold": {"from": "2", "to": "3", "amount": "100.00", "currency": "GBP"},
     "expires_in": "7d"},
    {"name": "hotel", "wait": "1d"},
    {"name": "capture", "capture": "hold", "amount": "90.00", "currency": "GBP", "last": true},
    {"name": "points", "transfer": {"from": "5", "to": "2", "amount": "7.00", "currency": "GBP"}}]}"#;

#[test]
fn a_saga_survives_a_kill_between_its_steps() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), 1);
    open_accounts(&server);
    let file = dir.path().join("night.json");
    std::fs::write(&file, NIGHT).expect("writes");
    let path = path_text(&file);
    let start = ["saga", "start", &path, "--id", "9001"];
    assert_eq!(server.json(&start)[0]["label"], "a night");
    let show = ["saga", "show", "9001"];
    until(&server, &show, "state", "waiting");
    server.kill();
    let server = Server::start(dir.path(), 2);
    assert_eq!(server.json(&show)[0]["step"], "hotel");
    assert_eq!(server.json(&["account", "show", "2"])[0]["available"], "400.00");
    let answer = ["saga", "answer", "9001", "hotel", "--done", "--note", "booking 17"];
    server.json(&answer);
    server.json(&answer);
    let done = until(&server, &show, "state", "compensated");
    let states: Vec<&str> = done["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter_map(|step| step["state"].as_str())
        .collect();
    assert_eq!(states, ["stays", "stays", "undone", "failed"]);
    assert_eq!(done["steps"][3]["failure"], "INSUFFICIENT_FUNDS");
    assert_eq!(server.json(&["account", "show", "2"])[0]["available"], "500.00");
    let text = stdout(&server.run(&show));
    assert!(text.contains("booking 17") && text.contains("compensated"), "{text}");
    let late = server.run(&["saga", "answer", "9001", "hotel", "--failed"]);
    assert_eq!(code(&late), 1);
    assert!(stderr(&late).contains("answered otherwise before"), "{}", stderr(&late));
    assert_eq!(code(&server.run(&["saga", "answer", "9001", "motel", "--done"])), 2);
    assert_eq!(code(&server.run(&["saga", "show", "9002"])), 1);
    assert_eq!(server.json(&["saga", "list", "--state", "compensated"])[0]["id"], "9001");
    let events = stdout(&server.run(&["events", "--kind", "saga"]));
    assert!(events.contains("saga 9001 begun: undo step 2"), "{events}");
}
