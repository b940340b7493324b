//! The events of holds in a statement, and their bytes: fields in the order of the structs, each
//! as in [`super`]; flags are one byte, 0 or 1.

use super::fields::Fields;
use super::{CurrencyText, Rest, Side, StatementError, kind_number};
use crate::holds::Standing;
use crate::ids::{AccountId, TransferId};
use crate::rejection::Rejection;
use crate::transfer::TransferKind;

/// A hold was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldPlaced {
    /// The request's id, and the hold's.
    pub id: TransferId,
    /// What it is for.
    pub kind: TransferKind,
    /// Linked with the next event.
    pub linked: bool,
    /// Minor units.
    pub amount: u128,
    /// Of the accounts.
    pub currency: CurrencyText,
    /// Nanoseconds until it expires; 0 for never.
    pub timeout_ns: u64,
    /// By how much captures together may exceed the amount, minor units.
    pub over_capture_max: u128,
    /// Who will pay.
    pub debit: Side,
    /// Who will receive.
    pub credit: AccountId,
}

/// A hold was captured, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldCaptured {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The hold.
    pub hold: TransferId,
    /// No amount was named: all that remained.
    pub all: bool,
    /// It was asked to be the last.
    pub last: bool,
    /// Minor units moved.
    pub amount: u128,
    /// Minor units taken off what is on hold.
    pub released: u128,
    /// Minor units still set aside.
    pub remaining: u128,
    /// Of the accounts.
    pub currency: CurrencyText,
    /// Who paid.
    pub debit: Side,
    /// Who received.
    pub credit: Side,
}

/// A hold was voided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldVoided {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The hold.
    pub hold: TransferId,
    /// Minor units given back.
    pub released: u128,
    /// Of the accounts.
    pub currency: CurrencyText,
    /// Who would have paid.
    pub debit: Side,
}

/// A hold expires later than it would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldExtended {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The hold.
    pub hold: TransferId,
    /// Nanoseconds until it expires, from this event's time on; 0 for never.
    pub timeout_ns: u64,
    /// When it expires, nanoseconds since 1970; 2^64 − 1 for never.
    pub expires_ns: u64,
    /// Minor units still set aside.
    pub remaining: u128,
    /// Of the accounts.
    pub currency: CurrencyText,
    /// Who will pay.
    pub debit: Side,
}

/// A hold's time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldExpired {
    /// The hold.
    pub hold: TransferId,
    /// Minor units given back.
    pub released: u128,
    /// Of the accounts.
    pub currency: CurrencyText,
    /// Who would have paid.
    pub debit: Side,
}

/// An operation on a hold was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldRefused {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The rule it broke.
    pub rejection: Rejection,
    /// What was asked.
    pub asked: HoldAsked,
    /// The currency named, or that of the accounts where none was.
    pub currency: Option<CurrencyText>,
    /// Who would have paid, where that is known.
    pub debit: Option<Side>,
    /// Who would have received, where that is known.
    pub credit: Option<Side>,
    /// The hold, if it was open.
    pub standing: Option<Standing>,
}

/// What was asked of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldAsked {
    /// To place one: number 1.
    Place {
        /// What it was for.
        kind: TransferKind,
        /// Minor units.
        amount: u128,
        /// Nanoseconds until it expires; 0 for never.
        timeout_ns: u64,
        /// By how much captures together may exceed the amount, minor units.
        over_capture_max: u128,
    },
    /// To capture it: number 2.
    Capture {
        /// The hold.
        hold: TransferId,
        /// Minor units; `None` for all that remains.
        amount: Option<u128>,
        /// No capture follows.
        last: bool,
    },
    /// To void it: number 3.
    Void {
        /// The hold.
        hold: TransferId,
    },
    /// To let it expire later: number 4.
    Extend {
        /// The hold.
        hold: TransferId,
        /// Nanoseconds until it expires; 0 for never.
        timeout_ns: u64,
    },
}

impl HoldPlaced {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.id).byte(kind_number(self.kind)).flag(self.linked).wide(self.amount);
        fields.currency(Some(&self.currency)).word(self.timeout_ns).wide(self.over_capture_max);
        fields.side(&self.debit).wide(self.credit.get());
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        Ok(Self {
            id: rest.id()?,
            kind: rest.kind()?,
            linked: rest.bool("linked flag")?,
            amount: rest.wide()?,
            currency: rest.some_currency()?,
            timeout_ns: rest.u64()?,
            over_capture_max: rest.wide()?,
            debit: rest.side()?,
            credit: rest.account()?,
        })
    }
}

