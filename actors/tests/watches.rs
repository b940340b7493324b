//! Watches on the engine's handle: what a feed tells against the figures read one by one, from any
//! place on, at every number of partitions, over restarts and snapshots.

mod support;

use ducat_actors::feed::{FeedFilter, Fired, Subscription};
use ducat_actors::handle::{EngineOptions, Handle};
use ducat_actors::snapshots::{SnapshotOptions, SnapshotSchedule};
use ducat_actors::start::Engine;
use ducat_engine::ids::{AccountId, Lsn, ShardId};
use ducat_engine::limits::LimitsChange;
use ducat_engine::request::{HoldRequest, Request};
use ducat_engine::testing::rng::Rng;
use ducat_engine::transfer::{AccountRejection, BalanceAfter};
use ducat_engine::watch::{Condition, Figure, Flow, WATCHES_MAX, WatchChange};
use ducat_persistence::snapshot::SnapshotStore;
use ducat_persistence::{Journal, LedgerId};
use std::sync::Arc;
use std::time::Duration;
use support::{BANK, account, capture, hold, journal, open, refund, start, submit, transfer, void};

const HOUR_NS: u64 = 3_600 * 1_000_000_000;

fn add(name: &str, condition: Condition) -> WatchChange {
    WatchChange::Add { name: name.to_owned(), condition }
}

fn remove(name: &str) -> WatchChange {
    WatchChange::Remove { name: name.to_owned() }
}

async fn watch(handle: &Handle, on: u128, change: WatchChange) -> Lsn {
    let shown = handle.change_watch(account(on), change).await.expect("up").expect("possible");
    shown.details.expect("it is watched").last_lsn
}

const fn below(figure: Figure, bound: i128) -> Condition {
    Condition::Below { figure, bound }
}

const fn above(figure: Figure, bound: i128) -> Condition {
    Condition::Above { figure, bound }
}

const fn moved(flow: Flow, above: u128) -> Condition {
    // So long that a test does not see it end.
    Condition::Moved { flow, above, window_ns: 366 * 24 * HOUR_NS }
}

type Told = (Lsn, AccountId, String, Option<u128>);

/// What a feed tells of watches from a place on, to the end.
async fn told(handle: &Handle, from: Lsn, filter: FeedFilter) -> Vec<Told> {
    let subscription = Subscription { from, filter, heartbeat: Duration::from_millis(1) };
    let mut feed = handle.subscribe(subscription).await.expect("a place");
    let mut told = Vec::new();
    loop {
        let batch = feed.next().await.expect("readable");
        for event in &batch.events {
            for trigger in &event.fired {
                let Fired { name, moved, .. } = trigger.fired.clone();
                told.push((event.lsn, trigger.account, name, moved));
            }
        }
        if batch.is_caught_up() {
            return told;
        }
    }
}

