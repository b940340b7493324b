//! The feed by what the money is for, against the whole feed read by the eye.

mod support;

use ducat_actors::feed::{FeedEvent, FeedFilter, Subscription, What};
use ducat_actors::handle::Handle;
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::effects::EventKind;
use ducat_engine::fees::{FeeRule, Schedule};
use ducat_engine::ids::Lsn;
use ducat_engine::note::{Note, Noted};
use ducat_engine::request::{ExtendRequest, RefundRequest, Request};
use ducat_engine::terms::{AccountTerms, Range, Termed, Terms};
use ducat_engine::transfer::{AccountStatus, TransferKind, TransferRequest};
use support::{
    BANK, GBP, account, capture, hold, id, journal, open, start, submit, transfer, void,
};

async fn events(handle: &Handle, filter: FeedFilter) -> Vec<FeedEvent> {
    let subscription = Subscription { from: Lsn(1), filter, ..Subscription::default() };
    let mut feed = handle.subscribe(subscription).await.expect("a place");
    let mut events = Vec::new();
    loop {
        let batch = feed.next().await.expect("sound");
        let caught_up = batch.is_caught_up();
        events.extend(batch.events);
        if caught_up {
            return events;
        }
    }
}

fn kind_of(event: &FeedEvent) -> Option<TransferKind> {
    let bank = |at: usize| event.accounts[at] == Some(account(BANK));
    match &event.what {
        What::Fee { .. } => Some(TransferKind::Fee),
        What::Decided(stored) => match stored.request.plain() {
            Request::Transfer(transfer) => Some(transfer.kind),
            Request::Hold(hold) => Some(hold.kind),
            Request::Refund(_) => Some(TransferKind::Refund),
            Request::Capture(_) if event.accounts[1].is_some() => {
                Some(TransferKind::between(bank(0), bank(1)))
            }
            _ => None,
        },
        _ => None,
    }
}

async fn ask(handle: &Handle, request: impl Into<Request>) {
    handle.submit(vec![request.into()]).expect("room").outcomes().await.expect("up");
}

/// Something of everything, done and refused.
async fn some_of_each(handle: &Handle) {
    open(handle, 4).await;
    submit(handle, vec![transfer(10, BANK, 2, 1_000), transfer(11, 3, BANK, 7)]).await;
    submit(handle, vec![transfer(12, 2, 3, 9), transfer(13, 2, BANK, 8)]).await;
    let of_kind = |number, debit, credit, amount, kind| TransferRequest {
        kind,
        ..transfer(number, debit, credit, amount)
    };
    for (number, kind) in (20..).zip(TransferKind::ALL) {
        submit(handle, vec![of_kind(number, 2, 3, 5, kind)]).await;
        submit(handle, vec![of_kind(number + 20, 4, 2, 1_000, kind)]).await;
    }
    let note = Note { reference: "case".into(), ..Note::default() };
    ask(handle, Noted::new(transfer(60, 2, 3, 1), note).expect("kept")).await;
    let least = Range { at_least: Some(1), at_most: None };
    let terms = Terms {
        debit: AccountTerms { posted: least, ..AccountTerms::default() },
        ..Terms::default()
    };
    ask(handle, Termed::new(transfer(61, 2, BANK, 1), terms).expect("kept")).await;
    for (number, credit) in [(70, 3), (71, BANK), (72, 3)] {
        ask(handle, hold(number, 2, credit, 6)).await;
    }
    ask(handle, hold(73, 4, 3, 1_000)).await;
    ask(handle, capture(74, 70, Some(4))).await;
    ask(handle, capture(75, 71, None)).await;
    ask(handle, capture(76, 70, Some(1_000))).await;
    ask(handle, capture(77, 999, None)).await;
    let (later, linked) = (3_600_000_000_000, false);
    ask(handle, ExtendRequest { id: id(78), hold: id(70), timeout_ns: later, linked }).await;
    ask(handle, void(79, 72)).await;
    for (number, amount) in [(80, Some(1)), (81, Some(1_000)), (82, None)] {
        let (id, of) = (id(number), id(12));
        let (of_lsn, currency, original) = (None, None, None);
        let allow_overdraft = true;
        let refund =
            RefundRequest { id, of, of_lsn, amount, currency, allow_overdraft, linked, original };
        ask(handle, refund).await;
    }
    let rule = FeeRule { flat: 3, ..FeeRule::default() };
    let card = Schedule { name: "card".into(), currency: GBP, account: account(4), rule };
    handle.define_fee(card).await.expect("up").expect("allowed");
    let kind = FeeTarget::Kind(TransferKind::Payment, GBP);
    handle.attach_fee(kind, Some("card".into())).await.expect("up").expect("allowed");
    submit(handle, vec![of_kind(90, 2, 3, 5, TransferKind::Payment)]).await;
    submit(handle, vec![of_kind(91, 2, 3, 1_000_000, TransferKind::Payment)]).await;
    let why = "case 812".to_owned();
    handle.set_status(account(3), AccountStatus::Frozen, why).await.expect("up").expect("known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_by_transfer_kinds_is_the_whole_feed_without_the_others() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    some_of_each(&handle).await;
    let whole = events(&handle, FeedFilter::default()).await;
    let none = whole.iter().filter(|event| kind_of(event).is_none()).count();
    assert!(none >= 8, "accounts, schedules of fees, voids, extensions, a status: {none}");
    for set in 1_usize..256 {
        let has = |kind: &TransferKind| set & (1 << kind.number()) != 0;
        let transfer_kinds: Vec<_> = TransferKind::ALL.into_iter().filter(has).collect();
        let expected: Vec<&FeedEvent> =
            whole.iter().filter(|event| kind_of(event).is_some_and(|kind| has(&kind))).collect();
        assert!(!expected.is_empty());
        let filter = FeedFilter { transfer_kinds, ..FeedFilter::default() };
        let found = events(&handle, filter).await;
        assert!(found.iter().eq(expected.iter().copied()), "set {set:b}");
    }
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn transfer_kinds_narrow_what_kinds_and_accounts_leave_and_move_the_place() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    some_of_each(&handle).await;
    let filter = FeedFilter {
        accounts: vec![account(BANK)],
        kinds: vec![EventKind::Posted],
        transfer_kinds: vec![TransferKind::Withdrawal, TransferKind::Payment],
        ..FeedFilter::default()
    };
    let found = events(&handle, filter).await;
    let ids: Vec<u128> = found
        .iter()
        .map(|event| match &event.what {
            What::Decided(stored) => stored.request.id().get(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, [13, 61, 75], "two withdrawals, and the capture of a third");
    // A feed that wants nothing of what is there is told that it has caught up all the same.
    let filter =
        FeedFilter { transfer_kinds: vec![TransferKind::Interest], ..FeedFilter::default() };
    let durable = handle.status().durable_lsn;
    let subscription = Subscription { from: durable, filter, ..Subscription::default() };
    let mut feed = handle.subscribe(subscription).await.expect("a place");
    let batch = feed.next().await.expect("sound");
    assert_eq!((batch.events.len(), batch.next_lsn), (0, durable.next()));
    engine.shutdown().await.expect("in order");
}
