//! SIGKILL under load and during the start, and SIGTERM, which must leave nothing undone.

use crate::attack::{Attack, Depth, tries};
use crate::server::Launch;
use rand::RngExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

/// The same with encryption, its keys rotated between kills and killed while rotating: what is
/// rotated at any moment opens with the key that `KEYS` then says.
#[test]
fn killed_under_load_an_encrypted_ledger_loses_nothing_either() {
    let mut attack = Attack::new("SIGKILL under load, encrypted, keys rotated");
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let mut keys = Keys { dir: dir.path().to_owned(), made: 0 };
    let mut master = keys.make();
    let launch = |master: &Path| Launch::with(&["--master-key-file", text(master)]);
    for nth in 0..tries("DUCAT_KILLS", 4) {
        let server = attack.start(&launch(&master), &data);
        attack.check(&server, Depth::New);
        let new = keys.make();
        let rotating = attack.load(server, |server, dice| {
            Attack::pause(dice, 300);
            let rotating = keys.rotate(&data, &master, &new);
            Attack::pause(dice, 60);
            server.kill();
            rotating
        });
        // Every other one is killed, wherever it is.
        let mut rotating = rotating;
        if nth % 2 == 0 {
            rotating.kill().expect("a child");
        }
        rotating.wait().expect("ended");
        if keys.opens(&data, &new) {
            master = new;
        }
        assert!(keys.opens(&data, &master), "one of both opens it");
        attack.row.runs += 1;
    }
    let server = attack.start(&launch(&master), &data);
    attack.check(&server, Depth::All);
    server.kill();
    let verified = keys.ducat(&["verify", "--data-dir", text(&data)], &master).status();
    assert!(verified.expect("runs").success());
    attack.finish();
}

/// Master keys in files.
struct Keys {
    dir: PathBuf,
    made: u32,
}

impl Keys {
    fn make(&mut self) -> PathBuf {
        self.made += 1;
        let path = self.dir.join(format!("master-{}", self.made));
        let made = Command::new(env!("CARGO_BIN_EXE_ducat"))
            .args(["keys", "generate", text(&path)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("runs").success());
        path
    }

    fn ducat(&self, line: &[&str], master: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ducat"));
        command.args(line).args(["--master-key-file", text(master)]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn rotate(&self, data: &Path, old: &Path, new: &Path) -> Child {
        let line = ["keys", "rotate", "--data-dir", text(data), "--new-master-key-file", text(new)];
        self.ducat(&line, old).spawn().expect("runs")
    }

    /// Whether this is the master key that the directory wants now.
    fn opens(&self, data: &Path, master: &Path) -> bool {
        let line = ["snapshot", "list", "--data-dir", text(data)];
        self.ducat(&line, master).status().expect("runs").success()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are plain")
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
