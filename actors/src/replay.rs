//! Replay: from the journal's frames to a ledger. Used at start, where the journal is also
//! opened for writing, and offline by `verify` and `replay`.

use ducat_engine::account::Impossible;
use ducat_engine::codec::{DecodeError, decode_all};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::ledger::Ledger;
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::{Frame, Journal, JournalError, ReplayError, ScanProgress, Tail, Writer};
use thiserror::Error;

/// Told how far a replay has come.
pub type Progress = Box<dyn FnMut(&ScanProgress) + Send>;

/// Why a frame's records do not continue the ledger.
#[derive(Debug, Error)]
pub enum FrameRefused {
    /// A record cannot be decoded.
    #[error("record {at} cannot be decoded")]
    Decode {
        /// Its LSN.
        at: Lsn,
        /// What the decoder met.
        source: DecodeError,
    },
    /// The frame holds more or fewer records than it says.
    #[error("the frame says {said} records and holds {held}")]
    Count {
        /// In the header.
        said: u32,
        /// In the payload.
        held: u64,
    },
    /// The journal begins later than the state at hand ends.
    #[error("the journal begins at event {first}, and event {next} was to come next")]
    NotReached {
        /// The journal's first LSN.
        first: Lsn,
        /// The LSN after the state at hand.
        next: Lsn,
    },
    /// An event cannot follow the ones before.
    #[error(transparent)]
    Impossible(#[from] Impossible),
}

/// Why the journal's events do not make a ledger.
#[derive(Debug, Error)]
pub enum ReplayFailed {
    /// The journal refused, or an event in it is impossible.
    #[error("could not replay the journal")]
    Journal(#[from] JournalError),
    /// The sums of a currency are not zero.
    #[error("money was made or lost: currency {currency} sums up to {sum} minor units")]
    NotConserved {
        /// The currency's number.
        currency: u16,
        /// What should be zero.
        sum: i128,
    },
    /// The journal and the ledger disagree on where they end.
    #[error("the journal ends before event {journal}, the replay before event {ledger}")]
    End {
        /// The journal's next LSN.
        journal: Lsn,
        /// The ledger's next LSN.
        ledger: Lsn,
    },
}

/// Applies the records of one frame that come after the ledger's last, up to and including
/// `to`.
pub(crate) fn apply_frame(ledger: &mut Ledger, frame: &Frame, to: Lsn) -> Result<(), FrameRefused> {
    let header = frame.header();
    let (mut lsn, next) = (frame.first_lsn(), ledger.coordinator.next_lsn());
    if lsn > next && lsn <= to {
        return Err(FrameRefused::NotReached { first: lsn, next });
    }
    let mut held = 0;
    for record in decode_all(frame.payload()) {
        let record = record.map_err(|source| FrameRefused::Decode { at: lsn, source })?;
        if lsn <= to && lsn >= next {
            ledger.apply(lsn, header.time_ns, &record)?;
        }
        lsn = lsn.next();
        held += 1;
    }
    if held == u64::from(header.record_count) {
        return Ok(());
    }
    Err(FrameRefused::Count { said: header.record_count, held })
}

/// Opens the journal for writing and builds the ledger from what it holds, or from a state at
/// hand and what the journal holds behind `after`.
pub(crate) fn open_and_replay(
    journal: &dyn Journal,
    shard: ShardId,
    owner: &str,
    mut ledger: Ledger,
    after: Option<ChainPoint>,
    progress: &mut Progress,
) -> Result<(Ledger, Box<dyn Writer>, Tail), ReplayFailed> {
    let mut visit = |frame: &Frame, at: ScanProgress| {
        apply_frame(&mut ledger, frame, Lsn(u64::MAX)).map_err(ReplayError::new)?;
        progress(&at);
        Ok(())
    };
    let (writer, tail) = match after {
        Some(after) => journal.open_writer_after(shard, owner, after, &mut visit)?,
        None => journal.open_writer_with(shard, owner, &mut visit)?,
    };
    check_end(&ledger, &tail)?;
    check_conservation(&ledger)?;
    Ok((ledger, writer, tail))
}

/// Replays a shard into `ledger` without writing, as far as `to`.
///
/// # Errors
/// [`ReplayFailed`].
pub fn replay_offline(
    journal: &dyn Journal,
    shard: ShardId,
    ledger: &mut Ledger,
    to: Option<Lsn>,
    mut progress: Progress,
) -> Result<Tail, ReplayFailed> {
    let end = to.unwrap_or(Lsn(u64::MAX));
    let tail = journal.scan(shard, &mut |frame, at| {
        apply_frame(ledger, frame, end).map_err(ReplayError::new)?;
        progress(&at);
        Ok(())
    })?;
    if to.is_none() {
        check_end(ledger, &tail)?;
    }
    check_conservation(ledger)?;
    Ok(tail)
}

/// Replays what was acknowledged, and no more, into `ledger`: all of it, or what lies behind
/// `after`.
pub(crate) fn replay_acknowledged(
    journal: &dyn Journal,
    shard: ShardId,
    ledger: &mut Ledger,
    after: Option<ChainPoint>,
    progress: &mut Progress,
) -> Result<Tail, ReplayFailed> {
    let mut visit = |frame: &Frame, at: ScanProgress| {
        apply_frame(ledger, frame, at.goal_lsn).map_err(ReplayError::new)?;
        progress(&at);
        Ok(())
    };
    let tail = match after {
        Some(after) => journal.scan_after(shard, after, &mut visit)?,
        None => journal.scan(shard, &mut visit)?,
    };
    check_conservation(ledger)?;
    Ok(tail)
}

fn check_end(ledger: &Ledger, tail: &Tail) -> Result<(), ReplayFailed> {
    let next = ledger.coordinator.next_lsn();
    if next == tail.next_lsn {
        return Ok(());
    }
    Err(ReplayFailed::End { journal: tail.next_lsn, ledger: next })
}

fn check_conservation(ledger: &Ledger) -> Result<(), ReplayFailed> {
    for (currency, totals) in ledger.totals() {
        let sum = totals.internal + totals.external;
        if sum != 0 {
            return Err(ReplayFailed::NotConserved { currency: currency.0, sum });
        }
    }
    Ok(())
}
