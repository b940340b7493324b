//! Votes that wait: transfers that reach into other partitions, and everything behind them.
//!
//! A transfer between two partitions is undecided until the coordinator has both votes.
//! Meanwhile a later transfer of the same account may depend on it: its freeze may be covered
//! only if the earlier one brings money, or only if the earlier one is refused. Such a vote
//! waits. Everything else need not: with the undecided transfers in front of it, an account's
//! prospective balance lies between a lowest and a highest value, and a freeze that fits the
//! lowest, or exceeds the highest, has its answer already. (There are two figures: what may be
//! spent is held against the floor, what is posted against the end of the range. Holds change
//! the first alone, captures the first less than the second, or not at all.)
//!
//! ```text
//! one account's queue:   part ─▶ part ─▶ part     one part: what one undecided group does to
//!                         │       │ │     │       the account, leg by leg. A group that is
//!                        leg    leg leg  leg      decided is taken out of every queue.
//! ```
//!
//! Waiting always points to earlier arrivals, and the earliest undecided group depends on
//! nothing undecided, so every round decides at least that one: there is no deadlock. At each
//! of its accounts it is the first of the queue. It was so from the start, and got all its
//! votes when it was added; or the group in front of it was decided, and the walk of the queue
//! that follows casts all votes of the first part, however short its patience.
//!
//! The members of one linked group stand or fall together. A member is judged as if those
//! before it in its group had happened, for otherwise nobody asks about it.
//!
//! A group with terms has no votes of its own: what it moves, and whether, depends on figures of
//! all its accounts. It waits until it is the first of each of its queues; then the coordinator
//! is told how the account stands there, and judges the group whole ([`crate::terms::judge`]).
//! Behind an undecided one nothing is known of an account's figures.
//!
//! What it costs: adding a leg takes constant time, and so does taking out a part. A walk
//! follows only where a group was decided, and looks at no more than [`PATIENCE`] legs or
//! parts beyond those it is done with for good.

use crate::account::{Account, Effect, Guard, signed};
use crate::batch::Vote;
use crate::ids::Slot;
use crate::plan::Decided;
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// How much one walk looks at in vain before it gives up. A vote that it does not reach waits
/// for a later round, longer than it had to perhaps, but never for ever.
const PATIENCE: usize = 64;

/// Beyond all balances, amounts and sums of them in one batch, and far from the end of `i128`.
const FAR: i128 = i128::MAX / 4;

/// No leg, no part.
const NONE: usize = usize::MAX;

/// One account's side of one undecided item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub item: usize,
    pub slot: Slot,
    pub effect: Effect,
    /// Once it does not wait it never changes.
    vote: Vote,
    part: usize,
    /// The next leg of the same part.
    next: usize,
}

/// Two figures of an account, or what changes them: what may be spent, and what is posted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Figures {
    spendable: i128,
    posted: i128,
}

impl Figures {
    fn of(account: &Account) -> Self {
        Self { spendable: account.spendable(), posted: account.prospective() }
    }

    fn map(self, with: Self, join: impl Fn(i128, i128) -> i128) -> Self {
        Self {
            spendable: join(self.spendable, with.spendable),
            posted: join(self.posted, with.posted),
        }
    }

    /// Below all figures that there can be, and sums with some of them.
    fn lowest() -> Self {
        Self { spendable: -FAR, posted: -FAR }
    }

    /// Above them.
    fn highest() -> Self {
        Self { spendable: FAR, posted: FAR }
    }

    fn plus(self, change: Self) -> Self {
        self.map(change, |one, other| one + other)
    }
}

impl From<Effect> for Figures {
    fn from(effect: Effect) -> Self {
        Self { spendable: effect.spendable(), posted: effect.posted }
    }
}

/// What one undecided group does to one account.
#[derive(Clone, Copy, Debug)]
struct Part {
    group: usize,
    queue: usize,
    /// Its legs, linked by `next`, in the order of arrival.
    first: usize,
    last: usize,
    /// How many of its legs have votes that wait.
    waits: usize,
    /// What all of its legs together change.
    change: Figures,
    /// Whether a leg of it voted no: the group will not happen.
    lost: bool,
    /// Whether the group has terms: what it changes is not known before it is decided.
    termed: bool,
    /// What the groups that were posted between the part before it and this one changed.
    shift: Figures,
    previous: usize,
    next: usize,
}

