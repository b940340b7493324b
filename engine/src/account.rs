//! The account actor's state machine: one account, its figures, and the messages it takes.
//!
//! ```text
//!            Freeze ──▶ pending − ─┬─ Debit  ──▶ posted −
//!   prepare                        │                        commit
//!            Expect ──▶ pending + ─┴─ Credit ──▶ posted +
//! ```
//!
//! Preparing a transfer freezes the amount on the debit account and announces it on the
//! credit account; the decision either turns both into postings or takes both back.
//! [`Account::debit`] and [`Account::credit`] are the only ways a posted balance changes,
//! when running live and when replaying a journal alike.
//!
//! A hold is a freeze that outlives its request: [`Account::set_aside`] and
//! [`Account::give_back`] change what is on hold, which no debit may spend. What operations on
//! holds prepare is an [`Effect`], which changes both figures at once: what may be *spent* is
//! held against the floor, what is *posted* against the end of the range.

use crate::ids::{AccountId, Lsn};
use crate::limits::{Bounds, Limits};
use crate::money::{AMOUNT_MAX, BALANCE_MAX, CurrencyId};
use crate::prefetch::prefetch;
use crate::rejection::Rejection;
use crate::transfer::{AccountRejection, AccountSpec, AccountStatus, AccountView, BalanceAfter};
use thiserror::Error;

/// An account: private state, changed only by the messages below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    id: AccountId,
    posted: i128,
    /// Set aside by open holds, minor units.
    on_hold: u128,
    /// Announced less frozen: how far everything prepared will move the posted balance.
    pending: i128,
    /// How far everything prepared will move what is on hold.
    pending_hold: i128,
    overdraft_limit: u128,
    opened_lsn: Lsn,
    last_lsn: Lsn,
    /// How much is prepared and neither done nor taken back; without any, nothing is pending.
    prepared: u32,
    currency: CurrencyId,
    status: AccountStatus,
    external: bool,
    /// What only some accounts have; apart, so that the others do not pay for it.
    rare: Option<Box<Rare>>,
}

/// What only some accounts have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Rare {
    /// Its floor and its ceiling.
    bounds: Bounds,
    /// The last event that changed it without being an entry: a hold, a status, limits.
    changed_lsn: Lsn,
}

/// What an item of a batch does to one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Effect {
    /// Change of the posted balance, minor units.
    pub posted: i128,
    /// Change of what is on hold, minor units.
    pub on_hold: i128,
    /// What it asks of the account.
    pub guard: Guard,
}

/// What an effect asks of its account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Guard {
    /// Debits are allowed, and what it takes is there.
    Debit,
    /// Debits are allowed, and what it takes leaves the account above a floor of its own, or else
    /// within the range: the overdraft limit may be passed.
    Overdraft,
    /// Credits are allowed, and what it brings has room.
    Credit,
    /// Nothing.
    Free,
}

impl Effect {
    /// Change of what may be spent.
    pub fn spendable(self) -> i128 {
        self.posted - self.on_hold
    }
}

/// What a posting did to one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LegEffect {
    /// The account's figures after it.
    pub after: BalanceAfter,
    /// The account's event before this one; [`Lsn::ZERO`] for none.
    pub previous: Lsn,
}

/// A posting that the rules never lead to: the journal or the program is wrong, and nothing
/// may go on as if it were not.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Impossible {
    /// The account may not move.
    #[error("event {lsn} moves account {account}, which is {status:?}")]
    NotActive {
        /// The event.
        lsn: Lsn,
        /// The account.
        account: AccountId,
        /// Its status.
        status: AccountStatus,
    },
    /// The debit is not covered.
    #[error("event {lsn} takes {amount} minor units from account {account}, which has {available}")]
    NotCovered {
        /// The event.
        lsn: Lsn,
        /// The account.
        account: AccountId,
        /// Minor units to be taken.
        amount: u128,
        /// Minor units it could spend.
        available: i128,
    },
    /// The balance leaves the range every balance stays in.
    #[error("event {lsn} takes the balance of account {account} out of range")]
    OutOfRange {
        /// The event.
        lsn: Lsn,
        /// The account.
        account: AccountId,
    },
    /// Events of an account come in the order of the journal.
    #[error("event {lsn} of account {account} does not come after its event {last}")]
    NotAfter {
        /// The event.
        lsn: Lsn,
        /// The account.
        account: AccountId,
        /// Its last event.
        last: Lsn,
    },
    /// What the journal says of an event differs from what the rules give.
    #[error("event {lsn}: {what}")]
    Differs {
        /// The event.
        lsn: Lsn,
        /// How they differ.
        what: String,
    },
}

