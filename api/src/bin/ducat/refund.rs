//! `ducat refund`, `reverse` and `refunds`: money given back of what a transfer or a capture moved,
//! through a running server.

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::note::NoteArgs;
use crate::pages::{self, Pages};
use crate::transfer::{Unit, Units, text, units};
use crate::{Global, net, output, reverse_group};
use clap::Args;
use ducat_api::client::Connection;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, Operation};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::format_minor;
use serde::Serialize;

/// What is given back, and how.
#[derive(Args, Debug)]
struct OriginalArgs {
    /// The id of the transfer or the capture that moved the money.
    of: TransferId,
    /// Its LSN, for one whose id is not remembered any more.
    #[arg(long, value_name = "LSN")]
    lsn: Option<u64>,
}

/// Options of both ways to give money back.
#[derive(Args, Debug)]
struct BackArgs {
    #[command(flatten)]
    original: OriginalArgs,
    /// Let the account that pays go below its overdraft limit for it; never below a floor.
    #[arg(long)]
    allow_overdraft: bool,
    /// The request's own id: a UUID or a whole number. A UUIDv7 is made when none is given.
    #[arg(long)]
    id: Option<TransferId>,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    note: NoteArgs,
}

/// Options of `refund`.
#[derive(Args, Debug)]
#[command(after_help = "\
A refund goes from the account that received to the one that paid; all refunds of one transfer
never come to more than it moved. Run it again with its --id, and it happens once.

Examples:
  ducat refund 0192f3a4-5b6c-7d8e-9f01-23456789abcd --amount 5.00
  ducat refunds 0192f3a4-5b6c-7d8e-9f01-23456789abcd")]
pub struct RefundArgs {
    #[command(flatten)]
    back: BackArgs,
    /// How much, as a decimal number such as 12.34.
    #[arg(long)]
    amount: String,
    /// The currency the amount is in; that of the original when absent.
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
}

/// Options of `reverse`.
#[derive(Args, Debug)]
#[command(after_help = "\
A reversal gives back all that was not refunded yet, once: nothing can be refunded after it.
Of a group, any member leads to all: they are given back whole, all or none, unless a part of one was
given back already.

Examples:
  ducat reverse 0192f3a4-5b6c-7d8e-9f01-23456789abcd
  ducat reverse 0192f3a4-5b6c-7d8e-9f01-23456789abcd --group --dry-run")]
pub struct ReverseArgs {
    #[command(flatten)]
    back: BackArgs,
    /// Give back the whole linked group that it is a member of.
    #[arg(long)]
    group: bool,
}

/// Options of `refunds`.
#[derive(Args, Debug)]
pub struct RefundsArgs {
    #[command(flatten)]
    original: OriginalArgs,
    /// The most refunds to list, newest first; 0 for all.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u64,
}

/// How an original stands after a refund, as scripts read it: minor units, and decimals where the
/// accounts' digits could be asked for.
#[derive(Serialize)]
pub struct RefundAfterLine<'a> {
    of: String,
    of_lsn: u64,
    moved_minor: String,
    refunded_minor: String,
    moved: Option<String>,
    refunded: Option<String>,
    remaining: Option<String>,
    currency: Option<&'a str>,
    reversed: bool,
}

impl<'a> RefundAfterLine<'a> {
    /// Of an outcome.
    pub fn new(refund: &proto::RefundOutcome, unit: Option<&'a Unit>) -> Self {
        let [moved, refunded] = figures(refund);
        let decimal = |minor: i128| Some(format_minor(minor, unit?.digits));
        let of = |minor: &str| decimal(minor.parse().ok()?);
        let left = moved.parse::<i128>().ok().zip(refunded.parse::<i128>().ok());
        Self {
            of: output::transfer_id(refund.original_id_high, refund.original_id),
            of_lsn: refund.original_lsn,
            moved: of(&moved),
            refunded: of(&refunded),
            remaining: left.and_then(|(moved, refunded)| decimal(moved - refunded)),
            moved_minor: moved,
            refunded_minor: refunded,
            currency: unit.map(|unit| unit.currency.as_str()),
            reversed: refund.reversed,
        }
    }

