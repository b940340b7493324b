//! Backups under attack: the machine is lost whole, and a ledger is made again of the backup; the
//! process that backs up is killed, its disk is full or loses its power, the journal is trimmed
//! meanwhile. What the backup says it has, it has.

use crate::archived::ducat;
use crate::attack::{Attack, Depth, is_root, say, skip, tries};
use crate::checker::same_content;
use crate::history::{History, id_of};
use crate::mounts::{Kind, Mount};
use crate::server::{Launch, Server};
use ducat_api::proto::{Code, Outcome, TransferRequest};
use ducat_persistence::BackupStore;
use rand::RngExt as _;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits longer than this are hangs.
const HANG: Duration = Duration::from_secs(90);

fn run(line: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_ducat")).args(line).output();
    output.expect("the binary runs")
}

fn must(line: &[&str]) -> Value {
    let output = run(&[line, &["--json"]].concat());
    assert!(output.status.success(), "{line:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are plain")
}

/// A server that backs up every second, which is as often as can be asked for.
fn backing_up(to: &Path) -> Launch {
    Launch::with(&["--backup-to", text(to), "--backup-every", "1s"])
}

/// Where the backup ends, by its manifest; 0 while there is none.
fn end(to: &Path) -> u64 {
    BackupStore::open(to).map_or(0, |store| store.end().lsn.0)
}

