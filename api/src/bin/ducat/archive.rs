//! `ducat archive`: moves the journal's oldest part into compressed files, lists and checks them,
//! and writes a lost manifest anew. A running server does the first by itself.

use crate::causes::{damaged_look_closer, with_causes};
use crate::exit::{Done, Exit, Failure};
use crate::offline::{self, SHARD, open_failure};
use crate::{Global, output};
use clap::{Args, Subcommand};
use ducat_api::compose::OpenError;
use ducat_persistence::DataDir;
use ducat_persistence::archive::store::{ArchiveFault, Stray};
use ducat_persistence::archive::{
    ArchiveStore, Entry, Step, TrimError, TrimOptions, Trimmed, Trimmer,
};
use ducat_persistence::mark::Mark;
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What to do with the archive.
#[derive(Subcommand, Debug)]
pub enum ArchiveCommand {
    /// Archive what snapshots make unneeded for a start, and give its space back; for a directory
    /// that no server holds.
    Run(RunArgs),
    /// List the files, the oldest first.
    List(DirArgs),
    /// Read every file whole: checksums, hashes, digests, that each continues the one before and
    /// the journal the last.
    Verify(DirArgs),
    /// Write the manifest anew from the files, for an archive whose manifest is lost or damaged.
    Rebuild(DirArgs),
}

/// Where the archive is.
#[derive(Args, Debug)]
pub struct DirArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Options of `run`.
#[derive(Args, Debug)]
#[command(after_help = "\
Whole segments of the journal are archived, read back, and only then dropped. Interrupted at any
moment, nothing is lost, and the next run goes on.

Examples:
  ducat snapshot create --data-dir ./ledger
  ducat archive run --data-dir ./ledger --keep-mib 0 --snapshots 1")]
pub struct RunArgs {
    #[command(flatten)]
    dir: DirArgs,
    /// At least so much stays in the journal.
    #[arg(long, default_value_t = 1024, value_name = "MIB",
          value_parser = clap::value_parser!(u64).range(0..=1_073_741_824))]
    keep_mib: u64,
    /// How many snapshots must reach the part that stays, each read whole: with 2, a start finds
    /// one even when the newest is bad.
    #[arg(long, default_value_t = 2, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    snapshots: u32,
}

/// A file as scripts read it.
#[derive(Serialize)]
struct FileLine {
    file: String,
    first_lsn: u64,
    last_lsn: u64,
    frames: u64,
    frame_bytes: u64,
    bytes: u64,
    first_time_ns: u64,
    last_time_ns: u64,
    end_hash: String,
    digest: String,
}

/// A run as scripts read it.
#[derive(Serialize)]
struct RunLine {
    archived: Vec<FileLine>,
    segments: u64,
    bytes: u64,
    upto_lsn: u64,
    held_back_bytes: u64,
}

/// A check as scripts read it.
#[derive(Serialize)]
struct VerifyLine {
    sound: bool,
    files: u64,
    first_lsn: Option<u64>,
    last_lsn: u64,
    frames: u64,
    bytes: u64,
    unfinished: Vec<String>,
    faults: Vec<FaultLine>,
}

#[derive(Serialize)]
struct FaultLine {
    first_lsn: u64,
    last_lsn: u64,
    what: String,
}

/// Runs `archive`.
pub fn run(global: &Global, command: &ArchiveCommand) -> Done {
    match command {
        ArchiveCommand::Run(args) => archive(global, args),
        ArchiveCommand::List(args) => list(global, &args.data_dir),
        ArchiveCommand::Verify(args) => verify(global, &args.data_dir),
        ArchiveCommand::Rebuild(args) => rebuild(global, &args.data_dir),
    }
}

