//! Archiving beneath a real engine: at each step of it the files are what the next process would
//! find, and they are a good ledger; a running engine archives by itself, and answers from the
//! archive.

mod support;

use ducat_actors::feed::Subscription;
use ducat_actors::handle::{EngineOptions, GroupReversal, Handle};
use ducat_actors::history::{Moment, StatementQuery};
use ducat_actors::replay::{Until, replay_offline};
use ducat_actors::snapshots::{SnapshotOptions, offline, rebuild};
use ducat_actors::start::Engine;
use ducat_actors::upkeep::archiving::ArchiveOptions;
use ducat_engine::ids::{Lsn, ShardId, TransferId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::note::{Day, Note};
use ducat_engine::transfer::Outcome;
use ducat_persistence::archive::{Step, TrimError, TrimOptions, Trimmer, archive_after_snapshot};
use ducat_persistence::snapshot::SnapshotStore;
use ducat_persistence::{
    ArchiveError, ArchiveStore, ArchivedJournal, DataDir, DataDirError, Journal, SledJournal,
    SledOptions,
};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{BANK, account, open, submit, transfer};

const SHARD: ShardId = ShardId(0);
const ALL: TrimOptions = TrimOptions { snapshots_kept: 2, journal_bytes_min: 0 };

struct Opened {
    view: Arc<ArchivedJournal>,
    archive: Arc<ArchiveStore>,
    snapshots: SnapshotStore,
}

fn opened(root: &Path) -> Opened {
    let dir = Arc::new(held(root));
    let archive = Arc::new(ArchiveStore::of(&dir, SHARD).expect("a good archive"));
    let snapshots = SnapshotStore::new(&dir, SHARD);
    let options = SledOptions { segment_bytes_max: 64 << 10, ..SledOptions::default() };
    let journal = Arc::new(SledJournal::open(dir, options).expect("a good journal"));
    let view = Arc::new(ArchivedJournal::new(journal, Ok(Arc::clone(&archive))));
    Opened { view, archive, snapshots }
}

/// The directory, once the engine that was stopped a moment ago has let go of it.
fn held(root: &Path) -> DataDir {
    let since = Instant::now();
    loop {
        match DataDir::create_or_open(root) {
            Err(DataDirError::InUse { .. }) if since.elapsed() < Duration::from_secs(90) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.expect("opens"),
        }
    }
}

fn options(opened: &Opened) -> EngineOptions {
    let snapshots = Some(SnapshotOptions::new(opened.snapshots.clone()));
    EngineOptions { snapshots, ..EngineOptions::default() }
}

async fn engine(opened: &Opened, options: EngineOptions) -> Engine {
    let journal: Arc<dyn Journal> = Arc::clone(&opened.view) as _;
    Engine::start(options, journal, "test", Box::new(|_| {})).await.expect("it starts")
}

/// Deposits under ids `1000 * part ..`, enough for some segments.
async fn fill(root: &Path, part: u128) -> Vec<Outcome> {
    let opened = opened(root);
    let engine = engine(&opened, options(&opened)).await;
    let handle = engine.handle();
    if part == 1 {
        open(&handle, 3).await;
    }
    let mut outcomes = Vec::new();
    for batch in 0..4 {
        let from = part * 100_000 + batch * 1_000 + 1;
        let transfers = (from..from + 1_000).map(|id| transfer(id, BANK, 2, id)).collect();
        outcomes.extend(submit(&handle, transfers).await);
    }
    engine.shutdown().await.expect("drains");
    drop(handle);
    drop(opened);
    let again = self::opened(root);
    offline::create(&*again.view, SHARD, &again.snapshots, false, 0, Box::new(|_| {}))
        .expect("a snapshot");
    outcomes
}

/// The state after everything, from the very beginning, and how many events that took.
fn replayed(journal: &dyn Journal) -> ([u8; 32], u64) {
    let mut ledger = Ledger::new(1, 0, REMEMBER_NS).expect("one partition");
    let until = Until::default();
    let tail = replay_offline(journal, SHARD, &mut ledger, until, &mut (), Box::new(|_| {}));
    let tail = tail.expect("sound from the beginning");
    assert_eq!(tail.first_lsn, Lsn(1));
    (ledger.summary().0, tail.records)
}

/// The state after everything, from the newest snapshot.
fn started(opened: &Opened) -> [u8; 32] {
    let store = Some(&opened.snapshots);
    let built = rebuild::scan(&*opened.view, SHARD, store, Box::new(|_| {})).expect("starts");
    assert!(built.from.is_some() && built.rejected.is_empty(), "{:?}", built.rejected);
    built.ledger.summary().0
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("creates");
    for entry in std::fs::read_dir(from).expect("lists") {
        let (entry, name) =
            (entry.as_ref().expect("lists"), entry.as_ref().expect("lists").file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).expect("copies");
        }
    }
}

