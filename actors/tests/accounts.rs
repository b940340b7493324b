//! What is known of accounts on the handle: opened with it, changed, found page by page, read
//! back as history, and all of it the same after a restart.

mod support;

use ducat_actors::handle::{ACCOUNTS_PAGE_MAX, Handle, HistoryEvent, RequestError};
use ducat_actors::owners::OwnersSeen;
use ducat_engine::account_event::{Change, Opening};
use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::limits::{Bounds, Limits, LimitsChange};
use ducat_engine::profile::{AccountKind, Filter, Profile, ProfileChange, TextFault};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountSpec, AccountStatus, AccountView, Outcome,
};
use std::sync::Arc;
use support::{BANK, GBP, account, journal, open, start, submit, transfer};

fn spec(id: u128) -> AccountSpec {
    AccountSpec { id: account(id), currency: GBP, overdraft_limit: 0, external: false }
}

fn owned(id: u128, owner: &str) -> Opening {
    let profile = Profile {
        kind: Some(AccountKind::Liability),
        owner: owner.to_owned(),
        metadata: [("parity".to_owned(), (id % 2).to_string())].into(),
        ..Profile::default()
    };
    Opening { profile, ..Opening::from(spec(id)) }
}

fn label(label: &str) -> ProfileChange {
    ProfileChange { label: Some(label.to_owned()), ..ProfileChange::default() }
}

async fn set(handle: &Handle, id: u128, status: AccountStatus, why: &str) -> AccountView {
    let set = handle.set_status(account(id), status, why.to_owned()).await.expect("up");
    set.expect("allowed").view
}

/// All that a filter finds, in pages of `limit`, none of them empty but the last.
async fn found(handle: &Handle, filter: &Filter, limit: usize) -> Vec<AccountId> {
    let mut found = Vec::new();
    let mut from = Some(Slot(0));
    while let Some(slot) = from {
        let page = handle.list_accounts(filter.clone(), slot, limit).await.expect("up");
        assert!(page.accounts.len() <= limit);
        assert!(page.next.is_none() || !page.accounts.is_empty(), "an empty page is the last");
        found.extend(page.accounts.iter().map(|shown| shown.view.spec.id));
        from = page.next;
    }
    found
}

async fn history(handle: &Handle, id: u128, limit: usize) -> Vec<(Lsn, HistoryEvent)> {
    let mut all = Vec::new();
    let mut from = None;
    loop {
        let page = handle.history(account(id), from, limit).await.expect("up").expect("known");
        assert!(page.entries.len() <= limit);
        all.extend(page.entries.into_iter().map(|entry| (entry.lsn, entry.event)));
        from = page.next;
        if from.is_none() {
            return all;
        }
    }
}