fn archive(global: &Global, args: &RunArgs) -> Done {
    let data_dir = &args.dir.data_dir;
    let opened = offline::open_existing(data_dir)?.map_err(|e| open_failure(&e, data_dir))?;
    let internal = || Failure::new(Exit::Internal, "the directory has no snapshots or archive");
    let snapshots = opened.snapshots.ok_or_else(internal)?;
    let store = opened.archive.ok_or_else(internal)?;
    let store = store.map_err(|why| unusable(&why, data_dir))?;
    let trim = TrimOptions {
        snapshots_kept: args.snapshots as usize,
        journal_bytes_min: args.keep_mib << 20,
    };
    let mut tell = |step| {
        if let Step::Dropped(lsn) = step {
            eprintln!("archived and dropped up to LSN {lsn}");
        }
        ControlFlow::Continue(())
    };
    let journal = &*opened.journal;
    let done = Trimmer::default().run(journal, SHARD, &snapshots, &store, trim, &mut tell);
    let done = done.map_err(|error| run_failure(&error, data_dir))?;
    output::print(&run_text(&store, &done, args, global.json)?)?;
    Ok(Exit::Ok)
}

fn run_text(
    store: &ArchiveStore,
    done: &Trimmed,
    args: &RunArgs,
    json: bool,
) -> Result<String, Failure> {
    if json {
        return output::json(&RunLine {
            archived: done.archived.iter().map(|entry| file_line(store, entry)).collect(),
            segments: done.pieces,
            bytes: done.bytes,
            upto_lsn: done.upto.0,
            held_back_bytes: done.held_back_bytes,
        });
    }
    if done.pieces > 0 {
        let (files, segments) = (done.archived.len(), done.pieces);
        let bytes = output::bytes(done.bytes);
        return Ok(format!("{files} files archived, {segments} segments dropped, {bytes} freed"));
    }
    Ok(if done.held_back_bytes > 0 {
        let bytes = output::bytes(done.held_back_bytes);
        format!("nothing to archive: {bytes} stay by --keep-mib {}", args.keep_mib)
    } else {
        let count = args.snapshots;
        format!("nothing to archive: no closed segment lies before {count} sound snapshots")
    })
}

fn list(global: &Global, data_dir: &Path) -> Done {
    let store = open(data_dir)?;
    let entries = store.list();
    if entries.is_empty() {
        eprintln!("ducat: nothing is archived");
    }
    for entry in &entries {
        let line = file_line(&store, entry);
        output::print(&if global.json { output::json(&line)? } else { file_text(&line) })?;
    }
    Ok(Exit::Ok)
}

fn file_text(line: &FileLine) -> String {
    let times = (output::time(line.first_time_ns), output::time(line.last_time_ns));
    format!(
        "LSN {} to {}, {} to {}, {} ({} of frames): {}",
        line.first_lsn,
        line.last_lsn,
        times.0,
        times.1,
        output::bytes(line.bytes),
        output::bytes(line.frame_bytes),
        line.file
    )
}

fn verify(global: &Global, data_dir: &Path) -> Done {
    let store = open(data_dir)?;
    let base = mark(data_dir)?.base;
    // A server may have archived more since the manifest was read.
    if store.too_short(base).is_some() {
        store.refresh().map_err(|error| unusable(&with_causes(&error), data_dir))?;
    }
    let mut faults = store.verify(&mut |_, _| true);
    faults.extend(store.too_short(base));
    let unfinished = store.strays().map_err(|e| unusable(&with_causes(&e), data_dir))?;
    let entries = store.list();
    let line = VerifyLine {
        sound: faults.is_empty(),
        files: entries.len() as u64,
        first_lsn: entries.first().map(|entry| entry.extent.first_lsn().0),
        last_lsn: store.end().lsn.0,
        frames: entries.iter().map(|entry| entry.extent.frames).sum(),
        bytes: entries.iter().map(|entry| entry.bytes).sum(),
        unfinished: unfinished.iter().filter_map(unfinished_path).collect(),
        faults: faults.iter().map(fault_line).collect(),
    };
    output::print(&verify_text(&line, global.json)?)?;
    if line.sound {
        return Ok(Exit::Ok);
    }
    let dir = data_dir.display();
    let text = format!(
        "the archive is damaged: {} faults\nPut the files named back from a backup or a copy; \
         `ducat doctor --data-dir {dir}` says what still works without them",
        line.faults.len()
    );
    Err(Failure::new(Exit::Damaged, text))
}

fn unfinished_path(stray: &Stray) -> Option<String> {
    match stray {
        Stray::Unfinished(path) => Some(path.display().to_string()),
        Stray::Unknown(_) => None,
    }
}