    /// The same for people.
    pub fn fact(self) -> (&'static str, String) {
        let reversed = if self.reversed { ", reversed" } else { "" };
        let what = match (self.moved, self.refunded, self.remaining, self.currency) {
            (Some(moved), Some(refunded), Some(remaining), Some(currency)) => {
                format!("{refunded} of {moved} {currency} given back, {remaining} remain")
            }
            _ => format!("{} of {} minor units given back", self.refunded_minor, self.moved_minor),
        };
        ("original", format!("{} (LSN {}){reversed}: {what}", self.of, self.of_lsn))
    }
}

/// What was moved, and what of it was given back, minor units.
fn figures(refund: &proto::RefundOutcome) -> [String; 2] {
    match &refund.wide {
        Some(wide) => [wide.moved_minor.clone(), wide.refunded_minor.clone()],
        None => [refund.moved_minor.to_string(), refund.refunded_minor.to_string()],
    }
}

/// Runs `refund`.
pub async fn refund(global: &Global, args: RefundArgs) -> Done {
    let mut client = net::ledger(global).await?;
    let currency = match args.currency {
        Some(currency) => currency,
        None => match list(&mut client, &args.back.original, 1, String::new()).await {
            Ok(found) => found.currency,
            Err(failure) => {
                let text = format!(
                    "{failure}, so nobody knows what its amounts are in; name the --currency to \
                     ask all the same"
                );
                return Err(Failure::new(failure.exit, text));
            }
        },
    };
    let asked = asked(Operation::Refund, &args.back)?;
    let asked = proto::TransferRequest { amount: args.amount, currency, ..asked };
    ask(global, &mut client, &args.back, asked, "REFUNDED").await
}

/// Runs `reverse`.
pub async fn reverse(global: &Global, args: ReverseArgs) -> Done {
    if args.group {
        let BackArgs { original, allow_overdraft, id, dry_run, note } = args.back;
        let id = dry_run.id(id, "reversal")?;
        let asked = proto::ReverseGroupRequest {
            id: id.low(),
            id_high: id.high(),
            original_id: original.of.low(),
            original_id_high: original.of.high(),
            original_lsn: original.lsn.unwrap_or(0),
            allow_overdraft,
            note: note.wire().map(|note| *note),
            dry_run: dry_run.dry_run,
        };
        return reverse_group::run(global, dry_run, asked).await;
    }
    let mut client = net::ledger(global).await?;
    let asked = asked(Operation::Reverse, &args.back)?;
    ask(global, &mut client, &args.back, asked, "REVERSED").await
}

fn asked(operation: Operation, args: &BackArgs) -> Result<proto::TransferRequest, Failure> {
    let what = if operation == Operation::Refund { "refund" } else { "reversal" };
    let id = args.dry_run.id(args.id, what)?;
    Ok(proto::TransferRequest {
        id: id.low(),
        id_high: id.high(),
        operation: operation.into(),
        original_id: args.original.of.low(),
        original_id_high: args.original.of.high(),
        original_lsn: args.original.lsn.unwrap_or(0),
        allow_overdraft: args.allow_overdraft,
        dry_run: args.dry_run.dry_run,
        note: args.note.wire(),
        ..Default::default()
    })
}

async fn ask(
    global: &Global,
    client: &mut LedgerClient<Connection>,
    args: &BackArgs,
    asked: proto::TransferRequest,
    done: &'static str,
) -> Done {
    let response = client.transfer(asked).await.map_err(|s| net::failed(&s))?;
    let outcome = response.into_inner().outcome.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without an outcome; see its log")
    })?;
    args.dry_run.check(outcome.dry_run)?;
    let units = units_of(client, &outcome, &args.original).await;
    output::print(&text(&outcome, &units, Some(done), global.json)?)?;
    let is_done = outcome.code == proto::Code::Posted as i32;
    Ok(if is_done { Exit::Ok } else { Exit::Refused })
}

/// Currency and digits of the original's accounts, the one that pays the refund first. The request
/// is decided by now, so an outcome is printed in minor units rather than lost when the server
/// cannot be asked.
async fn units_of(
    client: &mut LedgerClient<Connection>,
    outcome: &proto::Outcome,
    original: &OriginalArgs,
) -> Units {
    if outcome.debit.is_none() {
        return Units::default();
    }
    match list(client, original, 1, String::new()).await.map(|found| parties(&found)) {
        Ok(Some((debit, credit))) => units(client, outcome, credit, debit).await,
        Ok(None) => Units::default(),
        Err(why) => {
            eprintln!("ducat: amounts are in minor units, the original cannot be read: {why}");
            Units::default()
        }
    }
}

