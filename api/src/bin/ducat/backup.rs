//! `ducat backup`: brings a backup of a ledger up to date, shows it, checks it. A server does the
//! first by itself with `serve --backup-to`, and at once when asked; `ducat restore --from-backup`
//! makes a ledger of one.

use crate::causes::{damaged_look_closer, with_causes};
use crate::exit::{Done, Exit, Failure};
use crate::offline::{self, SHARD};
use crate::status::health::{BackupLine as HealthLine, backup_facts};
use crate::{Global, balances, net, output, vault};
use clap::{Args, Subcommand};
use ducat_actors::replay::{Event, Observer, Until, replay_offline};
use ducat_api::proto::CreateBackupRequest;
use ducat_engine::ids::Lsn;
use ducat_engine::ledger::Ledger;
use ducat_persistence::archive::Step;
use ducat_persistence::backup::{BackedUp, BackupFault, Manifest, Source};
use ducat_persistence::{BackupError, BackupJournal, BackupStore, BoxError};
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to do with a backup.
#[derive(Subcommand, Debug)]
pub enum BackupCommand {
    /// Copy what is new in a ledger into its backup, or begin one; or have the server do it.
    Create(CreateArgs),
    /// Show what a backup holds, by its manifest.
    Show(BackupArgs),
    /// Read a backup whole and replay it: every frame, hash, digest, snapshot, figure.
    Verify(BackupArgs),
}

/// Where the backup is.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// The backup's directory.
    #[arg(long, value_name = "DIR")]
    backup: PathBuf,
}

/// Options of `create`.
#[derive(Args, Debug)]
#[command(after_help = "\
Without --data-dir, a server that was started with --backup-to is asked, and answers when all that was
durable when it was asked is in its backup.

With it, copies the events after the last one that the backup holds, and the newest snapshot. A server
may be working on the data directory. The backup's directory is made when it is not there, but not the
one in which it lies: a disk that is not mounted is an error. Broken off at any moment, the backup is
as it was, or reaches further.

Ends with 1 when the backup is of another ledger or has gone apart from this one, 2 when the
directory is something else or lies in the data directory, 65 when something is damaged, 73 when the
backup cannot be written, 75 when another process is writing to it.

Examples:
  ducat backup create
  ducat backup create --data-dir ./ledger --to /mnt/backup/ledger
  ducat backup verify --backup /mnt/backup/ledger
  ducat restore --from-backup /mnt/backup/ledger --into ./restored")]
pub struct CreateArgs {
    /// Back this data directory up instead of asking the server.
    #[arg(long, requires = "to", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The backup's directory, on another disk.
    #[arg(long, requires = "data_dir", value_name = "DIR")]
    to: Option<PathBuf>,
}

/// A run as scripts read it.
#[derive(Serialize)]
struct CreatedLine {
    ledger_id: String,
    last_lsn: u64,
    end_hash: String,
    last_time: String,
    events: u64,
    written_bytes: u64,
    files: u64,
    bytes: u64,
    snapshot_lsn: Option<u64>,
    snapshot_refused: Option<String>,
    begun: bool,
    same_filesystem: bool,
    took_ns: u64,
}

/// A backup as scripts read it.
#[derive(Serialize)]
struct BackupLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<bool>,
    ledger_id: String,
    origins: Vec<String>,
    last_lsn: u64,
    end_hash: String,
    last_time: String,
    backed_up: String,
    sequence: u64,
    files: u64,
    bytes: u64,
    snapshots: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_hash: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_part_of_it: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FaultLine>,
}

#[derive(Serialize)]
struct FaultLine {
    first_lsn: u64,
    last_lsn: u64,
    what: String,
}

/// Runs `backup`.
pub async fn run(global: &Global, command: &BackupCommand) -> Done {
    match command {
        BackupCommand::Create(CreateArgs { data_dir: Some(data_dir), to: Some(to) }) => {
            create(global, data_dir, to)
        }
        BackupCommand::Create(_) => create_online(global).await,
        BackupCommand::Show(args) => show(global, &args.backup),
        BackupCommand::Verify(args) => verify(global, &args.backup),
    }
}

async fn create_online(global: &Global) -> Done {
    let mut client = net::operator_on(net::connect(global).await?);
    let answer = client.create_backup(CreateBackupRequest {}).await;
    let answer = answer.map_err(|status| net::failed(&status))?.into_inner();
    let backup = answer.backup.unwrap_or_default();
    let text = if global.json {
        output::json(&HealthLine::from(&backup))?
    } else {
        output::facts(backup_facts(&backup))
    };
    output::print(&text)?;
    Ok(Exit::Ok)
}

