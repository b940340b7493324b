//! The journal: frames, the records in them, what records do to a ledger, and its archive.

use ducat_engine::codec::{decode_all, encode};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_persistence::LedgerId;
use ducat_persistence::archive::{ArchiveFile, FileWriter, Manifest};
use ducat_persistence::backup;
use ducat_persistence::frame::{Frame, HEADER_BYTES, SEALED_EXTRA_BYTES, seal};
use ducat_persistence::vault::{KeysFile, MasterKey, Vault};
use std::path::Path;
use std::sync::Arc;

/// Where a frame's header keeps the length of its payload, and its checksum.
const LENGTH_AT: usize = 12;
const CRC_AT: usize = 76;

/// A frame as it came, and as it would be with a right beginning, length and checksum.
pub(crate) fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::parse(bytes) {
        assert_frame_reseals(&frame, bytes);
    }
    let Some(payload) = bytes.len().checked_sub(HEADER_BYTES) else { return };
    let mut mended = bytes.to_vec();
    mended[0..4].copy_from_slice(b"DJFR");
    mended[4..6].copy_from_slice(&1u16.to_le_bytes());
    let Ok(payload) = u32::try_from(payload) else { return };
    mended[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&payload.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&mended[..CRC_AT]), &mended[HEADER_BYTES..]);
    mended[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    if let Ok(frame) = Frame::parse(&mended) {
        assert_frame_reseals(&frame, &mended);
    }
    sealed_frame(bytes);
}

/// The same as a sealed frame, whose checksum is made right: nobody but the key can make one.
fn sealed_frame(bytes: &[u8]) {
    assert!(Frame::open(bytes, None).is_err() || Frame::parse(bytes).is_ok());
    let Some(payload) = bytes.len().checked_sub(HEADER_BYTES + SEALED_EXTRA_BYTES) else { return };
    let Ok(payload) = u32::try_from(payload) else { return };
    let mut sealed = bytes.to_vec();
    sealed[0..4].copy_from_slice(b"DJFR");
    sealed[4..6].copy_from_slice(&2u16.to_le_bytes());
    sealed[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&payload.to_le_bytes());
    // Of a key that is there.
    sealed[32..36].copy_from_slice(&1u32.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&sealed[..52]), &sealed[56..]);
    sealed[52..56].copy_from_slice(&crc.to_le_bytes());
    VAULT.with(|vault| assert!(Frame::open(&sealed, Some(vault)).is_err()));
}

thread_local! {
    static VAULT: Vault = {
        let master = MasterKey::random().expect("random");
        let path = Path::new("KEYS");
        let keys = KeysFile::begin(LedgerId::from_bytes([1; 16]), 0, path, &master).expect("made");
        Vault::unlock(&keys, path, &master).expect("its own master key")
    };
}

/// There is one way to write a frame.
fn assert_frame_reseals(frame: &Frame, bytes: &[u8]) {
    let mut again = bytes.to_vec();
    again[..HEADER_BYTES].fill(0);
    let hash = seal(&mut again, frame.header());
    assert_eq!(again, bytes);
    assert_eq!(hash, frame.hash());
    assert!(frame.last_lsn() >= frame.first_lsn());
}

/// A payload. What decodes encodes to bytes that decode to the same.
pub(crate) fn records(bytes: &[u8]) {
    for record in decode_all(bytes) {
        let Ok(record) = record else { return };
        let mut encoded = Vec::new();
        encode(&record, &mut encoded);
        let again: Vec<_> = decode_all(&encoded).collect();
        let [Ok(again)] = &again[..] else { panic!("{record:?} became {again:?}") };
        assert_eq!(*again, record);
        let mut canonical = Vec::new();
        encode(again, &mut canonical);
        assert_eq!(canonical, encoded);
    }
}

/// Records that decode are events that can follow one another, or are refused; whatever they
/// are, a ledger that took them agrees with itself.
pub(crate) fn apply(bytes: &[u8]) {
    let mut ledger = Ledger::new(2, 0, REMEMBER_NS).expect("a power of two");
    for (lsn, record) in (1..).zip(decode_all(bytes)) {
        let Ok(record) = record else { break };
        if ledger.apply(Lsn(lsn), lsn, &record).is_err() {
            return;
        }
    }
    for totals in ledger.totals().values() {
        assert_eq!(totals.internal + totals.external, 0, "money was made");
    }
}

/// An archive file as it came, and as it would be with its checksums and its digest made right.
/// What is accepted can be written again and holds the same.
pub(crate) fn archive(bytes: &[u8]) {
    read_archive(bytes);
    let mut mended = bytes.to_vec();
    if mend_archive(&mut mended).is_some() {
        read_archive(&mended);
    }
}

