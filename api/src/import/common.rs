//! What accounts and transfers of one import share: currencies, external accounts, how a
//! column's bytes become text and text becomes an amount, and why a row cannot be converted.

use super::Failure;
use super::ids::{self, Purpose};
use super::mapping::{ColumnRef, Encoding, Mapping, Text};
use csv::ByteRecord;
use ducat_engine::ids::AccountId;
use ducat_engine::money::{AmountError, Currencies, Currency, parse_signed};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Why a row cannot be converted; the ledger never hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconvertible {
    /// A stable code.
    pub code: &'static str,
    /// A sentence for people.
    pub explanation: String,
}

impl Unconvertible {
    /// With this code and explanation.
    pub fn new(code: &'static str, explanation: impl Into<String>) -> Self {
        Self { code, explanation: explanation.into() }
    }
}

/// An external account that the import opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Its name in the mapping.
    pub name: String,
    /// Its id.
    pub id: AccountId,
    /// Its currency.
    pub currency: Currency,
}

/// The shared part of a mapping, ready for use.
#[derive(Debug, Clone)]
pub struct Common {
    /// The name of this import.
    pub namespace: String,
    /// ISO 4217 and the mapping's assets.
    pub currencies: Currencies,
    /// The currency of everything that names no other.
    pub currency: Option<Currency>,
    /// The external accounts, by name.
    pub externals: BTreeMap<String, ExternalAccount>,
    encoding: Encoding,
    decimal_point: char,
    thousands_separator: Option<char>,
}

/// Where a currency comes from.
#[derive(Debug, Clone)]
pub enum CurrencyPlan {
    /// The same for every row.
    Fixed(Currency),
    /// Each row's own.
    Column(usize),
}

impl Common {
    /// Checks the shared part of a mapping.
    pub fn of(mapping: &Mapping) -> Result<Self, Failure> {
        let wrong = |e: ducat_engine::money::CurrencyError| {
            Failure::usage(format!("the mapping cannot be used: {e}"))
        };
        let mut currencies = Currencies::new();
        for (code, digits) in &mapping.assets {
            currencies.define(code, *digits).map_err(wrong)?;
        }
        let currency = mapping.currency.as_deref().map(|code| currencies.by_code(code));
        let currency = currency.transpose().map_err(wrong)?;
        let mut externals = BTreeMap::new();
        for (name, external) in &mapping.externals {
            let own = external.currency.as_deref().map(|code| currencies.by_code(code));
            let currency = own.transpose().map_err(wrong)?.or_else(|| currency.clone());
            let currency = currency.ok_or_else(|| {
                Failure::usage(format!("the external account `{name}` needs a `currency`"))
            })?;
            let id = match &external.id {
                Some(text) => text.parse(),
                None => ids::account(Purpose::External, &mapping.namespace, name),
            };
            let id = id.map_err(|e| Failure::usage(format!("external account `{name}`: {e}")))?;
            externals.insert(name.clone(), ExternalAccount { name: name.clone(), id, currency });
        }
        let source = &mapping.source;
        Ok(Self {
            namespace: mapping.namespace.clone(),
            currencies,
            currency,
            externals,
            encoding: source.encoding,
            decimal_point: one_char("decimal_point", &source.decimal_point)?.ok_or_else(|| {
                Failure::usage("`decimal_point` in the mapping must be one character")
            })?,
            thousands_separator: one_char("thousands_separator", &source.thousands_separator)?,
        })
    }

    /// The external account of this name.
    pub fn external(&self, name: &str) -> Result<&ExternalAccount, Failure> {
        self.externals.get(name).ok_or_else(|| {
            Failure::usage(format!(
                "the mapping names an external account `{name}` but has no [externals.{name}]"
            ))
        })
    }

    /// Where a currency comes from: `text`, or the mapping's own.
    pub fn currency_plan(
        &self,
        text: Option<&Text>,
        header: Option<&[String]>,
    ) -> Result<CurrencyPlan, Failure> {
        match text {
            Some(Text::Column(column)) => Ok(CurrencyPlan::Column(index_of(column, header)?)),
            Some(Text::Constant(code)) => {
                let currency = self.currencies.by_code(code);
                let wrong = |e| Failure::usage(format!("the mapping cannot be used: {e}"));
                currency.map(CurrencyPlan::Fixed).map_err(wrong)
            }
            None => self.currency.clone().map(CurrencyPlan::Fixed).ok_or_else(|| {
                Failure::usage(
                    "the mapping names no currency: set `currency` in it, or use --currency",
                )
            }),
        }
    }

