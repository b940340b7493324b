//! Ids of an import: taken from a column as they are, or derived from names by hashing, always
//! the same for the same input. That is what makes an import safe to run again: the second run
//! sends the same ids, and the ledger answers them from memory.

use ducat_engine::ids::{AccountId, IdError, TransferId};

/// What a derived id is for; part of what is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// An account named by a text.
    Account,
    /// An external account named in a mapping.
    External,
    /// The transfer of a row, by its number.
    Row,
    /// A transfer named by a text.
    Transfer,
    /// The deposit of an account's opening balance.
    Opening,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::External => "external",
            Self::Row => "row",
            Self::Transfer => "transfer",
            Self::Opening => "opening",
        }
    }
}

/// The 128-bit id of `text` in `namespace`: the first 16 bytes of BLAKE3 over the parts, each
/// after its length, read as a little-endian number. Never changed: ids of past imports
/// depend on it.
pub fn derived(purpose: Purpose, namespace: &str, text: &str) -> u128 {
    let mut input = Vec::with_capacity(64);
    for part in ["ducat import 1", purpose.name(), namespace, text] {
        input.extend_from_slice(&(part.len() as u32).to_le_bytes());
        input.extend_from_slice(part.as_bytes());
    }
    let hash = blake3::hash(&input);
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    // Zero is reserved; no one will ever see this happen.
    u128::from_le_bytes(first).max(1)
}

/// A derived account id.
pub fn account(purpose: Purpose, namespace: &str, text: &str) -> Result<AccountId, IdError> {
    AccountId::new(derived(purpose, namespace, text))
}

/// A derived transfer id.
pub fn transfer(purpose: Purpose, namespace: &str, text: &str) -> Result<TransferId, IdError> {
    TransferId::new(derived(purpose, namespace, text))
}

/// An account id read from a column: a UUID, or a number with `offset` added.
pub fn read_account(text: &str, offset: u64) -> Result<AccountId, IdError> {
    if offset == 0 {
        return text.parse();
    }
    let malformed = || IdError::Malformed(text.to_owned());
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let number: u128 = text.parse().map_err(|_| malformed())?;
    AccountId::new(number.checked_add(u128::from(offset)).ok_or_else(malformed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_never_change() {
        // Frozen: a change here would make every import that is run again double its rows.
        assert_eq!(
            format!("{:032x}", derived(Purpose::Row, "amlsim-20k-cycle200", "1")),
            "908f9f58c2e36d2b469d08a8d4df976d"
        );
        assert_eq!(
            format!("{:032x}", derived(Purpose::Account, "payer", "bradford")),
            "b953728483f611a04b4c16aa6942713e"
        );
    }

    #[test]
    fn number_spaces_do_not_collide() {
        let all = [
            derived(Purpose::Account, "payer", "1"),
            derived(Purpose::Account, "payee", "1"),
            derived(Purpose::Account, "paye", "e1"),
            derived(Purpose::Row, "payer", "1"),
            derived(Purpose::Transfer, "payer", "1"),
            1,
        ];
        for (at, id) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(id));
        }
    }

    #[test]
    fn numbers_and_uuids_are_taken_as_they_are() {
        assert_eq!(read_account("17", 0).map(AccountId::get), Ok(17));
        assert_eq!(read_account("0", 1).map(AccountId::get), Ok(1));
        assert_eq!(read_account("0", 0), Err(IdError::Zero));
        assert!(read_account("0192f3a4-5b6c-7d8e-9f01-23456789abcd", 0).is_ok());
        for text in ["x", "-1", "", "+1", "340282366920938463463374607431768211455"] {
            assert!(read_account(text, 1).is_err(), "{text}");
        }
    }
}
