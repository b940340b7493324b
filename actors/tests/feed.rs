//! The feed of events: complete, in order, from any place on, over whatever its reader does; only
//! what is durable; and bounded.

mod support;

use ducat_actors::feed::{Feed, FeedBatch, FeedEvent, FeedFilter, Subscription, What};
use ducat_actors::handle::{EngineOptions, Handle, RequestError};
use ducat_actors::start::Engine;
use ducat_engine::account_event::Change;
use ducat_engine::effects::EventKind;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{CaptureRequest, Request, VoidRequest};
use ducat_engine::transfer::{AccountSpec, AccountStatus, TransferRequest};
use ducat_persistence::{Journal, MemoryJournal};
use std::sync::Arc;
use std::time::Duration;
use support::{BANK, GBP, account, capture, hold, id, journal, open, start, submit, transfer};

/// A wait that takes longer is a hang.
const HANG: Duration = Duration::from_secs(60);

fn from(lsn: u64) -> Subscription {
    Subscription { from: Lsn(lsn), ..Subscription::default() }
}

fn of(accounts: &[u128], kinds: &[EventKind]) -> Subscription {
    let accounts = accounts.iter().map(|id| account(*id)).collect();
    let filter = FeedFilter { accounts, kinds: kinds.to_vec(), ..FeedFilter::default() };
    Subscription { filter, ..from(1) }
}

async fn next(feed: &mut Feed) -> FeedBatch {
    tokio::time::timeout(HANG, feed.next()).await.expect("it hangs").expect("sound")
}

/// Reads until nothing is left.
async fn rest(feed: &mut Feed) -> Vec<FeedEvent> {
    let mut events = Vec::new();
    loop {
        let batch = next(feed).await;
        let caught_up = batch.is_caught_up();
        events.extend(batch.events);
        if caught_up {
            return events;
        }
    }
}

async fn all(handle: &Handle, subscription: Subscription) -> Vec<FeedEvent> {
    rest(&mut handle.subscribe(subscription).await.expect("a place")).await
}

fn lsns(events: &[FeedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.lsn.0).collect()
}

fn deposits(first: u128, count: u128) -> Vec<TransferRequest> {
    (first..first + count).map(|id| transfer(id, BANK, 2, 1)).collect()
}

/// Events of every kind: accounts 1 to 3 at 1 to 3, an asset at 4, then transfers, a freeze.
async fn some_of_each(handle: &Handle) {
    open(handle, 3).await;
    handle.define_asset("POINTS".to_owned(), 0).await.expect("up").expect("new");
    let mut linked = transfer(11, 2, 3, 30);
    linked.linked = true;
    let outcomes = submit(
        handle,
        vec![
            transfer(10, BANK, 2, 100),
            linked,
            transfer(12, 3, BANK, 10),
            transfer(13, 3, 2, 500),
        ],
    )
    .await;
    assert_eq!(outcomes[3].rejection, Some(Rejection::InsufficientFunds));
    let why = "case 812".to_owned();
    handle.set_status(account(3), AccountStatus::Frozen, why).await.expect("up").expect("known");
    submit(handle, vec![transfer(14, 2, 77, 1)]).await;
}