fn create(global: &Global, data_dir: &Path, to: &Path) -> Done {
    let since = Instant::now();
    let journal = offline::open(data_dir)?;
    let snapshots = offline::snapshots(data_dir)?;
    let source = Source {
        data_dir,
        ledger: journal.ledger(),
        shard: SHARD,
        origins: journal.origins(),
        journal: &journal,
        snapshots: Some(&snapshots),
        vault: journal.vault(),
    };
    let mut watch = |_: Step| ControlFlow::Continue(());
    let done = BackupStore::update(to, &source, true, &mut watch);
    let done = done.map_err(|error| failure(&error, to, Some(data_dir)))?;
    if done.same_filesystem {
        let to = to.display();
        eprintln!("ducat: {to} lies on the ledger's own filesystem: they would be lost together");
    }
    if let Some(why) = &done.snapshot_refused {
        eprintln!("ducat: the newest snapshot was not copied, the journal was: {why}");
    }
    let took_ns = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let line = created_line(&done, journal.ledger().to_string(), took_ns);
    output::print(&created_text(&line, global.json)?)?;
    Ok(Exit::Ok)
}

fn created_line(done: &BackedUp, ledger_id: String, took_ns: u64) -> CreatedLine {
    CreatedLine {
        ledger_id,
        last_lsn: done.end.lsn.0,
        end_hash: done.end.hash.to_string(),
        last_time: output::time(done.last_time_ns),
        events: done.events,
        written_bytes: done.written_bytes,
        files: done.files,
        bytes: done.bytes,
        snapshot_lsn: done.snapshot.map(|lsn| lsn.0),
        snapshot_refused: done.snapshot_refused.clone(),
        begun: done.begun,
        same_filesystem: done.same_filesystem,
        took_ns,
    }
}

fn created_text(line: &CreatedLine, json: bool) -> Result<String, Failure> {
    if json {
        return output::json(line);
    }
    let snapshot = line.snapshot_lsn.map_or("none".to_owned(), |lsn| format!("LSN {lsn}"));
    Ok(output::facts(vec![
        ("backup", if line.begun { "begun" } else { "brought up to date" }.to_owned()),
        ("ledger", line.ledger_id.clone()),
        ("new", format!("{} events", output::count(line.events))),
        ("last event", format!("LSN {}, {}", line.last_lsn, line.last_time)),
        ("chain hash", line.end_hash.clone()),
        ("snapshot", snapshot),
        ("written", output::bytes(line.written_bytes)),
        ("in all", format!("{} files, {}", output::count(line.files), output::bytes(line.bytes))),
    ]))
}

fn show(global: &Global, dir: &Path) -> Done {
    let store = open(dir)?;
    output::print(&text(&line(store.manifest()), global.json)?)?;
    Ok(Exit::Ok)
}

fn line(manifest: &Manifest) -> BackupLine {
    BackupLine {
        sound: None,
        ledger_id: manifest.ledger.to_string(),
        origins: crate::restore::descent(&manifest.origins),
        last_lsn: manifest.end().lsn.0,
        end_hash: manifest.end().hash.to_string(),
        last_time: output::time(manifest.last_time_ns()),
        backed_up: output::time(manifest.time_ns),
        sequence: manifest.sequence,
        files: manifest.files.len() as u64,
        bytes: manifest.bytes(),
        snapshots: manifest.snapshots.iter().map(|snapshot| snapshot.lsn.0).collect(),
        state_hash: None,
        not_part_of_it: Vec::new(),
        faults: Vec::new(),
    }
}

fn text(line: &BackupLine, json: bool) -> Result<String, Failure> {
    if json {
        return output::json(line);
    }
    let mut facts = Vec::new();
    if let Some(sound) = line.sound {
        facts.push(("backup", if sound { "sound" } else { "DAMAGED" }.to_owned()));
    }
    facts.push(("ledger", line.ledger_id.clone()));
    facts.extend(line.origins.iter().map(|origin| ("made from", origin.clone())));
    let snapshots: Vec<String> = line.snapshots.iter().map(u64::to_string).collect();
    let snapshots = if snapshots.is_empty() { "none".to_owned() } else { snapshots.join(", ") };
    facts.extend([
        ("last event", format!("LSN {}, {}", line.last_lsn, line.last_time)),
        ("chain hash", line.end_hash.clone()),
        ("written", line.backed_up.clone()),
        ("files", format!("{}, {}", output::count(line.files), output::bytes(line.bytes))),
        ("snapshots", snapshots),
    ]);
    facts.extend(line.state_hash.iter().map(|hash| ("state hash", hash.clone())));
    facts.extend(line.not_part_of_it.iter().map(|path| ("not part of it", path.clone())));
    facts.extend(line.faults.iter().map(|fault| {
        ("FAULT", format!("LSN {} to {}: {}", fault.first_lsn, fault.last_lsn, fault.what))
    }));
    Ok(output::facts(facts))
}

