//! What every attack does: a ledger with its history, started, loaded, ended somehow, started
//! again and checked.

use crate::checker::{Fault, check};
use crate::history::{Call, History};
use crate::ledger::{open, specs};
use crate::load::Load;
use crate::observe::{observe, resend_unanswered, settled};
use crate::server::{Ended, Launch, Server};
use crate::table::{Row, skipped};
use ducat_api::client::Client;
use ducat_api::proto::Event;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Prints a line that the test harness does not swallow.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr is open");
}

/// Says why an attack is not made here.
pub fn skip(attack: &str, reason: &str) {
    say(&format!("skipped: {attack}: {}", reason.trim()));
    skipped(attack, reason);
}

/// How often to try: the environment's number, or the short form's.
pub fn tries(variable: &str, short: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, no number")),
        Err(_) => short,
    }
}

/// A ledger serves for so many runs: a history that grows for ever takes ever longer to check.
const RUNS_PER_LEDGER: usize = 10;

/// Random decisions, from `DUCAT_SEED` or a new seed, which is printed.
pub fn dice(test: &str) -> StdRng {
    let seed = match std::env::var("DUCAT_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("DUCAT_SEED is `{text}`, no number")),
        Err(_) => rand::random(),
    };
    say(&format!("{test}: DUCAT_SEED={seed}"));
    StdRng::seed_from_u64(seed)
}

/// Whether this process may mount filesystems.
pub fn is_root() -> bool {
    // SAFETY: a plain system call that cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// A ledger under attack.
pub struct Attack {
    runtime: Runtime,
    /// What the clients saw.
    pub history: Arc<History>,
    /// Random decisions.
    pub dice: StdRng,
    /// What it comes to.
    pub row: Row,
    /// Calls before this one were answered and checked.
    checked: usize,
    /// The highest LSN of that time.
    checked_lsn: u64,
    /// What had happened without a request by then.
    own: Vec<Event>,
    /// Operations on holds that were acknowledged, holds that expired as far as that was looked
    /// at, changes of accounts that were acknowledged; on ledgers before this one.
    beside_transfers: [usize; 3],
    /// Transfers without an answer that turned out to be durable.
    pub durable_unanswered: usize,
    /// Transfers without an answer that had not happened.
    pub lost_unanswered: usize,
}

/// How much of the history is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The calls since the last check and some of the older ones.
    New,
    /// Every call there ever was.
    All,
}

/// Transfers that [`Attack::load_for`] waits for, however slow the machine is.
const LOAD_LEAST: usize = 500;

/// Older calls compared by [`Depth::New`].
const SAMPLE: usize = 50;

impl Attack {
    /// An attack of this name, with random decisions of its own.
    pub fn new(name: &str) -> Self {
        Self {
            runtime: Runtime::new().expect("a runtime"),
            history: Arc::default(),
            dice: dice(name),
            row: Row::new(name),
            checked: 0,
            checked_lsn: 0,
            own: Vec::new(),
            beside_transfers: [0; 3],
            durable_unanswered: 0,
            lost_unanswered: 0,
        }
    }

    /// Makes `runs` runs, a few on each of several ledgers; `run` gets its number and the data
    /// directory. Everything is compared at the end of each ledger.
    pub fn on_ledgers(&mut self, runs: usize, mut run: impl FnMut(&mut Self, usize, &Path)) {
        for first in (0..runs).step_by(RUNS_PER_LEDGER) {
            let dir = tempfile::tempdir().expect("a directory");
            let data = dir.path().join("data");
            self.begin_anew();
            for nth in first..runs.min(first + RUNS_PER_LEDGER) {
                run(self, nth, &data);
                self.row.runs += 1;
            }
            let server = self.start(&Launch::default(), &data);
            self.check(&server, Depth::All);
            server.kill();
        }
    }

    /// Goes on with a new ledger, of which nothing is known yet.
    pub fn begin_anew(&mut self) {
        self.count();
        self.history = Arc::default();
        (self.checked, self.checked_lsn) = (0, 0);
        self.own.clear();
    }

    /// Starts a server that must come up, and opens the accounts.
    pub fn start(&mut self, launch: &Launch, data_dir: &Path) -> Server {
        let server = launch.start(data_dir).unwrap_or_else(|ended| panic!("{ended:?}"));
        self.open(&server).expect("the accounts open");
        server
    }

    /// Opens the accounts.
    pub fn open(&self, server: &Server) -> Result<(), ducat_api::client::ClientError> {
        self.runtime.block_on(async { open(&Client::connect(server.address()).await?).await })
    }

    /// Loads the server; `during` runs meanwhile and ends it or its disk. Returns when every
    /// client has noticed.
    pub fn load<T>(&mut self, server: Server, during: impl FnOnce(Server, &mut StdRng) -> T) -> T {
        let seed = self.dice.random();
        let guard = self.runtime.enter();
        let load = Load::start(server.address(), &self.history, seed);
        drop(guard);
        let result = during(server, &mut self.dice);
        self.runtime.block_on(load.ended());
        result
    }

