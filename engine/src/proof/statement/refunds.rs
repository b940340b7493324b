//! The events of refunds in a statement, and their bytes: fields in the order of the structs, each
//! as in [`super`]; flags are one byte, 0 or 1.

use super::fields::Fields;
use super::{CurrencyText, Rest, Side, StatementError};
use crate::ids::{Lsn, TransferId};
use crate::rejection::Rejection;

/// Money was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundDone {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The original's id.
    pub of: TransferId,
    /// Its event.
    pub of_lsn: Lsn,
    /// No amount was named: all that remained, and nothing follows.
    pub reversal: bool,
    /// The account that paid was allowed to go below its overdraft limit.
    pub overdraft: bool,
    /// Minor units moved.
    pub amount: u128,
    /// Minor units that the original moved.
    pub moved: u128,
    /// Minor units of them given back so far, these too.
    pub refunded: u128,
    /// Of the accounts.
    pub currency: CurrencyText,
    /// Who paid: who had received.
    pub debit: Side,
    /// Who received: who had paid.
    pub credit: Side,
}

/// A refund was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundRefused {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The rule it broke.
    pub rejection: Rejection,
    /// The original's id, as it was named.
    pub of: TransferId,
    /// Its event, where the request named it.
    pub of_lsn: Option<Lsn>,
    /// Minor units; `None` for a reversal.
    pub amount: Option<u128>,
    /// The account that pays should be allowed to go below its overdraft limit.
    pub overdraft: bool,
    /// The currency named, or that of the accounts where none was.
    pub currency: Option<CurrencyText>,
    /// What was found of the original, if it moved money.
    pub found: Option<RefundFound>,
}

/// What a refused refund found of its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundFound {
    /// Its event.
    pub of_lsn: Lsn,
    /// Minor units that it moved.
    pub moved: u128,
    /// Minor units of them given back.
    pub refunded: u128,
    /// It was reversed.
    pub reversed: bool,
    /// Who should have paid.
    pub debit: Side,
    /// Who should have received.
    pub credit: Side,
}

impl RefundDone {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.id).flag(self.linked).id(self.of).word(self.of_lsn.0);
        fields.flag(self.reversal).flag(self.overdraft);
        fields.wide(self.amount).wide(self.moved).wide(self.refunded);
        fields.currency(Some(&self.currency)).side(&self.debit).side(&self.credit);
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        Ok(Self {
            id: rest.id()?,
            linked: rest.bool("linked flag")?,
            of: rest.id()?,
            of_lsn: Lsn(rest.u64()?),
            reversal: rest.bool("flag of a reversal")?,
            overdraft: rest.bool("flag of an overdraft")?,
            amount: rest.wide()?,
            moved: rest.wide()?,
            refunded: rest.wide()?,
            currency: rest.some_currency()?,
            debit: rest.side()?,
            credit: rest.side()?,
        })
    }
}

impl RefundRefused {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.id).flag(self.linked).byte(self.rejection.number()).id(self.of);
        fields.maybe(self.of_lsn, |fields, lsn| fields.word(lsn.0));
        fields.maybe(self.amount, Fields::wide).flag(self.overdraft);
        fields.currency(self.currency.as_ref());
        fields.maybe(self.found.as_ref(), |fields, found| {
            fields.word(found.of_lsn.0).wide(found.moved).wide(found.refunded);
            fields.flag(found.reversed).side(&found.debit).side(&found.credit)
        });
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        let (id, linked) = (rest.id()?, rest.bool("linked flag")?);
        let rejection = Rejection::from_number(rest.u8()?);
        Ok(Self {
            id,
            linked,
            rejection: rejection.ok_or(StatementError::Field("outcome"))?,
            of: rest.id()?,
            of_lsn: rest.maybe(Rest::u64)?.map(Lsn),
            amount: rest.maybe(Rest::wide)?,
            overdraft: rest.bool("flag of an overdraft")?,
            currency: rest.currency()?,
            found: rest.maybe(|rest| {
                Ok(RefundFound {
                    of_lsn: Lsn(rest.u64()?),
                    moved: rest.wide()?,
                    refunded: rest.wide()?,
                    reversed: rest.bool("flag of a reversal")?,
                    debit: rest.side()?,
                    credit: rest.side()?,
                })
            })?,
        })
    }
}
