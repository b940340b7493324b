//! A statement: one event in words of its own, and the bytes that are hashed. Version 1.
//!
//! All numbers are big-endian and of fixed width, so there is one way to write a statement:
//!
//! ```text
//! "ducat statement" 1 │ ledger 16 │ shard 4 │ LSN 8 │ time 8, ns since 1970 │ event 1 │ …
//!   event 1, a transfer decided:  id 16 │ kind 1 │ linked 1 │ outcome 1 │ amount 16 │ currency
//!                                 │ side (debit) │ side (credit)
//!   event 2, an account opened:   id 16 │ currency │ overdraft limit 16 │ external 1
//!   event 3, a status changed:    account 16 │ status 1
//!   event 4, an asset defined:    currency
//!   event 5, a hold placed:       id 16 │ kind 1 │ linked 1 │ amount 16 │ currency │ timeout 8
//!                                 │ tolerance 16 │ side (debit) │ credit account 16
//!   event 6, a hold captured:     id 16 │ linked 1 │ hold 16 │ all 1 │ last 1 │ amount 16
//!                                 │ released 16 │ remaining 16 │ currency │ side │ side
//!   event 7, a hold voided:       id 16 │ linked 1 │ hold 16 │ released 16 │ currency │ side (debit)
//!   event 8, a hold extended:     id 16 │ linked 1 │ hold 16 │ timeout 8 │ expires 8
//!                                 │ remaining 16 │ currency │ side (debit)
//!   event 9, a hold expired:      hold 16 │ released 16 │ currency │ side (debit)
//!   event 10, an operation on a hold refused:  id 16 │ linked 1 │ outcome 1 │ operation │ currency
//!                                 │ 1 │ if so: side (debit) │ 1 │ if so: side (credit)
//!                                 │ 1 │ if so: remaining 16 │ tolerance 16 │ expires 8
//!   operation: 1 │ kind 1 │ amount 16 │ timeout 8 │ tolerance 16
//!            : 2 │ hold 16 │ 1 │ if so: amount 16 │ last 1     3 │ hold 16     4 │ hold 16 │ timeout 8
//!   event 20, opened in full:     as event 2 │ floor │ ceiling │ digest of the profile 32
//!   event 21, a status changed:   account 16 │ status 1 │ digest of the reason 32
//!   event 22, a profile changed:  account 16 │ digest of the change 32
//!   event 23, limits changed:     account 16 │ overdraft limit 16 │ floor │ ceiling
//!   event 40, money given back:   id 16 │ linked 1 │ original 16 │ its LSN 8 │ reversal 1
//!                                 │ overdraft allowed 1 │ amount 16 │ moved by the original 16
//!                                 │ refunded so far 16 │ currency │ side (debit) │ side (credit)
//!   event 41, a refund refused:   id 16 │ linked 1 │ outcome 1 │ original 16 │ 1 │ if so: its LSN 8
//!                                 │ 1 │ if so: amount 16 │ overdraft allowed 1 │ currency │ 1 │ if so:
//!                                 its LSN 8 │ moved 16 │ refunded 16 │ reversed 1 │ side │ side
//!   event 60, a fee decided:      transfer 16 │ outcome 1 │ schedule 8 │ amount 16 │ currency
//!                                 │ side (debit) │ side (credit)
//!   event 61, schedules of fees changed:  digest of the change 32
//!   event 80, of a schedule or a saga:  saga 1 │ id 16 │ digest of the event 32
//!   event 110, with a note:       1 │ if so: value date 4, signed, days since 1970 │ digest of the
//!                                 texts 32 │ event 1, one of 1, 5, 6, 10, 40, 41 │ …
//!   floor, ceiling: known 1 │ if known: 16, signed
//!   currency: length 1 (0: none, and nothing follows) │ code │ digits 1
//!   side:     account 16 │ known 1 │ if known: posted 16 │ available 16, both signed
//! ```

mod fees;
mod fields;
mod holds;
mod note;
mod refunds;

