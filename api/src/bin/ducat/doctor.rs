//! `ducat doctor`: why a server does not start on a data directory, what that means, and what
//! can be done; and with `--environment`, whether the machine is fit for one. It changes nothing in the
//! directory.

mod environment;
mod machine;

pub(crate) use machine::memory_available;

use crate::checks::{self, Checked, FaultLine};
use crate::exit::{Done, Exit, Failure};
use crate::restore::{copy, descent};
use crate::verify::RoomArgs;
use crate::{Global, moment, offline, output};
use clap::Args;
use ducat_actors::copying::Copied;
use ducat_actors::replay::Until;
use ducat_engine::ids::Lsn;
use ducat_persistence::origin::check_note;
use ducat_persistence::{Leftover, LookAround, Origin, OriginKind, RawJournal};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A clock this far behind the journal is worth a word, nanoseconds.
const CLOCK_TOLERANCE_NS: u64 = 60 * 1_000_000_000;

/// Options of `doctor`.
#[derive(Args, Debug)]
#[command(after_help = "\
Nothing is repaired silently, and nothing in the directory is changed. Where acknowledged events are
lost for good and no copy has them, a new ledger can be made of what is sound, by a decision that
names exactly what is given up and why; it is written into the new ledger and shown by `ducat
status`, `ducat verify` and the server's banner from then on. The new ledger has an id of its own:
gateways that know the old one are told so.

Ends with 0 when a server would start, 65 when data is damaged, and as `ducat verify` otherwise.
With --environment: 0 when all is well, 1 with warnings, 69 with a problem, 73 when the directory cannot
be written.

Examples:
  ducat doctor --data-dir ./ledger
  ducat doctor --environment --data-dir ./ledger
  ducat doctor --data-dir ./ledger --accept-loss-of 5001..5040 \\
        --reason 'disk of rack 7 burnt, no copy has them' --into ./salvaged")]
pub struct DoctorArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Look at the machine instead: how long the directory's disk takes to make something durable, the
    /// room on it, limits, memory, clock, processors. The directory need not be there yet.
    #[arg(long, conflicts_with_all = ["accept_loss_of", "skip_store"])]
    environment: bool,
    #[command(flatten)]
    room: RoomArgs,
    /// Give up these acknowledged events, exactly as the report names them.
    #[arg(long, value_name = "LSN..LSN", value_parser = range, requires_all = ["reason", "into"])]
    accept_loss_of: Option<(u64, u64)>,
    /// Why, for those who ask later.
    #[arg(long, value_name = "TEXT", requires = "accept_loss_of")]
    reason: Option<String>,
    /// The directory to make of what is sound: missing or empty.
    #[arg(long, value_name = "NEW", requires = "accept_loss_of")]
    into: Option<PathBuf>,
}

/// `5001..5040`, both included.
fn range(text: &str) -> Result<(u64, u64), String> {
    let parts =
        text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match parts {
        Some((from, to)) if 0 < from && from <= to => Ok((from, to)),
        _ => Err("write the first and the last LSN as in 5001..5040".to_owned()),
    }
}

/// How much a finding weighs.
#[derive(Serialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Weight {
    /// Worth knowing; a server starts.
    Note,
    /// No server starts.
    Refused,
}

/// One finding as scripts read it.
#[derive(Serialize, Debug, PartialEq, Eq)]
struct Finding {
    kind: &'static str,
    weight: Weight,
    what: String,
    means: &'static str,
    ways_out: Vec<String>,
}

/// The report as scripts read it.
#[derive(Serialize)]
struct ReportLine {
    starts: bool,
    ledger_id: Option<String>,
    origins: Vec<String>,
    findings: Vec<Finding>,
    /// The acknowledged events that would have to be given up: first and last LSN.
    lost: Option<(u64, u64)>,
}

