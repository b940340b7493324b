//! Broken connections and killed servers: every call gets one final answer, and the balances
//! are what the answers say, each counted once.

use crate::network::Network;
use crate::process::Process;
use crate::support::{BANK, Server, account, transfer};
use crate::{batching, patient};
use ducat_api::client::{BatchingClient, Client, ClientError};
use ducat_api::proto::{Code, NewAccount, Outcome};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Accounts 2 to this one take part.
const LAST: u64 = 20;

/// Callers at once.
const CALLERS: u64 = 200;

/// What the callers were answered: the outcome of each transfer by its id, with its amount
/// and accounts.
type Answered = HashMap<u64, (u64, u64, u64, Outcome)>;

/// Calls until told to stop, from many tasks, each with ids of its own.
fn callers(client: &BatchingClient, stop: &Arc<AtomicBool>) -> JoinSet<Answered> {
    let mut tasks = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, stop) = (client.clone(), Arc::clone(stop));
        tasks.spawn(async move {
            let mut answered = Answered::new();
            let mut id = (caller << 32) + 1;
            while !stop.load(Ordering::Relaxed) {
                // Some deposit, some pay each other what they may not have.
                let debit = if id % 4 == 0 { BANK } else { 2 + id % (LAST - 1) };
                let credit = 2 + (id + caller + 1) % (LAST - 1);
                let amount = 1 + id % 50;
                if debit != credit {
                    let call = transfer(id, debit, credit, amount);
                    let outcome = client.transfer(call).await.expect("answered in the end");
                    answered.insert(id, (debit, credit, amount, outcome));
                }
                id += 1;
            }
            answered
        });
    }
    tasks
}

/// Compares the ledger with the answers.
async fn check(client: &Client, answered: &Answered) {
    let mut expected: HashMap<u64, i64> = HashMap::new();
    for (debit, credit, amount, outcome) in answered.values() {
        assert!(matches!(outcome.code(), Code::Posted | Code::InsufficientFunds), "{outcome:?}");
        if outcome.is_posted() {
            let amount = i64::try_from(*amount).expect("small");
            *expected.entry(*debit).or_default() -= amount;
            *expected.entry(*credit).or_default() += amount;
        }
    }
    let ids: Vec<_> = (BANK..=LAST).map(account).collect();
    let found = client.get_accounts(&ids).await.expect("answered").accounts;
    for (id, found) in (BANK..=LAST).zip(found) {
        let expected = expected.get(&id).copied().unwrap_or_default();
        assert_eq!(found.posted_minor, expected.to_string(), "account {id}");
    }
    let mut lsns: Vec<_> = answered.values().map(|(.., outcome)| outcome.lsn).collect();
    lsns.sort_unstable();
    lsns.dedup();
    assert_eq!(lsns.len(), answered.len(), "each has a decision of its own");
}

