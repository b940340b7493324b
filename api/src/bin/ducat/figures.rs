//! What the journal itself says of every account, kept beside the ledger's own arithmetic: the
//! balance after its last event, its currency and status. For comparing two moments, and for
//! checking that every event takes from one account what it gives to another.

use ducat_actors::replay::Event;
use ducat_engine::account_event::{AccountEvent, Change};
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::money::CurrencyId;
use ducat_engine::record::{Posted, Record};
use ducat_engine::transfer::{AccountSpec, AccountStatus};
use std::collections::BTreeMap;

/// An account as the journal's last word on it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// Posted balance, minor units.
    pub posted: i128,
    /// Its currency.
    pub currency: CurrencyId,
    /// Its status.
    pub status: AccountStatus,
    /// The last event that changed its limits or what is known of it; [`Lsn::ZERO`] for none.
    pub changed: Lsn,
}

/// All accounts, by slot, and the sums by currency.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    accounts: Vec<Figure>,
    sums: BTreeMap<CurrencyId, i128>,
    /// The first event after which a sum was not zero: where, of which currency, how much.
    pub broken: Option<(Lsn, CurrencyId, i128)>,
}

impl Figures {
    /// The accounts, by slot.
    pub fn accounts(&self) -> &[Figure] {
        &self.accounts
    }

    /// Takes an event's own figures.
    pub fn take(&mut self, event: &Event<'_>) {
        match event.record.plain() {
            // Nothing has terms or notes twice.
            Record::Termed(_) | Record::Noted(_) => {}
            Record::Posted(posted) | Record::PostedLinked(posted) => self.post(event.lsn, posted),
            Record::AccountOpened(spec) => self.open(spec),
            Record::Account(account_event) => match &**account_event {
                AccountEvent::Opened(opening) => self.open(&opening.spec),
                AccountEvent::Changed { slot, change, .. } => {
                    if let Some(account) = self.accounts.get_mut(slot.index()) {
                        match change {
                            Change::Status { status, .. } => account.status = *status,
                            Change::Profile(_)
                            | Change::Limits(_)
                            | Change::LimitsFrom(_)
                            | Change::Watch(_) => account.changed = event.lsn,
                        }
                    }
                }
            },
            Record::StatusChanged { slot, status } => {
                if let Some(account) = self.accounts.get_mut(slot.index()) {
                    account.status = *status;
                }
            }
            Record::Captured(captured) => self.post(event.lsn, &captured.posted()),
            Record::Refunded(refunded) => self.post(event.lsn, &refunded.posted()),
            Record::FeeLeg(leg) => {
                if let Some(posted) = leg.posted() {
                    self.post(event.lsn, &posted);
                }
            }
            // They move no posted balance.
            Record::FeeEvent(_) => {}
            Record::Refused(_)
            | Record::RefusedLinked(_)
            | Record::AssetDefined { .. }
            | Record::Held(_)
            | Record::Voided(_)
            | Record::Extended(_)
            | Record::Expired(_)
            | Record::HoldRefused(_)
            | Record::Driven(_)
            | Record::Audit(_)
            | Record::RefundRefused(_) => {}
        }
    }

    fn open(&mut self, spec: &AccountSpec) {
        let (currency, status) = (spec.currency, AccountStatus::Active);
        self.accounts.push(Figure { posted: 0, currency, status, changed: Lsn::ZERO });
    }

    fn post(&mut self, lsn: Lsn, posted: &Posted) {
        let sides =
            [(posted.debit, posted.debit_side.posted), (posted.credit, posted.credit_side.posted)];
        let mut changes = [(CurrencyId(0), 0); 2];
        for ((slot, after), change) in sides.into_iter().zip(&mut changes) {
            *change = self.set(slot, after);
        }
        // Nearly always the two cancel out, and no sum changes.
        if changes[0].0 == changes[1].0 && changes[0].1 + changes[1].1 == 0 {
            return;
        }
        for (currency, change) in changes {
            *self.sums.entry(currency).or_default() += change;
        }
        for (currency, _) in changes {
            let sum = self.sums[&currency];
            if sum != 0 {
                self.broken.get_or_insert((lsn, currency, sum));
            }
        }
    }

    fn set(&mut self, slot: Slot, after: i128) -> (CurrencyId, i128) {
        let Some(account) = self.accounts.get_mut(slot.index()) else {
            return (CurrencyId(0), after);
        };
        let change = after - account.posted;
        account.posted = after;
        (account.currency, change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::ids::{AccountId, TransferId};
    use ducat_engine::record::PostedSide;

    fn take(figures: &mut Figures, lsn: u64, record: &Record) {
        figures.take(&Event { lsn: Lsn(lsn), time_ns: 0, record });
    }

    fn posted(debit: i128, credit: i128) -> Record {
        let side = |posted| PostedSide { back: 0, posted, room: 0 };
        Record::Posted(Posted {
            id: TransferId::new(1).expect("not zero"),
            debit: Slot(0),
            credit: Slot(1),
            amount: 5,
            debit_side: side(debit),
            credit_side: side(credit),
        })
    }

    #[test]
    fn money_that_is_made_is_noticed_at_once() {
        let mut figures = Figures::default();
        for id in [1, 2] {
            let (id, currency) = (AccountId::new(id).expect("not zero"), CurrencyId(826));
            let spec = AccountSpec { id, currency, overdraft_limit: 0, external: id.get() == 1 };
            take(&mut figures, id.get() as u64, &Record::AccountOpened(spec));
        }
        take(&mut figures, 3, &posted(-5, 5));
        assert_eq!((figures.accounts()[0].posted, figures.broken), (-5, None));
        take(&mut figures, 4, &posted(-10, 11));
        take(&mut figures, 5, &posted(-15, 16));
        assert_eq!(figures.broken, Some((Lsn(4), CurrencyId(826), 1)));
    }
}
