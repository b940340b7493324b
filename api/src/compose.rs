//! The composition root: the only place that names concrete journals. Serving, verifying and
//! replaying all open theirs here and see nothing but the contract from then on.

use ducat_actors::replay::ReplayFailed;
use ducat_actors::snapshots::rebuild::RebuildError;
use ducat_engine::ids::ShardId;
use ducat_persistence::snapshot::SnapshotStore;
use ducat_persistence::vault::{KeyWrapper, WrapError};
use ducat_persistence::with_causes;
use ducat_persistence::{
    ArchiveStore, ArchivedJournal, DataDir, DataDirError, Journal, JournalError, LedgerId,
    MemoryJournal, Origin, RawError, RawJournal, SledJournal, SledOptions, Vault, VaultError,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The only shard there is.
const SHARD: ShardId = ShardId(0);

/// A journal, ready for the engine, and whose it is.
pub struct OpenJournal {
    /// The journal behind its contract.
    pub journal: Arc<dyn Journal>,
    /// The ledger's own id.
    pub ledger: LedgerId,
    /// What it was made from, the oldest first.
    pub origins: Vec<Origin>,
    /// Its snapshots; a journal in memory has none.
    pub snapshots: Option<SnapshotStore>,
    /// Its archive, or why that cannot be used; a journal in memory has none.
    pub archive: Option<Result<Arc<ArchiveStore>, String>>,
    /// Its keys, if it is encrypted.
    pub vault: Option<Vault>,
}

/// Why a data directory could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory itself: held by another process, something else's, not to be created.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The journal in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl OpenError {
    /// Whether a running process holds the directory.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::DataDir(DataDirError::InUse { .. }))
    }

    /// Whether something is missing or changed that should be there.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::DataDir(DataDirError::Keys(error)) => is_keys_damage(error),
            Self::DataDir(error) => {
                matches!(error, DataDirError::Format { .. } | DataDirError::Mark(_))
            }
            Self::Journal(error) => error.is_damage(),
        }
    }
}

/// Whether the ledger's wrapped keys are not what was written, rather than the master key another.
#[must_use]
pub const fn is_keys_damage(error: &VaultError) -> bool {
    matches!(
        error,
        VaultError::Missing(_)
            | VaultError::Damaged(_)
            | VaultError::OtherLedger { .. }
            | VaultError::Lost { .. }
            | VaultError::Wrap { source: WrapError::Changed, .. }
    )
}

/// Whether a replay failed because of what is in the journal, not because it cannot be read.
#[must_use]
pub const fn is_replay_damage(error: &ReplayFailed) -> bool {
    match error {
        ReplayFailed::Journal(error) => {
            error.is_damage()
                || matches!(error, JournalError::Replay { .. } | JournalError::OtherHistory { .. })
        }
        ReplayFailed::NotConserved { .. } | ReplayFailed::Holds(_) | ReplayFailed::End { .. } => {
            true
        }
        ReplayFailed::Target { .. } => false,
    }
}

/// Whether no ledger could be built because of what is in the directory.
#[must_use]
pub const fn is_rebuild_damage(error: &RebuildError) -> bool {
    match error {
        RebuildError::Replay(error) => is_replay_damage(error),
        RebuildError::NotReached { .. } => true,
        RebuildError::Snapshots(error) => error.is_damage(),
        RebuildError::Partitions(_) => false,
    }
}

/// The ledger in this directory, created when there is none; held until the journal is dropped.
///
/// # Errors
/// [`OpenError`].
pub fn create_or_open(data_dir: &Path) -> Result<OpenJournal, OpenError> {
    create_or_open_with(data_dir, Opening::default())
}

/// What can be chosen about a directory that is opened.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// A segment of the journal is closed at this size; the store's default if none.
    pub segment_bytes_max: Option<u64>,
    /// Where the archive lies, if not in the directory itself.
    pub archive_dir: Option<PathBuf>,
    /// Who wraps the ledger's keys. With it, a ledger that is not encrypted becomes so.
    pub keys: Option<Arc<dyn KeyWrapper>>,
}

/// As [`create_or_open`], as it is asked for.
///
/// # Errors
/// [`OpenError`].
pub fn create_or_open_with(data_dir: &Path, opening: Opening) -> Result<OpenJournal, OpenError> {
    open(DataDir::create_or_open_with(data_dir, opening.keys.as_deref())?, opening)
}

