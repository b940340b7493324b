//! What is known of an account beside its money: kind, owner, label, metadata, and why it has
//! the status it has. None of it decides about a transfer, so none of it lies in
//! [`crate::account::Account`]: the coordinator keeps it in a store of its own.
//!
//! ```text
//! request ─ ProfileChange ─▶ Coordinator::change_profile ─ AccountEvent ─▶ journal
//!                                 │ the same in replay: Profiles::apply ◀────┘
//!                                 ▼
//!                  Profiles: slot ─▶ Details (shared)     Index: owner, key = value ─▶ slots
//!                     │ hash, export for snapshots           │ Filter ─▶ pages of accounts
//! ```
//!
//! Most accounts have nothing here and take no memory here.

mod details;
mod export;
mod filter;
mod index;
mod store;

pub use details::{DETAILS_BYTES_MAX, Details, StatusNote};
pub use export::{PIECE_PROFILES, ProfilesPiece};
pub use filter::Filter;
pub use store::{Profiles, ProfilesHash};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Most bytes of an owner, UTF-8.
pub const OWNER_BYTES_MAX: usize = 128;
/// Most bytes of a label, UTF-8.
pub const LABEL_BYTES_MAX: usize = 256;
/// Most bytes of a reason, UTF-8.
pub const REASON_BYTES_MAX: usize = 512;
/// Most bytes of a key of the metadata: ASCII letters, digits and `_ - . : /`.
pub const KEY_BYTES_MAX: usize = 64;
/// Most keys of an account's metadata.
pub const KEYS_MAX: usize = 32;
/// Most bytes of an account's metadata: all keys and values together.
pub const METADATA_BYTES_MAX: usize = 4 * 1024;

/// What an account is in bookkeeping. It decides nothing about transfers: an account's
/// balance is credits less debits whatever its kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum AccountKind {
    /// What the ledger's keeper owns, such as cash at a bank.
    Asset,
    /// What the keeper owes, such as customers' balances.
    Liability,
    /// What remains for the keeper's owners.
    Equity,
    /// What came in, such as fees.
    Income,
    /// What was spent.
    Expense,
}

/// The side on which an account of a kind grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NormalSide {
    /// Debits make it grow: its balance here is normally below zero.
    Debit,
    /// Credits make it grow: its balance here is normally above zero.
    Credit,
}

impl AccountKind {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Asset, Self::Liability, Self::Equity, Self::Income, Self::Expense];

    /// The number that stands for it in snapshots and hashes; 0 stands for none.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The side on which it grows.
    #[must_use]
    pub const fn normal_side(self) -> NormalSide {
        match self {
            Self::Asset | Self::Expense => NormalSide::Debit,
            Self::Liability | Self::Equity | Self::Income => NormalSide::Credit,
        }
    }
}

/// A text that does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TextFault {
    /// The owner is too long or holds control characters.
    #[error("an owner has at most {OWNER_BYTES_MAX} bytes and no control characters")]
    Owner,
    /// The label is too long or holds control characters.
    #[error("a label has at most {LABEL_BYTES_MAX} bytes and no control characters")]
    Label,
    /// The reason is too long or holds control characters.
    #[error("a reason has at most {REASON_BYTES_MAX} bytes and no control characters")]
    Reason,
    /// The key is empty, too long, or holds other characters.
    #[error("a key of the metadata has 1 to {KEY_BYTES_MAX} of letters, digits and _ - . : /")]
    Key,
    /// The value holds control characters, or is larger than all metadata may be.
    #[error("a value of the metadata has no control characters")]
    Value,
    /// The metadata would have too many keys.
    #[error("an account's metadata has at most {KEYS_MAX} keys")]
    Keys,
    /// The metadata would be too large.
    #[error("an account's metadata has at most {METADATA_BYTES_MAX} bytes, keys and values")]
    Metadata,
}

fn check_text(text: &str, bytes_max: usize, fault: TextFault) -> Result<(), TextFault> {
    let fits = text.len() <= bytes_max && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(fault) }
}

