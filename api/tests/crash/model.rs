//! The rules once more, written from the interface's description and as simple as can be: a
//! map of accounts and one of holds, one request after the other. What the server answered under
//! concurrency, batching and crashes must be what this says for the same requests in LSN order.

use crate::history::Change;
use crate::ledger::Spec;
use crate::standing::{
    Effect, NEVER_NS, OpenHold, Standing, hold_rule, named_amount, operation, over_of,
};
use ducat_api::proto::{AccountStatus, Code, HoldState, Operation, TransferKind, TransferRequest};
use std::collections::{BTreeSet, HashMap};

/// Amounts are below it.
const AMOUNTS_END: i128 = 1 << 96;

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

/// An account with everything that happened to it. Amounts are minor units.
#[derive(Clone, Debug)]
pub struct Account {
    /// How it was opened.
    pub spec: Spec,
    /// What it may do now.
    pub status: AccountStatus,
    /// Why.
    pub reason: String,
    /// The event that gave it its status; 0 for none.
    pub status_lsn: u64,
    /// The last change of its status or limits; 0 for none.
    pub changed_lsn: u64,
    /// How far below zero it may go now.
    pub overdraft: i128,
    /// The lowest balance it may have now.
    pub floor: Option<i128>,
    /// The highest balance it may have now.
    pub ceiling: Option<i128>,
    /// Posted balance.
    pub posted: i128,
    /// Set aside by open holds.
    pub held: i128,
    /// Its entries, oldest first.
    pub lines: Vec<Line>,
}

impl Account {
    fn open(spec: Spec) -> Self {
        Self {
            spec,
            status: spec.status,
            reason: String::new(),
            status_lsn: 0,
            changed_lsn: 0,
            overdraft: spec.overdraft,
            floor: None,
            ceiling: None,
            posted: 0,
            held: 0,
            lines: Vec::new(),
        }
    }

    /// What it can spend; of an external account, which has no limit, what is not on hold.
    pub fn available(&self) -> i128 {
        self.posted - self.held + if self.spec.external { 0 } else { self.overdraft }
    }

    /// Its figures as outcomes tell them: posted and available.
    pub fn figures(&self) -> (i128, i128) {
        (self.posted, self.available())
    }

    /// Whether it lies beyond its limits.
    pub fn is_outside(&self) -> bool {
        let lowest = self.floor.unwrap_or(-self.overdraft).max(-self.overdraft);
        let above = self.ceiling.is_some_and(|ceiling| self.posted > ceiling);
        !self.spec.external && (self.posted - self.held < lowest || above)
    }
}

/// How things stood before an effect.
pub struct Before {
    accounts: Vec<(u64, i128, i128, usize)>,
    hold: Option<(u128, Option<Standing>)>,
}

/// The ledger as it should be.
#[derive(Clone, Debug)]
pub struct Model {
    /// By id.
    pub accounts: HashMap<u64, Account>,
    /// Every hold there ever was, by id.
    pub holds: HashMap<u128, Standing>,
    /// Open ones by expiry and id.
    due: BTreeSet<(u64, u128)>,
}

impl Model {
    /// The accounts as opened, empty.
    pub fn new(specs: &[Spec]) -> Self {
        let accounts = specs.iter().map(|&spec| (spec.id, Account::open(spec))).collect();
        Self { accounts, holds: HashMap::new(), due: BTreeSet::new() }
    }

    /// The first rule that a request breaks among those that need no balance and no status;
    /// `standing` is how the hold stands that it speaks of.
    pub fn form(
        &self,
        time_ns: u64,
        request: &TransferRequest,
        standing: Option<Standing>,
    ) -> Option<Code> {
        let amount = named_amount(request);
        let has_amount = !matches!(operation(request), Operation::Void | Operation::Extend);
        if has_amount && amount == Some(0) {
            return Some(Code::AmountZero);
        }
        if amount.is_some_and(|a| a >= AMOUNTS_END) || over_of(request) >= AMOUNTS_END {
            return Some(Code::AmountTooLarge);
        }
        let held_in = |hold: &OpenHold| {
            self.accounts.get(&hold.debit).map_or("", |account| account.spec.currency)
        };
        hold_rule(time_ns, request, standing, held_in).or_else(|| match operation(request) {
            Operation::Transfer | Operation::Hold => self.parties(request),
            _ => None,
        })
    }

    fn parties(&self, request: &TransferRequest) -> Option<Code> {
        if request.debit_account == request.credit_account {
            return Some(Code::SameAccount);
        }
        let Some(debit) = self.accounts.get(&request.debit_account) else {
            return Some(Code::DebitAccountUnknown);
        };
        let Some(credit) = self.accounts.get(&request.credit_account) else {
            return Some(Code::CreditAccountUnknown);
        };
        if debit.spec.currency != credit.spec.currency {
            return Some(Code::AccountsDifferInCurrency);
        }
        if !request.currency.is_empty() && request.currency != debit.spec.currency {
            return Some(Code::CurrencyMismatch);
        }
        let needed = match (debit.spec.external, credit.spec.external) {
            (false, false) => Some(TransferKind::Transfer),
            (true, false) => Some(TransferKind::Deposit),
            (false, true) => Some(TransferKind::Withdrawal),
            (true, true) => None,
        };
        (needed.map(|kind| kind as i32) != Some(request.kind)).then_some(Code::KindMismatch)
    }