/// What of an account outlives the batches that change it: all that a snapshot holds. What is
/// frozen or announced belongs to undecided transfers, which a restart forgets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Durable {
    /// How it was opened.
    pub spec: AccountSpec,
    /// Whether it may move.
    pub status: AccountStatus,
    /// Posted balance, minor units.
    pub posted: i128,
    /// Set aside by open holds, minor units.
    pub on_hold: u128,
    /// Its floor and ceiling.
    pub bounds: Bounds,
    /// The event that opened it.
    pub opened_lsn: Lsn,
    /// The last event that changed its balance; [`Lsn::ZERO`] for none.
    pub last_lsn: Lsn,
    /// The last event that changed it otherwise; [`Lsn::ZERO`] for none.
    pub changed_lsn: Lsn,
}

/// What of an account's durable state an event can change, as it was at one moment. Events that
/// change its limits are rare: for those the whole account is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Image {
    /// Where the account is hosted; here because it costs no byte more.
    pub local: u32,
    posted: i128,
    on_hold: u128,
    last_lsn: Lsn,
    status: AccountStatus,
}

impl Account {
    /// An account as it is right after its opening at `lsn`: active and empty.
    #[must_use]
    pub fn open(spec: &AccountSpec, lsn: Lsn) -> Self {
        Self {
            id: spec.id,
            posted: 0,
            on_hold: 0,
            pending: 0,
            pending_hold: 0,
            overdraft_limit: spec.overdraft_limit,
            opened_lsn: lsn,
            last_lsn: Lsn::ZERO,
            prepared: 0,
            currency: spec.currency,
            status: AccountStatus::Active,
            external: spec.external,
            rare: None,
        }
    }

    /// An account as it is right after its opening with a floor and a ceiling.
    #[must_use]
    pub fn open_within(spec: &AccountSpec, bounds: Bounds, lsn: Lsn) -> Self {
        Self { rare: boxed(bounds, Lsn::ZERO), ..Self::open(spec, lsn) }
    }

