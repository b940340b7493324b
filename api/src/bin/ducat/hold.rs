//! `ducat hold …`: money set aside for a named account, captured, voided or extended later,
//! through a running server.

mod print;

pub use print::HoldAfterLine;

use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::note::NoteArgs;
use crate::pages::{self, Pages};
use crate::terms::{BalancingArgs, RequireArgs, terms};
use crate::transfer::{Units, text, units};
use crate::{Global, moment, net, output};
use clap::{Args, Subcommand};
use ducat_api::client::Connection;
use ducat_api::import::Kind;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_api::proto::{self, Operation};
use ducat_engine::ids::{AccountId, TransferId};
use print::holds_text;

/// What can be done with holds.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
A hold sets an amount of the debit account aside for the credit account. It can be captured, in
parts and up to its amount, voided, or extended, until it is closed or expires; a closed one never
opens again. Each operation has an id of its own: run it again with that --id, and it happens once.

Examples:
  ducat hold place --from 2 --to 3 --amount 60.00 --currency GBP --expires-in 7d
  ducat hold capture 0192f3a4-5b6c-7d8e-9f01-23456789abcd --amount 45.00 --last
  ducat hold list --account 2")]
pub enum HoldCommand {
    /// Set money aside. The hold's id is the id of the request.
    Place(PlaceArgs),
    /// Move money that is on hold: all that remains, or a part of it.
    Capture(CaptureArgs),
    /// Give back all that remains of a hold, and close it.
    Void {
        /// The hold's id.
        hold: TransferId,
        #[command(flatten)]
        id: IdArg,
    },
    /// Let a hold expire later than it would.
    Extend {
        /// The hold's id.
        hold: TransferId,
        /// It expires so long after now, as in 7d, 90m or 1h30m; `never` for never.
        #[arg(long, value_name = "TIME", value_parser = moment::timeout_ms)]
        expires_in: u64,
        #[command(flatten)]
        id: IdArg,
    },
    /// Show holds by id. Ends with 1 when one of them is unknown.
    Show {
        /// The holds' ids.
        #[arg(required = true, value_name = "HOLD")]
        holds: Vec<TransferId>,
    },
    /// List the open holds of an account that pays, in no particular order.
    List {
        /// The debit account.
        #[arg(long)]
        account: AccountId,
        /// The most holds to list; 0 for all.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
    },
}

