//! `ducat audit`: who did what, from a running server, or from a data directory without one.

mod offline;
mod query;

use crate::exit::{Done, Exit, Failure};
use crate::pages::Pages;
use crate::{Global, net, output};
use clap::{Args, Subcommand, ValueEnum};
use ducat_api::audit::{Line, csv_header};
use ducat_api::proto::audit_client::AuditClient;
use ducat_api::proto::{
    AuditCount, AuditFilter, GetAuditSummaryRequest, GetAuditSummaryResponse,
    ListAuditEventsRequest,
};
use query::{FilterArgs, PeriodArgs};
use serde::Serialize;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;

/// Most events on a page.
const PAGE_MAX: u32 = 1_000;

/// Commands about the audit trail.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
A running server is asked by auditors and admins. With --data-dir the trail is read from the files,
beside a server or without one: the whole journal is read and checked.

Examples:
  ducat audit list --kind denied --from 2026-01-31T00:00:00Z
  ducat audit list --account 17                        # every access that touched account 17
  ducat audit list --transfer 900 --data-dir ./ledger
  ducat audit show 4711
  ducat audit export --format csv --out trail.csv
  ducat audit summary --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z")]
pub enum AuditCommand {
    /// List audit events in the order of the journal.
    List(ListArgs),
    /// Show one audit event.
    Show(ShowArgs),
    /// Write audit events for other programs: JSON lines or CSV.
    Export(ExportArgs),
    /// Sum a period up: counts, failed logins, denied calls, what looks like an attack.
    Summary(SummaryArgs),
}

/// Options of `audit list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many events; 0 for all.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u64,
}

/// Options of `audit show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The event's place.
    #[arg(value_name = "LSN", value_parser = clap::value_parser!(u64).range(1..))]
    lsn: u64,
    /// Read it from this directory instead of a server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// A form for other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object to a line.
    Jsonl,
    /// Comma-separated, with a header.
    Csv,
}

/// Options of `audit export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// In which form.
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    /// Into this file, which must not be there, instead of to stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Options of `audit summary`.
#[derive(Args, Debug)]
pub struct SummaryArgs {
    #[command(flatten)]
    period: PeriodArgs,
    /// Read it from this directory instead of a server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Runs a command about the audit trail.
pub async fn run(global: &Global, command: AuditCommand) -> Done {
    match command {
        AuditCommand::List(args) => list(global, args).await,
        AuditCommand::Show(args) => show(global, args).await,
        AuditCommand::Export(args) => export(global, args).await,
        AuditCommand::Summary(args) => summary(global, args).await,
    }
}

/// Takes one event after the other; `false` where no more are wanted.
type Taker<'t> = dyn FnMut(Line) -> Result<bool, Failure> + Send + 't;

/// Gives the events that are asked for, from a server or from files. Whether more follow.
async fn each(
    global: &Global,
    filter: FilterArgs,
    limit: u64,
    take: &mut Taker<'_>,
) -> Result<bool, Failure> {
    if let Some(data_dir) = filter.data_dir.clone() {
        return offline::each(&data_dir, &filter.filter(), limit, take);
    }
    let mut client = AuditClient::new(net::connect(global).await?);
    let (filter, mut pages) = (filter.message(), Pages::of(limit, PAGE_MAX));
    while let Some((limit, from)) = pages.next_page() {
        let filter = Some(filter.clone());
        let request = ListAuditEventsRequest { filter, limit, from_lsn: from.unwrap_or(0) };
        let page =
            client.list_audit_events(request).await.map_err(|s| net::failed(&s))?.into_inner();
        pages.came(page.events.len(), Some(page.next_lsn).filter(|next| *next > 0));
        for event in page.events {
            let line = Line::of_message(event);
            let line = line.map_err(|e| Failure::new(Exit::Internal, e.to_string()))?;
            if !take(line)? {
                return Ok(false);
            }
        }
    }
    Ok(pages.follow())
}

fn text_of(line: &Line) -> String {
    let lsn = line.lsn.map(|lsn| lsn.to_string()).unwrap_or_default();
    format!("{lsn}  {}  {}", line.time, line.text())
}

async fn list(global: &Global, args: ListArgs) -> Done {
    let mut out = BufWriter::new(io::stdout());
    let json = global.json;
    let mut take = |line: Line| {
        let text = if json { output::json(&line)? } else { text_of(&line) };
        written(writeln!(out, "{text}"))
    };
    let follow = each(global, args.filter, args.limit, &mut take).await?;
    written(out.flush())?;
    if follow {
        eprintln!("there are more: raise --limit, or narrow what is asked for");
    }
    Ok(Exit::Ok)
}

async fn show(global: &Global, args: ShowArgs) -> Done {
    let found = if let Some(data_dir) = &args.data_dir {
        offline::find(data_dir, args.lsn)?
    } else {
        let mut client = AuditClient::new(net::connect(global).await?);
        let filter = Some(AuditFilter::default());
        let request = ListAuditEventsRequest { filter, limit: 1, from_lsn: args.lsn };
        let page =
            client.list_audit_events(request).await.map_err(|s| net::failed(&s))?.into_inner();
        let line = page.events.into_iter().next().map(Line::of_message).transpose();
        line.map_err(|e| Failure::new(Exit::Internal, e.to_string()))?
    };
    match found.filter(|line| line.lsn == Some(args.lsn)) {
        Some(line) if global.json => output::print(&output::json(&line)?)?,
        Some(line) => {
            let facts = line.columns().into_iter();
            output::print(&output::facts(facts.filter(|(_, text)| !text.is_empty()).collect()))?;
        }
        None => {
            eprintln!("ducat: event {} is none of the audit trail", args.lsn);
            return Ok(Exit::Refused);
        }
    }
    Ok(Exit::Ok)
}

async fn export(global: &Global, args: ExportArgs) -> Done {
    let out: Box<dyn Write + Send> = match &args.out {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(std::fs::File::create_new(path).map_err(|error| {
            let text = format!("cannot create {}: {error}", path.display());
            Failure::new(Exit::CannotCreate, text)
        })?),
    };
    let mut out = BufWriter::new(out);
    if args.format == Format::Jsonl {
        let mut take = |line: Line| {
            let json = output::json(&line)?;
            written(writeln!(out, "{json}"))
        };
        each(global, args.filter, 0, &mut take).await?;
        written(out.flush())?;
        return Ok(Exit::Ok);
    }
    let mut csv = csv::Writer::from_writer(out);
    written(csv.write_record(csv_header()).map_err(io::Error::from))?;
    let mut take = |line: Line| written(csv.write_record(line.fields()).map_err(io::Error::from));
    each(global, args.filter, 0, &mut take).await?;
    written(csv.flush())?;
    Ok(Exit::Ok)
}

/// `false` when the reader has gone away (`| head`), which is no error.
fn written(result: io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::CannotCreate, format!("cannot write: {error}"))),
    }
}