fn status_of(event: &HistoryEvent) -> Option<(AccountStatus, &str)> {
    match event {
        HistoryEvent::Changed(Change::Status { status, reason }) => Some((*status, reason)),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_hold_with_their_reasons_and_a_closed_account_is_opened_again() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 4).await;
    submit(&handle, vec![transfer(1, BANK, 2, 10)]).await;
    set(&handle, 2, AccountStatus::DebitsBlocked, "asked for").await;
    let outcomes = submit(&handle, vec![transfer(2, 2, 3, 1), transfer(3, BANK, 2, 5)]).await;
    assert_eq!(outcomes[0].rejection, Some(Rejection::DebitAccountBlocked));
    assert_eq!(outcomes[1].rejection, None);
    set(&handle, 2, AccountStatus::CreditsBlocked, "fraud").await;
    let outcomes = submit(&handle, vec![transfer(4, 2, 3, 15), transfer(5, BANK, 2, 1)]).await;
    assert_eq!(outcomes[0].rejection, None);
    assert_eq!(outcomes[1].rejection, Some(Rejection::CreditAccountBlocked));
    // The same again is no event, with another reason it is one, without one it is not.
    let last = handle.status().last_lsn;
    set(&handle, 2, AccountStatus::CreditsBlocked, "fraud").await;
    set(&handle, 2, AccountStatus::CreditsBlocked, "").await;
    assert_eq!(handle.status().last_lsn, last);
    set(&handle, 2, AccountStatus::CreditsBlocked, "fraud, case 8").await;
    assert_eq!(handle.status().last_lsn, last.next());
    set(&handle, 2, AccountStatus::Closed, "").await;
    let outcomes = submit(&handle, vec![transfer(6, BANK, 2, 1)]).await;
    assert_eq!(outcomes[0].rejection, Some(Rejection::CreditAccountClosed));
    set(&handle, 2, AccountStatus::Active, "a mistake").await;
    let outcomes = submit(&handle, vec![transfer(7, BANK, 2, 1)]).await;
    assert_eq!(outcomes[0].rejection, None);
    let close = |why: &str| handle.set_status(account(2), AccountStatus::Closed, why.to_owned());
    assert_eq!(close("").await.expect("up"), Err(AccountRejection::NotEmpty));
    submit(&handle, vec![transfer(8, 2, 3, 1)]).await;
    let long = "x".repeat(513);
    let refused = close(&long).await.expect("up");
    assert_eq!(refused, Err(AccountRejection::Text(TextFault::Reason)));

    let expected = [
        (AccountStatus::Active, "a mistake"),
        (AccountStatus::Closed, ""),
        (AccountStatus::CreditsBlocked, "fraud, case 8"),
        (AccountStatus::CreditsBlocked, "fraud"),
        (AccountStatus::DebitsBlocked, "asked for"),
    ];
    for limit in [1, 2, 100] {
        let history = history(&handle, 2, limit).await;
        let statuses: Vec<_> = history.iter().filter_map(|(_, event)| status_of(event)).collect();
        assert_eq!(statuses, expected);
        let (lsn, opened) = &history[5];
        assert_eq!(*opened, HistoryEvent::Opened(Opening::from(spec(2))));
        assert_eq!((*lsn, history.len()), (Lsn(2), 6));
    }
    let foreign = handle.history(account(2), Some(Lsn(3)), 10).await;
    assert_eq!(foreign, Err(RequestError::BadCursor(Lsn(3))), "account 3 was opened there");
    assert_eq!(handle.history(account(99), None, 10).await, Ok(None));
    let at = handle.accounts(vec![account(2)]).await.expect("up");
    let shown = at.accounts[0].clone().expect("known");
    let note = shown.details.as_ref().and_then(|details| details.note.clone()).expect("given");
    assert_eq!((shown.view.status, note.reason.as_str()), (AccountStatus::Active, "a mistake"));
    let hash = handle.summary().await.expect("up").hash;
    engine.shutdown().await.expect("drains");
    let engine = start(&Arc::new(journal.reopen()), 4).await;
    assert_eq!(engine.handle().summary().await.expect("up").hash, hash);
    let again = engine.handle().accounts(vec![account(2)]).await.expect("up");
    assert_eq!(again.accounts[0].as_ref(), Some(&shown));
    assert_eq!(history(&engine.handle(), 2, 3).await.len(), 6);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_found_by_what_is_known_of_them() {
    let journal = journal();
    let engine = start(&journal, 4).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    let openings = (10..60).map(|id| owned(id, if id % 5 == 0 { "anna" } else { "ben" }));
    let openings: Vec<Opening> = openings.collect();
    let outcomes = handle.open_accounts(openings.clone()).await.expect("up");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, AccountOutcome::Opened(_))));
    // Again the same, and with another owner, and without one.
    let again = vec![openings[0].clone(), owned(10, "eve"), Opening::from(spec(10))];
    let outcomes = handle.open_accounts(again).await.expect("up");
    assert!(matches!(outcomes[0], AccountOutcome::Exists(_)));
    let different = AccountOutcome::Refused(AccountRejection::ExistsDifferent);
    assert_eq!(outcomes[1..], [different, different]);

    for id in [10, 20] {
        handle.change_profile(account(id), label("savings 1")).await.expect("up").expect("fits");
    }
    set(&handle, 20, AccountStatus::Frozen, "").await;
    set(&handle, 3, AccountStatus::Frozen, "").await;
    let ids = |ids: &[u128]| ids.iter().map(|id| account(*id)).collect::<Vec<_>>();
    let anna = Filter { owner: Some("anna".to_owned()), ..Filter::default() };
    let annas: Vec<u128> = (10..60).step_by(5).collect();
    let savings = Filter { label_prefix: "sav".to_owned(), ..Filter::default() };
    let frozen = Filter { status: Some(AccountStatus::Frozen), ..Filter::default() };
    let odd = Filter { metadata: [("parity".to_owned(), "1".to_owned())].into(), ..anna.clone() };
    let nobody = Filter { owner: Some(String::new()), ..Filter::default() };
    let asset = Filter { kind: Some(Some(AccountKind::Asset)), ..Filter::default() };
    for limit in [1, 3, 10_000] {
        assert_eq!(found(&handle, &Filter::default(), limit).await.len(), 53);
        assert_eq!(found(&handle, &anna, limit).await, ids(&annas));
        assert_eq!(found(&handle, &savings, limit).await, ids(&[10, 20]));
        assert_eq!(found(&handle, &frozen, limit).await, ids(&[3, 20]));
        assert_eq!(found(&handle, &odd, limit).await, ids(&[15, 25, 35, 45, 55]));
        assert_eq!(found(&handle, &nobody, limit).await, ids(&[1, 2, 3]));
        assert_eq!(found(&handle, &asset, limit).await, ids(&[]));
        let outside = Filter { external: Some(true), ..Filter::default() };
        assert_eq!(found(&handle, &outside, limit).await, ids(&[BANK]));
        let both = Filter { status: Some(AccountStatus::Frozen), ..anna.clone() };
        assert_eq!(found(&handle, &both, limit).await, ids(&[20]));
    }
    // More than an account may have, together with what it has: nothing changes.
    let keys = (0..32).map(|n| (format!("k{n}"), String::new())).collect();
    let many = ProfileChange { set: keys, ..ProfileChange::default() };
    let before = handle.status().last_lsn;
    let refused = handle.change_profile(account(10), many).await.expect("up");
    assert_eq!(refused, Err(AccountRejection::Text(TextFault::Keys)));
    let unknown = handle.change_profile(account(99), label("x")).await.expect("up");
    assert_eq!(unknown, Err(AccountRejection::Unknown));
    handle.change_profile(account(10), label("savings 1")).await.expect("up").expect("fits");
    assert_eq!(handle.status().last_lsn, before);
    engine.shutdown().await.expect("drains");
}

