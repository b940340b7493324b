//! Whether a journal is the one that was signed: an older copy of the directory, a rewritten
//! history and another ledger are found by looking at one frame, whose hash commits to every
//! frame before it.

use crate::snapshots::{Standing, standing_at};
use ducat_engine::ids::{Lsn, ShardId};
use ducat_persistence::chain::ChainPoint;
use ducat_persistence::witness::{
    CheckKey, Checkpoint, CheckpointStore, SignedCheckpoint, WitnessError,
};
use ducat_persistence::{Journal, JournalError, LedgerId};
use thiserror::Error;

/// How a journal contradicts its newest checkpoint.
#[derive(Debug, Error)]
pub enum Contradiction {
    /// It ends before what was signed.
    #[error(
        "the journal ends before LSN {lsn}, which checkpoint {number} signed: this is an older copy \
         of the data directory, or it has lost its end"
    )]
    OlderCopy {
        /// The checkpoint.
        number: u64,
        /// The last event it covers.
        lsn: Lsn,
    },
    /// It holds something else.
    #[error(
        "the journal up to LSN {lsn} is not what checkpoint {number} signed: its history was \
         rewritten, or it is another copy that went on by itself"
    )]
    Rewritten {
        /// The checkpoint.
        number: u64,
        /// The last event it covers.
        lsn: Lsn,
    },
    /// The place that was signed is not at hand.
    #[error("the journal begins behind LSN {lsn}, which checkpoint {number} signed")]
    Trimmed {
        /// The checkpoint.
        number: u64,
        /// The last event it covers.
        lsn: Lsn,
    },
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The checkpoints cannot be relied on.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl Contradiction {
    /// Whether something is missing or changed, as opposed to not to be read now.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::OlderCopy { .. } | Self::Rewritten { .. } | Self::Trimmed { .. } => true,
            Self::Journal(error) => error.is_damage(),
            Self::Witness(error) => error.is_damage(),
        }
    }
}

/// Holds the journal against one checkpoint.
///
/// # Errors
/// [`Contradiction`].
pub fn check_against(
    journal: &dyn Journal,
    shard: ShardId,
    checkpoint: &Checkpoint,
) -> Result<(), Contradiction> {
    let (number, lsn) = (checkpoint.number, checkpoint.lsn);
    let point = ChainPoint { lsn, hash: checkpoint.journal };
    match standing_at(journal, shard, point)? {
        Standing::Continued => Ok(()),
        Standing::BeforeJournal => Err(Contradiction::Trimmed { number, lsn }),
        Standing::OtherHistory => Err(Contradiction::Rewritten { number, lsn }),
        Standing::BeyondJournal => Err(Contradiction::OlderCopy { number, lsn }),
    }
}

/// Holds the journal against the newest checkpoint, if there is one. `written`: so many were
/// written, as far as the data directory knows.
///
/// # Errors
/// [`Contradiction`].
pub fn check_standing(
    journal: &dyn Journal,
    shard: ShardId,
    ledger: LedgerId,
    store: &CheckpointStore,
    key: &CheckKey,
    written: u64,
) -> Result<Option<SignedCheckpoint>, Contradiction> {
    let newest = store.newest(key, ledger)?;
    let found = newest.as_ref().map_or(0, |signed| signed.checkpoint.number);
    if found < written {
        let dir = store.dir().to_owned();
        return Err(WitnessError::Fewer { dir, written, found }.into());
    }
    if let Some(signed) = &newest {
        check_against(journal, shard, &signed.checkpoint)?;
    }
    Ok(newest)
}
