//! Notes: what a user says about a request beside what is asked, the reference, the description
//! and the value date. No rule looks at it, but it is part of the request's content: the same id
//! with another note is another request. See `docs/adr/0024-kinds-and-notes.md`.
//!
//! ```text
//! Noted ─┬─ the request: a transfer (on terms or not), a hold, a capture, a refund
//!        └─ Note: reference, description, value date
//! ```
//!
//! It stands around the request on the way in, and around its record in the journal
//! ([`crate::record::NotedRecord`]), so that a request without one costs nothing for it.

use crate::ids::TransferId;
use crate::request::Request;

/// No reference is longer, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 64;

/// No description is longer, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 256;

/// Nanoseconds of a day.
const DAY_NS: u64 = 86_400_000_000_000;

/// A calendar date, as days since 1970-01-01; from the year 0001 to the year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(i32);

impl Day {
    /// 0001-01-01.
    pub const MIN: Self = Self(-719_162);
    /// 9999-12-31.
    pub const MAX: Self = Self(2_932_896);

    /// The day so many days after 1970-01-01; `None` outside of the years 0001 to 9999.
    #[must_use]
    pub const fn new(days: i32) -> Option<Self> {
        if Self::MIN.0 <= days && days <= Self::MAX.0 { Some(Self(days)) } else { None }
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The day on which a moment lies, in UTC: the value date of what names none.
    #[must_use]
    pub fn of_time(time_ns: u64) -> Self {
        // 64 bits of nanoseconds end in the year 2554.
        Self(i32::try_from(time_ns / DAY_NS).expect("fewer than 2^31 days"))
    }
}

/// What a user says about a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Note {
    /// The user's own name for it: an invoice, an end-to-end id. At most [`REFERENCE_BYTES_MAX`];
    /// empty for none.
    pub reference: String,
    /// What it is, in words. At most [`DESCRIPTION_BYTES_MAX`]; empty for none.
    pub description: String,
    /// The day on which it counts, where that is not the day of its decision.
    pub value_date: Option<Day>,
}

/// A note that cannot be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoteFault {
    /// The reference is too long or holds control characters.
    #[error("a reference has at most {REFERENCE_BYTES_MAX} bytes and no control characters")]
    Reference,
    /// The description is too long or holds control characters.
    #[error("a description has at most {DESCRIPTION_BYTES_MAX} bytes and no control characters")]
    Description,
    /// It says nothing.
    #[error("the note says nothing")]
    Nothing,
    /// It is about a request that moves nothing and sets nothing aside.
    #[error("only transfers, holds, captures and refunds have notes")]
    Request,
}

impl Note {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// [`NoteFault::Reference`], [`NoteFault::Description`].
    pub fn check(&self) -> Result<(), NoteFault> {
        let fits = |text: &str, bytes_max: usize| {
            text.len() <= bytes_max && !text.chars().any(char::is_control)
        };
        if !fits(&self.reference, REFERENCE_BYTES_MAX) {
            return Err(NoteFault::Reference);
        }
        if !fits(&self.description, DESCRIPTION_BYTES_MAX) {
            return Err(NoteFault::Description);
        }
        Ok(())
    }
}

/// A request and its note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Noted {
    request: Request,
    note: Note,
}

impl Noted {
    /// A request and its note.
    ///
    /// # Errors
    /// [`NoteFault`].
    pub fn new(request: impl Into<Request>, note: Note) -> Result<Self, NoteFault> {
        let request = request.into();
        match &request {
            Request::Transfer(_)
            | Request::Hold(_)
            | Request::Capture(_)
            | Request::Refund(_)
            | Request::Termed(_) => {}
            Request::Void(_) | Request::Extend(_) | Request::Noted(_) => {
                return Err(NoteFault::Request);
            }
        }
        note.check()?;
        if note.is_empty() {
            return Err(NoteFault::Nothing);
        }
        Ok(Self { request, note })
    }