/// One account's undecided groups, in the order of arrival: no decided one is among them.
#[derive(Clone, Copy, Debug)]
struct Queue {
    slot: Slot,
    first: usize,
    /// While legs are added: the last part, and the outlook in front of it.
    last: usize,
    outlook: Outlook,
    /// How many legs have votes that wait: the sum over its parts.
    waits: usize,
    /// Whether it is in [`Waiting::touched`].
    touched: bool,
}

/// The undecided groups of a batch at one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    /// In the order of arrival, decided ones too: the commit wants them.
    legs: Vec<Pending>,
    /// In the order of arrival; those of decided groups are in no queue any more.
    parts: Vec<Part>,
    queues: Vec<Queue>,
    /// The queue of every account that has one. Until the batch is committed, such an account
    /// is not frozen otherwise: its own prospective balance stays.
    queue_of: HashMap<Slot, usize, FixedState>,
    /// The queues that lost a part in this round and are to be walked. Others give no new
    /// vote: what a leg's vote depends on is all in its queue, in front of it.
    touched: Vec<usize>,
    /// How accounts stand at which a group with terms has come to the front, to be told.
    pub fronts: Vec<(Slot, Account)>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    /// Whether an undecided transfer touches the account.
    pub fn concerns(&self, slot: Slot) -> bool {
        !self.legs.is_empty() && self.queue_of.contains_key(&slot)
    }

    /// Adds a leg of the newest group and votes on it. Nothing may be decided yet.
    pub fn add(
        &mut self,
        group: usize,
        item: usize,
        (slot, account): (Slot, &Account),
        effect: Effect,
    ) -> Vote {
        let at = self.part_for(group, slot, account);
        let leg = self.legs.len();
        let part = &mut self.parts[at];
        let queue = &mut self.queues[part.queue];
        let vote = queue.outlook.shifted(part.change).vote(account, effect);
        let added = Pending { item, slot, effect, vote, part: at, next: NONE };
        queue.waits += usize::from(vote.waits());
        part.waits += usize::from(vote.waits());
        part.lost |= vote.is_no();
        part.change = part.change.plus(effect.into());
        match part.first {
            NONE => part.first = leg,
            _ => self.legs[part.last].next = leg,
        }
        part.last = leg;
        self.legs.push(added);
        #[cfg(test)]
        steps::count();
        vote
    }

    /// Adds a leg of the newest group, which has terms. Nothing may be decided yet.
    pub fn add_termed(
        &mut self,
        group: usize,
        item: usize,
        (slot, account): (Slot, &Account),
        effect: Effect,
    ) -> Vote {
        let at = self.part_for(group, slot, account);
        let leg = self.legs.len();
        let part = &mut self.parts[at];
        part.termed = true;
        let queue = &mut self.queues[part.queue];
        let in_front = queue.first == at;
        let vote = if in_front { Vote::IN_FRONT } else { Vote::BEHIND };
        queue.waits += usize::from(!in_front);
        part.waits += usize::from(!in_front);
        match part.first {
            NONE => {
                part.first = leg;
                if in_front {
                    self.fronts.push((slot, account.clone()));
                }
            }
            _ => self.legs[part.last].next = leg,
        }
        part.last = leg;
        self.legs.push(Pending { item, slot, effect, vote, part: at, next: NONE });
        #[cfg(test)]
        steps::count();
        vote
    }

    /// The newest group's part of the account's queue, which is its last one.
    fn part_for(&mut self, group: usize, slot: Slot, account: &Account) -> usize {
        let queues = &mut self.queues;
        let at = *self.queue_of.entry(slot).or_insert_with(|| {
            queues.push(Queue::new(slot, account));
            queues.len() - 1
        });
        let queue = &mut self.queues[at];
        let (last, new) = (queue.last, self.parts.len());
        match self.parts.get_mut(last) {
            None => queue.first = new,
            Some(part) if part.group == group => return last,
            Some(part) => {
                queue.outlook = queue.outlook.behind(part);
                part.next = new;
            }
        }
        queue.last = new;
        self.parts.push(Part::new(group, at, last));
        new
    }

    /// Takes the groups out that the coordinator has decided, casts votes that waited for them,
    /// and reports each vote on an item that this changes.
    pub fn resolve<'a>(
        &mut self,
        decided: &Decided,
        account_in: impl Fn(Slot) -> &'a Account,
        mut changed: impl FnMut(usize, Vote),
    ) {
        self.fix(&decided.moved);
        for &(group, posted) in &decided.groups {
            let mut leg = self.legs.partition_point(|leg| leg.item < group);
            while leg < self.legs.len() && self.parts[self.legs[leg].part].group == group {
                let part = self.legs[leg].part;
                if self.parts[part].first == leg {
                    self.take_out(part, posted);
                }
                leg += 1;
            }
        }
        while let Some(queue) = self.touched.pop() {
            self.queues[queue].touched = false;
            self.walk(queue, account_in(self.queues[queue].slot), &mut changed);
        }
    }

    /// Notes what the balanced items move that were decided.
    fn fix(&mut self, moved: &[(usize, u128)]) {
        for &(item, amount) in moved {
            let first = self.legs.partition_point(|leg| leg.item < item);
            for leg in self.legs[first..].iter_mut().take_while(|leg| leg.item == item) {
                let sign = if leg.effect.guard == Guard::Debit { -1 } else { 1 };
                leg.effect.posted = sign * signed(amount);
            }
        }
    }

    /// What all legs of a part change together.
    fn change_of(&self, part: &Part) -> Figures {
        let mut change = Figures::default();
        let mut at = part.first;
        while at != NONE {
            change = change.plus(self.legs[at].effect.into());
            at = self.legs[at].next;
        }
        change
    }

    /// Takes a decided group's part out of its queue. What it did, if posted, is kept in the
    /// part behind it.
    fn take_out(&mut self, at: usize, posted: bool) {
        let mut part = self.parts[at];
        if part.termed && posted {
            part.change = self.change_of(&part);
        }
        let queue = &mut self.queues[part.queue];
        queue.waits -= part.waits;
        if !queue.touched {
            queue.touched = true;
            self.touched.push(part.queue);
        }
        match part.previous {
            NONE => queue.first = part.next,
            previous => self.parts[previous].next = part.next,
        }
        if let Some(next) = self.parts.get_mut(part.next) {
            next.previous = part.previous;
            next.shift = next.shift.plus(part.shift);
            if posted {
                next.shift = next.shift.plus(part.change);
            }
        }
    }

    /// Walks one account's queue from its front and casts the votes that can be cast now,
    /// until none waits or nothing has come of [`PATIENCE`] looks.
    fn walk(&mut self, at: usize, account: &Account, changed: &mut impl FnMut(usize, Vote)) {
        let Queue { first, waits: mut left, .. } = self.queues[at];
        let mut outlook = Outlook::of(account);
        let mut patience = PATIENCE;
        let mut next = first;
        while left > 0 && patience > 0 {
            let part = self.parts[next];
            outlook = outlook.shifted(part.shift);
            left -= part.waits;
            if part.termed {
                patience -= 1;
                if part.waits > 0 && next == first {
                    self.come_to_front(next, outlook, account, changed);
                }
            } else if part.waits > 0 {
                patience = self.judge(next, outlook, account, patience, changed);
            } else {
                patience -= 1;
                #[cfg(test)]
                steps::count();
            }
            outlook = outlook.behind(&self.parts[next]);
            next = part.next;
        }
    }

    /// The part of a group with terms is the first of its queue.
    fn come_to_front(
        &mut self,
        part: usize,
        outlook: Outlook,
        account: &Account,
        changed: &mut impl FnMut(usize, Vote),
    ) {
        assert!(outlook.is_certain(), "nothing undecided is in front of the first");
        let Figures { spendable, posted } = outlook.low;
        let slot = self.queues[self.parts[part].queue].slot;
        self.fronts.push((slot, account.standing(spendable, posted)));
        let mut at = self.parts[part].first;
        while at != NONE {
            self.cast(at, Vote::IN_FRONT, changed);
            at = self.legs[at].next;
            #[cfg(test)]
            steps::count();
        }
    }

    /// Casts the votes of one part that can be cast now. Where the balance is certain those
    /// are all, and the patience is not touched: it happens to a part once. This is how the
    /// first part of a queue gets its votes. Returns the patience that is left.
    fn judge(
        &mut self,
        part: usize,
        outlook: Outlook,
        account: &Account,
        mut patience: usize,
        changed: &mut impl FnMut(usize, Vote),
    ) -> usize {
        let mut change = Figures::default();
        let mut at = self.parts[part].first;
        while at != NONE && patience > 0 {
            let leg = self.legs[at];
            let vote = outlook.shifted(change).vote(account, leg.effect);
            if leg.vote.waits() && !vote.waits() {
                self.cast(at, vote, changed);
            } else if !outlook.is_certain() {
                patience -= 1;
            }
            change = change.plus(leg.effect.into());
            at = leg.next;
            #[cfg(test)]
            steps::count();
        }
        patience
    }

    /// Casts the vote of one leg, which waited, and reports the vote on its item if it differs.
    fn cast(&mut self, at: usize, vote: Vote, changed: &mut impl FnMut(usize, Vote)) {
        let before = self.vote_on_item(at);
        self.legs[at].vote = vote;
        let part = &mut self.parts[self.legs[at].part];
        part.waits -= 1;
        part.lost |= vote.is_no();
        self.queues[part.queue].waits -= 1;
        let after = self.vote_on_item(at);
        if after != before {
            changed(self.legs[at].item, after);
        }
    }

    /// The vote on the item that the leg belongs to. Both its legs may be here.
    fn vote_on_item(&self, at: usize) -> Vote {
        let item = self.legs[at].item;
        let first = at - usize::from(at > 0 && self.legs[at - 1].item == item);
        let legs = self.legs[first..].iter().take_while(|leg| leg.item == item);
        legs.fold(Vote::ABSENT, |all, leg| all.and(leg.vote))
    }

    /// Empties it, once everything is decided.
    pub fn drain(&mut self) -> impl Iterator<Item = Pending> {
        self.parts.clear();
        self.queues.clear();
        self.queue_of.clear();
        self.fronts.clear();
        self.legs.drain(..)
    }
}