/// Limits apply from their event on, and what was decided before stands.
#[tokio::test(flavor = "multi_thread")]
async fn limits_change_and_bound_what_follows() {
    let journal = journal();
    let engine = start(&journal, 4).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    let bounds = Bounds { floor: None, ceiling: Some(50) };
    let bounded = Opening { bounds, ..Opening::from(spec(4)) };
    let floor = Bounds { floor: Some(1), ceiling: None };
    let impossible = Opening { bounds: floor, ..Opening::from(spec(5)) };
    let outcomes = handle.open_accounts(vec![bounded.clone(), impossible]).await.expect("up");
    assert!(matches!(outcomes[0], AccountOutcome::Opened(_)));
    let outside = AccountOutcome::Refused(AccountRejection::BalanceOutside);
    assert_eq!(outcomes[1], outside, "a new account holds nothing");
    submit(&handle, vec![transfer(1, BANK, 2, 100), transfer(2, BANK, 4, 50)]).await;
    let over = submit(&handle, vec![transfer(3, BANK, 4, 1), transfer(4, 2, 3, 200)]).await;
    assert_eq!(over[0].rejection, Some(Rejection::CreditAccountCeiling));
    assert_eq!(over[1].rejection, Some(Rejection::InsufficientFunds));

    let set = |id, change| handle.change_limits(account(id), change);
    let overdraft = |limit| LimitsChange { overdraft_limit: Some(limit), ..Default::default() };
    let floor = |floor| LimitsChange { floor: Some(floor), ..Default::default() };
    let shown = set(2, overdraft(100)).await.expect("up").expect("allowed");
    assert_eq!((shown.view.spec.overdraft_limit, shown.view.available), (100, 200));
    let moved = submit(&handle, vec![transfer(5, 2, 3, 160), transfer(4, 2, 3, 200)]).await;
    assert_eq!((moved[0].rejection, moved[0].debit.map(|d| d.posted)), (None, Some(-60)));
    assert_eq!(moved[1], Outcome { repeat: true, ..over[1] }, "the first answer stands");
    let outside = Err(AccountRejection::BalanceOutside);
    assert_eq!(set(2, overdraft(59)).await.expect("up"), outside, "it is lower already");
    assert_eq!(set(2, floor(Some(-59))).await.expect("up"), outside);
    let contradict = Err(AccountRejection::LimitsContradict);
    assert_eq!(set(2, floor(Some(-101))).await.expect("up"), contradict);
    let unbounded = Err(AccountRejection::ExternalWithBounds);
    assert_eq!(set(BANK, floor(Some(0))).await.expect("up"), unbounded);
    assert_eq!(set(99, floor(None)).await.expect("up"), Err(AccountRejection::Unknown));
    let before = handle.status().last_lsn;
    set(2, overdraft(100)).await.expect("up").expect("it is so");
    assert_eq!(handle.status().last_lsn, before, "what changes nothing is no event");
    set(2, floor(Some(-80))).await.expect("up").expect("allowed");
    let refused = submit(&handle, vec![transfer(6, 2, 3, 21), transfer(7, 2, 3, 20)]).await;
    assert_eq!(refused[0].rejection, Some(Rejection::DebitAccountFloor));
    assert_eq!(refused[1].rejection, None);

    // Opened before with the same content, whatever its limits are now.
    let again = vec![bounded, Opening::from(spec(2)), Opening::from(spec(4))];
    let outcomes = handle.open_accounts(again).await.expect("up");
    assert!(matches!(outcomes[..2], [AccountOutcome::Exists(_), AccountOutcome::Exists(_)]));
    assert_eq!(outcomes[2], AccountOutcome::Refused(AccountRejection::ExistsDifferent));
    let limits: Vec<_> = history(&handle, 2, 2).await.into_iter().map(|(_, event)| event).collect();
    let limit = |floor| Limits { overdraft_limit: 100, bounds: Bounds { floor, ceiling: None } };
    let changed = |floor| HistoryEvent::Changed(Change::Limits(limit(floor)));
    let opened = HistoryEvent::Opened(Opening::from(spec(2)));
    assert_eq!(limits, [changed(Some(-80)), changed(None), opened]);
    let hash = handle.summary().await.expect("up").hash;
    engine.shutdown().await.expect("drains");
    let engine = start(&Arc::new(journal.reopen()), 1).await;
    assert_eq!(engine.handle().summary().await.expect("up").hash, hash);
    let refused = submit(&engine.handle(), vec![transfer(8, 2, 3, 1)]).await;
    assert_eq!(refused[0].rejection, Some(Rejection::DebitAccountFloor));
    engine.shutdown().await.expect("drains");
}

