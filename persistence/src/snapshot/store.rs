//! A shard's snapshots: one file each, named by its LSN.
//!
//! ```text
//! create ─▶ <LSN>.snap.new ─ written, synced as it grows ─ finish: sync ▸ rename ▸ sync the
//! directory ─▶ <LSN>.snap
//! ```
//!
//! A file under its final name is whole. What an interruption leaves behind has another name,
//! is never read, and is removed by the next that writes.

use super::encoder::{EncodeError, Encoder};
use super::format::{END_MAGIC, SnapshotHeader, TRAILER_BYTES};
use super::reader::{Blocks, Reader};
use super::{Fault, SnapshotError, Summary, loading};
use crate::data_dir::{DataDir, DataDirError, snapshots_dir};
use crate::files::{SyncedFile, Unfinished, list_names, make_dir, sync_dir};
use crate::ledger_id::LedgerId;
use crate::vault::{Kind, Vault};
use ducat_engine::account::Account;
use ducat_engine::holds::Hold;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_engine::ledger::Ledger;
use ducat_engine::snapshot::{DrivenPiece, IdsPiece, ProfilesPiece, RefundsPiece};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 256 << 10;

/// The snapshots of one shard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SnapshotStore {
    dir: PathBuf,
    ledger: LedgerId,
    shard: ShardId,
    vault: Option<Vault>,
}

/// A snapshot as a listing shows it: its beginning and end were looked at, no more.
#[derive(Debug)]
pub struct Listed {
    /// By its name.
    pub lsn: Lsn,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What it says of itself, or why it can certainly not be used.
    pub header: Result<SnapshotHeader, SnapshotError>,
}

impl SnapshotStore {
    /// The snapshots of a shard of the ledger in `dir`. Creates nothing.
    #[must_use]
    pub fn new(dir: &DataDir, shard: ShardId) -> Self {
        let store = Self::at(dir.snapshots_dir(shard), dir.ledger(), shard);
        store.with_vault(dir.vault().cloned())
    }

    /// The snapshots of a shard of the ledger at `root`, which others may be working on. Those that
    /// are encrypted want [`Self::with_vault`].
    ///
    /// # Errors
    /// [`DataDirError`] when no ledger is there.
    pub fn read_only(root: &Path, shard: ShardId) -> Result<Self, DataDirError> {
        let (ledger, _) = DataDir::peek(root)?;
        Ok(Self::at(snapshots_dir(root, shard), ledger, shard))
    }

    /// The snapshots in a directory of this name.
    #[must_use]
    pub fn at(dir: PathBuf, ledger: LedgerId, shard: ShardId) -> Self {
        Self { dir, ledger, shard, vault: None }
    }

    /// The same with the ledger's keys: new snapshots are encrypted, and those that are can be read.
    #[must_use]
    pub fn with_vault(self, vault: Option<Vault>) -> Self {
        Self { vault, ..self }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whose snapshots these are.
    #[must_use]
    pub const fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// Of which shard.
    #[must_use]
    pub const fn shard(&self) -> ShardId {
        self.shard
    }

    /// The file of the snapshot at an LSN.
    #[must_use]
    pub fn path_of(&self, lsn: Lsn) -> PathBuf {
        self.dir.join(format!("{:020}.snap", lsn.0))
    }

    /// All snapshots, the newest first.
    ///
    /// # Errors
    /// [`SnapshotError::Io`] when the directory cannot be listed.
    pub fn list(&self) -> Result<Vec<Listed>, SnapshotError> {
        let mut listed = Vec::new();
        for (path, name) in list_names(&self.dir)? {
            if let Some(lsn) = parse_name(&name) {
                let bytes = fs::metadata(&path).map_or(0, |meta| meta.len());
                listed.push(Listed { lsn, bytes, header: self.peek(&path, lsn), path });
            }
        }
        listed.sort_unstable_by_key(|snapshot| std::cmp::Reverse(snapshot.lsn));
        Ok(listed)
    }

    /// Reads a snapshot's head and its last bytes.
    fn peek(&self, path: &Path, lsn: Lsn) -> Result<SnapshotHeader, SnapshotError> {
        let file = open(path)?;
        let blocks = Blocks::new(BufReader::with_capacity(4096, &file), path, self.vault.as_ref())?;
        self.check(blocks.header(), path, lsn)?;
        let bytes = file.metadata().map_err(SnapshotError::io("look at", path))?.len();
        let mut trailer = [0; TRAILER_BYTES];
        let at = bytes.saturating_sub(TRAILER_BYTES as u64);
        let read = file.read_exact_at(&mut trailer, at);
        read.map_err(SnapshotError::io("read the end of", path))?;
        if trailer[8..] != END_MAGIC {
            return Err(blocks.damaged(Fault::Trailer));
        }
        Ok(blocks.header().clone())
    }

    /// A whole snapshot in another's place must not pass for it.
    fn check(&self, header: &SnapshotHeader, path: &Path, lsn: Lsn) -> Result<(), SnapshotError> {
        let what = if header.ledger != self.ledger {
            format!("it is of ledger {}, not {}", header.ledger, self.ledger)
        } else if header.shard != self.shard {
            format!("it is of shard {}, not {}", header.shard.0, self.shard.0)
        } else if header.lsn() != lsn {
            format!("it is of LSN {}, and its name says {lsn}", header.lsn())
        } else {
            return Ok(());
        };
        Err(SnapshotError::Foreign { path: path.to_owned(), what })
    }

    /// The snapshot at an LSN, to be read part by part.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn read(&self, lsn: Lsn) -> Result<Reader<BufReader<File>>, SnapshotError> {
        let path = self.path_of(lsn);
        let file = BufReader::with_capacity(BUFFER_BYTES, open(&path)?);
        let reader = Reader::opening(file, &path, self.vault.as_ref())?;
        self.check(reader.header(), &path, lsn)?;
        Ok(reader)
    }