pub use fees::FeeDecided;
pub use holds::{
    HoldAsked, HoldCaptured, HoldExpired, HoldExtended, HoldPlaced, HoldRefused, HoldVoided,
};
pub use note::NoteStated;
pub use refunds::{RefundDone, RefundFound, RefundRefused};

use super::merkle::{self, Hash};
use super::names::Whose;
use crate::ids::{AccountId, Lsn, ShardId, TransferId};
use crate::limits::{Bounds, Limits};
use crate::money::DIGITS_MAX;
use crate::rejection::Rejection;
use crate::transfer::{AccountStatus, BalanceAfter, TransferKind};
use std::fmt;
use thiserror::Error;

/// What every statement begins with; the last byte is the version.
pub const MAGIC: [u8; 16] = *b"ducat statement\x01";

/// No statement is longer, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 384;

/// No code of a currency is longer, in bytes.
const CODE_BYTES_MAX: usize = 12;

/// One event of one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whose event.
    pub whose: Whose,
    /// Its place.
    pub lsn: Lsn,
    /// When it was decided, nanoseconds since 1970.
    pub time_ns: u64,
    /// What was said about it; `None` where nothing was, and of events of versions that left it out.
    pub note: Option<NoteStated>,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transfer was posted or refused.
    Transfer(TransferEvent),
    /// An account was opened.
    AccountOpened {
        /// Its id.
        account: AccountId,
        /// What it holds.
        currency: CurrencyText,
        /// How far below zero it may go, minor units.
        overdraft_limit: u128,
        /// It stands for the world outside.
        external: bool,
    },
    /// An account's status was changed.
    StatusChanged {
        /// The account.
        account: AccountId,
        /// Its new status.
        status: AccountStatus,
    },
    /// An asset was defined.
    AssetDefined(CurrencyText),
    /// A hold was placed.
    HoldPlaced(HoldPlaced),
    /// A hold was captured, or a part of it.
    HoldCaptured(HoldCaptured),
    /// A hold was voided.
    HoldVoided(HoldVoided),
    /// A hold expires later than it would have.
    HoldExtended(HoldExtended),
    /// A hold's time was over.
    HoldExpired(HoldExpired),
    /// An operation on a hold was refused.
    HoldRefused(HoldRefused),
    /// Money was given back.
    Refunded(RefundDone),
    /// A transfer's fee was taken or was not.
    FeeDecided(FeeDecided),
    /// A schedule of fees was defined, attached or detached.
    FeesChanged {
        /// The digest of how: of the record's bytes.
        change: Hash,
    },
    /// Somebody's access was told of.
    Audited {
        /// The digest of how: of the record's bytes, [`super::texts::of_audit`].
        access: Hash,
    },
    /// A refund was refused.
    RefundRefused(RefundRefused),
    /// An account was opened, with a profile.
    OpenedInFull {
        /// Its id.
        account: AccountId,
        /// What it holds.
        currency: CurrencyText,
        /// How far below zero it may go, minor units.
        overdraft_limit: u128,
        /// It stands for the world outside.
        external: bool,
        /// Its floor and ceiling.
        bounds: Bounds,
        /// [`super::texts::of_opening`]: texts about people are proved, not shown.
        profile: Hash,
    },
    /// An account's status was changed, with a reason.
    StatusSet {
        /// The account.
        account: AccountId,
        /// Its new status.
        status: AccountStatus,
        /// [`super::texts::of_reason`].
        reason: Hash,
    },
    /// What is known of an account was changed.
    ProfileChanged {
        /// The account.
        account: AccountId,
        /// [`super::texts::of_change`].
        change: Hash,
    },
    /// An account's limits were changed.
    LimitsChanged {
        /// The account.
        account: AccountId,
        /// What they are from here on.
        limits: Limits,
    },
    /// An event of a schedule or a saga.
    Driven {
        /// It is of a saga, not of a schedule.
        saga: bool,
        /// Whose.
        id: u128,
        /// [`super::texts::of_driven`].
        what: Hash,
    },
}

