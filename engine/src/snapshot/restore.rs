//! A ledger built again from a snapshot.
//!
//! Accounts and ids have nothing to do with one another until the end, so two threads can
//! build them beside each other: [`Restore::accounts`] and [`Restore::ids`] are parts of their
//! own.

use super::{End, Head, IdsPiece, ProfilesPiece, RefundsPiece, Tally, Unsound};
use crate::account::Account;
use crate::coordinator::Coordinator;
use crate::holds::Hold;
use crate::ids::Slot;
use crate::known::KnownIds;
use crate::ledger::Ledger;
use crate::money::CurrencyId;
use crate::partition::{Layout, Partition};

/// A ledger on its way back. Fill both parts, then [`Restore::finish`].
#[derive(Debug)]
pub struct Restore {
    /// Takes the accounts.
    pub accounts: RestoreAccounts,
    /// Takes the ids.
    pub ids: RestoreIds,
}

/// The accounts, what finds them, and what is known of them.
#[derive(Debug)]
pub struct RestoreAccounts {
    tally: Tally,
    coordinator: Coordinator,
    partitions: Vec<Partition>,
}

/// The memory of ids.
#[derive(Debug)]
pub struct RestoreIds {
    tally: Tally,
    known: KnownIds,
}

impl Restore {
    /// An empty ledger of `partitions`, for a snapshot with this head. The seed scatters ids;
    /// choose it so that callers cannot guess it. `remember_ns` is the ledger's own.
    ///
    /// # Errors
    /// [`Unsound`] when no ledger has such a head.
    pub fn new(
        head: &Head,
        partitions: usize,
        seed: u64,
        remember_ns: u64,
    ) -> Result<Self, Unsound> {
        let layout = Layout::new(partitions).ok_or(Unsound::Partitions(partitions))?;
        let (found, expected) = (head.ids.remember_ns, remember_ns);
        if found != expected {
            return Err(Unsound::Remember { found, expected });
        }
        // Each part counts its own; what is not there is announced as none.
        let ids = crate::known::IdsHead { old: 0, young: 0, ..head.ids };
        let tally = Tally::new(Head { ids, ..head.clone() })?;
        let mut coordinator = Coordinator::new(layout, seed, remember_ns);
        coordinator.currencies = tally.currencies().clone();
        coordinator.fees = head.fees.clone();
        coordinator.next_lsn = head.lsn.next();
        coordinator.last_time_ns = head.time_ns;
        let known = coordinator.known.restoring(&head.ids);
        let partitions = (0..partitions).map(|index| Partition::new(index, layout)).collect();
        Ok(Self {
            accounts: RestoreAccounts { tally, coordinator, partitions },
            ids: RestoreIds {
                tally: Tally::new(Head { accounts: 0, holds: 0, ..head.clone() })?,
                known,
            },
        })
    }

    /// The ledger, when everything was there and adds up to what the end says.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn finish(self, end: &End) -> Result<Ledger, Unsound> {
        let RestoreAccounts { tally, mut coordinator, partitions } = self.accounts;
        tally.check(end)?;
        let hosts = |slot| {
            let listing = coordinator.directory.at(slot)?;
            Some((listing.currency, listing.external))
        };
        coordinator.fees.check_whole(hosts).map_err(Unsound::Fees)?;
        self.ids.tally.finish()?;
        coordinator.known = self.ids.known;
        Ok(Ledger { coordinator, partitions })
    }
}

impl RestoreAccounts {
    pub(super) fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    pub(super) fn coordinator_mut(&mut self) -> &mut Coordinator {
        &mut self.coordinator
    }

    /// The slot of the next account.
    #[must_use]
    pub fn next_slot(&self) -> u64 {
        self.tally.next_slot()
    }

    /// The next accounts, in the order of their slots.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn put(&mut self, accounts: Vec<Account>) -> Result<(), Unsound> {
        let first = self.tally.next_slot();
        self.tally.accounts(&accounts)?;
        for (at, account) in (first..).zip(accounts) {
            let wrong = |what| Unsound::Account { slot: at, what };
            let spec = account.spec();
            let listed = self.coordinator.directory.list(spec.id, spec.currency, spec.external);
            let slot = listed.ok_or_else(|| wrong("its id comes twice"))?;
            let host = self.coordinator.layout.partition_of(slot);
            self.partitions[host].host(slot, account);
        }
        Ok(())
    }

    /// What is known of the next accounts, after all accounts.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn put_profiles(&mut self, piece: ProfilesPiece) -> Result<(), Unsound> {
        self.tally.profiles(&piece)?;
        for (slot, details) in piece {
            self.coordinator.profiles.restore(slot, details);
        }
        Ok(())
    }
}

impl RestoreAccounts {
    /// The next refunded transfers, behind all accounts.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn put_refunds(&mut self, piece: &RefundsPiece) -> Result<(), Unsound> {
        self.tally.refunds(piece)?;
        for (lsn, state) in piece {
            self.coordinator.refunds.set(*lsn, *state);
        }
        Ok(())
    }

    /// What the account in this slot holds, if it is there.
    #[must_use]
    pub fn currency(&self, slot: Slot) -> Option<CurrencyId> {
        let host = self.coordinator.layout.partition_of(slot);
        self.partitions[host].account(slot).map(Account::currency)
    }

    /// The next open holds, behind all accounts.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn put_holds(&mut self, holds: &[Hold]) -> Result<(), Unsound> {
        self.tally.holds(holds)?;
        for hold in holds {
            let wrong = |what| Err(Unsound::Hold { id: hold.id, what });
            let currencies = [hold.debit, hold.credit].map(|slot| self.currency(slot));
            if hold.debit == hold.credit || currencies != [Some(hold.currency); 2] {
                return wrong("its accounts are the same or differ in currency");
            }
            if !self.coordinator.holds.insert(*hold) {
                return wrong("its id comes twice");
            }
        }
        Ok(())
    }
}

impl RestoreIds {
    /// The next ids, those of the older generation first.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn put(&mut self, piece: &IdsPiece) -> Result<(), Unsound> {
        self.tally.ids(piece)?;
        match self.known.put(piece) {
            None => Ok(()),
            Some((id, lsn)) => Err(Unsound::Id { id, lsn, what: "it comes twice" }),
        }
    }
}
