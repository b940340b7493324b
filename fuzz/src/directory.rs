//! The files around the journal: the high-water mark, and `FORMAT`. Both are read from a file,
//! here in memory, as they are it and with their checksums made right.

use ducat_persistence::mark::MarkFile;
use ducat_persistence::vault::KeysFile;
use ducat_persistence::vault::keys::KEYS;
use ducat_persistence::{DataDir, DataDirError, VaultError};
use std::path::Path;

const SLOT_BYTES: usize = 4096;
const CRC_AT: usize = SLOT_BYTES - 4;

thread_local! {
    static HOME: tempfile::TempDir = {
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        home.expect("a temporary directory")
    };
}

/// A mark. What can be read can be written, and is read again.
pub(crate) fn mark(bytes: &[u8]) {
    read_mark(bytes);
    let mut mended = bytes.to_vec();
    for slot in mended.chunks_exact_mut(SLOT_BYTES) {
        let crc = crc32c::crc32c(&slot[..CRC_AT]);
        slot[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    }
    read_mark(&mended);
}

fn read_mark(bytes: &[u8]) {
    HOME.with(|home| {
        let path = home.path().join("mark");
        std::fs::write(&path, bytes).expect("memory takes it");
        let Ok((mut file, mark)) = MarkFile::open(&path) else { return };
        assert!(mark.base.lsn <= mark.durable.lsn);
        // A counter of writes that stands at its end would wrap around.
        if newest_sequence(bytes) == u64::MAX {
            return;
        }
        file.write(&mark).expect("memory takes it");
        let (_, again) = MarkFile::open(&path).expect("it was just written");
        assert_eq!(again, mark);
    });
}

fn newest_sequence(bytes: &[u8]) -> u64 {
    let sequence = |slot: &[u8]| u64::from_le_bytes(slot[16..24].try_into().expect("eight bytes"));
    bytes.chunks_exact(SLOT_BYTES).map(sequence).max().unwrap_or(0)
}

/// `FORMAT`, and `KEYS`, which is written like it. What is accepted names one ledger.
pub(crate) fn format(bytes: &[u8]) {
    read_format(bytes);
    read_keys(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(body) = text.rfind("crc32c: ")
    {
        let mended = format!("{}crc32c: {:08x}\n", &text[..body], crc32c::crc32c(&bytes[..body]));
        read_format(mended.as_bytes());
        read_keys(mended.as_bytes());
    }
}

/// Accepted keys are written back byte for byte.
fn read_keys(bytes: &[u8]) {
    HOME.with(|home| {
        let root = home.path().join("keys");
        std::fs::create_dir_all(&root).expect("memory takes it");
        std::fs::write(root.join(KEYS), bytes).expect("memory takes it");
        match KeysFile::read(&root) {
            Ok(Some(keys)) => {
                keys.write(&root).expect("memory takes it");
                assert_eq!(std::fs::read(root.join(KEYS)).expect("it is there"), bytes);
            }
            Ok(None) => panic!("a file that is there"),
            Err(VaultError::Damaged(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    });
}

fn read_format(bytes: &[u8]) {
    HOME.with(|home| {
        let root = home.path().join("data");
        std::fs::create_dir_all(&root).expect("memory takes it");
        std::fs::write(root.join("FORMAT"), bytes).expect("memory takes it");
        match DataDir::open_existing(&root) {
            Ok(dir) => {
                let ledger = dir.ledger().to_string();
                let text = std::str::from_utf8(bytes).expect("what was accepted is text");
                assert!(text.contains(&ledger), "{ledger} is not in {text:?}");
            }
            // One that says it is encrypted has no keys here.
            Err(DataDirError::Format { .. } | DataDirError::Keys(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    });
}
