//! `ducat restore` and `ducat fork`: a new ledger that holds another's events as far as a moment.

use crate::causes::with_causes;
use crate::exit::{Done, Exit, Failure};
use crate::{Global, backup, balances, moment, offline, output};
use clap::Args;
use ducat_actors::copying::{Copied, CopyFailed, copy_events};
use ducat_actors::replay::Until;
use ducat_api::compose::{self, Unfinished};
use ducat_engine::ids::Lsn;
use ducat_persistence::origin::{ORIGINS_MAX, check_note};
use ducat_persistence::{BackupJournal, Journal, LedgerId, Origin, OriginKind};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of `restore`.
#[derive(Args, Debug)]
#[command(after_help = "\
The new directory holds exactly the events up to the moment, each with its LSN and time, and is
checked: it comes to the state that the old ledger had then. It is a ledger of its own, with an id
of its own: a gateway that knows the old one is told so and sends nothing, because transfers that
it was told of may be missing. `ducat status`, `ducat verify` and the server's banner say what it
was made from. The old directory is not touched; a server may be working on it.

Ends with 1 when the journal ends before --to-lsn or the moment lies within a linked group, 65 when
data is damaged, 73 when the new directory is not empty or cannot be written. Interrupted, it
leaves a directory that no server accepts: remove it and begin again.

Examples:
  ducat restore --data-dir ./ledger --to-time 2026-01-31T11:59:59Z --into ./restored
  ducat restore --data-dir ./ledger --to-lsn 5000 --into ./restored --note 'before the bad import'
  ducat restore --from-backup /mnt/backup/ledger --into ./restored    # all that was backed up")]
pub struct RestoreArgs {
    /// The data directory to take the events from.
    #[arg(long, value_name = "DIR", required_unless_present = "from_backup")]
    data_dir: Option<PathBuf>,
    /// The backup to take the events from, instead; all of them if no moment is given. It is read
    /// whole and checked before anything is written.
    #[arg(long, value_name = "DIR", conflicts_with = "data_dir")]
    from_backup: Option<PathBuf>,
    /// The last event to take.
    #[arg(long, value_name = "N", required_unless_present_any = ["to_time", "from_backup"])]
    to_lsn: Option<u64>,
    /// Take what was decided at this time or before (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns, conflicts_with = "to_lsn")]
    to_time: Option<u64>,
    /// The directory to make: missing or empty.
    #[arg(long, value_name = "NEW")]
    into: PathBuf,
    /// Why, for those who ask the new ledger where it comes from.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Options of `fork`.
#[derive(Args, Debug)]
#[command(after_help = "\
As `ducat restore`, for trying something beside the original: the new ledger has an id of its own
and is marked as a fork, with its name, in `ducat status`, `ducat verify` and the server's banner.
None of its files can pass for one of the original's.

Examples:
  ducat fork --data-dir ./ledger --at-lsn 5000 --name 'new fee schedule' --into ./what-if
  ducat fork --data-dir ./ledger --name 'load test' --into ./what-if      # as it is now")]
pub struct ForkArgs {
    /// The data directory to take the events from.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The last event to take; the journal's end when absent.
    #[arg(long, value_name = "N")]
    at_lsn: Option<u64>,
    /// Take what was decided at this time or before (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns, conflicts_with = "at_lsn")]
    at_time: Option<u64>,
    /// The directory to make: missing or empty.
    #[arg(long, value_name = "NEW")]
    into: PathBuf,
    /// What the fork is for.
    #[arg(long, value_name = "NAME")]
    name: String,
}

/// What was made, as scripts read it.
#[derive(Serialize)]
struct MadeLine {
    kind: &'static str,
    ledger_id: String,
    parent_ledger_id: String,
    lsn: u64,
    time: String,
    parent_lsn: u64,
    events_left_out: u64,
    state_hash: String,
    note: String,
    directory: String,
}

/// Runs `restore`.
pub fn restore(global: &Global, args: &RestoreArgs) -> Done {
    let (kind, until) = (OriginKind::Restore, moment::until(args.to_lsn, args.to_time));
    let note = |usual: String| args.note.clone().unwrap_or(usual);
    if let Some(dir) = &args.from_backup {
        let store = backup::open(dir)?;
        backup::check(&store)?;
        let usual = format!("from a backup of {}", output::time(store.manifest().time_ns));
        let journal = BackupJournal::new(store);
        let manifest = journal.store().manifest();
        let source = Parent {
            journal: &journal,
            ledger: manifest.ledger,
            origins: &manifest.origins,
            end: manifest.end().lsn,
            place: dir,
        };
        let plan = Plan { kind, until, note: &note(usual), into: &args.into };
        return make(global, &source, &plan);
    }
    let data_dir = args.data_dir.as_deref();
    let data_dir = data_dir.ok_or_else(|| Failure::usage("name --data-dir or --from-backup"))?;
    let plan = Plan { kind, until, note: &note("restored".to_owned()), into: &args.into };
    make_from_dir(global, data_dir, &plan)
}

/// Runs `fork`.
pub fn fork(global: &Global, args: &ForkArgs) -> Done {
    let until = moment::until(args.at_lsn, args.at_time);
    let plan = Plan { kind: OriginKind::Fork, until, note: &args.name, into: &args.into };
    make_from_dir(global, &args.data_dir, &plan)
}

/// What is to be made.
struct Plan<'a> {
    kind: OriginKind,
    until: Until,
    note: &'a str,
    into: &'a Path,
}

/// What it is made from.
struct Parent<'a> {
    journal: &'a dyn Journal,
    ledger: LedgerId,
    origins: &'a [Origin],
    /// The last event that is known to have been acknowledged.
    end: Lsn,
    place: &'a Path,
}

