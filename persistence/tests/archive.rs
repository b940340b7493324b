//! The archive on disk: what was archived is read back, frame by frame; whatever was changed,
//! exchanged or taken away is refused by name; and the stored file every future version must read.

use ducat_engine::ids::{Lsn, ShardId};
use ducat_persistence::archive::format::Head;
use ducat_persistence::archive::manifest::{Manifest, ManifestFault};
use ducat_persistence::archive::store::{MANIFEST, Stray};
use ducat_persistence::archive::{ArchiveError, ArchiveFile, ArchiveStore, FileWriter, Step};
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::contract::{Journal, JournalError, Place};
use ducat_persistence::frame::{Frame, genesis_hash};
use ducat_persistence::{AppendBuffer, LedgerId, MemoryJournal};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LEDGER: LedgerId = LedgerId::from_bytes([0xa7; 16]);
const SHARD: ShardId = ShardId(0);

/// Frames of appends of so many records each; a record has some forty bytes of its LSN and `salt`.
fn frames(appends: &[u64], salt: u8) -> Vec<Frame> {
    let journal = MemoryJournal::new(LEDGER);
    let (mut writer, _) = journal.open_writer(SHARD, "test").expect("opens");
    let mut lsn = Lsn(1);
    for (append, records) in appends.iter().enumerate() {
        let (mut batch, first) = (AppendBuffer::new(), lsn);
        batch.begin_batch(1_000 + append as u64);
        for _ in 0..*records {
            let record = blake3::hash(&[&lsn.0.to_le_bytes()[..], &[salt]].concat());
            batch.push(lsn, |out| out.extend_from_slice(&record.as_bytes()[..])).expect("fits");
            lsn = lsn.next();
        }
        batch.end_batch();
        writer.append(first, &mut batch).expect("appends");
    }
    journal.read(SHARD, Lsn(1)).expect("reads").map(|frame| frame.expect("intact")).collect()
}

fn append(store: &ArchiveStore, frames: &[Frame]) {
    store.append(frames.iter().cloned().map(Ok)).expect("archives");
}

fn open(dir: &Path) -> Result<Arc<ArchiveStore>, ArchiveError> {
    ArchiveStore::open(dir.join("archive"), LEDGER, SHARD).map(Arc::new)
}

/// An archive of three files, and all its frames.
fn archived() -> (tempfile::TempDir, Arc<ArchiveStore>, Vec<Frame>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let frames = frames(&[1, 300, 3, 20_000, 1, 7, 900], 0);
    let store = open(dir.path()).expect("an empty archive");
    let (first, rest) = frames.split_at(4);
    let (second, third) = rest.split_at(rest.len() - 5);
    for part in [first, second, third] {
        append(&store, part);
    }
    (dir, store, frames)
}

fn bytes(frames: &[Frame]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.bytes().to_vec()).collect()
}

#[test]
fn what_was_archived_is_read_back() {
    let (dir, store, frames) = archived();
    let again = open(dir.path()).expect("opens");
    assert_eq!(again.list(), store.list());
    let end = frames.last().expect("some");
    assert_eq!(again.end(), ChainPoint { lsn: end.last_lsn(), hash: end.hash() });
    let entries = again.list();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0].extent.first_lsn(), Lsn(1));
    assert!(again.file(&entries[1]).expect("opens").blocks() > 3, "several blocks");
    for frame in &frames {
        for lsn in [frame.first_lsn(), frame.last_lsn()] {
            let found = again.frame_at(lsn).expect("reads").expect("archived");
            assert_eq!(found.bytes(), frame.bytes());
        }
        let mut from = again.read(frame.last_lsn());
        let first = from.next().expect("one").expect("reads");
        assert_eq!(first.bytes(), frame.bytes());
    }
    assert!(again.frame_at(Lsn::ZERO).expect("reads").is_none());
    assert!(again.frame_at(end.last_lsn().next()).expect("reads").is_none());
    let all: Vec<_> = again.read(Lsn::ZERO).map(|frame| frame.expect("reads")).collect();
    assert_eq!(bytes(&all), bytes(&frames));
    assert_eq!(again.read(end.last_lsn().next()).count(), 0);
    let mut seen = Vec::new();
    let faults = again.verify(&mut |frame, hash| {
        assert_eq!(hash, frame.hash());
        seen.push(frame.clone());
        true
    });
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(bytes(&seen), bytes(&frames));
    assert_eq!(again.strays().expect("lists"), []);
}