/// The ledger in this directory, which must be there; held until the journal is dropped.
///
/// # Errors
/// [`OpenError`].
pub fn open_existing(data_dir: &Path) -> Result<OpenJournal, OpenError> {
    open_existing_with(data_dir, Opening::default())
}

/// As [`open_existing`], as it is asked for.
///
/// # Errors
/// [`OpenError`].
pub fn open_existing_with(data_dir: &Path, opening: Opening) -> Result<OpenJournal, OpenError> {
    open(DataDir::open_existing_with(data_dir, opening.keys.as_deref())?, opening)
}

fn open(dir: DataDir, opening: Opening) -> Result<OpenJournal, OpenError> {
    if let Some(target) = &opening.archive_dir {
        dir.link_archive(SHARD, target)?;
    }
    let defaults = SledOptions::default();
    let segment_bytes_max = opening.segment_bytes_max.unwrap_or(defaults.segment_bytes_max);
    let sled_options = SledOptions { segment_bytes_max, ..defaults };
    let (ledger, origins) = (dir.ledger(), dir.origins().to_vec());
    let vault = dir.vault().cloned();
    let snapshots = Some(SnapshotStore::new(&dir, SHARD));
    let archive = ArchiveStore::of(&dir, SHARD).map(Arc::new);
    let journal = Arc::new(SledJournal::open(Arc::new(dir), sled_options)?);
    // What cannot be used stops no start that does not need it.
    let known = archive.as_ref().map(Arc::clone).map_err(|error| with_causes(error));
    let journal = Arc::new(ArchivedJournal::new(journal, archive));
    Ok(OpenJournal { journal, ledger, origins, snapshots, archive: Some(known), vault })
}

/// The journal of this directory, for reading only: nothing is written to it, and a server may
/// be working on it.
///
/// # Errors
/// [`OpenError`].
pub fn open_to_read(data_dir: &Path) -> Result<RawJournal, OpenError> {
    open_to_read_with(data_dir, None)
}

/// The same with a master key, which an encrypted ledger wants.
///
/// # Errors
/// [`OpenError`].
pub fn open_to_read_with(
    data_dir: &Path,
    keys: Option<&dyn KeyWrapper>,
) -> Result<RawJournal, OpenError> {
    RawJournal::open_with(data_dir, keys).map_err(|error| match error {
        RawError::DataDir(error) => error.into(),
        RawError::Journal(error) => error.into(),
    })
}

/// A ledger being made from another's events; none until it is complete.
pub struct Unfinished {
    dir: Arc<DataDir>,
    journal: SledJournal,
}

/// Begins a new ledger, with an id of its own, in a missing or empty directory.
///
/// # Errors
/// [`OpenError`].
pub fn begin(data_dir: &Path) -> Result<Unfinished, OpenError> {
    begin_with(data_dir, None)
}

/// The same with a master key: the new ledger is encrypted.
///
/// # Errors
/// [`OpenError`].
pub fn begin_with(data_dir: &Path, keys: Option<&dyn KeyWrapper>) -> Result<Unfinished, OpenError> {
    let dir = Arc::new(DataDir::begin_with(data_dir, keys)?);
    let journal = SledJournal::open(dir.clone(), SledOptions::default())?;
    Ok(Unfinished { dir, journal })
}

impl Unfinished {
    /// Where its events go.
    #[must_use]
    pub const fn journal(&self) -> &dyn Journal {
        &self.journal
    }

    /// The id it will have.
    #[must_use]
    pub fn ledger(&self) -> LedgerId {
        self.dir.ledger()
    }

    /// Makes it a ledger, durably.
    ///
    /// # Errors
    /// [`OpenError`]; then it is none.
    pub fn complete(&self, origins: &[Origin]) -> Result<(), OpenError> {
        Ok(self.dir.complete(origins)?)
    }
}

/// Removes what [`begin`] put into a directory, and the directory.
///
/// # Errors
/// When something cannot be removed.
pub fn abandon(data_dir: &Path) -> std::io::Result<()> {
    std::fs::remove_dir_all(data_dir)
}

/// A fresh journal in memory: nothing survives the end of the process.
///
/// # Errors
/// When the system's source of randomness cannot be read.
pub fn in_memory() -> std::io::Result<OpenJournal> {
    let ledger = LedgerId::random()?;
    let journal = Arc::new(MemoryJournal::new(ledger));
    let (origins, snapshots, archive, vault) = (Vec::new(), None, None, None);
    Ok(OpenJournal { journal, ledger, origins, snapshots, archive, vault })
}