fn read_archive(bytes: &[u8]) {
    let path = Path::new("fuzz.frames");
    let Some((file, frames)) = archived(bytes, path) else { return };
    let mut writer = FileWriter::new(Vec::new(), *file.head()).expect("in memory");
    for frame in &frames {
        writer.frame(frame).expect("it was read from such a file");
        let found = file.frame_at(frame.last_lsn()).expect("it was just verified");
        assert_eq!(found.map(|found| found.bytes().to_vec()), Some(frame.bytes().to_vec()));
    }
    let (again, written) = writer.finish().expect("in memory");
    assert_eq!(written.extent, *file.extent());
    let (_, same) = archived(&again, path).expect("it was just written");
    assert!(frames.iter().map(Frame::bytes).eq(same.iter().map(Frame::bytes)));
}

/// A file in memory, and its frames.
type Archived = (ArchiveFile<Arc<[u8]>>, Vec<Frame>);

fn archived(bytes: &[u8], path: &Path) -> Option<Archived> {
    let file = ArchiveFile::open(Arc::<[u8]>::from(bytes), path).ok()?;
    let mut frames = Vec::new();
    let verified = file.verify(&mut |frame, _| {
        frames.push(frame.clone());
        true
    });
    verified.ok().map(|()| (file, frames))
}

/// Makes the checksums of head, blocks and end right, and the digest: nothing else.
fn mend_archive(bytes: &mut [u8]) -> Option<()> {
    const HEAD: usize = 80;
    const END: usize = 132;
    let end = bytes.len().checked_sub(END).filter(|end| *end >= HEAD)?;
    let crc = crc32c::crc32c(&bytes[..76]);
    bytes[76..HEAD].copy_from_slice(&crc.to_le_bytes());
    let number = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    };
    let index = usize::try_from(number(bytes, end + 64)).ok().filter(|at| *at <= end)?;
    let offsets: Vec<usize> = bytes[index..end]
        .chunks_exact(16)
        .filter_map(|entry| usize::try_from(number(entry, 8)).ok())
        .filter(|at| at.checked_add(28).is_some_and(|body| body <= index))
        .collect();
    for at in offsets {
        let announced = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().expect("four bytes"));
        let stop = (at + 28).saturating_add(announced as usize).min(index);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[at..at + 24]), &bytes[at + 28..stop]);
        bytes[at + 24..at + 28].copy_from_slice(&crc.to_le_bytes());
    }
    let digest = *blake3::hash(&bytes[..end + 96]).as_bytes();
    bytes[end + 96..end + 128].copy_from_slice(&digest);
    let crc = crc32c::crc32c(&bytes[index..end + 128]);
    bytes[end + 128..].copy_from_slice(&crc.to_le_bytes());
    Some(())
}

/// The archive's manifest. There is one way to write it.
pub(crate) fn manifest(bytes: &[u8]) {
    read_manifest(bytes);
    if let Some(end) = bytes.len().checked_sub(4) {
        let mended = [&bytes[..end], &crc32c::crc32c(&bytes[..end]).to_le_bytes()].concat();
        read_manifest(&mended);
    }
}

fn read_manifest(bytes: &[u8]) {
    let Some(ledger) = bytes.get(16..32).and_then(|id| id.try_into().ok()) else { return };
    let decoded = Manifest::decode(bytes, LedgerId::from_bytes(ledger), ShardId(0));
    let Ok(manifest) = decoded else { return };
    assert_eq!(manifest.encode(), bytes);
    for entry in &manifest.entries {
        assert!(manifest.holding(entry.extent.first_lsn()).is_some());
        assert!(manifest.holding(entry.extent.last_lsn()).is_some());
    }
}

/// A backup's manifest. There is one way to write it, and what it names lies within it.
pub(crate) fn backup(bytes: &[u8]) {
    read_backup(bytes);
    if let Some(end) = bytes.len().checked_sub(4) {
        let mended = [&bytes[..end], &crc32c::crc32c(&bytes[..end]).to_le_bytes()].concat();
        read_backup(&mended);
    }
}

fn read_backup(bytes: &[u8]) {
    let Ok(manifest) = backup::Manifest::decode(bytes) else { return };
    assert_eq!(manifest.encode(), bytes);
    for file in &manifest.files {
        assert!(manifest.holding(file.extent.first_lsn()).is_some());
    }
    let end = manifest.end().lsn;
    assert!(manifest.snapshots.iter().all(|snapshot| snapshot.lsn <= end));
}