/// What another process finds after a crash is a good ledger, whatever was done up to then.
fn check(root: &Path, expected: ([u8; 32], u64), step: Step) {
    let opened = opened(root);
    assert_eq!(replayed(&*opened.view), expected, "{step:?}: from the beginning");
    assert_eq!(started(&opened), expected.0, "{step:?}: from a snapshot");
    // Overlap is compared and what was begun is ended.
    archive_after_snapshot(&*opened.view, SHARD, &opened.snapshots, &opened.archive, ALL)
        .unwrap_or_else(|error| panic!("{step:?}: {error}"));
    assert!(opened.archive.verify(&mut |_, _| true).is_empty(), "{step:?}");
    assert_eq!(opened.archive.strays().expect("lists"), [], "{step:?}");
    assert!(opened.view.trimmed_to(SHARD).expect("known").lsn > Lsn::ZERO, "{step:?}");
    assert_eq!(replayed(&*opened.view), expected, "{step:?}: trimmed");
    assert_eq!(started(&opened), expected.0, "{step:?}: trimmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_behind_any_step_leaves_a_good_ledger() {
    let home = tempfile::tempdir().expect("a directory");
    let root = home.path().join("data");
    fill(&root, 1).await;
    fill(&root, 2).await;
    let opened = opened(&root);
    let expected = replayed(&*opened.view);
    let mut copies = Vec::new();
    let mut watch = |step: Step| {
        // Of the first two segments; then it is always the same.
        if copies.len() < 10 {
            let copy = home.path().join(format!("copy-{}", copies.len()));
            copy_tree(&root, &copy);
            copies.push((copy, step));
        }
        ControlFlow::Continue(())
    };
    let mut trimmer = Trimmer::default();
    let (snapshots, archive) = (&opened.snapshots, &opened.archive);
    let done = trimmer.run(&*opened.view, SHARD, snapshots, archive, ALL, &mut watch);
    let done = done.expect("archives");
    assert!(done.pieces >= 2 && done.bytes > 0, "{done:?}");
    assert_eq!(done.archived.len() as u64, done.pieces);
    for kind in [Step::Written, Step::ReadBack, Step::Renamed, Step::Named] {
        assert!(copies.iter().any(|(_, step)| *step == kind), "{kind:?} in {copies:?}");
    }
    for (copy, step) in copies {
        check(&copy, expected, step);
    }
    assert_eq!(replayed(&*opened.view), expected);

    let again = trimmer.run(&*opened.view, SHARD, snapshots, archive, ALL, &mut |_| {
        panic!("nothing is left to do")
    });
    assert_eq!(again.expect("looks").pieces, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_may_stop_it() {
    let home = tempfile::tempdir().expect("a directory");
    let root = home.path().join("data");
    fill(&root, 1).await;
    fill(&root, 2).await;
    let opened = opened(&root);
    let expected = replayed(&*opened.view);
    let (snapshots, archive) = (&opened.snapshots, &opened.archive);
    for stop in [Step::Written, Step::ReadBack, Step::Renamed, Step::Named] {
        let mut watch = |step| {
            if step == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut trimmer = Trimmer::default();
        let ended = trimmer.run(&*opened.view, SHARD, snapshots, archive, ALL, &mut watch);
        let stopped = matches!(ended, Err(TrimError::Archive(ArchiveError::Stopped)));
        assert!(stopped, "{stop:?}: {ended:?}");
        assert_eq!(replayed(&*opened.view), expected, "{stop:?}");
    }
    archive_after_snapshot(&*opened.view, SHARD, snapshots, archive, ALL).expect("goes on");
    assert_eq!(replayed(&*opened.view), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_say_how_far() {
    let home = tempfile::tempdir().expect("a directory");
    let root = home.path().join("data");
    fill(&root, 1).await;
    let run = |opened: &Opened, options| {
        archive_after_snapshot(&*opened.view, SHARD, &opened.snapshots, &opened.archive, options)
            .expect("looks")
    };
    // One snapshot is not two.
    let one = opened(&root);
    assert_eq!(run(&one, ALL).pieces, 0);
    drop(one);
    fill(&root, 2).await;
    let two = opened(&root);
    let listed = two.snapshots.list().expect("lists");
    // A newest one that is bad does not count; what is kept stays by its size.
    let bytes = std::fs::read(&listed[0].path).expect("reads");
    let mut spoilt = bytes.clone();
    let middle = bytes.len() / 2;
    spoilt[middle] ^= 1;
    std::fs::write(&listed[0].path, spoilt).expect("writes");
    assert_eq!(run(&two, ALL).pieces, 0);
    std::fs::write(&listed[0].path, bytes).expect("writes");
    let most = TrimOptions { journal_bytes_min: 1 << 40, ..ALL };
    let held = run(&two, most);
    assert!(held.pieces == 0 && held.held_back_bytes > 0, "{held:?}");
    let done = run(&two, ALL);
    assert!(done.pieces > 0 && done.upto == listed[1].lsn, "{done:?}");
    let base = two.view.trimmed_to(SHARD).expect("known").lsn;
    assert!(base <= listed[1].lsn, "the older snapshot still reaches the journal");
    // The newest spoilt again: a start uses the older one.
    std::fs::write(&listed[0].path, b"spoilt").expect("writes");
    let store = Some(&two.snapshots);
    let built = rebuild::scan(&*two.view, SHARD, store, Box::new(|_| {})).expect("starts");
    assert_eq!(built.from.map(|summary| summary.header.lsn()), Some(listed[1].lsn));
    // And none at all: the archive has what it takes.
    assert_eq!(replayed(&*two.view).0, built.ledger.summary().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_archives_by_itself_and_answers_from_the_archive() {
    let home = tempfile::tempdir().expect("a directory");
    let root = home.path().join("data");
    let first = fill(&root, 1).await;
    fill(&root, 2).await;
    let opened = opened(&root);
    let archiving = ArchiveOptions {
        store: Ok(Arc::clone(&opened.archive)),
        trim: ALL,
        period: Duration::from_millis(5),
        bytes_per_second_max: u64::MAX,
    };
    let with = EngineOptions { archive: Some(archiving), ..options(&opened) };
    let engine = engine(&opened, with).await;
    let handle = engine.handle();
    let since = Instant::now();
    let health = loop {
        let health = handle.health().archive.expect("it archives");
        if health.journal_first_lsn > first[999].lsn && health.files > 0 {
            break health;
        }
        assert_eq!(health.last_error, None);
        assert!(since.elapsed() < Duration::from_secs(90), "{health:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(health.dropped_bytes > 0 && health.last_lsn.next() >= health.journal_first_lsn);
    // Repeats, transfers by id and statements of what was trimmed.
    let ids: Vec<u128> = first.iter().take(1_000).map(|outcome| outcome.id.get()).collect();
    let again = ids.iter().map(|id| transfer(*id, BANK, 2, *id)).collect();
    for (again, first) in submit(&handle, again).await.iter().zip(&first) {
        assert!(again.repeat);
        assert_eq!((again.lsn, again.time_ns), (first.lsn, first.time_ns));
    }
    let asked = vec![TransferId::new(ids[0]).expect("not zero")];
    let stored = handle.transfers(asked).await.expect("reads")[0].expect("remembered");
    assert_eq!(stored.outcome.lsn, first[0].lsn);
    let page = handle.entries(account(2), Some(first[999].lsn), 10_000).await.expect("reads");
    let page = page.expect("an account");
    assert_eq!(page.entries.len(), 1_000);
    assert_eq!(page.entries.last().expect("some").lsn, first[0].lsn);
    // A feed begins in the archive and goes on in the journal.
    let mut feed = handle.subscribe(Subscription::default()).await.expect("a place");
    let (mut next, durable) = (Lsn(1), handle.status().durable_lsn);
    while next <= durable {
        for event in feed.next().await.expect("reads").events {
            assert_eq!(event.lsn, next);
            next = next.next();
        }
    }
    look_back(&handle, &opened, first[0].lsn).await;
    engine.shutdown().await.expect("drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_lies_in_the_archive_is_given_back() {
    let home = tempfile::tempdir().expect("a directory");
    let root = home.path().join("data");
    fill(&root, 1).await;
    let group = {
        let opened = opened(&root);
        let engine = engine(&opened, options(&opened)).await;
        let mut group =
            vec![transfer(11, 2, 3, 50), transfer(12, 3, BANK, 20), transfer(13, 2, 3, 5)];
        group[..2].iter_mut().for_each(|member| member.linked = true);
        let outcomes = submit(&engine.handle(), group).await;
        engine.shutdown().await.expect("drains");
        outcomes
    };
    fill(&root, 2).await;
    fill(&root, 3).await;
    let opened = opened(&root);
    let (snapshots, archive) = (&opened.snapshots, &opened.archive);
    archive_after_snapshot(&*opened.view, SHARD, snapshots, archive, ALL).expect("archives");
    assert!(opened.view.trimmed_to(SHARD).expect("known").lsn > group[2].lsn);
    let engine = engine(&opened, options(&opened)).await;
    let handle = engine.handle();
    let of = group[1].id;
    for (number, of_lsn, done) in [(21, Some(group[1].lsn), true), (22, None, false)] {
        let id = TransferId::new(number).expect("not zero");
        let (allow_overdraft, note) = (false, Note::default());
        let asked = GroupReversal { id, of, of_lsn, allow_overdraft, note };
        let reversal = handle.reversal(&asked).await.expect("a group");
        let members: Vec<_> = reversal.legs.iter().map(|leg| leg.original).collect();
        assert_eq!(members, [group[2].id, group[1].id, group[0].id]);
        let outcomes = handle.submit(reversal.requests).expect("room").outcomes().await;
        let outcomes = outcomes.expect("up");
        // Account 3 has 35 of the 55 it got, and pays the 50 once the bank has given back the 20.
        assert!(outcomes.iter().all(|o| o.rejection.is_none() == done), "{number}: {outcomes:?}");
    }
    engine.shutdown().await.expect("drains");
}

/// Balances, statements, sums and an audit of what was trimmed. Every deposit under an id moves as
/// many minor units as the id says.
async fn look_back(handle: &Handle, opened: &Opened, first: Lsn) {
    let query = StatementQuery { limit: 500, oldest_first: true, ..StatementQuery::default() };
    let page = handle.statement(account(2), query).await.expect("reads").expect("an account");
    assert_eq!((page.entries[0].lsn, page.entries.len()), (first, 500));
    for entry in page.entries.iter().step_by(50) {
        let found = handle.balance_at(account(2), Moment::Lsn(entry.lsn)).await.expect("reads");
        let found = found.expect("an account");
        assert_eq!((found.posted, found.entry_lsn), (entry.balance_after, entry.lsn));
        let found = handle.balance_at(account(2), Moment::Time(entry.time_ns)).await;
        let found = found.expect("reads").expect("an account");
        assert!(found.lsn >= entry.lsn && found.posted >= entry.balance_after, "{found:?}");
    }
    let last = handle.status().durable_lsn;
    let snapshots: Vec<Lsn> =
        opened.snapshots.list().expect("lists").iter().map(|listed| listed.lsn).collect();
    assert!(snapshots.len() >= 2 && snapshots[0] <= last, "{snapshots:?}");
    let mut moments = vec![first, Lsn(snapshots[1].0 - 1), snapshots[1], snapshots[0], last];
    moments.push(Lsn(snapshots[1].0 + 1));
    for lsn in moments {
        let made = handle.trial_balance(Some(Moment::Lsn(lsn))).await.expect("reads");
        let began_with = snapshots.iter().copied().find(|snapshot| *snapshot <= lsn);
        assert_eq!(made.began_with, began_with.unwrap_or_default(), "at {lsn}");
        let found = handle.balance_at(account(2), Moment::Lsn(lsn)).await.expect("reads");
        assert_eq!(made.rows[0].internal.credit, found.expect("an account").posted, "at {lsn}");
        assert!(made.rows[0].is_balanced() && made.accounts == 3, "{made:?}");
    }
    // By value date all of it is read, however much of it was trimmed: today is the end of all days here.
    for lsn in [first, snapshots[0], last] {
        let (day, moment) = (Day::MAX, Moment::Lsn(lsn));
        let booked = handle.balance_at(account(2), moment).await.expect("reads");
        let valued = handle.balance_by_value(account(2), day, Some(moment)).await.expect("reads");
        assert_eq!(valued, booked, "at {lsn}");
        let made = handle.trial_balance_by_value(day, Some(moment)).await.expect("reads");
        let booked = handle.trial_balance(Some(moment)).await.expect("reads");
        assert_eq!((made.rows, made.began_with), (booked.rows, Lsn::ZERO), "at {lsn}");
    }
    // A snapshot that is spoilt costs time and changes nothing.
    let whole = handle.trial_balance(None).await.expect("reads");
    let newest = opened.snapshots.path_of(snapshots[0]);
    let bytes = std::fs::read(&newest).expect("reads");
    let mut spoilt = bytes.clone();
    let middle = bytes.len() / 2;
    spoilt[middle] ^= 1;
    std::fs::write(&newest, spoilt).expect("writes");
    let again = handle.trial_balance(None).await.expect("reads");
    std::fs::write(&newest, bytes).expect("writes");
    assert_eq!((&again.rows, again.began_with), (&whole.rows, snapshots[1]));
    let verified = handle.verify_balances().await.expect("reads");
    assert_eq!((verified.difference_count, verified.lsn, verified.accounts), (0, last, 3));
}