    /// The text of a column, without blanks around it.
    pub fn field<'r>(
        &self,
        record: &'r ByteRecord,
        index: usize,
    ) -> Result<Cow<'r, str>, Unconvertible> {
        let bytes = record.get(index).ok_or_else(|| {
            let columns = record.len();
            let text = format!("the row has {columns} columns and needs at least {}", index + 1);
            Unconvertible::new("COLUMN_MISSING", text)
        })?;
        match self.encoding {
            Encoding::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Cow::Borrowed(text.trim())),
                Err(_) => Err(Unconvertible::new(
                    "NOT_UTF8",
                    format!("column {} is not UTF-8; encoding = \"latin-1\" may fit", index + 1),
                )),
            },
            Encoding::Latin1 => {
                let text: String = bytes.iter().map(|b| char::from(*b)).collect();
                Ok(Cow::Owned(text.trim().to_owned()))
            }
        }
    }

    /// A row's currency.
    pub fn currency<'c>(
        &self,
        plan: &'c CurrencyPlan,
        record: &ByteRecord,
    ) -> Result<Cow<'c, Currency>, Unconvertible> {
        match plan {
            CurrencyPlan::Fixed(currency) => Ok(Cow::Borrowed(currency)),
            CurrencyPlan::Column(index) => {
                let code = self.field(record, *index)?;
                let currency = self.currencies.by_code(&code);
                let unknown = |e| Unconvertible::new("CURRENCY_UNKNOWN", format!("{e}"));
                currency.map(Cow::Owned).map_err(unknown)
            }
        }
    }

    /// The signed minor units of a column, exactly.
    pub fn amount(
        &self,
        record: &ByteRecord,
        index: usize,
        currency: &Currency,
    ) -> Result<i128, Unconvertible> {
        self.money(&self.field(record, index)?, currency)
    }

    /// The signed minor units of a text of the file, exactly.
    pub fn money(&self, text: &str, currency: &Currency) -> Result<i128, Unconvertible> {
        parse_signed(&self.plain_decimal(text), currency).map_err(|e| {
            let code = match e {
                AmountError::Malformed(_) => "AMOUNT_MALFORMED",
                AmountError::Negative(_) => "AMOUNT_NEGATIVE",
                AmountError::TooManyDecimals { .. } => "AMOUNT_TOO_MANY_DECIMALS",
                AmountError::TooLarge(_) => "AMOUNT_TOO_LARGE",
            };
            Unconvertible::new(code, format!("{e}"))
        })
    }

    /// The number as `1234.56`, whatever the file writes points and thousands with.
    fn plain_decimal<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.decimal_point == '.' && self.thousands_separator.is_none() {
            return Cow::Borrowed(text);
        }
        let kept = text.chars().filter(|c| Some(*c) != self.thousands_separator);
        // A foreign point must not become ours by accident: it becomes something malformed.
        let swapped = kept.map(|c| match c {
            c if c == self.decimal_point => '.',
            '.' => ',',
            c => c,
        });
        Cow::Owned(swapped.collect())
    }
}

/// The place of a column, from 0 on.
pub fn index_of(column: &ColumnRef, header: Option<&[String]>) -> Result<usize, Failure> {
    match (column, header) {
        (ColumnRef::Number(number), _) => Ok(number - 1),
        (ColumnRef::Name(name), Some(header)) => {
            header.iter().position(|h| h == name).ok_or_else(|| {
                Failure::usage(format!(
                    "the file has no column `{name}`; it has: {}. Is the delimiter right?",
                    header.join(", ")
                ))
            })
        }
        (ColumnRef::Name(name), None) => {
            name.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).ok_or_else(|| {
                Failure::usage(format!(
                    "the file has no header, so column `{name}` must be given by number, 1 for \
                     the first"
                ))
            })
        }
    }
}

fn one_char(name: &str, text: &str) -> Result<Option<char>, Failure> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => Err(Failure::usage(format!("`{name}` in the mapping must be one character"))),
    }
}
