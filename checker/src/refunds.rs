//! The events of refunds: histories know of transfers only, so what clients were told of refunds is
//! not looked at; the money is followed, and of no transfer more is given back than it moved.

use crate::check::Checker;
use crate::fault::Kind;
use ducat_engine::ids::Lsn;
use ducat_engine::record::{Figures, Party, Record};

impl Checker<'_> {
    /// Replays an event of a refund, and holds its figures against those it comes to.
    pub(crate) fn refund_event(&mut self, lsn: Lsn, record: &Record) {
        match record {
            Record::Refunded(refunded) => {
                let before = self.refunded.insert(refunded.of_lsn, refunded.refunded);
                let sum = before.unwrap_or(0).saturating_add(refunded.amount);
                if sum != refunded.refunded || sum > refunded.moved || refunded.of_lsn >= lsn {
                    self.report.add(Kind::MoneyMade, lsn, || {
                        format!("{sum} minor units were given back, the journal has {refunded:?}")
                    });
                }
                self.post(lsn, &refunded.posted());
            }
            Record::RefundRefused(refused) => {
                let parties = refused.found.map(|found| [found.debit, found.credit]);
                for party in parties.into_iter().flatten() {
                    if let Party::Known { slot, posted, room } = party {
                        self.stands(lsn, slot, &Figures { posted, room });
                    }
                }
            }
            _ => {}
        }
    }
}
