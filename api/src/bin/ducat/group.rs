//! `ducat group`: legs of any kind out of a file, done together or not at all, through a running server.

mod file;

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::terms::moved_minor;
use crate::transfer::{Units, json_line, units};
use crate::{Global, net, output};
use clap::Args;
use ducat_actors::handle::BATCH_MAX;
use ducat_api::client::Connection;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, Operation, TransferRequest};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::format_minor;
use std::path::{Path, PathBuf};

/// Options of `group`.
#[derive(Args, Debug)]
#[command(after_help = "\
All legs of the file are one linked group: each sees those before it, and all are done or none is.
The file has a leg to a line, as JSON, or is CSV whose first line names the columns:
  op                transfer (also when absent), hold, capture, void, extend, refund, reverse
  id                the leg's own id; follows from --id and its place when absent
  from, to          transfer, hold: the accounts
  amount, currency  transfer, hold, refund; capture: all that remains when absent
  kind              transfer, hold: deposit, withdrawal, payment …
  hold              capture, void, extend: the hold's id
  last              capture: true when none follows
  expires_in        hold, extend: as in 7d
  over_capture_max  hold
  original          refund, reverse: the id of what is given back
  original_lsn      the same by its place, where the id is not remembered
  allow_overdraft   refund, reverse: true or false
  up_to, min        transfer: a balanced amount, as of `ducat transfer`
  require           transfer, hold, capture: conditions, as in debit.available>=10.00; blanks between
                    several
  reference, description, value_date

Examples:
  ducat group payday.jsonl --id 9100 --currency GBP
  ducat group payday.csv --id 9100 --dry-run --json")]
pub struct GroupArgs {
    /// The file; `-` reads it from stdin.
    file: PathBuf,
    /// The currency of amounts whose legs name none.
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// The id of the first leg, from which the others' follow: a UUID or a whole number. A UUIDv7 is made
    /// when none is given.
    #[arg(long)]
    id: Option<TransferId>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Runs `group`.
pub async fn run(global: &Global, args: GroupArgs) -> Done {
    let text = read(&args.file)?;
    let legs = file::legs(&text)
        .map_err(|why| Failure::new(Exit::Usage, format!("{}: {why}", args.file.display())))?;
    if !(1..=BATCH_MAX).contains(&legs.len()) {
        let text = format!("a group has 1 to {BATCH_MAX} legs, not {}", legs.len());
        return Err(Failure::usage(text));
    }
    let id = args.dry_run.id(args.id, "group")?;
    let requests = file::requests(legs, id, args.currency.as_deref());
    let requests = requests
        .map_err(|why| Failure::new(Exit::Usage, format!("{}: {why}", args.file.display())))?;
    let mut client = net::ledger(global).await?;
    send(global, &mut client, requests, args.dry_run).await
}

fn read(file: &Path) -> Result<String, Failure> {
    let read = match file.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()),
        _ => std::fs::read_to_string(file),
    };
    read.map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))
}

/// Sends the legs as one group and prints what became of each.
async fn send(
    global: &Global,
    client: &mut LedgerClient<Connection>,
    legs: Vec<TransferRequest>,
    dry: DryRunArg,
) -> Done {
    let (transfers, dry_run) = (legs.clone(), dry.dry_run);
    let request = proto::CreateTransfersRequest { transfers, dry_run };
    let response = client.create_transfers(request).await.map_err(|s| net::failed(&s))?;
    let outcomes = response.into_inner().outcomes;
    if outcomes.len() != legs.len() {
        let text = "the server answered without an outcome for each leg; see its log";
        return Err(Failure::new(Exit::Internal, text));
    }
    dry.check(outcomes.iter().all(|outcome| outcome.dry_run))?;
    let mut all = Vec::with_capacity(legs.len());
    for (leg, outcome) in legs.iter().zip(&outcomes) {
        all.push(match parties(leg) {
            // What people read names the amounts as they were asked for.
            Some((from, to)) if global.json || outcome.terms.is_some() => {
                units(client, outcome, from, to).await
            }
            _ => Units::default(),
        });
    }
    output::print(&text(&legs, &outcomes, &all, global.json)?)?;
    dry.tell(outcomes.iter().map(|outcome| outcome.lsn).max().unwrap_or(0));
    let posted = outcomes.iter().all(proto::Outcome::is_posted);
    Ok(if posted { Exit::Ok } else { Exit::Refused })
}

