//! A partition: the host of a slab of account actors, and the part of two-phase commit that
//! happens at the accounts.
//!
//! ```text
//! coordinator ── Batch ──▶ prepare ──▶ votes ──▶ (resolve ◀─▶ votes)* ──▶ commit ──▶ legs
//! ```
//!
//! Operations on holds travel among the transfers: what each does to an account is an effect
//! ([`Batch`] says which), and a transfer's is the plainest.
//!
//! [`Partition::prepare`] walks a batch in order and hands every account its messages. A
//! transfer (or linked group) whose accounts are all hosted here is settled on the spot: no
//! one else has a say, so its votes are final and later transfers may build on them. One
//! that reaches into another partition stays undecided, and whatever depends on it waits
//! (see [`crate::waiting`]) until the coordinator has decided it.

mod export;

pub use export::{PIECE_ACCOUNTS, interleave};

use crate::account::{Account, Impossible, LegEffect};
use crate::batch::{Batch, Item, Op, Vote};
use crate::ids::{Lsn, Slot};
use crate::limits::{Bounds, Limits};
use crate::plan::Decided;
use crate::prefetch::{AHEAD, Ahead};
use crate::rejection::Rejection;
use crate::terms::judge::{self, Host};
use crate::transfer::{AccountSpec, AccountStatus, AccountView, BalanceAfter};
use crate::waiting::Waiting;
use export::Export;

/// Most partitions of one shard.
pub const PARTITIONS_MAX: usize = 64;

/// Which partition hosts an account: slots go round robin, the number of partitions being a
/// power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    shift: u32,
}

impl Layout {
    /// A layout of `partitions`; `None` unless it is a power of two of at most
    /// [`PARTITIONS_MAX`].
    #[must_use]
    pub fn new(partitions: usize) -> Option<Self> {
        let fits = partitions.is_power_of_two() && partitions <= PARTITIONS_MAX;
        fits.then(|| Self { shift: partitions.trailing_zeros() })
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(self) -> usize {
        1 << self.shift
    }

    /// The partition that hosts `slot`.
    #[must_use]
    pub fn partition_of(self, slot: Slot) -> usize {
        slot.index() & (self.partitions() - 1)
    }

    fn local(self, slot: Slot) -> usize {
        slot.index() >> self.shift
    }
}

/// A slab of account actors.
#[derive(Clone, Debug)]
pub struct Partition {
    index: usize,
    layout: Layout,
    accounts: Vec<Account>,
    waiting: Waiting,
    /// What balanced items move that were settled here, to be told.
    moved: Vec<(usize, u128)>,
    /// The snapshot for which accounts are being given up, if there is one.
    export: Option<Box<Export>>,
}

/// What a partition tells the coordinator of groups with terms besides votes. Empty where a batch
/// has none.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What balanced items move, by item: those of groups that were settled there.
    pub(crate) moved: Vec<(usize, u128)>,
    /// How accounts stand where a group that is not settled there has come to the front.
    pub(crate) fronts: Vec<(Slot, Account)>,
}

/// What a commit did at one account, or how the account stands where it did nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    /// The account's figures after the decision.
    pub after: BalanceAfter,
    /// For a posting: the account's event before this one. For a refusal of what has terms: the
    /// account's version.
    pub previous: Lsn,
}

impl Leg {
    /// How many LSNs before `lsn` the account's event before this one lies; 0 for none.
    pub(crate) fn back(&self, lsn: Lsn) -> u64 {
        if self.previous == Lsn::ZERO { 0 } else { lsn.0 - self.previous.0 }
    }
}

/// The legs of one transfer that are hosted here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Legs {
    /// The debit account's.
    pub debit: Option<Leg>,
    /// The credit account's.
    pub credit: Option<Leg>,
}

/// What became of both accounts of item `at`, whichever partitions host them.
pub(crate) fn merge(legs: &[Vec<Legs>], at: usize) -> Legs {
    let mut both = legs[0][at];
    for more in &legs[1..] {
        both.debit = both.debit.or(more[at].debit);
        both.credit = both.credit.or(more[at].credit);
    }
    both
}

impl Host for Partition {
    fn account(&self, slot: Slot) -> &Account {
        self.at(slot)
    }

    fn account_mut(&mut self, slot: Slot) -> &mut Account {
        self.at_mut(slot)
    }
}

impl Partition {
    /// Partition number `index` of the layout, empty.
    #[must_use]
    pub fn new(index: usize, layout: Layout) -> Self {
        assert!(index < layout.partitions(), "no partition {index}");
        let (waiting, moved) = (Waiting::default(), Vec::new());
        Self { index, layout, accounts: Vec::new(), waiting, moved, export: None }
    }

