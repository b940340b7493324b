//! Why a transfer is refused: one ordered list.
//!
//! Rejections are ordered by precedence ([`Rejection::rank`]): a transfer that breaks several
//! rules is refused for the first of them, whatever the batching or the number of partitions.
//! The numbers are written to the journal and sent on the wire, so they never change meaning,
//! and rules that came later have later numbers wherever they stand in the order.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A rule that a transfer broke, ordered by precedence (the least wins).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Rejection {
    /// Another transfer of its linked group was refused, so the whole group was.
    LinkedFailed = 1,
    /// The amount is zero.
    AmountZero = 2,
    /// The amount is above [`crate::money::AMOUNT_MAX`].
    AmountTooLarge = 3,
    /// Debit and credit account are the same.
    SameAccount = 4,
    /// No account has the id given as debit account.
    DebitAccountUnknown = 5,
    /// No account has the id given as credit account.
    CreditAccountUnknown = 6,
    /// The accounts hold different currencies.
    AccountsDifferInCurrency = 7,
    /// The currency named in the transfer is not that of the accounts.
    CurrencyMismatch = 8,
    /// A deposit comes from an external account, a withdrawal goes to one, a transfer
    /// touches none.
    KindMismatch = 9,
    /// The debit account is closed.
    DebitAccountClosed = 10,
    /// The credit account is closed.
    CreditAccountClosed = 11,
    /// The debit account is frozen.
    DebitAccountFrozen = 12,
    /// The credit account is frozen.
    CreditAccountFrozen = 13,
    /// The debit account's available balance does not cover the amount.
    InsufficientFunds = 14,
    /// A balance would leave the range of [`crate::money::BALANCE_MAX`].
    BalanceOverflow = 15,
    /// The id was used before for a transfer with other content. Never journalled: the
    /// first transfer's event stands.
    IdReused = 16,
    /// Debits of the debit account are blocked.
    DebitAccountBlocked = 30,
    /// Credits of the credit account are blocked.
    CreditAccountBlocked = 31,
    /// The debit would take the balance below the debit account's floor.
    DebitAccountFloor = 32,
    /// The credit would take the balance above the credit account's ceiling.
    CreditAccountCeiling = 33,
}

impl Ord for Rejection {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Rejection {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Rejection {
    /// All, in order of precedence.
    pub const ALL: [Self; 20] = [
        Self::LinkedFailed,
        Self::AmountZero,
        Self::AmountTooLarge,
        Self::SameAccount,
        Self::DebitAccountUnknown,
        Self::CreditAccountUnknown,
        Self::AccountsDifferInCurrency,
        Self::CurrencyMismatch,
        Self::KindMismatch,
        Self::DebitAccountClosed,
        Self::CreditAccountClosed,
        Self::DebitAccountFrozen,
        Self::CreditAccountFrozen,
        Self::DebitAccountBlocked,
        Self::CreditAccountBlocked,
        Self::DebitAccountFloor,
        Self::InsufficientFunds,
        Self::CreditAccountCeiling,
        Self::BalanceOverflow,
        Self::IdReused,
    ];

    /// Its place in the order of precedence: of several rules that are broken, the one with
    /// the lowest rank is named. Ten times its number, where numbers and order agree.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::DebitAccountBlocked => 132,
            Self::CreditAccountBlocked => 134,
            Self::DebitAccountFloor => 138,
            Self::CreditAccountCeiling => 146,
            other => other.number() * 10,
        }
    }

    /// The number that stands for it in the journal and on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The rejection with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.number() == number)
    }

    /// The stable code, as clients see it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::LinkedFailed => "LINKED_FAILED",
            Self::AmountZero => "AMOUNT_ZERO",
            Self::AmountTooLarge => "AMOUNT_TOO_LARGE",
            Self::SameAccount => "SAME_ACCOUNT",
            Self::DebitAccountUnknown => "DEBIT_ACCOUNT_UNKNOWN",
            Self::CreditAccountUnknown => "CREDIT_ACCOUNT_UNKNOWN",
            Self::AccountsDifferInCurrency => "ACCOUNTS_DIFFER_IN_CURRENCY",
            Self::CurrencyMismatch => "CURRENCY_MISMATCH",
            Self::KindMismatch => "KIND_MISMATCH",
            Self::DebitAccountClosed => "DEBIT_ACCOUNT_CLOSED",
            Self::CreditAccountClosed => "CREDIT_ACCOUNT_CLOSED",
            Self::DebitAccountFrozen => "DEBIT_ACCOUNT_FROZEN",
            Self::CreditAccountFrozen => "CREDIT_ACCOUNT_FROZEN",
            Self::InsufficientFunds => "INSUFFICIENT_FUNDS",
            Self::BalanceOverflow => "BALANCE_OVERFLOW",
            Self::IdReused => "ID_REUSED",
            Self::DebitAccountBlocked => "DEBIT_ACCOUNT_BLOCKED",
            Self::CreditAccountBlocked => "CREDIT_ACCOUNT_BLOCKED",
            Self::DebitAccountFloor => "DEBIT_ACCOUNT_FLOOR",
            Self::CreditAccountCeiling => "CREDIT_ACCOUNT_CEILING",
        }
    }

    /// Whether the same transfer under a *new* id could succeed later, when balances or
    /// statuses have changed. Under the same id the refusal stands.
    #[must_use]
    pub const fn new_id_may_succeed(self) -> bool {
        match self {
            Self::LinkedFailed
            | Self::DebitAccountUnknown
            | Self::CreditAccountUnknown
            | Self::DebitAccountClosed
            | Self::CreditAccountClosed
            | Self::DebitAccountFrozen
            | Self::CreditAccountFrozen
            | Self::DebitAccountBlocked
            | Self::CreditAccountBlocked
            | Self::DebitAccountFloor
            | Self::CreditAccountCeiling
            | Self::InsufficientFunds
            | Self::BalanceOverflow
            | Self::IdReused => true,
            Self::AmountZero
            | Self::AmountTooLarge
            | Self::SameAccount
            | Self::AccountsDifferInCurrency
            | Self::CurrencyMismatch
            | Self::KindMismatch => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_for_one_rule_each_and_ranks_order_them() {
        for rejection in Rejection::ALL {
            assert_eq!(Rejection::from_number(rejection.number()), Some(rejection));
            // A vote has seven bits for it.
            assert!(rejection.number() < 127);
        }
        assert!(Rejection::ALL.is_sorted_by(|a, b| a < b), "no two have one rank");
        assert_eq!(Rejection::from_number(0), None);
        assert_eq!(Rejection::from_number(200), None);
    }
}
