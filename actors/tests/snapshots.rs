//! Snapshots taken while the engine serves: each is exactly the state of its moment, as replay
//! has it; failures stop nothing; who asks while one is running joins it; an end abandons it.

mod support;

use ducat_actors::handle::{EngineOptions, Handle};
use ducat_actors::replay::{Until, replay_offline};
use ducat_actors::snapshots::{
    AfterSnapshot, SnapshotFailed, SnapshotOptions, SnapshotSchedule, Standing, Taken,
};
use ducat_actors::start::Engine;
use ducat_engine::ids::{Lsn, ShardId, Slot, TransferId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_engine::limits::LimitsChange;
use ducat_engine::profile::ProfileChange;
use ducat_engine::snapshot::{Age, PIECE_IDS};
use ducat_engine::transfer::AccountStatus;
use ducat_persistence::snapshot::SnapshotStore;
use ducat_persistence::{Journal, LedgerId, MemoryJournal};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};
use support::{BANK, journal, open, submit, transfer};

const SHARD: ShardId = ShardId(0);
/// Longer than anything takes; nothing is judged by it.
const GENEROUS: Duration = Duration::from_secs(90);

fn options(dir: &Path) -> SnapshotOptions {
    let store = SnapshotStore::at(dir.join("snapshots"), LedgerId::from_bytes([7; 16]), SHARD);
    SnapshotOptions { schedule: SnapshotSchedule::off(), ..SnapshotOptions::new(store) }
}

async fn start(
    journal: &Arc<MemoryJournal>,
    partitions: usize,
    snapshots: &SnapshotOptions,
) -> Engine {
    let snapshots = Some(snapshots.clone());
    let options = EngineOptions { partitions, snapshots, ..EngineOptions::default() };
    let journal: Arc<dyn Journal> = Arc::clone(journal) as _;
    Engine::start(options, journal, "test", Box::new(|_| {})).await.expect("it starts")
}

/// Accounts 1 to `accounts`, of which the first is the bank, and money for some.
async fn open_many(handle: &Handle, accounts: u128) {
    open(handle, accounts.min(10_000)).await;
    let spec = |id| ducat_engine::transfer::AccountSpec {
        id: support::account(id),
        currency: support::GBP,
        overdraft_limit: 1_000_000,
        external: false,
    };
    let rest: Vec<_> = (10_001..=accounts).map(spec).collect();
    for some in rest.chunks(10_000) {
        handle.create_accounts(some.to_vec()).await.expect("up");
    }
}

/// Changes what is known of an account, now and then its status.
async fn change(handle: &Handle, id: u128, number: u128) {
    let id = support::account(id);
    let set = [("number".to_owned(), number.to_string())].into();
    let owner = Some(format!("customer {}", number % 7));
    let change = ProfileChange { owner, set, ..ProfileChange::default() };
    handle.change_profile(id, change).await.expect("up").expect("in bounds");
    // Within any balance that this load comes to.
    let overdraft_limit = Some(1_000_000_000 + u128::from(number.is_multiple_of(3)));
    let limits = LimitsChange { overdraft_limit, ..LimitsChange::default() };
    handle.change_limits(id, limits).await.expect("up").expect("allowed");
    let status = match number % 5 {
        0 => AccountStatus::DebitsBlocked,
        _ => AccountStatus::Active,
    };
    handle.set_status(id, status, format!("event {number}")).await.expect("up").expect("allowed");
}

/// Transfers until told to stop; ids are of this client alone.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(handle: &Handle, accounts: u128) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..3u128).map(|client| {
            let (handle, stop) = (handle.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut next = 0u128;
                while !stop.load(Ordering::Relaxed) {
                    let transfers = (0..50).map(|_| {
                        next += 1;
                        // Everywhere, from the bank and between others, some of it refused.
                        let mixed = next.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7;
                        let (a, b) = (2 + mixed % (accounts - 1), 2 + mixed / 7 % (accounts - 1));
                        let from = if next.is_multiple_of(3) { a } else { BANK };
                        let to = if from == b { BANK } else { b };
                        transfer((client + 1) << 64 | next, from, to, 1 + mixed % 50)
                    });
                    submit(&handle, transfers.collect()).await;
                    change(&handle, 2 + next.wrapping_mul(7) % (accounts - 1), next).await;
                    // What is written has to be replayed, and snapshots take long on a busy machine.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            })
        });
        let clients = clients.collect();
        Self { stop, clients }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no panic");
        }
    }
}

