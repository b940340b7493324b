//! A backup on disk: each run copies only what is new, what is broken off at any step leaves the
//! one before, whatever was changed or taken away is named, and what does not belong is refused.

use ducat_engine::ids::{Lsn, ShardId};
use ducat_persistence::archive::Step;
use ducat_persistence::backup::store::MANIFEST;
use ducat_persistence::backup::{BackedUp, Manifest, ManifestFault, Source};
use ducat_persistence::contract::{Journal, Writer};
use ducat_persistence::vault::keys::KEYS;
use ducat_persistence::vault::{KeysFile, MasterKey, Usage};
use ducat_persistence::{
    AppendBuffer, ArchiveError, BackupError, BackupJournal, BackupStore, LedgerId, MemoryJournal,
    Origin, OriginKind, Vault,
};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const LEDGER: LedgerId = LedgerId::from_bytes([0xb7; 16]);
const SHARD: ShardId = ShardId(0);

/// A ledger in memory, with a directory that stands for its data directory.
struct Ledger {
    dir: tempfile::TempDir,
    id: LedgerId,
    journal: MemoryJournal,
    writer: Box<dyn Writer>,
    next: Lsn,
    salt: u8,
}

impl Ledger {
    fn new(id: LedgerId, salt: u8) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("data")).expect("made");
        let journal = MemoryJournal::new(id);
        let (writer, _) = journal.open_writer(SHARD, "test").expect("opens");
        Self { dir, id, journal, writer, next: Lsn(1), salt }
    }

    /// Appends so many records of 32 bytes that do not compress.
    fn append(&mut self, records: u64) {
        self.append_sized(records, 1);
    }

    /// The same of so many times 32 bytes, all alike.
    fn append_sized(&mut self, records: u64, times: usize) {
        let (mut batch, first) = (AppendBuffer::new(), self.next);
        batch.begin_batch(1_000 + first.0);
        for _ in 0..records {
            let lsn = self.next;
            let record = blake3::hash(&[&lsn.0.to_le_bytes()[..], &[self.salt]].concat());
            let put = |out: &mut Vec<u8>| out.extend_from_slice(&record.as_bytes().repeat(times));
            batch.push(lsn, put).expect("fits");
            self.next = lsn.next();
        }
        batch.end_batch();
        self.writer.append(first, &mut batch).expect("appends");
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn to(&self) -> PathBuf {
        self.dir.path().join("backup")
    }

    fn update(
        &self,
        to: &Path,
        begin: bool,
        watch: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<BackedUp, BackupError> {
        BackupStore::update(to, &self.source(&self.data()), begin, watch)
    }

    fn source<'s>(&'s self, data_dir: &'s Path) -> Source<'s> {
        Source {
            data_dir,
            ledger: self.id,
            shard: SHARD,
            origins: &[],
            journal: &self.journal,
            snapshots: None,
            vault: None,
        }
    }

    fn back_up(&self) -> Result<BackedUp, BackupError> {
        self.update(&self.to(), true, &mut |_| ControlFlow::Continue(()))
    }

    /// The backup is sound, and holds exactly the ledger's frames up to its end.
    fn assert_holds(&self, to: &Path) -> Lsn {
        let store = BackupStore::open(to).expect("opens");
        let faults = store.verify();
        assert!(faults.is_empty(), "{faults:?}");
        let end = store.end();
        let backup = BackupJournal::new(store);
        let mut frames = self.journal.read(SHARD, Lsn(1)).expect("reads");
        let tail = backup.scan(SHARD, &mut |frame, _| {
            let same = frames.next().expect("as many").expect("reads");
            assert_eq!(same.bytes(), frame.bytes());
            Ok(())
        });
        let tail = tail.expect("whole");
        assert_eq!((tail.next_lsn, tail.last_hash), (end.lsn.next(), end.hash));
        end.lsn
    }
}

fn files(to: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(to.join("frames")).expect("listed");
    let mut files: Vec<_> = listed.map(|entry| entry.expect("read").path()).collect();
    files.sort();
    files
}

#[test]
fn each_run_copies_only_what_is_new_and_small_files_become_few() {
    let mut ledger = Ledger::new(LEDGER, 0);
    let nothing = ledger.back_up().expect("an empty ledger");
    assert_eq!((nothing.end.lsn, nothing.files, nothing.begun), (Lsn::ZERO, 0, true));
    ledger.append(20_000);
    let first = ledger.back_up().expect("backed up");
    assert_eq!((first.events, first.begun, first.files), (20_000, false, 1));
    let kept = files(&ledger.to());
    for run in 1..200u64 {
        ledger.append(run % 5 + 1);
        let done = ledger.back_up().expect("backed up");
        assert_eq!(done.events, run % 5 + 1);
        assert_eq!(done.end.lsn, ledger.journal.end(SHARD).expect("known"));
        // What is merged is small; the large file is never written again.
        assert!(done.written_bytes < 300_000, "run {run}: {done:?}");
        assert!(done.files <= 20, "run {run}: {done:?}");
        assert_eq!(files(&ledger.to()).len() as u64, done.files, "merged ones are gone");
    }
    let again = ledger.back_up().expect("nothing new");
    assert_eq!((again.events, again.written_bytes), (0, 0));
    assert!(files(&ledger.to()).contains(&kept[0]) || kept[0].exists());
    ledger.assert_holds(&ledger.to());
    let backup = BackupJournal::new(BackupStore::open(&ledger.to()).expect("opens"));
    for lsn in [1, 2, 19_999, 20_000, 20_001, 20_100].map(Lsn) {
        let found = backup.frame_at(SHARD, lsn).expect("reads").expect("there");
        let same = ledger.journal.frame_at(SHARD, lsn).expect("reads").expect("there");
        assert_eq!(found.bytes(), same.bytes());
        let from = backup.read(SHARD, lsn).expect("reads").next().expect("one").expect("reads");
        assert_eq!(from.bytes(), same.bytes());
    }
    let beyond = backup.read(SHARD, backup.end(SHARD).expect("known").next()).expect("reads");
    assert_eq!(beyond.count(), 0);
}

/// Broken off behind any step, also in the run that merges, the backup is sound and no shorter.
#[test]
fn a_run_broken_off_at_any_step_leaves_the_one_before() {
    for steps in 0.. {
        let mut ledger = Ledger::new(LEDGER, 0);
        for _ in 0..7 {
            ledger.append(3);
            ledger.back_up().expect("backed up");
        }
        let before = ledger.assert_holds(&ledger.to());
        ledger.append(500);
        let mut left = steps;
        let broken = ledger.update(&ledger.to(), false, &mut |_| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(())
        });
        let after = ledger.assert_holds(&ledger.to());
        assert!(after >= before, "step {steps}");
        // The next run finds what is left over, and finishes.
        ledger.append(1);
        let done = ledger.back_up().expect("backed up");
        assert_eq!(
            done.files,
            files(&ledger.to()).len() as u64,
            "step {steps}: nothing is left over"
        );
        ledger.assert_holds(&ledger.to());
        match broken {
            Ok(_) => {
                assert!(steps > 6, "written, read back, renamed, twice, and named: {steps}");
                return;
            }
            Err(error) => assert!(error.is_stopped(), "step {steps}: {error:?}"),
        }
    }
}

