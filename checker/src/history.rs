//! What clients saw: every request and every reply, each with the moments of sending and of
//! arrival, in some 26 bytes for a transfer of a batch.
//!
//! Each client keeps a [`History`] of its own and they are merged in the end; nothing is shared
//! while the load runs. A history can be kept in a file and checked again later.

use crate::log::{In, Out};
use ducat_engine::coordinator::{fee_after, terms_after};
use ducat_engine::fees::FeeNote;
use ducat_engine::holds::{Closed, HoldAfter};
use ducat_engine::ids::{AccountId, Lsn, TransferId};
use ducat_engine::limits::Limits;
use ducat_engine::money::CurrencyId;
use ducat_engine::record::Record;
use ducat_engine::refunds::RefundAfter;
use ducat_engine::rejection::Rejection;
use ducat_engine::repeat::refund_after;
use ducat_engine::request::Request;
use ducat_engine::terms::TermsAfter;
use ducat_engine::transfer::{AccountSpec, AccountStatus, BalanceAfter, Outcome, TransferKind};
use std::io::{self, Read, Write};
use thiserror::Error;

/// When a request was sent and its reply had arrived, on one clock that all clients share and
/// that never goes back: a counter or nanoseconds. Equal moments count as at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Just before it was sent.
    pub sent_at: u64,
    /// Just after its reply had arrived.
    pub answered_at: u64,
}

/// What a reply says of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// The id it speaks of.
    pub id: TransferId,
    /// The event that decided it.
    pub lsn: Lsn,
    /// When that was.
    pub time_ns: u64,
    /// `None` when done.
    pub rejection: Option<Rejection>,
    /// The id was known.
    pub repeat: bool,
    /// The debit account after the decision.
    pub debit: Option<BalanceAfter>,
    /// The credit account after the decision.
    pub credit: Option<BalanceAfter>,
    /// How the hold of an operation stands after it.
    pub hold: Option<Box<HoldAfter>>,
    /// What else is told of it; `None` where nothing is.
    pub beside: Option<Box<Beside>>,
}

/// What a reply says of a request beside its outcome and its hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// How the original of a refund stands after it.
    pub refund: Option<RefundAfter>,
    /// What was moved on its terms, and the accounts' versions.
    pub terms: Option<TermsAfter>,
    /// The fee that was due.
    pub fee: Option<FeeNote>,
}

impl Beside {
    /// Boxed; `None` where nothing is told.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }

    /// What is told of the event at `lsn`, to whoever asks.
    pub(crate) fn of(lsn: Lsn, record: &Record) -> Option<Box<Self>> {
        let (refund, terms) = (refund_after(record), terms_after(lsn, record));
        Self { refund, terms, fee: fee_after(record) }.boxed()
    }
}

impl From<&Outcome> for Told {
    fn from(outcome: &Outcome) -> Self {
        let Outcome { id, lsn, time_ns, rejection, repeat, debit, credit, .. } = *outcome;
        Self { id, lsn, time_ns, rejection, repeat, debit, credit, hold: None, beside: None }
    }
}

/// An account as a read showed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its id.
    pub account: AccountId,
    /// Posted balance, minor units.
    pub posted: i128,
    /// The last event that changed its balance.
    pub last_lsn: Lsn,
    /// The rest, from clients that look at it.
    pub more: Option<SeenMore>,
}

/// The rest of an account as a read showed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeenMore {
    /// What it can spend, minor units; `None` where the reply leaves it out.
    pub available: Option<i128>,
    /// Frozen, minor units.
    pub held: u128,
    /// On its way in, minor units.
    pub incoming: u128,
    /// Whether it may move.
    pub status: AccountStatus,
}

/// One change of an account's balance as a read showed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeenEntry {
    /// The event.
    pub lsn: Lsn,
    /// The transfer.
    pub id: TransferId,
    /// Minor units, negative for a debit.
    pub amount: i128,
    /// The posted balance after it, minor units.
    pub after: i128,
}

/// A hold as a read showed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeenHold {
    /// Its id.
    pub id: TransferId,
    /// How it ended; `None` while it is open.
    pub closed: Option<Closed>,
    /// Minor units still set aside.
    pub remaining: u128,
    /// When an open one expires, nanoseconds since the Unix epoch; 0 of one that is closed.
    pub expires_ns: u64,
}

/// A change of an account, as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountChange {
    /// Its status, for a reason.
    Status {
        /// The new one.
        status: AccountStatus,
        /// Why.
        reason: String,
    },
    /// Its limits, all of them.
    Limits(Limits),
}