fn verify_text(line: &VerifyLine, json: bool) -> Result<String, Failure> {
    if json {
        return output::json(line);
    }
    let mut facts = vec![
        ("archive", if line.sound { "sound" } else { "DAMAGED" }.to_owned()),
        ("files", output::count(line.files)),
        ("frames", output::count(line.frames)),
        ("bytes", output::bytes(line.bytes)),
    ];
    if let Some(first) = line.first_lsn {
        facts.push(("LSN", format!("{first} to {}", line.last_lsn)));
    }
    facts.extend(line.unfinished.iter().map(|path| ("not part of it", path.clone())));
    facts.extend(line.faults.iter().map(|fault| {
        ("FAULT", format!("LSN {} to {}: {}", fault.first_lsn, fault.last_lsn, fault.what))
    }));
    Ok(output::facts(facts))
}

fn rebuild(global: &Global, data_dir: &Path) -> Done {
    let failed = |e| open_failure(&OpenError::from(e), data_dir);
    let keys = crate::vault::of(data_dir)?;
    let dir = DataDir::open_existing_with(data_dir, keys.as_deref()).map_err(failed)?;
    let least = mark(data_dir)?.base;
    let (at, ledger) = (dir.archive_dir(SHARD), dir.ledger());
    let store = ArchiveStore::rebuild_manifest(at, ledger, SHARD, dir.vault(), least);
    let store = store.map_err(|error| {
        let exit = if error.is_damage() { Exit::Damaged } else { Exit::CannotCreate };
        Failure::new(exit, format!("nothing was changed: {}", with_causes(&error)))
    })?;
    let (files, last) = (store.list().len(), store.end().lsn);
    output::print(&if global.json {
        output::json(&serde_json::json!({ "files": files, "last_lsn": last.0 }))?
    } else {
        format!("the manifest names {files} files again, up to LSN {last}")
    })?;
    Ok(Exit::Ok)
}

fn mark(data_dir: &Path) -> Result<Mark, Failure> {
    Mark::read(&DataDir::mark_path_in(data_dir, SHARD))
        .map_err(|error| Failure::new(Exit::Damaged, with_causes(&error)))
}

fn open(data_dir: &Path) -> Result<ArchiveStore, Failure> {
    let store = ArchiveStore::read_only(data_dir, offline::SHARD);
    let store = store.map_err(|error| open_failure(&OpenError::from(error), data_dir))?;
    let store = store.map_err(|error| unusable(&with_causes(&error), data_dir))?;
    Ok(store.with_vault(offline::unlock(data_dir)?))
}

fn unusable(why: &str, data_dir: &Path) -> Failure {
    let dir = data_dir.display();
    let text = format!("{why}\n`ducat doctor --data-dir {dir}` explains what can be done");
    Failure::new(Exit::Damaged, text)
}

fn run_failure(error: &TrimError, data_dir: &Path) -> Failure {
    let damaged = match error {
        TrimError::Journal(error) => error.is_damage(),
        TrimError::Archive(error) => error.is_damage(),
        TrimError::Differs(_) => true,
        TrimError::Snapshots(_) | TrimError::NoRoom { .. } => false,
    };
    if damaged {
        return damaged_look_closer(error, data_dir);
    }
    Failure::new(Exit::CannotCreate, with_causes(error))
}

fn file_line(store: &ArchiveStore, entry: &Entry) -> FileLine {
    let extent = &entry.extent;
    FileLine {
        file: store.path_of(entry).display().to_string(),
        first_lsn: extent.first_lsn().0,
        last_lsn: extent.last_lsn().0,
        frames: extent.frames,
        frame_bytes: extent.frame_bytes,
        bytes: entry.bytes,
        first_time_ns: extent.first_time_ns,
        last_time_ns: extent.last_time_ns,
        end_hash: extent.after.hash.to_string(),
        digest: blake3::Hash::from_bytes(entry.digest).to_hex().to_string(),
    }
}

fn fault_line(fault: &ArchiveFault) -> FaultLine {
    FaultLine { first_lsn: fault.first.0, last_lsn: fault.last.0, what: with_causes(&fault.error) }
}
