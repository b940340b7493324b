//! The running check of a snapshot's pieces, in little memory: counts, order, every account's
//! figures, the sums of each currency, the state's hash. Whoever writes a snapshot gets its
//! [`End`] from it, whoever reads one compares.

use super::driven::DrivenTally;
use super::{End, Head, IdsPiece, ProfilesPiece, RefundsPiece, Unsound};
use crate::account::Account;
use crate::holds::Hold;
use crate::ids::{Lsn, Slot};
use crate::known::Age;
use crate::ledger::{HashPart, HoldsDiffer, HoldsPart, Known, RefundsPart, Totals, hash_of_state};
use crate::money::{AMOUNT_MAX, Currencies, CurrencyId};
use crate::profile::ProfilesHash;
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Copy, Debug)]
struct OnHold {
    currency: CurrencyId,
    all: u128,
    left: u128,
}

/// What was seen so far of a snapshot with this head.
#[derive(Clone, Debug)]
pub struct Tally {
    head: Head,
    currencies: Currencies,
    slots: u64,
    hash: HashPart,
    totals: BTreeMap<CurrencyId, Totals>,
    holds: HoldsPart,
    /// Accounts that have something on hold: how much, and what of it no hold accounts for yet.
    on_hold: HashMap<Slot, OnHold, FixedState>,
    profiles: ProfilesHash,
    /// One past the last slot of which something is known.
    next_profile: u64,
    refunds: RefundsPart,
    /// The last transfer that was refunded.
    last_refunded: Lsn,
    driven: DrivenTally,
    ids: [u64; 2],
    last_id: Lsn,
    scratch: Vec<u8>,
}

impl Tally {
    /// The beginning.
    ///
    /// # Errors
    /// [`Unsound`] when no ledger has such a head.
    pub fn new(head: Head) -> Result<Self, Unsound> {
        let mut currencies = Currencies::new();
        for (at, asset) in head.assets.iter().enumerate() {
            currencies.define(&asset.code, u32::from(asset.digits))?;
            let (said, found) = (head.assets.len() as u64, at as u64);
            if currencies.own().len() != at + 1 {
                return Err(Unsound::Count { what: "different assets", said, found });
            }
        }
        // Each account, asset and id has an event of its own.
        let (lsn, ids) = (head.lsn.0, head.ids.old.saturating_add(head.ids.young));
        let counts =
            [("accounts", head.accounts), ("remembered ids", ids), ("open holds", head.holds)];
        for (what, said) in counts {
            if said > lsn {
                return Err(Unsound::Count { what, said, found: lsn });
            }
        }
        Ok(Self {
            head,
            currencies,
            slots: 0,
            hash: HashPart::default(),
            totals: BTreeMap::new(),
            holds: HoldsPart::default(),
            on_hold: HashMap::with_hasher(FixedState::default()),
            profiles: ProfilesHash::default(),
            next_profile: 0,
            refunds: RefundsPart::default(),
            last_refunded: Lsn::ZERO,
            driven: DrivenTally::default(),
            ids: [0; 2],
            last_id: Lsn::ZERO,
            scratch: Vec::with_capacity(128),
        })
    }

