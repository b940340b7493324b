//! A write that fails late, while others wait for it, ends their waiting wherever it fails: sled
//! notes such an error and does not always wake those who wait. Alone in its file: the writes of the
//! whole process go through [`pwrite64`].

mod support;

use ducat_engine::ids::Lsn;
use ducat_persistence::conformance::{SHARD, batch_of, check_content};
use ducat_persistence::contract::{AppendError, Journal};
use ducat_persistence::sled_journal::guarded::wake_if_failed;
use ducat_persistence::{SledOptions, with_causes};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use support::{copy_tree, open_journal, small_options};

/// Far more than anything here takes. Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Without a write for so long, the others have long begun to wait. Where they have not, they find
/// the error themselves: the test then shows less, and does not fail.
const LATE: Duration = Duration::from_millis(200);

/// One test at a time: there is one fault.
static ALONE: Mutex<()> = Mutex::new(());

/// What became of the writes.
static FAULT: Fault = Fault {
    fail_at: AtomicU64::new(0),
    begun: AtomicU64::new(0),
    done: AtomicU64::new(0),
    has_failed: AtomicBool::new(false),
    later: AtomicU64::new(0),
};

struct Fault {
    /// Which write from now on fails; 0 for none.
    fail_at: AtomicU64,
    begun: AtomicU64,
    done: AtomicU64,
    has_failed: AtomicBool,
    /// Writes after it failed.
    later: AtomicU64,
}

impl Fault {
    fn arm(&self, nth: u64) {
        self.begun.store(0, Ordering::SeqCst);
        self.done.store(0, Ordering::SeqCst);
        self.later.store(0, Ordering::SeqCst);
        self.has_failed.store(false, Ordering::SeqCst);
        self.fail_at.store(nth, Ordering::SeqCst);
    }

    /// Whether the write that comes now fails; returns late if so.
    fn meets(&self) -> bool {
        if self.has_failed.load(Ordering::SeqCst) {
            self.later.fetch_add(1, Ordering::SeqCst);
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let fails = number == self.fail_at.load(Ordering::SeqCst);
        if fails {
            self.wait_for_quiet();
            self.has_failed.store(true, Ordering::SeqCst);
        }
        fails
    }

    /// Until every other write has its end and none has come for a while: who could wait does.
    fn wait_for_quiet(&self) {
        loop {
            let begun = self.begun.load(Ordering::SeqCst);
            std::thread::sleep(LATE);
            let done = self.done.load(Ordering::SeqCst);
            if self.begun.load(Ordering::SeqCst) == begun && done + 1 == begun {
                return;
            }
        }
    }
}

/// Stands for the library's: sled writes by nothing else.
///
/// # Safety
/// As the library's.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    file: libc::c_int,
    bytes: *const libc::c_void,
    count: libc::size_t,
    offset: libc::off64_t,
) -> libc::ssize_t {
    if FAULT.meets() {
        // SAFETY: the thread's own error number.
        unsafe { *libc::__errno_location() = libc::ENOSPC };
        return -1;
    }
    // SAFETY: the call that the caller has made, made to the kernel.
    let written = unsafe { libc::syscall(libc::SYS_pwrite64, file, bytes, count, offset) };
    FAULT.done.fetch_add(1, Ordering::SeqCst);
    written as libc::ssize_t
}

/// What an append or a flush says in time. Where one never returns the tests end here: it holds
/// locks that the others need.
fn in_time<T>(told: &Receiver<Result<T, String>>) -> T {
    match told.recv_timeout(PATIENCE) {
        Ok(Ok(said)) => said,
        Ok(Err(stalls)) => end_all(&stalls),
        Err(_) => end_all("a flush"),
    }
}

fn end_all(what: &str) -> ! {
    eprintln!("{what} waits for ever");
    std::process::exit(1)
}

/// A batch of sled's own, which holds a place in a buffer that is sealed already: the buffer is
/// written by the one who leaves it, which is where sled wakes nobody. That write fails.
fn write_what_fails(db: &sled::Db) {
    let mut batch = sled::Batch::default();
    // As long as the keys of fences, which a journal's readers pass over.
    batch.insert(&[0; 9], b"");
    batch.insert(&[1; 9], b"");
    FAULT.arm(1);
    db.apply_batch(batch).expect("it waits for no write");
}

#[test]
fn a_flush_that_waits_for_a_failed_write_is_woken() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = sled::Config::new().path(dir.path()).flush_every_ms(None).open().expect("opens");
    db.insert(b"before", b"kept").expect("inserts");
    db.flush().expect("flushes");
    assert!(!wake_if_failed(&db), "nothing has failed yet");
    write_what_fails(&db);
    let (tell, told) = channel();
    let waiting = db.clone();
    std::thread::spawn(move || tell.send(Ok(waiting.flush())).expect("the test listens"));
    let flushed = loop {
        match told.recv_timeout(Duration::from_millis(10)) {
            Ok(flushed) => break flushed.expect("nothing stalls"),
            Err(_) if wake_if_failed(&db) => break in_time(&told),
            Err(_) => {}
        }
    };
    assert!(flushed.is_err(), "{flushed:?}");
    assert!(FAULT.done.load(Ordering::SeqCst) > 0, "the flush wrote the buffer behind it");
    assert!(wake_if_failed(&db), "the error stays");
    drop(db);
    assert_eq!(FAULT.later.load(Ordering::SeqCst), 0, "nothing is written any more");
}