impl Part {
    fn new(group: usize, queue: usize, previous: usize) -> Self {
        let (first, last, next) = (NONE, NONE, NONE);
        let (waits, lost, termed) = (0, false, false);
        let (change, shift) = (Figures::default(), Figures::default());
        Self { group, queue, first, last, waits, change, lost, termed, shift, previous, next }
    }
}

impl Queue {
    fn new(slot: Slot, account: &Account) -> Self {
        let outlook = Outlook::of(account);
        Self { slot, first: NONE, last: NONE, outlook, waits: 0, touched: false }
    }
}

/// What is known of an account's prospective figures at one place of its queue: each lies
/// between its low and its high, whatever becomes of the undecided groups in front.
#[derive(Clone, Copy, Debug)]
struct Outlook {
    low: Figures,
    high: Figures,
}

impl Outlook {
    /// In front of the queue.
    fn of(account: &Account) -> Self {
        Self { low: Figures::of(account), high: Figures::of(account) }
    }

    fn is_certain(self) -> bool {
        self.low == self.high
    }

    /// Behind something certain that changes the figures by so much.
    fn shifted(self, by: Figures) -> Self {
        Self { low: self.low.plus(by), high: self.high.plus(by) }
    }

    /// Behind an undecided group, which may happen or not, unless it is lost.
    fn behind(self, part: &Part) -> Self {
        if part.lost {
            return self;
        }
        if part.termed {
            return Self { low: Figures::lowest(), high: Figures::highest() };
        }
        Self {
            low: self.low.map(part.change, |low, change| low + change.min(0)),
            high: self.high.map(part.change, |high, change| high + change.max(0)),
        }
    }

