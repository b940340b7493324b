//! The one place that turns a snapshot's parts into bytes and back. A stored fixture holds the
//! format: see `persistence/tests/snapshot_format.rs`.
//!
//! Numbers are little-endian or variable-length integers of seven bits a byte. Of an account:
//!
//! ```text
//! id (16) · currency (varint) · flags (1): status in two bits, external, its third bit, floor, ceiling
//! posted (zigzag varint) · overdraft limit · opened LSN · last LSN (varints)
//! floor · ceiling (zigzag varints, where flagged)
//! ```
//!
//! Of a piece of ids: the generation (1), the number of runs, each run's first LSN and count,
//! then the ids, 16 bytes each. Decoding takes any bytes: what was never encoded is an error,
//! and memory is taken only for what is there.

use super::{Age, Asset, End, Head, IdsHead, IdsPiece, Run, Unsound};
use crate::account::{Account, Durable};
use crate::codec::{unzigzag, zigzag};
use crate::ids::{AccountId, Lsn, TransferId};
use crate::ledger::Totals;
use crate::limits::Bounds;
use crate::money::CurrencyId;
use crate::transfer::{AccountSpec, AccountStatus};
use crate::varint as decode;
use std::collections::BTreeMap;
use thiserror::Error;
use unsigned_varint::encode as varint;

/// Most bytes that one account takes.
pub const ACCOUNT_BYTES_MAX: usize = 16 + 3 + 1 + 19 + 14 + 10 + 10 + 19 + 19;

/// Bytes that are not what was encoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The bytes end within a value.
    #[error("they end within a value (at byte {0})")]
    CutOff(usize),
    /// A number is not one, or too large.
    #[error("a number at byte {0} cannot be decoded")]
    Number(usize),
    /// A field has a value that is never written.
    #[error("{what} at byte {at} has an impossible value")]
    Field {
        /// Which field.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// More follows than belongs there.
    #[error("{0} bytes follow that belong to nothing")]
    Trailing(usize),
    /// What was decoded cannot be.
    #[error(transparent)]
    Unsound(#[from] Unsound),
}

pub(super) struct Bytes<'b> {
    all: &'b [u8],
    rest: &'b [u8],
}

impl<'b> Bytes<'b> {
    pub(super) fn new(all: &'b [u8]) -> Self {
        Self { all, rest: all }
    }

    fn at(&self) -> usize {
        self.all.len() - self.rest.len()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, behind) =
            self.rest.split_first_chunk().ok_or(Malformed::CutOff(self.all.len()))?;
        self.rest = behind;
        Ok(*bytes)
    }

    pub(super) fn slice(&mut self, len: usize) -> Result<&'b [u8], Malformed> {
        let (bytes, behind) =
            self.rest.split_at_checked(len).ok_or(Malformed::CutOff(self.all.len()))?;
        self.rest = behind;
        Ok(bytes)
    }

    pub(super) fn number<T>(
        &mut self,
        decode: impl FnOnce(&'b [u8]) -> Result<(T, &'b [u8]), decode::Error>,
    ) -> Result<T, Malformed> {
        let at = self.at();
        let (value, behind) = decode(self.rest).map_err(|_| Malformed::Number(at))?;
        self.rest = behind;
        Ok(value)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.number(decode::u64)
    }

    pub(super) fn lsn(&mut self) -> Result<Lsn, Malformed> {
        self.u64().map(Lsn)
    }

    pub(super) fn field<T>(&self, what: &'static str, value: Option<T>) -> Result<T, Malformed> {
        value.ok_or(Malformed::Field { what, at: self.at() })
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing(self.rest.len())) }
    }
}

/// Appends a number, seven bits a byte. Most fit 64 bits, where the arithmetic is cheap.
pub(super) fn put(value: u128, out: &mut Vec<u8>) {
    match u64::try_from(value) {
        Ok(value) => out.extend_from_slice(varint::u64(value, &mut varint::u64_buffer())),
        Err(_) => out.extend_from_slice(varint::u128(value, &mut varint::u128_buffer())),
    }
}

