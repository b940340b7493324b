//! One secret field as the configuration writes it: `card=card`, `passport`.

use super::HIDDEN;
use crate::audit::masking::Masks;
use ducat_engine::profile::check_key;
use std::fmt;
use std::str::FromStr;

/// What is shown of a value. Whatever is not through and through of its kind is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Of a card number the first six digits and the last four.
    Card,
    /// Of an e-mail address its first character.
    Email,
    /// Of an ID number its last four characters.
    Id,
    /// Of an IBAN its first four characters and its last four.
    Iban,
    /// Of a phone number its last two digits.
    Phone,
    /// Nothing.
    Nothing,
}

/// Every mask.
const MASKS: [Mask; 6] =
    [Mask::Card, Mask::Email, Mask::Id, Mask::Iban, Mask::Phone, Mask::Nothing];

impl Mask {
    /// As configurations write it; but for `nothing` the name of the rule of the audit trail.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Email => "email",
            Self::Id => "id",
            Self::Iban => "iban",
            Self::Phone => "phone",
            Self::Nothing => "nothing",
        }
    }

    /// What is shown of this value.
    #[must_use]
    pub fn show(self, value: &str) -> String {
        let shown = Masks::built_in().whole(self.name(), value);
        shown.unwrap_or_else(|| HIDDEN.to_owned())
    }
}

/// A key of accounts' metadata whose values are secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretField {
    /// The key.
    pub name: String,
    /// What is shown of a value.
    pub mask: Mask,
}

impl fmt::Display for SecretField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.mask.name())
    }
}

impl FromStr for SecretField {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, mask) = text.split_once('=').unwrap_or((text, Mask::Nothing.name()));
        check_key(name).map_err(|fault| format!("`{name}` is no key of metadata: {fault}"))?;
        let mask = MASKS.into_iter().find(|known| known.name() == mask).ok_or_else(|| {
            let names: Vec<&str> = MASKS.iter().map(|mask| mask.name()).collect();
            format!("`{mask}` is no mask; masks are {}", names.join(", "))
        })?;
        Ok(Self { name: name.to_owned(), mask })
    }
}
