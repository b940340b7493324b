//! `ducat keys`: makes master keys, shows what lies under which key, rotates.
//!
//! Both work beside a running server. Rotating replaces `KEYS` as a whole and touches nothing else;
//! the server takes it over at SIGHUP.

use crate::exit::{Done, Exit, Failure};
use crate::vault::{self, Wrapper};
use crate::{Global, moment, output};
use clap::{Args, Subcommand};
use ducat_persistence::vault::keys::{KEYS, KeysLock};
use ducat_persistence::vault::usage::Counts;
use ducat_persistence::vault::{KeyService, KeysFile, MasterKey, Usage};
use ducat_persistence::{BackupStore, DataDir, VaultError};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to do with keys.
#[derive(Subcommand, Debug)]
pub enum KeysCommand {
    /// Make a master key, in a new file that only you can read, and print its name.
    Generate(GenerateArgs),
    /// Show the keys of a data directory or a backup: which master key wraps them, how old they are,
    /// what lies under each, what is not encrypted. Wants no key.
    Status(StatusArgs),
    /// Give a data directory a new key for what is written from now on, and wrap all of its keys
    /// under another master key, if one is named.
    Rotate(RotateArgs),
}

/// Where the key goes.
#[derive(Args, Debug)]
#[command(after_help = "\
256 random bits, in base64. Keep copies of it where the ledger is not: without it nothing of an
encrypted ledger can be read, and nobody can help.

Example:
  ducat keys generate /etc/ducat/master.key")]
pub struct GenerateArgs {
    /// The file to make.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Which keys.
#[derive(Args, Debug)]
#[command(after_help = "\
Looks through the journal's files; a server may be working on them. A segment counts as not encrypted
as long as a plain frame can be found in its file, old copies included.

Ends with 65 when something lies under a key that is not there.

Examples:
  ducat keys status --data-dir ./ledger
  ducat keys status --backup /mnt/backup/ledger")]
pub struct StatusArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR", required_unless_present = "backup")]
    data_dir: Option<PathBuf>,
    /// A backup instead.
    #[arg(long, value_name = "DIR", conflicts_with = "data_dir")]
    backup: Option<PathBuf>,
}

/// What to rotate, and to which master key.
#[derive(Args, Debug)]
#[command(after_help = "\
Wants the master key that the directory has now (--master-key-file and so on). With a new master key
named, all ledger keys are wrapped under it, in one step: before it the old master key opens the
directory, after it the new one. What was written stays as it is, under the keys it was written under.

A running server goes on under the keys it has. Put the new master key where the server has its own
from, then send it SIGHUP: it reads both again. Keep the old master key as long as backups are under it:
each is under the new one from its next run on.

Examples:
  ducat keys rotate --data-dir ./ledger --master-key-file old.key --new-master-key-file new.key
  ducat keys rotate --data-dir ./ledger --master-key-file master.key      # a new ledger key alone")]
pub struct RotateArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The file of the new master key.
    #[arg(long, value_name = "FILE")]
    new_master_key_file: Option<PathBuf>,
    /// A command that prints the new master key.
    #[arg(long, value_name = "COMMAND", conflicts_with = "new_master_key_file")]
    new_master_key_command: Option<String>,
    /// A command in front of the key service that wraps from now on.
    #[arg(long, value_name = "COMMAND",
          conflicts_with_all = ["new_master_key_file", "new_master_key_command"])]
    new_key_service: Option<String>,
}

impl RotateArgs {
    fn new_master(&self) -> Result<Option<Wrapper>, VaultError> {
        if let Some(command) = &self.new_key_service {
            return Ok(Some(Arc::new(KeyService::new(command))));
        }
        let key = match (&self.new_master_key_file, &self.new_master_key_command) {
            (Some(path), _) => MasterKey::read(path)?,
            (None, Some(command)) => MasterKey::from_command(command)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(Arc::new(key)))
    }
}

/// Files of a kind, as scripts read them.
#[derive(Serialize)]
struct CountsLine {
    segments: u64,
    snapshots: u64,
    frame_files: u64,
}

