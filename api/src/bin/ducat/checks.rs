//! Everything that can be checked in a data directory, for `verify` and `doctor`: the frames,
//! the store over them, the events, the sums, the ids.

use crate::causes::with_causes;
use crate::exit::{Exit, Failure};
use crate::figures::Figures;
use crate::verify_ids::{IdsOnce, Twice};
use crate::witness::Witness;
use crate::{event_line, offline};
use ducat_actors::proof::offline::Statements;
use ducat_actors::replay::{Event, Observer, Until, apply_shown};
use ducat_engine::ids::Lsn;
use ducat_engine::ledger::Ledger;
use ducat_engine::money::format_minor;
use ducat_persistence::raw::inspect::{Fault, Inspection};
use ducat_persistence::{BoxError, JournalError, RawJournal};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Ids that came twice are listed so far.
const TWICE_MAX: usize = 20;

/// What to check, and with what room.
pub struct Scope<'a> {
    /// The directory.
    pub data_dir: &'a Path,
    /// Where a copy of one segment at a time goes; the system's temporary directory if none.
    pub room: Option<&'a Path>,
    /// Memory for ids, in bytes; beyond it they go to `room`.
    pub ids_bytes: usize,
    /// Whether to read a copy of each segment through the store.
    pub store: bool,
}

/// One thing that is wrong, as scripts read it.
#[derive(Serialize, Debug, Clone, PartialEq, Eq)]
pub struct FaultLine {
    /// `damaged-frame`, `gap`, `shortened`, `chain`, `epoch`, `mark`, `unreadable`, `store`,
    /// `archive`, `event`, `conservation`, `id-twice`, `snapshot`, `snapshot-ahead`; with
    /// checkpoints also `checkpoint`, `rewritten` and `older-copy`.
    pub kind: &'static str,
    /// The first LSN concerned.
    pub lsn: u64,
    /// The last LSN concerned.
    pub last_lsn: u64,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// In words.
    pub what: String,
}

impl From<Fault> for FaultLine {
    fn from(fault: Fault) -> Self {
        Self {
            kind: fault.kind.name(),
            lsn: fault.lsn.0,
            last_lsn: fault.last_lsn.0,
            file: Some(fault.path.display().to_string()),
            offset: fault.offset,
            what: fault.what,
        }
    }
}

impl FaultLine {
    fn of_event(kind: &'static str, lsn: Lsn, what: String) -> Self {
        Self { kind, lsn: lsn.0, last_lsn: lsn.0, file: None, offset: None, what }
    }

    /// One line.
    pub fn text(&self) -> String {
        let range = if self.lsn == self.last_lsn {
            format!("LSN {}", self.lsn)
        } else {
            format!("LSN {} to {}", self.lsn, self.last_lsn)
        };
        let file = self.file.as_ref().map(|file| format!(", {file}")).unwrap_or_default();
        let offset = self.offset.map(|at| format!(", byte {at}")).unwrap_or_default();
        format!("{}: {range}{file}{offset}: {}", self.kind, self.what)
    }
}

/// What was found.
pub struct Checked {
    /// Everything that is wrong.
    pub faults: Vec<FaultLine>,
    /// What the frames are like.
    pub found: Inspection,
    /// The ledger as far as everything is sound.
    pub ledger: Ledger,
    /// The first LSN that cannot be relied on; the one after the last when all is sound. A
    /// linked group that is not whole counts as not there.
    pub lost_from: Lsn,
    /// Transfers' ids looked at.
    pub ids: u64,
    /// Whether a start can do without the archive: nothing was trimmed, or a snapshot is whole
    /// from which the journal goes on.
    pub starts_without_archive: bool,
}

/// Looks at the events while they are applied.
struct Checks<'w> {
    statements: Option<&'w mut Statements>,
    figures: Figures,
    ids: IdsOnce,
    count: u64,
    /// Where the group begins that the last event leaves open.
    group: Option<Lsn>,
    /// Snapshots that the ledger has not come to yet, the oldest last.
    snapshots: Vec<(Lsn, [u8; 32], PathBuf)>,
    starts_without_archive: bool,
    faults: Vec<FaultLine>,
}

impl Checks<'_> {
    /// Reads every snapshot; one that cannot be read is a fault of its own.
    fn add_snapshots(&mut self, journal: &RawJournal, data_dir: &Path) -> Result<(), Failure> {
        let failed = |error: &dyn std::error::Error| {
            let text = format!("cannot look at the snapshots: {error}");
            Failure::new(Exit::CannotCreate, text)
        };
        let store = offline::snapshots(data_dir)?;
        let durable = journal.mark().durable.lsn;
        for listed in store.list().map_err(|e| failed(&e))? {
            if journal.is_live() && listed.lsn > durable {
                continue;
            }
            match store.verify(listed.lsn) {
                Ok(_) if listed.lsn > durable => {
                    let what = format!("the journal ends before it, at LSN {durable}");
                    self.fault("snapshot-ahead", listed.lsn, &listed.path, what);
                }
                Ok(summary) => {
                    let reaches = summary.header.anchor.lsn >= journal.mark().base.lsn;
                    self.starts_without_archive |= reaches;
                    self.snapshots.push((listed.lsn, summary.end.state_hash, listed.path));
                }
                // Removed by a server meanwhile.
                Err(_) if journal.is_live() && !listed.path.exists() => {}
                Err(error) => {
                    self.fault("snapshot", listed.lsn, &listed.path, with_causes(&error));
                }
            }
        }
        Ok(())
    }

    fn fault(&mut self, kind: &'static str, lsn: Lsn, path: &Path, what: String) {
        let file = Some(path.display().to_string());
        self.faults.push(FaultLine { file, ..FaultLine::of_event(kind, lsn, what) });
    }

    /// Holds the snapshots at this LSN against the ledger.
    fn compare_snapshots(&mut self, ledger: &Ledger, lsn: Lsn) {
        while let Some((_, hash, path)) = self.snapshots.pop_if(|(at, ..)| *at <= lsn) {
            if ledger.summary().0 != hash {
                let what = "its state is not the one that the journal comes to".to_owned();
                self.fault("snapshot", lsn, &path, what);
            }
        }
    }
}