#[test]
fn a_store_sees_what_another_appended_once_it_looks_again() {
    let (dir, store, frames) = archived();
    let other = open(dir.path()).expect("opens");
    let more = frames_after(&frames);
    append(&store, &more);
    assert!(other.frame_at(more[0].first_lsn()).expect("reads").is_none());
    other.refresh().expect("reads");
    assert_eq!(other.end(), store.end());
    assert!(other.frame_at(more[0].first_lsn()).expect("reads").is_some());
}

/// What would follow these frames.
fn frames_after(frames: &[Frame]) -> Vec<Frame> {
    let all = self::frames(&[1, 300, 3, 20_000, 1, 7, 900, 40, 50], 0);
    all[frames.len()..].to_vec()
}

#[test]
fn only_what_continues_is_taken_and_a_failure_changes_nothing() {
    let (dir, store, frames) = archived();
    let before = fs::read(dir.path().join("archive").join(MANIFEST)).expect("reads");
    let gap = store.append(frames_after(&frames)[1..].iter().cloned().map(Ok));
    assert!(matches!(gap, Err(ArchiveError::NotContinued { .. })), "{gap:?}");
    // The same LSNs of another history.
    let other = self::frames(&[1, 300, 3, 20_000, 1, 7, 900, 40], 1);
    let other = store.append(other.last().cloned().map(Ok));
    assert!(matches!(other, Err(ArchiveError::NotContinued { .. })), "{other:?}");
    let nothing = store.append(std::iter::empty());
    assert!(matches!(nothing, Err(ArchiveError::Nothing(_))), "{nothing:?}");
    let failing = || {
        JournalError::Damaged(Box::new(ducat_persistence::Damage {
            place: Place::new(SHARD, Lsn(9)),
            what: "it is a test".to_owned(),
            data_dir: None,
            source: None,
        }))
    };
    let good = frames_after(&frames).into_iter().map(Ok);
    let failed = store.append(good.chain(std::iter::once_with(|| Err(failing()))));
    assert!(matches!(failed, Err(ArchiveError::Source(_))), "{failed:?}");
    assert_eq!(fs::read(dir.path().join("archive").join(MANIFEST)).expect("reads"), before);
    assert_eq!(store.strays().expect("lists"), []);
    append(&store, &frames_after(&frames));
    assert!(store.verify(&mut |_, _| true).is_empty());
}

/// What the disk made of a file is looked at before it counts.
#[test]
fn a_file_that_reads_back_otherwise_is_not_taken() {
    let (dir, store, frames) = archived();
    let before = store.list();
    let new = dir.path().join("archive").join(format!("{:020}.frames.new", store.end().lsn.0 + 1));
    let mut watch = |step| {
        if step == Step::Written {
            let mut bytes = fs::read(&new).expect("it is there");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&new, bytes).expect("writes");
        }
        ControlFlow::Continue(())
    };
    let more = frames_after(&frames);
    let refused = store.append_watched(more.iter().cloned().map(Ok), &mut watch);
    assert!(matches!(refused, Err(ArchiveError::Damaged { .. })), "{refused:?}");
    assert_eq!(open(dir.path()).expect("opens").list(), before);
    append(&store, &more);
}

