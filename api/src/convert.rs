//! Between the wire and the engine: what a client sent becomes the engine's types or a list
//! of violations; what the engine answers becomes messages. Nothing here decides about
//! money, and nothing here rounds.
//!
//! ```text
//! WireRequest ─ transfers (+ operations on holds, refunds, terms) ─▶ engine::Request ─▶ Handle
//! proto::Outcome ◀─ outcomes (+ explain, for refusals) ◀── engine::Outcome, HoldAfter
//! ```
//!
//! The common transfer (`amount_minor`, no currency) converts without an allocation.

pub mod accounts;
pub mod cursor;
pub mod driven;
pub mod events;
pub mod explain;
pub mod explained;
pub mod fees;
pub mod health;
pub mod holds;
mod life;
pub mod limits;
mod notes;
mod operations;
pub mod outcomes;
pub mod past;
pub mod profiles;
pub mod refunds;
pub mod reversals;
pub mod snapshots;
mod terms;
pub mod transfers;
pub mod upkeep;
pub mod watches;

pub use operations::TIMEOUT_MS_MAX;

use crate::proto;
use crate::violation::{Place, Violations};
use ducat_engine::ids::{AccountId, TransferId};
use ducat_engine::money::{AmountError, Currencies, Currency, CurrencyError};

/// Longest text taken for an amount, in bytes; the largest amount has 30.
const AMOUNT_TEXT_BYTES_MAX: usize = 64;

/// Longest currency code, in bytes.
const CURRENCY_BYTES_MAX: usize = 12;

/// Refuses an empty list and one of more than `max` items.
///
/// # Errors
/// One violation, reason `BATCH_SIZE`.
pub fn check_count(list: &'static str, count: usize, max: usize) -> Result<(), Violations> {
    if (1..=max).contains(&count) {
        return Ok(());
    }
    let sentence = format!("{list} holds 1 to {max} items, not {count}");
    Err(Violations::one(list, "BATCH_SIZE", sentence))
}

/// The page size asked for, with 0 standing for `default`.
///
/// # Errors
/// One violation, reason `PAGE_SIZE`.
pub fn page_size(asked: u32, default: usize, max: usize) -> Result<usize, Violations> {
    match usize::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) if size <= max => Ok(size),
        _ => {
            let sentence = format!("a page holds at most {max} items, not {asked}");
            Err(Violations::one("page_size", "PAGE_SIZE", sentence))
        }
    }
}

/// The account ids of a list of 1 to `max`.
///
/// # Errors
/// Violations `BATCH_SIZE` and `ACCOUNT_ID_ZERO`.
pub fn account_ids(ids: &[proto::Id], max: usize) -> Result<Vec<AccountId>, Violations> {
    wide_ids(ids, max, "ACCOUNT_ID_ZERO", |id| AccountId::from_halves(id.id_high, id.id).ok())
}

/// The transfer ids of a list of 1 to `max`.
///
/// # Errors
/// Violations `BATCH_SIZE` and `TRANSFER_ID_ZERO`.
pub fn transfer_ids(ids: &[proto::Id], max: usize) -> Result<Vec<TransferId>, Violations> {
    wide_ids(ids, max, "TRANSFER_ID_ZERO", |id| TransferId::from_halves(id.id_high, id.id).ok())
}

fn wide_ids<T>(
    ids: &[proto::Id],
    max: usize,
    reason: &'static str,
    convert: impl Fn(&proto::Id) -> Option<T>,
) -> Result<Vec<T>, Violations> {
    check_count("ids", ids.len(), max)?;
    let mut violations = Violations::default();
    let mut converted = Vec::with_capacity(ids.len());
    for (index, id) in ids.iter().enumerate() {
        match convert(id) {
            Some(id) => converted.push(id),
            None => violations.add(Place::Item { list: "ids", index }, "id", reason, zero_id),
        }
    }
    violations.into_result(converted)
}

/// An account id given as two halves in the request itself.
///
/// # Errors
/// One violation, reason `ACCOUNT_ID_ZERO`.
pub fn account_id(high: u64, low: u64) -> Result<AccountId, Violations> {
    AccountId::from_halves(high, low)
        .map_err(|_| Violations::one("id", "ACCOUNT_ID_ZERO", zero_id()))
}

