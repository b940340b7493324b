//! Refunds on the engine's handle: originals read from the journal between two turns, refunds that
//! race, restarts, and looking back.

mod support;

use ducat_actors::handle::{Answers, RefundView, RequestError};
use ducat_actors::owners::OwnersSeen;
use ducat_engine::ids::Lsn;
use ducat_engine::profile::ProfileChange;
use ducat_engine::refunds::RefundState;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{RefundRequest, Request};
use std::collections::BTreeMap;
use support::{BANK, ask, capture, hold, id, journal, open, refund, start, submit, transfer};

fn rejections(answers: &Answers) -> Vec<Option<Rejection>> {
    answers.outcomes.iter().map(|outcome| outcome.rejection).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_refunds_what_it_moves_is_as_if_sent_one_by_one() {
    for partitions in [1, 2] {
        let journal = journal();
        let engine = start(&journal, partitions).await;
        let handle = engine.handle();
        open(&handle, 3).await;
        submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
        let linked = RefundRequest { linked: true, ..refund(16, 13, Some(3)) };
        let batch: Vec<Request> = vec![
            transfer(10, 2, 3, 30).into(),
            refund(11, 10, Some(10)).into(),
            refund(12, 10, Some(21)).into(),
            transfer(13, 2, 3, 5).into(),
            refund(14, 10, None).into(),
            refund(15, 10, None).into(),
            linked.into(),
            refund(17, 13, Some(2)).into(),
            refund(11, 10, Some(10)).into(),
            hold(18, 2, 3, 7).into(),
            capture(19, 18, None).into(),
            refund(20, 19, Some(6)).into(),
            refund(21, 18, Some(1)).into(),
        ];
        let answers = ask(&handle, batch.clone()).await;
        let expected = [
            None,
            None,
            Some(Rejection::RefundExceeded),
            None,
            None,
            Some(Rejection::OriginalReversed),
            None,
            None,
            None,
            None,
            None,
            None,
            Some(Rejection::OriginalMovedNothing),
        ];
        assert_eq!(rejections(&answers), expected);
        assert_eq!(answers.outcomes.iter().filter(|outcome| outcome.repeat).count(), 1);
        assert_eq!(answers.outcomes[8].lsn, answers.outcomes[1].lsn);
        let told = |at: usize| answers.refund(at).map(|r| (r.amount, r.refunded, r.moved));
        assert_eq!(told(1), Some((10, 10, 30)));
        assert_eq!(told(2), Some((0, 10, 30)));
        assert_eq!(told(4), Some((20, 30, 30)));
        assert_eq!(told(7), Some((2, 5, 5)));
        assert_eq!(told(8), Some((10, 10, 30)));
        assert_eq!(told(11), Some((6, 6, 7)));
        assert_eq!((told(0), told(12)), (None, None));
        assert!(answers.hold(10).is_some());
        // Everything again: the same answers, and nothing happens.
        let last = handle.status().last_lsn;
        let again = ask(&handle, batch).await;
        assert_eq!(rejections(&again), expected);
        assert_eq!(again.refunds, answers.refunds);
        assert_eq!(handle.status().last_lsn, last);
        engine.shutdown().await.expect("in order");
    }
}

/// Its first turn decides nothing, since the original is to be read: the second looks at owners again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refund_meets_the_change_of_owner_between_its_turns() {
    let engine = start(&journal(), 2).await;
    let handle = engine.handle();
    open(&handle, 4).await;
    let sale = transfer(2, 2, 3, 30);
    submit(&handle, vec![transfer(1, BANK, 2, 100), sale]).await;
    let owned_by = async |owner: &str| {
        let owner = Some(owner.to_owned());
        let change = ProfileChange { owner, ..ProfileChange::default() };
        handle.change_profile(support::account(3), change).await.expect("up").expect("allowed");
    };
    owned_by("anna").await;
    let seen = |owner: &str| OwnersSeen::new(vec![(support::account(3), owner.to_owned())]);
    for (number, before) in [(10, vec![]), (20, vec![Request::from(transfer(21, 2, 4, 1))])] {
        let mut asked = before;
        asked.push(refund(number, 2, Some(1)).into());
        let pending = handle.submit_owned(asked, None, seen("anna")).expect("room");
        // Behind its first turn; the second comes when somebody waits for it.
        owned_by("ben").await;
        let refused = pending.outcomes().await;
        assert_eq!(refused.map(|_| ()), Err(RequestError::OwnerChanged(support::account(3))));
        let page = handle.refunds_of(id(2), None, None, 10).await.expect("up").expect("known");
        assert!(page.refunds.is_empty());
        owned_by("anna").await;
    }
    let pending = handle.submit_owned(vec![refund(10, 2, Some(1))], None, seen("anna"));
    let outcomes = pending.expect("room").outcomes().await.expect("it may");
    assert_eq!((outcomes[0].rejection, outcomes[0].repeat), (None, false));
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_that_race_never_come_to_more_than_was_moved() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100), transfer(2, 2, 3, 30)]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..8_u128 {
        let handle = handle.clone();
        tasks.spawn(async move {
            let mut done = 0;
            for number in 0..5 {
                let two = [0, 1].map(|n| refund(100 + client * 10 + number * 2 + n, 2, Some(1)));
                let answers = ask(&handle, two.into_iter().map(Request::from).collect()).await;
                for rejection in rejections(&answers) {
                    match rejection {
                        None => done += 1,
                        other => assert_eq!(other, Some(Rejection::OriginalRefunded)),
                    }
                }
            }
            done
        });
    }
    let done: i32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(done, 30);
    let page = handle.refunds_of(id(2), None, None, 100).await.expect("up").expect("known");
    assert_eq!((page.state.moved, page.state.refunded, page.refunds.len()), (30, 30, 30));
    assert!(page.refunds.iter().map(|refund| refund.refunded).eq((1..=30).rev()));
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refunded_is_known_after_a_restart_and_listed_page_by_page() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    let moved = submit(&handle, vec![transfer(1, BANK, 2, 100), transfer(2, 2, 3, 30)]).await;
    let original = moved[1].lsn;
    for (number, amount) in [(10, 4), (11, 5), (12, 6)] {
        ask(&handle, vec![refund(number, 2, Some(amount)).into()]).await;
    }
    let before = handle.summary().await.expect("up");
    engine.shutdown().await.expect("in order");

    let engine = start(&journal, 4).await;
    let handle = engine.handle();
    assert_eq!(handle.summary().await.expect("up").hash, before.hash);
    let named = RefundRequest { of_lsn: Some(original), ..refund(13, 2, Some(16)) };
    let exceeded = ask(&handle, vec![named.into()]).await;
    assert_eq!(rejections(&exceeded), [Some(Rejection::RefundExceeded)]);
    let elsewhere = RefundRequest { of_lsn: Some(moved[0].lsn), ..refund(14, 2, None) };
    let beyond = RefundRequest { of_lsn: Some(Lsn(u64::MAX)), ..refund(15, 2, None) };
    let unknown = ask(&handle, vec![elsewhere.into(), beyond.into()]).await;
    assert_eq!(rejections(&unknown), [Some(Rejection::OriginalUnknown); 2]);

    let stored = handle.requests(vec![id(2), id(11), id(13), id(14)]).await.expect("up");
    let stored: Vec<_> = stored.into_iter().map(|found| found.expect("remembered")).collect();
    let state =
        |refunded, last| RefundState { moved: 30, refunded, last_lsn: last, reversed: false };
    let page = |from, limit| handle.refunds_of(id(2), None, from, limit);
    let first = page(None, 2).await.expect("up").expect("known");
    assert_eq!(first.state, state(15, first.refunds[0].lsn));
    assert_eq!(stored[0].refunded, Some(first.state));
    assert_eq!(
        (first.original, first.debit, first.credit),
        (original, support::account(2), support::account(3))
    );
    let ids = |refunds: &[RefundView]| -> Vec<u128> {
        refunds.iter().map(|refund| refund.id.get()).collect()
    };
    assert_eq!(ids(&first.refunds), [12, 11]);
    let rest = page(first.next, 2).await.expect("up").expect("known");
    assert_eq!((ids(&rest.refunds), rest.next), (vec![10], None));
    assert_eq!(stored[1].request, refund_of_gbp(11, Some(5)).into());
    assert_eq!(stored[1].refund.map(|told| told.refunded), Some(9));
    assert_eq!(stored[2].refund.map(|told| told.refunded), Some(15));
    assert_eq!(stored[3].refund, None);
    // What is no refund of it, and what is no transfer.
    assert_eq!(page(Some(original), 2).await, Err(RequestError::BadCursor(original)));
    assert_eq!(handle.refunds_of(id(99), None, None, 2).await, Ok(None));
    assert_eq!(handle.refunds_of(id(11), None, None, 2).await, Ok(None));
    assert_eq!(handle.refunds_of(id(2), Some(Lsn(9_999)), None, 2).await, Ok(None));
    engine.shutdown().await.expect("in order");
}

fn refund_of_gbp(number: u128, amount: Option<u128>) -> RefundRequest {
    RefundRequest { currency: Some(support::GBP), ..refund(number, 2, amount) }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_refunds_of_many_originals_in_one_batch() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 1_000_000)]).await;
    let moves: Vec<_> = (0..500).map(|n| transfer(1_000 + n, 2, 3, 10)).collect();
    submit(&handle, moves).await;
    let batch: Vec<Request> =
        (0..1_000).map(|n| refund(10_000 + n, 1_000 + n / 2, Some(6)).into()).collect();
    let answers = ask(&handle, batch).await;
    let mut counts = BTreeMap::new();
    for rejection in rejections(&answers) {
        *counts.entry(rejection.map(Rejection::code)).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(None, 500), (Some("REFUND_EXCEEDED"), 500)]));
    engine.shutdown().await.expect("in order");
}