impl Observer for Checks<'_> {
    fn event(&mut self, ledger: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        self.figures.take(event);
        if let Some(statements) = &mut self.statements {
            statements.take(event)?;
        }
        if let Some(id) = event.record.transfer_id() {
            self.ids.add(id, event.lsn)?;
            self.count += 1;
        }
        self.group = event.record.is_linked().then(|| self.group.unwrap_or(event.lsn));
        if self.snapshots.last().is_some_and(|(lsn, ..)| *lsn <= event.lsn) {
            self.compare_snapshots(ledger, event.lsn);
        }
        Ok(())
    }
}

/// Checks a journal that was opened for reading.
pub fn check(
    journal: &RawJournal,
    scope: &Scope<'_>,
    witness: Option<&mut Witness>,
) -> Result<Checked, Failure> {
    let room = Room::new(scope.room)?;
    let (statements, mut frames) = witness.map(Witness::parts).unzip();
    let mut checks = Checks {
        statements,
        figures: Figures::default(),
        ids: IdsOnce::new(scope.ids_bytes, room.path()),
        count: 0,
        group: None,
        snapshots: Vec::new(),
        starts_without_archive: journal.mark().base.lsn == Lsn::ZERO,
        faults: Vec::new(),
    };
    checks.add_snapshots(journal, scope.data_dir)?;
    let mut ledger = offline::empty()?;
    let mut progress = offline::progress();
    let timer = offline::Timer::start();
    let ((found, visitor), applied) =
        apply_shown(offline::SHARD, &mut ledger, Until::default(), &mut checks, |visit| {
            journal.inspect(&mut |frame, at| {
                visit(frame, at)?;
                if let Some(frames) = &mut frames {
                    frames.take(frame);
                }
                progress(&at);
                Ok(())
            })
        });
    drop(progress);
    timer.tell_events(found.records);
    let mut faults: Vec<FaultLine> = found.faults.iter().cloned().map(FaultLine::from).collect();
    let mut lost_from = moment_after(&ledger);
    match (applied, visitor) {
        (Err(error), _) => faults.push(of_journal(&error)),
        (Ok(()), Some((lsn, error))) => {
            faults.push(FaultLine::of_event("event", lsn, with_causes(&error)));
        }
        (Ok(()), None) => {}
    }
    if let Some(from) = checks.group {
        if faults.is_empty() {
            let what = "the last event is linked with one that is not there".to_owned();
            faults.push(FaultLine::of_event("event", from, what));
        }
        lost_from = from;
    }
    if let Some((lsn, id, sum)) = checks.figures.broken {
        let (code, digits) = event_line::currency(&ledger, id);
        let what =
            format!("money was made or lost: {code} sums up to {}", format_minor(sum, digits));
        faults.push(FaultLine::of_event("conservation", lsn, what));
        lost_from = lost_from.min(lsn);
    }
    for Twice { id, first, again } in checks.ids.twice(TWICE_MAX).map_err(|e| no_room(&e))? {
        let what = format!("transfer {id} was decided before, by event {first}");
        faults.push(FaultLine::of_event("id-twice", again, what));
        lost_from = lost_from.min(again);
    }
    faults.append(&mut checks.faults);
    if scope.store {
        let failed = |error: JournalError| {
            let text = format!("{}. Name another directory with --tmp", with_causes(&error));
            Failure::new(Exit::CannotCreate, text)
        };
        let lost = journal.check_store(&found.segments, room.path()).map_err(failed)?;
        faults.extend(lost.into_iter().map(FaultLine::from));
    }
    let starts_without_archive = checks.starts_without_archive;
    Ok(Checked { faults, found, ledger, lost_from, ids: checks.count, starts_without_archive })
}

fn moment_after(ledger: &Ledger) -> Lsn {
    ledger.coordinator.next_lsn()
}

fn of_journal(error: &JournalError) -> FaultLine {
    let lsn = match error {
        JournalError::Replay { lsn, .. } => *lsn,
        _ => Lsn::ZERO,
    };
    FaultLine::of_event("event", lsn, with_causes(error))
}

fn no_room(error: &std::io::Error) -> Failure {
    Failure::new(Exit::CannotCreate, format!("cannot keep ids in a temporary file: {error}"))
}

/// A directory that goes with the command.
struct Room(tempfile::TempDir);

impl Room {
    fn new(parent: Option<&Path>) -> Result<Self, Failure> {
        let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
        let made = tempfile::Builder::new().prefix("ducat-verify-").tempdir_in(&parent);
        made.map(Self).map_err(|e| {
            let text = format!("cannot make a directory in {}: {e}", parent.display());
            Failure::new(Exit::CannotCreate, text)
        })
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}
