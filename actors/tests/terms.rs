//! Terms on the engine's handle: hot accounts on several partitions, repeats and versions over
//! restarts, and what is read back.

mod support;

use ducat_actors::handle::Handle;
use ducat_engine::ids::Lsn;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::Request;
use ducat_engine::terms::{AccountTerms, Balancing, DebitCap, Termed, Terms, TermsAfter};
use ducat_engine::transfer::{AccountStatus, AccountView, Outcome, TransferRequest};
use std::sync::Arc;
use support::{BANK, account, capture, hold, journal, open, start, submit, transfer};

fn up_to(request: TransferRequest) -> Request {
    let debit = Some(DebitCap::Available);
    let balancing = Balancing { min: 1, debit, credit: None, source: None };
    let terms = Terms { balancing: Some(balancing), ..Terms::default() };
    Termed::new(request, terms).expect("a transfer").into()
}

fn at_version(request: impl Into<Request>, version: Lsn) -> Request {
    let debit = AccountTerms { version: Some(version), ..AccountTerms::default() };
    Termed::new(request, Terms { debit, ..Terms::default() }).expect("it can").into()
}

async fn ask(handle: &Handle, requests: Vec<Request>) -> Vec<(Outcome, Option<TermsAfter>)> {
    let answers = handle.submit(requests).expect("room").answers().await.expect("up");
    let terms: Vec<_> = (0..answers.outcomes.len()).map(|at| answers.terms(at).copied()).collect();
    answers.outcomes.into_iter().zip(terms).collect()
}

async fn views(handle: &Handle, last: u128) -> Vec<AccountView> {
    let ids = (1..=last).map(account).collect();
    let accounts = handle.accounts(ids).await.expect("up").accounts;
    accounts.into_iter().map(|shown| shown.expect("open").view).collect()
}

/// Everybody takes what is there of one hot account, and others bring something, all in one
/// submission: as if sent one by one, on any number of partitions.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_account_is_emptied_and_filled_as_if_one_by_one() {
    let mut all = Vec::new();
    for partitions in [1, 2, 8] {
        let journal = journal();
        let engine = start(&journal, partitions).await;
        let handle = engine.handle();
        open(&handle, 20).await;
        let mut batch: Vec<Request> = Vec::new();
        for n in 0..3_000_u128 {
            let payee = 3 + n % 18;
            batch.push(match n % 4 {
                0 => transfer(100 + n, BANK, 2, 7).into(),
                1 | 2 => up_to(transfer(100 + n, 2, payee, 5)),
                _ => up_to(transfer(100 + n, payee - 1, if payee == 3 { 20 } else { 2 }, 3)),
            });
        }
        let answers = ask(&handle, batch.clone()).await;
        let posted = answers.iter().filter(|(outcome, _)| outcome.rejection.is_none());
        assert!(posted.count() > 1_000);
        let views = views(&handle, 20).await;
        engine.shutdown().await.expect("drains");
        // Another start, on other partitions, answers the same from the journal.
        let engine = start(&Arc::new(journal.reopen()), 4).await;
        let handle = engine.handle();
        let again = ask(&handle, batch).await;
        for ((first, told), (again, told_again)) in answers.iter().zip(&again) {
            assert_eq!(Outcome { repeat: true, ..*first }, *again);
            assert_eq!(told, told_again);
        }
        assert_eq!(self::views(&handle, 20).await, views);
        engine.shutdown().await.expect("drains");
        let moved: Vec<_> = answers.iter().map(|(o, t)| (o.rejection, o.debit, *t)).collect();
        all.push((moved, views));
    }
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_outlive_a_restart_and_move_on_with_every_change() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    ask(&handle, vec![hold(2, 2, 3, 40).into()]).await;
    let held = views(&handle, 3).await[1].version;
    let set = handle.set_status(account(3), AccountStatus::Active, String::from("x")).await;
    set.expect("up").expect("allowed");
    let before = views(&handle, 3).await;
    assert!(before[2].version > held && held > before[1].last_lsn);
    engine.shutdown().await.expect("drains");
    let engine = start(&Arc::new(journal.reopen()), 1).await;
    let handle = engine.handle();
    assert_eq!(views(&handle, 3).await, before);
    // All that read the same version, in one submission: one of them is done.
    let rivals = (10..60).map(|n| at_version(transfer(n, 2, 3, 1), held)).collect();
    let answers = ask(&handle, rivals).await;
    assert_eq!(answers[0].0.rejection, None);
    let other = Some(Rejection::DebitAccountVersion);
    assert!(answers[1..].iter().all(|(outcome, _)| outcome.rejection == other));
    let now = answers[0].1.expect("told").debit_version.expect("known");
    assert!(answers[1..].iter().all(|(_, told)| told.expect("told").debit_version == Some(now)));
    let done = ask(&handle, vec![at_version(capture(70, 2, Some(1)), now)]).await;
    assert_eq!(done[0].0.rejection, None);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_terms_are_read_back_as_they_were_asked() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    let version = views(&handle, 3).await[1].version;
    let asked = vec![
        at_version(hold(10, 2, 3, 40), version),
        up_to(transfer(11, 2, 3, 500)),
        up_to(transfer(12, 2, 3, 500)),
        at_version(capture(13, 10, Some(5)), version),
        up_to(transfer(14, 2, 99, 500)),
    ];
    let told = ask(&handle, asked.clone()).await;
    let moved: Vec<_> = told.iter().map(|(o, t)| (o.rejection, t.expect("told").moved)).collect();
    let expected = [
        (None, 40),
        (None, 60),
        (Some(Rejection::InsufficientFunds), 0),
        (Some(Rejection::DebitAccountVersion), 0),
        (Some(Rejection::CreditAccountUnknown), 0),
    ];
    assert_eq!(moved, expected);
    let stored = handle.requests(asked.iter().map(Request::id).collect()).await.expect("up");
    for ((stored, asked), (outcome, terms)) in stored.iter().zip(&asked).zip(&told) {
        let stored = stored.as_ref().expect("known");
        // The currency is filled in; all else is as it was asked.
        let (Request::Termed(read), Request::Termed(sent)) = (&stored.request, asked) else {
            panic!("{stored:?} has no terms");
        };
        assert_eq!(read.terms(), sent.terms());
        assert_eq!(read.request().accounts(), sent.request().accounts());
        let amount = |request: &Request| request.transfer().map(|transfer| transfer.amount);
        assert_eq!(amount(read.request()), amount(sent.request()));
        assert_eq!(stored.outcome, Outcome { repeat: true, ..*outcome });
        assert_eq!(stored.terms, *terms);
    }
    engine.shutdown().await.expect("drains");
}
