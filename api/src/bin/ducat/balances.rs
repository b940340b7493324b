//! Final balances as comparable text: lines `id,balance_in_minor_units`, sorted, and their
//! SHA-256. `import` makes it of the accounts it touched, `replay` of a whole ledger, so that
//! any two runs can be held against each other, and against answers worked out elsewhere.

use crate::exit::{Exit, Failure};
use sha2::{Digest as _, Sha256};
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::Path;

/// One account's id as its source wrote it, and its posted balance in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceOf {
    /// The id's text.
    pub id: String,
    /// Minor units.
    pub minor: i128,
}

/// The lines, numbers first in numeric order, then texts; no newline at the end.
pub fn lines(mut balances: Vec<BalanceOf>) -> String {
    balances.sort_by_cached_key(|b| Key::of(&b.id));
    let mut text = String::with_capacity(balances.len() * 16);
    for (at, balance) in balances.iter().enumerate() {
        let newline = if at == 0 { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{newline}{},{}", balance.id, balance.minor);
    }
    text
}

/// SHA-256 in hexadecimal.
pub fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes the lines to a file.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| {
        Failure::new(Exit::CannotCreate, format!("cannot write {}: {e}", path.display()))
    })
}

/// The order of ids: by number where it is one, else by text after all numbers.
#[derive(PartialEq, Eq)]
enum Key {
    Number(u128),
    Text(String),
}

impl Key {
    fn of(id: &str) -> Self {
        id.parse().map_or_else(|_| Self::Text(id.to_owned()), Self::Number)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_numbers_and_texts_follow() {
        let of = |id: &str, minor| BalanceOf { id: id.to_owned(), minor };
        let text = lines(vec![of("payer:b", 4), of("10", -1), of("9", 2), of("payer:a", 3)]);
        assert_eq!(text, "9,2\n10,-1\npayer:a,3\npayer:b,4");
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
