//! The archive's directory: files and the manifest that names them.
//!
//! ```text
//! append ─▶ <first LSN>.frames.new ─ written, synced as it grows ─ synced ─ read back and checked
//!   ─▶ renamed, directory synced ─▶ MANIFEST.new ─ synced, renamed, directory synced
//! ```
//!
//! Only what the manifest names is part of the archive. A file under its final name that it does
//! not name is what a crash left between the two renames: the next append writes it again.

use super::format::Head;
use super::frames::Frames;
use super::manifest::{self, Entry, Manifest, ManifestFault, parse_file_name};
use super::named::{open_named, read_back, tell, write_frames};
use super::reader::ArchiveFile;
use super::{ArchiveError, Fault, Step, Watch};
use crate::chain::ChainPoint;
use crate::contract::JournalError;
use crate::data_dir::{DataDir, DataDirError, archive_dir};
use crate::files::{Unfinished, list_names, make_dir, read_bounded, write_whole};
use crate::frame::{Frame, FrameHash, genesis_hash};
use crate::ledger_id::LedgerId;
use crate::vault::Vault;
use ducat_engine::ids::{Lsn, ShardId};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The manifest's name in the archive's directory.
pub const MANIFEST: &str = "MANIFEST";
const MANIFEST_NEW: &str = "MANIFEST.new";

/// Files kept open for reading, and blocks kept decompressed.
const OPEN_MAX: usize = 8;
const BLOCKS_MAX: usize = 16;

type Opened = Arc<ArchiveFile<File>>;
/// Index of a file and of a block in it.
type BlockId = (Lsn, usize);

/// The archive of one shard. Shared by those who read and the one who appends.
#[derive(Debug)]
pub struct ArchiveStore {
    dir: PathBuf,
    ledger: LedgerId,
    shard: ShardId,
    vault: Option<Vault>,
    manifest: RwLock<Arc<Manifest>>,
    /// One append at a time.
    appending: Mutex<()>,
    open: Mutex<VecDeque<(Lsn, Opened)>>,
    blocks: Mutex<VecDeque<(BlockId, Arc<Vec<Frame>>)>>,
}

/// One thing that is wrong with the archive.
#[derive(Debug)]
pub struct ArchiveFault {
    /// The first record concerned.
    pub first: Lsn,
    /// The last record concerned.
    pub last: Lsn,
    /// What is wrong.
    pub error: ArchiveError,
}

/// What lies in the archive's directory and is not part of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stray {
    /// Begun and never finished, or finished and never named by the manifest.
    Unfinished(PathBuf),
    /// Nothing of an archive.
    Unknown(PathBuf),
}

impl ArchiveStore {
    /// Reads the manifest of the archive in `dir`, of the ledger's shard. Creates nothing: a
    /// directory that is not there is an empty archive.
    ///
    /// # Errors
    /// [`ArchiveError::Manifest`] when it cannot be used, or is missing beside archive files;
    /// [`ArchiveError::Io`].
    pub fn open(dir: PathBuf, ledger: LedgerId, shard: ShardId) -> Result<Self, ArchiveError> {
        let manifest = read_manifest(&dir, ledger, shard)?;
        Ok(Self {
            dir,
            ledger,
            shard,
            vault: None,
            manifest: RwLock::new(Arc::new(manifest)),
            appending: Mutex::default(),
            open: Mutex::default(),
            blocks: Mutex::default(),
        })
    }

