//! The audit trail on the handle: one event for the calls of a batch that are alike, in the append of
//! what they did; read back by time, place and entity; in replay it changes nothing.

mod support;

use ducat_actors::audit::{AuditFilter, AuditPage, AuditQuery, Entity, Seed, Who, scope};
use ducat_actors::feed::{FeedFilter, Subscription};
use ducat_actors::handle::Handle;
use ducat_engine::audit::{AuditEvent, AuditKind, AuditOutcome, Run, Severity};
use ducat_engine::codec::decode_all;
use ducat_engine::coordinator::FeeTarget;
use ducat_engine::fees::{FeeRule, Schedule};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::record::Record;
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{AccountStatus, TransferKind, TransferRequest};
use ducat_persistence::{Journal, MemoryJournal};
use std::sync::Arc;
use std::time::Instant;
use support::{BANK, GBP, account, id, journal, open, start, transfer};

fn who(name: &str) -> Arc<Who> {
    Arc::new(Who { principal: name.into(), address: "192.0.2.1".into(), agent: "test".into() })
}

fn seed(who: &Arc<Who>) -> Arc<Seed> {
    Seed::new(Arc::clone(who), "Ledger/CreateTransfers", Severity::Info, None, Instant::now())
}

/// Has a batch decided on behalf of somebody.
async fn submit(handle: &Handle, seed: &Arc<Seed>, batch: Vec<TransferRequest>) {
    let work = async { handle.submit(batch).expect("room").outcomes().await.expect("up") };
    scope(Arc::clone(seed), work).await;
}

async fn pages(handle: &Handle, filter: AuditFilter, limit: usize) -> Vec<(u64, AuditEvent)> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let query = AuditQuery { filter: filter.clone(), from, limit };
        let AuditPage { events, next, .. } = handle.audit_page(query).await.expect("readable");
        assert!(events.len() <= limit);
        all.extend(events.into_iter().map(|one| (one.lsn.0, *one.event)));
        match next {
            Some(next) => from = Some(next),
            None => return all,
        }
    }
}

async fn all(handle: &Handle) -> Vec<(u64, AuditEvent)> {
    pages(handle, AuditFilter::default(), 1_000).await
}

fn about(entity: Entity) -> AuditFilter {
    AuditFilter { entity: Some(entity), ..AuditFilter::default() }
}