/// The keys of a running server are rotated while a backup merges, and the run is broken off behind
/// its first manifest: what that names opens with the backup's own keys.
#[test]
fn a_backup_names_nothing_under_a_key_that_it_lacks() {
    let mut ledger = Ledger::new(LEDGER, 0);
    let (data, to, by) = (ledger.data(), ledger.to(), MasterKey::random().expect("random"));
    let path = data.join(KEYS);
    let mut keys = KeysFile::begin(LEDGER, 7, &path, &by).expect("made");
    keys.write(&data).expect("writes");
    let vault = Vault::unlock(&keys, &path, &by).expect("opens");
    let run = |ledger: &Ledger, watch: &mut dyn FnMut(Step) -> ControlFlow<()>| {
        let source = Source { vault: Some(&vault), ..ledger.source(&data) };
        BackupStore::update(&to, &source, true, watch)
    };
    for _ in 0..7 {
        ledger.append(3);
        run(&ledger, &mut |_| ControlFlow::Continue(())).expect("backed up");
    }
    ledger.append(3);
    let broken = run(&ledger, &mut |step| {
        match step {
            // The eighth file has its name, and the merged one comes next.
            Step::Renamed if keys.entries.len() == 1 => {
                keys.add(8, &path, &by).expect("adds");
                keys.write(&data).expect("writes");
                vault.reload(&keys, &path, &by).expect("takes it over");
            }
            Step::Named => return ControlFlow::Break(()),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    assert!(broken.expect_err("stopped").is_stopped());
    let usage = Usage::of_backup(&to).expect("looks");
    assert_eq!(usage.by_key[&2].frames, 1, "the merged file is under the new key");
    let store = BackupStore::open_with(&to, Some(&by)).expect("opens");
    assert_eq!(store.manifest().files.len(), 1);
    assert!(store.verify().is_empty(), "{:?}", store.verify());
}

/// More than a file holds, in appends of many frames: each file ends with an append, so that what is
/// broken off between two files can be read.
#[test]
fn a_large_ledger_takes_several_files_and_each_is_a_backup() {
    let mut ledger = Ledger::new(LEDGER, 0);
    for _ in 0..60 {
        ledger.append_sized(600, 62);
    }
    let broken = ledger.update(&ledger.to(), true, &mut |step| match step {
        Step::Named => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(broken.expect_err("stopped").is_stopped());
    let end = ledger.assert_holds(&ledger.to());
    assert!(end > Lsn::ZERO && end.0.is_multiple_of(600) && end < Lsn(60 * 600), "{end}");
    let done = ledger.back_up().expect("goes on");
    assert_eq!((done.events, done.files), (60 * 600 - end.0, 2));
    assert_eq!(ledger.assert_holds(&ledger.to()), Lsn(60 * 600));
}

#[test]
fn what_does_not_belong_is_refused_and_changes_nothing() {
    let mut ledger = Ledger::new(LEDGER, 0);
    ledger.append(10);
    let to = ledger.to();
    let gone = ledger.update(&to, false, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(gone, Err(BackupError::Gone(_))), "{gone:?}");
    ledger.back_up().expect("backed up");
    let before = fs::read(to.join(MANIFEST)).expect("reads");

    let mut other = Ledger::new(LedgerId::from_bytes([1; 16]), 0);
    other.append(20);
    let refused = other.update(&to, true, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(BackupError::OtherLedger { .. })), "{refused:?}");
    let mut older = Ledger::new(LEDGER, 0);
    older.append(9);
    let refused = older.update(&to, true, &mut |_| ControlFlow::Continue(()));
    let later = matches!(refused, Err(BackupError::Later { backup: Lsn(10), ledger: Lsn(9), .. }));
    assert!(later, "{refused:?}");
    for records in [10, 11] {
        // Other events, or the same place in the middle of another append.
        let mut apart = Ledger::new(LEDGER, 1);
        apart.append(records);
        let refused = apart.update(&to, true, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(refused, Err(BackupError::OtherHistory { .. })), "{refused:?}");
    }
    let inside = ledger.data().join("backup");
    let refused = ledger.update(&inside, true, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(BackupError::Inside { .. })), "{refused:?}");
    let around = ledger.dir.path();
    let refused = ledger.update(around, true, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(BackupError::Inside { .. })), "{refused:?}");
    let foreign = other.dir.path().join("mine");
    fs::create_dir(&foreign).expect("made");
    fs::write(foreign.join("letters.txt"), "x").expect("written");
    let refused = ledger.update(&foreign, true, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(BackupError::Foreign { .. })), "{refused:?}");
    let unmounted = other.dir.path().join("no/such/mount");
    let refused = ledger.update(&unmounted, true, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(BackupError::Io { .. })), "{refused:?}");
    // Two at a time: the one inside finds the lock taken.
    ledger.append(1);
    let mut inner = None;
    ledger
        .update(&to, true, &mut |_| {
            let try_it = || ledger.update(&to, true, &mut |_| ControlFlow::Continue(()));
            inner.get_or_insert_with(try_it);
            ControlFlow::Continue(())
        })
        .expect("the first is not disturbed");
    assert!(matches!(inner, Some(Err(BackupError::InUse(_)))), "{inner:?}");
    assert_ne!(fs::read(to.join(MANIFEST)).expect("reads"), before, "only the last one wrote");
    ledger.assert_holds(&to);
    let nothing = BackupStore::open(&foreign);
    assert!(matches!(nothing, Err(BackupError::NotFound(_))), "{nothing:?}");
}