    /// An account as a snapshot holds it, with nothing prepared on it.
    ///
    /// # Errors
    /// What no sequence of events leads to.
    pub fn restore(durable: &Durable) -> Result<Self, &'static str> {
        let Durable { spec, status, posted, on_hold, bounds, opened_lsn, last_lsn, changed_lsn } =
            *durable;
        if spec.overdraft_limit > AMOUNT_MAX {
            return Err("its overdraft limit is out of range");
        }
        if opened_lsn == Lsn::ZERO {
            return Err("no event opened it");
        }
        let opened = Self::open(&spec, opened_lsn);
        let rare = boxed(bounds, changed_lsn);
        let account = Self { posted, on_hold, last_lsn, status, rare, ..opened };
        if account.limits().check(spec.external, 0, 0) == Err(AccountRejection::LimitsContradict)
            || spec.external && !bounds.is_none()
        {
            return Err("its limits contradict one another");
        }
        // A refund may have taken it below its overdraft limit, never below a floor of its own.
        if !(account.hard_floor()..=account.ceiling()).contains(&posted) {
            return Err("its balance is out of range");
        }
        // Without a floor of its own it may reach from one end of the range to the other.
        let most = posted.abs_diff(account.hard_floor());
        if on_hold > most {
            return Err("more is on hold than it has");
        }
        if last_lsn == Lsn::ZERO && posted != 0 {
            return Err("it has a balance and no entry");
        }
        if last_lsn != Lsn::ZERO && last_lsn <= opened_lsn {
            return Err("its last entry does not come after its opening");
        }
        if changed_lsn != Lsn::ZERO && changed_lsn <= opened_lsn {
            return Err("its last change does not come after its opening");
        }
        if status == AccountStatus::Closed && (posted != 0 || on_hold != 0) {
            return Err("it is closed and not empty");
        }
        Ok(account)
    }

    /// All of it that outlives the batches that change it.
    #[must_use]
    pub fn durable(&self) -> Durable {
        Durable {
            spec: self.spec(),
            status: self.status,
            posted: self.posted,
            on_hold: self.on_hold,
            bounds: self.bounds(),
            opened_lsn: self.opened_lsn,
            last_lsn: self.last_lsn,
            changed_lsn: self.changed_lsn(),
        }
    }

    /// What an event can change, as it is now.
    pub(crate) fn image(&self, local: u32) -> Image {
        // Every field is named: a new one that events change must not be forgotten here.
        let Self {
            id: _,
            posted,
            on_hold,
            pending: _,
            pending_hold: _,
            overdraft_limit: _,
            opened_lsn: _,
            last_lsn,
            prepared: _,
            currency: _,
            status,
            external: _,
            rare: _,
        } = *self;
        Image { local, posted, on_hold, last_lsn, status }
    }

    /// The account as it was when the image was taken, changed otherwise than by entries last at
    /// `changed_lsn`, with nothing prepared on it.
    pub(crate) fn as_of(&self, image: Image, changed_lsn: Lsn) -> Self {
        let Image { local: _, posted, on_hold, last_lsn, status } = image;
        let rare = boxed(self.bounds(), changed_lsn);
        Self { posted, on_hold, last_lsn, status, rare, ..self.settled() }
    }

    /// The account with nothing prepared on it.
    pub(crate) fn settled(&self) -> Self {
        Self { pending: 0, pending_hold: 0, prepared: 0, ..self.clone() }
    }

    /// The caller's id.
    #[must_use]
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// What it holds.
    #[must_use]
    pub fn currency(&self) -> CurrencyId {
        self.currency
    }

    /// Whether it stands for the outside world.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.external
    }

    /// Posted balance, minor units.
    #[must_use]
    pub fn posted(&self) -> i128 {
        self.posted
    }

    /// Set aside by open holds, minor units.
    #[must_use]
    pub fn on_hold(&self) -> u128 {
        self.on_hold
    }

    /// Asks for every line of the cache that a posting needs.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(&self.posted);
        prefetch(&self.overdraft_limit);
        prefetch(&self.last_lsn);
    }

    /// Its floor and ceiling.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.rare.as_ref().map_or_else(Bounds::default, |rare| rare.bounds)
    }

    /// The last event that changed it without being an entry; [`Lsn::ZERO`] for none.
    pub(crate) fn changed_lsn(&self) -> Lsn {
        self.rare.as_ref().map_or(Lsn::ZERO, |rare| rare.changed_lsn)
    }

    /// The last event that changed it: its opening, an entry, something set aside or given back, a
    /// status, limits. What is known of it beside its money does not count. It only grows, and is
    /// told to callers as the account's version. A start from a snapshot of an older format knows
    /// of the changes before it only the entries.
    #[must_use]
    pub fn version(&self) -> Lsn {
        self.opened_lsn.max(self.last_lsn).max(self.changed_lsn())
    }

    /// Notes a change that is no entry.
    fn note_change(&mut self, lsn: Lsn) {
        self.rare.get_or_insert_default().changed_lsn = lsn;
    }

    /// How far below zero it may go, minor units.
    pub(crate) fn overdraft_limit(&self) -> u128 {
        self.overdraft_limit
    }

    /// The account as it stands where these are its figures once all in front of it is done: for
    /// trying out what follows.
    pub(crate) fn standing(&self, spendable: i128, prospective: i128) -> Self {
        let pending_hold = prospective - signed(self.on_hold) - spendable;
        Self { pending: prospective - self.posted, pending_hold, prepared: 1, ..self.clone() }
    }

    /// All its limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { overdraft_limit: self.overdraft_limit, bounds: self.bounds() }
    }

    fn own_floor(&self) -> Option<i128> {
        self.rare.as_ref().and_then(|rare| rare.bounds.floor)
    }

    fn own_ceiling(&self) -> Option<i128> {
        self.rare.as_ref().and_then(|rare| rare.bounds.ceiling)
    }

    /// The lowest balance it may reach, what is on hold being spent.
    #[inline]
    pub(crate) fn floor(&self) -> i128 {
        if let Some(floor) = self.own_floor() {
            return floor;
        }
        if self.external { -BALANCE_MAX } else { -signed(self.overdraft_limit) }
    }

    /// The lowest balance a debit with this guard may leave.
    #[inline]
    pub(crate) fn floor_for(&self, guard: Guard) -> i128 {
        match guard {
            Guard::Overdraft => self.hard_floor(),
            Guard::Debit | Guard::Credit | Guard::Free => self.floor(),
        }
    }

    /// What nothing may take the balance below: a floor of its own, or the end of the range.
    fn hard_floor(&self) -> i128 {
        self.own_floor().unwrap_or(-BALANCE_MAX)
    }

    /// The highest posted balance it may reach.
    #[inline]
    pub(crate) fn ceiling(&self) -> i128 {
        self.own_ceiling().unwrap_or(BALANCE_MAX)
    }

    /// The posted balance once everything prepared so far is done.
    pub(crate) fn prospective(&self) -> i128 {
        self.posted + self.pending
    }

    /// What of it may be spent then: what is not on hold.
    pub(crate) fn spendable(&self) -> i128 {
        self.prospective() - signed(self.on_hold) - self.pending_hold
    }

    /// The rule that forbids any debit now, whatever the amount.
    pub(crate) fn debit_blocked(&self) -> Option<Rejection> {
        match self.status {
            AccountStatus::Active | AccountStatus::CreditsBlocked => None,
            AccountStatus::Frozen => Some(Rejection::DebitAccountFrozen),
            AccountStatus::Closed => Some(Rejection::DebitAccountClosed),
            AccountStatus::DebitsBlocked => Some(Rejection::DebitAccountBlocked),
        }
    }

    /// The rule that forbids any credit now, whatever the amount.
    pub(crate) fn credit_blocked(&self) -> Option<Rejection> {
        match self.status {
            AccountStatus::Active | AccountStatus::DebitsBlocked => None,
            AccountStatus::Frozen => Some(Rejection::CreditAccountFrozen),
            AccountStatus::Closed => Some(Rejection::CreditAccountClosed),
            AccountStatus::CreditsBlocked => Some(Rejection::CreditAccountBlocked),
        }
    }

    /// The rule a debit breaks when it falls short: an external account has no floor but the
    /// end of the range.
    pub(crate) fn shortfall(&self) -> Rejection {
        if self.own_floor().is_some() {
            return Rejection::DebitAccountFloor;
        }
        if self.external { Rejection::BalanceOverflow } else { Rejection::InsufficientFunds }
    }

    /// The same for a debit with this guard.
    pub(crate) fn shortfall_for(&self, guard: Guard) -> Rejection {
        match guard {
            Guard::Overdraft if self.own_floor().is_none() => Rejection::BalanceOverflow,
            _ => self.shortfall(),
        }
    }

    /// The rule a credit breaks when it goes too far.
    pub(crate) fn excess(&self) -> Rejection {
        match self.own_ceiling() {
            Some(_) => Rejection::CreditAccountCeiling,
            None => Rejection::BalanceOverflow,
        }
    }

    /// The rule that a debit of `amount` breaks, given everything prepared before.
    #[must_use]
    pub fn refuse_debit(&self, amount: u128) -> Option<Rejection> {
        self.debit_blocked().or_else(|| {
            let short = self.spendable() - signed(amount) < self.floor();
            short.then(|| self.shortfall())
        })
    }

    /// The rule that a credit of `amount` breaks, given everything prepared before.
    #[must_use]
    pub fn refuse_credit(&self, amount: u128) -> Option<Rejection> {
        self.credit_blocked().or_else(|| {
            let over = self.prospective() + signed(amount) > self.ceiling();
            over.then(|| self.excess())
        })
    }

    /// The rule that an effect breaks, given everything prepared before. What takes nothing away
    /// is covered, whatever the balance.
    pub(crate) fn refuse(&self, effect: Effect) -> Option<Rejection> {
        match effect.guard {
            Guard::Free => None,
            Guard::Debit | Guard::Overdraft => self.debit_blocked().or_else(|| {
                let (net, floor) = (effect.spendable(), self.floor_for(effect.guard));
                let short = net < 0 && self.spendable() + net < floor;
                short.then(|| self.shortfall_for(effect.guard))
            }),
            Guard::Credit => self.credit_blocked().or_else(|| {
                let over = self.prospective() + effect.posted > self.ceiling();
                over.then(|| self.excess())
            }),
        }
    }

    /// `Freeze`: keeps `amount` for a debit to come.
    pub fn freeze(&mut self, amount: u128) {
        self.pending -= signed(amount);
        self.prepared += 1;
    }

    /// `Unfreeze`: gives back what was frozen.
    pub fn unfreeze(&mut self, amount: u128) {
        self.pending += signed(amount);
        self.take_back();
    }

    /// `Expect`: announces a credit to come.
    pub fn expect(&mut self, amount: u128) {
        self.pending += signed(amount);
        self.prepared += 1;
    }

    /// `Unexpect`: takes back what was announced.
    pub fn unexpect(&mut self, amount: u128) {
        self.pending -= signed(amount);
        self.take_back();
    }

    /// Freezes or announces what an effect will do.
    pub(crate) fn prepare(&mut self, effect: Effect) {
        self.pending += effect.posted;
        self.pending_hold += effect.on_hold;
        self.prepared += 1;
    }

    /// Takes that back.
    pub(crate) fn unprepare(&mut self, effect: Effect) {
        self.pending -= effect.posted;
        self.pending_hold -= effect.on_hold;
        self.take_back();
    }

    fn take_back(&mut self) {
        assert!(self.prepared > 0, "more taken back than was prepared");
        self.prepared -= 1;
        let nothing = self.pending == 0 && self.pending_hold == 0;
        assert!(self.prepared > 0 || nothing, "other taken back than was prepared");
    }

    /// Puts `amount` on hold, by the event at `lsn`.
    ///
    /// # Errors
    /// [`Impossible`] when no sequence of decided events leads here; nothing changed then.
    pub(crate) fn set_aside(&mut self, lsn: Lsn, amount: u128) -> Result<BalanceAfter, Impossible> {
        self.check_allowed(lsn, AccountStatus::CreditsBlocked)?;
        self.check_covered(lsn, amount)?;
        self.on_hold += amount;
        self.note_change(lsn);
        Ok(self.figures())
    }

    /// Gives `amount` of what is on hold back, by the event at `lsn`.
    ///
    /// # Errors
    /// [`Impossible`] when less is on hold; nothing changed then.
    pub(crate) fn give_back(&mut self, lsn: Lsn, amount: u128) -> Result<BalanceAfter, Impossible> {
        let Some(on_hold) = self.on_hold.checked_sub(amount) else {
            let what = format!("account {} has {} on hold, not {amount}", self.id, self.on_hold);
            return Err(Impossible::Differs { lsn, what });
        };
        self.on_hold = on_hold;
        self.note_change(lsn);
        Ok(self.figures())
    }

    /// `Debit`: posts `amount` out of the account, by the event at `lsn`.
    ///
    /// # Errors
    /// [`Impossible`] when no sequence of decided events leads here; nothing changed then.
    #[inline]
    pub fn debit(&mut self, lsn: Lsn, amount: u128) -> Result<LegEffect, Impossible> {
        self.check_moves(lsn, AccountStatus::CreditsBlocked)?;
        self.check_covered(lsn, amount)?;
        Ok(self.post(lsn, self.posted - signed(amount)))
    }

    /// `Debit` of what was set aside for it: `given_back` of the amount was on hold until now, and
    /// takes nothing away, even from an account that is below its floor.
    ///
    /// # Errors
    /// As [`Self::debit`].
    pub(crate) fn debit_held(
        &mut self,
        lsn: Lsn,
        amount: u128,
        given_back: u128,
    ) -> Result<LegEffect, Impossible> {
        self.check_moves(lsn, AccountStatus::CreditsBlocked)?;
        if amount > given_back {
            self.check_covered(lsn, amount)?;
        }
        Ok(self.post(lsn, self.posted - signed(amount)))
    }

    /// `Debit` that may go below the overdraft limit, by the event at `lsn`.
    ///
    /// # Errors
    /// As [`Self::debit`].
    pub(crate) fn debit_over(&mut self, lsn: Lsn, amount: u128) -> Result<LegEffect, Impossible> {
        self.check_moves(lsn, AccountStatus::CreditsBlocked)?;
        self.check_above(lsn, amount, self.hard_floor())?;
        Ok(self.post(lsn, self.posted - signed(amount)))
    }

    /// `Credit`: posts `amount` into the account, by the event at `lsn`.
    ///
    /// # Errors
    /// [`Impossible`], as [`Self::debit`].
    #[inline]
    pub fn credit(&mut self, lsn: Lsn, amount: u128) -> Result<LegEffect, Impossible> {
        self.check_moves(lsn, AccountStatus::DebitsBlocked)?;
        let after = self.posted + signed(amount);
        if after > self.ceiling() {
            return Err(Impossible::OutOfRange { lsn, account: self.id });
        }
        Ok(self.post(lsn, after))
    }

    #[inline]
    fn check_covered(&self, lsn: Lsn, amount: u128) -> Result<(), Impossible> {
        self.check_above(lsn, amount, self.floor())
    }

    #[inline]
    fn check_above(&self, lsn: Lsn, amount: u128, floor: i128) -> Result<(), Impossible> {
        if self.posted - signed(self.on_hold) - signed(amount) >= floor {
            return Ok(());
        }
        // A balanced transfer may find nothing, and takes nothing, even from an account that a refund
        // has overdrawn.
        if amount == 0 {
            return Ok(());
        }
        let available = self.figures().available;
        Err(Impossible::NotCovered { lsn, account: self.id, amount, available })
    }

    /// `also`: the status beside [`AccountStatus::Active`] that lets it move this way.
    fn check_allowed(&self, lsn: Lsn, also: AccountStatus) -> Result<(), Impossible> {
        if self.status == AccountStatus::Active || self.status == also {
            return Ok(());
        }
        Err(Impossible::NotActive { lsn, account: self.id, status: self.status })
    }

    fn check_moves(&self, lsn: Lsn, also: AccountStatus) -> Result<(), Impossible> {
        self.check_allowed(lsn, also)?;
        if lsn <= self.last_lsn || lsn <= self.opened_lsn {
            return Err(Impossible::NotAfter { lsn, account: self.id, last: self.last_lsn });
        }
        Ok(())
    }

    fn post(&mut self, lsn: Lsn, posted: i128) -> LegEffect {
        let previous = self.last_lsn;
        self.posted = posted;
        self.last_lsn = lsn;
        LegEffect { after: self.figures(), previous }
    }

    /// Posted and available as a serial execution sees them: without what is only prepared.
    /// For an external account, which has no floor, available is posted less what is on hold.
    #[must_use]
    pub fn figures(&self) -> BalanceAfter {
        let room = if self.external { 0 } else { signed(self.overdraft_limit) };
        let available = self.posted - signed(self.on_hold) + room;
        BalanceAfter { posted: self.posted, available }
    }

    /// Whether its status may become `status`.
    ///
    /// # Errors
    /// Why not.
    pub fn check_status(&self, status: AccountStatus) -> Result<(), AccountRejection> {
        let empty = self.posted == 0 && self.on_hold == 0 && self.is_settled();
        if status == AccountStatus::Closed && !empty {
            return Err(AccountRejection::NotEmpty);
        }
        Ok(())
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> AccountStatus {
        self.status
    }

    /// Gives it a new status, by the event at `lsn`.
    ///
    /// # Errors
    /// [`Impossible`] when [`Self::check_status`] forbids it.
    pub fn set_status(&mut self, lsn: Lsn, status: AccountStatus) -> Result<(), Impossible> {
        if let Err(why) = self.check_status(status) {
            return Err(Impossible::Differs {
                lsn,
                what: format!("account {} cannot become {status:?}: {why}", self.id),
            });
        }
        self.status = status;
        self.note_change(lsn);
        Ok(())
    }

    /// Gives it new limits, by the event at `lsn`: they apply from here on.
    ///
    /// # Errors
    /// [`Impossible`] when [`Limits::check`] forbids it.
    pub fn set_limits(&mut self, lsn: Lsn, limits: &Limits) -> Result<(), Impossible> {
        if let Err(why) = limits.check(self.external, self.posted, self.on_hold) {
            let what = format!("account {} cannot have {limits:?}: {why}", self.id);
            return Err(Impossible::Differs { lsn, what });
        }
        self.overdraft_limit = limits.overdraft_limit;
        self.rare = boxed(limits.bounds, lsn);
        Ok(())
    }

    /// The account as it stands, with what is only prepared.
    #[must_use]
    pub fn view(&self) -> AccountView {
        AccountView {
            spec: self.spec(),
            status: self.status,
            posted: self.posted,
            on_hold: self.on_hold,
            held: (-self.pending).max(0).unsigned_abs(),
            incoming: self.pending.max(0).unsigned_abs(),
            available: self.figures().available + self.pending.min(0),
            bounds: self.bounds(),
            opened_lsn: self.opened_lsn,
            last_lsn: self.last_lsn,
            version: self.version(),
        }
    }

    /// How it was opened.
    #[must_use]
    pub fn spec(&self) -> AccountSpec {
        AccountSpec {
            id: self.id,
            currency: self.currency,
            overdraft_limit: self.overdraft_limit,
            external: self.external,
        }
    }

    /// Whether nothing is prepared on it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.prepared == 0
    }

    /// The canonical bytes of everything durable about it, for the state hash. The last change
    /// that is no entry is not among them: snapshots of older formats do not know it, and start
    /// to the same hash as the whole journal.
    pub(crate) fn canonical(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.get().to_le_bytes());
        out.extend_from_slice(&self.posted.to_le_bytes());
        out.extend_from_slice(&self.overdraft_limit.to_le_bytes());
        out.extend_from_slice(&self.opened_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.last_lsn.0.to_le_bytes());
        out.extend_from_slice(&self.currency.0.to_le_bytes());
        out.push(self.status.number());
        out.push(u8::from(self.external));
        // Without holds the bytes are those of a ledger that knows none.
        if self.on_hold != 0 {
            out.extend_from_slice(&self.on_hold.to_le_bytes());
        }
        // An account without them hashes as it did before there were any.
        let bounds = self.bounds();
        if !bounds.is_none() {
            for bound in [bounds.floor, bounds.ceiling] {
                out.push(u8::from(bound.is_some()));
                out.extend_from_slice(&bound.unwrap_or(0).to_le_bytes());
            }
        }
    }
}

