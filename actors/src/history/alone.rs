//! Work that looks at the whole ledger: one at a time, on a thread of its own, of low priority;
//! given up when nobody waits for it any more.

use crate::admission::Shared;
use crate::background::run_alone;
use crate::handle::RequestError;
use crate::stored::StoredError;
use ducat_engine::codec::decode_all;
use ducat_engine::ids::Lsn;
use ducat_engine::record::Record;
use ducat_persistence::{FrameHash, FrameReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether somebody still waits.
#[derive(Clone)]
pub(super) struct Wanted {
    given_up: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Wanted {
    /// # Errors
    /// When nobody waits any more, or the engine is being shut down.
    pub fn check(&self) -> Result<(), RequestError> {
        let stopped = self.shared.stopped.borrow().is_some() || self.shared.is_stopping();
        if stopped || self.given_up.load(Ordering::Relaxed) {
            return Err(self.shared.stopped(&"nobody waits for it any more"));
        }
        Ok(())
    }
}

/// Tells the thread when the one who waits has gone.
struct GivesUp(Arc<AtomicBool>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does the work when no other is being done.
pub(super) async fn alone<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Arc<Shared>, &Wanted) -> Result<T, RequestError> + Send + 'static,
) -> Result<T, RequestError> {
    let turn = Arc::clone(&shared.audits);
    let turn = turn.try_acquire_owned().map_err(|_| RequestError::AuditRunning)?;
    let given_up = Arc::new(AtomicBool::new(false));
    let _gives_up = GivesUp(Arc::clone(&given_up));
    let wanted = Wanted { given_up, shared: Arc::clone(shared) };
    let shared = Arc::clone(shared);
    let worked = run_alone(move || {
        // Kept to the end: one that was given up ends soon, but it has to end.
        let _turn = turn;
        work(&shared, &wanted)
    });
    worked.await.map_err(|undone| RequestError::ReadFailed(undone.to_string()))?
}

/// Reads the journal's events in order, and checks that each frame continues the one before.
pub(super) struct Events<'s> {
    shared: &'s Shared,
    wanted: &'s Wanted,
    reader: Option<FrameReader>,
    next: Lsn,
    /// The last frame that was read to its end.
    before: Option<(Lsn, FrameHash)>,
}

impl<'s> Events<'s> {
    /// From this event on.
    pub fn from(shared: &'s Shared, wanted: &'s Wanted, next: Lsn) -> Self {
        Self { shared, wanted, reader: None, next, before: None }
    }

    /// Shows every event up to `upto`, which must be durable, and when it was decided.
    pub fn up_to(
        &mut self,
        upto: Lsn,
        mut see: impl FnMut(Lsn, u64, &Record) -> Result<(), RequestError>,
    ) -> Result<(), RequestError> {
        while self.next <= upto {
            self.wanted.check()?;
            let next = self.next;
            let failed = |error| StoredError::journal(next, error).into_request();
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => {
                    let frames = self.shared.journal.read(self.shared.shard, next);
                    none.insert(frames.map_err(failed)?)
                }
            };
            let frame = reader.next().ok_or_else(|| StoredError::Missing(next).into_request())?;
            let frame = frame.map_err(failed)?;
            let begins = frame.first_lsn();
            let other = self.before.is_some_and(|(end, hash)| {
                end.next() == begins && frame.header().prev_hash != hash
            });
            if begins > next || other {
                let why = format!("the frame at event {begins} does not continue the one before");
                return Err(RequestError::ReadFailed(why));
            }
            let mut lsn = begins;
            for record in decode_all(frame.payload()) {
                let record =
                    record.map_err(|source| StoredError::Decode { lsn, source }.into_request())?;
                if lsn > upto {
                    // The rest of the frame is read again when it is wanted.
                    self.reader = None;
                    break;
                }
                if lsn >= self.next {
                    see(lsn, frame.header().time_ns, &record)?;
                    self.next = lsn.next();
                }
                lsn = lsn.next();
            }
            if lsn > frame.last_lsn() {
                self.before = Some((frame.last_lsn(), frame.hash()));
            }
        }
        Ok(())
    }
}
