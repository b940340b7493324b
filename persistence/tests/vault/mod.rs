//! Encrypted ledgers on the disk: nothing of what was recorded can be found in the files, all of it is
//! read back with the key and none of it without; whatever is changed, moved or exchanged is refused;
//! no data key seals two things under one number, whatever happens to the directory.

use super::{SHARD, append as append_plain, content, db_files, seen};
use crate::support::{copy_tree, small_options};
use ducat_engine::ids::Lsn;
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_persistence::archive::format::Head;
use ducat_persistence::archive::{ArchiveFile, FileWriter};
use ducat_persistence::backup::Source;
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::frame::{FrameError, SEALED_EXTRA_BYTES, genesis_hash};
use ducat_persistence::snapshot::{Encoder, Reader, SnapshotHeader};
use ducat_persistence::vault::keys::{KEYS, KeysLock};
use ducat_persistence::vault::{KeyWrapper, KeysFile, Kind, MasterKey, Usage};
use ducat_persistence::{
    AppendBuffer, ArchiveStore, BackupError, BackupJournal, BackupStore, DataDir, DataDirError,
    Frame, Journal, LedgerId, RawError, RawJournal, SledJournal, Vault, VaultError, Writer,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// What no file of an encrypted ledger may hold.
const CANARY: &[u8] = b"card 4929 1234 5678 9012";
const MAGIC: &[u8] = b"DJFR";
/// Where in a sealed frame what stands there begins.
const STAMP_AT: usize = 32;
const CRC_AT: usize = 52;
const TAG_AT: usize = 56;

fn master() -> MasterKey {
    MasterKey::random().expect("random")
}

fn opened(root: &Path, by: Option<&MasterKey>) -> SledJournal {
    let by = by.map(|by| by as &dyn KeyWrapper);
    let dir = DataDir::create_or_open_with(root, by).expect("opens");
    SledJournal::open(Arc::new(dir), small_options()).expect("opens")
}

/// Appends `records` records after `last`, each with the canary; the new last LSN.
fn append(writer: &mut dyn Writer, last: Lsn, records: u64) -> Lsn {
    let mut batch = AppendBuffer::new();
    batch.begin_batch(last.0 + 1_000);
    for lsn in last.0 + 1..=last.0 + records {
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(&lsn.to_le_bytes());
            out.extend_from_slice(CANARY);
            out.resize(out.len() + (lsn % 90) as usize, 7);
        };
        batch.push(Lsn(lsn), fill).expect("small");
    }
    batch.end_batch();
    writer.append(last.next(), &mut batch).expect("appends")
}

