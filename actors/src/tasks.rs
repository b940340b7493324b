//! What waits for the coordinator: submissions, changes to accounts and assets, reads.
//!
//! A submission whose deadline has passed, or whose caller has gone, before the coordinator
//! took it is dropped there: it has no LSN, nothing was decided, and the same ids may be sent
//! again. Once taken it is decided and journalled, whatever the clock says.

use crate::answers::OutcomesSender;
use crate::audit::Seed;
use crate::driven::{DrivenRead, DrivenTask};
use crate::dry_run::{Concerning, Copied};
use crate::handle::{HoldNow, HoldState, HoldView, RequestError, StateSummary};
use crate::owners::OwnersSeen;
use crate::trace::Passages;
use ducat_engine::account_event::Opening;
use ducat_engine::audit::AuditEvent;
use ducat_engine::coordinator::{DryFee, FeeQuote, FeeTarget};
use ducat_engine::fees::{FeeFault, Fees, Schedule};
use ducat_engine::holds::Hold;
use ducat_engine::ids::{AccountId, Lsn, Slot, TransferId};
use ducat_engine::limits::LimitsChange;
use ducat_engine::money::{Currency, CurrencyError};
use ducat_engine::profile::{Details, Filter, ProfileChange};
use ducat_engine::refunds::RefundState;
use ducat_engine::request::Request;
use ducat_engine::snapshot::{DrivenPiece, Head, IdsPiece, ProfilesPiece, RefundsPiece};
use ducat_engine::transfer::{
    AccountOutcome, AccountRejection, AccountStatus, AccountView, TransferKind,
};
use ducat_engine::watch::WatchChange;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A batch of requests from one caller.
pub(crate) struct Submission {
    pub requests: Vec<Request>,
    pub reply: OutcomesSender,
    pub permit: OwnedSemaphorePermit,
    /// When it was queued.
    pub arrived: Instant,
    /// From when on nobody wants the answer any more.
    pub deadline: Option<Instant>,
    /// Requests before these were decided already: no deadline and no full engine refuses these.
    pub goes_on: bool,
    /// Owners that its caller's right to it depends on.
    pub owners: Option<OwnersSeen>,
    /// The call that an audit event will tell of.
    pub audit: Option<Arc<Seed>>,
    /// Where its way is noted, if its call is sampled.
    pub trace: Option<Arc<Passages>>,
}

impl Submission {
    /// Whether nobody waits for it any more. Its caller asks again under the same ids, or
    /// never learns of it.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// Where the answer to anything else goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, RequestError>>;

/// Accounts as of one LSN.
pub(crate) struct Found<T> {
    pub what: T,
    pub lsn: Lsn,
}

/// An account and where it is hosted.
pub(crate) type Placed = (Slot, AccountView);

/// An account, where it is hosted, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub slot: Slot,
    pub view: AccountView,
    pub details: Option<Arc<Details>>,
}

/// A page of accounts, and where the next one begins; `None` at the end.
pub(crate) type Page = (Vec<Described>, Option<Slot>);

/// What shall change of an account.
pub(crate) enum AccountChange {
    Status(AccountStatus, String),
    Profile(ProfileChange),
    Limits(LimitsChange),
    Watch(WatchChange),
}

/// What becomes of a change of an account.
pub(crate) type ChangeResult = Result<Described, AccountRejection>;

/// What shall change of schedules of fees.
pub(crate) enum FeeChange {
    Define(Schedule),
    /// The schedule of this name, or none any more.
    Attach(FeeTarget, Option<String>),
}

/// What becomes of such a change: its event, `None` where it was so already.
pub(crate) type FeeResult = Result<Option<Lsn>, FeeFault>;

/// What becomes of an asset's definition: the asset, and whether it is new.
pub(crate) type AssetResult = Result<(Currency, bool), CurrencyError>;

