//! The rules once more, written from the interface's description and as simple as can be: a
//! map of accounts, one transfer after the other. What the server answered under concurrency,
//! batching and crashes must be what this says for the same transfers in LSN order.

use crate::ledger::Spec;
use ducat_api::proto::{AccountStatus, Code, TransferKind, TransferRequest};
use std::collections::HashMap;

/// One change of an account's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The event.
    pub lsn: u64,
    /// The transfer.
    pub id: u128,
    /// Minor units, negative for a debit.
    pub amount: i128,
    /// The posted balance after it.
    pub after: i128,
}

/// An account with everything that happened to it.
#[derive(Clone, Debug)]
pub struct Account {
    /// How it was opened.
    pub spec: Spec,
    /// Posted balance, minor units.
    pub posted: i128,
    /// Its entries, oldest first.
    pub lines: Vec<Line>,
}

impl Account {
    /// What it can spend.
    pub fn available(&self) -> i128 {
        self.posted + self.spec.overdraft
    }
}

/// The ledger as it should be.
#[derive(Clone, Debug)]
pub struct Model {
    /// By id.
    pub accounts: HashMap<u64, Account>,
}

impl Model {
    /// The accounts as opened, empty.
    pub fn new(specs: &[Spec]) -> Self {
        let open = |&spec: &Spec| (spec.id, Account { spec, posted: 0, lines: Vec::new() });
        Self { accounts: specs.iter().map(open).collect() }
    }

    /// What becomes of this transfer now, by the rules.
    pub fn judge(&self, transfer: &TransferRequest) -> Code {
        let amount = amount_of(transfer);
        if amount == 0 {
            return Code::AmountZero;
        }
        if amount >= 1 << 96 {
            return Code::AmountTooLarge;
        }
        if transfer.debit_account == transfer.credit_account {
            return Code::SameAccount;
        }
        let Some(debit) = self.accounts.get(&transfer.debit_account) else {
            return Code::DebitAccountUnknown;
        };
        let Some(credit) = self.accounts.get(&transfer.credit_account) else {
            return Code::CreditAccountUnknown;
        };
        if debit.spec.currency != credit.spec.currency {
            return Code::AccountsDifferInCurrency;
        }
        if !transfer.currency.is_empty() && transfer.currency != debit.spec.currency {
            return Code::CurrencyMismatch;
        }
        let needed = match (debit.spec.external, credit.spec.external) {
            (false, false) => Some(TransferKind::Transfer),
            (true, false) => Some(TransferKind::Deposit),
            (false, true) => Some(TransferKind::Withdrawal),
            (true, true) => None,
        };
        if needed.map(|kind| kind as i32) != Some(transfer.kind) {
            return Code::KindMismatch;
        }
        for (status, if_debit, if_credit) in [
            (AccountStatus::Closed, Code::DebitAccountClosed, Code::CreditAccountClosed),
            (AccountStatus::Frozen, Code::DebitAccountFrozen, Code::CreditAccountFrozen),
        ] {
            if debit.spec.status == status {
                return if_debit;
            }
            if credit.spec.status == status {
                return if_credit;
            }
        }
        if !debit.spec.external && amount > debit.available() {
            return Code::InsufficientFunds;
        }
        Code::Posted
    }

    /// Moves the money; returns both posted balances after it, the debit account's first.
    pub fn post(&mut self, lsn: u64, id: u128, transfer: &TransferRequest) -> (i128, i128) {
        let amount = amount_of(transfer);
        let debit = self.move_one(transfer.debit_account, lsn, id, -amount);
        let credit = self.move_one(transfer.credit_account, lsn, id, amount);
        (debit, credit)
    }

    fn move_one(&mut self, account: u64, lsn: u64, id: u128, amount: i128) -> i128 {
        let account = self.accounts.get_mut(&account).expect("judged to exist");
        account.posted += amount;
        account.lines.push(Line { lsn, id, amount, after: account.posted });
        account.posted
    }

    /// Undoes a posting, the last one of both its accounts.
    pub fn undo(&mut self, transfer: &TransferRequest) {
        for account in [transfer.credit_account, transfer.debit_account] {
            let account = self.accounts.get_mut(&account).expect("it was posted");
            let line = account.lines.pop().expect("it was posted");
            account.posted -= line.amount;
        }
    }
}

/// The amount in minor units; all currencies of the tests have two digits.
pub fn amount_of(transfer: &TransferRequest) -> i128 {
    if transfer.amount.is_empty() {
        return i128::from(transfer.amount_minor);
    }
    minor(&transfer.amount)
}

/// A decimal text with two decimals (or none) in minor units.
pub fn minor(text: &str) -> i128 {
    let digits: String = text.chars().filter(|c| *c != '.').collect();
    let value: i128 = digits.parse().unwrap_or_else(|_| panic!("`{text}` is a number"));
    match text.split_once('.') {
        None => value * 100,
        Some((_, decimals)) => {
            assert_eq!(decimals.len(), 2, "`{text}` has two decimals");
            value
        }
    }
}
