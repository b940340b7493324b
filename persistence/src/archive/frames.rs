//! Archived frames in order, file after file.

use super::manifest::Manifest;
use super::reader::ArchiveFile;
use super::{ArchiveError, ArchiveStore};
use crate::frame::Frame;
use ducat_engine::ids::Lsn;
use std::fs::File;
use std::sync::Arc;

/// Archived frames in order.
pub struct Frames {
    store: Arc<ArchiveStore>,
    manifest: Arc<Manifest>,
    next: Lsn,
    /// The file being read, and the number of its next block.
    file: Option<(Arc<ArchiveFile<File>>, usize)>,
    ready: std::vec::IntoIter<Frame>,
    failed: bool,
}

impl Frames {
    pub(super) fn new(store: Arc<ArchiveStore>, next: Lsn) -> Self {
        let manifest = store.manifest();
        Self { store, manifest, next, file: None, ready: Vec::new().into_iter(), failed: false }
    }

    fn read(&mut self) -> Result<Option<Frame>, ArchiveError> {
        loop {
            if let Some(frame) = self.ready.find(|frame| frame.last_lsn() >= self.next) {
                self.next = frame.last_lsn().next();
                return Ok(Some(frame));
            }
            match &mut self.file {
                Some((file, block)) if *block < file.blocks() => {
                    let frames = file.block(*block, &mut file.opener()?)?;
                    *block += 1;
                    self.ready = frames.into_iter();
                }
                _ => {
                    let Some(at) = self.manifest.holding(self.next) else { return Ok(None) };
                    let file = Arc::new(self.store.file(&self.manifest.entries[at])?);
                    let Some(block) = file.block_of(self.next) else { return Ok(None) };
                    self.file = Some((file, block));
                }
            }
        }
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let read = self.read().transpose();
        self.failed = matches!(read, Some(Err(_)));
        read
    }
}
