//! Receipts as files: everything that proves one event to somebody who has the public key and
//! nothing else. JSON, described in `docs/RECEIPTS.md`.
//!
//! ```text
//! statement ─ hash ─▶ leaf ─ path ─▶ root = that of the checkpoint ◀─ signature ─ public key
//!     └ decoded ─▶ event: the same in words, checked to be the same
//! ```

mod holds;
mod refunds;

pub use refunds::RefundWords;

use ducat_actors::proof::Receipt;
use ducat_engine::ids::ScheduleId;
use ducat_engine::proof::merkle::{self, PATH_MAX};
use ducat_engine::proof::statement::{CurrencyText, Event, FeeDecided, Side, TransferEvent};
use ducat_engine::proof::{Statement, StatementError};
use ducat_engine::transfer::TransferKind;
use ducat_persistence::LedgerId;
use ducat_persistence::witness::checkpoint::{CheckpointError, hex, unhex};
use ducat_persistence::witness::{CheckKey, Checkpoint, SignedCheckpoint};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// No receipt is longer, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 64 * 1024;

const FORMAT: &str = "ducat receipt";
const VERSION: u32 = 1;

/// A receipt as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    ledger_id: String,
    shard: u32,
    lsn: u64,
    event: Words,
    statement: String,
    path: Vec<String>,
    tree_size: u64,
    checkpoint: String,
}

/// An event in words: what the statement says, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// `transfer`, `account-opened`, `status-changed`, `profile-changed`, `limits-changed`,
    /// `asset-defined`, or of a hold: `hold-placed`, `hold-captured`, `hold-voided`,
    /// `hold-extended`, `hold-expired` or `hold-refused`; `refunded` or `refund-refused`; `fee`, of the transfer with
    /// the id, or `fees-changed`.
    pub event: String,
    /// When it was decided: RFC 3339 with nine decimals.
    pub time: String,
    /// The id of the transfer, or of the operation on a hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it was for: `transfer`, `deposit`, `withdrawal`, `payment`, `refund`, `fee`, `adjustment`
    /// or `interest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `POSTED`, or `DONE` for an operation on a hold, or the rule it broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Whether it is linked with the next event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked: Option<bool>,
    /// The amount as a decimal text; minor units where there is no currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// The currency's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Decimal digits of its minor unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// Who paid, or should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debit: Option<SideWords>,
    /// Who received, or should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<SideWords>,
    /// The account opened or changed; of a hold that was placed, the one that will receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its new status: `active`, `frozen`, `closed`, `debits-blocked` or `credits-blocked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Whether the account stands for the world outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<bool>,
    /// How far below zero it may go, as a decimal text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdraft_limit: Option<String>,
    /// Its floor, as a decimal text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// Its ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<String>,
    /// SHA-256 of the profile it was opened with, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_sha256: Option<String>,
    /// SHA-256 of the reason of its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_sha256: Option<String>,
    /// The number of the schedule by which a fee was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<u32>,
    /// SHA-256 of the change of its profile, or of schedules of fees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_sha256: Option<String>,
    /// The hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldWords>,
    /// The original of a refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<RefundWords>,
}

/// A hold in words. Amounts are decimal texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldWords {
    /// Its id.
    pub id: String,
    /// What was refused: `place`, `capture`, `void` or `extend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Nanoseconds until it expires, as asked for; 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ns: Option<u64>,
    /// By how much captures together may exceed its amount, as asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_capture_max: Option<String>,
    /// No amount was named: all that remained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// It was asked to be the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<bool>,
    /// Taken off what is on hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<String>,
    /// Still set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<String>,
    /// By how much captures of the open hold together may exceed its amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_tolerance: Option<String>,
    /// When it expires: RFC 3339 with nine decimals, or `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// One side of a transfer in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideWords {
    /// The account.
    pub account: String,
    /// Its posted balance after the decision; absent where there was no such account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posted: Option<String>,
    /// What it could spend after the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<String>,
}

