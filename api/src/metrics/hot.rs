//! Which accounts most requests concern of late, from a sample: one request in [`EVERY`] is looked at,
//! and never more than [`SAMPLES_MAX`] of a batch. A transfer pays nothing, a batch one addition.
//!
//! What is kept is the summary of Metwally, Agrawal and El Abbadi (space-saving): a bounded table in
//! which a newcomer takes the place of the rarest and inherits its count as its possible error. Told is
//! what is certain of the sample, the count without the error.

use crate::wire_requests::WireRequest;
use ducat_engine::ids::AccountId;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// One request in so many is looked at. A prime, so that no client's own period meets it.
const EVERY: u64 = 61;

/// Most requests of one batch that are looked at; they count for the others.
const SAMPLES_MAX: u64 = 16;

/// Accounts that are kept.
const KEPT: usize = 128;

/// Beyond so many requests of the sample all counts are halved: what is old fades.
const WINDOW: u64 = 1 << 14;

/// Less than this of all requests is not told, thousandths.
const TOLD_PERMILLE_MIN: u64 = 5;

/// Accounts told at most.
const TOLD_MAX: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Kept {
    id: AccountId,
    count: u64,
    error: u64,
}

#[derive(Debug, Default)]
struct Table {
    kept: Vec<Kept>,
    requests: u64,
}

/// The sample.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    seen: AtomicU64,
    table: Mutex<Table>,
}

impl Hot {
    /// Looks at some of the requests.
    pub fn look(&self, batch: &[WireRequest]) {
        let before = self.seen.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let due = (before + batch.len() as u64) / EVERY - before / EVERY;
        if due == 0 {
            return;
        }
        // Somebody else is looking: a sample may be passed over, nobody waits.
        let Ok(mut table) = self.table.try_lock() else { return };
        let samples = due.min(SAMPLES_MAX);
        let weight = due / samples;
        let first = usize::try_from(EVERY - 1 - before % EVERY).unwrap_or(0);
        let step = (batch.len() / usize::try_from(samples).unwrap_or(1)).max(1);
        let looked_at = batch.iter().skip(first).step_by(step);
        for request in looked_at.take(usize::try_from(samples).unwrap_or(1)) {
            table.add(request, weight);
        }
    }

    /// The busiest accounts and their share of the requests of late, in thousandths, the busiest first.
    pub fn busiest(&self) -> Vec<(AccountId, u32)> {
        let table = self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = table.requests.max(1);
        let share = |kept: &Kept| (kept.count - kept.error) * 1000 / all;
        let mut told: Vec<(AccountId, u64)> =
            table.kept.iter().map(|kept| (kept.id, share(kept))).collect();
        told.retain(|&(_, share)| share >= TOLD_PERMILLE_MIN);
        told.sort_unstable_by_key(|&(id, share)| (std::cmp::Reverse(share), id));
        told.truncate(TOLD_MAX);
        told.into_iter().map(|(id, share)| (id, u32::try_from(share).unwrap_or(1000))).collect()
    }
}

impl Table {
    fn add(&mut self, request: &WireRequest, weight: u64) {
        self.requests += weight;
        let debit = AccountId::from_halves(request.debit_account_high, request.debit_account);
        let credit = AccountId::from_halves(request.credit_account_high, request.credit_account);
        // What names no account, such as a capture, has its hold's.
        for id in [debit, credit].into_iter().flatten() {
            self.add_account(id, weight);
        }
        if self.requests > WINDOW {
            self.requests /= 2;
            for kept in &mut self.kept {
                kept.count /= 2;
                kept.error /= 2;
            }
            self.kept.retain(|kept| kept.count > 0);
        }
    }

    fn add_account(&mut self, id: AccountId, weight: u64) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.id == id) {
            kept.count += weight;
            return;
        }
        if self.kept.len() < KEPT {
            self.kept.push(Kept { id, count: weight, error: 0 });
            return;
        }
        let Some(rarest) = self.kept.iter_mut().min_by_key(|kept| kept.count) else { return };
        *rarest = Kept { id, count: rarest.count + weight, error: rarest.count };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(debit: u64, credit: u64) -> WireRequest {
        WireRequest { debit_account: debit, credit_account: credit, ..WireRequest::default() }
    }

    #[test]
    fn a_hot_account_is_found_among_many_and_the_others_are_not_told() {
        for size in [1, 100, 8192] {
            let hot = Hot::default();
            let mut next: u64 = 0;
            for _ in 0..(2_000_000 / size) {
                let batch: Vec<WireRequest> = (0..size)
                    .map(|_| {
                        next += 1;
                        // A third of all is paid by account 7, whatever the position in the batch.
                        let debit = if next * 7919 % 30 < 10 { 7 } else { 1000 + next % 500_000 };
                        request(debit, 1_000_000 + next * 31 % 500_000)
                    })
                    .collect();
                hot.look(&batch);
            }
            let told = hot.busiest();
            assert_eq!(told.len(), 1, "batches of {size}: {told:?}");
            assert_eq!(told[0].0.get(), 7);
            assert!((250..=400).contains(&told[0].1), "batches of {size}: {told:?}");
        }
    }

    #[test]
    fn what_was_hot_fades() {
        let hot = Hot::default();
        for account in [7, 8] {
            for _ in 0..30_000 {
                let batch: Vec<WireRequest> =
                    (1..=100).map(|at| request(account, 5_000 + at)).collect();
                hot.look(&batch);
            }
        }
        let told = hot.busiest();
        assert_eq!(told[0].0.get(), 8);
        assert!(told.iter().all(|(id, share)| id.get() != 7 || *share < 300), "{told:?}");
    }
}
