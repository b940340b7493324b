//! Identifiers: what every room calls an account, a transfer, a position in
//! the journal. All are newtypes so that one can never be passed for another.
//!
//! Account and transfer ids are chosen by the caller, 128 bits wide, and travel
//! as two 64-bit halves on the wire. In memory and in the journal an account is
//! known by its [`Slot`], which is dense and four bytes small.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// Neither a decimal number below 2^128 nor a UUID.
    #[error("`{0}` is neither a whole number below 2^128 nor a UUID")]
    Malformed(String),
    /// Zero means "absent" on the wire, so it can never name anything.
    #[error("an id of 0 is reserved and names nothing")]
    Zero,
}

/// Parses a decimal number or a UUID (with or without hyphens).
fn parse_u128(text: &str) -> Result<u128, IdError> {
    let malformed = || IdError::Malformed(text.to_owned());
    let hex: String = match text.len() {
        36 if [8, 13, 18, 23].iter().all(|&at| text.as_bytes()[at] == b'-') => {
            text.chars().filter(|c| *c != '-').collect()
        }
        32 if !text.bytes().all(|b| b.is_ascii_digit()) => text.to_owned(),
        _ => {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(malformed());
            }
            return text.parse().map_err(|_| malformed());
        }
    };
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(malformed());
    }
    u128::from_str_radix(&hex, 16).map_err(|_| malformed())
}

/// Small ids print as numbers, large ones as UUIDs, so that both read back.
fn format_u128(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if value <= u128::from(u64::MAX) {
        return write!(f, "{value}");
    }
    write!(
        f,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        value >> 96,
        (value >> 80) & 0xffff,
        (value >> 64) & 0xffff,
        (value >> 48) & 0xffff,
        value & 0xffff_ffff_ffff
    )
}

macro_rules! wide_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id with this value. Zero is reserved and refused.
            ///
            /// # Errors
            /// [`IdError::Zero`] for zero.
            pub const fn new(value: u128) -> Result<Self, IdError> {
                if value == 0 { Err(IdError::Zero) } else { Ok(Self(value)) }
            }

            /// The id made of its upper and lower 64 bits, as on the wire.
            ///
            /// # Errors
            /// [`IdError::Zero`] when both halves are zero.
            pub const fn from_halves(high: u64, low: u64) -> Result<Self, IdError> {
                Self::new(((high as u128) << 64) | low as u128)
            }

            /// The number itself; never zero.
            pub const fn get(self) -> u128 { self.0 }

            /// The upper 64 bits.
            pub const fn high(self) -> u64 { (self.0 >> 64) as u64 }

            /// The lower 64 bits.
            pub const fn low(self) -> u64 { self.0 as u64 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { format_u128(self.0, f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { format_u128(self.0, f) }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> { Self::new(parse_u128(text)?) }
        }

        // Sixteen plain bytes: a varint would cost a prefix and win nothing on random ids.
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                self.0.to_le_bytes().serialize(s)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let value = u128::from_le_bytes(<[u8; 16]>::deserialize(d)?);
                Self::new(value).map_err(serde::de::Error::custom)
            }
        }
    };
}

wide_id! {
    /// The caller's name for an account. Any value but zero; a number or a UUID as text.
    AccountId
}
wide_id! {
    /// The caller's name for a transfer and its idempotency key (UUIDv7 recommended).
    TransferId
}
wide_id! {
    /// The caller's name for a schedule and its idempotency key.
    ScheduleId
}
wide_id! {
    /// The caller's name for a saga and its idempotency key.
    SagaId
}

/// An account's dense index in one shard, given in the order of opening, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Log sequence number: the place of one event in a shard's journal. The first is 1;
/// 0 means "before everything".
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// The LSN that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The LSN `count` places further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One reign over a shard's journal. Each opening for writing takes the next one;
/// a writer of an older epoch can never append.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

/// A shard of the ledger with a journal of its own. There is one for now, number 0.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct ShardId(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        for value in [1, 42, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX] {
            let id = AccountId::new(value).expect("not zero");
            assert_eq!(id.to_string().parse::<AccountId>(), Ok(id));
            assert_eq!(AccountId::from_halves(id.high(), id.low()), Ok(id));
        }
    }

    #[test]
    fn uuids_are_read_with_and_without_hyphens() {
        let text = "0192f3a4-5b6c-7d8e-9f01-23456789abcd";
        let plain = text.replace('-', "");
        assert_eq!(text.parse::<TransferId>(), plain.parse::<TransferId>());
        assert_eq!(text.parse::<TransferId>().expect("a UUID").to_string(), text);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "12x",
            "00000000-0000-0000-0000-000000000000",
            "0192f3a4-5b6c-7d8e-9f01-23456789abcg",
            "340282366920938463463374607431768211456",
            "é192f3a4-5b6c-7d8e-9f01-23456789abc",
        ] {
            assert!(text.parse::<TransferId>().is_err(), "{text}");
        }
    }
}