fn await_until(what: &str, is: impl Fn() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < HANG, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads the backup whole; gives its last LSN and the hash of its state.
fn verify(to: &Path) -> (u64, String) {
    let line = must(&["backup", "verify", "--backup", text(to)]);
    assert_eq!(line["sound"], true);
    let hash = line["state_hash"].as_str().expect("a hash").to_owned();
    (line["last_lsn"].as_u64().expect("a number"), hash)
}

/// What a backup that ends at `lsn` must know: the calls and changes whose answers lie in it and
/// those without an answer. Also: outcomes compared, events lost, and the time of the last one.
fn part_up_to(history: &History, lsn: u64) -> (Arc<History>, usize, u64, u64) {
    let (mut part, mut compared, mut lost, mut last_ns) = (Vec::new(), 0, 0, 0);
    let mut gone: HashMap<u128, TransferRequest> = HashMap::new();
    for call in history.calls() {
        let last = call.outcomes.iter().map(|outcome| outcome.lsn).max().unwrap_or(0);
        let times = call.outcomes.iter().map(|outcome| outcome.time_ns);
        last_ns = last_ns.max(times.max().unwrap_or(0));
        if last > lsn {
            let new = call.transfers.iter().zip(&call.outcomes);
            let new = new.filter(|(_, outcome)| !outcome.repeat && outcome.lsn > lsn);
            for (transfer, outcome) in new {
                lost += 1;
                if outcome.code != Code::IdReused as i32 {
                    gone.insert(id_of(transfer), transfer.clone());
                }
            }
            continue;
        }
        compared += call.outcomes.len();
        part.push(call);
    }
    part.retain(|call| !call.outcomes.is_empty() || !reuses(&call.transfers, &gone));
    let mut changes = history.changes();
    changes.retain(|change| change.lsn.is_none_or(|at| at <= lsn));
    (Arc::new(History::of(part, changes)), compared, lost, last_ns)
}

/// Whether some of them use the id of a request that is gone for another content. They came behind its answer,
/// so they are gone as well; sent again without it, they would be the first to have the id.
fn reuses(transfers: &[TransferRequest], gone: &HashMap<u128, TransferRequest>) -> bool {
    let other = |transfer: &TransferRequest| {
        gone.get(&id_of(transfer)).is_some_and(|first| !same_content(first, transfer))
    };
    transfers.iter().any(other)
}

#[test]
fn what_reuses_an_id_that_is_gone_is_gone_as_well() {
    let history = History::default();
    let transfer = |id, amount_minor| TransferRequest { id, amount_minor, ..Default::default() };
    let outcome = |id, lsn| Outcome { id, lsn, ..Default::default() };
    for (lsn, transfer) in [(5, transfer(1, 10)), (6, transfer(2, 20))] {
        let id = transfer.id;
        let call = history.sent(vec![transfer]);
        history.answered(call, vec![outcome(id, lsn)]);
    }
    for reused in [transfer(1, 11), transfer(2, 21), transfer(2, 20), transfer(3, 30)] {
        history.sent(vec![reused]);
    }
    let (part, compared, lost, _) = part_up_to(&history, 5);
    let amounts: Vec<u64> = part.calls().iter().map(|c| c.transfers[0].amount_minor).collect();
    assert_eq!((amounts, compared, lost), (vec![10, 11, 20, 30], 1, 1));
}

/// The machine burns down: what was backed up comes back, all of it as it was acknowledged.
/// `.ci/drill` shows the figures.
#[test]
fn disaster_drill() {
    let mut attack = Attack::new("disaster drill");
    let load_time = Duration::from_secs(tries("DUCAT_DRILL_SECONDS", 3) as u64);
    let dir = tempfile::tempdir().expect("a directory");
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let history = Arc::clone(&attack.history);
    let server = attack.start(&backing_up(&to), &data);
    attack.load(server, |server, dice| {
        std::thread::sleep(load_time);
        // At least two runs under load, the second one of which is not the first of all.
        let first = end(&to);
        await_until("a backup of something", || end(&to) > first);
        history.await_answers(history.acknowledged());
        Attack::pause(dice, 1_000);
        server.kill();
    });
    std::fs::remove_dir_all(&data).expect("ours");
    let acknowledged = history.acknowledged();

    let (lsn, backup_hash) = verify(&to);
    let backup_ns = BackupStore::open(&to).expect("opens").manifest().last_time_ns();
    let (part, compared, lost, last_ns) = part_up_to(&history, lsn);
    assert!(compared > 0, "the backup holds something of the load");
    let (again, since) = (dir.path().join("again"), Instant::now());
    let made = must(&["restore", "--from-backup", text(&to), "--into", text(&again)]);
    let restore_time = since.elapsed();
    assert_eq!((&made["lsn"], &made["state_hash"]), (&lsn.into(), &backup_hash.into()));
    assert_ne!(made["ledger_id"], made["parent_ledger_id"], "clients of the old one must notice");
    let verified = ducat(&["verify", "--json"], &again);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    let since = Instant::now();
    let server = Launch::default().start(&again).expect("a server starts on it");
    let start_time = since.elapsed();
    attack.history = part;
    attack.open(&server).expect("the accounts are there");
    // Panics with the differences, if there are any.
    attack.check(&server, Depth::All);
    server.kill();
    let seconds = last_ns.saturating_sub(backup_ns) as f64 / 1e9;
    say(&format!(
        "drill: acknowledged {acknowledged}, backup's LSN {lsn}, lost {lost} events of the last \
         {seconds:.2} s, restored in {:.2} s, started in {:.2} s, compared {compared}, differing 0",
        restore_time.as_secs_f64(),
        start_time.as_secs_f64()
    ));
    attack.row.note(format!("lost with the machine: {lost} events, {seconds:.2} s"));
    attack.row.runs = 1;
    attack.finish();
}

fn spawn_backup(data: &Path, to: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ducat"))
        .args(["backup", "create", "--data-dir", text(data), "--to", text(to)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs")
}

/// Killed at any moment, beside a server under load, a backup is what it was or reaches further.
#[test]
fn killed_while_backing_up() {
    let mut attack = Attack::new("SIGKILL while backing up");
    let dir = tempfile::tempdir().expect("a directory");
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let runs = tries("DUCAT_BACKUP_KILLS", 8);
    let server = attack.start(&Launch::default(), &data);
    attack.load_for(&server, Duration::from_millis(50));
    let since = Instant::now();
    assert!(spawn_backup(&data, &to).wait().expect("ended").success());
    let whole = since.elapsed();
    let mut before = verify(&to).0;
    let mut completed = 0;
    attack.load(server, |server, dice| {
        for _ in 0..runs {
            let mut child = spawn_backup(&data, &to);
            std::thread::sleep(whole.mul_f64(dice.random_range(0.0..1.2)));
            // Fails only when it has ended already.
            let _ended = child.kill();
            completed += usize::from(child.wait().expect("ended").success());
            let (now, _) = verify(&to);
            assert!(now >= before, "the backup has lost LSN {now} to {before}");
            before = now;
        }
        server.kill();
    });
    // What a killed server wrote and had not acknowledged is kept, and acknowledged by a start.
    let server = attack.start(&Launch::default(), &data);
    server.terminate();
    assert_eq!(server.wait().status.code(), Some(0));
    // What is left over is taken away by the next.
    assert!(spawn_backup(&data, &to).wait().expect("ended").success());
    let store = BackupStore::open(&to).expect("opens");
    assert!(store.strays().expect("listed").is_empty());
    let ledger = must(&["verify", "--skip-store", "--data-dir", text(&data)]);
    assert_eq!(ledger["state_hash"].as_str(), Some(&*verify(&to).1));
    attack.row.note(format!("{completed} of {runs} came to their end"));
    attack.row.runs = runs;
    attack.finish();
}

/// Archived and trimmed meanwhile, the backup has everything from the first event on; and so has
/// one that is begun only then.
#[test]
fn trimmed_while_backing_up() {
    let mut attack = Attack::new("trimming while backing up");
    let dir = tempfile::tempdir().expect("a directory");
    let (data, to) = (dir.path().join("data"), dir.path().join("backup"));
    let mut launch = backing_up(&to);
    let trimming = ["--segment-kib", "64", "--archive-keep-mib", "0", "--archive-every-ms", "10"];
    launch.arguments.extend(trimming.map(str::to_owned));
    launch.arguments.extend(["--disk-reserve-mib", "0"].map(str::to_owned));
    let server = attack.start(&launch, &data);
    let archived = || data.join("shard-0/archive/MANIFEST").exists();
    let since = Instant::now();
    while !archived() {
        attack.load_for(&server, Duration::from_millis(100));
        attack.create_snapshot(&server).expect("taken");
        assert!(since.elapsed() < HANG, "nothing is archived");
    }
    attack.load_for(&server, Duration::from_millis(100));
    attack.resend(&server);
    attack.settle(&server);
    let last = attack.status(&server).durable_lsn;
    await_until("all of it", || end(&to) == last);
    server.kill();
    let (_, hash) = verify(&to);
    let late = dir.path().join("late");
    assert!(spawn_backup(&data, &late).wait().expect("ended").success());
    assert_eq!(verify(&late), (last, hash.clone()), "begun after the trimming");
    let ledger = must(&["verify", "--skip-store", "--data-dir", text(&data)]);
    assert_eq!(ledger["state_hash"].as_str(), Some(&*hash));
    let again = dir.path().join("again");
    must(&["restore", "--from-backup", text(&to), "--into", text(&again)]);
    let server = Launch::default().start(&again).expect("starts");
    attack.check(&server, Depth::All);
    server.kill();
    attack.row.runs = 1;
    attack.finish();
}

/// A full backup disk is said, stops nothing, and is written to again when there is room.
#[test]
fn the_backup_disk_is_full() {
    const NAME: &str = "full backup disk (1 MB tmpfs)";
    if !is_root() {
        return skip(NAME, "only root can mount a disk that is small enough");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut small = match Mount::memory(dir.path(), "1m") {
        Ok(disk) => disk,
        Err(reason) => return skip(NAME, &reason),
    };
    let mut attack = Attack::new(NAME);
    let (data, to) = (dir.path().join("data"), small.path().join("backup"));
    let server = attack.start(&backing_up(&to), &data);
    let failure = |attack: &Attack, server: &Server| {
        attack.status(server).backup.expect("it is asked for").last_error
    };
    let since = Instant::now();
    while failure(&attack, &server).is_empty() {
        attack.load_for(&server, Duration::from_millis(100));
        assert!(since.elapsed() < HANG, "the disk does not fill up");
    }
    let why = failure(&attack, &server);
    assert!(why.contains("No space left"), "{why}");
    let (kept, _) = verify(&to);
    // Transfers go on, and all of them are found.
    attack.load_for(&server, Duration::from_millis(100));
    attack.check(&server, Depth::New);
    assert!(verify(&to).0 >= kept);
    small.resize("512m").expect("larger");
    attack.settle(&server);
    let last = attack.status(&server).durable_lsn;
    await_until("all of it", || end(&to) == last);
    await_until("no more trouble", || failure(&attack, &server).is_empty());
    server.kill();
    assert_eq!(verify(&to).0, last);
    attack.row.runs = 1;
    attack.finish();
}

/// A backup that was said to be made survives the loss of its disk's power at any moment after.
#[test]
fn the_backup_disk_loses_its_power() {
    const NAME: &str = "power cut of the backup disk (ext4)";
    if !is_root() {
        return skip(NAME, "only root can mount a disk");
    }
    let mut attack = Attack::new(NAME);
    let dir = tempfile::tempdir().expect("a directory");
    let mut disk = match Mount::fresh(Kind::Ext4, dir.path(), 128 << 20) {
        Ok(disk) => disk,
        Err(reason) => return skip(NAME, &reason),
    };
    let (data, to) = (dir.path().join("data"), disk.path().join("backup"));
    let server = attack.start(&Launch::default(), &data);
    let mut said = 0;
    for nth in 0..tries("DUCAT_BACKUP_CUTS", 3) {
        attack.load_for(&server, Duration::from_millis(50));
        let made = must(&["backup", "create", "--data-dir", text(&data), "--to", text(&to)]);
        said = said.max(made["last_lsn"].as_u64().expect("a number"));
        attack.load_for(&server, Duration::from_millis(50));
        let mut another = spawn_backup(&data, &to);
        Attack::pause(&mut attack.dice, 100);
        disk.cut_power().expect("cut");
        another.wait().expect("ended");
        disk.unmount().and_then(|()| disk.mount()).expect("mounted again");
        let (now, _) = verify(&to);
        assert!(now >= said, "cut {nth}: LSN {now} to {said} were backed up and are gone");
        attack.row.runs += 1;
    }
    server.kill();
    attack.finish();
}