/// A few appends more, by a process of its own.
fn run(root: &Path, by: Option<&MasterKey>, appends: u64) -> Lsn {
    let journal = opened(root, by);
    let (mut writer, tail) = journal.open_writer(SHARD, "test").expect("opens");
    let mut last = Lsn(tail.next_lsn.0 - 1);
    for number in 0..appends {
        last = append(&mut *writer, last, 1 + number * 7 % 120);
    }
    last
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

fn holds_canary(root: &Path) -> bool {
    content(root).values().any(|bytes| holds(bytes, CANARY))
}

fn read_with(root: &Path, by: Option<&MasterKey>) -> Result<RawJournal, RawError> {
    RawJournal::open_with(root, by.map(|by| by as &dyn KeyWrapper))
}

#[test]
fn what_is_recorded_is_in_no_file_and_read_back_by_store_and_files() {
    for encrypted in [true, false] {
        let (dir, key) = (tempfile::tempdir().expect("a directory"), master());
        let by = encrypted.then_some(&key);
        for appends in [30, 20] {
            run(dir.path(), by, appends);
        }
        assert!(db_files(dir.path()).len() > 1, "several segments");
        assert_eq!(holds_canary(dir.path()), !encrypted, "the look finds what is there");
        let through_store = seen(&opened(dir.path(), by));
        let raw = read_with(dir.path(), by).expect("opens");
        assert_eq!(seen(&raw), through_store);
        let frame = raw.frame_at(SHARD, Lsn(77)).expect("sound").expect("there");
        assert!(holds(frame.payload(), CANARY));
        let (found, failed) = raw.inspect(&mut |_, _| Ok(()));
        assert!(found.faults.is_empty() && failed.is_none(), "{:?}", found.faults);
        let room = tempfile::tempdir().expect("a directory");
        let faults = raw.check_store(&found.segments, room.path()).expect("copies");
        assert!(faults.is_empty(), "{faults:?}");
    }
}

#[test]
fn without_its_master_key_nothing_opens_and_nothing_changes() {
    let (dir, key, other) = (tempfile::tempdir().expect("a directory"), master(), master());
    run(dir.path(), Some(&key), 3);
    let before = content(dir.path());
    let locked = DataDir::create_or_open(dir.path()).expect_err("encrypted");
    let text = locked.to_string();
    assert!(matches!(locked, DataDirError::Keys(VaultError::Locked { .. })), "{text}");
    assert!(text.contains(key.name()) && text.contains("--master-key-file"), "{text}");
    let wrong = DataDir::open_existing_with(dir.path(), Some(&other)).expect_err("another key");
    let text = wrong.to_string();
    assert!(text.contains(key.name()) && text.contains(other.name()), "{text}");
    for by in [None, Some(&other)] {
        let refused = read_with(dir.path(), by).expect_err("not its key");
        assert!(matches!(refused, RawError::DataDir(DataDirError::Keys(_))), "{refused}");
    }
    let after = content(dir.path());
    let changed = |path: &&std::path::PathBuf| before.get(*path) != after.get(*path);
    let changed: Vec<_> = after.keys().filter(changed).filter(|p| !p.ends_with("LOCK")).collect();
    assert!(changed.is_empty(), "{changed:?}");
    fs::rename(dir.path().join(KEYS), dir.path().join("elsewhere")).expect("taken away");
    let missing = DataDir::open_existing_with(dir.path(), Some(&key)).expect_err("no keys");
    assert!(matches!(missing, DataDirError::Keys(VaultError::Missing(_))), "{missing}");
}

/// Every sealed frame in a segment's file, old copies included.
fn sealed_frames(file: &[u8]) -> Vec<&[u8]> {
    let starts = memchr::memmem::find_iter(file, MAGIC);
    let sealed = starts.filter(|at| file[at + 4..].starts_with(&2u16.to_le_bytes()));
    sealed
        .filter_map(|at| {
            let payload = u32::from_le_bytes(file[at + 12..at + 16].try_into().ok()?) as usize;
            let frame = file.get(at..at + 80 + payload + SEALED_EXTRA_BYTES)?;
            let crc = u32::from_le_bytes(frame[CRC_AT..TAG_AT].try_into().ok()?);
            (crc == checksum(frame)).then_some(frame)
        })
        .collect()
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..CRC_AT]), &frame[TAG_AT..])
}

fn mend(frame: &mut [u8]) {
    let crc = checksum(frame);
    frame[CRC_AT..TAG_AT].copy_from_slice(&crc.to_le_bytes());
}

/// Key and number of each sealed frame, with what was sealed under them.
type Sealed = BTreeMap<(Vec<u8>, u64), BTreeSet<Vec<u8>>>;

fn collect(root: &Path, into: &mut Sealed) {
    for path in db_files(root) {
        for frame in sealed_frames(&fs::read(path).expect("reads")) {
            let lsn = u64::from_le_bytes(frame[24..32].try_into().expect("eight bytes"));
            let key = frame[STAMP_AT..CRC_AT].to_vec();
            into.entry((key, lsn)).or_default().insert(frame.to_vec());
        }
    }
}

/// Over starts, segments, rotations, and copies of the directory that go apart as a rolled-back disk
/// does: one key and one number, one content.
#[test]
fn no_key_seals_two_things_under_one_number() {
    let (dir, key) = (tempfile::tempdir().expect("a directory"), master());
    let (mut sealed, mut copies) = (Sealed::new(), Vec::new());
    for start in 0..12 {
        if start % 4 == 2 {
            let copy = tempfile::tempdir().expect("a directory");
            copy_tree(dir.path(), copy.path());
            copies.push(copy);
        }
        if start == 6 {
            rotate(dir.path(), &key, &key);
        }
        run(dir.path(), Some(&key), 6);
        collect(dir.path(), &mut sealed);
    }
    for copy in &copies {
        // The same LSNs and epochs as in the original, of other content.
        let journal = opened(copy.path(), Some(&key));
        let (mut writer, tail) = journal.open_writer(SHARD, "test").expect("opens");
        append_plain(&mut *writer, Lsn(tail.next_lsn.0 - 1), 50);
        drop((writer, journal));
        collect(copy.path(), &mut sealed);
    }
    let twice = sealed.iter().filter(|(_, contents)| contents.len() > 1).count();
    assert_eq!(twice, 0, "of {}", sealed.len());
    let keys: BTreeSet<&Vec<u8>> = sealed.keys().map(|(key, _)| key).collect();
    assert!(keys.len() >= 12 + copies.len(), "{} keys", keys.len());
    let numbers: BTreeSet<u64> = sealed.keys().map(|(_, number)| *number).collect();
    assert!(numbers.len() < sealed.len(), "numbers come again, under other keys");
}

