//! From a moment to an LSN.

use crate::stored::StoredError;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_persistence::{Journal, JournalError};

/// A moment of the ledger's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Right after this event; [`Lsn::ZERO`] is before everything.
    Lsn(Lsn),
    /// Right after the last event decided at this time or before, nanoseconds since 1970.
    Time(u64),
}

/// The last event decided at `time_ns` or before, among those up to `last`, which is durable. By
/// halving: decision times never go back, and each frame has one.
pub(crate) fn last_decided_at(
    journal: &dyn Journal,
    shard: ShardId,
    time_ns: u64,
    last: Lsn,
) -> Result<Lsn, StoredError> {
    let failed = |source| StoredError::journal(last, source);
    let base = journal.base(shard).map_err(failed)?.lsn;
    let (mut low, mut high) = (base, last);
    while low < high {
        let middle = Lsn(low.0 + (high.0 - low.0).div_ceil(2));
        let frame = journal.frame_at(shard, middle);
        let frame = frame.map_err(|source| StoredError::journal(middle, source))?;
        let frame = frame.ok_or(StoredError::Missing(middle))?;
        if frame.header().time_ns <= time_ns {
            low = frame.last_lsn().min(high);
        } else {
            high = Lsn(frame.first_lsn().0 - 1).max(low);
        }
    }
    if low == base && base > Lsn::ZERO {
        // What was decided by then is not there any more, and so is when.
        let (wanted, first) = (base, base.next());
        return Err(failed(JournalError::Trimmed { shard, wanted, first }));
    }
    Ok(low)
}
