//! Calls of sled: its panics become errors, and nobody waits in it for a write that has failed.
//!
//! Whoever flushes, or reads what is not stable yet, waits in sled (`make_stable_inner`) on a
//! condition variable for the write of a buffer, which a thread of sled's pool makes. Where that
//! write fails, sled keeps the error and should wake everybody. It does so after a buffer that was
//! sealed while nobody wrote into it (`maybe_seal_and_write_iobuf`), and does not after one that
//! was sealed while somebody did, and is written by the last who leaves it (`Log::exit_reservation`:
//! the error is set, and `notify_all` is missing). A reader seals a buffer that an append writes into
//! whenever it needs a page of which the newest part is in that buffer. So once in many failures an
//! append waited for ever.
//!
//! What is left out there is made up for here, by calls of sled's own: `global_error` says whether a
//! write has failed (one atomic load); if so, `flush` does nothing but take the lock of those who
//! wait, give it back, wake them all and return the error: it looks at the error before it would
//! write anything, and nothing takes the error away again. Those who were woken see it, and fail as
//! after any other write. The lock is free while they wait, so nothing here waits for long.

use super::segment::StoreError;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often somebody looks whether a write has failed while others wait for it.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs what calls sled; its panics become errors.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result,
        Err(panic) => Err(StoreError::Panic(panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

/// Wakes everybody who waits in this database, if a write of it has failed. Writes nothing and waits
/// for nobody. Whether one has.
pub fn wake_if_failed(db: &sled::Db) -> bool {
    let failed = db.context.global_error().is_err();
    if failed {
        // It returns the error that is known already.
        let _ = guarded(|| db.flush().map_err(StoreError::Sled));
    }
    failed
}

/// As [`guarded`], for calls that wait for writes while no watchdog looks: a thread beside looks
/// after those who wait. For what is rare; appends have the watchdog.
pub(super) fn awake<T>(
    db: &sled::Db,
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let (running, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let look = move || {
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                wake_if_failed(db);
            }
        };
        std::thread::Builder::new().name("journal-waker".to_owned()).spawn_scoped(scope, look)?;
        let result = guarded(call);
        drop(running);
        result
    })
}