/// One thing to do, in order of arrival.
pub(crate) enum Task {
    Transfers(Submission),
    /// What is done on behalf of a call that an audit event will tell of.
    Audited(Arc<Seed>, Box<Task>),
    /// Accesses that wrote nothing are told of; the last one's LSN is the answer.
    Audit {
        events: Vec<AuditEvent>,
        reply: Reply<Lsn>,
    },
    OpenAccounts {
        accounts: Vec<Opening>,
        reply: Reply<Vec<AccountOutcome>>,
        permit: OwnedSemaphorePermit,
    },
    ChangeAccount {
        account: AccountId,
        change: AccountChange,
        reply: Reply<ChangeResult>,
        permit: OwnedSemaphorePermit,
    },
    /// A snapshot begins between the batches before and behind it; told once everything
    /// before it is durable.
    BeginSnapshot {
        reply: Reply<Head>,
    },
    /// A snapshot that was begun and not given to its end is forgotten.
    EndSnapshot,
    /// Something asked of schedules or sagas.
    Driven(DrivenTask),
    /// A schedule of fees is defined, attached or detached.
    ChangeFees {
        change: FeeChange,
        reply: Reply<FeeResult>,
        permit: OwnedSemaphorePermit,
    },
    DefineAsset {
        code: String,
        digits: u32,
        reply: Reply<AssetResult>,
        permit: OwnedSemaphorePermit,
    },
}

/// A read that waits, and its place among the callers' reads: kept until it is done or
/// dropped, so that callers who gave up still count.
pub(crate) struct WaitingRead {
    pub read: Read,
    pub place: Option<OwnedSemaphorePermit>,
}

/// What reads look at between two batches of transfers, all together: a fraction of a millisecond's work.
pub(crate) const TURN_ITEMS: usize = 1_024;

/// What a read counts for at least: taking and answering it is work too.
const READ_ITEMS_MIN: usize = TURN_ITEMS / 16;

impl Read {
    /// Whether nobody waits for it any more.
    pub fn is_abandoned(&self) -> bool {
        match self {
            Self::Slots { reply, .. } => reply.is_closed(),
            Self::Copies { reply, .. } => reply.is_closed(),
            Self::Page { reply, .. } => reply.is_closed(),
            Self::Events { reply, .. } => reply.is_closed(),
            Self::RefundsOf { reply, .. } => reply.is_closed(),
            Self::Quote { reply, .. } => reply.is_closed(),
            Self::DryFee { reply, .. } => reply.is_closed(),
            Self::Fees { reply } => reply.is_closed(),
            Self::Summary { reply } => reply.is_closed(),
            Self::Memory { reply } => reply.is_closed(),
            Self::HoldsById { reply, .. } => reply.is_closed(),
            Self::HoldsOf { reply, .. } => reply.is_closed(),
            Self::Holds { reply } => reply.is_closed(),
            Self::Ids { reply } => reply.is_closed(),
            Self::Profiles { reply } => reply.is_closed(),
            Self::Refunds { reply } => reply.is_closed(),
            Self::Driven(read) => read.is_abandoned(),
            Self::DrivenPiece { reply } => reply.is_closed(),
        }
    }

    /// How long it holds up transfers, in things that it looks at: accounts, ids, holds. What looks at every account,
    /// or copies much, takes all of [`TURN_ITEMS`].
    pub fn items(&self) -> usize {
        let items = match self {
            Self::Slots { slots, .. } => slots.len(),
            Self::Page { limit, .. } => *limit,
            Self::Events { ids, .. } | Self::HoldsById { ids, .. } => ids.len(),
            Self::Summary { .. }
            | Self::Holds { .. }
            | Self::HoldsOf { .. }
            | Self::Ids { .. }
            | Self::Refunds { .. }
            | Self::Copies { .. } => TURN_ITEMS,
            _ => 0,
        };
        items.clamp(READ_ITEMS_MIN, TURN_ITEMS)
    }
}

/// What is due for a transfer, `None` where no schedule is attached.
pub(crate) type QuoteResult = Result<Option<FeeQuote>, FeeFault>;