    /// What is asked for; never with a note of its own.
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What is said about it.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Its refund, if it is one, to be filled in.
    pub(crate) fn refund_mut(&mut self) -> Option<&mut crate::request::RefundRequest> {
        self.request.refund_mut()
    }

    /// Links it with the next request, or not.
    pub(crate) fn set_linked(&mut self, linked: bool) {
        self.request.set_linked(linked);
    }

    /// Makes it one of another kind.
    pub(crate) fn set_kind(&mut self, kind: crate::transfer::TransferKind) {
        self.request.set_kind(kind);
    }

    /// Gives it another id.
    pub(crate) fn set_id(&mut self, id: TransferId) {
        self.request.set_id(id);
    }

    /// What is asked for, to be changed by tests into something of the same kind.
    #[cfg(any(test, feature = "testing"))]
    pub fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// What is said, to be changed by tests into something that can be kept.
    #[cfg(any(test, feature = "testing"))]
    pub fn note_mut(&mut self) -> &mut Note {
        &mut self.note
    }
}

impl From<Noted> for Request {
    fn from(noted: Noted) -> Self {
        Self::Noted(Box::new(noted))
    }
}

impl Request {
    /// What is asked for, apart from what is said about it: with its terms.
    #[must_use]
    #[inline]
    pub fn unnoted(&self) -> &Self {
        match self {
            Self::Noted(noted) => noted.request(),
            other => other,
        }
    }

    /// Its terms; `None` where it has none.
    #[must_use]
    pub fn terms(&self) -> Option<&crate::terms::Terms> {
        match self.unnoted() {
            Self::Termed(termed) => Some(termed.terms()),
            _ => None,
        }
    }

    /// What is said about it; `None` where nothing is.
    #[must_use]
    pub fn note(&self) -> Option<&Note> {
        match self {
            Self::Noted(noted) => Some(noted.note()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::VoidRequest;
    use crate::testing::workload;
    use crate::transfer::{TransferKind, TransferRequest};

    fn transfer() -> TransferRequest {
        TransferRequest {
            id: TransferId::new(1).expect("not zero"),
            debit: workload::account(1),
            credit: workload::account(2),
            amount: 1,
            currency: None,
            kind: TransferKind::Payment,
            linked: false,
        }
    }

    #[test]
    fn a_moment_lies_on_its_day() {
        assert_eq!(Day::of_time(0).days(), 0);
        assert_eq!(Day::of_time(DAY_NS - 1).days(), 0);
        assert_eq!(Day::of_time(DAY_NS).days(), 1);
        assert!(Day::new(Day::of_time(u64::MAX).days()).is_some());
        assert_eq!(Day::new(Day::MIN.days() - 1), None);
        assert_eq!(Day::new(Day::MAX.days() + 1), None);
    }

    #[test]
    fn a_note_that_cannot_be_kept_is_named() {
        let note = |reference: &str, description: &str| Note {
            reference: reference.to_owned(),
            description: description.to_owned(),
            value_date: None,
        };
        let longest = note(&"r".repeat(64), &"d".repeat(256));
        for (note, fault) in [
            (longest.clone(), None),
            (note(&"r".repeat(65), ""), Some(NoteFault::Reference)),
            (note("a\nb", ""), Some(NoteFault::Reference)),
            (note("", &"ß".repeat(129)), Some(NoteFault::Description)),
            (note("", "\u{7f}"), Some(NoteFault::Description)),
            (Note::default(), Some(NoteFault::Nothing)),
        ] {
            assert_eq!(Noted::new(transfer(), note.clone()).err(), fault, "{note:?}");
        }
        let void = VoidRequest { id: transfer().id, hold: transfer().id, linked: false };
        assert_eq!(Noted::new(void, longest.clone()).err(), Some(NoteFault::Request));
        let noted = Noted::new(transfer(), longest.clone()).expect("it can be kept");
        assert_eq!(Noted::new(noted, longest).err(), Some(NoteFault::Request));
    }
}