/// Runs `doctor`.
pub fn run(global: &Global, args: &DoctorArgs) -> Done {
    let dir = &args.data_dir;
    if args.environment {
        return environment::run(global, dir);
    }
    let mut report = ReportLine {
        starts: true,
        ledger_id: None,
        origins: Vec::new(),
        findings: around(dir)?,
        lost: None,
    };
    let mut opened = None;
    match offline::open(dir) {
        Err(failure) if failure.exit == Exit::Usage => return Err(failure),
        Err(failure) => report.findings.push(unopened(&failure, dir)),
        Ok(journal) => {
            let checked = checks::check(&journal, &args.room.scope(dir), None)?;
            report.ledger_id = Some(journal.ledger().to_string());
            report.origins = descent(journal.origins());
            report.lost = lost(&journal, &checked);
            report.findings.extend(of_journal(&journal, &checked, dir, report.lost));
            opened = Some(journal);
        }
    }
    report.starts = report.findings.iter().all(|finding| finding.weight == Weight::Note);
    if let (Some(given_up), Some(into)) = (args.accept_loss_of, &args.into) {
        let reason = args.reason.as_deref().unwrap_or_default();
        return accept(global, args, opened.as_ref(), report.lost, given_up, reason, into);
    }
    output::print(&text(&report, global.json)?)?;
    if report.starts {
        return Ok(Exit::Ok);
    }
    let refused = report.findings.iter().filter(|finding| finding.weight == Weight::Refused);
    let text = format!("no server starts on {}: {} reasons", dir.display(), refused.count());
    let held = report.findings.iter().any(|finding| finding.kind == "permission");
    Err(Failure::new(if held { Exit::CannotCreate } else { Exit::Damaged }, text))
}

/// The acknowledged events that cannot be had any more, if any.
fn lost(journal: &RawJournal, checked: &Checked) -> Option<(u64, u64)> {
    let others = ["store", "snapshot", "archive"];
    let only_store = checked.faults.iter().all(|fault| others.contains(&fault.kind));
    // A snapshot beyond the journal's end was taken of what is missing.
    let ahead = checked.faults.iter().filter(|fault| fault.kind == "snapshot-ahead");
    let ahead = ahead.map(|fault| fault.lsn).max().unwrap_or(0);
    let last = journal.mark().durable.lsn.0.max(ahead);
    (!only_store && checked.lost_from.0 <= last).then_some((checked.lost_from.0, last))
}

/// What lies about in the directory, looked at without reading the journal.
fn around(dir: &Path) -> Result<Vec<Finding>, Failure> {
    let look = LookAround::at(dir).map_err(|error| {
        Failure::new(Exit::CannotCreate, format!("cannot look into {}: {error}", dir.display()))
    })?;
    let mut findings = Vec::new();
    if let Some(holder) = look.held_by {
        let pid = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"));
        findings.push(Finding {
            kind: "held",
            weight: Weight::Note,
            what: format!("a process{pid} works on the directory"),
            means: "A server is running on it, or a command. A second one is refused; what was \
                    acknowledged up to now was looked at all the same.",
            ways_out: vec!["stop it first, if another server is to start".to_owned()],
        });
    }
    for leftover in look.leftovers {
        let (what, means) = match leftover {
            Leftover::Unfinished(path) => (
                format!("{} is left over", path.display()),
                "Making a segment or file was interrupted before it was used. The next start \
                 removes it.",
            ),
            Leftover::Trimmed(path) => (
                format!("{} was trimmed and is still there", path.display()),
                "Trimming was interrupted. The next start removes it.",
            ),
            Leftover::Unknown(path) => (
                format!("{} does not belong to a data directory", path.display()),
                "A server leaves it alone.",
            ),
        };
        let (weight, ways_out) = (Weight::Note, Vec::new());
        findings.push(Finding { kind: "leftover", weight, what, means, ways_out });
    }
    for path in look.blobs {
        findings.push(Finding {
            kind: "blob",
            weight: Weight::Refused,
            what: format!("the store has made a file of its own: {}", path.display()),
            means: "Nothing makes such a file durable, so a server does not trust the segment.",
            ways_out: vec!["keep a copy of the directory and report this".to_owned()],
        });
    }
    for path in look.unwritable {
        findings.push(Finding {
            kind: "permission",
            weight: Weight::Refused,
            what: format!("{} may not be written", path.display()),
            means: "A server must write its lock, the mark and the journal.",
            ways_out: vec![format!("give the server's user the right to write {}", path.display())],
        });
    }
    Ok(findings)
}

