//! What is asked of the ledger under an id of its own: a transfer, one of the operations on a
//! hold, or to give money back. All of them travel in the same submissions, in any order and in the same linked
//! groups, and each gets one event and one remembered outcome.
//!
//! ```text
//! Hold ─▶ open ─┬─ Capture* ─▶ captured (nothing remains, or the last one)
//!               ├─ Void ─────▶ voided
//!               └─ its time ─▶ expired          Extend: open, for longer
//! ```
//!
//! A closed hold never opens again. See `docs/adr/0017-holds.md`.

use crate::ids::{AccountId, Lsn, TransferId};
use crate::money::CurrencyId;
use crate::note::Noted;
use crate::refunds::Original;
use crate::terms::Termed;
use crate::transfer::{TransferKind, TransferRequest};

/// Stands for an expiry that never comes, nanoseconds since the Unix epoch.
pub const NEVER_NS: u64 = u64::MAX;

/// One request. The large ones are boxed, so that a plain transfer costs what it would
/// cost alone: 80 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Move money now.
    Transfer(TransferRequest),
    /// Set money aside.
    Hold(Box<HoldRequest>),
    /// Move money that was set aside.
    Capture(Box<CaptureRequest>),
    /// Give back what was set aside.
    Void(VoidRequest),
    /// Set it aside for longer.
    Extend(ExtendRequest),
    /// Give back what was moved, or a part of it.
    Refund(Box<RefundRequest>),
    /// A transfer, a hold or a capture on terms.
    Termed(Box<Termed>),
    /// A request with a note.
    Noted(Box<Noted>),
}

/// Place a hold: set `amount` of the debit account aside for the credit account. The hold's id
/// is this request's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldRequest {
    /// The caller's id; the idempotency key, and the hold's name from then on.
    pub id: TransferId,
    /// The account that will pay.
    pub debit: AccountId,
    /// The account that will receive.
    pub credit: AccountId,
    /// Minor units; the rules refuse 0 and more than [`crate::money::AMOUNT_MAX`].
    pub amount: u128,
    /// The currency the caller believes the accounts hold; `None` takes theirs.
    pub currency: Option<CurrencyId>,
    /// What it is for.
    pub kind: TransferKind,
    /// It expires so many nanoseconds after its decision; 0 for never.
    pub timeout_ns: u64,
    /// By how much all captures together may exceed the amount, minor units, 0 to
    /// [`crate::money::AMOUNT_MAX`]. What exceeds it must be available then.
    pub over_capture_max: u128,
    /// Linked with the next request of the batch: both happen or neither.
    pub linked: bool,
}

/// Capture an open hold, or a part of it: move money from its debit to its credit account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaptureRequest {
    /// The caller's id; the idempotency key.
    pub id: TransferId,
    /// The hold.
    pub hold: TransferId,
    /// Minor units; `None` for all that remains.
    pub amount: Option<u128>,
    /// The currency the caller believes the hold to be in; `None` takes its own.
    pub currency: Option<CurrencyId>,
    /// No capture follows: what remains behind this one is given back and the hold is closed.
    pub last: bool,
    /// Linked with the next request of the batch: both happen or neither.
    pub linked: bool,
}

/// Void an open hold: give back all that remains and close it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoidRequest {
    /// The caller's id; the idempotency key.
    pub id: TransferId,
    /// The hold.
    pub hold: TransferId,
    /// Linked with the next request of the batch: both happen or neither.
    pub linked: bool,
}

/// Let an open hold expire later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendRequest {
    /// The caller's id; the idempotency key.
    pub id: TransferId,
    /// The hold.
    pub hold: TransferId,
    /// It expires so many nanoseconds after this request's decision; 0 for never. That must be
    /// later than it would expire anyway.
    pub timeout_ns: u64,
    /// Linked with the next request of the batch: both happen or neither.
    pub linked: bool,
}