    /// The archive of a shard of the ledger in `dir`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of(dir: &DataDir, shard: ShardId) -> Result<Self, ArchiveError> {
        let opened = Self::open(archive_dir(dir.root(), shard), dir.ledger(), shard);
        opened.map(|store| store.with_vault(dir.vault().cloned()))
    }

    /// The same with the ledger's keys: new files are encrypted, and those that are can be read.
    #[must_use]
    pub fn with_vault(self, vault: Option<Vault>) -> Self {
        Self { vault, ..self }
    }

    /// The archive of a shard of the ledger at `root`, which others may be working on.
    ///
    /// # Errors
    /// The outer one when no ledger is there, the inner one as [`Self::open`].
    pub fn read_only(
        root: &Path,
        shard: ShardId,
    ) -> Result<Result<Self, ArchiveError>, DataDirError> {
        let (ledger, _) = DataDir::peek(root)?;
        Ok(Self::open(archive_dir(root, shard), ledger, shard))
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whose archive it is.
    #[must_use]
    pub const fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// Of which shard.
    #[must_use]
    pub const fn shard(&self) -> ShardId {
        self.shard
    }

    /// The manifest as it is known here; appends through this store replace it.
    #[must_use]
    pub fn manifest(&self) -> Arc<Manifest> {
        Arc::clone(&self.manifest.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The files, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Entry> {
        self.manifest().entries.clone()
    }

    /// The file of an entry.
    #[must_use]
    pub fn path_of(&self, entry: &Entry) -> PathBuf {
        self.dir.join(entry.file_name())
    }

    /// Where the archive ends: what follows continues this. The beginning of the journal when
    /// it is empty.
    #[must_use]
    pub fn end(&self) -> ChainPoint {
        let start = ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(self.ledger, self.shard) };
        self.manifest().end().unwrap_or(start)
    }

    /// Where the archive begins; `None` when it is empty.
    #[must_use]
    pub fn begin(&self) -> Option<ChainPoint> {
        self.manifest().begin()
    }

    /// Reads the manifest again: a server may have appended meanwhile.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn refresh(&self) -> Result<(), ArchiveError> {
        let manifest = read_manifest(&self.dir, self.ledger, self.shard)?;
        self.set(manifest);
        Ok(())
    }

    fn set(&self, manifest: Manifest) {
        *self.manifest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(manifest);
    }

    /// Adds one file with these frames, which must continue the archive, and returns when it is
    /// durable, was read back and is named by the manifest. Nothing changes when it fails.
    ///
    /// # Errors
    /// [`ArchiveError::NotContinued`], [`ArchiveError::Nothing`], [`ArchiveError::Source`] when
    /// the frames' own iterator fails, [`ArchiveError::Io`]; [`ArchiveError::Damaged`] when what
    /// was written cannot be read back.
    pub fn append(
        &self,
        frames: impl IntoIterator<Item = Result<Frame, JournalError>>,
    ) -> Result<Entry, ArchiveError> {
        self.append_watched(frames, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Self::append`]; `watch` is told of every step, and may take its time.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_watched(
        &self,
        frames: impl IntoIterator<Item = Result<Frame, JournalError>>,
        watch: &mut Watch<'_>,
    ) -> Result<Entry, ArchiveError> {
        let _one = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        make_dir(&self.dir)?;
        self.remove_leftovers()?;
        let before = self.end();
        let path = self.dir.join(manifest::file_name(before.lsn.next()));
        let unfinished = Unfinished::new(path.with_extension("frames.new"));
        let vault = self.vault.as_ref();
        let head = Head { ledger: self.ledger, shard: self.shard, before };
        let written = write_frames(unfinished.path(), head, vault, frames, watch)?;
        tell(watch, Step::Written)?;
        read_back(unfinished.path(), head, vault, &written)?;
        tell(watch, Step::ReadBack)?;
        unfinished.name(&path)?;
        tell(watch, Step::Renamed)?;
        let entry = Entry::from(written);
        let mut manifest = Manifest::clone(&self.manifest());
        manifest.sequence += 1;
        manifest.entries.push(entry);
        self.write_manifest(&manifest)?;
        self.set(manifest);
        tell(watch, Step::Named)?;
        Ok(entry)
    }

    fn write_manifest(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let (beside, path) = (self.dir.join(MANIFEST_NEW), self.dir.join(MANIFEST));
        Ok(write_whole(&beside, &path, &manifest.encode())?)
    }

    /// Removes files that were begun and never finished. One that was finished and is not named
    /// by the manifest stays until the append that writes it again.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn remove_leftovers(&self) -> Result<(), ArchiveError> {
        for (path, name) in list_names(&self.dir)? {
            let begun = name
                .strip_suffix(".new")
                .is_some_and(|name| name == MANIFEST || parse_file_name(name).is_some());
            if begun {
                tracing::info!(path = %path.display(), "removing an unfinished archive file");
                fs::remove_file(&path).map_err(ArchiveError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// What lies in the directory beside the archive.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn strays(&self) -> Result<Vec<Stray>, ArchiveError> {
        let manifest = self.manifest();
        let named = |lsn: Lsn| manifest.entries.iter().any(|e| e.extent.first_lsn() == lsn);
        let mut strays = Vec::new();
        for (path, name) in list_names(&self.dir)? {
            let begun = name.strip_suffix(".new");
            match parse_file_name(begun.unwrap_or(&name)) {
                Some(lsn) if begun.is_none() && named(lsn) => {}
                Some(_) => strays.push(Stray::Unfinished(path)),
                None if name == MANIFEST => {}
                None if name == MANIFEST_NEW => strays.push(Stray::Unfinished(path)),
                None => strays.push(Stray::Unknown(path)),
            }
        }
        Ok(strays)
    }

    /// Opens the file of an entry, and holds it against what the manifest says of it.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn file(&self, entry: &Entry) -> Result<ArchiveFile<File>, ArchiveError> {
        open_named(&self.path_of(entry), self.ledger, self.shard, self.vault.as_ref(), entry)
    }

    /// The same, kept open for the next.
    fn opened(&self, entry: &Entry) -> Result<Opened, ArchiveError> {
        let first = entry.extent.first_lsn();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|(lsn, _)| *lsn == first) {
            let found = open.remove(at).expect("it was found there");
            open.push_back(found.clone());
            return Ok(found.1);
        }
        let file = Arc::new(self.file(entry)?);
        open.push_back((first, Arc::clone(&file)));
        if open.len() > OPEN_MAX {
            open.pop_front();
        }
        Ok(file)
    }

    /// The frame that holds `lsn`; `None` when it is not archived. Reads one block.
    ///
    /// # Errors
    /// [`ArchiveError`] when it should be there and cannot be read.
    pub fn frame_at(&self, lsn: Lsn) -> Result<Option<Frame>, ArchiveError> {
        let manifest = self.manifest();
        let Some(entry) = manifest.holding(lsn).map(|at| &manifest.entries[at]) else {
            return Ok(None);
        };
        let file = self.opened(entry)?;
        let Some(number) = file.block_of(lsn) else { return Ok(None) };
        let id = (entry.extent.first_lsn(), number);
        let frames = match self.cached(id) {
            Some(frames) => frames,
            None => {
                let frames = Arc::new(file.block(number, &mut file.opener()?)?);
                let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
                blocks.push_back((id, Arc::clone(&frames)));
                if blocks.len() > BLOCKS_MAX {
                    blocks.pop_front();
                }
                frames
            }
        };
        let at = frames.partition_point(|frame| frame.last_lsn() < lsn);
        match frames.get(at) {
            Some(frame) => Ok(Some(frame.clone())),
            // Its block ends before the next begins.
            None => Err(ArchiveError::Damaged {
                path: self.path_of(entry),
                at: 0,
                source: Box::new(Fault::Field("the index")),
            }),
        }
    }

    fn cached(&self, id: BlockId) -> Option<Arc<Vec<Frame>>> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let at = blocks.iter().position(|(other, _)| *other == id)?;
        let found = blocks.remove(at)?;
        blocks.push_back(found.clone());
        Some(found.1)
    }

    /// The archived frames from the one that holds `from`, in order, each continuing the one
    /// before. Ends at the archive's end as it is known now.
    #[must_use]
    pub fn read(self: &Arc<Self>, from: Lsn) -> Frames {
        Frames::new(Arc::clone(self), from.max(Lsn(1)))
    }

    /// Reads every file to its end and checks everything. Shows each frame and its hash to
    /// `visit`, until that says no or something is wrong; goes on behind what is wrong.
    pub fn verify(&self, visit: &mut dyn FnMut(&Frame, FrameHash) -> bool) -> Vec<ArchiveFault> {
        let mut faults: Vec<ArchiveFault> = Vec::new();
        let mut listening = true;
        for entry in &self.manifest().entries {
            let sound = faults.is_empty();
            let mut show = |frame: &Frame, hash: FrameHash| {
                if sound && listening {
                    listening = visit(frame, hash);
                }
                true
            };
            let checked = self.file(entry).and_then(|file| file.verify(&mut show));
            if let Err(error) = checked {
                let (first, last) = (entry.extent.first_lsn(), entry.extent.last_lsn());
                faults.push(ArchiveFault { first, last, error });
            }
        }
        faults
    }

    /// What is wrong when the journal begins at `base`, and the archive does not reach it.
    #[must_use]
    pub fn too_short(&self, base: ChainPoint) -> Option<ArchiveFault> {
        let end = self.end();
        let other = end.lsn == base.lsn && end.hash != base.hash;
        (end.lsn < base.lsn || other).then(|| {
            let (dir, first) = (self.dir.clone(), end.lsn.next());
            let error = if other {
                let what =
                    format!("it ends at LSN {} with another hash than the journal begins", end.lsn);
                ArchiveError::Foreign { path: dir, what }
            } else {
                ArchiveError::Short { dir, end: end.lsn, base: base.lsn }
            };
            ArchiveFault { first: first.min(base.lsn), last: base.lsn, error }
        })
    }

    /// Writes the manifest anew from the files that lie in the directory: for an archive whose
    /// manifest is lost. Every file is read to its end; they must continue one another from the
    /// beginning of the journal, and reach `least`.
    ///
    /// # Errors
    /// [`ArchiveError`]; nothing changes then.
    pub fn rebuild_manifest(
        dir: PathBuf,
        ledger: LedgerId,
        shard: ShardId,
        vault: Option<&Vault>,
        least: ChainPoint,
    ) -> Result<Self, ArchiveError> {
        let start = ChainPoint { lsn: Lsn::ZERO, hash: genesis_hash(ledger, shard) };
        let mut firsts: Vec<_> =
            list_names(&dir)?.iter().filter_map(|(_, name)| parse_file_name(name)).collect();
        firsts.sort_unstable();
        let sequence = firsts.len() as u64;
        let (mut at, mut entries) = (start, Vec::new());
        for first in firsts {
            let path = dir.join(manifest::file_name(first));
            let file = File::open(&path).map_err(ArchiveError::io("open", &path))?;
            let opened = ArchiveFile::opening(file, &path, vault)?;
            let extent = *opened.extent();
            let head = opened.head();
            if (head.ledger, head.shard, extent.before) != (ledger, shard, at) {
                let what = format!("it does not continue the archive after LSN {}", at.lsn);
                return Err(ArchiveError::Foreign { path, what });
            }
            opened.verify(&mut |_, _| true)?;
            at = extent.after;
            entries.push(Entry::from(opened.said()));
        }
        let reached = entries.iter().any(|e| e.extent.after == least) || at.lsn > least.lsn;
        if !reached && least.lsn > Lsn::ZERO {
            let (first, path) = (at.lsn.next(), dir.join(manifest::file_name(at.lsn.next())));
            return Err(ArchiveError::Missing { path, first, last: least.lsn });
        }
        let manifest = Manifest { ledger, shard, sequence, entries };
        let store = Self {
            dir,
            ledger,
            shard,
            vault: vault.cloned(),
            manifest: RwLock::new(Arc::new(manifest.clone())),
            appending: Mutex::default(),
            open: Mutex::default(),
            blocks: Mutex::default(),
        };
        make_dir(&store.dir)?;
        store.write_manifest(&manifest)?;
        Ok(store)
    }
}

fn read_manifest(dir: &Path, ledger: LedgerId, shard: ShardId) -> Result<Manifest, ArchiveError> {
    let path = dir.join(MANIFEST);
    let wrong = |source| ArchiveError::Manifest { path: path.clone(), source };
    let Some(bytes) = read_bounded(&path, manifest::BYTES_MAX)? else {
        // A crash before the first manifest leaves one file, which is none yet.
        let mut files = list_names(dir)?;
        files.retain(|(_, name)| parse_file_name(name).is_some_and(|lsn| lsn > Lsn(1)));
        if files.is_empty() {
            return Ok(Manifest::empty(ledger, shard));
        }
        return Err(wrong(ManifestFault::Missing));
    };
    Manifest::decode(&bytes, ledger, shard).map_err(wrong)
}
