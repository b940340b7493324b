//! `ducat watch …`: conditions on accounts that raise an event when they become true, through a
//! running server.

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::{Global, moment, net, output};
use clap::{ArgGroup, Args, Subcommand};
use ducat_api::proto::{self, watch_condition::When};
use ducat_engine::ids::AccountId;
use serde::Serialize;

/// What can be done with watches.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
A watch triggers at the very event that makes its condition true, and again once it has been false in
between. `ducat events` tells it with that event; `--kind watch-triggered` shows those alone.

Examples:
  ducat watch add 2 low --available-below 100.00
  ducat watch add 2 spent-today --debits-above 500.00 --within 24h
  ducat watch list 2
  ducat watch remove 2 low")]
pub enum WatchCommand {
    /// Define a watch. Defining the same one again changes nothing.
    Add(AddArgs),
    /// List an account's watches.
    List {
        /// The account.
        account: AccountId,
    },
    /// Remove a watch.
    Remove {
        /// The account.
        account: AccountId,
        /// The watch's name.
        name: String,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
}

/// Options of `watch add`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("condition").required(true)))]
pub struct AddArgs {
    /// The account.
    account: AccountId,
    /// The watch's name, once an account: 1 to 64 letters, digits and `_-.:/`.
    name: String,
    /// What it can spend falls below this.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, group = "condition")]
    available_below: Option<String>,
    /// What it can spend rises above this.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, group = "condition")]
    available_above: Option<String>,
    /// Its posted balance falls below this.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, group = "condition")]
    posted_below: Option<String>,
    /// Its posted balance rises above this.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, group = "condition")]
    posted_above: Option<String>,
    /// It pays more than this within one window.
    #[arg(long, value_name = "AMOUNT", group = "condition", requires = "within")]
    debits_above: Option<String>,
    /// It receives more than this within one window.
    #[arg(long, value_name = "AMOUNT", group = "condition", requires = "within")]
    credits_above: Option<String>,
    /// It pays and receives more than this together within one window.
    #[arg(long, value_name = "AMOUNT", group = "condition", requires = "within")]
    moved_above: Option<String>,
    /// The length of a window, as in 24h, 90m or 1h30m. Windows follow one another from 1970 on: with
    /// 24h they are the days of UTC.
    #[arg(long, value_name = "TIME", value_parser = moment::timeout_ms)]
    within: Option<u64>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// A watch as scripts read it.
#[derive(Serialize)]
struct WatchLine<'a> {
    account: String,
    name: &'a str,
    condition: String,
    added_lsn: u64,
}

/// Runs a `watch` command.
pub async fn run(global: &Global, command: WatchCommand) -> Done {
    match command {
        WatchCommand::Add(args) => add(global, args).await,
        WatchCommand::List { account } => list(global, account).await,
        WatchCommand::Remove { account, name, dry_run } => {
            let request = proto::RemoveWatchRequest {
                id: account.low(),
                id_high: account.high(),
                name: name.clone(),
                dry_run: dry_run.dry_run,
            };
            let mut client = net::ledger(global).await?;
            let answer = client.remove_watch(request).await.map_err(|s| net::failed(&s))?;
            let lsn = answer.into_inner().dry_run_lsn;
            dry_run.check(lsn > 0)?;
            let removed = if dry_run.dry_run { "would be removed" } else { "removed" };
            output::print(&format!("watch {name} of account {account} {removed}"))?;
            dry_run.tell(lsn);
            Ok(Exit::Ok)
        }
    }
}

async fn add(global: &Global, args: AddArgs) -> Done {
    let window_ms = args.within.unwrap_or(0);
    let moved = |flow: proto::Flow| {
        move |above| {
            let flow = flow as i32;
            When::Moved(proto::MovedAbove { flow, above, window_ms })
        }
    };
    let when = None
        .or(args.available_below.map(When::AvailableBelow))
        .or(args.available_above.map(When::AvailableAbove))
        .or(args.posted_below.map(When::PostedBelow))
        .or(args.posted_above.map(When::PostedAbove))
        .or(args.debits_above.map(moved(proto::Flow::Debits)))
        .or(args.credits_above.map(moved(proto::Flow::Credits)))
        .or(args.moved_above.map(moved(proto::Flow::Both)));
    let request = proto::AddWatchRequest {
        id: args.account.low(),
        id_high: args.account.high(),
        name: args.name,
        condition: Some(proto::WatchCondition { when }),
        dry_run: args.dry_run.dry_run,
    };
    let mut client = net::ledger(global).await?;
    let answer = client.add_watch(request).await.map_err(|s| net::failed(&s))?.into_inner();
    args.dry_run.check(answer.dry_run_lsn > 0)?;
    let watch = answer.watch.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without a watch; see its log")
    })?;
    output::print(&text(args.account, std::slice::from_ref(&watch), global.json)?)?;
    args.dry_run.tell(answer.dry_run_lsn);
    Ok(Exit::Ok)
}

async fn list(global: &Global, account: AccountId) -> Done {
    let request = proto::ListWatchesRequest { id: account.low(), id_high: account.high() };
    let mut client = net::ledger(global).await?;
    let answer = client.list_watches(request).await.map_err(|s| net::failed(&s))?.into_inner();
    if !answer.watches.is_empty() || !global.json {
        output::print(&text(account, &answer.watches, global.json)?)?;
    }
    Ok(Exit::Ok)
}

impl<'a> WatchLine<'a> {
    fn new(account: AccountId, watch: &'a proto::Watch) -> Self {
        Self {
            account: account.to_string(),
            name: &watch.name,
            condition: condition_text(watch.condition.as_ref()),
            added_lsn: watch.added_lsn,
        }
    }
}

fn text(account: AccountId, watches: &[proto::Watch], json: bool) -> Result<String, Failure> {
    let lines = watches.iter().map(|watch| WatchLine::new(account, watch));
    if json {
        let lines = lines.map(|line| output::json(&line)).collect::<Result<Vec<_>, _>>()?;
        return Ok(lines.join("\n"));
    }
    let row = |line: WatchLine| {
        vec![line.account, line.name.to_owned(), line.condition, line.added_lsn.to_string()]
    };
    Ok(output::table(
        &["account", "watch", "condition", "since LSN"],
        &[3],
        lines.map(row).collect(),
    ))
}

/// `available below 100.00`, `debits above 500.00 within 24h`.
pub fn condition_text(condition: Option<&proto::WatchCondition>) -> String {
    match condition.and_then(|condition| condition.when.as_ref()) {
        None => "unknown".to_owned(),
        Some(When::AvailableBelow(bound)) => format!("available below {bound}"),
        Some(When::AvailableAbove(bound)) => format!("available above {bound}"),
        Some(When::PostedBelow(bound)) => format!("posted below {bound}"),
        Some(When::PostedAbove(bound)) => format!("posted above {bound}"),
        Some(When::Moved(moved)) => {
            let flow = match moved.flow() {
                proto::Flow::Both => "moved",
                proto::Flow::Debits => "debits",
                proto::Flow::Credits => "credits",
            };
            format!("{flow} above {} within {}", moved.above, window_text(moved.window_ms))
        }
    }
}

/// In the largest unit that fits: `24h`, `90m`, `1500ms`.
fn window_text(ms: u64) -> String {
    for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if ms.is_multiple_of(unit) {
            return format!("{}{name}", ms / unit);
        }
    }
    format!("{ms}ms")
}