/// Appends an account.
pub fn put_account(account: &Account, out: &mut Vec<u8>) {
    let Durable { spec, status, posted, bounds, opened_lsn, last_lsn } = account.durable();
    out.extend_from_slice(&spec.id.get().to_le_bytes());
    put(u128::from(spec.currency.0), out);
    let status = status.number();
    let bounded = u8::from(bounds.floor.is_some()) << 4 | u8::from(bounds.ceiling.is_some()) << 5;
    out.push(status & 3 | u8::from(spec.external) << 2 | (status & 4) << 1 | bounded);
    put(zigzag(posted), out);
    put(spec.overdraft_limit, out);
    put(u128::from(opened_lsn.0), out);
    put(u128::from(last_lsn.0), out);
    for bound in [bounds.floor, bounds.ceiling].into_iter().flatten() {
        put(zigzag(bound), out);
    }
}

/// Reads accounts to the last byte, the first of which has slot `first`.
///
/// # Errors
/// [`Malformed`].
pub fn take_accounts(bytes: &[u8], first: u64) -> Result<Vec<Account>, Malformed> {
    let mut bytes = Bytes::new(bytes);
    // No account is shorter than 22 bytes.
    let mut accounts = Vec::with_capacity(bytes.all.len() / 22);
    while !bytes.rest.is_empty() {
        let durable = take_account(&mut bytes)?;
        let slot = first + accounts.len() as u64;
        let account = Account::restore(&durable);
        accounts.push(account.map_err(|what| Unsound::Account { slot, what })?);
    }
    Ok(accounts)
}

fn take_account(bytes: &mut Bytes<'_>) -> Result<Durable, Malformed> {
    let id = u128::from_le_bytes(bytes.array()?);
    let id = bytes.field("an account's id", AccountId::new(id).ok())?;
    let currency = CurrencyId(bytes.number(decode::u16)?);
    let [flags] = bytes.array()?;
    let status = AccountStatus::from_number(flags & 3 | flags >> 1 & 4);
    let status = bytes.field("an account's status", status.filter(|_| flags < 64))?;
    let posted = unzigzag(bytes.number(decode::u128)?);
    let overdraft_limit = bytes.number(decode::u128)?;
    let external = flags & 4 != 0;
    let (opened_lsn, last_lsn) = (bytes.lsn()?, bytes.lsn()?);
    let mut bound = |flag: u8| {
        let there = flags & flag != 0;
        there.then(|| bytes.number(decode::u128).map(unzigzag)).transpose()
    };
    let bounds = Bounds { floor: bound(16)?, ceiling: bound(32)? };
    let spec = AccountSpec { id, currency, overdraft_limit, external };
    Ok(Durable { spec, status, posted, bounds, opened_lsn, last_lsn })
}

/// Appends a piece of ids.
pub fn put_ids(piece: &IdsPiece, out: &mut Vec<u8>) {
    out.push(match piece.age {
        Age::Old => 0,
        Age::Young => 1,
    });
    put(piece.runs.len() as u128, out);
    for run in &piece.runs {
        put(u128::from(run.first.0), out);
        put(u128::from(run.count), out);
    }
    for id in &piece.ids {
        out.extend_from_slice(&id.get().to_le_bytes());
    }
}

/// Reads a piece of ids that fills the bytes.
///
/// # Errors
/// [`Malformed`].
pub fn take_ids(bytes: &[u8]) -> Result<IdsPiece, Malformed> {
    let mut bytes = Bytes::new(bytes);
    let [age] = bytes.array()?;
    let age = match age {
        0 => Some(Age::Old),
        1 => Some(Age::Young),
        _ => None,
    };
    let age = bytes.field("the generation of ids", age)?;
    let count = bytes.u64()?;
    // Each run takes two bytes here and its ids behind.
    let most = bytes.rest.len() as u64 / 18;
    let count = bytes.field("the number of runs", Some(count).filter(|count| *count <= most))?;
    let mut runs = Vec::with_capacity(count as usize);
    for _ in 0..count {
        runs.push(Run { first: bytes.lsn()?, count: bytes.number(decode::u32)? });
    }
    let (ids, odd) = bytes.rest.as_chunks::<16>();
    if !odd.is_empty() {
        return Err(Malformed::Trailing(odd.len()));
    }
    let id = |id: &[u8; 16]| TransferId::new(u128::from_le_bytes(*id)).ok();
    let ids: Option<Vec<TransferId>> = ids.iter().map(id).collect();
    Ok(IdsPiece { age, runs, ids: bytes.field("a transfer's id", ids)? })
}

