//! What the engine shows of itself: accounts, entries, transfers, sums, counters.

use ducat_engine::account_event::{Change, Opening};
use ducat_engine::fees::FeeNote;
use ducat_engine::holds::{Closed, Hold, HoldAfter};
use ducat_engine::ids::{AccountId, Epoch, Lsn, Slot, TransferId};
use ducat_engine::money::CurrencyId;
use ducat_engine::note::{Day, Note};
use ducat_engine::profile::Details;
use ducat_engine::refunds::{RefundAfter, RefundState};
use ducat_engine::request::Request;
use ducat_engine::terms::TermsAfter;
use ducat_engine::transfer::{AccountView, Outcome, TransferKind, TransferRequest};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// An account's entry as read from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event.
    pub lsn: Lsn,
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// The transfer.
    pub transfer: TransferId,
    /// The other account.
    pub counterparty: AccountId,
    /// Minor units, negative for a debit.
    pub amount: i128,
    /// The account's posted balance after it, minor units.
    pub balance_after: i128,
    /// What it is for.
    pub kind: TransferKind,
    /// What was said about it, where anything was.
    pub note: Option<Box<Note>>,
}

impl Entry {
    /// The day on which it counts: that of its note, or else that of its decision.
    #[must_use]
    pub fn value_date(&self) -> Day {
        value_date(self.note.as_deref(), self.time_ns)
    }
}

/// The day on which what was decided at this time counts.
pub(crate) fn value_date(note: Option<&Note>, time_ns: u64) -> Day {
    note.and_then(|note| note.value_date).unwrap_or_else(|| Day::of_time(time_ns))
}

/// A page of one account's entries in the order of their value dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuePage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<(Day, Lsn)>,
    /// The account's currency.
    pub currency: CurrencyId,
}

/// A page of one account's entries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntriesPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Lsn>,
    /// The account's currency.
    pub currency: CurrencyId,
}

/// A transfer with its content and its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTransfer {
    /// What was asked for. The currency is that of the accounts when none was named.
    pub request: TransferRequest,
    /// What became of it, marked as a repeat.
    pub outcome: Outcome,
}

/// A request with its content and its answer, as read from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// What was asked for. A currency is that of the accounts when none was named.
    pub request: Request,
    /// What became of it, marked as a repeat.
    pub outcome: Outcome,
    /// How the hold of an operation stood after it.
    pub hold: Option<HoldAfter>,
    /// How the original of a refund stood after it.
    pub refund: Option<RefundAfter>,
    /// What was refunded of it by now, where anything was.
    pub refunded: Option<RefundState>,
    /// What is told of its terms, if it has any.
    pub terms: Option<TermsAfter>,
    /// What is told of its fee, if one was due.
    pub fee: Option<FeeNote>,
    /// What a capture is for, which its hold said, where the accounts do not tell.
    pub captured_as: Option<TransferKind>,
    /// What became of it since; `None` where that was not looked at.
    pub now: Option<Now>,
}

/// What became of a request since it was decided, beside refunds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// How the hold stands that it placed; `None` of other requests.
    pub hold: Option<HoldNow>,
}

/// How a hold stands by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldNow {
    /// It is open.
    Open {
        /// A part of it was captured.
        captured: bool,
    },
    /// It ended so.
    Closed(Closed),
}

/// A refund of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundView {
    /// Its id.
    pub id: TransferId,
    /// Its event.
    pub lsn: Lsn,
    /// When it was decided: nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Minor units given back.
    pub amount: u128,
    /// Minor units given back so far, these too.
    pub refunded: u128,
    /// It was a reversal: all that remained.
    pub reversal: bool,
}

/// A page of a transfer's refunds, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundsPage {
    /// The transfer's event.
    pub original: Lsn,
    /// The account that paid, and gets refunds.
    pub debit: AccountId,
    /// The account that received, and pays refunds.
    pub credit: AccountId,
    /// What both hold.
    pub currency: CurrencyId,
    /// How it stands.
    pub state: RefundState,
    /// The refunds.
    pub refunds: Vec<RefundView>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Lsn>,
}

