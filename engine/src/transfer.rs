//! What is asked of the ledger and what it answers: transfer requests and outcomes,
//! account openings and their results.

use crate::ids::{AccountId, Lsn, TransferId};
use crate::limits::Bounds;
use crate::money::CurrencyId;
use crate::profile::TextFault;
use crate::rejection::Rejection;
use serde::{Deserialize, Serialize};

/// What a transfer is for; decides which sides may be external accounts ([`Self::allows`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum TransferKind {
    /// Between two accounts of the ledger.
    #[default]
    Transfer,
    /// From an external account: money enters.
    Deposit,
    /// To an external account: money leaves.
    Withdrawal,
    /// For goods or services, between two accounts of the ledger.
    Payment,
    /// Given back, without naming the transfer that moved it.
    Refund,
    /// The price of a service of whoever keeps the ledger, or of a bank outside.
    Fee,
    /// A correction.
    Adjustment,
    /// Interest, paid or charged.
    Interest,
}

impl TransferKind {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Transfer,
        Self::Deposit,
        Self::Withdrawal,
        Self::Payment,
        Self::Refund,
        Self::Fee,
        Self::Adjustment,
        Self::Interest,
    ];

    /// The number that stands for it in the journal, in statements and on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Fee => "fee",
            Self::Adjustment => "adjustment",
            Self::Interest => "interest",
        }
    }

    /// Whether a transfer of this kind may go from and to such accounts. None goes between two
    /// external ones: that moves nothing of the ledger's.
    #[must_use]
    #[inline]
    pub const fn allows(self, debit_external: bool, credit_external: bool) -> bool {
        match self {
            Self::Transfer | Self::Payment => !debit_external && !credit_external,
            Self::Deposit => debit_external && !credit_external,
            Self::Withdrawal => !debit_external && credit_external,
            Self::Refund | Self::Fee | Self::Adjustment | Self::Interest => {
                !(debit_external && credit_external)
            }
        }
    }

    /// The kind of a transfer between such accounts that names no other.
    #[must_use]
    pub const fn between(debit_external: bool, credit_external: bool) -> Self {
        match (debit_external, credit_external) {
            (true, _) => Self::Deposit,
            (_, true) => Self::Withdrawal,
            _ => Self::Transfer,
        }
    }

    /// Whether the accounts of a transfer tell that it is of this kind, and its record need not.
    #[must_use]
    #[inline]
    pub const fn follows_from_accounts(self) -> bool {
        matches!(self, Self::Transfer | Self::Deposit | Self::Withdrawal)
    }

    /// The kind, where it must be said beside the accounts.
    #[must_use]
    #[inline]
    pub fn unless_it_follows(self) -> Option<Self> {
        (!self.follows_from_accounts()).then_some(self)
    }
}

/// One transfer as asked for: move `amount` from the debit account to the credit account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferRequest {
    /// The caller's id; the idempotency key.
    pub id: TransferId,
    /// The account that pays.
    pub debit: AccountId,
    /// The account that receives.
    pub credit: AccountId,
    /// Minor units; the rules refuse 0 and more than [`crate::money::AMOUNT_MAX`].
    pub amount: u128,
    /// The currency the caller believes the accounts hold; `None` takes theirs.
    pub currency: Option<CurrencyId>,
    /// What it is for.
    pub kind: TransferKind,
    /// Linked with the next transfer of the batch: both happen or neither.
    pub linked: bool,
}

/// The answer to one request: final, durable, and the same for every repeat. What became of the
/// hold of an operation is told beside it ([`crate::holds::HoldAfter`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The request's id.
    pub id: TransferId,
    /// The place of its event in the journal. For [`Rejection::IdReused`], the event of
    /// the first request under that id; so is the time.
    pub lsn: Lsn,
    /// When it was decided: nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// `None` when it was done, else the rule it broke.
    pub rejection: Option<Rejection>,
    /// The id was known: this is the stored outcome, nothing happened anew.
    pub repeat: bool,
    /// Currency of the debit account (or of the credit account where that is unknown). `None`
    /// where neither account existed when it was decided, and for [`Rejection::IdReused`].
    pub currency: Option<CurrencyId>,
    /// The debit account after the decision. `None` where no such account existed then, where
    /// no hold named one, and for [`Rejection::IdReused`], which decides nothing.
    pub debit: Option<BalanceAfter>,
    /// The credit account after the decision. `None` in the same cases, and where an operation on
    /// a hold was done in which it has no part: only a capture moves anything there.
    pub credit: Option<BalanceAfter>,
}