async fn summary(global: &Global, args: SummaryArgs) -> Done {
    let (from_ns, until_ns) = args.period.range();
    let told = if let Some(data_dir) = &args.data_dir {
        offline::summary(data_dir, from_ns, until_ns)?
    } else {
        let mut client = AuditClient::new(net::connect(global).await?);
        let request = GetAuditSummaryRequest { from_ns, until_ns };
        client.get_audit_summary(request).await.map_err(|s| net::failed(&s))?.into_inner()
    };
    output::print(&summary_text(&told, global.json)?)?;
    Ok(Exit::Ok)
}

/// A summary as scripts read it.
#[derive(Serialize)]
struct SummaryLine<'s> {
    from: String,
    until: Option<String>,
    lsn: u64,
    events: u64,
    calls: u64,
    writes: u64,
    reads: u64,
    commands: u64,
    failed_logins: u64,
    denied_calls: u64,
    failures: u64,
    requests: u64,
    done: u64,
    repeats: u64,
    refused: u64,
    principals: Vec<CountLine<'s>>,
    methods: Vec<CountLine<'s>>,
    reasons: Vec<CountLine<'s>>,
    patterns: Vec<PatternLine<'s>>,
}

#[derive(Serialize)]
struct CountLine<'s> {
    name: &'s str,
    calls: u64,
}

#[derive(Serialize)]
struct PatternLine<'s> {
    pattern: &'s str,
    of: &'s str,
    first: String,
    last: String,
    failures: u64,
}

fn count_lines(counts: &[AuditCount]) -> Vec<CountLine<'_>> {
    counts.iter().map(|count| CountLine { name: &count.name, calls: count.calls }).collect()
}

fn summary_text(told: &GetAuditSummaryResponse, json: bool) -> Result<String, Failure> {
    let until = (told.until_ns > 0).then(|| output::time(told.until_ns));
    if json {
        return output::json(&SummaryLine {
            from: output::time(told.from_ns),
            until,
            lsn: told.lsn,
            events: told.events,
            calls: told.calls,
            writes: told.writes,
            reads: told.reads,
            commands: told.commands,
            failed_logins: told.failed_logins,
            denied_calls: told.denied_calls,
            failures: told.failures,
            requests: told.requests,
            done: told.done,
            repeats: told.repeats,
            refused: told.refused,
            principals: count_lines(&told.principals),
            methods: count_lines(&told.methods),
            reasons: count_lines(&told.reasons),
            patterns: told
                .patterns
                .iter()
                .map(|pattern| PatternLine {
                    pattern: &pattern.pattern,
                    of: &pattern.of,
                    first: output::time(pattern.first_ns),
                    last: output::time(pattern.last_ns),
                    failures: pattern.failures,
                })
                .collect(),
        });
    }
    let count = |value: u64| output::count(value);
    let mut text = output::facts(vec![
        ("from", output::time(told.from_ns)),
        ("until", until.unwrap_or_else(|| format!("now, LSN {}", told.lsn))),
        ("calls", count(told.calls)),
        ("writes", count(told.writes)),
        ("reads with power", count(told.reads)),
        ("commands", count(told.commands)),
        ("failed logins", count(told.failed_logins)),
        ("denied calls", count(told.denied_calls)),
        ("failures", count(told.failures)),
        ("requests", count(told.requests)),
        ("requests done", count(told.done)),
        ("requests refused", count(told.refused)),
        ("repeats", count(told.repeats)),
    ]);
    for (what, counts) in
        [("principals", &told.principals), ("methods", &told.methods), ("reasons", &told.reasons)]
    {
        if counts.is_empty() {
            continue;
        }
        let rows = counts.iter().map(|c| vec![c.name.clone(), count(c.calls)]).collect();
        text += &format!("\n\n{}", output::table(&[what, "calls"], &[1], rows));
    }
    for pattern in &told.patterns {
        let (first, last) = (output::time(pattern.first_ns), output::time(pattern.last_ns));
        let failures = count(pattern.failures);
        text += &format!(
            "\n\nSUSPICIOUS: {} of {}: {failures} from {first} to {last}",
            pattern.pattern, pattern.of
        );
    }
    Ok(text)
}
