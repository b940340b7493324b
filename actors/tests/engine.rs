//! The engine on its handle, with the in-memory journal: batches, repeats, restarts,
//! failures, bounds.

mod support;

use ducat_actors::handle::{EngineOptions, RequestError};
use ducat_actors::start::Engine;
use ducat_engine::ids::TransferId;
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountSpec, AccountStatus, Outcome,
};
use ducat_persistence::Journal;
use ducat_persistence::memory::Failure;
use std::sync::Arc;
use support::{BANK, GBP, account, journal, open, start, submit, transfer};

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_and_a_restart_brings_it_back() {
    for partitions in [1, 2] {
        let journal = journal();
        let engine = start(&journal, partitions).await;
        let handle = engine.handle();
        open(&handle, 4).await;
        let batch = vec![
            transfer(1, BANK, 2, 100),
            transfer(2, 2, 3, 60),
            transfer(3, 2, 3, 60),
            transfer(4, 3, 4, 60),
        ];
        let outcomes = submit(&handle, batch).await;
        let verdicts: Vec<_> = outcomes.iter().map(|o| o.rejection).collect();
        assert_eq!(verdicts, [None, None, Some(Rejection::InsufficientFunds), None]);
        assert_eq!(outcomes[1].debit.expect("known").posted, 40);
        assert!(outcomes.windows(2).all(|w| w[0].lsn.next() == w[1].lsn));
        let summary = handle.summary().await.expect("up");
        engine.shutdown().await.expect("drains");

        let engine = start(&Arc::new(journal.reopen()), 3 - partitions).await;
        let handle = engine.handle();
        assert_eq!(handle.summary().await.expect("up"), summary);
        let again = submit(&handle, vec![transfer(2, 2, 3, 60), transfer(3, 2, 3, 60)]).await;
        for (now, then) in again.iter().zip(&outcomes[1..3]) {
            assert_eq!(*now, Outcome { repeat: true, ..*then });
        }
        let entries = handle.entries(account(3), None, 10).await.expect("up").expect("known");
        let amounts: Vec<_> = entries.entries.iter().map(|e| (e.amount, e.balance_after)).collect();
        assert_eq!(amounts, [(-60, 0), (60, 60)]);
        engine.shutdown().await.expect("drains");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_sent_at_once_by_many_takes_effect_once() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 1_000)]).await;
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let handle = handle.clone();
        tasks.push(tokio::spawn(async move { submit(&handle, vec![transfer(9, 2, 3, 10)]).await }));
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.extend(task.await.expect("no panic"));
    }
    assert_eq!(outcomes.iter().filter(|o| !o.repeat).count(), 1);
    let first = *outcomes.iter().find(|o| !o.repeat).expect("one");
    assert!(outcomes.iter().all(|o| Outcome { repeat: false, ..*o } == first));
    let other = submit(&handle, vec![transfer(9, 2, 3, 11)]).await;
    assert_eq!(other[0].rejection, Some(Rejection::IdReused));
    assert_eq!(other[0].lsn, first.lsn);
    let at = handle.accounts(vec![account(3), account(77)]).await.expect("up");
    assert_eq!(at.accounts[0].as_ref().expect("known").view.posted, 10);
    assert_eq!(at.accounts[1], None);
    let known = TransferId::new(9).expect("not zero");
    let unknown = TransferId::new(99).expect("not zero");
    let stored = handle.transfers(vec![known, unknown]).await.expect("up");
    assert_eq!(stored[0].expect("known").request.amount, 10);
    assert_eq!(stored[1], None);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_append_is_the_last_and_nobody_is_told_of_it() {
    for failure in [Failure::InDoubt { frames_kept: 0 }, Failure::NotAppended] {
        let journal = journal();
        let engine = start(&journal, 1).await;
        let handle = engine.handle();
        open(&handle, 3).await;
        submit(&handle, vec![transfer(1, BANK, 2, 1_000)]).await;
        journal.fail_append(3, failure);
        let lost = handle.submit(vec![transfer(2, 2, 3, 10)]).expect("room").outcomes().await;
        assert!(matches!(lost, Err(RequestError::Stopped(_))), "{lost:?}");
        let why = engine.failed().await;
        assert!(why.contains("append"), "{why}");
        assert!(matches!(
            handle.submit(vec![transfer(3, 2, 3, 10)]),
            Err(RequestError::Stopped(_))
        ));
        assert!(handle.accounts(vec![account(2)]).await.is_err());
        assert!(engine.shutdown().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_at_the_door() {
    let journal = journal();
    let options = EngineOptions { in_flight_max: 10_000, ..EngineOptions::default() };
    let as_journal: Arc<dyn Journal> = Arc::clone(&journal) as _;
    let engine = Engine::start(options, as_journal, "test", Box::new(|_| {})).await.expect("up");
    let handle = engine.handle();
    let batch = |n: u128| (1..=n).map(|id| transfer(id, 1, 2, 1)).collect::<Vec<_>>();
    assert_eq!(
        handle.submit(Vec::<ducat_engine::request::Request>::new()).err(),
        Some(RequestError::BatchSize(0))
    );
    assert_eq!(handle.submit(batch(10_001)).err(), Some(RequestError::BatchSize(10_001)));
    let mut open = batch(2);
    open[1].linked = true;
    assert_eq!(handle.submit(open).err(), Some(RequestError::OpenGroup));
    let first = handle.submit(batch(10_000)).expect("room");
    let mut busy = false;
    for _ in 0..1_000 {
        busy |= matches!(handle.submit(batch(10_000)), Err(RequestError::Busy { .. }));
    }
    assert!(busy, "a flood meets a bound");
    assert_eq!(first.outcomes().await.expect("up").len(), 10_000);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_open_once_and_statuses_hold() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 5).await;
    let same = AccountSpec { id: account(2), currency: GBP, overdraft_limit: 0, external: false };
    let other = AccountSpec { overdraft_limit: 5, ..same };
    let outcomes = handle.create_accounts(vec![same, other]).await.expect("up");
    assert!(matches!(outcomes[0], AccountOutcome::Exists(_)));
    assert_eq!(outcomes[1], AccountOutcome::Refused(AccountRejection::ExistsDifferent));
    submit(&handle, vec![transfer(1, BANK, 2, 10)]).await;
    let set = |status| handle.set_status(account(2), status, String::new());
    assert_eq!(set(AccountStatus::Closed).await.expect("up"), Err(AccountRejection::NotEmpty));
    let frozen = set(AccountStatus::Frozen).await.expect("up");
    assert_eq!(frozen.expect("allowed").view.status, AccountStatus::Frozen);
    let outcomes = submit(&handle, vec![transfer(2, 2, 3, 1), transfer(3, 3, 2, 1)]).await;
    assert_eq!(outcomes[0].rejection, Some(Rejection::DebitAccountFrozen));
    assert_eq!(outcomes[1].rejection, Some(Rejection::CreditAccountFrozen));
    let all = ducat_engine::profile::Filter::default();
    let page = handle.list_accounts(all, ducat_engine::ids::Slot(1), 2).await.expect("up");
    let ids: Vec<_> = page.accounts.iter().map(|a| a.view.spec.id).collect();
    assert_eq!(ids, [account(2), account(3)]);
    let (asset, new) = handle.define_asset("GOLD".into(), 6).await.expect("up").expect("new");
    assert!(new);
    assert_eq!(handle.currencies().by_code("GOLD"), Ok(asset.clone()));
    engine.shutdown().await.expect("drains");
    let engine = start(&Arc::new(journal.reopen()), 1).await;
    assert_eq!(engine.handle().currencies().by_code("GOLD"), Ok(asset));
    engine.shutdown().await.expect("drains");
}