    /// Reads the snapshot at an LSN to its end, in little memory.
    ///
    /// # Errors
    /// [`SnapshotError`]: the first thing that is wrong, and where.
    pub fn verify(&self, lsn: Lsn) -> Result<Summary, SnapshotError> {
        self.read(lsn)?.verify()
    }

    /// Builds a ledger from the snapshot at an LSN, which checks all that [`Self::verify`]
    /// checks, and that no id comes twice. `seed` scatters ids; choose it so that callers
    /// cannot guess it. `remember_ns` is the ledger's own.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn load(
        &self,
        lsn: Lsn,
        partitions: usize,
        seed: u64,
        remember_ns: u64,
    ) -> Result<(Ledger, Summary), SnapshotError> {
        let path = self.path_of(lsn);
        let file = BufReader::with_capacity(BUFFER_BYTES, open(&path)?);
        let (ledger, summary) =
            loading::load(file, &path, self.vault.as_ref(), (partitions, seed, remember_ns))?;
        self.check(&summary.header, &path, lsn)?;
        Ok((ledger, summary))
    }

    /// Begins a new snapshot. Removes what an interruption left behind.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn create(&self, header: SnapshotHeader) -> Result<SnapshotFile, SnapshotError> {
        make_dir(&self.dir)?;
        self.remove_leftovers()?;
        let path = self.path_of(header.lsn());
        let unfinished = path.with_extension("snap.new");
        let file = File::create_new(&unfinished);
        let file = file.map_err(SnapshotError::io("create", &unfinished))?;
        let unfinished = Unfinished::new(unfinished);
        let key = self.vault.as_ref().map(|vault| vault.fresh(Kind::Snapshot)).transpose();
        let key = key
            .map_err(|error| SnapshotError::io("draw a key for", &path)(io::Error::other(error)))?;
        let encoder = Encoder::sealing(SyncedFile::new(file), header, key);
        let encoder = encoder.map_err(|error| encode_error(error, &path))?;
        Ok(SnapshotFile { encoder, path, unfinished })
    }

    /// Removes files that were begun and never finished.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn remove_leftovers(&self) -> Result<(), SnapshotError> {
        for (path, name) in list_names(&self.dir)? {
            if name.strip_suffix(".new").is_some_and(|name| parse_name(name).is_some()) {
                tracing::info!(path = %path.display(), "removing an unfinished snapshot");
                fs::remove_file(&path).map_err(SnapshotError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes all snapshots but the newest `keep`, at least one, that can be used: each that
    /// counts is read whole first, so that the last usable one is never removed. One among
    /// them that cannot be used does not count, and stays: it is evidence.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn prune(&self, keep: usize) -> Result<Vec<Lsn>, SnapshotError> {
        self.prune_known(keep, &mut BTreeSet::new())
    }

    /// As [`Self::prune`]; `sound` are snapshots that were read whole before and need not be
    /// read again. Those found sound now are added.
    ///
    /// # Errors
    /// [`SnapshotError::Io`].
    pub fn prune_known(
        &self,
        keep: usize,
        sound: &mut BTreeSet<Lsn>,
    ) -> Result<Vec<Lsn>, SnapshotError> {
        let mut usable = self.list()?;
        usable.retain(|listed| listed.header.is_ok());
        let (mut kept, mut removed) = (0, Vec::new());
        let spare = usable.len() > keep.max(1);
        for listed in usable.into_iter().filter(|_| spare) {
            if kept == keep.max(1) {
                fs::remove_file(&listed.path).map_err(SnapshotError::io("remove", &listed.path))?;
                sound.remove(&listed.lsn);
                removed.push(listed.lsn);
            } else if self.is_sound(&listed, sound) {
                kept += 1;
            }
        }
        if !removed.is_empty() {
            sync_dir(&self.dir).map_err(SnapshotError::io("sync", &self.dir))?;
        }
        Ok(removed)
    }

    fn is_sound(&self, listed: &Listed, sound: &mut BTreeSet<Lsn>) -> bool {
        if sound.contains(&listed.lsn) {
            return true;
        }
        match self.verify(listed.lsn) {
            Ok(_) => sound.insert(listed.lsn),
            Err(error) => {
                let (lsn, error) = (listed.lsn.0, &error as &dyn std::error::Error);
                tracing::error!(
                    lsn,
                    error,
                    "a snapshot cannot be used; it does not count, and stays"
                );
                false
            }
        }
    }
}

/// The LSN that a snapshot's name stands for.
fn parse_name(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".snap")?;
    let whole = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| digits.parse().ok().map(Lsn)).flatten()
}

