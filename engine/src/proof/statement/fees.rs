//! The events of fees in a statement, and their bytes.

use super::fields::Fields;
use super::{CurrencyText, Rest, Side, StatementError};
use crate::ids::TransferId;
use crate::rejection::Rejection;

/// A transfer's fee was taken, or was not since its group did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeDecided {
    /// The transfer's id.
    pub of: TransferId,
    /// `None` when it was taken.
    pub rejection: Option<Rejection>,
    /// The schedule's number.
    pub schedule: u32,
    /// Minor units.
    pub amount: u128,
    /// Of the accounts.
    pub currency: CurrencyText,
    /// Who paid, or should have.
    pub debit: Side,
    /// Who received, or should have.
    pub credit: Side,
}

impl FeeDecided {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let mut fields = Fields(out);
        fields.id(self.of).byte(self.rejection.map_or(0, Rejection::number));
        fields.word(self.schedule.into()).wide(self.amount);
        fields.currency(Some(&self.currency)).side(&self.debit).side(&self.credit);
    }

    pub(super) fn take(rest: &mut Rest<'_>) -> Result<Self, StatementError> {
        let of = rest.id()?;
        let rejection = match rest.u8()? {
            0 => None,
            number => {
                let known = Rejection::from_number(number);
                Some(known.ok_or(StatementError::Field("outcome"))?)
            }
        };
        let schedule = u32::try_from(rest.u64()?);
        Ok(Self {
            of,
            rejection,
            schedule: schedule.map_err(|_| StatementError::Field("schedule"))?,
            amount: rest.wide()?,
            currency: rest.some_currency()?,
            debit: rest.side()?,
            credit: rest.side()?,
        })
    }
}