/// A decided transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferEvent {
    /// Its id.
    pub id: TransferId,
    /// What it was for.
    pub kind: TransferKind,
    /// Linked with the next event.
    pub linked: bool,
    /// `None` when posted.
    pub rejection: Option<Rejection>,
    /// Minor units.
    pub amount: u128,
    /// The currency named, or that of the accounts where none was. `None` when none was named
    /// and neither account existed.
    pub currency: Option<CurrencyText>,
    /// Who paid, or should have.
    pub debit: Side,
    /// Who received, or should have.
    pub credit: Side,
}

/// One side of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The account.
    pub account: AccountId,
    /// Its figures after the decision; `None` where no such account existed.
    pub after: Option<BalanceAfter>,
}

/// A currency's code and the decimal digits of its minor unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CurrencyText {
    code: [u8; CODE_BYTES_MAX],
    len: u8,
    digits: u8,
}

impl CurrencyText {
    /// `None` for what is no code of a currency, or for too many digits.
    #[must_use]
    pub fn new(code: &str, digits: u8) -> Option<Self> {
        let well_formed = (2..=CODE_BYTES_MAX).contains(&code.len())
            && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && code.as_bytes()[0].is_ascii_uppercase()
            && digits <= DIGITS_MAX;
        well_formed.then(|| {
            let mut bytes = [0; CODE_BYTES_MAX];
            bytes[..code.len()].copy_from_slice(code.as_bytes());
            Self { code: bytes, len: code.len() as u8, digits }
        })
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code[..usize::from(self.len)]).unwrap_or_default()
    }

    /// Decimal digits of the minor unit.
    #[must_use]
    pub const fn digits(&self) -> u8 {
        self.digits
    }
}

impl fmt::Debug for CurrencyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code(), self.digits)
    }
}

/// Bytes that are no statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StatementError {
    /// They begin with something else, or are of another version.
    #[error("the bytes are no statement of version 1")]
    Magic,
    /// They end within a field.
    #[error("the statement is cut off")]
    CutOff,
    /// More follows.
    #[error("{0} bytes follow the statement")]
    Trailing(usize),
    /// A field holds what it cannot.
    #[error("the statement's {0} is out of range")]
    Field(&'static str),
}

const TRANSFER: u8 = 1;
const ACCOUNT_OPENED: u8 = 2;
const STATUS_CHANGED: u8 = 3;
const ASSET_DEFINED: u8 = 4;
const HOLD_PLACED: u8 = 5;
const HOLD_CAPTURED: u8 = 6;
const HOLD_VOIDED: u8 = 7;
const HOLD_EXTENDED: u8 = 8;
const HOLD_EXPIRED: u8 = 9;
const HOLD_REFUSED: u8 = 10;
const OPENED_IN_FULL: u8 = 20;
const STATUS_SET: u8 = 21;
const PROFILE_CHANGED: u8 = 22;
const LIMITS_CHANGED: u8 = 23;
const REFUNDED: u8 = 40;
const REFUND_REFUSED: u8 = 41;
const FEE_DECIDED: u8 = 60;
const FEES_CHANGED: u8 = 61;
const DRIVEN: u8 = 80;
const NOTED: u8 = 110;
const AUDITED: u8 = 130;