/// A page that would be larger than an answer may be ends early, and the next goes on.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_long_texts_are_cut() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    let opening = |id| {
        let mut opening = owned(id, "anna");
        opening.profile.metadata.insert("text".to_owned(), "x".repeat(4_050));
        opening.profile.label = "y".repeat(256);
        opening
    };
    const MANY: u128 = ACCOUNTS_PAGE_MAX as u128;
    for ids in (1..=MANY).collect::<Vec<_>>().chunks(500) {
        let openings = ids.iter().map(|id| opening(*id)).collect();
        handle.open_accounts(openings).await.expect("up");
    }
    for filter in
        [Filter::default(), Filter { owner: Some("anna".to_owned()), ..Filter::default() }]
    {
        let page = handle.list_accounts(filter.clone(), Slot(0), 10_000).await.expect("up");
        assert!(page.accounts.len() < MANY as usize, "{}", page.accounts.len());
        assert_eq!(found(&handle, &filter, 10_000).await.len(), MANY as usize);
    }
    engine.shutdown().await.expect("drains");
}

/// However many accounts are asked for, a page is no larger than what transfers may wait for; and it is not empty where
/// what fits stands behind more of them than that.
#[tokio::test(flavor = "multi_thread")]
async fn pages_end_so_that_transfers_come_in_between() {
    const MANY: u128 = 5 * ACCOUNTS_PAGE_MAX as u128 / 2;
    let engine = start(&journal(), 2).await;
    let handle = engine.handle();
    open(&handle, MANY).await;
    let all = Filter::default();
    let page = handle.list_accounts(all.clone(), Slot(0), 10_000).await.expect("up");
    assert_eq!((page.accounts.len(), page.next.is_some()), (ACCOUNTS_PAGE_MAX, true));
    assert_eq!(found(&handle, &all, 10_000).await.len(), MANY as usize);
    set(&handle, MANY, AccountStatus::Closed, "").await;
    let closed = Filter { status: Some(AccountStatus::Closed), ..Filter::default() };
    let page = handle.list_accounts(closed, Slot(0), 10).await.expect("up");
    let ids: Vec<_> = page.accounts.iter().map(|shown| shown.view.spec.id).collect();
    assert_eq!(ids, [account(MANY)]);
    engine.shutdown().await.expect("drains");
}

