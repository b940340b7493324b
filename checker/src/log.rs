//! How calls become bytes and back: numbers of seven bits a byte, ids and places relative to
//! the one before. Each call is decoded by itself.

mod around;
mod holds;

use crate::history::{
    ACCOUNTS, CHANGED, Call, ENTRIES, HOLDS, KINDS, OPENED, STATUSES, STORED, Seen, SeenEntry,
    SeenMore, Span, TOTALS, TRANSFERS, Told, UNANSWERED,
};
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::rejection::Rejection;
use ducat_engine::request::{CaptureRequest, ExtendRequest, HoldRequest, Request, VoidRequest};
use ducat_engine::transfer::{AccountSpec, BalanceAfter, TransferKind, TransferRequest};
use unsigned_varint::{decode, encode};

// The flags of a reply; the rule's number stands behind them where it was refused.
const REPEAT: u8 = 1;
const HAS_DEBIT: u8 = 2;
const HAS_CREDIT: u8 = 4;
const REFUSED: u8 = 8;
const HAS_HOLD: u8 = 16;
const HAS_BESIDE: u8 = 32;

const LINKED: u8 = 1;
const KIND_SHIFT: u8 = 1;
const NAMED: u8 = 8;
/// The reply speaks of another id than the request.
const OTHER_ID: u8 = 16;
/// From this bit on: which operation is asked for.
const OPERATION_SHIFT: u8 = 5;
const HOLD: u8 = 1;
const CAPTURE: u8 = 2;
const VOID: u8 = 3;
const EXTEND: u8 = 4;
const REFUND: u8 = 5;
/// Terms, a note or a rarer kind, and behind them the request.
const AROUND: u8 = 6;

/// Whether the two bits of a transfer have no room for its kind.
fn is_rare(kind: TransferKind) -> bool {
    !KINDS.contains(&kind)
}

/// Bytes being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Out(pub Vec<u8>);

/// What numbers of a call are relative to.
#[derive(Clone, Copy, Default)]
struct Before {
    id: u128,
    account: u128,
    lsn: u64,
    time_ns: u64,
}

impl Out {
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    #[inline]
    pub fn number(&mut self, value: u128) {
        match u64::try_from(value) {
            Ok(value) => self.0.extend_from_slice(encode::u64(value, &mut encode::u64_buffer())),
            Err(_) => self.0.extend_from_slice(encode::u128(value, &mut encode::u128_buffer())),
        }
    }

    #[inline]
    pub fn signed(&mut self, value: i128) {
        self.number(((value << 1) ^ (value >> 127)).cast_unsigned());
    }

    /// A number that is near the one before it.
    #[inline]
    fn near(&mut self, value: u128, before: &mut u128) {
        self.signed(value.wrapping_sub(*before).cast_signed());
        *before = value;
    }

    #[inline]
    fn near_u64(&mut self, value: u64, before: &mut u64) {
        self.signed(i128::from(value) - i128::from(*before));
        *before = value;
    }