    /// What takes nothing away is covered for certain, and what brings nothing has room.
    fn vote(self, account: &Account, effect: Effect) -> Vote {
        let (blocked, rule, sure, lost) = match effect.guard {
            Guard::Free => return Vote::YES,
            Guard::Debit | Guard::Overdraft => {
                let (net, floor) = (effect.spendable(), account.floor_for(effect.guard));
                (
                    account.debit_blocked(),
                    account.shortfall_for(effect.guard),
                    net >= 0 || self.low.spendable + net >= floor,
                    self.high.spendable + net < floor,
                )
            }
            Guard::Credit => (
                account.credit_blocked(),
                account.excess(),
                effect.posted <= 0 || self.high.posted + effect.posted <= account.ceiling(),
                self.low.posted + effect.posted > account.ceiling(),
            ),
        };
        match blocked {
            Some(rejection) => Vote::no(rejection),
            None if sure => Vote::YES,
            None if lost => Vote::no(rule),
            None => Vote::wait(rule),
        }
    }
}

/// Counts what is looked at: tests hold it against the size of the batch.
#[cfg(test)]
pub(crate) mod steps {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    pub fn count() {
        STEPS.set(STEPS.get() + 1);
    }

    /// The steps since it was last asked.
    pub fn take() -> usize {
        STEPS.take()
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