/// Give back money that a transfer (or a capture) moved: a part of it, or, as a reversal, all that
/// was not given back yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefundRequest {
    /// The caller's id; the idempotency key.
    pub id: TransferId,
    /// The original: the transfer that moved the money.
    pub of: TransferId,
    /// Its event, for one whose id is not remembered any more; `None` finds it by its id.
    pub of_lsn: Option<Lsn>,
    /// Minor units; `None` for a reversal: all that remains, and nothing can follow.
    pub amount: Option<u128>,
    /// The currency the caller believes the original to be in; `None` takes its own.
    pub currency: Option<CurrencyId>,
    /// The account that pays may go below its overdraft limit for it. Not below a floor.
    pub allow_overdraft: bool,
    /// Linked with the next request of the batch: both happen or neither.
    pub linked: bool,
    /// What the journal says of the original. Never the caller's: whoever carries the request
    /// fills it in.
    pub original: Option<Original>,
}

impl RefundRequest {
    /// A refund of so many minor units, or a reversal without an amount, of an original that is found by
    /// its id; alone, and within the limits of whoever pays.
    #[must_use]
    pub const fn plain(id: TransferId, of: TransferId, amount: Option<u128>) -> Self {
        let (of_lsn, currency, original) = (None, None, None);
        let (allow_overdraft, linked) = (false, false);
        Self { id, of, of_lsn, amount, currency, allow_overdraft, linked, original }
    }
}

impl Request {
    /// The caller's id.
    #[must_use]
    #[inline]
    pub fn id(&self) -> TransferId {
        match self {
            Self::Transfer(transfer) => transfer.id,
            Self::Hold(hold) => hold.id,
            Self::Capture(capture) => capture.id,
            Self::Void(void) => void.id,
            Self::Extend(extend) => extend.id,
            Self::Refund(refund) => refund.id,
            Self::Termed(termed) => termed.request().id(),
            Self::Noted(noted) => noted.request().id(),
        }
    }

    /// Whether it is linked with the next request.
    #[must_use]
    #[inline]
    pub fn linked(&self) -> bool {
        match self {
            Self::Transfer(transfer) => transfer.linked,
            Self::Hold(hold) => hold.linked,
            Self::Capture(capture) => capture.linked,
            Self::Void(void) => void.linked,
            Self::Extend(extend) => extend.linked,
            Self::Refund(refund) => refund.linked,
            Self::Termed(termed) => termed.request().linked(),
            Self::Noted(noted) => noted.request().linked(),
        }
    }

    /// Links it with the next request, or not.
    pub fn set_linked(&mut self, linked: bool) {
        match self {
            Self::Transfer(transfer) => transfer.linked = linked,
            Self::Hold(hold) => hold.linked = linked,
            Self::Capture(capture) => capture.linked = linked,
            Self::Void(void) => void.linked = linked,
            Self::Extend(extend) => extend.linked = linked,
            Self::Refund(refund) => refund.linked = linked,
            Self::Termed(termed) => termed.set_linked(linked),
            Self::Noted(noted) => noted.set_linked(linked),
        }
    }

    /// Gives it another id.
    pub fn set_id(&mut self, id: TransferId) {
        match self {
            Self::Transfer(transfer) => transfer.id = id,
            Self::Hold(hold) => hold.id = id,
            Self::Capture(capture) => capture.id = id,
            Self::Void(void) => void.id = id,
            Self::Extend(extend) => extend.id = id,
            Self::Refund(refund) => refund.id = id,
            Self::Termed(termed) => termed.set_id(id),
            Self::Noted(noted) => noted.set_id(id),
        }
    }

    /// Makes a transfer, on terms or not, or a hold, one of another kind.
    pub fn set_kind(&mut self, kind: TransferKind) {
        match self {
            Self::Transfer(transfer) => transfer.kind = kind,
            Self::Termed(termed) => termed.set_kind(kind),
            Self::Noted(noted) => noted.set_kind(kind),
            Self::Hold(hold) => hold.kind = kind,
            Self::Capture(_) | Self::Void(_) | Self::Extend(_) | Self::Refund(_) => {}
        }
    }

    /// What is asked for, apart from its terms and its note.
    #[must_use]
    pub fn plain(&self) -> &Self {
        match self.unnoted() {
            Self::Termed(termed) => termed.request(),
            plain => plain,
        }
    }

