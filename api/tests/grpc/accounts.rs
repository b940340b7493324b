//! What is known of accounts over gRPC: opened with it, changed, found, and its history.

use crate::support::{BANK, Server, account, transfer};
use ducat_api::proto::{self, AccountKind, AccountStatus, Code, NewAccount, account_event::Event};
use std::collections::BTreeMap;
use tonic::Code as Grpc;

fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn owned(id: u64, owner: &str) -> NewAccount {
    NewAccount {
        kind: AccountKind::Liability as i32,
        owner: owner.to_owned(),
        label: format!("current {id}"),
        metadata: metadata(&[("branch", "7")]),
        ..NewAccount::new(account(id), "GBP", false)
    }
}

/// The ids of all pages of `size` that a filter finds.
async fn found(server: &Server, filter: proto::AccountFilter, size: u32) -> Vec<u64> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.client.find_accounts(Some(filter.clone()), size, &cursor).await;
        let page = page.expect("well-formed");
        found.extend(page.accounts.iter().map(|a| a.id));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_accounts_is_kept_found_and_changed() {
    let server = Server::start().await;
    server.open(2).await;
    let accounts = vec![owned(11, "anna"), owned(12, "ben"), owned(13, "anna")];
    let results = server.client.create_accounts(accounts.clone()).await.expect("well-formed");
    assert!(results.iter().all(|result| result.code == 0), "{results:?}");
    let shown = server.client.get_accounts(&[account(11)]).await.expect("well-formed");
    let shown = &shown.accounts[0];
    assert_eq!((shown.owner.as_str(), shown.label.as_str()), ("anna", "current 11"));
    assert_eq!(shown.kind(), AccountKind::Liability);
    assert_eq!(shown.normal_side(), proto::NormalSide::Credit);
    assert_eq!((shown.metadata["branch"].as_str(), shown.changed_lsn), ("7", 0));

    let request = proto::UpdateAccountRequest {
        id: 11,
        label: Some("savings".to_owned()),
        set_metadata: metadata(&[("tier", "gold")]),
        remove_metadata: vec!["branch".to_owned()],
        ..Default::default()
    };
    let changed = server.client.update_account(request.clone()).await.expect("well-formed");
    assert_eq!((changed.label.as_str(), changed.owner.as_str()), ("savings", "anna"));
    assert_eq!(changed.metadata, metadata(&[("tier", "gold")]));
    let again = server.client.update_account(request).await.expect("well-formed");
    assert_eq!(again.changed_lsn, changed.changed_lsn, "what changes nothing is no event");
    // Opening it again is still the same opening.
    let results = server.client.create_accounts(accounts).await.expect("well-formed");
    assert!(results.iter().all(|result| result.code == 1), "{results:?}");

    let none = proto::AccountFilter::default();
    let anna = proto::AccountFilter { owner: Some("anna".to_owned()), ..none.clone() };
    let branch = proto::AccountFilter { metadata: metadata(&[("branch", "7")]), ..none.clone() };
    let labelled = proto::AccountFilter { label_prefix: "current".to_owned(), ..none.clone() };
    let unkind = proto::AccountFilter { kind: Some(0), ..none.clone() };
    let outside = proto::AccountFilter { external: Some(true), ..none.clone() };
    let pounds = proto::AccountFilter { currency: "GBP".to_owned(), ..none.clone() };
    let euros = proto::AccountFilter { currency: "EUR".to_owned(), ..none.clone() };
    for size in [1, 2, 0] {
        assert_eq!(found(&server, anna.clone(), size).await, [11, 13]);
        assert_eq!(found(&server, branch.clone(), size).await, [12, 13]);
        assert_eq!(found(&server, labelled.clone(), size).await, [12, 13]);
        assert_eq!(found(&server, unkind.clone(), size).await, [1, 2]);
        assert_eq!(found(&server, outside.clone(), size).await, [1]);
        assert_eq!(found(&server, pounds.clone(), size).await, [1, 2, 11, 12, 13]);
        assert!(found(&server, euros.clone(), size).await.is_empty());
        assert_eq!(found(&server, none.clone(), size).await, [1, 2, 11, 12, 13]);
    }
    let page = server.client.find_accounts(Some(anna), 1, "").await.expect("well-formed");
    let error = server.client.find_accounts(Some(branch), 1, &page.next_cursor).await;
    let error = error.expect_err("a cursor of another filter");
    assert_eq!(error.reason(), Some("CURSOR_INVALID"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_have_reasons_and_a_history() {
    let server = Server::start().await;
    server.open(2).await;
    server.client.transfer(transfer(1, BANK, 2, 5)).await.expect("answered");
    let set = |status, why| server.client.set_account_status_for(account(2), status, why);
    let blocked = set(AccountStatus::DebitsBlocked, "asked for").await.expect("allowed");
    assert_eq!(blocked.status(), AccountStatus::DebitsBlocked);
    assert_eq!(blocked.status_reason, "asked for");
    assert_eq!(blocked.status_lsn, blocked.changed_lsn);
    let refused = server.client.transfer(transfer(2, 2, BANK, 1)).await.expect("answered");
    assert_eq!(refused.code(), Code::DebitAccountBlocked);
    assert_eq!(refused.explanation, "debits of account 2 are blocked");
    server.client.transfer(transfer(3, BANK, 2, 5)).await.expect("answered");
    set(AccountStatus::CreditsBlocked, "").await.expect("allowed");
    let refused = server.client.transfer(transfer(4, BANK, 2, 1)).await.expect("answered");
    assert_eq!(refused.code(), Code::CreditAccountBlocked);
    assert_eq!(refused.explanation, "credits of account 2 are blocked");
    // The refusal stands, whatever the account is now.
    set(AccountStatus::Active, "settled").await.expect("allowed");
    let again = server.client.transfer(transfer(4, BANK, 2, 1)).await.expect("answered");
    assert_eq!((again.code(), again.repeat), (Code::CreditAccountBlocked, true));
    let request =
        proto::UpdateAccountRequest { id: 2, owner: Some("anna".to_owned()), ..Default::default() };
    server.client.update_account(request).await.expect("well-formed");

    for size in [1, 3, 0] {
        let mut events = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.client.list_account_history(account(2), size, &cursor).await;
            let page = page.expect("well-formed");
            events.extend(page.events);
            cursor = page.next_cursor;
            if cursor.is_empty() {
                break;
            }
        }
        assert!(events.windows(2).all(|two| two[0].lsn > two[1].lsn && two[1].time_ns > 0));
        let events: Vec<_> = events.into_iter().filter_map(|event| event.event).collect();
        let [profile, active, credits, debits, opened] = &events[..] else { panic!("{events:?}") };
        let Event::Profile(profile) = profile else { panic!("{profile:?}") };
        assert_eq!((profile.owner.as_deref(), &profile.label), (Some("anna"), &None));
        let expected = [
            (active, AccountStatus::Active, "settled"),
            (credits, AccountStatus::CreditsBlocked, ""),
            (debits, AccountStatus::DebitsBlocked, "asked for"),
        ];
        for (event, status, reason) in expected {
            let change = proto::StatusChange { status: status as i32, reason: reason.to_owned() };
            assert_eq!(*event, Event::Status(change));
        }
        let Event::Opened(opened) = opened else { panic!("{opened:?}") };
        assert_eq!((opened.id, opened.currency.as_str(), opened.owner.as_str()), (2, "GBP", ""));
    }
    let error = server.client.list_account_history(account(9), 0, "").await.expect_err("unknown");
    assert_eq!(error.code(), Some(Grpc::NotFound));
    let error = server.client.list_account_history(account(2), 1_001, "").await;
    assert_eq!(error.expect_err("too many").reason(), Some("PAGE_SIZE"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_and_refusals_name_them() {
    let server = Server::start().await;
    server.open(3).await;
    let bounded = NewAccount {
        overdraft_limit: "5.00".to_owned(),
        floor: "-1.00".to_owned(),
        ceiling: "20.00".to_owned(),
        ..NewAccount::new(account(11), "GBP", false)
    };
    let results = server.client.create_accounts(vec![bounded]).await.expect("well-formed");
    assert_eq!(results[0].code, 0);
    let ask = |id, from, to, minor| server.client.transfer(transfer(id, from, to, minor));
    let refused = ask(1, BANK, 11, 2_001).await.expect("answered");
    assert_eq!(refused.code(), Code::CreditAccountCeiling);
    assert_eq!(
        refused.explanation,
        "20.01 GBP more would take account 11, which holds 0.00 GBP, above its ceiling"
    );
    let refused = ask(2, 11, BANK, 101).await.expect("answered");
    assert_eq!(refused.code(), Code::DebitAccountFloor);
    assert_eq!(
        refused.explanation,
        "taking 1.01 GBP would leave account 11, which holds 0.00 GBP, with less than its floor"
    );
    assert!(ask(3, 11, BANK, 100).await.expect("answered").is_posted());
    let set = |change: &dyn Fn(&mut proto::SetAccountLimitsRequest)| {
        let mut request = proto::SetAccountLimitsRequest { id: 11, ..Default::default() };
        change(&mut request);
        server.client.set_account_limits(request)
    };
    let text = |text: &str| Some(text.to_owned());
    for (answer, code, reason) in [
        (set(&|r| r.id = 99).await, Grpc::NotFound, "ACCOUNT_UNKNOWN"),
        (set(&|r| r.floor = text("0.99x")).await, Grpc::InvalidArgument, "AMOUNT_MALFORMED"),
        (set(&|r| r.floor = text("0")).await, Grpc::FailedPrecondition, "BALANCE_OUTSIDE_LIMITS"),
        (
            set(&|r| r.overdraft_limit = text("0.50")).await,
            Grpc::FailedPrecondition,
            "LIMITS_CONTRADICT",
        ),
        (
            set(&|r| (r.id, r.ceiling) = (BANK, text("1"))).await,
            Grpc::FailedPrecondition,
            "EXTERNAL_WITH_LIMITS",
        ),
    ] {
        let error = answer.expect_err(reason);
        assert_eq!((error.code(), error.reason()), (Some(code), Some(reason)));
    }
    let changed = set(&|r| {
        (r.overdraft_limit, r.floor, r.ceiling) = (text("7.00"), text(""), text(""));
    });
    let changed = changed.await.expect("allowed");
    assert_eq!((changed.overdraft_limit.as_str(), changed.available.as_str()), ("7.00", "6.00"));
    assert_eq!((changed.floor.as_str(), changed.ceiling.as_str()), ("", ""));
    assert!(ask(4, 11, BANK, 600).await.expect("answered").is_posted());
    let again = ask(2, 11, BANK, 101).await.expect("answered");
    assert_eq!((again.code(), again.repeat), (Code::DebitAccountFloor, true));
    let page = server.client.list_account_history(account(11), 0, "").await.expect("known");
    let Some(Event::Limits(limits)) = &page.events[0].event else { panic!("{page:?}") };
    assert_eq!((limits.overdraft_limit.as_str(), limits.floor.as_str()), ("7.00", ""));
    let Some(Event::Opened(opened)) = &page.events[1].event else { panic!("{page:?}") };
    assert_eq!((opened.floor.as_str(), opened.ceiling.as_str()), ("-1.00", "20.00"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_or_too_much_changes_nothing() {
    let server = Server::start().await;
    server.open(2).await;
    let before = server.client.get_status(true).await.expect("answers").state_hash;
    let update = |change: &dyn Fn(&mut proto::UpdateAccountRequest)| {
        let mut request = proto::UpdateAccountRequest { id: 2, ..Default::default() };
        change(&mut request);
        server.client.update_account(request)
    };
    let keys = |from: usize, many: usize| {
        (from..from + many).map(|n| (format!("k{n}"), String::new())).collect::<BTreeMap<_, _>>()
    };
    for (answer, code, reason) in [
        (update(&|r| r.id = 0).await, Grpc::InvalidArgument, "ACCOUNT_ID_ZERO"),
        (update(&|r| r.id = 9).await, Grpc::NotFound, "ACCOUNT_UNKNOWN"),
        (update(&|r| r.kind = Some(7)).await, Grpc::InvalidArgument, "KIND_UNKNOWN"),
        (
            update(&|r| r.set_metadata = keys(0, 33)).await,
            Grpc::InvalidArgument,
            "METADATA_TOO_MANY_KEYS",
        ),
    ] {
        let error = answer.expect_err(reason);
        assert_eq!((error.code(), error.reason()), (Some(code), Some(reason)));
    }
    let error = server
        .client
        .set_account_status_for(account(2), AccountStatus::Frozen, &"x".repeat(513))
        .await
        .expect_err("too long");
    assert_eq!(error.reason(), Some("REASON_MALFORMED"));
    assert_eq!(server.client.get_status(true).await.expect("answers").state_hash, before);
    update(&|r| r.set_metadata = keys(0, 20)).await.expect("fits");
    let then = server.client.get_status(true).await.expect("answers").state_hash;
    let error = update(&|r| r.set_metadata = keys(20, 13)).await.expect_err("one too many");
    assert_eq!(error.code(), Some(Grpc::FailedPrecondition));
    assert_eq!(error.reason(), Some("METADATA_TOO_MANY_KEYS"));
    assert_eq!(server.client.get_status(true).await.expect("answers").state_hash, then);
    assert_ne!(then, before);
    server.stop().await;
}

/// Accounts with texts that together are larger than any answer are read in parts.
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_long_texts_are_refused_or_cut() {
    let server = Server::start().await;
    let account_of = |id| NewAccount {
        metadata: metadata(&[("text", &"x".repeat(4_000))]),
        ..owned(id, "anna")
    };
    const MANY: u64 = 2_200;
    for ids in (1..=MANY).collect::<Vec<_>>().chunks(400) {
        let accounts = ids.iter().map(|id| account_of(*id)).collect();
        server.client.create_accounts(accounts).await.expect("well-formed");
    }
    let ids: Vec<_> = (1..=MANY).map(account).collect();
    let error = server.client.get_accounts(&ids).await.expect_err("too large");
    assert_eq!((error.code(), error.reason()), (Some(Grpc::OutOfRange), Some("ANSWER_TOO_LARGE")));
    let part = server.client.get_accounts(&ids[..1_000]).await.expect("fits");
    assert_eq!(part.accounts.len(), 1_000);
    let all = found(&server, proto::AccountFilter::default(), 10_000).await;
    assert_eq!(all.len(), MANY as usize);
    server.stop().await;
}