/// Why a receipt proves nothing.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// It is no receipt of this version.
    #[error("it is no receipt of version {VERSION}: {0}")]
    Malformed(String),
    /// Its statement is none.
    #[error("its statement cannot be read")]
    Statement(#[from] StatementError),
    /// Its checkpoint is none, or not signed by this key.
    #[error("its checkpoint proves nothing")]
    Checkpoint(#[from] CheckpointError),
    /// Two parts of it contradict each other.
    #[error("its {0} is not what its statement and its checkpoint say")]
    Differs(&'static str),
    /// The path does not lead from the statement to the signed root.
    #[error("the statement is not part of what was signed")]
    Path,
}

/// What a receipt proves.
#[derive(Debug, Clone)]
pub struct Proved {
    /// What happened.
    pub statement: Statement,
    /// The same in words.
    pub words: Words,
    /// What was signed.
    pub checkpoint: Checkpoint,
}

/// A receipt's text, to be kept as it is.
///
/// # Errors
/// [`ReceiptError::Statement`] when the receipt's own statement is none.
pub fn to_text(receipt: &Receipt) -> Result<String, ReceiptError> {
    let statement = Statement::decode(&receipt.statement)?;
    let file = File {
        format: FORMAT.to_owned(),
        version: VERSION,
        ledger_id: hex(&statement.whose.ledger),
        shard: statement.whose.shard.0,
        lsn: receipt.lsn.0,
        event: Words::of(&statement),
        statement: hex(&receipt.statement),
        path: receipt.path.iter().map(|hash| hex(hash)).collect(),
        tree_size: receipt.checkpoint.checkpoint.lsn.0,
        checkpoint: receipt.checkpoint.to_text(),
    };
    let text = serde_json::to_string_pretty(&file);
    text.map(|text| text + "\n").map_err(|error| ReceiptError::Malformed(error.to_string()))
}

/// Checks a receipt with nothing but the public key.
///
/// # Errors
/// [`ReceiptError`]; then it proves nothing.
pub fn verify(bytes: &[u8], key: &CheckKey) -> Result<Proved, ReceiptError> {
    let malformed = |what: &str| ReceiptError::Malformed(what.to_owned());
    if bytes.len() > RECEIPT_BYTES_MAX {
        return Err(malformed("it is too long"));
    }
    let file: File =
        serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()))?;
    // Nothing beside what is checked, not even a field that is null.
    let whole: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()))?;
    if serde_json::to_value(&file).ok() != Some(whole) {
        return Err(malformed("a field is written in another way"));
    }
    if file.format != FORMAT || file.version != VERSION {
        return Err(malformed("it says that it is something else"));
    }
    let statement_bytes =
        unhex_all(&file.statement).ok_or(malformed("its statement is not hexadecimal"))?;
    let statement = Statement::decode(&statement_bytes)?;
    let signed = SignedCheckpoint::parse(file.checkpoint.as_bytes())?;
    let checkpoint = &signed.checkpoint;
    let path: Option<Vec<_>> = file.path.iter().map(|hash| unhex::<32>(hash)).collect();
    let path = path.filter(|path| path.len() <= PATH_MAX);
    let path = path.ok_or(malformed("its path is none"))?;
    let whose = statement.whose;
    for (same, what) in [
        (file.ledger_id == hex(&whose.ledger), "ledger_id"),
        (checkpoint.ledger == LedgerId::from_bytes(whose.ledger), "checkpoint's ledger"),
        (file.shard == whose.shard.0 && checkpoint.shard == whose.shard, "shard"),
        (file.lsn == statement.lsn.0, "lsn"),
        (file.tree_size == checkpoint.lsn.0, "tree_size"),
        (file.event == Words::of(&statement), "event"),
    ] {
        if !same {
            return Err(ReceiptError::Differs(what));
        }
    }
    let (index, size) = (file.lsn - 1, file.tree_size);
    let root = merkle::root_from_path(merkle::leaf(&statement_bytes), index, size, &path);
    if root != Some(checkpoint.root) {
        return Err(ReceiptError::Path);
    }
    signed.check(key)?;
    Ok(Proved { statement, words: file.event, checkpoint: signed.checkpoint })
}

fn unhex_all(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair| std::str::from_utf8(pair).ok().and_then(unhex::<1>).map(|[byte]| byte);
    pairs.map(byte).collect()
}

