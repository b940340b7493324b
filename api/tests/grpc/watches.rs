//! Watches: defined, listed, removed, and told by the event that makes them true.

use crate::support::{BANK, Server, account, transfer};
use ducat_api::client::EventFilter;
use ducat_api::proto::{self, EventKind, MovedAbove, watch_condition::When};
use tonic::Code as Grpc;

async fn triggers(server: &Server, filter: &EventFilter) -> Vec<(u64, proto::WatchTrigger)> {
    let mut events = server.client.subscribe(1, filter).await.expect("a feed");
    let mut found = Vec::new();
    loop {
        let answer = events.next().await.expect("answered");
        for event in answer.events {
            found.extend(event.triggered.into_iter().map(|trigger| (event.lsn, trigger)));
        }
        if answer.caught_up {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_told_by_the_event_that_makes_it_true() {
    let server = Server::start().await;
    server.open(3).await;
    let client = &server.client;
    let low = When::AvailableBelow("5.00".to_owned());
    let watch = client.add_watch(account(2), "low", low.clone()).await.expect("defined");
    assert!(watch.added_lsn > 0);
    assert_eq!(client.add_watch(account(2), "low", low).await.expect("the same"), watch);
    let moved = MovedAbove {
        flow: proto::Flow::Debits as i32,
        above: "9.99".to_owned(),
        window_ms: 366 * 24 * 3_600_000,
    };
    client.add_watch(account(2), "spent", When::Moved(moved)).await.expect("defined");
    client.transfer(transfer(1, BANK, 2, 1_500)).await.expect("answered");
    let first = client.transfer(transfer(2, 2, 3, 1_000)).await.expect("answered");
    let second = client.transfer(transfer(3, 2, 3, 1)).await.expect("answered");
    let all = triggers(&server, &EventFilter::default()).await;
    let kinds = vec![EventKind::WatchTriggered];
    let alone = triggers(&server, &EventFilter { kinds, ..EventFilter::default() }).await;
    assert_eq!(all, alone);
    let [spent, low] = &all[..] else { panic!("{all:?}") };
    assert_eq!((spent.0, &spent.1.name[..]), (first.lsn, "spent"));
    assert_eq!(spent.1.moved, "10.00");
    assert_eq!((low.0, &low.1.name[..]), (second.lsn, "low"));
    let figures = [&low.1.available_before, &low.1.available, &low.1.posted];
    assert_eq!(figures.map(String::as_str), ["5.00", "4.99", "4.99"]);
    assert_eq!((low.1.account, &low.1.currency[..]), (2, "GBP"));

    client.remove_watch(account(2), "low").await.expect("there");
    let names: Vec<String> =
        client.list_watches(account(2)).await.expect("known").into_iter().map(|w| w.name).collect();
    assert_eq!(names, ["spent"]);
    // What was told stays told.
    assert_eq!(triggers(&server, &EventFilter::default()).await, all);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused() {
    let server = Server::start().await;
    server.open(2).await;
    let client = &server.client;
    let below = |text: &str| When::PostedBelow(text.to_owned());
    client.add_watch(account(2), "low", below("-1.00")).await.expect("defined");
    let moved = |window_ms| When::Moved(MovedAbove { above: "1".into(), window_ms, flow: 0 });
    for (on, name, when, reason) in [
        (2, "low", below("1.00"), "WATCH_EXISTS"),
        (9, "low", below("1.00"), "ACCOUNT_UNKNOWN"),
        (2, "a b", below("1.00"), "WATCH_NAME_INVALID"),
        (2, "w", below("1.001"), "AMOUNT_TOO_MANY_DECIMALS"),
        (2, "w", moved(999), "WATCH_INVALID"),
    ] {
        let error = client.add_watch(account(on), name, when).await.expect_err("refused");
        assert_eq!(error.reason(), Some(reason), "{error:?}");
    }
    let error = client.remove_watch(account(2), "w").await.expect_err("refused");
    assert_eq!(error.reason(), Some("WATCH_UNKNOWN"));
    let mut raw = proto::ledger_client::LedgerClient::new(server.channel().await);
    let request = proto::AddWatchRequest { id: 2, name: "w".to_owned(), ..Default::default() };
    let status = raw.add_watch(request.clone()).await.expect_err("no condition");
    assert_eq!(status.code(), Grpc::InvalidArgument);
    let condition = Some(proto::WatchCondition { when: Some(below("1.00")) });
    let request = proto::AddWatchRequest { condition, dry_run: true, ..request };
    let answer = raw.add_watch(request).await.expect("answered").into_inner();
    assert!(answer.dry_run_lsn > 0 && answer.watch.is_some_and(|watch| watch.added_lsn == 0));
    assert_eq!(client.list_watches(account(2)).await.expect("known").len(), 1);
    server.stop().await;
}
