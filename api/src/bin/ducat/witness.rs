//! Checkpoints for the commands: what `serve` signs with and refuses to serve against, and what
//! `verify` holds a journal against.

use crate::causes::{damaged_look_closer, with_causes};
use crate::checks::FaultLine;
use crate::exit::{Exit, Failure};
use crate::offline::SHARD;
use clap::Args;
use ducat_actors::proof::offline::Statements;
use ducat_actors::proof::{CheckpointOptions, Contradiction, check_standing};
use ducat_api::compose;
use ducat_engine::ids::Lsn;
use ducat_engine::proof::Whose;
use ducat_persistence::witness::key::lies_in;
use ducat_persistence::witness::{
    CheckKey, CheckpointStore, KeyError, SignKey, SignedCheckpoint, TreeFile, WitnessError,
};
use ducat_persistence::{DataDir, Frame, LedgerId, RawJournal};
use serde::Serialize;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Faults of checkpoints are listed so far.
const FAULTS_MAX: usize = 20;

/// What `serve` signs with.
#[derive(Args, Debug)]
pub struct SignArgs {
    /// Sign checkpoints of the journal and put them here: a directory outside the data
    /// directory, best on another machine's disk. A data directory that is older than the
    /// newest checkpoint, or holds another history, is not served.
    #[arg(long, env = "DUCAT_CHECKPOINTS", value_name = "DIR", requires = "checkpoint_key")]
    checkpoints: Option<PathBuf>,
    /// How often to sign, when anything has happened since: 100ms to 24h.
    #[arg(long, env = "DUCAT_CHECKPOINT_EVERY", default_value = "1m", value_parser = interval,
          value_name = "TIME")]
    checkpoint_every: Duration,
    /// The private key to sign with, as `ducat key generate` writes it.
    #[arg(long, env = "DUCAT_CHECKPOINT_KEY", value_name = "FILE")]
    checkpoint_key: Option<PathBuf>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok());
    let range = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
    parsed
        .filter(|every| range.contains(every))
        .ok_or_else(|| "write a time from 100ms to 24h, such as 30s or 1m".to_owned())
}

/// What is known before the ledger is opened.
pub struct Signing {
    store: CheckpointStore,
    key: SignKey,
    every: Duration,
    data_dir: PathBuf,
}

impl SignArgs {
    /// Where the private key lies.
    pub fn key_file(&self) -> Option<&Path> {
        self.checkpoint_key.as_deref()
    }

    /// Whether a directory is named and no key: a file's settings can say so, flags cannot.
    pub const fn lacks_key(&self) -> bool {
        self.checkpoints.is_some() && self.checkpoint_key.is_none()
    }

    /// Reads the key and holds the directory against the newest checkpoint, before anything is
    /// written to it.
    pub fn prepare(&self, data_dir: &Path, durable: bool) -> Result<Option<Signing>, Failure> {
        let (Some(dir), Some(key_file)) = (&self.checkpoints, &self.checkpoint_key) else {
            return Ok(None);
        };
        if !durable {
            return Err(Failure::usage("--checkpoints signs a journal on disk, and there is none"));
        }
        if lies_in(dir, data_dir) || lies_in(data_dir, dir) {
            return Err(Failure::usage(format!(
                "the checkpoints in {} must not lie in the data directory, nor it in them: whoever \
                 replaces it would replace them as well",
                dir.display()
            )));
        }
        if lies_in(key_file, data_dir) || lies_in(key_file, dir) {
            return Err(Failure::usage(format!(
                "the key {} must lie neither in the data directory nor with the checkpoints: \
                 whoever can change them could sign what he changed",
                key_file.display()
            )));
        }
        let key = SignKey::read(key_file).map_err(|error| key_failure(&error))?;
        if !dir.exists() {
            // Not its parents: a mount that is not there must not be made up.
            fs::create_dir(dir).map_err(|error| {
                let text = format!("could not create {}: {error}", dir.display());
                Failure::new(Exit::CannotCreate, text)
            })?;
        }
        let store = CheckpointStore::new(dir);
        check_before(&store, &key.public(), data_dir)?;
        let (every, data_dir) = (self.checkpoint_every, data_dir.to_owned());
        Ok(Some(Signing { store, key, every, data_dir }))
    }
}

impl Signing {
    /// For the engine of this ledger.
    pub fn options(self, ledger: LedgerId) -> CheckpointOptions {
        let tree_file = Some(DataDir::tree_path_in(&self.data_dir, SHARD));
        let Self { store, key, every, .. } = self;
        CheckpointOptions { store, key, every, ledger, tree_file }
    }
}