impl Statement {
    /// Appends the statement's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.whose.ledger);
        out.extend_from_slice(&self.whose.shard.0.to_be_bytes());
        out.extend_from_slice(&self.lsn.0.to_be_bytes());
        out.extend_from_slice(&self.time_ns.to_be_bytes());
        if let Some(note) = &self.note {
            out.push(NOTED);
            note.put(out);
        }
        match &self.event {
            Event::Transfer(transfer) => {
                out.push(TRANSFER);
                put_transfer(transfer, out);
            }
            Event::AccountOpened { account, currency, overdraft_limit, external } => {
                out.push(ACCOUNT_OPENED);
                out.extend_from_slice(&account.get().to_be_bytes());
                put_currency(Some(currency), out);
                out.extend_from_slice(&overdraft_limit.to_be_bytes());
                out.push(u8::from(*external));
            }
            Event::StatusChanged { account, status } => {
                out.push(STATUS_CHANGED);
                out.extend_from_slice(&account.get().to_be_bytes());
                out.push(status.number());
            }
            Event::AssetDefined(currency) => {
                out.push(ASSET_DEFINED);
                put_currency(Some(currency), out);
            }
            Event::HoldPlaced(hold) => {
                out.push(HOLD_PLACED);
                hold.put(out);
            }
            Event::HoldCaptured(hold) => {
                out.push(HOLD_CAPTURED);
                hold.put(out);
            }
            Event::HoldVoided(hold) => {
                out.push(HOLD_VOIDED);
                hold.put(out);
            }
            Event::HoldExtended(hold) => {
                out.push(HOLD_EXTENDED);
                hold.put(out);
            }
            Event::HoldExpired(hold) => {
                out.push(HOLD_EXPIRED);
                hold.put(out);
            }
            Event::HoldRefused(hold) => {
                out.push(HOLD_REFUSED);
                hold.put(out);
            }
            Event::Refunded(refund) => {
                out.push(REFUNDED);
                refund.put(out);
            }
            Event::RefundRefused(refund) => {
                out.push(REFUND_REFUSED);
                refund.put(out);
            }
            Event::FeeDecided(fee) => {
                out.push(FEE_DECIDED);
                fee.put(out);
            }
            Event::FeesChanged { change } => {
                out.push(FEES_CHANGED);
                out.extend_from_slice(change);
            }
            Event::Audited { access } => {
                out.push(AUDITED);
                out.extend_from_slice(access);
            }
            Event::Driven { saga, id, what } => {
                out.extend_from_slice(&[DRIVEN, u8::from(*saga)]);
                out.extend_from_slice(&id.to_be_bytes());
                out.extend_from_slice(what);
            }
            Event::OpenedInFull {
                account,
                currency,
                overdraft_limit,
                external,
                bounds,
                profile,
            } => {
                out.push(OPENED_IN_FULL);
                out.extend_from_slice(&account.get().to_be_bytes());
                put_currency(Some(currency), out);
                out.extend_from_slice(&overdraft_limit.to_be_bytes());
                out.push(u8::from(*external));
                put_bounds(bounds, out);
                out.extend_from_slice(profile);
            }
            Event::StatusSet { account, status, reason } => {
                out.push(STATUS_SET);
                out.extend_from_slice(&account.get().to_be_bytes());
                out.push(status.number());
                out.extend_from_slice(reason);
            }
            Event::ProfileChanged { account, change } => {
                out.push(PROFILE_CHANGED);
                out.extend_from_slice(&account.get().to_be_bytes());
                out.extend_from_slice(change);
            }
            Event::LimitsChanged { account, limits } => {
                out.push(LIMITS_CHANGED);
                out.extend_from_slice(&account.get().to_be_bytes());
                out.extend_from_slice(&limits.overdraft_limit.to_be_bytes());
                put_bounds(&limits.bounds, out);
            }
        }
    }

    /// The statement's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(STATEMENT_BYTES_MAX);
        self.encode(&mut out);
        out
    }

    /// The hash of the statement's leaf. `scratch` is for its bytes.
    #[must_use]
    pub fn leaf(&self, scratch: &mut Vec<u8>) -> Hash {
        scratch.clear();
        self.encode(scratch);
        merkle::leaf(scratch)
    }

    /// The statement that these bytes are, to the last of them. Takes nothing but what
    /// [`Self::encode`] writes.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        let mut rest = Rest(bytes);
        if bytes.len() < MAGIC.len() || rest.array()? != MAGIC {
            return Err(StatementError::Magic);
        }
        let whose =
            Whose { ledger: rest.array()?, shard: ShardId(u32::from_be_bytes(rest.array()?)) };
        let lsn = Lsn(rest.u64()?);
        if lsn == Lsn::ZERO {
            return Err(StatementError::Field("LSN"));
        }
        let time_ns = rest.u64()?;
        let mut number = rest.u8()?;
        let note = (number == NOTED).then(|| NoteStated::take(&mut rest)).transpose()?;
        if note.is_some() {
            number = rest.u8()?;
        }
        let event = match number {
            TRANSFER => Event::Transfer(rest.transfer()?),
            ACCOUNT_OPENED => Event::AccountOpened {
                account: rest.account()?,
                currency: rest.some_currency()?,
                overdraft_limit: u128::from_be_bytes(rest.array()?),
                external: rest.bool("external flag")?,
            },
            STATUS_CHANGED => {
                Event::StatusChanged { account: rest.account()?, status: rest.first_status()? }
            }
            ASSET_DEFINED => Event::AssetDefined(rest.some_currency()?),
            HOLD_PLACED => Event::HoldPlaced(HoldPlaced::take(&mut rest)?),
            HOLD_CAPTURED => Event::HoldCaptured(HoldCaptured::take(&mut rest)?),
            HOLD_VOIDED => Event::HoldVoided(HoldVoided::take(&mut rest)?),
            HOLD_EXTENDED => Event::HoldExtended(HoldExtended::take(&mut rest)?),
            HOLD_EXPIRED => Event::HoldExpired(HoldExpired::take(&mut rest)?),
            HOLD_REFUSED => Event::HoldRefused(HoldRefused::take(&mut rest)?),
            REFUNDED => Event::Refunded(RefundDone::take(&mut rest)?),
            REFUND_REFUSED => Event::RefundRefused(RefundRefused::take(&mut rest)?),
            FEE_DECIDED => Event::FeeDecided(FeeDecided::take(&mut rest)?),
            FEES_CHANGED => Event::FeesChanged { change: rest.array()? },
            OPENED_IN_FULL => Event::OpenedInFull {
                account: rest.account()?,
                currency: rest.some_currency()?,
                overdraft_limit: u128::from_be_bytes(rest.array()?),
                external: rest.bool("external flag")?,
                bounds: rest.bounds()?,
                profile: rest.array()?,
            },
            STATUS_SET => Event::StatusSet {
                account: rest.account()?,
                status: rest.status()?,
                reason: rest.array()?,
            },
            PROFILE_CHANGED => {
                Event::ProfileChanged { account: rest.account()?, change: rest.array()? }
            }
            LIMITS_CHANGED => Event::LimitsChanged {
                account: rest.account()?,
                limits: Limits {
                    overdraft_limit: u128::from_be_bytes(rest.array()?),
                    bounds: rest.bounds()?,
                },
            },
            AUDITED => Event::Audited { access: rest.array()? },
            DRIVEN => Event::Driven {
                saga: rest.bool("flag of a saga")?,
                id: u128::from_be_bytes(rest.array()?),
                what: rest.array()?,
            },
            _ => return Err(StatementError::Field("event")),
        };
        if note.is_some() && !event.may_be_noted() {
            return Err(StatementError::Field("event with a note"));
        }
        match rest.0.len() {
            0 => Ok(Self { whose, lsn, time_ns, note, event }),
            more => Err(StatementError::Trailing(more)),
        }
    }
}

