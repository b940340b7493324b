//! Replay: from the journal's frames to a ledger. Used at start, where the journal is also
//! opened for writing, and offline by `verify` and `replay`.

mod pipeline;

use ducat_engine::account::Impossible;
use ducat_engine::codec::DecodeError;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::ledger::{HoldsDiffer, Ledger};
use ducat_engine::record::Record;
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::{
    BoxError, Frame, Journal, JournalError, ReplayError, ScanProgress, Tail, Visitor, Writer,
};
use pipeline::Stopped;
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
    /// Accounts and open holds contradict each other.
    #[error("accounts and open holds contradict each other")]
    Holds(#[from] HoldsDiffer),
    /// The journal that a replay writes to refused.
    #[error("could not write the new journal after event {lsn}")]
    Target {
        /// The last event that was to be written.
        lsn: Lsn,
        /// The refusal.
        source: BoxError,
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

/// Where a replay ends; by default with the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Until {
    /// After this event.
    pub lsn: Option<Lsn>,
    /// After the last event decided at this time or before, nanoseconds since 1970.
    pub time_ns: Option<u64>,
}

impl Until {
    /// After this event.
    #[must_use]
    pub const fn lsn(lsn: Lsn) -> Self {
        Self { lsn: Some(lsn), time_ns: None }
    }

    const fn is_end(self) -> bool {
        self.lsn.is_none() && self.time_ns.is_none()
    }

    /// Whether this event comes before the end.
    #[must_use]
    pub fn includes(self, lsn: Lsn, time_ns: u64) -> bool {
        self.lsn.is_none_or(|last| lsn <= last) && self.time_ns.is_none_or(|last| time_ns <= last)
    }
}

/// An event that was just applied.
#[derive(Debug, Clone, Copy)]
pub struct Event<'r> {
    /// Its place.
    pub lsn: Lsn,
    /// When it was decided, nanoseconds since 1970.
    pub time_ns: u64,
    /// What was decided.
    pub record: &'r Record,
}

/// Told of every event, in order, right after the ledger has applied it.
pub trait Observer: Send {
    /// Looks at an event and at the ledger after it. On the replay's hot path.
    ///
    /// # Errors
    /// Whatever ends the replay.
    fn event(&mut self, ledger: &Ledger, event: &Event<'_>) -> Result<(), BoxError>;
}

/// Nobody looks.
impl Observer for () {
    fn event(&mut self, _: &Ledger, _: &Event<'_>) -> Result<(), BoxError> {
        Ok(())
    }
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
    let (opened, applied) = pipeline::run(&mut ledger, Until::default(), &mut (), |feed| {
        let mut visit = |frame: &Frame, at: ScanProgress| {
            feed.frame(frame, at)?;
            progress(&at);
            Ok(())
        };
        match after {
            Some(after) => journal.open_writer_after(shard, owner, after, &mut visit),
            None => journal.open_writer_with(shard, owner, &mut visit),
        }
    });
    check_applied(shard, applied)?;
    let (writer, tail) = opened?;
    check_end(&ledger, &tail)?;
    check_conservation(&ledger)?;
    Ok((ledger, writer, tail))
}

/// Replays a shard into `ledger` without writing, as far as `until`; the whole journal is
/// checked all the same.
///
/// # Errors
/// [`ReplayFailed`].
pub fn replay_offline(
    journal: &dyn Journal,
    shard: ShardId,
    ledger: &mut Ledger,
    until: Until,
    observer: &mut impl Observer,
    progress: Progress,
) -> Result<Tail, ReplayFailed> {
    replay_behind(journal, shard, ledger, None, until, observer, progress)
}

/// As [`replay_offline`], into a ledger that holds the state at `after` already.
///
/// # Errors
/// [`ReplayFailed`].
pub fn replay_behind(
    journal: &dyn Journal,
    shard: ShardId,
    ledger: &mut Ledger,
    after: Option<ChainPoint>,
    until: Until,
    observer: &mut impl Observer,
    mut progress: Progress,
) -> Result<Tail, ReplayFailed> {
    let (scanned, applied) = pipeline::run(ledger, until, observer, |feed| {
        let mut visit = |frame: &Frame, at: ScanProgress| {
            feed.frame(frame, at)?;
            progress(&at);
            Ok(())
        };
        match after {
            Some(after) => journal.scan_after(shard, after, &mut visit),
            None => journal.scan(shard, &mut visit),
        }
    });
    check_applied(shard, applied)?;
    let tail = scanned?;
    if until.is_end() {
        check_end(ledger, &tail)?;
    }
    check_conservation(ledger)?;
    Ok(tail)
}

/// Applies what `scan` shows its visitor, on another thread, as far as `until`. The scan's result,
/// and why the events could not be applied, if they could not.
///
/// # Errors
/// The second: [`JournalError::Replay`].
pub fn apply_shown<T>(
    shard: ShardId,
    ledger: &mut Ledger,
    until: Until,
    observer: &mut impl Observer,
    scan: impl FnOnce(&mut Visitor<'_>) -> T,
) -> (T, Result<(), JournalError>) {
    let (scanned, applied) =
        pipeline::run(ledger, until, observer, |feed| scan(&mut |frame, at| feed.frame(frame, at)));
    (scanned, check_applied(shard, applied))
}

/// What stopped the applying is why the journal could not go on.
fn check_applied(shard: ShardId, applied: Result<(), Stopped>) -> Result<(), JournalError> {
    applied.map_err(|Stopped { lsn, why }| JournalError::Replay {
        shard,
        lsn,
        source: ReplayError(why),
    })
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
    let (scanned, applied) = pipeline::run(ledger, Until::default(), &mut (), |feed| {
        let mut visit = |frame: &Frame, at: ScanProgress| {
            // No frame reaches across the acknowledged end.
            if at.lsn <= at.goal_lsn {
                feed.frame(frame, at)?;
            }
            progress(&at);
            Ok(())
        };
        match after {
            Some(after) => journal.scan_after(shard, after, &mut visit),
            None => journal.scan(shard, &mut visit),
        }
    });
    check_applied(shard, applied)?;
    let tail = scanned?;
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
    Ok(ledger.check_holds()?)
}