/// One call and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// Transfers and operations on holds, with an answer to each.
    Transfers(Vec<(Request, Told)>),
    /// The same, and no answer ever came.
    Unanswered(Vec<Request>),
    /// Accounts, all as of one LSN.
    Accounts {
        /// The moment.
        lsn: Lsn,
        /// Those found.
        seen: Vec<Seen>,
        /// The ids that no account had.
        unknown: Vec<AccountId>,
    },
    /// Transfers by id, as they are stored.
    Stored {
        /// Those found: what was asked, and what became of it.
        found: Vec<(Request, Told)>,
        /// The ids that were not known.
        unknown: Vec<TransferId>,
    },
    /// Entries of an account, newest first.
    Entries {
        /// The account.
        account: AccountId,
        /// Neighbours in the account's statement, newest first.
        entries: Vec<SeenEntry>,
        /// The first of them was the newest there was.
        newest: bool,
        /// The last of them was the oldest there was.
        oldest: bool,
    },
    /// The sums of all accounts.
    Totals {
        /// The moment.
        lsn: Lsn,
        /// By currency: over accounts that are not external, over external ones, minor units.
        sums: Vec<(CurrencyId, i128, i128)>,
    },
    /// An account was opened, or had been, by the event at this LSN.
    Opened {
        /// As asked.
        spec: AccountSpec,
        /// The event.
        lsn: Lsn,
    },
    /// Holds by id, all as of one LSN.
    Holds {
        /// The moment.
        lsn: Lsn,
        /// Those found.
        seen: Vec<SeenHold>,
        /// The ids that no hold had.
        unknown: Vec<TransferId>,
    },
    /// An account was changed by the event at this LSN.
    Changed {
        /// Which.
        account: AccountId,
        /// How.
        change: AccountChange,
        /// The event.
        lsn: Lsn,
    },
}

/// Bytes that are no history.
#[derive(Debug, Error)]
pub enum BadHistory {
    /// They cannot be read.
    #[error("could not read the history")]
    Io(#[from] io::Error),
    /// They are something else, or of another version.
    #[error("this is no history of version {VERSION}")]
    Format,
    /// They are not what was written.
    #[error("the history's checksum is wrong")]
    Checksum,
    /// The checksum holds and yet a call cannot be decoded.
    #[error("the call at byte {0} cannot be decoded")]
    Call(usize),
}

const MAGIC: [u8; 8] = *b"DUCATHIS";
const VERSION: u32 = 2;

/// What clients saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    out: Out,
    calls: u64,
}

