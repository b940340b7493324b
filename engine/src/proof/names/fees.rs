//! The statements of fees.

use super::{Names, Unnamed, figures};
use crate::ids::{Lsn, Slot};
use crate::proof::statement::{Event, FeeDecided, Side};
use crate::record::{FeeDid, FeeEvent, FeeLeg, Party, PostedSide, Record};
use sha2::{Digest, Sha256};

impl Names {
    /// What became of a fee.
    pub(super) fn fee_decided(&self, lsn: Lsn, leg: &FeeLeg) -> Result<FeeDecided, Unnamed> {
        let side = |slot: Slot, side: &PostedSide| {
            let (account, _) = self.account(lsn, slot)?;
            Ok(Side { account, after: figures(side.posted, side.room) })
        };
        let party = |party: Party| Ok(self.party(lsn, party)?.0);
        let (_, payer) = self.account(lsn, leg.debit)?;
        let (rejection, debit, credit) = match leg.did {
            FeeDid::Taken { debit_side, credit_side } => {
                (None, side(leg.debit, &debit_side)?, side(leg.credit, &credit_side)?)
            }
            FeeDid::Refused { rejection, debit, credit } => {
                (Some(rejection), party(debit)?, party(credit)?)
            }
        };
        Ok(FeeDecided {
            of: leg.of,
            rejection,
            schedule: leg.schedule,
            amount: leg.amount,
            currency: self.currency(lsn, payer.currency)?,
            debit,
            credit,
        })
    }

    /// That schedules were changed: a digest of how, which is the operator's own business.
    pub(super) fn fees_changed(event: &FeeEvent) -> Event {
        let mut bytes = Vec::new();
        crate::codec::encode(&Record::FeeEvent(Box::new(event.clone())), &mut bytes);
        Event::FeesChanged { change: Sha256::digest(&bytes).into() }
    }
}