const fn kind_number(kind: TransferKind) -> u8 {
    kind.number()
}

fn put_transfer(transfer: &TransferEvent, out: &mut Vec<u8>) {
    out.extend_from_slice(&transfer.id.get().to_be_bytes());
    out.push(kind_number(transfer.kind));
    out.push(u8::from(transfer.linked));
    out.push(transfer.rejection.map_or(0, Rejection::number));
    out.extend_from_slice(&transfer.amount.to_be_bytes());
    put_currency(transfer.currency.as_ref(), out);
    put_side(&transfer.debit, out);
    put_side(&transfer.credit, out);
}

fn put_side(side: &Side, out: &mut Vec<u8>) {
    out.extend_from_slice(&side.account.get().to_be_bytes());
    out.push(u8::from(side.after.is_some()));
    if let Some(after) = side.after {
        out.extend_from_slice(&after.posted.to_be_bytes());
        out.extend_from_slice(&after.available.to_be_bytes());
    }
}

fn put_bounds(bounds: &Bounds, out: &mut Vec<u8>) {
    for bound in [bounds.floor, bounds.ceiling] {
        out.push(u8::from(bound.is_some()));
        if let Some(bound) = bound {
            out.extend_from_slice(&bound.to_be_bytes());
        }
    }
}

fn put_currency(currency: Option<&CurrencyText>, out: &mut Vec<u8>) {
    let Some(currency) = currency else { return out.push(0) };
    out.push(currency.len);
    out.extend_from_slice(currency.code().as_bytes());
    out.push(currency.digits);
}

