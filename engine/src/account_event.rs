//! Events of an account that are no transfers: its opening in full, and what changes it later.
//! Each change names the one before it, so that an account's history is a chain backwards
//! through the journal that ends with its opening, as its entries are.
//!
//! ```text
//! Opened ◀─ back ─ Changed ◀─ back ─ Changed ◀─ Details::last_lsn
//! ```
//!
//! Events of ledgers written before there were reasons ([`crate::record::Record::StatusChanged`])
//! stand outside that chain.

use crate::ids::{Lsn, Slot};
use crate::limits::{Bounds, Limits};
use crate::profile::{Profile, ProfileChange};
use crate::transfer::{AccountSpec, AccountStatus};
use crate::watch::WatchChange;
use serde::{Deserialize, Serialize};

/// An account to be opened, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// Id, currency, overdraft limit, role.
    pub spec: AccountSpec,
    /// Floor and ceiling.
    pub bounds: Bounds,
    /// Kind, owner, label, metadata.
    pub profile: Profile,
}

impl From<AccountSpec> for Opening {
    fn from(spec: AccountSpec) -> Self {
        Self { spec, bounds: Bounds::default(), profile: Profile::default() }
    }
}

/// Tells an opening from others, once the account has changed: what was asked for then is told
/// from what is asked for again by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpeningMark(pub [u8; 16]);

impl Opening {
    /// Whether nothing but the spec is in it: such an opening takes the short record.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.profile.is_empty() && self.bounds.is_none()
    }

    /// The limits it opens the account with.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits { overdraft_limit: self.spec.overdraft_limit, bounds: self.bounds }
    }

    /// What tells it from others.
    #[must_use]
    pub fn mark(&self) -> OpeningMark {
        let AccountSpec { id, currency, overdraft_limit, external } = self.spec;
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(b"ducat opening 1");
        bytes.extend_from_slice(&id.get().to_le_bytes());
        bytes.extend_from_slice(&currency.0.to_le_bytes());
        bytes.extend_from_slice(&overdraft_limit.to_le_bytes());
        bytes.push(u8::from(external));
        for bound in [self.bounds.floor, self.bounds.ceiling] {
            bytes.push(u8::from(bound.is_some()));
            bytes.extend_from_slice(&bound.unwrap_or(0).to_le_bytes());
        }
        crate::snapshot::details::put_profile(&self.profile, &mut bytes);
        let hash = blake3::hash(&bytes);
        OpeningMark(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

/// What changes an account and moves no money.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Its status.
    Status {
        /// The new one.
        status: AccountStatus,
        /// Why, in the caller's words; may be empty.
        reason: String,
    },
    /// Kind, owner, label or metadata.
    Profile(ProfileChange),
    /// Its limits: all of them, as they are after it.
    Limits(Limits),
    /// Its limits, of an account that is watched.
    LimitsFrom(LimitsFrom),
    /// Its watches.
    Watch(WatchChange),
}

/// New limits of an account that is watched, with what it could spend before and can after: whoever
/// reads the journal tells from it alone which watches that triggers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LimitsFrom {
    /// All of its limits, as they are after it.
    pub limits: Limits,
    /// Its posted balance, minor units.
    pub posted: i128,
    /// What it could spend before: posted − on hold + overdraft limit.
    pub before: i128,
    /// What it can spend after.
    pub after: i128,
}

impl Change {
    /// The limits that it gives the account.
    #[must_use]
    pub fn limits(&self) -> Option<&Limits> {
        match self {
            Self::Limits(limits) => Some(limits),
            Self::LimitsFrom(changed) => Some(&changed.limits),
            Self::Status { .. } | Self::Profile(_) | Self::Watch(_) => None,
        }
    }
}

/// An event of an account that is no transfer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AccountEvent {
    /// Opened, in the next slot, with more than a plain opening says.
    Opened(Opening),
    /// Changed.
    Changed {
        /// The account.
        slot: Slot,
        /// How many LSNs before this one the account's change before it lies; 0 where that is
        /// its opening.
        back: u64,
        /// What changed.
        change: Change,
    },
}

impl AccountEvent {
    /// The account's change before this one, seen from the event at `lsn`.
    #[must_use]
    pub fn previous(&self, lsn: Lsn) -> Option<Lsn> {
        match self {
            Self::Changed { back, .. } if *back > 0 => lsn.0.checked_sub(*back).map(Lsn),
            _ => None,
        }
    }
}