impl From<Counts> for CountsLine {
    fn from(counts: Counts) -> Self {
        let Counts { segments, snapshots, frames } = counts;
        Self { segments, snapshots, frame_files: frames }
    }
}

impl CountsLine {
    fn text(&self) -> String {
        let counted = |count: u64, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{} {more}", output::count(count))),
        };
        let parts: Vec<String> = [
            counted(self.segments, "segment", "segments"),
            counted(self.snapshots, "snapshot", "snapshots"),
            counted(self.frame_files, "file of frames", "files of frames"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
    }
}

/// One ledger key, as scripts read it.
#[derive(Serialize)]
struct KeyLine {
    number: u32,
    made: String,
    age_s: u64,
    master_key: String,
    current: bool,
    files: CountsLine,
}

/// All keys, as scripts read them.
#[derive(Serialize)]
struct StatusLine {
    ledger_id: String,
    encrypted: bool,
    keys: Vec<KeyLine>,
    plain: CountsLine,
    /// Keys that something lies under and that are not there.
    missing_keys: Vec<u32>,
}

/// Runs `keys`.
pub fn run(global: &Global, command: &KeysCommand) -> Done {
    match command {
        KeysCommand::Generate(args) => generate(&args.file),
        KeysCommand::Status(args) => status(global, args),
        KeysCommand::Rotate(args) => rotate(global, args),
    }
}

fn failed(error: VaultError) -> Failure {
    vault::failure(&error)
}

fn generate(file: &Path) -> Done {
    let key = MasterKey::random().map_err(failed)?;
    key.write_new(file).map_err(failed)?;
    eprintln!(
        "wrote {}: keep copies of it where the ledger is not; without it nothing of the ledger can \
         be read",
        file.display()
    );
    output::print(key.name())?;
    Ok(Exit::Ok)
}

fn status(global: &Global, args: &StatusArgs) -> Done {
    let (dir, ledger, encrypted, usage) = match (&args.data_dir, &args.backup) {
        (_, Some(dir)) => {
            let ledger = BackupStore::ledger_of(dir);
            let ledger = ledger.map_err(|error| crate::backup::failure(&error, dir, None))?;
            let keys = KeysFile::read(dir).map_err(failed)?;
            (dir, ledger, keys.is_some(), Usage::of_backup(dir).map_err(failed)?)
        }
        (Some(dir), None) => {
            let unreadable = |error: ducat_persistence::DataDirError| {
                crate::offline::open_failure(&error.into(), dir)
            };
            let (ledger, _) = DataDir::peek(dir).map_err(unreadable)?;
            let encrypted = DataDir::is_encrypted(dir).map_err(unreadable)?;
            (dir, ledger, encrypted, Usage::of_data_dir(dir).map_err(failed)?)
        }
        (None, None) => return Err(Failure::usage("name --data-dir or --backup")),
    };
    let keys = KeysFile::read(dir).map_err(failed)?;
    if encrypted && keys.is_none() {
        return Err(failed(VaultError::Missing(dir.join(KEYS))));
    }
    let missing_keys = usage.unknown(keys.as_ref());
    let line = StatusLine {
        ledger_id: ledger.to_string(),
        encrypted,
        keys: keys.iter().flat_map(|keys| key_lines(keys, &usage)).collect(),
        plain: usage.plain.into(),
        missing_keys,
    };
    output::print(&if global.json { output::json(&line)? } else { status_text(&line) })?;
    Ok(if line.missing_keys.is_empty() { Exit::Ok } else { Exit::Damaged })
}

fn key_lines(keys: &KeysFile, usage: &Usage) -> Vec<KeyLine> {
    let (now_s, current) = (moment::now_ns() / 1_000_000_000, keys.entries.len() as u32);
    let line = |entry: &ducat_persistence::vault::KeyEntry| KeyLine {
        number: entry.number,
        made: output::time(entry.made_s.saturating_mul(1_000_000_000)),
        age_s: now_s.saturating_sub(entry.made_s),
        master_key: entry.master.clone(),
        current: entry.number == current,
        files: usage.by_key.get(&entry.number).copied().unwrap_or_default().into(),
    };
    keys.entries.iter().map(line).collect()
}

fn status_text(line: &StatusLine) -> String {
    let encrypted = if line.encrypted { "yes, AES-256-GCM" } else { "no" };
    let mut facts = vec![("ledger", line.ledger_id.clone()), ("encrypted", encrypted.to_owned())];
    for key in &line.keys {
        let KeyLine { number, made, master_key, files, .. } = key;
        let current = if key.current { ", current" } else { "" };
        let text = format!(
            "{number}{current}: made {made}, wrapped by master key {master_key}; {} under it",
            files.text()
        );
        facts.push(("ledger key", text));
    }
    facts.push(("not encrypted", line.plain.text()));
    for number in &line.missing_keys {
        let text = format!("ledger key {number} is not in KEYS, and something lies under it");
        facts.push(("FAULT", text));
    }
    output::facts(facts)
}

/// What rotating came to, as scripts read it.
#[derive(Serialize)]
struct RotatedLine {
    ledger_key: u32,
    wrapped: usize,
    master_key: String,
    server_holds_it: bool,
}

/// A fresh key would take the number of one that is gone, and what lies under that one could never be
/// read again, even with the right `KEYS` back.
fn refuse_unknown(dir: &Path, keys: &KeysFile) -> Result<(), Failure> {
    let usage = Usage::of_data_dir(dir).map_err(failed)?;
    usage.unknown(Some(keys)).first().map_or(Ok(()), |number| {
        Err(failed(VaultError::Lost { path: dir.join(KEYS), number: *number }))
    })
}

fn rotate(global: &Global, args: &RotateArgs) -> Done {
    let dir = &args.data_dir;
    let unreadable =
        |error: ducat_persistence::DataDirError| crate::offline::open_failure(&error.into(), dir);
    let (ledger, _) = DataDir::peek(dir).map_err(unreadable)?;
    if !DataDir::is_encrypted(dir).map_err(unreadable)? {
        return Err(failed(VaultError::Plain(dir.clone())));
    }
    let path = dir.join(KEYS);
    let _lock = KeysLock::take(dir).map_err(failed)?;
    let mut keys = KeysFile::read(dir)
        .map_err(failed)?
        .filter(|keys| keys.ledger == ledger)
        .ok_or_else(|| failed(VaultError::Missing(path.clone())))?;
    let Some(old) = vault::given()? else {
        let wanted = keys.masters().join(", ");
        return Err(failed(VaultError::Locked { path: dir.clone(), wanted }));
    };
    let new = args.new_master().map_err(failed)?.unwrap_or_else(|| Arc::clone(&old));
    refuse_unknown(dir, &keys)?;
    // All of them, so that a key which does not open stops it before anything is written.
    let wrapped = keys.rewrap(&path, &*old, &*new).map_err(failed)?;
    keys.add(moment::now_ns() / 1_000_000_000, &path, &*new).map_err(failed)?;
    keys.write(dir).map_err(failed)?;
    let held = ducat_persistence::Held::try_shared(dir).map_err(unreadable)?.is_none();
    let current = keys.entries.last().expect("one was added");
    let line = RotatedLine {
        ledger_key: current.number,
        wrapped,
        master_key: current.master.clone(),
        server_holds_it: held,
    };
    if held {
        eprintln!(
            "ducat: a server works on {}: give it the new master key and send it SIGHUP, and it \
             writes under ledger key {}",
            dir.display(),
            line.ledger_key
        );
    }
    output::print(&if global.json {
        output::json(&line)?
    } else {
        output::facts(vec![
            ("ledger key", format!("{}, for what is written from now on", line.ledger_key)),
            ("wrapped anew", format!("{} ledger keys", output::count(wrapped as u64))),
            ("master key", line.master_key.clone()),
        ])
    })?;
    Ok(Exit::Ok)
}
