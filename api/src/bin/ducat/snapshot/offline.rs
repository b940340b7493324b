//! Snapshots of a data directory. Listing and reading change nothing and need no lock, so they
//! work beside a running server too; taking and removing want the directory for themselves.

use super::print::{ListLine, SnapshotLine, listing, print_checked, print_removed, snapshot};
use super::{Which, missing};
use crate::causes::{damaged_look_closer, damaged_snapshots, with_causes};
use crate::exit::{Done, Exit, Failure};
use crate::offline::{open_existing, open_failure, progress};
use crate::{Global, output};
use ducat_actors::snapshots::offline::OfflineError;
use ducat_actors::snapshots::{Standing, offline, standing};
use ducat_api::compose::{self, OpenError};
use ducat_api::convert::snapshots;
use ducat_api::proto;
use ducat_engine::ids::{Lsn, ShardId};
use ducat_persistence::snapshot::{Listed, SnapshotError, SnapshotStore, Summary};
use ducat_persistence::{DataDirError, Journal};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The only shard there is.
const SHARD: ShardId = ShardId(0);

/// Takes a snapshot from replay.
pub fn create(global: &Global, data_dir: &Path, from_beginning: bool) -> Done {
    let opened = open_existing(data_dir)?.map_err(|e| open_failure(&e, data_dir))?;
    let store = opened.snapshots.ok_or_else(|| internal("the directory has no snapshots"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let taken_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let made =
        offline::create(&*opened.journal, SHARD, &store, from_beginning, taken_ns, progress());
    let made = made.map_err(|error| create_failure(&error, data_dir))?;
    for rejected in &made.rebuilt.rejected {
        eprintln!("ducat: {} was not used: {}", rejected.path.display(), rejected.why);
    }
    let line = line(&store, &made.summary, "continued");
    output::print(&snapshot(&line, global.json)?)?;
    Ok(Exit::Ok)
}

/// Lists all.
pub fn list(global: &Global, data_dir: &Path) -> Done {
    let listed = listed(&store(data_dir)?)?;
    let lines: Vec<ListLine> =
        listed.iter().map(|one| ListLine::from(&snapshots::listed(one))).collect();
    if lines.is_empty() {
        eprintln!("ducat: there is no snapshot");
        return Ok(Exit::Ok);
    }
    output::print(&listing(&lines, global.json)?)?;
    Ok(Exit::Ok)
}

/// Shows one.
pub fn show(global: &Global, which: Which, data_dir: &Path) -> Done {
    let store = store(data_dir)?;
    let lsn = lsn_of(&store, which)?;
    let summary = store.verify(lsn).map_err(|error| read_failure(&error))?;
    let line = line(&store, &summary, "not-looked-at");
    output::print(&snapshot(&line, global.json)?)?;
    Ok(Exit::Ok)
}

/// Reads them whole.
pub fn verify(global: &Global, which: &[Which], data_dir: &Path) -> Done {
    let store = store(data_dir)?;
    let lsns: Vec<Lsn> = if which.is_empty() {
        listed(&store)?.iter().map(|snapshot| snapshot.lsn).collect()
    } else {
        which.iter().map(|which| lsn_of(&store, *which)).collect::<Result<_, _>>()?
    };
    if lsns.is_empty() {
        return Err(missing(Which::Newest));
    }
    let journal = journal(data_dir)?;
    let mut exit = Exit::Ok;
    for lsn in lsns {
        let read = check(&store, journal.as_deref(), lsn)?.map_err(|problem| {
            let file = store.path_of(lsn).display().to_string();
            proto::Snapshot { lsn: lsn.0, file, problem, ..proto::Snapshot::default() }
        });
        if !print_checked(read.as_ref(), global.json)? {
            exit = Exit::Damaged;
        }
    }
    Ok(exit)
}

/// Removes all but the newest.
pub fn prune(global: &Global, keep: u32, data_dir: &Path) -> Done {
    let opened = open_existing(data_dir)?.map_err(|e| open_failure(&e, data_dir))?;
    let store = opened.snapshots.ok_or_else(|| internal("the directory has no snapshots"))?;
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let removed = store.prune(keep).map_err(|error| read_failure(&error))?;
    let removed: Vec<u64> = removed.iter().map(|lsn| lsn.0).collect();
    output::print(&print_removed(&removed, global.json)?)?;
    Ok(Exit::Ok)
}

fn store(data_dir: &Path) -> Result<SnapshotStore, Failure> {
    crate::offline::snapshots(data_dir)
}

fn listed(store: &SnapshotStore) -> Result<Vec<Listed>, Failure> {
    store.list().map_err(|error| read_failure(&error))
}

fn lsn_of(store: &SnapshotStore, which: Which) -> Result<Lsn, Failure> {
    let listed = listed(store)?;
    let mut lsns = listed.iter().map(|snapshot| snapshot.lsn);
    let found = match which {
        Which::Newest => lsns.next(),
        Which::At(lsn) => lsns.find(|there| *there == lsn),
    };
    found.ok_or_else(|| missing(which))
}

/// The journal beside the snapshots, unless a server holds it.
fn journal(data_dir: &Path) -> Result<Option<Arc<dyn Journal>>, Failure> {
    match open_existing(data_dir)? {
        Ok(opened) => Ok(Some(opened.journal)),
        Err(OpenError::DataDir(DataDirError::InUse { .. })) => Ok(None),
        Err(error) => Err(open_failure(&error, data_dir)),
    }
}

/// Reads one whole and looks for its place in the journal. The inner error says what is wrong
/// with the snapshot.
fn check(
    store: &SnapshotStore,
    journal: Option<&dyn Journal>,
    lsn: Lsn,
) -> Result<Result<SnapshotLine, String>, Failure> {
    let summary = match store.verify(lsn) {
        Ok(summary) => summary,
        Err(error) if error.is_damage() => return Ok(Err(with_causes(&error))),
        Err(error) => return Err(read_failure(&error)),
    };
    let Some(journal) = journal else { return Ok(Ok(line(store, &summary, "not-looked-at"))) };
    Ok(match standing(journal, SHARD, &summary.header) {
        Ok(Standing::Continued) => Ok(line(store, &summary, "continued")),
        Ok(Standing::BeforeJournal) => Ok(line(store, &summary, "before-journal")),
        Ok(Standing::OtherHistory) => {
            Err("the journal has another frame at its LSN: it is of another history".to_owned())
        }
        Ok(Standing::BeyondJournal) => {
            Err("the journal ends before it: the journal is an older copy, or has lost its end"
                .to_owned())
        }
        Err(error) => {
            Err(format!("its place in the journal cannot be read: {}", with_causes(&error)))
        }
    })
}

fn line(store: &SnapshotStore, summary: &Summary, journal: &str) -> SnapshotLine {
    let path = store.path_of(summary.header.lsn());
    SnapshotLine::from(&snapshots::read_whole(summary, &path, journal))
}

fn internal(text: &str) -> Failure {
    Failure::new(Exit::Internal, text)
}

fn read_failure(error: &SnapshotError) -> Failure {
    let exit = match error {
        SnapshotError::Missing(_) => Exit::Refused,
        error if error.is_damage() => Exit::Damaged,
        _ => Exit::CannotCreate,
    };
    Failure::new(exit, with_causes(error))
}

fn create_failure(error: &OfflineError, data_dir: &Path) -> Failure {
    match error {
        OfflineError::Rebuild(rebuild) if compose::is_rebuild_damage(rebuild) => {
            damaged_snapshots(rebuild, data_dir)
        }
        OfflineError::Journal(journal) if journal.is_damage() => {
            damaged_look_closer(error, data_dir)
        }
        OfflineError::NoFrame(_) => damaged_look_closer(error, data_dir),
        OfflineError::Snapshot(snapshot) => read_failure(snapshot),
        OfflineError::Empty => Failure::new(Exit::Refused, error.to_string()),
        OfflineError::Rebuild(_) | OfflineError::Journal(_) => {
            Failure::new(Exit::Internal, with_causes(error))
        }
    }
}