/// The event that decided a request, and what was refunded of it.
pub(crate) type Decided = (Lsn, Option<RefundState>);

/// The event that decided a request, and what became of that since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecidedNow {
    pub lsn: Lsn,
    /// What was refunded of it, where anything was.
    pub refunded: Option<RefundState>,
    /// How the hold stands that it placed.
    pub hold: Option<HoldNow>,
}

/// Some open holds and where to go on.
pub(crate) type HoldsOf = (Vec<HoldView>, Option<u32>);

/// A read; its answer is of one LSN, and leaves once that is durable.
pub(crate) enum Read {
    /// Accounts by slot.
    Slots { slots: Vec<Slot>, reply: Reply<Found<Vec<Placed>>> },
    /// Copies of what has a say in a dry run.
    Copies { concerning: Concerning, reply: Reply<Found<Copied>> },
    /// Accounts that a filter asks for, in the order of their slots, from one on.
    Page { filter: Arc<Filter>, from: Slot, limit: usize, reply: Reply<Found<Page>> },
    /// The events of requests by id, and what became of those.
    Events { ids: Vec<TransferId>, reply: Reply<Found<Vec<Option<DecidedNow>>>> },
    /// What was refunded of one transfer, found by its event or else by its id; `None` when it is
    /// not known.
    RefundsOf { of: TransferId, at: Option<Lsn>, reply: Reply<Found<Option<Decided>>> },
    /// What would be due for a transfer; the schedule's name, and how much.
    Quote { kind: TransferKind, debit: AccountId, amount: u128, reply: Reply<Found<QuoteResult>> },
    /// What would become of a change of schedules of fees.
    DryFee { change: FeeChange, reply: Reply<Found<Result<DryFee, FeeFault>>> },
    /// All schedules of fees, and what they are attached to.
    Fees { reply: Reply<Found<Fees>> },
    /// Hash and totals.
    Summary { reply: Reply<StateSummary> },
    /// Bytes of memory the partitions' slabs take.
    Memory { reply: Reply<usize> },
    /// Holds by id.
    HoldsById { ids: Vec<TransferId>, reply: Reply<Found<Vec<Option<HoldState>>>> },
    /// Open holds of a debit account, from a place on, and where to go on; `None` when there is
    /// no such account.
    HoldsOf { account: AccountId, from: u32, limit: usize, reply: Reply<Found<Option<HoldsOf>>> },
    /// The next open holds of the snapshot that was begun.
    Holds { reply: Reply<Option<Vec<Hold>>> },
    /// The next remembered ids of the snapshot that was begun.
    Ids { reply: Reply<Option<IdsPiece>> },
    /// What is known of the next accounts of the snapshot that was begun.
    Profiles { reply: Reply<Option<ProfilesPiece>> },
    /// The next refunded transfers of the snapshot that was begun.
    Refunds { reply: Reply<Option<RefundsPiece>> },
    /// Schedules or sagas.
    Driven(DrivenRead),
    /// The next schedules or sagas of the snapshot that was begun.
    DrivenPiece { reply: Reply<Option<DrivenPiece>> },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::ACCOUNTS_PAGE_MAX;

    #[test]
    fn reads_of_much_are_a_turn_of_their_own_and_small_ones_share_one() {
        let slots = |count: u32| {
            let (reply, _answer) = oneshot::channel();
            Read::Slots { slots: (0..count).map(Slot).collect(), reply }.items()
        };
        assert_eq!([slots(1), slots(500), slots(10_000)], [TURN_ITEMS / 16, 500, TURN_ITEMS]);
        let (reply, _answer) = oneshot::channel();
        let (from, limit) = (Slot(0), ACCOUNTS_PAGE_MAX);
        let page = Read::Page { filter: Arc::default(), from, limit, reply };
        assert!(2 * page.items() > TURN_ITEMS, "no two pages between two batches");
        let (reply, _answer) = oneshot::channel();
        assert_eq!(Read::Summary { reply }.items(), TURN_ITEMS);
    }
}