fn boxed(bounds: Bounds, changed_lsn: Lsn) -> Option<Box<Rare>> {
    let rare = Rare { bounds, changed_lsn };
    (rare != Rare::default()).then(|| Box::new(rare))
}

/// Amounts and limits are far below `i128::MAX`: at most [`crate::money::AMOUNT_MAX`] each,
/// and sums of them stay within [`BALANCE_MAX`] plus one amount.
pub(crate) fn signed(amount: u128) -> i128 {
    amount as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(overdraft_limit: u128, external: bool) -> Account {
        let id = AccountId::new(7).expect("not zero");
        let spec = AccountSpec { id, currency: CurrencyId(826), overdraft_limit, external };
        Account::open(&spec, Lsn(1))
    }

    #[test]
    fn a_freeze_counts_against_the_next_one_and_an_announced_credit_for_it() {
        let mut a = account(0, false);
        a.credit(Lsn(2), 100).expect("in range");
        assert_eq!(a.refuse_debit(100), None);
        a.freeze(60);
        assert_eq!(a.refuse_debit(41), Some(Rejection::InsufficientFunds));
        assert_eq!(a.refuse_debit(40), None);
        a.expect(10);
        assert_eq!(a.refuse_debit(50), None);
        a.unexpect(10);
        a.unfreeze(60);
        assert!(a.is_settled());
        assert_eq!(a.refuse_debit(100), None);
    }

    #[test]
    fn the_overdraft_limit_is_the_floor() {
        let mut a = account(50, false);
        assert_eq!(a.refuse_debit(51), Some(Rejection::InsufficientFunds));
        let effect = a.debit(Lsn(2), 50).expect("covered");
        assert_eq!(effect.after, BalanceAfter { posted: -50, available: 0 });
        assert_eq!(effect.previous, Lsn::ZERO);
        assert!(matches!(a.debit(Lsn(3), 1), Err(Impossible::NotCovered { .. })));
        assert_eq!(a.posted(), -50);
    }

    #[test]
    fn an_external_account_has_no_floor_but_the_range() {
        let mut a = account(0, true);
        assert_eq!(a.refuse_debit(crate::money::AMOUNT_MAX), None);
        a.posted = -BALANCE_MAX;
        assert_eq!(a.refuse_debit(1), Some(Rejection::BalanceOverflow));
        a.posted = BALANCE_MAX;
        assert_eq!(a.refuse_credit(1), Some(Rejection::BalanceOverflow));
        assert!(matches!(a.credit(Lsn(2), 1), Err(Impossible::OutOfRange { .. })));
    }

    #[test]
    fn statuses_block_and_closing_wants_an_empty_account() {
        let mut a = account(0, false);
        a.credit(Lsn(2), 5).expect("in range");
        assert_eq!(a.check_status(AccountStatus::Closed), Err(AccountRejection::NotEmpty));
        a.set_status(Lsn(3), AccountStatus::Frozen).expect("allowed");
        assert_eq!(a.refuse_debit(1), Some(Rejection::DebitAccountFrozen));
        assert_eq!(a.refuse_credit(1), Some(Rejection::CreditAccountFrozen));
        assert!(matches!(a.debit(Lsn(4), 5), Err(Impossible::NotActive { .. })));
        a.set_status(Lsn(5), AccountStatus::Active).expect("allowed");
        a.debit(Lsn(6), 5).expect("covered");
        a.set_status(Lsn(7), AccountStatus::Closed).expect("empty");
        assert_eq!(a.refuse_debit(1), Some(Rejection::DebitAccountClosed));
        assert_eq!(a.refuse_credit(1), Some(Rejection::CreditAccountClosed));
        // Opened again, it moves again.
        a.set_status(Lsn(8), AccountStatus::Active).expect("allowed");
        a.credit(Lsn(9), 5).expect("in range");
    }

    #[test]
    fn floor_and_ceiling_bound_the_balance_from_their_event_on() {
        let mut a = account(50, false);
        a.credit(Lsn(2), 100).expect("in range");
        let limits =
            |floor, ceiling| Limits { overdraft_limit: 50, bounds: Bounds { floor, ceiling } };
        assert!(a.set_limits(Lsn(3), &limits(Some(101), None)).is_err(), "it has less");
        assert!(a.set_limits(Lsn(3), &limits(None, Some(99))).is_err(), "it has more");
        a.set_limits(Lsn(3), &limits(Some(40), Some(120))).expect("it lies within");
        assert_eq!(a.refuse_debit(60), None);
        assert_eq!(a.refuse_debit(61), Some(Rejection::DebitAccountFloor));
        assert_eq!(a.refuse_credit(20), None);
        assert_eq!(a.refuse_credit(21), Some(Rejection::CreditAccountCeiling));
        assert!(matches!(a.debit(Lsn(4), 61), Err(Impossible::NotCovered { .. })));
        assert!(matches!(a.credit(Lsn(4), 21), Err(Impossible::OutOfRange { .. })));
        let restored = Account::restore(&a.durable()).expect("it can be");
        assert_eq!(restored, a);
        a.set_limits(Lsn(4), &limits(None, None)).expect("taken away");
        a.debit(Lsn(5), 150).expect("covered by the overdraft limit");
        let none = Limits { overdraft_limit: 49, bounds: Bounds::default() };
        assert!(a.set_limits(Lsn(6), &none).is_err(), "it lies below");
    }

    #[test]
    fn one_side_is_blocked_and_the_other_moves() {
        let mut a = account(0, false);
        a.credit(Lsn(2), 5).expect("in range");
        a.set_status(Lsn(3), AccountStatus::DebitsBlocked).expect("allowed");
        assert_eq!(a.refuse_debit(1), Some(Rejection::DebitAccountBlocked));
        assert_eq!(a.refuse_credit(1), None);
        a.credit(Lsn(4), 1).expect("credits are allowed");
        assert!(matches!(a.debit(Lsn(5), 1), Err(Impossible::NotActive { .. })));
        a.set_status(Lsn(5), AccountStatus::CreditsBlocked).expect("allowed");
        assert_eq!(a.refuse_debit(1), None);
        assert_eq!(a.refuse_credit(1), Some(Rejection::CreditAccountBlocked));
        a.debit(Lsn(6), 6).expect("debits are allowed");
        assert!(matches!(a.credit(Lsn(7), 1), Err(Impossible::NotActive { .. })));
        assert_eq!(a.posted(), 0);
    }

    #[test]
    fn events_of_an_account_go_forward_only() {
        let mut a = account(0, false);
        a.credit(Lsn(5), 1).expect("in range");
        assert!(matches!(a.credit(Lsn(5), 1), Err(Impossible::NotAfter { .. })));
    }

    #[test]
    fn what_is_on_hold_is_not_spent_and_counts_for_the_end_of_the_range() {
        let mut a = account(10, false);
        a.credit(Lsn(2), 100).expect("in range");
        let after = a.set_aside(Lsn(3), 80).expect("covered");
        assert_eq!(after, BalanceAfter { posted: 100, available: 30 });
        assert_eq!(a.refuse_debit(31), Some(Rejection::InsufficientFunds));
        assert!(matches!(a.debit(Lsn(4), 31), Err(Impossible::NotCovered { .. })));
        assert!(matches!(a.set_aside(Lsn(4), 31), Err(Impossible::NotCovered { .. })));
        assert!(a.give_back(Lsn(4), 81).is_err());
        // A capture within the hold is covered; what exceeds it must be there.
        let capture = |posted, on_hold| Effect { posted, on_hold, guard: Guard::Debit };
        assert_eq!(a.refuse(capture(-80, -80)), None);
        assert_eq!(a.refuse(capture(-110, -80)), None);
        assert_eq!(a.refuse(capture(-111, -80)), Some(Rejection::InsufficientFunds));
        // What is prepared counts at once.
        a.prepare(capture(0, 30));
        assert_eq!(a.refuse_debit(1), Some(Rejection::InsufficientFunds));
        a.prepare(capture(-80, -80));
        assert_eq!(a.refuse_debit(1), Some(Rejection::InsufficientFunds));
        a.unprepare(capture(0, 30));
        assert_eq!(a.refuse_debit(30), None);
        a.unprepare(capture(-80, -80));
        assert!(a.is_settled());
        // The end of the range is for what is posted, held or not.
        a.posted = BALANCE_MAX;
        assert_eq!(a.refuse_credit(1), Some(Rejection::BalanceOverflow));
    }

    #[test]
    fn an_account_stays_small() {
        assert!(std::mem::size_of::<Account>() <= 128);
    }
}
