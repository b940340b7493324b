//! Secret fields: values of accounts' metadata that the ledger keeps and does not know.
//!
//! ```text
//! request ▸ convert ▸ seal ─▶ Handle: engine, journal, snapshots, backups hold `enc:…`
//! client ◀─ masked ◀─ show ◀─ convert ◀─┘      RevealMetadata ◀─ reveal, told of first
//! ```
//!
//! Which fields are secret, and what is shown of each, the configuration says (`[secret_fields]`); the keys come
//! from outside ([`ducat_persistence::vault::fields`]). Everything here happens at the door: what is behind
//! it sees sealed texts alone, and every answer goes through [`SecretFields::show`]
//! ([decision 47](../../../docs/adr/0047-secret-fields.md)).

mod field;
mod repeats;
mod service;

pub use field::{Mask, SecretField};
pub use repeats::Form;

use crate::status::Refusal;
use crate::violation::{Place, Violations};
use ducat_engine::account_event::Opening;
use ducat_engine::ids::AccountId;
use ducat_engine::profile::{METADATA_BYTES_MAX, Profile, ProfileChange};
use ducat_persistence::vault::fields::{is_sealed, sealed_bytes};
use ducat_persistence::vault::{FieldError, FieldKeys};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tonic::Code;
use zeroize::{Zeroize as _, Zeroizing};

/// Metadata by its keys.
pub type Metadata = BTreeMap<String, String>;

/// What is shown of a value of which nothing may be shown.
pub const HIDDEN: &str = "****";

/// Which fields are secret, and the keys they are sealed under.
pub struct SecretFields {
    fields: BTreeMap<String, Mask>,
    keys: RwLock<Arc<FieldKeys>>,
}

impl fmt::Debug for SecretFields {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFields").field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// Who gives the values of a request, and so whether they may be sealed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBy {
    /// A caller, who knows none.
    Caller,
    /// What was proposed to a second person, sealed when it was proposed.
    Proposal,
}

impl SecretFields {
    /// These fields, sealed under the newest of these keys.
    ///
    /// # Errors
    /// A sentence about a field that is named twice.
    pub fn new(fields: &[SecretField], keys: FieldKeys) -> Result<Arc<Self>, String> {
        let mut by_name = BTreeMap::new();
        for field in fields {
            if by_name.insert(field.name.clone(), field.mask).is_some() {
                return Err(format!("the secret field `{}` is named twice", field.name));
            }
        }
        Ok(Arc::new(Self { fields: by_name, keys: RwLock::new(Arc::new(keys)) }))
    }

    fn keys(&self) -> Arc<FieldKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The name of a key of now that is not among these, with which values that were sealed could not be
    /// opened any more.
    #[must_use]
    pub fn lost_with(&self, keys: &FieldKeys) -> Option<String> {
        let now = self.keys();
        let lost = now.names().into_iter().find(|name| !keys.names().contains(name));
        lost.map(str::to_owned)
    }

