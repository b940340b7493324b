//! `ducat account …`: opening accounts and looking at them, through a running server.

mod known;
mod print;

use crate::Global;
use crate::dry_run::DryRunArg;
use crate::exit::{Done, Exit, Failure};
use crate::pages::{self, Pages};
use crate::{net, output, statement};
use clap::{Args, Subcommand};
use ducat_api::proto;
use ducat_engine::ids::AccountId;
use known::{FilterArgs, HistoryArgs, LimitsArgs, ProfileArgs, SetArgs, StatusArgs};
pub use print::status_name;
use print::{accounts_text, details_text};
use serde::Serialize;

/// What can be done with accounts.
#[derive(Subcommand, Debug)]
pub enum AccountCommand {
    /// Open one account. Opening it again with the same content changes nothing.
    #[command(after_help = "\
Examples:
  ducat account create 1 --currency GBP --external         # the outside world
  ducat account create 2 --currency GBP                    # may not go below zero
  ducat account create 3 --currency GBP --overdraft 500.00 # may go down to -500.00
  ducat account create 4 --currency GBP --kind liability --owner cus_81 --meta branch=7")]
    Create(CreateArgs),
    /// Show accounts by id. Ends with 1 when one of them is unknown.
    Show {
        /// The accounts' ids: whole numbers or UUIDs.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<AccountId>,
    },
    /// List accounts in the order of their opening: all, or those that everything named holds
    /// of.
    #[command(after_help = "\
Examples:
  ducat account list --owner cus_81 --limit 0
  ducat account list --kind income --currency GBP --status frozen
  ducat account list --meta branch=7 --label-prefix savings")]
    List {
        /// The most accounts to list; 0 for all.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
        #[command(flatten)]
        filter: FilterArgs,
    },
    /// Change what is known of an account: kind, owner, label, metadata. What is not named stays.
    #[command(after_help = "\
Examples:
  ducat account set 4 --label 'joint savings' --meta tier=gold --remove-meta branch
  ducat account set 4 --owner '' --kind none               # takes both away")]
    Set(SetArgs),
    /// Show a secret value of an account's metadata in full. Needs a second factor where the server asks for
    /// them; that you have seen it is in the audit trail.
    #[command(after_help = "\
Examples:
  ducat account reveal 4 card --totp 123456
  ducat audit list --account 4")]
    Reveal {
        /// The account's id.
        id: AccountId,
        /// The key of its metadata.
        key: String,
    },
    /// Give an account a status: active, debits-blocked, credits-blocked, frozen or closed. Only
    /// an empty account can be closed; a closed one can be opened again.
    #[command(after_help = "\
Examples:
  ducat account status 4 frozen --reason 'suspected fraud, case 812'
  ducat account status 4 active")]
    Status(StatusArgs),
    /// Change an account's limits, from now on. What is not named stays; `none` takes a limit
    /// away. Refused where the balance lies outside already.
    #[command(after_help = "\
Examples:
  ducat account limits 4 --overdraft 500.00
  ducat account limits 4 --floor -200.00 --ceiling 10000.00
  ducat account limits 4 --ceiling none")]
    Limits(LimitsArgs),
    /// List what happened to an account beside transfers, newest first.
    History(HistoryArgs),
    /// List what changed an account's balance, newest first or oldest first.
    Entries(statement::EntriesArgs),
    /// Show an account's balance as it was at any moment.
    Balance(statement::BalanceArgs),
    /// Stop debits and credits until the account is unfrozen.
    Freeze {
        /// The account's id.
        id: AccountId,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Allow debits and credits again.
    Unfreeze {
        /// The account's id.
        id: AccountId,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
    /// Close an empty account. It can be opened again.
    Close {
        /// The account's id.
        id: AccountId,
        #[command(flatten)]
        dry_run: DryRunArg,
    },
}

/// Options of `account create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// The id you choose: a whole number or a UUID.
    id: AccountId,
    /// What it holds: an ISO 4217 code or a defined asset.
    #[arg(long, value_name = "CODE")]
    currency: String,
    /// How far below zero it may go.
    #[arg(long, value_name = "AMOUNT", conflicts_with = "external")]
    overdraft: Option<String>,
    /// The lowest balance it may have; at most 0, since it opens empty.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true, conflicts_with = "external")]
    floor: Option<String>,
    /// The highest balance it may have.
    #[arg(long, value_name = "AMOUNT", conflicts_with = "external")]
    ceiling: Option<String>,
    /// It stands for the world outside: money enters and leaves through it.
    #[arg(long)]
    external: bool,
    #[command(flatten)]
    profile: ProfileArgs,
    #[command(flatten)]
    dry_run: DryRunArg,
}

/// Runs an `account` command.
pub async fn run(global: &Global, command: AccountCommand) -> Done {
    match command {
        AccountCommand::Create(args) => create(global, args).await,
        AccountCommand::Show { ids } => show(global, &ids).await,
        AccountCommand::List { limit, filter } => list(global, limit, filter).await,
        AccountCommand::Set(args) => known::set(global, args).await,
        AccountCommand::Reveal { id, key } => known::reveal(global, id, key).await,
        AccountCommand::Status(args) => known::status(global, args).await,
        AccountCommand::Limits(args) => known::limits(global, args).await,
        AccountCommand::History(args) => known::history(global, args).await,
        AccountCommand::Entries(args) => statement::entries(global, args).await,
        AccountCommand::Balance(args) => statement::balance(global, &args).await,
        AccountCommand::Freeze { id, dry_run } => {
            let status = proto::AccountStatus::Frozen;
            known::give(global, id, status, String::new(), dry_run).await
        }
        AccountCommand::Unfreeze { id, dry_run } => {
            let status = proto::AccountStatus::Active;
            known::give(global, id, status, String::new(), dry_run).await
        }
        AccountCommand::Close { id, dry_run } => {
            let status = proto::AccountStatus::Closed;
            known::give(global, id, status, String::new(), dry_run).await
        }
    }
}

/// What became of opening an account, as scripts read it.
#[derive(Serialize)]
struct CreatedLine {
    id: String,
    result: &'static str,
    lsn: u64,
    explanation: String,
}

async fn create(global: &Global, args: CreateArgs) -> Done {
    let ProfileArgs { kind, owner, label, meta } = args.profile;
    let account = proto::NewAccount {
        id: args.id.low(),
        id_high: args.id.high(),
        currency: args.currency,
        overdraft_limit: args.overdraft.unwrap_or_default(),
        external: args.external,
        kind: kind.unwrap_or_default() as i32,
        owner: owner.unwrap_or_default(),
        label: label.unwrap_or_default(),
        metadata: meta.into_iter().collect(),
        floor: args.floor.unwrap_or_default(),
        ceiling: args.ceiling.unwrap_or_default(),
    };
    let request =
        proto::CreateAccountsRequest { accounts: vec![account], dry_run: args.dry_run.dry_run };
    let mut client = net::ledger(global).await?;
    let response = client.create_accounts(request).await.map_err(|s| net::failed(&s))?;
    let mut response = response.into_inner();
    let dry_run_lsn = response.dry_run_lsn;
    args.dry_run.check(dry_run_lsn > 0)?;
    let result = response.results.pop().ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without a result; see its log")
    })?;
    let (text, exit) = created(&result, global.json)?;
    output::print(&text)?;
    args.dry_run.tell(dry_run_lsn);
    Ok(exit)
}

