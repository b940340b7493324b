//! The feed of events over connections that break and servers that are killed: every event once,
//! in order, for as long as the stream lives.

use crate::network::Network;
use crate::process::Process;
use crate::support::{BANK, Server, account, deposits};
use ducat_api::client::{Client, ClientError, EventFilter, EventStream};
use ducat_api::proto::NewAccount;
use std::time::Duration;

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(120);

/// Reads up to and with the event `last`, each of which must come once.
async fn read_to(events: &mut EventStream, next: &mut u64, last: u64) {
    while *next <= last {
        let answer = tokio::time::timeout(HANG, events.next()).await.expect("it hangs");
        for event in answer.expect("it goes on").events {
            assert_eq!(event.lsn, *next);
            *next += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_goes_on_over_connections_that_break() {
    let server = Server::start().await;
    server.open(2).await;
    let network = Network::to(server.address).await;
    let client = Client::connect(&network.address).await.expect("listens");
    let mut events = client.subscribe(1, &EventFilter::default()).await.expect("a place");
    let (mut next, mut last) = (1, 2);
    for round in 0..10 {
        let outcomes = server.client.create_transfers(deposits(round * 3000 + 1, 3000)).await;
        last = outcomes.expect("answered").last().expect("some").lsn;
        // Part of it is read, the rest over another connection.
        read_to(&mut events, &mut next, last - 1500).await;
        network.cut();
    }
    read_to(&mut events, &mut next, last).await;
    assert!(events.resumed() > 0, "no connection was cut");
    assert_eq!((events.next_lsn(), last), (30_003, 30_002));
    drop(events);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_goes_on_over_a_killed_server_and_not_with_an_older_copy() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = Process::start(directory.path());
    let client = Client::connect(&process.address).await.expect("listens");
    let accounts = [BANK, 2].map(|id| NewAccount::new(account(id), "GBP", id == BANK));
    client.create_accounts(accounts.to_vec()).await.expect("well-formed");
    let mut events = client.subscribe(1, &EventFilter::default()).await.expect("a place");
    let mut next = 1;
    read_to(&mut events, &mut next, 2).await;
    process.kill();
    process.keep_copy();
    process.restart();
    let outcomes = loop {
        // The connection is made anew by the next call, and may still be the broken one.
        match client.create_transfers(deposits(1, 100)).await {
            Ok(outcomes) => break outcomes,
            Err(error) => assert!(error.is_retryable() || error.is_in_doubt(), "{error:?}"),
        }
    };
    read_to(&mut events, &mut next, outcomes[99].lsn).await;
    assert!(events.resumed() > 0);
    process.kill();
    process.take_copy();
    process.restart();
    let error = tokio::time::timeout(HANG, async {
        loop {
            match events.next().await {
                Ok(answer) => assert!(answer.events.is_empty(), "{answer:?}"),
                Err(error) => return error,
            }
        }
    });
    let error = error.await.expect("it ends");
    let ClientError::LedgerForgot { answered_lsn, durable_lsn } = error else {
        panic!("{error:?}")
    };
    assert_eq!((answered_lsn, durable_lsn), (102, 2));
}