/// Every bit of the manifest, and bits all over the files, some of every part of them.
#[test]
fn every_damage_is_named() {
    let mut ledger = Ledger::new(LEDGER, 0);
    for records in [9_000, 4, 300] {
        ledger.append(records);
        ledger.back_up().expect("backed up");
    }
    let to = ledger.to();
    let manifest = to.join(MANIFEST);
    let good = fs::read(&manifest).expect("reads");
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        Manifest::decode(&bad).expect_err("noticed");
    }
    for length in 0..good.len() {
        Manifest::decode(&good[..length]).expect_err("noticed");
    }
    let files = files(&to);
    assert_eq!(files.len(), 3);
    for file in &files {
        let good = fs::read(file).expect("reads");
        let step = (good.len() / 300).max(1);
        for at in (0..good.len()).step_by(step).chain(good.len() - 140..good.len()) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(file, &bad).expect("written");
            assert_named(&to, file, at);
        }
        for cut in [1, 100, good.len() / 2, good.len()] {
            fs::write(file, &good[..good.len() - cut]).expect("written");
            assert_named(&to, file, cut);
            let refused = ledger.back_up().expect_err("noticed by the next run");
            assert!(refused.is_damage(), "{refused:?}");
        }
        fs::remove_file(file).expect("ours");
        assert_named(&to, file, 0);
        let refused = ledger.back_up().expect_err("noticed by the next run");
        assert!(
            matches!(refused, BackupError::Frames(ArchiveError::Missing { .. })),
            "{refused:?}"
        );
        // Another's whole file in its place.
        let other = files.iter().find(|other| *other != file).expect("several");
        fs::copy(other, file).expect("copied");
        assert_named(&to, file, 0);
        fs::write(file, &good).expect("written");
    }
    ledger.assert_holds(&to);
    fs::write(&manifest, b"DUCATBAK").expect("written");
    let refused = ledger.back_up().expect_err("refused, not begun anew");
    let short = matches!(refused, BackupError::Manifest { source: ManifestFault::Size(8), .. });
    assert!(short, "{refused:?}");
}