fn rotate(root: &Path, old: &MasterKey, new: &MasterKey) {
    let _lock = KeysLock::take(root).expect("nobody else");
    let path = root.join(KEYS);
    let mut keys = KeysFile::read(root).expect("reads").expect("there");
    keys.rewrap(&path, old, new).expect("wraps");
    keys.add(1_800_000_000, &path, new).expect("adds");
    keys.write(root).expect("writes");
}

fn one_sealed_frame(root: &Path, key: &MasterKey) -> (Vec<Vec<u8>>, Vault) {
    run(root, Some(key), 4);
    let file = fs::read(&db_files(root)[0]).expect("reads");
    let frames = sealed_frames(&file).into_iter().map(<[u8]>::to_vec).collect();
    let vault = DataDir::unlock(root, Some(key)).expect("unlocks").expect("encrypted");
    (frames, vault)
}

#[test]
fn a_sealed_frame_opens_in_its_place_alone() {
    let (dir, key) = (tempfile::tempdir().expect("a directory"), master());
    let (frames, vault) = one_sealed_frame(dir.path(), &key);
    let good = &frames[0];
    let plain = Frame::open(good, Some(&vault)).expect("intact");
    assert!(holds(plain.payload(), CANARY));
    assert_eq!(plain.bytes().len() + SEALED_EXTRA_BYTES, good.len());
    assert_eq!(Frame::open(good, None).expect_err("no key"), FrameError::Locked);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        Frame::open(&bad, Some(&vault)).expect_err("a flipped bit");
        if (CRC_AT * 8..TAG_AT * 8).contains(&bit) {
            continue;
        }
        // Whoever mends the checksum is found out by the key: also where only what is bound to the
        // frame was changed, and no checksum inside could tell.
        mend(&mut bad);
        let error = Frame::open(&bad, Some(&vault)).expect_err("under a mended checksum");
        let bound = [6 * 8..12 * 8, 16 * 8..32 * 8, 36 * 8..CRC_AT * 8];
        if bound.iter().any(|bits| bits.contains(&bit)) {
            assert_eq!(error, FrameError::Forged, "bit {bit}");
        }
    }
    // Another's place: the LSN of a frame behind it.
    let other = frames.iter().find(|frame| frame[24..32] != good[24..32]).expect("another frame");
    let mut moved = good.clone();
    moved[24..32].copy_from_slice(&other[24..32]);
    mend(&mut moved);
    assert_eq!(Frame::open(&moved, Some(&vault)).expect_err("moved"), FrameError::Forged);
    // Another ledger's, under the same master key.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let (_, stranger) = one_sealed_frame(elsewhere.path(), &key);
    assert_eq!(Frame::open(good, Some(&stranger)).expect_err("foreign"), FrameError::Forged);
    // Under a key that is not there.
    let mut unknown = good.clone();
    unknown[STAMP_AT] = 9;
    mend(&mut unknown);
    let error = Frame::open(&unknown, Some(&vault)).expect_err("no such key");
    assert_eq!(error, FrameError::UnknownKey(9));
}