fn make_from_dir(global: &Global, data_dir: &Path, plan: &Plan<'_>) -> Done {
    let journal = offline::open(data_dir)?;
    let source = Parent {
        journal: &journal,
        ledger: journal.ledger(),
        origins: journal.origins(),
        end: journal.mark().durable.lsn,
        place: data_dir,
    };
    make(global, &source, plan)
}

fn make(global: &Global, parent: &Parent<'_>, plan: &Plan<'_>) -> Done {
    let note = check_note(plan.note).map_err(|e| Failure::usage(e.to_string()))?;
    let origin = |copied: &Copied| Origin {
        kind: plan.kind,
        parent: parent.ledger,
        lsn: copied.lsn,
        parent_lsn: parent.end,
        made_ns: moment::now_ns(),
        state_hash: copied.state_hash,
        note: note.clone(),
    };
    let (made, copied) =
        copy(parent.journal, parent.origins, parent.place, plan.into, plan.until, &origin)?;
    let line = MadeLine {
        kind: plan.kind.name(),
        ledger_id: made.to_string(),
        parent_ledger_id: parent.ledger.to_string(),
        lsn: copied.lsn.0,
        time: output::time(copied.time_ns),
        parent_lsn: parent.end.0,
        events_left_out: parent.end.0.saturating_sub(copied.lsn.0),
        state_hash: balances::hex(&copied.state_hash),
        note: note.clone(),
        directory: plan.into.display().to_string(),
    };
    output::print(&text(&line, global.json)?)?;
    Ok(Exit::Ok)
}

/// Copies the events as far as `until` into a new ledger, and makes it complete with its
/// descent. What was begun is removed again when that fails.
pub fn copy(
    source: &dyn Journal,
    parents: &[Origin],
    from: &Path,
    into: &Path,
    until: Until,
    origin: &dyn Fn(&Copied) -> Origin,
) -> Result<(LedgerId, Copied), Failure> {
    let mut origins = parents.to_vec();
    if origins.len() >= ORIGINS_MAX {
        let text = format!("{} is the {ORIGINS_MAX}th ledger made from another", from.display());
        return Err(Failure::usage(text));
    }
    // A master key that is given encrypts what is made; one that the source wants is given.
    let keys = crate::vault::given()?;
    let unfinished = compose::begin_with(into, keys.as_deref()).map_err(|error| {
        Failure::new(Exit::CannotCreate, format!("{}. Name a new one", with_causes(&error)))
    })?;
    let copied = fill(source, &unfinished, from, until);
    let done = copied.and_then(|copied| {
        origins.push(origin(&copied));
        unfinished
            .complete(&origins)
            .map_err(|error| Failure::new(Exit::CannotCreate, with_causes(&error)))?;
        Ok(copied)
    });
    let ledger = unfinished.ledger();
    drop(unfinished);
    if done.is_err() {
        // It was empty when we came. What cannot be removed is refused by every server.
        let _ = compose::abandon(into);
    }
    done.map(|copied| (ledger, copied))
}

fn fill(
    source: &dyn Journal,
    unfinished: &Unfinished,
    from: &Path,
    until: Until,
) -> Result<Copied, Failure> {
    let timer = offline::Timer::start();
    let owner = format!("ducat, pid {}", std::process::id());
    let copied = copy_events(
        source,
        unfinished.journal(),
        offline::SHARD,
        until,
        &owner,
        offline::progress(),
    )
    .map_err(|error| copy_failure(&error, from))?;
    timer.tell(&copied.source);
    match until.lsn {
        Some(asked) if copied.lsn < asked => {
            let text =
                format!("there is no LSN {asked} yet: the journal ends at LSN {}", copied.lsn);
            Err(Failure::new(Exit::Refused, text))
        }
        _ => Ok(copied),
    }
}

fn copy_failure(error: &CopyFailed, from: &Path) -> Failure {
    match error {
        CopyFailed::Replay(error) => offline::replay_failure(error, from),
        CopyFailed::Linked { lsn, from } => Failure::new(
            Exit::Refused,
            format!(
                "event {lsn} is linked with the next: the group that begins at {from} happened \
                 whole or not at all. Take LSN {}, or one after the group",
                from.0 - 1
            ),
        ),
        CopyFailed::Differs => Failure::new(Exit::Internal, with_causes(error)),
    }
}

fn text(line: &MadeLine, json: bool) -> Result<String, Failure> {
    if json {
        return output::json(line);
    }
    Ok(output::facts(vec![
        ("made", format!("{} at {}", line.kind, line.directory)),
        ("ledger", line.ledger_id.clone()),
        ("from ledger", line.parent_ledger_id.clone()),
        ("last event", format!("LSN {}, {}", line.lsn, line.time)),
        ("left out", format!("{} events of the old ledger", output::count(line.events_left_out))),
        ("state hash", line.state_hash.clone()),
        ("note", line.note.clone()),
    ]))
}

/// A ledger's descent as people read it, the newest step first.
pub fn descent(origins: &[Origin]) -> Vec<String> {
    let line = |origin: &Origin| {
        let what = match origin.kind {
            OriginKind::Restore => "restored from",
            OriginKind::Fork => "fork of",
            OriginKind::AcceptedLoss => "accepted loss: made from",
        };
        let left_out = match origin.left_out() {
            0 => String::new(),
            1 => format!(", without its event {}", origin.parent_lsn),
            _ => format!(", without its events {} to {}", origin.lsn.next(), origin.parent_lsn),
        };
        format!(
            "{what} ledger {} at LSN {}{left_out}, on {}: {}",
            origin.parent,
            origin.lsn,
            output::time(origin.made_ns),
            origin.note
        )
    };
    origins.iter().rev().map(line).collect()
}