impl HoldCaptured {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.id).flag(self.linked).id(self.hold).flag(self.all).flag(self.last);
        fields.wide(self.amount).wide(self.released).wide(self.remaining);
        fields.currency(Some(&self.currency)).side(&self.debit).side(&self.credit);
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        Ok(Self {
            id: rest.id()?,
            linked: rest.bool("linked flag")?,
            hold: rest.id()?,
            all: rest.bool("flag of all")?,
            last: rest.bool("flag of the last")?,
            amount: rest.wide()?,
            released: rest.wide()?,
            remaining: rest.wide()?,
            currency: rest.some_currency()?,
            debit: rest.side()?,
            credit: rest.side()?,
        })
    }
}

impl HoldVoided {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.id).flag(self.linked).id(self.hold).wide(self.released);
        fields.currency(Some(&self.currency)).side(&self.debit);
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        Ok(Self {
            id: rest.id()?,
            linked: rest.bool("linked flag")?,
            hold: rest.id()?,
            released: rest.wide()?,
            currency: rest.some_currency()?,
            debit: rest.side()?,
        })
    }
}

impl HoldExtended {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.id).flag(self.linked).id(self.hold);
        fields.word(self.timeout_ns).word(self.expires_ns).wide(self.remaining);
        fields.currency(Some(&self.currency)).side(&self.debit);
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        Ok(Self {
            id: rest.id()?,
            linked: rest.bool("linked flag")?,
            hold: rest.id()?,
            timeout_ns: rest.u64()?,
            expires_ns: rest.u64()?,
            remaining: rest.wide()?,
            currency: rest.some_currency()?,
            debit: rest.side()?,
        })
    }
}

impl HoldExpired {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.hold).wide(self.released);
        fields.currency(Some(&self.currency)).side(&self.debit);
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        Ok(Self {
            hold: rest.id()?,
            released: rest.wide()?,
            currency: rest.some_currency()?,
            debit: rest.side()?,
        })
    }
}

impl HoldRefused {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.id).flag(self.linked).byte(self.rejection.number());
        self.asked.put(&mut fields);
        fields.currency(self.currency.as_ref());
        for side in [&self.debit, &self.credit] {
            fields.maybe(side.as_ref(), Fields::side);
        }
        fields.maybe(self.standing, |fields, standing| {
            let Standing { remaining, over_capture_max, expires_ns } = standing;
            fields.wide(remaining).wide(over_capture_max).word(expires_ns)
        });
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        let (id, linked) = (rest.id()?, rest.bool("linked flag")?);
        let rejection = Rejection::from_number(rest.u8()?);
        Ok(Self {
            id,
            linked,
            rejection: rejection.ok_or(StatementError::Field("outcome"))?,
            asked: HoldAsked::take(rest)?,
            currency: rest.currency()?,
            debit: rest.maybe(Rest::side)?,
            credit: rest.maybe(Rest::side)?,
            standing: rest.maybe(|rest| {
                Ok(Standing {
                    remaining: rest.wide()?,
                    over_capture_max: rest.wide()?,
                    expires_ns: rest.u64()?,
                })
            })?,
        })
    }
}

impl HoldAsked {
    fn put(&self, fields: &mut Fields<'_>) {
        match *self {
            Self::Place { kind, amount, timeout_ns, over_capture_max } => fields
                .byte(1)
                .byte(kind_number(kind))
                .wide(amount)
                .word(timeout_ns)
                .wide(over_capture_max),
            Self::Capture { hold, amount, last } => {
                fields.byte(2).id(hold).maybe(amount, Fields::wide).flag(last)
            }
            Self::Void { hold } => fields.byte(3).id(hold),
            Self::Extend { hold, timeout_ns } => fields.byte(4).id(hold).word(timeout_ns),
        };
    }

    fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        Ok(match rest.u8()? {
            1 => Self::Place {
                kind: rest.kind()?,
                amount: rest.wide()?,
                timeout_ns: rest.u64()?,
                over_capture_max: rest.wide()?,
            },
            2 => Self::Capture {
                hold: rest.id()?,
                amount: rest.maybe(Rest::wide)?,
                last: rest.bool("flag of the last")?,
            },
            3 => Self::Void { hold: rest.id()? },
            4 => Self::Extend { hold: rest.id()?, timeout_ns: rest.u64()? },
            _ => return Err(StatementError::Field("operation")),
        })
    }
}
