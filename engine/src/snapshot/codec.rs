//! The one place that turns a snapshot's parts into bytes and back. A stored fixture holds the
//! format: see `persistence/tests/snapshot_format.rs`.
//!
//! Numbers are little-endian or variable-length integers of seven bits a byte. Of an account:
//!
//! ```text
//! id (16) · currency (varint) · flags (1): status in two bits, external, on hold, status's third
//!   bit, floor, ceiling, changed
//! posted (zigzag varint) · overdraft limit · opened LSN · last LSN (varints)
//! on hold (varint) · floor · ceiling (zigzag varints) · LSN of the last change that is no entry
//!   (varint), each where flagged
//! ```
//!
//! Of a refunded transfer: its event's LSN, what it moved, what was given back, the last refund's LSN
//! (varints), whether it was reversed (1). Of an open hold: the id (16), debit and credit slot, amount, remaining, tolerance (from bit
//! 96 on the number of its kind where its accounts do not tell), expiry and the LSN of its placing (varints). Of a piece of ids: the generation and whether holds were
//! closed (1), the number of runs, each run's first LSN and count, for closed holds their number
//! and for each its place among the ids and how it ended, then the ids, 16 bytes each.
//!
//! Where there are no holds the bytes are those of version 1 of the format, which knew none, and
//! where no account changed but by entries, those of version 2. Decoding takes any bytes: what was never encoded is an error,
//! and memory is taken only for what is there.

use super::{Age, Asset, End, Head, IdsHead, IdsPiece, RefundsPiece, Run, Unsound};
use crate::account::{Account, Durable};
use crate::codec::{fees_bytes, fees_of, unzigzag, zigzag};
use crate::fees::Fees;
use crate::holds::{Closed, Hold};
use crate::ids::{AccountId, Lsn, Slot, TransferId};
use crate::ledger::Totals;
use crate::limits::Bounds;
use crate::money::CurrencyId;
use crate::refunds::RefundState;
use crate::transfer::{AccountSpec, AccountStatus, TransferKind};
use crate::varint as decode;
use std::collections::BTreeMap;
use thiserror::Error;
use unsigned_varint::encode as varint;

/// Most bytes that one account takes.
pub const ACCOUNT_BYTES_MAX: usize = 16 + 3 + 1 + 19 + 14 + 10 + 10 + 19 + 19 + 19 + 10;

/// Most bytes that one open hold takes.
pub const HOLD_BYTES_MAX: usize = 16 + 2 * 5 + 3 * 14 + 1 + 10 + 10;

/// Most bytes that one refunded transfer takes.
pub const REFUND_BYTES_MAX: usize = 2 * 10 + 2 * 14 + 1;

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
    let Durable { spec, status, posted, on_hold, bounds, opened_lsn, last_lsn, changed_lsn } =
        account.durable();
    out.extend_from_slice(&spec.id.get().to_le_bytes());
    put(u128::from(spec.currency.0), out);
    let status = status.number();
    let flags = status & 3 | u8::from(spec.external) << 2 | u8::from(on_hold > 0) << 3;
    let bounded = u8::from(bounds.floor.is_some()) << 5 | u8::from(bounds.ceiling.is_some()) << 6;
    let changed = u8::from(changed_lsn != Lsn::ZERO) << 7;
    out.push(flags | (status & 4) << 2 | bounded | changed);
    put(zigzag(posted), out);
    put(spec.overdraft_limit, out);
    put(u128::from(opened_lsn.0), out);
    put(u128::from(last_lsn.0), out);
    if on_hold > 0 {
        put(on_hold, out);
    }
    for bound in [bounds.floor, bounds.ceiling].into_iter().flatten() {
        put(zigzag(bound), out);
    }
    if changed_lsn != Lsn::ZERO {
        put(u128::from(changed_lsn.0), out);
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
    let status = AccountStatus::from_number(flags & 3 | flags >> 2 & 4);
    let status = bytes.field("an account's status", status)?;
    let posted = unzigzag(bytes.number(decode::u128)?);
    let overdraft_limit = bytes.number(decode::u128)?;
    let external = flags & 4 != 0;
    let (opened_lsn, last_lsn) = (bytes.lsn()?, bytes.lsn()?);
    let on_hold = if flags & 8 == 0 { 0 } else { bytes.number(decode::u128)? };
    bytes.field("what is on hold", (on_hold > 0 || flags & 8 == 0).then_some(()))?;
    let mut bound = |flag: u8| {
        let there = flags & flag != 0;
        there.then(|| bytes.number(decode::u128).map(unzigzag)).transpose()
    };
    let bounds = Bounds { floor: bound(32)?, ceiling: bound(64)? };
    let changed_lsn = if flags & 128 == 0 { Lsn::ZERO } else { bytes.lsn()? };
    let there = changed_lsn != Lsn::ZERO || flags & 128 == 0;
    bytes.field("the last change", there.then_some(()))?;
    let spec = AccountSpec { id, currency, overdraft_limit, external };
    Ok(Durable { spec, status, posted, on_hold, bounds, opened_lsn, last_lsn, changed_lsn })
}