/// Why the directory cannot be opened at all.
fn unopened(failure: &Failure, dir: &Path) -> Finding {
    let what = failure.message.lines().next().unwrap_or_default().to_owned();
    let mark = what.contains("mark");
    let (kind, means) = if what.contains("RESTORING") {
        ("unfinished", "It was to become a ledger made from another and is not complete.")
    } else if mark && what.contains("is of ledger") {
        (
            "mark-foreign",
            "The mark is another ledger's, so nothing says what this one acknowledged.",
        )
    } else if mark {
        (
            "mark",
            "Without the mark nothing says what was acknowledged, so what is missing at the \
                  end could not be noticed.",
        )
    } else {
        ("format", "FORMAT says whose ledger this is; without it no frame can be held against it.")
    };
    let ways_out = match kind {
        "unfinished" => vec![format!("remove {} and make it again", dir.display())],
        _ => vec![
            "put the file back from a copy of this directory that is as new as the journal"
                .to_owned(),
            "restore the whole directory from a backup".to_owned(),
        ],
    };
    Finding { kind, weight: Weight::Refused, what, means, ways_out }
}

fn of_journal(
    journal: &RawJournal,
    checked: &Checked,
    dir: &Path,
    lost: Option<(u64, u64)>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        checked.faults.iter().map(|fault| of_fault(fault, dir, journal, checked, lost)).collect();
    if let Some(torn) = &checked.found.torn {
        findings.push(Finding {
            kind: "torn-tail",
            weight: Weight::Note,
            what: format!(
                "LSN {} to {} are an append that was never finished",
                torn.first_lsn, torn.last_lsn
            ),
            means: "A crash interrupted it before anyone was told. The next start drops it and \
                    says so in its log; nothing acknowledged is in it.",
            ways_out: Vec::new(),
        });
    }
    if checked.found.unacknowledged > 0 && !journal.is_live() {
        findings.push(Finding {
            kind: "unacknowledged",
            weight: Weight::Note,
            what: format!("{} events at the end are beyond the mark", checked.found.unacknowledged),
            means: "They are whole, but the process ended before anyone was told. The next start \
                    keeps them, and a caller who asks again gets their outcomes.",
            ways_out: Vec::new(),
        });
    }
    if let Some((lsn, epoch)) = checked.found.newer
        && !journal.is_live()
    {
        findings.push(Finding {
            kind: "mark-older",
            weight: Weight::Note,
            what: format!(
                "events of epoch {} follow from LSN {lsn} on, and the mark only knows epoch {}",
                epoch.0,
                journal.mark().epoch.0
            ),
            means: "The mark was put back from an older copy. The next start keeps what is whole \
                    behind it; but if the newest of the journal is missing, nothing says so.",
            ways_out: vec!["put back the mark that is as new as the journal".to_owned()],
        });
    }
    let (last, now) = (checked.found.last_time_ns, moment::now_ns());
    if last > now.saturating_add(CLOCK_TOLERANCE_NS) {
        findings.push(Finding {
            kind: "clock",
            weight: Weight::Note,
            what: format!(
                "the clock says {}, but the last event was decided at {}",
                output::time(now),
                output::time(last)
            ),
            means: "The clock was set back, or was ahead when that was journalled. A server \
                    starts; its events do not go back in time, so they will carry later times \
                    than the clock until it has caught up.",
            ways_out: vec!["set the clock right before the server starts".to_owned()],
        });
    }
    findings
}

