//! Which accounts are asked for: everything a filter names must hold.

use super::index::Term;
use super::{AccountKind, Details};
use crate::money::CurrencyId;
use crate::transfer::{AccountStatus, AccountView};
use std::collections::BTreeMap;

/// What accounts must be; what is `None`, empty or not named does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Exactly this owner.
    pub owner: Option<String>,
    /// This kind; `Some(None)` for those without one.
    pub kind: Option<Option<AccountKind>>,
    /// A label that begins so.
    pub label_prefix: String,
    /// Exactly these values under these keys.
    pub metadata: BTreeMap<String, String>,
    /// This currency.
    pub currency: Option<CurrencyId>,
    /// This status.
    pub status: Option<AccountStatus>,
    /// Standing for the outside world, or not.
    pub external: Option<bool>,
}

impl Filter {
    /// Whether every account fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether only accounts can fit of which something is known beside their money.
    pub(super) fn asks_for_details(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| !owner.is_empty())
            || self.kind.is_some_and(|kind| kind.is_some())
            || !self.label_prefix.is_empty()
            || !self.metadata.is_empty()
    }

    /// Whether it asks for what is told by the account itself, not by what is known of it.
    #[must_use]
    pub fn asks_for_standing(&self) -> bool {
        self.currency.is_some() || self.status.is_some() || self.external.is_some()
    }

    /// What to look up first, where the index helps.
    pub(super) fn indexed(&self) -> Option<Term> {
        let owner = self.owner.as_ref().filter(|owner| !owner.is_empty());
        let metadata = self.metadata.first_key_value();
        let metadata = metadata.map(|(key, value)| Term::metadata(key, value));
        owner.map(|owner| Term::owner(owner)).or(metadata)
    }

    /// Whether what is known of the account fits.
    #[must_use]
    pub fn fits_details(&self, details: &Details) -> bool {
        let profile = &details.profile;
        self.owner.as_ref().is_none_or(|owner| *owner == profile.owner)
            && self.kind.is_none_or(|kind| kind == profile.kind)
            && profile.label.starts_with(&self.label_prefix)
            && self.metadata.iter().all(|(key, value)| profile.metadata.get(key) == Some(value))
    }

    /// Whether an account fits. `details`: what is known of it.
    #[must_use]
    pub fn fits(&self, view: &AccountView, details: Option<&Details>) -> bool {
        let known = match details {
            Some(details) => self.fits_details(details),
            None => !self.asks_for_details(),
        };
        known
            && self.currency.is_none_or(|currency| currency == view.spec.currency)
            && self.status.is_none_or(|status| status == view.status)
            && self.external.is_none_or(|external| external == view.spec.external)
    }
}
