//! Mapping files: which column means what. A TOML text, with values set by flags laid over it,
//! becomes a [`Mapping`]; [`super::plan`] then ties it to the columns of a real file.
//!
//! Unknown keys are errors and name the nearest known one, so that a typo never silently
//! imports something else.

use super::Failure;
use super::Kind;
use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// A whole mapping file.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The name of this import: ids that are not in the file are derived from it.
    pub namespace: String,
    /// The currency of everything that names no other.
    pub currency: Option<String>,
    /// How the files are written.
    #[serde(default)]
    pub source: Source,
    /// Assets to define before anything else: code to digits.
    #[serde(default)]
    pub assets: BTreeMap<String, u32>,
    /// Accounts that stand for the outside world, by the names used in this mapping.
    #[serde(default)]
    pub externals: BTreeMap<String, External>,
    /// How accounts are opened.
    pub accounts: Option<Accounts>,
    /// How rows become transfers.
    pub transfers: Option<Transfers>,
}

/// How the files are written.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// One character between the columns.
    pub delimiter: String,
    /// The character around quoted columns.
    pub quote: String,
    /// Whether the first line names the columns. Without it columns have numbers from 1 on.
    pub header: bool,
    /// How bytes are read as text.
    pub encoding: Encoding,
    /// The character before the decimals of an amount.
    pub decimal_point: String,
    /// A character between thousands that is dropped; empty for none.
    pub thousands_separator: String,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            delimiter: ",".to_owned(),
            quote: "\"".to_owned(),
            header: true,
            encoding: Encoding::Utf8,
            decimal_point: ".".to_owned(),
            thousands_separator: String::new(),
        }
    }
}

/// How bytes are read as text.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8; other bytes make a row unconvertible.
    #[serde(rename = "utf-8")]
    Utf8,
    /// ISO 8859-1; every byte is a character.
    #[serde(rename = "latin-1")]
    Latin1,
}

/// An account that stands for the outside world; the import opens it.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Its id; derived from the import's namespace and its name when absent.
    pub id: Option<String>,
    /// Its currency; the mapping's when absent.
    pub currency: Option<String>,
}

/// How accounts are opened: from a file of their own, from the ids in the transfers, or both.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// The account's id, for a file of accounts.
    pub id: Option<IdRule>,
    /// Its currency; the mapping's when absent.
    pub currency: Option<Text>,
    /// What it holds at first: a deposit from `opening_external`, or a withdrawal to it.
    pub opening_balance: Option<Column>,
    /// The external account that opening balances come from.
    pub opening_external: Option<String>,
    /// How far below zero it may go.
    pub overdraft_limit: Option<Text>,
    /// Also open every account that the transfers name.
    #[serde(default)]
    pub open_from_transfers: bool,
}

/// How rows become transfers.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Transfers {
    /// Where the id comes from; the namespace and the row's number when absent.
    #[serde(default)]
    pub id: TransferIdRule,
    /// The account that pays.
    pub debit: Option<IdRule>,
    /// The account that receives.
    pub credit: Option<IdRule>,
    /// How much.
    pub amount: AmountRule,
    /// The currency; the mapping's when absent.
    pub currency: Option<Text>,
    /// What the transfers are for.
    #[serde(default)]
    pub kind: Kind,
    /// The user's own name for each, at most 64 bytes; none when absent.
    pub reference: Option<Text>,
    /// What each is, in words, at most 256 bytes; none when absent.
    pub description: Option<Text>,
    /// The day on which each counts, as 2026-01-31; the day of its decision when absent or empty.
    pub value_date: Option<Text>,
    /// What rows ask for: transfer, hold, capture, void, extend, refund or reverse; a transfer when
    /// absent or empty. `debit`, `credit` and `kind` are read of transfers and holds alone, the amount
    /// not of voids, extensions and reversals; a capture without one takes all that remains.
    pub operation: Option<Text>,
    /// Of a capture, a void and an extension: the hold, by its id; read as `id` is.
    pub hold: Option<TransferIdRule>,
    /// Of a refund and a reversal: what is given back, by its id; read as `id` is.
    pub original: Option<TransferIdRule>,
    /// Of a hold and an extension: when the hold expires, as in 7d; never when absent or empty.
    pub expires_in: Option<Text>,
    /// Of a hold: by how much captures may exceed it.
    pub over_capture_max: Option<Text>,
    /// Of a capture: true when none follows.
    pub last: Option<Text>,
    /// Of a refund and a reversal: true when the payer may go below its overdraft limit.
    pub allow_overdraft: Option<Text>,
    /// Of a transfer: the amount is the most that is moved, up to available, balance, room or debt;
    /// blanks between several.
    pub up_to: Option<Text>,
    /// With `up_to`: the least that is moved; 1 minor unit when absent or empty.
    pub min: Option<Text>,
    /// Of a transfer, a hold and a capture: conditions, as in debit.available>=10.00; blanks between
    /// several.
    pub require: Option<Text>,
    /// Rows that follow each other and say the same here are one linked group: all are done or none.
    pub group: Option<Text>,
    /// Rules by the value of columns; the first that fits sets kind, debit and credit.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// Which account a row means: a column's value, or an external account.
