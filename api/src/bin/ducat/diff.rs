//! `ducat diff`: what changed between two moments of a ledger.

use crate::event_line::{currency, status_name};
use crate::exit::{Done, Exit, Failure};
use crate::figures::{Figure, Figures};
use crate::printer::Printer;
use crate::{Global, moment, offline, output};
use clap::Args;
use ducat_actors::replay::{Event, Observer, Until};
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::ledger::Ledger;
use ducat_engine::money::format_minor;
use ducat_engine::record::Record;
use ducat_persistence::BoxError;
use serde::Serialize;
use std::path::PathBuf;

/// Options of `diff`.
#[derive(Args, Debug)]
#[command(after_help = "\
Reads the journal from the beginning; writes nothing, and works beside a running server. With
--json one object to a line: events (with --transfers), then accounts, then one with the counts;
the field `diff` says which. Ends with 1 when nothing changed, 65 when data is damaged.

Examples:
  ducat diff --data-dir ./ledger --from-lsn 5000                       # since then
  ducat diff --data-dir ./ledger --from-time 2026-01-31T00:00:00Z --to-time 2026-02-01T00:00:00Z
  ducat diff --data-dir ./ledger --from-lsn 5000 --to-lsn 5100 --transfers")]
pub struct DiffArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Compare with the state after this event; 0 is the empty ledger.
    #[arg(long, value_name = "N", required_unless_present = "from_time")]
    from_lsn: Option<u64>,
    /// Compare with the state after the last event decided at this time or before (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns, conflicts_with = "from_lsn")]
    from_time: Option<u64>,
    /// The later moment; the journal's end when absent.
    #[arg(long, value_name = "N")]
    to_lsn: Option<u64>,
    /// The later moment as a time.
    #[arg(long, value_name = "TIME", value_parser = moment::time_ns, conflicts_with = "to_lsn")]
    to_time: Option<u64>,
    /// Print every event in between, too.
    #[arg(long)]
    transfers: bool,
}

/// What changed at an account, as scripts read it.
#[derive(Serialize)]
struct AccountDiff {
    diff: &'static str,
    id: String,
    currency: String,
    /// `opened`, `closed` or `changed`.
    change: &'static str,
    posted_before: String,
    posted_after: String,
    posted_change: String,
    status_before: Option<&'static str>,
    status_after: &'static str,
    /// The last event in between that changed its limits or what is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_lsn: Option<u64>,
}

/// What changed in all, as scripts read it.
#[derive(Serialize)]
struct DiffSummary {
    diff: &'static str,
    from_lsn: u64,
    to_lsn: u64,
    accounts_changed: u64,
    accounts_opened: u64,
    accounts_closed: u64,
    posted: u64,
    refused: u64,
    other_events: u64,
}

/// Keeps the accounts' figures as they were at the earlier moment, and counts from there on.
struct Differ {
    from: Until,
    figures: Figures,
    before: Option<(Lsn, Vec<Figure>)>,
    printer: Option<Printer>,
    last: Lsn,
    posted: u64,
    refused: u64,
    other: u64,
}

impl Observer for Differ {
    fn event(&mut self, ledger: &Ledger, event: &Event<'_>) -> Result<(), BoxError> {
        if self.before.is_none() && !self.from.includes(event.lsn, event.time_ns) {
            self.before = Some((self.last, self.figures.accounts().to_vec()));
        }
        self.figures.take(event);
        self.last = event.lsn;
        if self.before.is_none() {
            return Ok(());
        }
        match event.record.plain() {
            Record::Posted(_)
            | Record::PostedLinked(_)
            | Record::Captured(_)
            | Record::Refunded(_) => self.posted += 1,
            Record::FeeLeg(leg) if leg.posted().is_some() => self.posted += 1,
            Record::Refused(_)
            | Record::RefusedLinked(_)
            | Record::HoldRefused(_)
            | Record::RefundRefused(_)
            | Record::FeeLeg(_) => self.refused += 1,
            _ => self.other += 1,
        }
        self.printer.as_mut().map_or(Ok(()), |printer| printer.print(ledger, event))
    }
}

