//! Between which balances an account stays: its overdraft limit, and for the few accounts that
//! have them a floor above it and a ceiling.
//!
//! ```text
//! −overdraft limit ≤ floor ≤ posted balance − on hold     posted balance ≤ ceiling     at every LSN
//! ```
//!
//! Limits that change apply from the event that changes them, and are refused where the balance
//! lies outside already; so no event finds an account beyond its limits.

use crate::money::{AMOUNT_MAX, BALANCE_MAX};
use crate::transfer::AccountRejection;
use serde::{Deserialize, Serialize};

/// A floor and a ceiling of a balance, minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Bounds {
    /// The lowest balance, above what the overdraft limit alone allows.
    pub floor: Option<i128>,
    /// The highest balance.
    pub ceiling: Option<i128>,
}

/// All limits of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// How far below zero the balance may go, minor units.
    pub overdraft_limit: u128,
    /// Floor and ceiling.
    pub bounds: Bounds,
}

/// What shall change of an account's limits; what is `None` stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LimitsChange {
    /// The new overdraft limit, minor units.
    pub overdraft_limit: Option<u128>,
    /// The new floor; `Some(None)` takes it away.
    pub floor: Option<Option<i128>>,
    /// The new ceiling; `Some(None)` takes it away.
    pub ceiling: Option<Option<i128>>,
}

impl Bounds {
    /// Whether there is neither.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.floor.is_none() && self.ceiling.is_none()
    }
}

impl Limits {
    /// The limits after a change.
    #[must_use]
    pub fn changed(&self, change: &LimitsChange) -> Self {
        Self {
            overdraft_limit: change.overdraft_limit.unwrap_or(self.overdraft_limit),
            bounds: Bounds {
                floor: change.floor.unwrap_or(self.bounds.floor),
                ceiling: change.ceiling.unwrap_or(self.bounds.ceiling),
            },
        }
    }

    /// Whether an account whose balance is `posted`, of which `on_hold` is set aside by open
    /// holds, can have them: what is on hold counts as spent, and not as gone.
    ///
    /// # Errors
    /// Why not.
    pub fn check(
        &self,
        external: bool,
        posted: i128,
        on_hold: u128,
    ) -> Result<(), AccountRejection> {
        let Self { overdraft_limit, bounds: Bounds { floor, ceiling } } = *self;
        if overdraft_limit > AMOUNT_MAX {
            return Err(AccountRejection::LimitTooLarge);
        }
        if external && !self.bounds.is_none() {
            return Err(AccountRejection::ExternalWithBounds);
        }
        let lowest = -crate::account::signed(overdraft_limit);
        let (low, high) = (floor.unwrap_or(lowest), ceiling.unwrap_or(BALANCE_MAX));
        if low < lowest || high > BALANCE_MAX || low > high {
            return Err(AccountRejection::LimitsContradict);
        }
        let spendable = posted - crate::account::signed(on_hold);
        if !external && (spendable < low || posted > high) {
            return Err(AccountRejection::BalanceOutside);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_of_the_balance_and_of_each_other() {
        let limits = |overdraft_limit, floor, ceiling| Limits {
            overdraft_limit,
            bounds: Bounds { floor, ceiling },
        };
        for (limits, posted, expected) in [
            (limits(0, None, None), 0, Ok(())),
            (limits(5, Some(-5), Some(5)), 5, Ok(())),
            (limits(5, Some(-5), Some(5)), -5, Ok(())),
            (limits(5, Some(-5), Some(5)), 6, Err(AccountRejection::BalanceOutside)),
            (limits(5, Some(-5), Some(5)), -6, Err(AccountRejection::BalanceOutside)),
            (limits(5, None, None), -6, Err(AccountRejection::BalanceOutside)),
            (limits(0, Some(7), None), 7, Ok(())),
            (limits(0, Some(7), None), 6, Err(AccountRejection::BalanceOutside)),
            (limits(5, Some(-6), None), 0, Err(AccountRejection::LimitsContradict)),
            (limits(5, Some(3), Some(2)), 0, Err(AccountRejection::LimitsContradict)),
            (limits(5, None, Some(-6)), -6, Err(AccountRejection::LimitsContradict)),
            (limits(0, None, Some(BALANCE_MAX + 1)), 0, Err(AccountRejection::LimitsContradict)),
            (limits(AMOUNT_MAX + 1, None, None), 0, Err(AccountRejection::LimitTooLarge)),
        ] {
            assert_eq!(limits.check(false, posted, 0), expected, "{limits:?} at {posted}");
        }
        // What is on hold is spent for the floor, and still there for the ceiling.
        let within = limits(0, Some(3), Some(9));
        assert_eq!(within.check(false, 9, 6), Ok(()));
        assert_eq!(within.check(false, 9, 7), Err(AccountRejection::BalanceOutside));
        assert_eq!(within.check(false, 10, 6), Err(AccountRejection::BalanceOutside));
        let outside = limits(0, Some(0), None);
        assert_eq!(outside.check(true, 0, 0), Err(AccountRejection::ExternalWithBounds));
        assert_eq!(limits(0, None, None).check(true, -BALANCE_MAX, 0), Ok(()));
    }
}