async fn all_answers(tasks: JoinSet<Answered>) -> Answered {
    tasks.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_in_the_middle_double_nothing() {
    let server = Server::start().await;
    server.open(LAST).await;
    let network = Network::to(server.address).await;
    let client = batching(&network.address, patient()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = callers(&client, &stop);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Answers that were given and never arrive.
        network.hold(true);
        tokio::time::sleep(Duration::from_millis(20)).await;
        network.cut();
        network.hold(false);
    }
    stop.store(true, Ordering::Relaxed);
    let answered = all_answers(tasks).await;
    check(&server.client, &answered).await;
    let statistics = client.statistics();
    assert!(statistics.streams > 1 && statistics.transfers_put_back > 0, "{statistics:?}");
    assert!(answered.values().any(|(.., outcome)| outcome.repeat), "none was asked for again");
    client.close().await;
    let status = server.client.get_status(false).await.expect("answered");
    assert_eq!(status.posted + status.refused, answered.len() as u64);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_in_the_middle_of_messages_double_nothing() {
    let server = Server::start().await;
    server.open(LAST).await;
    let network = Network::to(server.address).await;
    let client = batching(&network.address, patient()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = callers(&client, &stop);
    // Some end before the first answer, some after many.
    for bytes in [3_000, 100_000, 1_111, 30_000, 7, 10_007, 50_000, 500] {
        network.reset_after(Some(bytes));
        network.cut();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    network.reset_after(None);
    stop.store(true, Ordering::Relaxed);
    let answered = all_answers(tasks).await;
    check(&server.client, &answered).await;
    assert!(client.statistics().streams > 1, "{:?}", client.statistics());
    client.close().await;
    server.stop().await;
}

/// Half open: the network has forgotten the connections, and only the reset that meets the next
/// packet after a while tells.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_forgotten_for_a_while_double_nothing() {
    let server = Server::start().await;
    server.open(LAST).await;
    let network = Network::to(server.address).await;
    let client = batching(&network.address, patient()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = callers(&client, &stop);
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        network.forget();
        tokio::time::sleep(Duration::from_millis(100)).await;
        network.cut();
    }
    stop.store(true, Ordering::Relaxed);
    let answered = all_answers(tasks).await;
    check(&server.client, &answered).await;
    client.close().await;
    server.stop().await;
}

/// Nobody ever tells: the client's own signs of life must. Takes about a minute of waiting, so only
/// with `DUCAT_HALF_OPEN` set.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_forgotten_for_ever_is_given_up() {
    if std::env::var_os("DUCAT_HALF_OPEN").is_none() {
        return;
    }
    let server = Server::start().await;
    server.open(LAST).await;
    let network = Network::to(server.address).await;
    let client = batching(&network.address, patient()).await;
    assert!(client.transfer(transfer(1, BANK, 2, 1)).await.expect("answered").is_posted());
    network.forget();
    let call = {
        let client = client.clone();
        tokio::spawn(async move { client.transfer(transfer(2, BANK, 2, 1)).await })
    };
    while client.statistics().messages < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let outcome = call.await.expect("no panic").expect("answered in the end");
    assert!(outcome.is_posted(), "{outcome:?}");
    assert!(client.statistics().streams > 1, "{:?}", client.statistics());
    let status = server.client.get_status(false).await.expect("answered");
    assert_eq!(status.posted, 2);
    client.close().await;
    server.stop().await;
}

/// The same transfers at the same moment from two clients: as a retry that overtakes the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_beside_its_first_sending_happens_once() {
    let server = Server::start().await;
    server.open(LAST).await;
    let address = server.address.to_string();
    let clients = [batching(&address, patient()).await, batching(&address, patient()).await];
    let mut tasks = JoinSet::new();
    for id in 1..=500 {
        for client in &clients {
            let client = client.clone();
            tasks.spawn(async move {
                client.transfer(transfer(id, BANK, 2, id)).await.expect("answered")
            });
        }
    }
    let mut outcomes: HashMap<u64, Vec<Outcome>> = HashMap::new();
    for outcome in tasks.join_all().await {
        outcomes.entry(outcome.id).or_default().push(outcome);
    }
    for (id, both) in &outcomes {
        assert_eq!(both.iter().filter(|one| !one.repeat).count(), 1, "{id}: {both:?}");
        let unmarked = |one: &Outcome| Outcome { repeat: false, ..one.clone() };
        assert_eq!(unmarked(&both[0]), unmarked(&both[1]));
    }
    let status = server.client.get_status(false).await.expect("answered");
    assert_eq!((outcomes.len(), status.posted), (500, 500));
    for client in clients {
        client.close().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_middle_doubles_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Process::start(directory.path());
    let plain = Client::connect(&server.address).await.expect("listens");
    let accounts = (BANK..=LAST).map(|id| NewAccount::new(account(id), "GBP", id == BANK));
    plain.create_accounts(accounts.collect()).await.expect("opened");
    let client = batching(&server.address, patient()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks = callers(&client, &stop);
    for killed in 1..=3 {
        // A new stream after every kill, however long that takes.
        while client.statistics().streams < killed {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        })
        .await
        .expect("no panic");
    }
    while client.statistics().streams < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let answered = all_answers(tasks).await;
    assert!(client.statistics().streams >= 4, "{:?}", client.statistics());
    client.close().await;
    let plain = Client::connect(&server.address).await.expect("listens");
    check(&plain, &answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ledger_in_the_place_of_the_first_is_sent_nothing() {
    let server = Server::start().await;
    server.open(2).await;
    let other = Server::start().await;
    other.open(2).await;
    let network = Network::to(server.address).await;
    let client = batching(&network.address, patient()).await;
    assert!(client.transfer(transfer(1, BANK, 2, 1)).await.expect("answered").is_posted());
    network.hold(true);
    let in_flight = {
        let client = client.clone();
        tokio::spawn(async move { client.transfer(transfer(2, BANK, 2, 1)).await })
    };
    while client.statistics().messages < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    network.lead_to(other.address);
    network.hold(false);
    let error = in_flight.await.expect("no panic").expect_err("its answer is lost");
    let ClientError::InDoubt(why) = &error else { panic!("{error:?}") };
    assert!(matches!(**why, ClientError::OtherLedger { .. }), "{why:?}");
    assert!(error.is_in_doubt());
    let error = client.transfer(transfer(3, BANK, 2, 1)).await.expect_err("no ledger of ours");
    assert!(matches!(error, ClientError::OtherLedger { .. }), "{error:?}");
    assert!(!error.is_in_doubt());
    let status = other.client.get_status(false).await.expect("answered");
    assert_eq!(status.posted + status.refused, 0);
    client.close().await;
    other.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_lost_what_it_answered_is_sent_nothing_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Process::start(directory.path());
    let plain = Client::connect(&server.address).await.expect("listens");
    let accounts = (BANK..=2).map(|id| NewAccount::new(account(id), "GBP", id == BANK));
    plain.create_accounts(accounts.collect()).await.expect("opened");
    server.kill();
    server.keep_copy();
    server.restart();
    let client = batching(&server.address, patient()).await;
    let answered = client.transfer(transfer(1, BANK, 2, 1)).await.expect("answered");
    assert!(answered.is_posted());
    server.kill();
    server.take_copy();
    server.restart();
    let error = client.transfer(transfer(2, BANK, 2, 1)).await.expect_err("an older ledger");
    let ClientError::LedgerForgot { answered_lsn, durable_lsn } = root(&error) else {
        panic!("{error:?}")
    };
    assert!(*answered_lsn == answered.lsn && durable_lsn < answered_lsn, "{error:?}");
    client.close().await;
    let plain = Client::connect(&server.address).await.expect("listens");
    assert_eq!(plain.get_status(false).await.expect("answered").posted, 0);
}

/// What is behind an error in doubt.
fn root(error: &ClientError) -> &ClientError {
    match error {
        ClientError::InDoubt(why) => why,
        other => other,
    }
}
