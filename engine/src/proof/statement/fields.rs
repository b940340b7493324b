//! How the fields of a statement are written, one after the other.

use super::{CurrencyText, Side, put_currency, put_side};
use crate::ids::TransferId;

/// Writes fields one after the other.
pub(super) struct Fields<'o>(pub &'o mut Vec<u8>);

impl Fields<'_> {
    pub fn id(&mut self, id: TransferId) -> &mut Self {
        self.wide(id.get())
    }

    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.push(u8::from(flag));
        self
    }

    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    pub fn word(&mut self, word: u64) -> &mut Self {
        self.0.extend_from_slice(&word.to_be_bytes());
        self
    }

    pub fn wide(&mut self, number: u128) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub fn currency(&mut self, currency: Option<&CurrencyText>) -> &mut Self {
        put_currency(currency, self.0);
        self
    }

    pub fn side(&mut self, side: &Side) -> &mut Self {
        put_side(side, self.0);
        self
    }

    pub fn maybe<T>(
        &mut self,
        value: Option<T>,
        put: impl for<'s> FnOnce(&'s mut Self, T) -> &'s mut Self,
    ) -> &mut Self {
        self.flag(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
        self
    }
}