/// An account's figures right after a decision, in minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BalanceAfter {
    /// Posted balance.
    pub posted: i128,
    /// What it can spend: posted − on hold + overdraft limit.
    pub available: i128,
}

/// Whether an account may move.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum AccountStatus {
    /// Debits and credits are allowed.
    #[default]
    Active,
    /// Neither is, until it is active again.
    Frozen,
    /// Neither is, until it is opened again. Only an empty account can be closed.
    Closed,
    /// Credits are allowed, debits are not.
    DebitsBlocked,
    /// Debits are allowed, credits are not.
    CreditsBlocked,
}

impl AccountStatus {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Frozen, Self::Closed, Self::DebitsBlocked, Self::CreditsBlocked];

    /// The number that stands for it in snapshots, statements, hashes and on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The status with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name, as it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
            Self::DebitsBlocked => "debits-blocked",
            Self::CreditsBlocked => "credits-blocked",
        }
    }
}

/// An account to be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccountSpec {
    /// The caller's id.
    pub id: AccountId,
    /// What it holds.
    pub currency: CurrencyId,
    /// How far below zero it may go, minor units, 0..=[`crate::money::AMOUNT_MAX`].
    pub overdraft_limit: u128,
    /// It stands for the world outside the ledger: money enters and leaves through it, and
    /// its balance has no floor.
    pub external: bool,
}

/// What became of opening one account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccountOutcome {
    /// Opened by this event.
    Opened(Lsn),
    /// It was opened before with the same content, by the event named.
    Exists(Lsn),
    /// Refused; nothing changed and nothing is remembered.
    Refused(AccountRejection),
}

/// Why an account was not opened or its status not changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccountRejection {
    /// The id is taken by an account with another currency, limit or role.
    #[error("an account with this id exists with other content")]
    ExistsDifferent,
    /// The overdraft limit is above [`crate::money::AMOUNT_MAX`].
    #[error("the overdraft limit is larger than any amount can be")]
    LimitTooLarge,
    /// The currency's number is not known.
    #[error("the currency is unknown")]
    CurrencyUnknown,
    /// No account has this id.
    #[error("no account has this id")]
    Unknown,
    /// Only an empty account can be closed.
    #[error("an account is closed only when its balance is zero and nothing is on hold")]
    NotEmpty,
    /// The ledger holds as many accounts as it can.
    #[error("the ledger holds as many accounts as it can")]
    Full,
    /// An external account has no floor and no ceiling.
    #[error("an external account has no floor and no ceiling")]
    ExternalWithBounds,
    /// The floor lies below the overdraft limit, or above the ceiling.
    #[error("limits must be so: -overdraft limit, floor, ceiling, each at least the one before")]
    LimitsContradict,
    /// The balance lies outside of the limits already.
    #[error("the balance lies outside of these limits")]
    BalanceOutside,
    /// The account has a watch of this name, on another condition.
    #[error("the account has a watch of this name, on another condition")]
    WatchExists,
    /// The account has no watch of this name.
    #[error("the account has no watch of this name")]
    WatchUnknown,
    /// The account has as many watches as it can.
    #[error("an account has at most {} watches", crate::watch::WATCHES_MAX)]
    WatchesFull,
    /// A bound or a window is out of range.
    #[error("a watch's bound is no larger than an amount can be, its window a second to 366 days")]
    WatchInvalid,
    /// A text is too long or not well formed.
    #[error(transparent)]
    Text(#[from] TextFault),
}

/// An account as it stands at one LSN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountView {
    /// How it was opened.
    pub spec: AccountSpec,
    /// Whether it may move.
    pub status: AccountStatus,
    /// Posted balance, minor units.
    pub posted: i128,
    /// Set aside by open holds, minor units.
    pub on_hold: u128,
    /// Frozen for decisions on their way beyond what is on its way in, minor units.
    pub held: u128,
    /// On its way in, not yet decided, beyond what is frozen, minor units.
    pub incoming: u128,
    /// posted − on hold − held + overdraft limit.
    pub available: i128,
    /// Its floor and ceiling.
    pub bounds: Bounds,
    /// The event that opened it.
    pub opened_lsn: Lsn,
    /// The last event that changed its balance; [`Lsn::ZERO`] for none.
    pub last_lsn: Lsn,
    /// The last event that changed it in any way that counts for transfers:
    /// [`crate::account::Account::version`].
    pub version: Lsn,
}
