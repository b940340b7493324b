//! The figures of all accounts as the journal's entries come to, event by event; independent of
//! the figures that the entries carry, which are held against them. 32 bytes an account.

use super::audit::Difference;
use ducat_engine::account::Durable;
use ducat_engine::ids::{Lsn, Slot};
use ducat_engine::money::CurrencyId;
use ducat_engine::record::Record;
use ducat_engine::transfer::{AccountStatus, AccountView};
use std::collections::BTreeMap;

/// An account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figure {
    /// Posted balance, minor units: the sum of its entries.
    pub posted: i128,
    /// Its last entry; [`Lsn::ZERO`] for none.
    pub last: Lsn,
    pub currency: CurrencyId,
    pub status: AccountStatus,
    pub external: bool,
}

/// All accounts, by slot.
#[derive(Debug, Default)]
pub(super) struct Books {
    accounts: Vec<Figure>,
    /// Currencies whose sum over all accounts is not zero, and that sum.
    sums: BTreeMap<CurrencyId, i128>,
}

impl Books {
    /// Opens the next account as a snapshot has it.
    pub fn restore(&mut self, durable: &Durable) {
        self.accounts.push(Figure {
            posted: durable.posted,
            last: durable.last_lsn,
            currency: durable.spec.currency,
            status: durable.status,
            external: durable.spec.external,
        });
    }

    /// The accounts.
    pub fn accounts(&self) -> &[Figure] {
        &self.accounts
    }

    /// Takes an event in, and tells `wrong` where it contradicts those before.
    pub fn take(&mut self, lsn: Lsn, record: &Record, wrong: &mut dyn FnMut(Difference)) {
        if let Some(spec) = record.opens() {
            self.accounts.push(Figure {
                posted: 0,
                last: Lsn::ZERO,
                currency: spec.currency,
                status: AccountStatus::Active,
                external: spec.external,
            });
        } else if let Some((slot, status)) = record.changes_status() {
            match self.accounts.get_mut(slot.index()) {
                Some(account) => account.status = status,
                None => wrong(Difference::at(lsn, slot, "it names an account that is not there")),
            }
        } else {
            self.post(lsn, record, wrong);
        }
    }

    fn post(&mut self, lsn: Lsn, record: &Record, wrong: &mut dyn FnMut(Difference)) {
        let mut net = [(CurrencyId(0), 0); 2];
        for (effect, net) in record.effects().into_iter().zip(&mut net) {
            let Some(effect) = effect else { continue };
            let Some(account) = self.accounts.get_mut(effect.slot.index()) else {
                wrong(Difference::at(lsn, effect.slot, "it names an account that is not there"));
                continue;
            };
            account.posted += effect.change;
            if account.posted != effect.side.posted {
                let what = format!(
                    "the entry says that the balance is {} minor units after it, the entries come \
                     to {}",
                    effect.side.posted, account.posted
                );
                wrong(Difference::at(lsn, effect.slot, what));
                // Each contradiction is told once, where it begins.
                account.posted = effect.side.posted;
            }
            if effect.side.previous(lsn).unwrap_or_default() != account.last {
                let what = format!("the entry before it is that of event {}", account.last);
                wrong(Difference::at(lsn, effect.slot, what));
            }
            account.last = lsn;
            *net = (account.currency, effect.change);
        }
        // Nearly always what one account gives the other takes, and no sum changes.
        if net[0].0 == net[1].0 && net[0].1 + net[1].1 == 0 {
            return;
        }
        for (currency, change) in net {
            let sum = self.sums.entry(currency).or_default();
            *sum += change;
            if *sum != 0 {
                let what = format!("the sum of currency {} is {sum} minor units", currency.0);
                wrong(Difference { lsn, slot: None, account: None, what });
            }
        }
    }

