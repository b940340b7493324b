//! What travels between the coordinator and the partitions: a batch of prepared transfers and
//! operations on holds, and the votes that come back.

use crate::account::{Effect, Guard, signed};
use crate::ids::{Lsn, Slot, TransferId};
use crate::rejection::Rejection;
use crate::terms::Terms;

/// One event of a batch as the partitions see it: accounts by slot, rules that need no
/// account already judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    /// Minor units: moved by a transfer or a capture, set aside by a hold, given back by a void
    /// or an expiry; 0 for an extension.
    pub amount: u128,
    /// The account that pays.
    pub debit: Slot,
    /// The account that receives; where nobody does, the one that pays.
    pub credit: Slot,
    /// Its step among [`Batch::steps`], where it has one.
    pub step: u32,
    /// What it is.
    pub op: Op,
    /// Refused before any account was asked. The slots may be [`NO_SLOT`] then.
    pub refused: Option<Rejection>,
    /// Linked with the next item.
    pub linked: bool,
    /// It has terms among [`Batch::terms`].
    pub termed: bool,
}

/// What an item does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Moves money.
    Transfer,
    /// Sets money aside.
    Hold,
    /// Moves money that was set aside, or some of it.
    Capture,
    /// Gives back what was set aside.
    Void,
    /// Leaves it set aside for longer.
    Extend,
    /// Its time is over: gives back what was set aside. Asked for by nobody.
    Expire,
    /// Moves money back.
    Refund,
    /// Moves money back, and may take the payer below its overdraft limit.
    RefundOver,
}

impl Op {
    /// Whether the credit account has a part in it.
    #[must_use]
    pub const fn credits(self) -> bool {
        !matches!(self, Self::Void | Self::Extend | Self::Expire)
    }
}

/// How the hold of an item stands once the item has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The hold.
    pub hold: TransferId,
    /// Minor units taken off what is set aside.
    pub released: u128,
    /// Minor units still set aside; with 0 it is closed.
    pub remaining: u128,
    /// When it expires, nanoseconds since the Unix epoch; [`crate::request::NEVER_NS`].
    pub expires_ns: u64,
}

/// Stands for an account that does not exist.
pub const NO_SLOT: Slot = Slot(u32::MAX);

/// Stands for a step that is not there.
pub const NO_STEP: u32 = u32::MAX;

/// New events in the order of their LSNs: item `i` has LSN `first_lsn + i`. Shared by all
/// partitions; each looks after the accounts it hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// LSN of the first item.
    pub first_lsn: Lsn,
    /// The transfers and operations.
    pub items: Vec<Item>,
    /// What operations on holds need besides.
    pub steps: Vec<Step>,
    /// The terms of those items that have some, by item, in order.
    pub terms: Vec<(u32, Terms)>,
}

impl Batch {
    /// The LSN of item `at`.
    #[must_use]
    pub fn lsn(&self, at: usize) -> Lsn {
        self.first_lsn.plus(at as u64)
    }

    /// The terms of item `at`, where it has some.
    #[must_use]
    pub fn terms_of(&self, at: usize) -> Option<&Terms> {
        if !self.items[at].termed {
            return None;
        }
        let found = self.terms.binary_search_by_key(&at, |(item, _)| *item as usize).ok()?;
        Some(&self.terms[found].1)
    }

    /// Whether an item of the group has terms: then the group is judged as one.
    #[inline]
    pub(crate) fn has_terms(&self, group: std::ops::Range<usize>) -> bool {
        !self.terms.is_empty() && self.items[group].iter().any(|item| item.termed)
    }

    /// Sets the amounts of balanced items to what they move.
    pub(crate) fn set_moved(&mut self, moved: &[(usize, u128)]) {
        for (item, amount) in moved {
            self.items[*item].amount = *amount;
        }
    }

    /// The step of an item that has one.
    #[must_use]
    pub fn step(&self, item: &Item) -> Option<&Step> {
        self.steps.get(item.step as usize)
    }

    /// What the item does to its debit account.
    #[inline]
    pub(crate) fn debit_effect(&self, item: &Item) -> Effect {
        let amount = signed(item.amount);
        match item.op {
            Op::Transfer | Op::Refund => {
                Effect { posted: -amount, on_hold: 0, guard: Guard::Debit }
            }
            Op::RefundOver => Effect { posted: -amount, on_hold: 0, guard: Guard::Overdraft },
            Op::Hold => Effect { posted: 0, on_hold: amount, guard: Guard::Debit },
            Op::Capture => {
                let released = signed(self.step(item).map_or(0, |step| step.released));
                Effect { posted: -amount, on_hold: -released, guard: Guard::Debit }
            }
            Op::Void | Op::Expire => Effect { posted: 0, on_hold: -amount, guard: Guard::Free },
            Op::Extend => Effect { posted: 0, on_hold: 0, guard: Guard::Free },
        }
    }

