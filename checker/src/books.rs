//! The accounts as the journal's events leave them, and the rules once more, written from the
//! interface's description and as plain as can be: one transfer after the other, no batches, no
//! votes, nothing on its way.

use ducat_engine::ids::{AccountId, Lsn, Slot};
use ducat_engine::limits::Bounds;
use ducat_engine::money::{AMOUNT_MAX, BALANCE_MAX, CurrencyId};
use ducat_engine::rejection::Rejection;
use ducat_engine::transfer::{
    AccountSpec, AccountStatus, AccountView, BalanceAfter, TransferKind, TransferRequest,
};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, HashMap};

/// An account as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Book {
    /// How it was opened.
    pub spec: AccountSpec,
    /// How far below zero it may go now, minor units.
    pub overdraft_limit: u128,
    /// Its floor and ceiling now.
    pub bounds: Bounds,
    /// Whether it may move.
    pub status: AccountStatus,
    /// Posted balance, minor units.
    pub posted: i128,
    /// Set aside by open holds, minor units.
    pub on_hold: i128,
    /// The event that opened it.
    pub opened_lsn: Lsn,
    /// The last event that changed its balance; [`Lsn::ZERO`] for none.
    pub last_lsn: Lsn,
    /// The last event that changed it in a way that counts for conditions: not an extension, and
    /// nothing that is known of it beside money, status and limits.
    pub version: Lsn,
}

impl Book {
    /// How much more than its balance it can spend, minor units.
    #[must_use]
    pub fn room(&self) -> i128 {
        let limit = if self.spec.external { 0 } else { whole(self.overdraft_limit) };
        limit.saturating_sub(self.on_hold)
    }

    /// Its figures.
    #[must_use]
    pub fn figures(&self) -> BalanceAfter {
        BalanceAfter { posted: self.posted, available: self.posted.saturating_add(self.room()) }
    }

    /// Whether it lies beyond its limits: what is on hold counts as spent, and not as gone.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        let floor = self.bounds.floor.unwrap_or_else(|| whole(self.overdraft_limit).wrapping_neg());
        let above = self.bounds.ceiling.is_some_and(|ceiling| self.posted > ceiling);
        let left = self.posted.saturating_sub(self.on_hold);
        !self.spec.external && (left < floor || above)
    }

    fn covers(&self, amount: i128) -> bool {
        self.spec.external || amount <= self.posted.saturating_add(self.room())
    }
}

/// All accounts, by slot, as of one LSN.
#[derive(Clone, Debug, Default)]
pub struct Books {
    books: Vec<Book>,
    slots: HashMap<AccountId, Slot, FixedState>,
}

impl Books {
    /// Accounts as they stood when the journal's first event came; in the order of their slots.
    #[must_use]
    pub fn begin_with(accounts: impl Iterator<Item = AccountView>) -> Self {
        let mut books = Self::default();
        for view in accounts {
            books.list(Book {
                spec: view.spec,
                overdraft_limit: view.spec.overdraft_limit,
                bounds: view.bounds,
                status: view.status,
                posted: view.posted,
                on_hold: whole(view.on_hold),
                opened_lsn: view.opened_lsn,
                last_lsn: view.last_lsn,
                version: view.version,
            });
        }
        books
    }