    fn hosts(&self, slot: Slot) -> bool {
        self.layout.partition_of(slot) == self.index
    }

    /// The account in `slot`, when it is hosted here.
    #[must_use]
    pub fn account(&self, slot: Slot) -> Option<&Account> {
        self.hosts(slot).then(|| self.accounts.get(self.layout.local(slot))).flatten()
    }

    pub(crate) fn at(&self, slot: Slot) -> &Account {
        &self.accounts[self.layout.local(slot)]
    }

    pub(crate) fn at_mut(&mut self, slot: Slot) -> &mut Account {
        &mut self.accounts[self.layout.local(slot)]
    }

    /// Bytes of memory the slab takes, and what is kept for a snapshot on its way.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let exported = self.export.as_ref().map_or(0, |export| export.memory_bytes());
        self.accounts.capacity() * size_of::<Account>() + exported
    }

    /// The accounts hosted here, in the order of their slots.
    pub fn accounts(&self) -> impl Iterator<Item = (Slot, &Account)> {
        let (index, shift) = (self.index, self.layout.shift);
        self.accounts.iter().enumerate().map(move |(at, account)| {
            let slot = (at << shift) | index;
            (Slot(u32::try_from(slot).expect("slots are 32 bits wide")), account)
        })
    }

    /// How the account in `slot` stands.
    #[must_use]
    pub fn view(&self, slot: Slot) -> Option<AccountView> {
        self.account(slot).map(Account::view)
    }

    /// Hosts a new account. Slots arrive in order.
    ///
    /// # Errors
    /// [`Impossible`] when `slot` is not the next one of this partition.
    pub fn open(&mut self, slot: Slot, spec: &AccountSpec, lsn: Lsn) -> Result<(), Impossible> {
        self.open_within(slot, spec, Bounds::default(), lsn)
    }

    /// Hosts a new account with a floor and a ceiling. Slots arrive in order.
    ///
    /// # Errors
    /// [`Impossible`] when `slot` is not the next one of this partition.
    pub fn open_within(
        &mut self,
        slot: Slot,
        spec: &AccountSpec,
        bounds: Bounds,
        lsn: Lsn,
    ) -> Result<(), Impossible> {
        if !self.hosts(slot) || self.layout.local(slot) != self.accounts.len() {
            let what = format!("slot {} is not the next of partition {}", slot.0, self.index);
            return Err(Impossible::Differs { lsn, what });
        }
        self.accounts.push(Account::open_within(spec, bounds, lsn));
        Ok(())
    }

    /// Hosts an account that a snapshot holds.
    pub(crate) fn host(&mut self, slot: Slot, account: Account) {
        let next = self.hosts(slot) && self.layout.local(slot) == self.accounts.len();
        assert!(next, "slots come in order");
        self.accounts.push(account);
    }

    /// Gives an account a new status.
    ///
    /// # Errors
    /// [`Impossible`] when the account's state forbids it.
    pub fn set_status(
        &mut self,
        slot: Slot,
        lsn: Lsn,
        status: AccountStatus,
    ) -> Result<(), Impossible> {
        self.preserve(slot);
        self.at_mut(slot).set_status(lsn, status)
    }

    /// Gives an account new limits.
    ///
    /// # Errors
    /// [`Impossible`] when the account's state forbids it.
    pub fn set_limits(&mut self, slot: Slot, lsn: Lsn, limits: &Limits) -> Result<(), Impossible> {
        self.preserve_whole(slot);
        self.at_mut(slot).set_limits(lsn, limits)
    }

    /// Phase one: freezes what the batch takes, announces what it brings, and votes on every
    /// transfer. `votes` is overwritten with one vote per item.
    pub fn prepare(&mut self, batch: &Batch, votes: &mut Vec<Vote>) {
        assert!(self.waiting.is_empty(), "a batch is prepared after the one before is decided");
        votes.clear();
        votes.resize(batch.items.len(), Vote::ABSENT);
        let mut ahead = Ahead::new(batch.items.len(), AHEAD);
        let mut at = 0;
        while at < batch.items.len() {
            batch.items[ahead.at(at)].iter().for_each(|item| self.prefetch(item));
            let end = batch.group_end(at);
            let group = &batch.items[at..end];
            if group.iter().all(|item| item.refused.is_none()) {
                self.prepare_group(batch, at..end, &mut votes[at..end]);
            }
            at = end;
        }
    }

    /// Asks for the memory of the item's accounts.
    #[inline]
    fn prefetch(&self, item: &Item) {
        for slot in [item.debit, item.credit] {
            if let Some(account) = self.account(slot) {
                account.prefetch();
            }
        }
    }

    fn prepare_group(&mut self, batch: &Batch, group: std::ops::Range<usize>, votes: &mut [Vote]) {
        let items = &batch.items[group.clone()];
        let termed = batch.has_terms(group.clone());
        if self.settles(items) {
            if termed {
                self.settle_termed(batch, group, votes);
            } else {
                self.settle(batch, items, votes);
            }
            return;
        }
        for (offset, item) in items.iter().enumerate() {
            let debit = Some((item.debit, batch.debit_effect(item)));
            let credit = batch.credit_effect(item).map(|effect| (item.credit, effect));
            for (slot, effect) in debit.into_iter().chain(credit) {
                if self.hosts(slot) {
                    let account = (slot, &self.accounts[self.layout.local(slot)]);
                    let at = group.start + offset;
                    let vote = if termed {
                        self.waiting.add_termed(group.start, at, account, effect)
                    } else {
                        self.waiting.add(group.start, at, account, effect)
                    };
                    votes[offset] = votes[offset].and(vote);
                }
            }
        }
    }

    /// Whether nobody but this partition, and nothing undecided, has a say in the group.
    fn settles(&self, group: &[Item]) -> bool {
        group.iter().all(|item| {
            self.hosts(item.debit)
                && self.hosts(item.credit)
                && !self.waiting.concerns(item.debit)
                && !self.waiting.concerns(item.credit)
        })
    }

    /// Freezes and announces a whole group, or leaves everything as it was.
    fn settle(&mut self, batch: &Batch, group: &[Item], votes: &mut [Vote]) {
        for (offset, item) in group.iter().enumerate() {
            if let Some(rejection) = self.freeze(batch, item) {
                for done in group[..offset].iter().rev() {
                    self.release(batch, done);
                }
                votes[offset] = Vote::no(rejection);
                votes[offset + 1..].fill(Vote::no(Rejection::LinkedFailed));
                return;
            }
            votes[offset] = Vote::YES;
        }
    }

    /// The same for a group with terms: what it moves is known here and now.
    #[inline(never)]
    fn settle_termed(&mut self, batch: &Batch, group: std::ops::Range<usize>, votes: &mut [Vote]) {
        let mut moved = std::mem::take(&mut self.moved);
        match judge::prepare_group(batch, group.clone(), self, &mut moved) {
            Ok(()) => votes.fill(Vote::YES),
            Err((at, rejection)) => {
                let at = at - group.start;
                votes[..at].fill(Vote::YES);
                votes[at] = Vote::no(rejection);
                votes[at + 1..].fill(Vote::no(Rejection::LinkedFailed));
            }
        }
        self.moved = moved;
    }

    /// What the coordinator has to know of groups with terms besides votes, since it was last
    /// asked.
    pub fn tell(&mut self) -> Told {
        let fronts = std::mem::take(&mut self.waiting.fronts);
        Told { moved: std::mem::take(&mut self.moved), fronts }
    }

    fn freeze(&mut self, batch: &Batch, item: &Item) -> Option<Rejection> {
        if item.op != Op::Transfer {
            return self.freeze_hold(batch, item);
        }
        let debit = self.at(item.debit).refuse_debit(item.amount);
        let credit = self.at(item.credit).refuse_credit(item.amount);
        let first = first_of(debit, credit);
        if first.is_none() {
            self.at_mut(item.debit).freeze(item.amount);
            self.at_mut(item.credit).expect(item.amount);
        }
        first
    }

    /// The same for an operation on a hold, and for a refund.
    #[inline(never)]
    fn freeze_hold(&mut self, batch: &Batch, item: &Item) -> Option<Rejection> {
        let (debit, credit) = (batch.debit_effect(item), batch.credit_effect(item));
        let first = first_of(
            self.at(item.debit).refuse(debit),
            credit.and_then(|credit| self.at(item.credit).refuse(credit)),
        );
        if first.is_none() {
            self.at_mut(item.debit).prepare(debit);
            if let Some(credit) = credit {
                self.at_mut(item.credit).prepare(credit);
            }
        }
        first
    }

    fn release(&mut self, batch: &Batch, item: &Item) {
        if item.op != Op::Transfer {
            return self.release_hold(batch, item);
        }
        if self.hosts(item.debit) {
            self.at_mut(item.debit).unfreeze(item.amount);
        }
        if self.hosts(item.credit) {
            self.at_mut(item.credit).unexpect(item.amount);
        }
    }

    #[inline(never)]
    fn release_hold(&mut self, batch: &Batch, item: &Item) {
        if self.hosts(item.debit) {
            self.at_mut(item.debit).unprepare(batch.debit_effect(item));
        }
        if let Some(credit) = batch.credit_effect(item)
            && self.hosts(item.credit)
        {
            self.at_mut(item.credit).unprepare(credit);
        }
    }

    /// The coordinator has decided some groups: votes that waited for them are cast now. Reports
    /// every vote that changed.
    pub fn resolve(&mut self, decided: &Decided, changed: impl FnMut(usize, Vote)) {
        let (accounts, layout) = (&self.accounts, self.layout);
        self.waiting.resolve(decided, |slot| &accounts[layout.local(slot)], changed);
    }

    /// Phase two: `Debit` and `Credit` for what was posted, nothing for what was refused, in
    /// the order of the journal. `verdicts[i]` is the decision on item `i`; `legs` is
    /// overwritten with what became of the accounts hosted here. Returns the sum of all
    /// credits less all debits, which over all partitions is zero.
    ///
    /// # Errors
    /// [`Impossible`] when a decision contradicts the accounts: the program is wrong and the
    /// partition must not be used again.
    pub fn commit(
        &mut self,
        batch: &Batch,
        verdicts: &[Option<Rejection>],
        legs: &mut Vec<Legs>,
    ) -> Result<i128, Impossible> {
        assert_eq!(verdicts.len(), batch.items.len(), "a verdict for every transfer");
        let mut waiting = std::mem::take(&mut self.waiting);
        for leg in waiting.drain() {
            // Decided only now: put into the same shape as what was settled in `prepare`.
            if verdicts[leg.item].is_none() {
                let item = &batch.items[leg.item];
                // What a balanced one moves, the batch says by now.
                let effect = if item.termed { batch.effect_on(item, leg.slot) } else { leg.effect };
                self.at_mut(leg.slot).prepare(effect);
            }
        }
        self.waiting = waiting;
        legs.clear();
        let mut net = 0;
        let mut ahead = Ahead::new(batch.items.len(), AHEAD);
        for (at, (item, verdict)) in batch.items.iter().zip(verdicts).enumerate() {
            batch.items[ahead.at(at)].iter().for_each(|item| self.prefetch(item));
            let done = match verdict {
                None => self.post(batch, at, &mut net)?,
                Some(rejection) => {
                    self.check_refusal(batch, at, *rejection)?;
                    self.leave(item)
                }
            };
            legs.push(done);
        }
        Ok(net)
    }

    fn post(&mut self, batch: &Batch, at: usize, net: &mut i128) -> Result<Legs, Impossible> {
        let (lsn, item) = (batch.lsn(at), &batch.items[at]);
        self.release(batch, item);
        if item.op != Op::Transfer
            && let Some(legs) = self.follow_hold(batch, at)?
        {
            return Ok(legs);
        }
        let mut legs = Legs::default();
        if self.hosts(item.debit) {
            legs.debit = Some(match item.op {
                Op::Transfer => self.apply_debit(item.debit, lsn, item.amount)?,
                _ => self.debit_operation(batch, item, lsn)?,
            });
            *net -= crate::account::signed(item.amount);
        }
        if self.hosts(item.credit) {
            legs.credit = Some(self.apply_credit(item.credit, lsn, item.amount)?);
            *net += crate::account::signed(item.amount);
        }
        Ok(legs)
    }

    /// What an operation on a hold does besides moving money; what it comes to, unless it moves
    /// money as well.
    #[inline(never)]
    fn follow_hold(&mut self, batch: &Batch, at: usize) -> Result<Option<Legs>, Impossible> {
        let (lsn, item) = (batch.lsn(at), &batch.items[at]);
        let here = self.hosts(item.debit);
        let done = match item.op {
            Op::Transfer | Op::Refund | Op::RefundOver => return Ok(None),
            Op::Capture => {
                if let Some(step) = batch.step(item).filter(|_| here) {
                    self.apply_give_back(item.debit, lsn, step.released)?;
                }
                return Ok(None);
            }
            _ if !here => None,
            Op::Hold => Some(self.apply_set_aside(item.debit, lsn, item.amount)?),
            Op::Void | Op::Expire => Some(self.apply_give_back(item.debit, lsn, item.amount)?),
            Op::Extend => Some(still(self.at(item.debit))),
        };
        Ok(Some(Legs { debit: done, credit: None }))
    }

    /// The debit of a capture or of a refund.
    #[inline(never)]
    fn debit_operation(&mut self, batch: &Batch, item: &Item, lsn: Lsn) -> Result<Leg, Impossible> {
        let Item { debit, amount, .. } = *item;
        match item.op {
            Op::Capture => {
                let released = batch.step(item).map_or(0, |step| step.released);
                self.apply_debit_held(debit, lsn, amount, released)
            }
            Op::RefundOver => self.apply_debit_over(debit, lsn, amount),
            _ => self.apply_debit(debit, lsn, amount),
        }
    }

    /// The debit of a capture: the one way to it, live and in replay.
    pub(crate) fn apply_debit_held(
        &mut self,
        slot: Slot,
        lsn: Lsn,
        amount: u128,
        released: u128,
    ) -> Result<Leg, Impossible> {
        self.preserve(slot);
        self.at_mut(slot).debit_held(lsn, amount, released).map(Leg::from)
    }

    /// The debit of a refund that may overdraw: the one way to it, live and in replay.
    pub(crate) fn apply_debit_over(
        &mut self,
        slot: Slot,
        lsn: Lsn,
        amount: u128,
    ) -> Result<Leg, Impossible> {
        self.preserve(slot);
        self.at_mut(slot).debit_over(lsn, amount).map(Leg::from)
    }

    /// What a hold sets aside: the one way to it, live and in replay.
    pub(crate) fn apply_set_aside(
        &mut self,
        slot: Slot,
        lsn: Lsn,
        amount: u128,
    ) -> Result<Leg, Impossible> {
        self.preserve(slot);
        let after = self.at_mut(slot).set_aside(lsn, amount)?;
        Ok(Leg { after, previous: Lsn::ZERO })
    }

    /// What is given back of a hold: the one way to it, live and in replay.
    pub(crate) fn apply_give_back(
        &mut self,
        slot: Slot,
        lsn: Lsn,
        amount: u128,
    ) -> Result<Leg, Impossible> {
        self.preserve(slot);
        let after = self.at_mut(slot).give_back(lsn, amount)?;
        Ok(Leg { after, previous: Lsn::ZERO })
    }

    /// The debit of a posted event: the one way to it, live and in replay.
    #[inline]
    pub(crate) fn apply_debit(
        &mut self,
        slot: Slot,
        lsn: Lsn,
        amount: u128,
    ) -> Result<Leg, Impossible> {
        self.preserve(slot);
        self.at_mut(slot).debit(lsn, amount).map(Leg::from)
    }

    /// The credit of a posted event: the one way to it, live and in replay.
    #[inline]
    pub(crate) fn apply_credit(
        &mut self,
        slot: Slot,
        lsn: Lsn,
        amount: u128,
    ) -> Result<Leg, Impossible> {
        self.preserve(slot);
        self.at_mut(slot).credit(lsn, amount).map(Leg::from)
    }

    /// A refusal moves nothing; the figures it is explained with are those of this moment.
    fn leave(&self, item: &Item) -> Legs {
        let credit = if item.op.credits() { self.account(item.credit) } else { None };
        if item.termed {
            let at_version =
                |account: &Account| Leg { previous: account.version(), ..still(account) };
            return Legs {
                debit: self.account(item.debit).map(at_version),
                credit: credit.map(at_version),
            };
        }
        Legs { debit: self.account(item.debit).map(still), credit: credit.map(still) }
    }

    /// The pair of the check in [`Account::debit`]: what was refused for lack of funds really
    /// lacked them, as a serial execution would have seen it. Later members of a group may
    /// have been judged on top of earlier ones that were taken back, so only lone transfers
    /// are asked.
    fn check_refusal(&self, batch: &Batch, at: usize, why: Rejection) -> Result<(), Impossible> {
        let item = &batch.items[at];
        let lone = !item.linked && (at == 0 || !batch.items[at - 1].linked);
        let funds = matches!(why, Rejection::InsufficientFunds | Rejection::DebitAccountFloor);
        if !funds || !lone || item.termed || !self.hosts(item.debit) {
            return Ok(());
        }
        let account = self.at(item.debit);
        let spendable = account.posted() - crate::account::signed(account.on_hold());
        let effect = batch.debit_effect(item);
        if spendable + effect.spendable() < account.floor_for(effect.guard) {
            return Ok(());
        }
        let what = format!("account {} was refused funds that it has", account.id());
        Err(Impossible::Differs { lsn: batch.lsn(at), what })
    }
}

/// How an account stands that an event leaves as it is.
fn still(account: &Account) -> Leg {
    Leg { after: account.figures(), previous: Lsn::ZERO }
}

/// The rule of two that takes precedence.
fn first_of(one: Option<Rejection>, other: Option<Rejection>) -> Option<Rejection> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

impl From<LegEffect> for Leg {
    fn from(effect: LegEffect) -> Self {
        Self { after: effect.after, previous: effect.previous }
    }
}