impl Words {
    /// A statement in words.
    #[must_use]
    pub fn of(statement: &Statement) -> Self {
        let words = Self { time: time(statement.time_ns), ..Self::default() };
        match statement.event {
            Event::Transfer(transfer) => words.transfer(&transfer),
            Event::AccountOpened { account, currency, overdraft_limit, external } => Self {
                event: "account-opened".to_owned(),
                account: Some(account.to_string()),
                currency: Some(currency.code().to_owned()),
                digits: Some(currency.digits()),
                overdraft_limit: Some(decimal(false, overdraft_limit, currency.digits())),
                external: Some(external),
                ..words
            },
            Event::StatusChanged { account, status } => Self {
                event: "status-changed".to_owned(),
                account: Some(account.to_string()),
                status: Some(status.name().to_owned()),
                ..words
            },
            Event::LimitsChanged { account, limits } => Self {
                event: "limits-changed".to_owned(),
                account: Some(account.to_string()),
                // The statement does not say what it holds: minor units.
                overdraft_limit: Some(limits.overdraft_limit.to_string()),
                floor: limits.bounds.floor.map(|floor| floor.to_string()),
                ceiling: limits.bounds.ceiling.map(|ceiling| ceiling.to_string()),
                ..words
            },
            Event::OpenedInFull {
                account,
                currency,
                overdraft_limit,
                external,
                bounds,
                profile,
            } => Self {
                event: "account-opened".to_owned(),
                account: Some(account.to_string()),
                currency: Some(currency.code().to_owned()),
                digits: Some(currency.digits()),
                overdraft_limit: Some(decimal(false, overdraft_limit, currency.digits())),
                external: Some(external),
                floor: bounds.floor.map(|floor| signed(floor, currency.digits())),
                ceiling: bounds.ceiling.map(|ceiling| signed(ceiling, currency.digits())),
                profile_sha256: Some(hex(&profile)),
                ..words
            },
            Event::StatusSet { account, status, reason } => Self {
                event: "status-changed".to_owned(),
                account: Some(account.to_string()),
                status: Some(status.name().to_owned()),
                reason_sha256: Some(hex(&reason)),
                ..words
            },
            Event::ProfileChanged { account, change } => Self {
                event: "profile-changed".to_owned(),
                account: Some(account.to_string()),
                change_sha256: Some(hex(&change)),
                ..words
            },
            Event::AssetDefined(currency) => Self {
                event: "asset-defined".to_owned(),
                currency: Some(currency.code().to_owned()),
                digits: Some(currency.digits()),
                ..words
            },
            Event::HoldPlaced(placed) => words.hold_placed(&placed),
            Event::HoldCaptured(captured) => words.hold_captured(&captured),
            Event::HoldVoided(voided) => words.hold_voided(&voided),
            Event::HoldExtended(extended) => words.hold_extended(&extended),
            Event::HoldExpired(expired) => words.hold_expired(&expired),
            Event::HoldRefused(refused) => words.hold_refused(&refused),
            Event::Driven { saga, id, what } => Self {
                event: if saga { "saga" } else { "schedule" }.to_owned(),
                id: id_text(id),
                change_sha256: Some(hex(&what)),
                ..words
            },
            Event::Audited { access } => {
                Self { event: "audit".to_owned(), change_sha256: Some(hex(&access)), ..words }
            }
            Event::Refunded(refunded) => words.refunded(&refunded),
            Event::RefundRefused(refused) => words.refund_refused(&refused),
            Event::FeeDecided(fee) => words.fee_decided(&fee),
            Event::FeesChanged { change } => Self {
                event: "fees-changed".to_owned(),
                change_sha256: Some(hex(&change)),
                ..words
            },
        }
    }

    fn fee_decided(self, fee: &FeeDecided) -> Self {
        let digits = fee.currency.digits();
        Self {
            event: "fee".to_owned(),
            id: Some(fee.of.to_string()),
            outcome: Some(fee.rejection.map_or("POSTED", |rule| rule.code()).to_owned()),
            schedule: Some(fee.schedule),
            amount: Some(decimal(false, fee.amount, digits)),
            currency: Some(fee.currency.code().to_owned()),
            digits: Some(digits),
            debit: Some(side(&fee.debit, digits)),
            credit: Some(side(&fee.credit, digits)),
            ..self
        }
    }

    fn transfer(self, transfer: &TransferEvent) -> Self {
        let digits = transfer.currency.map_or(0, |currency| currency.digits());
        let kind = kind_word(transfer.kind);
        Self {
            event: "transfer".to_owned(),
            id: Some(transfer.id.to_string()),
            kind: Some(kind.to_owned()),
            outcome: Some(transfer.rejection.map_or("POSTED", |rule| rule.code()).to_owned()),
            linked: Some(transfer.linked),
            amount: Some(decimal(false, transfer.amount, digits)),
            currency: transfer.currency.map(|currency| currency.code().to_owned()),
            digits: transfer.currency.as_ref().map(CurrencyText::digits),
            debit: Some(side(&transfer.debit, digits)),
            credit: Some(side(&transfer.credit, digits)),
            ..self
        }
    }
}

const fn kind_word(kind: TransferKind) -> &'static str {
    kind.name()
}

/// The id of a schedule or a saga, written as all ids are.
fn id_text(id: u128) -> Option<String> {
    ScheduleId::new(id).ok().map(|id| id.to_string())
}

fn signed(minor: i128, digits: u8) -> String {
    decimal(minor < 0, minor.unsigned_abs(), digits)
}

fn side(side: &Side, digits: u8) -> SideWords {
    let figure = |minor: i128| signed(minor, digits);
    SideWords {
        account: side.account.to_string(),
        posted: side.after.map(|after| figure(after.posted)),
        available: side.after.map(|after| figure(after.available)),
    }
}

/// Minor units as a decimal text; also beyond what money can be, as a refusal may have it.
fn decimal(negative: bool, minor: u128, digits: u8) -> String {
    let sign = if negative { "-" } else { "" };
    let digits = usize::from(digits);
    let text = format!("{minor:0>width$}", width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    if digits == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// RFC 3339 with nine decimals.
fn time(time_ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time_ns));
    // Every u64 is a time that jiff knows: up to the year 2554.
    time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()).unwrap_or_default()
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod edits;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_times_are_written_in_full() {
        assert_eq!(decimal(true, 5, 2), "-0.05");
        assert_eq!(decimal(false, 1200, 0), "1200");
        assert_eq!(decimal(false, u128::MAX, 18), "340282366920938463463.374607431768211455");
        assert_eq!(time(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(time(1_735_689_600_000_000_001), "2025-01-01T00:00:00.000000001Z");
        assert_eq!(time(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }
}