    /// The first rule that it breaks among the others, as the accounts stand.
    pub fn funds(&self, request: &TransferRequest, effect: &Effect) -> Option<Code> {
        if matches!(operation(request), Operation::Void | Operation::Extend) {
            return None;
        }
        let (debit, credit) = (&self.accounts[&effect.debit], &self.accounts[&effect.credit]);
        use AccountStatus::{Closed, CreditsBlocked, DebitsBlocked, Frozen};
        let needed = effect.moved + effect.set_aside - effect.released;
        let left = debit.posted - debit.held - needed;
        let after = credit.posted + effect.moved;
        let covered = debit.spec.external || needed <= debit.available();
        let rules = [
            (Code::DebitAccountClosed, debit.status == Closed),
            (Code::CreditAccountClosed, credit.status == Closed),
            (Code::DebitAccountFrozen, debit.status == Frozen),
            (Code::CreditAccountFrozen, credit.status == Frozen),
            (Code::DebitAccountBlocked, debit.status == DebitsBlocked),
            (Code::CreditAccountBlocked, credit.status == CreditsBlocked),
            (Code::DebitAccountFloor, debit.floor.is_some_and(|floor| left < floor)),
            (Code::InsufficientFunds, !covered),
            (Code::CreditAccountCeiling, credit.ceiling.is_some_and(|ceiling| after > ceiling)),
        ];
        rules.into_iter().find(|(_, broken)| *broken).map(|(code, _)| code)
    }

    /// Lets it happen; returns how to take it back.
    pub fn apply(&mut self, lsn: u64, id: u128, effect: &Effect) -> Before {
        let sides = [effect.debit, effect.credit];
        let accounts = sides.map(|id| {
            let account = &self.accounts[&id];
            (id, account.posted, account.held, account.lines.len())
        });
        let account = self.accounts.get_mut(&effect.debit).expect("judged to exist");
        account.held += effect.set_aside - effect.released;
        if effect.moved > 0 {
            for (side, amount) in [(effect.debit, -effect.moved), (effect.credit, effect.moved)] {
                let account = self.accounts.get_mut(&side).expect("judged to exist");
                account.posted += amount;
                account.lines.push(Line { lsn, id, amount, after: account.posted });
            }
        }
        let hold = effect.hold.map(|(hold, standing)| (hold, self.set_hold(hold, Some(standing))));
        Before { accounts: accounts.into(), hold }
    }

    /// Takes back what was applied last.
    pub fn undo(&mut self, before: Before) {
        for (id, posted, held, lines) in before.accounts {
            let account = self.accounts.get_mut(&id).expect("it was there");
            (account.posted, account.held) = (posted, held);
            account.lines.truncate(lines);
        }
        if let Some((id, standing)) = before.hold {
            self.set_hold(id, standing);
        }
    }

    fn set_hold(&mut self, id: u128, standing: Option<Standing>) -> Option<Standing> {
        let before = match standing {
            Some(standing) => self.holds.insert(id, standing),
            None => self.holds.remove(&id),
        };
        for (standing, is_now) in [(before, false), (standing, true)] {
            let queued = standing.filter(|s| s.is_open() && s.hold.expires_ns != NEVER_NS);
            match queued.map(|standing| (standing.hold.expires_ns, id)) {
                Some(place) if is_now => drop(self.due.insert(place)),
                Some(place) => drop(self.due.remove(&place)),
                None => {}
            }
        }
        before
    }

    /// The open hold that expires next, and when.
    pub fn next_due(&self) -> Option<(u64, u128)> {
        self.due.first().copied()
    }

    /// The hold's time is over; returns what is given back. `None`, and nothing happens, when it
    /// is not open.
    pub fn expire(&mut self, id: u128) -> Option<i128> {
        let mut standing = self.holds.get(&id).copied().filter(Standing::is_open)?;
        let released = std::mem::take(&mut standing.hold.remaining);
        standing.state = HoldState::Expired;
        self.accounts.get_mut(&standing.hold.debit).expect("it holds").held -= released;
        self.set_hold(id, Some(standing));
        Some(released)
    }

    /// Changes an account; `false`, and nothing happens, when it is not there.
    pub fn change(&mut self, lsn: u64, id: u64, change: &Change) -> bool {
        let Some(account) = self.accounts.get_mut(&id) else { return false };
        account.changed_lsn = lsn;
        match change {
            Change::Status { status, reason } => {
                account.status = *status;
                account.reason.clone_from(reason);
                account.status_lsn = lsn;
            }
            Change::Limits { overdraft, floor, ceiling } => {
                (account.overdraft, account.floor, account.ceiling) =
                    (*overdraft, *floor, *ceiling);
            }
        }
        true
    }

    /// What becomes of a request now, alone, and what it does if it happens.
    pub fn judge(&self, lsn: u64, time_ns: u64, request: &TransferRequest) -> Result<Effect, Code> {
        let standing =
            crate::standing::hold_of(request).and_then(|id| self.holds.get(&id).copied());
        if let Some(code) = self.form(time_ns, request, standing) {
            return Err(code);
        }
        let effect = crate::standing::effect(lsn, time_ns, request, standing);
        self.funds(request, &effect).map_or(Ok(effect), Err)
    }
}
