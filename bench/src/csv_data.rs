//! The workload `csv`: a file of transfers as `ducat import` reads it, held in memory and
//! replayed. Accounts get ids of the run's own, in the order of their first mention, so that a
//! replay meets neither an import nor another run on the same ledger.

use crate::generator::{AccountIds, Batch, Item, Kind};
use anyhow::{Context, ensure};
use ducat_api::import::common::Common;
use ducat_api::import::mapping::{self, Mapping};
use ducat_api::import::plan::{self, AccountPlan, TransferPlan};
use ducat_api::import::source::Rows;
use ducat_api::proto;
use ducat_engine::ids::AccountId;
use ducat_engine::money::{Currency, parse_signed};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which files to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFiles {
    /// The transfers, plain or gzip.
    pub transfers: PathBuf,
    /// What their columns mean, as for `ducat import`.
    pub mapping: PathBuf,
    /// The accounts with what they begin with, plain or gzip.
    pub accounts: Option<PathBuf>,
}

/// An account of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAccount {
    /// Its currency.
    pub currency: String,
    /// How far below zero it may go, decimal; empty for not at all.
    pub overdraft_limit: String,
    /// The same, minor units.
    pub overdraft_minor: i128,
    /// It stands for the outside.
    pub external: bool,
    /// What it holds before the first transfer, minor units.
    pub begins: i128,
}

/// A movement between two accounts, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    debit: u32,
    credit: u32,
    amount: u64,
    kind: Kind,
}

/// What the files hold.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// The accounts to open, external ones among them.
    pub accounts: Vec<FileAccount>,
    /// Assets to define first: code and digits.
    pub assets: Vec<(String, u32)>,
    /// The opening balances' movements.
    pub openings: Vec<Row>,
    /// The transfers in the file's order. A number beyond the accounts names none of them.
    pub rows: Vec<Row>,
    /// Rows that are not sent, by reason.
    pub skipped: BTreeMap<String, u64>,
}

impl Row {
    /// The transfer, under this id.
    #[inline]
    pub fn item(self, id: u64, accounts: AccountIds) -> Item {
        Item {
            id,
            debit: accounts.id(u64::from(self.debit)),
            credit: accounts.id(u64::from(self.credit)),
            amount: self.amount,
            kind: self.kind,
            ..Item::default()
        }
    }
}

/// Accounts while they are collected.
#[derive(Default)]
struct Collected {
    numbers: HashMap<u128, u32>,
    /// With whether it is opened.
    all: Vec<(FileAccount, bool)>,
}

impl Collected {
    /// The number of an account, noted as `account` with its first mention.
    fn number(
        &mut self,
        id: AccountId,
        open: bool,
        account: impl FnOnce() -> anyhow::Result<FileAccount>,
    ) -> anyhow::Result<u32> {
        if let Some(number) = self.numbers.get(&id.get()) {
            return Ok(*number);
        }
        let number = u32::try_from(self.all.len()).context("the files name too many accounts")?;
        self.all.push((account()?, open));
        self.numbers.insert(id.get(), number);
        Ok(number)
    }

    /// The number of an account mentioned before.
    fn known(&self, low: u64, high: u64) -> anyhow::Result<u32> {
        let id = u128::from(high) << 64 | u128::from(low);
        self.numbers.get(&id).copied().context("an account that was not collected")
    }
}

impl Dataset {
    /// Reads the files as the import would.
    pub fn read(files: &CsvFiles) -> anyhow::Result<Self> {
        let name = files.mapping.display().to_string();
        let text = std::fs::read_to_string(&files.mapping)
            .with_context(|| format!("read the mapping {name}"))?;
        let mapping = mapping::read(&name, &text, &[])?;
        let common = Common::of(&mapping)?;
        let mut collected = Collected::default();
        for external in common.externals.values() {
            let account = || FileAccount::new(&external.currency, "", true);
            collected.number(external.id, true, account)?;
        }
        let mut data = Self {
            assets: mapping.assets.iter().map(|(code, digits)| (code.clone(), *digits)).collect(),
            ..Self::default()
        };
        if let Some(path) = &files.accounts {
            data.read_accounts(path, &mapping, &common, &mut collected)?;
        }
        // Without a file of accounts every account that is named is needed.
        let section = mapping.accounts.as_ref();
        let open = files.accounts.is_none() || section.is_some_and(|a| a.open_from_transfers);
        data.read_transfers(&files.transfers, &mapping, &common, open, &mut collected)?;
        ensure!(!data.rows.is_empty(), "{} has no row to replay", files.transfers.display());
        data.settle(collected.all)?;
        Ok(data)
    }