    pub fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        self.number(items.len() as u128);
        items.for_each(|item| each(self, item));
    }

    pub fn requests<R: Into<Request>>(&mut self, requests: impl ExactSizeIterator<Item = R>) {
        let mut before = Before::default();
        self.list(requests, |out, request| out.request(&request.into(), 0, &mut before));
    }

    pub fn items<R: Into<Request>>(&mut self, items: impl ExactSizeIterator<Item = (R, Told)>) {
        let mut before = Before::default();
        self.list(items, |out, (request, told)| {
            let request = request.into();
            let other = if told.id == request.id() { 0 } else { OTHER_ID };
            out.request(&request, other, &mut before);
            out.told(&told, other != 0, &mut before);
        });
    }

    #[inline]
    fn request(&mut self, request: &Request, flags: u8, before: &mut Before) {
        let operation = match request {
            Request::Transfer(transfer) if is_rare(transfer.kind) => {
                return self.around(request, flags, before);
            }
            Request::Transfer(transfer) => return self.transfer(transfer, flags, before),
            Request::Hold(hold) if is_rare(hold.kind) => {
                return self.around(request, flags, before);
            }
            Request::Hold(hold) => {
                self.transfer(&hold.transfer(), flags | (HOLD << OPERATION_SHIFT), before);
                self.number(hold.timeout_ns.into());
                return self.number(hold.over_capture_max);
            }
            Request::Capture(_) => CAPTURE,
            Request::Void(_) => VOID,
            Request::Extend(_) => EXTEND,
            Request::Refund(refund) => return self.refund(refund, flags, before),
            Request::Termed(_) | Request::Noted(_) => return self.around(request, flags, before),
        };
        let linked = if request.linked() { LINKED } else { 0 };
        self.byte(linked | flags | (operation << OPERATION_SHIFT));
        self.near(request.id().get(), &mut before.id);
        self.number(request.hold().expect("it speaks of one").get());
        match request {
            Request::Capture(capture) => {
                let has = |is: bool, bit: u8| if is { bit } else { 0 };
                let (amount, currency) = (capture.amount, capture.currency);
                let last = has(capture.last, 4);
                self.byte(has(amount.is_some(), 1) | has(currency.is_some(), 2) | last);
                amount.into_iter().for_each(|amount| self.number(amount));
                currency.into_iter().for_each(|currency| self.number(currency.0.into()));
            }
            Request::Extend(extend) => self.number(extend.timeout_ns.into()),
            _ => {}
        }
    }

    #[inline]
    fn transfer(&mut self, request: &TransferRequest, flags: u8, before: &mut Before) {
        let kind = KINDS.iter().position(|kind| *kind == request.kind).expect("listed") as u8;
        let named = if request.currency.is_some() { NAMED } else { 0 };
        let linked = if request.linked { LINKED } else { 0 };
        self.byte(linked | (kind << KIND_SHIFT) | named | flags);
        self.near(request.id.get(), &mut before.id);
        self.near(request.debit.get(), &mut before.account);
        self.near(request.credit.get(), &mut before.account);
        self.number(request.amount);
        if let Some(currency) = request.currency {
            self.number(currency.0.into());
        }
    }

    #[inline]
    fn told(&mut self, told: &Told, other_id: bool, before: &mut Before) {
        let repeat = if told.repeat { REPEAT } else { 0 };
        let debit = if told.debit.is_some() { HAS_DEBIT } else { 0 };
        let credit = if told.credit.is_some() { HAS_CREDIT } else { 0 };
        let refused = if told.rejection.is_some() { REFUSED } else { 0 };
        let hold = if told.hold.is_some() { HAS_HOLD } else { 0 };
        let beside = if told.beside.is_some() { HAS_BESIDE } else { 0 };
        self.byte(repeat | debit | credit | refused | hold | beside);
        told.rejection.into_iter().for_each(|rejection| self.byte(rejection.number()));
        if other_id {
            self.number(told.id.get());
        }
        self.near_u64(told.lsn.0, &mut before.lsn);
        self.near_u64(told.time_ns, &mut before.time_ns);
        for figures in [told.debit, told.credit].into_iter().flatten() {
            self.signed(figures.posted);
            self.signed(figures.available.wrapping_sub(figures.posted));
        }
        if let Some(hold) = &told.hold {
            self.hold_after(hold);
        }
        if let Some(beside) = &told.beside {
            self.beside(beside);
        }
    }

    pub fn seen(&mut self, seen: &Seen) {
        self.number(seen.account.get());
        self.signed(seen.posted);
        self.number(seen.last_lsn.0.into());
        let Some(more) = seen.more else { return self.byte(0) };
        let status = STATUSES.iter().position(|status| *status == more.status).expect("listed");
        let available = if more.available.is_some() { 2 } else { 0 };
        self.byte(1 | available | ((status as u8) << 2));
        self.number(more.held);
        self.number(more.incoming);
        if let Some(available) = more.available {
            self.signed(available);
        }
    }

    pub fn entry(&mut self, entry: &SeenEntry) {
        self.number(entry.lsn.0.into());
        self.number(entry.id.get());
        self.signed(entry.amount);
        self.signed(entry.after);
    }
}

