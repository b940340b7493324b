//! Balances, statements and sums of past moments over a real connection, and reads in batches.

use crate::support::{BANK, Server, account, deposits, transfer, transfer_id};
use ducat_actors::handle::EngineOptions;
use ducat_api::proto::get_balance_at_request::At;
use ducat_api::proto::get_trial_balance_request::At as TrialAt;
use ducat_api::proto::{ListEntriesRequest, TransferRequest};
use ducat_api::server::ServerOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tonic::Code as Grpc;

/// Reads that take longer in all get no turn.
const STARVED: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn balances_of_past_moments_are_told_and_what_is_no_moment_is_refused() {
    let server = Server::start().await;
    server.open(3).await;
    let first = server.client.transfer(transfer(1, BANK, 2, 1234)).await.expect("answered");
    let second = server.client.transfer(transfer(2, 2, 3, 234)).await.expect("answered");
    let at = async |id, at| server.client.get_balance_at(account(id), at).await;
    let found = at(2, At::Lsn(first.lsn)).await.expect("known");
    assert_eq!((found.posted.as_str(), found.posted_minor.as_str()), ("12.34", "1234"));
    assert_eq!((found.currency.as_str(), found.digits), ("GBP", 2));
    assert_eq!((found.lsn, found.entry_lsn), (first.lsn, first.lsn));
    assert_eq!(at(2, At::TimeNs(first.time_ns)).await.expect("known").posted, "12.34");
    assert_eq!(at(2, At::TimeNs(u64::MAX)).await.expect("known").posted, "10.00");
    let before = at(2, At::Lsn(3)).await.expect("known");
    assert_eq!((before.posted.as_str(), before.entry_lsn), ("0.00", 0));
    for (id, moment, code, reason) in [
        (2, At::Lsn(1), Grpc::NotFound, "ACCOUNT_NOT_OPENED"),
        (2, At::TimeNs(1), Grpc::NotFound, "ACCOUNT_NOT_OPENED"),
        (99, At::Lsn(4), Grpc::NotFound, "ACCOUNT_UNKNOWN"),
        (2, At::Lsn(second.lsn + 1), Grpc::FailedPrecondition, "LSN_NOT_REACHED"),
    ] {
        let error = at(id, moment).await.expect_err(reason);
        assert_eq!((error.code(), error.reason()), (Some(code), Some(reason)), "{error:?}");
    }
    let made = server.client.get_trial_balance(Some(TrialAt::Lsn(first.lsn))).await.expect("made");
    let row = &made.rows[0];
    assert_eq!((made.lsn, made.accounts, row.currency.as_str()), (first.lsn, 3, "GBP"));
    assert_eq!((row.internal_credit.as_str(), row.external_debit.as_str()), ("12.34", "12.34"));
    assert_eq!((row.internal_debit.as_str(), row.external_credit.as_str()), ("0.00", "0.00"));
    assert_eq!((row.debit.as_str(), row.credit.as_str()), ("12.34", "12.34"));
    let now = server.client.get_trial_balance(None).await.expect("made");
    assert_eq!(now.lsn, second.lsn);
    let beyond = server.client.get_trial_balance(Some(TrialAt::Lsn(second.lsn + 1))).await;
    assert_eq!(beyond.expect_err("beyond").reason(), Some("LSN_NOT_REACHED"));
    let verified = server.client.verify_balances().await.expect("verified");
    assert!(verified.sound && verified.differences.is_empty(), "{verified:?}");
    assert_eq!((verified.lsn, verified.accounts), (second.lsn, 3));
    assert_eq!(verified.totals[0].internal, "12.34");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_have_bounds_and_an_order_and_cursors_belong_to_it() {
    let server = Server::start().await;
    server.open(3).await;
    let mut outcomes = Vec::new();
    for id in 1..=9 {
        outcomes.push(server.client.transfer(transfer(id, BANK, 2, id)).await.expect("answered"));
    }
    let plain = ListEntriesRequest { id: 2, page_size: 3, ..ListEntriesRequest::default() };
    let list = async |request: ListEntriesRequest| {
        let (mut request, mut amounts) = (request, Vec::new());
        loop {
            let page = server.client.list_entries_between(request.clone()).await?;
            amounts.extend(page.entries.iter().map(|entry| entry.amount.clone()));
            request.cursor = page.next_cursor;
            if request.cursor.is_empty() {
                return Ok::<_, ducat_api::client::ClientError>(amounts);
            }
        }
    };
    let (third, seventh) = (&outcomes[2], &outcomes[6]);
    let between = ListEntriesRequest { from_lsn: third.lsn, to_lsn: seventh.lsn, ..plain.clone() };
    let down = ["0.07", "0.06", "0.05", "0.04", "0.03"];
    assert_eq!(list(between.clone()).await.expect("known"), down);
    let up = ListEntriesRequest { oldest_first: true, ..between.clone() };
    assert_eq!(list(up.clone()).await.expect("known"), ["0.03", "0.04", "0.05", "0.06", "0.07"]);
    // Decision times never go back, and may be the same.
    let of_time = |outcome: &&ducat_api::proto::Outcome| {
        outcome.time_ns >= third.time_ns && outcome.time_ns <= seventh.time_ns
    };
    let by_time = ListEntriesRequest {
        from_time_ns: third.time_ns,
        to_time_ns: seventh.time_ns,
        ..plain.clone()
    };
    let expected = outcomes.iter().filter(of_time).count();
    assert_eq!(list(by_time.clone()).await.expect("known").len(), expected);
    let nothing = ListEntriesRequest { from_lsn: seventh.lsn, to_lsn: third.lsn, ..plain };
    assert_eq!(list(nothing).await.expect("known"), [""; 0]);
    let page = server.client.list_entries_between(up).await.expect("known");
    let other = ListEntriesRequest { cursor: page.next_cursor, ..between };
    let error = server.client.list_entries_between(other).await.expect_err("of another order");
    assert_eq!(error.reason(), Some("CURSOR_INVALID"));
    let twice = ListEntriesRequest { from_lsn: 1, ..by_time };
    let error = server.client.list_entries_between(twice).await.expect_err("two bounds");
    assert_eq!(error.reason(), Some("MOMENT_TWICE"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_many_ids_keep_their_bounds_and_tell_unknown_ones_apart() {
    let server = Server::start().await;
    server.open(100).await;
    server.client.create_transfers(deposits(1, 100)).await.expect("answered");
    let ids: Vec<_> = (1..=99).chain([777]).map(account).collect();
    let found = server.client.get_accounts(&ids).await.expect("a hundred");
    let known: Vec<_> = found.accounts.iter().map(|a| a.id).collect();
    assert_eq!(known, (1..=99).collect::<Vec<_>>());
    assert_eq!((found.unknown, found.lsn), (vec![account(777).into()], 200));
    let ids: Vec<_> = (2..=100).chain([777]).rev().map(transfer_id).collect();
    let found = server.client.get_transfers(&ids).await.expect("a hundred");
    let known: Vec<_> =
        found.transfers.iter().filter_map(|t| Some(t.transfer.as_ref()?.id)).collect();
    assert_eq!(known, (2..=100).rev().collect::<Vec<_>>(), "in the order asked");
    assert_eq!(found.unknown, [transfer_id(777).into()]);
    // The same id twice is answered twice.
    let twice = server.client.get_transfers(&[5, 5].map(transfer_id)).await.expect("two");
    assert_eq!(twice.transfers.len(), 2);
    for count in [0, 101] {
        let ids: Vec<_> = (1..=count).map(transfer_id).collect();
        let error = server.client.get_transfers(&ids).await.expect_err("out of bounds");
        assert_eq!(
            (error.code(), error.reason()),
            (Some(Grpc::InvalidArgument), Some("BATCH_SIZE"))
        );
        assert!(error.to_string().contains(&format!("1 to 100 items, not {count}")), "{error}");
    }
    for count in [0, 10_001] {
        let ids: Vec<_> = (1..=count).map(account).collect();
        let error = server.client.get_accounts(&ids).await.expect_err("out of bounds");
        assert_eq!(error.reason(), Some("BATCH_SIZE"), "{count}");
        assert!(error.to_string().contains(&format!("1 to 10000 items, not {count}")), "{error}");
    }
    server.stop().await;
}

/// Reads of every sort beside writers that go on until the last one was answered. That the engine
/// never keeps them until no transfer is left is shown by `actors/tests/reads.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_answered_beside_writers_that_never_end() {
    // So little room that some transfer always waits for it.
    let engine = EngineOptions { in_flight_max: 10_000, ..EngineOptions::default() };
    let server = Server::with(engine, ServerOptions::default()).await;
    server.open(3).await;
    server.client.create_transfers(deposits(1, 100)).await.expect("answered");
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 1..=3_u64 {
        let (mut sender, mut answers) = server.client.stream(16).await.expect("opens");
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        writers.spawn(async move {
            let mut first = writer << 40;
            while !stop.load(Ordering::Relaxed) {
                let batch: Vec<TransferRequest> = deposits(first, 300);
                first += 300;
                sender.send(batch).await.expect("open");
            }
        });
        writers.spawn(async move {
            while let Some(answer) = answers.next().await.expect("no error") {
                assert!(answer.result.expect("taken")[299].is_posted());
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let reads = async {
        // Under way, and full.
        while answered.load(Ordering::Relaxed) < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ids: Vec<_> = (1..=100).map(transfer_id).collect();
        let accounts = [1, 2, 3].map(account);
        for round in 0..8 {
            let found = server.client.get_transfers(&ids).await.expect("answered");
            assert_eq!((found.transfers.len(), found.unknown.len()), (100, 0), "{round}");
            let found = server.client.get_accounts(&accounts).await.expect("answered");
            assert_eq!(found.accounts.len(), 3, "{round}");
            let at = At::Lsn(103);
            let found = server.client.get_balance_at(account(2), at).await.expect("answered");
            assert_eq!(found.posted, "1.00", "{round}");
        }
    };
    tokio::time::timeout(STARVED, reads).await.expect("reads starve");
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.expect("no panic");
    }
    server.stop().await;
}
