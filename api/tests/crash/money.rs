//! SIGKILL amid refunds, terms, kinds, notes and fees: what clients saw is kept as a history of the
//! checker, and held against the journal as each kill left it, by the rules of the checker. Nobody
//! else writes to the ledger, so no event may be without a request.
//!
//! ```text
//! clients ─ requests, answers ─▶ Seen ─▶ History ─┐
//! operator ─ schedules of fees                    ├─▶ ducat-checker ─▶ faults (none)
//! SIGKILL ─▶ copy of the data directory ─ journal ┘
//! ```

use crate::attack::{dice, say, tries};
use crate::damage::copy_dir;
use crate::ledger::{HOT, WORLD_GBP, account, open};
use crate::money_load::{Seen, load, operate};
use crate::server::{Launch, Server};
use crate::table::Row;
use ducat_api::client::{Client, ClientError};
use ducat_checker::history::{Call, Seen as SeenAccount};
use ducat_checker::{Options, Report, check_journal};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::money::Currencies;
use ducat_persistence::{DataDir, SledJournal, SledOptions};
use rand::RngExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Clients at a time.
const CLIENTS: u64 = 4;

/// Transfers that must be answered before a kill.
const LEAST: usize = 400;

#[test]
fn killed_amid_refunds_terms_and_fees_the_books_are_those_of_the_rules() {
    let runtime = Runtime::new().expect("a runtime");
    let mut dice = dice("SIGKILL amid refunds, terms and fees");
    let mut row = Row::new("SIGKILL amid refunds, terms, kinds and fees");
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let seen = Arc::new(Seen::default());
    for run in 0..tries("DUCAT_KILLS", 4) {
        let launch = Launch::with(&["--partitions", ["1", "2", "4"][run % 3]]);
        let server = launch.start(&data).expect("it starts");
        runtime.block_on(prepare(&server, &seen)).expect("the server answers");
        let most = seen.answered_so_far() + LEAST;
        let clients = runtime.block_on(start(&server, &seen, dice.random()));
        seen.await_answers(most);
        std::thread::sleep(Duration::from_millis(dice.random_range(0..300)));
        server.kill();
        runtime.block_on(ended(clients));
        // As it lies there, before the server mends anything.
        let copy = dir.path().join(format!("copy-{run}"));
        copy_dir(&data, &copy);
        let report = check(&seen, &copy, false);
        assert!(report.is_clean(), "run {run}: {report}");
        std::fs::remove_dir_all(&copy).expect("a directory of ours");
        row.runs += 1;
    }
    let server = Launch::default().start(&data).expect("it starts");
    runtime.block_on(prepare(&server, &seen)).expect("the server answers");
    runtime.block_on(read(&server, &seen)).expect("the server answers");
    server.terminate();
    assert_eq!(server.wait().status.code(), Some(0));
    let report = check(&seen, &data, true);
    assert!(report.is_clean(), "{report}");
    let counts = seen.counts();
    say(&format!("{report}; {counts}"));
    assert!(counts.all_happened(), "the load does too little: {counts}");
    row.acknowledged = usize::try_from(report.answered).expect("few");
    row.note(counts.to_string());
    row.finish();
}

/// Opens the accounts and sends once more what was not answered.
async fn prepare(server: &Server, seen: &Seen) -> Result<(), ClientError> {
    let client = Client::connect(server.address()).await?;
    open(&client).await?;
    seen.resend(&client).await
}

async fn start(server: &Server, seen: &Arc<Seen>, seed: u64) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (address, seen) = (server.address().to_owned(), Arc::clone(seen));
        clients.spawn(async move {
            // The server going away is what the test is about.
            let _gone = load(&address, &seen, seed.wrapping_add(number)).await;
        });
    }
    let address = server.address().to_owned();
    clients.spawn(async move {
        let _gone = operate(&address, seed).await;
    });
    clients
}

async fn ended(mut clients: JoinSet<()>) {
    let all = async { while clients.join_next().await.transpose().expect("no panic").is_some() {} };
    let in_time = tokio::time::timeout(Duration::from_secs(90), all).await;
    assert!(in_time.is_ok(), "a client waits for ever for an answer");
}

/// Reads the accounts, nobody writing any more.
async fn read(server: &Server, seen: &Seen) -> Result<(), ClientError> {
    let client = Client::connect(server.address()).await?;
    let lsn = Lsn(client.get_status(false).await?.last_lsn);
    let ids: Vec<_> = HOT.chain([WORLD_GBP]).map(account).collect();
    let sent_at = seen.now();
    let accounts = client.get_accounts(&ids).await?.accounts;
    let found = accounts.iter().map(|found| SeenAccount {
        account: account(found.id),
        posted: found.posted_minor.parse().expect("a number"),
        last_lsn: Lsn(found.last_lsn),
        more: None,
    });
    seen.note(sent_at, Call::Accounts { lsn, seen: found.collect(), unknown: Vec::new() });
    Ok(())
}

/// Holds what was seen against the journal in this directory.
fn check(seen: &Seen, data: &Path, all_answered: bool) -> Report {
    let dir = Arc::new(DataDir::open_existing(data).expect("a data directory"));
    let journal = SledJournal::open(dir, SledOptions::default()).expect("a journal");
    let history = seen.history();
    let options = Options { all_answered, hidden_retries: true, ..Options::default() };
    check_journal(&history, &journal, ShardId(0), options).expect("a readable journal")
}

/// The currencies of the tests.
pub fn currencies() -> Currencies {
    Currencies::new()
}
