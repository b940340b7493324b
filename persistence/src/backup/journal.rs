//! A backup as a journal to read from: what `restore` copies the events out of.

use super::store::BackupStore;
use crate::archive::ArchiveError;
use crate::archive::reader::FileFrames;
use crate::chain::{Chain, ChainPoint, Stop};
use crate::contract::{
    BoxError, Damage, FrameReader, Journal, JournalError, Place, Tail, TrimReport, Visitor, Writer,
};
use crate::frame::{Frame, genesis_hash};
use ducat_engine::ids::{Lsn, ShardId};
use std::sync::Arc;

/// The journal in a backup, for reading only.
#[derive(Debug, Clone)]
pub struct BackupJournal(Arc<BackupStore>);

impl BackupJournal {
    /// The journal of a backup.
    #[must_use]
    pub fn new(store: BackupStore) -> Self {
        Self(Arc::new(store))
    }

    /// The backup.
    #[must_use]
    pub fn store(&self) -> &BackupStore {
        &self.0
    }

    fn check_shard(&self, shard: ShardId) -> Result<(), JournalError> {
        let ours = self.0.manifest().shard;
        if shard == ours { Ok(()) } else { Err(JournalError::UnknownShard(shard)) }
    }

    fn only_read(&self, verb: &'static str) -> JournalError {
        let (shard, lsn) = (self.0.manifest().shard, self.0.end().lsn);
        let source: BoxError = "a backup is only read".into();
        JournalError::Store { verb, place: Place::in_path(shard, lsn, self.0.dir()), source }
    }

    fn start(&self) -> ChainPoint {
        let manifest = self.0.manifest();
        ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(manifest.ledger, manifest.shard) }
    }

    /// The frames from the one that holds `from`, file after file.
    fn frames(&self, from: Lsn) -> impl Iterator<Item = Result<Frame, ArchiveError>> + use<> {
        let store = Arc::clone(&self.0);
        let files = self.0.manifest().files.clone();
        let rest = files.into_iter().filter(move |file| file.extent.last_lsn() >= from);
        rest.flat_map(move |entry| {
            let (frames, failed) = match store.file(&entry) {
                Ok(file) => (Some(FileFrames::new(file, from)), None),
                Err(error) => (None, Some(Err(error))),
            };
            failed.into_iter().chain(frames.into_iter().flatten())
        })
    }
}

impl Journal for BackupJournal {
    fn open_writer_with(
        &self,
        shard: ShardId,
        _owner: &str,
        _visit: &mut Visitor<'_>,
    ) -> Result<(Box<dyn Writer>, Tail), JournalError> {
        self.check_shard(shard)?;
        Err(self.only_read("open for writing"))
    }

    fn scan(&self, shard: ShardId, visit: &mut Visitor<'_>) -> Result<Tail, JournalError> {
        self.check_shard(shard)?;
        let mut chain = Chain::new(shard, self.start(), self.0.end());
        let damage = |lsn: Lsn, what: String| {
            let place = Place::in_path(shard, lsn, self.0.dir());
            JournalError::from(Damage { place, what, data_dir: None, source: None })
        };
        for frame in self.frames(Lsn(1)) {
            let next = chain.next_lsn();
            let frame = frame.map_err(|error| error.into_journal(shard, next))?;
            let hash = frame.hash();
            chain.accept(frame, hash, visit).map_err(|stop| match stop {
                Stop::Fault(fault) => damage(next, fault.to_string()),
                Stop::Visitor(lsn, source) => JournalError::Replay { shard, lsn, source },
            })?;
        }
        let next = chain.next_lsn();
        chain.finish().map_err(|fault| damage(next, fault.to_string()))
    }

    fn read(&self, shard: ShardId, from: Lsn) -> Result<FrameReader, JournalError> {
        self.check_shard(shard)?;
        let frames = self.frames(from.max(Lsn(1)));
        Ok(Box::new(frames.map(move |frame| frame.map_err(|e| e.into_journal(shard, from)))))
    }

    fn frame_at(&self, shard: ShardId, lsn: Lsn) -> Result<Option<Frame>, JournalError> {
        self.check_shard(shard)?;
        self.0.frame_at(lsn).map_err(|error| error.into_journal(shard, lsn))
    }

    fn trim(&self, shard: ShardId, _upto: Lsn) -> Result<TrimReport, JournalError> {
        self.check_shard(shard)?;
        Err(self.only_read("trim"))
    }

    fn base(&self, shard: ShardId) -> Result<ChainPoint, JournalError> {
        self.check_shard(shard)?;
        Ok(self.start())
    }

    fn end(&self, shard: ShardId) -> Result<Lsn, JournalError> {
        self.check_shard(shard)?;
        Ok(self.0.end().lsn)
    }
}