#[test]
fn a_plain_ledger_becomes_encrypted_and_keys_are_rotated_while_it_is_written() {
    let (dir, old, new) = (tempfile::tempdir().expect("a directory"), master(), master());
    run(dir.path(), None, 20);
    assert!(!DataDir::is_encrypted(dir.path()).expect("a ledger"));
    run(dir.path(), Some(&old), 5);
    assert!(DataDir::is_encrypted(dir.path()).expect("a ledger"));
    assert!(DataDir::create_or_open(dir.path()).is_err(), "from then on");
    let usage = Usage::of_data_dir(dir.path()).expect("looks");
    assert!(usage.plain.segments > 0 && usage.by_key[&1].segments > 0, "{usage:?}");

    let journal = opened(dir.path(), Some(&old));
    let (mut writer, tail) = journal.open_writer(SHARD, "test").expect("opens");
    let mut last = append(&mut *writer, Lsn(tail.next_lsn.0 - 1), 10);
    rotate(dir.path(), &old, &new);
    last = append(&mut *writer, last, 10);
    let vault = journal.data_dir().vault().expect("encrypted");
    assert_eq!(vault.current(), 1, "until it is told");
    let keys = KeysFile::read(dir.path()).expect("reads").expect("there");
    vault.reload(&keys, &dir.path().join(KEYS), &old).expect_err("wrapped by another now");
    vault.reload(&keys, &dir.path().join(KEYS), &new).expect("takes it over");
    last = append(&mut *writer, last, 10);
    let beside = read_with(dir.path(), Some(&new)).expect("beside the writer");
    assert_eq!(beside.scan(SHARD, &mut |_, _| Ok(())).expect("sound").next_lsn, last.next());
    drop((writer, journal));

    let usage = Usage::of_data_dir(dir.path()).expect("looks");
    assert!(usage.by_key[&2].segments > 0, "{usage:?}");
    assert_eq!(usage.unknown(Some(&keys)), Vec::<u32>::new());
    assert_eq!(usage.unknown(None), [1, 2]);
    let wrong = DataDir::open_existing_with(dir.path(), Some(&old)).expect_err("rotated away");
    assert!(matches!(wrong, DataDirError::Keys(VaultError::WrongMaster { .. })), "{wrong}");
    let (tail, _) = seen(&opened(dir.path(), Some(&new)));
    assert_eq!(tail.next_lsn, last.next());
}

/// A creation and a first encryption that were interrupted behind each of their steps.
#[test]
fn what_an_interruption_leaves_is_taken_on() {
    let (dir, key) = (tempfile::tempdir().expect("a directory"), master());
    run(dir.path(), None, 2);
    let plain = fs::read(dir.path().join("FORMAT")).expect("reads");
    run(dir.path(), Some(&key), 2);
    // KEYS was written, FORMAT was not replaced yet.
    fs::write(dir.path().join("FORMAT"), plain).expect("puts back");
    let keys = fs::read(dir.path().join(KEYS)).expect("reads");
    run(dir.path(), Some(&key), 2);
    assert_eq!(fs::read(dir.path().join(KEYS)).expect("reads"), keys, "the same keys");
    // A rotation that was interrupted leaves a file beside, which nobody reads.
    fs::write(dir.path().join("KEYS.new"), "half").expect("writes");
    run(dir.path(), Some(&key), 2);
    rotate(dir.path(), &key, &master());
    assert!(!dir.path().join("KEYS.new").exists());
}

fn vault_of(ledger: LedgerId, key: &MasterKey) -> Vault {
    let path = Path::new(KEYS);
    let keys = KeysFile::begin(ledger, 1_800_000_000, path, key).expect("made");
    Vault::unlock(&keys, path, key).expect("opens")
}

const LEDGER: LedgerId = LedgerId::from_bytes([0xe5; 16]);

/// Frames as a journal in memory makes them.
fn frames(records: u64) -> Vec<Frame> {
    let journal = ducat_persistence::MemoryJournal::new(LEDGER);
    let (mut writer, _) = journal.open_writer(SHARD, "test").expect("opens");
    let mut last = Lsn::ZERO;
    while last.0 < records {
        last = append(&mut *writer, last, 40.min(records - last.0));
    }
    journal.read(SHARD, Lsn(1)).expect("reads").map(|frame| frame.expect("intact")).collect()
}

fn archive_file(frames: &[Frame], vault: Option<&Vault>) -> Vec<u8> {
    let before = ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(LEDGER, SHARD) };
    let head = Head { ledger: LEDGER, shard: SHARD, before };
    let key = vault.map(|vault| vault.fresh(Kind::Archive).expect("random"));
    let mut writer = FileWriter::sealing(Vec::new(), head, key).expect("in memory");
    for frame in frames {
        writer.frame(frame).expect("continues");
    }
    writer.finish().expect("in memory").0
}

fn verify_archive(bytes: &[u8], vault: Option<&Vault>) -> Result<usize, String> {
    let text = |error| ducat_persistence::with_causes(&error);
    let file = ArchiveFile::opening(Arc::<[u8]>::from(bytes), Path::new("x.frames"), vault);
    let mut seen = 0;
    file.map_err(text)?
        .verify(&mut |_, _| {
            seen += 1;
            true
        })
        .map_err(text)?;
    Ok(seen)
}

