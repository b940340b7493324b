//! Replay of fees: the legs are what the journal says, no schedule is applied.

use super::Ledger;
use crate::account::Impossible;
use crate::ids::Lsn;
use crate::record::{FeeDid, FeeLeg};
use crate::rejection::Rejection;

impl Ledger {
    /// Moves what a fee's leg moved.
    ///
    /// # Errors
    /// [`Impossible`] when the event cannot follow the ones before it.
    pub(super) fn apply_fee_leg(&mut self, lsn: Lsn, leg: &FeeLeg) -> Result<(), Impossible> {
        let differs = |what: &str| Err(Impossible::Differs { lsn, what: what.to_owned() });
        let coordinator = &self.coordinator;
        if leg.back == 0 || coordinator.known.get(leg.of) != leg.transfer_lsn(lsn) {
            return differs("the transfer that it is a fee of was decided elsewhere");
        }
        if coordinator.fees.slot(leg.schedule) != Some(leg.credit) {
            return differs("no schedule there is gives a fee to this account");
        }
        match leg.did {
            FeeDid::Taken { .. } => match leg.posted() {
                Some(posted) => self.apply_posted(lsn, &posted),
                None => differs("a fee that was taken is no posting"),
            },
            FeeDid::Refused { rejection: Rejection::FeeRefused, .. } => {
                differs("a fee has no fee that could be refused")
            }
            FeeDid::Refused { rejection, debit, credit } => {
                self.check_refusal(lsn, rejection, [debit, credit])
            }
        }
    }
}
