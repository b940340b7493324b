//! The first failed sync is the last: wherever in an append it fails, nobody is told
//! that the records are durable, nothing is synced again, and the next process finds
//! the append whole or not at all.

mod support;

use ducat_engine::ids::Lsn;
use ducat_persistence::conformance::{SHARD, batch_of, check_content};
use ducat_persistence::contract::{AppendError, Journal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::{copy_tree, open_journal, small_options};

/// Fails the sync with this number, and counts.
#[derive(Debug)]
struct FailAt {
    calls: AtomicU64,
    fail_at: AtomicU64,
}

impl ducat_persistence::Syncer for FailAt {
    fn sync_data(&self, file: &std::fs::File) -> std::io::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call == self.fail_at.load(Ordering::SeqCst) {
            return Err(std::io::Error::from_raw_os_error(libc::EIO));
        }
        file.sync_data()
    }
}

/// An append of several chunks, each with a sync of its own; the `nth` one fails.
fn fail_nth_sync(nth: u64) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sync = Arc::new(FailAt { calls: AtomicU64::new(0), fail_at: AtomicU64::new(0) });
    let options = ducat_persistence::SledOptions { syncer: sync.clone(), ..small_options() };
    let journal = open_journal(root.path(), options);
    let (mut writer, _) = journal.open_writer(SHARD, "test").expect("opens");
    writer.append(Lsn(1), &mut batch_of(Lsn(1), 50, 10)).expect("appends");
    let before = sync.calls.load(Ordering::SeqCst);
    sync.fail_at.store(before + nth, Ordering::SeqCst);
    let failed = writer.append(Lsn(51), &mut batch_of(Lsn(51), 20_000, 500));
    assert!(matches!(failed, Err(AppendError::InDoubt { .. })), "{failed:?}");
    let refused = writer.append(Lsn(51), &mut batch_of(Lsn(51), 5, 5));
    let Err(AppendError::Poisoned { since, .. }) = refused else { panic!("{refused:?}") };
    assert!(since.contains("sync"), "it says what failed: {since}");
    check_content(&journal, Lsn(1), Lsn(50));
    drop((writer, journal));
    assert_eq!(sync.calls.load(Ordering::SeqCst), before + nth, "nothing is synced again");
    let next = tempfile::tempdir().expect("a temporary directory");
    copy_tree(root.path(), next.path());
    let journal = open_journal(next.path(), small_options());
    let (mut writer, tail) = journal.open_writer(SHARD, "test").expect("opens");
    let whole = tail.next_lsn == Lsn(20_051) && tail.dropped.is_none();
    let nothing = tail.next_lsn == Lsn(51);
    assert!(whole || nothing, "sync {nth}: {tail:?}");
    assert_eq!(nothing, nth < 3, "only the last chunk closes the append: {tail:?}");
    assert_eq!(tail.dropped.is_some(), nothing, "what was written is reported");
    let last = writer.append(tail.next_lsn, &mut batch_of(tail.next_lsn, 20, 5));
    check_content(&journal, Lsn(1), last.expect("appends"));
}

#[test]
fn a_failed_sync_poisons_wherever_it_happens() {
    // 20,000 records are 2.4 MB: three chunks of at most one.
    for nth in 1..=3 {
        fail_nth_sync(nth);
    }
}