/// Reads the files alone, so that a start that is refused changes nothing.
fn check_before(store: &CheckpointStore, key: &CheckKey, data_dir: &Path) -> Result<(), Failure> {
    let failed = |error: Contradiction| contradiction(&error, data_dir, store.dir());
    if !data_dir.join("FORMAT").exists() {
        let numbers = store.numbers().map_err(|error| failed(error.into()))?;
        if numbers.is_empty() {
            return Ok(());
        }
        let text = format!(
            "there is no ledger in {}, but {} checkpoints in {}: the data directory is another one, \
             or its files are gone\nBring the ledger back that was signed, or name a new directory \
             for the checkpoints of a new ledger",
            data_dir.display(),
            numbers.len(),
            store.dir().display()
        );
        return Err(Failure::new(Exit::Damaged, text));
    }
    let keys = crate::vault::of(data_dir)?;
    let journal = compose::open_to_read_with(data_dir, keys.as_deref())
        .map_err(|error| crate::offline::open_failure(&error, data_dir))?;
    if journal.is_live() {
        // A server is there, which is told in a moment.
        return Ok(());
    }
    let written = newest_written(data_dir, journal.ledger())?;
    check_standing(&journal, SHARD, journal.ledger(), store, key, written).map_err(failed)?;
    Ok(())
}

fn newest_written(data_dir: &Path, ledger: LedgerId) -> Result<u64, Failure> {
    let path = DataDir::tree_path_in(data_dir, SHARD);
    TreeFile::newest_written(&path, ledger).map_err(|error| {
        Failure::new(Exit::CannotCreate, format!("could not read {}: {error}", path.display()))
    })
}

/// What a contradiction means, and what to do.
pub fn contradiction(error: &Contradiction, data_dir: &Path, dir: &Path) -> Failure {
    let (data, dir) = (data_dir.display(), dir.display());
    let advice = match error {
        Contradiction::Journal(journal) if journal.is_damage() => {
            return damaged_look_closer(journal, data_dir);
        }
        Contradiction::OlderCopy { .. } => format!(
            "Nothing was changed. Events that were acknowledged are not in {data}: find the newest \
             copy of it. To go on without them, make a new ledger (`ducat restore --data-dir {data} \
             --to-lsn LSN --into NEW`), which says so, with a new directory of checkpoints"
        ),
        Contradiction::Rewritten { .. } | Contradiction::Trimmed { .. } => format!(
            "Nothing was changed. Keep {data} and {dir} as they are; `ducat verify --data-dir {data} \
             --checkpoints {dir} --public-key FILE` names the first checkpoint that does not fit: \
             what comes before it is as it was signed"
        ),
        Contradiction::Witness(WitnessError::OtherLedger { .. }) => {
            "Nothing was changed. Name the directory of this ledger's checkpoints, or a new one"
                .to_owned()
        }
        Contradiction::Witness(WitnessError::Fewer { .. }) => format!(
            "Nothing was changed. Mount it or put them back; to begin a new series on purpose, \
             remove {data}/shard-0/tree"
        ),
        Contradiction::Witness(error) if error.is_damage() => format!(
            "Nothing was changed. Restore the file from a copy, or sign with the key that the \
             others are signed with; another key needs a new directory than {dir}"
        ),
        _ => String::new(),
    };
    let exit = if error.is_damage() { Exit::Damaged } else { Exit::CannotCreate };
    let line = if advice.is_empty() { "" } else { "\n" };
    Failure::new(exit, format!("{}{line}{advice}", with_causes(error)))
}

/// How a key that cannot be used ends the command.
pub fn key_failure(error: &KeyError) -> Failure {
    let exit = match error {
        KeyError::Io { .. } => Exit::CannotCreate,
        KeyError::Open { .. } | KeyError::Malformed { .. } => Exit::Usage,
    };
    Failure::new(exit, with_causes(error))
}

/// What a journal is held against.
#[derive(Args, Debug)]
pub struct WitnessArgs {
    /// Hold the journal against the signed checkpoints in this directory.
    #[arg(long, value_name = "DIR", requires = "public_key")]
    pub checkpoints: Option<PathBuf>,
    /// The public key of whoever signs them, as `ducat key public` prints it.
    #[arg(long, value_name = "FILE", requires = "checkpoints")]
    pub public_key: Option<PathBuf>,
}

/// The checkpoints as a report has them.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct WitnessLine {
    /// Those that are sound by themselves.
    pub checkpoints: u64,
    /// The number of the newest of them.
    pub number: u64,
    /// The last event it covers.
    pub lsn: u64,
}

/// Holds a journal against its checkpoints while it is read.
pub struct Witness {
    line: WitnessLine,
    statements: Statements,
    frames: Frames,
    faults: Vec<FaultLine>,
    more: usize,
}

/// Holds the hashes of a journal's frames against those that were signed.
#[derive(Default)]
pub struct Frames {
    /// Not come to yet.
    ahead: VecDeque<SignedCheckpoint>,
    /// With another hash in the journal.
    differ: Vec<SignedCheckpoint>,
}