/// Whether a text can be the reason of a status; an empty one gives none.
///
/// # Errors
/// [`TextFault::Reason`].
pub fn check_reason(text: &str) -> Result<(), TextFault> {
    check_text(text, REASON_BYTES_MAX, TextFault::Reason)
}

/// Whether a text can be an owner; an empty one gives none.
///
/// # Errors
/// [`TextFault::Owner`].
pub fn check_owner(text: &str) -> Result<(), TextFault> {
    check_text(text, OWNER_BYTES_MAX, TextFault::Owner)
}

/// Whether a text can be a label; an empty one gives none.
///
/// # Errors
/// [`TextFault::Label`].
pub fn check_label(text: &str) -> Result<(), TextFault> {
    check_text(text, LABEL_BYTES_MAX, TextFault::Label)
}

/// Whether a text can be a key of metadata.
///
/// # Errors
/// [`TextFault::Key`].
pub fn check_key(text: &str) -> Result<(), TextFault> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b);
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(known);
    if fits { Ok(()) } else { Err(TextFault::Key) }
}

/// Whether a text can be a value of metadata; it may be empty.
///
/// # Errors
/// [`TextFault::Value`].
pub fn check_value(text: &str) -> Result<(), TextFault> {
    check_text(text, METADATA_BYTES_MAX, TextFault::Value)
}

/// Kind, owner, label and metadata.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Profile {
    /// What it is in bookkeeping, where that was said.
    pub kind: Option<AccountKind>,
    /// Whose it is: the caller's id of a customer. A text, since such ids are numbers in one
    /// system, UUIDs in another and `cus_9s6X` in a third. Empty for nobody's.
    pub owner: String,
    /// What people call it; empty for none.
    pub label: String,
    /// Whatever the caller wants to keep with it.
    pub metadata: BTreeMap<String, String>,
}

/// What shall change of a profile; what is `None` or not named stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProfileChange {
    /// The new kind; `Some(None)` takes it away.
    pub kind: Option<Option<AccountKind>>,
    /// The new owner; an empty one takes it away.
    pub owner: Option<String>,
    /// The new label; an empty one takes it away.
    pub label: Option<String>,
    /// Keys that get a value, new ones or others.
    pub set: BTreeMap<String, String>,
    /// Keys that go.
    pub remove: BTreeSet<String>,
}

impl Profile {
    /// Whether nothing is said in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn metadata_bytes(&self) -> usize {
        self.metadata.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Whether every part keeps its bounds.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), TextFault> {
        check_owner(&self.owner)?;
        check_label(&self.label)?;
        for (key, value) in &self.metadata {
            check_key(key)?;
            check_value(value)?;
        }
        if self.metadata.len() > KEYS_MAX {
            return Err(TextFault::Keys);
        }
        if self.metadata_bytes() > METADATA_BYTES_MAX {
            return Err(TextFault::Metadata);
        }
        Ok(())
    }

    /// The profile after a change.
    #[must_use]
    pub fn changed(&self, change: &ProfileChange) -> Self {
        let mut profile = self.clone();
        profile.kind = change.kind.unwrap_or(profile.kind);
        if let Some(owner) = &change.owner {
            profile.owner.clone_from(owner);
        }
        if let Some(label) = &change.label {
            profile.label.clone_from(label);
        }
        for key in &change.remove {
            profile.metadata.remove(key);
        }
        profile.metadata.extend(change.set.iter().map(|(key, value)| (key.clone(), value.clone())));
        profile
    }
}