fn parties(found: &proto::ListRefundsResponse) -> Option<(AccountId, AccountId)> {
    let debit = AccountId::from_halves(found.debit_account_high, found.debit_account).ok()?;
    let credit = AccountId::from_halves(found.credit_account_high, found.credit_account).ok()?;
    Some((debit, credit))
}

async fn list(
    client: &mut LedgerClient<Connection>,
    original: &OriginalArgs,
    page_size: u32,
    cursor: String,
) -> Result<proto::ListRefundsResponse, Failure> {
    let request = proto::ListRefundsRequest {
        id: original.of.low(),
        id_high: original.of.high(),
        lsn: original.lsn.unwrap_or(0),
        page_size,
        cursor,
    };
    Ok(client.list_refunds(request).await.map_err(|s| net::failed(&s))?.into_inner())
}

/// A refund as scripts read it.
#[derive(Serialize)]
struct RefundLine<'a> {
    id: String,
    of: String,
    of_lsn: u64,
    lsn: u64,
    time: String,
    time_ns: u64,
    amount: &'a str,
    refunded: &'a str,
    currency: &'a str,
    reversal: bool,
}

/// Runs `refunds`.
pub async fn refunds(global: &Global, args: RefundsArgs) -> Done {
    let mut client = net::ledger(global).await?;
    let mut pages = Pages::of(args.limit, 1000);
    let mut found = proto::ListRefundsResponse::default();
    while let Some((page_size, from)) = pages.next_page() {
        let cursor = from.unwrap_or_default();
        let page = list(&mut client, &args.original, page_size, cursor).await?;
        pages.came(page.refunds.len(), pages::cursor(page.next_cursor.clone()));
        let before = std::mem::take(&mut found.refunds);
        found = proto::ListRefundsResponse {
            refunds: before.into_iter().chain(page.refunds.clone()).collect(),
            ..page
        };
    }
    output::print(&refunds_text(&found, global.json)?)?;
    if pages.follow() {
        eprintln!("ducat: more refunds follow; --limit 0 lists all");
    }
    Ok(Exit::Ok)
}

fn refunds_text(found: &proto::ListRefundsResponse, json: bool) -> Result<String, Failure> {
    let state = found.refunded.as_ref().ok_or_else(|| {
        Failure::new(Exit::Internal, "the server told no state of the original; see its log")
    })?;
    let of = output::transfer_id(state.original_id_high, state.original_id);
    let line = |refund| RefundLine::new(refund, &of, state.original_lsn, &found.currency);
    if json {
        let lines: Result<Vec<String>, Failure> =
            found.refunds.iter().map(|refund| output::json(&line(refund))).collect();
        return Ok(lines?.join("\n"));
    }
    let digits = u8::try_from(found.digits).unwrap_or(0);
    let [moved, refunded] = figures(state)
        .map(|minor| minor.parse().map_or(minor, |minor: i128| format_minor(minor, digits)));
    let reversed = if state.reversed { ", reversed" } else { "" };
    let mut text = format!(
        "{of} moved {moved} {} at LSN {}, {refunded} given back{reversed}",
        found.currency, state.original_lsn
    );
    for refund in &found.refunds {
        let line = line(refund);
        let what = if line.reversal { "reversal" } else { "refund" };
        text += &format!(
            "\n{}  {}  {what} {}  {} {}  in all {}",
            line.lsn, line.time, line.id, line.amount, line.currency, line.refunded
        );
    }
    Ok(text)
}

impl<'a> RefundLine<'a> {
    fn new(refund: &'a proto::Refund, of: &str, of_lsn: u64, currency: &'a str) -> Self {
        Self {
            id: output::transfer_id(refund.id_high, refund.id),
            of: of.to_owned(),
            of_lsn,
            lsn: refund.lsn,
            time: output::time(refund.time_ns),
            time_ns: refund.time_ns,
            amount: &refund.amount,
            refunded: &refund.refunded,
            currency,
            reversal: refund.reversal,
        }
    }
}
