//! Holds on the engine's handle: rounds, answers, reads, expiry without traffic, restarts.

mod support;

use ducat_actors::handle::{Handle, HoldState};
use ducat_engine::holds::{Closed, HoldAfter};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{ExtendRequest, HoldRequest, Request};
use ducat_engine::transfer::Outcome;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{BANK, account, capture, hold, id, journal, open, start, submit, transfer, void};

async fn ask(handle: &Handle, requests: Vec<Request>) -> Vec<(Outcome, Option<HoldAfter>)> {
    let answers = handle.submit(requests).expect("room").answers().await.expect("up");
    let holds: Vec<_> = (0..answers.outcomes.len()).map(|at| answers.hold(at).copied()).collect();
    answers.outcomes.into_iter().zip(holds).collect()
}

fn rejections(answers: &[(Outcome, Option<HoldAfter>)]) -> Vec<Option<Rejection>> {
    answers.iter().map(|(outcome, _)| outcome.rejection).collect()
}

/// Polls until it is so.
async fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_operations_on_one_hold_in_one_submission_are_as_if_sent_one_by_one() {
    for partitions in [1, 2] {
        let journal = journal();
        let engine = start(&journal, partitions).await;
        let handle = engine.handle();
        open(&handle, 4).await;
        submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
        let batch: Vec<Request> = vec![
            hold(10, 2, 3, 60).into(),
            transfer(11, 2, 3, 41).into(),
            capture(12, 10, Some(20)).into(),
            hold(10, 2, 3, 60).into(),
            capture(13, 10, Some(41)).into(),
            transfer(14, 3, 4, 20).into(),
            capture(15, 10, None).into(),
            void(16, 10).into(),
            capture(12, 10, Some(20)).into(),
            transfer(17, 2, 4, 40).into(),
        ];
        let answers = ask(&handle, batch.clone()).await;
        let (short, exceeded) = (Rejection::InsufficientFunds, Rejection::HoldExceeded);
        let expected = [
            None,
            Some(short),
            None,
            None,
            Some(exceeded),
            None,
            None,
            Some(Rejection::HoldCaptured),
            None,
            None,
        ];
        assert_eq!(rejections(&answers), expected);
        assert_eq!(answers[3].1, answers[0].1);
        assert_eq!((answers[8].0.repeat, answers[8].1), (true, answers[2].1));
        assert_eq!(answers[6].1.expect("of a hold").captured, 40);
        assert!(answers[3].0.repeat && !answers[9].0.repeat);
        let summary = handle.summary().await.expect("up");
        engine.shutdown().await.expect("drains");

        let engine = start(&Arc::new(journal.reopen()), 3 - partitions).await;
        let handle = engine.handle();
        assert_eq!(handle.summary().await.expect("up"), summary);
        for (now, then) in ask(&handle, batch).await.iter().zip(&answers) {
            assert_eq!(*now, (Outcome { repeat: true, ..then.0 }, then.1));
        }
        let entries = handle.entries(account(3), None, 10).await.expect("up").expect("known");
        let amounts: Vec<_> = entries.entries.iter().map(|e| (e.amount, e.balance_after)).collect();
        assert_eq!(amounts, [(40, 40), (-20, 0), (20, 20)]);
        engine.shutdown().await.expect("drains");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn submissions_that_speak_of_the_same_hold_at_once_capture_it_once() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 1_000)]).await;
    ask(&handle, vec![hold(2, 2, 3, 500).into()]).await;
    let mut tasks = Vec::new();
    for n in 0..64 {
        let handle = handle.clone();
        let requests: Vec<Request> = vec![capture(100 + n, 2, Some(300)).into()];
        tasks.push(tokio::spawn(async move { ask(&handle, requests).await[0].0.rejection }));
    }
    let mut done = 0;
    for task in tasks {
        match task.await.expect("no panic") {
            None => done += 1,
            Some(rejection) => assert_eq!(rejection, Rejection::HoldExceeded),
        }
    }
    assert_eq!(done, 1);
    let at = handle.accounts(vec![account(2), account(3)]).await.expect("up").accounts;
    let figures = at.iter().flatten().map(|shown| &shown.view);
    let figures = figures.map(|view| (view.posted, view.on_hold, view.available));
    assert!(figures.eq([(700, 200, 500), (300, 0, 300)]));
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_expires_without_traffic_and_after_a_restart() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    let soon = HoldRequest { timeout_ns: 1, ..hold(2, 2, 3, 40) };
    let later = HoldRequest { timeout_ns: 3_600_000_000_000, ..hold(3, 2, 3, 20) };
    ask(&handle, vec![soon.into(), later.into()]).await;
    until("it expires", || handle.status().open_holds == 1).await;
    let at = handle.holds(vec![id(2), id(3), id(4), id(1)]).await.expect("up");
    assert_eq!(at.holds[0], Some(HoldState::Closed(Closed::Expired)));
    let Some(HoldState::Open(view)) = at.holds[1] else { panic!("{at:?}") };
    assert_eq!((view.debit, view.credit, view.hold.remaining), (account(2), account(3), 20));
    assert_eq!(at.holds[2..], [None, None]);
    let refused = ask(&handle, vec![capture(5, 2, None).into()]).await;
    assert_eq!(rejections(&refused), [Some(Rejection::HoldExpired)]);
    // Shorter than a restart takes: it has expired by then, and nobody asks for anything.
    let within = HoldRequest { timeout_ns: 1, ..hold(6, 2, 3, 40) };
    ask(&handle, vec![within.into()]).await;
    engine.shutdown().await.expect("drains");
    let engine = start(&Arc::new(journal.reopen()), 1).await;
    let handle = engine.handle();
    until("it expires", || handle.status().open_holds == 1).await;
    let at = handle.accounts(vec![account(2)]).await.expect("up").accounts;
    let at = at[0].as_ref().expect("known").view;
    assert_eq!((at.posted, at.on_hold, at.available), (100, 20, 80));
    assert!(handle.status_with_memory().await.expect("up").open_holds_bytes > 0);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_read_back_as_they_were_asked() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    let extend = ExtendRequest { id: id(12), hold: id(10), timeout_ns: 0, linked: false };
    let asked: Vec<Request> = vec![
        HoldRequest { timeout_ns: 3_600_000_000_000, over_capture_max: 3, ..hold(10, 2, 3, 60) }
            .into(),
        capture(11, 10, Some(20)).into(),
        extend.into(),
        transfer(13, 2, 3, 1).into(),
        capture(14, 10, None).into(),
        void(15, 10).into(),
        hold(16, 2, 77, 1).into(),
        capture(17, 99, Some(1)).into(),
    ];
    let told = ask(&handle, asked.clone()).await;
    let ids = asked.iter().map(Request::id).chain([id(500)]).collect();
    let stored = handle.requests(ids).await.expect("up");
    assert_eq!(stored.last(), Some(&None));
    for ((stored, asked), (outcome, hold)) in stored.iter().flatten().zip(&asked).zip(&told) {
        let mut request = stored.request.clone();
        match &mut request {
            Request::Transfer(transfer) => transfer.currency = None,
            Request::Hold(hold) => hold.currency = None,
            Request::Capture(capture) => capture.currency = None,
            _ => {}
        }
        assert_eq!(&request, asked);
        assert_eq!(stored.outcome, Outcome { repeat: true, ..*outcome });
        assert_eq!(stored.hold, *hold);
    }
    assert_eq!(stored.iter().flatten().count(), 8);
    assert_eq!(handle.transfers(vec![id(13), id(10)]).await.expect("up")[1], None);
    engine.shutdown().await.expect("drains");
}