#[test]
fn an_encrypted_file_of_frames_is_read_with_its_key_and_changed_in_nothing() {
    let (vault, frames) = (vault_of(LEDGER, &master()), frames(90));
    let good = archive_file(&frames, Some(&vault));
    assert_eq!(verify_archive(&good, Some(&vault)), Ok(frames.len()));
    // The same content as a plain file's, compressed as well, and nothing of it alike.
    let plain = archive_file(&frames, None);
    assert_eq!(verify_archive(&plain, None), Ok(frames.len()));
    assert_eq!(good.len(), plain.len() + 24 + 16, "a stamp and a tag");
    assert!(!holds(&good, &plain[80 + 28..80 + 28 + 16]));
    let locked = verify_archive(&good, None).expect_err("no key");
    assert!(locked.contains("encrypted"), "{locked}");
    verify_archive(&good, Some(&vault_of(LEDGER, &master()))).expect_err("another key");
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        verify_archive(&bad, Some(&vault)).expect_err("a flipped bit");
    }
}

/// Two blocks that change places, numbers, LSNs and checksums made to fit.
#[test]
fn blocks_of_encrypted_files_cannot_change_places() {
    let vault = vault_of(LEDGER, &master());
    let good = archive_file(&frames(6_000), Some(&vault));
    let word = |at: usize| u32::from_le_bytes(good[at..at + 4].try_into().expect("four")) as usize;
    let first = 80 + 24;
    let second = first + 28 + word(first + 8);
    let end = second + 28 + word(second + 8);
    assert_eq!((word(first), word(second)), (0, 1), "two blocks");
    let (one, two) = (&good[first..second], &good[second..end]);
    let disguised = |block: &[u8], number: u32| {
        let mut block = block.to_vec();
        block[..4].copy_from_slice(&number.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&block[..24]), &block[28..]);
        block[24..28].copy_from_slice(&crc.to_le_bytes());
        block
    };
    let swapped = [&good[..first], &disguised(two, 0), &disguised(one, 1), &good[end..]].concat();
    assert_eq!(swapped.len(), good.len());
    // Where the first block would lie is in the index; the forgery shows before it does.
    let refused = verify_archive(&swapped, Some(&vault)).expect_err("swapped");
    let same_size = one.len() == two.len();
    assert!(!same_size || refused.contains("encrypted in this place"), "{refused}");
    let header = &good[first..first + 24];
    let forged = [&good[..first], header, &good[first + 24..first + 28], &two[28..], &good[end..]];
    verify_archive(&forged.concat(), Some(&vault)).expect_err("a block in another's place");
}

fn snapshot(vault: Option<&Vault>) -> Vec<u8> {
    let mut ledger = Ledger::new(1, 0, REMEMBER_NS).expect("one partition");
    let state = ledger.begin_export();
    let header = SnapshotHeader {
        ledger: LEDGER,
        shard: SHARD,
        epoch: ducat_engine::ids::Epoch(1),
        anchor: ChainPoint { lsn: state.lsn, hash: genesis_hash(LEDGER, SHARD) },
        taken_ns: 1_750_000_000_123_456_789,
        state,
    };
    let key = vault.map(|vault| vault.fresh(Kind::Snapshot).expect("random"));
    Encoder::sealing(Vec::new(), header, key).expect("sound").finish().expect("whole").0
}

#[test]
fn an_encrypted_snapshot_is_read_with_its_key_and_changed_in_nothing() {
    let vault = vault_of(LEDGER, &master());
    let good = snapshot(Some(&vault));
    let read = |bytes: &[u8], vault: Option<&Vault>| {
        Reader::opening(bytes, Path::new("x.snap"), vault).and_then(Reader::verify)
    };
    let (sealed, plain) = (read(&good, Some(&vault)), snapshot(None));
    let (sealed, plain) = (sealed.expect("sound"), read(&plain, None).expect("sound"));
    assert_eq!((&sealed.header, &sealed.end), (&plain.header, &plain.end));
    read(&good, None).expect_err("no key");
    read(&good, Some(&vault_of(LEDGER, &master()))).expect_err("another key");
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        read(&bad, Some(&vault)).expect_err("a flipped bit");
    }
    for length in 0..good.len() {
        read(&good[..length], Some(&vault)).expect_err("cut off");
    }
}