    /// Loads the server until the clients are told to stop; it runs on.
    pub fn load_for(&mut self, server: &Server, time: Duration) {
        let seed = self.dice.random();
        let guard = self.runtime.enter();
        let load = Load::start(server.address(), &self.history, seed);
        drop(guard);
        self.history.await_answers(self.history.acknowledged() + LOAD_LEAST);
        std::thread::sleep(time);
        self.runtime.block_on(load.finish());
    }

    /// Takes a snapshot of a server.
    pub fn create_snapshot(
        &self,
        server: &Server,
    ) -> Result<ducat_api::proto::CreateSnapshotResponse, ducat_api::client::ClientError> {
        self.runtime
            .block_on(async { Client::connect(server.address()).await?.create_snapshot().await })
    }

    /// What a server says of itself.
    pub fn status(&self, server: &Server) -> ducat_api::proto::GetStatusResponse {
        let status = async { Client::connect(server.address()).await?.get_status(false).await };
        self.runtime.block_on(status).expect("the server answers")
    }

    /// Sends what was not answered once more.
    pub fn resend(&mut self, server: &Server) {
        let (durable, lost) = self
            .runtime
            .block_on(async {
                let client = Client::connect(server.address()).await?;
                resend_unanswered(&client, &self.history, self.checked).await
            })
            .expect("the server answers");
        self.durable_unanswered += durable;
        self.lost_unanswered += lost;
    }

    /// Compares the history with the server; panics with the faults, if there are any.
    pub fn check(&mut self, server: &Server, depth: Depth) {
        self.resend(server);
        let faults = self.faults(server, depth);
        if !faults.is_empty() {
            self.row.acknowledged += self.history.acknowledged();
            self.row.count(&faults);
        }
        assert!(faults.is_empty(), "faults:\n{}", listed(&faults));
    }

    /// Compares the history, all of which was answered, with the server.
    pub fn faults(&mut self, server: &Server, depth: Depth) -> Vec<Fault> {
        let calls = self.history.calls();
        let (asked, above): (Vec<usize>, u64) = match depth {
            Depth::All => {
                self.own.clear();
                ((0..calls.len()).collect(), 0)
            }
            Depth::New => {
                let mut asked: Vec<usize> = (self.checked..calls.len()).collect();
                let older =
                    (0..SAMPLE.min(self.checked)).map(|_| self.dice.random_range(0..self.checked));
                asked.extend(older);
                (asked, self.checked_lsn)
            }
        };
        let observed = self
            .runtime
            .block_on(async {
                let client = Client::connect(server.address()).await?;
                observe(&client, &calls, &asked, above, &self.own).await
            })
            .expect("the server answers");
        let faults = check(&specs(), &calls, &self.history.changes(), &observed);
        self.checked = calls.len();
        self.checked_lsn = observed.status.last_lsn;
        self.own = observed.own;
        faults
    }

    /// Waits until no hold is left that expires soon, so that nothing happens by itself any more.
    pub fn settle(&self, server: &Server) {
        let settled = async { settled(&Client::connect(server.address()).await?).await };
        self.runtime.block_on(settled).expect("the server answers");
    }

    /// Counts what this ledger has seen.
    fn count(&mut self) {
        self.row.acknowledged += self.history.acknowledged();
        let calls = self.history.calls();
        let of_holds = |call: &Call| {
            let answered = call.transfers.iter().take(call.outcomes.len());
            answered.filter(|transfer| transfer.operation > 0).count()
        };
        let expiries = self.own.iter().filter(|event| event.hold_expired.is_some()).count();
        let changes = self.history.changes();
        let counts = [
            calls.iter().map(of_holds).sum(),
            expiries,
            changes.iter().filter(|change| change.lsn.is_some()).count(),
        ];
        for (sum, count) in self.beside_transfers.iter_mut().zip(counts) {
            *sum += count;
        }
    }

    /// A pause of a random length up to `most_ms`.
    pub fn pause(dice: &mut StdRng, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(dice.random_range(0..=most_ms)));
    }

    /// Everything held: writes the row.
    pub fn finish(mut self) {
        self.count();
        let [operations, expiries, changes] = self.beside_transfers;
        if operations > 0 {
            self.row.note(format!(
                "{operations} operations on holds, {expiries} expiries, {changes} changes of accounts"
            ));
        }
        if self.durable_unanswered + self.lost_unanswered > 0 {
            let (durable, lost) = (self.durable_unanswered, self.lost_unanswered);
            self.row.note(format!("without an answer: {durable} durable, {lost} not"));
        }
        self.row.finish();
    }
}

/// Faults, one to a line.
pub fn listed(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A server that had to end by itself: with an exit code and a sentence.
pub fn assert_refused(ended: &Ended) {
    assert!(ended.refused(), "{ended:?}");
    assert!(!ended.stderr.trim().is_empty(), "it ended without a word: {ended:?}");
    assert!(!ended.stderr.contains("panicked at"), "it panicked: {ended:?}");
}
