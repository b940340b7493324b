//! The accounts of a run: who they are and what they begin with. Drawn workloads give every
//! account the same kind of money; the workload `csv` takes them from its files.

use crate::csv_data::{Dataset, FileAccount};
use crate::fees;
use crate::generator::{AccountIds, Item, Kind};
use crate::workload::Workload;
use std::sync::Arc;

/// The currency of drawn accounts.
const CURRENCY: &str = "GBP";

/// The accounts of a run.
#[derive(Clone, Debug)]
pub enum Population {
    /// This many accounts of one currency, funded as the workload needs, and one external
    /// account that pays for it.
    Drawn(Workload, u64),
    /// Those of the files.
    File(Arc<Dataset>),
}

impl Population {
    /// How many have numbers.
    pub fn count(&self) -> u64 {
        match self {
            Self::Drawn(_, count) => *count,
            Self::File(data) => data.accounts.len() as u64,
        }
    }

    /// Assets to define before anything else: code and digits.
    pub fn assets(&self) -> Vec<(String, u32)> {
        match self {
            Self::Drawn(Workload::Fees, _) => vec![(fees::CURRENCY.0.to_owned(), fees::CURRENCY.1)],
            Self::Drawn(..) => Vec::new(),
            Self::File(data) => data.assets.clone(),
        }
    }

    /// The accounts without a number, and their ids: the external one, through which money enters,
    /// and the one that gets fees.
    pub fn unnumbered(&self, accounts: AccountIds) -> Vec<(u64, FileAccount)> {
        match self {
            Self::Drawn(workload, _) => {
                let gate = (accounts.external(), drawn(*workload, true));
                let income = self.has_fees().then(|| (accounts.income(), drawn(*workload, false)));
                [gate].into_iter().chain(income).collect()
            }
            Self::File(_) => Vec::new(),
        }
    }

    /// Whether the journal is added up once more as well.
    pub fn is_added_up_again(&self) -> bool {
        matches!(self, Self::Drawn(workload, _) if workload.is_added_up_again())
    }

    /// Whether fees are attached to kinds of transfers.
    pub fn has_fees(&self) -> bool {
        matches!(self, Self::Drawn(Workload::Fees, _))
    }

    /// Account number `index`.
    pub fn account(&self, index: u64) -> FileAccount {
        match self {
            Self::Drawn(workload, _) => drawn(*workload, false),
            Self::File(data) => data.accounts[index as usize].clone(),
        }
    }

    /// What account number `index` holds before the run, minor units.
    pub fn begins(&self, index: u64) -> i128 {
        match self {
            Self::Drawn(workload, count) => i128::from(workload.funding(index, *count)),
            Self::File(data) => data.accounts[index as usize].begins,
        }
    }

    /// How many movements bring that about.
    pub fn openings(&self) -> u64 {
        match self {
            Self::Drawn(_, count) => *count,
            Self::File(data) => data.openings.len() as u64,
        }
    }

    /// Movement number `index` of them.
    pub fn opening(&self, index: u64, accounts: AccountIds) -> Item {
        match self {
            Self::Drawn(workload, count) => Item {
                id: index + 1,
                debit: accounts.external(),
                credit: accounts.id(index),
                amount: workload.funding(index, *count),
                kind: Kind::Deposit,
                ..Item::default()
            },
            Self::File(data) => data.openings[index as usize].item(index + 1, accounts),
        }
    }
}

fn drawn(workload: Workload, external: bool) -> FileAccount {
    let currency = if workload == Workload::Fees { fees::CURRENCY.0 } else { CURRENCY };
    FileAccount {
        currency: currency.into(),
        overdraft_limit: String::new(),
        overdraft_minor: 0,
        external,
        begins: 0,
    }
}
