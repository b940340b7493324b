//! Dry runs: what would become of requests, judged on the side by the very rules that decide them.
//!
//! ```text
//! Coordinator::excerpt ─▶ Excerpt: all that has a say in some requests, as of one LSN
//!          accounts' copies ─▶ Excerpt::judge ─▶ a throw-away ledger executes them ─▶ DryRun
//! ```
//!
//! An excerpt is copied between two batches: the accounts that the requests name or lead to, holds,
//! refunded originals, remembered ids. Nothing of the state it is copied from is prepared, changed or
//! remembered, and no rule is written a second time: a ledger of one partition is built of the copies,
//! in slots of its own, and executes the requests at the LSNs and the time that they would get. So
//! what it says is what the same requests are told when they come next. See `docs/adr/0026-dry-run.md`.
//!
//! What else decides about requests, as schedules of fees do, belongs into the excerpt, and into the
//! ledger that [`Excerpt::ledger`] builds: the legs it adds are then part of the answer.

mod accounts;
mod slots;

use crate::account::{Account, Impossible};
use crate::account_event::Opening;
use crate::coordinator::{Answer, Coordinator};
use crate::fees::Fees;
use crate::holds::{Closed, Hold};
use crate::ids::{AccountId, Lsn, Slot, TransferId};
use crate::ledger::Ledger;
use crate::money::Currencies;
use crate::profile::Details;
use crate::record::Record;
use crate::refunds::{Did, RefundState};
use crate::request::Request;
use crate::transfer::AccountView;
use std::sync::Arc;

/// Copies of all that has a say in some requests, but for the accounts themselves.
#[derive(Clone, Debug)]
pub struct Excerpt {
    /// The last event of the state it was copied from.
    as_of: Lsn,
    /// When the requests are judged, nanoseconds since the Unix epoch.
    time_ns: u64,
    /// The accounts, in order: the place of one is its slot in the throw-away ledger.
    slots: Vec<Slot>,
    holds: Vec<Hold>,
    refunds: Vec<(Lsn, RefundState)>,
    /// Remembered ids, the events that decided them, and how the holds among them ended.
    known: Vec<(TransferId, Lsn, Option<Closed>)>,
    /// What is known of accounts beside their money; for changes of accounts alone.
    details: Vec<(Slot, Arc<Details>)>,
    currencies: Currencies,
    /// Schedules of fees; the accounts that get what is due for the requests are among the slots.
    fees: Fees,
}

/// What would become of some requests.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// The answer. What is new in it lies behind [`Self::as_of`]: at LSNs that the requests would
    /// get if nothing came before them, and that are nobody's.
    pub answer: Answer,
    /// The last event of the state in which they were judged.
    pub as_of: Lsn,
    /// When they were judged, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// The events that they would come to, in order.
    pub records: Vec<(Lsn, Record)>,
}

/// What would become of a change of an account: how it would stand, and what would be known of it.
pub type DryChange = (AccountView, Option<Arc<Details>>);

impl Coordinator {
    /// Copies of what has a say in these requests, as they would be decided at `now_ns`. Nothing is
    /// changed; the accounts themselves are the partitions' ([`Excerpt::slots`] says which).
    #[must_use]
    pub fn excerpt(&self, requests: &[Request], now_ns: u64) -> Excerpt {
        let mut excerpt = self.excerpt_at(now_ns);
        let time_ns = excerpt.time_ns;
        let mut ids = Vec::new();
        for request in requests {
            let named = request.accounts().into_iter().flatten();
            excerpt.slots.extend(named.filter_map(|id| Some(self.directory.get(id)?.slot)));
            excerpt.slots.extend(self.gets_fee(request));
            ids.push(request.id());
            ids.extend(request.hold());
            let Some(refund) = request.refund() else { continue };
            ids.push(refund.of);
            if let Some(original) = refund.original {
                if let Did::Moved { debit, credit, .. } = original.did {
                    excerpt.slots.extend([debit, credit]);
                }
                let state = self.refunds.get(original.lsn).copied();
                excerpt.refunds.extend(state.map(|state| (original.lsn, state)));
            }
        }
        // Who pays for a capture or a refund, and of what kind it is, follows from what comes before it.
        let follows =
            |request: &Request| matches!(request.plain(), Request::Capture(_) | Request::Refund(_));
        if self.fees.are_attached() && requests.iter().any(follows) {
            excerpt.slots.extend(self.fees.receivers());
        }
        ids.sort_unstable_by_key(|id| id.get());
        ids.dedup();
        excerpt.holds.extend(ids.iter().filter_map(|id| self.holds.get(*id)).copied());
        // What is due expires before anything else happens, whosever it is.
        let due = self
            .holds
            .due(time_ns)
            .filter(|hold| ids.binary_search_by_key(&hold.id.get(), |id| id.get()).is_err());
        excerpt.holds.extend(due.copied());
        excerpt.slots.extend(excerpt.holds.iter().flat_map(|hold| [hold.debit, hold.credit]));
        let known = |id: TransferId| self.known.at(id, time_ns).map(|(lsn, end)| (id, lsn, end));
        excerpt.known.extend(ids.into_iter().filter_map(known));
        excerpt.settle();
        excerpt
    }