/// The bit above all amounts, from which a hold's kind stands in its tolerance's number: one whose
/// kind follows from its accounts has the bytes it always had.
const KIND_BIT: u32 = 96;

fn kind_above_tolerance(kind: Option<TransferKind>) -> u128 {
    kind.map_or(0, |kind| u128::from(kind.number()) << KIND_BIT)
}

/// The kind and the tolerance; no kind for a number that is none, or that is never said.
fn take_kind(number: u128) -> (Option<Option<TransferKind>>, u128) {
    let tolerance = number & ((1 << KIND_BIT) - 1);
    let kind = match number >> KIND_BIT {
        0 => Some(None),
        said => {
            let kind = u8::try_from(said).ok().and_then(TransferKind::from_number);
            kind.and_then(TransferKind::unless_it_follows).map(Some)
        }
    };
    (kind, tolerance)
}

/// Appends an open hold.
pub fn put_hold(hold: &Hold, out: &mut Vec<u8>) {
    out.extend_from_slice(&hold.id.get().to_le_bytes());
    put(u128::from(hold.debit.0), out);
    put(u128::from(hold.credit.0), out);
    put(hold.amount, out);
    put(hold.remaining, out);
    put(hold.over_capture_max | kind_above_tolerance(hold.kind), out);
    put(u128::from(hold.expires_ns), out);
    put(u128::from(hold.placed_lsn.0), out);
}

/// Reads open holds to the last byte. Their currency is that of their accounts, and is not
/// among the bytes: `currency` says it, or that there is no such account.
///
/// # Errors
/// [`Malformed`].
pub fn take_holds(
    bytes: &[u8],
    currency: impl Fn(Slot) -> Option<CurrencyId>,
) -> Result<Vec<Hold>, Malformed> {
    let mut bytes = Bytes::new(bytes);
    // No hold is shorter than 23 bytes.
    let mut holds = Vec::with_capacity(bytes.all.len() / 23);
    while !bytes.rest.is_empty() {
        let id = u128::from_le_bytes(bytes.array()?);
        let id = bytes.field("a hold's id", TransferId::new(id).ok())?;
        let debit = Slot(bytes.number(decode::u32)?);
        let credit = Slot(bytes.number(decode::u32)?);
        let mut amount = || bytes.number(decode::u128);
        let (amount, remaining, over_capture_max) = (amount()?, amount()?, amount()?);
        let (expires_ns, placed_lsn) = (bytes.u64()?, bytes.lsn()?);
        let (kind, over_capture_max) = take_kind(over_capture_max);
        let kind = bytes.field("what a hold is for", kind)?;
        let wrong = |what| Unsound::Hold { id, what };
        let currency = currency(debit).ok_or_else(|| wrong("no account pays for it"))?;
        holds.push(Hold {
            id,
            amount,
            remaining,
            over_capture_max,
            expires_ns,
            placed_lsn,
            debit,
            credit,
            currency,
            kind,
        });
    }
    Ok(holds)
}

/// Appends refunded transfers.
pub fn put_refunds(piece: &RefundsPiece, out: &mut Vec<u8>) {
    for (lsn, state) in piece {
        let RefundState { moved, refunded, last_lsn, reversed } = *state;
        put(u128::from(lsn.0), out);
        put(moved, out);
        put(refunded, out);
        put(u128::from(last_lsn.0), out);
        out.push(u8::from(reversed));
    }
}

