//! The statements of refunds.

use super::{Names, Unnamed};
use crate::ids::Lsn;
use crate::proof::statement::{RefundDone, RefundFound, RefundRefused};
use crate::record::{self, Figures, PostedSide};

impl Names {
    pub(super) fn refunded(
        &self,
        lsn: Lsn,
        refunded: &record::Refunded,
    ) -> Result<RefundDone, Unnamed> {
        let side = |slot, side: &PostedSide| {
            self.side_after(lsn, slot, &Figures { posted: side.posted, room: side.room })
        };
        Ok(RefundDone {
            id: refunded.id,
            linked: refunded.linked,
            of: refunded.of,
            of_lsn: refunded.of_lsn,
            reversal: refunded.reversal,
            overdraft: refunded.overdraft,
            amount: refunded.amount,
            moved: refunded.moved,
            refunded: refunded.refunded,
            currency: self.currency(lsn, refunded.currency)?,
            debit: side(refunded.debit, &refunded.debit_side)?,
            credit: side(refunded.credit, &refunded.credit_side)?,
        })
    }

    pub(super) fn refund_refused(
        &self,
        lsn: Lsn,
        refused: &record::RefundRefused,
    ) -> Result<RefundRefused, Unnamed> {
        let currency = refused.currency.or(refused.found.map(|found| found.currency));
        let found = |found: record::Found| {
            Ok(RefundFound {
                of_lsn: found.lsn,
                moved: found.state.moved,
                refunded: found.state.refunded,
                reversed: found.state.reversed,
                debit: self.party(lsn, found.debit)?.0,
                credit: self.party(lsn, found.credit)?.0,
            })
        };
        Ok(RefundRefused {
            id: refused.id,
            linked: refused.linked,
            rejection: refused.rejection,
            of: refused.of,
            of_lsn: refused.of_lsn,
            amount: refused.amount,
            overdraft: refused.overdraft,
            currency: currency.map(|id| self.currency(lsn, id)).transpose()?,
            found: refused.found.map(found).transpose()?,
        })
    }
}