    /// The head it began with.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn driven_tally(&mut self) -> &mut DrivenTally {
        &mut self.driven
    }

    pub(super) fn currencies(&self) -> &Currencies {
        &self.currencies
    }

    /// The slot of the next account.
    #[must_use]
    pub fn next_slot(&self) -> u64 {
        self.slots
    }

    /// The next accounts, in the order of their slots.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn accounts(&mut self, accounts: &[Account]) -> Result<(), Unsound> {
        let found = self.slots + accounts.len() as u64;
        if found > self.head.accounts {
            return Err(Unsound::Count { what: "accounts", said: self.head.accounts, found });
        }
        for account in accounts {
            let durable = account.durable();
            let wrong = |what| Unsound::Account { slot: self.slots, what };
            let newest = durable.opened_lsn.max(durable.last_lsn).max(durable.changed_lsn);
            if newest > self.head.lsn {
                return Err(wrong("an event of it comes after the snapshot"));
            }
            if self.currencies.by_id(account.currency()).is_none() {
                return Err(wrong("its currency is unknown"));
            }
            let slot = u32::try_from(self.slots).map_err(|_| wrong("no slot is left"))?;
            self.hash.add(Slot(slot), account, &mut self.scratch);
            if durable.on_hold > 0 {
                let (currency, all) = (account.currency(), durable.on_hold);
                self.on_hold.insert(Slot(slot), OnHold { currency, all, left: all });
            }
            self.totals.entry(account.currency()).or_default().add(account);
            self.slots += 1;
        }
        Ok(())
    }

    /// The next open holds, behind all accounts.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn holds(&mut self, holds: &[Hold]) -> Result<(), Unsound> {
        let found = self.holds.count + holds.len() as u64;
        if found > self.head.holds {
            return Err(Unsound::Count { what: "open holds", said: self.head.holds, found });
        }
        for hold in holds {
            let wrong = |what| Err(Unsound::Hold { id: hold.id, what });
            if [hold.debit, hold.credit].iter().any(|slot| u64::from(slot.0) >= self.slots) {
                return wrong("no such account is there");
            }
            if !(1..=AMOUNT_MAX).contains(&hold.amount) || hold.over_capture_max > AMOUNT_MAX {
                return wrong("its amount is out of range");
            }
            if !(1..=hold.amount).contains(&hold.remaining) {
                return wrong("what remains of it is out of range");
            }
            if hold.placed_lsn == Lsn::ZERO || hold.placed_lsn > self.head.lsn {
                return wrong("no event placed it");
            }
            let on_hold = self.on_hold.get_mut(&hold.debit);
            match on_hold.and_then(|on| Some((on.left.checked_sub(hold.remaining)?, on))) {
                Some((left, on_hold)) => on_hold.left = left,
                None => return wrong("its account has less on hold"),
            }
            self.holds.hash.add_hold(hold, &mut self.scratch);
        }
        self.holds.count = found;
        Ok(())
    }

    /// Holds and accounts agree, and all are there.
    fn check_holds(&self) -> Result<(), Unsound> {
        let (said, found) = (self.head.holds, self.holds.count);
        if said != found {
            return Err(Unsound::Count { what: "open holds", said, found });
        }
        let more = self.on_hold.iter().filter(|(_, on_hold)| on_hold.left > 0);
        match more.min_by_key(|(slot, _)| **slot) {
            None => Ok(()),
            Some((slot, OnHold { all, left, .. })) => {
                let (slot, on_hold, expected) = (*slot, *all, all - left);
                Err(HoldsDiffer { slot, on_hold, expected }.into())
            }
        }
    }

    /// What the account in this slot holds, if it has something on hold.
    #[must_use]
    pub fn currency(&self, slot: Slot) -> Option<CurrencyId> {
        self.on_hold.get(&slot).map(|on_hold| on_hold.currency)
    }

    /// What is known of the next accounts, in the order of their slots, after all accounts.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn profiles(&mut self, piece: &ProfilesPiece) -> Result<(), Unsound> {
        for (slot, details) in piece {
            let number = u64::from(slot.0);
            let wrong = |what| Unsound::Account { slot: number, what };
            if number >= self.slots {
                return Err(wrong("something is known of it, and it is not there"));
            }
            if number < self.next_profile {
                return Err(wrong("what is known of accounts comes in the order of their slots"));
            }
            details.check().map_err(wrong)?;
            if details.last_lsn > self.head.lsn {
                return Err(wrong("an event of it comes after the snapshot"));
            }
            self.profiles.add(*slot, details, &mut self.scratch);
            self.next_profile = number + 1;
        }
        Ok(())
    }

    /// The next transfers that were refunded, in the order of their events.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn refunds(&mut self, piece: &RefundsPiece) -> Result<(), Unsound> {
        for (lsn, state) in piece {
            let wrong = |what| Unsound::Refund { lsn: *lsn, what };
            if *lsn <= self.last_refunded {
                return Err(wrong("refunded transfers come in the order of their events"));
            }
            state.check(*lsn).map_err(wrong)?;
            if state.last_lsn > self.head.lsn {
                return Err(wrong("its last refund comes after the snapshot"));
            }
            self.refunds.add(*lsn, state, &mut self.scratch);
            self.last_refunded = *lsn;
        }
        Ok(())
    }

    /// The next ids, those of the older generation first.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn ids(&mut self, piece: &IdsPiece) -> Result<(), Unsound> {
        let (number, what, said) = match piece.age {
            Age::Old => (0, "ids of the older generation", self.head.ids.old),
            Age::Young => (1, "ids of the younger generation", self.head.ids.young),
        };
        if piece.age == Age::Young {
            self.check_old()?;
        }
        self.ids[number] += piece.ids.len() as u64;
        if self.ids[number] > said {
            return Err(Unsound::Count { what, said, found: self.ids[number] });
        }
        let mut ids = piece.ids.iter();
        for run in &piece.runs {
            let id = ids.next().copied();
            let counted = run.count > 0 && id.is_some();
            let last = run.first.0.saturating_add(u64::from(run.count).saturating_sub(1));
            let wrong = |what| match id {
                Some(id) => Unsound::Id { id, lsn: run.first, what },
                None => Unsound::Count { what: "ids of a run", said: 1, found: 0 },
            };
            if !counted || run.first <= self.last_id {
                return Err(wrong("ids come in the order of their events"));
            }
            if last > self.head.lsn.0 {
                return Err(wrong("its event comes after the snapshot"));
            }
            self.last_id = Lsn(last);
            if run.count > 1 {
                ids.nth(run.count as usize - 2);
            }
        }
        let counted: u64 = piece.runs.iter().map(|run| u64::from(run.count)).sum();
        if counted != piece.ids.len() as u64 {
            let found = piece.ids.len() as u64;
            return Err(Unsound::Count { what: "ids of a piece", said: counted, found });
        }
        Ok(())
    }

    fn check_old(&self) -> Result<(), Unsound> {
        let (said, found) = (self.head.ids.old, self.ids[0]);
        if said == found {
            return Ok(());
        }
        Err(Unsound::Count { what: "ids of the older generation", said, found })
    }

    /// The end: everything was there, and no money was made or lost.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn finish(&self) -> Result<End, Unsound> {
        let (said, found) = (self.head.accounts, self.slots);
        if said != found {
            return Err(Unsound::Count { what: "accounts", said, found });
        }
        self.check_holds()?;
        self.check_old()?;
        let (said, found) = (self.head.ids.young, self.ids[1]);
        if said != found {
            return Err(Unsound::Count { what: "ids of the younger generation", said, found });
        }
        for (currency, totals) in &self.totals {
            let sum = totals.internal + totals.external;
            if sum != 0 {
                return Err(Unsound::NotConserved { currency: currency.0, sum });
            }
        }
        let next = self.head.lsn.next();
        let own = self.currencies.own();
        let known =
            Known { next_lsn: next, assets: own, fees: &self.head.fees, driven: &self.driven.part };
        let (slots, holds) = (self.slots, self.holds);
        let state_hash =
            hash_of_state(self.hash, slots, holds, &self.refunds, &known, &self.profiles);
        Ok(End { totals: self.totals.clone(), state_hash })
    }

    /// As [`Self::finish`], and holds the end recorded against the one come to.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn check(&self, recorded: &End) -> Result<(), Unsound> {
        let end = self.finish()?;
        if end.totals != recorded.totals {
            return Err(Unsound::Totals);
        }
        if end.state_hash != recorded.state_hash {
            return Err(Unsound::StateHash);
        }
        Ok(())
    }
}