/// What is left to decode.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], StatementError> {
        let (bytes, behind) = self.0.split_first_chunk().ok_or(StatementError::CutOff)?;
        self.0 = behind;
        Ok(*bytes)
    }

    fn u8(&mut self) -> Result<u8, StatementError> {
        Ok(self.array::<1>()?[0])
    }

    fn u64(&mut self) -> Result<u64, StatementError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn bool(&mut self, field: &'static str) -> Result<bool, StatementError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StatementError::Field(field)),
        }
    }

    fn account(&mut self) -> Result<AccountId, StatementError> {
        let id = u128::from_be_bytes(self.array()?);
        AccountId::new(id).map_err(|_| StatementError::Field("account"))
    }

    fn bounds(&mut self) -> Result<Bounds, StatementError> {
        let mut bound = || {
            let known = self.bool("bound flag")?;
            known.then(|| Ok(i128::from_be_bytes(self.array()?))).transpose()
        };
        Ok(Bounds { floor: bound()?, ceiling: bound()? })
    }

    /// One of those there were before there were reasons.
    fn first_status(&mut self) -> Result<AccountStatus, StatementError> {
        let first = self.status().ok().filter(|status| status.number() <= 2);
        first.ok_or(StatementError::Field("status"))
    }

    fn status(&mut self) -> Result<AccountStatus, StatementError> {
        AccountStatus::from_number(self.u8()?).ok_or(StatementError::Field("status"))
    }

    fn currency(&mut self) -> Result<Option<CurrencyText>, StatementError> {
        let len = usize::from(self.u8()?);
        if len == 0 {
            return Ok(None);
        }
        let (code, behind) = self.0.split_at_checked(len).ok_or(StatementError::CutOff)?;
        self.0 = behind;
        let digits = self.u8()?;
        let code = std::str::from_utf8(code).ok();
        let currency = code.and_then(|code| CurrencyText::new(code, digits));
        currency.map(Some).ok_or(StatementError::Field("currency"))
    }

    fn some_currency(&mut self) -> Result<CurrencyText, StatementError> {
        self.currency()?.ok_or(StatementError::Field("currency"))
    }

    fn side(&mut self) -> Result<Side, StatementError> {
        let account = self.account()?;
        let known = self.bool("known flag")?;
        let mut figure = || Ok(i128::from_be_bytes(self.array()?));
        let after = known.then(|| Ok(BalanceAfter { posted: figure()?, available: figure()? }));
        Ok(Side { account, after: after.transpose()? })
    }

    fn wide(&mut self) -> Result<u128, StatementError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    fn id(&mut self) -> Result<TransferId, StatementError> {
        TransferId::new(self.wide()?).map_err(|_| StatementError::Field("id"))
    }

    fn kind(&mut self) -> Result<TransferKind, StatementError> {
        TransferKind::from_number(self.u8()?).ok_or(StatementError::Field("kind"))
    }

    fn maybe<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, StatementError>,
    ) -> Result<Option<T>, StatementError> {
        self.bool("flag")?.then(|| take(self)).transpose()
    }

    fn transfer(&mut self) -> Result<TransferEvent, StatementError> {
        let (id, kind) = (self.id()?, self.kind()?);
        let linked = self.bool("linked flag")?;
        let rejection = match self.u8()? {
            0 => None,
            number => {
                let known = Rejection::from_number(number);
                Some(known.ok_or(StatementError::Field("outcome"))?)
            }
        };
        Ok(TransferEvent {
            id,
            kind,
            linked,
            rejection,
            amount: u128::from_be_bytes(self.array()?),
            currency: self.currency()?,
            debit: self.side()?,
            credit: self.side()?,
        })
    }
}
