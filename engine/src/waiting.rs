//! Votes that wait: transfers that reach into other partitions, and everything behind them.
//!
//! A transfer between two partitions is undecided until the coordinator has both votes.
//! Meanwhile a later transfer of the same account may depend on it: its freeze may be covered
//! only if the earlier one brings money, or only if the earlier one is refused. Such a vote
//! waits. Everything else need not: with the undecided transfers in front of it, an account's
//! prospective balance lies between a lowest and a highest value, and a freeze that fits the
//! lowest, or exceeds the highest, has its answer already.
//!
//! Waiting always points to earlier arrivals, and the earliest undecided group depends on
//! nothing undecided, so every round decides at least that one: there is no deadlock.
//!
//! The members of one linked group stand or fall together. A member is judged as if those
//! before it in its group had happened, for otherwise nobody asks about it.

use crate::batch::Vote;
use crate::ids::Slot;
use crate::money::BALANCE_MAX;
use crate::partition::Partition;
use std::collections::HashMap;

/// Which side of a transfer an account is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Debit,
    Credit,
}

/// One account's part in an undecided transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub item: usize,
    group: usize,
    pub slot: Slot,
    pub side: Side,
    pub amount: u128,
    vote: Vote,
    decided: Option<bool>,
}

/// The undecided legs of a batch at one partition, in the order of arrival.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    legs: Vec<Pending>,
    by_account: HashMap<Slot, Vec<usize>>,
}

impl Waiting {
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    /// Whether an undecided transfer touches the account.
    pub fn concerns(&self, slot: Slot) -> bool {
        !self.legs.is_empty() && self.by_account.contains_key(&slot)
    }

    pub fn add(&mut self, item: usize, group: usize, slot: Slot, side: Side, amount: u128) {
        let vote = Vote::wait(crate::rejection::Rejection::BalanceOverflow);
        self.by_account.entry(slot).or_default().push(self.legs.len());
        self.legs.push(Pending { item, group, slot, side, amount, vote, decided: None });
    }

    /// Empties it, once everything is decided.
    pub fn drain(&mut self) -> impl Iterator<Item = Pending> {
        self.by_account.clear();
        std::mem::take(&mut self.legs).into_iter()
    }

    /// Votes on the group that was added last.
    pub fn vote_on_newest_group(
        &mut self,
        group: usize,
        host: &Partition,
        mut report: impl FnMut(usize, Vote),
    ) {
        let first = self.legs.partition_point(|leg| leg.group < group);
        let mut slots: Vec<Slot> = self.legs[first..].iter().map(|leg| leg.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            self.judge(slot, host);
        }
        self.report_items(first, &mut report);
    }

    fn report_items(&self, first: usize, report: &mut impl FnMut(usize, Vote)) {
        let mut at = first;
        while at < self.legs.len() {
            let item = self.legs[at].item;
            let mut vote = Vote::ABSENT;
            while at < self.legs.len() && self.legs[at].item == item {
                vote = vote.and(self.legs[at].vote);
                at += 1;
            }
            report(item, vote);
        }
    }

    /// Notes the coordinator's decisions, given as `(first item of the group, posted)`.
    pub fn decide(&mut self, decided: &[(usize, bool)]) {
        for &(group, posted) in decided {
            let first = self.legs.partition_point(|leg| leg.group < group);
            for leg in self.legs[first..].iter_mut().take_while(|leg| leg.group == group) {
                leg.decided = Some(posted);
            }
        }
    }

    /// Casts the votes that can be cast now and reports those that changed.
    pub fn vote_again(&mut self, host: &Partition, mut changed: impl FnMut(usize, Vote)) {
        let undecided = |leg: &Pending| leg.decided.is_none() && leg.vote.waits();
        let mut slots: Vec<Slot> =
            self.legs.iter().filter(|leg| undecided(leg)).map(|leg| leg.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            self.judge(slot, host);
        }
        self.report_items(0, &mut changed);
    }

    /// Walks one account's undecided legs in order and votes on those that still wait.
    fn judge(&mut self, slot: Slot, host: &Partition) {
        let account = host.at(slot);
        let queue = &self.by_account[&slot];
        let (mut low, mut high) = (account.prospective(), account.prospective());
        let mut at = 0;
        while at < queue.len() {
            let group = self.legs[queue[at]].group;
            let decided = self.legs[queue[at]].decided;
            let (mut change, mut lost) = (0, false);
            while at < queue.len() && self.legs[queue[at]].group == group {
                let leg = &mut self.legs[queue[at]];
                if leg.vote.waits() && leg.decided.is_none() {
                    leg.vote = vote_of(account, leg, low + change, high + change);
                }
                lost |= leg.vote.is_no();
                change += leg.effect();
                at += 1;
            }
            match decided {
                Some(true) => (low, high) = (low + change, high + change),
                Some(false) => {}
                None if lost => {}
                None => (low, high) = (low + change.min(0), high + change.max(0)),
            }
        }
    }
}

impl Pending {
    fn effect(&self) -> i128 {
        let amount = crate::account::signed(self.amount);
        match self.side {
            Side::Debit => -amount,
            Side::Credit => amount,
        }
    }
}

/// The vote of an account whose prospective balance is known to lie in `low..=high`.
fn vote_of(account: &crate::account::Account, leg: &Pending, low: i128, high: i128) -> Vote {
    let amount = crate::account::signed(leg.amount);
    let (blocked, rule, sure, lost) = match leg.side {
        Side::Debit => (
            account.debit_blocked(),
            account.shortfall(),
            low - amount >= account.floor(),
            high - amount < account.floor(),
        ),
        Side::Credit => (
            account.credit_blocked(),
            crate::rejection::Rejection::BalanceOverflow,
            high + amount <= BALANCE_MAX,
            low + amount > BALANCE_MAX,
        ),
    };
    match blocked {
        Some(rejection) => Vote::no(rejection),
        None if sure => Vote::YES,
        None if lost => Vote::no(rule),
        None => Vote::wait(rule),
    }
}