fn is_watch(told: &Told, name: &str) -> bool {
    told.2 == name
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_triggers_at_the_event_that_makes_it_true_and_again_once_it_was_false() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    watch(&handle, 2, add("low", below(Figure::Available, 50))).await;
    watch(&handle, 2, add("rich", above(Figure::Posted, 150))).await;
    // True from the start: it has not become so.
    watch(&handle, 2, add("poor", below(Figure::Posted, 200))).await;
    let mut at = Vec::new();
    for (number, debit, credit, amount) in [
        (10, 2, 3, 50),
        (11, 2, 3, 1),
        (12, 2, 3, 1),
        (13, BANK, 2, 10),
        (14, 2, 3, 20),
        (15, BANK, 2, 200),
        (16, 2, 3, 40),
    ] {
        at.push(submit(&handle, vec![transfer(number, debit, credit, amount)]).await[0].lsn);
    }
    let all = told(&handle, Lsn(1), FeedFilter::default()).await;
    let of = |name: &str| -> Vec<Lsn> {
        all.iter().filter(|told| is_watch(told, name)).map(|told| told.0).collect()
    };
    assert_eq!(of("low"), [at[1], at[4]]);
    assert_eq!(of("rich"), [at[5]]);
    assert_eq!(of("poor"), [at[6]]);
    let alone = FeedFilter { fired: true, ..FeedFilter::default() };
    assert_eq!(told(&handle, Lsn(1), alone).await, all);
    engine.shutdown().await.expect("nothing failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_and_limits_change_what_is_available() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    watch(&handle, 2, add("low", below(Figure::Available, 50))).await;
    watch(&handle, 2, add("high", above(Figure::Available, 120))).await;
    let ask = async |request: Request| {
        let answers = handle.submit(vec![request]).expect("room").answers().await.expect("up");
        assert_eq!(answers.outcomes[0].rejection, None);
        answers.outcomes[0].lsn
    };
    let placed = ask(hold(10, 2, 3, 60).into()).await;
    ask(void(11, 10).into()).await;
    let again = ask(hold(12, 2, 3, 80).into()).await;
    ask(capture(13, 12, Some(30)).into()).await;
    let limit = |overdraft: u128| LimitsChange {
        overdraft_limit: Some(overdraft),
        ..LimitsChange::default()
    };
    let limits = async |change| {
        let shown = handle.change_limits(account(2), change).await.expect("up").expect("possible");
        shown.details.expect("it is watched").last_lsn
    };
    let wide = limits(limit(200)).await;
    let narrow = limits(limit(10)).await;
    let all = told(&handle, Lsn(1), FeedFilter::default()).await;
    let places: Vec<(Lsn, &str)> = all.iter().map(|told| (told.0, told.2.as_str())).collect();
    assert_eq!(places, [(placed, "low"), (again, "low"), (wide, "high"), (narrow, "low")]);
    // What the journal says replays.
    let hash = handle.summary().await.expect("up").hash;
    engine.shutdown().await.expect("nothing failed");
    let engine = start(&journal, 4).await;
    let handle = engine.handle();
    assert_eq!(handle.summary().await.expect("up").hash, hash);
    assert_eq!(told(&handle, Lsn(1), FeedFilter::default()).await, all);
    engine.shutdown().await.expect("nothing failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_defined_once_and_there_are_so_many() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    let low = below(Figure::Available, 5);
    let first = watch(&handle, 2, add("low", low)).await;
    assert_eq!(watch(&handle, 2, add("low", low)).await, first, "nothing changed");
    let refused = async |change| {
        handle.change_watch(account(2), change).await.expect("up").expect_err("refused")
    };
    let other = add("low", below(Figure::Posted, 5));
    assert_eq!(refused(other).await, AccountRejection::WatchExists);
    assert_eq!(refused(remove("lower")).await, AccountRejection::WatchUnknown);
    for more in 1..WATCHES_MAX {
        watch(&handle, 2, add(&format!("w{more}"), low)).await;
    }
    assert_eq!(refused(add("more", low)).await, AccountRejection::WatchesFull);
    let short = Condition::Moved { flow: Flow::Both, above: 1, window_ns: 1 };
    watch(&handle, 2, remove("w1")).await;
    assert_eq!(refused(add("short", short)).await, AccountRejection::WatchInvalid);
    let lsn = handle.status().last_lsn;
    let dry = handle.dry_run_watch(account(2), add("dry", low)).await.expect("up");
    let names = dry.what.expect("possible").details.expect("watched").watches.clone();
    assert!(names.iter().any(|watch| watch.name == "dry"));
    assert_eq!((dry.as_of, handle.status().last_lsn), (lsn, lsn));
    engine.shutdown().await.expect("nothing failed");
}

/// The figures of the watched account after each event, as its outcomes tell them, and what became
/// true by them: the serial reading.
#[derive(Default)]
struct Reading {
    now: Option<BalanceAfter>,
    debits: u128,
    credits: u128,
    told: Vec<Told>,
}

impl Reading {
    fn take(&mut self, lsn: Lsn, after: BalanceAfter, watches: &[(String, Condition)]) {
        let before = self.now.replace(after).unwrap_or(BalanceAfter { posted: 0, available: 0 });
        let change = after.posted - before.posted;
        let (debits, credits) = (self.debits, self.credits);
        if change < 0 {
            self.debits += change.unsigned_abs();
        } else {
            self.credits += change.unsigned_abs();
        }
        for (name, condition) in watches {
            let figure = |of: BalanceAfter, figure| match figure {
                Figure::Posted => of.posted,
                Figure::Available => of.available,
            };
            let (was, is, sum) = match *condition {
                Condition::Below { figure: of, bound } => {
                    (figure(before, of) < bound, figure(after, of) < bound, None)
                }
                Condition::Above { figure: of, bound } => {
                    (figure(before, of) > bound, figure(after, of) > bound, None)
                }
                Condition::Moved { flow, above, .. } => {
                    let sum = |debits, credits| match flow {
                        Flow::Debits => debits,
                        Flow::Credits => credits,
                        Flow::Both => debits + credits,
                    };
                    let (was, is) = (sum(debits, credits), sum(self.debits, self.credits));
                    (was > above, is > above, Some(is))
                }
            };
            if !was && is {
                self.told.push((lsn, account(2), name.clone(), sum));
            }
        }
    }
}

fn request(rng: &mut Rng, number: u128) -> Request {
    let amount = 1 + rng.below(60) as u128;
    let earlier = 100 + rng.below((number - 99) as usize) as u128;
    match rng.below(8) {
        0 => HoldRequest { over_capture_max: 20, ..hold(number, 2, 3, amount) }.into(),
        1 => capture(number, earlier, None).into(),
        2 => capture(number, earlier, Some(amount)).into(),
        3 => void(number, earlier).into(),
        4 => refund(number, earlier, Some(amount)).into(),
        5 => transfer(number, BANK, 2, 2 * amount).into(),
        _ => transfer(number, 2, 3, amount).into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_tells_what_reading_one_by_one_does_whatever_the_batches_and_the_place() {
    for seed in 1..=6_u64 {
        let mut rng = Rng::new(seed);
        let journal = journal();
        let partitions = [1, 2, 4, 8][rng.below(4)];
        let mut engine = start(&journal, partitions).await;
        let mut handle = engine.handle();
        open(&handle, 3).await;
        let mut reading = Reading::default();
        let mut watches: Vec<(String, Condition)> = Vec::new();
        let mut number = 100;
        for round in 0..60 {
            let on = Some(account(2));
            match rng.below(12) {
                0..4 if watches.len() < WATCHES_MAX => {
                    let bound = rng.below(200) as i128;
                    let condition = match rng.below(6) {
                        0 => below(Figure::Posted, bound),
                        1 => below(Figure::Available, bound),
                        2 => above(Figure::Posted, bound),
                        3 => above(Figure::Available, bound),
                        4 => moved(Flow::Debits, 10 * bound.unsigned_abs()),
                        _ => moved(Flow::Both, 20 * bound.unsigned_abs()),
                    };
                    let name = format!("w{round}");
                    watch(&handle, 2, add(&name, condition)).await;
                    watches.push((name, condition));
                }
                4 if watches.len() > 4 => {
                    let (name, _) = watches.remove(rng.below(watches.len()));
                    watch(&handle, 2, remove(&name)).await;
                }
                5 => {
                    engine.shutdown().await.expect("nothing failed");
                    engine = start(&journal, partitions).await;
                    handle = engine.handle();
                }
                _ => {}
            }
            let size = 1 + rng.below(20);
            let requests: Vec<Request> = (0..size)
                .map(|_| {
                    number += 1;
                    request(&mut rng, number)
                })
                .collect();
            let asked = requests.clone();
            let answers = handle.submit(requests).expect("room").answers().await.expect("up");
            for (request, outcome) in asked.iter().zip(&answers.outcomes) {
                if outcome.rejection.is_some() {
                    continue;
                }
                let debits = match request {
                    Request::Transfer(transfer) => Some(transfer.debit) == on,
                    Request::Refund(_) => false,
                    _ => true,
                };
                // Refunds go back to the account, deposits of the bank to the bank.
                let after = if debits { outcome.debit } else { outcome.credit };
                let of_bank = matches!(request, Request::Refund(refund)
                    if is_deposit(&handle, refund.of).await);
                let after = if of_bank { outcome.debit } else { after };
                reading.take(outcome.lsn, after.expect("told"), &watches);
            }
        }
        assert!(reading.told.len() > 10, "{} triggers", reading.told.len());
        let all = told(&handle, Lsn(1), FeedFilter::default()).await;
        assert_eq!(all, reading.told, "seed {seed}");
        let last = handle.status().last_lsn.0;
        for from in (1..=last).step_by(37) {
            let tail = told(&handle, Lsn(from), FeedFilter::default()).await;
            let rest = reading.told.iter().filter(|told| told.0 >= Lsn(from)).cloned();
            assert_eq!(tail, rest.collect::<Vec<_>>(), "seed {seed} from {from}");
        }
        engine.shutdown().await.expect("nothing failed");
    }
}

async fn is_deposit(handle: &Handle, of: ducat_engine::ids::TransferId) -> bool {
    let found = handle.requests(vec![of]).await.expect("up").pop().flatten();
    found.is_some_and(|stored| match stored.request {
        Request::Transfer(transfer) => transfer.debit == account(BANK),
        _ => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_survive_a_start_from_a_snapshot() {
    let journal = journal();
    let dir = tempfile::tempdir().expect("a directory");
    let start = async |partitions| {
        let ledger = LedgerId::from_bytes([7; 16]);
        let store = SnapshotStore::at(dir.path().join("snapshots"), ledger, ShardId(0));
        let schedule = SnapshotSchedule::off();
        let snapshots = Some(SnapshotOptions { schedule, ..SnapshotOptions::new(store) });
        let options = EngineOptions { partitions, snapshots, ..EngineOptions::default() };
        let journal: Arc<dyn Journal> = Arc::clone(&journal) as _;
        Engine::start(options, journal, "test", Box::new(|_| {})).await.expect("it starts")
    };
    let engine = start(2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    submit(&handle, vec![transfer(1, BANK, 2, 100)]).await;
    watch(&handle, 2, add("low", below(Figure::Available, 50))).await;
    watch(&handle, 2, add("spent", moved(Flow::Debits, 60))).await;
    watch(&handle, 2, add("gone", below(Figure::Posted, 70))).await;
    submit(&handle, vec![transfer(2, 2, 3, 40)]).await;
    watch(&handle, 2, remove("gone")).await;
    handle.create_snapshot().await.expect("it is written");
    submit(&handle, vec![transfer(3, 2, 3, 30)]).await;
    let all = told(&handle, Lsn(1), FeedFilter::default()).await;
    let names: Vec<&str> = all.iter().map(|told| told.2.as_str()).collect();
    assert_eq!(names, ["gone", "low", "spent"]);
    let hash = handle.summary().await.expect("up").hash;
    engine.shutdown().await.expect("nothing failed");
    let engine = start(4).await;
    assert!(engine.origin().snapshot.is_some(), "it starts from the snapshot");
    let handle = engine.handle();
    assert_eq!(handle.summary().await.expect("up").hash, hash);
    assert_eq!(told(&handle, Lsn(1), FeedFilter::default()).await, all);
    engine.shutdown().await.expect("nothing failed");
}