/// A transfer's id given as two halves in the request itself.
///
/// # Errors
/// One violation, reason `TRANSFER_ID_ZERO`.
pub fn transfer_id(high: u64, low: u64) -> Result<TransferId, Violations> {
    TransferId::from_halves(high, low)
        .map_err(|_| Violations::one("id", "TRANSFER_ID_ZERO", zero_id()))
}

fn zero_id() -> String {
    "an id of 0 is reserved and names nothing".to_owned()
}

impl From<AccountId> for proto::Id {
    fn from(id: AccountId) -> Self {
        Self { id: id.low(), id_high: id.high() }
    }
}

impl From<TransferId> for proto::Id {
    fn from(id: TransferId) -> Self {
        Self { id: id.low(), id_high: id.high() }
    }
}

/// Reads currencies and amounts, remembering the last currency: a batch rarely names two.
struct MoneyReader<'a> {
    currencies: &'a Currencies,
    last: Option<Currency>,
}

impl<'a> MoneyReader<'a> {
    const fn new(currencies: &'a Currencies) -> Self {
        Self { currencies, last: None }
    }

    /// The currency of this code, or its violation.
    fn currency(
        &mut self,
        code: &str,
        place: Place,
        violations: &mut Violations,
    ) -> Option<&Currency> {
        if self.last.as_ref().is_none_or(|last| last.code != code) {
            if code.len() > CURRENCY_BYTES_MAX {
                violations.add(place, "currency", "CURRENCY_UNKNOWN", || {
                    format!("a currency code has at most {CURRENCY_BYTES_MAX} characters")
                });
                return None;
            }
            match self.currencies.by_code(code) {
                Ok(currency) => self.last = Some(currency),
                Err(error) => {
                    let reason = match error {
                        CurrencyError::NoMinorUnit(_) => "CURRENCY_WITHOUT_MINOR_UNIT",
                        _ => "CURRENCY_UNKNOWN",
                    };
                    violations.add(place, "currency", reason, || error.to_string());
                    return None;
                }
            }
        }
        self.last.as_ref()
    }
}

/// Refuses a code that no asset can have before it is repeated in an answer.
///
/// # Errors
/// One violation, reason `ASSET_CODE_MALFORMED`.
pub fn check_asset_code(code: &str) -> Result<(), Violations> {
    if code.len() <= CURRENCY_BYTES_MAX {
        return Ok(());
    }
    let sentence =
        format!("an asset code has at most {CURRENCY_BYTES_MAX} characters, not {}", code.len());
    Err(Violations::one("code", "ASSET_CODE_MALFORMED", sentence))
}

/// The minor units that a decimal text stands for, or its violation under `field`.
fn amount_text(
    text: &str,
    currency: &Currency,
    place: Place,
    field: &str,
    violations: &mut Violations,
) -> Option<u128> {
    if text.len() > AMOUNT_TEXT_BYTES_MAX {
        violations.add(place, field, "AMOUNT_MALFORMED", || {
            format!("an amount has at most {AMOUNT_TEXT_BYTES_MAX} characters, not {}", text.len())
        });
        return None;
    }
    match ducat_engine::money::parse_amount(text, currency) {
        Ok(amount) => Some(amount),
        Err(error) => {
            let (reason, sentence) = no_amount(&error);
            violations.add(place, field, reason, || sentence);
            None
        }
    }
}

/// The reason and the sentence for a text that is no amount. It is not repeated: what somebody puts into
/// the wrong field may be the number of a card, and callers log what they are answered.
fn no_amount(error: &AmountError) -> (&'static str, String) {
    match error {
        AmountError::Malformed(_) => {
            ("AMOUNT_MALFORMED", "this is not a decimal number like 12.34".to_owned())
        }
        AmountError::Negative(_) => ("AMOUNT_NEGATIVE", "it is negative".to_owned()),
        AmountError::TooManyDecimals { code, digits, .. } => (
            "AMOUNT_TOO_MANY_DECIMALS",
            format!("it has more decimals than the {digits} of {code}"),
        ),
        AmountError::TooLarge(_) => {
            ("AMOUNT_TOO_LARGE", "it is larger than any amount can be".to_owned())
        }
    }
}