#[derive(Deserialize, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct IdRule {
    /// The column that holds the id.
    pub column: Option<ColumnRef>,
    /// Hash the value together with this name into an id, for values that are no numbers or
    /// that come from another number space.
    pub namespace: Option<String>,
    /// Add this to a number (an id of 0 is reserved and names nothing).
    #[serde(default)]
    pub offset: u64,
    /// Name of an external account instead.
    pub external: Option<String>,
}

/// Where a transfer's id comes from.
#[derive(Deserialize, Debug, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct TransferIdRule {
    /// The column that holds the id; the row's number when absent.
    pub column: Option<ColumnRef>,
    /// Hash the column's value together with this name.
    pub namespace: Option<String>,
}

/// How much a row moves.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct AmountRule {
    /// The column that holds the amount.
    pub column: ColumnRef,
    /// What a negative amount means.
    #[serde(default)]
    pub negative: Negative,
}

/// What a negative amount means.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
pub enum Negative {
    /// The row cannot be converted.
    #[default]
    Refuse,
    /// The money flows the other way: debit and credit change places.
    Swap,
}

/// A rule by the value of columns.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Columns and the values they must have; all must fit.
    pub when: BTreeMap<String, OneOrMany>,
    /// Overrides the kind.
    pub kind: Option<Kind>,
    /// Overrides the account that pays.
    pub debit: Option<IdRule>,
    /// Overrides the account that receives.
    pub credit: Option<IdRule>,
}

/// A column's name, or its number from 1 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnRef {
    /// By the header.
    Name(String),
    /// By place.
    Number(usize),
}

impl fmt::Display for ColumnRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Number(number) => write!(f, "number {number}"),
        }
    }
}

/// `{ column = "x" }`.
#[derive(Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The column.
    pub column: ColumnRef,
}

/// A constant, or the text of a column.
#[derive(Debug, Clone)]
pub enum Text {
    /// The same for every row.
    Constant(String),
    /// Each row's own.
    Column(ColumnRef),
}

/// One value or a list of them.
#[derive(Debug, Clone)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for ColumnRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = ColumnRef;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a column's name, or its number from 1 on")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<ColumnRef, E> {
                Ok(ColumnRef::Name(name.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ColumnRef, E> {
                match usize::try_from(number) {
                    Ok(number) if number > 0 => Ok(ColumnRef::Number(number)),
                    _ => Err(E::custom("columns have numbers from 1 on")),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text, or a column as in { column = \"name\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text::Constant(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text::Constant(number.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
                let column = Column::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Text::Column(column.column))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = seq.next_element()? {
                    all.push(text);
                }
                Ok(OneOrMany(all))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Reads a mapping from `text` (called `name` in errors) with `settings`, pairs such as
/// `transfers.amount.column` and `value`, laid over it.
pub fn read(
    name: &str,
    text: &str,
    settings: &[(String, toml::Value)],
) -> Result<Mapping, Failure> {
    let wrong = |e: toml::de::Error| Failure::usage(format!("{name}: {}", explain(&e)));
    if settings.is_empty() {
        return toml::from_str(text).map_err(wrong);
    }
    let mut table: toml::Table = toml::from_str(text).map_err(wrong)?;
    for (path, value) in settings {
        set(&mut table, path, value.clone())?;
    }
    Mapping::deserialize(table).map_err(wrong)
}

/// Reads `path=value`: the value is TOML where it is (`true`, `3`, `"text"`, `{ … }`), else a
/// plain text. Numbers with a point are texts: amounts never become floats.
pub fn setting(text: &str) -> Result<(String, toml::Value), String> {
    let (path, value) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` lacks a `=`; write it as transfers.amount.column=value")
    })?;
    let parsed: Option<toml::Table> = toml::from_str(&format!("v = {value}")).ok();
    let parsed = parsed.and_then(|mut t| t.remove("v"));
    let parsed = parsed.filter(|v| !v.is_float() && !v.is_datetime());
    let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    Ok((path.trim().to_owned(), value))
}

/// Sets one value in a table, making the tables on the way.
fn set(table: &mut toml::Table, path: &str, value: toml::Value) -> Result<(), Failure> {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => {
            let inner =
                table.entry(first).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            match inner {
                toml::Value::Table(inner) => set(inner, rest, value),
                _ => Err(Failure::usage(format!(
                    "`{first}` in the mapping is one value; nothing below it can be set"
                ))),
            }
        }
    }
}

/// The error's text, with the nearest known key where a key is unknown.
fn explain(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let text = text.trim_end();
    let message = error.message();
    let mut names = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown field"), names.next()) {
        (true, Some(unknown)) => {
            let nearest = names.min_by_key(|known| distance(unknown, known));
            match nearest.filter(|known| distance(unknown, known) <= unknown.len().div_ceil(2)) {
                Some(known) => format!("{text}\nDid you mean `{known}`?"),
                None => text.to_owned(),
            }
        }
        _ => text.to_owned(),
    }
}

/// How many letters have to change between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