impl Frames {
    /// Looks at the next frame.
    pub fn take(&mut self, frame: &Frame) {
        let reached = |next: &mut SignedCheckpoint| next.checkpoint.lsn <= frame.last_lsn();
        while let Some(next) = self.ahead.pop_front_if(reached) {
            let ends_here = next.checkpoint.lsn == frame.last_lsn();
            if !ends_here || next.checkpoint.journal != frame.hash() {
                self.differ.push(next);
            }
        }
    }
}

impl WitnessArgs {
    /// Reads all checkpoints. Must come before the journal is opened: a server may sign
    /// meanwhile.
    pub fn read(&self, data_dir: &Path) -> Result<Option<Witness>, Failure> {
        let (Some(dir), Some(key)) = (&self.checkpoints, &self.public_key) else {
            return Ok(None);
        };
        let key = CheckKey::read(key).map_err(|error| key_failure(&error))?;
        let store = CheckpointStore::new(dir);
        let (ledger, _) = DataDir::peek(data_dir)
            .map_err(|error| crate::offline::open_failure(&error.into(), data_dir))?;
        let written = newest_written(data_dir, ledger)?;
        let failed = |error: WitnessError| Failure::new(Exit::CannotCreate, with_causes(&error));
        let series = store.check_all(&key, ledger).map_err(failed)?;
        let newest = series.sound.last().map(|signed| &signed.checkpoint);
        let (number, lsn) = newest.map_or((0, 0), |newest| (newest.number, newest.lsn.0));
        let checkpoints = series.sound.len() as u64;
        let whose = Whose { ledger: ledger.to_bytes(), shard: SHARD };
        let mut witness = Witness {
            line: WitnessLine { checkpoints, number, lsn },
            statements: Statements::new(whose, series.sound.clone()),
            frames: Frames { ahead: series.sound.into(), differ: Vec::new() },
            faults: Vec::new(),
            more: 0,
        };
        for fault in &series.faults {
            witness.fault("checkpoint", Lsn::ZERO, with_causes(fault));
        }
        let found = store.numbers().map_err(failed)?.pop().unwrap_or(0);
        if found < written {
            let fault = WitnessError::Fewer { dir: dir.clone(), written, found };
            witness.fault("checkpoint", Lsn::ZERO, with_causes(&fault));
        }
        if found == 0 && written == 0 {
            let what = format!("there are no checkpoints in {}", dir.display());
            witness.fault("checkpoint", Lsn::ZERO, what);
        }
        Ok(Some(witness))
    }
}

impl Witness {
    fn fault(&mut self, kind: &'static str, lsn: Lsn, what: String) {
        if self.faults.len() == FAULTS_MAX {
            self.more += 1;
            return;
        }
        let (lsn, file, offset) = (lsn.0, None, None);
        self.faults.push(FaultLine { kind, lsn, last_lsn: lsn, file, offset, what });
    }

    /// What looks at the events, and what at the frames.
    pub const fn parts(&mut self) -> (&mut Statements, &mut Frames) {
        (&mut self.statements, &mut self.frames)
    }

    /// What was found. `sound`: nothing else is wrong with the journal.
    pub fn finish(mut self, journal: &RawJournal, sound: bool) -> (WitnessLine, Vec<FaultLine>) {
        let ends = journal.mark().durable.lsn;
        let Frames { ahead, differ } = std::mem::take(&mut self.frames);
        let mut differ = [differ, self.statements.differ().to_vec()].concat();
        differ.sort_by_key(|signed| signed.checkpoint.number);
        differ.dedup_by_key(|signed| signed.checkpoint.number);
        for checkpoint in differ.into_iter().map(|signed| signed.checkpoint) {
            let what = format!(
                "the journal up to here is not what checkpoint {} signed: its history was rewritten, \
                 or it is another copy that went on by itself",
                checkpoint.number
            );
            self.fault("rewritten", checkpoint.lsn, what);
        }
        for checkpoint in ahead.into_iter().map(|signed| signed.checkpoint) {
            let (lsn, number) = (checkpoint.lsn, checkpoint.number);
            if lsn > ends {
                let what = format!(
                    "checkpoint {number} signed so far, and the journal ends at LSN {ends}: this is \
                     an older copy of the data directory, or it has lost its end"
                );
                self.fault("older-copy", lsn, what);
            } else if sound {
                let what = format!("the journal was not read as far as checkpoint {number} signed");
                self.fault("checkpoint", lsn, what);
            }
        }
        if self.more > 0 {
            let what = format!("{} more faults of checkpoints", self.more);
            let (lsn, file, offset) = (0, None, None);
            self.faults.push(FaultLine {
                kind: "checkpoint",
                lsn,
                last_lsn: lsn,
                file,
                offset,
                what,
            });
        }
        (self.line, self.faults)
    }
}
