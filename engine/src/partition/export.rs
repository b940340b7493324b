//! A partition's share of a snapshot: its accounts as they were at one moment, given up in
//! pieces while transfers go on.
//!
//! ```text
//! begin_export ─▶ give ▸ give ▸ give … ─▶ None: all given, nothing kept any more
//!                  accounts │ given already │ next piece │ not given yet
//!                           └ change freely ┘            └ the first event that changes one
//!                                                          keeps an image of it before
//! ```
//!
//! What an image costs, 48 bytes and one copy, is paid once for each account that changes
//! before it is given, in the commit that changes it; so no moment has to copy more than its
//! own batch. (Whole pieces copied before their first change would be copied almost all by the
//! first batch that hits accounts at random.)

use super::{Layout, Partition};
use crate::account::{Account, Image};
use crate::ids::{Lsn, Slot};
use std::collections::BTreeMap;

/// Accounts of all partitions in one piece.
pub const PIECE_ACCOUNTS: usize = 4_096;

/// Accounts being given up for a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Export {
    /// Accounts there were at the beginning; those opened since are no part of it.
    end: usize,
    /// The first account not yet given.
    next: usize,
    /// Accounts of this partition in one piece.
    piece: usize,
    /// A bit for each account whose image is kept.
    kept: Vec<u64>,
    /// The images of each piece, in the order in which their accounts changed.
    images: Vec<Vec<Image>>,
    /// The last changes of accounts with images that were no entries: few accounts have some.
    changed: BTreeMap<usize, Lsn>,
    /// Accounts whose limits changed, as they were.
    whole: BTreeMap<usize, Account>,
}

impl Export {
    fn new(accounts: usize, piece: usize) -> Self {
        assert!(piece > 0, "a piece holds accounts");
        Self {
            end: accounts,
            next: 0,
            piece,
            kept: vec![0; accounts.div_ceil(64)],
            images: vec![Vec::new(); accounts.div_ceil(piece)],
            changed: BTreeMap::new(),
            whole: BTreeMap::new(),
        }
    }

    /// Keeps an account whose limits are about to change, as it was when the export began.
    fn keep_whole(&mut self, local: usize, account: &Account) {
        if local < self.next || local >= self.end || self.whole.contains_key(&local) {
            return;
        }
        // What changed before has left an image; the limits are still what they were.
        let mut images = self.images[local / self.piece].iter();
        let image = images.find(|image| image.local as usize == local);
        let changed = self.changed_then(local);
        let then = image.map_or_else(|| account.settled(), |image| account.as_of(*image, changed));
        self.whole.insert(local, then);
    }

    fn keep(&mut self, local: usize, account: &Account) {
        if local < self.next || local >= self.end {
            return;
        }
        let (word, bit) = (&mut self.kept[local / 64], 1 << (local % 64));
        if *word & bit == 0 {
            *word |= bit;
            let at = u32::try_from(local).expect("slots are 32 bits wide");
            self.images[local / self.piece].push(account.image(at));
            if account.changed_lsn() != Lsn::ZERO {
                self.changed.insert(local, account.changed_lsn());
            }
        }
    }

    /// When the account of which there is an image had been changed otherwise than by entries.
    fn changed_then(&self, local: usize) -> Lsn {
        self.changed.get(&local).copied().unwrap_or(Lsn::ZERO)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let images: usize = self.images.iter().map(Vec::capacity).sum();
        self.kept.capacity() * size_of::<u64>()
            + self.images.capacity() * size_of::<Vec<Image>>()
            + images * size_of::<Image>()
    }

    fn give(&mut self, accounts: &[Account]) -> Option<Vec<Account>> {
        let from = self.next;
        if from == self.end {
            return None;
        }
        self.next = self.end.min(from + self.piece);
        let piece = accounts[from..self.next].iter();
        let mut piece: Vec<Account> = piece.map(Account::settled).collect();
        for image in std::mem::take(&mut self.images[from / self.piece]) {
            let at = image.local as usize;
            piece[at - from] = accounts[at].as_of(image, self.changed_then(at));
        }
        self.changed = self.changed.split_off(&self.next);
        let later = self.whole.split_off(&self.next);
        for (at, account) in std::mem::replace(&mut self.whole, later) {
            piece[at - from] = account;
        }
        Some(piece)
    }
}

impl Layout {
    /// Accounts of one partition in pieces of [`PIECE_ACCOUNTS`].
    #[must_use]
    pub fn piece_accounts(self) -> usize {
        PIECE_ACCOUNTS / self.partitions()
    }
}

/// Puts pieces of the same number, one of each partition, into the order of slots.
///
/// # Panics
/// When they are not what [`Partition::give`] gave.
#[must_use]
pub fn interleave(pieces: Vec<Vec<Account>>) -> Vec<Account> {
    if pieces.len() == 1 {
        return pieces.into_iter().next().expect("one piece");
    }
    let all = pieces.iter().map(Vec::len).sum();
    let mut pieces: Vec<_> = pieces.into_iter().map(Vec::into_iter).collect();
    let mut ordered = Vec::with_capacity(all);
    'rows: loop {
        for piece in &mut pieces {
            match piece.next() {
                Some(account) => ordered.push(account),
                None => break 'rows,
            }
        }
    }
    assert_eq!(ordered.len(), all, "slots go round robin over the partitions");
    ordered
}