fn open(path: &Path) -> Result<File, SnapshotError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SnapshotError::Missing(path.to_owned()),
        _ => SnapshotError::io("open", path)(error),
    })
}

fn encode_error(error: EncodeError, path: &Path) -> SnapshotError {
    match error {
        EncodeError::Write(source) => SnapshotError::io("write", path)(source),
        EncodeError::Unsound(source) => SnapshotError::Unsound(Box::new(source)),
    }
}

/// A snapshot being written. Dropped before it is finished, nothing remains of it.
pub struct SnapshotFile {
    encoder: Encoder<SyncedFile>,
    path: PathBuf,
    unfinished: Unfinished,
}

impl SnapshotFile {
    /// The next accounts, in the order of their slots.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn accounts(&mut self, accounts: &[Account]) -> Result<(), SnapshotError> {
        self.encoder.accounts(accounts).map_err(|error| encode_error(error, &self.path))
    }

    /// The next open holds, after all accounts.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn holds(&mut self, holds: &[Hold]) -> Result<(), SnapshotError> {
        self.encoder.holds(holds).map_err(|error| encode_error(error, &self.path))
    }

    /// What is known of the next accounts, after all open holds.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn profiles(&mut self, piece: &ProfilesPiece) -> Result<(), SnapshotError> {
        self.encoder.profiles(piece).map_err(|error| encode_error(error, &self.path))
    }

    /// The next refunded transfers, after all that is known of accounts.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn refunds(&mut self, piece: &RefundsPiece) -> Result<(), SnapshotError> {
        self.encoder.refunds(piece).map_err(|error| encode_error(error, &self.path))
    }

    /// The next schedules or sagas, after all refunded transfers.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn driven(&mut self, piece: &DrivenPiece) -> Result<(), SnapshotError> {
        self.encoder.driven(piece).map_err(|error| encode_error(error, &self.path))
    }

    /// The next ids, after everything else.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn ids(&mut self, piece: &IdsPiece) -> Result<(), SnapshotError> {
        self.encoder.ids(piece).map_err(|error| encode_error(error, &self.path))
    }

    /// Makes the snapshot durable under its name. Its LSN must be durable in the journal:
    /// its anchor was read back from there.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn finish(self) -> Result<Summary, SnapshotError> {
        let Self { encoder, path, unfinished } = self;
        let (_, summary) = encoder.finish().map_err(|error| encode_error(error, &path))?;
        unfinished.name(&path)?;
        Ok(summary)
    }
}
