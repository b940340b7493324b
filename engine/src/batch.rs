//! What travels between the coordinator and the partitions: a batch of prepared transfers,
//! and the votes that come back.

use crate::ids::{Lsn, Slot};
use crate::rejection::Rejection;

/// One transfer of a batch as the partitions see it: accounts by slot, rules that need no
/// account already judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    /// Minor units.
    pub amount: u128,
    /// The account that pays.
    pub debit: Slot,
    /// The account that receives.
    pub credit: Slot,
    /// Refused before any account was asked. The slots may be [`NO_SLOT`] then.
    pub refused: Option<Rejection>,
    /// Linked with the next item.
    pub linked: bool,
}

/// Stands for an account that does not exist.
pub const NO_SLOT: Slot = Slot(u32::MAX);

/// New transfers in the order of their LSNs: item `i` has LSN `first_lsn + i`. Shared by all
/// partitions; each looks after the accounts it hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// LSN of the first item.
    pub first_lsn: Lsn,
    /// The transfers.
    pub items: Vec<Item>,
}

impl Batch {
    /// The LSN of item `at`.
    #[must_use]
    pub fn lsn(&self, at: usize) -> Lsn {
        self.first_lsn.plus(at as u64)
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

/// What a partition says of one transfer, as far as its own accounts are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vote(u8);

impl Vote {
    /// None of the transfer's accounts is hosted here.
    pub const ABSENT: Self = Self(255);
    /// Frozen, and the credit can be taken.
    pub const YES: Self = Self(0);
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
        self.0 >= Self::WAITS && self.0 != Self::ABSENT.0
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
