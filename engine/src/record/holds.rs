//! The events of holds. What stands behind each is kept with it: the accounts' figures, and how
//! much of the hold remains.

use super::{Party, Posted, PostedSide};
use crate::holds::Standing;
use crate::ids::{Slot, TransferId};
use crate::money::CurrencyId;
use crate::rejection::Rejection;
use crate::transfer::TransferKind;
use serde::{Deserialize, Serialize};

/// An account's figures after an event that is no entry of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Posted balance, minor units.
    pub posted: i128,
    /// available − posted, minor units.
    pub room: i128,
}

/// A hold that was placed. Its kind follows from which account is external, its currency is
/// that of the accounts, its expiry lies `timeout_ns` behind the event's time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The request's id, and the hold's.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The account that will pay.
    pub debit: Slot,
    /// The account that will receive.
    pub credit: Slot,
    /// Minor units.
    pub amount: u128,
    /// Nanoseconds until it expires; 0 for never.
    pub timeout_ns: u64,
    /// By how much captures together may exceed the amount, minor units.
    pub over_capture_max: u128,
    /// The debit account after it.
    pub debit_after: Figures,
}

/// A capture: a posting that takes its amount from what is on hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Captured {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The hold.
    pub hold: TransferId,
    /// What its accounts hold.
    pub currency: CurrencyId,
    /// No amount was named: all that remained.
    pub all: bool,
    /// It was asked to be the last.
    pub last: bool,
    /// The account that paid.
    pub debit: Slot,
    /// The account that received.
    pub credit: Slot,
    /// Minor units moved.
    pub amount: u128,
    /// Minor units taken off what is on hold.
    pub released: u128,
    /// Minor units still set aside; with 0 the hold is closed.
    pub remaining: u128,
    /// The debit account's side of it.
    pub debit_side: PostedSide,
    /// The credit account's side of it.
    pub credit_side: PostedSide,
}

impl Captured {
    /// The posting that it is.
    #[must_use]
    pub fn posted(&self) -> Posted {
        let Self { id, debit, credit, amount, debit_side, credit_side, .. } = *self;
        Posted { id, debit, credit, amount, debit_side, credit_side }
    }
}

/// A hold that was voided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Voided {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The hold.
    pub hold: TransferId,
    /// What its accounts hold.
    pub currency: CurrencyId,
    /// The account that would have paid.
    pub debit: Slot,
    /// Minor units given back: all that remained.
    pub released: u128,
    /// The debit account after it.
    pub debit_after: Figures,
}

/// A hold that expires later than it would have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Extended {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The hold.
    pub hold: TransferId,
    /// What its accounts hold.
    pub currency: CurrencyId,
    /// The account that will pay.
    pub debit: Slot,
    /// Nanoseconds until it expires, from this event's time on; 0 for never.
    pub timeout_ns: u64,
    /// When it expires now, nanoseconds since the Unix epoch; [`crate::request::NEVER_NS`].
    pub expires_ns: u64,
    /// Minor units still set aside.
    pub remaining: u128,
    /// The debit account at that moment.
    pub debit_after: Figures,
}

/// A hold whose time was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Expired {
    /// The hold.
    pub hold: TransferId,
    /// The account that would have paid.
    pub debit: Slot,
    /// Minor units given back: all that remained.
    pub released: u128,
    /// The debit account after it.
    pub debit_after: Figures,
}

/// An operation on a hold that was refused, with all that was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoldRefused {
    /// The request's id.
    pub id: TransferId,
    /// Linked with the next event.
    pub linked: bool,
    /// The rule it broke.
    pub rejection: Rejection,
    /// What was asked.
    pub asked: Operation,
    /// What the accounts hold, as far as they are known.
    pub held_in: Option<CurrencyId>,
    /// The debit account at that moment: of a hold to be placed, or of one that was open.
    pub debit: Option<Party>,
    /// The credit account at that moment, likewise.
    pub credit: Option<Party>,
    /// The hold at that moment, if it was open.
    pub standing: Option<Standing>,
}

/// What was asked of a hold, as a refused request's record keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// To place one. Its accounts stand beside it.
    Hold {
        /// Minor units.
        amount: u128,
        /// The currency that was named.
        currency: Option<CurrencyId>,
        /// What it was for.
        kind: TransferKind,
        /// Nanoseconds until it expires; 0 for never.
        timeout_ns: u64,
        /// By how much captures together may exceed the amount, minor units.
        over_capture_max: u128,
    },
    /// To capture it.
    Capture {
        /// The hold.
        hold: TransferId,
        /// Minor units; `None` for all that remains.
        amount: Option<u128>,
        /// The currency that was named.
        currency: Option<CurrencyId>,
        /// No capture follows.
        last: bool,
    },
    /// To void it.
    Void {
        /// The hold.
        hold: TransferId,
    },
    /// To let it expire later.
    Extend {
        /// The hold.
        hold: TransferId,
        /// Nanoseconds until it expires; 0 for never.
        timeout_ns: u64,
    },
}
