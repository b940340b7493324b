//! Money: exact whole numbers of a currency's minor unit, and the currencies.
//!
//! Inside Ducat an amount is an integer (`1234` minor units of GBP are 12.34 pounds).
//! Decimal texts exist only at the edges and convert exactly or not at all: nothing
//! here rounds. Exponents are ISO 4217's (active codes, through `iso_currency`);
//! assets of your own carry 0 to 18 digits.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use thiserror::Error;

/// The largest amount of one transfer, in minor units: 2^96 − 1, what a
/// `rust_decimal` mantissa holds.
pub const AMOUNT_MAX: u128 = (1 << 96) - 1;

/// No balance may leave −`BALANCE_MAX`..=`BALANCE_MAX`, in minor units. Far from the ends
/// of `i128`, so that sums of a few balances and amounts never overflow.
pub const BALANCE_MAX: i128 = 1 << 120;

/// Most decimal digits an asset may have.
pub const DIGITS_MAX: u8 = 18;

/// A currency or asset by number: ISO 4217's numeric code below 1000, assets of
/// your own from 1000 on in the order of their definition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CurrencyId(pub u16);

/// The first number given to an asset that is not in ISO 4217.
pub const OWN_ASSETS_FROM: u16 = 1000;

/// A currency: number, code and how many decimal digits its minor unit has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Currency {
    /// The number that stands for it inside.
    pub id: CurrencyId,
    /// `GBP`, `JPY`, or the code an asset was defined with.
    pub code: String,
    /// Decimal digits of the minor unit: 2 for GBP, 0 for JPY, 3 for KWD.
    pub digits: u8,
}

/// Why a currency or asset cannot be used or defined.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CurrencyError {
    /// Not an active ISO 4217 code and not a defined asset.
    #[error("`{0}` is neither an ISO 4217 code nor a defined asset")]
    Unknown(String),
    /// ISO 4217 lists it without a minor unit (gold, test codes).
    #[error("`{0}` has no minor unit in ISO 4217 and cannot hold balances")]
    NoMinorUnit(String),
    /// Codes have 2 to 12 of A–Z and 0–9 and begin with a letter.
    #[error("`{0}` is no asset code: use 2 to 12 of A-Z and 0-9, beginning with a letter")]
    BadCode(String),
    /// ISO 4217's codes keep their meaning.
    #[error("`{0}` is an ISO 4217 code and cannot be defined anew")]
    IsIso(String),
    /// More than [`DIGITS_MAX`].
    #[error("an asset has 0 to 18 decimal digits, not {0}")]
    BadDigits(u32),
    /// Defined before with other digits.
    #[error("asset `{code}` exists with {digits} digits")]
    Exists {
        /// The asset's code.
        code: String,
        /// The digits it was defined with.
        digits: u8,
    },
    /// Numbers for assets ran out.
    #[error("no more assets can be defined")]
    Full,
}

/// Every currency a ledger knows: ISO 4217 and the assets defined in its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Currencies {
    own: Vec<Currency>,
    by_code: HashMap<String, u16>,
}

impl Currencies {
    /// ISO 4217 only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The currency of this code (upper case).
    ///
    /// # Errors
    /// [`CurrencyError::Unknown`] and [`CurrencyError::NoMinorUnit`].
    pub fn by_code(&self, code: &str) -> Result<Currency, CurrencyError> {
        if let Some(&index) = self.by_code.get(code) {
            return Ok(self.own[usize::from(index)].clone());
        }
        let iso = iso_currency::Currency::from_code(code)
            .ok_or_else(|| CurrencyError::Unknown(code.to_owned()))?;
        from_iso(iso).ok_or_else(|| CurrencyError::NoMinorUnit(code.to_owned()))
    }

    /// The currency of this number.
    #[must_use]
    pub fn by_id(&self, id: CurrencyId) -> Option<Currency> {
        match id.0.checked_sub(OWN_ASSETS_FROM) {
            Some(index) => self.own.get(usize::from(index)).cloned(),
            None => from_iso(iso_currency::Currency::from_numeric(id.0)?),
        }
    }

    /// The assets defined on top of ISO 4217, in order of definition.
    #[must_use]
    pub fn own(&self) -> &[Currency] {
        &self.own
    }