/// Events 11 to 15: of two holds, and a refusal.
async fn some_of_holds(handle: &Handle) {
    let last = CaptureRequest { last: true, ..capture(22, 20, Some(5)) };
    let void = VoidRequest { id: id(23), hold: id(21), linked: false };
    let requests: Vec<Request> = vec![
        hold(20, 2, BANK, 20).into(),
        hold(21, 2, BANK, 20).into(),
        last.into(),
        void.into(),
        capture(24, 20, None).into(),
    ];
    let answers = handle.submit(requests).expect("taken").outcomes().await.expect("up");
    let rejections: Vec<_> = answers.iter().map(|outcome| outcome.rejection).collect();
    assert_eq!(rejections, [None, None, None, None, Some(Rejection::HoldCaptured)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_given_as_it_was_decided() {
    let engine = start(&journal(), 2).await;
    let handle = engine.handle();
    some_of_each(&handle).await;
    some_of_holds(&handle).await;
    let events = all(&handle, from(1)).await;
    assert_eq!(lsns(&events), (1..=15).collect::<Vec<_>>());
    assert!(events.is_sorted_by_key(|event| event.time_ns) && events[0].time_ns > 0);
    let spec = AccountSpec { id: account(1), currency: GBP, overdraft_limit: 0, external: true };
    assert_eq!(events[0].what, What::AccountOpened(Box::new(spec.into())));
    assert_eq!(events[3].what, What::AssetDefined { code: "POINTS".to_owned(), digits: 0 });
    let (status, reason) = (AccountStatus::Frozen, "case 812".to_owned());
    let change = Change::Status { status, reason };
    let frozen = What::AccountChanged { currency: GBP, change };
    assert_eq!(events[8].what, frozen);
    assert_eq!(events[8].accounts, [Some(account(3)), None]);
    assert_eq!(events[12].accounts, [Some(account(2)), Some(account(BANK))], "of a capture");
    let ids = (10..=14).chain(20..=24);
    for (event, id) in [4, 5, 6, 7, 9, 10, 11, 12, 13, 14].map(|at| &events[at]).iter().zip(ids) {
        let What::Decided(stored) = &event.what else { panic!("{event:?}") };
        let known = handle.requests(vec![stored.request.id()]).await.expect("up");
        let mut known = known[0].clone().expect("remembered");
        assert!(known.outcome.repeat);
        known.outcome.repeat = false;
        // What became of it since is not the event's to tell.
        assert!(known.now.take().is_some() && stored.now.is_none());
        assert_eq!((&**stored, stored.request.id().get()), (&known, id));
        assert_eq!((stored.outcome.lsn, stored.outcome.time_ns), (event.lsn, event.time_ns));
    }
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_begins_at_any_place_and_goes_on_where_it_ended() {
    let engine = start(&journal(), 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    for batch in 0..20 {
        submit(&handle, deposits(batch * 200 + 1, 200)).await;
    }
    let events = all(&handle, from(1)).await;
    assert_eq!(lsns(&events), (1..=4002).collect::<Vec<_>>());
    // Also from within frames.
    for place in [1, 2, 3, 90, 91, 512, 513, 3999, 4002, 4003] {
        let some = all(&handle, from(place)).await;
        assert_eq!(some, events[usize::try_from(place).expect("small") - 1..], "from {place}");
    }
    let mut feed = handle.subscribe(from(1)).await.expect("a place");
    let mut again = Vec::new();
    loop {
        let batch = next(&mut feed).await;
        assert!(batch.events.last().is_none_or(|last| last.lsn < batch.next_lsn));
        again.extend(batch.events);
        if batch.next_lsn > batch.durable_lsn {
            break;
        }
        // Each time as another process would.
        feed = handle.subscribe(from(batch.next_lsn.0)).await.expect("a place");
    }
    assert_eq!(again, events);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_take_what_they_say_and_tell_their_place_all_the_same() {
    let engine = start(&journal(), 1).await;
    let handle = engine.handle();
    // Account 3 and the stranger 77 are not there when it is asked for.
    let mut early = handle.subscribe(of(&[3, 77], &[])).await.expect("a place");
    assert!(next(&mut early).await.is_caught_up());
    some_of_each(&handle).await;
    submit(&handle, deposits(1000, 2000)).await;
    for (wanted, expected) in [
        (of(&[3], &[]), vec![3, 6, 7, 8, 9]),
        (of(&[3, 77], &[]), vec![3, 6, 7, 8, 9, 10]),
        (of(&[3], &[EventKind::Posted]), vec![6, 7]),
        (of(&[77], &[EventKind::Refused]), vec![10]),
        (of(&[], &[EventKind::Refused]), vec![8, 10]),
        (of(&[], &[EventKind::AccountOpened, EventKind::AssetDefined]), vec![1, 2, 3, 4]),
        (of(&[], &[EventKind::StatusChanged]), vec![9]),
        (of(&[78], &[]), vec![]),
    ] {
        let mut feed = handle.subscribe(wanted.clone()).await.expect("a place");
        assert_eq!(lsns(&rest(&mut feed).await), expected, "{wanted:?}");
    }
    let last = handle.status().durable_lsn;
    let mut seen = Vec::new();
    loop {
        let batch = next(&mut early).await;
        seen.extend(batch.events);
        if batch.next_lsn > last {
            break;
        }
    }
    assert_eq!(lsns(&seen), [3, 6, 7, 8, 9, 10], "opened while it was being followed");
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_is_followed_and_nothing_is_seen_before_it_is_durable() {
    let engine = start(&journal(), 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    let mut feed = handle.subscribe(from(0)).await.expect("a place");
    assert_eq!(next(&mut feed).await.next_lsn, Lsn(3), "from now on");
    let writer = tokio::spawn({
        let handle = handle.clone();
        async move {
            for batch in 0..50 {
                submit(&handle, deposits(batch * 20 + 1, 20)).await;
            }
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        let batch = next(&mut feed).await;
        let durable = handle.status().durable_lsn;
        assert!(batch.events.iter().all(|event| event.lsn <= durable), "{durable}");
        seen.extend(batch.events);
    }
    assert_eq!(lsns(&seen), (3..=1002).collect::<Vec<_>>());
    writer.await.expect("no panic");
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_with_nothing_to_say_tells_its_place() {
    let engine = start(&journal(), 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    let heartbeat = Duration::from_millis(1);
    let mut feed =
        handle.subscribe(Subscription { heartbeat, ..of(&[77], &[]) }).await.expect("a place");
    let first = next(&mut feed).await;
    assert_eq!((first.events.len(), first.next_lsn, first.is_caught_up()), (0, Lsn(3), true));
    assert_eq!(next(&mut feed).await, first, "a sign of life");
    submit(&handle, deposits(1, 10)).await;
    // The place moves on although nothing is wanted.
    while next(&mut feed).await.next_lsn != Lsn(13) {}
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_slows_nobody_and_misses_nothing() {
    let engine = start(&journal(), 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut feed = handle.subscribe(from(1)).await.expect("a place");
        assert_eq!(lsns(&next(&mut feed).await.events), [1, 2]);
        slow.push(feed);
    }
    for batch in 0..20 {
        submit(&handle, deposits(batch * 1000 + 1, 1000)).await;
    }
    for feed in &mut slow {
        assert_eq!(lsns(&rest(feed).await), (3..=20_002).collect::<Vec<_>>());
    }
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_are_not_there_are_refused() {
    let kept = journal();
    let engine = start(&kept, 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    submit(&handle, deposits(1, 500)).await;
    let beyond = handle.subscribe(from(504)).await.err();
    assert_eq!(beyond, Some(RequestError::NotReached { asked: Lsn(504), last: Lsn(502) }));
    let mut feed = handle.subscribe(from(1)).await.expect("a place");
    let report = kept.trim(ShardId(0), Lsn(300)).expect("trims");
    let first = report.first_lsn;
    assert!(first > Lsn(1) && first <= Lsn(301), "{first}");
    let trimmed = feed.next().await.expect_err("trimmed");
    assert_eq!(trimmed, RequestError::Trimmed { wanted: Lsn(1), first });
    assert_eq!(all(&handle, from(first.0)).await.len() as u64, 503 - first.0);
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_with_a_hole_gives_an_error_and_no_wrong_event() {
    let kept = journal();
    let engine = start(&kept, 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    submit(&handle, deposits(1, 10)).await;
    submit(&handle, deposits(11, 10)).await;
    kept.lose_frame(1);
    let mut feed = handle.subscribe(from(1)).await.expect("a place");
    let failed = loop {
        match feed.next().await {
            Ok(batch) => assert!(batch.next_lsn <= Lsn(3), "{batch:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, RequestError::ReadFailed(_)), "{failed:?}");
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_among_the_subscribers_are_bounded_and_come_free() {
    let options = EngineOptions { subscribers_max: 2, ..EngineOptions::default() };
    let kept: Arc<MemoryJournal> = journal();
    let engine = Engine::start(options, Arc::clone(&kept) as _, "test", Box::new(|_| {}));
    let engine = engine.await.expect("it starts");
    let handle = engine.handle();
    let first = handle.subscribe(from(1)).await.expect("a place");
    let _second = handle.subscribe(from(1)).await.expect("a place");
    let full = handle.subscribe(from(1)).await.err();
    assert_eq!(full, Some(RequestError::SubscribersFull { limit: 2 }));
    drop(first);
    drop(handle.subscribe(from(1)).await.expect("it came free"));
    engine.shutdown().await.expect("drains");
    for bad in [0, 65_537] {
        let options = EngineOptions { subscribers_max: bad, ..EngineOptions::default() };
        let started =
            Engine::start(options, Arc::clone(&kept) as _, "test", Box::new(|_| {})).await;
        assert!(started.is_err(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_waits_ends_with_the_engine() {
    let engine = start(&journal(), 1).await;
    let handle = engine.handle();
    let mut feed = handle.subscribe(from(1)).await.expect("a place");
    assert!(next(&mut feed).await.is_caught_up());
    let heartbeat = Duration::from_secs(3600);
    let mut patient =
        handle.subscribe(Subscription { heartbeat, ..from(1) }).await.expect("a place");
    assert!(next(&mut patient).await.is_caught_up());
    let waiting = tokio::spawn(async move { patient.next().await });
    engine.shutdown().await.expect("drains");
    let ended = tokio::time::timeout(HANG, waiting).await.expect("it ends").expect("no panic");
    assert!(matches!(ended, Err(RequestError::Stopped(_))), "{ended:?}");
    let late = handle.subscribe(from(1)).await;
    assert!(matches!(late, Err(RequestError::Stopped(_))));
}
