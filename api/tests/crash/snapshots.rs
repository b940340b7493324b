//! Snapshots while the server is attacked: killed and cut off from its disk while they are
//! taken, one after another, under load; the newest damaged before a start. Whatever a start
//! finds, it stands by every answer, and no unfinished snapshot is left.

use crate::attack::{Attack, Depth, is_root, skip, tries};
use crate::mounts::{Kind, Mount};
use crate::server::{Launch, Server};
use ducat_api::client::{Client, ClientError};
use ducat_engine::ids::ShardId;
use ducat_persistence::snapshot::SnapshotStore;
use rand::RngExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything takes.
const GENEROUS: Duration = Duration::from_secs(90);

/// Asks for one snapshot after another until the server is gone.
struct Taking {
    taken: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Taking {
    fn from(server: &Server) -> Self {
        let taken = Arc::new(AtomicUsize::new(0));
        let (address, count) = (server.address().to_owned(), Arc::clone(&taken));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // The server going away is what the tests are about.
            let _gone = runtime.expect("a runtime").block_on(take(&address, &count));
        });
        Self { taken, thread }
    }

    /// Waits until so many are durable.
    fn await_taken(&self, least: usize) {
        let since = Instant::now();
        while self.taken.load(Ordering::Relaxed) < least {
            assert!(since.elapsed() < GENEROUS, "no snapshot is taken");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until it has noticed that the server is gone; how many were taken.
    fn ended(self) -> usize {
        self.thread.join().expect("no panic");
        self.taken.load(Ordering::Relaxed)
    }
}

async fn take(address: &str, taken: &AtomicUsize) -> Result<(), ClientError> {
    let client = Client::connect(address).await?;
    loop {
        let snapshot = client.create_snapshot().await?.snapshot.expect("an answer has it");
        assert!(snapshot.lsn > 0 && !snapshot.state_hash.is_empty(), "{snapshot:?}");
        taken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Small snapshots of a small ledger; as few as may be are kept.
fn launch(partitions: &str) -> Launch {
    Launch::with(&["--partitions", partitions, "--snapshot-every", "off", "--snapshot-keep", "2"])
}

fn snapshots(data: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(data.join("shard-0/snapshots")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("listed").path()).collect();
    paths.sort();
    paths
}

/// After a start nothing unfinished is left, and each of the others can be used.
fn assert_all_whole(data: &Path) {
    let left = snapshots(data);
    let whole = left.iter().all(|path| path.extension().is_some_and(|name| name == "snap"));
    assert!(whole, "an unfinished one is left: {left:?}");
    let store = SnapshotStore::read_only(data, ShardId(0)).expect("a ledger");
    for listed in store.list().expect("lists") {
        store.verify(listed.lsn).unwrap_or_else(|error| panic!("{error:?}"));
    }
}

#[test]
fn killed_while_snapshots_are_taken_nothing_acknowledged_is_lost() {
    let mut attack = Attack::new("SIGKILL while snapshots are taken under load");
    let mut taken = 0;
    attack.on_ledgers(tries("DUCAT_SNAPSHOT_KILLS", 3), |attack, nth, data| {
        let server = attack.start(&launch(["1", "2", "4"][nth % 3]), data);
        assert_all_whole(data);
        attack.check(&server, Depth::New);
        let taking = Taking::from(&server);
        attack.load(server, |server, dice| {
            taking.await_taken(1);
            Attack::pause(dice, 300);
            server.kill();
        });
        taken += taking.ended();
    });
    attack.row.note(format!("{taken} snapshots were durable"));
    attack.finish();
}

#[test]
fn a_power_cut_while_snapshots_are_taken_loses_nothing_acknowledged() {
    let name = "power cut while snapshots are taken under load";
    if !is_root() {
        return skip(name, "only root can mount a filesystem to be cut off");
    }
    let mut attack = Attack::new(name);
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().canonicalize().expect("there");
    let mut disk = match Mount::fresh(Kind::Ext4, &home, 1 << 30) {
        Ok(disk) => disk,
        Err(reason) => return skip(name, &format!("no disk to cut: {reason}")),
    };
    let data = disk.path().join("data");
    let mut taken = 0;
    for nth in 0..tries("DUCAT_SNAPSHOT_CUTS", 2) {
        let launch = launch(["1", "2", "4"][nth % 3]);
        let server = attack.start(&launch, &data);
        let taking = Taking::from(&server);
        attack.load(server, |server, dice| {
            taking.await_taken(1);
            Attack::pause(dice, 300);
            disk.cut_power().expect("it can be shut down");
            Attack::pause(dice, 30);
            server.kill();
        });
        taken += taking.ended();
        disk.unmount().expect("nobody uses it");
        disk.mount().expect("the filesystem recovers");
        let server = attack.start(&launch, &data);
        assert_all_whole(&data);
        attack.check(&server, Depth::New);
        server.kill();
        attack.row.runs += 1;
    }
    let server = attack.start(&launch("1"), &data);
    attack.check(&server, Depth::All);
    server.kill();
    attack.row.note(format!("{taken} snapshots were durable"));
    attack.finish();
}

#[test]
fn a_damaged_newest_snapshot_costs_nothing_but_time() {
    let mut attack = Attack::new("newest snapshot damaged before the start");
    let mut bits = 0;
    attack.on_ledgers(tries("DUCAT_SNAPSHOT_DAMAGES", 3), |attack, nth, data| {
        let launch = launch("2");
        let server = attack.start(&launch, data);
        let taking = Taking::from(&server);
        attack.load(server, |server, dice| {
            taking.await_taken(2);
            Attack::pause(dice, 100);
            server.kill();
        });
        taking.ended();
        let newest = snapshots(data);
        let newest = newest.iter().rfind(|path| path.extension().is_some_and(|e| e == "snap"));
        let newest = newest.expect("one is durable");
        let mut bytes = std::fs::read(newest).expect("reads");
        let at = attack.dice.random_range(0..bytes.len());
        match nth % 3 {
            // Every bit of a snapshot is checked, so each kind of damage is found.
            0 => bytes[at] ^= 1 << attack.dice.random_range(0..8),
            1 => bytes.truncate(at),
            _ => bytes.clear(),
        }
        bits += 1;
        std::fs::write(newest, bytes).expect("writes");
        let server = attack.start(&launch, data);
        attack.check(&server, Depth::New);
        // It is no obstacle to the next, nor counted by it.
        attack.create_snapshot(&server).expect("taken");
        server.terminate();
        let ended = server.wait();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let said = "a snapshot cannot be used";
        assert!(ended.stderr.contains(said), "{newest:?}: {ended:?}");
        // Evidence stays until it is taken away.
        std::fs::remove_file(newest).expect("it stays");
    });
    attack.row.note(format!("{bits} found and said"));
    attack.finish();
}

#[test]
fn no_space_for_a_snapshot_stops_nothing() {
    let name = "no space for a snapshot (4 KB tmpfs)";
    if !is_root() {
        return skip(name, "only root can mount a disk that is small enough");
    }
    let mut attack = Attack::new(name);
    let dir = tempfile::tempdir().expect("a directory");
    let mut disk = match Mount::memory(dir.path(), "4k") {
        Ok(disk) => disk,
        Err(reason) => return skip(name, &reason),
    };
    let data = dir.path().join("data");
    let server = attack.start(&launch("2"), &data);
    std::os::unix::fs::symlink(disk.path(), data.join("shard-0/snapshots")).expect("links");
    // Remembered ids do not compress.
    attack.load_for(&server, Duration::from_millis(100));
    for _ in 0..3 {
        let error = attack.create_snapshot(&server).expect_err("there is no room");
        assert_eq!(error.reason(), Some("SNAPSHOT_FAILED"), "{error:?}");
        assert!(error.to_string().contains("No space left"), "{error}");
        assert_eq!(snapshots(&data), [] as [PathBuf; 0], "nothing remains of it");
        attack.load_for(&server, Duration::from_millis(50));
        attack.row.runs += 1;
    }
    disk.resize("16m").expect("a memory disk can grow");
    attack.create_snapshot(&server).expect("there is room");
    attack.check(&server, Depth::All);
    assert_all_whole(&data);
    server.terminate();
    let ended = server.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let said = ended.stderr.matches("a snapshot failed").count();
    assert_eq!(said, 1, "said once, not each time: {ended:?}");
    let server = attack.start(&launch("1"), &data);
    attack.check(&server, Depth::All);
    server.kill();
    attack.finish();
}

#[test]
fn told_to_stop_while_snapshots_are_taken_it_leaves_nothing_unfinished() {
    let mut attack = Attack::new("SIGTERM while snapshots are taken under load");
    attack.on_ledgers(tries("DUCAT_STOPS", 2), |attack, _, data| {
        let server = attack.start(&launch("2"), data);
        let taking = Taking::from(&server);
        let ended = attack.load(server, |server, dice| {
            taking.await_taken(1);
            Attack::pause(dice, 200);
            server.terminate();
            server.wait()
        });
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        taking.ended();
        assert_all_whole(data);
        let server = attack.start(&launch("1"), data);
        attack.check(&server, Depth::New);
        server.kill();
    });
    attack.finish();
}