/// What is printed about an opening, and how the command ends.
fn created(result: &proto::AccountResult, json: bool) -> Result<(String, Exit), Failure> {
    use proto::account_result::Code;
    let id = output::account_id(result.id_high, result.id);
    let (name, exit) = match result.code() {
        Code::Opened => ("OPENED", Exit::Ok),
        Code::Exists => ("EXISTS", Exit::Ok),
        Code::ExistsDifferent => ("EXISTS_DIFFERENT", Exit::Refused),
        Code::LedgerFull => ("LEDGER_FULL", Exit::Refused),
    };
    if json {
        let explanation = result.explanation.clone();
        let line = CreatedLine { id, result: name, lsn: result.lsn, explanation };
        return Ok((output::json(&line)?, exit));
    }
    let text = match result.code() {
        Code::Opened if result.lsn == 0 => format!("account {id} would be opened"),
        Code::Opened => format!("account {id} opened at LSN {}", result.lsn),
        Code::Exists => format!("account {id} exists with this content since LSN {}", result.lsn),
        _ => format!("account {id} was not opened: {name}: {}", result.explanation),
    };
    Ok((text, exit))
}

async fn show(global: &Global, ids: &[AccountId]) -> Done {
    let ids = ids.iter().map(|id| proto::Id { id: id.low(), id_high: id.high() }).collect();
    let mut client = net::ledger(global).await?;
    let response = client.get_accounts(proto::GetAccountsRequest { ids }).await;
    let response = response.map_err(|s| net::failed(&s))?.into_inner();
    if !response.accounts.is_empty() {
        output::print(&accounts_text(&response.accounts, global.json)?)?;
        if !global.json {
            response
                .accounts
                .iter()
                .filter_map(details_text)
                .try_for_each(|t| output::print(&t))?;
        }
    }
    for id in &response.unknown {
        eprintln!("ducat: no account has the id {}", output::account_id(id.id_high, id.id));
    }
    Ok(if response.unknown.is_empty() { Exit::Ok } else { Exit::Refused })
}

async fn list(global: &Global, limit: u64, filter: FilterArgs) -> Done {
    let mut client = net::ledger(global).await?;
    let filter = filter.into_filter();
    let mut pages = Pages::of(limit, 10_000);
    let mut accounts = Vec::new();
    while let Some((page_size, from)) = pages.next_page() {
        let cursor = from.unwrap_or_default();
        let request = proto::ListAccountsRequest { page_size, cursor, filter: filter.clone() };
        let response = client.list_accounts(request).await;
        let response = response.map_err(|s| net::failed(&s))?.into_inner();
        pages.came(response.accounts.len(), pages::cursor(response.next_cursor));
        accounts.extend(response.accounts);
        // Scripts get each page as it comes; a table needs all rows for its widths.
        if (global.json || pages.are_over()) && (!accounts.is_empty() || !global.json) {
            output::print(&accounts_text(&accounts, global.json)?)?;
            accounts.clear();
        }
    }
    if pages.follow() {
        eprintln!("ducat: more accounts follow; --limit 0 lists all");
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
