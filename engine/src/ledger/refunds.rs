//! Refunds when a ledger executes requests alone, and in replay.

use super::{Ledger, check_posted, check_side};
use crate::account::Impossible;
use crate::ids::Lsn;
use crate::record::{Record, RefundRefused, Refunded};
use crate::refunds::{Original, RefundState};
use crate::request::Request;

impl Ledger {
    /// Puts what the journal says of their originals into the refunds among these requests.
    pub(crate) fn read_originals(
        &self,
        requests: &mut [Request],
        now: &[(Lsn, Record)],
        read: impl Fn(Lsn) -> Record,
    ) {
        for request in requests {
            let Some(lsn) = self.coordinator.unread(request) else { continue };
            let Some(refund) = request.refund_mut() else { continue };
            refund.original = Some(match now.binary_search_by_key(&lsn, |(lsn, _)| *lsn) {
                Ok(at) => Original::of(lsn, &now[at].1),
                Err(_) => Original::of(lsn, &read(lsn)),
            });
        }
    }

    pub(super) fn apply_refund_refused(
        &self,
        lsn: Lsn,
        refused: &RefundRefused,
    ) -> Result<(), Impossible> {
        let found = refused.found;
        let parties = found.into_iter().flat_map(|found| [found.debit, found.credit]);
        self.check_refusal(lsn, refused.rejection, parties)?;
        let Some(found) = found else { return Ok(()) };
        let there = self.coordinator.refunds().get(found.lsn).copied();
        if there.unwrap_or_else(|| RefundState::untouched(found.state.moved)) == found.state {
            return Ok(());
        }
        let what =
            format!("the refunds of event {} stood elsewhere when it was refused", found.lsn);
        Err(Impossible::Differs { lsn, what })
    }

    pub(super) fn apply_refunded(
        &mut self,
        lsn: Lsn,
        refunded: &Refunded,
    ) -> Result<(), Impossible> {
        let Refunded { debit, credit, amount, currency, overdraft, .. } = *refunded;
        check_posted(lsn, &refunded.posted())?;
        self.check_slot(lsn, debit)?;
        self.check_slot(lsn, credit)?;
        let held_in = |slot| self.host(slot).at(slot).currency();
        if debit == credit || [held_in(debit), held_in(credit)] != [currency; 2] {
            let what = "no transfer can be refunded so".to_owned();
            return Err(Impossible::Differs { lsn, what });
        }
        self.coordinator.follow_refund(lsn, refunded)?;
        let host = self.host_mut(debit);
        let paid = match overdraft {
            true => host.apply_debit_over(debit, lsn, amount)?,
            false => host.apply_debit(debit, lsn, amount)?,
        };
        let received = self.host_mut(credit).apply_credit(credit, lsn, amount)?;
        check_side(lsn, &refunded.debit_side, paid)?;
        check_side(lsn, &refunded.credit_side, received)
    }
}