/// Reads refunded transfers to the last byte.
///
/// # Errors
/// [`Malformed`].
pub fn take_refunds(bytes: &[u8]) -> Result<RefundsPiece, Malformed> {
    let mut bytes = Bytes::new(bytes);
    // No entry is shorter than 5 bytes.
    let mut piece = Vec::with_capacity(bytes.all.len() / 5);
    while !bytes.rest.is_empty() {
        let lsn = bytes.lsn()?;
        let (moved, refunded) = (bytes.number(decode::u128)?, bytes.number(decode::u128)?);
        let last_lsn = bytes.lsn()?;
        let [flag] = bytes.array()?;
        let reversed = bytes.field("whether it was reversed", (flag < 2).then_some(flag == 1))?;
        piece.push((lsn, RefundState { moved, refunded, last_lsn, reversed }));
    }
    Ok(piece)
}

/// Appends a piece of ids.
pub fn put_ids(piece: &IdsPiece, out: &mut Vec<u8>) {
    let age = match piece.age {
        Age::Old => 0,
        Age::Young => 1,
    };
    out.push(age | u8::from(!piece.closed.is_empty()) << 1);
    put(piece.runs.len() as u128, out);
    for run in &piece.runs {
        put(u128::from(run.first.0), out);
        put(u128::from(run.count), out);
    }
    if !piece.closed.is_empty() {
        put(piece.closed.len() as u128, out);
        for (at, closed) in &piece.closed {
            put(u128::from(*at), out);
            out.push(closed.number());
        }
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
    let [flags] = bytes.array()?;
    let age = match flags & !2 {
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
    let closed = if flags & 2 == 0 { Vec::new() } else { take_closed(&mut bytes)? };
    let (ids, odd) = bytes.rest.as_chunks::<16>();
    if !odd.is_empty() {
        return Err(Malformed::Trailing(odd.len()));
    }
    let id = |id: &[u8; 16]| TransferId::new(u128::from_le_bytes(*id)).ok();
    let ids: Option<Vec<TransferId>> = ids.iter().map(id).collect();
    let ids = bytes.field("a transfer's id", ids)?;
    let within = closed.last().is_none_or(|(at, _)| (*at as usize) < ids.len());
    bytes.field("the place of a closed hold", within.then_some(()))?;
    Ok(IdsPiece { age, runs, ids, closed })
}

fn take_closed(bytes: &mut Bytes<'_>) -> Result<Vec<(u32, Closed)>, Malformed> {
    let count = bytes.u64()?;
    // Each takes two bytes here and its id behind.
    let most = bytes.rest.len() as u64 / 18;
    let right = (1..=most).contains(&count);
    let count = bytes.field("the number of closed holds", right.then_some(count))?;
    let mut closed: Vec<(u32, Closed)> = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let at = bytes.number(decode::u32)?;
        let later = closed.last().is_none_or(|(before, _)| *before < at);
        bytes.field("the place of a closed hold", later.then_some(()))?;
        let [number] = bytes.array()?;
        closed.push((at, bytes.field("how a hold ended", Closed::from_number(number))?));
    }
    Ok(closed)
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
    if head.holds > 0 || !head.fees.is_empty() {
        put(u128::from(head.holds), out);
    }
    if !head.fees.is_empty() {
        out.extend_from_slice(&fees_bytes(&head.fees));
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
    let none = bytes.rest.is_empty();
    let holds = if none { 0 } else { bytes.u64()? };
    let more = !bytes.rest.is_empty();
    bytes.field("the number of open holds", (none || holds > 0 || more).then_some(()))?;
    let mut fees = Fees::default();
    if more {
        let read = fees_of(bytes.rest).filter(|fees| !fees.is_empty());
        fees = bytes.field("the schedules of fees", read)?;
    }
    let ids = IdsHead { remember_ns, young_age_ns, newest_ns, old, young };
    Ok(Head { lsn, time_ns, accounts, holds, ids, assets, fees })
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