    /// What the item does to its credit account, where that has a part in it.
    #[inline]
    pub(crate) fn credit_effect(&self, item: &Item) -> Option<Effect> {
        let posted = match item.op {
            Op::Transfer | Op::Capture | Op::Refund | Op::RefundOver => signed(item.amount),
            // Nothing is announced: it may only not be blocked.
            Op::Hold => 0,
            Op::Void | Op::Extend | Op::Expire => return None,
        };
        Some(Effect { posted, on_hold: 0, guard: Guard::Credit })
    }

    /// What the item does to the account in this slot, which is one of its two.
    pub(crate) fn effect_on(&self, item: &Item, slot: Slot) -> Effect {
        match self.credit_effect(item) {
            Some(effect) if slot == item.credit => effect,
            _ => self.debit_effect(item),
        }
    }

    /// One past the last item of the group that begins at `at`.
    #[must_use]
    pub fn group_end(&self, at: usize) -> usize {
        let mut end = at;
        while self.items[end].linked {
            end += 1;
        }
        end + 1
    }
}

/// What a partition says of one item, as far as its own accounts are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote(u8);

impl Vote {
    /// None of the item's accounts is hosted here.
    pub const ABSENT: Self = Self(255);
    /// Frozen, and the credit can be taken.
    pub const YES: Self = Self(0);
    /// Its group has terms, and something undecided is in front of it at an account.
    pub(crate) const BEHIND: Self = Self(253);
    /// Its group has terms, and nothing undecided is in front of it at any account: they are told
    /// to the coordinator.
    pub(crate) const IN_FRONT: Self = Self(254);
    const WAITS: u8 = 128;

    /// No, for this rule, whatever earlier transfers turn out to be.
    #[must_use]
    pub const fn no(rejection: Rejection) -> Self {
        Self(rejection.number())
    }

    /// Not known before an earlier, undecided transfer is decided; if it ends in no, it is
    /// for this rule.
    #[must_use]
    pub const fn wait(rejection: Rejection) -> Self {
        Self(Self::WAITS + rejection.number())
    }

    /// Whether it waits.
    #[must_use]
    pub const fn waits(self) -> bool {
        self.0 >= Self::WAITS && self.0 < Self::BEHIND.0
    }

    /// Whether it is of a group with terms that the coordinator judges.
    pub(crate) const fn is_of_terms(self) -> bool {
        self.0 == Self::BEHIND.0 || self.0 == Self::IN_FRONT.0
    }

    /// The rule of a no, or of a wait that may become one.
    #[must_use]
    pub fn rule(self) -> Option<Rejection> {
        Rejection::from_number(self.0 & (Self::WAITS - 1)).filter(|_| self != Self::ABSENT)
    }

    /// Whether it is a final no.
    #[must_use]
    pub const fn is_no(self) -> bool {
        self.0 != 0 && self.0 < Self::WAITS
    }

    /// The vote of two accounts, or of two partitions, on the same transfer. A no is final
    /// only when no waiting vote could still bring a rule that takes precedence.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == other || other == Self::ABSENT {
            return self;
        }
        if self == Self::ABSENT {
            return other;
        }
        if self.is_of_terms() || other.is_of_terms() {
            return Self(self.0.min(other.0));
        }
        match (self.rule(), other.rule()) {
            (None, _) => other,
            (_, None) => self,
            (Some(a), Some(b)) if a == b => {
                // The same rule either way: a no settles it.
                if self.is_no() { self } else { other }
            }
            // The rule that takes precedence: if it is a no it is final, and if it waits it must
            // be waited for even though the transfer may be lost, since it names the reason.
            (Some(a), Some(b)) => {
                if a < b {
                    self
                } else {
                    other
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Rejection::{BalanceOverflow, DebitAccountFrozen, InsufficientFunds};

    #[test]
    fn an_item_stays_small() {
        assert_eq!(size_of::<Item>(), 32);
    }

    #[test]
    fn votes_combine_by_precedence() {
        let no = Vote::no;
        let wait = Vote::wait;
        for (a, b, both) in [
            (Vote::YES, Vote::YES, Vote::YES),
            (Vote::ABSENT, Vote::YES, Vote::YES),
            (Vote::ABSENT, Vote::ABSENT, Vote::ABSENT),
            (Vote::ABSENT, wait(InsufficientFunds), wait(InsufficientFunds)),
            (Vote::YES, wait(InsufficientFunds), wait(InsufficientFunds)),
            (Vote::YES, no(InsufficientFunds), no(InsufficientFunds)),
            (no(DebitAccountFrozen), no(InsufficientFunds), no(DebitAccountFrozen)),
            (no(DebitAccountFrozen), wait(InsufficientFunds), no(DebitAccountFrozen)),
            (no(BalanceOverflow), wait(InsufficientFunds), wait(InsufficientFunds)),
            (no(InsufficientFunds), wait(BalanceOverflow), no(InsufficientFunds)),
            (wait(BalanceOverflow), wait(InsufficientFunds), wait(InsufficientFunds)),
            (wait(BalanceOverflow), no(BalanceOverflow), no(BalanceOverflow)),
        ] {
            assert_eq!(a.and(b), both, "{a:?} {b:?}");
            assert_eq!(b.and(a), both, "{b:?} {a:?}");
        }
    }
}