#[test]
fn what_a_crash_left_is_seen_and_written_again() {
    let (dir, store, frames) = archived();
    let archive = dir.path().join("archive");
    let next = store.end().lsn.next();
    let begun = archive.join(format!("{:020}.frames.new", next.0));
    let finished = archive.join(format!("{:020}.frames", next.0));
    for path in [&begun, &finished, &archive.join("MANIFEST.new")] {
        fs::write(path, "torn").expect("writes");
    }
    fs::write(archive.join("letter.txt"), "dear").expect("writes");
    let again = open(dir.path()).expect("opens");
    let strays = again.strays().expect("lists");
    assert_eq!(strays.iter().filter(|s| matches!(s, Stray::Unfinished(_))).count(), 3);
    assert!(strays.contains(&Stray::Unknown(archive.join("letter.txt"))));
    append(&again, &frames_after(&frames));
    assert!(again.verify(&mut |_, _| true).is_empty());
    assert_eq!(again.strays().expect("lists"), [Stray::Unknown(archive.join("letter.txt"))]);
}

#[test]
fn a_crash_before_the_first_manifest_leaves_an_empty_archive() {
    let (dir, store, frames) = archived();
    let archive = dir.path().join("archive");
    let names: Vec<PathBuf> = store.list().iter().map(|entry| store.path_of(entry)).collect();
    fs::remove_file(archive.join(MANIFEST)).expect("removes");
    // Three files without a manifest are no such crash.
    let error = open(dir.path()).expect_err("the manifest is lost");
    let missing = matches!(error, ArchiveError::Manifest { source: ManifestFault::Missing, .. });
    assert!(missing, "{error:?}");
    for name in &names[1..] {
        fs::remove_file(name).expect("removes");
    }
    let again = open(dir.path()).expect("as after a crash");
    assert_eq!(again.end().lsn, Lsn::ZERO);
    append(&again, &frames[..4]);
    assert!(again.verify(&mut |_, _| true).is_empty());
}

/// A file of few bytes.
fn small_file() -> (Vec<u8>, Vec<Frame>) {
    let frames = frames(&[3, 1, 2], 0);
    let before = ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(LEDGER, SHARD) };
    let head = Head { ledger: LEDGER, shard: SHARD, before };
    let mut writer = FileWriter::new(Vec::new(), head).expect("in memory");
    for frame in &frames {
        writer.frame(frame).expect("continues");
    }
    let (bytes, written) = writer.finish().expect("in memory");
    assert_eq!(written.bytes, bytes.len() as u64);
    (bytes, frames)
}

fn verify(bytes: &[u8]) -> Result<Vec<Frame>, ArchiveError> {
    let file = ArchiveFile::open(Arc::<[u8]>::from(bytes), Path::new("test.frames"))?;
    let mut seen = Vec::new();
    file.verify(&mut |frame, _| {
        seen.push(frame.clone());
        true
    })?;
    Ok(seen)
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_file_is_refused() {
    let (good, frames) = small_file();
    assert_eq!(bytes(&verify(&good).expect("intact")), bytes(&frames));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let error = verify(&bad).expect_err(&format!("bit {bit}"));
        assert!(error.is_damage(), "bit {bit}: {error:?}");
    }
    for length in 0..good.len() {
        let error = verify(&good[..length]).expect_err("cut off");
        assert!(error.is_damage(), "{length} bytes: {error:?}");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(verify(&longer).expect_err("longer").is_damage());
}

#[test]
fn every_flipped_bit_and_every_cut_of_the_manifest_is_refused() {
    let (_dir, store, _) = archived();
    let good = store.manifest().encode();
    let decoded = Manifest::decode(&good, LEDGER, SHARD).expect("intact");
    assert_eq!(decoded, *store.manifest());
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        Manifest::decode(&bad, LEDGER, SHARD).expect_err(&format!("bit {bit}"));
    }
    for length in 0..good.len() {
        Manifest::decode(&good[..length], LEDGER, SHARD).expect_err("cut off");
    }
    let other = LedgerId::from_bytes([1; 16]);
    let foreign = Manifest::decode(&good, other, SHARD);
    assert!(matches!(foreign, Err(ManifestFault::Foreign(..))), "{foreign:?}");
}