fn parties(leg: &TransferRequest) -> Option<(AccountId, AccountId)> {
    let from = AccountId::from_halves(leg.debit_account_high, leg.debit_account).ok()?;
    let to = AccountId::from_halves(leg.credit_account_high, leg.credit_account).ok()?;
    Some((from, to))
}

/// What a leg is about, in a word and an id.
fn what(leg: &TransferRequest) -> String {
    let account = output::account_id;
    match leg.operation() {
        Operation::Transfer | Operation::Hold => format!(
            "{} -> {}",
            account(leg.debit_account_high, leg.debit_account),
            account(leg.credit_account_high, leg.credit_account)
        ),
        Operation::Capture | Operation::Void | Operation::Extend => {
            format!("hold {}", output::transfer_id(leg.hold_id_high, leg.hold_id))
        }
        Operation::Refund | Operation::Reverse => {
            format!("of {}", output::transfer_id(leg.original_id_high, leg.original_id))
        }
    }
}

fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Transfer => "transfer",
        Operation::Hold => "hold",
        Operation::Capture => "capture",
        Operation::Void => "void",
        Operation::Extend => "extend",
        Operation::Refund => "refund",
        Operation::Reverse => "reverse",
    }
}

/// How much: what was moved of a balanced amount, else what was asked for.
fn amount(leg: &TransferRequest, outcome: &proto::Outcome, units: &Units) -> String {
    let balanced = leg.terms.as_ref().is_some_and(|terms| terms.balancing.is_some());
    let told = outcome.terms.as_ref().filter(|_| balanced && outcome.is_posted());
    match (told, &units.debit) {
        (Some(told), Some(unit)) => {
            let minor = moved_minor(told).parse().unwrap_or(0);
            format!("{} {}", format_minor(minor, unit.digits), unit.currency)
        }
        (Some(told), None) => format!("{} minor units", moved_minor(told)),
        (None, _) if leg.amount.is_empty() => String::new(),
        (None, _) if balanced => format!("up to {} {}", leg.amount, leg.currency),
        (None, _) => format!("{} {}", leg.amount, leg.currency),
    }
}

/// A line for each leg: as a table, and why it was refused; or as JSON lines.
fn text(
    legs: &[TransferRequest],
    outcomes: &[proto::Outcome],
    units: &[Units],
    json: bool,
) -> Result<String, Failure> {
    if json {
        let lines = outcomes.iter().zip(units).map(|(outcome, units)| json_line(outcome, units));
        return Ok(lines.collect::<Result<Vec<_>, _>>()?.join("\n"));
    }
    let row = |((leg, outcome), units): ((&TransferRequest, &proto::Outcome), &Units)| {
        vec![
            output::transfer_id(outcome.id_high, outcome.id),
            name(leg.operation()).to_owned(),
            what(leg),
            amount(leg, outcome, units),
            output::code_name(outcome.code).to_owned(),
        ]
    };
    let rows = legs.iter().zip(outcomes).zip(units).map(row).collect();
    let mut text = output::table(&["request", "op", "of", "amount", "outcome"], &[3], rows);
    let failed = proto::Code::LinkedFailed as i32;
    let why = outcomes.iter().find(|o| !o.explanation.is_empty() && o.code != failed);
    if let Some(outcome) = why {
        text.push_str(&format!("\nbecause {}", outcome.explanation));
    }
    if outcomes.iter().all(|outcome| outcome.repeat) {
        text.push_str("\nrepeat: these ids were decided before, nothing happened anew");
    }
    Ok(text)
}
