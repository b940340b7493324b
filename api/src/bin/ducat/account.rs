//! `ducat account …`: opening accounts and looking at them, through a running server.

use crate::Global;
use crate::exit::{Done, Exit, Failure};
use crate::{net, output, statement};
use clap::{Args, Subcommand};
use ducat_api::proto;
use ducat_engine::ids::AccountId;
use serde::Serialize;

/// What can be done with accounts.
#[derive(Subcommand, Debug)]
pub enum AccountCommand {
    /// Open one account. Opening it again with the same content changes nothing.
    #[command(after_help = "\
Examples:
  ducat account create 1 --currency GBP --external         # the outside world
  ducat account create 2 --currency GBP                    # may not go below zero
  ducat account create 3 --currency GBP --overdraft 500.00 # may go down to -500.00")]
    Create(CreateArgs),
    /// Show accounts by id. Ends with 1 when one of them is unknown.
    Show {
        /// The accounts' ids: whole numbers or UUIDs.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<AccountId>,
    },
    /// List accounts in the order of their opening.
    List {
        /// The most accounts to list; 0 for all.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
    },
    /// List what changed an account's balance, newest first or oldest first.
    Entries(statement::EntriesArgs),
    /// Show an account's balance as it was at any moment.
    Balance(statement::BalanceArgs),
    /// Stop debits and credits until the account is unfrozen.
    Freeze {
        /// The account's id.
        id: AccountId,
    },
    /// Allow debits and credits again.
    Unfreeze {
        /// The account's id.
        id: AccountId,
    },
    /// Close an empty account for good.
    Close {
        /// The account's id.
        id: AccountId,
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
    /// It stands for the world outside: money enters and leaves through it.
    #[arg(long)]
    external: bool,
}

/// Runs an `account` command.
pub async fn run(global: &Global, command: AccountCommand) -> Done {
    match command {
        AccountCommand::Create(args) => create(global, args).await,
        AccountCommand::Show { ids } => show(global, &ids).await,
        AccountCommand::List { limit } => list(global, limit).await,
        AccountCommand::Entries(args) => statement::entries(global, args).await,
        AccountCommand::Balance(args) => statement::balance(global, &args).await,
        AccountCommand::Freeze { id } => set(global, id, proto::AccountStatus::Frozen).await,
        AccountCommand::Unfreeze { id } => set(global, id, proto::AccountStatus::Active).await,
        AccountCommand::Close { id } => set(global, id, proto::AccountStatus::Closed).await,
    }
}

/// An account as scripts read it.
#[derive(Serialize)]
struct AccountLine<'a> {
    id: String,
    currency: &'a str,
    status: &'static str,
    external: bool,
    posted: &'a str,
    held: &'a str,
    incoming: &'a str,
    available: Option<&'a str>,
    overdraft_limit: &'a str,
    posted_minor: &'a str,
    opened_lsn: u64,
    last_lsn: u64,
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
    let account = proto::NewAccount {
        id: args.id.low(),
        id_high: args.id.high(),
        currency: args.currency,
        overdraft_limit: args.overdraft.unwrap_or_default(),
        external: args.external,
    };
    let request = proto::CreateAccountsRequest { accounts: vec![account] };
    let mut client = net::ledger(global).await?;
    let response = client.create_accounts(request).await.map_err(|s| net::failed(&s))?;
    let result = response.into_inner().results.pop().ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without a result; see its log")
    })?;
    let (text, exit) = created(&result, global.json)?;
    output::print(&text)?;
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
    }
    for id in &response.unknown {
        eprintln!("ducat: no account has the id {}", output::account_id(id.id_high, id.id));
    }
    Ok(if response.unknown.is_empty() { Exit::Ok } else { Exit::Refused })
}

async fn list(global: &Global, limit: u64) -> Done {
    let mut client = net::ledger(global).await?;
    let mut left = if limit == 0 { u64::MAX } else { limit };
    let mut cursor = String::new();
    let mut accounts = Vec::new();
    loop {
        let page_size = u32::try_from(left.min(10_000)).unwrap_or(10_000);
        let response = client.list_accounts(proto::ListAccountsRequest { page_size, cursor }).await;
        let response = response.map_err(|s| net::failed(&s))?.into_inner();
        left = left.saturating_sub(response.accounts.len() as u64);
        cursor = response.next_cursor;
        accounts.extend(response.accounts);
        let ends = left == 0 || cursor.is_empty();
        // Scripts get each page as it comes; a table needs all rows for its widths.
        if (global.json || ends) && (!accounts.is_empty() || !global.json) {
            output::print(&accounts_text(&accounts, global.json)?)?;
            accounts.clear();
        }
        if ends {
            break;
        }
    }
    if !cursor.is_empty() {
        eprintln!("ducat: more accounts follow; --limit 0 lists all");
    }
    Ok(Exit::Ok)
}

async fn set(global: &Global, id: AccountId, status: proto::AccountStatus) -> Done {
    let request =
        proto::SetAccountStatusRequest { id: id.low(), id_high: id.high(), status: status as i32 };
    let mut client = net::ledger(global).await?;
    let response = client.set_account_status(request).await.map_err(|s| net::failed(&s))?;
    let account = response.into_inner().account.ok_or_else(|| {
        Failure::new(Exit::Internal, "the server answered without an account; see its log")
    })?;
    output::print(&accounts_text(&[account], global.json)?)?;
    Ok(Exit::Ok)
}

/// Accounts as a table or as JSON lines.
fn accounts_text(accounts: &[proto::Account], json: bool) -> Result<String, Failure> {
    if json {
        let lines: Result<Vec<_>, _> =
            accounts.iter().map(|a| output::json(&account_line(a))).collect();
        return Ok(lines?.join("\n"));
    }
    let header = ["id", "currency", "status", "posted", "held", "available", "overdraft"];
    let rows = accounts
        .iter()
        .map(|a| {
            let status = if a.external { "external" } else { status_name(a.status()) };
            vec![
                output::account_id(a.id_high, a.id),
                a.currency.clone(),
                status.to_owned(),
                a.posted.clone(),
                a.held.clone(),
                if a.external { "no limit".to_owned() } else { a.available.clone() },
                if a.external { String::new() } else { a.overdraft_limit.clone() },
            ]
        })
        .collect();
    Ok(output::table(&header, &[0, 3, 4, 5, 6], rows))
}

fn account_line(a: &proto::Account) -> AccountLine<'_> {
    AccountLine {
        id: output::account_id(a.id_high, a.id),
        currency: &a.currency,
        status: status_name(a.status()),
        external: a.external,
        posted: &a.posted,
        held: &a.held,
        incoming: &a.incoming,
        available: (!a.external).then_some(a.available.as_str()),
        overdraft_limit: &a.overdraft_limit,
        posted_minor: &a.posted_minor,
        opened_lsn: a.opened_lsn,
        last_lsn: a.last_lsn,
    }
}

/// The status as it is printed.
fn status_name(status: proto::AccountStatus) -> &'static str {
    match status {
        proto::AccountStatus::Active => "active",
        proto::AccountStatus::Frozen => "frozen",
        proto::AccountStatus::Closed => "closed",
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
