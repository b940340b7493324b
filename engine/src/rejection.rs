//! Why a request is refused: one ordered list.
//!
//! A request that breaks several rules is refused for the first of them in [`Rejection::ALL`],
//! whatever the batching or the number of partitions. The numbers are written to the journal
//! and sent on the wire, so they never change meaning; rules that came later have higher ones
//! and stand where they belong ([`Rejection::rank`]).

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// A rule that a request broke. The smaller takes precedence. Their order here is that of their
/// numbers and holds the journal's format: new ones come last.
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
    /// The id was used before for a request with other content. Never journalled: the
    /// first request's event stands.
    IdReused = 16,
    /// An open hold has this id, placed so long ago that its request is not remembered.
    HoldExists = 17,
    /// No hold has this id, or it was closed so long ago that it is not remembered.
    HoldUnknown = 18,
    /// The hold was voided.
    HoldVoided = 19,
    /// The hold expired.
    HoldExpired = 20,
    /// The hold was captured to its end.
    HoldCaptured = 21,
    /// More than what remains of the hold and its tolerance together.
    HoldExceeded = 22,
    /// The hold would not expire later than it does anyway.
    HoldExtensionTooShort = 23,
    /// Debits of the debit account are blocked.
    DebitAccountBlocked = 30,
    /// Credits of the credit account are blocked.
    CreditAccountBlocked = 31,
    /// The debit would take the balance below the debit account's floor.
    DebitAccountFloor = 32,
    /// The credit would take the balance above the credit account's ceiling.
    CreditAccountCeiling = 33,
    /// The transfer to be refunded is not known: no such id is remembered, the event named did not
    /// decide it, or it belongs to the same linked group.
    OriginalUnknown = 40,
    /// It was refused, and moved nothing.
    OriginalRefused = 41,
    /// It moved nothing: a hold that was placed, voided or extended, a balanced transfer that found
    /// nothing.
    OriginalMovedNothing = 42,
    /// It is a refund or a reversal itself.
    OriginalIsRefund = 43,
    /// It was reversed already.
    OriginalReversed = 44,
    /// All that it moved was refunded already.
    OriginalRefunded = 45,
    /// More than what remains to be refunded of it.
    RefundExceeded = 46,
    /// The debit account's version is another than the one named.
    DebitAccountVersion = 50,
    /// The credit account's version is another than the one named.
    CreditAccountVersion = 51,
    /// The debit account's figures after it would lie outside of its conditions.
    DebitAccountCondition = 52,
    /// The credit account's figures after it would lie outside of its conditions.
    CreditAccountCondition = 53,
    /// The credit account owes less than the least that a balanced transfer moves.
    CreditAccountOwesLess = 54,
    /// The sources of a payment together move less than its total.
    SourcesFallShort = 55,
    /// The least that a balanced transfer moves is more than the most.
    AmountBelowMinimum = 56,
    /// Its fee cannot be taken: the rule that it broke is told with the fee.
    FeeRefused = 60,
    /// It is balanced, and a fee is due that depends on what it moves.
    FeeOnBalanced = 61,
}

impl Rejection {
    /// All, in order of precedence. The state of a hold, and of what is refunded, comes before
    /// anything about accounts: without it there are none to judge.
    pub const ALL: [Self; 43] = [
        Self::LinkedFailed,
        Self::AmountZero,
        Self::AmountTooLarge,
        Self::AmountBelowMinimum,
        Self::HoldExists,
        Self::HoldUnknown,
        Self::HoldVoided,
        Self::HoldExpired,
        Self::HoldCaptured,
        Self::HoldExceeded,
        Self::HoldExtensionTooShort,
        Self::OriginalUnknown,
        Self::OriginalRefused,
        Self::OriginalMovedNothing,
        Self::OriginalIsRefund,
        Self::OriginalReversed,
        Self::OriginalRefunded,
        Self::RefundExceeded,
        Self::SameAccount,
        Self::DebitAccountUnknown,
        Self::CreditAccountUnknown,
        Self::AccountsDifferInCurrency,
        Self::CurrencyMismatch,
        Self::KindMismatch,
        Self::FeeOnBalanced,
        Self::DebitAccountVersion,
        Self::CreditAccountVersion,
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
        Self::CreditAccountOwesLess,
        Self::SourcesFallShort,
        Self::DebitAccountCondition,
        Self::CreditAccountCondition,
        Self::FeeRefused,
        Self::IdReused,
    ];

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

