//! The accounts of an import: collecting them, opening them with what they hold at first, and
//! reading their balances at the end.

use super::common::Common;
use super::plan::{AccountRow, Named};
use super::rejects::Rejects;
use super::tally::Tally;
use crate::balances::BalanceOf;
use crate::exit::{Exit, Failure};
use crate::net;
use csv::ByteRecord;
use ducat_api::client::Connection;
use ducat_api::proto;
use ducat_api::proto::ledger_client::LedgerClient;
use ducat_engine::ids::AccountId;
use ducat_engine::money::{CurrencyId, format_minor};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// Most accounts or transfers to one unary request.
pub const CHUNK: usize = 10_000;
/// How long a full engine is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// An account of this import, as its source calls it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its id in the ledger.
    pub id: AccountId,
    /// What the source calls it.
    pub label: String,
    /// Its currency.
    pub currency: CurrencyId,
}

/// The accounts of this import, each once, in the order of their first mention.
#[derive(Debug, Default)]
pub struct Book {
    seen: HashSet<u128>,
    /// The accounts.
    pub all: Vec<Known>,
}

impl Book {
    /// Adds an account unless it is known or external.
    pub fn add(&mut self, named: Named, currency: CurrencyId) {
        let Some(label) = named.label else { return };
        if self.seen.insert(named.id.get()) {
            self.all.push(Known { id: named.id, label, currency });
        }
    }
}

/// What became of opening accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Opened {
    /// Opened by this run.
    pub opened: u64,
    /// Opened by an earlier run.
    pub existed: u64,
    /// The opening balances' movements.
    pub openings: Tally,
}

/// One row of a file of accounts.
pub struct AccountLine {
    /// The row's number.
    pub number: u64,
    /// Its columns, kept only when refused rows are written to a file.
    pub record: Option<ByteRecord>,
    /// The account, or why there is none.
    pub result: Result<AccountRow, super::common::Unconvertible>,
}

/// Opens the external accounts of a mapping.
pub async fn open_externals(
    client: &mut LedgerClient<Connection>,
    common: &Common,
) -> Result<(), Failure> {
    let external = |e: &super::common::ExternalAccount| proto::NewAccount {
        id: e.id.low(),
        id_high: e.id.high(),
        currency: e.currency.code.clone(),
        external: true,
        ..Default::default()
    };
    let accounts: Vec<_> = common.externals.values().map(external).collect();
    open(client, accounts, &mut Opened::default()).await
}

/// Opens accounts, at most [`CHUNK`] of them. One that exists with other content ends the
/// import: going on would book into an account that is not what the mapping says.
pub async fn open(
    client: &mut LedgerClient<Connection>,
    accounts: Vec<proto::NewAccount>,
    opened: &mut Opened,
) -> Result<(), Failure> {
    use proto::account_result::Code;
    if accounts.is_empty() {
        return Ok(());
    }
    let request = proto::CreateAccountsRequest { accounts };
    let response = patiently(async || client.create_accounts(request.clone()).await).await?;
    for result in response.results {
        match result.code() {
            Code::Opened => opened.opened += 1,
            Code::Exists => opened.existed += 1,
            Code::ExistsDifferent | Code::LedgerFull => {
                let id = crate::output::account_id(result.id_high, result.id);
                let text = format!(
                    "account {id} cannot be opened: {}. The import stopped before any transfer \
                     of the file. Import into another ledger, or change the mapping to what the \
                     account is",
                    result.explanation
                );
                return Err(Failure::new(Exit::Refused, text));
            }
        }
    }
    Ok(())
}

/// The request that opens an account.
pub fn new_account(id: AccountId, currency: &str, overdraft_limit: &str) -> proto::NewAccount {
    proto::NewAccount {
        id: id.low(),
        id_high: id.high(),
        currency: currency.to_owned(),
        overdraft_limit: overdraft_limit.to_owned(),
        ..Default::default()
    }
}

