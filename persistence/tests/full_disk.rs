//! A disk that takes no more poisons the journal. Alone in its file: the limit that
//! stands for the full disk holds for the whole process.

mod support;

use ducat_engine::ids::Lsn;
use ducat_persistence::conformance::{SHARD, batch_of, check_content};
use ducat_persistence::contract::{AppendError, Journal};
use support::{open_journal, small_options};

#[test]
fn a_full_disk_poisons() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let journal = open_journal(root.path(), small_options());
    let (mut writer, _) = journal.open_writer(SHARD, "test").expect("opens");
    writer.append(Lsn(1), &mut batch_of(Lsn(1), 50, 10)).expect("appends");
    let before = limit_file_size(0);
    let failed = writer.append(Lsn(51), &mut batch_of(Lsn(51), 5, 5));
    limit_file_size(before);
    assert!(matches!(failed, Err(AppendError::InDoubt { .. })), "{failed:?}");
    let refused = writer.append(Lsn(51), &mut batch_of(Lsn(51), 5, 5));
    assert!(matches!(refused, Err(AppendError::Poisoned { .. })), "{refused:?}");
    check_content(&journal, Lsn(1), Lsn(50));
}

/// Stands for a full disk: every write beyond the limit fails with `EFBIG`.
fn limit_file_size(bytes: u64) -> u64 {
    // SAFETY: plain system calls on this process; the signal that would end it at the
    // limit is ignored.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = bytes;
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        before
    }
}
