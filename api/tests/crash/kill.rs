//! SIGKILL under load and during the start, and SIGTERM, which must leave nothing undone.

use crate::attack::{Attack, Depth, tries};
use crate::server::Launch;
use rand::RngExt as _;
use std::sync::Arc;

/// Starts that are killed before the server listens, out of four rounds.
const KILL_STARTS_ODDS: f64 = 0.5;

#[test]
fn killed_under_load_nothing_acknowledged_is_lost() {
    let mut attack = Attack::new("SIGKILL under load, and while starting");
    let mut starting = 0;
    attack.on_ledgers(tries("DUCAT_KILLS", 5), |attack, nth, data| {
        // The number of partitions may change from start to start.
        let launch = Launch::with(&["--partitions", ["1", "2", "4"][nth % 3]]);
        let server = attack.start(&launch, data);
        attack.check(&server, Depth::New);
        attack.load(server, |server, dice| {
            Attack::pause(dice, 600);
            server.kill();
        });
        while attack.dice.random_bool(KILL_STARTS_ODDS) {
            let start = launch.spawn(data);
            Attack::pause(&mut attack.dice, 120);
            start.kill();
            starting += 1;
        }
    });
    attack.row.note(format!("and {starting} while starting"));
    attack.finish();
}

#[test]
fn told_to_stop_it_answers_what_it_took() {
    let mut attack = Attack::new("SIGTERM under load");
    attack.on_ledgers(tries("DUCAT_STOPS", 3), |attack, _, data| {
        let server = attack.start(&Launch::default(), data);
        attack.check(&server, Depth::New);
        let history = Arc::clone(&attack.history);
        let (durable, ids) = (attack.durable_unanswered, history.acknowledged());
        let ended = attack.load(server, |server, dice| {
            history.await_answers(ids);
            Attack::pause(dice, 300);
            server.terminate();
            server.wait()
        });
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let server = attack.start(&Launch::default(), data);
        attack.check(&server, Depth::New);
        let unanswered = attack.durable_unanswered - durable;
        assert_eq!(unanswered, 0, "transfers took effect and were never answered");
        server.terminate();
        assert_eq!(server.wait().status.code(), Some(0));
    });
    attack.finish();
}