impl ProfileChange {
    /// What of it makes a difference to this profile.
    #[must_use]
    pub fn effective(&self, on: &Profile) -> Self {
        let set = self.set.iter().filter(|(key, value)| on.metadata.get(*key) != Some(value));
        // A key that is set as well is not removed: setting wins, as in `Profile::changed`.
        let remove = self.remove.iter();
        let remove =
            remove.filter(|key| on.metadata.contains_key(*key) && !self.set.contains_key(*key));
        Self {
            kind: self.kind.filter(|kind| *kind != on.kind),
            owner: self.owner.clone().filter(|owner| *owner != on.owner),
            label: self.label.clone().filter(|label| *label != on.label),
            set: set.map(|(key, value)| (key.clone(), value.clone())).collect(),
            remove: remove.cloned().collect(),
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_is_kept_at_its_edge() {
        let long = |bytes| "x".repeat(bytes);
        let ok = Profile {
            kind: Some(AccountKind::Income),
            owner: long(OWNER_BYTES_MAX),
            label: long(LABEL_BYTES_MAX),
            metadata: [("k".to_owned(), long(METADATA_BYTES_MAX - 1))].into(),
        };
        assert_eq!(ok.check(), Ok(()));
        let keys = |many: usize| (0..many).map(|n| (format!("k{n}"), String::new())).collect();
        let value = |value: &str| [("k".to_owned(), value.to_owned())].into();
        let key = |key: &str| [(key.to_owned(), String::new())].into();
        assert_eq!(Profile { metadata: keys(KEYS_MAX), ..ok.clone() }.check(), Ok(()));
        assert_eq!(Profile { metadata: key(&long(KEY_BYTES_MAX)), ..ok.clone() }.check(), Ok(()));
        for (wrong, fault) in [
            (Profile { owner: long(OWNER_BYTES_MAX + 1), ..ok.clone() }, TextFault::Owner),
            (Profile { owner: "a\nb".to_owned(), ..ok.clone() }, TextFault::Owner),
            (Profile { label: long(LABEL_BYTES_MAX + 1), ..ok.clone() }, TextFault::Label),
            (Profile { label: "\u{7f}".to_owned(), ..ok.clone() }, TextFault::Label),
            (Profile { metadata: keys(KEYS_MAX + 1), ..ok.clone() }, TextFault::Keys),
            (
                Profile { metadata: value(&long(METADATA_BYTES_MAX)), ..ok.clone() },
                TextFault::Metadata,
            ),
            (Profile { metadata: value("\0"), ..ok.clone() }, TextFault::Value),
            (Profile { metadata: key(""), ..ok.clone() }, TextFault::Key),
            (Profile { metadata: key("a=b"), ..ok.clone() }, TextFault::Key),
            (Profile { metadata: key(&long(KEY_BYTES_MAX + 1)), ..ok.clone() }, TextFault::Key),
        ] {
            assert_eq!(wrong.check(), Err(fault));
        }
        assert_eq!(check_reason(&long(REASON_BYTES_MAX)), Ok(()));
        assert_eq!(check_reason(&long(REASON_BYTES_MAX + 1)), Err(TextFault::Reason));
    }

    #[test]
    fn a_change_says_only_what_differs() {
        let text = |text: &str| text.to_owned();
        let before = Profile {
            kind: Some(AccountKind::Asset),
            owner: text("anna"),
            label: text("main"),
            metadata: [(text("a"), text("1")), (text("b"), text("2"))].into(),
        };
        let change = ProfileChange {
            kind: Some(None),
            owner: Some(text("anna")),
            label: Some(String::new()),
            set: [(text("a"), text("1")), (text("b"), text("3")), (text("c"), text("4"))].into(),
            remove: [text("b"), text("x")].into(),
        };
        let effective = change.effective(&before);
        let expected = ProfileChange {
            kind: Some(None),
            owner: None,
            label: Some(String::new()),
            set: [(text("b"), text("3")), (text("c"), text("4"))].into(),
            remove: BTreeSet::new(),
        };
        assert_eq!(effective, expected);
        let after = before.changed(&effective);
        assert_eq!(after, before.changed(&change));
        assert_eq!(after.metadata.len(), 3);
        assert_eq!((after.kind, after.label.as_str()), (None, ""));
        assert!(change.effective(&after).is_empty());
        assert_eq!(after.changed(&ProfileChange::default()), after);
    }
}