    /// What defining this asset would give: the existing one when it is the same,
    /// else a new number. Changes nothing; [`Self::define`] does.
    ///
    /// # Errors
    /// The variants of [`CurrencyError`] that speak of defining.
    pub fn check(&self, code: &str, digits: u32) -> Result<Currency, CurrencyError> {
        let well_formed = (2..=12).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && code.as_bytes()[0].is_ascii_uppercase();
        if !well_formed {
            return Err(CurrencyError::BadCode(code.to_owned()));
        }
        if iso_currency::Currency::from_code(code).is_some() {
            return Err(CurrencyError::IsIso(code.to_owned()));
        }
        let Some(digits) = u8::try_from(digits).ok().filter(|d| *d <= DIGITS_MAX) else {
            return Err(CurrencyError::BadDigits(digits));
        };
        if let Some(&index) = self.by_code.get(code) {
            let known = &self.own[usize::from(index)];
            return if known.digits == digits {
                Ok(known.clone())
            } else {
                Err(CurrencyError::Exists { code: code.to_owned(), digits: known.digits })
            };
        }
        let id = u16::try_from(self.own.len())
            .ok()
            .and_then(|n| n.checked_add(OWN_ASSETS_FROM))
            .ok_or(CurrencyError::Full)?;
        Ok(Currency { id: CurrencyId(id), code: code.to_owned(), digits })
    }

    /// Defines an asset; defining the same one again changes nothing.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn define(&mut self, code: &str, digits: u32) -> Result<Currency, CurrencyError> {
        let currency = self.check(code, digits)?;
        let index = currency.id.0 - OWN_ASSETS_FROM;
        if usize::from(index) == self.own.len() {
            self.by_code.insert(currency.code.clone(), index);
            self.own.push(currency.clone());
        }
        Ok(currency)
    }
}

fn from_iso(iso: iso_currency::Currency) -> Option<Currency> {
    let digits = u8::try_from(iso.exponent()?).ok()?;
    Some(Currency { id: CurrencyId(iso.numeric()), code: iso.code().to_owned(), digits })
}

/// Why a decimal text is not an amount of a currency.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not digits with at most one point.
    #[error("`{0}` is not a decimal number like 12.34")]
    Malformed(String),
    /// Amounts are positive; direction comes from debit and credit.
    #[error("`{0}` is negative")]
    Negative(String),
    /// More decimals than the currency's minor unit has.
    #[error("`{text}` has more decimals than the {digits} of {code}")]
    TooManyDecimals {
        /// The text given.
        text: String,
        /// The currency's code.
        code: String,
        /// The currency's digits.
        digits: u8,
    },
    /// Above [`AMOUNT_MAX`] minor units.
    #[error("`{0}` is larger than any amount can be")]
    TooLarge(String),
}

