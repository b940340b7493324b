//! The services over real sockets, with the real engine and the in-memory journal: what a
//! client sees, call by call.

mod accounts;
mod bounds;
mod driven;
mod dry_driven;
mod dry_run;
mod feed;
mod holds;
mod kinds;
mod known_mistakes;
mod overload;
mod past;
mod refunds;
mod reversals;
mod slow;
mod snapshots;
mod streams;
mod support;
mod terms;
mod watches;

use ducat_api::proto::{self, AccountStatus, Code, NewAccount};
use support::{BANK, Server, account, codes, transfer, transfer_id};
use tonic::Code as Grpc;

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_and_every_outcome_says_how() {
    let server = Server::start().await;
    server.open(3).await;
    let deposit = server.client.transfer(transfer(1, BANK, 2, 1000)).await.expect("answered");
    assert_eq!(deposit.code(), Code::Posted);
    assert!(deposit.lsn > 0 && deposit.time_ns > 0 && !deposit.repeat);
    assert_eq!(deposit.explanation, "");
    assert_eq!(deposit.debit.as_ref().map(|b| b.posted_minor), Some(-1000));
    let credit = deposit.credit.as_ref().expect("it exists");
    assert_eq!((credit.posted_minor, credit.available_minor, credit.held_minor), (1000, 1000, 0));

    let refused = server.client.transfer(transfer(2, 2, 3, 1200)).await.expect("answered");
    assert_eq!(refused.code(), Code::InsufficientFunds);
    assert_eq!(
        refused.explanation,
        "account 2 has 10.00 GBP available, 12.00 GBP needed (posted 10.00, overdraft limit less \
         what is on hold 0.00)"
    );
    assert!(refused.lsn > deposit.lsn);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_return_the_first_answer_and_other_content_is_refused() {
    let server = Server::start().await;
    server.open(3).await;
    let first = server.client.transfer(transfer(1, BANK, 2, 1000)).await.expect("answered");
    let again = server.client.transfer(transfer(1, BANK, 2, 1000)).await.expect("answered");
    assert_eq!(proto::Outcome { repeat: true, ..first.clone() }, again);
    let refused = server.client.transfer(transfer(2, 3, 2, 5)).await.expect("answered");
    let again = server.client.transfer(transfer(2, 3, 2, 5)).await.expect("answered");
    assert_eq!(proto::Outcome { repeat: true, ..refused }, again);
    let other = server.client.transfer(transfer(1, BANK, 2, 1001)).await.expect("answered");
    assert_eq!(other.code(), Code::IdReused);
    assert!(other.explanation.contains(&format!("LSN {}", first.lsn)), "{}", other.explanation);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_judged_in_order() {
    let server = Server::start().await;
    server.open(4).await;
    let outcomes = server
        .client
        .create_transfers(vec![
            transfer(1, BANK, 2, 100),
            transfer(2, 2, 3, 60),
            transfer(3, 2, 3, 60),
            transfer(4, 2, 2, 1),
            transfer(5, 2, 99, 1),
            transfer(6, 2, 3, 0),
        ])
        .await
        .expect("well-formed");
    assert_eq!(
        codes(&outcomes),
        [
            Code::Posted,
            Code::Posted,
            Code::InsufficientFunds,
            Code::SameAccount,
            Code::CreditAccountUnknown,
            Code::AmountZero
        ]
    );
    assert!(outcomes.windows(2).all(|pair| pair[0].lsn < pair[1].lsn));
    assert!(outcomes[2..].iter().all(|o| !o.explanation.is_empty()));
    assert_eq!(outcomes[4].credit, None);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn linked_transfers_happen_together_or_not_at_all() {
    let server = Server::start().await;
    server.open(4).await;
    let linked = |t: proto::TransferRequest| proto::TransferRequest { linked: true, ..t };
    let outcomes = server
        .client
        .create_transfers(vec![
            linked(transfer(1, BANK, 2, 100)),
            transfer(2, 2, 3, 500),
            linked(transfer(3, BANK, 2, 100)),
            transfer(4, 2, 3, 50),
        ])
        .await
        .expect("well-formed");
    assert_eq!(
        codes(&outcomes),
        [Code::LinkedFailed, Code::InsufficientFunds, Code::Posted, Code::Posted]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_name_their_fields_and_change_nothing() {
    let server = Server::start().await;
    server.open(3).await;
    let before = server.client.get_status(true).await.expect("answered");
    let mut batch = vec![transfer(1, BANK, 2, 1), transfer(2, BANK, 2, 0), transfer(3, 2, 3, 1)];
    batch[2].id = 0;
    batch[1].amount = "1.005".into();
    batch[1].currency = "GBP".into();
    let error = server.client.create_transfers(batch).await.expect_err("malformed");
    assert_eq!(error.code(), Some(Grpc::InvalidArgument));
    assert_eq!(error.reason(), Some("AMOUNT_TOO_MANY_DECIMALS"));
    let ducat_api::client::ClientError::Refused(refused) = error else { panic!("{error:?}") };
    let fields: Vec<_> = refused.violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["transfers[1].amount", "transfers[2].id"]);
    assert_eq!(refused.violations[1].reason, "TRANSFER_ID_ZERO");

    let nobody = proto::TransferRequest { debit_account: 0, ..transfer(4, 2, 3, 1) };
    let error = server.client.transfer(nobody).await.expect_err("malformed");
    assert_eq!(error.reason(), Some("ACCOUNT_ID_ZERO"));
    let error = server.client.create_transfers(Vec::new()).await.expect_err("empty");
    assert_eq!(error.reason(), Some("BATCH_SIZE"));
    let accounts = vec![NewAccount::new(account(9), "ZZZ", false)];
    let error = server.client.create_accounts(accounts).await.expect_err("malformed");
    assert_eq!(error.reason(), Some("CURRENCY_UNKNOWN"));
    let after = server.client.get_status(true).await.expect("answered");
    assert_eq!((before.last_lsn, before.state_hash), (after.last_lsn, after.state_hash));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_violations_still_fit_into_an_answer() {
    let server = Server::start().await;
    let batch = vec![proto::TransferRequest::default(); 10_000];
    let error = server.client.create_transfers(batch).await.expect_err("malformed");
    assert_eq!(error.code(), Some(Grpc::InvalidArgument), "{error:?}");
    assert!(error.to_string().contains("29999 more"), "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_opened_read_and_paged() {
    let server = Server::start().await;
    server.open(3).await;
    let again = vec![
        NewAccount::new(account(2), "GBP", false),
        NewAccount::new(account(3), "EUR", false),
        NewAccount {
            overdraft_limit: "500.00".into(),
            ..NewAccount::new(account(4), "GBP", false)
        },
    ];
    let results = server.client.create_accounts(again).await.expect("well-formed");
    let kinds: Vec<_> = results.iter().map(|r| r.code).collect();
    assert_eq!(kinds, [1, 2, 0]);
    assert!(results[0].lsn > 0 && results[1].lsn == 0 && !results[1].explanation.is_empty());

    let ids = [4, 99, 1].map(account);
    let found = server.client.get_accounts(&ids).await.expect("well-formed");
    let known: Vec<_> = found.accounts.iter().map(|a| a.id).collect();
    assert_eq!(known, [4, 1]);
    assert_eq!(found.unknown, [account(99).into()]);
    assert_eq!((found.accounts[0].available.as_str(), found.accounts[0].digits), ("500.00", 2));
    assert_eq!((found.accounts[1].available.as_str(), found.accounts[1].external), ("", true));

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.client.list_accounts(3, &cursor).await.expect("well-formed");
        seen.extend(page.accounts.iter().map(|a| a.id));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4]);
    let error = server.client.list_accounts(3, "nonsense").await.expect_err("malformed");
    assert_eq!(error.reason(), Some("CURSOR_INVALID"));
    let error = server.client.list_accounts(10_001, "").await.expect_err("too large");
    assert_eq!(error.reason(), Some("PAGE_SIZE"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_change_as_the_interface_says() {
    let server = Server::start().await;
    server.open(3).await;
    server.client.transfer(transfer(1, BANK, 2, 5)).await.expect("answered");
    let set = |id, status| server.client.set_account_status(account(id), status);
    assert_eq!(set(2, AccountStatus::Frozen).await.expect("known").status, 1);
    let refused = server.client.transfer(transfer(2, BANK, 2, 5)).await.expect("answered");
    assert_eq!(refused.code(), Code::CreditAccountFrozen);
    let error = set(2, AccountStatus::Closed).await.expect_err("not empty");
    assert_eq!(error.code(), Some(Grpc::FailedPrecondition));
    assert!(error.to_string().contains("account 2 is not empty"), "{error}");
    assert_eq!(set(3, AccountStatus::Closed).await.expect("empty").status, 2);
    let refused = server.client.transfer(transfer(3, BANK, 3, 5)).await.expect("answered");
    assert_eq!(refused.code(), Code::CreditAccountClosed);
    assert_eq!(set(3, AccountStatus::Active).await.expect("opened again").status, 0);
    let error = set(99, AccountStatus::Active).await.expect_err("unknown");
    assert_eq!(error.code(), Some(Grpc::NotFound));
    assert!(error.to_string().contains("the id 99"), "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_defined_once() {
    let server = Server::start().await;
    assert!(server.client.define_asset("POINTS", 0).await.expect("new").created);
    assert!(!server.client.define_asset("POINTS", 0).await.expect("same").created);
    let error = server.client.define_asset("POINTS", 2).await.expect_err("differs");
    assert_eq!(error.code(), Some(Grpc::AlreadyExists));
    for (code, digits) in [("GBP", 2), ("points", 0), ("WEI", 19)] {
        let error = server.client.define_asset(code, digits).await.expect_err(code);
        assert_eq!(error.code(), Some(Grpc::InvalidArgument), "{code}");
    }
    let error = server.client.define_asset(&"X".repeat(60_000), 2).await.expect_err("long");
    assert_eq!(error.reason(), Some("ASSET_CODE_MALFORMED"), "not repeated: {error:.200}");
    let accounts = vec![NewAccount::new(account(7), "POINTS", false)];
    let results = server.client.create_accounts(accounts).await.expect("known by now");
    assert_eq!(results[0].code, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_found_by_id() {
    let server = Server::start().await;
    server.open(3).await;
    let asked = transfer(1, BANK, 2, 1000);
    let posted = server.client.transfer(asked.clone()).await.expect("answered");
    let refused = server.client.transfer(transfer(2, 3, 2, 7)).await.expect("answered");
    let ids = [2, 77, 1].map(transfer_id);
    let found = server.client.get_transfers(&ids).await.expect("well-formed");
    assert_eq!(found.unknown, [transfer_id(77).into()]);
    let outcomes: Vec<_> = found.transfers.iter().filter_map(|t| t.outcome.clone()).collect();
    assert_eq!(outcomes[0], proto::Outcome { repeat: true, ..refused });
    assert_eq!(outcomes[1], proto::Outcome { repeat: true, ..posted });
    let with_currency = proto::TransferRequest { currency: "GBP".into(), ..asked };
    assert_eq!(found.transfers[1].transfer.as_ref(), Some(&with_currency));
    let many: Vec<_> = (1..=101).map(transfer_id).collect();
    let error = server.client.get_transfers(&many).await.expect_err("too many");
    assert_eq!(error.reason(), Some("BATCH_SIZE"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_newest_first_a_page_at_a_time() {
    let server = Server::start().await;
    server.open(3).await;
    let batch = (1..=7).map(|id| transfer(id, BANK, 2, id)).collect();
    server.client.create_transfers(batch).await.expect("well-formed");
    let mut amounts = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.client.list_entries(account(2), 3, &cursor).await.expect("known");
        assert_eq!(page.currency, "GBP");
        amounts.extend(page.entries.iter().map(|e| e.amount.clone()));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
        let error = server.client.list_entries(account(3), 3, &cursor).await.expect_err("foreign");
        assert_eq!(error.reason(), Some("CURSOR_INVALID"));
    }
    assert_eq!(amounts, ["0.07", "0.06", "0.05", "0.04", "0.03", "0.02", "0.01"]);
    let error = server.client.list_entries(account(99), 3, "").await.expect_err("unknown");
    assert_eq!(error.code(), Some(Grpc::NotFound));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_adds_up() {
    let server = Server::start().await;
    server.open(3).await;
    server.client.transfer(transfer(1, BANK, 2, 1234)).await.expect("answered");
    server.client.transfer(transfer(1, BANK, 2, 1234)).await.expect("answered");
    server.client.transfer(transfer(2, 3, 2, 1)).await.expect("answered");
    let status = server.client.get_status(true).await.expect("answered");
    assert_eq!((status.accounts, status.posted, status.refused, status.repeats), (3, 1, 1, 1));
    assert_eq!((status.version.as_str(), status.durability.as_str()), ("test", "none"));
    assert_eq!(status.durable_lsn, status.last_lsn);
    assert_eq!((status.state_hash.len(), status.state_lsn), (64, status.last_lsn));
    let total = &status.totals[0];
    assert_eq!(
        (total.currency.as_str(), total.internal.as_str(), total.external.as_str()),
        ("GBP", "12.34", "-12.34")
    );
    assert!(status.memory_bytes > 0 && status.uptime_ns > 0 && status.accounts_bytes > 0);
    assert_eq!(server.client.get_status(false).await.expect("answered").state_hash, "");
    server.stop().await;
}