fn assert_named(to: &Path, file: &Path, at: usize) {
    let store = BackupStore::open(to).expect("the manifest is whole");
    let faults = store.verify();
    let name = file.display().to_string();
    let named = faults.iter().any(|fault| fault.error.to_string().contains(&name));
    assert!(named && faults.iter().all(|fault| fault.error.is_damage()), "{at}: {faults:?}");
}

/// The bytes every future version must read.
#[test]
fn the_manifest_of_version_1_is_read() {
    let ledger = LedgerId::from_bytes([7; 16]);
    let origin = Origin {
        kind: OriginKind::Restore,
        parent: LedgerId::from_bytes([6; 16]),
        lsn: Lsn(4),
        parent_lsn: Lsn(5),
        made_ns: 77,
        state_hash: [9; 32],
        note: "after the fire".to_owned(),
    };
    let mut manifest = Manifest::empty(ledger, SHARD, vec![origin]);
    (manifest.sequence, manifest.time_ns) = (3, 1_700_000_000_000_000_000);
    let mut writer = Ledger::new(ledger, 0);
    for records in [40, 2] {
        writer.append(records);
        writer.back_up().expect("backed up");
    }
    let made = BackupStore::open(&writer.to()).expect("opens").manifest().clone();
    manifest.files.clone_from(&made.files);
    let anchor = made.files[0].extent.after;
    let snapshot = ducat_persistence::backup::SnapshotEntry {
        lsn: anchor.lsn.next(),
        anchor,
        bytes: 1_234,
        digest: [5; 32],
    };
    manifest.snapshots.push(snapshot);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backup-v1.manifest");
    if std::env::var_os("DUCAT_WRITE_FIXTURES").is_some() {
        fs::write(&path, manifest.encode()).expect("written");
    }
    let stored = fs::read(&path).expect("the fixture is there");
    assert_eq!(Manifest::decode(&stored), Ok(manifest.clone()));
    assert_eq!(manifest.encode(), stored);
    assert_eq!((manifest.end().lsn, manifest.last_time_ns()), (Lsn(42), 1_041));
    manifest.snapshots.push(snapshot);
    assert_eq!(
        Manifest::decode(&manifest.encode()),
        Err(ManifestFault::Field("a snapshot")),
        "one after the other"
    );
    manifest.snapshots.clear();
    manifest.files.remove(0);
    assert_eq!(Manifest::decode(&manifest.encode()), Err(ManifestFault::Chain(0)));
}