    /// Copies of what has a say in openings of these accounts, and in changes of them.
    #[must_use]
    pub fn excerpt_of_accounts(
        &self,
        accounts: impl IntoIterator<Item = AccountId>,
        now_ns: u64,
    ) -> Excerpt {
        let mut excerpt = self.excerpt_at(now_ns);
        let listed = accounts.into_iter().filter_map(|id| Some(self.directory.get(id)?.slot));
        excerpt.slots.extend(listed);
        excerpt.settle();
        let details = |slot: &Slot| Some((*slot, Arc::clone(self.profiles.get(*slot)?)));
        excerpt.details.extend(excerpt.slots.iter().filter_map(details));
        excerpt
    }

    /// The account that gets the fee of a transfer.
    fn gets_fee(&self, request: &Request) -> Option<Slot> {
        if !self.fees.are_attached() {
            return None;
        }
        let transfer = request.transfer()?;
        let listing = self.directory.get(transfer.debit)?;
        let number = self.fees.schedule_for(transfer.kind, listing.slot, listing.currency)?;
        self.fees.slot(number)
    }

    fn excerpt_at(&self, now_ns: u64) -> Excerpt {
        Excerpt {
            as_of: Lsn(self.next_lsn.0 - 1),
            time_ns: now_ns.max(self.last_time_ns),
            slots: Vec::new(),
            holds: Vec::new(),
            refunds: Vec::new(),
            known: Vec::new(),
            details: Vec::new(),
            currencies: self.currencies.clone(),
            fees: self.fees.clone(),
        }
    }
}

impl Excerpt {
    fn settle(&mut self) {
        self.slots.sort_unstable();
        self.slots.dedup();
        self.refunds.sort_unstable_by_key(|(lsn, _)| *lsn);
        self.refunds.dedup_by_key(|(lsn, _)| *lsn);
    }

    /// The last event of the state it was copied from.
    #[must_use]
    pub fn as_of(&self) -> Lsn {
        self.as_of
    }

    /// The accounts of which copies are needed, as they stood at that moment.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// What would become of the requests, all of one submission, none of which is unread
    /// ([`Coordinator::unread`]) and the last of which is not linked; `accounts` are the copies of
    /// [`Self::slots`], in any order.
    ///
    /// # Errors
    /// [`Impossible`] when a decision contradicts the accounts: the copies are not of one moment.
    ///
    /// # Panics
    /// When a copy is missing, or a request unread.
    pub fn judge(
        &self,
        mut requests: Vec<Request>,
        accounts: Vec<(Slot, Account)>,
    ) -> Result<DryRun, Impossible> {
        let mut ledger = self.ledger(accounts);
        requests.iter_mut().for_each(|request| self.localize(request));
        let unread = |lsn| panic!("event {lsn} was to be read before");
        let done = ledger.execute_reading(self.time_ns, &[&requests[..]], unread)?;
        let mut records = done.records;
        records.iter_mut().for_each(|(_, record)| slots::relocate(record, |slot| self.there(slot)));
        let mut answer = done.answers.into_iter().next().unwrap_or_default();
        for (_, _, asked) in &mut answer.repeats {
            asked.relocate(|slot| self.there(slot));
        }
        Ok(DryRun { answer, as_of: self.as_of, time_ns: done.time_ns, records })
    }