impl History {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls it holds.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Bytes of memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.out.0.capacity()
    }

    /// Notes requests that were answered, each with its answer.
    pub fn transfers<R: Into<Request>>(
        &mut self,
        span: Span,
        items: impl ExactSizeIterator<Item = (R, Told)>,
    ) {
        self.begin(TRANSFERS, span);
        self.out.items(items);
    }

    /// Notes requests to which no answer came; they may have happened at any time since.
    pub fn unanswered<R: Into<Request>>(
        &mut self,
        sent_at: u64,
        requests: impl ExactSizeIterator<Item = R>,
    ) {
        self.begin(UNANSWERED, Span { sent_at, answered_at: u64::MAX });
        self.out.requests(requests);
    }

    /// Notes any call that was answered.
    pub fn note(&mut self, span: Span, call: &Call) {
        match call {
            Call::Transfers(items) => self.transfers(span, items.iter().cloned()),
            Call::Unanswered(requests) => self.unanswered(span.sent_at, requests.iter().cloned()),
            Call::Accounts { lsn, seen, unknown } => {
                self.begin(ACCOUNTS, span);
                self.out.number(lsn.0.into());
                self.out.list(seen.iter(), Out::seen);
                self.out.list(unknown.iter(), |out, id| out.number(id.get()));
            }
            Call::Stored { found, unknown } => {
                self.begin(STORED, span);
                self.out.items(found.iter().cloned());
                self.out.list(unknown.iter(), |out, id| out.number(id.get()));
            }
            Call::Entries { account, entries, newest, oldest } => {
                self.begin(ENTRIES, span);
                self.out.number(account.get());
                self.out.byte(u8::from(*newest) | (u8::from(*oldest) << 1));
                self.out.list(entries.iter(), Out::entry);
            }
            Call::Totals { lsn, sums } => {
                self.begin(TOTALS, span);
                self.out.number(lsn.0.into());
                self.out.list(sums.iter(), |out, (currency, internal, external)| {
                    out.number(currency.0.into());
                    out.signed(*internal);
                    out.signed(*external);
                });
            }
            Call::Opened { spec, lsn } => {
                self.begin(OPENED, span);
                self.out.number(lsn.0.into());
                self.out.number(spec.id.get());
                self.out.number(spec.currency.0.into());
                self.out.number(spec.overdraft_limit);
                self.out.byte(u8::from(spec.external));
            }
            Call::Holds { lsn, seen, unknown } => {
                self.begin(HOLDS, span);
                self.out.number(lsn.0.into());
                self.out.list(seen.iter(), Out::seen_hold);
                self.out.list(unknown.iter(), |out, id| out.number(id.get()));
            }
            Call::Changed { account, change, lsn } => {
                self.begin(CHANGED, span);
                self.out.number(lsn.0.into());
                self.out.number(account.get());
                self.out.change(change);
            }
        }
    }

    fn begin(&mut self, tag: u8, span: Span) {
        self.calls += 1;
        self.out.byte(tag);
        self.out.number(span.sent_at.into());
        // Relative, so that it is short; what comes back never does so before it is sent.
        self.out.number(span.answered_at.saturating_sub(span.sent_at).into());
    }

    /// Adds what another client saw, on the same clock.
    pub fn merge(&mut self, other: &Self) {
        self.out.0.extend_from_slice(&other.out.0);
        self.calls += other.calls;
    }

    /// All calls, each with where it lies and its moments.
    pub(crate) fn iter(&self) -> Calls<'_> {
        Calls { bytes: &self.out.0, input: In { rest: &self.out.0 } }
    }

    /// The call that lies at this place.
    pub(crate) fn at(&self, offset: usize) -> Result<(Span, Call), BadHistory> {
        let mut input = In { rest: &self.out.0[offset..] };
        input.call().ok_or(BadHistory::Call(offset))
    }

    /// Writes it out, to be read by [`Self::read_from`].
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_to(&self, mut to: impl Write) -> io::Result<()> {
        to.write_all(&MAGIC)?;
        to.write_all(&VERSION.to_le_bytes())?;
        to.write_all(&crc32c::crc32c(&self.out.0).to_le_bytes())?;
        to.write_all(&self.calls.to_le_bytes())?;
        to.write_all(&self.out.0)
    }

    /// Reads what [`Self::write_to`] wrote, to the end.
    ///
    /// # Errors
    /// [`BadHistory`].
    pub fn read_from(mut from: impl Read) -> Result<Self, BadHistory> {
        let mut head = [0; 24];
        from.read_exact(&mut head)?;
        if head[..8] != MAGIC || head[8..12] != VERSION.to_le_bytes() {
            return Err(BadHistory::Format);
        }
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        if head[12..16] != crc32c::crc32c(&bytes).to_le_bytes() {
            return Err(BadHistory::Checksum);
        }
        let calls = u64::from_le_bytes(head[16..].try_into().expect("eight bytes"));
        Ok(Self { out: Out(bytes), calls })
    }
}

/// Walks over the calls of a history.
pub(crate) struct Calls<'h> {
    bytes: &'h [u8],
    input: In<'h>,
}

impl Iterator for Calls<'_> {
    type Item = Result<(usize, Span, Call), BadHistory>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.input.rest.is_empty() {
            return None;
        }
        let offset = self.bytes.len() - self.input.rest.len();
        let call = self.input.call().map(|(span, call)| (offset, span, call));
        if call.is_none() {
            self.input.rest = &[];
        }
        Some(call.ok_or(BadHistory::Call(offset)))
    }
}

pub(crate) const TRANSFERS: u8 = 1;
pub(crate) const UNANSWERED: u8 = 2;
pub(crate) const ACCOUNTS: u8 = 3;
pub(crate) const STORED: u8 = 4;
pub(crate) const ENTRIES: u8 = 5;
pub(crate) const TOTALS: u8 = 6;
pub(crate) const OPENED: u8 = 7;
pub(crate) const HOLDS: u8 = 8;
pub(crate) const CHANGED: u8 = 9;

pub(crate) const KINDS: [TransferKind; 3] =
    [TransferKind::Transfer, TransferKind::Deposit, TransferKind::Withdrawal];
pub(crate) const STATUSES: [AccountStatus; 5] = AccountStatus::ALL;
