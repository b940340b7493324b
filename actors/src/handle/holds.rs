//! Holds as the engine shows them: by id, and the open ones of an account.

use super::{Handle, RequestError, check_size};
use crate::entries::{blocking, views};
use crate::stored::StoredError;
use crate::tasks::{FoundHold, Read};
use ducat_engine::holds::{Closed, Hold};
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::record::{Held, Record};
use ducat_engine::transfer::AccountView;
use std::collections::HashMap;

/// Places of the ledger's open holds that one page looks at, at most: about a millisecond's work.
pub(crate) const PLACES_PER_PAGE: usize = 16_384;

/// A hold as it stands at one LSN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldView {
    /// Its id.
    pub id: TransferId,
    /// How it ended; `None` while it is open.
    pub closed: Option<Closed>,
    /// The account that pays.
    pub debit: AccountId,
    /// The account that receives.
    pub credit: AccountId,
    /// What both accounts hold.
    pub currency: CurrencyId,
    /// Minor units it was placed with.
    pub amount: u128,
    /// Minor units still set aside; 0 of one that is closed.
    pub remaining: u128,
    /// By how much captures together may exceed the amount, minor units.
    pub over_capture_max: u128,
    /// When an open one expires, nanoseconds since the Unix epoch;
    /// [`ducat_engine::request::NEVER_NS`]. `None` of one that is closed.
    pub expires_ns: Option<u64>,
    /// The event that placed it.
    pub placed_lsn: Lsn,
}

/// Holds as of one durable LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldsAt {
    /// One for each id asked for; `None` for unknown ones.
    pub holds: Vec<Option<HoldView>>,
    /// The moment.
    pub lsn: Lsn,
}

/// A page of an account's open holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldsPage {
    /// The holds; perhaps none, though there are more.
    pub holds: Vec<HoldView>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<u32>,
    /// The moment.
    pub lsn: Lsn,
}

impl Handle {
    /// Holds by id, all as of one durable LSN: the open ones, however old, and closed ones whose
    /// ids are remembered.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn holds(&self, ids: Vec<TransferId>) -> Result<HoldsAt, RequestError> {
        check_size(ids.len())?;
        let found = self.read(|reply| Read::HoldsById { ids, reply }).await?;
        let lsn = found.lsn;
        let closed = |found: &FoundHold| match found {
            FoundHold::Open(_) => None,
            FoundHold::Closed { placed_lsn, .. } => Some(*placed_lsn),
        };
        let placed: Vec<Lsn> = found.what.iter().flatten().filter_map(closed).collect();
        let mut placed = self.placed(placed).await?.into_iter();
        let views = found.what.into_iter().map(|found| match found? {
            FoundHold::Open(hold) => Some(Raw::open(&hold)),
            FoundHold::Closed { placed_lsn, closed } => {
                Some(Raw::closed(placed_lsn, closed, &placed.next()??))
            }
        });
        let raw: Vec<Option<Raw>> = views.collect();
        let holds = self.named(raw).await?;
        Ok(HoldsAt { holds, lsn })
    }

    /// A page of at most `limit` open holds (capped at [`super::BATCH_MAX`]) of a debit account,
    /// from place `from` on; `Ok(None)` when no account has this id.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn list_holds(
        &self,
        account: AccountId,
        from: u32,
        limit: usize,
    ) -> Result<Option<HoldsPage>, RequestError> {
        let limit = limit.clamp(1, super::BATCH_MAX);
        let found = self.read(|reply| Read::HoldsOf { account, from, limit, reply }).await?;
        let lsn = found.lsn;
        let Some((holds, next)) = found.what else { return Ok(None) };
        let raw = holds.iter().map(|hold| Some(Raw::open(hold))).collect();
        let holds = self.named(raw).await?.into_iter().flatten().collect();
        Ok(Some(HoldsPage { holds, next, lsn }))
    }

    /// The events that placed holds which are closed now.
    async fn placed(&self, lsns: Vec<Lsn>) -> Result<Vec<Option<Held>>, RequestError> {
        if lsns.is_empty() {
            return Ok(Vec::new());
        }
        blocking(&self.shared, move |reader| {
            let held = |lsn| match reader.event(lsn)?.record {
                Record::Held(held) => Ok(Some(held)),
                _ => Ok(None),
            };
            lsns.into_iter().map(held).collect::<Result<Vec<_>, StoredError>>()
        })
        .await
    }

    /// With the ids of their accounts.
    async fn named(&self, raw: Vec<Option<Raw>>) -> Result<Vec<Option<HoldView>>, RequestError> {
        let slots = raw.iter().flatten().flat_map(|raw| [raw.debit, raw.credit]).collect();
        let accounts = views(self, slots).await?;
        Ok(raw.into_iter().map(|raw| raw?.named(&accounts)).collect())
    }
}

/// A hold whose accounts are known by their slots.
struct Raw {
    id: TransferId,
    closed: Option<Closed>,
    debit: Slot,
    credit: Slot,
    amount: u128,
    remaining: u128,
    over_capture_max: u128,
    expires_ns: Option<u64>,
    placed_lsn: Lsn,
}

impl Raw {
    fn open(hold: &Hold) -> Self {
        Self {
            id: hold.id,
            closed: None,
            debit: hold.debit,
            credit: hold.credit,
            amount: hold.amount,
            remaining: hold.remaining,
            over_capture_max: hold.over_capture_max,
            expires_ns: Some(hold.expires_ns),
            placed_lsn: hold.placed_lsn,
        }
    }

    fn closed(placed_lsn: Lsn, closed: Closed, held: &Held) -> Self {
        Self {
            id: held.id,
            closed: Some(closed),
            debit: held.debit,
            credit: held.credit,
            amount: held.amount,
            remaining: 0,
            over_capture_max: held.over_capture_max,
            expires_ns: None,
            placed_lsn,
        }
    }

    fn named(self, accounts: &HashMap<Slot, AccountView>) -> Option<HoldView> {
        let (debit, credit) = (accounts.get(&self.debit)?.spec, accounts.get(&self.credit)?.spec);
        let Self { id, closed, amount, remaining, over_capture_max, expires_ns, placed_lsn, .. } =
            self;
        Some(HoldView {
            id,
            closed,
            debit: debit.id,
            credit: credit.id,
            currency: debit.currency,
            amount,
            remaining,
            over_capture_max,
            expires_ns,
            placed_lsn,
        })
    }
}
