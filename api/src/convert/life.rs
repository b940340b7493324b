//! The life-cycle of a request: a view of what was posted and of its hold, for those who think in
//! one status.
//!
//! ```text
//! hold placed ─ pending ─ a capture ─▶ processing ─ the last ─▶ completed
//!                  └───────────┴ voided, expired ─▶ cancelled
//! transfer, capture ─ completed ─ wholly given back ─▶ refunded          any refusal: failed
//! ```

use crate::proto::TransferStatus;
use ducat_actors::handle::{HoldNow, StoredRequest};
use ducat_engine::holds::Closed;
use ducat_engine::request::Request;

/// How the request stands; unspecified where what became of it since was not looked at.
#[must_use]
pub(super) fn status(stored: &StoredRequest) -> TransferStatus {
    let Some(now) = stored.now else { return TransferStatus::Unspecified };
    if stored.outcome.rejection.is_some() {
        return TransferStatus::Failed;
    }
    if let Request::Hold(_) = stored.request.plain() {
        return match now.hold {
            Some(HoldNow::Open { captured: false }) => TransferStatus::Pending,
            Some(HoldNow::Open { captured: true }) => TransferStatus::Processing,
            Some(HoldNow::Closed(Closed::Captured)) => TransferStatus::Completed,
            Some(HoldNow::Closed(Closed::Voided | Closed::Expired)) => TransferStatus::Cancelled,
            // It is neither open nor remembered as closed: too old to tell.
            None => TransferStatus::Unspecified,
        };
    }
    match stored.refunded {
        Some(state) if state.remaining() == 0 => TransferStatus::Refunded,
        _ => TransferStatus::Completed,
    }
}