fn of_fault(
    fault: &FaultLine,
    dir: &Path,
    journal: &RawJournal,
    checked: &Checked,
    lost: Option<(u64, u64)>,
) -> Finding {
    if fault.kind == "archive" {
        return of_archive(fault, dir, journal, checked.starts_without_archive);
    }
    let means = match fault.kind {
        "damaged-frame" => {
            "Bits have changed on the disk: the frame's checksum does not hold, and \
                            no intact copy of it is in the file."
        }
        "gap" => {
            "Acknowledged events are missing in the middle: a segment was removed, or the \
                  disk lost writes that it had confirmed."
        }
        "shortened" => {
            "The journal ends before what was acknowledged: it was cut, or is older \
                        than the mark."
        }
        "chain" => {
            "A frame continues another history than the one before it: files of two copies \
                    were mixed."
        }
        "epoch" => "An older writer's frame follows a newer one's: files of two copies were mixed.",
        "mark" => "The journal and the mark are of different moments or copies.",
        "store" => {
            "Every acknowledged event is intact in the files, but the store's own records \
                    of where they lie are damaged, so a server cannot read them."
        }
        "event" => {
            "The frames are intact, but an event in them cannot follow the ones before: \
                    whoever wrote it was wrong."
        }
        "conservation" => "An event's figures make or lose money.",
        "snapshot" => {
            "A snapshot cannot be used. A server says so and starts from the one before, or \
                       from the whole journal."
        }
        "snapshot-ahead" => {
            "The journal was taken back to before a snapshot: acknowledged events \
                             are missing, and a server refuses it."
        }
        "id-twice" => "Two events consumed one id.",
        _ => "The file cannot be read: the disk, or the right to read it.",
    };
    if fault.kind == "snapshot" {
        let ways_out = vec!["`ducat snapshot create` makes a new one; then remove it".to_owned()];
        return Finding {
            kind: fault.kind,
            weight: Weight::Note,
            what: fault.text(),
            means,
            ways_out,
        };
    }
    let mut ways_out = vec![
        "keep a copy of the directory before anything else".to_owned(),
        "restore a backup or copy that `ducat verify` finds sound".to_owned(),
    ];
    let dir = dir.display();
    match lost {
        None if fault.kind == "store" => ways_out.push(format!(
            "nothing is lost: `ducat restore --data-dir {dir} --to-lsn {} --into NEW` makes a new \
             ledger of all of it",
            journal.mark().durable.lsn
        )),
        Some((from, to)) => ways_out.push(format!(
            "where no copy has them, give up LSN {from} to {to} by `ducat doctor --data-dir {dir} \
             --accept-loss-of {from}..{to} --reason WHY --into NEW`"
        )),
        None => {}
    }
    let kind = fault.kind;
    Finding { kind, weight: Weight::Refused, what: fault.text(), means, ways_out }
}

/// What is wrong with the archive of what was trimmed. A start needs it only when no snapshot
/// can be used.
fn of_archive(fault: &FaultLine, dir: &Path, journal: &RawJournal, starts: bool) -> Finding {
    let (dir, base) = (dir.display(), journal.mark().base.lsn);
    let mut ways_out = vec![
        "put the file named back from a backup or a copy of this archive; `ducat archive verify` \
         says whether it is the right one"
            .to_owned(),
    ];
    if let Err(error) = journal.archive() {
        ways_out.insert(
            0,
            format!(
                "{}: if its files are all there, `ducat archive rebuild --data-dir {dir}` writes \
                 the manifest anew from them",
                error.path().unwrap_or_else(|| Path::new("the manifest")).display()
            ),
        );
    }
    if journal.mark().base.lsn > Lsn::ZERO && starts {
        ways_out.push(format!(
            "until then the server runs on: balances and new transfers need nothing of it; \
             statements and repeats that reach back to LSN {base} or before fail with an error, and \
             nothing more is trimmed"
        ));
    }
    let (weight, means) = if starts {
        (
            Weight::Note,
            "Part of the trimmed history cannot be read. A server starts from a snapshot, or from \
             the journal, which has all it needs.",
        )
    } else {
        ways_out.push("restore a backup or copy that `ducat verify` finds sound".to_owned());
        (
            Weight::Refused,
            "Part of the trimmed history cannot be read, and no snapshot can be used from which \
             the journal goes on, so a start would need it.",
        )
    };
    Finding { kind: "archive", weight, what: fault.text(), means, ways_out }
}