#[test]
fn archive_and_backup_of_an_encrypted_ledger_are_encrypted_and_have_its_keys() {
    let (dir, old, new) = (tempfile::tempdir().expect("a directory"), master(), master());
    let (root, to) = (dir.path().join("ledger"), dir.path().join("backup"));
    fs::create_dir(&root).expect("made");
    let back_up = |by: &MasterKey| {
        let journal = read_with(&root, Some(by)).expect("opens");
        let source = Source {
            data_dir: &root,
            ledger: journal.ledger(),
            shard: SHARD,
            origins: &[],
            journal: &journal,
            snapshots: None,
            vault: journal.vault(),
        };
        BackupStore::update(&to, &source, true, &mut |_| ControlFlow::Continue(()))
    };
    let mut last = run(&root, Some(&old), 30);
    back_up(&old).expect("begun");
    rotate(&root, &old, &new);
    last = last.max(run(&root, Some(&new), 30));
    {
        let journal = opened(&root, Some(&new));
        let archive = ArchiveStore::of(journal.data_dir(), SHARD).expect("empty");
        archive.append(journal.read(SHARD, Lsn(1)).expect("reads").take(40)).expect("archives");
        assert_eq!(archive.verify(&mut |_, _| true).len(), 0);
        let plain = ArchiveStore::read_only(&root, SHARD).expect("a ledger").expect("a manifest");
        assert_eq!(plain.verify(&mut |_, _| true).len(), 1, "locked");
    }
    back_up(&new).expect("brought up to date");
    assert!(!holds_canary(dir.path()), "nowhere");
    assert_eq!(
        fs::read(to.join(KEYS)).expect("reads"),
        fs::read(root.join(KEYS)).expect("reads"),
        "under the new master key from its next run on"
    );
    let usage = Usage::of_backup(&to).expect("looks");
    assert!(usage.by_key[&1].frames > 0 && usage.by_key[&2].frames > 0, "{usage:?}");
    let locked = BackupStore::open(&to).expect_err("encrypted");
    assert!(matches!(locked, BackupError::Keys(VaultError::Locked { .. })), "{locked}");
    BackupStore::open_with(&to, Some(&old)).expect_err("another key");
    let store = BackupStore::open_with(&to, Some(&new)).expect("opens");
    assert!(store.verify().is_empty());
    let tail = BackupJournal::new(store).scan(SHARD, &mut |_, _| Ok(())).expect("whole");
    assert_eq!(tail.next_lsn, last.next());
    // A ledger whose keys were exchanged does not take those of its backup away.
    let by = &new as &dyn KeyWrapper;
    let ledger = KeysFile::read(&root).expect("reads").expect("there").ledger;
    KeysFile::begin(ledger, 1, &root.join(KEYS), by).expect("made").write(&root).expect("writes");
    let kept = fs::read(to.join(KEYS)).expect("reads");
    back_up(&new).expect_err("its keys are gone");
    assert_eq!(fs::read(to.join(KEYS)).expect("reads"), kept);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is appended comes back as it was, through the store and from the files.
    #[test]
    fn what_is_sealed_is_opened(
        appends in prop::collection::vec((1u64..60, 0usize..300), 1..12),
        restart in 0usize..12,
    ) {
        let (dir, key) = (tempfile::tempdir().expect("a directory"), master());
        let mut expected: Vec<Vec<u8>> = Vec::new();
        let mut journal = opened(dir.path(), Some(&key));
        let mut writer = journal.open_writer(SHARD, "test").expect("opens").0;
        for (index, (records, bytes)) in appends.iter().enumerate() {
            if index == restart {
                drop((writer, journal));
                journal = opened(dir.path(), Some(&key));
                writer = journal.open_writer(SHARD, "test").expect("opens").0;
            }
            let (mut batch, first) = (AppendBuffer::new(), Lsn(expected.len() as u64 + 1));
            batch.begin_batch(9);
            for _ in 0..*records {
                let lsn = expected.len() as u64 + 1;
                let record = vec![lsn as u8; 1 + bytes * (lsn as usize % 5)];
                batch.push(Lsn(lsn), |out| out.extend_from_slice(&record)).expect("small");
                expected.push(record);
            }
            batch.end_batch();
            writer.append(first, &mut batch).expect("appends");
            prop_assert!(!holds(batch.as_bytes(), b"DJFR\x02"), "the buffer stays plain");
        }
        drop(writer);
        let all: Vec<u8> = expected.concat();
        let read = |journal: &dyn Journal| {
            let mut bytes = Vec::new();
            let scanned = journal.scan(SHARD, &mut |frame, _| {
                bytes.extend_from_slice(frame.payload());
                Ok(())
            });
            scanned.map(|_| bytes).map_err(|error| error.to_string())
        };
        prop_assert_eq!(&read(&journal).expect("sound"), &all);
        drop(journal);
        let raw = read_with(dir.path(), Some(&key)).expect("opens");
        prop_assert_eq!(&read(&raw).expect("sound"), &all);
    }
}