#[test]
fn an_append_that_waits_for_a_failed_write_is_woken() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let root = tempfile::tempdir().expect("a temporary directory");
    let (tell, told) = channel();
    let journal = open_journal(root.path(), telling_stalls(&tell));
    let (mut writer, _) = journal.open_writer(SHARD, "test").expect("opens");
    writer.append(Lsn(1), &mut batch_of(Lsn(1), 50, 10)).expect("appends");
    write_what_fails(&journal.database(SHARD));
    std::thread::spawn(move || {
        let failed = writer.append(Lsn(51), &mut batch_of(Lsn(51), 50, 10));
        let after = writer.append(Lsn(51), &mut batch_of(Lsn(51), 5, 5));
        let _ = tell.send(Ok((failed, after)));
    });
    let (failed, after) = in_time(&told);
    let Err(AppendError::InDoubt { source, .. }) = failed else { panic!("{failed:?}") };
    let text = with_causes(&*source);
    assert!(text.contains("No space left on device"), "it says what failed: {text}");
    let Err(AppendError::Poisoned { since, .. }) = after else { panic!("{after:?}") };
    assert!(since.contains("No space left on device"), "it says what failed: {since}");
    check_content(&journal, Lsn(1), Lsn(50));
    drop(journal);
    assert_eq!(FAULT.later.load(Ordering::SeqCst), 0, "nothing is written any more");
}

/// Options of a journal that says what stalls instead of what became of the appends.
fn telling_stalls<T: Send + 'static>(tell: &Sender<Result<T, String>>) -> SledOptions {
    let tell = Mutex::new(tell.clone());
    SledOptions {
        on_stall: Arc::new(move |what: &str| {
            let _ = tell.lock().expect("whole").send(Err(what.to_owned()));
        }),
        cache_bytes: 1 << 20,
        ..SledOptions::default()
    }
}

/// Writes that are tried: sled's and the mark's in turn.
const WRITES: u64 = 10;

/// Records of an append.
const RECORDS: u64 = 800;

/// An append while others read what is just written, which is what seals buffers under the hands of
/// whoever fills them: the `nth` write fails.
fn fails_late_at(nth: u64) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let (tell, told) = channel();
    let journal = Arc::new(open_journal(root.path(), telling_stalls(&tell)));
    let (mut writer, _) = journal.open_writer(SHARD, "test").expect("opens");
    writer.append(Lsn(1), &mut batch_of(Lsn(1), 50, 10)).expect("appends");
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (journal, over) = (journal.clone(), over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    let from = Lsn(journal.end(SHARD).expect("there").0.saturating_sub(20).max(1));
                    let frames = journal.read(SHARD, from).expect("there");
                    // What fails beside is not the readers' matter; that they come back is.
                    let _ = frames.take_while(Result::is_ok).count();
                }
            })
        })
        .collect();
    FAULT.arm(nth);
    std::thread::spawn(move || {
        let mut next = Lsn(51);
        let failed = loop {
            match writer.append(next, &mut batch_of(next, RECORDS, 100)) {
                Ok(last) => next = last.next(),
                Err(error) => break error,
            }
        };
        let after = writer.append(next, &mut batch_of(next, 5, 5));
        let _ = tell.send(Ok((Lsn(next.0 - 1), failed, after)));
    });
    let (end, failed, after) = in_time(&told);
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.join().expect("a reader comes back");
    }
    let later = FAULT.later.load(Ordering::SeqCst);
    assert!(matches!(failed, AppendError::InDoubt { .. }), "write {nth}: {failed:?}");
    assert!(matches!(after, Err(AppendError::Poisoned { .. })), "write {nth}: {after:?}");
    assert_eq!(later, 0, "write {nth} was the last");
    check_content(&*journal, Lsn(1), end);
    let next = tempfile::tempdir().expect("a temporary directory");
    copy_tree(root.path(), next.path());
    let again = open_journal(next.path(), small_options());
    let (_, tail) = again.open_writer(SHARD, "test").expect("opens");
    let kept = tail.next_lsn == end.next();
    assert!(kept || tail.next_lsn == Lsn(end.0 + 1 + RECORDS), "write {nth}: {end:?}, {tail:?}");
}

#[test]
fn an_append_ends_wherever_a_write_fails_late() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for nth in 1..=WRITES {
        fails_late_at(nth);
    }
}