/// The frames' records, and which of them lie in which frame.
fn frames(journal: &Arc<MemoryJournal>) -> Vec<Vec<Record>> {
    let frames = journal.read(ShardId(0), Lsn(1)).expect("readable");
    let records = |frame: ducat_persistence::Frame| {
        decode_all(frame.payload()).map(|record| record.expect("sound")).collect()
    };
    frames.map(|frame| records(frame.expect("sound"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_event_behind_what_it_did() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    let (anna, bob) = (who("anna"), who("bob"));
    // Before anybody is told of, nothing is.
    assert_eq!(all(&handle).await, []);
    let mut batch: Vec<_> = (1..=5_000).map(|n| transfer(n, BANK, 2, 1)).collect();
    batch.push(transfer(5_001, 3, 2, 1));
    batch.push(transfer(5_002, 3, 2, 0));
    submit(&handle, &seed(&anna), batch).await;
    let again = seed(&bob);
    assert!(!again.is_told());
    submit(&handle, &again, vec![transfer(1, BANK, 2, 1), transfer(6_000, 2, 3, 1)]).await;
    assert!(again.is_told());

    let told = all(&handle).await;
    assert_eq!(told.len(), 2, "{told:?}");
    let (lsn, event) = &told[0];
    assert_eq!((*lsn, event.calls, event.requests, event.done), (5_006, 1, 5_002, 5_000));
    let refused = [(Rejection::AmountZero, 1), (Rejection::InsufficientFunds, 1)];
    assert_eq!((&event.rejections[..], event.repeats), (&refused[..], 0));
    assert_eq!(event.runs, [Run { first: Lsn(4), last: Lsn(5_005) }]);
    assert_eq!((event.principal.as_str(), event.address.as_str()), ("anna", "192.0.2.1"));
    let (lsn, event) = &told[1];
    assert_eq!((*lsn, event.requests, event.done, event.repeats), (5_008, 2, 1, 1));
    assert_eq!(event.runs, [Run { first: Lsn(5_007), last: Lsn(5_007) }]);
    engine.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_comes_to_the_same_state_and_feeds_tell_nobody() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    submit(&handle, &seed(&who("anna")), vec![transfer(1, BANK, 2, 7)]).await;
    handle.audit(vec![AuditEvent::new(AuditKind::Read, "Ledger/GetAccounts")]).await.expect("up");
    let (before, told) = (handle.summary().await.expect("up"), all(&handle).await);
    engine.shutdown().await.expect("stops");

    let engine = start(&journal, 4).await;
    let handle = engine.handle();
    assert_eq!(handle.summary().await.expect("up"), before);
    assert_eq!(all(&handle).await, told);
    let subscription =
        Subscription { from: Lsn(1), filter: FeedFilter::default(), ..Subscription::default() };
    let mut feed = handle.subscribe(subscription).await.expect("a place");
    let (mut seen, mut next) = (0, Lsn(0));
    while next <= before.lsn {
        let batch = feed.next().await.expect("sound");
        seen += batch.events.len();
        next = batch.next_lsn;
    }
    assert_eq!(seen, 3, "two accounts and a transfer, and the places of the others are passed");
    engine.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_of_in_its_own_frame_and_a_refused_one_is_not() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    let call = |method| Seed::new(who("olga"), method, Severity::Notice, None, Instant::now());
    let freeze = call("Ledger/SetAccountStatus");
    let work = handle.set_status(account(2), AccountStatus::Frozen, String::new());
    let changed = scope(Arc::clone(&freeze), work).await.expect("up");
    changed.expect("frozen");
    let unknown = call("Ledger/SetAccountStatus");
    let work = handle.set_status(account(9), AccountStatus::Frozen, String::new());
    let refused = scope(Arc::clone(&unknown), work).await.expect("up");
    refused.expect_err("there is none");
    assert!(freeze.is_told() && !unknown.is_told());
    let frames = frames(&journal);
    let last = frames.last().expect("some");
    assert!(
        matches!(&last[..], [Record::Account(_), Record::Audit(event)]
            if event.severity == Severity::Notice && event.made(Lsn(3))),
        "{last:?}"
    );
    engine.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_found_by_what_it_was_about_and_paged() {
    let journal = journal();
    let engine = start(&journal, 1).await;
    let handle = engine.handle();
    open(&handle, 4).await;
    let (anna, bob) = (who("anna"), who("bob"));
    for n in 0..30 {
        let to = 2 + n % 3;
        let caller = if n % 2 == 0 { &anna } else { &bob };
        submit(&handle, &seed(caller), vec![transfer(100 + n, BANK, to, 1)]).await;
    }
    let denied = AuditEvent {
        outcome: AuditOutcome::Refused,
        severity: Severity::Warning,
        entity: "account 3".into(),
        ..AuditEvent::new(AuditKind::Denied, "Ledger/GetAccounts")
    };
    handle.audit(vec![denied.clone()]).await.expect("up");

    let of_account = pages(&handle, about(Entity::Account(account(3))), 4).await;
    assert_eq!(of_account.len(), 11, "ten transfers, and who was denied");
    assert_eq!(of_account.last().map(|(_, event)| event), Some(&denied));
    let of_transfer = pages(&handle, about(Entity::Transfer(id(107))), 10).await;
    assert_eq!(of_transfer.len(), 1);
    assert_eq!(of_transfer[0].1.principal, "bob");
    let of_bob = AuditFilter { principal: Some("bob".into()), ..AuditFilter::default() };
    assert_eq!(pages(&handle, of_bob.clone(), 7).await.len(), 15);
    let both = AuditFilter { entity: Some(Entity::Account(account(2))), ..of_bob };
    assert_eq!(pages(&handle, both, 2).await.len(), 5);
    let worse = AuditFilter { severity: Some(Severity::Warning), ..AuditFilter::default() };
    assert_eq!(pages(&handle, worse, 10).await.len(), 1);
    let kinds = AuditFilter { kinds: vec![AuditKind::Login], ..AuditFilter::default() };
    assert_eq!(pages(&handle, kinds, 10).await, []);

    // By time: what was journalled from an event's time on, and before it.
    let query = AuditQuery { limit: 1_000, ..AuditQuery::default() };
    let every = handle.audit_page(query).await.expect("readable").events;
    let (middle, count) = (every[12].time_ns, every.len());
    let from = AuditFilter { from_ns: middle, ..AuditFilter::default() };
    let until = AuditFilter { until_ns: Some(middle), ..AuditFilter::default() };
    let (from, until) = (pages(&handle, from, 5).await, pages(&handle, until, 5).await);
    assert_eq!(from.len() + until.len(), count);
    assert_eq!(from[0].0, every.iter().find(|one| one.time_ns >= middle).expect("it").lsn.0);
    engine.shutdown().await.expect("stops");
}

/// Many calls at a time of two callers: each event is exact about its own, whatever came together.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_come_together_are_told_as_one_and_exactly() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 2).await;
    let callers = [who("anna"), who("bob")];
    let mut tasks = Vec::new();
    for n in 0..600_u128 {
        let (handle, seed) =
            (handle.clone(), seed(&callers[usize::try_from(n % 2).expect("0 or 1")]));
        tasks.push(tokio::spawn(async move {
            submit(&handle, &seed, vec![transfer(1 + n, BANK, 2, 1)]).await;
        }));
    }
    for task in tasks {
        task.await.expect("done");
    }
    let told = all(&handle).await;
    let records: Vec<Record> = frames(&journal).into_iter().flatten().collect();
    for (at, name) in ["anna", "bob"].into_iter().enumerate() {
        let own: Vec<_> = told.iter().filter(|(_, event)| event.principal == name).collect();
        assert_eq!(own.iter().map(|(_, event)| event.calls).sum::<u64>(), 300);
        assert_eq!(own.iter().map(|(_, event)| event.done).sum::<u64>(), 300);
        for (lsn, event) in own {
            for run in &event.runs {
                assert!(run.last < Lsn(*lsn));
                for lsn in run.first.0..=run.last.0 {
                    let record = &records[usize::try_from(lsn - 1).expect("few")];
                    let transfer = record.transfer_id().expect("a transfer").get();
                    assert_eq!((transfer - 1) % 2, at as u128, "event {lsn} is told of {name}");
                }
            }
        }
    }
    // However small the pages, none ends between events of one append and forgets what they did.
    let of_account = |limit| pages(&handle, about(Entity::Account(account(2))), limit);
    assert_eq!(of_account(1).await, of_account(1_000).await);
    assert_eq!(of_account(1).await.len(), told.len());
    engine.shutdown().await.expect("stops");
}

/// Fees' legs stand behind what was asked for, and whoever gets them was touched all the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_gets_a_fee_was_touched_by_whom_paid_it() {
    let journal = journal();
    let engine = start(&journal, 2).await;
    let handle = engine.handle();
    open(&handle, 4).await;
    let rule = FeeRule { flat: 3, ..FeeRule::default() };
    let card = Schedule { name: "card".into(), currency: GBP, account: account(4), rule };
    handle.define_fee(card).await.expect("up").expect("allowed");
    let kind = FeeTarget::Kind(TransferKind::Deposit, GBP);
    handle.attach_fee(kind, Some("card".into())).await.expect("up").expect("allowed");
    submit(&handle, &seed(&who("anna")), vec![transfer(1, BANK, 2, 10)]).await;
    for touched in [2, 4] {
        let told = pages(&handle, about(Entity::Account(account(touched))), 10).await;
        assert_eq!(told.len(), 1, "account {touched}");
        assert_eq!(told[0].1.principal, "anna");
    }
    assert_eq!(pages(&handle, about(Entity::Account(account(3))), 10).await, []);
    engine.shutdown().await.expect("stops");
}
