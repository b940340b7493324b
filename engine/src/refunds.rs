//! Refunds: what the journal says of the transfer that is given back, and how much of each was
//! given back so far.
//!
//! What a transfer moved is a fact of its record and never changes: an [`Original`]. Whoever
//! carries requests to the coordinator reads it there ([`crate::coordinator::Coordinator::unread`]
//! says which) and puts it into the request; the rules judge by it. How much was given back is
//! the coordinator's ([`Refunds`]), and kept only for what was refunded at all, by the event that
//! moved the money: ids may be forgotten and used again, events stay what they are.
//!
//! ```text
//! Refund ─▶ id, or LSN ─▶ event ─▶ Original (debit, credit, moved)
//!                           └────▶ Refunds: given back so far, the last refund's event
//!                                            └─ its record ─▶ the refund before it …
//! ```
//!
//! See `docs/adr/0021-refunds.md`.

mod export;

pub use export::{PIECE_REFUNDS, RefundsPiece};

use crate::ids::{Lsn, Slot, TransferId};
use crate::money::AMOUNT_MAX;
use crate::record::Record;
use export::Export;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes that one entry can take: a node of the standard library's tree is at least five
/// elevenths full, and one in six of them has twelve pointers besides.
const ENTRY_BYTES_MAX: usize = (size_of::<(Lsn, RefundState)>() * 11).div_ceil(5) + 16;

/// What the journal says of the event that a refund names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Original {
    /// The event.
    pub lsn: Lsn,
    /// The id that it decided; `None` for an event that decided no request.
    pub id: Option<TransferId>,
    /// What it did.
    pub did: Did,
}

/// What an event did, as far as a refund cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    /// Moved money: a transfer that was posted, or a capture.
    Moved {
        /// The account that paid.
        debit: Slot,
        /// The account that received.
        credit: Slot,
        /// Minor units.
        amount: u128,
    },
    /// Was refused.
    Refused,
    /// Gave money back: a refund or a reversal itself.
    Refund,
    /// Moved nothing: it set money aside, for example.
    Nothing,
}

impl Original {
    /// What a record says.
    #[must_use]
    pub fn of(lsn: Lsn, record: &Record) -> Self {
        let did = match record.unnoted() {
            Record::Refunded(_) => Did::Refund,
            record => match record.posting() {
                // A balanced transfer may find nothing.
                Some(posted) if posted.amount == 0 => Did::Nothing,
                Some(posted) => {
                    let (debit, credit, amount) = (posted.debit, posted.credit, posted.amount);
                    Did::Moved { debit, credit, amount }
                }
                None if record.rejection().is_some() => Did::Refused,
                None => Did::Nothing,
            },
        };
        Self { lsn, id: record.transfer_id(), did }
    }
}

/// How much of one transfer was given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefundState {
    /// Minor units that it moved.
    pub moved: u128,
    /// Minor units of them given back so far.
    pub refunded: u128,
    /// Its last refund's event; [`Lsn::ZERO`] before the first.
    pub last_lsn: Lsn,
    /// It was reversed: nothing more is given back.
    pub reversed: bool,
}

/// What is told with the outcome of a refund: how the original stands then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefundAfter {
    /// The original's id.
    pub of: TransferId,
    /// Its event.
    pub of_lsn: Lsn,
    /// Minor units that this decision gave back; 0 for a refusal.
    pub amount: u128,
    /// Minor units that it moved.
    pub moved: u128,
    /// Minor units of them given back so far, by this refund too.
    pub refunded: u128,
    /// It was reversed.
    pub reversed: bool,
}

impl RefundState {
    /// Of a transfer that moved so much and was never refunded.
    #[must_use]
    pub const fn untouched(moved: u128) -> Self {
        Self { moved, refunded: 0, last_lsn: Lsn::ZERO, reversed: false }
    }

    /// Minor units that can still be given back.
    #[must_use]
    pub const fn remaining(&self) -> u128 {
        self.moved - self.refunded
    }

    /// Told of the original with this id and event.
    #[must_use]
    pub const fn told(&self, of: TransferId, of_lsn: Lsn) -> RefundAfter {
        let Self { moved, refunded, reversed, .. } = *self;
        RefundAfter { of, of_lsn, amount: 0, moved, refunded, reversed }
    }

    /// Why nothing that happened leads to it, for the transfer decided at `original`.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn check(&self, original: Lsn) -> Result<(), &'static str> {
        if original == Lsn::ZERO || self.last_lsn <= original {
            return Err("its last refund does not come after it");
        }
        if !(1..=AMOUNT_MAX).contains(&self.moved) {
            return Err("what it moved is out of range");
        }
        if !(1..=self.moved).contains(&self.refunded) {
            return Err("what was refunded is out of range");
        }
        if self.reversed && self.remaining() > 0 {
            return Err("it was reversed, and not all was given back");
        }
        Ok(())
    }

    /// The canonical bytes, for the state hash.
    pub(crate) fn canonical(&self, original: Lsn, out: &mut Vec<u8>) {
        out.extend_from_slice(&original.0.to_le_bytes());
        out.extend_from_slice(&self.moved.to_le_bytes());
        out.extend_from_slice(&self.refunded.to_le_bytes());
        out.extend_from_slice(&self.last_lsn.0.to_le_bytes());
        out.push(u8::from(self.reversed));
    }
}

/// What was given back, by the event that moved it.
#[derive(Clone, Debug, Default)]
pub struct Refunds {
    by_original: BTreeMap<Lsn, RefundState>,
    /// The snapshot for which they are being given up, if there is one.
    export: Option<Box<Export>>,
}

impl Refunds {
    /// How many transfers were refunded, wholly or in part.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_original.len()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_original.is_empty()
    }

    /// Bytes of memory they take, at most: how full the nodes of the tree are is not told.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let exported = self.export.as_ref().map_or(0, |export| export.memory_bytes());
        self.len() * ENTRY_BYTES_MAX + exported
    }

    /// What was given back of the transfer that this event decided; `None` when nothing was.
    #[must_use]
    pub fn get(&self, original: Lsn) -> Option<&RefundState> {
        self.by_original.get(&original)
    }

    /// All, in the order of the originals' events.
    pub fn iter(&self) -> impl Iterator<Item = (Lsn, &RefundState)> {
        self.by_original.iter().map(|(lsn, state)| (*lsn, state))
    }

    /// How the transfer stands from now on.
    pub(crate) fn set(&mut self, original: Lsn, state: RefundState) {
        let before = self.by_original.insert(original, state);
        if let Some(export) = &mut self.export {
            export.keep(original, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_small() {
        assert_eq!(size_of::<(Lsn, RefundState)>(), 64);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let state = RefundState { moved: 10, refunded: 4, last_lsn: Lsn(9), reversed: false };
        assert_eq!(state.check(Lsn(8)), Ok(()));
        assert_eq!(state.remaining(), 6);
        for wrong in [
            RefundState { refunded: 0, ..state },
            RefundState { refunded: 11, ..state },
            RefundState { reversed: true, ..state },
            RefundState { last_lsn: Lsn(8), ..state },
            RefundState { moved: AMOUNT_MAX + 1, ..state },
        ] {
            assert!(wrong.check(Lsn(8)).is_err(), "{wrong:?}");
        }
        assert!(state.check(Lsn::ZERO).is_err());
        assert_eq!(RefundState { refunded: 10, reversed: true, ..state }.check(Lsn(8)), Ok(()));
    }
}