#[test]
fn missing_exchanged_and_foreign_files_are_named() {
    let (dir, store, frames) = archived();
    let paths: Vec<PathBuf> = store.list().iter().map(|entry| store.path_of(entry)).collect();
    let good = fs::read(&paths[1]).expect("reads");
    let lsn = store.list()[1].extent.first_lsn();

    fs::remove_file(&paths[1]).expect("removes");
    let again = open(dir.path()).expect("the manifest is intact");
    let error = again.frame_at(lsn).expect_err("its file is missing");
    assert!(matches!(&error, ArchiveError::Missing { path, .. } if *path == paths[1]), "{error:?}");
    let faults = again.verify(&mut |_, _| true);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].first, lsn);
    // The others are read as before.
    assert!(again.frame_at(Lsn(1)).expect("reads").is_some());
    assert!(again.frame_at(again.end().lsn).expect("reads").is_some());

    // Another file of this archive, and one of another history with the same LSNs.
    fs::copy(&paths[2], &paths[1]).expect("copies");
    let error = open(dir.path()).expect("opens").frame_at(lsn).expect_err("another file");
    assert!(matches!(error, ArchiveError::Foreign { .. }), "{error:?}");
    let other = tempfile::tempdir().expect("a temporary directory");
    let foreign = open(other.path()).expect("opens");
    append(&foreign, &self::frames(&[1, 300, 3, 20_000], 1));
    fs::copy(foreign.path_of(&foreign.list()[0]), &paths[0]).expect("copies");
    let error = open(dir.path()).expect("opens").frame_at(Lsn(1)).expect_err("another history");
    assert!(matches!(error, ArchiveError::Foreign { .. }), "{error:?}");

    // A manifest written anew from the files takes only what is whole and continues.
    fs::remove_file(dir.path().join("archive").join(MANIFEST)).expect("removes");
    let rebuild = |least| {
        let dir = dir.path().join("archive");
        ArchiveStore::rebuild_manifest(dir, LEDGER, SHARD, None, least)
    };
    let end = ChainPoint {
        lsn: frames.last().expect("some").last_lsn(),
        hash: frames.last().expect("some").hash(),
    };
    let error = rebuild(end).expect_err("a foreign file");
    assert!(matches!(error, ArchiveError::Foreign { .. }), "{error:?}");
    fs::write(&paths[1], good).expect("writes");
    let mut first = Vec::new();
    let before = ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(LEDGER, SHARD) };
    let mut writer =
        FileWriter::new(&mut first, Head { ledger: LEDGER, shard: SHARD, before }).expect("memory");
    frames[..4].iter().for_each(|frame| writer.frame(frame).expect("continues"));
    writer.finish().expect("in memory");
    fs::write(&paths[0], first).expect("writes");
    let beyond = ChainPoint { lsn: end.lsn.next(), ..end };
    let error = rebuild(beyond).expect_err("it ends before");
    assert!(matches!(error, ArchiveError::Missing { .. }), "{error:?}");
    let again = rebuild(end).expect("all files are whole");
    assert_eq!(again.list(), store.list());
    assert_eq!(open(dir.path()).expect("opens").list(), store.list());
}

/// A change to the format needs a new version, and this file must still be read.
#[test]
fn the_stored_file_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/archive-v1.frames");
    let (today, frames) = small_file();
    if std::env::var_os("DUCAT_WRITE_FIXTURES").is_some() {
        fs::write(&path, &today).expect("writes");
    }
    let stored = fs::read(&path).expect("the fixture is in the tree");
    assert_eq!(bytes(&verify(&stored).expect("intact")), bytes(&frames));
    assert_eq!(stored, today, "the frames decide the bytes");
}