/// An open hold, with its accounts by the callers' ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldView {
    /// The account that pays.
    pub debit: AccountId,
    /// The account that receives.
    pub credit: AccountId,
    /// What it is for: as it says, or as its accounts tell.
    pub kind: TransferKind,
    /// The rest.
    pub hold: Hold,
}

impl HoldView {
    /// `None` when its accounts are not among these.
    pub(crate) fn of(hold: Hold, accounts: &HashMap<Slot, AccountView>) -> Option<Self> {
        let (debit, credit) = (accounts.get(&hold.debit)?.spec, accounts.get(&hold.credit)?.spec);
        let follows = TransferKind::between(debit.external, credit.external);
        let kind = hold.kind.unwrap_or(follows);
        Some(Self { debit: debit.id, credit: credit.id, kind, hold })
    }
}

/// How a hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    /// It is open.
    Open(HoldView),
    /// It ended so. Told as long as the id of its placing is remembered.
    Closed(Closed),
}

/// Holds as of one durable LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldsAt {
    /// One for each hold asked for; `None` for ids under which none is known.
    pub holds: Vec<Option<HoldState>>,
    /// The moment.
    pub lsn: Lsn,
}

/// An account, and what is known of it beside its money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountShown {
    /// Its figures.
    pub view: AccountView,
    /// Kind, owner, label, metadata, reason; `None` where nothing of it is known.
    pub details: Option<Arc<Details>>,
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

/// Accounts as of one durable LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsAt {
    /// One for each account asked for; `None` for unknown ids.
    pub accounts: Vec<Option<AccountShown>>,
    /// The moment.
    pub lsn: Lsn,
}

/// What happened to an account beside transfers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryEvent {
    /// It was opened.
    Opened(Opening),
    /// It was changed.
    Changed(Change),
}

/// An event of an account's history as read from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The event.
    pub lsn: Lsn,
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// What happened.
    pub event: HistoryEvent,
}

/// A page of one account's history, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// The events.
    pub entries: Vec<HistoryEntry>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Lsn>,
    /// The account's currency.
    pub currency: CurrencyId,
}

/// A page of accounts in the order of their opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsPage {
    /// The accounts.
    pub accounts: Vec<AccountShown>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Slot>,
    /// The moment.
    pub lsn: Lsn,
}

/// The sums of one currency, minor units; they always add up to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrencyTotal {
    /// The currency.
    pub currency: CurrencyId,
    /// Over accounts that are not external.
    pub internal: i128,
    /// Over external accounts.
    pub external: i128,
}

/// The whole state in figures, as of one LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSummary {
    /// The moment.
    pub lsn: Lsn,
    /// Hash of every account, the assets and the LSN.
    pub hash: [u8; 32],
    /// Sums by currency, in the order of their numbers.
    pub totals: Vec<CurrencyTotal>,
}

/// What the engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Accounts opened.
    pub accounts: u64,
    /// Bytes of memory the accounts take, directory included.
    pub accounts_bytes: u64,
    /// Transfer ids remembered.
    pub remembered_ids: u64,
    /// Bytes of memory they take.
    pub remembered_ids_bytes: u64,
    /// Open holds.
    pub open_holds: u64,
    /// Bytes of memory they take, at most.
    pub open_holds_bytes: u64,
    /// The last LSN given out.
    pub last_lsn: Lsn,
    /// The last durable LSN.
    pub durable_lsn: Lsn,
    /// This reign's epoch.
    pub epoch: Epoch,
    /// Partitions.
    pub partitions: u32,
    /// Transfers admitted and not yet answered.
    pub in_flight: u64,
    /// The bound on them.
    pub in_flight_max: u64,
    /// Posted since the start.
    pub posted: u64,
    /// Refused since the start.
    pub refused: u64,
    /// Repeats answered since the start.
    pub repeats: u64,
    /// Requests refused since the start because of the load.
    pub overloaded: u64,
    /// Requests dropped undecided since the start, their deadline having passed.
    pub expired: u64,
    /// Requests dropped undecided since the start, their caller having gone.
    pub abandoned: u64,
    /// How long a request that comes now would wait before it is looked at, roughly.
    pub queue_delay: Duration,
    /// Journal bytes appended since the start, frames included.
    pub journal_bytes: u64,
}