/// Opens the accounts of one chunk of a file and brings in their opening balances.
pub async fn open_rows(
    client: &mut LedgerClient<Connection>,
    lines: Vec<AccountLine>,
    book: &mut Book,
    opened: &mut Opened,
    mut rejects: Option<&mut Rejects>,
) -> Result<(), Failure> {
    let mut accounts = Vec::with_capacity(lines.len());
    let mut openings = Vec::new();
    let mut opening_rows = Vec::new();
    for line in lines {
        match line.result {
            Ok(row) => {
                let AccountRow { named, currency, overdraft_limit, opening } = row;
                accounts.push(new_account(named.id, &currency.code, &overdraft_limit));
                book.add(named, currency.id);
                match opening {
                    None => opened.openings.rows += 1,
                    Some(opening) => {
                        openings.push(opening);
                        opening_rows.push((line.number, line.record));
                    }
                }
            }
            Err(why) => {
                let at = (line.number, line.record.as_ref());
                opened.openings.unconvertible("accounts", at, &why, rejects.as_deref_mut())?;
            }
        }
    }
    open(client, accounts, opened).await?;
    if openings.is_empty() {
        return Ok(());
    }
    let request = proto::CreateTransfersRequest { transfers: openings };
    let response = patiently(async || client.create_transfers(request.clone()).await).await?;
    for (outcome, (number, record)) in response.outcomes.iter().zip(&opening_rows) {
        let at = (*number, record.as_ref());
        opened.openings.answered("accounts", at, outcome, rejects.as_deref_mut())?;
    }
    Ok(())
}

/// Calls until the engine has room, for a while.
async fn patiently<T>(
    mut call: impl AsyncFnMut() -> Result<tonic::Response<T>, Status>,
) -> Result<T, Failure> {
    let since = Instant::now();
    let mut wait = Duration::from_millis(20);
    loop {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if status.code() == Code::ResourceExhausted => {
                // Ids are forgotten within days: waiting for them helps nobody.
                if net::is_ids_full(&status) || since.elapsed() > PATIENCE {
                    return Err(net::failed(&status));
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            Err(status) => return Err(net::failed(&status)),
        }
    }
}

/// The sum over the import's accounts of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// The currency.
    pub currency: String,
    /// How many accounts.
    pub accounts: u64,
    /// Their posted balances' sum as a decimal text.
    pub sum: String,
}

/// The import's accounts at the end.
pub struct Final {
    /// Each account's balance.
    pub balances: Vec<BalanceOf>,
    /// The sums by currency.
    pub sums: Vec<Sum>,
    /// Accounts that the ledger does not know.
    pub unknown: u64,
}

/// Reads every account's balance.
pub async fn read_balances(
    client: &mut LedgerClient<Connection>,
    book: &Book,
    common: &Common,
) -> Result<Final, Failure> {
    let mut sums: BTreeMap<u16, (u64, i128)> = BTreeMap::new();
    let mut end = Final { balances: Vec::with_capacity(book.all.len()), sums: vec![], unknown: 0 };
    for chunk in book.all.chunks(CHUNK) {
        let ids = chunk.iter().map(|k| proto::Id { id: k.id.low(), id_high: k.id.high() });
        let request = proto::GetAccountsRequest { ids: ids.collect() };
        let response = client.get_accounts(request).await.map_err(|s| net::failed(&s))?;
        let response = response.into_inner();
        end.unknown += response.unknown.len() as u64;
        // Known accounts come in the order asked, so both lists are walked side by side.
        let mut accounts = response.accounts.iter().peekable();
        for known in chunk {
            let is_known =
                |a: &&proto::Account| (a.id_high, a.id) == (known.id.high(), known.id.low());
            let Some(account) = accounts.next_if(is_known) else { continue };
            let minor: i128 = account.posted_minor.parse().map_err(|_| {
                let text = format!("the server sent a balance of `{}`", account.posted_minor);
                Failure::new(Exit::Internal, text)
            })?;
            let (count, sum) = sums.entry(known.currency.0).or_default();
            *count += 1;
            *sum += minor;
            end.balances.push(BalanceOf { id: known.label.clone(), minor });
        }
    }
    for (number, (accounts, sum)) in sums {
        let Some(currency) = common.currencies.by_id(CurrencyId(number)) else { continue };
        let sum = format_minor(sum, currency.digits);
        end.sums.push(Sum { currency: currency.code, accounts, sum });
    }
    Ok(end)
}