/// Bytes being read; `None` stands for bytes that nobody wrote.
pub(crate) struct In<'b> {
    pub rest: &'b [u8],
}

impl In<'_> {
    pub fn call(&mut self) -> Option<(Span, Call)> {
        let tag = self.byte()?;
        let sent_at = self.small()?;
        let span = Span { sent_at, answered_at: sent_at.saturating_add(self.small()?) };
        let call = match tag {
            TRANSFERS => Call::Transfers(self.items()?),
            UNANSWERED => {
                let mut before = Before::default();
                Call::Unanswered(self.list(|input| Some(input.request(&mut before)?.0))?)
            }
            ACCOUNTS => Call::Accounts {
                lsn: Lsn(self.small()?),
                seen: self.list(Self::seen)?,
                unknown: self.list(Self::account)?,
            },
            STORED => Call::Stored {
                found: self.items()?,
                unknown: self.list(|input| TransferId::new(input.number()?).ok())?,
            },
            ENTRIES => {
                let account = self.account()?;
                let flags = self.byte()?;
                let entries = self.list(Self::entry)?;
                let (newest, oldest) = (flags & 1 != 0, flags & 2 != 0);
                Call::Entries { account, entries, newest, oldest }
            }
            TOTALS => Call::Totals {
                lsn: Lsn(self.small()?),
                sums: self
                    .list(|input| Some((input.currency()?, input.signed()?, input.signed()?)))?,
            },
            OPENED => {
                let lsn = Lsn(self.small()?);
                let (id, currency) = (self.account()?, self.currency()?);
                let (overdraft_limit, external) = (self.number()?, self.byte()? != 0);
                Call::Opened { spec: AccountSpec { id, currency, overdraft_limit, external }, lsn }
            }
            HOLDS => Call::Holds {
                lsn: Lsn(self.small()?),
                seen: self.list(Self::seen_hold)?,
                unknown: self.list(|input| TransferId::new(input.number()?).ok())?,
            },
            CHANGED => {
                let (lsn, account) = (Lsn(self.small()?), self.account()?);
                Call::Changed { account, change: self.change()?, lsn }
            }
            _ => return None,
        };
        Some((span, call))
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    #[inline]
    fn number(&mut self) -> Option<u128> {
        // Most are small, and the decoder of small ones is the faster.
        if let [first @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Some((*first).into());
        }
        let (value, rest) = decode::u128(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }

    #[inline]
    fn small(&mut self) -> Option<u64> {
        let (value, rest) = decode::u64(self.rest).ok()?;
        self.rest = rest;
        Some(value)
    }

    #[inline]
    fn signed(&mut self) -> Option<i128> {
        let value = self.number()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn near(&mut self, before: &mut u128) -> Option<u128> {
        *before = before.wrapping_add(self.signed()?.cast_unsigned());
        Some(*before)
    }

    fn near_u64(&mut self, before: &mut u64) -> Option<u64> {
        *before = u64::try_from(i128::from(*before).checked_add(self.signed()?)?).ok()?;
        Some(*before)
    }

    fn account(&mut self) -> Option<AccountId> {
        AccountId::new(self.number()?).ok()
    }

    fn currency(&mut self) -> Option<CurrencyId> {
        self.small()?.try_into().ok().map(CurrencyId)
    }

    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        // A count that the bytes cannot hold reserves nothing.
        let mut items = Vec::with_capacity(count.min(self.rest.len()));
        for _ in 0..count {
            items.push(each(self)?);
        }
        Some(items)
    }

    fn items(&mut self) -> Option<Vec<(Request, Told)>> {
        let mut before = Before::default();
        self.list(|input| {
            let (request, other_id) = input.request(&mut before)?;
            let told = input.told(request.id(), other_id, &mut before)?;
            Some((request, told))
        })
    }

    #[inline]
    fn request(&mut self, before: &mut Before) -> Option<(Request, bool)> {
        let flags = self.byte()?;
        let other_id = flags & OTHER_ID != 0;
        let request = match flags >> OPERATION_SHIFT {
            0 => self.transfer(flags, before)?.into(),
            HOLD => {
                let asked = self.transfer(flags, before)?;
                let (timeout_ns, over_capture_max) = (self.small()?, self.number()?);
                let TransferRequest { id, debit, credit, amount, currency, kind, linked } = asked;
                HoldRequest {
                    id,
                    debit,
                    credit,
                    amount,
                    currency,
                    kind,
                    timeout_ns,
                    over_capture_max,
                    linked,
                }
                .into()
            }
            REFUND => self.refund(flags, before)?.into(),
            AROUND => self.around(before)?,
            operation => {
                let linked = flags & LINKED != 0;
                let id = TransferId::new(self.near(&mut before.id)?).ok()?;
                let hold = TransferId::new(self.number()?).ok()?;
                match operation {
                    CAPTURE => {
                        let has = self.byte()?;
                        let amount = if has & 1 == 0 { None } else { Some(self.number()?) };
                        let currency = if has & 2 == 0 { None } else { Some(self.currency()?) };
                        let last = has & 4 != 0;
                        CaptureRequest { id, hold, amount, currency, last, linked }.into()
                    }
                    VOID => VoidRequest { id, hold, linked }.into(),
                    EXTEND => ExtendRequest { id, hold, timeout_ns: self.small()?, linked }.into(),
                    _ => return None,
                }
            }
        };
        Some((request, other_id))
    }

    #[inline]
    fn transfer(&mut self, flags: u8, before: &mut Before) -> Option<TransferRequest> {
        Some(TransferRequest {
            id: TransferId::new(self.near(&mut before.id)?).ok()?,
            debit: AccountId::new(self.near(&mut before.account)?).ok()?,
            credit: AccountId::new(self.near(&mut before.account)?).ok()?,
            amount: self.number()?,
            currency: if flags & NAMED == 0 { None } else { Some(self.currency()?) },
            kind: *KINDS.get(usize::from(flags >> KIND_SHIFT & 3))?,
            linked: flags & LINKED != 0,
        })
    }

    #[inline]
    fn told(&mut self, id: TransferId, other_id: bool, before: &mut Before) -> Option<Told> {
        let flags = self.byte()?;
        let rejection = match flags & REFUSED {
            0 => None,
            _ => Some(Rejection::from_number(self.byte()?)?),
        };
        let id = if other_id { TransferId::new(self.number()?).ok()? } else { id };
        let lsn = Lsn(self.near_u64(&mut before.lsn)?);
        let time_ns = self.near_u64(&mut before.time_ns)?;
        let debit = if flags & HAS_DEBIT == 0 { None } else { Some(self.figures()?) };
        let credit = if flags & HAS_CREDIT == 0 { None } else { Some(self.figures()?) };
        let hold = if flags & HAS_HOLD == 0 { None } else { Some(Box::new(self.hold_after()?)) };
        let beside = if flags & HAS_BESIDE == 0 { None } else { Some(Box::new(self.beside()?)) };
        let repeat = flags & REPEAT != 0;
        Some(Told { id, lsn, time_ns, rejection, repeat, debit, credit, hold, beside })
    }

    #[inline]
    fn figures(&mut self) -> Option<BalanceAfter> {
        let posted = self.signed()?;
        Some(BalanceAfter { posted, available: posted.wrapping_add(self.signed()?) })
    }

    fn seen(&mut self) -> Option<Seen> {
        let (account, posted) = (self.account()?, self.signed()?);
        let last_lsn = Lsn(self.small()?);
        let flags = self.byte()?;
        if flags == 0 {
            return Some(Seen { account, posted, last_lsn, more: None });
        }
        let (held, incoming) = (self.number()?, self.number()?);
        let available = if flags & 2 == 0 { None } else { Some(self.signed()?) };
        let status = *STATUSES.get(usize::from(flags >> 2))?;
        let more = Some(SeenMore { available, held, incoming, status });
        Some(Seen { account, posted, last_lsn, more })
    }

    fn entry(&mut self) -> Option<SeenEntry> {
        Some(SeenEntry {
            lsn: Lsn(self.small()?),
            id: TransferId::new(self.number()?).ok()?,
            amount: self.signed()?,
            after: self.signed()?,
        })
    }
}
