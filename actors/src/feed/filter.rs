//! Which events a feed gives.
//!
//! Accounts are named by id in a subscription and by slot in records. One that was not opened yet
//! has no slot: it is awaited, and looked up when the event that opens it comes by, before any
//! event can name its slot.

use super::transfer_kinds::TransferKinds;
use super::watching::Fired;
use ducat_engine::effects::EventKind;
use ducat_engine::ids::{AccountId, Slot};
use ducat_engine::record::Record;
use ducat_engine::repeat::Named;
use ducat_engine::transfer::TransferKind;
use std::collections::HashSet;

/// Which events are wanted: those of one of the kinds that touch one of the accounts. A refused
/// transfer touches the accounts it names, known or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedFilter {
    /// Of these accounts; of all when empty.
    pub accounts: Vec<AccountId>,
    /// Of these kinds; of all when empty and [`Self::fired`] is not asked for.
    pub kinds: Vec<EventKind>,
    /// Those that trigger a watch, too; alone where no kind is named.
    pub fired: bool,
    /// Of those, only events about money that is for one of these: transfers, holds that are placed,
    /// captures, refunds and fees, done or refused. All, and all other events, when empty.
    pub transfer_kinds: Vec<TransferKind>,
}

/// A filter at work.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// All when empty and none is asked for because of a watch.
    kinds: Vec<EventKind>,
    fired: bool,
    /// What the record does not tell of these is asked of its accounts, once they are known.
    pub transfer_kinds: TransferKinds,
    accounts: Option<Accounts>,
}

#[derive(Debug, Clone, Default)]
struct Accounts {
    ids: HashSet<AccountId>,
    slots: HashSet<Slot>,
    awaited: HashSet<AccountId>,
}

impl Filter {
    /// With every account awaited.
    pub fn new(filter: &FeedFilter) -> Self {
        let ids: HashSet<AccountId> = filter.accounts.iter().copied().collect();
        let accounts = (!ids.is_empty()).then(|| Accounts {
            awaited: ids.clone(),
            ids,
            slots: HashSet::new(),
        });
        let transfer_kinds = TransferKinds::new(&filter.transfer_kinds);
        Self { kinds: filter.kinds.clone(), fired: filter.fired, transfer_kinds, accounts }
    }

    /// The accounts that have no slot yet.
    pub fn awaited(&self) -> Vec<AccountId> {
        self.accounts.as_ref().map_or_else(Vec::new, |a| a.awaited.iter().copied().collect())
    }

    /// With the slots of these accounts.
    pub fn with(&self, found: impl Iterator<Item = (AccountId, Slot)>) -> Self {
        let mut filter = self.clone();
        if let Some(accounts) = &mut filter.accounts {
            for (id, slot) in found {
                accounts.awaited.remove(&id);
                accounts.slots.insert(slot);
            }
        }
        filter
    }

    /// Whether the event opens an account that is awaited.
    pub fn awaits(&self, record: &Record) -> bool {
        let opened = self.accounts.as_ref().zip(record.opens());
        opened.is_some_and(|(accounts, spec)| accounts.awaited.contains(&spec.id))
    }

    /// Whether the event is wanted, as far as its record tells ([`TransferKinds::may_take`]).
    pub fn takes(&self, record: &Record, fired: &[Fired]) -> bool {
        if matches!(record, Record::Audit(_)) {
            // Who did what is for auditors.
            return false;
        }
        let all = self.kinds.is_empty() && !self.fired;
        let fires = self.fired && !fired.is_empty();
        if !all && !fires && !self.kinds.contains(&record.kind()) {
            return false;
        }
        if !self.transfer_kinds.may_take(record) {
            return false;
        }
        let Some(accounts) = &self.accounts else { return true };
        record.parties().into_iter().flatten().any(|party| match party {
            Named::Slot(slot) => accounts.slots.contains(&slot),
            Named::Id(id) => accounts.ids.contains(&id),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ducat_engine::money::CurrencyId;
    use ducat_engine::transfer::{AccountSpec, AccountStatus};

    fn opened(id: u128) -> Record {
        let id = AccountId::new(id).expect("not zero");
        let currency = CurrencyId(826);
        Record::AccountOpened(AccountSpec { id, currency, overdraft_limit: 0, external: false })
    }

    #[test]
    fn an_account_is_known_by_its_id_until_it_is_opened_and_by_its_slot_afterwards() {
        let id = AccountId::new(7).expect("not zero");
        let wanted = FeedFilter { accounts: vec![id], ..FeedFilter::default() };
        let filter = Filter::new(&wanted);
        let status = Record::StatusChanged { slot: Slot(3), status: AccountStatus::Frozen };
        assert!(filter.awaits(&opened(7)) && filter.takes(&opened(7), &[]));
        assert!(!filter.awaits(&opened(8)) && !filter.takes(&opened(8), &[]));
        assert!(!filter.takes(&status, &[]), "nobody knows the slot yet");
        let filter = filter.with([(id, Slot(3))].into_iter());
        assert!(filter.takes(&status, &[]) && filter.awaited().is_empty());
        assert!(!filter.awaits(&opened(7)) && filter.takes(&opened(7), &[]));
    }

    #[test]
    fn kinds_narrow_what_accounts_allow() {
        let kinds = vec![EventKind::StatusChanged];
        let filter = Filter::new(&FeedFilter { kinds, ..FeedFilter::default() });
        let status = Record::StatusChanged { slot: Slot(3), status: AccountStatus::Frozen };
        assert!(filter.takes(&status, &[]) && !filter.takes(&opened(7), &[]));
        let all = Filter::new(&FeedFilter::default());
        assert!(all.takes(&status, &[]) && all.takes(&opened(7), &[]) && all.awaited().is_empty());
    }
}