    /// Holds an account as the engine has it against what its entries come to.
    pub fn compare(&self, slot: Slot, view: &AccountView, wrong: &mut dyn FnMut(Difference)) {
        let told = |lsn, what: String| Difference {
            lsn,
            slot: Some(slot),
            account: Some(view.spec.id),
            what,
        };
        let Some(figure) = self.accounts.get(slot.index()) else {
            wrong(told(view.opened_lsn, "the journal does not open it".to_owned()));
            return;
        };
        if figure.posted != view.posted {
            let what = format!(
                "its balance is {} minor units, its entries come to {}",
                view.posted, figure.posted
            );
            wrong(told(view.last_lsn, what));
        }
        if figure.last != view.last_lsn {
            let what = format!(
                "its last entry is that of event {}, and the journal's is that of event {}",
                view.last_lsn, figure.last
            );
            wrong(told(view.last_lsn, what));
        }
        let content = (view.spec.currency, view.spec.external, view.status);
        if content != (figure.currency, figure.external, figure.status) {
            let what = "its currency, role or status is not what the journal says".to_owned();
            wrong(told(view.last_lsn, what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::ids::{AccountId, TransferId};
    use ducat_engine::limits::Bounds;
    use ducat_engine::record::{Posted, PostedSide};
    use ducat_engine::transfer::AccountSpec;

    fn opened(id: u128, currency: u16) -> Record {
        let id = AccountId::new(id).expect("not zero");
        let currency = CurrencyId(currency);
        Record::AccountOpened(AccountSpec { id, currency, overdraft_limit: 0, external: false })
    }

    fn posted(amount: u128, debit: (u64, i128), credit: (u64, i128)) -> Record {
        let side = |(back, posted)| PostedSide { back, posted, room: 0 };
        Record::Posted(Posted {
            id: TransferId::new(1).expect("not zero"),
            debit: Slot(0),
            credit: Slot(1),
            amount,
            debit_side: side(debit),
            credit_side: side(credit),
        })
    }

    fn wrongs(records: &[Record]) -> Vec<(u64, Option<u32>)> {
        let (mut books, mut wrongs) = (Books::default(), Vec::new());
        for (at, record) in records.iter().enumerate() {
            let lsn = Lsn(at as u64 + 1);
            books.take(lsn, record, &mut |d| wrongs.push((d.lsn.0, d.slot.map(|slot| slot.0))));
        }
        wrongs
    }

    #[test]
    fn entries_that_add_up_are_taken() {
        let records = [
            opened(1, 826),
            opened(2, 826),
            posted(5, (0, -5), (0, 5)),
            Record::StatusChanged { slot: Slot(1), status: AccountStatus::Frozen },
            posted(2, (2, -7), (2, 7)),
        ];
        assert_eq!(wrongs(&records), []);
    }

    #[test]
    fn each_contradiction_is_told_where_it_begins() {
        let begin = [opened(1, 826), opened(2, 826), posted(5, (0, -5), (0, 5))];
        for (next, expected) in [
            // A balance that the entries do not come to, on either side, and both.
            (vec![posted(2, (1, -8), (1, 7)), posted(1, (1, -9), (1, 8))], vec![(4, Some(0))]),
            (vec![posted(2, (1, -7), (1, 8))], vec![(4, Some(1))]),
            (vec![posted(3, (1, -7), (1, 7))], vec![(4, Some(0)), (4, Some(1))]),
            // Entries that are not chained.
            (vec![posted(2, (0, -7), (1, 7))], vec![(4, Some(0))]),
            (vec![posted(2, (1, -7), (2, 7))], vec![(4, Some(1))]),
            // An account that is not there.
            (
                vec![Record::StatusChanged { slot: Slot(9), status: AccountStatus::Frozen }],
                vec![(4, Some(9))],
            ),
        ] {
            let records = [&begin[..], &next].concat();
            assert_eq!(wrongs(&records), expected, "{next:?}");
        }
        // From one currency to another: money is made in one and lost in the other.
        let records = [opened(1, 826), opened(2, 978), posted(5, (0, -5), (0, 5))];
        assert_eq!(wrongs(&records), [(3, None), (3, None)]);
    }

    #[test]
    fn an_account_that_stands_elsewhere_is_told() {
        let mut books = Books::default();
        for (lsn, record) in [(1, opened(1, 826)), (2, opened(2, 826))] {
            books.take(Lsn(lsn), &record, &mut |d| panic!("{d:?}"));
        }
        books.take(Lsn(3), &posted(5, (0, -5), (0, 5)), &mut |d| panic!("{d:?}"));
        let Record::AccountOpened(spec) = opened(2, 826) else { unreachable!() };
        let sound = AccountView {
            spec,
            status: AccountStatus::Active,
            posted: 5,
            held: 0,
            on_hold: 0,
            bounds: Bounds::default(),
            incoming: 0,
            available: 5,
            opened_lsn: Lsn(2),
            last_lsn: Lsn(3),
            version: Lsn(3),
        };
        let count = |slot, view: AccountView| {
            let mut count = 0;
            books.compare(Slot(slot), &view, &mut |_| count += 1);
            count
        };
        assert_eq!(count(1, sound), 0);
        assert_eq!(count(1, AccountView { posted: 6, ..sound }), 1);
        assert_eq!(count(1, AccountView { last_lsn: Lsn(2), ..sound }), 1);
        assert_eq!(count(1, AccountView { status: AccountStatus::Closed, ..sound }), 1);
        assert_eq!(count(7, sound), 1);
    }
}