/// The signed number of minor units that `text` stands for.
///
/// # Errors
/// [`AmountError`], never a rounded value. Trailing zeros beyond the minor unit are no decimals.
pub fn parse_signed(text: &str, currency: &Currency) -> Result<i128, AmountError> {
    let malformed = || AmountError::Malformed(text.to_owned());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let mut parts = unsigned.splitn(2, '.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next();
    let digits_only = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits_only(whole) || fraction.is_some_and(|f| !digits_only(f)) {
        return Err(malformed());
    }
    // Zeros that say nothing would only eat into the 28 digits a Decimal holds.
    let fraction = fraction.unwrap_or_default().trim_end_matches('0');
    if fraction.len() > usize::from(currency.digits) {
        return Err(AmountError::TooManyDecimals {
            text: text.to_owned(),
            code: currency.code.clone(),
            digits: currency.digits,
        });
    }
    let too_large = || AmountError::TooLarge(text.to_owned());
    let minor = format!("{whole}{fraction:0<width$}", width = usize::from(currency.digits));
    let value = Decimal::from_str_exact(&minor).map_err(|_| too_large())?;
    let mantissa = value.mantissa();
    Ok(if text.starts_with('-') { -mantissa } else { mantissa })
}

/// The number of minor units that `text` stands for; zero is allowed here and refused by
/// the transfer's own rules.
///
/// # Errors
/// As [`parse_signed`], and [`AmountError::Negative`].
pub fn parse_amount(text: &str, currency: &Currency) -> Result<u128, AmountError> {
    let value = parse_signed(text, currency)?;
    u128::try_from(value).map_err(|_| AmountError::Negative(text.to_owned()))
}

/// Minor units as a decimal text with the currency's digits: `-0.05`, `1200`, `3.000`.
#[must_use]
pub fn format_minor(value: i128, digits: u8) -> String {
    Minor { value, digits }.to_string()
}

/// Shows minor units with their decimal point, without a text in between.
#[derive(Clone, Copy, Debug)]
pub struct Minor {
    /// Minor units.
    pub value: i128,
    /// Digits behind the point.
    pub digits: u8,
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.value < 0 { "-" } else { "" };
        let value = self.value.unsigned_abs();
        if self.digits == 0 {
            return write!(f, "{sign}{value}");
        }
        let unit = 10u128.pow(u32::from(self.digits));
        let width = usize::from(self.digits);
        write!(f, "{sign}{}.{:0width$}", value / unit, value % unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gbp() -> Currency {
        Currencies::new().by_code("GBP").expect("ISO")
    }

    #[test]
    fn exponents_are_those_of_iso_4217() {
        for (code, digits, number) in
            [("GBP", 2, 826), ("JPY", 0, 392), ("KWD", 3, 414), ("CLF", 4, 990)]
        {
            let currency = Currencies::new().by_code(code).expect(code);
            assert_eq!((currency.digits, currency.id.0), (digits, number), "{code}");
            assert_eq!(Currencies::new().by_id(currency.id), Some(currency));
        }
        assert!(matches!(Currencies::new().by_code("XAU"), Err(CurrencyError::NoMinorUnit(_))));
        assert!(matches!(Currencies::new().by_code("gbp"), Err(CurrencyError::Unknown(_))));
    }

    #[test]
    fn own_assets_keep_their_digits() {
        let mut all = Currencies::new();
        let points = all.define("POINTS", 0).expect("new");
        assert_eq!(points.id, CurrencyId(1000));
        assert_eq!(all.define("POINTS", 0), Ok(points));
        assert!(matches!(all.define("POINTS", 2), Err(CurrencyError::Exists { .. })));
        assert_eq!(all.define("ETHER", 18).expect("new").id, CurrencyId(1001));
        assert!(matches!(all.define("WEI", 19), Err(CurrencyError::BadDigits(19))));
        assert!(matches!(all.define("EUR", 2), Err(CurrencyError::IsIso(_))));
        for bad in ["", "A", "abc", "1AB", "TOOLONGFORACODE", "A-B"] {
            assert!(matches!(all.define(bad, 2), Err(CurrencyError::BadCode(_))), "{bad}");
        }
    }

    #[test]
    fn texts_convert_exactly_or_not_at_all() {
        let gbp = gbp();
        for (text, minor) in [
            ("12.34", 1234),
            ("12", 1200),
            ("12.3", 1230),
            ("12.3400", 1234),
            ("0.01", 1),
            ("0", 0),
            ("000.10", 10),
            ("792281625142643375935439503.35", AMOUNT_MAX as i128),
        ] {
            assert_eq!(parse_signed(text, &gbp), Ok(minor), "{text}");
        }
        assert_eq!(parse_signed("-0.05", &gbp), Ok(-5));
        assert!(matches!(parse_amount("-1", &gbp), Err(AmountError::Negative(_))));
        assert!(matches!(parse_amount("1.005", &gbp), Err(AmountError::TooManyDecimals { .. })));
        assert!(matches!(
            parse_amount("792281625142643375935439503.36", &gbp),
            Err(AmountError::TooLarge(_))
        ));
        for bad in ["", ".", "1.", ".5", "+1", "1e3", "1,000", "1_000", " 1", "--1", "٣", "NaN"] {
            assert!(matches!(parse_amount(bad, &gbp), Err(AmountError::Malformed(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(value in -(AMOUNT_MAX as i128)..=(AMOUNT_MAX as i128), digits in 0u8..=18) {
            let currency = Currency { id: CurrencyId(1000), code: "X".into(), digits };
            prop_assert_eq!(parse_signed(&format_minor(value, digits), &currency), Ok(value));
        }
    }
}