/// Appends a head.
pub fn put_head(head: &Head, out: &mut Vec<u8>) {
    let IdsHead { remember_ns, young_age_ns, newest_ns, old, young } = head.ids;
    let moment = [head.lsn.0, head.time_ns, head.accounts];
    for number in moment.into_iter().chain([remember_ns, young_age_ns, old, young]) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(u8::from(newest_ns.is_some()));
    out.extend_from_slice(&newest_ns.unwrap_or(0).to_le_bytes());
    put(head.assets.len() as u128, out);
    for asset in &head.assets {
        let len = u8::try_from(asset.code.len()).expect("codes have twelve letters at most");
        out.extend_from_slice(&[asset.digits, len]);
        out.extend_from_slice(asset.code.as_bytes());
    }
}

/// Reads a head that fills the bytes.
///
/// # Errors
/// [`Malformed`].
pub fn take_head(bytes: &[u8]) -> Result<Head, Malformed> {
    let mut bytes = Bytes::new(bytes);
    let mut word = || bytes.array().map(u64::from_le_bytes);
    let (lsn, time_ns, accounts) = (Lsn(word()?), word()?, word()?);
    let (remember_ns, young_age_ns, old, young) = (word()?, word()?, word()?, word()?);
    let [has_newest] = bytes.array()?;
    let newest_ns = match (has_newest, u64::from_le_bytes(bytes.array()?)) {
        (0, 0) => Some(None),
        (1, newest) => Some(Some(newest)),
        _ => None,
    };
    let newest_ns = bytes.field("the time of the newest id", newest_ns)?;
    let count = bytes.u64()?;
    let most = bytes.rest.len() as u64 / 4;
    let count = bytes.field("the number of assets", Some(count).filter(|count| *count <= most))?;
    let mut assets = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let [digits, len] = bytes.array()?;
        let code = str::from_utf8(bytes.slice(usize::from(len))?).ok();
        assets.push(Asset { code: bytes.field("an asset's code", code)?.to_owned(), digits });
    }
    bytes.end()?;
    let ids = IdsHead { remember_ns, young_age_ns, newest_ns, old, young };
    Ok(Head { lsn, time_ns, accounts, ids, assets })
}

/// Appends an end.
pub fn put_end(end: &End, out: &mut Vec<u8>) {
    put(end.totals.len() as u128, out);
    for (currency, totals) in &end.totals {
        out.extend_from_slice(&currency.0.to_le_bytes());
        out.extend_from_slice(&totals.internal.to_le_bytes());
        out.extend_from_slice(&totals.external.to_le_bytes());
    }
    out.extend_from_slice(&end.state_hash);
}

/// Reads an end that fills the bytes.
///
/// # Errors
/// [`Malformed`].
pub fn take_end(bytes: &[u8]) -> Result<End, Malformed> {
    let mut bytes = Bytes::new(bytes);
    let count = bytes.u64()?;
    let mut totals = BTreeMap::new();
    let mut last = None;
    for _ in 0..count {
        let currency = CurrencyId(u16::from_le_bytes(bytes.array()?));
        bytes.field("a currency", (Some(currency) > last).then_some(()))?;
        last = Some(currency);
        let internal = i128::from_le_bytes(bytes.array()?);
        let external = i128::from_le_bytes(bytes.array()?);
        totals.insert(currency, Totals { internal, external });
    }
    let state_hash = bytes.array()?;
    bytes.end()?;
    Ok(End { totals, state_hash })
}