    /// The account in this slot.
    #[must_use]
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&Book> {
        self.books.get(slot.index())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Book> {
        self.books.get_mut(slot.index())
    }

    /// The slot of the account with this id.
    #[must_use]
    pub fn slot(&self, id: AccountId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    /// The account with this id.
    #[must_use]
    pub fn of(&self, id: AccountId) -> Option<&Book> {
        self.get(self.slot(id)?)
    }

    /// Opens an account in the next slot. `false` when there is one with this id.
    pub(crate) fn open(&mut self, spec: &AccountSpec, bounds: Bounds, lsn: Lsn) -> bool {
        let status = AccountStatus::Active;
        let fresh = !self.slots.contains_key(&spec.id);
        if fresh {
            self.list(Book {
                spec: *spec,
                overdraft_limit: spec.overdraft_limit,
                bounds,
                status,
                posted: 0,
                on_hold: 0,
                opened_lsn: lsn,
                last_lsn: Lsn::ZERO,
                version: lsn,
            });
        }
        fresh
    }

    fn list(&mut self, book: Book) {
        let slot = Slot(u32::try_from(self.books.len()).expect("slots are 32 bits wide"));
        self.slots.insert(book.spec.id, slot);
        self.books.push(book);
    }

    /// Moves money; both balances stay within `i128`, whatever the journal says.
    pub(crate) fn shift(&mut self, debit: Slot, credit: Slot, amount: i128) {
        for (slot, change) in [(debit, amount.wrapping_neg()), (credit, amount)] {
            if let Some(book) = self.get_mut(slot) {
                book.posted = book.posted.wrapping_add(change);
            }
        }
    }

    /// Sums by currency: over accounts that are not external, and over external ones.
    #[must_use]
    pub fn totals(&self) -> BTreeMap<CurrencyId, (i128, i128)> {
        let mut totals: BTreeMap<CurrencyId, (i128, i128)> = BTreeMap::new();
        for book in &self.books {
            let sums = totals.entry(book.spec.currency).or_default();
            let side = if book.spec.external { &mut sums.1 } else { &mut sums.0 };
            *side = side.wrapping_add(book.posted);
        }
        totals
    }
}

/// The first rule that a transfer breaks, among those that need no balance and no status.
#[must_use]
pub fn form_rule(
    request: &TransferRequest,
    debit: Option<&Book>,
    credit: Option<&Book>,
) -> Option<Rejection> {
    if request.amount == 0 {
        return Some(Rejection::AmountZero);
    }
    if request.amount > AMOUNT_MAX {
        return Some(Rejection::AmountTooLarge);
    }
    if request.debit == request.credit {
        return Some(Rejection::SameAccount);
    }
    let Some(debit) = debit else { return Some(Rejection::DebitAccountUnknown) };
    let Some(credit) = credit else { return Some(Rejection::CreditAccountUnknown) };
    if debit.spec.currency != credit.spec.currency {
        return Some(Rejection::AccountsDifferInCurrency);
    }
    if request.currency.is_some_and(|named| named != debit.spec.currency) {
        return Some(Rejection::CurrencyMismatch);
    }
    let external = [debit.spec.external, credit.spec.external];
    let fits = match request.kind {
        TransferKind::Transfer | TransferKind::Payment => external == [false, false],
        TransferKind::Deposit => external == [true, false],
        TransferKind::Withdrawal => external == [false, true],
        _ => external != [true, true],
    };
    (!fits).then_some(Rejection::KindMismatch)
}

/// The first rule that it breaks, as the accounts stand, among the others: `moved` goes from the
/// one to the other, and the debit account can spend `needed` less, below its overdraft limit too
/// where that is `overdraft`.
#[must_use]
pub fn funds_rule(
    debit: &Book,
    credit: &Book,
    moved: i128,
    needed: i128,
    overdraft: bool,
) -> Option<Rejection> {
    for (status, if_debit, if_credit) in [
        (AccountStatus::Closed, Rejection::DebitAccountClosed, Rejection::CreditAccountClosed),
        (AccountStatus::Frozen, Rejection::DebitAccountFrozen, Rejection::CreditAccountFrozen),
    ] {
        if debit.status == status {
            return Some(if_debit);
        }
        if credit.status == status {
            return Some(if_credit);
        }
    }
    if debit.status == AccountStatus::DebitsBlocked {
        return Some(Rejection::DebitAccountBlocked);
    }
    if credit.status == AccountStatus::CreditsBlocked {
        return Some(Rejection::CreditAccountBlocked);
    }
    let left = debit.posted.saturating_sub(debit.on_hold).saturating_sub(needed);
    if debit.bounds.floor.is_some_and(|floor| left < floor) {
        return Some(Rejection::DebitAccountFloor);
    }
    // A capture of what is set aside takes nothing away, however a refund has overdrawn the account.
    if needed > 0 && !overdraft && !debit.covers(needed) {
        return Some(Rejection::InsufficientFunds);
    }
    let ceiling = credit.bounds.ceiling;
    if ceiling.is_some_and(|ceiling| credit.posted.saturating_add(moved) > ceiling) {
        return Some(Rejection::CreditAccountCeiling);
    }
    let in_range = left >= -BALANCE_MAX && credit.posted.saturating_add(moved) <= BALANCE_MAX;
    (!in_range).then_some(Rejection::BalanceOverflow)
}

/// Amounts and limits that passed the rules are far below `i128::MAX`; what a journal says
/// beyond that is wrong anyway.
pub(crate) fn whole(minor: u128) -> i128 {
    i128::try_from(minor).unwrap_or(i128::MAX)
}
