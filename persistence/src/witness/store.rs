//! The directory of checkpoints: one file each, numbered from 1 without a gap, each naming the
//! one before it, never changed once it is there.
//!
//! A file is written under another name, synced, renamed, and the directory synced: under its
//! own name it is whole. What an interruption leaves is written over by the next.

use super::checkpoint::{CHECKPOINT_BYTES_MAX, SignedCheckpoint};
use super::key::CheckKey;
use super::{WitnessError, checkpoint::CheckpointError};
use crate::files::write_whole;
use crate::ledger_id::LedgerId;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const EXTENSION: &str = ".checkpoint";

/// The checkpoints of one ledger. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointStore {
    dir: PathBuf,
}

/// A series of checkpoints that was looked through.
#[derive(Debug, Default)]
pub struct Series {
    /// Those that can be relied on, in order.
    pub sound: Vec<SignedCheckpoint>,
    /// What is wrong.
    pub faults: Vec<WitnessError>,
}

impl CheckpointStore {
    /// The checkpoints in this directory. Creates nothing.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of a checkpoint.
    #[must_use]
    pub fn path_of(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:012}{EXTENSION}"))
    }

    /// The numbers there are, in order.
    ///
    /// # Errors
    /// [`WitnessError::Io`] when the directory cannot be listed.
    pub fn numbers(&self) -> Result<Vec<u64>, WitnessError> {
        let listed = || WitnessError::io("list", &self.dir);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(listed())? {
            let name = entry.map_err(listed())?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
            if let Some(number) = number.and_then(|digits| digits.parse().ok())
                && self.path_of(number).file_name() == Some(&name)
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Reads a checkpoint that this key must have signed for this ledger.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn read(
        &self,
        number: u64,
        key: &CheckKey,
        ledger: LedgerId,
    ) -> Result<SignedCheckpoint, WitnessError> {
        let path = self.path_of(number);
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(WitnessError::io("open", &path))?;
        let most = CHECKPOINT_BYTES_MAX as u64 + 1;
        file.take(most).read_to_end(&mut bytes).map_err(WitnessError::io("read", &path))?;
        let failed =
            |source: CheckpointError| WitnessError::Checkpoint { path: path.clone(), source };
        let signed = SignedCheckpoint::parse(&bytes).map_err(failed)?;
        let found = signed.checkpoint.ledger;
        // Whose it is comes first: a fork's own key says nothing about its parent's.
        if found != ledger {
            return Err(WitnessError::OtherLedger { path, found, expected: ledger });
        }
        signed.check(key).map_err(failed)?;
        match signed.checkpoint.number {
            same if same == number => Ok(signed),
            other => Err(WitnessError::Misnamed { path, number: other }),
        }
    }

    /// The newest checkpoint; `None` when there is none.
    ///
    /// # Errors
    /// [`WitnessError`]; the newest must be sound.
    pub fn newest(
        &self,
        key: &CheckKey,
        ledger: LedgerId,
    ) -> Result<Option<SignedCheckpoint>, WitnessError> {
        let newest = self.numbers()?.pop();
        newest.map(|number| self.read(number, key, ledger)).transpose()
    }

    /// Looks through all of them.
    ///
    /// # Errors
    /// [`WitnessError::Io`] when the directory cannot be listed.
    pub fn check_all(&self, key: &CheckKey, ledger: LedgerId) -> Result<Series, WitnessError> {
        let mut series = Series::default();
        let mut before: Option<SignedCheckpoint> = None;
        let mut next = 1;
        for number in self.numbers()? {
            if number == 0 {
                let path = self.path_of(0);
                series.faults.push(WitnessError::Misnamed { path, number: 0 });
                continue;
            }
            if number > next {
                let dir = self.dir.clone();
                series.faults.push(WitnessError::Missing { dir, first: next, last: number - 1 });
                before = None;
            }
            let signed = match self.read(number, key, ledger) {
                Ok(signed) => signed,
                Err(fault) => {
                    series.faults.push(fault);
                    before = None;
                    next = number + 1;
                    continue;
                }
            };
            if let Some(fault) = self.check_step(before.as_ref(), &signed, number) {
                series.faults.push(fault);
            }
            next = number + 1;
            before = Some(signed.clone());
            series.sound.push(signed);
        }
        Ok(series)
    }

    fn check_step(
        &self,
        before: Option<&SignedCheckpoint>,
        signed: &SignedCheckpoint,
        number: u64,
    ) -> Option<WitnessError> {
        let path = self.path_of(number);
        let checkpoint = &signed.checkpoint;
        let Some(before) = before else {
            let first = number == 1 && checkpoint.previous.is_some();
            return first.then_some(WitnessError::Chain { path });
        };
        if checkpoint.previous != Some(before.hash()) {
            return Some(WitnessError::Chain { path });
        }
        (checkpoint.lsn <= before.checkpoint.lsn).then_some(WitnessError::Shrinks { path })
    }

    /// Writes a checkpoint, durably, under its number, which must be free.
    ///
    /// # Errors
    /// [`WitnessError::Io`]; then it is not there under its name.
    pub fn write(&self, signed: &SignedCheckpoint) -> Result<(), WitnessError> {
        let path = self.path_of(signed.checkpoint.number);
        if path.exists() {
            let taken = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(WitnessError::io("create", &path)(taken));
        }
        let temporary = self.dir.join(format!("next{EXTENSION}.new"));
        Ok(write_whole(&temporary, &path, signed.to_text().as_bytes())?)
    }
}