fn verify(global: &Global, dir: &Path) -> Done {
    let store = open(dir)?;
    let mut faults: Vec<FaultLine> = store.verify().iter().map(fault_line).collect();
    let strays = store.strays().map_err(|error| failure(&error, dir, None))?;
    let mut line = line(store.manifest());
    line.not_part_of_it = strays.iter().map(|path| path.display().to_string()).collect();
    if faults.is_empty() {
        let (hash, found) = replay(store)?;
        line.state_hash = Some(balances::hex(&hash));
        faults = found;
    }
    line.sound = Some(faults.is_empty());
    line.faults = faults;
    output::print(&text(&line, global.json)?)?;
    if line.faults.is_empty() {
        return Ok(Exit::Ok);
    }
    let (dir, faults) = (dir.display(), line.faults.len());
    let text = format!(
        "the backup is damaged: {faults} faults\nBegin a new one in another directory while the \
         ledger is well: `ducat backup create`. Keep {dir}"
    );
    Err(Failure::new(Exit::Damaged, text))
}

/// Holds the snapshots against the state that the events come to.
struct Snapshots {
    /// Those to come, the oldest last.
    ahead: Vec<(Lsn, [u8; 32], PathBuf)>,
    faults: Vec<FaultLine>,
}

impl Observer for Snapshots {
    fn event(&mut self, ledger: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        if self.ahead.last().is_some_and(|(lsn, ..)| *lsn == event.lsn)
            && let Some((lsn, hash, path)) = self.ahead.pop()
            && ledger.summary().0 != hash
        {
            let what =
                format!("{}: its state is not the one that the events come to", path.display());
            self.faults.push(FaultLine { first_lsn: lsn.0, last_lsn: lsn.0, what });
        }
        Ok(())
    }
}

/// The hash of the state that a backup comes to, and what is wrong on the way.
fn replay(store: BackupStore) -> Result<([u8; 32], Vec<FaultLine>), Failure> {
    let (snapshots, mut ahead) = (store.snapshots(), Vec::new());
    for entry in store.manifest().snapshots.iter().rev() {
        let path = snapshots.path_of(entry.lsn);
        let summary = snapshots.verify(entry.lsn);
        let summary = summary.map_err(|e| Failure::new(Exit::Damaged, with_causes(&e)))?;
        ahead.push((entry.lsn, summary.end.state_hash, path));
    }
    let dir = store.dir().to_owned();
    let (journal, mut ledger) = (BackupJournal::new(store), offline::empty()?);
    let mut observer = Snapshots { ahead, faults: Vec::new() };
    let (timer, bar) = (offline::Timer::start(), offline::progress());
    let until = Until::default();
    let replayed = replay_offline(&journal, SHARD, &mut ledger, until, &mut observer, bar);
    let tail = replayed.map_err(|error| offline::replay_failure(&error, &dir))?;
    timer.tell(&tail);
    Ok((ledger.summary().0, observer.faults))
}

/// Opens a backup for reading.
pub fn open(dir: &Path) -> Result<BackupStore, Failure> {
    let keys = vault::of_backup(dir)?;
    BackupStore::open_with(dir, keys.as_deref()).map_err(|error| failure(&error, dir, None))
}

/// Reads a backup whole; the first thing that is wrong ends the command.
pub fn check(store: &BackupStore) -> Result<(), Failure> {
    match store.verify().first() {
        None => Ok(()),
        Some(fault) => Err(failure(&fault.error, store.dir(), None)),
    }
}

/// How a backup that cannot be written or read ends the command.
pub fn failure(error: &BackupError, dir: &Path, data_dir: Option<&Path>) -> Failure {
    let exit = match error {
        BackupError::Journal(why) if why.is_damage() => match data_dir {
            Some(data_dir) => return damaged_look_closer(error, data_dir),
            None => Exit::Damaged,
        },
        error if error.is_damage() => {
            let text = format!(
                "{}\n`ducat backup verify --backup {}` says what else is wrong. Begin a new backup \
                 in another directory while the ledger is well",
                with_causes(error),
                dir.display()
            );
            return Failure::new(Exit::Damaged, text);
        }
        BackupError::Keys(error) => return vault::failure(error),
        BackupError::InUse(_) => Exit::Held,
        BackupError::OtherLedger { .. }
        | BackupError::Later { .. }
        | BackupError::OtherHistory { .. } => Exit::Refused,
        BackupError::NotFound(_) | BackupError::Foreign { .. } | BackupError::Inside { .. } => {
            Exit::Usage
        }
        _ => Exit::CannotCreate,
    };
    Failure::new(exit, with_causes(error))
}

fn fault_line(fault: &BackupFault) -> FaultLine {
    FaultLine { first_lsn: fault.first.0, last_lsn: fault.last.0, what: with_causes(&fault.error) }
}