    /// Seals under the newest of these keys from now on.
    pub fn replace(&self, keys: FieldKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The name of the key that seals.
    #[must_use]
    pub fn current(&self) -> String {
        self.keys().current().to_owned()
    }

    /// Whether values under this key of the metadata are secret.
    #[must_use]
    pub fn is_secret(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Whether any value under these keys is.
    #[must_use]
    pub fn are_in(&self, metadata: &Metadata) -> bool {
        metadata.keys().any(|key| self.is_secret(key))
    }

    /// Seals the secret values of accounts to be opened; `written` is told each value that takes the place of
    /// another: of which account, under which key.
    ///
    /// # Errors
    /// Values that look sealed, and metadata that would be too large when it is. Nothing is to be opened then.
    pub fn seal_openings(
        &self,
        openings: &mut [Opening],
        by: GivenBy,
        mut written: impl FnMut(usize, &str, &str),
    ) -> Result<(), Violations> {
        let (keys, mut violations) = (self.keys(), Violations::default());
        for (index, opening) in openings.iter_mut().enumerate() {
            let place = Place::Item { list: "accounts", index };
            let (id, metadata) = (opening.spec.id, &mut opening.profile.metadata);
            let known = |key: &str, value: &str| {
                by == GivenBy::Proposal && self.is_secret(key) && keys.open(id, key, value).is_ok()
            };
            check(metadata, known, |key| self.is_secret(key), place, "metadata", &mut violations);
            for (key, value) in metadata.iter_mut().filter(|(key, _)| self.is_secret(key)) {
                if !is_sealed(value) {
                    replace(value, keys.seal(id, key, value));
                }
                written(index, key, value);
            }
        }
        violations.into_result(())
    }

    /// Seals the secret values that a change sets. What is `stored` already stays as it is sealed, so that
    /// it is no change.
    ///
    /// # Errors
    /// As [`Self::seal_openings`]; nothing is to be changed then.
    pub fn seal_change(
        &self,
        id: AccountId,
        change: &mut ProfileChange,
        stored: Option<&Profile>,
    ) -> Result<(), Violations> {
        let (keys, mut violations) = (self.keys(), Violations::default());
        let secret = |key: &str| self.is_secret(key);
        let set = &mut change.set;
        check(set, |_, _| false, secret, Place::Request, "set_metadata", &mut violations);
        for (key, value) in set.iter_mut().filter(|(key, _)| self.is_secret(key)) {
            let stored = stored.and_then(|profile| profile.metadata.get(key));
            let same = stored.filter(|stored| {
                keys.open(id, key, stored).is_ok_and(|text| text.as_str() == value.as_str())
            });
            let sealed = same.cloned().unwrap_or_else(|| keys.seal(id, key, value));
            replace(value, sealed);
        }
        violations.into_result(())
    }

    /// Refuses to find accounts by what is secret: whoever may list could try values out.
    ///
    /// # Errors
    /// One violation, `METADATA_SECRET`.
    pub fn check_filter(&self, filter: &Metadata) -> Result<(), Violations> {
        let Some(key) = filter.keys().find(|key| self.is_secret(key)) else { return Ok(()) };
        let sentence = format!("the key {key} is secret, and no account is found by its values");
        Err(Violations::one("filter.metadata", "METADATA_SECRET", sentence))
    }

    /// Puts what may be seen in the place of every value that is secret, or sealed.
    pub fn show(&self, id: AccountId, metadata: &mut Metadata) {
        let keys = self.keys();
        for (key, value) in metadata {
            let mask = self.fields.get(key);
            let shown = match (keys.open(id, key, value), mask) {
                (Ok(text), Some(mask)) => mask.show(&text),
                // It was secret once.
                (Ok(_) | Err(FieldError::KeyMissing(_) | FieldError::Changed), _) => {
                    HIDDEN.to_owned()
                }
                // Kept since before it was secret.
                (Err(FieldError::Plain), Some(mask)) => mask.show(value),
                (Err(FieldError::Plain), None) => continue,
            };
            replace(value, shown);
        }
    }

    /// The value under a key, in full; the caller has told of it.
    ///
    /// # Errors
    /// `SECRET_FIELD_UNKNOWN` (`NOT_FOUND`), `SECRET_KEY_MISSING` (`FAILED_PRECONDITION`),
    /// `SECRET_FIELD_CHANGED` (`DATA_LOSS`).
    pub fn reveal(
        &self,
        id: AccountId,
        key: &str,
        metadata: &Metadata,
    ) -> Result<Zeroizing<String>, Refusal> {
        let value = metadata.get(key).filter(|value| self.is_secret(key) || is_sealed(value));
        // Without the key: it may be anything that the caller has.
        let value = value.ok_or_else(|| {
            let sentence = format!("account {id} has no secret value under this key");
            Refusal::new(Code::NotFound, "SECRET_FIELD_UNKNOWN", sentence)
        })?;
        let what = format!("the value under {key} of account {id}");
        self.keys().open(id, key, value).or_else(|error| match error {
            FieldError::Plain => Ok(Zeroizing::new(value.clone())),
            FieldError::KeyMissing(_) => {
                let sentence = format!("{what}: {error}; add it to the keys of secret fields");
                Err(Refusal::new(Code::FailedPrecondition, "SECRET_KEY_MISSING", sentence))
            }
            FieldError::Changed => {
                let sentence = format!("{what}: {error}");
                Err(Refusal::new(Code::DataLoss, "SECRET_FIELD_CHANGED", sentence))
            }
        })
    }
}

/// Puts one text in the place of another, which is overwritten.
fn replace(value: &mut String, by: String) {
    value.zeroize();
    *value = by;
}

/// What is wrong with values that are to be sealed: those that look as if they were, and metadata that has no
/// room for what they become.
fn check(
    metadata: &Metadata,
    known: impl Fn(&str, &str) -> bool,
    secret: impl Fn(&str) -> bool,
    place: Place,
    field: &str,
    violations: &mut Violations,
) {
    let looks = metadata.iter().find(|(key, value)| is_sealed(value) && !known(key, value));
    if let Some((key, _)) = looks {
        violations.add(place, field, "METADATA_LOOKS_SEALED", || {
            format!(
                "the value under {key} looks like one that this server has sealed; give it as it is"
            )
        });
    }
    let bytes = |(key, value): (&String, &String)| {
        let sealed = secret(key) && !is_sealed(value);
        key.len() + if sealed { sealed_bytes(value.len()) } else { value.len() }
    };
    let bytes: usize = metadata.iter().map(bytes).sum();
    if metadata.keys().any(|key| secret(key)) && bytes > METADATA_BYTES_MAX {
        violations.add(place, field, "METADATA_TOO_LARGE", || {
            format!(
                "its secret values sealed, the metadata has {bytes} bytes, and an account has at most \
                 {METADATA_BYTES_MAX}: each takes 43 bytes and a third more than it has"
            )
        });
    }
}

#[cfg(test)]
mod tests;
