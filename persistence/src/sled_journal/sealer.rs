//! Encrypts what is appended, in an encrypted ledger: from the append's buffer into one of its own,
//! block by block, so that the records are read once and nothing plain reaches the store.
//!
//! A data key seals what is appended to one segment from one opening of the journal on: a new
//! segment, a new start, and a new ledger key each begin another. Within it LSNs only rise, and
//! they are the nonces.

use crate::append::AppendBuffer;
use crate::frame;
use crate::vault::{Kind, SealKey, Vault, VaultError};
use ducat_engine::ids::Lsn;
use std::ops::Range;

/// Seals the frames of a segment.
pub(super) struct Sealer {
    vault: Vault,
    key: SealKey,
    bytes: Vec<u8>,
    blocks: Vec<(Lsn, Range<usize>)>,
}

impl Sealer {
    /// One with a data key that nothing was sealed with.
    pub(super) fn new(vault: &Vault) -> Result<Self, VaultError> {
        let key = vault.fresh(Kind::Journal)?;
        Ok(Self { vault: vault.clone(), key, bytes: Vec::new(), blocks: Vec::new() })
    }

    /// Goes on with another data key: a segment begins.
    pub(super) fn renew(&mut self) -> Result<(), VaultError> {
        self.key = self.vault.fresh(Kind::Journal)?;
        Ok(())
    }

    /// Seals the frames of a batch, which was sealed itself: its blocks of about `target_bytes`.
    pub(super) fn seal(
        &mut self,
        batch: &AppendBuffer,
        target_bytes: usize,
    ) -> Result<impl Iterator<Item = (Lsn, &[u8])>, VaultError> {
        if self.key.stamp().generation != self.vault.current() {
            // Somebody rotated.
            self.renew()?;
        }
        self.bytes.clear();
        self.blocks.clear();
        let (mut start, mut first) = (0, None);
        for (lsn, plain) in batch.frames() {
            frame::encrypt(plain, &mut self.key, &mut self.bytes);
            let first_lsn = *first.get_or_insert(lsn);
            if self.bytes.len() - start >= target_bytes {
                self.blocks.push((first_lsn, start..self.bytes.len()));
                (start, first) = (self.bytes.len(), None);
            }
        }
        if let Some(first) = first {
            self.blocks.push((first, start..self.bytes.len()));
        }
        Ok(self.blocks.iter().map(|(lsn, range)| (*lsn, &self.bytes[range.clone()])))
    }
}