    fn read_accounts(
        &mut self,
        path: &Path,
        mapping: &Mapping,
        common: &Common,
        collected: &mut Collected,
    ) -> anyhow::Result<()> {
        let mut rows = Rows::open(path, &mapping.source, Arc::default())?;
        let plan = AccountPlan::of(mapping, common, rows.header())?;
        let mut record = csv::ByteRecord::new();
        while rows.next(&mut record)?.is_some() {
            let row = match plan.read(common, &record) {
                Ok(row) => row,
                Err(why) => {
                    self.skip(&format!("ACCOUNT_{}", why.code));
                    continue;
                }
            };
            let account = || FileAccount::new(&row.currency, &row.overdraft_limit, false);
            collected.number(row.named.id, true, account)?;
            if let Some(opening) = &row.opening {
                ensure!(opening.amount_minor > 0, "an opening balance is beyond 64 bits");
                let movement = movement(opening, collected)?;
                self.openings.push(movement);
            }
        }
        Ok(())
    }

    fn read_transfers(
        &mut self,
        path: &Path,
        mapping: &Mapping,
        common: &Common,
        open: bool,
        collected: &mut Collected,
    ) -> anyhow::Result<()> {
        let overdraft = match &mapping.accounts {
            Some(section) if open => plan::fixed_overdraft(section)?,
            _ => String::new(),
        };
        let mut rows = Rows::open(path, &mapping.source, Arc::default())?;
        let plan = TransferPlan::of(mapping, common, rows.header())?;
        let mut record = csv::ByteRecord::new();
        while let Some(number) = rows.next(&mut record)? {
            let row = match plan.read(common, number, &record) {
                Ok(row) => row,
                Err(why) => {
                    self.skip(why.code);
                    continue;
                }
            };
            if row.request.amount_minor == 0 {
                let zero = row.request.amount.bytes().all(|b| b == b'0' || b == b'.');
                self.skip(if zero { "AMOUNT_ZERO" } else { "AMOUNT_BEYOND_64_BITS" });
                continue;
            }
            for side in [&row.debit, &row.credit] {
                let account = || FileAccount::new(&row.currency, &overdraft, false);
                collected.number(side.id, open, account)?;
            }
            self.rows.push(movement(&row.request, collected)?);
        }
        Ok(())
    }

    fn skip(&mut self, why: &str) {
        *self.skipped.entry(why.to_owned()).or_default() += 1;
    }

    /// Numbers the accounts so that those to open come first, and sums what they begin with.
    fn settle(&mut self, all: Vec<(FileAccount, bool)>) -> anyhow::Result<()> {
        let opened = all.iter().filter(|(_, open)| *open).count() as u32;
        let (mut next, mut next_stranger) = (0, opened);
        let mut numbers = Vec::with_capacity(all.len());
        for (account, open) in all {
            let counter = if open { &mut next } else { &mut next_stranger };
            numbers.push(*counter);
            *counter += 1;
            if open {
                self.accounts.push(account);
            }
        }
        for row in self.rows.iter_mut().chain(&mut self.openings) {
            row.debit = numbers[row.debit as usize];
            row.credit = numbers[row.credit as usize];
        }
        for opening in &self.openings {
            self.accounts[opening.debit as usize].begins -= i128::from(opening.amount);
            self.accounts[opening.credit as usize].begins += i128::from(opening.amount);
        }
        ensure!(self.accounts.len() >= 2, "the files name fewer than 2 accounts to open");
        Ok(())
    }
}

impl FileAccount {
    fn new(currency: &Currency, overdraft_limit: &str, external: bool) -> anyhow::Result<Self> {
        let overdraft_minor = match overdraft_limit {
            "" => 0,
            text => parse_signed(text, currency).context("read an overdraft limit")?,
        };
        Ok(Self {
            currency: currency.code.clone(),
            overdraft_limit: overdraft_limit.to_owned(),
            overdraft_minor,
            external,
            begins: 0,
        })
    }
}

fn movement(request: &proto::TransferRequest, collected: &Collected) -> anyhow::Result<Row> {
    let kind = match request.kind() {
        proto::TransferKind::Transfer => Kind::Transfer,
        proto::TransferKind::Deposit => Kind::Deposit,
        proto::TransferKind::Withdrawal => Kind::Withdrawal,
        other => anyhow::bail!("workloads have no transfers of the kind {other:?}"),
    };
    Ok(Row {
        debit: collected.known(request.debit_account, request.debit_account_high)?,
        credit: collected.known(request.credit_account, request.credit_account_high)?,
        amount: request.amount_minor,
        kind,
    })
}

/// The rows on their way: client threads take turns, so that each is sent once, in order.
#[derive(Debug)]
pub struct Replay {
    data: Arc<Dataset>,
    next: AtomicU64,
    repeat: bool,
}

impl Replay {
    /// From the first row on; with `repeat` again and again, under fresh ids.
    pub fn new(data: Arc<Dataset>, repeat: bool) -> Self {
        Self { data, next: AtomicU64::new(0), repeat }
    }

    /// Fills `batch` with the next rows, `count` at most; empty at the end.
    pub fn fill(&self, batch: &mut Batch, count: usize, accounts: AccountIds) {
        let rows = &self.data.rows;
        let from = self.next.fetch_add(count as u64, Ordering::Relaxed);
        let to = from + count as u64;
        let to = if self.repeat { to } else { to.min(rows.len() as u64) };
        let item = |at: u64| rows[(at % rows.len() as u64) as usize].item(at + 1, accounts);
        batch.items.extend((from..to).map(item));
    }
}
