//! A new ledger from another's events: what `restore` and `fork` do.
//!
//! ```text
//! source ─ scan, check, apply ─▶ each event encoded again ─▶ target's writer ─▶ scan, check, apply
//!                                                                       the states must be equal
//! ```
//!
//! The frames are sealed anew, in a chain that begins with the new ledger's id: no file of the
//! one can ever pass for one of the other. What is the same is every event with its LSN and
//! time, and so the state, by its hash.

use crate::replay::{Event, Observer, ReplayFailed, Until, replay_offline};
use ducat_engine::codec::encode;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::known::REMEMBER_NS;
use ducat_engine::ledger::Ledger;
use ducat_persistence::{AppendBuffer, BoxError, Journal, ScanProgress, Tail, Writer};
use thiserror::Error;

/// Bytes of records appended at once.
const APPEND_BYTES: usize = 1 << 20;

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The last event.
    pub lsn: Lsn,
    /// When it was decided, nanoseconds since 1970; 0 for none.
    pub time_ns: u64,
    /// Hash of the state after it, the same in both ledgers.
    pub state_hash: [u8; 32],
    /// Where the source's journal ends.
    pub source: Tail,
}

/// Why nothing that could be used was made.
#[derive(Debug, Error)]
pub enum CopyFailed {
    /// The source is damaged, cannot be read, or the target cannot be written.
    #[error(transparent)]
    Replay(#[from] ReplayFailed),
    /// The last event happens together with the next or not at all.
    #[error("event {lsn} is linked with the next; the group begins at {from}")]
    Linked {
        /// The event asked for.
        lsn: Lsn,
        /// Where its group begins.
        from: Lsn,
    },
    /// What was written does not come to the same state.
    #[error("the new journal does not come to the state of the old one")]
    Differs,
}

/// Appends every event to the target.
struct Copier {
    writer: Box<dyn Writer>,
    batch: AppendBuffer,
    /// Decision time of the open batch.
    time_ns: Option<u64>,
    last_time_ns: u64,
    /// First LSN in `batch`.
    first: Lsn,
    next: Lsn,
    /// Where the group begins that the last event leaves open.
    group: Option<Lsn>,
}

impl Copier {
    fn new(writer: Box<dyn Writer>) -> Self {
        Self {
            writer,
            batch: AppendBuffer::new(),
            time_ns: None,
            last_time_ns: 0,
            first: Lsn(1),
            next: Lsn(1),
            group: None,
        }
    }

    fn append(&mut self) -> Result<(), BoxError> {
        if self.time_ns.take().is_some() {
            self.batch.end_batch();
        }
        if self.next > self.first {
            self.writer.append(self.first, &mut self.batch)?;
            self.batch.clear();
            self.first = self.next;
        }
        Ok(())
    }
}

impl Observer for Copier {
    fn event(&mut self, _: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        if self.group.is_none() && self.batch.byte_len() >= APPEND_BYTES {
            self.append()?;
        }
        if self.time_ns != Some(event.time_ns) {
            if self.time_ns.is_some() {
                self.batch.end_batch();
            }
            self.batch.begin_batch(event.time_ns);
            self.time_ns = Some(event.time_ns);
        }
        self.batch.push(event.lsn, |out| encode(event.record, out))?;
        self.next = event.lsn.next();
        self.last_time_ns = event.time_ns;
        self.group = event.record.is_linked().then(|| self.group.unwrap_or(event.lsn));
        Ok(())
    }
}

/// Copies the events of `source` as far as `until` into the empty journal `target`, and checks
/// that both come to the same state. The whole source is checked, beyond `until` too.
///
/// # Errors
/// [`CopyFailed`]; the target must not be used then.
pub fn copy_events(
    source: &dyn Journal,
    target: &dyn Journal,
    shard: ShardId,
    until: Until,
    owner: &str,
    progress: Box<dyn FnMut(&ScanProgress) + Send>,
) -> Result<Copied, CopyFailed> {
    let (writer, _) = target.open_writer(shard, owner).map_err(ReplayFailed::from)?;
    let mut copier = Copier::new(writer);
    let mut ledger = empty();
    let tail = replay_offline(source, shard, &mut ledger, until, &mut copier, progress)?;
    let lsn = Lsn(copier.next.0 - 1);
    if let Some(from) = copier.group {
        return Err(CopyFailed::Linked { lsn, from });
    }
    copier.append().map_err(|why| ReplayFailed::Target { lsn, source: why })?;
    let time_ns = copier.last_time_ns;
    drop(copier);
    let (state_hash, _) = ledger.summary();
    drop(ledger);
    let mut again = empty();
    let none = Box::new(|_: &ScanProgress| {});
    let written = replay_offline(target, shard, &mut again, Until::default(), &mut (), none)?;
    if again.summary().0 != state_hash || Lsn(written.next_lsn.0 - 1) != lsn {
        return Err(CopyFailed::Differs);
    }
    Ok(Copied { lsn, time_ns, state_hash, source: tail })
}

fn empty() -> Ledger {
    Ledger::new(1, 0, REMEMBER_NS).expect("one partition is a power of two")
}
