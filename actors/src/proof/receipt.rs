//! The proof of one event: its statement, the path from there to a root, and the checkpoint
//! that signed this root.

use super::ProofError;
use crate::stored::StoredReader;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::note::Note;
use ducat_engine::proof::merkle::{self, TILE};
use ducat_engine::proof::{Hash, Names, Tree, Whose};
use ducat_persistence::Journal;
use ducat_persistence::witness::SignedCheckpoint;

/// Everything that proves one event. Its leaf's index is its LSN − 1, the tree's size the
/// checkpoint's LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The event's place.
    pub lsn: Lsn,
    /// What happened, as bytes.
    pub statement: Vec<u8>,
    /// What was said about it, where the statement holds a digest of that.
    pub note: Option<Note>,
    /// From the leaf to the root.
    pub path: Vec<Hash>,
    /// What signs the root.
    pub checkpoint: SignedCheckpoint,
}

/// What statements are made with.
pub(crate) struct Source<'a> {
    pub journal: &'a dyn Journal,
    pub shard: ShardId,
    pub whose: Whose,
    pub names: &'a Names,
}

impl Source<'_> {
    /// The leaves of a tile, as far as `size`.
    fn leaves(&self, tile: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
        let mut reader = StoredReader::new(self.journal, self.shard);
        let mut scratch = Vec::new();
        let end = size.min((tile + 1) * TILE);
        let leaf = |index: u64| {
            let lsn = Lsn(index + 1);
            let event = reader.event(lsn)?;
            let statement = self.names.statement(self.whose, lsn, event.time_ns, &event.record)?;
            Ok(statement.leaf(&mut scratch))
        };
        (tile * TILE..end).map(leaf).collect()
    }

    /// Proves the event at `lsn`, which the checkpoint must cover; so must the tree and the
    /// names.
    pub fn prove(
        &self,
        tree: &Tree,
        lsn: Lsn,
        checkpoint: SignedCheckpoint,
    ) -> Result<Receipt, ProofError> {
        let (index, size) = (lsn.0.wrapping_sub(1), checkpoint.checkpoint.lsn.0);
        if index >= size || tree.size() < size {
            return Err(ProofError::Path(lsn));
        }
        let event = StoredReader::new(self.journal, self.shard).event(lsn)?;
        let statement = self.names.statement(self.whose, lsn, event.time_ns, &event.record)?;
        let statement = statement.to_bytes();
        let last = self.leaves(size / TILE, size)?;
        let own = match index / TILE {
            tile if tile == size / TILE => None,
            tile => Some(self.leaves(tile, size)?),
        };
        let path = tree
            .path(index, size, own.as_ref().unwrap_or(&last), &last)
            .ok_or(ProofError::Path(lsn))?;
        let leads = merkle::root_from_path(merkle::leaf(&statement), index, size, &path);
        if leads != Some(checkpoint.checkpoint.root) {
            return Err(ProofError::Path(lsn));
        }
        let note = event.record.covered_note().cloned();
        Ok(Receipt { lsn, statement, note, path, checkpoint })
    }
}