/// Who owns an account is held against the change that was queued in front of the transfer.
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_depends_on_an_owner_meets_the_change_before_it() {
    let engine = start(&journal(), 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    handle.open_accounts(vec![owned(10, "anna"), owned(11, "anna")]).await.expect("up");
    submit(&handle, vec![transfer(1, BANK, 10, 100), transfer(2, BANK, 2, 100)]).await;
    let seen = |of: &[(u128, &str)]| {
        OwnersSeen::new(of.iter().map(|(id, owner)| (account(*id), (*owner).to_owned())).collect())
    };
    let ask = async |id: u128, debit: u128, seen: Option<OwnersSeen>| {
        let pending = handle.submit_owned(vec![transfer(id, debit, 3, 1)], None, seen);
        pending.expect("room").outcomes().await
    };
    assert!(ask(3, 10, seen(&[(10, "anna"), (11, "anna")])).await.is_ok());
    let nobodys = ask(4, 2, seen(&[(2, "")])).await;
    assert!(nobodys.is_ok(), "an account of which nothing is known has no owner");
    let before = handle.status().last_lsn;
    for wrong in [&[(10, "ben")][..], &[(10, "anna"), (11, "")], &[(99, "anna")]] {
        let refused = ask(5, 10, seen(wrong)).await;
        assert!(matches!(refused, Err(RequestError::OwnerChanged(_))), "{refused:?}");
    }
    assert_eq!(handle.status().last_lsn, before, "nothing was decided");

    let to_ben = ProfileChange { owner: Some("ben".to_owned()), ..ProfileChange::default() };
    let mut change = Box::pin(handle.change_profile(account(10), to_ben));
    // Queues the change, and waits for nothing.
    let mut changed = std::future::poll_fn(|context| {
        std::task::Poll::Ready(match change.as_mut().poll(context) {
            std::task::Poll::Ready(changed) => Some(changed),
            std::task::Poll::Pending => None,
        })
    })
    .await;
    let behind = ask(6, 10, seen(&[(10, "anna")])).await;
    assert_eq!(behind.map(|_| ()), Err(RequestError::OwnerChanged(account(10))));
    if changed.is_none() {
        changed = Some(change.await);
    }
    changed.expect("answered").expect("up").expect("allowed");
    assert!(ask(6, 10, seen(&[(10, "ben")])).await.is_ok());
    engine.shutdown().await.expect("drains");
}
