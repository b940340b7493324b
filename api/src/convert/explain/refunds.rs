//! The sentences of refused refunds.

use super::{Amount, Asked, Code, LINKED_FAILED};
use ducat_engine::rejection::Rejection;
use ducat_engine::request::RefundRequest;
use std::fmt::{self, Write as _};

impl Asked<'_> {
    pub(super) fn write_of_refund(
        &self,
        refund: &RefundRequest,
        rejection: Rejection,
        to: &mut String,
    ) -> fmt::Result {
        let of = refund.of;
        let wanted = Amount::of(self.amount(), self.currency);
        match rejection {
            Rejection::LinkedFailed => to.write_str(LINKED_FAILED),
            Rejection::FeeRefused => self.fee_refused(to),
            Rejection::AmountZero => {
                to.write_str("the amount is zero; a refund moves at least 1 minor unit")
            }
            Rejection::AmountTooLarge => {
                let amount = self.amount();
                write!(to, "the amount of {amount} minor units is above the largest, 2^96 - 1")
            }
            Rejection::OriginalUnknown => match refund.of_lsn {
                Some(lsn) => write!(to, "event {lsn} did not decide a transfer {of} before this"),
                None => write!(
                    to,
                    "no transfer {of} was decided before this, or so long ago that its id is not \
                     remembered; name its LSN then"
                ),
            },
            Rejection::OriginalRefused => {
                write!(to, "transfer {of} was refused; there is nothing to give back")
            }
            Rejection::OriginalMovedNothing => write!(
                to,
                "request {of} moved no money; what is on hold is voided, what was captured is \
                 refunded by the capture's id"
            ),
            Rejection::OriginalIsRefund => write!(
                to,
                "{of} is a refund itself; what was given back by mistake is moved by a transfer"
            ),
            Rejection::OriginalReversed => {
                write!(to, "transfer {of} was reversed already{}", self.given_back())
            }
            Rejection::OriginalRefunded => {
                write!(to, "transfer {of} was refunded in full already{}", self.given_back())
            }
            Rejection::RefundExceeded => write!(
                to,
                "{wanted} is more than what remains to be refunded of transfer {of}{}",
                self.given_back()
            ),
            Rejection::CurrencyMismatch => write!(
                to,
                "the refund names {}, transfer {of} was in {}",
                Code(self.named),
                Code(self.currency)
            ),
            Rejection::InsufficientFunds => write!(
                to,
                "the account that received transfer {of} has {} available, {wanted} needed; \
                 `allow_overdraft` lets it go below its limit",
                Amount {
                    value: self.outcome.debit.as_ref().map_or(0, |after| after.available),
                    currency: self.currency
                }
            ),
            Rejection::DebitAccountFloor => write!(
                to,
                "giving back {wanted} would leave the account that received transfer {of} with \
                 less than its floor"
            ),
            Rejection::CreditAccountCeiling => write!(
                to,
                "giving back {wanted} would take the account that paid transfer {of} above its \
                 ceiling"
            ),
            Rejection::BalanceOverflow => write!(
                to,
                "giving back {wanted} would make a balance larger than the ledger can hold"
            ),
            Rejection::IdReused => self.id_reused(to),
            other => write!(to, "{}", self.of_accounts(of, other)),
        }
    }

    /// The accounts may not move.
    fn of_accounts(&self, of: ducat_engine::ids::TransferId, rejection: Rejection) -> String {
        let (side, is) = match rejection {
            Rejection::DebitAccountClosed => ("received", "is closed"),
            Rejection::DebitAccountFrozen => ("received", "is frozen"),
            Rejection::DebitAccountBlocked => ("received", "has its debits blocked"),
            Rejection::CreditAccountClosed => ("paid", "is closed"),
            Rejection::CreditAccountFrozen => ("paid", "is frozen"),
            Rejection::CreditAccountBlocked => ("paid", "has its credits blocked"),
            other => return format!("transfer {of} cannot be refunded: {}", other.code()),
        };
        format!("the account that {side} transfer {of} {is}")
    }

    /// What the original moved, and how much of it was given back.
    fn given_back(&self) -> String {
        let Some(after) = self.refund else { return String::new() };
        let amount = |value| Amount::of(value, self.currency);
        format!(
            ": it moved {}, of which {} were given back",
            amount(after.moved),
            amount(after.refunded)
        )
    }

    /// What only a refund is refused for.
    pub(super) fn of_refunds_only(&self, rejection: Rejection, to: &mut String) -> fmt::Result {
        write!(to, "it is no refund, and was refused as one: {}", rejection.code())
    }
}
