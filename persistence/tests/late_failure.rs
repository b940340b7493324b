//! A write that fails late, while others wait for it, ends their waiting wherever it fails: sled
//! notes such an error and does not always wake those who wait. Alone in its file: the writes of the
//! whole process go through [`pwrite64`].

mod support;

use ducat_engine::ids::Lsn;
use ducat_persistence::SledOptions;
use ducat_persistence::conformance::{SHARD, batch_of, check_content};
use ducat_persistence::contract::{AppendError, Journal};
use ducat_persistence::sled_journal::guarded::wake_if_failed;
use ducat_persistence::sled_journal::watchdog::Watchdog;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
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
    is_held: AtomicBool::new(false),
    has_failed: AtomicBool::new(false),
    later: AtomicU64::new(0),
};

struct Fault {
    /// Which write from now on fails; 0 for none.
    fail_at: AtomicU64,
    begun: AtomicU64,
    done: AtomicU64,
    /// It has come and does not return yet.
    is_held: AtomicBool,
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
            self.is_held.store(true, Ordering::SeqCst);
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

fn in_time<T>(told: &Receiver<T>, what: &str) -> T {
    told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} waits for ever"))
}

/// Without luck: a batch of sled's own holds a place in a buffer that is sealed already, so the
/// buffer is written by the one who leaves it, which is where sled wakes nobody.
#[test]
fn a_flush_that_waits_for_a_failed_write_is_woken() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let db = sled::Config::new().path(dir.path()).flush_every_ms(None).open().expect("opens");
    db.insert(b"before", b"kept").expect("inserts");
    db.flush().expect("flushes");
    assert!(!wake_if_failed(&db), "nothing has failed yet");
    let on_stall = Arc::new(|_: &str| panic!("nothing stalls"));
    let dog = Watchdog::start(600_000, on_stall).expect("starts");
    FAULT.arm(1);
    let (tell, told) = channel();
    let waiting = db.clone();
    std::thread::spawn(move || {
        let watch = dog.watch("a flush".to_owned());
        let woken = waiting.clone();
        watch.wake_by(move || {
            wake_if_failed(&woken);
        });
        let mut batch = sled::Batch::default();
        batch.insert(b"one", b"in doubt");
        batch.insert(b"two", b"in doubt");
        let applied = waiting.apply_batch(batch);
        let flushed = applied.and_then(|()| waiting.flush());
        drop(watch);
        tell.send(flushed).expect("the test listens");
    });
    let flushed = in_time(&told, "the flush");
    assert!(FAULT.is_held.load(Ordering::SeqCst), "the write came");
    assert!(FAULT.done.load(Ordering::SeqCst) > 0, "the flush wrote the buffer behind it");
    assert!(flushed.is_err(), "{flushed:?}");
    assert!(wake_if_failed(&db), "the error stays");
    drop(db);
    assert_eq!(FAULT.later.load(Ordering::SeqCst), 0, "nothing is written any more");
    FAULT.arm(0);
}

/// Writes that are tried: sled's and the mark's in turn.
const WRITES: u64 = 160;

/// Records of an append.
const RECORDS: u64 = 800;

/// An append while others read what is just written, which is what seals buffers under the hands of
/// whoever fills them: the `nth` write fails.
fn fails_late_at(nth: u64) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let (tell, told) = channel();
    let stalled = Mutex::new(tell.clone());
    let options = SledOptions {
        on_stall: Arc::new(move |what: &str| {
            let stalled = stalled.lock().expect("whole");
            stalled.send(Err(what.to_owned())).expect("the test listens");
        }),
        cache_bytes: 1 << 20,
        ..SledOptions::default()
    };
    let journal = Arc::new(open_journal(root.path(), options));
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
    let (end, failed, after) = in_time(&told, "an append").expect("no append hangs");
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.join().expect("a reader comes back");
    }
    let later = FAULT.later.load(Ordering::SeqCst);
    FAULT.arm(0);
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