/// The id of an operation.
#[derive(Args, Debug)]
pub struct IdArg {
    /// The request's own id: a UUID or a whole number. A UUIDv7 is made when none is given.
    #[arg(long)]
    id: Option<TransferId>,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Options of `hold place`.
#[derive(Args, Debug)]
pub struct PlaceArgs {
    /// The account that will pay.
    #[arg(long, value_name = "ACCOUNT")]
    from: AccountId,
    /// The account that will receive.
    #[arg(long, value_name = "ACCOUNT")]
    to: AccountId,
    /// How much, as a decimal number such as 12.34.
    #[arg(long)]
    amount: String,
    /// The currency of both accounts.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// A deposit comes from an external account, a withdrawal goes to one; captures are of the same kind.
    #[arg(long, value_enum, default_value_t = Kind::Transfer)]
    kind: Kind,
    /// It expires so long after now, as in 7d, 90m or 1h30m; `never` for never.
    #[arg(long, value_name = "TIME", value_parser = moment::timeout_ms, default_value = "never")]
    expires_in: u64,
    /// By how much all captures together may exceed the amount.
    #[arg(long, value_name = "AMOUNT")]
    over_capture_max: Option<String>,
    /// The hold's id: a UUID or a whole number. A UUIDv7 is made when none is given.
    #[arg(long)]
    id: Option<TransferId>,
    #[command(flatten)]
    require: RequireArgs,
    #[command(flatten)]
    dry_run: DryRunArg,
    #[command(flatten)]
    note: NoteArgs,
}

/// Options of `hold capture`.
#[derive(Args, Debug)]
pub struct CaptureArgs {
    /// The hold's id.
    hold: TransferId,
    /// How much, as a decimal number; all that remains when absent.
    #[arg(long)]
    amount: Option<String>,
    /// The currency the amount is in; that of the hold when absent.
    #[arg(long, value_name = "CODE", requires = "amount")]
    currency: Option<String>,
    /// No capture follows: give back what remains behind this one.
    #[arg(long)]
    last: bool,
    #[command(flatten)]
    id: IdArg,
    #[command(flatten)]
    require: RequireArgs,
    #[command(flatten)]
    note: NoteArgs,
}

/// Runs a `hold` command.
pub async fn run(global: &Global, command: HoldCommand) -> Done {
    match command {
        HoldCommand::Place(args) => place(global, args).await,
        HoldCommand::Capture(args) => capture(global, args).await,
        HoldCommand::Void { hold, id } => {
            ask(global, of_hold(Operation::Void, id, "void", hold)?, "VOIDED").await
        }
        HoldCommand::Extend { hold, expires_in, id } => {
            let asked = of_hold(Operation::Extend, id, "extension", hold)?;
            let asked = proto::TransferRequest { timeout_ms: expires_in, ..asked };
            ask(global, asked, "EXTENDED").await
        }
        HoldCommand::Show { holds } => show(global, &holds).await,
        HoldCommand::List { account, limit } => list(global, account, limit).await,
    }
}

async fn place(global: &Global, args: PlaceArgs) -> Done {
    let id = args.dry_run.id(args.id, "hold")?;
    let asked = proto::TransferRequest {
        id: id.low(),
        id_high: id.high(),
        debit_account: args.from.low(),
        debit_account_high: args.from.high(),
        credit_account: args.to.low(),
        credit_account_high: args.to.high(),
        amount: args.amount,
        currency: args.currency,
        kind: args.kind.wire(),
        operation: Operation::Hold.into(),
        timeout_ms: args.expires_in,
        over_capture_max: args.over_capture_max.unwrap_or_default(),
        terms: terms(&BalancingArgs::default(), &args.require),
        dry_run: args.dry_run.dry_run,
        note: args.note.wire(),
        ..Default::default()
    };
    let mut client = net::ledger(global).await?;
    let outcome = request(&mut client, asked).await?;
    let units = units(&mut client, &outcome, args.from, args.to).await;
    print(global, &outcome, &units, "HELD")
}

async fn capture(global: &Global, args: CaptureArgs) -> Done {
    let terms = terms(&BalancingArgs::default(), &args.require);
    // Texts need a currency.
    let texts = args.amount.is_some() || terms.is_some();
    let currency = match (texts, args.currency) {
        (true, None) => {
            let mut client = net::ledger(global).await?;
            let found = holds(&mut client, &[args.hold]).await?;
            let Some(hold) = found.holds.first() else {
                let text = format!(
                    "no hold has the id {}, so nobody knows what its amounts are in; name the \
                     --currency to ask all the same",
                    args.hold
                );
                return Err(Failure::new(Exit::Refused, text));
            };
            hold.currency.clone()
        }
        (_, currency) => currency.unwrap_or_default(),
    };
    let asked = of_hold(Operation::Capture, args.id, "capture", args.hold)?;
    let amount = args.amount.unwrap_or_default();
    let (last, note) = (args.last, args.note.wire());
    let asked = proto::TransferRequest { amount, currency, last, terms, note, ..asked };
    ask(global, asked, "CAPTURED").await
}

fn of_hold(
    operation: Operation,
    args: IdArg,
    what: &str,
    hold: TransferId,
) -> Result<proto::TransferRequest, Failure> {
    let id = args.dry_run.id(args.id, what)?;
    Ok(proto::TransferRequest {
        id: id.low(),
        id_high: id.high(),
        operation: operation.into(),
        hold_id: hold.low(),
        hold_id_high: hold.high(),
        dry_run: args.dry_run.dry_run,
        ..Default::default()
    })
}

/// Asks something of a hold and prints what became of it.
async fn ask(global: &Global, asked: proto::TransferRequest, done: &'static str) -> Done {
    let hold = TransferId::from_halves(asked.hold_id_high, asked.hold_id);
    let mut client = net::ledger(global).await?;
    let outcome = request(&mut client, asked).await?;
    let units = match hold {
        Ok(hold) => units_of(&mut client, &outcome, hold).await,
        Err(_) => Units::default(),
    };
    print(global, &outcome, &units, done)
}

/// Currency and digits of a hold's accounts. The operation is decided by now, so an outcome is
/// printed in minor units rather than lost when the server cannot be asked.
async fn units_of(
    client: &mut LedgerClient<Connection>,
    outcome: &proto::Outcome,
    hold: TransferId,
) -> Units {
    if outcome.debit.is_none() && outcome.hold.is_none() {
        return Units::default();
    }
    match holds(client, &[hold]).await {
        Ok(found) => match found.holds.first().map(parties) {
            Some(Some((debit, credit))) => units(client, outcome, debit, credit).await,
            _ => Units::default(),
        },
        Err(why) => {
            eprintln!("ducat: amounts are in minor units, the hold cannot be read: {why}");
            Units::default()
        }
    }
}

fn parties(hold: &proto::Hold) -> Option<(AccountId, AccountId)> {
    let debit = AccountId::from_halves(hold.debit_account_high, hold.debit_account).ok()?;
    let credit = AccountId::from_halves(hold.credit_account_high, hold.credit_account).ok()?;
    Some((debit, credit))
}

async fn request(
    client: &mut LedgerClient<Connection>,
    asked: proto::TransferRequest,
) -> Result<proto::Outcome, Failure> {
    let dry = DryRunArg { dry_run: asked.dry_run };
    let response = client.transfer(asked).await.map_err(|s| net::failed(&s))?;
    let outcome = response.into_inner().outcome.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without an outcome; see its log")
    })?;
    dry.check(outcome.dry_run)?;
    Ok(outcome)
}

