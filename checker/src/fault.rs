//! What can be wrong, and the list of what is.

use ducat_engine::ids::Lsn;
use std::collections::BTreeMap;
use std::fmt;

/// The promises, by how they are broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A transfer was answered and the journal knows nothing of it.
    LostAcknowledgement,
    /// An id took effect more than once within the time that ids are remembered.
    DoubleEffect,
    /// A read shows less than was already known when it was sent.
    StaleRead,
    /// A figure in a reply or in the journal is not the sum of what was posted.
    WrongBalance,
    /// The answer to a repeat is not the first answer.
    ChangedOutcome,
    /// What was asked after an answer had arrived got a place before what was answered.
    LsnBackwards,
    /// A linked group happened in part, or not in one piece.
    TornGroup,
    /// An event gives more than it takes, or the sums of a currency are not zero.
    MoneyMade,
    /// A reply speaks of an event that is not in the journal, or that is another's.
    ReplyWithoutEvent,
    /// The journal holds a transfer that nobody asked for.
    UnknownId,
    /// The time of decisions goes back, or a reply tells another time than the journal.
    TimeTravel,
    /// The rules say otherwise, given the events before.
    WrongOutcome,
    /// The journal's LSNs do not follow one another.
    Gap,
    /// More or less is held than open holds set aside, or money is on its way although nothing is
    /// in flight.
    HoldLeftBehind,
    /// A hold is not what was done to it: lost, back after its end, at another amount or time.
    WrongHold,
    /// Money was given back that its original did not move, or that was given back before; or a
    /// reply tells so.
    WrongRefund,
    /// A transfer on terms moved another amount than they give, or a reply tells another one.
    WrongTerms,
    /// A fee is not what its schedule gives: missing, of another amount, from or to another
    /// account, or a reply tells another one.
    WrongFee,
    /// A request never got an answer, though the history claims that all did.
    Unanswered,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 19] = [
        Self::LostAcknowledgement,
        Self::DoubleEffect,
        Self::StaleRead,
        Self::WrongBalance,
        Self::ChangedOutcome,
        Self::LsnBackwards,
        Self::TornGroup,
        Self::MoneyMade,
        Self::ReplyWithoutEvent,
        Self::UnknownId,
        Self::TimeTravel,
        Self::WrongOutcome,
        Self::Gap,
        Self::HoldLeftBehind,
        Self::WrongHold,
        Self::WrongRefund,
        Self::WrongTerms,
        Self::WrongFee,
        Self::Unanswered,
    ];

    /// The promise in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LostAcknowledgement => "lost acknowledgement",
            Self::DoubleEffect => "double effect",
            Self::StaleRead => "stale read",
            Self::WrongBalance => "wrong balance",
            Self::ChangedOutcome => "changed outcome",
            Self::LsnBackwards => "LSN going backwards",
            Self::TornGroup => "linked group half done",
            Self::MoneyMade => "money made",
            Self::ReplyWithoutEvent => "reply without event",
            Self::UnknownId => "unknown id applied",
            Self::TimeTravel => "time travel",
            Self::WrongOutcome => "wrong outcome",
            Self::Gap => "gap in the journal",
            Self::HoldLeftBehind => "hold left behind",
            Self::WrongHold => "wrong hold",
            Self::WrongRefund => "wrong refund",
            Self::WrongTerms => "wrong terms",
            Self::WrongFee => "wrong fee",
            Self::Unanswered => "unanswered",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which promise is broken.
    pub kind: Kind,
    /// Where in the journal it shows; [`Lsn::ZERO`] where it shows nowhere.
    pub lsn: Lsn,
    /// How.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lsn {
            Lsn::ZERO => write!(f, "{}: {}", self.kind, self.detail),
            lsn => write!(f, "{} (LSN {lsn}): {}", self.kind, self.detail),
        }
    }
}

/// Faults beyond this many are counted and not listed.
const LISTED_MAX: usize = 20;

/// What a check found, and how much it looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The first faults that were found.
    pub faults: Vec<Fault>,
    /// How many of each kind there are, listed or not.
    pub counts: BTreeMap<Kind, u64>,
    /// Transfers asked for, repeats included.
    pub transfers: u64,
    /// Of those, how many got an answer.
    pub answered: u64,
    /// Of those, how many were answered as repeats.
    pub repeats: u64,
    /// Accounts, transfers, entries and totals that were read.
    pub read: u64,
    /// Events of the journal.
    pub events: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether a fault of this kind was found.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.counts.contains_key(&kind)
    }

    pub(crate) fn add(&mut self, kind: Kind, lsn: Lsn, detail: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += 1;
        if self.faults.len() < LISTED_MAX {
            self.faults.push(Fault { kind, lsn, detail: detail() });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transfers, {} answered ({} as repeats), {} things read, {} events: ",
            self.transfers, self.answered, self.repeats, self.read, self.events
        )?;
        if self.is_clean() {
            return f.write_str("no fault");
        }
        let counts = self.counts.iter().map(|(kind, count)| format!("{count} x {kind}"));
        f.write_str(&counts.collect::<Vec<_>>().join(", "))?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}