impl Partition {
    /// From now on gives up the accounts as they are at this moment, nothing being committed.
    /// What is only prepared is no part of it. A snapshot that was not finished is forgotten.
    /// Each piece will hold `piece` accounts: [`Layout::piece_accounts`], outside of tests.
    pub fn begin_export(&mut self, piece: usize) {
        self.export = Some(Box::new(Export::new(self.accounts.len(), piece)));
    }

    /// The next accounts, in the order of their slots, as they were when the export began;
    /// `None` once all are given. With several partitions, pieces of the same number belong
    /// together: see [`interleave`].
    #[must_use]
    pub fn give(&mut self) -> Option<Vec<Account>> {
        let piece = self.export.as_mut()?.give(&self.accounts);
        if piece.is_none() {
            self.export = None;
        }
        piece
    }

    /// Forgets a snapshot that was begun.
    pub fn end_export(&mut self) {
        self.export = None;
    }

    /// The account's limits are about to change: a snapshot on its way that has yet to come to
    /// it keeps the whole account.
    pub(super) fn preserve_whole(&mut self, slot: Slot) {
        if let Some(export) = &mut self.export {
            let local = self.layout.local(slot);
            export.keep_whole(local, &self.accounts[local]);
        }
    }

    /// The account is about to change: a snapshot on its way that has yet to come to it keeps
    /// its image.
    #[inline]
    pub(super) fn preserve(&mut self, slot: Slot) {
        if let Some(export) = &mut self.export {
            let local = self.layout.local(slot);
            export.keep(local, &self.accounts[local]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, Lsn};
    use crate::limits::{Bounds, Limits};
    use crate::money::CurrencyId;
    use crate::transfer::{AccountSpec, AccountStatus};

    fn open(partition: &mut Partition, slot: u32, lsn: Lsn) {
        let id = AccountId::new(u128::from(slot) + 1).expect("not zero");
        let spec =
            AccountSpec { id, currency: CurrencyId(826), overdraft_limit: 5, external: true };
        partition.open(Slot(slot), &spec, lsn).expect("the next slot");
    }

    #[test]
    fn accounts_are_given_as_they_were_whatever_happens_meanwhile() {
        let count = PIECE_ACCOUNTS as u32 * 2 + 10;
        let mut partition = Partition::new(0, Layout::new(1).expect("one"));
        (0..count).for_each(|slot| open(&mut partition, slot, Lsn(1)));
        partition.apply_credit(Slot(3), Lsn(2), 7).expect("possible");
        let before = partition.accounts.clone();
        partition.begin_export(PIECE_ACCOUNTS);
        let last = Slot(count - 1);
        for (lsn, slot) in [(3, Slot(3)), (4, last), (5, Slot(PIECE_ACCOUNTS as u32)), (6, last)] {
            partition.apply_credit(slot, Lsn(lsn), 100).expect("possible");
        }
        partition.set_status(Slot(9), Lsn(7), AccountStatus::Frozen).expect("allowed");
        // Limits change once with an image and once without, and again.
        let limits = |overdraft_limit| Limits { overdraft_limit, bounds: Bounds::default() };
        for (slot, limit) in [(Slot(3), 7), (Slot(11), 8), (Slot(11), 9), (last, 10)] {
            partition.set_limits(slot, Lsn(7), &limits(limit)).expect("allowed");
        }
        partition.apply_credit(Slot(11), Lsn(7), 1).expect("possible");
        open(&mut partition, count, Lsn(8));
        let mut given = partition.give().expect("a first piece");
        assert_eq!(given.len(), PIECE_ACCOUNTS);
        // Given already: no image is needed any more.
        partition.apply_credit(Slot(4), Lsn(9), 100).expect("possible");
        assert_eq!(partition.export.as_ref().expect("on its way").images[0].len(), 0);
        while let Some(piece) = partition.give() {
            given.extend(piece);
        }
        assert_eq!(given, before);
        assert!(partition.export.is_none());
        assert_ne!(partition.accounts[3], before[3]);
    }

    #[test]
    fn what_is_only_prepared_is_no_part_of_it() {
        let mut partition = Partition::new(0, Layout::new(1).expect("one"));
        open(&mut partition, 0, Lsn(1));
        let before = partition.accounts.clone();
        partition.begin_export(PIECE_ACCOUNTS);
        partition.at_mut(Slot(0)).freeze(4);
        partition.at_mut(Slot(0)).expect(2);
        assert_eq!(partition.give().expect("a piece"), before);
    }

    #[test]
    fn an_image_costs_48_bytes() {
        assert_eq!(size_of::<Image>(), 48);
    }
}