async fn holds(
    client: &mut LedgerClient<Connection>,
    ids: &[TransferId],
) -> Result<proto::GetHoldsResponse, Failure> {
    let ids = ids.iter().map(|&id| id.into()).collect();
    let found = client.get_holds(proto::GetHoldsRequest { ids }).await;
    Ok(found.map_err(|s| net::failed(&s))?.into_inner())
}

fn print(global: &Global, outcome: &proto::Outcome, units: &Units, done: &'static str) -> Done {
    output::print(&text(outcome, units, Some(done), global.json)?)?;
    let is_done = outcome.code == proto::Code::Posted as i32;
    Ok(if is_done { Exit::Ok } else { Exit::Refused })
}

async fn show(global: &Global, ids: &[TransferId]) -> Done {
    let mut client = net::ledger(global).await?;
    let found = holds(&mut client, ids).await?;
    if !found.holds.is_empty() {
        output::print(&holds_text(&found.holds, global.json)?)?;
    }
    for id in &found.unknown {
        let id = output::transfer_id(id.id_high, id.id);
        eprintln!("ducat: no hold has the id {id}, or it was closed long ago");
    }
    Ok(if found.unknown.is_empty() { Exit::Ok } else { Exit::Refused })
}

async fn list(global: &Global, account: AccountId, limit: u64) -> Done {
    let mut client = net::ledger(global).await?;
    let mut pages = Pages::of(limit, 1000);
    let mut holds = Vec::new();
    while let Some((page_size, from)) = pages.next_page() {
        let cursor = from.unwrap_or_default();
        let (id, id_high) = (account.low(), account.high());
        let request = proto::ListHoldsRequest { id, id_high, page_size, cursor };
        let response = client.list_holds(request).await.map_err(|s| net::failed(&s))?.into_inner();
        pages.came(response.holds.len(), pages::cursor(response.next_cursor));
        holds.extend(response.holds);
        // Scripts get each page as it comes; a table needs all rows for its widths.
        if (global.json || pages.are_over()) && (!holds.is_empty() || !global.json) {
            output::print(&holds_text(&holds, global.json)?)?;
            holds.clear();
        }
    }
    if pages.follow() {
        eprintln!("ducat: more holds may follow; --limit 0 lists all");
    }
    Ok(Exit::Ok)
}