/// Makes a new ledger of what is sound, if exactly what is lost is given up.
fn accept(
    global: &Global,
    args: &DoctorArgs,
    journal: Option<&RawJournal>,
    lost: Option<(u64, u64)>,
    given_up: (u64, u64),
    reason: &str,
    into: &Path,
) -> Done {
    let Some(journal) = journal else {
        let text = "the directory cannot be opened, so nothing says what is lost; `ducat doctor` \
                    without --accept-loss-of says why";
        return Err(Failure::new(Exit::Damaged, text));
    };
    let Some(lost) = lost else {
        return Err(Failure::new(Exit::Refused, "nothing acknowledged is lost: nothing to accept"));
    };
    if lost != given_up {
        let text = format!(
            "what is lost is LSN {0} to {1}, not {2} to {3}. If no copy has them, say \
             --accept-loss-of {0}..{1}",
            lost.0, lost.1, given_up.0, given_up.1
        );
        return Err(Failure::new(Exit::Refused, text));
    }
    let note = check_note(reason).map_err(|e| Failure::usage(e.to_string()))?;
    let origin = |copied: &Copied| Origin {
        kind: OriginKind::AcceptedLoss,
        parent: journal.ledger(),
        lsn: copied.lsn,
        parent_lsn: Lsn(lost.1),
        made_ns: moment::now_ns(),
        state_hash: copied.state_hash,
        note: note.clone(),
    };
    let until = Until::lsn(Lsn(lost.0 - 1));
    let sound = journal.sound_part();
    let (ledger, _) = copy(&sound, journal.origins(), &args.data_dir, into, until, &origin)?;
    let made = descent(
        ducat_persistence::DataDir::peek(into).map(|(_, o)| o).unwrap_or_default().as_slice(),
    );
    let text = if global.json {
        output::json(&serde_json::json!({
            "ledger_id": ledger.to_string(), "directory": into.display().to_string(), "origins": made,
        }))?
    } else {
        let mut facts = vec![("made", into.display().to_string()), ("ledger", ledger.to_string())];
        facts.extend(made.into_iter().map(|line| ("made from", line)));
        output::facts(facts)
    };
    output::print(&text)?;
    Ok(Exit::Ok)
}

fn text(report: &ReportLine, json: bool) -> Result<String, Failure> {
    if json {
        return output::json(report);
    }
    let mut lines = Vec::new();
    lines.push(if report.starts {
        "A server starts on this directory.".to_owned()
    } else {
        "NO SERVER STARTS ON THIS DIRECTORY.".to_owned()
    });
    if let Some(ledger) = &report.ledger_id {
        lines.push(format!("Ledger {ledger}."));
    }
    lines.extend(report.origins.iter().map(|origin| format!("Made from another: {origin}.")));
    for finding in &report.findings {
        let weight = if finding.weight == Weight::Refused { "REFUSED" } else { "note" };
        lines.push(format!("\n{weight}: {}\n  {}", finding.what, finding.means));
        lines.extend(finding.ways_out.iter().map(|way| format!("  - {way}")));
    }
    if report.findings.is_empty() {
        lines.push("Nothing is wrong with it.".to_owned());
    }
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_name_both_ends() {
        assert_eq!(range("7..9"), Ok((7, 9)));
        assert_eq!(range("7..7"), Ok((7, 7)));
        for bad in ["", "7", "9..7", "0..3", "7..", "..7", "7...9", "7..=9"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