    /// The throw-away ledger: the copies, in slots of its own, about to decide the next event.
    fn ledger(&self, mut accounts: Vec<(Slot, Account)>) -> Ledger {
        let mut ledger = Ledger::new(1, 0, u64::MAX).expect("one partition");
        accounts.sort_unstable_by_key(|(slot, _)| *slot);
        assert_eq!(accounts.len(), self.slots.len(), "a copy of every account");
        for (at, (slot, account)) in accounts.into_iter().enumerate() {
            assert_eq!(slot, self.slots[at], "a copy of every account");
            let here = self.here(slot);
            let (id, currency, external) =
                (account.id(), account.currency(), account.is_external());
            let listed = ledger.coordinator.directory.list(id, currency, external);
            assert_eq!(listed, Some(here), "ids of accounts differ");
            ledger.partitions[0].host(here, account.settled());
        }
        let coordinator = &mut ledger.coordinator;
        for hold in &self.holds {
            let (debit, credit) = (self.here(hold.debit), self.here(hold.credit));
            coordinator.holds.insert(Hold { debit, credit, ..*hold });
        }
        for (original, state) in &self.refunds {
            coordinator.refunds.set(*original, *state);
        }
        for (id, lsn, closed) in &self.known {
            coordinator.known.insert(*id, *lsn, 0);
            if let Some(closed) = closed {
                coordinator.known.close(*id, *lsn, *closed);
            }
        }
        for (slot, details) in &self.details {
            coordinator.profiles.restore(self.here(*slot), Arc::clone(details));
        }
        coordinator.currencies = self.currencies.clone();
        coordinator.fees = self
            .fees
            .relocated(|slot| self.slots.binary_search(&slot).is_ok().then(|| self.here(slot)));
        coordinator.next_lsn = self.as_of.next();
        coordinator.last_time_ns = self.time_ns;
        ledger
    }

    /// Puts the throw-away ledger's slots into what the journal says of an original.
    fn localize(&self, request: &mut Request) {
        if let Some(refund) = request.refund_mut()
            && let Some(original) = &mut refund.original
            && let Did::Moved { debit, credit, .. } = &mut original.did
        {
            *debit = self.here(*debit);
            *credit = self.here(*credit);
        }
    }

    /// The slot that a copy has in the throw-away ledger.
    fn here(&self, slot: Slot) -> Slot {
        let at = self.slots.binary_search(&slot).expect("its account is part of the excerpt");
        Slot(u32::try_from(at).expect("slots are 32 bits wide"))
    }

    /// The slot of the account whose copy is in this one.
    fn there(&self, slot: Slot) -> Slot {
        self.slots[slot.index()]
    }
}

impl DryRun {
    /// The event at this LSN, where it is one that the requests would come to.
    #[must_use]
    pub fn record(&self, lsn: Lsn) -> Option<&Record> {
        let at = self.records.binary_search_by_key(&lsn, |(lsn, _)| *lsn).ok()?;
        Some(&self.records[at].1)
    }
}

impl Ledger {
    /// What would become of requests decided next, at `now_ns`: as [`Self::execute_reading`] says,
    /// without anything being done.
    ///
    /// # Errors
    /// [`Impossible`] when a decision contradicts the accounts.
    pub fn dry_run(
        &self,
        now_ns: u64,
        requests: &[Request],
        read: impl Fn(Lsn) -> Record,
    ) -> Result<DryRun, Impossible> {
        let mut requests = requests.to_vec();
        self.read_originals(&mut requests, &[], read);
        let excerpt = self.coordinator.excerpt(&requests, now_ns);
        excerpt.judge(requests, self.copies(&excerpt))
    }

    /// What would become of openings, as [`Self::open_with`] does them one after the other.
    #[must_use]
    pub fn dry_run_openings(&self, now_ns: u64, openings: &[Opening]) -> accounts::DryOpenings {
        let ids = openings.iter().map(|opening| opening.spec.id);
        let excerpt = self.coordinator.excerpt_of_accounts(ids, now_ns);
        excerpt.open(self.copies(&excerpt), openings)
    }

    /// Copies of the accounts that an excerpt needs.
    #[must_use]
    pub fn copies(&self, excerpt: &Excerpt) -> Vec<(Slot, Account)> {
        let copy = |slot: &Slot| (*slot, self.host(*slot).at(*slot).clone());
        excerpt.slots.iter().map(copy).collect()
    }
}