type Ids = Vec<(Age, TransferId, Lsn)>;

fn ids(ledger: &mut Ledger) -> Ids {
    ledger.begin_export();
    let mut all = Vec::new();
    while let Some(piece) = ledger.coordinator.give(PIECE_IDS) {
        all.extend(piece.pairs().map(|(id, lsn)| (piece.age, id, lsn)));
    }
    all
}

/// The state at `lsn` by replay from the beginning.
fn replayed(journal: &MemoryJournal, lsn: Lsn) -> Ledger {
    let mut ledger = Ledger::new(1, 7, REMEMBER_NS).expect("one partition");
    let until = Until { lsn: Some(lsn), ..Until::default() };
    replay_offline(journal, SHARD, &mut ledger, until, &mut (), Box::new(|_| {})).expect("whole");
    ledger
}

fn files(store: &SnapshotStore) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(store.dir()) else { return Vec::new() };
    let names =
        entries.map(|entry| entry.expect("listed").file_name().into_string().expect("ours"));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_each_is_what_replay_has_at_its_moment() {
    const ACCOUNTS: u128 = 10_000;
    const SNAPSHOTS: usize = 4;
    for partitions in [1, 2, 4] {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = journal();
        let snapshots = SnapshotOptions {
            schedule: SnapshotSchedule { keep: 100, ..SnapshotSchedule::off() },
            ..options(dir.path())
        };
        let engine = start(&journal, partitions, &snapshots).await;
        let handle = engine.handle();
        open_many(&handle, ACCOUNTS).await;
        let load = Load::start(&handle, ACCOUNTS);
        let mut taken = Vec::new();
        for _ in 0..SNAPSHOTS {
            let posted = handle.status().posted;
            taken.push(handle.create_snapshot().await.expect("taken"));
            // Something happens between two of them, however slow the machine is.
            let since = Instant::now();
            while handle.status().posted == posted {
                assert!(since.elapsed() < GENEROUS, "the load comes to nothing");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        load.stop().await;
        let end = handle.summary().await.expect("up");
        engine.shutdown().await.expect("in order");
        assert!(
            taken.windows(2).all(|two| two[0].summary.header.lsn() < two[1].summary.header.lsn())
        );
        for Taken { summary, new, .. } in &taken {
            let lsn = summary.header.lsn();
            assert!(new);
            assert_eq!(summary.header.anchor.lsn, lsn, "it ends with a frame");
            let mut by_replay = replayed(&journal, lsn);
            let by_hash = by_replay.summary().0;
            assert_eq!(summary.end.state_hash, by_hash, "{partitions} partitions, LSN {lsn}");
            let (mut loaded, _) = snapshots.store.load(lsn, 2, 3, REMEMBER_NS).expect("sound");
            assert_eq!(loaded.summary().0, by_hash);
            assert_eq!(ids(&mut loaded), ids(&mut by_replay), "{partitions} partitions, LSN {lsn}");
            let known = |ledger: &Ledger| {
                let profiles = ledger.coordinator.profiles();
                let slots = (0..ACCOUNTS as u32).map(Slot);
                slots.map(|slot| profiles.get(slot).cloned()).collect::<Vec<_>>()
            };
            assert_eq!(known(&loaded), known(&by_replay), "{partitions} partitions, LSN {lsn}");
        }
        // And the next start goes on from the last one.
        let engine = start(&journal, 2, &snapshots).await;
        let from = engine.origin().snapshot.as_ref().expect("a snapshot").header.lsn();
        assert_eq!(from, taken[SNAPSHOTS - 1].summary.header.lsn());
        assert_eq!(engine.handle().summary().await.expect("up").hash, end.hash);
        assert_eq!(engine.handle().snapshot_health().last.expect("known").lsn, from);
        engine.shutdown().await.expect("in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_shown_and_stops_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = journal();
    let snapshots = options(dir.path());
    let engine = start(&journal, 2, &snapshots).await;
    let handle = engine.handle();
    assert_eq!(handle.create_snapshot().await, Err(SnapshotFailed::Empty));
    assert_eq!(handle.snapshot_health().failures, 0, "nothing went wrong");
    open_many(&handle, 9_000).await;
    let memory = handle.status_with_memory().await.expect("up").accounts_bytes;

    // No directory can be made there.
    std::fs::write(snapshots.store.dir(), "in the way").expect("writes");
    for failures in 1..=2 {
        let error = handle.create_snapshot().await.expect_err("in the way");
        assert!(matches!(&error, SnapshotFailed::Io(why) if why.contains("create")), "{error}");
        let health = handle.snapshot_health();
        assert_eq!((health.failures, health.last), (failures, None));
        assert_eq!(health.failed.expect("shown").why, error.to_string());
        assert_eq!(health.running_since_ns, None);
        submit(&handle, vec![transfer(u128::from(failures), BANK, 2, 5)]).await;
    }
    let after = handle.status_with_memory().await.expect("up").accounts_bytes;
    assert_eq!(after, memory, "nothing is kept for a snapshot that was abandoned");
    std::fs::remove_file(snapshots.store.dir()).expect("ours");

    // It is written whole, and cannot get its name.
    let lsn = handle.status().last_lsn;
    let taken_name = snapshots.store.path_of(lsn);
    std::fs::create_dir_all(&taken_name).expect("makes");
    let error = handle.create_snapshot().await.expect_err("a directory is there");
    assert!(matches!(&error, SnapshotFailed::Io(why) if why.contains("rename")), "{error}");
    assert_eq!(files(&snapshots.store).len(), 1, "nothing else remains");
    std::fs::remove_dir(&taken_name).expect("ours");

    let taken = handle.create_snapshot().await.expect("nothing is in the way");
    assert_eq!((taken.summary.header.lsn(), taken.new), (lsn, true));
    let health = handle.snapshot_health();
    assert_eq!((health.failures, health.failed, health.taken), (3, None, 1));
    let last = health.last.expect("shown");
    assert_eq!((last.lsn, last.bytes, last.took), (lsn, taken.summary.bytes, Some(taken.took)));
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_the_same_moment_is_not_written_again_unless_it_is_damaged() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = journal();
    let snapshots = options(dir.path());
    let engine = start(&journal, 1, &snapshots).await;
    let handle = engine.handle();
    open(&handle, 10).await;
    let first = handle.create_snapshot().await.expect("taken");
    let again = handle.create_snapshot().await.expect("there already");
    assert_eq!((first.new, again.new), (true, false));
    assert_eq!(first.summary, again.summary);
    let whole = std::fs::read(&first.path).expect("reads");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 4;
    std::fs::write(&first.path, damaged).expect("writes");
    let error = handle.verify_snapshot(None).await.expect_err("damaged");
    assert!(matches!(error, SnapshotFailed::Damaged { .. }), "{error}");
    assert!(handle.create_snapshot().await.expect("written again").new);
    let read = handle.verify_snapshot(None).await.expect("sound");
    assert_eq!((read.summary.end, read.standing), (first.summary.end, Standing::Continued));
    let missing = handle.verify_snapshot(Some(Lsn(5_000))).await;
    assert_eq!(missing, Err(SnapshotFailed::Missing(Lsn(5_000))));
    engine.shutdown().await.expect("in order");
}

/// Polls once what must not be ready.
async fn poll_once<F: Future>(future: &mut Pin<Box<F>>) {
    let first = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    assert!(first.is_pending());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_while_one_is_running_joins_it_and_the_hook_is_told_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = journal();
    let (entered, in_hook) = mpsc::channel();
    let (let_go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let snapshots = SnapshotOptions {
        after: Some(AfterSnapshot::new(move |summary| {
            entered.send(summary.header.lsn()).expect("the test is there");
            wait.lock().expect("one at a time").recv().expect("the test is there");
        })),
        ..options(dir.path())
    };
    let engine = start(&journal, 1, &snapshots).await;
    let handle = engine.handle();
    open(&handle, 10).await;
    let mut first = Box::pin(handle.create_snapshot());
    poll_once(&mut first).await;
    let lsn = tokio::task::spawn_blocking(move || {
        let lsn = in_hook.recv_timeout(GENEROUS).expect("it comes to the hook");
        (lsn, in_hook)
    });
    let (lsn, in_hook) = lsn.await.expect("no panic");
    assert!(snapshots.store.verify(lsn).is_ok(), "durable before the hook is told");
    assert!(handle.snapshot_health().running_since_ns.is_some());
    submit(&handle, vec![transfer(1, BANK, 2, 5)]).await;
    let mut joining: Vec<_> = (0..10).map(|_| Box::pin(handle.create_snapshot())).collect();
    for join in &mut joining {
        poll_once(join).await;
    }
    let_go.send(()).expect("it waits");
    let taken = first.await.expect("taken");
    assert_eq!(taken.summary.header.lsn(), lsn);
    for join in joining {
        assert_eq!(join.await.as_ref(), Ok(&taken));
    }
    assert!(in_hook.try_recv().is_err(), "once");
    assert_eq!(handle.snapshot_health().taken, 1);
    // The next is another.
    let_go.send(()).expect("kept for the next");
    assert!(handle.create_snapshot().await.expect("taken").summary.header.lsn() > lsn);
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_abandons_it_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = journal();
    let snapshots = options(dir.path());
    let engine = start(&journal, 2, &snapshots).await;
    open_many(&engine.handle(), 30_000).await;
    engine.shutdown().await.expect("in order");
    let mut abandoned = 0;
    for round in 0..12u64 {
        let engine = start(&journal, 2, &snapshots).await;
        let handle = engine.handle();
        submit(&handle, vec![transfer(u128::from(round) + 1, BANK, 2, 5)]).await;
        let asked = {
            let handle = handle.clone();
            tokio::spawn(async move { handle.create_snapshot().await })
        };
        // At any moment of it.
        tokio::time::sleep(Duration::from_millis(round * 4)).await;
        engine.shutdown().await.expect("in order");
        match asked.await.expect("no panic") {
            Ok(taken) => assert!(snapshots.store.verify(taken.summary.header.lsn()).is_ok()),
            Err(SnapshotFailed::Stopped) => abandoned += 1,
            Err(other) => panic!("{other}"),
        }
        let files = files(&snapshots.store);
        assert!(files.iter().all(|name| name.ends_with(".snap")), "{files:?}");
        assert_eq!(handle.create_snapshot().await, Err(SnapshotFailed::Stopped));
    }
    eprintln!("{abandoned} of 12 abandoned");
    // What a kill leaves behind is removed by the next start.
    let leftover = snapshots.store.dir().join("00000000000000000007.snap.new");
    std::fs::create_dir_all(snapshots.store.dir()).expect("makes");
    std::fs::write(&leftover, "cut off").expect("writes");
    let engine = start(&journal, 1, &snapshots).await;
    assert!(!leftover.exists());
    engine.shutdown().await.expect("in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journals_growth_makes_one_due_and_old_ones_are_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = journal();
    let snapshots = SnapshotOptions {
        schedule: SnapshotSchedule {
            journal_bytes: Some(1 << 20),
            keep: 2,
            ..SnapshotSchedule::off()
        },
        ..options(dir.path())
    };
    let engine = start(&journal, 1, &snapshots).await;
    let handle = engine.handle();
    open_many(&handle, 1_000).await;
    let load = Load::start(&handle, 1_000);
    let since = Instant::now();
    while handle.snapshot_health().taken < 4 {
        assert!(since.elapsed() < GENEROUS, "{:?}", handle.snapshot_health());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    load.stop().await;
    engine.shutdown().await.expect("in order");
    let listed = snapshots.store.list().expect("lists");
    // The one that an end interrupts may have been renamed and not pruned behind.
    assert!((2..=3).contains(&listed.len()), "{listed:?}");
    assert!(listed.iter().all(|listed| snapshots.store.verify(listed.lsn).is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_a_directory_keeps_none() {
    let engine = support::start(&journal(), 1).await;
    let handle = engine.handle();
    open(&handle, 3).await;
    assert_eq!(handle.create_snapshot().await, Err(SnapshotFailed::NotKept));
    assert_eq!(handle.prune_snapshots(1).await, Err(SnapshotFailed::NotKept));
    assert!(matches!(handle.list_snapshots().await, Err(SnapshotFailed::NotKept)));
    assert!(!handle.snapshot_health().kept);
    engine.shutdown().await.expect("in order");
}