    /// The transfer, if it is one, on terms or not.
    #[must_use]
    pub fn transfer(&self) -> Option<&TransferRequest> {
        match self.plain() {
            Self::Transfer(transfer) => Some(transfer),
            _ => None,
        }
    }

    /// The refund, if it is one.
    #[must_use]
    #[inline]
    pub fn refund(&self) -> Option<&RefundRequest> {
        match self.unnoted() {
            Self::Refund(refund) => Some(refund),
            _ => None,
        }
    }

    /// The refund, if it is one, to be filled in.
    #[must_use]
    pub fn refund_mut(&mut self) -> Option<&mut RefundRequest> {
        match self {
            Self::Refund(refund) => Some(refund),
            Self::Noted(noted) => noted.refund_mut(),
            _ => None,
        }
    }

    /// The hold it places or speaks of; `None` for a transfer or a refund.
    #[must_use]
    #[inline]
    pub fn hold(&self) -> Option<TransferId> {
        match self {
            Self::Transfer(_) | Self::Refund(_) => None,
            Self::Hold(hold) => Some(hold.id),
            Self::Capture(capture) => Some(capture.hold),
            Self::Void(void) => Some(void.hold),
            Self::Extend(extend) => Some(extend.hold),
            Self::Termed(termed) => termed.request().hold(),
            Self::Noted(noted) => noted.request().hold(),
        }
    }

    /// The debit and the credit account, where it names them itself.
    #[must_use]
    #[inline]
    pub fn accounts(&self) -> Option<[AccountId; 2]> {
        match self {
            Self::Transfer(transfer) => Some([transfer.debit, transfer.credit]),
            Self::Hold(hold) => Some([hold.debit, hold.credit]),
            Self::Capture(_) | Self::Void(_) | Self::Extend(_) | Self::Refund(_) => None,
            Self::Termed(termed) => termed.request().accounts(),
            Self::Noted(noted) => noted.request().accounts(),
        }
    }
}

impl HoldRequest {
    /// The transfer that it promises.
    #[must_use]
    pub fn transfer(&self) -> TransferRequest {
        let Self { id, debit, credit, amount, currency, kind, linked, .. } = *self;
        TransferRequest { id, debit, credit, amount, currency, kind, linked }
    }
}

impl From<RefundRequest> for Request {
    fn from(request: RefundRequest) -> Self {
        Self::Refund(Box::new(request))
    }
}

impl From<TransferRequest> for Request {
    fn from(request: TransferRequest) -> Self {
        Self::Transfer(request)
    }
}

impl From<HoldRequest> for Request {
    fn from(request: HoldRequest) -> Self {
        Self::Hold(Box::new(request))
    }
}

impl From<CaptureRequest> for Request {
    fn from(request: CaptureRequest) -> Self {
        Self::Capture(Box::new(request))
    }
}

impl From<VoidRequest> for Request {
    fn from(request: VoidRequest) -> Self {
        Self::Void(request)
    }
}

impl From<Termed> for Request {
    fn from(termed: Termed) -> Self {
        Self::Termed(Box::new(termed))
    }
}

impl From<ExtendRequest> for Request {
    fn from(request: ExtendRequest) -> Self {
        Self::Extend(request)
    }
}

/// When something that lasts `timeout_ns` from `time_ns` on expires; [`NEVER_NS`] for 0.
#[must_use]
pub fn expiry_ns(time_ns: u64, timeout_ns: u64) -> u64 {
    if timeout_ns == 0 { NEVER_NS } else { time_ns.saturating_add(timeout_ns) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_costs_what_a_transfer_costs() {
        assert_eq!(size_of::<TransferRequest>(), 80);
        assert_eq!(size_of::<Request>(), 80);
    }

    #[test]
    fn an_expiry_beyond_all_time_never_comes() {
        assert_eq!(expiry_ns(5, 0), NEVER_NS);
        assert_eq!(expiry_ns(5, 1), 6);
        assert_eq!(expiry_ns(5, u64::MAX - 1), NEVER_NS);
    }
}