    /// Its place in [`Self::ALL`]: of several rules that are broken, the one with the lowest
    /// rank is named.
    #[must_use]
    pub const fn rank(self) -> u8 {
        // A vote has seven bits for a number.
        const BY_NUMBER: [u8; 128] = {
            let mut ranks = [u8::MAX; 128];
            let mut at = 0;
            while at < Rejection::ALL.len() {
                ranks[Rejection::ALL[at].number() as usize] = at as u8;
                at += 1;
            }
            ranks
        };
        BY_NUMBER[self.number() as usize]
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
            Self::HoldExists => "HOLD_EXISTS",
            Self::HoldUnknown => "HOLD_UNKNOWN",
            Self::HoldVoided => "HOLD_VOIDED",
            Self::HoldExpired => "HOLD_EXPIRED",
            Self::HoldCaptured => "HOLD_CAPTURED",
            Self::HoldExceeded => "HOLD_EXCEEDED",
            Self::HoldExtensionTooShort => "HOLD_EXTENSION_TOO_SHORT",
            Self::DebitAccountBlocked => "DEBIT_ACCOUNT_BLOCKED",
            Self::CreditAccountBlocked => "CREDIT_ACCOUNT_BLOCKED",
            Self::DebitAccountFloor => "DEBIT_ACCOUNT_FLOOR",
            Self::CreditAccountCeiling => "CREDIT_ACCOUNT_CEILING",
            Self::OriginalUnknown => "ORIGINAL_UNKNOWN",
            Self::OriginalRefused => "ORIGINAL_REFUSED",
            Self::OriginalMovedNothing => "ORIGINAL_MOVED_NOTHING",
            Self::OriginalIsRefund => "ORIGINAL_IS_REFUND",
            Self::OriginalReversed => "ORIGINAL_REVERSED",
            Self::OriginalRefunded => "ORIGINAL_REFUNDED",
            Self::RefundExceeded => "REFUND_EXCEEDED",
            Self::DebitAccountVersion => "DEBIT_ACCOUNT_VERSION",
            Self::CreditAccountVersion => "CREDIT_ACCOUNT_VERSION",
            Self::DebitAccountCondition => "DEBIT_ACCOUNT_CONDITION",
            Self::CreditAccountCondition => "CREDIT_ACCOUNT_CONDITION",
            Self::CreditAccountOwesLess => "CREDIT_ACCOUNT_OWES_LESS",
            Self::SourcesFallShort => "SOURCES_FALL_SHORT",
            Self::AmountBelowMinimum => "AMOUNT_BELOW_MINIMUM",
            Self::FeeRefused => "FEE_REFUSED",
            Self::FeeOnBalanced => "FEE_ON_BALANCED",
        }
    }

    /// Whether the same request under a *new* id could succeed later, when balances, statuses or
    /// holds have changed. Under the same id the refusal stands.
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
            | Self::IdReused
            | Self::HoldExists
            | Self::HoldUnknown
            | Self::HoldExtensionTooShort
            | Self::OriginalUnknown
            | Self::DebitAccountCondition
            | Self::CreditAccountCondition
            | Self::CreditAccountOwesLess
            | Self::SourcesFallShort
            | Self::FeeRefused
            | Self::FeeOnBalanced => true,
            // No account comes back to a version.
            Self::DebitAccountVersion
            | Self::CreditAccountVersion
            | Self::AmountBelowMinimum
            | Self::AmountZero
            | Self::AmountTooLarge
            | Self::SameAccount
            | Self::AccountsDifferInCurrency
            | Self::CurrencyMismatch
            | Self::KindMismatch
            | Self::HoldVoided
            | Self::HoldExpired
            | Self::HoldCaptured
            | Self::HoldExceeded
            | Self::OriginalRefused
            | Self::OriginalMovedNothing
            | Self::OriginalIsRefund
            | Self::OriginalReversed
            | Self::OriginalRefunded
            | Self::RefundExceeded => false,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_for_one_rule_and_the_order_is_that_of_precedence() {
        let mut numbers = Rejection::ALL.map(Rejection::number);
        for (rank, rejection) in Rejection::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(rejection.rank()), rank);
            assert_eq!(Rejection::from_number(rejection.number()), Some(rejection));
            // A vote has seven bits for it.
            assert!(rejection.number() < 127);
        }
        assert!(Rejection::ALL.is_sorted_by(|a, b| a < b), "no two have one rank");
        numbers.sort_unstable();
        assert!(
            numbers.into_iter().eq((1..=23)
                .chain(30..=33)
                .chain(40..=46)
                .chain(50..=56)
                .chain(60..=61))
        );
        // As they were before there were holds and accounts blocked on one side.
        let first: Vec<Rejection> = (1..=16).filter_map(Rejection::from_number).collect();
        assert!(first.is_sorted());
        assert!(Rejection::AmountTooLarge < Rejection::HoldUnknown);
        assert!(Rejection::HoldExtensionTooShort < Rejection::SameAccount);
        assert!(Rejection::CreditAccountFrozen < Rejection::DebitAccountBlocked);
        assert!(Rejection::CreditAccountBlocked < Rejection::DebitAccountFloor);
        assert!(Rejection::DebitAccountFloor < Rejection::InsufficientFunds);
        assert!(Rejection::InsufficientFunds < Rejection::CreditAccountCeiling);
        assert_eq!(Rejection::from_number(0), None);
        assert_eq!(Rejection::from_number(200), None);
    }
}
