//! What slots stand for, as far as anybody looked back: the facts of an account that never change.
//!
//! A record names accounts by slot; those who read it want ids, currencies, roles. Asking the
//! partitions for each event would cost transfers time over and over. So what was asked once is
//! kept: 24 bytes for each account, in pages that are there only once one of their accounts was
//! asked for. Only durable facts are kept, since reads wait for their LSN.

use crate::handle::{Handle, RequestError};
use crate::tasks::Read;
use ducat_engine::ids::{AccountId, Slot};
use ducat_engine::money::CurrencyId;
use ducat_engine::transfer::AccountSpec;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Accounts of a page.
const PAGE: usize = 1024;

/// Accounts asked for in one read: each holds up transfers for as long as it takes to look so
/// many up.
const ASKED_MAX: usize = 1024;

/// An account's facts. Ids are halves, which spares the padding; both 0 is an account that was
/// not asked for.
#[derive(Clone, Copy)]
struct Kept {
    high: u64,
    low: u64,
    currency: CurrencyId,
    external: bool,
}

const NOT_KEPT: Kept = Kept { high: 0, low: 0, currency: CurrencyId(0), external: false };

/// What never changes of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub id: AccountId,
    pub currency: CurrencyId,
    pub external: bool,
}

type Pages = Vec<Option<Box<[Kept; PAGE]>>>;

/// The facts that were asked for.
#[derive(Default)]
pub(crate) struct Names {
    pages: RwLock<Pages>,
}

/// A look at the facts that are known.
pub(crate) struct Known<'n>(RwLockReadGuard<'n, Pages>);

impl Known<'_> {
    /// An account's facts, if they were asked for.
    pub fn get(&self, slot: Slot) -> Option<Name> {
        let page = self.0.get(slot.index() / PAGE)?.as_ref()?;
        let kept = page[slot.index() % PAGE];
        let id = AccountId::from_halves(kept.high, kept.low).ok()?;
        Some(Name { id, currency: kept.currency, external: kept.external })
    }
}

impl Names {
    /// What is known. Keep it for a moment only.
    pub fn known(&self) -> Known<'_> {
        Known(self.pages.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the facts of these accounts known.
    pub async fn learn(&self, handle: &Handle, mut missing: Vec<Slot>) -> Result<(), RequestError> {
        {
            let known = self.known();
            missing.retain(|slot| known.get(*slot).is_none());
        }
        missing.sort_unstable();
        missing.dedup();
        for slots in missing.chunks(ASKED_MAX) {
            let slots = slots.to_vec();
            let found = handle.read(|reply| Read::Slots { slots, reply }).await?;
            let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
            for (slot, view) in found.what {
                keep(&mut pages, slot, &view.spec);
            }
        }
        Ok(())
    }
}

fn keep(pages: &mut Pages, slot: Slot, spec: &AccountSpec) {
    let page = slot.index() / PAGE;
    if pages.len() <= page {
        pages.resize_with(page + 1, || None);
    }
    let kept = pages[page].get_or_insert_with(|| Box::new([NOT_KEPT; PAGE]));
    let (high, low) = (spec.id.high(), spec.id.low());
    kept[slot.index() % PAGE] =
        Kept { high, low, currency: spec.currency, external: spec.external };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_known_and_nothing_else() {
        let names = Names::default();
        let spec = |id| AccountSpec {
            id: AccountId::new(id).expect("not zero"),
            currency: CurrencyId(826),
            overdraft_limit: 0,
            external: id == 1,
        };
        for (slot, id) in [(0, 1), (5000, u128::MAX), (1023, 7)] {
            keep(&mut names.pages.write().expect("sound"), Slot(slot), &spec(id));
        }
        let known = names.known();
        let (currency, id) = (CurrencyId(826), spec(u128::MAX).id);
        assert_eq!(known.get(Slot(5000)), Some(Name { id, currency, external: false }));
        assert!(known.get(Slot(0)).is_some_and(|name| name.external));
        for slot in [1, 1022, 1024, 4999, 1 << 20, u32::MAX] {
            assert_eq!(known.get(Slot(slot)), None, "{slot}");
        }
        assert_eq!(size_of::<Kept>(), 24);
    }
}