/// Runs `diff`.
pub fn run(global: &Global, args: &DiffArgs) -> Done {
    let journal = offline::open(&args.data_dir)?;
    let until = moment::until(args.to_lsn, args.to_time);
    let mut differ = Differ {
        from: moment::until(args.from_lsn, args.from_time),
        figures: Figures::default(),
        before: None,
        printer: args.transfers.then(|| Printer::new(global.json, &[], Lsn::ZERO)),
        last: Lsn::ZERO,
        posted: 0,
        refused: 0,
        other: 0,
    };
    let (ledger, _) = offline::replay(&journal, &args.data_dir, until, &mut differ)?;
    moment::check_reached(&ledger, until)?;
    if differ.before.is_none() {
        moment::check_reached(&ledger, differ.from)?;
    }
    if let Some(printer) = &mut differ.printer {
        printer.finish().map_err(|e| Failure::new(Exit::CannotCreate, e.to_string()))?;
    }
    let (from, before) =
        differ.before.take().unwrap_or_else(|| (differ.last, differ.figures.accounts().to_vec()));
    let accounts = changes(&ledger, &before, differ.figures.accounts());
    let count = |change| accounts.iter().filter(|line| line.change == change).count() as u64;
    let summary = DiffSummary {
        diff: "summary",
        from_lsn: from.0,
        to_lsn: differ.last.0,
        accounts_changed: accounts.len() as u64,
        accounts_opened: count("opened"),
        accounts_closed: count("closed"),
        posted: differ.posted,
        refused: differ.refused,
        other_events: differ.other,
    };
    output::print(&text(&accounts, &summary, global.json)?)?;
    Ok(if summary.from_lsn == summary.to_lsn { Exit::Refused } else { Exit::Ok })
}

/// The accounts that differ, in the order of opening.
fn changes(ledger: &Ledger, before: &[Figure], after: &[Figure]) -> Vec<AccountDiff> {
    let mut lines = Vec::new();
    for (slot, now) in after.iter().enumerate() {
        let then = before.get(slot);
        if then == Some(now) {
            continue;
        }
        let slot = Slot(u32::try_from(slot).expect("slots are 32 bits wide"));
        let Some(view) = ledger.view(slot) else { continue };
        let (code, digits) = currency(ledger, now.currency);
        let posted = then.map_or(0, |then| then.posted);
        let status = then.map(|then| status_name(then.status));
        let is_closed = status_name(now.status) == "closed" && status != Some("closed");
        lines.push(AccountDiff {
            diff: "account",
            id: view.spec.id.to_string(),
            currency: code,
            change: match then {
                _ if is_closed => "closed",
                None => "opened",
                Some(_) => "changed",
            },
            posted_before: format_minor(posted, digits),
            posted_after: format_minor(now.posted, digits),
            posted_change: format_minor(now.posted - posted, digits),
            status_before: status,
            status_after: status_name(now.status),
            changed_lsn: then
                .is_none_or(|then| then.changed != now.changed)
                .then_some(now.changed.0)
                .filter(|lsn| *lsn > 0),
        });
    }
    lines
}

fn text(accounts: &[AccountDiff], s: &DiffSummary, json: bool) -> Result<String, Failure> {
    if json {
        let mut lines: Vec<String> = accounts.iter().map(output::json).collect::<Result<_, _>>()?;
        lines.push(output::json(s)?);
        return Ok(lines.join("\n"));
    }
    let mut text = String::new();
    if !accounts.is_empty() {
        let header = ["account", "currency", "before", "after", "change", "status"];
        let row = |a: &AccountDiff| {
            let status = match a.status_before {
                None => format!("opened, {}", a.status_after),
                Some(before) if before == a.status_after => before.to_owned(),
                Some(before) => format!("{before} -> {}", a.status_after),
            };
            let changed = a.changed_lsn.map(|lsn| format!(", changed by LSN {lsn}"));
            let status = status + &changed.unwrap_or_default();
            let posted = [&a.id, &a.currency, &a.posted_before, &a.posted_after, &a.posted_change];
            posted.into_iter().cloned().chain([status]).collect()
        };
        text = output::table(&header, &[0, 2, 3, 4], accounts.iter().map(row).collect()) + "\n\n";
    }
    let facts = output::facts(vec![
        ("from LSN", s.from_lsn.to_string()),
        ("to LSN", s.to_lsn.to_string()),
        (
            "accounts",
            format!(
                "{} changed, of them {} opened and {} closed",
                output::count(s.accounts_changed),
                output::count(s.accounts_opened),
                output::count(s.accounts_closed)
            ),
        ),
        (
            "transfers",
            format!("{} posted, {} refused", output::count(s.posted), output::count(s.refused)),
        ),
        ("other events", output::count(s.other_events)),
    ]);
    Ok(text + &facts)
}
