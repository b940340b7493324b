//! An event as a feed gives it: accounts by the ids of those who opened them.

use super::taking::Seen;
use super::watching::Fired;
use crate::handle::StoredRequest;
use crate::names::{Known, Name};
use crate::requests::stored_request;
use ducat_engine::account_event::{AccountEvent, Change, Opening};
use ducat_engine::driven::DrivenEvent;
use ducat_engine::effects::EventKind;
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::record::{FeeEvent, FeeLeg, Record};
use ducat_engine::repeat::Named;
use ducat_engine::transfer::Outcome;

/// A decided event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// Its place.
    pub lsn: Lsn,
    /// When it was decided: nanoseconds since 1970.
    pub time_ns: u64,
    /// What sort of event it is.
    pub kind: EventKind,
    /// The accounts it touches, the debit account first.
    pub accounts: [Option<AccountId>; 2],
    /// What happened.
    pub what: What,
    /// The watches that it triggers.
    pub fired: Vec<Trigger>,
}

/// A watch that an event triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// The account.
    pub account: AccountId,
    /// What it holds.
    pub currency: CurrencyId,
    /// What became true, and by which figures.
    pub fired: Fired,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A transfer was posted or refused, or an operation on a hold done or refused; the outcome tells
    /// which.
    Decided(Box<StoredRequest>),
    /// A hold's time was over.
    HoldExpired {
        /// The hold.
        hold: TransferId,
        /// What its accounts hold.
        currency: CurrencyId,
        /// Minor units given back.
        released: u128,
    },
    /// A transfer's fee was taken, or was not since its group did not happen.
    Fee {
        /// The leg, with its accounts by slot.
        leg: Box<FeeLeg>,
        /// What its accounts hold.
        currency: CurrencyId,
    },
    /// A schedule of fees was defined, attached or detached.
    FeesChanged(Box<FeeEvent>),
    /// An account was opened.
    AccountOpened(Box<Opening>),
    /// An account was changed.
    AccountChanged {
        /// What the account holds.
        currency: CurrencyId,
        /// What is new.
        change: Change,
    },
    /// An asset was defined.
    AssetDefined {
        /// Its code.
        code: String,
        /// Decimal digits of its minor unit.
        digits: u8,
    },
    /// Something happened to a schedule or a saga.
    Driven(Box<DrivenEvent>),
}

/// The event, with what is known of its accounts; `None` when that is not enough.
pub(super) fn named(seen: &Seen, known: &Known<'_>) -> Option<FeedEvent> {
    let Seen { lsn, time_ns, record, fired } = seen;
    let (lsn, time_ns) = (*lsn, *time_ns);
    let what = match record {
        Record::Posted(_)
        | Record::PostedLinked(_)
        | Record::Refused(_)
        | Record::RefusedLinked(_)
        | Record::Held(_)
        | Record::Captured(_)
        | Record::Voided(_)
        | Record::Extended(_)
        | Record::HoldRefused(_)
        | Record::Refunded(_)
        | Record::RefundRefused(_)
        | Record::Termed(_)
        | Record::Noted(_) => {
            let stored = stored_request(lsn, time_ns, record, known)?;
            // The event itself, not an answer that comes again.
            let outcome = Outcome { repeat: false, ..stored.outcome };
            What::Decided(Box::new(StoredRequest { outcome, ..stored }))
        }
        Record::FeeEvent(event) => What::FeesChanged(event.clone()),
        Record::FeeLeg(leg) => {
            let currency = known.get(leg.debit)?.currency;
            What::Fee { leg: leg.clone(), currency }
        }
        Record::Expired(expired) => {
            let currency = known.get(expired.debit)?.currency;
            What::HoldExpired { hold: expired.hold, currency, released: expired.released }
        }
        Record::AccountOpened(spec) => What::AccountOpened(Box::new(Opening::from(*spec))),
        Record::StatusChanged { slot, status } => {
            changed(known.get(*slot)?, Change::Status { status: *status, reason: String::new() })
        }
        Record::Account(event) => match &**event {
            AccountEvent::Opened(opening) => What::AccountOpened(Box::new(opening.clone())),
            AccountEvent::Changed { slot, change, .. } => {
                changed(known.get(*slot)?, change.clone())
            }
        },
        Record::Driven(event) => What::Driven(event.clone()),
        // The filter takes none.
        Record::Audit(_) => return None,
        Record::AssetDefined { code, digits } => {
            What::AssetDefined { code: code.clone(), digits: *digits }
        }
    };
    let accounts = record.parties().map(|party| match party? {
        Named::Slot(slot) => known.get(slot).map(|name| name.id),
        Named::Id(id) => Some(id),
    });
    let trigger = |fired: &Fired| {
        let name = known.get(fired.slot)?;
        Some(Trigger { account: name.id, currency: name.currency, fired: fired.clone() })
    };
    let fired = fired.iter().map(trigger).collect::<Option<_>>()?;
    Some(FeedEvent { lsn, time_ns, kind: record.kind(), accounts, what, fired })
}

fn changed(name: Name, change: Change) -> What {
    What::AccountChanged { currency: name.currency, change }
}
